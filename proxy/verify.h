/* SPDX-License-Identifier: MIT */
/*
 * verify: whether a request was signed with a secret that the node knows, and whether that is all
 * that decides about it. The signature of AWS version 4 covers the method, the Host, the path, the
 * query and every x-amz-* field; so what nobody signed can neither select another object nor lend a
 * right. Where something beside the key may decide at the origin (a session, a customer's
 * encryption key, an expected owner, a cookie), the answer is no: the origin is asked.
 *
 * Keys that are derived from secrets are kept for the day that they are good for.
 *
 * Pure: the time is handed in. Thread: one at a time.
 */
#pragma once

#include "proxy/keys.h"
#include "proxy/route.h"
#include "storage/sigv4.h"

#define PROXY_VERIFY_SCOPE_BYTES 128

struct proxy_verifier;

struct proxy_verifier *proxy_verifier_new(void);
void proxy_verifier_free(struct proxy_verifier *v); /* wipes what it keeps; NULL is fine */

struct proxy_verified {
    char key_id[STORE_SIGN_KEY_ID_BYTES];
    char scope[PROXY_VERIFY_SCOPE_BYTES]; /* region and service: the origin may mind which */
};

/* For a GET or HEAD without a body. `keys` may not be freed before the verifier is. */
bool proxy_verify(struct proxy_verifier *v, const struct proxy_keys *keys, struct el_str method,
                  const struct proxy_route *route, struct el_fieldv fields, int64_t now_s,
                  struct proxy_verified *ret);
