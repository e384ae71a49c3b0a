/* SPDX-License-Identifier: MIT */
/*
 * linelog: a file that gets lines from event loops.
 *
 * An event loop only puts its line into its thread's buffer. A thread of the log's own writes the
 * buffers to the file, once a second or when one holds 64 KiB; a disk that stands still makes lines
 * go missing, which is counted, and never stops a request.
 */
#pragma once

#include "common/buf.h"
#include "common/err.h"
#include "common/metrics.h"

struct proxy_linelog; /* Thread: see the functions */

struct proxy_linelog_conf {
    const char *path;               /* "-": standard output */
    const char *name, *thread_name; /* static; what it is in messages: "access log" */
    unsigned threads;               /* how many thread indexes will write */
    struct el_counter *lost;        /* lines; borrowed until close */
};

enum el_err proxy_linelog_open(const struct proxy_linelog_conf *conf,
                               struct proxy_linelog **ret_log, struct el_error *err);
/* Appends one line, with its line feed. Called under a lock: it takes none, and does no I/O. */
typedef void proxy_line_fn(struct el_buf *out, const void *entry);
/* Thread: any, each with its own index. Never blocks on the file. NULL log is fine. */
void proxy_linelog_write(struct proxy_linelog *log, unsigned thread_index, proxy_line_fn *put,
                         const void *entry);
/* The file was moved away: continue in a new one. On error the old one stays. NULL log is fine. */
enum el_err proxy_linelog_reopen(struct proxy_linelog *log, struct el_error *err);
/* Everything that was written before is in the file when it returns. NULL is fine. */
void proxy_linelog_close(struct proxy_linelog *log);
