/* SPDX-License-Identifier: MIT */
/*
 * groups: groups of nodes (groups.h). Records, hard:
 *
 *   group/ID          name, prefix, seed, created
 *   member/NODE/ID    this node is a member of that group; no value but a version
 *
 * A member may be a node that is not known (any more); it is not shown then, and goes with it.
 */
#include "controlplane/state_in.h"

#define GROUP_FORMAT  1
#define MEMBER_FORMAT 1

struct membership {
    struct cp_entry entry;   /* in the group's members */
    struct cp_entry of_node; /* in cp_state.memberships */
    struct group *group;
    uint64_t load;
    char node_id[CP_ID_MAX + 1];
};

struct group {
    struct cp_group group; /* first: views are groups */
    struct cp_entry entry;
    struct cp_table members;    /* of membership.entry */
    struct membership **member; /* the same in the order in which they came */
    size_t member_cap;          /* there are group.members */
    uint64_t load;
    bool is_known; /* false: only members have been read so far */
};

static struct group *get_group(const struct cp_state *s, struct el_str id)
{
    struct cp_entry *e = cp_table_get(&s->groups, id);

    return e == NULL ? NULL : EL_ENTRY(e, struct group, entry);
}

static struct group *put_group(struct cp_state *s, struct el_str id)
{
    struct group *g = get_group(s, id);

    if (g != NULL)
        return g;
    g = el_new(struct group);
    memcpy(g->group.id, id.p, id.n);
    g->entry.key = (struct el_str){ g->group.id, id.n };
    g->load = s->load;
    cp_table_put(&s->groups, &g->entry);
    s->group = (struct group **)cp_array_reserve(s->group, s->groups.n - 1, &s->group_cap,
                                                 sizeof(*s->group));
    s->group[s->groups.n - 1] = g;
    return g;
}

static struct membership *get_membership(const struct group *g, struct el_str node_id)
{
    struct cp_entry *e = cp_table_get(&g->members, node_id);

    return e == NULL ? NULL : EL_ENTRY(e, struct membership, entry);
}

static struct membership *put_membership(struct cp_state *s, struct group *g, struct el_str node_id)
{
    struct membership *m = get_membership(g, node_id);

    if (m != NULL) {
        m->load = s->load;
        return m;
    }
    m = el_new(struct membership);
    memcpy(m->node_id, node_id.p, node_id.n);
    m->load = s->load;
    m->entry.key = (struct el_str){ m->node_id, node_id.n };
    m->of_node.key = m->entry.key;
    m->group = g;
    cp_table_put(&g->members, &m->entry);
    cp_table_put(&s->memberships, &m->of_node);
    g->member = (struct membership **)cp_array_reserve(g->member, g->group.members, &g->member_cap,
                                                       sizeof(*g->member));
    g->member[g->group.members++] = m;
    return m;
}

static void drop_membership(struct cp_state *s, struct membership *m)
{
    struct group *g = m->group;
    size_t at = 0;

    while (g->member[at] != m)
        at++;
    g->group.members--;
    memmove(g->member + at, g->member + at + 1, (g->group.members - at) * sizeof(*g->member));
    cp_table_remove(&g->members, &m->entry);
    cp_table_remove(&s->memberships, &m->of_node);
    free(m);
}

static void drop_group(struct cp_state *s, struct group *g)
{
    size_t at = 0;

    while (g->group.members > 0)
        drop_membership(s, g->member[g->group.members - 1]);
    while (s->group[at] != g)
        at++;
    cp_table_remove(&s->groups, &g->entry);
    memmove(s->group + at, s->group + at + 1, (s->groups.n - at) * sizeof(*s->group));
    cp_table_deinit(&g->members);
    free(g->member);
    free(g);
}

static struct el_str membership_key(struct cp_key *k, struct el_str node_id, const char *id)
{
    return cp_key_of2(k, "member", node_id, el_str_of(id));
}

