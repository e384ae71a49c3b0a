/* SPDX-License-Identifier: MIT */
#include "proxy/grant.h"

#include "tests/lib/test.h"

#define ROOM 8

static const uint8_t secret[PROXY_GRANT_SECRET_BYTES] = { 1, 2, 3 };

struct world {
    struct proxy_grant_hash by;
    struct proxy_grant_store *store;
};

static int set_up(void **state)
{
    struct world *w = el_new(struct world);

    w->by = (struct proxy_grant_hash){ el_sha256_new(), secret };
    assert_int_equal(proxy_grant_store_new(ROOM, &w->store, NULL), EL_OK);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    proxy_grant_store_free(w->store);
    el_sha256_free(w->by.h);
    free(w);
    return 0;
}

static struct el_digest digest(unsigned n)
{
    struct el_digest d = { { 0 } };

    memcpy(d.b, &n, sizeof(n));
    return d;
}

static void add(struct world *w, unsigned holder, unsigned id, uint64_t now, uint64_t until)
{
    const struct el_digest h = digest(holder), i = digest(id);

    proxy_grant_store_add(w->store, &h, &i, now, until);
}

static bool has(struct world *w, unsigned holder, unsigned id, uint64_t now)
{
    const struct el_digest h = digest(holder), i = digest(id);

    return proxy_grant_store_has(w->store, &h, &i, now);
}

static size_t drop(struct world *w, unsigned holder)
{
    const struct el_digest h = digest(holder);

    return proxy_grant_store_drop(w->store, &h);
}

/* ---- the store ---- */

static void a_grant_is_good_until_its_end_and_not_longer(void **state)
{
    struct world *w = *state;

    add(w, 1, 10, 1000, 2000);
    assert_true(has(w, 1, 10, 1999));
    assert_false(has(w, 1, 10, 2000));
    assert_int_equal(proxy_grant_store_count(w->store), 0);
    add(w, 1, 10, 3000, 3000);
    assert_false(has(w, 1, 10, 3000));
}

static void a_grant_is_of_its_holder_only(void **state)
{
    struct world *w = *state;

    add(w, 1, 10, 0, 100);
    assert_false(has(w, 2, 10, 0));
    assert_false(has(w, 1 + ROOM, 10, 0)); /* the same bucket */
    assert_false(has(w, 1, 11, 0));
}

static void a_second_yes_sets_the_end_anew(void **state)
{
    struct world *w = *state;

    add(w, 1, 10, 0, 100);
    add(w, 1, 10, 50, 200);
    assert_int_equal(proxy_grant_store_count(w->store), 1);
    assert_true(has(w, 1, 10, 150));
    add(w, 1, 10, 150, 160);
    assert_false(has(w, 1, 10, 170));
}

static void a_refusal_takes_every_grant_of_its_holder(void **state)
{
    struct world *w = *state;

    add(w, 1, 10, 0, 100);
    add(w, 1, 11, 0, 100);
    add(w, 1 + ROOM, 12, 0, 100);
    assert_int_equal(drop(w, 1), 2);
    assert_false(has(w, 1, 10, 1));
    assert_false(has(w, 1, 11, 1));
    assert_true(has(w, 1 + ROOM, 12, 1));
    assert_int_equal(drop(w, 1), 0);
}

static void the_oldest_makes_room(void **state)
{
    struct world *w = *state;

    for (unsigned i = 0; i < ROOM; i++)
        add(w, i, i, 0, 100);
    add(w, 0, 0, 1, 100); /* as good as new */
    add(w, 100, 100, 2, 100);
    assert_int_equal(proxy_grant_store_count(w->store), ROOM);
    assert_false(has(w, 1, 1, 3));
    assert_true(has(w, 0, 0, 3));
    assert_true(has(w, 2, 2, 3));
    assert_true(has(w, 100, 100, 3));
}

static void what_has_expired_makes_room_first(void **state)
{
    struct world *w = *state;

    add(w, 0, 0, 0, 10);
    for (unsigned i = 1; i < ROOM; i++)
        add(w, i, i, 0, 100);
    add(w, 100, 100, 20, 100);
    for (unsigned i = 1; i < ROOM; i++)
        assert_true(has(w, i, i, 30));
}

