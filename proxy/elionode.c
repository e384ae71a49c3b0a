/* SPDX-License-Identifier: MIT */
/*
 * elionode: the node. The main thread owns its life and nothing else: it builds the parts from the
 * bottom up, waits for signals, and takes them down again in reverse. A request never comes here.
 *
 *   metrics -> storage (the origin) -> p2p, whose last resort that is -> cache (which is given one
 *           of them as its source) -> node API -> p2p runs -> proxy, which takes requests from now
 * on
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "cache/cache.h"
#include "common/file.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/program.h"
#include "p2p/p2p.h"
#include "proxy/cli.h"
#include "proxy/guard.h"
#include "proxy/nodeapi.h"
#include "proxy/proxy.h"
#include "proxy/pushed.h"
#include "proxy/resign.h"
#include "proxy/self.h"
#include "storage/storage.h"

#define DRAIN_POLL_MS    20
#define LOOK_AT_FILES_MS 1000
#define STOP_MS          10000u /* after that */
#define HURRY_MS         1000u  /* and so long after another signal */

/* What addresses the origin's side may connect to: one for each configuration that was in effect.
 */
struct guard_version {
    struct proxy_guard *guard;
    struct guard_version *older; /* fetch threads may still look at it; freed with the node */
};

enum listener { LISTENER_API, LISTENER_PROXY, LISTENER_TLS, LISTENERS };

struct node {
    struct el_program program;
    struct el_conf *conf; /* the program's, as is the clock */
    struct proxy_pushed pushed;
    struct el_clock *clock;

    _Atomic(struct guard_version *) guard;
    struct proxy_addresses own_addresses[LISTENERS]; /* immutable once there are threads */
    _Atomic uint16_t own_ports[LISTENERS];           /* 0 while not known, or none */
    struct el_metrics *metrics;
    struct store_signer *signer; /* NULL: the node signs nothing */
    struct storage *storage;
    struct disc_cp *control_plane; /* NULL: there is none */
    struct p2p *p2p;               /* NULL: the node is alone */
    struct el_buf cluster_secret;
    struct cache *cache;
    struct proxy_tokens *tokens; /* until the node API has them */
    struct proxy_nodeapi *api;
    struct proxy *proxy;
    _Atomic bool has_stopped; /* nobody has to watch over the end any more */
};

/* ---- values of the configuration that have a default of their own ---- */

static unsigned processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : n > 256 ? 256 : (unsigned)n;
}

static const char *or_general(const struct el_conf *conf, const char *address)
{
    return address[0] != '\0' ? address : conf->general_bind_address;
}

static void read_node_id(const struct el_conf *conf, char out[HOST_NAME_MAX + 1])
{
    if (conf->general_node_id[0] != '\0') {
        (void)snprintf(out, HOST_NAME_MAX + 1, "%s", conf->general_node_id);
        return;
    }
    if (gethostname(out, HOST_NAME_MAX) != 0)
        (void)snprintf(out, HOST_NAME_MAX + 1, "elionode");
    out[HOST_NAME_MAX] = '\0';
}

static bool is_loopback(const char *address)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, address, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static void warn_if_exposed(const char *what, const char *address)
{
    if (is_loopback(address))
        return;
    el_log(EL_WARN, EV_NODE_EXPOSED,
           "listener=%s address=%s advice=\"whoever reaches this address may use it without any "
           "credentials: keep it behind a firewall, or bind to 127.0.0.1\"",
           what, EL_LOG_Q(el_str_of(address)));
}

/* ---- which addresses may be asked ---- */

/* Thread: the fetch threads, and the proxy threads for tunnels. */
static bool address_allowed(void *arg, const struct sockaddr *addr)
{
    struct node *n = (struct node *)arg;
    struct proxy_guard_own own[LISTENERS];
    struct proxy_guard_at at = { .guard = atomic_load(&n->guard)->guard,
                                 .own = own,
                                 .n_own = LISTENERS };

    for (size_t i = 0; i < LISTENERS; i++)
        own[i] = (struct proxy_guard_own){
            .addresses = n->own_addresses[i].v,
            .n = n->own_addresses[i].n,
            .port = atomic_load(&n->own_ports[i]),
        };
    return proxy_guard_address(&at, addr);
}

