/* SPDX-License-Identifier: MIT */
/*
 * An input is a chunk id, then the data of a manifest. What has the form of one is written again as
 * the same bytes; and once chunk, hashes and signature are made to fit, it is believed.
 */
#include "p2p/manifest.h"
#include "tests/fuzz/fuzz.h"

static struct p2p_frame frame_of(const struct el_chunk_id *chunk, struct el_str data)
{
    struct p2p_frame f = { .version = 1, .type = P2P_MANIFEST, .has_chunk = true, .data = data };

    f.chunk = *chunk;
    return f;
}

static void check_again(const struct p2p_manifest *m, const struct p2p_frame *f)
{
    struct el_buf out = { 0 }, expected = { 0 };

    p2p_manifest_add(&out, 1, m);
    p2p_frame_add(&expected, f);
    CLAIM(el_str_eq(el_buf_str(&out), el_buf_str(&expected)));
    el_buf_deinit(&out);
    el_buf_deinit(&expected);
}

/* By some key. */
static void sign(struct p2p_manifest *m)
{
    static const uint8_t secret[EL_KEY_BYTES];
    struct el_key *key = el_key_new(secret);

    p2p_manifest_sign(m, key);
    el_key_free(key);
}

/* The same hashes and object, with the name, tree hash and signature that follow from them. */
static void check_sealed(struct p2p_manifest *m)
{
    struct p2p_manifest back;
    struct el_buf out = { 0 };
    struct p2p_frame f;
    struct el_str data;

    if (m->has_object) {
        struct cache_object_id id;

        cache_object_id_of(m->url, m->meta, m->length, &id);
        memcpy(m->chunk.object, id.v, sizeof(id.v));
    }
    if (p2p_manifest_seal(m, NULL) != EL_OK)
        return; /* a length that is none of the object's */
    sign(m);
    p2p_manifest_add(&out, 1, m);
    data = el_str_from(el_buf_str(&out), P2P_HEAD_MAX);
    f = frame_of(&m->chunk, el_str_first(data, data.n - P2P_TAIL_BYTES));
    CLAIM(p2p_manifest_decode(&f, &back, NULL) == EL_OK);
    CLAIM(p2p_manifest_agree(m, &back, NULL) == EL_OK);
    check_again(&back, &f);
    p2p_manifest_deinit(&back);
    el_buf_deinit(&out);
}

static void check_meta(const struct cache_meta *m)
{
    for (size_t i = 0; i + 1 < m->head.n; i++)
        CLAIM(m->head.p[i] != '\0' && (m->head.p[i] != '\n' || m->head.p[i - 1] == '\r'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_str s = { (const char *)data, n };
    struct el_chunk_id chunk = { 0 };
    struct p2p_manifest m;
    struct p2p_frame f;

    if (el_chunk_id_parse(el_str_first(s, EL_CHUNK_ID_CHARS), &chunk))
        s = el_str_from(s, EL_CHUNK_ID_CHARS);
    f = frame_of(&chunk, s);
    if (p2p_check_length(f.type, (uint32_t)el_min_size(s.n, UINT32_MAX), NULL) != EL_OK)
        return 0;
    if (p2p_manifest_decode(&f, &m, NULL) == EL_OK)
        p2p_manifest_deinit(&m);
    if (p2p_manifest_decode_form(&f, &m, NULL) != EL_OK)
        return 0;
    if (m.has_object)
        check_meta(m.meta);
    check_again(&m, &f);
    check_sealed(&m);
    p2p_manifest_deinit(&m);
    return 0;
}
