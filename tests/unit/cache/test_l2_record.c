/* SPDX-License-Identifier: MIT */
/* Records of the SSD tier: what was written is read, and nothing else is. */
#include "tests/lib/test.h"

#include "cache/l2_record.h"
#include "cache/l2_region.h"
#include "common/bytes.h"
#include "common/rng.h"

#define SUM_BYTES 8
#define URL       EL_STR("http://s3.test/b/k")

static struct el_str id_key(const struct cache_object_id *id)
{
    return (struct el_str){ (const char *)id->v, sizeof(id->v) };
}

/* The value with a sum that fits, whatever was done to it; v holds one. */
static void seal(struct el_str key, struct el_buf *v)
{
    uint64_t sum;

    assert_true(v->n >= SUM_BYTES);
    v->n -= SUM_BYTES;
    sum = l2_record_sum(key, el_buf_str(v));
    el_bytes_add_u64(v, sum);
}

static void random_bytes(struct el_rng *rng, void *ret, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)ret)[i] = (uint8_t)el_rng_u64(rng);
}

/* Up to max bytes of what may stand in a head. */
static void random_text(struct el_rng *rng, size_t max, struct el_buf *out)
{
    size_t n = (size_t)el_rng_below(rng, max + 1);

    el_buf_clear(out);
    for (size_t i = 0; i < n; i++)
        el_buf_add_byte(out, (char)(';' + el_rng_below(rng, 0x7f - ';')));
}

/* ---- identity ---- */

static struct cache_meta *meta_of(const char *etag, const char *modified)
{
    struct cache_meta *m = cache_meta_new();

    m->status = 200;
    if (etag != NULL)
        el_fields_add(&m->fields, EL_STR("etag"), el_str_of(etag));
    if (modified != NULL)
        el_fields_add(&m->fields, EL_STR("Last-Modified"), el_str_of(modified));
    el_buf_add_str(&m->vary_bytes, EL_STR("accept-encoding\n=gzip\n"));
    m->vary = (struct el_str){ m->vary_bytes.p, strlen("accept-encoding") };
    cache_meta_finish(m);
    return m;
}

static void check_id(struct cache_meta *m, uint64_t length, const char *expected)
{
    struct cache_object_id id;
    char hex[2 * sizeof(id.v) + 1];

    cache_object_id_of(URL, m, length, &id);
    el_hex(id.v, sizeof(id.v), hex);
    assert_string_equal(hex, expected);
    cache_meta_unref(m);
}

/* The expected ones were computed with another SHA-256, from the definition in the header. */
static void an_identity_is_the_hash_of_url_variant_validator_and_length(void **state)
{
    static const char date[] = "Sun, 06 Nov 1994 08:49:37 GMT";

    (void)state;
    check_id(meta_of("\"etag-1\"", date), 0x123456789, "77a9b6bd929b6cf6a3d3f403160b08d1");
    check_id(meta_of(NULL, date), 0x123456789, "e900213dba76d73b5a20378f0090bb3c");
    check_id(meta_of(NULL, NULL), 0x123456789, "e697dfbcf09475d287337970a16da4fa");
}

static void id_of(const char *url, const char *vary, const char *etag, uint64_t length,
                  struct cache_object_id *ret)
{
    struct cache_meta *m = meta_of(etag, NULL);

    el_buf_clear(&m->vary_bytes);
    el_buf_add_str(&m->vary_bytes, el_str_of(vary));
    cache_object_id_of(el_str_of(url), m, length, ret);
    cache_meta_unref(m);
}

static void each_part_of_a_version_counts_for_its_identity(void **state)
{
    struct cache_object_id ids[6];

    (void)state;
    id_of("http://a/b", "c", "\"d\"", 1, &ids[0]);
    id_of("http://a/", "bc", "\"d\"", 1, &ids[1]);
    id_of("http://a/b", "c\"", "d\"", 1, &ids[2]);
    id_of("http://a/b", "c", "\"d\"", 256, &ids[3]);
    id_of("http://a/b", "c", "\"e\"", 1, &ids[4]);
    id_of("http://a/bc", "", "\"d\"", 1, &ids[5]);
    for (size_t i = 0; i < EL_COUNT(ids); i++) {
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(ids[i].v, ids[k].v, sizeof(ids[i].v));
    }
}

