/* SPDX-License-Identifier: MIT */
/* date: the three forms of an HTTP date (RFC 9110 section 5.6.7), strictly, and the one that is
 * written. Pure. */
#pragma once

#include "common/str.h"

/*
 * IMF-fixdate, RFC 850 or asctime form, names in any case, GMT only. now_ms decides the century of
 * a two-digit year: one that would lie more than 50 years ahead is in the past. Milliseconds since
 * 1970.
 */
bool proxy_date_parse(struct el_str text, int64_t now_ms, int64_t *ret_ms);
/* "20130524T000000Z", as signatures have it. */
bool proxy_date_compact_parse(struct el_str text, int64_t *ret_ms);

#define PROXY_DATE_BYTES 29

/* IMF-fixdate, PROXY_DATE_BYTES and a NUL. Years 0 to 9999; what lies outside is cut to them. */
void proxy_date_write(int64_t ms, char ret[PROXY_DATE_BYTES + 1]);
