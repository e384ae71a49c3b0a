/* SPDX-License-Identifier: MIT */
/*
 * operations: see operations.h. Records: operation/ID hard (progress soft), snapshot/ID/NN hard:
 * its chunks as versions, spans and masks, in pieces of a record each.
 *
 * Nothing of what an operation has reached is kept but its state: the one eliocp that has the duty
 * looks at what there is, again and again. A replay goes over all its chunks, orders what is
 * missing, waits until these commands are over and reports have come, and looks again; what is
 * still missing after ROUNDS has failed.
 */
#include "controlplane/state_in.h"

#define OPERATION_FORMAT 1
#define SNAPSHOT_FORMAT  1
#define OPERATIONS_MAX   1000u
#define OVER_MS          86400000 /* for which those that are over are kept */
#define ROUNDS           3u
#define SETTLE_MS        15000u  /* after the last command, for reports to come */
#define LOOKS_PER_TICK   200000u /* of a replay */
#define PIECES_PER_PART  30000u  /* of 28 bytes: a record of 840 kB */
#define PIECES_MAX       8000000u
#define PRIORITY         60u

struct piece {
    uint8_t object[EL_CHUNK_ID_OBJECT_BYTES];
    uint32_t index;
    uint64_t mask;
};

struct drained {
    char node_id[CP_ID_MAX + 1];
    bool is_begun, is_done;
    uint64_t chunks, missing;
};

struct cp_op {
    struct cp_operation op; /* first: views are operations */
    struct cp_scope nodes;  /* of a replay */
    uint32_t copies;        /* of a replay: on so many of the nodes; 0: on all */
    struct piece *piece;    /* of a snapshot */
    size_t pieces, pieces_cap;
    struct drained *drained;
    size_t drained_n, drained_cap;
    /* Where the duty has come to. */
    size_t at;             /* piece to be looked at next */
    uint32_t round;        /* how often all has been looked at */
    uint64_t missing, met; /* in this round */
    uint64_t hopeless;     /* of the missing: nobody has them */
    uint64_t settled_ms;   /* before which the next round does not begin */
    int64_t written_ms;
    bool is_dirty;
    uint64_t load;
};

static const char *const kinds[] = { "snapshot", "replay", "drain", "backup", "restore" };
static const char *const states[] = { "running", "done", "failed", "cancelled" };

const char *cp_operation_kind_name(enum cp_operation_kind k)
{
    return kinds[k];
}

const char *cp_operation_state_name(enum cp_operation_state st)
{
    return states[st];
}

/* ---- their place ---- */

static size_t place_of(const struct cp_state *s, uint64_t id)
{
    size_t at = s->ops;

    while (at > 0 && s->op[at - 1]->op.id >= id)
        at--;
    return at;
}

static struct cp_op *get_op(const struct cp_state *s, uint64_t id)
{
    size_t at = place_of(s, id);

    return at < s->ops && s->op[at]->op.id == id ? s->op[at] : NULL;
}

static struct cp_op *put_op(struct cp_state *s, uint64_t id)
{
    size_t at = place_of(s, id);
    struct cp_op *op = el_new(struct cp_op);

    s->op = (struct cp_op **)cp_array_reserve(s->op, s->ops, &s->ops_cap, sizeof(struct cp_op *));
    memmove(s->op + at + 1, s->op + at, (s->ops - at) * sizeof(struct cp_op *));
    s->op[at] = op;
    s->ops++;
    op->op.id = id;
    op->load = s->load;
    return op;
}

static void drop_op(struct cp_state *s, struct cp_op *op)
{
    size_t at = place_of(s, op->op.id);

    s->ops--;
    memmove(s->op + at, s->op + at + 1, (s->ops - at) * sizeof(struct cp_op *));
    free(op->piece);
    free(op->drained);
    free(op);
}

void cp_operations_deinit(struct cp_state *s)
{
    while (s->ops > 0)
        drop_op(s, s->op[s->ops - 1]);
    free(s->op);
}

