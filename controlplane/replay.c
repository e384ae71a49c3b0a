/* SPDX-License-Identifier: MIT */
/*
 * replay: snapshots, and nodes brought to have what is in one. A replay goes over all its chunks,
 * orders what is missing, waits until these commands are over and reports have come, and looks
 * again; what is still missing after ROUNDS has failed.
 */
#include "controlplane/operations_in.h"

#define ROUNDS         3u
#define SETTLE_MS      15000u /* after the last command, for reports to come */
#define LOOKS_PER_TICK 200000u

/* ---- scopes ---- */

enum el_err cp_op_check_scope(const struct cp_state *s, const struct cp_scope *scope,
                              struct el_error *err)
{
    struct el_str name = el_str_of(scope->name);

    if (scope->kind == CP_SCOPE_NODE && cp_node_get(s, name) == NULL)
        return el_fail(err, EL_ENOTFOUND, 0, "node_id: no such node");
    if (scope->kind == CP_SCOPE_GROUP && cp_group_get(s, name) == NULL)
        return el_fail(err, EL_ENOTFOUND, 0, "group_id: no such group");
    if (!cp_is_printable(name))
        return el_fail(err, EL_EINVAL, 0, "prefix: printable ASCII only");
    return EL_OK;
}

bool cp_op_is_node_in(const struct cp_state *s, const struct cp_scope *scope,
                      const struct cp_member *m)
{
    if (scope->kind == CP_SCOPE_NODE)
        return el_str_eq(m->entry.key, el_str_of(scope->name));
    if (scope->kind == CP_SCOPE_ZONE)
        return strcmp(m->node.card.zone, scope->name) == 0;
    if (scope->kind == CP_SCOPE_GROUP)
        return cp_group_has(s, el_str_of(scope->name), m->entry.key);
    return true;
}

/* What a node has of a span. */
static uint64_t mask_on(const struct cp_member *m, const struct cp_span *sp)
{
    uint64_t base = sp->number, mask;

    return cp_set_next(&m->chunks, &base, &mask) && base == sp->number ? mask : 0;
}

static uint64_t mask_in(const struct cp_state *s, const struct cp_scope *scope,
                        const struct cp_span *sp)
{
    uint64_t mask = 0;
    uint32_t cursor = 0;
    const struct cp_node *n;

    if (scope->kind == CP_SCOPE_NODE) {
        const struct cp_member *m = cp_member_get(s, el_str_of(scope->name));

        return m == NULL ? 0 : mask_on(m, sp);
    }
    if (scope->kind == CP_SCOPE_GROUP) {
        while ((n = cp_group_member_next(s, el_str_of(scope->name), &cursor)) != NULL)
            mask |= mask_on(cp_member_of(s, n->number), sp);
        return mask;
    }
    for (unsigned i = 0; i < sp->slots; i++)
        mask |= (uint64_t)(cp_holders_count(&sp->slot[i].holders) > 0) << i;
    return mask;
}

/* Living nodes of the scope; the caller frees it. */
static size_t nodes_in(const struct cp_state *s, const struct cp_scope *scope,
                       struct cp_member ***ret)
{
    struct cp_member **nodes =
        (struct cp_member **)el_alloc((s->nodes.n + 1) * sizeof(struct cp_member *));
    uint32_t cursor = 0;
    struct cp_member *m;
    size_t n = 0;

    while ((m = cp_member_next(s, &cursor)) != NULL) {
        if (cp_node_is_alive(&m->node) && !m->node.is_draining && cp_op_is_node_in(s, scope, m))
            nodes[n++] = m;
    }
    *ret = nodes;
    return n;
}

/* ---- a snapshot ---- */

static void add_piece(struct cp_op *op, const struct cp_span *sp, uint64_t mask)
{
    struct cp_piece *p;

    if (mask == 0 || op->pieces == CP_PIECES_MAX)
        return;
    op->piece = (struct cp_piece *)cp_array_reserve(op->piece, op->pieces, &op->pieces_cap,
                                                    sizeof(*op->piece));
    p = &op->piece[op->pieces++];
    memcpy(p->object, sp->version->object, sizeof(p->object));
    p->index = sp->index;
    p->mask = mask;
    op->op.total += (uint64_t)__builtin_popcountll(mask);
}

