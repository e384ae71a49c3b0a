/* SPDX-License-Identifier: MIT */
#include "proxy/range.h"

#include "tests/lib/fields.h"
#include "tests/lib/test.h"

#define FAR ((uint64_t)INT64_MAX - 1) /* the last position that is told from others */

static struct proxy_range range_of(const char *value)
{
    struct proxy_range r;

    proxy_range_parse(ONE_FIELD("Range", value), &r);
    return r;
}

/* ---- Range ---- */

static void single_ranges_of_bytes_are_understood(void **state)
{
    static const struct {
        const char *value;
        struct proxy_range r;
    } cases[] = {
        { "bytes=0-0", { PROXY_RANGE_BYTES, 0, 1, 0 } },
        { "bytes=5-9", { PROXY_RANGE_BYTES, 5, 10, 0 } },
        { "BYTES=5-9", { PROXY_RANGE_BYTES, 5, 10, 0 } },
        { "bytes=007-09", { PROXY_RANGE_BYTES, 7, 10, 0 } },
        { "bytes=5-", { PROXY_RANGE_OPEN, 5, 0, 0 } },
        { "bytes=-5", { PROXY_RANGE_SUFFIX, 0, 0, 5 } },
        { "bytes=-0", { PROXY_RANGE_SUFFIX, 0, 0, 0 } },
        { "bytes= 5-9 ", { PROXY_RANGE_BYTES, 5, 10, 0 } },
        { "bytes=,5-9, ,", { PROXY_RANGE_BYTES, 5, 10, 0 } },
        { "bytes=0-99999999999999999999999", { PROXY_RANGE_BYTES, 0, FAR + 1, 0 } },
        { "bytes=99999999999999999999999-", { PROXY_RANGE_OPEN, FAR, 0, 0 } },
        { "bytes=-99999999999999999999999", { PROXY_RANGE_SUFFIX, 0, 0, FAR } },
        { "bytes=18446744073709551615-18446744073709551616",
          { PROXY_RANGE_BYTES, FAR, FAR + 1, 0 } },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_range r = range_of(cases[i].value);

        if (r.kind != cases[i].r.kind || r.first != cases[i].r.first || r.end != cases[i].r.end ||
            r.suffix != cases[i].r.suffix)
            fail_msg("%s", cases[i].value);
    }
}

static void two_ranges_are_the_same_when_their_words_are(void **state)
{
    static const char *const values[] = { "",         "bytes=5-9", "bytes=5-8", "bytes=4-9",
                                          "bytes=5-", "bytes=6-",  "bytes=-5",  "bytes=-6" };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(values); i++) {
        for (size_t k = 0; k < EL_COUNT(values); k++) {
            struct proxy_range a = range_of(values[i]), b = range_of(values[k]);

            assert_true(proxy_range_is_same(&a, &b) == (i == k));
        }
    }
}

static void several_ranges_become_parts_that_have_no_byte_twice(void **state)
{
    static const struct {
        const char *value, *parts;
    } cases[] = {
        { "bytes=0-9,1000-1009", "0-10 1000-1010 " },
        { "bytes=1000-1009,0-9", "1000-1010 0-10 " },
        { "bytes=0-9,5-19", "0-20 " },
        { "bytes=0-9,100-109", "0-110 " }, /* nearer than the text between them is long */
        { "bytes=0-9,9000-9009,-10", "0-10 9000-9010 9990-10000 " },
        { "bytes=0-9,5000-5009,20000-30000", "0-10 5000-5010 " },
        { "bytes=0-9,2000-2009,4000-4009,5-4004", "0-4010 " },
        { "bytes=4000-4009,2000-2009,0-9,1500-3999", "1500-4010 0-10 " },
        { "bytes=20000-,-0", "" },
        { "bytes=0-,0-,0-,-1", "0-10000 " },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_parts parts;
        struct el_buf text = { 0 };

        assert_true(proxy_range_parts(ONE_FIELD("Range", cases[i].value), 10000, &parts));
        el_buf_add_str(&text, EL_STR(""));
        for (size_t k = 0; k < parts.n; k++)
            el_buf_addf(&text, "%llu-%llu ", (unsigned long long)parts.v[k].first,
                        (unsigned long long)parts.v[k].end);
        if (!el_str_eq(el_buf_str(&text), el_str_of(cases[i].parts)))
            fail_msg("%s: %.*s", cases[i].value, (int)text.n, text.p);
        el_buf_deinit(&text);
    }
}

