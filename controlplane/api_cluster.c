/* SPDX-License-Identifier: MIT */
/* api_cluster: what operators and dashboards read of the nodes and of what they have. */
#include "controlplane/serve.h"

#include <stdlib.h>

#define MAX_SEEDS   16u
#define MAX_ZONES   256u
#define MAX_HOTTEST 100u
#define MAX_SWARMS  1000u
#define MAX_EDGES   16384u

static void add_now(json_t *root, struct cp_service *s)
{
    cp_json_time(root, "timestamp", el_clock_wall_ms(s->clock));
}

static void say_no_node(struct el_http_reply *out)
{
    cp_reply_say(out, 404, EL_ENOTFOUND, "node_id", "no node of that name is registered");
}

/* ---- nodes ---- */

struct node_filter {
    char state[16], zone[CP_ID_MAX + 1], group[CP_ID_MAX + 1];
    bool by_state, by_zone, by_group;
};

static struct node_filter filter_of(struct el_str query)
{
    struct node_filter f = { 0 };

    f.by_state = cp_query_text(query, "state", f.state, sizeof(f.state));
    f.by_zone = cp_query_text(query, "zone", f.zone, sizeof(f.zone));
    f.by_group = cp_query_text(query, "group", f.group, sizeof(f.group));
    return f;
}

static bool fits(const struct node_filter *f, const struct cp_state *state, const struct cp_node *n)
{
    return (!f->by_state || strcmp(cp_node_status(n), f->state) == 0) &&
           (!f->by_zone || strcmp(n->card.zone, f->zone) == 0) &&
           (!f->by_group || cp_group_has(state, el_str_of(f->group), el_str_of(n->card.node_id)));
}

void cp_get_nodes(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct node_filter filter = filter_of(in->query);
    struct cp_state *state = cp_plane_lock(s->plane);
    json_t *root = el_json_new(), *list = el_json_child_list(root, "nodes");
    const struct cp_node *n;
    uint64_t total = 0, active = 0;
    uint32_t cursor = 0;

    while ((n = cp_node_next(state, &cursor)) != NULL) {
        total++;
        active += cp_node_is_alive(n);
        if (fits(&filter, state, n))
            cp_json_node(el_json_append_child(list), state, n);
    }
    (void)cp_plane_unlock(s->plane);
    el_json_add_u64(root, "total", total);
    el_json_add_u64(root, "active", active);
    cp_reply_json(out, 200, root);
}

void cp_get_node(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char node_id[CP_ID_MAX + 1];
    const struct cp_node *n;
    struct cp_state *state;
    json_t *root;

    if (!cp_param(in, 0, out, node_id))
        return;
    state = cp_plane_lock(s->plane);
    n = cp_node_get(state, el_str_of(node_id));
    if (n == NULL) {
        say_no_node(out);
    } else {
        root = el_json_new();
        cp_json_node(root, state, n);
        cp_reply_json(out, 200, root);
    }
    (void)cp_plane_unlock(s->plane);
}

static bool add_chunk(void *arg, const struct el_chunk_id *id)
{
    json_t *list = (json_t *)arg;
    char text[EL_CHUNK_ID_CHARS + 1];

    el_chunk_id_text(id, text);
    EL_ASSERT(json_array_append_new(list, json_string(text)) == 0);
    return true;
}

void cp_get_node_chunks(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char node_id[CP_ID_MAX + 1];
    struct el_error err = { 0 };
    struct cp_state *state;
    json_t *root;

    if (!cp_param(in, 0, out, node_id))
        return;
    root = el_json_new();
    el_json_add_str(root, "node_id", el_str_of(node_id));
    state = cp_plane_lock(s->plane);
    if (cp_chunks_of(state, el_str_of(node_id), add_chunk, el_json_child_list(root, "chunk_ids"),
                     &err) == EL_OK) {
        const struct cp_node *n = cp_node_get(state, el_str_of(node_id));

        el_json_add_u64(root, "epoch", n->report_epoch);
        cp_json_digest(root, "digest", n->digest);
        cp_reply_json(out, 200, root);
    } else {
        json_decref(root);
        cp_reply_error(out, &err);
    }
    (void)cp_plane_unlock(s->plane);
}

