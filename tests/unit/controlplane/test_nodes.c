/* SPDX-License-Identifier: MIT */
#include "controlplane/nodes.h"

#include <math.h>

#include "controlplane/commands.h"
#include "controlplane/events.h"
#include "controlplane/groups.h"
#include "controlplane/tokens.h"
#include "tests/lib/control.h"
#include "tests/lib/test.h"

#define START 1000u

static enum cp_life life_at(struct cp_state *s, uint64_t ms)
{
    cp_state_now(s, START + ms, 1700000000000 + (int64_t)ms);
    cp_state_tick(s, true);
    return cp_node_get(s, EL_STR("n1"))->life;
}

static void a_node_that_falls_silent_is_suspect_then_dead_then_forgotten(void **state)
{
    struct cp_state *s = control_state();
    struct el_chunk_id id = control_chunk(1, 1);
    struct cp_metrics m;

    (void)state;
    control_register(s, "n1", "");
    control_report(s, "n1", &id, 1);
    assert_int_equal(life_at(s, 0), CP_JOINING);
    control_beat(s, "n1");
    assert_int_equal(life_at(s, 30000), CP_ACTIVE);
    assert_int_equal(life_at(s, 30001), CP_SUSPECT);
    assert_int_equal(life_at(s, 89999), CP_SUSPECT);
    assert_int_equal(life_at(s, 90000), CP_DEAD);
    assert_int_equal(life_at(s, 299999), CP_DEAD);
    cp_state_now(s, START + 300000, 1700000300000);
    cp_state_tick(s, false);
    assert_int_equal(cp_node_count(s), 1); /* only who has the duty forgets */
    cp_state_tick(s, true);
    assert_int_equal(cp_node_count(s), 0);
    cp_state_metrics(s, &m);
    assert_int_equal(m.total_chunks, 0);
    cp_state_free(s);
}

static struct cp_card card_of(const char *id, const char *proof)
{
    struct cp_card c = { .address = "10.0.0.1", .p2p_port = 9000, .serves = true };

    (void)snprintf(c.node_id, sizeof(c.node_id), "%s", id);
    c.labels = EL_STR("");
    c.has_proof = proof != NULL;
    if (proof != NULL)
        el_sha256_of(proof, strlen(proof), &c.proof);
    return c;
}

static void an_id_is_its_nodes_until_it_is_forgotten(void **state)
{
    struct cp_state *s = control_state();
    struct cp_card mine = card_of("n1", "mine"), others = card_of("n1", "others"),
                   none = card_of("n1", NULL);
    struct el_error err = { 0 };
    const struct cp_node *n;

    (void)state;
    assert_int_equal(cp_node_check_proof(s, &mine, &err), EL_OK);
    assert_int_equal(cp_node_register(s, &mine, &n, &err), EL_OK);
    assert_int_equal(cp_node_check_proof(s, &mine, &err), EL_OK);
    assert_int_equal(cp_node_check_proof(s, &others, &err), EL_ECONFLICT);
    assert_int_equal(cp_node_check_proof(s, &none, &err), EL_ECONFLICT);
    assert_int_equal(life_at(s, 100000), CP_DEAD);
    assert_int_equal(cp_node_check_proof(s, &others, &err), EL_ECONFLICT);
    /* By its token it may say the rest anew: the proof stays. */
    assert_int_equal(cp_node_register(s, &none, &n, &err), EL_OK);
    assert_int_equal(cp_node_check_proof(s, &others, &err), EL_ECONFLICT);
    assert_int_equal(cp_node_remove(s, EL_STR("n1"), &err), EL_OK);
    assert_int_equal(cp_node_check_proof(s, &others, &err), EL_OK);
    cp_state_free(s);
}

static void an_id_without_a_proof_is_anybodys(void **state)
{
    struct cp_state *s = control_state();
    struct cp_card mine = card_of("n1", "mine");
    struct el_error err = { 0 };

    (void)state;
    control_register(s, "n1", "");
    assert_int_equal(cp_node_check_proof(s, &mine, &err), EL_OK);
    cp_state_free(s);
}

