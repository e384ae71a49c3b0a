/* SPDX-License-Identifier: MIT */
/*
 * wire_reader: frames out of bytes that come in pieces of any size. Pure.
 *
 *            16 bytes          id, data length            data                 tail
 *   [start] ---------> [name] -----------------> [data] --------> [tail] ---------------+
 *      ^   type, version        length in bounds     |    hashed    hash, sequence,     |
 *      |                                             |              flags: P2P_READ_FRAME
 *      +---------------------------------------------|-----------------------------------+
 *                                                    +-- of a Response: P2P_READ_BLOCK first
 *
 * 1. Nothing is allocated for a frame before its length has passed the bound of its type, and then
 *    no more than twice what has arrived (4 KiB at first).
 * 2. The reader allocates nothing for blocks: it says that one is coming, and the caller says where
 *    it goes, or lets it go by.
 * 3. A frame is handed out when its hash is that of its data. Whether that is the data it should be
 *    is for the manifest to say: frame.hash is compared, nothing is hashed twice.
 * 4. Until the caller names the version that was agreed on, only Hello and Error are let in.
 * 5. The first error is the last: what follows on that link cannot be told apart any more.
 *
 * Thread: one.
 */
#pragma once

#include "p2p/wire.h"

enum p2p_read {
    P2P_READ_MORE,  /* every byte was taken */
    P2P_READ_BLOCK, /* frame.chunk and frame.data.n are known; p2p_reader_place() may be called */
    P2P_READ_FRAME, /* `frame` is whole; its data stay until the next call */
};

struct p2p_reader {
    struct p2p_frame frame; /* as far as it is known */
    /* the reader's own */
    uint32_t version; /* 0: not agreed on yet */
    unsigned section;
    uint8_t fixed[EL_CHUNK_ID_CHARS + 4]; /* the longest of the sections but data */
    size_t have, want;                    /* of the section */
    uint8_t *place;                       /* the caller's */
    uint8_t *own;                         /* of the other types; owned */
    size_t cap;
    struct el_sha256 *hash;
    enum el_err failed;
};

void p2p_reader_init(struct p2p_reader *r);
void p2p_reader_deinit(struct p2p_reader *r);
/* The version of every frame from the next one on. Not within a frame. */
void p2p_reader_set_version(struct p2p_reader *r, uint32_t version);

/* Takes bytes from the front of *bytes up to the next event. Call again while it is not MORE. */
enum el_err p2p_reader_feed(struct p2p_reader *r, struct el_str *bytes, enum p2p_read *ret,
                            struct el_error *err);

/*
 * After P2P_READ_BLOCK: where frame.data.n bytes go; borrowed until P2P_READ_FRAME, an error or
 * deinit. The sequence number follows the data, so which block it is shows only then. When it is
 * not called the data is read and forgotten: frame.data.p is NULL then.
 */
void p2p_reader_place(struct p2p_reader *r, void *mem);
/*
 * Where the rest of a placed block goes, and how much that is, so that it can be received straight
 * to there; NULL: use p2p_reader_feed(). p2p_reader_arrived() says how much came.
 */
void *p2p_reader_direct(struct p2p_reader *r, size_t *ret_n);
void p2p_reader_arrived(struct p2p_reader *r, size_t n);

/* Nothing of a frame has come yet: the link may end here. */
bool p2p_reader_is_between(const struct p2p_reader *r);
