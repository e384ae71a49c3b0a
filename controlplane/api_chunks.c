/* SPDX-License-Identifier: MIT */
/* api_chunks: which nodes have which chunks: their reports, questions, what objects are called. */
#include "controlplane/serve.h"

#define MAX_PEERS 100000u /* in one answer: 13 MB */

/* ---- reports ---- */

static bool has(const struct cp_ask *a, const char *key)
{
    return json_object_get(a->obj, key) != NULL;
}

/* The lists are to be free()d. */
static void ask_report(struct cp_ask *a, struct cp_report *r)
{
    uint64_t page = 0, pages = 0;
    bool is_delta = has(a, "added") || has(a, "removed") || has(a, "base_epoch");

    if (is_delta == has(a, "chunk_ids"))
        cp_ask_fault(a, EL_EINVAL, "chunk_ids",
                     is_delta ? "does not go with added, removed and base_epoch" : "is missing");
    cp_ask_u64(a, "epoch", is_delta || has(a, "pages") ? CP_NEEDED : CP_OPTIONAL, INT64_MAX,
               &r->epoch);
    cp_ask_digest(a, "digest", &r->has_digest, &r->digest);
    if (is_delta && !r->has_digest)
        cp_ask_fault(a, EL_EINVAL, "digest", "is missing");
    r->kind = is_delta ? CP_REPORT_DELTA : has(a, "pages") ? CP_REPORT_PAGE : CP_REPORT_FULL;
    if (r->kind == CP_REPORT_DELTA) {
        cp_ask_u64(a, "base_epoch", CP_NEEDED, INT64_MAX, &r->base_epoch);
        r->has = cp_ask_chunks(a, "added", CP_OPTIONAL, CP_REPORT_MAX, &r->has_n);
        r->lost = cp_ask_chunks(a, "removed", CP_OPTIONAL, CP_REPORT_MAX, &r->lost_n);
        return;
    }
    if (r->kind == CP_REPORT_PAGE) {
        cp_ask_u64(a, "page", CP_NEEDED, 4095, &page);
        cp_ask_u64(a, "pages", CP_NEEDED, 4096, &pages);
        if (a->code == EL_OK && page >= pages)
            cp_ask_fault(a, EL_EINVAL, "page", "is not below pages");
        r->page = (uint32_t)page;
        r->pages = (uint32_t)pages;
    }
    r->has = cp_ask_chunks(a, "chunk_ids", CP_NEEDED, CP_REPORT_MAX, &r->has_n);
}

static void say_wants_full(struct el_http_reply *out, const struct cp_node *node)
{
    json_t *root;
    struct el_str id = { "", 0 };

    (void)el_fieldv_get(el_fields_view(&out->fields), EL_STR("X-Request-Id"), &id);
    root = el_json_new();
    el_json_add_u64(root, "code", EL_ECONFLICT);
    el_json_add_str(root, "text", EL_STR("the report does not fit what is known: send a full one"));
    el_json_add_str(root, "field", EL_STR("epoch"));
    el_json_add_str(root, "request_id", id);
    el_json_add_str(root, "want", EL_STR("full"));
    el_json_add_u64(root, "epoch", node->report_epoch);
    cp_reply_json(out, 409, root);
}

static void report(struct cp_service *s, const char *node_id, const struct cp_report *r,
                   struct el_http_reply *out)
{
    struct cp_state *state = cp_plane_lock(s->plane);
    bool wants_full = false;
    struct el_error err = { 0 };
    enum el_err rc = cp_chunks_report(state, el_str_of(node_id), r, &wants_full, &err);
    const struct cp_node *node = cp_node_get(state, el_str_of(node_id));

    if (rc != EL_OK) {
        cp_reply_error(out, &err);
    } else if (wants_full) {
        say_wants_full(out, node);
    } else {
        cp_reply_empty(out);
        cp_reply_field_u64(out, "X-Elio-Chunk-Epoch", node->report_epoch);
        cp_reply_digest(out, node->digest);
    }
    (void)cp_plane_unlock(s->plane); /* soft */
}

void cp_put_chunks(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    char node_id[CP_ID_MAX + 1];
    struct cp_report r = { 0 };
    struct cp_ask a;
    json_t *root;

    if (!cp_param(in, 0, out, node_id) || !cp_body(in, out, &a, &root))
        return;
    cp_ask_own_id(&a, node_id);
    ask_report(&a, &r);
    if (a.code == EL_OK)
        report(cp_service_of(arg), node_id, &r, out);
    else
        cp_reply_fault(out, &a);
    free((void *)(uintptr_t)r.has);
    free((void *)(uintptr_t)r.lost);
    json_decref(root);
}

/* ---- questions ---- */

