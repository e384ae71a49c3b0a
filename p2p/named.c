/* SPDX-License-Identifier: MIT */
/* named: see named.h. */
#include "p2p/named.h"

#include <string.h>

static bool is_fresh(const struct p2p_named_group *g, uint64_t now)
{
    return g->asked_ms != 0 && now - g->asked_ms < P2P_NAMED_MS;
}

static bool is_of(const struct p2p_named_group *g, const struct p2p_group *group)
{
    return g->group.number == group->number &&
           memcmp(g->group.version, group->version, sizeof(group->version)) == 0;
}

/* NULL: nothing of late. */
static struct p2p_named_group *find(struct p2p_named *s, uint64_t now,
                                    const struct p2p_group *group)
{
    for (size_t i = 0; i < P2P_NAMED_GROUPS; i++) {
        if (is_fresh(&s->groups[i], now) && is_of(&s->groups[i], group))
            return &s->groups[i];
    }
    return NULL;
}

/* NULL: all places are taken. */
static struct p2p_named_group *add(struct p2p_named *s, uint64_t now, const struct p2p_group *group)
{
    for (size_t i = 0; i < P2P_NAMED_GROUPS; i++) {
        struct p2p_named_group *g = &s->groups[i];

        if (is_fresh(g, now))
            continue;
        *g = (struct p2p_named_group){ .group = *group, .asked_ms = now != 0 ? now : 1 };
        return g;
    }
    return NULL;
}

uint64_t p2p_named_chunks(const struct p2p_blockset *blocks)
{
    const unsigned per_word = 64 / (P2P_GROUP_BLOCKS / P2P_GROUP_CHUNKS);
    uint64_t chunks = 0;

    for (unsigned c = 0; c < P2P_GROUP_CHUNKS; c++) {
        if ((blocks->w[c / per_word] >> (c % per_word * 16) & 0xffff) != 0)
            chunks |= (uint64_t)1 << c;
    }
    return chunks;
}

uint64_t p2p_named_want(struct p2p_named *s, uint64_t now, const struct p2p_group *group,
                        uint64_t chunks)
{
    struct p2p_named_group *g = find(s, now, group);
    uint64_t want;

    if (g == NULL)
        g = chunks != 0 ? add(s, now, group) : NULL;
    if (g == NULL)
        return 0;
    want = chunks & ~g->asked;
    g->asked |= chunks;
    return want;
}

static struct p2p_taker *node_of(struct p2p_named_group *g, uint64_t node)
{
    for (size_t i = 0; i < g->n; i++) {
        if (g->nodes[i].node == node)
            return &g->nodes[i];
    }
    if (g->n == P2P_NAMED_NODES)
        return NULL;
    g->nodes[g->n] = (struct p2p_taker){ .node = node };
    return &g->nodes[g->n++];
}

bool p2p_named_heard(struct p2p_named *s, uint64_t now, const struct p2p_group *group,
                     unsigned chunk, uint64_t node)
{
    struct p2p_named_group *g = find(s, now, group);
    struct p2p_taker *t;

    if (g == NULL || chunk >= P2P_GROUP_CHUNKS || (g->asked >> chunk & 1) == 0)
        return false;
    t = node_of(g, node);
    if (t == NULL)
        return false;
    t->whole |= (uint64_t)1 << chunk;
    return true;
}

size_t p2p_named_nodes(const struct p2p_named *s, uint64_t now, const struct p2p_group *group,
                       const struct p2p_taker **ret)
{
    for (size_t i = 0; i < P2P_NAMED_GROUPS; i++) {
        const struct p2p_named_group *g = &s->groups[i];

        if (is_fresh(g, now) && is_of(g, group)) {
            *ret = g->nodes;
            return g->n;
        }
    }
    return 0;
}
