/* SPDX-License-Identifier: MIT */
/* members_in: the inside of members.h, shared by the files that make it up and by nobody else. */
#pragma once

#include "discovery/members.h"
#include "discovery/roster.h"
#include "discovery/rumours.h"

/*
 * Times in ms. A probe waits 700 ms for a direct answer: three round trips of 150 ms to connect and
 * handshake, and one for the answer. The rest is measured by tests/sim (docs/discovery.md).
 */
#define PROBE_MS        1000u
#define PROBE_DIRECT_MS 700u
#define PROBE_TOTAL_MS  2000u
#define RELAY_MS        1000u
#define RUMOURS_MS      200u
#define SYNC_MS         2000u /* times log10 of the members, as the sums grow with them */
#define SYNC_SOON_MS    400u
#define SYNC_MUCH       8u /* differences that make the next comparison come soon */
#define HEAL_MS         1500u
#define HEAL_TRIES      2u /* for each of the dead in each HEAL_MS, by the whole cluster */
#define BEAT_MS         15000u
#define SILENT_MS       60000u
#define SWEEP_MS        5000u
#define FORGET_MS       (24u * 3600u * 1000u)
#define SLEPT_MS        1500u /* later than due by this: this node did not run */
#define SUSPECT_LEAST   2u    /* rounds of PROBE_MS, times log10 of the members */
#define SUSPECTS_MS     100u  /* between two looks at those whose time may be over */
#define SUSPECT_MOST    4u    /* times the least, as long as nobody else suspects it */

#define MAX_PROBES     8u
#define MAX_RELAYS     32u
#define MAX_HELPERS    3u
#define MAX_PARTNERS   16u /* more than a rumour is told by one node */
#define MAX_SEEDS      64u
#define MAX_HEALTH     8u
#define MAX_ACCUSERS   3u
#define PIGGYBACK      2048u /* bytes of updates that go with a probe */
#define RUMOURS_BYTES  16384u
#define SYNC_PAGES     4u /* messages of one kind that one step of a comparison may send */
#define MAX_WANTS      4000u
#define MAX_INTRODUCED 32u /* of a StateSync: more news than this are not passed on as rumours */

#define DISC_MAX_INCARNATION  (UINT64_MAX / 2)
#define START_OF(incarnation) ((incarnation) >> 16)

struct disc_probe {
    uint64_t target; /* 0: free */
    uint64_t direct_due_ms, due_ms;
    uint32_t sequence;
    uint64_t helper[MAX_HELPERS];
    unsigned helpers, negative; /* asked and not unreachable, and how many of them said no */
    bool is_indirect, is_unreachable;
};

struct disc_relay {
    uint64_t asker, target; /* target 0: free */
    uint64_t due_ms;
    uint32_t sequence, asked_sequence;
};

struct disc_suspicion {
    uint32_t slot;
    unsigned n_accusers;
    uint64_t start_ms, due_ms;
    uint64_t accuser[MAX_ACCUSERS - 1]; /* the last to count is asked for by nobody */
};

struct disc_seed {
    char *address;
    enum disc_learnt from;
    uint64_t hash; /* of whom a link to it reached last; 0: nobody yet */
};

struct disc_members {
    struct disc_cards *cards;
    const struct disc_card *self; /* shared; slot 0 of the roster is this node's */
    uint64_t incarnation;
    bool is_leaving;
    struct el_rng rng;
    uint64_t epoch_ms, now_ms;

    struct disc_roster roster;
    struct disc_rumours rumours;
    unsigned pass_left; /* how much more of what is heard is passed on as rumours */
    uint64_t version;
    struct disc_members_stats stats;

    uint64_t probe_due_ms, rumours_due_ms, sync_due_ms, heal_due_ms, beat_due_ms, sweep_due_ms;
    uint64_t sync_every_ms; /* doubles while comparing finds little */
    uint32_t sequence;
    unsigned health;
    struct disc_probe probe[MAX_PROBES];
    struct disc_relay relay[MAX_RELAYS];
    uint64_t partner[MAX_PARTNERS];      /* who answered lately; 0: none */
    unsigned next_partner, told_partner; /* where the next goes; who is told next */
    struct disc_suspicion *suspicion;
    size_t n_suspicions, suspicions_cap;
    uint64_t suspicion_due_ms; /* no later than the first of them */
    struct disc_seed seed[MAX_SEEDS];
    size_t n_seeds;
    uint64_t conflict_ms; /* when it was last reported */

