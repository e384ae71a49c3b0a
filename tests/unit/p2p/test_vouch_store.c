/* SPDX-License-Identifier: MIT */
/* Manifests on disk: what was put is there, however much it is, until it is dropped. */
#include "tests/lib/test.h"

#include <ftw.h>
#include <limits.h>
#include <lmdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "p2p/vouch_store.h"

#define WAIT_MS   20000
#define SMALL_MAP (64 * EL_KIB)
#define CHUNKS    3000u
#define BYTES     3000u /* more than a page holds two of */

/* What the store has said. */
struct world {
    char dir[64];
    struct p2p_vouch_store *store;
    pthread_mutex_t mtx;
    unsigned named, distrusted, lost, got; /* under mtx, as are all below */
    bool is_named;
    size_t got_bytes;
    unsigned char first; /* byte of what was got */
};

static struct el_chunk_id chunk(uint32_t index)
{
    struct el_chunk_id id = { .index = index };

    memset(id.object, (int)(index % 7) + 1, sizeof(id.object));
    return id;
}

static void on_each(void *arg, const struct el_chunk_id *id, bool is_distrusted)
{
    struct world *w = arg;

    (void)id;
    EL_ASSERT(pthread_mutex_lock(&w->mtx) == 0);
    w->named++;
    w->distrusted += is_distrusted;
    EL_ASSERT(pthread_mutex_unlock(&w->mtx) == 0);
}

static void on_all_named(void *arg)
{
    struct world *w = arg;

    EL_ASSERT(pthread_mutex_lock(&w->mtx) == 0);
    w->is_named = true;
    EL_ASSERT(pthread_mutex_unlock(&w->mtx) == 0);
}

static void on_got(void *arg, const struct el_chunk_id *id, struct el_str value, bool is_known)
{
    struct world *w = arg;

    (void)id;
    EL_ASSERT(is_known);
    EL_ASSERT(pthread_mutex_lock(&w->mtx) == 0);
    w->got++;
    w->got_bytes = value.n;
    w->first = value.n > 0 ? (unsigned char)value.p[0] : 0;
    EL_ASSERT(pthread_mutex_unlock(&w->mtx) == 0);
}

static void on_lost(void *arg, const struct el_chunk_id *id, bool is_distrusted)
{
    struct world *w = arg;

    (void)id;
    (void)is_distrusted;
    EL_ASSERT(pthread_mutex_lock(&w->mtx) == 0);
    w->lost++;
    EL_ASSERT(pthread_mutex_unlock(&w->mtx) == 0);
}

static unsigned look(struct world *w, const unsigned *value)
{
    unsigned now;

    EL_ASSERT(pthread_mutex_lock(&w->mtx) == 0);
    now = *value;
    EL_ASSERT(pthread_mutex_unlock(&w->mtx) == 0);
    return now;
}

static void wait_until(struct world *w, const unsigned *value, unsigned n)
{
    for (unsigned i = 0; look(w, value) < n && i < WAIT_MS; i++)
        (void)poll(NULL, 0, 1);
    assert_int_equal(look(w, value), n);
}

static bool is_named(struct world *w)
{
    bool is;

    EL_ASSERT(pthread_mutex_lock(&w->mtx) == 0);
    is = w->is_named;
    EL_ASSERT(pthread_mutex_unlock(&w->mtx) == 0);
    return is;
}

/* And it has named all that it has. */
static void open_store(struct world *w, uint64_t max_bytes)
{
    static const struct p2p_vouch_store_ops ops = {
        .each = on_each, .all_named = on_all_named, .got = on_got, .lost = on_lost
    };
    const struct p2p_vouch_store_conf conf = {
        .dir = w->dir, .first_bytes = SMALL_MAP, .max_bytes = max_bytes, .ops = &ops, .arg = w
    };

    w->named = w->distrusted = w->lost = w->got = 0;
    w->is_named = false;
    assert_int_equal(p2p_vouch_store_open(&conf, &w->store, NULL), EL_OK);
    for (unsigned i = 0; !is_named(w) && i < WAIT_MS; i++)
        (void)poll(NULL, 0, 1);
    assert_true(is_named(w));
}

