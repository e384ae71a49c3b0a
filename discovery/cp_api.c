/* SPDX-License-Identifier: MIT */
/* cp_api: see cp_api.h. */
#include "discovery/cp_api.h"

#include "common/conf_push.h"
#include "common/json.h"

#define MAX_DEPTH    16u
#define MAX_VALUES   (DISC_CP_MAX_MEMBERS * 64u)
#define MAX_INTERVAL 600000u

/* ---- what a node says ---- */

static void put(struct el_buf *out, json_t *root)
{
    el_json_write(out, root);
}

static void add_text(json_t *root, const char *key, const char *text)
{
    if (text[0] != '\0')
        el_json_add_str(root, key, el_str_of(text));
}

void disc_cp_put_registration(struct el_buf *out, const struct disc_cp_self *self)
{
    json_t *root = el_json_new();

    add_text(root, "node_id", self->node_id);
    add_text(root, "address", self->address);
    el_json_add_u64(root, "p2p_port", self->p2p_port);
    el_json_add_u64(root, "http_port", self->http_port);
    el_json_add_u64(root, "memory_capacity_mb", self->memory_capacity_mb);
    el_json_add_u64(root, "disk_capacity_mb", self->disk_capacity_mb);
    add_text(root, "cluster_id", self->cluster);
    add_text(root, "name", self->name);
    add_text(root, "zone", self->zone);
    add_text(root, "version", self->version);
    add_text(root, "proof", self->proof);
    el_json_add_bool(root, "serves", self->serves);
    put(out, root);
}

static void add_digest(json_t *root, uint64_t digest)
{
    char hex[17];

    (void)snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)digest);
    el_json_add_str(root, "digest", el_str_of(hex));
}

static void add_object(json_t *o, const uint8_t object[EL_CHUNK_ID_OBJECT_BYTES], const char *name)
{
    struct el_chunk_id id = { .index = 0 };
    char text[EL_CHUNK_ID_CHARS + 1];

    memcpy(id.object, object, sizeof(id.object));
    el_chunk_id_text(&id, text);
    el_json_add_str(o, "object", (struct el_str){ text, (size_t)2 * EL_CHUNK_ID_OBJECT_BYTES });
    add_text(o, "name", name);
}

static void add_hottest(json_t *list, const struct disc_cp_hot *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_t *o = el_json_append_child(list);

        add_object(o, v[i].object, v[i].name);
        el_json_add_u64(o, "bytes", v[i].bytes);
        el_json_add_real(o, "accesses_per_hour", v[i].per_hour);
    }
}

static void add_downloads(json_t *list, const struct disc_cp_download *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_t *o = el_json_append_child(list);

        add_object(o, v[i].object, v[i].name);
        el_json_add_u64(o, "total_bytes", v[i].total_bytes);
        el_json_add_u64(o, "done_bytes", v[i].done_bytes);
        el_json_add_u64(o, "had_bytes", v[i].had_bytes);
        el_json_add_u64(o, "elapsed_ms", v[i].elapsed_ms);
        el_json_add_u64(o, "rate_bytes_s", v[i].rate_bytes_s);
        el_json_add_u64(o, "bound_ms", v[i].bound_ms);
    }
}

static void add_links(json_t *list, const struct disc_cp_link *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_t *o = el_json_append_child(list);

        el_json_add_str(o, "node_id", el_str_of(v[i].node_id));
        el_json_add_str(o, "via", v[i].is_detour ? EL_STR("http") : EL_STR("p2p"));
        el_json_add_u64(o, "blocks", v[i].blocks);
        el_json_add_u64(o, "rate_bytes_s", v[i].rate_bytes_s);
    }
}

static void add_ran(json_t *root, const struct disc_cp_ran *ran)
{
    json_t *config = el_json_child(root, "config"), *list;

    el_json_add_u64(config, "version", ran->version);
    el_json_add_str(config, "error", el_str_of(ran->error));
    list = el_json_child_list(config, "pending");
    for (size_t i = 0; i < ran->n_pending; i++)
        EL_ASSERT(json_array_append_new(list, json_string(ran->pending[i])) == 0);
    el_json_add_u64(config, "policy_version", ran->policy_version);
    el_json_add_str(config, "policy_error", el_str_of(ran->policy_error));
}

