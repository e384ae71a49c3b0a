/* SPDX-License-Identifier: MIT */
/* service: see service.h; its life, who may ask, and what every request has in common. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/ssl.h>

#include "common/file.h"
#include "common/trace.h"
#include "controlplane/backup.h"
#include "controlplane/serve.h"

#define MAX_BODY         (4 * EL_MIB)
#define MAX_LATER        16384u
#define LATER_MS         40000u /* a question for events waits 30 s at most */
#define TICK_MS          250u
#define MAX_TOKENS_BYTES EL_MIB
#define MAX_PATH         4096u
#define REFUSED_EVERY_MS 1000u
#define MAX_REQUEST_ID   64u

/* ---- routes ---- */

#define CP_ROUTE(m, p, n, h) { .method = (m), .path = (p), .need = (n), .handler = (h) },
const struct el_http_route cp_routes[] = {
#include "controlplane/routes_list.h"
};
#undef CP_ROUTE
const size_t cp_n_routes = EL_COUNT(cp_routes);

/* ---- every request ---- */

static bool is_request_id(struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '-' || c == '_' || c == '.'))
            return false;
    }
    return s.n > 0 && s.n <= MAX_REQUEST_ID;
}

/* Once for each request, before anybody answers it. */
static void give_request_id(struct cp_service *s, const struct el_http_call_in *in,
                            struct el_http_reply *out)
{
    char text[40];
    struct el_str id;

    if (el_fieldv_has(el_fields_view(&out->fields), EL_STR("X-Request-Id")))
        return;
    if (!el_fieldv_get(in->fields, EL_STR("X-Request-Id"), &id) || !is_request_id(id))
        id = el_fieldv_get(in->fields, EL_STR("traceparent"), &id) ? el_trace_id(id) : EL_STR("");
    if (id.n == 0) {
        (void)snprintf(text, sizeof(text), "%016" PRIx64 "-%" PRIx64, s->request_salt,
                       s->request_number++);
        id = el_str_of(text);
    }
    el_fields_add(&out->fields, EL_STR("X-Request-Id"), id);
}

static void log_refused(struct cp_service *s, const struct el_http_call_in *in,
                        const struct el_http_reply *out, const char *why)
{
    uint64_t now_ms = el_clock_mono_ms(s->clock);
    char peer[EL_HTTP_PEER_CHARS];

    if (s->refused_ms != 0 && now_ms - s->refused_ms < REFUSED_EVERY_MS)
        return;
    s->refused_ms = now_ms;
    el_http_peer(out, peer);
    el_log(EL_WARN, EV_CP_REFUSED, "from=%s path=%s why=%s", peer, EL_LOG_Q(in->path),
           EL_LOG_Q(el_str_of(why)));
}

static bool refuse_call(struct cp_service *s, const struct el_http_call_in *in,
                        struct el_http_reply *out, int status, const char *why)
{
    log_refused(s, in, out, why);
    cp_reply_say(out, status, EL_EFORBIDDEN, NULL, why);
    if (status == 401)
        out->challenge = "Bearer";
    return false;
}

/* Who asks; the token that it shows, if it does, has to be good. */
static bool find_who(struct cp_service *s, const struct el_http_call_in *in)
{
    struct el_str token;
    bool is_good;

    s->who = (struct cp_who){ .is_open = !s->is_closed && s->is_loopback };
    if (!s->is_closed || !el_fieldv_has(in->fields, EL_STR("Authorization")))
        return true;
    if (!cp_access_bearer(in->fields, &token))
        return false;
    is_good = cp_access_find(s->file_tokens, cp_plane_lock(s->plane), token, &s->who);
    (void)cp_plane_unlock(s->plane);
    return is_good;
}

static bool is_look(const struct el_http_call_in *in)
{
    return el_str_eq(in->method, EL_STR("GET")) || el_str_eq(in->method, EL_STR("HEAD"));
}

/* Whatever the token: what is asked for may become durable. */
static bool is_room_for(struct cp_service *s, unsigned need, const struct el_http_call_in *in,
                        struct el_http_reply *out)
{
    if (is_look(in) || (need & CP_ALWAYS) != 0 || !cp_plane_is_full(s->plane))
        return true;
    cp_reply_say(out, 503, EL_ENOTDURABLE, NULL,
                 "the store is away or slow, and as much waits for it as may: nothing was changed");
    return false;
}

