/* SPDX-License-Identifier: MIT */
#include "proxy/access.h"

#include "common/buf.h"
#include "common/sha256.h"
#include "tests/lib/fields.h"
#include "tests/lib/test.h"

#define READS    "read-0123456789abcdef"
#define OPERATES "oper-0123456789abcdef"
#define HASHED   "hash-0123456789abcdef"

static struct proxy_tokens *parsed(const char *text)
{
    struct proxy_tokens *t = NULL;
    struct el_error err = { 0 };

    if (proxy_tokens_parse("f", el_str_of(text), &t, &err) != EL_OK)
        fail_msg("%s", err.text);
    return t;
}

static int judge(const struct proxy_access_ask *ask)
{
    int status = 0;

    return proxy_access_judge(ask, &status) == NULL ? 200 : status;
}

/* ---- with tokens ---- */

struct row {
    const char *authorization;  /* NULL: none */
    int none, reader, operates; /* what is answered where that is needed */
};

static void assert_row(const struct proxy_tokens *t, const struct row *row, bool is_local)
{
    const int wanted[] = { row->none, row->reader, row->operates };
    struct el_field field = { EL_STR("Authorization"), el_str_of(row->authorization) };

    for (enum proxy_role need = PROXY_ROLE_NONE; need <= PROXY_ROLE_OPERATOR; need++) {
        const struct proxy_access_ask ask = {
            .need = need,
            .tokens = t,
            .fields = { &field, row->authorization != NULL },
            .is_local = is_local,
        };

        if (judge(&ask) != wanted[need])
            fail_msg("%s, need %d: %d", row->authorization, (int)need, judge(&ask));
    }
}

static void a_token_opens_what_its_role_may(void **state)
{
    static const struct row rows[] = {
        { NULL, 200, 401, 401 },
        { "Bearer " READS, 200, 200, 403 },
        { "bearer  " OPERATES, 200, 200, 200 },
        { "Bearer " HASHED, 200, 200, 200 },
        { "Bearer " READS "x", 200, 401, 401 },
        { "Bearer", 200, 401, 401 },
        { "Bearer " OPERATES " " OPERATES, 200, 401, 401 },
        { "Basic " OPERATES, 200, 401, 401 },
        { OPERATES, 200, 401, 401 },
        { "", 200, 401, 401 },
    };
    struct el_digest digest;
    char hex[65], text[512];
    struct proxy_tokens *t;

    (void)state;
    el_sha256_of(HASHED, strlen(HASHED), &digest);
    el_hex(digest.b, sizeof(digest.b), hex);
    (void)snprintf(text, sizeof(text),
                   "# who may\n\n" READS "  reader\r\n\t" OPERATES "\toperator\n"
                   "sha256:%s operator\n",
                   hex);
    t = parsed(text);
    for (size_t i = 0; i < EL_COUNT(rows); i++) {
        assert_row(t, &rows[i], false);
        assert_row(t, &rows[i], true);
    }
    proxy_tokens_free(t);
}

static void the_digest_in_the_file_is_no_token(void **state)
{
    static const char hex[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    static const struct row row = {
        "Bearer 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", 200, 401, 401
    };
    char text[128];
    struct proxy_tokens *t;

    (void)state;
    (void)snprintf(text, sizeof(text), "sha256:%s operator", hex);
    t = parsed(text);
    assert_row(t, &row, true);
    proxy_tokens_free(t);
}

static void of_two_fields_none_counts(void **state)
{
    struct proxy_tokens *t = parsed(OPERATES " operator");
    const struct proxy_access_ask ask = {
        .need = PROXY_ROLE_READER,
        .tokens = t,
        .fields = FIELDS(FIELD("Authorization", "Bearer " OPERATES),
                         FIELD("Authorization", "Bearer " OPERATES)),
    };

    (void)state;
    assert_int_equal(judge(&ask), 401);
    proxy_tokens_free(t);
}

static void a_token_that_stands_there_twice_has_the_greater_role(void **state)
{
    static const struct row row = { "Bearer " OPERATES, 200, 200, 200 };
    struct proxy_tokens *t = parsed(OPERATES " operator\n" OPERATES " reader\n");

    (void)state;
    assert_row(t, &row, false);
    proxy_tokens_free(t);
}

/* ---- without ---- */

static void without_tokens_this_machine_changes_and_everybody_looks(void **state)
{
    const struct el_fieldv page = FIELDS(FIELD("Origin", "http://evil.test")),
                           fetch = FIELDS(FIELD("Sec-Fetch-Site", "cross-site"));
    struct proxy_access_ask ask = { .need = PROXY_ROLE_READER };

    (void)state;
    assert_int_equal(judge(&ask), 200);
    ask.need = PROXY_ROLE_OPERATOR;
    assert_int_equal(judge(&ask), 403);
    ask.is_local = true;
    assert_int_equal(judge(&ask), 200);
    ask.fields = page;
    assert_int_equal(judge(&ask), 403);
    ask.fields = fetch;
    assert_int_equal(judge(&ask), 403);
    ask.need = PROXY_ROLE_READER;
    assert_int_equal(judge(&ask), 200);
}

/* ---- the file ---- */

static void a_line_that_is_wrong_is_named_and_not_shown(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        { "", "holds no token" },
        { "# nothing\n\n", "holds no token" },
        { READS " reader\n" OPERATES "\n", "line 2 is not TOKEN reader or TOKEN operator" },
        { OPERATES " admin\n", "line 1 is not" },
        { OPERATES " operator reader\n", "line 1 is not" },
        { "operator " OPERATES "\n", "line 1 is not" },
        { "secret operator\n", "line 1 has a token of fewer than 16" },
        { "0123456789,abcdefgh operator\n", "line 1 has a token with other" },
        { "sha256:0011 operator\n", "line 1 has no 64 hexadecimal" },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_tokens *t = NULL;
        struct el_error err = { 0 };

        assert_int_equal(proxy_tokens_parse("tokens", el_str_of(cases[i].text), &t, &err),
                         EL_ECONF);
        assert_non_null(strstr(err.text, "admin.tokens_file tokens"));
        assert_non_null(strstr(err.text, cases[i].why));
        assert_null(strstr(err.text, "secret"));
        assert_null(strstr(err.text, "0123456789"));
    }
}

static void more_tokens_than_there_is_room_for_are_refused(void **state)
{
    struct proxy_tokens *t = NULL;
    struct el_buf text = { 0 };

    (void)state;
    for (unsigned i = 0; i < 1001; i++)
        el_buf_addf(&text, "token-0123456789-%u reader\n", i);
    assert_int_equal(proxy_tokens_parse("f", el_buf_str(&text), &t, NULL), EL_ECONF);
    el_buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_opens_what_its_role_may),
        cmocka_unit_test(the_digest_in_the_file_is_no_token),
        cmocka_unit_test(of_two_fields_none_counts),
        cmocka_unit_test(a_token_that_stands_there_twice_has_the_greater_role),
        cmocka_unit_test(without_tokens_this_machine_changes_and_everybody_looks),
        cmocka_unit_test(a_line_that_is_wrong_is_named_and_not_shown),
        cmocka_unit_test(more_tokens_than_there_is_room_for_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
