/* SPDX-License-Identifier: MIT */
#include "proxy/credentials.h"

#include "tests/lib/test.h"

/* As `openssl passwd -6 -salt saltsalt` and `htpasswd -nbBC 4` write them. */
#define SHA512_OF_OPEN_SESAME                            \
    "$6$saltsalt$e/5XKibXPLqVcfjpD.ouauaJrAOL5V0uo80Lt7" \
    "n7EbRdRiCx3HbQ90yjOHr.G0T.mx79PEMRy8nmtr0qSYhQp1"
#define BCRYPT_OF_COLONS "$2y$04$Zq7TnA.p1oV/8sKcW3dLheCOcVzDnhwQRYDQXPrTPlXmzD2A2QO5S"
/* Of "token-one" and "token-two". */
#define DIGEST_ONE "75c5c10f256c75b650c6ffc2e83c6588af02766efd2de28f4de34547006e8d1a"
#define DIGEST_TWO "adb97ffd599d30b788077856502e55d9ef5543386cd60a5106e034ebbc3acb0c"

static struct proxy_credentials *parse(enum el_proxy_auth scheme, const char *text)
{
    struct proxy_credentials *c = NULL;
    struct el_error err = { 0 };

    if (proxy_credentials_parse(scheme, "f", el_str_of(text), &c, &err) != EL_OK)
        fail_msg("%s", err.text);
    return c;
}

static bool matches(const struct proxy_credentials *c, const char *text)
{
    return proxy_credentials_match(c, el_str_of(text));
}

static void a_name_and_its_password_are_known_by_their_hash(void **state)
{
    struct proxy_credentials *c = parse(EL_PROXY_AUTH_BASIC, "# who\n\nalice:" SHA512_OF_OPEN_SESAME
                                                             "\r\n  bob:" BCRYPT_OF_COLONS);

    (void)state;
    assert_int_equal(proxy_credentials_count(c), 2);
    assert_true(matches(c, "YWxpY2U6b3BlbiBzZXNhbWU="));  /* alice:open sesame */
    assert_true(matches(c, "Ym9iOmE6Yjpj"));              /* bob:a:b:c */
    assert_false(matches(c, "YWxpY2U6b3BlbiBzZXNhbUU=")); /* alice:open sesamE */
    assert_false(matches(c, "Ym9iOm9wZW4gc2VzYW1l"));     /* bob:open sesame */
    assert_false(matches(c, "Y2Fyb2w6b3BlbiBzZXNhbWU=")); /* carol:open sesame */
    assert_false(matches(c, "YWxpY2U6"));                 /* alice: */
    assert_false(matches(c, "YWxpY2U="));                 /* alice */
    assert_false(matches(c, "Om9wZW4gc2VzYW1l"));         /* :open sesame */
    proxy_credentials_free(c);
}

static void a_password_does_not_end_where_a_byte_0_stands(void **state)
{
    struct proxy_credentials *c = parse(EL_PROXY_AUTH_BASIC, "alice:" SHA512_OF_OPEN_SESAME);

    (void)state;
    assert_false(matches(c, "YWxpY2U6b3BlbiBzZXNhbWUA"));     /* alice:open sesame\0 */
    assert_false(matches(c, "YWxpY2U6b3BlbiBzZXNhbWUAeHh4")); /* alice:open sesame\0xxx */
    proxy_credentials_free(c);
}

static void what_is_no_base64_matches_nobody(void **state)
{
    static const char *const bad[] = {
        "",
        "=",
        "A",
        "YWxp",
        "YWxpY2U6b3BlbiBzZXNhbWU",
        "YWxpY2U6b3BlbiBzZXNhbWU==",
        "A=",
        "A===",
        "A=A=",
        "YW-pY2U=",
        "YWxpY2U6b3BlbiBzZXNhbWU=====",
        "YWxpY2U6b3BlbiBzZXN=bWU=",
    };
    struct proxy_credentials *c = parse(EL_PROXY_AUTH_BASIC, "alice:" SHA512_OF_OPEN_SESAME);

    (void)state;
    for (size_t i = 0; i < EL_COUNT(bad); i++)
        if (matches(c, bad[i]))
            fail_msg("\"%s\" was taken", bad[i]);
    proxy_credentials_free(c);
}

static void credentials_of_any_length_are_looked_at_or_refused(void **state)
{
    static char text[PROXY_CREDENTIALS_BYTES + 8];
    struct proxy_credentials *c = parse(EL_PROXY_AUTH_BASIC, "alice:" SHA512_OF_OPEN_SESAME);

    (void)state;
    memset(text, 'A', sizeof(text));
    for (size_t n = 0; n < sizeof(text); n++)
        assert_false(proxy_credentials_match(c, (struct el_str){ text, n }));
    proxy_credentials_free(c);
}

