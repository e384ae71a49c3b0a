/* SPDX-License-Identifier: MIT */
/* api_operations: what takes a while, and commands. */
#include "controlplane/serve.h"

#include <inttypes.h>

/* ---- operations ---- */

static bool operation_id(const struct el_http_call_in *in, struct el_http_reply *out, uint64_t *ret)
{
    if (el_str_u64(in->params[0], UINT64_MAX - 1, ret))
        return true;
    cp_reply_say(out, 404, EL_ENOTFOUND, "operation_id", "there is no such operation");
    return false;
}

static void say_operation(struct cp_state *state, uint64_t id, int status,
                          struct el_http_reply *out)
{
    const struct cp_operation *o = cp_operation_get(state, id);
    json_t *root;

    if (o == NULL) {
        cp_reply_say(out, 404, EL_ENOTFOUND, "operation_id", "there is no such operation");
        return;
    }
    root = el_json_new();
    cp_json_operation(root, state, o);
    cp_reply_json(out, status, root);
}

void cp_get_operations(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    const struct cp_operation *o;
    uint64_t limit = 100, cursor = 0;
    struct cp_state *state;
    json_t *root, *list;

    if (!cp_ask_limit(in, out, &limit))
        return;
    root = el_json_new();
    list = el_json_child_list(root, "operations");
    state = cp_plane_lock(s->plane);
    while (limit-- > 0 && (o = cp_operation_next(state, &cursor)) != NULL)
        cp_json_operation(el_json_append_child(list), state, o);
    (void)cp_plane_unlock(s->plane);
    cp_reply_json(out, 200, root);
}

void cp_get_operation(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    uint64_t id;

    if (!operation_id(in, out, &id))
        return;
    say_operation(cp_plane_lock(s->plane), id, 200, out);
    (void)cp_plane_unlock(s->plane);
}

/* "all", a node, a group, or else what objects' names begin with. */
static void ask_scope(struct cp_ask *a, const struct cp_state *state, const char *key,
                      struct cp_scope *ret)
{
    char name[sizeof(ret->name)] = "";

    cp_ask_text(a, key, CP_OPTIONAL, name, sizeof(name));
    memcpy(ret->name, name, sizeof(name));
    if (name[0] == '\0' || strcmp(name, "all") == 0) {
        ret->kind = CP_SCOPE_ALL;
        ret->name[0] = '\0';
    } else if (cp_node_get(state, el_str_of(name)) != NULL) {
        ret->kind = CP_SCOPE_NODE;
    } else if (cp_group_get(state, el_str_of(name)) != NULL) {
        ret->kind = CP_SCOPE_GROUP;
    } else {
        ret->kind = CP_SCOPE_PREFIX;
    }
}

static bool is_zone(const struct cp_state *state, const char *name)
{
    const struct cp_node *n;
    uint32_t cursor = 0;

    while ((n = cp_node_next(state, &cursor)) != NULL) {
        if (strcmp(n->card.zone, name) == 0)
            return true;
    }
    return false;
}

/* "all", a node, a group or a zone. */
static void ask_targets(struct cp_ask *a, const struct cp_state *state, struct cp_scope *ret)
{
    ask_scope(a, state, "targets", ret);
    if (ret->kind == CP_SCOPE_PREFIX && is_zone(state, ret->name))
        ret->kind = CP_SCOPE_ZONE;
    if (ret->kind == CP_SCOPE_PREFIX)
        cp_ask_fault(a, EL_ENOTFOUND, "targets", "is no node, group or zone");
}

static void add_id(json_t *root, const char *key, uint64_t id)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, id);
    el_json_add_str(root, key, el_str_of(text));
}

static void say_snapshot(struct cp_service *s, uint64_t id, struct el_http_reply *out)
{
    json_t *root = el_json_new();

    add_id(root, "snapshot_id", id);
    add_id(root, "operation_id", id);
    el_json_add_str(root, "status", EL_STR("created"));
    cp_json_time(root, "timestamp", el_clock_wall_ms(s->clock));
    el_json_add_str(root, "message", EL_STR("the chunks of the scope are kept under this id"));
    cp_reply_json(out, 201, root);
}

