/* SPDX-License-Identifier: MIT */
#include "common/http_server.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

#include "tests/lib/raw_http.h"

#define BIG_BYTES (8 * 1024 * 1024)

static void get_hello(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    (void)in;
    el_buf_addf(&out->body, "hello %s", (const char *)arg);
}

static void post_echo(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    (void)arg;
    el_buf_add_str(&out->body, in->query);
    el_buf_add_byte(&out->body, '|');
    el_buf_add_str(&out->body, in->body);
}

static void get_tree(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    (void)arg;
    el_buf_add_str(&out->body, in->path);
}

static void get_big(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    (void)arg;
    (void)in;
    el_buf_reserve(&out->body, BIG_BYTES);
    for (size_t i = 0; i < BIG_BYTES; i++)
        el_buf_add_byte(&out->body, 'x');
}

static void get_field(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct el_str value = { 0 };

    (void)arg;
    if (el_fieldv_get(in->fields, EL_STR("X-Test"), &value))
        el_buf_add_str(&out->body, value);
}

/* The answers that are kept, by the number in the query. */
static _Atomic(struct el_http_later *) kept[EL_HTTP_SERVER_MAX_LATER + 1];

static void get_later(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    uint64_t i = 0;

    (void)arg;
    (void)el_str_u64(in->query, EL_HTTP_SERVER_MAX_LATER, &i);
    atomic_store(&kept[i], el_http_defer(out));
}

/* It answers itself, by a message to its own thread. */
struct note {
    struct el_msg msg;
    struct el_http_later *later;
    pthread_t handler;
};
static struct note note;

static void on_note(struct el_msg *m)
{
    struct note *n = EL_ENTRY(m, struct note, msg);
    bool is_same = pthread_equal(pthread_self(), n->handler) != 0;

    el_buf_add_str(&el_http_later_reply(n->later)->body,
                   is_same ? EL_STR("same") : EL_STR("other"));
    el_http_later_give(n->later);
}

static void get_note(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    (void)arg;
    (void)in;
    note.later = el_http_defer(out);
    note.handler = pthread_self();
    el_msg_init(&note.msg, on_note);
    el_msgq_post(el_http_later_queue(note.later), &note.msg);
}

static void get_part(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    (void)arg;
    el_fields_add(&out->fields, EL_STR("X-Part"), in->params[0]);
    el_buf_addf(&out->body, "%.*s", EL_STR_ARG(in->params[1]));
}

static void on_text(void *arg, struct el_http_ws *ws, struct el_str text)
{
    (void)arg;
    if (el_str_eq(text, EL_STR("bye")))
        el_http_ws_close(ws);
    else
        el_http_ws_send(ws, text);
}

