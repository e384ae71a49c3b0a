/* SPDX-License-Identifier: MIT */
/*
 * net: links between nodes on TCP, plain or TLS 1.3: sockets, handshakes, frames and their hashes,
 * deadlines and rates. What is sent and asked for is decided by the engine; blocks that arrive go
 * straight into the memory where they belong, without passing through it.
 *
 *   engine's thread                      |  net threads
 *   p2p_net_connect(), the listener ---->|  connect -> TLS -> Hello -> Proof
 *   up() <-------------------------------|  the peer has proved its key
 *   p2p_link_send(), _send_block() ----->|  queue -> socket
 *   frame() <----------------------------|  reader: all but blocks and pings
 *                                        |  place() -> block() or unplaced()
 *   down() <-----------------------------|  p2p_link_close(), deadlines, errors
 *
 * 1. A link is the engine's from p2p_net_connect(), or up() where the peer has connected, until
 *    down() returns. Exactly one down() comes for each of them; nothing of the link comes after it,
 *    on no thread.
 * 2. What place() gave comes back exactly once: by block() or by unplaced().
 * 3. A block that p2p_link_send_block() took comes back exactly once, by its on_sent(), before
 *    down(). Its memory is not read any more then.
 * 4. Frames go out in order, blocks too; but a frame overtakes blocks that are not begun.
 * 5. A peer that sends faster than the engine takes its frames is read no further, and what is
 *    queued for a slow one is bounded: no peer can take more than some MiB of memory.
 *
 * Pings are sent and answered here. Links whose handshake fails are logged and counted here; of
 * those that the peer has opened the engine does not hear.
 *
 * Thread: the engine's, but for the callbacks that say otherwise.
 */
#pragma once

#include "common/key.h"
#include "common/metrics.h"
#include "common/msgq.h"
#include "p2p/payload.h"

struct p2p_net;
struct p2p_link;

/* Who is at the other end. */
struct p2p_peer {
    struct el_digest fingerprint; /* proved, not only said */
    char name[P2P_MAX_NAME + 1], zone[P2P_MAX_NAME + 1];
    char address[46];             /* numeric, of the socket */
    uint16_t p2p_port, http_port; /* as it says; 0: it cannot be reached */
    uint64_t features;
    uint64_t clock_ms; /* its wall clock at the handshake */
    uint32_t version;  /* that was agreed on: of each frame sent */
    bool is_inbound;   /* the peer has connected */
    bool is_http;      /* by way of a node API */
    bool is_tls;
};

struct p2p_net_ops {
    /* On the engine's thread, out of el_msgq_dispatch(). */
    void (*up)(void *arg, struct p2p_link *link);
    /* why->code: EL_OK for an orderly end (idle, closed by us), what the peer has said in an Error
     * before it closed, or what went wrong. The link is gone afterwards. */
    void (*down)(void *arg, struct p2p_link *link, const struct el_error *why);
    /* Well-formed as far as wire_reader.h says; borrowed for the call. Never Hello, Proof, Ping or
     * Response. */
    void (*frame)(void *arg, struct p2p_link *link, const struct p2p_frame *f);
    void (*closed)(void *arg); /* the end of p2p_net_close() */

    /* On a net thread; several at once, for different links. They neither block nor call net. */
    /* A block of n bytes arrives: where it goes, which is written until block() or unplaced().
     * NULL: it is read and forgotten. */
    void *(*place)(void *arg, struct p2p_link *link, const struct el_chunk_id *chunk, uint32_t n);
    /* It is there: chunk, number (sequence), flags, hash (which is that of the bytes), data.p: what
     * place() gave, NULL too. */
    void (*block)(void *arg, struct p2p_link *link, const struct p2p_frame *f);
    /* It will not come: the link ends, or its hash is wrong. */
    void (*unplaced)(void *arg, struct p2p_link *link, const struct el_chunk_id *chunk, void *mem);
};

/* Rates in bytes a second; 0: no limit. */
struct p2p_rates {
    uint64_t upload_bps, download_bps;
};

/* Strings are copied, but for `hello`, whose strings, as the key, live until p2p_net_free(). */
struct p2p_net_conf {
    unsigned threads;         /* at least 1 */
    const char *bind_address; /* numeric; NULL: it listens nowhere, and says so */
    uint16_t port;            /* 0: any free one */
    const struct el_key *key; /* who this node is */
    struct p2p_hello hello;   /* http_port, features, name, cluster, zone; the rest is net's */
    uint16_t announced_port;  /* in hello; 0: the one that is bound */
    struct el_str secret;     /* of the cluster: TLS 1.3 with a PSK made from it; empty: none */
    const char *cert_file, *key_file, *ca_file; /* TLS 1.3 with certificates; all of them or none */
    struct p2p_rates rates;
    unsigned max_links;         /* 0: 4096 */
    unsigned max_half_open;     /* by peers, without a Proof; the oldest is dropped; 0: 256 */
    uint32_t idle_ms;           /* a link that nobody uses is closed; 0: 5 minutes */
    struct el_msgq *queue;      /* of the engine */
    struct el_metrics *metrics; /* NULL: not counted */
    const struct p2p_net_ops *ops;
    void *arg;
};

