/* SPDX-License-Identifier: MIT */
/* Regions against a model that knows each piece: what is where, what is free, what may leave. */
#include "tests/lib/test.h"

#include "cache/l2_region.h"
#include "common/rng.h"

#define REGIONS    24u
#define PIECES     4096u
#define STEPS      60000u
#define SLOTS      (L2_REGION_BYTES / L2_ALIGN)
#define CHECK_EACH 64u

static const struct cache_weights weights = { .age = 1.0, .replicas = 0.5, .heat = 0.3 };

static uint32_t aligned(uint32_t bytes)
{
    return (bytes + L2_ALIGN - 1) / L2_ALIGN * L2_ALIGN;
}

/* ---- the model ---- */

struct piece {
    uint32_t region, offset, bytes; /* bytes 0: not in use */
    bool in_place, is_pinned;
};

struct model {
    struct l2_regions *rs;
    struct el_rng rng;
    uint64_t now_ms;
    struct piece pieces[PIECES];
    enum l2_region_state states[REGIONS];
    uint32_t next_block[REGIONS]; /* of a chunk's region */
    uint32_t busy[REGIONS];
    bool is_log[REGIONS];
};

static uint32_t below(struct model *m, uint32_t bound)
{
    return (uint32_t)el_rng_below(&m->rng, bound);
}

static struct piece *unused_piece(struct model *m)
{
    for (size_t i = 0; i < PIECES; i++) {
        if (m->pieces[i].bytes == 0)
            return &m->pieces[i];
    }
    return NULL;
}

/* A random one; NULL when there is none. */
static struct piece *some_piece(struct model *m)
{
    uint32_t from = below(m, PIECES);

    for (uint32_t i = 0; i < PIECES; i++) {
        struct piece *p = &m->pieces[(from + i) % PIECES];

        if (p->bytes != 0)
            return p;
    }
    return NULL;
}

static uint32_t pieces_of(const struct model *m, uint32_t region, uint32_t *ret_pinned)
{
    uint32_t n = 0;

    *ret_pinned = 0;
    for (size_t i = 0; i < PIECES; i++) {
        const struct piece *p = &m->pieces[i];

        n += p->bytes != 0 && p->region == region;
        *ret_pinned += p->bytes != 0 && p->region == region && p->is_pinned;
    }
    return n;
}

static uint32_t live_in(const struct model *m, uint32_t region)
{
    uint32_t live = 0;

    for (size_t i = 0; i < PIECES; i++) {
        if (m->pieces[i].bytes != 0 && m->pieces[i].region == region)
            live += aligned(m->pieces[i].bytes);
    }
    return live;
}

static bool model_may_leave(const struct model *m, uint32_t region)
{
    uint32_t pinned, n = pieces_of(m, region, &pinned);
    bool is_dead_log = m->is_log[region] && live_in(m, region) < 8 * EL_MIB;
    bool is_settled = m->states[region] == L2_FULL ||
                      (m->states[region] == L2_OPEN && !m->is_log[region] && n > 0);

    return is_settled && m->busy[region] == 0 && (2 * pinned <= n || is_dead_log);
}

/* ---- steps: the same to both ---- */

static void step_take_chunk(struct model *m)
{
    uint32_t region = l2_region_take_chunk(m->rs, m->now_ms);

    if (region == L2_NO_REGION) {
        assert_int_equal(l2_regions_free_count(m->rs), 0);
        return;
    }
    assert_int_equal(m->states[region], L2_FREE);
    m->states[region] = L2_OPEN;
    m->is_log[region] = false;
    m->next_block[region] = 0;
}

static void step_write_block(struct model *m)
{
    uint32_t region = below(m, REGIONS), bytes = below(m, CACHE_BLOCK_BYTES) + 1;
    struct piece *p = unused_piece(m);

    if (m->states[region] != L2_OPEN || m->is_log[region] || p == NULL ||
        m->next_block[region] == CACHE_CHUNK_BLOCKS)
        return;
    l2_region_add(m->rs, region, bytes);
    *p = (struct piece){ .region = region, .bytes = bytes, .in_place = true };
    p->offset = (uint32_t)(m->next_block[region]++ * CACHE_BLOCK_BYTES);
}