static void a_node_that_is_back_is_active_and_its_chunks_are_still_known(void **state)
{
    struct cp_state *s = control_state();
    struct el_chunk_id id = control_chunk(1, 1);

    (void)state;
    control_register(s, "n1", "");
    control_report(s, "n1", &id, 1);
    control_beat(s, "n1");
    assert_int_equal(life_at(s, 100000), CP_DEAD);
    control_beat(s, "n1");
    assert_int_equal(life_at(s, 100001), CP_ACTIVE);
    assert_int_equal(cp_node_get(s, EL_STR("n1"))->chunks, 1);
    cp_state_free(s);
}

/* Its clock, whatever it says, decides nothing. */
static void what_a_node_says_of_time_is_only_its_skew(void **state)
{
    struct cp_state *s = control_state();
    struct cp_beat beat = { .is_online = true, .timestamp_ms = 1 };
    struct cp_beat_answer answer;

    (void)state;
    control_register(s, "n1", "");
    assert_int_equal(cp_node_beat(s, EL_STR("n1"), &beat, &answer, NULL), EL_OK);
    assert_int_equal(life_at(s, 1000), CP_ACTIVE);
    assert_true(cp_node_get(s, EL_STR("n1"))->clock_skew_ms < 0);
    cp_state_free(s);
}

static void who_leaves_is_suspect_at_once_and_who_is_unknown_has_to_register(void **state)
{
    struct cp_state *s = control_state();
    struct cp_beat beat = { .is_online = false };
    struct cp_beat_answer answer;
    struct el_error err;

    (void)state;
    assert_int_equal(cp_node_beat(s, EL_STR("n1"), &beat, &answer, &err), EL_ENOTFOUND);
    control_register(s, "n1", "");
    assert_int_equal(cp_node_beat(s, EL_STR("n1"), &beat, &answer, NULL), EL_OK);
    assert_int_equal(cp_node_get(s, EL_STR("n1"))->life, CP_SUSPECT);
    cp_state_free(s);
}

static void a_card_that_makes_no_sense_is_refused_by_field(void **state)
{
    static const char *const bad_hosts[] = { "", "a b", "x/y", "h@ost", "caf\xc3\xa9" };
    struct cp_state *s = control_state();
    struct cp_card card = { .node_id = "n1", .address = "h" };
    const struct cp_node *node;
    struct el_error err;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(bad_hosts); i++) {
        (void)snprintf(card.address, sizeof(card.address), "%s", bad_hosts[i]);
        assert_int_equal(cp_node_register(s, &card, &node, &err), EL_EINVAL);
        assert_memory_equal(err.text, "address:", 8);
    }
    (void)snprintf(card.address, sizeof(card.address), "h");
    (void)snprintf(card.node_id, sizeof(card.node_id), "no/slash");
    assert_int_equal(cp_node_register(s, &card, &node, &err), EL_EINVAL);
    assert_memory_equal(err.text, "node_id:", 8);
    (void)snprintf(card.node_id, sizeof(card.node_id), "n1");
    (void)snprintf(card.zone, sizeof(card.zone), "a zone");
    assert_int_equal(cp_node_register(s, &card, &node, &err), EL_EINVAL);
    assert_memory_equal(err.text, "zone:", 5);
    assert_int_equal(cp_node_count(s), 0);
    assert_null(cp_state_take(s));
    cp_state_free(s);
}

static void figures_that_are_none_count_as_nothing(void **state)
{
    struct cp_state *s = control_state();
    struct cp_beat beat = { .is_online = true,
                            .upload_speed_mbps = NAN,
                            .download_speed_mbps = INFINITY,
                            .memory_used_mb = -5,
                            .disk_used_mb = 7 };
    struct cp_beat_answer answer;
    struct cp_metrics m;

    (void)state;
    control_register(s, "n1", "");
    assert_int_equal(cp_node_beat(s, EL_STR("n1"), &beat, &answer, NULL), EL_OK);
    cp_state_metrics(s, &m);
    assert_true(m.upload_mbps == 0 && m.download_mbps == 0);
    assert_int_equal(m.memory_used_mb, 0);
    assert_int_equal(m.disk_used_mb, 7);
    cp_state_free(s);
}

