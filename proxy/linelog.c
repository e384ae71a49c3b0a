/* SPDX-License-Identifier: MIT */
/* linelog: see linelog.h. */
#include "proxy/linelog.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"

#define FLUSH_BYTES  ((size_t)(64 * EL_KIB)) /* wakes the writer before its second is over */
#define BUFFER_BYTES ((size_t)(1 * EL_MIB))  /* beyond it lines of that thread are lost */

/* What one proxy thread has written and the writer has not taken yet. */
struct slot {
    pthread_mutex_t mtx; /* a leaf, held for a copy or a swap */
    struct el_buf lines;
};

struct proxy_linelog {
    /* Immutable. */
    char *path;                     /* owned; "-" for standard output */
    const char *name, *thread_name; /* static */
    unsigned slot_count;
    struct slot *slots; /* owned */
    struct el_counter *lost;
    pthread_t thread;

    pthread_mutex_t mtx; /* a leaf */
    pthread_cond_t wake;
    bool is_urgent, is_closing; /* under mtx */

    pthread_mutex_t file_mtx; /* held across write(2); taken by no event loop */
    int fd;                   /* under file_mtx */
};

/* ---- the event loops' side ---- */

static void wake_writer(struct proxy_linelog *log)
{
    EL_ASSERT(pthread_mutex_lock(&log->mtx) == 0);
    log->is_urgent = true;
    (void)pthread_cond_signal(&log->wake);
    EL_ASSERT(pthread_mutex_unlock(&log->mtx) == 0);
}

void proxy_linelog_write(struct proxy_linelog *log, unsigned thread_index, proxy_line_fn *put,
                         const void *entry)
{
    struct slot *slot;
    size_t before, after;

    if (log == NULL)
        return;
    EL_ASSERT(thread_index < log->slot_count);
    slot = &log->slots[thread_index];
    EL_ASSERT(pthread_mutex_lock(&slot->mtx) == 0);
    before = slot->lines.n;
    if (before < BUFFER_BYTES)
        put(&slot->lines, entry);
    after = slot->lines.n;
    EL_ASSERT(pthread_mutex_unlock(&slot->mtx) == 0);

    if (after == before)
        el_counter_add(log->lost, 1);
    if (before < FLUSH_BYTES && after >= FLUSH_BYTES)
        wake_writer(log);
}

/* ---- the writer ---- */

/* False when the file took less than all. */
static bool write_all(int fd, struct el_str s)
{
    while (s.n > 0) {
        ssize_t n = write(fd, s.p, s.n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        s = el_str_from(s, (size_t)n);
    }
    return true;
}

static uint64_t count_lines(struct el_str s)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == '\n';
    return n;
}

static void flush_slot(struct proxy_linelog *log, struct slot *slot, struct el_buf *spare)
{
    struct el_buf taken;

    EL_ASSERT(pthread_mutex_lock(&slot->mtx) == 0);
    taken = slot->lines;
    slot->lines = *spare;
    EL_ASSERT(pthread_mutex_unlock(&slot->mtx) == 0);

    EL_ASSERT(pthread_mutex_lock(&log->file_mtx) == 0);
    if (!write_all(log->fd, el_buf_str(&taken)))
        el_counter_add(log->lost, count_lines(el_buf_str(&taken)));
    EL_ASSERT(pthread_mutex_unlock(&log->file_mtx) == 0);
    el_buf_clear(&taken);
    *spare = taken;
}

/* Until a buffer is full, the log closes, or a second has gone by; true when it closes. */
static bool wait_for_work(struct proxy_linelog *log)
{
    struct timespec deadline;
    bool is_closing;

    EL_ASSERT(clock_gettime(CLOCK_MONOTONIC, &deadline) == 0);
    deadline.tv_sec++;
    EL_ASSERT(pthread_mutex_lock(&log->mtx) == 0);
    while (!log->is_urgent && !log->is_closing) {
        if (pthread_cond_timedwait(&log->wake, &log->mtx, &deadline) == ETIMEDOUT)
            break;
    }
    log->is_urgent = false;
    is_closing = log->is_closing;
    EL_ASSERT(pthread_mutex_unlock(&log->mtx) == 0);
    return is_closing;
}

