/* SPDX-License-Identifier: MIT */
/* api_nodes: what nodes call: registration, beats, reports of chunks, questions, commands. */
#include "controlplane/serve.h"

#include "common/sha256.h"

#define MAX_PEERS 100000u /* in one answer: 13 MB */

static struct cp_service *service_of(void *arg)
{
    return (struct cp_service *)arg;
}

static void forbid_other(struct el_http_reply *out)
{
    cp_reply_say(out, 403, EL_EFORBIDDEN, "node_id", "node_id is another node than the token's");
}

/* ---- tokens of nodes ---- */

/* Draws one, and puts it in; the plane is locked. */
static enum el_err give_token(struct cp_service *s, struct cp_state *state, const char *node_id,
                              char ret_text[CP_TOKEN_CHARS + 1], struct el_error *err)
{
    struct cp_token token = { .role = CP_ROLE_NODE, .created_wall_ms = el_clock_wall_ms(s->clock) };
    struct el_digest hash;

    cp_token_draw(ret_text);
    el_sha256_of(ret_text, CP_TOKEN_CHARS, &hash);
    memcpy(token.hash, hash.b, sizeof(token.hash));
    (void)snprintf(token.name, sizeof(token.name), "%s", node_id);
    return cp_token_add(state, &token, err);
}

/* ---- registration ---- */

static void ask_port(struct cp_ask *a, const char *key, enum cp_need need, uint16_t *ret)
{
    uint64_t v = *ret;

    cp_ask_u64(a, key, need, UINT16_MAX, &v);
    *ret = (uint16_t)v;
}

/* What may be changed later as well. */
static void ask_card(struct cp_ask *a, enum cp_need need, struct cp_card *c)
{
    cp_ask_text(a, "address", need, c->address, sizeof(c->address));
    ask_port(a, "p2p_port", need, &c->p2p_port);
    ask_port(a, "http_port", need, &c->http_port);
    cp_ask_u64(a, "memory_capacity_mb", CP_OPTIONAL, INT64_MAX, &c->memory_capacity_mb);
    cp_ask_u64(a, "disk_capacity_mb", CP_OPTIONAL, INT64_MAX, &c->disk_capacity_mb);
    cp_ask_text(a, "name", CP_OPTIONAL, c->name, sizeof(c->name));
    cp_ask_text(a, "zone", CP_OPTIONAL, c->zone, sizeof(c->zone));
    cp_ask_text(a, "region", CP_OPTIONAL, c->region, sizeof(c->region));
    cp_ask_text(a, "version", CP_OPTIONAL, c->version, sizeof(c->version));
    cp_ask_bool(a, "is_anchor", CP_OPTIONAL, &c->is_anchor);
    cp_ask_bool(a, "serves", CP_OPTIONAL, &c->serves);
}

/* As text, to be free()d; NULL: none. Every value is a string. */
static char *ask_labels(struct cp_ask *a)
{
    json_t *labels = (json_t *)(uintptr_t)cp_ask_obj(a, "labels", CP_OPTIONAL);
    const char *key;
    json_t *value;
    char *text;

    if (labels == NULL)
        return NULL;
    json_object_foreach(labels, key, value)
    {
        if (!json_is_string(value))
            cp_ask_fault(a, EL_EINVAL, "labels", "has a value that is no string");
    }
    text = json_dumps(labels, JSON_COMPACT);
    EL_ASSERT(text != NULL);
    if (strlen(text) > CP_LABELS_MAX)
        cp_ask_fault(a, EL_EINVAL, "labels", "are longer than %u bytes", CP_LABELS_MAX);
    return text;
}

static void ask_cluster(struct cp_ask *a, const char *own)
{
    struct el_str cluster = { NULL, 0 };

    cp_ask_str(a, "cluster_id", CP_OPTIONAL, &cluster);
    if (cluster.n > 0 && !el_str_eq(cluster, el_str_of(own)))
        cp_ask_fault(a, EL_ECLUSTER, "cluster_id", "is another cluster's");
}

