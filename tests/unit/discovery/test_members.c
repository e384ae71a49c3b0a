/* SPDX-License-Identifier: MIT */
/* A handful of members with a post office between them; tests/sim has the large clusters. */
#include "tests/lib/test.h"

#include "discovery/discovery.h"

#define NODES    5u
#define START_MS 1700000000000u

struct town {
    struct disc_cards *cards;
    struct disc_members *m[NODES]; /* NULL: nobody lives there */
    bool is_cut[NODES];            /* nothing comes in or goes out */
    uint64_t now_ms;
    struct el_list mail; /* of letter.link */
    unsigned events[NODES][DISC_EVENT_CONFLICT + 1];
    char conflict_host[32];
};

struct letter {
    struct el_list link;
    size_t from, to;
    struct disc_out *out;
};

static const char *const names[NODES] = { "a", "b", "c", "d", "e" };

static uint64_t hash_of(size_t i)
{
    return disc_id_hash(el_str_of(names[i]));
}

/* Lives at `place` under the name of `i`. */
static void start_as(struct town *t, size_t place, size_t i, uint8_t flags, uint64_t start_ms)
{
    struct disc_members_conf conf = {
        .self = { .id = el_str_of(names[i]),
                  .host = el_str_of(names[place]),
                  .p2p_port = 9000,
                  .flags = flags },
        .start_ms = start_ms,
        .now_ms = t->now_ms,
        .cards = t->cards,
    };
    const struct el_str seed = EL_STR("a:9000");

    el_rng_seed(&conf.rng, place + 1);
    t->m[place] = disc_members_new(&conf);
    disc_members_set_seeds(t->m[place], &seed, NULL, 1, t->now_ms);
}

static void start(struct town *t, size_t i)
{
    start_as(t, i, i, 0, START_MS + t->now_ms);
}

static void stop(struct town *t, size_t i)
{
    disc_members_free(t->m[i]);
    t->m[i] = NULL;
}

static size_t place_of(const struct town *t, const struct disc_out *o)
{
    const char *host = o->address != NULL ? o->address : NULL;

    if (host == NULL && o->card != NULL)
        host = disc_card_host(o->card);
    for (size_t i = 0; i < NODES; i++)
        if (host != NULL ? host[0] == names[i][0] : t->m[i] != NULL && o->to == hash_of(i))
            return i;
    return NODES;
}

static uint64_t own_hash(const struct disc_members *m)
{
    struct disc_member self;
    size_t at = 0;

    assert_true(disc_members_each(m, &at, &self));
    return self.card->hash;
}

static void note_events(struct town *t, size_t i)
{
    struct disc_event e;

    while (disc_members_next_event(t->m[i], &e)) {
        t->events[i][e.kind]++;
        if (e.kind == DISC_EVENT_CONFLICT)
            (void)snprintf(t->conflict_host, sizeof(t->conflict_host), "%s",
                           disc_card_host(e.card));
        disc_card_unref(e.card);
    }
}

/* What the node has to send; a reply goes to where the last message came from. */
static void collect(struct town *t, size_t from, size_t reply_to)
{
    struct disc_out *o;

    while ((o = disc_members_next_out(t->m[from])) != NULL) {
        struct letter *l = el_new(struct letter);

        *l = (struct letter){ .from = from,
                              .to = o->is_reply ? reply_to : place_of(t, o),
                              .out = o };
        el_list_append(&t->mail, &l->link);
    }
    note_events(t, from);
}

static void carry(struct town *t, struct letter *l)
{
    struct disc_members *from = t->m[l->from], *to = l->to < NODES ? t->m[l->to] : NULL;
    struct disc_out *o = l->out;

    if (from == NULL) {
        /* it has ended meanwhile */
    } else if (to == NULL || t->is_cut[l->to] || t->is_cut[l->from]) {
        disc_members_unreachable(from, t->now_ms, o->to);
        collect(t, l->from, NODES);
    } else {
        assert_int_equal(
            disc_members_give(to, t->now_ms, own_hash(from), el_buf_str(&o->body), NULL), EL_OK);
        collect(t, l->to, l->from);
    }
    disc_out_free(o);
    free(l);
}

