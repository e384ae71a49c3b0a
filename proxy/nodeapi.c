/* SPDX-License-Identifier: MIT */
#include "proxy/nodeapi_routes.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "common/file.h"
#include "common/log.h"

#define RECENT_EVENTS 50
/* A purge looks through every index: after so long its caller is told that it goes on. */
#define LATER_MS 60000

#define MAX_ERRANDS 16

#define MAX_TOKENS_BYTES EL_MIB

/* ---- the process ---- */

static int64_t resident_bytes(void *arg)
{
    unsigned long size_pages, resident_pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    (void)arg;
    if (f == NULL)
        return 0;
    if (fscanf(f, "%lu %lu", &size_pages, &resident_pages) != 2)
        resident_pages = 0;
    (void)fclose(f);
    return (int64_t)resident_pages * sysconf(_SC_PAGESIZE);
}

static int64_t open_fds(void *arg)
{
    DIR *dir = opendir("/proc/self/fd");
    int64_t n = 0;

    (void)arg;
    if (dir == NULL)
        return 0;
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n > 3 ? n - 3 : 0; /* ".", ".." and the directory itself */
}

static int64_t start_time_s(void *arg)
{
    return ((struct proxy_nodeapi *)arg)->started_wall_ms / 1000;
}

static int64_t one(void *arg)
{
    (void)arg;
    return 1;
}

static void register_metrics(struct proxy_nodeapi *api)
{
    struct el_metrics *m = api->conf.metrics;

    el_metrics_gauge_fn(m, "eliop2p_build_info", "The version, as a label.",
                        "version=\"" ELIO_VERSION "\"", one, NULL);
    el_metrics_gauge_fn(m, "process_resident_memory_bytes", "Resident memory.", NULL,
                        resident_bytes, NULL);
    el_metrics_gauge_fn(m, "process_open_fds", "Open file descriptors.", NULL, open_fds, NULL);
    el_metrics_gauge_fn(m, "process_start_time_seconds", "Start, in seconds since 1970.", NULL,
                        start_time_s, api);
}

/* What the handlers update. */
static void make_metrics(struct proxy_nodeapi *api)
{
    struct el_metrics *m = api->conf.metrics;

    api->refused = el_metrics_counter(m, "eliop2p_admin_refused_total",
                                      "Calls of the node API that were refused.", NULL);
    for (size_t i = 0; i < EL_COUNT(api->heat); i++) {
        static const char *const labels[] = { "heat=\"hot\"", "heat=\"warm\"", "heat=\"cold\"" };

        api->heat[i] = el_metrics_gauge(
            m, "eliop2p_cache_chunks",
            "Chunks in memory by accesses an hour: more than 100, 10 to 100, fewer.", labels[i]);
    }
}

/* Counting them looks at each chunk, so it is done once for all three. */
static void count_heat(struct proxy_nodeapi *api)
{
    struct cache_stats s;

    cache_stats_get(api->conf.cache, &s);
    el_gauge_set(api->heat[0], (int64_t)s.hot_chunks);
    el_gauge_set(api->heat[1], (int64_t)s.warm_chunks);
    el_gauge_set(api->heat[2], (int64_t)s.cold_chunks);
}

/* ---- the parts of the status ---- */

static void add_tiers(json_t *proxy, const struct proxy *p)
{
    json_t *tiers = el_json_child(proxy, "tiers");
    struct proxy_tier_sums sums;

    proxy_tiers_get(p, &sums);
    for (enum proxy_tier t = 0; t < PROXY_TIERS; t++) {
        json_t *o = el_json_child(tiers, proxy_tier_name(t));

        el_json_add_u64(o, "requests", sums.requests[t]);
        el_json_add_u64(o, "bytes", sums.bytes[t]);
    }
}

/* Always there when it is on, so that nobody overlooks it. */
static void add_intercept(json_t *proxy_status, const struct proxy_info *info)
{
    json_t *o = el_json_child(proxy_status, "intercept");
    char end[25];

    el_clock_iso(info->intercept.ca_end_s * 1000, end);
    el_json_add_str(o, "hosts", el_str_of(info->intercept.hosts));
    el_json_add_str(o, "ca", el_str_of(info->intercept.ca));
    el_json_add_str(o, "ca_expires_at", el_str_of(end));
    el_json_add_u64(o, "tunnels", info->intercepted);
    el_json_add_u64(o, "certificates_made", info->intercept.made);
    el_json_add_u64(o, "certificates_kept", info->intercept.kept);
}

