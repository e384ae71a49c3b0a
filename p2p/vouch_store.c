/* SPDX-License-Identifier: MIT */
/* vouch_store: see vouch_store.h. A key is the version and the number of the chunk, big-endian. */
#include "p2p/vouch_store.h"

#include <errno.h>
#include <limits.h>
#include <lmdb.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/list.h"
#include "common/log.h"

#define MAP_BYTES     ((size_t)EL_GIB) /* sparse */
#define KEY_BYTES     20u
#define MAX_WAITING   65536u
#define COMMIT_WAIT_S 1

struct change {
    struct el_list link;
    uint8_t key[KEY_BYTES];
    struct el_buf value; /* empty: it goes */
};

struct p2p_vouch_store {
    MDB_env *env;
    MDB_dbi table;
    size_t max_chunks;
    void (*each)(void *arg, const struct el_chunk_id *chunk, struct el_str value);
    void *arg;
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t mtx;
    pthread_cond_t changed; /* is_stopping */
    struct el_list changes; /* under mtx, as are all below */
    size_t n_changes;
    bool is_stopping;
};

static enum el_err fail_mdb(int code, const char *what, struct el_error *err)
{
    if (code > 0)
        return el_fail(err, EL_ECONF, code, "general.state_dir: %s the manifests", what);
    return el_fail(err, EL_ECONF, 0, "general.state_dir: %s the manifests: %s", what,
                   mdb_strerror(code));
}

static void key_of(const struct el_chunk_id *chunk, uint8_t key[KEY_BYTES])
{
    memcpy(key, chunk->object, sizeof(chunk->object));
    for (unsigned i = 0; i < 4; i++)
        key[KEY_BYTES - 1 - i] = (uint8_t)(chunk->index >> 8 * i);
}

static bool chunk_of(const MDB_val *key, struct el_chunk_id *ret)
{
    const uint8_t *k = key->mv_data;

    if (key->mv_size != KEY_BYTES)
        return false;
    memcpy(ret->object, k, sizeof(ret->object));
    ret->index = 0;
    for (unsigned i = 0; i < 4; i++)
        ret->index = ret->index << 8 | k[sizeof(ret->object) + i];
    return true;
}

/* ---- the thread ---- */