/* The log turned to another region: the one before is FULL. */
static void note_log(struct model *m, uint32_t region)
{
    if (m->states[region] == L2_OPEN)
        return;
    assert_int_equal(m->states[region], L2_FREE);
    for (uint32_t i = 0; i < REGIONS; i++) {
        if (m->is_log[i] && m->states[i] == L2_OPEN)
            m->states[i] = L2_FULL;
    }
    m->states[region] = L2_OPEN;
    m->is_log[region] = true;
}

static void step_write_piece(struct model *m)
{
    uint32_t bytes = below(m, CACHE_BLOCK_BYTES) + 1, region, offset;
    struct piece *p = unused_piece(m);

    if (p == NULL)
        return;
    if (!l2_region_take_piece(m->rs, bytes, m->now_ms, &region, &offset)) {
        assert_int_equal(l2_regions_free_count(m->rs), 0);
        return;
    }
    assert_true(offset % L2_ALIGN == 0 && offset + aligned(bytes) <= L2_REGION_BYTES);
    note_log(m, region);
    assert_true(m->is_log[region]);
    if (below(m, 8) == 0)
        return; /* the write failed: its place stays empty */
    l2_region_add(m->rs, region, bytes);
    *p = (struct piece){ .region = region, .offset = offset, .bytes = bytes };
}

static void step_close(struct model *m)
{
    uint32_t region = below(m, REGIONS);

    if (m->states[region] != L2_OPEN || m->is_log[region])
        return;
    l2_region_close(m->rs, region);
    m->states[region] = L2_FULL;
}

static void drop(struct model *m, struct piece *p)
{
    uint32_t pinned, region = p->region;
    bool leaves = l2_region_drop(m->rs, region, p->bytes, p->is_pinned);

    p->bytes = 0;
    assert_int_equal(leaves, m->states[region] == L2_FULL && m->busy[region] == 0 &&
                                 pieces_of(m, region, &pinned) == 0);
    if (leaves)
        m->states[region] = L2_LEAVING;
}

static void step_drop(struct model *m)
{
    struct piece *p = some_piece(m);

    if (p != NULL)
        drop(m, p);
}

static void step_pin(struct model *m)
{
    struct piece *p = some_piece(m);

    if (p == NULL)
        return;
    p->is_pinned = !p->is_pinned;
    l2_region_pin(m->rs, p->region, p->is_pinned);
}

static void step_busy(struct model *m)
{
    uint32_t region = below(m, REGIONS);

    if (m->states[region] != L2_OPEN && m->states[region] != L2_FULL)
        return;
    if (m->busy[region] > 0 && below(m, 3) > 0) {
        m->busy[region]--;
        l2_region_busy(m->rs, region, -1);
        return;
    }
    m->busy[region]++;
    l2_region_busy(m->rs, region, 1);
}

static void step_touch(struct model *m)
{
    struct piece *p = some_piece(m);

    if (p != NULL)
        l2_region_touch(m->rs, p->region, m->now_ms);
}

static void drop_all(struct model *m, uint32_t region)
{
    for (size_t i = 0; i < PIECES; i++) {
        if (m->pieces[i].bytes != 0 && m->pieces[i].region == region)
            drop(m, &m->pieces[i]);
    }
}

static void step_victim(struct model *m)
{
    uint32_t victim = l2_region_victim(m->rs, m->now_ms, el_rng_u64(&m->rng));

    if (victim == L2_NO_REGION) {
        for (uint32_t i = 0; i < REGIONS; i++)
            assert_false(model_may_leave(m, i));
        return;
    }
    assert_true(model_may_leave(m, victim));
    l2_region_give_up(m->rs, victim);
    m->states[victim] = L2_LEAVING;
    drop_all(m, victim);
}

