/* SPDX-License-Identifier: MIT */
/*
 * prefix: what a policy is about: an origin, and a path on it in whole segments. Escapes are
 * decoded on both sides, so that no spelling of a URL escapes its policy. Pure.
 */
#pragma once

#include "common/buf.h"
#include "common/err.h"

struct el_prefix {
    struct el_buf origin; /* "http://host", with the port unless it is the usual one, as in a key of
                             the cache */
    struct el_buf path;   /* decoded, without '/' at its end; empty: everything of the origin */
};

/* Of a URL; deinit it. EL_ECONF: a segment is empty, "." or "..". */
enum el_err el_prefix_parse(const char *text, struct el_prefix *ret, struct el_error *err);
void el_prefix_deinit(struct el_prefix *p);
bool el_prefix_is_same(const struct el_prefix *a, const struct el_prefix *b);
/* `path` is decoded. */
bool el_prefix_fits(const struct el_prefix *p, struct el_str origin, struct el_str path);

/* "http://host" and "/path" of a key; the query belongs to neither. */
void el_prefix_split(struct el_str url, struct el_str *ret_origin, struct el_str *ret_path);
void el_prefix_add_decoded(struct el_buf *out, struct el_str path);
/* "." or "..". */
bool el_prefix_is_dots(struct el_str segment);
/* Whether somebody could take the path for another one. An empty segment at the end is none. */
bool el_prefix_is_ambiguous(struct el_str path);
