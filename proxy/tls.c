/* SPDX-License-Identifier: MIT */
#include "proxy/tls.h"

#include <openssl/err.h>

/* What the server prefers comes first; both are in the wire's form: length, name. */
static const unsigned char protocols[] = "\x02h2\x08http/1.1";
#define H2_BYTES 3

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                           const unsigned char *in, unsigned in_n, void *with_http2)
{
    const unsigned char *ours = with_http2 != NULL ? protocols : protocols + H2_BYTES;
    unsigned n = (unsigned)(protocols + sizeof(protocols) - 1 - ours);
    unsigned char *chosen;

    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_n, ours, n, in, in_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK; /* no common one: HTTP/1.1 is what everybody speaks */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* The newest of OpenSSL's queued reasons, as text; empties the queue. */
static enum el_err fail_tls(struct el_error *err, const char *what, const char *file)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return el_fail(err, EL_ECONF, 0, "%s %s: %s", what, file,
                   reason != NULL ? reason : "unknown reason");
}

SSL_CTX *proxy_tls_context(bool http2)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (ctx == NULL)
        return NULL;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    /* Sessions live in tickets: a table of them would be shared by the threads under one lock. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"eliop2p", 7);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, http2 ? ctx : NULL);
    return ctx;
}

enum el_err proxy_tls_new(const char *cert, const char *key, bool http2, SSL_CTX **ret_ctx,
                          struct el_error *err)
{
    SSL_CTX *ctx = proxy_tls_context(http2);
    enum el_err rc;

    if (ctx == NULL)
        return fail_tls(err, "TLS context for", cert);
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1) {
        rc = fail_tls(err, "certificate", cert);
        goto fail;
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        rc = fail_tls(err, "private key", key);
        goto fail;
    }
    *ret_ctx = ctx;
    return EL_OK;
fail:
    SSL_CTX_free(ctx);
    return rc;
}
