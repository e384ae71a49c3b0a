/* SPDX-License-Identifier: MIT */
/*
 * fields: HTTP header fields in the order they came. `struct el_fields` owns its bytes; `struct
 * el_fieldv` is a borrowed view that pure code takes, so that a request's fields can stay where the
 * parser found them.
 */
#pragma once

#include "common/str.h"

struct el_field {
    struct el_str name;  /* letter case as received */
    struct el_str value; /* without surrounding white space */
};

struct el_fieldv {
    const struct el_field *v;
    size_t n;
};

struct el_fields {
    struct el_field *v; /* name and value of one field lie in one allocation, found at name.p */
    size_t n, cap;
};

void el_fields_init(struct el_fields *f);
void el_fields_deinit(struct el_fields *f);
/* Copies both. */
void el_fields_add(struct el_fields *f, struct el_str name, struct el_str value);
/* Every field of that name, which may lie in one of them; returns how many went. */
size_t el_fields_remove(struct el_fields *f, struct el_str name);
struct el_fieldv el_fields_view(const struct el_fields *f);

/* The first field of that name (ASCII case folded); false when there is none. */
bool el_fieldv_get(struct el_fieldv f, struct el_str name, struct el_str *ret_value);
size_t el_fieldv_count(struct el_fieldv f, struct el_str name);
bool el_fieldv_has(struct el_fieldv f, struct el_str name);

/*
 * Walks the comma separated members of every field of that name, in order, quoted strings respected
 * (RFC 9110 section 5.6.1). Empty members are skipped. Start with a zeroed cursor.
 */
struct el_list_cursor {
    size_t field;
    size_t offset;
};
bool el_fieldv_member(struct el_fieldv f, struct el_str name, struct el_list_cursor *c,
                      struct el_str *ret_member);
/* Whether a list-valued field has the token as a member (ASCII case folded). */
bool el_fieldv_has_token(struct el_fieldv f, struct el_str name, struct el_str token);
