/* SPDX-License-Identifier: MIT */
/* What the storage signs itself, on the wire: each attempt anew, and where the bucket is. */
#include "storage/signer.h"
#include "storage/sigv4.h"
#include "tests/unit/storage/world.h"

#define SECRET "node-secret"
#define LENGTH 100000u

static struct store_signer *signer;

static void sign_all(struct store_conf *conf)
{
    conf->signer = signer;
}

static void open_signing(struct world *w, void (*script)(struct origin_conn *c))
{
    const struct store_signer_conf conf = {
        .id = EL_STR("NODEKEY"),
        .secret = EL_STR(SECRET),
        .clock = el_clock_system(),
    };

    assert_int_equal(store_signer_new(&conf, &signer, NULL), EL_OK);
    world_open_with(w, script, sign_all);
    w->as_node = true;
}

static void close_signing(struct world *w)
{
    world_close(w);
    store_signer_free(signer);
}

/* Whether the head that came has our signature, for this region. */
static bool is_signed(const char *head, const char *region)
{
    struct el_str rest = el_str_of(head), line;
    struct store_sign_request req = { .host = { NULL, 0 } };
    struct store_sigv4_claim claim;
    struct store_sign_key key;
    struct el_field v[32];

    assert_true(el_str_split(&rest, '\n', &line));
    req.method = el_str_first(line, el_str_find(line, ' '));
    req.target = el_str_from(line, req.method.n + 1);
    req.target = el_str_first(req.target, el_str_find(req.target, ' '));
    req.fields.v = v;
    while (el_str_split(&rest, '\n', &line) && line.n > 1) {
        size_t colon = el_str_find(line, ':');

        assert_true(req.fields.n < EL_COUNT(v));
        v[req.fields.n].name = el_str_first(line, colon);
        v[req.fields.n++].value =
            el_str_trim(el_str_from(el_str_first(line, line.n - 1), colon + 1));
    }
    if (store_sigv4_parse(&req, &claim, NULL) != EL_OK || strcmp(claim.scope.region, region) != 0 ||
        store_sigv4_derive(EL_STR(SECRET), &claim.scope, &key, NULL) != EL_OK)
        return false;
    return store_sigv4_verify(&req, &claim, &key, el_clock_wall_ms(el_clock_system()) / 1000,
                              NULL) == EL_OK;
}

/* ---- an attempt, and the next ---- */

static void serve_second_try(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    if (origin_heads(c->o) == 1) {
        origin_reset(c);
        return;
    }
    origin_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    origin_wait_gone(c);
}

static void each_attempt_is_signed(void **state)
{
    struct world w;

    (void)state;
    open_signing(&w, serve_second_try);
    assert_int_equal(world_get(&w), EL_OK);
    assert_int_equal(w.status, 200);
    assert_int_equal(origin_heads(&w.o), 2);
    assert_true(is_signed(origin_head(&w.o, 0), "us-east-1"));
    assert_true(is_signed(origin_head(&w.o, 1), "us-east-1"));
    assert_null(strstr(origin_head(&w.o, 1), "bucket.test")); /* the client's Host */
    close_signing(&w);
}

static void serve_halves(struct origin_conn *c)
{
    while (origin_read_head(c)) {
        uint64_t first = strtoull(strstr(c->head, "bytes=") + 6, NULL, 10);

        origin_send(c,
                    "HTTP/1.1 206 Partial Content\r\nContent-Length: %llu\r\n"
                    "Content-Range: bytes %llu-%u/%u\r\nETag: \"v1\"\r\n\r\n",
                    (unsigned long long)(LENGTH - first), (unsigned long long)first, LENGTH - 1,
                    LENGTH);
        if (!origin_send_object(c, first, first == 0 ? LENGTH / 2 : LENGTH) || first == 0)
            return;
    }
}

static void a_fill_that_is_taken_up_again_is_signed_anew(void **state)
{
    struct world w;

    (void)state;
    open_signing(&w, serve_halves);
    world_fill_init(&w, LENGTH, 0, LENGTH, "\"v1\"");
    fill_start(&w);
    assert_int_equal(fill_wait_done(&w), EL_OK);
    assert_int_equal(origin_heads(&w.o), 2);
    assert_true(is_signed(origin_head(&w.o, 0), "us-east-1"));
    assert_true(is_signed(origin_head(&w.o, 1), "us-east-1"));
    assert_non_null(strstr(origin_head(&w.o, 1), "If-Match: \"v1\""));
    close_signing(&w);
    world_fill_deinit(&w);
}