static void step_freed(struct model *m)
{
    uint32_t region = below(m, REGIONS);

    if (m->states[region] != L2_LEAVING)
        return;
    l2_region_freed(m->rs, region);
    m->states[region] = L2_FREE;
}

/* ---- comparing ---- */

static void check_sums(const struct model *m, uint32_t region)
{
    const struct l2_region *r = l2_region_get(m->rs, region);
    uint32_t pinned, n = pieces_of(m, region, &pinned);

    assert_int_equal(r->state, m->states[region]);
    assert_int_equal(r->live, live_in(m, region));
    assert_int_equal(r->pieces, n);
    assert_int_equal(r->pinned, pinned);
    assert_int_equal(r->busy, m->busy[region]);
}

static void check_overlap(const struct model *m)
{
    uint8_t *used = (uint8_t *)calloc(REGIONS, SLOTS);

    assert_non_null(used);
    for (size_t i = 0; i < PIECES; i++) {
        const struct piece *p = &m->pieces[i];
        size_t first = p->region * SLOTS + p->offset / L2_ALIGN;

        for (size_t slot = first; slot < first + aligned(p->bytes) / L2_ALIGN; slot++)
            assert_int_equal(used[slot]++, 0);
    }
    free(used);
}

static void check(const struct model *m)
{
    uint32_t n_free = 0;
    uint64_t live = 0;

    for (uint32_t i = 0; i < REGIONS; i++) {
        check_sums(m, i);
        n_free += m->states[i] == L2_FREE;
        live += l2_region_get(m->rs, i)->live;
    }
    assert_int_equal(l2_regions_free_count(m->rs), n_free);
    assert_int_equal(l2_regions_live_bytes(m->rs), live);
    check_overlap(m);
}

static void (*const steps[])(struct model *) = {
    step_take_chunk,  step_write_block, step_write_block, step_write_block, step_write_piece,
    step_write_piece, step_write_piece, step_write_piece, step_close,       step_drop,
    step_drop,        step_pin,         step_busy,        step_touch,       step_victim,
    step_freed,       step_freed,
};

static struct model *model_new(uint64_t seed)
{
    struct model *m = el_new(struct model);

    m->rs = l2_regions_new(REGIONS, &weights);
    assert_non_null(m->rs);
    el_rng_seed(&m->rng, seed);
    m->now_ms = 1;
    return m;
}

static void model_free(struct model *m)
{
    l2_regions_free(m->rs);
    free(m);
}

static void run_steps(struct model *m, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        m->now_ms += below(m, 1000);
        steps[below(m, EL_COUNT(steps))](m);
        if (i % CHECK_EACH == 0)
            check(m);
    }
    check(m);
}

static void any_sequence_leaves_what_a_naive_model_has(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct model *m = model_new(seed);

        run_steps(m, STEPS);
        model_free(m);
    }
}

/* ---- start ---- */

static void restore_all(const struct model *m, struct l2_regions *rs)
{
    for (size_t i = 0; i < PIECES; i++) {
        const struct piece *p = &m->pieces[i];

        if (p->bytes != 0)
            assert_true(l2_region_restore(rs, p->region, p->offset, p->bytes, p->in_place));
    }
    l2_regions_restored(rs, 5000);
}

static void restoring_rebuilds_what_was_there(void **state)
{
    struct model *m = model_new(4);
    struct l2_regions *rs = l2_regions_new(REGIONS, &weights);
    uint32_t n_free = 0;

    (void)state;
    run_steps(m, 5000);
    restore_all(m, rs);
    for (uint32_t i = 0; i < REGIONS; i++) {
        const struct l2_region *was = l2_region_get(m->rs, i), *is = l2_region_get(rs, i);

        assert_int_equal(is->live, was->live);
        assert_int_equal(is->pieces, was->pieces);
        assert_int_equal(is->state, was->pieces > 0 ? L2_FULL : L2_FREE);
        assert_true(was->pieces == 0 || (is->is_log == was->is_log && is->used_ms == 5000));
        n_free += is->state == L2_FREE;
    }
    assert_int_equal(l2_regions_live_bytes(rs), l2_regions_live_bytes(m->rs));
    assert_int_equal(l2_regions_free_count(rs), n_free);
    l2_regions_free(rs);
    model_free(m);
}

