/* SPDX-License-Identifier: MIT */
/* certificate: made for a test, with Ed25519 keys: a CA, and what it has signed. */
#pragma once

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "tests/lib/test.h"

struct certificate {
    EVP_PKEY *key;
    X509 *cert;
};

static inline void certificate_deinit(struct certificate *c)
{
    EVP_PKEY_free(c->key);
    X509_free(c->cert);
}

/* Signed by `by`, or by itself: then it is a CA. */
static inline struct certificate certificate_new(const char *name, const struct certificate *by)
{
    struct certificate c = { EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), X509_new() };
    X509_NAME *subject;
    X509_EXTENSION *e;

    assert_true(c.key != NULL && c.cert != NULL);
    subject = X509_get_subject_name(c.cert);
    assert_int_equal(X509_set_version(c.cert, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(c.cert), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(c.cert), -3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(c.cert), 3600));
    assert_int_equal(X509_set_pubkey(c.cert, c.key), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                                (const unsigned char *)name, -1, -1, 0),
                     1);
    assert_int_equal(
        X509_set_issuer_name(c.cert, by != NULL ? X509_get_subject_name(by->cert) : subject), 1);
    e = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, by != NULL ? "CA:FALSE" : "CA:TRUE");
    assert_int_equal(X509_add_ext(c.cert, e, -1), 1);
    X509_EXTENSION_free(e);
    assert_true(X509_sign(c.cert, by != NULL ? by->key : c.key, NULL) > 0);
    return c;
}

static inline void certificate_write(const struct certificate *c, const char *cert_path,
                                     const char *key_path)
{
    FILE *f = fopen(cert_path, "w");

    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, c->cert), 1);
    assert_int_equal(fclose(f), 0);
    if (key_path == NULL)
        return;
    f = fopen(key_path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, c->key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
}