static void a_token_is_known_by_its_digest(void **state)
{
    struct proxy_credentials *c =
        parse(EL_PROXY_AUTH_BEARER, "ci:" DIGEST_ONE "\nnightly:" DIGEST_TWO "\n");

    (void)state;
    assert_true(matches(c, "token-one"));
    assert_true(matches(c, "token-two"));
    assert_false(matches(c, "token-on"));
    assert_false(matches(c, "token-three"));
    assert_false(matches(c, DIGEST_ONE));
    assert_false(matches(c, ""));
    proxy_credentials_free(c);
}

static void a_bad_line_is_named_but_not_shown(void **state)
{
    static const struct {
        enum el_proxy_auth scheme;
        const char *text, *says;
    } cases[] = {
        { EL_PROXY_AUTH_BASIC, "", "names nobody" },
        { EL_PROXY_AUTH_BASIC, "# nobody\n", "names nobody" },
        { EL_PROXY_AUTH_BASIC, "a:" SHA512_OF_OPEN_SESAME "\nsecret\n", "line 2 is not NAME:HASH" },
        { EL_PROXY_AUTH_BASIC, ":secret", "line 1 is not NAME:HASH" },
        { EL_PROXY_AUTH_BASIC, "a:secret", "line 1 has no bcrypt" },
        { EL_PROXY_AUTH_BASIC, "a:$apr1$secret$x", "line 1 has no bcrypt" },
        { EL_PROXY_AUTH_BASIC, "a:$1$secret$x", "line 1 has no bcrypt" },
        { EL_PROXY_AUTH_BASIC, "a:secretsecret", "line 1 has no bcrypt" },
        { EL_PROXY_AUTH_BASIC, "a:" SHA512_OF_OPEN_SESAME "\na:" SHA512_OF_OPEN_SESAME,
          "line 2 has a name that stands further up" },
        { EL_PROXY_AUTH_BEARER, "a:secret", "line 1 has no SHA-256" },
        { EL_PROXY_AUTH_BEARER, "a:" DIGEST_ONE "0", "line 1 has no SHA-256" },
        { EL_PROXY_AUTH_BEARER, "a:g" DIGEST_ONE, "line 1 has no SHA-256" },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct proxy_credentials *c = NULL;
        struct el_error err = { 0 };

        assert_int_equal(
            proxy_credentials_parse(cases[i].scheme, "/etc/f", el_str_of(cases[i].text), &c, &err),
            EL_ECONF);
        if (strstr(err.text, cases[i].says) == NULL || strstr(err.text, "/etc/f") == NULL ||
            strstr(err.text, "secret") != NULL)
            fail_msg("case %zu: %s", i, err.text);
    }
}

static void a_field_has_a_scheme_and_a_token(void **state)
{
    static const struct {
        enum el_proxy_auth scheme;
        const char *value, *credentials; /* NULL: refused */
    } cases[] = {
        { EL_PROXY_AUTH_BASIC, "Basic YWxp", "YWxp" },
        { EL_PROXY_AUTH_BASIC, "bAsIc   YWxp==  ", "YWxp==" },
        { EL_PROXY_AUTH_BEARER, "Bearer a-._~+/Z9=", "a-._~+/Z9=" },
        { EL_PROXY_AUTH_BASIC, "Bearer YWxp", NULL },
        { EL_PROXY_AUTH_BEARER, "Basic YWxp", NULL },
        { EL_PROXY_AUTH_BASIC, "Basic", NULL },
        { EL_PROXY_AUTH_BASIC, "Basic ", NULL },
        { EL_PROXY_AUTH_BASIC, "BasicYWxp", NULL },
        { EL_PROXY_AUTH_BASIC, "", NULL },
        { EL_PROXY_AUTH_BASIC, "Basic ====", NULL },
        { EL_PROXY_AUTH_BASIC, "Basic a=b", NULL },
        { EL_PROXY_AUTH_BASIC, "Basic a b", NULL },
        { EL_PROXY_AUTH_BASIC, "Basic a, Basic b", NULL },
        { EL_PROXY_AUTH_BEARER, "Bearer realm=\"x\"", NULL },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct el_str got = { NULL, 0 };
        bool is_good = proxy_credentials_of(cases[i].scheme, el_str_of(cases[i].value), &got);

        assert_int_equal(is_good, cases[i].credentials != NULL);
        if (is_good && !el_str_eq(got, el_str_of(cases[i].credentials)))
            fail_msg("\"%s\" gives \"%.*s\"", cases[i].value, EL_STR_ARG(got));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_and_its_password_are_known_by_their_hash),
        cmocka_unit_test(a_password_does_not_end_where_a_byte_0_stands),
        cmocka_unit_test(what_is_no_base64_matches_nobody),
        cmocka_unit_test(credentials_of_any_length_are_looked_at_or_refused),
        cmocka_unit_test(a_token_is_known_by_its_digest),
        cmocka_unit_test(a_bad_line_is_named_but_not_shown),
        cmocka_unit_test(a_field_has_a_scheme_and_a_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
