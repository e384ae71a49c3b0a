/* SPDX-License-Identifier: MIT */
/*
 * store_redis: records in Redis, one server or a Cluster, shared by any number of eliocp (store.h).
 *
 * Keys. Records are spread over SHARDS by the first part of their name (a node's are together, so
 * that their order is kept). A shard has, in one slot of a Cluster,
 *
 *   {PREFIX:NN}:record   a hash: key of the record -> value
 *   {PREFIX:NN}:change   a stream of what was written, by whom; trimmed to some CHANGES_KEPT
 *
 * and both change in one transaction. {PREFIX:duty} is the lease.
 *
 * Two threads, each with connections of its own:
 *   writer   takes what was put, by shard; a slice of it is one transaction and one round trip;
 * what fails is written again, for as long as it takes reader   looks at the streams every POLL_MS,
 * keeps the lease; after trouble it reads everything again
 *
 * Own changes come back. Until one has (`mine`, counted by key), what others have written to the
 * same key is older, since Redis has put them in an order, and is passed over. A change of ours
 * that was not expected was written twice, perhaps after somebody else's: it is applied. While
 * everything is read, the writer rests, and what it has left is applied at the end.
 */
#include "common/file.h"
#include "common/rng.h"
#include "controlplane/redis.h"
#include "controlplane/redis_link.h"
#include "controlplane/store_in.h"
#include "controlplane/table.h"

#define SHARDS        16u
#define POLL_MS       100u
#define RETRY_MS      100u
#define CHANGES_KEPT  "20000"
#define CHANGES_READ  "1000" /* of a stream at a time */
#define STALE_MS      5000u /* without a look at a stream, after which changes may have been trimmed */
#define INLINE_MAX    4096u /* bytes of a value that stands in the stream; longer ones are fetched */
#define SLICE_RECORDS 500u
#define SLICE_BYTES   (2 * EL_MIB)
#define LEASE_MS      5000u
#define LEASE_TEXT    "5000"
#define LEASE_MARGIN  1000u /* before its end, from when on we do not rely on it */
#define DISTURBED_MS \
    5000u /* after everything was read, for which own changes are applied as well */

struct mine {
    struct cp_entry entry;
    uint32_t n; /* changes that have not come back */
    char key[];
};

struct shard {
    struct cp_record *first, **tail; /* under io_mtx: what is not acknowledged */
    char record_key[256], change_key[256];
    uint16_t slot;
    char seen[64];    /* the reader's: id of the last change */
    uint64_t seen_ms; /* the reader's: when that was looked at */
};

struct redis {
    struct cp_store store;
    struct cp_redis *out, *in; /* the writer's, the reader's */
    char me[24];               /* who we are in streams and the lease */
    char duty_key[256];
    uint16_t duty_slot;
    uint32_t wait_replicas, deadline_ms;
    struct shard shard[SHARDS];

    pthread_mutex_t
        io_mtx; /* held while a slice is written, and while everything is read. Before store.mtx */

    struct cp_table mine; /* under store.mtx */

    _Atomic uint64_t duty_until_ms; /* mono; 0: not ours */
    uint64_t disturbed_until_ms;    /* the reader's */
    bool wants_load;                /* the reader's: changes may have been missed */

    pthread_t writer, reader;
    bool is_writing, is_reading; /* threads that run */
};

static struct redis *redis_of(struct cp_store *st)
{
    return (struct redis *)st;
}

/* ---- shards ---- */

/* FNV-1a over the first part of the name: the same in every eliocp. */
static unsigned shard_of(struct el_str key)
{
    struct el_str kind, part = { NULL, 0 };
    uint32_t h = 2166136261u;

    (void)el_str_split(&key, '/', &kind);
    (void)el_str_split(&key, '/', &part);
    for (size_t i = 0; i < part.n; i++)
        h = (h ^ (uint8_t)part.p[i]) * 16777619u;
    return (h ^ h >> 16) % SHARDS;
}

static void init_shards(struct redis *q, const char *prefix)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *sh = &q->shard[i];

        (void)snprintf(sh->record_key, sizeof(sh->record_key), "{%.200s:%02u}:record", prefix, i);
        (void)snprintf(sh->change_key, sizeof(sh->change_key), "{%.200s:%02u}:change", prefix, i);
        sh->slot = cp_redis_slot_of(el_str_of(sh->record_key));
        sh->tail = &sh->first;
    }
    (void)snprintf(q->duty_key, sizeof(q->duty_key), "{%.200s:duty}", prefix);
    q->duty_slot = cp_redis_slot_of(el_str_of(q->duty_key));
}