/* ---- what is written down ---- */

static struct el_str id_text(uint64_t id, char ret[17])
{
    int n = snprintf(ret, 17, "%016llx", (unsigned long long)id);

    return (struct el_str){ ret, (size_t)n };
}

static struct el_str op_key(struct cp_key *k, uint64_t id)
{
    char text[17];

    return cp_key_of(k, "operation", id_text(id, text));
}

static struct el_str part_key(struct cp_key *k, uint64_t id, size_t part)
{
    char text[17], number[17];

    return cp_key_of2(k, "snapshot", id_text(id, text), id_text(part, number));
}

static void encode_scope(struct el_buf *b, const struct cp_scope *scope)
{
    el_bytes_add_u8(b, (uint8_t)scope->kind);
    cp_add_text(b, el_str_of(scope->name));
}

static void encode_op(struct el_buf *b, const struct cp_op *op)
{
    const struct cp_operation *o = &op->op;

    el_bytes_add_u8(b, OPERATION_FORMAT);
    el_bytes_add_u8(b, (uint8_t)o->kind);
    el_bytes_add_u8(b, (uint8_t)o->state);
    encode_scope(b, &o->scope);
    encode_scope(b, &op->nodes);
    el_bytes_add_u64(b, o->snapshot);
    el_bytes_add_u32(b, op->copies);
    el_bytes_add_u64(b, o->total);
    el_bytes_add_u64(b, o->done);
    el_bytes_add_u64(b, o->failed);
    el_bytes_add_u32(b, o->max_unavailable);
    el_bytes_add_u64(b, (uint64_t)o->created_wall_ms);
    el_bytes_add_u64(b, (uint64_t)o->ended_wall_ms);
    cp_add_text(b, el_str_of(o->text));
    el_bytes_add_u32(b, (uint32_t)op->drained_n);
    for (size_t i = 0; i < op->drained_n; i++) {
        cp_add_text(b, el_str_of(op->drained[i].node_id));
        el_bytes_add_u8(b, op->drained[i].is_begun);
        el_bytes_add_u8(b, op->drained[i].is_done);
    }
}

static void emit_op(struct cp_state *s, struct cp_op *op, enum cp_hardness hardness)
{
    struct el_buf b = { 0 };
    struct cp_key k;

    encode_op(&b, op);
    cp_emit(s, hardness, op_key(&k, op->op.id), &b);
    op->is_dirty = false;
}

static size_t parts_of(const struct cp_op *op)
{
    return (op->pieces + PIECES_PER_PART - 1) / PIECES_PER_PART;
}

static void encode_part(struct el_buf *b, const struct cp_op *op, size_t part)
{
    size_t end = el_min_size(op->pieces, (part + 1) * PIECES_PER_PART);

    el_bytes_add_u8(b, SNAPSHOT_FORMAT);
    for (size_t i = part * PIECES_PER_PART; i < end; i++) {
        el_buf_add(b, op->piece[i].object, EL_CHUNK_ID_OBJECT_BYTES);
        el_bytes_add_u32(b, op->piece[i].index);
        el_bytes_add_u64(b, op->piece[i].mask);
    }
}

static void emit_pieces(struct cp_state *s, const struct cp_op *op)
{
    for (size_t part = 0; part < parts_of(op); part++) {
        struct el_buf b = { 0 };
        struct cp_key k;

        encode_part(&b, op, part);
        cp_emit(s, CP_HARD, part_key(&k, op->op.id, part), &b);
    }
}

static void tell(struct cp_state *s, const struct cp_op *op)
{
    char id[24], text[64];
    int n = snprintf(id, sizeof(id), "%llu", (unsigned long long)op->op.id);
    int m = snprintf(text, sizeof(text), "%s %s", kinds[op->op.kind], states[op->op.state]);

    cp_event_add(s, CP_EV_OPERATION, (struct el_str){ id, (size_t)n }, op->op.done,
                 (struct el_str){ text, (size_t)m });
}

