/* SPDX-License-Identifier: MIT */
/*
 * nodes: who is in the cluster. A node registers, gets a token, and beats; how long ago it did so,
 * by this machine's clock, is its life:
 *
 *   joining --beat--> active --3 missed--> suspect --dead_ms--> dead --forget_ms--> (forgotten)
 *                       ^------------------beat-----------------'
 *
 * Draining is what an operator wants of it, whatever its life: it keeps serving, gets no more
 * copies, and what only it has is copied away. Thread: cp_state's.
 */
#pragma once

#include "common/sha256.h"
#include "controlplane/state.h"

enum cp_life { CP_JOINING, CP_ACTIVE, CP_SUSPECT, CP_DEAD };
enum cp_disk { CP_DISK_NORMAL, CP_DISK_DEGRADED, CP_DISK_DOWN, CP_DISK_NONE };

#define CP_LABELS_MAX    4096u /* bytes of JSON text */
#define CP_DOWNLOADS_MAX 8192u
#define CP_RUNS_MAX      5120u
#define CP_LINKS_MAX     4096u
#define CP_HOTTEST_MAX   32u

/* A node that downloads is asked to beat so often, while there are so many nodes at most. */
#define CP_QUICK_BEAT_MS     2000u
#define CP_QUICK_BEATS_NODES 256u

/* What a node says of itself when it registers. */
struct cp_card {
    char node_id[CP_ID_MAX + 1]; /* letters, digits, "._:-" */
    char address[CP_HOST_MAX + 1];
    uint16_t p2p_port, http_port; /* 0: not reached this way */
    uint64_t memory_capacity_mb, disk_capacity_mb;
    char name[CP_ID_MAX + 1]; /* may be empty, as those below */
    char zone[CP_ID_MAX + 1];
    char region[CP_ID_MAX + 1];
    char version[CP_ID_MAX + 1]; /* of its software */
    bool is_anchor;              /* a good seed for others */
    bool serves; /* false: nobody can connect to it, so it is never named as a holder */
    bool has_proof;
    struct el_digest proof; /* of what the node, and nobody else, can say again; see below */
    struct el_str labels;   /* JSON text; the state keeps its own copy. Empty: none */
};

struct cp_hot {
    uint8_t object[EL_CHUNK_ID_OBJECT_BYTES];
    double accesses_per_hour;
    uint64_t bytes; /* of the object; 0: not said */
};

/* What it says while it lives. What is not finite or is negative counts as 0. */
struct cp_beat {
    bool is_online; /* false: it is about to leave; suspect at once */
    bool is_ready;
    double memory_used_mb, disk_used_mb, cache_hit_rate, upload_speed_mbps, download_speed_mbps;
    uint64_t total_chunks, active_connections;
    int64_t timestamp_ms;                                        /* its own clock; 0: not said */
    uint64_t bytes_memory, bytes_disk, bytes_peer, bytes_origin; /* since its start */
    uint64_t origin_errors;                                      /* since its start */
    bool is_origin_failing;
    enum cp_disk disk;
    bool has_report; /* where its reports of chunks stand, to find out that one was lost */
    uint64_t report_epoch, report_digest;
    const struct cp_hot *hottest; /* for the call only; in views NULL */
    size_t hottest_n;             /* at most CP_HOTTEST_MAX */
    struct el_str downloads;      /* JSON text, handed on as it is; the state keeps its own copy */
    uint64_t prefetch;            /* operation whose list it loads, or has loaded; 0: none */
    uint64_t prefetch_done, prefetch_failed; /* URLs of it */
    bool prefetch_is_over;
    struct el_str runs;  /* as downloads: which configuration it runs, and what of it waits */
    struct el_str links; /* the same: from whom it takes blocks */
};

/* What it should know then. */
struct cp_beat_answer {
    bool is_full_report_wanted;
    uint32_t commands;                       /* that wait for it */
    uint64_t config_version, policy_version; /* 0: there is none */
    uint64_t prefetch;                       /* the same; an operation */
    uint64_t report_epoch, report_digest;    /* of what is known of its chunks; 0: nothing */
    const struct cp_node *node;
    uint32_t beat_ms; /* until the next one */
};

/* View. What asking it has shown (reach.h). */
struct cp_reach {
    int64_t wall_ms;   /* when the last question was over; 0: there was none */
    uint32_t ms;       /* how long that took */
    uint32_t failures; /* in a row */
    bool is_well;      /* it was answered */
    bool is_lost;      /* too many failures in a row: it is out of reach from here */
};