/* ---- own changes that have not come back ---- */

static struct mine *get_mine(const struct redis *q, struct el_str key)
{
    struct cp_entry *e = cp_table_get(&q->mine, key);

    return e == NULL ? NULL : EL_ENTRY(e, struct mine, entry);
}

/* store.mtx is held, as for all of these. */
static void expect_locked(struct redis *q, struct el_str key)
{
    struct mine *m = get_mine(q, key);

    if (m == NULL) {
        m = (struct mine *)el_alloc(sizeof(*m) + key.n);
        memcpy(m->key, key.p, key.n);
        m->entry.key = (struct el_str){ m->key, key.n };
        cp_table_put(&q->mine, &m->entry);
    }
    m->n++;
}

static void drop_mine(struct redis *q, struct mine *m)
{
    cp_table_remove(&q->mine, &m->entry);
    free(m);
}

static void forget_all_mine(struct redis *q)
{
    for (size_t i = 0; i < q->mine.buckets; i++) {
        while (q->mine.bucket[i] != NULL)
            drop_mine(q, EL_ENTRY(q->mine.bucket[i], struct mine, entry));
    }
}

static void noted(struct cp_store *st, const struct cp_record *r)
{
    expect_locked(redis_of(st), cp_record_key(r));
}

enum verdict { APPLY, PASS_OVER };

/* A change that has come, whoever made it. */
static enum verdict judge(struct redis *q, struct el_str key, bool is_ours)
{
    enum verdict v = APPLY;
    struct mine *m;

    (void)pthread_mutex_lock(&q->store.mtx);
    m = get_mine(q, key);
    if (m != NULL && !is_ours) {
        v = PASS_OVER;
    } else if (m != NULL) {
        m->n--;
        if (m->n > 0 || cp_mono_ms() >= q->disturbed_until_ms)
            v = PASS_OVER;
        if (m->n == 0)
            drop_mine(q, m);
    }
    (void)pthread_mutex_unlock(&q->store.mtx);
    return v;
}

/* ---- writing ---- */

static void add_words(struct cp_calls *c, const struct el_str *words, size_t n)
{
    cp_calls_add(c, words, n);
}

static void add_write(struct redis *q, const struct shard *sh, const struct cp_record *r,
                      struct cp_calls *c)
{
    struct el_str key = cp_record_key(r), value = cp_record_value(r);
    struct el_str record = el_str_of(sh->record_key), change = el_str_of(sh->change_key);
    bool is_inline = value.n <= INLINE_MAX;
    struct el_str name =
        r->is_removal ? EL_STR("remove") : (is_inline ? EL_STR("put") : EL_STR("fetch"));
    struct el_str put[] = { EL_STR("HSET"), record, key, value };
    struct el_str remove[] = { EL_STR("HDEL"), record, key };
    struct el_str tell[] = {
        EL_STR("XADD"),  change,       EL_STR("MAXLEN"), EL_STR("~"), EL_STR(CHANGES_KEPT),
        EL_STR("*"),     EL_STR("by"), el_str_of(q->me), name,        key,
        EL_STR("value"), value
    };

    if (r->is_removal)
        add_words(c, remove, EL_COUNT(remove));
    else
        add_words(c, put, EL_COUNT(put));
    add_words(c, tell, EL_COUNT(tell) - (r->is_removal || !is_inline ? 2 : 0));
}

/* The first records of a shard as one transaction; returns how many. */
static size_t compose(struct redis *q, const struct shard *sh, struct cp_calls *c,
                      uint64_t *ret_bytes)
{
    struct el_str multi = EL_STR("MULTI"), exec = EL_STR("EXEC");
    char replicas[16], deadline[16];
    size_t n = 0;

    *ret_bytes = 0;
    add_words(c, &multi, 1);
    for (const struct cp_record *r = sh->first;
         r != NULL && n < SLICE_RECORDS && *ret_bytes < SLICE_BYTES; r = r->next, n++) {
        add_write(q, sh, r, c);
        *ret_bytes += (uint64_t)r->key_n + r->value_n;
    }
    add_words(c, &exec, 1);
    if (q->wait_replicas > 0) {
        struct el_str wait[3] = { EL_STR("WAIT") };

        (void)snprintf(replicas, sizeof(replicas), "%u", q->wait_replicas);
        (void)snprintf(deadline, sizeof(deadline), "%u", q->deadline_ms / 2 + 1);
        wait[1] = el_str_of(replicas);
        wait[2] = el_str_of(deadline);
        add_words(c, wait, 3);
    }
    return n;
}

