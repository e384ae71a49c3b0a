/* SPDX-License-Identifier: MIT */
#include "storage/address.h"

#include "tests/lib/test.h"

static void assert_written(bool is_virtual, const char *bucket, const char *target,
                           const char *host, const char *out, const char *in_host)
{
    struct el_buf h = { 0 }, t = { 0 };
    struct el_str named;

    store_address_write(is_virtual, EL_STR("s3.test"), el_str_of(bucket), el_str_of(target), &h, &t,
                        &named);
    assert_string_equal(h.p, host);
    assert_string_equal(t.p, out);
    assert_true(el_str_eq(named, el_str_of(in_host)));
    el_buf_deinit(&h);
    el_buf_deinit(&t);
}

static void a_bucket_is_named_in_the_path_or_in_the_host(void **state)
{
    (void)state;
    assert_written(false, "", "/bkt/k?a", "s3.test", "/bkt/k?a", "");
    assert_written(false, "bkt", "/k?a", "s3.test", "/bkt/k?a", "");
    assert_written(true, "", "/bkt/k?a", "bkt.s3.test", "/k?a", "bkt");
    assert_written(true, "bkt", "/k?a", "bkt.s3.test", "/k?a", "bkt");
    assert_written(true, "", "/bkt/", "bkt.s3.test", "/", "bkt");
    assert_written(true, "", "/bkt", "bkt.s3.test", "/", "bkt");
    assert_written(true, "", "/bkt?acl", "bkt.s3.test", "/?acl", "bkt");
    assert_written(true, "", "/a.b-c/k//l", "a.b-c.s3.test", "/k//l", "a.b-c");
    assert_written(true, "", "/", "s3.test", "/", "");
    assert_written(true, "", "/?x", "s3.test", "/?x", "");
}

static void a_bucket_that_is_no_part_of_a_host_stays_in_the_path(void **state)
{
    static const char *const targets[] = {
        "/Upper/k", "/under_score/k",
        "/a%2eb/k", "/ab/k",
        "/-abc/k",  "/abc-/k",
        "/.abc/k",  "/abc./k",
        "/a..b/k",  "/a@b/k",
        "/a:b/k",   "/a%00bc/k",
        "//k",      "/0123456789012345678901234567890123456789012345678901234567890123/k",
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(targets); i++)
        assert_written(true, "", targets[i], "s3.test", targets[i], "");
}

static void a_region_is_letters_digits_and_hyphens(void **state)
{
    (void)state;
    assert_true(store_address_is_region(EL_STR("eu-west-1")));
    assert_false(store_address_is_region(EL_STR("")));
    assert_false(store_address_is_region(EL_STR("evil.test")));
    assert_false(store_address_is_region(EL_STR("eu west")));
    assert_false(store_address_is_region(EL_STR("EU")));
    assert_false(store_address_is_region(
        EL_STR("0123456789012345678901234567890123456789012345678901234567890123")));
}

static void the_endpoint_of_another_region_has_its_name_where_the_first_had_its_own(void **state)
{
    static const struct {
        const char *endpoint, *moved;
    } cases[] = {
        { "s3.us-east-1.amazonaws.com", "s3.eu-west-1.amazonaws.com" },
        { "s3-us-east-1.amazonaws.com", "s3-eu-west-1.amazonaws.com" },
        { "bucket.s3.dualstack.us-east-1.amazonaws.com",
          "bucket.s3.dualstack.eu-west-1.amazonaws.com" },
        { "s3.amazonaws.com", "s3.eu-west-1.amazonaws.com" },
        { "us-east-1", "us-east-1" },
        { "s3.us-east-1", "s3.us-east-1" },
        { "minio.test", "minio.test" },
        { "127.0.0.1", "127.0.0.1" },
    };
    struct el_buf out = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        el_buf_clear(&out);
        store_address_move(el_str_of(cases[i].endpoint), EL_STR("us-east-1"), EL_STR("eu-west-1"),
                           &out);
        assert_string_equal(out.p, cases[i].moved);
    }
    el_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_is_named_in_the_path_or_in_the_host),
        cmocka_unit_test(a_bucket_that_is_no_part_of_a_host_stays_in_the_path),
        cmocka_unit_test(a_region_is_letters_digits_and_hyphens),
        cmocka_unit_test(the_endpoint_of_another_region_has_its_name_where_the_first_had_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