static void deliver(struct town *t)
{
    struct el_list *first;

    for (size_t i = 0; i < NODES; i++)
        if (t->m[i] != NULL)
            collect(t, i, NODES);
    while ((first = el_list_pop(&t->mail)) != NULL)
        carry(t, EL_ENTRY(first, struct letter, link));
}

static void run(struct town *t, uint64_t ms)
{
    uint64_t until_ms = t->now_ms + ms;

    for (; t->now_ms < until_ms; t->now_ms += 50) {
        for (size_t i = 0; i < NODES; i++)
            if (t->m[i] != NULL && disc_members_due_ms(t->m[i]) <= t->now_ms)
                disc_members_tick(t->m[i], t->now_ms);
        deliver(t);
    }
}

static enum disc_state seen(const struct town *t, size_t by, size_t whom)
{
    struct disc_member m;

    assert_true(disc_members_find(t->m[by], hash_of(whom), &m));
    return m.state;
}

static int set_up(void **state)
{
    struct town *t = el_new(struct town);

    t->cards = disc_cards_new();
    el_list_init(&t->mail);
    t->now_ms = 1000;
    *state = t;
    return 0;
}

static int tear_down(void **state)
{
    struct town *t = *state;

    for (size_t i = 0; i < NODES; i++)
        stop(t, i);
    disc_cards_free(t->cards); /* asserts that every card was given back */
    free(t);
    return 0;
}

static void everybody(struct town *t)
{
    for (size_t i = 0; i < NODES; i++)
        start(t, i);
    run(t, 3000);
    for (size_t i = 0; i < NODES; i++)
        assert_int_equal(disc_members_live(t->m[i]), NODES);
}

/* `by` passes on what it heard. */
static void tell(struct town *t, size_t to, size_t by, struct disc_update u)
{
    struct el_buf b = { 0 };

    disc_rumours_put(&b, START_MS << 16);
    disc_update_put(&b, &u);
    assert_int_equal(disc_members_give(t->m[to], t->now_ms, hash_of(by), el_buf_str(&b), NULL),
                     EL_OK);
    el_buf_deinit(&b);
}

static struct disc_update suspicion(const struct town *t, size_t by, size_t whom)
{
    struct disc_member m;

    assert_true(disc_members_find(t->m[by], hash_of(whom), &m));
    return (struct disc_update){ .state = DISC_SUSPECT,
                                 .hash = hash_of(whom),
                                 .incarnation = m.incarnation,
                                 .accuser = hash_of(by) };
}

/* ---- */

static void members_find_each_other_through_one_seed(void **state)
{
    struct town *t = *state;

    everybody(t);
    for (size_t i = 0; i < NODES; i++) {
        assert_int_equal(t->events[i][DISC_EVENT_JOINED], NODES - 1);
        assert_true(disc_members_digest(t->m[i]) == disc_members_digest(t->m[0]));
    }
}

static void a_member_whose_seed_comes_later_finds_it(void **state)
{
    struct town *t = *state;

    start(t, 1);
    run(t, 20000);
    assert_int_equal(disc_members_live(t->m[1]), 1);
    start(t, 0);
    run(t, 3000);
    assert_int_equal(disc_members_live(t->m[1]), 2);
}

static void one_that_dies_is_suspected_and_then_dead(void **state)
{
    struct town *t = *state;
    uint64_t version;

    everybody(t);
    version = disc_members_version(t->m[0]);
    stop(t, 4);
    run(t, 20000);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(seen(t, i, 4), DISC_DEAD);
        assert_int_equal(t->events[i][DISC_EVENT_SUSPECTED], 1);
        assert_int_equal(t->events[i][DISC_EVENT_DEAD], 1);
    }
    assert_true(disc_members_version(t->m[0]) > version);
}

