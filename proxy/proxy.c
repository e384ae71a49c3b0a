/* SPDX-License-Identifier: MIT */
/*
 * proxy: puts the node's face together from its configuration: the gateway's mapping, the policy of
 * what may be asked, the access log, and the server whose requests req.c answers.
 *
 * What SIGHUP may change is in struct proxy_settings: an immutable snapshot that each request takes
 * when it starts. Reloads are rare, so old snapshots are kept until the proxy stops.
 */
#include "proxy/proxy.h"

#include <ctype.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/log.h"
#include "common/rng.h"

#include "proxy/intercept.h"
#include "proxy/req.h"
#include "proxy/resign.h"

/* Credentials that wait to be verified; at 50 ms each (bcrypt, cost 10) the last waits 13 s. */
#define MAX_CHECKS 256
/* Hosts that wait for a certificate. */
#define MAX_LEAVES_WAITING 1024

#define MAX_KEYS_BYTES (4 * EL_MIB)

/* About 6 MB. At 30 s each that is room for 2,000 new grants a second. */
#define MAX_GRANTS 65536

static struct proxy_limits limits_of(const struct el_conf *conf)
{
    return (struct proxy_limits){
        .max_connections = conf->proxy_max_connections,
        .max_head_bytes = conf->proxy_max_head_bytes,
        .max_body_bytes = conf->proxy_max_body_bytes,
        .head_timeout_ms = conf->proxy_head_timeout_ms,
        .idle_timeout_ms = conf->proxy_idle_timeout_ms,
        .body_timeout_ms = conf->proxy_body_timeout_ms,
    };
}

static enum el_err new_guard(const struct el_conf *conf, struct proxy_guard **ret_guard,
                             struct el_error *err)
{
    return proxy_guard_new(conf->proxy_allow_hosts, conf->proxy_deny_hosts,
                           conf->proxy_connect_ports, ret_guard, err);
}

static enum el_err new_gateway(const struct el_conf *conf, struct proxy_gateway **ret_gateway,
                               struct el_error *err)
{
    return proxy_gateway_new(conf->storage_endpoint, conf->storage_bucket,
                             conf->storage_virtual_host_suffixes, ret_gateway, err);
}

/* *ret is NULL when nobody is asked for credentials. */
static enum el_err new_auth(const struct el_conf *conf, struct proxy_auth **ret,
                            struct el_error *err)
{
    enum el_proxy_auth scheme = (enum el_proxy_auth)conf->proxy_auth;

    *ret = NULL;
    return scheme == EL_PROXY_AUTH_NONE ? EL_OK
                                        : proxy_auth_new(scheme, conf->proxy_auth_file, ret, err);
}

/* *ret is NULL when there is no file. */
static enum el_err new_keys(const struct el_conf *conf, struct proxy_keys **ret, mode_t *ret_mode,
                            struct el_error *err)
{
    const char *path = conf->auth_keys_file;
    struct el_buf text = { 0 };
    enum el_err rc = EL_OK;

    *ret = NULL;
    if (path[0] == '\0')
        return EL_OK;
    rc = el_file_read("auth.keys_file", path, MAX_KEYS_BYTES, &text, ret_mode, err);
    if (rc == EL_OK)
        rc = proxy_keys_parse(path, el_buf_str(&text), ret, err);
    if (text.p != NULL)
        explicit_bzero(text.p, text.cap);
    el_buf_deinit(&text);
    return rc;
}

enum el_err proxy_check(const struct el_conf *conf, int64_t now_s, struct el_error *err)
{
    struct proxy_guard *guard = NULL;
    struct proxy_gateway *gateway = NULL;
    struct proxy_auth *auth = NULL;
    struct proxy_policies *policies = NULL;
    struct proxy_intercept *intercept = NULL;
    struct proxy_keys *keys = NULL;
    struct store_signer *signer = NULL;
    mode_t mode;
    enum el_err rc = new_guard(conf, &guard, err);

