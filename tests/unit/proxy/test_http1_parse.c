/* SPDX-License-Identifier: MIT */
/* The wire's side of this (which message gets which answer) is in test_http1.c. */
#include "proxy/http1_parse.h"

#include "common/http_client.h"

#include "tests/lib/test.h"

#define MAX_FIELDS 8

static struct el_field fields[MAX_FIELDS];
static struct proxy_http1_head parsed;
static struct proxy_http1_refusal refusal;

static bool parse(const char *text)
{
    return proxy_http1_head_parse(el_str_of(text), fields, MAX_FIELDS, &parsed, &refusal);
}

static void the_parts_of_a_head_are_slices_of_it(void **state)
{
    static const char text[] = "GET http://h/k?x=1 HTTP/1.1\r\nHost:  h:80 \r\nX-Y: a b\t\r\n\r\n";
    const struct proxy_head *h = &parsed.head;

    (void)state;
    assert_true(parse(text));
    assert_true(el_str_eq(h->method, EL_STR("GET")));
    assert_true(el_str_eq(h->target, EL_STR("http://h/k?x=1")));
    assert_true(el_str_eq(h->host, EL_STR("h:80")));
    assert_int_equal(h->fields.n, 2);
    assert_true(el_str_eq(h->fields.v[1].name, EL_STR("X-Y")));
    assert_true(el_str_eq(h->fields.v[1].value, EL_STR("a b")));
    assert_int_equal(h->body_length, EL_HTTP_BODY_NONE);
    assert_true(parsed.keep_alive && !h->expects_continue && h->minor_version == 1);
}

static void the_end_of_a_head_is_found_however_it_is_cut(void **state)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nbody\r\n\r\n";
    const size_t end = (size_t)(strstr(text, "body") - text);

    (void)state;
    for (size_t cut = 1; cut < sizeof(text); cut++) {
        size_t scanned = 0;
        ssize_t first = proxy_http1_head_end(text, cut, &scanned);

        assert_int_equal(first, cut < end ? 0 : (ssize_t)end);
        if (first == 0)
            assert_int_equal(proxy_http1_head_end(text, sizeof(text) - 1, &scanned), end);
    }
}

static void connection_members_are_a_list(void **state)
{
    (void)state;
    assert_true(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: x , CLOSE\r\n\r\n"));
    assert_false(parsed.keep_alive);
    assert_true(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n"));
    assert_true(parsed.keep_alive);
    assert_true(parse("GET / HTTP/1.0\r\nConnection: foo, Keep-Alive\r\n\r\n"));
    assert_true(parsed.keep_alive);
    assert_true(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n"));
    assert_false(parsed.keep_alive);
}

static void expect_counts_only_with_a_body_in_http_1_1(void **state)
{
    (void)state;
    assert_true(parse("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n"
                      "Content-Length: 7\r\n\r\n"));
    assert_true(parsed.head.expects_continue);
    assert_int_equal(parsed.head.body_length, 7);
    assert_true(parse("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"));
    assert_false(parsed.head.expects_continue);
    assert_true(parse("PUT / HTTP/1.0\r\nExpect: anything\r\nContent-Length: 7\r\n\r\n"));
    assert_false(parsed.head.expects_continue);
}

static void a_nul_in_a_value_is_refused(void **state)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n";
    struct el_str bytes = { text, sizeof(text) - 1 };

    (void)state;
    assert_false(proxy_http1_head_parse(bytes, fields, MAX_FIELDS, &parsed, &refusal));
    assert_int_equal(refusal.status, 400);
}

static void more_fields_than_there_is_room_for_are_refused(void **state)
{
    (void)state;
    assert_false(
        parse("GET / HTTP/1.1\r\nHost: a\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\n\r\n"));
    assert_int_equal(refusal.status, 431);
}

/* Decodes in pieces of `step` bytes as they arrive; -1 when broken, otherwise bytes of body. */
static ssize_t decode(const char *text, size_t n, size_t step, char *out, bool *ret_done)
{
    struct proxy_chunked d;
    size_t at = 0, body = 0;

    proxy_chunked_init(&d);
    for (size_t have = 0; have < n;) {
        size_t used, data;

        have = el_min_size(n, have + step);
        do {
            if (!proxy_chunked_next(&d, text + at, have - at, &used, &data))
                return -1;
            at += used;
            memcpy(out + body, text + at, data);
            proxy_chunked_take(&d, data);
            body += data;
            at += data;
        } while (used + data > 0);
    }
    *ret_done = proxy_chunked_is_done(&d);
    if (*ret_done)
        assert_int_equal(memcmp(text + at, "rest", n - at), 0);
    return (ssize_t)body;
}

static void chunks_are_decoded_however_they_arrive(void **state)
{
    static const char text[] = "4;a=b;c\r\nWiki\r\n006 ;x\r\npedia \r\nE\r\nin \r\n\r\nchunks."
                               "\r\n000\r\nTrailer: x\r\nY:\r\n\r\nrest";
    char out[64];

    (void)state;
    for (size_t step = 1; step < sizeof(text); step++) {
        bool done;

        assert_int_equal(decode(text, sizeof(text) - 1, step, out, &done), 24);
        assert_memory_equal(out, "Wikipedia in \r\n\r\nchunks.", 24);
        assert_true(done);
    }
}

static void a_body_without_its_last_chunk_is_not_complete(void **state)
{
    char out[16];
    bool done;

    (void)state;
    assert_int_equal(decode("3\r\nabc\r\n", 8, 8, out, &done), 3);
    assert_false(done);
    assert_int_equal(decode("3\r\nabc\r\n0\r\n", 11, 11, out, &done), 3);
    assert_false(done);
}

static void extensions_and_trailers_are_bounded(void **state)
{
    static char text[20000];
    char out[16];
    bool done;

    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text, "1;", 2);
    assert_int_equal(decode(text, 200, 200, out, &done), 0);
    assert_int_equal(decode(text, 400, 400, out, &done), -1);
    memcpy(text, "0\r\n", 3);
    assert_int_equal(decode(text, 8000, 8000, out, &done), 0);
    assert_int_equal(decode(text, 9000, 9000, out, &done), -1);
}

static void a_chunk_size_cannot_overflow(void **state)
{
    char out[16];
    bool done;

    (void)state;
    assert_int_equal(decode("7fffffffffffffff\r\n", 18, 18, out, &done), 0);
    assert_int_equal(decode("8000000000000000\r\n", 18, 18, out, &done), -1);
    assert_int_equal(decode("00000000000000001\r\n", 19, 19, out, &done), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_parts_of_a_head_are_slices_of_it),
        cmocka_unit_test(the_end_of_a_head_is_found_however_it_is_cut),
        cmocka_unit_test(connection_members_are_a_list),
        cmocka_unit_test(expect_counts_only_with_a_body_in_http_1_1),
        cmocka_unit_test(a_nul_in_a_value_is_refused),
        cmocka_unit_test(more_fields_than_there_is_room_for_are_refused),
        cmocka_unit_test(chunks_are_decoded_however_they_arrive),
        cmocka_unit_test(a_body_without_its_last_chunk_is_not_complete),
        cmocka_unit_test(extensions_and_trailers_are_bounded),
        cmocka_unit_test(a_chunk_size_cannot_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
