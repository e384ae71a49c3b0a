/* SPDX-License-Identifier: MIT */
#include "common/conf_push.h"

#include "tests/lib/test.h"

/* "" when nodes could take it; otherwise why not. */
static const char *verdict(const char *json)
{
    static char why[400];
    json_t *settings = json_loads(json, 0, NULL);
    struct el_error err = { 0 };
    struct el_buf lines = { 0 };
    enum el_err rc;

    assert_non_null(settings);
    rc = el_conf_push_lines(settings, &lines, &err);
    if (rc == EL_OK)
        rc = el_conf_push_check(el_buf_str(&lines), &err);
    (void)snprintf(why, sizeof(why), "%s", rc == EL_OK ? "" : err.text);
    el_buf_deinit(&lines);
    json_decref(settings);
    return why;
}

static void numbers_switches_and_words_are_taken_in_any_form(void **state)
{
    (void)state;
    assert_string_equal(verdict("{}"), "");
    assert_string_equal(verdict("{\"cache.freshness_s\": 7, \"proxy.http2\": false}"), "");
    assert_string_equal(verdict("{\"cache.freshness_s\": \"7\", \"proxy.http2\": \"true\"}"), "");
    assert_string_equal(verdict("{\"cache.eviction_target\": 0.1}"), "");
    assert_string_equal(verdict("{\"general.log_level\": \"debug\"}"), "");
}

static void what_a_node_would_refuse_is_refused(void **state)
{
    (void)state;
    assert_non_null(strstr(verdict("{\"cache.fresh\": 1}"), "no key"));
    assert_non_null(strstr(verdict("{\"cache\": 1}"), "no key"));
    assert_non_null(strstr(verdict("{\"cache.freshness_s\": -1}"), "cache.freshness_s"));
    assert_non_null(strstr(verdict("{\"cache.eviction_target\": 0.95}"), "has to be below"));
    assert_non_null(strstr(verdict("{\"general.log_level\": \"loud\"}"), "loud"));
    assert_non_null(strstr(verdict("{\"cache.freshness_s\": null}"), "neither"));
    assert_non_null(strstr(verdict("{\"service.port\": 1}"), "no key"));
}

static void what_a_node_is_and_who_may_do_what_is_not_said_from_afar(void **state)
{
    static const char *const refused[] = {
        "{\"general.node_id\": \"a\"}",     "{\"general.state_dir\": \"/\"}",
        "{\"general.insecure\": true}",     "{\"proxy.listen_port\": 1}",
        "{\"proxy.auth\": \"none\"}",       "{\"proxy.allow_hosts\": \"\"}",
        "{\"auth.mode\": \"trust\"}",       "{\"auth.grant_ttl_s\": 3600}",
        "{\"admin.tokens_file\": \"\"}",    "{\"control_plane.token\": \"a\"}",
        "{\"storage.insecure_tls\": true}", "{\"storage.secret_key\": \"a\"}"
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(refused); i++)
        assert_non_null(strstr(verdict(refused[i]), "from afar"));
}

static void a_value_cannot_bring_another_line(void **state)
{
    (void)state;
    assert_non_null(
        strstr(verdict("{\"general.log_level\": \"debug\\nauth.mode=trust\"}"), "one line"));
    assert_non_null(strstr(verdict("{\"cache.freshness_s=1\\nauth.mode\": \"trust\"}"), "no key"));
}

/* The same of a list of policies. */
static const char *verdict_of_policies(const char *json, struct el_buf *lines)
{
    static char why[400];
    json_t *policies = json_loads(json, 0, NULL);
    struct el_error err = { 0 };
    enum el_err rc;

    assert_non_null(policies);
    el_buf_clear(lines);
    rc = el_conf_push_policies(policies, lines, &err);
    if (rc == EL_OK)
        rc = el_conf_push_check(el_buf_str(lines), &err);
    (void)snprintf(why, sizeof(why), "%s", rc == EL_OK ? "" : err.text);
    json_decref(policies);
    return why;
}

static void policies_are_lines_behind_their_prefix(void **state)
{
    struct el_buf lines = { 0 };

    (void)state;
    assert_string_equal(verdict_of_policies("[{\"prefix\":\"http://h/a\",\"min_copies\":2},"
                                            "{\"prefix\":\"http://h/b\",\"settings\":{\"ttl\":5}}]",
                                            &lines),
                        "");
    assert_string_equal(lines.p, "[policy http://h/b]\nttl=5\n");
    el_buf_deinit(&lines);
}

static void policies_that_a_node_would_refuse_are_refused(void **state)
{
    struct el_buf lines = { 0 };
    static const struct {
        const char *policies, *why;
    } refused[] = {
        { "[{\"prefix\":\"b\",\"settings\":{\"ttl\":5}}]", "no URL" },
        { "[{\"prefix\":\"http://h/a]\\nttl=5\",\"settings\":{\"ttl\":5}}]", "without a prefix" },
        { "[{\"prefix\":7,\"settings\":{\"ttl\":5}}]", "without a prefix" },
        { "[{\"prefix\":\"http://h/a\",\"settings\":{\"auth\":\"trust\"}}]", "from afar" },
        { "[{\"prefix\":\"http://h/a\",\"settings\":{\"grant\":\"prefix\"}}]", "from afar" },
        { "[{\"prefix\":\"http://h/a\",\"settings\":{\"cache.freshness_s\":1}}]", "no key" },
        { "[{\"prefix\":\"http://h/a\",\"settings\":{\"[policy http://h/b]\":1}}]", "no key" },
        { "[{\"prefix\":\"http://h/a\",\"settings\":{\"ttl\":5}},"
          "{\"prefix\":\"http://h/a\",\"settings\":{\"ttl\":6}}]",
          "there already" },
        { "[{\"prefix\":\"http://h/a\",\"settings\":{\"ttl\":5,\"immutable\":true}}]",
          "exclude each other" },
        { "[{\"prefix\":\"http://h/a/../b\",\"settings\":{\"ttl\":5}}]", "a segment" },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(refused); i++)
        assert_non_null(strstr(verdict_of_policies(refused[i].policies, &lines), refused[i].why));
    el_buf_deinit(&lines);
}

static void a_prefix_with_settings_is_one_place(void **state)
{
    static const char *const prefixes[] = { "b/", "http://h/b?x", "http://h/./b", "http://h/b/..",
                                            "http://h/%2e%2e/b" };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(prefixes); i++)
        assert_int_equal(el_conf_push_check_prefix(prefixes[i], NULL), EL_ECONF);
    assert_int_equal(el_conf_push_check_prefix("http://h/b..c/.d", NULL), EL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_switches_and_words_are_taken_in_any_form),
        cmocka_unit_test(what_a_node_would_refuse_is_refused),
        cmocka_unit_test(what_a_node_is_and_who_may_do_what_is_not_said_from_afar),
        cmocka_unit_test(policies_are_lines_behind_their_prefix),
        cmocka_unit_test(policies_that_a_node_would_refuse_are_refused),
        cmocka_unit_test(a_prefix_with_settings_is_one_place),
        cmocka_unit_test(a_value_cannot_bring_another_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
