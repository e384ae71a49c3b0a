/* SPDX-License-Identifier: MIT */
#include "proxy/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <unistd.h>

#include "common/log.h"
#include "proxy/http1.h"

#define BACKLOG 4096
/* Connections taken per event, so that a burst of them does not starve the ones that exist. */
#define ACCEPT_BATCH 32
/* While the limit is reached: other threads' connections may end without this one hearing of it. */
#define RETRY_MS 50

/* ---- bind ---- */

static enum el_err parse_address(const char *address, uint16_t port, struct sockaddr_storage *ret,
                                 socklen_t *ret_n, struct el_error *err)
{
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_PASSIVE, .ai_socktype = SOCK_STREAM };
    struct addrinfo *ai;
    int rc = getaddrinfo(address, NULL, &hints, &ai);

    if (rc != 0) {
        el_fail(err, EL_ECONF, 0, "%s is not an IP address: %s", address, gai_strerror(rc));
        return EL_ECONF;
    }
    memcpy(ret, ai->ai_addr, ai->ai_addrlen);
    *ret_n = ai->ai_addrlen;
    freeaddrinfo(ai);
    if (ret->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)ret)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)ret)->sin_port = htons(port);
    return EL_OK;
}

static int set_option(int fd, int option)
{
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, option, &on, sizeof(on));
}

/* One listening socket; -1: see errno. `shares` joins the sockets that are open for it. */
static int listen_on(const struct sockaddr_storage *addr, socklen_t n, bool shares)
{
    int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int saved;

    if (fd < 0)
        return -1;
    if (set_option(fd, SO_REUSEADDR) == 0 && (!shares || set_option(fd, SO_REUSEPORT) == 0) &&
        bind(fd, (const struct sockaddr *)addr, n) == 0 && listen(fd, BACKLOG) == 0 &&
        set_option(fd, SO_REUSEPORT) == 0)
        return fd;
    saved = errno;
    (void)close(fd);
    errno = saved;
    return -1;
}

static uint16_t port_of(const struct sockaddr_storage *addr)
{
    return ntohs(addr->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)addr)->sin6_port
                                             : ((const struct sockaddr_in *)addr)->sin_port);
}

enum el_err proxy_listener_bind(const char *address, uint16_t port, unsigned n, int *ret_fds,
                                uint16_t *ret_port, struct el_error *err)
{
    struct sockaddr_storage addr;
    socklen_t len;
    enum el_err rc = parse_address(address, port, &addr, &len, err);
    unsigned made = 0;

    if (rc != EL_OK)
        return rc;
    for (; made < n; made++) {
        ret_fds[made] = listen_on(&addr, len, made > 0);
        /* The first one may have been given any free port: the others want that one. */
        if (ret_fds[made] < 0 ||
            (made == 0 && getsockname(ret_fds[0], (struct sockaddr *)&addr, &len) != 0))
            goto fail;
    }
    *ret_port = port_of(&addr);
    return EL_OK;
fail:
    if (errno == EADDRINUSE)
        rc = el_fail(err, EL_ESYS, errno, "port %u of %s is in use by another process",
                     (unsigned)port, address);
    else
        rc = el_fail(err, EL_ESYS, errno, "listen on port %u of %s", (unsigned)port, address);
    for (unsigned i = 0; i <= made && i < n; i++)
        if (ret_fds[i] >= 0)
            (void)close(ret_fds[i]);
    return rc;
}

/* ---- accept ---- */

static void on_acceptable(h2o_socket_t *sock, const char *err);

static void resume(struct proxy_timer *tm)
{
    struct proxy_listener *l = EL_ENTRY(tm, struct proxy_listener, retry);

    l->is_paused = false;
    h2o_socket_read_start(l->sock, on_acceptable);
}

/* Connections wait in the kernel's queue meanwhile. */
static void pause_accepting(struct proxy_listener *l)
{
    l->is_paused = true;
    h2o_socket_read_stop(l->sock);
    proxy_timer_start(l->thread, &l->retry, RETRY_MS, resume);
}

/* Errors of the connection that would have been accepted, not of the listener (accept(2)). */
static bool is_passing(int error)
{
    return error == ECONNABORTED || error == EINTR || error == EPROTO || error == EPERM ||
           error == ENETDOWN || error == EHOSTUNREACH || error == ENETUNREACH;
}

static void on_acceptable(h2o_socket_t *sock, const char *err)
{
    struct proxy_listener *l = sock->data;
    int fd = h2o_socket_get_fd(sock);

    (void)err; /* the loop does not read from this socket, so it cannot fail */
    for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage addr;
        socklen_t n = sizeof(addr);
        int client;

        if (!proxy_thread_may_accept(l->thread)) {
            pause_accepting(l);
            return;
        }
        client = accept4(fd, (struct sockaddr *)&addr, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0) {
            proxy_thread_note_accepted(l->thread);
            proxy_http1_accept(l->thread, client, &addr, l->is_tls);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (!is_passing(errno)) {
            proxy_thread_note_paused(l->thread, strerrordesc_np(errno));
            pause_accepting(l);
            return;
        }
    }
}

void proxy_listener_open(struct proxy_listener *l, struct proxy_thread *t, int take_fd, bool is_tls)
{
    *l = (struct proxy_listener){ .thread = t, .is_tls = is_tls };
    l->sock = h2o_evloop_socket_create(t->loop, take_fd, H2O_SOCKET_FLAG_DONT_READ);
    l->sock->data = l;
    h2o_socket_read_start(l->sock, on_acceptable);
}

void proxy_listener_close(struct proxy_listener *l)
{
    if (l->sock == NULL)
        return;
    proxy_timer_stop(&l->retry);
    h2o_socket_close(l->sock);
    l->sock = NULL;
}