static void add_prefetch(json_t *root, const struct disc_cp_beat *b)
{
    json_t *o;
    char id[24];

    if (b->prefetch == 0)
        return;
    (void)snprintf(id, sizeof(id), "%llu", (unsigned long long)b->prefetch);
    o = el_json_child(root, "prefetch");
    el_json_add_str(o, "operation_id", el_str_of(id));
    el_json_add_u64(o, "done", b->prefetch_done);
    el_json_add_u64(o, "failed", b->prefetch_failed);
    el_json_add_bool(o, "over", b->prefetch_is_over);
}

void disc_cp_put_beat(struct el_buf *out, const struct disc_cp_beat_of *of,
                      const struct disc_cp_beat *b)
{
    json_t *root = el_json_new(), *bytes;

    el_json_add_str(root, "node_id", el_str_of(of->node_id));
    el_json_add_bool(root, "online", !of->is_leaving);
    el_json_add_real(root, "memory_used_mb", b->memory_used_mb);
    el_json_add_real(root, "disk_used_mb", b->disk_used_mb);
    el_json_add_real(root, "cache_hit_rate", b->hit_rate);
    el_json_add_u64(root, "total_chunks", of->chunks);
    el_json_add_u64(root, "active_connections", b->connections);
    el_json_add_real(root, "upload_speed_mbps", b->upload_mbps);
    el_json_add_real(root, "download_speed_mbps", b->download_mbps);
    el_json_add_u64(root, "timestamp", (uint64_t)of->wall_ms);
    el_json_add_bool(root, "ready", b->is_ready);
    if (of->epoch > 0) {
        el_json_add_u64(root, "epoch", of->epoch);
        add_digest(root, of->digest);
    }
    bytes = el_json_child(root, "bytes");
    el_json_add_u64(bytes, "memory", b->memory_bytes);
    el_json_add_u64(bytes, "disk", b->disk_bytes);
    el_json_add_u64(bytes, "peer", b->peer_bytes);
    el_json_add_u64(bytes, "origin", b->origin_bytes);
    el_json_add_bool(root, "origin_ok", b->origin_ok);
    el_json_add_u64(root, "origin_errors", b->origin_errors);
    el_json_add_str(root, "disk_state", el_str_of(b->disk_state));
    add_hottest(el_json_child_list(root, "hottest"), b->hottest, b->n_hottest);
    add_downloads(el_json_child_list(root, "downloads"), b->downloads, b->n_downloads);
    add_links(el_json_child_list(root, "links"), b->links, b->n_links);
    add_ran(root, of->ran);
    add_prefetch(root, b);
    put(out, root);
}

/* As text at once: a page has thousands of them. */
static void put_chunks(struct el_buf *out, const char *key, const struct el_chunk_id *v, size_t n)
{
    char text[EL_CHUNK_ID_CHARS + 1];

    el_buf_addf(out, "\"%s\":[", key);
    for (size_t i = 0; i < n; i++) {
        el_chunk_id_text(&v[i], text);
        el_buf_add_str(out, i == 0 ? EL_STR("\"") : EL_STR(",\""));
        el_buf_add(out, text, EL_CHUNK_ID_CHARS);
        el_buf_add_byte(out, '"');
    }
    el_buf_add_byte(out, ']');
}

void disc_cp_put_report(struct el_buf *out, const struct disc_report_part *part)
{
    el_buf_addf(out, "{\"epoch\":%llu,", (unsigned long long)part->epoch);
    if (part->is_full) {
        el_buf_addf(out, "\"page\":%u,\"pages\":%u,", part->page, part->pages);
        put_chunks(out, "chunk_ids", part->added, part->n_added);
    } else {
        el_buf_addf(out, "\"base_epoch\":%llu,\"digest\":\"%016llx\",",
                    (unsigned long long)part->base_epoch, (unsigned long long)part->digest);
        put_chunks(out, "added", part->added, part->n_added);
        el_buf_add_byte(out, ',');
        put_chunks(out, "removed", part->removed, part->n_removed);
    }
    el_buf_add_str(out, EL_STR("}\n"));
}