/* Enough replicas have it, if that is asked for. */
static enum el_err check_replicas(struct redis *q, const redisReply *last, struct el_error *err)
{
    if (q->wait_replicas == 0)
        return EL_OK;
    if (last->type != REDIS_REPLY_INTEGER || last->integer < (long long)q->wait_replicas)
        return el_fail(err, EL_ETIMEOUT, 0, "redis: fewer than %u replicas have it",
                       q->wait_replicas);
    return EL_OK;
}

static void free_replies(redisReply **replies, size_t n)
{
    for (size_t i = 0; i < n; i++)
        freeReplyObject(replies[i]);
    free(replies);
}

static enum el_err ask(struct cp_redis *r, uint16_t slot, const struct cp_calls *c,
                       redisReply ***ret_replies, struct el_error *err)
{
    redisReply **replies = (redisReply **)el_alloc(c->n * sizeof(redisReply *));
    enum el_err rc = cp_redis_ask(r, slot, c, replies, err);

    if (rc != EL_OK) {
        free(replies);
        return rc;
    }
    *ret_replies = replies;
    return EL_OK;
}

static void pop_records(struct shard *sh, size_t n)
{
    for (; n > 0; n--) {
        struct cp_record *r = sh->first;

        sh->first = r->next;
        free(r);
    }
    if (sh->first == NULL)
        sh->tail = &sh->first;
}

/* io_mtx is held. */
static enum el_err write_slice(struct redis *q, struct shard *sh, uint64_t *ret_records,
                               uint64_t *ret_bytes, struct el_error *err)
{
    struct cp_calls c = { 0 };
    redisReply **replies;
    size_t n = compose(q, sh, &c, ret_bytes);
    enum el_err rc = ask(q->out, sh->slot, &c, &replies, err);

    *ret_records = n;
    if (rc == EL_OK) {
        rc = check_replicas(q, replies[c.n - 1], err);
        free_replies(replies, c.n);
    }
    if (rc == EL_OK)
        pop_records(sh, n);
    cp_calls_deinit(&c);
    return rc;
}

/* False: the store closes and its time is over. */
static bool write_shard(struct redis *q, struct shard *sh, uint64_t *records, uint64_t *bytes)
{
    while (sh->first != NULL) {
        struct el_error err = { 0 };
        uint64_t n, b;
        enum el_err rc;

        (void)pthread_mutex_lock(&q->io_mtx);
        rc = write_slice(q, sh, &n, &b, &err);
        (void)pthread_mutex_unlock(&q->io_mtx);
        if (rc == EL_OK) {
            *records += n;
            *bytes += b;
            continue;
        }
        cp_store_trouble(&q->store, &err);
        if (!cp_store_pause(&q->store, RETRY_MS))
            return false;
    }
    return true;
}

/* To the ends of their shards' lists. io_mtx is held. */
static void sort_out(struct redis *q, struct cp_record *all)
{
    while (all != NULL) {
        struct cp_record *next = all->next;
        struct shard *sh = &q->shard[shard_of(cp_record_key(all))];

        all->next = NULL;
        *sh->tail = all;
        sh->tail = &all->next;
        all = next;
    }
}

static void *writer(void *arg)
{
    struct redis *q = (struct redis *)arg;
    bool is_over = false;

    while (!is_over) {
        uint64_t position, records = 0, bytes = 0;
        struct cp_record *all;
        bool goes_on = true;

        cp_store_wait(&q->store, 1000);
        /* In one step for a load, which looks for what is pending in both places. */
        (void)pthread_mutex_lock(&q->io_mtx);
        all = cp_store_take(&q->store, &position, &is_over);
        sort_out(q, all);
        (void)pthread_mutex_unlock(&q->io_mtx);
        if (all == NULL)
            continue;
        for (unsigned i = 0; goes_on && i < SHARDS; i++)
            goes_on = write_shard(q, &q->shard[i], &records, &bytes);
        if (!goes_on)
            return NULL;
        cp_store_trouble(&q->store, NULL);
        cp_store_written(&q->store, position, records, bytes);
    }
    return NULL;
}

/* ---- reading ---- */

