/* SPDX-License-Identifier: MIT */
/* reply: what every handler needs to read a request and to answer it; see serve.h. */
#include "controlplane/serve.h"

#include <inttypes.h>
#include <sys/random.h>

#include "common/sha256.h"

#define MAX_DEPTH  16u
#define MAX_VALUES 300000u /* two lists of a report, and some */

/* ---- errors ---- */

void cp_reply_say(struct el_http_reply *out, int status, enum el_err code, const char *field,
                  const char *text)
{
    json_t *root = el_json_new();
    struct el_str id = { "", 0 };

    (void)el_fieldv_get(el_fields_view(&out->fields), EL_STR("X-Request-Id"), &id);
    el_json_add_u64(root, "code", (uint64_t)code);
    el_json_add_str(root, "text", el_str_of(text));
    if (field != NULL && field[0] != '\0')
        el_json_add_str(root, "field", el_str_of(field));
    else
        el_json_add_null(root, "field");
    el_json_add_str(root, "request_id", id);
    cp_reply_json(out, status, root);
}

/* What came in is at fault, whatever the code means elsewhere. */
static int status_of(enum el_err code)
{
    return code == EL_EPROTO ? 400 : code == EL_ECLUSTER ? 403 : el_err_status(code);
}

static bool begins_with_field(enum el_err code)
{
    return code == EL_EINVAL || code == EL_ENOTFOUND || code == EL_ECONFLICT;
}

void cp_reply_error(struct el_http_reply *out, const struct el_error *err)
{
    const char *colon = begins_with_field(err->code) ? strstr(err->text, ": ") : NULL;
    char field[CP_ASK_FIELD_MAX] = "";

    if (colon != NULL && (size_t)(colon - err->text) < sizeof(field))
        (void)snprintf(field, sizeof(field), "%.*s", (int)(colon - err->text), err->text);
    cp_reply_say(out, status_of(err->code), err->code, field, err->text);
}

void cp_reply_fault(struct el_http_reply *out, const struct cp_ask *a)
{
    cp_reply_say(out, status_of(a->code), a->code, a->field, a->why.text);
}

/* ---- answers ---- */

void cp_reply_json(struct el_http_reply *out, int status, json_t *take_root)
{
    el_http_reply_json(out, status, take_root);
}

void cp_reply_empty(struct el_http_reply *out)
{
    out->status = 204;
    el_buf_clear(&out->body);
}

void cp_reply_field(struct el_http_reply *out, const char *name, const char *value)
{
    el_fields_add(&out->fields, el_str_of(name), el_str_of(value));
}

void cp_reply_field_u64(struct el_http_reply *out, const char *name, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    cp_reply_field(out, name, text);
}

void cp_reply_one(struct el_http_reply *out, int status, const char *key, const char *value)
{
    json_t *root = el_json_new();

    el_json_add_str(root, key, el_str_of(value));
    cp_reply_json(out, status, root);
}

void cp_token_draw(char ret[CP_TOKEN_CHARS + 1])
{
    uint8_t bytes[CP_TOKEN_CHARS / 2];

    EL_ASSERT(getrandom(bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes));
    el_hex(bytes, sizeof(bytes), ret);
}

/* ---- answers that wait for the store ---- */

struct waiting {
    struct cp_wait wait;
    struct el_http_later *later;
};

/* Thread: the plane's. */
static void on_durable(struct cp_wait *wait, enum el_err rc)
{
    struct waiting *w = EL_ENTRY(wait, struct waiting, wait);

    if (rc != EL_OK)
        cp_reply_say(el_http_later_reply(w->later), 503, rc, NULL,
                     "it is done here, but the store has not confirmed it in time");
    el_http_later_give(w->later);
    free(w);
}

void cp_reply_durable(struct cp_service *s, struct el_http_reply *out)
{
    uint64_t position = cp_plane_unlock(s->plane);
    struct waiting *w;

    if (position == 0 || out->status >= 300)
        return;
    w = el_new(struct waiting);
    w->later = el_http_defer(out);
    if (w->later == NULL) {
        free(w);
        return;
    }
    w->wait.on_durable = on_durable;
    cp_plane_wait(s->plane, position, CP_DURABLE_MS, &w->wait);
}

