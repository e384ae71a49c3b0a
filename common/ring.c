/* SPDX-License-Identifier: MIT */
/*
 * ring: see the header. One thread, one loop:
 *
 *   submit() -> waiting -> start() -> attempt() -+-> push() -> io_uring ----> collect() -+
 *                             ^                  |                ^                      |
 *                             |                  +-> ring_threads +-> on_worked() -------+
 *                             |                                                          v
 *                             +----------- on_done() <-------------------------- end_attempt()
 *
 * A turn starts what was submitted, as far as the depth goes; waits, and in the same system call
 * gives the kernel all that is new; then ends attempts, dispatches messages and runs timers. So no
 * on_done() ever comes from inside submit().
 *
 * The queue's eventfd is watched through io_uring as well, or else by poll(). Where a test has a
 * fault hook, each attempt first goes to ring_threads to ask it: a hook that sleeps must not hold
 * up this thread, whose timers are what notices a slow disk.
 *
 * INVARIANT: each running operation has at most one entry in the submission queue, and the watch of
 * the eventfd one, so a queue of depth + 1 entries always has room.
 */
#include "common/ring.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <liburing.h>

#include "common/clock.h"
#include "common/ring_threads.h"

#define NAME_BYTES  16 /* of a thread, with its NUL: the kernel's limit */
#define MAX_WAIT_MS 60000

struct el_ring {
    /* immutable */
    enum el_ring_backend backend;
    struct el_error refusal;
    char thread_name[NAME_BYTES];
    unsigned depth;
    struct el_msgq *queue;
    struct el_ring_threads *threads; /* NULL: io_uring, and no fault hook */
    pthread_t thread;
    bool has_thread;

    /* the thread's */
    struct io_uring uring;
    bool has_uring;
    bool is_watching; /* io_uring has the queue's eventfd */
    struct el_msg stop;
    bool is_stopping;
    struct el_list waiting; /* of el_ring_op.link: submitted and not started */
    unsigned running;       /* started and not done */
    struct el_timers timers;
};

static uint64_t now_ms(void)
{
    return el_clock_mono_ms(el_clock_system());
}

/* ---- operations ---- */

/*
 * The operation's next bytes, at most `limit` of them unless that is 0. They go to the kernel with
 * all others of the turn.
 */
static void push(struct el_ring *r, struct el_ring_op *op, unsigned limit)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);
    unsigned left = op->bytes - op->moved;
    char *mem = (char *)op->mem + op->moved;
    uint64_t offset = op->offset + op->moved;

    EL_ASSERT(sqe != NULL);
    if (limit > 0 && limit < left)
        left = limit;
    switch (op->what) {
    case EL_RING_READ:
        io_uring_prep_read(sqe, op->fd, mem, left, offset);
        break;
    case EL_RING_WRITE:
        io_uring_prep_write(sqe, op->fd, mem, left, offset);
        break;
    case EL_RING_SYNC:
        io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
        break;
    }
    /* Some file systems (FUSE) wait within the submission, which would hold up every deadline too.
     */
    io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
    io_uring_sqe_set_data(sqe, op);
}

static void attempt(struct el_ring *r, struct el_ring_op *op)
{
    if (r->threads != NULL)
        el_ring_threads_give(r->threads, op);
    else
        push(r, op, 0);
}

/* Whether an attempt that came to n, bytes or -errno, was the last; then the result stands. */
static bool is_over(struct el_ring_op *op, int n)
{
    if (n == -EINTR || n == -EAGAIN)
        return false;
    op->result = n < 0 ? n : 0;
    if (n < 0 || op->what == EL_RING_SYNC)
        return true;
    op->moved += (uint32_t)n;
    if (op->moved == op->bytes)
        return true;
    if (n == 0) /* UNTESTED for writes: the files at hand rather fail */
        op->result = op->what == EL_RING_READ ? -ENODATA : -ENOSPC;
    return n == 0;
}

static void end_attempt(struct el_ring *r, struct el_ring_op *op, int n)
{
    if (!is_over(op, n)) {
        attempt(r, op);
        return;
    }
    r->running--;
    op->on_done(op);
}

static void on_worked(void *arg, struct el_ring_op *op, int n)
{
    struct el_ring *r = arg;

    if (r->has_uring && n >= 0) /* the fault hook's answer */
        push(r, op, (unsigned)n);
    else
        end_attempt(r, op, n);
}

