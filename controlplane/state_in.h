/* SPDX-License-Identifier: MIT */
/*
 * state_in: what the parts of the state share, private to them (state.h is what others see).
 *
 * Invariants
 *  1. A member's number is its index in by_number; it is given again only when nobody has it in
 *     holders.
 *  2. Whatever is hard is changed and emitted in the same call; what is soft is marked dirty and
 *     emitted by the tick.
 *  3. cp_state_apply() goes through the functions that decode, never through those that emit.
 */
#pragma once

#include "common/bytes.h"
#include "common/list.h"
#include "common/rng.h"
#include "controlplane/alerts.h"
#include "controlplane/chunks.h"
#include "controlplane/commands.h"
#include "controlplane/events.h"
#include "controlplane/groups.h"
#include "controlplane/index.h"
#include "controlplane/nodes.h"
#include "controlplane/operations.h"
#include "controlplane/place.h"
#include "controlplane/tokens.h"

/* Pages of a full report that has not come to its end. */
struct cp_paging {
    struct cp_set chunks; /* pinned */
    uint64_t epoch;
    uint32_t next, pages; /* 0 pages: there is none */
    uint64_t touched_ms;
};

struct cp_member {
    struct cp_node node; /* first: views are members */
    struct cp_entry entry;
    struct cp_set chunks;
    struct cp_paging paging;
    struct el_list dirty;   /* in cp_state.dirty while parts are to be written */
    uint32_t dirty_parts;   /* a bit for each */
    uint32_t written_parts; /* that the store has */
    uint32_t met_parts;     /* in the last load */
    uint64_t written_ms;    /* when parts were last written */
    uint64_t written_bytes; /* and how much that was */
    bool has_beat, is_beat_dirty;
    bool is_report_dirty;
    struct el_list commands; /* cp_order_in.of_member: for it, not over */
    uint32_t commands_n;
    uint64_t load;
    uint64_t errors_seen; /* origin errors at the beginning of the minute */
    uint64_t errors_ms;   /* when that was */
    bool is_erring;       /* by the last whole minute */
    bool is_asked;        /* a probe is on its way */
    uint64_t ask_ms;      /* not before; 0: not known yet */
};

struct cp_placing {
    uint32_t part; /* where the look at all chunks has come to */
    uint32_t span, slot;
    uint64_t low, low_last; /* chunks with too few copies: in this look, in the last whole one */
    uint64_t low_since_ms;  /* 0: none in the last */
    uint32_t looks;         /* at nodes in this part of the second's work */
    bool has_takers;        /* somebody can be given a copy, as of the beginning of this second */
    uint32_t replays;       /* commands of operations that are left in this second */
    uint32_t budget;        /* decisions that are left in this second */
};

struct cp_op; /* operations.c */
struct group; /* groups.c */
struct cp_policy_in;

struct cp_alert_in {
    struct cp_alert alert;
    struct cp_entry entry;
    char key[CP_ID_MAX + 4]; /* kind and subject */
    size_t at;               /* its index */
    bool is_seen;
};

struct cp_audit_in {
    struct cp_audit audit;
    uint64_t written_as; /* its number where it was written */
    uint32_t stream;     /* and by whom */
};

struct cp_state {
    struct cp_state_conf conf;
    struct el_rng rng;
    uint64_t mono_ms;
    int64_t wall_ms;
    uint64_t epoch, epoch_written;
    bool is_loading;
    uint64_t load; /* counts loads: what was not read in the last one is gone */

    struct cp_record *out, **out_tail;
    bool is_holding; /* ticks leave what is soft dirty */

    struct cp_table nodes;
    struct cp_member **by_number; /* NULL: nobody */
    size_t numbers, numbers_cap;
    struct cp_index index;
    uint64_t digest;       /* of all nodes' chunks */
    uint32_t reach_cursor; /* number to be looked at next */
    struct el_list dirty;
    struct cp_table names; /* cp_named, by version */
    uint32_t names_cursor; /* bucket to be looked at next */

