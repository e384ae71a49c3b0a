/* SPDX-License-Identifier: MIT */
/*
 * req: one client request from its head to its last byte. Private to the proxy library; req.c owns
 * the steps, ask.c the question to the origin, deliver.c the answer out of the cache, pass.c the
 * answer that only passes through.
 *
 * Thread: the proxy thread that accepted the connection. Other threads reach a request only through
 * the messages of its reader, its waiter and its exchange, all of which arrive on that thread.
 */
#pragma once

#include "cache/cache.h"
#include "proxy/auth.h"
#include "proxy/authorise.h"
#include "proxy/changes.h"
#include "proxy/fresh.h"
#include "proxy/guard.h"
#include "proxy/multi.h"
#include "proxy/range.h"
#include "proxy/route.h"
#include "proxy/s3.h"
#include "proxy/served.h"
#include "proxy/server.h"
#include "proxy/spans.h"
#include "proxy/status.h"
#include "proxy/stream.h"
#include "proxy/tiers.h"
#include "proxy/tunnel.h"
#include "proxy/warm.h"
#include "storage/storage.h"

/* In the order in which a request meets them; req.c has the picture and the table of moves. */
enum proxy_step {
    PROXY_STEP_ROUTE,   /* what is asked for, and may it be */
    PROXY_STEP_LOOKUP,  /* what the cache holds of it */
    PROXY_STEP_WAIT,    /* another request is asking the origin the same */
    PROXY_STEP_ASK,     /* this one is */
    PROXY_STEP_DELIVER, /* bytes out of the cache, some of which may still be on their way into it
                         */
    PROXY_STEP_PASS,    /* bytes from the origin to this client only */
    PROXY_STEP_TUNNEL,  /* CONNECT: being dialled, then carrying bytes */
    PROXY_STEP_DONE,
    PROXY_STEPS
};

/* What may be reloaded. Immutable; kept until the proxy stops, so a request may hold on to its own.
 */
struct proxy_settings {
    struct proxy_settings *older;
    struct proxy_guard *guard;
    struct proxy_auth *auth; /* NULL: whoever reaches us may use us */
    struct proxy_fresh_policy policy;
    struct proxy_policies *policies;
    struct proxy_keys *keys; /* NULL: the node knows no secrets */
};

/* A file as it was when it was read. */
struct proxy_stamp {
    uint64_t inode, bytes;
    int64_t changed_ns;
};

struct proxy_intercept;
struct proxy_inside;

#define PROXY_FAILURES 1024

struct proxy {
    struct cache *cache;
    struct storage *storage;
    struct el_clock *clock;
    struct proxy_server *server;
    struct proxy_warm *warm;
    struct proxy_linelog *access_log; /* NULL: none */
    struct proxy_spans *spans;        /* NULL: none */
    struct proxy_gateway *gateway;    /* immutable */
    struct proxy_grants *grants;
    char *node_id;   /* in Cache-Status */
    char *via_token; /* our pseudonym: no other node has it */
    char *via_line;  /* "Via: 1.1 <token>\r\n" */
    bool gateway_is_object_store;
    bool (*address_allowed)(void *arg, const struct sockaddr *addr);
    void *allowed_arg;
    struct proxy_intercept *intercept; /* NULL: tunnels are opaque. Immutable */
    struct proxy_worker *leaf_worker;  /* there is one when there is an intercept */
    struct proxy_worker *auth_worker;  /* there is one as soon as settings have an auth */
    _Atomic(struct proxy_settings *) settings;
    _Atomic uint64_t first_bytes;              /* proxy_set_first_bytes() */
    struct proxy_stamp keys_stamp;             /* of the main thread */
    struct proxy_changes changes;              /* by requests that this node passed on */
    _Atomic uint64_t failures[PROXY_FAILURES]; /* of origins, by url: refresh.c */
    struct el_counter *requests[PROXY_XCACHES];
    struct proxy_tier_counters tiers;
    struct proxy_served *served;
    struct el_counter *decisions[PROXY_RULES];
    struct el_counter *refused, *failed, *bytes_out, *auth_missing, *auth_wrong, *intercepted;
    struct el_hist *ttfb;
};

#define PROXY_REQ_MAGIC 0x50525131u

struct proxy_req {
    uint32_t magic;
    enum proxy_step step;
    struct el_list link; /* on the thread's list of running or spare requests */
    struct proxy *proxy;
    struct proxy_settings *settings;
    struct proxy_thread *thread;
    struct proxy_stream *stream; /* NULL once the client is gone, or there never was one */
    int64_t started_wall_ms;

    /* ROUTE: who asks, and what for */
    struct proxy_auth_check *check; /* the worker has not answered yet */
    struct proxy_route route;
    const struct proxy_policy *policy; /* of r->settings; for what has a url */
    bool is_get, is_head, is_unsafe;

