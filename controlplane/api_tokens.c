/* SPDX-License-Identifier: MIT */
/* api_tokens: who may do what, who has done what (the audit log), and who is called (webhooks). */
#include "controlplane/serve.h"

#include "common/sha256.h"

/* ---- tokens ---- */

static void add_token(json_t *o, const struct cp_token *t)
{
    el_json_add_str(o, "name", el_str_of(t->name));
    el_json_add_str(o, "role", el_str_of(cp_role_name(t->role)));
    cp_json_time(o, "created_at", t->created_wall_ms);
    cp_json_time(o, "expires_at", t->expires_wall_ms);
}

void cp_get_tokens(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    json_t *root = el_json_new(), *list = el_json_child_list(root, "tokens");
    struct cp_state *state = cp_plane_lock(s->plane);
    const struct cp_token *t;
    uint32_t cursor = 0;

    (void)in;
    while ((t = cp_token_next(state, &cursor)) != NULL)
        add_token(el_json_append_child(list), t);
    (void)cp_plane_unlock(s->plane);
    cp_reply_json(out, 200, root);
}

static void ask_token(struct cp_ask *a, const struct cp_service *s, struct cp_token *t)
{
    struct el_str role = { NULL, 0 };
    uint64_t expires_s = 0;

    cp_ask_str(a, "role", CP_NEEDED, &role);
    if (role.p != NULL && !cp_role_parse(role, &t->role))
        cp_ask_fault(a, EL_EINVAL, "role", "is not node, operator or reader");
    cp_ask_text(a, "name", t->role == CP_ROLE_NODE ? CP_OPTIONAL : CP_NEEDED, t->name,
                sizeof(t->name));
    cp_ask_u64(a, "expires_in_s", CP_OPTIONAL, 10u * 366 * 86400, &expires_s);
    t->created_wall_ms = el_clock_wall_ms(s->clock);
    if (expires_s > 0)
        t->expires_wall_ms = t->created_wall_ms + (int64_t)expires_s * 1000;
}

/* The plane is locked. */
static void add_new_token(struct cp_service *s, struct cp_state *state, struct cp_token *t,
                          struct el_http_reply *out)
{
    char text[CP_TOKEN_CHARS + 1];
    struct el_error err = { 0 };
    struct el_digest hash;
    json_t *root;

    if (s->who.is_open && t->role != CP_ROLE_OPERATOR) {
        cp_reply_say(out, 409, EL_ECONFLICT, "role",
                     "the first token has to be an operator's, or nobody could make another");
        return;
    }
    cp_token_draw(text);
    el_sha256_of(text, CP_TOKEN_CHARS, &hash);
    memcpy(t->hash, hash.b, sizeof(t->hash));
    if (cp_token_add(state, t, &err) != EL_OK) {
        cp_reply_error(out, &err);
        return;
    }
    root = el_json_new();
    add_token(root, t);
    el_json_add_str(root, "token", el_str_of(text));
    cp_reply_json(out, 201, root);
    cp_audit(s, state, out, "token.create", t->name);
    cp_service_look_at_tokens(s, state);
}

void cp_post_tokens(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct cp_token t = { .role = CP_ROLE_NODE };
    struct cp_ask a;
    json_t *root;

    if (!cp_body(in, out, &a, &root))
        return;
    ask_token(&a, s, &t);
    json_decref(root);
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
        return;
    }
    add_new_token(s, cp_plane_lock(s->plane), &t, out);
    cp_reply_durable(s, out);
}

void cp_delete_token(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char role_name[CP_ID_MAX + 1], name[CP_ID_MAX + 1];
    struct el_error err = { 0 };
    struct cp_state *state;
    enum cp_role role;

    if (!cp_param(in, 0, out, role_name) || !cp_param(in, 1, out, name))
        return;
    if (!cp_role_parse(el_str_of(role_name), &role)) {
        cp_reply_say(out, 404, EL_ENOTFOUND, "role", "there is no such role");
        return;
    }
    if (strcmp(name, "*") == 0) /* the one with which any node registers has no name */
        name[0] = '\0';
    state = cp_plane_lock(s->plane);
    if (cp_token_revoke(state, role, el_str_of(name), &err) == EL_OK) {
        cp_reply_empty(out);
        cp_audit(s, state, out, "token.revoke", name);
        cp_service_look_at_tokens(s, state);
    } else {
        cp_reply_error(out, &err);
    }
    cp_reply_durable(s, out);
}

/* ---- the audit log ---- */

void cp_get_audit(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    const struct cp_audit *entry;
    uint64_t limit = 100, cursor = 0;
    struct cp_state *state;
    json_t *root, *list;

    if (!cp_ask_limit(in, out, &limit))
        return;
    root = el_json_new();
    list = el_json_child_list(root, "entries");
    state = cp_plane_lock(s->plane);
    while (limit-- > 0 && (entry = cp_audit_next(state, &cursor)) != NULL) {
        json_t *o = el_json_append_child(list);

        el_json_add_u64(o, "number", entry->number);
        cp_json_time(o, "at", entry->wall_ms);
        el_json_add_str(o, "who", el_str_of(entry->who));
        el_json_add_str(o, "what", el_str_of(entry->what));
        el_json_add_str(o, "text", el_str_of(entry->text));
        el_json_add_u64(o, "status", (uint64_t)entry->status);
    }
    (void)cp_plane_unlock(s->plane);
    cp_reply_json(out, 200, root);
}

/* ---- webhooks ---- */

void cp_get_webhooks(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    json_t *root = el_json_new();

    (void)in;
    cp_hooks_json(el_json_child_list(root, "webhooks"), s->hooks);
    cp_reply_json(out, 200, root);
}

void cp_post_webhooks_test(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    json_t *root = el_json_new();

    (void)in;
    el_json_add_u64(root, "queued", cp_hooks_test(s->hooks));
    cp_reply_json(out, 202, root);
}
