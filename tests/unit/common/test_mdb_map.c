/* SPDX-License-Identifier: MIT */
/* A file that LMDB maps: how long it is, and what happens when it cannot be longer. */
#include "tests/lib/test.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mdb_map.h"

#define SMALL_MAP   (128 * EL_KIB)
#define LARGE_MAP   (256 * EL_MIB)
#define VALUE_BYTES 3000u /* more than a page holds two of */

struct world {
    char dir[64], path[80], lock[80];
    struct el_mdb_map_conf conf;
    struct el_mdb_map map;
    MDB_dbi table;
};

static int setup(void **state)
{
    struct world *w = el_new(struct world);

    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/test_mdb_map.XXXXXX");
    if (mkdtemp(w->dir) == NULL)
        return -1;
    (void)snprintf(w->path, sizeof(w->path), "%s/data.mdb", w->dir);
    (void)snprintf(w->lock, sizeof(w->lock), "%s/lock.mdb", w->dir);
    w->conf = (struct el_mdb_map_conf){ .path = w->dir, .is_read_whole = true };
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    el_mdb_map_close(&w->map);
    (void)unlink(w->path);
    (void)unlink(w->lock);
    if (rmdir(w->dir) != 0)
        return -1;
    free(w);
    return 0;
}

static void open_map(struct world *w, uint64_t bytes)
{
    MDB_txn *txn;

    w->map.bytes = bytes;
    assert_int_equal(el_mdb_map_open(&w->map, &w->conf), 0);
    assert_int_equal(mdb_txn_begin(w->map.env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &w->table), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
}

static void reopen(struct world *w, uint64_t bytes)
{
    el_mdb_map_close(&w->map);
    open_map(w, bytes);
}

static uint64_t file_bytes(const struct world *w)
{
    struct stat st;

    assert_int_equal(stat(w->path, &st), 0);
    return (uint64_t)st.st_size;
}

static uint64_t page_bytes(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- what is in it ---- */

static int put(struct world *w, uint32_t number)
{
    char bytes[VALUE_BYTES] = { 0 };
    MDB_val key = { sizeof(number), &number }, value = { sizeof(bytes), bytes };
    MDB_txn *txn;
    int code = mdb_txn_begin(w->map.env, NULL, 0, &txn);

    assert_int_equal(code, 0);
    code = mdb_put(txn, w->table, &key, &value, 0);
    if (code == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return code;
}

/* The first number for which there is no room. */
static uint32_t fill(struct world *w)
{
    uint32_t n = 0;
    int code;

    while ((code = put(w, n)) == 0)
        n++;
    assert_int_equal(code, MDB_MAP_FULL);
    assert_true(n > 0);
    return n;
}

static size_t count(struct world *w)
{
    MDB_stat s;

    assert_int_equal(mdb_env_stat(w->map.env, &s), 0);
    return s.ms_entries;
}

/* ---- how long it is ---- */

static void the_file_is_as_long_as_the_map_which_has_whole_pages(void **state)
{
    struct world *w = *state;

    open_map(w, SMALL_MAP - 1);
    assert_int_equal(w->map.bytes, SMALL_MAP);
    assert_int_equal(file_bytes(w), SMALL_MAP);
    reopen(w, SMALL_MAP + 1);
    assert_int_equal(w->map.bytes, SMALL_MAP + page_bytes());
    assert_int_equal(file_bytes(w), SMALL_MAP + page_bytes());
}

static void a_file_without_a_directory_of_its_own_is_the_same(void **state)
{
    struct world *w = *state;

    w->conf.path = w->path;
    w->conf.flags = MDB_NOSUBDIR | MDB_NOLOCK;
    open_map(w, 2 * SMALL_MAP);
    reopen(w, SMALL_MAP);
    assert_int_equal(w->map.bytes, 2 * SMALL_MAP);
}

static void one_that_is_full_grows_and_is_as_large_the_next_time(void **state)
{
    struct world *w = *state;
    uint32_t n;

    open_map(w, SMALL_MAP);
    n = fill(w);
    assert_int_equal(el_mdb_map_grow(&w->map), 0);
    assert_int_equal(w->map.bytes, 2 * SMALL_MAP);
    assert_int_equal(file_bytes(w), 2 * SMALL_MAP);
    assert_int_equal(put(w, n), 0);
    reopen(w, SMALL_MAP);
    assert_int_equal(w->map.bytes, 2 * SMALL_MAP);
    assert_int_equal(count(w), n + 1);
}

static void a_disk_without_room_leaves_it_as_it_was(void **state)
{
    struct world *w = *state;
    struct rlimit before, limit;
    uint32_t n;

    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    open_map(w, SMALL_MAP);
    n = fill(w);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = SMALL_MAP;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(el_mdb_map_grow(&w->map), EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(w->map.bytes, SMALL_MAP);
    assert_int_equal(count(w), n);
    assert_int_equal(el_mdb_map_grow(&w->map), 0);
    assert_int_equal(put(w, n), 0);
}

/* How many bytes of addresses the process has now. */
static uint64_t addresses(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long pages;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu", &pages), 1);
    (void)fclose(f);
    return pages * page_bytes();
}

static void where_addresses_are_short_it_opens_again_as_it_was(void **state)
{
    struct rlimit before, limit;
    struct world *w = *state;

    open_map(w, LARGE_MAP);
    assert_int_equal(put(w, 1), 0);
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    limit = before;
    limit.rlim_cur = addresses() + LARGE_MAP / 2; /* others go on */
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    assert_int_equal(el_mdb_map_grow(&w->map), ENOMEM);
    assert_null(w->map.env);
    assert_int_equal(file_bytes(w), LARGE_MAP);
    open_map(w, w->map.bytes);
    assert_int_equal(w->map.bytes, LARGE_MAP);
    assert_int_equal(count(w), 1);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(el_mdb_map_grow(&w->map), 0);
    assert_int_equal(put(w, 2), 0);
}

/* ---- what is wrong with it ---- */

static void one_that_is_shorter_than_it_says_is_damaged(void **state)
{
    struct world *w = *state;

    open_map(w, SMALL_MAP);
    (void)fill(w);
    el_mdb_map_close(&w->map);
    assert_int_equal(truncate(w->path, SMALL_MAP / 2), 0);
    assert_int_equal(el_mdb_map_open(&w->map, &w->conf), MDB_CORRUPTED);
    assert_null(w->map.env);
}

static void what_was_cut_off_behind_all_that_is_used_is_there_again(void **state)
{
    struct world *w = *state;
    MDB_envinfo info;

    open_map(w, SMALL_MAP);
    assert_int_equal(put(w, 1), 0);
    assert_int_equal(mdb_env_info(w->map.env, &info), 0);
    el_mdb_map_close(&w->map);
    assert_int_equal(truncate(w->path, (off_t)((info.me_last_pgno + 1) * page_bytes())), 0);
    open_map(w, SMALL_MAP);
    assert_int_equal(file_bytes(w), SMALL_MAP);
    assert_int_equal(count(w), 1);
}

static void what_cannot_be_opened_is_not_open(void **state)
{
    struct world *w = *state;

    w->map.bytes = SMALL_MAP;
    w->conf.path = "/dev/null/none";
    assert_int_equal(el_mdb_map_open(&w->map, &w->conf), ENOTDIR);
    assert_null(w->map.env);
    el_mdb_map_close(&w->map);
}

/* ---- what it takes ---- */

static void what_is_deleted_takes_nothing_of_the_map(void **state)
{
    struct world *w = *state;
    uint64_t none, some;
    uint32_t n;
    MDB_txn *txn;

    open_map(w, SMALL_MAP);
    assert_int_equal(mdb_txn_begin(w->map.env, NULL, MDB_RDONLY, &txn), 0);
    none = el_mdb_map_used(txn, &w->table, 1);
    mdb_txn_abort(txn);
    n = fill(w);
    assert_int_equal(mdb_txn_begin(w->map.env, NULL, 0, &txn), 0);
    some = el_mdb_map_used(txn, &w->table, 1);
    assert_int_equal(none, 0);
    assert_true(some >= n * VALUE_BYTES && some <= SMALL_MAP);
    assert_int_equal(mdb_drop(txn, w->table, 0), 0);
    assert_int_equal(el_mdb_map_used(txn, &w->table, 1), 0);
    mdb_txn_abort(txn);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_file_is_as_long_as_the_map_which_has_whole_pages),
        TEST(a_file_without_a_directory_of_its_own_is_the_same),
        TEST(one_that_is_full_grows_and_is_as_large_the_next_time),
        TEST(a_disk_without_room_leaves_it_as_it_was),
        TEST(where_addresses_are_short_it_opens_again_as_it_was),
        TEST(one_that_is_shorter_than_it_says_is_damaged),
        TEST(what_was_cut_off_behind_all_that_is_used_is_there_again),
        TEST(what_cannot_be_opened_is_not_open),
        TEST(what_is_deleted_takes_nothing_of_the_map),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
