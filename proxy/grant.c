/* SPDX-License-Identifier: MIT */
/*
 * grant: digests and the store. Of the store everything is allocated at the start; an entry is in
 * three places, all by index:
 *
 *   free list      or   bucket of its holder  (singly linked: all grants of a holder, and some
 * others) and the line by age   (doubly linked: the oldest first)
 */
#include "proxy/grant.h"

#define NONE     UINT32_MAX
#define MAX_SIZE ((size_t)1 << 24)

/* ---- digests ---- */

/* Many short parts: a call of the hash for each would cost as much as hashing them. */
struct feed {
    struct el_sha256 *h;
    size_t n;
    uint8_t room[1024];
};

static void flush(struct feed *f)
{
    el_sha256_update(f->h, f->room, f->n);
    f->n = 0;
}

static void add_bytes(struct feed *f, const void *bytes, size_t n)
{
    if (n > sizeof(f->room) - f->n)
        flush(f);
    if (n > sizeof(f->room)) {
        el_sha256_update(f->h, bytes, n);
    } else if (n > 0) {
        memcpy(f->room + f->n, bytes, n);
        f->n += n;
    }
}

static void add_part(struct feed *f, struct el_str part)
{
    uint64_t n = part.n;

    add_bytes(f, &n, sizeof(n));
    add_bytes(f, part.p, part.n);
}

static void begin(struct feed *f, const struct proxy_grant_hash *by, const char *kind)
{
    f->h = by->h;
    f->n = 0;
    add_bytes(f, by->secret, PROXY_GRANT_SECRET_BYTES);
    add_part(f, el_str_of(kind));
}

/* What was fed holds credentials. */
static void end(struct feed *f, struct el_digest *ret_digest)
{
    flush(f);
    el_sha256_final(f->h, ret_digest);
    explicit_bzero(f->room, sizeof(f->room));
}

void proxy_grant_holder(const struct proxy_grant_hash *by, struct el_str key_id, struct el_str url,
                        struct el_digest *ret_holder)
{
    struct feed f;

    begin(&f, by, "holder");
    add_part(&f, key_id);
    add_part(&f, url);
    end(&f, ret_holder);
}

static bool is_among(struct el_str name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (el_str_ieq(name, el_str_of(names[i])))
            return true;
    }
    return false;
}

/* By which an origin may judge a caller beside his signature. */
static bool is_circumstance(struct el_str name)
{
    static const char *const names[] = { "Referer",         "User-Agent", "Origin",
                                         "X-Forwarded-For", "X-Real-IP",  "Forwarded" };

    return is_among(name, names, EL_COUNT(names));
}

/* By which it may know him, or select something else, or that older signatures cover unnamed. */
static bool is_telling(struct el_str name)
{
    static const char *const names[] = {
        "Authorization", "Date",           "Content-MD5",       "Content-Type",
        "Cookie",        "X-Auth-Token",   "X-Api-Key",         "X-Forwarded-Host",
        "X-Rewrite-URL", "X-Original-URL", "X-Method-Override", "X-HTTP-Method-Override",
    };

    return el_str_istarts(name, EL_STR("x-amz-")) || el_str_istarts(name, EL_STR("x-oss-")) ||
           is_among(name, names, EL_COUNT(names));
}

static void add_field(struct feed *f, const struct el_field *field)
{
    add_part(f, field->name);
    add_part(f, field->value);
}

void proxy_grant_request_id(const struct proxy_grant_hash *by, struct el_str method,
                            const struct proxy_route *route, struct el_fieldv fields,
                            struct el_digest *ret_id)
{
    struct feed f;

    begin(&f, by, "request");
    add_part(&f, method);
    add_part(&f, route->to.target);
    add_part(&f, route->host_field);
    add_part(&f, el_buf_str(&route->url));
    for (size_t i = 0; i < fields.n; i++) {
        struct el_str name = fields.v[i].name;

        if (is_telling(name) || is_circumstance(name) || proxy_route_signed_has(route, name))
            add_field(&f, &fields.v[i]);
    }
    end(&f, ret_id);
}

void proxy_grant_key_id(const struct proxy_grant_hash *by, struct el_str method,
                        struct el_str key_id, struct el_str scope, struct el_str url,
                        struct el_str host, struct el_fieldv fields, struct el_digest *ret_id)
{
    struct feed f;

    begin(&f, by, "key");
    add_part(&f, method);
    add_part(&f, key_id);
    add_part(&f, scope);
    add_part(&f, url);
    add_part(&f, host);
    for (size_t i = 0; i < fields.n; i++) {
        if (is_circumstance(fields.v[i].name))
            add_field(&f, &fields.v[i]);
    }
    end(&f, ret_id);
}

uint64_t proxy_grant_ttl_ms(const struct proxy_signature *c, int64_t now_wall_ms,
                            uint64_t grant_ttl_ms)
{
    if (!c->is_known || c->until_ms <= now_wall_ms)
        return 0;
    return el_min_u64(grant_ttl_ms, (uint64_t)(c->until_ms - now_wall_ms));
}

/* ---- the store ---- */

struct entry {
    struct el_digest id, holder;
    uint64_t until_ms;
    uint32_t next;         /* in its bucket, or in the free list */
    uint32_t older, newer; /* by age */
};

struct proxy_grant_store {
    size_t max, n_buckets, count;
    uint32_t free, oldest, newest;
    struct entry *entries;
    uint32_t *buckets;
};

