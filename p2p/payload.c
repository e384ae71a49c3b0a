/* SPDX-License-Identifier: MIT */
/* payload: see payload.h; docs/protocol.md has the layouts. */
#include "p2p/payload.h"

#include "common/bytes.h"

#define WITHOUT_BLOCKS    (P2P_WANT_MANIFEST | P2P_WANT_HAVE | P2P_WANT_RECORD)
#define ALL_REQUEST_FLAGS (WITHOUT_BLOCKS | P2P_WANT_COMING)

static struct el_bytes data_of(const struct p2p_frame *f)
{
    EL_ASSERT(f->data.p != NULL);
    return el_bytes_of(f->data);
}

/* Consumes the data. */
static void add_frame(struct el_buf *out, struct p2p_frame *f, struct el_buf *data)
{
    f->data = el_buf_str(data);
    p2p_frame_add(out, f);
    el_buf_deinit(data);
}

static struct p2p_frame frame_of(uint32_t version, uint32_t type, const struct el_chunk_id *chunk,
                                 uint32_t sequence)
{
    struct p2p_frame f = { .version = version, .type = type, .sequence = sequence };

    if (chunk != NULL) {
        f.has_chunk = true;
        f.chunk = *chunk;
    }
    return f;
}

static enum el_err refuse(const struct p2p_frame *f, const char *what, struct el_error *err)
{
    return el_fail(err, EL_EPROTO, 0, "%s frame: %s", p2p_kind_of(f->type)->name, what);
}

static bool is_printable(struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 0x20 || s.p[i] > 0x7e)
            return false;
    }
    return true;
}

/* ---- blocks ---- */

static void add_blocks(struct el_buf *data, const struct p2p_blocks *b)
{
    el_bytes_add_u32(data, b->first);
    el_bytes_add_u32(data, b->count);
}

static struct p2p_blocks read_blocks(struct el_bytes *in)
{
    struct p2p_blocks b;

    b.first = el_bytes_u32(in);
    b.count = el_bytes_u32(in);
    return b;
}

static bool are_blocks(const struct p2p_blocks *b)
{
    if (b->count == 0)
        return b->first == 0;
    return b->count <= P2P_CHUNK_BLOCKS && b->first <= P2P_CHUNK_BLOCKS - b->count;
}

/* ---- Request ---- */

static bool is_request(const struct p2p_request *r)
{
    if ((r->flags & ~(uint32_t)ALL_REQUEST_FLAGS) != 0 || !are_blocks(&r->blocks))
        return false;
    if (r->blocks.count > 0)
        return true;
    return (r->flags & WITHOUT_BLOCKS) != 0 && (r->flags & P2P_WANT_COMING) == 0;
}

void p2p_request_add(struct el_buf *out, uint32_t version, const struct el_chunk_id *chunk,
                     uint8_t frame_flags, const struct p2p_request *r)
{
    struct p2p_frame f = frame_of(version, P2P_REQUEST, chunk, r->blocks.first);
    struct el_buf data = { 0 };

    EL_ASSERT(is_request(r));
    f.flags = frame_flags;
    add_blocks(&data, &r->blocks);
    el_bytes_add_u32(&data, r->flags);
    add_frame(out, &f, &data);
}

enum el_err p2p_request_decode(const struct p2p_frame *f, struct p2p_request *ret,
                               struct el_error *err)
{
    struct el_bytes in = data_of(f);
    struct p2p_request r;

    EL_ASSERT(f->type == P2P_REQUEST);
    r.blocks = read_blocks(&in);
    r.flags = el_bytes_u32(&in);
    if (!el_bytes_is_end(&in) || !is_request(&r))
        return refuse(f, "nobody can be asked for that", err);
    if (f->sequence != r.blocks.first)
        return refuse(f, "its sequence number is not its first block", err);
    *ret = r;
    return EL_OK;
}

/* ---- Error ---- */

