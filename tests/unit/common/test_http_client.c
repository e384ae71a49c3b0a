/* SPDX-License-Identifier: MIT */
#include "common/http_client.h"

#include <netinet/in.h>

#include "common/buf.h"
#include "common/clock.h"
#include "tests/lib/origin.h"

/* ---- the caller: keeps what the callbacks bring, and pauses when told to ---- */

struct caller {
    pthread_mutex_t mtx;
    pthread_cond_t changed;
    int status, interims, dones;
    int n_fields;
    struct el_fields fields;
    struct el_buf body;
    uint64_t body_bytes;
    bool body_is_right, keeps_body;
    bool pauses_in, pauses_out, aborts;
    uint64_t pauses_at; /* takes this much of the body, then pauses */
    int pauses;
    int takes_ms;      /* for each piece */
    uint64_t out_left; /* of the request's body */
    uint64_t out_given;
    bool reused;
    struct el_http_call *call;
    struct el_error err;
};

static void caller_init(struct caller *r)
{
    memset(r, 0, sizeof(*r));
    pthread_mutex_init(&r->mtx, NULL);
    pthread_cond_init(&r->changed, NULL);
    el_fields_init(&r->fields);
    el_buf_init(&r->body);
    r->keeps_body = true;
    r->body_is_right = true;
    r->pauses_at = UINT64_MAX;
}

static void caller_deinit(struct caller *r)
{
    el_fields_deinit(&r->fields);
    el_buf_deinit(&r->body);
    pthread_mutex_destroy(&r->mtx);
    pthread_cond_destroy(&r->changed);
}

static void on_interim(void *arg, int status, struct el_fieldv fields)
{
    struct caller *r = arg;

    (void)status;
    (void)fields;
    pthread_mutex_lock(&r->mtx);
    r->interims++;
    pthread_mutex_unlock(&r->mtx);
}

static void on_head(void *arg, int status, struct el_fieldv fields)
{
    struct caller *r = arg;

    pthread_mutex_lock(&r->mtx);
    r->status = status;
    r->n_fields = (int)fields.n;
    r->reused = el_http_call_was_reused(r->call);
    for (size_t i = 0; i < fields.n; i++)
        el_fields_add(&r->fields, fields.v[i].name, fields.v[i].value);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mtx);
}

static ssize_t take(struct caller *r, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;

    if (r->aborts)
        return EL_HTTP_ABORT;
    if (r->pauses_in || r->body_bytes >= r->pauses_at) {
        r->pauses++;
        return EL_HTTP_PAUSE;
    }
    if (r->keeps_body)
        el_buf_add(&r->body, bytes, n);
    else
        for (size_t i = 0; i < n; i++)
            r->body_is_right &= p[i] == origin_byte(r->body_bytes + i);
    r->body_bytes += n;
    return (ssize_t)n;
}

static ssize_t on_data(void *arg, const void *bytes, size_t n)
{
    struct caller *r = arg;
    ssize_t taken;
    int ms;

    assert_true(n <= 16384);
    pthread_mutex_lock(&r->mtx);
    ms = r->takes_ms;
    pthread_mutex_unlock(&r->mtx);
    if (ms > 0)
        (void)poll(NULL, 0, ms);
    pthread_mutex_lock(&r->mtx);
    taken = take(r, bytes, n);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mtx);
    return taken;
}

static ssize_t on_body(void *arg, void *room, size_t n)
{
    struct caller *r = arg;
    ssize_t given;

    pthread_mutex_lock(&r->mtx);
    if (r->pauses_out) {
        r->pauses++;
        given = EL_HTTP_PAUSE;
    } else {
        given = (ssize_t)el_min_u64(n, r->out_left);
        origin_fill(room, r->out_given, (size_t)given);
        r->out_given += (uint64_t)given;
        r->out_left -= (uint64_t)given;
    }
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mtx);
    return given;
}

static void on_done(void *arg, enum el_err code, const struct el_error *err)
{
    struct caller *r = arg;

    assert_int_equal(code, err->code);
    pthread_mutex_lock(&r->mtx);
    r->dones++;
    r->err = *err;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mtx);
}

static const struct el_http_ops ops = {
    .on_interim = on_interim,
    .on_head = on_head,
    .on_data = on_data,
    .on_body = on_body,
    .on_done = on_done,
};

