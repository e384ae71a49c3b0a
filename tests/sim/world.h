/* SPDX-License-Identifier: MIT */
/*
 * world: nodes that fetch one object version from each other and from an origin, in one process and
 * in virtual time: the very swarm, upload and tracker of the product, with links, blocks and the
 * origin as events between them. The same seed gives the same run.
 *
 * A link is one TCP connection: a short frame does not overtake the block that is being sent, nor a
 * block the one before it. Blocks share the ports' capacities (flows.h). Headers, hashing and slow
 * start are left out.
 */
#pragma once

#include "p2p/swarm.h"
#include "p2p/tracker.h"
#include "p2p/upload.h"
#include "tests/sim/flows.h"

enum sim_manner {
    SIM_HONEST,
    SIM_LIAR,    /* sends other bytes */
    SIM_MUTE,    /* says what it has, and never answers a question */
    SIM_DRIP,    /* sends 10 KB a second */
    SIM_REFUSER, /* answers every question with an Error */
    SIM_SILENT,  /* is there, and says nothing at all, not as a tracker either */
};

struct sim_node_conf {
    double up, down;            /* bytes per second */
    uint64_t start_us, kill_us; /* UINT64_MAX: never */
    enum sim_manner manner;
    bool is_seed;   /* has everything at the start */
    bool is_slow;   /* its own time does not count among those of the others */
    bool no_origin; /* nobody there may ask the origin */
    bool hangs;     /* what it asks the origin for never comes */
    unsigned side;  /* of a partition; 0: reaches all */
};

struct sim_conf {
    size_t nodes;
    uint64_t blocks;
    double origin, origin_connection; /* bytes per second, in all, and of one connection (0: all) */
    uint64_t latency_us;              /* one way, also to the origin */
    uint64_t queue_us;                /* that a full port adds to it, at either end */
    uint64_t seed;
    unsigned k, max_peers, slots; /* 0: as they are by default */
    size_t first_tracker;         /* of group 0 */
    bool overtake;                /* short frames overtake blocks: two connections per pair */
    bool all_up;                  /* from the beginning; start_us is when they want the object */
    bool is_coarse;               /* coarse flows */
    bool is_uneven;               /* some connections get more than others */
    uint64_t member_us;           /* until all know that a node is dead */
    uint64_t part_us, heal_us;    /* a partition; 0: none */
    uint64_t deaf_us, hear_us;    /* no tracker answers in between */
    uint64_t pause_us, resume_us; /* the origin gives nothing in between; 0: never */
    bool (*origin_fails)(void *arg, uint64_t now_us, size_t node); /* NULL: never */
    void *arg;
    uint64_t end_us;
    uint64_t tell_us;           /* so often how far all are is said on stderr; 0: never */
    struct sim_node_conf *node; /* of each */
};

struct sim_result {
    bool all_done;         /* every honest node that was not killed */
    double last_s, mean_s; /* from its own start */
    double first_start_to_last_s;
    double egress; /* origin bytes / object */
    double hedge_blocks, no_tracker_blocks;
    uint64_t twice, bad_taken, timeouts, failed_moves, blamed;
    uint64_t short_frames, locates, events;
    double uplink_use; /* of the honest nodes' capacity until the last one was done */
    uint64_t again;    /* blocks that were leased a second time, though not lost */
    uint64_t broken;   /* promises; each is said on stderr */
};

struct sim_result sim_run(const struct sim_conf *conf);
