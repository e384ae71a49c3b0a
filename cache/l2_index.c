/* SPDX-License-Identifier: MIT */
/*
 * l2_index: see l2_index.h. Two lists under one mutex, batches and reads (gets); the thread takes
 * both aside, commits the batches one transaction each, then answers the reads.
 *
 * The file is read through when it is opened, which also brings it into memory in one go
 * (common/mdb_map.h has why, and what else can be wrong with it). Damage within, LMDB may find with
 * an assertion: then the file is removed before the process ends, so that the next start is not the
 * same.
 */
#include "cache/l2_index.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/log.h"
#include "common/mdb_map.h"

#define MAX_KEY_BYTES 511u /* LMDB's */

static const char *const table_names[L2_TABLES] = { "meta", "object", "chunk" };

struct l2_index {
    /* immutable after open, but for what the index's thread does about a full map or a panic */
    char path[PATH_MAX]; /* DIR/index */
    struct el_mdb_map map;
    MDB_dbi tables[L2_TABLES];
    pthread_t thread;
    bool has_thread;

    _Atomic uint64_t used_bytes;

    pthread_mutex_t mtx;
    pthread_cond_t changed; /* batches, reads, scans or is_stopping */
    struct el_list batches; /* under mtx, as are all below */
    struct el_list reads, scans;
    bool is_stopping;
};

/* ---- errors ---- */

/* LMDB's own codes are negative, others are errno. A full map is a want of room like any other. */
static enum el_err fail_mdb(const struct l2_index *x, int code, const char *what,
                            struct el_error *err)
{
    if (code > 0)
        return el_fail(err, EL_EDISK, code, "%s %s", what, x->path);
    return el_fail(err, EL_EDISK, code == MDB_MAP_FULL ? ENOSPC : 0, "%s %s: %s", what, x->path,
                   mdb_strerror(code));
}

/* What says that the file is none of ours, or damaged. */
static bool is_damage(int code)
{
    static const int codes[] = { MDB_INVALID,       MDB_CORRUPTED,    MDB_PANIC,
                                 MDB_PAGE_NOTFOUND, MDB_INCOMPATIBLE, MDB_VERSION_MISMATCH };

    for (size_t i = 0; i < EL_COUNT(codes); i++) {
        if (code == codes[i])
            return true;
    }
    return false;
}

static MDB_val val_of(struct el_str s)
{
    return (MDB_val){ .mv_size = s.n, .mv_data = (void *)(uintptr_t)s.p };
}

static struct el_str str_of(MDB_val v)
{
    return (struct el_str){ v.mv_data, v.mv_size };
}

/* ---- the file ---- */

static enum el_err file_name(const char *path, const char *file, char ret[PATH_MAX],
                             struct el_error *err)
{
    int n = snprintf(ret, PATH_MAX, "%s/%s", path, file);

    if (n < 0 || n >= PATH_MAX)
        return el_fail(err, EL_ECONF, 0, "the path %s is too long", path);
    return EL_OK;
}

static enum el_err remove_file(const char *path, const char *file, struct el_error *err)
{
    char name[PATH_MAX];
    enum el_err rc = file_name(path, file, name, err);

    if (rc == EL_OK && unlink(name) != 0 && errno != ENOENT)
        rc = el_fail(err, EL_EDISK, errno, "remove %s", name);
    return rc;
}

static enum el_err remove_files(const char *path, struct el_error *err)
{
    enum el_err rc = remove_file(path, "data.mdb", err);

    return rc == EL_OK ? remove_file(path, "lock.mdb", err) : rc;
}

/* LMDB found what cannot be, and aborts when this returns. */
static void on_assert(MDB_env *env, const char *text)
{
    const struct l2_index *x = mdb_env_get_userctx(env);

    (void)remove_files(x->path, NULL); /* the process ends either way */
    el_log(EL_ERROR, EV_DISK_EMPTIED, "dir=%s error=%s", EL_LOG_Q(el_str_of(x->path)),
           EL_LOG_Q(el_str_of(text)));
}