static bool is_refusal(const struct p2p_refusal *r, bool has_chunk)
{
    return r->code != 0 && r->text.n <= P2P_MAX_TEXT && is_printable(r->text) &&
           are_blocks(&r->blocks) && (has_chunk || r->blocks.count == 0);
}

void p2p_error_add(struct el_buf *out, uint32_t version, const struct el_chunk_id *chunk,
                   uint32_t sequence, const struct p2p_refusal *r)
{
    struct p2p_frame f =
        frame_of(version, P2P_ERROR, chunk, chunk != NULL ? r->blocks.first : sequence);
    struct el_buf data = { 0 };

    EL_ASSERT(is_refusal(r, chunk != NULL));
    el_bytes_add_u32(&data, r->code);
    add_blocks(&data, &r->blocks);
    el_bytes_add_u32(&data, r->retry_after_ms);
    el_buf_add_str(&data, r->text);
    add_frame(out, &f, &data);
}

enum el_err p2p_error_decode(const struct p2p_frame *f, struct p2p_refusal *ret,
                             struct el_error *err)
{
    struct el_bytes in = data_of(f);
    struct p2p_refusal r;

    EL_ASSERT(f->type == P2P_ERROR);
    r.code = el_bytes_u32(&in);
    r.blocks = read_blocks(&in);
    r.retry_after_ms = el_bytes_u32(&in);
    r.text = el_bytes_str(&in, in.rest.n);
    if (!el_bytes_is_end(&in) || !is_refusal(&r, f->has_chunk))
        return refuse(f, "it says nothing that can be", err);
    if (f->has_chunk && f->sequence != r.blocks.first)
        return refuse(f, "its sequence number is not its first block", err);
    *ret = r;
    return EL_OK;
}

enum el_err p2p_error_code(uint32_t code)
{
    switch (code) {
#define EL_ERR(symbol, number, status, text) \
    case number:                             \
        return symbol;
#include "common/err_list.h"
#undef EL_ERR
    default:
        return EL_EPEER;
    }
}

/* ---- Cancel, Ack ---- */

void p2p_cancel_add(struct el_buf *out, uint32_t version, const struct el_chunk_id *chunk,
                    const struct p2p_blocks *blocks)
{
    struct p2p_frame f = frame_of(version, P2P_CANCEL, chunk, blocks->first);
    struct el_buf data = { 0 };

    EL_ASSERT(are_blocks(blocks));
    add_blocks(&data, blocks);
    add_frame(out, &f, &data);
}

enum el_err p2p_cancel_decode(const struct p2p_frame *f, struct p2p_blocks *ret,
                              struct el_error *err)
{
    struct el_bytes in = data_of(f);
    struct p2p_blocks b = read_blocks(&in);

    EL_ASSERT(f->type == P2P_CANCEL);
    if (!el_bytes_is_end(&in) || !are_blocks(&b))
        return refuse(f, "no blocks are like that", err);
    if (f->sequence != b.first)
        return refuse(f, "its sequence number is not its first block", err);
    *ret = b;
    return EL_OK;
}

static bool is_acknowledged(uint32_t type, bool has_chunk)
{
    return has_chunk ? type == P2P_CANCEL : p2p_is_envelope(type);
}

void p2p_ack_add(struct el_buf *out, const struct p2p_frame *acknowledged)
{
    const struct el_chunk_id *chunk = acknowledged->has_chunk ? &acknowledged->chunk : NULL;
    struct p2p_frame f = frame_of(acknowledged->version, P2P_ACK, chunk, acknowledged->sequence);
    struct el_buf data = { 0 };

    EL_ASSERT(is_acknowledged(acknowledged->type, f.has_chunk));
    el_bytes_add_u32(&data, acknowledged->type);
    add_frame(out, &f, &data);
}

enum el_err p2p_ack_decode(const struct p2p_frame *f, uint32_t *ret_type, struct el_error *err)
{
    struct el_bytes in = data_of(f);
    uint32_t type = el_bytes_u32(&in);

