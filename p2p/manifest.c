/* SPDX-License-Identifier: MIT */
/*
 * manifest: see manifest.h; docs/protocol.md has the layout. The object part holds the same as the
 * SSD tier's record of an object, but is written here once more: the record may change with any
 * version of the program, and then the disk is read anew; this one is what older nodes read.
 */
#include "p2p/manifest.h"

#include "common/bytes.h"
#include "common/http_head.h"

#define SIGNED_AS EL_STR("eliop2p manifest 1\n")
#define MAX_MS    ((uint64_t)1 << 52) /* of any time: sums of them are far from overflow */

enum parts {
    HAS_OBJECT = 1,
};

enum meta_flags {
    HAS_STRONG_VALIDATOR = 1,
    IS_PUBLIC = 2,
    FROM_OBJECT_STORE = 4,
    MUST_REVALIDATE = 8,
    ALWAYS_REVALIDATE = 16,
    ALL_META_FLAGS = 31,
};

uint32_t p2p_manifest_blocks(const struct p2p_manifest *m)
{
    return (m->bytes + P2P_MAX_BLOCK - 1) / P2P_MAX_BLOCK;
}

static uint32_t all_blocks(const struct p2p_manifest *m)
{
    return ((uint32_t)1 << p2p_manifest_blocks(m)) - 1;
}

bool p2p_manifest_is_whole(const struct p2p_manifest *m)
{
    return m->bitmap == all_blocks(m);
}

static bool has_block(const struct p2p_manifest *m, unsigned block)
{
    return (m->bitmap >> block & 1) != 0;
}

/* ---- what can be ---- */

/* Fields that frame a message or belong to one connection: replayed they would break the answer. */
static bool is_hop(struct el_str name)
{
    static const char *const names[] = {
        "Age",           "Connection", "Content-Length",
        "Content-Range", "Keep-Alive", "Proxy-Connection",
        "Trailer",       "TE",         "Transfer-Encoding",
        "Upgrade",
    };

    for (size_t i = 0; i < EL_COUNT(names); i++) {
        if (el_str_ieq(name, el_str_of(names[i])))
            return true;
    }
    return false;
}

static bool is_field(const struct el_field *f)
{
    return el_http_is_token(f->name) && el_http_is_value(f->value) && !is_hop(f->name);
}

/* It goes into logs and the index. */
static bool is_url(struct el_str url)
{
    for (size_t i = 0; i < url.n; i++) {
        unsigned char c = (unsigned char)url.p[i];

        if (c <= 0x20 || c == 0x7f)
            return false;
    }
    return el_str_starts(url, EL_STR("http://")) || el_str_starts(url, EL_STR("https://"));
}

static bool is_time(int64_t ms)
{
    return ms >= 0 && (uint64_t)ms <= MAX_MS;
}

/* A finished one. */
static bool is_meta(const struct cache_meta *m)
{
    if (m->status < 200 || m->status > 599 || m->status == 206 || m->status == 304 ||
        m->fields.n > EL_HTTP_HEAD_MAX_FIELDS || m->vary.n > m->vary_bytes.n ||
        !is_time(m->response_ms) || !is_time(m->corrected_age_ms) || !is_time(m->lifetime_ms))
        return false;
    for (size_t i = 0; i < m->fields.n; i++) {
        if (!is_field(&m->fields.v[i]))
            return false;
    }
    return !m->has_strong_validator || m->etag.n > 0 || m->last_modified.n > 0;
}

static bool is_object(const struct p2p_manifest *m)
{
    return is_url(m->url) && is_meta(m->meta) && m->length > 0 && m->length <= CACHE_MAX_LENGTH;
}

static bool is_chunk(const struct p2p_manifest *m)
{
    return m->bytes >= 1 && m->bytes <= CACHE_CHUNK_BYTES && (m->bitmap & ~all_blocks(m)) == 0 &&
           m->age_ms <= MAX_MS;
}

/* The object part is there, and its chunk of that name is like that. */
static bool is_chunk_of_object(const struct p2p_manifest *m)
{
    uint64_t first = m->chunk.index * CACHE_CHUNK_BYTES;
    struct cache_object_id id;

    _Static_assert(sizeof(id.v) == sizeof(m->chunk.object), "one name for nodes and disks");
    if (first >= m->length || m->bytes != el_min_u64(m->length - first, CACHE_CHUNK_BYTES))
        return false;
    cache_object_id_of(m->url, m->meta, m->length, &id);
    return memcmp(id.v, m->chunk.object, sizeof(id.v)) == 0;
}