static void start(struct el_ring *r)
{
    while (r->running < r->depth && !el_list_empty(&r->waiting)) {
        r->running++;
        attempt(r, EL_ENTRY(el_list_pop(&r->waiting), struct el_ring_op, link));
    }
}

/* ---- the loop ---- */

static int wait_ms(const struct el_ring *r)
{
    uint64_t due = el_timers_due_ms(&r->timers), now = now_ms();

    return due <= now ? 0 : (int)el_min_u64(due - now, MAX_WAIT_MS);
}

/* Once per wake-up: a watch that stays would also have to be renewed now and then. */
static void watch_queue(struct el_ring *r)
{
    struct io_uring_sqe *sqe;

    if (r->is_watching)
        return;
    sqe = io_uring_get_sqe(&r->uring);
    EL_ASSERT(sqe != NULL);
    io_uring_prep_poll_add(sqe, el_msgq_fd(r->queue), POLLIN);
    io_uring_sqe_set_data(sqe, NULL);
    r->is_watching = true;
}

/* Whether there are messages. */
static bool collect(struct el_ring *r)
{
    struct io_uring_cqe *cqe;
    bool has_messages = false;

    while (io_uring_peek_cqe(&r->uring, &cqe) == 0) {
        struct el_ring_op *op = io_uring_cqe_get_data(cqe);
        int n = cqe->res;

        io_uring_cqe_seen(&r->uring, cqe);
        if (op != NULL) {
            end_attempt(r, op, n);
        } else {
            r->is_watching = false;
            has_messages = true;
        }
    }
    return has_messages;
}

static bool wait_uring(struct el_ring *r)
{
    int ms = wait_ms(r), rc;
    struct __kernel_timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
    struct io_uring_cqe *cqe;

    watch_queue(r);
    rc = io_uring_submit_and_wait_timeout(&r->uring, &cqe, 1, &ts, NULL);
    /* The last three: the kernel is short of something; what it did not take it gets next turn. */
    EL_ASSERT(rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY ||
              rc == -ENOMEM);
    return collect(r);
}

static bool wait_queue(struct el_ring *r, int timeout_ms)
{
    struct pollfd p = { .fd = el_msgq_fd(r->queue), .events = POLLIN };
    int n = poll(&p, 1, timeout_ms);

    EL_ASSERT(n >= 0 || errno == EINTR);
    return n > 0;
}

/* What is queued runs before the end, and what that starts is waited for. */
static bool goes_on(struct el_ring *r)
{
    return !r->is_stopping || r->running > 0 || !el_list_empty(&r->waiting) || wait_queue(r, 0);
}

static void *run(void *arg)
{
    struct el_ring *r = arg;

    (void)pthread_setname_np(pthread_self(), r->thread_name); /* cosmetic */
    while (goes_on(r)) {
        start(r);
        if (r->has_uring ? wait_uring(r) : wait_queue(r, wait_ms(r)))
            el_msgq_dispatch(r->queue);
        el_timers_run(&r->timers, now_ms());
    }
    return NULL;
}

static void on_stop(struct el_msg *m)
{
    EL_ENTRY(m, struct el_ring, stop)->is_stopping = true;
}

/* ---- which of the two ---- */

/* Reads the file's first byte: 0 or -errno. */
static int read_byte(struct io_uring *uring, int fd)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(uring);
    struct io_uring_cqe *cqe;
    char byte;
    int n;

    EL_ASSERT(sqe != NULL);
    io_uring_prep_read(sqe, fd, &byte, 1, 0);
    n = io_uring_submit_and_wait(uring, 1);
    if (n < 0)
        return n;
    n = io_uring_wait_cqe(uring, &cqe);
    if (n < 0)
        return n;
    n = cqe->res;
    io_uring_cqe_seen(uring, cqe);
    if (n == 0)
        return -EIO;
    return n < 0 ? n : 0;
}