#define WAIT(r, what)                                    \
    do {                                                 \
        pthread_mutex_lock(&(r)->mtx);                   \
        while (!(what))                                  \
            pthread_cond_wait(&(r)->changed, &(r)->mtx); \
        pthread_mutex_unlock(&(r)->mtx);                 \
    } while (0)

static enum el_err wait_done(struct caller *r)
{
    WAIT(r, r->dones > 0);
    assert_int_equal(r->dones, 1);
    return r->err.code;
}

/* ---- the world of a test: one origin, one client, one caller ---- */

struct world {
    struct origin o;
    struct el_http_client *c;
    struct caller r;
    bool is_refusing;
};

static bool allow_address(void *arg, const struct sockaddr *addr)
{
    struct world *w = arg;

    assert_int_equal(addr->sa_family, AF_INET);
    return !w->is_refusing;
}

static void world_open_for(struct world *w, void (*script)(struct origin_conn *c),
                           uint64_t stall_ms, uint64_t call_ms)
{
    struct el_http_client_conf conf = {
        .thread_name = "client",
        .connect_timeout_ms = 5000,
        .stall_timeout_ms = stall_ms,
        .call_timeout_ms = call_ms,
        .address_allowed = allow_address,
        .arg = w,
    };

    w->is_refusing = false;
    origin_start(&w->o, script);
    caller_init(&w->r);
    assert_int_equal(el_http_client_new(&conf, &w->c, NULL), EL_OK);
}

static void world_open(struct world *w, void (*script)(struct origin_conn *c), uint64_t stall_ms)
{
    world_open_for(w, script, stall_ms, 0);
}

static void world_close(struct world *w)
{
    el_http_client_free(w->c);
    origin_stop(&w->o);
    caller_deinit(&w->r);
}

static void ask_for(struct world *w, struct caller *r, const char *method, struct el_fieldv fields,
                    int64_t body)
{
    struct el_http_request req = {
        .method = el_str_of(method),
        .scheme = EL_STR("http"),
        .host = EL_STR("127.0.0.1"),
        .port = w->o.port,
        .target = EL_STR("/b/k%2f/../x?a=1&b"),
        .fields = fields,
        .body_length = body,
        .ops = &ops,
        .arg = r,
    };

    el_http_client_start(w->c, &req, &r->call);
}

static void ask(struct world *w, const char *method, struct el_fieldv fields, int64_t body)
{
    ask_for(w, &w->r, method, fields, body);
}

static const struct el_field host_field[] = {
    { { "Host", 4 }, { "Bucket.S3.test", 14 } },
};
static const struct el_fieldv host_only = { host_field, 1 };

static void get(struct world *w)
{
    ask(w, "GET", host_only, EL_HTTP_BODY_NONE);
}

static void assert_body(struct world *w, const char *text)
{
    assert_string_equal(w->r.body.p == NULL ? "" : w->r.body.p, text);
}

/* ---- what goes out ---- */

