/* SPDX-License-Identifier: MIT */
/* api_service: what the service says of itself: health, metrics, its log. */
#include "controlplane/serve.h"

#include <unistd.h>

#define RECENT_LINES 100

static uint64_t uptime_s(const struct cp_service *s)
{
    return (el_clock_mono_ms(s->clock) - s->started_ms) / 1000;
}

uint64_t cp_resident_bytes(void)
{
    unsigned long size_pages, resident_pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f == NULL)
        return 0;
    if (fscanf(f, "%lu %lu", &size_pages, &resident_pages) != 2)
        resident_pages = 0;
    (void)fclose(f);
    return resident_pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- health ---- */

void cp_get_health(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    json_t *root = el_json_new();

    (void)in;
    el_json_add_str(root, "status", EL_STR("ok"));
    el_json_add_str(root, "version", EL_STR(ELIO_VERSION));
    el_json_add_str(root, "cluster_id", el_str_of(s->conf->service_cluster_id));
    el_json_add_u64(root, "uptime_seconds", uptime_s(s));
    el_json_add_u64(root, "epoch", cp_state_epoch(cp_plane_lock(s->plane)));
    (void)cp_plane_unlock(s->plane);
    cp_json_time(root, "timestamp", el_clock_wall_ms(s->clock));
    cp_reply_json(out, 200, root);
}

void cp_get_readyz(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    bool is_ready = !atomic_load(&s->is_draining) && atomic_load(&s->is_store_up);
    json_t *root = el_json_new();

    (void)in;
    el_json_add_bool(root, "ready", is_ready);
    cp_reply_json(out, is_ready ? 200 : 503, root);
}

static void add_store(struct cp_service *s, json_t *root)
{
    json_t *o = el_json_child(root, "store");
    struct cp_store_status st = { 0 };

    cp_store_status(cp_plane_store(s->plane), &st);
    el_json_add_str(o, "kind", el_str_of(st.kind));
    el_json_add_bool(o, "up", st.is_up);
    el_json_add_u64(o, "pending", st.pending);
    el_json_add_u64(o, "written", st.written);
    el_json_add_u64(o, "commits", st.commits);
    el_json_add_u64(o, "bytes", st.bytes);
    el_json_add_u64(o, "loaded", st.loaded);
    el_json_add_u64(o, "reconnects", st.reconnects);
}

void cp_get_status(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    json_t *root = el_json_new();
    struct cp_state *state;

    (void)in;
    el_json_add_str(root, "version", EL_STR(ELIO_VERSION));
    el_json_add_str(root, "cluster_id", el_str_of(s->conf->service_cluster_id));
    el_json_add_bool(root, "draining", atomic_load(&s->is_draining));
    el_json_add_bool(root, "open", s->who.is_open);
    el_json_add_bool(root, "has_duty", cp_plane_has_duty(s->plane));
    el_json_add_u64(root, "uptime_seconds", uptime_s(s));
    cp_json_time(root, "started_at", s->started_wall_ms);
    el_json_add_u64(root, "pid", (uint64_t)getpid());
    el_json_add_u64(root, "rss_bytes", cp_resident_bytes());
    el_json_add_u64(root, "requests", atomic_load(&s->requests));
    add_store(s, root);
    state = cp_plane_lock(s->plane);
    el_json_add_u64(root, "epoch", cp_state_epoch(state));
    cp_json_digest(root, "digest", cp_state_digest(state));
    el_json_add_u64(root, "events", cp_events_newest(state));
    el_json_add_u64(root, "alerts", cp_alert_count(state));
    (void)cp_plane_unlock(s->plane);
    cp_json_time(root, "timestamp", el_clock_wall_ms(s->clock));
    cp_reply_json(out, 200, root);
}

void cp_get_logs(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    json_t *root = el_json_new();
    struct el_buf lines = { 0 };

    (void)arg;
    (void)in;
    el_log_recent(&lines, RECENT_LINES);
    el_json_add_text(root, "events", el_buf_str(&lines));
    el_buf_deinit(&lines);
    cp_reply_json(out, 200, root);
}

/* ---- metrics ---- */