static enum el_err find_own_addresses(struct node *n, struct el_error *err)
{
    const char *api = or_general(n->conf, n->conf->admin_bind_address);
    const char *proxy = or_general(n->conf, n->conf->proxy_bind_address);
    enum el_err rc = proxy_addresses_of(api, &n->own_addresses[LISTENER_API], err);

    if (rc == EL_OK)
        rc = proxy_addresses_of(proxy, &n->own_addresses[LISTENER_PROXY], err);
    if (rc == EL_OK)
        rc = proxy_addresses_of(proxy, &n->own_addresses[LISTENER_TLS], err);
    return rc;
}

static enum el_err new_guard(const struct el_conf *c, struct guard_version **ret_version,
                             struct el_error *err)
{
    struct guard_version *v = el_new(struct guard_version);
    enum el_err rc = proxy_guard_new(c->proxy_allow_hosts, c->proxy_deny_hosts,
                                     c->proxy_connect_ports, &v->guard, err);

    if (rc != EL_OK) {
        free(v);
        return rc;
    }
    *ret_version = v;
    return EL_OK;
}

static void use_guard(struct node *n, struct guard_version *take_version)
{
    take_version->older = atomic_load(&n->guard);
    atomic_store(&n->guard, take_version);
}

static void free_guards(struct guard_version *v)
{
    while (v != NULL) {
        struct guard_version *older = v->older;

        proxy_guard_free(v->guard);
        free(v);
        v = older;
    }
}

/* ---- the parts, from the bottom up ---- */

static enum el_err start_storage(struct node *n, struct el_error *err)
{
    const struct el_conf *c = n->conf;
    struct store_conf conf = {
        .threads = c->storage_threads > 0 ? (unsigned)c->storage_threads : (processors() + 1) / 2,
        .max_connections_per_host = (unsigned)c->storage_max_connections_per_host,
        .connect_timeout_ms = c->storage_connect_timeout_ms,
        .stall_timeout_ms = c->storage_stall_timeout_ms,
        .retries = (unsigned)c->storage_retries,
        .retry_backoff_ms = c->storage_retry_backoff_ms,
        .breaker_failures = (unsigned)c->storage_breaker_failures,
        .breaker_open_ms = c->storage_breaker_open_ms,
        .ca_file = c->storage_ca_file[0] != '\0' ? c->storage_ca_file : NULL,
        .insecure_tls = c->storage_insecure_tls,
        .http2 = c->storage_http2,
        .verify = (enum store_verify)c->storage_verify_checksums, /* its words, in their order */
        .address_allowed = address_allowed,
        .arg = n,
        .clock = n->clock,
        .metrics = n->metrics,
    };
    struct guard_version *guard;
    enum el_err rc = new_guard(c, &guard, err);

    if (rc != EL_OK)
        return rc;
    use_guard(n, guard);
    rc = proxy_resign_new(c, n->clock, &n->signer, err);
    if (rc == EL_OK && n->signer != NULL)
        rc = store_signer_watch(n->signer, err);
    if (rc != EL_OK)
        return rc;
    conf.signer = n->signer;
    return storage_start(&conf, &n->storage, err);
}

/* ---- other nodes ---- */

#define MAX_SECRET_BYTES 4096u
#define MIN_SECRET_BYTES 16u
#define BYTES_OF_MBIT    125000u

static bool are_links_secure(const struct el_conf *c)
{
    return c->p2p_cluster_secret_file[0] != '\0' || c->p2p_tls_cert[0] != '\0';
}

#define MODE_GOSSIP 1u /* of discovery.mode */

/* Gossip alone means it, whatever the environment says for all nodes. */
static bool has_control_plane(const struct el_conf *c)
{
    return c->p2p_enable && c->control_plane_endpoint[0] != '\0' &&
           c->discovery_mode != MODE_GOSSIP;
}

