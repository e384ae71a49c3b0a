/* SPDX-License-Identifier: MIT */
/*
 * link: a link and the thread that moves its bytes, private to net. A link has two sides:
 *
 *   engine's thread            shared (mtx)                net thread
 *   link.c      --- orders --> frames, blocks, recalls, --> link_state.c: its life
 *                              expects, is_closing           link_in.c: bytes to frames
 *   net.h's ops <-- reports -- sent, arrived, is_up,    <--- link_out.c: frames to bytes
 *                              is_down                       link_stream.c: socket, TLS
 *                                                            link_http.c: by a node API
 *
 * Each direction has one message, posted when something was put there. is_down is the last that the
 * thread says of a link, and from then on the engine owns it alone: both are set, posted and seen
 * under mtx, so that neither side can touch what the other has freed.
 */
#pragma once

#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/socket.h>

#include "common/log.h"
#include "common/timers.h"
#include "p2p/bandwidth.h"
#include "p2p/net.h"
#include "p2p/proof.h"
#include "p2p/wire_reader.h"

#define P2P_MAX_THREADS 64u
/* What the engine has not taken yet; beyond it the link is not read. */
#define P2P_ARRIVED_BYTES (1u * 1024u * 1024u)
#define P2P_ARRIVED_COUNT 1024u
#define P2P_SCRATCH       16384u

/*
 *           start()            begin()           on_hello()          on_proof()
 *   NEW -+---------> CONNECTING -+-----> TLS ----> HELLO ------> PROOF ------> UP
 *        |               |       |        |secured()  ^
 *        |               +-> HTTP+--------+-----------+ plain
 *        +---------------- inbound
 *
 *   CONNECTING begins anew, once, when the peer has another port: then HTTP follows it.
 *
 *   from each of them end() -> LINGERING, when the peer was told why -> OVER, else OVER at once
 */
enum p2p_link_state {
    P2P_LINK_NEW,
    P2P_LINK_CONNECTING,
    P2P_LINK_HTTP, /* the peer's node API is asked to hand the connection over */
    P2P_LINK_TLS,
    P2P_LINK_HELLO, /* ours is sent, the other's awaited */
    P2P_LINK_PROOF, /* the same of Proofs */
    P2P_LINK_UP,
    P2P_LINK_LINGERING, /* the last words are on their way: a reset would overtake them */
    P2P_LINK_OVER,
};

/* A frame on its way to the engine. */
struct p2p_arrived {
    struct el_list link;
    struct p2p_frame frame; /* data.p: `data` */
    char data[];
};

/* What is being written. */
struct p2p_out {
    struct el_buf bytes;        /* frames, heads and tails: they go first */
    size_t done;                /* of bytes */
    struct p2p_out_block *body; /* the block whose head is in or was in bytes; NULL: none */
    uint32_t body_done;
    struct el_list blocks; /* of p2p_out_block.link: not begun */
};

struct p2p_link {
    /* immutable */
    struct p2p_net *net;
    struct p2p_thread *thread;
    struct sockaddr_storage addr; /* the peer's */
    socklen_t addr_len;
    bool is_inbound;
    uint16_t http_port; /* of an outbound one: where to go when nobody answers; 0: nowhere */

    _Atomic(void *) arg;
    void *attempt; /* the engine's alone */
    _Atomic uint64_t in_bytes, out_bytes, queued_bytes;
    _Atomic uint32_t rtt_us;
    struct p2p_peer peer; /* the thread's until is_up */

    pthread_mutex_t mtx;
    /* under mtx: to the thread */
    struct el_buf frames;  /* taken from the engine */
    struct el_list blocks; /* of p2p_out_block.link */
    unsigned n_blocks;     /* given and not sent */
    bool has_recalls;      /* p2p_out_block.is_recalled of some that are not begun */
    uint32_t expects_ms;
    bool is_closing;
    struct el_error closing_why;
    /* under mtx: to the engine */
    struct el_list arrived; /* of p2p_arrived.link */
    size_t arrived_bytes, arrived_count;
    bool is_reader_waiting; /* for the engine to take these */
    struct el_list sent;    /* of p2p_out_block.link */
    bool is_up, is_down;
    struct el_error down_why;

    struct el_msg to_thread, to_engine;

    /* the engine's */
    bool was_up;     /* up() has been called */
    bool was_closed; /* by the engine: no frame() any more */

