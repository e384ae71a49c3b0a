/* SPDX-License-Identifier: MIT */
#include "tests/unit/storage/world.h"

#define BIG (24 * EL_MIB)

static void send_head(struct origin_conn *c, uint64_t n)
{
    origin_send(c, "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n", (unsigned long long)n);
}

static void serve_small(struct origin_conn *c)
{
    while (origin_read_head(c)) {
        send_head(c, 1000);
        if (!origin_send_object(c, 0, 1000))
            return;
    }
}

static void serve_big(struct origin_conn *c)
{
    while (origin_read_head(c)) {
        send_head(c, BIG);
        if (!origin_send_object(c, 0, BIG))
            return;
    }
}

static void the_request_goes_out_as_given_and_events_come_in_order(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_small);
    assert_int_equal(world_get(&w), EL_OK);
    assert_string_equal(w.events, "HRD");
    assert_int_equal(w.status, 200);
    assert_int_equal(w.body_bytes, 1000);
    assert_true(w.body_is_right);
    assert_string_equal(origin_head(&w.o, 0),
                        "GET /bucket/key?versionId=1 HTTP/1.1\r\nHost: bucket.test\r\n"
                        "Authorization: AWS4-HMAC-SHA256 x\r\n\r\n");
    world_close(&w);
}

static void serve_interims(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    origin_send(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 A\r\n\r\nHTTP/1.1 102 B\r\n\r\n"
                   "HTTP/1.1 204 No Content\r\n\r\n");
    origin_wait_gone(c);
}

static void interim_answers_are_passed_on_before_the_head(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_interims);
    assert_int_equal(world_get(&w), EL_OK);
    assert_string_equal(w.events, "IIHD");
    assert_int_equal(w.status, 204);
    world_close(&w);
}

static void a_body_is_held_back_until_it_is_wanted(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_big);
    w.pipes = false;
    world_ask(&w, "GET", EL_HTTP_BODY_NONE);
    WORLD_WAIT(&w, w.n_events > 0);
    assert_string_equal(w.events, "H");
    store_exchange_pipe(w.ex);
    WORLD_WAIT(&w, w.is_done);
    assert_int_equal(w.body_bytes, BIG);
    assert_true(w.body_is_right);
    world_close(&w);
}

static void a_slow_reader_gets_every_byte_in_bounded_memory(void **state)
{
    const void *bytes;
    struct world w;
    size_t n;

    (void)state;
    world_open(&w, serve_big);
    w.drains = false;
    world_ask(&w, "GET", EL_HTTP_BODY_NONE);
    while (w.body_bytes < BIG) {
        WORLD_WAIT(&w, (store_exchange_read(w.ex, &bytes, &n), n > 0));
        n = el_min_size(n, 10007);
        for (size_t i = 0; i < n; i++)
            w.body_is_right &= ((const uint8_t *)bytes)[i] == origin_byte(w.body_bytes + i);
        w.body_bytes += n;
        store_exchange_consume(w.ex, n);
    }
    WORLD_WAIT(&w, w.is_done);
    assert_true(w.body_is_right);
    assert_int_equal(w.ex->err.code, EL_OK);
    world_close(&w);
}

static void serve_upload(struct origin_conn *c)
{
    uint8_t *room = malloc(BIG);
    bool is_right = true;

    assert_non_null(room);
    if (origin_read_head(c) && origin_read_body(c, room, BIG)) {
        for (uint64_t i = 0; i < BIG; i++)
            is_right &= room[i] == origin_byte(i);
        origin_send(c, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n",
                    is_right ? "201 Created" : "500 Wrong bytes");
        origin_wait_gone(c);
    }
    free(room);
}

static void a_request_body_is_streamed_with_back_pressure(void **state)
{
    uint8_t room[30000];
    uint64_t at = 0;
    struct world w;

    (void)state;
    world_open(&w, serve_upload);
    world_ask(&w, "PUT", (int64_t)BIG);
    while (at < BIG) {
        size_t n = el_min_size(sizeof(room), BIG - at), taken;

        origin_fill(room, at, n);
        taken = store_exchange_write(w.ex, room, n);
        at += taken;
        if (taken < n) {
            w.n_events = 0;
            WORLD_WAIT(&w, w.n_events > 0);
            assert_int_equal(w.events[0], 'W');
        }
    }
    store_exchange_write_end(w.ex);
    WORLD_WAIT(&w, w.is_done);
    assert_int_equal(w.ex->err.code, EL_OK);
    assert_int_equal(w.status, 201);
    world_close(&w);
}

static void serve_early(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    origin_send(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    origin_wait_gone(c);
}

static void an_early_refusal_of_an_upload_arrives(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_early);
    world_ask(&w, "PUT", 1000);
    WORLD_WAIT(&w, w.is_done);
    assert_int_equal(w.status, 403);
    assert_int_equal(w.ex->err.code, EL_OK);
    world_close(&w);
}