void cp_reply_done(struct cp_service *s, struct cp_state *state, enum el_err rc,
                   const struct el_error *err, const char *what, const char *text,
                   struct el_http_reply *out)
{
    if (rc == EL_OK)
        cp_reply_empty(out);
    else
        cp_reply_error(out, err);
    if (rc == EL_OK)
        cp_audit(s, state, out, what, text);
    cp_reply_durable(s, out);
}

void cp_reply_forbid_other(struct el_http_reply *out)
{
    cp_reply_say(out, 403, EL_EFORBIDDEN, "node_id", "node_id is another node than the token's");
}

void cp_reply_digest(struct el_http_reply *out, uint64_t digest)
{
    char text[17];

    (void)snprintf(text, sizeof(text), "%016llx", (unsigned long long)digest);
    cp_reply_field(out, "X-Elio-Digest", text);
}

/* ---- requests ---- */

bool cp_body(const struct el_http_call_in *in, struct el_http_reply *out, struct cp_ask *a,
             json_t **ret_root)
{
    const struct el_json_limits limits = { .depth = MAX_DEPTH, .values = MAX_VALUES };
    struct el_error err = { 0 };
    json_t *root;

    if (el_json_parse(in->body, &limits, &root, &err) != EL_OK) {
        cp_reply_say(out, 400, EL_EBADREQ, NULL, err.text);
        return false;
    }
    if (!json_is_object(root)) {
        json_decref(root);
        cp_reply_say(out, 400, EL_EBADREQ, NULL, "the body is no JSON object");
        return false;
    }
    cp_ask_init(a, root);
    *ret_root = root;
    return true;
}

bool cp_param(const struct el_http_call_in *in, size_t i, struct el_http_reply *out,
              char ret[CP_ID_MAX + 1])
{
    if (cp_percent_decode(in->params[i], ret, CP_ID_MAX + 1))
        return true;
    cp_reply_say(out, 404, EL_ENOTFOUND, NULL, "nothing has such a name");
    return false;
}

#define MAX_LISTED 10000u

bool cp_ask_limit(const struct el_http_call_in *in, struct el_http_reply *out, uint64_t *limit)
{
    struct cp_ask a;

    cp_ask_init(&a, NULL);
    cp_query_u64(&a, in->query, "limit", 1, MAX_LISTED, limit);
    if (a.code != EL_OK)
        cp_reply_fault(out, &a);
    return a.code == EL_OK;
}

void cp_audit(struct cp_service *s, struct cp_state *state, struct el_http_reply *out,
              const char *what, const char *text)
{
    char who[CP_ID_MAX + EL_HTTP_PEER_CHARS + 2], peer[EL_HTTP_PEER_CHARS];

    el_http_peer(out, peer);
    (void)snprintf(who, sizeof(who), "%s@%s", s->who.name[0] != '\0' ? s->who.name : "anybody",
                   peer);
    cp_audit_add(state, el_str_of(who), el_str_of(what), el_str_of(text), out->status);
}

/* ---- JSON of what the state has ---- */

void cp_json_time(json_t *obj, const char *key, int64_t wall_ms)
{
    char text[25];

    if (wall_ms == 0) {
        el_json_add_null(obj, key);
        return;
    }
    el_clock_iso(wall_ms, text);
    el_json_add_str(obj, key, el_str_of(text));
}

void cp_json_digest(json_t *obj, const char *key, uint64_t digest)
{
    char text[17];

    (void)snprintf(text, sizeof(text), "%016" PRIx64, digest);
    el_json_add_str(obj, key, el_str_of(text));
}

static void add_text(json_t *obj, const char *key, const char *text)
{
    el_json_add_str(obj, key, el_str_of(text));
}

/* JSON text that somebody else has written. */
static void add_given(json_t *obj, const char *key, struct el_str text, json_t *otherwise)
{
    json_t *given = text.n > 0 ? json_loadb(text.p, text.n, 0, NULL) : NULL;

    if (given != NULL)
        json_decref(otherwise);
    EL_ASSERT(json_object_set_new(obj, key, given != NULL ? given : otherwise) == 0);
}

void cp_json_groups_of(json_t *obj, const struct cp_state *state, const char *node_id)
{
    json_t *list = el_json_child_list(obj, "groups");
    const struct cp_group *g = NULL;

    while ((g = cp_group_of_next(state, el_str_of(node_id), g)) != NULL)
        EL_ASSERT(json_array_append_new(list, json_string(g->id)) == 0);
}

