/* SPDX-License-Identifier: MIT */
/*
 * http_server: a small HTTP/1.1 server for internal APIs, over libh2o's own: the node API and the
 * control plane. It is not the proxy port, which has its own message layer (proxy/server.h): here
 * bodies are whole, short and in memory.
 *
 * One thread runs the event loop, the parser and the handlers, one after the other; a handler must
 * not block: it answers before it returns, or it keeps the answer and gives it later.
 *
 *   handler: el_http_defer() --> [kept] -- el_http_later_give() --> the client
 *                                  |                                   ^
 *                                  +-- deadline: 504, stop: 503 -------+
 *
 * GET routes answer HEAD too. What no route takes is 404, a known path with another
 * method 405 with Allow; both carry application/problem+json (RFC 9457), unless conf.refuse says
 * otherwise.
 *
 * A handler of a GET may make a WebSocket of its connection (el_http_upgrade).
 */
#pragma once

#include "common/buf.h"
#include "common/err.h"
#include "common/fields.h"
#include "common/json.h"
#include "common/msgq.h"

/* Unless conf says otherwise. */
#define EL_HTTP_SERVER_MAX_BODY        EL_MIB /* longer request bodies: 413 */
#define EL_HTTP_SERVER_MAX_CONNECTIONS 256    /* one more drops the oldest */
#define EL_HTTP_SERVER_MAX_LATER       64     /* answers kept at a time; one more is refused */
#define EL_HTTP_SERVER_IDLE_MS         10000  /* a connection without a whole request for so long */

#define EL_HTTP_MAX_PARAMS 4

struct el_http_server; /* Thread: started and stopped by one; the handlers run on its own */

/* Borrowed for the handler's call. */
struct el_http_call_in {
    struct el_str method;    /* as received; "HEAD" also reaches the handlers of GET */
    struct el_str path;      /* as received, without the query */
    struct el_str query;     /* behind the '?'; may be empty */
    struct el_str host;      /* "name:port", as the client named it; may be empty */
    struct el_fieldv fields; /* without Host and those of the framing */
    struct el_str upgrade;   /* the protocols that the client would rather speak; may be empty */
    bool is_local;           /* it comes from a loopback address */
    struct el_str body;
    struct el_str params[EL_HTTP_MAX_PARAMS]; /* what stands for each {} of the route, as sent */
    uint64_t began_ns;                        /* when it was read; monotonic */
};

/* Built by the handler: 200 and an empty text until something is said. */
struct el_http_reply {
    int status;
    const char *content_type; /* static string */
    const char *challenge;    /* static string for WWW-Authenticate; NULL: none */
    struct el_fields fields;  /* besides those that follow from the rest */
    struct el_buf body;
};

typedef void el_http_handler(void *arg, const struct el_http_call_in *in,
                             struct el_http_reply *out);

struct el_http_route {
    const char *method;
    /* "/health" exactly; {} stands for one segment, '*' at the end for anything. */
    const char *path;
    el_http_handler *handler;
    unsigned need; /* for conf.admit */
};

struct el_http_server_conf {
    const char *thread_name;            /* at most 15 bytes */
    const char *bind_address;           /* numeric, IPv4 or IPv6 */
    uint16_t port;                      /* 0: any free one */
    const struct el_http_route *routes; /* the first that fits wins; borrowed until stop */
    size_t route_count;
    void *arg; /* for every handler */
    /* Asked before a handler is. False: `out` is the answer. NULL: everybody may everything. */
    bool (*admit)(void *arg, unsigned need, const struct el_http_call_in *in,
                  struct el_http_reply *out);
    uint64_t
        later_ms; /* a kept answer that is not given within this time is a 504; 0: none is kept */