static void init_world(struct world *w)
{
    *w = (struct world){ .dir = "/tmp/elio-manifests-XXXXXX" };
    assert_non_null(mkdtemp(w->dir));
    assert_int_equal(pthread_mutex_init(&w->mtx, NULL), 0);
}

static void reopen(struct world *w, uint64_t max_bytes)
{
    p2p_vouch_store_close(w->store);
    open_store(w, max_bytes);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void deinit_world(struct world *w)
{
    p2p_vouch_store_close(w->store);
    assert_int_equal(nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    assert_int_equal(pthread_mutex_destroy(&w->mtx), 0);
}

static void put(struct world *w, uint32_t index, unsigned char byte, size_t n)
{
    struct el_chunk_id id = chunk(index);
    struct el_buf value = { 0 };

    for (size_t i = 0; i < n; i++)
        el_buf_add(&value, &byte, 1);
    assert_true(p2p_vouch_store_put(w->store, &id, n == 0, &value));
}

static void drop(struct world *w, uint32_t index)
{
    struct el_chunk_id id = chunk(index);

    assert_true(p2p_vouch_store_drop(w->store, &id));
}

/* How long what is there of it is. */
static size_t get(struct world *w, uint32_t index)
{
    struct el_chunk_id id = chunk(index);
    unsigned n = look(w, &w->got) + 1;

    assert_true(p2p_vouch_store_get(w->store, &id));
    wait_until(w, &w->got, n);
    return w->got_bytes;
}

static void what_waits_to_be_written_is_read_like_what_was(void **state)
{
    struct world w;

    (void)state;
    init_world(&w);
    open_store(&w, EL_GIB);
    put(&w, 1, 'a', 10);
    assert_int_equal(get(&w, 1), 10);
    put(&w, 1, 'b', 20);
    assert_int_equal(get(&w, 1), 20);
    assert_int_equal(w.first, 'b');
    drop(&w, 1);
    assert_int_equal(get(&w, 1), 0);
    put(&w, 1, 'c', 30);
    put(&w, 2, 'd', 40);
    drop(&w, 2);
    drop(&w, 3);
    reopen(&w, EL_GIB);
    assert_int_equal(w.named, 1);
    assert_int_equal(get(&w, 1), 30);
    assert_int_equal(get(&w, 2), 0);
    deinit_world(&w);
}

static void what_is_distrusted_is_named_so_and_has_no_manifest(void **state)
{
    struct world w;

    (void)state;
    init_world(&w);
    open_store(&w, EL_GIB);
    put(&w, 1, 'a', 10);
    put(&w, 2, 'a', 10);
    reopen(&w, EL_GIB);
    put(&w, 1, 0, 0);
    reopen(&w, EL_GIB);
    assert_int_equal(w.named, 2);
    assert_int_equal(w.distrusted, 1);
    assert_int_equal(get(&w, 1), 4);
    assert_int_equal(get(&w, 2), 10);
    deinit_world(&w);
}

static void a_map_that_is_full_grows(void **state)
{
    struct world w;

    (void)state;
    init_world(&w);
    open_store(&w, EL_GIB);
    for (uint32_t i = 0; i < CHUNKS; i++)
        put(&w, i, (unsigned char)i, BYTES);
    reopen(&w, EL_GIB);
    assert_int_equal(w.named, CHUNKS);
    for (uint32_t i = 0; i < CHUNKS; i += 97) {
        assert_int_equal(get(&w, i), BYTES);
        assert_int_equal(w.first, (unsigned char)i);
    }
    deinit_world(&w);
}

static unsigned lines_with(const char *tag)
{
    struct el_buf lines = { 0 };
    unsigned n = 0;

    el_log_recent(&lines, 256);
    el_buf_add(&lines, "", 1);
    for (const char *at = lines.p; (at = strstr(at, tag)) != NULL; at++)
        n++;
    el_buf_deinit(&lines);
    return n;
}

static void beyond_the_limit_nothing_is_put_until_something_has_gone(void **state)
{
    unsigned before = lines_with("p2p.manifests_full");
    struct world w;

    (void)state;
    init_world(&w);
    open_store(&w, EL_GIB);
    for (uint32_t i = 0; i < CHUNKS; i++) /* more than there may be from then on */
        put(&w, i, 'a', BYTES);
    reopen(&w, EL_MIB);
    assert_int_equal(w.named, CHUNKS);
    put(&w, CHUNKS, 'b', BYTES);
    put(&w, 1, 0, 0); /* what must not be believed is no question of room */
    wait_until(&w, &w.lost, 1);
    put(&w, CHUNKS + 1, 'b', BYTES);
    wait_until(&w, &w.lost, 2);
    assert_int_equal(lines_with("p2p.manifests_full"), before + 1);
    assert_int_equal(get(&w, CHUNKS), 0);
    assert_int_equal(get(&w, 1), 4);
    for (uint32_t i = 2; i < CHUNKS; i++)
        drop(&w, i);
    reopen(&w, EL_MIB);
    assert_int_equal(w.named, 2);
    put(&w, CHUNKS, 'b', BYTES);
    reopen(&w, EL_MIB);
    assert_int_equal(w.lost, 0);
    assert_int_equal(get(&w, CHUNKS), BYTES);
    deinit_world(&w);
}

static void all_is_named_again_when_it_is_looked_at(void **state)
{
    struct world w;

    (void)state;
    init_world(&w);
    open_store(&w, EL_GIB);
    for (uint32_t i = 0; i < CHUNKS; i++)
        put(&w, i, 'a', 10);
    reopen(&w, EL_GIB);
    assert_int_equal(w.named, CHUNKS);
    assert_true(p2p_vouch_store_look(w.store));
    wait_until(&w, &w.named, 2 * CHUNKS);
    deinit_world(&w);
}

/* ---- files that others have left ---- */

static void path_of(const struct world *w, char ret[PATH_MAX])
{
    (void)snprintf(ret, PATH_MAX, "%s/manifests", w->dir);
}

static int write_one(MDB_env *env, unsigned char number)
{
    unsigned char key[20] = { 1, 2, 3, [19] = number };
    MDB_val k = { sizeof(key), key }, v = { BYTES, NULL };
    MDB_txn *txn;
    MDB_dbi dbi;
    int code;

    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    code = mdb_put(txn, dbi, &k, &v, MDB_RESERVE);
    if (code == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return code;
}

/* As programs did that had one table and no names: until the map is full. */
static unsigned char write_without_names(struct world *w)
{
    char path[PATH_MAX];
    unsigned char n = 0;
    MDB_env *env;

    path_of(w, path);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_mapsize(env, SMALL_MAP), 0);
    assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), 0);
    while (write_one(env, n) == 0)
        n++;
    mdb_env_close(env);
    return n;
}

