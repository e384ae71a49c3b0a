/* SPDX-License-Identifier: MIT */
#include "common/msgq.h"

#include <poll.h>
#include <sched.h>
#include <stdatomic.h>

#include "tests/lib/test.h"

/* A message that writes its letter down when it runs, and then does what it is told. */
struct note {
    struct el_msg msg;
    struct el_msgq *queue;
    char letter;
    bool posts_itself, frees_itself;
    struct note *posts, *cancels;
};

static char written[64];
static size_t written_n;

static void on_note(struct el_msg *m)
{
    struct note *n = EL_ENTRY(m, struct note, msg);

    assert_true(written_n < sizeof(written) - 1);
    written[written_n++] = n->letter;
    written[written_n] = '\0';
    if (n->posts_itself)
        el_msgq_post(n->queue, &n->msg);
    if (n->posts != NULL)
        el_msgq_post(n->queue, &n->posts->msg);
    if (n->cancels != NULL)
        el_msgq_cancel(n->queue, &n->cancels->msg);
    if (n->frees_itself)
        free(n);
}

static int open_queue(void **state)
{
    struct el_msgq *q;

    written[0] = '\0';
    written_n = 0;
    if (el_msgq_new(&q, NULL) != EL_OK)
        return -1;
    *state = q;
    return 0;
}

static int close_queue(void **state)
{
    el_msgq_free(*state);
    return 0;
}

static void note_init(struct note *n, struct el_msgq *q, char letter)
{
    *n = (struct note){ .queue = q, .letter = letter };
    el_msg_init(&n->msg, on_note);
}

static bool is_readable(struct el_msgq *q, int timeout_ms)
{
    struct pollfd p = { .fd = el_msgq_fd(q), .events = POLLIN };

    return poll(&p, 1, timeout_ms) == 1;
}

static void messages_run_once_in_the_order_of_their_first_posting(void **state)
{
    struct el_msgq *q = *state;
    struct note a, b;

    note_init(&a, q, 'a');
    note_init(&b, q, 'b');
    el_msgq_post(q, &b.msg);
    el_msgq_post(q, &a.msg);
    el_msgq_post(q, &b.msg);
    assert_string_equal(written, "");
    el_msgq_dispatch(q);
    assert_string_equal(written, "ba");
    el_msgq_dispatch(q);
    assert_string_equal(written, "ba");

    el_msgq_post(q, &a.msg);
    el_msgq_dispatch(q);
    assert_string_equal(written, "baa");
}

static void the_descriptor_is_readable_while_something_waits(void **state)
{
    struct el_msgq *q = *state;
    struct note a, b;

    note_init(&a, q, 'a');
    note_init(&b, q, 'b');
    assert_false(is_readable(q, 0));
    el_msgq_post(q, &a.msg);
    el_msgq_post(q, &b.msg);
    assert_true(is_readable(q, 0));
    el_msgq_dispatch(q);
    assert_false(is_readable(q, 0));
    el_msgq_post(q, &a.msg);
    assert_true(is_readable(q, 0));
    el_msgq_dispatch(q);
}

static void a_message_that_posts_itself_runs_in_the_next_dispatch(void **state)
{
    struct el_msgq *q = *state;
    struct note a;

    note_init(&a, q, 'a');
    a.posts_itself = true;
    el_msgq_post(q, &a.msg);
    el_msgq_dispatch(q);
    assert_string_equal(written, "a");
    assert_true(is_readable(q, 0));
    a.posts_itself = false;
    el_msgq_dispatch(q);
    assert_string_equal(written, "aa");
    assert_false(is_readable(q, 0));
}

static void posting_one_that_is_about_to_run_does_nothing(void **state)
{
    struct el_msgq *q = *state;
    struct note a, b;

    note_init(&a, q, 'a');
    note_init(&b, q, 'b');
    a.posts = &b;
    el_msgq_post(q, &a.msg);
    el_msgq_post(q, &b.msg);
    el_msgq_dispatch(q);
    assert_string_equal(written, "ab");
    assert_false(is_readable(q, 0));
    el_msgq_dispatch(q);
    assert_string_equal(written, "ab");
}

static void posting_one_that_has_run_lets_it_run_again(void **state)
{
    struct el_msgq *q = *state;
    struct note a, b;

    note_init(&a, q, 'a');
    note_init(&b, q, 'b');
    b.posts = &a;
    el_msgq_post(q, &a.msg);
    el_msgq_post(q, &b.msg);
    el_msgq_dispatch(q);
    assert_string_equal(written, "ab");
    el_msgq_dispatch(q);
    assert_string_equal(written, "aba");
}

static void a_message_may_free_its_object(void **state)
{
    struct el_msgq *q = *state;
    struct note *a = el_new(struct note), b;

    note_init(a, q, 'a');
    note_init(&b, q, 'b');
    a->frees_itself = true;
    el_msgq_post(q, &a->msg);
    el_msgq_post(q, &b.msg);
    el_msgq_dispatch(q);
    assert_string_equal(written, "ab");
}

static void a_cancelled_message_does_not_run_and_can_be_posted_again(void **state)
{
    struct el_msgq *q = *state;
    struct note a, b;

    note_init(&a, q, 'a');
    note_init(&b, q, 'b');
    el_msgq_cancel(q, &a.msg);
    el_msgq_post(q, &a.msg);
    el_msgq_post(q, &b.msg);
    el_msgq_cancel(q, &a.msg);
    el_msgq_cancel(q, &a.msg);
    el_msgq_dispatch(q);
    assert_string_equal(written, "b");
    el_msgq_post(q, &a.msg);
    el_msgq_dispatch(q);
    assert_string_equal(written, "ba");
}

