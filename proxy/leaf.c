/* SPDX-License-Identifier: MIT */
/* leaf: see leaf.h. */
#include "proxy/leaf.h"

#include <arpa/inet.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define MAX_LABEL 63
#define MAX_CN    64 /* ub-common-name of RFC 5280 */

struct proxy_leaf_ca {
    X509 *cert;
    STACK_OF(X509) * chain; /* to be sent */
    EVP_PKEY *key, *leaf_key;
    int64_t end_s;
};

/* ---- the CA ---- */

static enum el_err fail_pem(struct el_error *err, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return el_fail(err, EL_ECONF, 0, "%s: %s", what, reason != NULL ? reason : "unknown reason");
}

static BIO *bio_of(struct el_str pem)
{
    return BIO_new_mem_buf(pem.p, pem.n > INT32_MAX ? 0 : (int)pem.n);
}

/* A node has nobody to ask for a passphrase. */
static int no_passphrase(char *out, int n, int is_writing, void *arg)
{
    (void)out;
    (void)n;
    (void)is_writing;
    (void)arg;
    return -1;
}

static bool is_own_issuer(X509 *cert)
{
    return X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) == 0;
}

/* A root that clients do not have already is not believed when it is sent. */
static bool keep_in_chain(struct proxy_leaf_ca *ca, X509 *cert)
{
    return is_own_issuer(cert) || (X509_up_ref(cert) == 1 && sk_X509_push(ca->chain, cert) > 0);
}

static enum el_err read_certs(struct proxy_leaf_ca *ca, struct el_str pem, struct el_error *err)
{
    BIO *bio = bio_of(pem);
    bool is_well = bio != NULL;
    X509 *next;

    ca->cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    is_well = ca->cert != NULL && keep_in_chain(ca, ca->cert);
    while (is_well && (next = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        is_well = keep_in_chain(ca, next);
        X509_free(next);
    }
    BIO_free(bio);
    /* The end of the text is found by an error as well. */
    if (!is_well || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return fail_pem(err, "proxy.intercept_ca_cert");
    ERR_clear_error();
    return EL_OK;
}

static enum el_err read_key(struct proxy_leaf_ca *ca, struct el_str pem, struct el_error *err)
{
    BIO *bio = bio_of(pem);

    ca->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    if (ca->key == NULL)
        return fail_pem(err, "proxy.intercept_ca_key");
    if (X509_check_private_key(ca->cert, ca->key) == 1)
        return EL_OK;
    ERR_clear_error();
    return el_fail(err, EL_ECONF, 0,
                   "proxy.intercept_ca_key is not the key of proxy.intercept_ca_cert");
}

/* Seconds since 1970. */
static bool read_time(const ASN1_TIME *t, int64_t *ret_s)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(t, &tm) != 1)
        return false;
    *ret_s = (int64_t)timegm(&tm);
    return true;
}

static enum el_err judge_ca(struct proxy_leaf_ca *ca, int64_t now_s, struct el_error *err)
{
    int64_t begin_s;

    /* 1: by basicConstraints of X.509 version 3; other numbers are guesses. */
    if (X509_check_ca(ca->cert) != 1 || (X509_get_key_usage(ca->cert) & KU_KEY_CERT_SIGN) == 0)
        return el_fail(err, EL_ECONF, 0,
                       "proxy.intercept_ca_cert is not a CA's: its first certificate lacks "
                       "basicConstraints CA:TRUE, or its keyUsage lacks keyCertSign");
    if (!read_time(X509_get0_notBefore(ca->cert), &begin_s) ||
        !read_time(X509_get0_notAfter(ca->cert), &ca->end_s))
        return fail_pem(err, "proxy.intercept_ca_cert");
    if (now_s < begin_s || now_s >= ca->end_s)
        return el_fail(err, EL_ECONF, 0, "proxy.intercept_ca_cert %s",
                       now_s < begin_s ? "is not valid yet" : "has expired");
    return EL_OK;
}

enum el_err proxy_leaf_ca_new(const struct proxy_leaf_pem *pem, int64_t now_s,
                              struct proxy_leaf_ca **ret_ca, struct el_error *err)
{
    struct proxy_leaf_ca *ca = el_new(struct proxy_leaf_ca);
    enum el_err rc;

