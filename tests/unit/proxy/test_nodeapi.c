/* SPDX-License-Identifier: MIT */
/* The node API over HTTP; cache, storage and proxy are stood in for by the functions it asks. */
#include "proxy/nodeapi.h"

#include <jansson.h>

#include "common/log.h"
#include "tests/lib/raw_http.h"

void cache_stats_get(struct cache *c, struct cache_stats *ret)
{
    (void)c;
    *ret = (struct cache_stats){
        .memory_limit_bytes = 1000, .memory_used_bytes = 400, .hot_chunks = 3, .objects = 5
    };
}

void cache_disk_stats_get(struct cache *c, struct cache_disk_stats *ret)
{
    (void)c;
    *ret = (struct cache_disk_stats){ .n = 1 };
    ret->stores[0] = (struct cache_store_stats){ .dir = "/d", .state = "normal", .io = "threads" };
}

void store_stats_get(struct storage *s, struct store_stats *ret)
{
    (void)s;
    *ret = (struct store_stats){ .exchanges = 7, .bytes_in = 70 };
    ret->bytes_by_reason[STORE_REFILL] = 30;
}

uint16_t proxy_port(const struct proxy *p)
{
    (void)p;
    return 8080;
}

uint16_t proxy_tls_port(const struct proxy *p)
{
    (void)p;
    return 0;
}

uint64_t proxy_busy(struct proxy *p)
{
    (void)p;
    return 2;
}

struct fixture {
    struct el_metrics *metrics;
    struct proxy_nodeapi *api;
    int proxy; /* its address is all that is used */
};

static int set_up(void **state)
{
    struct fixture *f = el_new(struct fixture);
    struct proxy_nodeapi_conf conf = { .bind_address = "127.0.0.1",
                                       .node_id = "n-1",
                                       .clock = el_clock_system() };

    f->metrics = conf.metrics = el_metrics_new();
    *state = f;
    return proxy_nodeapi_start(&conf, &f->api, NULL) == EL_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    proxy_nodeapi_stop(f->api);
    el_metrics_free(f->metrics);
    free(f);
    return 0;
}

static char *get(struct fixture *f, const char *path)
{
    return raw_get(proxy_nodeapi_port(f->api), path);
}

static json_t *get_json(struct fixture *f, const char *path)
{
    char *answer = get(f, path);
    const char *body = strstr(answer, "\r\n\r\n");
    json_t *root;

    assert_non_null(body);
    root = json_loads(body + 4, 0, NULL);
    assert_non_null(root);
    free(answer);
    return root;
}

static json_int_t number(json_t *root, const char *first, const char *second)
{
    json_t *n = json_object_get(json_object_get(root, first), second);

    assert_true(json_is_integer(n));
    return json_integer_value(n);
}

static void health_says_ok_and_the_version(void **state)
{
    json_t *root = get_json((struct fixture *)*state, "/health");

    assert_string_equal(json_string_value(json_object_get(root, "status")), "ok");
    assert_string_equal(json_string_value(json_object_get(root, "version")), ELIO_VERSION);
    json_decref(root);
}

static void readiness_is_503_until_it_is_set_and_again_afterwards(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    const bool told[] = { false, true, false };

    for (size_t i = 0; i < EL_COUNT(told); i++) {
        char *answer;

        proxy_nodeapi_set_ready(f->api, told[i]);
        answer = get(f, "/readyz");
        assert_memory_equal(answer, told[i] ? "HTTP/1.1 200" : "HTTP/1.1 503", 12);
        free(answer);
    }
}

static void metrics_are_prometheus_text_with_the_process_in_it(void **state)
{
    char *answer = get((struct fixture *)*state, "/metrics");

    assert_non_null(strstr(answer, "content-type: text/plain; version=0.0.4"));
    assert_non_null(strstr(answer, "eliop2p_build_info{version=\"" ELIO_VERSION "\"} 1\n"));
    assert_non_null(strstr(answer, "# TYPE process_open_fds gauge\n"));
    free(answer);
}

static void status_has_the_figures_of_every_part(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    json_t *root;

    proxy_nodeapi_set_proxy(f->api, (struct proxy *)(void *)&f->proxy);
    root = get_json(f, "/api/v1/status");
    assert_string_equal(json_string_value(json_object_get(root, "node_id")), "n-1");
    assert_string_equal(json_string_value(json_object_get(root, "mode")), "standalone");
    assert_true(json_is_false(json_object_get(root, "ready")));
    assert_int_equal(number(root, "proxy", "port"), 8080);
    assert_int_equal(number(root, "proxy", "busy"), 2);
    assert_int_equal(number(json_object_get(root, "cache"), "memory", "used_bytes"), 400);
    assert_int_equal(number(json_object_get(root, "cache"), "heat", "hot"), 3);
    assert_int_equal(number(root, "cache", "objects"), 5);
    assert_int_equal(number(root, "origin", "exchanges"), 7);
    assert_int_equal(number(json_object_get(root, "origin"), "bytes_by_reason", "refill"), 30);
    assert_true(number(root, "process", "rss_bytes") > 0);
    assert_true(number(root, "process", "fds") > 3);
    json_decref(root);
}

static void status_lists_recent_events(void **state)
{
    json_t *root, *events;

    el_log(EL_INFO, EV_NODE_START, "version=%s", "1");
    root = get_json((struct fixture *)*state, "/api/v1/status");
    events = json_object_get(root, "events");
    assert_true(json_array_size(events) >= 1);
    assert_string_equal(json_string_value(json_object_get(
                            json_array_get(events, json_array_size(events) - 1), "event")),
                        "node.start");
    json_decref(root);
}

static void status_copes_without_a_proxy(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    json_t *root;

    proxy_nodeapi_set_proxy(f->api, NULL);
    root = get_json(f, "/api/v1/status");
    assert_int_equal(json_object_size(json_object_get(root, "proxy")), 0);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(health_says_ok_and_the_version),
        cmocka_unit_test(readiness_is_503_until_it_is_set_and_again_afterwards),
        cmocka_unit_test(metrics_are_prometheus_text_with_the_process_in_it),
        cmocka_unit_test(status_has_the_figures_of_every_part),
        cmocka_unit_test(status_lists_recent_events),
        cmocka_unit_test(status_copes_without_a_proxy),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
