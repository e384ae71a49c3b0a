/* SPDX-License-Identifier: MIT */
#include "proxy/linelog.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "tests/lib/test.h"

#define THREADS          4
#define LINES_PER_THREAD 3000

struct fixture {
    char dir[64], path[96], moved[96];
    struct el_metrics *metrics;
};

static int set_up(void **state)
{
    struct fixture *f = el_new(struct fixture);

    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_linelog-XXXXXX");
    if (mkdtemp(f->dir) == NULL)
        return -1;
    (void)snprintf(f->path, sizeof(f->path), "%s/some.log", f->dir);
    (void)snprintf(f->moved, sizeof(f->moved), "%s/some.log.1", f->dir);
    f->metrics = el_metrics_new();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    (void)unlink(f->path);
    (void)unlink(f->moved);
    (void)rmdir(f->dir);
    el_metrics_free(f->metrics);
    free(f);
    return 0;
}

static char *read_file(const char *path)
{
    struct el_buf b = { 0 };

    assert_int_equal(el_file_read("a log", path, 16 * EL_MIB, &b, NULL, NULL), EL_OK);
    return el_buf_take(&b);
}

static const char line[] = "What stands in it is of no interest here, but that it is all there.";

static void put_line(struct el_buf *out, const void *entry)
{
    el_buf_addf(out, "%s\n", (const char *)entry);
}

static struct el_counter *lost(struct fixture *f)
{
    return el_metrics_counter(f->metrics, "lost_lines_total", "", NULL);
}

static enum el_err open_log(struct fixture *f, const char *path, unsigned threads,
                            struct proxy_linelog **ret_log, struct el_error *err)
{
    const struct proxy_linelog_conf conf = {
        .path = path,
        .name = "some log",
        .thread_name = "somelog",
        .threads = threads,
        .lost = lost(f),
    };

    return proxy_linelog_open(&conf, ret_log, err);
}

static uint64_t lost_lines(struct fixture *f)
{
    return el_counter_get(lost(f));
}

struct writer {
    struct proxy_linelog *log;
    unsigned index;
};

static void *write_many(void *arg)
{
    struct writer *w = (struct writer *)arg;

    for (int i = 0; i < LINES_PER_THREAD; i++)
        proxy_linelog_write(w->log, w->index, put_line, line);
    return NULL;
}

static void lines_of_several_threads_arrive_whole_and_none_is_missing(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct proxy_linelog *log;
    struct writer w[THREADS];
    pthread_t id[THREADS];
    size_t lines = 0;
    char *text, *rest;

    assert_int_equal(open_log(f, f->path, THREADS, &log, NULL), EL_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        w[i] = (struct writer){ log, i };
        assert_int_equal(pthread_create(&id[i], NULL, write_many, &w[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(id[i], NULL), 0);
    proxy_linelog_close(log);
    text = read_file(f->path);
    for (rest = text; *rest != '\0'; lines++) {
        char *end = strchr(rest, '\n');

        assert_non_null(end);
        assert_int_equal(end - rest, strlen(line));
        assert_memory_equal(rest, line, strlen(line));
        rest = end + 1;
    }
    assert_int_equal(lines, THREADS * LINES_PER_THREAD);
    assert_int_equal(lost_lines(f), 0);
    free(text);
}

static void after_reopen_lines_go_to_a_new_file(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct proxy_linelog *log;
    char *text;

    assert_int_equal(open_log(f, f->path, 1, &log, NULL), EL_OK);
    assert_int_equal(rename(f->path, f->moved), 0);
    assert_int_equal(proxy_linelog_reopen(log, NULL), EL_OK);
    proxy_linelog_write(log, 0, put_line, line);
    proxy_linelog_close(log);
    text = read_file(f->path);
    assert_non_null(strstr(text, line));
    free(text);
    text = read_file(f->moved);
    assert_string_equal(text, "");
    free(text);
}

static void a_full_disk_loses_lines_and_counts_them(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct proxy_linelog *log;

    assert_int_equal(open_log(f, "/dev/full", 1, &log, NULL), EL_OK);
    proxy_linelog_write(log, 0, put_line, line);
    proxy_linelog_write(log, 0, put_line, line);
    proxy_linelog_close(log);
    assert_int_equal(lost_lines(f), 2);
}

static void a_file_that_takes_nothing_does_not_block_the_callers(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct proxy_linelog *log;
    int reader;

    /* Nobody reads the fifo: the writer stands still in write(2), the buffer fills up. */
    assert_int_equal(mkfifo(f->path, 0600), 0);
    reader = open(f->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    assert_int_equal(open_log(f, f->path, 1, &log, NULL), EL_OK);
    for (int i = 0; i < 40000; i++)
        proxy_linelog_write(log, 0, put_line, line);
    assert_true(lost_lines(f) > 0);
    (void)close(reader); /* the writer gets EPIPE and close() can join it */
    proxy_linelog_close(log);
}

static void a_file_that_cannot_be_opened_is_an_error(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct proxy_linelog *log = NULL;
    struct el_error err = { 0 };

    assert_int_equal(open_log(f, "/nonexistent/a.log", 1, &log, &err), EL_ESYS);
    assert_int_equal(err.sys, ENOENT);
    assert_null(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_of_several_threads_arrive_whole_and_none_is_missing,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(after_reopen_lines_go_to_a_new_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_loses_lines_and_counts_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_takes_nothing_does_not_block_the_callers,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_cannot_be_opened_is_an_error, set_up,
                                        tear_down),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as elionode does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
