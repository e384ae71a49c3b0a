/* SPDX-License-Identifier: MIT */
/*
 * vouch_store: see vouch_store.h. A key is the version and the number of the chunk, big-endian. A
 * manifest's value is what was put; that of a chunk which is distrusted is a mark that no manifest
 * begins with. Names have one byte: whether it is.
 *
 * The file is one of common/mdb_map.h. After LMDB's own head could not be written it is opened
 * anew.
 */
#include "p2p/vouch_store.h"

#include <limits.h>
#include <pthread.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/list.h"
#include "common/log.h"
#include "common/mdb_map.h"

#define FIRST_BYTES   ((uint64_t)EL_GIB) /* sparse */
#define KEY_BYTES     20u
#define MAX_WAITING   65536u /* changes, and as many reads */
#define WAITING_TABLE 4096u  /* buckets */
#define COMMIT_WAIT_S 1
#define STEP          1024u                   /* names, then who waits for a read has his turn */
#define MARKS_BYTES   ((uint64_t)64 * EL_MIB) /* beyond the limit, for those that are distrusted */

enum { MANIFESTS, NAMES, TABLES };

static const uint8_t mark_of_distrust[4];

struct change {
    struct el_list link;
    struct change *next; /* in its bucket */
    uint8_t key[KEY_BYTES];
    bool is_distrusted;
    bool is_lost;        /* there was no room for it */
    struct el_buf value; /* empty, and not distrusted: it goes */
};

struct wanted {
    struct el_list link;
    struct el_chunk_id chunk;
};

struct p2p_vouch_store {
    /* the thread's once it runs */
    char path[PATH_MAX];
    uint64_t max_bytes;
    const struct p2p_vouch_store_ops *ops;
    void *arg;
    struct el_mdb_map map; /* not open: that could not be done anew */
    MDB_dbi tables[TABLES];
    bool is_full; /* and that has been said */
    uint8_t named[KEY_BYTES];
    bool has_named; /* up to that one */

    pthread_t thread;
    bool has_thread;

    pthread_mutex_t mtx;
    pthread_cond_t changed;                /* all below */
    struct el_list changes;                /* under mtx, as are all below */
    struct change *waiting[WAITING_TABLE]; /* the same, by key: of two about one the later counts */
    size_t n_changes;
    struct timespec due; /* when the first of them has waited long enough */
    struct el_list wanted;
    size_t n_wanted;
    bool is_naming, is_stopping;
};

static enum el_err fail_mdb(int code, const char *what, struct el_error *err)
{
    if (code > 0)
        return el_fail(err, EL_ECONF, code, "general.state_dir: %s the manifests", what);
    return el_fail(err, EL_ECONF, 0, "general.state_dir: %s the manifests: %s", what,
                   mdb_strerror(code));
}

static void lock(struct p2p_vouch_store *s)
{
    EL_ASSERT(pthread_mutex_lock(&s->mtx) == 0);
}

static void unlock(struct p2p_vouch_store *s)
{
    EL_ASSERT(pthread_mutex_unlock(&s->mtx) == 0);
}

/* ---- keys ---- */

static void key_of(const struct el_chunk_id *chunk, uint8_t key[KEY_BYTES])
{
    memcpy(key, chunk->object, sizeof(chunk->object));
    for (unsigned i = 0; i < 4; i++)
        key[KEY_BYTES - 1 - i] = (uint8_t)(chunk->index >> 8 * i);
}

static void chunk_of(const uint8_t key[KEY_BYTES], struct el_chunk_id *ret)
{
    memcpy(ret->object, key, sizeof(ret->object));
    ret->index = 0;
    for (unsigned i = 0; i < 4; i++)
        ret->index = ret->index << 8 | key[sizeof(ret->object) + i];
}

static bool is_mark(const MDB_val *value)
{
    return value->mv_size == sizeof(mark_of_distrust) &&
           memcmp(value->mv_data, mark_of_distrust, sizeof(mark_of_distrust)) == 0;
}

/* ---- the file ---- */

