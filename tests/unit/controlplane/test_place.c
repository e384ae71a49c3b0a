/* SPDX-License-Identifier: MIT */
/* Decisions, commands and operations, with nodes that do what they are told. */
#include "controlplane/place.h"

#include "controlplane/alerts.h"
#include "controlplane/commands.h"
#include "controlplane/groups.h"
#include "controlplane/operations.h"
#include "tests/lib/control.h"
#include "tests/lib/test.h"

#define NODES  8u
#define CHUNKS 40u

/* A cluster of nodes with disks of 100 chunks, in zones a and b. */
struct cluster {
    struct cp_state *s;
    uint64_t now_ms;
    bool has[NODES][CHUNKS];
    bool is_there[NODES];
    bool is_obedient[NODES];
    double disk_used_mb[NODES];
    unsigned replicated, evicted;
};

static void name_of(unsigned node, char ret[8])
{
    (void)snprintf(ret, 8, "n%u", node);
}

static struct cluster *make(bool is_placing)
{
    struct cluster *c = el_new(struct cluster);
    struct cp_state_conf conf;
    struct el_rng rng;

    cp_state_conf_default(&conf);
    conf.is_placing = is_placing;
    el_rng_seed(&rng, CONTROL_SEED);
    c->s = cp_state_new(&conf, &rng);
    c->now_ms = 1000;
    return c;
}

static void unmake(struct cluster *c)
{
    cp_state_free(c->s);
    free(c);
}

static void join(struct cluster *c, unsigned node)
{
    char name[8];

    name_of(node, name);
    control_register(c->s, name, node % 2 == 0 ? "a" : "b");
    c->is_there[node] = true;
    c->is_obedient[node] = true;
}

static void report(struct cluster *c, unsigned node)
{
    struct el_chunk_id ids[CHUNKS];
    char name[8];
    size_t n = 0;

    name_of(node, name);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        if (c->has[node][i])
            ids[n++] = control_chunk(1, i);
    }
    control_report(c->s, name, ids, n);
}

static void obey(struct cluster *c, unsigned node)
{
    const struct cp_command *command[CP_POLL_MAX];
    char name[8];
    size_t n;

    name_of(node, name);
    assert_int_equal(cp_command_poll(c->s, el_str_of(name), command, CP_POLL_MAX, &n, NULL), EL_OK);
    for (size_t i = 0; i < n; i++) {
        bool is_evict = command[i]->action == CP_EVICT;

        c->has[node][command[i]->chunk.index] = !is_evict;
        c->evicted += is_evict;
        c->replicated += !is_evict;
        assert_int_equal(cp_command_ack(c->s, el_str_of(name), el_str_of(command[i]->command_id),
                                        true, EL_STR(""), NULL),
                         EL_OK);
    }
}

static void live(struct cluster *c, unsigned node)
{
    struct cp_beat beat = { .is_online = true,
                            .is_ready = true,
                            .disk_used_mb = c->disk_used_mb[node] };
    struct cp_beat_answer answer;
    char name[8];

    name_of(node, name);
    assert_int_equal(cp_node_beat(c->s, el_str_of(name), &beat, &answer, NULL), EL_OK);
    obey(c, node);
    report(c, node);
}

static unsigned copies(const struct cluster *c, uint32_t chunk)
{
    unsigned n = 0;

    for (unsigned node = 0; node < NODES; node++)
        n += c->is_there[node] && c->has[node][chunk];
    return n;
}

/* Seconds; nodes beat every five, and nothing is ever lost that anybody had. */
static void run(struct cluster *c, unsigned seconds)
{
    bool was_there[CHUNKS];

    for (uint32_t i = 0; i < CHUNKS; i++)
        was_there[i] = copies(c, i) > 0;
    for (unsigned t = 0; t < seconds; t++) {
        c->now_ms += 1000;
        cp_state_now(c->s, c->now_ms, 1700000000000 + (int64_t)c->now_ms);
        for (unsigned node = 0; t % 5 == 0 && node < NODES; node++) {
            if (c->is_there[node] && c->is_obedient[node])
                live(c, node);
        }
        cp_state_tick(c->s, true);
        cp_record_free(cp_state_take(c->s));
        for (uint32_t i = 0; i < CHUNKS; i++)
            assert_true(!was_there[i] || copies(c, i) > 0);
    }
}

static void put(struct cluster *c, unsigned node, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        c->has[node][i] = true;
}

