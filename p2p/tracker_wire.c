/* SPDX-License-Identifier: MIT */
/* tracker_wire: see tracker_wire.h; docs/protocol.md has the layouts. */
#include "p2p/tracker_wire.h"

#include "common/bytes.h"

#define EXACT        0x01u
#define LEAVES       0x02u
#define AGAIN        0x04u
#define COMPLAINS    0x08u
#define IS_OK        0x01u
#define IS_STILL     0x02u
#define IS_TAKING    0x01u
#define RECORD_EXTRA 12u /* of Found, for each record */

static enum el_err refuse(const char *what, struct el_error *err)
{
    return el_fail(err, EL_EPROTO, 0, "%s of a tracker: nothing like that can be meant", what);
}

/* ---- blocks ---- */

static size_t words_of(uint32_t blocks)
{
    return (blocks + 63) / 64;
}

static void put_blocks(struct el_buf *out, uint32_t blocks, const struct p2p_blockset *s)
{
    for (size_t i = 0; i < words_of(blocks); i++)
        el_bytes_add_u64(out, s->w[i]);
}

static void take_blocks(struct el_bytes *in, uint32_t blocks, struct p2p_blockset *ret)
{
    *ret = (struct p2p_blockset){ 0 };
    for (size_t i = 0; i < words_of(blocks); i++)
        ret->w[i] = el_bytes_u64(in);
}

/* ---- Locate, the question ---- */

static void put_end(struct el_buf *out, const struct p2p_lease_end *e)
{
    el_bytes_add_u32(out, e->id);
    el_bytes_add_u16(out, e->first);
    el_bytes_add_u8(out, e->count);
    el_bytes_add_u8(out, e->done);
    el_bytes_add_u8(out, e->still ? IS_STILL : e->ok ? IS_OK : 0);
}

void p2p_locate_put(struct el_buf *out, const struct p2p_locate *l)
{
    EL_ASSERT(p2p_locate_is_fine(l));
    el_buf_add(out, l->group.version, sizeof(l->group.version));
    el_bytes_add_u32(out, l->group.number);
    el_bytes_add_u16(out, (uint16_t)l->blocks);
    el_bytes_add_u8(out, (uint8_t)((l->exact ? EXACT : 0u) | (l->leaves ? LEAVES : 0u) |
                                   (l->again ? AGAIN : 0u) | (l->complains ? COMPLAINS : 0u)));
    el_bytes_add_u8(out, l->leases);
    el_bytes_add_u8(out, l->peers);
    el_bytes_add_u8(out, l->others);
    put_blocks(out, l->blocks, &l->have);
    put_blocks(out, l->blocks, &l->want);
    el_bytes_add_u8(out, (uint8_t)l->n_ended);
    for (size_t i = 0; i < l->n_ended; i++)
        put_end(out, &l->ended[i]);
}

static bool take_end(struct el_bytes *in, struct p2p_lease_end *ret)
{
    uint8_t how;

    ret->id = el_bytes_u32(in);
    ret->first = el_bytes_u16(in);
    ret->count = el_bytes_u8(in);
    ret->done = el_bytes_u8(in);
    how = el_bytes_u8(in);
    ret->still = how == IS_STILL;
    ret->ok = how == IS_OK || ret->still;
    return how <= IS_STILL;
}

static bool take_ends(struct el_bytes *in, struct p2p_locate *ret)
{
    bool is_fine = true;

    ret->n_ended = el_bytes_u8(in);
    if (ret->n_ended > P2P_MAX_RUNS)
        return false;
    for (size_t i = 0; i < ret->n_ended; i++)
        is_fine = take_end(in, &ret->ended[i]) && is_fine;
    return is_fine;
}

enum el_err p2p_locate_decode(struct el_str body, struct p2p_locate *ret, struct el_error *err)
{
    struct el_bytes in = el_bytes_of(body);
    uint8_t flags;

    *ret = (struct p2p_locate){ 0 };
    el_bytes_copy(&in, ret->group.version, sizeof(ret->group.version));
    ret->group.number = el_bytes_u32(&in);
    ret->blocks = el_bytes_u16(&in);
    flags = el_bytes_u8(&in);
    ret->exact = (flags & EXACT) != 0;
    ret->leaves = (flags & LEAVES) != 0;
    ret->again = (flags & AGAIN) != 0;
    ret->complains = (flags & COMPLAINS) != 0;
    ret->leases = el_bytes_u8(&in);
    ret->peers = el_bytes_u8(&in);
    ret->others = el_bytes_u8(&in);
    if (ret->blocks > P2P_GROUP_BLOCKS)
        return refuse("question", err);
    take_blocks(&in, ret->blocks, &ret->have);
    take_blocks(&in, ret->blocks, &ret->want);
    if (!take_ends(&in, ret) || !el_bytes_is_end(&in) ||
        (flags & ~(EXACT | LEAVES | AGAIN | COMPLAINS)) != 0 || !p2p_locate_is_fine(ret))
        return refuse("question", err);
    return EL_OK;
}

