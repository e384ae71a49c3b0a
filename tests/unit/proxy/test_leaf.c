/* SPDX-License-Identifier: MIT */
/* Leaves are verified by OpenSSL as a client would. */
#include "proxy/leaf.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "common/buf.h"
#include "tests/lib/test.h"

#define NOW_S ((int64_t)1795000000)
#define DAY_S 86400

static const uint8_t serial[PROXY_LEAF_SERIAL_BYTES] = { 0xff, 1, 2, 3 };

struct authority {
    EVP_PKEY *key;
    X509 *cert;
    struct el_buf cert_pem, key_pem;
};

struct wanted {
    EVP_PKEY *key;                       /* owned from here on; NULL: P-256 */
    const char *constraints, *key_usage; /* NULL: none */
    int64_t begin_s, end_s;
    const struct authority *issuer; /* NULL: itself */
};

static void to_pem(BIO *bio, struct el_buf *out)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);

    el_buf_add(out, p, (size_t)n);
    BIO_free(bio);
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    if (value == NULL)
        return;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

static void name(X509 *cert, const char *cn)
{
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                                (const unsigned char *)cn, -1, -1, 0),
                     1);
}

static struct authority make(const char *cn, const struct wanted *w)
{
    struct authority a = { .key = w->key != NULL ? w->key : EVP_EC_gen("P-256"),
                           .cert = X509_new() };
    const struct authority *issuer = w->issuer != NULL ? w->issuer : &a;
    BIO *cert = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());

    X509_set_version(a.cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(a.cert), 1);
    name(a.cert, cn);
    X509_set_issuer_name(a.cert, X509_get_subject_name(issuer->cert));
    ASN1_TIME_set(X509_getm_notBefore(a.cert), w->begin_s != 0 ? w->begin_s : NOW_S - DAY_S);
    ASN1_TIME_set(X509_getm_notAfter(a.cert), w->end_s != 0 ? w->end_s : NOW_S + 1000 * DAY_S);
    X509_set_pubkey(a.cert, a.key);
    add_extension(a.cert, issuer->cert, NID_subject_key_identifier, "hash");
    add_extension(a.cert, issuer->cert, NID_authority_key_identifier, "keyid");
    add_extension(a.cert, issuer->cert, NID_basic_constraints, w->constraints);
    add_extension(a.cert, issuer->cert, NID_key_usage, w->key_usage);
    assert_true(X509_sign(a.cert, issuer->key,
                          EVP_PKEY_is_a(issuer->key, "ED25519") ? NULL : EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(cert, a.cert), 1);
    assert_int_equal(PEM_write_bio_PrivateKey(key, a.key, NULL, NULL, 0, NULL, NULL), 1);
    to_pem(cert, &a.cert_pem);
    to_pem(key, &a.key_pem);
    return a;
}

static void unmake(struct authority *a)
{
    EVP_PKEY_free(a->key);
    X509_free(a->cert);
    el_buf_deinit(&a->cert_pem);
    el_buf_deinit(&a->key_pem);
}

static struct authority make_ca(void)
{
    return make("Test CA", &(struct wanted){ .constraints = "critical,CA:TRUE",
                                             .key_usage = "critical,keyCertSign,cRLSign" });
}

static enum el_err load(struct el_str cert, struct el_str key, struct proxy_leaf_ca **ret,
                        struct el_error *err)
{
    return proxy_leaf_ca_new(&(struct proxy_leaf_pem){ cert, key }, NOW_S, ret, err);
}

static struct proxy_leaf_ca *load_well(struct el_str cert, struct el_str key)
{
    struct proxy_leaf_ca *ca = NULL;
    struct el_error err = { 0 };

    if (load(cert, key, &ca, &err) != EL_OK)
        fail_msg("%s", err.text);
    return ca;
}

static struct proxy_leaf_ca *ca_of(const struct authority *a)
{
    return load_well(el_buf_str(&a->cert_pem), el_buf_str(&a->key_pem));
}

/* What a client who trusts `root` says of the leaf at the time: X509_V_OK or why not. */
static int verify(X509 *leaf, const struct proxy_leaf_ca *ca, X509 *root, int64_t at_s)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_VERIFY_PARAM *param;
    int rc;

    X509_STORE_add_cert(store, root);
    X509_STORE_CTX_init(ctx, store, leaf, (STACK_OF(X509) *)(uintptr_t)proxy_leaf_chain(ca));
    param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_time(param, at_s);
    X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    rc = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return rc;
}

