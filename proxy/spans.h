/* SPDX-License-Identifier: MIT */
/*
 * spans: what a node did for requests that are traced, in the words of OpenTelemetry: a file with
 * one object TracesData of OTLP in JSON on each line, as collectors read it (receiver
 * otlpjsonfile).
 *
 * A request has one span, of the kind SERVER, from its head to its last byte, below the one that
 * its traceparent names. It is written when the sender records its own. URLs are shown as in the
 * access log, without what opens a door.
 */
#pragma once

#include "common/trace.h"
#include "proxy/accesslog.h"
#include "proxy/tiers.h"

struct proxy_spans; /* Thread: as linelog's functions */

struct proxy_spans_conf {
    const char *path;           /* "-": standard output */
    const char *node_id;        /* borrowed until close */
    unsigned threads;           /* how many thread indexes will write */
    struct el_metrics *metrics; /* the number of lost lines; borrowed until close */
};

/* Borrowed for the call. */
struct proxy_span {
    struct el_trace trace;
    const struct proxy_access_entry *request;
    const struct proxy_tier_share *share;
    int origin_status;               /* 0: the origin was not asked, or has not answered */
    bool is_broken;                  /* its answer was begun and could not be completed */
    int64_t end_wall_ns;             /* since 1970 */
    uint64_t took_ns, first_byte_ns; /* from the beginning on; first_byte_ns 0: none was sent */
};

enum el_err proxy_spans_open(const struct proxy_spans_conf *conf, struct proxy_spans **ret_spans,
                             struct el_error *err);
/* Thread: any, each with its own index. Never blocks on the file. */
void proxy_spans_write(struct proxy_spans *s, unsigned thread_index, const struct proxy_span *span);
/* The file was moved away: continue in a new one. On error the old one stays. NULL is fine. */
enum el_err proxy_spans_reopen(struct proxy_spans *s, struct el_error *err);
/* Everything that was written before is in the file when it returns. NULL is fine. */
void proxy_spans_close(struct proxy_spans *s);
