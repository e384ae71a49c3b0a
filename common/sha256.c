/* SPDX-License-Identifier: MIT */
/* sha256: EVP digests; a failure of OpenSSL's SHA-256 is a broken installation and aborts. */
#include "common/sha256.h"

#include <openssl/evp.h>

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
