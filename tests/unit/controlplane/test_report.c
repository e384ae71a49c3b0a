/* SPDX-License-Identifier: MIT */
#include "controlplane/chunks.h"

#include "common/rng.h"
#include "tests/lib/control.h"
#include "tests/lib/test.h"

#define NODES   9u
#define OBJECTS 12u
#define CHUNKS  150u /* of each */

/* What is where, written down as plainly as it can be. */
struct model {
    bool has[NODES][OBJECTS][CHUNKS];
    bool is_there[NODES];
    uint64_t epoch[NODES];
};

static void name_of(unsigned node, char ret[8])
{
    (void)snprintf(ret, 8, "n%u", node);
}

static uint64_t digest_of(const struct model *m, unsigned node)
{
    uint64_t sum = 0;

    for (unsigned o = 0; o < OBJECTS; o++) {
        for (uint32_t c = 0; c < CHUNKS; c++) {
            struct el_chunk_id id = control_chunk(o, c);

            if (m->has[node][o][c])
                sum += el_chunk_id_digest(&id);
        }
    }
    return sum;
}

struct found {
    const struct model *m;
    unsigned object;
    uint32_t chunk;
};

static void check_located(void *arg, const struct el_chunk_id *id,
                          const struct cp_node *const *holders, size_t n, size_t total)
{
    struct found *f = (struct found *)arg;
    size_t wanted = 0;

    for (unsigned node = 0; node < NODES; node++)
        wanted += f->m->has[node][f->object][f->chunk];
    assert_int_equal(id->index, f->chunk);
    assert_int_equal(total, wanted);
    assert_int_equal(n, wanted);
    for (size_t i = 0; i < n; i++) {
        assert_true(f->m->has[holders[i]->card.node_id[1] - '0'][f->object][f->chunk]);
        for (size_t k = 0; k < i; k++)
            assert_ptr_not_equal(holders[i], holders[k]);
    }
}

static void check_index(struct cp_state *s, const struct model *m)
{
    struct cp_metrics metrics;
    uint64_t locations = 0, digest = 0;

    for (unsigned o = 0; o < OBJECTS; o++) {
        for (uint32_t c = 0; c < CHUNKS; c++) {
            struct el_chunk_id id = control_chunk(o, c);
            struct cp_question q = { .ids = &id, .n = 1, .max_holders = CP_HOLDERS_MAX };
            struct found f = { m, o, c };

            assert_int_equal(cp_chunks_locate(s, &q, check_located, &f, NULL), EL_OK);
            for (unsigned node = 0; node < NODES; node++)
                locations += m->has[node][o][c];
        }
    }
    for (unsigned node = 0; node < NODES; node++) {
        char name[8];

        name_of(node, name);
        assert_int_equal(cp_node_get(s, el_str_of(name)) != NULL, m->is_there[node]);
        digest += digest_of(m, node);
    }
    cp_state_metrics(s, &metrics);
    assert_int_equal(metrics.locations, locations);
    assert_true(cp_state_digest(s) == digest);
}

static size_t list_of(const struct model *m, unsigned node, struct el_chunk_id *ids)
{
    size_t n = 0;

    for (unsigned o = 0; o < OBJECTS; o++) {
        for (uint32_t c = 0; c < CHUNKS; c++) {
            if (m->has[node][o][c])
                ids[n++] = control_chunk(o, c);
        }
    }
    return n;
}

static struct el_chunk_id ids[OBJECTS * CHUNKS], lost[OBJECTS * CHUNKS];

/* A span of one object comes to be as `is_had` says. */
static void change_some(struct model *m, unsigned node, struct el_rng *rng, bool is_had)
{
    unsigned o = (unsigned)el_rng_below(rng, OBJECTS);
    uint32_t from = (uint32_t)el_rng_below(rng, CHUNKS);
    uint32_t to = from + (uint32_t)el_rng_below(rng, CHUNKS - from) + 1;

    for (uint32_t c = from; c < to; c++)
        m->has[node][o][c] = is_had;
}