static void end_op(struct cp_state *s, struct cp_op *op, enum cp_operation_state state,
                   const char *text)
{
    op->op.state = state;
    op->op.ended_wall_ms = s->wall_ms;
    cp_copy_text(op->op.text, CP_TEXT_MAX, el_str_of(text));
    emit_op(s, op, CP_HARD);
    tell(s, op);
}

/* ---- scopes ---- */

static enum el_err check_scope(const struct cp_state *s, const struct cp_scope *scope,
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

static bool is_node_in(const struct cp_state *s, const struct cp_scope *scope,
                       const struct cp_member *m)
{
    uint32_t cursor = 0;
    const struct cp_node *n;

    if (scope->kind == CP_SCOPE_NODE)
        return el_str_eq(m->entry.key, el_str_of(scope->name));
    if (scope->kind != CP_SCOPE_GROUP)
        return true;
    while ((n = cp_group_member_next(s, el_str_of(scope->name), &cursor)) != NULL) {
        if (n == &m->node)
            return true;
    }
    return false;
}

static void add_piece(struct cp_op *op, const struct cp_span *sp, uint64_t mask)
{
    struct piece *p;

    if (mask == 0 || op->pieces == PIECES_MAX)
        return;
    op->piece = (struct piece *)cp_array_reserve(op->piece, op->pieces, &op->pieces_cap,
                                                 sizeof(*op->piece));
    p = &op->piece[op->pieces++];
    memcpy(p->object, sp->version->object, sizeof(p->object));
    p->index = sp->index;
    p->mask = mask;
    op->op.total += (uint64_t)__builtin_popcountll(mask);
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

/* ---- beginning ---- */

static enum el_err check_room(const struct cp_state *s, struct el_error *err)
{
    if (s->ops >= OPERATIONS_MAX)
        return el_fail(err, EL_EFULL, 0, "%u operations are there already", OPERATIONS_MAX);
    return EL_OK;
}

/* Ids grow, and two eliocp hardly draw the same. */
static struct cp_op *new_op(struct cp_state *s, enum cp_operation_kind kind)
{
    uint64_t id = (uint64_t)s->wall_ms * 1024 + el_rng_below(&s->rng, 1024);
    struct cp_op *op;

    if (s->ops > 0 && id <= s->op[s->ops - 1]->op.id)
        id = s->op[s->ops - 1]->op.id + 1;
    op = put_op(s, id);
    op->op.kind = kind;
    op->op.created_wall_ms = s->wall_ms;
    return op;
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
    enum el_err rc = check_scope(s, scope, err);
    struct cp_op *op;

    if (rc == EL_OK)
        rc = check_room(s, err);
    if (rc != EL_OK)
        return rc;
    if (count_snapshots(s) >= CP_SNAPSHOTS_MAX)
        return el_fail(err, EL_EFULL, 0, "%u snapshots are kept already", CP_SNAPSHOTS_MAX);
    op = new_op(s, CP_SNAPSHOT);
    op->op.scope = *scope;
    take_snapshot(s, scope, op);
    op->op.done = op->op.total;
    emit_pieces(s, op);
    end_op(s, op, CP_OVER, "");
    *ret_id = op->op.id;
    return EL_OK;
}

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
    op = get_op(s, id);
    if (op == NULL || op->op.kind != CP_SNAPSHOT)
        return el_fail(err, EL_ENOTFOUND, 0, "%s: no such snapshot",
                       replay->as_of_wall_ms != 0 ? "as_of" : "snapshot_id");
    *ret_id = id;
    return EL_OK;
}

enum el_err cp_operation_replay(struct cp_state *s, const struct cp_replay *replay,
                                uint64_t *ret_id, struct el_error *err)
{
    enum el_err rc = check_scope(s, &replay->nodes, err);
    uint64_t snapshot = 0;
    struct cp_op *op;

    if (rc == EL_OK && replay->nodes.kind == CP_SCOPE_PREFIX)
        rc = el_fail(err, EL_EINVAL, 0, "nodes: all, a node or a group");
    if (rc == EL_OK)
        rc = check_room(s, err);
    if (rc == EL_OK)
        rc = find_snapshot(s, replay, &snapshot, err);
    if (rc != EL_OK)
        return rc;
    op = new_op(s, CP_REPLAY);
    op->op.scope = replay->chunks;
    op->op.snapshot = snapshot;
    op->nodes = replay->nodes;
    op->copies = replay->copies;
    emit_op(s, op, CP_HARD);
    tell(s, op);
    *ret_id = op->op.id;
    return EL_OK;
}

enum el_err cp_operation_drain(struct cp_state *s, const struct el_str *node_ids, size_t n,
                               uint32_t max_unavailable, uint64_t *ret_id, struct el_error *err)
{
    enum el_err rc = check_room(s, err);
    struct cp_op *op;

    if (rc != EL_OK)
        return rc;
    if (n == 0 || n > CP_OPERATION_NODES_MAX)
        return el_fail(err, EL_EINVAL, 0, "node_ids: 1 to %u", CP_OPERATION_NODES_MAX);
    for (size_t i = 0; i < n; i++) {
        if (cp_node_get(s, node_ids[i]) == NULL)
            return el_fail(err, EL_ENOTFOUND, 0, "node_ids[%zu]: no such node", i);
    }
    op = new_op(s, CP_DRAIN);
    op->op.max_unavailable = max_unavailable;
    op->op.nodes = (uint32_t)n;
    op->drained = (struct drained *)el_alloc(n * sizeof(*op->drained));
    op->drained_n = n;
    op->drained_cap = n;
    for (size_t i = 0; i < n; i++)
        cp_copy_text(op->drained[i].node_id, CP_ID_MAX, node_ids[i]);
    emit_op(s, op, CP_HARD);
    tell(s, op);
    *ret_id = op->op.id;
    return EL_OK;
}

enum el_err cp_operation_begin(struct cp_state *s, enum cp_operation_kind kind, uint64_t total,
                               uint64_t *ret_id, struct el_error *err)
{
    enum el_err rc = check_room(s, err);
    struct cp_op *op;

    if (rc != EL_OK)
        return rc;
    op = new_op(s, kind);
    op->op.total = total;
    emit_op(s, op, CP_HARD);
    tell(s, op);
    *ret_id = op->op.id;
    return EL_OK;
}

/* EL_ENOTFOUND, EL_ECONFLICT: not one that runs. */
static enum el_err find_running(struct cp_state *s, uint64_t id, struct cp_op **ret,
                                struct el_error *err)
{
    struct cp_op *op = get_op(s, id);

    if (op == NULL) {
        (void)el_fail(err, EL_ENOTFOUND, 0, "operation_id: no such operation");
        return EL_ENOTFOUND;
    }
    if (op->op.state != CP_RUNNING) {
        (void)el_fail(err, EL_ECONFLICT, 0, "operation_id: it is over");
        return EL_ECONFLICT;
    }
    *ret = op;
    return EL_OK;
}

enum el_err cp_operation_move(struct cp_state *s, uint64_t id, uint64_t done, uint64_t total,
                              struct el_error *err)
{
    struct cp_op *op = NULL;
    enum el_err rc = find_running(s, id, &op, err);

    if (rc != EL_OK)
        return rc;
    op->op.done = done;
    op->op.total = total;
    op->is_dirty = true;
    return EL_OK;
}

enum el_err cp_operation_end(struct cp_state *s, uint64_t id, bool is_well, struct el_str text,
                             struct el_error *err)
{
    struct cp_op *op = NULL;
    enum el_err rc = find_running(s, id, &op, err);
    char why[CP_TEXT_MAX + 1];

    if (rc != EL_OK)
        return rc;
    cp_copy_text(why, CP_TEXT_MAX, text);
    end_op(s, op, is_well ? CP_OVER : CP_BROKEN, why);
    return EL_OK;
}

static void undrain(struct cp_state *s, const struct cp_op *op)
{
    for (size_t i = 0; i < op->drained_n; i++) {
        if (op->drained[i].is_begun && !op->drained[i].is_done)
            (void)cp_node_drain(s, el_str_of(op->drained[i].node_id), false, NULL);
    }
}

enum el_err cp_operation_cancel(struct cp_state *s, uint64_t id, struct el_error *err)
{
    struct cp_op *op = NULL;
    enum el_err rc = find_running(s, id, &op, err);

    if (rc != EL_OK)
        return rc;
    cp_commands_withdraw(s, id);
    undrain(s, op);
    end_op(s, op, CP_CANCELLED, "");
    return EL_OK;
}

static void remove_op(struct cp_state *s, struct cp_op *op)
{
    struct cp_key k;

    for (size_t part = 0; part < parts_of(op); part++)
        cp_emit_removal(s, CP_HARD, part_key(&k, op->op.id, part));
    cp_emit_removal(s, CP_HARD, op_key(&k, op->op.id));
    drop_op(s, op);
}

enum el_err cp_operation_delete(struct cp_state *s, uint64_t id, struct el_error *err)
{
    struct cp_op *op = get_op(s, id);

    if (op == NULL)
        return el_fail(err, EL_ENOTFOUND, 0, "operation_id: no such operation");
    if (op->op.state == CP_RUNNING)
        return el_fail(err, EL_ECONFLICT, 0, "operation_id: it is running");
    remove_op(s, op);
    return EL_OK;
}

const struct cp_operation *cp_operation_get(const struct cp_state *s, uint64_t id)
{
    const struct cp_op *op = get_op(s, id);

    return op == NULL ? NULL : &op->op;
}

const struct cp_operation *cp_operation_next(const struct cp_state *s, uint64_t *cursor)
{
    size_t at = *cursor == 0 ? s->ops : place_of(s, *cursor);

    if (at == 0)
        return NULL;
    *cursor = s->op[at - 1]->op.id;
    return &s->op[at - 1]->op;
}

const char *cp_operation_node(const struct cp_state *s, uint64_t id, uint32_t i, bool *ret_is_done)
{
    const struct cp_op *op = get_op(s, id);

    if (op == NULL || i >= op->drained_n)
        return NULL;
    *ret_is_done = op->drained[i].is_done;
    return op->drained[i].node_id;
}

/* ---- replay ---- */

/* What of a chunk a replay wants on the nodes of its scope. False: no more this second. */
static bool order_copy(struct cp_state *s, struct cp_op *op, const struct el_chunk_id *id,
                       struct cp_member *target)
{
    struct cp_wish w = { .chunk = *id,
                         .action = CP_REPLICATE,
                         .target = target,
                         .priority = PRIORITY,
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

static bool replay_piece(struct cp_state *s, struct cp_op *op, const struct piece *p,
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
        end_op(s, op, CP_OVER, "");
    else if (op->missing == op->hopeless)
        end_op(s, op, CP_BROKEN, "nobody has what is missing");
    else if (op->round > ROUNDS)
        end_op(s, op, CP_BROKEN, "some nodes do not come to have it");
    op->met = 0;
    op->missing = 0;
    op->hopeless = 0;
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
        if (cp_node_is_alive(&m->node) && !m->node.is_draining && is_node_in(s, scope, m))
            nodes[n++] = m;
    }
    *ret = nodes;
    return n;
}

static void replay(struct cp_state *s, struct cp_op *op)
{
    const struct cp_op *snapshot = get_op(s, op->op.snapshot);
    struct cp_member **nodes;
    uint64_t looks = 0;
    size_t n;

    if (snapshot == NULL) {
        end_op(s, op, CP_BROKEN, "its snapshot has been deleted");
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

/* ---- drain ---- */

static uint32_t count_elsewhere(const struct cp_state *s, uint32_t number)
{
    const struct cp_holders *h = cp_index_holders(&s->index, number);
    uint32_t n = 0;

    for (uint32_t node = 0; n < s->conf.min_copies && cp_holders_next(h, &node); node++) {
        const struct cp_member *m = cp_member_of(s, (uint16_t)node);

        n += m != NULL && cp_node_is_alive(&m->node) && !m->node.is_draining;
    }
    return n;
}

/* Orders a copy unless one is under way. */
static void save_chunk(struct cp_state *s, struct cp_op *op, uint32_t number,
                       struct cp_member *from)
{
    struct cp_wish w = { .action = CP_REPLICATE,
                         .priority = PRIORITY,
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

    while (n < s->conf.min_copies && (m = cp_member_next(s, &cursor)) != NULL)
        n += cp_node_is_alive(&m->node) && !m->node.is_draining;
    return n;
}

static void drain_node(struct cp_state *s, struct cp_op *op, struct drained *d)
{
    struct cp_member *m = cp_member_get(s, el_str_of(d->node_id));
    uint32_t wanted = count_takers(s);
    uint64_t mask;

    d->missing = 0;
    d->chunks = m == NULL ? 0 : m->chunks.n;
    for (uint64_t base = 0; m != NULL && cp_set_next(&m->chunks, &base, &mask); base += CP_SPAN) {
        for (; mask != 0; mask &= mask - 1) {
            uint32_t number = (uint32_t)base + (uint32_t)__builtin_ctzll(mask);

            if (count_elsewhere(s, number) >= el_min_u64(wanted, s->conf.min_copies) && wanted > 0)
                continue;
            d->missing++;
            save_chunk(s, op, number, m);
        }
    }
    d->is_done = d->missing == 0;
    op->is_dirty = true;
}

static void begin_drains(struct cp_state *s, struct cp_op *op)
{
    uint32_t most = op->op.max_unavailable == 0 ? UINT32_MAX : op->op.max_unavailable, busy = 0;

    for (size_t i = 0; i < op->drained_n; i++)
        busy += op->drained[i].is_begun && !op->drained[i].is_done;
    for (size_t i = 0; i < op->drained_n && busy < most; i++) {
        struct drained *d = &op->drained[i];

        if (d->is_begun)
            continue;
        d->is_begun = true;
        busy++;
        op->is_dirty = true;
        (void)cp_node_drain(s, el_str_of(d->node_id), true, NULL);
    }
}

#define DRAINS_PER_TICK 4u

static void drain(struct cp_state *s, struct cp_op *op)
{
    size_t done = 0, looked = 0;

    EL_ASSERT(op->drained_n > 0);
    begin_drains(s, op);
    op->op.total = 0;
    op->op.done = 0;
    for (size_t k = 0; k < op->drained_n; k++) {
        struct drained *d = &op->drained[(op->at + k) % op->drained_n];

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
        end_op(s, op, CP_OVER, "");
}

void cp_operations_tick(struct cp_state *s, bool has_duty)
{
    s->placing.replays = s->conf.commands_per_tick;
    for (size_t i = s->ops; i > 0; i--) {
        struct cp_op *op = s->op[i - 1];

        if (has_duty && op->op.state == CP_RUNNING && op->op.kind == CP_REPLAY)
            replay(s, op);
        else if (has_duty && op->op.state == CP_RUNNING && op->op.kind == CP_DRAIN)
            drain(s, op);
        if (op->is_dirty)
            emit_op(s, op, CP_SOFT);
        if (has_duty && op->op.state != CP_RUNNING && op->op.kind != CP_SNAPSHOT &&
            s->wall_ms - op->op.ended_wall_ms > OVER_MS)
            remove_op(s, op);
    }
}

/* ---- records ---- */

static bool decode_scope(struct el_bytes *b, struct cp_scope *scope)
{
    uint8_t kind = el_bytes_u8(b);

    cp_get_chars(b, scope->name, sizeof(scope->name) - 1);
    scope->kind = (enum cp_scope_kind)(kind > CP_SCOPE_PREFIX ? CP_SCOPE_ALL : kind);
    return kind <= CP_SCOPE_PREFIX;
}

static void decode_drained(struct el_bytes *b, struct cp_op *op)
{
    uint32_t n = el_bytes_u32(b);

    if (n > CP_OPERATION_NODES_MAX)
        b->is_bad = true;
    for (uint32_t i = 0; i < n && !b->is_bad; i++) {
        struct drained *d;

        op->drained = (struct drained *)cp_array_reserve(op->drained, op->drained_n,
                                                         &op->drained_cap, sizeof(*d));
        d = &op->drained[op->drained_n++];
        *d = (struct drained){ 0 };
        cp_get_chars(b, d->node_id, CP_ID_MAX);
        d->is_begun = el_bytes_u8(b) != 0;
        d->is_done = el_bytes_u8(b) != 0;
    }
    op->op.nodes = (uint32_t)op->drained_n;
}

/* All but the id and the pieces. */
static bool decode_op(struct el_str value, struct cp_op *op)
{
    struct el_bytes b = el_bytes_of(value);
    struct cp_operation *o = &op->op;
    uint8_t format = el_bytes_u8(&b), kind = el_bytes_u8(&b), state = el_bytes_u8(&b);
    bool is_good = decode_scope(&b, &o->scope) && decode_scope(&b, &op->nodes);

    o->snapshot = el_bytes_u64(&b);
    op->copies = el_bytes_u32(&b);
    o->total = el_bytes_u64(&b);
    o->done = el_bytes_u64(&b);
    o->failed = el_bytes_u64(&b);
    o->max_unavailable = el_bytes_u32(&b);
    o->created_wall_ms = (int64_t)el_bytes_u64(&b);
    o->ended_wall_ms = (int64_t)el_bytes_u64(&b);
    cp_get_chars(&b, o->text, CP_TEXT_MAX);
    decode_drained(&b, op);
    o->kind = (enum cp_operation_kind)kind;
    o->state = (enum cp_operation_state)state;
    return is_good && el_bytes_is_end(&b) && format == OPERATION_FORMAT && kind <= CP_RESTORE &&
           state <= CP_CANCELLED && (kind != CP_DRAIN || op->drained_n > 0);
}

static bool parse_id(struct el_str text, uint64_t *ret)
{
    uint64_t v = 0;

    if (text.n != 16)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        int digit = el_hex_digit(text.p[i]);

        if (digit < 0)
            return false;
        v = v << 4 | (uint64_t)digit;
    }
    *ret = v;
    return v != 0;
}

/* What was read in place of what there was; pieces and the place of the look stay. */
static void take_in(struct cp_op *op, struct cp_op *read, uint64_t id)
{
    free(op->drained);
    op->op = read->op;
    op->op.id = id;
    op->nodes = read->nodes;
    op->copies = read->copies;
    op->drained = read->drained;
    op->drained_n = read->drained_n;
    op->drained_cap = read->drained_cap;
}

static enum el_err apply_operation(struct cp_state *s, struct el_str name, struct el_str value,
                                   bool is_removal, struct el_error *err)
{
    struct cp_op read = { 0 };
    struct cp_op *op;
    uint64_t id;
    bool is_news;

    if (!parse_id(name, &id))
        return cp_bad_record(err, "operation");
    op = get_op(s, id);
    if (is_removal) {
        if (op != NULL)
            drop_op(s, op);
        return EL_OK;
    }
    if (!decode_op(value, &read)) {
        free(read.drained);
        return cp_bad_record(err, "operation");
    }
    is_news = op == NULL || op->op.state != read.op.state;
    if (op == NULL)
        op = put_op(s, id);
    take_in(op, &read, id);
    op->load = s->load;
    if (is_news)
        tell(s, op);
    return EL_OK;
}

static void sweep_operations(struct cp_state *s)
{
    for (size_t i = s->ops; i > 0; i--) {
        if (s->op[i - 1]->load != s->load)
            drop_op(s, s->op[i - 1]);
    }
}

static void dump_operations(const struct cp_state *s, cp_keep *keep, void *arg)
{
    for (size_t i = 0; i < s->ops; i++) {
        struct el_buf b = { 0 };
        struct cp_key k;

        encode_op(&b, s->op[i]);
        keep(arg, op_key(&k, s->op[i]->op.id), el_buf_str(&b));
        el_buf_deinit(&b);
    }
}

const struct cp_kind cp_kind_operation = { "operation", apply_operation, sweep_operations,
                                           dump_operations };

/* Pieces of a part into their place: parts come in any order. */
static void put_pieces(struct cp_op *op, size_t part, struct el_bytes *b, size_t n)
{
    size_t at = part * PIECES_PER_PART, end = at + n;

    if (end > op->pieces_cap) {
        op->piece = (struct piece *)reallocarray(op->piece, end, sizeof(*op->piece));
        EL_ASSERT(op->piece != NULL);
        memset(op->piece + op->pieces_cap, 0, (end - op->pieces_cap) * sizeof(*op->piece));
        op->pieces_cap = end;
    }
    op->pieces = end > op->pieces ? end : op->pieces;
    for (; at < end; at++) {
        el_bytes_copy(b, op->piece[at].object, EL_CHUNK_ID_OBJECT_BYTES);
        op->piece[at].index = el_bytes_u32(b);
        op->piece[at].mask = el_bytes_u64(b);
    }
}

#define PIECE_BYTES (EL_CHUNK_ID_OBJECT_BYTES + 4 + 8)

static enum el_err apply_snapshot(struct cp_state *s, struct el_str name, struct el_str value,
                                  bool is_removal, struct el_error *err)
{
    struct el_bytes b = el_bytes_of(value);
    struct el_str id_hex, part_hex;
    uint64_t id, part = 0;
    struct cp_op *op;
    size_t n;

    if (is_removal)
        return EL_OK; /* its operation goes too */
    if (!el_str_split(&name, '/', &id_hex) || !el_str_split(&name, '/', &part_hex) ||
        !parse_id(id_hex, &id) ||
        (!parse_id(part_hex, &part) && !el_str_eq(part_hex, EL_STR("0000000000000000"))))
        return cp_bad_record(err, "snapshot");
    if (el_bytes_u8(&b) != SNAPSHOT_FORMAT || b.rest.n % PIECE_BYTES != 0 ||
        part >= PIECES_MAX / PIECES_PER_PART)
        return cp_bad_record(err, "snapshot");
    n = b.rest.n / PIECE_BYTES;
    if (n > PIECES_PER_PART)
        return cp_bad_record(err, "snapshot");
    op = get_op(s, id);
    if (op == NULL) {
        op = put_op(s, id); /* its operation comes yet, or is swept */
        op->load = s->load - 1;
        op->op.kind = CP_SNAPSHOT;
        op->op.state = CP_OVER;
    }
    put_pieces(op, part, &b, n);
    return EL_OK;
}

static void dump_snapshots(const struct cp_state *s, cp_keep *keep, void *arg)
{
    for (size_t i = 0; i < s->ops; i++) {
        for (size_t part = 0; part < parts_of(s->op[i]); part++) {
            struct el_buf b = { 0 };
            struct cp_key k;

            encode_part(&b, s->op[i], part);
            keep(arg, part_key(&k, s->op[i]->op.id, part), el_buf_str(&b));
            el_buf_deinit(&b);
        }
    }
}

const struct cp_kind cp_kind_snapshot = { "snapshot", apply_snapshot, NULL, dump_snapshots };
