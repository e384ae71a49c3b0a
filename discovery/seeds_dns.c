/* SPDX-License-Identifier: MIT */
/*
 * seeds_dns: names that stand for nodes, such as a headless service. A resolver may take half a
 * minute to fail and cannot be interrupted: a thread asks, and outlives the provider when it is
 * in the middle of that.
 *
 * Thread: `mtx` guards what both see.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/socket.h>

#include "discovery/discovery.h"

#define EVERY_S 30

struct lookup {
    pthread_mutex_t mtx;
    pthread_cond_t stop;
    /* immutable */
    struct disc_seeds names;
    /* under mtx */
    struct disc_seeds found;
    enum el_err rc;
    struct el_error err;
    unsigned refs; /* the provider and the thread */
    bool is_stopped;
};

struct dns {
    struct disc_provider base;
    struct lookup *lookup;
};

static void unref(struct lookup *l)
{
    bool is_last;

    (void)pthread_mutex_lock(&l->mtx);
    is_last = --l->refs == 0;
    (void)pthread_mutex_unlock(&l->mtx);
    if (!is_last)
        return;
    disc_seeds_deinit(&l->names);
    disc_seeds_deinit(&l->found);
    (void)pthread_cond_destroy(&l->stop);
    (void)pthread_mutex_destroy(&l->mtx);
    free(l);
}

/* ---- the thread ---- */

static void add_address(struct disc_seeds *found, const struct addrinfo *a, const char *port)
{
    char host[NI_MAXHOST];
    struct el_buf address = { 0 };

    if (getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof(host), NULL, 0, NI_NUMERICHOST) != 0)
        return;
    el_buf_addf(&address, a->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    disc_seeds_add(found, el_buf_str(&address));
    el_buf_deinit(&address);
}

static enum el_err resolve(const char *name, struct disc_seeds *found, struct el_error *err)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    const char *colon = strrchr(name, ':');
    bool is_bracketed = name[0] == '[';
    char *host = el_strndup(name + is_bracketed, (size_t)(colon - name) - 2u * is_bracketed);
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &list);

    if (rc == 0) {
        for (const struct addrinfo *a = list; a != NULL; a = a->ai_next)
            add_address(found, a, colon + 1);
        freeaddrinfo(list);
    }
    free(host);
    return rc == 0 ? EL_OK : el_fail(err, EL_ERESOLVE, 0, "%s: %s", name, gai_strerror(rc));
}

static void look_up(struct lookup *l)
{
    struct disc_seeds found = { 0 };
    struct el_error err = { 0 };
    enum el_err rc = EL_OK;

    for (size_t i = 0; i < l->names.n; i++)
        if (resolve(l->names.address[i], &found, &err) != EL_OK)
            rc = EL_ERESOLVE;
    (void)pthread_mutex_lock(&l->mtx);
    l->rc = rc;
    l->err = err;
    if (rc == EL_OK || found.n > 0) {
        disc_seeds_deinit(&l->found);
        l->found = found;
    }
    (void)pthread_mutex_unlock(&l->mtx);
}

/* True when it is to end. */
static bool wait_for_next(struct lookup *l)
{
    struct timespec at;
    bool is_stopped;

    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += EVERY_S;
    (void)pthread_mutex_lock(&l->mtx);
    while (!l->is_stopped && pthread_cond_timedwait(&l->stop, &l->mtx, &at) == 0)
        ;
    is_stopped = l->is_stopped;
    (void)pthread_mutex_unlock(&l->mtx);
    return is_stopped;
}

static void *run(void *arg)
{
    struct lookup *l = arg;

    do
        look_up(l);
    while (!wait_for_next(l));
    unref(l);
    return NULL;
}

/* ---- the provider ---- */

static enum el_err dns_poll(struct disc_provider *p, int64_t wall_ms, struct disc_seeds *seeds,
                            struct el_error *err)
{
    struct lookup *l = EL_ENTRY(p, struct dns, base)->lookup;
    enum el_err rc;

    (void)wall_ms;
    (void)pthread_mutex_lock(&l->mtx);
    for (size_t i = 0; i < l->found.n; i++)
        disc_seeds_add(seeds, el_str_of(l->found.address[i]));
    rc = l->rc;
    if (rc != EL_OK && err != NULL)
        *err = l->err;
    (void)pthread_mutex_unlock(&l->mtx);
    return rc;
}

static void dns_free(struct disc_provider *p)
{
    struct dns *d = EL_ENTRY(p, struct dns, base);

    (void)pthread_mutex_lock(&d->lookup->mtx);
    d->lookup->is_stopped = true;
    (void)pthread_cond_signal(&d->lookup->stop);
    (void)pthread_mutex_unlock(&d->lookup->mtx);
    unref(d->lookup);
    free(d);
}

static struct lookup *new_lookup(void)
{
    struct lookup *l = el_new(struct lookup);
    pthread_condattr_t monotonic;

    l->refs = 1;
    (void)pthread_mutex_init(&l->mtx, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&l->stop, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    return l;
}

static enum el_err start(struct lookup *l, struct el_error *err)
{
    pthread_t thread;
    int sys;

    l->refs++;
    sys = pthread_create(&thread, NULL, run, l);
    if (sys != 0) {
        l->refs--;
        return el_fail(err, EL_ESYS, sys, "a thread for DNS");
    }
    (void)pthread_setname_np(thread, "dns-seeds");
    (void)pthread_detach(thread);
    return EL_OK;
}

enum el_err disc_provider_dns(struct el_str names, struct disc_provider **ret, struct el_error *err)
{
    struct disc_provider *list;
    struct dns *d;
    enum el_err rc = disc_provider_list(names, &list, err);

    if (rc != EL_OK)
        return rc;
    d = el_new(struct dns);
    d->base = (struct disc_provider){ .name = "dns", .poll = dns_poll, .free = dns_free };
    d->lookup = new_lookup();
    (void)list->poll(list, 0, &d->lookup->names, NULL);
    disc_provider_free(list);
    rc = start(d->lookup, err);
    if (rc != EL_OK) {
        dns_free(&d->base);
        return rc;
    }
    *ret = &d->base;
    return EL_OK;
}
