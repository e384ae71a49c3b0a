/* SPDX-License-Identifier: MIT */
/*
 * storage: the origin. One *exchange* is one request to an origin and its answer, streamed both
 * ways; the *source* (cache/source.h) fetches missing ranges on the cache's behalf with the same
 * exchanges. Several fetch threads run libcurl (common/http_client.h); the governor bounds what
 * each origin host is asked.
 *
 *   proxy thread                                   fetch thread
 *   exchange_start ------------------------------> request goes out
 *   on_event(HEAD) <------------------------------ head is there; the body is held back
 *   exchange_pipe: the client gets the body  ----> body -> ring -> on_event(READABLE), read/consume
 *   or exchange_feed: it becomes a fill      ----> body -> cache_fill_give() directly
 *   or exchange_close: it is not wanted      ----> the transfer ends (small rests are drained to
 * keep the connection)
 *
 * Thread: an exchange is used by the one thread that owns its `queue`; events arrive there.
 * Client credentials pass through byte for byte: the exchange sends target and fields as given and
 * adds only what the caller puts there.
 */
#pragma once

#include <sys/socket.h>

#include "cache/cache.h"
#include "common/fields.h"
#include "common/http_client.h"
#include "common/metrics.h"
#include "common/msgq.h"
#include "storage/checksum.h"

struct storage;
struct store_signer; /* storage/signer.h */

/* Why the origin is asked: a label of every origin byte in the metrics. */
enum store_reason {
    STORE_MISS,       /* nothing cached */
    STORE_REFILL,     /* blocks missing of a known version */
    STORE_REVALIDATE, /* 304 expected: stale, or to authorise this caller */
    STORE_PASS,       /* not cacheable */
    STORE_REASONS
};

struct store_conf {
    unsigned threads;                  /* fetch threads, >= 1 */
    unsigned max_connections_per_host; /* governor: concurrent exchanges with one origin host;
                                          others queue */
    uint64_t connect_timeout_ms, stall_timeout_ms;
    unsigned retries; /* of an idempotent read without progress; progress starts the count anew */
    uint64_t retry_backoff_ms; /* first pause; doubles, jittered, at most 5 s */
    unsigned breaker_failures; /* consecutive failures that open the circuit; 0: never */
    uint64_t breaker_open_ms;  /* how long it stays open before one probe is let through */
    const char *ca_file;       /* NULL: the system's */
    bool insecure_tls;
    bool http2;
    enum store_verify verify;    /* which checksums of whole objects are looked at */
    struct store_signer *signer; /* borrowed until storage_stop(); NULL: the node signs nothing */
    bool (*address_allowed)(void *arg, const struct sockaddr *addr); /* SSRF guard; may be NULL */
    void *arg;
    struct el_clock *clock;     /* borrowed until storage_stop() */
    struct el_metrics *metrics; /* borrowed until storage_stop() */
};

enum el_err storage_start(const struct store_conf *conf, struct storage **ret_s,
                          struct el_error *err);
/*
 * Ends every transfer and waits for it; fills get done(EL_ESHUTDOWN), exchanges still open
 * EL_ESHUTDOWN in their last event. An exchange may be closed afterwards; nothing else may be
 * called. Call before cache_close() and before the exchanges' queues go. NULL is fine.
 */
void storage_stop(struct storage *s);
/* Whether requests without credentials can be signed with the node's own key. */
bool storage_signs(const struct storage *s);
/* For cache_conf.source; valid until storage_stop(). */
struct cache_source *storage_source(struct storage *s);

/* ---- what to ask ---- */

struct store_target {
    struct el_str scheme, host; /* host to connect to, IPv6 without brackets */
    uint16_t port;
    struct el_str target; /* the request target of origin-form, byte for byte as signed */
    /*
     * The request carries no credentials and is signed with the node's own key when it is sent, to
     * which end host and target may change. Only when storage_signs().
     */
    bool as_node;
    struct el_str bucket; /* as_node: the bucket, when `target` does not begin with it */
};

/*
 * The ticket of a request: how the origin is asked for more of the same object on this client's
 * behalf, with its own fields and signature. `fields` are what goes out, without Range, If-*, and
 * framing; when `exact` (cache/source.h) `range_value` is the client's signed Range, sent as it is.
 * One reference.
 */
struct cache_ticket *store_ticket_new(const struct store_target *t, struct el_fieldv fields,
                                      bool exact, uint64_t first, uint64_t end,
                                      struct el_str range_value);

struct store_request {
    struct el_str method;
    struct store_target to;
    struct el_fieldv fields; /* complete, including Host; without framing of the body */
    int64_t body_length;     /* or EL_HTTP_BODY_NONE / _CHUNKED */
    enum store_reason reason;
    bool retry; /* no answer yet, idempotent and without a body: may be sent again */
};

/* ---- one exchange ---- */

enum store_event {
    STORE_EV_INTERIM,  /* ex->status, ex->fields: a 1xx to pass on */
    STORE_EV_HEAD,     /* ex->status, ex->fields */
    STORE_EV_READABLE, /* piped: store_exchange_read() has bytes or the end */
    STORE_EV_WRITABLE, /* store_exchange_write() has room again */
    STORE_EV_DONE,     /* over: ex->err. After it nothing comes. Piped bytes stay readable */
};

/* Allocated by start, freed after close (by whichever thread lets go last). */
struct store_exchange {
    int status;              /* valid from HEAD (or INTERIM, for that event) */
    struct el_fields fields; /* of the head; owned by the exchange */
    struct el_error err;     /* valid from DONE; code EL_OK when head and body were complete */
    bool is_done;
    bool was_fed; /* exchange_feed took the body */
};

typedef void store_on_event(void *arg, struct store_exchange *ex, enum store_event ev);

/*
 * Never calls back from inside. Everything in req is copied. Events are delivered on `queue`, in
 * order; a READABLE or WRITABLE may stand for several.
 */
struct store_exchange *store_exchange_start(struct storage *s, const struct store_request *req,
                                            struct el_msgq *queue, store_on_event *on_event,
                                            void *arg);

/* The request's body: returns how many bytes were taken (0: wait for WRITABLE). */
size_t store_exchange_write(struct store_exchange *ex, const void *bytes, size_t n);
void store_exchange_write_end(struct store_exchange *ex);

/* After HEAD, exactly one of these (or close): */
void store_exchange_pipe(struct store_exchange *ex);
/*
 * The body goes to the fill (cache_fill_adopt): its first byte is the fill's first. `skip` bytes
 * before that are dropped (an origin that ignored Range). When the transfer breaks and the object
 * has a strong validator, it is taken up again at the byte with the fill's ticket. done() on the
 * fill is certain from now on. DONE still comes.
 */
void store_exchange_feed(struct store_exchange *ex, struct cache_fill *fill, uint64_t skip);

/* Piped: borrowed bytes until consume. *ret_n 0: none now (is_done says whether that is the end).
 */
void store_exchange_read(struct store_exchange *ex, const void **ret_bytes, size_t *ret_n);
void store_exchange_consume(struct store_exchange *ex, size_t n);

/* No event comes after it returns. A fed fill goes on without the exchange's user. NULL is fine. */
void store_exchange_close(struct store_exchange *ex);

/* ---- for status ---- */
struct store_stats {
    uint64_t exchanges, running, errors, bytes_in;
    uint64_t bytes_by_reason[STORE_REASONS];
};
void store_stats_get(struct storage *s, struct store_stats *ret);
