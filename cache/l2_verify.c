/* SPDX-License-Identifier: MIT */
/* l2_verify: a queue and the threads that take from it. Once a job's message is posted nothing of
 * the job is touched: its owner may have freed it. */
#include "cache/l2_verify.h"

#define MAX_THREADS 16

struct l2_verifiers {
    pthread_mutex_t mtx;
    pthread_cond_t given;
    struct el_list jobs; /* of l2_verify.link, under mtx */
    bool is_stopping;    /* the same */
    pthread_t threads[MAX_THREADS];
    unsigned n;
};

/* NULL: there is nothing left to do. */
static struct l2_verify *take(struct l2_verifiers *v)
{
    struct el_list *l;

    EL_ASSERT(pthread_mutex_lock(&v->mtx) == 0);
    while ((l = el_list_pop(&v->jobs)) == NULL && !v->is_stopping)
        EL_ASSERT(pthread_cond_wait(&v->given, &v->mtx) == 0);
    EL_ASSERT(pthread_mutex_unlock(&v->mtx) == 0);
    return l != NULL ? EL_ENTRY(l, struct l2_verify, link) : NULL;
}

static void *run(void *arg)
{
    struct l2_verifiers *v = arg;
    struct l2_verify *job;

    (void)pthread_setname_np(pthread_self(), "verify"); /* cosmetic */
    while ((job = take(v)) != NULL) {
        el_sha256_of(job->mem, job->bytes, &job->digest);
        el_msgq_post(job->queue, &job->done);
    }
    return NULL;
}

enum el_err l2_verifiers_new(unsigned threads, struct l2_verifiers **ret, struct el_error *err)
{
    struct l2_verifiers *v = el_new(struct l2_verifiers);

    EL_ASSERT(threads >= 1 && threads <= MAX_THREADS);
    EL_ASSERT(pthread_mutex_init(&v->mtx, NULL) == 0);
    EL_ASSERT(pthread_cond_init(&v->given, NULL) == 0);
    el_list_init(&v->jobs);
    for (; v->n < threads; v->n++) {
        int sys = pthread_create(&v->threads[v->n], NULL, run, v);

        if (sys != 0) {
            l2_verifiers_free(v);
            return el_fail(err, EL_ESYS, sys, "a thread that verifies");
        }
    }
    *ret = v;
    return EL_OK;
}

void l2_verifiers_free(struct l2_verifiers *v)
{
    if (v == NULL)
        return;
    EL_ASSERT(pthread_mutex_lock(&v->mtx) == 0);
    v->is_stopping = true;
    EL_ASSERT(pthread_cond_broadcast(&v->given) == 0);
    EL_ASSERT(pthread_mutex_unlock(&v->mtx) == 0);
    while (v->n > 0)
        (void)pthread_join(v->threads[--v->n], NULL); /* it exists and is joined nowhere else */
    EL_ASSERT(pthread_cond_destroy(&v->given) == 0);
    EL_ASSERT(pthread_mutex_destroy(&v->mtx) == 0);
    free(v);
}

void l2_verify_give(struct l2_verifiers *v, struct l2_verify *job)
{
    EL_ASSERT(pthread_mutex_lock(&v->mtx) == 0);
    el_list_append(&v->jobs, &job->link);
    EL_ASSERT(pthread_mutex_unlock(&v->mtx) == 0);
    EL_ASSERT(pthread_cond_signal(&v->given) == 0);
}
