/* SPDX-License-Identifier: MIT */
#include "proxy/fresh.h"

#include "tests/lib/fields.h"
#include "tests/lib/test.h"

#define DATE       "Sun, 06 Nov 1994 08:49:37 GMT"
#define T0         ((int64_t)784111777 * 1000) /* DATE */
#define DAY_MS     ((int64_t)86400 * 1000)
#define LONGEST_MS (((int64_t)1 << 31) * 1000) /* RFC 9111 section 1.2.2 */

#define FRESHNESS_MS 10000

static struct proxy_fresh_request request(struct el_fieldv fields, bool has_credentials)
{
    struct proxy_fresh_request req;

    proxy_fresh_request(&req, fields, has_credentials, false, FRESHNESS_MS);
    return req;
}

/* The meta of an answer that came at T0, at once; NULL when it is not to be stored. */
static struct cache_meta *store(int status, struct el_fieldv fields, bool has_credentials)
{
    struct proxy_fresh_request req = request(NO_FIELDS, has_credentials);
    const struct proxy_fresh_response res = {
        .status = status, .fields = fields, .request_ms = T0, .response_ms = T0
    };
    const char *why = "untouched";
    struct cache_meta *m = proxy_fresh_meta(&req, &res, &why);

    assert_true((m == NULL) == (why != NULL));
    return m;
}

static bool is_stored(int status, struct el_fieldv fields, bool has_credentials)
{
    struct cache_meta *m = store(status, fields, has_credentials);
    bool stored = m != NULL;

    cache_meta_unref(m);
    return stored;
}

static bool has_field(const struct cache_meta *m, const char *name, const char *value)
{
    struct el_str v;

    return el_fieldv_get(el_fields_view(&m->fields), el_str_of(name), &v) &&
           el_str_eq(v, el_str_of(value));
}

/* ---- lifetime ---- */