static void report_delta(struct cp_state *s, struct model *m, unsigned node, struct el_rng *rng)
{
    static struct model was;
    struct cp_report r = { .kind = CP_REPORT_DELTA, .has = ids, .lost = lost, .has_digest = true };
    bool wants_full;
    char name[8];

    was = *m;
    change_some(m, node, rng, true);
    change_some(m, node, rng, false);
    for (unsigned o = 0; o < OBJECTS; o++) {
        for (uint32_t c = 0; c < CHUNKS; c++) {
            if (m->has[node][o][c] && !was.has[node][o][c])
                ids[r.has_n++] = control_chunk(o, c);
            else if (!m->has[node][o][c] && was.has[node][o][c])
                lost[r.lost_n++] = control_chunk(o, c);
        }
    }
    r.base_epoch = m->epoch[node];
    r.epoch = ++m->epoch[node];
    r.digest = digest_of(m, node);
    name_of(node, name);
    assert_int_equal(cp_chunks_report(s, el_str_of(name), &r, &wants_full, NULL), EL_OK);
    assert_false(wants_full);
    assert_int_equal(cp_chunks_report(s, el_str_of(name), &r, &wants_full, NULL), EL_OK);
    assert_false(wants_full); /* again: nothing happens */
}

static void report_full(struct cp_state *s, struct model *m, unsigned node, struct el_rng *rng)
{
    uint32_t pages = (uint32_t)el_rng_below(rng, 4);
    struct cp_report r = { .kind = CP_REPORT_FULL, .has = ids, .has_digest = true };
    bool wants_full;
    char name[8];

    change_some(m, node, rng, true);
    change_some(m, node, rng, el_rng_below(rng, 2) == 0);
    r.epoch = ++m->epoch[node];
    r.digest = digest_of(m, node);
    r.has_n = list_of(m, node, ids);
    name_of(node, name);
    if (pages > 0) {
        size_t each = r.has_n / pages, n = r.has_n;

        r.kind = CP_REPORT_PAGE;
        r.pages = pages;
        for (r.page = 0; r.page < pages; r.page++) {
            r.has = ids + r.page * each;
            r.has_n = r.page + 1 == pages ? n - r.page * each : each;
            assert_int_equal(cp_chunks_report(s, el_str_of(name), &r, &wants_full, NULL), EL_OK);
            assert_false(wants_full);
        }
        return;
    }
    assert_int_equal(cp_chunks_report(s, el_str_of(name), &r, &wants_full, NULL), EL_OK);
    assert_false(wants_full);
}

static void come_or_go(struct cp_state *s, struct model *m, unsigned node, struct el_rng *rng)
{
    char name[8];

    name_of(node, name);
    if (!m->is_there[node]) {
        control_register(s, name, "");
        m->is_there[node] = true;
        m->epoch[node] = 0;
        report_full(s, m, node, rng);
    } else if (el_rng_below(rng, 4) == 0) {
        assert_int_equal(cp_node_remove(s, el_str_of(name), NULL), EL_OK);
        m->is_there[node] = false;
        memset(m->has[node], 0, sizeof(m->has[node]));
    }
}

/* Whatever nodes report, in whatever order: here, where its records are read, and where they are
 * followed. */
static void the_index_is_what_nodes_have_reported_here_and_wherever_records_go(void **state)
{
    static struct model m;
    struct cp_state *s = control_state(), *follower = control_state(), *copy;
    struct el_rng rng;

    (void)state;
    el_rng_seed(&rng, 3);
    for (unsigned step = 0; step < 600; step++) {
        unsigned node = (unsigned)el_rng_below(&rng, NODES);

        if (!m.is_there[node] || el_rng_below(&rng, 5) == 0)
            come_or_go(s, &m, node, &rng);
        else if (el_rng_below(&rng, 4) == 0)
            report_full(s, &m, node, &rng);
        else
            report_delta(s, &m, node, &rng);
        if (step % 50 != 49)
            continue;
        cp_state_now(s, 2000 + step * 20, 1700000000000 + step);
        cp_state_tick(s, true);
        control_pass_on(s, follower);
        copy = control_copy(s);
        check_index(s, &m);
        check_index(follower, &m);
        check_index(copy, &m);
        cp_state_free(copy);
    }
    cp_state_free(s);
    cp_state_free(follower);
}

static void what_the_last_node_had_leaves_nothing_behind(void **state)
{
    struct cp_state *s = control_state();
    struct cp_metrics before, after;
    struct el_chunk_id some[300];

    (void)state;
    cp_state_metrics(s, &before);
    for (uint32_t i = 0; i < 300; i++)
        some[i] = control_chunk(i % 7, i);
    control_register(s, "n1", "");
    control_report(s, "n1", some, 300);
    cp_state_metrics(s, &after);
    assert_int_equal(after.total_chunks, 300);
    assert_int_equal(cp_node_remove(s, EL_STR("n1"), NULL), EL_OK);
    cp_state_metrics(s, &after);
    assert_int_equal(after.total_chunks, 0);
    assert_int_equal(after.locations, 0);
    assert_true(cp_state_digest(s) == 0);
    assert_false(cp_object_get(s, some[0].object, &(struct cp_object){ 0 }));
    cp_state_free(s);
}

