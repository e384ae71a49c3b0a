/* SPDX-License-Identifier: MIT */
/* What nodes and trackers say: written and read again, and nothing else is read. */
#include "tests/lib/tracker.h"

#include "p2p/tracker_wire.h"

/* A copy of exactly n bytes: what is read beyond them is found. */
static struct el_str exactly(const struct el_buf *b, size_t n)
{
    char *p = el_alloc(n + 1);

    memcpy(p, b->p, el_min_size(n, b->n));
    return (struct el_str){ p, n };
}

static struct p2p_locate a_question(void)
{
    struct p2p_locate l = question(100);

    l.leases = 3;
    l.peers = 24;
    l.others = 7;
    l.again = true;
    question_run(&l, &(struct p2p_lease){ 7, 16, 16, 0 }, 5, true);
    question_run(&l, &(struct p2p_lease){ 8, 96, 4, 0 }, 0, false);
    return l;
}

static struct p2p_located an_answer(void)
{
    struct p2p_located l = {
        .n_leases = 2, .n_cuts = 1, .n_takers = 1, .taking = 300, .again_ms = 250
    };

    l.leases[0] = (struct p2p_lease){ 1, 0, 16, 10000 };
    l.leases[1] = (struct p2p_lease){ 2, 40, 8, 20000 };
    l.cuts[0] = (struct p2p_lease_cut){ 7, 6 };
    l.takers[0] = (struct p2p_taker){ 99, 0x41, 0x2, true };
    blocks_add(&l.coming, 16, 4);
    return l;
}

static void a_question_arrives_as_it_was_asked(void **state)
{
    struct p2p_locate l = a_question(), back;
    struct el_buf out = { 0 };

    (void)state;
    p2p_locate_put(&out, &l);
    assert_int_equal(p2p_locate_decode(el_buf_str(&out), &back, NULL), EL_OK);
    assert_memory_equal(&back.group, &l.group, sizeof(l.group));
    assert_memory_equal(&back.have, &l.have, sizeof(l.have));
    assert_memory_equal(&back.want, &l.want, sizeof(l.want));
    assert_int_equal(back.blocks, 100);
    assert_int_equal(back.leases, 3);
    assert_int_equal(back.peers, 24);
    assert_int_equal(back.others, 7);
    assert_false(back.exact);
    assert_false(back.leaves);
    assert_true(back.again);
    assert_int_equal(back.n_ended, 2);
    assert_int_equal(back.ended[0].id, 7);
    assert_int_equal(back.ended[0].first, 16);
    assert_int_equal(back.ended[0].count, 16);
    assert_int_equal(back.ended[0].done, 5);
    assert_true(back.ended[0].ok);
    assert_false(back.ended[1].ok);
    el_buf_deinit(&out);
}

static void an_answer_arrives_as_it_was_given(void **state)
{
    struct p2p_located l = an_answer(), back;
    struct el_buf out = { 0 };

    (void)state;
    p2p_located_put(&out, 100, &l);
    assert_int_equal(p2p_located_decode(el_buf_str(&out), 100, &back, NULL), EL_OK);
    assert_int_equal(back.n_leases, 2);
    assert_int_equal(back.leases[1].id, 2);
    assert_run(back.leases[1], 40, 8);
    assert_int_equal(back.leases[1].ttl_ms, 20000);
    assert_int_equal(back.n_cuts, 1);
    assert_int_equal(back.cuts[0].id, 7);
    assert_int_equal(back.cuts[0].count, 6);
    assert_int_equal(back.n_takers, 1);
    assert_int_equal(back.takers[0].node, 99);
    assert_int_equal(back.takers[0].whole, 0x41);
    assert_int_equal(back.takers[0].part, 0x2);
    assert_true(back.takers[0].is_taking);
    assert_memory_equal(&back.coming, &l.coming, sizeof(l.coming));
    assert_int_equal(back.taking, 300);
    assert_int_equal(back.again_ms, 250);
    el_buf_deinit(&out);
}