    struct cp_table tokens, tokens_by_name;
    uint32_t tokens_cursor;
    struct cp_table groups, memberships; /* memberships by node, several of each */
    struct group **group;                /* groups.c: the same in the order in which they came */
    size_t group_cap;
    struct cp_policy_in **policy; /* by prefix */
    size_t policies, policies_cap;
    uint64_t policy_version, policy_version_written;
    struct cp_config config[CP_CONFIGS_MAX]; /* the oldest first */
    size_t configs;

    struct cp_table commands;
    struct el_list commands_new; /* cp_order_in.all, newest first */
    struct cp_table moving;      /* chunks of commands that are not over */
    uint32_t commands_waiting;   /* not over */
    uint64_t command_serial;

    struct cp_op **op; /* by id, ascending */
    size_t ops, ops_cap;

    struct cp_event *event; /* ring of conf.events */
    uint64_t events;        /* how many there have been */
    uint64_t stream;

    struct cp_audit_in *audit; /* ring of conf.audit, by arrival */
    uint64_t audits;

    struct cp_alert_in **alert;
    struct cp_table alerts_by_key;
    size_t alerts, alerts_cap;

    struct cp_placing placing;
    struct cp_metrics count; /* only what counts up */
};

/* ---- records ---- */

enum cp_hardness { CP_HARD, CP_SOFT };

/* A record with this value goes out; the buffer is empty afterwards. */
void cp_emit(struct cp_state *s, enum cp_hardness hardness, struct el_str key,
             struct el_buf *value);
void cp_emit_removal(struct cp_state *s, enum cp_hardness hardness, struct el_str key);

/* A key in memory of the caller. */
struct cp_key {
    char text[CP_KEY_MAX + 1];
    size_t n;
};
/* "kind/name" and "kind/name/rest" */
struct el_str cp_key_of(struct cp_key *k, const char *kind, struct el_str name);
struct el_str cp_key_of2(struct cp_key *k, const char *kind, struct el_str name,
                         struct el_str rest);

/* Text of at most 65535 bytes with its length before it. */
void cp_add_text(struct el_buf *b, struct el_str text);
/* Borrowed; empty and bad when it is longer than max. */
struct el_str cp_get_text(struct el_bytes *b, size_t max);
/* Into an array of max + 1; printable ASCII or it is bad. */
void cp_get_chars(struct el_bytes *b, char *ret, size_t max);
void cp_add_double(struct el_buf *b, double v);
double cp_get_double(struct el_bytes *b); /* finite, 0 or more; else 0 */

/* What a part does with its records. */
typedef void cp_keep(void *arg, struct el_str key, struct el_str value);
struct cp_kind {
    const char *name;
    /* `name`: the key behind "kind/". The whole value has been given; *v bad or not at its end is
     * refused. */
    enum el_err (*apply)(struct cp_state *s, struct el_str name, struct el_str value,
                         bool is_removal, struct el_error *err);
    void (*sweep)(struct cp_state *s); /* what the last load has not met; NULL: nothing */
    void (*dump)(const struct cp_state *s, cp_keep *keep, void *arg);
};
extern const struct cp_kind cp_kind_node, cp_kind_beat, cp_kind_chunks, cp_kind_report,
    cp_kind_object, cp_kind_token, cp_kind_group, cp_kind_member, cp_kind_policy, cp_kind_config,
    cp_kind_command, cp_kind_operation, cp_kind_snapshot, cp_kind_prefetch, cp_kind_audit;

/* Refuses a value that does not hold together. */
enum el_err cp_bad_record(struct el_error *err, const char *kind);

/* ---- parts ---- */

/* Copies text that may be longer, printable ASCII only; other bytes become '?'. */
void cp_copy_text(char *ret, size_t max, struct el_str text);
bool cp_is_printable(struct el_str text);

void cp_event_add(struct cp_state *s, enum cp_event_kind kind, struct el_str subject,
                  uint64_t count, struct el_str text);

struct cp_member *cp_member_get(const struct cp_state *s, struct el_str node_id);
struct cp_member *cp_member_of(const struct cp_state *s, uint16_t number);
struct cp_member *cp_member_next(const struct cp_state *s, uint32_t *cursor);
/* EL_ENOTFOUND */
enum el_err cp_member_find(const struct cp_state *s, struct el_str node_id, struct cp_member **ret,
                           struct el_error *err);
