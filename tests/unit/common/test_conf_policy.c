/* SPDX-License-Identifier: MIT */
#include "common/conf.h"

#include <unistd.h>

#include "common/buf.h"
#include "tests/lib/test.h"

/* *ret_conf is NULL when the text is refused; err says why. */
static void load(const char *text, struct el_conf **ret_conf, struct el_error *err)
{
    char path[] = "/tmp/conf_policy.XXXXXX", option[64], name[] = "elionode";
    char *argv[] = { name, option, NULL }, *env[] = { NULL };
    struct el_conf_args args = { 0 };
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
    (void)snprintf(option, sizeof(option), "--config=%s", path);
    *ret_conf = NULL;
    *err = (struct el_error){ 0 };
    (void)el_conf_load(2, argv, env, ret_conf, &args, err);
    el_conf_args_deinit(&args);
    (void)unlink(path);
}

static struct el_conf *load_good(const char *text)
{
    struct el_conf *conf;
    struct el_error err;

    load(text, &conf, &err);
    if (conf == NULL)
        fail_msg("%s", err.text);
    return conf;
}

static void assert_refused(const char *text, const char *part)
{
    struct el_conf *conf;
    struct el_error err;

    load(text, &conf, &err);
    assert_null(conf);
    assert_int_equal(err.code, EL_ECONF);
    if (strstr(err.text, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, err.text);
}

static void a_section_holds_what_it_sets_and_nothing_else(void **state)
{
    struct el_conf *c = load_good("[policy http://h/a]\n"
                                  "auth = trust\n"
                                  "ttl = 60 ; a minute\n"
                                  "[cache]\nfreshness_s = 3\n"
                                  "[policy http://h/b]  # no keys\n"
                                  "[policy   https://[::1]:9000/c ]\n"
                                  "bypass = yes\n"
                                  "grant = prefix\n");
    const struct el_conf_policy *p = c->policies;

    (void)state;
    assert_int_equal(c->n_policies, 3);
    assert_string_equal(p[0].prefix, "http://h/a");
    assert_true(p[0].has_auth && p[0].auth == EL_AUTH_TRUST);
    assert_true(p[0].has_ttl && p[0].ttl == 60);
    assert_false(p[0].has_bypass || p[0].has_immutable || p[0].has_freshness || p[0].has_grant);
    assert_int_equal(c->cache_freshness_s, 3);
    assert_string_equal(p[1].prefix, "http://h/b");
    assert_string_equal(p[2].prefix, "https://[::1]:9000/c");
    assert_true(p[2].has_bypass && p[2].bypass);
    assert_int_equal(p[2].grant, EL_GRANT_PREFIX);
    el_conf_free(c);
}

static void a_prefix_is_as_long_as_its_line(void **state)
{
    struct el_buf text = { 0 };
    struct el_conf *c;

    (void)state;
    el_buf_add_str(&text, EL_STR("[policy http://h/"));
    while (text.n < 190)
        el_buf_add_byte(&text, 'x');
    el_buf_add_str(&text, EL_STR("]\nbypass = on\n"));
    c = load_good(text.p);
    assert_int_equal(strlen(c->policies[0].prefix), 190 - strlen("[policy "));
    el_conf_free(c);
    el_buf_deinit(&text);
}

static void what_is_wrong_is_named_with_its_line_and_what_is_allowed(void **state)
{
    (void)state;
    assert_refused("\n[policy http://h/]\nfresh = 1\n", ":3: there is no key policy.fresh");
    assert_refused("[policy http://h/]\nfresh = 1\n", "allowed are auth, grant, grant_ttl");
    assert_refused("[policy http://h/]\nauth = none\n",
                   ":2: policy.auth = \"none\": allowed is origin, trust, deny");
    assert_refused("[policy http://h/]\nttl = 1m\n", "policy.ttl = \"1m\": allowed is 0 to ");
    assert_refused("[policy http://h/]\nttl = 1\nttl = 1\n", ":3: policy.ttl is set again");
    assert_refused("[policy http://h/]\n[policy http://h/]\n", ":2: this policy is there already");
    assert_refused("[policy]\nttl = 1\n", ":1: a policy names a prefix");
    assert_refused("[policy ]\n", ":1: a policy names a prefix");
    assert_refused("[policy h/b]\n", ":1: policy: the prefix is no URL");
    assert_refused("[policy ftp://h/b]\n", ":1: policy: the prefix is no URL");
    assert_refused("[policy http://h/b?x=1]\n", ":1: policy: a prefix has no query");
    assert_refused("[policy http://h/b\nttl = 1\n", ":1: neither [section] nor key = value");
    assert_refused("[policys http://h/b]\nttl = 1\n", "there is no key policys");
}

static void a_section_of_another_name_ends_a_policy(void **state)
{
    (void)state;
    assert_refused("[policy http://h/b]\n[cache]\nttl = 1\n", "there is no key cache.ttl");
}

static void what_is_printed_reads_back(void **state)
{
    struct el_conf *c = load_good("[policy http://h/a]\nauth = deny\n"
                                  "[policy http://h/b]\nimmutable = yes\nfreshness = 9\n");
    struct el_conf *again;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    (void)state;
    el_conf_print(c, out);
    (void)fclose(out);
    again = load_good(text);
    assert_int_equal(again->n_policies, 2);
    assert_string_equal(again->policies[1].prefix, "http://h/b");
    assert_true(again->policies[1].immutable && again->policies[1].freshness == 9);
    assert_false(again->policies[1].has_auth);
    assert_int_equal(again->policies[0].auth, EL_AUTH_DENY);
    el_conf_free(again);
    el_conf_free(c);
    free(text);
}

static void on_fixed(void *arg, const char *key)
{
    (void)arg;
    fail_msg("%s", key);
}

static void a_reload_brings_the_policies_of_the_new_file(void **state)
{
    struct el_conf *c = load_good("[policy http://h/a]\nauth = deny\n");
    struct el_conf *fresh = load_good("[policy http://h/b]\nttl = 1\n[policy http://h/c]\n");

    (void)state;
    el_conf_reload(c, fresh, on_fixed, NULL);
    assert_int_equal(c->n_policies, 2);
    assert_string_equal(c->policies[0].prefix, "http://h/b");
    assert_int_equal(c->policies[0].ttl, 1);
    el_conf_free(fresh);
    assert_string_equal(c->policies[1].prefix, "http://h/c");
    el_conf_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_section_holds_what_it_sets_and_nothing_else),
        cmocka_unit_test(a_prefix_is_as_long_as_its_line),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line_and_what_is_allowed),
        cmocka_unit_test(a_section_of_another_name_ends_a_policy),
        cmocka_unit_test(what_is_printed_reads_back),
        cmocka_unit_test(a_reload_brings_the_policies_of_the_new_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
