/* SPDX-License-Identifier: MIT */
/* sha256: EVP digests; a failure of OpenSSL's SHA-256 is a broken installation and aborts. */
#include "common/sha256.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

struct el_sha256 {
    EVP_MD_CTX *ctx;
    EVP_MD *md;
};

struct el_sha256 *el_sha256_new(void)
{
    struct el_sha256 *h = el_new(struct el_sha256);

    h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
    h->ctx = EVP_MD_CTX_new();
    EL_ASSERT(h->md != NULL && h->ctx != NULL);
    el_sha256_reset(h);
    return h;
}

void el_sha256_free(struct el_sha256 *h)
{
    if (h == NULL)
        return;
    EVP_MD_CTX_free(h->ctx);
    EVP_MD_free(h->md);
    free(h);
}

void el_sha256_reset(struct el_sha256 *h)
{
    EL_ASSERT(EVP_DigestInit_ex2(h->ctx, h->md, NULL) == 1);
}

void el_sha256_update(struct el_sha256 *h, const void *bytes, size_t n)
{
    EL_ASSERT(EVP_DigestUpdate(h->ctx, bytes, n) == 1);
}

void el_sha256_final(struct el_sha256 *h, struct el_digest *ret_digest)
{
    unsigned n = 0;

    EL_ASSERT(EVP_DigestFinal_ex(h->ctx, ret_digest->b, &n) == 1 && n == EL_SHA256_BYTES);
    el_sha256_reset(h);
}

void el_sha256_of(const void *bytes, size_t n, struct el_digest *ret_digest)
{
    unsigned len = 0;

    EL_ASSERT(EVP_Digest(bytes, n, ret_digest->b, &len, EVP_sha256(), NULL) == 1);
}

void el_sha256_tree(struct el_digest *leaves, size_t n, struct el_digest *ret_digest)
{
    EL_ASSERT(n >= 1);
    while (n > 1) {
        size_t parents = 0;

        for (size_t i = 0; i + 1 < n; i += 2) {
            uint8_t pair[2 * EL_SHA256_BYTES];

            memcpy(pair, leaves[i].b, EL_SHA256_BYTES);
            memcpy(pair + EL_SHA256_BYTES, leaves[i + 1].b, EL_SHA256_BYTES);
            el_sha256_of(pair, sizeof(pair), &leaves[parents++]);
        }
        if (n % 2 == 1)
            leaves[parents++] = leaves[n - 1];
        n = parents;
    }
    *ret_digest = leaves[0];
}

void el_hex(const uint8_t *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = '\0';
}

bool el_digest_parse(struct el_str hex, struct el_digest *ret_digest)
{
    struct el_digest d;

    if (hex.n != 2 * sizeof(d.b))
        return false;
    for (size_t i = 0; i < sizeof(d.b); i++) {
        int high = el_hex_digit(hex.p[2 * i]), low = el_hex_digit(hex.p[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        d.b[i] = (uint8_t)(high * 16 + low);
    }
    *ret_digest = d;
    return true;
}

static void hmac(const EVP_MD *md, const void *key, size_t key_bytes, struct el_str message,
                 uint8_t *ret)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    /* OpenSSL takes no NULL for an empty key, and its lengths of keys are int. */
    EL_ASSERT(key_bytes <= INT32_MAX);
    EL_ASSERT(HMAC(md, key == NULL ? "" : key, (int)key_bytes, (const uint8_t *)message.p,
                   message.n, mac, &n) != NULL);
    memcpy(ret, mac, n);
    OPENSSL_cleanse(mac, sizeof(mac));
}

void el_hmac_sha256(const void *key, size_t key_bytes, struct el_str message,
                    uint8_t ret[EL_SHA256_BYTES])
{
    hmac(EVP_sha256(), key, key_bytes, message, ret);
}

void el_hmac_sha1(const void *key, size_t key_bytes, struct el_str message,
                  uint8_t ret[EL_SHA1_BYTES])
{
    hmac(EVP_sha1(), key, key_bytes, message, ret);
}

bool el_mac_is_same(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}
