/* SPDX-License-Identifier: MIT */
/* seeds: lists of addresses, and the providers that only have to look: a list, and gossip. */
#include "discovery/discovery.h"

void disc_seeds_deinit(struct disc_seeds *s)
{
    while (s->n > 0)
        free(s->address[--s->n]);
}

static bool has(const struct disc_seeds *s, struct el_str address)
{
    for (size_t i = 0; i < s->n; i++)
        if (el_str_eq(el_str_of(s->address[i]), address))
            return true;
    return false;
}

void disc_seeds_add(struct disc_seeds *s, struct el_str address)
{
    if (s->n < DISC_MAX_SEEDS && !has(s, address))
        s->address[s->n++] = el_strndup(address.p, address.n);
}

bool disc_seeds_equal(const struct disc_seeds *a, const struct disc_seeds *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!has(b, el_str_of(a->address[i])))
            return false;
    return true;
}

static size_t last_colon(struct el_str s)
{
    size_t at = s.n;

    while (at > 0 && s.p[at - 1] != ':')
        at--;
    return at == 0 ? s.n : at - 1;
}

static bool is_host(struct el_str host)
{
    bool is_bracketed = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';

    if (host.n == 0 || host.n > DISC_MAX_HOST)
        return false;
    if (!is_bracketed && el_str_find(host, ':') < host.n)
        return false;
    for (size_t i = 0; i < host.n; i++)
        if (host.p[i] <= ' ' || host.p[i] > '~' || host.p[i] == '/' || host.p[i] == ',')
            return false;
    return true;
}

bool disc_address_ok(struct el_str address)
{
    size_t colon = last_colon(address);
    uint64_t port;

    return is_host(el_str_first(address, colon)) &&
           el_str_u64(el_str_from(address, colon + 1), UINT16_MAX, &port) && port > 0;
}

void disc_provider_free(struct disc_provider *p)
{
    if (p != NULL)
        p->free(p);
}

/* ---- a list ---- */

struct list {
    struct disc_provider base;
    struct disc_seeds seeds;
};

static enum el_err list_poll(struct disc_provider *p, int64_t wall_ms, struct disc_seeds *seeds,
                             struct el_error *err)
{
    const struct list *l = EL_ENTRY(p, struct list, base);

    (void)wall_ms;
    (void)err;
    for (size_t i = 0; i < l->seeds.n; i++)
        disc_seeds_add(seeds, el_str_of(l->seeds.address[i]));
    return EL_OK;
}

static void list_free(struct disc_provider *p)
{
    struct list *l = EL_ENTRY(p, struct list, base);

    disc_seeds_deinit(&l->seeds);
    free(l);
}

enum el_err disc_provider_list(struct el_str addresses, struct disc_provider **ret,
                               struct el_error *err)
{
    struct list *l = el_new(struct list);
    struct el_str part;

    l->base = (struct disc_provider){
        .name = "list", .learnt = DISC_LEARNT_SEED, .poll = list_poll, .free = list_free
    };
    while (el_str_split(&addresses, ',', &part)) {
        part = el_str_trim(part);
        if (!disc_address_ok(part)) {
            list_free(&l->base);
            return el_fail(err, EL_ECONF, 0, "%.*s: not host:port", EL_STR_ARG(part));
        }
        disc_seeds_add(&l->seeds, part);
    }
    *ret = &l->base;
    return EL_OK;
}

/* ---- gossip ---- */

struct gossip {
    struct disc_provider base;
    const struct disc_members *members;
};

static void add_member(struct disc_seeds *seeds, const struct disc_member *m)
{
    const char *host = disc_card_host(m->card);
    bool is_v6 = strchr(host, ':') != NULL && host[0] != '[';
    struct el_buf address = { 0 };

    if (m->state > DISC_SUSPECT || !disc_card_is_serving(m->card))
        return;
    el_buf_addf(&address, is_v6 ? "[%s]:%u" : "%s:%u", host, m->card->p2p_port);
    disc_seeds_add(seeds, el_buf_str(&address));
    el_buf_deinit(&address);
}

static enum el_err gossip_poll(struct disc_provider *p, int64_t wall_ms, struct disc_seeds *seeds,
                               struct el_error *err)
{
    const struct gossip *g = EL_ENTRY(p, struct gossip, base);
    struct disc_member m;
    size_t at = 0;

    (void)wall_ms;
    (void)err;
    while (seeds->n < DISC_MAX_SEEDS && disc_members_each(g->members, &at, &m))
        add_member(seeds, &m);
    return EL_OK;
}

static void gossip_free(struct disc_provider *p)
{
    free(EL_ENTRY(p, struct gossip, base));
}

struct disc_provider *disc_provider_gossip(const struct disc_members *m)
{
    struct gossip *g = el_new(struct gossip);

    g->base = (struct disc_provider){
        .name = "gossip", .learnt = DISC_LEARNT_GOSSIP, .poll = gossip_poll, .free = gossip_free
    };
    g->members = m;
    return &g->base;
}
