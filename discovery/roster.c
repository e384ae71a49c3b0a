/* SPDX-License-Identifier: MIT */
/* roster: see roster.h. */
#include "discovery/roster.h"

#define FIRST_SLOTS 16u
#define PICK_TRIES  24u
#define GROWTH      8u /* by one part in so many: rosters are large and grow rarely */

void disc_roster_init(struct disc_roster *r)
{
    memset(r, 0, sizeof(*r));
}

void disc_roster_deinit(struct disc_roster *r)
{
    for (uint32_t i = 0; i < r->n_slots; i++)
        disc_card_unref(r->v[i].card);
    free(r->v);
    free(r->index);
    free(r->ring);
}

/* Aborts when memory is out: DISC_MAX_MEMBERS bounds it to a few MB. */
static void *resize(void *p, size_t n, size_t bytes)
{
    void *bigger = reallocarray(p, n, bytes);

    EL_ASSERT(bigger != NULL);
    return bigger;
}

/* ---- the index ---- */

_Static_assert(DISC_MAX_MEMBERS <= UINT16_MAX, "a slot + 1 has 16 bits");

static uint32_t home_of(const struct disc_roster *r, uint64_t hash)
{
    return (uint32_t)hash & (r->index_cap - 1);
}

static uint32_t entry_of(uint64_t hash, uint32_t slot)
{
    return (uint32_t)(hash >> 48) << 16 | (slot + 1);
}

/* Of an entry that is not empty. */
static uint32_t slot_of(uint32_t entry)
{
    return (entry & UINT16_MAX) - 1;
}

/* Records and cards of others are not touched on the way: they are far from each other in memory.
 */
static bool is_entry_of(const struct disc_roster *r, uint32_t entry, uint64_t hash)
{
    return entry >> 16 == hash >> 48 && r->v[slot_of(entry)].card->hash == hash;
}

/* Where the hash is, or where it would go. */
static uint32_t place_of(const struct disc_roster *r, uint64_t hash)
{
    uint32_t at = home_of(r, hash);

    while (r->index[at] != 0 && !is_entry_of(r, r->index[at], hash))
        at = (at + 1) & (r->index_cap - 1);
    return at;
}

uint32_t disc_roster_find(const struct disc_roster *r, uint64_t hash)
{
    uint32_t entry = r->n == 0 ? 0 : r->index[place_of(r, hash)];

    return entry == 0 ? DISC_NO_SLOT : slot_of(entry);
}

static void index_again(struct disc_roster *r)
{
    free(r->index);
    r->index_cap = r->index_cap == 0 ? FIRST_SLOTS * 2 : r->index_cap * 2;
    r->index = el_alloc(r->index_cap * sizeof(*r->index));
    for (uint32_t i = 0; i < r->n_slots; i++)
        if (r->v[i].card != NULL)
            r->index[place_of(r, r->v[i].card->hash)] = entry_of(r->v[i].card->hash, i);
}

/* Moves up what the gap would hide: no marks are left behind. */
static void unindex(struct disc_roster *r, uint64_t hash)
{
    uint32_t gap = place_of(r, hash), mask = r->index_cap - 1;

    for (uint32_t at = (gap + 1) & mask; r->index[at] != 0; at = (at + 1) & mask) {
        uint32_t home = home_of(r, r->v[slot_of(r->index[at])].card->hash);

        if (((at - home) & mask) < ((at - gap) & mask))
            continue;
        r->index[gap] = r->index[at];
        gap = at;
    }
    r->index[gap] = 0;
}

/* ---- sums ---- */

static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
    return x ^ x >> 33;
}

/* Suspicions pass and are no difference; the dead are summed nowhere. */
static void sum_toggle(struct disc_roster *r, const struct disc_record *m)
{
    if (disc_is_live(m))
        r->sum[disc_bucket(m->card->hash, DISC_MAX_SUM_BITS)] ^=
            mixed(m->card->hash ^ mixed(m->incarnation));
}

static void count(struct disc_roster *r, const struct disc_record *m, bool is_in)
{
    uint32_t one = is_in ? 1 : UINT32_MAX;

    if (disc_is_live(m))
        r->n_live += one;
    if (m->card != NULL && m->state == DISC_DEAD)
        r->n_gone += one;
}

uint8_t disc_roster_bits(const struct disc_roster *r)
{
    uint8_t bits = 0;

    while (bits < DISC_MAX_SUM_BITS && r->n >> (bits + 4) != 0)
        bits++;
    return bits;
}

uint64_t disc_roster_sum(const struct disc_roster *r, uint32_t bucket, uint8_t bits)
{
    uint32_t width = DISC_SUMS >> bits;
    uint64_t sum = 0;

    for (uint32_t i = bucket * width; i < (bucket + 1) * width; i++)
        sum ^= r->sum[i];
    return sum;
}

/* ---- records ---- */

static uint32_t oldest_tomb(const struct disc_roster *r)
{
    uint32_t oldest = DISC_NO_SLOT;

    for (uint32_t i = 0; i < r->n_slots; i++)
        if (r->v[i].card != NULL && !disc_is_live(&r->v[i]) &&
            (oldest == DISC_NO_SLOT || r->v[i].since < r->v[oldest].since))
            oldest = i;
    return oldest;
}

