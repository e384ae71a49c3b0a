/* SPDX-License-Identifier: MIT */
/* What is in the frames: all that may be said comes through, all that may not is refused. */
#include "tests/lib/test.h"

#include "p2p/payload.h"
#include "p2p/wire_reader.h"
#include "tests/lib/frame.h"

/* ---- both ways ---- */

/* The one frame that was written, as the reader of a link hands it out; its data are the buffer's.
 */
static struct p2p_frame read_back(const struct el_buf *out, uint32_t version)
{
    struct el_str s = el_buf_str(out);
    struct p2p_reader reader;
    struct p2p_frame f;
    enum p2p_read event;

    p2p_reader_init(&reader);
    if (version != 0)
        p2p_reader_set_version(&reader, version);
    assert_int_equal(p2p_reader_feed(&reader, &s, &event, NULL), EL_OK);
    assert_int_equal(event, P2P_READ_FRAME);
    assert_int_equal(s.n, 0);
    f = reader.frame;
    f.data.p = out->p + out->n - P2P_TAIL_BYTES - f.data.n;
    p2p_reader_deinit(&reader);
    return f;
}

/* Big-endian 32-bit numbers. */
static void add_numbers(struct el_buf *data, const uint32_t *v, size_t n)
{
    el_buf_clear(data);
    for (size_t i = 0; i < n; i++)
        el_bytes_add_u32(data, v[i]);
}

