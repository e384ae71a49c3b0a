/* SPDX-License-Identifier: MIT */
#include "common/sum.h"

#include "common/sha256.h"
#include "tests/lib/test.h"

static const struct {
    enum el_sum_kind kind;
    const char *of_abc;
} known[] = {
    { EL_SUM_CRC32, "352441c2" },
    { EL_SUM_CRC32C, "364b3fb7" },
    { EL_SUM_MD5, "900150983cd24fb0d6963f7d28e17f72" },
    { EL_SUM_SHA1, "a9993e364706816aba3e25717850c26c9cd0d89d" },
    { EL_SUM_SHA256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
    { EL_SUM_SHA512, "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f" },
};

static void assert_sum(const struct el_sum *s, enum el_sum_kind kind, const char *more,
                       const char *expected)
{
    uint8_t bytes[EL_SUM_MAX_BYTES];
    char hex[2 * EL_SUM_MAX_BYTES + 1];

    el_sum_peek(s, more, strlen(more), bytes);
    el_hex(bytes, el_sum_bytes(kind), hex);
    assert_string_equal(hex, expected);
}

static void each_kind_gives_its_known_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < EL_COUNT(known); i++) {
        struct el_sum *s = el_sum_new(known[i].kind);

        el_sum_update(s, "abc", 3);
        assert_sum(s, known[i].kind, "", known[i].of_abc);
        el_sum_free(s);
    }
}

static void a_look_ahead_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < EL_COUNT(known); i++) {
        struct el_sum *s = el_sum_new(known[i].kind);

        el_sum_update(s, "a", 1);
        assert_sum(s, known[i].kind, "bc", known[i].of_abc);
        assert_sum(s, known[i].kind, "bc", known[i].of_abc);
        el_sum_update(s, "b", 1);
        assert_sum(s, known[i].kind, "c", known[i].of_abc);
        el_sum_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_gives_its_known_value),
        cmocka_unit_test(a_look_ahead_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