/* ---- failures ---- */

static void serve_third_time(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    if (c->index < 2) {
        origin_reset(c);
        return;
    }
    send_head(c, 10);
    origin_send_object(c, 0, 10);
    origin_wait_gone(c);
}

static void a_read_without_an_answer_is_sent_again(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_third_time);
    assert_int_equal(world_get(&w), EL_OK);
    assert_string_equal(w.events, "HRD");
    assert_int_equal(origin_heads(&w.o), 3);
    world_close(&w);
}

static void what_may_not_be_repeated_is_sent_once(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_third_time);
    world_ask(&w, "POST", EL_HTTP_BODY_NONE);
    WORLD_WAIT(&w, w.is_done);
    assert_int_equal(w.ex->err.code, EL_ERESET);
    assert_string_equal(w.events, "D");
    assert_int_equal(origin_heads(&w.o), 1);
    world_close(&w);
}

static void serve_unavailable(struct origin_conn *c)
{
    while (origin_read_head(c))
        if (!origin_send(c,
                         "HTTP/1.1 503 Slow Down\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n"))
            return;
}

static void an_error_of_the_origin_is_an_answer_and_passed_on(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_unavailable);
    assert_int_equal(world_get(&w), EL_OK);
    assert_int_equal(w.status, 503);
    assert_int_equal(origin_heads(&w.o), 1);
    world_close(&w);
}

static void serve_half(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    send_head(c, 1000);
    origin_send_object(c, 0, 400);
}

static void a_piped_body_cut_short_is_an_error_after_its_bytes(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_half);
    assert_int_equal(world_get(&w), EL_ETRUNCATED);
    assert_int_equal(w.body_bytes, 400);
    assert_true(w.body_is_right);
    assert_int_equal(origin_heads(&w.o), 1);
    world_close(&w);
}

static void break_soon(struct store_conf *conf)
{
    conf->breaker_failures = 2;
    conf->breaker_open_ms = 600000;
    conf->retries = 1;
}

/* A port on which nobody listens, as long as *ret_fd is open. */
static uint16_t dead_port(int *ret_fd)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(at);

    *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*ret_fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&at, &n), 0);
    return ntohs(at.sin_port);
}

static void a_dead_origin_is_left_alone_and_says_so_at_once(void **state)
{
    struct world w;
    uint16_t port;
    int fd;

    (void)state;
    world_open_with(&w, serve_small, break_soon);
    port = w.o.port;
    w.o.port = dead_port(&fd);
    assert_int_equal(world_get(&w), EL_ECONNECT);
    store_exchange_close(w.ex);
    w.is_done = false;
    assert_int_equal(world_get(&w), EL_EBREAKER);
    store_exchange_close(w.ex);
    w.is_done = false;
    w.o.port = port; /* another origin is none of its business */
    assert_int_equal(world_get(&w), EL_OK);
    (void)close(fd);
    world_close(&w);
}

static void an_origin_that_cuts_its_bodies_is_left_alone_too(void **state)
{
    struct world w;

    (void)state;
    world_open_with(&w, serve_half, break_soon);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(world_get(&w), i < 2 ? EL_ETRUNCATED : EL_EBREAKER);
        store_exchange_close(w.ex);
        w.ex = NULL;
        w.is_done = false;
    }
    assert_int_equal(origin_heads(&w.o), 2);
    world_close(&w);
}

/* ---- limits ---- */

static void serve_gated(struct origin_conn *c)
{
    while (origin_read_head(c)) {
        origin_wait_gate(c);
        send_head(c, 0);
    }
}

static void two_at_a_time(struct store_conf *conf)
{
    conf->max_connections_per_host = 2;
}

static void count_done(void *arg, struct store_exchange *ex, enum store_event ev)
{
    int *dones = arg;

    if (ev == STORE_EV_DONE) {
        assert_int_equal(ex->err.code, EL_OK);
        ++*dones;
    }
}

static void no_more_than_the_allowed_number_run_at_a_time(void **state)
{
    struct store_exchange *ex[6];
    struct store_stats stats;
    struct store_request req;
    struct world w;
    int dones = 0;

    (void)state;
    world_open_with(&w, serve_gated, two_at_a_time);
    req = (struct store_request){ .method = EL_STR("GET"),
                                  .to = world_target(&w),
                                  .fields = world_fieldv,
                                  .body_length = EL_HTTP_BODY_NONE };
    for (size_t i = 0; i < EL_COUNT(ex); i++)
        ex[i] = store_exchange_start(w.s, &req, w.queue, count_done, &dones);
    origin_wait_heads(&w.o, 2);
    store_stats_get(w.s, &stats);
    assert_int_equal(stats.running, 2);
    assert_int_equal(origin_heads(&w.o), 2);
    store_exchange_close(ex[5]); /* while it queues, or one that runs */
    origin_open_gate(&w.o);
    WORLD_WAIT(&w, dones == 5);
    for (size_t i = 0; i < 5; i++)
        store_exchange_close(ex[i]);
    world_close(&w);
}

