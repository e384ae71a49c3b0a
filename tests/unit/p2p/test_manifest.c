/* SPDX-License-Identifier: MIT */
/* Manifests: what was written is read, and what contradicts itself or could do harm is not. */
#include "tests/lib/test.h"

#include "tests/lib/manifest.h"

/* Written and read; *ret borrows no more than its url, which is gone. */
static enum el_err pass_on(const struct p2p_manifest *m, struct p2p_manifest *ret)
{
    struct el_buf out = { 0 };
    struct p2p_frame f;
    enum el_err rc;

    p2p_manifest_add(&out, 1, m);
    f = manifest_frame(&out, m);
    rc = p2p_manifest_decode(&f, ret, NULL);
    el_buf_deinit(&out);
    return rc;
}

static void assert_same_digest(const struct el_digest *a, const struct el_digest *b)
{
    assert_memory_equal(a->b, b->b, sizeof(a->b));
}

/* ---- both ways ---- */

static void assert_same_meta(const struct cache_meta *a, const struct cache_meta *b)
{
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->has_strong_validator, b->has_strong_validator);
    assert_int_equal(a->is_public, b->is_public);
    assert_int_equal(a->from_object_store, b->from_object_store);
    assert_int_equal(a->must_revalidate, b->must_revalidate);
    assert_int_equal(a->always_revalidate, b->always_revalidate);
    assert_int_equal(a->response_ms, b->response_ms);
    assert_int_equal(a->corrected_age_ms, b->corrected_age_ms);
    assert_int_equal(a->lifetime_ms, b->lifetime_ms);
    assert_true(el_str_eq(el_buf_str(&a->head), el_buf_str(&b->head)));
    assert_true(el_str_eq(a->etag, b->etag));
    assert_true(el_str_eq(a->vary, b->vary));
    assert_true(el_str_eq(el_buf_str(&a->vary_bytes), el_buf_str(&b->vary_bytes)));
}

static void a_manifest_is_read_as_it_was_written(void **state)
{
    struct p2p_manifest m, back;
    struct el_buf out = { 0 };
    struct p2p_frame f;

    (void)state;
    manifest_init(&m, 3);
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    manifest_sign(&m);
    assert_true(p2p_manifest_is_whole(&m));
    p2p_manifest_add(&out, 1, &m);
    f = manifest_frame(&out, &m);
    assert_int_equal(p2p_manifest_decode(&f, &back, NULL), EL_OK);
    assert_true(back.has_object);
    assert_true(el_chunk_id_eq(&back.chunk, &m.chunk));
    assert_true(el_str_eq(back.url, MANIFEST_URL));
    assert_int_equal(back.length, MANIFEST_LENGTH);
    assert_int_equal(back.age_ms, 75);
    assert_int_equal(back.bytes, 2 * EL_MIB + EL_MIB / 2);
    assert_int_equal(back.bitmap, 7);
    for (unsigned i = 0; i < 3; i++)
        assert_same_digest(&back.blocks[i], &m.blocks[i]);
    assert_same_digest(&back.tree, &m.tree);
    assert_same_digest(&back.object, &m.object);
    assert_memory_equal(back.key, m.key, sizeof(m.key));
    assert_memory_equal(back.signature, m.signature, sizeof(m.signature));
    assert_same_meta(back.meta, m.meta);
    p2p_manifest_deinit(&back);
    cache_meta_unref(m.meta);
    el_buf_deinit(&out);
}

static void hashes_that_are_not_known_yet_are_not_there(void **state)
{
    (void)state;
    for (unsigned bitmap = 0; bitmap < 8; bitmap++) {
        struct p2p_manifest m, back;

        manifest_init(&m, 3);
        m.bitmap = bitmap;
        assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
        manifest_sign(&m);
        assert_int_equal(p2p_manifest_is_whole(&m), bitmap == 7);
        assert_int_equal(pass_on(&m, &back), EL_OK);
        assert_int_equal(back.bitmap, bitmap);
        for (unsigned i = 0; i < 3; i++) {
            static const struct el_digest none;

            assert_same_digest(&back.blocks[i], (bitmap >> i & 1) != 0 ? &m.blocks[i] : &none);
        }
        p2p_manifest_deinit(&back);
        cache_meta_unref(m.meta);
    }
}

