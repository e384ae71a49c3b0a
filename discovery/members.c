/* SPDX-License-Identifier: MIT */
/* members: see members.h. The life of the whole, its clock, and what goes out. */
#include <limits.h>

#include "discovery/members_in.h"

#define LEAVE_TOLD 8u /* members that are told directly */

/* ---- what goes out ---- */

static struct disc_out *new_out(struct disc_members *m)
{
    struct disc_out *o = el_new(struct disc_out);

    el_list_append(&m->out, &o->link);
    return o;
}

struct el_buf *disc_send(struct disc_members *m, const struct disc_card *to)
{
    struct disc_out *o = new_out(m);

    o->to = to->hash;
    o->card = disc_card_ref(to);
    return &o->body;
}

struct el_buf *disc_send_address(struct disc_members *m, const char *address)
{
    struct disc_out *o = new_out(m);

    o->address = el_strndup(address, strlen(address));
    return &o->body;
}

struct el_buf *disc_send_back(struct disc_members *m, uint64_t to)
{
    uint32_t slot = disc_roster_find(&m->roster, to);
    struct disc_out *o = new_out(m);

    o->to = to;
    o->is_reply = to == m->given_by;
    if (slot != DISC_NO_SLOT && disc_card_is_serving(disc_roster_at(&m->roster, slot)->card))
        o->card = disc_card_ref(disc_roster_at(&m->roster, slot)->card);
    return &o->body;
}

struct disc_out *disc_members_next_out(struct disc_members *m)
{
    struct el_list *first = el_list_pop(&m->out);

    return first == NULL ? NULL : EL_ENTRY(first, struct disc_out, link);
}

void disc_out_free(struct disc_out *o)
{
    disc_card_unref(o->card);
    free(o->address);
    el_buf_deinit(&o->body);
    free(o);
}

void disc_event_add(struct disc_members *m, enum disc_event_kind kind, const struct disc_card *card)
{
    if (m->n_events == m->events_cap) {
        m->events_cap = m->events_cap == 0 ? 8 : m->events_cap * 2;
        m->event = reallocarray(m->event, m->events_cap, sizeof(*m->event));
        EL_ASSERT(m->event != NULL); /* a message or a tick changes at most all members */
    }
    m->event[m->n_events++] = (struct disc_event){ kind, disc_card_ref(card) };
    if (kind != DISC_EVENT_SUSPECTED && kind != DISC_EVENT_TRUSTED && kind != DISC_EVENT_CONFLICT)
        m->version++;
}

bool disc_members_next_event(struct disc_members *m, struct disc_event *ret)
{
    if (m->events_at == m->n_events) {
        m->events_at = m->n_events = 0;
        return false;
    }
    *ret = m->event[m->events_at++];
    return true;
}

void disc_add_rumours(struct disc_members *m, struct el_buf *out, uint64_t to, size_t max)
{
    uint32_t slot = disc_roster_find(&m->roster, to);
    struct disc_update u;

    if (slot != DISC_NO_SLOT && slot != 0 &&
        disc_roster_at(&m->roster, slot)->state != DISC_ALIVE) {
        disc_update_of(disc_roster_at(&m->roster, slot), false, m->self->hash, &u);
        disc_update_put(out, &u);
    }
    disc_rumours_tell(&m->rumours, &m->roster, out, max);
}

static bool is_helpful(const struct disc_record *r, const void *self)
{
    return r->state == DISC_ALIVE && r->card->hash != *(const uint64_t *)self &&
           disc_card_is_serving(r->card);
}

const struct disc_card *disc_somebody(struct disc_members *m)
{
    uint32_t slot = disc_roster_pick(&m->roster, &m->rng, is_helpful, &m->self->hash);

    return slot == DISC_NO_SLOT ? NULL : disc_roster_at(&m->roster, slot)->card;
}

/* ---- life ---- */

/* Up to `ms` from now: nodes that start together do not stay together. */
static uint64_t some_time(struct disc_members *m, uint64_t ms)
{
    return m->now_ms + el_rng_below(&m->rng, ms);
}

