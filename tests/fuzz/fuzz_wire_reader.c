/* SPDX-License-Identifier: MIT */
/*
 * An input is 1 when a version was agreed on (0: not yet), then frames without their hash, which
 * would let nothing through that was not written by us: it is put in here. However the bytes are
 * cut into pieces, the same frames come out, and what is let through keeps the rules and is written
 * again as the same bytes.
 */
#include "common/bytes.h"
#include "p2p/wire_reader.h"
#include "tests/fuzz/fuzz.h"

struct outcome {
    enum el_err rc;
    struct el_buf frames; /* written again; of blocks head and tail only */
    bool has_block, is_between;
};

/* The next frame with the hash of its data; as it is where it has no form. */
static struct el_str seal_one(struct el_str s, struct el_buf *out)
{
    struct el_bytes in = el_bytes_of(s);
    struct el_digest hash;
    struct el_str data;
    size_t id;

    (void)el_bytes_str(&in, 12);
    id = el_bytes_u32(&in);
    (void)el_bytes_str(&in, id);
    data = el_bytes_str(&in, el_bytes_u32(&in));
    if (in.is_bad) {
        el_buf_add_str(out, s);
        return (struct el_str){ NULL, 0 };
    }
    el_buf_add_str(out, el_str_first(s, s.n - in.rest.n));
    el_sha256_of(data.p, data.n, &hash);
    el_buf_add(out, hash.b, sizeof(hash.b));
    data = el_bytes_str(&in, el_min_size(in.rest.n, 5));
    el_buf_add_str(out, data);
    return in.rest;
}

static void check_frame(const struct p2p_frame *f, bool has_version, struct el_buf *again)
{
    struct p2p_head head;
    uint8_t tail[P2P_TAIL_BYTES];

    CLAIM(has_version ? f->type != P2P_HELLO : f->type == P2P_HELLO || f->type == P2P_ERROR);
    CLAIM(f->data.n <= P2P_MAX_BLOCK &&
          p2p_check_length(f->type, (uint32_t)f->data.n, NULL) == EL_OK);
    CLAIM(p2p_check_tail(f, NULL) == EL_OK);
    CLAIM((f->data.p == NULL) == (f->type == P2P_RESPONSE));
    p2p_head_write(f, &head);
    p2p_tail_write(f, tail);
    el_buf_add(again, head.b, head.n);
    if (f->data.p != NULL)
        el_buf_add_str(again, f->data);
    el_buf_add(again, tail, sizeof(tail));
}

/* Pieces of `step` bytes; 0: all at once. */
static struct outcome read_all(struct el_str s, bool has_version, size_t step)
{
    struct outcome o = { 0 };
    struct p2p_reader r;

    p2p_reader_init(&r);
    if (has_version)
        p2p_reader_set_version(&r, P2P_VERSION_MAX);
    while (o.rc == EL_OK && s.n > 0) {
        struct el_str piece = el_str_first(s, step == 0 ? s.n : step);
        enum p2p_read event = P2P_READ_FRAME;

        s = el_str_from(s, piece.n);
        while (o.rc == EL_OK && event != P2P_READ_MORE) {
            o.rc = p2p_reader_feed(&r, &piece, &event, NULL);
            o.has_block = o.has_block || event == P2P_READ_BLOCK;
            if (o.rc == EL_OK && event == P2P_READ_FRAME)
                check_frame(&r.frame, has_version, &o.frames);
        }
        CLAIM(o.rc != EL_OK || piece.n == 0);
        CLAIM(r.cap <= 2 * P2P_MAX_MANIFEST);
    }
    o.is_between = o.rc == EL_OK && p2p_reader_is_between(&r);
    p2p_reader_deinit(&r);
    return o;
}

static void check(struct el_str s, bool has_version)
{
    static const size_t steps[] = { 1, 7, 61 };
    struct outcome whole = read_all(s, has_version, 0);

    if (whole.is_between && !whole.has_block)
        CLAIM(el_str_eq(el_buf_str(&whole.frames), s));
    for (size_t i = 0; i < EL_COUNT(steps); i++) {
        struct outcome o = read_all(s, has_version, steps[i]);

        CLAIM(o.rc == whole.rc && o.is_between == whole.is_between);
        CLAIM(el_str_eq(el_buf_str(&o.frames), el_buf_str(&whole.frames)));
        el_buf_deinit(&o.frames);
    }
    el_buf_deinit(&whole.frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_str rest = el_str_from((struct el_str){ (const char *)data, n }, 1);
    bool has_version = n > 0 && data[0] == 1;
    struct el_buf sealed = { 0 };

    check(rest, has_version);
    while (rest.n > 0)
        rest = seal_one(rest, &sealed);
    check(el_buf_str(&sealed), has_version);
    el_buf_deinit(&sealed);
    return 0;
}