    EL_ASSERT(f->type == P2P_ACK);
    if (!el_bytes_is_end(&in) || !is_acknowledged(type, f->has_chunk))
        return refuse(f, "of a frame that is not acknowledged", err);
    *ret_type = type;
    return EL_OK;
}

/* ---- Have ---- */

static bool is_have(const struct p2p_have *h)
{
    uint32_t all;

    if (h->blocks < 1 || h->blocks > P2P_CHUNK_BLOCKS)
        return false;
    all = ((uint32_t)1 << h->blocks) - 1;
    return (h->bitmap & ~all) == 0 && (h->coming & (~all | h->bitmap)) == 0 &&
           !(h->is_filling && h->bitmap == all);
}

void p2p_have_add(struct el_buf *out, uint32_t version, const struct el_chunk_id *chunk,
                  const struct p2p_have *h)
{
    struct p2p_frame f = frame_of(version, P2P_HAVE, chunk, 0);
    struct el_buf data = { 0 };

    EL_ASSERT(is_have(h));
    el_bytes_add_u32(&data, h->blocks);
    el_bytes_add_u32(&data, h->bitmap);
    el_bytes_add_u32(&data, h->is_filling);
    el_bytes_add_u32(&data, h->coming);
    add_frame(out, &f, &data);
}

enum el_err p2p_have_decode(const struct p2p_frame *f, struct p2p_have *ret, struct el_error *err)
{
    struct el_bytes in = data_of(f);
    struct p2p_have h;
    uint32_t filling;

    EL_ASSERT(f->type == P2P_HAVE);
    h.blocks = el_bytes_u32(&in);
    h.bitmap = el_bytes_u32(&in);
    filling = el_bytes_u32(&in);
    h.is_filling = filling != 0;
    h.coming = el_bytes_u32(&in);
    if (!el_bytes_is_end(&in) || filling > 1 || !is_have(&h))
        return refuse(f, "no chunk is like that", err);
    *ret = h;
    return EL_OK;
}

/* ---- Ping ---- */

static bool is_ping_role(uint32_t role)
{
    return role == P2P_QUESTION || role == P2P_ANSWER;
}

void p2p_ping_add(struct el_buf *out, uint32_t version, uint32_t sequence, const struct p2p_ping *p)
{
    struct p2p_frame f = frame_of(version, P2P_PING, NULL, sequence);
    struct el_buf data = { 0 };

    EL_ASSERT(is_ping_role(p->role));
    el_bytes_add_u32(&data, p->role);
    el_bytes_add_u64(&data, p->stamp);
    add_frame(out, &f, &data);
}

enum el_err p2p_ping_decode(const struct p2p_frame *f, struct p2p_ping *ret, struct el_error *err)
{
    struct el_bytes in = data_of(f);
    uint32_t role = el_bytes_u32(&in);
    uint64_t stamp = el_bytes_u64(&in);

    EL_ASSERT(f->type == P2P_PING);
    if (!el_bytes_is_end(&in) || !is_ping_role(role))
        return refuse(f, "neither question nor answer", err);
    *ret = (struct p2p_ping){ (enum p2p_role)role, stamp };
    return EL_OK;
}

/* ---- envelopes ---- */

static bool is_role(uint32_t role)
{
    return role == P2P_STATEMENT || is_ping_role(role);
}

void p2p_envelope_add(struct el_buf *out, uint32_t version, uint32_t type, uint32_t sequence,
                      const struct p2p_envelope *e)
{
    struct p2p_frame f = frame_of(version, type, NULL, sequence);
    struct el_buf data = { 0 };

    EL_ASSERT(p2p_is_envelope(type) && is_role(e->role));
    EL_ASSERT(e->body.n >= 1 && e->body.n <= P2P_MAX_BODY);
    el_bytes_add_u32(&data, e->role);
    el_buf_add_str(&data, e->body);
    add_frame(out, &f, &data);
}

enum el_err p2p_envelope_decode(const struct p2p_frame *f, struct p2p_envelope *ret,
                                struct el_error *err)
{
    struct el_bytes in = data_of(f);
    uint32_t role = el_bytes_u32(&in);

