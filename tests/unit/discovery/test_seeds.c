/* SPDX-License-Identifier: MIT */
/* Where addresses come from. */
#include "tests/lib/test.h"

#include <unistd.h>

#include "discovery/discovery.h"

#define WALL_MS 1700000000000

static char dir[] = "/tmp/seeds.XXXXXX", path[64], lock[64];

static int make_dir(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/nodes", dir);
    (void)snprintf(lock, sizeof(lock), "%s/nodes.lock", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)unlink(lock);
    return rmdir(dir);
}

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* The addresses with commas, as they come. */
static void expect(struct disc_provider *p, int64_t wall_ms, const char *wanted)
{
    struct disc_seeds seeds = { 0 };
    struct el_buf text = { 0 };

    assert_int_equal(p->poll(p, wall_ms, &seeds, NULL), EL_OK);
    for (size_t i = 0; i < seeds.n; i++)
        el_buf_addf(&text, i > 0 ? ",%s" : "%s", seeds.address[i]);
    assert_string_equal(text.n > 0 ? text.p : "", wanted);
    el_buf_deinit(&text);
    disc_seeds_deinit(&seeds);
}

static void addresses_have_a_host_and_a_port(void **state)
{
    (void)state;
    assert_true(disc_address_ok(EL_STR("a:1")));
    assert_true(disc_address_ok(EL_STR("[::1]:9000")));
    assert_false(disc_address_ok(EL_STR("a")));
    assert_false(disc_address_ok(EL_STR(":9000")));
    assert_false(disc_address_ok(EL_STR("a:0")));
    assert_false(disc_address_ok(EL_STR("a:65536")));
    assert_false(disc_address_ok(EL_STR("a b:1")));
    assert_false(disc_address_ok(EL_STR("::1:9000")));
    assert_false(disc_address_ok(EL_STR("http://a:1")));
}

static void a_list_gives_each_address_once(void **state)
{
    struct disc_provider *p;
    struct el_error err;

    (void)state;
    assert_int_equal(disc_provider_list(EL_STR("a:1, b:2,a:1"), &p, NULL), EL_OK);
    expect(p, WALL_MS, "a:1,b:2");
    disc_provider_free(p);
    assert_int_equal(disc_provider_list(EL_STR("a:1,b"), &p, &err), EL_ECONF);
    assert_string_equal(err.text, "b: not host:port");
}

static void a_file_is_read_again_when_it_changes(void **state)
{
    struct disc_provider *p;

    (void)state;
    assert_int_equal(disc_provider_file(el_str_of(path), &p, NULL), EL_OK);
    expect(p, WALL_MS, "");
    write_file("# nodes\n\na:1\nnonsense\n  b:2  \n");
    expect(p, WALL_MS, "a:1,b:2");
    write_file("c:3\n");
    expect(p, WALL_MS, "c:3");
    assert_int_equal(unlink(path), 0);
    expect(p, WALL_MS, "");
    disc_provider_free(p);
}

static void lines_with_a_time_are_over_after_it(void **state)
{
    struct disc_provider *p;

    (void)state;
    write_file("a:1 1700000000\nb:2\n");
    assert_int_equal(disc_provider_file(el_str_of(path), &p, NULL), EL_OK);
    expect(p, WALL_MS + (DISC_FILE_TTL_S - 1) * 1000, "a:1,b:2");
    expect(p, WALL_MS + DISC_FILE_TTL_S * 1000, "b:2");
    disc_provider_free(p);
}

static void nodes_write_themselves_into_the_file_and_renew_it(void **state)
{
    struct disc_provider *p;

    (void)state;
    write_file("# ours\nfixed:1\n");
    assert_int_equal(disc_provider_file(el_str_of(path), &p, NULL), EL_OK);
    assert_int_equal(disc_file_announce(path, EL_STR("a:1"), WALL_MS, NULL), EL_OK);
    assert_int_equal(disc_file_announce(path, EL_STR("a:10"), WALL_MS, NULL), EL_OK);
    assert_int_equal(disc_file_announce(path, EL_STR("a:1"), WALL_MS + 200000, NULL), EL_OK);
    expect(p, WALL_MS + 200000, "fixed:1,a:10,a:1");
    expect(p, WALL_MS + 400000, "fixed:1,a:1");
    assert_int_equal(disc_file_announce(path, EL_STR("b:1"), WALL_MS + 900000, NULL), EL_OK);
    expect(p, WALL_MS, "fixed:1,b:1");
    disc_provider_free(p);
}

