/* SPDX-License-Identifier: MIT */
/* key: see key.h; that OpenSSL cannot make a key or sign is a broken installation and aborts. */
#include "common/key.h"

#include <openssl/evp.h>

struct el_key {
    EVP_PKEY *pair;
};

struct el_key *el_key_new(const uint8_t secret[EL_KEY_BYTES])
{
    struct el_key *k = el_new(struct el_key);

    k->pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, EL_KEY_BYTES);
    EL_ASSERT(k->pair != NULL);
    return k;
}

void el_key_free(struct el_key *k)
{
    if (k == NULL)
        return;
    EVP_PKEY_free(k->pair);
    free(k);
}

void el_key_public(const struct el_key *k, uint8_t ret[EL_KEY_BYTES])
{
    size_t n = EL_KEY_BYTES;

    EL_ASSERT(EVP_PKEY_get_raw_public_key(k->pair, ret, &n) == 1 && n == EL_KEY_BYTES);
}

void el_key_sign(const struct el_key *k, struct el_str message, uint8_t ret[EL_SIGNATURE_BYTES])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = EL_SIGNATURE_BYTES;

    EL_ASSERT(ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->pair) == 1);
    EL_ASSERT(EVP_DigestSign(ctx, ret, &n, (const uint8_t *)message.p, message.n) == 1);
    EL_ASSERT(n == EL_SIGNATURE_BYTES);
    EVP_MD_CTX_free(ctx);
}

bool el_key_verify(const uint8_t public_key[EL_KEY_BYTES], struct el_str message,
                   const uint8_t signature[EL_SIGNATURE_BYTES])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, EL_KEY_BYTES);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_right = key != NULL && ctx != NULL &&
                    EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
                    EVP_DigestVerify(ctx, signature, EL_SIGNATURE_BYTES, (const uint8_t *)message.p,
                                     message.n) == 1;

    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return is_right;
}

void el_key_fingerprint(const uint8_t public_key[EL_KEY_BYTES], struct el_digest *ret)
{
    el_sha256_of(public_key, EL_KEY_BYTES, ret);
}