    /* the thread's */
    enum p2p_link_state state;
    bool is_known;                           /* to the engine */
    bool is_counted;                         /* among those that are up */
    struct el_error why;                     /* it ends */
    bool is_readable, is_writable, is_ended; /* as epoll has said and no call has denied since */
    bool is_throttled_in, is_throttled_out;
    bool has_reader;
    bool is_http; /* by way of a node API */
    int fd;
    SSL *ssl;             /* NULL: plain, or not begun */
    struct el_buf cipher; /* what TLS wants to be sent, from cipher_done on */
    size_t cipher_done;
    struct el_list of_thread;
    struct el_list half_open; /* inbound and not up */
    struct el_list ready;     /* in thread->ready, thread->throttled or nowhere */
    struct el_timer timer;
    uint64_t began_ms;       /* connected */
    uint64_t in_ms, used_ms; /* last byte; last frame but Pings */
    uint64_t out_ms;         /* when something of what waits was last written */
    uint64_t expected_ms;    /* since when */
    uint64_t pinged_ms;      /* 0: no Ping is out */
    uint64_t ping_stamp;
    uint32_t expects;
    struct p2p_reader reader;
    void *placed; /* where the block goes that arrives */
    struct p2p_proof_ends ends;
    struct el_digest fingerprint; /* as its Hello says */
    struct el_buf owed;           /* frames of our own: Pings and their answers */
    struct p2p_out out;
};

struct p2p_thread {
    struct p2p_net *net;
    unsigned index;
    pthread_t thread;
    bool has_thread;
    struct el_msgq *queue;
    struct el_msg close, rates_changed;
    /* its own */
    int epoll;
    int listener; /* -1: none */
    struct el_timers timers;
    struct el_timer accept_again, unthrottle;
    struct el_list links, half_open, ready, throttled;
    unsigned n_half_open;
    uint64_t now_ms;
    bool is_closing, is_over;
    uint64_t logged_ms; /* of refusals: one line a second */
    unsigned unlogged;
    char *scratch; /* P2P_SCRATCH bytes */
};

/* Why a handshake failed, as a label. */
#define P2P_REFUSALS(X)   \
    X(TLS, "tls")         \
    X(PROOF, "proof")     \
    X(CLUSTER, "cluster") \
    X(VERSION, "version") \
    X(PROTOCOL, "protocol") X(TIMEOUT, "timeout") X(LOST, "lost") X(FLOOD, "flood") X(SELF, "self")
enum p2p_refusal_kind {
#define P2P_REFUSAL(symbol, label) P2P_REFUSED_##symbol,
    P2P_REFUSALS(P2P_REFUSAL)
#undef P2P_REFUSAL
        P2P_REFUSED_COUNT
};

struct p2p_net_metrics {
    struct el_gauge *links;
    struct el_gauge *http_links;
    struct el_counter *in_bytes, *out_bytes, *in_blocks, *out_blocks, *bad_blocks;
    struct el_counter *http_in_bytes, *http_out_bytes; /* of these, by way of a node API */
    struct el_counter *refused[P2P_REFUSED_COUNT];
};

struct p2p_net {
    /* immutable */
    struct p2p_net_conf conf;
    uint16_t port;
    BIO_METHOD *to_cipher;
    SSL_CTX *tls;         /* NULL: plain */
    struct el_secret psk; /* made of the cluster's secret */
    struct el_digest fingerprint;
    struct el_metrics *own_metrics; /* where the caller counts nothing */
    struct p2p_net_metrics metrics;
    struct p2p_thread *threads;
    unsigned n_threads;
    struct el_msg closed;

    _Atomic unsigned n_links, next_thread, threads_open;
    _Atomic bool is_limited_in, is_limited_out;
    pthread_mutex_t rates_mtx; /* leaf */
    struct p2p_bucket in, out; /* under rates_mtx */
};

/* ---- net.c ---- */
struct p2p_thread *p2p_net_next_thread(struct p2p_net *net);
/* False: there are too many. */
bool p2p_net_try_count_link(struct p2p_net *net);
void p2p_net_uncount_link(struct p2p_net *net);

/* Takes fd, the socket of a peer that has connected. */
void p2p_net_hand_over(struct p2p_net *net, int fd, const struct sockaddr_storage *addr,
                       socklen_t n, bool is_http);
void p2p_net_set_port(struct sockaddr_storage *addr, uint16_t port);

/* ---- net_rates.c ---- Thread: any net thread. */
/* Of `bytes`; `unlimited` where there is no limit. */
size_t p2p_rates_take_in(struct p2p_net *net, size_t bytes, size_t unlimited);
size_t p2p_rates_take_out(struct p2p_net *net, size_t bytes);
void p2p_rates_give_back_in(struct p2p_net *net, size_t bytes);
void p2p_rates_give_back_out(struct p2p_net *net, size_t bytes);
void p2p_rates_spend_out(struct p2p_net *net, size_t bytes);
/* How long until a turn is worth it in each direction that is asked about. */
uint64_t p2p_rates_wait_ms(struct p2p_net *net, bool in, bool out);

/* ---- net_thread.c ---- */
enum el_err p2p_thread_init(struct p2p_thread *t, struct p2p_net *net, unsigned index, int listener,
                            struct el_error *err);
