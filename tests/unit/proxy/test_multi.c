/* SPDX-License-Identifier: MIT */
#include "proxy/multi.h"

#include "tests/lib/fields.h"
#include "tests/lib/test.h"

#define BOUNDARY "0123456789abcdef0123456789abcdef"

static const struct proxy_parts parts = { 2, { { 0, 2 }, { 500, 503 } } };

static void the_texts_and_the_parts_are_as_long_as_was_said(void **state)
{
    struct proxy_multi *m = proxy_multi_new(&parts, 1000, EL_STR("text/plain"), BOUNDARY);
    uint64_t first = 0, end = 0, bytes = 0;

    (void)state;
    assert_true(proxy_multi_next(m, &first, &end));
    assert_int_equal(first, 0);
    assert_int_equal(end, 2);
    assert_true(
        el_str_eq(el_buf_str(&m->text), EL_STR("\r\n--" BOUNDARY "\r\nContent-Type: text/plain\r\n"
                                               "Content-Range: bytes 0-1/1000\r\n\r\n")));
    bytes += m->text.n + end - first;
    assert_true(proxy_multi_next(m, &first, &end));
    assert_int_equal(first, 500);
    bytes += m->text.n + end - first;
    assert_false(proxy_multi_next(m, &first, &end));
    assert_true(el_str_eq(el_buf_str(&m->text), EL_STR("\r\n--" BOUNDARY "--\r\n")));
    bytes += m->text.n;
    assert_int_equal(proxy_multi_length(m), bytes);
    /* It stands there once, however often it is asked for. */
    m->text_sent = m->text.n;
    assert_false(proxy_multi_next(m, &first, &end));
    assert_int_equal(m->text_sent, m->text.n);
    proxy_multi_free(m);
}

static void the_head_has_the_type_of_the_parts_together(void **state)
{
    struct proxy_multi *m = proxy_multi_new(&parts, 1000, EL_STR(""), BOUNDARY);
    struct el_buf out = { 0 };
    uint64_t first, end;

    (void)state;
    proxy_multi_write_fields(m,
                             FIELDS(FIELD("ETag", "\"a\""), FIELD("content-type", "text/plain"),
                                    FIELD("Content-Range", "x")),
                             &out);
    assert_true(el_str_eq(
        el_buf_str(&out),
        EL_STR("ETag: \"a\"\r\nContent-Type: multipart/byteranges; boundary=" BOUNDARY "\r\n")));
    assert_true(proxy_multi_next(m, &first, &end));
    assert_true(el_str_eq(el_buf_str(&m->text), EL_STR("\r\n--" BOUNDARY "\r\n"
                                                       "Content-Range: bytes 0-1/1000\r\n\r\n")));
    el_buf_deinit(&out);
    proxy_multi_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_texts_and_the_parts_are_as_long_as_was_said),
        cmocka_unit_test(the_head_has_the_type_of_the_parts_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