static void serve_empty(struct origin_conn *c)
{
    while (origin_read_head(c))
        if (!origin_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
            return;
}

static void the_request_on_the_wire_is_what_was_given_byte_for_byte(void **state)
{
    static const struct el_field fields[] = {
        { { "Host", 4 }, { "Bucket.S3.test:80", 17 } },
        { { "x-Amz-Date", 10 }, { "20260101T000000Z", 16 } },
        { { "X-Empty", 7 }, { "", 0 } },
        { { "x-amz-date", 10 }, { "second", 6 } },
        { { "Authorization", 13 }, { "AWS4-HMAC-SHA256 a=b; c", 23 } },
    };
    struct world w;

    (void)state;
    world_open(&w, serve_empty, 5000);
    ask(&w, "GET", (struct el_fieldv){ fields, EL_COUNT(fields) }, EL_HTTP_BODY_NONE);
    assert_int_equal(wait_done(&w.r), EL_OK);
    assert_string_equal(origin_head(&w.o, 0), "GET /b/k%2f/../x?a=1&b HTTP/1.1\r\n"
                                              "Host: Bucket.S3.test:80\r\n"
                                              "x-Amz-Date: 20260101T000000Z\r\n"
                                              "X-Empty:\r\n"
                                              "x-amz-date: second\r\n"
                                              "Authorization: AWS4-HMAC-SHA256 a=b; c\r\n"
                                              "\r\n");
    world_close(&w);
}

static void the_environment_names_no_proxy_for_us(void **state)
{
    struct world w;

    (void)state;
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    world_open(&w, serve_empty, 5000);
    get(&w);
    assert_int_equal(wait_done(&w.r), EL_OK);
    assert_int_equal(unsetenv("http_proxy"), 0);
    world_close(&w);
}

static void methods_without_a_body_say_so_where_a_body_is_usual(void **state)
{
    static const char *const heads[][2] = {
        { "POST",
          "POST /b/k%2f/../x?a=1&b HTTP/1.1\r\nHost: Bucket.S3.test\r\nContent-Length: 0\r\n\r\n" },
        { "PUT",
          "PUT /b/k%2f/../x?a=1&b HTTP/1.1\r\nHost: Bucket.S3.test\r\nContent-Length: 0\r\n\r\n" },
        { "DELETE", "DELETE /b/k%2f/../x?a=1&b HTTP/1.1\r\nHost: Bucket.S3.test\r\n\r\n" },
        { "OPTIONS", "OPTIONS /b/k%2f/../x?a=1&b HTTP/1.1\r\nHost: Bucket.S3.test\r\n\r\n" },
        { "lock-It", "lock-It /b/k%2f/../x?a=1&b HTTP/1.1\r\nHost: Bucket.S3.test\r\n\r\n" },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(heads); i++) {
        struct world w;

        world_open(&w, serve_empty, 5000);
        ask(&w, heads[i][0], host_only, EL_HTTP_BODY_NONE);
        assert_int_equal(wait_done(&w.r), EL_OK);
        assert_string_equal(origin_head(&w.o, 0), heads[i][1]);
        world_close(&w);
    }
}

static void what_could_split_a_request_is_refused(void **state)
{
    static const struct el_field bad[] = {
        { { "X-A", 3 }, { "b\r\nX-Evil: 1", 12 } },
        { { "X A", 3 }, { "b", 1 } },
        { { "", 0 }, { "b", 1 } },
        { { "Content-Length", 14 }, { "3", 1 } },
        { { "transfer-encoding", 17 }, { "chunked", 7 } },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(bad); i++) {
        struct world w;

        world_open(&w, serve_empty, 5000);
        ask(&w, "GET", (struct el_fieldv){ &bad[i], 1 }, EL_HTTP_BODY_NONE);
        assert_int_equal(wait_done(&w.r), EL_EINVAL);
        assert_int_equal(origin_conns(&w.o), 0);
        world_close(&w);
    }
}

/* ---- what comes back ---- */

static void serve_heads(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    origin_send(c, "HTTP/1.1 100 Continue\r\n\r\n"
                   "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                   "HTTP/1.1 200 OK\r\nX-Folded: one\r\n\t two\r\nTransfer-Encoding: chunked\r\n"
                   "Content-Length: 999\r\nContent-Encoding: gzip\r\n\r\n"
                   "5\r\nhello\r\n0\r\nX-Trailer: t\r\n\r\n");
    origin_wait_gone(c);
}

static void interim_answers_folded_lines_chunks_and_trailers_are_understood(void **state)
{
    struct el_str value;
    struct world w;

    (void)state;
    world_open(&w, serve_heads, 5000);
    get(&w);
    assert_int_equal(wait_done(&w.r), EL_OK);
    assert_int_equal(w.r.status, 200);
    assert_int_equal(w.r.interims, 1);
    assert_body(&w, "hello");
    assert_true(el_fieldv_get(el_fields_view(&w.r.fields), EL_STR("X-Folded"), &value));
    assert_true(el_str_eq(value, EL_STR("one two")));
    assert_false(el_fieldv_has(el_fields_view(&w.r.fields), EL_STR("Content-Length")));
    assert_false(el_fieldv_has(el_fields_view(&w.r.fields), EL_STR("X-Trailer")));
    world_close(&w);
}

static const char *one_answer; /* what serve_text sends before it closes */

static void serve_text(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    origin_send(c, "%s", one_answer);
    (void)shutdown(c->fd, SHUT_WR);
    origin_wait_gone(c);
}

static enum el_err answer_of(struct world *w, const char *method, const char *text)
{
    one_answer = text;
    world_open(w, serve_text, 5000);
    ask(w, method, host_only, EL_HTTP_BODY_NONE);
    return wait_done(&w->r);
}

static void an_answer_that_is_cut_short_is_never_taken_for_complete(void **state)
{
    static const struct {
        const char *text;
        enum el_err err;
    } cases[] = {
        { "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", EL_ETRUNCATED },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", EL_ETRUNCATED },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", EL_ETRUNCATED },
        { "HTTP/1.1 200 OK\r\nContent-Le", EL_ETRUNCATED },
        { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", EL_ETRUNCATED },
        { "", EL_ERESET },
        { "HTTP/1.1 100 Continue\r\n\r\n", EL_ERESET },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct world w;
        enum el_err got = answer_of(&w, "GET", cases[i].text);

        assert_int_equal(got, cases[i].err);
        world_close(&w);
    }
}

static void a_malformed_answer_is_refused(void **state)
{
    static const char *const texts[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nabc",
        "just text\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(texts); i++) {
        struct world w;
        enum el_err got = answer_of(&w, "GET", texts[i]);

        assert_int_equal(got, EL_EPROTO);
        assert_int_equal(w.r.status, 0);
        world_close(&w);
    }
}

static void serve_endless_head(struct origin_conn *c)
{
    if (!origin_read_head(c) || !origin_send(c, "HTTP/1.1 200 OK\r\n"))
        return;
    while (origin_send(c, "X-Filler-%d: 1\r\n", c->index))
        ;
}

static void serve_endless_line(struct origin_conn *c)
{
    if (!origin_read_head(c) || !origin_send(c, "HTTP/1.1 200 OK\r\nX-A: "))
        return;
    while (origin_send(c, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"))
        ;
}

static void an_endless_head_is_given_up(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_endless_head, 5000);
    get(&w);
    assert_int_equal(wait_done(&w.r), EL_EPROTO);
    world_close(&w);
    world_open(&w, serve_endless_line, 5000);
    get(&w);
    assert_int_equal(wait_done(&w.r), EL_EPROTO);
    world_close(&w);
}

static void serve_bodiless(struct origin_conn *c)
{
    while (origin_read_head(c))
        if (!origin_send(c, "%s", one_answer))
            return;
}

static void answers_without_a_body_are_not_waited_for(void **state)
{
    static const char *const cases[][2] = {
        { "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" },
        { "GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 0\r\n\r\n" },
        { "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n" },
        { "GET", "HTTP/1.1 304 Not Modified\r\n\r\n" },
        { "DELETE", "HTTP/1.1 204 No Content\r\n\r\n" },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct world w;

        one_answer = cases[i][1];
        world_open(&w, serve_bodiless, 5000);
        ask(&w, cases[i][0], host_only, EL_HTTP_BODY_NONE);
        assert_int_equal(wait_done(&w.r), EL_OK);
        assert_int_equal(w.r.body_bytes, 0);
        world_close(&w);
    }
}

static void a_body_that_ends_with_the_connection_is_complete(void **state)
{
    struct world w;

    (void)state;
    assert_int_equal(answer_of(&w, "GET", "HTTP/1.0 200 OK\r\n\r\nold style"), EL_OK);
    assert_body(&w, "old style");
    world_close(&w);
}

static void serve_reset(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    origin_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    origin_wait_gate(c);
    origin_reset(c);
}

static void a_reset_within_the_body_is_a_lost_connection(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_reset, 5000);
    get(&w);
    WAIT(&w.r, w.r.body_bytes == 3);
    origin_open_gate(&w.o);
    assert_int_equal(wait_done(&w.r), EL_ERESET);
    world_close(&w);
}

static void a_refused_connection_is_told_apart(void **state)
{
    struct world w;
    uint16_t port;

    (void)state;
    world_open(&w, serve_empty, 5000);
    port = w.o.port;
    origin_stop(&w.o);
    w.o.port = port;
    get(&w);
    assert_int_equal(wait_done(&w.r), EL_ECONNECT);
    el_http_client_free(w.c);
    caller_deinit(&w.r);
}

static void an_address_that_policy_refuses_is_not_connected_to(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_empty, 5000);
    w.is_refusing = true;
    get(&w);
    assert_int_equal(wait_done(&w.r), EL_EFORBIDDEN);
    assert_int_equal(origin_conns(&w.o), 0);
    world_close(&w);
}

