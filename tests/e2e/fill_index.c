/* SPDX-License-Identifier: MIT */
/*
 * fill_index DIR CHUNKS: makes a cache directory whose index names so many chunks of 16 blocks
 * each, a thousand to an object, as a node that ended in order leaves it. The blocks are short, so
 * that a store of a few GiB has room for what would otherwise take half a TiB; the bytes are not
 * there.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/l2_index.h"
#include "cache/l2_record.h"
#include "cache/l2_region.h"

#define CHUNKS_PER_OBJECT 1000u
#define PIECE_BYTES       4096u
#define PIECES_PER_REGION (L2_REGION_BYTES / PIECE_BYTES)

static void on_done(struct el_msg *m)
{
    (void)m; /* its queue is looked at instead */
}

static struct el_str bytes_of(const void *p, size_t n)
{
    return (struct el_str){ p, n };
}

static void put_object(struct l2_batch *b, unsigned number, struct cache_object_id *ret_id)
{
    struct cache_meta *meta = cache_meta_new();
    char url[64];
    struct l2_object_record r = { .length = CHUNKS_PER_OBJECT * CACHE_CHUNK_BYTES };
    struct el_buf value;

    (void)snprintf(url, sizeof(url), "http://bucket.example/shards/%08u.tar", number);
    meta->status = 200;
    r.url = el_str_of(url);
    r.meta = meta;
    cache_object_id_of(r.url, meta, r.length, &r.id);
    el_buf_init(&value);
    l2_object_encode(&r, &value);
    l2_batch_put(b, L2_TABLE_OBJECT, bytes_of(r.id.v, sizeof(r.id.v)), el_buf_str(&value));
    el_buf_deinit(&value);
    cache_meta_unref(meta);
    *ret_id = r.id;
}

static void put_chunk(struct l2_batch *b, const struct cache_object_id *id, uint32_t number,
                      uint32_t chunk)
{
    struct l2_chunk_record r = { .object = *id, .chunk = chunk, .bitmap = UINT16_MAX };
    uint8_t key[L2_CHUNK_KEY_BYTES];
    struct el_buf value;

    for (uint32_t i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        uint32_t piece = number * CACHE_CHUNK_BLOCKS + i;

        r.blocks[i].region = piece / (uint32_t)PIECES_PER_REGION;
        r.blocks[i].offset = piece % (uint32_t)PIECES_PER_REGION * PIECE_BYTES;
        r.blocks[i].bytes = PIECE_BYTES;
    }
    l2_chunk_key(id, chunk, key);
    el_buf_init(&value);
    l2_chunk_encode(&r, &value);
    l2_batch_put(b, L2_TABLE_CHUNK, bytes_of(key, sizeof(key)), el_buf_str(&value));
    el_buf_deinit(&value);
}

static void put_all(struct l2_batch *b, uint32_t n)
{
    struct cache_object_id id;

    for (uint32_t i = 0; i < n; i++) {
        if (i % CHUNKS_PER_OBJECT == 0)
            put_object(b, i / CHUNKS_PER_OBJECT, &id);
        put_chunk(b, &id, i, i % CHUNKS_PER_OBJECT);
    }
    l2_batch_put(b, L2_TABLE_META, EL_STR("clean"), EL_STR("1"));
}

static int make_store(const char *dir)
{
    char path[512];
    int fd;

    if (snprintf(path, sizeof(path), "%s/store", dir) >= (int)sizeof(path))
        return -1;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    /* An empty one would be taken for a new one. */
    return fd >= 0 && ftruncate(fd, L2_REGION_BYTES) == 0 ? fd : -1;
}

int main(int argc, char **argv)
{
    struct el_error err = { 0 };
    struct l2_index *x;
    struct l2_batch b;
    struct el_msgq *queue;
    bool is_new;

    if (argc != 3) {
        fprintf(stderr, "fill_index DIR CHUNKS\n");
        return 2;
    }
    if (el_msgq_new(&queue, &err) != EL_OK ||
        l2_index_open(argv[1], 8 * EL_GIB, &x, &is_new, &err) != EL_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    l2_batch_init(&b, on_done);
    b.queue = queue;
    b.sync_fd = make_store(argv[1]);
    put_all(&b, (uint32_t)strtoul(argv[2], NULL, 10));
    l2_index_commit(x, &b);
    l2_index_close(x); /* commits first */
    l2_batch_deinit(&b);
    el_msgq_free(queue);
    return b.err.code == EL_OK && b.sync_fd >= 0 ? 0 : 1;
}
