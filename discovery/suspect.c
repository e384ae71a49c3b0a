/* SPDX-License-Identifier: MIT */
/*
 * suspect: members that did not answer, and until when they may object. Each suspicion is in an
 * array, its place in the member's record.
 */
#include "discovery/members_in.h"

#define FEW 64u /* suspicions whose memory is kept */

uint64_t disc_tenfolds(uint32_t n)
{
    uint64_t bits = 0;

    while (n >> bits != 0)
        bits++;
    return el_max_u64(1, bits * 3 / 10);
}

/*
 * From MOST times the least down to the least as others suspect it too, fast at first:
 * 1 - log(c + 1) / log(k + 1) of the difference for c of k (Lifeguard, section IV.B).
 */
static uint64_t patience_ms(const struct disc_members *m, unsigned others)
{
    static const unsigned left_permille[MAX_ACCUSERS] = { 1000, 369, 0 };
    uint64_t least = SUSPECT_LEAST * disc_tenfolds(m->roster.n_live) * PROBE_MS;
    /* Besides this node and the one that is suspect. */
    unsigned most_others = m->roster.n_live > 2 ? m->roster.n_live - 2 : 0;

    /* Where fewer can confirm it, that many are enough. */
    others = others >= most_others ? MAX_ACCUSERS - 1 : others;
    return least + (SUSPECT_MOST - 1) * least * left_permille[others] / 1000;
}

/*
 * All are looked at together, and not each when its time is over: half of a large cluster may be
 * suspect at once.
 */
static void look_at(struct disc_members *m, uint64_t due_ms)
{
    due_ms = el_max_u64(due_ms, m->now_ms + SUSPECTS_MS);
    m->suspicion_due_ms = el_min_u64(m->suspicion_due_ms, due_ms);
}

static void set_due(struct disc_members *m, struct disc_suspicion *s)
{
    s->due_ms = s->start_ms + patience_ms(m, s->n_accusers - 1);
    look_at(m, s->due_ms);
}

static struct disc_suspicion *add(struct disc_members *m, uint32_t slot)
{
    struct disc_suspicion *s;

    if (m->n_suspicions == m->suspicions_cap) {
        m->suspicions_cap += 8 + m->suspicions_cap / 4;
        m->suspicion = reallocarray(m->suspicion, m->suspicions_cap, sizeof(*m->suspicion));
        EL_ASSERT(m->suspicion != NULL); /* DISC_MAX_MEMBERS bounds it */
    }
    s = &m->suspicion[m->n_suspicions++];
    *s = (struct disc_suspicion){ .slot = slot, .start_ms = m->now_ms };
    disc_roster_at(&m->roster, slot)->suspicion = (uint16_t)m->n_suspicions;
    return s;
}

/* False: it has said so before, or enough have. */
static bool accuse(struct disc_suspicion *s, uint64_t accuser)
{
    if (s->n_accusers == MAX_ACCUSERS)
        return false;
    for (unsigned i = 0; i < s->n_accusers; i++)
        if (s->accuser[i] == accuser)
            return false;
    if (s->n_accusers < MAX_ACCUSERS - 1)
        s->accuser[s->n_accusers] = accuser;
    s->n_accusers++;
    return true;
}

static struct disc_suspicion *begin(struct disc_members *m, uint32_t slot)
{
    struct disc_record *r = disc_roster_at(&m->roster, slot);

    disc_roster_set(&m->roster, slot, DISC_SUSPECT, r->incarnation, disc_tenths(m));
    disc_event_add(m, DISC_EVENT_SUSPECTED, r->card);
    m->stats.suspected++;
    return add(m, slot);
}

void disc_suspect(struct disc_members *m, uint32_t slot, uint64_t accuser)
{
    struct disc_record *r = disc_roster_at(&m->roster, slot);
    struct disc_suspicion *s = r->suspicion > 0 ? &m->suspicion[r->suspicion - 1] : begin(m, slot);

    if (!accuse(s, accuser))
        return;
    set_due(m, s);
    disc_rumours_add(&m->rumours, &m->roster, slot, false, accuser);
}

void disc_suspect_at_last(struct disc_members *m, uint32_t slot)
{
    struct disc_suspicion *s;

    disc_suspect(m, slot, m->self->hash);
    s = &m->suspicion[disc_roster_at(&m->roster, slot)->suspicion - 1];
    s->n_accusers = MAX_ACCUSERS;
    set_due(m, s);
}

void disc_suspicion_end(struct disc_members *m, uint32_t slot)
{
    struct disc_record *r = disc_roster_at(&m->roster, slot);
    struct disc_suspicion *last;
    uint16_t place = r->suspicion;

    if (place == 0)
        return;
    last = &m->suspicion[--m->n_suspicions];
    disc_roster_at(&m->roster, last->slot)->suspicion = place;
    m->suspicion[place - 1] = *last;
    r->suspicion = 0;
    if (m->n_suspicions == 0 && m->suspicions_cap > FEW) {
        free(m->suspicion); /* half a large cluster was, for once */
        m->suspicion = NULL;
        m->suspicions_cap = 0;
    }
}

void disc_die(struct disc_members *m, uint32_t slot)
{
    struct disc_record *r = disc_roster_at(&m->roster, slot);

    disc_suspicion_end(m, slot);
    disc_roster_set(&m->roster, slot, DISC_DEAD, r->incarnation, disc_tenths(m));
    disc_event_add(m, DISC_EVENT_DEAD, r->card);
    disc_rumours_add(&m->rumours, &m->roster, slot, false, 0);
    m->stats.died++;
}

void disc_suspicions_run(struct disc_members *m)
{
    uint64_t soonest = UINT64_MAX;

    if (m->now_ms < m->suspicion_due_ms)
        return;
    /* From behind: the one that takes a place left has been looked at. */
    for (size_t i = m->n_suspicions; i > 0; i--) {
        if (m->suspicion[i - 1].due_ms <= m->now_ms)
            disc_die(m, m->suspicion[i - 1].slot);
        else
            soonest = el_min_u64(soonest, m->suspicion[i - 1].due_ms);
    }
    m->suspicion_due_ms = UINT64_MAX;
    look_at(m, soonest);
}

void disc_suspicions_shift(struct disc_members *m, uint64_t by_ms)
{
    for (size_t i = 0; i < m->n_suspicions; i++) {
        m->suspicion[i].start_ms += by_ms;
        m->suspicion[i].due_ms += by_ms;
    }
    if (m->suspicion_due_ms != UINT64_MAX)
        m->suspicion_due_ms += by_ms;
}
