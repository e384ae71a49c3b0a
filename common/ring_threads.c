/* SPDX-License-Identifier: MIT */
/*
 * ring_threads: see the header. Two lists under one mutex: what is given, taken by whichever thread
 * is free, and what is worked, of which one message tells the queue's owner however many there are.
 */
#include "common/ring_threads.h"

#include <errno.h>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

#define NAME_BYTES 16 /* of a thread, with its NUL: the kernel's limit */

struct el_ring_threads {
    /* immutable */
    struct el_ring_threads_conf conf;
    char name[NAME_BYTES];
    pthread_t *threads;
    unsigned started;

    struct el_msg msg; /* something was worked */

    pthread_mutex_t mtx;
    pthread_cond_t changed; /* given or is_stopping */
    struct el_list given;   /* under mtx, as are all below */
    struct el_list worked;
    bool is_stopping;
};

static void lock(struct el_ring_threads *t)
{
    EL_ASSERT(pthread_mutex_lock(&t->mtx) == 0);
}

static void unlock(struct el_ring_threads *t)
{
    EL_ASSERT(pthread_mutex_unlock(&t->mtx) == 0);
}

static struct el_ring_op *op_of(struct el_list *link)
{
    return EL_ENTRY(link, struct el_ring_op, link);
}

/* ---- on a thread of the pool ---- */

static int move_bytes(const struct el_ring_op *op, size_t limit)
{
    struct iovec part = { .iov_base = (char *)op->mem + op->moved,
                          .iov_len = op->bytes - op->moved };
    off_t offset = (off_t)(op->offset + op->moved);
    ssize_t n = 0;

    if (limit > 0)
        part.iov_len = el_min_size(part.iov_len, limit);
    switch (op->what) {
    case EL_RING_READ:
        n = preadv2(op->fd, &part, 1, offset, 0);
        break;
    case EL_RING_WRITE:
        n = pwritev2(op->fd, &part, 1, offset, 0);
        break;
    case EL_RING_SYNC:
        n = fdatasync(op->fd);
        break;
    }
    return n < 0 ? -errno : (int)n; /* the kernel moves less than 2 GiB at a time */
}

static int attempt(const struct el_ring_threads *t, const struct el_ring_op *op)
{
    int said = 0;

    if (t->conf.fault != NULL)
        said = t->conf.fault(t->conf.fault_arg, op);
    if (said < 0 || t->conf.only_asks)
        return said;
    return move_bytes(op, (size_t)said);
}

/* NULL: there is and will be nothing to do. */
static struct el_ring_op *take_given(struct el_ring_threads *t)
{
    struct el_list *link;

    lock(t);
    while (el_list_empty(&t->given) && !t->is_stopping)
        EL_ASSERT(pthread_cond_wait(&t->changed, &t->mtx) == 0);
    link = el_list_pop(&t->given);
    unlock(t);
    return link != NULL ? op_of(link) : NULL;
}

static void hand_back(struct el_ring_threads *t, struct el_ring_op *op, int n)
{
    lock(t);
    op->result = n;
    el_list_append(&t->worked, &op->link);
    unlock(t);
    el_msgq_post(t->conf.queue, &t->msg);
}

static void *run(void *arg)
{
    struct el_ring_threads *t = arg;
    struct el_ring_op *op;

    (void)pthread_setname_np(pthread_self(), t->name); /* cosmetic */
    while ((op = take_given(t)) != NULL)
        hand_back(t, op, attempt(t, op));
    return NULL;
}

/* ---- on the thread that owns the queue ---- */

static void on_message(struct el_msg *m)
{
    struct el_ring_threads *t = EL_ENTRY(m, struct el_ring_threads, msg);
    struct el_list worked;

    lock(t);
    el_list_move(&worked, &t->worked);
    unlock(t);
    while (!el_list_empty(&worked)) {
        struct el_ring_op *op = op_of(el_list_pop(&worked));

        t->conf.on_worked(t->conf.arg, op, op->result);
    }
}

void el_ring_threads_give(struct el_ring_threads *t, struct el_ring_op *op)
{
    lock(t);
    el_list_append(&t->given, &op->link);
    unlock(t);
    EL_ASSERT(pthread_cond_signal(&t->changed) == 0);
}

/* ---- their life ---- */

static struct el_ring_threads *alloc_threads(const struct el_ring_threads_conf *conf)
{
    struct el_ring_threads *t = el_new(struct el_ring_threads);

    t->conf = *conf;
    (void)snprintf(t->name, sizeof(t->name), "%.12s-io", conf->thread_name);
    EL_ASSERT(pthread_mutex_init(&t->mtx, NULL) == 0);
    EL_ASSERT(pthread_cond_init(&t->changed, NULL) == 0);
    el_list_init(&t->given);
    el_list_init(&t->worked);
    el_msg_init(&t->msg, on_message);
    return t;
}

enum el_err el_ring_threads_new(const struct el_ring_threads_conf *conf,
                                struct el_ring_threads **ret_threads, struct el_error *err)
{
    struct el_ring_threads *t = alloc_threads(conf);
    unsigned wanted = conf->threads > 0 ? conf->threads : 1;
    enum el_err rc;

    t->threads = el_try_alloc(wanted * sizeof(*t->threads));
    if (t->threads == NULL) {
        rc = el_fail(err, EL_ENOMEM, 0, "%u threads for the disk", wanted);
        goto fail;
    }
    while (t->started < wanted) {
        int sys = pthread_create(&t->threads[t->started], NULL, run, t);

        if (sys != 0) {
            rc = el_fail(err, EL_ESYS, sys, "thread %u for the disk", t->started + 1);
            goto fail;
        }
        t->started++;
    }
    *ret_threads = t;
    return EL_OK;
fail:
    el_ring_threads_free(t);
    return rc;
}

void el_ring_threads_free(struct el_ring_threads *t)
{
    if (t == NULL)
        return;
    lock(t);
    EL_ASSERT(el_list_empty(&t->given) && el_list_empty(&t->worked));
    t->is_stopping = true;
    unlock(t);
    EL_ASSERT(pthread_cond_broadcast(&t->changed) == 0);
    for (unsigned i = 0; i < t->started; i++)
        (void)pthread_join(t->threads[i], NULL); /* it exists and is joined nowhere else */
    EL_ASSERT(pthread_cond_destroy(&t->changed) == 0);
    EL_ASSERT(pthread_mutex_destroy(&t->mtx) == 0);
    free(t->threads);
    free(t);
}
