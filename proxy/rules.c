/* SPDX-License-Identifier: MIT */
/* rules: see rules.h for the table. */
#include "proxy/rules.h"

enum proxy_rule proxy_rule_decide(const struct proxy_rule_facts *f)
{
    if (f->auth == EL_AUTH_DENY)
        return PROXY_RULE_DENY;
    if (!f->is_fresh)
        return PROXY_RULE_ORIGIN;
    if (f->is_public)
        return PROXY_RULE_PUBLIC;
    if (f->auth == EL_AUTH_TRUST)
        return PROXY_RULE_TRUST;
    if (f->request_has_grant)
        return PROXY_RULE_REQUEST;
    /* The name of a key is no secret: without the signature its grant is nobody's. */
    if (f->signature_is_right && f->key_has_grant)
        return PROXY_RULE_KEY;
    return PROXY_RULE_ORIGIN;
}

static const struct {
    const char *name, *reason;
} words[PROXY_RULES] = {
    [PROXY_RULE_NONE] = { "none", "the cache has no part in it: the request passes through" },
    [PROXY_RULE_DENY] = { "deny", "a policy denies this part of the origin" },
    [PROXY_RULE_PUBLIC] = { "public", "the origin gave the cached copy to an anonymous request, "
                                      "and it is fresh" },
    [PROXY_RULE_TRUST] = { "trust", "a policy lets whoever reaches the node read what is cached, "
                                    "and the copy is fresh" },
    [PROXY_RULE_REQUEST] = { "request", "the origin accepted this very request a moment ago, "
                                        "and the copy is fresh" },
    [PROXY_RULE_KEY] = { "key", "the signature is right, the origin accepted this access key "
                                "a moment ago, and the copy is fresh" },
    [PROXY_RULE_ORIGIN] = { "origin", "the origin is asked with the request's own credentials" },
};

const char *proxy_rule_name(enum proxy_rule rule)
{
    return words[rule].name;
}

const char *proxy_rule_reason(enum proxy_rule rule)
{
    return words[rule].reason;
}
