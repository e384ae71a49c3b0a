/* SPDX-License-Identifier: MIT */
/*
 * vary: which variant of a resource a request selects (RFC 9111 section 4.1). A stored answer keeps
 * the names of its Vary and the values that its request had for them:
 *
 *   meta->vary_bytes  "accept-encoding,user-agent" LF  "=gzip" LF  "-" LF
 *                     names, lower case, in order       present     absent
 *
 * Values are normalised: lines joined with ",", white space around members dropped.
 *
 * Two things are part of the variant although no Vary names them: the Host, where it may select
 * something else at the origin (PROXY_VARY_HOST, route.h: by_host), and Accept-Encoding where bytes
 * came packed. Pure.
 */
#pragma once

#include "cache/cache.h"
#include "common/fields.h"

/* Stands for the Host among the names: no field can have this one. */
#define PROXY_VARY_HOST EL_STR(":authority")

/* Fills meta->vary and vary_bytes. False when Vary has a "*": such an answer is never reused. */
bool proxy_vary_set(struct cache_meta *meta, struct el_fieldv response, struct el_fieldv request,
                    bool by_host);
bool proxy_vary_matches(const struct cache_meta *meta, struct el_fieldv request, bool by_host);