static void a_file_that_cannot_be_read_is_an_error_that_names_it(void **state)
{
    struct disc_seeds seeds = { 0 };
    struct disc_provider *p;
    struct el_error err;

    (void)state;
    assert_int_equal(disc_provider_file(el_str_of(dir), &p, NULL), EL_OK);
    assert_int_equal(p->poll(p, WALL_MS, &seeds, &err), EL_ESYS);
    assert_non_null(strstr(err.text, dir));
    assert_int_equal(seeds.n, 0);
    disc_provider_free(p);
}

static void a_file_that_is_too_long_is_an_error_and_not_cut(void **state)
{
    struct disc_seeds seeds = { 0 };
    struct disc_provider *p;
    struct el_buf text = { 0 };

    (void)state;
    while (text.n < 65536)
        el_buf_addf(&text, "a:1234\n");
    write_file(text.p);
    assert_int_equal(disc_provider_file(el_str_of(path), &p, NULL), EL_OK);
    assert_int_equal(p->poll(p, WALL_MS, &seeds, NULL), EL_ECONF);
    assert_int_equal(seeds.n, 0);
    assert_int_equal(disc_file_announce(path, EL_STR("b:1"), WALL_MS, NULL), EL_ECONF);
    disc_provider_free(p);
    el_buf_deinit(&text);
}

static void names_are_looked_up_on_a_thread_and_keep_their_port(void **state)
{
    struct disc_seeds seeds = { 0 };
    struct disc_provider *p;
    struct timespec moment = { .tv_nsec = 5000000 };

    (void)state;
    assert_int_equal(disc_provider_dns(EL_STR("127.0.0.1:9000,[::1]:9001"), &p, NULL), EL_OK);
    /* The thread tells nobody when it has looked; the next poll finds it. */
    for (unsigned i = 0; i < 2000 && seeds.n < 2; i++) {
        disc_seeds_deinit(&seeds);
        (void)p->poll(p, WALL_MS, &seeds, NULL);
        (void)nanosleep(&moment, NULL);
    }
    assert_int_equal(seeds.n, 2);
    assert_string_equal(seeds.address[0], "127.0.0.1:9000");
    assert_string_equal(seeds.address[1], "[::1]:9001");
    disc_seeds_deinit(&seeds);
    disc_provider_free(p);
}

static void gossip_gives_the_living_who_can_be_reached(void **state)
{
    struct disc_cards *cards = disc_cards_new();
    struct disc_members_conf conf = {
        .self = { .id = EL_STR("a"), .host = EL_STR("fd00::1"), .p2p_port = 9000 },
        .start_ms = 1,
        .cards = cards,
    };
    struct disc_members *m;
    struct disc_provider *p;

    (void)state;
    el_rng_seed(&conf.rng, 1);
    m = disc_members_new(&conf);
    p = disc_provider_gossip(m);
    expect(p, WALL_MS, "[fd00::1]:9000");
    disc_provider_free(p);
    disc_members_free(m);
    disc_cards_free(cards);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_have_a_host_and_a_port),
        cmocka_unit_test(a_list_gives_each_address_once),
        cmocka_unit_test(a_file_is_read_again_when_it_changes),
        cmocka_unit_test(lines_with_a_time_are_over_after_it),
        cmocka_unit_test(nodes_write_themselves_into_the_file_and_renew_it),
        cmocka_unit_test(a_file_that_cannot_be_read_is_an_error_that_names_it),
        cmocka_unit_test(a_file_that_is_too_long_is_an_error_and_not_cut),
        cmocka_unit_test(names_are_looked_up_on_a_thread_and_keep_their_port),
        cmocka_unit_test(gossip_gives_the_living_who_can_be_reached),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
