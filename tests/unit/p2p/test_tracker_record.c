/* SPDX-License-Identifier: MIT */
/* What is known of URLs: found, asked for once, waited for no longer than is good. */
#include "tests/lib/tracker.h"

#include "common/bytes.h"
#include "tests/lib/manifest.h"

#define URL    EL_STR("http://s3.test/models/weights.bin")
#define ANY    UINT64_MAX
#define COOKIE 100u /* of node n: this and n */

static int set_up(void **state)
{
    struct tracker *k = el_new(struct tracker);

    tracker_init(k, NULL);
    *state = k;
    return 0;
}

static int tear_down(void **state)
{
    tracker_deinit(*state);
    free(*state);
    return 0;
}

/* The front of an object part, and n bytes behind it that the tracker does not look at. */
static void record_of(struct el_buf *out, struct el_str url, const char *variant, size_t n)
{
    el_bytes_add_u16(out, (uint16_t)url.n);
    el_buf_add_str(out, url);
    for (unsigned i = 0; i < 8 + 2 + 2 + 24 + 2; i++)
        el_bytes_add_u8(out, (uint8_t)i);
    el_bytes_add_u16(out, (uint16_t)strlen(variant));
    el_buf_add_str(out, el_str_of(variant));
    for (size_t i = 0; i < n; i++)
        el_bytes_add_u8(out, (uint8_t)n);
}

static enum el_err tell_url(struct tracker *k, uint64_t node, struct el_str url,
                            const char *variant, size_t n, uint64_t age_ms)
{
    struct el_buf bytes = { 0 };
    enum el_err rc;

    record_of(&bytes, url, variant, n);
    rc = p2p_tracker_record(k->t, k->now, node, el_buf_str(&bytes), age_ms, NULL);
    el_buf_deinit(&bytes);
    return rc;
}

static enum el_err tell(struct tracker *k, uint64_t node, const char *variant, size_t n,
                        uint64_t age_ms)
{
    return tell_url(k, node, URL, variant, n, age_ms);
}

static enum p2p_found_kind find(struct tracker *k, uint64_t node, uint64_t max_age_ms)
{
    p2p_tracker_find(k->t, k->now, node, URL, max_age_ms, COOKIE + node, &k->found);
    return k->found.kind;
}

static void answered(struct tracker *k, uint64_t node, enum p2p_found_kind kind)
{
    uint64_t to, cookie;

    assert_true(p2p_tracker_next_answer(k->t, k->now, &to, &cookie, &k->found));
    assert_int_equal(to, node);
    assert_int_equal(cookie, COOKIE + node);
    assert_int_equal(k->found.kind, kind);
}

static void nobody_else_is_answered(struct tracker *k)
{
    uint64_t to, cookie;

    assert_false(p2p_tracker_next_answer(k->t, k->now, &to, &cookie, &k->found));
}

static void pass(struct tracker *k, uint64_t ms)
{
    k->now += ms;
    p2p_tracker_tick(k->t, k->now);
}

/* ---- one asks, the others wait ---- */

static void the_first_asks_and_all_others_are_told_what_came(void **state)
{
    struct tracker *k = *state;

    assert_int_equal(find(k, 1, ANY), P2P_FOUND_ASK);
    assert_int_equal(k->found.n, 0);
    for (uint64_t node = 2; node < 1000; node++)
        assert_int_equal(find(k, node, ANY), P2P_FOUND_WAIT);
    nobody_else_is_answered(k);
    assert_int_equal(tell(k, 1, "", 5, 20), EL_OK);
    for (uint64_t node = 2; node < 1000; node++) {
        answered(k, node, P2P_FOUND_KNOWN);
        assert_int_equal(k->found.n, 1);
        assert_int_equal(k->found.records[0].age_ms, 20);
    }
    nobody_else_is_answered(k);
    assert_int_equal(find(k, 1001, ANY), P2P_FOUND_KNOWN);
    assert_int_equal(tracker_stats(k).asks, 1);
    assert_int_equal(tracker_stats(k).waiters, 0);
}