/* ---- chunks ---- */

static void random_chunk(struct el_rng *rng, struct l2_chunk_record *ret)
{
    *ret = (struct l2_chunk_record){ 0 };
    random_bytes(rng, ret->object.v, sizeof(ret->object.v));
    ret->chunk = (uint32_t)el_rng_below(rng, CACHE_MAX_LENGTH / CACHE_CHUNK_BYTES);
    ret->bitmap = (uint16_t)(1 + el_rng_below(rng, UINT16_MAX));
    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        struct l2_block *b = &ret->blocks[i];

        if ((ret->bitmap >> i & 1) == 0)
            continue;
        b->region = (uint32_t)el_rng_u64(rng);
        b->bytes = (uint32_t)(1 + el_rng_below(rng, CACHE_BLOCK_BYTES));
        b->offset = (uint32_t)el_rng_below(rng, (L2_REGION_BYTES - b->bytes) / L2_ALIGN + 1);
        b->offset *= L2_ALIGN;
        random_bytes(rng, b->digest.b, sizeof(b->digest.b));
    }
}

struct encoded {
    uint8_t key_bytes[L2_CHUNK_KEY_BYTES];
    struct el_str key;
    struct el_buf value;
};

static void encode_chunk(const struct l2_chunk_record *r, struct encoded *ret)
{
    *ret = (struct encoded){ 0 };
    l2_chunk_key(&r->object, r->chunk, ret->key_bytes);
    ret->key = (struct el_str){ (const char *)ret->key_bytes, sizeof(ret->key_bytes) };
    l2_chunk_encode(r, &ret->value);
}

static bool is_chunk(const struct encoded *e, struct l2_chunk_record *ret)
{
    struct el_error err = { 0 };
    enum el_err rc = l2_chunk_decode(e->key, el_buf_str(&e->value), ret, &err);

    assert_int_equal(err.code, rc);
    return rc == EL_OK;
}

static void check_same_chunk(const struct l2_chunk_record *a, const struct l2_chunk_record *b)
{
    assert_memory_equal(a->object.v, b->object.v, sizeof(a->object.v));
    assert_int_equal(a->chunk, b->chunk);
    assert_int_equal(a->bitmap, b->bitmap);
    assert_memory_equal(a->blocks, b->blocks, sizeof(a->blocks));
}

static void a_chunk_is_read_as_it_was_written(void **state)
{
    struct el_rng rng;

    (void)state;
    el_rng_seed(&rng, 1);
    for (unsigned i = 0; i < 2000; i++) {
        struct l2_chunk_record r, again;
        struct encoded e;

        random_chunk(&rng, &r);
        encode_chunk(&r, &e);
        assert_true(is_chunk(&e, &again));
        check_same_chunk(&r, &again);
        el_buf_deinit(&e.value);
    }
}

static void one_chunk(struct l2_chunk_record *ret)
{
    *ret = (struct l2_chunk_record){ .chunk = 0x00020304, .bitmap = 0x8000 };
    for (unsigned i = 0; i < sizeof(ret->object.v); i++)
        ret->object.v[i] = (uint8_t)(0xa0 + i);
    ret->blocks[15] =
        (struct l2_block){ .region = 0x01020304, .offset = 0x5000, .bytes = 0x060708 };
    memset(ret->blocks[15].digest.b, 0xdd, EL_SHA256_BYTES);
}

/* Whoever changes the format changes its version. */
static void a_chunk_stands_in_the_index_as_documented(void **state)
{
    static const uint8_t key[] = { 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9,
                                   0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0,    2,    3,    4 };
    static const uint8_t head[] = { 1, 0x80, 0, 1, 2, 3, 4, 0, 0, 0x50, 0, 0, 6, 7, 8 };
    struct l2_chunk_record r;
    struct encoded e;

    (void)state;
    one_chunk(&r);
    encode_chunk(&r, &e);
    assert_memory_equal(e.key_bytes, key, sizeof(key));
    assert_int_equal(e.value.n, sizeof(head) + EL_SHA256_BYTES + SUM_BYTES);
    assert_memory_equal(e.value.p, head, sizeof(head));
    for (size_t i = 0; i < EL_SHA256_BYTES; i++)
        assert_int_equal((uint8_t)e.value.p[sizeof(head) + i], 0xdd);
    el_buf_deinit(&e.value);
}