static void questions_and_answers_cut_short_or_with_more_behind_them_are_refused(void **state)
{
    struct p2p_locate l = a_question(), l_back;
    struct p2p_located d = an_answer(), d_back;
    struct el_buf question_out = { 0 }, answer_out = { 0 };

    (void)state;
    p2p_locate_put(&question_out, &l);
    p2p_located_put(&answer_out, 100, &d);
    for (size_t n = 0; n <= question_out.n + 1; n++) {
        struct el_str body = exactly(&question_out, n);

        assert_int_equal(p2p_locate_decode(body, &l_back, NULL) == EL_OK, n == question_out.n);
        free((char *)body.p);
    }
    for (size_t n = 0; n <= answer_out.n + 1; n++) {
        struct el_str body = exactly(&answer_out, n);

        assert_int_equal(p2p_located_decode(body, 100, &d_back, NULL) == EL_OK, n == answer_out.n);
        free((char *)body.p);
    }
    el_buf_deinit(&question_out);
    el_buf_deinit(&answer_out);
}

/* The question with one byte changed. Offsets: blocks 20, flags 22, leases 23, peers 24, others
 * 25, have 26, want 42, runs 58, the first of them 59: id 4, first 2, count, done, ok. */
static enum el_err with_byte(size_t offset, uint8_t value)
{
    struct p2p_locate l = a_question(), back;
    struct el_buf out = { 0 };
    enum el_err rc;

    p2p_locate_put(&out, &l);
    assert_true(offset < out.n);
    out.p[offset] = (char)value;
    rc = p2p_locate_decode(el_buf_str(&out), &back, NULL);
    el_buf_deinit(&out);
    return rc;
}

static void questions_that_nobody_would_ask_are_refused(void **state)
{
    (void)state;
    assert_int_equal(with_byte(23, 32), EL_OK);
    assert_int_equal(with_byte(23, 33), EL_EPROTO);
    assert_int_equal(with_byte(24, 64), EL_OK);
    assert_int_equal(with_byte(24, 65), EL_EPROTO);
    assert_int_equal(with_byte(25, 255), EL_OK);
    assert_int_equal(with_byte(20, 0x80), EL_EPROTO); /* 32868 blocks */
    assert_int_equal(with_byte(21, 99), EL_EPROTO);   /* what is wanted lies outside */
    assert_int_equal(with_byte(22, 1), EL_EPROTO);    /* exact, and no row */
    assert_int_equal(with_byte(22, 2), EL_EPROTO);    /* leaves, and wants */
    assert_int_equal(with_byte(22, 4), EL_OK);
    assert_int_equal(with_byte(22, 8), EL_OK);
    assert_int_equal(with_byte(22, 0x80), EL_EPROTO);
    assert_int_equal(with_byte(33, 1), EL_EPROTO); /* had and wanted */
    assert_int_equal(with_byte(34, 1), EL_EPROTO); /* block 120 */
    assert_int_equal(with_byte(58, 33), EL_EPROTO);
    assert_int_equal(with_byte(64, 15), EL_EPROTO); /* into the next chunk */
    assert_int_equal(with_byte(65, 0), EL_EPROTO);  /* 5 blocks of none were read */
    assert_int_equal(with_byte(65, 17), EL_EPROTO);
    assert_int_equal(with_byte(66, 16), EL_OK);
    assert_int_equal(with_byte(66, 17), EL_EPROTO);
    assert_int_equal(with_byte(67, 2), EL_OK);
    assert_int_equal(with_byte(67, 3), EL_EPROTO);
    assert_int_equal(with_byte(68 + 5, 100), EL_EPROTO); /* outside the group */
}

static bool is_read(const struct p2p_located *l)
{
    struct el_buf out = { 0 };
    struct p2p_located back;
    bool rc;

    p2p_located_put(&out, 200, l); /* a larger group: more is allowed */
    out.n -= 4 + 2 + 4 * 8;
    el_buf_add(&out, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 22);
    rc = p2p_located_decode(el_buf_str(&out), 100, &back, NULL) == EL_OK;
    el_buf_deinit(&out);
    return rc;
}

