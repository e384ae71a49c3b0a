/* SPDX-License-Identifier: MIT */
/*
 * progress: how far downloads are, and what is asked for most, for people to see: heartbeats tell
 * it (cp_api.h). The engine looks once a second; whoever asks gets what it saw.
 *
 * The bound of a download is F/B: what was missing when it began by the speed of this node's link.
 * That is the fastest second that it has had since it started, or the configured limit if that is
 * more.
 */
#include "p2p/engine.h"

static uint64_t bytes_here(struct p2p_fetch *f)
{
    uint64_t length = cache_object_length(f->object), blocks = 0, bits[16];
    uint64_t n = cache_blocks_of(length);

    for (uint64_t at = 0; at < n; at += P2P_GROUP_BLOCKS) {
        size_t some = (size_t)el_min_u64(n - at, P2P_GROUP_BLOCKS);

        cache_object_map(f->object, at, some, bits);
        for (size_t i = 0; i < (some + 63) / 64; i++)
            blocks += (uint64_t)__builtin_popcountll(bits[i]);
    }
    return el_min_u64(blocks * CACHE_BLOCK_BYTES, length);
}

void p2p_progress_begin(struct p2p_fetch *f)
{
    f->began_ms = p2p_now(f->p);
    f->had_bytes = bytes_here(f);
    f->came_bytes = f->seen_bytes = 0;
}

/* What was here and what came; some of it may have left again since. */
static uint64_t done_bytes(const struct p2p_fetch *f)
{
    return el_min_u64(f->had_bytes + f->came_bytes, cache_object_length(f->object));
}

/* What has come to it since the last look. */
static uint64_t look_at(struct p2p_fetch *f, uint64_t now)
{
    uint64_t came = f->came_bytes - f->seen_bytes;
    uint64_t ms = now - el_max_u64(f->p->progress_ms, f->began_ms);

    f->seen_bytes = f->came_bytes;
    f->rate = ms > 0 ? came * 1000 / ms : 0;
    return came;
}

static uint64_t link_speed(const struct p2p *p)
{
    return el_max_u64(p->fastest, p->conf.download_bps);
}

/* As others may know it: its URL without query; empty when that is too long. */
static void name_object(struct cache_object *o, char ret[DISC_CP_MAX_NAME + 1])
{
    struct el_str url = cache_object_url(o);

    url = el_str_first(url, el_str_find(url, '?'));
    ret[0] = '\0';
    if (url.n <= DISC_CP_MAX_NAME)
        (void)snprintf(ret, DISC_CP_MAX_NAME + 1, "%.*s", (int)url.n, url.p);
}

static void describe(struct p2p_fetch *f, uint64_t now, struct disc_cp_download *ret)
{
    uint64_t speed = link_speed(f->p), length = cache_object_length(f->object);

    *ret = (struct disc_cp_download){
        .total_bytes = length,
        .done_bytes = done_bytes(f),
        .had_bytes = f->had_bytes,
        .elapsed_ms = now - f->began_ms,
        .rate_bytes_s = f->rate,
    };
    if (speed > 0 && length > f->had_bytes)
        ret->bound_ms = (length - f->had_bytes) * 1000 / speed;
    memcpy(ret->object, f->id.object, sizeof(ret->object));
    name_object(f->object, ret->name);
}

/* What is told from now on. */
static void publish(struct p2p *p, uint64_t now)
{
    struct disc_cp_download *v = el_alloc(DISC_CP_MAX_DOWNLOADS * sizeof(*v)), *old;
    size_t n = 0;

    for (size_t i = 0; i < P2P_TABLE; i++) {
        for (struct p2p_fetch *f = p->fetches[i]; f != NULL && n < DISC_CP_MAX_DOWNLOADS;
             f = f->next)
            describe(f, now, &v[n++]);
    }
    EL_ASSERT(pthread_mutex_lock(&p->status_mtx) == 0);
    old = p->downloads;
    p->downloads = v;
    p->n_downloads = n;
    EL_ASSERT(pthread_mutex_unlock(&p->status_mtx) == 0);
    free(old);
}

void p2p_progress_look(struct p2p *p)
{
    uint64_t now = p2p_now(p), came = 0;

    if (p->n_fetches == 0 && p->n_downloads == 0) { /* only this thread changes it */
        p->progress_ms = now;
        return;
    }
    for (size_t i = 0; i < P2P_TABLE; i++) {
        for (struct p2p_fetch *f = p->fetches[i]; f != NULL; f = f->next)
            came += look_at(f, now);
    }
    if (p->progress_ms != 0 && now > p->progress_ms)
        p->fastest = el_max_u64(p->fastest, came * 1000 / (now - p->progress_ms));
    p->progress_ms = now;
    publish(p, now);
}

/* ---- for heartbeats ---- */

static void tell_hottest(struct p2p *p, struct disc_cp_beat *beat)
{
    struct cache_hot v[DISC_CP_MAX_HOTTEST];
    size_t n = cache_hottest(p->cache, v, EL_COUNT(v));

    for (size_t i = 0; i < n; i++) {
        struct disc_cp_hot *hot = &beat->hottest[beat->n_hottest];

        if (p2p_is_shareable(v[i].object)) {
            memcpy(hot->object, cache_object_id(v[i].object)->v, sizeof(hot->object));
            name_object(v[i].object, hot->name);
            hot->bytes = cache_object_length(v[i].object);
            hot->per_hour = v[i].per_hour;
            beat->n_hottest++;
        }
        cache_object_unref(v[i].object);
    }
}

void p2p_tell_objects(struct p2p *p, struct disc_cp_beat *beat)
{
    beat->n_hottest = 0;
    tell_hottest(p, beat);
    EL_ASSERT(pthread_mutex_lock(&p->status_mtx) == 0);
    beat->n_downloads = p->n_downloads;
    if (p->n_downloads > 0)
        memcpy(beat->downloads, p->downloads, p->n_downloads * sizeof(p->downloads[0]));
    EL_ASSERT(pthread_mutex_unlock(&p->status_mtx) == 0);
}