static enum el_err ask_one(struct redis *q, uint16_t slot, const struct el_str *words, size_t n,
                           redisReply **ret, struct el_error *err)
{
    struct cp_calls c = { 0 };
    enum el_err rc;

    cp_calls_add(&c, words, n);
    rc = cp_redis_ask(q->in, slot, &c, ret, err);
    cp_calls_deinit(&c);
    return rc;
}

static void tell(struct redis *q, struct el_str key, struct el_str value, bool is_removal)
{
    const struct cp_store_events *e = &q->store.events;

    e->on_record(e->arg, key, value, is_removal);
}

/* Others read it meanwhile. */
static void count_loaded(struct redis *q, bool is_begin)
{
    (void)pthread_mutex_lock(&q->store.mtx);
    q->store.status.loaded = is_begin ? 0 : q->store.status.loaded + 1;
    (void)pthread_mutex_unlock(&q->store.mtx);
}

struct scan {
    struct redis *q;
    bool wants_nodes; /* only "node/..."; otherwise only the others */
};

static void on_pair(void *arg, struct el_str key, struct el_str value)
{
    struct scan *scan = (struct scan *)arg;

    if (el_str_starts(key, EL_STR("node/")) != scan->wants_nodes)
        return;
    tell(scan->q, key, value, false);
    count_loaded(scan->q, false);
}

static enum el_err scan_shard(struct redis *q, const struct shard *sh, bool wants_nodes,
                              struct el_error *err)
{
    struct scan scan = { q, wants_nodes };
    char cursor[24] = "0";
    enum el_err rc;

    do {
        struct el_str words[] = { EL_STR("HSCAN"),   el_str_of(sh->record_key),
                                  el_str_of(cursor), EL_STR("COUNT"),
                                  EL_STR("200"),     EL_STR("MATCH"),
                                  EL_STR("node/*") };
        redisReply *reply;
        bool is_good;

        if (cp_store_is_closing(&q->store))
            return el_fail(err, EL_ESHUTDOWN, 0, "redis: the store closes");
        rc = ask_one(q, sh->slot, words, EL_COUNT(words) - (wants_nodes ? 0 : 2), &reply, err);
        if (rc != EL_OK)
            return rc;
        is_good = cp_redis_scan(reply, cursor, on_pair, &scan);
        freeReplyObject(reply);
        if (!is_good)
            return el_fail(err, EL_EPROTO, 0, "redis: HSCAN answers something else");
    } while (strcmp(cursor, "0") != 0);
    return EL_OK;
}

/* The id of the newest change, after which to go on. */
static enum el_err find_end(struct redis *q, struct shard *sh, struct el_error *err)
{
    struct el_str words[] = { EL_STR("XREVRANGE"), el_str_of(sh->change_key), EL_STR("+"),
                              EL_STR("-"),         EL_STR("COUNT"),           EL_STR("1") };
    redisReply *reply;
    enum el_err rc = ask_one(q, sh->slot, words, EL_COUNT(words), &reply, err);

    if (rc != EL_OK)
        return rc;
    (void)snprintf(sh->seen, sizeof(sh->seen), "0-0");
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 &&
        reply->element[0]->type == REDIS_REPLY_ARRAY && reply->element[0]->elements == 2 &&
        reply->element[0]->element[0]->type == REDIS_REPLY_STRING)
        (void)snprintf(sh->seen, sizeof(sh->seen), "%.60s", reply->element[0]->element[0]->str);
    sh->seen_ms = cp_mono_ms();
    freeReplyObject(reply);
    return EL_OK;
}

static struct cp_record *copy_of(const struct cp_record *r)
{
    size_t bytes = sizeof(*r) + r->key_n + r->value_n;
    struct cp_record *copy = (struct cp_record *)el_alloc(bytes);

    memcpy(copy, r, bytes);
    copy->next = NULL;
    return copy;
}

/* Copies of what is not acknowledged, in order; from now on these are what is expected back. io_mtx
 * is held. */
static struct cp_record *copy_pending(struct redis *q)
{
    struct cp_record *first = NULL, **tail = &first;

    (void)pthread_mutex_lock(&q->store.mtx);
    forget_all_mine(q);
    for (unsigned i = 0; i <= SHARDS; i++) {
        const struct cp_record *r = i < SHARDS ? q->shard[i].first : q->store.first;

        for (; r != NULL; r = r->next) {
            expect_locked(q, cp_record_key(r));
            *tail = copy_of(r);
            tail = &(*tail)->next;
        }
    }
    (void)pthread_mutex_unlock(&q->store.mtx);
    return first;
}