static void add_proxy(struct proxy_nodeapi *api, json_t *status)
{
    json_t *o = el_json_child(status, "proxy");
    struct proxy *proxy = proxy_nodeapi_lock(api);
    struct proxy_info info;

    if (proxy != NULL) {
        el_json_add_u64(o, "port", proxy_port(proxy));
        el_json_add_u64(o, "tls_port", proxy_tls_port(proxy));
        el_json_add_u64(o, "busy", proxy_busy(proxy));
        add_tiers(o, proxy);
        proxy_info_get(proxy, &info);
        el_json_add_str(o, "auth", el_str_of(info.auth));
        if (info.intercepts)
            add_intercept(o, &info);
    }
    proxy_nodeapi_unlock(api);
}

static void add_store(json_t *stores, const struct cache_store_stats *s)
{
    json_t *o = el_json_append_child(stores);

    el_json_add_str(o, "dir", el_str_of(s->dir));
    el_json_add_str(o, "state", el_str_of(s->state));
    el_json_add_str(o, "io", el_str_of(s->io));
    el_json_add_u64(o, "limit_bytes", s->limit_bytes);
    el_json_add_u64(o, "used_bytes", s->used_bytes);
    el_json_add_u64(o, "index_bytes", s->index_bytes);
    el_json_add_u64(o, "index_memory_bytes", s->map_bytes);
    el_json_add_u64(o, "objects", s->objects);
    el_json_add_u64(o, "chunks", s->chunks);
    el_json_add_u64(o, "regions", s->regions);
    el_json_add_u64(o, "free_regions", s->free_regions);
    el_json_add_u64(o, "hot_regions", s->hot_regions);
    el_json_add_u64(o, "warm_regions", s->warm_regions);
    el_json_add_u64(o, "cold_regions", s->cold_regions);
    el_json_add_u64(o, "read_blocks", s->read_blocks);
    el_json_add_u64(o, "read_bytes", s->read_bytes);
    el_json_add_u64(o, "written_blocks", s->written_blocks);
    el_json_add_u64(o, "written_bytes", s->written_bytes);
    el_json_add_u64(o, "mismatches", s->mismatches);
    el_json_add_u64(o, "read_errors", s->read_errors);
    el_json_add_u64(o, "write_errors", s->write_errors);
    el_json_add_u64(o, "late_reads", s->late_reads);
    el_json_add_u64(o, "dropped_behind", s->dropped_behind);
    el_json_add_u64(o, "dropped_unadmitted", s->dropped_unadmitted);
    el_json_add_u64(o, "evicted_chunks", s->evicted_chunks);
    el_json_add_u64(o, "moved_blocks", s->moved_blocks);
    el_json_add_u64(o, "scrubbed_bytes", s->scrubbed_bytes);
}

static void add_disk(struct proxy_nodeapi *api, json_t *cache)
{
    json_t *stores = el_json_child_list(el_json_child(cache, "disk"), "stores");
    struct cache_disk_stats s;

    cache_disk_stats_get(api->conf.cache, &s);
    for (size_t i = 0; i < s.n; i++)
        add_store(stores, &s.stores[i]);
}

static void add_cache(struct proxy_nodeapi *api, json_t *status)
{
    json_t *o = el_json_child(status, "cache");
    json_t *memory = el_json_child(o, "memory");
    json_t *heat = el_json_child(o, "heat");
    json_t *pinned = el_json_child(o, "pinned");
    struct cache_stats s;

    cache_stats_get(api->conf.cache, &s);
    el_json_add_u64(memory, "limit_bytes", s.memory_limit_bytes);
    el_json_add_u64(memory, "used_bytes", s.memory_used_bytes);
    el_json_add_u64(memory, "pinned_bytes", s.memory_pinned_bytes);
    el_json_add_u64(memory, "ready_bytes", s.memory_ready_bytes);
    el_json_add_bool(memory, "huge_pages", s.huge_pages);
    el_json_add_u64(pinned, "objects", s.pinned_objects);
    el_json_add_u64(pinned, "bytes", s.pinned_bytes);
    el_json_add_u64(pinned, "limit_bytes", s.pinned_limit_bytes);
    el_json_add_u64(heat, "hot", s.hot_chunks);
    el_json_add_u64(heat, "warm", s.warm_chunks);
    el_json_add_u64(heat, "cold", s.cold_chunks);
    el_json_add_u64(o, "objects", s.objects);
    el_json_add_u64(o, "chunks", s.chunks);
    el_json_add_u64(o, "blocks", s.blocks);
    el_json_add_u64(o, "fills", s.fills);
    el_json_add_u64(o, "fills_running", s.fills_running);
    el_json_add_u64(o, "evicted_blocks", s.evicted_blocks);
    el_json_add_u64(o, "evicted_bytes", s.evicted_bytes);
    add_disk(api, o);
}