static void answers_about_blocks_that_the_group_does_not_have_are_refused(void **state)
{
    struct p2p_located l = an_answer();

    (void)state;
    l.coming = (struct p2p_blockset){ 0 };
    assert_true(is_read(&l));
    l.leases[1].count = 4;
    l.leases[1].first = 96;
    assert_true(is_read(&l));
    l.leases[1].first = 97;
    assert_false(is_read(&l));
    l = an_answer();
    l.coming = (struct p2p_blockset){ 0 };
    l.takers[0].whole = 0x80;
    assert_false(is_read(&l));
}

static void answers_that_contradict_themselves_are_none(void **state)
{
    struct p2p_located l = an_answer();

    (void)state;
    assert_true(p2p_located_is_fine(&l, 100));
    l.leases[1].first = 8;
    assert_false(p2p_located_is_fine(&l, 100)); /* leased twice */
    l.leases[1].first = 16;
    assert_false(p2p_located_is_fine(&l, 100)); /* leased to somebody else */
    l.leases[1].first = 44;
    assert_false(p2p_located_is_fine(&l, 100)); /* over the end of a chunk */
    l.leases[1].first = 40;
    l.leases[1].id = P2P_LEASE_OWN;
    assert_false(p2p_located_is_fine(&l, 100));
    l.leases[1].id = 0;
    assert_false(p2p_located_is_fine(&l, 100));
    l.leases[1].id = 2;
    l.takers[0].part = 0x1;
    assert_false(p2p_located_is_fine(&l, 100));
    l.takers[0].part = 0;
    l.cuts[0].count = 17;
    assert_false(p2p_located_is_fine(&l, 100));
    l.cuts[0].count = 16;
    l.again_ms = P2P_MAX_AGAIN_MS + 1;
    assert_false(p2p_located_is_fine(&l, 100));
}

static void what_is_said_of_urls_arrives(void **state)
{
    struct el_str url = EL_STR("http://s3.test/demo"), back;
    struct el_buf out = { 0 };
    enum p2p_release why;
    uint64_t max_age_ms;

    (void)state;
    p2p_find_put(&out, url, UINT64_MAX);
    assert_int_equal(p2p_find_decode(el_buf_str(&out), &back, &max_age_ms, NULL), EL_OK);
    assert_true(el_str_eq(back, url));
    assert_true(max_age_ms == UINT64_MAX);
    el_buf_clear(&out);
    p2p_release_put(&out, url, P2P_RELEASE_ALONE);
    assert_int_equal(p2p_release_decode(el_buf_str(&out), &back, &why, NULL), EL_OK);
    assert_true(el_str_eq(back, url));
    assert_int_equal(why, P2P_RELEASE_ALONE);
    out.p[0] = 3;
    assert_int_equal(p2p_release_decode(el_buf_str(&out), &back, &why, NULL), EL_EPROTO);
    el_buf_clear(&out);
    p2p_forget_put(&out, url);
    assert_int_equal(p2p_forget_decode(el_buf_str(&out), &back, NULL), EL_OK);
    assert_true(el_str_eq(back, url));
    el_buf_add_byte(&out, 'x');
    assert_int_equal(p2p_forget_decode(el_buf_str(&out), &back, NULL), EL_EPROTO);
    el_buf_deinit(&out);
}

static enum el_err decode_url(size_t n, char first)
{
    struct el_buf out = { 0 };
    struct el_str url;
    enum el_err rc;

    el_buf_add_byte(&out, (char)(n >> 8));
    el_buf_add_byte(&out, (char)n);
    for (size_t i = 0; i < n; i++)
        el_buf_add_byte(&out, i == 0 ? first : 'u');
    rc = p2p_forget_decode(el_buf_str(&out), &url, NULL);
    el_buf_deinit(&out);
    return rc;
}

static void a_url_is_neither_empty_nor_endless_nor_of_blanks(void **state)
{
    (void)state;
    assert_int_equal(decode_url(1, 'h'), EL_OK);
    assert_int_equal(decode_url(P2P_MAX_URL, 'h'), EL_OK);
    assert_int_equal(decode_url(P2P_MAX_URL + 1, 'h'), EL_EPROTO);
    assert_int_equal(decode_url(0, 'h'), EL_EPROTO);
    assert_int_equal(decode_url(9, ' '), EL_EPROTO);
    assert_int_equal(decode_url(9, '\n'), EL_EPROTO);
    assert_int_equal(decode_url(9, '\177'), EL_EPROTO);
}

