/* SPDX-License-Identifier: MIT */
#include "tests/unit/storage/world.h"

#define LENGTH 3000000u
#define BROKEN 1234567u /* where the first transfer ends */

/* ---- an origin that honours ranges and preconditions ---- */

static uint64_t range_first(const struct origin_conn *c)
{
    const char *range = strstr(c->head, "Range: bytes=");

    return range == NULL ? 0 : strtoull(range + strlen("Range: bytes="), NULL, 10);
}

static uint64_t range_end(const struct origin_conn *c)
{
    const char *range = strstr(c->head, "Range: bytes="), *dash;

    if (range == NULL)
        return LENGTH;
    dash = strchr(range, '-');
    return dash[1] == '\r' ? LENGTH : strtoull(dash + 1, NULL, 10) + 1;
}

static void send_part_head(struct origin_conn *c, const char *etag)
{
    origin_send(c,
                "HTTP/1.1 206 Partial Content\r\nContent-Length: %llu\r\n"
                "Content-Range: bytes %llu-%llu/%u\r\nETag: \"%s\"\r\n\r\n",
                (unsigned long long)(range_end(c) - range_first(c)),
                (unsigned long long)range_first(c), (unsigned long long)range_end(c) - 1, LENGTH,
                etag);
}

static void send_part(struct origin_conn *c)
{
    send_part_head(c, "v1");
    origin_send_object(c, range_first(c), range_end(c));
}

static void serve_parts(struct origin_conn *c)
{
    while (origin_read_head(c))
        send_part(c);
}

static enum el_err fill_from(struct world *w, void (*script)(struct origin_conn *c))
{
    world_open(w, script);
    world_fill_init(w, LENGTH, 0, LENGTH, "\"v1\"");
    fill_start(w);
    return fill_wait_done(w);
}

static void fill_close(struct world *w)
{
    world_close(w);
    world_fill_deinit(w);
}

static void a_fill_asks_for_its_bytes_of_this_version_only(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_parts);
    world_fill_init(&w, LENGTH, 1000, 2000, "\"v1\"");
    fill_start(&w);
    assert_int_equal(fill_wait_done(&w), EL_OK);
    assert_int_equal(w.fill.position, 2000);
    assert_string_equal(origin_head(&w.o, 0),
                        "GET /bucket/key?versionId=1 HTTP/1.1\r\nHost: bucket.test\r\n"
                        "Authorization: AWS4-HMAC-SHA256 x\r\nRange: bytes=1000-1999\r\n"
                        "If-Match: \"v1\"\r\n\r\n");
    fill_close(&w);
}

static void a_range_is_clamped_to_the_known_length(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_parts);
    world_fill_init(&w, LENGTH, LENGTH - 10, CACHE_UNKNOWN_LENGTH, "\"v1\"");
    fill_start(&w);
    assert_int_equal(fill_wait_done(&w), EL_OK);
    assert_non_null(strstr(origin_head(&w.o, 0), "Range: bytes=2999990-2999999\r\n"));
    fill_close(&w);
}

static void a_last_modified_is_the_condition_where_there_is_no_etag(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_parts);
    world_fill_init(&w, LENGTH, 0, 10, NULL);
    w.object.meta->last_modified = EL_STR("Wed, 21 Oct 2015 07:28:00 GMT");
    w.object.meta->has_strong_validator = true;
    fill_start(&w);
    assert_int_equal(fill_wait_done(&w), EL_OK);
    assert_non_null(
        strstr(origin_head(&w.o, 0), "If-Unmodified-Since: Wed, 21 Oct 2015 07:28:00 GMT\r\n"));
    fill_close(&w);
}

/* ---- room ---- */

