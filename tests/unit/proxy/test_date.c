/* SPDX-License-Identifier: MIT */
#include "proxy/date.h"

#include "tests/lib/test.h"

#define NOW ((int64_t)1767225600 * 1000) /* 2026-01-01 */

/* Seconds by GNU date: date -ud '1994-11-06 08:49:37' +%s */
static void the_three_forms_of_a_date_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t s;
    } cases[] = {
        { "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
        { "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
        { "Sun Nov  6 08:49:37 1994", 784111777 },
        { "Sun Nov 16 08:49:37 1994", 784975777 },
        { "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
        { "Wed, 31 Dec 1969 23:59:59 GMT", -1 },
        { "Tue, 29 Feb 2000 12:00:00 GMT", 951825600 },
        { "Thu, 29 Feb 2024 00:00:00 GMT", 1709164800 },
        { "Tue, 19 Jan 2038 03:14:08 GMT", 2147483648 },
        { "Thu, 18 Aug 2050 02:01:18 GMT", 2544400878 },
        { "Fri, 31 Dec 9999 23:59:59 GMT", 253402300799 },
        { "THU, 18 AUG 2050 02:01:18 gMT", 2544400878 },
        { "Sat, 31 Dec 2016 23:59:60 GMT", 1483228800 },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        int64_t ms = -1;

        if (!proxy_date_parse(el_str_of(cases[i].text), NOW, &ms) || ms != cases[i].s * 1000)
            fail_msg("%s: %lld", cases[i].text, (long long)ms);
    }
}

static void anything_else_is_no_date(void **state)
{
    static const char *const cases[] = {
        "",
        "0",
        "-1",
        "now",
        "Thu, 18 Aug 2050 02:01:18 UTC",
        "Thu, 18 Aug 2050 02:01:18 AEST",
        "Thu, 18 Aug 2050 02:01:18",
        "Thu, 18 Aug 2050 02:01:18 GMT ",
        " Thu, 18 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug 50 02:01:18 GMT",
        "Thu 18 Aug 2050 02:01:18 GMT",
        "Thu,18 Aug 2050 02:01:18 GMT",
        "Thu, 18  Aug  2050 02:01:18 GMT",
        "Thu, 18-Aug-2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02.01.18 GMT",
        "Thu, 18 Aug 2050 2:01:18 GMT",
        "Thu, 8 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 24:00:00 GMT",
        "Thu, 18 Aug 2050 02:60:18 GMT",
        "Thu, 18 Aug 2050 02:01:61 GMT",
        "Thu, 00 Aug 2050 02:01:18 GMT",
        "Thu, 32 Aug 2050 02:01:18 GMT",
        "Thu, 31 Sep 2050 02:01:18 GMT",
        "Wed, 30 Feb 2028 00:00:00 GMT",
        "Thu, 29 Feb 2023 00:00:00 GMT",
        "Mon, 29 Feb 2100 00:00:00 GMT",
        "Xyz, 18 Aug 2050 02:01:18 GMT",
        "Thu, 18 Foo 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02:01:18 +0000",
        "Thu, 18 Aug 20500 02:01:18 GMT",
        "Thu, -8 Aug 2050 02:01:18 GMT",
        "2050-08-18T02:01:18Z",
        "Thu Aug 18 02:01:18 2050 GMT",
        "Thu Aug 18 02:01:18 50",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT",
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        int64_t ms = 4711;

        if (proxy_date_parse(el_str_of(cases[i]), NOW, &ms))
            fail_msg("%s", cases[i]);
        assert_int_equal(ms, 4711);
    }
}

/* RFC 9110 section 5.6.7: more than 50 years ahead means the past. */
static void a_year_of_two_digits_lies_around_now(void **state)
{
    int64_t ms;

    (void)state;
    assert_true(proxy_date_parse(EL_STR("Thursday, 18-Aug-50 02:01:18 GMT"), NOW, &ms));
    assert_int_equal(ms, (int64_t)2544400878 * 1000);
    assert_true(proxy_date_parse(EL_STR("Sunday, 18-Aug-85 02:01:18 GMT"), NOW, &ms));
    assert_int_equal(ms, (int64_t)493178478 * 1000);
    /* The same text when "now" is 1960. */
    assert_true(proxy_date_parse(EL_STR("Friday, 18-Aug-50 02:01:18 GMT"), -NOW / 6, &ms));
    assert_int_equal(ms, (int64_t)-611359122 * 1000);
}

static void what_is_written_is_read_back(void **state)
{
    static const int64_t cases[] = { 0,
                                     -1000,
                                     784111777000,
                                     951782400000,
                                     951868800000,
                                     4107542399000,
                                     4107542400000,
                                     253402300799000,
                                     -62135596800000 };
    char text[PROXY_DATE_BYTES + 1];
    int64_t ms;

    (void)state;
    proxy_date_write(784111777999, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    proxy_date_write(951782400000, text);
    assert_string_equal(text, "Tue, 29 Feb 2000 00:00:00 GMT");
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        proxy_date_write(cases[i], text);
        assert_true(proxy_date_parse(el_str_of(text), NOW, &ms));
        if (ms != cases[i])
            fail_msg("%s", text);
    }
    /* What no date can say is the nearest that one can. */
    proxy_date_write(INT64_MAX, text);
    assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
    proxy_date_write(INT64_MIN, text);
    assert_string_equal(text, "Mon, 01 Jan 0001 00:00:00 GMT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_three_forms_of_a_date_are_read),
        cmocka_unit_test(anything_else_is_no_date),
        cmocka_unit_test(a_year_of_two_digits_lies_around_now),
        cmocka_unit_test(what_is_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
