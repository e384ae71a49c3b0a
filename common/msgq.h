/* SPDX-License-Identifier: MIT */
/*
 * msgq: how threads talk. One thread owns the queue and dispatches; any thread posts. A message is
 * embedded in an object of the receiver's, so posting never allocates, and posting one that is
 * already queued does nothing: a wake-up is remembered, not counted.
 *
 * The owner waits for el_msgq_fd() (an eventfd) to become readable in whatever loop it runs, and
 * then calls el_msgq_dispatch(). Order of first posting is kept.
 *
 * The queue's mutex is a leaf: el_msgq_post() may be called while other locks are held.
 */
#pragma once

#include <pthread.h>

#include "common/err.h"
#include "common/list.h"

struct el_msg {
    struct el_list link;                 /* in a queue when `is_queued` */
    bool is_queued;                      /* under the queue's mutex */
    void (*on_message)(struct el_msg *); /* runs on the owner's thread, no lock held */
};

struct el_msgq; /* Thread: post from any, the rest from the owner */

enum el_err el_msgq_new(struct el_msgq **ret_q, struct el_error *err);
/*
 * NULL is fine. Messages still queued are forgotten. A thread whose message has already been
 * dispatched may still be inside el_msgq_post(); no other may.
 */
void el_msgq_free(struct el_msgq *q);

void el_msg_init(struct el_msg *m, void (*on_message)(struct el_msg *));

/* Thread: any. */
void el_msgq_post(struct el_msgq *q, struct el_msg *m);
/* Owner only: after it returns the message is in no queue and its memory may be reused. */
void el_msgq_cancel(struct el_msgq *q, struct el_msg *m);

int el_msgq_fd(const struct el_msgq *q);
/*
 * Owner only. Runs on_message of all that was queued when it was called, each removed from the
 * queue first, so that it may post itself again, free its object, or cancel others of the same
 * batch.
 */
void el_msgq_dispatch(struct el_msgq *q);