    ERR_clear_error();
    ca->chain = sk_X509_new_null();
    EL_ASSERT(ca->chain != NULL);
    rc = read_certs(ca, pem->cert, err);
    if (rc == EL_OK)
        rc = read_key(ca, pem->key, err);
    if (rc == EL_OK)
        rc = judge_ca(ca, now_s, err);
    if (rc == EL_OK && (ca->leaf_key = EVP_EC_gen("P-256")) == NULL)
        rc = fail_pem(err, "a key for interception");
    if (rc != EL_OK) {
        proxy_leaf_ca_free(ca);
        return rc;
    }
    *ret_ca = ca;
    return EL_OK;
}

void proxy_leaf_ca_free(struct proxy_leaf_ca *ca)
{
    if (ca == NULL)
        return;
    X509_free(ca->cert);
    sk_X509_pop_free(ca->chain, X509_free);
    EVP_PKEY_free(ca->key);
    EVP_PKEY_free(ca->leaf_key);
    free(ca);
}

EVP_PKEY *proxy_leaf_key(const struct proxy_leaf_ca *ca)
{
    return ca->leaf_key;
}

const STACK_OF(X509) * proxy_leaf_chain(const struct proxy_leaf_ca *ca)
{
    return ca->chain;
}

int64_t proxy_leaf_ca_end_s(const struct proxy_leaf_ca *ca)
{
    return ca->end_s;
}

void proxy_leaf_ca_name(const struct proxy_leaf_ca *ca, char *out, size_t out_bytes)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int n = -1;

    if (bio != NULL &&
        X509_NAME_print_ex(bio, X509_get_subject_name(ca->cert), 0, XN_FLAG_ONELINE) >= 0)
        n = BIO_read(bio, out, (int)el_min_size(out_bytes - 1, INT32_MAX));
    out[n > 0 ? n : 0] = '\0';
    BIO_free(bio);
}

/* ---- names ---- */

static bool is_address(const char *name)
{
    struct in6_addr room;

    return inet_pton(AF_INET, name, &room) == 1 || inet_pton(AF_INET6, name, &room) == 1;
}

/* Letters, digits, hyphens, and the underscores that names of buckets bring. */
static bool is_label(struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_')
            return false;
    }
    return s.n > 0 && s.n <= MAX_LABEL;
}

static bool is_number(struct el_str s)
{
    size_t i = 0;

    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
        i++;
    return i == s.n;
}

/* A name whose last label is a number is a mistyped address. */
static bool is_dns_name(struct el_str name)
{
    struct el_str label = { NULL, 0 };

    while (el_str_split(&name, '.', &label)) {
        if (!is_label(label))
            return false;
    }
    return label.n > 0 && !is_number(label);
}

bool proxy_leaf_name(struct el_str host, char out[PROXY_LEAF_NAME_BYTES])
{
    if (host.n > 1 && host.p[host.n - 1] == '.')
        host.n--;
    if (host.n == 0 || host.n >= PROXY_LEAF_NAME_BYTES)
        return false;
    for (size_t i = 0; i < host.n; i++)
        out[i] = (char)(host.p[i] >= 'A' && host.p[i] <= 'Z' ? host.p[i] | 0x20 : host.p[i]);
    out[host.n] = '\0';
    return is_address(out) || is_dns_name((struct el_str){ out, host.n });
}

/* ---- a leaf ---- */

/* No text of a configuration language is made of the name: it could say more than a name. */
static GENERAL_NAME *general_name(const char *name)
{
    GENERAL_NAME *gen = GENERAL_NAME_new();
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(name);
    ASN1_IA5STRING *dns = address == NULL ? ASN1_IA5STRING_new() : NULL;

    ERR_clear_error(); /* a name is no address */
    if (gen != NULL && address != NULL) {
        GENERAL_NAME_set0_value(gen, GEN_IPADD, address);
        return gen;
    }
    if (gen != NULL && dns != NULL && ASN1_STRING_set(dns, name, -1) == 1) {
        GENERAL_NAME_set0_value(gen, GEN_DNS, dns);
        return gen;
    }
    ASN1_OCTET_STRING_free(address);
    ASN1_IA5STRING_free(dns);
    GENERAL_NAME_free(gen);
    return NULL;
}

