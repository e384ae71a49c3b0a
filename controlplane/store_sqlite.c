/* SPDX-License-Identifier: MIT */
/*
 * store_sqlite: records in a file of this machine (store.h).
 *
 * One table of keys and values, write-ahead log, every commit synced. Group commit comes by itself:
 * what is put while one transaction is synced is the next one. So an acknowledged record costs a
 * share of a sync, and a thousand registrations a second on a slow disk are some dozens of commits.
 *
 * The file is locked for this process while it is open.
 */
#include <sqlite3.h>

#include "controlplane/store_in.h"

#define FORMAT        1 /* PRAGMA user_version */
#define RETRY_MS      500
#define IDLE_MS       1000
#define SLICE_RECORDS 5000u /* of one transaction: one that fails is all done again */
#define SLICE_BYTES   (8 * EL_MIB)

enum statement { ST_PUT, ST_REMOVE, ST_COUNT };

static const char *const texts[ST_COUNT] = {
    [ST_PUT] = "INSERT INTO record(key, value) VALUES(?1, ?2) "
               "ON CONFLICT(key) DO UPDATE SET value = ?2",
    [ST_REMOVE] = "DELETE FROM record WHERE key = ?1",
};

struct sqlite {
    struct cp_store store;
    sqlite3 *db; /* its own lock: the writer's, and a backup's */
    sqlite3_stmt *statement[ST_COUNT];
    pthread_mutex_t turn, next; /* take_turn() */
    pthread_t writer;
    bool is_running;
};

static enum el_err fail(struct sqlite *q, int rc, const char *what, struct el_error *err)
{
    enum el_err code = (rc & 0xff) == SQLITE_BUSY ? EL_ECONFLICT : EL_EDISK;

    return el_fail(err, code, 0, "%s: %s", what,
                   q->db == NULL ? "no memory" : sqlite3_errmsg(q->db));
}

static enum el_err run(struct sqlite *q, const char *sql, struct el_error *err)
{
    int rc = sqlite3_exec(q->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? EL_OK : fail(q, rc, sql, err);
}

/* A number that one statement gives. */
static enum el_err ask(struct sqlite *q, const char *sql, int64_t *ret, struct el_error *err)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(q->db, sql, -1, &st, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int64(st, 0);
    (void)sqlite3_finalize(st);
    return rc == SQLITE_ROW ? EL_OK : fail(q, rc, sql, err);
}

static enum el_err prepare_file(struct sqlite *q, struct el_error *err)
{
    static const char *const steps[] = {
        "PRAGMA locking_mode = EXCLUSIVE",
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "BEGIN EXCLUSIVE",
        "CREATE TABLE IF NOT EXISTS record(key BLOB PRIMARY KEY, value BLOB NOT NULL)",
        "COMMIT",
    };
    int64_t format = 0;
    enum el_err rc = ask(q, "PRAGMA user_version", &format, err);

    if (rc == EL_OK && format > FORMAT)
        return el_fail(err, EL_EVERSION, 0, "the file has format %lld, which is newer than %d",
                       (long long)format, FORMAT);
    for (size_t i = 0; rc == EL_OK && i < EL_COUNT(steps); i++)
        rc = run(q, steps[i], err);
    if (rc == EL_OK && format < FORMAT)
        rc = run(q, "PRAGMA user_version = 1", err);
    for (size_t i = 0; rc == EL_OK && i < ST_COUNT; i++) {
        int sq = sqlite3_prepare_v2(q->db, texts[i], -1, &q->statement[i], NULL);

        rc = sq == SQLITE_OK ? EL_OK : fail(q, sq, texts[i], err);
    }
    return rc;
}

static struct el_str column(sqlite3_stmt *st, int i)
{
    const void *p = sqlite3_column_blob(st, i);
    int n = sqlite3_column_bytes(st, i);

    return (struct el_str){ p == NULL ? "" : (const char *)p, (size_t)n };
}

static enum el_err load_some(struct sqlite *q, const char *sql, struct el_error *err)
{
    const struct cp_store_events *e = &q->store.events;
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(q->db, sql, -1, &st, NULL);

    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(st);
        if (rc != SQLITE_ROW)
            break;
        e->on_record(e->arg, column(st, 0), column(st, 1), false);
        q->store.status.loaded++;
    }
    (void)sqlite3_finalize(st);
    return rc == SQLITE_DONE ? EL_OK : fail(q, rc, sql, err);
}

/* '0' is the character behind '/'. */
#define NODES "key >= CAST('node/' AS BLOB) AND key < CAST('node0' AS BLOB)"

