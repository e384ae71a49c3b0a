/* SPDX-License-Identifier: MIT */
/*
 * tracker_wire: what nodes and trackers say to each other, as bodies of envelopes (payload.h) of
 * the types from P2P_TRACKER on. Pure. docs/protocol.md has the layouts.
 *
 *   32 Locate     question, answer: Located
 *   33 Find       question, answer: Found (may take P2P_FIND_WAIT_MS)
 *   34 Record     statement
 *   35 Release    statement
 *   36 Forget     statement, to the tracker of the URL: it has changed
 *   37 Forgotten  statement, from that tracker to who knows of the URL
 *
 * A decoder takes only what an encoder writes: no unknown bit, no byte too many; otherwise
 * EL_EPROTO, and *ret is undefined. What is read borrows from the body. Encoders append to a buffer
 * and assert what decoders demand.
 */
#pragma once

#include "p2p/payload.h"
#include "p2p/tracker.h"

enum p2p_tracker_type {
    P2P_LOCATE = P2P_TRACKER,
    P2P_FIND,
    P2P_RECORD,
    P2P_RELEASE,
    P2P_FORGET,
    P2P_FORGOTTEN,
};

void p2p_locate_put(struct el_buf *out, const struct p2p_locate *l);
enum el_err p2p_locate_decode(struct el_str body, struct p2p_locate *ret, struct el_error *err);

/* `blocks': of the group; those of the question. */
void p2p_located_put(struct el_buf *out, uint32_t blocks, const struct p2p_located *l);
enum el_err p2p_located_decode(struct el_str body, uint32_t blocks, struct p2p_located *ret,
                               struct el_error *err);

/* What may be said of a URL to others; put functions take no other one. */
bool p2p_url_is_fine(struct el_str url);
void p2p_find_put(struct el_buf *out, struct el_str url, uint64_t max_age_ms);
enum el_err p2p_find_decode(struct el_str body, struct el_str *ret_url, uint64_t *ret_max_age_ms,
                            struct el_error *err);

/* KNOWN or ASK. As many of the records as there is room for, newest first. */
void p2p_found_put(struct el_buf *out, const struct p2p_found *f);
enum el_err p2p_found_decode(struct el_str body, struct p2p_found *ret, struct el_error *err);

void p2p_record_put(struct el_buf *out, const struct p2p_record *r);
enum el_err p2p_record_decode(struct el_str body, struct p2p_record *ret, struct el_error *err);

void p2p_release_put(struct el_buf *out, struct el_str url, enum p2p_release why);
enum el_err p2p_release_decode(struct el_str body, struct el_str *ret_url,
                               enum p2p_release *ret_why, struct el_error *err);

/* Forget and Forgotten. */
void p2p_forget_put(struct el_buf *out, struct el_str url);
enum el_err p2p_forget_decode(struct el_str body, struct el_str *ret_url, struct el_error *err);