    if (rc == EL_OK)
        rc = new_gateway(conf, &gateway, err);
    if (rc == EL_OK)
        rc = new_auth(conf, &auth, err);
    if (rc == EL_OK)
        rc = proxy_policies_new(conf, &policies, err);
    if (rc == EL_OK)
        rc = proxy_intercept_new(conf, now_s, &intercept, err);
    proxy_intercept_free(intercept);
    if (rc == EL_OK)
        rc = new_keys(conf, &keys, &mode, err);
    if (rc == EL_OK)
        rc = proxy_resign_new(conf, el_clock_system(), &signer, err);
    store_signer_free(signer);
    proxy_keys_free(keys);
    proxy_policies_free(policies);
    proxy_auth_free(auth);
    proxy_gateway_free(gateway);
    proxy_guard_free(guard);
    return rc;
}

static void free_settings_version(struct proxy_settings *s)
{
    proxy_keys_free(s->keys);
    proxy_policies_free(s->policies);
    proxy_auth_free(s->auth);
    proxy_guard_free(s->guard);
    free(s);
}

static void warn_of_trust(const struct proxy_policies *policies)
{
    const struct proxy_policy *p;

    for (size_t i = 0; (p = proxy_policies_trusting(policies, i)) != NULL; i++)
        el_log(EL_WARN, EV_AUTH_TRUST,
               "prefix=%s advice=\"whoever reaches this node reads what is "
               "cached there, private objects included\"",
               EL_LOG_Q(el_str_of(p->prefix[0] != '\0' ? p->prefix : "(everything)")));
}

static void tell_of_keys(const struct proxy_keys *keys, mode_t mode)
{
    if (keys == NULL)
        return;
    el_log(EL_INFO, EV_AUTH_KEYS, "keys=%zu", proxy_keys_count(keys));
    if ((mode & (S_IRWXG | S_IRWXO)) != 0)
        el_log(EL_WARN, EV_AUTH_KEYS_MODE, "mode=%04o advice=\"chmod 600\"",
               (unsigned)mode & 07777u);
}

/* What tells one state of a file from another. Zeroed when there is none. */
static struct proxy_stamp stamp_of(const char *path)
{
    struct stat st;

    if (path[0] == '\0' || stat(path, &st) != 0)
        return (struct proxy_stamp){ 0 };
    return (struct proxy_stamp){
        .inode = st.st_ino,
        .bytes = (uint64_t)st.st_size,
        .changed_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec,
    };
}

static enum el_err add_settings(struct proxy *p, const struct el_conf *conf, struct el_error *err)
{
    struct proxy_settings *s = el_new(struct proxy_settings);
    mode_t keys_mode = 0;
    enum el_err rc;

    p->keys_stamp = stamp_of(conf->auth_keys_file);
    rc = new_guard(conf, &s->guard, err);

    if (rc == EL_OK)
        rc = new_auth(conf, &s->auth, err);
    if (rc == EL_OK)
        rc = proxy_policies_new(conf, &s->policies, err);
    if (rc == EL_OK)
        rc = new_keys(conf, &s->keys, &keys_mode, err);
    if (rc == EL_OK && s->auth != NULL && p->auth_worker == NULL)
        rc = proxy_worker_start("proxy-auth", MAX_CHECKS, &p->auth_worker, err);
    if (rc != EL_OK) {
        free_settings_version(s);
        return rc;
    }
    s->policy = (struct proxy_fresh_policy){
        .error_ms = (int64_t)conf->cache_error_freshness_s * 1000,
        .negative_ms = (int64_t)conf->cache_negative_freshness_s * 1000,
        .stale_error_ms = (int64_t)conf->cache_stale_if_error_s * 1000,
    };
    warn_of_trust(s->policies);
    tell_of_keys(s->keys, keys_mode);
    s->older = atomic_load(&p->settings);
    atomic_store(&p->settings, s);
    return EL_OK;
}

static void free_settings(struct proxy *p)
{
    struct proxy_settings *s = atomic_load(&p->settings);

    while (s != NULL) {
        struct proxy_settings *older = s->older;

        free_settings_version(s);
        s = older;
    }
}

