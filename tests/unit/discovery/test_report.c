/* SPDX-License-Identifier: MIT */
/* What a control plane that does as docs/api.yaml says knows of a node's chunks. */
#include "discovery/report.h"

#include "common/rng.h"
#include "common/sha256.h"
#include "tests/lib/test.h"

#define CHUNKS 64u

static struct el_chunk_id chunk(unsigned i)
{
    struct el_chunk_id c = { .index = i };

    c.object[0] = (uint8_t)(i >> 8);
    c.object[1] = (uint8_t)i;
    return c;
}

/* The other side: what it holds of the node. */
struct service {
    bool has[CHUNKS], paged[CHUNKS];
    uint64_t epoch;
    unsigned pages;
};

static uint64_t digest_of(const bool has[CHUNKS])
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < CHUNKS; i++) {
        struct el_chunk_id c = chunk(i);

        sum += has[i] ? disc_report_digest_of(&c) : 0;
    }
    return sum;
}

static void take_page(struct service *s, const struct disc_report_part *p)
{
    assert_int_equal(p->n_removed, 0);
    assert_int_equal(p->page, s->pages);
    if (p->page == 0)
        memset(s->paged, 0, sizeof(s->paged));
    for (size_t i = 0; i < p->n_added; i++)
        s->paged[p->added[i].index] = true;
    s->pages++;
    if (s->pages < p->pages)
        return;
    memcpy(s->has, s->paged, sizeof(s->has));
    s->epoch = p->epoch;
    s->pages = 0;
}

/* False: it wants a full one. */
static bool take_delta(struct service *s, const struct disc_report_part *p)
{
    bool has[CHUNKS];

    memcpy(has, s->has, sizeof(has));
    for (size_t i = 0; i < p->n_added; i++)
        has[p->added[i].index] = true;
    for (size_t i = 0; i < p->n_removed; i++)
        has[p->removed[i].index] = false;
    if (p->base_epoch != s->epoch || digest_of(has) != p->digest)
        return false;
    memcpy(s->has, has, sizeof(has));
    s->epoch = p->epoch;
    return true;
}

/* One report; `way`: it comes through, its answer is lost, or it is lost itself. */
enum way { THROUGH, DEAF, LOST };

static void tell(struct disc_report *r, struct service *s, enum way way)
{
    struct disc_report_part p;
    bool was_taken = true;

    disc_report_next(r, &p);
    assert_true(p.epoch > s->epoch);
    if (way != LOST && p.is_full)
        take_page(s, &p);
    else if (way != LOST)
        was_taken = take_delta(s, &p);
    if (way != THROUGH) {
        s->pages = 0;
        disc_report_refused(r);
    } else if (was_taken) {
        disc_report_taken(r);
    } else {
        disc_report_restart(r, s->epoch);
    }
}

static void tell_all(struct disc_report *r, struct service *s)
{
    while (disc_report_is_due(r))
        tell(r, s, THROUGH);
}

static void note(struct disc_report *r, unsigned i, bool is_here)
{
    struct el_chunk_id c = chunk(i);

    assert_true(disc_report_note(r, &c, is_here));
}

static void the_first_report_is_a_full_one_even_of_nothing(void **state)
{
    struct disc_report *r = disc_report_new(1000);
    struct disc_report_part p;

    (void)state;
    assert_true(disc_report_is_due(r));
    disc_report_next(r, &p);
    assert_true(p.is_full && p.page == 0 && p.pages == 1 && p.n_added == 0);
    assert_int_equal(p.epoch, 1001);
    assert_false(disc_report_is_due(r));
    disc_report_taken(r);
    assert_false(disc_report_is_due(r));
    assert_int_equal(disc_report_told_epoch(r), 1001);
    disc_report_free(r);
}

static void a_digest_is_the_sum_of_the_first_bytes_of_sha256(void **state)
{
    /* printf 00000000000000000000000000000000-00000000 | sha256sum */
    struct el_chunk_id none = { .index = 0 };
    char hex[17];

    (void)state;
    (void)snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)disc_report_digest_of(&none));
    assert_string_equal(hex, "ce82c6189f567b39");
}

static void changes_are_told_and_what_was_undone_is_not(void **state)
{
    struct disc_report *r = disc_report_new(0);
    struct service s = { .epoch = 0 };
    struct disc_report_part p;

    (void)state;
    tell_all(r, &s);
    note(r, 1, true);
    note(r, 2, true);
    note(r, 2, false);
    note(r, 1, true);
    disc_report_next(r, &p);
    assert_true(!p.is_full && p.n_added == 1 && p.n_removed == 0 && p.added[0].index == 1);
    assert_true(take_delta(&s, &p));
    note(r, 1, false); /* while it is on its way */
    disc_report_taken(r);
    disc_report_next(r, &p);
    assert_true(p.n_added == 0 && p.n_removed == 1 && p.removed[0].index == 1);
    assert_true(take_delta(&s, &p));
    disc_report_taken(r);
    assert_int_equal(disc_report_count(r), 0);
    assert_int_equal(disc_report_told_digest(r), 0);
    disc_report_free(r);
}

