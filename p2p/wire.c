/* SPDX-License-Identifier: MIT */
/* wire: see wire.h. */
#include "p2p/wire.h"

#include "common/bytes.h"

static const struct p2p_kind kinds[] = {
#define P2P_TYPE(symbol, number, name, least, most, chunk, numbered, flags) \
    { symbol, name, least, most, P2P_CHUNK_##chunk, numbered, flags },
#include "p2p/frame_list.h"
#undef P2P_TYPE
};

bool p2p_is_envelope(uint32_t type)
{
    return type >= P2P_GOSSIP && type <= P2P_TRACKER_LAST;
}

static uint32_t first_of_range(uint32_t type)
{
    if (type >= P2P_GOSSIP && type <= P2P_GOSSIP_LAST)
        return P2P_GOSSIP;
    return type >= P2P_TRACKER && type <= P2P_TRACKER_LAST ? P2P_TRACKER : type;
}

const struct p2p_kind *p2p_kind_of(uint32_t type)
{
    uint32_t first = first_of_range(type);

    for (size_t i = 0; i < EL_COUNT(kinds); i++) {
        if (kinds[i].type == first)
            return &kinds[i];
    }
    return NULL;
}

/* ---- judging ---- */

static bool is_id_length(const struct p2p_kind *k, uint32_t n)
{
    if (n == 0)
        return k->chunk != P2P_CHUNK_YES;
    return n == EL_CHUNK_ID_CHARS && k->chunk != P2P_CHUNK_NO;
}

enum el_err p2p_check_start(uint32_t magic, uint32_t version, uint32_t type, uint32_t id_length,
                            uint32_t expected_version, struct el_error *err)
{
    const struct p2p_kind *k = p2p_kind_of(type);

    if (magic != P2P_MAGIC)
        return el_fail(err, EL_EPROTO, 0, "frame: the magic number is %08x", (unsigned)magic);
    if (version != expected_version)
        return el_fail(err, EL_EVERSION, 0, "frame: of version %u instead of %u", (unsigned)version,
                       (unsigned)expected_version);
    if (k == NULL)
        return el_fail(err, EL_EPROTO, 0, "frame: unknown type %u", (unsigned)type);
    if (!is_id_length(k, id_length))
        return el_fail(err, EL_EPROTO, 0, "%s frame: its chunk id has %u bytes", k->name,
                       (unsigned)id_length);
    return EL_OK;
}

enum el_err p2p_check_length(uint32_t type, uint32_t data_length, struct el_error *err)
{
    const struct p2p_kind *k = p2p_kind_of(type);

    EL_ASSERT(k != NULL);
    if (data_length < k->least || data_length > k->most)
        return el_fail(err, EL_EPROTO, 0, "%s frame: %u bytes of data, not %u to %u", k->name,
                       (unsigned)data_length, (unsigned)k->least, (unsigned)k->most);
    return EL_OK;
}

static bool is_sequence(const struct p2p_kind *k, const struct p2p_frame *f)
{
    if (!k->is_numbered)
        return f->sequence == 0;
    return !f->has_chunk || f->sequence < P2P_CHUNK_BLOCKS;
}

/* Every block but the last one of a chunk is whole, and the sixteenth is the last. */
static bool is_block(const struct p2p_frame *f)
{
    if ((f->flags & P2P_LAST) != 0)
        return true;
    return f->sequence + 1 < P2P_CHUNK_BLOCKS && f->data.n == P2P_MAX_BLOCK;
}

enum el_err p2p_check_tail(const struct p2p_frame *f, struct el_error *err)
{
    const struct p2p_kind *k = p2p_kind_of(f->type);

    EL_ASSERT(k != NULL);
    if ((f->flags & P2P_COMPRESSED) != 0)
        return el_fail(err, EL_EUNSUPPORTED, 0, "%s frame: compressed data", k->name);
    if ((f->flags & ~(unsigned)k->flags) != 0)
        return el_fail(err, EL_EPROTO, 0, "%s frame: flags 0x%02x", k->name, f->flags);
    if (!is_sequence(k, f))
        return el_fail(err, EL_EPROTO, 0, "%s frame: sequence number %u", k->name,
                       (unsigned)f->sequence);
    if (f->type == P2P_RESPONSE && !is_block(f))
        return el_fail(err, EL_EPROTO, 0, "Response frame: block %u of %zu bytes is not the last",
                       (unsigned)f->sequence, f->data.n);
    return EL_OK;
}

/* ---- writing ---- */

static void write_u32(uint8_t *to, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (24 - 8 * i));
}

void p2p_head_write(const struct p2p_frame *f, struct p2p_head *ret)
{
    uint32_t id_length = f->has_chunk ? EL_CHUNK_ID_CHARS : 0;
    char id[EL_CHUNK_ID_CHARS + 1];

    EL_ASSERT(p2p_check_start(P2P_MAGIC, f->version, f->type, id_length, f->version, NULL) ==
              EL_OK);
    EL_ASSERT(f->data.n <= P2P_MAX_BLOCK &&
              p2p_check_length(f->type, (uint32_t)f->data.n, NULL) == EL_OK);
    write_u32(ret->b, P2P_MAGIC);
    write_u32(ret->b + 4, f->version);
    write_u32(ret->b + 8, f->type);
    write_u32(ret->b + 12, id_length);
    ret->n = P2P_START_BYTES;
    if (f->has_chunk) {
        el_chunk_id_text(&f->chunk, id);
        memcpy(ret->b + ret->n, id, EL_CHUNK_ID_CHARS);
        ret->n += EL_CHUNK_ID_CHARS;
    }
    write_u32(ret->b + ret->n, (uint32_t)f->data.n);
    ret->n += 4;
}

void p2p_tail_write(const struct p2p_frame *f, uint8_t ret[P2P_TAIL_BYTES])
{
    EL_ASSERT(p2p_check_tail(f, NULL) == EL_OK);
    memcpy(ret, f->hash.b, EL_SHA256_BYTES);
    write_u32(ret + EL_SHA256_BYTES, f->sequence);
    ret[EL_SHA256_BYTES + 4] = f->flags;
}

void p2p_frame_add(struct el_buf *out, const struct p2p_frame *f)
{
    struct p2p_frame hashed = *f;
    struct p2p_head head;
    uint8_t tail[P2P_TAIL_BYTES];

    el_sha256_of(f->data.p, f->data.n, &hashed.hash);
    p2p_head_write(&hashed, &head);
    p2p_tail_write(&hashed, tail);
    el_buf_add(out, head.b, head.n);
    el_buf_add_str(out, f->data);
    el_buf_add(out, tail, sizeof(tail));
}

/* ---- versions ---- */

enum el_err p2p_version_choose(uint32_t my_min, uint32_t my_max, uint32_t their_min,
                               uint32_t their_max, uint32_t *ret_version, struct el_error *err)
{
    uint32_t least = my_min > their_min ? my_min : their_min;
    uint32_t most = my_max < their_max ? my_max : their_max;

    if (least > most || most == 0)
        return el_fail(err, EL_EVERSION, 0, "the peer speaks versions %u to %u, this node %u to %u",
                       (unsigned)their_min, (unsigned)their_max, (unsigned)my_min,
                       (unsigned)my_max);
    *ret_version = most;
    return EL_OK;
}
