/* SPDX-License-Identifier: MIT */
/* governor: see the header. Pure core. */
#include "storage/governor.h"

#define BUCKETS     256
#define MAX_ORIGINS 4096 /* known at a time; beyond it, those at rest are forgotten */
#define FLOOR       4.0  /* as few as an origin can make it by 429 and 503 */

enum circuit { CLOSED, OPEN, HALF_OPEN };

struct store_origin {
    struct el_list link; /* in a bucket */
    char *name;
    unsigned running;
    double limit; /* of running: FLOOR .. conf.max_running */
    struct el_list waiting;
    uint64_t slowed_ms; /* when the limit was last halved */
    uint64_t quiet_until_ms;
    enum circuit circuit;
    unsigned failures; /* to answer at all, in a row */
    unsigned cuts;     /* bodies that broke off, in a row */
    bool is_probed;    /* half open: somebody tries */
    uint64_t open_until_ms;
};

struct store_governor {
    struct store_governor_conf conf;
    struct el_list buckets[BUCKETS];
    size_t n_origins;
    struct el_list ready; /* of store_permit.link: what store_governor_next() returns */
};

void store_permit_init(struct store_permit *p)
{
    *p = (struct store_permit){ 0 };
    el_list_init(&p->link);
}

struct store_governor *store_governor_new(const struct store_governor_conf *conf)
{
    struct store_governor *g = el_new(struct store_governor);

    g->conf = *conf;
    if (g->conf.max_running == 0)
        g->conf.max_running = 1;
    for (size_t i = 0; i < BUCKETS; i++)
        el_list_init(&g->buckets[i]);
    el_list_init(&g->ready);
    return g;
}

/* ---- the origins known ---- */

static void forget(struct store_governor *g, struct store_origin *o)
{
    el_list_remove(&o->link);
    g->n_origins--;
    free(o->name);
    free(o);
}

static bool is_at_rest(const struct store_origin *o)
{
    return o->running == 0 && el_list_empty(&o->waiting);
}

static bool is_as_new(const struct store_governor *g, const struct store_origin *o, uint64_t now)
{
    return is_at_rest(o) && o->circuit == CLOSED && o->failures == 0 && o->cuts == 0 &&
           o->quiet_until_ms <= now && o->limit >= g->conf.max_running;
}

void store_governor_free(struct store_governor *g)
{
    struct el_list *it, *tmp;

    if (g == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        EL_LIST_EACH (it, tmp, &g->buckets[i]) {
            struct store_origin *o = EL_ENTRY(it, struct store_origin, link);

            EL_ASSERT(is_at_rest(o));
            forget(g, o);
        }
    }
    free(g);
}

static void forget_all_at_rest(struct store_governor *g)
{
    struct el_list *it, *tmp;

    for (size_t i = 0; i < BUCKETS; i++)
        EL_LIST_EACH (it, tmp, &g->buckets[i])
            if (is_at_rest(EL_ENTRY(it, struct store_origin, link)))
                forget(g, EL_ENTRY(it, struct store_origin, link));
}

static struct store_origin *find(struct store_governor *g, struct el_str name)
{
    struct el_list *bucket = &g->buckets[el_str_hash(name) % BUCKETS], *it, *tmp;

    EL_LIST_EACH (it, tmp, bucket) {
        struct store_origin *o = EL_ENTRY(it, struct store_origin, link);

        if (el_str_eq(el_str_of(o->name), name))
            return o;
    }
    return NULL;
}

static struct store_origin *find_or_add(struct store_governor *g, struct el_str name)
{
    struct store_origin *o = find(g, name);

    if (o != NULL)
        return o;
    if (g->n_origins >= MAX_ORIGINS)
        forget_all_at_rest(g);
    o = el_new(struct store_origin);
    o->name = el_strndup(name.p, name.n);
    o->limit = g->conf.max_running;
    el_list_init(&o->waiting);
    el_list_append(&g->buckets[el_str_hash(name) % BUCKETS], &o->link);
    g->n_origins++;
    return o;
}

/* ---- permits ---- */

static void hold(struct store_origin *o, struct store_permit *p, uint64_t now)
{
    o->running++;
    p->state = STORE_PERMIT_HELD;
    p->held_ms = now;
}

static bool has_room(const struct store_origin *o)
{
    return o->running < (unsigned)o->limit;
}

/* Lets in whoever waited and now may. */
static void pump(struct store_governor *g, struct store_origin *o, uint64_t now)
{
    while (has_room(o) && !el_list_empty(&o->waiting)) {
        struct el_list *m = el_list_pop(&o->waiting);

        hold(o, EL_ENTRY(m, struct store_permit, link), now);
        el_list_append(&g->ready, m);
    }
}

static void refuse_waiting(struct store_governor *g, struct store_origin *o)
{
    struct el_list *m;

    while ((m = el_list_pop(&o->waiting)) != NULL) {
        struct store_permit *p = EL_ENTRY(m, struct store_permit, link);

        p->state = STORE_PERMIT_REFUSED;
        p->origin = NULL; /* which may be forgotten before the permit comes back */
        el_list_append(&g->ready, m);
    }
}

