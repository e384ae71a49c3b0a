/* SPDX-License-Identifier: MIT */
/*
 * link_stream: bytes of a link through its socket, plain or TLS. Plain bytes are received where
 * they belong, and sent from where they lie: a block out of a file by sendfile(), else by
 * sendmsg(), with the frames that stand before it. TLS records are made in memory, many for one
 * send().
 */
#include "p2p/link.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/sendfile.h>

#define TLS_PIECE (64 * (size_t)EL_KIB) /* plain bytes for one send() */

static enum p2p_stream failed(struct el_error *err)
{
    (void)el_fail(err, EL_ERESET, errno, "the link");
    return P2P_STREAM_FAILED;
}

static bool is_wait(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* ---- plain ---- */

static enum p2p_stream read_plain(struct p2p_link *l, struct p2p_span a, struct p2p_span b,
                                  size_t *ret_n, struct el_error *err)
{
    struct iovec v[2] = { { a.p, a.n }, { b.p, b.n } };
    struct msghdr m = { .msg_iov = v, .msg_iovlen = b.p != NULL ? 2 : 1 };
    ssize_t n = recvmsg(l->fd, &m, 0);

    if (n < 0 && !is_wait())
        return failed(err);
    if (n == 0)
        return P2P_STREAM_END;
    /* Less than there was room for: the socket is empty, and the next byte is an event. */
    if (n < 0 || ((size_t)n < a.n + b.n && !l->is_ended))
        l->is_readable = false;
    if (n < 0)
        return P2P_STREAM_WAIT;
    *ret_n = (size_t)n;
    return P2P_STREAM_MOVED;
}

static ssize_t send_file(struct p2p_link *l, struct el_str bytes, const struct p2p_out_block *body,
                         uint32_t done, uint32_t body_n)
{
    off_t offset = (off_t)(body->offset + done);

    /* What stands before it goes first, and waits in the socket for the block to follow. */
    if (bytes.n > 0)
        return send(l->fd, bytes.p, bytes.n, MSG_NOSIGNAL | MSG_MORE);
    return sendfile(l->fd, body->fd, &offset, body_n);
}

static ssize_t send_memory(struct p2p_link *l, struct el_str bytes,
                           const struct p2p_out_block *body, uint32_t done, uint32_t body_n)
{
    struct iovec v[2] = { { (void *)(uintptr_t)bytes.p, bytes.n } };
    struct msghdr m = { .msg_iov = v, .msg_iovlen = 1 };

    if (body_n > 0) {
        v[1] = (struct iovec){ (char *)(uintptr_t)body->mem + done, body_n };
        m.msg_iovlen = 2;
    }
    return sendmsg(l->fd, &m, MSG_NOSIGNAL);
}

static enum p2p_stream write_plain(struct p2p_link *l, struct el_str bytes,
                                   const struct p2p_out_block *body, uint32_t done, uint32_t body_n,
                                   size_t *ret_n, struct el_error *err)
{
    bool has_file = body_n > 0 && body->fd >= 0;
    ssize_t n = has_file ? send_file(l, bytes, body, done, body_n)
                         : send_memory(l, bytes, body, done, body_n);

    if (n == 0 && has_file) {
        (void)el_fail(err, EL_EINVAL, 0, "the file of a block is shorter than the block");
        return P2P_STREAM_FAILED;
    }
    if (n < 0 && !is_wait())
        return failed(err);
    if (n < 0) {
        l->is_writable = false;
        return P2P_STREAM_WAIT;
    }
    *ret_n = (size_t)n;
    return P2P_STREAM_MOVED;
}

/* ---- TLS ---- */

static enum p2p_stream tls_failed(struct p2p_link *l, int n, struct el_error *err)
{
    int what = SSL_get_error(l->ssl, n);
    unsigned long code;
    const char *reason;

    if (what == SSL_ERROR_WANT_READ) {
        l->is_readable = false;
        return P2P_STREAM_WAIT;
    }
    code = ERR_peek_error();
    reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    if (what == SSL_ERROR_ZERO_RETURN)
        return P2P_STREAM_END;
    if (what == SSL_ERROR_SYSCALL && errno != 0)
        return failed(err);
    (void)el_fail(err, EL_ETLS, 0, "TLS: %s", reason != NULL ? reason : "the connection ended");
    return P2P_STREAM_FAILED;
}

static enum p2p_stream read_tls(struct p2p_link *l, struct p2p_span a, size_t *ret_n,
                                struct el_error *err)
{
    size_t n = 0;
    int rc;

    errno = 0;
    rc = SSL_read_ex(l->ssl, a.p, a.n, &n);
    if (rc != 1)
        return tls_failed(l, rc, err);
    *ret_n = n;
    return P2P_STREAM_MOVED;
}

bool p2p_stream_has_rest(const struct p2p_link *l)
{
    return l->cipher_done < l->cipher.n;
}

enum p2p_stream p2p_stream_flush(struct p2p_link *l, struct el_error *err)
{
    while (p2p_stream_has_rest(l)) {
        struct el_str s = el_str_from(el_buf_str(&l->cipher), l->cipher_done);
        ssize_t n = send(l->fd, s.p, s.n, MSG_NOSIGNAL);

        if (n < 0 && !is_wait())
            return failed(err);
        if (n < 0) {
            l->is_writable = false;
            return P2P_STREAM_WAIT;
        }
        l->cipher_done += (size_t)n;
    }
    el_buf_clear(&l->cipher);
    l->cipher_done = 0;
    return P2P_STREAM_MOVED;
}

/* Into memory, which takes everything. */
static enum p2p_stream encrypt(struct p2p_link *l, const char *p, size_t n, struct el_error *err)
{
    size_t written = 0;
    int rc;

    if (n == 0)
        return P2P_STREAM_MOVED;
    errno = 0;
    rc = SSL_write_ex(l->ssl, p, n, &written);
    if (rc == 1 && written == n)
        return P2P_STREAM_MOVED;
    (void)tls_failed(l, rc, err);
    return P2P_STREAM_FAILED;
}

static enum p2p_stream write_tls(struct p2p_link *l, struct el_str bytes,
                                 const struct p2p_out_block *body, uint32_t done, uint32_t body_n,
                                 size_t *ret_n, struct el_error *err)
{
    enum p2p_stream rc = p2p_stream_flush(l, err);

    if (rc != P2P_STREAM_MOVED)
        return rc;
    bytes = el_str_first(bytes, TLS_PIECE);
    body_n = (uint32_t)el_min_size(body_n, TLS_PIECE - bytes.n);
    rc = encrypt(l, bytes.p, bytes.n, err);
    if (rc == P2P_STREAM_MOVED && body_n > 0)
        rc = encrypt(l, (const char *)body->mem + done, body_n, err);
    if (rc != P2P_STREAM_MOVED)
        return rc;
    *ret_n = bytes.n + body_n;
    rc = p2p_stream_flush(l, err);
    return rc == P2P_STREAM_FAILED ? rc : P2P_STREAM_MOVED;
}

/* ---- both ---- */

enum p2p_stream p2p_stream_read(struct p2p_link *l, struct p2p_span a, struct p2p_span b,
                                size_t *ret_n, struct el_error *err)
{
    return l->ssl != NULL ? read_tls(l, a, ret_n, err) : read_plain(l, a, b, ret_n, err);
}

enum p2p_stream p2p_stream_write(struct p2p_link *l, struct el_str bytes,
                                 const struct p2p_out_block *body, uint32_t body_done,
                                 uint32_t body_n, size_t *ret_n, struct el_error *err)
{
    return l->ssl != NULL ? write_tls(l, bytes, body, body_done, body_n, ret_n, err)
                          : write_plain(l, bytes, body, body_done, body_n, ret_n, err);
}
