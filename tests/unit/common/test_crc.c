/* SPDX-License-Identifier: MIT */
#include "common/crc.h"

#include "common/rng.h"
#include "tests/lib/test.h"

/* The check values that the catalogues of such codes give: of "123456789". */
static void the_known_values_come_out(void **state)
{
    static const uint64_t expected[EL_CRC_KINDS] = {
        [EL_CRC_32] = 0xcbf43926u,
        [EL_CRC_32C] = 0xe3069283u,
        [EL_CRC_64_NVME] = 0xae8b14860a799888u,
        [EL_CRC_64_XZ] = 0x995dc9bbdf1939fau,
    };

    (void)state;
    for (unsigned k = 0; k < EL_CRC_KINDS; k++) {
        assert_int_equal(el_crc((enum el_crc_kind)k, 0, "123456789", 9), expected[k]);
        assert_int_equal(el_crc((enum el_crc_kind)k, 0, "", 0), 0);
    }
}

/* By the definition, bit by bit. */
static uint64_t by_bits(uint64_t poly, uint64_t ones, const uint8_t *p, size_t n)
{
    uint64_t crc = ones;

    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (unsigned b = 0; b < 8; b++)
            crc = (crc & 1) != 0 ? crc >> 1 ^ poly : crc >> 1;
    }
    return crc ^ ones;
}

static uint64_t defined(enum el_crc_kind kind, const uint8_t *p, size_t n)
{
    switch (kind) {
    case EL_CRC_32:
        return by_bits(0xedb88320u, UINT32_MAX, p, n);
    case EL_CRC_32C:
        return by_bits(0x82f63b78u, UINT32_MAX, p, n);
    case EL_CRC_64_NVME:
        return by_bits(0x9a6c9329ac4bc9b5u, UINT64_MAX, p, n);
    case EL_CRC_64_XZ:
        return by_bits(0xc96c5795d7870f42u, UINT64_MAX, p, n);
    case EL_CRC_KINDS:
        break;
    }
    return 0;
}

static void every_length_alignment_and_division_gives_the_same(void **state)
{
    uint8_t bytes[700];
    struct el_rng rng;

    (void)state;
    el_rng_seed(&rng, 7);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)el_rng_below(&rng, 256);
    for (unsigned k = 0; k < EL_CRC_KINDS; k++) {
        enum el_crc_kind kind = (enum el_crc_kind)k;

        for (size_t n = 0; n < 600; n += n < 200 ? 1 : 37) {
            const uint8_t *p = bytes + n % 17;
            uint64_t whole = defined(kind, p, n), part;
            size_t cut = el_rng_below(&rng, n + 1);

            assert_int_equal(el_crc(kind, 0, p, n), whole);
            assert_int_equal(el_crc_by_table(kind, 0, p, n), whole);
            part = el_crc(kind, 0, p, cut);
            assert_int_equal(el_crc(kind, part, p + cut, n - cut), whole);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_known_values_come_out),
        cmocka_unit_test(every_length_alignment_and_division_gives_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