static void beat_with_links(struct cp_state *s, const char *links)
{
    struct cp_beat beat = { .is_online = true, .total_chunks = 7, .links = el_str_of(links) };
    struct cp_beat_answer answer;

    assert_int_equal(cp_node_beat(s, EL_STR("n1"), &beat, &answer, NULL), EL_OK);
}

static bool has_links(const struct cp_state *s, const char *links)
{
    return el_str_eq(cp_node_get(s, EL_STR("n1"))->beat.links, el_str_of(links));
}

static void from_whom_a_node_takes_is_what_it_said_last_and_outlives_the_process(void **state)
{
    struct cp_state *s = control_state(), *copy;

    (void)state;
    control_register(s, "n1", "");
    beat_with_links(s, "[{\"from\":\"n2\"}]");
    copy = control_copy(s);
    assert_true(has_links(copy, "[{\"from\":\"n2\"}]"));
    cp_state_free(copy);
    beat_with_links(s, "");
    copy = control_copy(s);
    assert_true(has_links(s, "") && has_links(copy, ""));
    cp_state_free(copy);
    cp_state_free(s);
}

/* As a program wrote it that knew nothing of links: format 3, which ends where their length is. */
static void keep_older(void *arg, struct el_str key, struct el_str value)
{
    struct el_buf older = { 0 };

    el_buf_add_str(&older, value);
    if (el_str_starts(key, EL_STR("beat"))) {
        assert_int_equal(older.p[0], 4);
        older.p[0] = 3;
        older.n -= 2;
    }
    control_keep(arg, key, el_buf_str(&older));
    el_buf_deinit(&older);
}

static void a_beat_that_an_older_program_has_kept_is_read(void **state)
{
    struct cp_state *s = control_state(), *copy = control_state();

    (void)state;
    control_register(s, "n1", "");
    beat_with_links(s, "");
    cp_state_load_begin(copy);
    cp_state_dump(s, keep_older, copy);
    cp_state_load_end(copy);
    assert_int_equal(cp_node_get(copy, EL_STR("n1"))->beat.total_chunks, 7);
    assert_true(has_links(copy, ""));
    cp_state_free(copy);
    cp_state_free(s);
}

static void seeds_of_the_own_zone_come_first_and_the_dead_not_at_all(void **state)
{
    struct cp_state *s = control_state();
    const struct cp_node *seed[4];

    (void)state;
    control_register(s, "gone", "east");
    cp_state_now(s, START + 95000, 1700000095000);
    control_register(s, "w1", "west");
    control_register(s, "w2", "west");
    control_register(s, "e1", "east");
    assert_int_equal(cp_node_relay(s, EL_STR("w2"), true, NULL), EL_OK);
    cp_state_tick(s, true);
    assert_int_equal(cp_node_seeds(s, EL_STR("east"), seed, 4), 3);
    assert_string_equal(seed[0]->card.node_id, "e1");
    assert_string_equal(seed[1]->card.node_id, "w2");
    assert_string_equal(seed[2]->card.node_id, "w1");
    assert_int_equal(cp_node_seeds(s, EL_STR(""), seed, 1), 1);
    assert_string_equal(seed[0]->card.node_id, "w2");
    cp_state_free(s);
}

static void a_node_that_is_removed_takes_its_groups_and_tokens_along(void **state)
{
    struct cp_state *s = control_state();
    struct cp_group_said g = { EL_STR("g"), EL_STR(""), EL_STR(""), EL_STR("n1") };
    struct cp_token t = { .hash = { 9 }, .role = CP_ROLE_NODE, .name = "n1" };
    const uint8_t hash[CP_HASH_BYTES] = { 9 };

    (void)state;
    control_register(s, "n1", "");
    assert_int_equal(cp_group_create(s, &g, NULL), EL_OK);
    assert_int_equal(cp_token_add(s, &t, NULL), EL_OK);
    assert_int_equal(cp_group_get(s, EL_STR("g"))->members, 1);
    assert_int_equal(cp_node_remove(s, EL_STR("n1"), NULL), EL_OK);
    assert_int_equal(cp_group_get(s, EL_STR("g"))->members, 0);
    assert_null(cp_token_find(s, hash));
    cp_state_free(s);
}

