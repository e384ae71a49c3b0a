/* SPDX-License-Identifier: MIT */
/* redis_link: see redis_link.h. */
#include "controlplane/redis_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#define READ_BYTES 16384

/* ---- TLS ---- */

static enum el_err fail_conf(SSL_CTX *tls, const char *key, const char *path, struct el_error *err)
{
    const char *why = ERR_reason_error_string(ERR_get_error());

    SSL_CTX_free(tls);
    return el_fail(err, EL_ECONF, 0, "%s %s: %s", key, path, why != NULL ? why : "unusable");
}

enum el_err cp_redis_tls_new(const char *ca_file, const char *cert, const char *key,
                             struct ssl_ctx_st **ret_tls, struct el_error *err)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

    EL_ASSERT(tls != NULL);
    ERR_clear_error();
    (void)SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_mode(tls, SSL_MODE_AUTO_RETRY);
    if (ca_file == NULL)
        (void)SSL_CTX_set_default_verify_paths(tls);
    else if (SSL_CTX_load_verify_locations(tls, ca_file, NULL) != 1)
        return fail_conf(tls, "service.redis_ca_file", ca_file, err);
    if (cert != NULL && SSL_CTX_use_certificate_chain_file(tls, cert) != 1)
        return fail_conf(tls, "service.redis_tls_cert", cert, err);
    if (key != NULL && (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1 ||
                        SSL_CTX_check_private_key(tls) != 1))
        return fail_conf(tls, "service.redis_tls_key", key, err);
    *ret_tls = tls;
    return EL_OK;
}

void cp_redis_tls_free(struct ssl_ctx_st *tls)
{
    SSL_CTX_free(tls);
}

/* The socket has a deadline: what takes longer comes back as EAGAIN. */
static enum el_err fail_tls(SSL *ssl, int result, const char *what, struct el_error *err)
{
    bool is_late = errno == EAGAIN || errno == EWOULDBLOCK;
    long verdict = SSL_get_verify_result(ssl);
    int kind = SSL_get_error(ssl, result);
    const char *why = ERR_reason_error_string(ERR_peek_error());

    if (verdict != X509_V_OK)
        why = X509_verify_cert_error_string(verdict);
    ERR_clear_error();
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE ||
        (kind == SSL_ERROR_SYSCALL && is_late))
        return el_fail(err, EL_ETIMEOUT, 0, "%s: no answer in time", what);
    return el_fail(err, EL_ERESET, 0, "%s: %s", what, why != NULL ? why : "the connection ended");
}

static bool set_name(SSL *ssl, const char *host)
{
    struct in6_addr address;

    if (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static enum el_err begin_tls(struct cp_redis_link *l, const char *host, struct ssl_ctx_st *tls,
                             struct el_error *err)
{
    int result;

    l->ssl = SSL_new(tls);
    EL_ASSERT(l->ssl != NULL);
    if (!set_name(l->ssl, host) || SSL_set_fd(l->ssl, l->context->fd) != 1)
        return el_fail(err, EL_ECONF, 0, "TLS to %s cannot be begun", host);
    errno = 0;
    ERR_clear_error();
    result = SSL_connect(l->ssl);
    return result == 1 ? EL_OK : fail_tls(l->ssl, result, "TLS", err);
}

/* ---- a link ---- */

enum el_err cp_redis_link_open(struct cp_redis_link *l, const char *host, uint16_t port,
                               struct timeval deadline, struct ssl_ctx_st *tls,
                               struct el_error *err)
{
    enum el_err rc = EL_OK;

    l->context = redisConnectWithTimeout(host, port, deadline);
    if (l->context == NULL)
        return el_fail(err, EL_ENOMEM, 0, "no memory");
    if (l->context->err != 0)
        rc = el_fail(err, EL_ECONNECT, 0, "%s", l->context->errstr);
    else if (redisSetTimeout(l->context, deadline) != REDIS_OK)
        rc = el_fail(err, EL_ESYS, 0, "%s", l->context->errstr);
    if (rc == EL_OK) {
        (void)redisEnableKeepAlive(l->context);
        rc = tls != NULL ? begin_tls(l, host, tls, err) : EL_OK;
    }
    if (rc != EL_OK)
        cp_redis_link_close(l);
    return rc;
}

void cp_redis_link_close(struct cp_redis_link *l)
{
    SSL_free(l->ssl);      /* NULL is fine, as below */
    redisFree(l->context); /* closes the socket */
    *l = (struct cp_redis_link){ NULL, NULL };
}

enum el_err cp_redis_link_send(struct cp_redis_link *l, const char *bytes, size_t n,
                               struct el_error *err)
{
    size_t written;
    int result;

    if (l->ssl == NULL)
        return redisAppendFormattedCommand(l->context, bytes, n) == REDIS_OK
                   ? EL_OK
                   : el_fail(err, EL_ENOMEM, 0, "%s", l->context->errstr);
    errno = 0;
    ERR_clear_error();
    result = SSL_write_ex(l->ssl, bytes, n, &written);
    return result == 1 ? EL_OK : fail_tls(l->ssl, result, "write", err);
}

static enum el_err fail_context(const redisContext *c, struct el_error *err)
{
    enum el_err code = EL_ERESET;

    if (c->err == REDIS_ERR_PROTOCOL)
        code = EL_EPROTO;
    else if (c->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK))
        code = EL_ETIMEOUT;
    return el_fail(err, code, 0, "%s", c->errstr);
}

/* More of what the server says, for the reader. */
static enum el_err feed(struct cp_redis_link *l, struct el_error *err)
{
    char bytes[READ_BYTES];
    size_t n = 0;
    int result;

    errno = 0;
    ERR_clear_error();
    result = SSL_read_ex(l->ssl, bytes, sizeof(bytes), &n);
    if (result != 1)
        return fail_tls(l->ssl, result, "read", err);
    if (redisReaderFeed(l->context->reader, bytes, n) != REDIS_OK)
        return el_fail(err, EL_EPROTO, 0, "%s", l->context->reader->errstr);
    return EL_OK;
}

enum el_err cp_redis_link_reply(struct cp_redis_link *l, redisReply **ret, struct el_error *err)
{
    void *reply = NULL;
    enum el_err rc = EL_OK;

    errno = 0;
    if (l->ssl == NULL && (redisGetReply(l->context, &reply) != REDIS_OK || reply == NULL))
        return fail_context(l->context, err);
    while (rc == EL_OK && reply == NULL) {
        if (redisGetReplyFromReader(l->context, &reply) != REDIS_OK)
            return fail_context(l->context, err);
        if (reply == NULL)
            rc = feed(l, err);
    }
    if (rc == EL_OK)
        *ret = (redisReply *)reply;
    return rc;
}