static void add_seed(json_t *o, const struct cp_node *n)
{
    char http[CP_HOST_MAX + 12];
    bool is_v6 = strchr(n->card.address, ':') != NULL;

    (void)snprintf(http, sizeof(http), is_v6 ? "[%s]:%u" : "%s:%u", n->card.address,
                   n->card.http_port);
    el_json_add_str(o, "node_id", el_str_of(n->card.node_id));
    el_json_add_str(o, "address", el_str_of(n->card.address));
    el_json_add_u64(o, "p2p_port", n->card.p2p_port);
    el_json_add_str(o, "http_address", el_str_of(http));
    el_json_add_bool(o, "is_anchor", n->card.is_anchor || n->is_relay);
    el_json_add_str(o, "zone", el_str_of(n->card.zone));
}

void cp_get_seeds(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    const struct cp_node *v[MAX_SEEDS];
    char zone[CP_ID_MAX + 1] = "";
    json_t *list = json_array();
    size_t n;

    EL_ASSERT(list != NULL);
    (void)cp_query_text(in->query, "zone", zone, sizeof(zone));
    n = cp_node_seeds(cp_plane_lock(s->plane), el_str_of(zone), v, MAX_SEEDS);
    for (size_t i = 0; i < n; i++)
        add_seed(el_json_append_child(list), v[i]);
    (void)cp_plane_unlock(s->plane);
    cp_reply_json(out, 200, list);
}

/* ---- health ---- */

static void count_nodes(const struct cp_state *state, json_t *root)
{
    static const char *const states[] = { "joining", "active", "suspect", "draining", "dead" };
    uint64_t counts[EL_COUNT(states)] = { 0 }, disks = 0, unready = 0, lost = 0;
    const struct cp_node *n;
    uint32_t cursor = 0;

    while ((n = cp_node_next(state, &cursor)) != NULL) {
        for (size_t i = 0; i < EL_COUNT(states); i++)
            counts[i] += strcmp(cp_node_status(n), states[i]) == 0;
        disks += n->beat.disk == CP_DISK_DEGRADED || n->beat.disk == CP_DISK_DOWN;
        unready += n->life == CP_ACTIVE && !n->beat.is_ready;
        lost += cp_node_is_alive(n) && n->reach.is_lost;
    }
    for (size_t i = 0; i < EL_COUNT(states); i++)
        el_json_add_u64(root, states[i], counts[i]);
    el_json_add_u64(root, "disk_faults", disks);
    el_json_add_u64(root, "not_ready", unready);
    el_json_add_u64(root, "unreachable", lost);
    el_json_add_str(root, "status",
                    counts[2] + counts[4] + disks + unready + lost > 0 ? EL_STR("degraded")
                                                                       : EL_STR("ok"));
}

void cp_get_health_nodes(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    json_t *root = el_json_new();

    (void)in;
    count_nodes(cp_plane_lock(s->plane), root);
    (void)cp_plane_unlock(s->plane);
    add_now(root, s);
    cp_reply_json(out, 200, root);
}

void cp_get_health_origin(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    json_t *root = el_json_new(), *failing = el_json_child_list(root, "failing");
    struct cp_state *state = cp_plane_lock(s->plane);
    const struct cp_node *n;
    uint64_t well = 0, errors = 0;
    uint32_t cursor = 0;

    (void)in;
    while ((n = cp_node_next(state, &cursor)) != NULL) {
        if (n->life != CP_ACTIVE)
            continue;
        errors += n->beat.origin_errors;
        if (n->beat.is_origin_failing)
            EL_ASSERT(json_array_append_new(failing, json_string(n->card.node_id)) == 0);
        else
            well++;
    }
    (void)cp_plane_unlock(s->plane);
    el_json_add_str(root, "status",
                    json_array_size(failing) > 0 ? EL_STR("degraded") : EL_STR("ok"));
    el_json_add_u64(root, "reaching", well);
    el_json_add_u64(root, "origin_errors", errors);
    add_now(root, s);
    cp_reply_json(out, 200, root);
}

