/* SPDX-License-Identifier: MIT */
/*
 * card: what a member says of itself: who it is, where it is reached, its zone. It does not change
 * while the member's process lives, so one copy serves every place that speaks of the member; a set
 * may serve several tables of members (the simulator has thousands in one process).
 *
 * The id is the fingerprint of the node's key in hex: a link proves it. The name is what the
 * operator calls the node; it is for people, and two nodes may have the same.
 *
 * Thread: whoever owns the set.
 */
#pragma once

#include "common/err.h"
#include "common/str.h"

#define DISC_MAX_ID   64u
#define DISC_MAX_NAME 64u
#define DISC_MAX_HOST 253u
#define DISC_MAX_ZONE 64u

/* Nobody can connect to it: it reaches others only over connections that it made itself. */
#define DISC_FLAG_OUTBOUND_ONLY 0x01u
#define DISC_FLAGS              DISC_FLAG_OUTBOUND_ONLY

/* A card as plain values; the slices are borrowed. */
struct disc_fields {
    struct el_str id, name, host, zone; /* name and zone may be empty */
    uint16_t p2p_port, http_port;       /* 0: not reached this way */
    uint8_t flags;
};

/* Immutable, shared (ref). */
struct disc_card {
    struct disc_card *next; /* in its bucket of the set */
    struct disc_cards *set;
    uint64_t hash; /* of the id: how members are named in messages */
    uint32_t refs;
    uint16_t p2p_port, http_port;
    uint8_t flags, id_n, name_n, host_n, zone_n;
    char text[]; /* id NUL name NUL host NUL zone NUL */
};

struct disc_cards; /* the set */

struct disc_cards *disc_cards_new(void);
void disc_cards_free(struct disc_cards *s); /* every card has been given back; NULL is fine */

/* Printable ASCII of lengths that are allowed, id and host without blanks; known flags only. */
enum el_err disc_fields_check(const struct disc_fields *f, struct el_error *err);
/* The same everywhere: members of one cluster agree on it. */
uint64_t disc_id_hash(struct el_str id);

/* The card with these values, which have been checked: the one there is, or a new one. */
const struct disc_card *disc_card_get(struct disc_cards *s, const struct disc_fields *f);
const struct disc_card *disc_card_ref(const struct disc_card *c);
void disc_card_unref(const struct disc_card *c); /* NULL is fine */
/* Borrowed from the card. */
struct disc_fields disc_card_fields(const struct disc_card *c);
const char *disc_card_id(const struct disc_card *c);
const char *disc_card_name(const struct disc_card *c);
const char *disc_card_host(const struct disc_card *c);
const char *disc_card_zone(const struct disc_card *c);
bool disc_card_is_serving(const struct disc_card *c);
bool disc_card_same_place(const struct disc_card *a, const struct disc_card *b);
/* What it occupies. */
size_t disc_card_bytes(const struct disc_card *c);
