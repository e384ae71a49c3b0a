/* SPDX-License-Identifier: MIT */
/* store: what stores have in common (store.h, store_in.h). */
#include "controlplane/store.h"

#include "common/clock.h"
#include "controlplane/store_in.h"

uint64_t cp_mono_ms(void)
{
    return el_clock_mono_ms(el_clock_system());
}

void cp_cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;

    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(c, &attr);
    (void)pthread_condattr_destroy(&attr);
}

void cp_cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, uint64_t until_ms)
{
    struct timespec ts = { .tv_sec = (time_t)(until_ms / 1000),
                           .tv_nsec = (long)(until_ms % 1000) * 1000000 };

    (void)pthread_cond_timedwait(c, m, &ts);
}

enum el_err cp_thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *),
                            void *arg, struct el_error *err)
{
    int sys = pthread_create(ret_thread, NULL, run, arg);

    if (sys != 0)
        return el_fail(err, EL_ESYS, sys, "start the thread %s", name);
    (void)pthread_setname_np(*ret_thread, name);
    return EL_OK;
}

void cp_store_init(struct cp_store *st, const struct cp_store_kind *kind,
                   const struct cp_store_events *events, const char *name)
{
    st->kind = kind;
    st->events = *events;
    st->tail = &st->first;
    st->status.kind = name;
    (void)pthread_mutex_init(&st->mtx, NULL);
    cp_cond_init(&st->changed);
}

void cp_store_deinit(struct cp_store *st)
{
    cp_record_free(st->first);
    (void)pthread_cond_destroy(&st->changed);
    (void)pthread_mutex_destroy(&st->mtx);
}

uint64_t cp_store_put(struct cp_store *st, struct cp_record *records)
{
    uint64_t position;

    (void)pthread_mutex_lock(&st->mtx);
    if (records != NULL) {
        *st->tail = records;
        for (; records != NULL; records = records->next) {
            st->tail = &records->next;
            st->put++;
            st->put_bytes += (uint64_t)records->key_n + records->value_n;
            if (st->kind->noted != NULL)
                st->kind->noted(st, records);
        }
        (void)pthread_cond_broadcast(&st->changed);
    }
    position = st->put;
    (void)pthread_mutex_unlock(&st->mtx);
    return position;
}

void cp_store_wait(struct cp_store *st, uint32_t wait_ms)
{
    uint64_t until_ms = cp_mono_ms() + wait_ms;

    (void)pthread_mutex_lock(&st->mtx);
    while (st->first == NULL && !st->is_closing && cp_mono_ms() < until_ms)
        cp_cond_wait_until(&st->changed, &st->mtx, until_ms);
    (void)pthread_mutex_unlock(&st->mtx);
}

struct cp_record *cp_store_take(struct cp_store *st, uint64_t *ret_position, bool *ret_is_over)
{
    struct cp_record *all;

    (void)pthread_mutex_lock(&st->mtx);
    all = st->first;
    st->first = NULL;
    st->tail = &st->first;
    *ret_position = st->put;
    *ret_is_over = all == NULL && st->is_closing;
    (void)pthread_mutex_unlock(&st->mtx);
    return all;
}

void cp_store_written(struct cp_store *st, uint64_t position, uint64_t records, uint64_t bytes)
{
    (void)pthread_mutex_lock(&st->mtx);
    st->durable = position;
    st->status.written += records;
    st->status.bytes += bytes;
    st->status.commits++;
    (void)pthread_mutex_unlock(&st->mtx);
    st->events.on_durable(st->events.arg, position);
}

void cp_store_trouble(struct cp_store *st, const struct el_error *err)
{
    bool is_new;

    (void)pthread_mutex_lock(&st->mtx);
    is_new = st->is_in_trouble != (err != NULL);
    st->is_in_trouble = err != NULL;
    (void)pthread_mutex_unlock(&st->mtx);
    if (is_new)
        st->events.on_trouble(st->events.arg, err);
}

bool cp_store_is_closing(struct cp_store *st)
{
    bool is_closing;

    (void)pthread_mutex_lock(&st->mtx);
    is_closing = st->is_closing;
    (void)pthread_mutex_unlock(&st->mtx);
    return is_closing;
}

bool cp_store_pause(struct cp_store *st, uint32_t ms)
{
    uint64_t until_ms = cp_mono_ms() + ms;
    bool goes_on;

    (void)pthread_mutex_lock(&st->mtx);
    while (cp_mono_ms() < until_ms && !(st->is_closing && cp_mono_ms() >= st->close_by_ms))
        cp_cond_wait_until(&st->changed, &st->mtx,
                           st->is_closing ? el_min_u64(until_ms, st->close_by_ms) : until_ms);
    goes_on = !st->is_closing || cp_mono_ms() < st->close_by_ms;
    (void)pthread_mutex_unlock(&st->mtx);
    return goes_on;
}

void cp_store_close(struct cp_store *st, uint32_t deadline_ms)
{
    if (st == NULL)
        return;
    (void)pthread_mutex_lock(&st->mtx);
    st->is_closing = true;
    st->close_by_ms = cp_mono_ms() + deadline_ms;
    (void)pthread_cond_broadcast(&st->changed);
    (void)pthread_mutex_unlock(&st->mtx);
    st->kind->free(st);
}

bool cp_store_has_duty(struct cp_store *st)
{
    return st->kind->has_duty(st);
}

enum el_err cp_store_backup(struct cp_store *st, const char *path, struct el_error *err)
{
    if (st->kind->backup == NULL)
        return el_fail(err, EL_EUNSUPPORTED, 0, "a backup of a store that is shared is its own");
    return st->kind->backup(st, path, err);
}

void cp_store_status(struct cp_store *st, struct cp_store_status *ret_status)
{
    (void)pthread_mutex_lock(&st->mtx);
    *ret_status = st->status;
    ret_status->is_up = !st->is_in_trouble;
    ret_status->pending = st->put - st->durable;
    ret_status->pending_bytes = st->put_bytes - st->status.bytes;
    (void)pthread_mutex_unlock(&st->mtx);
}
