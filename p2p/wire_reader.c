/* SPDX-License-Identifier: MIT */
/* wire_reader: see wire_reader.h. */
#include "p2p/wire_reader.h"

#include "common/bytes.h"

#define FIRST_CAP 4096u  /* of the memory for data that is no block */
#define KEEP_CAP  16384u /* more is given back behind the frame */

enum section { START, NAME, DATA, TAIL, OVER };

_Static_assert(P2P_START_BYTES <= sizeof(((struct p2p_reader *)NULL)->fixed), "start fits");
_Static_assert(P2P_TAIL_BYTES <= sizeof(((struct p2p_reader *)NULL)->fixed), "tail fits");

static void enter(struct p2p_reader *r, enum section section, size_t bytes)
{
    r->section = section;
    r->have = 0;
    r->want = bytes;
}

void p2p_reader_init(struct p2p_reader *r)
{
    *r = (struct p2p_reader){ .hash = el_sha256_new() };
    enter(r, START, P2P_START_BYTES);
}

void p2p_reader_deinit(struct p2p_reader *r)
{
    el_sha256_free(r->hash);
    free(r->own);
    *r = (struct p2p_reader){ .failed = EL_ECANCELED };
}

bool p2p_reader_is_between(const struct p2p_reader *r)
{
    return r->section == OVER || (r->section == START && r->have == 0);
}

void p2p_reader_set_version(struct p2p_reader *r, uint32_t version)
{
    EL_ASSERT(p2p_reader_is_between(r));
    EL_ASSERT(version >= P2P_VERSION_MIN && version <= P2P_VERSION_MAX);
    r->version = version;
}

/* ---- sections, each when it is complete ---- */

static enum el_err end_start(struct p2p_reader *r, struct el_error *err)
{
    struct el_bytes in = el_bytes_of((struct el_str){ (const char *)r->fixed, r->have });
    uint32_t magic = el_bytes_u32(&in), version = el_bytes_u32(&in), type = el_bytes_u32(&in);
    uint32_t id_length = el_bytes_u32(&in);
    uint32_t expected = r->version != 0 ? r->version : P2P_VERSION_HELLO;
    enum el_err rc = p2p_check_start(magic, version, type, id_length, expected, err);

    if (rc != EL_OK)
        return rc;
    if (r->version == 0 && type != P2P_HELLO && type != P2P_ERROR)
        return el_fail(err, EL_EPROTO, 0, "%s frame before the Hello", p2p_kind_of(type)->name);
    if (r->version != 0 && type == P2P_HELLO)
        return el_fail(err, EL_EPROTO, 0, "a second Hello");
    r->frame.version = version;
    r->frame.type = type;
    r->frame.has_chunk = id_length > 0;
    enter(r, NAME, id_length + 4u);
    return EL_OK;
}

static enum el_err end_name(struct p2p_reader *r, struct el_error *err)
{
    struct el_bytes in = el_bytes_of((struct el_str){ (const char *)r->fixed, r->have });
    uint32_t n;
    enum el_err rc;

    if (r->frame.has_chunk &&
        !el_chunk_id_parse(el_bytes_str(&in, EL_CHUNK_ID_CHARS), &r->frame.chunk))
        return el_fail(err, EL_EPROTO, 0, "frame: its chunk id is none");
    n = el_bytes_u32(&in);
    rc = p2p_check_length(r->frame.type, n, err);
    if (rc != EL_OK)
        return rc;
    r->frame.data.n = n;
    enter(r, DATA, n);
    return EL_OK;
}

static void end_data(struct p2p_reader *r)
{
    bool is_block = r->frame.type == P2P_RESPONSE;

    r->frame.data.p = (const char *)(is_block ? r->place : r->own);
    enter(r, TAIL, P2P_TAIL_BYTES);
}

static enum el_err end_tail(struct p2p_reader *r, struct el_error *err)
{
    struct el_bytes in = el_bytes_of((struct el_str){ (const char *)r->fixed, r->have });
    struct el_digest digest;
    enum el_err rc;

    el_bytes_copy(&in, r->frame.hash.b, sizeof(r->frame.hash.b));
    r->frame.sequence = el_bytes_u32(&in);
    r->frame.flags = el_bytes_u8(&in);
    el_sha256_final(r->hash, &digest);
    rc = p2p_check_tail(&r->frame, err);
    if (rc != EL_OK)
        return rc;
    if (memcmp(digest.b, r->frame.hash.b, sizeof(digest.b)) != 0)
        return el_fail(err, EL_EHASH, 0, "%s frame: its hash is not that of its data",
                       p2p_kind_of(r->frame.type)->name);
    enter(r, OVER, 0);
    return EL_OK;
}