static void too_many_parts_are_none(void **state)
{
    struct proxy_parts parts;
    struct el_buf value = { 0 };

    (void)state;
    el_buf_add_str(&value, EL_STR("bytes=0-0"));
    for (unsigned i = 1; i < PROXY_RANGE_PARTS; i++)
        el_buf_addf(&value, ",%u-%u", i * 1000, i * 1000);
    assert_true(proxy_range_parts(FIELDS({ EL_STR("Range"), el_buf_str(&value) }), 99999, &parts));
    assert_int_equal(parts.n, PROXY_RANGE_PARTS);
    el_buf_add_str(&value, EL_STR(",50000-50000"));
    assert_false(proxy_range_parts(FIELDS({ EL_STR("Range"), el_buf_str(&value) }), 99999, &parts));
    el_buf_deinit(&value);
}

/* RFC 9110 section 14.2: an invalid or unknown one asks for the whole. */
static void what_is_no_range_of_bytes_is_ignored(void **state)
{
    static const char *const cases[] = {
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=5",
        "bytes=9-5",
        "bytes=a-b",
        "bytes=0x5-9",
        "bytes=5-9-",
        "bytes=--5",
        "bytes=+5-9",
        "bytes=5 - 9",
        "bytes=5- 9",
        "bytes=-5-",
        "items=0-5",
        "bytes 5-9",
        "bytes:5-9",
        " bytes =5-9",
        "bytes=0-1,x",
        "bytes=x,0-1",
        "bytes=0-1,9-5",
        "bytes=5-9;0-1",
        "5-9",
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        if (range_of(cases[i]).kind != PROXY_RANGE_NONE)
            fail_msg("%s", cases[i]);
    }
}

static void several_ranges_are_told_from_one(void **state)
{
    struct proxy_range r;

    (void)state;
    assert_int_equal(range_of("bytes=0-1,5-6").kind, PROXY_RANGE_MULTI);
    assert_int_equal(range_of("bytes=0-1 , -6 ,7-").kind, PROXY_RANGE_MULTI);
    /* Two fields are no list: Range is not one (RFC 9110 section 14.2). */
    proxy_range_parse(FIELDS(FIELD("Range", "bytes=0-1"), FIELD("Range", "bytes=5-6")), &r);
    assert_int_equal(r.kind, PROXY_RANGE_NONE);
    proxy_range_parse(NO_FIELDS, &r);
    assert_int_equal(r.kind, PROXY_RANGE_NONE);
}

