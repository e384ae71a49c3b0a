/* SPDX-License-Identifier: MIT */
/* report: see report.h. */
#include "discovery/report.h"

#include "common/list.h"
#include "common/sha256.h"

#define FIRST_BUCKETS 256u

struct chunk {
    struct chunk *next;  /* in its bucket */
    struct el_list link; /* in dirty, due in a page, on its way, or in nothing */
    struct el_chunk_id id;
    bool is_here, is_told;
    bool is_flying; /* in the report that is on its way */
    bool is_paged;  /* in a page that is still to come */
    bool said_here; /* what that report says of it */
};

struct disc_report {
    struct chunk **buckets;
    size_t n_buckets, n_chunks, n_here;
    struct el_list dirty, due, flying;
    uint64_t epoch, told_epoch, told_digest;
    bool wants_full, is_full; /* is to begin; has begun */
    bool has_part;            /* a report is on its way */
    unsigned page, pages;
    uint64_t digest; /* of what was told, once what is on its way is taken */
    unsigned lag;
    struct el_chunk_id *ids; /* of the report on its way: 2 * DISC_REPORT_PAGE */
};

struct disc_report *disc_report_new(uint64_t epoch)
{
    struct disc_report *r = el_new(struct disc_report);

    r->n_buckets = FIRST_BUCKETS;
    r->buckets = el_alloc(FIRST_BUCKETS * sizeof(struct chunk *));
    r->ids = el_alloc(2 * DISC_REPORT_PAGE * sizeof(struct el_chunk_id));
    r->epoch = epoch;
    r->wants_full = true;
    el_list_init(&r->dirty);
    el_list_init(&r->due);
    el_list_init(&r->flying);
    return r;
}

void disc_report_free(struct disc_report *r)
{
    struct chunk *next;

    if (r == NULL)
        return;
    for (size_t i = 0; i < r->n_buckets; i++) {
        for (struct chunk *c = r->buckets[i]; c != NULL; c = next) {
            next = c->next;
            free(c);
        }
    }
    free(r->buckets);
    free(r->ids);
    free(r);
}

/* ---- the table ---- */

static size_t bucket_of(const struct disc_report *r, const struct el_chunk_id *id)
{
    uint64_t h;

    memcpy(&h, id->object, sizeof(h));
    return (size_t)((h ^ id->index * 0x9e3779b97f4a7c15u) % r->n_buckets);
}

static struct chunk **slot_of(const struct disc_report *r, const struct el_chunk_id *id)
{
    struct chunk **at = &r->buckets[bucket_of(r, id)];

    while (*at != NULL && !el_chunk_id_eq(&(*at)->id, id))
        at = &(*at)->next;
    return at;
}

static void grow(struct disc_report *r)
{
    struct chunk **old = r->buckets, *next;
    size_t n = r->n_buckets;

    r->n_buckets = 4 * n;
    r->buckets = el_alloc(r->n_buckets * sizeof(struct chunk *));
    for (size_t i = 0; i < n; i++) {
        for (struct chunk *c = old[i]; c != NULL; c = next) {
            struct chunk **at = &r->buckets[bucket_of(r, &c->id)];

            next = c->next;
            c->next = *at;
            *at = c;
        }
    }
    free(old);
}

static struct chunk *add(struct disc_report *r, const struct el_chunk_id *id)
{
    struct chunk *c, **at;

    if (r->n_chunks == DISC_REPORT_CHUNKS)
        return NULL;
    if (r->n_chunks >= 2 * r->n_buckets)
        grow(r);
    at = slot_of(r, id);
    c = el_new(struct chunk);
    c->id = *id;
    el_list_init(&c->link);
    *at = c;
    r->n_chunks++;
    return c;
}

static void drop(struct disc_report *r, struct chunk *c)
{
    struct chunk **at = slot_of(r, &c->id);

    EL_ASSERT(*at == c);
    *at = c->next;
    el_list_remove(&c->link);
    r->n_chunks--;
    free(c);
}

/* Puts it where it belongs; it may be gone afterwards. */
static void settle(struct disc_report *r, struct chunk *c)
{
    if (c->is_flying || (c->is_paged && c->is_here))
        return;
    c->is_paged = false;
    el_list_remove(&c->link);
    if (c->is_here != c->is_told)
        el_list_append(&r->dirty, &c->link);
    else if (!c->is_here)
        drop(r, c);
}

bool disc_report_note(struct disc_report *r, const struct el_chunk_id *chunk, bool is_here)
{
    struct chunk *c = *slot_of(r, chunk);

    if (c == NULL && is_here)
        c = add(r, chunk);
    if (c == NULL)
        return !is_here;
    if (c->is_here == is_here)
        return true;
    c->is_here = is_here;
    r->n_here += is_here ? 1 : -(size_t)1;
    settle(r, c);
    return true;
}

bool disc_report_has(const struct disc_report *r, const struct el_chunk_id *chunk)
{
    const struct chunk *c = *slot_of(r, chunk);

    return c != NULL && c->is_here;
}