/* The answer to a renewal may be lost: the one before is good for a minute. */
static void a_nodes_new_token_ends_the_one_before_after_a_minute(void **state)
{
    struct cp_state *s = control_state();
    struct cp_token t = { .role = CP_ROLE_NODE, .name = "n1" };
    const uint8_t first[CP_HASH_BYTES] = { 1 }, second[CP_HASH_BYTES] = { 2 };

    (void)state;
    t.hash[0] = 1;
    assert_int_equal(cp_token_add(s, &t, NULL), EL_OK);
    t.hash[0] = 2;
    assert_int_equal(cp_token_add(s, &t, NULL), EL_OK);
    assert_non_null(cp_token_find(s, first));
    cp_state_now(s, START + 60000, 1700000060000);
    assert_null(cp_token_find(s, first));
    assert_non_null(cp_token_find(s, second));
    cp_state_now(s, START + 121000, 1700000121000);
    cp_state_tick(s, true);
    assert_int_equal(cp_token_count(s), 1);
    assert_int_equal(cp_token_revoke(s, CP_ROLE_NODE, EL_STR("n1"), NULL), EL_OK);
    assert_int_equal(cp_token_revoke(s, CP_ROLE_NODE, EL_STR("n1"), NULL), EL_ENOTFOUND);
    cp_state_free(s);
}

static void events_are_numbered_and_who_comes_too_late_is_told_of_the_gap(void **state)
{
    struct cp_state *s = control_state();
    bool has_gap;

    (void)state;
    assert_null(cp_events_after(s, 0, &has_gap));
    assert_false(has_gap);
    control_register(s, "n1", "");
    assert_int_equal(cp_events_after(s, 0, &has_gap)->seq, 1);
    assert_int_equal(cp_events_after(s, 0, NULL)->kind, CP_EV_NODE_UP);
    assert_null(cp_events_after(s, cp_events_newest(s), &has_gap));
    assert_false(has_gap);
    assert_non_null(cp_events_after(s, 999999, &has_gap)); /* of another stream */
    assert_true(has_gap);
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(cp_node_drain(s, EL_STR("n1"), i % 2 == 0, NULL), EL_OK);
    assert_int_equal(cp_events_after(s, 1, &has_gap)->seq, cp_events_oldest(s));
    assert_true(has_gap);
    cp_state_free(s);
}

static void the_audit_log_keeps_order_and_forgets_the_oldest(void **state)
{
    struct cp_state_conf conf;
    struct el_rng rng;
    struct cp_state *s, *copy;
    const struct cp_audit *a;
    uint64_t cursor = 0;
    unsigned n = 0;

    (void)state;
    cp_state_conf_default(&conf);
    conf.audit = 10;
    el_rng_seed(&rng, 1);
    s = cp_state_new(&conf, &rng);
    for (unsigned i = 0; i < 25; i++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%u\n", i);
        cp_state_now(s, i, 1000 + i);
        cp_audit_add(s, EL_STR("me"), EL_STR("test"), el_str_of(text), 200);
    }
    copy = cp_state_new(&conf, &rng);
    cp_state_load_begin(copy);
    cp_state_dump(s, control_keep, copy);
    cp_state_load_end(copy);
    while ((a = cp_audit_next(copy, &cursor)) != NULL) {
        assert_int_equal(a->wall_ms, 1024 - n);
        n++;
    }
    assert_int_equal(n, 10);
    cursor = 0;
    assert_string_equal(cp_audit_next(s, &cursor)->text, "24?");
    cp_state_free(s);
    cp_state_free(copy);
}