static void a_message_may_cancel_another_of_its_batch(void **state)
{
    struct el_msgq *q = *state;
    struct note a, c, *b = el_new(struct note);

    note_init(&a, q, 'a');
    note_init(b, q, 'b');
    note_init(&c, q, 'c');
    a.cancels = b;
    el_msgq_post(q, &a.msg);
    el_msgq_post(q, &b->msg);
    el_msgq_post(q, &c.msg);
    el_msgq_dispatch(q);
    free(b);
    assert_string_equal(written, "ac");
}

static void a_cancelled_only_message_leaves_a_wake_up_that_finds_nothing(void **state)
{
    struct el_msgq *q = *state;
    struct note a;

    note_init(&a, q, 'a');
    el_msgq_post(q, &a.msg);
    el_msgq_cancel(q, &a.msg);
    el_msgq_dispatch(q);
    assert_string_equal(written, "");
    assert_false(is_readable(q, 0));
    el_msgq_post(q, &a.msg);
    assert_true(is_readable(q, 0));
    el_msgq_dispatch(q);
    assert_string_equal(written, "a");
}

static void messages_left_in_a_freed_queue_are_forgotten(void **state)
{
    struct el_msgq *q;
    struct note a;

    (void)state;
    assert_int_equal(el_msgq_new(&q, NULL), EL_OK);
    note_init(&a, q, 'a');
    el_msgq_post(q, &a.msg);
    el_msgq_free(q);
    el_msgq_free(NULL);
    assert_string_equal(written, "");
}

/* ---- from other threads ---- */

#define POSTERS 3
#define POSTS   20000

struct poster {
    struct el_msg msg;
    struct el_msgq *queue;
    _Atomic unsigned made; /* by the poster, then it posts */
    unsigned seen;         /* by the owner, when the message runs */
};

static void on_made(struct el_msg *m)
{
    struct poster *p = EL_ENTRY(m, struct poster, msg);

    p->seen = atomic_load(&p->made);
}

static void *make_and_post(void *arg)
{
    struct poster *p = arg;

    for (unsigned i = 0; i < POSTS; i++) {
        atomic_fetch_add(&p->made, 1);
        el_msgq_post(p->queue, &p->msg);
    }
    return NULL;
}

static bool has_seen_all(const struct poster *p)
{
    for (size_t i = 0; i < POSTERS; i++) {
        if (p[i].seen != POSTS)
            return false;
    }
    return true;
}

static void no_wake_up_from_any_thread_is_lost(void **state)
{
    struct el_msgq *q = *state;
    struct poster posters[POSTERS] = { 0 };
    pthread_t threads[POSTERS];

    for (size_t i = 0; i < POSTERS; i++) {
        posters[i].queue = q;
        el_msg_init(&posters[i].msg, on_made);
        assert_int_equal(pthread_create(&threads[i], NULL, make_and_post, &posters[i]), 0);
    }
    while (!has_seen_all(posters)) {
        assert_true(is_readable(q, 30000));
        el_msgq_dispatch(q);
    }
    for (size_t i = 0; i < POSTERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

struct last_word {
    struct el_msg msg;
    struct el_msgq *queue;
    bool has_run;
};

static void on_last_word(struct el_msg *m)
{
    EL_ENTRY(m, struct last_word, msg)->has_run = true;
}

static void *say(void *arg)
{
    struct last_word *w = arg;

    el_msgq_post(w->queue, &w->msg);
    return NULL;
}

/* The owner sees the message before post() has returned, and frees the queue under its feet. */
static void a_queue_may_be_freed_once_its_last_message_has_run(void **state)
{
    (void)state;
    for (int i = 0; i < 500; i++) {
        struct last_word w = { 0 };
        pthread_t thread;

        assert_int_equal(el_msgq_new(&w.queue, NULL), EL_OK);
        el_msg_init(&w.msg, on_last_word);
        assert_int_equal(pthread_create(&thread, NULL, say, &w), 0);
        while (!w.has_run) {
            el_msgq_dispatch(w.queue);
            (void)sched_yield();
        }
        el_msgq_free(w.queue);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
}

#define QUEUE_TEST(f) cmocka_unit_test_setup_teardown(f, open_queue, close_queue)

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_TEST(messages_run_once_in_the_order_of_their_first_posting),
        QUEUE_TEST(the_descriptor_is_readable_while_something_waits),
        QUEUE_TEST(a_message_that_posts_itself_runs_in_the_next_dispatch),
        QUEUE_TEST(posting_one_that_is_about_to_run_does_nothing),
        QUEUE_TEST(posting_one_that_has_run_lets_it_run_again),
        QUEUE_TEST(a_message_may_free_its_object),
        QUEUE_TEST(a_cancelled_message_does_not_run_and_can_be_posted_again),
        QUEUE_TEST(a_message_may_cancel_another_of_its_batch),
        QUEUE_TEST(a_cancelled_only_message_leaves_a_wake_up_that_finds_nothing),
        QUEUE_TEST(messages_left_in_a_freed_queue_are_forgotten),
        QUEUE_TEST(no_wake_up_from_any_thread_is_lost),
        QUEUE_TEST(a_queue_may_be_freed_once_its_last_message_has_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