    /* What follows may be 0 or NULL: the defaults above, or nothing of the kind. */
    size_t max_body, max_connections, max_later;
    uint64_t idle_ms;
    uint64_t stop_ms;       /* what is being written when it stops gets so long; 0: a second */
    struct ssl_ctx_st *tls; /* shared: the server takes a reference */
    /* Builds the answer to what no route takes, and to a kept answer that nobody gave. */
    void (*refuse)(void *arg, const struct el_http_call_in *in, int status, const char *detail,
                   struct el_http_reply *out);
    /* Before an answer goes out, kept ones included; it may add fields. route: its index, SIZE_MAX
     * when there is none. */
    void (*leave)(void *arg, size_t route, const struct el_http_call_in *in,
                  struct el_http_reply *out);
    /* Every so many milliseconds, on the server's thread, until it stops. */
    uint64_t tick_ms;
    void (*on_tick)(void *arg);
    void (*on_stop)(void *arg); /* on that thread: nothing new is accepted from now on */
};

/* Accepts when it returns. EL_ESYS with EADDRINUSE in err->sys when the port is taken. */
enum el_err el_http_server_start(const struct el_http_server_conf *conf,
                                 struct el_http_server **ret_server, struct el_error *err);
uint16_t el_http_server_port(const struct el_http_server *s);
/*
 * Answers that are being written get a second, kept ones become a 503 at once. Then it waits until
 * every kept answer was given, so whoever keeps one must not wait for this call; and the thread is
 * joined. NULL is fine.
 */
void el_http_server_stop(struct el_http_server *s);

/* Dispatched on the server's thread, unless it stops before; post nothing once stop was called.
 * Thread: any. */
void el_http_server_post(struct el_http_server *s, struct el_msg *m);

/* ---- for handlers ---- */

/* Takes the reference on root. */
void el_http_reply_json(struct el_http_reply *out, int status, json_t *root);
/* {"title": ..., "status": ..., "detail": ...} as application/problem+json. */
void el_http_reply_problem(struct el_http_reply *out, int status, const char *title,
                           const char *detail);

/*
 * Instead of an answer: the reply is kept, and given exactly once by el_http_later_give(), whatever
 * has become of the client. NULL: too many are kept, or the server is stopping; then `out` says so
 * and the handler just returns.
 */
struct el_http_later; /* Thread: whoever keeps it, one at a time */
struct el_http_later *el_http_defer(struct el_http_reply *out);
/* To be built as in a handler. */
struct el_http_reply *el_http_later_reply(struct el_http_later *l);
/* Messages posted here are dispatched on the server's thread, as long as an answer is kept. */
struct el_msgq *el_http_later_queue(struct el_http_later *l);
/* It is complete: sent if somebody still waits for it. `l` is gone. Thread: any. */
void el_http_later_give(struct el_http_later *l);

/* The client's address as text. */
#define EL_HTTP_PEER_CHARS 46
void el_http_peer(const struct el_http_reply *out, char ret[EL_HTTP_PEER_CHARS]);

/*
 * A connection that has become a WebSocket (RFC 6455). Thread: the server's, for every call and
 * callback. on_close comes exactly once, never from inside one of these calls; the socket is gone
 * after it.
 */
struct el_http_ws;
struct el_http_ws_ops {
    void (*on_text)(void *arg, struct el_http_ws *ws, struct el_str text);
    void (*on_close)(void *arg, struct el_http_ws *ws);
};
#define EL_HTTP_WS_MAX_TEXT   (64 * EL_KIB) /* longer messages from the client end it */
#define EL_HTTP_WS_MAX_QUEUED EL_MIB        /* a client that takes nothing is dropped */

/* Instead of an answer. NULL: the request is no handshake, and `out` is as it was. */
struct el_http_ws *el_http_upgrade(struct el_http_reply *out, const struct el_http_ws_ops *ops,
                                   void *arg);
void el_http_ws_send(struct el_http_ws *ws, struct el_str text);
/* What is queued may be lost. */
void el_http_ws_close(struct el_http_ws *ws);

/*
 * Instead of an answer: 101, and when that is sent the connection speaks `protocol` (a static
 * string; the client has offered it in in->upgrade). `take` gets its socket, non-blocking, and owns
 * it. It is not called for a client that has left, that came by TLS, or that has sent more than its
 * request: nothing may be lost between the two who read. Thread of `take`: the server's.
 */
typedef void el_http_take(void *arg, int fd);
void el_http_hand_over(struct el_http_reply *out, const char *protocol, el_http_take *take,
                       void *arg);

/* "Not Found"; "Status" for what has no name here. */
const char *el_http_status_text(int status);
