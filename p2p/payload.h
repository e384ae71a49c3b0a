/* SPDX-License-Identifier: MIT */
/*
 * payload: what is in the frames, but for blocks and manifests (manifest.h). Pure. Each has one
 * function that appends a whole frame of the link's version to a buffer, and one that reads the
 * data of a frame that wire_reader.h let through. Reading is strict: bytes left over, bits without
 * meaning and numbers out of bounds are errors (EL_EPROTO), *ret is untouched then, and the link is
 * of no use any more. What is read borrows from the frame.
 *
 * A block of a chunk is on its way at most once on a link: chunk id and number are all the name
 * that a question for it needs. It is asked for, and then one of Response, Error or, when the asker
 * has sent a Cancel, its Ack, says the last word about it. Only then it may be asked for again.
 */
#pragma once

#include "common/key.h"
#include "p2p/wire.h"

/* Blocks of a chunk: first + count is at most 16. */
struct p2p_blocks {
    uint32_t first, count;
};

enum p2p_request_flags {
    P2P_WANT_MANIFEST = 0x01, /* what is known of it comes before any block */
    P2P_WANT_COMING = 0x02,   /* blocks that are not here yet are sent when they are */
    P2P_WANT_HAVE = 0x04,     /* a Have now, and with each change until the chunk is whole */
    P2P_WANT_RECORD = 0x08,   /* what its object is like comes, as a Record */
};

/* No block at all: then for the manifest, Have or Record, and first is 0. */
struct p2p_request {
    struct p2p_blocks blocks;
    uint32_t flags;
};

void p2p_request_add(struct el_buf *out, uint32_t version, const struct el_chunk_id *chunk,
                     uint8_t frame_flags, const struct p2p_request *r);
enum el_err p2p_request_decode(const struct p2p_frame *f, struct p2p_request *ret,
                               struct el_error *err);

/*
 * What will not come: those blocks of the chunk, the chunk when there is none of them, the question
 * of that sequence number when there is no chunk, or everything when that is 0: then the sender
 * closes the link.
 */
struct p2p_refusal {
    struct p2p_blocks blocks;
    uint32_t code;           /* of err_list.h; a newer node may know more of them */
    uint32_t retry_after_ms; /* 0: no use */
    struct el_str text;      /* printable ASCII, at most P2P_MAX_TEXT; for logs */
};

/* `chunk` may be NULL; the sequence number counts only then. */
void p2p_error_add(struct el_buf *out, uint32_t version, const struct el_chunk_id *chunk,
                   uint32_t sequence, const struct p2p_refusal *r);
enum el_err p2p_error_decode(const struct p2p_frame *f, struct p2p_refusal *ret,
                             struct el_error *err);
/* The code where this node knows it, EL_EPEER otherwise. */
enum el_err p2p_error_code(uint32_t code);

/* The blocks are not wanted any more; none: nothing of the chunk, and no Have either. */
void p2p_cancel_add(struct el_buf *out, uint32_t version, const struct el_chunk_id *chunk,
                    const struct p2p_blocks *blocks);
enum el_err p2p_cancel_decode(const struct p2p_frame *f, struct p2p_blocks *ret,
                              struct el_error *err);

/*
 * The frame of that type, chunk and sequence number has been dealt with. Every Cancel gets one:
 * none of its blocks comes behind it. A statement of gossip or tracker may get one.
 */
void p2p_ack_add(struct el_buf *out, const struct p2p_frame *acknowledged);
enum el_err p2p_ack_decode(const struct p2p_frame *f, uint32_t *ret_type, struct el_error *err);

/* What a sender has of a chunk, whole and hashed. */
struct p2p_have {
    uint32_t blocks; /* of the chunk: 1 to 16 */
    uint32_t bitmap; /* bit i: block i is here */
    bool is_filling; /* more will come; not when all are here */
    uint32_t coming; /* none of those above: it reads them from the origin, and passes on what it
                        has of them to whoever asks with P2P_WANT_COMING */
};

void p2p_have_add(struct el_buf *out, uint32_t version, const struct el_chunk_id *chunk,
                  const struct p2p_have *h);
enum el_err p2p_have_decode(const struct p2p_frame *f, struct p2p_have *ret, struct el_error *err);

enum p2p_role {
    P2P_QUESTION = 1,
    P2P_ANSWER = 2,    /* with the sequence number and type of the question */
    P2P_STATEMENT = 3, /* nothing is awaited */
};

/* Question or answer; the stamp is the asker's and comes back. */
struct p2p_ping {
    enum p2p_role role;
    uint64_t stamp;
};

void p2p_ping_add(struct el_buf *out, uint32_t version, uint32_t sequence,
                  const struct p2p_ping *p);
enum el_err p2p_ping_decode(const struct p2p_frame *f, struct p2p_ping *ret, struct el_error *err);

/* A message of gossip or tracker: 1 to 65532 bytes that they understand. */
struct p2p_envelope {
    enum p2p_role role;
    struct el_str body;
};
#define P2P_MAX_BODY (P2P_MAX_ENVELOPE - 4u)

void p2p_envelope_add(struct el_buf *out, uint32_t version, uint32_t type, uint32_t sequence,
                      const struct p2p_envelope *e);
enum el_err p2p_envelope_decode(const struct p2p_frame *f, struct p2p_envelope *ret,
                                struct el_error *err);

#define P2P_MAX_NAME    64u
#define P2P_NONCE_BYTES 16u

/* The first frame of either side. Names: printable ASCII, at most P2P_MAX_NAME, may be empty. */
struct p2p_hello {
    uint32_t version_min, version_max;
    uint64_t features;                 /* bits; those not known are no error */
    uint64_t clock_ms;                 /* the sender's wall clock */
    uint16_t p2p_port, http_port;      /* where it listens; 0: nowhere */
    struct el_digest fingerprint;      /* SHA-256 of its public Ed25519 key: who it is */
    uint8_t nonce[P2P_NONCE_BYTES];    /* never the same twice: see proof.h */
    struct el_str name, cluster, zone; /* name: as configured, for people */
};

void p2p_hello_add(struct el_buf *out, const struct p2p_hello *h);
/* What a newer version has put behind these is passed over. */
enum el_err p2p_hello_decode(const struct p2p_frame *f, struct p2p_hello *ret,
                             struct el_error *err);

/* The second frame of either side: proof.h says what is signed. */
struct p2p_proof {
    uint8_t key[EL_KEY_BYTES]; /* Ed25519, public */
    uint8_t signature[EL_SIGNATURE_BYTES];
};

void p2p_proof_add(struct el_buf *out, uint32_t version, const struct p2p_proof *p);
enum el_err p2p_proof_decode(const struct p2p_frame *f, struct p2p_proof *ret,
                             struct el_error *err);
