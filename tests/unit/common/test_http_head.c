/* SPDX-License-Identifier: MIT */
#include "common/http_head.h"

#include "tests/lib/test.h"

/* Feeds the lines until one is refused or the block is complete. */
static enum el_err feed(struct el_http_head *h, const char *const *lines, bool *ret_complete)
{
    enum el_err rc = EL_OK;

    *ret_complete = false;
    for (; *lines != NULL && rc == EL_OK && !*ret_complete; lines++)
        rc = el_http_head_line(h, el_str_of(*lines), ret_complete, NULL);
    return rc;
}

static enum el_err read_head(struct el_http_head *h, const char *const *lines)
{
    bool is_complete;
    enum el_err rc;

    el_http_head_init(h);
    rc = feed(h, lines, &is_complete);
    assert_true(rc != EL_OK || is_complete);
    return rc;
}

#define LINES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void fields_keep_their_order_case_and_repetition(void **state)
{
    struct el_http_head h;

    (void)state;
    assert_int_equal(read_head(&h, LINES("HTTP/1.1 206 Partial\r\n", "X-b:  two \r\n", "x-A:\n",
                                         "X-b: three\r\n", "\r\n")),
                     EL_OK);
    assert_int_equal(h.status, 206);
    assert_int_equal(h.fields.n, 3);
    assert_true(el_str_eq(h.fields.v[0].name, EL_STR("X-b")));
    assert_true(el_str_eq(h.fields.v[0].value, EL_STR("two")));
    assert_int_equal(h.fields.v[1].value.n, 0);
    assert_true(el_str_eq(h.fields.v[2].value, EL_STR("three")));
    el_http_head_deinit(&h);
}

static void a_head_can_follow_an_interim_one(void **state)
{
    struct el_http_head h;
    bool is_complete;

    (void)state;
    assert_int_equal(read_head(&h, LINES("HTTP/1.1 103 Early\r\n", "A: b\r\n", "\r\n")), EL_OK);
    el_http_head_clear(&h);
    assert_int_equal(feed(&h, LINES("HTTP/2 200 \r\n", "\r\n"), &is_complete), EL_OK);
    assert_true(is_complete);
    assert_int_equal(h.status, 200);
    assert_int_equal(h.fields.n, 0);
    el_http_head_deinit(&h);
}

static void a_length_is_dropped_beside_a_transfer_coding_and_kept_when_repeated_alike(void **state)
{
    struct el_http_head h;

    (void)state;
    assert_int_equal(read_head(&h, LINES("HTTP/1.1 200 OK\r\n", "Content-Length: 5\r\n",
                                         "Transfer-Encoding: Chunked\r\n", "\r\n")),
                     EL_OK);
    assert_false(el_fieldv_has(el_fields_view(&h.fields), EL_STR("Content-Length")));
    el_http_head_deinit(&h);
    assert_int_equal(read_head(&h, LINES("HTTP/1.1 200 OK\r\n", "Content-Length: 5\r\n",
                                         "Content-Length: 5\r\n", "\r\n")),
                     EL_OK);
    el_http_head_deinit(&h);
}

static void what_is_malformed_is_refused(void **state)
{
    static const char *const cases[][3] = {
        { "HTTP/1.1 20 OK\r\n", "\r\n" },
        { "HTTP/1.1 2000 OK\r\n", "\r\n" },
        { "HTTP/1.1 099 OK\r\n", "\r\n" },
        { "ICY 200 OK\r\n", "\r\n" },
        { "HTTP/1.1 200 OK\r\n", "A b: c\r\n", "\r\n" },
        { "HTTP/1.1 200 OK\r\n", ": c\r\n", "\r\n" },
        { "HTTP/1.1 200 OK\r\n", "A: b\rc\r\n", "\r\n" },
        { "HTTP/1.1 200 OK\r\n", "Content-Length: -1\r\n", "\r\n" },
        { "HTTP/1.1 200 OK\r\n", "Content-Length: 9223372036854775808\r\n", "\r\n" },
        { "HTTP/1.1 200 OK\r\n", "Transfer-Encoding: gzip\r\n", "\r\n" },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct el_http_head h;

        assert_int_equal(read_head(&h, LINES(cases[i][0], cases[i][1], cases[i][2])), EL_EPROTO);
        el_http_head_deinit(&h);
    }
}

static void the_number_and_the_bytes_of_fields_are_bounded(void **state)
{
    static char line[1000];
    struct el_http_head h;
    bool is_complete;
    enum el_err rc = EL_OK;
    int n = 0;

    (void)state;
    el_http_head_init(&h);
    (void)el_http_head_line(&h, EL_STR("HTTP/1.1 200 OK\r\n"), &is_complete, NULL);
    while (rc == EL_OK && ++n < 1000)
        rc = el_http_head_line(&h, EL_STR("A: b\r\n"), &is_complete, NULL);
    assert_int_equal(rc, EL_EPROTO);
    assert_int_equal(h.fields.n, EL_HTTP_HEAD_MAX_FIELDS);
    el_http_head_clear(&h);

    memset(line, 'a', sizeof(line));
    line[0] = ' ';
    (void)el_http_head_line(&h, EL_STR("HTTP/1.1 200 OK\r\n"), &is_complete, NULL);
    (void)el_http_head_line(&h, EL_STR("A: b\r\n"), &is_complete, NULL);
    for (n = 0, rc = EL_OK; rc == EL_OK && n < 1000; n++)
        rc = el_http_head_line(&h, (struct el_str){ line, sizeof(line) }, &is_complete, NULL);
    assert_int_equal(rc, EL_EPROTO);
    assert_true(h.bytes <= EL_HTTP_HEAD_MAX_BYTES + sizeof(line));
    el_http_head_deinit(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_keep_their_order_case_and_repetition),
        cmocka_unit_test(a_head_can_follow_an_interim_one),
        cmocka_unit_test(a_length_is_dropped_beside_a_transfer_coding_and_kept_when_repeated_alike),
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test(the_number_and_the_bytes_of_fields_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