/* ---- Located, the answer ---- */

static void put_lease(struct el_buf *out, const struct p2p_lease *l)
{
    el_bytes_add_u32(out, l->id);
    el_bytes_add_u16(out, l->first);
    el_bytes_add_u8(out, l->count);
    el_bytes_add_u32(out, l->ttl_ms);
}

static void put_taker(struct el_buf *out, const struct p2p_taker *k)
{
    el_bytes_add_u64(out, k->node);
    el_bytes_add_u64(out, k->whole);
    el_bytes_add_u64(out, k->part);
    el_bytes_add_u8(out, k->is_taking ? IS_TAKING : 0);
}

void p2p_located_put(struct el_buf *out, uint32_t blocks, const struct p2p_located *l)
{
    EL_ASSERT(p2p_located_is_fine(l, blocks));
    el_bytes_add_u8(out, (uint8_t)l->n_leases);
    for (size_t i = 0; i < l->n_leases; i++)
        put_lease(out, &l->leases[i]);
    el_bytes_add_u8(out, (uint8_t)l->n_cuts);
    for (size_t i = 0; i < l->n_cuts; i++) {
        el_bytes_add_u32(out, l->cuts[i].id);
        el_bytes_add_u8(out, l->cuts[i].count);
    }
    el_bytes_add_u8(out, (uint8_t)l->n_takers);
    for (size_t i = 0; i < l->n_takers; i++)
        put_taker(out, &l->takers[i]);
    put_blocks(out, blocks, &l->coming);
    el_bytes_add_u16(out, l->taking);
    el_bytes_add_u32(out, l->again_ms);
}

static bool take_leases(struct el_bytes *in, struct p2p_located *ret)
{
    ret->n_leases = el_bytes_u8(in);
    if (ret->n_leases > P2P_MAX_RUNS)
        return false;
    for (size_t i = 0; i < ret->n_leases; i++) {
        struct p2p_lease *l = &ret->leases[i];

        l->id = el_bytes_u32(in);
        l->first = el_bytes_u16(in);
        l->count = el_bytes_u8(in);
        l->ttl_ms = el_bytes_u32(in);
    }
    return true;
}

static bool take_cuts(struct el_bytes *in, struct p2p_located *ret)
{
    ret->n_cuts = el_bytes_u8(in);
    if (ret->n_cuts > P2P_MAX_RUNS)
        return false;
    for (size_t i = 0; i < ret->n_cuts; i++) {
        ret->cuts[i].id = el_bytes_u32(in);
        ret->cuts[i].count = el_bytes_u8(in);
    }
    return true;
}

static bool take_takers(struct el_bytes *in, struct p2p_located *ret)
{
    uint8_t flags = 0;

    ret->n_takers = el_bytes_u8(in);
    if (ret->n_takers > P2P_MAX_NAMED)
        return false;
    for (size_t i = 0; i < ret->n_takers; i++) {
        struct p2p_taker *k = &ret->takers[i];
        uint8_t f;

        k->node = el_bytes_u64(in);
        k->whole = el_bytes_u64(in);
        k->part = el_bytes_u64(in);
        f = el_bytes_u8(in);
        k->is_taking = f == IS_TAKING;
        flags |= f;
    }
    return flags <= IS_TAKING;
}

enum el_err p2p_located_decode(struct el_str body, uint32_t blocks, struct p2p_located *ret,
                               struct el_error *err)
{
    struct el_bytes in = el_bytes_of(body);

    EL_ASSERT(blocks >= 1 && blocks <= P2P_GROUP_BLOCKS);
    *ret = (struct p2p_located){ 0 };
    if (!take_leases(&in, ret) || !take_cuts(&in, ret) || !take_takers(&in, ret))
        return refuse("answer", err);
    take_blocks(&in, blocks, &ret->coming);
    ret->taking = el_bytes_u16(&in);
    ret->again_ms = el_bytes_u32(&in);
    if (!el_bytes_is_end(&in) || !p2p_located_is_fine(ret, blocks))
        return refuse("answer", err);
    return EL_OK;
}

/* ---- URLs ---- */

/* It goes into logs. */
bool p2p_url_is_fine(struct el_str url)
{
    for (size_t i = 0; i < url.n; i++) {
        unsigned char c = (unsigned char)url.p[i];

        if (c <= 0x20 || c == 0x7f)
            return false;
    }
    return url.n > 0 && url.n <= P2P_MAX_URL;
}

static void put_url(struct el_buf *out, struct el_str url)
{
    EL_ASSERT(p2p_url_is_fine(url));
    el_bytes_add_u16(out, (uint16_t)url.n);
    el_buf_add_str(out, url);
}

