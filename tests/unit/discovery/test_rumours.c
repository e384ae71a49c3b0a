/* SPDX-License-Identifier: MIT */
/* What is passed on: the newest first, so often, and no more than so much. */
#include "tests/lib/test.h"

#include "discovery/rumours.h"

#define MEMBERS (DISC_MAX_RUMOURS + 1u)

struct fixture {
    struct disc_cards *cards;
    struct disc_roster r;
    struct disc_rumours q;
    struct el_buf out;
};

static int set_up(void **state)
{
    struct fixture *f = el_new(struct fixture);

    f->cards = disc_cards_new();
    disc_roster_init(&f->r);
    disc_rumours_init(&f->q);
    for (unsigned i = 0; i < MEMBERS; i++) {
        char text[16];
        size_t n = (size_t)snprintf(text, sizeof(text), "n%u", i);
        const struct disc_fields x = { .id = { text, n }, .host = { text, n }, .p2p_port = 1 };

        (void)disc_roster_add(&f->r, disc_card_get(f->cards, &x), i, 0);
    }
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    disc_rumours_deinit(&f->q);
    disc_roster_deinit(&f->r);
    disc_cards_free(f->cards);
    el_buf_deinit(&f->out);
    free(f);
    return 0;
}

/* The incarnation that is told next, which is the number of the member here; -1: none. */
static long next_told(struct fixture *f)
{
    struct el_bytes in;
    struct disc_update u;

    el_buf_clear(&f->out);
    disc_rumours_tell(&f->q, &f->r, &f->out, DISC_MAX_UPDATE);
    in = el_bytes_of(el_buf_str(&f->out));
    if (!disc_update_next(&in, &u))
        return -1;
    assert_int_equal(in.rest.n, 0);
    return (long)u.incarnation;
}

static void the_newest_is_told_first_and_each_before_one_is_told_again(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 3; i++)
        disc_rumours_add(&f->q, &f->r, i, false, 0);
    assert_int_equal(next_told(f), 2);
    assert_int_equal(next_told(f), 1);
    disc_rumours_add(&f->q, &f->r, 9, false, 0);
    assert_int_equal(next_told(f), 9);
    assert_int_equal(next_told(f), 0);
    assert_int_equal(next_told(f), 2);
}

static void a_later_change_makes_what_was_to_be_told_void(void **state)
{
    struct fixture *f = *state;

    disc_rumours_add(&f->q, &f->r, 1, false, 0);
    disc_roster_set(&f->r, 1, DISC_DEAD, 77, 1);
    assert_int_equal(next_told(f), -1);
    disc_rumours_add(&f->q, &f->r, 1, false, 0);
    assert_int_equal(next_told(f), 77);
}

static void a_rumour_dies_out_and_leaves_no_memory_behind(void **state)
{
    struct fixture *f = *state;
    unsigned told = 0;

    disc_rumours_add(&f->q, &f->r, 1, true, 0);
    while (next_told(f) == 1)
        told++;
    assert_int_equal(told, 11 + 4); /* of 1025 members */
    assert_int_equal(f->q.cap, 0);
    disc_rumours_add(&f->q, &f->r, 2, true, 0);
    assert_int_equal(next_told(f), 2);
}

static void of_too_many_the_most_told_is_dropped(void **state)
{
    struct fixture *f = *state;
    bool is_told[MEMBERS] = { false };

    for (uint32_t i = 0; i < 2; i++)
        disc_rumours_add(&f->q, &f->r, i, false, 0);
    assert_int_equal(next_told(f), 1);
    for (uint32_t i = 2; i < MEMBERS; i++)
        disc_rumours_add(&f->q, &f->r, i, false, 0);
    assert_int_equal(f->q.n, DISC_MAX_RUMOURS);
    for (unsigned i = 0; i < DISC_MAX_RUMOURS; i++)
        is_told[next_told(f)] = true;
    for (unsigned i = 0; i < MEMBERS; i++)
        assert_int_equal(is_told[i], i != 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(the_newest_is_told_first_and_each_before_one_is_told_again),
        TEST(a_later_change_makes_what_was_to_be_told_void),
        TEST(a_rumour_dies_out_and_leaves_no_memory_behind),
        TEST(of_too_many_the_most_told_is_dropped),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
