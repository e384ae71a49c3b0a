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
static void ask(struct disc_provider *p, int64_t wall_ms, struct el_buf *ret)
{
    struct disc_seeds seeds = { 0 };

    el_buf_clear(ret);
    (void)p->poll(p, wall_ms, &seeds, NULL);
    for (size_t i = 0; i < seeds.n; i++)
        el_buf_addf(ret, i > 0 ? ",%s" : "%s", seeds.address[i]);
    disc_seeds_deinit(&seeds);
}

static bool is_text(const struct el_buf *b, const char *wanted)
{
    return el_str_eq(el_buf_str(b), el_str_of(wanted));
}

/* A thread that looks tells nobody when it has; a later poll finds what it saw. */
static void expect(struct disc_provider *p, int64_t wall_ms, const char *wanted)
{
    const struct timespec moment = { .tv_nsec = 1000000 };
    struct el_buf text = { 0 };

    ask(p, wall_ms, &text);
    for (unsigned i = 0; i < 10000 && !is_text(&text, wanted); i++) {
        (void)nanosleep(&moment, NULL);
        ask(p, wall_ms, &text);
    }
    assert_string_equal(text.n > 0 ? text.p : "", wanted);
    el_buf_deinit(&text);
}

/* Until a look has failed so. */
static void expect_error(struct disc_provider *p, enum el_err wanted, struct el_error *ret_err)
{
    const struct timespec moment = { .tv_nsec = 1000000 };
    struct disc_seeds seeds = { 0 };
    enum el_err rc = p->poll(p, WALL_MS, &seeds, ret_err);

    for (unsigned i = 0; i < 10000 && rc == EL_OK; i++) {
        (void)nanosleep(&moment, NULL);
        rc = p->poll(p, WALL_MS, &seeds, ret_err);
    }
    assert_int_equal(rc, wanted);
    assert_int_equal(seeds.n, 0);
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

static void a_node_whose_address_is_known_is_written_and_renewed(void **state)
{
    struct disc_provider *p;

    (void)state;
    (void)unlink(path);
    assert_int_equal(disc_provider_file(el_str_of(path), &p, NULL), EL_OK);
    p->announce(p, EL_STR("a:1"));
    expect(p, WALL_MS, "a:1");
    assert_int_equal(disc_file_announce(path, EL_STR("b:1"), WALL_MS + 1000, NULL), EL_OK);
    expect(p, WALL_MS + 250000, "b:1,a:1"); /* the order says that it has been renewed */
    expect(p, WALL_MS + 310000, "a:1");
    disc_provider_free(p);
}

static void no_more_write_themselves_than_are_read(void **state)
{
    struct disc_provider *p;
    struct el_buf text = { 0 }, wanted = { 0 };

    (void)state;
    for (unsigned i = 0; i < DISC_MAX_SEEDS; i++)
        el_buf_addf(&text, "n%u:1 1700000000\n", i);
    write_file(text.p);
    assert_int_equal(disc_file_announce(path, EL_STR("late:1"), WALL_MS, NULL), EL_OK);
    assert_int_equal(disc_file_announce(path, EL_STR("n0:1"), WALL_MS, NULL), EL_OK);
    for (unsigned i = 1; i < DISC_MAX_SEEDS; i++)
        el_buf_addf(&wanted, "n%u:1,", i);
    el_buf_addf(&wanted, "n0:1");
    assert_int_equal(disc_provider_file(el_str_of(path), &p, NULL), EL_OK);
    expect(p, WALL_MS, wanted.p);
    disc_provider_free(p);
    el_buf_deinit(&text);
    el_buf_deinit(&wanted);
}

static void a_file_that_cannot_be_read_is_an_error_that_names_it(void **state)
{
    struct disc_provider *p;
    struct el_error err;

    (void)state;
    assert_int_equal(disc_provider_file(el_str_of(dir), &p, NULL), EL_OK);
    expect_error(p, EL_ESYS, &err);
    assert_non_null(strstr(err.text, dir));
    disc_provider_free(p);
}

static void a_file_that_is_too_long_is_an_error_and_not_cut(void **state)
{
    struct disc_provider *p;
    struct el_buf text = { 0 };

    (void)state;
    while (text.n < 65536)
        el_buf_addf(&text, "a:1234\n");
    write_file(text.p);
    assert_int_equal(disc_provider_file(el_str_of(path), &p, NULL), EL_OK);
    expect_error(p, EL_ECONF, NULL);
    assert_int_equal(disc_file_announce(path, EL_STR("b:1"), WALL_MS, NULL), EL_ECONF);
    disc_provider_free(p);
    el_buf_deinit(&text);
}

static void names_are_looked_up_on_a_thread_and_keep_their_port(void **state)
{
    struct disc_provider *p;

    (void)state;
    assert_int_equal(disc_provider_dns(EL_STR("127.0.0.1:9000,[::1]:9001"), &p, NULL), EL_OK);
    expect(p, WALL_MS, "127.0.0.1:9000,[::1]:9001");
    expect(p, WALL_MS + 31000, "127.0.0.1:9000,[::1]:9001");
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

/* Until there are so many. */
static void poll_until(const struct disc_providers *set, size_t n, struct disc_seeds *ret)
{
    const struct timespec moment = { .tv_nsec = 1000000 };

    (void)disc_providers_poll(set, WALL_MS, ret, NULL);
    for (unsigned i = 0; i < 10000 && ret->n < n; i++) {
        (void)nanosleep(&moment, NULL);
        disc_seeds_deinit(ret);
        (void)disc_providers_poll(set, WALL_MS, ret, NULL);
    }
    assert_int_equal(ret->n, n);
}

static void of_each_address_it_is_known_who_named_it_first(void **state)
{
    const struct disc_sources sources = { .mode = EL_STR("auto"),
                                          .seeds = EL_STR("10.0.0.1:1,10.0.0.2:2"),
                                          .file = el_str_of(path) };
    struct disc_seeds seeds = { 0 };
    struct disc_providers set;

    (void)state;
    write_file("10.0.0.2:2\n10.0.0.3:3\n");
    assert_int_equal(disc_providers_of(&sources, &set, NULL), EL_OK);
    poll_until(&set, 3, &seeds);
    assert_int_equal(seeds.from[0], DISC_LEARNT_SEED);
    assert_int_equal(seeds.from[1], DISC_LEARNT_SEED);
    assert_string_equal(seeds.address[2], "10.0.0.3:3");
    assert_int_equal(seeds.from[2], DISC_LEARNT_FILE);
    assert_string_equal(disc_learnt_name(seeds.from[2]), "file");
    disc_seeds_deinit(&seeds);
    disc_providers_deinit(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_have_a_host_and_a_port),
        cmocka_unit_test(a_list_gives_each_address_once),
        cmocka_unit_test(a_file_is_read_again_when_it_changes),
        cmocka_unit_test(lines_with_a_time_are_over_after_it),
        cmocka_unit_test(nodes_write_themselves_into_the_file_and_renew_it),
        cmocka_unit_test(a_node_whose_address_is_known_is_written_and_renewed),
        cmocka_unit_test(no_more_write_themselves_than_are_read),
        cmocka_unit_test(a_file_that_cannot_be_read_is_an_error_that_names_it),
        cmocka_unit_test(a_file_that_is_too_long_is_an_error_and_not_cut),
        cmocka_unit_test(names_are_looked_up_on_a_thread_and_keep_their_port),
        cmocka_unit_test(gossip_gives_the_living_who_can_be_reached),
        cmocka_unit_test(of_each_address_it_is_known_who_named_it_first),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
