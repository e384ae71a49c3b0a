/* SPDX-License-Identifier: MIT */
/* tracker_record: see tracker_record.h. */
#include "p2p/tracker_record.h"

#include "common/bytes.h"
#include "p2p/tracker_group.h"

#define MOST_EVICTED 64u

static struct p2p_turl *url_at(struct el_list *by_use)
{
    return EL_ENTRY(by_use, struct p2p_turl, by_use);
}

/* ---- URLs ---- */

static void free_variants(struct p2p_tracker_records *r, struct p2p_turl *u)
{
    for (size_t i = 0; i < u->n_variants; i++) {
        r->bytes -= u->variants[i].n;
        free(u->variants[i].bytes);
    }
    r->n_variants -= u->n_variants;
    u->n_variants = 0;
}

static void free_url(struct p2p_tracker_records *r, struct p2p_turl *u)
{
    EL_ASSERT(u->n_waiters == 0);
    free_variants(r, u);
    p2p_table_remove(&r->table, &u->entry);
    el_list_remove(&u->by_use);
    el_list_remove(&u->asking);
    free(u->interested);
    free(u->url);
    free(u);
}

static bool is_full(const struct p2p_tracker *t, size_t urls, size_t bytes)
{
    return t->records->table.n + urls > t->conf.limits.urls ||
           t->records->bytes + bytes > t->conf.limits.record_bytes;
}

/* Room for so many URLs and bytes: those go that were asked for longest ago. */
static bool make_room(struct p2p_tracker *t, size_t urls, size_t bytes, const struct p2p_turl *keep)
{
    struct el_list *it, *tmp;
    unsigned looked = 0;

    if (!is_full(t, urls, bytes))
        return true;
    EL_LIST_EACH (it, tmp, &t->records->urls) {
        if (++looked > MOST_EVICTED)
            break;
        if (url_at(it) == keep || url_at(it)->n_waiters > 0)
            continue;
        free_url(t->records, url_at(it));
        t->stats.given_up++;
        if (!is_full(t, urls, bytes))
            return true;
    }
    return false;
}

static struct p2p_turl *find(const struct p2p_tracker *t, struct el_str url, uint64_t hash)
{
    struct p2p_table_entry *e = p2p_table_find(&t->records->table, hash);

    while (e != NULL) {
        struct p2p_turl *u = EL_ENTRY(e, struct p2p_turl, entry);

        if (el_str_eq((struct el_str){ u->url, u->n }, url))
            return u;
        e = p2p_table_again(e);
    }
    return NULL;
}

static struct p2p_turl *new_url(struct p2p_tracker *t, struct el_str url, uint64_t hash)
{
    struct p2p_turl *u;

    if (url.n == 0 || url.n > P2P_MAX_URL || !make_room(t, 1, 0, NULL))
        return NULL;
    u = el_new(struct p2p_turl);
    u->url = el_strndup(url.p, url.n);
    u->n = url.n;
    el_list_init(&u->by_use);
    el_list_init(&u->asking);
    el_list_init(&u->waiting);
    p2p_table_add(&t->records->table, &u->entry, hash);
    return u;
}

static struct p2p_turl *known(struct p2p_tracker *t, struct el_str url)
{
    return find(t, url, el_str_siphash(url, t->salt[0], t->salt[1]));
}

/* The known or a new one, now the last to be given up; NULL: there is no room. */
static struct p2p_turl *get(struct p2p_tracker *t, uint64_t now, struct el_str url)
{
    uint64_t hash = el_str_siphash(url, t->salt[0], t->salt[1]);
    struct p2p_turl *u = find(t, url, hash);

    if (u == NULL)
        u = new_url(t, url, hash);
    if (u == NULL)
        return NULL;
    u->used = now;
    el_list_remove(&u->by_use);
    el_list_append(&t->records->urls, &u->by_use);
    return u;
}

/* ---- who may know of it ---- */

