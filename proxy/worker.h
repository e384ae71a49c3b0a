/* SPDX-License-Identifier: MIT */
/*
 * worker: a thread for what takes an event loop too long: verifying a password, making a
 * certificate. Errands are done one after the other, in the order they were given.
 */
#pragma once

#include "common/list.h"
#include "common/msgq.h"

struct proxy_worker; /* Thread: give from any; new and stop belong to the main thread */

/* Embedded in an object of the caller's, and the worker's from give() to on_done(). */
struct proxy_errand {
    struct el_msgq *queue;                   /* on_done comes through it */
    void (*work)(struct proxy_errand *e);    /* Thread: the worker's */
    void (*on_done)(struct proxy_errand *e); /* Thread: the queue's owner; may free the object */
    bool was_done;                           /* false: the worker stopped before it */

    struct el_list link; /* these two are the worker's */
    struct el_msg msg;
};

/* name: of the thread. At most max_waiting errands wait. */
enum el_err proxy_worker_start(const char *name, unsigned max_waiting,
                               struct proxy_worker **ret_worker, struct el_error *err);
/* False: too many wait, or it is stopping; then on_done does not come. */
bool proxy_worker_give(struct proxy_worker *w, struct proxy_errand *e);
/*
 * Ends the errand being done, and gives the others back undone: once it returns every on_done is in
 * its queue. The worker stays, refusing, until it is freed.
 */
void proxy_worker_stop(struct proxy_worker *w); /* NULL is fine; a second time as well */
void proxy_worker_free(struct proxy_worker *w); /* NULL is fine */
