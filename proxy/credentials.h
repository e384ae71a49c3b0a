/* SPDX-License-Identifier: MIT */
/*
 * credentials: who may use the proxy: the file that says so, what a client says in
 * Proxy-Authorization, and whether the two agree.
 *
 *   basic    NAME:HASH    as crypt(3) knows it: bcrypt ($2y$, of htpasswd -B), SHA-512 ($6$, of
 *                         openssl passwd -6), yescrypt ($y$, of mkpasswd)
 *   bearer   NAME:DIGEST  SHA-256 of the token, 64 hexadecimal digits; the name is for the operator
 *
 * Empty lines and those that begin with '#' say nothing. What a file lists is immutable once read.
 * Pure; proxy_credentials_match() takes the time that crypt(3) takes, which is its purpose.
 */
#pragma once

#include "common/conf.h"
#include "common/err.h"
#include "common/str.h"

/* Longest credentials that are looked at: a name, a password and base64 around them, or a token. */
#define PROXY_CREDENTIALS_BYTES 4096

struct proxy_credentials;

/* EL_ECONF names the file and the line, and never shows what stands there. */
enum el_err proxy_credentials_parse(enum el_proxy_auth scheme, const char *file, struct el_str text,
                                    struct proxy_credentials **ret_credentials,
                                    struct el_error *err);
void proxy_credentials_free(struct proxy_credentials *c); /* NULL is fine */
size_t proxy_credentials_count(const struct proxy_credentials *c);

/*
 * What follows the scheme's name in a field value (RFC 9110 section 11.4), a token68. False: it is
 * of another scheme, empty, too long, or not of these characters.
 */
bool proxy_credentials_of(enum el_proxy_auth scheme, struct el_str value,
                          struct el_str *ret_credentials);

/* RFC 9110 section 11.2; it holds every base64. */
bool proxy_credentials_is_token68(struct el_str s);

/* Whether the file lists them. An unknown name costs what a wrong password does. */
bool proxy_credentials_match(const struct proxy_credentials *c, struct el_str credentials);