static void one_holder_does_not_fill_a_bucket(void **state)
{
    struct world *w = *state;
    struct proxy_grant_store *large;
    const struct el_digest holder = digest(7);
    struct el_digest id;

    assert_int_equal(proxy_grant_store_new(1000, &large, NULL), EL_OK);
    for (unsigned i = 0; i < 500; i++) {
        id = digest(i);
        proxy_grant_store_add(large, &holder, &id, i, 10000);
    }
    assert_int_equal(proxy_grant_store_count(large), PROXY_GRANTS_PER_HOLDER);
    assert_true(proxy_grant_store_has(large, &holder, &id, 600));
    id = digest(500 - PROXY_GRANTS_PER_HOLDER - 1);
    assert_false(proxy_grant_store_has(large, &holder, &id, 600));
    proxy_grant_store_free(large);
    (void)w;
}

/* Against the plainest model there is. */
static void any_order_of_events_leaves_what_a_list_would_have(void **state)
{
    struct world *w = *state;
    uint64_t until[16] = { 0 }, random = 88172645463325252u;

    for (uint64_t now = 1; now < 20000; now++) {
        unsigned holder, id;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        holder = (unsigned)(random >> 20) % 4;
        id = holder + 4 * ((unsigned)(random >> 30) % 2);
        if (random % 8 == 0) {
            (void)drop(w, holder);
            until[holder] = until[holder + 4] = 0;
        } else if (random % 2 == 0) {
            until[id] = now + (random >> 40) % 16;
            add(w, holder, id, now, until[id]);
        }
        assert_int_equal(has(w, holder, id, now), until[id] > now);
        assert_true(proxy_grant_store_count(w->store) <= ROOM);
    }
}

/* ---- how long ---- */

static void a_grant_never_outlives_the_signature(void **state)
{
    const struct proxy_signature soon = { .is_known = true, .until_ms = 10000 };
    const struct proxy_signature nobody = { .until_ms = 10000 };

    (void)state;
    assert_int_equal(proxy_grant_ttl_ms(&soon, 1000, 30000), 9000);
    assert_int_equal(proxy_grant_ttl_ms(&soon, 1000, 500), 500);
    assert_int_equal(proxy_grant_ttl_ms(&soon, 10000, 30000), 0);
    assert_int_equal(proxy_grant_ttl_ms(&soon, 20000, 30000), 0);
    assert_int_equal(proxy_grant_ttl_ms(&nobody, 1000, 30000), 0);
    assert_int_equal(proxy_grant_ttl_ms(&soon, 1000, 0), 0);
}

/* ---- which request is the same ---- */

struct request {
    const char *method, *target, *host, *url, *signed_fields;
    struct el_field fields[4];
};

static const struct request plain = {
    .method = "GET",
    .target = "/b/k?X-Amz-Signature=1",
    .host = "h",
    .url = "http://h/b/k",
    .signed_fields = "host;accept",
    .fields = { { EL_STR("Authorization"), EL_STR("AWS KEY:c2ln") },
                { EL_STR("Accept"), EL_STR("*/*") },
                { EL_STR("X-Amz-Date"), EL_STR("20130524T000000Z") },
                { EL_STR("Referer"), EL_STR("http://r/") } },
};

static struct el_digest id_of(struct world *w, const struct request *q)
{
    struct proxy_route route = {
        .to.target = el_str_of(q->target),
        .host_field = el_str_of(q->host),
        .signed_fields = el_str_of(q->signed_fields),
    };
    struct el_digest id;

    el_buf_add_str(&route.url, el_str_of(q->url));
    proxy_grant_request_id(&w->by, el_str_of(q->method), &route,
                           (struct el_fieldv){ q->fields, EL_COUNT(q->fields) }, &id);
    el_buf_deinit(&route.url);
    return id;
}

static bool is_same(struct world *w, const struct request *a, const struct request *b)
{
    const struct el_digest x = id_of(w, a), y = id_of(w, b);

    return memcmp(&x, &y, sizeof(x)) == 0;
}

static void every_part_that_counts_makes_another_request(void **state)
{
    struct world *w = *state;
    struct request other[9];

    for (size_t i = 0; i < EL_COUNT(other); i++)
        other[i] = plain;
    assert_true(is_same(w, &plain, &other[0]));
    other[0].method = "HEAD";
    other[1].target = "/b/k?X-Amz-Signature=2";
    other[2].host = "H";
    other[3].url = "http://h/b/l";
    for (size_t i = 0; i < 4; i++) {
        other[4 + i].fields[i].value = EL_STR("other");
    }
    other[8].fields[1] = (struct el_field){ EL_STR("x-amz-security-token"), EL_STR("t") };
    for (size_t i = 0; i < EL_COUNT(other); i++)
        assert_false(is_same(w, &plain, &other[i]));
}

