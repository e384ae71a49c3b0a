/* SPDX-License-Identifier: MIT */
#include "storage/answer.h"

#include "tests/lib/test.h"

static const struct store_expect etagged = {
    .asked_first = 100,
    .position = 100,
    .length = 1000,
    .etag = { "\"v1\"", 4 },
    .last_modified = { "yesterday", 9 },
};

/* An answer written as name, value, name, value, NULL. */
static enum store_verdict judge(const struct store_expect *expect, int status,
                                const char *const *text, uint64_t *ret_skip, uint64_t *ret_body,
                                enum el_err *ret_err)
{
    struct el_error err = { 0 };
    struct el_fields fields;
    enum store_verdict verdict;

    el_fields_init(&fields);
    for (; text[0] != NULL; text += 2)
        el_fields_add(&fields, el_str_of(text[0]), el_str_of(text[1]));
    verdict = store_answer_judge(expect, status, el_fields_view(&fields), ret_skip, ret_body, &err);
    *ret_err = err.code;
    el_fields_deinit(&fields);
    return verdict;
}

static void assert_fits(const struct store_expect *expect, int status, const char *const *text,
                        uint64_t skip, uint64_t body)
{
    uint64_t got_skip = 0, got_body = 0;
    enum el_err err;

    assert_int_equal(judge(expect, status, text, &got_skip, &got_body, &err), STORE_ANSWER_FITS);
    assert_int_equal(got_skip, skip);
    assert_int_equal(got_body, body);
}

static void assert_refused(const struct store_expect *expect, int status, const char *const *text,
                           enum el_err code)
{
    uint64_t skip = 77, body = 77;
    enum el_err err;

    assert_int_equal(judge(expect, status, text, &skip, &body, &err), STORE_ANSWER_BAD);
    assert_int_equal(err, code);
    assert_int_equal(skip, 77);
}

#define FIELDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void a_part_fits_when_version_offset_and_length_do(void **state)
{
    struct store_expect later = etagged;

    (void)state;
    assert_fits(&etagged, 206, FIELDS("ETag", "\"v1\"", "Content-Range", "bytes 100-199/1000"), 0,
                100);
    assert_fits(&etagged, 206, FIELDS("ETag", "\"v1\"", "Content-Range", "bytes 100-199/*"), 0,
                100);
    assert_fits(&etagged, 206, FIELDS("Content-Range", "bytes 100-199/1000"), 0, 100);
    later.position = 150;
    assert_fits(&later, 206, FIELDS("ETag", "\"v1\"", "Content-Range", "bytes 100-199/1000"), 50,
                100);
}

static void a_part_of_anything_else_is_refused(void **state)
{
    struct store_expect coded = etagged;

    (void)state;
    assert_refused(&etagged, 206, FIELDS("ETag", "\"v2\"", "Content-Range", "bytes 100-199/1000"),
                   EL_ECHANGED);
    assert_refused(&etagged, 206, FIELDS("ETag", "W/\"v1\"", "Content-Range", "bytes 100-199/1000"),
                   EL_ECHANGED);
    assert_refused(&etagged, 206, FIELDS("ETag", "\"v1\"", "Content-Range", "bytes 100-199/1001"),
                   EL_ECHANGED);
    assert_refused(&etagged, 206, FIELDS("Content-Range", "bytes 100-199/*"), EL_ECHANGED);
    assert_refused(&etagged, 206, FIELDS("ETag", "\"v1\"", "Content-Range", "bytes 101-199/1000"),
                   EL_EPROTO);
    assert_refused(&etagged, 206, FIELDS("ETag", "\"v1\"", "Content-Range", "bytes 0-99/1000"),
                   EL_EPROTO);
    assert_refused(&etagged, 206, FIELDS("ETag", "\"v1\"", "Content-Type", "multipart/byteranges"),
                   EL_EPROTO);
    assert_refused(
        &etagged, 206,
        FIELDS("ETag", "\"v1\"", "Content-Range", "bytes 100-199/1000", "Content-Encoding", "gzip"),
        EL_ECHANGED);
    coded.content_encoding = EL_STR("gzip");
    assert_fits(
        &coded, 206,
        FIELDS("ETag", "\"v1\"", "Content-Range", "bytes 100-199/1000", "Content-Encoding", "gzip"),
        0, 100);
}

static void the_rest_of_what_was_packed_on_the_way_is_packed_as_well(void **state)
{
    struct store_expect packed = etagged;

    (void)state;
    packed.length = UINT64_MAX;
    assert_fits(&packed, 206, FIELDS("ETag", "\"v1\"", "Content-Range", "bytes 100-199/1000"), 0,
                100);
    packed.content_encoding = EL_STR("gzip");
    assert_refused(&packed, 206, FIELDS("ETag", "\"v1\"", "Content-Range", "bytes 100-199/1000"),
                   EL_ECHANGED);
    assert_refused(&packed, 200, FIELDS("ETag", "\"v1\""), EL_ECHANGED);
    assert_fits(&packed, 200, FIELDS("ETag", "\"v1\"", "Content-Encoding", "gzip"), 100,
                UINT64_MAX);
    packed.length = 1000; /* it was stored like that, and not all say so of a part */
    assert_fits(&packed, 206, FIELDS("ETag", "\"v1\"", "Content-Range", "bytes 100-199/1000"), 0,
                100);
}