static void *run(void *arg)
{
    struct proxy_linelog *log = (struct proxy_linelog *)arg;
    struct el_buf spare = { 0 };
    bool is_closing;

    (void)pthread_setname_np(pthread_self(), log->thread_name); /* cosmetic */
    do {
        is_closing = wait_for_work(log);
        for (unsigned i = 0; i < log->slot_count; i++)
            flush_slot(log, &log->slots[i], &spare);
    } while (!is_closing);
    el_buf_deinit(&spare);
    return NULL;
}

/* ---- open, reopen, close ---- */

static enum el_err open_file(const struct proxy_linelog *log, int *ret_fd, struct el_error *err)
{
    const char *path = log->path;
    int fd = strcmp(path, "-") == 0
                 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                 : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

    if (fd < 0)
        return el_fail(err, EL_ESYS, errno, "open %s %s", log->name, path);
    *ret_fd = fd;
    return EL_OK;
}

static void init_locks(struct proxy_linelog *log)
{
    pthread_condattr_t attr;

    EL_ASSERT(pthread_condattr_init(&attr) == 0);
    EL_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    EL_ASSERT(pthread_cond_init(&log->wake, &attr) == 0);
    (void)pthread_condattr_destroy(&attr);
    EL_ASSERT(pthread_mutex_init(&log->mtx, NULL) == 0);
    EL_ASSERT(pthread_mutex_init(&log->file_mtx, NULL) == 0);
    for (unsigned i = 0; i < log->slot_count; i++)
        EL_ASSERT(pthread_mutex_init(&log->slots[i].mtx, NULL) == 0);
}

static void free_log(struct proxy_linelog *log)
{
    for (unsigned i = 0; i < log->slot_count; i++) {
        el_buf_deinit(&log->slots[i].lines);
        (void)pthread_mutex_destroy(&log->slots[i].mtx);
    }
    (void)pthread_cond_destroy(&log->wake);
    (void)pthread_mutex_destroy(&log->mtx);
    (void)pthread_mutex_destroy(&log->file_mtx);
    if (log->fd >= 0)
        (void)close(log->fd);
    free(log->slots);
    free(log->path);
    free(log);
}

enum el_err proxy_linelog_open(const struct proxy_linelog_conf *conf,
                               struct proxy_linelog **ret_log, struct el_error *err)
{
    struct proxy_linelog *log = el_new(struct proxy_linelog);
    enum el_err rc;
    int sys;

    log->fd = -1;
    log->path = el_strndup(conf->path, strlen(conf->path));
    log->name = conf->name;
    log->thread_name = conf->thread_name;
    log->slot_count = conf->threads;
    log->slots = (struct slot *)el_alloc(conf->threads * sizeof(*log->slots));
    log->lost = conf->lost;
    init_locks(log);
    rc = open_file(log, &log->fd, err);
    if (rc != EL_OK)
        goto fail;
    sys = pthread_create(&log->thread, NULL, run, log);
    if (sys != 0) {
        rc = el_fail(err, EL_ESYS, sys, "cannot start the thread of the %s", log->name);
        goto fail;
    }
    *ret_log = log;
    return EL_OK;
fail:
    free_log(log);
    return rc;
}

enum el_err proxy_linelog_reopen(struct proxy_linelog *log, struct el_error *err)
{
    enum el_err rc;
    int fd = -1, old;

    if (log == NULL)
        return EL_OK;
    rc = open_file(log, &fd, err);
    if (rc != EL_OK)
        return rc;
    EL_ASSERT(pthread_mutex_lock(&log->file_mtx) == 0);
    old = log->fd;
    log->fd = fd;
    EL_ASSERT(pthread_mutex_unlock(&log->file_mtx) == 0);
    (void)close(old);
    return EL_OK;
}

void proxy_linelog_close(struct proxy_linelog *log)
{
    if (log == NULL)
        return;
    EL_ASSERT(pthread_mutex_lock(&log->mtx) == 0);
    log->is_closing = true;
    (void)pthread_cond_signal(&log->wake);
    EL_ASSERT(pthread_mutex_unlock(&log->mtx) == 0);
    EL_ASSERT(pthread_join(log->thread, NULL) == 0);
    free_log(log);
}
