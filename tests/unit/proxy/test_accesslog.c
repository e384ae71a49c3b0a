/* SPDX-License-Identifier: MIT */
#include "proxy/accesslog.h"

#include <stdio.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/file.h"
#include "tests/lib/test.h"

struct fixture {
    char dir[64], path[96];
    struct el_metrics *metrics;
};

static int set_up(void **state)
{
    struct fixture *f = el_new(struct fixture);

    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_accesslog-XXXXXX");
    if (mkdtemp(f->dir) == NULL)
        return -1;
    (void)snprintf(f->path, sizeof(f->path), "%s/access.log", f->dir);
    f->metrics = el_metrics_new();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    (void)unlink(f->path);
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

static struct proxy_access_entry entry_of(struct el_str url)
{
    return (struct proxy_access_entry){
        .wall_ms = 0,
        .client = "192.0.2.1:4711",
        .method = EL_STR("GET"),
        .url = url,
        .status = 200,
        .bytes = 1048576,
        .x_cache = "HIT",
        .total_ms = 12,
        .ttfb_ms = 1,
    };
}

static void a_line_has_every_field_and_is_in_the_file_after_close(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct proxy_access_entry e = entry_of(EL_STR("http://h/k"));
    struct proxy_linelog *log;
    char *text;

    assert_int_equal(proxy_accesslog_open(f->path, 1, f->metrics, &log, NULL), EL_OK);
    proxy_accesslog_write(log, 0, &e);
    e.x_cache = "P2P";
    e.peer_bytes = 1048000;
    proxy_accesslog_write(log, 0, &e);
    e.peer_bytes = 0;
    e.x_cache = NULL;
    proxy_accesslog_write(log, 0, &e);
    e.is_tunnel = true;
    e.bytes_in = 77;
    proxy_accesslog_write(log, 0, &e);
    proxy_linelog_close(log);
    text = read_file(f->path);
    assert_string_equal(text,
                        "1970-01-01T00:00:00.000Z client=192.0.2.1:4711 method=GET url=http://h/k "
                        "status=200 bytes=1048576 cache=HIT total_ms=12 ttfb_ms=1\n"
                        "1970-01-01T00:00:00.000Z client=192.0.2.1:4711 method=GET url=http://h/k "
                        "status=200 bytes=1048576 cache=P2P total_ms=12 ttfb_ms=1 "
                        "peer_bytes=1048000\n"
                        "1970-01-01T00:00:00.000Z client=192.0.2.1:4711 method=GET url=http://h/k "
                        "status=200 bytes=1048576 cache=- total_ms=12 ttfb_ms=1\n"
                        "1970-01-01T00:00:00.000Z client=192.0.2.1:4711 method=GET url=http://h/k "
                        "status=200 bytes=1048576 cache=- total_ms=12 ttfb_ms=1 bytes_in=77\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_has_every_field_and_is_in_the_file_after_close,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