static void a_record_is_given_as_it_was_told(void **state)
{
    struct tracker *k = *state;
    struct el_buf bytes = { 0 };

    record_of(&bytes, URL, "accept-encoding\n=gzip\n", 33);
    assert_int_equal(tell(k, 1, "accept-encoding\n=gzip\n", 33, 0), EL_OK);
    assert_int_equal(find(k, 2, ANY), P2P_FOUND_KNOWN);
    assert_true(el_str_eq(k->found.records[0].bytes, el_buf_str(&bytes)));
    el_buf_deinit(&bytes);
}

/* Where URL and variant stand is what manifests say. */
static void the_object_part_of_a_manifest_is_a_record(void **state)
{
    struct tracker *k = *state;
    struct el_buf out = { 0 };
    struct p2p_manifest m;
    struct p2p_frame f;
    struct el_digest d;
    struct el_str bytes;

    manifest_init(&m, 3);
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    manifest_sign(&m);
    p2p_manifest_add(&out, 1, &m);
    f = manifest_frame(&out, &m);
    bytes = el_str_from(f.data, 4 + 8);
    bytes.n -= 4 + 4 + 4 * EL_SHA256_BYTES + EL_KEY_BYTES + EL_SIGNATURE_BYTES;
    el_sha256_of(bytes.p, bytes.n, &d);
    assert_memory_equal(&d, &m.object, sizeof(d));
    assert_int_equal(p2p_tracker_record(k->t, k->now, 1, bytes, 0, NULL), EL_OK);
    assert_int_equal(tell_url(k, 1, MANIFEST_URL, m.meta->vary_bytes.p, 3, 0), EL_OK);
    assert_int_equal(tracker_stats(k).records, 1); /* the same variant */
    assert_int_equal(P2P_MAX_RECORD, P2P_MAX_OBJECT);
    cache_meta_unref(m.meta);
    el_buf_deinit(&out);
}

static void records_grow_older(void **state)
{
    struct tracker *k = *state;

    assert_int_equal(tell(k, 1, "", 5, 20), EL_OK);
    k->now += 5000;
    assert_int_equal(find(k, 2, ANY), P2P_FOUND_KNOWN);
    assert_int_equal(k->found.records[0].age_ms, 5020);
}

/* Also when that is before the clock began. */
static void a_record_may_be_older_than_the_clock(void **state)
{
    struct tracker *k = *state;

    assert_int_equal(tell(k, 1, "", 5, 1u << 31), EL_OK);
    assert_int_equal(find(k, 2, ANY), P2P_FOUND_KNOWN);
    assert_true(k->found.records[0].age_ms == 1u << 31);
    assert_int_equal(tell(k, 1, "other", 5, P2P_MAX_AGE_MS), EL_OK);
    pass(k, 1000);
    assert_int_equal(find(k, 2, ANY), P2P_FOUND_KNOWN);
    for (size_t i = 0; i < k->found.n; i++)
        assert_true(k->found.records[i].age_ms <= P2P_MAX_AGE_MS);
}

static void a_record_that_is_too_old_is_asked_for_anew_once(void **state)
{
    struct tracker *k = *state;

    assert_int_equal(tell(k, 1, "", 5, 0), EL_OK);
    k->now += 10000;
    assert_int_equal(find(k, 2, 10001), P2P_FOUND_KNOWN);
    assert_int_equal(find(k, 3, 10000), P2P_FOUND_ASK);
    assert_int_equal(k->found.n, 1); /* to ask whether it still holds */
    assert_int_equal(find(k, 4, 10000), P2P_FOUND_WAIT);
    assert_int_equal(find(k, 5, ANY), P2P_FOUND_KNOWN);
    assert_int_equal(tell(k, 3, "", 5, 0), EL_OK);
    answered(k, 4, P2P_FOUND_KNOWN);
    assert_int_equal(k->found.records[0].age_ms, 0);
}

/* ---- nobody waits in vain ---- */

