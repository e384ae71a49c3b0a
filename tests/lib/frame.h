/* SPDX-License-Identifier: MIT */
/* frame: frames of the P2P protocol byte by byte, right or wrong as a test likes. */
#pragma once

#include "common/bytes.h"
#include "p2p/wire.h"

#define FRAME_ID "000102030405060708090a0b0c0d0e0f-00000003"

static const struct el_chunk_id frame_chunk = {
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
    3,
};

/* Every field as it goes out; what is not set is right. */
struct raw_frame {
    uint32_t magic, version, type;
    struct el_str id;   /* and its length, unless id_length is set */
    uint32_t id_length; /* 0: that of id */
    struct el_str data;
    uint32_t data_length; /* 0: that of data */
    bool has_wrong_hash;
    uint32_t sequence;
    uint8_t flags;
};

static inline void raw_add(struct el_buf *out, const struct raw_frame *r)
{
    struct el_digest hash;

    el_bytes_add_u32(out, r->magic != 0 ? r->magic : P2P_MAGIC);
    el_bytes_add_u32(out, r->version != 0 ? r->version : 1);
    el_bytes_add_u32(out, r->type);
    el_bytes_add_u32(out, r->id_length != 0 ? r->id_length : (uint32_t)r->id.n);
    el_buf_add_str(out, r->id);
    el_bytes_add_u32(out, r->data_length != 0 ? r->data_length : (uint32_t)r->data.n);
    el_buf_add_str(out, r->data);
    el_sha256_of(r->data.p, r->data.n, &hash);
    hash.b[31] = (uint8_t)(hash.b[31] ^ r->has_wrong_hash);
    el_buf_add(out, hash.b, sizeof(hash.b));
    el_bytes_add_u32(out, r->sequence);
    el_bytes_add_u8(out, r->flags);
}

/* The frame that the reader would hand out, without its hash; of version 1. */
static inline struct p2p_frame frame_with(uint32_t type, bool has_chunk, uint32_t sequence,
                                          struct el_str data)
{
    struct p2p_frame f = { .version = 1, .type = type, .has_chunk = has_chunk };

    if (has_chunk)
        f.chunk = frame_chunk;
    f.sequence = sequence;
    f.data = data;
    return f;
}
