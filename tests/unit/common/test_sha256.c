/* SPDX-License-Identifier: MIT */
#include "common/sha256.h"

#include "tests/lib/test.h"

#define MIB ((size_t)1024 * 1024)

static void assert_digest(const struct el_digest *d, const char *expected)
{
    char hex[2 * EL_SHA256_BYTES + 1];

    el_hex(d->b, sizeof(d->b), hex);
    assert_string_equal(hex, expected);
}

/* The examples of FIPS 180-2, appendix B, and the empty message. */
static void short_and_long_messages_have_the_published_hashes(void **state)
{
    char *million = el_alloc(1000000);
    struct el_digest d;

    (void)state;
    el_sha256_of("", 0, &d);
    assert_digest(&d, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    el_sha256_of(NULL, 0, &d);
    assert_digest(&d, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    el_sha256_of("abc", 3, &d);
    assert_digest(&d, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    memset(million, 'a', 1000000);
    el_sha256_of(million, 1000000, &d);
    assert_digest(&d, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

static void a_message_may_come_in_pieces_and_another_may_follow(void **state)
{
    struct el_sha256 *h = el_sha256_new();
    struct el_digest d;

    (void)state;
    el_sha256_update(h, "a", 1);
    el_sha256_update(h, NULL, 0);
    el_sha256_update(h, "bc", 2);
    el_sha256_final(h, &d);
    assert_digest(&d, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

    el_sha256_final(h, &d);
    assert_digest(&d, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

    el_sha256_update(h, "forgotten", 9);
    el_sha256_reset(h);
    el_sha256_update(h, "abc", 3);
    el_sha256_final(h, &d);
    assert_digest(&d, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    el_sha256_free(h);
    el_sha256_free(NULL);
}

/*
 * A message of n MiB, the first all 'A', the second all 'B' and so on. From Python:
 *
 *   h = lambda b: hashlib.sha256(b).digest()
 *   l = [h(bytes([65 + i]) * 2**20) for i in range(n)]
 *   while len(l) > 1:
 *       l = [h(l[i] + l[i + 1]) if i + 1 < len(l) else l[i] for i in range(0, len(l), 2)]
 */
static void the_tree_hash_pairs_digests_level_by_level(void **state)
{
    static const struct {
        size_t n;
        const char *hash;
    } cases[] = {
        { 1, "4e29ad18ab9f42d7c233500771a39d7c852b200baf328fd00fbbe3fecea1eb56" },
        { 2, "2a74373d09522091ba571834373089c0701efe3402603bae1f98bae6fc44a09a" },
        { 3, "bb0b79cef52e7eee62d2251a0c59334fe7a4083d8146571751e9d35eb3f5c8d1" },
        { 5, "ff147cd6904ec1b42e8af32c46fc145655c2931798d50a52d8f77a69da6ace8f" },
        { 6, "6b44482a84a7cd97d7afd24c718387b1681ad9c4579b010558cc3352f14391a0" },
        { 7, "5e3921b2040cc19442c2cf5c7c41e2435f426efd117b419afa0f14da2287e783" },
        { 16, "b1752f1e61a3f0e4d4e0be007fbc8bb5a73401a56bd3fcbefab1e38e5822c9fe" },
    };
    struct el_digest all[16], leaves[16], root;
    char *block = el_alloc(MIB);

    (void)state;
    for (size_t i = 0; i < EL_COUNT(all); i++) {
        memset(block, (int)('A' + i), MIB);
        el_sha256_of(block, MIB, &all[i]);
    }
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        memcpy(leaves, all, sizeof(leaves));
        el_sha256_tree(leaves, cases[i].n, &root);
        assert_digest(&root, cases[i].hash);
    }
    free(block);
}

static void the_root_may_be_written_over_the_leaves(void **state)
{
    struct el_digest leaves[3], copy[3], root;

    (void)state;
    for (uint8_t i = 0; i < 3; i++)
        el_sha256_of(&i, 1, &leaves[i]);
    memcpy(copy, leaves, sizeof(copy));
    el_sha256_tree(copy, 3, &root);
    el_sha256_tree(leaves, 3, &leaves[2]);
    assert_memory_equal(&leaves[2], &root, sizeof(root));
}

static void hex_is_lower_case_and_terminated(void **state)
{
    static const uint8_t bytes[] = { 0x00, 0x0f, 0xa5, 0xff };
    char out[9];

    (void)state;
    el_hex(bytes, sizeof(bytes), out);
    assert_string_equal(out, "000fa5ff");
    el_hex(NULL, 0, out);
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_and_long_messages_have_the_published_hashes),
        cmocka_unit_test(a_message_may_come_in_pieces_and_another_may_follow),
        cmocka_unit_test(the_tree_hash_pairs_digests_level_by_level),
        cmocka_unit_test(the_root_may_be_written_over_the_leaves),
        cmocka_unit_test(hex_is_lower_case_and_terminated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
