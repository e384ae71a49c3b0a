/* SPDX-License-Identifier: MIT */
#include "common/key.h"

#include "tests/lib/test.h"

static void from_hex(const char *hex, uint8_t *ret, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned byte;

        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        ret[i] = (uint8_t)byte;
    }
}

/* RFC 8032, section 7.1, tests 1 to 3. */
static const struct {
    const char *secret, *public_key, *message, *signature;
} published[] = {
    { "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
      "d25bf5f0595bbe24655141438e7a100b" },
    { "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
      "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
      "387b2eaeb4302aeeb00d291612bb0c00" },
    { "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
      "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
      "4a7c15e9716ed28dc027beceea1ec40a" },
};

static void keys_and_signatures_are_the_published_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < EL_COUNT(published); i++) {
        uint8_t secret[32], public_key[32], got_key[32], signature[64], got[64], bytes[2];
        struct el_str message = { (const char *)bytes, strlen(published[i].message) / 2 };
        struct el_key *k;

        from_hex(published[i].secret, secret, sizeof(secret));
        from_hex(published[i].public_key, public_key, sizeof(public_key));
        from_hex(published[i].signature, signature, sizeof(signature));
        from_hex(published[i].message, bytes, message.n);
        k = el_key_new(secret);
        el_key_public(k, got_key);
        assert_memory_equal(got_key, public_key, sizeof(public_key));
        el_key_sign(k, message, got);
        assert_memory_equal(got, signature, sizeof(signature));
        assert_true(el_key_verify(public_key, message, signature));
        el_key_free(k);
    }
    el_key_free(NULL);
}

static void a_signature_with_any_bit_changed_is_none(void **state)
{
    uint8_t public_key[32], signature[64], byte = 0x72;
    struct el_str message = { (const char *)&byte, 1 };

    (void)state;
    from_hex(published[1].public_key, public_key, sizeof(public_key));
    from_hex(published[1].signature, signature, sizeof(signature));
    for (unsigned bit = 0; bit < 8 * 64; bit++) {
        signature[bit / 8] = (uint8_t)(signature[bit / 8] ^ 1 << bit % 8);
        assert_false(el_key_verify(public_key, message, signature));
        signature[bit / 8] = (uint8_t)(signature[bit / 8] ^ 1 << bit % 8);
    }
    byte ^= 1;
    assert_false(el_key_verify(public_key, message, signature));
    byte ^= 1;
    for (unsigned bit = 0; bit < 8 * 32; bit++) {
        public_key[bit / 8] = (uint8_t)(public_key[bit / 8] ^ 1 << bit % 8);
        assert_false(el_key_verify(public_key, message, signature));
        public_key[bit / 8] = (uint8_t)(public_key[bit / 8] ^ 1 << bit % 8);
    }
    assert_true(el_key_verify(public_key, message, signature));
}

static void a_fingerprint_is_the_hash_of_the_public_key(void **state)
{
    uint8_t public_key[32];
    struct el_digest got, expected;

    (void)state;
    from_hex(published[0].public_key, public_key, sizeof(public_key));
    el_key_fingerprint(public_key, &got);
    el_sha256_of(public_key, sizeof(public_key), &expected);
    assert_memory_equal(got.b, expected.b, sizeof(got.b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_and_signatures_are_the_published_ones),
        cmocka_unit_test(a_signature_with_any_bit_changed_is_none),
        cmocka_unit_test(a_fingerprint_is_the_hash_of_the_public_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