static bool grow_interested(struct p2p_turl *u)
{
    size_t cap = u->cap_interested == 0 ? 2 : 2 * u->cap_interested;
    uint64_t *v;

    if (u->n_interested < u->cap_interested)
        return true;
    if (cap > P2P_MAX_INTERESTED)
        return false;
    v = el_alloc(cap * sizeof(uint64_t));
    if (u->n_interested > 0)
        memcpy(v, u->interested, u->n_interested * sizeof(uint64_t));
    free(u->interested);
    u->interested = v;
    u->cap_interested = cap;
    return true;
}

static void remember(struct p2p_turl *u, uint64_t node)
{
    for (size_t i = 0; i < u->n_interested; i++) {
        if (u->interested[i] == node)
            return;
    }
    if (u->everybody)
        return;
    if (!grow_interested(u)) {
        u->everybody = true;
        return;
    }
    u->interested[u->n_interested++] = node;
}

/* ---- who waits ---- */

static void set_asker(struct p2p_tracker *t, struct p2p_turl *u, uint64_t now, uint64_t node)
{
    u->has_asker = true;
    u->asker = node;
    u->asked_at = now;
    el_list_remove(&u->asking);
    el_list_append(&t->records->asking, &u->asking);
}

static void no_asker(struct p2p_turl *u)
{
    u->has_asker = false;
    el_list_remove(&u->asking);
}

static void wait_for(struct p2p_tracker *t, struct p2p_turl *u, uint64_t now, uint64_t node,
                     uint64_t cookie)
{
    struct p2p_waiter *w = el_new(struct p2p_waiter);

    w->url = u;
    w->node = node;
    w->cookie = cookie;
    w->since = now;
    el_list_init(&w->by_due);
    el_list_init(&w->link);
    el_list_append(&u->waiting, &w->link);
    el_list_append(&t->records->waiters, &w->by_due);
    u->n_waiters++;
    t->records->n_waiters++;
}

static void make_ready(struct p2p_tracker *t, struct p2p_waiter *w, bool may_ask)
{
    w->may_ask = may_ask;
    el_list_remove(&w->by_due);
    el_list_remove(&w->link);
    el_list_append(&t->records->ready, &w->link);
}

static void make_all_ready(struct p2p_tracker *t, struct p2p_turl *u, bool may_ask)
{
    while (!el_list_empty(&u->waiting))
        make_ready(t, EL_ENTRY(u->waiting.next, struct p2p_waiter, link), may_ask);
}

/* Nothing came of the asker: the next one asks, if there is one. */
static void pass_on(struct p2p_tracker *t, struct p2p_turl *u, uint64_t now)
{
    struct p2p_waiter *w;

    no_asker(u);
    if (el_list_empty(&u->waiting))
        return;
    w = EL_ENTRY(u->waiting.next, struct p2p_waiter, link);
    make_ready(t, w, true);
    set_asker(t, u, now, w->node);
}

/* ---- questions ---- */

static uint64_t age_of(const struct p2p_variant *v, uint64_t now)
{
    return el_min_u64((uint64_t)((int64_t)now - v->confirmed), P2P_MAX_AGE_MS);
}

static void fill_in(const struct p2p_turl *u, uint64_t now, struct p2p_found *ret)
{
    ret->n = u->n_variants;
    for (size_t i = 0; i < ret->n; i++) {
        const struct p2p_variant *v = &u->variants[i];

        ret->records[i] = (struct p2p_record){ { v->bytes, v->n }, age_of(v, now) };
    }
}

static bool is_known(const struct p2p_turl *u, uint64_t now, uint64_t max_age_ms)
{
    for (size_t i = 0; i < u->n_variants; i++) {
        if (age_of(&u->variants[i], now) < max_age_ms)
            return true;
    }
    return false;
}