static void after_the_silence_of_the_asker_the_next_one_asks(void **state)
{
    struct tracker *k = *state;

    assert_int_equal(find(k, 1, ANY), P2P_FOUND_ASK);
    k->now += 100;
    assert_int_equal(find(k, 2, ANY), P2P_FOUND_WAIT);
    assert_int_equal(find(k, 3, ANY), P2P_FOUND_WAIT);
    assert_int_equal(p2p_tracker_due(k->t), k->now - 100 + P2P_ASK_MS);
    pass(k, P2P_ASK_MS - 101);
    nobody_else_is_answered(k);
    pass(k, 1);
    answered(k, 2, P2P_FOUND_ASK);
    nobody_else_is_answered(k);
    assert_int_equal(tell(k, 1, "", 5, 0), EL_OK); /* late, but welcome */
    answered(k, 3, P2P_FOUND_KNOWN);
    assert_int_equal(tracker_stats(k).late_asks, 1);
}

static void nobody_waits_for_longer_than_is_good(void **state)
{
    struct tracker *k = *state;
    unsigned answers = 0;

    find(k, 1, ANY);
    for (uint64_t node = 2; node < 100; node++)
        assert_int_equal(find(k, node, ANY), P2P_FOUND_WAIT);
    for (unsigned ms = 0; ms < P2P_FIND_WAIT_MS; ms++) {
        uint64_t node, cookie;

        pass(k, 1);
        while (p2p_tracker_next_answer(k->t, k->now, &node, &cookie, &k->found)) {
            assert_int_equal(k->found.kind, P2P_FOUND_ASK);
            answers++;
        }
        assert_true(ms + 1 == P2P_FIND_WAIT_MS || answers <= 2);
    }
    assert_int_equal(answers, 98);
}

static void when_the_asker_fails_the_next_one_asks_at_once(void **state)
{
    struct tracker *k = *state;

    find(k, 1, ANY);
    find(k, 2, ANY);
    find(k, 3, ANY);
    p2p_tracker_release(k->t, k->now, 3, URL, P2P_RELEASE_FAILED); /* who was not told to ask */
    nobody_else_is_answered(k);
    p2p_tracker_release(k->t, k->now, 1, URL, P2P_RELEASE_FAILED);
    answered(k, 2, P2P_FOUND_ASK);
    nobody_else_is_answered(k);
    p2p_tracker_node_gone(k->t, k->now, 2);
    answered(k, 3, P2P_FOUND_ASK);
    p2p_tracker_release(k->t, k->now, 3, URL, P2P_RELEASE_FAILED);
    nobody_else_is_answered(k);
    assert_int_equal(find(k, 4, ANY), P2P_FOUND_ASK);
}

static void who_asks_may_find_again(void **state)
{
    struct tracker *k = *state;

    assert_int_equal(find(k, 1, ANY), P2P_FOUND_ASK);
    assert_int_equal(find(k, 1, ANY), P2P_FOUND_ASK);
}

static void what_is_not_for_sharing_everybody_asks_for_himself(void **state)
{
    struct tracker *k = *state;

    find(k, 1, ANY);
    find(k, 2, ANY);
    find(k, 3, ANY);
    p2p_tracker_release(k->t, k->now, 1, URL, P2P_RELEASE_ALONE);
    answered(k, 2, P2P_FOUND_ASK);
    answered(k, 3, P2P_FOUND_ASK);
    pass(k, P2P_ALONE_MS - 1);
    assert_int_equal(find(k, 4, ANY), P2P_FOUND_ASK);
    assert_int_equal(find(k, 5, ANY), P2P_FOUND_ASK);
    pass(k, 1);
    assert_int_equal(find(k, 4, ANY), P2P_FOUND_ASK);
    assert_int_equal(find(k, 5, ANY), P2P_FOUND_WAIT);
}

/* ---- variants ---- */