static void records_arrive_with_their_age(void **state)
{
    struct p2p_found found = { .kind = P2P_FOUND_KNOWN, .n = 2 }, back;
    struct p2p_record r = { EL_STR("record"), 77 }, r_back;
    struct el_buf out = { 0 };

    (void)state;
    p2p_record_put(&out, &r);
    assert_int_equal(p2p_record_decode(el_buf_str(&out), &r_back, NULL), EL_OK);
    assert_true(el_str_eq(r_back.bytes, r.bytes));
    assert_int_equal(r_back.age_ms, 77);
    assert_int_equal(p2p_record_decode(el_str_first(el_buf_str(&out), 8), &r_back, NULL),
                     EL_EPROTO);
    el_buf_clear(&out);
    found.records[0] = r;
    found.records[1] = (struct p2p_record){ EL_STR("other"), 0 };
    p2p_found_put(&out, &found);
    assert_int_equal(p2p_found_decode(el_buf_str(&out), &back, NULL), EL_OK);
    assert_int_equal(back.kind, P2P_FOUND_KNOWN);
    assert_int_equal(back.n, 2);
    assert_int_equal(back.records[0].age_ms, 77);
    assert_true(el_str_eq(back.records[1].bytes, EL_STR("other")));
    for (size_t n = 0; n < out.n; n++)
        assert_int_equal(p2p_found_decode(el_str_first(el_buf_str(&out), n), &back, NULL),
                         EL_EPROTO);
    out.p[0] = P2P_FOUND_WAIT;
    assert_int_equal(p2p_found_decode(el_buf_str(&out), &back, NULL), EL_EPROTO);
    el_buf_deinit(&out);
}

static void to_be_told_of_nothing_known_is_no_answer(void **state)
{
    struct p2p_found back;

    (void)state;
    assert_int_equal(p2p_found_decode(EL_STR("\2\0"), &back, NULL), EL_OK);
    assert_int_equal(p2p_found_decode(EL_STR("\1\0"), &back, NULL), EL_EPROTO);
    assert_int_equal(p2p_found_decode(EL_STR("\2\11"), &back, NULL), EL_EPROTO);
}

/* Newest first: the older ones are left out. */
static void as_many_records_go_as_there_is_room_for(void **state)
{
    struct p2p_found found = { .kind = P2P_FOUND_KNOWN, .n = 3 }, back;
    char *bytes = el_alloc(P2P_MAX_RECORD);
    struct el_buf out = { 0 };

    (void)state;
    found.records[0].bytes = (struct el_str){ bytes, P2P_MAX_RECORD };
    found.records[1].bytes = (struct el_str){ bytes, 600 };
    found.records[2].bytes = (struct el_str){ bytes, 100 };
    p2p_found_put(&out, &found);
    assert_true(out.n <= P2P_MAX_BODY);
    assert_int_equal(p2p_found_decode(el_buf_str(&out), &back, NULL), EL_OK);
    assert_int_equal(back.n, 2);
    el_buf_deinit(&out);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_arrives_as_it_was_asked),
        cmocka_unit_test(an_answer_arrives_as_it_was_given),
        cmocka_unit_test(questions_and_answers_cut_short_or_with_more_behind_them_are_refused),
        cmocka_unit_test(questions_that_nobody_would_ask_are_refused),
        cmocka_unit_test(answers_about_blocks_that_the_group_does_not_have_are_refused),
        cmocka_unit_test(answers_that_contradict_themselves_are_none),
        cmocka_unit_test(what_is_said_of_urls_arrives),
        cmocka_unit_test(a_url_is_neither_empty_nor_endless_nor_of_blanks),
        cmocka_unit_test(records_arrive_with_their_age),
        cmocka_unit_test(to_be_told_of_nothing_known_is_no_answer),
        cmocka_unit_test(as_many_records_go_as_there_is_room_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
