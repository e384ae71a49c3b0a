/* SPDX-License-Identifier: MIT */
/* Frames out of pieces: what is let in, when memory is taken for it, and where it ends up. */
#include "tests/lib/test.h"

#include <malloc.h>

#include "common/rng.h"
#include "p2p/wire_reader.h"
#include "tests/lib/frame.h"

struct link {
    struct p2p_reader reader;
    struct el_buf bytes;
};

static void open_link(struct link *l, uint32_t version)
{
    *l = (struct link){ 0 };
    p2p_reader_init(&l->reader);
    if (version != 0)
        p2p_reader_set_version(&l->reader, version);
}

static void close_link(struct link *l)
{
    p2p_reader_deinit(&l->reader);
    el_buf_deinit(&l->bytes);
}

/* What one frame alone comes to on a new link. */
static enum el_err judge(uint32_t version, const struct raw_frame *r)
{
    enum p2p_read event = P2P_READ_BLOCK;
    enum el_err rc;
    struct el_str s;
    struct link l;

    open_link(&l, version);
    raw_add(&l.bytes, r);
    s = el_buf_str(&l.bytes);
    do {
        rc = p2p_reader_feed(&l.reader, &s, &event, NULL);
    } while (rc == EL_OK && event == P2P_READ_BLOCK);
    if (rc == EL_OK)
        assert_int_equal(event, P2P_READ_FRAME);
    close_link(&l);
    return rc;
}

static const struct raw_frame ping = { .type = P2P_PING, .data = { "twelve bytes", 12 } };
static const struct raw_frame last_block = {
    .type = P2P_RESPONSE,
    .id = { FRAME_ID, 41 },
    .data = { "block", 5 },
    .sequence = 2,
    .flags = P2P_LAST,
};

/* ---- one frame ---- */

static void a_right_frame_is_handed_out_as_it_was_sent(void **state)
{
    enum p2p_read event;
    struct el_str s;
    struct link l;

    (void)state;
    open_link(&l, 1);
    raw_add(&l.bytes, &ping);
    s = el_buf_str(&l.bytes);
    assert_int_equal(p2p_reader_feed(&l.reader, &s, &event, NULL), EL_OK);
    assert_int_equal(event, P2P_READ_FRAME);
    assert_int_equal(l.reader.frame.type, P2P_PING);
    assert_false(l.reader.frame.has_chunk);
    assert_true(el_str_eq(l.reader.frame.data, ping.data));
    assert_int_equal(s.n, 0);
    assert_int_equal(p2p_reader_feed(&l.reader, &s, &event, NULL), EL_OK);
    assert_int_equal(event, P2P_READ_MORE);
    close_link(&l);
}

static struct raw_frame with(struct raw_frame r, void (*change)(struct raw_frame *r))
{
    change(&r);
    return r;
}

static void wrong_magic(struct raw_frame *r)
{
    r->magic = 0x504b4843;
}

static void wrong_type(struct raw_frame *r)
{
    r->type = 15;
}

static void wrong_hash(struct raw_frame *r)
{
    r->has_wrong_hash = true;
}

static void wrong_flags(struct raw_frame *r)
{
    r->flags = 0x80;
}

static void compressed(struct raw_frame *r)
{
    r->flags |= P2P_COMPRESSED;
}

static void wrong_block(struct raw_frame *r)
{
    r->sequence = 16;
}

static void short_block(struct raw_frame *r)
{
    r->flags = 0;
}

static void four_gib(struct raw_frame *r)
{
    r->data_length = UINT32_MAX;
}

static void four_gib_of_id(struct raw_frame *r)
{
    r->id_length = UINT32_MAX;
}

static void upper_case(struct raw_frame *r)
{
    r->id = EL_STR("000102030405060708090A0b0c0d0e0f-00000003");
}

static void a_path(struct raw_frame *r)
{
    r->id = EL_STR("../../../../../../../../../../../../etc/x");
}