static void every_chunk_comes_to_have_two_copies_in_two_zones_and_no_more(void **state)
{
    struct cluster *c = make(true);

    (void)state;
    for (unsigned i = 0; i < 6; i++)
        join(c, i);
    put(c, 0, 0, CHUNKS);
    run(c, 60);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        assert_int_equal(copies(c, i), 2);
        assert_true(c->has[1][i] + c->has[3][i] + c->has[5][i] == 1);
    }
    assert_int_equal(c->replicated, CHUNKS);
    run(c, 120); /* it is as it should be: nothing goes to and fro */
    assert_int_equal(c->replicated, CHUNKS);
    assert_int_equal(c->evicted, 0);
    unmake(c);
}

static void ignore(void *arg, const struct el_chunk_id *id, const struct cp_node *const *holders,
                   size_t n, size_t total)
{
    (void)arg;
    (void)id;
    (void)holders;
    (void)n;
    (void)total;
}

static void ask(struct cluster *c, unsigned times)
{
    struct el_chunk_id ids[CHUNKS];
    struct cp_question q = { .ids = ids, .n = CHUNKS, .max_holders = 3 };

    for (uint32_t i = 0; i < CHUNKS; i++)
        ids[i] = control_chunk(1, i);
    for (unsigned i = 0; i < times; i++)
        assert_int_equal(cp_chunks_locate(c->s, &q, ignore, NULL, NULL), EL_OK);
}

static void what_is_asked_for_often_gets_more_copies_up_to_five(void **state)
{
    struct cluster *c = make(true);

    (void)state;
    for (unsigned i = 0; i < NODES; i++)
        join(c, i);
    put(c, 0, 0, CHUNKS);
    run(c, 30);
    ask(c, 200);
    run(c, 120);
    for (uint32_t i = 0; i < CHUNKS; i++)
        assert_int_equal(copies(c, i), 5);
    run(c, 3600); /* it cools down; disks have room, so nothing is taken away */
    assert_int_equal(c->evicted, 0);
    unmake(c);
}

static void a_full_disk_gives_up_what_is_cold_and_elsewhere_too_often(void **state)
{
    struct cluster *c = make(true);

    (void)state;
    for (unsigned i = 0; i < NODES; i++) {
        join(c, i);
        put(c, i, 0, CHUNKS);
    }
    c->disk_used_mb[3] = 950;
    run(c, 120);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        assert_int_equal(copies(c, i), NODES - 1);
        assert_false(c->has[3][i]);
    }
    unmake(c);
}

static void a_chunk_leaves_a_full_node_for_one_with_room(void **state)
{
    struct cluster *c = make(true);

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        join(c, i);
    put(c, 0, 0, 5);
    put(c, 1, 0, 5);
    c->disk_used_mb[0] = 950;
    run(c, 120);
    for (uint32_t i = 0; i < 5; i++) {
        assert_false(c->has[0][i]);
        assert_true(c->has[1][i] && c->has[2][i]);
    }
    unmake(c);
}

static void a_node_that_does_nothing_is_asked_again_and_then_given_up(void **state)
{
    struct cluster *c = make(false);
    struct cp_order order = { .chunk = control_chunk(1, 0),
                              .action = CP_REPLICATE,
                              .target_node_id = EL_STR("n1") };
    const struct cp_command *command, *given[4];
    size_t n;

    (void)state;
    join(c, 0);
    join(c, 1);
    assert_int_equal(cp_command_order(c->s, &order, &command, NULL), EL_OK);
    assert_int_equal(cp_command_poll(c->s, EL_STR("n1"), given, 4, &n, NULL), EL_OK);
    assert_int_equal(n, 1);
    assert_int_equal(cp_command_poll(c->s, EL_STR("n1"), given, 4, &n, NULL), EL_OK);
    assert_int_equal(n, 0); /* it has it */
    c->is_obedient[1] = false;
    run(c, 30);
    assert_int_equal(cp_command_poll(c->s, EL_STR("n1"), given, 4, &n, NULL), EL_OK);
    assert_int_equal(n, 1);
    assert_int_equal(given[0]->given, 2);
    assert_int_equal(
        cp_command_ack(c->s, EL_STR("n0"), el_str_of(command->command_id), true, EL_STR(""), NULL),
        EL_EFORBIDDEN);
    control_beat(c->s, "n1");
    c->now_ms += 271000;
    cp_state_now(c->s, c->now_ms, 0);
    cp_state_tick(c->s, true);
    assert_int_equal(command->state, CP_EXPIRED);
    unmake(c);
}