/* ---- bodies under back-pressure ---- */

#define BIG (48 * EL_MIB)

static void serve_big(struct origin_conn *c)
{
    while (origin_read_head(c))
        if (!origin_send(c, "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n",
                         (unsigned long long)BIG) ||
            !origin_send_object(c, 0, BIG))
            return;
}

static void let_in(struct caller *r, uint64_t until)
{
    pthread_mutex_lock(&r->mtx);
    r->pauses_at = until;
    pthread_mutex_unlock(&r->mtx);
    el_http_call_resume(r->call);
}

static void a_paused_body_goes_on_where_it_stopped(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_big, 5000);
    w.r.keeps_body = false;
    w.r.pauses_at = 0;
    get(&w);
    for (uint64_t at = 0; at < BIG; at += 2 * EL_MIB) {
        WAIT(&w.r, w.r.pauses > 0);
        assert_true(w.r.body_bytes >= at && w.r.body_bytes < at + 16384);
        w.r.pauses = 0;
        let_in(&w.r, at + 2 * EL_MIB);
    }
    let_in(&w.r, UINT64_MAX);
    assert_int_equal(wait_done(&w.r), EL_OK);
    assert_int_equal(w.r.body_bytes, BIG);
    assert_true(w.r.body_is_right);
    world_close(&w);
}

