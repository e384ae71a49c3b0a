/* SPDX-License-Identifier: MIT */
/*
 * l2_record: see l2_record.h. Numbers are big-endian, sizes in bytes:
 *
 *   chunk   version 1, bitmap 2, for each block of it: region 4, offset 4, bytes 4, digest 32; sum
 * 8 object  version 1, is pinned 1, length 8, url 4 + n, meta, sum 8 meta    status 2, flags 1,
 * response, corrected age and lifetime in ms 8 each, names of the vary 4, vary bytes 4 + n, fields
 * 4, for each of them: name 4 + n, value 4 + n
 *
 * The sum is of key and value. LMDB has none of its own, and the hash of a block does not tell when
 * a bit that fell over makes it the block of another place, or a private object public.
 */
#include "cache/l2_record.h"

#include "cache/l2_region.h"
#include "common/bytes.h"

#define CHUNK_VERSION  1u
#define OBJECT_VERSION 1u
#define SUM_BYTES      8u
#define FIELD_BYTES    8u                 /* the least that a field takes */
#define MAX_MS         ((int64_t)1 << 52) /* of any time: their sums are far from overflow */
#define MAX_CHUNK      ((uint32_t)(CACHE_MAX_LENGTH / CACHE_CHUNK_BYTES))
#define SUM_KEY        0x656c696f2d6c3221u /* any fixed number will do */

_Static_assert(sizeof(struct cache_object_id) == 16, "the key of an object");

/* ---- identity ---- */

static void add_item(struct el_buf *out, struct el_str s)
{
    el_bytes_add_u64(out, s.n);
    el_buf_add_str(out, s);
}

void cache_object_id_of(struct el_str url, const struct cache_meta *meta, uint64_t length,
                        struct cache_object_id *ret)
{
    struct el_buf version = { 0 };
    struct el_digest digest;

    add_item(&version, url);
    add_item(&version, el_buf_str(&meta->vary_bytes));
    add_item(&version, meta->etag.n > 0 ? meta->etag : meta->last_modified);
    el_bytes_add_u64(&version, 8);
    el_bytes_add_u64(&version, length);
    el_sha256_of(version.p, version.n, &digest);
    memcpy(ret->v, digest.b, sizeof(ret->v));
    el_buf_deinit(&version);
}

/* ---- the frame of a value: a version before it, a sum behind it ---- */

uint64_t l2_record_sum(struct el_str key, struct el_str bytes)
{
    return el_str_siphash(bytes, el_str_siphash(key, SUM_KEY, 0), SUM_KEY);
}

static void add_sum(struct el_str key, struct el_buf *out, size_t from)
{
    uint64_t sum = l2_record_sum(key, el_str_from(el_buf_str(out), from));

    el_bytes_add_u64(out, sum);
}

static enum el_err refuse(struct el_error *err, const char *what)
{
    return el_fail(err, EL_EPROTO, 0, "record on disk: %s", what);
}

/* *ret_body: what stands between version and sum. */
static enum el_err open_value(struct el_str value, unsigned version, struct el_bytes *ret_body,
                              struct el_error *err)
{
    if (value.n < 1 + SUM_BYTES)
        return refuse(err, "too short");
    *ret_body = el_bytes_of(el_str_first(value, value.n - SUM_BYTES));
    if (el_bytes_u8(ret_body) != version)
        return refuse(err, "of an unknown version");
    return EL_OK;
}

static enum el_err check_sum(struct el_str key, struct el_str value, struct el_error *err)
{
    size_t n = value.n - SUM_BYTES;
    struct el_bytes sum = el_bytes_of(el_str_from(value, n));

    if (el_bytes_u64(&sum) != l2_record_sum(key, el_str_first(value, n)))
        return refuse(err, "its checksum is wrong");
    return EL_OK;
}

/* ---- chunks ---- */

void l2_chunk_key(const struct cache_object_id *object, uint32_t chunk,
                  uint8_t ret[L2_CHUNK_KEY_BYTES])
{
    memcpy(ret, object->v, sizeof(object->v));
    for (unsigned i = 0; i < 4; i++)
        ret[16 + i] = (uint8_t)(chunk >> (24 - 8 * i));
}

static bool has_block(uint16_t bitmap, unsigned block)
{
    return (bitmap >> block & 1) != 0;
}

void l2_chunk_encode(const struct l2_chunk_record *r, struct el_buf *out)
{
    uint8_t key[L2_CHUNK_KEY_BYTES];
    size_t from = out->n;

    EL_ASSERT(r->bitmap != 0);
    el_bytes_add_u8(out, CHUNK_VERSION);
    el_bytes_add_u16(out, r->bitmap);
    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        const struct l2_block *b = &r->blocks[i];

        if (!has_block(r->bitmap, i))
            continue;
        el_bytes_add_u32(out, b->region);
        el_bytes_add_u32(out, b->offset);
        el_bytes_add_u32(out, b->bytes);
        el_buf_add(out, b->digest.b, sizeof(b->digest.b));
    }
    l2_chunk_key(&r->object, r->chunk, key);
    add_sum((struct el_str){ (const char *)key, sizeof(key) }, out, from);
}