static void say_registered(struct cp_service *s, struct cp_state *state, const char *node_id,
                           const char *token, struct el_http_reply *out)
{
    json_t *root = el_json_new();
    uint64_t config;

    (void)cp_config_get(state, &config, &(int64_t){ 0 });
    el_json_add_bool(root, "success", true);
    el_json_add_str(root, "node_id", el_str_of(node_id));
    el_json_add_str(root, "message", EL_STR("registered"));
    el_json_add_str(root, "token", el_str_of(token));
    el_json_add_str(root, "cluster_id", el_str_of(s->conf->service_cluster_id));
    el_json_add_u64(root, "heartbeat_interval_ms", s->conf->liveness_heartbeat_ms);
    el_json_add_u64(root, "epoch", cp_state_epoch(state));
    el_json_add_u64(root, "config_version", config);
    el_json_add_u64(root, "policy_version", cp_policy_version(state));
    cp_reply_json(out, 201, root);
}

/* The plane is locked. */
static void register_node(struct cp_service *s, struct cp_state *state, const struct cp_card *card,
                          const struct cp_report *chunks, struct el_http_reply *out)
{
    char token[CP_TOKEN_CHARS + 1];
    struct el_error err = { 0 };
    const struct cp_node *node;
    bool wants_full;
    enum el_err rc = cp_node_register(state, card, &node, &err);

    if (rc == EL_OK && chunks->has != NULL)
        rc = cp_chunks_report(state, el_str_of(card->node_id), chunks, &wants_full, &err);
    if (rc == EL_OK)
        rc = give_token(s, state, card->node_id, token, &err);
    if (rc == EL_OK)
        say_registered(s, state, card->node_id, token, out);
    else
        cp_reply_error(out, &err);
}

void cp_post_nodes(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = service_of(arg);
    struct cp_card card = { .serves = true };
    struct cp_report chunks = { .kind = CP_REPORT_FULL };
    struct el_chunk_id *ids;
    struct cp_ask a;
    json_t *root;
    char *labels;

    if (!cp_body(in, out, &a, &root))
        return;
    cp_ask_text(&a, "node_id", CP_NEEDED, card.node_id, sizeof(card.node_id));
    ask_cluster(&a, s->conf->service_cluster_id);
    ask_card(&a, CP_NEEDED, &card);
    labels = ask_labels(&a);
    card.labels = el_str_of(labels);
    chunks.has = ids =
        cp_ask_chunks(&a, "available_chunks", CP_OPTIONAL, CP_REPORT_MAX, &chunks.has_n);
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
    } else if (!cp_access_is_for(&s->who, card.node_id)) {
        forbid_other(out);
    } else {
        register_node(s, cp_plane_lock(s->plane), &card, &chunks, out);
        cp_reply_durable(s, out);
    }
    free(ids);
    free(labels);
    json_decref(root);
}

void cp_post_auth_register(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = service_of(arg);
    char node_id[CP_ID_MAX + 1] = "", token[CP_TOKEN_CHARS + 1];
    struct el_error err = { 0 };
    struct cp_ask a;
    json_t *root, *answer;

    if (!cp_body(in, out, &a, &root))
        return;
    cp_ask_text(&a, "node_id", CP_NEEDED, node_id, sizeof(node_id));
    if (a.code == EL_OK && !cp_name_is_valid(el_str_of(node_id)))
        cp_ask_fault(&a, EL_EINVAL, "node_id", "has other characters than letters, digits, ._:-");
    json_decref(root);
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
        return;
    }
    if (!cp_access_is_for(&s->who, node_id)) {
        forbid_other(out);
        return;
    }
    if (give_token(s, cp_plane_lock(s->plane), node_id, token, &err) != EL_OK) {
        cp_reply_error(out, &err);
    } else {
        answer = el_json_new();
        el_json_add_str(answer, "token", el_str_of(token));
        el_json_add_str(answer, "peer_id", el_str_of(node_id));
        cp_reply_json(out, 201, answer);
    }
    cp_reply_durable(s, out);
}