static void add_status_node(json_t *o, const struct cp_node *n)
{
    char url[CP_HOST_MAX + 24];
    json_t *stats;

    (void)snprintf(url, sizeof(url),
                   strchr(n->card.address, ':') != NULL ? "http://[%s]:%u" : "http://%s:%u",
                   n->card.address, n->card.http_port);
    el_json_add_str(o, "id", el_str_of(n->card.node_id));
    el_json_add_str(o, "type", n->is_relay ? EL_STR("relay") : EL_STR("node"));
    el_json_add_str(o, "status", el_str_of(cp_node_status(n)));
    el_json_add_str(o, "url", el_str_of(url));
    el_json_add_str(o, "zone", el_str_of(n->card.zone));
    el_json_add_str(o, "region", el_str_of(n->card.region));
    el_json_add_u64(o, "health", n->health);
    stats = el_json_child(o, "stats");
    el_json_add_u64(stats, "chunks", n->chunks);
    el_json_add_u64(stats, "bytes",
                    (uint64_t)((n->beat.memory_used_mb + n->beat.disk_used_mb) * (double)EL_MIB));
    el_json_add_real(stats, "hit_rate", n->beat.cache_hit_rate);
}

void cp_get_cluster_status(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    json_t *root = el_json_new(), *list;
    struct cp_state *state;
    const struct cp_node *n;
    uint64_t total = 0, healthy = 0;
    uint32_t cursor = 0;

    (void)in;
    el_json_add_str(root, "cluster_id", el_str_of(s->conf->service_cluster_id));
    list = el_json_child_list(root, "nodes");
    state = cp_plane_lock(s->plane);
    while ((n = cp_node_next(state, &cursor)) != NULL) {
        total++;
        healthy += cp_node_is_alive(n);
        add_status_node(el_json_append_child(list), n);
    }
    el_json_add_u64(root, "epoch", cp_state_epoch(state));
    cp_json_digest(root, "digest", cp_state_digest(state));
    (void)cp_plane_unlock(s->plane);
    el_json_add_u64(root, "total_nodes", total);
    el_json_add_u64(root, "healthy_nodes", healthy);
    add_now(root, s);
    cp_reply_json(out, 200, root);
}

void cp_get_zones(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct cp_zone *v = el_try_alloc(MAX_ZONES * sizeof(*v));
    json_t *root = el_json_new(), *list = el_json_child_list(root, "zones");
    size_t n = 0;

    (void)in;
    if (v != NULL) {
        n = cp_zones(cp_plane_lock(s->plane), v, MAX_ZONES);
        (void)cp_plane_unlock(s->plane);
    }
    for (size_t i = 0; i < el_min_size(n, MAX_ZONES); i++) {
        json_t *o = el_json_append_child(list);

        el_json_add_str(o, "zone", el_str_of(v[i].name));
        el_json_add_u64(o, "nodes", v[i].nodes);
        el_json_add_u64(o, "alive", v[i].alive);
        el_json_add_u64(o, "relays", v[i].relays);
        el_json_add_u64(o, "peer_bytes", v[i].bytes_peer);
        el_json_add_u64(o, "origin_bytes", v[i].bytes_origin);
    }
    el_json_add_u64(root, "total", n);
    free(v);
    cp_reply_json(out, 200, root);
}

/* ---- what there is ---- */

void cp_json_bytes(json_t *o, const struct cp_bytes *b)
{
    el_json_add_u64(o, "memory", b->memory);
    el_json_add_u64(o, "disk", b->disk);
    el_json_add_u64(o, "peer", b->peer);
    el_json_add_u64(o, "origin", b->origin);
}

