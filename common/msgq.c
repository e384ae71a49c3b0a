/* SPDX-License-Identifier: MIT */
/*
 * msgq: an intrusive list under a leaf mutex, and an eventfd that is written only when the list
 * goes from empty to not empty, so a burst of messages costs one wake-up.
 *
 * dispatch() moves the waiting messages to `batch`; each message leaves the batch just before it
 * runs, so until then it counts as queued and can be cancelled.
 *
 * The eventfd is written after the mutex is released: the owner, woken at once, would find it
 * taken. By then the message may have run and the owner may want to free the queue; `waking` counts
 * the threads in between, and el_msgq_free() waits for these few instructions.
 */
#include "common/msgq.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct el_msgq {
    pthread_mutex_t mtx;
    struct el_list waiting; /* under mtx */
    struct el_list batch;   /* under mtx */
    _Atomic unsigned waking;
    int fd; /* immutable */
};

enum el_err el_msgq_new(struct el_msgq **ret_q, struct el_error *err)
{
    struct el_msgq *q;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return el_fail(err, EL_ESYS, errno, "eventfd");
    q = el_new(struct el_msgq);
    q->fd = fd;
    el_list_init(&q->waiting);
    el_list_init(&q->batch);
    EL_ASSERT(pthread_mutex_init(&q->mtx, NULL) == 0);
    *ret_q = q;
    return EL_OK;
}

void el_msgq_free(struct el_msgq *q)
{
    if (q == NULL)
        return;
    while (atomic_load_explicit(&q->waking, memory_order_acquire) > 0)
        (void)sched_yield();
    (void)close(q->fd);
    EL_ASSERT(pthread_mutex_destroy(&q->mtx) == 0);
    free(q);
}

void el_msg_init(struct el_msg *m, void (*on_message)(struct el_msg *))
{
    el_list_init(&m->link);
    m->is_queued = false;
    m->on_message = on_message;
}

static void wake(struct el_msgq *q)
{
    uint64_t one = 1;

    /* A full counter (EAGAIN) wakes just as well. */
    (void)!write(q->fd, &one, sizeof(one));
    atomic_fetch_sub_explicit(&q->waking, 1, memory_order_release);
}

void el_msgq_post(struct el_msgq *q, struct el_msg *m)
{
    bool was_empty = false;

    EL_ASSERT(pthread_mutex_lock(&q->mtx) == 0);
    if (!m->is_queued) {
        m->is_queued = true;
        was_empty = el_list_empty(&q->waiting);
        el_list_append(&q->waiting, &m->link);
    }
    if (was_empty)
        atomic_fetch_add_explicit(&q->waking, 1, memory_order_relaxed);
    EL_ASSERT(pthread_mutex_unlock(&q->mtx) == 0);
    if (was_empty)
        wake(q);
}

void el_msgq_cancel(struct el_msgq *q, struct el_msg *m)
{
    EL_ASSERT(pthread_mutex_lock(&q->mtx) == 0);
    if (m->is_queued) {
        m->is_queued = false;
        el_list_remove(&m->link);
    }
    EL_ASSERT(pthread_mutex_unlock(&q->mtx) == 0);
}

int el_msgq_fd(const struct el_msgq *q)
{
    return q->fd;
}

static struct el_msg *next_of_batch(struct el_msgq *q)
{
    struct el_list *l;
    struct el_msg *m = NULL;

    EL_ASSERT(pthread_mutex_lock(&q->mtx) == 0);
    l = el_list_pop(&q->batch);
    if (l != NULL) {
        m = EL_ENTRY(l, struct el_msg, link);
        m->is_queued = false;
    }
    EL_ASSERT(pthread_mutex_unlock(&q->mtx) == 0);
    return m;
}

void el_msgq_dispatch(struct el_msgq *q)
{
    struct el_msg *m;
    uint64_t count;

    (void)!read(q->fd, &count, sizeof(count));
    EL_ASSERT(pthread_mutex_lock(&q->mtx) == 0);
    EL_ASSERT(el_list_empty(&q->batch));
    el_list_move(&q->batch, &q->waiting);
    EL_ASSERT(pthread_mutex_unlock(&q->mtx) == 0);
    while ((m = next_of_batch(q)) != NULL)
        m->on_message(m);
}
