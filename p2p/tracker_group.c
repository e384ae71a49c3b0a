/* SPDX-License-Identifier: MIT */
/* tracker_group: see tracker_group.h. */
#include "p2p/tracker_group.h"

#define FLIGHT_SWEEP_MS 5000u
#define TABLE_SWEEP_MS  1000u
#define SLOTS_A_SWEEP   256u
#define MOST_EVICTED    64u

/* ---- blocks and chunks ---- */

/* Blocks of the group that one of its chunks has, as a bitmap. */
static unsigned all_of_chunk(unsigned chunk, uint32_t blocks)
{
    uint32_t first = chunk * P2P_RUN_BLOCKS;

    if (first >= blocks)
        return 0;
    return blocks - first >= P2P_RUN_BLOCKS ? 0xffffu : (1u << (blocks - first)) - 1;
}

void p2p_chunks_blocks(uint64_t chunks, uint32_t blocks, struct p2p_blockset *ret)
{
    *ret = (struct p2p_blockset){ 0 };
    for (; chunks != 0; chunks &= chunks - 1) {
        unsigned chunk = (unsigned)__builtin_ctzll(chunks);

        ret->w[chunk / 4] |= (uint64_t)all_of_chunk(chunk, blocks) << chunk % 4 * P2P_RUN_BLOCKS;
    }
}

/* Bit i: the 16 bits of chunk i, of four, are not all 0. Called for each of hundreds of takers. */
static uint64_t not_empty(uint64_t w)
{
    const uint64_t low = 0x7fff7fff7fff7fffu;
    uint64_t top = (((w & low) + low) | w) & ~low; /* the top bit of each that is not 0 */

    /* Bits 0, 16, 32, 48 to 48, 49, 50, 51. */
    return (top >> 15) * 0x0001000200040008u >> 48 & 0xf;
}

/* The 64 blocks from `first` on, as far as the group has them. */
static uint64_t all_of_word(unsigned first, uint32_t blocks)
{
    if (first >= blocks)
        return 0;
    return blocks - first >= 64 ? UINT64_MAX : ((uint64_t)1 << (blocks - first)) - 1;
}

void p2p_blocks_chunks(const struct p2p_blockset *s, uint32_t blocks, uint64_t *ret_whole,
                       uint64_t *ret_part)
{
    uint64_t whole = 0, any = 0;

    for (unsigned i = 0; i < EL_COUNT(s->w); i++) {
        uint64_t all = all_of_word(i * 64, blocks);

        any |= not_empty(s->w[i]) << i * 4;
        whole |= (not_empty(all) & ~not_empty(s->w[i] ^ all)) << i * 4;
    }
    *ret_whole = whole;
    *ret_part = any & ~whole;
}

/* ---- who has what ---- */

bool p2p_tracker_is_member(const struct p2p_tracker *t, uint64_t node, uint64_t *ret_zone)
{
    *ret_zone = 0;
    return t->conf.is_member == NULL || t->conf.is_member(t->conf.arg, node, ret_zone);
}

static void held_by(const struct p2p_tgroup *g, const struct p2p_holder *h,
                    struct p2p_blockset *ret)
{
    p2p_chunks_blocks(h->chunks, g->blocks, ret);
    if (h->taking == NULL)
        return;
    for (size_t i = 0; i < EL_COUNT(ret->w); i++)
        ret->w[i] |= h->taking->have.w[i];
}

static void count_word(struct p2p_flight *f, unsigned word, uint64_t gained, uint64_t lost)
{
    for (; gained != 0; gained &= gained - 1) {
        unsigned block = word * 64 + (unsigned)__builtin_ctzll(gained);

        if (f->had[block]++ == 0)
            p2p_blockset_add(&f->known, block);
    }
    for (; lost != 0; lost &= lost - 1) {
        unsigned block = word * 64 + (unsigned)__builtin_ctzll(lost);

        EL_ASSERT(f->had[block] > 0);
        if (--f->had[block] == 0)
            p2p_blockset_remove(&f->known, block);
    }
}

/* Somebody had those blocks, and now these. */
static void count(struct p2p_tgroup *g, const struct p2p_blockset *before,
                  const struct p2p_blockset *after)
{
    if (g->flight == NULL)
        return;
    for (unsigned i = 0; i < EL_COUNT(before->w); i++)
        count_word(g->flight, i, after->w[i] & ~before->w[i], before->w[i] & ~after->w[i]);
}