/* Bounds first: the sum of two small numbers does not overflow. */
static bool is_within_region(const struct l2_block *b)
{
    return b->offset % L2_ALIGN == 0 && b->offset < L2_REGION_BYTES && b->bytes >= 1 &&
           b->bytes <= CACHE_BLOCK_BYTES && b->offset + b->bytes <= L2_REGION_BYTES;
}

static bool read_blocks(struct el_bytes *in, struct l2_chunk_record *r)
{
    r->bitmap = el_bytes_u16(in);
    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        struct l2_block *b = &r->blocks[i];

        if (!has_block(r->bitmap, i))
            continue;
        b->region = el_bytes_u32(in);
        b->offset = el_bytes_u32(in);
        b->bytes = el_bytes_u32(in);
        el_bytes_copy(in, b->digest.b, sizeof(b->digest.b));
        if (!is_within_region(b))
            return false;
    }
    return r->bitmap != 0 && el_bytes_is_end(in);
}

bool l2_chunk_key_decode(struct el_str key, struct cache_object_id *ret_object, uint32_t *ret_chunk)
{
    struct el_bytes in = el_bytes_of(key);

    el_bytes_copy(&in, ret_object->v, sizeof(ret_object->v));
    *ret_chunk = el_bytes_u32(&in);
    return el_bytes_is_end(&in) && *ret_chunk < MAX_CHUNK;
}

enum el_err l2_chunk_decode(struct el_str key, struct el_str value, struct l2_chunk_record *ret,
                            struct el_error *err)
{
    struct l2_chunk_record r = { 0 };
    struct el_bytes in;
    enum el_err rc = open_value(value, CHUNK_VERSION, &in, err);

    if (rc == EL_OK)
        rc = check_sum(key, value, err);
    if (rc != EL_OK)
        return rc;
    if (!l2_chunk_key_decode(key, &r.object, &r.chunk) || !read_blocks(&in, &r))
        return refuse(err, "no chunk is like that");
    *ret = r;
    return EL_OK;
}

/* ---- metas ---- */

enum meta_flags {
    HAS_STRONG_VALIDATOR = 1,
    IS_PUBLIC = 2,
    FROM_OBJECT_STORE = 4,
    MUST_REVALIDATE = 8,
    ALWAYS_REVALIDATE = 16,
    ALL_FLAGS = 31,
};

static unsigned flags_of(const struct cache_meta *m)
{
    /* After a restart the node may have another key, or none: then the origin is asked once more.
     */
    bool is_public = m->is_public && !m->by_node;

    return (m->has_strong_validator ? HAS_STRONG_VALIDATOR : 0u) | (is_public ? IS_PUBLIC : 0u) |
           (m->from_object_store ? FROM_OBJECT_STORE : 0u) |
           (m->must_revalidate ? MUST_REVALIDATE : 0u) |
           (m->always_revalidate ? ALWAYS_REVALIDATE : 0u);
}

static void set_flags(struct cache_meta *m, unsigned flags)
{
    m->has_strong_validator = (flags & HAS_STRONG_VALIDATOR) != 0;
    m->is_public = (flags & IS_PUBLIC) != 0;
    m->from_object_store = (flags & FROM_OBJECT_STORE) != 0;
    m->must_revalidate = (flags & MUST_REVALIDATE) != 0;
    m->always_revalidate = (flags & ALWAYS_REVALIDATE) != 0;
}

static void add_piece(struct el_buf *out, struct el_str s)
{
    el_bytes_add_u32(out, (uint32_t)s.n);
    el_buf_add_str(out, s);
}

static struct el_str read_piece(struct el_bytes *in)
{
    size_t n = el_bytes_u32(in);

    return el_bytes_str(in, n);
}

static void add_meta(struct el_buf *out, const struct cache_meta *m)
{
    el_bytes_add_u16(out, (uint16_t)m->status);
    el_bytes_add_u8(out, (uint8_t)flags_of(m));
    el_bytes_add_u64(out, (uint64_t)m->response_ms);
    el_bytes_add_u64(out, (uint64_t)m->corrected_age_ms);
    el_bytes_add_u64(out, (uint64_t)m->lifetime_ms);
    el_bytes_add_u32(out, (uint32_t)m->vary.n);
    add_piece(out, el_buf_str(&m->vary_bytes));
    el_bytes_add_u32(out, (uint32_t)m->fields.n);
    for (size_t i = 0; i < m->fields.n; i++) {
        add_piece(out, m->fields.v[i].name);
        add_piece(out, m->fields.v[i].value);
    }
}