static bool has_company(const struct el_conf *c)
{
    return has_control_plane(c) ||
           (c->p2p_enable && (c->discovery_mode != 0 || c->discovery_seeds[0] != '\0' ||
                              c->discovery_file[0] != '\0' || are_links_secure(c)));
}

static enum el_err read_cluster_secret(struct node *n, struct el_error *err)
{
    const char *path = n->conf->p2p_cluster_secret_file;
    struct el_str secret;
    mode_t mode;
    enum el_err rc;

    if (path[0] == '\0')
        return EL_OK;
    rc = el_file_read("p2p.cluster_secret_file", path, MAX_SECRET_BYTES, &n->cluster_secret, &mode,
                      err);
    if (rc != EL_OK)
        return rc;
    secret = el_str_trim(el_buf_str(&n->cluster_secret));
    if (secret.n < MIN_SECRET_BYTES)
        return el_fail(err, EL_ECONF, 0, "p2p.cluster_secret_file %s has fewer than %u bytes", path,
                       MIN_SECRET_BYTES);
    if ((mode & 077) != 0)
        el_log(EL_WARN, EV_SECRET_READABLE, "key=p2p.cluster_secret_file path=%s",
               EL_LOG_Q(el_str_of(path)));
    return EL_OK;
}

/* Without a secret or certificates whoever reaches the port may read what is cached. */
static const char *p2p_address(const struct el_conf *c)
{
    const char *address = or_general(c, c->p2p_bind_address);

    return are_links_secure(c) || c->general_insecure || is_loopback(address) ? address
                                                                              : "127.0.0.1";
}

static enum el_err make_control_plane(struct node *n, const char *name, struct el_error *err)
{
    const struct el_conf *c = n->conf;
    char *token = el_strndup(el_secret_get(&c->control_plane_token).p,
                             el_secret_get(&c->control_plane_token).n);
    const struct disc_cp_conf conf = {
        .endpoints = c->control_plane_endpoint,
        .token = token,
        .ca_file = c->control_plane_ca_file[0] != '\0' ? c->control_plane_ca_file : NULL,
        .name = name,
        .cluster = c->general_cluster,
        .zone = c->general_zone,
        .memory_capacity_mb = c->cache_memory_cache_size_mb,
        .disk_capacity_mb = c->cache_disk_cache_size_mb,
        .ran = &n->pushed.ran,
        .settings = proxy_pushed_offer,
        .settings_arg = &n->pushed,
        .clock = n->clock,
        .metrics = n->metrics,
    };
    enum el_err rc = has_control_plane(c) ? disc_cp_new(&conf, &n->control_plane, err) : EL_OK;

    explicit_bzero(token, strlen(token));
    free(token);
    return rc;
}

/*
 * What is on disk takes at least 4 KiB there, and its manifest 600 bytes (a million short objects):
 * a sixth is never too little where one node has signed each. What memory alone has comes on top.
 */
static uint64_t manifest_bytes(const struct el_conf *c)
{
    return (uint64_t)c->cache_disk_cache_size_mb * EL_MIB / 6 + EL_GIB;
}

static enum el_err make_p2p(struct node *n, struct el_error *err)
{
    static const char *const modes[] = {
        "auto", "gossip", "static", "dns", "file", "controlplane"
    };
    const struct el_conf *c = n->conf;
    char node_id[HOST_NAME_MAX + 1];
    struct p2p_conf conf = {
        .state_dir = c->general_state_dir,
        .name = node_id,
        .cluster = c->general_cluster,
        .zone = c->general_zone,
        .bind_address = p2p_address(c),
        .advertise_address = c->p2p_advertise_address,
        .port = (uint16_t)c->p2p_listen_port,
        .tls_cert = c->p2p_tls_cert,
        .tls_key = c->p2p_tls_key,
        .tls_ca = c->p2p_tls_ca,
        .is_outbound_only = c->p2p_outbound_only,
        .mode = modes[c->discovery_mode],
        .seeds = c->discovery_seeds,
        .file = c->discovery_file,
        .min_peers = (size_t)c->discovery_min_peers,
        .max_peers = (unsigned)c->p2p_max_peers,
        .k = (unsigned)c->p2p_k_selection,
        .upload_bps = c->p2p_upload_limit_mbps * BYTES_OF_MBIT,
        .download_bps = c->p2p_download_limit_mbps * BYTES_OF_MBIT,
        .measure = proxy_nodeapi_measure,
        .prefetch = proxy_nodeapi_prefetch,
        .max_chunks = 65536,
        .max_manifest_bytes = manifest_bytes(c),
        .tracker_bytes = c->p2p_tracker_memory_mb * EL_MIB,
        .origin = storage_source(n->storage),
        .clock = n->clock,
        .metrics = n->metrics,
    };
    enum el_err rc;

