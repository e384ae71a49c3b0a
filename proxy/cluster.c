/* SPDX-License-Identifier: MIT */
/*
 * cluster: the node as part of its cluster, seen from outside: what the status says of the control
 * plane, whether the node is ready, and what it says of itself in heartbeats.
 */
#include "proxy/nodeapi_routes.h"
#include "proxy/tiers.h"

#define KNOWN_MS 300000u /* so long after it was heard the list of a control plane counts */
#define MAX_LAG  1u
#define MIB      ((double)EL_MIB)

/* ---- the control plane ---- */

static struct disc_cp_figures figures(struct proxy_nodeapi *api)
{
    struct disc_cp_figures f;

    disc_cp_figures(api->conf.control_plane, &f);
    return f;
}

struct el_str proxy_cluster_mode(struct proxy_nodeapi *api)
{
    if (api->conf.control_plane != NULL && figures(api).is_connected)
        return EL_STR("control_plane");
    return api->conf.p2p != NULL ? EL_STR("gossip") : EL_STR("standalone");
}

static void add_time(json_t *o, const char *key, int64_t wall_ms)
{
    char text[25];

    if (wall_ms == 0) {
        el_json_add_null(o, key);
        return;
    }
    el_clock_iso(wall_ms, text);
    el_json_add_str(o, key, el_str_of(text));
}

static void add_endpoint(json_t *o, const struct disc_cp_figures *f)
{
    struct el_buf name = { 0 };

    if (f->best.host[0] == '\0') {
        el_json_add_null(o, "best_endpoint");
        el_json_add_null(o, "latency_ms");
        return;
    }
    disc_endpoint_name(&f->best, &name);
    el_json_add_str(o, "best_endpoint", el_buf_str(&name));
    el_json_add_real(o, "latency_ms", (double)f->best.latency_us / 1000);
    el_buf_deinit(&name);
}

static void add_figures(struct proxy_nodeapi *api, json_t *o, const struct disc_cp_figures *f)
{
    char digest[17];

    (void)snprintf(digest, sizeof(digest), "%016llx", (unsigned long long)f->digest);
    el_json_add_str(o, "state", el_str_of(disc_cp_state_name(f->state)));
    add_endpoint(o, f);
    add_time(o, "last_ok", disc_cp_last_ok_ms(api->conf.control_plane));
    el_json_add_str(o, "last_error", el_str_of(f->last_error));
    el_json_add_u64(o, "epoch", f->epoch);
    el_json_add_str(o, "digest", el_str_of(digest));
    el_json_add_u64(o, "chunk_epoch", f->chunk_epoch);
    el_json_add_u64(o, "chunks", f->chunks);
    el_json_add_u64(o, "lag", f->lag);
    el_json_add_u64(o, "config_version", f->config_version);
    el_json_add_u64(o, "config_running", f->ran.version);
    el_json_add_str(o, "config_error", el_str_of(f->ran.error));
    el_json_add_u64(o, "policy_version", f->policy_version);
    el_json_add_u64(o, "policy_running", f->ran.policy_version);
    el_json_add_str(o, "policy_error", el_str_of(f->ran.policy_error));
}

/* Itself is among its peers. */
static uint64_t gossip_peers(json_t *status)
{
    size_t known = json_array_size(json_object_get(status, "peers"));

    return known > 0 ? known - 1 : 0;
}

void proxy_cluster_status(struct proxy_nodeapi *api, json_t *status)
{
    json_t *o = el_json_child(status, "control_plane");
    uint64_t peers = gossip_peers(status);
    uint64_t size = api->conf.p2p != NULL ? p2p_cluster_size(api->conf.p2p) : 1;
    struct disc_cp_figures f = { .is_connected = false };

    if (api->conf.control_plane != NULL)
        f = figures(api);
    el_json_add_bool(o, "connected", f.is_connected);
    if (api->conf.control_plane != NULL)
        add_figures(api, o, &f);
    el_json_add_u64(o, "peers_known", el_max_u64(peers, f.peers_known));
    el_json_add_u64(o, "cluster_size", f.is_connected ? el_max_u64(f.cluster_size, size) : size);
    el_json_add_bool(o, "ready", proxy_cluster_is_ready(api));
}

/* ---- ready ---- */

/* By a control plane, or because one that was known by gossip has died since. */
static bool were_others(struct proxy_nodeapi *api, const struct disc_cp_figures *f)
{
    uint64_t now_ms = el_clock_mono_ms(api->conf.clock);
    uint64_t lost_ms = api->conf.p2p != NULL ? p2p_lost_ms(api->conf.p2p) : 0;

    return (f->peers_known > 0 && now_ms <= f->last_ok_ms + KNOWN_MS) ||
           (lost_ms != 0 && now_ms <= lost_ms + KNOWN_MS);
}