/* Two are told to drop the last two copies, and both would: only one does. */
static void the_last_copy_is_never_evicted(void **state)
{
    struct cluster *c = make(false);
    struct cp_order order = { .chunk = control_chunk(1, 0), .action = CP_EVICT };
    const struct cp_command *command;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        join(c, i);
    put(c, 0, 0, 1);
    put(c, 1, 0, 1);
    run(c, 6);
    order.target_node_id = EL_STR("n0");
    assert_int_equal(cp_command_order(c->s, &order, &command, NULL), EL_OK);
    order.target_node_id = EL_STR("n1");
    assert_int_equal(cp_command_order(c->s, &order, &command, NULL), EL_OK);
    run(c, 20);
    assert_int_equal(copies(c, 0), 1);
    assert_int_equal(c->evicted, 1);
    order.target_node_id = c->has[0][0] ? EL_STR("n0") : EL_STR("n1");
    assert_int_equal(cp_command_order(c->s, &order, &command, NULL), EL_ECONFLICT);
    unmake(c);
}

static void a_drained_node_is_done_when_all_it_had_is_elsewhere_twice(void **state)
{
    struct cluster *c = make(true);
    struct el_str nodes[] = { EL_STR("n0"), EL_STR("n1") };
    bool is_done;
    uint64_t id;

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        join(c, i);
    put(c, 0, 0, CHUNKS);
    put(c, 1, 0, CHUNKS / 2);
    run(c, 6);
    assert_int_equal(cp_operation_drain(c->s, nodes, 2, 1, &id, NULL), EL_OK);
    run(c, 2);
    assert_true(cp_node_get(c->s, EL_STR("n0"))->is_draining);
    assert_false(cp_node_get(c->s, EL_STR("n1"))->is_draining); /* one at a time */
    run(c, 200);
    assert_int_equal(cp_operation_get(c->s, id)->state, CP_OVER);
    assert_string_equal(cp_operation_node(c->s, id, 1, &is_done), "n1");
    assert_true(is_done);
    for (uint32_t i = 0; i < CHUNKS; i++)
        assert_true(c->has[2][i] + c->has[3][i] + c->has[4][i] >= 2);
    unmake(c);
}

static void a_drain_ends_without_a_wanted_number_of_copies_and_loses_nothing(void **state)
{
    struct cluster *c = el_new(struct cluster);
    struct el_str node = EL_STR("n0");
    struct cp_state_conf conf;
    struct el_rng rng;
    uint64_t id;

    (void)state;
    cp_state_conf_default(&conf);
    conf.min_copies = 0;
    conf.is_placing = false;
    el_rng_seed(&rng, CONTROL_SEED);
    c->s = cp_state_new(&conf, &rng);
    c->now_ms = 1000;
    for (unsigned i = 0; i < 5; i++)
        join(c, i);
    put(c, 0, 0, CHUNKS);
    put(c, 1, 0, CHUNKS / 2);
    run(c, 6);
    assert_int_equal(cp_operation_drain(c->s, &node, 1, 0, &id, NULL), EL_OK);
    run(c, 200);
    assert_int_equal(cp_operation_get(c->s, id)->state, CP_OVER);
    for (uint32_t i = 0; i < CHUNKS; i++)
        assert_int_equal(copies(c, i), 2); /* n0's own and one */
    unmake(c);
}

/* Nodes n0 and on, with disks that have room; the first `holders` have `chunks`. */
static struct cp_state *make_state(struct cp_state_conf *conf, unsigned nodes, unsigned holders,
                                   uint32_t chunks)
{
    struct el_chunk_id *ids = (struct el_chunk_id *)el_alloc(chunks * sizeof(*ids));
    struct cp_state *s;
    struct el_rng rng;
    char name[8];

    el_rng_seed(&rng, CONTROL_SEED);
    s = cp_state_new(conf, &rng);
    cp_state_now(s, 1000, 1700000000000);
    for (uint32_t i = 0; i < chunks; i++)
        ids[i] = control_chunk(1, i);
    for (unsigned i = 0; i < nodes; i++) {
        name_of(i, name);
        control_register(s, name, "a");
        control_beat(s, name);
        if (i < holders)
            control_report(s, name, ids, chunks);
    }
    free(ids);
    return s;
}

