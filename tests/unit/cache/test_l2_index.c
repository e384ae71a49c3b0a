/* SPDX-License-Identifier: MIT */
/* The durable index: what was committed is there, whatever happens; what cannot be used is
 * replaced. */
#include "tests/lib/test.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/l2_index.h"

#define MAP_BYTES (64 * EL_MIB)
#define SMALL_MAP (256 * EL_KIB)
#define DONE_WAIT 20000 /* ms */
#define BIG_BYTES 3000u /* more than a page holds two of */

struct world {
    char dir[64];
    struct el_msgq *queue;
    struct l2_index *index;
    bool is_new;
    unsigned done;
};

/* A batch or a get on its way back. */
struct job {
    struct world *w;
    unsigned done_as; /* the how manieth, from 1 */
    struct l2_batch batch;
    struct l2_get get;
};

static void on_batch(struct el_msg *m)
{
    struct job *j = EL_ENTRY(m, struct job, batch.msg);

    j->done_as = ++j->w->done;
}

static void on_get(struct el_msg *m)
{
    struct job *j = EL_ENTRY(m, struct job, get.msg);

    j->done_as = ++j->w->done;
}

static void open_map(struct world *w, uint64_t bytes)
{
    struct el_error err = { 0 };
    enum el_err rc = l2_index_open(w->dir, bytes, &w->index, &w->is_new, &err);

    assert_string_equal(err.text, "");
    assert_int_equal(rc, EL_OK);
}

static void reopen(struct world *w)
{
    l2_index_close(w->index);
    open_map(w, MAP_BYTES);
}