static bool add_alt_name(X509 *leaf, const char *name)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *gen = general_name(name);
    bool is_well = names != NULL && gen != NULL && sk_GENERAL_NAME_push(names, gen) > 0;

    if (!is_well)
        GENERAL_NAME_free(gen);
    is_well = is_well && X509_add1_ext_i2d(leaf, NID_subject_alt_name, names, 0, 0) == 1;
    GENERAL_NAMES_free(names);
    return is_well;
}

static bool add_extension(X509 *leaf, X509V3_CTX *ctx, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
    bool is_well = ext != NULL && X509_add_ext(leaf, ext, -1) == 1;

    X509_EXTENSION_free(ext);
    return is_well;
}

static bool add_extensions(X509 *leaf, const struct proxy_leaf_ca *ca, const char *name)
{
    bool has_key_id = X509_get0_subject_key_id(ca->cert) != NULL; /* an old CA may have none */
    X509V3_CTX ctx;

    X509V3_set_ctx(&ctx, ca->cert, leaf, NULL, NULL, 0);
    return add_extension(leaf, &ctx, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(leaf, &ctx, NID_key_usage, "critical,digitalSignature") &&
           add_extension(leaf, &ctx, NID_ext_key_usage, "serverAuth") &&
           add_extension(leaf, &ctx, NID_subject_key_identifier, "hash") &&
           (!has_key_id || add_extension(leaf, &ctx, NID_authority_key_identifier, "keyid")) &&
           add_alt_name(leaf, name);
}

/* Positive, and never 0 (RFC 5280 section 4.1.2.2). */
static bool set_serial(X509 *leaf, const uint8_t serial[PROXY_LEAF_SERIAL_BYTES])
{
    uint8_t bytes[PROXY_LEAF_SERIAL_BYTES];
    BIGNUM *n;
    bool is_well;

    memcpy(bytes, serial, sizeof(bytes));
    bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40);
    n = BN_bin2bn(bytes, sizeof(bytes), NULL);
    is_well = n != NULL && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(leaf)) != NULL;
    BN_free(n);
    return is_well;
}

/* The subject says nothing that counts: an entry for people who look at it. */
static bool set_names(X509 *leaf, const struct proxy_leaf_ca *ca, const char *name)
{
    return X509_set_issuer_name(leaf, X509_get_subject_name(ca->cert)) == 1 &&
           (strlen(name) > MAX_CN ||
            X509_NAME_add_entry_by_NID(X509_get_subject_name(leaf), NID_commonName, MBSTRING_ASC,
                                       (const unsigned char *)name, -1, -1, 0) == 1);
}

static bool set_times(X509 *leaf, const struct proxy_leaf_ca *ca, int64_t now_s)
{
    int64_t end_s = now_s + PROXY_LEAF_LIFE_S < ca->end_s ? now_s + PROXY_LEAF_LIFE_S : ca->end_s;

    return now_s < ca->end_s &&
           ASN1_TIME_set(X509_getm_notBefore(leaf), now_s - PROXY_LEAF_EARLY_S) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(leaf), end_s) != NULL;
}

/* These two hash by themselves. */
static const EVP_MD *digest_for(EVP_PKEY *key)
{
    bool hashes = EVP_PKEY_is_a(key, "ED25519") == 1 || EVP_PKEY_is_a(key, "ED448") == 1;

    return hashes ? NULL : EVP_sha256();
}

X509 *proxy_leaf_new(const struct proxy_leaf_ca *ca, const char *name, int64_t now_s,
                     const uint8_t serial[PROXY_LEAF_SERIAL_BYTES])
{
    X509 *leaf = X509_new();

    if (leaf != NULL && X509_set_version(leaf, X509_VERSION_3) == 1 && set_serial(leaf, serial) &&
        set_names(leaf, ca, name) && set_times(leaf, ca, now_s) &&
        X509_set_pubkey(leaf, ca->leaf_key) == 1 && add_extensions(leaf, ca, name) &&
        X509_sign(leaf, ca->key, digest_for(ca->key)) > 0)
        return leaf;
    ERR_clear_error();
    X509_free(leaf);
    return NULL;
}
