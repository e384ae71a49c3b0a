/* SPDX-License-Identifier: MIT */
/*
 * hear: what is said of a member, and whether it counts. With suspect.c the one place that changes
 * states; the order of members.h is `is_news`.
 */
#include <limits.h>

#include "discovery/members_in.h"

#define CONFLICT_MS 60000u /* between two reports */

/* ---- of this node ---- */

void disc_reassert(struct disc_members *m, uint64_t heard)
{
    uint64_t start = START_OF(m->incarnation);

    /* A later start than this one was this node with a clock that has gone back since. */
    if (START_OF(heard) > start)
        m->incarnation = (START_OF(heard) + 1) << 16;
    else
        m->incarnation = el_max_u64(m->incarnation, heard) + 1;
    disc_roster_set(&m->roster, 0, DISC_ALIVE, m->incarnation, disc_tenths(m));
    disc_rumours_add(&m->rumours, &m->roster, 0, START_OF(m->incarnation) != start, 0);
}

static void report_conflict(struct disc_members *m, const struct disc_update *u)
{
    const struct disc_card *other;

    if (m->conflict_ms != 0 && m->now_ms - m->conflict_ms < CONFLICT_MS)
        return;
    m->conflict_ms = m->now_ms;
    other = disc_card_get(m->cards, &u->fields);
    disc_event_add(m, DISC_EVENT_CONFLICT, other);
    disc_card_unref(other);
}

static void refute(struct disc_members *m, uint64_t heard)
{
    m->stats.refuted++;
    disc_reassert(m, heard);
}

static bool is_here(const struct disc_members *m, const struct disc_fields *f)
{
    return f->p2p_port == m->self->p2p_port && el_str_eq(f->host, disc_card_fields(m->self).host);
}

/*
 * Said to live since later than this process: another process, unless it is at this very address
 * and so can only be an earlier one. When the other dies the cluster will say so, and this one
 * objects.
 */
static void hear_double(struct disc_members *m, const struct disc_update *u, struct el_buf *want)
{
    if (!u->has_fields)
        el_bytes_add_u64(want, u->hash);
    else if (is_here(m, &u->fields))
        refute(m, u->incarnation);
    else
        report_conflict(m, u);
}

static bool hear_of_self(struct disc_members *m, const struct disc_update *u, struct el_buf *want)
{
    if (m->is_leaving || u->incarnation < m->incarnation)
        return false;
    if (u->state == DISC_SUSPECT)
        disc_health_worse(m, 1);
    if (u->state != DISC_ALIVE)
        refute(m, u->incarnation);
    else if (START_OF(u->incarnation) > START_OF(m->incarnation))
        hear_double(m, u, want);
    return u->state != DISC_ALIVE;
}

/* ---- of others ---- */

static bool is_news(const struct disc_record *r, const struct disc_update *u)
{
    if (u->incarnation != r->incarnation)
        return u->incarnation > r->incarnation;
    return u->state > r->state;
}

static void pass_on(struct disc_members *m, uint32_t slot, bool with_card)
{
    if (m->pass_left == 0)
        return; /* much is heard at once: others hear it as this node did */
    m->pass_left -= m->pass_left != UINT_MAX;
    disc_rumours_add(&m->rumours, &m->roster, slot, with_card, 0);
}

static bool meet(struct disc_members *m, const struct disc_update *u, struct el_buf *want)
{
    uint32_t slot;

    if (u->state >= DISC_DEAD)
        return false;
    if (!u->has_fields) {
        el_bytes_add_u64(want, u->hash);
        return false;
    }
    slot = disc_roster_add(&m->roster, disc_card_get(m->cards, &u->fields), u->incarnation,
                           disc_tenths(m));
    if (slot == DISC_NO_SLOT) {
        m->stats.refused++;
        return false;
    }
    disc_roster_at(&m->roster, slot)->learnt = disc_learnt_of(m, slot);
    disc_roster_enlist(&m->roster, &m->rng, slot);
    disc_event_add(m, DISC_EVENT_JOINED, disc_roster_at(&m->roster, slot)->card);
    pass_on(m, slot, true);
    if (u->state == DISC_SUSPECT)
        disc_suspect(m, slot, u->accuser);
    return true;
}

static enum disc_event_kind change_of(enum disc_state was, enum disc_state is, bool is_new_start)
{
    if (is == DISC_DEAD)
        return DISC_EVENT_DEAD;
    if (is == DISC_LEFT)
        return DISC_EVENT_LEFT;
    if (was >= DISC_DEAD)
        return DISC_EVENT_JOINED;
    return is_new_start ? DISC_EVENT_MOVED : DISC_EVENT_TRUSTED;
}

