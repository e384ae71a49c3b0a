/* SPDX-License-Identifier: MIT */
/*
 * http_server: a small HTTP/1.1 server for internal APIs, over libh2o's own: the node API now. It
 * is not the proxy port, which has its own message layer (proxy/server.h): here bodies are whole,
 * short and in memory.
 *
 * One thread runs the event loop, the parser and the handlers, one after the other; a handler must
 * not block: it answers before it returns, or it keeps the answer and gives it later.
 *
 *   handler: el_http_defer() --> [kept] -- el_http_later_give() --> the client
 *                                  |                                   ^
 *                                  +-- deadline: 504, stop: 503 -------+
 *
 * GET routes answer HEAD too. What no route takes is 404, a known path with another
 * method 405 with Allow; both carry application/problem+json (RFC 9457).
 */
#pragma once

#include "common/buf.h"
#include "common/err.h"
#include "common/fields.h"
#include "common/json.h"
#include "common/msgq.h"

#define EL_HTTP_SERVER_MAX_BODY        EL_MIB /* longer request bodies: 413 */
#define EL_HTTP_SERVER_MAX_CONNECTIONS 256    /* one more drops the oldest */
#define EL_HTTP_SERVER_MAX_LATER       64     /* answers kept at a time; one more is refused */

struct el_http_server; /* Thread: started and stopped by one; the handlers run on its own */

/* Borrowed for the handler's call. */
struct el_http_call_in {
    struct el_str method;    /* as received; "HEAD" also reaches the handlers of GET */
    struct el_str path;      /* as received, without the query */
    struct el_str query;     /* behind the '?'; may be empty */
    struct el_fieldv fields; /* without Host and those of the framing */
    bool is_local;           /* it comes from a loopback address */
    struct el_str body;
};

/* Built by the handler: 200 and an empty text until something is said. */
struct el_http_reply {
    int status;
    const char *content_type; /* static string */
    const char *challenge;    /* static string for WWW-Authenticate; NULL: none */
    struct el_buf body;
};

typedef void el_http_handler(void *arg, const struct el_http_call_in *in,
                             struct el_http_reply *out);

struct el_http_route {
    const char *method;
    const char *path; /* "/health" exactly, or a prefix that ends in '*' */
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

/* "Not Found"; "Status" for what has no name here. */
const char *el_http_status_text(int status);