static void one_that_leaves_is_gone_at_once_and_never_dead(void **state)
{
    struct town *t = *state;

    everybody(t);
    disc_members_leave(t->m[4], t->now_ms);
    deliver(t);
    stop(t, 4);
    run(t, 1000);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(seen(t, i, 4), DISC_LEFT);
    run(t, 60000);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(t->events[i][DISC_EVENT_DEAD], 0);
}

static void a_suspicion_is_answered_with_a_higher_incarnation(void **state)
{
    struct town *t = *state;
    struct disc_member before, after;

    everybody(t);
    assert_true(disc_members_find(t->m[0], hash_of(4), &before));
    tell(t, 0, 1, suspicion(t, 1, 4));
    assert_int_equal(seen(t, 0, 4), DISC_SUSPECT);
    run(t, 2000);
    assert_true(disc_members_find(t->m[0], hash_of(4), &after));
    assert_int_equal(after.state, DISC_ALIVE);
    assert_true(after.incarnation > before.incarnation);
    assert_int_equal(t->events[0][DISC_EVENT_TRUSTED], 1);
    assert_int_equal(t->events[0][DISC_EVENT_DEAD], 0);
}

static void old_news_of_the_dead_bring_nobody_back(void **state)
{
    struct town *t = *state;
    struct disc_member dead;

    everybody(t);
    stop(t, 4);
    run(t, 20000);
    assert_true(disc_members_find(t->m[0], hash_of(4), &dead));
    tell(t, 0, 1, (struct disc_update){ .hash = hash_of(4), .incarnation = dead.incarnation });
    assert_int_equal(seen(t, 0, 4), DISC_DEAD);
}

static void one_that_starts_again_at_another_address_is_followed(void **state)
{
    struct town *t = *state;
    struct disc_member m;

    for (size_t i = 0; i < 3; i++)
        start(t, i);
    run(t, 3000);
    stop(t, 2);
    start_as(t, 3, 2, 0, START_MS + 60000);
    run(t, 3000);
    assert_true(disc_members_find(t->m[0], hash_of(2), &m));
    assert_int_equal(m.state, DISC_ALIVE);
    assert_string_equal(disc_card_host(m.card), "d");
    assert_int_equal(t->events[0][DISC_EVENT_MOVED], 1);
    assert_int_equal(t->events[0][DISC_EVENT_JOINED], 2);
}

static void one_that_starts_again_with_its_clock_gone_back_is_a_member_again(void **state)
{
    struct town *t = *state;
    struct disc_member before, after;

    everybody(t);
    assert_true(disc_members_find(t->m[0], hash_of(4), &before));
    stop(t, 4);
    start_as(t, 4, 4, 0, START_MS - 1000000);
    run(t, 5000);
    assert_true(disc_members_find(t->m[0], hash_of(4), &after));
    assert_int_equal(after.state, DISC_ALIVE);
    assert_true(after.incarnation > before.incarnation);
    assert_int_equal(disc_members_live(t->m[4]), NODES);
    assert_int_equal(t->events[4][DISC_EVENT_CONFLICT], 0);
}

static void two_with_one_id_are_named_to_the_elder_and_do_not_fight(void **state)
{
    struct town *t = *state;
    struct disc_member m;

    for (size_t i = 0; i < 3; i++)
        start(t, i);
    run(t, 3000);
    start_as(t, 3, 2, 0, START_MS + 60000); /* "c", at d's place, while c runs */
    run(t, 30000);
    assert_int_equal(t->events[2][DISC_EVENT_CONFLICT], 1);
    assert_string_equal(t->conflict_host, "d");
    assert_int_equal(t->events[3][DISC_EVENT_CONFLICT], 0);
    assert_true(disc_members_find(t->m[0], hash_of(2), &m));
    assert_string_equal(disc_card_host(m.card), "d");
    assert_int_equal(t->events[0][DISC_EVENT_MOVED], 1);
}

static void two_halves_find_each_other_again(void **state)
{
    struct town *t = *state;

    everybody(t);
    t->is_cut[4] = true;
    run(t, 60000);
    assert_int_equal(disc_members_live(t->m[0]), NODES - 1);
    assert_int_equal(disc_members_live(t->m[4]), 1);
    t->is_cut[4] = false;
    run(t, 10000);
    for (size_t i = 0; i < NODES; i++)
        assert_int_equal(disc_members_live(t->m[i]), NODES);
}

