/* SPDX-License-Identifier: MIT */
/* What is believed of the hashes of blocks: what somebody has signed, as long as nobody who has
 * signed says otherwise. */
#include "tests/lib/test.h"

#include "p2p/vouch.h"
#include "tests/lib/manifest.h"

static struct el_key *key_of(uint8_t byte)
{
    uint8_t secret[EL_KEY_BYTES];

    memset(secret, byte, sizeof(secret));
    return el_key_new(secret);
}

/* As somebody else with that key has read them: blocks of the bitmap, each of one byte. */
static void manifest_by(struct p2p_manifest *m, uint8_t who, uint32_t bitmap)
{
    struct el_key *key = key_of(who);

    manifest_init(m, 3);
    m->bitmap = bitmap;
    assert_int_equal(p2p_manifest_seal(m, NULL), EL_OK);
    p2p_manifest_sign(m, key);
    el_key_free(key);
}

static struct el_digest digest_of(uint8_t byte)
{
    struct el_digest d;

    el_sha256_of(&byte, 1, &d);
    return d;
}

struct world {
    struct el_key *key;
    struct p2p_vouch *vouch;
    struct p2p_manifest object; /* url, length, meta */
    struct el_chunk_id chunk;
};

static struct world open_world(size_t max_chunks)
{
    struct world w = { .key = key_of(1) };

    w.vouch = p2p_vouch_new(w.key, max_chunks);
    manifest_init(&w.object, 3);
    w.chunk = w.object.chunk;
    return w;
}

static void close_world(struct world *w)
{
    p2p_vouch_free(w->vouch);
    el_key_free(w->key);
    cache_meta_unref(w->object.meta);
}

static enum el_err sign(struct world *w, unsigned block, uint8_t byte)
{
    struct el_digest d = digest_of(byte);

    return p2p_vouch_sign(w->vouch, &w->object, &w->chunk, block, &d, NULL);
}

static enum el_err take(struct world *w, uint8_t who, uint32_t bitmap)
{
    struct p2p_manifest m;
    enum el_err rc;

    manifest_by(&m, who, bitmap);
    rc = p2p_vouch_take(w->vouch, &m, NULL);
    cache_meta_unref(m.meta);
    return rc;
}

/* What is told of the block, as its receiver reads it; the blocks that it is about. */
static uint32_t told(struct world *w, unsigned block, struct p2p_manifest *ret)
{
    struct el_buf out = { 0 };
    struct p2p_frame f;
    uint32_t bitmap = p2p_vouch_tell(w->vouch, &w->chunk, block, 5, 1, &out);

    if (bitmap != 0) {
        *ret = (struct p2p_manifest){ .chunk = w->chunk };
        f = manifest_frame(&out, ret);
        assert_int_equal(p2p_manifest_decode(&f, ret, NULL), EL_OK);
        assert_int_equal(ret->bitmap, bitmap);
    }
    el_buf_deinit(&out);
    return bitmap;
}

static void what_nobody_has_signed_is_not_known(void **state)
{
    struct world w = open_world(8);
    struct el_digest d;
    struct p2p_manifest m;

    (void)state;
    assert_false(p2p_vouch_hash(w.vouch, &w.chunk, 0, &d));
    assert_int_equal(p2p_vouch_known(w.vouch, &w.chunk), 0);
    assert_int_equal(told(&w, 0, &m), 0);
    close_world(&w);
}

static void what_this_node_has_read_grows_into_one_manifest(void **state)
{
    struct world w = open_world(8);
    struct p2p_manifest m;
    uint8_t own[EL_KEY_BYTES];

    (void)state;
    assert_int_equal(sign(&w, 1, 1), EL_OK);
    assert_int_equal(told(&w, 1, &m), 2);
    assert_int_equal(told(&w, 0, &m), 0);
    assert_int_equal(sign(&w, 0, 0), EL_OK);
    assert_int_equal(sign(&w, 0, 0), EL_OK);
    assert_int_equal(sign(&w, 2, 2), EL_OK);
    assert_int_equal(told(&w, 1, &m), 7);
    assert_true(p2p_manifest_is_whole(&m));
    el_key_public(w.key, own);
    assert_memory_equal(m.key, own, sizeof(own));
    close_world(&w);
}

static void parts_of_several_signers_are_united(void **state)
{
    struct world w = open_world(8);
    struct el_digest d, right = digest_of(2);
    struct p2p_manifest m;

    (void)state;
    assert_int_equal(take(&w, 7, 1), EL_OK);
    assert_int_equal(take(&w, 8, 4), EL_OK);
    assert_int_equal(sign(&w, 1, 1), EL_OK);
    assert_int_equal(p2p_vouch_known(w.vouch, &w.chunk), 7);
    assert_true(p2p_vouch_hash(w.vouch, &w.chunk, 2, &d));
    assert_memory_equal(&d, &right, sizeof(d));
    assert_int_equal(told(&w, 0, &m), 1);
    assert_int_equal(told(&w, 1, &m), 2);
    assert_int_equal(told(&w, 2, &m), 4);
    close_world(&w);
}

static void an_older_word_of_a_signer_takes_nothing_back(void **state)
{
    struct world w = open_world(8);

    (void)state;
    assert_int_equal(take(&w, 7, 7), EL_OK);
    assert_int_equal(take(&w, 7, 1), EL_OK);
    assert_int_equal(p2p_vouch_known(w.vouch, &w.chunk), 7);
    close_world(&w);
}

static void who_has_lost_what_it_read_says_other_blocks_anew(void **state)
{
    struct world w = open_world(8);

    (void)state;
    assert_int_equal(take(&w, 7, 3), EL_OK);
    assert_int_equal(take(&w, 7, 4), EL_OK);
    assert_int_equal(p2p_vouch_known(w.vouch, &w.chunk), 7);
    close_world(&w);
}

static void of_a_chunk_with_two_truths_nothing_is_believed(void **state)
{
    struct world w = open_world(8);
    struct el_digest d;
    struct p2p_manifest m;

    (void)state;
    assert_int_equal(take(&w, 7, 1), EL_OK);
    assert_int_equal(sign(&w, 0, 99), EL_EHASH);
    assert_false(p2p_vouch_hash(w.vouch, &w.chunk, 0, &d));
    assert_int_equal(p2p_vouch_known(w.vouch, &w.chunk), 0);
    assert_int_equal(told(&w, 0, &m), 0);
    assert_int_equal(take(&w, 8, 4), EL_EHASH);
    assert_int_equal(p2p_vouch_known(w.vouch, &w.chunk), 0);
    close_world(&w);
}

static void the_chunk_that_was_not_used_for_longest_makes_room(void **state)
{
    struct world w = open_world(1);
    struct el_chunk_id first = w.chunk;

    (void)state;
    assert_int_equal(sign(&w, 0, 0), EL_OK);
    w.chunk.index = 0;
    assert_int_equal(sign(&w, 0, 0), EL_OK);
    assert_int_equal(p2p_vouch_known(w.vouch, &first), 0);
    assert_int_equal(p2p_vouch_known(w.vouch, &w.chunk), 1);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_has_signed_is_not_known),
        cmocka_unit_test(what_this_node_has_read_grows_into_one_manifest),
        cmocka_unit_test(parts_of_several_signers_are_united),
        cmocka_unit_test(an_older_word_of_a_signer_takes_nothing_back),
        cmocka_unit_test(who_has_lost_what_it_read_says_other_blocks_anew),
        cmocka_unit_test(of_a_chunk_with_two_truths_nothing_is_believed),
        cmocka_unit_test(the_chunk_that_was_not_used_for_longest_makes_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