static void emit_membership(struct cp_state *s, const struct group *g, struct el_str node_id)
{
    struct el_buf b = { 0 };
    struct cp_key k;

    el_bytes_add_u8(&b, MEMBER_FORMAT);
    cp_emit(s, CP_HARD, membership_key(&k, node_id, g->group.id), &b);
}

static void emit_membership_end(struct cp_state *s, const struct group *g, struct el_str node_id)
{
    struct cp_key k;

    cp_emit_removal(s, CP_HARD, membership_key(&k, node_id, g->group.id));
}

static void encode_group(struct el_buf *b, const struct cp_group *g)
{
    el_bytes_add_u8(b, GROUP_FORMAT);
    cp_add_text(b, el_str_of(g->name));
    cp_add_text(b, el_str_of(g->prefix));
    cp_add_text(b, el_str_of(g->seed_node_id));
    el_bytes_add_u64(b, (uint64_t)g->created_wall_ms);
}

static void changed(struct cp_state *s, const struct group *g, const char *what)
{
    cp_event_add(s, CP_EV_GROUP, g->entry.key, 0, el_str_of(what));
}

static enum el_err check_said(const struct cp_group_said *g, struct el_error *err)
{
    if (!cp_name_is_valid(g->id))
        return el_fail(err, EL_EINVAL, 0, "group_id: 1 to %u letters, digits, '.', '_', ':', '-'",
                       CP_ID_MAX);
    if (g->name.n > CP_TEXT_MAX || !cp_is_printable(g->name))
        return el_fail(err, EL_EINVAL, 0, "name: at most %u printable ASCII characters",
                       CP_TEXT_MAX);
    if (g->prefix.n > CP_PREFIX_MAX || !cp_is_printable(g->prefix))
        return el_fail(err, EL_EINVAL, 0, "prefix: at most %u printable ASCII characters",
                       CP_PREFIX_MAX);
    if (g->seed_node_id.n > 0 && !cp_name_is_valid(g->seed_node_id))
        return el_fail(err, EL_EINVAL, 0, "seed_node_id: not a node's id");
    return EL_OK;
}

enum el_err cp_group_create(struct cp_state *s, const struct cp_group_said *group,
                            struct el_error *err)
{
    enum el_err rc = check_said(group, err);
    struct el_buf b = { 0 };
    struct cp_key k;
    struct group *g;

    if (rc != EL_OK)
        return rc;
    if (cp_group_get(s, group->id) != NULL)
        return el_fail(err, EL_ECONFLICT, 0, "group_id: there is a group of this name");
    if (s->groups.n >= CP_GROUPS_MAX)
        return el_fail(err, EL_EFULL, 0, "group_id: %u groups are there already", CP_GROUPS_MAX);
    g = put_group(s, group->id);
    g->is_known = true;
    g->group.created_wall_ms = s->wall_ms;
    cp_copy_text(g->group.name, CP_TEXT_MAX, group->name);
    cp_copy_text(g->group.prefix, CP_PREFIX_MAX, group->prefix);
    cp_copy_text(g->group.seed_node_id, CP_ID_MAX, group->seed_node_id);
    encode_group(&b, &g->group);
    cp_emit(s, CP_HARD, cp_key_of(&k, "group", group->id), &b);
    if (cp_member_get(s, group->seed_node_id) != NULL) {
        (void)put_membership(s, g, group->seed_node_id);
        emit_membership(s, g, group->seed_node_id);
    }
    changed(s, g, "created");
    return EL_OK;
}

static enum el_err find_group(const struct cp_state *s, struct el_str id, struct group **ret,
                              struct el_error *err)
{
    struct group *g = get_group(s, id);

    if (g == NULL || !g->is_known) {
        (void)el_fail(err, EL_ENOTFOUND, 0, "group_id: no such group");
        return EL_ENOTFOUND;
    }
    *ret = g;
    return EL_OK;
}

enum el_err cp_group_delete(struct cp_state *s, struct el_str id, struct el_error *err)
{
    struct group *g = NULL;
    enum el_err rc = find_group(s, id, &g, err);
    struct cp_key k;

