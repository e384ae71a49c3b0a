/* SPDX-License-Identifier: MIT */
#include "proxy/self.h"

#include <arpa/inet.h>

#include "tests/lib/test.h"

static struct proxy_addresses addresses_of(const char *bind_address)
{
    struct proxy_addresses a;
    struct el_error err = { 0 };

    if (proxy_addresses_of(bind_address, &a, &err) != EL_OK)
        fail_msg("%s: %s", bind_address, err.text);
    return a;
}

static bool holds(const struct proxy_addresses *a, const char *text)
{
    struct in6_addr want;

    assert_int_equal(inet_pton(AF_INET6, text, &want), 1);
    for (size_t i = 0; i < a->n; i++) {
        if (memcmp(&a->v[i], &want, sizeof(want)) == 0)
            return true;
    }
    return false;
}

static void a_listener_with_an_address_is_reached_there_only(void **state)
{
    static const struct {
        const char *bind, *address;
    } cases[] = {
        { "192.0.2.7", "::ffff:192.0.2.7" },
        { "2001:db8::7", "2001:db8::7" },
        { "::ffff:192.0.2.7", "::ffff:192.0.2.7" },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_addresses a = addresses_of(cases[i].bind);

        assert_int_equal(a.n, 1);
        assert_true(holds(&a, cases[i].address));
        proxy_addresses_deinit(&a);
    }
}

static void a_listener_without_one_is_reached_at_all_of_the_machine(void **state)
{
    static const char *const wildcards[] = { "0.0.0.0", "::", "::ffff:0.0.0.0" };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(wildcards); i++) {
        struct proxy_addresses a = addresses_of(wildcards[i]);

        assert_true(holds(&a, "::ffff:127.0.0.1"));
        assert_false(holds(&a, "::ffff:0.0.0.0"));
        proxy_addresses_deinit(&a);
    }
}

static void what_is_no_address_is_refused_and_named(void **state)
{
    struct proxy_addresses a;
    struct el_error err = { 0 };

    (void)state;
    assert_int_equal(proxy_addresses_of("localhost.test", &a, &err), EL_ECONF);
    assert_non_null(strstr(err.text, "localhost.test"));
    proxy_addresses_deinit(&a); /* holds none */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listener_with_an_address_is_reached_there_only),
        cmocka_unit_test(a_listener_without_one_is_reached_at_all_of_the_machine),
        cmocka_unit_test(what_is_no_address_is_refused_and_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
