/* SPDX-License-Identifier: MIT */
/*
 * nodeapi: what an operator, a load balancer and Prometheus ask the node, on its own port:
 *
 *   GET /health          200 as long as the process lives and its API answers
 *   GET /readyz          200 while requests are taken, 503 before and while draining, and while a
 *                        node of a cluster with a control plane reaches neither it nor any other
 *   GET /metrics         Prometheus text
 *   GET /api/v1/status   one JSON object with everything
 *   GET /api/v1/p2p      a connection that becomes a link between nodes: p2p/link_http.c
 *   /api/v1/cache/...    what is cached of a URL, purge, pin: operate.c
 *
 * It starts before the proxy (whose guard wants to know this port) and stops after it.
 */
#pragma once

#include "cache/cache.h"
#include "common/clock.h"
#include "discovery/discovery.h"
#include "p2p/p2p.h"
#include "proxy/access.h"
#include "proxy/proxy.h"
#include "storage/storage.h"

struct proxy_nodeapi; /* Thread: the main thread; its handlers run on a thread of their own */

struct proxy_nodeapi_conf {
    const char *bind_address;
    uint16_t port; /* 0: any free one */
    const char *node_id;
    struct proxy_tokens *tokens; /* taken, when it starts; NULL: there are none */
    /* Borrowed until proxy_nodeapi_stop(). */
    struct cache *cache;
    struct storage *storage;
    struct p2p *p2p;               /* NULL: the node is alone */
    struct disc_cp *control_plane; /* NULL: there is none */
    struct el_clock *clock;
    struct el_metrics *metrics;
};

enum el_err proxy_nodeapi_start(const struct proxy_nodeapi_conf *conf,
                                struct proxy_nodeapi **ret_api, struct el_error *err);
/* The file of admin.tokens_file; "" gives NULL. Complains in the log when others may read it. */
enum el_err proxy_nodeapi_read_tokens(const char *path, struct proxy_tokens **ret_tokens,
                                      struct el_error *err);
/* In place of those there were. */
void proxy_nodeapi_set_tokens(struct proxy_nodeapi *api, struct proxy_tokens *take_tokens);
uint16_t proxy_nodeapi_port(const struct proxy_nodeapi *api);
/* Who is asked about requests and keys; borrowed until NULL is set. */
void proxy_nodeapi_set_proxy(struct proxy_nodeapi *api, struct proxy *proxy);
/* What the node says of itself to its control plane: for p2p_conf, arg is the API. */
void proxy_nodeapi_measure(void *arg, struct disc_cp_beat *ret);
/* What the control plane has the node load; the same. */
void proxy_nodeapi_prefetch(void *arg, const struct disc_cp_prefetch *prefetch);
void proxy_nodeapi_set_ready(struct proxy_nodeapi *api, bool is_ready);
void proxy_nodeapi_stop(struct proxy_nodeapi *api); /* NULL is fine */