static void the_longest_prefix_decides(void **state)
{
    struct cp_state *s = control_state();
    struct cp_policy all = { .prefix = "", .min_copies = 1, .settings = EL_STR("{}") };
    struct cp_policy part = { .prefix = "http://a/b", .min_copies = 3, .settings = EL_STR("{}") };
    struct el_error err;
    uint64_t version;

    (void)state;
    assert_null(cp_policy_for(s, EL_STR("http://a/")));
    assert_int_equal(cp_policy_set(s, &part, NULL), EL_OK);
    assert_int_equal(cp_policy_set(s, &all, NULL), EL_OK);
    assert_int_equal(cp_policy_for(s, EL_STR("http://a/"))->min_copies, 1);
    assert_int_equal(cp_policy_for(s, EL_STR("http://a/bcd"))->min_copies, 3);
    version = cp_policy_version(s);
    assert_int_equal(cp_policy_delete(s, EL_STR("http://a/b"), NULL), EL_OK);
    assert_int_equal(cp_policy_for(s, EL_STR("http://a/bcd"))->min_copies, 1);
    assert_true(cp_policy_version(s) > version);
    part.min_copies = 5;
    part.max_copies = 4;
    assert_int_equal(cp_policy_set(s, &part, &err), EL_EINVAL);
    assert_memory_equal(err.text, "min_copies:", 11);
    cp_state_free(s);
}

static void apply_all(struct cp_state *s, const struct cp_record *all)
{
    for (const struct cp_record *r = all; r != NULL; r = r->next)
        assert_int_equal(
            cp_state_apply(s, cp_record_key(r), cp_record_value(r), r->is_removal, NULL), EL_OK);
}

static size_t count_groups_of(const struct cp_state *s, const char *node_id)
{
    const struct cp_group *g = NULL;
    size_t n = 0;

    while ((g = cp_group_of_next(s, el_str_of(node_id), g)) != NULL)
        n++;
    return n;
}

static void members_are_found_from_their_group_and_groups_from_their_member(void **state)
{
    struct cp_state *s = control_state(), *copy;
    struct el_str ids[] = { EL_STR("a"), EL_STR("b"), EL_STR("c") };
    struct el_str nodes[] = { EL_STR("n0"), EL_STR("n1"), EL_STR("n2"), EL_STR("n3") };
    uint32_t cursor = 0;

    (void)state;
    for (size_t i = 0; i < 4; i++)
        control_register(s, nodes[i].p, "");
    for (size_t i = 0; i < 3; i++) {
        struct cp_group_said g = { ids[i], EL_STR(""), EL_STR(""), EL_STR("n0") };

        assert_int_equal(cp_group_create(s, &g, NULL), EL_OK);
        for (size_t k = 1; k < 4; k++)
            assert_int_equal(cp_group_join(s, ids[i], nodes[k], NULL), EL_OK);
        assert_int_equal(cp_group_join(s, ids[i], nodes[1], NULL), EL_OK); /* is nothing */
    }
    assert_int_equal(cp_group_leave(s, ids[1], nodes[2], NULL), EL_OK);
    assert_true(cp_group_has(s, ids[0], nodes[2]) && !cp_group_has(s, ids[1], nodes[2]));
    assert_int_equal(count_groups_of(s, "n1"), 3);
    assert_int_equal(count_groups_of(s, "n2"), 2);
    assert_int_equal(count_groups_of(s, "nobody"), 0);
    assert_string_equal(cp_group_member_next(s, ids[1], &cursor)->card.node_id, "n0");
    assert_string_equal(cp_group_member_next(s, ids[1], &cursor)->card.node_id, "n1");
    assert_string_equal(cp_group_member_next(s, ids[1], &cursor)->card.node_id, "n3");
    assert_null(cp_group_member_next(s, ids[1], &cursor));
    assert_int_equal(cp_group_delete(s, ids[0], NULL), EL_OK);
    assert_int_equal(cp_node_remove(s, nodes[1], NULL), EL_OK);
    assert_int_equal(count_groups_of(s, "n1"), 0);
    assert_int_equal(count_groups_of(s, "n3"), 2);
    copy = control_copy(s);
    assert_int_equal(count_groups_of(copy, "n3"), 2);
    assert_int_equal(cp_group_get(copy, ids[2])->members, 3);
    cursor = 0;
    assert_string_equal(cp_group_next(copy, &cursor)->id, "b");
    assert_string_equal(cp_group_next(copy, &cursor)->id, "c");
    assert_null(cp_group_next(copy, &cursor));
    cp_state_free(copy);
    cp_state_free(s);
}

