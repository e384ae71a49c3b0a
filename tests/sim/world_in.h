/* SPDX-License-Identifier: MIT */
/*
 * world_in: what the files of world.h share.
 *
 *   world.c          events, the life of nodes, the run
 *   world_links.c    links
 *   world_sources.c  origin, trackers
 *   world_node.c     what a node has, does and hears
 *   world_streams.c  blocks that are passed on while they are read
 */
#pragma once

#include "common/list.h"
#include "tests/sim/world.h"

#define DRIP_BPS        10000.0
#define CONNECT_MS      1000u /* when nobody answers */
#define LOCATE_MS       1000u
#define MAX_PENDING_ACK 8u
#define ORIGIN_BLOCK    UINT32_MAX

enum kind {
    START,
    OPEN,
    KILL,
    WAKE,
    CONNECT,
    DOWN,
    REFUSED, /* nobody answered; meanwhile the other side may have connected */
    PART,
    PAUSE,    /* of the origin; also its end */
    HAVE_ALL, /* at the sender: all who follow hear it now */
    REQUEST,
    FOLLOW,
    UNFOLLOW,
    CANCEL,
    ACK,
    HAVE,
    ERROR,
    BEGUN, /* the head of a block */
    BLOCK,
    LOCATE,
    LOCATED,
    FETCH_BEGIN,
    LATE,     /* a tracker has not answered: the next one is asked as well */
    GIVEN_UP, /* nor whether it is there: the link to it ends */
};

/* Something that happens at `to`; the links of `from` and `to` keep order. */
struct event {
    uint64_t at, sequence;
    enum kind kind;
    uint32_t from, to;
    uint32_t chunk, bitmap, code;
    struct p2p_blocks blocks;
    bool is_bad;
    void *more; /* locate, located, or run; owned */
};

/* What a flow carries: the first member of both. */
struct carried {
    bool is_run;
};

struct sending {
    struct carried carried;
    uint32_t from, to;
    struct p2p_send send;
    bool is_bad, is_stream;
    struct flow *flow;
    struct event *behind; /* short frames that wait for the end of the block */
    size_t n_behind, size_behind;
};

struct link {
    uint32_t peer; /* + 1; 0: no entry */
    bool is_up;
    struct sending *sending, *next; /* next: it waits for a stream to end */
    uint64_t arrives[2];            /* what was sent last: short frames, blocks */
    struct event *acks;             /* MAX_PENDING_ACK, or NULL: go out when the block is sent */
    unsigned n_acks;
};

struct run {
    struct carried carried;
    struct el_list in_node;
    uint32_t node, number;
    uint64_t first;
    unsigned given, count, done;
    struct flow *flow; /* NULL: not begun */
};

/* Somebody has asked for a block that is being read. */
struct stream {
    struct el_list in_node;
    uint32_t to;
    uint64_t block;
    struct sending *sending; /* NULL: not begun */
};

struct followers {
    uint32_t *v;
    uint32_t n, size;
};

struct node {
    struct sim_node_conf conf;
    struct p2p_swarm *swarm; /* NULL: not there */
    struct p2p_upload *upload;
    struct p2p_tracker *tracker;
    struct p2p_download *download;
    uint8_t *have;
    uint64_t n_have, front;
    struct followers *followers; /* of each chunk */
    struct link *links;
    size_t n_links, links_size;
    struct el_list runs, streams;
    struct el_list in_world; /* of world.streaming, while there are streams */
    uint64_t wake_at, done_us;
    bool is_dead;
    uint32_t dead_tracker; /* + 1: one that it found dead, or silent */
    uint64_t owes_ms;      /* since when one that is silent owes it an answer; 0: it does not */
};

struct world {
    const struct sim_conf *conf;
    struct node *node;
    struct flows *flows;
    struct event *heap;
    size_t n, size;
    /* What happens after one latency, a ring: in order without a heap. */
    struct event *soon;
    size_t soon_first, soon_n, soon_size;
    uint64_t now, sequence;
    struct el_rng rng;
    size_t to_do;             /* honest nodes that are not done */
    struct el_list streaming; /* nodes with streams */
    uint64_t paced_at;        /* when they got their rates; coarse ones seldom do */
    uint64_t tell_at;
    double origin_blocks;
    struct sim_result result;
    uint8_t version[P2P_VERSION_BYTES];
    uint8_t *known; /* blocks that were leased, and not lost since with a node */
};