size_t disc_report_count(const struct disc_report *r)
{
    return r->n_here;
}

uint64_t disc_report_digest_of(const struct el_chunk_id *chunk)
{
    char text[EL_CHUNK_ID_CHARS + 1];
    struct el_digest d;
    uint64_t v = 0;

    el_chunk_id_text(chunk, text);
    el_sha256_of(text, EL_CHUNK_ID_CHARS, &d);
    for (size_t i = 0; i < sizeof(v); i++)
        v = v << 8 | d.b[i];
    return v;
}

/* ---- what begins anew ---- */

void disc_report_restart(struct disc_report *r, uint64_t epoch)
{
    struct chunk *next;

    r->epoch = el_max_u64(r->epoch, epoch);
    r->told_epoch = r->told_digest = 0;
    r->wants_full = true;
    r->is_full = r->has_part = false;
    for (size_t i = 0; i < r->n_buckets; i++) {
        for (struct chunk *c = r->buckets[i]; c != NULL; c = next) {
            next = c->next;
            c->is_told = c->is_flying = c->is_paged = false;
            settle(r, c);
        }
    }
}

static void begin_full(struct disc_report *r)
{
    struct el_list *l;

    r->wants_full = false;
    r->is_full = true;
    r->page = 0;
    r->pages = (unsigned)(r->n_here / DISC_REPORT_PAGE + 1);
    r->epoch++;
    r->digest = 0;
    while ((l = el_list_pop(&r->dirty)) != NULL) {
        EL_ENTRY(l, struct chunk, link)->is_paged = true;
        el_list_append(&r->due, l);
    }
}

bool disc_report_is_restarting(const struct disc_report *r)
{
    return r->wants_full || r->is_full;
}

/* ---- a report ---- */

bool disc_report_is_due(const struct disc_report *r)
{
    return !r->has_part && (r->wants_full || r->is_full || !el_list_empty(&r->dirty));
}

static void take_off(struct disc_report *r, struct chunk *c)
{
    c->is_paged = false;
    c->is_flying = true;
    c->said_here = c->is_here;
    el_list_remove(&c->link);
    el_list_append(&r->flying, &c->link);
    r->digest += c->is_here ? disc_report_digest_of(&c->id) : -disc_report_digest_of(&c->id);
}

/* What is added stands in the first half of ids, what is removed in the other. */
static void fill(struct disc_report *r, struct el_list *from, struct disc_report_part *ret)
{
    struct el_chunk_id *removed = r->ids + DISC_REPORT_PAGE;

    while (!el_list_empty(from) && ret->n_added < DISC_REPORT_PAGE &&
           ret->n_removed < DISC_REPORT_PAGE) {
        struct chunk *c = EL_ENTRY(from->next, struct chunk, link);

        take_off(r, c);
        if (c->said_here)
            r->ids[ret->n_added++] = c->id;
        else
            removed[ret->n_removed++] = c->id;
    }
    ret->added = r->ids;
    ret->removed = removed;
}

void disc_report_next(struct disc_report *r, struct disc_report_part *ret)
{
    EL_ASSERT(disc_report_is_due(r));
    if (r->wants_full)
        begin_full(r);
    *ret = (struct disc_report_part){ .is_full = r->is_full, .base_epoch = r->told_epoch };
    if (!r->is_full) {
        r->epoch++;
        r->digest = r->told_digest;
    }
    r->has_part = true;
    fill(r, r->is_full ? &r->due : &r->dirty, ret);
    ret->page = r->page;
    ret->pages = r->pages;
    ret->epoch = r->epoch;
    ret->digest = r->digest;
}

static void land(struct disc_report *r, bool was_heard)
{
    struct el_list *l;

    while ((l = el_list_pop(&r->flying)) != NULL) {
        struct chunk *c = EL_ENTRY(l, struct chunk, link);

        c->is_flying = false;
        if (was_heard)
            c->is_told = c->said_here;
        settle(r, c);
    }
    r->has_part = false;
}

void disc_report_taken(struct disc_report *r)
{
    bool is_whole = !r->is_full || r->page + 1 == r->pages;

    if (!r->has_part)
        return;
    r->lag = 0;
    r->page++;
    land(r, true);
    if (!is_whole)
        return;
    r->is_full = false;
    r->told_epoch = r->epoch;
    r->told_digest = r->digest;
}

void disc_report_refused(struct disc_report *r)
{
    if (!r->has_part)
        return;
    if (r->is_full)
        disc_report_restart(r, r->epoch);
    else
        land(r, false);
}

uint64_t disc_report_told_epoch(const struct disc_report *r)
{
    return r->told_epoch;
}

uint64_t disc_report_told_digest(const struct disc_report *r)
{
    return r->told_digest;
}

void disc_report_step(struct disc_report *r)
{
    if (disc_report_is_due(r) || r->has_part)
        r->lag++;
}

unsigned disc_report_lag(const struct disc_report *r)
{
    return r->lag;
}
