/* SPDX-License-Identifier: MIT */
/*
 * tls: TLS 1.3 between nodes, by a secret that all of them know or by certificates of one CA.
 *
 * With a secret there is nothing else: the server has no certificate, so a client without the right
 * key cannot be answered, and the client takes none, so a server without it cannot answer. Both ask
 * at the end whether the key was what they agreed on. The exchange is ephemeral (psk_dhe_ke), so a
 * handshake that was recorded is of no use later; there are no tickets and no early data.
 */
#include <errno.h>
#include <openssl/err.h>

#include "p2p/link.h"

#define IDENTITY  "eliop2p"
#define PSK_LABEL EL_STR("eliop2p link 1")
#define EXPORTER  "EXPORTER-eliop2p-proof"

/* Two records and a half. OpenSSL moves what is left for each record, so much more costs more. */
#define READ_AHEAD (40 * (size_t)EL_KIB)

static const uint8_t suite[2] = { 0x13, 0x01 }; /* TLS_AES_128_GCM_SHA256 */

/* ---- the secret ---- */

static void derive_psk(struct p2p_net *net)
{
    uint8_t psk[EL_SHA256_BYTES];

    el_hmac_sha256(net->conf.secret.p, net->conf.secret.n, PSK_LABEL, psk);
    el_secret_set(&net->psk, (struct el_str){ (const char *)psk, sizeof(psk) });
    OPENSSL_cleanse(psk, sizeof(psk));
}

static SSL_SESSION *new_session(SSL *ssl)
{
    const struct p2p_net *net = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct el_str psk = el_secret_get(&net->psk);
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, suite);
    SSL_SESSION *s = SSL_SESSION_new();

    EL_ASSERT(s != NULL && cipher != NULL);
    EL_ASSERT(SSL_SESSION_set1_master_key(s, (const uint8_t *)psk.p, psk.n) == 1);
    EL_ASSERT(SSL_SESSION_set_cipher(s, cipher) == 1);
    EL_ASSERT(SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION) == 1);
    EL_ASSERT(SSL_SESSION_set1_id_context(s, (const uint8_t *)IDENTITY, strlen(IDENTITY)) == 1);
    return s;
}

/* OpenSSL's: 1 with no session would go on without the key. */
static int use_session(SSL *ssl, const EVP_MD *md, const uint8_t **id, size_t *id_n,
                       SSL_SESSION **session)
{
    *session = NULL;
    *id = NULL;
    *id_n = 0;
    if (md != NULL && EVP_MD_get_type(md) != NID_sha256)
        return 0;
    *session = new_session(ssl);
    *id = (const uint8_t *)IDENTITY;
    *id_n = strlen(IDENTITY);
    return 1;
}

static int find_session(SSL *ssl, const uint8_t *id, size_t id_n, SSL_SESSION **session)
{
    bool is_ours = id_n == strlen(IDENTITY) && memcmp(id, IDENTITY, id_n) == 0;

    *session = is_ours ? new_session(ssl) : NULL;
    return 1; /* without a session the handshake fails: there is no certificate */
}

/* ---- where records go: many of them are one send() ---- */

static int write_cipher(BIO *bio, const char *p, size_t n, size_t *ret_n)
{
    struct p2p_link *l = BIO_get_data(bio);

    el_buf_add(&l->cipher, p, n);
    *ret_n = n;
    return 1;
}

static long control_cipher(BIO *bio, int what, long number, void *p)
{
    (void)bio;
    (void)number;
    (void)p;
    return what == BIO_CTRL_FLUSH; /* p2p_stream_flush() does */
}

static BIO_METHOD *new_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "link");

    EL_ASSERT(m != NULL);
    EL_ASSERT(BIO_meth_set_write_ex(m, write_cipher) == 1);
    EL_ASSERT(BIO_meth_set_ctrl(m, control_cipher) == 1);
    return m;
}

/* ---- contexts ---- */

static enum el_err tls_error(struct el_error *err, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return el_fail(err, EL_ETLS, 0, "%s: %s", what, reason != NULL ? reason : "TLS");
}

static enum el_err load_certificates(struct p2p_net *net, struct el_error *err)
{
    if (SSL_CTX_use_certificate_chain_file(net->tls, net->conf.cert_file) != 1)
        return tls_error(err, net->conf.cert_file);
    if (SSL_CTX_use_PrivateKey_file(net->tls, net->conf.key_file, SSL_FILETYPE_PEM) != 1)
        return tls_error(err, net->conf.key_file);
    if (SSL_CTX_check_private_key(net->tls) != 1)
        return tls_error(err, net->conf.key_file);
    if (SSL_CTX_load_verify_locations(net->tls, net->conf.ca_file, NULL) != 1)
        return tls_error(err, net->conf.ca_file);
    return EL_OK;
}

static void set_up(struct p2p_net *net)
{
    SSL_CTX *c = net->tls;

    EL_ASSERT(SSL_CTX_set_app_data(c, net) == 1);
    EL_ASSERT(SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) == 1);
    EL_ASSERT(SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1);
    EL_ASSERT(SSL_CTX_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256") == 1);
    EL_ASSERT(SSL_CTX_set_session_id_context(c, (const uint8_t *)IDENTITY, strlen(IDENTITY)) == 1);
    EL_ASSERT(SSL_CTX_set_num_tickets(c, 0) == 1);
    (void)SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    /* Frames say themselves where they end. */
    (void)SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
    /* Certificates: both sides, always. With a secret nobody's is taken: no CA is known. */
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_read_ahead(c, 1);
    SSL_CTX_set_default_read_buffer_len(c, READ_AHEAD);
    (void)SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS); /* an idle link has none */
}

