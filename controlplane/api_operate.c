/* SPDX-License-Identifier: MIT */
/* api_operate: what operators say of the cluster: groups, relays, policies, configuration. */
#include "common/conf_push.h"
#include "controlplane/serve.h"

/* ---- groups ---- */

static void add_group(json_t *o, const struct cp_state *state, const struct cp_group *g)
{
    json_t *list;
    const struct cp_node *n;
    uint32_t cursor = 0;

    el_json_add_str(o, "group_id", el_str_of(g->id));
    el_json_add_str(o, "name", el_str_of(g->name));
    el_json_add_str(o, "prefix", el_str_of(g->prefix));
    el_json_add_str(o, "seed_node_id", el_str_of(g->seed_node_id));
    cp_json_time(o, "created_at", g->created_wall_ms);
    list = el_json_child_list(o, "nodes");
    while ((n = cp_group_member_next(state, el_str_of(g->id), &cursor)) != NULL)
        EL_ASSERT(json_array_append_new(list, json_string(n->card.node_id)) == 0);
}

static void say_group(struct cp_state *state, const char *id, int status, struct el_http_reply *out)
{
    const struct cp_group *g = cp_group_get(state, el_str_of(id));
    json_t *root;

    if (g == NULL) {
        cp_reply_say(out, 404, EL_ENOTFOUND, "group_id", "there is no group of that name");
        return;
    }
    root = el_json_new();
    add_group(root, state, g);
    cp_reply_json(out, status, root);
}

void cp_get_groups(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    json_t *root = el_json_new(), *list = el_json_child_list(root, "groups");
    struct cp_state *state = cp_plane_lock(s->plane);
    const struct cp_group *g;
    uint32_t cursor = 0;

    (void)in;
    while ((g = cp_group_next(state, &cursor)) != NULL)
        add_group(el_json_append_child(list), state, g);
    (void)cp_plane_unlock(s->plane);
    cp_reply_json(out, 200, root);
}

void cp_post_groups(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct cp_group_said said = { .name = EL_STR("") };
    char id[CP_ID_MAX + 1] = "", seed[CP_ID_MAX + 1] = "";
    struct el_error err = { 0 };
    struct cp_state *state;
    struct cp_ask a;
    json_t *root;

    if (!cp_body(in, out, &a, &root))
        return;
    cp_ask_text(&a, "group_id", CP_NEEDED, id, sizeof(id));
    cp_ask_str(&a, "name", CP_OPTIONAL, &said.name);
    cp_ask_str(&a, "prefix", CP_OPTIONAL, &said.prefix);
    cp_ask_text(&a, "node_id", CP_OPTIONAL, seed, sizeof(seed));
    if (seed[0] != '\0' && !cp_name_is_valid(el_str_of(seed)))
        cp_ask_fault(&a, EL_EINVAL, "node_id", "is no node's id");
    said.id = el_str_of(id);
    said.seed_node_id = el_str_of(seed);
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
    } else {
        state = cp_plane_lock(s->plane);
        if (cp_group_create(state, &said, &err) == EL_OK) {
            say_group(state, id, 201, out);
            cp_audit(s, state, out, "group.create", id);
        } else {
            cp_reply_error(out, &err);
        }
        cp_reply_durable(s, out);
    }
    json_decref(root);
}

void cp_get_group(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char id[CP_ID_MAX + 1];

    if (!cp_param(in, 0, out, id))
        return;
    say_group(cp_plane_lock(s->plane), id, 200, out);
    (void)cp_plane_unlock(s->plane);
}

void cp_delete_group(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char id[CP_ID_MAX + 1];
    struct el_error err = { 0 };
    struct cp_state *state;

    if (!cp_param(in, 0, out, id))
        return;
    state = cp_plane_lock(s->plane);
    cp_reply_done(s, state, cp_group_delete(state, el_str_of(id), &err), &err, "group.delete", id,
                  out);
}

void cp_get_group_nodes(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char id[CP_ID_MAX + 1];
    const struct cp_node *n;
    struct cp_state *state;
    json_t *root, *list;
    uint32_t cursor = 0;

    if (!cp_param(in, 0, out, id))
        return;
    state = cp_plane_lock(s->plane);
    if (cp_group_get(state, el_str_of(id)) == NULL) {
        say_group(state, id, 200, out);
    } else {
        root = el_json_new();
        list = el_json_child_list(root, "nodes");
        while ((n = cp_group_member_next(state, el_str_of(id), &cursor)) != NULL)
            cp_json_peer(el_json_append_child(list), n);
        cp_reply_json(out, 200, root);
    }
    (void)cp_plane_unlock(s->plane);
}

