/* SPDX-License-Identifier: MIT */
/*
 * operations: what takes a while and is asked for by an operator: it has an id, progress, and can
 * be cancelled. All are hard; whichever eliocp has the duty carries them on.
 *
 *   snapshot  which chunks there are now, of a scope: kept under its id. Done at once.
 *   replay    the nodes of a scope come to have a snapshot's chunks, or those that there
 * are now drain     nodes are drained, at most max_unavailable at a time; each is done when every
 * chunk it has is elsewhere often enough
 *
 *   prefetch  the nodes of a scope load a list of URLs, from each other and the origin
 *
 * backup, restore   carried on by the caller, who says how far it is
 *
 * Thread: cp_state's.
 */
#pragma once

#include "common/json.h"
#include "controlplane/nodes.h"

enum cp_operation_kind { CP_SNAPSHOT, CP_REPLAY, CP_DRAIN, CP_BACKUP, CP_RESTORE, CP_PREFETCH };
enum cp_operation_state { CP_RUNNING, CP_OVER, CP_BROKEN, CP_CANCELLED };

#define CP_OPERATION_NODES_MAX 1000u
#define CP_SNAPSHOTS_MAX       100u

/* Which chunks, and of a replay which nodes. */
enum cp_scope_kind {
    CP_SCOPE_ALL,
    CP_SCOPE_NODE,
    CP_SCOPE_GROUP,
    CP_SCOPE_PREFIX,
    CP_SCOPE_ZONE /* of nodes only */
};
struct cp_scope {
    enum cp_scope_kind kind;
    char name[1025]; /* node, group, zone, or prefix of objects' names; empty for all */
};

/* View. Those that are over are kept for a day, at most 1000; a snapshot until it is deleted. */
struct cp_operation {
    uint64_t id;
    enum cp_operation_kind kind;
    enum cp_operation_state state;
    struct cp_scope scope;
    uint64_t snapshot;            /* of a replay: whose chunks; 0: those there are */
    uint64_t total, done, failed; /* chunk copies; of a snapshot chunks, of a prefetch URLs */
    uint32_t max_unavailable;
    int64_t created_wall_ms, ended_wall_ms; /* 0: not yet */
    char text[CP_TEXT_MAX + 1];
    uint32_t nodes; /* of a drain */
};

enum el_err cp_operation_snapshot(struct cp_state *s, const struct cp_scope *scope,
                                  uint64_t *ret_id, struct el_error *err);
/*
 * `as_of_wall_ms`: the newest snapshot of that time or before; 0: `snapshot`, and 0 for that: what
 * there is now. `nodes` says where: all, a node, or a group. EL_ENOTFOUND.
 */
struct cp_replay {
    struct cp_scope chunks, nodes;
    uint64_t snapshot;
    int64_t as_of_wall_ms;
    uint32_t copies; /* 0: on every node of `nodes`; otherwise so many of them have each chunk */
};
enum el_err cp_operation_replay(struct cp_state *s, const struct cp_replay *replay,
                                uint64_t *ret_id, struct el_error *err);
#define CP_PREFETCH_URLS_MAX 10000u
/* A JSON list; checked. EL_ENOTFOUND: there is no such node or group. */
enum el_err cp_operation_prefetch(struct cp_state *s, const struct cp_scope *nodes,
                                  const json_t *urls, uint64_t *ret_id, struct el_error *err);
/* Its list as JSON text; NULL: it is no such operation. */
const char *cp_operation_urls(const struct cp_state *s, uint64_t id);

/* max_unavailable 0: all at a time. */
enum el_err cp_operation_drain(struct cp_state *s, const struct el_str *node_ids, size_t n,
                               uint32_t max_unavailable, uint64_t *ret_id, struct el_error *err);

/* For what the caller does itself: begins, moves (not written down), ends it. EL_ECONFLICT: it is
 * over. */
enum el_err cp_operation_begin(struct cp_state *s, enum cp_operation_kind kind, uint64_t total,
                               uint64_t *ret_id, struct el_error *err);
enum el_err cp_operation_move(struct cp_state *s, uint64_t id, uint64_t done, uint64_t total,
                              struct el_error *err);
enum el_err cp_operation_end(struct cp_state *s, uint64_t id, bool is_well, struct el_str text,
                             struct el_error *err);

/* Its commands are withdrawn; nodes that a drain has not finished are undrained. EL_ECONFLICT: it
 * is over. */
enum el_err cp_operation_cancel(struct cp_state *s, uint64_t id, struct el_error *err);
/* Only what is over. EL_ECONFLICT otherwise. */
enum el_err cp_operation_delete(struct cp_state *s, uint64_t id, struct el_error *err);

const struct cp_operation *cp_operation_get(const struct cp_state *s, uint64_t id);
/* Newest first: *cursor is 0 at the start, until NULL. */
const struct cp_operation *cp_operation_next(const struct cp_state *s, uint64_t *cursor);
/* The i-th node of a drain, and whether it is done. NULL: there are not so many. */
const char *cp_operation_node(const struct cp_state *s, uint64_t id, uint32_t i, bool *ret_is_done);

const char *cp_operation_kind_name(
    enum cp_operation_kind k); /* "snapshot", "replay", "drain", "backup", "restore", "prefetch" */
const char *
cp_operation_state_name(enum cp_operation_state st); /* "running", "done", "failed", "cancelled" */