static int open_map(struct l2_index *x)
{
    const struct el_mdb_map_conf conf = {
        .path = x->path,
        .flags = MDB_NOTLS,
        .max_tables = L2_TABLES,
        .is_read_whole = true,
        .on_assert = on_assert,
        .arg = x,
    };

    return el_mdb_map_open(&x->map, &conf);
}

/* ---- tables and version ---- */

static int commit(struct l2_index *x, MDB_txn *txn)
{
    uint64_t used = el_mdb_map_used(txn, x->tables, L2_TABLES);
    int code = mdb_txn_commit(txn);

    if (code == 0)
        atomic_store_explicit(&x->used_bytes, used, memory_order_relaxed);
    return code;
}

static int open_tables(struct l2_index *x, MDB_txn *txn)
{
    int code = 0;

    for (unsigned i = 0; i < L2_TABLES && code == 0; i++)
        code = mdb_dbi_open(txn, table_names[i], MDB_CREATE, &x->tables[i]);
    return code;
}

/* What cannot be read is version 0, older than any. */
static int read_version(const struct l2_index *x, MDB_txn *txn, uint32_t *ret_version)
{
    MDB_val key = val_of(EL_STR("version")), value;
    int code = mdb_get(txn, x->tables[L2_TABLE_META], &key, &value);
    struct el_bytes in;

    if (code != 0 && code != MDB_NOTFOUND)
        return code;
    *ret_version = 0;
    if (code == 0 && value.mv_size == 4) {
        in = el_bytes_of(str_of(value));
        *ret_version = el_bytes_u32(&in);
    }
    return 0;
}

static int write_version(const struct l2_index *x, MDB_txn *txn)
{
    struct el_buf version = { 0 };
    MDB_val key = val_of(EL_STR("version")), value;
    int code;

    el_bytes_add_u32(&version, L2_INDEX_VERSION);
    value = val_of(el_buf_str(&version));
    code = mdb_put(txn, x->tables[L2_TABLE_META], &key, &value, 0);
    el_buf_deinit(&version);
    return code;
}

/* How an environment turned out. */
struct opened {
    bool is_new;
    bool
        is_useless; /* not ours, damaged, or old: there is an error, and a new one is the way out */
};

static enum el_err check_version(const struct l2_index *x, uint32_t version, struct opened *o,
                                 struct el_error *err)
{
    if (version == L2_INDEX_VERSION)
        return EL_OK;
    if (version > L2_INDEX_VERSION)
        return el_fail(err, EL_ECONF, 0,
                       "%s has format version %u, of a newer program; this one knows version %u",
                       x->path, version, L2_INDEX_VERSION);
    o->is_useless = true;
    return el_fail(err, EL_EDISK, 0, "%s has format version %u, older than version %u", x->path,
                   version, L2_INDEX_VERSION);
}

static enum el_err settle(struct l2_index *x, MDB_txn *txn, struct opened *o, struct el_error *err)
{
    uint32_t version = L2_INDEX_VERSION;
    MDB_stat all;
    int code = mdb_env_stat(x->map.env, &all);

    o->is_new = code == 0 && all.ms_entries == 0;
    if (code == 0)
        code = open_tables(x, txn);
    if (code == 0)
        code = o->is_new ? write_version(x, txn) : read_version(x, txn, &version);
    if (code == 0)
        return check_version(x, version, o, err);
    o->is_useless = is_damage(code);
    return fail_mdb(x, code, "open", err);
}

static enum el_err start_map(struct l2_index *x, struct opened *o, struct el_error *err)
{
    MDB_txn *txn;
    enum el_err rc;
    int code = open_map(x);

    *o = (struct opened){ 0 };
    if (code == 0)
        code = mdb_txn_begin(x->map.env, NULL, 0, &txn);
    if (code != 0) {
        o->is_useless = is_damage(code);
        return fail_mdb(x, code, "open", err);
    }
    rc = settle(x, txn, o, err);
    if (rc != EL_OK) {
        mdb_txn_abort(txn);
        return rc;
    }
    code = commit(x, txn);
    return code == 0 ? EL_OK : fail_mdb(x, code, "open", err);
}