void cp_post_group_nodes(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char id[CP_ID_MAX + 1], node_id[CP_ID_MAX + 1] = "";
    struct el_error err = { 0 };
    struct cp_state *state;
    struct cp_ask a;
    json_t *root;

    if (!cp_param(in, 0, out, id) || !cp_body(in, out, &a, &root))
        return;
    cp_ask_text(&a, "node_id", CP_NEEDED, node_id, sizeof(node_id));
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
    } else if (!cp_access_is_for(&s->who, node_id)) {
        cp_reply_forbid_other(out);
    } else {
        state = cp_plane_lock(s->plane);
        cp_reply_done(s, state, cp_group_join(state, el_str_of(id), el_str_of(node_id), &err), &err,
                      "group.join", node_id, out);
    }
    json_decref(root);
}

void cp_get_group_node(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char id[CP_ID_MAX + 1], node_id[CP_ID_MAX + 1];
    const struct cp_node *found = NULL;
    struct cp_state *state;
    json_t *root;

    if (!cp_param(in, 0, out, id) || !cp_param(in, 1, out, node_id))
        return;
    state = cp_plane_lock(s->plane);
    if (cp_group_has(state, el_str_of(id), el_str_of(node_id)))
        found = cp_node_get(state, el_str_of(node_id));
    if (found != NULL) {
        root = el_json_new();
        cp_json_peer(root, found);
        cp_reply_json(out, 200, root);
    } else {
        cp_reply_say(out, 404, EL_ENOTFOUND, "node_id", "the group has no member of that name");
    }
    (void)cp_plane_unlock(s->plane);
}

void cp_delete_group_node(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char id[CP_ID_MAX + 1], node_id[CP_ID_MAX + 1];
    struct el_error err = { 0 };
    struct cp_state *state;

    if (!cp_param(in, 0, out, id) || !cp_param(in, 1, out, node_id))
        return;
    if (!cp_access_is_for(&s->who, node_id)) {
        cp_reply_forbid_other(out);
        return;
    }
    state = cp_plane_lock(s->plane);
    cp_reply_done(s, state, cp_group_leave(state, el_str_of(id), el_str_of(node_id), &err), &err,
                  "group.leave", node_id, out);
}

/* ---- relays: nodes that may fetch for their zone ---- */

static void list_relays(struct cp_service *s, const char *zone, struct el_http_reply *out)
{
    json_t *root = el_json_new(), *list = el_json_child_list(root, "relays");
    struct cp_state *state = cp_plane_lock(s->plane);
    const struct cp_node *n;
    uint32_t cursor = 0;

    while ((n = cp_node_next(state, &cursor)) != NULL) {
        if (n->is_relay && (zone == NULL || strcmp(n->card.zone, zone) == 0))
            cp_json_peer(el_json_append_child(list), n);
    }
    (void)cp_plane_unlock(s->plane);
    cp_reply_json(out, 200, root);
}

void cp_get_relays(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    (void)in;
    list_relays(cp_service_of(arg), NULL, out);
}

void cp_get_zone_relays(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    char zone[CP_ID_MAX + 1];

    if (cp_param(in, 0, out, zone))
        list_relays(cp_service_of(arg), zone, out);
}

void cp_post_relays(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char node_id[CP_ID_MAX + 1] = "";
    struct el_error err = { 0 };
    struct cp_state *state;
    struct cp_ask a;
    json_t *root, *answer;

    if (!cp_body(in, out, &a, &root))
        return;
    cp_ask_text(&a, "node_id", CP_NEEDED, node_id, sizeof(node_id));
    json_decref(root);
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
        return;
    }
    state = cp_plane_lock(s->plane);
    if (cp_node_relay(state, el_str_of(node_id), true, &err) == EL_OK) {
        answer = el_json_new();
        cp_json_peer(answer, cp_node_get(state, el_str_of(node_id)));
        cp_reply_json(out, 201, answer);
        cp_audit(s, state, out, "relay.add", node_id);
    } else {
        cp_reply_error(out, &err);
    }
    cp_reply_durable(s, out);
}

