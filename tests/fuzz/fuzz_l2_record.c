/* SPDX-License-Identifier: MIT */
/*
 * An input is 'c' or 'o', then a value of a chunk or an object without its checksum, which would
 * let nothing through that was not written by us. What is accepted is written again as the same.
 */
#include "cache/l2_record.h"
#include "common/bytes.h"
#include "tests/fuzz/fuzz.h"

static void check_chunk(struct el_str value)
{
    uint8_t key_bytes[L2_CHUNK_KEY_BYTES] = { 1, 2, 3 };
    struct el_str key = { (const char *)key_bytes, sizeof(key_bytes) };
    struct l2_chunk_record r;
    struct el_buf again = { 0 };

    if (l2_chunk_decode(key, value, &r, NULL) != EL_OK)
        return;
    l2_chunk_encode(&r, &again);
    CLAIM(el_str_eq(el_buf_str(&again), value));
    el_buf_deinit(&again);
}

static void check_peek(struct el_str key, struct el_str value, const struct l2_object_record *r)
{
    struct cache_object_id id;
    struct el_str url;
    uint64_t length;
    bool is_pinned;
    enum el_err rc = l2_object_peek(key, value, &id, &url, &length, &is_pinned, NULL);

    if (r != NULL)
        CLAIM(rc == EL_OK && el_str_eq(url, r->url) && length == r->length &&
              is_pinned == r->is_pinned);
}

static void check_object(struct el_str value)
{
    struct cache_object_id id = { { 4, 5, 6 } };
    struct el_str key = { (const char *)id.v, sizeof(id.v) };
    struct l2_object_record r;
    struct el_buf again = { 0 };

    if (l2_object_decode(key, value, &r, NULL) != EL_OK) {
        check_peek(key, value, NULL);
        return;
    }
    check_peek(key, value, &r);
    CLAIM(r.meta->vary.n <= r.meta->vary_bytes.n && r.url.n > 0);
    l2_object_encode(&r, &again);
    CLAIM(el_str_eq(el_buf_str(&again), value));
    el_buf_deinit(&again);
    cache_meta_unref(r.meta);
}

/* In memory of just its size: a sanitizer sees a read beyond it. */
static void give_sealed(struct el_str key, struct el_str bytes, void (*check)(struct el_str value))
{
    struct el_buf sum = { 0 };
    char *exact = el_alloc(bytes.n + sizeof(uint64_t));

    el_bytes_add_u64(&sum, l2_record_sum(key, bytes));
    if (bytes.n > 0)
        memcpy(exact, bytes.p, bytes.n);
    memcpy(exact + bytes.n, sum.p, sum.n);
    check((struct el_str){ exact, bytes.n + sum.n });
    free(exact);
    el_buf_deinit(&sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const uint8_t chunk_key[L2_CHUNK_KEY_BYTES] = { 1, 2, 3 }, object_key[16] = { 4, 5, 6 };
    struct el_str bytes = { (const char *)data, n }, rest = el_str_from(bytes, 1);

    check_chunk(bytes);
    check_object(bytes);
    if (n > 0 && data[0] == 'c')
        give_sealed((struct el_str){ (const char *)chunk_key, sizeof(chunk_key) }, rest,
                    check_chunk);
    else
        give_sealed((struct el_str){ (const char *)object_key, sizeof(object_key) }, rest,
                    check_object);
    return 0;
}