static const char *reason_name(enum store_reason reason)
{
    switch (reason) {
    case STORE_MISS:
        return "miss";
    case STORE_REFILL:
        return "refill";
    case STORE_REVALIDATE:
        return "revalidate";
    case STORE_PASS:
        return "pass";
    case STORE_REASONS:
        break;
    }
    return "";
}

static void add_origin(struct proxy_nodeapi *api, json_t *status)
{
    json_t *o = el_json_child(status, "origin");
    json_t *bytes;
    struct store_stats s;

    store_stats_get(api->conf.storage, &s);
    el_json_add_u64(o, "exchanges", s.exchanges);
    el_json_add_u64(o, "running", s.running);
    el_json_add_u64(o, "errors", s.errors);
    el_json_add_u64(o, "bytes", s.bytes_in);
    bytes = el_json_child(o, "bytes_by_reason");
    for (enum store_reason r = STORE_MISS; r < STORE_REASONS; r++)
        el_json_add_u64(bytes, reason_name(r), s.bytes_by_reason[r]);
}

static void add_process(json_t *status)
{
    json_t *o = el_json_child(status, "process");

    el_json_add_u64(o, "pid", (uint64_t)getpid());
    el_json_add_u64(o, "rss_bytes", (uint64_t)resident_bytes(NULL));
    el_json_add_u64(o, "fds", (uint64_t)open_fds(NULL));
}

static void add_events(json_t *status)
{
    struct el_buf events = { 0 };

    el_log_recent(&events, RECENT_EVENTS);
    el_json_add_text(status, "events", el_buf_str(&events));
    el_buf_deinit(&events);
}

/* ---- routes ---- */

static void get_health(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    json_t *root = el_json_new();

    (void)arg;
    (void)in;
    el_json_add_str(root, "status", EL_STR("ok"));
    el_json_add_str(root, "version", EL_STR(ELIO_VERSION));
    el_http_reply_json(out, 200, root);
}

static void get_readyz(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct proxy_nodeapi *api = (struct proxy_nodeapi *)arg;
    bool is_ready = proxy_cluster_is_ready(api);
    json_t *root = el_json_new();

    (void)in;
    el_json_add_bool(root, "ready", is_ready);
    el_http_reply_json(out, is_ready ? 200 : 503, root);
}

static void get_metrics(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct proxy_nodeapi *api = (struct proxy_nodeapi *)arg;

    (void)in;
    out->content_type = "text/plain; version=0.0.4; charset=utf-8";
    count_heat(api);
    el_metrics_write(api->conf.metrics, &out->body);
}

static void get_status(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct proxy_nodeapi *api = (struct proxy_nodeapi *)arg;
    json_t *root = el_json_new();
    char started_at[25];

    (void)in;
    el_clock_iso(api->started_wall_ms, started_at);
    el_json_add_str(root, "node_id", el_str_of(api->node_id));
    el_json_add_str(root, "version", EL_STR(ELIO_VERSION));
    el_json_add_bool(root, "ready", proxy_cluster_is_ready(api));
    el_json_add_str(root, "mode", proxy_cluster_mode(api));
    el_json_add_str(root, "started_at", el_str_of(started_at));
    el_json_add_u64(root, "uptime_ms", el_clock_mono_ms(api->conf.clock) - api->started_ms);
    add_proxy(api, root);
    add_cache(api, root);
    add_origin(api, root);
    if (api->conf.p2p != NULL)
        p2p_status(api->conf.p2p, root);
    proxy_cluster_status(api, root);
    add_process(root);
    add_events(root);
    el_http_reply_json(out, 200, root);
}

static void get_peers(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct proxy_nodeapi *api = (struct proxy_nodeapi *)arg;
    json_t *root = el_json_new();

    (void)in;
    if (api->conf.p2p != NULL)
        p2p_status(api->conf.p2p, root);
    else
        (void)el_json_child_list(root, "peers");
    el_http_reply_json(out, 200, root);
}

static void get_seeds(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct proxy_nodeapi *api = (struct proxy_nodeapi *)arg;

    (void)in;
    out->content_type = "application/json";
    if (api->conf.p2p != NULL)
        p2p_seeds(api->conf.p2p, &out->body);
    if (out->body.n == 0)
        el_buf_add_str(&out->body, EL_STR("[]\n"));
}

