/* SPDX-License-Identifier: MIT */
/*
 * engine: the parts of the engine and what they share, private to p2p.
 *
 *   p2p.c      the thread, its ticks, start and end
 *   peers.c    links and members: who is there, frames to whom they concern
 *   direct.c   from links by way of node APIs back to the ports of peers
 *   call.c     questions to trackers, and those that others put to this one
 *   fetch*.c   the cache's fills as downloads: moves of the swarm carried out (fetch.h)
 *   arrive.c   blocks that come in: memory for them, and their judgement
 *   give.c     blocks that go out, manifests and Haves
 *   find.c     object records: what others know of a url; what the cache tells
 *   announce.c whole chunks that trackers are told of, and the control plane
 *   orders.c   commands of the control plane
 *   second.c   who has a chunk, asked of the control plane where no tracker answers
 *   status.c   how all that looks from outside
 *   gave.h     which peers gave what, for people
 *   vouch.h    hashes and who has signed them
 *
 * Everything belongs to the engine's thread unless a field says otherwise. Lock order: remote ->
 * shard of the cache; feeds -> message queue; heard -> message queue.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "discovery/discovery.h"
#include "p2p/gave.h"
#include "p2p/identity.h"
#include "p2p/named.h"
#include "p2p/net.h"
#include "p2p/p2p.h"
#include "p2p/swarm.h"
#include "p2p/tracker.h"
#include "p2p/upload.h"
#include "p2p/vouch.h"

#define P2P_TABLE      256u /* buckets */
#define P2P_TOLD_TABLE 4096u

/* Another node, by the hash of its id: as long as it is a member or has a link. */
struct p2p_node {
    struct p2p_node *next; /* in its bucket */
    uint64_t hash;
    struct p2p_remote *asking;   /* the link by which this node asks it; NULL: none is up */
    struct el_list remotes;      /* all its links that are up */
    struct p2p_link *connecting; /* NULL: no attempt is running */
    struct el_buf waiting;       /* frames for when it is up */
    struct p2p_remote *served;   /* by which it asks us; NULL: it has not */
    uint64_t shunned_until;      /* it could not be reached, or its link broke */
    uint64_t direct_due_ms;      /* `asking` is by way of its node API: when its port is tried */
    unsigned failures;           /* of this kind, one after another */
    uint64_t owes_ms;            /* when it was asked as a tracker, and has not answered; or 0 */
    bool is_cut;                 /* its last link was cut, and the attempt that tells why runs */
    uint64_t announced_ms;       /* when chunks were last announced to it; 0: never */
    uint64_t trusted_ms;         /* when the membership last said that it lives again */
};

struct p2p_told_of; /* give.c */

/* A link that is up. */
struct p2p_remote {
    struct el_list link_of_node;
    struct p2p *p;
    struct p2p_node *node;
    struct p2p_link *link;
    uint64_t up_ms;      /* since when */
    struct el_list told; /* give.c: what it was told of chunks, longest ago first */
    size_t n_told;
    struct el_list gives;   /* give.c: blocks that are being sent to it */
    struct el_list loads;   /* give.c: what it asked for that is being loaded from disk */
    struct el_list cancels; /* fetch_move.c: Cancels without their Ack */
    /* arrive.c */
    uint64_t sampled_ms, sampled_bytes, rate; /* of what comes */
    uint64_t moved_ms;                        /* the last time that something had */
    struct el_msg msg;
    pthread_mutex_t mtx;
    struct el_list expects, arrived; /* under mtx */
    struct el_list unsigned_blocks;  /* the engine's: arrived, and no manifest has their hash yet */
};

/* An attempt to reach somebody, until its link is up. */
struct p2p_attempt {
    struct p2p *p;
    struct p2p_node *node; /* NULL: only its address is known */
    char *address;         /* "host:port" as gossip names it; NULL: a node */
    uint64_t began_ms;
    struct el_buf waiting; /* of an address */
    struct el_list link;   /* in p->attempts */
    bool is_up;            /* it has become a remote, or went to somebody known already */
};

/* A version that is being fetched for readers here. */
struct p2p_fetch {
    struct p2p_fetch *next; /* in its bucket */
    struct p2p *p;
    struct cache_object *object; /* referenced */
    struct el_chunk_id id;       /* of chunk 0 */
    struct p2p_download *download;
    struct el_list feeds, runs;
    unsigned n_calls; /* LOCATEs without their answer */
    bool owes_record; /* its record goes out once the tracker knows what this node reads of it */
    struct el_error failure;
    bool is_gone;  /* the origin has another version, so only peers can give this one */
    bool is_exact; /* only one signed range can be read at a time */
    /* progress.c */
    uint64_t began_ms, had_bytes;    /* when it began, and what was here then */
    uint64_t came_bytes, seen_bytes; /* since then, in blocks; at the last look */
    uint64_t rate;                   /* bytes a second between the last two */
};