static void a_fill_without_room_waits_and_goes_on(void **state)
{
    struct cache_source *source;
    struct world w;

    (void)state;
    world_open(&w, serve_parts);
    source = storage_source(w.s);
    world_fill_init(&w, LENGTH, 0, LENGTH, "\"v1\"");
    w.fill.room_until = 0;
    fill_start(&w);
    while (w.fill.dones == 0) {
        FILL_WAIT(&w.fill, w.fill.pauses > 0 || w.fill.dones > 0);
        pthread_mutex_lock(&w.fill.mtx);
        w.fill.pauses = 0;
        w.fill.room_until += 100003;
        pthread_mutex_unlock(&w.fill.mtx);
        source->ops->resume(source, &w.fill);
        FILL_WAIT(&w.fill, w.fill.pauses > 0 || w.fill.dones > 0);
    }
    assert_int_equal(fill_wait_done(&w), EL_OK);
    assert_int_equal(w.fill.position, LENGTH);
    assert_int_equal(origin_heads(&w.o), 1);
    fill_close(&w);
}

static void a_fill_that_wants_no_more_is_done(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_parts);
    world_fill_init(&w, LENGTH, 0, LENGTH, "\"v1\"");
    w.fill.wants_no_more = true;
    fill_start(&w);
    assert_int_equal(fill_wait_done(&w), EL_OK);
    fill_close(&w);
}

static void serve_silence(struct origin_conn *c)
{
    if (origin_read_head(c))
        origin_wait_gone(c);
}

static void a_cancelled_fill_is_done_soon(void **state)
{
    struct cache_source *source;
    struct world w;

    (void)state;
    world_open(&w, serve_silence);
    source = storage_source(w.s);
    world_fill_init(&w, LENGTH, 0, LENGTH, "\"v1\"");
    fill_start(&w);
    origin_wait_heads(&w.o, 1);
    source->ops->cancel(source, &w.fill);
    source->ops->cancel(source, &w.fill);
    assert_int_equal(fill_wait_done(&w), EL_ECANCELED);
    source->ops->resume(source, &w.fill); /* too late is harmless */
    fill_close(&w);
}

static void stopping_the_storage_ends_a_fill(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_silence);
    world_fill_init(&w, LENGTH, 0, LENGTH, "\"v1\"");
    fill_start(&w);
    origin_wait_heads(&w.o, 1);
    storage_stop(w.s);
    w.s = NULL;
    assert_int_equal(fill_wait_done(&w), EL_ESHUTDOWN);
    fill_close(&w);
}

/* ---- broken transfers ---- */

static void serve_breaking(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    if (c->index == 0) {
        send_part_head(c, "v1");
        origin_send_object(c, 0, BROKEN);
        origin_wait_gate(c); /* a reset takes with it what was not read yet */
        origin_reset(c);
        return;
    }
    send_part(c);
    origin_wait_gone(c);
}

static void a_broken_transfer_is_taken_up_at_the_byte(void **state)
{
    struct store_stats stats;
    struct world w;

    (void)state;
    world_open(&w, serve_breaking);
    world_fill_init(&w, LENGTH, 0, LENGTH, "\"v1\"");
    fill_start(&w);
    FILL_WAIT(&w.fill, w.fill.position == BROKEN);
    origin_open_gate(&w.o);
    assert_int_equal(fill_wait_done(&w), EL_OK);
    assert_int_equal(w.fill.position, LENGTH);
    assert_int_equal(origin_heads(&w.o), 2);
    assert_non_null(strstr(origin_head(&w.o, 1), "Range: bytes=1234567-2999999\r\n"));
    assert_non_null(strstr(origin_head(&w.o, 1), "If-Match: \"v1\"\r\n"));
    store_stats_get(w.s, &stats);
    assert_int_equal(stats.bytes_by_reason[STORE_REFILL], LENGTH); /* none of them twice */
    fill_close(&w);
}

static void serve_one_byte_each(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    send_part_head(c, "v1");
    origin_send_object(c, range_first(c), range_first(c) + 1);
    (void)shutdown(c->fd, SHUT_WR);
    origin_wait_gone(c);
}

static void progress_starts_the_count_of_attempts_anew(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_one_byte_each);
    world_fill_init(&w, LENGTH, 0, 20, "\"v1\"");
    fill_start(&w);
    assert_int_equal(fill_wait_done(&w), EL_OK);
    assert_int_equal(origin_heads(&w.o), 20);
    fill_close(&w);
}

