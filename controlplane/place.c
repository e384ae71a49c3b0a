/* SPDX-License-Identifier: MIT */
/* place: see place.h. */
#include "controlplane/state_in.h"

#define LOOKS_PER_TICK 500000u /* at a node, as a holder or a target: about 5 ms */
#define ENOUGH         32u /* copies beyond the most there should be, after which nobody counts on */
#define PER_NODE       16u /* commands that wait for one node, beyond which it gets no more */
#define ROOM_POINTS    20u /* below full, for a node to have plenty of room */
#define URGENT         90u /* priority of a chunk that has one copy */
#define NEEDED         50u
#define TIDY           10u

/* Copies of one chunk, by who has them. */
struct copies {
    unsigned n;               /* on nodes that live and are not draining */
    unsigned all;             /* whoever has it, and lives */
    struct cp_member *source; /* gives it; NULL: nobody */
    struct cp_member *full;   /* one of them whose disk is full */
};

struct bounds {
    uint32_t min, max, wanted;
    bool is_pinned, is_left_alone;
};

static struct bounds bounds_of(const struct cp_state *s, struct el_str name, double heat)
{
    struct bounds b = { s->conf.min_copies, s->conf.max_copies, 0, false, false };
    const struct cp_policy *p = s->policies == 0 ? NULL : cp_policy_for(s, name);

    if (p != NULL) {
        b.min = p->min_copies != 0 ? p->min_copies : b.min;
        b.max = p->max_copies != 0 ? p->max_copies : b.max;
        b.is_pinned = p->is_pinned;
        b.is_left_alone = !p->is_replicated;
    }
    b.max = b.max < b.min ? b.min : b.max;
    b.wanted = b.min;
    for (double h = heat; h >= CP_HEAT_UNIT && b.wanted < b.max; h /= 2)
        b.wanted++;
    return b;
}

void cp_place_wanted(const struct cp_state *s, const struct cp_object *object, uint32_t *ret_min,
                     uint32_t *ret_max, uint32_t *ret_wanted)
{
    struct bounds b = bounds_of(s, object->name, object->heat);

    *ret_min = b.min;
    *ret_max = b.max;
    *ret_wanted = b.wanted;
}

static bool is_full(const struct cp_state *s, const struct cp_member *m)
{
    return cp_member_fullness(m) * 100 >= s->conf.node_disk_full_pct;
}

static bool has_plenty(const struct cp_state *s, const struct cp_member *m)
{
    return cp_member_fullness(m) * 100 + ROOM_POINTS < s->conf.node_disk_full_pct;
}

static void count_copy(struct cp_state *s, struct copies *c, struct cp_member *m)
{
    if (m == NULL || !cp_node_is_alive(&m->node))
        return;
    c->all++;
    c->n += !m->node.is_draining;
    if (cp_member_gives(m) && (c->source == NULL || el_rng_below(&s->rng, c->all) == 0))
        c->source = m;
    if (!m->node.is_draining && is_full(s, m))
        c->full = m;
}

/* From a node drawn by chance on: of many holders only some are looked at. */
static struct copies count_copies(struct cp_state *s, const struct cp_holders *h, unsigned enough)
{
    uint32_t start = (uint32_t)el_rng_below(&s->rng, s->numbers), node = start;
    struct copies c = { 0 };
    bool is_round = false;

    for (;; node++) {
        bool is_any = cp_holders_next(h, &node);

        if (!is_any && !is_round) {
            is_round = true;
            node = UINT32_MAX; /* goes on with 0 */
            continue;
        }
        if (!is_any || (is_round && node >= start) || c.n > enough)
            return c;
        count_copy(s, &c, cp_member_of(s, (uint16_t)node));
        s->placing.looks++;
    }
}

/* Nobody in its zone has it. */
static bool is_new_zone(struct cp_state *s, const struct cp_holders *h, const struct cp_member *m)
{
    for (uint32_t node = 0; cp_holders_next(h, &node); node++) {
        const struct cp_member *other = cp_member_of(s, (uint16_t)node);

        s->placing.looks++;
        if (other != NULL && strcmp(other->node.card.zone, m->node.card.zone) == 0)
            return false;
    }
    return true;
}

/* Higher is better: another zone first, then room, then chance between those nearly equal. */
static double score_of(struct cp_state *s, const struct cp_holders *h, const struct cp_member *m)
{
    double score = 1 - cp_member_fullness(m) + el_rng_unit(&s->rng) / 20;

    score -= (double)m->commands_n / PER_NODE;
    return score + (is_new_zone(s, h, m) ? 2 : 0);
}

static bool may_be_target(const struct cp_state *s, const struct cp_member *m)
{
    return cp_member_takes(s, m) && m->commands_n < PER_NODE;
}

void cp_place_prepare(struct cp_state *s)
{
    const struct cp_member *m;
    uint32_t cursor = 0;

    s->placing.has_takers = false;
    while (!s->placing.has_takers && (m = cp_member_next(s, &cursor)) != NULL)
        s->placing.has_takers = may_be_target(s, m);
}

struct cp_member *cp_place_target(struct cp_state *s, const struct el_chunk_id *id, uint32_t number)
{
    const struct cp_holders *h = cp_index_holders(&s->index, number);
    struct cp_member *best = NULL, *m;
    double best_score = 0;
    uint32_t cursor = 0;