static void a_node_that_was_stopped_for_a_while_buries_nobody(void **state)
{
    struct town *t = *state;

    everybody(t);
    tell(t, 4, 1, suspicion(t, 1, 0));
    assert_int_equal(seen(t, 4, 0), DISC_SUSPECT);
    t->now_ms += 60000;
    disc_members_tick(t->m[4], t->now_ms);
    assert_int_equal(seen(t, 4, 0), DISC_SUSPECT);
    run(t, 5000);
    assert_int_equal(seen(t, 4, 0), DISC_ALIVE);
    assert_int_equal(t->events[4][DISC_EVENT_DEAD], 0);
}

static void one_that_cannot_be_connected_to_is_a_member_as_long_as_it_says_so(void **state)
{
    struct town *t = *state;

    for (size_t i = 0; i < 3; i++)
        start(t, i);
    start_as(t, 3, 3, DISC_FLAG_OUTBOUND_ONLY, START_MS);
    run(t, 120000);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(disc_members_live(t->m[i]), 4);
    assert_int_equal(t->events[0][DISC_EVENT_SUSPECTED], 0);
    stop(t, 3);
    run(t, 40000);
    assert_int_equal(seen(t, 0, 3), DISC_ALIVE);
    run(t, 40000);
    assert_int_equal(seen(t, 0, 3), DISC_DEAD);
}

static void the_dead_are_forgotten_after_a_day(void **state)
{
    struct town *t = *state;
    struct disc_member m;

    start(t, 0);
    start(t, 1);
    run(t, 3000);
    stop(t, 1);
    run(t, 20000);
    assert_int_equal(seen(t, 0, 1), DISC_DEAD);
    t->now_ms += 23u * 3600000u;
    run(t, 10000);
    assert_true(disc_members_find(t->m[0], hash_of(1), &m));
    t->now_ms += 2u * 3600000u;
    run(t, 10000);
    assert_false(disc_members_find(t->m[0], hash_of(1), &m));
}

/* Messages to an address, in so long. */
static unsigned tries(struct town *t, size_t by, uint64_t ms)
{
    uint64_t until_ms = t->now_ms + ms;
    struct disc_out *o;
    unsigned n = 0;

    for (; t->now_ms < until_ms; t->now_ms += 50) {
        disc_members_tick(t->m[by], t->now_ms);
        while ((o = disc_members_next_out(t->m[by])) != NULL) {
            n += o->address != NULL;
            disc_out_free(o);
        }
    }
    return n;
}

static void a_seed_at_which_a_member_was_found_is_left_alone(void **state)
{
    struct town *t = *state;
    const struct el_str seeds[] = { EL_STR("other-name-of-a:1"), EL_STR("[::1]:1") };

    start(t, 0);
    disc_members_set_seeds(t->m[0], seeds, NULL, 2, t->now_ms);
    assert_true(tries(t, 0, 10000) > 0);
    disc_members_reached(t->m[0], seeds[0], hash_of(0)); /* this very node */
    disc_members_reached(t->m[0], seeds[1], hash_of(0));
    disc_members_set_seeds(t->m[0], seeds, NULL, 2, t->now_ms);
    assert_int_equal(tries(t, 0, 10000), 0);
    disc_members_reached(t->m[0], seeds[1], hash_of(1)); /* who has never joined */
    assert_true(tries(t, 0, 10000) > 0);
}

static void a_seed_in_brackets_is_the_member_at_that_address(void **state)
{
    struct town *t = *state;
    const struct el_str seed = EL_STR("[fd00::1]:9000");
    struct disc_members_conf conf = {
        .self = { .id = EL_STR("a"), .host = EL_STR("fd00::1"), .p2p_port = 9000 },
        .start_ms = START_MS,
        .now_ms = t->now_ms,
        .cards = t->cards,
    };

    el_rng_seed(&conf.rng, 1);
    t->m[0] = disc_members_new(&conf);
    disc_members_set_seeds(t->m[0], &seed, NULL, 1, t->now_ms);
    assert_int_equal(tries(t, 0, 10000), 0);
}