/* The upper bound of the bucket in which that share of all lies. */
static uint64_t quantile_us(struct el_hist *h, double share)
{
    static const uint64_t bounds[EL_HIST_BUCKETS] = {
        10,      25,      50,       100,      250,      500,       1000,   2500,
        5000,    10000,   25000,    50000,    100000,   250000,    500000, 1000000,
        2500000, 5000000, 10000000, 25000000, 50000000, 100000000,
    };
    uint64_t counts[EL_HIST_BUCKETS + 1], all = 0, sum = 0;

    for (size_t i = 0; i <= EL_HIST_BUCKETS; i++) {
        counts[i] = atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
        all += counts[i];
    }
    for (size_t i = 0; i < EL_HIST_BUCKETS; i++) {
        sum += counts[i];
        if (all > 0 && (double)sum >= share * (double)all)
            return bounds[i];
    }
    return all > 0 ? bounds[EL_HIST_BUCKETS - 1] : 0;
}

static void add_routes(struct cp_service *s, json_t *o)
{
    json_t *list = el_json_child_list(o, "routes");

    for (size_t i = 0; i < cp_n_routes; i++) {
        uint64_t n = el_counter_get(s->routes[i].requests);
        json_t *route;

        if (n == 0)
            continue;
        route = el_json_append_child(list);
        el_json_add_str(route, "method", el_str_of(cp_routes[i].method));
        el_json_add_str(route, "path", el_str_of(cp_routes[i].path));
        el_json_add_u64(route, "requests", n);
        el_json_add_u64(route, "errors", el_counter_get(s->routes[i].errors));
        el_json_add_u64(route, "p50_us", quantile_us(s->routes[i].times, 0.5));
        el_json_add_u64(route, "p99_us", quantile_us(s->routes[i].times, 0.99));
    }
}

static void add_cache(json_t *o, const struct cp_metrics *m)
{
    uint64_t local = m->bytes_memory + m->bytes_disk;
    uint64_t all = local + m->bytes_peer + m->bytes_origin;

    el_json_add_u64(o, "memory_used_mb", m->memory_used_mb);
    el_json_add_u64(o, "memory_capacity_mb", m->memory_capacity_mb);
    el_json_add_u64(o, "disk_used_mb", m->disk_used_mb);
    el_json_add_u64(o, "disk_capacity_mb", m->disk_capacity_mb);
    el_json_add_real(o, "hit_ratio", all > 0 ? (double)local / (double)all : m->hit_rate);
    el_json_add_u64(o, "memory_bytes", m->bytes_memory);
    el_json_add_u64(o, "disk_bytes", m->bytes_disk);
}

static void add_groups(struct cp_service *s, json_t *root, const struct cp_metrics *m)
{
    json_t *o = el_json_child(root, "metrics"), *part;

    add_cache(el_json_child(o, "cache"), m);
    part = el_json_child(o, "p2p");
    el_json_add_u64(part, "peer_bytes", m->bytes_peer);
    el_json_add_real(part, "upload_speed_mbps", m->upload_mbps);
    el_json_add_real(part, "download_speed_mbps", m->download_mbps);
    el_json_add_u64(part, "active_connections", m->active_connections);
    el_json_add_u64(part, "locations", m->locations);
    el_json_add_u64(part, "low_chunks", m->low_chunks);
    part = el_json_child(o, "storage");
    el_json_add_u64(part, "origin_bytes", m->bytes_origin);
    el_json_add_u64(part, "origin_bytes_saved", m->bytes_memory + m->bytes_disk + m->bytes_peer);
    el_json_add_u64(part, "origin_errors", m->origin_errors);
    part = el_json_child(o, "control_plane");
    el_json_add_u64(part, "uptime_seconds", uptime_s(s));
    el_json_add_u64(part, "requests_handled", atomic_load(&s->requests));
    el_json_add_u64(part, "rss_bytes", cp_resident_bytes());
    el_json_add_u64(part, "index_bytes", m->index_bytes);
    el_json_add_u64(part, "commands_done", m->commands_done);
    el_json_add_u64(part, "commands_failed", m->commands_failed);
    el_json_add_u64(part, "commands_expired", m->commands_expired);
    el_json_add_u64(part, "full_reports_asked", m->full_reports_asked);
    add_routes(s, part);
}

static void take_metrics(struct cp_service *s, struct cp_metrics *ret)
{
    cp_state_metrics(cp_plane_lock(s->plane), ret);
    (void)cp_plane_unlock(s->plane);
}