    if (!s->placing.has_takers)
        return NULL;
    s->placing.looks += (uint32_t)s->numbers;
    while ((m = cp_member_next(s, &cursor)) != NULL) {
        double score;
        bool is_for_it;

        if (!may_be_target(s, m) || cp_set_has(&m->chunks, number))
            continue;
        score = score_of(s, h, m);
        if (best != NULL && score <= best_score)
            continue;
        (void)cp_command_moving(s, id, m, &is_for_it);
        if (is_for_it)
            continue;
        best = m;
        best_score = score;
    }
    return best;
}

/* False: no more of them fit into this second. */
static bool decide(struct cp_state *s, const struct cp_wish *w)
{
    if (w->target == NULL || s->placing.budget == 0 || !cp_command_has_room(s))
        return false;
    (void)cp_command_issue(s, w);
    s->placing.budget--;
    s->count.replication_decisions++;
    return true;
}

static void copy_more(struct cp_state *s, const struct el_chunk_id *id, uint32_t number,
                      const struct copies *c, uint32_t under_way, uint32_t wanted)
{
    for (uint32_t n = c->n + under_way; n < wanted && s->placing.budget > 0; n++) {
        struct cp_wish w = { .chunk = *id,
                             .action = CP_REPLICATE,
                             .source = c->source,
                             .target = cp_place_target(s, id, number),
                             .priority = c->n <= 1 ? URGENT : NEEDED };

        if (!decide(s, &w))
            return;
    }
}

static void make_room(struct cp_state *s, const struct el_chunk_id *id, uint32_t number,
                      const struct copies *c, const struct bounds *b)
{
    struct cp_wish w = { .chunk = *id, .priority = TIDY };

    if (c->n > b->max) {
        w.action = CP_EVICT;
        w.target = c->full;
    } else {
        w.action = CP_MIGRATE;
        w.source = c->full;
        w.target = cp_place_target(s, id, number);
        if (w.target == NULL || !has_plenty(s, w.target) || !cp_member_gives(c->full))
            return;
    }
    (void)decide(s, &w);
}

static void look_at_chunk(struct cp_state *s, struct cp_span *sp, unsigned i,
                          const struct bounds *b, bool is_cold)
{
    const struct cp_holders *h = &sp->slot[i].holders;
    struct copies c = count_copies(s, h, b->max + ENOUGH);
    struct el_chunk_id id;
    unsigned under_way;
    bool unused;

    if (c.all == 0)
        return;
    s->placing.low += c.n < b->min;
    if (s->placing.budget == 0 || b->is_left_alone)
        return;
    if (c.n >= b->wanted && (c.full == NULL || b->is_pinned || !is_cold))
        return;
    cp_index_id(&s->index, sp->number + i, &id);
    under_way = cp_command_moving(s, &id, NULL, &unused);
    if (c.n < b->wanted) {
        if (c.source != NULL)
            copy_more(s, &id, sp->number + i, &c, under_way, b->wanted);
    } else if (under_way == 0) {
        make_room(s, &id, sp->number + i, &c, b);
    }
}

/* False: that were enough looks, it goes on with the same span. */
static bool look_at_span(struct cp_state *s, struct cp_span *sp)
{
    struct cp_placing *p = &s->placing;
    double heat = cp_heat(s, sp);
    struct bounds b = bounds_of(
        s, s->policies == 0 ? (struct el_str){ "", 0 } : cp_name_of(s, sp->version->object, NULL),
        heat);

    for (; p->slot < sp->slots; p->slot++) {
        if (p->looks >= LOOKS_PER_TICK)
            return false;
        if (cp_holders_count(&sp->slot[p->slot].holders) > 0)
            look_at_chunk(s, sp, p->slot, &b, heat < CP_HEAT_UNIT / 4);
    }
    p->slot = 0;
    return true;
}

/* All have been looked at once. */
static void end_look(struct cp_state *s)
{
    struct cp_placing *p = &s->placing;

    p->low_last = p->low;
    if (p->low == 0)
        p->low_since_ms = 0;
    else if (p->low_since_ms == 0)
        p->low_since_ms = el_max_u64(1, s->mono_ms);
    p->low = 0;
    p->part = 0;
    p->span = 0;
    p->slot = 0;
}

/* Where the look goes on; NULL: it has come to the end. */
static struct cp_span *next_span(struct cp_state *s)
{
    struct cp_placing *p = &s->placing;

    for (; p->part < CP_PARTS; p->part++, p->span = 0) {
        const struct cp_part *part = &s->index.part[p->part];

        while (p->span < part->n) {
            struct cp_span *sp = part->span[p->span++];

            if (sp != NULL)
                return sp;
        }
    }
    return NULL;
}

void cp_place_tick(struct cp_state *s)
{
    struct cp_placing *p = &s->placing;
    struct cp_span *sp;

    p->budget = s->conf.commands_per_tick;
    p->looks = 0;
    while (p->looks < LOOKS_PER_TICK) {
        sp = next_span(s);
        if (sp == NULL) {
            end_look(s);
            return;
        }
        if (!look_at_span(s, sp))
            p->span--;
    }
}
