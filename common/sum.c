/* SPDX-License-Identifier: MIT */
/* sum: see sum.h. */
#include "common/sum.h"

#include <openssl/evp.h>

#include "common/crc.h"

struct kind {
    size_t bytes;
    const char *name;     /* OpenSSL's; NULL: a CRC */
    enum el_crc_kind crc; /* then */
};

static const struct kind kinds[EL_SUM_KINDS] = {
    [EL_SUM_CRC64_NVME] = { 8, NULL, EL_CRC_64_NVME },
    [EL_SUM_CRC64_XZ] = { 8, NULL, EL_CRC_64_XZ },
    [EL_SUM_CRC32C] = { 4, NULL, EL_CRC_32C },
    [EL_SUM_CRC32] = { 4, NULL, EL_CRC_32 },
    [EL_SUM_SHA256] = { 32, "SHA256", EL_CRC_KINDS },
    [EL_SUM_SHA1] = { 20, "SHA1", EL_CRC_KINDS },
    [EL_SUM_SHA512] = { 64, "SHA512", EL_CRC_KINDS },
    [EL_SUM_MD5] = { 16, "MD5", EL_CRC_KINDS },
};

struct el_sum {
    const struct kind *kind;
    uint64_t crc;
    EVP_MD *md; /* NULL: a CRC */
    EVP_MD_CTX *ctx;
};

size_t el_sum_bytes(enum el_sum_kind kind)
{
    return kinds[kind].bytes;
}

struct el_sum *el_sum_new(enum el_sum_kind kind)
{
    struct el_sum *s = el_new(struct el_sum);

    s->kind = &kinds[kind];
    if (s->kind->name == NULL)
        return s;
    s->md = EVP_MD_fetch(NULL, s->kind->name, NULL);
    s->ctx = EVP_MD_CTX_new();
    EL_ASSERT(s->ctx != NULL);
    if (s->md == NULL || EVP_DigestInit_ex2(s->ctx, s->md, NULL) != 1) {
        el_sum_free(s);
        return NULL;
    }
    return s;
}

void el_sum_free(struct el_sum *s)
{
    if (s == NULL)
        return;
    EVP_MD_CTX_free(s->ctx);
    EVP_MD_free(s->md);
    free(s);
}

void el_sum_update(struct el_sum *s, const void *bytes, size_t n)
{
    if (s->ctx == NULL)
        s->crc = el_crc(s->kind->crc, s->crc, bytes, n);
    else
        EL_ASSERT(EVP_DigestUpdate(s->ctx, bytes, n) == 1);
}

static void write_crc(uint64_t crc, size_t bytes, uint8_t *out)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(crc >> (8 * (bytes - 1 - i)));
}

void el_sum_peek(const struct el_sum *s, const void *more, size_t n, uint8_t ret[EL_SUM_MAX_BYTES])
{
    EVP_MD_CTX *copy;

    if (s->ctx == NULL) {
        write_crc(el_crc(s->kind->crc, s->crc, more, n), s->kind->bytes, ret);
        return;
    }
    copy = EVP_MD_CTX_new();
    EL_ASSERT(copy != NULL && EVP_MD_CTX_copy_ex(copy, s->ctx) == 1);
    EL_ASSERT(EVP_DigestUpdate(copy, more, n) == 1 && EVP_DigestFinal_ex(copy, ret, NULL) == 1);
    EVP_MD_CTX_free(copy);
}