struct p2p {
    /* immutable once it runs */
    struct p2p_identity identity;
    char proof[P2P_ID_CHARS + 1]; /* of it, to the control plane */
    char name[P2P_MAX_NAME + 1], cluster[P2P_MAX_NAME + 1], zone[P2P_MAX_NAME + 1];
    char host[DISC_MAX_HOST + 1];
    uint16_t port, http_port;
    bool is_tls, is_loopback; /* the port is for this machine only */
    bool is_outbound_only;
    uint64_t self;        /* disc_id_hash() of its id */
    struct p2p_conf conf; /* its strings until it runs */
    struct cache_source source, *origin;
    struct cache_listener listener;
    struct cache_finder finder;
    struct cache *cache;
    struct disc_cp *cp; /* NULL: there is no control plane */
    struct el_clock *clock;
    struct el_metrics *metrics;
    struct el_msgq *queue;
    pthread_t thread;
    bool has_thread;

    _Atomic bool is_running; /* fills come here, not to the origin */
    _Atomic bool is_stopping;
    _Atomic bool asks_others; /* company.h */
    _Atomic size_t n_live;
    _Atomic uint64_t lost_ms; /* when another was last taken for dead; 0: never */

    /* the engine's */
    struct el_rng rng;
    struct p2p_net *net;
    bool net_is_closing, net_is_closed;
    struct el_list attempts;
    struct p2p_node *nodes[P2P_TABLE];
    uint64_t usual_rate; /* of links on which blocks come, a moment ago; 0: there were none */
    struct disc_cards *cards;
    struct disc_members *members;
    struct disc_providers providers;
    uint64_t seeds_due_ms, complain_due_ms;
    uint64_t *live; /* hashes of those who serve, for rendezvous */
    size_t n_serving, live_cap;
    uint64_t live_version;
    struct p2p_swarm *swarm;
    struct p2p_upload *upload;
    struct p2p_tracker *tracker;
    struct p2p_vouch *vouch;
    struct p2p_fetch *fetches[P2P_TABLE];
    size_t n_fetches;
    struct el_list calls;
    uint32_t next_call;
    uint64_t lead_due_ms, look_due_ms, status_due_ms;
    struct el_msg stop;
    uint64_t stop_due_ms; /* when the good-byes have had their time; 0: it does not stop */
    struct p2p_told_of *told[P2P_TOLD_TABLE]; /* give.c: by chunk */
    size_t n_gives, n_loads;
    struct el_list streams;   /* give_stream.c: those that are not whole yet */
    struct el_list leads;     /* find.c: URLs that this node asks the origin about for all */
    struct el_list announces; /* announce.c: whole chunks that trackers are still to be told of */
    uint64_t announce_due_ms;
    struct cache_walk walk; /* over all that is here, to announce it */
    bool is_walking, walks_more;
    uint64_t walk_due_ms;
    /* the walk's while there is one */
    bool walk_is_full;          /* there was no room for what it met last */
    size_t walk_met, walk_from; /* chunks that count; so many were told by the one before */
    bool is_sweeping;           /* what it does not meet goes from the store of manifests */
    uint64_t sweep_due_ms;      /* when the next walk is one that sweeps */
    uint64_t walked_version;    /* of the members */
    uint64_t changed_ms;        /* when they last changed */
    bool is_echo;               /* what the cache tells now is what another node has said */
    struct el_list awaiting;    /* find.c: blocks whose chunk's hashes are being read */
    size_t n_awaiting;
    struct el_list orders; /* orders.c: those that are being carried out */

    struct p2p_named named; /* second.c */

    struct p2p_gave *gave; /* any thread's */

    /* what other threads say */
    pthread_mutex_t feeds_mtx; /* which feed a fill has */
    pthread_mutex_t heard_mtx;
    struct el_list heard; /* under heard_mtx: what the cache has told */
    size_t n_heard;       /* the same */
    bool has_missed;      /* the same: there was no room for something */
    struct el_msg heard_msg;
    struct el_list ordered; /* under heard_mtx: commands that have come */
    struct el_msg ordered_msg;
    struct el_list second; /* under heard_mtx: answers of the control plane */
    struct el_msg second_msg;