/* LMDB found what cannot be, and aborts when this returns: the next start is not the same. */
static void on_assert(MDB_env *env, const char *text)
{
    const struct p2p_vouch_store *s = mdb_env_get_userctx(env);
    struct el_error err;

    (void)unlink(s->path); /* the process ends either way */
    (void)el_fail(&err, EL_ECONF, 0, "general.state_dir: damaged manifests: %s", text);
    el_log_error(EL_ERROR, EV_MANIFESTS_LOST, &err);
}

static int open_tables(struct p2p_vouch_store *s)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(s->map.env, NULL, 0, &txn);

    if (code != 0)
        return code;
    code = mdb_dbi_open(txn, NULL, 0, &s->tables[MANIFESTS]);
    if (code == 0)
        code = mdb_dbi_open(txn, "names", MDB_CREATE, &s->tables[NAMES]);
    if (code == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return code;
}

/* Reads are of one manifest here and one there: what stands beside it is of no use. */
static int open_map(struct p2p_vouch_store *s)
{
    const struct el_mdb_map_conf conf = {
        .path = s->path,
        .flags = MDB_NOSUBDIR | MDB_NOMETASYNC | MDB_NORDAHEAD,
        .max_tables = 1, /* that of manifests has no name */
        .on_assert = on_assert,
        .arg = s,
    };
    int code = el_mdb_map_open(&s->map, &conf);

    if (code == 0)
        code = open_tables(s);
    while (code == MDB_MAP_FULL && (code = el_mdb_map_grow(&s->map)) == 0)
        code = open_tables(s);
    return code;
}

/* What is committed is still there after a panic. */
static int begin(struct p2p_vouch_store *s, unsigned flags, MDB_txn **ret_txn)
{
    int code = s->map.env != NULL ? mdb_txn_begin(s->map.env, NULL, flags, ret_txn) : MDB_PANIC;

    if (code != MDB_PANIC)
        return code;
    el_mdb_map_close(&s->map);
    if (open_map(s) == 0)
        return mdb_txn_begin(s->map.env, NULL, flags, ret_txn);
    el_mdb_map_close(&s->map);
    return MDB_PANIC;
}

/* ---- changes, on the thread ---- */

static int apply(struct p2p_vouch_store *s, MDB_txn *txn, const struct change *c)
{
    uint8_t flag = c->is_distrusted;
    MDB_val key = { KEY_BYTES, (void *)(uintptr_t)c->key }, value = { c->value.n, c->value.p };
    MDB_val name = { sizeof(flag), &flag };
    int code;

    if (c->is_distrusted)
        value = (MDB_val){ sizeof(mark_of_distrust), (void *)(uintptr_t)mark_of_distrust };
    if (value.mv_size > 0) {
        code = mdb_put(txn, s->tables[MANIFESTS], &key, &value, 0);
        return code == 0 ? mdb_put(txn, s->tables[NAMES], &key, &name, 0) : code;
    }
    code = mdb_del(txn, s->tables[MANIFESTS], &key, NULL);
    if (code == 0 || code == MDB_NOTFOUND)
        code = mdb_del(txn, s->tables[NAMES], &key, NULL);
    return code == MDB_NOTFOUND ? 0 : code;
}

static bool is_put(const struct change *c)
{
    return c->is_distrusted || c->value.n > 0;
}

/* A mark is short, and what must not get lost. */
static bool has_room(const struct p2p_vouch_store *s, const struct change *c, uint64_t used)
{
    return !is_put(c) || used < s->max_bytes + (c->is_distrusted ? MARKS_BYTES : 0);
}

