/* SPDX-License-Identifier: MIT */
/*
 * cp_api: the JSON of docs/api.yaml as far as a node speaks it: what it says, and what it hears.
 * Pure. What is heard is bounded in every respect, and believed only as far as it has the right
 * form; what of it is for another node, or another cluster, is for the caller to see.
 *
 * What parsers return owns nothing but where a _deinit stands beside it. Every error is EL_EPROTO.
 */
#pragma once

#include "common/chunk_id.h"
#include "common/err.h"
#include "common/fields.h"
#include "discovery/gossip_wire.h"
#include "discovery/report.h"

#define DISC_CP_MAX_ID       128u
#define DISC_CP_MAX_TOKEN    1024u
#define DISC_CP_MAX_BODY     (8u * 1024u * 1024u)
#define DISC_CP_MAX_MEMBERS  16384u
#define DISC_CP_MAX_COMMANDS 256u
#define DISC_CP_MAX_PEERS    16u /* of a chunk */

/* ---- what a node says ---- */

/* Strings are borrowed. */
struct disc_cp_self {
    const char *node_id, *address, *name, *cluster, *zone, *version;
    const char *proof; /* that it is the node that had this id before; "": none */
    uint16_t p2p_port, http_port;
    uint64_t memory_capacity_mb, disk_capacity_mb;
    bool serves; /* others can connect to it */
};

void disc_cp_put_registration(struct el_buf *out, const struct disc_cp_self *self);

/* An object that is asked for much. */
#define DISC_CP_MAX_HOTTEST   16u
#define DISC_CP_MAX_DOWNLOADS 16u
#define DISC_CP_MAX_NAME      512u
struct disc_cp_hot {
    uint8_t object[EL_CHUNK_ID_OBJECT_BYTES];
    char name[DISC_CP_MAX_NAME + 1]; /* its URL without query; empty: not told */
    uint64_t bytes;
    double per_hour;
};

/* One that is being fetched. */
struct disc_cp_download {
    uint8_t object[EL_CHUNK_ID_OBJECT_BYTES];
    char name[DISC_CP_MAX_NAME + 1];
    uint64_t total_bytes, done_bytes, had_bytes; /* had: when it began */
    uint64_t elapsed_ms, rate_bytes_s;
    uint64_t bound_ms; /* what was missing when it began by the speed of the link; 0: not known */
};

/* One from which the node takes blocks: there is a link for asking it. */
#define DISC_CP_MAX_LINKS 16u
struct disc_cp_link {
    char node_id[DISC_CP_MAX_ID + 1];
    bool is_detour;        /* by way of its node API */
    uint64_t blocks;       /* taken from it since this node started */
    uint64_t rate_bytes_s; /* while something was awaited of it */
};

/* Which pushed configuration the node runs; "" in error: it runs it. */
#define DISC_CP_PENDING 48u
struct disc_cp_ran {
    uint64_t version; /* 0: none was taken */
    char error[160];
    char pending[DISC_CP_PENDING][64]; /* keys that count after the next start */
    size_t n_pending;
    uint64_t policy_version; /* the same of its policies */
    char policy_error[160];
};

struct disc_cp_beat {
    struct disc_cp_hot hottest[DISC_CP_MAX_HOTTEST];
    struct disc_cp_download downloads[DISC_CP_MAX_DOWNLOADS];
    struct disc_cp_link links[DISC_CP_MAX_LINKS];
    size_t n_hottest, n_downloads, n_links;
    bool is_ready, origin_ok;
    double memory_used_mb, disk_used_mb, hit_rate, upload_mbps, download_mbps;
    uint64_t connections, origin_errors;
    uint64_t memory_bytes, disk_bytes, peer_bytes, origin_bytes;
    const char *disk_state; /* static */
    uint64_t prefetch;      /* operation whose list it loads, or has loaded; 0: none */
    uint64_t prefetch_done, prefetch_failed;
    bool prefetch_is_over;
};

/* What stands in every heartbeat besides. */
struct disc_cp_beat_of {
    const char *node_id;
    bool is_leaving;
    uint64_t chunks, epoch, digest;
    int64_t wall_ms;
    const struct disc_cp_ran *ran;
};
void disc_cp_put_beat(struct el_buf *out, const struct disc_cp_beat_of *of,
                      const struct disc_cp_beat *b);
void disc_cp_put_report(struct el_buf *out, const struct disc_report_part *part);
void disc_cp_put_question(struct el_buf *out, const struct el_chunk_id *chunks, size_t n,
                          const char *zone);
void disc_cp_put_ack(struct el_buf *out, bool is_done, const char *message);

/* ---- what it hears ---- */

/* Of the probe. */
struct disc_cp_health {
    char cluster[DISC_CP_MAX_ID + 1];
    uint64_t epoch, uptime_s;
};
enum el_err disc_cp_health(struct el_str body, struct disc_cp_health *ret, struct el_error *err);