/* ---- changes ---- */

struct follow {
    struct redis *q;
    struct shard *shard;
    size_t n;
    struct el_buf fetch; /* keys whose values are to be fetched, each behind its length (u16) */
};

static void add_fetch(struct follow *f, struct el_str key)
{
    uint16_t n = (uint16_t)key.n;

    el_buf_add(&f->fetch, &n, sizeof(n));
    el_buf_add_str(&f->fetch, key);
}

static void on_change(void *arg, const struct cp_change *c)
{
    struct follow *f = (struct follow *)arg;
    bool is_ours = el_str_eq(c->by, el_str_of(f->q->me));

    f->n++;
    (void)snprintf(f->shard->seen, sizeof(f->shard->seen), "%.*s", EL_STR_ARG(c->id));
    if (c->key.n > CP_KEY_MAX || judge(f->q, c->key, is_ours) == PASS_OVER)
        return;
    if (c->kind == CP_CHANGE_FETCH)
        add_fetch(f, c->key);
    else
        tell(f->q, c->key, c->value, c->kind == CP_CHANGE_REMOVE);
}

/* The values as they are now; what has gone meanwhile has a change of its own. */
static enum el_err fetch_some(struct redis *q, struct shard *sh, struct el_str keys,
                              struct el_error *err)
{
    while (keys.n > 0) {
        struct el_str words[3] = { EL_STR("HGET"), el_str_of(sh->record_key) };
        redisReply *reply;
        enum el_err rc;
        uint16_t n;

        memcpy(&n, keys.p, sizeof(n));
        words[2] = el_str_first(el_str_from(keys, sizeof(n)), n);
        keys = el_str_from(keys, sizeof(n) + (size_t)n);
        rc = ask_one(q, sh->slot, words, 3, &reply, err);
        if (rc != EL_OK)
            return rc;
        if (reply->type == REDIS_REPLY_STRING)
            tell(q, words[2], (struct el_str){ reply->str, (size_t)reply->len }, false);
        freeReplyObject(reply);
    }
    return EL_OK;
}

static enum el_err follow_shard(struct redis *q, struct shard *sh, struct el_error *err)
{
    struct follow f = { .q = q, .shard = sh };
    enum el_err rc;

    do {
        struct el_str words[] = { EL_STR("XREAD"),           EL_STR("COUNT"),
                                  EL_STR(CHANGES_READ),      EL_STR("STREAMS"),
                                  el_str_of(sh->change_key), el_str_of(sh->seen) };
        redisReply *reply;

        f.n = 0;
        rc = ask_one(q, sh->slot, words, EL_COUNT(words), &reply, err);
        if (rc != EL_OK)
            break;
        sh->seen_ms = cp_mono_ms();
        if (!cp_redis_changes(reply, on_change, &f))
            rc = el_fail(err, EL_EPROTO, 0, "redis: XREAD answers something else");
        freeReplyObject(reply);
        if (rc == EL_OK)
            rc = fetch_some(q, sh, el_buf_str(&f.fetch), err);
        el_buf_clear(&f.fetch);
    } while (rc == EL_OK && f.n > 0);
    el_buf_deinit(&f.fetch);
    return rc;
}

/* ---- everything ---- */

/* Of the first `n` shards, those that were not looked at for a while, lest changes be trimmed
 * before they were read: a load may take longer than STALE_MS. */
static enum el_err follow_meanwhile(struct redis *q, unsigned n, struct el_error *err)
{
    enum el_err rc = EL_OK;

    for (unsigned i = 0; rc == EL_OK && i < n; i++) {
        if (cp_mono_ms() - q->shard[i].seen_ms > STALE_MS / 2)
            rc = follow_shard(q, &q->shard[i], err);
    }
    return rc;
}

static enum el_err read_shards(struct redis *q, struct el_error *err)
{
    enum el_err rc = EL_OK;

    for (unsigned i = 0; rc == EL_OK && i < SHARDS; i++) {
        rc = find_end(q, &q->shard[i], err);
        if (rc == EL_OK)
            rc = scan_shard(q, &q->shard[i], true, err);
        if (rc == EL_OK)
            rc = scan_shard(q, &q->shard[i], false, err);
        if (rc == EL_OK)
            rc = follow_meanwhile(q, i + 1, err);
    }
    return rc;
}

