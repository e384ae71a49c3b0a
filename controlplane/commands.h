/* SPDX-License-Identifier: MIT */
/*
 * commands: what nodes are told to do, at least once each: a command is given out when its node
 * polls, again every command_retry_ms until it is acknowledged, and given up after command_ttl_ms.
 * All are idempotent: to have what is to be copied, or to lack what is to be evicted, is done.
 *
 *   replicate  target_node_id takes the chunk from source_node_id
 *   evict      target_node_id drops it; looked at again as it is given out: never the last copy
 *   migrate    replicate, after whose acknowledgement the source is told to evict
 *
 * The node that a command is for is its target. Commands are hard. Thread: cp_state's.
 */
#pragma once

#include "controlplane/state.h"

enum cp_action { CP_REPLICATE, CP_EVICT, CP_MIGRATE };
enum cp_command_state { CP_WAITING, CP_GIVEN, CP_DONE, CP_FAILED, CP_EXPIRED, CP_WITHDRAWN };

#define CP_COMMAND_ID_CHARS 16u /* hexadecimal */
#define CP_POLL_MAX         64u /* commands in one answer */

/* View. Those that are over are kept for ten minutes, at most 10000. */
struct cp_command {
    char command_id[CP_COMMAND_ID_CHARS + 1];
    struct el_chunk_id chunk;
    enum cp_action action;
    enum cp_command_state state;
    char source_node_id[CP_ID_MAX + 1]; /* empty: from wherever it can be had */
    char target_node_id[CP_ID_MAX + 1];
    uint32_t priority; /* 0..100, higher first */
    uint32_t given;    /* how often */
    int64_t created_wall_ms, expires_wall_ms;
    uint64_t operation;         /* it belongs to; 0: a decision, or an operator's */
    char text[CP_TEXT_MAX + 1]; /* why it failed */
};

/* An operator's. EL_ENOTFOUND: a node is unknown; EL_ECONFLICT: it would evict the last copy. */
struct cp_order {
    struct el_chunk_id chunk;
    enum cp_action action;
    struct el_str source_node_id, target_node_id;
    uint32_t priority;
};
enum el_err cp_command_order(struct cp_state *s, const struct cp_order *order,
                             const struct cp_command **ret_command, struct el_error *err);

/*
 * Those that are due for this node, most urgent first, at most max (and CP_POLL_MAX); they count as
 * given. EL_ENOTFOUND: it has to register. Polling is not a beat.
 */
enum el_err cp_command_poll(struct cp_state *s, struct el_str node_id,
                            const struct cp_command **ret, size_t max, size_t *ret_n,
                            struct el_error *err);

/*
 * The node has done it, or says why not. Again: the first answer stays. EL_ENOTFOUND: no such
 * command (any more); EL_EFORBIDDEN: it is another node's.
 */
enum el_err cp_command_ack(struct cp_state *s, struct el_str node_id, struct el_str command_id,
                           bool is_done, struct el_str text, struct el_error *err);

/* Withdrawn, unless it is over: EL_ECONFLICT. */
enum el_err cp_command_cancel(struct cp_state *s, struct el_str command_id, struct el_error *err);

const struct cp_command *cp_command_get(const struct cp_state *s, struct el_str command_id);
/* Newest first: *cursor is 0 at the start, until NULL. */
const struct cp_command *cp_command_next(const struct cp_state *s, uint64_t *cursor);

const char *cp_action_name(enum cp_action a); /* "replicate", ... */
bool cp_action_parse(struct el_str name, enum cp_action *ret_action);
/* "waiting", "given", "done", "failed", "expired", "withdrawn" */
const char *cp_command_state_name(enum cp_command_state st);