void cp_patch_node(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = service_of(arg);
    char node_id[CP_ID_MAX + 1];
    struct el_error err = { 0 };
    const struct cp_node *node;
    struct cp_state *state;
    struct cp_card card;
    struct cp_ask a;
    json_t *root, *answer;
    char *labels;

    if (!cp_param(in, 0, out, node_id) || !cp_body(in, out, &a, &root))
        return;
    labels = ask_labels(&a);
    state = cp_plane_lock(s->plane);
    node = cp_node_get(state, el_str_of(node_id));
    if (node == NULL) {
        cp_reply_say(out, 404, EL_ENOTFOUND, "node_id", "no node of that name is registered");
    } else {
        struct el_buf kept = { 0 };

        card = node->card;
        el_buf_add_str(&kept, card.labels);
        card.labels = labels != NULL ? el_str_of(labels) : el_buf_str(&kept);
        ask_card(&a, CP_OPTIONAL, &card);
        if (a.code != EL_OK) {
            cp_reply_fault(out, &a);
        } else if (cp_node_register(state, &card, &node, &err) != EL_OK) {
            cp_reply_error(out, &err);
        } else {
            answer = el_json_new();
            cp_json_node(answer, state, node);
            cp_reply_json(out, 200, answer);
        }
        el_buf_deinit(&kept);
    }
    cp_reply_durable(s, out);
    free(labels);
    json_decref(root);
}

void cp_delete_node(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = service_of(arg);
    char node_id[CP_ID_MAX + 1];
    struct el_error err = { 0 };
    struct cp_state *state;

    if (!cp_param(in, 0, out, node_id))
        return;
    state = cp_plane_lock(s->plane);
    if (cp_node_remove(state, el_str_of(node_id), &err) != EL_OK) {
        cp_reply_error(out, &err);
    } else {
        /* Without one is fine: it may have registered while the service was open. */
        (void)cp_token_revoke(state, CP_ROLE_NODE, el_str_of(node_id), NULL);
        cp_reply_empty(out);
        cp_audit(s, state, out, "node.remove", node_id);
    }
    cp_reply_durable(s, out);
}

/* ---- beats ---- */

static bool ask_object(struct cp_ask *a, const char *key, uint8_t ret[EL_CHUNK_ID_OBJECT_BYTES])
{
    struct el_str s = { NULL, 0 };

    cp_ask_str(a, key, CP_NEEDED, &s);
    if (a->code != EL_OK)
        return false;
    if (cp_object_parse(s, ret))
        return true;
    cp_ask_fault(a, EL_EINVAL, key, "is not 32 hexadecimal digits");
    return false;
}

static size_t ask_hottest(struct cp_ask *a, struct cp_hot hot[CP_HOTTEST_MAX])
{
    const json_t *list = cp_ask_list(a, "hottest", CP_OPTIONAL, CP_HOTTEST_MAX);
    size_t n = json_array_size(list);

    for (size_t i = 0; i < n; i++) {
        struct cp_ask item;

        hot[i] = (struct cp_hot){ 0 };
        cp_ask_down(a, &item, "hottest", i, json_array_get(list, i));
        (void)ask_object(&item, "object", hot[i].object);
        cp_ask_real(&item, "accesses_per_hour", CP_OPTIONAL, &hot[i].accesses_per_hour);
        cp_ask_u64(&item, "bytes", CP_OPTIONAL, INT64_MAX, &hot[i].bytes);
        cp_ask_up(a, &item);
    }
    return n;
}

/* What a download may say, and nothing else goes on to others. */
static void ask_download(struct cp_ask *a, json_t *to)
{
    static const char *const counts[] = { "done_bytes", "total_bytes", "bound_ms", "elapsed_ms" };
    uint8_t object[EL_CHUNK_ID_OBJECT_BYTES];
    struct el_str name = { NULL, 0 };

    if (!ask_object(a, "object", object))
        return;
    cp_ask_str(a, "object", CP_NEEDED, &name);
    el_json_add_str(to, "object", name);
    for (size_t i = 0; i < EL_COUNT(counts); i++) {
        uint64_t v = 0;

        cp_ask_u64(a, counts[i], CP_OPTIONAL, INT64_MAX, &v);
        el_json_add_u64(to, counts[i], v);
    }
}