static void each_rule_is_kept(void **state)
{
    static void (*const of_ping[])(struct raw_frame * r) = {
        wrong_magic, wrong_type, wrong_flags, four_gib, four_gib_of_id,
    };
    static void (*const of_block[])(struct raw_frame * r) = {
        wrong_magic, wrong_type, wrong_flags, wrong_block,    short_block,
        upper_case,  a_path,     four_gib,    four_gib_of_id,
    };
    struct raw_frame r;

    (void)state;
    assert_int_equal(judge(1, &ping), EL_OK);
    assert_int_equal(judge(1, &last_block), EL_OK);
    for (size_t i = 0; i < EL_COUNT(of_ping); i++) {
        r = with(ping, of_ping[i]);
        assert_int_equal(judge(1, &r), EL_EPROTO);
    }
    for (size_t i = 0; i < EL_COUNT(of_block); i++) {
        r = with(last_block, of_block[i]);
        assert_int_equal(judge(1, &r), EL_EPROTO);
    }
    r = with(ping, wrong_hash);
    assert_int_equal(judge(1, &r), EL_EHASH);
    r = with(last_block, wrong_hash);
    assert_int_equal(judge(1, &r), EL_EHASH);
    r = with(last_block, compressed);
    assert_int_equal(judge(1, &r), EL_EUNSUPPORTED);
}

/* Whatever bit falls over, the frame is not taken for another one. */
static void no_bit_of_a_frame_may_be_another(void **state)
{
    struct el_buf raw = { 0 };
    enum p2p_read event;

    (void)state;
    raw_add(&raw, &last_block);
    for (size_t bit = 0; bit < 8 * raw.n; bit++) {
        enum el_err rc;
        struct el_str s;
        struct link l;

        open_link(&l, 1);
        raw.p[bit / 8] = (char)(raw.p[bit / 8] ^ 1 << bit % 8);
        s = el_buf_str(&raw);
        do {
            rc = p2p_reader_feed(&l.reader, &s, &event, NULL);
        } while (rc == EL_OK && event == P2P_READ_BLOCK);
        if (rc == EL_OK && event == P2P_READ_FRAME)
            assert_true(!el_chunk_id_eq(&l.reader.frame.chunk, &frame_chunk) ||
                        l.reader.frame.sequence != last_block.sequence);
        raw.p[bit / 8] = (char)(raw.p[bit / 8] ^ 1 << bit % 8);
        close_link(&l);
    }
    el_buf_deinit(&raw);
}

/* ---- versions ---- */

static void before_the_version_is_agreed_on_only_hello_and_error_come_in(void **state)
{
    char zeros[79] = { 0 };

    (void)state;
    for (uint32_t type = 1; type <= 47; type++) {
        const struct p2p_kind *k = p2p_kind_of(type);
        struct raw_frame r = { .type = type };

        if (k == NULL)
            continue;
        if (k->chunk == P2P_CHUNK_YES)
            r.id = EL_STR(FRAME_ID);
        if (type == P2P_RESPONSE)
            r.flags = P2P_LAST;
        r.data = (struct el_str){ zeros, el_min_size(k->least, sizeof(zeros)) };
        assert_int_equal(judge(0, &r), type == P2P_HELLO || type == P2P_ERROR ? EL_OK : EL_EPROTO);
    }
}

static void a_second_hello_is_refused(void **state)
{
    char zeros[79] = { 0 };
    struct raw_frame hello = { .type = P2P_HELLO, .data = { zeros, sizeof(zeros) } };

    (void)state;
    assert_int_equal(judge(0, &hello), EL_OK);
    assert_int_equal(judge(1, &hello), EL_EPROTO);
}

static void frames_are_of_the_version_that_was_agreed_on(void **state)
{
    struct raw_frame r = ping;

    (void)state;
    r.version = 2;
    assert_int_equal(judge(1, &r), EL_EVERSION);
    r.type = P2P_HELLO;
    assert_int_equal(judge(0, &r), EL_EVERSION);
}

/* ---- pieces ---- */

struct seen {
    unsigned frames, blocks;
    uint64_t digest;
};

static void note(struct seen *s, const struct p2p_frame *f)
{
    s->frames++;
    s->digest = s->digest * 31 + f->type * 7 + f->sequence + f->flags;
    s->digest = el_str_siphash(f->data, s->digest, f->data.n);
}