static void what_an_older_program_has_kept_until_its_map_was_full_is_named_too(void **state)
{
    unsigned char n;
    struct world w;

    (void)state;
    init_world(&w);
    n = write_without_names(&w);
    assert_true(n > 5);
    open_store(&w, EL_GIB);
    assert_int_equal(w.named, n);
    assert_int_equal(w.distrusted, 0);
    put(&w, 1, 'a', 10);
    reopen(&w, EL_GIB);
    assert_int_equal(w.named, n + 1);
    deinit_world(&w);
}

static void a_file_that_was_cut_short_is_begun_anew(void **state)
{
    char path[PATH_MAX];
    struct world w;

    (void)state;
    init_world(&w);
    open_store(&w, EL_GIB);
    for (uint32_t i = 0; i < CHUNKS; i++)
        put(&w, i, 'a', BYTES);
    p2p_vouch_store_close(w.store);
    path_of(&w, path);
    assert_int_equal(truncate(path, 32 * 1024), 0);
    open_store(&w, EL_GIB);
    assert_int_equal(w.named, 0);
    put(&w, 1, 'a', 10);
    assert_int_equal(get(&w, 1), 10);
    deinit_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_to_be_written_is_read_like_what_was),
        cmocka_unit_test(what_is_distrusted_is_named_so_and_has_no_manifest),
        cmocka_unit_test(a_map_that_is_full_grows),
        cmocka_unit_test(beyond_the_limit_nothing_is_put_until_something_has_gone),
        cmocka_unit_test(all_is_named_again_when_it_is_looked_at),
        cmocka_unit_test(what_an_older_program_has_kept_until_its_map_was_full_is_named_too),
        cmocka_unit_test(a_file_that_was_cut_short_is_begun_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