/* As text, to be free()d; NULL: there is none. */
static char *ask_downloads(struct cp_ask *a)
{
    const json_t *list = cp_ask_list(a, "downloads", CP_OPTIONAL, 32);
    size_t n = json_array_size(list);
    json_t *kept;
    char *text;

    if (n == 0)
        return NULL;
    kept = json_array();
    EL_ASSERT(kept != NULL);
    for (size_t i = 0; i < n; i++) {
        struct cp_ask item;

        cp_ask_down(a, &item, "downloads", i, json_array_get(list, i));
        ask_download(&item, el_json_append_child(kept));
        cp_ask_up(a, &item);
    }
    text = json_dumps(kept, JSON_COMPACT);
    EL_ASSERT(text != NULL);
    json_decref(kept);
    if (strlen(text) <= CP_DOWNLOADS_MAX)
        return text;
    free(text);
    cp_ask_fault(a, EL_EINVAL, "downloads", "are too long");
    return NULL;
}

static void ask_bytes(struct cp_ask *up, struct cp_beat *b)
{
    const json_t *bytes = cp_ask_obj(up, "bytes", CP_OPTIONAL);
    struct cp_ask a;

    if (bytes == NULL)
        return;
    cp_ask_init(&a, bytes);
    (void)snprintf(a.at, sizeof(a.at), "bytes.");
    cp_ask_u64(&a, "memory", CP_OPTIONAL, INT64_MAX, &b->bytes_memory);
    cp_ask_u64(&a, "disk", CP_OPTIONAL, INT64_MAX, &b->bytes_disk);
    cp_ask_u64(&a, "peer", CP_OPTIONAL, INT64_MAX, &b->bytes_peer);
    cp_ask_u64(&a, "origin", CP_OPTIONAL, INT64_MAX, &b->bytes_origin);
    cp_ask_up(up, &a);
}

static void ask_disk(struct cp_ask *a, enum cp_disk *ret)
{
    struct el_str s = { NULL, 0 };

    cp_ask_str(a, "disk_state", CP_OPTIONAL, &s);
    if (s.p != NULL && !cp_disk_parse(s, ret))
        cp_ask_fault(a, EL_EINVAL, "disk_state", "is not normal, degraded, down or none");
}

static void ask_own_id(struct cp_ask *a, const char *node_id)
{
    struct el_str s = { NULL, 0 };

    cp_ask_str(a, "node_id", CP_OPTIONAL, &s);
    if (s.p != NULL && !el_str_eq(s, el_str_of(node_id)))
        cp_ask_fault(a, EL_EINVAL, "node_id", "is not the one of the path");
}

static void ask_beat(struct cp_ask *a, struct cp_beat *b)
{
    bool is_origin_ok = true;

    cp_ask_bool(a, "online", CP_OPTIONAL, &b->is_online);
    cp_ask_bool(a, "ready", CP_OPTIONAL, &b->is_ready);
    cp_ask_real(a, "memory_used_mb", CP_OPTIONAL, &b->memory_used_mb);
    cp_ask_real(a, "disk_used_mb", CP_OPTIONAL, &b->disk_used_mb);
    cp_ask_real(a, "cache_hit_rate", CP_OPTIONAL, &b->cache_hit_rate);
    if (b->cache_hit_rate > 1)
        cp_ask_fault(a, EL_EINVAL, "cache_hit_rate", "is more than 1");
    cp_ask_u64(a, "total_chunks", CP_OPTIONAL, INT64_MAX, &b->total_chunks);
    cp_ask_u64(a, "active_connections", CP_OPTIONAL, INT64_MAX, &b->active_connections);
    cp_ask_real(a, "upload_speed_mbps", CP_OPTIONAL, &b->upload_speed_mbps);
    cp_ask_real(a, "download_speed_mbps", CP_OPTIONAL, &b->download_speed_mbps);
    cp_ask_time(a, "timestamp", CP_OPTIONAL, &b->timestamp_ms);
    cp_ask_u64(a, "epoch", CP_OPTIONAL, INT64_MAX, &b->report_epoch);
    cp_ask_digest(a, "digest", &b->has_report, &b->report_digest);
    cp_ask_u64(a, "origin_errors", CP_OPTIONAL, INT64_MAX, &b->origin_errors);
    cp_ask_bool(a, "origin_ok", CP_OPTIONAL, &is_origin_ok);
    b->is_origin_failing = !is_origin_ok;
    ask_bytes(a, b);
    ask_disk(a, &b->disk);
}

