/* SPDX-License-Identifier: MIT */
/*
 * tell: what the listener hears: other nodes are told what this one has. Only versions with an id
 * have names there; the rest is of no interest to others.
 */
#include "cache/object.h"

void cache_tell_block(struct cache_object *o, uint64_t block, const struct el_digest *digest)
{
    struct cache_listener *l = o->cache->conf.listener;

    if (l != NULL && o->has_id)
        l->ops->block(l, o, block, digest);
}

void cache_tell_lost(struct cache *c, const struct cache_object_id *id, uint64_t chunk)
{
    struct cache_listener *l = c->conf.listener;

    if (l != NULL)
        l->ops->lost(l, id, chunk);
}

void cache_tell_published(struct cache_object *o)
{
    struct cache_listener *l = o->cache->conf.listener;

    if (l != NULL && o->has_id)
        l->ops->published(l, o);
}

void cache_tell_killed(struct cache_object *o)
{
    struct cache_listener *l = o->cache->conf.listener;

    if (l != NULL && o->has_id)
        l->ops->killed(l, o);
}
