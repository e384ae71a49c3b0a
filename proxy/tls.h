/* SPDX-License-Identifier: MIT */
/*
 * tls: the OpenSSL context of the TLS listener: TLS 1.2 and later, ALPN. Immutable once made, so
 * that the threads share it; a new certificate is a new context.
 */
#pragma once

#include <openssl/ssl.h>

#include "common/err.h"

/* Without a certificate yet. NULL: OpenSSL has no memory. */
SSL_CTX *proxy_tls_context(bool http2);
/* cert: a PEM chain, the server's own first. EL_ECONF: the files do not fit together or are no PEM.
 */
enum el_err proxy_tls_new(const char *cert, const char *key, bool http2, SSL_CTX **ret_ctx,
                          struct el_error *err);
