/* SPDX-License-Identifier: MIT */
/*
 * ring: reads and writes of files on a thread of its own, many at a time, through io_uring, or
 * through a pool of threads with preadv2() and pwritev2() where the kernel or a seccomp profile
 * refuses io_uring. Which of the two is decided when it is made; they behave the same.
 *
 *   submit() --> [in the kernel or with a worker] --> on_done(), on the ring's thread
 *
 * The ring's thread is also where its owner's own work runs: messages and timers. So an object that
 * is only touched from there needs no lock.
 *
 * A result is the whole length or an error: short reads and writes are continued until nothing
 * moves any more. A read that meets the end of the file is -ENODATA; a write that stays short is
 * -ENOSPC.
 */
#pragma once

#include "common/err.h"
#include "common/msgq.h"
#include "common/timers.h"

struct el_ring; /* Thread: post() from any, the rest from the ring's own */

enum el_ring_backend {
    EL_RING_AUTO, /* io_uring where it works, else threads */
    EL_RING_URING,
    EL_RING_THREADS,
};

enum el_ring_what { EL_RING_READ, EL_RING_WRITE, EL_RING_SYNC };

/*
 * Embedded in an object of the caller's; it and its memory are borrowed from submit until on_done,
 * which always comes, however long the disk takes: nothing can take the memory back from the
 * kernel.
 */
struct el_ring_op {
    enum el_ring_what what; /* SYNC: fdatasync(); the other fields are not used then */
    int fd;
    void *mem;
    uint32_t bytes;
    uint64_t offset;
    void (*on_done)(struct el_ring_op *op);
    int result; /* 0, or -errno */

    struct el_list link; /* the ring's from here on */
    uint32_t moved;
    uint64_t submitted_ms; /* monotonic: for its owner to judge a slow disk by */
};

/*
 * Faults for tests, asked for every attempt to move bytes, on the thread that would move them.
 * Returns 0: go on; -errno: fail like that; n > 0: move at most n bytes this time. It may sleep:
 * that is a slow disk. NULL: none.
 */
typedef int el_ring_fault_fn(void *arg, const struct el_ring_op *op);

struct el_ring_conf {
    const char *thread_name; /* at most 15 bytes */
    enum el_ring_backend backend;
    unsigned depth;   /* operations in the kernel or with workers at a time; more wait here */
    unsigned workers; /* threads of the fallback */
    el_ring_fault_fn *fault;
    void *fault_arg;
};

enum el_err el_ring_new(const struct el_ring_conf *conf, struct el_ring **ret_ring,
                        struct el_error *err);
/*
 * Waits for every operation that was submitted, runs what is queued, then joins the thread. Nothing
 * may be posted any more. NULL is fine.
 */
void el_ring_free(struct el_ring *r);

/* EL_RING_URING or EL_RING_THREADS. Thread: any. */
enum el_ring_backend el_ring_backend(const struct el_ring *r);
/* Why AUTO did not take io_uring; EL_OK when it did or was not asked to. Thread: any. */
const struct el_error *el_ring_refusal(const struct el_ring *r);

/* Thread: any. */
void el_ring_post(struct el_ring *r, struct el_msg *m);
struct el_msgq *el_ring_queue(struct el_ring *r);

/* ---- on the ring's thread ---- */

/* Operations submitted in one turn of the loop go to the kernel together, at its end. */
void el_ring_submit(struct el_ring *r, struct el_ring_op *op);
struct el_timers *el_ring_timers(struct el_ring *r);