/* ---- another region ---- */

static void serve_in_the_north(struct origin_conn *c)
{
    while (origin_read_head(c)) {
        if (is_signed(c->head, "eu-north-1"))
            origin_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        else
            origin_send(c, "HTTP/1.1 301 Moved Permanently\r\nContent-Length: 5\r\n"
                           "x-amz-bucket-region: eu-north-1\r\n\r\nmoved");
    }
}

static void a_bucket_is_followed_to_its_region_and_nobody_is_told(void **state)
{
    struct world w;

    (void)state;
    open_signing(&w, serve_in_the_north);
    assert_int_equal(world_get(&w), EL_OK);
    assert_string_equal(w.events, "HD");
    assert_int_equal(w.status, 200);
    assert_int_equal(origin_heads(&w.o), 2);
    store_exchange_close(w.ex);
    w.is_done = false;
    assert_int_equal(world_get(&w), EL_OK); /* it is known by now */
    assert_int_equal(origin_heads(&w.o), 3);
    close_signing(&w);
}

static void a_redirect_of_what_a_client_has_signed_is_the_clients(void **state)
{
    struct world w;

    (void)state;
    open_signing(&w, serve_in_the_north);
    w.as_node = false;
    assert_int_equal(world_get(&w), EL_OK);
    assert_int_equal(w.status, 301);
    assert_int_equal(origin_heads(&w.o), 1);
    assert_non_null(strstr(origin_head(&w.o, 0), "Authorization: AWS4-HMAC-SHA256 x\r\n"));
    close_signing(&w);
}

static void serve_nowhere(struct origin_conn *c)
{
    while (origin_read_head(c)) {
        bool north = is_signed(c->head, "eu-north-1");

        origin_send(c,
                    "HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\n"
                    "x-amz-bucket-region: %s\r\n\r\n",
                    north ? "us-east-1" : "eu-north-1");
    }
}

static void a_bucket_that_is_sent_around_in_circles_is_not_followed_for_ever(void **state)
{
    struct world w;

    (void)state;
    open_signing(&w, serve_nowhere);
    assert_int_equal(world_get(&w), EL_OK);
    assert_int_equal(w.status, 307);
    assert_int_equal(origin_heads(&w.o), 3);
    close_signing(&w);
}

static void refuse_after_body(struct origin_conn *c)
{
    char body[5];

    if (!origin_read_head(c) || !origin_read_body(c, body, sizeof(body)))
        return;
    origin_send(c, "HTTP/1.1 301 Moved Permanently\r\nContent-Length: 0\r\n"
                   "x-amz-bucket-region: eu-north-1\r\n\r\n");
    origin_wait_gone(c);
}

static void a_body_that_is_gone_is_not_sent_again(void **state)
{
    struct world w;

    (void)state;
    open_signing(&w, refuse_after_body);
    world_ask(&w, "PUT", 5);
    assert_int_equal(store_exchange_write(w.ex, "hello", 5), 5);
    store_exchange_write_end(w.ex);
    WORLD_WAIT(&w, w.is_done);
    assert_int_equal(w.status, 301);
    assert_int_equal(origin_heads(&w.o), 1);
    close_signing(&w);
}

/* ---- what cannot be signed ---- */

static void a_request_that_cannot_be_signed_fails_and_is_not_sent(void **state)
{
    struct store_request req = {
        .method = EL_STR("GET"),
        .body_length = EL_HTTP_BODY_NONE,
        .reason = STORE_MISS,
    };
    struct world w;

    (void)state;
    open_signing(&w, serve_in_the_north);
    req.to = world_target(&w);
    req.to.target = EL_STR("/bucket/%zz");
    w.ex = store_exchange_start(w.s, &req, w.queue, on_event, &w);
    WORLD_WAIT(&w, w.is_done);
    assert_int_equal(w.ex->err.code, EL_EBADREQ);
    assert_int_equal(origin_heads(&w.o), 0);
    close_signing(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_attempt_is_signed),
        cmocka_unit_test(a_fill_that_is_taken_up_again_is_signed_anew),
        cmocka_unit_test(a_bucket_is_followed_to_its_region_and_nobody_is_told),
        cmocka_unit_test(a_redirect_of_what_a_client_has_signed_is_the_clients),
        cmocka_unit_test(a_bucket_that_is_sent_around_in_circles_is_not_followed_for_ever),
        cmocka_unit_test(a_body_that_is_gone_is_not_sent_again),
        cmocka_unit_test(a_request_that_cannot_be_signed_fails_and_is_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