static void check_chunk_refused(const struct encoded *e)
{
    struct l2_chunk_record untouched;

    memset(&untouched, 0x77, sizeof(untouched));
    assert_false(is_chunk(e, &untouched));
    for (size_t i = 0; i < sizeof(untouched); i++)
        assert_int_equal(((const uint8_t *)&untouched)[i], 0x77);
}

static void a_chunk_of_any_other_length_is_refused(void **state)
{
    struct l2_chunk_record r;
    struct el_rng rng;
    struct encoded e;
    size_t n;

    (void)state;
    el_rng_seed(&rng, 2);
    random_chunk(&rng, &r);
    encode_chunk(&r, &e);
    n = e.value.n;
    for (e.value.n = 0; e.value.n < n; e.value.n++)
        check_chunk_refused(&e);
    el_buf_add_byte(&e.value, 0);
    check_chunk_refused(&e);
    seal(e.key, &e.value);
    check_chunk_refused(&e);
    while (e.value.n > SUM_BYTES + 1) {
        e.value.n--;
        if (e.value.n == n)
            continue;
        seal(e.key, &e.value);
        check_chunk_refused(&e);
    }
    el_buf_deinit(&e.value);
}

/* With the sum as it was it is refused; with one that fits it is another chunk, or refused. */
static void a_fallen_bit_of_a_chunk_never_makes_another(void **state)
{
    struct l2_chunk_record r, other;
    unsigned accepted = 0;
    struct encoded e, sealed, again;

    (void)state;
    one_chunk(&r);
    r.bitmap = 0x8421;
    for (unsigned i = 0; i < 15; i += 5)
        r.blocks[i] = r.blocks[15];
    encode_chunk(&r, &e);
    for (size_t bit = 0; bit < e.value.n * 8; bit++) {
        e.value.p[bit / 8] = (char)(e.value.p[bit / 8] ^ (1 << bit % 8));
        check_chunk_refused(&e);
        sealed = (struct encoded){ .key = e.key };
        el_buf_add_str(&sealed.value, el_buf_str(&e.value));
        seal(sealed.key, &sealed.value);
        if (is_chunk(&sealed, &other)) {
            accepted++;
            encode_chunk(&other, &again);
            assert_true(el_str_eq(el_buf_str(&again.value), el_buf_str(&sealed.value)));
            el_buf_deinit(&again.value);
        }
        el_buf_deinit(&sealed.value);
        e.value.p[bit / 8] = (char)(e.value.p[bit / 8] ^ (1 << bit % 8));
    }
    assert_true(accepted > 4 * EL_SHA256_BYTES * 8);
    el_buf_deinit(&e.value);
}

static void a_chunk_under_another_key_is_refused(void **state)
{
    struct l2_chunk_record r;
    struct encoded e;

    (void)state;
    one_chunk(&r);
    encode_chunk(&r, &e);
    for (size_t bit = 0; bit < sizeof(e.key_bytes) * 8; bit++) {
        e.key_bytes[bit / 8] = (uint8_t)(e.key_bytes[bit / 8] ^ (1 << bit % 8));
        check_chunk_refused(&e);
        e.key_bytes[bit / 8] = (uint8_t)(e.key_bytes[bit / 8] ^ (1 << bit % 8));
    }
    for (e.key.n = 0; e.key.n < sizeof(e.key_bytes); e.key.n++) {
        seal(e.key, &e.value);
        check_chunk_refused(&e);
    }
    el_buf_deinit(&e.value);
}

