/* SPDX-License-Identifier: MIT */
#include "common/metrics.h"

#include <pthread.h>

#include "tests/lib/test.h"

static int open_registry(void **state)
{
    *state = el_metrics_new();
    return 0;
}

static int close_registry(void **state)
{
    el_metrics_free(*state);
    return 0;
}

static void assert_written(struct el_metrics *m, const char *expected)
{
    struct el_buf out = { 0 };

    el_buf_reserve(&out, 0);
    el_metrics_write(m, &out);
    assert_string_equal(out.p, expected);
    el_buf_deinit(&out);
}

static void an_empty_registry_writes_nothing(void **state)
{
    assert_written(*state, "");
    el_metrics_free(NULL);
}

static void series_stand_together_under_one_head_in_the_order_of_their_names(void **state)
{
    struct el_metrics *m = *state;
    struct el_counter *memory = el_metrics_counter(m, "hits_total", "Hits.", "tier=\"memory\"");
    struct el_gauge *open = el_metrics_gauge(m, "open", "Open things.", NULL);
    struct el_counter *disk = el_metrics_counter(m, "hits_total", "Hits.", "tier=\"disk\"");

    el_counter_add(memory, 5);
    el_counter_add(memory, UINT64_MAX - 6);
    el_counter_add(disk, 1);
    el_gauge_set(open, 3);
    el_gauge_add(open, -10);
    assert_int_equal(el_counter_get(disk), 1);
    assert_int_equal(el_gauge_get(open), -7);
    assert_written(m, "# HELP hits_total Hits.\n"
                      "# TYPE hits_total counter\n"
                      "hits_total{tier=\"memory\"} 18446744073709551614\n"
                      "hits_total{tier=\"disk\"} 1\n"
                      "# HELP open Open things.\n"
                      "# TYPE open gauge\n"
                      "open -7\n");
}

static void the_same_name_and_labels_are_the_same_metric(void **state)
{
    struct el_metrics *m = *state;
    char name[] = "c_total", help[] = "H.", labels[] = "a=\"b\"";
    struct el_counter *c = el_metrics_counter(m, name, help, labels);

    /* All three were copied. */
    memset(name, '?', 1);
    memset(help, '?', 1);
    memset(labels, '?', 1);
    assert_ptr_equal(el_metrics_counter(m, "c_total", "H.", "a=\"b\""), c);
    assert_ptr_not_equal(el_metrics_counter(m, "c_total", "H.", "a=\"c\""), c);
    assert_ptr_not_equal(el_metrics_counter(m, "c_total", "H.", NULL), c);
}

static int64_t read_number(void *arg)
{
    return *(int64_t *)arg;
}

static void a_gauge_can_be_asked_for_when_the_text_is_written(void **state)
{
    int64_t number = 1;

    el_metrics_gauge_fn(*state, "asked", "Asked.", "x=\"y\"", read_number, &number);
    number = INT64_MIN;
    assert_written(*state, "# HELP asked Asked.\n"
                           "# TYPE asked gauge\n"
                           "asked{x=\"y\"} -9223372036854775808\n");
}

/* The number after `start` in the text. */
static uint64_t value_of(const struct el_buf *text, const char *start)
{
    const char *at = strstr(text->p, start);

    assert_non_null(at);
    return strtoull(at + strlen(start), NULL, 10);
}

static void a_time_counts_in_every_bucket_that_is_not_below_it(void **state)
{
    struct el_hist *h = el_metrics_hist(*state, "t_seconds", "Times.", NULL);
    struct el_buf out = { 0 };

    el_hist_add(h, 0);
    el_hist_add(h, 10); /* a bound belongs to its bucket */
    el_hist_add(h, 11);
    el_hist_add(h, 250000);
    el_hist_add(h, 100000000);
    el_hist_add(h, 100000001);
    el_metrics_write(*state, &out);
    assert_non_null(strstr(out.p, "# TYPE t_seconds histogram\n"));
    assert_int_equal(value_of(&out, "t_seconds_bucket{le=\"1e-05\"} "), 2);
    assert_int_equal(value_of(&out, "t_seconds_bucket{le=\"2.5e-05\"} "), 3);
    assert_int_equal(value_of(&out, "t_seconds_bucket{le=\"0.1\"} "), 3);
    assert_int_equal(value_of(&out, "t_seconds_bucket{le=\"0.25\"} "), 4);
    assert_int_equal(value_of(&out, "t_seconds_bucket{le=\"50\"} "), 4);
    assert_int_equal(value_of(&out, "t_seconds_bucket{le=\"100\"} "), 5);
    assert_int_equal(value_of(&out, "t_seconds_bucket{le=\"+Inf\"} "), 6);
    assert_int_equal(value_of(&out, "t_seconds_count "), 6);
    assert_non_null(strstr(out.p, "\nt_seconds_sum 200.250022\n"));
    el_buf_deinit(&out);
}