static void explicit_lifetimes_go_in_the_order_of_the_rfc(void **state)
{
    static const struct {
        const char *control, *expires;
        int64_t lifetime_ms;
    } cases[] = {
        { "max-age=60", NULL, 60000 },
        { "s-maxage=5, max-age=60", "Sun, 06 Nov 1994 09:49:37 GMT", 5000 },
        { "max-age=60", "Sun, 06 Nov 1994 09:49:37 GMT", 60000 },
        { "public", "Sun, 06 Nov 1994 08:50:37 GMT", 60000 },
        { "max-age=99999999999", NULL, LONGEST_MS },
        { "public", "Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_MS },
        { "max-age=x", "Sun, 06 Nov 1994 09:49:37 GMT", 0 },
        { "public", DATE, 0 },
        { "public", "Sun, 06 Nov 1994 08:49:36 GMT", 0 },
        { "public", "0", 0 },
        { "public", "-1", 0 },
        { "public", "Sun, 06 Nov 1994 09:49:37 UTC", 0 },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const struct el_field f[] = { FIELD("Date", DATE),
                                      FIELD("ETag", "\"a\""),
                                      { EL_STR("Cache-Control"), el_str_of(cases[i].control) },
                                      { EL_STR("Expires"), el_str_of(cases[i].expires) } };
        struct cache_meta *m =
            store(200, (struct el_fieldv){ f, cases[i].expires == NULL ? 3 : 4 }, false);

        assert_non_null(m);
        if (m->lifetime_ms != cases[i].lifetime_ms)
            fail_msg("case %zu: %lld", i, (long long)m->lifetime_ms);
        cache_meta_unref(m);
    }
}

static void expires_that_is_there_twice_is_over(void **state)
{
    struct cache_meta *m = store(200,
                                 FIELDS(FIELD("Date", DATE), FIELD("ETag", "\"a\""),
                                        FIELD("Expires", "Sun, 06 Nov 1994 09:49:37 GMT"),
                                        FIELD("Expires", "Sun, 06 Nov 1994 09:49:37 GMT")),
                                 false);

    (void)state;
    assert_int_equal(m->lifetime_ms, 0);
    cache_meta_unref(m);
}

/* Section 4.2.2: a tenth of the age, a day at most, and only without anything explicit. */
static void without_a_lifetime_the_last_change_gives_one(void **state)
{
    static const struct {
        const char *modified;
        int64_t lifetime_ms;
    } cases[] = {
        { "Sun, 06 Nov 1994 07:49:37 GMT", 360000 },
        { "Sat, 05 Nov 1994 08:49:37 GMT", DAY_MS / 10 },
        { "Sun, 06 Nov 1983 08:49:37 GMT", DAY_MS },
        { "Sun, 06 Nov 1994 08:49:38 GMT", 0 },
        { "long ago", 0 },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const struct el_field f[] = { FIELD("Date", DATE),
                                      { EL_STR("Last-Modified"), el_str_of(cases[i].modified) } };
        struct cache_meta *m = store(200, (struct el_fieldv){ f, 2 }, false);

        assert_int_equal(m->lifetime_ms, cases[i].lifetime_ms);
        cache_meta_unref(m);
    }
}

static void the_targeted_field_goes_before_cache_control_and_expires(void **state)
{
    struct el_fieldv longer =
        FIELDS(FIELD("Date", DATE), FIELD("CDN-Cache-Control", "max-age=60"),
               FIELD("ETag", "\"a\""), FIELD("Cache-Control", "no-store"), FIELD("Expires", "0"));
    struct el_fieldv silent =
        FIELDS(FIELD("Date", DATE), FIELD("CDN-Cache-Control", "foo"), FIELD("ETag", "\"a\""),
               FIELD("Expires", "Sun, 06 Nov 1994 09:49:37 GMT"));
    struct cache_meta *m = store(200, longer, false);

    (void)state;
    assert_int_equal(m->lifetime_ms, 60000);
    cache_meta_unref(m);
    m = store(200, silent, false);
    assert_int_equal(m->lifetime_ms, 0);
    cache_meta_unref(m);
    assert_false(is_stored(
        200, FIELDS(FIELD("CDN-Cache-Control", "private"), FIELD("Cache-Control", "max-age=60")),
        false));
}

/* ---- object stores ---- */

static void objects_of_an_object_store_are_fresh_for_the_configured_time(void **state)
{
    static const struct {
        const char *name;
        bool is_store;
    } cases[] = {
        { "x-amz-request-id", true }, { "X-Amz-Id-2", true },        { "x-oss-request-id", true },
        { "x-amz-meta-a", true },     { "x-amz-cf-id", false },      { "X-Amz-Cf-Pop", false },
        { "x-amz-apigw-id", false },  { "x-amzn-RequestId", false }, { "x-amz-rid", false },
        { "X-Other", false },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const struct el_field f[] = { { el_str_of(cases[i].name), EL_STR("1") },
                                      FIELD("ETag", "\"a\""),
                                      FIELD("Date", DATE) };
        struct cache_meta *m = store(200, (struct el_fieldv){ f, 3 }, false);

        if (m->from_object_store != cases[i].is_store)
            fail_msg("%s", cases[i].name);
        assert_int_equal(m->lifetime_ms, cases[i].is_store ? FRESHNESS_MS : 0);
        cache_meta_unref(m);
    }
}

static void an_object_store_may_be_configured_and_may_say_more_itself(void **state)
{
    struct el_fieldv fields = FIELDS(FIELD("ETag", "\"a\""), FIELD("Date", DATE));
    struct proxy_fresh_response res = {
        .status = 200, .fields = fields, .request_ms = T0, .response_ms = T0
    };
    struct proxy_fresh_request req;
    struct cache_meta *m;
    const char *why;

    (void)state;
    proxy_fresh_request(&req, NO_FIELDS, false, true, FRESHNESS_MS);
    m = proxy_fresh_meta(&req, &res, &why);
    assert_true(m->from_object_store);
    assert_int_equal(m->lifetime_ms, FRESHNESS_MS);
    cache_meta_unref(m);
    res.fields = FIELDS(FIELD("ETag", "\"a\""), FIELD("Cache-Control", "max-age=1"));
    m = proxy_fresh_meta(&req, &res, &why);
    assert_int_equal(m->lifetime_ms, 1000);
    cache_meta_unref(m);
}

/* A listing changes with every upload and can be confirmed by nobody. */
static void a_listing_is_given_no_time_that_nobody_granted(void **state)
{
    (void)state;
    assert_false(is_stored(200,
                           FIELDS(FIELD("x-amz-request-id", "1"), FIELD("Date", DATE),
                                  FIELD("Content-Type", "application/xml")),
                           false));
}

/* ---- age ---- */

static void age_is_the_greater_of_what_clock_and_field_say(void **state)
{
    static const struct {
        const char *age, *date;
        int64_t delay_ms, age_ms;
    } cases[] = {
        { NULL, DATE, 0, 0 },
        { "0", DATE, 0, 0 },
        { "100", DATE, 0, 100000 },
        { "100", DATE, 3000, 103000 },
        { NULL, "Sun, 06 Nov 1994 08:48:37 GMT", 0, 60000 },
        { "30", "Sun, 06 Nov 1994 08:48:37 GMT", 0, 60000 },
        { "90", "Sun, 06 Nov 1994 08:48:37 GMT", 0, 90000 },
        { NULL, "Sun, 06 Nov 1994 09:49:37 GMT", 0, 0 }, /* a clock that is ahead */
        { NULL, "nonsense", 0, 0 },
        { "7200, 0", DATE, 0, 7200000 },
        { "0, 7200", DATE, 0, 0 },
        { "abc", DATE, 0, 0 },
        { "-7200", DATE, 0, 0 },
        { "7200.0", DATE, 0, 0 },
        { "7200a", DATE, 0, 0 },
        { "", DATE, 0, 0 },
        { "2147483649", DATE, 0, LONGEST_MS },
        { "99999999999999999999", DATE, 0, LONGEST_MS },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const struct el_field f[] = { FIELD("Cache-Control", "max-age=1"),
                                      FIELD("ETag", "\"a\""),
                                      { EL_STR("Date"), el_str_of(cases[i].date) },
                                      { EL_STR("Age"), el_str_of(cases[i].age) } };
        struct proxy_fresh_request req = request(NO_FIELDS, false);
        const struct proxy_fresh_response res = {
            .status = 200,
            .fields = { f, cases[i].age == NULL ? 3 : 4 },
            .request_ms = T0 - cases[i].delay_ms,
            .response_ms = T0,
        };
        const char *why;
        struct cache_meta *m = proxy_fresh_meta(&req, &res, &why);

        if (m->corrected_age_ms != cases[i].age_ms)
            fail_msg("case %zu: %lld", i, (long long)m->corrected_age_ms);
        assert_int_equal(proxy_fresh_age_ms(m, T0 + 5000), cases[i].age_ms + 5000);
        assert_int_equal(proxy_fresh_age_ms(m, T0 - 5000), cases[i].age_ms);
        cache_meta_unref(m);
    }
}

static void the_first_age_line_counts(void **state)
{
    struct cache_meta *m = store(200,
                                 FIELDS(FIELD("Cache-Control", "max-age=60"), FIELD("Age", "7"),
                                        FIELD("Age", "9"), FIELD("Date", DATE)),
                                 false);

    (void)state;
    assert_int_equal(m->corrected_age_ms, 7000);
    cache_meta_unref(m);
}

/* ---- storable (section 3) ---- */

static void what_is_forbidden_is_not_stored(void **state)
{
    static const struct {
        const char *control;
        bool stored;
    } cases[] = {
        { "max-age=60", true },
        { "no-store", false },
        { "max-age=60, no-store", false },
        { "No-StOrE, max-age=60", false },
        { "max-age=60, private", false },
        { "max-age=60, private=\"Set-Cookie\"", false },
        { "max-age=60, no-cache", true },
        { "no-store, must-understand, max-age=60", true },
        { "must-understand, private, max-age=60", false },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const struct el_field f[] = { { EL_STR("Cache-Control"), el_str_of(cases[i].control) },
                                      FIELD("ETag", "\"a\"") };

        for (int has_credentials = 0; has_credentials < 2; has_credentials++) {
            if (is_stored(200, (struct el_fieldv){ f, 2 }, has_credentials) != cases[i].stored)
                fail_msg("%s", cases[i].control);
        }
    }
}

static void a_request_may_forbid_it_too(void **state)
{
    struct proxy_fresh_request req = request(FIELDS(FIELD("Cache-Control", "no-store")), false);
    const struct proxy_fresh_response res = { .status = 200,
                                              .fields =
                                                  FIELDS(FIELD("Cache-Control", "max-age=60")),
                                              .request_ms = T0,
                                              .response_ms = T0 };
    const char *why;

    (void)state;
    assert_null(proxy_fresh_meta(&req, &res, &why));
    assert_string_equal(why, "request");
}

static void statuses_are_stored_as_far_as_they_are_meant_to_be(void **state)
{
    static const int by_themselves[] = { 200, 203, 204, 206, 300, 301, 308, 414, 501 };
    static const int when_told[] = { 302, 303, 307, 404, 405, 410 };
    static const int with_a_lifetime[] = { 201, 202, 299, 305 };
    static const int failures[] = { 400, 403, 409, 418, 499, 500, 502, 503, 504, 599 };
    static const int never[] = { 100, 101, 304, 401, 407, 408, 411, 412, 413,
                                 416, 417, 421, 425, 426, 428, 429, 431, 511 };
    struct el_fieldv heuristic =
        FIELDS(FIELD("Date", DATE), FIELD("Last-Modified", "Sun, 06 Nov 1994 07:49:37 GMT"));
    struct el_fieldv told = FIELDS(FIELD("Date", DATE), FIELD("Cache-Control", "max-age=60"));
    struct el_fieldv open =
        FIELDS(FIELD("Date", DATE), FIELD("Last-Modified", "Sun, 06 Nov 1994 07:49:37 GMT"),
               FIELD("Cache-Control", "public"));

    (void)state;
    for (size_t i = 0; i < EL_COUNT(by_themselves); i++) {
        assert_true(is_stored(by_themselves[i], heuristic, false));
        assert_true(is_stored(by_themselves[i], told, false));
    }
    for (size_t i = 0; i < EL_COUNT(when_told); i++) {
        assert_false(is_stored(when_told[i], heuristic, false));
        assert_true(is_stored(when_told[i], told, false));
        assert_true(is_stored(when_told[i], open, false));
    }
    for (size_t i = 0; i < EL_COUNT(with_a_lifetime); i++) {
        assert_false(is_stored(with_a_lifetime[i], heuristic, false));
        assert_false(is_stored(with_a_lifetime[i], open, false));
        assert_true(is_stored(with_a_lifetime[i], told, false));
    }
    /* Without the operator's word (test below) not even then. */
    for (size_t i = 0; i < EL_COUNT(failures); i++)
        assert_false(is_stored(failures[i], told, false));
    for (size_t i = 0; i < EL_COUNT(never); i++) {
        assert_false(is_stored(never[i], told, false));
        assert_false(is_stored(never[i], open, false));
    }
}

/* The meta of an answer to an anonymous request, under the operator's policy. */
static struct cache_meta *store_by(struct proxy_fresh_policy policy, int status,
                                   struct el_fieldv fields)
{
    struct proxy_fresh_request req = request(NO_FIELDS, false);
    const struct proxy_fresh_response res = {
        .status = status, .fields = fields, .request_ms = T0, .response_ms = T0
    };
    const char *why;

    req.policy = policy;
    return proxy_fresh_meta(&req, &res, &why);
}

static void an_error_is_believed_for_as_long_as_the_operator_allows(void **state)
{
    const struct proxy_fresh_policy policy = { .error_ms = 10000 };
    struct el_fieldv longer = FIELDS(FIELD("Date", DATE), FIELD("Cache-Control", "max-age=60"));
    struct el_fieldv shorter = FIELDS(FIELD("Date", DATE), FIELD("Cache-Control", "max-age=5"));
    struct cache_meta *m = store_by(policy, 503, longer);

    (void)state;
    assert_int_equal(m->lifetime_ms, 10000);
    cache_meta_unref(m);
    m = store_by(policy, 400, shorter);
    assert_int_equal(m->lifetime_ms, 5000);
    cache_meta_unref(m);
    /* A missing object is no failure. */
    m = store_by(policy, 404, longer);
    assert_int_equal(m->lifetime_ms, 60000);
    cache_meta_unref(m);
    assert_null(store_by(policy, 503, FIELDS(FIELD("Cache-Control", "public"))));
    assert_null(store_by(policy, 429, longer));
}

static void a_missing_object_is_remembered_for_as_long_as_the_operator_says(void **state)
{
    const struct proxy_fresh_policy policy = { .negative_ms = 7000 };
    struct el_fieldv silent = FIELDS(FIELD("Date", DATE), FIELD("x-amz-request-id", "1"));
    struct cache_meta *m = store_by(policy, 404, silent);

    (void)state;
    assert_int_equal(m->lifetime_ms, 7000);
    cache_meta_unref(m);
    m = store_by(policy, 410, silent);
    assert_int_equal(m->lifetime_ms, 7000);
    cache_meta_unref(m);
    m = store_by(policy, 404, FIELDS(FIELD("Date", DATE), FIELD("Cache-Control", "max-age=1")));
    assert_int_equal(m->lifetime_ms, 1000);
    cache_meta_unref(m);
    assert_null(store_by(policy, 404, FIELDS(FIELD("Cache-Control", "no-store"))));
    assert_null(store_by(policy, 403, silent));
    assert_null(store_by((struct proxy_fresh_policy){ 0 }, 404, silent));
}

/* Section 5.2.2.3. */
static void what_must_be_understood_is_stored_where_it_is(void **state)
{
    const struct proxy_fresh_policy policy = { .error_ms = 10000 };
    struct el_fieldv fields =
        FIELDS(FIELD("Cache-Control", "max-age=60, no-store, must-understand"));
    struct cache_meta *m = store_by(policy, 404, fields);

    (void)state;
    assert_non_null(m);
    cache_meta_unref(m);
    assert_null(store_by(policy, 599, fields));
    assert_null(
        store_by(policy, 599, FIELDS(FIELD("Cache-Control", "max-age=60, must-understand"))));
}

static void a_cookie_is_for_one_client_unless_all_may_have_it(void **state)
{
    (void)state;
    assert_false(is_stored(
        200, FIELDS(FIELD("Set-Cookie", "a=b"), FIELD("Cache-Control", "max-age=60")), false));
    assert_true(is_stored(
        200, FIELDS(FIELD("Set-Cookie", "a=b"), FIELD("Cache-Control", "max-age=60, public")),
        false));
    assert_true(is_stored(
        200, FIELDS(FIELD("Set-Cookie", "a=b"), FIELD("Cache-Control", "s-maxage=60")), false));
}

static void what_could_never_be_used_is_not_stored(void **state)
{
    (void)state;
    assert_false(is_stored(200, FIELDS(FIELD("Date", DATE)), false));
    assert_false(is_stored(200, FIELDS(FIELD("Cache-Control", "max-age=0")), false));
    assert_false(is_stored(200, FIELDS(FIELD("Cache-Control", "no-cache, max-age=60")), false));
    assert_false(
        is_stored(200, FIELDS(FIELD("Cache-Control", "max-age=60"), FIELD("Age", "60")), false));
    assert_true(is_stored(200, FIELDS(FIELD("ETag", "\"a\"")), false));
    assert_true(is_stored(200, FIELDS(FIELD("Last-Modified", DATE)), false));
    assert_false(is_stored(200, FIELDS(FIELD("Vary", "*"), FIELD("ETag", "\"a\"")), false));
}

/* ---- credentials ---- */

static void an_answer_to_credentials_is_private_unless_all_may_have_it(void **state)
{
    static const struct {
        const char *control, *also;
        bool has_credentials, is_public;
    } cases[] = {
        { "max-age=60", "X-Other", false, true },
        { "max-age=60", "X-Other", true, false },
        { "max-age=60, must-revalidate", "X-Other", true, false },
        { "max-age=60, public", "X-Other", true, true },
        { "s-maxage=60", "X-Other", true, true },
        /* There Cache-Control is what the uploader wrote, not who may read. */
        { "max-age=60, public", "x-amz-request-id", true, false },
        { "s-maxage=60", "x-oss-request-id", true, false },
        { "max-age=60", "x-amz-request-id", false, true },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const struct el_field f[] = { { EL_STR("Cache-Control"), el_str_of(cases[i].control) },
                                      { el_str_of(cases[i].also), EL_STR("1") },
                                      FIELD("ETag", "\"a\"") };
        struct cache_meta *m = store(200, (struct el_fieldv){ f, 3 }, cases[i].has_credentials);

        if (m->is_public != cases[i].is_public)
            fail_msg("case %zu", i);
        cache_meta_unref(m);
    }
}

static void what_nobody_could_be_asked_about_is_not_stored_for_credentials(void **state)
{
    (void)state;
    assert_false(is_stored(200, FIELDS(FIELD("Cache-Control", "max-age=60")), true));
    /* Section 3.5: here nobody has to be asked, unless it comes from an object store. */
    assert_true(is_stored(200, FIELDS(FIELD("Cache-Control", "max-age=60, public")), true));
    assert_true(is_stored(200, FIELDS(FIELD("Cache-Control", "s-maxage=60")), true));
    assert_false(is_stored(
        200, FIELDS(FIELD("Cache-Control", "max-age=60, public"), FIELD("x-amz-request-id", "1")),
        true));
    assert_true(is_stored(200, FIELDS(FIELD("ETag", "W/\"a\"")), true));
    /* A date may be that of another caller's page; at an object store all mean the same bytes. */
    assert_false(is_stored(200, FIELDS(FIELD("Last-Modified", DATE)), true));
    assert_true(
        is_stored(200, FIELDS(FIELD("Last-Modified", DATE), FIELD("x-amz-request-id", "1")), true));
}

/* ---- validators ---- */

static void validators_are_strong_where_versions_cannot_be_confused(void **state)
{
    static const struct {
        const char *etag, *modified, *date, *also;
        bool is_strong;
    } cases[] = {
        { "\"a\"", NULL, DATE, "X", true },
        { "\"\"", NULL, DATE, "X", true },
        { "W/\"a\"", NULL, DATE, "X", false },
        { "a", NULL, DATE, "X", false },
        { "\"a", NULL, DATE, "X", false },
        { "\"", NULL, DATE, "X", false },
        { "W/\"a\"", "Sun, 06 Nov 1983 08:49:37 GMT", DATE, "X", false },
        { NULL, "Sun, 06 Nov 1994 08:48:37 GMT", DATE, "X", true },
        { NULL, "Sun, 06 Nov 1994 08:48:38 GMT", DATE, "X", false },
        { NULL, "Sun, 06 Nov 1994 08:49:36 GMT", DATE, "x-amz-request-id", true },
        { NULL, "Sun, 06 Nov 1994 08:49:37 GMT", DATE, "x-amz-request-id", false },
        { NULL, "long ago", DATE, "X", false },
        { NULL, NULL, DATE, "X", false },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct el_field f[5] = { FIELD("Cache-Control", "max-age=60") };
        size_t n = 1;
        struct cache_meta *m;

        f[n++] = (struct el_field){ el_str_of(cases[i].also), EL_STR("1") };
        f[n++] = (struct el_field){ EL_STR("Date"), el_str_of(cases[i].date) };
        if (cases[i].etag != NULL)
            f[n++] = (struct el_field){ EL_STR("ETag"), el_str_of(cases[i].etag) };
        if (cases[i].modified != NULL)
            f[n++] = (struct el_field){ EL_STR("Last-Modified"), el_str_of(cases[i].modified) };
        m = store(200, (struct el_fieldv){ f, n }, false);
        if (m->has_strong_validator != cases[i].is_strong)
            fail_msg("case %zu", i);
        cache_meta_unref(m);
    }
}

static void two_tags_are_no_strong_validator(void **state)
{
    struct cache_meta *m = store(200,
                                 FIELDS(FIELD("ETag", "\"a\""), FIELD("ETag", "\"b\""),
                                        FIELD("Cache-Control", "max-age=60")),
                                 false);

    (void)state;
    assert_false(m->has_strong_validator);
    cache_meta_unref(m);
}

/* ---- what is kept ---- */

static void fields_of_the_connection_and_of_this_answer_are_not_kept(void **state)
{
    struct cache_meta *m = store(
        206,
        FIELDS(FIELD("Date", DATE), FIELD("Content-Range", "bytes 0-1/9"),
               FIELD("Content-Length", "2"), FIELD("Age", "7"), FIELD("Connection", "a, ETag"),
               FIELD("a", "1"), FIELD("b", "2"), FIELD("Transfer-Encoding", "chunked"),
               FIELD("Proxy-Authenticate", "x"), FIELD("Proxy-Connection", "x"),
               FIELD("X-Cache", "HIT"), FIELD("Cache-Status", "x; hit"), FIELD("Via", "1.1 before"),
               FIELD("ETag", "\"a\""), FIELD("Cache-Control", "max-age=60")),
        false);

    (void)state;
    assert_int_equal(m->status, 200);
    assert_string_equal(m->head.p, "Date: " DATE "\r\nb: 2\r\nVia: 1.1 before\r\nETag: \"a\"\r\n"
                                   "Cache-Control: max-age=60\r\n");
    assert_true(el_str_eq(m->etag, EL_STR("\"a\"")));
    cache_meta_unref(m);
}

/* ---- 304 (section 3.2) ---- */

static struct cache_meta *update(struct cache_meta *take_old, struct el_fieldv fields,
                                 bool has_credentials, int64_t now_ms)
{
    struct proxy_fresh_request req = request(NO_FIELDS, has_credentials);
    const struct proxy_fresh_response res = {
        .status = 304, .fields = fields, .request_ms = now_ms, .response_ms = now_ms
    };
    struct cache_meta *m = proxy_fresh_update(take_old, &req, &res);

    cache_meta_unref(take_old);
    return m;
}

static void a_304_updates_what_it_carries_and_leaves_the_rest(void **state)
{
    struct cache_meta *m = store(200,
                                 FIELDS(FIELD("Date", DATE), FIELD("ETag", "\"a\""),
                                        FIELD("Cache-Control", "max-age=1"), FIELD("X-Test", "old"),
                                        FIELD("X-Stays", "1"), FIELD("Content-Foo", "old"),
                                        FIELD("Set-Cookie2", "old"), FIELD("X-Test", "old too")),
                                 false);

    (void)state;
    m = update(m,
               FIELDS(FIELD("Date", "Sun, 06 Nov 1994 09:49:37 GMT"), FIELD("x-test", "new"),
                      FIELD("Content-Foo", "new"), FIELD("Cache-Control", "max-age=3600"),
                      FIELD("Set-Cookie2", "new"), FIELD("X-New", "1"), FIELD("Age", "5"),
                      FIELD("Connection", "X-Hop"), FIELD("X-Hop", "1")),
               false, T0 + 3600000);
    assert_string_equal(m->head.p,
                        "ETag: \"a\"\r\nX-Stays: 1\r\nDate: Sun, 06 Nov 1994 09:49:37 GMT\r\n"
                        "x-test: new\r\nContent-Foo: new\r\nCache-Control: max-age=3600\r\n"
                        "Set-Cookie2: new\r\nX-New: 1\r\n");
    assert_int_equal(m->lifetime_ms, 3600000);
    assert_int_equal(m->corrected_age_ms, 5000);
    assert_int_equal(m->response_ms, T0 + 3600000);
    assert_int_equal(m->status, 200);
    cache_meta_unref(m);
}

/* Ceph sends no validators, Swift a length of its own body. */
static void a_304_cannot_change_what_the_stored_bytes_are(void **state)
{
    struct cache_meta *m = store(
        200,
        FIELDS(FIELD("Date", DATE), FIELD("ETag", "\"a\""), FIELD("Content-Type", "video/mp4"),
               FIELD("Content-Encoding", "gzip"), FIELD("Vary", "Accept-Encoding"),
               FIELD("Last-Modified", "Sun, 06 Nov 1983 08:49:37 GMT")),
        false);

    (void)state;
    m = update(m, FIELDS(FIELD("x-amz-request-id", "1")), false, T0 + 1000);
    assert_true(has_field(m, "ETag", "\"a\"") && m->has_strong_validator);
    assert_true(el_str_eq(m->etag, EL_STR("\"a\"")));
    m = update(m,
               FIELDS(FIELD("ETag", "\"b\""), FIELD("Content-Length", "0"),
                      FIELD("Content-Type", "text/html"), FIELD("Content-Encoding", "br"),
                      FIELD("Content-Range", "bytes 0-0/1"), FIELD("Vary", "*")),
               false, T0 + 2000);
    assert_true(has_field(m, "ETag", "\"a\"") && has_field(m, "Content-Type", "video/mp4"));
    assert_true(has_field(m, "Content-Encoding", "gzip") &&
                has_field(m, "Vary", "Accept-Encoding"));
    assert_false(el_fieldv_has(el_fields_view(&m->fields), EL_STR("Content-Length")));
    assert_false(el_fieldv_has(el_fields_view(&m->fields), EL_STR("Content-Range")));
    assert_string_equal(m->vary_bytes.p, "accept-encoding\n-\n");
    assert_ptr_equal(m->vary.p, m->vary_bytes.p);
    cache_meta_unref(m);
}

static void a_304_without_date_does_not_move_expires(void **state)
{
    struct cache_meta *m = store(200,
                                 FIELDS(FIELD("Date", DATE), FIELD("ETag", "\"a\""),
                                        FIELD("Expires", "Sun, 06 Nov 1994 08:50:37 GMT")),
                                 false);

    (void)state;
    assert_int_equal(m->lifetime_ms, 60000);
    m = update(m, NO_FIELDS, false, T0 + 40000);
    assert_int_equal(m->lifetime_ms, 20000);
    m = update(m, NO_FIELDS, false, T0 + 90000);
    assert_int_equal(m->lifetime_ms, 0);
    cache_meta_unref(m);
}

/* Who got the 304 is who may be served without asking. */
static void after_a_304_the_copy_is_as_public_as_the_caller_was(void **state)
{
    struct el_fieldv object = FIELDS(FIELD("x-amz-request-id", "1"), FIELD("ETag", "\"a\""));
    struct cache_meta *m = store(200, object, true);

    (void)state;
    assert_false(m->is_public);
    m = update(m, NO_FIELDS, true, T0);
    assert_false(m->is_public);
    m = update(m, NO_FIELDS, false, T0);
    assert_true(m->is_public);
    m = update(m, NO_FIELDS, true, T0);
    assert_false(m->is_public);
    cache_meta_unref(m);
}

static void a_304_that_forbids_storing_ends_unasked_use(void **state)
{
    struct proxy_fresh_request req = request(NO_FIELDS, false);
    struct cache_meta *m =
        store(200, FIELDS(FIELD("ETag", "\"a\""), FIELD("Cache-Control", "max-age=3600")), false);

    (void)state;
    assert_int_equal(proxy_fresh_use(m, &req, T0 + 1000), PROXY_FRESH);
    m = update(m, FIELDS(FIELD("Cache-Control", "private, max-age=3600")), false, T0);
    assert_int_equal(proxy_fresh_use(m, &req, T0 + 1000), PROXY_STALE);
    cache_meta_unref(m);
}

/* ---- use (section 4.2) ---- */

struct use {
    const char *answer, *request; /* their Cache-Control */
    int64_t age_s;
    enum proxy_fresh_use use;
};

static void what_is_stored_is_used_as_both_sides_allow(void **state)
{
    static const struct use cases[] = {
        { "max-age=60", "", 0, PROXY_FRESH },
        { "max-age=60", "", 59, PROXY_FRESH },
        { "max-age=60", "", 60, PROXY_STALE },
        { "max-age=0", "", 0, PROXY_STALE },
        { "max-age=60, no-cache", "", 1, PROXY_STALE },
        { "max-age=60, no-cache=\"a\"", "", 1, PROXY_STALE },
        { "max-age=60", "no-cache", 1, PROXY_STALE },
        { "max-age=60", "max-age=0", 1, PROXY_STALE },
        { "max-age=60", "max-age=30", 30, PROXY_FRESH },
        { "max-age=60", "max-age=30", 31, PROXY_STALE },
        { "max-age=60", "max-age=x", 1, PROXY_STALE },
        { "max-age=60", "min-fresh=10", 50, PROXY_FRESH },
        { "max-age=60", "min-fresh=10", 51, PROXY_STALE },
        { "max-age=60", "min-fresh=99999999999", 0, PROXY_STALE },
        { "max-age=60", "max-stale", 1000000, PROXY_FRESH },
        { "max-age=60", "max-stale=10", 70, PROXY_FRESH },
        { "max-age=60", "max-stale=10", 71, PROXY_STALE },
        { "max-age=60", "max-stale=x", 61, PROXY_STALE },
        { "max-age=60, must-revalidate", "max-stale", 61, PROXY_STALE },
        { "max-age=60, proxy-revalidate", "max-stale", 61, PROXY_STALE },
        { "s-maxage=60", "max-stale", 61, PROXY_STALE },
        { "max-age=60, no-cache", "max-stale", 1, PROXY_STALE },
        { "max-age=60", "max-stale, max-age=30", 61, PROXY_STALE },
        /* RFC 5861 */
        { "max-age=60, stale-while-revalidate=10", "", 59, PROXY_FRESH },
        { "max-age=60, stale-while-revalidate=10", "", 70, PROXY_STALE_WHILE_ASKING },
        { "max-age=60, stale-while-revalidate=10", "", 71, PROXY_STALE },
        { "max-age=60, stale-if-error=10", "", 70, PROXY_STALE },
        { "max-age=60, stale-if-error=10", "", 71, PROXY_STALE },
        { "max-age=60, stale-while-revalidate=5, stale-if-error=10", "", 64,
          PROXY_STALE_WHILE_ASKING },
        { "max-age=60, stale-while-revalidate=10", "no-cache", 61, PROXY_STALE },
        { "max-age=60, stale-while-revalidate=10", "max-age=60", 61, PROXY_STALE },
        { "max-age=60, stale-while-revalidate=5, stale-if-error=10", "", 66, PROXY_STALE },
        { "max-age=60, stale-if-error=99999999999", "", 1000000, PROXY_STALE },
        { "max-age=60, stale-if-error=10, must-revalidate", "", 61, PROXY_STALE },
        { "s-maxage=60, stale-while-revalidate=10", "", 61, PROXY_STALE },
        { "max-age=60, stale-if-error=10", "no-cache", 61, PROXY_STALE },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const struct el_field f[] = { FIELD("ETag", "\"a\""),
                                      { EL_STR("Cache-Control"), el_str_of(cases[i].answer) } };
        struct proxy_fresh_request req =
            request(ONE_FIELD("Cache-Control", cases[i].request), false);
        struct cache_meta *m = store(200, (struct el_fieldv){ f, 2 }, false);

        if (proxy_fresh_use(m, &req, T0 + cases[i].age_s * 1000) != cases[i].use)
            fail_msg("case %zu: %s; %s", i, cases[i].answer, cases[i].request);
        cache_meta_unref(m);
    }
}

/* ---- when the origin fails (section 4.2.4, RFC 5861 section 4) ---- */

static void what_is_stale_stands_in_for_a_failed_origin_as_all_sides_allow(void **state)
{
    static const struct {
        const char *answer, *request; /* their Cache-Control */
        int64_t age_s;
        bool for_an_error, out_of_reach; /* may stand in, when the origin ... */
    } cases[] = {
        { "max-age=60", "", 61, false, true },
        { "max-age=60", "", 90, false, true },
        { "max-age=60", "", 91, false, false },
        { "max-age=60, stale-if-error=10", "", 70, true, true },
        { "max-age=60, stale-if-error=10", "", 71, false, true },
        { "max-age=60, stale-if-error=99", "", 159, true, true },
        { "max-age=60", "stale-if-error=99", 159, true, true },
        { "max-age=60", "stale-if-error=x", 61, false, true },
        { "max-age=60, must-revalidate, stale-if-error=99", "", 61, false, false },
        { "max-age=60, proxy-revalidate, stale-if-error=99", "", 61, false, false },
        { "s-maxage=60, stale-if-error=99", "", 61, false, false },
        { "max-age=60, no-cache, stale-if-error=99", "", 61, false, false },
        { "max-age=60, stale-if-error=99", "no-cache", 61, false, false },
        { "max-age=60, stale-if-error=99", "max-age=60", 61, false, false },
        { "max-age=60, stale-if-error=99", "min-fresh=1", 61, false, false },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const struct el_field f[] = { FIELD("ETag", "\"a\""),
                                      { EL_STR("Cache-Control"), el_str_of(cases[i].answer) } };
        struct proxy_fresh_request req =
            request(ONE_FIELD("Cache-Control", cases[i].request), false);
        struct cache_meta *m = store(200, (struct el_fieldv){ f, 2 }, false);
        int64_t now = T0 + cases[i].age_s * 1000;

        req.policy.stale_error_ms = 30000;
        if (proxy_fresh_may_stand_in(m, &req, now, false) != cases[i].for_an_error ||
            proxy_fresh_may_stand_in(m, &req, now, true) != cases[i].out_of_reach)
            fail_msg("case %zu: %s; %s", i, cases[i].answer, cases[i].request);
        cache_meta_unref(m);
    }
}

static void what_we_refuse_ourselves_is_no_failure_of_the_origin(void **state)
{
    static const enum el_err failures[] = { EL_ECONNECT, EL_ETIMEOUT, EL_ERESET, EL_EBREAKER };
    static const enum el_err refusals[] = { EL_OK,        EL_EFORBIDDEN, EL_ELOOP, EL_ETLS,
                                            EL_ESHUTDOWN, EL_ECANCELED,  EL_EINVAL };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(failures); i++)
        assert_true(proxy_fresh_is_out_of_reach(failures[i]));
    for (size_t i = 0; i < EL_COUNT(refusals); i++)
        assert_false(proxy_fresh_is_out_of_reach(refusals[i]));
}