    if (rc != EL_OK)
        return rc;
    for (size_t i = 0; i < g->group.members; i++)
        emit_membership_end(s, g, g->member[i]->entry.key);
    cp_emit_removal(s, CP_HARD, cp_key_of(&k, "group", id));
    changed(s, g, "deleted");
    drop_group(s, g);
    return EL_OK;
}

enum el_err cp_group_join(struct cp_state *s, struct el_str id, struct el_str node_id,
                          struct el_error *err)
{
    struct group *g = NULL;
    struct cp_member *m = NULL;
    enum el_err rc = find_group(s, id, &g, err);

    if (rc == EL_OK)
        rc = cp_member_find(s, node_id, &m, err);
    if (rc != EL_OK || get_membership(g, node_id) != NULL)
        return rc;
    (void)put_membership(s, g, node_id);
    emit_membership(s, g, node_id);
    changed(s, g, "joined");
    return EL_OK;
}

enum el_err cp_group_leave(struct cp_state *s, struct el_str id, struct el_str node_id,
                           struct el_error *err)
{
    struct group *g = NULL;
    enum el_err rc = find_group(s, id, &g, err);
    struct membership *m;

    if (rc != EL_OK)
        return rc;
    m = get_membership(g, node_id);
    if (m == NULL)
        return el_fail(err, EL_ENOTFOUND, 0, "node_id: not a member of this group");
    emit_membership_end(s, g, node_id);
    drop_membership(s, m);
    changed(s, g, "left");
    return EL_OK;
}

void cp_groups_drop_node(struct cp_state *s, struct el_str node_id)
{
    struct cp_entry *e;

    while ((e = cp_table_get(&s->memberships, node_id)) != NULL) {
        struct membership *m = EL_ENTRY(e, struct membership, of_node);
        struct group *g = m->group;

        emit_membership_end(s, g, node_id);
        drop_membership(s, m);
        changed(s, g, "left");
    }
}

const struct cp_group *cp_group_get(const struct cp_state *s, struct el_str id)
{
    const struct group *g = get_group(s, id);

    return g == NULL || !g->is_known ? NULL : &g->group;
}

const struct cp_group *cp_group_next(const struct cp_state *s, uint32_t *cursor)
{
    while (*cursor < s->groups.n) {
        const struct group *g = s->group[(*cursor)++];

        if (g->is_known)
            return &g->group;
    }
    return NULL;
}

const struct cp_node *cp_group_member_next(const struct cp_state *s, struct el_str id,
                                           uint32_t *cursor)
{
    const struct group *g = get_group(s, id);

    while (g != NULL && *cursor < g->group.members) {
        const struct cp_node *n = cp_node_get(s, g->member[(*cursor)++]->entry.key);

        if (n != NULL)
            return n;
    }
    return NULL;
}

bool cp_group_has(const struct cp_state *s, struct el_str id, struct el_str node_id)
{
    const struct group *g = get_group(s, id);

    return g != NULL && get_membership(g, node_id) != NULL;
}

const struct cp_group *cp_group_of_next(const struct cp_state *s, struct el_str node_id,
                                        const struct cp_group *after)
{
    const struct membership *was =
        after == NULL ? NULL : get_membership((const struct group *)after, node_id);
    const struct cp_entry *e =
        was == NULL ? cp_table_get(&s->memberships, node_id) : cp_table_same(&was->of_node);

    for (; e != NULL; e = cp_table_same(e)) {
        const struct group *g = EL_ENTRY(e, struct membership, of_node)->group;

        if (g->is_known)
            return &g->group;
    }
    return NULL;
}

/* ---- records ---- */