static void register_decisions(struct proxy *p, struct el_metrics *m)
{
    for (enum proxy_rule rule = PROXY_RULE_NONE; rule < PROXY_RULES; rule++) {
        struct el_buf label = { 0 };

        el_buf_addf(&label, "rule=\"%s\"", proxy_rule_name(rule));
        p->decisions[rule] =
            el_metrics_counter(m, "eliop2p_auth_decisions_total",
                               "Requests finished, by the rule that said who may read.", label.p);
        el_buf_deinit(&label);
    }
}

/* Whoever reads the log should know that this node reads what others believe to be sealed. */
static enum el_err start_intercept(struct proxy *p, const struct el_conf *conf,
                                   struct el_error *err)
{
    struct proxy_intercept_info info;
    enum el_err rc =
        proxy_intercept_new(conf, el_clock_wall_ms(p->clock) / 1000, &p->intercept, err);

    if (rc != EL_OK || p->intercept == NULL)
        return rc;
    proxy_intercept_info_get(p->intercept, &info);
    el_log(EL_WARN, EV_INTERCEPT,
           "hosts=%s ca=%s advice=\"what clients send to these hosts through CONNECT is decrypted "
           "by this node; they have to trust this CA, and its key has to stay here\"",
           EL_LOG_Q(el_str_of(info.hosts)), EL_LOG_Q(el_str_of(info.ca)));
    if (info.is_key_readable)
        el_log(EL_WARN, EV_INTERCEPT_KEY, "file=%s advice=\"chmod 400\"",
               EL_LOG_Q(el_str_of(conf->proxy_intercept_ca_key)));
    return proxy_worker_start("proxy-leaf", MAX_LEAVES_WAITING, &p->leaf_worker, err);
}

static void register_metrics(struct proxy *p, struct el_metrics *m)
{
    static const char *const labels[PROXY_XCACHES] = {
        [PROXY_XCACHE_HIT] = "x_cache=\"hit\"",
        [PROXY_XCACHE_P2P] = "x_cache=\"p2p\"",
        [PROXY_XCACHE_MISS] = "x_cache=\"miss\"",
    };

    for (size_t i = 0; i < PROXY_XCACHES; i++)
        p->requests[i] =
            el_metrics_counter(m, "eliop2p_proxy_requests_total",
                               "Requests finished, by where the answer came from.", labels[i]);
    proxy_tiers_register(&p->tiers, m);
    register_decisions(p, m);
    p->refused = el_metrics_counter(m, "eliop2p_proxy_refused_total",
                                    "Requests refused by policy or as malformed.", NULL);
    p->auth_missing = el_metrics_counter(
        m, "eliop2p_proxy_auth_refused_total",
        "Requests answered with 407: without credentials for the proxy, or with wrong ones.",
        "reason=\"missing\"");
    p->auth_wrong = el_metrics_counter(
        m, "eliop2p_proxy_auth_refused_total",
        "Requests answered with 407: without credentials for the proxy, or with wrong ones.",
        "reason=\"wrong\"");
    p->intercepted =
        el_metrics_counter(m, "eliop2p_intercepted_tunnels_total",
                           "CONNECT tunnels that ended at this node, decrypted.", NULL);
    p->failed = el_metrics_counter(m, "eliop2p_proxy_failed_total",
                                   "Requests that ended in an error of our own.", NULL);
    p->bytes_out = el_metrics_counter(m, "eliop2p_proxy_body_bytes_total",
                                      "Bytes of response bodies sent to clients.", NULL);
    p->ttfb = el_metrics_hist(m, "eliop2p_proxy_first_byte_seconds",
                              "From the first byte of a request to the first of its answer.", NULL);
}

/*
 * The pseudonym in Via is the node's name with a random end, so that two nodes that were given one
 * name do not take each other's requests for their own.
 */