static void serve_big_once(struct origin_conn *c)
{
    (c->index == 0 ? serve_big : serve_empty)(c);
}

/* The client of Debian 12 reads a hundred buffers in a row where the origin is faster than it. */
static void an_answer_that_keeps_coming_leaves_turns_to_others(void **state)
{
    struct caller other;
    struct world w;

    (void)state;
    world_open(&w, serve_big_once, 5000);
    w.r.keeps_body = false;
    w.r.takes_ms = 1;
    get(&w);
    WAIT(&w.r, w.r.body_bytes > 0);
    caller_init(&other);
    ask_for(&w, &other, "GET", host_only, EL_HTTP_BODY_NONE);
    assert_int_equal(wait_done(&other), EL_OK);
    pthread_mutex_lock(&w.r.mtx);
    assert_true(w.r.body_bytes < BIG / 2);
    w.r.takes_ms = 0;
    pthread_mutex_unlock(&w.r.mtx);
    assert_int_equal(wait_done(&w.r), EL_OK);
    assert_int_equal(w.r.body_bytes, BIG);
    assert_true(w.r.body_is_right);
    caller_deinit(&other);
    world_close(&w);
}

static void serve_upload(struct origin_conn *c)
{
    static const char chunked[] = "Transfer-Encoding: chunked\r\n";
    uint8_t *room = malloc(BIG);
    bool is_right = true;

    assert_non_null(room);
    if (origin_read_head(c) && strstr(c->head, chunked) == NULL && origin_read_body(c, room, BIG)) {
        for (uint64_t i = 0; i < BIG; i++)
            is_right &= room[i] == origin_byte(i);
        origin_send(c, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n",
                    is_right ? "201 Created" : "500 Wrong bytes");
        origin_wait_gone(c);
    }
    free(room);
}

static void an_upload_arrives_whole_through_pauses(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_upload, 5000);
    w.r.out_left = BIG;
    w.r.pauses_out = true;
    ask(&w, "PUT", host_only, (int64_t)BIG);
    WAIT(&w.r, w.r.pauses > 0);
    pthread_mutex_lock(&w.r.mtx);
    w.r.pauses_out = false;
    pthread_mutex_unlock(&w.r.mtx);
    el_http_call_resume(w.r.call);
    assert_int_equal(wait_done(&w.r), EL_OK);
    assert_int_equal(w.r.status, 201);
    assert_string_equal(origin_head(&w.o, 0),
                        "PUT /b/k%2f/../x?a=1&b HTTP/1.1\r\nHost: Bucket.S3.test\r\n"
                        "Content-Length: 50331648\r\n\r\n");
    world_close(&w);
}

static void serve_chunked_upload(struct origin_conn *c)
{
    char room[13];

    if (!origin_read_head(c) || !origin_read_body(c, room, 13))
        return;
    origin_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n");
    origin_send_raw(c, room, 13);
    origin_wait_gone(c);
}

static void an_upload_of_unknown_length_is_chunked(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_chunked_upload, 5000);
    w.r.out_left = 3;
    ask(&w, "POST", host_only, EL_HTTP_BODY_CHUNKED);
    assert_int_equal(wait_done(&w.r), EL_OK);
    assert_non_null(strstr(origin_head(&w.o, 0), "Transfer-Encoding: chunked\r\n"));
    assert_memory_equal(w.r.body.p, "3\r\n", 3);
    assert_memory_equal(w.r.body.p + 6, "\r\n0\r\n\r\n", 7);
    world_close(&w);
}

