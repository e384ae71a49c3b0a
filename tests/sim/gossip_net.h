/* SPDX-License-Identifier: MIT */
/*
 * gossip_net: many tables of members (discovery/members.h) in one process, with a network between
 * them and a clock that jumps from event to event. The same seed gives the same run.
 */
#pragma once

#include "discovery/members.h"

struct net_node {
    struct disc_members *m; /* NULL: not running */
    uint64_t hash, tick_ms;
    unsigned side;    /* nodes of different sides do not reach each other */
    unsigned slow_ms; /* what reaches it, its clock too, comes later by up to this */
    uint64_t sent, sent_bytes, dead_seen, left_seen, conflicts_seen;
};

struct net_event;

struct gossip_net {
    struct net_node *node;
    size_t n, n_up;
    struct el_rng rng;
    struct disc_cards *cards;
    uint64_t now_ms;
    uint64_t start_ms;      /* of the wall clock */
    unsigned loss_permille; /* of messages: their connection breaks */
    struct net_event *heap;
    size_t n_events, events_cap;
    uint64_t sequence;
    uint32_t *by_hash; /* node + 1 */
    size_t by_hash_cap;
    uint64_t sent, sent_bytes, suspected, largest;
    uint64_t died, died_slow; /* taken for dead by somebody: those who were well, and the slow */
};

void net_init(struct gossip_net *s, size_t n, uint64_t seed);
void net_deinit(struct gossip_net *s);
/* A process starts, with the addresses of the first nodes as seeds; its earlier one has ended. */
void net_start(struct gossip_net *s, size_t i);
void net_crash(struct gossip_net *s, size_t i);
/* Says good-bye, and ends. */
void net_leave(struct gossip_net *s, size_t i);
/* Until the virtual time, or until `done` (may be NULL), asked every 100 ms. True: it was done. */
bool net_run(struct gossip_net *s, uint64_t until_ms, bool (*done)(struct gossip_net *s));

/* Every running node knows exactly the running ones, in the same incarnations. */
bool net_agrees(struct gossip_net *s);
/* How many running nodes hold node i for live, or dead. */
size_t net_believe(const struct gossip_net *s, size_t i, bool is_live);
