/* SPDX-License-Identifier: MIT */
/*
 * operations_in: what operations.c, replay.c, drain.c, prefetch.c and operations_record.c share.
 * Pure.
 */
#pragma once

#include "controlplane/state_in.h"

#define CP_PIECES_MAX  8000000u
#define CP_OP_PRIORITY 60u /* of the commands that they give */

struct cp_piece {
    uint8_t object[EL_CHUNK_ID_OBJECT_BYTES];
    uint32_t index;
    uint64_t mask;
};

struct cp_drained {
    char node_id[CP_ID_MAX + 1];
    bool is_begun, is_done;
    uint64_t chunks, missing; /* as of the last look at all */
    uint64_t at, found;       /* this look: where it has come to, and how many are missing */
    bool is_known;            /* there was a look at all */
};

struct cp_op {
    struct cp_operation op; /* first: views are operations */
    struct cp_scope nodes;  /* of a replay, a prefetch */
    uint32_t copies;        /* of a replay: on so many of the nodes; 0: on all */
    struct cp_piece *piece; /* of a snapshot */
    size_t pieces, pieces_cap;
    char *urls; /* of a prefetch: JSON text; NULL: none */
    uint32_t urls_n;
    struct cp_drained *drained;
    size_t drained_n, drained_cap;
    /* Where the duty has come to. */
    size_t at;             /* piece to be looked at next */
    uint32_t round;        /* how often all has been looked at */
    uint64_t missing, met; /* in this round */
    uint64_t hopeless;     /* of the missing: nobody has them */
    uint64_t settled_ms;   /* before which the next round does not begin */
    bool is_dirty;
    uint64_t load;
};

/* ---- their place (operations.c) ---- */

struct cp_op *cp_op_get(const struct cp_state *s, uint64_t id); /* NULL: there is none */
struct cp_op *cp_op_put(struct cp_state *s, uint64_t id);
void cp_op_drop(struct cp_state *s, struct cp_op *op);

/* ---- from the beginning to the end (operations.c) ---- */

enum el_err cp_op_check_room(const struct cp_state *s, struct el_error *err);
struct cp_op *cp_op_new(struct cp_state *s, enum cp_operation_kind kind);
void cp_op_tell(struct cp_state *s, const struct cp_op *op);
void cp_op_end(struct cp_state *s, struct cp_op *op, enum cp_operation_state state,
               const char *text);

/* ---- scopes (replay.c) ---- */

enum el_err cp_op_check_scope(const struct cp_state *s, const struct cp_scope *scope,
                              struct el_error *err);
bool cp_op_is_node_in(const struct cp_state *s, const struct cp_scope *scope,
                      const struct cp_member *m);

/* ---- those that take a while: a second's part of the work ---- */

void cp_op_replay(struct cp_state *s, struct cp_op *op);
void cp_op_prefetch(struct cp_state *s, struct cp_op *op);
void cp_op_drain(struct cp_state *s, struct cp_op *op);
void cp_op_undrain(struct cp_state *s, const struct cp_op *op); /* those that are not done */

/* ---- records (operations_record.c) ---- */

void cp_op_emit(struct cp_state *s, struct cp_op *op, enum cp_hardness hardness);
void cp_op_emit_pieces(struct cp_state *s, const struct cp_op *op);
void cp_op_emit_no_urls(struct cp_state *s, const struct cp_op *op);
bool cp_op_parse_id(struct el_str text, uint64_t *ret); /* of a key */
void cp_op_emit_removal(struct cp_state *s, const struct cp_op *op);