/* Nobody answers node 0: whom it asks for help, and about whom. */
struct asked {
    uint64_t helper[4], target;
    uint32_t sequence;
    size_t n;
};

static void note_asked(struct asked *a, const struct disc_out *o)
{
    struct disc_message msg;

    assert_int_equal(disc_message_decode(el_buf_str(&o->body), &msg, NULL), EL_OK);
    if (msg.type != DISC_PROBE_ASK)
        return;
    a->target = msg.target;
    a->sequence = msg.sequence;
    a->helper[a->n++] = o->to;
}

static void ask_for_help(struct town *t, struct asked *a)
{
    struct disc_out *o;

    while (a->n == 0) {
        t->now_ms += 50;
        disc_members_tick(t->m[0], t->now_ms);
        while ((o = disc_members_next_out(t->m[0])) != NULL) {
            note_asked(a, o);
            disc_out_free(o);
        }
    }
}

static void deny(struct town *t, const struct asked *a, uint64_t by)
{
    struct el_buf b = { 0 };

    disc_probe_ack_put(&b, a->sequence, START_MS << 16, DISC_ACK_NEGATIVE);
    assert_int_equal(disc_members_give(t->m[0], t->now_ms, by, el_buf_str(&b), NULL), EL_OK);
    el_buf_deinit(&b);
}

static void only_who_was_asked_for_help_can_say_that_a_member_is_silent(void **state)
{
    struct town *t = *state;
    struct asked a = { 0 };

    everybody(t);
    ask_for_help(t, &a);
    for (size_t i = 0; i < a.n; i++)
        deny(t, &a, a.target);
    note_events(t, 0);
    assert_int_equal(t->events[0][DISC_EVENT_SUSPECTED], 0);
    for (size_t i = 0; i < a.n; i++)
        deny(t, &a, a.helper[i]);
    note_events(t, 0);
    assert_int_equal(t->events[0][DISC_EVENT_SUSPECTED], 1);
}

static void what_is_malformed_changes_nothing(void **state)
{
    struct town *t = *state;
    struct el_error err;

    start(t, 0);
    assert_int_equal(disc_members_give(t->m[0], t->now_ms, hash_of(1), EL_STR("\006abc"), &err),
                     EL_EPROTO);
    assert_int_equal(disc_members_give(t->m[0], t->now_ms, hash_of(1), EL_STR("c"), &err),
                     EL_EPROTO);
    assert_null(disc_members_next_out(t->m[0]));
}

static void nobody_introduces_another(void **state)
{
    struct town *t = *state;
    const struct disc_fields f = { .id = EL_STR("e"), .host = EL_STR("x"), .p2p_port = 1 };
    struct disc_member m;
    struct el_buf b = { 0 };

    start(t, 0);
    disc_join_put(&b, 0, START_MS << 16, &f);
    assert_int_equal(disc_members_give(t->m[0], t->now_ms, hash_of(1), el_buf_str(&b), NULL),
                     EL_OK);
    assert_false(disc_members_find(t->m[0], hash_of(4), &m));
    el_buf_deinit(&b);
}

/* ---- where a member was first heard of ---- */

static enum disc_learnt learnt(const struct town *t, size_t by, size_t whom)
{
    struct disc_member m;

    assert_true(disc_members_find(t->m[by], hash_of(whom), &m));
    return m.learnt;
}

/* `by` passes on that `whom` lives, at an address that is its own. */
static void introduce(struct town *t, size_t to, size_t by, size_t whom)
{
    tell(t, to, by,
         (struct disc_update){ .state = DISC_ALIVE,
                               .has_fields = true,
                               .hash = hash_of(whom),
                               .incarnation = START_MS << 16,
                               .fields = { .id = el_str_of(names[whom]),
                                           .host = el_str_of(names[whom]),
                                           .p2p_port = 9000 } });
}