static void a_range_is_held_against_the_length(void **state)
{
    static const struct {
        const char *value;
        uint64_t length, first, end; /* end 0: nothing of it is there */
    } cases[] = {
        { "bytes=0-0", 10, 0, 1 },
        { "bytes=0-9", 10, 0, 10 },
        { "bytes=0-99", 10, 0, 10 },
        { "bytes=9-9", 10, 9, 10 },
        { "bytes=10-10", 10, 0, 0 },
        { "bytes=11-", 10, 0, 0 },
        { "bytes=10-", 10, 0, 0 },
        { "bytes=9-", 10, 9, 10 },
        { "bytes=0-", 10, 0, 10 },
        { "bytes=-1", 10, 9, 10 },
        { "bytes=-10", 10, 0, 10 },
        { "bytes=-11", 10, 0, 10 },
        { "bytes=-0", 10, 0, 0 },
        { "bytes=0-", 0, 0, 0 },
        { "bytes=-5", 0, 0, 0 },
        { "bytes=0-0", 0, 0, 0 },
        { "bytes=0-", INT64_MAX, 0, INT64_MAX },
        { "bytes=99999999999999999999-", 10, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_range r = range_of(cases[i].value);
        uint64_t first = 0, end = 0;
        bool is_there = proxy_range_resolve(&r, cases[i].length, &first, &end);

        if (is_there != (cases[i].end > 0) || first != cases[i].first || end != cases[i].end)
            fail_msg("%s of %zu", cases[i].value, (size_t)cases[i].length);
    }
}

static void a_range_is_moved_out_to_borders_and_written(void **state)
{
    static const struct {
        const char *value, *wide;
    } cases[] = {
        { "bytes=0-0", "bytes=0-99" },
        { "bytes=99-99", "bytes=0-99" },
        { "bytes=99-100", "bytes=0-199" },
        { "bytes=100-199", "bytes=100-199" },
        { "bytes=150-", "bytes=100-" },
        { "bytes=-7", "bytes=-7" },
        { "bytes=0-99999999999999999999", "bytes=0-9223372036854775806" },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_range r = range_of(cases[i].value), wide;
        struct el_buf out = { 0 };

        proxy_range_widen(&r, 100, CACHE_UNKNOWN_LENGTH, &wide);
        proxy_range_write(&wide, &out);
        assert_string_equal(out.p, cases[i].wide);
        el_buf_deinit(&out);
    }
}

static void a_range_that_is_moved_out_ends_where_the_object_ends(void **state)
{
    static const struct {
        const char *value;
        uint64_t length;
        const char *wide;
    } cases[] = {
        { "bytes=120-130", 150, "bytes=100-149" }, { "bytes=120-130", 200, "bytes=100-199" },
        { "bytes=120-130", 201, "bytes=100-199" }, { "bytes=120-990", 150, "bytes=100-149" },
        { "bytes=149-149", 150, "bytes=100-149" }, { "bytes=120-", 150, "bytes=100-" },
        { "bytes=-7", 150, "bytes=-7" },           { "bytes=150-160", 150, "bytes=100-199" },
        { "bytes=0-0", 0, "bytes=0-99" },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_range r = range_of(cases[i].value), wide;
        struct el_buf out = { 0 };

        proxy_range_widen(&r, 100, cases[i].length, &wide);
        proxy_range_write(&wide, &out);
        assert_string_equal(out.p, cases[i].wide);
        el_buf_deinit(&out);
    }
}

/* ---- Content-Range ---- */

static void content_range_is_read_strictly(void **state)
{
    static const struct {
        const char *value;
        uint64_t first, end, total;
    } fine[] = {
        { "bytes 0-0/1", 0, 1, 1 },
        { "Bytes 5-9/100", 5, 10, 100 },
        { "bytes 5-9/10", 5, 10, 10 },
        { "bytes 5-9/*", 5, 10, 0 },
    };
    static const char *const bad[] = {
        "",
        "bytes",
        "bytes ",
        "bytes */10",
        "bytes 0-9",
        "bytes 0-9/",
        "bytes 0-10/10",
        "bytes 5-4/10",
        "bytes 0-9/10 ",
        "bytes  0-9/10",
        "bytes 0 - 9/10",
        "bytes=0-9/10",
        "items 0-9/10",
        "bytes -9/10",
        "bytes 0-/10",
        "bytes 0-9/1x",
        "bytes 0-9/10/10",
        "bytes 0-9-9/10",
        "bytes +0-9/10",
        "bytes 0-18446744073709551615/*",
        "bytes 0-9/99999999999999999999",
        "bytes 0-9/-",
        "bytes /10",
    };
    struct proxy_content_range cr;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(fine); i++) {
        assert_true(proxy_content_range_parse(el_str_of(fine[i].value), &cr));
        assert_true(cr.first == fine[i].first && cr.end == fine[i].end &&
                    cr.total == fine[i].total);
        assert_int_equal(cr.has_total, fine[i].total > 0);
    }
    for (size_t i = 0; i < EL_COUNT(bad); i++) {
        if (proxy_content_range_parse(el_str_of(bad[i]), &cr))
            fail_msg("%s", bad[i]);
    }
}

static void a_part_is_an_answer_only_to_the_range_that_was_asked_for(void **state)
{
    static const struct {
        const char *asked, *got;
        bool fits;
    } cases[] = {
        { "bytes=0-99", "bytes 0-99/1000", true },    { "bytes=0-99", "bytes 0-49/50", true },
        { "bytes=0-99", "bytes 0-49/1000", true },    { "bytes=0-99", "bytes 1-99/1000", false },
        { "bytes=0-99", "bytes 0-100/1000", false },  { "bytes=0-99", "bytes 0-99/*", false },
        { "bytes=100-", "bytes 100-999/1000", true }, { "bytes=100-", "bytes 0-999/1000", false },
        { "bytes=-10", "bytes 990-999/1000", true },  { "bytes=-10", "bytes 0-9/1000", false },
        { "bytes=2000-", "bytes 0-9/1000", false },   { "items=1", "bytes 0-9/1000", false },
        { "bytes=0-1,3-4", "bytes 0-1/1000", false },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_range r = range_of(cases[i].asked);
        struct proxy_content_range cr;

        assert_true(proxy_content_range_parse(el_str_of(cases[i].got), &cr));
        if (proxy_range_answers(&r, &cr) != cases[i].fits)
            fail_msg("%s, %s", cases[i].asked, cases[i].got);
    }
}

