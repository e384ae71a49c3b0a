/* SPDX-License-Identifier: MIT */
/*
 * gossip_wire: what members say to each other: each message is the body of a P2P frame of type
 * Gossip, a statement, and says itself of what type it is. Pure. Who sent a message is known from
 * the link that it came by, never from the message.
 *
 * Everything is big-endian. Nothing is longer than DISC_MAX_MESSAGE; a decoder takes only what an
 * encoder writes: no unknown bit, no byte too many, no order but the one written.
 *
 *   NodeJoin      1  flags 1 (1: tell me whom you know), incarnation 8, card
 *   NodeLeave     2  incarnation 8
 *   ChunkAnnounce 3  count 2, chunks: version 16, group 4, bitmap 8 (28 each, ascending)
 *   ChunkRemove   4  the same
 *   StateSync     5  kind 1, then
 *                      digest   0: incarnation 8, bits 1, 2^bits sums of 8
 *                      lists    1: bits 1, for each bucket: number 2, count 2, entries
 *                      cards    2: updates
 *                      want     3: hashes of 8
 *   Probe         6  sequence 4, incarnation 8, updates
 *   ProbeAsk      7  sequence 4, incarnation 8, target 8, updates
 *   ProbeAck      8  sequence 4, incarnation 8, flags 1 (1: the target did not answer), updates
 *   Rumours       9  incarnation 8, updates
 *
 *   message       type 1, then as above
 *   card          id 1+n, name 1+n, host 1+n, zone 1+n, p2p port 2, http port 2, flags 1
 *   update        state 1 (+16: with card), then hash 8 and incarnation 8, or with card:
 *                 incarnation 8 and card; a suspicion ends with the hash of who suspects, 8
 *   entry         hash 8, incarnation 8, state 1 (never suspect: who hears it would count anew)
 */
#pragma once

#include "common/bytes.h"
#include "discovery/card.h"

#define DISC_MAX_MESSAGE    32768u
#define DISC_MAX_SUM_BITS   8u
#define DISC_MAX_CHUNKS     1024u
#define DISC_ENTRY_BYTES    17u
#define DISC_MAX_CARD       (4u + DISC_MAX_ID + DISC_MAX_NAME + DISC_MAX_HOST + DISC_MAX_ZONE + 5u)
#define DISC_MAX_UPDATE     (1u + 8u + DISC_MAX_CARD + 8u)
#define DISC_VERSION_BYTES  16u
#define DISC_CHUNKS_A_GROUP 64u

enum disc_type {
    DISC_NODE_JOIN = 1,
    DISC_NODE_LEAVE,
    DISC_CHUNK_ANNOUNCE,
    DISC_CHUNK_REMOVE,
    DISC_STATE_SYNC,
    DISC_PROBE,
    DISC_PROBE_ASK,
    DISC_PROBE_ACK,
    DISC_RUMOURS,
};

/* Of the same incarnation, the later in this order is what counts. */
enum disc_state { DISC_ALIVE, DISC_SUSPECT, DISC_DEAD, DISC_LEFT };

enum disc_sync { DISC_SYNC_DIGEST, DISC_SYNC_LISTS, DISC_SYNC_CARDS, DISC_SYNC_WANT };

#define DISC_JOIN_WANTS_REPLY 0x01u
#define DISC_ACK_NEGATIVE     0x01u

struct disc_update {
    enum disc_state state;
    bool has_fields;
    uint64_t hash, incarnation;
    uint64_t accuser;          /* of a suspicion */
    struct disc_fields fields; /* borrowed from the message */
};

/* A message taken apart; what does not belong to its type is zero. Borrows from the bytes. */
struct disc_message {
    enum disc_type type;
    uint8_t flags;
    uint32_t sequence;
    uint64_t incarnation; /* the sender's own */
    uint64_t target;
    struct disc_fields fields;
    enum disc_sync sync;
    uint8_t sum_bits;
    struct el_bytes rest; /* checked: updates, sums, lists or hashes, for the readers below */
};

/* Everything but ChunkAnnounce and ChunkRemove, which is said to trackers: disc_chunks_decode. */
enum el_err disc_message_decode(struct el_str body, struct disc_message *ret, struct el_error *err);
/* Whether it is ChunkAnnounce or ChunkRemove, by its first byte. */
bool disc_is_of_chunks(struct el_str body);

/* The next of what a decoded message holds; false at its end. */
bool disc_update_next(struct el_bytes *rest, struct disc_update *ret);
/* A list of a bucket: its number and its entries, for disc_entry_next. */
bool disc_list_next(struct el_bytes *rest, uint16_t *ret_bucket, struct el_bytes *ret_entries);
bool disc_entry_next(struct el_bytes *rest, struct disc_update *ret);
bool disc_hash_next(struct el_bytes *rest, uint64_t *ret);

/* Heads; updates, sums, lists or hashes follow. */
void disc_join_put(struct el_buf *out, uint8_t flags, uint64_t incarnation,
                   const struct disc_fields *f);
void disc_leave_put(struct el_buf *out, uint64_t incarnation);
void disc_probe_put(struct el_buf *out, uint32_t sequence, uint64_t incarnation);
void disc_probe_ask_put(struct el_buf *out, uint32_t sequence, uint64_t incarnation,
                        uint64_t target);
void disc_probe_ack_put(struct el_buf *out, uint32_t sequence, uint64_t incarnation, uint8_t flags);
void disc_rumours_put(struct el_buf *out, uint64_t incarnation);
void disc_digest_put(struct el_buf *out, uint64_t incarnation, uint8_t sum_bits);
void disc_lists_put(struct el_buf *out, uint8_t sum_bits);
void disc_cards_put(struct el_buf *out);
void disc_want_put(struct el_buf *out);

void disc_update_put(struct el_buf *out, const struct disc_update *u);
void disc_list_put(struct el_buf *out, uint16_t bucket, uint16_t count);
void disc_entry_put(struct el_buf *out, const struct disc_update *u);

/* ---- chunks ---- */

/* Which of the 64 chunks of a group of an object version. */
struct disc_chunks {
    uint8_t version[DISC_VERSION_BYTES];
    uint32_t group;
    uint64_t bitmap; /* not 0 */
};

/* The whole message. Sorts them; n is 1 to DISC_MAX_CHUNKS, no two of one version and group. */
void disc_chunks_put(struct el_buf *out, enum disc_type type, struct disc_chunks *v, size_t n);
enum el_err disc_chunks_decode(struct el_str body, enum disc_type *ret_type,
                               struct disc_chunks ret[DISC_MAX_CHUNKS], size_t *ret_n,
                               struct el_error *err);
