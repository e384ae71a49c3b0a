/* SPDX-License-Identifier: MIT */
/* api_nodes: what nodes call all the time: beats, commands. */
#include "controlplane/serve.h"

/* Together they fit in CP_RUNS_MAX. */
#define RUNS_PENDING_MAX 48u
#define RUNS_KEY_MAX     64u

/* ---- beats ---- */

#define MAX_DOWNLOADS 32u
#define MAX_LINKS     16u

/* What a beat calls objects; borrowed from its body. */
struct told {
    struct cp_object_name v[CP_HOTTEST_MAX + MAX_DOWNLOADS];
    size_t n;
};

static void ask_name(struct cp_ask *a, struct told *told,
                     const uint8_t object[EL_CHUNK_ID_OBJECT_BYTES], uint64_t bytes)
{
    struct cp_object_name *name = &told->v[told->n];

    *name = (struct cp_object_name){ .bytes = bytes };
    memcpy(name->object, object, sizeof(name->object));
    cp_ask_str(a, "name", CP_OPTIONAL, &name->name);
    told->n += name->name.n > 0;
}

static size_t ask_hottest(struct cp_ask *a, struct cp_hot hot[CP_HOTTEST_MAX], struct told *told)
{
    const json_t *list = cp_ask_list(a, "hottest", CP_OPTIONAL, CP_HOTTEST_MAX);
    size_t n = json_array_size(list);

    for (size_t i = 0; i < n; i++) {
        struct cp_ask item;

        hot[i] = (struct cp_hot){ 0 };
        cp_ask_down(a, &item, "hottest", i, json_array_get(list, i));
        (void)cp_ask_object(&item, "object", hot[i].object);
        cp_ask_real(&item, "accesses_per_hour", CP_OPTIONAL, &hot[i].accesses_per_hour);
        cp_ask_u64(&item, "bytes", CP_OPTIONAL, INT64_MAX, &hot[i].bytes);
        ask_name(&item, told, hot[i].object, hot[i].bytes);
        cp_ask_up(a, &item);
    }
    return n;
}

/* What a download may say, and nothing else goes on to others. */
static void ask_download(struct cp_ask *a, json_t *to, struct told *told)
{
    static const char *const counts[] = { "done_bytes", "had_bytes",  "rate_bytes_s",
                                          "bound_ms",   "elapsed_ms", "total_bytes" };
    uint8_t object[EL_CHUNK_ID_OBJECT_BYTES];
    struct el_str name = { NULL, 0 };
    uint64_t v = 0;

    if (!cp_ask_object(a, "object", object))
        return;
    cp_ask_str(a, "object", CP_NEEDED, &name);
    el_json_add_str(to, "object", name);
    for (size_t i = 0; i < EL_COUNT(counts); i++) {
        v = 0;
        cp_ask_u64(a, counts[i], CP_OPTIONAL, INT64_MAX, &v);
        el_json_add_u64(to, counts[i], v);
    }
    ask_name(a, told, object, v);
}

static void ask_link(struct cp_ask *a, json_t *to, struct told *told)
{
    char node_id[CP_ID_MAX + 1] = "", via[8] = "p2p";
    uint64_t blocks = 0, rate = 0;

    (void)told;
    cp_ask_text(a, "node_id", CP_NEEDED, node_id, sizeof(node_id));
    cp_ask_text(a, "via", CP_OPTIONAL, via, sizeof(via));
    cp_ask_u64(a, "blocks", CP_OPTIONAL, INT64_MAX, &blocks);
    cp_ask_u64(a, "rate_bytes_s", CP_OPTIONAL, INT64_MAX, &rate);
    if (!cp_name_is_valid(el_str_of(node_id)))
        cp_ask_fault(a, EL_EINVAL, "node_id", "has other bytes than letters, digits, '._:-'");
    if (strcmp(via, "p2p") != 0 && strcmp(via, "http") != 0)
        cp_ask_fault(a, EL_EINVAL, "via", "is p2p or http");
    el_json_add_str(to, "from", el_str_of(node_id));
    el_json_add_str(to, "via", el_str_of(via));
    el_json_add_u64(to, "blocks", blocks);
    el_json_add_u64(to, "rate_bytes_s", rate);
}

