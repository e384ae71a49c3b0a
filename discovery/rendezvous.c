/* SPDX-License-Identifier: MIT */
/* rendezvous: see rendezvous.h. */
#include "discovery/rendezvous.h"

#include "common/str.h"

struct draw {
    uint64_t number, member;
    size_t index;
};

/* The finaliser of MurmurHash3 (public domain): every bit of the input moves every bit of it. */
static inline uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

/* Two members that draw the same are told apart by name, so that their order does not matter. */
static bool beats(const struct draw *a, const struct draw *b)
{
    return a->number != b->number ? a->number > b->number : a->member > b->member;
}

static void enter(struct draw best[DISC_OWNERS], size_t n, struct draw d)
{
    size_t at = n;

    while (at > 0 && beats(&d, &best[at - 1])) {
        if (at < DISC_OWNERS)
            best[at] = best[at - 1];
        at--;
    }
    if (at < DISC_OWNERS)
        best[at] = d;
}

size_t disc_rendezvous(const uint8_t key[DISC_KEY_BYTES], const uint64_t *member, size_t n,
                       size_t ret_index[DISC_OWNERS])
{
    uint64_t salt = el_str_siphash((struct el_str){ (const char *)key, DISC_KEY_BYTES }, 0, 0);
    struct draw best[DISC_OWNERS] = { 0 };
    size_t found = el_min_size(n, DISC_OWNERS);

    for (size_t i = 0; i < n; i++) {
        uint64_t number = mix(member[i] ^ salt);

        /* Nearly always: one comparison. */
        if (i >= DISC_OWNERS && number < best[DISC_OWNERS - 1].number)
            continue;
        enter(best, el_min_size(i, DISC_OWNERS), (struct draw){ number, member[i], i });
    }
    for (size_t i = 0; i < found; i++)
        ret_index[i] = best[i].index;
    return found;
}