static void what_cannot_be_a_place_is_not_restored(void **state)
{
    struct l2_regions *rs = l2_regions_new(2, &weights);
    const uint32_t block = (uint32_t)CACHE_BLOCK_BYTES, all = (uint32_t)L2_REGION_BYTES;

    (void)state;
    assert_false(l2_region_restore(rs, 2, 0, 1, false));
    assert_false(l2_region_restore(rs, L2_NO_REGION, 0, 1, false));
    assert_false(l2_region_restore(rs, 0, 0, 0, false));
    assert_false(l2_region_restore(rs, 0, 1, 1, false));
    assert_false(l2_region_restore(rs, 0, all, 1, false));
    assert_false(l2_region_restore(rs, 0, UINT32_MAX - L2_ALIGN + 1, L2_ALIGN, false));
    assert_false(l2_region_restore(rs, 0, 0, UINT32_MAX, false));
    assert_false(l2_region_restore(rs, 0, all - L2_ALIGN, L2_ALIGN + 1, false));
    assert_false(l2_region_restore(rs, 0, L2_ALIGN, 1, true)); /* no block begins there */
    assert_false(l2_region_restore(rs, 0, 0, block + 1, true));
    assert_int_equal(l2_regions_live_bytes(rs), 0);
    assert_true(l2_region_restore(rs, 0, all - L2_ALIGN, L2_ALIGN, false));
    assert_int_equal(l2_regions_live_bytes(rs), L2_ALIGN);
    l2_regions_free(rs);
}

static void pieces_that_cannot_all_be_there_are_refused(void **state)
{
    struct l2_regions *rs = l2_regions_new(2, &weights);

    (void)state;
    assert_true(l2_region_restore(rs, 0, L2_ALIGN, L2_ALIGN, false));
    assert_true(l2_region_restore(rs, 0, 0, 1, false));
    assert_false(l2_region_restore(rs, 0, L2_ALIGN, 1, false)); /* a third in the room of two */
    assert_false(l2_region_restore(rs, 0, CACHE_BLOCK_BYTES, 1, true)); /* a chunk in the log */
    assert_true(l2_region_restore(rs, 1, CACHE_BLOCK_BYTES, 1, true));
    assert_false(l2_region_restore(rs, 1, 0, 1, false));
    l2_regions_free(rs);
}

/* ---- who leaves ---- */

/* FULL, with one block. */
static uint32_t full_chunk(struct l2_regions *rs, uint64_t now_ms)
{
    uint32_t region = l2_region_take_chunk(rs, now_ms);

    assert_int_not_equal(region, L2_NO_REGION);
    l2_region_add(rs, region, CACHE_BLOCK_BYTES);
    l2_region_close(rs, region);
    return region;
}

static void a_busy_region_is_no_victim_and_an_idle_one_is(void **state)
{
    struct l2_regions *rs = l2_regions_new(1, &weights);
    uint32_t region = full_chunk(rs, 1);

    (void)state;
    l2_region_busy(rs, region, 1);
    l2_region_busy(rs, region, 1);
    l2_region_busy(rs, region, -1);
    assert_int_equal(l2_region_victim(rs, 9, 1), L2_NO_REGION);
    l2_region_busy(rs, region, -1);
    assert_int_equal(l2_region_victim(rs, 9, 1), region);
    l2_regions_free(rs);
}