static bool read_ms(struct el_bytes *in, int64_t *ret_ms)
{
    uint64_t v = el_bytes_u64(in);

    *ret_ms = (int64_t)v;
    return v <= (uint64_t)MAX_MS;
}

static bool read_judgement(struct el_bytes *in, struct cache_meta *m)
{
    unsigned flags;

    m->status = el_bytes_u16(in);
    flags = el_bytes_u8(in);
    set_flags(m, flags);
    return m->status >= 200 && m->status <= 599 && m->status != 206 && m->status != 304 &&
           (flags & ~(unsigned)ALL_FLAGS) == 0 && read_ms(in, &m->response_ms) &&
           read_ms(in, &m->corrected_age_ms) && read_ms(in, &m->lifetime_ms);
}

static bool read_vary(struct el_bytes *in, struct cache_meta *m)
{
    size_t names = el_bytes_u32(in);
    struct el_str all = read_piece(in);

    if (names > all.n)
        return false;
    el_buf_add_str(&m->vary_bytes, all);
    if (names > 0)
        m->vary = (struct el_str){ m->vary_bytes.p, names };
    return true;
}

/* What would end a line of a head, or its name. */
static bool is_line(struct el_str s)
{
    return el_str_find(s, '\r') == s.n && el_str_find(s, '\n') == s.n &&
           el_str_find(s, '\0') == s.n;
}

static bool is_name(struct el_str s)
{
    return s.n > 0 && el_str_find(s, ':') == s.n && is_line(s);
}

static bool read_fields(struct el_bytes *in, struct cache_meta *m)
{
    size_t n = el_bytes_u32(in);

    if (n > in->rest.n / FIELD_BYTES)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct el_str name = read_piece(in), value = read_piece(in);

        if (!is_name(name) || !is_line(value))
            return false;
        el_fields_add(&m->fields, name, value);
    }
    return true;
}

/* NULL: it is none. */
static struct cache_meta *read_meta(struct el_bytes *in)
{
    struct cache_meta *m = cache_meta_new();

    if (read_judgement(in, m) && read_vary(in, m) && read_fields(in, m) && el_bytes_is_end(in)) {
        cache_meta_finish(m);
        return m;
    }
    cache_meta_unref(m);
    return NULL;
}

/* ---- objects ---- */

void l2_object_encode(const struct l2_object_record *r, struct el_buf *out)
{
    size_t from = out->n;

    EL_ASSERT(r->url.n > 0 && r->length <= CACHE_MAX_LENGTH);
    el_bytes_add_u8(out, OBJECT_VERSION);
    el_bytes_add_u8(out, r->is_pinned);
    el_bytes_add_u64(out, r->length);
    add_piece(out, r->url);
    add_meta(out, r->meta);
    add_sum((struct el_str){ (const char *)r->id.v, sizeof(r->id.v) }, out, from);
}

/* Leaves the cursor before the meta. */
static enum el_err read_object(struct el_str key, struct el_str value, struct el_bytes *in,
                               struct l2_object_record *r, struct el_error *err)
{
    struct el_bytes id = el_bytes_of(key);
    enum el_err rc = open_value(value, OBJECT_VERSION, in, err);
    unsigned pinned;

    if (rc != EL_OK)
        return rc;
    el_bytes_copy(&id, r->id.v, sizeof(r->id.v));
    pinned = el_bytes_u8(in);
    r->is_pinned = pinned != 0;
    r->length = el_bytes_u64(in);
    r->url = read_piece(in);
    if (!el_bytes_is_end(&id) || pinned > 1 || r->length > CACHE_MAX_LENGTH || r->url.n == 0)
        return refuse(err, "no object is like that");
    return EL_OK;
}

enum el_err l2_object_decode(struct el_str key, struct el_str value, struct l2_object_record *ret,
                             struct el_error *err)
{
    struct l2_object_record r = { 0 };
    struct el_bytes in;
    enum el_err rc = read_object(key, value, &in, &r, err);

    if (rc == EL_OK)
        rc = check_sum(key, value, err);
    if (rc != EL_OK)
        return rc;
    r.meta = read_meta(&in);
    if (r.meta == NULL)
        return refuse(err, "no answer is like that");
    *ret = r;
    return EL_OK;
}

enum el_err l2_object_peek(struct el_str key, struct el_str value, struct cache_object_id *ret_id,
                           struct el_str *ret_url, uint64_t *ret_length, bool *ret_is_pinned,
                           struct el_error *err)
{
    struct l2_object_record r = { 0 };
    struct el_bytes in;
    enum el_err rc = read_object(key, value, &in, &r, err);

    if (rc != EL_OK)
        return rc;
    *ret_id = r.id;
    *ret_url = r.url;
    *ret_length = r.length;
    *ret_is_pinned = r.is_pinned;
    return EL_OK;
}