/* In place of one that is of no use, as *err says. */
static enum el_err start_anew(struct l2_index *x, struct opened *o, struct el_error *err)
{
    enum el_err rc;

    el_log_error(EL_WARN, EV_DISK_EMPTIED, err);
    el_mdb_map_close(&x->map);
    rc = remove_files(x->path, err);
    return rc == EL_OK ? start_map(x, o, err) : rc;
}

/* ---- on the index's thread ---- */

/*
 * After a write of LMDB's own head has failed, LMDB wants the environment opened anew. What is
 * committed is still there.
 */
static int begin(struct l2_index *x, unsigned flags, MDB_txn **ret_txn)
{
    struct opened o;
    int code = x->map.env != NULL ? mdb_txn_begin(x->map.env, NULL, flags, ret_txn) : MDB_PANIC;

    if (code != MDB_PANIC)
        return code;
    el_mdb_map_close(&x->map);
    if (start_map(x, &o, NULL) == EL_OK)
        return mdb_txn_begin(x->map.env, NULL, flags, ret_txn);
    el_mdb_map_close(&x->map);
    return MDB_PANIC;
}

enum change_kind { CHANGE_PUT, CHANGE_DEL };

struct change {
    enum change_kind kind;
    enum l2_table table;
    struct el_str key, value;
};

/* False: there is no more. */
static bool next_change(struct el_bytes *in, struct change *ret)
{
    size_t key_n, value_n;

    if (el_bytes_is_end(in))
        return false;
    ret->kind = el_bytes_u8(in);
    ret->table = el_bytes_u8(in);
    key_n = el_bytes_u16(in);
    value_n = el_bytes_u32(in);
    ret->key = el_bytes_str(in, key_n);
    ret->value = el_bytes_str(in, value_n);
    EL_ASSERT(!in->is_bad && ret->table < L2_TABLES);
    return true;
}

static int apply_one(const struct l2_index *x, MDB_txn *txn, const struct change *c)
{
    MDB_val key = val_of(c->key), value = val_of(c->value);
    int code;

    if (c->kind == CHANGE_PUT)
        return mdb_put(txn, x->tables[c->table], &key, &value, 0);
    code = mdb_del(txn, x->tables[c->table], &key, NULL);
    return code == MDB_NOTFOUND ? 0 : code;
}

static int try_all(struct l2_index *x, struct el_str changes)
{
    struct el_bytes in = el_bytes_of(changes);
    struct change c;
    MDB_txn *txn;
    int code = begin(x, 0, &txn);

    if (code != 0)
        return code;
    while (code == 0 && next_change(&in, &c))
        code = apply_one(x, txn, &c);
    if (code == 0)
        return commit(x, txn);
    mdb_txn_abort(txn);
    return code;
}

/* All of it, or nothing. Only the disk limits how much there may be. */
static int apply_all(struct l2_index *x, struct el_str changes)
{
    int code = try_all(x, changes);

    while (code == MDB_MAP_FULL && (code = el_mdb_map_grow(&x->map)) == 0)
        code = try_all(x, changes);
    return code;
}

static void do_batch(struct l2_index *x, struct l2_batch *b)
{
    int code;

    b->err = (struct el_error){ 0 };
    if (b->sync_fd >= 0 && fdatasync(b->sync_fd) != 0) {
        (void)el_fail(&b->err, EL_EDISK, errno, "sync the file beside %s", x->path);
        return;
    }
    code = apply_all(x, el_buf_str(&b->changes));
    if (code != 0)
        (void)fail_mdb(x, code, "commit to", &b->err);
}