/* However long it took, a load is no reason for the next one. */
static void refresh_shards(struct redis *q)
{
    for (unsigned i = 0; i < SHARDS; i++)
        q->shard[i].seen_ms = cp_mono_ms();
}

static enum el_err load_all(struct redis *q, struct el_error *err)
{
    const struct cp_store_events *e = &q->store.events;
    struct cp_record *pending;
    enum el_err rc;

    (void)pthread_mutex_lock(&q->io_mtx);
    count_loaded(q, true);
    e->on_load(e->arg, true);
    /* Own changes that are acknowledged are behind where find_end() begins, and do not come. */
    cp_record_free(copy_pending(q));
    rc = read_shards(q, err);
    if (rc == EL_OK) {
        q->disturbed_until_ms = cp_mono_ms() + DISTURBED_MS;
        pending = copy_pending(q);
        for (const struct cp_record *r = pending; r != NULL; r = r->next)
            tell(q, cp_record_key(r), cp_record_value(r), r->is_removal);
        cp_record_free(pending);
        e->on_load(e->arg, false);
        refresh_shards(q);
        q->wants_load = false;
    }
    (void)pthread_mutex_unlock(&q->io_mtx);
    return rc;
}

static enum el_err follow_all(struct redis *q, struct el_error *err)
{
    enum el_err rc = EL_OK;

    for (unsigned i = 0; rc == EL_OK && i < SHARDS; i++) {
        if (cp_mono_ms() - q->shard[i].seen_ms > STALE_MS)
            q->wants_load = true;
    }
    if (q->wants_load)
        return load_all(q, err);
    for (unsigned i = 0; rc == EL_OK && i < SHARDS; i++)
        rc = follow_shard(q, &q->shard[i], err);
    return rc;
}

/* ---- the duty ---- */

/* Ours already, or nobody's: ours for LEASE_MS more, counted from before the question. */
#define TAKE_LEASE                                 \
    "local who = redis.call('GET', KEYS[1]) "      \
    "if who and who ~= ARGV[1] then return 0 end " \
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1"
#define GIVE_LEASE \
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

static enum el_err keep_lease(struct redis *q, struct el_error *err)
{
    struct el_str words[] = { EL_STR("EVAL"),         EL_STR(TAKE_LEASE), EL_STR("1"),
                              el_str_of(q->duty_key), el_str_of(q->me),   EL_STR(LEASE_TEXT) };
    uint64_t before_ms = cp_mono_ms();
    redisReply *reply;
    enum el_err rc = ask_one(q, q->duty_slot, words, EL_COUNT(words), &reply, err);
    bool is_ours;

    if (rc != EL_OK)
        return rc;
    is_ours = reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
    freeReplyObject(reply);
    q->duty_until_ms = is_ours ? before_ms + LEASE_MS - LEASE_MARGIN : 0;
    return EL_OK;
}

static void give_lease(struct redis *q)
{
    struct el_str words[] = { EL_STR("EVAL"), EL_STR(GIVE_LEASE), EL_STR("1"),
                              el_str_of(q->duty_key), el_str_of(q->me) };
    redisReply *reply;

    if (q->duty_until_ms == 0)
        return;
    q->duty_until_ms = 0;
    if (ask_one(q, q->duty_slot, words, EL_COUNT(words), &reply, NULL) == EL_OK)
        freeReplyObject(reply);
}

static bool has_duty(struct cp_store *st)
{
    return cp_mono_ms() < redis_of(st)->duty_until_ms;
}

/* Waits for the next look; false: the store closes. */
static bool rest(struct redis *q)
{
    uint64_t until_ms = cp_mono_ms() + POLL_MS;
    bool goes_on;

    (void)pthread_mutex_lock(&q->store.mtx);
    while (!q->store.is_closing && cp_mono_ms() < until_ms)
        cp_cond_wait_until(&q->store.changed, &q->store.mtx, until_ms);
    goes_on = !q->store.is_closing;
    q->store.status.reconnects = cp_redis_reconnects(q->in);
    (void)pthread_mutex_unlock(&q->store.mtx);
    return goes_on;
}