static void without_its_object_part_a_manifest_has_the_hash_of_it(void **state)
{
    struct p2p_manifest m, first, next;

    (void)state;
    manifest_init(&m, 1);
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    manifest_sign(&m);
    assert_int_equal(pass_on(&m, &first), EL_OK);
    m.has_object = false;
    m.bitmap = 7;
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    manifest_sign(&m);
    assert_int_equal(pass_on(&m, &next), EL_OK);
    assert_false(next.has_object);
    assert_null(next.meta);
    assert_same_digest(&next.object, &first.object);
    p2p_manifest_deinit(&first);
    p2p_manifest_deinit(&next);
    cache_meta_unref(m.meta);
}

/* The root is computed here from its definition: ((0 1) 2). */
static void the_tree_hash_is_that_of_all_blocks(void **state)
{
    struct el_digest pair[2];
    struct p2p_manifest m;

    (void)state;
    manifest_init(&m, 3);
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    pair[0] = m.blocks[0];
    pair[1] = m.blocks[1];
    el_sha256_of(pair, sizeof(pair), &pair[0]);
    pair[1] = m.blocks[2];
    el_sha256_of(pair, sizeof(pair), &pair[0]);
    assert_same_digest(&m.tree, &pair[0]);
    cache_meta_unref(m.meta);
}

/* ---- the form ---- */

static void a_manifest_cut_short_or_with_more_behind_it_is_refused(void **state)
{
    struct p2p_manifest m, back;
    struct el_buf out = { 0 };
    struct p2p_frame f;
    struct el_str data;

    (void)state;
    manifest_init(&m, 3);
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    manifest_sign(&m);
    p2p_manifest_add(&out, 1, &m);
    f = manifest_frame(&out, &m);
    data = f.data;
    for (size_t n = 0; n <= data.n + 1; n++) {
        char *exact = el_alloc(n + 1);

        memcpy(exact, data.p, el_min_size(n, data.n));
        f.data = (struct el_str){ exact, n };
        assert_int_equal(p2p_manifest_decode(&f, &back, NULL), n == data.n ? EL_OK : EL_EPROTO);
        if (n == data.n)
            p2p_manifest_deinit(&back);
        free(exact);
    }
    cache_meta_unref(m.meta);
    el_buf_deinit(&out);
}

/* The form of the manifest with n bytes at the offset changed. */
static enum el_err with_bytes(size_t offset, const void *bytes, size_t n)
{
    struct p2p_manifest m, back;
    struct el_buf out = { 0 };
    struct p2p_frame f;
    enum el_err rc;

    manifest_init(&m, 3);
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    p2p_manifest_add(&out, 1, &m);
    f = manifest_frame(&out, &m);
    assert_true(offset + n <= f.data.n);
    memcpy(out.p + P2P_HEAD_MAX + offset, bytes, n);
    rc = p2p_manifest_decode_form(&f, &back, NULL);
    if (rc == EL_OK)
        p2p_manifest_deinit(&back);
    cache_meta_unref(m.meta);
    el_buf_deinit(&out);
    return rc;
}

