/* SPDX-License-Identifier: MIT */
#include "proxy/status.h"

#include <jansson.h>

#include "cache/cache.h"
#include "tests/lib/test.h"

static void assert_line(enum proxy_xcache x, struct proxy_status_line line, const char *expected)
{
    struct el_buf out = { 0 };

    proxy_status_write(&out, EL_STR("node-1"), x, &line);
    assert_string_equal(out.p, expected);
    el_buf_deinit(&out);
}

static void the_answer_says_where_it_came_from(void **state)
{
    (void)state;
    assert_line(PROXY_XCACHE_HIT,
                (struct proxy_status_line){ .is_hit = true, .has_ttl = true, .ttl_s = 9 },
                "X-Cache: HIT\r\nCache-Status: \"node-1\"; hit; ttl=9\r\n");
    assert_line(PROXY_XCACHE_HIT,
                (struct proxy_status_line){ .fwd = "stale", .fwd_status = 304, .has_ttl = true },
                "X-Cache: HIT\r\nCache-Status: \"node-1\"; fwd=stale; fwd-status=304; ttl=0\r\n");
    assert_line(
        PROXY_XCACHE_MISS,
        (struct proxy_status_line){ .fwd = "uri-miss", .fwd_status = 200, .is_stored = true },
        "X-Cache: MISS\r\nCache-Status: \"node-1\"; fwd=uri-miss; fwd-status=200; stored\r\n");
    assert_line(
        PROXY_XCACHE_P2P,
        (struct proxy_status_line){ .fwd = "partial", .is_collapsed = true, .detail = "peer" },
        "X-Cache: P2P\r\nCache-Status: \"node-1\"; fwd=partial; collapsed; detail=peer\r\n");
    assert_line(PROXY_XCACHE_HIT,
                (struct proxy_status_line){ .is_hit = true, .has_ttl = true, .ttl_s = -30 },
                "X-Cache: HIT\r\nCache-Status: \"node-1\"; hit; ttl=-30\r\n");
}

/* A node's name is the operator's; the field has to stay one field (RFC 8941 section 3.3.3). */
static void a_name_cannot_end_the_string_it_is_in(void **state)
{
    struct el_buf out = { 0 };

    (void)state;
    proxy_status_write(&out, EL_STR("a\"; hit\\\r\nX: y\x80"), PROXY_XCACHE_HIT,
                       &(struct proxy_status_line){ .is_hit = true });
    assert_string_equal(out.p, "X-Cache: HIT\r\nCache-Status: \"a; hitX: y\"; hit\r\n");
    el_buf_deinit(&out);
}

static void bytes_that_nobody_is_seen_to_bring_may_have_to_come_from_the_origin(void **state)
{
    (void)state;
    assert_int_equal(proxy_xcache_foreseen(0), PROXY_XCACHE_MISS);
    assert_int_equal(proxy_xcache_foreseen(CACHE_FROM_MEMORY | CACHE_FROM_DISK), PROXY_XCACHE_MISS);
}

static void peers_gave_it_when_the_origin_gave_nothing_of_it(void **state)
{
    (void)state;
    assert_int_equal(proxy_xcache_foreseen(CACHE_FROM_PEER), PROXY_XCACHE_P2P);
    assert_int_equal(proxy_xcache_foreseen(CACHE_FROM_PEER | CACHE_FROM_DISK), PROXY_XCACHE_P2P);
    assert_int_equal(proxy_xcache_foreseen(CACHE_FROM_PEER | CACHE_FROM_ORIGIN), PROXY_XCACHE_MISS);
}

static void in_the_end_the_bytes_tell_and_without_bytes_what_was_said(void **state)
{
    struct proxy_tier_share s = { 0 };

    (void)state;
    assert_int_equal(proxy_xcache_final(&s, PROXY_XCACHE_MISS), PROXY_XCACHE_MISS);
    s.bytes[PROXY_TIER_MEMORY] = 1;
    assert_int_equal(proxy_xcache_final(&s, PROXY_XCACHE_HIT), PROXY_XCACHE_HIT);
    s.bytes[PROXY_TIER_PEER] = 1;
    assert_int_equal(proxy_xcache_final(&s, PROXY_XCACHE_MISS), PROXY_XCACHE_P2P);
    s.bytes[PROXY_TIER_ORIGIN] = 1;
    assert_int_equal(proxy_xcache_final(&s, PROXY_XCACHE_P2P), PROXY_XCACHE_MISS);
}

static json_t *problem(int status, enum el_err code, struct el_str detail)
{
    struct el_buf out = { 0 };
    json_error_t why;
    json_t *root;

    proxy_problem(&out, status, code, detail);
    root = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL)
        fail_msg("%s: %s", why.text, out.p);
    el_buf_deinit(&out);
    return root;
}

static const char *text_of(json_t *root, const char *key)
{
    const char *text = json_string_value(json_object_get(root, key));

    assert_non_null(text);
    return text;
}

/* RFC 9457 */
static void our_errors_say_what_failed_and_what_to_try(void **state)
{
    json_t *root = problem(502, EL_ECONNECT, EL_STR("connect to \"o.test\": refused"));

    (void)state;
    assert_int_equal(json_integer_value(json_object_get(root, "status")), 502);
    assert_int_equal(json_integer_value(json_object_get(root, "code")), EL_ECONNECT);
    assert_string_equal(text_of(root, "title"), el_err_text(EL_ECONNECT));
    assert_string_equal(text_of(root, "detail"), "connect to \"o.test\": refused");
    assert_true(text_of(root, "try")[0] != '\0');
    json_decref(root);
    root = problem(504, EL_ENOTCACHED, EL_STR(""));
    assert_null(json_object_get(root, "try"));
    json_decref(root);
}

static void every_byte_of_a_detail_becomes_good_json(void **state)
{
    char bytes[256];
    json_t *root;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i == 0 ? 1 : i);
    root = problem(400, EL_EBADREQ, (struct el_str){ bytes, sizeof(bytes) });
    assert_memory_equal(text_of(root, "detail"), "\x01\x01\x02", 3);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_says_where_it_came_from),
        cmocka_unit_test(bytes_that_nobody_is_seen_to_bring_may_have_to_come_from_the_origin),
        cmocka_unit_test(peers_gave_it_when_the_origin_gave_nothing_of_it),
        cmocka_unit_test(in_the_end_the_bytes_tell_and_without_bytes_what_was_said),
        cmocka_unit_test(a_name_cannot_end_the_string_it_is_in),
        cmocka_unit_test(our_errors_say_what_failed_and_what_to_try),
        cmocka_unit_test(every_byte_of_a_detail_becomes_good_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
