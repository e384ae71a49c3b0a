/* SPDX-License-Identifier: MIT */
/* regard: see regard.h. */
#include "p2p/regard.h"

#define HEALTH_LINKED    100u
#define HEALTH_GAVE      75u
#define OFF_UNREACHED    10u
#define OFF_SLOW         10u
#define OFF_BAD          25u
#define MOST_IN_A_ROW    3u
#define MOST_BAD         4u /* more leave nothing either */
#define MOST_QUARANTINED 10u

static unsigned beginning(const struct p2p_regard *r)
{
    if (r->is_linked)
        return HEALTH_LINKED;
    return r->has_given ? HEALTH_GAVE : P2P_HEALTH_HEARD;
}

static unsigned at_most(unsigned n, unsigned most)
{
    return n < most ? n : most;
}

unsigned p2p_regard_health(const struct p2p_regard *r)
{
    unsigned off = OFF_UNREACHED * at_most(r->unreached, MOST_IN_A_ROW) +
                   OFF_SLOW * at_most(r->slow, MOST_IN_A_ROW) + OFF_BAD * at_most(r->bad, MOST_BAD);
    unsigned health = beginning(r);

    if (r->state > DISC_SUSPECT)
        return 0;
    if (r->is_self)
        return HEALTH_LINKED;
    health -= at_most(off, health);
    if (r->state == DISC_SUSPECT)
        health /= 2;
    if (r->is_quarantined)
        health = at_most(health, MOST_QUARANTINED);
    return health > 0 ? health : 1;
}
