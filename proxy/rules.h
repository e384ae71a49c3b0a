/* SPDX-License-Identifier: MIT */
/*
 * rules: who may read what is cached. One table for every request that asks for something that may
 * be in the cache; the first rule that holds decides:
 *
 *   deny     the operator closed this part of the origin        403, of the node
 *   public   the origin gave it to an anonymous request         served
 *   trust    the operator lets whoever reaches the node read    served
 *   request  the origin accepted this very request lately       served
 *   key      the node knows the secret of the access key, the   served
 *            signature is right, and the origin accepted that
 *            key for this object lately
 *   origin   in doubt: the client's own signature is asked      as the origin says
 *
 * What is not cached, or not fresh, is always the origin's to decide. Pure.
 */
#pragma once

#include "common/conf.h"

enum proxy_rule {
    PROXY_RULE_NONE, /* the cache had no part in it */
    PROXY_RULE_DENY,
    PROXY_RULE_PUBLIC,
    PROXY_RULE_TRUST,
    PROXY_RULE_REQUEST,
    PROXY_RULE_KEY,
    PROXY_RULE_ORIGIN,
    PROXY_RULES
};

struct proxy_rule_facts {
    enum el_auth auth;      /* what the operator said of this part of the origin */
    bool is_fresh;          /* there is a copy that may be used without asking the origin */
    bool is_public;         /* the origin gave the copy to a request without credentials */
    bool request_has_grant; /* the origin accepted this very request, not longer ago than allowed */
    bool signature_is_right; /* verified here, with a secret that the operator gave */
    bool key_has_grant;      /* the origin accepted that key for the object, or for its prefix */
};

enum proxy_rule proxy_rule_decide(const struct proxy_rule_facts *f);
/* "public": the label in metrics, and what `explain` says. */
const char *proxy_rule_name(enum proxy_rule rule);
/* One sentence for people. */
const char *proxy_rule_reason(enum proxy_rule rule);