static inline uint64_t sim_ms(const struct world *w)
{
    return w->now / 1000;
}

/* ---- world.c ---- */

/* A promise is. */
void sim_broken(struct world *w, const char *what);
void sim_add(struct world *w, struct event e);
void sim_later(struct world *w, uint64_t after_us, struct event e);
void sim_start(struct world *w, uint32_t i);
void sim_open(struct world *w, uint32_t i);
void sim_end(struct world *w, struct node *x);
void sim_kill(struct world *w, uint32_t i);

/* ---- world_links.c ---- */

struct link *sim_link(struct node *x, uint32_t peer);
struct link *sim_link_new(struct node *x, uint32_t peer);
bool sim_is_cut(const struct world *w, uint32_t a, uint32_t b);
void sim_send(struct world *w, uint32_t from, uint32_t to, struct event e);
void sim_link_cut(struct world *w, uint32_t a, uint32_t b);
void sim_link_down(struct world *w, uint32_t a, uint32_t b);
void sim_part(struct world *w);
void sim_sending_free(struct sending *s);
/* How long a frame is on its way. */
uint64_t sim_delay(const struct world *w, size_t from_port, size_t to_port);
/* Something that is sent now by the link: it arrives behind what was sent before. */
void sim_arrive(struct world *w, struct event e, bool is_block);
uint64_t sim_chunks(const struct world *w);

/* ---- world_streams.c ---- */

/* Blocks of the chunk that the node reads. */
uint32_t sim_coming_bits(const struct world *w, const struct node *x, uint32_t chunk);
/* False: it does not read that. */
bool sim_stream_add(struct world *w, uint32_t i, uint32_t to, uint64_t block);
/* Those that can begin do, those that cannot come any more end. */
void sim_streams(struct world *w, uint32_t i);
/* All of it has been sent, as far as it was there. */
void sim_stream_sent(struct world *w, struct sending *s);
/* What has not begun. */
void sim_stream_cancel(struct world *w, uint32_t i, uint32_t to, uint32_t chunk,
                       struct p2p_blocks blocks);
/* The link is down. */
void sim_streams_drop(struct world *w, uint32_t i, uint32_t to);
/* No faster than what they pass on is read. */
void sim_streams_pace(struct world *w);

/* ---- world_sources.c ---- */

void sim_fetch(struct world *w, uint32_t i, const struct p2p_move *m);
void sim_stop(struct world *w, uint32_t i, const struct p2p_move *m);
void sim_run_moved(struct world *w, struct run *r);
void sim_pause(struct world *w);
void sim_say_moves(struct world *w, struct node *x);
void sim_locate(struct world *w, uint32_t i, const struct p2p_move *m);
void sim_on_locate(struct world *w, const struct event *e);
void sim_on_located(struct world *w, const struct event *e);
void sim_unanswered(struct world *w, const struct event *e);
void sim_late(struct world *w, const struct event *e);
void sim_given_up(struct world *w, const struct event *e);
void sim_announce(struct world *w, struct p2p_tracker *t, uint32_t i);

/* ---- world_node.c ---- */

struct el_chunk_id sim_chunk_id(const struct world *w, uint32_t chunk);
bool sim_has_all(const struct node *x);
void sim_want(struct world *w, struct node *x);
void sim_got(struct world *w, uint32_t i, uint64_t block);
void sim_on_fetch(struct world *w, const struct event *e);
void sim_pump(struct world *w, uint32_t i);
void sim_sent(struct world *w, struct sending *s);
/* When the link is free. */
void sim_send_block(struct world *w, struct sending *s);
void sim_tell_followers(struct world *w, uint32_t i, uint32_t chunk);
void sim_happen(struct world *w, const struct event *e);
uint32_t sim_have_bits(const struct world *w, const struct node *x, uint32_t chunk);
bool sim_is_whole(const struct world *w, uint32_t chunk, uint32_t bits);