/* ---- HEAD (section 4.3.5) ---- */

static void a_head_is_about_the_stored_version_unless_something_differs(void **state)
{
    struct cache_meta *m = store(200,
                                 FIELDS(FIELD("ETag", "\"a\""), FIELD("Last-Modified", DATE),
                                        FIELD("Cache-Control", "max-age=60")),
                                 false);

    (void)state;
    assert_true(proxy_fresh_head_agrees(m, NO_FIELDS, 5));
    assert_true(proxy_fresh_head_agrees(
        m, FIELDS(FIELD("ETag", "\"a\""), FIELD("Content-Length", "5")), 5));
    assert_true(
        proxy_fresh_head_agrees(m, FIELDS(FIELD("Content-Length", "6")), CACHE_UNKNOWN_LENGTH));
    assert_false(proxy_fresh_head_agrees(m, FIELDS(FIELD("ETag", "\"b\"")), 5));
    assert_false(proxy_fresh_head_agrees(m, FIELDS(FIELD("ETag", "W/\"a\"")), 5));
    assert_false(proxy_fresh_head_agrees(m, FIELDS(FIELD("Last-Modified", "x")), 5));
    assert_false(proxy_fresh_head_agrees(m, FIELDS(FIELD("Content-Length", "6")), 5));
    assert_false(proxy_fresh_head_agrees(m, FIELDS(FIELD("Content-Length", "5x")), 5));
    cache_meta_unref(m);
}