static void read_all(struct link *l, struct el_str s, size_t most, struct el_rng *rng, void *mem,
                     struct seen *ret)
{
    *ret = (struct seen){ 0 };
    while (s.n > 0) {
        size_t n = most == 0 ? s.n : 1 + (size_t)el_rng_below(rng, most);
        struct el_str piece = el_str_first(s, n);
        enum p2p_read event;

        s = el_str_from(s, piece.n);
        do {
            assert_int_equal(p2p_reader_feed(&l->reader, &piece, &event, NULL), EL_OK);
            if (event == P2P_READ_BLOCK) {
                ret->blocks++;
                p2p_reader_place(&l->reader, mem);
            }
            if (event == P2P_READ_FRAME)
                note(ret, &l->reader.frame);
        } while (event != P2P_READ_MORE);
        assert_int_equal(piece.n, 0);
    }
    assert_true(p2p_reader_is_between(&l->reader));
}

static void fill(void *mem, size_t n, unsigned salt)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)mem)[i] = (uint8_t)(i * 131 + salt + i / 4093);
}

static void the_size_of_the_pieces_does_not_matter(void **state)
{
    static const size_t sizes[] = { 0, 1, 2, 17, 100, 5000 };
    struct el_str envelope = { el_alloc(65536), 65536 };
    struct raw_frame gossip = { .type = P2P_GOSSIP, .data = envelope };
    char *mem = el_alloc(P2P_MAX_BLOCK);
    struct seen first = { 0 }, seen;
    struct el_rng rng;
    struct link l;

    (void)state;
    el_rng_seed(&rng, 7);
    fill((void *)envelope.p, envelope.n, 1);
    for (size_t i = 0; i < EL_COUNT(sizes); i++) {
        open_link(&l, 1);
        for (unsigned k = 0; k < 3; k++) {
            raw_add(&l.bytes, &ping);
            raw_add(&l.bytes, &last_block);
            raw_add(&l.bytes, &gossip);
        }
        read_all(&l, el_buf_str(&l.bytes), sizes[i], &rng, mem, &seen);
        assert_int_equal(seen.frames, 9);
        assert_int_equal(seen.blocks, 3);
        if (i == 0)
            first = seen;
        assert_int_equal(seen.digest, first.digest);
        close_link(&l);
    }
    free(mem);
    free((void *)envelope.p);
}

static void a_link_may_end_between_frames_only(void **state)
{
    struct el_buf raw = { 0 };
    enum p2p_read event = P2P_READ_MORE;
    struct link l;

    (void)state;
    raw_add(&raw, &ping);
    open_link(&l, 1);
    assert_true(p2p_reader_is_between(&l.reader));
    for (size_t i = 0; i < raw.n; i++) {
        struct el_str byte = { raw.p + i, 1 };

        assert_int_equal(p2p_reader_feed(&l.reader, &byte, &event, NULL), EL_OK);
        assert_int_equal(p2p_reader_is_between(&l.reader), i + 1 == raw.n);
    }
    assert_int_equal(event, P2P_READ_FRAME);
    close_link(&l);
    el_buf_deinit(&raw);
}

static void behind_an_error_nothing_is_read(void **state)
{
    struct raw_frame bad = with(ping, wrong_hash);
    enum p2p_read event = P2P_READ_BLOCK;
    struct el_error err;
    struct el_str s;
    struct link l;

    (void)state;
    open_link(&l, 1);
    raw_add(&l.bytes, &bad);
    raw_add(&l.bytes, &ping);
    s = el_buf_str(&l.bytes);
    assert_int_equal(p2p_reader_feed(&l.reader, &s, &event, NULL), EL_EHASH);
    assert_int_equal(p2p_reader_feed(&l.reader, &s, &event, &err), EL_EHASH);
    assert_string_equal(err.text, "the link failed before");
    assert_int_equal(event, P2P_READ_BLOCK);
    close_link(&l);
}

/* ---- blocks ---- */