static enum p2p_found_kind ask_or_wait(struct p2p_tracker *t, struct p2p_turl *u, uint64_t now,
                                       uint64_t from, uint64_t cookie)
{
    bool is_silent = u->has_asker && now - u->asked_at >= P2P_ASK_MS;

    if (now < u->alone_until || (u->has_asker && u->asker == from))
        return P2P_FOUND_ASK;
    if (!u->has_asker || (is_silent && el_list_empty(&u->waiting))) {
        set_asker(t, u, now, from);
        return P2P_FOUND_ASK;
    }
    if (t->records->n_waiters >= t->conf.limits.waiters)
        return P2P_FOUND_ASK;
    wait_for(t, u, now, from, cookie);
    return P2P_FOUND_WAIT;
}

void p2p_tracker_find(struct p2p_tracker *t, uint64_t now, uint64_t from, struct el_str url,
                      uint64_t max_age_ms, uint64_t cookie, struct p2p_found *ret)
{
    struct p2p_turl *u = get(t, now, url);

    *ret = (struct p2p_found){ .kind = P2P_FOUND_ASK };
    if (u != NULL) {
        remember(u, from);
        ret->kind =
            is_known(u, now, max_age_ms) ? P2P_FOUND_KNOWN : ask_or_wait(t, u, now, from, cookie);
        if (ret->kind != P2P_FOUND_WAIT)
            fill_in(u, now, ret);
    }
    t->stats.asks += ret->kind == P2P_FOUND_ASK;
}

bool p2p_tracker_next_answer(struct p2p_tracker *t, uint64_t now, uint64_t *ret_node,
                             uint64_t *ret_cookie, struct p2p_found *ret)
{
    struct el_list *m = el_list_pop(&t->records->ready);
    struct p2p_waiter *w;

    if (m == NULL)
        return false;
    w = EL_ENTRY(m, struct p2p_waiter, link);
    *ret_node = w->node;
    *ret_cookie = w->cookie;
    /* What was known may have been forgotten again. */
    *ret = (struct p2p_found){ .kind = P2P_FOUND_KNOWN };
    if (w->may_ask || w->url->n_variants == 0)
        ret->kind = P2P_FOUND_ASK;
    fill_in(w->url, now, ret);
    t->stats.asks += ret->kind == P2P_FOUND_ASK;
    t->stats.late_asks += ret->kind == P2P_FOUND_ASK;
    w->url->n_waiters--;
    t->records->n_waiters--;
    free(w);
    return true;
}

/* ---- what is said of URLs ---- */

/* The front of an object part (manifest.h): URL, length, status, flags, three times, n, variant. */
static bool skim(struct el_str bytes, struct el_str *ret_url, struct el_str *ret_variant)
{
    struct el_bytes in = el_bytes_of(bytes);

    *ret_url = el_bytes_str(&in, el_bytes_u16(&in));
    (void)el_bytes_str(&in, 8 + 2 + 2 + 3 * 8 + 2);
    *ret_variant = el_bytes_str(&in, el_bytes_u16(&in));
    return !in.is_bad && bytes.n <= P2P_MAX_RECORD && ret_url->n > 0 && ret_url->n <= P2P_MAX_URL;
}

/* Where the variant is, or n_variants. */
static size_t place_of(const struct p2p_turl *u, struct el_str key)
{
    size_t i = 0;

    while (i < u->n_variants && !el_str_eq(u->variants[i].key, key))
        i++;
    return i;
}

static void drop_at(struct p2p_tracker_records *r, struct p2p_turl *u, size_t i)
{
    r->bytes -= u->variants[i].n;
    r->n_variants--;
    free(u->variants[i].bytes);
    u->n_variants--;
    memmove(&u->variants[i], &u->variants[i + 1], (u->n_variants - i) * sizeof(struct p2p_variant));
}