    if (!has_company(c))
        return EL_OK;
    read_node_id(c, node_id);
    rc = read_cluster_secret(n, err);
    if (rc == EL_OK)
        rc = make_control_plane(n, node_id, err);
    if (rc != EL_OK)
        return rc;
    conf.control_plane = n->control_plane;
    conf.secret = el_str_trim(el_buf_str(&n->cluster_secret));
    return p2p_new(&conf, &n->p2p, err);
}

static enum el_err run_p2p(struct node *n, struct el_error *err)
{
    if (n->p2p == NULL)
        return EL_OK;
    return p2p_run(n->p2p, n->cache, n->api, proxy_nodeapi_port(n->api), err);
}

/* Splits the list in place; returns how many there are, of which `dirs` has the first `max`. */
static size_t split_dirs(char *list, const char **dirs, size_t max)
{
    size_t n = 0;
    char *next;

    for (char *dir = list; dir != NULL; dir = next) {
        next = strchr(dir, ',');
        if (next != NULL)
            *next++ = '\0';
        dir += strspn(dir, " ");
        if (*dir == '\0')
            continue;
        if (n < max)
            dirs[n] = dir;
        n++;
    }
    return n;
}

static enum el_err check_dirs(const struct el_conf *c, struct el_error *err)
{
    char *list = el_strndup(c->cache_disk_cache_path, strlen(c->cache_disk_cache_path));
    const char *dirs[CACHE_MAX_STORES + 1];
    enum el_err rc = EL_OK;

    if (split_dirs(list, dirs, EL_COUNT(dirs)) > CACHE_MAX_STORES)
        rc = el_fail(err, EL_ECONF, 0,
                     "cache.disk_cache_path names more than %d directories: %s is one too many",
                     CACHE_MAX_STORES, dirs[CACHE_MAX_STORES]);
    free(list);
    return rc;
}

static enum el_ring_backend disk_io(const struct el_conf *c)
{
    static const enum el_ring_backend backends[] = { EL_RING_AUTO, EL_RING_URING, EL_RING_THREADS };

    return backends[c->cache_disk_io];
}

static enum el_err open_cache(struct node *n, struct el_error *err)
{
    const struct el_conf *c = n->conf;
    char *list = el_strndup(c->cache_disk_cache_path, strlen(c->cache_disk_cache_path));
    const char *dirs[CACHE_MAX_STORES];
    const struct cache_disk_conf disk = {
        .bytes = c->cache_disk_cache_size_mb * EL_MIB,
        .dirs = dirs,
        .n_dirs = split_dirs(list, dirs, CACHE_MAX_STORES), /* check() has seen to it */
        .io = disk_io(c),
        .read_deadline_ms = c->cache_disk_read_deadline_ms,
        .commit_ms = c->cache_disk_commit_ms,
        .write_bytes = c->cache_disk_write_mb * EL_MIB,
        .scrub_bytes_s = c->cache_scrub_mb_s * EL_MIB,
    };
    bool has_disk = disk.bytes > 0 && disk.n_dirs > 0 && c->cache_memory_cache_size_mb > 0;
    const struct cache_conf conf = {
        .memory_bytes = c->cache_memory_cache_size_mb * EL_MIB,
        .ready_bytes = c->cache_memory_ready_mb * EL_MIB,
        .evict_above = c->cache_eviction_threshold,
        .evict_to = c->cache_eviction_target,
        .weights = { .age = c->cache_weight_time,
                     .replicas = c->cache_weight_replicas,
                     .heat = c->cache_weight_heat },
        .huge_pages = c->cache_huge_pages,
        .disk = has_disk ? &disk : NULL,
        .source = n->p2p != NULL ? p2p_source(n->p2p) : storage_source(n->storage),
        .listener = n->p2p != NULL ? p2p_listener(n->p2p) : NULL,
        .finder = n->p2p != NULL ? p2p_finder(n->p2p) : NULL,
        .clock = n->clock,
        .metrics = n->metrics,
    };
    enum el_err rc;