static void a_chunk_that_cannot_be_is_refused_though_its_sum_fits(void **state)
{
    static const struct {
        uint32_t offset, bytes;
        bool is_fine;
    } v[] = {
        { 0, 1, true },
        { 0, CACHE_BLOCK_BYTES, true },
        { L2_REGION_BYTES - CACHE_BLOCK_BYTES, CACHE_BLOCK_BYTES, true },
        { L2_REGION_BYTES - L2_ALIGN, L2_ALIGN, true },
        { 0, 0, false },
        { 0, CACHE_BLOCK_BYTES + 1, false },
        { 1, 1, false },
        { L2_ALIGN / 2, 1, false },
        { L2_REGION_BYTES, 1, false },
        { L2_REGION_BYTES - L2_ALIGN, L2_ALIGN + 1, false },
        { UINT32_MAX - L2_ALIGN + 1, L2_ALIGN, false },
        { 0, UINT32_MAX, false },
    };
    struct l2_chunk_record r, again;
    struct encoded e;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(v); i++) {
        one_chunk(&r);
        r.blocks[15].offset = v[i].offset;
        r.blocks[15].bytes = v[i].bytes;
        encode_chunk(&r, &e);
        assert_int_equal(is_chunk(&e, &again), v[i].is_fine);
        el_buf_deinit(&e.value);
    }
    one_chunk(&r);
    r.chunk = CACHE_MAX_LENGTH / CACHE_CHUNK_BYTES;
    encode_chunk(&r, &e);
    check_chunk_refused(&e);
    el_buf_deinit(&e.value);
    /* No block at all: version, bitmap, sum. */
    el_buf_add(&e.value, "\1\0\0........", 3 + SUM_BYTES);
    seal(e.key, &e.value);
    check_chunk_refused(&e);
    el_buf_deinit(&e.value);
}

/* ---- objects ---- */

static void random_fields(struct el_rng *rng, struct cache_meta *m)
{
    static const char *const names[] = { "ETag", "last-modified", "Date", "x-amz-id-2", "Server" };
    struct el_buf value = { 0 };
    size_t n = (size_t)el_rng_below(rng, 20);

    for (size_t i = 0; i < n; i++) {
        random_text(rng, el_rng_below(rng, 10) == 0 ? 3000 : 60, &value);
        el_fields_add(&m->fields, el_str_of(names[el_rng_below(rng, EL_COUNT(names))]),
                      el_buf_str(&value));
    }
    el_buf_deinit(&value);
}

static struct cache_meta *random_meta(struct el_rng *rng)
{
    static const int statuses[] = { 200, 203, 204, 300, 301, 404, 410, 501, 599 };
    struct cache_meta *m = cache_meta_new();
    uint64_t flags = el_rng_u64(rng);

    m->status = statuses[el_rng_below(rng, EL_COUNT(statuses))];
    m->has_strong_validator = (flags & 1) != 0;
    m->is_public = (flags & 2) != 0;
    m->from_object_store = (flags & 4) != 0;
    m->must_revalidate = (flags & 8) != 0;
    m->always_revalidate = (flags & 16) != 0;
    m->response_ms = (int64_t)el_rng_below(rng, (uint64_t)1 << 52);
    m->corrected_age_ms = (int64_t)el_rng_below(rng, (uint64_t)1 << el_rng_below(rng, 53));
    m->lifetime_ms = (int64_t)el_rng_below(rng, (uint64_t)1 << el_rng_below(rng, 53));
    random_fields(rng, m);
    random_text(rng, 100, &m->vary_bytes);
    if (m->vary_bytes.n > 0 && (flags & 32) != 0)
        m->vary =
            (struct el_str){ m->vary_bytes.p, (size_t)el_rng_below(rng, m->vary_bytes.n) + 1 };
    cache_meta_finish(m);
    return m;
}

static void random_object(struct el_rng *rng, struct el_buf *url, struct l2_object_record *ret)
{
    *ret = (struct l2_object_record){ 0 };
    random_bytes(rng, ret->id.v, sizeof(ret->id.v));
    random_text(rng, 300, url);
    el_buf_add_byte(url, '/');
    ret->url = el_buf_str(url);
    ret->meta = random_meta(rng);
    ret->length = el_rng_below(rng, CACHE_MAX_LENGTH + 1);
    ret->is_pinned = el_rng_below(rng, 2) == 1;
}

static bool is_object(struct el_str key, struct el_str value, struct l2_object_record *ret)
{
    struct el_error err = { 0 };
    enum el_err rc = l2_object_decode(key, value, ret, &err);

    assert_int_equal(err.code, rc);
    return rc == EL_OK;
}

/* Pointers into fields and vary bytes have to point into those of their own meta. */
static size_t place_of(struct el_str s, const struct cache_meta *m)
{
    for (size_t i = 0; i < m->fields.n; i++) {
        if (m->fields.v[i].value.p == s.p && m->fields.v[i].value.n == s.n)
            return i;
    }
    assert_int_equal(s.n, 0);
    return SIZE_MAX;
}