static void *reader(void *arg)
{
    struct redis *q = (struct redis *)arg;
    uint64_t lease_ms = 0;

    while (rest(q)) {
        struct el_error err = { 0 };
        enum el_err rc = follow_all(q, &err);

        if (rc == EL_OK && cp_mono_ms() >= lease_ms) {
            rc = keep_lease(q, &err);
            lease_ms = cp_mono_ms() + LEASE_MS / 5;
        }
        if (rc == EL_OK) {
            cp_store_trouble(&q->store, NULL);
        } else if (rc != EL_ESHUTDOWN) {
            q->wants_load = true;
            cp_store_trouble(&q->store, &err);
        }
    }
    give_lease(q);
    return NULL;
}

/* ---- life ---- */

static void free_redis(struct cp_store *st)
{
    struct redis *q = redis_of(st);

    if (q->is_writing)
        (void)pthread_join(q->writer, NULL);
    if (q->is_reading)
        (void)pthread_join(q->reader, NULL);
    for (unsigned i = 0; i < SHARDS; i++)
        cp_record_free(q->shard[i].first);
    forget_all_mine(q);
    cp_table_deinit(&q->mine);
    cp_redis_free(q->out);
    cp_redis_free(q->in);
    (void)pthread_mutex_destroy(&q->io_mtx);
    cp_store_deinit(st);
    free(q);
}

static const struct cp_store_kind kind = { free_redis, has_duty, NULL, noted };

/* Its first line, to be freed with free_secret(); NULL: none. */
static enum el_err read_password(const char *file, char **ret, struct el_error *err)
{
    struct el_buf text = { 0 };
    struct el_str all;
    enum el_err rc;

    if (file == NULL)
        return EL_OK;
    rc = el_file_read("redis password file", file, 4096, &text, NULL, err);
    all = el_buf_str(&text);
    if (rc == EL_OK)
        *ret = el_strndup(all.p, el_str_find(all, '\n'));
    if (text.n > 0)
        explicit_bzero(text.p, text.n);
    el_buf_deinit(&text);
    return rc;
}

static void free_secret(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

static enum el_err prepare_link(const struct cp_store_redis_conf *conf, const char *password,
                                uint32_t deadline_ms, struct cp_redis **ret, struct el_error *err)
{
    struct ssl_ctx_st *tls = NULL;
    enum el_err rc = EL_OK;

    if (conf->is_tls)
        rc = cp_redis_tls_new(conf->ca_file, conf->tls_cert, conf->tls_key, &tls, err);
    if (rc == EL_OK)
        *ret = cp_redis_new(conf->servers, password, tls, deadline_ms);
    return rc;
}

static enum el_err connect_both(struct redis *q, const struct cp_store_redis_conf *conf,
                                struct el_error *err)
{
    char *password = NULL;
    enum el_err rc = read_password(conf->password_file, &password, err);

    if (rc == EL_OK)
        rc = prepare_link(conf, password, q->deadline_ms, &q->out, err);
    if (rc == EL_OK)
        rc = prepare_link(conf, password, q->deadline_ms, &q->in, err);
    free_secret(password);
    return rc;
}

enum el_err cp_store_redis_open(const struct cp_store_redis_conf *conf,
                                const struct cp_store_events *events, struct cp_store **ret_store,
                                struct el_error *err)
{
    struct redis *q = el_new(struct redis);
    struct el_rng rng;
    enum el_err rc;

    cp_store_init(&q->store, &kind, events, "redis");
    (void)pthread_mutex_init(&q->io_mtx, NULL);
    el_rng_seed_random(&rng);
    (void)snprintf(q->me, sizeof(q->me), "%016llx", (unsigned long long)el_rng_u64(&rng));
    q->wait_replicas = conf->wait_replicas;
    q->deadline_ms = conf->deadline_ms == 0 ? 1000 : conf->deadline_ms;
    init_shards(q, conf->prefix);
    rc = connect_both(q, conf, err);
    if (rc == EL_OK)
        rc = load_all(q, err);
    if (rc == EL_OK)
        rc = keep_lease(q, err);
    if (rc == EL_OK && cp_redis_is_cluster(q->in))
        q->store.status.kind = "redis-cluster";
    if (rc == EL_OK)
        rc = cp_thread_start(&q->writer, "cp-writer", writer, q, err);
    if (rc != EL_OK)
        goto fail;
    q->is_writing = true;
    rc = cp_thread_start(&q->reader, "cp-reader", reader, q, err);
    if (rc != EL_OK)
        goto fail;
    q->is_reading = true;
    *ret_store = &q->store;
    return EL_OK;
fail:
    cp_store_close(&q->store, 0);
    return rc;
}