static void send_block(struct link *l, const char *block, uint32_t number)
{
    struct raw_frame r = last_block;

    r.data = (struct el_str){ block, P2P_MAX_BLOCK };
    r.sequence = number;
    r.flags = 0;
    raw_add(&l->bytes, &r);
}

static void a_block_goes_where_the_caller_says(void **state)
{
    char *block = el_alloc(P2P_MAX_BLOCK), *mem = el_alloc(P2P_MAX_BLOCK);
    enum p2p_read event;
    struct el_str s;
    struct link l;

    (void)state;
    open_link(&l, 1);
    fill(block, P2P_MAX_BLOCK, 3);
    send_block(&l, block, 9);
    s = el_buf_str(&l.bytes);
    assert_int_equal(p2p_reader_feed(&l.reader, &s, &event, NULL), EL_OK);
    assert_int_equal(event, P2P_READ_BLOCK);
    assert_int_equal(l.reader.frame.data.n, P2P_MAX_BLOCK);
    assert_true(el_chunk_id_eq(&l.reader.frame.chunk, &frame_chunk));
    p2p_reader_place(&l.reader, mem);
    assert_int_equal(p2p_reader_feed(&l.reader, &s, &event, NULL), EL_OK);
    assert_int_equal(event, P2P_READ_FRAME);
    assert_ptr_equal(l.reader.frame.data.p, mem);
    assert_memory_equal(mem, block, P2P_MAX_BLOCK);
    assert_int_equal(l.reader.frame.sequence, 9);
    close_link(&l);
    free(block);
    free(mem);
}

/* As a kernel would: the head through feed(), then two receives straight into the place. */
static void a_block_may_be_received_straight_to_its_place(void **state)
{
    char *block = el_alloc(P2P_MAX_BLOCK), *mem = el_alloc(P2P_MAX_BLOCK), *to;
    enum p2p_read event;
    struct el_str s;
    struct link l;
    size_t n;

    (void)state;
    open_link(&l, 1);
    fill(block, P2P_MAX_BLOCK, 5);
    send_block(&l, block, 0);
    s = el_str_first(el_buf_str(&l.bytes), P2P_HEAD_MAX);
    assert_null(p2p_reader_direct(&l.reader, &n));
    assert_int_equal(p2p_reader_feed(&l.reader, &s, &event, NULL), EL_OK);
    assert_null(p2p_reader_direct(&l.reader, &n));
    p2p_reader_place(&l.reader, mem);
    to = p2p_reader_direct(&l.reader, &n);
    assert_ptr_equal(to, mem);
    assert_int_equal(n, P2P_MAX_BLOCK);
    memcpy(to, block, 1000);
    p2p_reader_arrived(&l.reader, 1000);
    to = p2p_reader_direct(&l.reader, &n);
    assert_ptr_equal(to, mem + 1000);
    memcpy(to, block + 1000, n);
    p2p_reader_arrived(&l.reader, n);
    assert_null(p2p_reader_direct(&l.reader, &n));
    s = el_str_from(el_buf_str(&l.bytes), P2P_HEAD_MAX + P2P_MAX_BLOCK);
    assert_int_equal(p2p_reader_feed(&l.reader, &s, &event, NULL), EL_OK);
    assert_int_equal(event, P2P_READ_FRAME);
    assert_memory_equal(mem, block, P2P_MAX_BLOCK);
    close_link(&l);
    free(block);
    free(mem);
}

static void a_block_without_a_place_goes_by_and_its_hash_counts_all_the_same(void **state)
{
    char *block = el_alloc(P2P_MAX_BLOCK);
    enum p2p_read event;
    struct el_str s;
    struct link l;

    (void)state;
    open_link(&l, 1);
    fill(block, P2P_MAX_BLOCK, 3);
    send_block(&l, block, 1);
    send_block(&l, block, 2);
    l.bytes.p[l.bytes.n - P2P_TAIL_BYTES - 1] ^= 1;
    s = el_buf_str(&l.bytes);
    assert_int_equal(p2p_reader_feed(&l.reader, &s, &event, NULL), EL_OK);
    assert_int_equal(p2p_reader_feed(&l.reader, &s, &event, NULL), EL_OK);
    assert_int_equal(event, P2P_READ_FRAME);
    assert_null(l.reader.frame.data.p);
    assert_int_equal(l.reader.frame.data.n, P2P_MAX_BLOCK);
    assert_int_equal(p2p_reader_feed(&l.reader, &s, &event, NULL), EL_OK);
    assert_int_equal(p2p_reader_feed(&l.reader, &s, &event, NULL), EL_EHASH);
    close_link(&l);
    free(block);
}

