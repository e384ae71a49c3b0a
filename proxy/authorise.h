/* SPDX-License-Identifier: MIT */
/*
 * authorise: which rule of rules.h decides about a request, and what the origin's answer to it
 * teaches: a yes becomes a grant, a no takes the grants back. Private to the proxy library.
 *
 * A grant counts from the moment when the origin was asked, not from when its answer came.
 *
 * Thread: the request's; struct proxy_authority belongs to one request.
 */
#pragma once

#include "cache/cache.h"
#include "proxy/grants.h"
#include "proxy/policies.h"
#include "proxy/rules.h"
#include "proxy/verify.h"

/* What of a request is needed once its head may be gone. Zeroed: nothing is known of its sender. */
struct proxy_authority {
    bool is_known;    /* it is signed, and so the digests are there */
    int64_t until_ms; /* wall clock: the signature's end */
    struct el_digest holder, request;

    /* Signed with a secret that the node knows, as far as that was looked at. */
    bool was_verified, is_right;
    struct el_digest key;
    struct el_digest prefix_holder, prefix_key; /* where a policy grants its prefix */
};

struct proxy_authorise_in {
    struct proxy_grants *grants;
    struct el_sha256 *hash;
    struct proxy_verifier *verifier;
    const struct proxy_keys *keys; /* NULL: the node knows no secrets */
    const struct proxy_policy *policy;
    const struct proxy_route *route;
    struct el_str method;
    struct el_fieldv fields;
    int64_t wall_ms;
    uint64_t mono_ms;
};

/* Of a request with credentials. */
void proxy_authority_read(const struct proxy_authorise_in *in, struct proxy_authority *ret);

/*
 * `who` may learn more of the sender here. `meta`: of the copy that the request selects, NULL when
 * there is none; is_fresh: it may be used without asking the origin.
 */
enum proxy_rule proxy_authorise(const struct proxy_authorise_in *in, struct proxy_authority *who,
                                const struct cache_meta *meta, bool is_fresh);

/* The origin answered the request with `status`; it was asked at asked_ms by the wall clock. */
void proxy_authorise_learn(struct proxy_grants *grants, const struct proxy_policy *policy,
                           const struct proxy_authority *who, int status, int64_t asked_ms,
                           int64_t wall_ms, uint64_t mono_ms);
