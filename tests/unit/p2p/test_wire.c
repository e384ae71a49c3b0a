/* SPDX-License-Identifier: MIT */
/* The rules that hold for every frame, and how frames are written. */
#include "tests/lib/test.h"

#include "tests/lib/frame.h"

static const uint32_t types[] = {
    P2P_REQUEST,  P2P_RESPONSE, P2P_ERROR,       P2P_ACK,          P2P_HELLO,
    P2P_MANIFEST, P2P_HAVE,     P2P_CANCEL,      P2P_PING,         P2P_PROOF,
    P2P_GOSSIP,   P2P_TRACKER,  P2P_GOSSIP_LAST, P2P_TRACKER_LAST,
};

/* ---- types ---- */

static void the_types_have_the_documented_numbers(void **state)
{
    (void)state;
    assert_int_equal(P2P_REQUEST, 1);
    assert_int_equal(P2P_RESPONSE, 2);
    assert_int_equal(P2P_ERROR, 3);
    assert_int_equal(P2P_ACK, 4);
    assert_int_equal(P2P_RESUME, 1);
    assert_int_equal(P2P_COMPRESSED, 2);
    assert_int_equal(P2P_LAST, 4);
}

static void exactly_the_types_of_the_list_and_both_ranges_are_known(void **state)
{
    (void)state;
    for (uint32_t t = 0; t < 300; t++)
        assert_int_equal(p2p_kind_of(t) != NULL, (t >= 1 && t <= 10) || (t >= 16 && t <= 47));
    assert_null(p2p_kind_of(UINT32_MAX));
    assert_null(p2p_kind_of(0x01000000));
    for (uint32_t t = 0; t < 300; t++)
        assert_int_equal(p2p_is_envelope(t), t >= 16 && t <= 47);
    assert_string_equal(p2p_kind_of(31)->name, "Gossip");
    assert_string_equal(p2p_kind_of(32)->name, "Tracker");
}

static void nothing_is_longer_than_a_block_and_nothing_is_empty(void **state)
{
    (void)state;
    for (size_t i = 0; i < EL_COUNT(types); i++) {
        const struct p2p_kind *k = p2p_kind_of(types[i]);

        assert_true(k->least >= 1 && k->least <= k->most && k->most <= EL_MIB);
        assert_true(types[i] == P2P_RESPONSE || k->most <= 64 * EL_KIB);
    }
}

/* ---- the start of a frame ---- */

static enum el_err start(uint32_t type, uint32_t id_length)
{
    return p2p_check_start(0x43484b50, 1, type, id_length, 1, NULL);
}

static void another_magic_number_version_or_type_is_refused(void **state)
{
    struct el_error err;

    (void)state;
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t magic = P2P_MAGIC ^ (uint32_t)1 << bit;

        assert_int_equal(p2p_check_start(magic, 1, P2P_HELLO, 0, 1, NULL), EL_EPROTO);
    }
    assert_int_equal(p2p_check_start(P2P_MAGIC, 2, P2P_HELLO, 0, 1, &err), EL_EVERSION);
    assert_string_equal(err.text, "frame: of version 2 instead of 1");
    assert_int_equal(p2p_check_start(P2P_MAGIC, 0, P2P_HELLO, 0, 1, NULL), EL_EVERSION);
    assert_int_equal(p2p_check_start(P2P_MAGIC, 0x01000000, P2P_HELLO, 0, 1, NULL), EL_EVERSION);
    assert_int_equal(start(0, 0), EL_EPROTO);
    assert_int_equal(start(11, 0), EL_EPROTO);
    assert_int_equal(start(48, 0), EL_EPROTO);
}

static void a_chunk_id_has_41_bytes_or_none_as_its_type_demands(void **state)
{
    static const uint32_t wrong[] = { 1, 32, 40, 42, 0x29000000, UINT32_MAX };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(types); i++) {
        const struct p2p_kind *k = p2p_kind_of(types[i]);

        assert_int_equal(start(types[i], 0) == EL_OK, k->chunk != P2P_CHUNK_YES);
        assert_int_equal(start(types[i], 41) == EL_OK, k->chunk != P2P_CHUNK_NO);
        for (size_t w = 0; w < EL_COUNT(wrong); w++)
            assert_int_equal(start(types[i], wrong[w]), EL_EPROTO);
    }
    assert_int_equal(start(P2P_REQUEST, 0), EL_EPROTO);
    assert_int_equal(start(P2P_HELLO, 41), EL_EPROTO);
}

