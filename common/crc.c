/* SPDX-License-Identifier: MIT */
/*
 * crc: see crc.h. A message is a polynomial over GF(2), its first bit (the lowest of the first
 * byte) the highest power; the check is what is left of it modulo the kind's polynomial P.
 *
 * Folding: 16 bytes X in front of a distance of D bits contribute X * x^D, which modulo P is the
 * sum of two 64-bit products. So four registers run over the message 64 bytes at a time and are
 * then folded into one; its 16 bytes stand for all that came before, and the tables take it from
 * there. A product of two reflected numbers comes out shifted by one bit, for which the constants
 * are one power short.
 */
#include "common/crc.h"

#include <pthread.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define HAS_PCLMUL 1
#endif

#define SLICES 8

struct kind {
    uint64_t poly; /* reflected, without its highest power */
    unsigned bits;
};

static const struct kind kinds[EL_CRC_KINDS] = {
    [EL_CRC_32] = { 0xedb88320u, 32 },
    [EL_CRC_32C] = { 0x82f63b78u, 32 },
    [EL_CRC_64_NVME] = { 0x9a6c9329ac4bc9b5u, 64 },
    [EL_CRC_64_XZ] = { 0xc96c5795d7870f42u, 64 },
};

/* Made once: tables[k][0] advances by a byte, tables[k][i] by a byte and i zeros. */
static uint64_t tables[EL_CRC_KINDS][SLICES][256];
static uint64_t fold_far[EL_CRC_KINDS][2], fold_near[EL_CRC_KINDS][2]; /* by 512 and 128 bits */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint64_t times_x(const struct kind *k, uint64_t v)
{
    return (v & 1) != 0 ? v >> 1 ^ k->poly : v >> 1;
}

static void make_table(enum el_crc_kind kind)
{
    uint64_t(*t)[256] = tables[kind];

    for (unsigned b = 0; b < 256; b++) {
        t[0][b] = b;
        for (unsigned i = 0; i < 8; i++)
            t[0][b] = times_x(&kinds[kind], t[0][b]);
    }
    for (unsigned s = 1; s < SLICES; s++) {
        for (unsigned b = 0; b < 256; b++)
            t[s][b] = t[s - 1][b] >> 8 ^ t[0][t[s - 1][b] & 0xff];
    }
}

/* x^n modulo P, as the multiplier has it: the highest of 64 bits is x^0. */
static uint64_t power_of_x(const struct kind *k, unsigned n)
{
    uint64_t v = (uint64_t)1 << (k->bits - 1);

    while (n-- > 0)
        v = times_x(k, v);
    return v << (64 - k->bits);
}

static void make_all(void)
{
    for (unsigned i = 0; i < EL_CRC_KINDS; i++) {
        make_table((enum el_crc_kind)i);
        fold_far[i][0] = power_of_x(&kinds[i], 512 + 63);
        fold_far[i][1] = power_of_x(&kinds[i], 512 - 1);
        fold_near[i][0] = power_of_x(&kinds[i], 128 + 63);
        fold_near[i][1] = power_of_x(&kinds[i], 128 - 1);
    }
}

static uint64_t ones(enum el_crc_kind kind)
{
    return UINT64_MAX >> (64 - kinds[kind].bits);
}

/* Little-endian, wherever it runs. */
static uint64_t load(const uint8_t *p)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 8; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* The register, not inverted, after n bytes. */
static uint64_t run_table(enum el_crc_kind kind, uint64_t crc, const uint8_t *p, size_t n)
{
    uint64_t(*t)[256] = tables[kind], v;

    for (; n >= 8; p += 8, n -= 8) {
        v = load(p) ^ crc;
        crc = 0;
        for (unsigned i = 0; i < 8; i++)
            crc ^= t[7 - i][v >> (8 * i) & 0xff];
    }
    for (; n > 0; p++, n--)
        crc = crc >> 8 ^ t[0][(crc ^ *p) & 0xff];
    return crc;
}

#ifdef HAS_PCLMUL
#define FOLDED __attribute__((target("pclmul,sse2")))

FOLDED static __m128i fold(__m128i x, __m128i by, __m128i next)
{
    __m128i low = _mm_clmulepi64_si128(x, by, 0x00), high = _mm_clmulepi64_si128(x, by, 0x11);

    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

FOLDED static __m128i load_16(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

FOLDED static __m128i constants(const uint64_t by[2])
{
    return _mm_set_epi64x((long long)by[1], (long long)by[0]);
}

/* n >= 64. */
FOLDED static uint64_t run_folded(enum el_crc_kind kind, uint64_t crc, const uint8_t *p, size_t n)
{
    __m128i far = constants(fold_far[kind]), near = constants(fold_near[kind]), x[4];
    uint8_t rest[16];

    for (unsigned i = 0; i < 4; i++)
        x[i] = load_16(p + 16 * i);
    x[0] = _mm_xor_si128(x[0], _mm_set_epi64x(0, (long long)crc));
    for (p += 64, n -= 64; n >= 64; p += 64, n -= 64) {
        for (unsigned i = 0; i < 4; i++)
            x[i] = fold(x[i], far, load_16(p + 16 * i));
    }
    for (unsigned i = 1; i < 4; i++)
        x[0] = fold(x[0], near, x[i]);
    for (; n >= 16; p += 16, n -= 16)
        x[0] = fold(x[0], near, load_16(p));
    _mm_storeu_si128((__m128i *)(void *)rest, x[0]);
    return run_table(kind, run_table(kind, 0, rest, sizeof(rest)), p, n);
}
#endif

uint64_t el_crc_by_table(enum el_crc_kind kind, uint64_t crc, const void *bytes, size_t n)
{
    EL_ASSERT(pthread_once(&once, make_all) == 0);
    return run_table(kind, crc ^ ones(kind), bytes, n) ^ ones(kind);
}

uint64_t el_crc(enum el_crc_kind kind, uint64_t crc, const void *bytes, size_t n)
{
#ifdef HAS_PCLMUL
    if (n >= 64 && __builtin_cpu_supports("pclmul")) {
        EL_ASSERT(pthread_once(&once, make_all) == 0);
        return run_folded(kind, crc ^ ones(kind), bytes, n) ^ ones(kind);
    }
#endif
    return el_crc_by_table(kind, crc, bytes, n);
}