static void take_link(void *arg, int fd)
{
    struct proxy_nodeapi *api = (struct proxy_nodeapi *)arg;

    p2p_take_link(api->conf.p2p, fd);
}

/* The link proves who is there: nobody needs a role for it. */
static void get_p2p(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct proxy_nodeapi *api = (struct proxy_nodeapi *)arg;

    if (api->conf.p2p == NULL)
        el_http_reply_problem(out, 404, "Not Found", "this node is alone");
    else if (!el_str_ieq(in->upgrade, EL_STR(P2P_HTTP_TOKEN)))
        el_http_reply_problem(out, 426, "Upgrade Required", "this is for links between nodes");
    else if (!p2p_takes_links(api->conf.p2p, in->is_local))
        el_http_reply_problem(out, 403, "Forbidden",
                              "links are not encrypted, and so for this machine only");
    else
        el_http_hand_over(out, P2P_HTTP_TOKEN, take_link, api);
}

static const struct el_http_route routes[] = {
    { "GET", "/", proxy_page_get, PROXY_ROLE_NONE },
    { "GET", "/status.css", proxy_page_get_css, PROXY_ROLE_NONE },
    { "GET", "/status.js", proxy_page_get_js, PROXY_ROLE_NONE },
    { "GET", "/health", get_health, PROXY_ROLE_NONE },
    { "GET", "/readyz", get_readyz, PROXY_ROLE_NONE },
    { "GET", "/metrics", get_metrics, PROXY_ROLE_READER },
    { "GET", "/api/v1/status", get_status, PROXY_ROLE_READER },
    { "GET", "/api/v1/peers", get_peers, PROXY_ROLE_READER },
    { "GET", "/api/v1/peers/seeds", get_seeds, PROXY_ROLE_READER },
    { "GET", "/api/v1/served", proxy_served_answer, PROXY_ROLE_READER },
    { "GET", P2P_HTTP_PATH, get_p2p, PROXY_ROLE_NONE },
    { "GET", "/api/v1/explain", proxy_explain_get, PROXY_ROLE_READER },
    { "GET", "/api/v1/cache/stat", proxy_operate_stat, PROXY_ROLE_READER },
    { "POST", "/api/v1/cache/purge", proxy_operate_purge, PROXY_ROLE_OPERATOR },
    { "POST", "/api/v1/cache/pin", proxy_operate_pin, PROXY_ROLE_OPERATOR },
    { "POST", "/api/v1/cache/unpin", proxy_operate_unpin, PROXY_ROLE_OPERATOR },
    { "POST", "/api/v1/cache/warm", proxy_operations_warm, PROXY_ROLE_OPERATOR },
    { "GET", "/api/v1/operations", proxy_operations_list, PROXY_ROLE_READER },
    { "GET", "/api/v1/operations/*", proxy_operations_show, PROXY_ROLE_READER },
    { "DELETE", "/api/v1/operations/*", proxy_operations_cancel, PROXY_ROLE_OPERATOR },
};

/* ---- the proxy ---- */

struct proxy *proxy_nodeapi_lock(struct proxy_nodeapi *api)
{
    EL_ASSERT(pthread_mutex_lock(&api->mtx) == 0);
    return api->proxy;
}

void proxy_nodeapi_unlock(struct proxy_nodeapi *api)
{
    EL_ASSERT(pthread_mutex_unlock(&api->mtx) == 0);
}

void proxy_nodeapi_set_proxy(struct proxy_nodeapi *api, struct proxy *proxy)
{
    (void)proxy_nodeapi_lock(api);
    api->proxy = proxy;
    proxy_nodeapi_unlock(api);
}

/* ---- who may ---- */

static void note_refusal(struct proxy_nodeapi *api, const struct el_http_call_in *in,
                         const char *why)
{
    uint64_t now_ms = el_clock_mono_ms(api->conf.clock);

    el_counter_add(api->refused, 1);
    if (api->refused_ms != 0 && now_ms < api->refused_ms + 1000)
        return;
    api->refused_ms = now_ms;
    el_log(EL_WARN, EV_ADMIN_REFUSED, "path=%s why=%s", EL_LOG_Q(in->path),
           EL_LOG_Q(el_str_of(why)));
}