    pthread_mutex_t status_mtx;
    struct el_buf peers_json, seeds_json, p2p_json; /* under status_mtx: made anew once a second */
    struct disc_cp_download *downloads;             /* the same; owned; NULL: none yet */
    struct disc_cp_link links[DISC_CP_MAX_LINKS];   /* the same */
    size_t n_downloads, n_links;                    /* the same */
    struct {
        uint64_t from_ms; /* the next one is logged */
        unsigned n;
    } unsaid;                      /* manifests that were refused since the last line about one */
    uint64_t progress_ms, fastest; /* progress.c: the last look; the best bytes a second */

    struct {
        struct el_counter *blocks_in, *blocks_out, *bytes_in, *bytes_out, *bad, *dropped;
        struct el_counter *reasons[3];
        struct el_counter *orders[3]; /* by enum disc_cp_outcome */
        struct el_counter *finds_known, *finds_asked, *calls, *calls_failed, *announced, *heard;
        struct el_counter *second_asked, *second_known;
        struct el_counter *tracker_gave_up;
        struct el_gauge *unwell;
    } count;
};

static inline uint64_t p2p_now(struct p2p *p)
{
    return el_clock_mono_ms(p->clock);
}

/* Somebody else can be asked. */
static inline bool p2p_has_company(const struct p2p *p)
{
    return p->n_serving > (p->is_outbound_only ? 0 : 1);
}

/* ---- p2p.c ---- */

/* After every event: what the cores want done now is done. */
void p2p_pump(struct p2p *p);

/* ---- status.c ---- */

void p2p_status_make(struct p2p *p);

/* ---- progress.c ---- */

/* Once a second. */
void p2p_progress_look(struct p2p *p);
/* It begins. */
void p2p_progress_begin(struct p2p_fetch *f);

/* ---- peers.c ---- */

extern const struct p2p_net_ops p2p_net_ops_of_engine;

enum el_err p2p_peers_start(struct p2p *p, const struct p2p_conf *conf, struct el_error *err);
void p2p_peers_tick(struct p2p *p);
void p2p_peers_pump(struct p2p *p); /* messages and events of the membership */
void p2p_peers_leave(struct p2p *p);
void p2p_peers_free(struct p2p *p);
struct p2p_node *p2p_node_find(struct p2p *p, uint64_t hash);
/* Connects unless it is done or under way; the swarm hears how it ends. */
void p2p_node_connect(struct p2p *p, uint64_t hash);
/* Frames to the node, when it is up at the latest. False: it cannot be reached. Takes *frames. */
bool p2p_node_send(struct p2p *p, uint64_t hash, struct el_buf *frames);
/* The version of the frames on its link; 1 before it is up. */
uint32_t p2p_node_version(struct p2p *p, uint64_t hash);
/* The link for what is short: one on which no blocks of ours go out, if there is one; NULL: none.
 */
struct p2p_remote *p2p_node_remote(struct p2p_node *n);
/* By that link. */
void p2p_remote_send(struct p2p_remote *r, struct el_buf *frames);
uint32_t p2p_remote_version(const struct p2p_remote *r);
/* Lately it could not be reached, or it does not answer: its backups are asked. */
bool p2p_is_shunned(struct p2p *p, uint64_t hash);
/* When the answer that it owes as a tracker could first have come; 0: it owes none, or there is no
 * link to it. */
uint64_t p2p_node_owes_ms(struct p2p *p, uint64_t hash);
uint64_t p2p_hash_of(const struct el_digest *fingerprint); /* of its id */
/* is_member of the tracker's conf; arg is the p2p. */
bool p2p_is_member(void *arg, uint64_t hash, uint64_t *ret_zone);
/* Who answers for the key: the owner, or a backup for attempt 1 and 2; 0: nobody. */
uint64_t p2p_owner(struct p2p *p, const uint8_t key[DISC_KEY_BYTES], unsigned attempt);
/* All of them at once. */
size_t p2p_owners(struct p2p *p, const uint8_t key[DISC_KEY_BYTES], uint64_t ret[DISC_OWNERS]);

/* The same, whether there is a link or not, and only at its own port. */
void p2p_node_try_port(struct p2p *p, struct p2p_node *n);
/* From now on it is asked over r. */
void p2p_node_ask_over(struct p2p *p, struct p2p_node *n, struct p2p_remote *r);

/* ---- direct.c ---- */

