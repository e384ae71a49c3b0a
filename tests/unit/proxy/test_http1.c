/* SPDX-License-Identifier: MIT */
/* What stands on the wire: framing, keep-alive, pipelining, and the refusal of ambiguous messages.
 */
#include "tests/unit/proxy/wire.h"

static struct wire world;
static char room[65536];

static int start(void **state)
{
    struct proxy_server_conf conf = wire_conf(&world);

    (void)state;
    wire_start(&world, &conf);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    wire_stop(&world);
    return 0;
}

static unsigned count(const char *text, const char *part)
{
    unsigned n = 0;

    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        n++;
    return n;
}

static void an_answer_has_length_and_one_date_and_keeps_the_connection(void **state)
{
    int fd = wire_dial(&world);

    (void)state;
    for (int i = 0; i < 3; i++) {
        wire_say(fd, "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
        wire_hear_until(fd, "hello", room, sizeof(room));
        assert_non_null(strstr(room, "HTTP/1.1 200 OK\r\n"));
        assert_non_null(strstr(room, "X-Test: yes\r\n"));
        assert_non_null(strstr(room, "Content-Length: 5\r\n"));
        assert_int_equal(count(room, "Date: "), 1);
        assert_null(strstr(room, "Connection:"));
    }
    (void)close(fd);
}

static void a_date_of_the_response_is_not_replaced(void **state)
{
    (void)state;
    wire_exchange(&world, "GET /date HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", room,
                  sizeof(room));
    assert_int_equal(count(room, "Date: "), 1);
    assert_non_null(strstr(room, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    const char *third, *second;

    (void)state;
    wire_exchange(&world,
                  "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"
                  "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                  "GET /date HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                  room, sizeof(room));
    assert_int_equal(count(room, "HTTP/1.1 200 OK"), 3);
    second = strstr(room, "\r\n\r\n0");
    third = strstr(room, "\r\n\r\nold");
    assert_true(second != NULL && third != NULL && strstr(room, "hello") < second &&
                second < third);
}

static void hundreds_of_pipelined_requests_need_no_more_stack(void **state)
{
    static const char one[] = "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n";
    int fd = wire_dial(&world);

    (void)state;
    for (int i = 0; i < 300; i++)
        wire_say(fd, one);
    wire_say(fd, "GET /date HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    (void)wire_hear_all(fd, room, sizeof(room));
    assert_int_equal(count(room, "\r\n\r\nhello"), 300);
    assert_int_equal(count(room, "\r\n\r\nold"), 1);
    (void)close(fd);
}

static void a_request_in_single_bytes_is_understood(void **state)
{
    static const char text[] =
        "\r\nPOST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        "Connection: close\r\n\r\n1;x=\"y\"\r\nU\r\n0\r\nT: x\r\n\r\n";
    int fd = wire_dial(&world);

    (void)state;
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        wire_say_bytes(fd, text + i, 1);
    (void)wire_hear_all(fd, room, sizeof(room));
    assert_non_null(strstr(room, "\r\n\r\n1"));
    assert_non_null(strstr(room, "200 OK"));
    (void)close(fd);
}

static void http_1_0_closes_unless_asked_to_keep(void **state)
{
    int fd = wire_dial(&world);

    (void)state;
    wire_exchange(&world, "GET /ok HTTP/1.0\r\n\r\n", room, sizeof(room));
    assert_non_null(strstr(room, "Connection: close\r\n"));
    wire_say(fd, "GET /ok HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    wire_hear_until(fd, "hello", room, sizeof(room));
    assert_non_null(strstr(room, "Connection: keep-alive\r\n"));
    wire_say(fd, "GET /ok HTTP/1.0\r\n\r\n");
    wire_hear_until(fd, "hello", room, sizeof(room));
    assert_int_equal(wire_hear_some(fd, room, sizeof(room)), 0);
    (void)close(fd);
}

static void an_unknown_length_is_chunked_or_ends_with_the_connection(void **state)
{
    (void)state;
    wire_exchange(&world, "GET /chunked/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", room,
                  sizeof(room));
    assert_non_null(strstr(room, "Transfer-Encoding: chunked\r\n"));
    assert_non_null(strstr(room, "\r\n\r\n3\r\nUTW\r\n0\r\n\r\n"));
    wire_exchange(&world, "GET /chunked/3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", room,
                  sizeof(room));
    assert_null(strstr(room, "chunked"));
    assert_non_null(strstr(room, "Connection: close\r\n"));
    assert_non_null(strstr(room, "\r\n\r\nUTW"));
}

static void head_has_the_length_and_no_body(void **state)
{
    (void)state;
    wire_exchange(&world,
                  "HEAD /len/70000 HTTP/1.1\r\nHost: a\r\n\r\n"
                  "HEAD /chunked/5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                  room, sizeof(room));
    assert_non_null(strstr(room, "Content-Length: 70000\r\n"));
    assert_int_equal(count(room, "200 OK"), 2);
    assert_string_equal(room + strlen(room) - 4, "\r\n\r\n");
}

static void statuses_without_body_have_no_length(void **state)
{
    (void)state;
    wire_exchange(&world,
                  "GET /status/204 HTTP/1.1\r\nHost: a\r\n\r\n"
                  "GET /status/304 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                  room, sizeof(room));
    assert_non_null(strstr(room, "204 No Content"));
    assert_non_null(strstr(room, "304 Not Modified"));
    assert_null(strstr(room, "Content-Length"));
    assert_null(strstr(room, "chunked"));
}

static void interim_answers_go_to_http_1_1_only(void **state)
{
    (void)state;
    wire_exchange(&world, "GET /interim HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", room,
                  sizeof(room));
    assert_non_null(strstr(room, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200"));
    wire_exchange(&world, "GET /interim HTTP/1.0\r\n\r\n", room, sizeof(room));
    assert_null(strstr(room, "103"));
}

static void continue_is_sent_when_the_body_is_wanted(void **state)
{
    int fd = wire_dial(&world);

    (void)state;
    wire_say(fd, "PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                 "Expect: 100-continue\r\n\r\n");
    wire_hear_until(fd, "HTTP/1.1 100 Continue\r\n\r\n", room, sizeof(room));
    wire_say(fd, "UT");
    wire_hear_until(fd, "\r\n\r\n2", room, sizeof(room));
    /* The body came without being asked for: nobody waits for a 100. */
    wire_say(fd, "PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                 "Expect: 100-continue\r\n\r\nUT");
    wire_hear_until(fd, "\r\n\r\n2", room, sizeof(room));
    assert_null(strstr(room, "100 Continue"));
    (void)close(fd);
}

static void a_body_that_was_refused_before_it_came_ends_the_connection(void **state)
{
    (void)state;
    wire_exchange(&world,
                  "PUT /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                  "Expect: 100-continue\r\n\r\n",
                  room, sizeof(room));
    assert_null(strstr(room, "100 Continue"));
    assert_non_null(strstr(room, "Connection: close\r\n"));
}

static void a_short_unread_body_is_skipped(void **state)
{
    (void)state;
    wire_exchange(&world,
                  "PUT /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 24\r\n\r\n"
                  "GET /ok HTTP/1.1\r\n\r\n____"
                  "PUT /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "5\r\nGET /\r\n0\r\n\r\n"
                  "GET /date HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                  room, sizeof(room));
    assert_int_equal(count(room, "HTTP/1.1 200 OK"), 3);
    assert_non_null(strstr(room, "old"));
}

struct probe {
    int status;
    const char *request;
};

/* Each is followed by a request that must not be seen: the rest of the connection is not trusted.
 */
static const struct probe probes[] = {
    { 400,
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
    { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n" },
    { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n" },
    { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n" },
    { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n" },
    { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x0\r\n\r\n" },
    { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n" },
    { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n" },
    { 501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" },
    { 501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n" },
    { 501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n" },
    { 400,
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n" },
    { 400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
    { 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a\n\r\n" },
    { 400, "GET / HTTP/1.1\nHost: a\n\n" },
    { 400, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n" },
    { 400, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a/b c\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\x01\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a\r\nX y: a\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n" },
    { 400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n" },
    { 400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n" },
    { 400, "GET / http/1.1\r\nHost: a\r\n\r\n" },
    { 400, "G@T / HTTP/1.1\r\nHost: a\r\n\r\n" },
    { 400, "GET /\r\n\r\n" },
    { 400, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n" },
    { 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n" },
    { 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
    { 417, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: miracles\r\n\r\n" },
};

static void ambiguous_messages_are_refused_and_nothing_behind_them_is_seen(void **state)
{
    char request[512];

    (void)state;
    for (size_t i = 0; i < EL_COUNT(probes); i++) {
        unsigned before = atomic_load(&world.requests);

        (void)snprintf(request, sizeof(request), "%sGET /ok HTTP/1.1\r\nHost: smuggled\r\n\r\n",
                       probes[i].request);
        wire_exchange(&world, request, room, sizeof(room));
        if (strncmp(room, "HTTP/1.1 ", 9) != 0 ||
            strtol(room + 9, NULL, 10) != (long)probes[i].status)
            fail_msg("wanted %d for %s, got %s", probes[i].status, probes[i].request, room);
        assert_int_equal(count(room, "HTTP/1.1 "), 1);
        assert_non_null(strstr(room, "Content-Type: application/problem+json\r\n"));
        assert_non_null(strstr(room, "Connection: close\r\n"));
        assert_int_equal(atomic_load(&world.requests), before);
    }
}

static void unusual_but_clear_messages_are_served(void **state)
{
    static const char *const fine[] = {
        "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 1 \t\r\n\r\nU",
        "POST /count HTTP/1.1\r\nHOST:a\r\nTRANSFER-ENCODING:CHUNKED\r\n\r\n1\r\nU\r\n0\r\n\r\n",
        "\r\nPOST /count HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 01\r\n\r\nU",
        "POST /count HTTP/1.7\r\nHost: a.b-c_d%20:8080\r\nContent-Length: 1\r\n\r\nU",
        "POST /count HTTP/1.1\r\nHost:\r\nContent-Length: 1\r\nX:\r\nY: \xc3\xa9\r\n\r\nU",
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(fine); i++) {
        int fd = wire_dial(&world);

        wire_say(fd, fine[i]);
        wire_hear_until(fd, "\r\n\r\n1", room, sizeof(room));
        assert_non_null(strstr(room, "200 OK"));
        (void)close(fd);
    }
}

static void broken_chunks_fail_the_body(void **state)
{
    static const char *const broken[] = {
        "1\nU\r\n0\r\n\r\n",      "1\r\nU\n0\r\n\r\n", "1\r\nUT\r\n0\r\n\r\n", "g\r\n",
        "10000000000000000\r\nU", "1 \r\nU\r\n",       "-1\r\nU\r\n",          "\r\n",
        "8000000000000000\r\nU",  "1;\x01\r\nU\r\n",   "0\r\nX\n\r\n",         "0x1\r\nU\r\n",
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(broken); i++) {
        int fd = wire_dial(&world);

        wire_say(fd, "POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        wire_say(fd, broken[i]);
        wire_say(fd, "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
        (void)wire_hear_all(fd, room, sizeof(room));
        if (strstr(room, "EL_EBADREQ") == NULL || strstr(room, "hello") != NULL)
            fail_msg("chunks %s: %s", broken[i], room);
        (void)close(fd);
    }
}

static void a_head_that_is_too_long_is_431(void **state)
{
    static char request[20000];

    (void)state;
    memset(request, 'x', sizeof(request) - 1);
    memcpy(request, "GET /", 5);
    wire_exchange(&world, request, room, sizeof(room));
    assert_non_null(strstr(room, "HTTP/1.1 431 "));
    memcpy(request, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
    memcpy(request + 9000, "\r\n\r\n", 4);
    wire_exchange(&world, request, room, sizeof(room));
    assert_non_null(strstr(room, "HTTP/1.1 431 "));
}

static void too_many_fields_are_431(void **state)
{
    static char request[8000] = "GET / HTTP/1.1\r\nHost: a\r\n";
    size_t n = strlen(request);

    (void)state;
    for (int i = 0; i < 100; i++)
        n += (size_t)snprintf(request + n, sizeof(request) - n, "X-%d: y\r\n", i);
    (void)snprintf(request + n, sizeof(request) - n, "\r\n");
    wire_exchange(&world, request, room, sizeof(room));
    assert_non_null(strstr(room, "HTTP/1.1 431 "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_has_length_and_one_date_and_keeps_the_connection),
        cmocka_unit_test(a_date_of_the_response_is_not_replaced),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(hundreds_of_pipelined_requests_need_no_more_stack),
        cmocka_unit_test(a_request_in_single_bytes_is_understood),
        cmocka_unit_test(http_1_0_closes_unless_asked_to_keep),
        cmocka_unit_test(an_unknown_length_is_chunked_or_ends_with_the_connection),
        cmocka_unit_test(head_has_the_length_and_no_body),
        cmocka_unit_test(statuses_without_body_have_no_length),
        cmocka_unit_test(interim_answers_go_to_http_1_1_only),
        cmocka_unit_test(continue_is_sent_when_the_body_is_wanted),
        cmocka_unit_test(a_body_that_was_refused_before_it_came_ends_the_connection),
        cmocka_unit_test(a_short_unread_body_is_skipped),
        cmocka_unit_test(ambiguous_messages_are_refused_and_nothing_behind_them_is_seen),
        cmocka_unit_test(unusual_but_clear_messages_are_served),
        cmocka_unit_test(broken_chunks_fail_the_body),
        cmocka_unit_test(a_head_that_is_too_long_is_431),
        cmocka_unit_test(too_many_fields_are_431),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
