/* SPDX-License-Identifier: MIT */
#include "common/address.h"

#include <arpa/inet.h>

#include "tests/lib/test.h"

static struct in6_addr address(const char *text)
{
    struct in6_addr a;
    bool is_v4;

    assert_true(el_address_parse(el_str_of(text), &a, &is_v4));
    return a;
}

static void an_address_of_a_socket_is_the_one_of_its_text(void **state)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(80) };
    struct sockaddr other = { .sa_family = AF_UNIX };
    struct in6_addr a, b = address("10.0.0.1");
    uint16_t port;

    (void)state;
    assert_int_equal(inet_pton(AF_INET, "10.0.0.1", &v4.sin_addr), 1);
    assert_true(el_address_of((struct sockaddr *)&v4, &a, &port));
    assert_memory_equal(&a, &b, sizeof(a));
    assert_int_equal(port, 80);
    assert_false(el_address_of(&other, &a, &port));
}

static void a_network_has_what_begins_like_it(void **state)
{
    static const struct {
        const char *net, *address;
        bool has;
    } cases[] = {
        { "10.0.0.0/8", "10.255.0.1", true },  { "10.0.0.0/8", "11.0.0.1", false },
        { "10.0.0.0/9", "10.128.0.1", false }, { "10.0.0.1", "10.0.0.1", true },
        { "10.0.0.1", "10.0.0.2", false },     { "fd00::/8", "fdff::1", true },
        { "fd00::/8", "fe00::1", false },      { "0.0.0.0/0", "9.9.9.9", true },
        { "0.0.0.0/0", "2001:db8::1", false }, { "::/0", "9.9.9.9", true },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct in6_addr a = address(cases[i].address);
        struct el_net net;

        assert_true(el_net_parse(el_str_of(cases[i].net), &net));
        if (el_net_has(&net, &a) != cases[i].has)
            fail_msg("%s in %s", cases[i].address, cases[i].net);
    }
}

static void what_is_no_network_is_refused(void **state)
{
    static const char *const bad[] = { "",       "10.0.0.256", "10.0.0.0/33", "fd00::/129",
                                       "10.0/8", "a.test",     "10.0.0.0/x",  "10.0.0.0/" };
    struct el_net net;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(bad); i++) {
        if (el_net_parse(el_str_of(bad[i]), &net))
            fail_msg("%s", bad[i]);
    }
}

static void addresses_where_nobody_offers_a_service_are_odd_however_they_are_written(void **state)
{
    static const char *const odd[] = { "169.254.169.254",
                                       "::ffff:169.254.169.254",
                                       "64:ff9b::169.254.169.254",
                                       "224.0.0.1",
                                       "0.0.0.0",
                                       "::",
                                       "fe80::1",
                                       "100.100.100.200" };
    static const char *const fine[] = { "127.0.0.1", "::1", "10.1.2.3", "fd00::1", "100.64.0.1" };
    struct in6_addr a;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(odd); i++) {
        a = address(odd[i]);
        if (!el_address_is_odd(&a))
            fail_msg("%s", odd[i]);
    }
    for (size_t i = 0; i < EL_COUNT(fine); i++) {
        a = address(fine[i]);
        if (el_address_is_odd(&a) || el_address_is_loopback(&a) != (i < 2))
            fail_msg("%s", fine[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_of_a_socket_is_the_one_of_its_text),
        cmocka_unit_test(a_network_has_what_begins_like_it),
        cmocka_unit_test(what_is_no_network_is_refused),
        cmocka_unit_test(addresses_where_nobody_offers_a_service_are_odd_however_they_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