struct disc_members *disc_members_new(const struct disc_members_conf *conf)
{
    struct disc_members *m = el_new(struct disc_members);

    m->cards = conf->cards;
    m->self = disc_card_get(conf->cards, &conf->self);
    m->incarnation = conf->start_ms << 16;
    m->epoch_ms = m->now_ms = conf->now_ms;
    m->pass_left = UINT_MAX;
    m->sync_every_ms = SYNC_SOON_MS;
    m->suspicion_due_ms = UINT64_MAX;
    m->rng = conf->rng;
    el_list_init(&m->out);
    disc_roster_init(&m->roster);
    disc_rumours_init(&m->rumours);
    (void)disc_roster_add(&m->roster, disc_card_ref(m->self), m->incarnation, 0);
    disc_roster_at(&m->roster, 0)->learnt = DISC_LEARNT_SELF;
    m->probe_due_ms = some_time(m, PROBE_MS);
    m->rumours_due_ms = some_time(m, RUMOURS_MS);
    m->sync_due_ms = some_time(m, PROBE_MS);
    m->heal_due_ms = m->now_ms;
    m->beat_due_ms = m->now_ms + BEAT_MS;
    m->sweep_due_ms = some_time(m, SWEEP_MS);
    return m;
}

static void drop_seeds(struct disc_members *m)
{
    while (m->n_seeds > 0)
        free(m->seed[--m->n_seeds].address);
}

static struct disc_seed *seed_of(struct disc_members *m, struct el_str address)
{
    for (size_t i = 0; i < m->n_seeds; i++)
        if (el_str_eq(el_str_of(m->seed[i].address), address))
            return &m->seed[i];
    return NULL;
}

void disc_members_free(struct disc_members *m)
{
    struct disc_event e;
    struct disc_out *o;

    if (m == NULL)
        return;
    while ((o = disc_members_next_out(m)) != NULL)
        disc_out_free(o);
    while (disc_members_next_event(m, &e))
        disc_card_unref(e.card);
    free(m->event);
    free(m->suspicion);
    drop_seeds(m);
    disc_rumours_deinit(&m->rumours);
    disc_roster_deinit(&m->roster);
    disc_card_unref(m->self);
    free(m);
}

void disc_members_set_seeds(struct disc_members *m, const struct el_str *address,
                            const enum disc_learnt *from, size_t n, uint64_t now_ms)
{
    struct disc_seed next[MAX_SEEDS] = { 0 };

    m->now_ms = now_ms;
    n = el_min_size(n, MAX_SEEDS);
    for (size_t i = 0; i < n; i++) {
        const struct disc_seed *before = seed_of(m, address[i]);

        next[i] = (struct disc_seed){ .address = el_strndup(address[i].p, address[i].n),
                                      .from = from != NULL ? from[i] : DISC_LEARNT_SEED,
                                      .hash = before != NULL ? before->hash : 0 };
    }
    drop_seeds(m);
    memcpy(m->seed, next, n * sizeof(*next));
    m->n_seeds = n;
    if (m->roster.n_live == 1)
        m->heal_due_ms = now_ms;
}

void disc_members_reached(struct disc_members *m, struct el_str address, uint64_t who)
{
    struct disc_seed *seed = seed_of(m, address);

    if (seed != NULL)
        seed->hash = who;
}

/*
 * An address that was named counts for more than who was the first to speak: two nodes that start
 * at once are each other's seeds, whoever calls. A link to a seed is proved before anything comes
 * by it.
 */
enum disc_learnt disc_learnt_of(const struct disc_members *m, uint32_t slot)
{
    const struct disc_record *r = &m->roster.v[slot];

    for (size_t i = 0; i < m->n_seeds; i++)
        if (m->seed[i].hash == r->card->hash || disc_is_at(r, m->seed[i].address))
            return m->seed[i].from;
    return r->card->hash == m->given_by ? DISC_LEARNT_CALL : DISC_LEARNT_GOSSIP;
}