enum el_err p2p_tls_open(struct p2p_net *net, struct el_error *err)
{
    bool has_secret = net->conf.secret.n > 0, has_cert = net->conf.cert_file != NULL;

    if (!has_secret && !has_cert)
        return EL_OK;
    if (has_secret && has_cert)
        return el_fail(err, EL_ECONF, 0, "links have a secret or certificates, not both");
    if (has_cert && (net->conf.key_file == NULL || net->conf.ca_file == NULL))
        return el_fail(err, EL_ECONF, 0, "links with certificates need key and CA as well");
    net->to_cipher = new_method();
    net->tls = SSL_CTX_new(TLS_method());
    EL_ASSERT(net->tls != NULL);
    set_up(net);
    if (has_cert)
        return load_certificates(net, err);
    derive_psk(net);
    SSL_CTX_set_psk_use_session_callback(net->tls, use_session);
    SSL_CTX_set_psk_find_session_callback(net->tls, find_session);
    return EL_OK;
}

void p2p_tls_close(struct p2p_net *net)
{
    SSL_CTX_free(net->tls);
    BIO_meth_free(net->to_cipher);
    el_secret_deinit(&net->psk);
}

/* ---- a link ---- */

enum el_err p2p_tls_begin(struct p2p_link *l, struct el_error *err)
{
    BIO *in = BIO_new_socket(l->fd, BIO_NOCLOSE), *out = BIO_new(l->net->to_cipher);

    l->ssl = SSL_new(l->net->tls);
    if (l->ssl == NULL || in == NULL || out == NULL) {
        BIO_free(in);
        BIO_free(out);
        return el_fail(err, EL_ENOMEM, 0, "no memory for TLS");
    }
    BIO_set_data(out, l);
    BIO_set_init(out, 1);
    SSL_set0_rbio(l->ssl, in);
    SSL_set0_wbio(l->ssl, out);
    if (l->is_inbound)
        SSL_set_accept_state(l->ssl);
    else
        SSL_set_connect_state(l->ssl);
    return EL_OK;
}

void p2p_tls_end(struct p2p_link *l)
{
    SSL_free(l->ssl);
    l->ssl = NULL;
}

/* What the configuration demands was done, and not something that OpenSSL would do as well. */
static enum el_err judge(struct p2p_link *l, struct el_error *err)
{
    bool has_secret = l->net->psk.n > 0;

    if (SSL_version(l->ssl) != TLS1_3_VERSION)
        return el_fail(err, EL_ETLS, 0, "TLS: not version 1.3");
    if (has_secret && SSL_session_reused(l->ssl) != 1)
        return el_fail(err, EL_ETLS, 0, "TLS: the cluster secret was not used");
    if (!has_secret &&
        (SSL_get0_peer_certificate(l->ssl) == NULL || SSL_get_verify_result(l->ssl) != X509_V_OK))
        return el_fail(err, EL_ETLS, 0, "TLS: no certificate of the CA");
    return EL_OK;
}

static enum p2p_stream finish(struct p2p_link *l, struct el_error *err)
{
    if (judge(l, err) != EL_OK)
        return P2P_STREAM_FAILED;
    if (SSL_export_keying_material(l->ssl, l->ends.binding, sizeof(l->ends.binding), EXPORTER,
                                   strlen(EXPORTER), NULL, 0, 0) != 1) {
        (void)tls_error(err, "TLS exports nothing");
        return P2P_STREAM_FAILED;
    }
    return P2P_STREAM_MOVED;
}

static enum p2p_stream refused(struct p2p_link *l, int rc, struct el_error *err)
{
    int what = SSL_get_error(l->ssl, rc);

    if (what == SSL_ERROR_WANT_READ) {
        l->is_readable = false;
        return P2P_STREAM_WAIT;
    }
    if (what == SSL_ERROR_SYSCALL && ERR_peek_error() == 0) {
        (void)el_fail(err, EL_ERESET, errno, "the peer has left during the TLS handshake");
        return P2P_STREAM_FAILED;
    }
    (void)tls_error(err, "TLS handshake");
    return P2P_STREAM_FAILED;
}

enum p2p_stream p2p_tls_handshake(struct p2p_link *l, struct el_error *err)
{
    enum p2p_stream flushed;
    int rc;

    errno = 0;
    ERR_clear_error();
    rc = SSL_do_handshake(l->ssl);
    if (rc != 1) {
        enum p2p_stream ends = refused(l, rc, err);

        /* An alert says why; that it cannot be sent is no other failure. */
        flushed = p2p_stream_flush(l, ends == P2P_STREAM_WAIT ? err : NULL);
        return flushed == P2P_STREAM_FAILED ? flushed : ends;
    }
    flushed = p2p_stream_flush(l, err);
    return flushed == P2P_STREAM_FAILED ? flushed : finish(l, err);
}