static void a_full_report_comes_in_pages_and_holds_what_is_here(void **state)
{
    struct disc_report *r = disc_report_new(0);
    struct disc_report_part p;
    struct el_chunk_id c = { .index = 0 };
    uint64_t epoch = 0;
    size_t n = 0;

    (void)state;
    for (c.index = 0; c.index < 2 * DISC_REPORT_PAGE + 5; c.index++)
        assert_true(disc_report_note(r, &c, true));
    for (unsigned i = 0; i < 3; i++) {
        disc_report_next(r, &p);
        assert_true(p.is_full && p.page == i && p.pages == 3);
        epoch = i == 0 ? p.epoch : epoch;
        assert_int_equal(p.epoch, epoch);
        n += p.n_added;
        if (i == 0) { /* one that was in a page, one that was not yet, and a new one */
            assert_true(disc_report_note(r, &p.added[0], false));
            c.index = 2 * DISC_REPORT_PAGE + 4;
            assert_true(disc_report_note(r, &c, false));
            c.index = 3 * DISC_REPORT_PAGE;
            assert_true(disc_report_note(r, &c, true));
        }
        disc_report_taken(r);
    }
    assert_int_equal(n, 2 * DISC_REPORT_PAGE + 4);
    disc_report_next(r, &p);
    assert_true(!p.is_full && p.base_epoch == epoch && p.n_added == 1 && p.n_removed == 1);
    disc_report_taken(r);
    assert_false(disc_report_is_due(r));
    disc_report_free(r);
}

static void there_is_room_for_so_many_and_no_more(void **state)
{
    struct disc_report *r = disc_report_new(0);
    struct el_chunk_id c = { .index = 0 };

    (void)state;
    for (; c.index < DISC_REPORT_CHUNKS; c.index++)
        assert_true(disc_report_note(r, &c, true));
    assert_false(disc_report_note(r, &c, true));
    assert_true(disc_report_note(r, &c, false));
    assert_int_equal(disc_report_count(r), DISC_REPORT_CHUNKS);
    c.index = 7;
    assert_true(disc_report_note(r, &c, false));
    assert_false(disc_report_has(r, &c));
    assert_true(disc_report_note(r, &c, true));
    disc_report_free(r);
}

static void the_lag_counts_steps_in_which_nothing_was_taken(void **state)
{
    struct disc_report *r = disc_report_new(0);
    struct service s = { .epoch = 0 };

    (void)state;
    tell_all(r, &s);
    disc_report_step(r);
    assert_int_equal(disc_report_lag(r), 0);
    note(r, 1, true);
    disc_report_step(r);
    tell(r, &s, LOST);
    disc_report_step(r);
    assert_int_equal(disc_report_lag(r), 2);
    tell_all(r, &s);
    assert_int_equal(disc_report_lag(r), 0);
    disc_report_free(r);
}

/* Whatever is lost, and whenever the service forgets everything, both agree in the end. */
static void both_sides_agree_whatever_happened_between_them(void **state)
{
    struct el_rng rng;

    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct disc_report *r = disc_report_new(10);
        struct service s = { .epoch = 0 };

        el_rng_seed(&rng, seed);
        for (unsigned step = 0; step < 300; step++) {
            note(r, (unsigned)el_rng_below(&rng, CHUNKS), el_rng_below(&rng, 2) == 0);
            if (el_rng_below(&rng, 60) == 0)
                s = (struct service){ .epoch = 0 };
            if (disc_report_is_due(r) && el_rng_below(&rng, 3) == 0)
                tell(r, &s, el_rng_below(&rng, 4) > 0 ? THROUGH : (enum way)el_rng_below(&rng, 3));
        }
        note(r, 0, false);
        note(r, 0, true); /* it says something, so it hears that it is not known */
        note(r, 1, !disc_report_has(r, &(struct el_chunk_id){ .object = { 0, 1 }, .index = 1 }));
        tell_all(r, &s);
        for (unsigned i = 0; i < CHUNKS; i++) {
            struct el_chunk_id c = chunk(i);

            assert_int_equal(s.has[i], disc_report_has(r, &c));
        }
        assert_int_equal(disc_report_told_digest(r), digest_of(s.has));
        assert_int_equal(disc_report_told_epoch(r), s.epoch);
        disc_report_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_report_is_a_full_one_even_of_nothing),
        cmocka_unit_test(a_digest_is_the_sum_of_the_first_bytes_of_sha256),
        cmocka_unit_test(changes_are_told_and_what_was_undone_is_not),
        cmocka_unit_test(a_full_report_comes_in_pages_and_holds_what_is_here),
        cmocka_unit_test(there_is_room_for_so_many_and_no_more),
        cmocka_unit_test(the_lag_counts_steps_in_which_nothing_was_taken),
        cmocka_unit_test(both_sides_agree_whatever_happened_between_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