static void a_field_that_nobody_signed_nor_judges_by_does_not_count(void **state)
{
    struct world *w = *state;
    struct request a = plain, b = plain;

    a.fields[1] = (struct el_field){ EL_STR("If-None-Match"), EL_STR("\"1\"") };
    b.fields[1] = (struct el_field){ EL_STR("Cache-Control"), EL_STR("max-age=1") };
    assert_true(is_same(w, &a, &b));
}

static void parts_of_any_length_count_to_their_last_byte(void **state)
{
    struct world *w = *state;
    char one[5000], other[5000];

    memset(one, 'x', sizeof(one));
    memcpy(other, one, sizeof(one));
    other[sizeof(other) - 1] = 'y';
    for (size_t n = 1; n <= sizeof(one); n += 97) {
        const size_t from = sizeof(one) - n;
        struct el_digest a, b, again;

        proxy_grant_holder(&w->by, EL_STR("k"), (struct el_str){ one + from, n }, &a);
        proxy_grant_holder(&w->by, EL_STR("k"), (struct el_str){ one + from, n }, &again);
        proxy_grant_holder(&w->by, EL_STR("k"), (struct el_str){ other + from, n }, &b);
        assert_memory_equal(&a, &again, sizeof(a));
        assert_memory_not_equal(&a, &b, sizeof(a));
    }
}

static void parts_do_not_run_into_each_other(void **state)
{
    struct world *w = *state;
    struct el_digest a, b;

    proxy_grant_holder(&w->by, EL_STR("ab"), EL_STR("c"), &a);
    proxy_grant_holder(&w->by, EL_STR("a"), EL_STR("bc"), &b);
    assert_memory_not_equal(&a, &b, sizeof(a));
}

static void another_secret_makes_other_ids(void **state)
{
    static const uint8_t secret2[PROXY_GRANT_SECRET_BYTES] = { 1, 2, 4 };
    struct world *w = *state;
    const struct proxy_grant_hash by = { w->by.h, secret2 };
    struct el_digest a, b;

    proxy_grant_holder(&w->by, EL_STR("a"), EL_STR("b"), &a);
    proxy_grant_holder(&by, EL_STR("a"), EL_STR("b"), &b);
    assert_memory_not_equal(&a, &b, sizeof(a));
}

static void a_key_is_accepted_in_one_scope_and_for_one_method(void **state)
{
    struct world *w = *state;
    const struct el_fieldv none = { NULL, 0 };
    const struct el_field referer = { EL_STR("Referer"), EL_STR("http://r/") };
    const struct el_str get = EL_STR("GET"), k = EL_STR("K"), s = EL_STR("r/s3"), u = EL_STR("u");
    const struct el_str h = { NULL, 0 };
    struct el_digest a, b[6];

    proxy_grant_key_id(&w->by, get, k, s, u, h, none, &a);
    proxy_grant_key_id(&w->by, EL_STR("HEAD"), k, s, u, h, none, &b[0]);
    proxy_grant_key_id(&w->by, get, EL_STR("L"), s, u, h, none, &b[1]);
    proxy_grant_key_id(&w->by, get, k, EL_STR("q/s3"), u, h, none, &b[2]);
    proxy_grant_key_id(&w->by, get, k, s, EL_STR("v"), h, none, &b[3]);
    proxy_grant_key_id(&w->by, get, k, s, u, h, (struct el_fieldv){ &referer, 1 }, &b[4]);
    proxy_grant_key_id(&w->by, get, k, s, u, EL_STR("o"), none, &b[5]);
    for (size_t i = 0; i < EL_COUNT(b); i++)
        assert_memory_not_equal(&a, &b[i], sizeof(a));
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(a_grant_is_good_until_its_end_and_not_longer),
        WITH_WORLD(a_grant_is_of_its_holder_only),
        WITH_WORLD(a_second_yes_sets_the_end_anew),
        WITH_WORLD(a_refusal_takes_every_grant_of_its_holder),
        WITH_WORLD(the_oldest_makes_room),
        WITH_WORLD(what_has_expired_makes_room_first),
        WITH_WORLD(one_holder_does_not_fill_a_bucket),
        WITH_WORLD(any_order_of_events_leaves_what_a_list_would_have),
        cmocka_unit_test(a_grant_never_outlives_the_signature),
        WITH_WORLD(every_part_that_counts_makes_another_request),
        WITH_WORLD(a_field_that_nobody_signed_nor_judges_by_does_not_count),
        WITH_WORLD(parts_of_any_length_count_to_their_last_byte),
        WITH_WORLD(parts_do_not_run_into_each_other),
        WITH_WORLD(another_secret_makes_other_ids),
        WITH_WORLD(a_key_is_accepted_in_one_scope_and_for_one_method),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