/* Alive, dead or left, as is said. */
static void follow(struct disc_members *m, uint32_t slot, const struct disc_update *u,
                   bool is_new_start)
{
    struct disc_record *r = disc_roster_at(&m->roster, slot);
    enum disc_state was = r->state;
    bool was_live = was <= DISC_SUSPECT, is_live = u->state == DISC_ALIVE;

    disc_suspicion_end(m, slot);
    if (is_new_start)
        disc_roster_set_card(&m->roster, slot, disc_card_get(m->cards, &u->fields));
    disc_roster_set(&m->roster, slot, u->state, u->incarnation, disc_tenths(m));
    if (is_live && (!was_live || is_new_start))
        disc_roster_enlist(&m->roster, &m->rng, slot);
    if (was_live != is_live || (is_live && (is_new_start || was == DISC_SUSPECT)))
        disc_event_add(m, change_of(was, u->state, is_new_start), r->card);
    pass_on(m, slot, is_new_start);
}

/*
 * Suspect; or dead for another, which has had its patience: that may be the other half of a
 * cluster that was cut, so the member may object, but this node has no patience left.
 */
static void doubt(struct disc_members *m, uint32_t slot, const struct disc_update *u)
{
    struct disc_record *r = disc_roster_at(&m->roster, slot);
    bool is_suspicion = u->state == DISC_SUSPECT;

    if (u->incarnation != r->incarnation) {
        disc_suspicion_end(m, slot);
        disc_roster_set(&m->roster, slot, DISC_ALIVE, u->incarnation, disc_tenths(m));
    }
    if (is_suspicion)
        disc_suspect(m, slot, u->accuser);
    else
        disc_suspect_at_last(m, slot);
}

static bool is_other_id(const struct disc_record *r, const struct disc_update *u)
{
    return u->has_fields && !el_str_eq(u->fields.id, disc_card_fields(r->card).id);
}

static bool hear_of(struct disc_members *m, uint32_t slot, const struct disc_update *u,
                    enum disc_source source, struct el_buf *want)
{
    struct disc_record *r = disc_roster_at(&m->roster, slot);
    bool is_new_start = START_OF(u->incarnation) != START_OF(r->incarnation);

    if (!is_news(r, u)) {
        if (u->state == DISC_SUSPECT && r->state == DISC_SUSPECT &&
            u->incarnation == r->incarnation && source == DISC_FROM_RUMOUR)
            disc_suspect(m, slot, u->accuser);
        return false;
    }
    if (is_new_start && !u->has_fields) {
        el_bytes_add_u64(want, u->hash);
        return false;
    }
    if (disc_is_live(r) && !is_new_start &&
        (u->state == DISC_SUSPECT || (u->state == DISC_DEAD && source == DISC_FROM_SYNC))) {
        doubt(m, slot, u);
        return true;
    }
    if (u->state == DISC_SUSPECT) { /* of a member that was dead, or of a start not known yet */
        struct disc_update alive = *u;

        alive.state = DISC_ALIVE;
        follow(m, slot, &alive, is_new_start);
        disc_suspect(m, slot, u->accuser);
        return true;
    }
    follow(m, slot, u, is_new_start);
    return true;
}

bool disc_hear(struct disc_members *m, const struct disc_update *u, enum disc_source source,
               struct el_buf *want)
{
    uint32_t slot;

    if (u->incarnation > DISC_MAX_INCARNATION)
        return false;
    if (u->hash == m->self->hash)
        return hear_of_self(m, u, want);
    slot = disc_roster_find(&m->roster, u->hash);
    if (slot == DISC_NO_SLOT)
        return meet(m, u, want);
    if (is_other_id(disc_roster_at(&m->roster, slot), u)) {
        m->stats.refused++;
        return false;
    }
    return hear_of(m, slot, u, source, want);
}

size_t disc_hear_updates(struct disc_members *m, struct el_bytes updates, enum disc_source source,
                         uint64_t from)
{
    struct el_buf want = { 0 };
    struct disc_update u;
    size_t changed = 0;

    while (disc_update_next(&updates, &u))
        changed += disc_hear(m, &u, source, &want);
    disc_want(m, from, &want);
    el_buf_deinit(&want);
    return changed;
}

/* A process that has been followed by another of its id, and does not know. */
static void tell_double(struct disc_members *m, uint64_t from, const struct disc_record *r)
{
    struct el_buf *out = disc_send_back(m, from);
    struct disc_update u;

    disc_update_of(r, true, 0, &u);
    disc_rumours_put(out, m->incarnation);
    disc_update_put(out, &u);
}

void disc_hear_owner(struct disc_members *m, uint64_t from, uint64_t incarnation)
{
    struct disc_update u = { .state = DISC_ALIVE, .hash = from, .incarnation = incarnation };
    uint32_t slot = disc_roster_find(&m->roster, from);
    struct el_buf want = { 0 };

    (void)disc_hear(m, &u, DISC_FROM_OWNER, &want);
    disc_want(m, from, &want);
    el_buf_deinit(&want);
    if (slot != DISC_NO_SLOT && from != m->self->hash) {
        const struct disc_record *r = disc_roster_at(&m->roster, slot);

        if (r->state == DISC_ALIVE && START_OF(r->incarnation) > START_OF(incarnation))
            tell_double(m, from, r);
    }
}
