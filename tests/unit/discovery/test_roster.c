/* SPDX-License-Identifier: MIT */
/* The table of members: what is in it, in which order they are probed, and what makes room. */
#include "tests/lib/test.h"

#include "discovery/roster.h"

struct fixture {
    struct disc_cards *cards;
    struct disc_roster r;
    struct el_rng rng;
};

static int set_up(void **state)
{
    struct fixture *f = el_new(struct fixture);

    f->cards = disc_cards_new();
    disc_roster_init(&f->r);
    el_rng_seed(&f->rng, 1);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    disc_roster_deinit(&f->r);
    disc_cards_free(f->cards); /* asserts that every card was given back */
    free(f);
    return 0;
}

static const struct disc_card *card(struct fixture *f, unsigned i)
{
    char text[16];
    size_t n = (size_t)snprintf(text, sizeof(text), "n%u", i);
    const struct disc_fields fields = { .id = { text, n }, .host = { text, n }, .p2p_port = 1 };

    return disc_card_get(f->cards, &fields);
}

static uint32_t add(struct fixture *f, unsigned i, uint32_t now)
{
    uint32_t slot = disc_roster_add(&f->r, card(f, i), i + 1, now);

    if (slot != DISC_NO_SLOT)
        disc_roster_enlist(&f->r, &f->rng, slot);
    return slot;
}

static uint32_t find(struct fixture *f, unsigned i)
{
    const struct disc_card *c = card(f, i);
    uint32_t slot = disc_roster_find(&f->r, c->hash);

    disc_card_unref(c);
    return slot;
}

static void members_are_found_whatever_came_and_went(void **state)
{
    struct fixture *f = *state;
    bool is_in[500] = { false };

    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)el_rng_below(&f->rng, EL_COUNT(is_in));

        if (is_in[i])
            disc_roster_remove(&f->r, find(f, i));
        else
            assert_int_not_equal(add(f, i, step), DISC_NO_SLOT);
        is_in[i] = !is_in[i];
    }
    for (unsigned i = 0; i < EL_COUNT(is_in); i++) {
        uint32_t slot = find(f, i);

        assert_int_equal(slot != DISC_NO_SLOT, is_in[i]);
        if (is_in[i])
            assert_int_equal(disc_roster_at(&f->r, slot)->incarnation, i + 1);
    }
}

static void sums_say_who_lives_and_not_in_which_order_they_came(void **state)
{
    struct fixture *f = *state;
    uint64_t sum, parts = 0;

    for (unsigned i = 0; i < 100; i++)
        (void)add(f, i, 0);
    sum = disc_roster_sum(&f->r, 0, 0);
    for (uint32_t b = 0; b < 8; b++)
        parts ^= disc_roster_sum(&f->r, b, 3);
    assert_true(parts == sum);

    disc_roster_set(&f->r, find(f, 7), DISC_DEAD, 8, 1);
    assert_true(disc_roster_sum(&f->r, 0, 0) != sum);
    assert_true(f->r.n_live == 99 && f->r.n_gone == 1);
    disc_roster_remove(&f->r, find(f, 7));
    (void)add(f, 7, 2);
    assert_true(disc_roster_sum(&f->r, 0, 0) == sum);
}

static void each_is_probed_once_in_a_round(void **state)
{
    struct fixture *f = *state;
    unsigned probed[50] = { 0 };

    for (unsigned i = 0; i < EL_COUNT(probed); i++)
        (void)add(f, i, 0);
    for (unsigned i = 0; i < EL_COUNT(probed); i++)
        probed[disc_roster_next(&f->r, &f->rng)]++;
    for (unsigned i = 0; i < EL_COUNT(probed); i++)
        assert_int_equal(probed[i], 1);
}

static void members_that_come_and_go_do_not_fill_the_round(void **state)
{
    struct fixture *f = *state;
    size_t bytes;

    for (unsigned i = 0; i < 100; i++)
        (void)add(f, i, 0);
    bytes = disc_roster_bytes(&f->r);
    for (unsigned i = 0; i < 10000; i++) /* nobody is probed meanwhile */
        disc_roster_enlist(&f->r, &f->rng, 7);
    assert_true(disc_roster_bytes(&f->r) < bytes + 1000);
    assert_int_not_equal(disc_roster_next(&f->r, &f->rng), DISC_NO_SLOT);
}

static void the_oldest_dead_make_room_and_the_living_do_not(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < DISC_MAX_MEMBERS; i++)
        assert_int_not_equal(disc_roster_add(&f->r, card(f, i), 1, 0), DISC_NO_SLOT);
    assert_int_equal(add(f, DISC_MAX_MEMBERS, 0), DISC_NO_SLOT);

    disc_roster_set(&f->r, find(f, 5), DISC_DEAD, 1, 20);
    disc_roster_set(&f->r, find(f, 6), DISC_DEAD, 1, 10);
    assert_int_not_equal(add(f, DISC_MAX_MEMBERS, 30), DISC_NO_SLOT);
    assert_int_equal(find(f, 6), DISC_NO_SLOT);
    assert_int_not_equal(find(f, 5), DISC_NO_SLOT);
    assert_int_not_equal(find(f, DISC_MAX_MEMBERS), DISC_NO_SLOT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(members_are_found_whatever_came_and_went),
        TEST(sums_say_who_lives_and_not_in_which_order_they_came),
        TEST(each_is_probed_once_in_a_round),
        TEST(members_that_come_and_go_do_not_fill_the_round),
        TEST(the_oldest_dead_make_room_and_the_living_do_not),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