static void of_each_variant_the_newest_record_is_kept(void **state)
{
    struct tracker *k = *state;

    assert_int_equal(tell(k, 1, "a", 1, 0), EL_OK);
    k->now += 1000;
    assert_int_equal(tell(k, 2, "b", 2, 0), EL_OK);
    k->now += 1000;
    assert_int_equal(tell(k, 3, "a", 3, 0), EL_OK);
    assert_int_equal(tell(k, 3, "b", 4, 1500), EL_OK); /* older than what is known */
    assert_int_equal(find(k, 4, ANY), P2P_FOUND_KNOWN);
    assert_int_equal(k->found.n, 2);
    assert_int_equal(k->found.records[0].bytes.p[k->found.records[0].bytes.n - 1], 3);
    assert_int_equal(k->found.records[1].bytes.p[k->found.records[1].bytes.n - 1], 2);
    assert_int_equal(tracker_stats(k).records, 2);
}

static void of_too_many_variants_the_one_told_longest_ago_goes(void **state)
{
    struct tracker *k = *state;
    char variant[2] = "a";

    for (unsigned i = 0; i <= P2P_MAX_VARIANTS; i++) {
        variant[0] = (char)('a' + i);
        assert_int_equal(tell(k, 1, variant, i + 1, 0), EL_OK);
    }
    find(k, 2, ANY);
    assert_int_equal(k->found.n, P2P_MAX_VARIANTS);
    for (size_t i = 0; i < k->found.n; i++) {
        struct el_str b = k->found.records[i].bytes;

        assert_int_equal(b.p[b.n - 1], P2P_MAX_VARIANTS + 1 - i);
    }
}

static void what_is_no_object_part_is_refused(void **state)
{
    struct tracker *k = *state;
    struct el_buf bytes = { 0 };

    record_of(&bytes, URL, "a", 0);
    for (size_t n = 0; n <= bytes.n; n++) {
        struct el_str b = el_str_first(el_buf_str(&bytes), n);

        assert_int_equal(p2p_tracker_record(k->t, k->now, 1, b, 0, NULL),
                         n == bytes.n ? EL_OK : EL_EINVAL);
    }
    el_buf_deinit(&bytes);
    assert_int_equal(tell(k, 1, "", P2P_MAX_RECORD, 0), EL_EINVAL);
}

/* ---- changes ---- */

static bool is_told(const struct p2p_told *t, uint64_t node)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->nodes[i] == node)
            return true;
    }
    return false;
}

static void a_change_is_told_to_those_who_asked(void **state)
{
    struct tracker *k = *state;
    struct p2p_told told;

    find(k, 1, ANY);
    assert_int_equal(tell(k, 1, "", 5, 0), EL_OK);
    find(k, 2, ANY);
    find(k, 2, ANY);
    find(k, 3, ANY);
    p2p_tracker_forget(k->t, k->now, 3, URL, &told);
    assert_int_equal(told.n, 2);
    assert_true(is_told(&told, 1) && is_told(&told, 2));
    assert_false(told.everybody);
    p2p_tracker_forget(k->t, k->now, 3, URL, &told);
    assert_int_equal(told.n, 0);
    assert_int_equal(find(k, 1, ANY), P2P_FOUND_ASK);
    assert_int_equal(tracker_stats(k).record_bytes, 0);
}

static void a_change_of_what_many_know_is_told_to_everybody(void **state)
{
    struct tracker *k = *state;
    struct p2p_told told;

    assert_int_equal(tell(k, 1, "", 5, 0), EL_OK);
    for (uint64_t node = 2; node <= P2P_MAX_INTERESTED; node++)
        find(k, node, ANY);
    p2p_tracker_forget(k->t, k->now, 0, URL, &told);
    assert_false(told.everybody);
    assert_int_equal(told.n, P2P_MAX_INTERESTED);
    for (uint64_t node = 1; node <= P2P_MAX_INTERESTED + 1; node++)
        find(k, node, ANY);
    p2p_tracker_forget(k->t, k->now, 0, URL, &told);
    assert_true(told.everybody);
}

static void records_from_before_a_change_are_refused(void **state)
{
    struct tracker *k = *state;
    struct p2p_told told;

    p2p_tracker_forget(k->t, k->now, 9, URL, &told);
    k->now += 500;
    assert_int_equal(tell(k, 1, "", 5, 501), EL_ECHANGED);
    assert_int_equal(find(k, 2, ANY), P2P_FOUND_ASK);
    assert_int_equal(tell(k, 1, "", 5, 499), EL_OK);
    assert_int_equal(find(k, 2, ANY), P2P_FOUND_KNOWN);
}