    /* LOOKUP, WAIT */
    struct proxy_authority who;
    enum proxy_rule rule;             /* that decided, last */
    struct proxy_range range;         /* the client's, not yet held against a length */
    struct proxy_fresh_request fresh; /* what the client says about freshness */
    bool has_conditions;              /* If-None-Match or If-Modified-Since of its own */
    struct cache_object *object;      /* referenced; what is, or may be, delivered */
    struct cache_waiter waiter;
    struct proxy_timer wait_timer;
    uint64_t wait_end_ms; /* of all waits together, since the first; 0: there was none */
    unsigned waits;       /* for others' questions, which were answered */
    bool leads;           /* a flight is ours to land */
    bool is_alone; /* waited in vain, or the answer is known not to be shareable: no more flights */
    bool collapsed;              /* waited for another's answer */
    bool is_loading, was_loaded, /* waits for the disk, or other nodes, to say what they have; */
        was_confirmed;  /* waits for these to say whether a stale copy is fresh; each once */
    bool is_to_refresh; /* stale, and served while the origin is asked about it */

    /* ASK */
    struct store_exchange *ex;
    struct cache_ticket *ticket; /* referenced */
    bool asked_condition; /* the question's condition is ours: a 304 means our copy is good */
    bool has_asked_range; /* and so is its range */
    bool asked_beginning; /* which is the beginning of the whole that the client wants */
    bool asks_plainly;    /* no range of ours: the answer to that was of no use */
    struct proxy_range asked_range;
    int64_t asked_wall_ms;
    uint32_t epoch; /* of the url when the origin was asked: see invalidate.c */
    int origin_status;
    const char *why; /* why the answer is not stored; static */
    bool is_new_object, was_stored, was_validated;
    bool from_origin;         /* the answer to this very request brought (part of) the body */
    bool has_age;             /* and another cache gave it: it had an Age */
    bool stands_in;           /* the origin failed: what is delivered is stale */
    struct el_fields cookies; /* that came with the 304: for this client, not for the copy */
    struct el_fields kept;    /* of a request without a client: what fresh.fields shows */
    char *kept_route;         /* of one that never had any: the texts of `route`; owned */

    /* DELIVER */
    struct cache_reader reader;
    bool was_asked_after_all; /* the origin, for bytes that turned out to be missing */
    bool is_planned, reader_is_open,
        was_here;                          /* was_here: every byte was in the cache at the start */
    uint64_t length, body_first, body_end; /* of the object; of the answer, or its part, in it */
    struct proxy_multi *multi;             /* several parts; NULL: one. Owned */

    /* PASS */
    bool body_is_sent;           /* the request's */
    bool is_unsettled;           /* unsafe, sent, and what it changed is not all forgotten yet */
    enum proxy_s3_effect effect; /* of an unsafe one */
    bool has_named_all;          /* `named` is the whole body so far */
    struct el_buf named;         /* the body, where it names what is changed */
    bool is_cut;                 /* a part of what the origin sends: */
    uint64_t pipe_skip,
        pipe_left; /* bytes of the origin's body not for this client, then bytes that are */

    /* TUNNEL: what its line in the access log needs of a stream that is gone by then; owned */
    char *tunnel_client, *tunnel_target;
    uint64_t tunnel_began_ns;
    struct proxy_inside *inside; /* its certificate is being made */
    struct ssl_ctx_st *tls;      /* referenced; the tunnel ends here, with this */

    /* the answer */
    struct el_buf head; /* its fields */
    bool head_is_sent;
    bool is_broken; /* ends in a broken connection */
    int status;
    enum proxy_xcache xcache;
    struct proxy_tier_share share; /* who gave its bytes */
    uint64_t first_byte_ns;
};

/* ---- req.c ---- */

/* on_request, on_thread_start and on_thread_stop of the server; arg is the struct proxy. */
void proxy_req_start(void *arg, struct proxy_thread *t, struct proxy_stream *s);
void proxy_req_thread_start(void *arg, struct proxy_thread *t);
void proxy_req_thread_stop(void *arg, struct proxy_thread *t);

/* A request without a client, in that step. */
struct proxy_req *proxy_req_new(struct proxy *p, struct proxy_thread *t, enum proxy_step step);
/*
 * The one place where the step changes: asserts that the move is in the table, and enters the step.
 * After any of the next four the request may be gone: return at once.
 */
void proxy_req_step(struct proxy_req *r, enum proxy_step next);
/* What of r->stream's head is asked for, and may it be; by which policy. */
enum el_err proxy_req_admit(struct proxy_req *r, struct el_error *err);
/* What the request says of range, conditions and freshness. False: the cache has no part in it. */
bool proxy_req_prepare(struct proxy_req *r);
/* The variant in the cache that this request selects, if any. One reference. */
struct cache_object *proxy_req_find(struct proxy_req *r);
/* The sender may use the proxy: what is asked for. */
void proxy_req_route(struct proxy_req *r);
/* Refused by policy, which is counted: proxy_req_fail(), and a line in the log. */
void proxy_req_refuse(struct proxy_req *r, enum el_err code, const char *detail);
/* Our own answer: problem+json when nothing was sent yet, a broken connection otherwise. */
void proxy_req_fail(struct proxy_req *r, enum el_err code, const char *detail);
/* A line in the log about the origin, unless it is no news. */
void proxy_req_note_origin(struct proxy_req *r, enum el_err code, const char *detail);
/* The same as fail, and that line: the origin is why. */
void proxy_req_origin_failed(struct proxy_req *r, enum el_err code, const char *detail);
/* The client is gone. */
void proxy_req_gone(struct proxy_req *r);

