/* SPDX-License-Identifier: MIT */
/*
 * vary: which variant of a resource a request selects (RFC 9111 section 4.1). A stored answer keeps
 * the names of its Vary and the values that its request had for them:
 *
 *   meta->vary_bytes  "accept-encoding,user-agent" LF  "=gzip" LF  "-" LF
 *                     names, lower case, in order       present     absent
 *
 * Values are normalised: lines joined with ",", white space around members dropped. Pure.
 */
#pragma once

#include "cache/cache.h"
#include "common/fields.h"

/* Fills meta->vary and vary_bytes. False when Vary has a "*": such an answer is never reused. */
bool proxy_vary_set(struct cache_meta *meta, struct el_fieldv response, struct el_fieldv request);
bool proxy_vary_matches(const struct cache_meta *meta, struct el_fieldv request);
