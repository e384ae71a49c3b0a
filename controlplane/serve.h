/* SPDX-License-Identifier: MIT */
/*
 * serve: what the parts of the service share; private to service.c, access.c, reply.c, watch.c,
 * hooks.c and the handlers in api_*.c.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "common/http_server.h"
#include "common/metrics.h"
#include "controlplane/access.h"
#include "controlplane/alerts.h"
#include "controlplane/ask.h"
#include "controlplane/chunks.h"
#include "controlplane/commands.h"
#include "controlplane/events.h"
#include "controlplane/groups.h"
#include "controlplane/history.h"
#include "controlplane/nodes.h"
#include "controlplane/operations.h"
#include "controlplane/plane.h"
#include "controlplane/service.h"
#include "controlplane/timeline.h"
#include "controlplane/tokens.h"

#define CP_DURABLE_MS 2000u /* an answer waits so long for the store, then it is a 503 */

/* ---- the dashboard (page.c) ---- */

#define CP_PAGES      6u
#define CP_ETAG_CHARS 18u
/* What each file is called as long as it does not change. */
void cp_pages_name(char ret[CP_PAGES][CP_ETAG_CHARS + 1]);

struct cp_route_stats {
    struct el_counter *requests, *errors;
    struct el_hist *times;
};

struct cp_watch;
struct cp_hooks;
struct cp_probes;

struct cp_service {
    /* Immutable once it serves. */
    const struct el_conf *conf;
    struct el_clock *clock;
    struct el_metrics *metrics;
    struct cp_file_tokens *file_tokens; /* NULL: there are none */
    struct cp_plane *plane;
    struct cp_route_stats *routes; /* one for each of cp_routes, and one for all else */
    struct cp_hooks *hooks;        /* NULL: nobody is to be called */
    struct cp_probes *probes;      /* NULL: nodes are not asked */
    char page_etags[CP_PAGES][CP_ETAG_CHARS + 1];
    uint64_t started_ms;
    int64_t started_wall_ms;
    const char *address;
    bool is_loopback; /* it is */

    _Atomic bool is_draining;
    _Atomic bool is_store_up;
    _Atomic uint64_t requests;

    /* The server's thread's. */
    struct cp_who who; /* asks, while a handler runs */
    bool is_closed;    /* there are tokens; looked at with each tick, and when one changes */
    uint64_t refused_ms;
    struct cp_watch *watch;
    struct cp_timeline timeline;
    struct cp_histories *histories;
    struct cp_bytes served; /* by all nodes, since this process began */
    uint64_t request_number;
    uint64_t request_salt; /* so that two processes give different ids to requests */

    pthread_t backups;
    bool has_backups;
    pthread_mutex_t mtx;
    pthread_cond_t wake;
    /* Under mtx. */
    struct el_http_server *server; /* NULL until it serves, and when it has stopped */
    bool is_stopping;
    bool wants_backup;
    uint64_t backup_operation;
};

/* What handlers are given. */
static inline struct cp_service *cp_service_of(void *arg)
{
    return (struct cp_service *)arg;
}

uint64_t cp_resident_bytes(void); /* api_service.c */
/* To be dispatched on the server's thread, as long as there is one. Thread: any. */
void cp_service_post(struct cp_service *s, struct el_msg *m);
/* Has a copy of the state written to a file, as that operation. Thread: the server's. */
void cp_service_backup(struct cp_service *s, uint64_t operation);

/* Tokens have changed; the plane is locked. */
void cp_service_look_at_tokens(struct cp_service *s, const struct cp_state *state);

/* ---- TLS (tls.c) ---- */

enum el_err cp_tls_new(const char *cert, const char *key, struct ssl_ctx_st **ret_tls,
                       struct el_error *err);

/* ---- routes (service.c) ---- */

extern const struct el_http_route cp_routes[];
extern const size_t cp_n_routes;

/* ---- answers (reply.c) ---- */

/* {code, text, field, request_id}; field may be NULL. */
void cp_reply_say(struct el_http_reply *out, int status, enum el_err code, const char *field,
                  const char *text);
/* What the state said: its texts begin with the field at fault. */
void cp_reply_error(struct el_http_reply *out, const struct el_error *err);
void cp_reply_fault(struct el_http_reply *out, const struct cp_ask *a);
void cp_reply_json(struct el_http_reply *out, int status, json_t *take_root);
void cp_reply_empty(struct el_http_reply *out); /* 204 */
void cp_reply_field_u64(struct el_http_reply *out, const char *name, uint64_t value);
void cp_reply_field(struct el_http_reply *out, const char *name, const char *value);