static uint64_t tick_and_count(struct cp_state *s)
{
    struct cp_metrics m;

    cp_state_tick(s, true);
    cp_record_free(cp_state_take(s));
    cp_state_metrics(s, &m);
    return m.replication_decisions;
}

static void a_second_looks_at_so_many_nodes_and_the_next_goes_on(void **state)
{
    struct cp_state_conf conf;
    struct cp_state *s;
    uint64_t after;

    (void)state;
    cp_state_conf_default(&conf);
    conf.commands_per_tick = 100000;
    s = make_state(&conf, 2000, 1, 1000);
    after = tick_and_count(s);
    assert_in_range(after, 1, 999);
    for (unsigned i = 0; i < 20; i++)
        after = tick_and_count(s);
    assert_int_equal(after, 1000);
    cp_state_free(s);
}

static void a_drain_of_many_chunks_takes_some_seconds(void **state)
{
    struct el_str node = EL_STR("n0");
    struct cp_state_conf conf;
    struct cp_state *s;
    uint64_t id;

    (void)state;
    cp_state_conf_default(&conf);
    conf.min_copies = 5;
    s = make_state(&conf, 6, 6, 60000); /* all is elsewhere already */
    assert_int_equal(cp_operation_drain(s, &node, 1, 0, &id, NULL), EL_OK);
    (void)tick_and_count(s);
    assert_int_equal(cp_operation_get(s, id)->state, CP_RUNNING);
    for (unsigned i = 0; i < 5; i++)
        (void)tick_and_count(s);
    assert_int_equal(cp_operation_get(s, id)->state, CP_OVER);
    assert_int_equal(cp_operation_get(s, id)->done, 60000);
    cp_state_free(s);
}

static void a_drain_that_is_cancelled_leaves_the_node_as_it_was(void **state)
{
    struct cluster *c = make(false);
    struct el_str node = EL_STR("n0");
    uint64_t id;

    (void)state;
    join(c, 0);
    join(c, 1);
    put(c, 0, 0, CHUNKS);
    c->is_obedient[1] = false;
    run(c, 6);
    assert_int_equal(cp_operation_drain(c->s, &node, 1, 0, &id, NULL), EL_OK);
    run(c, 3);
    assert_int_equal(cp_operation_get(c->s, id)->state, CP_RUNNING);
    assert_true(cp_node_get(c->s, node)->is_draining);
    assert_int_equal(cp_operation_cancel(c->s, id, NULL), EL_OK);
    assert_false(cp_node_get(c->s, node)->is_draining);
    assert_int_equal(cp_operation_cancel(c->s, id, NULL), EL_ECONFLICT);
    unmake(c);
}

static void a_replay_brings_a_snapshot_to_every_node_of_a_group(void **state)
{
    struct cluster *c = make(false);
    struct cp_group_said g = { EL_STR("g"), EL_STR(""), EL_STR(""), EL_STR("n2") };
    struct cp_scope all = { .kind = CP_SCOPE_ALL };
    struct cp_replay replay = { .nodes = { .kind = CP_SCOPE_GROUP, .name = "g" } };
    uint64_t snapshot, id;

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        join(c, i);
    put(c, 0, 0, CHUNKS);
    run(c, 6);
    assert_int_equal(cp_group_create(c->s, &g, NULL), EL_OK);
    assert_int_equal(cp_group_join(c->s, EL_STR("g"), EL_STR("n3"), NULL), EL_OK);
    assert_int_equal(cp_operation_snapshot(c->s, &all, &snapshot, NULL), EL_OK);
    assert_int_equal(cp_operation_get(c->s, snapshot)->total, CHUNKS);
    replay.as_of_wall_ms = cp_state_wall_ms(c->s);
    assert_int_equal(cp_operation_replay(c->s, &replay, &id, NULL), EL_OK);
    run(c, 120);
    assert_int_equal(cp_operation_get(c->s, id)->state, CP_OVER);
    assert_int_equal(cp_operation_get(c->s, id)->done, 2 * CHUNKS);
    for (uint32_t i = 0; i < CHUNKS; i++)
        assert_true(c->has[2][i] && c->has[3][i] && !c->has[4][i]);
    assert_int_equal(cp_operation_delete(c->s, snapshot, NULL), EL_OK);
    assert_int_equal(cp_operation_replay(c->s, &replay, &id, NULL), EL_ENOTFOUND);
    unmake(c);
}