void cp_get_timeline(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    json_t *root = el_json_new(), *list;
    uint64_t points = CP_TIMELINE_STEPS;
    size_t n = s->timeline.n;
    struct cp_ask a;

    cp_ask_init(&a, NULL);
    cp_query_u64(&a, in->query, "points", 1, CP_TIMELINE_STEPS, &points);
    if (a.code != EL_OK) {
        json_decref(root);
        cp_reply_fault(out, &a);
        return;
    }
    el_json_add_u64(root, "step_ms", CP_TIMELINE_STEP_MS);
    list = el_json_child_list(root, "points");
    for (size_t i = n > points ? n - (size_t)points : 0; i < n; i++) {
        const struct cp_timeline_step *step = cp_timeline_at(&s->timeline, i);
        json_t *o = el_json_append_child(list);

        cp_json_time(o, "at", step->wall_ms);
        cp_json_bytes(o, &step->bytes);
        el_json_add_u64(o, "active_nodes", step->active_nodes);
    }
    cp_reply_json(out, 200, root);
}

void cp_json_object(json_t *o, const struct cp_object *object)
{
    struct el_chunk_id id = { .index = 0 };
    char text[EL_CHUNK_ID_CHARS + 1];

    memcpy(id.object, object->object, sizeof(id.object));
    el_chunk_id_text(&id, text);
    el_json_add_str(o, "object", (struct el_str){ text, (size_t)2 * EL_CHUNK_ID_OBJECT_BYTES });
    el_json_add_str(o, "name", object->name);
    el_json_add_u64(o, "bytes", object->bytes);
    el_json_add_u64(o, "chunks", object->chunks);
    el_json_add_u64(o, "locations", object->locations);
    el_json_add_u64(o, "min_copies", object->min_copies);
    el_json_add_u64(o, "max_copies", object->max_copies);
    el_json_add_real(o, "heat", object->heat);
}

void cp_get_hottest(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct cp_object v[MAX_HOTTEST];
    json_t *root, *list;
    uint64_t limit = 20;
    struct cp_ask a;
    size_t n;

    cp_ask_init(&a, NULL);
    cp_query_u64(&a, in->query, "limit", 1, MAX_HOTTEST, &limit);
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
        return;
    }
    root = el_json_new();
    list = el_json_child_list(root, "objects");
    n = cp_objects_hot(cp_plane_lock(s->plane), v, (size_t)limit);
    for (size_t i = 0; i < n; i++)
        cp_json_object(el_json_append_child(list), &v[i]);
    (void)cp_plane_unlock(s->plane);
    cp_reply_json(out, 200, root);
}

void cp_get_object(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    uint8_t id[EL_CHUNK_ID_OBJECT_BYTES];
    struct cp_object object;
    json_t *root;

    if (!cp_object_parse(in->params[0], id)) {
        cp_reply_say(out, 404, EL_ENOTFOUND, "object", "an object has 32 hexadecimal digits");
        return;
    }
    if (cp_object_get(cp_plane_lock(s->plane), id, &object)) {
        root = el_json_new();
        cp_json_object(root, &object);
        cp_reply_json(out, 200, root);
    } else {
        cp_reply_say(out, 404, EL_ENOTFOUND, "object", "nobody has anything of this object");
    }
    (void)cp_plane_unlock(s->plane);
}

void cp_get_copies(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    json_t *root = el_json_new(), *list = el_json_child_list(root, "copies");
    uint64_t v[CP_COPIES_BINS];

    (void)in;
    cp_chunks_copies(cp_plane_lock(s->plane), v);
    (void)cp_plane_unlock(s->plane);
    for (size_t i = 0; i < CP_COPIES_BINS; i++) {
        json_t *o = el_json_append_child(list);

        el_json_add_u64(o, "copies", i + 1);
        el_json_add_u64(o, "chunks", v[i]);
    }
    el_json_add_u64(root, "min_copies", s->conf->replication_min_copies);
    el_json_add_u64(root, "max_copies", s->conf->replication_max_copies);
    cp_reply_json(out, 200, root);
}

