/* SPDX-License-Identifier: MIT */
/* card: see card.h. The set is a table of chains that doubles when it is full. */
#include "discovery/card.h"

#define FIRST_BUCKETS 16u
#define ID_KEY0       0x656c696f70327031u /* fixed: the hash travels between members */
#define ID_KEY1       0x6d656d6265727321u

struct disc_cards {
    struct disc_card **bucket;
    size_t n, n_buckets; /* a power of two */
};

struct disc_cards *disc_cards_new(void)
{
    struct disc_cards *s = el_new(struct disc_cards);

    s->n_buckets = FIRST_BUCKETS;
    s->bucket = el_alloc(s->n_buckets * sizeof(*s->bucket));
    return s;
}

void disc_cards_free(struct disc_cards *s)
{
    if (s == NULL)
        return;
    EL_ASSERT(s->n == 0);
    free(s->bucket);
    free(s);
}

/* ---- values ---- */

static bool is_within(struct el_str s, char lowest)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < lowest || s.p[i] > '~')
            return false;
    return true;
}

/* The least visible character is the one after the blank. */
static bool is_visible(struct el_str s)
{
    return is_within(s, '!');
}

static bool is_printable(struct el_str s)
{
    return is_within(s, ' ');
}

enum el_err disc_fields_check(const struct disc_fields *f, struct el_error *err)
{
    bool is_serving = (f->flags & DISC_FLAG_OUTBOUND_ONLY) == 0;

    if (f->id.n == 0 || f->id.n > DISC_MAX_ID || !is_visible(f->id))
        return el_fail(err, EL_EPROTO, 0, "node id: 1 to %u characters without blanks",
                       DISC_MAX_ID);
    if (f->name.n > DISC_MAX_NAME || !is_printable(f->name))
        return el_fail(err, EL_EPROTO, 0, "name of node %.*s is not one", EL_STR_ARG(f->id));
    if (f->host.n == 0 || f->host.n > DISC_MAX_HOST || !is_visible(f->host))
        return el_fail(err, EL_EPROTO, 0, "host of node %.*s is not one", EL_STR_ARG(f->id));
    if (f->zone.n > DISC_MAX_ZONE || !is_printable(f->zone))
        return el_fail(err, EL_EPROTO, 0, "zone of node %.*s is not one", EL_STR_ARG(f->id));
    if ((f->flags & ~DISC_FLAGS) != 0)
        return el_fail(err, EL_EPROTO, 0, "flags of node %.*s: unknown", EL_STR_ARG(f->id));
    if (is_serving && f->p2p_port == 0)
        return el_fail(err, EL_EPROTO, 0, "node %.*s has no port", EL_STR_ARG(f->id));
    return EL_OK;
}

uint64_t disc_id_hash(struct el_str id)
{
    return el_str_siphash(id, ID_KEY0, ID_KEY1);
}

static bool holds(const struct disc_card *c, const struct disc_fields *f)
{
    struct disc_fields own = disc_card_fields(c);

    return own.p2p_port == f->p2p_port && own.http_port == f->http_port && own.flags == f->flags &&
           el_str_eq(own.id, f->id) && el_str_eq(own.name, f->name) &&
           el_str_eq(own.host, f->host) && el_str_eq(own.zone, f->zone);
}

/* ---- the set ---- */

static struct disc_card **bucket_of(struct disc_cards *s, uint64_t hash)
{
    return &s->bucket[hash & (s->n_buckets - 1)];
}

static void grow(struct disc_cards *s)
{
    struct disc_cards bigger = { .n = s->n, .n_buckets = s->n_buckets * 2 };

    bigger.bucket = el_alloc(bigger.n_buckets * sizeof(*bigger.bucket));
    for (size_t i = 0; i < s->n_buckets; i++)
        for (struct disc_card *c = s->bucket[i], *next; c != NULL; c = next) {
            struct disc_card **to = bucket_of(&bigger, c->hash);

            next = c->next;
            c->next = *to;
            *to = c;
        }
    free(s->bucket);
    *s = bigger;
}

static char *put(char *to, struct el_str s)
{
    if (s.n > 0)
        memcpy(to, s.p, s.n);
    to[s.n] = '\0';
    return to + s.n + 1;
}

static struct disc_card *new_card(uint64_t hash, const struct disc_fields *f)
{
    size_t text_n = f->id.n + 1 + f->name.n + 1 + f->host.n + 1 + f->zone.n + 1;
    struct disc_card *c = el_alloc(sizeof(*c) + text_n);

    c->hash = hash;
    c->p2p_port = f->p2p_port;
    c->http_port = f->http_port;
    c->flags = f->flags;
    c->id_n = (uint8_t)f->id.n;
    c->name_n = (uint8_t)f->name.n;
    c->host_n = (uint8_t)f->host.n;
    c->zone_n = (uint8_t)f->zone.n;
    (void)put(put(put(put(c->text, f->id), f->name), f->host), f->zone);
    return c;
}

const struct disc_card *disc_card_get(struct disc_cards *s, const struct disc_fields *f)
{
    uint64_t hash = disc_id_hash(f->id);
    struct disc_card **bucket = bucket_of(s, hash), *c;

    for (c = *bucket; c != NULL; c = c->next)
        if (c->hash == hash && holds(c, f))
            return disc_card_ref(c);
    if (s->n == s->n_buckets) {
        grow(s);
        bucket = bucket_of(s, hash);
    }
    c = new_card(hash, f);
    c->set = s;
    c->refs = 1;
    c->next = *bucket;
    *bucket = c;
    s->n++;
    return c;
}

const struct disc_card *disc_card_ref(const struct disc_card *c)
{
    ((struct disc_card *)(uintptr_t)c)->refs++;
    return c;
}

void disc_card_unref(const struct disc_card *card)
{
    struct disc_card *c = (struct disc_card *)(uintptr_t)card, **at;

    if (c == NULL || --c->refs > 0)
        return;
    for (at = bucket_of(c->set, c->hash); *at != c; at = &(*at)->next)
        EL_ASSERT(*at != NULL);
    *at = c->next;
    c->set->n--;
    free(c);
}

/* ---- one card ---- */

const char *disc_card_id(const struct disc_card *c)
{
    return c->text;
}

const char *disc_card_name(const struct disc_card *c)
{
    return c->text + c->id_n + 1;
}

const char *disc_card_host(const struct disc_card *c)
{
    return disc_card_name(c) + c->name_n + 1;
}

const char *disc_card_zone(const struct disc_card *c)
{
    return disc_card_host(c) + c->host_n + 1;
}

struct disc_fields disc_card_fields(const struct disc_card *c)
{
    return (struct disc_fields){
        .id = { disc_card_id(c), c->id_n },
        .name = { disc_card_name(c), c->name_n },
        .host = { disc_card_host(c), c->host_n },
        .zone = { disc_card_zone(c), c->zone_n },
        .p2p_port = c->p2p_port,
        .http_port = c->http_port,
        .flags = c->flags,
    };
}

bool disc_card_is_serving(const struct disc_card *c)
{
    return (c->flags & DISC_FLAG_OUTBOUND_ONLY) == 0;
}

bool disc_card_same_place(const struct disc_card *a, const struct disc_card *b)
{
    struct disc_fields x = disc_card_fields(a), y = disc_card_fields(b);

    return x.p2p_port == y.p2p_port && el_str_eq(x.host, y.host);
}

size_t disc_card_bytes(const struct disc_card *c)
{
    return sizeof(*c) + c->id_n + 1u + c->name_n + 1u + c->host_n + 1u + c->zone_n + 1u;
}