struct disc_cp_registered {
    char token[DISC_CP_MAX_TOKEN + 1];
    char cluster[DISC_CP_MAX_ID + 1];
    uint64_t interval_ms, epoch;
    uint64_t config_version, policy_version;
};
enum el_err disc_cp_registered(struct el_str body, struct disc_cp_registered *ret,
                               struct el_error *err);

/* The fields of the answer to a heartbeat; what is not there is 0. */
struct disc_cp_heard {
    uint64_t epoch, interval_ms, commands;
    uint64_t config_version, policy_version;
    uint64_t prefetch; /* operation whose list is this node's */
    bool wants_full;
};
void disc_cp_heard(struct el_fieldv fields, struct disc_cp_heard *ret);

/* An error's body; what is no such body is an error without text. */
struct disc_cp_refusal {
    char text[160];
    bool wants_full;
    uint64_t epoch; /* beside wants_full: of what the service holds */
};
void disc_cp_refusal(struct el_str body, struct disc_cp_refusal *ret);

struct disc_cp_member {
    char node_id[DISC_CP_MAX_ID + 1];
    char address[DISC_MAX_HOST + 1];
    uint16_t p2p_port, http_port;
    bool is_live, serves;
};
struct disc_cp_members {
    struct disc_cp_member *v; /* owned */
    size_t n;
    uint64_t total; /* in the cluster, as the service says; at least n */
};
void disc_cp_members_deinit(struct disc_cp_members *m);
/* Of GET /api/v1/nodes. Members beyond the limit are left out. */
enum el_err disc_cp_nodes(struct el_str body, struct disc_cp_members *ret, struct el_error *err);
/* Of GET /api/v1/peers/seeds. */
enum el_err disc_cp_seeds(struct el_str body, struct disc_cp_members *ret, struct el_error *err);

enum disc_cp_action { DISC_CP_REPLICATE, DISC_CP_EVICT, DISC_CP_MIGRATE };

struct disc_cp_command {
    char id[DISC_CP_MAX_ID + 1];
    enum disc_cp_action action;
    struct el_chunk_id chunk;
    char source[DISC_CP_MAX_ID + 1]; /* node ids; empty: not said */
    char target[DISC_CP_MAX_ID + 1];
    /* Who has the chunk, as far as the service knows; asked before it is carried out. */
    char peers[DISC_CP_MAX_PEERS][DISC_CP_MAX_ID + 1];
    size_t n_peers;
};
struct disc_cp_commands {
    struct disc_cp_command *v; /* owned */
    size_t n;
};
void disc_cp_commands_deinit(struct disc_cp_commands *c);
enum el_err disc_cp_commands(struct el_str body, struct disc_cp_commands *ret,
                             struct el_error *err);

/* Who has a chunk, as far as the service knows. */
struct disc_cp_holders {
    struct el_chunk_id chunk;
    char node_ids[DISC_CP_MAX_PEERS][DISC_CP_MAX_ID + 1];
    size_t n;
};
/* That node has the chunk; the id is one, and borrowed. */
typedef void disc_cp_located(void *arg, const struct el_chunk_id *chunk, struct el_str node_id);
/* The answer to a question about at most n chunks: calls for each node of each chunk. After an
 * error some of them were called for. */
enum el_err disc_cp_locations(struct el_str body, size_t n, disc_cp_located *each, void *arg,
                              struct el_error *err);

struct disc_cp_hydration {
    char cluster[DISC_CP_MAX_ID + 1];
    uint64_t epoch, interval_ms;
    uint64_t config_version, policy_version;
    bool wants_full;
    struct disc_cp_members members; /* total: with this node */
    struct disc_cp_commands commands;
};
void disc_cp_hydration_deinit(struct disc_cp_hydration *h);
enum el_err disc_cp_hydration(struct el_str body, struct disc_cp_hydration *ret,
                              struct el_error *err);

/* What a control plane says of how nodes work: all of it, or policies by prefix. Each has versions
 * of its own. */
enum disc_cp_part { DISC_CP_KEYS, DISC_CP_BY_PREFIX, DISC_CP_PARTS };

/* Of GET /api/v1/config and /api/v1/policies. */
struct disc_cp_settings {
    enum disc_cp_part part;
    uint64_t version;
    struct el_buf lines; /* owned; as el_conf_load_pushed() takes them */
    char error[160];     /* "": it could be read */
};
enum el_err disc_cp_settings(struct el_str body, enum disc_cp_part part,
                             struct disc_cp_settings *ret, struct el_error *err);

/* 1 to 128 letters, digits, '.', '_', '-', ':'. */
bool disc_cp_id_ok(struct el_str id);