void disc_cp_put_question(struct el_buf *out, const struct el_chunk_id *chunks, size_t n,
                          const char *zone)
{
    json_t *root = el_json_new();
    struct el_buf rest = { 0 };

    el_json_add_u64(root, "max_peers", DISC_CP_MAX_PEERS);
    add_text(root, "zone", zone);
    put(&rest, root);
    el_buf_add_byte(out, '{');
    put_chunks(out, "chunk_ids", chunks, n);
    el_buf_add_byte(out, ',');
    el_buf_add_str(out, el_str_from(el_buf_str(&rest), 1));
    el_buf_deinit(&rest);
}

void disc_cp_put_ack(struct el_buf *out, bool is_done, const char *message)
{
    json_t *root = el_json_new();

    el_json_add_str(root, "status", is_done ? EL_STR("done") : EL_STR("failed"));
    add_text(root, "message", message);
    put(out, root);
}

/* ---- values of an answer ---- */

static enum el_err parse(struct el_str body, json_t **ret_root, struct el_error *err)
{
    static const struct el_json_limits limits = { .depth = MAX_DEPTH, .values = MAX_VALUES };

    if (body.n > DISC_CP_MAX_BODY)
        return el_fail(err, EL_EPROTO, 0, "an answer of more than %u bytes", DISC_CP_MAX_BODY);
    return el_json_parse(body, &limits, ret_root, err);
}

static enum el_err wrong(const char *key, struct el_error *err)
{
    return el_fail(err, EL_EPROTO, 0, "the answer has no %s, or not of the right form", key);
}

/* `room` bytes with the terminator; `is_needed`: otherwise what is not there is empty. */
static enum el_err get_text(json_t *obj, const char *key, bool is_needed, char *ret, size_t room,
                            struct el_error *err)
{
    json_t *v = json_object_get(obj, key);
    size_t n = json_string_length(v);

    if (!is_needed && (v == NULL || json_is_null(v))) {
        ret[0] = '\0';
        return EL_OK;
    }
    if (!json_is_string(v) || n >= room || (is_needed && n == 0))
        return wrong(key, err);
    memcpy(ret, json_string_value(v), n);
    ret[n] = '\0';
    return EL_OK;
}

static enum el_err get_id(json_t *obj, const char *key, bool is_needed,
                          char ret[DISC_CP_MAX_ID + 1], struct el_error *err)
{
    enum el_err rc = get_text(obj, key, is_needed, ret, DISC_CP_MAX_ID + 1, err);

    if (rc == EL_OK && ret[0] != '\0' && !disc_cp_id_ok(el_str_of(ret)))
        return wrong(key, err);
    return rc;
}

static enum el_err get_u64(json_t *obj, const char *key, uint64_t max, uint64_t *ret,
                           struct el_error *err)
{
    json_t *v = json_object_get(obj, key);
    json_int_t n = json_integer_value(v);

    if (!json_is_integer(v) || n < 0 || (uint64_t)n > max)
        return wrong(key, err);
    *ret = (uint64_t)n;
    return EL_OK;
}

/* 0 when it is not there: not every service has it. */
static enum el_err may_u64(json_t *obj, const char *key, uint64_t max, uint64_t *ret,
                           struct el_error *err)
{
    *ret = 0;
    return json_object_get(obj, key) == NULL ? EL_OK : get_u64(obj, key, max, ret, err);
}

static bool get_bool(json_t *obj, const char *key, bool otherwise)
{
    json_t *v = json_object_get(obj, key);

    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

bool disc_cp_id_ok(struct el_str id)
{
    if (id.n == 0 || id.n > DISC_CP_MAX_ID)
        return false;
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '.' && c != '_' && c != '-' && c != ':')
            return false;
    }
    return true;
}