/* Offsets in the data: parts 0, age 4, url 12, length 47, status 55, flags 57, times 59. */
static void numbers_out_of_bounds_are_refused(void **state)
{
    (void)state;
    assert_int_equal(with_bytes(0, "\0\0\0\1", 4), EL_OK);
    assert_int_equal(with_bytes(0, "\0\0\0\2", 4), EL_EPROTO);
    assert_int_equal(with_bytes(0, "\0\0\0\3", 4), EL_EPROTO);
    assert_int_equal(with_bytes(4, "\0\20\0\0\0\0\0\0", 8), EL_OK); /* 2^52 ms */
    assert_int_equal(with_bytes(4, "\0\20\0\0\0\0\0\1", 8), EL_EPROTO);
    assert_int_equal(with_bytes(12, "\377\377", 2), EL_EPROTO);
    assert_int_equal(with_bytes(47, "\0\0\0\0\0\0\0\0", 8), EL_EPROTO);
    assert_int_equal(with_bytes(47, "\0\1\0\0\0\0\0\1", 8), EL_EPROTO);
    assert_int_equal(with_bytes(55, "\0\311", 2), EL_OK);     /* 201 */
    assert_int_equal(with_bytes(55, "\0\307", 2), EL_EPROTO); /* 199 */
    assert_int_equal(with_bytes(55, "\2\130", 2), EL_EPROTO); /* 600 */
    assert_int_equal(with_bytes(55, "\0\316", 2), EL_EPROTO); /* 206 */
    assert_int_equal(with_bytes(55, "\1\60", 2), EL_EPROTO);  /* 304 */
    assert_int_equal(with_bytes(57, "\0\37", 2), EL_OK);
    assert_int_equal(with_bytes(57, "\0\40", 2), EL_EPROTO);
    assert_int_equal(with_bytes(57, "\200\0", 2), EL_EPROTO);
    for (size_t time = 59; time < 59 + 24; time += 8) {
        assert_int_equal(with_bytes(time, "\0\20\0\0\0\0\0\1", 8), EL_EPROTO);
        assert_int_equal(with_bytes(time, "\377\377\377\377\377\377\377\377", 8), EL_EPROTO);
        assert_int_equal(with_bytes(time, "\0\0\0\0\0\0\0\0", 8), EL_OK);
    }
    assert_int_equal(with_bytes(83, "\0\27", 2), EL_EPROTO);           /* vary: 23 bytes of 22 */
    assert_int_equal(with_bytes(83 + 4 + 22, "\0\311", 2), EL_EPROTO); /* 201 fields */
}

static enum el_err with_field(const char *name, const char *value)
{
    struct p2p_manifest m;
    enum el_err rc;

    manifest_init(&m, 3);
    el_fields_add(&m.meta->fields, el_str_of(name), el_str_of(value));
    cache_meta_finish(m.meta);
    rc = p2p_manifest_seal(&m, NULL);
    cache_meta_unref(m.meta);
    return rc;
}

/* By whoever would send them, and by whoever gets them: both ask the same function. */
static void fields_that_would_break_an_answer_are_refused(void **state)
{
    static const char *const names[] = {
        "Age",           "Connection", "content-length",
        "Content-Range", "Keep-Alive", "Proxy-Connection",
        "Trailer",       "TE",         "TRANSFER-ENCODING",
        "Upgrade",       "",           "two words",
        "a:b",
    };

    (void)state;
    assert_int_equal(with_field("X-Fine", "yes"), EL_OK);
    assert_int_equal(with_field("X-Fine", ""), EL_OK);
    for (size_t i = 0; i < EL_COUNT(names); i++)
        assert_int_equal(with_field(names[i], "1"), EL_EINVAL);
    assert_int_equal(with_field("X", "a\r\nSet-Cookie: b"), EL_EINVAL);
    assert_int_equal(with_field("X", "a\nb"), EL_EINVAL);
    /* Sent all the same: a byte of the first field's name, then of its value. */
    assert_int_equal(with_bytes(83 + 4 + 22 + 4 + 7, ":", 1), EL_EPROTO);
    assert_int_equal(with_bytes(83 + 4 + 22 + 4 + 12 + 2 + 3, "\n", 1), EL_EPROTO);
    assert_int_equal(with_bytes(83 + 4 + 22 + 4 + 12 + 2 + 3, "\0", 1), EL_EPROTO);
}

static void an_object_is_named_by_a_url(void **state)
{
    (void)state;
    assert_int_equal(with_bytes(14, "ftp:", 4), EL_EPROTO);
    assert_int_equal(with_bytes(14 + 20, " ", 1), EL_EPROTO);
    assert_int_equal(with_bytes(14 + 20, "\n", 1), EL_EPROTO);
    assert_int_equal(with_bytes(14 + 20, "\177", 1), EL_EPROTO);
}

static void a_strong_validator_is_one(void **state)
{
    struct p2p_manifest m;

    (void)state;
    manifest_init(&m, 3);
    assert_int_equal(el_fields_remove(&m.meta->fields, EL_STR("ETag")), 1);
    m.meta->etag = (struct el_str){ NULL, 0 };
    cache_meta_finish(m.meta);
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_EINVAL);
    cache_meta_unref(m.meta);
}

