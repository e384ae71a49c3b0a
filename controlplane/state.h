/* SPDX-License-Identifier: MIT */
/*
 * state: what a control plane knows and decides, as plain code: events, time and chance come in,
 * answers, records and commands go out. It opens no socket or file, starts no thread and reads no
 * clock. eliocp runs it behind plane.h; tests run it alone.
 *
 * Its parts, each with its own header, all take the same struct cp_state:
 *   nodes.h       who is there, and since when not           tokens.h      who may ask for what
 *   chunks.h      which node has which chunk, what is hot    commands.h    what nodes are told to
 * do groups.h      groups, policies, configuration            operations.h  snapshot, warm, drain
 *   events.h      what has happened, numbered                alerts.h      what somebody should
 * look at place.h       how many copies of what, and where   reach.h       who answers when asked
 *
 * Time. cp_state_now() sets it before each call (plane.h does it): mono_ms never goes back and is
 * all that is decided by; wall_ms is shown to people and written down. What nodes say of time is
 * never believed.
 *
 * Durability. Whatever has to outlive the process is a record: a key and a value. A call that
 * changes something leaves records, which the caller takes (cp_state_take) and hands to a store
 * (store.h). Hard records are durable before the change is acknowledged. Soft ones (beats, reports
 * of chunks, names) are gathered and leave with cp_state_tick, and what is lost of them, nodes tell
 * again. cp_state_apply() takes a record in: at the start all there are, later those that
 * another eliocp on the same store has written.
 *
 * Errors. Texts of EL_EINVAL, EL_ENOTFOUND and EL_ECONFLICT begin with the field at fault and ": ".
 *
 * Views (const struct cp_node * and the like) are borrowed until the next call that changes
 * anything; behind plane.h until the lock is given back.
 *
 * Thread: whoever holds it; plane.h has the lock.
 */
#pragma once

#include "common/buf.h"
#include "common/chunk_id.h"
#include "common/err.h"
#include "common/rng.h"

#define CP_ID_MAX     128u  /* characters of the name of a node, group, zone, ... */
#define CP_HOST_MAX   253u  /* of an address */
#define CP_TEXT_MAX   255u  /* of a line for people */
#define CP_KEY_MAX    1100u /* bytes of a record's key */
#define CP_VALUE_MAX  (8u * 1024 * 1024)
#define CP_NODES_MAX  65000u
#define CP_HASH_BYTES 32u

struct cp_state;

struct cp_state_conf {
    uint32_t beat_ms;    /* nodes are told to beat this often: 10 s. Suspect after three missed */
    uint32_t dead_ms;    /* without a beat: 90 s */
    uint32_t forget_ms;  /* without a beat: 5 min; the node and its chunks are removed */
    uint32_t min_copies; /* of a chunk that anybody has: 2 */
    uint32_t max_copies; /* of the hottest: 5 */
    uint32_t commands_per_tick; /* how many decisions may become commands each second: 64 */
    uint32_t command_ttl_ms; /* a command that nobody has acknowledged by then is given up: 5 min */
    uint32_t command_retry_ms;    /* after which it is delivered again: 30 s */
    uint32_t events;              /* how many are kept: 8192 */
    uint32_t audit;               /* how many entries are kept: 10000 */
    uint32_t node_disk_full_pct;  /* nothing is copied to a node that is fuller: 90 */
    uint32_t probe_ms;            /* each node is asked so often whether it answers; 0: never */
    uint32_t probe_failures;      /* in a row, after which it is out of reach: 3 */
    uint32_t alert_origin_errors; /* of a node in a minute: 10 */
    uint32_t alert_egress_pct;    /* bytes from origins, of all that nodes gave: 50 */
    bool is_placing;              /* decides on copies at all */
};

/* The figures above. */
void cp_state_conf_default(struct cp_state_conf *ret_conf);

/* `rng` (copied) is for choices between equals, and names this process in what it counts (events).
 */
struct cp_state *cp_state_new(const struct cp_state_conf *conf, const struct el_rng *rng);
void cp_state_free(struct cp_state *s); /* NULL is fine */