static void an_upload_shorter_than_announced_fails(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_upload, 5000);
    w.r.out_left = 100;
    ask(&w, "PUT", host_only, 200);
    assert_int_equal(wait_done(&w.r), EL_ETRUNCATED);
    world_close(&w);
}

static void serve_early(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    origin_send(c,
                "HTTP/1.1 413 Too Large\r\nContent-Length: 7\r\nConnection: close\r\n\r\ntoo big");
    origin_wait_gone(c);
}

static void an_answer_before_the_end_of_the_body_is_delivered(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_early, 5000);
    w.r.out_left = UINT64_MAX / 2;
    ask(&w, "PUT", host_only, INT64_MAX / 2);
    assert_int_equal(wait_done(&w.r), EL_OK);
    assert_int_equal(w.r.status, 413);
    assert_body(&w, "too big");
    world_close(&w);
}

static void an_early_answer_is_delivered_while_the_body_is_paused(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_early, 5000);
    w.r.out_left = 1000;
    w.r.pauses_out = true;
    ask(&w, "PUT", host_only, 1000);
    assert_int_equal(wait_done(&w.r), EL_OK);
    assert_int_equal(w.r.status, 413);
    assert_body(&w, "too big");
    world_close(&w);
}

static void serve_continue(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    origin_send(c, "HTTP/1.1 100 Continue\r\n\r\n");
    if (!origin_read_body(c, NULL, 1000))
        return;
    origin_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    origin_wait_gone(c);
}

static void a_given_expectation_is_sent_and_waited_for(void **state)
{
    static const struct el_field fields[] = {
        { { "Host", 4 }, { "a", 1 } },
        { { "Expect", 6 }, { "100-continue", 12 } },
    };
    struct world w;

    (void)state;
    world_open(&w, serve_continue, 5000);
    w.r.out_left = 1000;
    ask(&w, "PUT", (struct el_fieldv){ fields, 2 }, 1000);
    assert_int_equal(wait_done(&w.r), EL_OK);
    assert_non_null(strstr(origin_head(&w.o, 0), "Expect: 100-continue\r\n"));
    assert_int_equal(w.r.interims, 0);
    world_close(&w);
}

static void a_refused_expectation_is_not_tried_again(void **state)
{
    static const struct {
        const char *text;
        enum el_err err; /* of a body that curl does not deliver */
    } cases[] = {
        { "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", EL_OK },
        { "HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno", EL_ETRUNCATED },
    };
    static const struct el_field fields[] = {
        { { "Host", 4 }, { "a", 1 } },
        { { "Expect", 6 }, { "100-continue", 12 } },
    };
    struct world w;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        one_answer = cases[i].text;
        world_open(&w, serve_bodiless, 5000);
        w.r.out_left = 1000;
        ask(&w, "PUT", (struct el_fieldv){ fields, 2 }, 1000);
        assert_int_equal(wait_done(&w.r), cases[i].err);
        assert_int_equal(w.r.status, 417);
        assert_int_equal(origin_heads(&w.o), 1);
        world_close(&w);
    }
}

/* ---- time ---- */

static void serve_silence(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    origin_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    origin_wait_gone(c);
}

static void a_silent_origin_is_given_up_after_the_stall_timeout(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_silence, 100);
    get(&w);
    assert_int_equal(wait_done(&w.r), EL_ETIMEOUT);
    assert_int_equal(w.r.body_bytes, 3);
    world_close(&w);
}

static void serve_for_ever(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    origin_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    while (origin_send(c, "a"))
        (void)poll(NULL, 0, 10);
}

static void a_call_has_an_end_however_much_moves(void **state)
{
    struct world w;

    (void)state;
    world_open_for(&w, serve_for_ever, 60000, 200);
    get(&w);
    assert_int_equal(wait_done(&w.r), EL_ETIMEOUT);
    assert_true(w.r.body_bytes > 0);
    world_close(&w);
}

static void on_timer(struct el_timer *t);

struct alarm {
    struct el_timer timer;
    struct el_msg msg;
    struct el_http_client *c;
    struct caller *r;
};

static void set_alarm(struct el_msg *m)
{
    struct alarm *a = EL_ENTRY(m, struct alarm, msg);

    el_timer_start(el_http_client_timers(a->c), &a->timer,
                   el_clock_mono_ms(el_clock_system()) + 300);
}

