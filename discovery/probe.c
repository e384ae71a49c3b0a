/* SPDX-License-Identifier: MIT */
/*
 * probe: asking members whether they are there, for oneself and for others, and what it says of
 * oneself when they are not.
 *
 *   asker --- Probe ---> target            700 ms without an answer, or no connection:
 *   asker -- ProbeAsk -> 3 helpers -- Probe -> target
 *         <-- ProbeAck --          <- ProbeAck -      (negative when the target is silent)
 *
 * A helper that says neither yes nor no counts against the asker: messages do not reach it in time.
 */
#include "discovery/members_in.h"

void disc_health_worse(struct disc_members *m, unsigned by)
{
    m->health = (unsigned)el_min_u64(m->health + by, MAX_HEALTH);
}

/* ---- finding ---- */

static struct disc_probe *probe_of(struct disc_members *m, uint32_t sequence)
{
    for (size_t i = 0; i < MAX_PROBES; i++)
        if (m->probe[i].target != 0 && m->probe[i].sequence == sequence)
            return &m->probe[i];
    return NULL;
}

static struct disc_probe *free_probe(struct disc_members *m)
{
    for (size_t i = 0; i < MAX_PROBES; i++)
        if (m->probe[i].target == 0)
            return &m->probe[i];
    return NULL;
}

static struct disc_relay *free_relay(struct disc_members *m)
{
    for (size_t i = 0; i < MAX_RELAYS; i++)
        if (m->relay[i].target == 0)
            return &m->relay[i];
    return NULL;
}

static struct disc_relay *relay_of(struct disc_members *m, uint32_t sequence, uint64_t target)
{
    for (size_t i = 0; i < MAX_RELAYS; i++)
        if (m->relay[i].target == target && m->relay[i].sequence == sequence)
            return &m->relay[i];
    return NULL;
}

static const struct disc_record *live_record(const struct disc_members *m, uint64_t hash)
{
    uint32_t slot = disc_roster_find(&m->roster, hash);
    const struct disc_record *r = slot == DISC_NO_SLOT ? NULL : disc_roster_at(&m->roster, slot);

    return r != NULL && disc_is_live(r) ? r : NULL;
}

/* ---- sending ---- */

static void send_probe(struct disc_members *m, const struct disc_card *to, uint32_t sequence)
{
    struct el_buf *out = disc_send(m, to);

    disc_probe_put(out, sequence, m->incarnation);
    disc_add_rumours(m, out, to->hash, PIGGYBACK);
}

static void send_ack(struct disc_members *m, uint64_t to, uint32_t sequence, uint8_t flags)
{
    struct el_buf *out = disc_send_back(m, to);

    disc_probe_ack_put(out, sequence, m->incarnation, flags);
    disc_add_rumours(m, out, to, PIGGYBACK);
}

void disc_probe_next(struct disc_members *m)
{
    uint32_t slot = disc_roster_next(&m->roster, &m->rng);
    struct disc_probe *p = free_probe(m);
    const struct disc_card *target;

    if (slot == 0)
        slot = disc_roster_next(&m->roster, &m->rng);
    if (slot == 0 || slot == DISC_NO_SLOT || p == NULL)
        return;
    target = disc_roster_at(&m->roster, slot)->card;
    *p = (struct disc_probe){ .target = target->hash,
                              .sequence = ++m->sequence,
                              .direct_due_ms = m->now_ms + PROBE_DIRECT_MS * (1u + m->health),
                              .due_ms = m->now_ms + PROBE_TOTAL_MS * (1u + m->health) };
    m->stats.probes++;
    send_probe(m, target, p->sequence);
}

static void ask_helper(struct disc_members *m, struct disc_probe *p, const struct disc_card *helper)
{
    struct el_buf *out = disc_send(m, helper);

    disc_probe_ask_put(out, p->sequence, m->incarnation, p->target);
    disc_add_rumours(m, out, helper->hash, PIGGYBACK);
    p->helper[p->helpers++] = helper->hash;
}

static void ask_helpers(struct disc_members *m, struct disc_probe *p)
{
    p->is_indirect = true;
    for (unsigned i = 0; i < MAX_HELPERS; i++) {
        const struct disc_card *helper = disc_somebody(m);
        bool is_new = helper != NULL && helper->hash != p->target;

        for (unsigned k = 0; k < p->helpers && is_new; k++)
            is_new = p->helper[k] != helper->hash;
        if (is_new)
            ask_helper(m, p, helper);
    }
}

/* ---- outcome ---- */

static void add_partner(struct disc_members *m, uint64_t hash)
{
    for (unsigned i = 0; i < MAX_PARTNERS; i++)
        if (m->partner[i] == hash)
            return;
    m->partner[m->next_partner] = hash;
    m->next_partner = (m->next_partner + 1) % MAX_PARTNERS;
}

static void answered(struct disc_members *m, struct disc_probe *p, uint64_t from)
{
    if (from == p->target)
        add_partner(m, from);
    p->target = 0;
    if (m->health > 0)
        m->health--;
}

/* None of several helpers said a word: it is this node that is cut off, until that has lasted. */
static bool is_own_fault(const struct disc_members *m, const struct disc_probe *p)
{
    return p->helpers > 1 && p->negative == 0 && m->health < MAX_HEALTH / 2;
}