typedef void ask_item(struct cp_ask *a, json_t *to, struct told *told);

/* Of a list what `each` keeps of its items, as text of at most so many bytes, to be free()d; NULL:
 * there is none. */
static char *ask_items(struct cp_ask *a, const char *name, size_t most, size_t max_bytes,
                       ask_item *each, struct told *told)
{
    const json_t *list = cp_ask_list(a, name, CP_OPTIONAL, most);
    size_t n = json_array_size(list);
    json_t *kept;
    char *text;

    if (n == 0)
        return NULL;
    kept = json_array();
    EL_ASSERT(kept != NULL);
    for (size_t i = 0; i < n; i++) {
        struct cp_ask item;

        cp_ask_down(a, &item, name, i, json_array_get(list, i));
        each(&item, el_json_append_child(kept), told);
        cp_ask_up(a, &item);
    }
    text = json_dumps(kept, JSON_COMPACT);
    EL_ASSERT(text != NULL);
    json_decref(kept);
    if (strlen(text) <= max_bytes)
        return text;
    free(text);
    cp_ask_fault(a, EL_EINVAL, name, "are too long");
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

static void ask_policies_run(struct cp_ask *a, json_t *kept)
{
    char error[CP_TEXT_MAX + 1] = "";
    uint64_t version = 0;

    cp_ask_u64(a, "policy_version", CP_OPTIONAL, INT64_MAX, &version);
    cp_ask_text(a, "policy_error", CP_OPTIONAL, error, sizeof(error));
    el_json_add_u64(kept, "policy_version", version);
    el_json_add_str(kept, "policy_error", el_str_of(error));
}

/* Which configuration it runs: {version, pending[], error}, and which policies, kept as text. To be
 * free()d; NULL: it does not say. */
static char *ask_runs(struct cp_ask *up)
{
    const json_t *runs = cp_ask_obj(up, "config", CP_OPTIONAL);
    const json_t *pending;
    char error[CP_TEXT_MAX + 1] = "";
    uint64_t version = 0;
    struct cp_ask a;
    json_t *kept, *list;
    char *text;

    if (runs == NULL)
        return NULL;
    cp_ask_init(&a, runs);
    (void)snprintf(a.at, sizeof(a.at), "config.");
    cp_ask_u64(&a, "version", CP_NEEDED, INT64_MAX, &version);
    cp_ask_text(&a, "error", CP_OPTIONAL, error, sizeof(error));
    pending = cp_ask_list(&a, "pending", CP_OPTIONAL, RUNS_PENDING_MAX);
    kept = el_json_new();
    el_json_add_u64(kept, "version", version);
    el_json_add_str(kept, "error", el_str_of(error));
    list = el_json_child_list(kept, "pending");
    for (size_t i = 0; i < json_array_size(pending); i++) {
        const char *key = json_string_value(json_array_get(pending, i));

        if (key == NULL || !cp_name_is_valid(el_str_of(key)) || strlen(key) > RUNS_KEY_MAX)
            cp_ask_fault(&a, EL_EINVAL, "pending", "has an element that is no key");
        else
            EL_ASSERT(json_array_append_new(list, json_string(key)) == 0);
    }
    ask_policies_run(&a, kept);
    text = json_dumps(kept, JSON_COMPACT);
    EL_ASSERT(text != NULL);
    json_decref(kept);
    cp_ask_up(up, &a);
    return text;
}

static void ask_prefetch(struct cp_ask *up, struct cp_beat *b)
{
    const json_t *prefetch = cp_ask_obj(up, "prefetch", CP_OPTIONAL);
    struct el_str id = { NULL, 0 };
    struct cp_ask a;

    if (prefetch == NULL)
        return;
    cp_ask_init(&a, prefetch);
    (void)snprintf(a.at, sizeof(a.at), "prefetch.");
    cp_ask_str(&a, "operation_id", CP_NEEDED, &id);
    if (id.p != NULL && !el_str_u64(id, UINT64_MAX - 1, &b->prefetch))
        cp_ask_fault(&a, EL_EINVAL, "operation_id", "is no id of an operation");
    cp_ask_u64(&a, "done", CP_OPTIONAL, INT32_MAX, &b->prefetch_done);
    cp_ask_u64(&a, "failed", CP_OPTIONAL, INT32_MAX, &b->prefetch_failed);
    cp_ask_bool(&a, "over", CP_OPTIONAL, &b->prefetch_is_over);
    cp_ask_up(up, &a);
}

static void ask_disk(struct cp_ask *a, enum cp_disk *ret)
{
    struct el_str s = { NULL, 0 };

    cp_ask_str(a, "disk_state", CP_OPTIONAL, &s);
    if (s.p != NULL && !cp_disk_parse(s, ret))
        cp_ask_fault(a, EL_EINVAL, "disk_state", "is not normal, degraded, down or none");
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
    ask_prefetch(a, b);
}

static void say_beaten(struct el_http_reply *out, const struct cp_state *state,
                       const struct cp_beat_answer *answer)
{
    cp_reply_empty(out);
    cp_reply_field_u64(out, "X-Elio-Epoch", cp_state_epoch(state));
    cp_reply_field_u64(out, "X-Elio-Chunk-Epoch", answer->report_epoch);
    cp_reply_digest(out, answer->report_digest);
    if (answer->is_full_report_wanted)
        cp_reply_field(out, "X-Elio-Report", "full");
    cp_reply_field_u64(out, "X-Elio-Commands", answer->commands);
    cp_reply_field(out, "X-Elio-State", cp_node_status(answer->node));
    cp_reply_field_u64(out, "X-Elio-Config", answer->config_version);
    cp_reply_field_u64(out, "X-Elio-Policies", answer->policy_version);
    cp_reply_field_u64(out, "X-Elio-Prefetch", answer->prefetch);
    cp_reply_field_u64(out, "X-Elio-Interval-Ms", answer->beat_ms);
}

/* Names are for people: one that is none is no fault of the beat. */
static void describe_objects(struct cp_state *state, const struct told *told)
{
    for (size_t i = 0; i < told->n; i++)
        (void)cp_object_describe(state, &told->v[i], NULL);
}

static void beat(struct cp_service *s, const char *node_id, const struct cp_beat *b,
                 const struct told *told, struct el_http_reply *out)
{
    struct cp_state *state = cp_plane_lock(s->plane);
    struct cp_beat_answer answer;
    struct el_error err = { 0 };

    if (cp_node_beat(state, el_str_of(node_id), b, &answer, &err) == EL_OK) {
        describe_objects(state, told);
        say_beaten(out, state, &answer);
    } else {
        cp_reply_error(out, &err);
    }
    (void)cp_plane_unlock(s->plane); /* a beat is soft: nobody waits for the store */
}

void cp_put_heartbeat(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    char node_id[CP_ID_MAX + 1];
    struct cp_hot hot[CP_HOTTEST_MAX];
    struct cp_beat b = { .is_online = true, .is_ready = true, .hottest = hot };
    struct told told = { .n = 0 };
    struct cp_ask a;
    json_t *root;
    char *downloads, *runs, *links;

    if (!cp_param(in, 0, out, node_id) || !cp_body(in, out, &a, &root))
        return;
    cp_ask_own_id(&a, node_id);
    ask_beat(&a, &b);
    b.hottest_n = ask_hottest(&a, hot, &told);
    downloads = ask_items(&a, "downloads", MAX_DOWNLOADS, CP_DOWNLOADS_MAX, ask_download, &told);
    b.downloads = el_str_of(downloads);
    runs = ask_runs(&a);
    b.runs = el_str_of(runs);
    links = ask_items(&a, "links", MAX_LINKS, CP_LINKS_MAX, ask_link, &told);
    b.links = el_str_of(links);
    if (a.code == EL_OK)
        beat(cp_service_of(arg), node_id, &b, &told, out);
    else
        cp_reply_fault(out, &a);
    free(downloads);
    free(runs);
    free(links);
    json_decref(root);
}

/* ---- commands ---- */

void cp_get_node_commands(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
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
    struct cp_service *s = cp_service_of(arg);
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
