/* SPDX-License-Identifier: MIT */
#include "proxy/worker.h"

#include <poll.h>
#include <stdatomic.h>

#include "tests/lib/test.h"

#define PATIENCE_MS 10000

struct job {
    struct proxy_errand errand;
    int number;
};

static struct el_msgq *queue;
static int order[16], n_order, n_undone;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int at_gate;

static void work(struct proxy_errand *e)
{
    struct job *j = EL_ENTRY(e, struct job, errand);

    j->number += 100;
}

static void work_behind_the_gate(struct proxy_errand *e)
{
    atomic_fetch_add(&at_gate, 1);
    assert_int_equal(pthread_mutex_lock(&gate), 0);
    work(e);
    assert_int_equal(pthread_mutex_unlock(&gate), 0);
}

static void on_done(struct proxy_errand *e)
{
    struct job *j = EL_ENTRY(e, struct job, errand);

    order[n_order++] = j->number;
    n_undone += !e->was_done;
}

static int set_up(void **state)
{
    (void)state;
    n_order = n_undone = 0;
    atomic_store(&at_gate, 0);
    return el_msgq_new(&queue, NULL) == EL_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    el_msgq_free(queue);
    return 0;
}

static void hear(int n)
{
    while (n_order < n) {
        struct pollfd p = { .fd = el_msgq_fd(queue), .events = POLLIN };

        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        el_msgq_dispatch(queue);
    }
}

static struct proxy_worker *start(unsigned max_waiting)
{
    struct proxy_worker *w = NULL;

    assert_int_equal(proxy_worker_start("test", max_waiting, &w, NULL), EL_OK);
    return w;
}

static void prepare(struct job *j, int number, void (*run)(struct proxy_errand *e))
{
    *j = (struct job){ .number = number,
                       .errand = { .queue = queue, .work = run, .on_done = on_done } };
}

static void errands_are_done_elsewhere_in_their_order(void **state)
{
    struct proxy_worker *w = start(10);
    struct job jobs[5];

    (void)state;
    for (int i = 0; i < 5; i++) {
        prepare(&jobs[i], i, work);
        assert_true(proxy_worker_give(w, &jobs[i].errand));
    }
    hear(5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(order[i], 100 + i);
    assert_int_equal(n_undone, 0);
    proxy_worker_free(w);
}

static void wait_at_gate(void)
{
    const struct timespec moment = { .tv_nsec = 1000000 };

    for (int i = 0; i < PATIENCE_MS && atomic_load(&at_gate) == 0; i++)
        (void)nanosleep(&moment, NULL);
    assert_int_equal(atomic_load(&at_gate), 1);
}

/* One is being done, three wait: the first is ended, the others come back as they were. */
static void what_waits_is_bounded_and_given_back_undone_at_the_end(void **state)
{
    struct proxy_worker *w = start(3);
    struct job jobs[5];

    (void)state;
    for (int i = 0; i < 5; i++)
        prepare(&jobs[i], i, work_behind_the_gate);
    assert_int_equal(pthread_mutex_lock(&gate), 0);
    assert_true(proxy_worker_give(w, &jobs[0].errand));
    wait_at_gate();
    for (int i = 1; i < 4; i++)
        assert_true(proxy_worker_give(w, &jobs[i].errand));
    assert_false(proxy_worker_give(w, &jobs[4].errand));
    assert_int_equal(pthread_mutex_unlock(&gate), 0);
    proxy_worker_stop(w);
    assert_false(proxy_worker_give(w, &jobs[4].errand));
    el_msgq_dispatch(queue);
    assert_int_equal(n_order, 4);
    assert_int_equal(order[0], 100);
    for (int i = 1; i < 4; i++)
        assert_true(order[i] == i || order[i] == 100 + i);
    proxy_worker_free(w);
}

static void a_worker_that_was_given_nothing_ends(void **state)
{
    struct proxy_worker *w = start(1);

    (void)state;
    proxy_worker_stop(w);
    proxy_worker_stop(w);
    proxy_worker_free(w);
    proxy_worker_stop(NULL);
    proxy_worker_free(NULL);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(errands_are_done_elsewhere_in_their_order),
        TEST(what_waits_is_bounded_and_given_back_undone_at_the_end),
        TEST(a_worker_that_was_given_nothing_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
