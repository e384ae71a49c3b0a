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

/* Once for a request; what it costs is worth it only where nothing simpler decides. */
static void verify(const struct proxy_authorise_in *in, struct proxy_authority *who)
{
    const struct proxy_grant_hash by = proxy_grants_hash(in->grants, in->hash);
    struct el_str key_id, scope, prefix = el_str_of(in->policy->prefix), host = { NULL, 0 };
    struct proxy_verified v;

    if (who->was_verified || in->keys == NULL)
        return;
    who->was_verified = true;
    who->is_right = proxy_verify(in->verifier, in->keys, in->method, in->route, in->fields,
                                 in->wall_ms / 1000, &v);
    if (!who->is_right)
        return;
    key_id = el_str_of(v.key_id);
    scope = el_str_of(v.scope);
    if (in->route->by_host)
        host = in->route->host_field;
    proxy_grant_key_id(&by, in->method, key_id, scope, el_buf_str(&in->route->url), host,
                       in->fields, &who->key);
    if (in->policy->grant != EL_GRANT_PREFIX)
        return;
    proxy_grant_holder(&by, key_id, prefix, &who->prefix_holder);
    proxy_grant_key_id(&by, in->method, key_id, scope, prefix, host, in->fields, &who->prefix_key);
}

static bool key_has_grant(const struct proxy_authorise_in *in, const struct proxy_authority *who)
{
    return who->is_right &&
           (proxy_grants_has(in->grants, &who->holder, &who->key, in->mono_ms) ||
            (in->policy->grant == EL_GRANT_PREFIX &&
             proxy_grants_has(in->grants, &who->prefix_holder, &who->prefix_key, in->mono_ms)));
}

enum proxy_rule proxy_authorise(const struct proxy_authorise_in *in, struct proxy_authority *who,
                                const struct cache_meta *meta, bool is_fresh)
{
    struct proxy_rule_facts f = {
        .auth = in->policy->auth,
        .is_fresh = meta != NULL && is_fresh,
        .is_public = meta != NULL && meta->is_public,
    };
    enum proxy_rule rule = proxy_rule_decide(&f);

    /* A public copy is most of the traffic: no look at what need not be known. */
    if (rule != PROXY_RULE_ORIGIN || !who->is_known || in->policy->grant_ttl_ms == 0)
        return rule;
    f.request_has_grant = proxy_grants_has(in->grants, &who->holder, &who->request, in->mono_ms);
    if (f.request_has_grant && f.is_fresh)
        return proxy_rule_decide(&f);
    verify(in, who);
    f.signature_is_right = who->is_right;
    f.key_has_grant = key_has_grant(in, who);
    return proxy_rule_decide(&f);
}

static bool is_yes(int status)
{
    return status == 200 || status == 206 || status == 304;
}

/* S3 answers a session that has ended with 400. */
static bool is_no(int status)
{
    return status == 400 || status == 401 || status == 403;
}

static void take_back(struct proxy_grants *grants, const struct proxy_policy *policy,
                      const struct proxy_authority *who)
{
    proxy_grants_drop(grants, &who->holder);
    if (who->is_right && policy->grant == EL_GRANT_PREFIX)
        proxy_grants_drop(grants, &who->prefix_holder);
}

void proxy_authorise_learn(struct proxy_grants *grants, const struct proxy_policy *policy,
                           const struct proxy_authority *who, int status, int64_t asked_ms,
                           int64_t wall_ms, uint64_t mono_ms)
{
    const struct proxy_signature s = { .is_known = who->is_known, .until_ms = who->until_ms };
    uint64_t gone_ms = wall_ms > asked_ms ? (uint64_t)(wall_ms - asked_ms) : 0;
    uint64_t ttl_ms = policy->grant_ttl_ms;
    uint64_t request_ttl_ms = proxy_grant_ttl_ms(&s, asked_ms, ttl_ms);

    if (!who->is_known)
        return;
    if (is_no(status))
        take_back(grants, policy, who);
    if (!is_yes(status))
        return;
    if (request_ttl_ms > gone_ms)
        proxy_grants_add(grants, &who->holder, &who->request, mono_ms,
                         mono_ms + request_ttl_ms - gone_ms);
    if (!who->is_right || ttl_ms <= gone_ms)
        return;
    /* Of the key itself: each request with it brings a signature of its own, with its own end. */
    proxy_grants_add(grants, &who->holder, &who->key, mono_ms, mono_ms + ttl_ms - gone_ms);
    if (policy->grant == EL_GRANT_PREFIX)
        proxy_grants_add(grants, &who->prefix_holder, &who->prefix_key, mono_ms,
                         mono_ms + ttl_ms - gone_ms);
}
