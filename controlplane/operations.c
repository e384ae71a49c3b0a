/* SPDX-License-Identifier: MIT */
/*
 * operations: see operations.h. Nothing of what an operation has reached is kept but its state: the
 * one eliocp that has the duty looks at what there is, again and again (replay.c, drain.c). Their
 * records are operations_record.c's.
 */
#include "controlplane/operations_in.h"

#define OPERATIONS_MAX 1000u
#define OVER_MS        86400000 /* for which those that are over are kept */

static const char *const kinds[] = {
    "snapshot", "replay", "drain", "backup", "restore", "prefetch"
};
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

struct cp_op *cp_op_get(const struct cp_state *s, uint64_t id)
{
    size_t at = place_of(s, id);

    return at < s->ops && s->op[at]->op.id == id ? s->op[at] : NULL;
}

struct cp_op *cp_op_put(struct cp_state *s, uint64_t id)
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

void cp_op_drop(struct cp_state *s, struct cp_op *op)
{
    size_t at = place_of(s, op->op.id);

    s->ops--;
    memmove(s->op + at, s->op + at + 1, (s->ops - at) * sizeof(struct cp_op *));
    free(op->piece);
    free(op->urls);
    free(op->drained);
    free(op);
}

void cp_operations_deinit(struct cp_state *s)
{
    while (s->ops > 0)
        cp_op_drop(s, s->op[s->ops - 1]);
    free(s->op);
}

/* ---- from the beginning to the end ---- */

void cp_op_tell(struct cp_state *s, const struct cp_op *op)
{
    char id[24], text[64];
    int n = snprintf(id, sizeof(id), "%llu", (unsigned long long)op->op.id);
    int m = snprintf(text, sizeof(text), "%s %s", kinds[op->op.kind], states[op->op.state]);

    cp_event_add(s, CP_EV_OPERATION, (struct el_str){ id, (size_t)n }, op->op.done,
                 (struct el_str){ text, (size_t)m });
}

void cp_op_end(struct cp_state *s, struct cp_op *op, enum cp_operation_state state,
               const char *text)
{
    op->op.state = state;
    op->op.ended_wall_ms = s->wall_ms;
    cp_copy_text(op->op.text, CP_TEXT_MAX, el_str_of(text));
    cp_op_emit(s, op, CP_HARD);
    cp_op_tell(s, op);
}

enum el_err cp_op_check_room(const struct cp_state *s, struct el_error *err)
{
    if (s->ops >= OPERATIONS_MAX)
        return el_fail(err, EL_EFULL, 0, "%u operations are there already", OPERATIONS_MAX);
    return EL_OK;
}

/* Ids grow, and two eliocp hardly draw the same. */
struct cp_op *cp_op_new(struct cp_state *s, enum cp_operation_kind kind)
{
    uint64_t id = (uint64_t)s->wall_ms * 1024 + el_rng_below(&s->rng, 1024);
    struct cp_op *op;

    if (s->ops > 0 && id <= s->op[s->ops - 1]->op.id)
        id = s->op[s->ops - 1]->op.id + 1;
    op = cp_op_put(s, id);
    op->op.kind = kind;
    op->op.created_wall_ms = s->wall_ms;
    return op;
}

enum el_err cp_operation_begin(struct cp_state *s, enum cp_operation_kind kind, uint64_t total,
                               uint64_t *ret_id, struct el_error *err)
{
    enum el_err rc = cp_op_check_room(s, err);
    struct cp_op *op;

    if (rc != EL_OK)
        return rc;
    op = cp_op_new(s, kind);
    op->op.total = total;
    cp_op_emit(s, op, CP_HARD);
    cp_op_tell(s, op);
    *ret_id = op->op.id;
    return EL_OK;
}

/* EL_ENOTFOUND, EL_ECONFLICT: not one that runs. */
static enum el_err find_running(struct cp_state *s, uint64_t id, struct cp_op **ret,
                                struct el_error *err)
{
    struct cp_op *op = cp_op_get(s, id);

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
    cp_op_end(s, op, is_well ? CP_OVER : CP_BROKEN, why);
    return EL_OK;
}

enum el_err cp_operation_cancel(struct cp_state *s, uint64_t id, struct el_error *err)
{
    struct cp_op *op = NULL;
    enum el_err rc = find_running(s, id, &op, err);

    if (rc != EL_OK)
        return rc;
    cp_commands_withdraw(s, id);
    cp_op_undrain(s, op);
    cp_op_end(s, op, CP_CANCELLED, "");
    return EL_OK;
}

static void remove_op(struct cp_state *s, struct cp_op *op)
{
    cp_op_emit_removal(s, op);
    cp_op_drop(s, op);
}

enum el_err cp_operation_delete(struct cp_state *s, uint64_t id, struct el_error *err)
{
    struct cp_op *op = cp_op_get(s, id);

    if (op == NULL)
        return el_fail(err, EL_ENOTFOUND, 0, "operation_id: no such operation");
    if (op->op.state == CP_RUNNING)
        return el_fail(err, EL_ECONFLICT, 0, "operation_id: it is running");
    remove_op(s, op);
    return EL_OK;
}

void cp_operations_tick(struct cp_state *s, bool has_duty)
{
    s->placing.replays = s->conf.commands_per_tick;
    for (size_t i = s->ops; i > 0; i--) {
        struct cp_op *op = s->op[i - 1];

        if (has_duty && op->op.state == CP_RUNNING && op->op.kind == CP_REPLAY)
            cp_op_replay(s, op);
        else if (has_duty && op->op.state == CP_RUNNING && op->op.kind == CP_DRAIN)
            cp_op_drain(s, op);
        else if (has_duty && op->op.state == CP_RUNNING && op->op.kind == CP_PREFETCH)
            cp_op_prefetch(s, op);
        if (has_duty && op->op.state != CP_RUNNING && op->op.kind != CP_SNAPSHOT &&
            s->wall_ms - op->op.ended_wall_ms > OVER_MS)
            remove_op(s, op);
    }
}

void cp_operations_write(struct cp_state *s)
{
    for (size_t i = 0; i < s->ops; i++) {
        if (s->op[i]->is_dirty)
            cp_op_emit(s, s->op[i], CP_SOFT);
    }
}

/* ---- what there is ---- */

const struct cp_operation *cp_operation_get(const struct cp_state *s, uint64_t id)
{
    const struct cp_op *op = cp_op_get(s, id);

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
    const struct cp_op *op = cp_op_get(s, id);

    if (op == NULL || i >= op->drained_n)
        return NULL;
    *ret_is_done = op->drained[i].is_done;
    return op->drained[i].node_id;
}