/* All of it, or nothing; what has no room is marked as lost. */
static int write_once(struct p2p_vouch_store *s, struct el_list *some)
{
    struct el_list *it, *tmp;
    MDB_txn *txn;
    uint64_t used;
    int code = begin(s, 0, &txn);

    if (code != 0)
        return code;
    used = el_mdb_map_used(txn, s->tables, TABLES);
    EL_LIST_EACH (it, tmp, some) {
        struct change *c = EL_ENTRY(it, struct change, link);

        c->is_lost = !has_room(s, c, used);
        if (code == 0 && !c->is_lost)
            code = apply(s, txn, c);
    }
    if (code == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return code;
}

/* How many of what was put could not be written: all of it, or what had no room. */
static size_t lose(struct p2p_vouch_store *s, struct el_list *some, bool is_all)
{
    struct el_list *it, *tmp;
    struct el_chunk_id chunk;
    size_t n = 0;

    EL_LIST_EACH (it, tmp, some) {
        const struct change *c = EL_ENTRY(it, struct change, link);

        if (!c->is_lost && !(is_all && is_put(c)))
            continue;
        chunk_of(c->key, &chunk);
        s->ops->lost(s->arg, &chunk, c->is_distrusted);
        n++;
    }
    return n;
}

/* Once, until there is room again. */
static void say_full(struct p2p_vouch_store *s, bool is_full)
{
    if (is_full && !s->is_full)
        el_log(EL_WARN, EV_MANIFESTS_FULL, "limit_bytes=%llu", (unsigned long long)s->max_bytes);
    s->is_full = is_full;
}

static void write_some(struct p2p_vouch_store *s, struct el_list *some)
{
    struct el_error err;
    int code = write_once(s, some);

    while (code == MDB_MAP_FULL && (code = el_mdb_map_grow(&s->map)) == 0)
        code = write_once(s, some);
    if (code == 0) {
        say_full(s, lose(s, some, false) > 0);
        return;
    }
    (void)lose(s, some, true);
    (void)fail_mdb(code, "write", &err);
    el_log_error(EL_WARN, EV_MANIFESTS_LOST, &err);
}

/* ---- what is asked for, on the thread ---- */

static struct change **bucket_of(struct p2p_vouch_store *s, const uint8_t key[KEY_BYTES])
{
    uint32_t h, index;

    memcpy(&h, key, sizeof(h));
    memcpy(&index, key + KEY_BYTES - sizeof(index), sizeof(index));
    return &s->waiting[((h ^ index) * 0x9e3779b1u >> 16) % WAITING_TABLE];
}

static struct change *find_waiting_locked(struct p2p_vouch_store *s, const uint8_t key[KEY_BYTES])
{
    struct change *c = *bucket_of(s, key);

    while (c != NULL && memcmp(c->key, key, KEY_BYTES) != 0)
        c = c->next;
    return c;
}

/* False: no change of it is waiting. */
static bool read_waiting(struct p2p_vouch_store *s, const uint8_t key[KEY_BYTES],
                         struct el_buf *ret)
{
    struct change *c;

    lock(s);
    c = find_waiting_locked(s, key);
    if (c != NULL && c->is_distrusted)
        el_buf_add(ret, mark_of_distrust, sizeof(mark_of_distrust));
    else if (c != NULL)
        el_buf_add(ret, c->value.p, c->value.n);
    unlock(s);
    return c != NULL;
}

/* txn is NULL when the disk cannot be read. */
static void answer(struct p2p_vouch_store *s, MDB_txn *txn, const struct el_chunk_id *chunk)
{
    uint8_t k[KEY_BYTES];
    MDB_val key = { KEY_BYTES, k }, value = { 0 };
    struct el_buf waiting = { 0 };
    struct el_str found = { 0 };
    int code = 0;

    key_of(chunk, k);
    if (read_waiting(s, k, &waiting)) {
        found = el_buf_str(&waiting);
    } else {
        code = txn != NULL ? mdb_get(txn, s->tables[MANIFESTS], &key, &value) : MDB_PANIC;
        if (code == 0)
            found = (struct el_str){ value.mv_data, value.mv_size };
    }
    s->ops->got(s->arg, chunk, found, code == 0 || code == MDB_NOTFOUND);
    el_buf_deinit(&waiting);
}

static void answer_all(struct p2p_vouch_store *s, struct el_list *wanted)
{
    MDB_txn *txn = NULL;
    struct el_list *l;

    if (el_list_empty(wanted))
        return;
    if (begin(s, MDB_RDONLY, &txn) != 0)
        txn = NULL;
    while ((l = el_list_pop(wanted)) != NULL) {
        struct wanted *w = EL_ENTRY(l, struct wanted, link);

        answer(s, txn, &w->chunk);
        free(w);
    }
    if (txn != NULL)
        mdb_txn_abort(txn);
}

/* ---- names, on the thread ---- */

/* 0, MDB_NOTFOUND at the end, or what went wrong. */
static int name_from(struct p2p_vouch_store *s, MDB_cursor *cursor)
{
    MDB_val key = { KEY_BYTES, s->named }, value;
    int code = mdb_cursor_get(cursor, &key, &value, s->has_named ? MDB_SET_RANGE : MDB_FIRST);
    struct el_chunk_id chunk;

    if (code == 0 && s->has_named && key.mv_size == KEY_BYTES &&
        memcmp(key.mv_data, s->named, KEY_BYTES) == 0)
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    for (size_t i = 0; code == 0 && i < STEP; i++) {
        if (key.mv_size == KEY_BYTES && value.mv_size == 1) {
            memcpy(s->named, key.mv_data, KEY_BYTES);
            s->has_named = true;
            chunk_of(s->named, &chunk);
            s->ops->each(s->arg, &chunk, *(const uint8_t *)value.mv_data != 0);
        }
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    return code;
}

static void say_unread(int code)
{
    struct el_error err;

    (void)fail_mdb(code, "read", &err);
    el_log_error(EL_WARN, EV_MANIFESTS_LOST, &err);
}

/* Some more of them. */
static void name_some(struct p2p_vouch_store *s)
{
    MDB_cursor *cursor;
    MDB_txn *txn;
    int code = begin(s, MDB_RDONLY, &txn);

    if (code == 0) {
        code = mdb_cursor_open(txn, s->tables[NAMES], &cursor);
        if (code == 0) {
            code = name_from(s, cursor);
            mdb_cursor_close(cursor);
        }
        mdb_txn_abort(txn);
    }
    if (code == 0)
        return;
    lock(s);
    s->is_naming = false;
    unlock(s);
    s->has_named = false;
    if (code != MDB_NOTFOUND)
        say_unread(code);
    s->ops->all_named(s->arg); /* what could not be read is not shared */
}

static int copy_names(MDB_cursor *from, MDB_txn *txn, MDB_dbi names)
{
    MDB_val key, value;
    int code;

    while ((code = mdb_cursor_get(from, &key, &value, MDB_NEXT)) == 0) {
        uint8_t flag = is_mark(&value);
        MDB_val name = { sizeof(flag), &flag };

        if (key.mv_size != KEY_BYTES)
            continue;
        code = mdb_put(txn, names, &key, &name, MDB_APPEND);
        if (code != 0)
            return code;
    }
    return code == MDB_NOTFOUND ? 0 : code;
}

/* Of a file that a program without names has written, or written to, they are made. */
static int make_names(struct p2p_vouch_store *s)
{
    MDB_stat manifests = { 0 }, names = { 0 };
    MDB_cursor *cursor;
    MDB_txn *txn;
    int code = begin(s, 0, &txn);

    if (code != 0)
        return code;
    code = mdb_stat(txn, s->tables[MANIFESTS], &manifests);
    if (code == 0)
        code = mdb_stat(txn, s->tables[NAMES], &names);
    if (code == 0 && manifests.ms_entries != names.ms_entries + 1) { /* the table is an entry too */
        code = mdb_drop(txn, s->tables[NAMES], 0);
        if (code == 0)
            code = mdb_cursor_open(txn, s->tables[MANIFESTS], &cursor);
        if (code == 0) {
            code = copy_names(cursor, txn, s->tables[NAMES]);
            mdb_cursor_close(cursor);
        }
    }
    if (code == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return code;
}

static void begin_names(struct p2p_vouch_store *s)
{
    int code = make_names(s);

    while (code == MDB_MAP_FULL && (code = el_mdb_map_grow(&s->map)) == 0)
        code = make_names(s);
    if (code != 0)
        say_unread(code);
}

/* ---- the thread ---- */

static bool is_due_locked(const struct p2p_vouch_store *s)
{
    struct timespec now;

    if (s->n_changes == 0 || s->is_stopping || s->n_changes >= MAX_WAITING / 2)
        return s->n_changes > 0;
    EL_ASSERT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return now.tv_sec > s->due.tv_sec ||
           (now.tv_sec == s->due.tv_sec && now.tv_nsec >= s->due.tv_nsec);
}

static void wait_locked(struct p2p_vouch_store *s)
{
    while (!s->is_stopping && !s->is_naming && el_list_empty(&s->wanted) && !is_due_locked(s)) {
        if (s->n_changes > 0)
            (void)pthread_cond_timedwait(&s->changed, &s->mtx, &s->due); /* or it is due */
        else
            EL_ASSERT(pthread_cond_wait(&s->changed, &s->mtx) == 0);
    }
}

/* False: it stops, and nothing is left. */
static bool take_wanted(struct p2p_vouch_store *s, struct el_list *ret, bool *ret_is_naming)
{
    bool goes_on;

    lock(s);
    wait_locked(s);
    el_list_move(ret, &s->wanted);
    s->n_wanted = 0;
    *ret_is_naming = s->is_naming && !s->is_stopping;
    goes_on = !s->is_stopping || !el_list_empty(ret) || s->n_changes > 0;
    unlock(s);
    return goes_on;
}

/* None, while it is too early. */
static void take_changes(struct p2p_vouch_store *s, struct el_list *ret)
{
    el_list_init(ret);
    lock(s);
    if (is_due_locked(s)) {
        el_list_move(ret, &s->changes);
        s->n_changes = 0;
        memset(s->waiting, 0, sizeof(s->waiting));
    }
    unlock(s);
}

static void free_all(struct el_list *some)
{
    struct el_list *l;

    while ((l = el_list_pop(some)) != NULL) {
        struct change *c = EL_ENTRY(l, struct change, link);

        el_buf_deinit(&c->value);
        free(c);
    }
}

/* Who waits is answered first: a commit takes longer, and until it is over reads find what waits
 * for it there. */
static void *run(void *arg)
{
    struct p2p_vouch_store *s = arg;
    struct el_list wanted, changes;
    bool is_naming;

    (void)pthread_setname_np(pthread_self(), "manifests"); /* cosmetic */
    begin_names(s);
    while (take_wanted(s, &wanted, &is_naming)) {
        answer_all(s, &wanted);
        take_changes(s, &changes);
        if (!el_list_empty(&changes))
            write_some(s, &changes);
        free_all(&changes);
        if (is_naming)
            name_some(s);
    }
    return NULL;
}

/* ---- its life ---- */

/* What cannot be read is of no use: it begins anew. */
static enum el_err open_or_renew(struct p2p_vouch_store *s, struct el_error *err)
{
    int code = open_map(s);

    if (code < 0) {
        el_mdb_map_close(&s->map);
        (void)unlink(s->path);
        code = open_map(s);
    }
    return code == 0 ? EL_OK : fail_mdb(code, "open", err);
}

static void init_locks(struct p2p_vouch_store *s)
{
    pthread_condattr_t attr;

    EL_ASSERT(pthread_mutex_init(&s->mtx, NULL) == 0);
    EL_ASSERT(pthread_condattr_init(&attr) == 0);
    EL_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    EL_ASSERT(pthread_cond_init(&s->changed, &attr) == 0);
    EL_ASSERT(pthread_condattr_destroy(&attr) == 0);
}

enum el_err p2p_vouch_store_open(const struct p2p_vouch_store_conf *conf,
                                 struct p2p_vouch_store **ret_store, struct el_error *err)
{
    struct p2p_vouch_store *s = el_new(struct p2p_vouch_store);
    enum el_err rc;
    int n, failed;

    s->max_bytes = conf->max_bytes;
    s->map.bytes = conf->first_bytes != 0 ? conf->first_bytes : FIRST_BYTES;
    s->ops = conf->ops;
    s->arg = conf->arg;
    s->is_naming = true;
    el_list_init(&s->changes);
    el_list_init(&s->wanted);
    init_locks(s);
    n = snprintf(s->path, sizeof(s->path), "%s/manifests", conf->dir);
    if (n < 0 || (size_t)n >= sizeof(s->path))
        rc = el_fail(err, EL_ECONF, 0, "general.state_dir: its path is too long");
    else
        rc = open_or_renew(s, err);
    if (rc == EL_OK) {
        failed = pthread_create(&s->thread, NULL, run, s);
        s->has_thread = failed == 0;
        if (failed != 0)
            rc = el_fail(err, EL_ESYS, failed, "a thread for the manifests");
    }
    if (rc == EL_OK)
        *ret_store = s;
    else
        p2p_vouch_store_close(s);
    return rc;
}

void p2p_vouch_store_close(struct p2p_vouch_store *s)
{
    if (s == NULL)
        return;
    if (s->has_thread) {
        lock(s);
        s->is_stopping = true;
        EL_ASSERT(pthread_cond_signal(&s->changed) == 0);
        unlock(s);
        EL_ASSERT(pthread_join(s->thread, NULL) == 0);
    }
    el_mdb_map_close(&s->map);
    EL_ASSERT(pthread_cond_destroy(&s->changed) == 0);
    EL_ASSERT(pthread_mutex_destroy(&s->mtx) == 0);
    free(s);
}

/* ---- from outside ---- */

static void add_locked(struct p2p_vouch_store *s, struct change *c)
{
    struct change **bucket = bucket_of(s, c->key);

    if (s->n_changes++ == 0) {
        EL_ASSERT(clock_gettime(CLOCK_MONOTONIC, &s->due) == 0);
        s->due.tv_sec += COMMIT_WAIT_S;
    }
    if (s->n_changes == 1 || s->n_changes == MAX_WAITING / 2)
        EL_ASSERT(pthread_cond_signal(&s->changed) == 0);
    c->next = *bucket;
    *bucket = c;
    el_list_append(&s->changes, &c->link);
}

/* Takes *value. */
static bool change(struct p2p_vouch_store *s, const struct el_chunk_id *chunk, bool is_distrusted,
                   struct el_buf *value)
{
    uint8_t key[KEY_BYTES];
    struct change *c;

    key_of(chunk, key);
    lock(s);
    c = find_waiting_locked(s, key);
    if (c == NULL && s->n_changes < MAX_WAITING) {
        c = el_new(struct change);
        memcpy(c->key, key, sizeof(key));
        add_locked(s, c);
    }
    if (c != NULL) {
        el_buf_deinit(&c->value);
        c->value = *value;
        c->is_distrusted = is_distrusted;
    } else {
        el_buf_deinit(value);
    }
    unlock(s);
    el_buf_init(value);
    return c != NULL;
}

bool p2p_vouch_store_put(struct p2p_vouch_store *s, const struct el_chunk_id *chunk,
                         bool is_distrusted, struct el_buf *value)
{
    EL_ASSERT(is_distrusted == (value->n == 0));
    return change(s, chunk, is_distrusted, value);
}

bool p2p_vouch_store_drop(struct p2p_vouch_store *s, const struct el_chunk_id *chunk)
{
    struct el_buf none = { 0 };

    return change(s, chunk, false, &none);
}

bool p2p_vouch_store_get(struct p2p_vouch_store *s, const struct el_chunk_id *chunk)
{
    struct wanted *w = NULL;

    lock(s);
    if (s->n_wanted < MAX_WAITING) {
        w = el_new(struct wanted);
        w->chunk = *chunk;
        el_list_append(&s->wanted, &w->link);
        s->n_wanted++;
        EL_ASSERT(pthread_cond_signal(&s->changed) == 0);
    }
    unlock(s);
    return w != NULL;
}

bool p2p_vouch_store_look(struct p2p_vouch_store *s)
{
    bool begins;

    lock(s);
    begins = !s->is_naming;
    s->is_naming = true;
    if (begins)
        EL_ASSERT(pthread_cond_signal(&s->changed) == 0);
    unlock(s);
    return begins;
}