static bool is_refused(struct cp_state *s, const struct cp_report *r)
{
    bool wants_full = false;

    assert_int_equal(cp_chunks_report(s, EL_STR("n1"), r, &wants_full, NULL), EL_OK);
    return wants_full;
}

static void a_report_that_does_not_fit_changes_nothing_and_asks_for_a_full_one(void **state)
{
    struct cp_state *s = control_state();
    struct el_chunk_id one = control_chunk(1, 1), two = control_chunk(2, 70);
    struct cp_report r = { .kind = CP_REPORT_DELTA,
                           .base_epoch = 1,
                           .epoch = 2,
                           .has = &two,
                           .has_n = 1,
                           .has_digest = true };
    uint64_t known;

    (void)state;
    control_register(s, "n1", "");
    assert_true(is_refused(s, &r)); /* there is nothing to build on */
    control_report(s, "n1", &one, 1);
    known = cp_state_digest(s);
    r.digest = known;
    assert_true(is_refused(s, &r)); /* the digest is another */
    r.digest = known + el_chunk_id_digest(&two);
    r.base_epoch = 5;
    assert_true(is_refused(s, &r)); /* one was lost */
    assert_true(cp_state_digest(s) == known);
    r.base_epoch = 1;
    assert_false(is_refused(s, &r));
    assert_true(cp_state_digest(s) == r.digest);

    r = (struct cp_report){ .kind = CP_REPORT_PAGE, .epoch = 3, .page = 1, .pages = 3 };
    assert_true(is_refused(s, &r)); /* not the first page */
    r.page = 0;
    assert_false(is_refused(s, &r));
    r.page = 2;
    assert_true(is_refused(s, &r)); /* one is missing */
    cp_state_free(s);
}

static void a_node_hears_in_its_beat_that_a_report_was_lost(void **state)
{
    struct cp_state *s = control_state();
    struct el_chunk_id one = control_chunk(1, 1);
    struct cp_beat beat = { .is_online = true, .has_report = true, .report_epoch = 1 };
    struct cp_beat_answer answer;

    (void)state;
    control_register(s, "n1", "");
    control_report(s, "n1", &one, 1);
    beat.report_digest = el_chunk_id_digest(&one);
    assert_int_equal(cp_node_beat(s, EL_STR("n1"), &beat, &answer, NULL), EL_OK);
    assert_false(answer.is_full_report_wanted);
    beat.report_digest++;
    assert_int_equal(cp_node_beat(s, EL_STR("n1"), &beat, &answer, NULL), EL_OK);
    assert_true(answer.is_full_report_wanted);
    cp_state_free(s);
}

static void count_zone(void *arg, const struct el_chunk_id *id,
                       const struct cp_node *const *holders, size_t n, size_t total)
{
    size_t *near = (size_t *)arg;

    (void)id;
    assert_int_equal(n, 3);
    assert_int_equal(total, 20);
    for (size_t i = 0; i < n; i++) {
        assert_string_not_equal(holders[i]->card.node_id, "m0");
        *near += strcmp(holders[i]->card.zone, "east") == 0;
    }
}

static void holders_in_the_zone_of_who_asks_come_first_and_it_is_not_sent_to_itself(void **state)
{
    struct cp_state *s = control_state();
    struct el_chunk_id id = control_chunk(3, 3);
    struct cp_question q = { .asker = EL_STR("m0"), .ids = &id, .n = 1, .max_holders = 3 };
    size_t near = 0;

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "m%u", i);
        control_register(s, name, i < 3 ? "east" : "west");
        control_report(s, name, &id, 1);
    }
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(cp_chunks_locate(s, &q, count_zone, &near, NULL), EL_OK);
    assert_int_equal(near, 100); /* m1 and m2 each time */
    cp_state_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_index_is_what_nodes_have_reported_here_and_wherever_records_go),
        cmocka_unit_test(what_the_last_node_had_leaves_nothing_behind),
        cmocka_unit_test(a_report_that_does_not_fit_changes_nothing_and_asks_for_a_full_one),
        cmocka_unit_test(a_node_hears_in_its_beat_that_a_report_was_lost),
        cmocka_unit_test(holders_in_the_zone_of_who_asks_come_first_and_it_is_not_sent_to_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
