/* SPDX-License-Identifier: MIT */
/* Sets of blocks, and by what a tracker is found. */
#include "tests/lib/test.h"

#include "common/sha256.h"
#include "p2p/track.h"

static void a_set_holds_what_was_put_into_it(void **state)
{
    static const unsigned blocks[] = { 0, 15, 16, 63, 64, 511, 1022, 1023 };
    struct p2p_blockset s = { 0 };

    (void)state;
    assert_true(p2p_blockset_is_empty(&s));
    assert_int_equal(p2p_blockset_next(&s, 0), P2P_GROUP_BLOCKS);
    for (size_t i = 0; i < EL_COUNT(blocks); i++)
        p2p_blockset_add(&s, blocks[i]);
    assert_int_equal(p2p_blockset_count(&s), EL_COUNT(blocks));
    for (unsigned b = 0, i = 0; b < P2P_GROUP_BLOCKS; b++) {
        bool is_there = i < EL_COUNT(blocks) && blocks[i] == b;

        assert_int_equal(p2p_blockset_next(&s, b), i < EL_COUNT(blocks) ? blocks[i] : 1024);
        assert_int_equal(p2p_blockset_has(&s, b), is_there);
        i += is_there;
    }
    assert_int_equal(p2p_blockset_chunk(&s, 0), 0x8001);
    assert_int_equal(p2p_blockset_chunk(&s, 1), 0x0001);
    assert_int_equal(p2p_blockset_chunk(&s, 63), 0xc000);
    assert_int_equal(p2p_blockset_next(&s, P2P_GROUP_BLOCKS), P2P_GROUP_BLOCKS);
    for (size_t i = 0; i < EL_COUNT(blocks); i++)
        p2p_blockset_remove(&s, blocks[i]);
    assert_true(p2p_blockset_is_empty(&s));
}

/* What is hashed is written here by hand. */
static void the_key_of_a_group_is_over_version_and_number(void **state)
{
    struct p2p_group g = { .version = "0123456789abcde", .number = 0x01020304 };
    uint8_t key[P2P_TRACKER_KEY_BYTES];
    struct el_digest d;

    (void)state;
    p2p_group_key(&g, key);
    el_sha256_of("0123456789abcde\0\1\2\3\4", 20, &d);
    assert_memory_equal(key, d.b, sizeof(key));
    p2p_url_key(EL_STR("http://s3.test/a"), key);
    el_sha256_of("http://s3.test/a", 16, &d);
    assert_memory_equal(key, d.b, sizeof(key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_holds_what_was_put_into_it),
        cmocka_unit_test(the_key_of_a_group_is_over_version_and_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
