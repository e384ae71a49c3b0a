/* SPDX-License-Identifier: MIT */
#include "common/str.h"

#include "tests/lib/test.h"

static const struct el_str nothing = { NULL, 0 };

static void assert_str(struct el_str s, const char *expected)
{
    assert_int_equal(s.n, strlen(expected));
    if (s.n > 0)
        assert_memory_equal(s.p, expected, s.n);
}

static void slices_are_equal_when_their_bytes_are(void **state)
{
    (void)state;
    assert_true(el_str_eq(EL_STR("a\0b"), (struct el_str){ "a\0bc", 3 }));
    assert_false(el_str_eq(EL_STR("a\0b"), EL_STR("a\0c")));
    assert_false(el_str_eq(EL_STR("ab"), EL_STR("abc")));
    assert_false(el_str_eq(EL_STR("ab"), EL_STR("aB")));
    assert_true(el_str_eq(nothing, EL_STR("")));
    assert_true(el_str_eq(el_str_of(NULL), nothing));
}

static void only_ascii_letters_are_folded(void **state)
{
    (void)state;
    assert_true(el_str_ieq(EL_STR("AZaz09-"), EL_STR("azAZ09-")));
    /* Neighbours of the letters differ by the same bit, and so do the letters of Latin-1. */
    assert_false(el_str_ieq(EL_STR("@"), EL_STR("`")));
    assert_false(el_str_ieq(EL_STR("["), EL_STR("{")));
    assert_false(el_str_ieq(EL_STR("\xc4"), EL_STR("\xe4")));
    assert_false(el_str_ieq(EL_STR("a"), EL_STR("ab")));
    assert_true(el_str_ieq(nothing, EL_STR("")));
}

static void a_slice_starts_with_its_prefix_the_empty_one_too(void **state)
{
    (void)state;
    assert_true(el_str_starts(EL_STR("bytes=0-"), EL_STR("bytes=")));
    assert_false(el_str_starts(EL_STR("Bytes=0-"), EL_STR("bytes=")));
    assert_true(el_str_istarts(EL_STR("Bytes=0-"), EL_STR("bytes=")));
    assert_false(el_str_starts(EL_STR("by"), EL_STR("bytes=")));
    assert_false(el_str_istarts(EL_STR("by"), EL_STR("bytes=")));
    assert_true(el_str_starts(nothing, nothing));
    assert_true(el_str_starts(EL_STR("x"), nothing));
}

static void blanks_and_tabs_are_trimmed_and_nothing_else(void **state)
{
    (void)state;
    assert_str(el_str_trim(EL_STR(" \t a b\t ")), "a b");
    assert_str(el_str_trim(EL_STR("\r a \n")), "\r a \n");
    assert_str(el_str_trim(EL_STR(" \t ")), "");
    assert_str(el_str_trim(nothing), "");
}

static void a_byte_is_found_or_the_length_is_returned(void **state)
{
    (void)state;
    assert_int_equal(el_str_find(EL_STR("a=b=c"), '='), 1);
    assert_int_equal(el_str_find(EL_STR("abc"), '='), 3);
    assert_int_equal(el_str_find((struct el_str){ "ab=", 2 }, '='), 2);
    assert_int_equal(el_str_find(nothing, '='), 0);
}

static void parts_are_clamped_to_the_slice(void **state)
{
    (void)state;
    assert_str(el_str_from(EL_STR("abc"), 1), "bc");
    assert_str(el_str_from(EL_STR("abc"), 3), "");
    assert_str(el_str_from(EL_STR("abc"), SIZE_MAX), "");
    assert_str(el_str_from(nothing, 5), "");
    assert_str(el_str_first(EL_STR("abc"), 2), "ab");
    assert_str(el_str_first(EL_STR("abc"), SIZE_MAX), "abc");
    assert_str(el_str_first(nothing, 5), "");
}

/* The parts, joined by '|'. */
static void assert_split(struct el_str s, const char *expected)
{
    char joined[64];
    size_t n = 0;
    struct el_str part;

    while (el_str_split(&s, ',', &part)) {
        assert_true(n + part.n + 1 < sizeof(joined));
        memcpy(joined + n, part.p, part.n);
        n += part.n;
        joined[n++] = '|';
    }
    joined[n] = '\0';
    assert_string_equal(joined, expected);
}

