/* SPDX-License-Identifier: MIT */
/*
 * store_in: what the stores have in common, private to them: records that wait to be written, in
 * the order in which they were put, and a thread that writes them. A store embeds cp_store first.
 */
#pragma once

#include <pthread.h>

#include "controlplane/store.h"

struct cp_store_kind {
    /* Ends the writer and whatever else runs, and frees it. The queue is closed already. */
    void (*free)(struct cp_store *st);
    bool (*has_duty)(struct cp_store *st);
    enum el_err (*backup)(struct cp_store *st, const char *path,
                          struct el_error *err); /* or NULL */
    /* A record is being put; mtx is held. Or NULL. */
    void (*noted)(struct cp_store *st, const struct cp_record *r);
};

struct cp_store {
    const struct cp_store_kind *kind;
    struct cp_store_events events;

    pthread_mutex_t mtx; /* leaf; all below */
    pthread_cond_t changed;
    struct cp_record *first, **tail; /* put, and not taken by the writer */
    uint64_t put, durable;           /* positions */
    uint64_t put_bytes;
    bool is_closing;
    uint64_t close_by_ms; /* mono */
    bool is_in_trouble;
    struct cp_store_status status; /* figures; pending is computed */
};

void cp_store_init(struct cp_store *st, const struct cp_store_kind *kind,
                   const struct cp_store_events *events, const char *name);
void cp_store_deinit(struct cp_store *st);

/* Until there are records, the store closes, or wait_ms have passed. */
void cp_store_wait(struct cp_store *st, uint32_t wait_ms);
/*
 * For the writer: all there are, now the writer's, and the position of the last. NULL: there are
 * none; *ret_is_over then says that none will come.
 */
struct cp_record *cp_store_take(struct cp_store *st, uint64_t *ret_position, bool *ret_is_over);
/* They are durable; `bytes` of keys and values. */
void cp_store_written(struct cp_store *st, uint64_t position, uint64_t records, uint64_t bytes);
/* Tells of a change only. NULL: it is well. */
void cp_store_trouble(struct cp_store *st, const struct el_error *err);
bool cp_store_is_closing(struct cp_store *st);
/* A pause before the next attempt; false: the store closes and its time is over. */
bool cp_store_pause(struct cp_store *st, uint32_t ms);

uint64_t cp_mono_ms(void);
/* A thread of that name. */
enum el_err cp_thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *),
                            void *arg, struct el_error *err);
/* Waits on a condition made with cp_cond_init() until mono `until_ms` at most. */
void cp_cond_init(pthread_cond_t *c);
void cp_cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, uint64_t until_ms);