static void read_all(struct p2p_vouch_store *s)
{
    MDB_cursor *cursor = NULL;
    MDB_txn *txn = NULL;
    MDB_val key, value;
    size_t n = 0;

    if (mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn) != 0)
        return;
    if (mdb_cursor_open(txn, s->table, &cursor) == 0) {
        while (n++ < s->max_chunks && mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
            struct el_chunk_id chunk;

            if (chunk_of(&key, &chunk))
                s->each(s->arg, &chunk, (struct el_str){ value.mv_data, value.mv_size });
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
}

static int apply(struct p2p_vouch_store *s, MDB_txn *txn, struct change *c)
{
    MDB_val key = { KEY_BYTES, c->key }, value = { c->value.n, c->value.p };
    int code;

    if (c->value.n > 0)
        return mdb_put(txn, s->table, &key, &value, 0);
    code = mdb_del(txn, s->table, &key, NULL);
    return code == MDB_NOTFOUND ? 0 : code;
}

static int write_some(struct p2p_vouch_store *s, struct el_list *some)
{
    struct el_list *it, *tmp;
    MDB_txn *txn;
    int code = mdb_txn_begin(s->env, NULL, 0, &txn);

    if (code != 0)
        return code;
    EL_LIST_EACH (it, tmp, some) {
        code = apply(s, txn, EL_ENTRY(it, struct change, link));
        if (code != 0) {
            mdb_txn_abort(txn);
            return code;
        }
    }
    return mdb_txn_commit(txn);
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

/* False: it stops, and nothing is left. */
static bool wait_for_some(struct p2p_vouch_store *s, struct el_list *ret)
{
    struct timespec due;
    bool goes_on;

    EL_ASSERT(clock_gettime(CLOCK_REALTIME, &due) == 0);
    due.tv_sec += COMMIT_WAIT_S;
    EL_ASSERT(pthread_mutex_lock(&s->mtx) == 0);
    while (!s->is_stopping && pthread_cond_timedwait(&s->changed, &s->mtx, &due) != ETIMEDOUT)
        continue;
    el_list_move(ret, &s->changes);
    s->n_changes = 0;
    goes_on = !s->is_stopping || !el_list_empty(ret);
    EL_ASSERT(pthread_mutex_unlock(&s->mtx) == 0);
    return goes_on;
}

static void *run(void *arg)
{
    struct p2p_vouch_store *s = arg;
    struct el_list some;
    struct el_error err;

    (void)pthread_setname_np(pthread_self(), "manifests"); /* cosmetic */
    read_all(s);
    while (wait_for_some(s, &some)) {
        int code = el_list_empty(&some) ? 0 : write_some(s, &some);

        if (code != 0) {
            (void)fail_mdb(code, "write", &err);
            el_log_error(EL_WARN, EV_MANIFESTS_LOST, &err);
        }
        free_all(&some);
    }
    return NULL;
}

/* ---- open ---- */

static int open_env(struct p2p_vouch_store *s, const char *path)
{
    MDB_txn *txn = NULL;
    int code = mdb_env_create(&s->env);

    if (code == 0)
        code = mdb_env_set_mapsize(s->env, MAP_BYTES);
    if (code == 0)
        code = mdb_env_open(s->env, path, MDB_NOSUBDIR | MDB_NOMETASYNC, 0600);
    if (code == 0)
        code = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (code == 0)
        code = mdb_dbi_open(txn, NULL, 0, &s->table);
    if (code == 0)
        code = mdb_txn_commit(txn);
    else if (txn != NULL)
        mdb_txn_abort(txn);
    return code;
}

/* What cannot be read is of no use: it begins anew. */
static enum el_err open_or_renew(struct p2p_vouch_store *s, const char *path, struct el_error *err)
{
    int code = open_env(s, path);

    if (code < 0) {
        mdb_env_close(s->env);
        s->env = NULL;
        (void)unlink(path);
        code = open_env(s, path);
    }
    return code == 0 ? EL_OK : fail_mdb(code, "open", err);
}

enum el_err
p2p_vouch_store_open(const char *dir, size_t max_chunks,
                     void (*each)(void *arg, const struct el_chunk_id *chunk, struct el_str value),
                     void *arg, struct p2p_vouch_store **ret_store, struct el_error *err)
{
    struct p2p_vouch_store *s = el_new(struct p2p_vouch_store);
    char path[PATH_MAX];
    enum el_err rc;
    int failed;

    s->max_chunks = max_chunks;
    s->each = each;
    s->arg = arg;
    el_list_init(&s->changes);
    EL_ASSERT(pthread_mutex_init(&s->mtx, NULL) == 0);
    EL_ASSERT(pthread_cond_init(&s->changed, NULL) == 0);
    (void)snprintf(path, sizeof(path), "%s/manifests", dir);
    rc = open_or_renew(s, path, err);
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
        EL_ASSERT(pthread_mutex_lock(&s->mtx) == 0);
        s->is_stopping = true;
        EL_ASSERT(pthread_cond_signal(&s->changed) == 0);
        EL_ASSERT(pthread_mutex_unlock(&s->mtx) == 0);
        EL_ASSERT(pthread_join(s->thread, NULL) == 0);
    }
    if (s->env != NULL)
        mdb_env_close(s->env);
    EL_ASSERT(pthread_cond_destroy(&s->changed) == 0);
    EL_ASSERT(pthread_mutex_destroy(&s->mtx) == 0);
    free(s);
}

/* ---- changes ---- */

static void add(struct p2p_vouch_store *s, const struct el_chunk_id *chunk, struct el_buf *value)
{
    struct change *c = el_new(struct change);
    bool fits;

    key_of(chunk, c->key);
    if (value != NULL) {
        c->value = *value;
        el_buf_init(value);
    }
    EL_ASSERT(pthread_mutex_lock(&s->mtx) == 0);
    fits = s->n_changes < MAX_WAITING;
    if (fits) {
        el_list_append(&s->changes, &c->link);
        s->n_changes++;
    }
    EL_ASSERT(pthread_mutex_unlock(&s->mtx) == 0);
    if (!fits) {
        el_buf_deinit(&c->value);
        free(c);
    }
}

void p2p_vouch_store_put(struct p2p_vouch_store *s, const struct el_chunk_id *chunk,
                         struct el_buf *value)
{
    add(s, chunk, value);
}

void p2p_vouch_store_drop(struct p2p_vouch_store *s, const struct el_chunk_id *chunk)
{
    add(s, chunk, NULL);
}