/* ---- close ---- */

static void serve_silence(struct origin_conn *c)
{
    if (origin_read_head(c))
        origin_wait_gone(c);
}

static void closing_ends_the_transfer_at_every_phase(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_silence); /* not begun */
    world_ask(&w, "GET", EL_HTTP_BODY_NONE);
    world_close(&w);

    world_open(&w, serve_silence); /* no head */
    world_ask(&w, "GET", EL_HTTP_BODY_NONE);
    origin_wait_heads(&w.o, 1);
    world_close(&w);

    world_open(&w, serve_big); /* from within HEAD */
    w.closes_at_head = true;
    world_ask(&w, "GET", EL_HTTP_BODY_NONE);
    WORLD_WAIT(&w, w.n_events > 0);
    world_close(&w);

    world_open(&w, serve_big); /* a full ring */
    w.drains = false;
    world_ask(&w, "GET", EL_HTTP_BODY_NONE);
    WORLD_WAIT(&w, w.n_events == 2);
    world_close(&w);

    world_open(&w, serve_upload); /* half a request */
    world_ask(&w, "PUT", (int64_t)BIG);
    assert_int_equal(store_exchange_write(w.ex, "abc", 3), 3);
    world_close(&w);
}

static void one_thread(struct store_conf *conf)
{
    conf->threads = 1;
}

static void a_short_rest_is_drained_so_that_the_connection_is_kept(void **state)
{
    struct store_stats st;
    struct world w;

    (void)state;
    world_open_with(&w, serve_small, one_thread);
    w.pipes = false;
    w.closes_at_head = true;
    world_ask(&w, "GET", EL_HTTP_BODY_NONE);
    WORLD_WAIT(&w, w.n_events > 0);
    w.pipes = true;
    w.closes_at_head = false;
    do
        store_stats_get(w.s, &st);
    while (st.running > 0); /* the rest is being drained */
    assert_int_equal(world_get(&w), EL_OK);
    assert_int_equal(origin_conns(&w.o), 1);
    world_close(&w);
}

static void stopping_the_storage_ends_what_runs(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_silence);
    world_ask(&w, "GET", EL_HTTP_BODY_NONE);
    origin_wait_heads(&w.o, 1);
    storage_stop(w.s);
    w.s = NULL;
    WORLD_WAIT(&w, w.is_done);
    assert_int_equal(w.ex->err.code, EL_ESHUTDOWN);
    world_close(&w);
}

static void every_origin_byte_is_counted_under_its_reason(void **state)
{
    struct store_stats stats;
    struct el_buf text;
    struct world w;

    (void)state;
    world_open(&w, serve_small);
    assert_int_equal(world_get(&w), EL_OK);
    store_stats_get(w.s, &stats);
    assert_int_equal(stats.exchanges, 1);
    assert_int_equal(stats.bytes_by_reason[STORE_MISS], 1000);
    assert_int_equal(stats.bytes_in, 1000);
    assert_int_equal(stats.running, 0);
    el_buf_init(&text);
    el_metrics_write(w.metrics, &text);
    assert_non_null(strstr(text.p, "eliop2p_origin_bytes_total{reason=\"miss\"} 1000\n"));
    assert_non_null(strstr(text.p, "eliop2p_origin_requests_total{reason=\"miss\"} 1\n"));
    el_buf_deinit(&text);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_goes_out_as_given_and_events_come_in_order),
        cmocka_unit_test(interim_answers_are_passed_on_before_the_head),
        cmocka_unit_test(a_body_is_held_back_until_it_is_wanted),
        cmocka_unit_test(a_slow_reader_gets_every_byte_in_bounded_memory),
        cmocka_unit_test(a_request_body_is_streamed_with_back_pressure),
        cmocka_unit_test(an_early_refusal_of_an_upload_arrives),
        cmocka_unit_test(a_read_without_an_answer_is_sent_again),
        cmocka_unit_test(what_may_not_be_repeated_is_sent_once),
        cmocka_unit_test(an_error_of_the_origin_is_an_answer_and_passed_on),
        cmocka_unit_test(a_piped_body_cut_short_is_an_error_after_its_bytes),
        cmocka_unit_test(a_dead_origin_is_left_alone_and_says_so_at_once),
        cmocka_unit_test(an_origin_that_cuts_its_bodies_is_left_alone_too),
        cmocka_unit_test(no_more_than_the_allowed_number_run_at_a_time),
        cmocka_unit_test(closing_ends_the_transfer_at_every_phase),
        cmocka_unit_test(a_short_rest_is_drained_so_that_the_connection_is_kept),
        cmocka_unit_test(stopping_the_storage_ends_what_runs),
        cmocka_unit_test(every_origin_byte_is_counted_under_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