    rc = cache_open(&conf, &n->cache, err);
    free(list);
    return rc;
}

static enum el_err start_api(struct node *n, struct el_error *err)
{
    char node_id[HOST_NAME_MAX + 1];
    const struct proxy_nodeapi_conf conf = {
        .bind_address = or_general(n->conf, n->conf->admin_bind_address),
        .port = (uint16_t)n->conf->admin_listen_port,
        .node_id = node_id,
        .tokens = n->tokens,
        .cache = n->cache,
        .storage = n->storage,
        .p2p = n->p2p,
        .control_plane = n->control_plane,
        .clock = n->clock,
        .metrics = n->metrics,
    };

    enum el_err rc;

    read_node_id(n->conf, node_id);
    if (conf.tokens == NULL)
        warn_if_exposed("admin", conf.bind_address);
    rc = proxy_nodeapi_start(&conf, &n->api, err);
    if (rc == EL_OK)
        n->tokens = NULL;
    return rc;
}

static enum el_err start_proxy(struct node *n, struct el_error *err)
{
    const struct proxy_conf conf = {
        .conf = n->conf,
        .cache = n->cache,
        .storage = n->storage,
        .clock = n->clock,
        .metrics = n->metrics,
        .address_allowed = address_allowed,
        .arg = n,
        .first_bytes = n->p2p != NULL ? P2P_FIRST_BYTES : 0, /* the rest is leased to others */
    };

    atomic_store(&n->own_ports[LISTENER_API], proxy_nodeapi_port(n->api));
    /* Requests come before proxy_start() has returned. */
    atomic_store(&n->own_ports[LISTENER_PROXY], (uint16_t)n->conf->proxy_listen_port);
    if (n->conf->proxy_auth == EL_PROXY_AUTH_NONE)
        warn_if_exposed("proxy", or_general(n->conf, n->conf->proxy_bind_address));
    if (n->signer != NULL)
        proxy_resign_warn(n->conf);
    return proxy_start(&conf, &n->proxy, err);
}

/* What el_conf_load() cannot judge: before a store is made that nobody will use. */
static enum el_err check(struct node *n, struct el_error *err)
{
    enum el_err rc = proxy_check(n->conf, el_clock_wall_ms(n->clock) / 1000, err);
    struct disc_endpoints endpoints;

    if (rc == EL_OK)
        rc = check_dirs(n->conf, err);
    if (rc == EL_OK && has_control_plane(n->conf))
        rc = disc_endpoints_parse(el_str_of(n->conf->control_plane_endpoint), &endpoints, err);
    return rc == EL_OK ? proxy_nodeapi_read_tokens(n->conf->admin_tokens_file, &n->tokens, err)
                       : rc;
}

static struct node *node_of(struct el_program *p)
{
    struct node *n = EL_ENTRY(p, struct node, program);

    n->conf = p->conf;
    n->clock = p->clock;
    return n;
}

static enum el_err check_program(struct el_program *p, struct el_error *err)
{
    return check(node_of(p), err);
}

static enum el_err start(struct node *n, struct el_error *err)
{
    enum el_err rc;

