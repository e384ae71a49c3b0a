/* SPDX-License-Identifier: MIT */
/*
 * ring_threads: the threads behind a ring that may block where its own may not. Without io_uring
 * they move the bytes, with preadv2() and pwritev2(); with it they only ask the fault hook of a
 * test, which may sleep.
 *
 *   give() --> work, on any of them --> on_worked(), on the thread that owns the queue
 *
 * Thread: the one that owns the queue, for all calls.
 */
#pragma once

#include "common/ring.h"

struct el_ring_threads;

struct el_ring_threads_conf {
    const char *thread_name; /* of the ring; theirs are derived from it */
    unsigned threads;        /* at least one is started */
    bool only_asks;          /* the fault hook, and moves nothing */
    el_ring_fault_fn *fault; /* may be NULL */
    void *fault_arg;
    struct el_msgq *queue; /* borrowed until free() */
    /*
     * n: the bytes that this attempt moved, 0 of a sync, or -errno. When they only ask: what the
     * hook said.
     */
    void (*on_worked)(void *arg, struct el_ring_op *op, int n);
    void *arg;
};

enum el_err el_ring_threads_new(const struct el_ring_threads_conf *conf,
                                struct el_ring_threads **ret_threads, struct el_error *err);
/* Nothing is given and not yet handed back; the queue is not dispatched any more. NULL is fine. */
void el_ring_threads_free(struct el_ring_threads *t);

/* One attempt of the operation, which is borrowed until on_worked(). */
void el_ring_threads_give(struct el_ring_threads *t, struct el_ring_op *op);
