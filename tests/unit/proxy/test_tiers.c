/* SPDX-License-Identifier: MIT */
#include "proxy/tiers.h"

#include "cache/cache.h"
#include "tests/lib/test.h"

static struct el_metrics *metrics;
static struct proxy_tier_counters counters;

static int set_up(void **state)
{
    (void)state;
    metrics = el_metrics_new();
    proxy_tiers_register(&counters, metrics);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    el_metrics_free(metrics);
    return 0;
}

static void assert_sums(const uint64_t requests[PROXY_TIERS], const uint64_t bytes[PROXY_TIERS])
{
    struct proxy_tier_sums sums;

    proxy_tiers_sum(&counters, &sums);
    assert_memory_equal(sums.requests, requests, sizeof(sums.requests));
    assert_memory_equal(sums.bytes, bytes, sizeof(sums.bytes));
}

static void a_request_counts_for_the_slowest_tier_and_each_byte_for_its_own(void **state)
{
    static const uint64_t requests[] = { 0, 1, 0, 0 }, bytes[] = { 30, 5, 0, 0 };
    struct proxy_tier_share share = { 0 };

    (void)state;
    proxy_tiers_note(&share, CACHE_FROM_MEMORY, 10);
    proxy_tiers_note(&share, CACHE_FROM_DISK, 5);
    proxy_tiers_note(&share, CACHE_FROM_MEMORY, 20);
    proxy_tiers_count(&counters, &share, PROXY_TIER_ORIGIN);
    assert_sums(requests, bytes);
}

/* A block may have come from several. */
static void bytes_of_mixed_descent_are_the_slowest_tiers(void **state)
{
    static const uint64_t requests[] = { 0, 0, 0, 2 }, bytes[] = { 0, 0, 0, 11 };
    struct proxy_tier_share share = { 0 };

    (void)state;
    proxy_tiers_note(&share, CACHE_FROM_DISK | CACHE_FROM_ORIGIN, 4);
    proxy_tiers_count(&counters, &share, PROXY_TIERS);
    share = (struct proxy_tier_share){ 0 };
    proxy_tiers_note(&share, CACHE_FROM_PEER | CACHE_FROM_ORIGIN, 7);
    proxy_tiers_count(&counters, &share, PROXY_TIERS);
    assert_sums(requests, bytes);
}

static void one_without_bytes_counts_for_what_it_is_told_or_not_at_all(void **state)
{
    static const uint64_t requests[] = { 1, 0, 0, 1 }, bytes[PROXY_TIERS] = { 0 };
    const struct proxy_tier_share share = { 0 };

    (void)state;
    proxy_tiers_count(&counters, &share, PROXY_TIER_MEMORY);
    proxy_tiers_count(&counters, &share, PROXY_TIER_ORIGIN);
    proxy_tiers_count(&counters, &share, PROXY_TIERS);
    assert_sums(requests, bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_request_counts_for_the_slowest_tier_and_each_byte_for_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_of_mixed_descent_are_the_slowest_tiers, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_without_bytes_counts_for_what_it_is_told_or_not_at_all,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
