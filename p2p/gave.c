/* SPDX-License-Identifier: MIT */
/* gave: see gave.h. A table of a few versions, searched from end to end: it is asked rarely, and
 * written to once for each block. */
#include "p2p/gave.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "p2p/payload.h"

#define VERSIONS 64u
#define PEERS    32u

struct peer {
    uint64_t node, bytes;
    char name[P2P_MAX_NAME + 1];
};

struct version {
    uint8_t id[16];
    uint64_t began; /* a count; 0: there is none */
    struct peer peers[PEERS];
    size_t n;
};

struct p2p_gave {
    pthread_mutex_t mtx; /* leaf */
    /* under mtx */
    uint64_t count;
    struct version v[VERSIONS];
};

static void lock(struct p2p_gave *g)
{
    EL_ASSERT(pthread_mutex_lock(&g->mtx) == 0);
}

static void unlock(struct p2p_gave *g)
{
    EL_ASSERT(pthread_mutex_unlock(&g->mtx) == 0);
}

struct p2p_gave *p2p_gave_new(void)
{
    struct p2p_gave *g = el_new(struct p2p_gave);

    EL_ASSERT(pthread_mutex_init(&g->mtx, NULL) == 0);
    return g;
}

void p2p_gave_free(struct p2p_gave *g)
{
    if (g == NULL)
        return;
    EL_ASSERT(pthread_mutex_destroy(&g->mtx) == 0);
    free(g);
}

static struct version *find_locked(struct p2p_gave *g, const uint8_t id[16])
{
    for (size_t i = 0; i < VERSIONS; i++) {
        if (g->v[i].began != 0 && memcmp(g->v[i].id, id, sizeof(g->v[i].id)) == 0)
            return &g->v[i];
    }
    return NULL;
}

static struct version *oldest_locked(struct p2p_gave *g)
{
    struct version *oldest = &g->v[0];

    for (size_t i = 1; i < VERSIONS; i++) {
        if (g->v[i].began < oldest->began)
            oldest = &g->v[i];
    }
    return oldest;
}

void p2p_gave_begin(struct p2p_gave *g, const uint8_t version[16])
{
    struct version *v;

    lock(g);
    v = find_locked(g, version);
    if (v == NULL)
        v = oldest_locked(g);
    memcpy(v->id, version, sizeof(v->id));
    v->began = ++g->count;
    v->n = 0;
    unlock(g);
}

/* NULL: there are too many. */
static struct peer *peer_of(struct version *v, uint64_t node, const char *name)
{
    for (size_t i = 0; i < v->n; i++) {
        if (v->peers[i].node == node)
            return &v->peers[i];
    }
    if (v->n == PEERS)
        return NULL;
    v->peers[v->n] = (struct peer){ .node = node };
    (void)snprintf(v->peers[v->n].name, sizeof(v->peers[v->n].name), "%s", name);
    return &v->peers[v->n++];
}

void p2p_gave_note(struct p2p_gave *g, const uint8_t version[16], uint64_t node, const char *name,
                   size_t bytes)
{
    struct version *v;
    struct peer *one = NULL;

    lock(g);
    v = find_locked(g, version);
    if (v != NULL)
        one = peer_of(v, node, name);
    if (one != NULL)
        one->bytes += bytes;
    unlock(g);
}

static int by_bytes(const void *a, const void *b)
{
    uint64_t x = ((const struct peer *)a)->bytes, y = ((const struct peer *)b)->bytes;

    return x < y ? 1 : x > y ? -1 : 0;
}

void p2p_gave_list(struct p2p_gave *g, const uint8_t version[16], json_t *list)
{
    struct peer peers[PEERS];
    const struct version *v;
    size_t n = 0;

    lock(g);
    v = find_locked(g, version);
    if (v != NULL) {
        n = v->n;
        memcpy(peers, v->peers, n * sizeof(peers[0]));
    }
    unlock(g);
    qsort(peers, n, sizeof(peers[0]), by_bytes);
    for (size_t i = 0; i < n; i++) {
        json_t *one = el_json_append_child(list);

        el_json_add_str(one, "name", el_str_of(peers[i].name));
        el_json_add_u64(one, "bytes", peers[i].bytes);
    }
}
