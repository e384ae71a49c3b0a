/* SPDX-License-Identifier: MIT */
/*
 * accesslog: one line per finished request, and one per tunnel when it ends.
 *
 *   2026-11-21T05:04:03.123Z client=192.0.2.1:4711 method=GET url=http://host/b/k?Signature=*** \
 *       status=200 bytes=1048576 cache=HIT total_ms=12 ttfb_ms=1
 *
 * Nothing in it opens a door: values of signing parameters and passwords in the URL are masked, and
 * bytes that could break a line or a terminal are escaped as \xHH.
 *
 * An event loop only copies its line into its thread's buffer. A thread of the log's own writes the
 * buffers to the file, once a second or when one holds 64 KiB; a disk that stands still makes lines
 * go missing, which is counted, and never stops a request.
 */
#pragma once

#include "common/err.h"
#include "common/metrics.h"
#include "common/str.h"

struct proxy_accesslog; /* Thread: see the functions */

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
                                 struct proxy_accesslog **ret_log, struct el_error *err);
/* Thread: any, each with its own index. Never blocks on the file. NULL log is fine. */
void proxy_accesslog_write(struct proxy_accesslog *log, unsigned thread_index,
                           const struct proxy_access_entry *e);
/* The file was moved away: continue in a new one. On error the old one stays. NULL log is fine. */
enum el_err proxy_accesslog_reopen(struct proxy_accesslog *log, struct el_error *err);
/* Everything that was written before is in the file when it returns. NULL is fine. */
void proxy_accesslog_close(struct proxy_accesslog *log);
