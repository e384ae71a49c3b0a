/* SPDX-License-Identifier: MIT */
#include "controlplane/access.h"

#include "tests/lib/test.h"

static struct el_fieldv one_field(struct el_field *f, const char *name, const char *value)
{
    *f = (struct el_field){ el_str_of(name), el_str_of(value) };
    return (struct el_fieldv){ f, 1 };
}

static void assert_bad_line(const char *line)
{
    struct cp_file_tokens *t = NULL;
    struct el_error err = { 0 };

    assert_int_equal(cp_file_tokens_parse("f", el_str_of(line), &t, &err), EL_ECONF);
    assert_non_null(strstr(err.text, "f:1:"));
    assert_null(strstr(err.text, "secret"));
}

static void a_line_that_is_no_token_and_role_is_named_and_not_shown(void **state)
{
    (void)state;
    assert_bad_line("secret-secret-secret");
    assert_bad_line("secret-secret-secret king");
    assert_bad_line("secret reader");
    assert_bad_line("secret-secret-secret! reader");
    assert_bad_line("sha256:secret reader");
    assert_bad_line("reader");
}

static void comments_and_blank_lines_say_nothing(void **state)
{
    struct cp_file_tokens *t;

    (void)state;
    assert_int_equal(
        cp_file_tokens_parse("f", EL_STR("# a comment\r\n\n  0123456789abcdef \t reader\r\n"), &t,
                             NULL),
        EL_OK);
    assert_int_equal(cp_file_tokens_count(t), 1);
    cp_file_tokens_free(t);
}

static bool has_bearer(const char *value)
{
    struct el_str token;
    struct el_field f;

    return cp_access_bearer(one_field(&f, "authorization", value), &token);
}

static void a_bearer_token_is_one_word_of_its_characters(void **state)
{
    (void)state;
    assert_true(has_bearer("Bearer abc.DEF-_~+/1=="));
    assert_true(has_bearer("bearer abc"));
    assert_false(has_bearer("Bearer "));
    assert_false(has_bearer("Bearer a b"));
    assert_false(has_bearer("Bearer =a"));
    assert_false(has_bearer("Basic abc"));
    assert_false(has_bearer("Bearer"));
}

static void roles_may_what_they_may(void **state)
{
    const struct cp_who nobody = { 0 };
    const struct cp_who open = { .is_open = true };
    const struct cp_who node = { .is_known = true, .role = CP_ROLE_NODE, .name = "a" };
    const struct cp_who any_node = { .is_known = true, .role = CP_ROLE_NODE };
    const struct cp_who reader = { .is_known = true, .role = CP_ROLE_READER, .name = "a" };
    const struct cp_who ops = { .is_known = true, .role = CP_ROLE_OPERATOR };

    (void)state;
    assert_true(cp_access_may(&nobody, CP_NEED_NOTHING, NULL));
    assert_false(cp_access_may(&nobody, CP_NEED_NODE, NULL));
    assert_true(cp_access_may(&open, CP_NEED_OPERATOR, NULL));
    assert_true(cp_access_may(&node, CP_NEED_OWN_NODE, "a"));
    assert_false(cp_access_may(&node, CP_NEED_OWN_NODE, "b"));
    assert_false(cp_access_may(&any_node, CP_NEED_OWN_NODE, "a"));
    assert_false(cp_access_may(&any_node, CP_NEED_OWN_NODE, NULL));
    assert_false(cp_access_may(&reader, CP_NEED_OWN_NODE, "a"));
    assert_true(cp_access_may(&ops, CP_NEED_OWN_NODE, "a"));
    assert_true(cp_access_may(&reader, CP_NEED_READER, NULL));
    assert_false(cp_access_may(&node, CP_NEED_READER, NULL));
    assert_false(cp_access_may(&reader, CP_NEED_OPERATOR, NULL));
    assert_true(cp_access_is_for(&any_node, "a"));
    assert_false(cp_access_is_for(&node, "b"));
    assert_false(cp_access_is_for(&reader, "a"));
    assert_false(cp_access_is_for(&nobody, "a"));
}

static bool is_foreign(const char *field, const char *value, const char *allowed)
{
    struct el_field f;

    return cp_access_is_foreign_page(one_field(&f, field, value), allowed);
}

static void pages_of_other_hosts_are_told_by_what_browsers_say(void **state)
{
    (void)state;
    assert_false(is_foreign("Accept", "*/*", ""));
    assert_true(is_foreign("Origin", "https://evil.example", ""));
    assert_true(is_foreign("Origin", "null", ""));
    assert_true(is_foreign("Origin", "http://localhost.evil.example", ""));
    assert_true(is_foreign("Origin", "http://127.0.0.1.evil.example:8081", ""));
    assert_false(is_foreign("Origin", "http://localhost:8081", ""));
    assert_false(is_foreign("Origin", "https://[::1]", ""));
    assert_false(is_foreign("Origin", "https://a.example", "https://b.example, https://a.example"));
    assert_true(is_foreign("Origin", "https://a.example.evil", "https://a.example"));
    assert_true(is_foreign("Sec-Fetch-Site", "cross-site", ""));
    assert_false(is_foreign("Sec-Fetch-Site", "same-origin", ""));
}

static bool is_own(const char *origin, const char *host)
{
    struct el_field f;

    return cp_access_is_own_page(one_field(&f, "Origin", origin), el_str_of(host));
}

static void its_own_page_comes_from_the_host_that_is_asked(void **state)
{
    (void)state;
    assert_true(is_own("http://cp.example:8081", "cp.example:8081"));
    assert_true(is_own("https://CP.example", "cp.example"));
    assert_false(is_own("http://cp.example:8081", "cp.example:8082"));
    assert_false(is_own("http://evil.example", "cp.example"));
    assert_false(is_own("null", "null"));
    assert_false(is_own("http://", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_that_is_no_token_and_role_is_named_and_not_shown),
        cmocka_unit_test(comments_and_blank_lines_say_nothing),
        cmocka_unit_test(a_bearer_token_is_one_word_of_its_characters),
        cmocka_unit_test(roles_may_what_they_may),
        cmocka_unit_test(pages_of_other_hosts_are_told_by_what_browsers_say),
        cmocka_unit_test(its_own_page_comes_from_the_host_that_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