/* ---- health, registration, heartbeat ---- */

enum el_err disc_cp_health(struct el_str body, struct disc_cp_health *ret, struct el_error *err)
{
    json_t *root = NULL;
    enum el_err rc = parse(body, &root, err);

    if (rc == EL_OK && !json_is_object(root))
        rc = wrong("status", err);
    if (rc == EL_OK)
        rc = get_text(root, "cluster_id", false, ret->cluster, sizeof(ret->cluster), err);
    if (rc == EL_OK)
        rc = may_u64(root, "epoch", INT64_MAX, &ret->epoch, err);
    if (rc == EL_OK)
        rc = may_u64(root, "uptime_seconds", INT64_MAX, &ret->uptime_s, err);
    json_decref(root);
    return rc;
}

static bool is_token(const char *token)
{
    for (; *token != '\0'; token++)
        if (*token <= ' ' || *token > '~')
            return false;
    return true;
}

static enum el_err get_versions(json_t *root, struct disc_cp_registered *ret, struct el_error *err)
{
    enum el_err rc = may_u64(root, "config_version", INT64_MAX, &ret->config_version, err);

    if (rc == EL_OK)
        rc = may_u64(root, "policy_version", INT64_MAX, &ret->policy_version, err);
    return rc;
}

enum el_err disc_cp_registered(struct el_str body, struct disc_cp_registered *ret,
                               struct el_error *err)
{
    json_t *root = NULL;
    enum el_err rc = parse(body, &root, err);

    if (rc == EL_OK && !get_bool(root, "success", false))
        rc = wrong("success", err);
    if (rc == EL_OK)
        rc = get_text(root, "token", false, ret->token, sizeof(ret->token), err);
    if (rc == EL_OK && !is_token(ret->token))
        rc = wrong("token", err);
    if (rc == EL_OK)
        rc = get_text(root, "cluster_id", false, ret->cluster, sizeof(ret->cluster), err);
    if (rc == EL_OK)
        rc = may_u64(root, "heartbeat_interval_ms", MAX_INTERVAL, &ret->interval_ms, err);
    if (rc == EL_OK)
        rc = may_u64(root, "epoch", INT64_MAX, &ret->epoch, err);
    if (rc == EL_OK)
        rc = get_versions(root, ret, err);
    json_decref(root);
    return rc;
}

static uint64_t number_of(struct el_fieldv fields, struct el_str name, uint64_t max)
{
    struct el_str value;
    uint64_t n = 0;

    if (el_fieldv_get(fields, name, &value))
        (void)el_str_u64(value, max, &n);
    return n;
}

void disc_cp_heard(struct el_fieldv fields, struct disc_cp_heard *ret)
{
    struct el_str report;

    *ret = (struct disc_cp_heard){
        .epoch = number_of(fields, EL_STR("X-Elio-Epoch"), INT64_MAX),
        .interval_ms = number_of(fields, EL_STR("X-Elio-Interval-Ms"), MAX_INTERVAL),
        .commands = number_of(fields, EL_STR("X-Elio-Commands"), INT64_MAX),
        .config_version = number_of(fields, EL_STR("X-Elio-Config"), INT64_MAX),
        .policy_version = number_of(fields, EL_STR("X-Elio-Policies"), INT64_MAX),
        .prefetch = number_of(fields, EL_STR("X-Elio-Prefetch"), INT64_MAX),
    };
    ret->wants_full = el_fieldv_get(fields, EL_STR("X-Elio-Report"), &report) &&
                      el_str_eq(report, EL_STR("full"));
}

