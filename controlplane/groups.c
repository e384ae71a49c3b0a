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
    struct el_list link; /* in the group */
    uint64_t load;
    char node_id[CP_ID_MAX + 1];
};

struct group {
    struct cp_group group; /* first: views are groups */
    struct cp_entry entry;
    struct el_list members;
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
    el_list_init(&g->members);
    cp_table_put(&s->groups, &g->entry);
    return g;
}

static struct membership *get_membership(const struct group *g, struct el_str node_id)
{
    for (struct el_list *it = g->members.next; it != &g->members; it = it->next) {
        struct membership *m = EL_ENTRY(it, struct membership, link);

        if (el_str_eq(node_id, el_str_of(m->node_id)))
            return m;
    }
    return NULL;
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
    el_list_append(&g->members, &m->link);
    g->group.members++;
    return m;
}

static void drop_membership(struct group *g, struct membership *m)
{
    el_list_remove(&m->link);
    g->group.members--;
    free(m);
}

static void free_group(struct group *g)
{
    while (!el_list_empty(&g->members))
        drop_membership(g, EL_ENTRY(g->members.next, struct membership, link));
    free(g);
}

static void drop_group(struct cp_state *s, struct group *g)
{
    cp_table_remove(&s->groups, &g->entry);
    free_group(g);
}

static struct group *next_group(const struct cp_state *s, const struct group *after)
{
    size_t bucket = after == NULL ? 0 : (after->entry.hash & (s->groups.buckets - 1)) + 1;

    if (after != NULL && after->entry.next != NULL)
        return EL_ENTRY(after->entry.next, struct group, entry);
    for (; bucket < s->groups.buckets; bucket++) {
        if (s->groups.bucket[bucket] != NULL)
            return EL_ENTRY(s->groups.bucket[bucket], struct group, entry);
    }
    return NULL;
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
    for (struct el_list *it = g->members.next; it != &g->members; it = it->next)
        emit_membership_end(s, g, el_str_of(EL_ENTRY(it, struct membership, link)->node_id));
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
    drop_membership(g, m);
    changed(s, g, "left");
    return EL_OK;
}

void cp_groups_drop_node(struct cp_state *s, struct el_str node_id)
{
    for (struct group *g = next_group(s, NULL); g != NULL; g = next_group(s, g)) {
        struct membership *m = get_membership(g, node_id);

        if (m == NULL)
            continue;
        emit_membership_end(s, g, node_id);
        drop_membership(g, m);
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
    const struct group *g = next_group(s, NULL);

    for (uint32_t i = 0; g != NULL; g = next_group(s, g)) {
        if (i++ < *cursor || !g->is_known)
            continue;
        *cursor = i;
        return &g->group;
    }
    return NULL;
}

const struct cp_node *cp_group_member_next(const struct cp_state *s, struct el_str id,
                                           uint32_t *cursor)
{
    const struct group *g = get_group(s, id);
    uint32_t i = 0;

    for (struct el_list *it = g == NULL ? NULL : g->members.next; g != NULL && it != &g->members;
         it = it->next) {
        const struct cp_node *n;

        if (i++ < *cursor)
            continue;
        n = cp_node_get(s, el_str_of(EL_ENTRY(it, struct membership, link)->node_id));
        if (n == NULL)
            continue;
        *cursor = i;
        return n;
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
        drop_membership(g, m);
        changed(s, g, "left");
    }
    return EL_OK;
}

static void sweep_members(struct cp_state *s)
{
    for (struct group *g = next_group(s, NULL), *next; g != NULL; g = next) {
        struct el_list *it, *tmp;

        next = next_group(s, g);
        EL_LIST_EACH (it, tmp, &g->members) {
            struct membership *m = EL_ENTRY(it, struct membership, link);

            if (m->load != s->load)
                drop_membership(g, m);
        }
        if (g->load != s->load || !g->is_known)
            drop_group(s, g);
    }
}

static void dump_groups(const struct cp_state *s, cp_keep *keep, void *arg)
{
    for (const struct group *g = next_group(s, NULL); g != NULL; g = next_group(s, g)) {
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

    for (const struct group *g = next_group(s, NULL); g != NULL; g = next_group(s, g)) {
        for (struct el_list *it = g->members.next; it != &g->members; it = it->next) {
            struct el_str id = el_str_of(EL_ENTRY(it, struct membership, link)->node_id);
            struct cp_key k;

            keep(arg, membership_key(&k, id, g->group.id), (struct el_str){ value, sizeof(value) });
        }
    }
}

const struct cp_kind cp_kind_group = { "group", apply_group, NULL, dump_groups };
const struct cp_kind cp_kind_member = { "member", apply_member, sweep_members, dump_members };

void cp_groups_deinit(struct cp_state *s)
{
    for (struct group *g = next_group(s, NULL), *next; g != NULL; g = next) {
        next = next_group(s, g);
        drop_group(s, g);
    }
    cp_table_deinit(&s->groups);
    cp_policies_deinit(s);
    cp_config_deinit(s);
}