void cp_post_snapshot(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct cp_scope scope;
    struct cp_state *state;
    struct el_error err = { 0 };
    struct cp_ask a;
    json_t *root;
    uint64_t id;

    if (!cp_body(in, out, &a, &root))
        return;
    state = cp_plane_lock(s->plane);
    ask_scope(&a, state, "entity_id", &scope);
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
    } else if (cp_operation_snapshot(state, &scope, &id, &err) != EL_OK) {
        cp_reply_error(out, &err);
    } else {
        say_snapshot(s, id, out);
        cp_audit(s, state, out, "operation.snapshot", scope.name);
    }
    cp_reply_durable(s, out);
    json_decref(root);
}

static void ask_snapshot(struct cp_ask *a, uint64_t *ret)
{
    struct el_str s = { NULL, 0 };

    cp_ask_str(a, "snapshot_id", CP_OPTIONAL, &s);
    if (s.p != NULL && !el_str_u64(s, UINT64_MAX - 1, ret))
        cp_ask_fault(a, EL_EINVAL, "snapshot_id", "is no id of a snapshot");
}

static void say_replay(struct cp_service *s, uint64_t id, struct el_http_reply *out)
{
    json_t *root = el_json_new();

    el_json_add_str(root, "status", EL_STR("replay_initiated"));
    add_id(root, "operation_id", id);
    cp_json_time(root, "timestamp", el_clock_wall_ms(s->clock));
    el_json_add_str(root, "message", EL_STR("nodes are told to fetch what they lack"));
    cp_reply_json(out, 202, root);
}

void cp_post_replay(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct cp_replay replay = { 0 };
    struct cp_state *state;
    struct el_error err = { 0 };
    uint64_t id, copies = 0;
    struct cp_ask a;
    json_t *root;

    if (!cp_body(in, out, &a, &root))
        return;
    state = cp_plane_lock(s->plane);
    ask_scope(&a, state, "entity_id", &replay.chunks);
    ask_targets(&a, state, &replay.nodes);
    ask_snapshot(&a, &replay.snapshot);
    cp_ask_time(&a, "as_of", CP_OPTIONAL, &replay.as_of_wall_ms);
    cp_ask_u64(&a, "copies", CP_OPTIONAL, 1000, &copies);
    replay.copies = (uint32_t)copies;
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
    } else if (cp_operation_replay(state, &replay, &id, &err) != EL_OK) {
        cp_reply_error(out, &err);
    } else {
        say_replay(s, id, out);
        cp_audit(s, state, out, "operation.replay", replay.chunks.name);
    }
    cp_reply_durable(s, out);
    json_decref(root);
}

void cp_post_prefetch(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct cp_scope nodes = { .kind = CP_SCOPE_ALL };
    struct el_error err = { 0 };
    struct cp_state *state;
    const json_t *urls;
    struct cp_ask a;
    json_t *root;
    uint64_t id;

    if (!cp_body(in, out, &a, &root))
        return;
    state = cp_plane_lock(s->plane);
    urls = cp_ask_list(&a, "urls", CP_NEEDED, CP_PREFETCH_URLS_MAX);
    ask_targets(&a, state, &nodes);
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
    } else if (cp_operation_prefetch(state, &nodes, urls, &id, &err) != EL_OK) {
        cp_reply_error(out, &err);
    } else {
        say_operation(state, id, 202, out);
        cp_audit(s, state, out, "operation.prefetch", nodes.name);
    }
    cp_reply_durable(s, out);
    json_decref(root);
}