void cp_get_metrics(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    json_t *root = el_json_new();
    struct cp_metrics m;

    (void)in;
    take_metrics(s, &m);
    el_json_add_u64(root, "total_nodes", m.total_nodes);
    el_json_add_u64(root, "active_nodes", m.active_nodes);
    el_json_add_u64(root, "total_chunks", m.total_chunks);
    el_json_add_u64(root, "total_heartbeats", m.total_heartbeats);
    el_json_add_u64(root, "total_chunk_reports", m.total_chunk_reports);
    el_json_add_u64(root, "total_queries", m.total_queries);
    el_json_add_u64(root, "commands_issued", m.commands_issued);
    el_json_add_u64(root, "replication_decisions", m.replication_decisions);
    add_groups(s, root, &m);
    cp_json_time(root, "timestamp", el_clock_wall_ms(s->clock));
    cp_reply_json(out, 200, root);
}

static void gauge(struct cp_service *s, const char *name, const char *help, const char *labels,
                  uint64_t value)
{
    el_gauge_set(el_metrics_gauge(s->metrics, name, help, labels), (int64_t)value);
}

static void set_gauges(struct cp_service *s, const struct cp_metrics *m)
{
    static const char bytes[] = "Bytes that nodes gave to clients since their start, by source.";
    static const char nodes[] = "Nodes, by state.";

    gauge(s, "eliocp_nodes", nodes, "state=\"active\"", m->active_nodes);
    gauge(s, "eliocp_nodes", nodes, "state=\"suspect\"", m->suspect_nodes);
    gauge(s, "eliocp_nodes", nodes, "state=\"dead\"", m->dead_nodes);
    gauge(s, "eliocp_nodes", nodes, "state=\"draining\"", m->draining_nodes);
    gauge(s, "eliocp_chunks", "Chunks that some node has.", NULL, m->total_chunks);
    gauge(s, "eliocp_locations", "Chunks, counted once for each node that has them.", NULL,
          m->locations);
    gauge(s, "eliocp_index_bytes", "Memory of the index of chunks.", NULL, m->index_bytes);
    gauge(s, "eliocp_low_chunks", "Chunks with fewer copies than they should have.", NULL,
          m->low_chunks);
    gauge(s, "eliocp_heartbeats", "Beats heard since the start.", NULL, m->total_heartbeats);
    gauge(s, "eliocp_chunk_reports", "Reports taken since the start.", NULL,
          m->total_chunk_reports);
    gauge(s, "eliocp_queries", "Questions for locations since the start.", NULL, m->total_queries);
    gauge(s, "eliocp_probes", "Questions to nodes since the start.", NULL, m->probes);
    gauge(s, "eliocp_probes_failed", "Those that were not answered well.", NULL, m->probes_failed);
    gauge(s, "eliocp_unreachable_nodes", "Nodes that beat and do not answer when they are asked.",
          NULL, m->lost_nodes);
    gauge(s, "eliocp_commands_issued", "Commands since the start.", NULL, m->commands_issued);
    gauge(s, "eliocp_replication_decisions", "Decisions since the start.", NULL,
          m->replication_decisions);
    gauge(s, "eliocp_node_bytes", bytes, "source=\"memory\"", m->bytes_memory);
    gauge(s, "eliocp_node_bytes", bytes, "source=\"disk\"", m->bytes_disk);
    gauge(s, "eliocp_node_bytes", bytes, "source=\"peer\"", m->bytes_peer);
    gauge(s, "eliocp_node_bytes", bytes, "source=\"origin\"", m->bytes_origin);
    gauge(s, "process_resident_memory_bytes", "Resident memory.", NULL, cp_resident_bytes());
}

void cp_get_prometheus(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct cp_store_status st = { 0 };
    struct cp_metrics m;

    (void)in;
    take_metrics(s, &m);
    set_gauges(s, &m);
    cp_store_status(cp_plane_store(s->plane), &st);
    gauge(s, "eliocp_store_up", "Whether the store answers.", NULL, st.is_up);
    gauge(s, "eliocp_store_pending", "Records that the store does not have yet.", NULL, st.pending);
    out->content_type = "text/plain; version=0.0.4; charset=utf-8";
    el_metrics_write(s->metrics, &out->body);
}
