/* SPDX-License-Identifier: MIT */
/*
 * accesslog: one line per finished request, and one per tunnel when it ends.
 *
 *   2026-11-21T05:04:03.123Z client=192.0.2.1:4711 method=GET url=http://host/b/k?Signature=*** \
 *       status=200 bytes=1048576 cache=HIT total_ms=12 ttfb_ms=1
 *
 * Nothing in it opens a door: values of signing parameters and passwords in the URL are masked, and
 * bytes that could break a line or a terminal are escaped as \xHH.
 */
#pragma once

#include "proxy/linelog.h"

/* Borrowed for the call. */
struct proxy_access_entry {
    int64_t wall_ms;    /* when the request began */
    const char *client; /* "192.0.2.1:4711" */
    struct el_str method;
    struct el_str url; /* as asked for; masked here */
    int status;        /* 0: the client left before there was one */
    uint64_t bytes;    /* of the body that were sent; of a tunnel: to the client */
    bool is_tunnel;
    uint64_t bytes_in;   /* of a tunnel: from the client */
    const char *x_cache; /* "HIT", "P2P", "MISS"; NULL: the cache had no part in it */
    uint64_t peer_bytes; /* of `bytes`, that other nodes gave */
    uint64_t total_ms, ttfb_ms;
    struct el_str trace; /* the id of its trace; empty: it is in none */
};

/*
 * path "-" is standard output. `threads` is how many thread indexes will write. The number of lost
 * lines is in metrics (borrowed until close).
 */
enum el_err proxy_accesslog_open(const char *path, unsigned threads, struct el_metrics *metrics,
                                 struct proxy_linelog **ret_log, struct el_error *err);
/* As proxy_linelog_write(). */
void proxy_accesslog_write(struct proxy_linelog *log, unsigned thread_index,
                           const struct proxy_access_entry *e);