/* As a node's POST /api/v1/cache/warm takes it. */
void cp_get_urls(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    json_t *root, *list = NULL;
    const char *urls;
    uint64_t id;

    if (!operation_id(in, out, &id))
        return;
    urls = cp_operation_urls(cp_plane_lock(s->plane), id);
    if (urls != NULL)
        list = json_loads(urls, 0, NULL);
    (void)cp_plane_unlock(s->plane);
    if (list == NULL) {
        cp_reply_say(out, 404, EL_ENOTFOUND, "operation_id", "there is no such list");
        return;
    }
    root = el_json_new();
    EL_ASSERT(json_object_set_new(root, "urls", list) == 0);
    cp_reply_json(out, 200, root);
}

/* Starts it and says which one it is; the plane is locked. */
static void drain(struct cp_service *s, struct cp_state *state, const struct el_str *ids, size_t n,
                  uint32_t max_unavailable, struct el_http_reply *out)
{
    struct el_error err = { 0 };
    char text[CP_TEXT_MAX];
    uint64_t id;

    if (cp_operation_drain(state, ids, n, max_unavailable, &id, &err) != EL_OK) {
        cp_reply_error(out, &err);
        return;
    }
    say_operation(state, id, 202, out);
    (void)snprintf(text, sizeof(text), "%zu nodes, the first is %.*s", n, EL_STR_ARG(ids[0]));
    cp_audit(s, state, out, "operation.drain", text);
}

void cp_post_drain(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char node_id[CP_ID_MAX + 1];
    struct el_str id;

    if (!cp_param(in, 0, out, node_id))
        return;
    id = el_str_of(node_id);
    drain(s, cp_plane_lock(s->plane), &id, 1, 0, out);
    cp_reply_durable(s, out);
}

void cp_post_undrain(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char node_id[CP_ID_MAX + 1];
    struct el_error err = { 0 };
    struct cp_state *state;
    json_t *root;

    if (!cp_param(in, 0, out, node_id))
        return;
    state = cp_plane_lock(s->plane);
    if (cp_node_drain(state, el_str_of(node_id), false, &err) == EL_OK) {
        root = el_json_new();
        cp_json_node(root, state, cp_node_get(state, el_str_of(node_id)));
        cp_reply_json(out, 200, root);
        cp_audit(s, state, out, "node.undrain", node_id);
    } else {
        cp_reply_error(out, &err);
    }
    cp_reply_durable(s, out);
}

void cp_post_drains(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct el_str ids[CP_OPERATION_NODES_MAX] = { { NULL, 0 } };
    const json_t *list;
    uint64_t max = 1;
    struct cp_ask a;
    json_t *root;
    size_t n;

    if (!cp_body(in, out, &a, &root))
        return;
    list = cp_ask_list(&a, "node_ids", CP_NEEDED, CP_OPERATION_NODES_MAX);
    n = json_array_size(list);
    cp_ask_u64(&a, "max_unavailable", CP_OPTIONAL, CP_OPERATION_NODES_MAX, &max);
    if (n == 0)
        cp_ask_fault(&a, EL_EINVAL, "node_ids", "is empty");
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);

        if (!json_is_string(v))
            cp_ask_fault(&a, EL_EINVAL, "node_ids", "has an element that is no string");
        else
            ids[i] = (struct el_str){ json_string_value(v), json_string_length(v) };
    }
    if (a.code == EL_OK) {
        drain(s, cp_plane_lock(s->plane), ids, n, (uint32_t)max, out);
        cp_reply_durable(s, out);
    } else {
        cp_reply_fault(out, &a);
    }
    json_decref(root);
}

/* A thread of its own writes it; see service.c. */
void cp_post_backup(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct el_error err = { 0 };
    struct cp_state *state;
    uint64_t id;

    (void)in;
    state = cp_plane_lock(s->plane);
    if (cp_operation_begin(state, CP_BACKUP, 1, &id, &err) != EL_OK) {
        cp_reply_error(out, &err);
    } else {
        say_operation(state, id, 202, out);
        cp_audit(s, state, out, "operation.backup", "");
        cp_service_backup(s, id);
    }
    cp_reply_durable(s, out);
}