/* ---- Date, Content-Range ---- */

static void an_answer_without_date_has_that_of_its_arrival(void **state)
{
    struct cache_meta *m = store(200, FIELDS(FIELD("ETag", "\"a\"")), false);

    (void)state;
    assert_true(has_field(m, "Date", DATE));
    m = update(m, NO_FIELDS, false, T0 + 1000);
    assert_true(has_field(m, "Date", "Sun, 06 Nov 1994 08:49:38 GMT"));
    assert_int_equal(el_fieldv_count(el_fields_view(&m->fields), EL_STR("Date")), 1);
    cache_meta_unref(m);
}

static void the_place_of_a_part_is_not_kept_with_the_whole(void **state)
{
    struct el_fieldv fields = FIELDS(FIELD("ETag", "\"a\""), FIELD("Content-Range", "bytes 0-0/5"));
    struct cache_meta *m = store(206, fields, false);

    (void)state;
    assert_false(el_fieldv_has(el_fields_view(&m->fields), EL_STR("Content-Range")));
    cache_meta_unref(m);
    m = store(200, fields, false);
    assert_true(has_field(m, "Content-Range", "bytes 0-0/5"));
    cache_meta_unref(m);
}

static void pragma_speaks_where_cache_control_is_silent(void **state)
{
    (void)state;
    assert_true(request(FIELDS(FIELD("Pragma", "x, No-Cache")), false).no_cache);
    assert_false(request(FIELDS(FIELD("Pragma", "no-cachex")), false).no_cache);
    assert_false(
        request(FIELDS(FIELD("Pragma", "no-cache"), FIELD("Cache-Control", "max-age=9")), false)
            .no_cache);
    assert_true(request(FIELDS(FIELD("Cache-Control", "only-if-cached")), false).only_if_cached);
    assert_false(request(NO_FIELDS, false).only_if_cached);
}