/*
 * Whether another node has asked the origin, or does, about r->object, which is stale: one question
 * for all of them. True: r->waiter is told; where a client waits for it, a second is enough. The
 * caller sees to it that this comes once for a request.
 */
bool proxy_req_asks_others(struct proxy_req *r);
/* Sends the question; events come to the step that the request is in. */
void proxy_req_exchange(struct proxy_req *r, const struct el_fields *fields, int64_t body_length,
                        enum store_reason reason);
/* A flight that this request leads lands; nothing happens when it leads none. */
void proxy_req_land(struct proxy_req *r, bool stored, uint64_t solo_ms);
int64_t proxy_req_now(const struct proxy_req *r); /* wall clock, ms */
void proxy_req_first_byte(struct proxy_req *r);

/* Appended to r->head: Content-Range of 206 and 416; Via, X-Cache and Cache-Status. */
void proxy_req_write_content_range(struct proxy_req *r);
void proxy_req_write_own_fields(struct proxy_req *r, const struct proxy_status_line *line);

/* ---- invalidate.c ---- */

/* The request goes to the origin. */
void proxy_invalidate_begin(struct proxy_req *r);
/* The next n bytes of the request's body go to the origin: they may name what is changed. */
void proxy_invalidate_note_body(struct proxy_req *r, const void *bytes, size_t n);
/* The origin answered an unsafe request: what it changed is forgotten. Once. */
void proxy_invalidate_answered(struct proxy_req *r);
/* The client is about to hear that the request failed: what it may have changed is doubted first.
 */
void proxy_invalidate_failed(struct proxy_req *r);
/* The request ends. Whether an unsafe one that got no answer changed something is not known. */
void proxy_invalidate_ended(struct proxy_req *r);
/* Differs from r->epoch when the answer to r must not be stored: a change came in between. */
uint32_t proxy_invalidate_epoch(struct proxy_req *r);
/* Whether what is known of the url since `response_ms` has to be confirmed before it is used. */
bool proxy_invalidate_doubts(struct proxy_req *r, int64_t response_ms);

/* ---- ask.c ---- */

void proxy_ask_start(struct proxy_req *r);
/* r->ex has its final head. */
void proxy_ask_answer(struct proxy_req *r);
/*
 * How the origin is asked for more of the object on this client's behalf. first and end matter only
 * where the client's range is signed. One reference.
 */
struct cache_ticket *proxy_ask_ticket(const struct proxy_req *r, uint64_t first, uint64_t end);

/* ---- refresh.c ---- */

/* The fields that the answer is judged by become the request's own: the client is leaving. */
void proxy_refresh_keep_fields(struct proxy_req *r);
/* Whether r->object may be delivered stale, and asked about in this request's words afterwards. */
bool proxy_refresh_may_follow(const struct proxy_req *r);
/* Asks the origin about r->object in the background, unless somebody does. */
void proxy_refresh_start(struct proxy_req *r);
/* The same for that request without a client, when no other node has asked. */
void proxy_refresh_ask(struct proxy_req *b);
/*
 * The origin failed: gave no answer (is_unreachable), or one of the failures below. True: what is
 * stored stands in for it, and the request has gone on.
 */
bool proxy_refresh_stand_in(struct proxy_req *r, bool is_unreachable);
/*
 * The same for a request that waited for another's question, which failed: it need not be asked
 * again for each who waited.
 */
bool proxy_refresh_stand_in_after_wait(struct proxy_req *r);
bool proxy_refresh_is_failure(int status);
/* Whether the stored answer forbids to use it now: then that is the error, 504 (5.2.2.2). */
bool proxy_refresh_must_fail(const struct proxy_req *r);
/* r->ex has the answer to a HEAD: what is stored for GET is freshened by it, or ended. */
void proxy_refresh_by_head(struct proxy_req *r);

/* ---- deliver.c ---- */

/* Settles what the client gets of r->object and opens the reader, so that a fill finds its demand.
 */
void proxy_deliver_open(struct proxy_req *r);
void proxy_deliver_start(struct proxy_req *r);
void proxy_deliver_push(struct proxy_req *r);

/* ---- pass.c ---- */

void proxy_pass_start(struct proxy_req *r);
void proxy_pass_body(struct proxy_req *r);   /* more of the request's body may be sent on */
void proxy_pass_answer(struct proxy_req *r); /* r->ex has its final head */
void proxy_pass_push(struct proxy_req *r);