static void name_node(struct proxy *p, const struct el_conf *conf)
{
    char host[HOST_NAME_MAX + 1] = "elionode";
    struct el_buf b = { 0 };
    struct el_rng rng;
    struct el_str id;

    if (conf->general_node_id[0] == '\0')
        (void)gethostname(host, sizeof(host) - 1);
    id = el_str_of(conf->general_node_id[0] != '\0' ? conf->general_node_id : host);
    p->node_id = el_strndup(id.p, id.n);
    for (size_t i = 0; i < id.n; i++)
        el_buf_add_byte(&b, isalnum((unsigned char)id.p[i]) ? id.p[i] : '-');
    el_rng_seed_random(&rng);
    el_buf_addf(&b, "-%06x", (unsigned)el_rng_below(&rng, 1u << 24));
    p->via_token = el_buf_take(&b);
    el_buf_addf(&b, "Via: 1.1 %s\r\n", p->via_token);
    p->via_line = el_buf_take(&b);
}

/* Processors in all, at least one. */
static unsigned default_threads(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : n > PROXY_MAX_THREADS ? PROXY_MAX_THREADS : (unsigned)n;
}

static enum el_err start_server(struct proxy *p, const struct proxy_conf *conf,
                                struct el_error *err)
{
    const struct el_conf *c = conf->conf;
    unsigned threads = c->proxy_threads > 0 ? (unsigned)c->proxy_threads : default_threads();
    const struct proxy_server_conf server = {
        .bind_address =
            c->proxy_bind_address[0] != '\0' ? c->proxy_bind_address : c->general_bind_address,
        .port = (uint16_t)c->proxy_listen_port,
        .tls_cert = c->proxy_tls_cert,
        .tls_key = c->proxy_tls_key,
        .tls_port = (uint16_t)c->proxy_tls_port,
        .http2 = c->proxy_http2,
        .threads = threads,
        .limits = limits_of(c),
        .on_request = proxy_req_start,
        .on_thread_start = proxy_req_thread_start,
        .on_thread_stop = proxy_req_thread_stop,
        .arg = p,
        .metrics = conf->metrics,
    };
    const struct proxy_spans_conf spans = {
        .path = c->proxy_trace_log,
        .node_id = p->node_id,
        .threads = threads,
        .metrics = conf->metrics,
    };
    enum el_err rc = EL_OK;

    p->served = proxy_served_new();
    if (c->proxy_access_log[0] != '\0')
        rc = proxy_accesslog_open(c->proxy_access_log, threads, conf->metrics, &p->access_log, err);
    if (rc == EL_OK && c->proxy_trace_log[0] != '\0')
        rc = proxy_spans_open(&spans, &p->spans, err);
    return rc != EL_OK ? rc : proxy_server_start(&server, &p->server, err);
}

enum el_err proxy_start(const struct proxy_conf *conf, struct proxy **ret_proxy,
                        struct el_error *err)
{
    struct proxy *p = el_new(struct proxy);
    enum el_err rc;

    p->cache = conf->cache;
    p->storage = conf->storage;
    p->clock = conf->clock;
    p->gateway_is_object_store = conf->conf->storage_type != EL_STORAGE_HTTP;
    atomic_init(&p->first_bytes, conf->first_bytes);
    p->address_allowed = conf->address_allowed;
    p->allowed_arg = conf->arg;
    name_node(p, conf->conf);
    register_metrics(p, conf->metrics);
    rc = new_gateway(conf->conf, &p->gateway, err);
    if (rc == EL_OK)
        rc = proxy_grants_new(MAX_GRANTS, &p->grants, err);
    if (rc == EL_OK)
        rc = add_settings(p, conf->conf, err);
    if (rc == EL_OK)
        rc = start_intercept(p, conf->conf, err);
    if (rc == EL_OK)
        rc = start_server(p, conf, err);
    if (rc != EL_OK) {
        proxy_stop(p);
        return rc;
    }
    p->warm = proxy_warm_new(p->gateway, p->server, p->clock);
    *ret_proxy = p;
    return EL_OK;
}

