/* SPDX-License-Identifier: MIT */
/*
 * regard: what this node makes of another, in one figure for people and their tools. Pure. Nothing
 * is decided by it: who is asked for blocks is swarm.h's to say, who is a member members.h's.
 */
#pragma once

#include "discovery/discovery.h"

#define P2P_HEALTH_HEARD 50u /* of one of which nothing is known but that it is a member */

struct p2p_regard {
    enum disc_state state;
    bool is_self;
    bool is_linked;      /* some link with it is up */
    bool has_given;      /* a block that was right */
    bool is_quarantined; /* for a wrong one */
    unsigned unreached;  /* attempts in a row at which there was no link */
    unsigned slow;       /* blocks in a row that did not come in time */
    unsigned bad;        /* wrong blocks; they fade */
};

/*
 * 0 to 100. It begins with 100 while a link is up, else with 75 if the other has given something,
 * else with P2P_HEALTH_HEARD. Off go 10 for each that is unreached, 10 for each that is slow, 3 of
 * either at most, and 25 for each that is bad. A suspect has half of what is left; in quarantine it
 * is 10 at most; it is at least 1 as long as the other lives, and 0 when it is dead or has left.
 */
unsigned p2p_regard_health(const struct p2p_regard *r);