static void take_snapshot(const struct cp_state *s, const struct cp_scope *scope, struct cp_op *op)
{
    const struct cp_table *t = &s->index.versions;

    for (size_t i = 0; i < t->buckets; i++) {
        for (const struct cp_entry *e = t->bucket[i]; e != NULL; e = e->next) {
            const struct cp_version *v =
                (const struct cp_version *)EL_ENTRY(e, struct cp_version, entry);

            if (scope->kind == CP_SCOPE_PREFIX &&
                !el_str_starts(cp_name_of(s, v->object, NULL), el_str_of(scope->name)))
                continue;
            for (size_t k = 0; k < v->n; k++)
                add_piece(op, v->span[k], mask_in(s, scope, v->span[k]));
        }
    }
}

static size_t count_snapshots(const struct cp_state *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->ops; i++)
        n += s->op[i]->op.kind == CP_SNAPSHOT;
    return n;
}

enum el_err cp_operation_snapshot(struct cp_state *s, const struct cp_scope *scope,
                                  uint64_t *ret_id, struct el_error *err)
{
    enum el_err rc = cp_op_check_scope(s, scope, err);
    struct cp_op *op;

    if (rc == EL_OK)
        rc = cp_op_check_room(s, err);
    if (rc != EL_OK)
        return rc;
    if (count_snapshots(s) >= CP_SNAPSHOTS_MAX)
        return el_fail(err, EL_EFULL, 0, "%u snapshots are kept already", CP_SNAPSHOTS_MAX);
    op = cp_op_new(s, CP_SNAPSHOT);
    op->op.scope = *scope;
    take_snapshot(s, scope, op);
    op->op.done = op->op.total;
    cp_op_emit_pieces(s, op);
    cp_op_end(s, op, CP_OVER, "");
    *ret_id = op->op.id;
    return EL_OK;
}

/* ---- a replay ---- */

/* 0: there is none. */
static uint64_t newest_snapshot(const struct cp_state *s, int64_t as_of_wall_ms)
{
    for (size_t i = s->ops; i > 0; i--) {
        const struct cp_operation *o = &s->op[i - 1]->op;

        if (o->kind == CP_SNAPSHOT && o->created_wall_ms <= as_of_wall_ms)
            return o->id;
    }
    return 0;
}

static enum el_err find_snapshot(struct cp_state *s, const struct cp_replay *replay,
                                 uint64_t *ret_id, struct el_error *err)
{
    uint64_t id = replay->snapshot;
    const struct cp_op *op;

    if (replay->as_of_wall_ms != 0)
        id = newest_snapshot(s, replay->as_of_wall_ms);
    else if (id == 0)
        return cp_operation_snapshot(s, &replay->chunks, ret_id, err);
    op = cp_op_get(s, id);
    if (op == NULL || op->op.kind != CP_SNAPSHOT)
        return el_fail(err, EL_ENOTFOUND, 0, "%s: no such snapshot",
                       replay->as_of_wall_ms != 0 ? "as_of" : "snapshot_id");
    *ret_id = id;
    return EL_OK;
}

enum el_err cp_operation_replay(struct cp_state *s, const struct cp_replay *replay,
                                uint64_t *ret_id, struct el_error *err)
{
    enum el_err rc = cp_op_check_scope(s, &replay->nodes, err);
    uint64_t snapshot = 0;
    struct cp_op *op;

    if (rc == EL_OK && replay->nodes.kind == CP_SCOPE_PREFIX)
        rc = el_fail(err, EL_EINVAL, 0, "nodes: all, a node, a group or a zone");
    if (rc == EL_OK)
        rc = cp_op_check_room(s, err);
    if (rc == EL_OK)
        rc = find_snapshot(s, replay, &snapshot, err);
    if (rc != EL_OK)
        return rc;
    op = cp_op_new(s, CP_REPLAY);
    op->op.scope = replay->chunks;
    op->op.snapshot = snapshot;
    op->nodes = replay->nodes;
    op->copies = replay->copies;
    cp_op_emit(s, op, CP_HARD);
    cp_op_tell(s, op);
    *ret_id = op->op.id;
    return EL_OK;
}

/* What of a chunk a replay wants on the nodes of its scope. False: no more this second. */
static bool order_copy(struct cp_state *s, struct cp_op *op, const struct el_chunk_id *id,
                       struct cp_member *target)
{
    struct cp_wish w = { .chunk = *id,
                         .action = CP_REPLICATE,
                         .target = target,
                         .priority = CP_OP_PRIORITY,
                         .operation = op->op.id };
    bool is_for_it;