/* Whether the circuit lets the next one through; it may be the probe. */
static bool passes_circuit(struct store_origin *o, struct store_permit *p, uint64_t now)
{
    if (o->circuit == CLOSED)
        return true;
    if (o->circuit == OPEN && now < o->open_until_ms)
        return false;
    if (o->circuit == HALF_OPEN && o->is_probed)
        return false;
    o->circuit = HALF_OPEN;
    o->is_probed = true;
    p->is_probe = true;
    return true;
}

enum store_permit_state store_governor_ask(struct store_governor *g, struct el_str origin,
                                           struct store_permit *p, uint64_t now_ms)
{
    struct store_origin *o = find_or_add(g, origin);

    store_permit_init(p);
    if (!passes_circuit(o, p, now_ms))
        return STORE_PERMIT_NONE;
    p->origin = o;
    if (p->is_probe || (has_room(o) && el_list_empty(&o->waiting))) {
        hold(o, p, now_ms);
    } else {
        p->state = STORE_PERMIT_WAITING;
        el_list_append(&o->waiting, &p->link);
    }
    return p->state;
}

bool store_governor_insist(struct store_governor *g, struct store_permit *p, uint64_t now_ms)
{
    if (p->state == STORE_PERMIT_WAITING && p->origin->running < g->conf.max_running) {
        el_list_remove(&p->link);
        hold(p->origin, p, now_ms);
    }
    return p->state == STORE_PERMIT_HELD;
}

/* Only once for all the requests that were under way together. */
static bool slow_down(struct store_governor *g, struct store_origin *o, struct store_permit *p,
                      uint64_t now)
{
    double least = g->conf.max_running < FLOOR ? g->conf.max_running : FLOOR;
    double busy = o->running < o->limit ? o->running : o->limit;

    if (o->slowed_ms != 0 && p->held_ms <= o->slowed_ms)
        return false;
    o->slowed_ms = now;
    o->limit = busy / 2 > least ? busy / 2 : least;
    return true;
}

static bool close_circuit(struct store_origin *o)
{
    bool was_closed = o->circuit == CLOSED;

    o->circuit = CLOSED;
    o->failures = 0;
    o->is_probed = false;
    return !was_closed;
}

enum store_turn store_governor_answered(struct store_governor *g, struct store_permit *p,
                                        int status, uint64_t retry_after_ms, uint64_t now_ms)
{
    struct store_origin *o = p->origin;
    bool is_closed = close_circuit(o), is_slowed = false;

    EL_ASSERT(p->state == STORE_PERMIT_HELD);
    p->is_probe = false;
    p->is_answered = true;
    if (status == 429 || status == 503) {
        is_slowed = slow_down(g, o, p, now_ms);
        o->quiet_until_ms = el_max_u64(o->quiet_until_ms, now_ms + retry_after_ms);
    } else if (o->limit < g->conf.max_running) {
        o->limit += 1.0 / o->limit;
        if (o->limit > g->conf.max_running)
            o->limit = g->conf.max_running;
    }
    pump(g, o, now_ms);
    if (is_slowed)
        return STORE_TURN_SLOWED;
    return is_closed ? STORE_TURN_CLOSED : STORE_TURN_NONE;
}

/* True when this failure opened the circuit. */
static bool note_failure(struct store_governor *g, struct store_origin *o,
                         const struct store_permit *p, uint64_t now)
{
    bool was_closed = o->circuit == CLOSED;
    unsigned row = p->is_answered ? ++o->cuts : ++o->failures;

    if (g->conf.breaker_failures == 0)
        return false;
    if (!p->is_probe && (!was_closed || row < g->conf.breaker_failures))
        return false;
    o->circuit = OPEN;
    o->is_probed = false;
    o->open_until_ms = now + g->conf.breaker_open_ms;
    refuse_waiting(g, o);
    return was_closed;
}

enum store_turn store_governor_leave(struct store_governor *g, struct store_permit *p,
                                     bool has_failed, uint64_t now_ms)
{
    struct store_origin *o = p->origin;
    enum store_turn turn = STORE_TURN_NONE;

    el_list_remove(&p->link);
    if (o == NULL) {
        store_permit_init(p);
        return turn;
    }
    if (p->state == STORE_PERMIT_HELD) {
        o->running--;
        if (has_failed && note_failure(g, o, p, now_ms))
            turn = STORE_TURN_OPENED;
        else if (!has_failed && p->is_answered)
            o->cuts = 0;
        else if (!has_failed && p->is_probe)
            o->is_probed = false; /* it was given up: the next one probes */
    }
    store_permit_init(p);
    pump(g, o, now_ms);
    if (is_as_new(g, o, now_ms))
        forget(g, o);
    return turn;
}

struct store_permit *store_governor_next(struct store_governor *g)
{
    struct el_list *m = el_list_pop(&g->ready);

    return m == NULL ? NULL : EL_ENTRY(m, struct store_permit, link);
}

uint64_t store_governor_quiet_ms(struct store_governor *g, struct el_str origin, uint64_t now_ms)
{
    const struct store_origin *o = find(g, origin);

    return o == NULL || o->quiet_until_ms <= now_ms ? 0 : o->quiet_until_ms - now_ms;
}

size_t store_governor_origins(const struct store_governor *g)
{
    return g->n_origins;
}
