/* SPDX-License-Identifier: MIT */
#include "proxy/policies.h"

#include <unistd.h>

#include "tests/lib/test.h"

struct world {
    struct el_conf *conf;
    struct proxy_policies *policies;
    struct el_error err;
};

static void read_file_and_pushed(struct world *w, const char *text, struct el_str pushed)
{
    char path[] = "/tmp/policies.XXXXXX", option[64], name[] = "elionode";
    char *argv[] = { name, option, NULL }, *env[] = { NULL };
    struct el_conf_args args;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
    (void)snprintf(option, sizeof(option), "--config=%s", path);
    if (el_conf_load_pushed(EL_CONF_ELIONODE, 2, argv, env, pushed, &w->conf, &args, &w->err) !=
        EL_OK)
        fail_msg("%s", w->err.text);
    el_conf_args_deinit(&args);
    (void)unlink(path);
}

static enum el_err compile(struct world *w, const char *text)
{
    read_file_and_pushed(w, text, EL_STR(""));
    return proxy_policies_new(w->conf, &w->policies, &w->err);
}

static void use(struct world *w, const char *text)
{
    if (compile(w, text) != EL_OK)
        fail_msg("%s", w->err.text);
}

static int set_up(void **state)
{
    *state = el_new(struct world);
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    proxy_policies_free(w->policies);
    el_conf_free(w->conf);
    free(w);
    return 0;
}

static const struct proxy_policy *of(struct world *w, const char *url)
{
    return proxy_policies_find(w->policies, el_str_of(url));
}

static void assert_prefix(struct world *w, const char *url, const char *prefix)
{
    assert_string_equal(of(w, url)->prefix, prefix);
}

static void without_sections_the_global_keys_hold(void **state)
{
    struct world *w = *state;
    const struct proxy_policy *p;

    use(w, "[auth]\nmode = trust\ngrant_ttl_s = 7\n[cache]\nfreshness_s = 3\n");
    p = of(w, "http://h/b/k");
    assert_int_equal(p->auth, EL_AUTH_TRUST);
    assert_int_equal(p->grant_ttl_ms, 7000);
    assert_int_equal(p->freshness_ms, 3000);
    assert_true(p->lifetime_ms == PROXY_POLICY_NO_LIFETIME);
    assert_int_equal(p->grant, EL_GRANT_OBJECT);
    assert_false(p->bypass);
    assert_ptr_equal(proxy_policies_trusting(w->policies, 0), p);
    assert_null(proxy_policies_trusting(w->policies, 1));
}

static void a_section_says_what_it_says_and_leaves_the_rest(void **state)
{
    struct world *w = *state;
    const struct proxy_policy *p;

    use(w, "[auth]\ngrant_ttl_s = 7\n"
           "[policy http://h/a]\nauth = trust\ngrant = prefix\ngrant_ttl = 1\nttl = 5\n"
           "[policy http://h/b]\nfreshness = 2\nbypass = yes\n"
           "[policy http://h/c]\nimmutable = yes\nauth = deny\n");
    p = of(w, "http://h/a/x");
    assert_int_equal(p->auth, EL_AUTH_TRUST);
    assert_int_equal(p->grant, EL_GRANT_PREFIX);
    assert_int_equal(p->grant_ttl_ms, 1000);
    assert_true(p->lifetime_ms == 5000);
    p = of(w, "http://h/b/x");
    assert_int_equal(p->auth, EL_AUTH_ORIGIN);
    assert_int_equal(p->grant_ttl_ms, 7000);
    assert_int_equal(p->freshness_ms, 2000);
    assert_true(p->bypass);
    p = of(w, "http://h/c/x");
    assert_true(p->lifetime_ms > (int64_t)1000 * 86400 * 365 * 10);
    assert_int_equal(p->auth, EL_AUTH_DENY);
    assert_string_equal(proxy_policies_trusting(w->policies, 0)->prefix, "http://h/a");
    assert_null(proxy_policies_trusting(w->policies, 1));
}

static void what_was_pushed_decides_where_no_section_of_the_file_fits(void **state)
{
    struct world *w = *state;

    read_file_and_pushed(w, "[policy http://h/a]\nauth = deny\n[policy http://h/b/c]\nttl = 3\n",
                         EL_STR("cache.freshness_s=4\n[policy http://h/a/deep]\nttl=5\n"
                                "[policy http://h/b]\nttl=6\n[policy http://h/b/c]\nttl=7\n"
                                "[policy http://h]\nbypass=true\n"));
    if (proxy_policies_new(w->conf, &w->policies, &w->err) != EL_OK)
        fail_msg("%s", w->err.text);
    assert_int_equal(of(w, "http://h/a/deep/1")->auth, EL_AUTH_DENY);
    assert_prefix(w, "http://h/a/deep/1", "http://h/a");
    assert_true(of(w, "http://h/b/c/1")->lifetime_ms == 3000);
    assert_true(of(w, "http://h/b/d")->lifetime_ms == 6000);
    assert_int_equal(of(w, "http://h/b/d")->auth, EL_AUTH_ORIGIN);
    assert_int_equal(of(w, "http://h/b/d")->freshness_ms, 4000);
    assert_true(of(w, "http://h/x")->bypass);
    assert_prefix(w, "http://other/x", "");
}