    (void)cp_command_moving(s, id, target, &is_for_it);
    if (is_for_it)
        return true;
    if (s->placing.replays == 0 || target->commands_n >= CP_POLL_MAX || !cp_command_has_room(s))
        return false;
    s->placing.replays--;
    (void)cp_command_issue(s, &w);
    return true;
}

static bool is_had(const struct cp_state *s, const struct el_chunk_id *id, uint32_t *ret_number)
{
    return cp_index_find(&s->index, id, ret_number) &&
           cp_holders_count(cp_index_holders(&s->index, *ret_number)) > 0;
}

static bool has_it(const struct cp_member *m, bool is_known, uint32_t number)
{
    return is_known && cp_set_has(&m->chunks, number);
}

/* Counts who has it, and orders for the others. False: the look has to stop here for now. */
static bool replay_chunk(struct cp_state *s, struct cp_op *op, const struct el_chunk_id *id,
                         struct cp_member **nodes, size_t n)
{
    uint32_t number = 0, wanted = op->copies == 0 ? (uint32_t)n : op->copies, have = 0;
    bool is_known = is_had(s, id, &number);
    uint64_t missing = 0;

    for (size_t i = 0; i < n; i++)
        have += has_it(nodes[i], is_known, number);
    wanted = (uint32_t)el_min_size(wanted, n);
    for (size_t i = 0; have + missing < wanted && i < n; i++) {
        if (has_it(nodes[i], is_known, number))
            continue;
        missing++;
        if (is_known && op->round < ROUNDS && !order_copy(s, op, id, nodes[i]))
            return false;
    }
    op->missing += missing;
    op->hopeless += is_known ? 0 : missing;
    op->met += el_min_u64(have, wanted);
    return true;
}

static bool replay_piece(struct cp_state *s, struct cp_op *op, const struct cp_piece *p,
                         struct cp_member **nodes, size_t n)
{
    uint64_t missing = op->missing, met = op->met, hopeless = op->hopeless;
    struct el_chunk_id id;

    memcpy(id.object, p->object, sizeof(id.object));
    for (uint64_t mask = p->mask; mask != 0; mask &= mask - 1) {
        id.index = p->index * CP_SPAN + (uint32_t)__builtin_ctzll(mask);
        if (replay_chunk(s, op, &id, nodes, n))
            continue;
        op->missing = missing;
        op->met = met;
        op->hopeless = hopeless;
        return false;
    }
    return true;
}

static void end_round(struct cp_state *s, struct cp_op *op)
{
    op->op.total = op->met + op->missing;
    op->op.done = op->met;
    op->op.failed = op->missing;
    op->is_dirty = true;
    op->at = 0;
    op->round++;
    op->settled_ms = s->mono_ms + SETTLE_MS;
    if (op->missing == 0)
        cp_op_end(s, op, CP_OVER, "");
    else if (op->missing == op->hopeless)
        cp_op_end(s, op, CP_BROKEN, "nobody has what is missing");
    else if (op->round > ROUNDS)
        cp_op_end(s, op, CP_BROKEN, "some nodes do not come to have it");
    op->met = 0;
    op->missing = 0;
    op->hopeless = 0;
}

void cp_op_replay(struct cp_state *s, struct cp_op *op)
{
    const struct cp_op *snapshot = cp_op_get(s, op->op.snapshot);
    struct cp_member **nodes;
    uint64_t looks = 0;
    size_t n;

    if (snapshot == NULL) {
        cp_op_end(s, op, CP_BROKEN, "its snapshot has been deleted");
        return;
    }
    if (op->at == 0 && op->round > 0 &&
        (s->mono_ms < op->settled_ms || cp_command_pending(s, op->op.id) > 0))
        return;
    n = nodes_in(s, &op->nodes, &nodes);
    for (; op->at < snapshot->pieces && looks < LOOKS_PER_TICK; op->at++) {
        if (!replay_piece(s, op, &snapshot->piece[op->at], nodes, n))
            break;
        looks += CP_SPAN * n;
    }
    free(nodes);
    if (op->round == 0 && op->op.total < op->met + op->missing)
        op->op.total = op->met + op->missing;
    if (op->at == snapshot->pieces)
        end_round(s, op);
}
