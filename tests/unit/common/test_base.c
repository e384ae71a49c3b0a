/* SPDX-License-Identifier: MIT */
#include "common/base.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/test.h"

#define THING_MAGIC 0x7468696eu

struct thing {
    uint32_t magic;
    int value;
};

/* What a child that runs `act` writes to standard error before it aborts; it must abort. */
static void last_words(void (*act)(void), char *out, size_t size)
{
    int ends[2], status = 0;
    size_t n = 0;
    ssize_t got;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        act();
        _exit(0);
    }
    (void)close(ends[1]);
    while (n < size - 1 && (got = read(ends[0], out + n, size - 1 - n)) > 0)
        n += (size_t)got;
    out[n] = '\0';
    (void)close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void claim_nonsense(void)
{
    EL_ASSERT(1 + 1 == 3);
}

static void a_false_claim_ends_the_process_and_says_where(void **state)
{
    char words[512];

    (void)state;
    EL_ASSERT(1 + 1 == 2);
    last_words(claim_nonsense, words, sizeof(words));
    assert_non_null(strstr(words, "1 + 1 == 3"));
    assert_non_null(strstr(words, "test_base.c:"));
}

static void cast_something_else(void)
{
    struct thing other = { .magic = THING_MAGIC + 1 };

    (void)EL_CAST((void *)&other, struct thing, THING_MAGIC);
}

static void cast_nothing(void)
{
    (void)EL_CAST(NULL, struct thing, THING_MAGIC);
}

static void a_pointer_to_something_else_is_not_taken_for_ours(void **state)
{
    struct thing t = { .magic = THING_MAGIC, .value = 5 };
    void *p = &t;
    char words[512];

    (void)state;
    assert_int_equal(EL_CAST(p, struct thing, THING_MAGIC)->value, 5);
    last_words(cast_something_else, words, sizeof(words));
    assert_non_null(strstr(words, "magic"));
    last_words(cast_nothing, words, sizeof(words));
    assert_non_null(strstr(words, "NULL"));
}

static void a_structure_is_found_from_its_member(void **state)
{
    struct thing t = { .value = 1 };
    int *member = &t.value;

    (void)state;
    assert_ptr_equal(EL_ENTRY(member, struct thing, value), &t);
}

static void memory_comes_zeroed_even_none_of_it(void **state)
{
    struct thing *t = el_new(struct thing);
    char *bytes = el_try_alloc(1000), *none = el_alloc(0), *also_none = el_try_alloc(0);

    (void)state;
    assert_int_equal(t->magic, 0);
    assert_int_equal(t->value, 0);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(bytes[i], 0);
    assert_non_null(none);
    assert_non_null(also_none);
    free(t);
    free(bytes);
    free(none);
    free(also_none);
}

static void memory_that_does_not_exist_is_refused_when_asked_for_politely(void **state)
{
    volatile size_t huge = PTRDIFF_MAX;

    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    print_message("skipped: sanitizers end the process on such a request\n");
    skip();
#endif
    assert_null(el_try_alloc(huge));
}

static void a_copy_has_the_bytes_and_a_terminator(void **state)
{
    char *copy = el_strndup("ab\0cd", 4), *empty = el_strndup(NULL, 0);

    (void)state;
    assert_memory_equal(copy, "ab\0c", 5);
    assert_string_equal(empty, "");
    free(copy);
    free(empty);
}

static void a_sum_that_overflows_is_refused_and_changes_nothing(void **state)
{
    uint64_t sum = 7;

    (void)state;
    assert_false(el_add_u64(UINT64_MAX, 1, &sum));
    assert_int_equal(sum, 7);
    assert_true(el_add_u64(UINT64_MAX - 1, 1, &sum));
    assert_true(sum == UINT64_MAX);
}

static void the_smaller_and_the_larger_are_found_in_either_order(void **state)
{
    (void)state;
    assert_true(el_min_u64(1, UINT64_MAX) == 1 && el_min_u64(UINT64_MAX, 1) == 1);
    assert_true(el_max_u64(1, UINT64_MAX) == UINT64_MAX && el_max_u64(UINT64_MAX, 1) == UINT64_MAX);
    assert_true(el_min_size(2, SIZE_MAX) == 2 && el_min_size(SIZE_MAX, 2) == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_false_claim_ends_the_process_and_says_where),
        cmocka_unit_test(a_pointer_to_something_else_is_not_taken_for_ours),
        cmocka_unit_test(a_structure_is_found_from_its_member),
        cmocka_unit_test(memory_comes_zeroed_even_none_of_it),
        cmocka_unit_test(memory_that_does_not_exist_is_refused_when_asked_for_politely),
        cmocka_unit_test(a_copy_has_the_bytes_and_a_terminator),
        cmocka_unit_test(a_sum_that_overflows_is_refused_and_changes_nothing),
        cmocka_unit_test(the_smaller_and_the_larger_are_found_in_either_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
