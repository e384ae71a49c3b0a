/* SPDX-License-Identifier: MIT */
/* authorise: see authorise.h. */
#include "proxy/authorise.h"

void proxy_authority_read(const struct proxy_authorise_in *in, struct proxy_authority *ret)
{
    const struct proxy_grant_hash by = proxy_grants_hash(in->grants, in->hash);
    struct proxy_signature s;

    *ret = (struct proxy_authority){ 0 };
    proxy_signature_read(in->route->to.target, in->fields, in->wall_ms, &s);
    if (!s.is_known)
        return;
    ret->is_known = true;
    ret->until_ms = s.until_ms;
    proxy_grant_holder(&by, s.key_id, el_buf_str(&in->route->url), &ret->holder);
    proxy_grant_request_id(&by, in->method, in->route, in->fields, &ret->request);
}

enum proxy_rule proxy_authorise(const struct proxy_authorise_in *in,
                                const struct proxy_authority *who, const struct cache_meta *meta,
                                bool is_fresh)
{
    struct proxy_rule_facts f = {
        .auth = in->policy->auth,
        .is_fresh = meta != NULL && is_fresh,
        .is_public = meta != NULL && meta->is_public,
    };

    /* A public copy is most of the traffic: no look at what need not be known. */
    if (f.is_fresh && !f.is_public && f.auth == EL_AUTH_ORIGIN && who->is_known)
        f.request_has_grant =
            proxy_grants_has(in->grants, &who->holder, &who->request, in->mono_ms);
    return proxy_rule_decide(&f);
}

static bool is_yes(int status)
{
    return status == 200 || status == 206 || status == 304;
}

void proxy_authorise_learn(struct proxy_grants *grants, const struct proxy_policy *policy,
                           const struct proxy_authority *who, int status, int64_t asked_ms,
                           int64_t wall_ms, uint64_t mono_ms)
{
    const struct proxy_signature s = { .is_known = who->is_known, .until_ms = who->until_ms };
    uint64_t ttl_ms = proxy_grant_ttl_ms(&s, asked_ms, policy->grant_ttl_ms);
    uint64_t gone_ms = wall_ms > asked_ms ? (uint64_t)(wall_ms - asked_ms) : 0;

    if (!who->is_known)
        return;
    if (status == 401 || status == 403)
        proxy_grants_drop(grants, &who->holder);
    else if (is_yes(status) && ttl_ms > gone_ms)
        proxy_grants_add(grants, &who->holder, &who->request, mono_ms, mono_ms + ttl_ms - gone_ms);
}