static void the_whole_fits_only_when_it_says_that_it_is_the_version(void **state)
{
    (void)state;
    assert_fits(&etagged, 200, FIELDS("ETag", "\"v1\"", "Content-Length", "1000"), 100, 1000);
    assert_fits(&etagged, 200, FIELDS("ETag", "\"v1\""), 100, 1000);
    assert_refused(&etagged, 200, FIELDS("Content-Length", "1000"), EL_ECHANGED);
    assert_refused(&etagged, 200, FIELDS("ETag", "\"v1\"", "Content-Length", "999"), EL_ECHANGED);
    assert_refused(&etagged, 200, FIELDS("ETag", "\"v1\"", "Content-Length", "x"), EL_EPROTO);
}

static void last_modified_counts_where_there_is_no_strong_etag(void **state)
{
    struct store_expect dated = etagged;

    (void)state;
    dated.etag = EL_STR("W/\"v1\"");
    assert_fits(&dated, 200, FIELDS("Last-Modified", "yesterday"), 100, 1000);
    assert_refused(&dated, 200, FIELDS("Last-Modified", "today", "ETag", "W/\"v1\""), EL_ECHANGED);
    assert_refused(&dated, 206,
                   FIELDS("Last-Modified", "today", "Content-Range", "bytes 100-199/1000"),
                   EL_ECHANGED);
}

static void only_what_may_pass_is_tried_again(void **state)
{
    static const int again[] = { 408, 429, 500, 502, 503, 504 };
    uint64_t skip, body;
    enum el_err err;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(again); i++) {
        assert_int_equal(judge(&etagged, again[i], FIELDS("A", "b"), &skip, &body, &err),
                         STORE_ANSWER_RETRY);
        assert_int_equal(err, EL_EORIGIN);
    }
    assert_refused(&etagged, 401, FIELDS("A", "b"), EL_EFORBIDDEN);
    assert_refused(&etagged, 404, FIELDS("A", "b"), EL_ECHANGED);
    assert_refused(&etagged, 304, FIELDS("A", "b"), EL_EORIGIN);
    assert_refused(&etagged, 501, FIELDS("A", "b"), EL_EORIGIN);
}

static void a_content_range_is_read_strictly(void **state)
{
    static const char *const bad[] = { "",
                                       "bytes",
                                       "bytes 0-4",
                                       "bytes 4-0/10",
                                       "bytes 0-10/10",
                                       "bytes -4/10",
                                       "bytes 0-/10",
                                       "bytes */10",
                                       "bytes=0-4/10",
                                       "items 0-4/10",
                                       "bytes 0-4/ten",
                                       "bytes 0-99999999999999999999/*",
                                       "bytes 0-4/10/10" };
    uint64_t first, end, total;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(bad); i++)
        assert_false(store_content_range_parse(el_str_of(bad[i]), &first, &end, &total));
    assert_true(store_content_range_parse(EL_STR("Bytes 0-4/5"), &first, &end, &total));
    assert_int_equal(first, 0);
    assert_int_equal(end, 5);
    assert_int_equal(total, 5);
    assert_true(store_content_range_parse(EL_STR("bytes 7-7/*"), &first, &end, &total));
    assert_int_equal(end, 8);
    assert_true(total == UINT64_MAX);
}

static void retry_after_is_seconds_and_bounded(void **state)
{
    struct el_field f = { EL_STR("retry-after"), EL_STR("3") };
    struct el_fieldv v = { &f, 1 };

    (void)state;
    assert_int_equal(store_retry_after_ms(v, 10000), 3000);
    f.value = EL_STR("86400");
    assert_int_equal(store_retry_after_ms(v, 10000), 10000);
    f.value = EL_STR("Wed, 21 Oct 2015 07:28:00 GMT");
    assert_int_equal(store_retry_after_ms(v, 10000), 0);
    v.n = 0;
    assert_int_equal(store_retry_after_ms(v, 10000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_fits_when_version_offset_and_length_do),
        cmocka_unit_test(a_part_of_anything_else_is_refused),
        cmocka_unit_test(the_rest_of_what_was_packed_on_the_way_is_packed_as_well),
        cmocka_unit_test(the_whole_fits_only_when_it_says_that_it_is_the_version),
        cmocka_unit_test(last_modified_counts_where_there_is_no_strong_etag),
        cmocka_unit_test(only_what_may_pass_is_tried_again),
        cmocka_unit_test(a_content_range_is_read_strictly),
        cmocka_unit_test(retry_after_is_seconds_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