static void check_same_fields(const struct cache_meta *a, const struct cache_meta *b)
{
    assert_int_equal(a->fields.n, b->fields.n);
    for (size_t i = 0; i < a->fields.n; i++) {
        assert_true(el_str_eq(a->fields.v[i].name, b->fields.v[i].name));
        assert_true(el_str_eq(a->fields.v[i].value, b->fields.v[i].value));
    }
    assert_true(el_str_eq(el_buf_str(&a->head), el_buf_str(&b->head)));
    assert_int_equal(place_of(a->etag, a), place_of(b->etag, b));
    assert_int_equal(place_of(a->last_modified, a), place_of(b->last_modified, b));
}

static void check_same_meta(const struct cache_meta *a, const struct cache_meta *b)
{
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->has_strong_validator, b->has_strong_validator);
    assert_int_equal(a->is_public, b->is_public);
    assert_int_equal(a->from_object_store, b->from_object_store);
    assert_int_equal(a->must_revalidate, b->must_revalidate);
    assert_int_equal(a->always_revalidate, b->always_revalidate);
    assert_int_equal(a->response_ms, b->response_ms);
    assert_int_equal(a->corrected_age_ms, b->corrected_age_ms);
    assert_int_equal(a->lifetime_ms, b->lifetime_ms);
    assert_true(el_str_eq(el_buf_str(&a->vary_bytes), el_buf_str(&b->vary_bytes)));
    assert_int_equal(a->vary.n, b->vary.n);
    assert_true(b->vary.n == 0 || b->vary.p == b->vary_bytes.p);
    check_same_fields(a, b);
}

static void check_peek(struct el_str key, struct el_str value, const struct l2_object_record *r)
{
    struct cache_object_id id;
    struct el_str url;
    uint64_t length;
    bool is_pinned;

    assert_int_equal(l2_object_peek(key, value, &id, &url, &length, &is_pinned, NULL), EL_OK);
    assert_memory_equal(id.v, r->id.v, sizeof(id.v));
    assert_true(el_str_eq(url, r->url));
    assert_true(length == r->length);
    assert_int_equal(is_pinned, r->is_pinned);
}

static void an_object_is_read_as_it_was_written(void **state)
{
    struct el_buf url = { 0 }, value = { 0 };
    struct el_rng rng;

    (void)state;
    el_rng_seed(&rng, 3);
    for (unsigned i = 0; i < 500; i++) {
        struct l2_object_record r, again;

        random_object(&rng, &url, &r);
        el_buf_clear(&value);
        l2_object_encode(&r, &value);
        assert_true(is_object(id_key(&r.id), el_buf_str(&value), &again));
        assert_memory_equal(again.id.v, r.id.v, sizeof(r.id.v));
        assert_true(el_str_eq(again.url, r.url));
        assert_true(again.url.p > value.p && again.url.p < value.p + value.n);
        assert_true(again.length == r.length);
        assert_int_equal(again.is_pinned, r.is_pinned);
        check_same_meta(r.meta, again.meta);
        check_peek(id_key(&r.id), el_buf_str(&value), &r);
        cache_meta_unref(again.meta);
        cache_meta_unref(r.meta);
    }
    el_buf_deinit(&url);
    el_buf_deinit(&value);
}

static void what_the_nodes_key_opened_is_open_to_nobody_after_a_restart(void **state)
{
    struct l2_object_record r = { .url = URL, .length = 5 }, again;
    struct el_buf value = { 0 };

    (void)state;
    r.meta = meta_of("\"e\"", NULL);
    for (int by_node = 0; by_node < 2; by_node++) {
        el_buf_clear(&value);
        r.meta->is_public = true;
        r.meta->by_node = by_node;
        l2_object_encode(&r, &value);
        assert_int_equal(l2_object_decode(id_key(&r.id), el_buf_str(&value), &again, NULL), EL_OK);
        assert_int_equal(again.meta->is_public, !by_node);
        cache_meta_unref(again.meta);
    }
    cache_meta_unref(r.meta);
    el_buf_deinit(&value);
}