/* ---- memory ---- */

/* The head of a frame of the type's greatest length, and nothing of its data. */
static void send_head(struct link *l, uint32_t type)
{
    const struct p2p_kind *k = p2p_kind_of(type);
    struct p2p_frame f =
        frame_with(type, k->chunk == P2P_CHUNK_YES, 0, (struct el_str){ NULL, k->most });
    struct p2p_head head;

    p2p_head_write(&f, &head);
    el_buf_add(&l->bytes, head.b, head.n);
}

static void a_promise_of_data_takes_no_memory_and_data_at_most_twice_theirs(void **state)
{
    static const uint32_t types[] = { P2P_MANIFEST, P2P_GOSSIP, P2P_RESPONSE };
    char piece[1000] = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(types); i++) {
        enum p2p_read event;
        struct el_str s;
        struct link l;
        size_t sent = 0;

        open_link(&l, 1);
        send_head(&l, types[i]);
        s = el_buf_str(&l.bytes);
        assert_int_equal(p2p_reader_feed(&l.reader, &s, &event, NULL), EL_OK);
        assert_null(l.reader.own);
        while (sent + sizeof(piece) < 60000) {
            s = (struct el_str){ piece, sizeof(piece) };
            assert_int_equal(p2p_reader_feed(&l.reader, &s, &event, NULL), EL_OK);
            sent += sizeof(piece);
            assert_true(l.reader.cap <= (sent < 2048 ? 4096 : 2 * sent));
            if (l.reader.own != NULL)
                assert_true(malloc_usable_size(l.reader.own) >= l.reader.cap);
        }
        assert_int_equal(l.reader.own == NULL, types[i] == P2P_RESPONSE);
        close_link(&l);
    }
}

static void the_memory_of_a_long_frame_is_not_kept(void **state)
{
    struct el_str body = { el_alloc(65536), 65536 };
    struct raw_frame long_one = { .type = P2P_TRACKER, .data = body };
    enum p2p_read event;
    struct el_str s;
    struct link l;

    (void)state;
    open_link(&l, 1);
    raw_add(&l.bytes, &long_one);
    raw_add(&l.bytes, &ping);
    s = el_buf_str(&l.bytes);
    assert_int_equal(p2p_reader_feed(&l.reader, &s, &event, NULL), EL_OK);
    assert_true(l.reader.cap >= 65536);
    assert_int_equal(p2p_reader_feed(&l.reader, &s, &event, NULL), EL_OK);
    assert_int_equal(event, P2P_READ_FRAME);
    assert_int_equal(l.reader.cap, 4096);
    close_link(&l);
    free((void *)body.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_frame_is_handed_out_as_it_was_sent),
        cmocka_unit_test(each_rule_is_kept),
        cmocka_unit_test(no_bit_of_a_frame_may_be_another),
        cmocka_unit_test(before_the_version_is_agreed_on_only_hello_and_error_come_in),
        cmocka_unit_test(a_second_hello_is_refused),
        cmocka_unit_test(frames_are_of_the_version_that_was_agreed_on),
        cmocka_unit_test(the_size_of_the_pieces_does_not_matter),
        cmocka_unit_test(a_link_may_end_between_frames_only),
        cmocka_unit_test(behind_an_error_nothing_is_read),
        cmocka_unit_test(a_block_goes_where_the_caller_says),
        cmocka_unit_test(a_block_may_be_received_straight_to_its_place),
        cmocka_unit_test(a_block_without_a_place_goes_by_and_its_hash_counts_all_the_same),
        cmocka_unit_test(a_promise_of_data_takes_no_memory_and_data_at_most_twice_theirs),
        cmocka_unit_test(the_memory_of_a_long_frame_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
