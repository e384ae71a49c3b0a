/* SPDX-License-Identifier: MIT */
/*
 * l2_region: see l2_region.h. Nothing here looks at all regions: each one stands in at most one of
 * three sets, and settle() moves it after every change.
 *
 *   SET_FREE  FREE
 *   SET_DEAD  FULL, may leave, nothing live in it
 *   SET_LIVE  FULL or a chunk's own, may leave, something is
 *   none      OPEN and the log or empty, LEAVING, busy, or mostly pinned
 *
 * Invariants:
 * 1. rs->sets[in[i]].v[at[i]] == i for every region i that is in a set.
 * 2. rs->live is the sum of live over all regions.
 * 3. rs->log is the only OPEN region with is_log, or L2_NO_REGION when there is none.
 */
#include "cache/l2_region.h"

/* Of 64 random regions the worst is among the worst 5 % of all in 96 of 100 cases. */
#define SAMPLE 64

enum set { SET_FREE, SET_DEAD, SET_LIVE, SETS, SET_NONE = SETS };

struct l2_regions {
    struct cache_weights weights;
    uint32_t n;
    uint32_t log;
    uint64_t live;
    struct l2_region *v;
    uint8_t *in;  /* enum set */
    uint32_t *at; /* place in it */
    struct {
        uint32_t *v;
        uint32_t n;
    } sets[SETS];
};

/* ---- the sets ---- */

/* What was never filled is not dead: of a chunk's own region its heat decides. */
static bool is_mostly_dead(const struct l2_region *r)
{
    return r->is_log && r->live < L2_REGION_BYTES / 2;
}

/* A chunk of which only a part is ever read stays OPEN. */
static bool is_settled(const struct l2_region *r)
{
    return r->state == L2_FULL || (r->state == L2_OPEN && !r->is_log && r->pieces > 0);
}

/* What is pinned in a log that is mostly dead is little, and is moved. */
static bool may_leave(const struct l2_region *r)
{
    return is_settled(r) && r->busy == 0 && (r->pinned <= r->pieces / 2 || is_mostly_dead(r));
}

static enum set set_of(const struct l2_region *r)
{
    if (r->state == L2_FREE)
        return SET_FREE;
    if (!may_leave(r))
        return SET_NONE;
    return r->pieces == 0 ? SET_DEAD : SET_LIVE;
}

/* The last one takes the place of the one that goes. */
static void set_remove(struct l2_regions *rs, uint32_t region)
{
    enum set set = (enum set)rs->in[region];
    uint32_t last;

    if (set == SET_NONE)
        return;
    last = rs->sets[set].v[--rs->sets[set].n];
    rs->sets[set].v[rs->at[region]] = last;
    rs->at[last] = rs->at[region];
    rs->in[region] = SET_NONE;
}

static void set_add(struct l2_regions *rs, uint32_t region, enum set set)
{
    if (set == SET_NONE)
        return;
    rs->in[region] = (uint8_t)set;
    rs->at[region] = rs->sets[set].n;
    rs->sets[set].v[rs->sets[set].n++] = region;
}

static void settle(struct l2_regions *rs, uint32_t region)
{
    enum set set = set_of(&rs->v[region]);

    if (rs->in[region] == (uint8_t)set)
        return;
    set_remove(rs, region);
    set_add(rs, region, set);
}

/* ---- all of them ---- */

static bool alloc_all(struct l2_regions *rs, uint32_t n)
{
    rs->v = (struct l2_region *)el_try_alloc(n * sizeof(*rs->v));
    rs->in = (uint8_t *)el_try_alloc(n * sizeof(*rs->in));
    rs->at = (uint32_t *)el_try_alloc(n * sizeof(*rs->at));
    for (size_t i = 0; i < SETS; i++) {
        rs->sets[i].v = (uint32_t *)el_try_alloc(n * sizeof(uint32_t));
        if (rs->sets[i].v == NULL)
            return false;
    }
    return rs->v != NULL && rs->in != NULL && rs->at != NULL;
}

struct l2_regions *l2_regions_new(uint32_t n, const struct cache_weights *weights)
{
    struct l2_regions *rs = el_new(struct l2_regions);

    EL_ASSERT(n < L2_NO_REGION);
    if (!alloc_all(rs, n)) {
        l2_regions_free(rs);
        return NULL;
    }
    rs->weights = *weights;
    rs->n = n;
    rs->log = L2_NO_REGION;
    for (uint32_t i = n; i-- > 0;) /* so that they are taken from the front of the file */
        set_add(rs, i, SET_FREE);
    return rs;
}

void l2_regions_free(struct l2_regions *rs)
{
    if (rs == NULL)
        return;
    for (size_t i = 0; i < SETS; i++)
        free(rs->sets[i].v);
    free(rs->at);
    free(rs->in);
    free(rs->v);
    free(rs);
}

uint32_t l2_regions_count(const struct l2_regions *rs)
{
    return rs->n;
}

uint32_t l2_regions_free_count(const struct l2_regions *rs)
{
    return rs->sets[SET_FREE].n;
}