/* Its question was under way: nobody knows which version the origin read for it. */
static void what_was_asked_for_before_a_change_is_refused(void **state)
{
    struct tracker *k = *state;
    struct p2p_told told;

    assert_int_equal(find(k, 1, ANY), P2P_FOUND_ASK);
    assert_int_equal(find(k, 2, ANY), P2P_FOUND_WAIT);
    p2p_tracker_forget(k->t, k->now, 3, URL, &told);
    answered(k, 2, P2P_FOUND_ASK);
    k->now += 100;
    assert_int_equal(tell(k, 1, "", 5, 0), EL_ECHANGED);
    assert_int_equal(tell(k, 2, "", 5, 0), EL_OK);
    k->now += P2P_CHANGED_MS;
    assert_int_equal(tell(k, 1, "", 5, 0), EL_OK);
}

static void who_was_to_be_told_of_a_record_that_is_forgotten_again_asks(void **state)
{
    struct tracker *k = *state;
    struct p2p_told told;

    find(k, 1, ANY);
    find(k, 2, ANY);
    assert_int_equal(tell(k, 1, "", 5, 0), EL_OK);
    p2p_tracker_forget(k->t, k->now, 3, URL, &told);
    answered(k, 2, P2P_FOUND_ASK);
    assert_int_equal(k->found.n, 0);
}

/* ---- memory ---- */

static struct el_str url_of(char text[32], unsigned i)
{
    (void)snprintf(text, 32, "http://s3.test/%u", i);
    return el_str_of(text);
}

static void what_was_asked_for_longest_ago_is_given_up(void **state)
{
    struct p2p_tracker_conf conf = { .limits = { .urls = 100, .record_bytes = 20000 } };
    struct tracker k;
    char text[32];

    (void)state;
    tracker_init(&k, &conf);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(tell_url(&k, 1, url_of(text, i), "", 500, 0), EL_OK);
        assert_true(tracker_stats(&k).urls <= 100);
        assert_true(tracker_stats(&k).record_bytes <= 20000);
        p2p_tracker_find(k.t, k.now, 2, url_of(text, 0), ANY, 0, &k.found);
        assert_int_equal(k.found.kind, P2P_FOUND_KNOWN);
    }
    p2p_tracker_find(k.t, k.now, 2, url_of(text, 999), ANY, 0, &k.found);
    assert_int_equal(k.found.kind, P2P_FOUND_KNOWN);
    p2p_tracker_find(k.t, k.now, 2, url_of(text, 900), ANY, 0, &k.found);
    assert_int_equal(k.found.kind, P2P_FOUND_ASK);
    assert_true(tracker_stats(&k).given_up > 0);
    assert_int_equal(tell_url(&k, 1, url_of(text, 1001), "", 20000, 0), EL_EFULL);
    tracker_deinit(&k);
}

static uint64_t urls_known_in(uint64_t memory)
{
    struct p2p_tracker_conf conf = { .memory = memory };
    struct tracker k;
    uint64_t n;
    char text[32];

    tracker_init(&k, &conf);
    for (unsigned i = 0; i < 600; i++)
        assert_int_equal(tell_url(&k, 1, url_of(text, i), "", 50, 0), EL_OK);
    n = tracker_stats(&k).urls;
    assert_int_equal(n + tracker_stats(&k).given_up, 600);
    tracker_deinit(&k);
    return n;
}

static void as_many_urls_are_known_as_there_is_memory_for(void **state)
{
    (void)state;
    assert_int_equal(urls_known_in(1 * EL_MIB), 256);
    assert_int_equal(urls_known_in(2 * EL_MIB), 512);
    assert_int_equal(urls_known_in(4 * EL_MIB), 600);
    assert_int_equal(urls_known_in(0), 600);
}