static int read_value(struct l2_index *x, struct l2_get *g)
{
    MDB_val key = val_of(el_buf_str(&g->key)), value;
    MDB_txn *txn;
    int code = begin(x, MDB_RDONLY, &txn);

    if (code != 0)
        return code;
    code = mdb_get(txn, x->tables[g->table], &key, &value);
    g->was_found = code == 0;
    if (g->was_found)
        el_buf_add_str(&g->value, str_of(value));
    mdb_txn_abort(txn);
    return code == MDB_NOTFOUND ? 0 : code;
}

static void do_get(struct l2_index *x, struct l2_get *g)
{
    int code;

    g->err = (struct el_error){ 0 };
    g->was_found = false;
    el_buf_clear(&g->value);
    code = read_value(x, g);
    if (code != 0)
        (void)fail_mdb(x, code, "read", &g->err);
}

/* The entry at which the step before ended may be gone meanwhile. */
static int scan_some(struct l2_scan *s, MDB_cursor *cursor)
{
    struct el_str after = el_buf_str(&s->after);
    MDB_val key = val_of(after), value;
    int code = mdb_cursor_get(cursor, &key, &value, after.n > 0 ? MDB_SET_RANGE : MDB_FIRST);

    if (code == 0 && after.n > 0 && el_str_eq(str_of(key), after))
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    for (size_t i = 1; code == 0; i++) {
        s->each(s->arg, str_of(key), str_of(value));
        if (i == s->max) {
            el_buf_clear(&s->after);
            el_buf_add_str(&s->after, str_of(key));
            return 0;
        }
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    s->is_end = code == MDB_NOTFOUND;
    return s->is_end ? 0 : code;
}

static int scan_table(struct l2_index *x, struct l2_scan *s)
{
    MDB_cursor *cursor;
    MDB_txn *txn;
    int code = begin(x, MDB_RDONLY, &txn);

    if (code != 0)
        return code;
    code = mdb_cursor_open(txn, x->tables[s->table], &cursor);
    if (code == 0) {
        code = scan_some(s, cursor);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return code;
}

static void do_scan(struct l2_index *x, struct l2_scan *s)
{
    int code;

    s->err = (struct el_error){ 0 };
    s->is_end = false;
    code = scan_table(x, s);
    if (code != 0)
        (void)fail_mdb(x, code, "read", &s->err);
}

static void lock(struct l2_index *x)
{
    EL_ASSERT(pthread_mutex_lock(&x->mtx) == 0);
}

static void unlock(struct l2_index *x)
{
    EL_ASSERT(pthread_mutex_unlock(&x->mtx) == 0);
}

/* What is to be done, in this order: who scans is in no hurry. */
struct work {
    struct el_list batches, reads, scans;
};

static bool is_idle_locked(const struct l2_index *x)
{
    return el_list_empty(&x->batches) && el_list_empty(&x->reads) && el_list_empty(&x->scans);
}

/* False: there is and will be nothing to do. */
static bool take(struct l2_index *x, struct work *ret)
{
    bool is_over;

    lock(x);
    while (is_idle_locked(x) && !x->is_stopping)
        EL_ASSERT(pthread_cond_wait(&x->changed, &x->mtx) == 0);
    is_over = is_idle_locked(x);
    el_list_move(&ret->batches, &x->batches);
    el_list_move(&ret->reads, &x->reads);
    el_list_move(&ret->scans, &x->scans);
    unlock(x);
    return !is_over;
}

/* What was posted is not ours any more. */
static void do_work(struct l2_index *x, struct work *w)
{
    struct el_list *l;

    while ((l = el_list_pop(&w->batches)) != NULL) {
        struct l2_batch *b = EL_ENTRY(l, struct l2_batch, link);

        do_batch(x, b);
        el_msgq_post(b->queue, &b->msg);
    }
    while ((l = el_list_pop(&w->reads)) != NULL) {
        struct l2_get *g = EL_ENTRY(l, struct l2_get, link);

        do_get(x, g);
        el_msgq_post(g->queue, &g->msg);
    }
    while ((l = el_list_pop(&w->scans)) != NULL) {
        struct l2_scan *s = EL_ENTRY(l, struct l2_scan, link);

        do_scan(x, s);
        el_msgq_post(s->queue, &s->msg);
    }
}

static void *run(void *arg)
{
    struct l2_index *x = arg;
    struct work work;

    (void)pthread_setname_np(pthread_self(), "l2-index"); /* cosmetic */
    while (take(x, &work))
        do_work(x, &work);
    return NULL;
}

/* ---- its life ---- */

static enum el_err start_thread(struct l2_index *x, struct el_error *err)
{
    int code = pthread_create(&x->thread, NULL, run, x);

    if (code != 0)
        return el_fail(err, EL_ESYS, code, "start the thread of %s", x->path);
    x->has_thread = true;
    return EL_OK;
}

static struct l2_index *alloc_index(uint64_t bytes)
{
    struct l2_index *x = el_new(struct l2_index);

    x->map.bytes = bytes;
    EL_ASSERT(pthread_mutex_init(&x->mtx, NULL) == 0);
    EL_ASSERT(pthread_cond_init(&x->changed, NULL) == 0);
    el_list_init(&x->batches);
    el_list_init(&x->reads);
    el_list_init(&x->scans);
    return x;
}

static enum el_err make_directory(struct l2_index *x, const char *dir, struct el_error *err)
{
    enum el_err rc = file_name(dir, "index", x->path, err);

    if (rc == EL_OK && mkdir(x->path, 0700) != 0 && errno != EEXIST)
        rc = el_fail(err, EL_EDISK, errno, "make %s", x->path);
    return rc;
}

enum el_err l2_index_open(const char *dir, uint64_t bytes, struct l2_index **ret_index,
                          bool *ret_is_new, struct el_error *err)
{
    struct l2_index *x = alloc_index(bytes);
    struct el_error why = { 0 };
    struct opened o;
    enum el_err rc = make_directory(x, dir, err);

    if (rc != EL_OK)
        goto fail;
    rc = start_map(x, &o, &why);
    if (rc != EL_OK && o.is_useless)
        rc = start_anew(x, &o, &why);
    if (rc == EL_OK)
        rc = start_thread(x, &why);
    if (rc != EL_OK) {
        if (err != NULL)
            *err = why;
        goto fail;
    }
    *ret_index = x;
    *ret_is_new = o.is_new;
    return EL_OK;
fail:
    l2_index_close(x);
    return rc;
}

void l2_index_close(struct l2_index *x)
{
    if (x == NULL)
        return;
    lock(x);
    x->is_stopping = true;
    EL_ASSERT(pthread_cond_signal(&x->changed) == 0);
    unlock(x);
    if (x->has_thread)
        EL_ASSERT(pthread_join(x->thread, NULL) == 0);
    el_mdb_map_close(&x->map);
    EL_ASSERT(pthread_cond_destroy(&x->changed) == 0);
    EL_ASSERT(pthread_mutex_destroy(&x->mtx) == 0);
    free(x);
}

enum el_err l2_index_discard(const char *dir, struct el_error *err)
{
    char path[PATH_MAX];
    enum el_err rc = file_name(dir, "index", path, err);

    return rc == EL_OK ? remove_files(path, err) : rc;
}

/* ---- what there is ---- */

typedef enum el_err each_fn(void *arg, struct el_str key, struct el_str value,
                            struct el_error *err);

static enum el_err walk(const struct l2_index *x, MDB_cursor *cursor, each_fn *each, void *arg,
                        struct el_error *err)
{
    enum el_err rc = EL_OK;
    MDB_val key, value;
    int code;

    while (rc == EL_OK && (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        rc = each(arg, str_of(key), str_of(value), err);
    if (rc == EL_OK && code != MDB_NOTFOUND)
        rc = fail_mdb(x, code, "read", err);
    return rc;
}

enum el_err l2_index_each(struct l2_index *x, enum l2_table table,
                          enum el_err (*each)(void *arg, struct el_str key, struct el_str value,
                                              struct el_error *err),
                          void *arg, struct el_error *err)
{
    MDB_cursor *cursor;
    MDB_txn *txn;
    enum el_err rc;
    int code = mdb_txn_begin(x->map.env, NULL, MDB_RDONLY, &txn);

    if (code != 0)
        return fail_mdb(x, code, "read", err);
    code = mdb_cursor_open(txn, x->tables[table], &cursor);
    if (code == 0) {
        rc = walk(x, cursor, each, arg, err);
        mdb_cursor_close(cursor);
    } else {
        rc = fail_mdb(x, code, "read", err);
    }
    mdb_txn_abort(txn);
    return rc;
}

enum el_err l2_index_put(struct l2_index *x, enum l2_table table, struct el_str key,
                         struct el_str value, struct el_error *err)
{
    struct l2_batch b = { 0 };
    int code;

    l2_batch_put(&b, table, key, value);
    code = apply_all(x, el_buf_str(&b.changes));
    l2_batch_deinit(&b);
    return code == 0 ? EL_OK : fail_mdb(x, code, "write", err);
}

uint64_t l2_index_bytes(struct l2_index *x)
{
    return atomic_load_explicit(&x->used_bytes, memory_order_relaxed);
}

/* ---- batches ---- */

void l2_batch_init(struct l2_batch *b, void (*on_done)(struct el_msg *))
{
    *b = (struct l2_batch){ .sync_fd = -1 };
    el_msg_init(&b->msg, on_done);
    el_list_init(&b->link);
}

void l2_batch_deinit(struct l2_batch *b)
{
    el_buf_deinit(&b->changes);
    b->n = 0;
}

void l2_batch_clear(struct l2_batch *b)
{
    el_buf_clear(&b->changes);
    b->n = 0;
}

static void add_change(struct l2_batch *b, enum change_kind kind, enum l2_table table,
                       struct el_str key, struct el_str value)
{
    EL_ASSERT(key.n >= 1 && key.n <= MAX_KEY_BYTES && value.n <= UINT32_MAX);
    el_bytes_add_u8(&b->changes, (uint8_t)kind);
    el_bytes_add_u8(&b->changes, (uint8_t)table);
    el_bytes_add_u16(&b->changes, (uint16_t)key.n);
    el_bytes_add_u32(&b->changes, (uint32_t)value.n);
    el_buf_add_str(&b->changes, key);
    el_buf_add_str(&b->changes, value);
    b->n++;
}

void l2_batch_put(struct l2_batch *b, enum l2_table table, struct el_str key, struct el_str value)
{
    add_change(b, CHANGE_PUT, table, key, value);
}

void l2_batch_del(struct l2_batch *b, enum l2_table table, struct el_str key)
{
    add_change(b, CHANGE_DEL, table, key, (struct el_str){ NULL, 0 });
}

void l2_batch_each(const struct l2_batch *b, enum l2_table table,
                   void (*each)(void *arg, struct el_str key, struct el_str value), void *arg)
{
    struct el_bytes in = el_bytes_of(el_buf_str(&b->changes));
    struct change c;

    while (next_change(&in, &c)) {
        if (c.kind == CHANGE_PUT && c.table == table)
            each(arg, c.key, c.value);
    }
}

void l2_index_commit(struct l2_index *x, struct l2_batch *b)
{
    lock(x);
    el_list_append(&x->batches, &b->link);
    EL_ASSERT(pthread_cond_signal(&x->changed) == 0);
    unlock(x);
}

void l2_index_get(struct l2_index *x, struct l2_get *g)
{
    lock(x);
    el_list_append(&x->reads, &g->link);
    EL_ASSERT(pthread_cond_signal(&x->changed) == 0);
    unlock(x);
}

void l2_index_scan(struct l2_index *x, struct l2_scan *s)
{
    lock(x);
    el_list_append(&x->scans, &s->link);
    EL_ASSERT(pthread_cond_signal(&x->changed) == 0);
    unlock(x);
}
