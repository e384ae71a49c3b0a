/* SPDX-License-Identifier: MIT */
#include "common/err.h"

#include <errno.h>

#include "tests/lib/test.h"

static const enum el_err codes[] = {
#define EL_ERR(symbol, code, status, text) symbol,
#include "common/err_list.h"
#undef EL_ERR
};

static void an_error_has_its_code_name_text_and_status(void **state)
{
    (void)state;
    assert_int_equal(EL_ETIMEOUT, 2003);
    assert_string_equal(el_err_name(EL_ETIMEOUT), "EL_ETIMEOUT");
    assert_string_equal(el_err_text(EL_ETIMEOUT), "timed out");
    assert_int_equal(el_err_status(EL_ETIMEOUT), 504);
    assert_int_equal(EL_OK, 0);
    assert_string_equal(el_err_name(EL_OK), "EL_OK");
    assert_int_equal(el_err_status(EL_OK), 200);
}

static void no_two_errors_share_a_code_or_a_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < EL_COUNT(codes); i++) {
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(codes[i], codes[k]);
            assert_string_not_equal(el_err_name(codes[i]), el_err_name(codes[k]));
        }
    }
}

static void every_error_can_be_answered_to_a_client(void **state)
{
    (void)state;
    for (size_t i = 0; i < EL_COUNT(codes); i++) {
        assert_in_range(el_err_status(codes[i]), 400, 599);
        assert_true(strlen(el_err_text(codes[i])) > 0);
        assert_null(strpbrk(el_err_text(codes[i]), "\"\\\r\n"));
    }
}

static void failing_fills_the_detail_over_what_was_there(void **state)
{
    struct el_error err = { .code = EL_EBUSY, .sys = EPERM, .text = "old" };

    (void)state;
    assert_int_equal(el_fail(&err, EL_ECONF, 0, "line %d of %s", 3, "a.conf"), EL_ECONF);
    assert_int_equal(err.code, EL_ECONF);
    assert_int_equal(err.sys, 0);
    assert_string_equal(err.text, "line 3 of a.conf");
}

static void the_text_of_errno_follows(void **state)
{
    struct el_error err;

    (void)state;
    assert_int_equal(el_fail(&err, EL_ESYS, ENOENT, "open %s", "x"), EL_ESYS);
    assert_int_equal(err.sys, ENOENT);
    assert_string_equal(err.text, "open x: No such file or directory");
}

static void nobody_has_to_want_the_detail(void **state)
{
    (void)state;
    assert_int_equal(el_fail(NULL, EL_EHASH, EIO, "%s", "unheard"), EL_EHASH);
}

static void a_long_text_is_cut_and_terminated(void **state)
{
    struct el_error err;

    (void)state;
    memset(&err, 'z', sizeof(err));
    (void)el_fail(&err, EL_ESYS, EIO, "%0500d", 1);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);

    /* Here the text fits exactly but for the part about errno. */
    (void)el_fail(&err, EL_ESYS, EIO, "%0230d", 1);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_int_equal(err.text[sizeof(err.text) - 2], ':');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_has_its_code_name_text_and_status),
        cmocka_unit_test(no_two_errors_share_a_code_or_a_name),
        cmocka_unit_test(every_error_can_be_answered_to_a_client),
        cmocka_unit_test(failing_fills_the_detail_over_what_was_there),
        cmocka_unit_test(the_text_of_errno_follows),
        cmocka_unit_test(nobody_has_to_want_the_detail),
        cmocka_unit_test(a_long_text_is_cut_and_terminated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
