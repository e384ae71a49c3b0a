/* SPDX-License-Identifier: MIT */
/*
 * p2p: this node among the others: it knows who they are, takes blocks from them, gives them its
 * own, and keeps its part of what the cluster knows about who has what (the tracker's role).
 *
 *   cache ---- missing bytes (source) ---> p2p ---- what no peer has ---> origin (another source)
 *         ---- a url nobody here knows (finder) --->
 *         ---- a block is whole (listener) --->
 *
 * One thread, the *engine*, decides everything and owns everything here; net threads (net.h) move
 * bytes. What decides is pure: discovery/members.h, tracker.h, swarm.h, upload.h.
 *
 * A cluster of one, or a node whose peers are all gone or too few (company.h), costs nothing: what
 * is asked of it goes to the origin at once.
 */
#pragma once

#include "cache/cache.h"
#include "common/json.h"

struct p2p;
struct disc_cp;
struct disc_cp_beat;
struct disc_cp_prefetch;

/*
 * What a node asks the origin for before it knows the version: it reads that alone. Little enough
 * that it keeps nobody waiting who reads his share of the rest meanwhile.
 */
#define P2P_FIRST_BYTES (4 * CACHE_BLOCK_BYTES)

/* Strings are borrowed until p2p_run() returns. */
#define P2P_HTTP_PATH  "/api/v1/p2p"
#define P2P_HTTP_TOKEN "eliop2p"

struct p2p_conf {
    const char *state_dir;
    const char *name, *cluster, *zone;
    const char *bind_address;                /* numeric */
    const char *advertise_address;           /* numeric; "": found out */
    uint16_t port;                           /* 0: any free one */
    struct el_str secret;                    /* of the cluster; empty: links are plain */
    const char *tls_cert, *tls_key, *tls_ca; /* files, instead of a secret; "": none */
    bool is_outbound_only;                   /* nobody can connect here: it opens no port */
    const char *mode, *seeds, *file;         /* disc_sources of discovery.h */
    struct disc_cp *control_plane; /* NULL: none; runs with this; borrowed until p2p_free() */
    /* What heartbeats say of the node; on another thread. */
    void (*measure)(void *arg, struct disc_cp_beat *ret);
    /* On the same thread, with the same arg: disc_cp_node of discovery.h. NULL: nobody loads it. */
    void (*prefetch)(void *arg, const struct disc_cp_prefetch *prefetch);
    unsigned max_peers, k;
    size_t min_peers;                  /* company.h; 0: any other counts */
    uint64_t upload_bps, download_bps; /* bytes a second; 0: no limit */
    size_t max_chunks;                 /* of so many the hashes are in memory */
    uint64_t max_manifest_bytes;       /* those of all that is here, in state_dir */
    uint64_t tracker_bytes;            /* of memory, for what others ask of this node; 0: 256 MiB */
    struct cache_source *origin;       /* borrowed until p2p_free() */
    struct el_clock *clock;            /* the same */
    struct el_metrics *metrics;        /* the same */
};

/*
 * Its source, listener and finder are there at once; nothing happens before p2p_run().
 * EL_ECONF: a key, a name or a seed is not as it has to be.
 */
enum el_err p2p_new(const struct p2p_conf *conf, struct p2p **ret_p, struct el_error *err);
/* For cache_conf; valid until p2p_free(). */
struct cache_source *p2p_source(struct p2p *p);
struct cache_listener *p2p_listener(struct p2p *p);
struct cache_finder *p2p_finder(struct p2p *p);
/*
 * From now on it works for this cache, borrowed until p2p_stop() returns, as is what conf.measure
 * is given. http_port: of the node API, for others to know. After an error p2p_stop() and
 * p2p_free() all the same.
 */
enum el_err p2p_run(struct p2p *p, struct cache *cache, void *measure_arg, uint16_t http_port,
                    struct el_error *err);
/*
 * Says good-bye to the others, ends every transfer and every fill (EL_ESHUTDOWN), and waits for it.
 * Before the cache and the origin's source go. Fills that come later go to the origin.
 */
void p2p_stop(struct p2p *p);
void p2p_free(struct p2p *p); /* stopped; after cache_close(); NULL is fine */

/*
 * Peers that cannot reach the port come by the node API: GET P2P_HTTP_PATH with
 * `Upgrade: P2P_HTTP_TOKEN`. Whether one from this or another machine may; only as long as
 * p2p_run() works. Thread: any.
 */
bool p2p_takes_links(struct p2p *p, bool is_local);
/* Its socket, after the 101; taken. Thread: any, but not once p2p_stop() is called. */
void p2p_take_link(struct p2p *p, int fd);

uint16_t p2p_port(const struct p2p *p);
void p2p_set_rates(struct p2p *p, uint64_t upload_bps, uint64_t download_bps);
/* How many members live, this one included. Thread: any. */
size_t p2p_cluster_size(struct p2p *p);
/* False: the origin is asked for all, whoever else is there. Thread: any. */
bool p2p_asks_others(struct p2p *p);
/* When another was last taken for dead, monotonic; 0: none was. One that leaves is not. */
uint64_t p2p_lost_ms(struct p2p *p);
/* Bytes taken from peers and given to them since the start. Thread: any. */
void p2p_moved(struct p2p *p, uint64_t *ret_in, uint64_t *ret_out);
/*
 * Objects that are asked for most and downloads that run, as heartbeats tell of them. Those that
 * others may not have are left out. Thread: any, while p2p_run() works.
 */
void p2p_tell_objects(struct p2p *p, struct disc_cp_beat *beat);
/* The links over which blocks are taken, most blocks first. Thread: any. */
void p2p_tell_links(struct p2p *p, struct disc_cp_beat *beat);
/* Adds peers and p2p to the object of the status. Thread: any. */
void p2p_status(struct p2p *p, json_t *status);
/*
 * Adds {name, bytes} to the list for each peer that gave something of the version when it was
 * fetched last. Thread: any.
 */
void p2p_peers_that_gave(struct p2p *p, const uint8_t version[16], json_t *list);
/*
 * By whom others may join, as the text of a JSON list: living members that can be reached, this
 * node included. Thread: any.
 */
void p2p_seeds(struct p2p *p, struct el_buf *out);