static void a_mostly_pinned_region_is_no_victim(void **state)
{
    struct l2_regions *rs = l2_regions_new(1, &weights);
    uint32_t region = full_chunk(rs, 1);

    (void)state;
    l2_region_pin(rs, region, true);
    assert_int_equal(l2_region_victim(rs, 9, 1), L2_NO_REGION);
    l2_region_add(rs, region, CACHE_BLOCK_BYTES);
    assert_int_equal(l2_region_victim(rs, 9, 1), region); /* half of it may be moved */
    assert_false(l2_region_drop(rs, region, CACHE_BLOCK_BYTES, false));
    assert_int_equal(l2_region_victim(rs, 9, 1), L2_NO_REGION);
    l2_region_pin(rs, region, false);
    assert_int_equal(l2_region_victim(rs, 9, 1), region);
    l2_regions_free(rs);
}

static void a_busy_region_that_loses_its_last_piece_is_the_next_victim_once_idle(void **state)
{
    struct l2_regions *rs = l2_regions_new(2, &weights);
    uint32_t old = full_chunk(rs, 1), region = full_chunk(rs, 500);

    (void)state;
    l2_region_busy(rs, region, 1);
    assert_false(l2_region_drop(rs, region, CACHE_BLOCK_BYTES, false));
    assert_int_equal(l2_region_victim(rs, 900, 1), old);
    l2_region_busy(rs, region, -1);
    assert_int_equal(l2_region_victim(rs, 900, 1), region);
    assert_int_equal(l2_region_get(rs, region)->state, L2_FULL);
    l2_regions_free(rs);
}

/* A log of sixteen pieces of 1 MiB; returns its region. */
static uint32_t full_log(struct l2_regions *rs, uint64_t now_ms)
{
    uint32_t first = L2_NO_REGION, region, offset;

    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        assert_true(l2_region_take_piece(rs, CACHE_BLOCK_BYTES, now_ms, &region, &offset));
        assert_true(i == 0 || region == first);
        first = region;
        l2_region_add(rs, region, CACHE_BLOCK_BYTES);
    }
    l2_region_close(rs, first);
    return first;
}

/* All but one of its pieces died; that one is pinned, and would keep 16 MiB for itself. */
static void a_pinned_piece_does_not_hold_a_log_that_is_mostly_dead(void **state)
{
    struct l2_regions *rs = l2_regions_new(2, &weights);
    uint32_t region = full_log(rs, 1);

    (void)state;
    for (unsigned i = 0; i < 16; i++)
        l2_region_pin(rs, region, true);
    assert_int_equal(l2_region_victim(rs, 9, 1), L2_NO_REGION);
    for (unsigned i = 0; i < 8; i++)
        assert_false(l2_region_drop(rs, region, CACHE_BLOCK_BYTES, true));
    assert_int_equal(l2_region_victim(rs, 9, 1), L2_NO_REGION); /* half of it is alive */
    assert_false(l2_region_drop(rs, region, CACHE_BLOCK_BYTES, true));
    assert_int_equal(l2_region_victim(rs, 9, 1), region);
    l2_regions_free(rs);
}

static void a_log_that_is_mostly_dead_leaves_before_an_older_region(void **state)
{
    struct l2_regions *rs = l2_regions_new(4, &weights);
    uint32_t old = full_chunk(rs, 1), log = full_log(rs, 500);

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        assert_false(l2_region_drop(rs, log, CACHE_BLOCK_BYTES, false));
    assert_int_equal(l2_region_victim(rs, 900, 1), old); /* half of it is alive */
    assert_false(l2_region_drop(rs, log, CACHE_BLOCK_BYTES, false));
    assert_int_equal(l2_region_victim(rs, 900, 1), log);
    l2_regions_free(rs);
}

static void of_two_that_are_mostly_dead_the_one_with_less_alive_leaves(void **state)
{
    struct l2_regions *rs = l2_regions_new(4, &weights);
    uint32_t a = full_log(rs, 1), b = full_log(rs, 500);

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        assert_false(l2_region_drop(rs, a, CACHE_BLOCK_BYTES, false) ||
                     l2_region_drop(rs, b, CACHE_BLOCK_BYTES, false));
    assert_false(l2_region_drop(rs, b, CACHE_BLOCK_BYTES, false));
    assert_int_equal(l2_region_victim(rs, 900, 1), b);
    assert_false(l2_region_drop(rs, a, CACHE_BLOCK_BYTES, false));
    assert_false(l2_region_drop(rs, a, CACHE_BLOCK_BYTES, false));
    assert_int_equal(l2_region_victim(rs, 900, 1), a);
    l2_regions_free(rs);
}