static void tree_of(const struct p2p_manifest *m, struct el_digest *ret)
{
    struct el_digest leaves[P2P_CHUNK_BLOCKS];

    memcpy(leaves, m->blocks, sizeof(leaves));
    el_sha256_tree(leaves, p2p_manifest_blocks(m), ret);
}

/* ---- writing ---- */

/* False: too long for its length. */
static bool add_piece(struct el_buf *out, struct el_str s)
{
    if (s.n > UINT16_MAX)
        return false;
    el_bytes_add_u16(out, (uint16_t)s.n);
    el_buf_add_str(out, s);
    return true;
}

static unsigned flags_of(const struct cache_meta *m)
{
    return (m->has_strong_validator ? HAS_STRONG_VALIDATOR : 0u) |
           (m->is_public && !m->by_node ? IS_PUBLIC : 0u) |
           (m->from_object_store ? FROM_OBJECT_STORE : 0u) |
           (m->must_revalidate ? MUST_REVALIDATE : 0u) |
           (m->always_revalidate ? ALWAYS_REVALIDATE : 0u);
}

static bool add_meta(struct el_buf *out, const struct cache_meta *m)
{
    bool fits;

    el_bytes_add_u16(out, (uint16_t)m->status);
    el_bytes_add_u16(out, (uint16_t)flags_of(m));
    el_bytes_add_u64(out, (uint64_t)m->response_ms);
    el_bytes_add_u64(out, (uint64_t)m->corrected_age_ms);
    el_bytes_add_u64(out, (uint64_t)m->lifetime_ms);
    el_bytes_add_u16(out, (uint16_t)el_min_size(m->vary.n, UINT16_MAX));
    fits = add_piece(out, el_buf_str(&m->vary_bytes));
    el_bytes_add_u16(out, (uint16_t)m->fields.n);
    for (size_t i = 0; fits && i < m->fields.n; i++)
        fits = add_piece(out, m->fields.v[i].name) && add_piece(out, m->fields.v[i].value);
    return fits;
}

static bool add_object(struct el_buf *out, const struct p2p_manifest *m)
{
    size_t from = out->n;

    if (!add_piece(out, m->url))
        return false;
    el_bytes_add_u64(out, m->length);
    return add_meta(out, m->meta) && out->n - from <= P2P_MAX_OBJECT;
}

static void add_chunk(struct el_buf *out, const struct p2p_manifest *m)
{
    el_bytes_add_u32(out, m->bytes);
    el_bytes_add_u32(out, m->bitmap);
    for (unsigned i = 0; i < P2P_CHUNK_BLOCKS; i++) {
        if (has_block(m, i))
            el_buf_add(out, m->blocks[i].b, sizeof(m->blocks[i].b));
    }
    if (p2p_manifest_is_whole(m))
        el_buf_add(out, m->tree.b, sizeof(m->tree.b));
}

enum el_err p2p_object_add(struct el_buf *out, const struct p2p_manifest *m, struct el_error *err)
{
    if (!is_object(m) || !add_object(out, m))
        return el_fail(err, EL_EINVAL, 0, "an object that no peer would take");
    return EL_OK;
}

enum el_err p2p_manifest_seal(struct p2p_manifest *m, struct el_error *err)
{
    struct el_buf object = { 0 };
    bool is_fine = is_chunk(m);

    if (is_fine && m->has_object) {
        is_fine = is_object(m) && is_chunk_of_object(m) && add_object(&object, m);
        el_sha256_of(object.p, object.n, &m->object);
        el_buf_deinit(&object);
    }
    if (!is_fine)
        return el_fail(err, EL_EINVAL, 0, "a chunk that no peer would take");
    if (p2p_manifest_is_whole(m))
        tree_of(m, &m->tree);
    return EL_OK;
}

/* What the signature is made over. */
static void add_signed(struct el_buf *out, const struct p2p_manifest *m)
{
    char id[EL_CHUNK_ID_CHARS + 1];

    el_chunk_id_text(&m->chunk, id);
    el_buf_add_str(out, SIGNED_AS);
    el_buf_add(out, id, EL_CHUNK_ID_CHARS);
    el_buf_add(out, m->object.b, sizeof(m->object.b));
    add_chunk(out, m);
    el_buf_add(out, m->key, sizeof(m->key));
}