#define NUMBERS(data, ...)                               \
    add_numbers(data, (const uint32_t[]){ __VA_ARGS__ }, \
                sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

typedef enum el_err decode_fn(const struct p2p_frame *f);

/* A frame whose data may have any length: cut short and with a byte more it has to be refused. */
static void check_strict(decode_fn *decode, const struct p2p_frame *right)
{
    struct p2p_frame f = *right;
    char *exact;

    for (size_t n = 0; n <= right->data.n + 1; n++) {
        exact = el_alloc(n + 1);
        memcpy(exact, right->data.p, el_min_size(n, right->data.n));
        f.data = (struct el_str){ exact, n };
        assert_int_equal(decode(&f), n == right->data.n ? EL_OK : EL_EPROTO);
        free(exact);
    }
}

/* ---- Request ---- */

static enum el_err decode_request(const struct p2p_frame *f)
{
    struct p2p_request r;

    return p2p_request_decode(f, &r, NULL);
}

static enum el_err request_of(uint32_t first, uint32_t count, uint32_t flags)
{
    struct el_buf data = { 0 };
    struct p2p_frame f;
    enum el_err rc;

    NUMBERS(&data, first, count, flags);
    f = frame_with(P2P_REQUEST, true, first, el_buf_str(&data));
    rc = decode_request(&f);
    el_buf_deinit(&data);
    return rc;
}

static void a_request_is_read_as_it_was_written(void **state)
{
    struct p2p_request r = { { 3, 13 }, P2P_WANT_MANIFEST | P2P_WANT_COMING }, back;
    struct el_buf out = { 0 };
    struct p2p_frame f;

    (void)state;
    p2p_request_add(&out, 1, &frame_chunk, P2P_RESUME, &r);
    f = read_back(&out, 1);
    assert_int_equal(f.type, P2P_REQUEST);
    assert_true(el_chunk_id_eq(&f.chunk, &frame_chunk));
    assert_int_equal(f.sequence, 3);
    assert_int_equal(f.flags, P2P_RESUME);
    assert_int_equal(p2p_request_decode(&f, &back, NULL), EL_OK);
    assert_int_equal(back.blocks.first, 3);
    assert_int_equal(back.blocks.count, 13);
    assert_int_equal(back.flags, r.flags);
    check_strict(decode_request, &f);
    f.sequence = 4;
    assert_int_equal(decode_request(&f), EL_EPROTO);
    el_buf_deinit(&out);
}

static void blocks_of_a_request_lie_within_a_chunk(void **state)
{
    (void)state;
    for (uint32_t first = 0; first < 20; first++) {
        for (uint32_t count = 1; count < 20; count++)
            assert_int_equal(request_of(first, count, 0) == EL_OK, first + count <= 16);
    }
    assert_int_equal(request_of(1, UINT32_MAX, 0), EL_EPROTO);
    assert_int_equal(request_of(UINT32_MAX, 1, 0), EL_EPROTO);
    assert_int_equal(request_of(UINT32_MAX, 2, 0), EL_EPROTO);
    assert_int_equal(request_of(UINT32_MAX - 15, 16, 0), EL_EPROTO);
}

static void a_request_without_blocks_is_for_what_is_known_of_the_chunk(void **state)
{
    (void)state;
    assert_int_equal(request_of(0, 0, 0), EL_EPROTO);
    assert_int_equal(request_of(0, 0, P2P_WANT_COMING), EL_EPROTO);
    assert_int_equal(request_of(0, 0, P2P_WANT_COMING | P2P_WANT_HAVE), EL_EPROTO);
    assert_int_equal(request_of(0, 0, P2P_WANT_MANIFEST), EL_OK);
    assert_int_equal(request_of(0, 0, P2P_WANT_HAVE), EL_OK);
    assert_int_equal(request_of(0, 0, P2P_WANT_RECORD), EL_OK);
    assert_int_equal(request_of(0, 0, P2P_WANT_MANIFEST | P2P_WANT_HAVE), EL_OK);
    assert_int_equal(request_of(1, 0, P2P_WANT_HAVE), EL_EPROTO);
    for (unsigned bit = 0; bit < 32; bit++)
        assert_int_equal(request_of(0, 1, (uint32_t)1 << bit) == EL_OK, bit < 4);
}

/* ---- Error ---- */

static enum el_err decode_error(const struct p2p_frame *f)
{
    struct p2p_refusal r;

    return p2p_error_decode(f, &r, NULL);
}

static void an_error_is_read_as_it_was_written(void **state)
{
    struct p2p_refusal r = { { 2, 3 }, EL_EOVERLOAD, 250, EL_STR("no slot") }, back;
    struct el_buf out = { 0 };
    struct p2p_frame f;

    (void)state;
    p2p_error_add(&out, 1, &frame_chunk, 99, &r);
    f = read_back(&out, 1);
    assert_int_equal(f.sequence, 2);
    assert_int_equal(p2p_error_decode(&f, &back, NULL), EL_OK);
    assert_int_equal(back.blocks.first, 2);
    assert_int_equal(back.blocks.count, 3);
    assert_int_equal(back.code, 1007);
    assert_int_equal(back.retry_after_ms, 250);
    assert_true(el_str_eq(back.text, r.text));
    f.sequence = 0;
    assert_int_equal(decode_error(&f), EL_EPROTO);
    el_buf_deinit(&out);
}

static void an_error_without_a_chunk_answers_a_question_or_ends_the_link(void **state)
{
    struct p2p_refusal r = { .code = EL_EVERSION, .text = EL_STR("") }, back;
    struct el_buf out = { 0 };
    struct p2p_frame f;

    (void)state;
    p2p_error_add(&out, 1, NULL, 77, &r);
    f = read_back(&out, 0); /* also before the version is agreed on */
    assert_false(f.has_chunk);
    assert_int_equal(f.sequence, 77);
    assert_int_equal(p2p_error_decode(&f, &back, NULL), EL_OK);
    assert_int_equal(back.code, 4001);
    assert_int_equal(back.text.n, 0);
    el_buf_deinit(&out);
}

static enum el_err error_of(bool has_chunk, uint32_t code, uint32_t first, uint32_t count,
                            struct el_str text)
{
    struct el_buf data = { 0 };
    struct p2p_frame f;
    enum el_err rc;

    NUMBERS(&data, code, first, count, 0);
    el_buf_add_str(&data, text);
    f = frame_with(P2P_ERROR, has_chunk, has_chunk ? first : 0, el_buf_str(&data));
    rc = decode_error(&f);
    el_buf_deinit(&data);
    return rc;
}

static void an_error_says_only_what_can_be(void **state)
{
    char text[P2P_MAX_TEXT + 1];

    (void)state;
    assert_int_equal(error_of(true, 1, 0, 16, EL_STR("")), EL_OK);
    assert_int_equal(error_of(true, 1, 0, 0, EL_STR("")), EL_OK);
    assert_int_equal(error_of(true, 0, 0, 0, EL_STR("")), EL_EPROTO);
    assert_int_equal(error_of(true, 1, 1, 16, EL_STR("")), EL_EPROTO);
    assert_int_equal(error_of(true, 1, 1, 0, EL_STR("")), EL_EPROTO);
    assert_int_equal(error_of(false, 1, 0, 1, EL_STR("")), EL_EPROTO);
    memset(text, 'x', sizeof(text));
    assert_int_equal(error_of(true, 1, 0, 0, (struct el_str){ text, P2P_MAX_TEXT }), EL_OK);
    assert_int_equal(error_of(true, 1, 0, 0, (struct el_str){ text, sizeof(text) }), EL_EPROTO);
    for (unsigned c = 0; c < 256; c++) {
        text[0] = (char)c;
        assert_int_equal(error_of(true, 1, 0, 0, (struct el_str){ text, 1 }) == EL_OK,
                         c >= 0x20 && c <= 0x7e);
    }
}

static void codes_of_a_newer_node_are_those_of_any_peer(void **state)
{
    (void)state;
    assert_int_equal(p2p_error_code(3001), EL_ENOTCACHED);
    assert_int_equal(p2p_error_code(1007), EL_EOVERLOAD);
    assert_int_equal(p2p_error_code(0), EL_EPEER);
    assert_int_equal(p2p_error_code(4999), EL_EPEER);
    assert_int_equal(p2p_error_code(UINT32_MAX), EL_EPEER);
}

/* ---- Cancel, Ack ---- */

static enum el_err decode_cancel(const struct p2p_frame *f)
{
    struct p2p_blocks b;

    return p2p_cancel_decode(f, &b, NULL);
}

static enum el_err decode_ack(const struct p2p_frame *f)
{
    uint32_t type;

    return p2p_ack_decode(f, &type, NULL);
}

static void a_cancel_is_read_as_it_was_written_and_acknowledged(void **state)
{
    struct p2p_blocks b = { 4, 12 }, back;
    struct el_buf out = { 0 }, ack = { 0 };
    struct p2p_frame f, a;
    uint32_t type;

    (void)state;
    p2p_cancel_add(&out, 1, &frame_chunk, &b);
    f = read_back(&out, 1);
    assert_int_equal(f.sequence, 4);
    assert_int_equal(p2p_cancel_decode(&f, &back, NULL), EL_OK);
    assert_int_equal(back.first, 4);
    assert_int_equal(back.count, 12);
    check_strict(decode_cancel, &f);

    p2p_ack_add(&ack, &f);
    a = read_back(&ack, 1);
    assert_int_equal(a.sequence, 4);
    assert_true(a.has_chunk && el_chunk_id_eq(&a.chunk, &frame_chunk));
    assert_int_equal(p2p_ack_decode(&a, &type, NULL), EL_OK);
    assert_int_equal(type, P2P_CANCEL);
    check_strict(decode_ack, &a);
    f.sequence = 5;
    assert_int_equal(decode_cancel(&f), EL_EPROTO);
    el_buf_deinit(&out);
    el_buf_deinit(&ack);
}

static void a_cancel_is_of_blocks_of_a_chunk_or_of_all(void **state)
{
    struct el_buf data = { 0 };

    (void)state;
    for (uint32_t first = 0; first < 18; first++) {
        for (uint32_t count = 0; count < 18; count++) {
            bool is_right = count == 0 ? first == 0 : first + count <= 16;
            struct p2p_frame f;

            NUMBERS(&data, first, count);
            f = frame_with(P2P_CANCEL, true, first, el_buf_str(&data));
            assert_int_equal(decode_cancel(&f), is_right ? EL_OK : EL_EPROTO);
        }
    }
    el_buf_deinit(&data);
}

static void only_cancels_and_messages_are_acknowledged(void **state)
{
    struct el_buf data = { 0 };

    (void)state;
    for (uint32_t type = 0; type < 60; type++) {
        struct p2p_frame f;

        NUMBERS(&data, type);
        f = frame_with(P2P_ACK, true, 0, el_buf_str(&data));
        assert_int_equal(decode_ack(&f) == EL_OK, type == P2P_CANCEL);
        f = frame_with(P2P_ACK, false, 0, el_buf_str(&data));
        assert_int_equal(decode_ack(&f) == EL_OK, type >= 16 && type <= 47);
    }
    el_buf_deinit(&data);
}

/* ---- Have ---- */

static enum el_err decode_have(const struct p2p_frame *f)
{
    struct p2p_have h;

    return p2p_have_decode(f, &h, NULL);
}

static enum el_err have_and_coming(uint32_t blocks, uint32_t bitmap, uint32_t filling,
                                   uint32_t coming)
{
    struct el_buf data = { 0 };
    struct p2p_frame f;
    enum el_err rc;

    NUMBERS(&data, blocks, bitmap, filling, coming);
    f = frame_with(P2P_HAVE, true, 0, el_buf_str(&data));
    rc = decode_have(&f);
    el_buf_deinit(&data);
    return rc;
}

static enum el_err have_of(uint32_t blocks, uint32_t bitmap, uint32_t filling)
{
    return have_and_coming(blocks, bitmap, filling, 0);
}

static void what_comes_is_not_there_and_not_beyond_the_end(void **state)
{
    (void)state;
    assert_int_equal(have_and_coming(4, 0x1, 1, 0x6), EL_OK);
    assert_int_equal(have_and_coming(4, 0x1, 1, 0x3), EL_EPROTO);
    assert_int_equal(have_and_coming(4, 0x1, 1, 0x10), EL_EPROTO);
    assert_int_equal(have_and_coming(4, 0xf, 0, 0x1), EL_EPROTO);
}

static void what_is_there_is_read_as_it_was_written(void **state)
{
    struct p2p_have h = { 16, 0x8001, true, 0x4002 }, back;
    struct el_buf out = { 0 };
    struct p2p_frame f;

    (void)state;
    p2p_have_add(&out, 1, &frame_chunk, &h);
    f = read_back(&out, 1);
    assert_int_equal(p2p_have_decode(&f, &back, NULL), EL_OK);
    assert_int_equal(back.blocks, 16);
    assert_int_equal(back.bitmap, 0x8001);
    assert_true(back.is_filling);
    assert_int_equal(back.coming, 0x4002);
    check_strict(decode_have, &f);
    el_buf_deinit(&out);
}

static void a_bitmap_has_no_bits_beyond_its_blocks(void **state)
{
    (void)state;
    for (uint32_t blocks = 1; blocks <= 16; blocks++) {
        uint32_t all = ((uint32_t)1 << blocks) - 1;

        assert_int_equal(have_of(blocks, 0, 0), EL_OK);
        assert_int_equal(have_of(blocks, 0, 1), EL_OK);
        assert_int_equal(have_of(blocks, all, 0), EL_OK);
        assert_int_equal(have_of(blocks, all, 1), EL_EPROTO);
        assert_int_equal(have_of(blocks, all + 1, 0), EL_EPROTO);
        assert_int_equal(have_of(blocks, 0x80000000, 0), EL_EPROTO);
        assert_int_equal(have_of(blocks, 0, 2), EL_EPROTO);
    }
    assert_int_equal(have_of(0, 0, 0), EL_EPROTO);
    assert_int_equal(have_of(17, 0, 0), EL_EPROTO);
    assert_int_equal(have_of(32, 0, 0), EL_EPROTO);
    assert_int_equal(have_of(UINT32_MAX, 0, 0), EL_EPROTO);
}

/* ---- Ping ---- */

static enum el_err decode_ping(const struct p2p_frame *f)
{
    struct p2p_ping p;

    return p2p_ping_decode(f, &p, NULL);
}

static void a_ping_brings_its_stamp_back(void **state)
{
    struct p2p_ping p = { P2P_QUESTION, 0x0123456789abcdef }, back;
    struct el_buf out = { 0 }, data = { 0 };
    struct p2p_frame f;

    (void)state;
    p2p_ping_add(&out, 1, 0xffffffff, &p);
    f = read_back(&out, 1);
    assert_int_equal(f.sequence, 0xffffffff);
    assert_int_equal(p2p_ping_decode(&f, &back, NULL), EL_OK);
    assert_int_equal(back.role, P2P_QUESTION);
    assert_int_equal(back.stamp, p.stamp);
    check_strict(decode_ping, &f);
    for (uint32_t role = 0; role < 6; role++) {
        NUMBERS(&data, role, 0, 0);
        f = frame_with(P2P_PING, false, 0, el_buf_str(&data));
        assert_int_equal(decode_ping(&f) == EL_OK, role == 1 || role == 2);
    }
    el_buf_deinit(&out);
    el_buf_deinit(&data);
}

/* ---- envelopes ---- */

static void a_message_is_read_as_it_was_written(void **state)
{
    static const uint32_t types[] = { 16, 31, 32, 47 };
    static const size_t lengths[] = { 1, 100, P2P_MAX_BODY };
    char *body = el_alloc(P2P_MAX_BODY);

    (void)state;
    assert_int_equal(P2P_MAX_BODY, 65532);
    for (size_t i = 0; i < EL_COUNT(types) * EL_COUNT(lengths); i++) {
        struct p2p_envelope e = { P2P_STATEMENT, { body, lengths[i % EL_COUNT(lengths)] } }, back;
        uint32_t type = types[i / EL_COUNT(lengths)];
        struct el_buf out = { 0 };
        struct p2p_frame f;

        p2p_envelope_add(&out, 1, type, 5, &e);
        f = read_back(&out, 1);
        assert_int_equal(f.type, type);
        assert_int_equal(f.sequence, 5);
        assert_int_equal(p2p_envelope_decode(&f, &back, NULL), EL_OK);
        assert_int_equal(back.role, P2P_STATEMENT);
        assert_true(el_str_eq(back.body, e.body));
        el_buf_deinit(&out);
    }
    free(body);
}

static void a_message_has_one_of_three_roles_and_a_body(void **state)
{
    struct p2p_envelope e;
    struct el_buf data = { 0 };
    struct p2p_frame f;

    (void)state;
    for (uint32_t role = 0; role < 6; role++) {
        NUMBERS(&data, role, 0);
        f = frame_with(P2P_GOSSIP, false, 0, el_buf_str(&data));
        assert_int_equal(p2p_envelope_decode(&f, &e, NULL) == EL_OK, role >= 1 && role <= 3);
    }
    NUMBERS(&data, P2P_ANSWER);
    f = frame_with(P2P_GOSSIP, false, 0, el_buf_str(&data));
    assert_int_equal(p2p_envelope_decode(&f, &e, NULL), EL_EPROTO);
    f.data.n = 3;
    assert_int_equal(p2p_envelope_decode(&f, &e, NULL), EL_EPROTO);
    el_buf_deinit(&data);
}

/* ---- Hello ---- */

static const struct p2p_hello hello = {
    .version_min = 1,
    .version_max = 7,
    .features = 0xf0e0d0c0b0a09080,
    .clock_ms = 1700000000123,
    .p2p_port = 9000,
    .http_port = 65535,
    .fingerprint = { { 1, 2, 3 } },
    .nonce = { 4, 5, 6 },
    .name = { "node-7", 6 },
    .cluster = { "train", 5 },
    .zone = { "", 0 },
};

static enum el_err decode_hello(const struct p2p_frame *f)
{
    struct p2p_hello h;

    return p2p_hello_decode(f, &h, NULL);
}

static void a_hello_is_read_as_it_was_written(void **state)
{
    struct el_buf out = { 0 };
    struct p2p_hello back;
    struct p2p_frame f;

    (void)state;
    p2p_hello_add(&out, &hello);
    f = read_back(&out, 0);
    assert_int_equal(f.version, P2P_VERSION_HELLO);
    assert_int_equal(p2p_hello_decode(&f, &back, NULL), EL_OK);
    assert_int_equal(back.version_min, 1);
    assert_int_equal(back.version_max, 7);
    assert_int_equal(back.features, hello.features);
    assert_int_equal(back.clock_ms, hello.clock_ms);
    assert_int_equal(back.p2p_port, 9000);
    assert_int_equal(back.http_port, 65535);
    assert_memory_equal(back.fingerprint.b, hello.fingerprint.b, sizeof(back.fingerprint.b));
    assert_memory_equal(back.nonce, hello.nonce, sizeof(back.nonce));
    assert_true(el_str_eq(back.name, hello.name));
    assert_true(el_str_eq(back.cluster, hello.cluster));
    assert_int_equal(back.zone.n, 0);
    el_buf_deinit(&out);
}

/* The one place where more than is known may come: a newer node says what an older one ignores. */
static void a_hello_cut_short_is_refused_and_a_longer_one_is_not(void **state)
{
    struct el_buf out = { 0 };
    struct p2p_frame f;
    struct el_str data;
    char *exact;

    (void)state;
    p2p_hello_add(&out, &hello);
    f = read_back(&out, 0);
    data = f.data;
    for (size_t n = 0; n < data.n + 20; n++) {
        exact = el_alloc(n + 1);
        memcpy(exact, data.p, el_min_size(n, data.n));
        f.data = (struct el_str){ exact, n };
        assert_int_equal(decode_hello(&f), n < data.n ? EL_EPROTO : EL_OK);
        free(exact);
    }
    el_buf_deinit(&out);
}

/* The data of a Hello, with a byte or a number in it changed. */
static enum el_err hello_with(size_t offset, const char *bytes, size_t n)
{
    struct el_buf out = { 0 };
    struct p2p_frame f;
    enum el_err rc;

    p2p_hello_add(&out, &hello);
    f = read_back(&out, 0);
    memcpy(out.p + (f.data.p - out.p) + offset, bytes, n);
    rc = decode_hello(&f);
    el_buf_deinit(&out);
    return rc;
}

static void versions_and_names_of_a_hello_are_such(void **state)
{
    (void)state;
    assert_int_equal(hello_with(0, "\0\0\0\0", 4), EL_EPROTO);     /* from 0 */
    assert_int_equal(hello_with(0, "\0\0\0\7", 4), EL_OK);         /* 7 to 7 */
    assert_int_equal(hello_with(0, "\0\0\0\10", 4), EL_EPROTO);    /* 8 to 7 */
    assert_int_equal(hello_with(4, "\377\377\377\377", 4), EL_OK); /* to anything */
    assert_int_equal(hello_with(76, "\101", 1), EL_EPROTO);        /* a name of 65 bytes */
    assert_int_equal(hello_with(76, "\377", 1), EL_EPROTO);
    for (unsigned c = 0; c < 256; c++) {
        char byte = (char)c;

        assert_int_equal(hello_with(77, &byte, 1) == EL_OK, c >= 0x20 && c <= 0x7e);
    }
}

static void names_may_have_64_bytes(void **state)
{
    struct p2p_hello h = hello, back;
    struct el_buf out = { 0 };
    struct p2p_frame f;
    char name[P2P_MAX_NAME];

    (void)state;
    memset(name, 'n', sizeof(name));
    h.name = h.cluster = h.zone = (struct el_str){ name, sizeof(name) };
    p2p_hello_add(&out, &h);
    f = read_back(&out, 0);
    assert_int_equal(p2p_hello_decode(&f, &back, NULL), EL_OK);
    assert_true(el_str_eq(back.zone, h.zone));
    el_buf_deinit(&out);
}

static void names_of_65_bytes_are_refused(void **state)
{
    static const char fixed[76] = { [3] = 1, [7] = 1 }, name[65] = { [0 ... 64] = 'n' };

    (void)state;
    for (unsigned n = 63; n <= 65; n++) {
        struct el_buf data = { 0 };
        struct p2p_frame f;

        el_buf_add(&data, fixed, sizeof(fixed));
        el_bytes_add_u8(&data, (uint8_t)n);
        el_buf_add(&data, name, n);
        el_bytes_add_u16(&data, 0); /* neither cluster nor zone */
        f = frame_with(P2P_HELLO, false, 0, el_buf_str(&data));
        assert_int_equal(decode_hello(&f), n <= 64 ? EL_OK : EL_EPROTO);
        el_buf_deinit(&data);
    }
}

/* ---- Proof ---- */

static void a_proof_is_read_as_it_was_written(void **state)
{
    struct p2p_proof p = { { 1, 2, 3 }, { 4, 5, 6 } }, back;
    struct el_buf out = { 0 };
    struct p2p_frame f;

    (void)state;
    p.signature[EL_SIGNATURE_BYTES - 1] = 7;
    p2p_proof_add(&out, 1, &p);
    f = read_back(&out, 1);
    assert_int_equal(p2p_proof_decode(&f, &back, NULL), EL_OK);
    assert_memory_equal(&back, &p, sizeof(p));
    f.data.n--;
    assert_int_equal(p2p_proof_decode(&f, &back, NULL), EL_EPROTO);
    el_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_read_as_it_was_written),
        cmocka_unit_test(blocks_of_a_request_lie_within_a_chunk),
        cmocka_unit_test(a_request_without_blocks_is_for_what_is_known_of_the_chunk),
        cmocka_unit_test(an_error_is_read_as_it_was_written),
        cmocka_unit_test(an_error_without_a_chunk_answers_a_question_or_ends_the_link),
        cmocka_unit_test(an_error_says_only_what_can_be),
        cmocka_unit_test(codes_of_a_newer_node_are_those_of_any_peer),
        cmocka_unit_test(a_cancel_is_read_as_it_was_written_and_acknowledged),
        cmocka_unit_test(a_cancel_is_of_blocks_of_a_chunk_or_of_all),
        cmocka_unit_test(only_cancels_and_messages_are_acknowledged),
        cmocka_unit_test(what_is_there_is_read_as_it_was_written),
        cmocka_unit_test(what_comes_is_not_there_and_not_beyond_the_end),
        cmocka_unit_test(a_bitmap_has_no_bits_beyond_its_blocks),
        cmocka_unit_test(a_ping_brings_its_stamp_back),
        cmocka_unit_test(a_message_is_read_as_it_was_written),
        cmocka_unit_test(a_message_has_one_of_three_roles_and_a_body),
        cmocka_unit_test(a_proof_is_read_as_it_was_written),
        cmocka_unit_test(a_hello_is_read_as_it_was_written),
        cmocka_unit_test(a_hello_cut_short_is_refused_and_a_longer_one_is_not),
        cmocka_unit_test(versions_and_names_of_a_hello_are_such),
        cmocka_unit_test(names_may_have_64_bytes),
        cmocka_unit_test(names_of_65_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