void cp_delete_relay(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char zone[CP_ID_MAX + 1], node_id[CP_ID_MAX + 1];
    struct el_error err = { 0 };
    const struct cp_node *n;
    struct cp_state *state;

    if (!cp_param(in, 0, out, zone) || !cp_param(in, 1, out, node_id))
        return;
    state = cp_plane_lock(s->plane);
    n = cp_node_get(state, el_str_of(node_id));
    if (n == NULL || !n->is_relay || strcmp(n->card.zone, zone) != 0) {
        cp_reply_say(out, 404, EL_ENOTFOUND, "node_id", "the zone has no relay of that name");
        (void)cp_plane_unlock(s->plane);
        return;
    }
    cp_reply_done(s, state, cp_node_relay(state, el_str_of(node_id), false, &err), &err,
                  "relay.remove", node_id, out);
}

/* ---- policies and configuration ---- */

static void say_policies(struct cp_state *state, struct el_http_reply *out)
{
    json_t *root = el_json_new();

    el_json_add_u64(root, "version", cp_policy_version(state));
    cp_json_policies(root, state);
    cp_reply_json(out, 200, root);
}

void cp_get_policies(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);

    (void)in;
    say_policies(cp_plane_lock(s->plane), out);
    (void)cp_plane_unlock(s->plane);
}

/* All that there are, with this one in the place of its prefix; NULL: it is not well-formed. */
static json_t *policies_with(struct cp_state *state, const struct cp_policy *p)
{
    json_t *root = el_json_new(), *list, *settings = json_loads(p->settings.p, 0, NULL), *o;

    cp_json_policies(root, state);
    list = json_incref(json_object_get(root, "policies"));
    json_decref(root);
    for (size_t i = json_array_size(list); i > 0; i--) {
        const json_t *prefix = json_object_get(json_array_get(list, i - 1), "prefix");

        if (strcmp(json_string_value(prefix), p->prefix) == 0)
            EL_ASSERT(json_array_remove(list, i - 1) == 0);
    }
    o = el_json_append_child(list);
    el_json_add_str(o, "prefix", el_str_of(p->prefix));
    EL_ASSERT(json_object_set_new(o, "settings", settings) == 0);
    return list;
}

/* By the rules that nodes have, all of them together. The plane is locked. */
static enum el_err check_policies(struct cp_state *state, const struct cp_policy *p,
                                  struct el_error *err)
{
    struct el_buf lines = { 0 };
    struct el_error why = { 0 };
    enum el_err rc = EL_OK;
    json_t *all;

    if (p->settings.n == 0)
        return EL_OK;
    if (el_conf_push_check_prefix(p->prefix, &why) != EL_OK)
        return el_fail(err, EL_EINVAL, 0, "prefix: %.160s", why.text);
    all = policies_with(state, p);
    if (el_conf_push_policies(all, &lines, &why) != EL_OK ||
        el_conf_push_check(el_buf_str(&lines), &why) != EL_OK)
        rc = el_fail(err, EL_EINVAL, 0, "settings: %.160s", why.text);
    json_decref(all);
    el_buf_deinit(&lines);
    return rc;
}

void cp_put_policy(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct cp_policy p = { .is_replicated = true };
    uint64_t min = 0, max = 0;
    struct el_error err = { 0 };
    struct cp_state *state;
    struct cp_ask a;
    json_t *root;
    char *settings;

    if (!cp_body(in, out, &a, &root))
        return;
    cp_ask_text(&a, "prefix", CP_NEEDED, p.prefix, sizeof(p.prefix));
    cp_ask_u64(&a, "min_copies", CP_OPTIONAL, 100, &min);
    cp_ask_u64(&a, "max_copies", CP_OPTIONAL, 100, &max);
    cp_ask_bool(&a, "pinned", CP_OPTIONAL, &p.is_pinned);
    cp_ask_bool(&a, "replicated", CP_OPTIONAL, &p.is_replicated);
    settings = cp_ask_flat(&a, "settings", CP_OPTIONAL, CP_FLAT_ANY, CP_CONFIG_MAX);
    if (min > 0 && max > 0 && min > max)
        cp_ask_fault(&a, EL_EINVAL, "min_copies", "is more than max_copies");
    p.min_copies = (uint32_t)min;
    p.max_copies = (uint32_t)max;
    p.settings = el_str_of(settings);
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
    } else {
        state = cp_plane_lock(s->plane);
        if (check_policies(state, &p, &err) == EL_OK && cp_policy_set(state, &p, &err) == EL_OK) {
            say_policies(state, out);
            cp_audit(s, state, out, "policy.set", p.prefix);
        } else {
            cp_reply_error(out, &err);
        }
        cp_reply_durable(s, out);
    }
    free(settings);
    json_decref(root);
}