    n->metrics = el_metrics_new();
    rc = check(n, err);
    if (rc == EL_OK)
        rc = find_own_addresses(n, err);
    if (rc == EL_OK)
        rc = start_storage(n, err);
    if (rc == EL_OK)
        rc = make_p2p(n, err);
    if (rc == EL_OK)
        rc = open_cache(n, err);
    if (rc == EL_OK)
        rc = start_api(n, err);
    if (rc == EL_OK)
        rc = run_p2p(n, err);
    if (rc == EL_OK)
        rc = start_proxy(n, err);
    if (rc != EL_OK)
        return rc;
    atomic_store(&n->own_ports[LISTENER_PROXY], proxy_port(n->proxy));
    atomic_store(&n->own_ports[LISTENER_TLS], proxy_tls_port(n->proxy));
    proxy_nodeapi_set_proxy(n->api, n->proxy);
    proxy_nodeapi_set_ready(n->api, true);
    return EL_OK;
}

/* Copes with a node that is half built. */
static void stop(struct node *n)
{
    disc_cp_stop(n->control_plane); /* it asks the API, and says that the node goes */
    if (n->api != NULL) {
        proxy_nodeapi_set_ready(n->api, false);
        proxy_nodeapi_set_proxy(n->api, NULL);
    }
    proxy_stop(n->proxy);
    proxy_nodeapi_stop(n->api);
    if (n->p2p != NULL)
        p2p_stop(n->p2p);
    storage_stop(n->storage);
    store_signer_free(n->signer);
    cache_close(n->cache);
    p2p_free(n->p2p);
    disc_cp_free(n->control_plane);
    if (n->cluster_secret.n > 0)
        explicit_bzero(n->cluster_secret.p, n->cluster_secret.n);
    el_buf_deinit(&n->cluster_secret);
    el_metrics_free(n->metrics);
    free_guards(atomic_load(&n->guard));
    proxy_pushed_deinit(&n->pushed);
    for (size_t i = 0; i < LISTENERS; i++)
        proxy_addresses_deinit(&n->own_addresses[i]);
}

/* ---- life ---- */

/* Nothing has changed when it fails. */
static enum el_err apply(struct node *n, const struct el_conf *fresh, struct disc_cp_ran *ran,
                         struct el_error *err)
{
    struct guard_version *guard = NULL;
    struct proxy_tokens *tokens = NULL;
    enum el_err rc = new_guard(fresh, &guard, err);

    if (rc == EL_OK)
        rc = proxy_nodeapi_read_tokens(fresh->admin_tokens_file, &tokens, err);
    if (rc == EL_OK)
        rc = proxy_reload(n->proxy, fresh, err);
    if (rc != EL_OK) {
        proxy_tokens_free(tokens);
        free_guards(guard);
        return rc;
    }
    proxy_nodeapi_set_tokens(n->api, tokens);
    use_guard(n, guard);
    ran->n_pending = 0;
    el_conf_reload(n->conf, fresh, proxy_pushed_wait_for, ran);
    el_program_setup_log(&n->program);
    if (n->p2p != NULL)
        p2p_set_rates(n->p2p, n->conf->p2p_upload_limit_mbps * BYTES_OF_MBIT,
                      n->conf->p2p_download_limit_mbps * BYTES_OF_MBIT);
    return EL_OK;
}

/* With what was pushed, and `fresh` in place of its part of that; NULL: of none. */
static enum el_err load_and_apply(struct node *n, const struct disc_cp_settings *fresh,
                                  struct el_error *err)
{
    struct el_conf *conf = NULL;
    struct el_buf pushed = { 0 };
    enum el_err rc;

    proxy_pushed_lines(&n->pushed, fresh, &pushed);
    rc = el_program_load(&n->program, el_buf_str(&pushed), &conf, err);
    if (rc == EL_OK)
        rc = apply(n, conf, &n->pushed.ran, err);
    el_conf_free(conf);
    el_buf_deinit(&pushed);
    return rc;
}

/* What is wrong with it is told; the node runs on with what it had. After each registration comes
 * what it may well run already. */