static void data_is_as_long_as_its_type_says(void **state)
{
    static const struct {
        uint32_t type, least, most;
    } bounds[] = {
        { P2P_REQUEST, 12, 12 },   { P2P_RESPONSE, 1, 1048576 },
        { P2P_ERROR, 16, 216 },    { P2P_ACK, 4, 4 },
        { P2P_HELLO, 79, 512 },    { P2P_MANIFEST, 148, 65536 },
        { P2P_HAVE, 16, 16 },      { P2P_CANCEL, 8, 8 },
        { P2P_PING, 12, 12 },      { P2P_PROOF, 96, 96 },
        { P2P_GOSSIP, 5, 65536 },  { 31, 5, 65536 },
        { P2P_TRACKER, 5, 65536 }, { 47, 5, 65536 },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(bounds); i++) {
        uint32_t type = bounds[i].type, least = bounds[i].least, most = bounds[i].most;

        assert_int_equal(p2p_check_length(type, 0, NULL), EL_EPROTO);
        assert_int_equal(p2p_check_length(type, least - 1, NULL), EL_EPROTO);
        assert_int_equal(p2p_check_length(type, least, NULL), EL_OK);
        assert_int_equal(p2p_check_length(type, most, NULL), EL_OK);
        assert_int_equal(p2p_check_length(type, most + 1, NULL), EL_EPROTO);
        assert_int_equal(p2p_check_length(type, UINT32_MAX, NULL), EL_EPROTO);
    }
}

/* ---- the end of a frame ---- */

static enum el_err tail(uint32_t type, bool has_chunk, uint32_t sequence, unsigned flags, size_t n)
{
    struct p2p_frame f = frame_with(type, has_chunk, sequence, (struct el_str){ NULL, n });

    f.flags = (uint8_t)flags;
    return p2p_check_tail(&f, NULL);
}

static void every_flag_without_meaning_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < EL_COUNT(types); i++) {
        const struct p2p_kind *k = p2p_kind_of(types[i]);

        for (unsigned flags = 0; flags < 256; flags++) {
            enum el_err rc = tail(types[i], k->chunk == P2P_CHUNK_YES, 0, flags, P2P_MAX_BLOCK);
            enum el_err expected = (flags & 2) != 0                       ? EL_EUNSUPPORTED
                                   : (flags & ~(unsigned)k->flags & 0xff) ? EL_EPROTO
                                                                          : EL_OK;

            assert_int_equal(rc, expected);
        }
    }
    assert_int_equal(tail(P2P_REQUEST, true, 0, P2P_RESUME, 12), EL_OK);
    assert_int_equal(tail(P2P_REQUEST, true, 0, P2P_LAST, 12), EL_EPROTO);
    assert_int_equal(tail(P2P_RESPONSE, true, 0, P2P_RESUME, P2P_MAX_BLOCK), EL_EPROTO);
}

static void sequence_numbers_are_blocks_zero_or_the_senders_own(void **state)
{
    (void)state;
    assert_int_equal(tail(P2P_REQUEST, true, 15, 0, 12), EL_OK);
    assert_int_equal(tail(P2P_REQUEST, true, 16, 0, 12), EL_EPROTO);
    assert_int_equal(tail(P2P_CANCEL, true, UINT32_MAX, 0, 8), EL_EPROTO);
    assert_int_equal(tail(P2P_ERROR, true, 16, 0, 16), EL_EPROTO);
    assert_int_equal(tail(P2P_ERROR, false, UINT32_MAX, 0, 16), EL_OK);
    assert_int_equal(tail(P2P_PING, false, UINT32_MAX, 0, 12), EL_OK);
    assert_int_equal(tail(40, false, UINT32_MAX, 0, 12), EL_OK);
    assert_int_equal(tail(P2P_HELLO, false, 1, 0, 63), EL_EPROTO);
    assert_int_equal(tail(P2P_MANIFEST, true, 1, 0, 148), EL_EPROTO);
    assert_int_equal(tail(P2P_HAVE, true, 1, 0, 12), EL_EPROTO);
}

static void only_the_last_block_of_a_chunk_may_be_short(void **state)
{
    (void)state;
    assert_int_equal(tail(P2P_RESPONSE, true, 0, 0, P2P_MAX_BLOCK), EL_OK);
    assert_int_equal(tail(P2P_RESPONSE, true, 14, 0, P2P_MAX_BLOCK), EL_OK);
    assert_int_equal(tail(P2P_RESPONSE, true, 15, 0, P2P_MAX_BLOCK), EL_EPROTO);
    assert_int_equal(tail(P2P_RESPONSE, true, 0, 0, P2P_MAX_BLOCK - 1), EL_EPROTO);
    assert_int_equal(tail(P2P_RESPONSE, true, 16, P2P_LAST, P2P_MAX_BLOCK), EL_EPROTO);
    for (uint32_t i = 0; i < 16; i++) {
        assert_int_equal(tail(P2P_RESPONSE, true, i, P2P_LAST, 1), EL_OK);
        assert_int_equal(tail(P2P_RESPONSE, true, i, P2P_LAST, P2P_MAX_BLOCK), EL_OK);
    }
}

/* ---- writing ---- */