static bool may_ask(struct cp_service *s, enum cp_access_need need,
                    const struct el_http_call_in *in, struct el_http_reply *out)
{
    char node_id[CP_ID_MAX + 1] = "";

    if (!find_who(s, in) && need != CP_NEED_NOTHING)
        return refuse_call(s, in, out, 401, "the token is not known");
    if (need == CP_NEED_NOTHING)
        return true;
    if (!s->who.is_open && !s->who.is_known)
        return refuse_call(s, in, out, 401, "a token is wanted, in Authorization: Bearer");
    if (!is_look(in) && cp_access_is_foreign_page(in->fields, s->conf->service_cors_origins))
        return refuse_call(s, in, out, 403, "a page of another host may not change anything");
    if (need == CP_NEED_OWN_NODE && !cp_percent_decode(in->params[0], node_id, sizeof(node_id)))
        node_id[0] = '\0';
    if (!cp_access_may(&s->who, need, node_id))
        return refuse_call(s, in, out, 403, "the token is not for this");
    return true;
}

static bool admit(void *arg, unsigned need, const struct el_http_call_in *in,
                  struct el_http_reply *out)
{
    struct cp_service *s = (struct cp_service *)arg;

    give_request_id(s, in, out);
    return may_ask(s, (enum cp_access_need)(need & ~CP_ALWAYS), in, out) &&
           is_room_for(s, need, in, out);
}

static enum el_err code_of(int status)
{
    return status == 404   ? EL_ENOTFOUND
           : status == 504 ? EL_ETIMEOUT
           : status == 503 ? EL_EOVERLOAD
                           : EL_EBADREQ;
}

/* A browser asks before it asks. */
static bool is_preflight(const struct cp_service *s, const struct el_http_call_in *in)
{
    return el_str_eq(in->method, EL_STR("OPTIONS")) &&
           cp_access_cors(in->fields, s->conf->service_cors_origins).n > 0;
}

static void refuse(void *arg, const struct el_http_call_in *in, int status, const char *detail,
                   struct el_http_reply *out)
{
    struct cp_service *s = (struct cp_service *)arg;

    give_request_id(s, in, out);
    if (status == 405 && is_preflight(s, in)) {
        cp_reply_empty(out);
        cp_reply_field(out, "Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE");
        cp_reply_field(out, "Access-Control-Allow-Headers", "Authorization, Content-Type");
        cp_reply_field(out, "Access-Control-Max-Age", "600");
        return;
    }
    cp_reply_say(out, status, code_of(status), NULL, detail);
}

static void leave(void *arg, size_t route, const struct el_http_call_in *in,
                  struct el_http_reply *out)
{
    struct cp_service *s = (struct cp_service *)arg;
    struct cp_route_stats *r = &s->routes[route < cp_n_routes ? route : cp_n_routes];
    struct el_str origin = cp_access_cors(in->fields, s->conf->service_cors_origins);

    give_request_id(s, in, out);
    if (origin.n > 0) {
        el_fields_add(&out->fields, EL_STR("Access-Control-Allow-Origin"), origin);
        cp_reply_field(out, "Access-Control-Expose-Headers", "X-Request-Id");
    }
    if (s->conf->service_cors_origins[0] != '\0')
        cp_reply_field(out, "Vary", "Origin");
    atomic_fetch_add_explicit(&s->requests, 1, memory_order_relaxed);
    el_counter_add(r->requests, 1);
    if (out->status >= 400)
        el_counter_add(r->errors, 1);
    el_hist_add(r->times, (el_clock_mono_ns(s->clock) - in->began_ns) / 1000);
}

static void make_route_metrics(struct cp_service *s)
{
    s->routes = el_alloc((cp_n_routes + 1) * sizeof(*s->routes));
    for (size_t i = 0; i <= cp_n_routes; i++) {
        struct cp_route_stats *r = &s->routes[i];
        char label[128];

        (void)snprintf(label, sizeof(label), "method=\"%s\",path=\"%s\"",
                       i < cp_n_routes ? cp_routes[i].method : "other",
                       i < cp_n_routes ? cp_routes[i].path : "other");
        r->requests = el_metrics_counter(s->metrics, "eliocp_requests_total",
                                         "Requests that were answered.", label);
        r->errors = el_metrics_counter(s->metrics, "eliocp_request_errors_total",
                                       "Those answered with 4xx or 5xx.", label);
        r->times = el_metrics_hist(s->metrics, "eliocp_request_seconds",
                                   "From the request to its answer.", label);
    }
}

