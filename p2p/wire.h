/* SPDX-License-Identifier: MIT */
/*
 * wire: the frame in which nodes talk, and the rules that hold for every frame whatever is in it.
 * docs/protocol.md has every byte. Pure.
 *
 *   magic 4 | version 4 | type 4 | chunk id length 4 | chunk id 0 or 41 | data length 4 |   head
 *   data |
 *   SHA-256 of the data 32 | sequence 4 | flags 1                                           tail
 *
 * All numbers are big-endian. What is written goes out in three pieces, so that the data of a block
 * can be sent from where it lies (writev, sendfile). What is read comes through wire_reader.h.
 */
#pragma once

#include "common/buf.h"
#include "common/chunk_id.h"
#include "common/err.h"
#include "common/sha256.h"

#define P2P_MAGIC 0x43484b50u /* "CHKP" */

/* The versions of the protocol that this node speaks. */
#define P2P_VERSION_MIN 1u
#define P2P_VERSION_MAX 1u
/* In which a Hello is framed, whatever is agreed on afterwards. */
#define P2P_VERSION_HELLO 1u

#define P2P_START_BYTES 16u /* of the head, up to the chunk id */
#define P2P_HEAD_MAX    (P2P_START_BYTES + EL_CHUNK_ID_CHARS + 4u)
#define P2P_TAIL_BYTES  (EL_SHA256_BYTES + 4u + 1u)

#define P2P_CHUNK_BLOCKS 16u
#define P2P_MAX_BLOCK    ((uint32_t)EL_MIB)
#define P2P_MAX_TEXT     200u
#define P2P_MAX_HELLO    512u
#define P2P_MAX_MANIFEST 65536u
#define P2P_MAX_ENVELOPE 65536u

enum p2p_type {
#define P2P_TYPE(symbol, number, name, least, most, chunk, numbered, flags) symbol = number,
#include "p2p/frame_list.h"
#undef P2P_TYPE
    P2P_GOSSIP_LAST = 31,
    P2P_TRACKER_LAST = 47,
};

enum p2p_flags {
    P2P_RESUME = 0x01,     /* Request: an earlier transfer of the chunk is taken up again */
    P2P_COMPRESSED = 0x02, /* of no frame in this version */
    P2P_LAST = 0x04,       /* Response: the last block of its chunk */
};

enum p2p_chunk_rule { P2P_CHUNK_NO, P2P_CHUNK_YES, P2P_CHUNK_MAYBE };

/* What frame_list.h says of a type. */
struct p2p_kind {
    uint32_t type; /* the first one of a range */
    const char *name;
    uint32_t least, most;
    enum p2p_chunk_rule chunk;
    bool is_numbered;
    uint8_t flags;
};

/* NULL: no type has that number. */
const struct p2p_kind *p2p_kind_of(uint32_t type);
bool p2p_is_envelope(uint32_t type);

struct p2p_frame {
    uint32_t version;
    uint32_t type;
    bool has_chunk;
    struct el_chunk_id chunk;
    struct el_str data;    /* p is NULL where the bytes are elsewhere: n counts all the same */
    struct el_digest hash; /* of the data */
    uint32_t sequence;
    uint8_t flags;
};

/*
 * The three steps in which a frame is judged, each as soon as it can be. EL_EPROTO, but for
 * EL_EVERSION (another version than `version`) and EL_EUNSUPPORTED (compressed data).
 */
enum el_err p2p_check_start(uint32_t magic, uint32_t version, uint32_t type, uint32_t id_length,
                            uint32_t expected_version, struct el_error *err);
enum el_err p2p_check_length(uint32_t type, uint32_t data_length, struct el_error *err);
enum el_err p2p_check_tail(const struct p2p_frame *f, struct el_error *err); /* not the hash */

struct p2p_head {
    uint8_t b[P2P_HEAD_MAX];
    size_t n;
};

/* Everything before the data, and everything behind it. The frame passes the checks above. */
void p2p_head_write(const struct p2p_frame *f, struct p2p_head *ret);
void p2p_tail_write(const struct p2p_frame *f, uint8_t ret[P2P_TAIL_BYTES]);
/* The whole of a short frame; its hash is computed here. */
void p2p_frame_add(struct el_buf *out, const struct p2p_frame *f);

/*
 * The version that two nodes speak: the highest that both know. Both sides compute the same.
 * EL_EVERSION: there is none.
 */
enum el_err p2p_version_choose(uint32_t my_min, uint32_t my_max, uint32_t their_min,
                               uint32_t their_max, uint32_t *ret_version, struct el_error *err);
