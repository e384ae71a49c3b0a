/* SPDX-License-Identifier: MIT */
/* reach: see reach.h. */
#include "controlplane/reach.h"

#include "controlplane/state_in.h"

#define LOOKS 4096u /* at nodes in one call: some tens of microseconds under the lock */

/* The first time at any moment of an interval: after a start nobody is to ask all of them at once.
 */
static bool is_due(struct cp_state *s, struct cp_member *m)
{
    const struct cp_card *c = &m->node.card;

    if (m->is_asked || !cp_node_is_alive(&m->node) || !c->serves || c->http_port == 0)
        return false;
    if (m->ask_ms == 0)
        m->ask_ms = s->mono_ms + 1 + el_rng_below(&s->rng, s->conf.probe_ms);
    return m->ask_ms <= s->mono_ms;
}

bool cp_reach_next(struct cp_state *s, struct cp_probe *ret)
{
    size_t looks = s->conf.probe_ms == 0 ? 0 : el_min_size(s->numbers, LOOKS);

    for (; looks > 0; looks--) {
        struct cp_member *m = s->by_number[s->reach_cursor++ % s->numbers];

        if (m == NULL || !is_due(s, m))
            continue;
        m->is_asked = true;
        *ret = (struct cp_probe){ .port = m->node.card.http_port };
        memcpy(ret->node_id, m->node.card.node_id, sizeof(ret->node_id));
        memcpy(ret->address, m->node.card.address, sizeof(ret->address));
        return true;
    }
    return false;
}

static bool is_there(const struct cp_card *c, const struct cp_probe *probe)
{
    return c->http_port == probe->port && strcmp(c->address, probe->address) == 0;
}

/* What was found out is of a place where it is no more. */
void cp_reach_moved(struct cp_member *m)
{
    m->node.reach = (struct cp_reach){ 0 };
    m->ask_ms = 0;
    cp_member_rate(m);
}

static enum cp_reach_change note(struct cp_state *s, struct cp_reach *r, bool is_well, uint32_t ms)
{
    bool was_lost = r->is_lost;

    r->wall_ms = s->wall_ms;
    r->is_well = is_well;
    r->ms = ms;
    r->failures = is_well ? 0 : r->failures + 1;
    r->is_lost = r->failures >= s->conf.probe_failures;
    if (r->is_lost == was_lost)
        return CP_REACH_SAME;
    return r->is_lost ? CP_REACH_LOST : CP_REACH_BACK;
}

enum cp_reach_change cp_reach_done(struct cp_state *s, const struct cp_probe *probe, bool is_well,
                                   uint32_t ms)
{
    struct cp_member *m = cp_member_get(s, el_str_of(probe->node_id));
    enum cp_reach_change change;

    if (m == NULL || !m->is_asked)
        return CP_REACH_SAME;
    m->is_asked = false;
    m->ask_ms = s->mono_ms + s->conf.probe_ms;
    s->count.probes++;
    s->count.probes_failed += !is_well;
    if (!is_there(&m->node.card, probe)) {
        m->ask_ms = 0;
        return CP_REACH_SAME;
    }
    change = note(s, &m->node.reach, is_well, ms);
    cp_member_rate(m);
    return change;
}
