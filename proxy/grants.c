/* SPDX-License-Identifier: MIT */
/* grants: see grants.h. */
#include "proxy/grants.h"

#include <openssl/rand.h>
#include <pthread.h>

#define SHARDS 16

struct shard {
    pthread_mutex_t mtx;
    struct proxy_grant_store *store; /* under mtx */
} __attribute__((aligned(64)));      /* the shards of two threads share no cache line */

struct proxy_grants {
    uint8_t secret[PROXY_GRANT_SECRET_BYTES]; /* immutable */
    struct shard shards[SHARDS];
};

enum el_err proxy_grants_new(size_t max, struct proxy_grants **ret_grants, struct el_error *err)
{
    struct proxy_grants *g = aligned_alloc(64, sizeof(*g));
    enum el_err rc = EL_OK;

    EL_ASSERT(g != NULL);
    memset(g, 0, sizeof(*g));
    for (size_t i = 0; i < SHARDS; i++) {
        EL_ASSERT(pthread_mutex_init(&g->shards[i].mtx, NULL) == 0);
        if (rc == EL_OK)
            rc = proxy_grant_store_new((max + SHARDS - 1) / SHARDS, &g->shards[i].store, err);
    }
    if (rc == EL_OK && RAND_priv_bytes(g->secret, sizeof(g->secret)) != 1)
        rc = el_fail(err, EL_ESYS, 0, "OpenSSL has no random bytes");
    if (rc != EL_OK) {
        proxy_grants_free(g);
        return rc;
    }
    *ret_grants = g;
    return EL_OK;
}

void proxy_grants_free(struct proxy_grants *g)
{
    if (g == NULL)
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        proxy_grant_store_free(g->shards[i].store);
        (void)pthread_mutex_destroy(&g->shards[i].mtx);
    }
    free(g);
}

struct proxy_grant_hash proxy_grants_hash(const struct proxy_grants *g, struct el_sha256 *h)
{
    return (struct proxy_grant_hash){ h, g->secret };
}

/* A store looks at the first bytes of a holder; this at the last one. */
static struct shard *lock_shard(struct proxy_grants *g, const struct el_digest *holder)
{
    struct shard *s = &g->shards[holder->b[EL_SHA256_BYTES - 1] % SHARDS];

    EL_ASSERT(pthread_mutex_lock(&s->mtx) == 0);
    return s;
}

static void unlock_shard(struct shard *s)
{
    EL_ASSERT(pthread_mutex_unlock(&s->mtx) == 0);
}

void proxy_grants_add(struct proxy_grants *g, const struct el_digest *holder,
                      const struct el_digest *id, uint64_t now_ms, uint64_t until_ms)
{
    struct shard *s = lock_shard(g, holder);

    proxy_grant_store_add(s->store, holder, id, now_ms, until_ms);
    unlock_shard(s);
}

bool proxy_grants_has(struct proxy_grants *g, const struct el_digest *holder,
                      const struct el_digest *id, uint64_t now_ms)
{
    struct shard *s = lock_shard(g, holder);
    bool has = proxy_grant_store_has(s->store, holder, id, now_ms);

    unlock_shard(s);
    return has;
}

void proxy_grants_drop(struct proxy_grants *g, const struct el_digest *holder)
{
    struct shard *s = lock_shard(g, holder);

    (void)proxy_grant_store_drop(s->store, holder);
    unlock_shard(s);
}

size_t proxy_grants_count(struct proxy_grants *g)
{
    size_t n = 0;

    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &g->shards[i];

        EL_ASSERT(pthread_mutex_lock(&s->mtx) == 0);
        n += proxy_grant_store_count(s->store);
        unlock_shard(s);
    }
    return n;
}