static void failed(struct disc_members *m, struct disc_probe *p)
{
    uint32_t slot = disc_roster_find(&m->roster, p->target);
    bool is_forgiven = is_own_fault(m, p);

    p->target = 0;
    m->stats.probes_failed++;
    if (p->helpers > 0)
        disc_health_worse(m, p->helpers - p->negative);
    else if (!p->is_unreachable)
        disc_health_worse(m, 1);
    if (!is_forgiven && slot != DISC_NO_SLOT && disc_is_live(disc_roster_at(&m->roster, slot)))
        disc_suspect(m, slot, m->self->hash);
}

static void relay_failed(struct disc_members *m, struct disc_relay *r)
{
    r->target = 0;
    send_ack(m, r->asker, r->asked_sequence, DISC_ACK_NEGATIVE);
}

void disc_probes_run(struct disc_members *m)
{
    for (size_t i = 0; i < MAX_PROBES; i++) {
        struct disc_probe *p = &m->probe[i];

        if (p->target != 0 && !p->is_indirect && p->direct_due_ms <= m->now_ms)
            ask_helpers(m, p);
        if (p->target != 0 && p->due_ms <= m->now_ms)
            failed(m, p);
    }
    for (size_t i = 0; i < MAX_RELAYS; i++)
        if (m->relay[i].target != 0 && m->relay[i].due_ms <= m->now_ms)
            relay_failed(m, &m->relay[i]);
}

uint64_t disc_probes_due_ms(const struct disc_members *m)
{
    uint64_t due = UINT64_MAX;

    for (size_t i = 0; i < MAX_PROBES; i++) {
        const struct disc_probe *p = &m->probe[i];

        if (p->target != 0)
            due = el_min_u64(due, p->is_indirect ? p->due_ms : p->direct_due_ms);
    }
    for (size_t i = 0; i < MAX_RELAYS; i++)
        if (m->relay[i].target != 0)
            due = el_min_u64(due, m->relay[i].due_ms);
    return due;
}

void disc_probes_forget(struct disc_members *m)
{
    memset(m->probe, 0, sizeof(m->probe));
    memset(m->relay, 0, sizeof(m->relay));
}

/* ---- what comes in ---- */

static void relay(struct disc_members *m, uint64_t from, const struct disc_message *msg)
{
    const struct disc_record *target = live_record(m, msg->target);
    struct disc_relay *r = free_relay(m);

    if (target == NULL || r == NULL || !disc_card_is_serving(target->card) ||
        msg->target == m->self->hash) {
        send_ack(m, from, msg->sequence,
                 (uint8_t)(msg->target == m->self->hash ? 0 : DISC_ACK_NEGATIVE));
        return;
    }
    *r = (struct disc_relay){ .asker = from,
                              .target = msg->target,
                              .asked_sequence = msg->sequence,
                              .sequence = ++m->sequence,
                              .due_ms = m->now_ms + RELAY_MS };
    send_probe(m, target->card, r->sequence);
}

static bool is_helper(const struct disc_probe *p, uint64_t hash)
{
    for (unsigned i = 0; i < p->helpers; i++)
        if (p->helper[i] == hash)
            return true;
    return false;
}

static void acked(struct disc_members *m, uint64_t from, const struct disc_message *msg)
{
    struct disc_probe *p = probe_of(m, msg->sequence);
    struct disc_relay *r = relay_of(m, msg->sequence, from);
    bool is_negative = (msg->flags & DISC_ACK_NEGATIVE) != 0;

    if (r != NULL && !is_negative) {
        r->target = 0;
        send_ack(m, r->asker, r->asked_sequence, 0);
    }
    if (p == NULL)
        return;
    if (!is_negative && (from == p->target || is_helper(p, from)))
        answered(m, p, from);
    else if (is_negative && is_helper(p, from) && ++p->negative == p->helpers)
        failed(m, p); /* all have said so: there is nothing to wait for */
}

void disc_probe_given(struct disc_members *m, uint64_t from, const struct disc_message *msg)
{
    disc_hear_owner(m, from, msg->incarnation);
    (void)disc_hear_updates(m, msg->rest, DISC_FROM_RUMOUR, from);
    if (m->is_leaving)
        return;
    if (msg->type == DISC_PROBE)
        send_ack(m, from, msg->sequence, 0);
    else if (msg->type == DISC_PROBE_ASK)
        relay(m, from, msg);
    else if (msg->type == DISC_PROBE_ACK)
        acked(m, from, msg);
}

/* A connection that is refused or times out is an answer: it does not count against this node. */
static void helper_unreachable(struct disc_members *m, struct disc_probe *p, uint64_t to)
{
    for (unsigned i = 0; i < p->helpers; i++)
        if (p->helper[i] == to) {
            p->helper[i] = p->helper[--p->helpers];
            if (p->negative >= p->helpers)
                failed(m, p);
            return;
        }
}

static void probe_unreachable(struct disc_members *m, struct disc_probe *p, uint64_t to)
{
    if (p->target == to) {
        p->is_unreachable = true;
        if (!p->is_indirect)
            ask_helpers(m, p);
    } else if (p->target != 0) {
        helper_unreachable(m, p, to);
    }
}

void disc_probe_unreachable(struct disc_members *m, uint64_t to)
{
    for (unsigned i = 0; i < MAX_PARTNERS; i++)
        if (m->partner[i] == to)
            m->partner[i] = 0;
    for (size_t i = 0; i < MAX_PROBES; i++)
        probe_unreachable(m, &m->probe[i], to);
    for (size_t i = 0; i < MAX_RELAYS; i++)
        if (m->relay[i].target == to)
            relay_failed(m, &m->relay[i]);
}
