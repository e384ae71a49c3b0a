/* SPDX-License-Identifier: MIT */
/*
 * An input is a type, whether there is a chunk (odd), flags, a sequence number of 4 bytes and the
 * data of a frame. What is accepted is written again as the same frame.
 */
#include "common/bytes.h"
#include "p2p/payload.h"
#include "tests/fuzz/fuzz.h"

static bool again_request(const struct p2p_frame *f, struct el_buf *out)
{
    struct p2p_request r;

    if (p2p_request_decode(f, &r, NULL) != EL_OK)
        return false;
    CLAIM(r.blocks.first + r.blocks.count <= P2P_CHUNK_BLOCKS);
    p2p_request_add(out, f->version, &f->chunk, f->flags, &r);
    return true;
}

static bool again_error(const struct p2p_frame *f, struct el_buf *out)
{
    struct p2p_refusal r;

    if (p2p_error_decode(f, &r, NULL) != EL_OK)
        return false;
    CLAIM(el_err_name(p2p_error_code(r.code)) != NULL);
    p2p_error_add(out, f->version, f->has_chunk ? &f->chunk : NULL, f->sequence, &r);
    return true;
}

static bool again_ack(const struct p2p_frame *f, struct el_buf *out)
{
    struct p2p_frame acknowledged = *f;

    if (p2p_ack_decode(f, &acknowledged.type, NULL) != EL_OK)
        return false;
    p2p_ack_add(out, &acknowledged);
    return true;
}

static bool again_have(const struct p2p_frame *f, struct el_buf *out)
{
    struct p2p_have h;

    if (p2p_have_decode(f, &h, NULL) != EL_OK)
        return false;
    CLAIM(h.bitmap >> h.blocks == 0);
    p2p_have_add(out, f->version, &f->chunk, &h);
    return true;
}

static bool again_cancel(const struct p2p_frame *f, struct el_buf *out)
{
    struct p2p_blocks b;

    if (p2p_cancel_decode(f, &b, NULL) != EL_OK)
        return false;
    CLAIM(b.first + b.count <= P2P_CHUNK_BLOCKS);
    p2p_cancel_add(out, f->version, &f->chunk, &b);
    return true;
}

static bool again_ping(const struct p2p_frame *f, struct el_buf *out)
{
    struct p2p_ping p;

    if (p2p_ping_decode(f, &p, NULL) != EL_OK)
        return false;
    p2p_ping_add(out, f->version, f->sequence, &p);
    return true;
}

static bool again_proof(const struct p2p_frame *f, struct el_buf *out)
{
    struct p2p_proof p;

    if (p2p_proof_decode(f, &p, NULL) != EL_OK)
        return false;
    p2p_proof_add(out, f->version, &p);
    return true;
}

static bool again_envelope(const struct p2p_frame *f, struct el_buf *out)
{
    struct p2p_envelope e;

    if (p2p_envelope_decode(f, &e, NULL) != EL_OK)
        return false;
    p2p_envelope_add(out, f->version, f->type, f->sequence, &e);
    return true;
}

/* The one that may be longer than is known: what is known comes out the same. */
static void check_hello(const struct p2p_frame *f)
{
    struct el_buf out = { 0 };
    struct p2p_hello h;
    struct el_str data;

    if (p2p_hello_decode(f, &h, NULL) != EL_OK)
        return;
    p2p_hello_add(&out, &h);
    data = el_str_from(el_buf_str(&out), P2P_START_BYTES + 4);
    data = el_str_first(data, data.n - P2P_TAIL_BYTES);
    CLAIM(el_str_starts(f->data, data));
    el_buf_deinit(&out);
}

static bool again(const struct p2p_frame *f, struct el_buf *out)
{
    switch (f->type) {
    case P2P_REQUEST:
        return again_request(f, out);
    case P2P_ERROR:
        return again_error(f, out);
    case P2P_ACK:
        return again_ack(f, out);
    case P2P_HAVE:
        return again_have(f, out);
    case P2P_CANCEL:
        return again_cancel(f, out);
    case P2P_PING:
        return again_ping(f, out);
    case P2P_PROOF:
        return again_proof(f, out);
    default:
        return p2p_is_envelope(f->type) && again_envelope(f, out);
    }
}

/* What the reader would let through. */
static bool is_let_in(const struct p2p_frame *f)
{
    uint32_t id = f->has_chunk ? EL_CHUNK_ID_CHARS : 0;

    return p2p_check_start(P2P_MAGIC, f->version, f->type, id, f->version, NULL) == EL_OK &&
           f->data.n <= P2P_MAX_BLOCK &&
           p2p_check_length(f->type, (uint32_t)f->data.n, NULL) == EL_OK &&
           p2p_check_tail(f, NULL) == EL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_bytes in = el_bytes_of((struct el_str){ (const char *)data, n });
    struct p2p_frame f = { .version = 1, .type = el_bytes_u8(&in) };
    struct el_buf out = { 0 }, expected = { 0 };

    f.has_chunk = el_bytes_u8(&in) % 2 == 1;
    f.flags = el_bytes_u8(&in);
    f.sequence = el_bytes_u32(&in);
    f.data = in.rest;
    if (in.is_bad || !is_let_in(&f))
        return 0;
    if (f.type == P2P_HELLO)
        check_hello(&f);
    if (again(&f, &out)) {
        p2p_frame_add(&expected, &f);
        CLAIM(el_str_eq(el_buf_str(&out), el_buf_str(&expected)));
    }
    el_buf_deinit(&out);
    el_buf_deinit(&expected);
    return 0;
}
