/* SPDX-License-Identifier: MIT */
/* What a line of the trace log has; that it gets there is linelog's. */
#include "proxy/spans.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/json.h"
#include "tests/lib/test.h"

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"
#define S      1000000000ull

struct world {
    char path[64];
    struct el_metrics *metrics;
    struct proxy_spans *spans;
    struct proxy_access_entry request;
    struct proxy_tier_share share;
    struct proxy_span span;
    json_t *read; /* the lines, as an array; NULL: not yet */
};

static int setup(void **state)
{
    struct world *w = el_new(struct world);
    int fd;

    (void)snprintf(w->path, sizeof(w->path), "/tmp/test_spans.XXXXXX");
    fd = mkstemp(w->path);
    if (fd < 0)
        return -1;
    (void)close(fd);
    w->metrics = el_metrics_new();
    w->request = (struct proxy_access_entry){
        .client = "192.0.2.1:4711",
        .method = EL_STR("GET"),
        .url = EL_STR("http://host/bucket/key?X-Amz-Signature=abc"),
        .status = 200,
        .bytes = 1000,
        .x_cache = "P2P",
    };
    w->share.bytes[PROXY_TIER_PEER] = 900;
    w->share.bytes[PROXY_TIER_DISK] = 100;
    w->span = (struct proxy_span){
        .trace = { .id = EL_STR(TRACE), .parent = EL_STR(PARENT), .is_recorded = true },
        .request = &w->request,
        .share = &w->share,
        .end_wall_ns = 1700000000 * (int64_t)S,
        .took_ns = 3 * S,
        .first_byte_ns = S,
    };
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    json_decref(w->read);
    el_metrics_free(w->metrics);
    (void)unlink(w->path);
    free(w);
    return 0;
}

static void open_spans(struct world *w)
{
    const struct proxy_spans_conf conf = {
        .path = w->path,
        .node_id = "n1",
        .threads = 2,
        .metrics = w->metrics,
    };

    assert_int_equal(proxy_spans_open(&conf, &w->spans, NULL), EL_OK);
}

/* Each line by itself is JSON. */
static void read_all(struct world *w)
{
    FILE *f = fopen(w->path, "r");
    char line[8192];

    assert_non_null(f);
    w->read = json_array();
    while (fgets(line, sizeof(line), f) != NULL) {
        json_t *o = json_loads(line, 0, NULL);

        assert_non_null(o);
        assert_int_equal(json_array_append_new(w->read, o), 0);
    }
    (void)fclose(f);
}

static void write_one(struct world *w)
{
    open_spans(w);
    proxy_spans_write(w->spans, 1, &w->span);
    proxy_spans_close(w->spans);
    read_all(w);
    assert_int_equal(json_array_size(w->read), 1);
}

static json_t *first_of(json_t *o, const char *key)
{
    json_t *list = json_object_get(o, key);

    assert_int_equal(json_array_size(list), 1);
    return json_array_get(list, 0);
}

static json_t *resource_of(struct world *w, size_t line)
{
    return first_of(json_array_get(w->read, line), "resourceSpans");
}

static json_t *span_of(struct world *w, size_t line)
{
    return first_of(first_of(resource_of(w, line), "scopeSpans"), "spans");
}