enum el_err proxy_grant_store_new(size_t max, struct proxy_grant_store **ret_store,
                                  struct el_error *err)
{
    struct proxy_grant_store *s = el_new(struct proxy_grant_store);

    EL_ASSERT(max >= 1 && max <= MAX_SIZE);
    s->max = s->n_buckets = max;
    s->entries = el_try_alloc(max * sizeof(*s->entries));
    s->buckets = el_try_alloc(max * sizeof(*s->buckets));
    if (s->entries == NULL || s->buckets == NULL) {
        proxy_grant_store_free(s);
        return el_fail(err, EL_ENOMEM, 0, "memory for %zu grants", max);
    }
    for (size_t i = 0; i < max; i++) {
        s->buckets[i] = NONE;
        s->entries[i].next = i + 1 < max ? (uint32_t)i + 1 : NONE;
    }
    s->oldest = s->newest = NONE;
    *ret_store = s;
    return EL_OK;
}

void proxy_grant_store_free(struct proxy_grant_store *s)
{
    if (s == NULL)
        return;
    free(s->entries);
    free(s->buckets);
    free(s);
}

static bool is_same(const struct el_digest *a, const struct el_digest *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

/* A digest's own bytes are as good as a hash of them. */
static uint32_t *bucket_of(struct proxy_grant_store *s, const struct el_digest *holder)
{
    uint64_t v;

    memcpy(&v, holder->b, sizeof(v));
    return &s->buckets[v % s->n_buckets];
}

static void age_append(struct proxy_grant_store *s, uint32_t i)
{
    struct entry *e = &s->entries[i];

    e->older = s->newest;
    e->newer = NONE;
    if (s->newest != NONE)
        s->entries[s->newest].newer = i;
    else
        s->oldest = i;
    s->newest = i;
}

static void age_remove(struct proxy_grant_store *s, uint32_t i)
{
    const struct entry *e = &s->entries[i];

    if (e->older != NONE)
        s->entries[e->older].newer = e->newer;
    else
        s->oldest = e->newer;
    if (e->newer != NONE)
        s->entries[e->newer].older = e->older;
    else
        s->newest = e->older;
}

/* `link` is what points to it, in its bucket. */
static void give_up(struct proxy_grant_store *s, uint32_t *link)
{
    uint32_t i = *link;

    *link = s->entries[i].next;
    age_remove(s, i);
    s->entries[i].next = s->free;
    s->free = i;
    s->count--;
}

static void give_up_oldest(struct proxy_grant_store *s)
{
    uint32_t *link = bucket_of(s, &s->entries[s->oldest].holder);

    while (*link != s->oldest)
        link = &s->entries[*link].next;
    give_up(s, link);
}

/* What has expired goes when it is met: the line is in order of age, which is nearly that of ends.
 */
static void make_room(struct proxy_grant_store *s, uint64_t now_ms)
{
    for (int i = 0; i < 2 && s->oldest != NONE && s->entries[s->oldest].until_ms <= now_ms; i++)
        give_up_oldest(s);
    if (s->free == NONE)
        give_up_oldest(s);
}

static uint32_t *find(struct proxy_grant_store *s, const struct el_digest *holder,
                      const struct el_digest *id)
{
    uint32_t *link = bucket_of(s, holder);

    while (*link != NONE &&
           (!is_same(&s->entries[*link].id, id) || !is_same(&s->entries[*link].holder, holder)))
        link = &s->entries[*link].next;
    return link;
}

/* A bucket is in order of age, the newest first: so the last of a holder's is its oldest. */
static void keep_few(struct proxy_grant_store *s, const struct el_digest *holder)
{
    uint32_t *link = bucket_of(s, holder), *last = NULL;
    size_t n = 0;

    for (; *link != NONE; link = &s->entries[*link].next) {
        if (!is_same(&s->entries[*link].holder, holder))
            continue;
        last = link;
        n++;
    }
    if (n >= PROXY_GRANTS_PER_HOLDER)
        give_up(s, last);
}

void proxy_grant_store_add(struct proxy_grant_store *s, const struct el_digest *holder,
                           const struct el_digest *id, uint64_t now_ms, uint64_t until_ms)
{
    uint32_t *link = find(s, holder, id), *bucket = bucket_of(s, holder), i;

    if (*link != NONE)
        give_up(s, link);
    if (until_ms <= now_ms)
        return;
    keep_few(s, holder);
    make_room(s, now_ms);
    i = s->free;
    s->free = s->entries[i].next;
    s->entries[i] =
        (struct entry){ .id = *id, .holder = *holder, .until_ms = until_ms, .next = *bucket };
    *bucket = i;
    age_append(s, i);
    s->count++;
}

bool proxy_grant_store_has(struct proxy_grant_store *s, const struct el_digest *holder,
                           const struct el_digest *id, uint64_t now_ms)
{
    uint32_t *link = find(s, holder, id);

    if (*link == NONE)
        return false;
    if (s->entries[*link].until_ms > now_ms)
        return true;
    give_up(s, link);
    return false;
}

size_t proxy_grant_store_drop(struct proxy_grant_store *s, const struct el_digest *holder)
{
    uint32_t *link = bucket_of(s, holder);
    size_t n = 0;

    while (*link != NONE) {
        if (is_same(&s->entries[*link].holder, holder)) {
            give_up(s, link);
            n++;
        } else {
            link = &s->entries[*link].next;
        }
    }
    return n;
}

size_t proxy_grant_store_count(const struct proxy_grant_store *s)
{
    return s->count;
}
