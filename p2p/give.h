/* SPDX-License-Identifier: MIT */
/* give: what give.c and give_stream.c share: a block on its way out. */
#pragma once

#include "p2p/engine.h"

#define GIVE_MAGIC 0x47495645u

struct p2p_give {
    uint32_t magic;
    struct el_list link; /* in its remote's gives */
    struct p2p_remote *remote;
    struct p2p_send send;
    struct cache_reader reader;
    struct p2p_out_block out;
    bool is_with_link;
    bool again; /* its receiver has it already, and has asked once more */
    /* of a stream */
    struct el_list in_streams; /* of the engine; not in it: no stream */
    bool is_stream;
    uint32_t bytes, got; /* of the block, and what of it has been read, */
    uint64_t moved_ms;   /* the last time then */
    uint64_t grown_ms;   /* when the link heard of more */
};

/* ---- give.c ---- */

struct p2p_give *p2p_give_new(struct p2p *p, struct p2p_remote *r, const struct p2p_send *s,
                              struct cache_object *o, void (*wake)(struct el_msg *m));
/* on_sent() of its block: the link has done with it. */
void p2p_give_sent(struct p2p_out_block *b);
void p2p_give_over(struct p2p_give *g);
/* Tells its receiver so. */
void p2p_give_up(struct p2p_give *g, enum el_err code);
/* The manifest with its hash goes out. False: nobody has signed it. */
bool p2p_give_tell_hash(struct p2p_give *g);
uint32_t p2p_give_chunk_blocks(struct cache_object *o, const struct el_chunk_id *chunk);

/* ---- give_stream.c ---- */

/* What of the chunk is being read from the origin here, and can be asked for. */
uint32_t p2p_stream_coming(struct p2p *p, struct cache_object *o, const struct el_chunk_id *chunk);
/* EL_ENOTCACHED: it is not being read. */
enum el_err p2p_stream_begin(struct p2p_remote *r, struct cache_object *o,
                             const struct el_chunk_id *chunk, uint32_t block);
/* What of the block has been sent on each of its streams, of at most `max`; returns how many. */
size_t p2p_stream_sent(struct p2p *p, const uint8_t version[16], uint64_t block, uint32_t *ret,
                       size_t max);
/* Blocks of the chunk have been signed: those that were only waiting for that end. */
void p2p_stream_signed(struct p2p *p, const struct el_chunk_id *chunk);
