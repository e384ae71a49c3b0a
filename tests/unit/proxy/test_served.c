/* SPDX-License-Identifier: MIT */
#include "proxy/served.h"

#include <stdio.h>

#include "tests/lib/test.h"

static void note(struct proxy_served *s, const char *client, uint64_t origin)
{
    const struct proxy_served_by by = { .share.bytes[PROXY_TIER_ORIGIN] = origin };

    proxy_served_note(s, client, &by);
}

static uint64_t of(struct proxy_served *s, const char *client)
{
    struct proxy_served_by by = { 0 };

    return proxy_served_find(s, el_str_of(client), &by) ? by.share.bytes[PROXY_TIER_ORIGIN] : 0;
}

static void the_last_request_of_a_client_is_what_is_found(void **state)
{
    struct proxy_served *s = proxy_served_new();

    (void)state;
    note(s, "192.0.2.1:1", 10);
    note(s, "192.0.2.1:2", 20);
    note(s, "192.0.2.1:1", 11);
    assert_int_equal(of(s, "192.0.2.1:1"), 11);
    assert_int_equal(of(s, "192.0.2.1:2"), 20);
    assert_int_equal(of(s, "192.0.2.1:3"), 0);
    proxy_served_free(s);
}

static void nobody_is_found_before_anything_was_served(void **state)
{
    struct proxy_served *s = proxy_served_new();

    (void)state;
    assert_int_equal(of(s, ""), 0);
    proxy_served_free(s);
}

static void the_oldest_are_forgotten(void **state)
{
    struct proxy_served *s = proxy_served_new();
    char client[32];

    (void)state;
    for (unsigned i = 1; i <= 300; i++) {
        (void)snprintf(client, sizeof(client), "192.0.2.1:%u", i);
        note(s, client, i);
    }
    assert_int_equal(of(s, "192.0.2.1:44"), 0);
    assert_int_equal(of(s, "192.0.2.1:45"), 45);
    assert_int_equal(of(s, "192.0.2.1:300"), 300);
    proxy_served_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_request_of_a_client_is_what_is_found),
        cmocka_unit_test(nobody_is_found_before_anything_was_served),
        cmocka_unit_test(the_oldest_are_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
