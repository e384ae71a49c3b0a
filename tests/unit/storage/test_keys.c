/* SPDX-License-Identifier: MIT */
#include "storage/keys.h"

#include <unistd.h>

#include "tests/lib/test.h"

static void assert_secret(const struct el_secret *s, const char *expected)
{
    assert_true(el_str_eq(el_secret_get(s), el_str_of(expected)));
}

static void the_keys_of_a_profile_are_found_among_others(void **state)
{
    static const char text[] = "# of this machine\n"
                               "aws_access_key_id = before any profile\n"
                               "[other]\r\n"
                               "aws_access_key_id = AKIDOTHER\r\n"
                               "aws_secret_access_key=other/secret+=\r\n"
                               "\n"
                               "[default]\n"
                               "; aws_access_key_id = not this\n"
                               "region = eu-west-1\n"
                               "s3 =\n"
                               "    aws_access_key_id = nested\n"
                               "no equals sign\n"
                               "AWS_ACCESS_KEY_ID =  AKID  \n"
                               "aws_secret_access_key = a = b\n"
                               "aws_session_token = token";
    struct store_keys keys;

    (void)state;
    assert_int_equal(store_keys_parse(EL_STR(text), "f", EL_STR("default"), &keys, NULL), EL_OK);
    assert_secret(&keys.id, "AKID");
    assert_secret(&keys.secret, "a = b");
    assert_secret(&keys.token, "token");
    store_keys_deinit(&keys);
    assert_int_equal(store_keys_parse(EL_STR(text), "f", EL_STR("other"), &keys, NULL), EL_OK);
    assert_secret(&keys.id, "AKIDOTHER");
    assert_secret(&keys.secret, "other/secret+=");
    assert_secret(&keys.token, "");
    store_keys_deinit(&keys);
}

static void a_file_without_a_whole_key_is_refused_and_not_quoted(void **state)
{
    static const char *const wrong[] = {
        "",
        "[default]",
        "[default]\naws_access_key_id = SECRET",
        "[default]\naws_access_key_id = SECRET\naws_secret_access_key =",
        "[default]\naws_secret_access_key = SECRET",
        "[other]\naws_access_key_id = SECRET\naws_secret_access_key = SECRET",
        "[default]\naws_access_key_id = SECRET\naws_access_key_id = SECRET",
    };
    struct store_keys keys = { 0 };
    struct el_error err;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(wrong); i++) {
        assert_int_equal(
            store_keys_parse(el_str_of(wrong[i]), "the/file", EL_STR("default"), &keys, &err),
            EL_ECONF);
        assert_non_null(strstr(err.text, "the/file"));
        assert_null(strstr(err.text, "SECRET"));
        assert_int_equal(keys.id.n, 0);
    }
}

static void the_file_is_read_and_one_that_is_not_there_is_named(void **state)
{
    char path[] = "/tmp/test_keys-XXXXXX";
    int fd = mkstemp(path);
    const char text[] = "[p]\naws_access_key_id=A\naws_secret_access_key=B\n";
    struct store_keys keys;
    struct el_error err;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    (void)close(fd);
    assert_int_equal(store_keys_read("keys", path, EL_STR("p"), &keys, NULL), EL_OK);
    assert_secret(&keys.secret, "B");
    store_keys_deinit(&keys);
    (void)unlink(path);
    assert_int_equal(store_keys_read("keys", path, EL_STR("p"), &keys, &err), EL_ECONF);
    assert_non_null(strstr(err.text, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_keys_of_a_profile_are_found_among_others),
        cmocka_unit_test(a_file_without_a_whole_key_is_refused_and_not_quoted),
        cmocka_unit_test(the_file_is_read_and_one_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
