/* SPDX-License-Identifier: MIT */
/*
 * json: jansson as far as it is needed. Objects are built top down: a child belongs to its parent
 * at once, so there is one reference to give away, the root's. Building aborts when memory is out:
 * replies are small. What comes from outside is counted before any of it is built.
 */
#pragma once

#include <jansson.h>

#include "common/buf.h"
#include "common/err.h"

json_t *el_json_new(void); /* an empty object: the caller's reference */
/* An empty object under that key; borrowed from obj. */
json_t *el_json_child(json_t *obj, const char *key);

/* An empty array under that key, and an empty object at the end of it; borrowed. */
json_t *el_json_child_list(json_t *obj, const char *key);
json_t *el_json_append_child(json_t *list);

/* Bytes that are not UTF-8 become U+FFFD. */
void el_json_add_str(json_t *obj, const char *key, struct el_str value);
void el_json_add_u64(json_t *obj, const char *key, uint64_t value); /* at most INT64_MAX */
void el_json_add_real(json_t *obj, const char *key, double value);  /* finite */
void el_json_add_bool(json_t *obj, const char *key, bool value);
void el_json_add_null(json_t *obj, const char *key);
/* Text that is JSON already, parsed: an empty array when it is not. */
void el_json_add_text(json_t *obj, const char *key, struct el_str text);

/* Appends the compact text and a line feed, keys in the order in which they were added; takes root.
 */
void el_json_write(struct el_buf *out, json_t *root);

/* ---- what comes from outside ---- */

struct el_json_limits {
    unsigned depth; /* of objects and arrays in each other */
    size_t values;  /* in all, keys included: about 100 bytes of memory each */
};

/*
 * The whole text, which is one object or array; a key that stands twice is an error (EL_EPROTO), as
 * is what is beyond the limits. *ret_root is the caller's reference.
 */
enum el_err el_json_parse(struct el_str text, const struct el_json_limits *limits,
                          json_t **ret_root, struct el_error *err);
