/* SPDX-License-Identifier: MIT */
/*
 * pour: where the body of an answer becomes the bytes of a fill. exchange.c and source.c pour;
 * cache/fill.c takes. On the way the bytes are held against what the origin says of the whole
 * (checksum.h), so that a client never gets the last of wrong bytes: the piece that completes the
 * object is judged before it is given.
 */
#include "common/log.h"
#include "common/url.h"
#include "storage/job.h"
#include "storage/store.h"

static bool is_whole(struct cache_fill *fill)
{
    return cache_fill_position(fill) == 0 &&
           cache_fill_end(fill) >= cache_object_length(cache_fill_object(fill));
}

static struct store_checksum *new_checksum(struct storage *s, struct cache_fill *fill)
{
    struct cache_object *object = cache_fill_object(fill);
    struct cache_meta *meta = cache_object_meta(object);
    const struct store_checksum_object o = {
        .url = cache_object_url(object),
        .fields = el_fields_view(&meta->fields),
        .is_object_store = meta->from_object_store,
        .length = cache_object_length(object),
    };
    struct store_checksum *c = NULL;

    if (meta->status == 200 && is_whole(fill))
        c = store_checksum_new(&o, s->conf.verify);
    cache_meta_unref(meta);
    return c;
}

void store_pour_begin(struct store_pour *p, struct storage *s, struct cache_fill *fill,
                      struct store_checksum *checksum)
{
    *p = (struct store_pour){ .s = s, .fill = fill, .checksum = checksum };
    if (checksum == NULL)
        p->checksum = new_checksum(s, fill);
    EL_ASSERT(p->checksum == NULL || p->checksum->at == cache_fill_position(fill));
}

void store_pour_end(struct store_pour *p)
{
    store_checksum_free(p->checksum);
    p->checksum = NULL;
    p->fill = NULL;
}

/* The n bytes would complete the object, and it would be wrong. */
static void note_wrong(struct storage *s, struct cache_fill *fill, const struct store_checksum *c,
                       const void *bytes, size_t n, struct el_error *err)
{
    struct el_buf text = { 0 }, url = { 0 };

    el_url_write_shown(&url, cache_object_url(cache_fill_object(fill)));
    store_checksum_describe(c, bytes, n, &text);
    el_fail(err, EL_EHASH, 0, "%.*s", EL_STR_ARG(el_buf_str(&text)));
    el_log(EL_ERROR, EV_ORIGIN_CHECKSUM, "object=%s what=%s", EL_LOG_Q(el_buf_str(&url)),
           EL_LOG_Q(el_buf_str(&text)));
    el_counter_add(s->metrics.sums_wrong, 1);
    el_buf_deinit(&text);
    el_buf_deinit(&url);
}

enum el_err store_pour_judge(struct storage *s, struct cache_fill *fill,
                             const struct store_checksum *checksum, struct el_error *err)
{
    if (checksum == NULL || (checksum->length != UINT64_MAX && checksum->at < checksum->length))
        return EL_OK; /* the end of the object was somebody else's to bring */
    if (!store_checksum_holds(checksum)) {
        note_wrong(s, fill, checksum, "", 0, err);
        return EL_EHASH;
    }
    el_counter_add(s->metrics.sums_right, 1);
    return EL_OK;
}

static bool admits(struct store_pour *p, const void *bytes, size_t n)
{
    if (p->checksum == NULL || store_checksum_admits(p->checksum, bytes, n))
        return true;
    note_wrong(p->s, p->fill, p->checksum, bytes, n, &p->wrong);
    return false;
}

ssize_t store_pour_give(struct store_pour *p, const void *bytes, size_t n)
{
    size_t from = p->taken, skipped = (size_t)el_min_u64(p->skip, n - from);
    const char *rest;
    ssize_t given;

    EL_ASSERT(from <= n);
    p->skip -= skipped;
    from += skipped;
    if (from < n) {
        rest = (const char *)bytes + from;
        given = admits(p, rest, n - from) ? cache_fill_give(p->fill, rest, n - from) : -1;
        if (given < 0)
            return EL_HTTP_ABORT;
        if (p->checksum != NULL)
            store_checksum_update(p->checksum, rest, (size_t)given);
        from += (size_t)given;
    }
    p->taken = from < n ? from : 0;
    return from < n ? EL_HTTP_PAUSE : (ssize_t)n;
}
