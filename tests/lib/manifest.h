/* SPDX-License-Identifier: MIT */
/* manifest: one of an object of 18.5 MiB, its second chunk, for tests and the documentation. */
#pragma once

#include "common/bytes.h"
#include "p2p/manifest.h"

#define MANIFEST_URL    EL_STR("http://s3.test/models/weights.bin")
#define MANIFEST_LENGTH (18 * EL_MIB + EL_MIB / 2)

/* Of a secret that is the bytes 0 to 31. */
static inline void manifest_sign(struct p2p_manifest *m)
{
    uint8_t secret[EL_KEY_BYTES];
    struct el_key *key;

    for (size_t i = 0; i < sizeof(secret); i++)
        secret[i] = (uint8_t)i;
    key = el_key_new(secret);
    p2p_manifest_sign(m, key);
    el_key_free(key);
}

/* A new one, the caller's. */
static inline struct cache_meta *manifest_meta(void)
{
    struct cache_meta *m = cache_meta_new();

    m->status = 200;
    m->has_strong_validator = true;
    m->is_public = true;
    m->from_object_store = true;
    m->response_ms = 1700000000123;
    m->corrected_age_ms = 50;
    m->lifetime_ms = 10000;
    el_fields_add(&m->fields, EL_STR("Content-Type"), EL_STR("application/octet-stream"));
    el_fields_add(&m->fields, EL_STR("ETag"), EL_STR("\"6f5902ac237024bdd0c176cb93063dc4\""));
    el_buf_add_str(&m->vary_bytes, EL_STR("accept-encoding\n=gzip\n"));
    m->vary = (struct el_str){ m->vary_bytes.p, strlen("accept-encoding") };
    cache_meta_finish(m);
    return m;
}

/* The hash of block i is that of the one byte i; the first n of them are known. Its meta is the
 * caller's. */
static inline void manifest_init(struct p2p_manifest *m, unsigned n)
{
    struct cache_object_id id;

    *m = (struct p2p_manifest){ .has_object = true, .url = MANIFEST_URL, .age_ms = 75 };
    m->length = MANIFEST_LENGTH;
    m->meta = manifest_meta();
    cache_object_id_of(m->url, m->meta, m->length, &id);
    memcpy(m->chunk.object, id.v, sizeof(id.v));
    m->chunk.index = 1;
    m->bytes = (uint32_t)(MANIFEST_LENGTH - CACHE_CHUNK_BYTES);
    m->bitmap = ((uint32_t)1 << n) - 1;
    for (uint8_t i = 0; i < n; i++)
        el_sha256_of(&i, 1, &m->blocks[i]);
}

/* The one frame that was written; its data are the buffer's. */
static inline struct p2p_frame manifest_frame(const struct el_buf *out,
                                              const struct p2p_manifest *m)
{
    struct p2p_frame f = { .version = 1, .type = P2P_MANIFEST, .has_chunk = true };
    struct el_str data = el_str_from(el_buf_str(out), P2P_HEAD_MAX);

    f.chunk = m->chunk;
    f.data = el_str_first(data, data.n - P2P_TAIL_BYTES);
    return f;
}
