/* SPDX-License-Identifier: MIT */
/*
 * nodeapi_routes: what the files that answer routes of the node API share: nodeapi.c (the table of
 * routes, health, metrics, status), operate.c (the cache) and operations.c (what takes long).
 * Private to these.
 *
 * The argument of every handler is the struct proxy_nodeapi.
 */
#pragma once

#include <pthread.h>

#include "common/http_server.h"
#include "proxy/nodeapi.h"
#include "proxy/prefetch.h"
#include "proxy/worker.h"

struct proxy_nodeapi {
    /* Immutable. */
    struct proxy_nodeapi_conf conf;
    char *node_id; /* owned */
    int64_t started_wall_ms;
    uint64_t started_ms;
    struct el_http_server *server;
    struct proxy_worker *worker; /* for what takes long */
    struct el_counter *refused;
    struct el_gauge *heat[3]; /* hot, warm, cold; set when metrics are asked for */

    _Atomic bool is_ready;
    pthread_mutex_t mtx; /* held while the proxy is asked, so that it does not go away meanwhile */
    struct proxy *proxy; /* under mtx */
    struct proxy_tokens *tokens; /* under mtx; owned */

    struct {
        uint64_t at_ms, in, out, exchanges, errors;
    } beat; /* the last heartbeat's; the control plane client's thread */

    struct proxy_prefetch prefetch; /* the same */

    uint64_t refused_ms; /* the handlers' thread's: when the last refusal was logged */
};

/* The proxy, NULL while there is none, for a few instructions; unlock in both cases. */
struct proxy *proxy_nodeapi_lock(struct proxy_nodeapi *api);
void proxy_nodeapi_unlock(struct proxy_nodeapi *api);

/* ---- nodeapi_served.c ---- */
void proxy_served_answer(void *arg, const struct el_http_call_in *in, struct el_http_reply *out);

/* ---- page.c ---- */
el_http_handler proxy_page_get;
el_http_handler proxy_page_get_css;
el_http_handler proxy_page_get_js;

/* ---- prefetch.c ---- */

/* What a heartbeat says of it. */
void proxy_prefetch_measure(struct proxy_nodeapi *api, struct disc_cp_beat *ret);

/* ---- operate.c ---- */

/* The cache's key of what a client would ask for. */
enum el_err proxy_operate_key(struct proxy_nodeapi *api, struct el_str target, struct el_buf *key,
                              struct el_error *err);
void proxy_operate_reply_error(struct el_http_reply *out, const struct el_error *err);

el_http_handler proxy_operate_stat;
el_http_handler proxy_operate_purge;
el_http_handler proxy_operate_pin;
el_http_handler proxy_operate_unpin;

/* ---- operations.c ---- */

el_http_handler proxy_operations_warm;
el_http_handler proxy_operations_list;
el_http_handler proxy_operations_show;
el_http_handler proxy_operations_cancel;

/* ---- cluster.c ---- */

/* "control_plane" while one answers, "gossip", or "standalone". */
struct el_str proxy_cluster_mode(struct proxy_nodeapi *api);
/* Adds control_plane, after peers. */
void proxy_cluster_status(struct proxy_nodeapi *api, json_t *status);
/* Requests are taken here, and the node is part of its cluster, if there is one. */
bool proxy_cluster_is_ready(struct proxy_nodeapi *api);

/* ---- explain.c ---- */

el_http_handler proxy_explain_get;
