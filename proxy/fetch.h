/* SPDX-License-Identifier: MIT */
/*
 * fetch: a GET that the node itself makes, through the very path that a client's takes: a stream
 * (proxy/stream.h) without a wire, whose client takes all it is given at once and counts it. What
 * it is for is what remains in the cache.
 *
 *   start --> proxy/req.c ... send_head, push ... end or abort --> on_done
 *                 cancel, drain, drop: on_gone --^
 *
 * Thread: the proxy thread, for everything.
 */
#pragma once

#include "proxy/server.h"

#define PROXY_FETCH_PROBLEM_BYTES 4096 /* of an answer that is not 200, to quote from */

struct proxy_fetch {
    /* The caller's. The slices are borrowed until on_done. */
    struct proxy_thread *thread;
    struct el_str target;
    struct el_fieldv fields;
    _Atomic uint64_t *progress;             /* bytes are added as they come */
    void (*on_done)(struct proxy_fetch *f); /* never from inside start or cancel */

    /* The answer. */
    int status;        /* 0: there was none */
    bool is_complete;  /* all of what the head promised came */
    bool is_cancelled; /* by cancel, or because the node stops */
    uint64_t bytes;
    char x_cache[8];        /* "" when the cache had no part in it */
    char cache_status[128]; /* Cache-Status */
    struct el_buf problem;  /* its first bytes, when it is not 200 */

    /* Its own. */
    struct proxy_stream stream;
    const struct proxy_stream_events *events;
    void *arg;
    struct proxy_member member;
    struct proxy_later later;
    bool is_running;
    int64_t promised; /* body_length of the head */
};

/* Zeroed, or done before, with the caller's fields set. It counts as a client's connection. */
void proxy_fetch_start(struct proxy_fetch *f);
/* on_done follows. Nothing happens when it does not run. */
void proxy_fetch_cancel(struct proxy_fetch *f);
void proxy_fetch_deinit(struct proxy_fetch *f);