/* The holder had those blocks before it was changed. */
static void count_holder(struct p2p_tgroup *g, const struct p2p_blockset *before,
                         const struct p2p_holder *h)
{
    struct p2p_blockset after;

    held_by(g, h, &after);
    count(g, before, &after);
}

/* ---- holders ---- */

/* Where the node is, or would be. */
static uint32_t place_of(const struct p2p_tgroup *g, uint64_t node)
{
    uint32_t from = 0, to = g->n;

    while (from < to) {
        uint32_t middle = from + (to - from) / 2;

        if (g->v[middle].node < node)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

struct p2p_holder *p2p_tgroup_holder(const struct p2p_tgroup *g, uint64_t node)
{
    uint32_t i = place_of(g, node);

    return i < g->n && g->v[i].node == node ? &g->v[i] : NULL;
}

static bool grow(struct p2p_tgroup *g)
{
    uint32_t cap = g->cap == 0 ? 1 : 2 * g->cap;
    struct p2p_holder *v = el_try_alloc(cap * sizeof(struct p2p_holder));

    if (v == NULL)
        return false;
    if (g->n > 0)
        memcpy(v, g->v, g->n * sizeof(struct p2p_holder));
    free(g->v);
    g->v = v;
    g->cap = cap;
    return true;
}

static void remove_at(struct p2p_tracker *t, struct p2p_tgroup *g, uint32_t i)
{
    EL_ASSERT(g->v[i].taking == NULL);
    memmove(&g->v[i], &g->v[i + 1], (g->n - i - 1) * sizeof(struct p2p_holder));
    g->n--;
    g->idle--;
    t->n_holders--;
}

static struct p2p_holder *insert(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t node)
{
    uint32_t i = place_of(g, node);

    if (g->n == g->cap && !grow(g))
        return NULL;
    memmove(&g->v[i + 1], &g->v[i], (g->n - i) * sizeof(struct p2p_holder));
    g->v[i] = (struct p2p_holder){ .node = node };
    g->n++;
    g->idle++;
    t->n_holders++;
    return &g->v[i];
}

/* ---- taking ---- */

static bool is_taking(const struct p2p_holder *h)
{
    return h->taking != NULL && !h->taking->has_left;
}

static void free_flight(struct p2p_tracker *t, struct p2p_tgroup *g)
{
    struct p2p_flight *f = g->flight;
    struct el_list *m;

    if (f == NULL)
        return;
    if (f->pace.step != P2P_PACE_CLIMB)
        t->pace = f->pace.limit;
    while ((m = el_list_pop(&f->runs)) != NULL)
        free(EL_ENTRY(m, struct p2p_run, link));
    el_list_remove(&f->link);
    free(f);
    g->flight = NULL;
}

static void end_taking(struct p2p_tracker *t, struct p2p_tgroup *g, struct p2p_holder *h)
{
    free(h->taking);
    h->taking = NULL;
    g->idle++;
    t->n_takings--;
}

/* Whom the membership has lost meanwhile: then nobody looked. */
static void drop_dead(struct p2p_tracker *t, struct p2p_tgroup *g)
{
    uint64_t zone;

    for (uint32_t i = g->n; i-- > 0;) {
        if (p2p_tracker_is_member(t, g->v[i].node, &zone))
            continue;
        if (g->v[i].taking != NULL)
            end_taking(t, g, &g->v[i]);
        remove_at(t, g, i);
    }
}

static void new_flight(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now)
{
    static const struct p2p_blockset none;
    struct p2p_flight *f = el_new(struct p2p_flight);

    drop_dead(t, g);
    f->group = g;
    f->ttl_ms = P2P_LEASE_TTL_MS;
    f->began = now;
    el_list_init(&f->runs);
    p2p_pace_init(&f->pace, now, t->pace);
    el_list_append(&t->flights, &f->link);
    g->flight = f;
    for (uint32_t i = 0; i < g->n; i++)
        count_holder(g, &none, &g->v[i]);
}

static struct p2p_holder *begin_taking(struct p2p_tracker *t, struct p2p_tgroup *g,
                                       struct p2p_holder *h)
{
    h->taking = el_new(struct p2p_taking);
    h->taking->has_left = true;
    g->idle--;
    t->n_takings++;
    return h;
}

static bool make_room(struct p2p_tracker *t, const struct p2p_tgroup *keep);

struct p2p_holder *p2p_tgroup_taker(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                                    uint64_t node)
{
    struct p2p_holder *h = p2p_tgroup_holder(g, node);

    if ((h == NULL || h->taking == NULL) && !make_room(t, g))
        return NULL;
    if (g->flight == NULL)
        new_flight(t, g, now);
    h = p2p_tgroup_holder(g, node);
    if (h == NULL)
        h = insert(t, g, node);
    if (h == NULL)
        return NULL;
    if (h->taking == NULL)
        h = begin_taking(t, g, h);
    if (h->taking->has_left) {
        h->taking->has_left = false;
        g->flight->takers++;
    }
    h->taking->asked = now;
    return h;
}

/* Of one that is doubted: what others have as well. */
static void believe(const struct p2p_tgroup *g, const struct p2p_holder *h,
                    const struct p2p_blockset *before, struct p2p_blockset *have)
{
    if (!p2p_tgroup_doubts(g, h->node))
        return;
    for (unsigned b = p2p_blockset_next(have, 0); b < P2P_GROUP_BLOCKS;
         b = p2p_blockset_next(have, b + 1))
        if (g->flight->had[b] <= p2p_blockset_has(before, b))
            p2p_blockset_remove(have, b);
}

void p2p_tgroup_said(struct p2p_tgroup *g, struct p2p_holder *h, const struct p2p_blockset *have,
                     const struct p2p_blockset *want)
{
    bool wanted = !p2p_blockset_is_empty(&h->taking->want);
    bool wants = !p2p_blockset_is_empty(want);
    struct p2p_blockset before;
    uint64_t whole, part;

    held_by(g, h, &before);
    h->taking->have = *have;
    believe(g, h, &before, &h->taking->have);
    p2p_blocks_chunks(&h->taking->have, g->blocks, &whole, &part);
    h->chunks &= whole; /* the newer word counts */
    h->taking->want = *want;
    count_holder(g, &before, h);
    if (wants && !wanted)
        g->flight->wanting++;
    if (wanted && !wants)
        g->flight->wanting--;
}

void p2p_tgroup_leave(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                      struct p2p_holder *h)
{
    struct p2p_blockset before;
    uint64_t whole, part;

    if (is_taking(h)) {
        t->stats.failed += p2p_runs_end(g, now, h->node);
        g->flight->wanting -= !p2p_blockset_is_empty(&h->taking->want);
        h->taking->want = (struct p2p_blockset){ 0 };
        h->taking->has_left = true;
        g->flight->takers--;
    }
    p2p_blocks_chunks(&h->taking->have, g->blocks, &whole, &part);
    held_by(g, h, &before);
    h->chunks |= whole;
    h->announced = now;
    if (part == 0)
        end_taking(t, g, h);
    count_holder(g, &before, h);
}

void p2p_tgroup_forsake(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now)
{
    for (uint32_t i = 0; i < g->n; i++) {
        struct p2p_holder *h = &g->v[i];
        struct p2p_blockset before;

        if (!is_taking(h))
            continue;
        p2p_tgroup_leave(t, g, now, h);
        held_by(g, h, &before);
        if (h->taking != NULL)
            end_taking(t, g, h);
        count_holder(g, &before, h);
    }
    free_flight(t, g);
}

void p2p_tgroup_drop(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                     struct p2p_holder *h)
{
    struct p2p_blockset before;

    if (h->taking != NULL)
        p2p_tgroup_leave(t, g, now, h);
    held_by(g, h, &before);
    h->chunks = 0;
    if (h->taking != NULL)
        end_taking(t, g, h);
    count_holder(g, &before, h);
    remove_at(t, g, (uint32_t)(h - g->v));
}

/* ---- groups ---- */

static uint64_t hash_of(const struct p2p_tracker *t, const struct p2p_group *name)
{
    char key[P2P_VERSION_BYTES + 4];

    memcpy(key, name->version, P2P_VERSION_BYTES);
    memcpy(key + P2P_VERSION_BYTES, &name->number, 4);
    return el_str_siphash((struct el_str){ key, sizeof(key) }, t->salt[0], t->salt[1]);
}

static bool is_named(const struct p2p_tgroup *g, const struct p2p_group *name)
{
    return g->name.number == name->number &&
           memcmp(g->name.version, name->version, P2P_VERSION_BYTES) == 0;
}

static struct p2p_tgroup *find(const struct p2p_tracker *t, const struct p2p_group *name,
                               uint64_t hash)
{
    struct p2p_table_entry *e = p2p_table_find(&t->table, hash);

    while (e != NULL && !is_named(EL_ENTRY(e, struct p2p_tgroup, entry), name))
        e = p2p_table_again(e);
    return e == NULL ? NULL : EL_ENTRY(e, struct p2p_tgroup, entry);
}

struct p2p_tgroup *p2p_tgroup_find(struct p2p_tracker *t, const struct p2p_group *name)
{
    return find(t, name, hash_of(t, name));
}

void p2p_tgroup_free(struct p2p_tracker *t, struct p2p_tgroup *g)
{
    free_flight(t, g);
    for (uint32_t i = 0; i < g->n; i++) {
        t->n_takings -= g->v[i].taking != NULL;
        free(g->v[i].taking);
    }
    t->n_holders -= g->n;
    p2p_table_remove(&t->table, &g->entry);
    el_list_remove(&g->by_use);
    free(g->v);
    free(g);
}

void p2p_tgroup_settle(struct p2p_tracker *t, struct p2p_tgroup *g)
{
    if (g->flight != NULL && g->flight->takers == 0)
        free_flight(t, g);
    if (g->n == 0)
        p2p_tgroup_free(t, g);
}

static bool is_full(const struct p2p_tracker *t)
{
    return t->n_holders >= t->conf.limits.holders || t->n_takings >= t->conf.limits.takers ||
           t->table.n > t->conf.limits.groups;
}

/* Room for one more of everything: idle groups go, those first that were used longest ago. */
static bool make_room(struct p2p_tracker *t, const struct p2p_tgroup *keep)
{
    struct el_list *it, *tmp;
    unsigned looked = 0;

    if (!is_full(t))
        return true;
    EL_LIST_EACH (it, tmp, &t->groups) {
        struct p2p_tgroup *g = EL_ENTRY(it, struct p2p_tgroup, by_use);

        if (++looked > MOST_EVICTED)
            break;
        if (g == keep || g->flight != NULL)
            continue;
        p2p_tgroup_free(t, g);
        t->stats.given_up++;
        if (!is_full(t))
            return true;
    }
    return false;
}

static struct p2p_tgroup *new_group(struct p2p_tracker *t, const struct p2p_group *name,
                                    uint64_t hash)
{
    struct p2p_tgroup *g = el_new(struct p2p_tgroup);

    g->name = *name;
    p2p_table_add(&t->table, &g->entry, hash);
    el_list_init(&g->by_use);
    el_list_append(&t->groups, &g->by_use);
    if (!make_room(t, g)) {
        p2p_tgroup_free(t, g);
        return NULL;
    }
    return g;
}

struct p2p_tgroup *p2p_tgroup_get(struct p2p_tracker *t, const struct p2p_group *name)
{
    uint64_t hash = hash_of(t, name);
    struct p2p_tgroup *g = find(t, name, hash);

    if (g == NULL)
        return new_group(t, name, hash);
    el_list_remove(&g->by_use);
    el_list_append(&t->groups, &g->by_use);
    return g;
}

/* ---- announcements ---- */

/* One that does not take leaves its place: which one, chance decides. */
static void drop_any_idle(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now)
{
    uint32_t i = (uint32_t)el_rng_below(&t->rng, g->n);

    while (g->v[i].taking != NULL)
        i = (i + 1) % g->n;
    p2p_tgroup_drop(t, g, now, &g->v[i]);
}

static struct p2p_holder *announcer(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                                    uint64_t node)
{
    struct p2p_holder *h = p2p_tgroup_holder(g, node);

    if (h != NULL)
        return h;
    if (g->idle >= P2P_MOST_IDLE_HOLDERS)
        drop_any_idle(t, g, now);
    return make_room(t, g) ? insert(t, g, node) : NULL;
}

static void announce(struct p2p_tracker *t, uint64_t now, uint64_t from,
                     const struct disc_chunks *c)
{
    struct p2p_group name = { .number = c->group };
    struct p2p_tgroup *g;
    struct p2p_holder *h;
    struct p2p_blockset before;

    _Static_assert(P2P_VERSION_BYTES == DISC_VERSION_BYTES &&
                       P2P_GROUP_CHUNKS == DISC_CHUNKS_A_GROUP,
                   "groups are the same for gossip");
    memcpy(name.version, c->version, P2P_VERSION_BYTES);
    g = p2p_tgroup_get(t, &name);
    if (g == NULL || p2p_tgroup_doubts(g, from))
        return;
    h = announcer(t, g, now, from);
    if (h != NULL) {
        held_by(g, h, &before);
        h->chunks |= c->bitmap;
        h->announced = now;
        count_holder(g, &before, h);
    }
    p2p_tgroup_settle(t, g);
}

void p2p_tracker_announce(struct p2p_tracker *t, uint64_t now, uint64_t from,
                          const struct disc_chunks *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        announce(t, now, from, &v[i]);
}

static void take_back(struct p2p_tracker *t, uint64_t from, const struct disc_chunks *c)
{
    struct p2p_group name = { .number = c->group };
    struct p2p_blockset before, gone;
    struct p2p_tgroup *g;
    struct p2p_holder *h;

    memcpy(name.version, c->version, P2P_VERSION_BYTES);
    g = p2p_tgroup_find(t, &name);
    h = g == NULL ? NULL : p2p_tgroup_holder(g, from);
    if (h == NULL)
        return;
    held_by(g, h, &before);
    p2p_chunks_blocks(c->bitmap, P2P_GROUP_BLOCKS, &gone);
    h->chunks &= ~c->bitmap;
    for (size_t i = 0; h->taking != NULL && i < EL_COUNT(gone.w); i++)
        h->taking->have.w[i] &= ~gone.w[i];
    count_holder(g, &before, h);
    if (h->chunks == 0 && h->taking == NULL)
        remove_at(t, g, (uint32_t)(h - g->v));
    p2p_tgroup_settle(t, g);
}

void p2p_tracker_remove(struct p2p_tracker *t, uint64_t now, uint64_t from,
                        const struct disc_chunks *v, size_t n)
{
    (void)now; /* nothing that is said here lapses */
    for (size_t i = 0; i < n; i++)
        take_back(t, from, &v[i]);
}

/* ---- what is forgotten ---- */

void p2p_groups_gone(struct p2p_tracker *t, uint64_t now, uint64_t node)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &t->flights) {
        struct p2p_tgroup *g = EL_ENTRY(it, struct p2p_flight, link)->group;
        struct p2p_holder *h = p2p_tgroup_holder(g, node);

        if (h == NULL)
            continue;
        t->stats.gone += p2p_runs_end(g, now, node);
        p2p_tgroup_drop(t, g, now, h);
        p2p_tgroup_settle(t, g);
    }
}