/*
 * Gives the plane back; the answer, if it is a good one, leaves when what has changed is durable.
 */
void cp_reply_durable(struct cp_service *s, struct el_http_reply *out);

/* 204 or what went wrong, and a line in the audit log; durable as above. */
void cp_reply_done(struct cp_service *s, struct cp_state *state, enum el_err rc,
                   const struct el_error *err, const char *what, const char *text,
                   struct el_http_reply *out);
void cp_reply_forbid_other(struct el_http_reply *out); /* the token is another node's */
void cp_reply_digest(struct el_http_reply *out, uint64_t digest);

/* The body as an object. False: `out` says why not. The reference goes back with json_decref. */
bool cp_body(const struct el_http_call_in *in, struct el_http_reply *out, struct cp_ask *a,
             json_t **ret_root);
/* The i-th part of the path, decoded. False: `out` is a 404. */
bool cp_param(const struct el_http_call_in *in, size_t i, struct el_http_reply *out,
              char ret[CP_ID_MAX + 1]);

/* "limit" of the query, how many are listed. False: `out` is a 400. */
bool cp_ask_limit(const struct el_http_call_in *in, struct el_http_reply *out, uint64_t *limit);

/* A new token, 64 characters; nothing keeps it. */
#define CP_TOKEN_CHARS 64u
void cp_token_draw(char ret[CP_TOKEN_CHARS + 1]);
/* An object of what was asked for once it is durable: {key: value}. */
void cp_reply_one(struct el_http_reply *out, int status, const char *key, const char *value);

/* Writes down who did what; the plane is locked. */
void cp_audit(struct cp_service *s, struct cp_state *state, struct el_http_reply *out,
              const char *what, const char *text);

/* ---- JSON of what the state has (reply.c) ---- */

void cp_json_time(json_t *obj, const char *key, int64_t wall_ms); /* 0: null */
void cp_json_digest(json_t *obj, const char *key, uint64_t digest);
void cp_json_node(json_t *obj, const struct cp_state *state, const struct cp_node *n);
void cp_json_peer(json_t *obj, const struct cp_node *n);
void cp_json_command(json_t *obj, const struct cp_command *c);
void cp_json_operation(json_t *obj, const struct cp_state *state, const struct cp_operation *o);
void cp_json_policies(json_t *obj, const struct cp_state *state);
void cp_json_config(json_t *obj, const struct cp_config *c); /* NULL: none yet */
void cp_json_event(json_t *obj, const struct cp_event *e);
void cp_json_groups_of(json_t *obj, const struct cp_state *state, const char *node_id);
void cp_json_bytes(json_t *o, const struct cp_bytes *b);        /* api_cluster.c */
void cp_json_object(json_t *o, const struct cp_object *object); /* the same */
/* Text with quotes around it. */
void cp_json_quote(struct el_buf *out, const char *text);

/* ---- pushed events (watch.c) ---- */

struct cp_watch *cp_watch_new(struct cp_service *s);
void cp_watch_free(struct cp_watch *w); /* NULL is fine */
/* There may be new events. Thread: any. */
void cp_watch_poke(struct cp_watch *w);
void cp_watch_tick(struct cp_watch *w);
/* Nobody is told any more: those who wait get what there is. */
void cp_watch_stop(struct cp_watch *w);

/* ---- webhooks (hooks.c) ---- */

/* NULL: none is configured. */
enum el_err cp_hooks_new(struct cp_service *s, struct cp_hooks **ret_hooks, struct el_error *err);
void cp_hooks_free(struct cp_hooks *h); /* NULL is fine */
/* Thread: the server's. */
void cp_hooks_tick(struct cp_hooks *h);
void cp_hooks_json(json_t *list, struct cp_hooks *h);
size_t cp_hooks_test(struct cp_hooks *h);

/* ---- probes (probes.c) ---- */

/* NULL: none are wanted. */
enum el_err cp_probes_new(struct cp_service *s, struct cp_probes **ret_probes,
                          struct el_error *err);
void cp_probes_free(struct cp_probes *p); /* NULL is fine */
/* Thread: the server's. */
void cp_probes_tick(struct cp_probes *p);

/* ---- handlers ---- */

#define CP_ROUTE(method, path, need, handler) \
    void handler(void *arg, const struct el_http_call_in *in, struct el_http_reply *out);
#include "controlplane/routes_list.h"
#undef CP_ROUTE
