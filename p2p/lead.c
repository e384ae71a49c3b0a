/* SPDX-License-Identifier: MIT */
#include "p2p/lead.h"

#include <stdlib.h>

#include "common/base.h"

#define LEAST_TAKERS 3u
/* Twice what is passed on at a time (give_stream.c). */
#define LEAST_LEAD (128 * EL_KIB)
#define LEAD_MS    (2 * P2P_LEAD_LOOK_MS)
#define SAMPLE_MS  100u
/* Then it waits for something else than this node. */
#define STILL_MS 500u

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void note_rate(struct p2p_lead *l, uint64_t now, uint32_t sent)
{
    uint64_t ms = now - l->since, rate;

    if (ms < SAMPLE_MS)
        return;
    rate = sent > l->sent ? (uint64_t)(sent - l->sent) * 1000 / ms : 0;
    l->rate = l->rate == 0 ? rate : (l->rate + rate) / 2;
    l->since = now;
    l->sent = sent;
}

static void begin(struct p2p_lead *l, uint64_t now, uint64_t block)
{
    l->block = block;
    l->began_at = l->since = l->moved_at = now;
    l->sent = l->moved = 0;
}

uint32_t p2p_lead(struct p2p_lead *l, uint64_t now, uint64_t block, uint64_t usual_ms,
                  uint32_t *sent, size_t n)
{
    uint64_t lead, median;

    if (l->block != block || l->began_at == 0)
        begin(l, now, block);
    if (n < LEAST_TAKERS || (usual_ms != 0 && now - l->began_at > usual_ms))
        return P2P_LEAD_ALL;
    qsort(sent, n, sizeof(sent[0]), compare);
    median = sent[(n - 1) / 2];
    if (median > l->moved) {
        l->moved = (uint32_t)median;
        l->moved_at = now;
    }
    note_rate(l, now, (uint32_t)median);
    if (now - l->moved_at > STILL_MS)
        return P2P_LEAD_ALL;
    lead = l->rate * LEAD_MS / 1000;
    return (uint32_t)(median + (lead < LEAST_LEAD ? LEAST_LEAD : lead));
}
