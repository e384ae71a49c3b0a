/* SPDX-License-Identifier: MIT */
#include "common/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/test.h"

struct fixture {
    char path[64];
};

static int set_up(void **state)
{
    struct fixture *f = el_new(struct fixture);
    int fd;

    (void)snprintf(f->path, sizeof(f->path), "/tmp/test_file-XXXXXX");
    fd = mkstemp(f->path);
    *state = f;
    if (fd < 0 || write(fd, "abc\0d", 5) != 5)
        return -1;
    return fchmod(fd, 0640) == 0 && close(fd) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    (void)unlink(f->path);
    free(f);
    return 0;
}

static void all_of_it_is_appended_and_its_mode_told(void **state)
{
    const struct fixture *f = (const struct fixture *)*state;
    struct el_buf out = { 0 };
    mode_t mode;

    el_buf_add_str(&out, EL_STR("x"));
    assert_int_equal(el_file_read("key", f->path, 5, &out, &mode, NULL), EL_OK);
    assert_int_equal(out.n, 6);
    assert_memory_equal(out.p, "xabc\0d", 7);
    assert_int_equal(mode & 0777, 0640);
    el_buf_deinit(&out);
}

static void a_longer_one_is_refused(void **state)
{
    const struct fixture *f = (const struct fixture *)*state;
    struct el_error err = { 0 };
    struct el_buf out = { 0 };

    assert_int_equal(el_file_read("some.key", f->path, 4, &out, NULL, &err), EL_ECONF);
    assert_non_null(strstr(err.text, "some.key /tmp/test_file-"));
    assert_non_null(strstr(err.text, "longer than 4 bytes"));
    el_buf_deinit(&out);
}

static void what_cannot_be_read_is_named(void **state)
{
    struct el_error err = { 0 };
    struct el_buf out = { 0 };

    (void)state;
    assert_int_equal(el_file_read("some.key", "/nowhere/f", 9, &out, NULL, &err), EL_ECONF);
    assert_non_null(strstr(err.text, "open some.key /nowhere/f"));
    assert_int_equal(el_file_read("some.key", "/tmp", 9, &out, NULL, &err), EL_ECONF);
    assert_non_null(strstr(err.text, "read some.key /tmp"));
    el_buf_deinit(&out);
}

static void a_file_is_replaced_as_a_whole_and_its_owners_alone(void **state)
{
    const struct fixture *f = (const struct fixture *)*state;
    struct el_buf out = { 0 };
    struct el_error err = { 0 };
    char beside[80];
    mode_t mode;

    assert_int_equal(el_file_replace("it", f->path, EL_STR("fresh"), &err), EL_OK);
    assert_int_equal(el_file_read("it", f->path, 100, &out, &mode, &err), EL_OK);
    assert_string_equal(out.p, "fresh");
    assert_int_equal(mode & 0777, 0600);
    (void)snprintf(beside, sizeof(beside), "%s.new", f->path);
    assert_int_equal(access(beside, F_OK), -1);
    assert_int_equal(el_file_replace("it", "/nonexistent/file", EL_STR("x"), &err), EL_ESYS);
    assert_non_null(strstr(err.text, "/nonexistent/file"));
    el_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_is_appended_and_its_mode_told),
        cmocka_unit_test(a_longer_one_is_refused),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(a_file_is_replaced_as_a_whole_and_its_owners_alone),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