/* The last of a body. */
static bool take_url(struct el_bytes *in, struct el_str *ret)
{
    *ret = el_bytes_str(in, el_bytes_u16(in));
    return el_bytes_is_end(in) && p2p_url_is_fine(*ret);
}

void p2p_find_put(struct el_buf *out, struct el_str url, uint64_t max_age_ms)
{
    el_bytes_add_u64(out, max_age_ms);
    put_url(out, url);
}

enum el_err p2p_find_decode(struct el_str body, struct el_str *ret_url, uint64_t *ret_max_age_ms,
                            struct el_error *err)
{
    struct el_bytes in = el_bytes_of(body);

    *ret_max_age_ms = el_bytes_u64(&in);
    return take_url(&in, ret_url) ? EL_OK : refuse("question about a URL", err);
}

void p2p_release_put(struct el_buf *out, struct el_str url, enum p2p_release why)
{
    el_bytes_add_u8(out, (uint8_t)why);
    put_url(out, url);
}

enum el_err p2p_release_decode(struct el_str body, struct el_str *ret_url,
                               enum p2p_release *ret_why, struct el_error *err)
{
    struct el_bytes in = el_bytes_of(body);
    uint8_t why = el_bytes_u8(&in);

    if (!take_url(&in, ret_url) || (why != P2P_RELEASE_FAILED && why != P2P_RELEASE_ALONE))
        return refuse("statement about a URL", err);
    *ret_why = (enum p2p_release)why;
    return EL_OK;
}

void p2p_forget_put(struct el_buf *out, struct el_str url)
{
    put_url(out, url);
}

enum el_err p2p_forget_decode(struct el_str body, struct el_str *ret_url, struct el_error *err)
{
    struct el_bytes in = el_bytes_of(body);

    return take_url(&in, ret_url) ? EL_OK : refuse("statement about a URL", err);
}

/* ---- records ---- */

static bool is_record(const struct p2p_record *r)
{
    return r->bytes.n > 0 && r->bytes.n <= P2P_MAX_RECORD && r->age_ms <= P2P_MAX_AGE_MS;
}

void p2p_record_put(struct el_buf *out, const struct p2p_record *r)
{
    EL_ASSERT(is_record(r));
    el_bytes_add_u64(out, r->age_ms);
    el_buf_add_str(out, r->bytes);
}

enum el_err p2p_record_decode(struct el_str body, struct p2p_record *ret, struct el_error *err)
{
    struct el_bytes in = el_bytes_of(body);

    ret->age_ms = el_bytes_u64(&in);
    ret->bytes = in.rest;
    return !in.is_bad && is_record(ret) ? EL_OK : refuse("record", err);
}

static size_t how_many_fit(const struct p2p_found *f)
{
    size_t room = P2P_MAX_BODY - 2, n = 0;

    while (n < f->n && f->records[n].bytes.n + RECORD_EXTRA <= room)
        room -= f->records[n++].bytes.n + RECORD_EXTRA;
    return n;
}

void p2p_found_put(struct el_buf *out, const struct p2p_found *f)
{
    size_t n = how_many_fit(f);

    EL_ASSERT(f->kind == P2P_FOUND_ASK || (f->kind == P2P_FOUND_KNOWN && n > 0));
    el_bytes_add_u8(out, (uint8_t)f->kind);
    el_bytes_add_u8(out, (uint8_t)n);
    for (size_t i = 0; i < n; i++) {
        EL_ASSERT(is_record(&f->records[i]));
        el_bytes_add_u64(out, f->records[i].age_ms);
        el_bytes_add_u32(out, (uint32_t)f->records[i].bytes.n);
        el_buf_add_str(out, f->records[i].bytes);
    }
}

static bool take_record(struct el_bytes *in, struct p2p_record *ret)
{
    ret->age_ms = el_bytes_u64(in);
    ret->bytes = el_bytes_str(in, el_bytes_u32(in));
    return !in->is_bad && is_record(ret);
}

enum el_err p2p_found_decode(struct el_str body, struct p2p_found *ret, struct el_error *err)
{
    struct el_bytes in = el_bytes_of(body);
    uint8_t kind = el_bytes_u8(&in);
    bool is_fine = kind == P2P_FOUND_KNOWN || kind == P2P_FOUND_ASK;

    *ret = (struct p2p_found){ .kind = (enum p2p_found_kind)kind, .n = el_bytes_u8(&in) };
    if (ret->n > P2P_MAX_VARIANTS || (kind == P2P_FOUND_KNOWN && ret->n == 0))
        return refuse("answer about a URL", err);
    for (size_t i = 0; is_fine && i < ret->n; i++)
        is_fine = take_record(&in, &ret->records[i]);
    if (!is_fine || !el_bytes_is_end(&in) || body.n > P2P_MAX_BODY)
        return refuse("answer about a URL", err);
    return EL_OK;
}