void disc_members_leave(struct disc_members *m, uint64_t now_ms)
{
    m->now_ms = now_ms;
    if (m->is_leaving)
        return;
    m->is_leaving = true;
    m->incarnation++;
    disc_roster_set(&m->roster, 0, DISC_LEFT, m->incarnation, disc_tenths(m));
    for (unsigned i = 0; i < LEAVE_TOLD; i++) {
        const struct disc_card *to = disc_somebody(m);

        if (to != NULL)
            disc_leave_put(disc_send(m, to), m->incarnation);
    }
}

/* ---- the clock ---- */

/*
 * A process that was stopped, or a machine that was, has missed answers that were sent: nobody is
 * accused for that time, and what changed meanwhile is asked for.
 */
static void wake(struct disc_members *m, uint64_t by_ms)
{
    disc_probes_forget(m);
    disc_suspicions_shift(m, by_ms);
    disc_health_worse(m, 1);
    m->sync_due_ms = m->now_ms;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t disc_members_due_ms(const struct disc_members *m)
{
    uint64_t due = sooner(m->probe_due_ms, m->sync_due_ms);

    if (m->is_leaving)
        return UINT64_MAX;
    due = sooner(due, sooner(m->heal_due_ms, m->sweep_due_ms));
    due = sooner(due, sooner(m->suspicion_due_ms, disc_probes_due_ms(m)));
    if (!disc_card_is_serving(m->self))
        due = sooner(due, m->beat_due_ms);
    return m->rumours.n > 0 ? sooner(due, m->rumours_due_ms) : due;
}

static bool is_live(const struct disc_members *m, uint64_t hash)
{
    uint32_t slot = disc_roster_find(&m->roster, hash);

    return slot != DISC_NO_SLOT && disc_is_live(disc_roster_at(&m->roster, slot));
}

/* Each in turn: a rumour is told once to each before it is told again. */
static const struct disc_card *partner(struct disc_members *m)
{
    uint64_t hash = m->partner[m->told_partner++ % MAX_PARTNERS];

    if (hash == 0 || !is_live(m, hash))
        return disc_somebody(m);
    return disc_roster_at(&m->roster, disc_roster_find(&m->roster, hash))->card;
}

static void spread(struct disc_members *m)
{
    for (unsigned i = 0; i < 2 && m->rumours.n > 0; i++) {
        const struct disc_card *to = partner(m);
        struct el_buf *out;

        if (to == NULL)
            return;
        out = disc_send(m, to);
        disc_rumours_put(out, m->incarnation);
        disc_add_rumours(m, out, to->hash, RUMOURS_BYTES);
    }
}

static void sweep(struct disc_members *m)
{
    uint32_t now = disc_tenths(m);

    for (uint32_t i = 1; i < m->roster.n_slots; i++) {
        const struct disc_record *r = disc_roster_at(&m->roster, i);

        if (r->card == NULL)
            continue;
        if (!disc_is_live(r) && now - r->since > FORGET_MS / 100)
            disc_roster_remove(&m->roster, i);
        else if (disc_is_live(r) && !disc_card_is_serving(r->card) &&
                 now - r->since > SILENT_MS / 100)
            disc_die(m, i);
    }
}

/* True when it was due; then it is next in `every_ms`, a tenth more or less. */
static bool take_due(struct disc_members *m, uint64_t *due_ms, uint64_t every_ms)
{
    if (m->now_ms < *due_ms)
        return false;
    *due_ms = m->now_ms + every_ms - every_ms / 10 + el_rng_below(&m->rng, every_ms / 5 + 1);
    return true;
}

void disc_members_tick(struct disc_members *m, uint64_t now_ms)
{
    uint64_t due_ms = disc_members_due_ms(m);

    m->now_ms = now_ms;
    if (m->is_leaving)
        return;
    if (due_ms < now_ms && now_ms - due_ms > SLEPT_MS)
        wake(m, now_ms - due_ms);
    disc_probes_run(m);
    disc_suspicions_run(m);
    if (take_due(m, &m->probe_due_ms, PROBE_MS + PROBE_MS / 4 * m->health))
        disc_probe_next(m);
    if (take_due(m, &m->sync_due_ms, m->sync_every_ms)) {
        m->sync_every_ms = sooner(m->sync_every_ms * 2, SYNC_MS * disc_tenfolds(m->roster.n_live));
        disc_sync_next(m);
    }
    if (take_due(m, &m->heal_due_ms, HEAL_MS))
        disc_heal(m);
    if (take_due(m, &m->sweep_due_ms, SWEEP_MS))
        sweep(m);
    if (!disc_card_is_serving(m->self) && take_due(m, &m->beat_due_ms, BEAT_MS))
        disc_reassert(m, m->incarnation);
    if (m->rumours.n > 0 && take_due(m, &m->rumours_due_ms, RUMOURS_MS))
        spread(m);
}

/* ---- what comes in ---- */

static void leave_given(struct disc_members *m, uint64_t from, uint64_t incarnation)
{
    struct disc_update u = { .state = DISC_LEFT, .hash = from, .incarnation = incarnation };
    struct el_buf want = { 0 };

    (void)disc_hear(m, &u, DISC_FROM_OWNER, &want);
    el_buf_deinit(&want); /* who leaves is not asked who it was */
}

enum el_err disc_members_give(struct disc_members *m, uint64_t now_ms, uint64_t from,
                              struct el_str body, struct el_error *err)
{
    struct disc_message msg;
    enum el_err rc = disc_message_decode(body, &msg, err);

    if (rc != EL_OK)
        return rc;
    m->now_ms = now_ms;
    m->stats.messages_in++;
    m->stats.bytes_in += body.n;
    m->given_by = from;
    if (msg.type == DISC_NODE_JOIN)
        disc_join_given(m, from, &msg);
    else if (msg.type == DISC_NODE_LEAVE)
        leave_given(m, from, msg.incarnation);
    else if (msg.type == DISC_STATE_SYNC)
        disc_sync_given(m, from, &msg);
    else
        disc_probe_given(m, from, &msg);
    m->given_by = 0;
    return EL_OK;
}

void disc_members_unreachable(struct disc_members *m, uint64_t now_ms, uint64_t to)
{
    m->now_ms = now_ms;
    if (to != 0) /* a seed is tried again anyway */
        disc_probe_unreachable(m, to);
}

/* ---- what is known ---- */

const char *disc_learnt_name(enum disc_learnt l)
{
    static const char *const names[] = {
        [DISC_LEARNT_GOSSIP] = "gossip", [DISC_LEARNT_CALL] = "call",
        [DISC_LEARNT_SEED] = "seed",     [DISC_LEARNT_FILE] = "file",
        [DISC_LEARNT_DNS] = "dns",       [DISC_LEARNT_CONTROL_PLANE] = "control_plane",
        [DISC_LEARNT_SELF] = "self"
    };

    return names[l];
}

static void show(const struct disc_record *r, struct disc_member *ret)
{
    *ret = (struct disc_member){ r->card, r->state, r->learnt, r->incarnation };
}

bool disc_members_each(const struct disc_members *m, size_t *at, struct disc_member *ret)
{
    while (*at < m->roster.n_slots) {
        const struct disc_record *r = &m->roster.v[(*at)++];

        if (r->card != NULL) {
            show(r, ret);
            return true;
        }
    }
    return false;
}

bool disc_members_find(const struct disc_members *m, uint64_t hash, struct disc_member *ret)
{
    uint32_t slot = disc_roster_find(&m->roster, hash);

    if (slot == DISC_NO_SLOT)
        return false;
    show(disc_roster_at(&m->roster, slot), ret);
    return true;
}

size_t disc_members_live(const struct disc_members *m)
{
    return m->roster.n_live;
}

uint64_t disc_members_digest(const struct disc_members *m)
{
    return disc_roster_sum(&m->roster, 0, 0);
}

uint64_t disc_members_version(const struct disc_members *m)
{
    return m->version;
}

void disc_members_stats(const struct disc_members *m, struct disc_members_stats *ret)
{
    *ret = m->stats;
    ret->health = m->health;
    ret->bytes = sizeof(*m) + disc_roster_bytes(&m->roster) - sizeof(m->roster) +
                 m->rumours.cap * sizeof(struct disc_rumour) +
                 m->suspicions_cap * sizeof(struct disc_suspicion);
}