/* ---- object stores ---- */

static bool is_stored_about(struct el_fieldv fields)
{
    struct proxy_fresh_request req = request(NO_FIELDS, false);
    const struct proxy_fresh_response res = {
        .status = 200, .fields = fields, .request_ms = T0, .response_ms = T0
    };
    struct cache_meta *m;
    const char *why;
    bool is_stored_so;

    req.is_about = true;
    m = proxy_fresh_meta(&req, &res, &why);
    is_stored_so = m != NULL;
    cache_meta_unref(m);
    return is_stored_so;
}

static void what_is_said_about_objects_is_stored_only_with_a_lifetime(void **state)
{
    (void)state;
    assert_false(is_stored_about(FIELDS(FIELD("ETag", "\"a\""), FIELD("x-amz-request-id", "1"))));
    assert_false(is_stored_about(FIELDS(FIELD("ETag", "\"a\""), FIELD("x-oss-request-id", "1"),
                                        FIELD("Cache-Control", "public"))));
    assert_true(is_stored_about(FIELDS(FIELD("ETag", "\"a\""), FIELD("x-amz-request-id", "1"),
                                       FIELD("Cache-Control", "max-age=60"))));
    /* Elsewhere such a query may mean anything. */
    assert_true(is_stored_about(FIELDS(FIELD("ETag", "\"a\""))));
}

