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

static void tree_hash_of(const uint8_t *message, size_t n, struct el_digest *ret)
{
    struct el_digest leaves[16];
    size_t k = 0;

    do {
        size_t bytes = el_min_size(n, MIB);

        el_sha256_of(message, bytes, &leaves[k++]);
        message += bytes;
        n -= bytes;
    } while (n > 0);
    el_sha256_tree(leaves, k, ret);
}

/* botocore's, printed by tree_hash_vectors.py beside this file. */
static void the_tree_hash_is_that_of_an_independent_implementation(void **state)
{
    static const struct {
        size_t n;
        const char *hash;
    } cases[] = {
        { 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { 1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d" },
        { 1048575, "22612eda4048f082dc2179983f1d949bf4e6a467bc2a22f766d5bbe8d2b9187e" },
        { 1048576, "61c69384ed44ee30eb94e81dcc76c6ae66cb4527be88f90a62449710390f5b59" },
        { 1048577, "c403f0c21bdf97f025d8d48766024046431afbf91112317513f08f8df332447f" },
        { 2097159, "469e1da54fc75ce51f522273f78b3305df8f4c63f8566a5d26e7ffe0be22b8eb" },
        { 3145728, "4e518e8deb3aeafd2f93cada972db6ad164a667349670a711f5903d96482a626" },
        { 7864320, "e70f6ca98f5eeb35608351d346d032b5ffb5a040ffb4abbba6ca08bb9f9d4810" },
        { 15728641, "190bfe086e80d32f47a8e714d543c6248d13c3e8ae5e195b83d02fafa920f650" },
        { 16777216, "08ed5c1990d8f44ed483b67d3de6b64bdbe06e0b82838118887a7ee18fa5d1ac" },
    };
    uint8_t *message = el_alloc(16 * MIB);
    struct el_digest root;

    (void)state;
    for (size_t i = 0; i < 16 * MIB; i++)
        message[i] = (uint8_t)(131 * i + i / 4093);
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        tree_hash_of(message, cases[i].n, &root);
        assert_digest(&root, cases[i].hash);
    }
    free(message);
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

static void a_digest_is_read_from_all_of_its_digits_only(void **state)
{
    char hex[2 * EL_SHA256_BYTES + 1];
    struct el_digest d, read;

    (void)state;
    el_sha256_of("abc", 3, &d);
    el_hex(d.b, sizeof(d.b), hex);
    hex[0] = 'B'; /* it begins with ba78 */
    assert_true(el_digest_parse(el_str_of(hex), &read));
    assert_memory_equal(d.b, read.b, sizeof(d.b));
    assert_false(el_digest_parse(el_str_first(el_str_of(hex), 63), &read));
    assert_false(el_digest_parse(EL_STR(""), &read));
    hex[63] = 'g';
    assert_false(el_digest_parse(el_str_of(hex), &read));
}

/* RFC 4231, test cases 1, 2 and 6; RFC 2202, test cases 1 and 6. */
static void keyed_hashes_are_those_of_the_rfcs(void **state)
{
    uint8_t ones[20], long_key[131], mac[EL_SHA256_BYTES];
    struct el_str longer = EL_STR("Test Using Larger Than Block-Size Key - Hash Key First");
    char hex[2 * EL_SHA256_BYTES + 1];

    (void)state;
    memset(ones, 0x0b, sizeof(ones));
    memset(long_key, 0xaa, sizeof(long_key));
    el_hmac_sha256(ones, sizeof(ones), EL_STR("Hi There"), mac);
    el_hex(mac, EL_SHA256_BYTES, hex);
    assert_string_equal(hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    el_hmac_sha256("Jefe", 4, EL_STR("what do ya want for nothing?"), mac);
    el_hex(mac, EL_SHA256_BYTES, hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    el_hmac_sha256(long_key, 131, longer, mac);
    el_hex(mac, EL_SHA256_BYTES, hex);
    assert_string_equal(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    el_hmac_sha1(ones, sizeof(ones), EL_STR("Hi There"), mac);
    el_hex(mac, EL_SHA1_BYTES, hex);
    assert_string_equal(hex, "b617318655057264e28bc0b6fb378c8ef146be00");
    el_hmac_sha1(long_key, 80, longer, mac);
    el_hex(mac, EL_SHA1_BYTES, hex);
    assert_string_equal(hex, "aa4ae5e15272d00e95705637ce8a3b55ed402112");
}

static void keys_and_messages_may_be_empty_and_the_result_may_replace_the_key(void **state)
{
    uint8_t mac[EL_SHA256_BYTES], in_place[EL_SHA256_BYTES];
    char hex[2 * EL_SHA256_BYTES + 1];

    (void)state;
    el_hmac_sha256(NULL, 0, EL_STR(""), mac);
    el_hex(mac, sizeof(mac), hex);
    assert_string_equal(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
    memcpy(in_place, mac, sizeof(mac));
    el_hmac_sha256(mac, sizeof(mac), EL_STR("x"), mac);
    assert_false(el_mac_is_same(mac, in_place, sizeof(mac)));
    el_hmac_sha256(in_place, sizeof(in_place), EL_STR("x"), in_place);
    assert_true(el_mac_is_same(mac, in_place, sizeof(mac)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_and_long_messages_have_the_published_hashes),
        cmocka_unit_test(a_message_may_come_in_pieces_and_another_may_follow),
        cmocka_unit_test(the_tree_hash_pairs_digests_level_by_level),
        cmocka_unit_test(the_tree_hash_is_that_of_an_independent_implementation),
        cmocka_unit_test(the_root_may_be_written_over_the_leaves),
        cmocka_unit_test(hex_is_lower_case_and_terminated),
        cmocka_unit_test(a_digest_is_read_from_all_of_its_digits_only),
        cmocka_unit_test(keyed_hashes_are_those_of_the_rfcs),
        cmocka_unit_test(keys_and_messages_may_be_empty_and_the_result_may_replace_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
