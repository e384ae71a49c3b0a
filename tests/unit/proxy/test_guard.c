/* SPDX-License-Identifier: MIT */
#include "proxy/guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "common/buf.h"
#include "tests/lib/fields.h"
#include "tests/lib/test.h"

static struct proxy_guard *guard(const char *allow, const char *deny, const char *ports)
{
    struct proxy_guard *g = NULL;
    struct el_error err = { 0 };

    if (proxy_guard_new(allow, deny, ports, &g, &err) != EL_OK)
        fail_msg("%s", err.text);
    return g;
}

static bool host_is_fine(const struct proxy_guard *g, const char *host)
{
    struct el_error err = { 0 };
    enum el_err rc = proxy_guard_host(g, el_str_of(host), &err);

    assert_true(rc == EL_OK || (rc == EL_EFORBIDDEN && err.text[0] != '\0'));
    return rc == EL_OK;
}

static bool address_is_fine(const struct proxy_guard *g, const char *address, uint16_t port)
{
    static const struct in6_addr lan[] = {
        { .s6_addr = { [10] = 0xff, 0xff, 10, 0, 0, 7 } },
        { .s6_addr = { 0x20, 0x01, 0x0d, 0xb8, [15] = 7 } },
    };
    static const struct proxy_guard_own own[] = {
        { .addresses = lan, .n = EL_COUNT(lan), .port = 8080 },
        { .port = 8082 }, /* bound to loopback */
        { .port = 0 },    /* not there */
    };
    struct proxy_guard_at at = { .guard = g, .own = own, .n_own = EL_COUNT(own) };
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
        return proxy_guard_address(&at, (struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
    return proxy_guard_address(&at, (struct sockaddr *)&v6);
}

/* ---- addresses ---- */

static const char *const never[] = {
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "::",
    "fe80::1",
    "febf::1",
    "ff02::1",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b::100.100.100.200",
};

static void metadata_and_other_odd_addresses_are_never_asked(void **state)
{
    struct proxy_guard *g = guard("", "", ""), *wide = guard("0.0.0.0/0, ::/0", "", "");
    struct proxy_guard *named = guard("*.test, metadata.test", "", "");

    (void)state;
    for (size_t i = 0; i < EL_COUNT(never); i++) {
        if (address_is_fine(g, never[i], 80) || address_is_fine(wide, never[i], 80) ||
            address_is_fine(named, never[i], 80))
            fail_msg("%s", never[i]);
    }
    proxy_guard_free(named);
    proxy_guard_free(wide);
    proxy_guard_free(g);
}

static void an_operator_may_allow_one_of_them_by_its_very_address(void **state)
{
    struct proxy_guard *g = guard("169.254.169.254", "", "");
    struct proxy_guard *net = guard("169.254.169.0/24", "", "");

    (void)state;
    assert_true(address_is_fine(g, "169.254.169.254", 80));
    assert_true(address_is_fine(g, "::ffff:169.254.169.254", 80));
    assert_false(address_is_fine(g, "169.254.169.253", 80));
    assert_false(address_is_fine(net, "169.254.169.254", 80));
    proxy_guard_free(net);
    proxy_guard_free(g);
}

static void clusters_keep_their_storage_on_loopback_and_private_networks(void **state)
{
    static const char *const fine[] = {
        "127.0.0.1",         "10.1.2.3", "172.16.0.1",      "192.168.1.1", "100.64.0.1",
        "93.184.216.34",     "::1",      "fd00::1",         "2001:db8::1", "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1", "1.0.0.0",  "223.255.255.255", "170.254.0.1"
    };
    struct proxy_guard *g = guard("", "", "");

    (void)state;
    for (size_t i = 0; i < EL_COUNT(fine); i++) {
        if (!address_is_fine(g, fine[i], 80))
            fail_msg("%s", fine[i]);
    }
    proxy_guard_free(g);
}

static void our_own_ports_on_loopback_would_loop(void **state)
{
    static const char *const loopback[] = { "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1",
                                            "::127.0.0.1" };
    struct proxy_guard *g = guard("127.0.0.1, ::1, 127.0.0.0/8", "", "");

    (void)state;
    for (size_t i = 0; i < EL_COUNT(loopback); i++) {
        assert_false(address_is_fine(g, loopback[i], 8080));
        assert_false(address_is_fine(g, loopback[i], 8082));
    }
    assert_true(address_is_fine(g, "127.0.0.1", 8081));
    assert_true(address_is_fine(g, "::1", 8081));
    proxy_guard_free(g);
}

static void our_own_ports_would_loop_wherever_they_listen(void **state)
{
    static const char *const lan[] = { "10.0.0.7", "::ffff:10.0.0.7", "64:ff9b::10.0.0.7",
                                       "2001:db8::7" };
    struct proxy_guard *g = guard("", "", "");

    (void)state;
    for (size_t i = 0; i < EL_COUNT(lan); i++) {
        assert_false(address_is_fine(g, lan[i], 8080));
        assert_true(address_is_fine(g, lan[i], 8082)); /* somebody else's */
    }
    assert_true(address_is_fine(g, "10.0.0.8", 8080)); /* another machine's */
    assert_true(address_is_fine(g, "2001:db8::8", 8080));
    proxy_guard_free(g);
}

static void networks_of_either_kind_are_kept_apart(void **state)
{
    struct proxy_guard *g =
        guard("", "10.0.0.0/8, 192.168.1.128/25, 2001:db8::/33, 10.9.9.9/0", "");
    struct proxy_guard *d = guard("10.0.0.0/9,2001:db8::5", "10.64.0.0/10", "");

    (void)state;
    assert_false(
        address_is_fine(g, "10.255.0.1", 80)); /* "/0" is every IPv4 address, and no other */
    assert_false(address_is_fine(g, "8.8.8.8", 80));
    assert_false(address_is_fine(g, "2001:db8:7fff::1", 80));
    assert_true(address_is_fine(g, "2001:db8:8000::1", 80));
    assert_true(address_is_fine(d, "10.63.255.255", 80));
    assert_false(address_is_fine(d, "10.64.0.0", 80));
    assert_false(address_is_fine(d, "64:ff9b::10.64.0.0", 80));
    assert_false(address_is_fine(d, "10.128.0.0", 80));
    assert_true(address_is_fine(d, "2001:db8::5", 80));
    assert_false(address_is_fine(d, "2001:db8::4", 80));
    proxy_guard_free(d);
    proxy_guard_free(g);
}

static void a_socket_of_another_family_is_no_origin(void **state)
{
    struct proxy_guard *g = guard("", "", "");
    struct proxy_guard_at at = { .guard = g };
    struct sockaddr un = { .sa_family = AF_UNIX };

    (void)state;
    assert_false(proxy_guard_address(&at, &un));
    proxy_guard_free(g);
}

/* ---- hosts ---- */

static void denied_names_are_refused_in_every_spelling(void **state)
{
    struct proxy_guard *g = guard("", "evil.test, *.bad.test, 10.0.0.0/8, root.test.", "");

    (void)state;
    assert_false(host_is_fine(g, "evil.test"));
    assert_false(host_is_fine(g, "EVIL.test"));
    assert_false(host_is_fine(g, "evil.test."));
    assert_false(host_is_fine(g, "root.test"));
    assert_false(host_is_fine(g, "a.b.bad.test"));
    assert_false(host_is_fine(g, "a.bad.test."));
    assert_false(host_is_fine(g, "10.1.1.1"));
    assert_false(host_is_fine(g, "::ffff:10.1.1.1"));
    assert_true(host_is_fine(g, "bad.test"));
    assert_true(host_is_fine(g, "xbad.test"));
    assert_true(host_is_fine(g, "evil.test.other"));
    assert_true(host_is_fine(g, "11.1.1.1"));
    proxy_guard_free(g);
}

static void with_a_list_of_names_only_those_may_be_asked(void **state)
{
    struct proxy_guard *g = guard("s3.test,*.oss.test, 10.0.0.0/8", "no.oss.test", "");

    (void)state;
    assert_true(host_is_fine(g, "s3.test"));
    assert_true(host_is_fine(g, "S3.TEST."));
    assert_true(host_is_fine(g, "b.oss.test"));
    assert_true(host_is_fine(g, "10.2.3.4"));
    assert_false(host_is_fine(g, "oss.test"));
    assert_false(host_is_fine(g, "no.oss.test"));
    assert_false(host_is_fine(g, "11.2.3.4"));
    /* A name that was admitted may have any address that is not refused for itself. */
    assert_true(address_is_fine(g, "192.0.2.1", 80));
    proxy_guard_free(g);
}

static void with_a_list_of_networks_the_address_decides(void **state)
{
    struct proxy_guard *g = guard("10.0.0.0/8", "", "");

    (void)state;
    assert_true(host_is_fine(g, "any.test"));
    assert_true(address_is_fine(g, "10.0.0.1", 80));
    assert_false(address_is_fine(g, "11.0.0.1", 80));
    assert_false(address_is_fine(g, "2001:db8::1", 80));
    proxy_guard_free(g);
}

static void connect_reaches_listed_ports_of_hosts_that_are_not_denied(void **state)
{
    struct proxy_guard *g = guard("", "evil.test", "443, 8000-8010 ,1"), *none = guard("", "", "");
    struct el_str h = EL_STR("h.test");

    (void)state;
    assert_int_equal(proxy_guard_connect(g, h, 443, NULL), EL_OK);
    assert_int_equal(proxy_guard_connect(g, h, 8000, NULL), EL_OK);
    assert_int_equal(proxy_guard_connect(g, h, 8010, NULL), EL_OK);
    assert_int_equal(proxy_guard_connect(g, h, 1, NULL), EL_OK);
    assert_int_equal(proxy_guard_connect(g, h, 8011, NULL), EL_EFORBIDDEN);
    assert_int_equal(proxy_guard_connect(g, h, 22, NULL), EL_EFORBIDDEN);
    assert_int_equal(proxy_guard_connect(g, EL_STR("evil.test"), 443, NULL), EL_EFORBIDDEN);
    assert_int_equal(proxy_guard_connect(none, h, 443, NULL), EL_EFORBIDDEN);
    proxy_guard_free(none);
    proxy_guard_free(g);
}

/* ---- configuration ---- */

static void a_list_that_cannot_be_read_is_refused_by_key_and_entry(void **state)
{
    static const struct {
        const char *allow, *deny, *ports, *key, *entry;
    } cases[] = {
        { "a.test, b:80", "", "", "proxy.allow_hosts", "b:80" },
        { "", "10.0.0.0/33", "", "proxy.deny_hosts", "10.0.0.0/33" },
        { "", "::/129", "", "proxy.deny_hosts", "::/129" },
        { "", "10.0.0.256", "", "proxy.deny_hosts", "10.0.0.256" },
        { "10.0.0", "", "", "proxy.allow_hosts", "10.0.0" },
        { "*", "", "", "proxy.allow_hosts", "*" },
        { "*.", "", "", "proxy.allow_hosts", "*." },
        { "a.*.test", "", "", "proxy.allow_hosts", "a.*.test" },
        { "http://a.test", "", "", "proxy.allow_hosts", "http://a.test" },
        { "a b", "", "", "proxy.allow_hosts", "a b" },
        { "[::1]", "", "", "proxy.allow_hosts", "[::1]" },
        { "", "", "https", "proxy.connect_ports", "https" },
        { "", "", "443,0", "proxy.connect_ports", "0" },
        { "", "", "65536", "proxy.connect_ports", "65536" },
        { "", "", "90-80", "proxy.connect_ports", "90-80" },
        { "", "", "80-", "proxy.connect_ports", "80-" },
        { "", "", "-80", "proxy.connect_ports", "-80" },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_guard *g = NULL;
        struct el_error err = { 0 };
        enum el_err rc = proxy_guard_new(cases[i].allow, cases[i].deny, cases[i].ports, &g, &err);

        if (rc != EL_ECONF || strstr(err.text, cases[i].key) == NULL ||
            strstr(err.text, cases[i].entry) == NULL)
            fail_msg("case %zu: %s", i, err.text);
        assert_null(g);
    }
}

static void a_list_has_an_end(void **state)
{
    struct el_buf text = { 0 };
    struct proxy_guard *g = NULL;
    struct el_error err = { 0 };

    (void)state;
    for (int i = 0; i < 256; i++)
        el_buf_addf(&text, "h%d.test,", i);
    proxy_guard_free(guard(text.p, "", ""));
    el_buf_addf(&text, "more.test");
    assert_int_equal(proxy_guard_new(text.p, "", "", &g, &err), EL_ECONF);
    assert_int_equal(proxy_guard_new("", text.p, "", &g, &err), EL_ECONF);
    el_buf_deinit(&text);
}

/* ---- loops ---- */

static void a_request_that_came_by_here_is_a_loop(void **state)
{
    static const struct {
        const char *via;
        bool is_loop;
    } cases[] = {
        { "1.1 node-1a2b", true },
        { "1.1 NODE-1A2B", true },
        { "1.0 other, 1.1 node-1a2b (comment)", true },
        { "HTTP/1.1 node-1a2b", true },
        { "1.1   node-1a2b", true },
        { "1.1 other", false },
        { "1.1 node-1a2b3", false },
        { "1.1 xnode-1a2b", false },
        { "1.1 other (node-1a2b)", false },
        { "node-1a2b", false },
        { "", false },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        enum el_err rc =
            proxy_guard_loop(ONE_FIELD("Via", cases[i].via), EL_STR("node-1a2b"), NULL);

        if (rc != (cases[i].is_loop ? EL_ELOOP : EL_OK))
            fail_msg("%s", cases[i].via);
    }
    assert_int_equal(proxy_guard_loop(FIELDS(FIELD("Via", "1.1 a"), FIELD("via", "1.1 node-1a2b")),
                                      EL_STR("node-1a2b"), NULL),
                     EL_ELOOP);
    assert_int_equal(proxy_guard_loop(NO_FIELDS, EL_STR("node-1a2b"), NULL), EL_OK);
}

static void a_list_of_its_own_knows_names_suffixes_and_addresses(void **state)
{
    static const char *const in[] = { "a.test", "A.Test.", "b.s.test", "10.1.2.3", "::1" };
    static const char *const out[] = { "s.test", "xa.test", "a.test.e", "11.0.0.1", "::2", "" };
    struct proxy_hosts *h = NULL;
    struct el_error err = { 0 };

    (void)state;
    assert_int_equal(proxy_hosts_new("k", "a.test, *.s.test,10.0.0.0/8,::1", &h, NULL), EL_OK);
    for (size_t i = 0; i < EL_COUNT(in); i++)
        assert_true(proxy_hosts_has(h, el_str_of(in[i])));
    for (size_t i = 0; i < EL_COUNT(out); i++)
        assert_false(proxy_hosts_has(h, el_str_of(out[i])));
    proxy_hosts_free(h);
    proxy_hosts_free(NULL);
    assert_int_equal(proxy_hosts_new("its.key", "a b", &h, &err), EL_ECONF);
    assert_non_null(strstr(err.text, "its.key"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_and_other_odd_addresses_are_never_asked),
        cmocka_unit_test(an_operator_may_allow_one_of_them_by_its_very_address),
        cmocka_unit_test(clusters_keep_their_storage_on_loopback_and_private_networks),
        cmocka_unit_test(our_own_ports_on_loopback_would_loop),
        cmocka_unit_test(our_own_ports_would_loop_wherever_they_listen),
        cmocka_unit_test(networks_of_either_kind_are_kept_apart),
        cmocka_unit_test(a_socket_of_another_family_is_no_origin),
        cmocka_unit_test(denied_names_are_refused_in_every_spelling),
        cmocka_unit_test(with_a_list_of_names_only_those_may_be_asked),
        cmocka_unit_test(with_a_list_of_networks_the_address_decides),
        cmocka_unit_test(connect_reaches_listed_ports_of_hosts_that_are_not_denied),
        cmocka_unit_test(a_list_that_cannot_be_read_is_refused_by_key_and_entry),
        cmocka_unit_test(a_list_has_an_end),
        cmocka_unit_test(a_list_of_its_own_knows_names_suffixes_and_addresses),
        cmocka_unit_test(a_request_that_came_by_here_is_a_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
