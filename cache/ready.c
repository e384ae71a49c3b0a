/* SPDX-License-Identifier: MIT */
/*
 * ready: see ready.h. One thread makes slabs ready, as any other thread would. Before each it asks
 * a second one, which is scheduled only where a processor is idle and does nothing but answer. An
 * answer that comes at once says that one is idle now; where all are busy there are moments as well
 * when one is, far shorter than a slab takes, so it begins after a row of such answers. With
 * sixteen nodes on two processors a quarter of both went into memory without that. And as long as
 * memory is being taken, and a quarter of what there should be is left, it waits for the end of
 * that: who takes it needs the processors.
 *
 * One thread for both would hold locks that others wait for (the arena's mutex; in the kernel that
 * of the address space and that of the file) while it is interrupted, for as long as nobody leaves
 * it a processor. With MADV_POPULATE_WRITE on such a thread, and twelve busy threads on two
 * processors, mmap() and holes of another thread took 16 ms in the median and up to 500; as it is
 * here 16 us in the median, as without it.
 */
#include "cache/ready.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

#include "common/clock.h"

#define AT_ONCE_NS 500000u /* an answer of an idle processor takes tens of microseconds */
#define IN_A_ROW   10u
#define PAUSE_NS   5000000u /* between the questions of a row */
/* So long nothing was taken: that was the end. It is looked so often. */
#define QUIET_NS 5000000000u
#define LOOK_NS  50000000u

/* Outlives the struct below: the idle thread leaves it when it gets to run again. */
struct gate {
    sem_t asked, is_idle;
    _Atomic bool is_over;
    _Atomic unsigned refs;
};

struct cache_ready {
    struct cache_arena *arena;
    struct gate *gate;
    pthread_t thread;
    /* of that thread */
    uint64_t calm_ns;  /* when a slab was made ready */
    uint64_t taken;    /* slabs that were, when it last looked */
    uint64_t taken_ns; /* when one was */
};

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) != 0)
        EL_ASSERT(errno == EINTR);
}

static void post(sem_t *sem)
{
    EL_ASSERT(sem_post(sem) == 0);
}

static struct gate *gate_new(void)
{
    struct gate *g = el_new(struct gate);

    EL_ASSERT(sem_init(&g->asked, 0, 0) == 0);
    EL_ASSERT(sem_init(&g->is_idle, 0, 0) == 0);
    atomic_init(&g->refs, 1);
    return g;
}

static void gate_unref(struct gate *g)
{
    if (atomic_fetch_sub(&g->refs, 1) > 1)
        return;
    EL_ASSERT(sem_destroy(&g->is_idle) == 0);
    EL_ASSERT(sem_destroy(&g->asked) == 0);
    free(g);
}

static void *run_idle(void *arg)
{
    const struct sched_param none = { .sched_priority = 0 };
    struct gate *g = arg;

    (void)pthread_setname_np(pthread_self(), "memory-idle"); /* cosmetic */
    if (sched_setscheduler(0, SCHED_IDLE, &none) != 0)
        (void)setpriority(PRIO_PROCESS, 0,
                          19); /* of the thread; refused as well: an ordinary one */
    for (;;) {
        wait_for(&g->asked);
        if (atomic_load(&g->is_over))
            break;
        post(&g->is_idle);
    }
    gate_unref(g);
    return NULL;
}

static uint64_t now_ns(void)
{
    return el_clock_mono_ns(el_clock_system());
}

static bool is_idle_now(struct gate *g)
{
    uint64_t asked_ns = now_ns();

    post(&g->asked);
    wait_for(&g->is_idle);
    return now_ns() - asked_ns < AT_ONCE_NS;
}

static void await_need(struct cache_ready *r)
{
    const struct timespec pause = { .tv_nsec = LOOK_NS };
    uint64_t taken;

    while (!atomic_load(&r->gate->is_over) && !cache_arena_ready_is_low(r->arena, &taken)) {
        if (taken != r->taken)
            r->taken_ns = now_ns();
        else if (now_ns() - r->taken_ns >= QUIET_NS)
            return;
        r->taken = taken;
        (void)nanosleep(&pause, NULL); /* shorter does no harm */
    }
}

static void await_calm(const struct cache_ready *r)
{
    const struct timespec pause = { .tv_nsec = PAUSE_NS };
    unsigned row = 0;

    if (now_ns() - r->calm_ns < PAUSE_NS && is_idle_now(r->gate))
        return;
    while (row < IN_A_ROW && !atomic_load(&r->gate->is_over)) {
        (void)nanosleep(&pause, NULL); /* shorter does no harm */
        row = is_idle_now(r->gate) ? row + 1 : 0;
    }
}

static void *run(void *arg)
{
    struct cache_ready *r = arg;

    (void)pthread_setname_np(pthread_self(), "memory"); /* cosmetic */
    while (cache_arena_ready_await(r->arena)) {
        await_need(r);
        await_calm(r);
        if (cache_arena_ready_begin(r->arena))
            cache_arena_ready_end(r->arena, cache_arena_ready_touch(r->arena));
        r->calm_ns = now_ns();
    }
    return NULL;
}

static int start_idle(struct gate *g)
{
    pthread_t thread;
    int sys;

    atomic_fetch_add(&g->refs, 1);
    sys = pthread_create(&thread, NULL, run_idle, g);
    if (sys != 0)
        gate_unref(g);
    else
        EL_ASSERT(pthread_detach(thread) == 0); /* on a busy machine its end may take long */
    return sys;
}

/* Lets both threads go on, the idle one to its end. */
static void open_gate(struct gate *g)
{
    atomic_store(&g->is_over, true);
    post(&g->is_idle);
    post(&g->asked);
}

enum el_err cache_ready_start(struct cache_arena *arena, struct cache_ready **ret_ready,
                              struct el_error *err)
{
    struct cache_ready *r = el_new(struct cache_ready);
    int sys;

    r->arena = arena;
    r->gate = gate_new();
    sys = start_idle(r->gate);
    if (sys == 0)
        sys = pthread_create(&r->thread, NULL, run, r);
    if (sys != 0) {
        open_gate(r->gate);
        gate_unref(r->gate);
        free(r);
        return el_fail(err, EL_ESYS, sys, "a thread that makes memory ready");
    }
    *ret_ready = r;
    return EL_OK;
}

void cache_ready_stop(struct cache_ready *r)
{
    if (r == NULL)
        return;
    cache_arena_ready_stop(r->arena);
    open_gate(r->gate);
    (void)pthread_join(r->thread, NULL); /* it exists and is joined nowhere else */
    gate_unref(r->gate);
    free(r);
}