static void a_head_that_is_too_long_is_not_shared(void **state)
{
    size_t room = P2P_MAX_OBJECT;
    struct p2p_manifest m, back;
    char *value = el_alloc(P2P_MAX_OBJECT);
    struct el_buf out = { 0 };
    struct p2p_frame f;

    (void)state;
    manifest_init(&m, 3);
    /* What there is: 99 + 33 of URL and the like, 22 of vary, two fields, and one more of name X.
     */
    p2p_manifest_add(&out, 1, &m);
    f = manifest_frame(&out, &m);
    room -= f.data.n - (4 + 8 + 4 + 4 + 4 * 32 + 32 + 64) + 2 + 1 + 2;
    el_buf_deinit(&out);
    memset(value, 'v', P2P_MAX_OBJECT);
    el_fields_add(&m.meta->fields, EL_STR("X"), (struct el_str){ value, room });
    cache_meta_finish(m.meta);
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    manifest_sign(&m);
    assert_int_equal(pass_on(&m, &back), EL_OK);
    p2p_manifest_deinit(&back);
    el_fields_remove(&m.meta->fields, EL_STR("X"));
    el_fields_add(&m.meta->fields, EL_STR("X"), (struct el_str){ value, room + 1 });
    cache_meta_finish(m.meta);
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_EINVAL);
    cache_meta_unref(m.meta);
    free(value);
}

/* Its frame may be short enough all the same, while no hash is known. */
static void an_object_part_is_bounded_whatever_else_there_is(void **state)
{
    struct el_buf data = { 0 };
    struct p2p_manifest back;
    struct p2p_frame f;
    size_t fixed = 2 + MANIFEST_URL.n + 8 + 2 + 2 + 24 + 2 + 2 + 2 + 2 + 1 + 2;

    (void)state;
    for (size_t more = 0; more < 2; more++) {
        size_t value = P2P_MAX_OBJECT - fixed + more;

        el_buf_clear(&data);
        el_bytes_add_u32(&data, 1);
        el_bytes_add_u64(&data, 0);
        el_bytes_add_u16(&data, (uint16_t)MANIFEST_URL.n);
        el_buf_add_str(&data, MANIFEST_URL);
        el_bytes_add_u64(&data, MANIFEST_LENGTH);
        el_bytes_add_u16(&data, 200);
        for (unsigned i = 0; i < 2 + 24 + 2 + 2; i++) /* flags, times, vary */
            el_bytes_add_u8(&data, 0);
        el_bytes_add_u16(&data, 1);
        el_bytes_add_u16(&data, 1);
        el_bytes_add_u8(&data, 'X');
        el_bytes_add_u16(&data, (uint16_t)value);
        for (size_t i = 0; i < value; i++)
            el_bytes_add_u8(&data, 'v');
        el_bytes_add_u32(&data, 1);
        for (unsigned i = 0; i < 4 + 32 + 64; i++) /* bitmap, key, signature */
            el_bytes_add_u8(&data, 0);
        f = (struct p2p_frame){ .version = 1, .type = P2P_MANIFEST, .has_chunk = true };
        f.data = el_buf_str(&data);
        assert_int_equal(p2p_manifest_decode_form(&f, &back, NULL), more == 0 ? EL_OK : EL_EPROTO);
        if (more == 0)
            p2p_manifest_deinit(&back);
    }
    el_buf_deinit(&data);
}

static void names_of_vary_lie_within_its_bytes(void **state)
{
    struct p2p_manifest m;

    (void)state;
    manifest_init(&m, 3);
    m.meta->vary.n = m.meta->vary_bytes.n;
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    m.meta->vary.n++;
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_EINVAL);
    cache_meta_unref(m.meta);
}

static void parts_that_are_not_known_are_refused(void **state)
{
    struct p2p_manifest m = { .bytes = 1 }, back;
    struct el_buf out = { 0 };
    struct p2p_frame f;

    (void)state;
    p2p_manifest_add(&out, 1, &m);
    f = manifest_frame(&out, &m);
    assert_int_equal(p2p_manifest_decode_form(&f, &back, NULL), EL_OK);
    p2p_manifest_deinit(&back);
    out.p[P2P_HEAD_MAX + 3] = 2;
    assert_int_equal(p2p_manifest_decode_form(&f, &back, NULL), EL_EPROTO);
    el_buf_deinit(&out);
}

static void a_manifest_of_the_longest_head_and_all_hashes_fits_its_frame(void **state)
{
    (void)state;
    assert_int_equal(P2P_MANIFEST_REST + P2P_MAX_OBJECT, P2P_MAX_MANIFEST);
    assert_int_equal(P2P_MANIFEST_REST, 4 + 8 + 4 + 4 + 17 * 32 + 32 + 64);
}