static const char *text(json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

/* NULL: there is none. */
static const char *attribute(json_t *o, const char *key)
{
    json_t *item, *value;
    size_t i;

    json_array_foreach(json_object_get(o, "attributes"), i, item)
    {
        if (strcmp(text(item, "key"), key) != 0)
            continue;
        value = json_object_get(item, "value");
        return text(value, "stringValue") != NULL ? text(value, "stringValue")
                                                  : text(value, "intValue");
    }
    return NULL;
}

/* ---- what stands there ---- */

static void a_span_is_of_its_trace_below_who_asked(void **state)
{
    struct world *w = *state;
    json_t *span;

    write_one(w);
    span = span_of(w, 0);
    assert_string_equal(text(span, "traceId"), TRACE);
    assert_string_equal(text(span, "parentSpanId"), PARENT);
    assert_int_equal(strlen(text(span, "spanId")), 16);
    assert_int_equal(strspn(text(span, "spanId"), "0123456789abcdef"), 16);
    assert_string_equal(text(span, "name"), "GET");
    assert_int_equal(json_integer_value(json_object_get(span, "kind")), 2);
}

static void it_has_the_time_of_its_beginning_end_and_first_byte(void **state)
{
    struct world *w = *state;
    json_t *span, *event;

    write_one(w);
    span = span_of(w, 0);
    assert_string_equal(text(span, "startTimeUnixNano"), "1699999997000000000");
    assert_string_equal(text(span, "endTimeUnixNano"), "1700000000000000000");
    event = first_of(span, "events");
    assert_string_equal(text(event, "name"), "first byte");
    assert_string_equal(text(event, "timeUnixNano"), "1699999998000000000");
}

static void without_a_first_byte_there_is_no_event(void **state)
{
    struct world *w = *state;

    w->span.first_byte_ns = 0;
    write_one(w);
    assert_null(json_object_get(span_of(w, 0), "events"));
}

static void it_says_what_was_asked_and_who_gave_the_bytes(void **state)
{
    struct world *w = *state;
    json_t *span, *resource;

    w->span.origin_status = 304;
    write_one(w);
    span = span_of(w, 0);
    assert_string_equal(attribute(span, "http.request.method"), "GET");
    assert_string_equal(attribute(span, "http.response.status_code"), "200");
    assert_string_equal(attribute(span, "http.response.body.size"), "1000");
    assert_string_equal(attribute(span, "client.address"), "192.0.2.1");
    assert_string_equal(attribute(span, "client.port"), "4711");
    assert_string_equal(attribute(span, "eliop2p.cache"), "P2P");
    assert_string_equal(attribute(span, "eliop2p.bytes.peer"), "900");
    assert_string_equal(attribute(span, "eliop2p.bytes.disk"), "100");
    assert_null(attribute(span, "eliop2p.bytes.origin"));
    assert_string_equal(attribute(span, "eliop2p.origin.status_code"), "304");
    assert_null(attribute(span, "error.type"));
    assert_null(json_object_get(span, "status"));
    resource = json_object_get(resource_of(w, 0), "resource");
    assert_string_equal(attribute(resource, "service.name"), "elionode");
    assert_string_equal(attribute(resource, "service.instance.id"), "n1");
}

static void what_opens_a_door_is_not_in_it(void **state)
{
    struct world *w = *state;

    write_one(w);
    assert_string_equal(attribute(span_of(w, 0), "url.full"),
                        "http://host/bucket/key?X-Amz-Signature=***");
}

static void whatever_a_client_sends_it_is_one_line(void **state)
{
    struct world *w = *state;

    w->request.method = EL_STR("M\"\n\xff-MORE-THAN-THIRTY-TWO-BYTES-OF-IT");
    w->request.url = EL_STR("http://host/\n\"\xff\\");
    w->request.client = "[2001:db8::1]:80";
    write_one(w);
    assert_string_equal(attribute(span_of(w, 0), "client.address"), "2001:db8::1");
    assert_string_equal(attribute(span_of(w, 0), "client.port"), "80");
    assert_true(strlen(text(span_of(w, 0), "name")) < 40);
}

/* ---- failures ---- */

static void an_answer_of_5xx_is_a_failure_and_4xx_is_none(void **state)
{
    struct world *w = *state;
    json_t *status;

    open_spans(w);
    w->request.status = 503;
    proxy_spans_write(w->spans, 0, &w->span);
    proxy_spans_close(w->spans);
    open_spans(w);
    w->request.status = 404;
    proxy_spans_write(w->spans, 0, &w->span);
    proxy_spans_close(w->spans);
    read_all(w);
    status = json_object_get(span_of(w, 0), "status");
    assert_int_equal(json_integer_value(json_object_get(status, "code")), 2);
    assert_string_equal(attribute(span_of(w, 0), "error.type"), "503");
    assert_null(json_object_get(span_of(w, 1), "status"));
    assert_string_not_equal(text(span_of(w, 0), "spanId"), text(span_of(w, 1), "spanId"));
}

static void an_answer_that_breaks_off_is_a_failure(void **state)
{
    struct world *w = *state;

    w->span.is_broken = true;
    write_one(w);
    assert_string_equal(attribute(span_of(w, 0), "http.response.status_code"), "200");
    assert_string_equal(attribute(span_of(w, 0), "error.type"), "incomplete");
    assert_non_null(json_object_get(span_of(w, 0), "status"));
}

static void a_file_that_cannot_be_opened_is_an_error(void **state)
{
    struct world *w = *state;
    const struct proxy_spans_conf conf = {
        .path = "/nonexistent/trace.jsonl",
        .node_id = "n1",
        .threads = 1,
        .metrics = w->metrics,
    };

    assert_int_equal(proxy_spans_open(&conf, &w->spans, NULL), EL_ESYS);
    assert_null(w->spans);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_span_is_of_its_trace_below_who_asked),
        TEST(it_has_the_time_of_its_beginning_end_and_first_byte),
        TEST(without_a_first_byte_there_is_no_event),
        TEST(it_says_what_was_asked_and_who_gave_the_bytes),
        TEST(what_opens_a_door_is_not_in_it),
        TEST(whatever_a_client_sends_it_is_one_line),
        TEST(an_answer_of_5xx_is_a_failure_and_4xx_is_none),
        TEST(an_answer_that_breaks_off_is_a_failure),
        TEST(a_file_that_cannot_be_opened_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
