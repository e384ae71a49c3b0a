/* SPDX-License-Identifier: MIT */
#include "proxy/notice.h"

#include <stdio.h>

#include "tests/lib/test.h"

static void a_subject_is_mentioned_once_a_second(void **state)
{
    struct proxy_notices n = { 0 };
    struct el_str host = EL_STR("o.test:80");

    (void)state;
    assert_true(proxy_notice_due(&n, host, 5000));
    assert_false(proxy_notice_due(&n, host, 5000));
    assert_false(proxy_notice_due(&n, host, 5999));
    assert_true(proxy_notice_due(&n, host, 6000));
    assert_false(proxy_notice_due(&n, host, 6001));
}

static void however_many_subjects_there_are_the_lines_are_bounded(void **state)
{
    struct proxy_notices n = { 0 };
    unsigned lines = 0;
    char name[32];

    (void)state;
    for (int i = 0; i < 10000; i++) {
        int len = snprintf(name, sizeof(name), "h%d:80", i);

        lines += proxy_notice_due(&n, (struct el_str){ name, (size_t)len }, 5000);
    }
    assert_in_range(lines, PROXY_NOTICES / 2, PROXY_NOTICES); /* and they do not all share one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subject_is_mentioned_once_a_second),
        cmocka_unit_test(however_many_subjects_there_are_the_lines_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