enum el_err p2p_thread_start(struct p2p_thread *t, struct el_error *err);
void p2p_thread_deinit(struct p2p_thread *t); /* zeroed is fine */
enum el_err p2p_thread_watch(struct p2p_thread *t, struct p2p_link *l, struct el_error *err);
void p2p_thread_throttle(struct p2p_thread *t, struct p2p_link *l);
void p2p_thread_refused(struct p2p_link *l, const struct el_error *why);

/* ---- link.c: both sides ---- */
struct p2p_link *p2p_link_new(struct p2p_net *net, struct p2p_thread *t);
void p2p_link_free(struct p2p_link *l);
void p2p_link_set_address(struct p2p_link *l, const struct sockaddr_storage *addr, socklen_t n);
/* To the engine. */
void p2p_link_report_up(struct p2p_link *l);
/* EL_ENOMEM: the link has to end. */
enum el_err p2p_link_report_frame(struct p2p_link *l, const struct p2p_frame *f,
                                  struct el_error *err);
void p2p_link_report_sent(struct p2p_link *l, struct p2p_out_block *b, enum el_err result);
void p2p_link_report_down(struct p2p_link *l, const struct el_error *why);
/* Whether the engine has frames enough; then it wakes the link when it has taken them. */
bool p2p_link_is_full(struct p2p_link *l);

/* ---- link_state.c: on its thread ---- */
/* What epoll says. */
void p2p_link_on_events(struct p2p_link *l, uint32_t events);
void p2p_link_on_orders(struct el_msg *m);
/* It has a step before the thread waits again. */
void p2p_link_make_ready(struct p2p_link *l);
/* What can be done now; the link may be gone afterwards. */
void p2p_link_step(struct p2p_link *l);
/* Tells the peer, if there is something to tell and it can be. The link may be gone afterwards. */
void p2p_link_end(struct p2p_link *l, const struct el_error *why);
/* Both sides have proved who they are. */
void p2p_link_is_proved(struct p2p_link *l);
enum el_err p2p_link_on_frame(struct p2p_link *l, const struct p2p_frame *f, struct el_error *err);
void p2p_link_set_state(struct p2p_link *l, enum p2p_link_state state);

/* ---- link_hand.c ---- */
/* What is said first; Hello, if it is not TLS that comes first. */
void p2p_link_say_hello(struct p2p_link *l);
/* Of a link that is not up. */
enum el_err p2p_link_on_handshake(struct p2p_link *l, const struct p2p_frame *f,
                                  struct el_error *err);
/* What the peer says before it closes. */
bool p2p_link_is_farewell(const struct p2p_frame *f);
enum el_err p2p_link_on_farewell(const struct p2p_frame *f, struct el_error *err);

/* ---- link_http.c ---- */
enum el_err p2p_link_ask_http(struct p2p_link *l, struct el_error *err);
/* *ret_is_done: the peer's node API has handed the connection over. */
enum el_err p2p_link_hear_http(struct p2p_link *l, bool *ret_is_done, struct el_error *err);

/* ---- link_in.c, link_out.c ---- */
enum el_err p2p_link_read(struct p2p_link *l, struct el_error *err);
enum el_err p2p_link_write(struct p2p_link *l, struct el_error *err);
bool p2p_link_wants_read(struct p2p_link *l);
bool p2p_link_wants_write(const struct p2p_link *l);
void p2p_link_take_orders_out(struct p2p_link *l);
void p2p_link_drop_out(struct p2p_link *l, enum el_err result);

/* ---- link_stream.c ---- */
enum p2p_stream { P2P_STREAM_MOVED, P2P_STREAM_WAIT, P2P_STREAM_END, P2P_STREAM_FAILED };

/* Into a, and what is more into b (NULL: none); *ret_n bytes in all. */
struct p2p_span {
    void *p;
    size_t n;
};
enum p2p_stream p2p_stream_read(struct p2p_link *l, struct p2p_span a, struct p2p_span b,
                                size_t *ret_n, struct el_error *err);
/* Of `bytes`, and of the body's next `body_n` bytes behind them. */
enum p2p_stream p2p_stream_write(struct p2p_link *l, struct el_str bytes,
                                 const struct p2p_out_block *body, uint32_t body_done,
                                 uint32_t body_n, size_t *ret_n, struct el_error *err);
/* Bytes that p2p_stream_write() took and the socket has not. */
bool p2p_stream_has_rest(const struct p2p_link *l);
enum p2p_stream p2p_stream_flush(struct p2p_link *l, struct el_error *err);

/* ---- tls.c ---- */
enum el_err p2p_tls_open(struct p2p_net *net, struct el_error *err);
void p2p_tls_close(struct p2p_net *net);
enum el_err p2p_tls_begin(struct p2p_link *l, struct el_error *err);
/* MOVED: it is done, and l->ends.binding is set. */
enum p2p_stream p2p_tls_handshake(struct p2p_link *l, struct el_error *err);
void p2p_tls_end(struct p2p_link *l);
