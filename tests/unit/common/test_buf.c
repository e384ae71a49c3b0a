/* SPDX-License-Identifier: MIT */
#include "common/buf.h"

#include "tests/lib/test.h"

/* buf.h's invariants, and the content. */
static void assert_holds(const struct el_buf *b, const char *bytes, size_t n)
{
    assert_int_equal(b->n, n);
    assert_non_null(b->p);
    assert_true(b->cap > b->n);
    assert_int_equal(b->p[b->n], '\0');
    assert_memory_equal(b->p, bytes, n);
}

static void bytes_of_any_kind_are_gathered(void **state)
{
    struct el_buf b;

    (void)state;
    el_buf_init(&b);
    el_buf_add(&b, "a\0b", 3);
    el_buf_add_str(&b, EL_STR("cd"));
    el_buf_add_byte(&b, '\xff');
    el_buf_addf(&b, "%s=%d", "x", -5);
    assert_holds(&b, "a\0bcd\xffx=-5", 10);
    el_buf_deinit(&b);
}

static void growing_keeps_what_is_there(void **state)
{
    struct el_buf b = { 0 };

    (void)state;
    for (size_t i = 0; i < 100000; i++)
        el_buf_add_byte(&b, (char)('a' + i % 26));
    assert_int_equal(b.n, 100000);
    assert_int_equal(b.p[b.n], '\0');
    for (size_t i = 0; i < b.n; i++)
        assert_int_equal(b.p[i], 'a' + i % 26);
    el_buf_deinit(&b);
}

static void reserved_room_is_not_allocated_again(void **state)
{
    struct el_buf b = { 0 };
    const char *p;

    (void)state;
    el_buf_reserve(&b, 1000);
    assert_holds(&b, "", 0);
    assert_true(b.cap > 1000);
    p = b.p;
    for (int i = 0; i < 1000; i++)
        el_buf_add_byte(&b, 'x');
    assert_ptr_equal(b.p, p);
    el_buf_deinit(&b);
}

static void adding_nothing_to_nothing_is_fine(void **state)
{
    struct el_buf b = { 0 };

    (void)state;
    el_buf_consume(&b, 0);
    el_buf_clear(&b);
    assert_int_equal(el_buf_str(&b).n, 0);
    el_buf_add(&b, NULL, 0);
    el_buf_add_str(&b, el_str_of(NULL));
    el_buf_addf(&b, "%s", "");
    assert_holds(&b, "", 0);
    el_buf_deinit(&b);
}

static void formatted_text_may_be_longer_than_any_guess(void **state)
{
    struct el_buf b = { 0 };

    (void)state;
    el_buf_addf(&b, "<%5000s>", "end");
    assert_int_equal(b.n, 5002);
    assert_string_equal(b.p + 4998, "end>");
    assert_int_equal(b.p[0], '<');
    el_buf_deinit(&b);
}

static void numbers_are_decimal_from_nought_to_the_largest(void **state)
{
    static const struct {
        uint64_t v;
        const char *text;
    } cases[] = {
        { 0, "0" },
        { 9, "9" },
        { 10, "10" },
        { 1234567890, "1234567890" },
        { UINT64_MAX, "18446744073709551615" },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct el_buf b = { 0 };

        el_buf_add_u64(&b, cases[i].v);
        assert_holds(&b, cases[i].text, strlen(cases[i].text));
        el_buf_deinit(&b);
    }
}

static void consuming_drops_bytes_from_the_front(void **state)
{
    struct el_buf b = { 0 };

    (void)state;
    el_buf_add_str(&b, EL_STR("abcdef"));
    el_buf_consume(&b, 2);
    assert_holds(&b, "cdef", 4);
    el_buf_consume(&b, 4);
    assert_holds(&b, "", 0);
    el_buf_deinit(&b);
}

static void a_cleared_buffer_keeps_its_memory(void **state)
{
    struct el_buf b = { 0 };
    size_t cap;

    (void)state;
    el_buf_addf(&b, "%0300d", 0);
    cap = b.cap;
    el_buf_clear(&b);
    assert_holds(&b, "", 0);
    assert_int_equal(b.cap, cap);
    el_buf_deinit(&b);
    assert_null(b.p);
    assert_int_equal(b.n, 0);
    assert_int_equal(b.cap, 0);
    el_buf_add_str(&b, EL_STR("again"));
    assert_holds(&b, "again", 5);
    el_buf_deinit(&b);
}

static void what_is_taken_is_the_callers_and_never_null(void **state)
{
    struct el_buf b = { 0 };
    char *text, *empty;

    (void)state;
    empty = el_buf_take(&b);
    assert_string_equal(empty, "");
    el_buf_add_str(&b, EL_STR("mine"));
    text = el_buf_take(&b);
    assert_string_equal(text, "mine");
    assert_null(b.p);
    assert_int_equal(b.n, 0);
    el_buf_add_str(&b, EL_STR("yours"));
    assert_string_equal(text, "mine");
    el_buf_deinit(&b);
    free(text);
    free(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_of_any_kind_are_gathered),
        cmocka_unit_test(growing_keeps_what_is_there),
        cmocka_unit_test(reserved_room_is_not_allocated_again),
        cmocka_unit_test(adding_nothing_to_nothing_is_fine),
        cmocka_unit_test(formatted_text_may_be_longer_than_any_guess),
        cmocka_unit_test(numbers_are_decimal_from_nought_to_the_largest),
        cmocka_unit_test(consuming_drops_bytes_from_the_front),
        cmocka_unit_test(a_cleared_buffer_keeps_its_memory),
        cmocka_unit_test(what_is_taken_is_the_callers_and_never_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
