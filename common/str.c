/* SPDX-License-Identifier: MIT */
/* str: slices of bytes, ASCII rules only, no locale. */
#include "common/str.h"

#include <pthread.h>
#include <sys/random.h>

static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

struct el_str el_str_of(const char *s)
{
    return (struct el_str){ s, s == NULL ? 0 : strlen(s) };
}

bool el_str_eq(struct el_str a, struct el_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool el_str_ieq(struct el_str a, struct el_str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (fold(a.p[i]) != fold(b.p[i]))
            return false;
    }
    return true;
}

bool el_str_starts(struct el_str s, struct el_str prefix)
{
    return s.n >= prefix.n && el_str_eq(el_str_first(s, prefix.n), prefix);
}

bool el_str_istarts(struct el_str s, struct el_str prefix)
{
    return s.n >= prefix.n && el_str_ieq(el_str_first(s, prefix.n), prefix);
}

static bool is_ows(char c)
{
    return c == ' ' || c == '\t';
}

struct el_str el_str_trim(struct el_str s)
{
    while (s.n > 0 && is_ows(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_ows(s.p[s.n - 1]))
        s.n--;
    return s;
}

size_t el_str_find(struct el_str s, char byte)
{
    const char *at = s.n > 0 ? memchr(s.p, byte, s.n) : NULL;

    return at == NULL ? s.n : (size_t)(at - s.p);
}

struct el_str el_str_from(struct el_str s, size_t from)
{
    size_t at = el_min_size(from, s.n);

    return (struct el_str){ s.n > 0 ? s.p + at : s.p, s.n - at };
}

struct el_str el_str_first(struct el_str s, size_t n)
{
    return (struct el_str){ s.p, el_min_size(n, s.n) };
}

bool el_str_split(struct el_str *rest, char sep, struct el_str *ret_part)
{
    size_t at;

    if (rest->p == NULL)
        return false;
    at = el_str_find(*rest, sep);
    *ret_part = el_str_first(*rest, at);
    /* A separator at the very end leaves one more, empty part; without one nothing is left. */
    *rest = at == rest->n ? (struct el_str){ NULL, 0 }
                          : (struct el_str){ rest->p + at + 1, rest->n - at - 1 };
    return true;
}

bool el_str_u64(struct el_str s, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        uint64_t digit = (uint64_t)(unsigned char)s.p[i] - '0';

        if (digit > 9 || v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    if (v > max)
        return false;
    *ret = v;
    return true;
}

int el_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        return (c | 0x20) - 'a' + 10;
    return -1;
}

/* ---- SipHash-2-4: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012 ---- */

static uint64_t hash_key[2];
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void draw_key(void)
{
    EL_ASSERT(getrandom(hash_key, sizeof(hash_key), 0) == (ssize_t)sizeof(hash_key));
}

static uint64_t rotl(uint64_t x, unsigned b)
{
    return (x << b) | (x >> (64 - b));
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t m)
{
    v[3] ^= m;
    sip_round(v);
    sip_round(v);
    v[0] ^= m;
}

uint64_t el_str_siphash(struct el_str s, uint64_t k0, uint64_t k1)
{
    uint64_t v[4] = { k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                      k1 ^ 0x7465646279746573u };
    uint64_t m, last = (uint64_t)s.n << 56;
    size_t i;

    for (i = 0; i + 8 <= s.n; i += 8) {
        memcpy(&m, s.p + i, 8);
        sip_word(v, m);
    }
    for (size_t k = 0; i + k < s.n; k++)
        last |= (uint64_t)(unsigned char)s.p[i + k] << (8 * k);
    sip_word(v, last);
    v[2] ^= 0xff;
    for (int k = 0; k < 4; k++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t el_str_hash(struct el_str s)
{
    (void)pthread_once(&hash_once, draw_key);
    return el_str_siphash(s, hash_key[0], hash_key[1]);
}