static void bounds_grow_by_the_steps_promised(void **state)
{
    struct el_buf out = { 0 };
    const char *at;
    double bound, before = 0;
    int n = 0;

    (void)el_metrics_hist(*state, "t_seconds", "Times.", "a=\"b\"");
    el_metrics_write(*state, &out);
    for (at = out.p; (at = strstr(at, "{a=\"b\",le=\"")) != NULL; at++, n++) {
        bound = strtod(at + strlen("{a=\"b\",le=\""), NULL);
        if (before > 0 && n < EL_HIST_BUCKETS)
            assert_true(bound / before > 1.99 && bound / before < 2.51);
        assert_true(bound > before);
        before = bound;
    }
    assert_int_equal(n, EL_HIST_BUCKETS + 1);
    assert_non_null(strstr(out.p, "\nt_seconds_sum{a=\"b\"} 0.000000\n"));
    assert_non_null(strstr(out.p, "\nt_seconds_count{a=\"b\"} 0\n"));
    el_buf_deinit(&out);
}

/* Months of busy latencies: a scrape must still see what the last second added. */
static void a_large_sum_keeps_its_microseconds(void **state)
{
    struct el_hist *h = el_metrics_hist(*state, "t_seconds", "Times.", NULL);
    struct el_buf out = { 0 };

    el_hist_add(h, UINT64_C(123456789000000));
    el_hist_add(h, 1);
    el_metrics_write(*state, &out);
    assert_non_null(strstr(out.p, "\nt_seconds_sum 123456789.000001\n"));
    el_buf_deinit(&out);
}

#define ROUNDS 2000

static void *count_up(void *arg)
{
    struct el_metrics *m = arg;

    for (int i = 0; i < ROUNDS; i++) {
        el_counter_add(el_metrics_counter(m, "c_total", "C.", NULL), 1);
        el_gauge_add(el_metrics_gauge(m, "g", "G.", NULL), 2);
        el_hist_add(el_metrics_hist(m, "h_seconds", "H.", NULL), 3);
    }
    return NULL;
}

static void threads_register_update_and_write_at_once(void **state)
{
    struct el_metrics *m = *state;
    struct el_buf out = { 0 };
    pthread_t threads[2];

    for (size_t i = 0; i < EL_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, m), 0);
    for (int i = 0; i < 100; i++) {
        el_buf_clear(&out);
        el_metrics_write(m, &out);
    }
    for (size_t i = 0; i < EL_COUNT(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    el_buf_clear(&out);
    el_metrics_write(m, &out);
    assert_int_equal(value_of(&out, "\nc_total "), 2 * ROUNDS);
    assert_int_equal(value_of(&out, "\ng "), 4 * ROUNDS);
    assert_int_equal(value_of(&out, "\nh_seconds_count "), 2 * ROUNDS);
    assert_non_null(strstr(out.p, "\nh_seconds_sum 0.012000\n"));
    el_buf_deinit(&out);
}

#define REGISTRY_TEST(f) cmocka_unit_test_setup_teardown(f, open_registry, close_registry)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REGISTRY_TEST(an_empty_registry_writes_nothing),
        REGISTRY_TEST(series_stand_together_under_one_head_in_the_order_of_their_names),
        REGISTRY_TEST(the_same_name_and_labels_are_the_same_metric),
        REGISTRY_TEST(a_gauge_can_be_asked_for_when_the_text_is_written),
        REGISTRY_TEST(a_time_counts_in_every_bucket_that_is_not_below_it),
        REGISTRY_TEST(bounds_grow_by_the_steps_promised),
        REGISTRY_TEST(a_large_sum_keeps_its_microseconds),
        REGISTRY_TEST(threads_register_update_and_write_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
