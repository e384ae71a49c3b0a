/* SPDX-License-Identifier: MIT */
/*
 * grants: the grants of grant.h, shared by the proxy threads.
 *
 * Thread: any. A grant's holder says in which of several stores it lies, each behind a mutex of its
 * own (a leaf) that is held for one look-up.
 */
#pragma once

#include "proxy/grant.h"

struct proxy_grants;

/* Room for about `max` grants. The secret of their ids is drawn here. */
enum el_err proxy_grants_new(size_t max, struct proxy_grants **ret_grants, struct el_error *err);
void proxy_grants_free(struct proxy_grants *g); /* NULL is fine */

struct proxy_grant_hash proxy_grants_hash(const struct proxy_grants *g, struct el_sha256 *h);
void proxy_grants_add(struct proxy_grants *g, const struct el_digest *holder,
                      const struct el_digest *id, uint64_t now_ms, uint64_t until_ms);
bool proxy_grants_has(struct proxy_grants *g, const struct el_digest *holder,
                      const struct el_digest *id, uint64_t now_ms);
void proxy_grants_drop(struct proxy_grants *g, const struct el_digest *holder);
size_t proxy_grants_count(struct proxy_grants *g);
