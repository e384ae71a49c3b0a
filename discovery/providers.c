/* SPDX-License-Identifier: MIT */
/* providers: which of them a configuration means, and asking all of them. */
#include <arpa/inet.h>

#include "discovery/discovery.h"

/* ---- where seeds go ---- */

/* A seed that needs no resolver: "10.0.0.1:9000", "[::1]:9000". */
static bool is_numeric(struct el_str seed)
{
    struct in6_addr address;
    char host[INET6_ADDRSTRLEN];
    bool is_v6 = seed.n > 0 && seed.p[0] == '[';
    size_t from = is_v6 ? 1 : 0, end = el_str_find(seed, is_v6 ? ']' : ':');

    if (end <= from || end - from >= sizeof(host))
        return false;
    memcpy(host, seed.p + from, end - from);
    host[end - from] = '\0';
    return inet_pton(is_v6 ? AF_INET6 : AF_INET, host, &address) == 1;
}

static void append(struct el_buf *list, struct el_str seed)
{
    if (list->n > 0)
        el_buf_add_str(list, EL_STR(","));
    el_buf_add_str(list, seed);
}

struct sorted {
    struct el_buf fixed, names;
};

static enum el_err sort(struct el_str seeds, struct sorted *s, struct el_error *err)
{
    struct el_str part;

    while (seeds.n > 0 && el_str_split(&seeds, ',', &part)) {
        part = el_str_trim(part);
        if (!disc_address_ok(part))
            return el_fail(err, EL_ECONF, 0, "%.*s: not host:port", EL_STR_ARG(part));
        append(is_numeric(part) ? &s->fixed : &s->names, part);
    }
    return EL_OK;
}

/* ---- the set ---- */

static enum el_err add_list(struct disc_providers *set, struct el_str seeds, struct el_error *err)
{
    enum el_err rc = disc_provider_list(seeds, &set->v[set->n], err);

    set->n += rc == EL_OK;
    return rc;
}

static enum el_err add_dns(struct disc_providers *set, struct el_str seeds, struct el_error *err)
{
    enum el_err rc = disc_provider_dns(seeds, &set->v[set->n], err);

    set->n += rc == EL_OK;
    return rc;
}

static enum el_err add_file(struct disc_providers *set, struct el_str path, struct el_error *err)
{
    enum el_err rc = disc_provider_file(path, &set->v[set->n], err);

    set->n += rc == EL_OK;
    return rc;
}

static void add_control_plane(struct disc_providers *set, struct disc_cp *cp)
{
    if (cp != NULL)
        set->v[set->n++] = disc_provider_controlplane(cp);
}

/* Whatever is given; only names need the thread that resolves them. */
static enum el_err add_all(struct disc_providers *set, const struct disc_sources *from,
                           struct el_error *err)
{
    struct sorted s = { 0 };
    enum el_err rc = sort(from->seeds, &s, err);

    if (rc == EL_OK && s.fixed.n > 0)
        rc = add_list(set, el_buf_str(&s.fixed), err);
    if (rc == EL_OK && s.names.n > 0)
        rc = add_dns(set, el_buf_str(&s.names), err);
    if (rc == EL_OK && from->file.n > 0)
        rc = add_file(set, from->file, err);
    if (rc == EL_OK)
        add_control_plane(set, from->control_plane);
    el_buf_deinit(&s.fixed);
    el_buf_deinit(&s.names);
    return rc;
}

static const struct mode {
    const char *name;
    bool takes_seeds;         /* or the file; what it does not take must not be given */
    bool takes_control_plane; /* and nothing else */
    /* NULL: takes all, and nothing has to be given */
    enum el_err (*add)(struct disc_providers *set, struct el_str value, struct el_error *err);
} modes[] = {
    { "auto", true, false, NULL },       { "gossip", true, false, NULL },
    { "static", true, false, add_list }, { "dns", true, false, add_dns },
    { "file", false, false, add_file },  { "controlplane", false, true, NULL },
};

static const struct mode *mode_of(struct el_str name)
{
    for (size_t i = 0; i < EL_COUNT(modes); i++)
        if (el_str_eq(name, el_str_of(modes[i].name)))
            return &modes[i];
    return NULL;
}

static enum el_err only_control_plane(struct disc_providers *set, const struct disc_sources *from,
                                      struct el_error *err)
{
    if (from->control_plane == NULL)
        return el_fail(err, EL_ECONF, 0,
                       "discovery.mode controlplane needs control_plane.endpoint");
    if (from->seeds.n > 0 || from->file.n > 0)
        return el_fail(err, EL_ECONF, 0,
                       "discovery.mode controlplane takes nothing but control_plane.endpoint");
    add_control_plane(set, from->control_plane);
    return EL_OK;
}

static enum el_err add_mode(struct disc_providers *set, const struct mode *mode,
                            const struct disc_sources *from, struct el_error *err)
{
    const char *option = mode->takes_seeds ? "seeds" : "file";
    struct el_str value = mode->takes_seeds ? from->seeds : from->file;
    struct el_str other = mode->takes_seeds ? from->file : from->seeds;

    if (mode->add == NULL)
        return add_all(set, from, err);
    if (value.n == 0)
        return el_fail(err, EL_ECONF, 0, "discovery.mode %s needs discovery.%s", mode->name,
                       option);
    if (other.n > 0 || from->control_plane != NULL)
        return el_fail(err, EL_ECONF, 0, "discovery.mode %s takes nothing but discovery.%s",
                       mode->name, option);
    return mode->add(set, value, err);
}

enum el_err disc_providers_of(const struct disc_sources *from, struct disc_providers *ret,
                              struct el_error *err)
{
    const struct mode *mode = mode_of(from->mode);
    struct disc_providers set = { .n = 0 };
    enum el_err rc;

    if (mode == NULL)
        return el_fail(err, EL_ECONF, 0, "discovery.mode %.*s is none", EL_STR_ARG(from->mode));
    rc = mode->takes_control_plane ? only_control_plane(&set, from, err)
                                   : add_mode(&set, mode, from, err);
    if (rc != EL_OK) {
        disc_providers_deinit(&set);
        return rc;
    }
    *ret = set;
    return EL_OK;
}

enum el_err disc_providers_poll(const struct disc_providers *set, int64_t wall_ms,
                                struct disc_seeds *seeds, struct el_error *err)
{
    enum el_err first = EL_OK;

    for (size_t i = 0; i < set->n; i++) {
        struct disc_provider *p = set->v[i];
        size_t n = seeds->n;
        enum el_err rc = p->poll(p, wall_ms, seeds, first == EL_OK ? err : NULL);

        for (; n < seeds->n; n++)
            seeds->from[n] = p->learnt;
        if (first == EL_OK)
            first = rc;
    }
    return first;
}

void disc_providers_announce(const struct disc_providers *set, struct el_str own)
{
    for (size_t i = 0; i < set->n; i++)
        if (set->v[i]->announce != NULL)
            set->v[i]->announce(set->v[i], own);
}

void disc_providers_deinit(struct disc_providers *set)
{
    while (set->n > 0)
        disc_provider_free(set->v[--set->n]);
}