void cp_delete_policy(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char prefix[CP_PREFIX_MAX + 1];
    struct el_error err = { 0 };
    struct cp_state *state;

    if (!cp_query_text(in->query, "prefix", prefix, sizeof(prefix))) {
        cp_reply_say(out, 400, EL_EINVAL, "prefix", "the query has no prefix");
        return;
    }
    state = cp_plane_lock(s->plane);
    cp_reply_done(s, state, cp_policy_delete(state, el_str_of(prefix), &err), &err, "policy.delete",
                  prefix, out);
}

static void say_config(struct cp_state *state, struct el_http_reply *out)
{
    json_t *root = el_json_new();

    cp_json_config(root, cp_config_get(state, CP_CONFIG_NEWEST));
    cp_reply_json(out, 200, root);
}

void cp_get_config(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);

    (void)in;
    say_config(cp_plane_lock(s->plane), out);
    (void)cp_plane_unlock(s->plane);
}

void cp_get_config_versions(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    json_t *root = el_json_new(), *list = el_json_child_list(root, "versions");
    struct cp_state *state = cp_plane_lock(s->plane);
    const struct cp_config *c;
    uint32_t cursor = 0;

    (void)in;
    while ((c = cp_config_next(state, &cursor)) != NULL)
        cp_json_config(el_json_append_child(list), c);
    (void)cp_plane_unlock(s->plane);
    cp_reply_json(out, 200, root);
}

/* What to push: settings, that nodes would take, or those of a version that there was. To be
 * free()d; NULL: `a` says why. */
static char *ask_config(struct cp_ask *a, const struct cp_state *state)
{
    bool is_old = json_object_get(a->obj, "settings_of") != NULL;
    uint64_t version = 0;
    const struct cp_config *old;

    cp_ask_u64(a, "settings_of", CP_OPTIONAL, INT64_MAX, &version);
    if (!is_old)
        return cp_ask_flat(a, "settings", CP_NEEDED, CP_FLAT_ANY, CP_CONFIG_MAX);
    old = version > 0 ? cp_config_get(state, version) : NULL;
    if (old != NULL)
        return el_strndup(old->json, old->n);
    cp_ask_fault(a, EL_ENOTFOUND, "settings_of", "is no version that is kept");
    return NULL;
}

/* By the rules that nodes have: what they would refuse is not pushed. */
static void check_config(struct cp_ask *a, const char *settings)
{
    static const char where[] = "settings: "; /* as the fault's field says */
    json_t *root = settings == NULL ? NULL : json_loads(settings, 0, NULL);
    struct el_buf lines = { 0 };
    struct el_error err = { 0 };
    bool is_said;

    if (root != NULL && (el_conf_push_lines(root, &lines, &err) != EL_OK ||
                         el_conf_push_check(el_buf_str(&lines), &err) != EL_OK)) {
        is_said = el_str_starts(el_str_of(err.text), el_str_of(where));
        cp_ask_fault(a, EL_EINVAL, "settings", "%s", err.text + (is_said ? sizeof(where) - 1 : 0));
    }
    el_buf_deinit(&lines);
    json_decref(root);
}

/* The plane is locked. */
static void push_config(struct cp_service *s, struct cp_state *state, struct cp_ask *a,
                        struct el_http_reply *out)
{
    uint64_t if_version = cp_config_version(state), version;
    struct el_error err = { 0 };
    char *settings;

    cp_ask_u64(a, "if_version", CP_OPTIONAL, INT64_MAX, &if_version);
    settings = ask_config(a, state);
    check_config(a, settings);
    if (a->code != EL_OK) {
        cp_reply_fault(out, a);
    } else if (if_version != cp_config_version(state)) {
        cp_reply_say(out, 409, EL_ECONFLICT, "if_version", "somebody has changed it meanwhile");
    } else if (cp_config_set(state, el_str_of(settings), &version, &err) != EL_OK) {
        cp_reply_error(out, &err);
    } else {
        say_config(state, out);
        cp_audit(s, state, out, "config.push", settings);
    }
    free(settings);
}

void cp_put_config(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct cp_ask a;
    json_t *root;

    if (!cp_body(in, out, &a, &root))
        return;
    push_config(s, cp_plane_lock(s->plane), &a, out);
    cp_reply_durable(s, out);
    json_decref(root);
}