/* False: nothing is left of it. */
static bool is_worth_keeping(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now,
                             struct p2p_holder *h)
{
    struct p2p_blockset before;

    if (is_taking(h) && now - h->taking->asked >= P2P_TAKER_TTL_MS)
        p2p_tgroup_leave(t, g, now, h);
    if (is_taking(h))
        return true;
    held_by(g, h, &before);
    if (h->taking != NULL && now - h->taking->asked >= P2P_LEFT_TTL_MS)
        end_taking(t, g, h);
    if (now - h->announced >= P2P_ANNOUNCE_TTL_MS)
        h->chunks = 0;
    count_holder(g, &before, h);
    return h->taking != NULL || h->chunks != 0;
}

static void forget_old(struct p2p_tracker *t, struct p2p_tgroup *g, uint64_t now)
{
    for (uint32_t i = g->n; i-- > 0;) {
        if (!is_worth_keeping(t, g, now, &g->v[i]))
            remove_at(t, g, i);
    }
    p2p_tgroup_settle(t, g);
}

static void sweep_flights(struct p2p_tracker *t, uint64_t now)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &t->flights) {
        struct p2p_flight *f = EL_ENTRY(it, struct p2p_flight, link);

        p2p_runs_lapse(t, f->group, now);
        forget_old(t, f->group, now);
    }
}

static void sweep_slot(struct p2p_tracker *t, uint64_t now, size_t slot)
{
    struct p2p_table_entry *e, *next;

    for (e = t->table.v[slot]; e != NULL; e = next) {
        next = e->next;
        forget_old(t, EL_ENTRY(e, struct p2p_tgroup, entry), now);
    }
}

void p2p_groups_sweep(struct p2p_tracker *t, uint64_t now)
{
    if (now >= t->next_sweep) {
        sweep_flights(t, now);
        t->next_sweep = now + FLIGHT_SWEEP_MS;
    }
    if (now < t->next_look)
        return;
    for (size_t i = el_min_size(t->table.slots, SLOTS_A_SWEEP); i-- > 0;)
        sweep_slot(t, now, t->swept++ % t->table.slots);
    t->next_look = now + TABLE_SWEEP_MS;
}

uint64_t p2p_groups_due(const struct p2p_tracker *t)
{
    if (t->table.n == 0)
        return UINT64_MAX;
    return el_list_empty(&t->flights) ? t->next_look : el_min_u64(t->next_sweep, t->next_look);
}