static void on_ws_close(void *arg, struct el_http_ws *ws)
{
    (void)ws;
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static _Atomic int closed;

static void get_ws(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    static const struct el_http_ws_ops ops = { on_text, on_ws_close };

    (void)arg;
    (void)in;
    if (el_http_upgrade(out, &ops, &closed) == NULL)
        el_http_reply_problem(out, 400, "Bad Request", "no handshake");
}

/* Whoever has asked for it speaks to this socket now. */
static _Atomic int handed_over = -1;

static void take(void *arg, int fd)
{
    (void)arg;
    atomic_store(&handed_over, fd);
}

static void get_socket(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    (void)arg;
    if (el_str_ieq(in->upgrade, EL_STR("other")))
        el_http_hand_over(out, "other", take, NULL);
}

static const struct el_http_route routes[] = {
    { "GET", "/hello", get_hello, 0 },
    { "POST", "/echo", post_echo, 0 },
    { "PUT", "/echo", post_echo, 0 },
    { "GET", "/tree/*", get_tree, 0 },
    { "GET", "/big", get_big, 0 },
    { "GET", "/field", get_field, 0 },
    { "GET", "/later", get_later, 0 },
    { "GET", "/note", get_note, 0 },
    { "GET", "/closed", get_hello, 7 },
    { "GET", "/socket", get_socket, 0 },
    { "GET", "/part/{}/of/{}", get_part, 0 },
    { "GET", "/ws", get_ws, 0 },
};

static bool admit(void *arg, unsigned need, const struct el_http_call_in *in,
                  struct el_http_reply *out)
{
    (void)arg;
    if (need == 0)
        return true;
    el_http_reply_problem(out, 401, need == 7 && in->is_local ? "closed to you" : "?", "");
    out->challenge = "Bearer";
    return false;
}

static struct el_http_server_conf conf_on(uint16_t port)
{
    return (struct el_http_server_conf){
        .thread_name = "test",
        .bind_address = "127.0.0.1",
        .port = port,
        .routes = routes,
        .route_count = EL_COUNT(routes),
        .arg = (void *)(uintptr_t) "world",
        .admit = admit,
        .later_ms = 60000,
    };
}

static int start(void **state)
{
    struct el_http_server_conf conf = conf_on(0);
    struct el_http_server *s;

    if (el_http_server_start(&conf, &s, NULL) != EL_OK)
        return -1;
    *state = s;
    return 0;
}

static int stop(void **state)
{
    el_http_server_stop((struct el_http_server *)*state);
    return 0;
}

static uint16_t port_of(void **state)
{
    return el_http_server_port((struct el_http_server *)*state);
}

static void assert_has(const char *answer, const char *part)
{
    if (strstr(answer, part) == NULL)
        fail_msg("\"%s\" is not in: %.400s", part, answer);
}

static void assert_starts(const char *answer, const char *start)
{
    assert_memory_equal(answer, start, strlen(start));
}

static void a_route_gets_its_argument_and_answers(void **state)
{
    char *answer = raw_get(port_of(state), "/hello");

    assert_starts(answer, "HTTP/1.1 200 OK\r\n");
    assert_has(answer, "Content-Length: 11\r\n");
    assert_has(answer, "\r\n\r\nhello world");
    assert_null(strstr(answer, "Server:"));
    free(answer);
}

static void a_get_route_answers_head_without_a_body(void **state)
{
    char *answer = raw_exchange(port_of(state),
                                "HEAD /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");

    assert_starts(answer, "HTTP/1.1 200 OK\r\n");
    assert_has(answer, "Content-Length: 11\r\n");
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    free(answer);
}

static void a_prefix_route_takes_everything_below_it_and_nothing_beside_it(void **state)
{
    char *below = raw_get(port_of(state), "/tree/a/b");
    char *beside = raw_get(port_of(state), "/trees");

    assert_has(below, "\r\n\r\n/tree/a/b");
    assert_starts(beside, "HTTP/1.1 404 ");
    free(below);
    free(beside);
}

static void an_unknown_path_is_a_problem_document(void **state)
{
    char *answer = raw_get(port_of(state), "/nowhere");

    assert_starts(answer, "HTTP/1.1 404 Not Found\r\n");
    assert_has(answer, "content-type: application/problem+json\r\n");
    assert_has(answer, "{\"title\":\"Not Found\",\"status\":404,");
    free(answer);
}

static void another_method_is_405_and_says_which_are_allowed(void **state)
{
    char *post = raw_exchange(port_of(state), "DELETE /echo HTTP/1.1\r\nHost: a\r\n"
                                              "Connection: close\r\n\r\n");
    char *get = raw_exchange(port_of(state), "POST /hello HTTP/1.1\r\nHost: a\r\n"
                                             "Content-Length: 0\r\nConnection: close\r\n\r\n");

    assert_starts(post, "HTTP/1.1 405 ");
    assert_has(post, "allow: POST, PUT\r\n");
    assert_starts(get, "HTTP/1.1 405 ");
    assert_has(get, "allow: GET, HEAD\r\n");
    free(post);
    free(get);
}

static void body_and_query_reach_the_handler(void **state)
{
    char *answer =
        raw_exchange(port_of(state), "POST /echo?a=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                                     "Connection: close\r\n\r\nbody");

    assert_has(answer, "\r\n\r\na=1|body");
    free(answer);
}

static void a_body_over_the_limit_is_refused_before_it_is_read(void **state)
{
    char *answer = raw_exchange(
        port_of(state), "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n");

    assert_starts(answer, "HTTP/1.1 413 ");
    free(answer);
}

static void a_head_that_is_no_http_is_refused(void **state)
{
    char *answer = raw_exchange(port_of(state), "rubbish rubbish rubbish\r\n\r\n");

    assert_starts(answer, "HTTP/1.1 400 ");
    free(answer);
}

static void requests_on_one_connection_are_answered_in_order(void **state)
{
    char *answer = raw_exchange(port_of(state),
                                "GET /tree/1 HTTP/1.1\r\nHost: a\r\n\r\n"
                                "GET /tree/2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const char *first = strstr(answer, "/tree/1"), *second = strstr(answer, "/tree/2");

    assert_non_null(first);
    assert_non_null(second);
    assert_true(first < second);
    free(answer);
}

static void a_port_in_use_is_a_clear_error(void **state)
{
    struct el_http_server_conf conf = conf_on(port_of(state));
    struct el_http_server *second = NULL;
    struct el_error err = { 0 };

    assert_int_equal(el_http_server_start(&conf, &second, &err), EL_ESYS);
    assert_int_equal(err.sys, EADDRINUSE);
    assert_non_null(strstr(err.text, "another process has it"));
    assert_null(second);
}

static void an_address_that_is_none_is_a_configuration_error(void **state)
{
    struct el_http_server_conf conf = conf_on(0);
    struct el_http_server *second = NULL;
    struct el_error err = { 0 };

    (void)state;
    conf.bind_address = "localhost:80";
    assert_int_equal(el_http_server_start(&conf, &second, &err), EL_ECONF);
}

static void connections_that_say_nothing_do_not_keep_others_out(void **state)
{
    int silent[EL_HTTP_SERVER_MAX_CONNECTIONS + 8];
    char *answer;

    for (size_t i = 0; i < EL_COUNT(silent); i++)
        silent[i] = raw_connect(port_of(state));
    answer = raw_get(port_of(state), "/hello");
    assert_starts(answer, "HTTP/1.1 200 ");
    free(answer);
    for (size_t i = 0; i < EL_COUNT(silent); i++)
        (void)close(silent[i]);
}

static void stopping_lets_an_answer_on_its_way_arrive_and_drops_idle_connections(void **state)
{
    struct el_http_server_conf conf = conf_on(0);
    struct el_http_server *s;
    char first[64];
    char *rest;
    int reading, idle;

    (void)state;
    assert_int_equal(el_http_server_start(&conf, &s, NULL), EL_OK);
    idle = raw_connect(el_http_server_port(s));
    reading = raw_connect(el_http_server_port(s));
    raw_send(reading, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 32);
    assert_int_equal(recv(reading, first, sizeof(first), 0), sizeof(first));
    el_http_server_stop(s);
    rest = raw_read_all(reading);
    assert_has(rest, "hello world");
    free(rest);
    rest = raw_read_all(idle);
    assert_string_equal(rest, "");
    free(rest);
}

static void a_peer_that_never_reads_does_not_keep_the_server_from_stopping(void **state)
{
    struct el_http_server_conf conf = conf_on(0);
    struct el_http_server *s;
    char first;
    int fd;

    (void)state;
    assert_int_equal(el_http_server_start(&conf, &s, NULL), EL_OK);
    fd = raw_connect(el_http_server_port(s));
    raw_send(fd, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n", 30);
    assert_int_equal(recv(fd, &first, 1, 0), 1);
    el_http_server_stop(s);
    (void)close(fd);
}

static void a_handler_sees_the_fields_of_the_request(void **state)
{
    char *answer = raw_exchange(port_of(state), "GET /field HTTP/1.1\r\nHost: a\r\nX-Test: 1, 2\r\n"
                                                "Connection: close\r\n\r\n");

    assert_has(answer, "\r\n\r\n1, 2");
    free(answer);
}

/* ---- answers that come later ---- */

static int ask_later(uint16_t port, unsigned i)
{
    char request[80];
    int fd = raw_connect(port);

    (void)snprintf(request, sizeof(request),
                   "GET /later?%u HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", i);
    atomic_store(&kept[i], NULL);
    raw_send(fd, request, strlen(request));
    return fd;
}

static struct el_http_later *wait_kept(unsigned i)
{
    struct el_http_later *l;

    while ((l = atomic_load(&kept[i])) == NULL)
        (void)sched_yield();
    return l;
}

static void give(struct el_http_later *l, const char *text)
{
    el_buf_add_str(&el_http_later_reply(l)->body, el_str_of(text));
    el_http_later_reply(l)->status = 202;
    el_http_later_give(l);
}

static void assert_answer(int fd, const char *start, const char *part)
{
    char *answer = raw_read_all(fd);

    assert_starts(answer, start);
    assert_has(answer, part);
    free(answer);
}

static void a_kept_answer_is_given_by_another_thread_and_others_are_served_meanwhile(void **state)
{
    int fd = ask_later(port_of(state), 0);
    struct el_http_later *l = wait_kept(0);
    char *other = raw_get(port_of(state), "/hello");

    assert_has(other, "hello world");
    free(other);
    give(l, "at last");
    assert_answer(fd, "HTTP/1.1 202 ", "\r\n\r\nat last");
}

static void a_message_to_the_queue_of_a_kept_answer_runs_on_the_thread_of_the_server(void **state)
{
    char *answer = raw_get(port_of(state), "/note");

    assert_has(answer, "\r\n\r\nsame");
    free(answer);
}

static void a_kept_answer_that_misses_its_deadline_is_504_and_given_in_vain(void **state)
{
    struct el_http_server_conf conf = conf_on(0);
    struct el_http_server *s;
    int fd;

    (void)state;
    conf.later_ms = 20;
    assert_int_equal(el_http_server_start(&conf, &s, NULL), EL_OK);
    fd = ask_later(el_http_server_port(s), 0);
    assert_answer(fd, "HTTP/1.1 504 ", "application/problem+json");
    give(wait_kept(0), "too late");
    el_http_server_stop(s);
}

static void a_client_that_left_does_not_hurt_who_keeps_its_answer(void **state)
{
    struct el_http_server_conf conf = conf_on(0);
    struct el_http_server *s;

    (void)state;
    assert_int_equal(el_http_server_start(&conf, &s, NULL), EL_OK);
    for (unsigned i = 0; i < 20; i++) {
        int fd = ask_later(el_http_server_port(s), i);
        struct el_http_later *l = wait_kept(i);

        (void)close(fd);
        give(l, "nobody");
    }
    el_http_server_stop(s);
}

static void more_kept_answers_than_allowed_are_refused(void **state)
{
    int fd[EL_HTTP_SERVER_MAX_LATER];

    for (unsigned i = 0; i < EL_COUNT(fd); i++) {
        fd[i] = ask_later(port_of(state), i);
        (void)wait_kept(i);
    }
    assert_answer(ask_later(port_of(state), EL_HTTP_SERVER_MAX_LATER), "HTTP/1.1 503 ",
                  "too many requests of this kind");
    for (unsigned i = 0; i < EL_COUNT(fd); i++) {
        give(wait_kept(i), "done");
        assert_answer(fd[i], "HTTP/1.1 202 ", "done");
    }
}

static void *stop_in_thread(void *s)
{
    el_http_server_stop((struct el_http_server *)s);
    return NULL;
}

static void stopping_answers_who_waits_at_once_and_waits_for_who_keeps_the_answer(void **state)
{
    struct el_http_server_conf conf = conf_on(0);
    struct el_http_server *s;
    pthread_t stopper;
    int fd;

    (void)state;
    assert_int_equal(el_http_server_start(&conf, &s, NULL), EL_OK);
    fd = ask_later(el_http_server_port(s), 0);
    (void)wait_kept(0);
    assert_int_equal(pthread_create(&stopper, NULL, stop_in_thread, s), 0);
    assert_answer(fd, "HTTP/1.1 503 ", "the server is stopping");
    give(wait_kept(0), "nobody");
    assert_int_equal(pthread_join(stopper, NULL), 0);
}

#define ASKS_FOR_IT \
    "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n"

/* The head of an answer, and nothing behind it. */
static void read_head(int fd, char *head, size_t cap)
{
    size_t n = 0;

    head[0] = '\0';
    while (strstr(head, "\r\n\r\n") == NULL) {
        assert_true(n + 1 < cap);
        assert_int_equal(recv(fd, head + n, 1, 0), 1);
        head[++n] = '\0';
    }
}

static void a_connection_can_be_handed_over_and_the_server_forgets_it(void **state)
{
    int fd = raw_connect(port_of(state)), other;
    char head[1000], byte = 0;
    char *answer;

    atomic_store(&handed_over, -1);
    raw_send(fd, ASKS_FOR_IT, strlen(ASKS_FOR_IT));
    read_head(fd, head, sizeof(head));
    assert_starts(head, "HTTP/1.1 101 Switching Protocols\r\n");
    assert_has(head, "upgrade: other\r\n");
    while ((other = atomic_load(&handed_over)) < 0)
        (void)sched_yield();
    raw_send(fd, "x", 1);
    answer = raw_get(port_of(state), "/hello"); /* the server has had its turn: it did not read */
    assert_has(answer, "hello world");
    free(answer);
    while (recv(other, &byte, 1, 0) != 1)
        assert_int_equal(errno, EAGAIN);
    assert_int_equal(byte, 'x');
    stop(state);
    raw_send(other, "y", 1); /* and it outlives the server */
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    assert_int_equal(byte, 'y');
    (void)close(other);
    (void)close(fd);
    assert_int_equal(start(state), 0);
}

static void who_sends_more_than_the_request_is_not_handed_over(void **state)
{
    char *answer;

    atomic_store(&handed_over, -1);
    answer = raw_exchange(port_of(state), ASKS_FOR_IT "x");
    assert_starts(answer, "HTTP/1.1 101 ");
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    assert_int_equal(atomic_load(&handed_over), -1);
    free(answer);
}

static void whoever_is_not_admitted_is_answered_instead_of_the_handler(void **state)
{
    char *answer = raw_get(port_of(state), "/closed");

    assert_memory_equal(answer, "HTTP/1.1 401 Unauthorized", 25);
    assert_non_null(strstr(answer, "www-authenticate: Bearer\r\n"));
    assert_non_null(strstr(answer, "closed to you"));
    assert_null(strstr(answer, "world"));
    free(answer);
}

static void braces_stand_for_one_segment_that_is_not_empty(void **state)
{
    char *fits = raw_get(port_of(state), "/part/a%20b/of/c");
    char *empty = raw_get(port_of(state), "/part//of/c");
    char *more = raw_get(port_of(state), "/part/a/of/c/d");

    assert_has(fits, "x-part: a%20b\r\n");
    assert_has(fits, "\r\n\r\nc");
    assert_starts(empty, "HTTP/1.1 404 ");
    assert_starts(more, "HTTP/1.1 404 ");
    free(fits);
    free(empty);
    free(more);
}

#define HANDSHAKE                                                                  \
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

/* With a mask of zeros. */
static void send_text(int fd, const char *text)
{
    size_t n = strlen(text);
    char frame[64] = { (char)0x81, (char)(0x80 | n) };

    assert_true(n < sizeof(frame) - 6);
    memcpy(frame + 6, text, n);
    raw_send(fd, frame, n + 6);
}

/* Everything up to and with that; free() it. */
static char *raw_read_until(int fd, const char *end)
{
    struct el_buf b = { 0 };

    while (b.n < strlen(end) || strcmp(b.p + b.n - strlen(end), end) != 0) {
        char c;

        assert_int_equal(recv(fd, &c, 1, 0), 1);
        el_buf_add_byte(&b, c);
    }
    return el_buf_take(&b);
}

static void a_websocket_answers_until_it_is_closed(void **state)
{
    int fd = raw_connect(port_of(state));
    char *answer;

    atomic_store(&closed, 0);
    raw_send(fd, HANDSHAKE, strlen(HANDSHAKE));
    send_text(fd, "one");
    send_text(fd, "two");
    answer = raw_read_until(fd, "\x81\x03two");
    send_text(fd, "bye");
    free(raw_read_all(fd));
    assert_starts(answer, "HTTP/1.1 101 ");
    /* The key and its answer of RFC 6455 section 1.3. */
    assert_has(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_has(answer, "\r\n\r\n\x81\x03one\x81\x03two");
    assert_int_equal(atomic_load(&closed), 1);
    free(answer);
}

static void a_request_that_is_no_handshake_is_answered_as_any_other(void **state)
{
    char *answer = raw_get(port_of(state), "/ws");

    assert_starts(answer, "HTTP/1.1 400 ");
    free(answer);
}

static void stopping_closes_websockets(void **state)
{
    struct el_http_server_conf conf = conf_on(0);
    struct el_http_server *s;
    char head[16];
    int fd;

    (void)state;
    atomic_store(&closed, 0);
    assert_int_equal(el_http_server_start(&conf, &s, NULL), EL_OK);
    fd = raw_connect(el_http_server_port(s));
    raw_send(fd, HANDSHAKE, strlen(HANDSHAKE));
    assert_int_equal(recv(fd, head, sizeof(head), 0), sizeof(head));
    el_http_server_stop(s);
    assert_int_equal(atomic_load(&closed), 1);
    free(raw_read_all(fd));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_gets_its_argument_and_answers),
        cmocka_unit_test(a_get_route_answers_head_without_a_body),
        cmocka_unit_test(a_prefix_route_takes_everything_below_it_and_nothing_beside_it),
        cmocka_unit_test(braces_stand_for_one_segment_that_is_not_empty),
        cmocka_unit_test(a_websocket_answers_until_it_is_closed),
        cmocka_unit_test(a_request_that_is_no_handshake_is_answered_as_any_other),
        cmocka_unit_test(stopping_closes_websockets),
        cmocka_unit_test(an_unknown_path_is_a_problem_document),
        cmocka_unit_test(another_method_is_405_and_says_which_are_allowed),
        cmocka_unit_test(body_and_query_reach_the_handler),
        cmocka_unit_test(a_body_over_the_limit_is_refused_before_it_is_read),
        cmocka_unit_test(a_head_that_is_no_http_is_refused),
        cmocka_unit_test(requests_on_one_connection_are_answered_in_order),
        cmocka_unit_test(a_port_in_use_is_a_clear_error),
        cmocka_unit_test(an_address_that_is_none_is_a_configuration_error),
        cmocka_unit_test(connections_that_say_nothing_do_not_keep_others_out),
        cmocka_unit_test(stopping_lets_an_answer_on_its_way_arrive_and_drops_idle_connections),
        cmocka_unit_test(a_peer_that_never_reads_does_not_keep_the_server_from_stopping),
        cmocka_unit_test(a_handler_sees_the_fields_of_the_request),
        cmocka_unit_test(a_kept_answer_is_given_by_another_thread_and_others_are_served_meanwhile),
        cmocka_unit_test(a_message_to_the_queue_of_a_kept_answer_runs_on_the_thread_of_the_server),
        cmocka_unit_test(a_kept_answer_that_misses_its_deadline_is_504_and_given_in_vain),
        cmocka_unit_test(a_client_that_left_does_not_hurt_who_keeps_its_answer),
        cmocka_unit_test(more_kept_answers_than_allowed_are_refused),
        cmocka_unit_test(stopping_answers_who_waits_at_once_and_waits_for_who_keeps_the_answer),
        cmocka_unit_test_setup_teardown(a_connection_can_be_handed_over_and_the_server_forgets_it,
                                        start, stop),
        cmocka_unit_test(who_sends_more_than_the_request_is_not_handed_over),
        cmocka_unit_test_setup_teardown(whoever_is_not_admitted_is_answered_instead_of_the_handler,
                                        start, stop),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
