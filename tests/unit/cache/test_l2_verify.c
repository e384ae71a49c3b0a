/* SPDX-License-Identifier: MIT */
/* The threads that hash what was read from a disk. */
#include <poll.h>

#include "cache/l2_verify.h"
#include "tests/lib/test.h"

#define JOBS 200

struct job {
    struct l2_verify verify;
    uint8_t bytes[1000];
    unsigned *n_done;
};

static void on_done(struct el_msg *m)
{
    struct job *j = EL_ENTRY(m, struct job, verify.done);
    struct el_digest digest;

    el_sha256_of(j->bytes, sizeof(j->bytes), &digest);
    assert_memory_equal(&j->verify.digest, &digest, sizeof(digest));
    (*j->n_done)++;
    free(j);
}

static void give(struct l2_verifiers *v, struct el_msgq *q, unsigned number, unsigned *n_done)
{
    struct job *j = el_new(struct job);

    memset(j->bytes, (int)number, sizeof(j->bytes));
    j->n_done = n_done;
    j->verify.mem = j->bytes;
    j->verify.bytes = sizeof(j->bytes);
    j->verify.queue = q;
    el_msg_init(&j->verify.done, on_done);
    l2_verify_give(v, &j->verify);
}

static void every_job_comes_back_with_its_digest(void **state)
{
    struct l2_verifiers *v;
    struct el_msgq *q;
    unsigned n_done = 0;

    (void)state;
    assert_int_equal(el_msgq_new(&q, NULL), EL_OK);
    assert_int_equal(l2_verifiers_new(3, &v, NULL), EL_OK);
    for (unsigned i = 0; i < JOBS; i++)
        give(v, q, i, &n_done);
    while (n_done < JOBS) {
        struct pollfd p = { .fd = el_msgq_fd(q), .events = POLLIN };

        assert_int_equal(poll(&p, 1, 60000), 1);
        el_msgq_dispatch(q);
    }
    l2_verifiers_free(v);
    el_msgq_free(q);
}

static void what_was_given_before_the_end_is_still_done(void **state)
{
    struct l2_verifiers *v;
    struct el_msgq *q;
    unsigned n_done = 0;

    (void)state;
    assert_int_equal(el_msgq_new(&q, NULL), EL_OK);
    assert_int_equal(l2_verifiers_new(1, &v, NULL), EL_OK);
    for (unsigned i = 0; i < JOBS; i++)
        give(v, q, i, &n_done);
    l2_verifiers_free(v);
    el_msgq_dispatch(q);
    assert_int_equal(n_done, JOBS);
    el_msgq_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_comes_back_with_its_digest),
        cmocka_unit_test(what_was_given_before_the_end_is_still_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