/* ---- what belongs together ---- */

/* A chunk's name or a length that the object does not have. */
static void a_chunk_of_another_object_is_refused(void **state)
{
    struct p2p_manifest m, back;
    struct el_buf out = { 0 };
    struct p2p_frame f;

    (void)state;
    manifest_init(&m, 3);
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    manifest_sign(&m);
    p2p_manifest_add(&out, 1, &m);
    f = manifest_frame(&out, &m);
    assert_int_equal(p2p_manifest_decode(&f, &back, NULL), EL_OK);
    p2p_manifest_deinit(&back);
    f.chunk.object[15] ^= 1;
    assert_int_equal(p2p_manifest_decode(&f, &back, NULL), EL_EPROTO);
    f.chunk.object[15] ^= 1;
    for (uint32_t index = 0; index < 4; index++) {
        f.chunk.index = index;
        assert_int_equal(p2p_manifest_decode(&f, &back, NULL) == EL_OK, index == 1);
        if (index == 1)
            p2p_manifest_deinit(&back);
    }
    f.chunk.index = UINT32_MAX;
    assert_int_equal(p2p_manifest_decode(&f, &back, NULL), EL_EPROTO);
    cache_meta_unref(m.meta);
    el_buf_deinit(&out);
}

static void chunks_have_the_length_that_follows_from_their_object(void **state)
{
    static const struct {
        uint32_t index;
        uint64_t length, bytes;
    } cases[] = {
        { 0, 1, 1 },
        { 0, 1, 2 },
        { 0, 16 * EL_MIB, 16 * EL_MIB },
        { 0, 16 * EL_MIB + 1, 16 * EL_MIB },
        { 1, 16 * EL_MIB + 1, 1 },
        { 1, 16 * EL_MIB, 1 },
        { 1, 32 * EL_MIB, 16 * EL_MIB - 1 },
        { (1u << 24) - 1, (uint64_t)1 << 48, 16 * EL_MIB },
        { 2, 16 * EL_MIB + 1, 16 * EL_MIB },
    };
    static const bool is_right[] = { true, false, true, true, true, false, false, true, false };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct cache_object_id id;
        struct p2p_manifest m;

        manifest_init(&m, 0);
        m.length = cases[i].length;
        m.bytes = (uint32_t)cases[i].bytes;
        m.chunk.index = cases[i].index;
        cache_object_id_of(m.url, m.meta, m.length, &id);
        memcpy(m.chunk.object, id.v, sizeof(id.v));
        assert_int_equal(p2p_manifest_seal(&m, NULL), is_right[i] ? EL_OK : EL_EINVAL);
        cache_meta_unref(m.meta);
    }
}

static void without_an_object_part_a_length_is_still_that_of_a_chunk(void **state)
{
    static const uint32_t lengths[] = { 0, 1, 16 * 1024 * 1024, 16 * 1024 * 1024 + 1, UINT32_MAX };
    struct p2p_manifest m = { .chunk.index = 3 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(lengths); i++) {
        m.bytes = lengths[i];
        m.bitmap = 0;
        assert_int_equal(p2p_manifest_seal(&m, NULL), i == 1 || i == 2 ? EL_OK : EL_EINVAL);
    }
    m.bytes = 3 * 1024 * 1024;
    m.bitmap = 8;
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_EINVAL);
    m.bytes++;
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    m.bitmap = 0x10000;
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_EINVAL);
}

static void a_tree_hash_of_other_blocks_is_refused(void **state)
{
    struct p2p_manifest m, back;

    (void)state;
    manifest_init(&m, 3);
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    m.blocks[1].b[0] ^= 1;
    manifest_sign(&m);
    assert_int_equal(pass_on(&m, &back), EL_EPROTO);
    m.blocks[1].b[0] ^= 1;
    manifest_sign(&m);
    assert_int_equal(pass_on(&m, &back), EL_OK);
    p2p_manifest_deinit(&back);
    cache_meta_unref(m.meta);
}

/* ---- the signature ---- */

static enum el_err judge(const struct p2p_manifest *m)
{
    struct p2p_manifest back;
    enum el_err rc = pass_on(m, &back);