/* The next frame; what was kept of the last one goes. */
static void begin(struct p2p_reader *r)
{
    if (r->cap > KEEP_CAP) {
        free(r->own);
        r->own = NULL;
        r->cap = 0;
    }
    r->place = NULL;
    r->frame = (struct p2p_frame){ 0 };
    enter(r, START, P2P_START_BYTES);
}

static enum el_err end_section(struct p2p_reader *r, enum p2p_read *event, struct el_error *err)
{
    enum el_err rc = EL_OK;

    switch ((enum section)r->section) {
    case START:
        rc = end_start(r, err);
        break;
    case NAME:
        rc = end_name(r, err);
        if (rc == EL_OK && r->frame.type == P2P_RESPONSE)
            *event = P2P_READ_BLOCK;
        break;
    case DATA:
        end_data(r);
        break;
    case TAIL:
        rc = end_tail(r, err);
        if (rc == EL_OK)
            *event = P2P_READ_FRAME;
        break;
    case OVER:
        break;
    }
    return rc;
}

/* ---- bytes ---- */

/* Room for at least one byte more of data that is no block; at most twice what is there. */
static enum el_err make_room(struct p2p_reader *r, struct el_error *err)
{
    size_t cap = r->cap * 2 > FIRST_CAP ? r->cap * 2 : FIRST_CAP;
    uint8_t *grown;

    if (r->have < r->cap)
        return EL_OK;
    grown = el_try_alloc(cap);
    if (grown == NULL)
        return el_fail(err, EL_ENOMEM, 0, "no memory for a frame of %zu bytes", r->want);
    if (r->have > 0)
        memcpy(grown, r->own, r->have);
    free(r->own);
    r->own = grown;
    r->cap = cap;
    return EL_OK;
}

/* Where the next bytes of the section go, and how many of them at most; NULL: nowhere. */
static enum el_err destination(struct p2p_reader *r, uint8_t **ret, size_t *ret_n,
                               struct el_error *err)
{
    uint8_t *to = r->fixed;
    size_t end = r->want;

    if (r->section == DATA && r->frame.type == P2P_RESPONSE) {
        to = r->place;
    } else if (r->section == DATA) {
        enum el_err rc = make_room(r, err);

        if (rc != EL_OK)
            return rc;
        to = r->own;
        end = el_min_size(end, r->cap);
    }
    *ret = to != NULL ? to + r->have : NULL;
    *ret_n = end - r->have;
    return EL_OK;
}

static enum el_err take(struct p2p_reader *r, struct el_str *bytes, struct el_error *err)
{
    uint8_t *to;
    size_t n;
    enum el_err rc;

    if (r->section == OVER)
        begin(r);
    rc = destination(r, &to, &n, err);
    if (rc != EL_OK)
        return rc;
    n = el_min_size(n, bytes->n);
    if (to != NULL)
        memcpy(to, bytes->p, n);
    if (r->section == DATA)
        el_sha256_update(r->hash, bytes->p, n);
    r->have += n;
    *bytes = el_str_from(*bytes, n);
    return EL_OK;
}

enum el_err p2p_reader_feed(struct p2p_reader *r, struct el_str *bytes, enum p2p_read *ret,
                            struct el_error *err)
{
    enum p2p_read event = P2P_READ_MORE;
    enum el_err rc = EL_OK;

    if (r->failed != EL_OK)
        return el_fail(err, r->failed, 0, "the link failed before");
    while (rc == EL_OK && event == P2P_READ_MORE) {
        if (r->have == r->want && r->section != OVER)
            rc = end_section(r, &event, err);
        else if (bytes->n > 0)
            rc = take(r, bytes, err);
        else
            break;
    }
    if (rc == EL_OK)
        *ret = event;
    r->failed = rc;
    return rc;
}

/* ---- blocks ---- */

void p2p_reader_place(struct p2p_reader *r, void *mem)
{
    EL_ASSERT(r->section == DATA && r->frame.type == P2P_RESPONSE && r->have == 0);
    r->place = mem;
}

void *p2p_reader_direct(struct p2p_reader *r, size_t *ret_n)
{
    if (r->section != DATA || r->place == NULL || r->have == r->want)
        return NULL;
    *ret_n = r->want - r->have;
    return r->place + r->have;
}

void p2p_reader_arrived(struct p2p_reader *r, size_t n)
{
    EL_ASSERT(r->section == DATA && r->place != NULL && n <= r->want - r->have);
    el_sha256_update(r->hash, r->place + r->have, n);
    r->have += n;
}
