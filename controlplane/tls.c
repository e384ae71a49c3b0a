/* SPDX-License-Identifier: MIT */
/* tls: the certificate of the service. */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "controlplane/serve.h"

static enum el_err fail(SSL_CTX *ctx, struct el_error *err, const char *what, const char *path)
{
    const char *why = ERR_reason_error_string(ERR_get_error());

    SSL_CTX_free(ctx);
    return el_fail(err, EL_ECONF, 0, "%s %s: %s", what, path, why != NULL ? why : "unusable");
}

enum el_err cp_tls_new(const char *cert, const char *key, struct ssl_ctx_st **ret_tls,
                       struct el_error *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    EL_ASSERT(ctx != NULL);
    ERR_clear_error();
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"eliocp", 6);
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        return fail(ctx, err, "service.tls_cert", cert);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return fail(ctx, err, "service.tls_key", key);
    *ret_tls = ctx;
    return EL_OK;
}