static void the_longest_prefix_decides_on_whole_segments(void **state)
{
    struct world *w = *state;

    use(w, "[policy http://h]\n[policy http://h/b/logs/deep]\n[policy http://h/b/logs/]\n"
           "[policy http://H:8080/b]\n[policy https://h/b]\n[policy http://[::1]:81/b]\n");
    assert_prefix(w, "http://h/", "http://h");
    assert_prefix(w, "http://h/b/log", "http://h");
    assert_prefix(w, "http://h/b/logs2", "http://h");
    assert_prefix(w, "http://h/b/logs", "http://h/b/logs/");
    assert_prefix(w, "http://h/b/logs?versionId=1", "http://h/b/logs/");
    assert_prefix(w, "http://h/b/logs/1", "http://h/b/logs/");
    assert_prefix(w, "http://h/b/logs/deep/1", "http://h/b/logs/deep");
    assert_prefix(w, "http://h/b/logs/deeper", "http://h/b/logs/");
    assert_prefix(w, "http://h/c?x=/b/logs/deep", "http://h");
    assert_prefix(w, "http://h:8080/b/logs", "http://H:8080/b");
    assert_prefix(w, "https://h/b/1", "https://h/b");
    assert_prefix(w, "http://[::1]:81/b/1", "http://[::1]:81/b");
    assert_prefix(w, "https://h/", "");
    assert_prefix(w, "http://other/b/logs", "");
}

static void no_spelling_of_a_key_escapes(void **state)
{
    struct world *w = *state;

    use(w, "[policy http://h/b/se%63ret]\nauth = deny\n");
    assert_int_equal(of(w, "http://h/b/secret/1")->auth, EL_AUTH_DENY);
    assert_int_equal(of(w, "http://h/b/%73ecret/1")->auth, EL_AUTH_DENY);
    assert_int_equal(of(w, "http://h/b/secret%2F1")->auth, EL_AUTH_DENY);
    assert_int_equal(of(w, "http://h/b%2Fsecret")->auth, EL_AUTH_DENY);
    assert_int_equal(of(w, "http://h/b/./secret/1")->auth, EL_AUTH_DENY);
    assert_int_equal(of(w, "http://h//b//secret/1")->auth, EL_AUTH_DENY);
    assert_int_equal(of(w, "http://h/b/x/../secret/1")->auth, EL_AUTH_DENY);
    assert_int_equal(of(w, "http://h/b/x/%2e%2E/secret/1")->auth, EL_AUTH_DENY);
    assert_int_equal(of(w, "http://h/b/secret/../x")->auth, EL_AUTH_DENY);
    assert_int_equal(of(w, "http://h/b/Secret/1")->auth, EL_AUTH_ORIGIN);
    assert_int_equal(of(w, "http://h/b/secret2")->auth, EL_AUTH_ORIGIN);
    assert_int_equal(of(w, "http://h/b/%7secret")->auth, EL_AUTH_ORIGIN);
}

static void a_path_of_two_readings_passes_through(void **state)
{
    struct world *w = *state;

    use(w, "[policy http://h/b/t]\nauth = trust\n");
    assert_true(of(w, "http://h/b/t/../x")->bypass);
    assert_int_equal(of(w, "http://h/b/t/../x")->auth, EL_AUTH_ORIGIN);
    assert_true(of(w, "http://h/b/../b/t/x")->bypass);
    assert_false(of(w, "http://h/b/t//x")->bypass); /* one policy either way */
    assert_false(of(w, "http://h/b/t/x/")->bypass);
    assert_false(of(w, "http://h/../../x")->bypass);
}

static void sections_that_contradict_are_refused(void **state)
{
    static const char *const texts[] = {
        "[policy http://h/b]\n[policy http://H:80/b/]\n",
        "[policy http://h/a%62]\n[policy http://h/ab]\n",
        "[policy http://h/b]\nimmutable = yes\nttl = 4\n",
        "[policy http://h/b/../c]\n",
        "[policy http://h/b//c]\n",
    };
    struct world *w = *state;

    for (size_t i = 0; i < EL_COUNT(texts); i++) {
        assert_int_equal(compile(w, texts[i]), EL_ECONF);
        assert_non_null(strstr(w->err.text, "http://"));
        el_conf_free(w->conf);
        w->conf = NULL;
    }
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(without_sections_the_global_keys_hold),
        WITH_WORLD(a_section_says_what_it_says_and_leaves_the_rest),
        WITH_WORLD(what_was_pushed_decides_where_no_section_of_the_file_fits),
        WITH_WORLD(the_longest_prefix_decides_on_whole_segments),
        WITH_WORLD(no_spelling_of_a_key_escapes),
        WITH_WORLD(a_path_of_two_readings_passes_through),
        WITH_WORLD(sections_that_contradict_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