/* Deadlines. */
#define P2P_CONNECT_MS   1000u
#define P2P_HANDSHAKE_MS 2000u /* from the connection to the peer's Proof */
#define P2P_DEAD_MS      1250u /* no answer to a Ping, see p2p_link_expects() */

/* The queue of a link. */
#define P2P_QUEUE_BYTES  (2u * 1024u * 1024u) /* frames */
#define P2P_QUEUE_BLOCKS 64u

enum el_err p2p_net_new(const struct p2p_net_conf *conf, struct p2p_net **ret_net,
                        struct el_error *err);
uint16_t p2p_net_port(const struct p2p_net *net); /* where it listens; 0: nowhere */
void p2p_net_rates(struct p2p_net *net, const struct p2p_rates *rates);
/*
 * All links end (Error 1006 to those that are up), with their down(), and nothing is accepted any
 * more; then ops->closed() comes. p2p_net_connect() must not be called any more.
 */
void p2p_net_close(struct p2p_net *net);
void p2p_net_free(struct p2p_net *net); /* after closed(); NULL is fine */

/*
 * `address` is numeric, IPv4 or IPv6: nobody resolves names here. Then up() or down(); `attempt` is
 * p2p_link_attempt(). EL_EINVAL: it is no address. EL_EOVERLOAD: max_links.
 * A link to this very node ends with EL_ELOOP.
 */
enum el_err p2p_net_connect(struct p2p_net *net, const char *address, uint16_t port, void *attempt,
                            struct p2p_link **ret_link, struct el_error *err);

/*
 * The same where a firewall may have shut the peer's port: when nobody answers there, its node API
 * is asked to hand the connection over (link_http.c). http_port 0: that is not tried.
 */
enum el_err p2p_net_reach(struct p2p_net *net, const char *address, uint16_t port,
                          uint16_t http_port, void *attempt, struct p2p_link **ret_link,
                          struct el_error *err);

/*
 * A connection that the node API has answered with 101 is a link as if the peer had connected here.
 * Takes fd, which is non-blocking. Thread: any, but never after p2p_net_close().
 */
void p2p_net_take(struct p2p_net *net, int fd);

/* The engine's own; NULL before up() has set it, when blocks may come already. Thread: any, see
 * rule 1. */
void *p2p_link_arg(struct p2p_link *link);
void p2p_link_set_arg(struct p2p_link *link, void *arg);
/* Of p2p_net_connect(); NULL: the peer has opened the link. Thread: the engine's. */
void *p2p_link_attempt(const struct p2p_link *link);

/* From up() on; immutable. Thread: any, see rule 1. */
const struct p2p_peer *p2p_link_peer(const struct p2p_link *link);

/* Whole frames, in peer->version, at least one. Takes *frames, which is empty afterwards. False:
 * the queue is full or the link ends, *frames is untouched. Not before up(). */
bool p2p_link_send(struct p2p_link *link, struct el_buf *frames);

/* A Response. Borrowed from p2p_link_send_block() until on_sent(). */
struct p2p_out_block {
    struct el_chunk_id chunk;
    uint32_t number;
    uint8_t flags;         /* P2P_LAST */
    struct el_digest hash; /* of the bytes, which nobody computes again */
    const void *mem;
    uint32_t n;
    bool is_growing;        /* `ready' of them are there, at least one: p2p_link_grow() */
    _Atomic uint32_t ready; /* else set by p2p_link_send_block() */
    _Atomic uint32_t sent;  /* of it, to the kernel; set to 0 by p2p_link_send_block() */
    int fd;          /* -1: none; else a file that has the same bytes at `offset`: sendfile() */
    uint64_t offset; /* may be used, and then the socket holds its pages beyond on_sent() */
    /* On the engine's thread. `result`: EL_OK: the kernel has all of it. */
    void (*on_sent)(struct p2p_out_block *b);
    enum el_err result;
    /* net's own */
    struct el_list link;
    bool is_recalled;
};

/* False: the queue is full or the link ends, and on_sent() does not come. */
bool p2p_link_send_block(struct p2p_link *link, struct p2p_out_block *b);
/*
 * More of one that is growing is there: `ready' bytes. With the last one the hash has to be right.
 * What comes behind it on the link waits. One that will not be whole is ended with its link.
 */
void p2p_link_grow(struct p2p_link *link, struct p2p_out_block *b, uint32_t ready);
/* If it is not begun it comes back with EL_ECANCELED, else as if nobody had asked. */
void p2p_link_cancel_block(struct p2p_link *link, struct p2p_out_block *b);

/*
 * Something is awaited: when nothing comes for `ms` the peer is asked (Ping), and when nothing
 * comes for P2P_DEAD_MS more the link ends with EL_ETIMEOUT. 0: nothing is awaited any more.
 */
void p2p_link_expects(struct p2p_link *link, uint32_t ms);

struct p2p_link_stats {
    uint64_t in_bytes, out_bytes; /* of frames */
    uint64_t queued_bytes;        /* frames and blocks that wait */
    uint32_t rtt_us;              /* of the handshake or the last Ping; 0: not known */
};
void p2p_link_stats(struct p2p_link *link, struct p2p_link_stats *ret);

/*
 * The link ends: what is queued is not sent any more. With an error in `why` the peer is told its
 * code and text if that can be done at once. Then comes down(), and no up() or frame() before it.
 */
void p2p_link_close(struct p2p_link *link, const struct el_error *why);