/* Alive, and others can connect to it. */
bool cp_member_gives(const struct cp_member *m);
/* May be given copies: alive, not draining, its disk is well and has room. */
bool cp_member_takes(const struct cp_state *s, const struct cp_member *m);
/* Share of its disk (or memory, if it has no disk) that is used; 1: unknown or full. */
double cp_member_fullness(const struct cp_member *m);
/* Its health, anew. */
void cp_member_rate(struct cp_member *m);
/* reach.c: it can be asked somewhere else from now on. */
void cp_reach_moved(struct cp_member *m);
void cp_nodes_tick(struct cp_state *s, bool has_duty);
void cp_nodes_write(struct cp_state *s);
void cp_nodes_deinit(struct cp_state *s);

/* All it has; the index has it no more. Marks parts as dirty. */
void cp_chunks_drop(struct cp_state *s, struct cp_member *m);
/* Removals of what the store has of it. */
void cp_chunks_forget(struct cp_state *s, struct cp_member *m);
void cp_chunks_flush(struct cp_state *s);
void cp_chunks_tick(struct cp_state *s);
void cp_chunks_write(struct cp_state *s); /* as much as may be in a second */
/* Empty: nobody has told. */
struct el_str cp_name_of(const struct cp_state *s, const uint8_t object[EL_CHUNK_ID_OBJECT_BYTES],
                         uint64_t *ret_bytes);
void cp_names_write(struct cp_state *s); /* some of them each second */
void cp_names_flush(struct cp_state *s);
void cp_names_deinit(struct cp_state *s);
double cp_heat(const struct cp_state *s, const struct cp_span *sp);
void cp_heat_add(struct cp_state *s, struct cp_span *sp, double by);

void cp_tokens_deinit(struct cp_state *s);
void cp_tokens_tick(struct cp_state *s);
void cp_token_drop_of(struct cp_state *s, struct el_str node_id);

void cp_groups_deinit(struct cp_state *s);
/* prefetch.c: the operation whose list is this node's now; 0: none. */
uint64_t cp_prefetch_for(const struct cp_state *s, const struct cp_member *m);
void cp_policies_deinit(struct cp_state *s);
void cp_config_deinit(struct cp_state *s);
void cp_groups_drop_node(struct cp_state *s, struct el_str node_id);

struct cp_wish {
    struct el_chunk_id chunk;
    enum cp_action action;
    struct cp_member *source, *target; /* source may be NULL */
    uint32_t priority;
    uint64_t operation;
};
const struct cp_command *cp_command_issue(struct cp_state *s, const struct cp_wish *w);
/* How many commands about this chunk are not over; one of them for `target` (may be NULL). */
unsigned cp_command_moving(const struct cp_state *s, const struct el_chunk_id *id,
                           const struct cp_member *target, bool *ret_is_for_target);
/* Those for a node that goes: without a word, or written down. */
void cp_commands_drop_node(struct cp_state *s, struct cp_member *m);
void cp_commands_withdraw_node(struct cp_state *s, struct cp_member *m);
void cp_commands_withdraw(struct cp_state *s, uint64_t operation);
void cp_commands_tick(struct cp_state *s, bool has_duty);
void cp_commands_deinit(struct cp_state *s);
uint32_t cp_command_pending(const struct cp_state *s, uint64_t operation);
bool cp_command_has_room(const struct cp_state *s);

/* Before anybody asks for targets in this second. */
void cp_place_prepare(struct cp_state *s);
/* The best node to have one more copy; NULL: there is none. Counts into placing.looks. */
struct cp_member *cp_place_target(struct cp_state *s, const struct el_chunk_id *id,
                                  uint32_t number);

void cp_operations_tick(struct cp_state *s, bool has_duty);
void cp_operations_write(struct cp_state *s); /* how far they are */
void cp_operations_deinit(struct cp_state *s);

void cp_alerts_tick(struct cp_state *s);
void cp_alerts_deinit(struct cp_state *s);