static bool admit(void *arg, unsigned need, const struct el_http_call_in *in,
                  struct el_http_reply *out)
{
    struct proxy_nodeapi *api = (struct proxy_nodeapi *)arg;
    struct proxy_access_ask ask = {
        .need = (enum proxy_role)need,
        .fields = in->fields,
        .is_local = in->is_local,
    };
    const char *why;
    int status;

    EL_ASSERT(pthread_mutex_lock(&api->mtx) == 0);
    ask.tokens = api->tokens;
    why = proxy_access_judge(&ask, &status);
    EL_ASSERT(pthread_mutex_unlock(&api->mtx) == 0);
    if (why == NULL)
        return true;
    note_refusal(api, in, why);
    el_http_reply_problem(out, status, el_http_status_text(status), why);
    out->challenge = status == 401 ? "Bearer realm=\"eliop2p\"" : NULL;
    return false;
}

enum el_err proxy_nodeapi_read_tokens(const char *path, struct proxy_tokens **ret_tokens,
                                      struct el_error *err)
{
    struct el_buf text = { 0 };
    mode_t mode = 0;
    enum el_err rc;

    if (path[0] == '\0') {
        *ret_tokens = NULL;
        return EL_OK;
    }
    rc = el_file_read("admin.tokens_file", path, MAX_TOKENS_BYTES, &text, &mode, err);
    if (rc == EL_OK)
        rc = proxy_tokens_parse(path, el_buf_str(&text), ret_tokens, err);
    if (rc == EL_OK && (mode & 077) != 0)
        el_log(EL_WARN, EV_TOKENS_READABLE, "file=%s mode=%03o advice=\"chmod 600\"",
               EL_LOG_Q(el_str_of(path)), (unsigned)mode & 0777);
    if (text.p != NULL)
        OPENSSL_cleanse(text.p, text.n);
    el_buf_deinit(&text);
    return rc;
}

void proxy_nodeapi_set_tokens(struct proxy_nodeapi *api, struct proxy_tokens *take_tokens)
{
    struct proxy_tokens *old;

    EL_ASSERT(pthread_mutex_lock(&api->mtx) == 0);
    old = api->tokens;
    api->tokens = take_tokens;
    EL_ASSERT(pthread_mutex_unlock(&api->mtx) == 0);
    proxy_tokens_free(old);
}

/* ---- start and stop ---- */

static void free_api(struct proxy_nodeapi *api)
{
    proxy_worker_stop(api->worker);
    proxy_worker_free(api->worker);
    proxy_tokens_free(api->tokens);
    (void)pthread_mutex_destroy(&api->mtx);
    proxy_prefetch_deinit(&api->prefetch);
    free(api->node_id);
    free(api);
}

enum el_err proxy_nodeapi_start(const struct proxy_nodeapi_conf *conf,
                                struct proxy_nodeapi **ret_api, struct el_error *err)
{
    struct proxy_nodeapi *api = el_new(struct proxy_nodeapi);
    const struct el_http_server_conf server = {
        .thread_name = "nodeapi",
        .bind_address = conf->bind_address,
        .port = conf->port,
        .routes = routes,
        .route_count = EL_COUNT(routes),
        .arg = api,
        .later_ms = LATER_MS,
        .admit = admit,
    };
    enum el_err rc;

    api->conf = *conf;
    api->node_id = el_strndup(conf->node_id, strlen(conf->node_id));
    api->started_wall_ms = el_clock_wall_ms(conf->clock);
    api->started_ms = el_clock_mono_ms(conf->clock);
    EL_ASSERT(pthread_mutex_init(&api->mtx, NULL) == 0);
    make_metrics(api);
    api->tokens = conf->tokens;
    rc = proxy_worker_start("nodeapi-work", MAX_ERRANDS, &api->worker, err);
    if (rc == EL_OK)
        rc = el_http_server_start(&server, &api->server, err);
    if (rc != EL_OK) {
        api->tokens = NULL;
        free_api(api);
        return rc;
    }
    register_metrics(api);
    *ret_api = api;
    return EL_OK;
}

uint16_t proxy_nodeapi_port(const struct proxy_nodeapi *api)
{
    return el_http_server_port(api->server);
}

void proxy_nodeapi_set_ready(struct proxy_nodeapi *api, bool is_ready)
{
    atomic_store(&api->is_ready, is_ready);
}

void proxy_nodeapi_stop(struct proxy_nodeapi *api)
{
    if (api == NULL)
        return;
    proxy_worker_stop(api->worker); /* its answers go to the server's queue */
    el_http_server_stop(api->server);
    free_api(api);
}
