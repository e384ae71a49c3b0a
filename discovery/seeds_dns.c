/* SPDX-License-Identifier: MIT */
/*
 * seeds_dns: names that stand for nodes, such as a headless service. A resolver may take half a
 * minute to fail and cannot be interrupted, so a thread asks it (watch.h).
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include "discovery/watch.h"

#define EVERY_MS 30000

struct lookup {
    struct disc_watch watch;
    struct disc_seeds names; /* immutable */
    struct disc_seeds found; /* under watch.mtx */
};

struct dns {
    struct disc_provider base;
    struct lookup *lookup;
    int64_t asked_ms; /* 0: not polled yet */
};

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

/* While the name server knows nothing at all, the addresses of before count. */
static void look_up(struct disc_watch *w, int64_t wall_ms)
{
    struct lookup *l = EL_ENTRY(w, struct lookup, watch);
    struct disc_seeds found = { 0 };
    struct el_error err = { 0 };
    enum el_err rc = EL_OK;

    (void)wall_ms;
    for (size_t i = 0; i < l->names.n; i++)
        if (resolve(l->names.address[i], &found, &err) != EL_OK)
            rc = EL_ERESOLVE;
    disc_watch_lock(w);
    w->rc = rc;
    w->err = err;
    if (rc == EL_OK || found.n > 0) {
        disc_seeds_deinit(&l->found);
        l->found = found;
    }
    disc_watch_unlock(w);
}

static void lookup_free(struct disc_watch *w)
{
    struct lookup *l = EL_ENTRY(w, struct lookup, watch);

    disc_seeds_deinit(&l->names);
    disc_seeds_deinit(&l->found);
    free(l);
}

/* The thread has asked once at the start; a clock that goes back makes it ask again. */
static bool is_due(struct dns *d, int64_t wall_ms)
{
    bool is_first = d->asked_ms == 0;

    if (!is_first && wall_ms >= d->asked_ms && wall_ms - d->asked_ms < EVERY_MS)
        return false;
    d->asked_ms = wall_ms;
    return !is_first;
}

static enum el_err dns_poll(struct disc_provider *p, int64_t wall_ms, struct disc_seeds *seeds,
                            struct el_error *err)
{
    struct dns *d = EL_ENTRY(p, struct dns, base);
    struct lookup *l = d->lookup;
    enum el_err rc;

    disc_watch_lock(&l->watch);
    for (size_t i = 0; i < l->found.n; i++)
        disc_seeds_add(seeds, el_str_of(l->found.address[i]));
    rc = disc_watch_error_locked(&l->watch, err);
    if (is_due(d, wall_ms))
        disc_watch_ask_locked(&l->watch, wall_ms);
    disc_watch_unlock(&l->watch);
    return rc;
}

static void dns_free(struct disc_provider *p)
{
    struct dns *d = EL_ENTRY(p, struct dns, base);

    disc_watch_stop(&d->lookup->watch);
    free(d);
}

enum el_err disc_provider_dns(struct el_str names, struct disc_provider **ret, struct el_error *err)
{
    struct disc_provider *list;
    struct dns *d;
    enum el_err rc = disc_provider_list(names, &list, err);

    if (rc != EL_OK)
        return rc;
    d = el_new(struct dns);
    d->base = (struct disc_provider){
        .name = "dns", .learnt = DISC_LEARNT_DNS, .poll = dns_poll, .free = dns_free
    };
    d->lookup = el_new(struct lookup);
    (void)list->poll(list, 0, &d->lookup->names, NULL);
    disc_provider_free(list);
    disc_watch_init(&d->lookup->watch, look_up, lookup_free);
    rc = disc_watch_start(&d->lookup->watch, "dns-seeds", err);
    if (rc != EL_OK) {
        dns_free(&d->base);
        return rc;
    }
    *ret = &d->base;
    return EL_OK;
}