static void break_soon(struct store_conf *conf)
{
    conf->breaker_failures = 2;
    conf->breaker_open_ms = 600000;
}

static void bodies_that_break_do_not_open_the_circuit_while_the_fill_gets_on(void **state)
{
    struct world w;

    (void)state;
    world_open_with(&w, serve_one_byte_each, break_soon);
    world_fill_init(&w, LENGTH, 0, 20, "\"v1\"");
    fill_start(&w);
    assert_int_equal(fill_wait_done(&w), EL_OK);
    fill_close(&w);
}

static void serve_resets(struct origin_conn *c)
{
    if (origin_read_head(c))
        origin_reset(c);
}

static void attempts_without_progress_end(void **state)
{
    struct world w;

    (void)state;
    assert_int_equal(fill_from(&w, serve_resets), EL_ERESET);
    assert_int_equal(origin_heads(&w.o), 4);
    fill_close(&w);
}

static void serve_change(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    if (c->index == 0) {
        send_part_head(c, "v1");
        origin_send_object(c, 0, BROKEN);
        (void)shutdown(c->fd, SHUT_WR);
        origin_wait_gone(c);
        return;
    }
    send_part_head(c, "v2");
    origin_send_object(c, 0, LENGTH - BROKEN); /* other bytes */
    origin_wait_gone(c);
}

static void another_version_ends_the_fill_and_gives_no_byte(void **state)
{
    struct world w;

    (void)state;
    assert_int_equal(fill_from(&w, serve_change), EL_ECHANGED);
    assert_int_equal(w.fill.position, BROKEN);
    fill_close(&w);
}

static const char *one_answer;

static void serve_answer(struct origin_conn *c)
{
    while (origin_read_head(c))
        if (!origin_send(c, "%s", one_answer))
            return;
}

static void answers_that_do_not_fit_end_the_fill_with_their_reason(void **state)
{
    static const struct {
        const char *text;
        enum el_err err;
    } cases[] = {
        { "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n", EL_ECHANGED },
        { "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n", EL_ECHANGED },
        { "HTTP/1.1 416 Range\r\nContent-Length: 0\r\n\r\n", EL_ECHANGED },
        { "HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n", EL_EFORBIDDEN },
        { "HTTP/1.1 500 Error\r\nContent-Length: 3\r\n\r\nno\n", EL_EORIGIN },
        { "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", EL_EORIGIN },
        { "HTTP/1.1 200 OK\r\nETag: \"v2\"\r\nContent-Length: 3\r\n\r\nabc", EL_ECHANGED },
        { "HTTP/1.1 206 Part\r\nETag: \"v1\"\r\nContent-Range: bytes 5-9/3000000\r\n"
          "Content-Length: 5\r\n\r\nabcde",
          EL_EPROTO },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct world w;

        one_answer = cases[i].text;
        assert_int_equal(fill_from(&w, serve_answer), cases[i].err);
        assert_int_equal(w.fill.position, 0);
        fill_close(&w);
    }
}

static void serve_busy_then_part(struct origin_conn *c)
{
    while (origin_read_head(c)) {
        if (origin_heads(c->o) < 3)
            origin_send(c, "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n");
        else
            send_part(c);
    }
}

static void a_busy_origin_is_asked_again(void **state)
{
    struct world w;

    (void)state;
    assert_int_equal(fill_from(&w, serve_busy_then_part), EL_OK);
    assert_int_equal(w.fill.position, LENGTH);
    assert_int_equal(origin_heads(&w.o), 3);
    fill_close(&w);
}

/* Range is ignored, as some origins do when it is not wholly inside the object. */
static void serve_whole(struct origin_conn *c)
{
    while (origin_read_head(c)) {
        origin_send(c, "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: %u\r\n\r\n", LENGTH);
        if (!origin_send_object(c, 0, LENGTH))
            return;
    }
}

