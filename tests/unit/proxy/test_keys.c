/* SPDX-License-Identifier: MIT */
#include "proxy/keys.h"

#include "tests/lib/test.h"

static enum el_err parse(const char *text, struct proxy_keys **ret, struct el_error *err)
{
    return proxy_keys_parse("/etc/keys", el_str_of(text), ret, err);
}

static void assert_secret(const struct proxy_keys *k, const char *id, const char *secret)
{
    struct el_str found;

    assert_true(proxy_keys_find(k, el_str_of(id), &found));
    assert_true(el_str_eq(found, el_str_of(secret)));
}

static void keys_are_found_by_their_ids(void **state)
{
    struct proxy_keys *k;
    struct el_str secret;

    (void)state;
    assert_int_equal(parse("# of the trainers\r\n"
                           "[b]\naccess_key = KEYB\nsecret_key=s=b/+\n"
                           "\n[a]\n  aws_secret_access_key = sa \n aws_access_key_id = KEYA\n"
                           "; end\n[c d]\naccess_key = KEY\nsecret_key = #;\n",
                           &k, NULL),
                     EL_OK);
    assert_int_equal(proxy_keys_count(k), 3);
    assert_secret(k, "KEYA", "sa");
    assert_secret(k, "KEYB", "s=b/+");
    assert_secret(k, "KEY", "#;");
    assert_false(proxy_keys_find(k, EL_STR("KE"), &secret));
    assert_false(proxy_keys_find(k, EL_STR("KEYAA"), &secret));
    assert_false(proxy_keys_find(k, EL_STR(""), &secret));
    proxy_keys_free(k);
}

static void a_file_without_keys_has_none(void **state)
{
    struct proxy_keys *k;
    struct el_str secret;

    (void)state;
    assert_int_equal(parse("", &k, NULL), EL_OK);
    assert_int_equal(proxy_keys_count(k), 0);
    assert_false(proxy_keys_find(k, EL_STR("KEY"), &secret));
    proxy_keys_free(k);
}

static void what_is_wrong_is_named_by_its_line_and_not_shown(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        { "access_key = K\n", "line 1 stands before" },
        { "[a]\naccess_key = K\n[b]\n", "line 3 ends a section without secret_key" },
        { "[a]\naccess_key = K\n", "without secret_key" },
        { "[a]\nsecret_key = topsecret\n", "without access_key" },
        { "[a]\naccess_key = K\naccess_key = L\n", "line 3 sets the access key again" },
        { "[a]\nsecret_key = topsecret\nsecret_key = x\n", "line 3 sets the secret again" },
        { "[a]\naccess_key = K\nsecret_key = topsecret\n[a]\n", "line 4 has a name" },
        { "[a]\naccess_key = K\nsecret_key = topsecret\n[b]\naccess_key = K\n",
          "line 5 has an access key that stands further up" },
        { "[a]\naccess_key = K\nsecret_key =\n", "line 3 has no secret" },
        { "[a]\naccess_key =\n", "line 2 has no access key" },
        { "[a]\naws_session_token = topsecret\n", "line 2 sets something" },
        { "[a\n", "line 1 is not [name]" },
        { "[]\n", "line 1 is not [name]" },
        { "[a]\ntopsecret\n", "line 2 is neither" },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_keys *k = NULL;
        struct el_error err = { 0 };

        assert_int_equal(parse(cases[i].text, &k, &err), EL_ECONF);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("\"%s\" is not in \"%s\"", cases[i].says, err.text);
        assert_non_null(strstr(err.text, "auth.keys_file /etc/keys"));
        assert_null(strstr(err.text, "topsecret"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_found_by_their_ids),
        cmocka_unit_test(a_file_without_keys_has_none),
        cmocka_unit_test(what_is_wrong_is_named_by_its_line_and_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