void p2p_manifest_sign(struct p2p_manifest *m, const struct el_key *key)
{
    struct el_buf message = { 0 };

    EL_ASSERT(is_chunk(m));
    el_key_public(key, m->key);
    add_signed(&message, m);
    el_key_sign(key, el_buf_str(&message), m->signature);
    el_buf_deinit(&message);
}

static bool is_signed(const struct p2p_manifest *m)
{
    struct el_buf message = { 0 };
    bool is_right;

    add_signed(&message, m);
    is_right = el_key_verify(m->key, el_buf_str(&message), m->signature);
    el_buf_deinit(&message);
    return is_right;
}

void p2p_manifest_add(struct el_buf *out, uint32_t version, const struct p2p_manifest *m)
{
    struct p2p_frame f = { .version = version, .type = P2P_MANIFEST, .has_chunk = true };
    struct el_buf data = { 0 };
    bool fits = true;

    EL_ASSERT(is_chunk(m));
    f.chunk = m->chunk;
    el_bytes_add_u32(&data, m->has_object ? HAS_OBJECT : 0);
    el_bytes_add_u64(&data, m->age_ms);
    if (m->has_object)
        fits = add_object(&data, m);
    else
        el_buf_add(&data, m->object.b, sizeof(m->object.b));
    EL_ASSERT(fits);
    add_chunk(&data, m);
    el_buf_add(&data, m->key, sizeof(m->key));
    el_buf_add(&data, m->signature, sizeof(m->signature));
    f.data = el_buf_str(&data);
    p2p_frame_add(out, &f);
    el_buf_deinit(&data);
}

/* ---- reading ---- */

static struct el_str read_piece(struct el_bytes *in)
{
    size_t n = el_bytes_u16(in);

    return el_bytes_str(in, n);
}

static void read_judgement(struct el_bytes *in, struct cache_meta *m, unsigned *ret_flags)
{
    unsigned flags;

    m->status = el_bytes_u16(in);
    flags = el_bytes_u16(in);
    m->has_strong_validator = (flags & HAS_STRONG_VALIDATOR) != 0;
    m->is_public = (flags & IS_PUBLIC) != 0;
    m->from_object_store = (flags & FROM_OBJECT_STORE) != 0;
    m->must_revalidate = (flags & MUST_REVALIDATE) != 0;
    m->always_revalidate = (flags & ALWAYS_REVALIDATE) != 0;
    m->response_ms = (int64_t)el_bytes_u64(in);
    m->corrected_age_ms = (int64_t)el_bytes_u64(in);
    m->lifetime_ms = (int64_t)el_bytes_u64(in);
    *ret_flags = flags;
}

static bool read_vary(struct el_bytes *in, struct cache_meta *m)
{
    size_t names = el_bytes_u16(in);
    struct el_str all = read_piece(in);

    if (names > all.n)
        return false;
    el_buf_add_str(&m->vary_bytes, all);
    if (names > 0)
        m->vary = (struct el_str){ m->vary_bytes.p, names };
    return true;
}

/* Their bytes are bounded by the frame. */
static bool read_fields(struct el_bytes *in, struct cache_meta *m)
{
    size_t n = el_bytes_u16(in);

    if (n > EL_HTTP_HEAD_MAX_FIELDS)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct el_field f = { .name = read_piece(in) };

        f.value = read_piece(in);
        if (in->is_bad)
            return false;
        el_fields_add(&m->fields, f.name, f.value);
    }
    return true;
}

static bool read_meta(struct el_bytes *in, struct cache_meta *m)
{
    unsigned flags;

    read_judgement(in, m, &flags);
    if (!read_vary(in, m) || !read_fields(in, m) || in->is_bad)
        return false;
    cache_meta_finish(m);
    return (flags & ~(unsigned)ALL_META_FLAGS) == 0;
}

static bool read_object(struct el_bytes *in, struct p2p_manifest *m)
{
    struct el_str from = in->rest;
    size_t n;

    m->url = read_piece(in);
    m->length = el_bytes_u64(in);
    m->meta = cache_meta_new();
    if (!read_meta(in, m->meta) || !is_object(m))
        return false;
    n = from.n - in->rest.n;
    el_sha256_of(from.p, n, &m->object);
    return n <= P2P_MAX_OBJECT;
}