static void add_beat(json_t *obj, const struct cp_node *n)
{
    const struct cp_beat *b = &n->beat;
    json_t *bytes = el_json_child(obj, "bytes");

    el_json_add_real(obj, "memory_used_mb", b->memory_used_mb);
    el_json_add_real(obj, "disk_used_mb", b->disk_used_mb);
    el_json_add_real(obj, "cache_hit_rate", b->cache_hit_rate);
    el_json_add_u64(obj, "active_connections", b->active_connections);
    el_json_add_real(obj, "upload_speed_mbps", b->upload_speed_mbps);
    el_json_add_real(obj, "download_speed_mbps", b->download_speed_mbps);
    el_json_add_bool(obj, "ready", b->is_ready);
    add_text(obj, "disk_state", cp_disk_name(b->disk));
    el_json_add_bool(obj, "origin_ok", !b->is_origin_failing);
    el_json_add_u64(obj, "origin_errors", b->origin_errors);
    el_json_add_u64(bytes, "memory", b->bytes_memory);
    el_json_add_u64(bytes, "disk", b->bytes_disk);
    el_json_add_u64(bytes, "peer", b->bytes_peer);
    el_json_add_u64(bytes, "origin", b->bytes_origin);
}

static void add_card(json_t *obj, const struct cp_card *c)
{
    add_text(obj, "node_id", c->node_id);
    add_text(obj, "address", c->address);
    el_json_add_u64(obj, "p2p_port", c->p2p_port);
    el_json_add_u64(obj, "http_port", c->http_port);
    el_json_add_u64(obj, "memory_capacity_mb", c->memory_capacity_mb);
    el_json_add_u64(obj, "disk_capacity_mb", c->disk_capacity_mb);
    add_text(obj, "name", c->name);
    add_text(obj, "zone", c->zone);
    add_text(obj, "region", c->region);
    add_text(obj, "version", c->version);
    el_json_add_bool(obj, "is_anchor", c->is_anchor);
    el_json_add_bool(obj, "serves", c->serves);
    add_given(obj, "labels", c->labels, json_object());
}

/* How long a failure took would tell whoever may register what there is at an address. */
static void add_probe(json_t *obj, const struct cp_reach *r)
{
    json_t *probe;

    if (r->wall_ms == 0) {
        el_json_add_null(obj, "probe");
        return;
    }
    probe = el_json_child(obj, "probe");
    el_json_add_bool(probe, "ok", r->is_well);
    if (r->is_well)
        el_json_add_u64(probe, "ms", r->ms);
    else
        el_json_add_null(probe, "ms");
    el_json_add_u64(probe, "failures", r->failures);
    el_json_add_bool(probe, "reachable", !r->is_lost);
    cp_json_time(probe, "at", r->wall_ms);
}

void cp_json_node(json_t *obj, const struct cp_state *state, const struct cp_node *n)
{
    add_card(obj, &n->card);
    add_text(obj, "state", cp_node_status(n));
    add_beat(obj, n);
    el_json_add_u64(obj, "total_chunks", n->chunks);
    el_json_add_bool(obj, "is_relay", n->is_relay);
    add_given(obj, "config", n->beat.runs, json_null());
    el_json_add_u64(obj, "health", n->health);
    add_probe(obj, &n->reach);
    el_json_add_u64(obj, "epoch", n->report_epoch);
    cp_json_digest(obj, "digest", n->digest);
    el_json_add_u64(obj, "last_seen_ms", (uint64_t)n->seen_wall_ms);
    EL_ASSERT(json_object_set_new(obj, "clock_skew_ms", json_integer(n->clock_skew_ms)) == 0);
    cp_json_time(obj, "registered_at", n->registered_wall_ms);
    cp_json_time(obj, "last_seen", n->seen_wall_ms);
    cp_json_groups_of(obj, state, n->card.node_id);
}

void cp_json_peer(json_t *obj, const struct cp_node *n)
{
    add_text(obj, "node_id", n->card.node_id);
    add_text(obj, "address", n->card.address);
    el_json_add_u64(obj, "p2p_port", n->card.p2p_port);
    el_json_add_u64(obj, "http_port", n->card.http_port);
    add_text(obj, "zone", n->card.zone);
    add_text(obj, "state", cp_node_status(n));
    el_json_add_bool(obj, "is_anchor", n->card.is_anchor);
    el_json_add_bool(obj, "serves", n->card.serves);
}