uint64_t l2_regions_live_bytes(const struct l2_regions *rs)
{
    return rs->live;
}

static struct l2_region *region_at(struct l2_regions *rs, uint32_t region)
{
    EL_ASSERT(region < rs->n);
    return &rs->v[region];
}

const struct l2_region *l2_region_get(const struct l2_regions *rs, uint32_t region)
{
    EL_ASSERT(region < rs->n);
    return &rs->v[region];
}

/* bytes <= L2_REGION_BYTES */
static uint32_t aligned(uint32_t bytes)
{
    return (bytes + L2_ALIGN - 1) & ~(L2_ALIGN - 1);
}

/* ---- taking ---- */

/*
 * A chunk's region was used when it was touched last. Many pieces share one of the log, of which
 * one that is hot would make all look young: there it is the mean over the pieces, as if the
 * touched one had been of the mean age so far.
 */
static void note_use(struct l2_region *r, uint32_t pieces, uint64_t now_ms)
{
    cache_heat_touch(&r->heat, now_ms);
    if (now_ms > r->used_ms)
        r->used_ms += r->is_log ? (now_ms - r->used_ms) / pieces : now_ms - r->used_ms;
}

static uint32_t take(struct l2_regions *rs, bool is_log, uint64_t now_ms)
{
    uint32_t region;

    if (rs->sets[SET_FREE].n == 0)
        return L2_NO_REGION;
    region = rs->sets[SET_FREE].v[rs->sets[SET_FREE].n - 1];
    rs->v[region] = (struct l2_region){ .state = L2_OPEN, .is_log = is_log, .used_ms = now_ms };
    settle(rs, region);
    return region;
}

uint32_t l2_region_take_chunk(struct l2_regions *rs, uint64_t now_ms)
{
    uint32_t region = take(rs, false, now_ms);

    if (region != L2_NO_REGION)
        note_use(&rs->v[region], 1, now_ms);
    return region;
}

/* The log goes on in another region, which has room for anything. False: none is free. */
static bool turn_log(struct l2_regions *rs, uint64_t now_ms)
{
    uint32_t next = take(rs, true, now_ms);

    if (next == L2_NO_REGION)
        return false;
    if (rs->log != L2_NO_REGION)
        l2_region_close(rs, rs->log);
    rs->log = next;
    return true;
}

bool l2_region_take_piece(struct l2_regions *rs, uint32_t bytes, uint64_t now_ms,
                          uint32_t *ret_region, uint32_t *ret_offset)
{
    struct l2_region *r;

    EL_ASSERT(bytes > 0 && bytes <= L2_REGION_BYTES);
    if ((rs->log == L2_NO_REGION || rs->v[rs->log].tail + aligned(bytes) > L2_REGION_BYTES) &&
        !turn_log(rs, now_ms))
        return false;
    r = &rs->v[rs->log];
    *ret_region = rs->log;
    *ret_offset = r->tail;
    r->tail += aligned(bytes);
    note_use(r, r->pieces + 1, now_ms);
    return true;
}

void l2_region_close(struct l2_regions *rs, uint32_t region)
{
    struct l2_region *r = region_at(rs, region);

    if (r->state != L2_OPEN)
        return;
    if (region == rs->log)
        rs->log = L2_NO_REGION;
    r->state = L2_FULL;
    settle(rs, region);
}

/* ---- what stands in them ---- */

static void count_in(struct l2_regions *rs, uint32_t region, uint32_t bytes)
{
    struct l2_region *r = &rs->v[region];

    r->live += aligned(bytes);
    r->pieces++;
    rs->live += aligned(bytes);
    settle(rs, region);
}

void l2_region_add(struct l2_regions *rs, uint32_t region, uint32_t bytes)
{
    struct l2_region *r = region_at(rs, region);

    EL_ASSERT(bytes > 0 && bytes <= L2_REGION_BYTES);
    EL_ASSERT(r->state == L2_OPEN || r->state == L2_FULL);
    EL_ASSERT(r->live + aligned(bytes) <= L2_REGION_BYTES);
    count_in(rs, region, bytes);
}

bool l2_region_drop(struct l2_regions *rs, uint32_t region, uint32_t bytes, bool was_pinned)
{
    struct l2_region *r = region_at(rs, region);
    bool leaves;

    EL_ASSERT(r->pieces > 0 && bytes <= L2_REGION_BYTES && r->live >= aligned(bytes));
    EL_ASSERT(r->pinned >= was_pinned);
    r->live -= aligned(bytes);
    r->pieces--;
    r->pinned -= was_pinned;
    rs->live -= aligned(bytes);
    leaves = r->pieces == 0 && may_leave(r);
    if (leaves)
        r->state = L2_LEAVING;
    settle(rs, region);
    return leaves;
}

void l2_region_pin(struct l2_regions *rs, uint32_t region, bool is_pinned)
{
    struct l2_region *r = region_at(rs, region);

    EL_ASSERT(is_pinned ? r->pinned < r->pieces : r->pinned > 0);
    r->pinned = is_pinned ? r->pinned + 1 : r->pinned - 1;
    settle(rs, region);
}

