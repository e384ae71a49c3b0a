/* SPDX-License-Identifier: MIT */
/* ring: see the header. */
#include "storage/ring.h"

#define LEAST_BYTES ((size_t)(16 * EL_KIB)) /* what one callback of the client may bring */

static size_t capacity(const struct store_ring *r)
{
    return r->cap > 0 ? r->cap : STORE_RING_BYTES;
}

void store_ring_size(struct store_ring *r, uint64_t at_most)
{
    EL_ASSERT(r->mem == NULL);
    r->cap = (size_t)el_max_u64(LEAST_BYTES, el_min_u64(at_most, STORE_RING_BYTES));
}

void store_ring_deinit(struct store_ring *r)
{
    free(r->mem);
    *r = (struct store_ring){ 0 };
}

size_t store_ring_room(const struct store_ring *r)
{
    return capacity(r) - r->n;
}

size_t store_ring_write(struct store_ring *r, const void *bytes, size_t n)
{
    size_t tail, upper;

    if (r->mem == NULL) {
        r->cap = capacity(r);
        r->mem = el_try_alloc(r->cap);
        if (r->mem == NULL)
            return 0;
    }
    n = el_min_size(n, r->cap - r->n);
    tail = (r->head + r->n) % r->cap;
    upper = el_min_size(n, r->cap - tail);
    memcpy(r->mem + tail, bytes, upper);
    memcpy(r->mem, (const uint8_t *)bytes + upper, n - upper);
    r->n += n;
    return n;
}

size_t store_ring_read(struct store_ring *r, void *room, size_t n)
{
    size_t done = 0;

    while (done < n && r->n > 0) {
        const void *bytes;
        size_t some;

        store_ring_peek(r, &bytes, &some);
        some = el_min_size(some, n - done);
        memcpy((uint8_t *)room + done, bytes, some);
        store_ring_consume(r, some);
        done += some;
    }
    return done;
}

void store_ring_peek(const struct store_ring *r, const void **ret_bytes, size_t *ret_n)
{
    *ret_n = r->n == 0 ? 0 : el_min_size(r->n, r->cap - r->head);
    *ret_bytes = r->n == 0 ? NULL : r->mem + r->head;
}

void store_ring_consume(struct store_ring *r, size_t n)
{
    EL_ASSERT(n <= r->n);
    if (n == 0)
        return;
    r->head = (r->head + n) % r->cap;
    r->n -= n;
    if (r->n == 0)
        r->head = 0; /* the next bytes lie together */
}