/* A profile may allow to make a ring and not to use it, and an old kernel lacks operations. */
static int probe(struct io_uring *uring)
{
    int fd, n;

    /* UNTESTED: to wait with a timeout needs Linux 5.11. */
    if ((uring->features & IORING_FEAT_EXT_ARG) == 0)
        return -ENOSYS;
    fd = memfd_create("ring-probe", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    n = pwrite(fd, "x", 1, 0) == 1 ? read_byte(uring, fd) : -errno;
    (void)close(fd);
    return n;
}

static enum el_err open_uring(struct el_ring *r, struct el_error *err)
{
    int n = io_uring_queue_init(r->depth + 1, &r->uring, 0);

    if (n < 0)
        return el_fail(err, EL_ESYS, -n, "io_uring cannot be set up");
    n = probe(&r->uring);
    if (n < 0) {
        io_uring_queue_exit(&r->uring);
        return el_fail(err, EL_ESYS, -n, "io_uring does not read");
    }
    r->has_uring = true;
    return EL_OK;
}

static enum el_err choose_backend(struct el_ring *r, enum el_ring_backend wanted,
                                  struct el_error *err)
{
    enum el_err rc = EL_OK;

    switch (wanted) {
    case EL_RING_AUTO:
        (void)open_uring(r, &r->refusal); /* kept, and threads are taken */
        break;
    case EL_RING_URING:
        rc = open_uring(r, err);
        break;
    case EL_RING_THREADS:
        break;
    }
    r->backend = r->has_uring ? EL_RING_URING : EL_RING_THREADS;
    return rc;
}

static enum el_err start_threads(struct el_ring *r, const struct el_ring_conf *conf,
                                 struct el_error *err)
{
    struct el_ring_threads_conf threads = {
        .thread_name = r->thread_name,
        .threads = conf->workers,
        .only_asks = r->has_uring,
        .fault = conf->fault,
        .fault_arg = conf->fault_arg,
        .queue = r->queue,
        .on_worked = on_worked,
        .arg = r,
    };

    if (r->has_uring && conf->fault == NULL)
        return EL_OK;
    return el_ring_threads_new(&threads, &r->threads, err);
}

/* ---- public ---- */

static struct el_ring *alloc_ring(const struct el_ring_conf *conf)
{
    struct el_ring *r = el_new(struct el_ring);

    EL_ASSERT(conf->depth > 0);
    r->depth = conf->depth;
    (void)snprintf(r->thread_name, sizeof(r->thread_name), "%s", conf->thread_name);
    el_msg_init(&r->stop, on_stop);
    el_list_init(&r->waiting);
    el_timers_init(&r->timers);
    return r;
}

enum el_err el_ring_new(const struct el_ring_conf *conf, struct el_ring **ret_ring,
                        struct el_error *err)
{
    struct el_ring *r = alloc_ring(conf);
    enum el_err rc = el_msgq_new(&r->queue, err);
    int sys;

    if (rc != EL_OK)
        goto fail;
    rc = choose_backend(r, conf->backend, err);
    if (rc != EL_OK)
        goto fail;
    rc = start_threads(r, conf, err);
    if (rc != EL_OK)
        goto fail;
    sys = pthread_create(&r->thread, NULL, run, r);
    if (sys != 0) {
        rc = el_fail(err, EL_ESYS, sys, "a thread for the disk");
        goto fail;
    }
    r->has_thread = true;
    *ret_ring = r;
    return EL_OK;
fail:
    el_ring_free(r);
    return rc;
}

void el_ring_free(struct el_ring *r)
{
    if (r == NULL)
        return;
    if (r->has_thread) {
        el_msgq_post(r->queue, &r->stop);
        (void)pthread_join(r->thread, NULL); /* it exists and is joined nowhere else */
    }
    el_ring_threads_free(r->threads);
    if (r->has_uring)
        io_uring_queue_exit(&r->uring);
    el_msgq_free(r->queue);
    free(r);
}

enum el_ring_backend el_ring_backend(const struct el_ring *r)
{
    return r->backend;
}

const struct el_error *el_ring_refusal(const struct el_ring *r)
{
    return &r->refusal;
}

void el_ring_post(struct el_ring *r, struct el_msg *m)
{
    el_msgq_post(r->queue, m);
}

struct el_msgq *el_ring_queue(struct el_ring *r)
{
    return r->queue;
}

void el_ring_submit(struct el_ring *r, struct el_ring_op *op)
{
    /* Further on the kernel takes -1 for the file's own position. */
    EL_ASSERT(op->what == EL_RING_SYNC || op->offset <= (uint64_t)INT64_MAX - op->bytes);
    op->moved = 0;
    op->submitted_ms = now_ms();
    el_list_append(&r->waiting, &op->link);
}

struct el_timers *el_ring_timers(struct el_ring *r)
{
    return &r->timers;
}
