/* SPDX-License-Identifier: MIT */
/*
 * Every type of frame, once: P2P_TYPE(symbol, number, name, least data, most data, chunk, numbered,
 * flags). docs/protocol.md has the same table.
 *
 *   data      bytes; what is outside is refused before anything is allocated
 *   chunk     NO, YES or MAYBE: whether the frame names a chunk
 *   numbered  false: the sequence number is 0. true: with a chunk it is the index of a block,
 *             without one it is the sender's own and comes back in the answer
 *   flags     of enum p2p_flags; any other bit is refused
 *
 * Numbers 16 to 31 are gossip's and 32 to 47 the tracker's: all of them are envelopes.
 */
P2P_TYPE(P2P_REQUEST, 1, "Request", 12, 12, YES, true, P2P_RESUME)
P2P_TYPE(P2P_RESPONSE, 2, "Response", 1, P2P_MAX_BLOCK, YES, true, P2P_LAST)
P2P_TYPE(P2P_ERROR, 3, "Error", 16, 16 + P2P_MAX_TEXT, MAYBE, true, 0)
P2P_TYPE(P2P_ACK, 4, "Ack", 4, 4, MAYBE, true, 0)
P2P_TYPE(P2P_HELLO, 5, "Hello", 79, P2P_MAX_HELLO, NO, false, 0)
P2P_TYPE(P2P_MANIFEST, 6, "Manifest", 148, P2P_MAX_MANIFEST, YES, false, 0)
P2P_TYPE(P2P_HAVE, 7, "Have", 16, 16, YES, false, 0)
P2P_TYPE(P2P_CANCEL, 8, "Cancel", 8, 8, YES, true, 0)
P2P_TYPE(P2P_PING, 9, "Ping", 12, 12, NO, true, 0)
P2P_TYPE(P2P_PROOF, 10, "Proof", 96, 96, NO, false, 0)
P2P_TYPE(P2P_GOSSIP, 16, "Gossip", 5, P2P_MAX_ENVELOPE, NO, true, 0)
P2P_TYPE(P2P_TRACKER, 32, "Tracker", 5, P2P_MAX_ENVELOPE, NO, true, 0)