static enum el_err keep(struct p2p_tracker *t, struct p2p_turl *u, struct el_str bytes,
                        int64_t confirmed, struct el_error *err)
{
    struct p2p_tracker_records *r = t->records;
    struct p2p_variant v = { .n = bytes.n, .confirmed = confirmed };
    struct el_str url;

    v.bytes = make_room(t, 0, bytes.n, u) ? el_try_alloc(bytes.n) : NULL;
    if (v.bytes == NULL)
        return el_fail(err, EL_EFULL, 0, "no room for what is known of a URL");
    memcpy(v.bytes, bytes.p, bytes.n);
    EL_ASSERT(skim((struct el_str){ v.bytes, v.n }, &url, &v.key));
    if (u->n_variants == P2P_MAX_VARIANTS)
        drop_at(r, u, u->n_variants - 1);
    memmove(&u->variants[1], &u->variants[0], u->n_variants * sizeof(struct p2p_variant));
    u->variants[0] = v;
    u->n_variants++;
    r->n_variants++;
    r->bytes += v.n;
    return EL_OK;
}

static bool is_from_before(const struct p2p_turl *u, uint64_t now, uint64_t from, int64_t confirmed)
{
    if (!u->has_changed)
        return false;
    return confirmed < (int64_t)u->changed_at ||
           (u->has_doubted && u->doubted == from && now - u->changed_at < P2P_CHANGED_MS);
}

enum el_err p2p_tracker_record(struct p2p_tracker *t, uint64_t now, uint64_t from,
                               struct el_str bytes, uint64_t age_ms, struct el_error *err)
{
    int64_t confirmed = (int64_t)now - (int64_t)el_min_u64(age_ms, P2P_MAX_AGE_MS);
    struct el_str url, key;
    struct p2p_turl *u;
    enum el_err rc = EL_OK;
    size_t i;

    if (!skim(bytes, &url, &key))
        return el_fail(err, EL_EINVAL, 0, "a record that is no object part");
    u = get(t, now, url);
    if (u == NULL)
        return el_fail(err, EL_EFULL, 0, "no room for one more URL");
    if (is_from_before(u, now, from, confirmed))
        return el_fail(err, EL_ECHANGED, 0, "a record from before a change");
    i = place_of(u, key);
    if (i == u->n_variants || u->variants[i].confirmed <= confirmed) {
        if (i < u->n_variants)
            drop_at(t->records, u, i);
        rc = keep(t, u, bytes, confirmed, err);
    }
    if (rc != EL_OK)
        return rc;
    remember(u, from);
    u->alone_until = 0;
    no_asker(u);
    make_all_ready(t, u, false);
    return EL_OK;
}

void p2p_tracker_release(struct p2p_tracker *t, uint64_t now, uint64_t from, struct el_str url,
                         enum p2p_release why)
{
    struct p2p_turl *u = known(t, url);

    if (u == NULL || !u->has_asker || u->asker != from)
        return;
    if (why == P2P_RELEASE_FAILED) {
        pass_on(t, u, now);
        return;
    }
    u->alone_until = now + P2P_ALONE_MS;
    no_asker(u);
    make_all_ready(t, u, true);
}

static void tell(const struct p2p_turl *u, uint64_t but, struct p2p_told *ret)
{
    ret->everybody = u->everybody;
    for (size_t i = 0; i < u->n_interested; i++) {
        if (u->interested[i] != but)
            ret->nodes[ret->n++] = u->interested[i];
    }
}

void p2p_tracker_forget(struct p2p_tracker *t, uint64_t now, uint64_t from, struct el_str url,
                        struct p2p_told *ret)
{
    struct p2p_turl *u = get(t, now, url);

    *ret = (struct p2p_told){ 0 };
    if (u == NULL)
        return;
    tell(u, from, ret);
    u->n_interested = 0;
    u->everybody = false;
    free_variants(t->records, u);
    u->has_changed = true;
    u->changed_at = now;
    u->alone_until = 0;
    if (!u->has_asker)
        return;
    u->has_doubted = true;
    u->doubted = u->asker;
    pass_on(t, u, now);
}

/* ---- time ---- */

