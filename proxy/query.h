/* SPDX-License-Identifier: MIT */
/*
 * query: the one parameter that a route of the node API takes in its query, "url=..." or the like.
 * Pure.
 */
#pragma once

#include "common/buf.h"
#include "common/err.h"

/*
 * The query is exactly one parameter, its name one of the n names, its value not empty: *ret_which
 * becomes the name's index, and the value, %-escapes decoded, is appended to `value`. '+' stands
 * for itself: no URL holds a space. EL_EBADREQ otherwise: a URL whose '&' was not escaped would be
 * cut short without a word.
 */
enum el_err proxy_query_one(struct el_str query, const char *const *names, size_t n,
                            size_t *ret_which, struct el_buf *value, struct el_error *err);
