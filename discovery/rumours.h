/* SPDX-License-Identifier: MIT */
/*
 * rumours: what is passed on with other messages. A change of a member is told a number of times
 * that grows with the logarithm of the cluster, the newest first; then everybody has heard it, or
 * the comparison of states (sync.c) finds out who has not. Pure.
 */
#pragma once

#include "discovery/roster.h"

/*
 * A power of two; the most told are dropped beyond. When very much changes at once (a cluster that
 * starts, a half that is gone) comparing states is cheaper than telling each change so many times.
 */
#define DISC_MAX_RUMOURS 1024u

struct disc_rumour {
    uint64_t accuser; /* of a suspicion */
    uint32_t slot;
    uint8_t ticket; /* of the record: a later change makes the rumour void */
    uint8_t told;
    bool with_card; /* who hears it may not know the member as it is now */
};

/* A ring: the front is told first. No memory is held while there is nothing to tell. */
struct disc_rumours {
    struct disc_rumour *v;
    uint32_t front, n, cap;
};

void disc_rumours_init(struct disc_rumours *q);
void disc_rumours_deinit(struct disc_rumours *q);
/* The record of the slot has just changed. */
void disc_rumours_add(struct disc_rumours *q, const struct disc_roster *r, uint32_t slot,
                      bool with_card, uint64_t accuser);
/* Appends updates to *out until it holds `max` bytes, or each was told once. */
void disc_rumours_tell(struct disc_rumours *q, const struct disc_roster *r, struct el_buf *out,
                       size_t max);
/* The record as an update. */
void disc_update_of(const struct disc_record *m, bool with_card, uint64_t accuser,
                    struct disc_update *ret);