uint16_t proxy_port(const struct proxy *p)
{
    return proxy_server_port(p->server);
}

uint16_t proxy_tls_port(const struct proxy *p)
{
    return proxy_server_tls_port(p->server);
}

enum el_err proxy_reload(struct proxy *p, const struct el_conf *conf, struct el_error *err)
{
    struct proxy_limits limits = limits_of(conf);
    enum el_err rc = add_settings(p, conf, err);

    if (rc == EL_OK)
        rc =
            proxy_server_reload(p->server, &limits, conf->proxy_tls_cert, conf->proxy_tls_key, err);
    if (rc == EL_OK)
        rc = proxy_linelog_reopen(p->access_log, err);
    if (rc == EL_OK)
        rc = proxy_spans_reopen(p->spans, err);
    return rc;
}

enum el_err proxy_url_key(const struct proxy *p, struct el_str target, struct el_buf *out,
                          struct el_error *err)
{
    return proxy_route_key(p->gateway, target, out, err);
}

void proxy_distrust_asked(struct proxy *p, struct el_str key, bool is_prefix)
{
    if (is_prefix)
        proxy_changes_note_all(&p->changes);
    else
        proxy_changes_note(&p->changes, key, el_clock_wall_ms(p->clock));
}

static const char *auth_name(struct proxy *p)
{
    const struct proxy_auth *auth = atomic_load(&p->settings)->auth;

    return auth != NULL ? proxy_auth_scheme_name(auth) : "none";
}

void proxy_info_get(struct proxy *p, struct proxy_info *ret)
{
    *ret = (struct proxy_info){ .auth = auth_name(p), .intercepts = p->intercept != NULL };
    if (p->intercept == NULL)
        return;
    proxy_intercept_info_get(p->intercept, &ret->intercept);
    ret->intercepted = el_counter_get(p->intercepted);
}

struct proxy_warm *proxy_warm_of(struct proxy *p)
{
    return p->warm;
}

void proxy_look_at_files(struct proxy *p, const struct el_conf *conf)
{
    struct proxy_stamp now = stamp_of(conf->auth_keys_file);
    struct el_error err = { 0 };

    if (now.inode == p->keys_stamp.inode && now.bytes == p->keys_stamp.bytes &&
        now.changed_ns == p->keys_stamp.changed_ns)
        return;
    if (add_settings(p, conf, &err) != EL_OK)
        el_log_error(EL_ERROR, EV_AUTH_KEYS, &err);
}

void proxy_set_first_bytes(struct proxy *p, uint64_t bytes)
{
    atomic_store(&p->first_bytes, bytes);
}

void proxy_drain(struct proxy *p)
{
    proxy_warm_stop(p->warm);
    proxy_server_drain(p->server);
}

uint64_t proxy_busy(struct proxy *p)
{
    return proxy_server_busy(p->server);
}

bool proxy_served_get(struct proxy *p, struct el_str client, struct proxy_served_by *ret)
{
    return proxy_served_find(p->served, client, ret);
}

void proxy_tiers_get(const struct proxy *p, struct proxy_tier_sums *ret)
{
    proxy_tiers_sum(&p->tiers, ret);
}

void proxy_stop(struct proxy *p)
{
    if (p == NULL)
        return;
    proxy_worker_stop(p->auth_worker); /* their answers go to queues of the server's threads */
    proxy_worker_stop(p->leaf_worker);
    proxy_warm_stop(p->warm);
    proxy_server_stop(p->server);
    proxy_warm_free(p->warm);
    proxy_linelog_close(p->access_log);
    proxy_spans_close(p->spans);
    proxy_served_free(p->served);
    proxy_gateway_free(p->gateway);
    free_settings(p);
    proxy_grants_free(p->grants);
    proxy_worker_free(p->auth_worker);
    proxy_worker_free(p->leaf_worker);
    proxy_intercept_free(p->intercept);
    free(p->via_line);
    free(p->via_token);
    free(p->node_id);
    free(p);
}