static void take_pushed(struct node *n, const struct disc_cp_settings *settings)
{
    struct el_error err = { 0 };
    enum el_err rc = EL_OK;

    if (proxy_pushed_runs(&n->pushed, settings))
        return;
    if (settings->error[0] != '\0')
        rc = el_fail(&err, EL_ECONF, 0, "%s", settings->error);
    if (rc == EL_OK)
        rc = load_and_apply(n, settings, &err);
    proxy_pushed_note(&n->pushed, settings->part, settings->version, rc == EL_OK ? "" : err.text);
    if (rc == EL_OK) {
        proxy_pushed_keep(&n->pushed, settings);
        el_log(EL_INFO, EV_CONF_PUSHED, "%s=%llu pending=%zu",
               settings->part == DISC_CP_KEYS ? "version" : "policy_version",
               (unsigned long long)settings->version, n->pushed.ran.n_pending);
    } else {
        el_log_error(EL_ERROR, EV_CONF_PUSHED, &err);
    }
}

static bool take_all_pushed(struct node *n)
{
    struct disc_cp_settings settings;
    bool any = false;

    for (; proxy_pushed_take(&n->pushed, &settings); any = true) {
        take_pushed(n, &settings);
        el_buf_deinit(&settings.lines);
    }
    return any;
}

static void reload(struct node *n)
{
    struct el_error err = { 0 };

    if (!take_all_pushed(n)) {
        if (load_and_apply(n, NULL, &err) == EL_OK)
            el_log(EL_INFO, EV_CONF_RELOAD, "result=ok");
        else
            el_log_error(EL_ERROR, EV_CONF_RELOAD, &err);
    }
    if (n->control_plane != NULL)
        disc_cp_ran(n->control_plane, &n->pushed.ran);
}

/*
 * Running requests get proxy.drain_timeout_ms; another SIGTERM or SIGINT ends that at once. Returns
 * how many are left.
 */
static uint64_t drain(struct node *n)
{
    uint64_t deadline_ms = el_clock_mono_ms(n->clock) + n->conf->proxy_drain_timeout_ms;
    uint64_t busy = proxy_busy(n->proxy);

    el_log(EL_INFO, EV_NODE_DRAIN, "busy=%llu timeout_ms=%llu", (unsigned long long)busy,
           (unsigned long long)n->conf->proxy_drain_timeout_ms);
    proxy_nodeapi_set_ready(n->api, false);
    proxy_drain(n->proxy);
    while (busy > 0 && el_clock_mono_ms(n->clock) < deadline_ms) {
        int sig = el_program_wait(&n->program, DRAIN_POLL_MS);

        if (sig == SIGTERM || sig == SIGINT)
            break;
        busy = proxy_busy(n->proxy);
    }
    return busy;
}

static uint64_t serve(struct node *n)
{
    for (;;) {
        int sig = el_program_wait(&n->program, LOOK_AT_FILES_MS);

        if (sig == 0)
            proxy_look_at_files(n->proxy, n->conf);
        else if (sig == SIGHUP)
            reload(n);
        else if (sig == SIGTERM || sig == SIGINT)
            return drain(n);
    }
}

/*
 * A disk that hangs keeps what was handed to it, and nobody can say for how long. A cache survives
 * its being killed, so that is not waited for without end; whoever sends another signal waits less.
 */
static void *give_up(void *arg)
{
    struct node *n = arg;
    uint64_t began_ms = el_clock_mono_ms(n->clock), waited_ms = 0, most_ms = STOP_MS;

    while (waited_ms < most_ms && !atomic_load(&n->has_stopped)) {
        int sig = el_program_wait(&n->program, (long)(most_ms - waited_ms));

        waited_ms = el_clock_mono_ms(n->clock) - began_ms;
        if (sig == SIGTERM || sig == SIGINT)
            most_ms = el_min_u64(most_ms, waited_ms + HURRY_MS);
    }
    if (atomic_load(&n->has_stopped))
        return NULL;
    el_log(EL_ERROR, EV_NODE_STUCK, "waited_ms=%llu", (unsigned long long)waited_ms);
    _exit(EL_EXIT_RUNTIME);
}

/* The thread looks at the node, so it has to be gone before that goes: a signal ends its waiting.
 */