/* ---- ticks, and what others tell ---- */

void cp_service_look_at_tokens(struct cp_service *s, const struct cp_state *state)
{
    s->is_closed = cp_access_is_closed(s->file_tokens, state);
}

static void take_histories(struct cp_service *s, const struct cp_state *state)
{
    const struct cp_node *n;
    uint32_t cursor = 0;

    while ((n = cp_node_next(state, &cursor)) != NULL)
        cp_histories_add(s->histories, n, &s->served);
}

static void on_tick(void *arg)
{
    struct cp_service *s = (struct cp_service *)arg;
    struct cp_state *state = cp_plane_lock(s->plane);
    struct cp_metrics m;

    cp_service_look_at_tokens(s, state);
    cp_state_metrics(state, &m);
    take_histories(s, state);
    (void)cp_plane_unlock(s->plane);
    cp_timeline_add(&s->timeline, el_clock_mono_ms(s->clock), el_clock_wall_ms(s->clock),
                    &s->served, (uint32_t)m.active_nodes);
    cp_watch_tick(s->watch);
    cp_hooks_tick(s->hooks);
    cp_probes_tick(s->probes);
}

static void on_stop(void *arg)
{
    cp_watch_stop(((struct cp_service *)arg)->watch);
}

void cp_service_post(struct cp_service *s, struct el_msg *m)
{
    EL_ASSERT(pthread_mutex_lock(&s->mtx) == 0);
    if (s->server != NULL)
        el_http_server_post(s->server, m);
    EL_ASSERT(pthread_mutex_unlock(&s->mtx) == 0);
}

/* Thread: any. */
static void on_events(void *arg)
{
    struct cp_service *s = (struct cp_service *)arg;

    if (s->watch != NULL)
        cp_watch_poke(s->watch);
}

/* Thread: any. */
static void on_trouble(void *arg, const struct el_error *err)
{
    struct cp_service *s = (struct cp_service *)arg;

    atomic_store(&s->is_store_up, err == NULL);
    if (err != NULL)
        el_log_error(EL_WARN, EV_CP_STORE, err);
    else
        el_log(EL_INFO, EV_CP_STORE, "state=up");
}

void cp_service_backup(struct cp_service *s, uint64_t operation)
{
    EL_ASSERT(pthread_mutex_lock(&s->mtx) == 0);
    s->wants_backup = true;
    s->backup_operation = operation;
    EL_ASSERT(pthread_cond_signal(&s->wake) == 0);
    EL_ASSERT(pthread_mutex_unlock(&s->mtx) == 0);
}

static void back_up(struct cp_service *s, uint64_t operation)
{
    const char *dir = s->conf->service_data_dir;
    char path[CP_BACKUP_PATH_MAX];
    struct el_error err = { 0 };
    enum el_err rc =
        cp_backup_write(cp_plane_store(s->plane), dir, el_clock_wall_ms(s->clock), path, &err);
    const char *text = rc == EL_OK ? path : err.text;

    if (rc == EL_OK) {
        el_log(EL_INFO, EV_CP_BACKUP, "path=%s", EL_LOG_Q(el_str_of(path)));
        cp_backup_prune(dir, (size_t)s->conf->service_backups_kept, path);
    } else {
        el_log_error(EL_WARN, EV_CP_BACKUP, &err);
    }
    (void)cp_operation_end(cp_plane_lock(s->plane), operation, rc == EL_OK, el_str_of(text), NULL);
    (void)cp_plane_unlock(s->plane);
}

/* One of those that come by themselves. */
static void back_up_on_time(struct cp_service *s, uint64_t *due_ms)
{
    uint64_t interval_ms = s->conf->service_backup_interval_s * 1000;
    uint64_t operation, now_ms = el_clock_mono_ms(s->clock);
    enum el_err rc;

    if (interval_ms == 0 || now_ms < *due_ms)
        return;
    *due_ms = now_ms + interval_ms;
    rc = cp_operation_begin(cp_plane_lock(s->plane), CP_BACKUP, 1, &operation, NULL);
    (void)cp_plane_unlock(s->plane);
    if (rc == EL_OK)
        back_up(s, operation);
}