/* It is this node that has made it, by way of the other's node API. */
bool p2p_is_detour(const struct p2p_remote *r);
void p2p_direct_up(struct p2p *p, struct p2p_node *n, struct p2p_remote *r);
void p2p_direct_tick(struct p2p *p);

/* ---- call.c ---- */

struct p2p_call;
/*
 * `body` is the answer of that node, empty with an error; borrowed. Exactly once for each call,
 * never from inside p2p_call_ask().
 */
typedef void p2p_on_answer(struct p2p *p, void *arg, uint64_t node, struct el_str body,
                           enum el_err code);
/* Asks the tracker for the key: its owner (attempt 0), then its backups, each for at most ms. Takes
 * *body. */
void p2p_call_ask(struct p2p *p, const uint8_t key[DISC_KEY_BYTES], unsigned attempt, uint32_t type,
                  struct el_buf *body, uint64_t ms, p2p_on_answer *on_answer, void *arg);
/* Tells its owner and backups something: no answer. */
void p2p_call_tell(struct p2p *p, const uint8_t key[DISC_KEY_BYTES], uint32_t type,
                   struct el_buf *body);
/* Tells a node something. */
void p2p_call_say(struct p2p *p, uint64_t node, uint32_t type, struct el_str body);
void p2p_call_frame(struct p2p_remote *r, const struct p2p_frame *f);
void p2p_call_refused(struct p2p_remote *r, uint32_t sequence);
void p2p_call_link_down(struct p2p *p, uint64_t node);
void p2p_call_tick(struct p2p *p);
uint64_t p2p_call_due_ms(const struct p2p *p);
void p2p_call_stop(struct p2p *p);

/* ---- fetch.h ---- */

extern const struct cache_source_ops p2p_source_ops;

void p2p_fetch_pump(struct p2p *p); /* the swarm's moves */
void p2p_fetch_block(struct p2p *p, const struct el_chunk_id *chunk, uint64_t number);
/* A reader waits for the block. */
bool p2p_fetch_is_urgent(struct p2p *p, const struct el_chunk_id *chunk, uint64_t number);
/* What this node has begun to read of the object before it asked anybody: others are told so. */
void p2p_fetch_adopt(struct p2p *p, struct cache_object *o);
void p2p_fetch_have(struct p2p_remote *r, const struct p2p_frame *f);
void p2p_fetch_error(struct p2p_remote *r, const struct el_chunk_id *chunk,
                     const struct p2p_refusal *refusal);
void p2p_fetch_ack(struct p2p_remote *r, const struct p2p_frame *f);
void p2p_fetch_manifest(struct p2p_remote *r, const struct p2p_frame *f);
void p2p_fetch_remote_down(struct p2p_remote *r);
void p2p_fetch_tick(struct p2p *p);
void p2p_fetch_tick_leads(struct p2p *p); /* each P2P_LEAD_LOOK_MS while streams go out */
/* Something that the cache has told was not heard: what is here is looked at again. */
void p2p_fetch_missed(struct p2p *p);
void p2p_fetch_stop(struct p2p *p);
bool p2p_fetch_is_idle(const struct p2p *p);
struct p2p_fetch *p2p_fetch_find(struct p2p *p, const uint8_t version[16]);
/* A block from a peer has been given to the cache: what the cache tells of it comes later, and
 * until then it would be asked for again. */
void p2p_fetch_put(struct p2p *p, const struct el_chunk_id *chunk, uint64_t number);
/* Blocks of the chunk that a run here was to read and will not: it ends in front of them. */
uint32_t p2p_fetch_stopped(struct p2p *p, const struct el_chunk_id *chunk);
/* Some block of the chunk is here no longer. */
void p2p_fetch_lost(struct p2p_fetch *f, uint64_t chunk);

/* ---- arrive.c ---- */

void p2p_arrive_init(struct p2p_remote *r);
void p2p_arrive_deinit(struct p2p_remote *r);
/* For the fill, of which a reference is taken; NULL: nobody wants it any more. */
void p2p_arrive_expect(struct p2p_remote *r, const struct el_chunk_id *chunk, uint32_t block,
                       struct cache_fill *fill, bool is_stream);
/* Manifests have come: blocks that waited for one are looked at again. */
void p2p_arrive_signed(struct p2p_remote *r);
/* They are not waited for any more: what of them is just coming keeps nobody from bringing them. */
void p2p_arrive_strand(struct p2p_remote *r, const struct el_chunk_id *chunk,
                       struct p2p_blocks blocks);
/* These do not come. */
void p2p_arrive_forget(struct p2p_remote *r, const struct el_chunk_id *chunk,
                       struct p2p_blocks blocks);
