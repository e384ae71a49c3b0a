/* SPDX-License-Identifier: MIT */
/*
 * watch: looking for addresses where that may block for long (a resolver, a file on a network). A
 * thread of its own looks; it outlives its provider when it is in the middle of that. It looks once
 * at the start, and then whenever it is asked to: a poll asks, and a later one finds what was seen.
 * So there is no clock in it.
 *
 * Thread: `mtx` guards what both see.
 */
#pragma once

#include <pthread.h>

#include "discovery/discovery.h"

/* Embedded in what is looked with. */
struct disc_watch {
    /* immutable */
    void (*look)(struct disc_watch *w, int64_t wall_ms); /* on the thread; 0: nobody has polled */
    void (*free)(struct disc_watch *w);                  /* by the last who lets go of it */
    pthread_mutex_t mtx;
    pthread_cond_t asked;
    /* under mtx */
    enum el_err rc; /* of the last look */
    struct el_error err;
    int64_t wall_ms; /* when it was asked */
    unsigned refs;   /* the provider and the thread */
    bool is_asked, is_stopped;
};

/* One reference, the caller's. */
void disc_watch_init(struct disc_watch *w, void (*look)(struct disc_watch *w, int64_t wall_ms),
                     void (*free_it)(struct disc_watch *w));
enum el_err disc_watch_start(struct disc_watch *w, const char *name, struct el_error *err);
void disc_watch_lock(struct disc_watch *w);
void disc_watch_unlock(struct disc_watch *w);
void disc_watch_ask_locked(struct disc_watch *w, int64_t wall_ms);
/* What the last look came to. */
enum el_err disc_watch_error_locked(const struct disc_watch *w, struct el_error *err);
/* Gives the caller's reference back; there is no more look than the one that may be going on. */
void disc_watch_stop(struct disc_watch *w);