static void end_operation(struct cp_service *s, const struct el_http_call_in *in,
                          struct el_http_reply *out, const char *what,
                          enum el_err (*end)(struct cp_state *, uint64_t, struct el_error *))
{
    struct el_error err = { 0 };
    struct cp_state *state;
    char text[24];
    uint64_t id;

    if (!operation_id(in, out, &id))
        return;
    state = cp_plane_lock(s->plane);
    if (end(state, id, &err) == EL_OK) {
        cp_reply_empty(out);
        (void)snprintf(text, sizeof(text), "%" PRIu64, id);
        cp_audit(s, state, out, what, text);
    } else {
        cp_reply_error(out, &err);
    }
    cp_reply_durable(s, out);
}

void cp_post_cancel(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    end_operation(cp_service_of(arg), in, out, "operation.cancel", cp_operation_cancel);
}

void cp_delete_operation(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    end_operation(cp_service_of(arg), in, out, "operation.delete", cp_operation_delete);
}

/* ---- commands ---- */

void cp_get_commands(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    const struct cp_command *c;
    uint64_t limit = 100, cursor = 0;
    struct cp_state *state;
    json_t *root, *list;

    if (!cp_ask_limit(in, out, &limit))
        return;
    root = el_json_new();
    list = el_json_child_list(root, "commands");
    state = cp_plane_lock(s->plane);
    while (limit-- > 0 && (c = cp_command_next(state, &cursor)) != NULL)
        cp_json_command(el_json_append_child(list), c);
    (void)cp_plane_unlock(s->plane);
    cp_reply_json(out, 200, root);
}

static void ask_order(struct cp_ask *a, struct cp_order *order)
{
    struct el_str chunk = { NULL, 0 }, action = { NULL, 0 };
    uint64_t priority = 50;

    cp_ask_str(a, "chunk_id", CP_NEEDED, &chunk);
    if (chunk.p != NULL && !el_chunk_id_parse(chunk, &order->chunk))
        cp_ask_fault(a, EL_EINVAL, "chunk_id", "is no chunk id");
    cp_ask_str(a, "action", CP_NEEDED, &action);
    if (action.p != NULL && !cp_action_parse(action, &order->action))
        cp_ask_fault(a, EL_EINVAL, "action", "is not replicate, evict or migrate");
    cp_ask_str(a, "source_node_id", CP_OPTIONAL, &order->source_node_id);
    cp_ask_str(a, "target_node_id", CP_NEEDED, &order->target_node_id);
    cp_ask_u64(a, "priority", CP_OPTIONAL, 100, &priority);
    order->priority = (uint32_t)priority;
}

void cp_post_commands(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct cp_order order = { .source_node_id = EL_STR("") };
    const struct cp_command *command;
    struct el_error err = { 0 };
    struct cp_state *state;
    struct cp_ask a;
    json_t *root, *answer;

    if (!cp_body(in, out, &a, &root))
        return;
    ask_order(&a, &order);
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
    } else {
        state = cp_plane_lock(s->plane);
        if (cp_command_order(state, &order, &command, &err) == EL_OK) {
            answer = el_json_new();
            cp_json_command(answer, command);
            cp_reply_json(out, 201, answer);
            cp_audit(s, state, out, "command.order", command->command_id);
        } else {
            cp_reply_error(out, &err);
        }
        cp_reply_durable(s, out);
    }
    json_decref(root);
}

void cp_delete_command(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char id[CP_ID_MAX + 1];
    struct el_error err = { 0 };
    struct cp_state *state;

    if (!cp_param(in, 0, out, id))
        return;
    state = cp_plane_lock(s->plane);
    if (cp_command_cancel(state, el_str_of(id), &err) == EL_OK) {
        cp_reply_empty(out);
        cp_audit(s, state, out, "command.cancel", id);
    } else {
        cp_reply_error(out, &err);
    }
    cp_reply_durable(s, out);
}
