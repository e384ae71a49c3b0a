/* SPDX-License-Identifier: MIT */
/*
 * drain: nodes that are to go give what only they have to others first, so many of them at a time.
 */
#include "controlplane/operations_in.h"

#define DRAINS_PER_TICK 4u
#define LOOKS_PER_TICK  200000u /* of one operation, at chunks and nodes */

enum el_err cp_operation_drain(struct cp_state *s, const struct el_str *node_ids, size_t n,
                               uint32_t max_unavailable, uint64_t *ret_id, struct el_error *err)
{
    enum el_err rc = cp_op_check_room(s, err);
    struct cp_op *op;

    if (rc != EL_OK)
        return rc;
    if (n == 0 || n > CP_OPERATION_NODES_MAX)
        return el_fail(err, EL_EINVAL, 0, "node_ids: 1 to %u", CP_OPERATION_NODES_MAX);
    for (size_t i = 0; i < n; i++) {
        if (cp_node_get(s, node_ids[i]) == NULL)
            return el_fail(err, EL_ENOTFOUND, 0, "node_ids[%zu]: no such node", i);
    }
    op = cp_op_new(s, CP_DRAIN);
    op->op.max_unavailable = max_unavailable;
    op->op.nodes = (uint32_t)n;
    op->drained = (struct cp_drained *)el_alloc(n * sizeof(*op->drained));
    op->drained_n = n;
    op->drained_cap = n;
    for (size_t i = 0; i < n; i++)
        cp_copy_text(op->drained[i].node_id, CP_ID_MAX, node_ids[i]);
    cp_op_emit(s, op, CP_HARD);
    cp_op_tell(s, op);
    *ret_id = op->op.id;
    return EL_OK;
}

void cp_op_undrain(struct cp_state *s, const struct cp_op *op)
{
    for (size_t i = 0; i < op->drained_n; i++) {
        if (op->drained[i].is_begun && !op->drained[i].is_done)
            (void)cp_node_drain(s, el_str_of(op->drained[i].node_id), false, NULL);
    }
}

/* With min_copies = 0 too, what only a node has is given to another. */
static uint32_t copies_wanted(const struct cp_state *s)
{
    return s->conf.min_copies > 0 ? s->conf.min_copies : 1;
}

/* Counts no further than `enough`. */
static uint32_t count_elsewhere(struct cp_state *s, uint32_t number, uint32_t enough)
{
    const struct cp_holders *h = cp_index_holders(&s->index, number);
    uint32_t n = 0;

    for (uint32_t node = 0; n < enough && cp_holders_next(h, &node); node++) {
        const struct cp_member *m = cp_member_of(s, (uint16_t)node);

        s->placing.looks++;
        n += m != NULL && cp_node_is_alive(&m->node) && !m->node.is_draining;
    }
    return n;
}

/* Orders a copy unless one is under way. */
static void save_chunk(struct cp_state *s, struct cp_op *op, uint32_t number,
                       struct cp_member *from)
{
    struct cp_wish w = { .action = CP_REPLICATE,
                         .priority = CP_OP_PRIORITY,
                         .operation = op->op.id,
                         .source = cp_member_gives(from) ? from : NULL };
    bool unused;

    cp_index_id(&s->index, number, &w.chunk);
    if (s->placing.replays == 0 || cp_command_moving(s, &w.chunk, NULL, &unused) > 0)
        return;
    w.target = cp_place_target(s, &w.chunk, number);
    if (w.target == NULL || !cp_command_has_room(s))
        return;
    s->placing.replays--;
    (void)cp_command_issue(s, &w);
}

/* How many nodes could have a copy: more than there are cannot be asked for. */
static uint32_t count_takers(const struct cp_state *s)
{
    uint32_t cursor = 0, n = 0;
    const struct cp_member *m;

    while (n < copies_wanted(s) && (m = cp_member_next(s, &cursor)) != NULL)
        n += cp_node_is_alive(&m->node) && !m->node.is_draining;
    return n;
}

/* False: that were enough looks for this second. */
static bool look_at_chunk(struct cp_state *s, struct cp_op *op, struct cp_drained *d,
                          struct cp_member *m, uint32_t number, uint32_t wanted)
{
    if (s->placing.looks >= LOOKS_PER_TICK)
        return false;
    s->placing.looks++;
    if (wanted > 0 && count_elsewhere(s, number, wanted) >= wanted)
        return true;
    d->found++;
    save_chunk(s, op, number, m);
    return true;
}

/* From where it has come to; true: to the end. */
static bool look_at_chunks(struct cp_state *s, struct cp_op *op, struct cp_drained *d,
                           struct cp_member *m)
{
    uint64_t base = d->at & ~(uint64_t)(CP_SPAN - 1), mask;
    uint32_t wanted = count_takers(s);

    for (; cp_set_next(&m->chunks, &base, &mask); base += CP_SPAN) {
        for (; mask != 0; mask &= mask - 1) {
            uint32_t number = (uint32_t)base + (uint32_t)__builtin_ctzll(mask);

            if (number < d->at)
                continue;
            if (!look_at_chunk(s, op, d, m, number, wanted)) {
                d->at = number;
                return false;
            }
        }
    }
    return true;
}

/* It is done when a look from its first chunk to its last has found nothing. */
static void drain_node(struct cp_state *s, struct cp_op *op, struct cp_drained *d)
{
    struct cp_member *m = cp_member_get(s, el_str_of(d->node_id));

    d->chunks = m == NULL ? 0 : m->chunks.n;
    if (m == NULL || look_at_chunks(s, op, d, m)) {
        d->missing = m == NULL ? 0 : d->found;
        d->is_done = d->missing == 0;
        d->at = 0;
        d->found = 0;
        d->is_known = true;
    } else if (!d->is_known) {
        d->missing = d->chunks;
    }
    d->missing = el_min_u64(d->missing, d->chunks);
    op->is_dirty = true;
}

static void begin_drains(struct cp_state *s, struct cp_op *op)
{
    uint32_t most = op->op.max_unavailable == 0 ? UINT32_MAX : op->op.max_unavailable, busy = 0;

    for (size_t i = 0; i < op->drained_n; i++)
        busy += op->drained[i].is_begun && !op->drained[i].is_done;
    for (size_t i = 0; i < op->drained_n && busy < most; i++) {
        struct cp_drained *d = &op->drained[i];

        if (d->is_begun)
            continue;
        d->is_begun = true;
        busy++;
        op->is_dirty = true;
        (void)cp_node_drain(s, el_str_of(d->node_id), true, NULL);
    }
}

void cp_op_drain(struct cp_state *s, struct cp_op *op)
{
    size_t done = 0, looked = 0;

    EL_ASSERT(op->drained_n > 0);
    begin_drains(s, op);
    op->op.total = 0;
    op->op.done = 0;
    s->placing.looks = 0;
    for (size_t k = 0; k < op->drained_n; k++) {
        struct cp_drained *d = &op->drained[(op->at + k) % op->drained_n];

        if (d->is_begun && !d->is_done && looked < DRAINS_PER_TICK) {
            drain_node(s, op, d);
            looked++;
        }
        done += d->is_done;
        op->op.total += d->chunks;
        op->op.done += d->chunks - d->missing;
    }
    op->at = (op->at + DRAINS_PER_TICK) % op->drained_n;
    if (done == op->drained_n)
        cp_op_end(s, op, CP_OVER, "");
}