static uint32_t free_slot(struct disc_roster *r)
{
    if (r->n < r->n_slots) {
        uint32_t i = 0;

        while (r->v[i].card != NULL)
            i++;
        return i;
    }
    if (r->n_slots == r->cap) {
        r->cap = r->cap == 0 ? FIRST_SLOTS : r->cap + r->cap / GROWTH;
        r->v = resize(r->v, r->cap, sizeof(*r->v));
    }
    memset(&r->v[r->n_slots], 0, sizeof(*r->v));
    return r->n_slots++;
}

uint32_t disc_roster_add(struct disc_roster *r, const struct disc_card *card, uint64_t incarnation,
                         uint32_t now)
{
    uint32_t slot = r->n < DISC_MAX_MEMBERS ? DISC_NO_SLOT : oldest_tomb(r);

    if (r->n == DISC_MAX_MEMBERS && slot == DISC_NO_SLOT) {
        disc_card_unref(card);
        return DISC_NO_SLOT;
    }
    if (slot != DISC_NO_SLOT)
        disc_roster_remove(r, slot);
    slot = free_slot(r);
    r->v[slot] = (struct disc_record){ .card = card,
                                       .incarnation = incarnation,
                                       .since = now,
                                       .ticket = (uint8_t)(r->v[slot].ticket + 1) };
    r->n++;
    if (r->n > r->index_cap / 8 * 6)
        index_again(r); /* with the new one */
    else
        r->index[place_of(r, card->hash)] = entry_of(card->hash, slot);
    count(r, &r->v[slot], true);
    sum_toggle(r, &r->v[slot]);
    return slot;
}

void disc_roster_set(struct disc_roster *r, uint32_t slot, enum disc_state state,
                     uint64_t incarnation, uint32_t now)
{
    struct disc_record *m = &r->v[slot];

    sum_toggle(r, m);
    count(r, m, false);
    m->state = state;
    m->incarnation = incarnation;
    m->since = now;
    m->ticket++;
    count(r, m, true);
    sum_toggle(r, m);
}

void disc_roster_set_card(struct disc_roster *r, uint32_t slot, const struct disc_card *card)
{
    EL_ASSERT(card->hash == r->v[slot].card->hash);
    disc_card_unref(r->v[slot].card);
    r->v[slot].card = card;
}

void disc_roster_remove(struct disc_roster *r, uint32_t slot)
{
    struct disc_record *m = &r->v[slot];

    unindex(r, m->card->hash);
    sum_toggle(r, m);
    count(r, m, false);
    disc_card_unref(m->card);
    m->card = NULL;
    m->ticket++;
    r->n--;
}

/* ---- choosing ---- */

uint32_t disc_roster_pick(const struct disc_roster *r, struct el_rng *rng,
                          bool (*suits)(const struct disc_record *m, const void *arg),
                          const void *arg)
{
    uint32_t at;

    if (r->n_slots == 0)
        return DISC_NO_SLOT;
    for (unsigned i = 0; i < PICK_TRIES; i++) {
        at = (uint32_t)el_rng_below(rng, r->n_slots);
        if (r->v[at].card != NULL && suits(&r->v[at], arg))
            return at;
    }
    /* Few suit: the first from a random place on. */
    at = (uint32_t)el_rng_below(rng, r->n_slots);
    for (uint32_t i = 0; i < r->n_slots; i++, at = at + 1 == r->n_slots ? 0 : at + 1)
        if (r->v[at].card != NULL && suits(&r->v[at], arg))
            return at;
    return DISC_NO_SLOT;
}

static void swap(uint16_t *v, uint32_t a, uint32_t b)
{
    uint16_t tmp = v[a];

    v[a] = v[b];
    v[b] = tmp;
}

static void ring_append(struct disc_roster *r, uint32_t slot)
{
    if (r->n_ring == r->ring_cap) {
        r->ring_cap = r->ring_cap == 0 ? FIRST_SLOTS : r->ring_cap + r->ring_cap / GROWTH;
        r->ring = resize(r->ring, r->ring_cap, sizeof(*r->ring));
    }
    r->ring[r->n_ring++] = (uint16_t)slot;
}

static bool is_probed(const struct disc_record *m)
{
    return disc_is_live(m) && disc_card_is_serving(m->card);
}

static void deal(struct disc_roster *r, struct el_rng *rng)
{
    r->n_ring = 0;
    r->ring_at = 0;
    for (uint32_t i = 0; i < r->n_slots; i++)
        if (is_probed(&r->v[i]))
            ring_append(r, i);
    for (uint32_t i = r->n_ring; i > 1; i--)
        swap(r->ring, i - 1, (uint32_t)el_rng_below(rng, i));
}

uint32_t disc_roster_next(struct disc_roster *r, struct el_rng *rng)
{
    for (unsigned round = 0; round < 2; round++) {
        while (r->ring_at < r->n_ring) {
            uint32_t slot = r->ring[r->ring_at++];

            if (is_probed(&r->v[slot]))
                return slot;
        }
        deal(r, rng);
    }
    return DISC_NO_SLOT;
}

void disc_roster_enlist(struct disc_roster *r, struct el_rng *rng, uint32_t slot)
{
    if (r->n_ring >= 2 * r->n + FIRST_SLOTS) {
        deal(r, rng); /* members come and go faster than a round takes: it would grow for ever */
        return;
    }
    ring_append(r, slot);
    swap(r->ring, r->n_ring - 1, r->ring_at + (uint32_t)el_rng_below(rng, r->n_ring - r->ring_at));
}

size_t disc_roster_bytes(const struct disc_roster *r)
{
    return sizeof(*r) + r->cap * sizeof(*r->v) + r->index_cap * sizeof(*r->index) +
           r->ring_cap * sizeof(*r->ring);
}
