/* SPDX-License-Identifier: MIT */
/*
 * policies: what the operator said of parts of origins, in sections [policy PREFIX]. Of those whose
 * prefix fits a URL the longest decides alone; what it does not say is as the global keys say.
 * Where no section of the file fits, the longest of those decides that a control plane has pushed.
 *
 * A prefix fits on whole segments: http://h/b/logs is about /b/logs and /b/logs/1, not /b/logs2.
 * Escapes are decoded on both sides, as object stores do, so that no spelling of a key escapes a
 * policy. Where a path has "." or ".." segments or empty ones, origins differ in what they take it
 * for: when the policies of both readings differ, the request passes through uncached, and is
 * denied when one of them denies.
 *
 * Immutable. Pure.
 */
#pragma once

#include "common/conf.h"

#define PROXY_POLICY_NO_LIFETIME ((int64_t)-1)

struct proxy_policy {
    const char *prefix; /* as configured; "" for what no section is about */
    enum el_auth auth;
    enum el_grant_reach grant;
    uint64_t grant_ttl_ms, freshness_ms;
    int64_t lifetime_ms; /* in place of the origin's, or PROXY_POLICY_NO_LIFETIME */
    uint64_t max_bytes;  /* longer objects are not cached; UINT64_MAX: no limit */
    bool bypass;
};

struct proxy_policies;

/* EL_ECONF: two sections are about the same, or one says what excludes each other. */
enum el_err proxy_policies_new(const struct el_conf *conf, struct proxy_policies **ret_policies,
                               struct el_error *err);
void proxy_policies_free(struct proxy_policies *p); /* NULL is fine */

/* `url` as the cache knows it (el_url_write_key). Borrowed as long as the policies. */
const struct proxy_policy *proxy_policies_find(const struct proxy_policies *p, struct el_str url);
/* All that trust: for the warning at start; NULL behind the last. */
const struct proxy_policy *proxy_policies_trusting(const struct proxy_policies *p, size_t i);