static bool names(X509 *leaf, const char *host)
{
    return X509_check_host(leaf, host, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1 ||
           X509_check_ip_asc(leaf, host, 0) == 1;
}

static X509 *leaf_of(const struct proxy_leaf_ca *ca, const char *host)
{
    char room[PROXY_LEAF_NAME_BYTES];
    X509 *leaf;

    assert_true(proxy_leaf_name(el_str_of(host), room));
    leaf = proxy_leaf_new(ca, room, NOW_S, serial);
    assert_non_null(leaf);
    return leaf;
}

static void a_client_that_trusts_the_ca_accepts_a_leaf_for_its_host_only(void **state)
{
    static const char *const hosts[] = { "b.s3.amazonaws.com", "A_b.Example.", "x", "10.1.2.3",
                                         "2001:db8::1" };
    struct authority a = make_ca(), stranger = make_ca();
    struct proxy_leaf_ca *ca = ca_of(&a);

    (void)state;
    for (size_t i = 0; i < EL_COUNT(hosts); i++) {
        X509 *leaf = leaf_of(ca, hosts[i]);

        assert_int_equal(verify(leaf, ca, a.cert, NOW_S), X509_V_OK);
        assert_int_not_equal(verify(leaf, ca, stranger.cert, NOW_S), X509_V_OK);
        for (size_t j = 0; j < EL_COUNT(hosts); j++) {
            struct el_str host = el_str_of(hosts[j]);
            char room[PROXY_LEAF_NAME_BYTES];

            assert_true(proxy_leaf_name(host, room));
            assert_int_equal(names(leaf, room), i == j);
        }
        assert_false(names(leaf, "www.b.s3.amazonaws.com"));
        X509_free(leaf);
    }
    proxy_leaf_ca_free(ca);
    unmake(&stranger);
    unmake(&a);
}

static void a_leaf_lives_for_seven_days_and_not_longer_than_its_ca(void **state)
{
    struct authority a = make_ca();
    struct authority b = make("Dying CA", &(struct wanted){ .constraints = "critical,CA:TRUE",
                                                            .key_usage = "keyCertSign",
                                                            .end_s = NOW_S + DAY_S });
    struct proxy_leaf_ca *ca = ca_of(&a), *dying = ca_of(&b);
    X509 *leaf = leaf_of(ca, "h.example"), *last = leaf_of(dying, "h.example");

    (void)state;
    assert_int_equal(verify(leaf, ca, a.cert, NOW_S - PROXY_LEAF_EARLY_S), X509_V_OK);
    assert_int_equal(verify(leaf, ca, a.cert, NOW_S - PROXY_LEAF_EARLY_S - 1),
                     X509_V_ERR_CERT_NOT_YET_VALID);
    assert_int_equal(verify(leaf, ca, a.cert, NOW_S + PROXY_LEAF_LIFE_S - 1), X509_V_OK);
    assert_int_equal(verify(leaf, ca, a.cert, NOW_S + PROXY_LEAF_LIFE_S),
                     X509_V_ERR_CERT_HAS_EXPIRED);
    assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(last), X509_get0_notAfter(b.cert)), 0);
    assert_null(proxy_leaf_new(dying, "h.example", NOW_S + DAY_S, serial));
    assert_int_equal(proxy_leaf_ca_end_s(dying), NOW_S + DAY_S);
    X509_free(leaf);
    X509_free(last);
    proxy_leaf_ca_free(ca);
    proxy_leaf_ca_free(dying);
    unmake(&a);
    unmake(&b);
}

static void a_leaf_is_a_server_and_no_ca(void **state)
{
    struct authority a = make_ca();
    struct proxy_leaf_ca *ca = ca_of(&a);
    X509 *leaf = leaf_of(ca, "h.example");
    const ASN1_INTEGER *number = X509_get0_serialNumber(leaf);

    (void)state;
    assert_int_equal(X509_check_ca(leaf), 0);
    assert_int_equal(X509_get_key_usage(leaf), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_get_extended_key_usage(leaf), XKU_SSL_SERVER);
    assert_int_equal(X509_check_private_key(leaf, proxy_leaf_key(ca)), 1);
    assert_int_equal(number->type, V_ASN1_INTEGER); /* not V_ASN1_NEG_INTEGER */
    assert_int_equal(number->length, PROXY_LEAF_SERIAL_BYTES);
    X509_free(leaf);
    proxy_leaf_ca_free(ca);
    unmake(&a);
}

static void every_kind_of_key_signs(void **state)
{
    EVP_PKEY *keys[] = { EVP_RSA_gen(2048), EVP_EC_gen("P-384"),
                         EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(keys); i++) {
        struct authority a =
            make("Test CA", &(struct wanted){ .key = keys[i],
                                              .constraints = "critical,CA:TRUE,pathlen:0",
                                              .key_usage = "keyCertSign" });
        struct proxy_leaf_ca *ca = ca_of(&a);
        X509 *leaf = leaf_of(ca, "h.example");

        assert_int_equal(verify(leaf, ca, a.cert, NOW_S), X509_V_OK);
        X509_free(leaf);
        proxy_leaf_ca_free(ca);
        unmake(&a);
    }
}