static void encode_one(struct l2_object_record *ret, struct el_buf *out)
{
    *ret = (struct l2_object_record){ .url = URL, .length = 5, .is_pinned = true };
    memset(ret->id.v, 0xbb, sizeof(ret->id.v));
    ret->meta = meta_of("\"e\"", NULL);
    ret->meta->is_public = ret->meta->always_revalidate = true;
    ret->meta->response_ms = 0x0102030405;
    ret->meta->corrected_age_ms = 6;
    ret->meta->lifetime_ms = 7;
    l2_object_encode(ret, out);
}

static void an_object_stands_in_the_index_as_documented(void **state)
{
    static const char expected[] = "\1\1\0\0\0\0\0\0\0\5\0\0\0\22http://s3.test/b/k"
                                   "\0\310\22\0\0\0\1\2\3\4\5\0\0\0\0\0\0\0\6\0\0\0\0\0\0\0\7"
                                   "\0\0\0\17\0\0\0\26accept-encoding\n=gzip\n"
                                   "\0\0\0\1\0\0\0\4etag\0\0\0\3\"e\"";
    struct el_buf value = { 0 };
    struct l2_object_record r;

    (void)state;
    encode_one(&r, &value);
    assert_int_equal(value.n, sizeof(expected) - 1 + SUM_BYTES);
    assert_memory_equal(value.p, expected, sizeof(expected) - 1);
    cache_meta_unref(r.meta);
    el_buf_deinit(&value);
}

static void check_object_refused(struct el_str key, const struct el_buf *value)
{
    struct l2_object_record untouched;

    memset(&untouched, 0x77, sizeof(untouched));
    assert_false(is_object(key, el_buf_str(value), &untouched));
    for (size_t i = 0; i < sizeof(untouched); i++)
        assert_int_equal(((const uint8_t *)&untouched)[i], 0x77);
}

static void an_object_of_any_other_length_is_refused(void **state)
{
    struct el_buf value = { 0 };
    struct l2_object_record r;
    struct el_str key;
    size_t n;

    (void)state;
    encode_one(&r, &value);
    key = id_key(&r.id);
    n = value.n;
    for (value.n = 0; value.n < n; value.n++)
        check_object_refused(key, &value);
    el_buf_add_byte(&value, 0);
    check_object_refused(key, &value);
    seal(key, &value);
    check_object_refused(key, &value);
    while (value.n > SUM_BYTES + 1) {
        value.n--;
        if (value.n == n)
            continue;
        seal(key, &value);
        check_object_refused(key, &value);
    }
    cache_meta_unref(r.meta);
    el_buf_deinit(&value);
}

/* A record that is accepted says what it says: written again it is the same. */
static bool is_same_again(struct el_str key, const struct el_buf *value)
{
    struct l2_object_record r;
    struct el_buf again = { 0 };

    if (!is_object(key, el_buf_str(value), &r))
        return false;
    check_peek(key, el_buf_str(value), &r);
    l2_object_encode(&r, &again);
    assert_true(el_str_eq(el_buf_str(&again), el_buf_str(value)));
    el_buf_deinit(&again);
    cache_meta_unref(r.meta);
    return true;
}

static void a_fallen_bit_of_an_object_never_makes_another(void **state)
{
    struct el_buf value = { 0 }, sealed = { 0 };
    struct l2_object_record r;
    unsigned accepted = 0;
    struct el_str key;

    (void)state;
    encode_one(&r, &value);
    key = id_key(&r.id);
    for (size_t bit = 0; bit < value.n * 8; bit++) {
        value.p[bit / 8] = (char)(value.p[bit / 8] ^ (1 << bit % 8));
        check_object_refused(key, &value);
        el_buf_clear(&sealed);
        el_buf_add_str(&sealed, el_buf_str(&value));
        seal(key, &sealed);
        accepted += is_same_again(key, &sealed);
        value.p[bit / 8] = (char)(value.p[bit / 8] ^ (1 << bit % 8));
    }
    assert_in_range(accepted, 100, value.n * 8);
    cache_meta_unref(r.meta);
    el_buf_deinit(&value);
    el_buf_deinit(&sealed);
}

