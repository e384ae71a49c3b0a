/* SPDX-License-Identifier: MIT */
/*
 * redis: commands to a Redis server, or to whichever of a Cluster has the slot, over hiredis. What
 * answers are made of comes from outside and is looked at before it is believed.
 *
 * Thread: one at a time. Calls block, each exchange for at most the deadline.
 */
#pragma once

#include <hiredis/hiredis.h>

#include "common/err.h"
#include "common/str.h"

#define CP_REDIS_SLOTS 16384u

struct cp_redis;

struct ssl_ctx_st;

/* `servers` as in cp_store_redis_conf; `password` may be NULL; both are copied. take_tls (from
 * cp_redis_tls_new()) NULL: links are plain. */
struct cp_redis *cp_redis_new(const char *servers, const char *password,
                              struct ssl_ctx_st *take_tls, uint32_t deadline_ms);
void cp_redis_free(struct cp_redis *r); /* NULL is fine */

/* Commands that go out together. A zeroed struct is empty. */
struct cp_calls {
    struct cp_call {
        char *bytes; /* owned by hiredis */
        size_t n;
    } * call;
    size_t n, cap;
};
void cp_calls_add(struct cp_calls *c, const struct el_str *words, size_t n);
void cp_calls_deinit(struct cp_calls *c);

/*
 * All of them to the server that has the slot (any server when it is no Cluster), and an answer to
 * each, the caller's (freeReplyObject). Redirections are followed. On failure none of them is
 * given, and whether any of the commands was carried out is not known: EL_ECONNECT, EL_ETIMEOUT,
 * EL_ERESET, EL_EPROTO; EL_EBUSY when the servers are changing roles and it should be tried again.
 * An answer that is an error of another kind is EL_EPEER.
 */
enum el_err cp_redis_ask(struct cp_redis *r, uint16_t slot, const struct cp_calls *calls,
                         redisReply **ret_replies, struct el_error *err);

/* A Cluster, as of the last connection. */
bool cp_redis_is_cluster(const struct cp_redis *r);
uint64_t cp_redis_reconnects(const struct cp_redis *r);

/* Of what is between the first '{' and the next '}', if there is anything (Redis Cluster
 * specification). */
uint16_t cp_redis_slot_of(struct el_str key);

/* ---- answers, looked at ---- */

/* "MOVED 3999 192.0.2.1:6381", "ASK ...": false: it is none. The host may be empty: the same as
 * now. */
struct cp_redirect {
    bool is_ask;
    uint16_t slot;
    char host[256];
    uint16_t port;
};
bool cp_redis_redirect(const redisReply *reply, struct cp_redirect *ret);

/* CLUSTER SLOTS: calls visit() for each range. False: it is no such answer. */
bool cp_redis_slots(const redisReply *reply,
                    void (*visit)(void *arg, uint16_t from, uint16_t to, struct el_str host,
                                  uint16_t port),
                    void *arg);

/* An entry of a stream of changes (store_redis.c). */
struct cp_change {
    struct el_str id, by, key, value;
    enum cp_change_kind { CP_CHANGE_PUT, CP_CHANGE_FETCH, CP_CHANGE_REMOVE } kind;
};
/* XREAD of one stream: calls visit() for each entry; nil is none. False: it is no such answer. */
bool cp_redis_changes(const redisReply *reply, void (*visit)(void *arg, const struct cp_change *c),
                      void *arg);
/* HSCAN: the next cursor, and visit() for each pair. False: it is no such answer. */
bool cp_redis_scan(const redisReply *reply, char ret_cursor[24],
                   void (*visit)(void *arg, struct el_str key, struct el_str value), void *arg);