    if (rc == EL_OK)
        p2p_manifest_deinit(&back);
    return rc;
}

static void a_signature_covers_all_but_the_age(void **state)
{
    struct p2p_manifest m, other;

    (void)state;
    manifest_init(&m, 2);
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    manifest_sign(&m);
    assert_int_equal(judge(&m), EL_OK);
    m.has_object = false;
    other = m;
    other.age_ms++;
    assert_int_equal(judge(&other), EL_OK);

    other = m;
    other.chunk.index++;
    assert_int_equal(judge(&other), EL_ESIGNATURE);
    other = m;
    other.object.b[7]++;
    assert_int_equal(judge(&other), EL_ESIGNATURE);
    other = m;
    other.bytes--;
    assert_int_equal(judge(&other), EL_ESIGNATURE);
    other = m;
    other.bitmap = 1;
    assert_int_equal(judge(&other), EL_ESIGNATURE);
    other = m;
    other.blocks[1].b[31]++;
    assert_int_equal(judge(&other), EL_ESIGNATURE);
    other = m;
    other.key[0]++;
    assert_int_equal(judge(&other), EL_ESIGNATURE);
    other = m;
    other.signature[63] ^= 1;
    assert_int_equal(judge(&other), EL_ESIGNATURE);
    cache_meta_unref(m.meta);
}

static void a_private_object_cannot_be_passed_on_as_public(void **state)
{
    struct p2p_manifest m;

    (void)state;
    manifest_init(&m, 3);
    m.meta->is_public = false;
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    manifest_sign(&m);
    assert_int_equal(judge(&m), EL_OK);
    m.meta->is_public = true;
    assert_int_equal(judge(&m), EL_ESIGNATURE);
    cache_meta_unref(m.meta);
}

/* ---- one beside another ---- */

static void manifests_agree_when_no_hash_changed(void **state)
{
    struct p2p_manifest a = { .bytes = 3 << 20, .bitmap = 3 }, b;

    (void)state;
    b = a;
    b.bitmap = 7;
    b.blocks[2].b[0] = 9;
    b.object.b[0] = 9; /* the origin confirmed it: another age */
    assert_int_equal(p2p_manifest_agree(&a, &b, NULL), EL_OK);
    assert_int_equal(p2p_manifest_agree(&b, &a, NULL), EL_OK);
    b.blocks[1].b[31] = 1;
    assert_int_equal(p2p_manifest_agree(&a, &b, NULL), EL_EHASH);
    b.bitmap = 5;
    assert_int_equal(p2p_manifest_agree(&a, &b, NULL), EL_OK);
    b.bytes--;
    assert_int_equal(p2p_manifest_agree(&a, &b, NULL), EL_EHASH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_is_read_as_it_was_written),
        cmocka_unit_test(hashes_that_are_not_known_yet_are_not_there),
        cmocka_unit_test(without_its_object_part_a_manifest_has_the_hash_of_it),
        cmocka_unit_test(the_tree_hash_is_that_of_all_blocks),
        cmocka_unit_test(a_manifest_cut_short_or_with_more_behind_it_is_refused),
        cmocka_unit_test(numbers_out_of_bounds_are_refused),
        cmocka_unit_test(fields_that_would_break_an_answer_are_refused),
        cmocka_unit_test(an_object_is_named_by_a_url),
        cmocka_unit_test(a_strong_validator_is_one),
        cmocka_unit_test(a_head_that_is_too_long_is_not_shared),
        cmocka_unit_test(an_object_part_is_bounded_whatever_else_there_is),
        cmocka_unit_test(names_of_vary_lie_within_its_bytes),
        cmocka_unit_test(parts_that_are_not_known_are_refused),
        cmocka_unit_test(a_manifest_of_the_longest_head_and_all_hashes_fits_its_frame),
        cmocka_unit_test(a_chunk_of_another_object_is_refused),
        cmocka_unit_test(chunks_have_the_length_that_follows_from_their_object),
        cmocka_unit_test(without_an_object_part_a_length_is_still_that_of_a_chunk),
        cmocka_unit_test(a_tree_hash_of_other_blocks_is_refused),
        cmocka_unit_test(a_signature_covers_all_but_the_age),
        cmocka_unit_test(a_private_object_cannot_be_passed_on_as_public),
        cmocka_unit_test(manifests_agree_when_no_hash_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
