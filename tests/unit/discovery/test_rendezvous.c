/* SPDX-License-Identifier: MIT */
/* Who answers for a key, and how little that changes. */
#include "tests/lib/test.h"

#include "common/rng.h"
#include "discovery/rendezvous.h"

#define MEMBERS 1000u
#define KEYS    2000u

static uint64_t member[MEMBERS + 1];

static int make_members(void **state)
{
    struct el_rng rng;

    (void)state;
    el_rng_seed(&rng, 7);
    for (size_t i = 0; i <= MEMBERS; i++)
        member[i] = el_rng_u64(&rng);
    return 0;
}

static void owners_of(unsigned key, const uint64_t *v, size_t n, uint64_t ret[DISC_OWNERS])
{
    uint8_t bytes[DISC_KEY_BYTES] = { 0 };
    size_t at[DISC_OWNERS];

    memcpy(bytes, &key, sizeof(key));
    assert_int_equal(disc_rendezvous(bytes, v, n, at), DISC_OWNERS);
    for (size_t i = 0; i < DISC_OWNERS; i++)
        ret[i] = v[at[i]];
}

static void few_members_are_all_owners(void **state)
{
    const uint8_t key[DISC_KEY_BYTES] = { 1 };
    size_t at[DISC_OWNERS] = { 9, 9, 9 };

    (void)state;
    assert_int_equal(disc_rendezvous(key, member, 0, at), 0);
    assert_int_equal(disc_rendezvous(key, member, 1, at), 1);
    assert_int_equal(at[0], 0);
    assert_int_equal(disc_rendezvous(key, member, 2, at), 2);
    assert_int_equal(at[0] + at[1], 1);
}

static void the_order_of_the_members_does_not_matter(void **state)
{
    uint64_t reversed[MEMBERS], a[DISC_OWNERS], b[DISC_OWNERS];

    (void)state;
    for (size_t i = 0; i < MEMBERS; i++)
        reversed[i] = member[MEMBERS - 1 - i];
    for (unsigned key = 0; key < KEYS; key++) {
        owners_of(key, member, MEMBERS, a);
        owners_of(key, reversed, MEMBERS, b);
        assert_memory_equal(a, b, sizeof(a));
    }
}

static void a_member_that_leaves_gives_its_keys_to_their_backups(void **state)
{
    uint64_t before[DISC_OWNERS], after[DISC_OWNERS];
    size_t moved = 0;

    (void)state;
    for (unsigned key = 0; key < KEYS; key++) {
        owners_of(key, member, MEMBERS, before);
        owners_of(key, member + 1, MEMBERS - 1, after);
        if (before[0] == member[0])
            assert_true(after[0] == before[1] && after[1] == before[2]);
        else
            assert_true(after[0] == before[0]);
        moved += before[0] == member[0];
    }
    assert_true(moved < KEYS / 100);
}

static void a_member_that_joins_takes_only_what_it_owns_now(void **state)
{
    uint64_t before[DISC_OWNERS], after[DISC_OWNERS];
    size_t moved = 0;

    (void)state;
    for (unsigned key = 0; key < KEYS * 10; key++) {
        owners_of(key, member, MEMBERS, before);
        owners_of(key, member, MEMBERS + 1, after);
        assert_true(after[0] == before[0] || after[0] == member[MEMBERS]);
        moved += after[0] != before[0];
    }
    /* 20 are expected. */
    assert_in_range(moved, 5, 45);
}

static void every_member_owns_about_as_much(void **state)
{
    size_t owned[16] = { 0 };

    (void)state;
    for (unsigned key = 0; key < 16000; key++) {
        uint8_t bytes[DISC_KEY_BYTES] = { 0 };
        size_t at[DISC_OWNERS];

        memcpy(bytes, &key, sizeof(key));
        (void)disc_rendezvous(bytes, member, 16, at);
        assert_true(at[0] != at[1] && at[1] != at[2] && at[0] != at[2]);
        owned[at[0]]++;
    }
    /* 1,000 expected, with a standard deviation of 31. */
    for (size_t i = 0; i < 16; i++)
        assert_in_range(owned[i], 850, 1150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_members_are_all_owners),
        cmocka_unit_test(the_order_of_the_members_does_not_matter),
        cmocka_unit_test(a_member_that_leaves_gives_its_keys_to_their_backups),
        cmocka_unit_test(a_member_that_joins_takes_only_what_it_owns_now),
        cmocka_unit_test(every_member_owns_about_as_much),
    };
    return cmocka_run_group_tests(tests, make_members, NULL);
}