/* Of the others that were known a while ago one at least is heard of; or there were none. */
static bool has_quorum(struct proxy_nodeapi *api, const struct disc_cp_figures *f)
{
    return !were_others(api, f) || (api->conf.p2p != NULL && p2p_cluster_size(api->conf.p2p) > 1);
}

bool proxy_cluster_is_ready(struct proxy_nodeapi *api)
{
    struct disc_cp_figures f;

    if (!atomic_load(&api->is_ready))
        return false;
    if (api->conf.control_plane == NULL)
        return true;
    f = figures(api);
    return f.is_connected ? f.lag <= MAX_LAG : has_quorum(api, &f);
}

/* ---- heartbeats ---- */

static void measure_cache(struct proxy_nodeapi *api, struct disc_cp_beat *ret)
{
    struct cache_disk_stats disk;
    struct cache_stats s;

    cache_stats_get(api->conf.cache, &s);
    cache_disk_stats_get(api->conf.cache, &disk);
    ret->memory_used_mb = (double)s.memory_used_bytes / MIB;
    ret->disk_state = disk.n > 0 ? "normal" : "none";
    for (size_t i = 0; i < disk.n; i++) {
        const struct cache_store_stats *one = &disk.stores[i];

        ret->disk_used_mb += (double)one->used_bytes / MIB;
        if (strcmp(one->state, "down") == 0)
            ret->disk_state = "down";
        else if (strcmp(one->state, "degraded") == 0 && strcmp(ret->disk_state, "down") != 0)
            ret->disk_state = "degraded";
    }
}

static void measure_proxy(struct proxy_nodeapi *api, struct disc_cp_beat *ret)
{
    struct proxy *proxy = proxy_nodeapi_lock(api);
    struct proxy_tier_sums sums = { 0 };
    uint64_t hits, all;

    if (proxy != NULL) {
        proxy_tiers_get(proxy, &sums);
        ret->connections = proxy_busy(proxy);
    }
    proxy_nodeapi_unlock(api);
    ret->memory_bytes = sums.bytes[PROXY_TIER_MEMORY];
    ret->disk_bytes = sums.bytes[PROXY_TIER_DISK];
    ret->peer_bytes = sums.bytes[PROXY_TIER_PEER];
    ret->origin_bytes = sums.bytes[PROXY_TIER_ORIGIN];
    hits = ret->memory_bytes + ret->disk_bytes;
    all = hits + ret->peer_bytes + ret->origin_bytes;
    ret->hit_rate = all > 0 ? (double)hits / (double)all : 0;
}

static double mbps(uint64_t bytes, uint64_t ms)
{
    return ms > 0 ? (double)bytes * 8 / 1000 / (double)ms : 0;
}

/* An origin that only fails is not well; one that some requests fail at may be. */
static void measure_traffic(struct proxy_nodeapi *api, struct disc_cp_beat *ret)
{
    uint64_t now_ms = el_clock_mono_ms(api->conf.clock), in = 0, out = 0;
    uint64_t ms = now_ms - api->beat.at_ms;
    struct store_stats s;

    if (api->conf.p2p != NULL)
        p2p_moved(api->conf.p2p, &in, &out);
    store_stats_get(api->conf.storage, &s);
    ret->download_mbps = mbps(in - api->beat.in, ms);
    ret->upload_mbps = mbps(out - api->beat.out, ms);
    ret->origin_errors = s.errors;
    ret->origin_ok = s.errors == api->beat.errors ||
                     s.errors - api->beat.errors < s.exchanges - api->beat.exchanges;
    api->beat.at_ms = now_ms;
    api->beat.in = in;
    api->beat.out = out;
    api->beat.exchanges = s.exchanges;
    api->beat.errors = s.errors;
}

void proxy_nodeapi_measure(void *arg, struct disc_cp_beat *ret)
{
    struct proxy_nodeapi *api = arg;

    ret->is_ready = proxy_cluster_is_ready(api);
    measure_cache(api, ret);
    measure_proxy(api, ret);
    measure_traffic(api, ret);
    proxy_prefetch_measure(api, ret);
    if (api->conf.p2p == NULL)
        return;
    p2p_tell_objects(api->conf.p2p, ret);
    p2p_tell_links(api->conf.p2p, ret);
}
