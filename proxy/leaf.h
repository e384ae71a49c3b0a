/* SPDX-License-Identifier: MIT */
/*
 * leaf: a certificate for one host, signed by the operator's own CA, for interception. Time and
 * randomness are the caller's; no file, no socket.
 *
 * A leaf names exactly one host (subjectAltName, a DNS name or an address), may be a server and
 * nothing else, lives for PROXY_LEAF_LIFE_S at most and never longer than its CA. All leaves of a
 * CA that was loaded have one key, P-256, made then and kept in memory only.
 */
#pragma once

#include <openssl/x509.h>

#include "common/err.h"
#include "common/str.h"

#define PROXY_LEAF_LIFE_S       (7 * 24 * 3600)
#define PROXY_LEAF_EARLY_S      3600 /* valid before now, for clients whose clock is behind */
#define PROXY_LEAF_SERIAL_BYTES 16
#define PROXY_LEAF_NAME_BYTES   254

struct proxy_leaf_ca; /* Immutable */

/* Both are PEM; behind the CA's own certificate there may be those up to the root. */
struct proxy_leaf_pem {
    struct el_str cert, key;
};

/*
 * EL_ECONF says which of the two is no PEM, that they are no pair, that the certificate is no CA's
 * or is not valid at now_s.
 */
enum el_err proxy_leaf_ca_new(const struct proxy_leaf_pem *pem, int64_t now_s,
                              struct proxy_leaf_ca **ret_ca, struct el_error *err);
void proxy_leaf_ca_free(struct proxy_leaf_ca *ca); /* NULL is fine */

EVP_PKEY *proxy_leaf_key(const struct proxy_leaf_ca *ca); /* of every leaf */
/* What a server sends after its leaf: those that are not their own issuer. */
const STACK_OF(X509) * proxy_leaf_chain(const struct proxy_leaf_ca *ca);
int64_t proxy_leaf_ca_end_s(const struct proxy_leaf_ca *ca); /* when it expires */
/* The subject in one line, for people. */
void proxy_leaf_ca_name(const struct proxy_leaf_ca *ca, char *out, size_t out_bytes);

/*
 * A host as in CONNECT, in the form in which leaves are made and kept: lower case, without the dot
 * of the root. False: no certificate can name it exactly.
 */
bool proxy_leaf_name(struct el_str host, char out[PROXY_LEAF_NAME_BYTES]);

/* `name` is of proxy_leaf_name(). NULL: OpenSSL refuses, or the CA has expired at now_s. */
X509 *proxy_leaf_new(const struct proxy_leaf_ca *ca, const char *name, int64_t now_s,
                     const uint8_t serial[PROXY_LEAF_SERIAL_BYTES]);
