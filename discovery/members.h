/* SPDX-License-Identifier: MIT */
/*
 * members: who is in the cluster. SWIM (Das, Gupta, Motivala, 2002) with what Lifeguard (Dadgar,
 * Phillips, Currey, 2017) adds, over reliable messages instead of datagrams. Pure: time, messages
 * and random numbers come in; messages to send and changes of the membership go out.
 *
 *            probe unanswered               nobody heard of it in time
 *   ALIVE ------------------> SUSPECT ------------------------------> DEAD --- (a day) --->
 * forgotten ^  \---- NodeLeave -------- | ----------> LEFT ------------------------- (a day) --->
 * forgotten |                           |                                    |
 *     +---------------------------+------------------------------------+
 *          the member itself says that it lives, with a higher incarnation
 *
 * What is heard of a member counts when its incarnation is higher than the known one, or the same
 * and the state later in this order: alive, suspect, dead, left. So the order in which news arrive
 * does not matter, and only the member itself can undo what is said of it. The incarnation is the
 * time of the process's start, in ms, and 16 bits that the process counts itself: a member that
 * starts again is newer than all that was said of it before, and the card (address, ports, zone)
 * belongs to the upper part.
 *
 * One round of a node, each second: it asks the next member of a shuffled list for an answer. When
 * none comes it asks three others to try; when they have no answer either the member is suspect,
 * and dead if it does not object in a time that shrinks as others suspect it too. A node that finds
 * its own probes fail more than they should, or that did not run for a while, takes all this more
 * slowly: it is probably the slow one. News go along with probes and their answers, and by
 * themselves to members that answered lately, whose connections are open. Every few
 * seconds, and more often as long as that finds much, the whole state is compared by sums.
 *
 * The dead and the seeds that are nobody's address are tried again, so often that each is tried a
 * few times in three seconds by the whole cluster: so two halves find each other again.
 *
 * A member that serves nobody (outbound only) cannot be probed: it says every 15 s that it lives
 * and is dead when it has not for 60 s.
 *
 * Two processes with one id: the later start wins, and the other reports DISC_EVENT_CONFLICT.
 *
 * Thread: one at a time.
 */
#pragma once

#include "common/list.h"
#include "common/rng.h"
#include "discovery/gossip_wire.h"

struct disc_members;

struct disc_members_conf {
    struct disc_fields self;  /* checked by the caller; copied */
    uint64_t start_ms;        /* wall clock at the start of the process */
    uint64_t now_ms;          /* monotonic */
    struct el_rng rng;        /* seeded */
    struct disc_cards *cards; /* borrowed until free; may be shared by members of one thread */
};

struct disc_members *disc_members_new(const struct disc_members_conf *conf);
void disc_members_free(struct disc_members *m); /* NULL is fine */

/* Where this node first heard of a member. It stays what it was until the member is forgotten. */
enum disc_learnt {
    DISC_LEARNT_GOSSIP, /* others told of it */
    DISC_LEARNT_CALL,   /* it came by itself */
    DISC_LEARNT_SEED,   /* from here on: its address was among the seeds, from such a provider */
    DISC_LEARNT_FILE,
    DISC_LEARNT_DNS,
    DISC_LEARNT_CONTROL_PLANE,
    DISC_LEARNT_SELF, /* it is this node */
};
const char *disc_learnt_name(enum disc_learnt l);

/*
 * Where others may be found: addresses "host:port", replacing those given before, and of each who
 * named it; from NULL: a list did.
 */
void disc_members_set_seeds(struct disc_members *m, const struct el_str *address,
                            const enum disc_learnt *from, size_t n, uint64_t now_ms);
/*
 * A link made to the address of a seed has proved to be `who`, which may be this node itself. Seeds
 * where a living member was found are left alone, whatever address that gives as its own.
 */
void disc_members_reached(struct disc_members *m, struct el_str address, uint64_t who);
/* Tells others that this node goes; what is then to be sent should be sent before it does. */
void disc_members_leave(struct disc_members *m, uint64_t now_ms);

/* To be called when due, and at any other time. */
void disc_members_tick(struct disc_members *m, uint64_t now_ms);
uint64_t disc_members_due_ms(const struct disc_members *m);

/*
 * A message came over a link whose other end has proved to be `from` (disc_id_hash). An error: the
 * message is malformed, nothing was done, and the link is better closed.
 */
enum el_err disc_members_give(struct disc_members *m, uint64_t now_ms, uint64_t from,
                              struct el_str body, struct el_error *err);
/* As in disc_out.to: cannot be reached, or at its address is somebody else. */
void disc_members_unreachable(struct disc_members *m, uint64_t now_ms, uint64_t to);

/* ---- what goes out ---- */

struct disc_out {
    struct el_list link;
    uint64_t to;                  /* 0: not known, by address only */
    const struct disc_card *card; /* shared; NULL: only over a link that is there, or by address */
    char *address;                /* "host:port" of a seed, or NULL */
    bool is_reply;      /* to what was given last: over the same link, if it is still there */
    struct el_buf body; /* of a frame of type Gossip, a statement */
};

/* The next message, now the caller's; NULL: none. */
struct disc_out *disc_members_next_out(struct disc_members *m);
void disc_out_free(struct disc_out *o);

enum disc_event_kind {
    DISC_EVENT_JOINED,    /* new, or back */
    DISC_EVENT_SUSPECTED, /* still counts as a member */
    DISC_EVENT_TRUSTED,   /* no longer suspect */
    DISC_EVENT_MOVED,     /* started again, at another address or not */
    DISC_EVENT_DEAD,
    DISC_EVENT_LEFT,
    DISC_EVENT_CONFLICT, /* another process has this node's id; the card says where */
};

struct disc_event {
    enum disc_event_kind kind;
    const struct disc_card *card; /* shared; the receiver gives it back */
};

bool disc_members_next_event(struct disc_members *m, struct disc_event *ret);

/* ---- what is known ---- */

struct disc_member {
    const struct disc_card *card; /* borrowed until the next call that changes something */
    enum disc_state state;
    enum disc_learnt learnt;
    uint64_t incarnation;
};

/* Every known member, the dead and this node included: from *at = 0 on; false at the end. */
bool disc_members_each(const struct disc_members *m, size_t *at, struct disc_member *ret);
bool disc_members_find(const struct disc_members *m, uint64_t hash, struct disc_member *ret);
/* Alive and suspect, this node included. */
size_t disc_members_live(const struct disc_members *m);
/* The same for all who know the same living members in the same incarnations. */
uint64_t disc_members_digest(const struct disc_members *m);
/* Changes when somebody joins, leaves, dies or moves. */
uint64_t disc_members_version(const struct disc_members *m);

struct disc_members_stats {
    uint64_t probes, probes_failed, suspected, died, refuted, messages_in, bytes_in;
    uint64_t refused; /* ids that share a hash, or more members than there may be */
    unsigned health;  /* 0: well; to 8: this node is slow, and waits so many times longer */
    size_t bytes;     /* memory without cards */
};

void disc_members_stats(const struct disc_members *m, struct disc_members_stats *ret);
