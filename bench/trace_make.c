/* SPDX-License-Identifier: MIT */
/* trace_make: the traces. Seeded: each run has the same. */
#include <math.h>

#include "bench/trace.h"
#include "common/rng.h"

/* ---- popularity: the k-th most popular is asked for in proportion to 1 / k^s ---- */

struct zipf {
    double *upto; /* sums */
    uint32_t n;
};

static bool zipf_init(struct zipf *z, uint32_t n, double s)
{
    double sum = 0;

    z->n = n;
    z->upto = (double *)el_try_alloc(n * sizeof(*z->upto));
    if (z->upto == NULL)
        return false;
    for (uint32_t k = 0; k < n; k++)
        z->upto[k] = sum += pow(k + 1, -s);
    return true;
}

static void zipf_deinit(struct zipf *z)
{
    free(z->upto);
}

static uint32_t zipf_draw(const struct zipf *z, struct el_rng *rng)
{
    double u = el_rng_unit(rng) * z->upto[z->n - 1];
    uint32_t low = 0, high = z->n - 1;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (z->upto[mid] > u)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

/* ---- parts ---- */

/* All are chunks at first. */
static bool trace_init(struct trace *t, const struct trace_shape *shape, const char *name,
                       uint32_t n_things)
{
    *t = (struct trace){
        .name = name,
        .regions = shape->regions,
        .n_things = n_things,
        .bytes = (uint32_t *)el_try_alloc(n_things * sizeof(*t->bytes)),
        .n = shape->accesses,
        .asked = (uint32_t *)el_try_alloc(shape->accesses * sizeof(*t->asked)),
    };
    if (t->bytes == NULL || t->asked == NULL) {
        trace_deinit(t);
        return false;
    }
    for (uint32_t i = 0; i < n_things; i++)
        t->bytes[i] = L2_REGION_BYTES;
    return true;
}

void trace_deinit(struct trace *t)
{
    free(t->bytes);
    free(t->asked);
}

static void shuffle(uint32_t *v, uint32_t n, struct el_rng *rng)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = (uint32_t)el_rng_below(rng, i), x = v[i - 1];

        v[i - 1] = v[j];
        v[j] = x;
    }
}

/* 0 .. n - 1 in any order; NULL: memory is out. */
static uint32_t *shuffled(uint32_t n, struct el_rng *rng)
{
    uint32_t *v = (uint32_t *)el_try_alloc(n * sizeof(*v));

    for (uint32_t i = 0; v != NULL && i < n; i++)
        v[i] = i;
    if (v != NULL)
        shuffle(v, n, rng);
    return v;
}

/* ---- the traces ---- */

#define SKEW 0.9

/*
 * Of the accesses half are to chunks, of which there are eight times as many as the cache has
 * regions, and half to short objects of 4 KiB to 1 MiB, spread evenly over the logarithm of the
 * length, together three quarters of the cache. Popular by Zipf.
 */
static bool make_mix(const struct trace_shape *shape, struct trace *t)
{
    uint32_t n_chunks = 8 * shape->regions, n_short = 64 * shape->regions;
    struct zipf chunks = { 0 }, shorts = { 0 };
    struct el_rng rng;
    bool is_made = false;

    el_rng_seed(&rng, 1);
    if (!trace_init(t, shape, "chunks and short objects", n_chunks + n_short))
        return false;
    if (!zipf_init(&chunks, n_chunks, SKEW) || !zipf_init(&shorts, n_short, SKEW))
        goto done;
    for (uint32_t i = 0; i < n_short; i++)
        t->bytes[n_chunks + i] = (uint32_t)exp2(8 * el_rng_unit(&rng)) * L2_ALIGN;
    for (size_t i = 0; i < t->n; i++)
        t->asked[i] = el_rng_below(&rng, 2) == 0 ? zipf_draw(&chunks, &rng)
                                                 : n_chunks + zipf_draw(&shorts, &rng);
    is_made = true;
done:
    zipf_deinit(&chunks);
    zipf_deinit(&shorts);
    if (!is_made)
        trace_deinit(t);
    return is_made;
}

/*
 * A dataset of four times the cache is read once an epoch, each time in another order. Beside it a
 * model of an eighth of the cache is read from beginning to end again and again.
 */
static bool make_epochs(const struct trace_shape *shape, struct trace *t)
{
    uint32_t dataset = 4 * shape->regions, model = shape->regions / 8, at = 0, *order;
    size_t each = shape->model_each;
    struct el_rng rng;

    el_rng_seed(&rng, 2);
    if (!trace_init(t, shape, "training epochs beside a model", dataset + model))
        return false;
    order = shuffled(dataset, &rng);
    if (order == NULL) {
        trace_deinit(t);
        return false;
    }
    for (size_t i = 0; i < t->n; i++) {
        if (i % each == each - 1) {
            t->asked[i] = dataset + (uint32_t)(i / each % model);
            continue;
        }
        t->asked[i] = order[at++];
        if (at == dataset) {
            shuffle(order, dataset, &rng);
            at = 0;
        }
    }
    free(order);
    return true;
}

/* One in eight of the most popular ones, as many as there are regions, changes places with any. */
static void shift(const struct trace *t, uint32_t *chunk_of, struct el_rng *rng)
{
    for (uint32_t k = 0; k < t->regions / 8; k++) {
        uint64_t a = el_rng_below(rng, t->regions), b = el_rng_below(rng, t->n_things);
        uint32_t was = chunk_of[a];

        chunk_of[a] = chunk_of[b];
        chunk_of[b] = was;
    }
}

/* Chunks, eight times as many as the cache has regions, popular by Zipf, but not the same for long.
 */
static bool make_shifting(const struct trace_shape *shape, struct trace *t)
{
    uint32_t n_chunks = 8 * shape->regions, *chunk_of;
    struct zipf z = { 0 };
    struct el_rng rng;

    el_rng_seed(&rng, 3);
    if (!trace_init(t, shape, "a hot set that shifts", n_chunks))
        return false;
    chunk_of = shuffled(n_chunks, &rng);
    if (chunk_of == NULL || !zipf_init(&z, n_chunks, SKEW)) {
        free(chunk_of);
        trace_deinit(t);
        return false;
    }
    for (size_t i = 0; i < t->n; i++) {
        if (i % shape->shift_each == 0)
            shift(t, chunk_of, &rng);
        t->asked[i] = chunk_of[zipf_draw(&z, &rng)];
    }
    zipf_deinit(&z);
    free(chunk_of);
    return true;
}

bool trace_make(unsigned which, const struct trace_shape *shape, struct trace *ret)
{
    static bool (*const makers[TRACES])(const struct trace_shape *,
                                        struct trace *) = { make_mix, make_epochs, make_shifting };

    EL_ASSERT(which < TRACES);
    return makers[which](shape, ret);
}
