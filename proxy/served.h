/* SPDX-License-Identifier: MIT */
/*
 * served: who gave the bytes of the last requests of `elionode get`, which asks the node API for it
 * when it has them. It is known by its User-Agent, and its request by the address that it came
 * from; other clients are not remembered.
 */
#pragma once

#include "cache/cache.h"
#include "proxy/tiers.h"

#define PROXY_SERVED_AGENT "elionode/" /* so begins the User-Agent */

struct proxy_served; /* Thread: any */

struct proxy_served_by {
    struct proxy_tier_share share;
    bool has_version;
    struct cache_object_id version; /* of what was served; only with has_version */
};

struct proxy_served *proxy_served_new(void);
void proxy_served_free(struct proxy_served *s); /* NULL is fine */

/* The request of this client ("192.0.2.1:4711") is over. The oldest are forgotten. */
void proxy_served_note(struct proxy_served *s, const char *client,
                       const struct proxy_served_by *by);
/* The client's last one; false: it is not known. */
bool proxy_served_find(struct proxy_served *s, struct el_str client, struct proxy_served_by *ret);
