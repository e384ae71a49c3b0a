/* SPDX-License-Identifier: MIT */
/*
 * link_http: a link to a peer whose own port cannot be reached, by way of its node API: one request
 * with Upgrade, and behind the 101 the connection is a link like any other, TLS and Proof included.
 * So who may have what is decided where it always is, and the node API has no part in it.
 *
 * Nothing is sent before the 101 has come, and not one byte behind its head is taken here: the
 * peer may have begun to talk.
 */
#include <errno.h>

#include "common/http_head.h"
#include "p2p/link.h"
#include "p2p/p2p.h"

#define MAX_HEAD 2048u

enum el_err p2p_link_ask_http(struct p2p_link *l, struct el_error *err)
{
    const char *form = l->addr.ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u";
    struct el_buf request = { 0 };
    enum el_err rc = EL_OK;

    el_buf_add_str(&request, EL_STR("GET " P2P_HTTP_PATH " HTTP/1.1\r\nHost: "));
    el_buf_addf(&request, form, l->peer.address, (unsigned)l->http_port);
    el_buf_add_str(&request,
                   EL_STR("\r\nConnection: Upgrade\r\nUpgrade: " P2P_HTTP_TOKEN "\r\n\r\n"));
    errno = 0;
    /* A socket that is just connected takes so little at once. */
    if (send(l->fd, request.p, request.n, MSG_NOSIGNAL) != (ssize_t)request.n)
        rc = el_fail(err, EL_ECONNECT, errno, "send to the node API of %s", l->peer.address);
    el_buf_deinit(&request);
    return rc;
}

/* How long the head is, with its empty line; 0: its end is not there. */
static size_t head_length(struct el_str bytes)
{
    const char *end = memmem(bytes.p, bytes.n, "\r\n\r\n", 4);

    return end != NULL ? (size_t)(end - bytes.p) + 4 : 0;
}

static enum el_err parse(struct el_str bytes, struct el_http_head *head, struct el_error *err)
{
    bool is_complete = false;

    while (bytes.n > 0 && !is_complete) {
        size_t n = el_str_find(bytes, '\n') + 1;
        enum el_err rc = el_http_head_line(head, el_str_first(bytes, n), &is_complete, err);

        if (rc != EL_OK)
            return rc;
        bytes = el_str_from(bytes, n);
    }
    return EL_OK;
}

static bool is_handed_over(const struct el_http_head *head)
{
    struct el_str protocol = { 0 };

    return head->status == 101 &&
           el_fieldv_get(el_fields_view(&head->fields), EL_STR("Upgrade"), &protocol) &&
           el_str_eq(protocol, EL_STR(P2P_HTTP_TOKEN));
}

/* Whatever it says instead: the peer cannot be reached. */
static enum el_err judge(const struct p2p_link *l, struct el_str bytes, struct el_error *err)
{
    struct el_http_head head;
    enum el_err rc;

    el_http_head_init(&head);
    rc = parse(bytes, &head, err);
    if (rc != EL_OK || !is_handed_over(&head))
        rc = el_fail(err, EL_ECONNECT, 0, "the node API of %s hands no connection over: status %d",
                     l->peer.address, head.status);
    el_http_head_deinit(&head);
    return rc;
}

enum el_err p2p_link_hear_http(struct p2p_link *l, bool *ret_is_done, struct el_error *err)
{
    char bytes[MAX_HEAD];
    ssize_t n = recv(l->fd, bytes, sizeof(bytes), MSG_PEEK);
    size_t head_n = n > 0 ? head_length((struct el_str){ bytes, (size_t)n }) : 0;
    enum el_err rc;

    if (n == 0 || (n > 0 && head_n == 0 && l->is_ended))
        return el_fail(err, EL_ECONNECT, 0, "the node API of %s has closed", l->peer.address);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return el_fail(err, EL_ECONNECT, errno, "the node API of %s", l->peer.address);
    if (head_n == 0 && n == (ssize_t)sizeof(bytes))
        return el_fail(err, EL_ECONNECT, 0, "the node API of %s answers at too great length",
                       l->peer.address);
    if (head_n == 0) {
        l->is_readable = false; /* more of it is an event */
        return EL_OK;
    }
    if (recv(l->fd, bytes, head_n, 0) != (ssize_t)head_n)
        return el_fail(err, EL_ECONNECT, errno, "the node API of %s has reset", l->peer.address);
    rc = judge(l, (struct el_str){ bytes, head_n }, err);
    *ret_is_done = rc == EL_OK;
    return rc;
}