static size_t tick_and_count_soft(struct cp_state *s)
{
    struct cp_record *all;
    size_t n = 0;

    cp_state_tick(s, true);
    all = cp_state_take(s);
    for (const struct cp_record *r = all; r != NULL; r = r->next)
        n += !r->is_hard;
    cp_record_free(all);
    return n;
}

static void while_the_store_is_behind_soft_records_wait_and_are_one_of_each(void **state)
{
    struct cp_state *s = control_state();
    struct cp_object_name name = { .name = EL_STR("http://a/b") };
    struct el_chunk_id id = control_chunk(1, 1);

    (void)state;
    control_register(s, "n1", "");
    cp_state_hold_back(s, true);
    for (unsigned i = 0; i < 10; i++) {
        control_beat(s, "n1");
        control_report(s, "n1", &id, 1);
        name.bytes = i + 1;
        assert_int_equal(cp_object_describe(s, &name, NULL), EL_OK);
        assert_int_equal(tick_and_count_soft(s), 0);
    }
    cp_state_hold_back(s, false);
    assert_int_equal(tick_and_count_soft(s), 5); /* beat, chunks, report, name, epoch */
    assert_int_equal(tick_and_count_soft(s), 0);
    cp_state_free(s);
}

/* Each at a state of its own; then records come to all. */
static void register_at_once(size_t n)
{
    struct cp_state *s[100];
    uint64_t heard[100];
    char id[24];

    for (size_t i = 0; i < n; i++) {
        s[i] = control_state();
        (void)snprintf(id, sizeof(id), "n%zu", i);
        control_register(s[i], id, "");
        control_beat(s[i], id);
        heard[i] = cp_state_epoch(s[i]);
    }
    for (size_t i = 0; i < n; i++) {
        struct cp_record *all = cp_state_take(s[i]);

        for (size_t k = 0; k < n; k++) {
            if (k != i)
                apply_all(s[k], all);
        }
        cp_record_free(all);
    }
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(cp_node_count(s[i]), n);
        assert_true(cp_state_epoch(s[i]) >= heard[i] + n - 1);
        cp_state_free(s[i]);
    }
}

static void nodes_that_register_at_once_at_several_raise_the_epoch_of_all(void **state)
{
    (void)state;
    register_at_once(2);
    register_at_once(10);
    register_at_once(100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_that_falls_silent_is_suspect_then_dead_then_forgotten),
        cmocka_unit_test(an_id_is_its_nodes_until_it_is_forgotten),
        cmocka_unit_test(an_id_without_a_proof_is_anybodys),
        cmocka_unit_test(a_node_that_is_back_is_active_and_its_chunks_are_still_known),
        cmocka_unit_test(what_a_node_says_of_time_is_only_its_skew),
        cmocka_unit_test(who_leaves_is_suspect_at_once_and_who_is_unknown_has_to_register),
        cmocka_unit_test(a_card_that_makes_no_sense_is_refused_by_field),
        cmocka_unit_test(figures_that_are_none_count_as_nothing),
        cmocka_unit_test(from_whom_a_node_takes_is_what_it_said_last_and_outlives_the_process),
        cmocka_unit_test(a_beat_that_an_older_program_has_kept_is_read),
        cmocka_unit_test(seeds_of_the_own_zone_come_first_and_the_dead_not_at_all),
        cmocka_unit_test(a_node_that_is_removed_takes_its_groups_and_tokens_along),
        cmocka_unit_test(a_nodes_new_token_ends_the_one_before_after_a_minute),
        cmocka_unit_test(events_are_numbered_and_who_comes_too_late_is_told_of_the_gap),
        cmocka_unit_test(the_audit_log_keeps_order_and_forgets_the_oldest),
        cmocka_unit_test(the_longest_prefix_decides),
        cmocka_unit_test(members_are_found_from_their_group_and_groups_from_their_member),
        cmocka_unit_test(while_the_store_is_behind_soft_records_wait_and_are_one_of_each),
        cmocka_unit_test(nodes_that_register_at_once_at_several_raise_the_epoch_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