static void the_whole_object_instead_of_a_range_is_skipped_to_the_position(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_whole);
    world_fill_init(&w, LENGTH, 500000, 600000, "\"v1\"");
    fill_start(&w);
    assert_int_equal(fill_wait_done(&w), EL_OK);
    assert_int_equal(w.fill.position, 600000);
    fill_close(&w);
}

static void serve_too_much(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    origin_send(c, "HTTP/1.1 206 Part\r\nETag: \"v1\"\r\nContent-Range: bytes 0-9/3000000\r\n\r\n");
    origin_send_object(c, 0, 11);
}

static void a_part_longer_than_its_range_is_refused(void **state)
{
    struct world w;

    (void)state;
    assert_int_equal(fill_from(&w, serve_too_much), EL_EPROTO);
    fill_close(&w);
}

static void serve_short_parts(struct origin_conn *c)
{
    while (origin_read_head(c)) {
        uint64_t first = range_first(c), end = el_min_u64(first + 1000000, LENGTH);

        origin_send(c,
                    "HTTP/1.1 206 Part\r\nETag: \"v1\"\r\nContent-Length: %llu\r\n"
                    "Content-Range: bytes %llu-%llu/%u\r\n\r\n",
                    (unsigned long long)(end - first), (unsigned long long)first,
                    (unsigned long long)end - 1, LENGTH);
        origin_send_object(c, first, end);
    }
}

static void a_shorter_part_than_asked_for_is_followed_by_the_next(void **state)
{
    struct world w;

    (void)state;
    assert_int_equal(fill_from(&w, serve_short_parts), EL_OK);
    assert_int_equal(w.fill.position, LENGTH);
    assert_int_equal(origin_heads(&w.o), 3);
    fill_close(&w);
}

/* ---- a signature that covers Range ---- */

static void sign_range(struct world *w, uint64_t first, uint64_t end, struct el_str value)
{
    struct store_target to = world_target(w);

    cache_ticket_unref(w->fill.ticket);
    w->fill.ticket = store_ticket_new(&to, world_fieldv, true, first, end, value);
}

static void a_signed_range_is_sent_as_it_is_and_skipped_to_the_position(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_parts);
    world_fill_init(&w, LENGTH, 150, 200, "\"v1\"");
    sign_range(&w, 100, 200, EL_STR("bytes=100-199"));
    fill_start(&w);
    assert_int_equal(fill_wait_done(&w), EL_OK);
    assert_int_equal(w.fill.position, 200);
    assert_non_null(strstr(origin_head(&w.o, 0), "Range: bytes=100-199\r\n"));
    fill_close(&w);
}

static void bytes_outside_a_signed_range_are_not_asked_for(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_parts);
    world_fill_init(&w, LENGTH, 250, 300, "\"v1\"");
    sign_range(&w, 100, 200, EL_STR("bytes=100-199"));
    fill_start(&w);
    assert_int_equal(fill_wait_done(&w), EL_EFORBIDDEN);
    assert_int_equal(origin_heads(&w.o), 0);
    fill_close(&w);
}

/* ---- answers to a client's request that become a fill ---- */

static void serve_object(struct origin_conn *c)
{
    if (!origin_read_head(c))
        return;
    if (c->index > 0) {
        send_part(c);
    } else {
        origin_send(c, "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: %u\r\n\r\n", LENGTH);
        origin_send_object(c, 0, c->o->gate ? LENGTH : BROKEN);
        (void)shutdown(c->fd, SHUT_WR);
    }
    origin_wait_gone(c);
}

static void feed_from(struct world *w, bool is_whole, const char *etag)
{
    world_open(w, serve_object);
    w->o.gate = is_whole;
    world_fill_init(w, LENGTH, 0, LENGTH, etag);
    w->feeds = &w->fill;
    world_ask(w, "GET", EL_HTTP_BODY_NONE);
    WORLD_WAIT(w, w->is_done);
}

static void an_answer_feeds_a_fill(void **state)
{
    struct world w;

    (void)state;
    feed_from(&w, true, "\"v1\"");
    assert_int_equal(fill_wait_done(&w), EL_OK);
    assert_int_equal(w.ex->err.code, EL_OK);
    assert_true(w.ex->was_fed);
    assert_int_equal(w.fill.position, LENGTH);
    assert_int_equal(origin_heads(&w.o), 1);
    fill_close(&w);
}