static void stop_in_time(struct node *n)
{
    pthread_t thread;
    bool has_thread = pthread_create(&thread, NULL, give_up, n) == 0;

    stop(n);
    if (!has_thread)
        return;
    atomic_store(&n->has_stopped, true);
    (void)pthread_kill(thread, SIGHUP); /* it may have ended by itself just now */
    EL_ASSERT(pthread_join(thread, NULL) == 0);
}

static enum el_err load_kept(struct el_program *p, const struct proxy_pushed *pushed,
                             const struct disc_cp_settings *in_place, struct el_error *err)
{
    struct el_conf *fresh = NULL;
    struct el_buf lines = { 0 };
    enum el_err rc;

    proxy_pushed_lines(pushed, in_place, &lines);
    rc = el_program_load(p, el_buf_str(&lines), &fresh, err);
    el_buf_deinit(&lines);
    if (rc != EL_OK)
        return rc;
    el_conf_free(p->conf);
    p->conf = fresh;
    el_program_setup_log(p);
    return EL_OK;
}

static void start_with_part(struct el_program *p, struct proxy_pushed *pushed,
                            enum disc_cp_part part, const struct disc_cp_settings *in_place)
{
    struct el_error err = { 0 };

    if (pushed->kept[part].n == 0 || load_kept(p, pushed, in_place, &err) == EL_OK)
        return;
    proxy_pushed_note(pushed, part, PROXY_PUSHED_KEPT, err.text);
    el_log_error(EL_WARN, EV_CONF_PUSHED, &err);
    el_buf_clear(&pushed->kept[part]);
}

/* What the control plane has pushed before this start; without the part that does not go with the
 * rest any more. */
static void start_with_pushed(struct el_program *p, struct node *n)
{
    const struct disc_cp_settings none = { .part = DISC_CP_BY_PREFIX };

    proxy_pushed_init(&n->pushed, p->conf->general_state_dir);
    start_with_part(p, &n->pushed, DISC_CP_KEYS, &none);
    start_with_part(p, &n->pushed, DISC_CP_BY_PREFIX, NULL);
}

static int run(struct el_program *p)
{
    struct node *n = node_of(p);
    struct el_error err = { 0 };
    uint64_t cut;
    enum el_err rc;

    start_with_pushed(p, n);
    n = node_of(p);
    el_log(EL_INFO, EV_NODE_START, "version=%s pid=%d proxy_address=%s admin_address=%s",
           ELIO_VERSION, (int)getpid(),
           EL_LOG_Q(el_str_of(or_general(n->conf, n->conf->proxy_bind_address))),
           EL_LOG_Q(el_str_of(or_general(n->conf, n->conf->admin_bind_address))));
    rc = start(n, &err);
    if (rc != EL_OK) {
        el_log_error(EL_ERROR, EV_NODE_FAIL, &err);
        stop(n);
        return rc == EL_ECONF ? EL_EXIT_CONF : EL_EXIT_RUNTIME;
    }
    el_log(EL_INFO, EV_NODE_READY, "proxy_port=%u admin_port=%u tls_port=%u ready_ms=%u",
           proxy_port(n->proxy), proxy_nodeapi_port(n->api), proxy_tls_port(n->proxy),
           (unsigned)((el_clock_mono_ns(n->clock) - n->program.started_ns) / 1000000));
    cut = serve(n);
    stop_in_time(n);
    el_log(EL_INFO, EV_NODE_STOP, "cut=%llu", (unsigned long long)cut);
    return EL_EXIT_DONE;
}

int main(int argc, char **argv)
{
    struct node n = {
        .program = {
            .name = "elionode",
            .about = "a caching HTTP proxy and object storage gateway",
            .keys = EL_CONF_ELIONODE,
            .help = proxy_cli_help,
            .check = check_program,
            .run = run,
        },
    };
    int rc;

    if (argc > 1 && proxy_cli_has(argv[1]))
        return proxy_cli_run(argc, argv);
    rc = el_program_main(&n.program, argc, argv);
    proxy_tokens_free(n.tokens);
    return rc;
}
