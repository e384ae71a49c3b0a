/* SPDX-License-Identifier: MIT */
/*
 * operations_record: operation/ID hard (progress soft); snapshot/ID/NN hard: its chunks as
 * versions, spans and masks, in pieces of a record each.
 */
#include "controlplane/operations_in.h"

#define OPERATION_FORMAT 1
#define SNAPSHOT_FORMAT  1
#define PIECES_PER_PART  30000u /* of 28 bytes: a record of 840 kB */

/* ---- out ---- */

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

void cp_op_emit(struct cp_state *s, struct cp_op *op, enum cp_hardness hardness)
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

void cp_op_emit_pieces(struct cp_state *s, const struct cp_op *op)
{
    for (size_t part = 0; part < parts_of(op); part++) {
        struct el_buf b = { 0 };
        struct cp_key k;

        encode_part(&b, op, part);
        cp_emit(s, CP_HARD, part_key(&k, op->op.id, part), &b);
    }
}

void cp_op_emit_removal(struct cp_state *s, const struct cp_op *op)
{
    struct cp_key k;

    for (size_t part = 0; part < parts_of(op); part++)
        cp_emit_removal(s, CP_HARD, part_key(&k, op->op.id, part));
    cp_op_emit_no_urls(s, op);
    cp_emit_removal(s, CP_HARD, op_key(&k, op->op.id));
}

/* ---- in ---- */

static bool decode_scope(struct el_bytes *b, struct cp_scope *scope)
{
    uint8_t kind = el_bytes_u8(b);

    cp_get_chars(b, scope->name, sizeof(scope->name) - 1);
    scope->kind = (enum cp_scope_kind)(kind > CP_SCOPE_ZONE ? CP_SCOPE_ALL : kind);
    return kind <= CP_SCOPE_ZONE;
}

static void decode_drained(struct el_bytes *b, struct cp_op *op)
{
    uint32_t n = el_bytes_u32(b);

    if (n > CP_OPERATION_NODES_MAX)
        b->is_bad = true;
    for (uint32_t i = 0; i < n && !b->is_bad; i++) {
        struct cp_drained *d;

        op->drained = (struct cp_drained *)cp_array_reserve(op->drained, op->drained_n,
                                                            &op->drained_cap, sizeof(*d));
        d = &op->drained[op->drained_n++];
        *d = (struct cp_drained){ 0 };
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
    return is_good && el_bytes_is_end(&b) && format == OPERATION_FORMAT && kind <= CP_PREFETCH &&
           state <= CP_CANCELLED && (kind != CP_DRAIN || op->drained_n > 0);
}

bool cp_op_parse_id(struct el_str text, uint64_t *ret)
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

    if (!cp_op_parse_id(name, &id))
        return cp_bad_record(err, "operation");
    op = cp_op_get(s, id);
    if (is_removal) {
        if (op != NULL)
            cp_op_drop(s, op);
        return EL_OK;
    }
    if (!decode_op(value, &read)) {
        free(read.drained);
        return cp_bad_record(err, "operation");
    }
    is_news = op == NULL || op->op.state != read.op.state;
    if (op == NULL)
        op = cp_op_put(s, id);
    take_in(op, &read, id);
    op->load = s->load;
    if (is_news)
        cp_op_tell(s, op);
    return EL_OK;
}

static void sweep_operations(struct cp_state *s)
{
    for (size_t i = s->ops; i > 0; i--) {
        if (s->op[i - 1]->load != s->load)
            cp_op_drop(s, s->op[i - 1]);
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
        op->piece = (struct cp_piece *)reallocarray(op->piece, end, sizeof(*op->piece));
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
        !cp_op_parse_id(id_hex, &id) ||
        (!cp_op_parse_id(part_hex, &part) && !el_str_eq(part_hex, EL_STR("0000000000000000"))))
        return cp_bad_record(err, "snapshot");
    if (el_bytes_u8(&b) != SNAPSHOT_FORMAT || b.rest.n % PIECE_BYTES != 0 ||
        part >= CP_PIECES_MAX / PIECES_PER_PART)
        return cp_bad_record(err, "snapshot");
    n = b.rest.n / PIECE_BYTES;
    if (n > PIECES_PER_PART)
        return cp_bad_record(err, "snapshot");
    op = cp_op_get(s, id);
    if (op == NULL) {
        op = cp_op_put(s, id); /* its operation comes yet, or is swept */
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