static bool read_chunk(struct el_bytes *in, struct p2p_manifest *m)
{
    m->bytes = el_bytes_u32(in);
    m->bitmap = el_bytes_u32(in);
    if (in->is_bad || !is_chunk(m))
        return false;
    for (unsigned i = 0; i < P2P_CHUNK_BLOCKS; i++) {
        if (has_block(m, i))
            el_bytes_copy(in, m->blocks[i].b, sizeof(m->blocks[i].b));
    }
    if (p2p_manifest_is_whole(m))
        el_bytes_copy(in, m->tree.b, sizeof(m->tree.b));
    return true;
}

static bool read_manifest(struct el_bytes *in, struct p2p_manifest *m)
{
    uint32_t parts = el_bytes_u32(in);

    m->age_ms = el_bytes_u64(in);
    m->has_object = parts == HAS_OBJECT;
    if (parts > HAS_OBJECT || (m->has_object && !read_object(in, m)))
        return false;
    if (!m->has_object)
        el_bytes_copy(in, m->object.b, sizeof(m->object.b));
    if (!read_chunk(in, m))
        return false;
    el_bytes_copy(in, m->key, sizeof(m->key));
    el_bytes_copy(in, m->signature, sizeof(m->signature));
    return el_bytes_is_end(in);
}

enum el_err p2p_manifest_decode_form(const struct p2p_frame *f, struct p2p_manifest *ret,
                                     struct el_error *err)
{
    struct p2p_manifest m = { .chunk = f->chunk };
    struct el_bytes in = el_bytes_of(f->data);

    EL_ASSERT(f->type == P2P_MANIFEST && f->has_chunk && f->data.p != NULL);
    if (!read_manifest(&in, &m)) {
        p2p_manifest_deinit(&m);
        return el_fail(err, EL_EPROTO, 0, "Manifest frame: no manifest is like that");
    }
    *ret = m;
    return EL_OK;
}

static const char *contradiction(const struct p2p_manifest *m)
{
    struct el_digest tree;

    if (m->has_object && !is_chunk_of_object(m))
        return "its object has no such chunk";
    if (!p2p_manifest_is_whole(m))
        return NULL;
    tree_of(m, &tree);
    return memcmp(tree.b, m->tree.b, sizeof(tree.b)) != 0 ? "its tree hash is another's" : NULL;
}

enum el_err p2p_manifest_decode(const struct p2p_frame *f, struct p2p_manifest *ret,
                                struct el_error *err)
{
    struct p2p_manifest m = { 0 };
    const char *what;
    enum el_err rc = p2p_manifest_decode_form(f, &m, err);

    if (rc != EL_OK)
        return rc;
    what = contradiction(&m);
    if (what != NULL)
        rc = el_fail(err, EL_EPROTO, 0, "Manifest frame: %s", what);
    else if (!is_signed(&m))
        rc = el_fail(err, EL_ESIGNATURE, 0, "Manifest frame: its signature is not that of its key");
    if (rc == EL_OK)
        *ret = m;
    else
        p2p_manifest_deinit(&m);
    return rc;
}

enum el_err p2p_object_decode(struct el_str bytes, struct p2p_manifest *ret, struct el_error *err)
{
    struct el_bytes in = el_bytes_of(bytes);

    *ret = (struct p2p_manifest){ .has_object = true };
    if (!read_object(&in, ret) || !el_bytes_is_end(&in)) {
        p2p_manifest_deinit(ret);
        return el_fail(err, EL_EPROTO, 0, "malformed object");
    }
    return EL_OK;
}

void p2p_manifest_deinit(struct p2p_manifest *m)
{
    cache_meta_unref(m->meta);
    *m = (struct p2p_manifest){ 0 };
}

/* ---- one beside another ---- */

enum el_err p2p_manifest_agree(const struct p2p_manifest *a, const struct p2p_manifest *b,
                               struct el_error *err)
{
    EL_ASSERT(el_chunk_id_eq(&a->chunk, &b->chunk));
    if (a->bytes != b->bytes)
        return el_fail(err, EL_EHASH, 0, "manifests: a chunk of %u bytes or of %u",
                       (unsigned)a->bytes, (unsigned)b->bytes);
    for (unsigned i = 0; i < P2P_CHUNK_BLOCKS; i++) {
        if (has_block(a, i) && has_block(b, i) &&
            memcmp(a->blocks[i].b, b->blocks[i].b, EL_SHA256_BYTES) != 0)
            return el_fail(err, EL_EHASH, 0, "manifests: block %u has two hashes", i);
    }
    return EL_OK;
}
