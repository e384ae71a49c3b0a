/* SPDX-License-Identifier: MIT */
/*
 * http_client: HTTP requests out, over libcurl's multi interface on a thread of its own. Bodies are
 * streamed both ways with back-pressure; nothing is buffered whole; nothing is decoded but the
 * transfer coding.
 *
 * The client sends exactly the request target and the fields it is given (plus Host when none is
 * given, and the framing of the body): libcurl's own User-Agent, Accept and Expect are suppressed.
 *
 * Life of a call: start -> [on_interim]* -> on_head -> [on_data]* -> on_done, or on_done alone when
 * it failed before. on_done comes exactly once, also after cancel, and is the last callback; the
 * call is freed after it. All callbacks run on the client's thread, with no lock held, and must not
 * block.
 */
#pragma once

#include <sys/socket.h>

#include "common/err.h"
#include "common/fields.h"
#include "common/msgq.h"
#include "common/timers.h"

struct el_http_client; /* one thread, one connection pool. Thread: start/resume/cancel from any */
struct el_http_call;   /* owned by the client; valid until on_done returns */

struct el_http_client_conf {
    const char *thread_name;
    unsigned max_connections_per_host; /* 0: no limit */
    uint64_t connect_timeout_ms;
    uint64_t stall_timeout_ms; /* no byte in either direction for so long while not paused:
                                  EL_ETIMEOUT */
    uint64_t call_timeout_ms;  /* from start to end, whatever moves: EL_ETIMEOUT. 0: no limit */
    const char *ca_file;       /* NULL: the system's */
    bool insecure_tls;         /* the certificate is not verified */
    bool http2;                /* offered over TLS */
    /* Asked with each resolved address before connecting; false refuses it (EL_EFORBIDDEN). May be
     * NULL. */
    bool (*address_allowed)(void *arg, const struct sockaddr *addr);
    void *arg;
};

#define EL_HTTP_BODY_NONE    (-2)
#define EL_HTTP_BODY_CHUNKED (-1)

/* What on_data and on_body return instead of a count. */
#define EL_HTTP_PAUSE ((ssize_t)-1) /* called again after el_http_call_resume() */
#define EL_HTTP_ABORT ((ssize_t)-2) /* ends the call: on_done(EL_ECANCELED) */

struct el_http_ops {
    /* A 1xx other than 100. May be NULL. */
    void (*on_interim)(void *arg, int status, struct el_fieldv fields);
    /* The final head; the fields are borrowed for the call. */
    void (*on_head)(void *arg, int status, struct el_fieldv fields);
    /*
     * The next n bytes of the body, at most 16 KiB: returns n when it took them all, or
     * EL_HTTP_PAUSE having taken none (the same bytes come again), or EL_HTTP_ABORT.
     */
    ssize_t (*on_data)(void *arg, const void *bytes, size_t n);
    /* Room for up to n bytes of the request's body: how many were put there, 0 at its end, or the
     * two. */
    ssize_t (*on_body)(void *arg, void *room, size_t n);
    /* EL_OK: head and body were complete. A body cut short is EL_ETRUNCATED or EL_ERESET, never
     * EL_OK. */
    void (*on_done)(void *arg, enum el_err code, const struct el_error *err);
};

struct el_http_request {
    struct el_str method;
    struct el_str scheme; /* "http" or "https" */
    struct el_str host;   /* to connect to; IPv6 without brackets */
    uint16_t port;
    struct el_str target;    /* request target, byte for byte: "/b/k?x=1" or "*" */
    struct el_fieldv fields; /* sent as they are; no framing fields among them */
    int64_t body_length;     /* or EL_HTTP_BODY_* */
    const struct el_http_ops *ops;
    void *arg;
};

enum el_err el_http_client_new(const struct el_http_client_conf *conf,
                               struct el_http_client **ret_client, struct el_error *err);
/* Cancels what runs (each call still gets its on_done), then joins the thread. NULL is fine. */
void el_http_client_free(struct el_http_client *c);

/*
 * Thread: any. Everything in `req` is copied. Never calls back from inside. *ret_call is set before
 * any callback can run.
 */
void el_http_client_start(struct el_http_client *c, const struct el_http_request *req,
                          struct el_http_call **ret_call);
/*
 * Thread: any, as long as on_done has not returned (the caller orders that). Continue after a pause
 * in either direction; harmless when nothing is paused.
 */
void el_http_call_resume(struct el_http_call *call);
/* Thread: any, as above. on_done(EL_ECANCELED) follows unless the call was already done. */
void el_http_call_cancel(struct el_http_call *call);
/* From inside a callback: bytes of body (after transfer decoding) received so far, and head bytes.
 */
uint64_t el_http_call_bytes_in(const struct el_http_call *call);
/* From inside on_head or later: whether a kept connection was used. */
bool el_http_call_was_reused(const struct el_http_call *call);

/* ---- work of the caller's own on the client's thread ---- */

/* Thread: any. The message is dispatched there; see msgq.h. */
void el_http_client_post(struct el_http_client *c, struct el_msg *m);

/* For timers of the caller's own. Thread: the client's. */
struct el_timers *el_http_client_timers(struct el_http_client *c);
