/* SPDX-License-Identifier: MIT */
/*
 * directives: what an answer says about its being cached, read from Cache-Control (RFC 9111 section
 * 5.2.2) or, when it is there and well-formed, from CDN-Cache-Control in its place (RFC 9213).
 * Pure.
 *
 * What cannot be read is taken for the worst: an invalid lifetime is 0, of several the smallest
 * counts, and no-cache or private with a list of fields hold for the whole answer.
 */
#pragma once

#include "common/fields.h"

#define PROXY_NOT_SAID  ((int64_t)-1)
#define PROXY_DELTA_MAX ((int64_t)1 << 31) /* RFC 9111 section 1.2.2: longer is as good as this */

struct proxy_directives {
    bool is_targeted; /* CDN-Cache-Control: neither Cache-Control nor Expires count */
    bool no_store, no_cache, is_private, is_public, must_revalidate, must_understand;
    int64_t max_age_s, s_maxage_s;                      /* or PROXY_NOT_SAID */
    int64_t stale_while_revalidate_s, stale_if_error_s; /* RFC 5861; or PROXY_NOT_SAID */
};

void proxy_directives_read(struct el_fieldv response, struct proxy_directives *ret);

/* delta-seconds: digits, saturated at PROXY_DELTA_MAX. False for anything else. */
bool proxy_delta_parse(struct el_str text, int64_t *ret_s);
/* "name" or "name=value", the value without the quotes that it may be in. */
void proxy_directive_split(struct el_str member, struct el_str *ret_name, struct el_str *ret_value);
