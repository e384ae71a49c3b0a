/* SPDX-License-Identifier: MIT */
/*
 * tokens: who may ask for what. The state knows only SHA-256 sums of tokens; whoever makes one
 * draws it and shows it once. All are hard. Thread: cp_state's.
 */
#pragma once

#include "controlplane/state.h"

/* What a reader may do, an operator may; a node may what concerns itself. */
enum cp_role { CP_ROLE_NODE, CP_ROLE_READER, CP_ROLE_OPERATOR };

/* View. */
struct cp_token {
    uint8_t hash[CP_HASH_BYTES];
    enum cp_role role;
    char name[CP_ID_MAX + 1]; /* the node's id for a node; what the operator calls it otherwise.
                                 Empty for a node: any */
    int64_t created_wall_ms;
    int64_t expires_wall_ms; /* 0: never */
};

/*
 * A node has one token of its own at a time, and one before that for a minute, so that a renewal
 * whose answer was lost shuts nobody out. EL_ECONFLICT: an operator or reader of that name is
 * there.
 */
enum el_err cp_token_add(struct cp_state *s, const struct cp_token *token, struct el_error *err);
/* NULL: there is none, or it has expired. Takes the same time whichever is looked for. */
const struct cp_token *cp_token_find(const struct cp_state *s, const uint8_t hash[CP_HASH_BYTES]);
/* All of that role and name. EL_ENOTFOUND. */
enum el_err cp_token_revoke(struct cp_state *s, enum cp_role role, struct el_str name,
                            struct el_error *err);
const struct cp_token *cp_token_next(const struct cp_state *s,
                                     uint32_t *cursor); /* as cp_node_next */
size_t cp_token_count(const struct cp_state *s);

const char *cp_role_name(enum cp_role r); /* "node", "reader", "operator" */
bool cp_role_parse(struct el_str name, enum cp_role *ret_role);