static void add_peer(struct el_buf *out, const struct cp_node *n)
{
    el_buf_add_str(out, EL_STR("{\"node_id\":"));
    cp_json_quote(out, n->card.node_id);
    el_buf_add_str(out, EL_STR(",\"address\":"));
    cp_json_quote(out, n->card.address);
    el_buf_add_str(out, EL_STR(",\"p2p_port\":"));
    el_buf_add_u64(out, n->card.p2p_port);
    el_buf_add_str(out, EL_STR(",\"http_port\":"));
    el_buf_add_u64(out, n->card.http_port);
    el_buf_add_str(out, EL_STR(",\"zone\":"));
    cp_json_quote(out, n->card.zone);
    el_buf_add_byte(out, '}');
}

/* As text at once: a thousand chunks are ten thousand objects. */
static void on_located(void *arg, const struct el_chunk_id *id,
                       const struct cp_node *const *holders, size_t n, size_t total)
{
    struct el_buf *out = (struct el_buf *)arg;
    char text[EL_CHUNK_ID_CHARS + 1];

    el_chunk_id_text(id, text);
    el_buf_add_str(out, out->p[out->n - 1] == '[' ? EL_STR("{\"chunk_id\":\"")
                                                  : EL_STR(",{\"chunk_id\":\""));
    el_buf_add(out, text, EL_CHUNK_ID_CHARS);
    el_buf_add_str(out, EL_STR("\",\"peer_ids\":["));
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            el_buf_add_byte(out, ',');
        cp_json_quote(out, holders[i]->card.node_id);
    }
    el_buf_add_str(out, EL_STR("],\"peers\":["));
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            el_buf_add_byte(out, ',');
        add_peer(out, holders[i]);
    }
    el_buf_add_str(out, EL_STR("],\"total\":"));
    el_buf_add_u64(out, total);
    el_buf_add_byte(out, '}');
}

static void locate(struct cp_service *s, const struct cp_question *q, struct el_http_reply *out)
{
    struct cp_state *state = cp_plane_lock(s->plane);
    struct el_error err = { 0 };

    el_buf_add_str(&out->body, EL_STR("{\"locations\":["));
    if (cp_chunks_locate(state, q, on_located, &out->body, &err) == EL_OK) {
        el_buf_add_str(&out->body, EL_STR("]}\n"));
        out->content_type = "application/json";
    } else {
        cp_reply_error(out, &err);
    }
    (void)cp_plane_unlock(s->plane);
}

void cp_post_locations(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char asker[CP_ID_MAX + 1] = "", zone[CP_ID_MAX + 1] = "";
    struct el_chunk_id *ids;
    struct cp_question q;
    uint64_t max = 10;
    struct cp_ask a;
    json_t *root;
    size_t n;

    if (!cp_body(in, out, &a, &root))
        return;
    ids = cp_ask_chunks(&a, "chunk_ids", CP_NEEDED, CP_LOCATE_MAX, &n);
    cp_ask_text(&a, "zone", CP_OPTIONAL, zone, sizeof(zone));
    cp_ask_text(&a, "node_id", CP_OPTIONAL, asker, sizeof(asker));
    cp_ask_u64(&a, "max_peers", CP_OPTIONAL, CP_HOLDERS_MAX, &max);
    if (s->who.role == CP_ROLE_NODE && s->who.name[0] != '\0')
        (void)snprintf(asker, sizeof(asker), "%s", s->who.name);
    if (n * max > MAX_PEERS)
        cp_ask_fault(&a, EL_EINVAL, "max_peers", "is too many for so many chunks");
    q = (struct cp_question){ .asker = el_str_of(asker),
                              .zone = el_str_of(zone),
                              .ids = ids,
                              .n = n,
                              .max_holders = (size_t)max };
    if (a.code == EL_OK)
        locate(s, &q, out);
    else
        cp_reply_fault(out, &a);
    free(ids);
    json_decref(root);
}

/* What an object is called, for people and policies. */
void cp_post_objects(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct cp_object_name name = { 0 };
    struct el_error err = { 0 };
    struct cp_ask a;
    json_t *root;

    if (!cp_body(in, out, &a, &root))
        return;
    (void)cp_ask_object(&a, "object", name.object);
    cp_ask_str(&a, "name", CP_NEEDED, &name.name);
    cp_ask_u64(&a, "bytes", CP_OPTIONAL, INT64_MAX, &name.bytes);
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
    } else if (!s->who.is_open && s->who.role == CP_ROLE_READER) {
        cp_reply_say(out, 403, EL_EFORBIDDEN, NULL, "the token is a reader's");
    } else {
        if (cp_object_describe(cp_plane_lock(s->plane), &name, &err) == EL_OK)
            cp_reply_empty(out);
        else
            cp_reply_error(out, &err);
        (void)cp_plane_unlock(s->plane);
    }
    json_decref(root);
}
