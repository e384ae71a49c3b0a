/* SPDX-License-Identifier: MIT */
/*
 * events: what has happened, numbered from 1 without gaps, the newest kept in a ring. Numbers are
 * this process's own: cp_events_stream() names it, and who comes with the number of another stream
 * looks at everything anew. Also the audit log: who changed what, kept by the store. Thread:
 * cp_state's.
 */
#pragma once

#include "controlplane/state.h"

/* Names are what goes over the wire. */
/*
 *   node_up            registered anew, or back
 *   node_down          dead, or left
 *   node_state         text: cp_node_status()
 *   node_changed       what it says of itself, or that it is a relay
 *   commands_available subject: the node; count
 *   chunk_moved        a command was done; subject: the node, text: action and chunk
 *   operation          subject: its id; text: kind and state
 *   alert              subject: the alert's; text: "raised" or "cleared", name, why
 */
#define CP_EVENTS(X)                        \
    X(CP_EV_NODE_UP, "node_up")             \
    X(CP_EV_NODE_DOWN, "node_down")         \
    X(CP_EV_NODE_STATE, "node_state")       \
    X(CP_EV_NODE_CHANGED, "node_changed")   \
    X(CP_EV_COMMANDS, "commands_available") \
    X(CP_EV_CHUNK_MOVED, "chunk_moved")     \
    X(CP_EV_OPERATION, "operation")         \
    X(CP_EV_CONFIG, "config")               \
    X(CP_EV_POLICIES, "policies")           \
    X(CP_EV_GROUP, "group")                 \
    X(CP_EV_ALERT, "alert")

enum cp_event_kind {
#define CP_EVENT_ENUM(symbol, name) symbol,
    CP_EVENTS(CP_EVENT_ENUM)
#undef CP_EVENT_ENUM
};

/* View. */
struct cp_event {
    uint64_t seq;
    enum cp_event_kind kind;
    int64_t wall_ms;
    char subject[CP_ID_MAX + 1]; /* the node, group, command or operation; empty: none */
    uint64_t count;              /* of chunks or commands; 0: says nothing */
    char text[CP_TEXT_MAX + 1];  /* may be empty */
};

uint64_t cp_events_stream(const struct cp_state *s);
/* The numbers of the newest and of the oldest that is kept; 0: none yet. */
uint64_t cp_events_oldest(const struct cp_state *s);
uint64_t cp_events_newest(const struct cp_state *s);
/*
 * The first one after `seq`, NULL: none yet. When those right after it are not kept any more, or
 * seq is beyond the newest, *ret_has_gap (may be NULL) is true, and it is the oldest there is.
 */
const struct cp_event *cp_events_after(const struct cp_state *s, uint64_t seq, bool *ret_has_gap);
const char *cp_event_name(enum cp_event_kind k);

/* View. */
struct cp_audit {
    uint64_t number;
    int64_t wall_ms;
    char who[CP_ID_MAX + 1];    /* the token's name, or the address */
    char what[CP_ID_MAX + 1];   /* "node.drain" */
    char text[CP_TEXT_MAX + 1]; /* no secret */
    int status;                 /* of the answer */
};

/* Hard. Longer texts are cut; what is not printable ASCII becomes '?'. */
void cp_audit_add(struct cp_state *s, struct el_str who, struct el_str what, struct el_str text,
                  int status);
/* Newest first: *cursor is 0 at the start, until NULL. */
const struct cp_audit *cp_audit_next(const struct cp_state *s, uint64_t *cursor);