static void a_member_is_known_by_who_named_it_first(void **state)
{
    struct town *t = *state;

    start(t, 0);
    start(t, 1);
    run(t, 3000);
    assert_int_equal(learnt(t, 0, 0), DISC_LEARNT_SELF);
    assert_int_equal(learnt(t, 1, 0), DISC_LEARNT_SEED);
    assert_int_equal(learnt(t, 0, 1), DISC_LEARNT_CALL);
    introduce(t, 1, 0, 3);
    introduce(t, 1, 4, 4); /* which has come by itself */
    assert_int_equal(learnt(t, 1, 3), DISC_LEARNT_GOSSIP);
    assert_int_equal(learnt(t, 1, 4), DISC_LEARNT_CALL);
}

static void a_seed_is_known_by_its_provider_whoever_speaks_first(void **state)
{
    struct town *t = *state;
    const struct el_str seeds[] = { EL_STR("b:9000"), EL_STR("name-of-c:1"), EL_STR("d:9000") };
    const enum disc_learnt from[] = { DISC_LEARNT_FILE, DISC_LEARNT_DNS,
                                      DISC_LEARNT_CONTROL_PLANE };

    start(t, 0);
    disc_members_set_seeds(t->m[0], seeds, from, 3, t->now_ms);
    disc_members_reached(t->m[0], seeds[1], hash_of(2));
    introduce(t, 0, 1, 1);
    introduce(t, 0, 1, 2);
    introduce(t, 0, 1, 3);
    introduce(t, 0, 1, 4);
    assert_int_equal(learnt(t, 0, 1), DISC_LEARNT_FILE);
    assert_int_equal(learnt(t, 0, 2), DISC_LEARNT_DNS);
    assert_int_equal(learnt(t, 0, 3), DISC_LEARNT_CONTROL_PLANE);
    assert_int_equal(learnt(t, 0, 4), DISC_LEARNT_GOSSIP);
}

static void it_stays_so_over_other_seeds_death_and_a_new_start(void **state)
{
    struct town *t = *state;
    const struct el_str seed = EL_STR("b:9000");

    start(t, 0);
    start(t, 1);
    run(t, 3000);
    assert_int_equal(learnt(t, 0, 1), DISC_LEARNT_CALL);
    disc_members_set_seeds(t->m[0], &seed, NULL, 1, t->now_ms);
    stop(t, 1);
    run(t, 20000);
    assert_int_equal(seen(t, 0, 1), DISC_DEAD);
    start(t, 1);
    run(t, 3000);
    assert_int_equal(seen(t, 0, 1), DISC_ALIVE);
    assert_int_equal(learnt(t, 0, 1), DISC_LEARNT_CALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(members_find_each_other_through_one_seed),
        TEST(a_member_whose_seed_comes_later_finds_it),
        TEST(one_that_dies_is_suspected_and_then_dead),
        TEST(one_that_leaves_is_gone_at_once_and_never_dead),
        TEST(a_suspicion_is_answered_with_a_higher_incarnation),
        TEST(old_news_of_the_dead_bring_nobody_back),
        TEST(one_that_starts_again_at_another_address_is_followed),
        TEST(one_that_starts_again_with_its_clock_gone_back_is_a_member_again),
        TEST(two_with_one_id_are_named_to_the_elder_and_do_not_fight),
        TEST(two_halves_find_each_other_again),
        TEST(a_node_that_was_stopped_for_a_while_buries_nobody),
        TEST(one_that_cannot_be_connected_to_is_a_member_as_long_as_it_says_so),
        TEST(the_dead_are_forgotten_after_a_day),
        TEST(a_seed_at_which_a_member_was_found_is_left_alone),
        TEST(a_seed_in_brackets_is_the_member_at_that_address),
        TEST(only_who_was_asked_for_help_can_say_that_a_member_is_silent),
        TEST(what_is_malformed_changes_nothing),
        TEST(nobody_introduces_another),
        TEST(a_member_is_known_by_who_named_it_first),
        TEST(a_seed_is_known_by_its_provider_whoever_speaks_first),
        TEST(it_stays_so_over_other_seeds_death_and_a_new_start),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
