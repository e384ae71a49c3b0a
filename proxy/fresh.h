/* SPDX-License-Identifier: MIT */
/*
 * fresh: RFC 9111, the part of it that decides: what may be stored, for how long it is fresh, and
 * what a 304 changes. Two rules of this product stand beside the RFC:
 *
 * - An answer to a request with credentials is stored as not public: each use of it is authorised
 * by the origin's 304 to that very caller, which is the validation that section 3.5 asks for. Only
 *   `public` or `s-maxage` of the origin makes it public.
 * - Objects of an object store (configured, or seen by x-amz-*, x-oss-* fields) without explicit
 *   lifetime are fresh for freshness_ms, instead of the heuristic of section 4.2.2. What such an
 *   origin says *about* objects (proxy/s3.h) is stored only with an explicit lifetime.
 *
 * Pure. Times are wall clock milliseconds. Delta seconds saturate at 2^31 (section 1.2.2).
 */
#pragma once

#include "cache/cache.h"
#include "common/err.h"
#include "common/fields.h"

/* What the operator allows beside what the origin says. Zeroed: nothing. */
struct proxy_fresh_policy {
    int64_t error_ms;       /* an error that may be stored is fresh for so long at most; 0: it is
                               not stored */
    int64_t negative_ms;    /* 404 and 410 without a lifetime of their own; 0: not stored */
    int64_t stale_error_ms; /* what is stale by no more stands in for an origin out of reach */
};

/* What the request says. The fields are borrowed as long as the struct is used. */
struct proxy_fresh_request {
    struct el_fieldv fields;
    bool has_credentials, is_object_store;
    bool is_about;  /* set by the caller: of an object store it asks for what is not an object */
    bool is_signed; /* set by the caller: as for an object store. No answer is for all then */
    bool by_node;   /* set by the caller: the node's own key opens it */
    bool by_host;   /* set by the caller: the Host is part of what is asked for (proxy/vary.h) */
    int64_t freshness_ms;
    struct proxy_fresh_policy policy; /* set by the caller; zeroed by proxy_fresh_request() */
    int64_t lifetime_ms;              /* of a policy, in place of the origin's; or PROXY_NOT_SAID */
    bool no_store, no_cache, only_if_cached;
    int64_t max_age_s, min_fresh_s; /* -1: not said */
    int64_t max_stale_s;            /* -1: not said; INT64_MAX: any */
    int64_t stale_if_error_s;       /* RFC 5861 section 4; -1: not said */
};

void proxy_fresh_request(struct proxy_fresh_request *ret, struct el_fieldv fields,
                         bool has_credentials, bool is_object_store, uint64_t freshness_ms);

/* Whether the origin is an object store: configured as one, or by the fields of its answer. */
bool proxy_fresh_from_object_store(const struct proxy_fresh_request *req, struct el_fieldv fields);

struct proxy_fresh_response {
    int status;
    struct el_fieldv fields;
    int64_t request_ms, response_ms; /* when the question left and its head came */
};

/*
 * The meta of the answer, one reference; or NULL when it must not be stored, and *ret_why says why
 * in one static word. A 206 is judged, and described, as the 200 that it is a part of.
 */
struct cache_meta *proxy_fresh_meta(const struct proxy_fresh_request *req,
                                    const struct proxy_fresh_response *res, const char **ret_why);
/*
 * The stored meta updated by a 304 or a HEAD (section 3.2), one reference. It is public from then
 * on if, and only if, an anonymous caller got the 304, or the answer is meant for all.
 */
struct cache_meta *proxy_fresh_update(const struct cache_meta *old,
                                      const struct proxy_fresh_request *req,
                                      const struct proxy_fresh_response *res);

enum proxy_fresh_use {
    PROXY_FRESH,
    PROXY_STALE,              /* the origin has to be asked first */
    PROXY_STALE_WHILE_ASKING, /* may be served while it is asked (stale-while-revalidate) */
};
/* Whether the stored answer may be used for the request without asking the origin. */
enum proxy_fresh_use proxy_fresh_use(const struct cache_meta *meta,
                                     const struct proxy_fresh_request *req, int64_t now_ms);
/*
 * Whether the stored answer may be used although it is stale, because the origin was asked and
 * failed (section 4.2.4, RFC 5861 section 4). is_unreachable: it gave no answer at all; otherwise
 * it answered 500, 502, 503 or 504.
 */
bool proxy_fresh_may_stand_in(const struct cache_meta *meta, const struct proxy_fresh_request *req,
                              int64_t now_ms, bool is_unreachable);
/* Whether an exchange that ended so found nobody; what we refuse ourselves is no such failure. */
bool proxy_fresh_is_out_of_reach(enum el_err code);
/*
 * Whether the 200 to a HEAD is about the stored version: no validator or length of it differs
 * (section 4.3.5). length: of the stored one, or CACHE_UNKNOWN_LENGTH.
 */
bool proxy_fresh_head_agrees(const struct cache_meta *meta, struct el_fieldv head, uint64_t length);
/* For how long it is fresh: as the policy says, or the origin. */
int64_t proxy_fresh_lifetime_ms(const struct cache_meta *meta,
                                const struct proxy_fresh_request *req);
/* current_age of section 4.2.3. */
int64_t proxy_fresh_age_ms(const struct cache_meta *meta, int64_t now_ms);
/* Whether Last-Modified is a strong validator (RFC 9110 section 8.8.2.2). */
bool proxy_fresh_date_is_strong(const struct cache_meta *meta);