/* ---- conditions ---- */

#define MODIFIED "Sun, 06 Nov 1994 08:49:37 GMT"

static struct cache_meta *stored(const char *etag, const char *modified, const char *date)
{
    struct cache_meta *m = cache_meta_new();

    m->status = 200;
    m->response_ms = 784198177000; /* 1994-11-07 08:49:37 */
    if (etag != NULL)
        el_fields_add(&m->fields, EL_STR("ETag"), el_str_of(etag));
    if (modified != NULL)
        el_fields_add(&m->fields, EL_STR("Last-Modified"), el_str_of(modified));
    if (date != NULL)
        el_fields_add(&m->fields, EL_STR("Date"), el_str_of(date));
    (void)el_fieldv_get(el_fields_view(&m->fields), EL_STR("ETag"), &m->etag);
    (void)el_fieldv_get(el_fields_view(&m->fields), EL_STR("Last-Modified"), &m->last_modified);
    m->has_strong_validator = etag != NULL && etag[0] == '"';
    return m;
}

static void tags_are_compared_weakly(void **state)
{
    static const struct {
        const char *etag, *value;
        bool is_304;
    } cases[] = {
        { "\"a\"", "\"a\"", true },
        { "\"a\"", "\"b\"", false },
        { "\"a\"", "W/\"a\"", true },
        { "W/\"a\"", "\"a\"", true },
        { "W/\"a\"", "W/\"a\"", true },
        { "\"a\"", "\"b\", \"a\"", true },
        { "\"a\"", "\"b\",,W/\"a\" ", true },
        { "\"a\"", "\"b, \\\"a\\\"\"", false },
        { "\"a,b\"", "\"x\", \"a,b\"", true },
        { "\"a\"", "*", true },
        { NULL, "*", true },
        { NULL, "\"a\"", false },
        { "\"a\"", "a", false },
        { "\"a\"", "w/\"a\"", false },
        { "\"a\"", "", false },
        { "\"A\"", "\"a\"", false },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct cache_meta *m = stored(cases[i].etag, NULL, NULL);

        if (proxy_cond_is_not_modified(ONE_FIELD("If-None-Match", cases[i].value), m) !=
            cases[i].is_304)
            fail_msg("case %zu: %s", i, cases[i].value);
        cache_meta_unref(m);
    }
}

static void a_date_says_whether_it_was_modified_since(void **state)
{
    static const struct {
        const char *modified, *date, *since;
        bool is_304;
    } cases[] = {
        { MODIFIED, NULL, MODIFIED, true },
        { MODIFIED, NULL, "Sun, 06 Nov 1994 08:49:38 GMT", true },
        { MODIFIED, NULL, "Sun, 06 Nov 1994 08:49:36 GMT", false },
        { MODIFIED, NULL, "Sunday, 06-Nov-94 08:49:37 GMT", true },
        { MODIFIED, NULL, "Sun Nov  6 08:49:37 1994", true },
        { MODIFIED, NULL, "yesterday", false },
        { MODIFIED, NULL, "", false },
        /* No Last-Modified: Date, or when it came (RFC 9111 section 4.3.2). */
        { NULL, MODIFIED, MODIFIED, true },
        { NULL, MODIFIED, "Sun, 06 Nov 1994 08:49:36 GMT", false },
        { NULL, NULL, "Mon, 07 Nov 1994 08:49:37 GMT", true },
        { NULL, NULL, "Mon, 07 Nov 1994 08:49:36 GMT", false },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct cache_meta *m = stored(NULL, cases[i].modified, cases[i].date);

        if (proxy_cond_is_not_modified(ONE_FIELD("If-Modified-Since", cases[i].since), m) !=
            cases[i].is_304)
            fail_msg("case %zu", i);
        cache_meta_unref(m);
    }
}