static int setup(void **state)
{
    struct world *w = el_new(struct world);

    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/test_l2_index.XXXXXX");
    if (mkdtemp(w->dir) == NULL || el_msgq_new(&w->queue, NULL) != EL_OK)
        return -1;
    *state = w;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int teardown(void **state)
{
    struct world *w = *state;
    int rc;

    l2_index_close(w->index);
    el_msgq_free(w->queue);
    rc = nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(w);
    return rc;
}

static void wait_done(struct world *w, unsigned n)
{
    struct pollfd p = { .fd = el_msgq_fd(w->queue), .events = POLLIN };

    while (w->done < n) {
        assert_int_equal(poll(&p, 1, DONE_WAIT), 1);
        el_msgq_dispatch(w->queue);
    }
}

static struct job *new_job(struct world *w)
{
    struct job *j = el_new(struct job);

    j->w = w;
    l2_batch_init(&j->batch, on_batch);
    j->batch.queue = w->queue;
    el_msg_init(&j->get.msg, on_get);
    j->get.queue = w->queue;
    return j;
}

static void free_job(struct job *j)
{
    l2_batch_deinit(&j->batch);
    el_buf_deinit(&j->get.key);
    el_buf_deinit(&j->get.value);
    free(j);
}

static void put(struct job *j, const char *key, const char *value)
{
    l2_batch_put(&j->batch, L2_TABLE_OBJECT, el_str_of(key), el_str_of(value));
}

/* Commits it, waits, frees it. */
static enum el_err commit(struct job *j, struct el_error *ret_err)
{
    struct world *w = j->w;
    struct el_error err;

    l2_index_commit(w->index, &j->batch);
    wait_done(w, w->done + 1);
    err = j->batch.err;
    free_job(j);
    if (ret_err != NULL)
        *ret_err = err;
    return err.code;
}

static void put_one(struct world *w, const char *key, const char *value)
{
    struct job *j = new_job(w);

    put(j, key, value);
    assert_int_equal(commit(j, NULL), EL_OK);
}

/* ---- what is in a table, as "key=value " one after another ---- */

static enum el_err add_entry(void *arg, struct el_str key, struct el_str value,
                             struct el_error *err)
{
    (void)err;
    el_buf_addf(arg, "%.*s=%.*s ", EL_STR_ARG(key), EL_STR_ARG(value));
    return EL_OK;
}

static void check_table(struct world *w, enum l2_table table, const char *expected)
{
    struct el_buf all = { 0 };

    el_buf_add_str(&all, EL_STR(""));
    assert_int_equal(l2_index_each(w->index, table, add_entry, &all, NULL), EL_OK);
    assert_string_equal(all.p != NULL ? all.p : "", expected);
    el_buf_deinit(&all);
}

static void check_objects(struct world *w, const char *expected)
{
    check_table(w, L2_TABLE_OBJECT, expected);
}

static enum el_err count_entry(void *arg, struct el_str key, struct el_str value,
                               struct el_error *err)
{
    (void)key;
    (void)value;
    (void)err;
    ++*(unsigned *)arg;
    return EL_OK;
}

static unsigned count(struct world *w)
{
    unsigned n = 0;

    assert_int_equal(l2_index_each(w->index, L2_TABLE_OBJECT, count_entry, &n, NULL), EL_OK);
    return n;
}

/* ---- put, del, get ---- */

static void what_is_committed_is_there_after_a_new_open(void **state)
{
    struct world *w = *state;
    struct job *j;

    open_map(w, MAP_BYTES);
    assert_true(w->is_new);
    check_objects(w, "");
    j = new_job(w);
    put(j, "b", "2");
    put(j, "a", "1");
    l2_batch_put(&j->batch, L2_TABLE_CHUNK, EL_STR("c"), EL_STR(""));
    l2_batch_put(&j->batch, L2_TABLE_META, EL_STR("bytes"), EL_STR("x"));
    assert_int_equal(j->batch.n, 4);
    assert_int_equal(commit(j, NULL), EL_OK);
    for (int i = 0; i < 2; i++) {
        reopen(w);
        assert_false(w->is_new);
        check_objects(w, "a=1 b=2 ");
        check_table(w, L2_TABLE_CHUNK, "c= ");
    }
}

static void changes_apply_in_the_order_in_which_they_were_added(void **state)
{
    struct world *w = *state;
    struct job *j;

    open_map(w, MAP_BYTES);
    put_one(w, "a", "old");
    j = new_job(w);
    put(j, "a", "new");
    put(j, "b", "1");
    l2_batch_del(&j->batch, L2_TABLE_OBJECT, EL_STR("b"));
    l2_batch_del(&j->batch, L2_TABLE_OBJECT, EL_STR("c"));
    put(j, "c", "3");
    l2_batch_del(&j->batch, L2_TABLE_CHUNK, EL_STR("a"));
    assert_int_equal(commit(j, NULL), EL_OK);
    check_objects(w, "a=new c=3 ");
}

static void batches_are_done_in_order(void **state)
{
    struct world *w = *state;
    struct job *jobs[50];

    open_map(w, MAP_BYTES);
    for (size_t i = 0; i < EL_COUNT(jobs); i++) {
        char value[16];

        jobs[i] = new_job(w);
        (void)snprintf(value, sizeof(value), "%zu", i);
        put(jobs[i], "a", value);
        l2_index_commit(w->index, &jobs[i]->batch);
    }
    wait_done(w, EL_COUNT(jobs));
    check_objects(w, "a=49 ");
    for (size_t i = 0; i < EL_COUNT(jobs); i++) {
        assert_int_equal(jobs[i]->batch.err.code, EL_OK);
        assert_int_equal(jobs[i]->done_as, i + 1);
        free_job(jobs[i]);
    }
}

static void a_batch_without_changes_is_done_too(void **state)
{
    struct world *w = *state;

    open_map(w, MAP_BYTES);
    assert_int_equal(commit(new_job(w), NULL), EL_OK);
}

static void ask(struct job *j, const char *key)
{
    el_buf_clear(&j->get.key);
    el_buf_add_str(&j->get.key, el_str_of(key));
    j->get.table = L2_TABLE_OBJECT;
    l2_index_get(j->w->index, &j->get);
}

static void a_get_sees_what_was_committed_before_it(void **state)
{
    struct world *w = *state;
    struct job *j = new_job(w), *g = new_job(w);

    open_map(w, MAP_BYTES);
    put(j, "a", "1");
    l2_index_commit(w->index, &j->batch);
    ask(g, "a");
    wait_done(w, 2);
    assert_int_equal(g->get.err.code, EL_OK);
    assert_true(g->get.was_found);
    assert_true(el_str_eq(el_buf_str(&g->get.value), EL_STR("1")));
    ask(g, "aa");
    wait_done(w, 3);
    assert_int_equal(g->get.err.code, EL_OK);
    assert_false(g->get.was_found);
    assert_int_equal(g->get.value.n, 0);
    free_job(g);
    free_job(j);
}

static void close_does_what_was_handed_over(void **state)
{
    struct world *w = *state;
    struct job *j = new_job(w), *g = new_job(w);

    open_map(w, MAP_BYTES);
    put(j, "a", "1");
    l2_index_commit(w->index, &j->batch);
    ask(g, "a");
    reopen(w);
    check_objects(w, "a=1 ");
    wait_done(w, 2);
    assert_true(g->get.was_found);
    free_job(g);
    free_job(j);
}

static enum el_err stop_at_b(void *arg, struct el_str key, struct el_str value,
                             struct el_error *err)
{
    (void)value;
    ++*(unsigned *)arg;
    return el_str_eq(key, EL_STR("b")) ? el_fail(err, EL_ECANCELED, 0, "enough") : EL_OK;
}

static void each_ends_early_with_the_error_of_its_callback(void **state)
{
    struct world *w = *state;
    struct el_error err = { 0 };
    unsigned n = 0;

    open_map(w, MAP_BYTES);
    put_one(w, "a", "1");
    put_one(w, "b", "2");
    put_one(w, "c", "3");
    assert_int_equal(l2_index_each(w->index, L2_TABLE_OBJECT, stop_at_b, &n, &err), EL_ECANCELED);
    assert_string_equal(err.text, "enough");
    assert_int_equal(n, 2);
}

/* ---- failures ---- */

static void add_big(struct job *j, unsigned first, unsigned n)
{
    char value[BIG_BYTES];

    memset(value, 'v', sizeof(value));
    for (unsigned i = first; i < first + n; i++) {
        uint32_t key = htobe32(i);

        l2_batch_put(&j->batch, L2_TABLE_OBJECT, (struct el_str){ (const char *)&key, sizeof(key) },
                     (struct el_str){ value, sizeof(value) });
    }
}

static void data_path(const struct world *w, char ret[PATH_MAX])
{
    (void)snprintf(ret, PATH_MAX, "%s/index/data.mdb", w->dir);
}

static uint64_t file_bytes(const struct world *w)
{
    char path[PATH_MAX];
    struct stat st;

    data_path(w, path);
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

static void a_full_map_grows_and_stays_as_large(void **state)
{
    struct world *w = *state;
    unsigned n = 5 * (unsigned)(SMALL_MAP / BIG_BYTES);
    struct job *j;

    open_map(w, SMALL_MAP);
    put_one(w, "a", "1");
    j = new_job(w);
    add_big(j, 0, n); /* twice is not enough */
    assert_int_equal(commit(j, NULL), EL_OK);
    assert_int_equal(count(w), n + 1);
    assert_int_equal(file_bytes(w), 8 * SMALL_MAP);
    l2_index_close(w->index);
    open_map(w, SMALL_MAP);
    assert_false(w->is_new);
    assert_int_equal(count(w), n + 1);
    put_one(w, "b", "2");
    assert_int_equal(count(w), n + 2);
    assert_int_equal(file_bytes(w), 8 * SMALL_MAP);
}

/* As one that was full when it could not grow yet. */
static void what_is_put_before_the_first_commit_has_room_as_well(void **state)
{
    struct world *w = *state;
    char value[20000];

    memset(value, 'v', sizeof(value));
    open_map(w, SMALL_MAP);
    for (unsigned i = 0; i < 40; i++) {
        uint32_t key = htobe32(i);
        struct el_str key_str = { (const char *)&key, sizeof(key) };

        assert_int_equal(l2_index_put(w->index, L2_TABLE_OBJECT, key_str,
                                      (struct el_str){ value, sizeof(value) }, NULL),
                         EL_OK);
    }
    reopen(w);
    assert_int_equal(count(w), 40);
}

static void what_deletions_left_free_is_used_again(void **state)
{
    const unsigned n = SMALL_MAP / BIG_BYTES / 6;
    struct world *w = *state;
    struct job *j;

    open_map(w, SMALL_MAP);
    for (unsigned round = 0; round < 20; round++) {
        j = new_job(w);
        add_big(j, round * n, n);
        assert_int_equal(commit(j, NULL), EL_OK);
        j = new_job(w);
        for (unsigned i = round * n; i < (round + 1) * n; i++) {
            uint32_t key = htobe32(i);

            l2_batch_del(&j->batch, L2_TABLE_OBJECT,
                         (struct el_str){ (const char *)&key, sizeof(key) });
        }
        assert_int_equal(commit(j, NULL), EL_OK);
    }
    assert_int_equal(count(w), 0);
    assert_int_equal(file_bytes(w), SMALL_MAP);
}

static void a_file_that_cannot_be_written_fails_the_batch_and_not_the_next(void **state)
{
    struct world *w = *state;
    struct rlimit before, limit;
    struct el_error err;
    struct job *j;

    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    open_map(w, MAP_BYTES);
    put_one(w, "a", "1");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 64 * EL_KIB;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    j = new_job(w);
    add_big(j, 0, 100);
    assert_int_equal(commit(j, &err), EL_EDISK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    check_objects(w, "a=1 ");
    j = new_job(w);
    add_big(j, 0, 100);
    assert_int_equal(commit(j, NULL), EL_OK);
    reopen(w);
    assert_int_equal(count(w), 101);
}

static void a_store_that_cannot_be_synced_fails_the_batch(void **state)
{
    struct world *w = *state;
    struct job *j;
    struct el_error err;
    int ends[2];

    assert_int_equal(pipe(ends), 0); /* nothing that a disk has */
    open_map(w, MAP_BYTES);
    j = new_job(w);
    put(j, "a", "1");
    j->batch.sync_fd = ends[1];
    assert_int_equal(commit(j, &err), EL_EDISK);
    assert_int_equal(err.sys, EINVAL);
    check_objects(w, "");
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* The number of the youngest descriptor of data.mdb: the one through which LMDB writes its head. */
static int head_fd(const struct world *w)
{
    char expected[PATH_MAX], link[64], target[PATH_MAX];
    int found = -1;

    (void)snprintf(expected, sizeof(expected), "%s/index/data.mdb", w->dir);
    for (int fd = 0; fd < 64; fd++) {
        ssize_t n;

        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        if (strcmp(target, expected) == 0)
            found = fd;
    }
    assert_true(found >= 0);
    return found;
}

static void after_its_head_could_not_be_written_it_goes_on(void **state)
{
    struct world *w = *state;
    struct job *j = new_job(w);
    int fd, full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    struct el_error err;

    open_map(w, MAP_BYTES);
    put_one(w, "a", "1");
    fd = head_fd(w);
    assert_int_equal(dup2(full, fd), fd);
    put(j, "b", "2");
    assert_int_equal(commit(j, &err), EL_EDISK);
    put_one(w, "c", "3");
    check_objects(w, "a=1 c=3 ");
    reopen(w);
    check_objects(w, "a=1 c=3 ");
    (void)close(full);
}

/* ---- versions ---- */

static void put_version(struct world *w, struct el_str version)
{
    struct job *j = new_job(w);

    l2_batch_put(&j->batch, L2_TABLE_META, EL_STR("version"), version);
    put(j, "a", "1");
    assert_int_equal(commit(j, NULL), EL_OK);
    l2_index_close(w->index);
    w->index = NULL;
}

static void a_newer_version_is_refused_and_kept(void **state)
{
    struct world *w = *state;
    struct el_error err = { 0 };

    open_map(w, MAP_BYTES);
    put_version(w, EL_STR("\0\0\1\7"));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(l2_index_open(w->dir, MAP_BYTES, &w->index, &w->is_new, &err), EL_ECONF);
        assert_non_null(strstr(err.text, "version 263,"));
        assert_non_null(strstr(err.text, "version 1"));
        assert_null(w->index);
    }
}

static void an_older_version_is_emptied(void **state)
{
    static const struct el_str older[] = { { "\0\0\0\0", 4 }, { "1", 1 }, { "", 0 } };
    struct world *w = *state;

    for (size_t i = 0; i < EL_COUNT(older); i++) {
        open_map(w, MAP_BYTES);
        put_version(w, older[i]);
        open_map(w, MAP_BYTES);
        assert_true(w->is_new);
        check_objects(w, "");
        put_one(w, "b", "2");
        reopen(w);
        assert_false(w->is_new);
        check_objects(w, "b=2 ");
        l2_index_close(w->index);
        w->index = NULL;
    }
}

/* ---- what is none of ours ---- */

static void write_at(const struct world *w, off_t at, const void *bytes, size_t n)
{
    char path[PATH_MAX];
    int fd;

    data_path(w, path);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), n);
    assert_int_equal(close(fd), 0);
}

static void check_replaced(struct world *w)
{
    open_map(w, MAP_BYTES);
    assert_true(w->is_new);
    check_objects(w, "");
    put_one(w, "b", "2");
    reopen(w);
    assert_false(w->is_new);
    check_objects(w, "b=2 ");
}

static void a_foreign_file_is_replaced(void **state)
{
    static const size_t lengths[] = { 1, 100, 4096, 10000, 100000 };
    struct world *w = *state;
    char dir[PATH_MAX], path[PATH_MAX], *text = el_alloc(100000);

    memset(text, 'x', 100000);
    (void)snprintf(dir, sizeof(dir), "%s/index", w->dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    data_path(w, path);
    for (size_t i = 0; i < EL_COUNT(lengths); i++) {
        write_at(w, 0, text, lengths[i]);
        check_replaced(w);
        l2_index_close(w->index);
        w->index = NULL;
        assert_int_equal(unlink(path), 0);
    }
    free(text);
}

static void a_file_that_was_cut_short_is_replaced(void **state)
{
    struct world *w = *state;
    char path[PATH_MAX];
    struct job *j;

    data_path(w, path);
    open_map(w, MAP_BYTES);
    j = new_job(w);
    add_big(j, 0, 100);
    assert_int_equal(commit(j, NULL), EL_OK);
    l2_index_close(w->index);
    assert_int_equal(truncate(path, 100 * 1024), 0);
    check_replaced(w);
}

static void a_directory_that_cannot_be_used_is_an_error(void **state)
{
    struct world *w = *state;
    struct el_error err = { 0 };
    char path[PATH_MAX];

    assert_int_equal(l2_index_open("/proc", MAP_BYTES, &w->index, &w->is_new, &err), EL_EDISK);
    assert_non_null(strstr(err.text, "/proc/index"));
    (void)snprintf(path, sizeof(path), "%s/index", w->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    data_path(w, path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(l2_index_open(w->dir, MAP_BYTES, &w->index, &w->is_new, &err), EL_EDISK);
    assert_int_equal(err.sys, EISDIR);
    assert_null(w->index);
}

static void a_discarded_one_is_new_again(void **state)
{
    struct world *w = *state;

    assert_int_equal(l2_index_discard(w->dir, NULL), EL_OK);
    open_map(w, MAP_BYTES);
    put_one(w, "a", "1");
    l2_index_close(w->index);
    w->index = NULL;
    assert_int_equal(l2_index_discard(w->dir, NULL), EL_OK);
    check_replaced(w);
}

/* ---- other processes ---- */

static void wait_child(pid_t child, int *ret_status)
{
    assert_int_equal(waitpid(child, ret_status, 0), child);
}

/* Reads everything as a start does; what cannot be read is given up. */
static _Noreturn void start(struct world *w)
{
    struct rlimit none = { 0, 0 };
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    unsigned n = 0;

    /* An end that is expected leaves no trace. */
    if (setrlimit(RLIMIT_CORE, &none) != 0 || dup2(null, STDERR_FILENO) < 0)
        _exit(4);
    if (l2_index_open(w->dir, MAP_BYTES, &w->index, &w->is_new, NULL) != EL_OK)
        _exit(2);
    if (l2_index_each(w->index, L2_TABLE_OBJECT, count_entry, &n, NULL) == EL_OK)
        _exit(0);
    l2_index_close(w->index);
    _exit(l2_index_discard(w->dir, NULL) == EL_OK ? 0 : 3);
}

/* Whether LMDB ended the process. */
static bool start_elsewhere(struct world *w)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0)
        start(w);
    wait_child(child, &status);
    if (WIFSIGNALED(status))
        assert_int_equal(WTERMSIG(status), SIGABRT);
    else
        assert_int_equal(WEXITSTATUS(status), 0);
    return WIFSIGNALED(status);
}

static void fill_pages(struct world *w, unsigned entries)
{
    struct job *j = new_job(w);

    for (unsigned i = 0; i < entries; i++) {
        char key[16], value[200];

        (void)snprintf(key, sizeof(key), "%08u", i);
        memset(value, 'v', sizeof(value) - 1);
        value[sizeof(value) - 1] = '\0';
        put(j, key, value);
    }
    assert_int_equal(commit(j, NULL), EL_OK);
}

static void a_lost_page_stops_one_start_at_most(void **state)
{
    struct world *w = *state;
    unsigned ended = 0;
    uint64_t pages;

    open_map(w, MAP_BYTES);
    fill_pages(w, 700);
    pages = l2_index_bytes(w->index) / 4096;
    assert_in_range(pages, 30, 300);
    for (uint64_t page = 2; page < pages + 2; page++) {
        static const char zeros[4096];

        l2_index_close(w->index);
        w->index = NULL;
        write_at(w, (off_t)(page * sizeof(zeros)), zeros, sizeof(zeros));
        ended += start_elsewhere(w);
        open_map(w, MAP_BYTES);
        if (count(w) < 700)
            fill_pages(w, 700);
        assert_int_equal(count(w), 700);
    }
    assert_true(ended > 0);
}

/* Commits 10 entries at a time and says so after each, until it is killed. */
static _Noreturn void commit_for_ever(struct world *w, int out)
{
    if (l2_index_open(w->dir, MAP_BYTES, &w->index, &w->is_new, NULL) != EL_OK)
        _exit(2);
    for (unsigned i = 0;; i++) {
        struct job *j = new_job(w);

        add_big(j, 10 * i, 10);
        if (commit(j, NULL) != EL_OK || write(out, "c", 1) != 1)
            _exit(3);
    }
}

static unsigned read_commits(int in, unsigned n)
{
    char said[16];
    unsigned total = 0;
    ssize_t got;

    while (total < n && (got = read(in, said, sizeof(said))) > 0)
        total += (unsigned)got;
    return total;
}

static void a_killed_process_leaves_exactly_whole_batches(void **state)
{
    struct world *w = *state;

    for (unsigned round = 1; round <= 5; round++) {
        unsigned said;
        int ends[2], status;
        pid_t child;

        assert_int_equal(pipe(ends), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0)
            commit_for_ever(w, ends[1]);
        (void)close(ends[1]);
        said = read_commits(ends[0], 7 * round);
        assert_int_equal(kill(child, SIGKILL), 0);
        wait_child(child, &status);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        said += read_commits(ends[0], UINT_MAX);
        (void)close(ends[0]);
        open_map(w, MAP_BYTES);
        assert_false(w->is_new);
        assert_int_equal(count(w) % 10, 0);
        assert_in_range(count(w), 10 * said, 10 * (said + 1));
        l2_index_close(w->index);
        w->index = NULL;
        assert_int_equal(l2_index_discard(w->dir, NULL), EL_OK);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_committed_is_there_after_a_new_open),
        TEST(changes_apply_in_the_order_in_which_they_were_added),
        TEST(batches_are_done_in_order),
        TEST(a_batch_without_changes_is_done_too),
        TEST(a_get_sees_what_was_committed_before_it),
        TEST(close_does_what_was_handed_over),
        TEST(each_ends_early_with_the_error_of_its_callback),
        TEST(a_full_map_grows_and_stays_as_large),
        TEST(what_is_put_before_the_first_commit_has_room_as_well),
        TEST(what_deletions_left_free_is_used_again),
        TEST(a_file_that_cannot_be_written_fails_the_batch_and_not_the_next),
        TEST(a_store_that_cannot_be_synced_fails_the_batch),
        TEST(after_its_head_could_not_be_written_it_goes_on),
        TEST(a_newer_version_is_refused_and_kept),
        TEST(an_older_version_is_emptied),
        TEST(a_foreign_file_is_replaced),
        TEST(a_file_that_was_cut_short_is_replaced),
        TEST(a_directory_that_cannot_be_used_is_an_error),
        TEST(a_discarded_one_is_new_again),
        TEST(a_lost_page_stops_one_start_at_most),
        TEST(a_killed_process_leaves_exactly_whole_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