static void one_hot_piece_makes_a_log_only_a_little_younger(void **state)
{
    struct l2_regions *rs = l2_regions_new(4, &weights);
    uint32_t log = full_log(rs, 1000), chunk = full_chunk(rs, 5000);

    (void)state;
    l2_region_touch(rs, log, 17000);
    assert_int_equal(l2_region_get(rs, log)->used_ms, 2000); /* a sixteenth of the way */
    assert_int_equal(l2_region_victim(rs, 17000, 1), log);
    l2_region_touch(rs, chunk, 17000);
    assert_int_equal(l2_region_get(rs, chunk)->used_ms, 17000);
    l2_regions_free(rs);
}

/* With more regions than a sample the victim is among the oldest, whatever is drawn. */
static void the_victim_of_many_is_an_old_one(void **state)
{
    enum { N = 32768, TRIES = 2000 };
    struct l2_regions *rs = l2_regions_new(N, &weights);
    unsigned old = 0;
    struct el_rng rng;

    (void)state;
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(full_chunk(rs, 1 + i), i);
    el_rng_seed(&rng, 7);
    for (unsigned i = 0; i < TRIES; i++) {
        uint32_t victim = l2_region_victim(rs, N + 1, el_rng_u64(&rng));

        assert_true(victim < N / 2);
        old += victim < N / 20;
    }
    assert_true(old > TRIES * 93 / 100 && old < TRIES); /* expected: 1 - 0.95^64 = 96 % */
    l2_regions_free(rs);
}

static void heat_keeps_a_region_that_is_a_little_older(void **state)
{
    struct l2_regions *rs = l2_regions_new(2, &weights);
    uint32_t hot = full_chunk(rs, 1000), cold = full_chunk(rs, 1100);

    (void)state;
    assert_int_equal(l2_region_victim(rs, 2000, 1), hot);
    for (unsigned i = 0; i < 50; i++)
        l2_region_touch(rs, hot, 1000);
    assert_int_equal(l2_region_victim(rs, 2000, 1), cold);
    l2_regions_free(rs);
}

/* ---- log and chunk regions ---- */

static void pieces_of_the_log_never_straddle_a_region(void **state)
{
    struct l2_regions *rs = l2_regions_new(3, &weights);
    const uint32_t large = (uint32_t)(L2_REGION_BYTES / 2 + 1);
    uint32_t first, second, offset;

    (void)state;
    assert_true(l2_region_take_piece(rs, large, 1, &first, &offset));
    assert_int_equal(offset, 0);
    assert_true(l2_region_take_piece(rs, large, 1, &second, &offset));
    assert_int_equal(offset, 0);
    assert_int_not_equal(first, second);
    assert_int_equal(l2_region_get(rs, first)->state, L2_FULL);
    assert_true(l2_region_take_piece(rs, 1, 1, &first, &offset)); /* what is left is used */
    assert_int_equal(first, second);
    assert_int_equal(offset, aligned(large));
    l2_regions_free(rs);
}

static void a_log_without_a_free_region_keeps_its_place(void **state)
{
    struct l2_regions *rs = l2_regions_new(1, &weights);
    const uint32_t all_but_one = (uint32_t)L2_REGION_BYTES - L2_ALIGN;
    uint32_t region = 77, offset = 77;

    (void)state;
    assert_true(l2_region_take_piece(rs, all_but_one, 1, &region, &offset));
    region = offset = 77;
    assert_false(l2_region_take_piece(rs, L2_ALIGN + 1, 1, &region, &offset));
    assert_true(region == 77 && offset == 77);
    assert_true(l2_region_take_piece(rs, L2_ALIGN, 1, &region, &offset));
    assert_int_equal(offset, all_but_one);
    l2_regions_free(rs);
}