/* View. */
struct cp_node {
    struct cp_card card;
    struct cp_beat beat; /* zeros before the first */
    struct cp_reach reach;
    enum cp_life life;
    bool is_draining;
    bool is_relay;    /* an operator has said so: it may fetch for its zone and bridge to others */
    uint16_t number;  /* dense, this process's own, reused once it is forgotten */
    uint64_t seen_ms; /* mono: the last beat or registration */
    int64_t seen_wall_ms; /* the same for people */
    int64_t registered_wall_ms;
    int64_t clock_skew_ms; /* its clock minus ours at the last beat; 0: not said */
    uint64_t chunks;       /* it has, by its reports */
    uint64_t digest;       /* of them (el_chunk_id_digest) */
    uint64_t report_epoch; /* of the last report that was taken; 0: none, or it had none */
    uint8_t health;        /* 0..100 */
};

/*
 * Puts it in, or renews what is known of it: the same id again is the same node (its chunks and
 * draining stay). EL_EINVAL names the field; EL_EFULL: CP_NODES_MAX are there. Hard.
 */
enum el_err cp_node_register(struct cp_state *s, const struct cp_card *card,
                             const struct cp_node **ret_node, struct el_error *err);

/*
 * Whether somebody who may register any node may register this one: an id that was registered with
 * a proof is taken until it is forgotten, and only the same proof shows that it is the same node.
 * EL_ECONFLICT.
 */
enum el_err cp_node_check_proof(const struct cp_state *s, const struct cp_card *card,
                                struct el_error *err);

/* EL_ENOTFOUND: it has to register. Soft. */
enum el_err cp_node_beat(struct cp_state *s, struct el_str node_id, const struct cp_beat *beat,
                         struct cp_beat_answer *ret_answer, struct el_error *err);

/* Leaves now: node, chunks, commands, memberships. EL_ENOTFOUND. Hard. */
enum el_err cp_node_remove(struct cp_state *s, struct el_str node_id, struct el_error *err);

/* EL_ENOTFOUND. Hard. Progress of the whole is an operation (operations.h), which calls this. */
enum el_err cp_node_drain(struct cp_state *s, struct el_str node_id, bool is_draining,
                          struct el_error *err);

/* EL_ENOTFOUND. Hard. */
enum el_err cp_node_relay(struct cp_state *s, struct el_str node_id, bool is_relay,
                          struct el_error *err);

/* NULL: unknown. */
const struct cp_node *cp_node_get(const struct cp_state *s, struct el_str node_id);
/*
 * All of them, in no order: start with *cursor = 0, until NULL. Cursors survive changes: who was
 * there all the time is met.
 */
const struct cp_node *cp_node_next(const struct cp_state *s, uint32_t *cursor);
size_t cp_node_count(const struct cp_state *s);

/* Active or joining. */
bool cp_node_is_alive(const struct cp_node *n);
/* "joining", "active", "suspect", "draining" (alive and draining), "dead". */
const char *cp_node_status(const struct cp_node *n);
/* "normal", "degraded", "down", "none" */
const char *cp_disk_name(enum cp_disk disk);
bool cp_disk_parse(struct el_str name, enum cp_disk *ret_disk);

/* Letters, digits and "._:-", 1..CP_ID_MAX of them: node ids, zones, groups. */
bool cp_name_is_valid(struct el_str name);

/*
 * Up to `max` living nodes to begin with, for a node in `zone` (empty: none): those of
 * the zone, anchors and relays of them first, then those of others likewise, best health first.
 * Returns how many, at most 256.
 */
size_t cp_node_seeds(const struct cp_state *s, struct el_str zone, const struct cp_node **ret,
                     size_t max);
/* Up to `max` that others can connect to, in the order of their numbers from one by chance on; not
 * `but`. Returns how many. */
size_t cp_node_sample(struct cp_state *s, const struct cp_node *but, const struct cp_node **ret,
                      size_t max);

struct cp_zone {
    char name[CP_ID_MAX + 1]; /* empty: nodes that name none */
    uint32_t nodes, alive, relays;
    uint64_t bytes_peer, bytes_origin;
};

/* The zones there are, by name; at most `max`. Returns how many. */
size_t cp_zones(const struct cp_state *s, struct cp_zone *ret, size_t max);
