/* SPDX-License-Identifier: MIT */
/* Big-endian numbers: what is written is read, and what is not there is bad for good. */
#include "tests/lib/test.h"

#include "common/bytes.h"

static void numbers_are_written_big_endian(void **state)
{
    static const uint8_t expected[] = { 0xfe, 0x01, 0x02, 0xa1, 0xb2, 0xc3, 0xd4, 0x80,
                                        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0xff };
    struct el_buf out = { 0 };

    (void)state;
    el_bytes_add_u8(&out, 0xfe);
    el_bytes_add_u16(&out, 0x0102);
    el_bytes_add_u32(&out, 0xa1b2c3d4);
    el_bytes_add_u64(&out, 0x80010203040506ff);
    assert_int_equal(out.n, sizeof(expected));
    assert_memory_equal(out.p, expected, sizeof(expected));
    el_buf_deinit(&out);
}

static void what_was_written_is_read(void **state)
{
    struct el_buf out = { 0 };
    struct el_bytes in;
    char copy[3];

    (void)state;
    el_bytes_add_u64(&out, UINT64_MAX - 1);
    el_bytes_add_u8(&out, 0);
    el_bytes_add_u32(&out, UINT32_MAX);
    el_buf_add_str(&out, EL_STR("abcdef"));
    el_bytes_add_u16(&out, 0x8000);
    in = el_bytes_of(el_buf_str(&out));
    assert_true(el_bytes_u64(&in) == UINT64_MAX - 1);
    assert_int_equal(el_bytes_u8(&in), 0);
    assert_int_equal(el_bytes_u32(&in), UINT32_MAX);
    assert_true(el_str_eq(el_bytes_str(&in, 3), EL_STR("abc")));
    el_bytes_copy(&in, copy, 3);
    assert_memory_equal(copy, "def", 3);
    assert_false(el_bytes_is_end(&in));
    assert_int_equal(el_bytes_u16(&in), 0x8000);
    assert_true(el_bytes_is_end(&in));
    assert_int_equal(el_bytes_str(&in, 0).n, 0);
    assert_true(el_bytes_is_end(&in));
    el_buf_deinit(&out);
}

static void a_read_beyond_the_end_makes_all_that_follow_bad(void **state)
{
    struct el_bytes in = el_bytes_of(EL_STR("abc"));
    char copy[2] = { 1, 1 };

    (void)state;
    assert_int_equal(el_bytes_u32(&in), 0);
    assert_true(in.is_bad);
    assert_int_equal(el_bytes_u8(&in), 0); /* there would be one */
    assert_int_equal(el_bytes_str(&in, 1).n, 0);
    el_bytes_copy(&in, copy, sizeof(copy));
    assert_memory_equal(copy, "\0\0", 2);
    assert_false(el_bytes_is_end(&in));
}

static void a_length_that_no_memory_has_is_beyond_the_end(void **state)
{
    struct el_bytes in = el_bytes_of(EL_STR("abc"));

    (void)state;
    assert_int_equal(el_bytes_u8(&in), 'a');
    assert_int_equal(el_bytes_str(&in, SIZE_MAX).n, 0);
    assert_true(in.is_bad);
}

static void nothing_at_all_is_at_its_end(void **state)
{
    struct el_bytes in = el_bytes_of((struct el_str){ NULL, 0 });

    (void)state;
    assert_true(el_bytes_is_end(&in));
    el_bytes_copy(&in, NULL, 0);
    assert_true(el_bytes_is_end(&in));
    assert_int_equal(el_bytes_u8(&in), 0);
    assert_false(el_bytes_is_end(&in));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_big_endian),
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(a_read_beyond_the_end_makes_all_that_follow_bad),
        cmocka_unit_test(a_length_that_no_memory_has_is_beyond_the_end),
        cmocka_unit_test(nothing_at_all_is_at_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