static void checksums_of_a_part_are_not_taken_for_those_of_the_whole(void **state)
{
    const struct el_fieldv fields = FIELDS(
        FIELD("ETag", "\"a\""), FIELD("Content-MD5", "AAAA"), FIELD("Content-Digest", "a=:b:"),
        FIELD("x-amz-checksum-crc32", "AAAA"), FIELD("x-oss-hash-crc64ecma", "1"),
        FIELD("Repr-Digest", "a=:b:"), FIELD("Cache-Control", "max-age=60"));
    struct cache_meta *whole = store(200, fields, false), *part = store(206, fields, false);

    (void)state;
    assert_true(has_field(whole, "Content-MD5", "AAAA"));
    assert_true(has_field(whole, "x-amz-checksum-crc32", "AAAA"));
    assert_false(has_field(part, "Content-MD5", "AAAA"));
    assert_false(has_field(part, "Content-Digest", "a=:b:"));
    assert_false(has_field(part, "x-amz-checksum-crc32", "AAAA"));
    assert_true(has_field(part, "x-oss-hash-crc64ecma", "1"));
    assert_true(has_field(part, "Repr-Digest", "a=:b:"));
    cache_meta_unref(whole);
    cache_meta_unref(part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(explicit_lifetimes_go_in_the_order_of_the_rfc),
        cmocka_unit_test(expires_that_is_there_twice_is_over),
        cmocka_unit_test(without_a_lifetime_the_last_change_gives_one),
        cmocka_unit_test(the_targeted_field_goes_before_cache_control_and_expires),
        cmocka_unit_test(objects_of_an_object_store_are_fresh_for_the_configured_time),
        cmocka_unit_test(an_object_store_may_be_configured_and_may_say_more_itself),
        cmocka_unit_test(a_listing_is_given_no_time_that_nobody_granted),
        cmocka_unit_test(age_is_the_greater_of_what_clock_and_field_say),
        cmocka_unit_test(the_first_age_line_counts),
        cmocka_unit_test(what_is_said_about_objects_is_stored_only_with_a_lifetime),
        cmocka_unit_test(checksums_of_a_part_are_not_taken_for_those_of_the_whole),
        cmocka_unit_test(what_is_forbidden_is_not_stored),
        cmocka_unit_test(a_request_may_forbid_it_too),
        cmocka_unit_test(statuses_are_stored_as_far_as_they_are_meant_to_be),
        cmocka_unit_test(an_error_is_believed_for_as_long_as_the_operator_allows),
        cmocka_unit_test(a_missing_object_is_remembered_for_as_long_as_the_operator_says),
        cmocka_unit_test(what_must_be_understood_is_stored_where_it_is),
        cmocka_unit_test(a_cookie_is_for_one_client_unless_all_may_have_it),
        cmocka_unit_test(what_could_never_be_used_is_not_stored),
        cmocka_unit_test(an_answer_to_credentials_is_private_unless_all_may_have_it),
        cmocka_unit_test(what_nobody_could_be_asked_about_is_not_stored_for_credentials),
        cmocka_unit_test(validators_are_strong_where_versions_cannot_be_confused),
        cmocka_unit_test(two_tags_are_no_strong_validator),
        cmocka_unit_test(fields_of_the_connection_and_of_this_answer_are_not_kept),
        cmocka_unit_test(a_304_updates_what_it_carries_and_leaves_the_rest),
        cmocka_unit_test(a_304_cannot_change_what_the_stored_bytes_are),
        cmocka_unit_test(a_304_without_date_does_not_move_expires),
        cmocka_unit_test(after_a_304_the_copy_is_as_public_as_the_caller_was),
        cmocka_unit_test(a_304_that_forbids_storing_ends_unasked_use),
        cmocka_unit_test(what_is_stored_is_used_as_both_sides_allow),
        cmocka_unit_test(what_is_stale_stands_in_for_a_failed_origin_as_all_sides_allow),
        cmocka_unit_test(what_we_refuse_ourselves_is_no_failure_of_the_origin),
        cmocka_unit_test(a_head_is_about_the_stored_version_unless_something_differs),
        cmocka_unit_test(an_answer_without_date_has_that_of_its_arrival),
        cmocka_unit_test(the_place_of_a_part_is_not_kept_with_the_whole),
        cmocka_unit_test(pragma_speaks_where_cache_control_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
