/* SPDX-License-Identifier: MIT */
/* The handshakes themselves are tests/e2e/test_intercept.py's. */
#include "proxy/intercept.h"

#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tests/lib/test.h"

#define NOW_S  ((int64_t)1795000000)
#define LIFE_S ((int64_t)PROXY_LEAF_LIFE_S)
#define HOSTS  300
#define KEPT   256

static char dir[] = "/tmp/elio-intercept-XXXXXX", cert_path[64], key_path[64];
static const int64_t ca_end_s = NOW_S + 1000 * LIFE_S;

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

static int make_ca(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    FILE *f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(cert_path, sizeof(cert_path), "%s/cert", dir);
    (void)snprintf(key_path, sizeof(key_path), "%s/key", dir);
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)"Test CA", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    ASN1_TIME_set(X509_getm_notBefore(cert), NOW_S);
    ASN1_TIME_set(X509_getm_notAfter(cert), ca_end_s);
    X509_set_pubkey(cert, key);
    add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(cert, NID_key_usage, "critical,keyCertSign");
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    f = fopen(cert_path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, cert), 1);
    (void)fclose(f);
    f = fopen(key_path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(f);
    X509_free(cert);
    EVP_PKEY_free(key);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    (void)unlink(cert_path);
    (void)unlink(key_path);
    return rmdir(dir);
}

static enum el_err open_with(const char *hosts, bool insecure, struct proxy_intercept **ret,
                             struct el_error *err)
{
    const struct el_conf conf = {
        .proxy_intercept_hosts = (char *)(uintptr_t)hosts,
        .proxy_intercept_ca_cert = cert_path,
        .proxy_intercept_ca_key = key_path,
        .storage_insecure_tls = insecure,
    };

    return proxy_intercept_new(&conf, NOW_S, ret, err);
}

static struct proxy_intercept *open_well(void)
{
    struct proxy_intercept *i = NULL;
    struct el_error err = { 0 };

    if (open_with("*.test, 10.0.0.0/8", false, &i, &err) != EL_OK)
        fail_msg("%s", err.text);
    return i;
}

static void without_hosts_there_is_nothing(void **state)
{
    struct proxy_intercept *i = NULL;

    (void)state;
    assert_int_equal(open_with("", true, &i, NULL), EL_OK);
    assert_null(i);
    proxy_intercept_free(i);
}

static void origins_have_to_be_verified(void **state)
{
    struct proxy_intercept *i = NULL;
    struct el_error err = { 0 };

    (void)state;
    assert_int_equal(open_with("*.test", true, &i, &err), EL_ECONF);
    assert_non_null(strstr(err.text, "storage.insecure_tls"));
}

static void a_listed_host_has_one_name_however_it_is_written(void **state)
{
    struct proxy_intercept *i = open_well();
    char name[PROXY_LEAF_NAME_BYTES];

    (void)state;
    assert_true(proxy_intercept_has(i, EL_STR("A.Test."), name));
    assert_string_equal(name, "a.test");
    assert_true(proxy_intercept_has(i, EL_STR("10.0.0.1"), name));
    assert_false(proxy_intercept_has(i, EL_STR("a.example"), name));
    assert_false(proxy_intercept_has(i, EL_STR("a..test"), name));
    proxy_intercept_free(i);
}

static uint64_t kept(struct proxy_intercept *i)
{
    struct proxy_intercept_info info;

    proxy_intercept_info_get(i, &info);
    return info.kept;
}

static uint64_t made(struct proxy_intercept *i)
{
    struct proxy_intercept_info info;

    proxy_intercept_info_get(i, &info);
    return info.made;
}

static bool is_kept(struct proxy_intercept *i, const char *name, int64_t now_s)
{
    SSL_CTX *tls = proxy_intercept_find(i, name, now_s);

    SSL_CTX_free(tls);
    return tls != NULL;
}

static void make(struct proxy_intercept *i, const char *name, int64_t now_s)
{
    SSL_CTX *tls = proxy_intercept_make(i, name, now_s);

    assert_non_null(tls);
    assert_int_equal(X509_check_host(SSL_CTX_get0_certificate(tls), name, 0, 0, NULL), 1);
    SSL_CTX_free(tls);
}

static void a_context_is_made_once_and_again_when_half_of_its_life_is_over(void **state)
{
    struct proxy_intercept *i = open_well();

    (void)state;
    assert_false(is_kept(i, "a.test", NOW_S));
    make(i, "a.test", NOW_S);
    make(i, "a.test", NOW_S + LIFE_S / 2 - 1);
    assert_int_equal(made(i), 1);
    assert_true(is_kept(i, "a.test", NOW_S + LIFE_S / 2 - 1));
    assert_false(is_kept(i, "a.test", NOW_S + LIFE_S / 2));
    make(i, "a.test", NOW_S + LIFE_S / 2);
    assert_int_equal(made(i), 2);
    assert_int_equal(kept(i), 1);
    proxy_intercept_free(i);
}

static void what_is_kept_is_bounded_and_the_least_used_goes(void **state)
{
    struct proxy_intercept *i = open_well();
    char name[32];

    (void)state;
    make(i, "often.test", NOW_S);
    for (int n = 0; n < HOSTS; n++) {
        (void)snprintf(name, sizeof(name), "h%d.test", n);
        make(i, name, NOW_S);
        assert_true(is_kept(i, "often.test", NOW_S));
    }
    assert_int_equal(kept(i), KEPT);
    assert_true(is_kept(i, "h299.test", NOW_S));
    assert_false(is_kept(i, "h0.test", NOW_S));
    proxy_intercept_free(i);
}

static void a_ca_without_a_key_identifier_signs_as_well(void **state)
{
    struct proxy_intercept *i = open_well();

    (void)state;
    make(i, "a.test", NOW_S);
    proxy_intercept_free(i);
}

static void a_ca_that_has_expired_signs_no_more(void **state)
{
    struct proxy_intercept *i = open_well();

    (void)state;
    make(i, "a.test", ca_end_s - 1);
    assert_null(proxy_intercept_make(i, "b.test", ca_end_s));
    assert_false(is_kept(i, "a.test", ca_end_s));
    proxy_intercept_free(i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_hosts_there_is_nothing),
        cmocka_unit_test(origins_have_to_be_verified),
        cmocka_unit_test(a_listed_host_has_one_name_however_it_is_written),
        cmocka_unit_test(a_context_is_made_once_and_again_when_half_of_its_life_is_over),
        cmocka_unit_test(what_is_kept_is_bounded_and_the_least_used_goes),
        cmocka_unit_test(a_ca_without_a_key_identifier_signs_as_well),
        cmocka_unit_test(a_ca_that_has_expired_signs_no_more),
    };
    return cmocka_run_group_tests(tests, make_ca, remove_files);
}
