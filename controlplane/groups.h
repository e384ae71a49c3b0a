/* SPDX-License-Identifier: MIT */
/*
 * groups: what operators say about the cluster and keep there. Groups of nodes (a dataset, a job, a
 * tenant), policies for objects whose names begin alike, and configuration for nodes. All are hard.
 * Thread: cp_state's.
 */
#pragma once

#include "controlplane/nodes.h"

#define CP_GROUPS_MAX   10000u
#define CP_POLICIES_MAX 1000u
#define CP_CONFIG_MAX   65536u /* bytes */
#define CP_PREFIX_MAX   1024u

/* View. */
struct cp_group {
    char id[CP_ID_MAX + 1];
    char name[CP_TEXT_MAX + 1];       /* for people, may be empty */
    char prefix[CP_PREFIX_MAX + 1];   /* of the objects it is about; may be empty */
    char seed_node_id[CP_ID_MAX + 1]; /* may be empty, and need not be a member */
    int64_t created_wall_ms;
    uint32_t members;
};

/* EL_ECONFLICT: there is one. A seed that is known becomes its first member. */
struct cp_group_said {
    struct el_str id, name, prefix, seed_node_id; /* all but the id may be empty */
};
enum el_err cp_group_create(struct cp_state *s, const struct cp_group_said *group,
                            struct el_error *err);
enum el_err cp_group_delete(struct cp_state *s, struct el_str id, struct el_error *err);
/* EL_ENOTFOUND: of the two, which is unknown. Joining again is nothing. */
enum el_err cp_group_join(struct cp_state *s, struct el_str id, struct el_str node_id,
                          struct el_error *err);
enum el_err cp_group_leave(struct cp_state *s, struct el_str id, struct el_str node_id,
                           struct el_error *err);
const struct cp_group *cp_group_get(const struct cp_state *s, struct el_str id);
const struct cp_group *cp_group_next(const struct cp_state *s, uint32_t *cursor);
/* Members that are known nodes. */
const struct cp_node *cp_group_member_next(const struct cp_state *s, struct el_str id,
                                           uint32_t *cursor);

/* Whether or not the node is known. */
bool cp_group_has(const struct cp_state *s, struct el_str id, struct el_str node_id);

/* Groups that it is in, in no order; after NULL: the first. */
const struct cp_group *cp_group_of_next(const struct cp_state *s, struct el_str node_id,
                                        const struct cp_group *after);

/* The longest prefix that an object's name begins with is the one that counts. */
struct cp_policy {
    char prefix[CP_PREFIX_MAX + 1];  /* empty: everything */
    uint32_t min_copies, max_copies; /* 0: as configured */
    bool is_pinned;                  /* never evicted by decision */
    bool is_replicated;              /* false: copies of it are left alone */
    struct el_str settings; /* JSON text, handed on to nodes; the state keeps its own copy */
};

/* Puts it in, or in place of the one with this prefix. */
enum el_err cp_policy_set(struct cp_state *s, const struct cp_policy *policy, struct el_error *err);
enum el_err cp_policy_delete(struct cp_state *s, struct el_str prefix, struct el_error *err);
uint64_t cp_policy_version(const struct cp_state *s); /* grows with each change; 0: none yet */
const struct cp_policy *cp_policy_next(const struct cp_state *s, uint32_t *cursor);
/* NULL: none says anything of this name. */
const struct cp_policy *cp_policy_for(const struct cp_state *s, struct el_str object_name);

/* A version of the configuration for nodes. View. */
struct cp_config {
    uint64_t version; /* from 1 */
    int64_t wall_ms;  /* when it was pushed */
    char *json;       /* owned; n bytes, an object "section.key": value */
    size_t n;
    uint64_t load; /* private */
};
#define CP_CONFIGS_MAX   20u /* are kept */
#define CP_CONFIG_NEWEST 0u

/* JSON text of at most CP_CONFIG_MAX bytes; who pushes has looked at it. */
enum el_err cp_config_set(struct cp_state *s, struct el_str json, uint64_t *ret_version,
                          struct el_error *err);
uint64_t cp_config_version(const struct cp_state *s); /* the newest; 0: there is none */
/* NULL: there is none, or it is not kept any more. */
const struct cp_config *cp_config_get(const struct cp_state *s, uint64_t version);
/* The newest first. */
const struct cp_config *cp_config_next(const struct cp_state *s, uint32_t *cursor);