void cp_json_command(json_t *obj, const struct cp_command *c)
{
    char chunk[EL_CHUNK_ID_CHARS + 1];

    el_chunk_id_text(&c->chunk, chunk);
    add_text(obj, "command_id", c->command_id);
    add_text(obj, "chunk_id", chunk);
    add_text(obj, "action", cp_action_name(c->action));
    add_text(obj, "source_node_id", c->source_node_id);
    add_text(obj, "target_node_id", c->target_node_id);
    el_json_add_u64(obj, "priority", c->priority);
    add_text(obj, "state", cp_command_state_name(c->state));
    add_text(obj, "message", c->text);
    cp_json_time(obj, "created_at", c->created_wall_ms);
    cp_json_time(obj, "expires_at", c->expires_wall_ms);
}

static const char *scope_name(enum cp_scope_kind k)
{
    switch (k) {
    case CP_SCOPE_ALL:
        return "all";
    case CP_SCOPE_NODE:
        return "node";
    case CP_SCOPE_GROUP:
        return "group";
    case CP_SCOPE_ZONE:
        return "zone";
    case CP_SCOPE_PREFIX:
        return "prefix";
    }
    return "";
}

static void add_drain(json_t *obj, const struct cp_state *state, const struct cp_operation *o)
{
    json_t *list = el_json_child_list(obj, "nodes");
    const char *id;
    bool is_done;

    el_json_add_u64(obj, "max_unavailable", o->max_unavailable);
    for (uint32_t i = 0; (id = cp_operation_node(state, o->id, i, &is_done)) != NULL; i++) {
        json_t *node = el_json_append_child(list);

        add_text(node, "node_id", id);
        el_json_add_bool(node, "done", is_done);
    }
}

void cp_json_operation(json_t *obj, const struct cp_state *state, const struct cp_operation *o)
{
    char id[24];

    (void)snprintf(id, sizeof(id), "%" PRIu64, o->id);
    add_text(obj, "operation_id", id);
    add_text(obj, "kind", cp_operation_kind_name(o->kind));
    add_text(obj, "state", cp_operation_state_name(o->state));
    add_text(obj, "scope", scope_name(o->scope.kind));
    add_text(obj, "entity_id", o->scope.name);
    el_json_add_u64(obj, "total", o->total);
    el_json_add_u64(obj, "done", o->done);
    el_json_add_u64(obj, "failed", o->failed);
    cp_json_time(obj, "created_at", o->created_wall_ms);
    cp_json_time(obj, "finished_at", o->ended_wall_ms);
    add_text(obj, "message", o->text);
    if (o->kind == CP_DRAIN)
        add_drain(obj, state, o);
}

void cp_json_policies(json_t *obj, const struct cp_state *state)
{
    json_t *list = el_json_child_list(obj, "policies");
    const struct cp_policy *p;
    uint32_t cursor = 0;

    while ((p = cp_policy_next(state, &cursor)) != NULL) {
        json_t *o = el_json_append_child(list);

        add_text(o, "prefix", p->prefix);
        el_json_add_u64(o, "min_copies", p->min_copies);
        el_json_add_u64(o, "max_copies", p->max_copies);
        el_json_add_bool(o, "pinned", p->is_pinned);
        el_json_add_bool(o, "replicated", p->is_replicated);
        add_given(o, "settings", p->settings, json_object());
    }
}

void cp_json_config(json_t *obj, const struct cp_config *c)
{
    struct el_str none = { "", 0 };

    el_json_add_u64(obj, "version", c == NULL ? 0 : c->version);
    add_given(obj, "settings", c == NULL ? none : (struct el_str){ c->json, c->n }, json_object());
    cp_json_time(obj, "changed_at", c == NULL ? 0 : c->wall_ms);
}

void cp_json_event(json_t *obj, const struct cp_event *e)
{
    bool is_of_node = e->kind <= CP_EV_CHUNK_MOVED;

    el_json_add_u64(obj, "seq", e->seq);
    add_text(obj, "type", cp_event_name(e->kind));
    cp_json_time(obj, "at", e->wall_ms);
    add_text(obj, is_of_node ? "node_id" : "subject", e->subject);
    if (e->count > 0)
        el_json_add_u64(obj, "count", e->count);
    add_text(obj, "text", e->text);
}

void cp_json_quote(struct el_buf *out, const char *text)
{
    el_buf_add_byte(out, '"');
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20)
            el_buf_addf(out, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            el_buf_addf(out, "\\%c", c);
        else
            el_buf_add_byte(out, (char)c);
    }
    el_buf_add_byte(out, '"');
}