    EL_ASSERT(p2p_is_envelope(f->type));
    if (in.is_bad || in.rest.n == 0 || !is_role(role))
        return refuse(f, "neither question, answer nor statement", err);
    *ret = (struct p2p_envelope){ (enum p2p_role)role, in.rest };
    return EL_OK;
}

/* ---- Hello ---- */

static bool is_name(struct el_str s)
{
    return s.n <= P2P_MAX_NAME && is_printable(s);
}

static bool is_hello(const struct p2p_hello *h)
{
    return h->version_min >= 1 && h->version_min <= h->version_max && is_name(h->name) &&
           is_name(h->cluster) && is_name(h->zone);
}

static void add_name(struct el_buf *data, struct el_str s)
{
    el_bytes_add_u8(data, (uint8_t)s.n);
    el_buf_add_str(data, s);
}

static struct el_str read_name(struct el_bytes *in)
{
    size_t n = el_bytes_u8(in);

    return el_bytes_str(in, n);
}

void p2p_hello_add(struct el_buf *out, const struct p2p_hello *h)
{
    struct p2p_frame f = frame_of(P2P_VERSION_HELLO, P2P_HELLO, NULL, 0);
    struct el_buf data = { 0 };

    EL_ASSERT(is_hello(h));
    el_bytes_add_u32(&data, h->version_min);
    el_bytes_add_u32(&data, h->version_max);
    el_bytes_add_u64(&data, h->features);
    el_bytes_add_u64(&data, h->clock_ms);
    el_bytes_add_u16(&data, h->p2p_port);
    el_bytes_add_u16(&data, h->http_port);
    el_buf_add(&data, h->fingerprint.b, sizeof(h->fingerprint.b));
    el_buf_add(&data, h->nonce, sizeof(h->nonce));
    add_name(&data, h->name);
    add_name(&data, h->cluster);
    add_name(&data, h->zone);
    add_frame(out, &f, &data);
}

enum el_err p2p_hello_decode(const struct p2p_frame *f, struct p2p_hello *ret, struct el_error *err)
{
    struct el_bytes in = data_of(f);
    struct p2p_hello h = { 0 };

    EL_ASSERT(f->type == P2P_HELLO);
    h.version_min = el_bytes_u32(&in);
    h.version_max = el_bytes_u32(&in);
    h.features = el_bytes_u64(&in);
    h.clock_ms = el_bytes_u64(&in);
    h.p2p_port = el_bytes_u16(&in);
    h.http_port = el_bytes_u16(&in);
    el_bytes_copy(&in, h.fingerprint.b, sizeof(h.fingerprint.b));
    el_bytes_copy(&in, h.nonce, sizeof(h.nonce));
    h.name = read_name(&in);
    h.cluster = read_name(&in);
    h.zone = read_name(&in);
    if (in.is_bad || !is_hello(&h))
        return refuse(f, "no node is like that", err);
    *ret = h;
    return EL_OK;
}

/* ---- Proof ---- */

void p2p_proof_add(struct el_buf *out, uint32_t version, const struct p2p_proof *p)
{
    struct p2p_frame f = frame_of(version, P2P_PROOF, NULL, 0);
    struct el_buf data = { 0 };

    el_buf_add(&data, p->key, sizeof(p->key));
    el_buf_add(&data, p->signature, sizeof(p->signature));
    add_frame(out, &f, &data);
}

enum el_err p2p_proof_decode(const struct p2p_frame *f, struct p2p_proof *ret, struct el_error *err)
{
    struct el_bytes in = data_of(f);
    struct p2p_proof p;

    EL_ASSERT(f->type == P2P_PROOF);
    el_bytes_copy(&in, p.key, sizeof(p.key));
    el_bytes_copy(&in, p.signature, sizeof(p.signature));
    if (!el_bytes_is_end(&in))
        return refuse(f, "not a key and a signature", err);
    *ret = p;
    return EL_OK;
}
