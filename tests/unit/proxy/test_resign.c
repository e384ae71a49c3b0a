/* SPDX-License-Identifier: MIT */
#include "proxy/resign.h"

#include "tests/lib/test.h"

#define ENDPOINT "ELIOP2P_STORAGE_ENDPOINT=http://s3.test"
#define ID       "ELIOP2P_STORAGE_ACCESS_KEY=AKID"
#define SECRET   "ELIOP2P_STORAGE_SECRET_KEY=hunter2"

/* With these variables; *ret_host: where "/bucket/key" would be asked for, NULL when it is not
 * signed. */
static enum el_err try_with(const char *const *env, size_t n, char **ret_host, struct el_error *err)
{
    char *name = el_strndup("elionode", 8), *argv[] = { name, NULL }, *copy[8] = { NULL };
    const struct store_signer_request req = {
        .method = EL_STR("GET"),
        .scheme = EL_STR("http"),
        .host = EL_STR("s3.test"),
        .target = EL_STR("/bucket/key"),
        .port = 80,
    };
    struct store_signer *signer = NULL;
    struct el_conf_args args = { 0 };
    struct store_signed out = { 0 };
    struct el_conf *conf = NULL;
    enum el_err rc;

    assert_true(n < EL_COUNT(copy));
    for (size_t i = 0; i < n; i++)
        copy[i] = el_strndup(env[i], strlen(env[i]));
    assert_int_equal(el_conf_load(1, argv, copy, &conf, &args, err), EL_OK);
    rc = proxy_resign_new(conf, el_clock_system(), &signer, err);
    *ret_host = NULL;
    if (signer != NULL) {
        assert_int_equal(store_signer_sign(signer, &req, &out, err), EL_OK);
        *ret_host = el_buf_take(&out.host);
        store_signed_deinit(&out);
    }
    store_signer_free(signer);
    el_conf_free(conf);
    el_conf_args_deinit(&args);
    for (size_t i = 0; i < n; i++)
        free(copy[i]);
    free(name);
    return rc;
}

static void assert_host(const char *const *env, size_t n, const char *expected)
{
    struct el_error err;
    char *host;

    if (try_with(env, n, &host, &err) != EL_OK)
        fail_msg("%s", err.text);
    if (expected == NULL)
        assert_null(host);
    else
        assert_string_equal(host, expected);
    free(host);
}

static void assert_refused(const char *const *env, size_t n, const char *part)
{
    struct el_error err;
    char *host;

    assert_int_equal(try_with(env, n, &host, &err), EL_ECONF);
    assert_null(host);
    assert_non_null(strstr(err.text, part));
    assert_null(strstr(err.text, "hunter2"));
}

#define ENV(...) \
    (const char *const[]){ __VA_ARGS__ }, EL_COUNT(((const char *const[]){ __VA_ARGS__ }))

static void without_keys_nothing_is_signed(void **state)
{
    (void)state;
    assert_host(ENV(ENDPOINT), NULL);
    assert_host(ENV(ENDPOINT, "ELIOP2P_STORAGE_REGION=eu-west-1"), NULL);
}

static void buckets_are_named_as_the_kind_of_store_has_them_unless_it_is_said(void **state)
{
    (void)state;
    assert_host(ENV(ENDPOINT, ID, SECRET), "s3.test");
    assert_host(ENV(ENDPOINT, ID, SECRET, "ELIOP2P_STORAGE_ADDRESSING=virtual"), "bucket.s3.test");
    assert_host(ENV(ENDPOINT, ID, SECRET, "ELIOP2P_STORAGE_TYPE=oss"), "bucket.s3.test");
    assert_host(
        ENV(ENDPOINT, ID, SECRET, "ELIOP2P_STORAGE_TYPE=oss", "ELIOP2P_STORAGE_ADDRESSING=path"),
        "s3.test");
}

static void keys_that_are_not_whole_or_have_no_use_are_refused(void **state)
{
    (void)state;
    assert_refused(ENV(ENDPOINT, ID), "storage.secret_key");
    assert_refused(ENV(ENDPOINT, SECRET), "storage.access_key");
    assert_refused(ENV(ENDPOINT, "ELIOP2P_STORAGE_SESSION_TOKEN=t"), "storage.access_key");
    assert_refused(ENV(ID, SECRET), "storage.endpoint");
    assert_refused(ENV(ENDPOINT, ID, SECRET, "ELIOP2P_STORAGE_TYPE=http"), "storage.type");
    assert_refused(ENV(ENDPOINT, ID, SECRET, "ELIOP2P_STORAGE_REGION=a b"), "region");
    assert_refused(ENV(ENDPOINT, ID, SECRET, "ELIOP2P_STORAGE_CREDENTIALS_FILE=/nowhere"),
                   "not both");
    assert_refused(ENV(ENDPOINT, "ELIOP2P_STORAGE_CREDENTIALS_FILE=/nowhere"), "/nowhere");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_keys_nothing_is_signed),
        cmocka_unit_test(buckets_are_named_as_the_kind_of_store_has_them_unless_it_is_said),
        cmocka_unit_test(keys_that_are_not_whole_or_have_no_use_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