static bool decode_group(struct el_str value, struct cp_group *g)
{
    struct el_bytes b = el_bytes_of(value);
    uint8_t format = el_bytes_u8(&b);

    cp_get_chars(&b, g->name, CP_TEXT_MAX);
    cp_get_chars(&b, g->prefix, CP_PREFIX_MAX);
    cp_get_chars(&b, g->seed_node_id, CP_ID_MAX);
    g->created_wall_ms = (int64_t)el_bytes_u64(&b);
    return el_bytes_is_end(&b) && format == GROUP_FORMAT;
}

static enum el_err apply_group(struct cp_state *s, struct el_str name, struct el_str value,
                               bool is_removal, struct el_error *err)
{
    struct group *g = get_group(s, name);
    struct cp_group said = { 0 };

    if (is_removal) {
        if (g != NULL) {
            changed(s, g, "deleted");
            drop_group(s, g);
        }
        return EL_OK;
    }
    if (!cp_name_is_valid(name) || !decode_group(value, &said))
        return cp_bad_record(err, "group");
    g = put_group(s, name);
    memcpy(g->group.name, said.name, sizeof(said.name));
    memcpy(g->group.prefix, said.prefix, sizeof(said.prefix));
    memcpy(g->group.seed_node_id, said.seed_node_id, sizeof(said.seed_node_id));
    g->group.created_wall_ms = said.created_wall_ms;
    g->is_known = true;
    g->load = s->load;
    changed(s, g, "changed");
    return EL_OK;
}

static enum el_err apply_member(struct cp_state *s, struct el_str name, struct el_str value,
                                bool is_removal, struct el_error *err)
{
    struct el_str node_id, id;
    struct membership *m;
    struct group *g;

    (void)value;
    if (!el_str_split(&name, '/', &node_id) || !el_str_split(&name, '/', &id) ||
        !cp_name_is_valid(node_id) || !cp_name_is_valid(id))
        return cp_bad_record(err, "member");
    if (!is_removal) {
        g = put_group(s, id);
        (void)put_membership(s, g, node_id);
        changed(s, g, "joined");
        return EL_OK;
    }
    g = get_group(s, id);
    m = g == NULL ? NULL : get_membership(g, node_id);
    if (m != NULL) {
        drop_membership(s, m);
        changed(s, g, "left");
    }
    return EL_OK;
}

static void sweep_members(struct cp_state *s)
{
    for (size_t i = s->groups.n; i > 0; i--) {
        struct group *g = s->group[i - 1];

        for (size_t k = g->group.members; k > 0; k--) {
            if (g->member[k - 1]->load != s->load)
                drop_membership(s, g->member[k - 1]);
        }
        if (g->load != s->load || !g->is_known)
            drop_group(s, g);
    }
}

static void dump_groups(const struct cp_state *s, cp_keep *keep, void *arg)
{
    for (size_t i = 0; i < s->groups.n; i++) {
        const struct group *g = s->group[i];
        struct el_buf b = { 0 };
        struct cp_key k;

        encode_group(&b, &g->group);
        keep(arg, cp_key_of(&k, "group", g->entry.key), el_buf_str(&b));
        el_buf_deinit(&b);
    }
}

static void dump_members(const struct cp_state *s, cp_keep *keep, void *arg)
{
    static const char value[] = { MEMBER_FORMAT };

    for (size_t i = 0; i < s->groups.n; i++) {
        const struct group *g = s->group[i];

        for (size_t k = 0; k < g->group.members; k++) {
            struct cp_key key;

            keep(arg, membership_key(&key, g->member[k]->entry.key, g->group.id),
                 (struct el_str){ value, sizeof(value) });
        }
    }
}

const struct cp_kind cp_kind_group = { "group", apply_group, NULL, dump_groups };
const struct cp_kind cp_kind_member = { "member", apply_member, sweep_members, dump_members };

void cp_groups_deinit(struct cp_state *s)
{
    while (s->groups.n > 0)
        drop_group(s, s->group[s->groups.n - 1]);
    free(s->group);
    cp_table_deinit(&s->memberships);
    cp_table_deinit(&s->groups);
    cp_policies_deinit(s);
    cp_config_deinit(s);
}