static void on_timer(struct el_timer *t)
{
    struct alarm *a = EL_ENTRY(t, struct alarm, timer);

    pthread_mutex_lock(&a->r->mtx);
    a->r->pauses_in = false;
    pthread_cond_broadcast(&a->r->changed);
    pthread_mutex_unlock(&a->r->mtx);
    el_http_call_resume(a->r->call);
}

static void the_stall_clock_stands_while_we_pause(void **state)
{
    struct alarm a;
    struct world w;
    uint64_t from;

    (void)state;
    world_open(&w, serve_big, 100);
    w.r.keeps_body = false;
    w.r.pauses_in = true;
    get(&w);
    WAIT(&w.r, w.r.pauses > 0);
    from = el_clock_mono_ms(el_clock_system());
    a.c = w.c;
    a.r = &w.r;
    el_timer_init(&a.timer, on_timer);
    el_msg_init(&a.msg, set_alarm);
    el_http_client_post(w.c, &a.msg);
    assert_int_equal(wait_done(&w.r), EL_OK);
    assert_true(el_clock_mono_ms(el_clock_system()) - from >= 300);
    assert_int_equal(w.r.body_bytes, BIG);
    world_close(&w);
}

/* ---- the end ---- */

static void a_call_can_be_cancelled_at_every_phase(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_silence, 5000);
    get(&w); /* perhaps not even begun */
    el_http_call_cancel(w.r.call);
    assert_int_equal(wait_done(&w.r), EL_ECANCELED);
    world_close(&w);

    world_open(&w, serve_silence, 5000);
    get(&w);
    WAIT(&w.r, w.r.body_bytes == 3);
    el_http_call_cancel(w.r.call);
    assert_int_equal(wait_done(&w.r), EL_ECANCELED);
    world_close(&w);

    world_open(&w, serve_big, 5000);
    w.r.pauses_in = true;
    get(&w);
    WAIT(&w.r, w.r.pauses > 0);
    el_http_call_cancel(w.r.call);
    assert_int_equal(wait_done(&w.r), EL_ECANCELED);
    world_close(&w);
}

static void an_aborting_callback_ends_the_call(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_big, 5000);
    w.r.aborts = true;
    get(&w);
    assert_int_equal(wait_done(&w.r), EL_ECANCELED);
    world_close(&w);

    world_open(&w, serve_big, 5000);
    w.r.pauses_in = true;
    get(&w);
    WAIT(&w.r, w.r.pauses > 0);
    pthread_mutex_lock(&w.r.mtx);
    w.r.aborts = true;
    pthread_mutex_unlock(&w.r.mtx);
    el_http_call_resume(w.r.call); /* curl calls back from within */
    assert_int_equal(wait_done(&w.r), EL_ECANCELED);
    world_close(&w);
}

static void freeing_the_client_ends_what_runs(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_silence, 5000);
    get(&w);
    WAIT(&w.r, w.r.body_bytes == 3);
    el_http_client_free(w.c);
    assert_int_equal(w.r.dones, 1);
    assert_int_equal(w.r.err.code, EL_ECANCELED);
    origin_stop(&w.o);
    caller_deinit(&w.r);
}

/* ---- kept connections ---- */

static void a_connection_is_kept_for_the_next_call(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_empty, 5000);
    get(&w);
    assert_int_equal(wait_done(&w.r), EL_OK);
    assert_false(w.r.reused);
    caller_deinit(&w.r);
    caller_init(&w.r);
    get(&w);
    assert_int_equal(wait_done(&w.r), EL_OK);
    assert_true(w.r.reused);
    assert_int_equal(origin_conns(&w.o), 1);
    world_close(&w);
}

/* The first connection dies with the second request on it. */
static void serve_one_each(struct origin_conn *c)
{
    if (origin_read_head(c))
        origin_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    if (c->index == 0)
        (void)origin_read_head(c);
    else
        origin_wait_gone(c);
}

static enum el_err second_call(struct world *w, const char *method)
{
    world_open(w, serve_one_each, 5000);
    get(w);
    assert_int_equal(wait_done(&w->r), EL_OK);
    caller_deinit(&w->r);
    caller_init(&w->r);
    ask(w, method, host_only, EL_HTTP_BODY_NONE);
    return wait_done(&w->r);
}

static void only_a_repeatable_request_survives_a_kept_connection_that_died(void **state)
{
    struct world w;

    (void)state;
    assert_int_equal(second_call(&w, "GET"), EL_OK);
    assert_int_equal(origin_heads(&w.o), 3);
    world_close(&w);
    assert_int_equal(second_call(&w, "POST"), EL_ERESET);
    assert_int_equal(origin_heads(&w.o), 2);
    world_close(&w);
}