static void say_digest(struct el_http_reply *out, uint64_t digest)
{
    char text[17];

    (void)snprintf(text, sizeof(text), "%016llx", (unsigned long long)digest);
    cp_reply_field(out, "X-Elio-Digest", text);
}

static void say_beaten(struct el_http_reply *out, const struct cp_state *state,
                       const struct cp_beat_answer *answer)
{
    cp_reply_empty(out);
    cp_reply_field_u64(out, "X-Elio-Epoch", cp_state_epoch(state));
    cp_reply_field_u64(out, "X-Elio-Chunk-Epoch", answer->report_epoch);
    say_digest(out, answer->report_digest);
    if (answer->is_full_report_wanted)
        cp_reply_field(out, "X-Elio-Report", "full");
    cp_reply_field_u64(out, "X-Elio-Commands", answer->commands);
    cp_reply_field(out, "X-Elio-State", cp_node_status(answer->node));
    cp_reply_field_u64(out, "X-Elio-Config", answer->config_version);
    cp_reply_field_u64(out, "X-Elio-Policies", answer->policy_version);
    cp_reply_field_u64(out, "X-Elio-Interval-Ms", answer->beat_ms);
}

static void beat(struct cp_service *s, const char *node_id, const struct cp_beat *b,
                 struct el_http_reply *out)
{
    struct cp_state *state = cp_plane_lock(s->plane);
    struct cp_beat_answer answer;
    struct el_error err = { 0 };

    if (cp_node_beat(state, el_str_of(node_id), b, &answer, &err) == EL_OK)
        say_beaten(out, state, &answer);
    else
        cp_reply_error(out, &err);
    (void)cp_plane_unlock(s->plane); /* a beat is soft: nobody waits for the store */
}

void cp_put_heartbeat(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    char node_id[CP_ID_MAX + 1];
    struct cp_hot hot[CP_HOTTEST_MAX];
    struct cp_beat b = { .is_online = true, .is_ready = true, .hottest = hot };
    struct cp_ask a;
    json_t *root;
    char *downloads;

    if (!cp_param(in, 0, out, node_id) || !cp_body(in, out, &a, &root))
        return;
    ask_own_id(&a, node_id);
    ask_beat(&a, &b);
    b.hottest_n = ask_hottest(&a, hot);
    downloads = ask_downloads(&a);
    b.downloads = el_str_of(downloads);
    if (a.code == EL_OK)
        beat(service_of(arg), node_id, &b, out);
    else
        cp_reply_fault(out, &a);
    free(downloads);
    json_decref(root);
}

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
        say_digest(out, node->digest);
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
    ask_own_id(&a, node_id);
    ask_report(&a, &r);
    if (a.code == EL_OK)
        report(service_of(arg), node_id, &r, out);
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
    struct cp_service *s = service_of(arg);
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
    struct cp_service *s = service_of(arg);
    struct cp_object_name name = { 0 };
    struct el_error err = { 0 };
    struct cp_ask a;
    json_t *root;

    if (!cp_body(in, out, &a, &root))
        return;
    (void)ask_object(&a, "object", name.object);
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

/* ---- commands ---- */

void cp_get_node_commands(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = service_of(arg);
    const struct cp_command *v[CP_POLL_MAX];
    char node_id[CP_ID_MAX + 1];
    uint64_t limit = CP_POLL_MAX;
    struct el_error err = { 0 };
    struct cp_ask a;
    size_t n = 0;

    cp_ask_init(&a, NULL);
    cp_query_u64(&a, in->query, "limit", 1, 10000, &limit);
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
        return;
    }
    if (!cp_param(in, 0, out, node_id))
        return;
    if (cp_command_poll(cp_plane_lock(s->plane), el_str_of(node_id), v,
                        (size_t)el_min_u64(limit, CP_POLL_MAX), &n, &err) == EL_OK) {
        json_t *root = el_json_new(), *list = el_json_child_list(root, "commands");

        for (size_t i = 0; i < n; i++)
            cp_json_command(el_json_append_child(list), v[i]);
        cp_reply_json(out, 200, root);
    } else {
        cp_reply_error(out, &err);
    }
    cp_reply_durable(s, out);
}