static void intermediate_certificates_are_sent_and_roots_are_not(void **state)
{
    struct authority root = make_ca();
    struct authority middle =
        make("Issuing CA", &(struct wanted){ .constraints = "critical,CA:TRUE",
                                             .key_usage = "keyCertSign",
                                             .issuer = &root });
    struct el_buf chain = { 0 };
    struct proxy_leaf_ca *ca;
    X509 *leaf;
    char text[64];

    (void)state;
    el_buf_add_str(&chain, el_buf_str(&middle.cert_pem));
    el_buf_add_str(&chain, el_buf_str(&root.cert_pem));
    ca = load_well(el_buf_str(&chain), el_buf_str(&middle.key_pem));
    assert_int_equal(sk_X509_num(proxy_leaf_chain(ca)), 1);
    leaf = leaf_of(ca, "h.example");
    assert_int_equal(verify(leaf, ca, root.cert, NOW_S), X509_V_OK);
    proxy_leaf_ca_name(ca, text, sizeof(text));
    assert_string_equal(text, "CN = Issuing CA");
    X509_free(leaf);
    proxy_leaf_ca_free(ca);
    el_buf_deinit(&chain);
    unmake(&middle);
    unmake(&root);
}

static void expect_refusal(struct el_str cert, struct el_str key, const char *says)
{
    struct proxy_leaf_ca *ca = NULL;
    struct el_error err = { 0 };

    assert_int_equal(load(cert, key, &ca, &err), EL_ECONF);
    if (strstr(err.text, says) == NULL)
        fail_msg("%s", err.text);
}

static void expect_no_ca(const struct wanted *w, const char *says)
{
    struct authority a = make("Test CA", w);

    expect_refusal(el_buf_str(&a.cert_pem), el_buf_str(&a.key_pem), says);
    unmake(&a);
}

static void what_is_no_ca_or_no_pair_is_refused(void **state)
{
    struct authority a = make_ca(), b = make_ca();
    struct el_str cert = el_buf_str(&a.cert_pem), key = el_buf_str(&a.key_pem);

    (void)state;
    expect_refusal(cert, el_buf_str(&b.key_pem), "not the key of");
    expect_refusal(EL_STR(""), key, "proxy.intercept_ca_cert");
    expect_refusal(cert, EL_STR("nonsense"), "proxy.intercept_ca_key");
    expect_refusal(el_str_first(cert, cert.n / 2), key, "proxy.intercept_ca_cert");
    expect_refusal(cert, cert, "proxy.intercept_ca_key");
    expect_no_ca(&(struct wanted){ .key_usage = "keyCertSign" }, "not a CA's");
    expect_no_ca(&(struct wanted){ .constraints = "CA:FALSE", .key_usage = "keyCertSign" },
                 "not a CA's");
    expect_no_ca(&(struct wanted){ .constraints = "CA:TRUE", .key_usage = "digitalSignature" },
                 "not a CA's");
    expect_no_ca(&(struct wanted){ .constraints = "CA:TRUE", .end_s = NOW_S }, "has expired");
    expect_no_ca(&(struct wanted){ .constraints = "CA:TRUE", .begin_s = NOW_S + 1 },
                 "not valid yet");
    unmake(&a);
    unmake(&b);
}

static void a_key_with_a_passphrase_is_refused_without_asking_for_it(void **state)
{
    struct authority a = make_ca();
    struct el_buf pem = { 0 };
    BIO *bio = BIO_new(BIO_s_mem());

    (void)state;
    assert_int_equal(PEM_write_bio_PrivateKey(bio, a.key, EVP_aes_128_cbc(),
                                              (const unsigned char *)"x", 1, NULL, NULL),
                     1);
    to_pem(bio, &pem);
    expect_refusal(el_buf_str(&a.cert_pem), el_buf_str(&pem), "proxy.intercept_ca_key");
    el_buf_deinit(&pem);
    unmake(&a);
}

static void names_that_no_certificate_can_hold_are_refused(void **state)
{
    static const char *const bad[] = {
        "",    ".",     "a..b",  ".a",    "*.example", "a b",       "a,DNS:b",   "a/b",
        "a\n", "a:443", "[::1]", "1.2.3", "1.2.3.4.5", "1.2.3.256", "h\xc3\xa4",
    };
    char out[PROXY_LEAF_NAME_BYTES], label[300];

    (void)state;
    for (size_t i = 0; i < EL_COUNT(bad); i++)
        if (proxy_leaf_name(el_str_of(bad[i]), out))
            fail_msg("\"%s\" was taken", bad[i]);
    memset(label, 'a', sizeof(label));
    assert_true(proxy_leaf_name((struct el_str){ label, 63 }, out));
    assert_false(proxy_leaf_name((struct el_str){ label, 64 }, out));
    for (size_t i = 50; i < sizeof(label); i += 50)
        label[i] = '.';
    assert_true(proxy_leaf_name((struct el_str){ label, 253 }, out));
    assert_false(proxy_leaf_name((struct el_str){ label, 254 }, out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_that_trusts_the_ca_accepts_a_leaf_for_its_host_only),
        cmocka_unit_test(a_leaf_lives_for_seven_days_and_not_longer_than_its_ca),
        cmocka_unit_test(a_leaf_is_a_server_and_no_ca),
        cmocka_unit_test(every_kind_of_key_signs),
        cmocka_unit_test(intermediate_certificates_are_sent_and_roots_are_not),
        cmocka_unit_test(what_is_no_ca_or_no_pair_is_refused),
        cmocka_unit_test(a_key_with_a_passphrase_is_refused_without_asking_for_it),
        cmocka_unit_test(names_that_no_certificate_can_hold_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
