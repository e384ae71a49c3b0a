/* SPDX-License-Identifier: MIT */
/*
 * rendezvous: which members answer for a key. Each member draws a number from the key and its own
 * name; the three highest are the owner and its two backups. A member that leaves gives its keys to
 * their backups and moves no other; one that joins takes only what it now draws highest for.
 * Everybody who sees the same members gives the same answer (Thaler and Ravishankar, 1998).
 *
 * All members weigh the same, and all are looked at: 10,000 take about 11 us, which needs no cache.
 */
#pragma once

#include "common/base.h"

#define DISC_OWNERS    3u
#define DISC_KEY_BYTES 16u

/*
 * The members' hashes (disc_id_hash) in any order. Fills ret_index with the positions of the owner
 * and the backups, best first, and returns how many there are: min(n, DISC_OWNERS).
 */
size_t disc_rendezvous(const uint8_t key[DISC_KEY_BYTES], const uint64_t *member, size_t n,
                       size_t ret_index[DISC_OWNERS]);