static void a_given_up_open_region_is_free_again_and_the_log_goes_on_elsewhere(void **state)
{
    struct l2_regions *rs = l2_regions_new(2, &weights);
    uint32_t log, region, offset;

    (void)state;
    assert_true(l2_region_take_piece(rs, 5000, 1, &log, &offset));
    l2_region_add(rs, log, 5000);
    l2_region_give_up(rs, log);
    assert_int_equal(l2_region_get(rs, log)->state, L2_LEAVING);
    assert_true(l2_region_take_piece(rs, 5000, 1, &region, &offset));
    assert_int_not_equal(region, log);
    l2_region_freed(rs, log);
    assert_int_equal(l2_regions_free_count(rs), 1);
    assert_int_equal(l2_regions_live_bytes(rs), 0);
    l2_regions_free(rs);
}

static void a_chunk_of_which_only_a_part_comes_leaves_like_any_other(void **state)
{
    struct l2_regions *rs = l2_regions_new(3, &weights);
    uint32_t part = l2_region_take_chunk(rs, 1), full = full_chunk(rs, 100);

    (void)state;
    assert_int_equal(l2_region_victim(rs, 500, 1), full); /* nothing is written there yet */
    l2_region_add(rs, part, CACHE_BLOCK_BYTES);
    assert_int_equal(l2_region_victim(rs, 500, 1), part);
    l2_region_touch(rs, part, 400);
    assert_int_equal(l2_region_victim(rs, 500, 1), full);
    l2_region_busy(rs, full, 1);
    assert_int_equal(l2_region_victim(rs, 500, 1), part);
    l2_regions_free(rs);
}

static void a_chunk_that_was_never_written_is_dead_when_it_is_closed(void **state)
{
    struct l2_regions *rs = l2_regions_new(2, &weights);
    uint32_t old = full_chunk(rs, 1), region = l2_region_take_chunk(rs, 400);

    (void)state;
    assert_int_equal(l2_region_victim(rs, 500, 1), old);
    l2_region_close(rs, region);
    assert_int_equal(l2_region_victim(rs, 500, 1), region);
    l2_regions_free(rs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_sequence_leaves_what_a_naive_model_has),
        cmocka_unit_test(restoring_rebuilds_what_was_there),
        cmocka_unit_test(what_cannot_be_a_place_is_not_restored),
        cmocka_unit_test(pieces_that_cannot_all_be_there_are_refused),
        cmocka_unit_test(a_busy_region_is_no_victim_and_an_idle_one_is),
        cmocka_unit_test(a_mostly_pinned_region_is_no_victim),
        cmocka_unit_test(a_pinned_piece_does_not_hold_a_log_that_is_mostly_dead),
        cmocka_unit_test(a_busy_region_that_loses_its_last_piece_is_the_next_victim_once_idle),
        cmocka_unit_test(a_log_that_is_mostly_dead_leaves_before_an_older_region),
        cmocka_unit_test(of_two_that_are_mostly_dead_the_one_with_less_alive_leaves),
        cmocka_unit_test(one_hot_piece_makes_a_log_only_a_little_younger),
        cmocka_unit_test(the_victim_of_many_is_an_old_one),
        cmocka_unit_test(heat_keeps_a_region_that_is_a_little_older),
        cmocka_unit_test(pieces_of_the_log_never_straddle_a_region),
        cmocka_unit_test(a_log_without_a_free_region_keeps_its_place),
        cmocka_unit_test(a_given_up_open_region_is_free_again_and_the_log_goes_on_elsewhere),
        cmocka_unit_test(a_chunk_of_which_only_a_part_comes_leaves_like_any_other),
        cmocka_unit_test(a_chunk_that_was_never_written_is_dead_when_it_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
