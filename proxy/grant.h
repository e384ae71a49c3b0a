/* SPDX-License-Identifier: MIT */
/*
 * grant: the origin's word, kept for a moment: it accepted this request for this object, so the
 * same request need not be asked about again until then. Two kinds, told apart by what is hashed:
 *
 *   of a request   method, target, Host, Authorization, every field that the signature names, and
 *                  every other by which an origin may judge or select; for the object's url
 *   of a key       an access key whose secret the node knows, in one scope; for the object's url,
 *                  or for the prefix of a policy
 *
 * Each belongs to a *holder*, an access key and an object: when the origin refuses that key this
 * object, all grants of the holder go.
 *
 * Ids and holders are SHA-256 over a key that is drawn at start and what is named above, each part
 * with its length: the store holds no credential, and nobody can compute an id outside.
 *
 * Pure: the time is handed in, in milliseconds of any clock that does not go back.
 * Thread: one at a time (grants.h shares a store).
 */
#pragma once

#include "common/sha256.h"
#include "proxy/route.h"
#include "proxy/signature.h"

#define PROXY_GRANT_SECRET_BYTES 32

/* What digests are made with. `h` is the caller's: one for each thread. */
struct proxy_grant_hash {
    struct el_sha256 *h;
    const uint8_t *secret; /* PROXY_GRANT_SECRET_BYTES */
};

/* `url`: of the object, or the prefix of a policy. */
void proxy_grant_holder(const struct proxy_grant_hash *by, struct el_str key_id, struct el_str url,
                        struct el_digest *ret_holder);
void proxy_grant_request_id(const struct proxy_grant_hash *by, struct el_str method,
                            const struct proxy_route *route, struct el_fieldv fields,
                            struct el_digest *ret_id);
/*
 * `scope` is what the key was used for, such as date, region and service: the origin may accept it
 * in one and not in another. `method`: that was accepted. `host`: which, where what the url means
 * depends on it. Fields that an origin may judge by beside the signature (Referer, an address) make
 * other grants.
 */
void proxy_grant_key_id(const struct proxy_grant_hash *by, struct el_str method,
                        struct el_str key_id, struct el_str scope, struct el_str url,
                        struct el_str host, struct el_fieldv fields, struct el_digest *ret_id);

/*
 * For how long a grant is good, from now on: the configured time, but never beyond the signature's
 * own end. 0: not at all.
 */
uint64_t proxy_grant_ttl_ms(const struct proxy_signature *c, int64_t now_wall_ms,
                            uint64_t grant_ttl_ms);

/* ---- the store ---- */

/* Of one holder: signatures of different seconds, say. One more replaces the oldest. */
#define PROXY_GRANTS_PER_HOLDER 64

struct proxy_grant_store;

/* Room for `max` grants, 1 to 2^24, all allocated here. */
enum el_err proxy_grant_store_new(size_t max, struct proxy_grant_store **ret_store,
                                  struct el_error *err);
void proxy_grant_store_free(struct proxy_grant_store *s); /* NULL is fine */

/* The oldest makes room. Of a grant that is there already the end is set anew. */
void proxy_grant_store_add(struct proxy_grant_store *s, const struct el_digest *holder,
                           const struct el_digest *id, uint64_t now_ms, uint64_t until_ms);
bool proxy_grant_store_has(struct proxy_grant_store *s, const struct el_digest *holder,
                           const struct el_digest *id, uint64_t now_ms);
/* Every grant of the holder; returns how many there were. */
size_t proxy_grant_store_drop(struct proxy_grant_store *s, const struct el_digest *holder);
size_t proxy_grant_store_count(const struct proxy_grant_store *s);
