/* SPDX-License-Identifier: MIT */
/*
 * roster: the table of members of one node, the dead who are remembered included. Pure: it stores,
 * finds and sums; hear.c decides.
 *
 * 24 bytes a record, about 6 for the index and 2 for the order of probing; the card is about 150
 * more, shared by all rosters of a process.
 *
 * A slot stays a member's until it is removed. `ticket` changes whenever the record does, so that
 * whoever remembers slot and ticket sees that what it remembers is over.
 */
#pragma once

#include "common/rng.h"
#include "discovery/members.h"

#define DISC_MAX_MEMBERS 65535u /* records; the oldest dead make room */
#define DISC_SUMS        (1u << DISC_MAX_SUM_BITS)
#define DISC_NO_SLOT     UINT32_MAX

struct disc_record {
    const struct disc_card *card; /* shared; NULL: the slot is free */
    uint64_t incarnation;
    uint32_t since; /* tenths of a second: when the state began, or was last said again */
    enum disc_state state : 4;
    enum disc_learnt learnt : 4; /* set when it is put in, by whoever did */
    uint8_t ticket;
    uint16_t suspicion; /* its place among the suspicions, + 1; 0: none (suspect.c) */
};

struct disc_roster {
    struct disc_record *v;
    uint32_t n_slots, cap;
    uint32_t *index; /* 16 bits of the hash, slot + 1 (0: empty); open addressing */
    uint32_t index_cap;
    uint32_t n;      /* records */
    uint32_t n_live; /* alive or suspect */
    uint32_t n_gone; /* dead, not left: they may come back */
    uint16_t *ring;  /* slots in the order in which they are probed */
    uint32_t n_ring, ring_cap, ring_at;
    uint64_t sum[DISC_SUMS]; /* of the live, by the first bits of their hash */
};

void disc_roster_init(struct disc_roster *r);
void disc_roster_deinit(struct disc_roster *r);

uint32_t disc_roster_find(const struct disc_roster *r, uint64_t hash); /* DISC_NO_SLOT: unknown */
static inline struct disc_record *disc_roster_at(const struct disc_roster *r, uint32_t slot)
{
    return &r->v[slot];
}
static inline bool disc_is_live(const struct disc_record *m)
{
    return m->card != NULL && m->state <= DISC_SUSPECT;
}

/* Takes the card's reference. DISC_NO_SLOT: full of the living, and the card is given back. */
uint32_t disc_roster_add(struct disc_roster *r, const struct disc_card *card, uint64_t incarnation,
                         uint32_t now);
/* Every change of a record goes through here: counts, sums and ticket follow. */
void disc_roster_set(struct disc_roster *r, uint32_t slot, enum disc_state state,
                     uint64_t incarnation, uint32_t now);
/* Takes the card's reference; the name is the same. */
void disc_roster_set_card(struct disc_roster *r, uint32_t slot, const struct disc_card *card);
void disc_roster_remove(struct disc_roster *r, uint32_t slot);

/* The bucket of a hash when there are 2^bits of them. */
static inline uint32_t disc_bucket(uint64_t hash, uint8_t bits)
{
    return bits == 0 ? 0 : (uint32_t)(hash >> (64 - bits));
}
/* How many buckets suit: some dozen members in each, the dead included. */
uint8_t disc_roster_bits(const struct disc_roster *r);
uint64_t disc_roster_sum(const struct disc_roster *r, uint32_t bucket, uint8_t bits);

/* A random record that `suits`; DISC_NO_SLOT when there is none. */
uint32_t disc_roster_pick(const struct disc_roster *r, struct el_rng *rng,
                          bool (*suits)(const struct disc_record *m, const void *arg),
                          const void *arg);
/*
 * The next to probe: all who serve and live, each once, in an order drawn anew for each round.
 * A new member is put somewhere into what is left of the round.
 */
uint32_t disc_roster_next(struct disc_roster *r, struct el_rng *rng);
void disc_roster_enlist(struct disc_roster *r, struct el_rng *rng, uint32_t slot);

size_t disc_roster_bytes(const struct disc_roster *r); /* without the cards */