/* RFC 9110 section 13.2.2 */
static void a_date_does_not_count_beside_a_tag_nor_twice(void **state)
{
    struct cache_meta *m = stored("\"a\"", MODIFIED, NULL);

    (void)state;
    assert_false(proxy_cond_is_not_modified(
        FIELDS(FIELD("If-None-Match", "\"b\""), FIELD("If-Modified-Since", MODIFIED)), m));
    assert_true(proxy_cond_is_not_modified(
        FIELDS(FIELD("If-None-Match", "\"a\""),
               FIELD("If-Modified-Since", "Sun, 06 Nov 1994 08:49:36 GMT")),
        m));
    assert_false(proxy_cond_is_not_modified(
        FIELDS(FIELD("If-Modified-Since", MODIFIED), FIELD("If-Modified-Since", MODIFIED)), m));
    assert_false(proxy_cond_is_not_modified(NO_FIELDS, m));
    cache_meta_unref(m);
}

#define LATER "Sun, 06 Nov 1994 08:50:37 GMT" /* sixty seconds */
#define SOON  "Sun, 06 Nov 1994 08:50:36 GMT"

/* RFC 9110 section 13.1.5: only a strong validator, and only the very same, keeps the range. */
static void if_range_holds_for_the_very_same_version_only(void **state)
{
    static const struct {
        const char *etag, *modified, *date, *value;
        bool holds;
    } cases[] = {
        { "\"a\"", NULL, NULL, "\"a\"", true },
        { "\"a\"", NULL, NULL, "\"b\"", false },
        { "\"a\"", NULL, NULL, "W/\"a\"", false },
        { "W/\"a\"", NULL, NULL, "W/\"a\"", false },
        { "W/\"a\"", NULL, NULL, "\"a\"", false },
        { NULL, NULL, NULL, "\"a\"", false },
        { "\"a\"", NULL, NULL, "\"a\", \"b\"", false },
        { NULL, MODIFIED, LATER, MODIFIED, true },
        { "\"a\"", MODIFIED, LATER, MODIFIED, true },
        { "\"a\"", MODIFIED, LATER, "Sun, 06 Nov 1994 08:49:38 GMT", false },
        { "\"a\"", MODIFIED, LATER, "Sunday, 06-Nov-94 08:49:37 GMT", false },
        /* The object may have changed twice in the second before it was sent. */
        { "\"a\"", MODIFIED, SOON, MODIFIED, false },
        { NULL, MODIFIED, MODIFIED, MODIFIED, false },
        { NULL, NULL, NULL, "", false },
        { "\"a\"", NULL, NULL, "", false },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct cache_meta *m = stored(cases[i].etag, cases[i].modified, cases[i].date);

        if (proxy_cond_if_range_holds(ONE_FIELD("If-Range", cases[i].value), m) != cases[i].holds)
            fail_msg("case %zu", i);
        assert_true(proxy_cond_if_range_holds(NO_FIELDS, m));
        cache_meta_unref(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_ranges_of_bytes_are_understood),
        cmocka_unit_test(two_ranges_are_the_same_when_their_words_are),
        cmocka_unit_test(several_ranges_become_parts_that_have_no_byte_twice),
        cmocka_unit_test(too_many_parts_are_none),
        cmocka_unit_test(what_is_no_range_of_bytes_is_ignored),
        cmocka_unit_test(several_ranges_are_told_from_one),
        cmocka_unit_test(a_range_is_held_against_the_length),
        cmocka_unit_test(a_range_is_moved_out_to_borders_and_written),
        cmocka_unit_test(a_range_that_is_moved_out_ends_where_the_object_ends),
        cmocka_unit_test(content_range_is_read_strictly),
        cmocka_unit_test(a_part_is_an_answer_only_to_the_range_that_was_asked_for),
        cmocka_unit_test(tags_are_compared_weakly),
        cmocka_unit_test(a_date_says_whether_it_was_modified_since),
        cmocka_unit_test(a_date_does_not_count_beside_a_tag_nor_twice),
        cmocka_unit_test(if_range_holds_for_the_very_same_version_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