static enum el_err load(struct sqlite *q, struct el_error *err)
{
    const struct cp_store_events *e = &q->store.events;
    enum el_err rc;

    e->on_load(e->arg, true);
    rc = load_some(q, "SELECT key, value FROM record WHERE " NODES, err);
    if (rc == EL_OK)
        rc = load_some(q, "SELECT key, value FROM record WHERE NOT (" NODES ")", err);
    if (rc == EL_OK)
        e->on_load(e->arg, false);
    return rc;
}

/* ---- turns ---- */

/*
 * A transaction of the writer and a step of a backup, by turns: a step within a transaction of the
 * same connection fails. Who waits for the turn has `next`, so that whoever had it before does not
 * have it again at once.
 */
static void take_turn(struct sqlite *q)
{
    (void)pthread_mutex_lock(&q->next);
    (void)pthread_mutex_lock(&q->turn);
    (void)pthread_mutex_unlock(&q->next);
}

static void end_turn(struct sqlite *q)
{
    (void)pthread_mutex_unlock(&q->turn);
}

/* ---- writing ---- */

static int write_one(struct sqlite *q, const struct cp_record *r)
{
    sqlite3_stmt *st = q->statement[r->is_removal ? ST_REMOVE : ST_PUT];
    struct el_str key = cp_record_key(r), value = cp_record_value(r);
    int rc = sqlite3_bind_blob(st, 1, key.p, (int)key.n, SQLITE_STATIC);

    if (rc == SQLITE_OK && !r->is_removal)
        rc = sqlite3_bind_blob(st, 2, value.p, (int)value.n, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    (void)sqlite3_reset(st); /* says again what the step said */
    (void)sqlite3_clear_bindings(st);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static enum el_err write_all(struct sqlite *q, const struct cp_record *all, struct el_error *err)
{
    int rc = sqlite3_exec(q->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    for (const struct cp_record *r = all; rc == SQLITE_OK && r != NULL; r = r->next)
        rc = write_one(q, r);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(q->db, "COMMIT", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return EL_OK;
    (void)fail(q, rc, "write", err);
    (void)sqlite3_exec(q->db, "ROLLBACK", NULL, NULL, NULL);
    return err->code;
}

/* Cuts a chain behind what is one transaction; returns what follows. */
static struct cp_record *cut(struct cp_record *all, uint64_t *ret_records, uint64_t *ret_bytes)
{
    struct cp_record *rest;

    *ret_records = 1;
    *ret_bytes = (uint64_t)all->key_n + all->value_n;
    for (; all->next != NULL && *ret_records < SLICE_RECORDS && *ret_bytes < SLICE_BYTES;
         all = all->next) {
        (*ret_records)++;
        *ret_bytes += (uint64_t)all->next->key_n + all->next->value_n;
    }
    rest = all->next;
    all->next = NULL;
    return rest;
}

/* Until it works; false: the store closes and its time is over. */
static bool write_until_done(struct sqlite *q, const struct cp_record *all, uint64_t position,
                             uint64_t records, uint64_t bytes)
{
    for (;;) {
        struct el_error err = { 0 };
        enum el_err rc;

        take_turn(q);
        rc = write_all(q, all, &err);
        end_turn(q);
        if (rc == EL_OK) {
            cp_store_trouble(&q->store, NULL);
            cp_store_written(&q->store, position, records, bytes);
            return true;
        }
        cp_store_trouble(&q->store, &err);
        if (!cp_store_pause(&q->store, RETRY_MS))
            return false;
    }
}

/* What was taken, behind `position`. */
static void write_slices(struct sqlite *q, struct cp_record *all, uint64_t position)
{
    bool goes_on = true;

    while (all != NULL && goes_on) {
        uint64_t records, bytes;
        struct cp_record *rest = cut(all, &records, &bytes);

        position += records;
        goes_on = write_until_done(q, all, position, records, bytes);
        cp_record_free(all);
        all = rest;
    }
    cp_record_free(all);
}

static void *writer(void *arg)
{
    struct sqlite *q = (struct sqlite *)arg;
    uint64_t before = 0, position;
    bool is_over = false;

    while (!is_over) {
        struct cp_record *all;

        cp_store_wait(&q->store, IDLE_MS);
        all = cp_store_take(&q->store, &position, &is_over);
        write_slices(q, all, before);
        before = position;
    }
    return NULL;
}

/* ---- life ---- */

static void free_sqlite(struct cp_store *st)
{
    struct sqlite *q = (struct sqlite *)st;

    if (q->is_running)
        (void)pthread_join(q->writer, NULL);
    for (size_t i = 0; i < ST_COUNT; i++)
        (void)sqlite3_finalize(q->statement[i]);
    (void)sqlite3_close(q->db);
    (void)pthread_mutex_destroy(&q->next);
    (void)pthread_mutex_destroy(&q->turn);
    cp_store_deinit(st);
    free(q);
}

static bool has_duty(struct cp_store *st)
{
    (void)st;
    return true;
}

/* In steps, between which the writer writes; what it writes goes into the copy as well. */
#define BACKUP_PAGES 256

static enum el_err backup(struct cp_store *st, const char *path, struct el_error *err)
{
    struct sqlite *q = (struct sqlite *)st;
    sqlite3 *to = NULL;
    sqlite3_backup *b;
    int rc = sqlite3_open(path, &to);

    if (rc != SQLITE_OK) {
        (void)sqlite3_close(to);
        return el_fail(err, EL_EDISK, 0, "backup to %s: cannot be opened", path);
    }
    b = sqlite3_backup_init(to, "main", q->db, "main");
    rc = b == NULL ? sqlite3_errcode(to) : SQLITE_OK;
    while (rc == SQLITE_OK) {
        take_turn(q);
        rc = sqlite3_backup_step(b, BACKUP_PAGES);
        end_turn(q);
    }
    (void)sqlite3_backup_finish(b);
    (void)sqlite3_close(to);
    if (rc != SQLITE_DONE)
        return el_fail(err, EL_EDISK, 0, "backup to %s: %s", path, sqlite3_errstr(rc));
    return EL_OK;
}

/* ---- looking at a file that nobody uses ---- */

static enum el_err check_pages(struct sqlite *q, struct el_error *err)
{
    static const char sql[] = "PRAGMA quick_check(1)";
    sqlite3_stmt *st = NULL;
    enum el_err code = EL_OK;
    int rc = sqlite3_prepare_v2(q->db, sql, -1, &st, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc != SQLITE_ROW)
        code = fail(q, rc, sql, err);
    else if (!el_str_eq(column(st, 0), EL_STR("ok")))
        code = el_fail(err, EL_EDISK, 0, "it is damaged: %.*s", EL_STR_ARG(column(st, 0)));
    (void)sqlite3_finalize(st);
    return code;
}

static enum el_err check_content(struct sqlite *q, struct el_error *err)
{
    int64_t format = 0, tables = 0;
    enum el_err rc = run(q, "PRAGMA locking_mode = EXCLUSIVE", err);

    if (rc == EL_OK)
        rc = ask(q, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'record'",
                 &tables, err);
    if (rc == EL_OK)
        rc = ask(q, "PRAGMA user_version", &format, err);
    if (rc == EL_OK && tables != 1)
        return el_fail(err, EL_EPROTO, 0, "there is no table of records in it");
    if (rc == EL_OK && format > FORMAT)
        return el_fail(err, EL_EVERSION, 0, "it has format %lld, which is newer than %d",
                       (long long)format, FORMAT);
    return rc == EL_OK ? check_pages(q, err) : rc;
}

enum el_err cp_store_sqlite_check(const char *path, struct el_error *err)
{
    struct sqlite q = { 0 };
    int sq = sqlite3_open_v2(path, &q.db, SQLITE_OPEN_READWRITE, NULL);
    enum el_err rc = sq == SQLITE_OK ? check_content(&q, err) : fail(&q, sq, path, err);

    (void)sqlite3_close(q.db);
    return rc;
}

static const struct cp_store_kind kind = { free_sqlite, has_duty, backup, NULL };

enum el_err cp_store_sqlite_open(const char *path, const struct cp_store_events *events,
                                 struct cp_store **ret_store, struct el_error *err)
{
    struct sqlite *q = el_new(struct sqlite);
    enum el_err rc;
    int sq;

    cp_store_init(&q->store, &kind, events, "sqlite");
    (void)pthread_mutex_init(&q->turn, NULL);
    (void)pthread_mutex_init(&q->next, NULL);
    sq = sqlite3_open_v2(path, &q->db,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, NULL);
    rc = sq == SQLITE_OK ? prepare_file(q, err) : fail(q, sq, path, err);
    if (rc == EL_OK)
        rc = load(q, err);
    if (rc == EL_OK)
        rc = cp_thread_start(&q->writer, "cp-store", writer, q, err);
    if (rc != EL_OK)
        goto fail;
    q->is_running = true;
    *ret_store = &q->store;
    return EL_OK;
fail:
    free_sqlite(&q->store);
    return rc;
}
