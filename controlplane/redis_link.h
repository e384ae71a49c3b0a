/* SPDX-License-Identifier: MIT */
/*
 * redis_link: one connection to a Redis server, plain or in TLS; private to redis.c. hiredis makes
 * it and understands what comes; in TLS the bytes go through OpenSSL on its socket, for the hiredis
 * of Debian 12 has none.
 *
 * Thread: one at a time. Everything blocks for at most the deadline.
 */
#pragma once

#include <hiredis/hiredis.h>

#include <sys/time.h>

#include "common/err.h"
#include "common/str.h"

struct ssl_ctx_st;
struct ssl_st;

struct cp_redis_link {
    redisContext *context; /* NULL: not connected */
    struct ssl_st *ssl;    /* NULL: plain */
};

/* What of TLS belongs to all connections; each path may be NULL: the system's CAs, no certificate
 * of ours. EL_ECONF names the file at fault. */
enum el_err cp_redis_tls_new(const char *ca_file, const char *cert, const char *key,
                             struct ssl_ctx_st **ret_tls, struct el_error *err);
void cp_redis_tls_free(struct ssl_ctx_st *tls); /* NULL is fine */

/* tls NULL: plain. The server's certificate has to be for that host, or address. */
enum el_err cp_redis_link_open(struct cp_redis_link *l, const char *host, uint16_t port,
                               struct timeval deadline, struct ssl_ctx_st *tls,
                               struct el_error *err);
void cp_redis_link_close(struct cp_redis_link *l); /* one that is closed is fine */

/* Commands as redisFormatCommandArgv() writes them; they may leave only with the next reply. */
enum el_err cp_redis_link_send(struct cp_redis_link *l, const char *bytes, size_t n,
                               struct el_error *err);
/* The next reply, the caller's. On failure the link is of no more use. */
enum el_err cp_redis_link_reply(struct cp_redis_link *l, redisReply **ret, struct el_error *err);