static void add_name(json_t *item, const struct cp_state *state)
{
    const char *text = json_string_value(json_object_get(item, "object"));
    uint8_t object[EL_CHUNK_ID_OBJECT_BYTES];

    if (text != NULL && cp_object_parse(el_str_of(text), object))
        el_json_add_str(item, "name", cp_object_name(state, object));
}

/* Each download of each node, as the node has told it. */
static void add_downloads(json_t *list, const struct cp_state *state, const struct cp_node *n)
{
    struct el_str text = n->beat.downloads;
    json_t *told = text.n > 0 ? json_loadb(text.p, text.n, 0, NULL) : NULL, *item;
    size_t i;

    json_array_foreach(told, i, item)
    {
        if (json_array_size(list) >= MAX_SWARMS)
            break;
        el_json_add_str(item, "node_id", el_str_of(n->card.node_id));
        add_name(item, state);
        EL_ASSERT(json_array_append(list, item) == 0);
    }
    json_decref(told);
}

typedef void add_of_node(json_t *list, const struct cp_state *state, const struct cp_node *n);

/* What each node that lives has told. */
static void tell_of_living(struct cp_service *s, const char *name, add_of_node *add,
                           struct el_http_reply *out)
{
    json_t *root = el_json_new(), *list = el_json_child_list(root, name);
    struct cp_state *state = cp_plane_lock(s->plane);
    const struct cp_node *n;
    uint32_t cursor = 0;

    while ((n = cp_node_next(state, &cursor)) != NULL) {
        if (cp_node_is_alive(n))
            add(list, state, n);
    }
    (void)cp_plane_unlock(s->plane);
    add_now(root, s);
    cp_reply_json(out, 200, root);
}

void cp_get_swarms(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    (void)in;
    tell_of_living(cp_service_of(arg), "downloads", add_downloads, out);
}

static void add_zone(json_t *item, const char *key, const struct cp_node *n)
{
    el_json_add_str(item, key, el_str_of(n != NULL ? n->card.zone : ""));
}

/* From whom that node takes blocks, as it has told it. */
static void add_edges(json_t *list, const struct cp_state *state, const struct cp_node *n)
{
    struct el_str text = n->beat.links;
    json_t *told = text.n > 0 ? json_loadb(text.p, text.n, 0, NULL) : NULL, *item;
    const char *from;
    size_t i;

    json_array_foreach(told, i, item)
    {
        if (json_array_size(list) >= MAX_EDGES)
            break;
        from = json_string_value(json_object_get(item, "from"));
        add_zone(item, "from_zone", from != NULL ? cp_node_get(state, el_str_of(from)) : NULL);
        el_json_add_str(item, "to", el_str_of(n->card.node_id));
        add_zone(item, "to_zone", n);
        EL_ASSERT(json_array_append(list, item) == 0);
    }
    json_decref(told);
}

void cp_get_edges(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    (void)in;
    tell_of_living(cp_service_of(arg), "edges", add_edges, out);
}

void cp_get_alerts(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    json_t *root = el_json_new(), *list = el_json_child_list(root, "alerts");
    struct cp_state *state = cp_plane_lock(s->plane);
    const struct cp_alert *alert;
    uint32_t cursor = 0;

    (void)in;
    while ((alert = cp_alert_next(state, &cursor)) != NULL) {
        json_t *o = el_json_append_child(list);

        el_json_add_str(o, "alert", el_str_of(cp_alert_name(alert->kind)));
        el_json_add_str(o, "subject", el_str_of(alert->subject));
        cp_json_time(o, "since", alert->since_wall_ms);
        el_json_add_str(o, "text", el_str_of(alert->text));
    }
    (void)cp_plane_unlock(s->plane);
    add_now(root, s);
    cp_reply_json(out, 200, root);
}