void disc_cp_refusal(struct el_str body, struct disc_cp_refusal *ret)
{
    struct el_error none;
    json_t *root = NULL;

    *ret = (struct disc_cp_refusal){ .wants_full = false };
    if (body.n == 0 || parse(body, &root, &none) != EL_OK)
        return;
    (void)snprintf(ret->text, sizeof(ret->text), "%s",
                   json_is_string(json_object_get(root, "text"))
                       ? json_string_value(json_object_get(root, "text"))
                       : "");
    ret->wants_full = json_is_string(json_object_get(root, "want")) &&
                      strcmp(json_string_value(json_object_get(root, "want")), "full") == 0;
    if (get_u64(root, "epoch", INT64_MAX, &ret->epoch, &none) != EL_OK)
        ret->epoch = 0;
    json_decref(root);
}

/* ---- members ---- */

void disc_cp_members_deinit(struct disc_cp_members *m)
{
    free(m->v);
    *m = (struct disc_cp_members){ .v = NULL };
}

static bool is_live(json_t *obj)
{
    json_t *state = json_object_get(obj, "state");

    return !json_is_string(state) || strcmp(json_string_value(state), "dead") != 0;
}

static enum el_err get_ports(json_t *obj, struct disc_cp_member *ret, struct el_error *err)
{
    uint64_t p2p, http = 0;
    enum el_err rc = get_u64(obj, "p2p_port", UINT16_MAX, &p2p, err);

    if (rc == EL_OK && json_object_get(obj, "http_address") == NULL)
        rc = get_u64(obj, "http_port", UINT16_MAX, &http, err);
    if (rc != EL_OK)
        return rc;
    ret->p2p_port = (uint16_t)p2p;
    ret->http_port = (uint16_t)http;
    return EL_OK;
}

static enum el_err get_member(json_t *obj, struct disc_cp_member *ret, struct el_error *err)
{
    enum el_err rc = get_id(obj, "node_id", true, ret->node_id, err);

    if (rc == EL_OK)
        rc = get_text(obj, "address", true, ret->address, sizeof(ret->address), err);
    if (rc == EL_OK)
        rc = get_ports(obj, ret, err);
    ret->is_live = is_live(obj);
    ret->serves = get_bool(obj, "serves", true) && ret->p2p_port != 0;
    return rc;
}

static enum el_err get_members(json_t *list, const char *key, struct disc_cp_members *ret,
                               struct el_error *err)
{
    size_t n = el_min_size(json_array_size(list), DISC_CP_MAX_MEMBERS);
    enum el_err rc = EL_OK;

    if (!json_is_array(list))
        return wrong(key, err);
    ret->v = el_try_alloc((n > 0 ? n : 1) * sizeof(*ret->v));
    if (ret->v == NULL)
        return el_fail(err, EL_ENOMEM, 0, "for %zu members", n);
    for (ret->n = 0; ret->n < n && rc == EL_OK; ret->n += rc == EL_OK)
        rc = get_member(json_array_get(list, ret->n), &ret->v[ret->n], err);
    ret->total = json_array_size(list);
    if (rc != EL_OK)
        disc_cp_members_deinit(ret);
    return rc;
}

enum el_err disc_cp_nodes(struct el_str body, struct disc_cp_members *ret, struct el_error *err)
{
    json_t *root = NULL;
    enum el_err rc = parse(body, &root, err);
    uint64_t total;

    *ret = (struct disc_cp_members){ .v = NULL };
    if (rc == EL_OK)
        rc = get_u64(root, "total", INT64_MAX, &total, err);
    if (rc == EL_OK)
        rc = get_members(json_object_get(root, "nodes"), "nodes", ret, err);
    if (rc == EL_OK)
        ret->total = el_max_u64(total, ret->n);
    json_decref(root);
    return rc;
}

enum el_err disc_cp_seeds(struct el_str body, struct disc_cp_members *ret, struct el_error *err)
{
    json_t *root = NULL;
    enum el_err rc = parse(body, &root, err);

    *ret = (struct disc_cp_members){ .v = NULL };
    if (rc == EL_OK)
        rc = get_members(root, "seeds", ret, err);
    json_decref(root);
    return rc;
}

/* ---- commands ---- */

void disc_cp_commands_deinit(struct disc_cp_commands *c)
{
    free(c->v);
    *c = (struct disc_cp_commands){ .v = NULL };
}