static void an_answer_that_breaks_is_resumed_with_the_ticket(void **state)
{
    struct world w;

    (void)state;
    feed_from(&w, false, "\"v1\"");
    assert_int_equal(w.ex->err.code, EL_ETRUNCATED);
    assert_int_equal(fill_wait_done(&w), EL_OK);
    assert_int_equal(w.fill.position, LENGTH);
    assert_non_null(strstr(origin_head(&w.o, 1), "Range: bytes=1234567-2999999\r\n"));
    fill_close(&w);
}

static void without_a_validator_a_broken_answer_is_the_end(void **state)
{
    struct world w;

    (void)state;
    feed_from(&w, false, NULL);
    assert_int_equal(fill_wait_done(&w), EL_ETRUNCATED);
    assert_int_equal(w.fill.position, BROKEN);
    assert_int_equal(origin_heads(&w.o), 1);
    fill_close(&w);
}

static void a_fed_fill_goes_on_after_its_user_has_left(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_object);
    world_fill_init(&w, LENGTH, 0, LENGTH, "\"v1\"");
    w.feeds = &w.fill;
    w.closes_at_head = true;
    world_ask(&w, "GET", EL_HTTP_BODY_NONE);
    WORLD_WAIT(&w, w.n_events > 0);
    assert_int_equal(fill_wait_done(&w), EL_OK);
    assert_int_equal(w.fill.position, LENGTH);
    fill_close(&w);
}

static void a_fed_fill_may_begin_within_the_body(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_object);
    w.o.gate = true;
    world_fill_init(&w, LENGTH, 500000, 600000, "\"v1\"");
    w.feeds = &w.fill;
    w.feed_skip = 500000;
    world_ask(&w, "GET", EL_HTTP_BODY_NONE);
    WORLD_WAIT(&w, w.is_done);
    assert_int_equal(fill_wait_done(&w), EL_OK);
    assert_int_equal(w.fill.position, 600000);
    assert_int_equal(w.ex->err.code, EL_OK);
    fill_close(&w);
}

static void serve_nothing(struct origin_conn *c)
{
    while (origin_read_head(c))
        origin_send(c, "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 0\r\n\r\n");
}

static void an_empty_body_that_is_over_before_it_is_fed_ends_the_fill(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, serve_nothing);
    world_fill_init(&w, 0, 0, 0, "\"v1\"");
    w.pipes = false;
    world_ask(&w, "GET", EL_HTTP_BODY_NONE);
    WORLD_WAIT(&w, w.is_done);
    store_exchange_feed(w.ex, &w.fill, 0);
    assert_int_equal(fill_wait_done(&w), EL_OK);
    fill_close(&w);
}

/* ---- checksums ---- */

static void verify(struct store_conf *conf)
{
    conf->verify = STORE_VERIFY_CHEAP;
}

/* What the origin says of the whole; of the bytes that it would have with `changed` in the middle.
 */
static void say_crc(struct world *w, bool changed)
{
    uint8_t *bytes = el_try_alloc(LENGTH), crc[EL_SUM_MAX_BYTES];
    struct el_sum *sum = el_sum_new(EL_SUM_CRC64_XZ);
    struct el_buf value = { 0 };
    uint64_t n = 0;

    assert_non_null(bytes);
    origin_fill(bytes, 0, LENGTH);
    bytes[LENGTH / 2] ^= changed;
    el_sum_peek(sum, bytes, LENGTH, crc);
    for (size_t i = 0; i < 8; i++)
        n = n << 8 | crc[i];
    el_buf_add_u64(&value, n);
    el_fields_add(&w->object.meta->fields, EL_STR("x-oss-hash-crc64ecma"), el_buf_str(&value));
    w->object.meta->status = 200;
    el_buf_deinit(&value);
    el_sum_free(sum);
    free(bytes);
}