/* Rates of links on which blocks come, bytes a second. */
struct p2p_arrivals {
    uint64_t sum, n;
};
/* Ends the link when a block that has begun stands still, or is far slower than p->usual_rate. Its
 * rate is added to `all'. */
void p2p_arrive_look(struct p2p_remote *r, struct p2p_arrivals *all);
void *p2p_arrive_place(void *arg, struct p2p_link *link, const struct el_chunk_id *chunk,
                       uint32_t n);
void p2p_arrive_block(void *arg, struct p2p_link *link, const struct p2p_frame *f);
void p2p_arrive_unplaced(void *arg, struct p2p_link *link, const struct el_chunk_id *chunk,
                         void *mem);

/* ---- give.c ---- */

void p2p_give_request(struct p2p_remote *r, const struct p2p_frame *f);
void p2p_give_cancel(struct p2p_remote *r, const struct p2p_frame *f);
void p2p_give_block(struct p2p *p, struct cache_object *o, const struct el_chunk_id *chunk);
void p2p_give_pump(struct p2p *p);
void p2p_give_remote_down(struct p2p_remote *r);
bool p2p_give_is_idle(const struct p2p *p);

/* ---- give_stream.c ---- */

/* Some of the block has been passed on, and not all of it yet. */
bool p2p_stream_has_begun(struct p2p *p, const uint8_t version[16], uint64_t block);
/* Those that stand still end. */
void p2p_stream_tick(struct p2p *p);

/* ---- announce.c ---- */

/* Soon. */
void p2p_announce(struct p2p *p, const struct el_chunk_id *chunk, bool is_gone);
void p2p_announce_tick(struct p2p *p);
void p2p_announce_deinit(struct p2p *p);

/* ---- orders.c ---- */

void p2p_orders_init(struct p2p *p);
/* A command: its outcome is told once it is over. Thread: any. arg: the engine. */
void p2p_orders_take(void *arg, const struct disc_cp_command *command);
void p2p_orders_tick(struct p2p *p);
uint64_t p2p_orders_due_ms(const struct p2p *p);
/* A node says what an object is like. True: it was asked to. */
bool p2p_orders_record(struct p2p *p, uint64_t node, const struct p2p_record *r);
/* A node says what it has of a chunk. */
void p2p_orders_have(struct p2p *p, uint64_t node, const struct el_chunk_id *chunk,
                     const struct p2p_have *have);
/* A node does not give what was asked of the chunk. */
void p2p_orders_refused(struct p2p *p, uint64_t node, const struct el_chunk_id *chunk);
/* A fill with that ticket is for a command: it never asks the origin. */
bool p2p_is_of_order(const struct cache_ticket *t);
void p2p_orders_stop(struct p2p *p);
void p2p_orders_deinit(struct p2p *p);

/* ---- second.c ---- */

/* No tracker has answered for these chunks of the group. */
void p2p_second_ask(struct p2p_fetch *f, uint32_t number, uint64_t chunks);
/* The control plane has. Thread: any. arg: the engine. */
void p2p_second_take(void *arg, const struct disc_cp_holders *holders);
void p2p_second_init(struct p2p *p);
void p2p_second_stop(struct p2p *p);
void p2p_second_deinit(struct p2p *p);

/* ---- find.c ---- */

extern const struct cache_finder_ops p2p_finder_ops;
extern const struct cache_listener_ops p2p_listener_ops;

void p2p_find_init(struct p2p *p);
/* What was announced may not have arrived: all is announced again, soon. */
void p2p_find_missed(struct p2p *p);
void p2p_find_tick(struct p2p *p);
/* What a node says of chunks, to this one as their tracker. */
void p2p_find_heed(struct p2p *p, uint64_t node, enum disc_type type, const struct disc_chunks *v,
                   size_t n);
void p2p_find_stop(struct p2p *p);
void p2p_find_deinit(struct p2p *p);
/* Its object record goes to the tracker of its URL. */
void p2p_find_tell(struct p2p *p, struct cache_object *o);
/* Its object record goes to that node. */
void p2p_find_say(struct p2p *p, uint64_t node, struct cache_object *o);
/*
 * The object of a record, as if it had been answered to this node: visible to lookups, without a
 * byte. NULL: it is not to be had in parts, or another version of it is known here.
 */
struct cache_object *p2p_find_adopt(struct p2p *p, const struct p2p_manifest *m, uint64_t age_ms);
/* Whether others may be told of it at all. */
bool p2p_is_shareable(struct cache_object *o);