static void a_replay_of_what_nobody_has_fails_and_says_so(void **state)
{
    struct cluster *c = make(false);
    struct cp_scope all = { .kind = CP_SCOPE_ALL };
    struct cp_replay replay = { .nodes = { .kind = CP_SCOPE_ALL } };
    uint64_t snapshot, id;

    (void)state;
    join(c, 0);
    join(c, 1);
    put(c, 0, 0, 3);
    run(c, 6);
    assert_int_equal(cp_operation_snapshot(c->s, &all, &snapshot, NULL), EL_OK);
    assert_int_equal(cp_node_remove(c->s, EL_STR("n0"), NULL), EL_OK);
    c->is_there[0] = false;
    memset(c->has[0], 0, sizeof(c->has[0]));
    replay.snapshot = snapshot;
    assert_int_equal(cp_operation_replay(c->s, &replay, &id, NULL), EL_OK);
    run(c, 120);
    assert_int_equal(cp_operation_get(c->s, id)->state, CP_BROKEN);
    assert_int_equal(cp_operation_get(c->s, id)->failed, 3);
    unmake(c);
}

static const struct cp_alert *find_alert(const struct cp_state *s, enum cp_alert_kind kind)
{
    const struct cp_alert *a;
    uint32_t cursor = 0;

    while ((a = cp_alert_next(s, &cursor)) != NULL && a->kind != kind)
        continue;
    return a;
}

static void alerts_are_raised_once_and_cleared_when_their_reason_is_gone(void **state)
{
    struct cluster *c = make(true);
    struct cp_beat beat = { .is_online = true,
                            .disk = CP_DISK_DEGRADED,
                            .origin_errors = 5,
                            .bytes_origin = 900 * EL_GIB,
                            .bytes_peer = 100 * EL_GIB };
    struct cp_beat_answer answer;

    (void)state;
    join(c, 0);
    join(c, 1);
    assert_int_equal(cp_node_beat(c->s, EL_STR("n0"), &beat, &answer, NULL), EL_OK);
    cp_state_tick(c->s, true);
    assert_string_equal(find_alert(c->s, CP_ALERT_DISK)->subject, "n0");
    assert_non_null(find_alert(c->s, CP_ALERT_EGRESS));
    assert_null(find_alert(c->s, CP_ALERT_ORIGIN_ERRORS));
    beat.disk = CP_DISK_NORMAL;
    beat.origin_errors = 30;
    assert_int_equal(cp_node_beat(c->s, EL_STR("n0"), &beat, &answer, NULL), EL_OK);
    cp_state_tick(c->s, true);
    assert_null(find_alert(c->s, CP_ALERT_DISK));
    assert_non_null(find_alert(c->s, CP_ALERT_ORIGIN_ERRORS));
    put(c, 0, 0, 1);
    c->is_obedient[1] = false;
    run(c, 95);
    assert_string_equal(find_alert(c->s, CP_ALERT_NODE_DOWN)->subject, "n1");
    assert_non_null(find_alert(c->s, CP_ALERT_LOW_REPLICAS));
    c->is_obedient[1] = true;
    run(c, 60);
    assert_null(find_alert(c->s, CP_ALERT_NODE_DOWN));
    assert_null(find_alert(c->s, CP_ALERT_LOW_REPLICAS));
    unmake(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_chunk_comes_to_have_two_copies_in_two_zones_and_no_more),
        cmocka_unit_test(what_is_asked_for_often_gets_more_copies_up_to_five),
        cmocka_unit_test(a_full_disk_gives_up_what_is_cold_and_elsewhere_too_often),
        cmocka_unit_test(a_chunk_leaves_a_full_node_for_one_with_room),
        cmocka_unit_test(a_node_that_does_nothing_is_asked_again_and_then_given_up),
        cmocka_unit_test(the_last_copy_is_never_evicted),
        cmocka_unit_test(a_drained_node_is_done_when_all_it_had_is_elsewhere_twice),
        cmocka_unit_test(a_drain_ends_without_a_wanted_number_of_copies_and_loses_nothing),
        cmocka_unit_test(a_second_looks_at_so_many_nodes_and_the_next_goes_on),
        cmocka_unit_test(a_drain_of_many_chunks_takes_some_seconds),
        cmocka_unit_test(a_drain_that_is_cancelled_leaves_the_node_as_it_was),
        cmocka_unit_test(a_replay_brings_a_snapshot_to_every_node_of_a_group),
        cmocka_unit_test(a_replay_of_what_nobody_has_fails_and_says_so),
        cmocka_unit_test(alerts_are_raised_once_and_cleared_when_their_reason_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