void l2_region_busy(struct l2_regions *rs, uint32_t region, int step)
{
    struct l2_region *r = region_at(rs, region);

    EL_ASSERT(step == 1 || (step == -1 && r->busy > 0));
    r->busy = step == 1 ? r->busy + 1 : r->busy - 1;
    settle(rs, region);
}

void l2_region_touch(struct l2_regions *rs, uint32_t region, uint64_t now_ms)
{
    struct l2_region *r = region_at(rs, region);

    note_use(r, r->pieces > 0 ? r->pieces : 1, now_ms);
}

/* ---- at start ---- */

static bool is_place(uint32_t offset, uint32_t bytes, bool in_place)
{
    if (bytes == 0 || bytes > L2_REGION_BYTES || offset % L2_ALIGN != 0 ||
        offset > L2_REGION_BYTES - aligned(bytes))
        return false;
    return !in_place || (offset % CACHE_BLOCK_BYTES == 0 && bytes <= CACHE_BLOCK_BYTES);
}

/* Pieces that do not overlap are together no longer than the end of the last one. */
bool l2_region_restore(struct l2_regions *rs, uint32_t region, uint32_t offset, uint32_t bytes,
                       bool in_place)
{
    struct l2_region *r;
    uint32_t end;

    if (region >= rs->n || !is_place(offset, bytes, in_place))
        return false;
    r = &rs->v[region];
    EL_ASSERT(r->state == L2_FREE || r->state == L2_FULL);
    end = offset + aligned(bytes) > r->tail ? offset + aligned(bytes) : r->tail;
    if ((r->pieces > 0 && r->is_log == in_place) || r->live + aligned(bytes) > end)
        return false;
    r->state = L2_FULL;
    r->is_log = !in_place;
    r->tail = end;
    count_in(rs, region, bytes);
    return true;
}

void l2_regions_restored(struct l2_regions *rs, uint64_t now_ms)
{
    for (uint32_t i = 0; i < rs->n; i++) {
        if (rs->v[i].state == L2_FULL)
            rs->v[i].used_ms = now_ms;
    }
}

void l2_region_restore_heat(struct l2_regions *rs, uint32_t region, uint64_t used_ms,
                            const struct cache_heat *heat)
{
    EL_ASSERT(region < rs->n);
    if (rs->v[region].state != L2_FULL)
        return;
    rs->v[region].used_ms = used_ms;
    rs->v[region].heat = *heat;
}

/* ---- leaving ---- */

/* Of a log the rate of one piece: so regions of either kind are compared by what a byte is worth.
 */
static struct cache_candidate candidate(const struct l2_region *r, uint64_t now_ms)
{
    return (struct cache_candidate){
        .age_ms = now_ms > r->used_ms ? now_ms - r->used_ms : 0,
        .per_hour =
            cache_heat_per_hour(&r->heat, now_ms) / (r->is_log && r->pieces > 0 ? r->pieces : 1),
    };
}

static uint32_t draw(struct l2_regions *rs, uint32_t i, uint64_t *random)
{
    uint32_t n = rs->sets[SET_LIVE].n;

    if (n > SAMPLE) {
        *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        i = (uint32_t)(((*random >> 32) * n) >> 32);
    }
    return rs->sets[SET_LIVE].v[i];
}

uint32_t l2_region_victim(struct l2_regions *rs, uint64_t now_ms, uint64_t random)
{
    uint32_t picked[SAMPLE], n = rs->sets[SET_LIVE].n < SAMPLE ? rs->sets[SET_LIVE].n : SAMPLE;
    uint32_t deadest = L2_NO_REGION;
    struct cache_candidate v[SAMPLE];

    if (rs->sets[SET_DEAD].n > 0)
        return rs->sets[SET_DEAD].v[rs->sets[SET_DEAD].n - 1];
    if (n == 0)
        return L2_NO_REGION;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t region = draw(rs, i, &random);
        const struct l2_region *r = &rs->v[region];

        picked[i] = region;
        v[i] = candidate(r, now_ms);
        if (is_mostly_dead(r) && (deadest == L2_NO_REGION || r->live < rs->v[deadest].live))
            deadest = region;
    }
    if (deadest != L2_NO_REGION)
        return deadest;
    cache_policy_score(&rs->weights, v, n);
    return picked[cache_policy_worst(v, n)];
}

void l2_region_give_up(struct l2_regions *rs, uint32_t region)
{
    struct l2_region *r = region_at(rs, region);

    EL_ASSERT(r->state == L2_OPEN || r->state == L2_FULL);
    l2_region_close(rs, region);
    r->state = L2_LEAVING;
    settle(rs, region);
}

/* Whatever was not dropped one by one goes with it. */
void l2_region_freed(struct l2_regions *rs, uint32_t region)
{
    struct l2_region *r = region_at(rs, region);

    EL_ASSERT(r->state == L2_LEAVING && r->busy == 0);
    rs->live -= r->live;
    *r = (struct l2_region){ .state = L2_FREE };
    settle(rs, region);
}