/* Waits a second, or less when there is something to do. False: it is to end. */
static bool wait_a_second(struct cp_service *s, bool *ret_backup, uint64_t *ret_operation)
{
    struct timespec until;
    bool goes_on;

    EL_ASSERT(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec++;
    EL_ASSERT(pthread_mutex_lock(&s->mtx) == 0);
    while (!s->is_stopping && !s->wants_backup &&
           pthread_cond_timedwait(&s->wake, &s->mtx, &until) == 0)
        ;
    goes_on = !s->is_stopping;
    *ret_backup = s->wants_backup;
    *ret_operation = s->backup_operation;
    s->wants_backup = false;
    EL_ASSERT(pthread_mutex_unlock(&s->mtx) == 0);
    return goes_on;
}

static void *run_backups(void *arg)
{
    struct cp_service *s = (struct cp_service *)arg;
    uint64_t operation;
    uint64_t due_ms = el_clock_mono_ms(s->clock) + s->conf->service_backup_interval_s * 1000;
    bool wants_backup;

    (void)pthread_setname_np(pthread_self(), "backups");
    while (wait_a_second(s, &wants_backup, &operation)) {
        if (wants_backup)
            back_up(s, operation);
        if (cp_plane_has_duty(s->plane))
            back_up_on_time(s, &due_ms);
    }
    return NULL;
}

/* ---- start ---- */

static enum el_err read_tokens(struct cp_service *s, struct el_error *err)
{
    const char *path = s->conf->access_tokens_file;
    struct el_buf text = { 0 };
    enum el_err rc;

    if (path[0] == '\0')
        return EL_OK;
    rc = el_file_read("access.tokens_file", path, MAX_TOKENS_BYTES, &text, NULL, err);
    if (rc == EL_OK)
        rc = cp_file_tokens_parse(path, el_buf_str(&text), &s->file_tokens, err);
    el_buf_deinit(&text);
    return rc;
}

static struct cp_state_conf state_conf(const struct el_conf *c)
{
    struct cp_state_conf conf;

    cp_state_conf_default(&conf);
    conf.beat_ms = (uint32_t)c->liveness_heartbeat_ms;
    conf.dead_ms = (uint32_t)c->liveness_dead_ms;
    conf.forget_ms = (uint32_t)c->liveness_forget_ms;
    conf.probe_ms = (uint32_t)c->liveness_probe_ms;
    conf.probe_failures = (uint32_t)c->liveness_probe_failures;
    conf.min_copies = (uint32_t)c->replication_min_copies;
    conf.max_copies = (uint32_t)c->replication_max_copies;
    conf.is_placing = c->replication_enable;
    conf.events = (uint32_t)c->service_events_kept;
    conf.alert_origin_errors = (uint32_t)c->alerts_origin_errors;
    conf.alert_egress_pct = (uint32_t)c->alerts_egress_percent;
    return conf;
}

enum el_err cp_service_check(const struct el_conf *c, struct el_error *err)
{
    if (c->replication_min_copies > c->replication_max_copies)
        return el_fail(err, EL_ECONF, 0,
                       "replication.min_copies is more than replication.max_copies");
    if (c->liveness_dead_ms <= c->liveness_heartbeat_ms ||
        c->liveness_forget_ms <= c->liveness_dead_ms)
        return el_fail(err, EL_ECONF, 0,
                       "liveness: heartbeat_ms, dead_ms and forget_ms have to grow in this order");
    if (!cp_name_is_valid(el_str_of(c->service_cluster_id)))
        return el_fail(err, EL_ECONF, 0,
                       "service.cluster_id has to be of letters, digits, and ._:-");
    if ((c->service_tls_cert[0] == '\0') != (c->service_tls_key[0] == '\0'))
        return el_fail(err, EL_ECONF, 0,
                       "service.tls_cert and service.tls_key are set together or not at all");
    if ((c->service_redis_tls_cert[0] == '\0') != (c->service_redis_tls_key[0] == '\0'))
        return el_fail(err, EL_ECONF, 0,
                       "service.redis_tls_cert and service.redis_tls_key are set together or not "
                       "at all");
    return EL_OK;
}

/* redis://... or, in TLS, rediss://...; false: it is neither. */
static bool is_redis(const char *store, struct cp_store_redis_conf *redis)
{
    static const char plain[] = "redis://", tls[] = "rediss://";

    redis->is_tls = strncmp(store, tls, sizeof(tls) - 1) == 0;
    if (!redis->is_tls && strncmp(store, plain, sizeof(plain) - 1) != 0)
        return false;
    redis->servers = store + (redis->is_tls ? sizeof(tls) : sizeof(plain)) - 1;
    return true;
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static enum el_err open_plane(struct cp_service *s, struct el_error *err)
{
    const struct el_conf *c = s->conf;
    const char *dir = c->service_data_dir;
    struct cp_store_redis_conf redis = {
        .password_file = or_null(c->service_redis_password_file),
        .ca_file = or_null(c->service_redis_ca_file),
        .tls_cert = or_null(c->service_redis_tls_cert),
        .tls_key = or_null(c->service_redis_tls_key),
        .prefix = c->service_cluster_id,
        .deadline_ms = 1000,
        .wait_replicas = (uint32_t)c->service_redis_wait_replicas,
    };
    struct cp_plane_conf conf = { .state = state_conf(c),
                                  .clock = s->clock,
                                  .on_events = on_events,
                                  .on_trouble = on_trouble,
                                  .arg = s };
    char path[MAX_PATH];

    if (is_redis(c->service_store, &redis)) {
        conf.redis = &redis;
        return cp_plane_open(&conf, &s->plane, err);
    }
    if (strcmp(c->service_store, "sqlite") != 0)
        return el_fail(err, EL_ECONF, 0,
                       "service.store is neither sqlite nor redis://HOST:PORT[,HOST:PORT...], nor "
                       "rediss:// and the same");
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return el_fail(err, EL_EDISK, errno, "make service.data_dir %s", dir);
    if (snprintf(path, sizeof(path), "%s/eliocp.db", dir) >= (int)sizeof(path))
        return el_fail(err, EL_ECONF, 0, "service.data_dir is too long");
    conf.sqlite_path = path;
    return cp_plane_open(&conf, &s->plane, err);
}

static bool is_loopback(const char *address)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, address, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static void choose_address(struct cp_service *s)
{
    const char *wanted = s->conf->service_bind_address;

    cp_service_look_at_tokens(s, cp_plane_lock(s->plane));
    (void)cp_plane_unlock(s->plane);
    s->address = s->is_closed || is_loopback(wanted) ? wanted : "127.0.0.1";
    s->is_loopback = is_loopback(s->address);
    if (!s->is_closed)
        el_log(EL_WARN, EV_CP_OPEN,
               "address=%s advice=\"make an operator's token and start again: eliocp token create "
               "--role=operator NAME\"",
               s->address);
}

static enum el_err start_server(struct cp_service *s, struct el_error *err)
{
    struct el_http_server_conf conf = {
        .thread_name = "service",
        .bind_address = s->address,
        .port = (uint16_t)s->conf->service_port,
        .routes = cp_routes,
        .route_count = cp_n_routes,
        .arg = s,
        .admit = admit,
        .refuse = refuse,
        .leave = leave,
        .later_ms = LATER_MS,
        .max_body = MAX_BODY,
        .max_later = MAX_LATER,
        .max_connections = (size_t)s->conf->service_max_connections,
        .idle_ms = s->conf->service_idle_timeout_ms,
        .stop_ms = s->conf->service_drain_timeout_ms,
        .tick_ms = TICK_MS,
        .on_tick = on_tick,
        .on_stop = on_stop,
    };
    struct el_http_server *server;
    enum el_err rc = EL_OK;

    if (s->conf->service_tls_cert[0] != '\0')
        rc = cp_tls_new(s->conf->service_tls_cert, s->conf->service_tls_key, &conf.tls, err);
    if (rc != EL_OK)
        return rc;
    rc = el_http_server_start(&conf, &server, err);
    SSL_CTX_free(conf.tls); /* the server has its own reference */
    if (rc != EL_OK)
        return rc;
    EL_ASSERT(pthread_mutex_lock(&s->mtx) == 0);
    s->server = server;
    EL_ASSERT(pthread_mutex_unlock(&s->mtx) == 0);
    return EL_OK;
}

static enum el_err start_backups(struct cp_service *s, struct el_error *err)
{
    int sys = pthread_create(&s->backups, NULL, run_backups, s);

    if (sys != 0)
        return el_fail(err, EL_ESYS, sys, "start the thread for backups");
    s->has_backups = true;
    return EL_OK;
}

static enum el_err start_parts(struct cp_service *s, struct el_error *err)
{
    enum el_err rc = cp_service_check(s->conf, err);

    if (rc == EL_OK)
        rc = read_tokens(s, err);
    if (rc == EL_OK)
        rc = open_plane(s, err);
    if (rc == EL_OK)
        rc = cp_hooks_new(s, &s->hooks, err);
    if (rc == EL_OK)
        rc = cp_probes_new(s, &s->probes, err);
    if (rc != EL_OK)
        return rc;
    choose_address(s);
    rc = start_server(s, err);
    return rc == EL_OK ? start_backups(s, err) : rc;
}

static struct cp_service *new_service(const struct el_conf *conf, struct el_clock *clock)
{
    struct cp_service *s = el_new(struct cp_service);
    pthread_condattr_t monotonic;

    s->conf = conf;
    s->clock = clock;
    s->metrics = el_metrics_new();
    s->started_ms = el_clock_mono_ms(clock);
    s->started_wall_ms = el_clock_wall_ms(clock);
    atomic_store(&s->is_store_up, true);
    EL_ASSERT(getrandom(&s->request_salt, sizeof(s->request_salt), 0) ==
              (ssize_t)sizeof(s->request_salt));
    EL_ASSERT(pthread_mutex_init(&s->mtx, NULL) == 0);
    EL_ASSERT(pthread_condattr_init(&monotonic) == 0);
    EL_ASSERT(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    EL_ASSERT(pthread_cond_init(&s->wake, &monotonic) == 0);
    (void)pthread_condattr_destroy(&monotonic);
    make_route_metrics(s);
    cp_pages_name(s->page_etags);
    s->histories = cp_histories_new();
    s->watch = cp_watch_new(s);
    return s;
}

enum el_err cp_service_start(const struct el_conf *conf, struct el_clock *clock,
                             struct cp_service **ret_service, struct el_error *err)
{
    struct cp_service *s = new_service(conf, clock);
    enum el_err rc = start_parts(s, err);

    if (rc != EL_OK) {
        cp_service_stop(s);
        return rc;
    }
    *ret_service = s;
    return EL_OK;
}

uint16_t cp_service_port(const struct cp_service *s)
{
    return el_http_server_port(s->server); /* set before anybody can ask */
}

const char *cp_service_address(const struct cp_service *s)
{
    return s->address;
}

/* ---- stop ---- */

void cp_service_drain(struct cp_service *s)
{
    atomic_store(&s->is_draining, true);
}

static void stop_backups(struct cp_service *s)
{
    EL_ASSERT(pthread_mutex_lock(&s->mtx) == 0);
    s->is_stopping = true;
    EL_ASSERT(pthread_cond_signal(&s->wake) == 0);
    EL_ASSERT(pthread_mutex_unlock(&s->mtx) == 0);
    if (s->has_backups)
        EL_ASSERT(pthread_join(s->backups, NULL) == 0);
}

/* From now on nobody posts to it. */
static struct el_http_server *take_server(struct cp_service *s)
{
    struct el_http_server *server;

    EL_ASSERT(pthread_mutex_lock(&s->mtx) == 0);
    server = s->server;
    s->server = NULL;
    EL_ASSERT(pthread_mutex_unlock(&s->mtx) == 0);
    return server;
}

void cp_service_stop(struct cp_service *s)
{
    if (s == NULL)
        return;
    stop_backups(s);
    el_http_server_stop(take_server(s)); /* answers that wait for the store are given by then */
    cp_hooks_free(s->hooks);
    cp_probes_free(s->probes);
    cp_plane_close(s->plane, (uint32_t)s->conf->service_drain_timeout_ms);
    cp_watch_free(s->watch);
    cp_histories_free(s->histories);
    cp_file_tokens_free(s->file_tokens);
    free(s->routes);
    el_metrics_free(s->metrics);
    (void)pthread_cond_destroy(&s->wake);
    (void)pthread_mutex_destroy(&s->mtx);
    free(s);
}