/* Who waits for it keeps it; who finds no room asks for himself. */
static void a_url_that_is_waited_for_is_not_given_up(void **state)
{
    struct p2p_tracker_conf conf = { .limits = { .urls = 10, .waiters = 12 } };
    struct tracker k;
    char text[32];

    (void)state;
    tracker_init(&k, &conf);
    for (unsigned i = 0; i < 10; i++) {
        for (uint64_t node = 1; node <= 2; node++)
            p2p_tracker_find(k.t, k.now, node, url_of(text, i), ANY, i, &k.found);
        assert_int_equal(k.found.kind, P2P_FOUND_WAIT);
    }
    p2p_tracker_find(k.t, k.now, 1, url_of(text, 10), ANY, 0, &k.found);
    assert_int_equal(k.found.kind, P2P_FOUND_ASK);
    assert_int_equal(tell_url(&k, 1, url_of(text, 10), "", 5, 0), EL_EFULL);
    for (uint64_t node = 3; node <= 5; node++) {
        p2p_tracker_find(k.t, k.now, node, url_of(text, 0), ANY, 0, &k.found);
        assert_int_equal(k.found.kind, node == 5 ? P2P_FOUND_ASK : P2P_FOUND_WAIT);
    }
    assert_int_equal(tracker_stats(&k).waiters, 12);
    tracker_deinit(&k);
}

static void what_nobody_asks_for_is_forgotten(void **state)
{
    struct tracker *k = *state;

    assert_int_equal(tell(k, 1, "", 5, 0), EL_OK);
    assert_int_equal(p2p_tracker_due(k->t), k->now + P2P_RECORD_TTL_MS);
    pass(k, P2P_RECORD_TTL_MS - 1);
    assert_int_equal(tracker_stats(k).urls, 1);
    pass(k, 1);
    assert_int_equal(tracker_stats(k).urls, 0);
    assert_true(p2p_tracker_due(k->t) == UINT64_MAX);
}

static void a_url_that_is_too_long_everybody_asks_for_himself(void **state)
{
    struct tracker *k = *state;
    struct el_str url = { el_alloc(P2P_MAX_URL + 1), P2P_MAX_URL + 1 };

    memset((char *)url.p, 'u', url.n);
    for (uint64_t node = 1; node < 3; node++) {
        p2p_tracker_find(k->t, k->now, node, url, ANY, 0, &k->found);
        assert_int_equal(k->found.kind, P2P_FOUND_ASK);
    }
    assert_int_equal(tell_url(k, 1, url, "", 5, 0), EL_EINVAL);
    assert_int_equal(tracker_stats(k).urls, 0);
    free((char *)url.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(the_first_asks_and_all_others_are_told_what_came),
        TEST(a_record_is_given_as_it_was_told),
        TEST(the_object_part_of_a_manifest_is_a_record),
        TEST(records_grow_older),
        TEST(a_record_may_be_older_than_the_clock),
        TEST(a_record_that_is_too_old_is_asked_for_anew_once),
        TEST(after_the_silence_of_the_asker_the_next_one_asks),
        TEST(nobody_waits_for_longer_than_is_good),
        TEST(when_the_asker_fails_the_next_one_asks_at_once),
        TEST(who_asks_may_find_again),
        TEST(what_is_not_for_sharing_everybody_asks_for_himself),
        TEST(of_each_variant_the_newest_record_is_kept),
        TEST(of_too_many_variants_the_one_told_longest_ago_goes),
        TEST(what_is_no_object_part_is_refused),
        TEST(a_change_is_told_to_those_who_asked),
        TEST(a_change_of_what_many_know_is_told_to_everybody),
        TEST(records_from_before_a_change_are_refused),
        TEST(what_was_asked_for_before_a_change_is_refused),
        TEST(who_was_to_be_told_of_a_record_that_is_forgotten_again_asks),
        TEST(what_was_asked_for_longest_ago_is_given_up),
        TEST(as_many_urls_are_known_as_there_is_memory_for),
        TEST(a_url_that_is_waited_for_is_not_given_up),
        TEST(what_nobody_asks_for_is_forgotten),
        TEST(a_url_that_is_too_long_everybody_asks_for_himself),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