static void an_object_under_another_key_is_refused(void **state)
{
    struct el_buf value = { 0 };
    struct l2_object_record r;
    struct el_str key;

    (void)state;
    encode_one(&r, &value);
    r.id.v[3] ^= 1;
    check_object_refused(id_key(&r.id), &value);
    key = el_str_first(id_key(&r.id), 15);
    seal(key, &value);
    check_object_refused(key, &value);
    cache_meta_unref(r.meta);
    el_buf_deinit(&value);
}

static bool is_accepted(struct cache_meta *m, uint64_t length)
{
    struct l2_object_record r = { .url = URL, .meta = m, .length = length };
    struct el_buf value = { 0 };
    bool is_fine;

    l2_object_encode(&r, &value);
    is_fine = is_same_again(id_key(&r.id), &value);
    el_buf_deinit(&value);
    cache_meta_unref(m);
    return is_fine;
}

static struct cache_meta *meta_of_status(int status)
{
    struct cache_meta *m = meta_of(NULL, NULL);

    m->status = status;
    return m;
}

static struct cache_meta *meta_of_times(int64_t response, int64_t age, int64_t lifetime)
{
    struct cache_meta *m = meta_of(NULL, NULL);

    m->response_ms = response;
    m->corrected_age_ms = age;
    m->lifetime_ms = lifetime;
    return m;
}

static struct cache_meta *meta_of_field(struct el_str name, struct el_str value)
{
    struct cache_meta *m = meta_of(NULL, NULL);

    el_fields_add(&m->fields, name, value);
    return m;
}

static void an_answer_that_cannot_be_is_refused_though_its_sum_fits(void **state)
{
    const int64_t max = (int64_t)1 << 52;

    (void)state;
    assert_true(is_accepted(meta_of_status(404), CACHE_MAX_LENGTH));
    assert_false(is_accepted(meta_of_status(206), 0));
    assert_false(is_accepted(meta_of_status(304), 0));
    assert_false(is_accepted(meta_of_status(199), 0));
    assert_false(is_accepted(meta_of_status(600), 0));
    assert_true(is_accepted(meta_of_times(max, max, max), 0));
    assert_false(is_accepted(meta_of_times(max + 1, 0, 0), 0));
    assert_false(is_accepted(meta_of_times(0, INT64_MAX, 0), 0));
    assert_false(is_accepted(meta_of_times(0, 0, -1), 0));
    assert_true(is_accepted(meta_of_field(EL_STR("a"), EL_STR("")), 0));
    assert_false(is_accepted(meta_of_field(EL_STR(""), EL_STR("b")), 0));
    assert_false(is_accepted(meta_of_field(EL_STR("a:"), EL_STR("b")), 0));
    assert_false(is_accepted(meta_of_field(EL_STR("a\r"), EL_STR("b")), 0));
    assert_false(is_accepted(meta_of_field(EL_STR("a"), EL_STR("b\r\nSet-Cookie: c")), 0));
    assert_false(is_accepted(meta_of_field(EL_STR("a"), EL_STR("b\nc")), 0));
    assert_false(is_accepted(meta_of_field(EL_STR("a"), EL_STR("b\0c")), 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_identity_is_the_hash_of_url_variant_validator_and_length),
        cmocka_unit_test(each_part_of_a_version_counts_for_its_identity),
        cmocka_unit_test(a_chunk_is_read_as_it_was_written),
        cmocka_unit_test(a_chunk_stands_in_the_index_as_documented),
        cmocka_unit_test(a_chunk_of_any_other_length_is_refused),
        cmocka_unit_test(a_fallen_bit_of_a_chunk_never_makes_another),
        cmocka_unit_test(a_chunk_under_another_key_is_refused),
        cmocka_unit_test(a_chunk_that_cannot_be_is_refused_though_its_sum_fits),
        cmocka_unit_test(an_object_is_read_as_it_was_written),
        cmocka_unit_test(what_the_nodes_key_opened_is_open_to_nobody_after_a_restart),
        cmocka_unit_test(an_object_stands_in_the_index_as_documented),
        cmocka_unit_test(an_object_of_any_other_length_is_refused),
        cmocka_unit_test(a_fallen_bit_of_an_object_never_makes_another),
        cmocka_unit_test(an_object_under_another_key_is_refused),
        cmocka_unit_test(an_answer_that_cannot_be_is_refused_though_its_sum_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