static enum el_err get_action(json_t *obj, enum disc_cp_action *ret, struct el_error *err)
{
    static const char *const names[] = {
        [DISC_CP_REPLICATE] = "replicate", [DISC_CP_EVICT] = "evict", [DISC_CP_MIGRATE] = "migrate"
    };
    json_t *v = json_object_get(obj, "action");

    for (size_t i = 0; json_is_string(v) && i < EL_COUNT(names); i++) {
        if (strcmp(json_string_value(v), names[i]) == 0) {
            *ret = (enum disc_cp_action)i;
            return EL_OK;
        }
    }
    return wrong("action", err);
}

static enum el_err get_chunk(json_t *obj, struct el_chunk_id *ret, struct el_error *err)
{
    json_t *v = json_object_get(obj, "chunk_id");
    struct el_str text = { json_string_value(v), json_string_length(v) };

    return json_is_string(v) && el_chunk_id_parse(text, ret) ? EL_OK : wrong("chunk_id", err);
}

static enum el_err get_command(json_t *obj, struct disc_cp_command *ret, struct el_error *err)
{
    enum el_err rc = get_id(obj, "command_id", true, ret->id, err);

    if (rc == EL_OK)
        rc = get_action(obj, &ret->action, err);
    if (rc == EL_OK)
        rc = get_chunk(obj, &ret->chunk, err);
    if (rc == EL_OK)
        rc = get_id(obj, "source_node_id", false, ret->source, err);
    if (rc == EL_OK)
        rc = get_id(obj, "target_node_id", false, ret->target, err);
    return rc;
}

/* What is beyond the limit comes again. */
static enum el_err get_commands(json_t *root, struct disc_cp_commands *ret, struct el_error *err)
{
    json_t *list = json_object_get(root, "commands");
    size_t n = el_min_size(json_array_size(list), DISC_CP_MAX_COMMANDS);
    enum el_err rc = EL_OK;

    if (!json_is_array(list))
        return wrong("commands", err);
    ret->v = el_alloc((n > 0 ? n : 1) * sizeof(*ret->v));
    for (ret->n = 0; ret->n < n && rc == EL_OK; ret->n += rc == EL_OK)
        rc = get_command(json_array_get(list, ret->n), &ret->v[ret->n], err);
    if (rc != EL_OK)
        disc_cp_commands_deinit(ret);
    return rc;
}

enum el_err disc_cp_commands(struct el_str body, struct disc_cp_commands *ret, struct el_error *err)
{
    json_t *root = NULL;
    enum el_err rc = parse(body, &root, err);

    *ret = (struct disc_cp_commands){ .v = NULL };
    if (rc == EL_OK)
        rc = get_commands(root, ret, err);
    json_decref(root);
    return rc;
}

/* ---- locations ---- */

static void tell_holders(json_t *ids, const struct el_chunk_id *chunk, disc_cp_located *each,
                         void *arg)
{
    for (size_t i = 0; i < json_array_size(ids); i++) {
        json_t *v = json_array_get(ids, i);
        struct el_str id = { json_string_value(v), json_string_length(v) };

        if (json_is_string(v) && disc_cp_id_ok(id))
            each(arg, chunk, id);
    }
}

static enum el_err get_location(json_t *obj, disc_cp_located *each, void *arg, struct el_error *err)
{
    struct el_chunk_id chunk;
    enum el_err rc = get_chunk(obj, &chunk, err);

    if (rc != EL_OK)
        return rc;
    if (!json_is_array(json_object_get(obj, "peer_ids")))
        return wrong("peer_ids", err);
    tell_holders(json_object_get(obj, "peer_ids"), &chunk, each, arg);
    return EL_OK;
}

enum el_err disc_cp_locations(struct el_str body, size_t n, disc_cp_located *each, void *arg,
                              struct el_error *err)
{
    json_t *root = NULL, *list;
    enum el_err rc = parse(body, &root, err);

