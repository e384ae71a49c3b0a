/* SPDX-License-Identifier: MIT */
/* Which providers a configuration means. */
#include "tests/lib/test.h"

#include "discovery/discovery.h"

static struct disc_cp *control_plane; /* of the sources */

static enum el_err of(const char *mode, const char *seeds, const char *file,
                      struct disc_providers *ret, struct el_error *err)
{
    const struct disc_sources from = { .mode = el_str_of(mode),
                                       .seeds = el_str_of(seeds),
                                       .file = el_str_of(file),
                                       .control_plane = control_plane };

    return disc_providers_of(&from, ret, err);
}

/* Their names, with commas. */
static void expect(const char *mode, const char *seeds, const char *file, const char *wanted)
{
    struct disc_providers set;
    struct el_buf text = { 0 };

    assert_int_equal(of(mode, seeds, file, &set, NULL), EL_OK);
    for (size_t i = 0; i < set.n; i++)
        el_buf_addf(&text, i > 0 ? ",%s" : "%s", set.v[i]->name);
    assert_string_equal(text.n > 0 ? text.p : "", wanted);
    el_buf_deinit(&text);
    disc_providers_deinit(&set);
}

static void refuse(const char *mode, const char *seeds, const char *file, const char *why)
{
    struct disc_providers set;
    struct el_error err;

    assert_int_equal(of(mode, seeds, file, &set, &err), EL_ECONF);
    assert_string_equal(err.text, why);
}

static void auto_takes_what_is_given_and_resolves_only_names(void **state)
{
    (void)state;
    expect("auto", "", "", "");
    expect("auto", "10.0.0.1:9000, [fd00::1]:9000", "", "list");
    expect("auto", "localhost:9000", "", "dns");
    expect("gossip", "10.0.0.1:9000,localhost:9000", "/nonexistent/nodes", "list,dns,file");
}

static void the_other_modes_take_one_thing_and_need_it(void **state)
{
    (void)state;
    expect("static", "node1:9000,10.0.0.1:9000", "", "list");
    expect("dns", "localhost:9000", "", "dns");
    expect("file", "", "/nonexistent/nodes", "file");
    refuse("static", "", "", "discovery.mode static needs discovery.seeds");
    refuse("dns", "", "", "discovery.mode dns needs discovery.seeds");
    refuse("file", "", "", "discovery.mode file needs discovery.file");
    refuse("static", "a:1", "/nodes", "discovery.mode static takes nothing but discovery.seeds");
    refuse("file", "a:1", "/nodes", "discovery.mode file takes nothing but discovery.file");
}

static void a_control_plane_counts_with_auto_and_by_itself(void **state)
{
    struct el_metrics *metrics = el_metrics_new();
    const struct disc_cp_conf conf = { .endpoints = "localhost",
                                       .token = "",
                                       .name = "",
                                       .cluster = "",
                                       .zone = "",
                                       .clock = el_clock_system(),
                                       .metrics = metrics };

    (void)state;
    refuse("controlplane", "", "", "discovery.mode controlplane needs control_plane.endpoint");
    assert_int_equal(disc_cp_new(&conf, &control_plane, NULL), EL_OK);
    expect("auto", "", "", "controlplane");
    expect("auto", "10.0.0.1:9000", "/nonexistent/nodes", "list,file,controlplane");
    expect("controlplane", "", "", "controlplane");
    refuse("controlplane", "a:1", "",
           "discovery.mode controlplane takes nothing but control_plane.endpoint");
    refuse("static", "a:1", "", "discovery.mode static takes nothing but discovery.seeds");
    disc_cp_free(control_plane);
    control_plane = NULL;
    el_metrics_free(metrics);
}

static void what_is_no_mode_or_no_address_is_named(void **state)
{
    (void)state;
    refuse("", "", "", "discovery.mode  is none");
    refuse("multicast", "", "", "discovery.mode multicast is none");
    refuse("auto", "10.0.0.1:9000,10.0.0.2", "", "10.0.0.2: not host:port");
    refuse("auto", "10.0.0.1:9000,,", "", ": not host:port");
}

static void all_are_asked_and_an_error_is_told(void **state)
{
    const struct timespec moment = { .tv_nsec = 1000000 };
    struct disc_seeds seeds = { 0 };
    struct disc_providers set;
    struct el_error err;
    enum el_err rc;

    (void)state;
    assert_int_equal(of("auto", "10.0.0.1:1,10.0.0.2:2", "/", &set, NULL), EL_OK);
    rc = disc_providers_poll(&set, 1, &seeds, &err);
    /* The file is read by a thread, which tells nobody. */
    for (unsigned i = 0; i < 10000 && rc == EL_OK; i++) {
        (void)nanosleep(&moment, NULL);
        rc = disc_providers_poll(&set, 1, &seeds, &err);
    }
    assert_int_equal(rc, EL_ESYS);
    assert_non_null(strstr(err.text, "read /"));
    assert_int_equal(seeds.n, 2);
    disc_seeds_deinit(&seeds);
    disc_providers_deinit(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auto_takes_what_is_given_and_resolves_only_names),
        cmocka_unit_test(the_other_modes_take_one_thing_and_need_it),
        cmocka_unit_test(a_control_plane_counts_with_auto_and_by_itself),
        cmocka_unit_test(what_is_no_mode_or_no_address_is_named),
        cmocka_unit_test(all_are_asked_and_an_error_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