    struct el_list out;
    uint64_t given_by; /* who sent what is being heard; 0: nothing is */
    struct disc_event *event;
    size_t n_events, events_cap, events_at;
};

/* Where news come from, which says how far they are believed. */
enum disc_source {
    DISC_FROM_RUMOUR,
    DISC_FROM_SYNC, /* a state compared: its dead may be the dead of a partition */
    DISC_FROM_OWNER /* the member itself, over its own link */
};

static inline uint32_t disc_tenths(const struct disc_members *m)
{
    return (uint32_t)((m->now_ms - m->epoch_ms) / 100);
}

/* members.c */
/* A message on its way out, whose payload is then written: borrowed until the next. */
struct el_buf *disc_send(struct disc_members *m, const struct disc_card *to);
struct el_buf *disc_send_address(struct disc_members *m, const char *address);
/* To a node that may not be known, over its link. */
struct el_buf *disc_send_back(struct disc_members *m, uint64_t to);
/* Of one that has just been put into the slot. */
enum disc_learnt disc_learnt_of(const struct disc_members *m, uint32_t slot);
/* Somebody else, alive, who can be connected to; NULL: nobody. */
const struct disc_card *disc_somebody(struct disc_members *m);
void disc_event_add(struct disc_members *m, enum disc_event_kind kind,
                    const struct disc_card *card);
/* News for `to`: first how it is seen here, if it should object. */
void disc_add_rumours(struct disc_members *m, struct el_buf *out, uint64_t to, size_t max);

/* hear.c */
/* True when it changed what is known. The hashes of cards that are not known go to *want. */
bool disc_hear(struct disc_members *m, const struct disc_update *u, enum disc_source source,
               struct el_buf *want);
/* This node says that it lives, as a later incarnation than `heard`. */
void disc_reassert(struct disc_members *m, uint64_t heard);
/* What is unknown is asked of `from`. Returns how many changed something. */
size_t disc_hear_updates(struct disc_members *m, struct el_bytes updates, enum disc_source source,
                         uint64_t from);
/* `from` says that it lives; by its link, so that it is sure. */
void disc_hear_owner(struct disc_members *m, uint64_t from, uint64_t incarnation);

/* suspect.c */
uint64_t disc_tenfolds(uint32_t n); /* about log10, at least 1 */
void disc_suspect(struct disc_members *m, uint32_t slot, uint64_t accuser);
/* As if as many suspected it as count. */
void disc_suspect_at_last(struct disc_members *m, uint32_t slot);
void disc_suspicion_end(struct disc_members *m, uint32_t slot); /* harmless when there is none */
void disc_die(struct disc_members *m, uint32_t slot);
void disc_suspicions_run(struct disc_members *m);
void disc_suspicions_shift(struct disc_members *m, uint64_t by_ms);

/* probe.c */
void disc_probe_next(struct disc_members *m);
void disc_probes_run(struct disc_members *m);
uint64_t disc_probes_due_ms(const struct disc_members *m);
void disc_probes_forget(struct disc_members *m);
void disc_probe_given(struct disc_members *m, uint64_t from, const struct disc_message *msg);
void disc_probe_unreachable(struct disc_members *m, uint64_t to);
void disc_health_worse(struct disc_members *m, unsigned by);

/* sync.c */
void disc_want(struct disc_members *m, uint64_t from, const struct el_buf *hashes);
void disc_sync_next(struct disc_members *m);
void disc_sync_with(struct disc_members *m, const struct disc_card *to);
void disc_sync_given(struct disc_members *m, uint64_t from, const struct disc_message *msg);
void disc_join_given(struct disc_members *m, uint64_t from, const struct disc_message *msg);
void disc_join_put_self(struct disc_members *m, struct el_buf *out, uint8_t flags);
void disc_heal(struct disc_members *m);
/* "host:port", where an address of IPv6 may be in brackets. */
bool disc_is_at(const struct disc_record *r, const char *address);
