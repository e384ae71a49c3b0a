/* SPDX-License-Identifier: MIT */
/* worker: see worker.h. Once an errand's message is posted nothing of it is touched: its owner may
 * have freed it. */
#include "proxy/worker.h"

struct proxy_worker {
    pthread_mutex_t mtx;
    pthread_cond_t given;
    struct el_list waiting; /* of proxy_errand.link; these three are under mtx */
    unsigned n_waiting;
    bool is_stopping;
    unsigned max_waiting; /* immutable */
    bool has_tid;         /* the main thread's */
    pthread_t tid;
    char name[16];
};

/* The next one, and whether it is to be done; NULL when there is none and will be none. */
static struct proxy_errand *take(struct proxy_worker *w, bool *ret_is_stopping)
{
    struct el_list *l;

    EL_ASSERT(pthread_mutex_lock(&w->mtx) == 0);
    while ((l = el_list_pop(&w->waiting)) == NULL && !w->is_stopping)
        EL_ASSERT(pthread_cond_wait(&w->given, &w->mtx) == 0);
    w->n_waiting -= l != NULL;
    *ret_is_stopping = w->is_stopping;
    EL_ASSERT(pthread_mutex_unlock(&w->mtx) == 0);
    return l != NULL ? EL_ENTRY(l, struct proxy_errand, link) : NULL;
}

static void *run(void *arg)
{
    struct proxy_worker *w = arg;
    struct proxy_errand *e;
    bool is_stopping;

    (void)pthread_setname_np(pthread_self(), w->name); /* cosmetic */
    while ((e = take(w, &is_stopping)) != NULL) {
        if (!is_stopping)
            e->work(e);
        e->was_done = !is_stopping;
        el_msgq_post(e->queue, &e->msg);
    }
    return NULL;
}

enum el_err proxy_worker_start(const char *name, unsigned max_waiting,
                               struct proxy_worker **ret_worker, struct el_error *err)
{
    struct proxy_worker *w = el_new(struct proxy_worker);
    int sys;

    EL_ASSERT(pthread_mutex_init(&w->mtx, NULL) == 0);
    EL_ASSERT(pthread_cond_init(&w->given, NULL) == 0);
    el_list_init(&w->waiting);
    w->max_waiting = max_waiting;
    (void)snprintf(w->name, sizeof(w->name), "%s", name);
    sys = pthread_create(&w->tid, NULL, run, w);
    if (sys != 0) {
        proxy_worker_free(w);
        return el_fail(err, EL_ESYS, sys, "start the thread %s", name);
    }
    w->has_tid = true;
    *ret_worker = w;
    return EL_OK;
}

static void on_message(struct el_msg *m)
{
    struct proxy_errand *e = EL_ENTRY(m, struct proxy_errand, msg);

    e->on_done(e);
}

bool proxy_worker_give(struct proxy_worker *w, struct proxy_errand *e)
{
    bool takes;

    el_list_init(&e->link);
    el_msg_init(&e->msg, on_message);
    e->was_done = false;
    EL_ASSERT(pthread_mutex_lock(&w->mtx) == 0);
    takes = !w->is_stopping && w->n_waiting < w->max_waiting;
    if (takes) {
        el_list_append(&w->waiting, &e->link);
        w->n_waiting++;
        EL_ASSERT(pthread_cond_signal(&w->given) == 0);
    }
    EL_ASSERT(pthread_mutex_unlock(&w->mtx) == 0);
    return takes;
}

void proxy_worker_stop(struct proxy_worker *w)
{
    if (w == NULL || !w->has_tid)
        return;
    EL_ASSERT(pthread_mutex_lock(&w->mtx) == 0);
    w->is_stopping = true;
    EL_ASSERT(pthread_cond_signal(&w->given) == 0);
    EL_ASSERT(pthread_mutex_unlock(&w->mtx) == 0);
    (void)pthread_join(w->tid, NULL); /* it exists and is joined nowhere else */
    w->has_tid = false;
}

void proxy_worker_free(struct proxy_worker *w)
{
    if (w == NULL)
        return;
    proxy_worker_stop(w);
    EL_ASSERT(pthread_cond_destroy(&w->given) == 0);
    EL_ASSERT(pthread_mutex_destroy(&w->mtx) == 0);
    free(w);
}