/* Neither goes back: an earlier mono_ms is taken as the one before. */
void cp_state_now(struct cp_state *s, uint64_t mono_ms, int64_t wall_ms);
int64_t cp_state_wall_ms(const struct cp_state *s);

/*
 * What time brings: liveness, expiry, soft records. Once a second. Those duties of which there may
 * be one among several eliocp (commands out of decisions, forgetting, operations) only when
 * `has_duty`.
 */
void cp_state_tick(struct cp_state *s, bool has_duty);

/*
 * Soft records wait from the next tick on, or do no more: the store has enough to write. However
 * long it takes, there is one of each key then.
 */
void cp_state_hold_back(struct cp_state *s, bool is_holding);

/* What is soft and not on its way yet leaves now, held back or not: before an end. */
void cp_state_flush(struct cp_state *s);

/* What is to be kept. */
struct cp_record {
    struct cp_record *next;
    uint16_t key_n;
    bool is_hard;    /* acknowledged only when durable */
    bool is_removal; /* the key is to go; there is no value */

    uint32_t value_n;
    char bytes[]; /* key, value */
};

struct el_str cp_record_key(const struct cp_record *r);
struct el_str cp_record_value(const struct cp_record *r);
/* The whole chain; NULL is fine. */
void cp_record_free(struct cp_record *r);

/* All records since the last time, oldest first, now the caller's; NULL: none. */
struct cp_record *cp_state_take(struct cp_state *s);

/*
 * A record out of a store. Bytes that are no such record are EL_EPROTO, and nothing has changed;
 * a key of a kind that this version does not know is EL_EUNSUPPORTED, and to be passed over. It
 * leaves no records. Events come of it as if the change had been made here, but not while loading.
 */
enum el_err cp_state_apply(struct cp_state *s, struct el_str key, struct el_str value,
                           bool is_removal, struct el_error *err);

/*
 * Around the reading of all records (at the start, or again after a store was away): what the state
 * has that was not among them is gone afterwards. Every node that was read is alive at that moment.
 */
void cp_state_load_begin(struct cp_state *s);
void cp_state_load_end(struct cp_state *s);

/*
 * Everything as records, as a new process would read them: backup, and a store that was emptied.
 * keep() must not call the state.
 */
void cp_state_dump(const struct cp_state *s,
                   void (*keep)(void *arg, struct el_str key, struct el_str value), void *arg);

/* Grows with every change of membership and of the index: E7's epoch. Never 0 once anybody is in.
 */
uint64_t cp_state_epoch(const struct cp_state *s);
/* The same for two that know the same nodes with the same chunks. */
uint64_t cp_state_digest(const struct cp_state *s);

/* Figures of GET /api/v1/metrics and /metrics. Counts are since the start of this process. */
struct cp_metrics {
    uint64_t total_nodes, active_nodes; /* known; neither suspect nor dead */
    uint64_t suspect_nodes, dead_nodes, draining_nodes;
    uint64_t lost_nodes;   /* alive, and out of reach from here */
    uint64_t total_chunks; /* that some node has */
    uint64_t locations;    /* node and chunk */
    uint64_t index_bytes;  /* memory of both directions of the index */
    uint64_t low_chunks;   /* with fewer copies than they should have, as of the last look */
    uint64_t total_heartbeats, total_chunk_reports, total_queries;
    uint64_t full_reports_asked; /* reports that did not fit what is known */
    uint64_t commands_issued, commands_done, commands_failed, commands_expired;
    uint64_t replication_decisions;
    uint64_t probes, probes_failed;
    uint64_t events;  /* number of the newest one */
    uint64_t records; /* that left for the store */
    /* Sums of what living nodes said last, each since that node's start. */
    uint64_t memory_used_mb, memory_capacity_mb, disk_used_mb, disk_capacity_mb;
    uint64_t bytes_memory, bytes_disk, bytes_peer, bytes_origin; /* given to clients */
    uint64_t origin_errors, active_connections;
    double upload_mbps, download_mbps;
    double hit_rate; /* mean of the nodes' */
};

void cp_state_metrics(const struct cp_state *s, struct cp_metrics *ret_metrics);