static void end_silence(struct p2p_tracker *t, uint64_t now)
{
    struct el_list *asking = &t->records->asking;

    while (!el_list_empty(asking)) {
        struct p2p_turl *u = EL_ENTRY(asking->next, struct p2p_turl, asking);

        if (now - u->asked_at < P2P_ASK_MS)
            return;
        pass_on(t, u, now);
    }
}

static void end_waits(struct p2p_tracker *t, uint64_t now)
{
    struct el_list *waiters = &t->records->waiters;

    while (!el_list_empty(waiters)) {
        struct p2p_waiter *w = EL_ENTRY(waiters->next, struct p2p_waiter, by_due);

        if (now - w->since < P2P_FIND_WAIT_MS)
            return;
        make_ready(t, w, true);
    }
}

static void forget_old(struct p2p_tracker *t, uint64_t now)
{
    struct p2p_tracker_records *r = t->records;

    for (unsigned n = 0; n < MOST_EVICTED && !el_list_empty(&r->urls); n++) {
        struct p2p_turl *u = url_at(r->urls.next);

        if (u->n_waiters > 0 || now - u->used < P2P_RECORD_TTL_MS)
            return;
        free_url(r, u);
    }
}

void p2p_records_sweep(struct p2p_tracker *t, uint64_t now)
{
    end_waits(t, now);
    end_silence(t, now);
    forget_old(t, now);
}

uint64_t p2p_records_due(const struct p2p_tracker *t)
{
    const struct p2p_tracker_records *r = t->records;
    uint64_t due = UINT64_MAX;

    if (!el_list_empty(&r->asking))
        due = EL_ENTRY(r->asking.next, struct p2p_turl, asking)->asked_at + P2P_ASK_MS;
    if (!el_list_empty(&r->waiters))
        due = el_min_u64(due, EL_ENTRY(r->waiters.next, struct p2p_waiter, by_due)->since +
                                  P2P_FIND_WAIT_MS);
    if (!el_list_empty(&r->urls))
        due = el_min_u64(due, url_at(r->urls.next)->used + P2P_RECORD_TTL_MS);
    return due;
}

void p2p_records_gone(struct p2p_tracker *t, uint64_t now, uint64_t node)
{
    struct el_list *it, *tmp, asking;

    /* Those that are passed on go to the end of the list. */
    el_list_move(&asking, &t->records->asking);
    EL_LIST_EACH (it, tmp, &asking) {
        struct p2p_turl *u = EL_ENTRY(it, struct p2p_turl, asking);

        el_list_remove(it);
        if (u->asker == node)
            pass_on(t, u, now);
        else
            el_list_append(&t->records->asking, it);
    }
}

struct p2p_tracker_records *p2p_records_new(void)
{
    struct p2p_tracker_records *r = el_new(struct p2p_tracker_records);

    el_list_init(&r->urls);
    el_list_init(&r->asking);
    el_list_init(&r->waiters);
    el_list_init(&r->ready);
    return r;
}

static void free_waiters(struct p2p_tracker_records *r)
{
    struct el_list *it, *tmp, *m;

    EL_LIST_EACH (it, tmp, &r->urls) {
        while ((m = el_list_pop(&url_at(it)->waiting)) != NULL)
            free(EL_ENTRY(m, struct p2p_waiter, link));
        url_at(it)->n_waiters = 0;
    }
    while ((m = el_list_pop(&r->ready)) != NULL)
        free(EL_ENTRY(m, struct p2p_waiter, link));
}

void p2p_records_free(struct p2p_tracker_records *r)
{
    if (r == NULL)
        return;
    free_waiters(r);
    while (!el_list_empty(&r->urls))
        free_url(r, url_at(r->urls.next));
    p2p_table_deinit(&r->table);
    free(r);
}

void p2p_records_stats(const struct p2p_tracker_records *r, struct p2p_tracker_stats *ret)
{
    ret->urls = r->table.n;
    ret->records = r->n_variants;
    ret->record_bytes = r->bytes;
    ret->waiters = r->n_waiters;
}
