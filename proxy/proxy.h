/* SPDX-License-Identifier: MIT */
/*
 * proxy: the node's face on port 8080. Forward proxy (absolute-form and CONNECT) and gateway
 * (origin-form) in one, in front of the cache. Request path: server (1) -> req (2) -> cache.
 *
 * Thread: start, reload, drain and stop belong to the main thread.
 */
#pragma once

#include "cache/cache.h"
#include "common/conf.h"
#include "proxy/intercept.h"
#include "proxy/served.h"
#include "proxy/tiers.h"
#include "proxy/warm.h"
#include "storage/storage.h"

struct proxy;

struct proxy_conf {
    const struct el_conf *conf; /* borrowed until the call returns; strings are copied */
    struct cache *cache;        /* these four are borrowed until proxy_stop() */
    struct storage *storage;
    struct el_clock *clock;
    struct el_metrics *metrics;
    uint64_t first_bytes; /* proxy_set_first_bytes() */
    /* What tunnels may connect to. Thread: the proxy threads, until proxy_stop(). */
    bool (*address_allowed)(void *arg, const struct sockaddr *addr);
    void *arg;
};

/*
 * What only the proxy can judge of a configuration: lists of hosts and ports, the gateway,
 * the files of credentials and of the CA. EL_ECONF names key and value. Nothing is started.
 */
enum el_err proxy_check(const struct el_conf *conf, int64_t now_s, struct el_error *err);

enum el_err proxy_start(const struct proxy_conf *conf, struct proxy **ret_proxy,
                        struct el_error *err);
uint16_t proxy_port(const struct proxy *p);
uint16_t proxy_tls_port(const struct proxy *p); /* 0: none */
enum el_err proxy_reload(struct proxy *p, const struct el_conf *conf, struct el_error *err);

/*
 * The key under which the cache has what a GET of `target` (a URL, or a path of the gateway) asks
 * for; appended to `out`. EL_EBADREQ, EL_ENOORIGIN. Thread: any.
 */
enum el_err proxy_url_key(const struct proxy *p, struct el_str target, struct el_buf *out,
                          struct el_error *err);
/*
 * What the origin was asked for before this call is not stored under the key when it comes; with
 * is_prefix under none at all, since which it will be is not known. Thread: any.
 */
void proxy_distrust_asked(struct proxy *p, struct el_str key, bool is_prefix);

struct proxy_info {
    const char *auth; /* the word of proxy.auth */
    bool intercepts;  /* and then: */
    uint64_t intercepted;
    struct proxy_intercept_info intercept;
};
void proxy_info_get(struct proxy *p, struct proxy_info *ret); /* Thread: any */

/*
 * Reads what changed of the files that are watched (auth.keys_file); conf is the one in effect. To
 * be called now and then. A file that is wrong changes nothing, and is told of once.
 */
void proxy_look_at_files(struct proxy *p, const struct el_conf *conf);

/*
 * How much of an object is asked for when somebody wants all of it and nothing is known of it yet:
 * in a cluster the rest is shared out among the nodes once they know the version. 0:
 * everything. Thread: any.
 */
void proxy_set_first_bytes(struct proxy *p, uint64_t bytes);

void proxy_drain(struct proxy *p);    /* returns at once */
uint64_t proxy_busy(struct proxy *p); /* requests and tunnels still running */
/* Lists of URLs that the proxy fetches on its own; borrowed until proxy_stop(). */
struct proxy_warm *proxy_warm_of(struct proxy *p);
/* The last request of `elionode get` at that address. Thread: any. */
bool proxy_served_get(struct proxy *p, struct el_str client, struct proxy_served_by *ret);
/* Who answered, so far. Thread: any. */
void proxy_tiers_get(const struct proxy *p, struct proxy_tier_sums *ret);
void proxy_stop(struct proxy *p); /* drops what is left; NULL is fine */