    list = json_object_get(root, "locations");
    if (rc == EL_OK && (!json_is_array(list) || json_array_size(list) > 2 * n))
        rc = wrong("locations", err);
    for (size_t i = 0; rc == EL_OK && i < json_array_size(list); i++)
        rc = get_location(json_array_get(list, i), each, arg, err);
    json_decref(root);
    return rc;
}

/* ---- pushed configuration ---- */

static enum el_err read_lines(const json_t *root, enum disc_cp_part part, struct el_buf *ret_lines,
                              struct el_error *err)
{
    return part == DISC_CP_KEYS
               ? el_conf_push_lines(json_object_get(root, "settings"), ret_lines, err)
               : el_conf_push_policies(json_object_get(root, "policies"), ret_lines, err);
}

/* What is JSON, but nothing that could be set, is the node's to say: the version was read. */
enum el_err disc_cp_settings(struct el_str body, enum disc_cp_part part,
                             struct disc_cp_settings *ret, struct el_error *err)
{
    struct el_error why = { 0 };
    json_t *root = NULL;
    enum el_err rc = parse(body, &root, err);

    *ret = (struct disc_cp_settings){ .part = part };
    el_buf_init(&ret->lines);
    if (rc == EL_OK)
        rc = get_u64(root, "version", INT64_MAX, &ret->version, err);
    if (rc == EL_OK && part == DISC_CP_KEYS && !json_is_object(json_object_get(root, "settings")))
        rc = el_fail(err, EL_EPROTO, 0, "settings is no object");
    if (rc == EL_OK && part == DISC_CP_BY_PREFIX &&
        !json_is_array(json_object_get(root, "policies")))
        rc = el_fail(err, EL_EPROTO, 0, "policies is no list");
    if (rc == EL_OK && read_lines(root, part, &ret->lines, &why) != EL_OK)
        (void)snprintf(ret->error, sizeof(ret->error), "%.159s", why.text);
    json_decref(root);
    return rc;
}

/* ---- hydration ---- */

void disc_cp_hydration_deinit(struct disc_cp_hydration *h)
{
    disc_cp_members_deinit(&h->members);
    disc_cp_commands_deinit(&h->commands);
}

static enum el_err get_numbers(json_t *root, struct disc_cp_hydration *ret, uint64_t *ret_total,
                               struct el_error *err)
{
    enum el_err rc = get_text(root, "cluster_id", false, ret->cluster, sizeof(ret->cluster), err);

    if (rc == EL_OK)
        rc = get_u64(root, "epoch", INT64_MAX, &ret->epoch, err);
    if (rc == EL_OK)
        rc = get_u64(root, "heartbeat_interval_ms", MAX_INTERVAL, &ret->interval_ms, err);
    if (rc == EL_OK)
        rc = get_u64(root, "policy_version", INT64_MAX, &ret->policy_version, err);
    if (rc == EL_OK)
        rc = get_u64(json_object_get(root, "config"), "version", INT64_MAX, &ret->config_version,
                     err);
    if (rc == EL_OK)
        rc = may_u64(root, "members_total", INT64_MAX, ret_total, err);
    return rc;
}

enum el_err disc_cp_hydration(struct el_str body, struct disc_cp_hydration *ret,
                              struct el_error *err)
{
    json_t *root = NULL, *report;
    enum el_err rc = parse(body, &root, err);
    uint64_t total = 0;

    *ret = (struct disc_cp_hydration){ .epoch = 0 };
    if (rc == EL_OK)
        rc = get_numbers(root, ret, &total, err);
    if (rc == EL_OK)
        rc = get_members(json_object_get(root, "members"), "members", &ret->members, err);
    if (rc == EL_OK)
        rc = get_commands(root, &ret->commands, err);
    report = json_object_get(root, "report");
    ret->wants_full = json_is_string(report) && strcmp(json_string_value(report), "full") == 0;
    ret->members.total = el_max_u64(ret->members.total + 1, total); /* it names some of many */
    if (rc != EL_OK)
        disc_cp_hydration_deinit(ret);
    json_decref(root);
    return rc;
}