static enum el_err fill_checked(struct world *w, void (*script)(struct origin_conn *c),
                                bool changed)
{
    world_open_with(w, script, verify);
    world_fill_init(w, LENGTH, 0, LENGTH, "\"v1\"");
    say_crc(w, changed);
    fill_start(w);
    return fill_wait_done(w);
}

static void bytes_that_are_what_was_said_are_all_given(void **state)
{
    struct world w;

    (void)state;
    assert_int_equal(fill_checked(&w, serve_parts, false), EL_OK);
    assert_int_equal(w.fill.position, LENGTH);
    fill_close(&w);
}

static void the_last_of_wrong_bytes_are_never_given(void **state)
{
    struct world w;

    (void)state;
    assert_int_equal(fill_checked(&w, serve_parts, true), EL_EHASH);
    assert_in_range(w.fill.position, 1, LENGTH - 1);
    assert_int_equal(origin_heads(&w.o), 1);
    assert_non_null(strstr(w.fill.err.text, "x-oss-hash-crc64ecma of the object says "));
    fill_close(&w);
}

static void a_checksum_goes_on_where_a_broken_transfer_is_taken_up_again(void **state)
{
    struct world w;

    (void)state;
    world_open_with(&w, serve_breaking, verify);
    world_fill_init(&w, LENGTH, 0, LENGTH, "\"v1\"");
    say_crc(&w, true);
    fill_start(&w);
    FILL_WAIT(&w.fill, w.fill.position == BROKEN);
    origin_open_gate(&w.o);
    assert_int_equal(fill_wait_done(&w), EL_EHASH);
    assert_in_range(w.fill.position, BROKEN, LENGTH - 1);
    fill_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fill_asks_for_its_bytes_of_this_version_only),
        cmocka_unit_test(a_range_is_clamped_to_the_known_length),
        cmocka_unit_test(a_last_modified_is_the_condition_where_there_is_no_etag),
        cmocka_unit_test(a_fill_without_room_waits_and_goes_on),
        cmocka_unit_test(a_fill_that_wants_no_more_is_done),
        cmocka_unit_test(a_cancelled_fill_is_done_soon),
        cmocka_unit_test(stopping_the_storage_ends_a_fill),
        cmocka_unit_test(a_broken_transfer_is_taken_up_at_the_byte),
        cmocka_unit_test(progress_starts_the_count_of_attempts_anew),
        cmocka_unit_test(bodies_that_break_do_not_open_the_circuit_while_the_fill_gets_on),
        cmocka_unit_test(attempts_without_progress_end),
        cmocka_unit_test(another_version_ends_the_fill_and_gives_no_byte),
        cmocka_unit_test(answers_that_do_not_fit_end_the_fill_with_their_reason),
        cmocka_unit_test(a_busy_origin_is_asked_again),
        cmocka_unit_test(the_whole_object_instead_of_a_range_is_skipped_to_the_position),
        cmocka_unit_test(a_part_longer_than_its_range_is_refused),
        cmocka_unit_test(a_shorter_part_than_asked_for_is_followed_by_the_next),
        cmocka_unit_test(a_signed_range_is_sent_as_it_is_and_skipped_to_the_position),
        cmocka_unit_test(bytes_outside_a_signed_range_are_not_asked_for),
        cmocka_unit_test(an_answer_feeds_a_fill),
        cmocka_unit_test(an_answer_that_breaks_is_resumed_with_the_ticket),
        cmocka_unit_test(without_a_validator_a_broken_answer_is_the_end),
        cmocka_unit_test(a_fed_fill_goes_on_after_its_user_has_left),
        cmocka_unit_test(a_fed_fill_may_begin_within_the_body),
        cmocka_unit_test(bytes_that_are_what_was_said_are_all_given),
        cmocka_unit_test(the_last_of_wrong_bytes_are_never_given),
        cmocka_unit_test(a_checksum_goes_on_where_a_broken_transfer_is_taken_up_again),
        cmocka_unit_test(an_empty_body_that_is_over_before_it_is_fed_ends_the_fill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