static void check_written(const struct p2p_frame *f, const struct raw_frame *expected)
{
    struct el_buf raw = { 0 }, out = { 0 };
    struct p2p_head head;
    uint8_t tail_bytes[P2P_TAIL_BYTES];

    raw_add(&raw, expected);
    p2p_frame_add(&out, f);
    assert_int_equal(out.n, raw.n);
    assert_memory_equal(out.p, raw.p, raw.n);

    p2p_head_write(f, &head);
    assert_memory_equal(head.b, raw.p, head.n);
    assert_memory_equal(raw.p + head.n, f->data.p, f->data.n);
    p2p_tail_write(f, tail_bytes);
    assert_int_equal(head.n + f->data.n + P2P_TAIL_BYTES, raw.n);
    assert_memory_equal(tail_bytes, raw.p + head.n + f->data.n, P2P_TAIL_BYTES);
    el_buf_deinit(&raw);
    el_buf_deinit(&out);
}

static void a_frame_is_head_data_and_tail_in_the_documented_order(void **state)
{
    struct p2p_frame f = frame_with(P2P_RESPONSE, true, 5, EL_STR("short"));
    struct raw_frame r = { .type = 2, .id = EL_STR(FRAME_ID), .data = f.data };

    (void)state;
    f.flags = r.flags = P2P_LAST;
    r.sequence = 5;
    el_sha256_of("short", 5, &f.hash);
    check_written(&f, &r);
}

static void a_frame_without_a_chunk_has_no_bytes_for_it(void **state)
{
    struct p2p_frame f = frame_with(P2P_PING, false, 0xfedcba98, EL_STR("twelve bytes"));
    struct raw_frame r = { .type = 9, .data = f.data, .sequence = 0xfedcba98 };
    struct p2p_head head;

    (void)state;
    el_sha256_of(f.data.p, f.data.n, &f.hash);
    check_written(&f, &r);
    p2p_head_write(&f, &head);
    assert_int_equal(head.n, 20);
}

/* The hash of a block comes from its manifest: its bytes are not touched. */
static void head_and_tail_of_a_block_are_written_without_its_bytes(void **state)
{
    struct p2p_frame f = frame_with(P2P_RESPONSE, true, 0, (struct el_str){ NULL, P2P_MAX_BLOCK });
    static const uint8_t length[] = { 0, 0x10, 0, 0 };
    struct p2p_head head;
    uint8_t tail_bytes[P2P_TAIL_BYTES];

    (void)state;
    memset(f.hash.b, 0xa5, sizeof(f.hash.b));
    p2p_head_write(&f, &head);
    p2p_tail_write(&f, tail_bytes);
    assert_int_equal(head.n, P2P_HEAD_MAX);
    assert_memory_equal(head.b + head.n - 4, length, 4);
    assert_memory_equal(tail_bytes, f.hash.b, sizeof(f.hash.b));
}

/* ---- versions ---- */

static void check_version(uint32_t a_min, uint32_t a_max, uint32_t b_min, uint32_t b_max,
                          uint32_t expected)
{
    uint32_t here = 0, there = 0;
    enum el_err rc = p2p_version_choose(a_min, a_max, b_min, b_max, &here, NULL);

    assert_int_equal(rc, p2p_version_choose(b_min, b_max, a_min, a_max, &there, NULL));
    assert_int_equal(rc, expected > 0 ? EL_OK : EL_EVERSION);
    assert_int_equal(here, expected);
    assert_int_equal(there, expected);
}

static void both_sides_choose_the_highest_version_that_both_speak(void **state)
{
    (void)state;
    check_version(1, 1, 1, 1, 1);
    check_version(1, 3, 2, 5, 3);
    check_version(1, 9, 4, 4, 4);
    check_version(2, 3, 3, UINT32_MAX, 3);
    check_version(1, 1, 2, 3, 0);
    check_version(1, 3, 4, 9, 0);
    check_version(3, 1, 1, 9, 0);
    check_version(0, 0, 0, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_types_have_the_documented_numbers),
        cmocka_unit_test(exactly_the_types_of_the_list_and_both_ranges_are_known),
        cmocka_unit_test(nothing_is_longer_than_a_block_and_nothing_is_empty),
        cmocka_unit_test(another_magic_number_version_or_type_is_refused),
        cmocka_unit_test(a_chunk_id_has_41_bytes_or_none_as_its_type_demands),
        cmocka_unit_test(data_is_as_long_as_its_type_says),
        cmocka_unit_test(every_flag_without_meaning_is_refused),
        cmocka_unit_test(sequence_numbers_are_blocks_zero_or_the_senders_own),
        cmocka_unit_test(only_the_last_block_of_a_chunk_may_be_short),
        cmocka_unit_test(a_frame_is_head_data_and_tail_in_the_documented_order),
        cmocka_unit_test(a_frame_without_a_chunk_has_no_bytes_for_it),
        cmocka_unit_test(head_and_tail_of_a_block_are_written_without_its_bytes),
        cmocka_unit_test(both_sides_choose_the_highest_version_that_both_speak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