static void splitting_keeps_empty_parts(void **state)
{
    (void)state;
    assert_split(EL_STR("a,,b"), "a||b|");
    assert_split(EL_STR("a"), "a|");
    assert_split(EL_STR(",a"), "|a|");
    assert_split(EL_STR("a,"), "a||");
    assert_split(EL_STR(""), "|");
    assert_split(nothing, "");
}

static void numbers_are_digits_within_bounds(void **state)
{
    uint64_t v = 7;

    (void)state;
    assert_true(el_str_u64(EL_STR("18446744073709551615"), UINT64_MAX, &v));
    assert_true(v == UINT64_MAX);
    assert_true(el_str_u64(EL_STR("007"), 7, &v));
    assert_int_equal(v, 7);
    assert_true(el_str_u64(EL_STR("0"), 0, &v));
    assert_int_equal(v, 0);
}

static void what_is_no_number_changes_nothing(void **state)
{
    static const char *const bad[] = { "",  "+1", "-1",  " 1", "1 ",
                                       "/", ":",  "0x1", "1a", "18446744073709551616",
                                       "8", "99", "\xb1" };
    uint64_t v = 42;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(bad); i++)
        assert_false(el_str_u64(el_str_of(bad[i]), 7, &v));
    assert_false(el_str_u64(nothing, UINT64_MAX, &v));
    assert_false(el_str_u64(EL_STR("18446744073709551616"), UINT64_MAX, &v));
    assert_false(el_str_u64(EL_STR("99999999999999999999999"), UINT64_MAX, &v));
    assert_false(el_str_u64((struct el_str){ "1\0002", 3 }, UINT64_MAX, &v));
    assert_int_equal(v, 42);
}

/*
 * The vectors of the reference implementation (vectors_sip64): key 00 01 .. 0f, message 00 01 ..;
 * the same come from `openssl mac -macopt size:8 -macopt hexkey:000102..0f SIPHASH`. The last is
 * the worked example of the paper's appendix A.
 */
static void the_hash_is_siphash_2_4(void **state)
{
    static const struct {
        size_t n;
        uint64_t hash;
    } vectors[] = {
        { 0, 0x726fdb47dd0e0e31u },
        { 7, 0xab0200f58b01d137u },
        { 8, 0x93f5f5799a932462u },
        { 15, 0xa129ca6149be45e5u },
    };
    static const char bytes[15] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(vectors); i++)
        assert_true(el_str_siphash((struct el_str){ bytes, vectors[i].n }, 0x0706050403020100u,
                                   0x0f0e0d0c0b0a0908u) == vectors[i].hash);
    assert_true(el_str_siphash(nothing, 0x0706050403020100u, 0x0f0e0d0c0b0a0908u) ==
                vectors[0].hash);
}

static void the_hash_of_a_process_depends_on_the_bytes_alone(void **state)
{
    char here[] = "some key", there[] = "xsome key";

    (void)state;
    assert_true(el_str_hash(el_str_of(here)) == el_str_hash(el_str_of(there + 1)));
    assert_true(el_str_hash(EL_STR("a")) != el_str_hash(EL_STR("b")));
    assert_true(el_str_hash(EL_STR("a")) != el_str_hash(EL_STR("a\0")));
    /* Whoever knows the key can make keys collide: it is not the one of the vectors, nor zero. */
    assert_true(el_str_hash(EL_STR("a")) != el_str_siphash(EL_STR("a"), 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_are_equal_when_their_bytes_are),
        cmocka_unit_test(only_ascii_letters_are_folded),
        cmocka_unit_test(a_slice_starts_with_its_prefix_the_empty_one_too),
        cmocka_unit_test(blanks_and_tabs_are_trimmed_and_nothing_else),
        cmocka_unit_test(a_byte_is_found_or_the_length_is_returned),
        cmocka_unit_test(parts_are_clamped_to_the_slice),
        cmocka_unit_test(splitting_keeps_empty_parts),
        cmocka_unit_test(numbers_are_digits_within_bounds),
        cmocka_unit_test(what_is_no_number_changes_nothing),
        cmocka_unit_test(the_hash_is_siphash_2_4),
        cmocka_unit_test(the_hash_of_a_process_depends_on_the_bytes_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