void cp_post_ack(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = service_of(arg);
    char node_id[CP_ID_MAX + 1], command_id[CP_ID_MAX + 1], message[CP_TEXT_MAX + 1] = "";
    struct el_str status = { NULL, 0 };
    struct el_error err = { 0 };
    struct cp_ask a;
    json_t *root;

    if (!cp_param(in, 0, out, node_id) || !cp_param(in, 1, out, command_id) ||
        !cp_body(in, out, &a, &root))
        return;
    cp_ask_str(&a, "status", CP_NEEDED, &status);
    cp_ask_text(&a, "message", CP_OPTIONAL, message, sizeof(message));
    if (a.code == EL_OK && !el_str_eq(status, EL_STR("done")) &&
        !el_str_eq(status, EL_STR("failed")))
        cp_ask_fault(&a, EL_EINVAL, "status", "is neither done nor failed");
    if (a.code == EL_OK) {
        if (cp_command_ack(cp_plane_lock(s->plane), el_str_of(node_id), el_str_of(command_id),
                           el_str_eq(status, EL_STR("done")), el_str_of(message), &err) == EL_OK)
            cp_reply_empty(out);
        else
            cp_reply_error(out, &err);
        cp_reply_durable(s, out);
    } else {
        cp_reply_fault(out, &a);
    }
    json_decref(root);
}

/* ---- all that a node needs at its start ---- */

static void add_members(json_t *root, const struct cp_state *state, const char *but)
{
    json_t *list = el_json_child_list(root, "members");
    const struct cp_node *n;
    uint32_t cursor = 0;

    while ((n = cp_node_next(state, &cursor)) != NULL) {
        if (n->life != CP_DEAD && strcmp(n->card.node_id, but) != 0)
            cp_json_peer(el_json_append_child(list), n);
    }
}

static void add_commands(json_t *root, struct cp_state *state, const char *node_id)
{
    const struct cp_command *v[CP_POLL_MAX];
    json_t *list = el_json_child_list(root, "commands");
    size_t n = 0;

    if (cp_command_poll(state, el_str_of(node_id), v, CP_POLL_MAX, &n, NULL) != EL_OK)
        return;
    for (size_t i = 0; i < n; i++)
        cp_json_command(el_json_append_child(list), v[i]);
}

static json_t *hydration(struct cp_service *s, struct cp_state *state, const struct cp_node *node)
{
    const char *id = node->card.node_id;
    json_t *root = el_json_new();
    bool is_known = node->report_epoch > 0;

    el_json_add_str(root, "cluster_id", el_str_of(s->conf->service_cluster_id));
    el_json_add_u64(root, "epoch", cp_state_epoch(state));
    el_json_add_u64(root, "heartbeat_interval_ms", s->conf->liveness_heartbeat_ms);
    el_json_add_u64(root, "chunk_epoch", node->report_epoch);
    cp_json_digest(root, "digest", node->digest);
    el_json_add_str(root, "report", is_known ? EL_STR("none") : EL_STR("full"));
    el_json_add_u64(root, "policy_version", cp_policy_version(state));
    add_members(root, state, id);
    cp_json_policies(root, state);
    cp_json_config(el_json_child(root, "config"), state);
    cp_json_groups_of(root, state, id);
    add_commands(root, state, id);
    return root;
}

void cp_get_hydration(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = service_of(arg);
    char node_id[CP_ID_MAX + 1];
    const struct cp_node *node;
    struct cp_state *state;

    if (!cp_param(in, 0, out, node_id))
        return;
    state = cp_plane_lock(s->plane);
    node = cp_node_get(state, el_str_of(node_id));
    if (node != NULL)
        cp_reply_json(out, 200, hydration(s, state, node));
    else
        cp_reply_say(out, 404, EL_ENOTFOUND, "node_id", "no node of that name is registered");
    cp_reply_durable(s, out);
}
