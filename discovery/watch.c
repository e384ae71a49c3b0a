/* SPDX-License-Identifier: MIT */
/* watch: see watch.h. */
#include "discovery/watch.h"

void disc_watch_init(struct disc_watch *w, void (*look)(struct disc_watch *w, int64_t wall_ms),
                     void (*free_it)(struct disc_watch *w))
{
    w->look = look;
    w->free = free_it;
    w->refs = 1;
    w->is_asked = true;
    (void)pthread_mutex_init(&w->mtx, NULL);
    (void)pthread_cond_init(&w->asked, NULL);
}

void disc_watch_lock(struct disc_watch *w)
{
    (void)pthread_mutex_lock(&w->mtx);
}

void disc_watch_unlock(struct disc_watch *w)
{
    (void)pthread_mutex_unlock(&w->mtx);
}

static void unref(struct disc_watch *w)
{
    bool is_last;

    disc_watch_lock(w);
    is_last = --w->refs == 0;
    disc_watch_unlock(w);
    if (!is_last)
        return;
    (void)pthread_cond_destroy(&w->asked);
    (void)pthread_mutex_destroy(&w->mtx);
    w->free(w);
}

/* False: it is to end. */
static bool wait_for_question(struct disc_watch *w, int64_t *ret_wall_ms)
{
    bool is_stopped;

    disc_watch_lock(w);
    while (!w->is_asked && !w->is_stopped)
        (void)pthread_cond_wait(&w->asked, &w->mtx);
    w->is_asked = false;
    *ret_wall_ms = w->wall_ms;
    is_stopped = w->is_stopped;
    disc_watch_unlock(w);
    return !is_stopped;
}

static void *run(void *arg)
{
    struct disc_watch *w = arg;
    int64_t wall_ms;

    while (wait_for_question(w, &wall_ms))
        w->look(w, wall_ms);
    unref(w);
    return NULL;
}

enum el_err disc_watch_start(struct disc_watch *w, const char *name, struct el_error *err)
{
    pthread_t thread;
    int sys;

    w->refs++; /* nobody else has it yet */
    sys = pthread_create(&thread, NULL, run, w);
    if (sys != 0) {
        w->refs--;
        return el_fail(err, EL_ESYS, sys, "a thread for %s", name);
    }
    (void)pthread_setname_np(thread, name);
    (void)pthread_detach(thread);
    return EL_OK;
}

void disc_watch_ask_locked(struct disc_watch *w, int64_t wall_ms)
{
    w->wall_ms = wall_ms;
    w->is_asked = true;
    (void)pthread_cond_signal(&w->asked);
}

enum el_err disc_watch_error_locked(const struct disc_watch *w, struct el_error *err)
{
    if (w->rc != EL_OK && err != NULL)
        *err = w->err;
    return w->rc;
}

void disc_watch_stop(struct disc_watch *w)
{
    disc_watch_lock(w);
    w->is_stopped = true;
    (void)pthread_cond_signal(&w->asked);
    disc_watch_unlock(w);
    unref(w);
}