static void serve_real(struct origin_conn *c)
{
    while (origin_read_head(c))
        origin_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal");
}

static void check_second_is_real(struct world *w, const char *method)
{
    origin_wait_arrived(w->o.conns[0]);
    caller_deinit(&w->r);
    caller_init(&w->r);
    ask(w, method, host_only, EL_HTTP_BODY_NONE);
    assert_int_equal(wait_done(&w->r), EL_OK);
    assert_false(w->r.reused);
    assert_int_equal(w->r.body.n, 4);
    assert_memory_equal(w->r.body.p, "real", 4);
    assert_int_equal(origin_heads(&w->o), 2);
    assert_int_equal(origin_conns(&w->o), 2);
}

static void an_answer_that_nobody_asked_for_answers_nothing(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_real, 5000);
    get(&w);
    assert_int_equal(wait_done(&w.r), EL_OK);
    /* The mutex: its own thread closes it once the client has left. */
    pthread_mutex_lock(&w.o.mtx);
    assert_true(origin_send(w.o.conns[0], "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"));
    pthread_mutex_unlock(&w.o.mtx);
    check_second_is_real(&w, "GET");
    world_close(&w);
}

/* No byte was sent on it: even what may not be repeated is lost by nobody. */
static void a_connection_that_ended_while_kept_is_not_used(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_real, 5000);
    get(&w);
    assert_int_equal(wait_done(&w.r), EL_OK);
    pthread_mutex_lock(&w.o.mtx);
    assert_int_equal(shutdown(w.o.conns[0]->fd, SHUT_WR), 0);
    pthread_mutex_unlock(&w.o.mtx);
    check_second_is_real(&w, "POST");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_on_the_wire_is_what_was_given_byte_for_byte),
        cmocka_unit_test(the_environment_names_no_proxy_for_us),
        cmocka_unit_test(methods_without_a_body_say_so_where_a_body_is_usual),
        cmocka_unit_test(what_could_split_a_request_is_refused),
        cmocka_unit_test(interim_answers_folded_lines_chunks_and_trailers_are_understood),
        cmocka_unit_test(an_answer_that_is_cut_short_is_never_taken_for_complete),
        cmocka_unit_test(a_malformed_answer_is_refused),
        cmocka_unit_test(an_endless_head_is_given_up),
        cmocka_unit_test(answers_without_a_body_are_not_waited_for),
        cmocka_unit_test(a_body_that_ends_with_the_connection_is_complete),
        cmocka_unit_test(a_reset_within_the_body_is_a_lost_connection),
        cmocka_unit_test(a_refused_connection_is_told_apart),
        cmocka_unit_test(an_address_that_policy_refuses_is_not_connected_to),
        cmocka_unit_test(a_paused_body_goes_on_where_it_stopped),
        cmocka_unit_test(an_answer_that_keeps_coming_leaves_turns_to_others),
        cmocka_unit_test(an_upload_arrives_whole_through_pauses),
        cmocka_unit_test(an_upload_of_unknown_length_is_chunked),
        cmocka_unit_test(an_upload_shorter_than_announced_fails),
        cmocka_unit_test(an_answer_before_the_end_of_the_body_is_delivered),
        cmocka_unit_test(an_early_answer_is_delivered_while_the_body_is_paused),
        cmocka_unit_test(a_given_expectation_is_sent_and_waited_for),
        cmocka_unit_test(a_refused_expectation_is_not_tried_again),
        cmocka_unit_test(a_silent_origin_is_given_up_after_the_stall_timeout),
        cmocka_unit_test(a_call_has_an_end_however_much_moves),
        cmocka_unit_test(the_stall_clock_stands_while_we_pause),
        cmocka_unit_test(a_call_can_be_cancelled_at_every_phase),
        cmocka_unit_test(an_aborting_callback_ends_the_call),
        cmocka_unit_test(freeing_the_client_ends_what_runs),
        cmocka_unit_test(a_connection_is_kept_for_the_next_call),
        cmocka_unit_test(only_a_repeatable_request_survives_a_kept_connection_that_died),
        cmocka_unit_test(an_answer_that_nobody_asked_for_answers_nothing),
        cmocka_unit_test(a_connection_that_ended_while_kept_is_not_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
