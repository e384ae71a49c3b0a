/* SPDX-License-Identifier: MIT */
#include "proxy/signature.h"

#include "tests/lib/test.h"

#define SIGNED_MS ((int64_t)1369353600000) /* 2013-05-24T00:00:00Z */
#define LASTS_MS  ((int64_t)900000)

static struct proxy_signature read_all(const char *target, const struct el_field *fields, size_t n)
{
    struct proxy_signature c;

    proxy_signature_read(el_str_of(target), (struct el_fieldv){ fields, n }, SIGNED_MS, &c);
    return c;
}

static struct proxy_signature read_target(const char *target)
{
    return read_all(target, NULL, 0);
}

static struct proxy_signature read_header(const char *authorization, const char *date_name,
                                          const char *date)
{
    const struct el_field fields[] = {
        { EL_STR("Authorization"), el_str_of(authorization) },
        { el_str_of(date_name), el_str_of(date) },
    };

    return read_all("/b/k", fields, date == NULL ? 1 : 2);
}

static void assert_known(struct proxy_signature c, const char *key_id, int64_t until_ms)
{
    assert_true(c.is_known);
    assert_true(el_str_eq(c.key_id, el_str_of(key_id)));
    assert_true(c.until_ms == until_ms);
}

#define V4_HEADER                                                  \
    "AWS4-HMAC-SHA256 Credential=KEY/20130524/r/s3/aws4_request, " \
    "SignedHeaders=host;x-amz-date, Signature=0123"

static void a_signed_header_lasts_fifteen_minutes(void **state)
{
    (void)state;
    assert_known(read_header(V4_HEADER, "X-Amz-Date", "20130524T000000Z"), "KEY",
                 SIGNED_MS + LASTS_MS);
    assert_known(read_header(V4_HEADER, "Date", "Fri, 24 May 2013 00:00:00 GMT"), "KEY",
                 SIGNED_MS + LASTS_MS);
    assert_known(read_header("AWS KEY:c2ln", "Date", "Fri, 24 May 2013 00:00:00 GMT"), "KEY",
                 SIGNED_MS + LASTS_MS);
    assert_known(read_header("OSS KEY:c2ln", "Date", "Fri, 24 May 2013 00:00:00 GMT"), "KEY",
                 SIGNED_MS + LASTS_MS);
    assert_known(read_header("OSS4-HMAC-SHA256 Credential=KEY/20130524/r/oss/aliyun_v4_request, "
                             "Signature=01",
                             "x-oss-date", "20130524T000000Z"),
                 "KEY", SIGNED_MS + LASTS_MS);
}

static void a_presigned_url_lasts_as_long_as_it_says(void **state)
{
    (void)state;
    assert_known(read_target("/b/k?X-Amz-Credential=KEY%2F20130524%2Fr%2Fs3%2Faws4_request"
                             "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=60&X-Amz-Signature=01"),
                 "KEY", SIGNED_MS + 60000);
    assert_known(read_target("/b/k?x-oss-credential=KEY/20130524&x-oss-date=20130524T000000Z"
                             "&x-oss-expires=7&x-oss-signature=01"),
                 "KEY", SIGNED_MS + 7000);
    assert_known(read_target("/b/k?AWSAccessKeyId=KEY&Expires=1369353601&Signature=a"), "KEY",
                 SIGNED_MS + 1000);
    assert_known(read_target("/k?OSSAccessKeyId=KEY&Expires=1369353601&Signature=a"), "KEY",
                 SIGNED_MS + 1000);
}

static void what_cannot_be_read_in_one_way_only_is_not_known(void **state)
{
    static const char *const targets[] = {
        "/b/k",
        "/b/k?AWSAccessKeyId=KEY&Signature=a",
        "/b/k?AWSAccessKeyId=KEY&Expires=1369353601",
        "/b/k?X-Amz-Credential=KEY%2F1&X-Amz-Date=20130524T000000Z&X-Amz-Expires=60",
        "/b/k?AWSAccessKeyId=KEY&Expires=-1&Signature=a",
        "/b/k?AWSAccessKeyId=&Expires=1369353601&Signature=a",
        "/b/k?AWSAccessKeyId=KEY&Expires=1&expires=1369353601&Signature=a",
        "/b/k?AWSAccessKeyId=KEY&OSSAccessKeyId=KEY&Expires=1369353601&Signature=a",
        "/b/k?X-Amz-Credential=KEY%2F1&X-Amz-Date=20130524T000000Z&X-Amz-Expires=604801"
        "&X-Amz-Signature=1",
        "/b/k?X-Amz-Credential=KEY%2F1&X-Amz-Date=20130524T000000Z&X-Amz-Signature=1",
        "/b/k?X-Amz-Credential=KEY%2F1&X-Amz-Date=20131324T000000Z&X-Amz-Expires=1"
        "&X-Amz-Signature=1",
        "/b/k?X-Amz-Credential=KEY%2F1&X-Amz-Date=20130024T000000Z&X-Amz-Expires=1"
        "&X-Amz-Signature=1",
        ("/b/k?X-Amz-Credential=KEY%2F1&X-Amz-Date=20130524T000000Z&X-Amz-Expires=1"
         "&X-Amz-Expires=9&X-Amz-Signature=1"),
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(targets); i++)
        assert_false(read_target(targets[i]).is_known);
    assert_false(read_header(V4_HEADER, "X-Amz-Date", NULL).is_known);
    assert_false(read_header(V4_HEADER, "X-Amz-Date", "yesterday").is_known);
    assert_false(read_header("Bearer token", "Date", "Fri, 24 May 2013 00:00:00 GMT").is_known);
    assert_false(read_header("Basic dTpw", "Date", "Fri, 24 May 2013 00:00:00 GMT").is_known);
    assert_false(read_header("AWS4-HMAC-SHA256 Credential=A/1, Credential=B/1", "X-Amz-Date",
                             "20130524T000000Z")
                     .is_known);
    assert_false(read_header("", "Date", "Fri, 24 May 2013 00:00:00 GMT").is_known);
}

static void a_signature_in_both_places_is_not_known(void **state)
{
    const struct el_field fields[] = {
        { EL_STR("Authorization"), EL_STR("AWS KEY:c2ln") },
        { EL_STR("Date"), EL_STR("Fri, 24 May 2013 00:00:00 GMT") },
        { EL_STR("Authorization"), EL_STR("AWS KEY:c2ln") },
    };

    (void)state;
    assert_false(
        read_all("/b/k?AWSAccessKeyId=KEY&Expires=1369353601&Signature=a", fields, 2).is_known);
    assert_true(read_all("/b/k", fields, 2).is_known);
    assert_false(read_all("/b/k", fields, 3).is_known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signed_header_lasts_fifteen_minutes),
        cmocka_unit_test(a_presigned_url_lasts_as_long_as_it_says),
        cmocka_unit_test(what_cannot_be_read_in_one_way_only_is_not_known),
        cmocka_unit_test(a_signature_in_both_places_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
