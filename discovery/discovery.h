/* SPDX-License-Identifier: MIT */
/*
 * discovery: who is in the cluster, and who answers for what. All that other libraries include.
 *
 * Providers say where others may be found: a list, a shared file, names in DNS, what gossip knows.
 * They only feed addresses ("host:port", "[v6]:port") to members.h, which finds out who is there. A
 * provider never blocks in poll(), so all of them can be asked by the thread that owns the members.
 *
 * Thread: one at a time, for each provider.
 */
#pragma once

#include "discovery/controlplane.h"
#include "discovery/gossip_wire.h"
#include "discovery/members.h"
#include "discovery/rendezvous.h"

#define DISC_MAX_SEEDS 64u

/* Addresses, none twice. A zeroed struct is an empty list. */
struct disc_seeds {
    char *address[DISC_MAX_SEEDS];
    enum disc_learnt from[DISC_MAX_SEEDS]; /* who named it; set by disc_providers_poll() */
    size_t n;
};

void disc_seeds_deinit(struct disc_seeds *s);
/* Takes a copy; what is there already, or beyond the last place, is dropped. */
void disc_seeds_add(struct disc_seeds *s, struct el_str address);
/* The same addresses in any order. */
bool disc_seeds_equal(const struct disc_seeds *a, const struct disc_seeds *b);
/* "host:port" or "[address]:port", a port of 1 to 65535. */
bool disc_address_ok(struct el_str address);

struct disc_provider {
    const char *name;
    enum disc_learnt learnt; /* what is first heard of by its addresses */
    /*
     * Adds the addresses it knows of now. An error says why it knows none, or only those of before;
     * it has added what it has.
     */
    enum el_err (*poll)(struct disc_provider *p, int64_t wall_ms, struct disc_seeds *seeds,
                        struct el_error *err);
    /* Where nodes write themselves: this one does, from the next poll on. NULL: not there. */
    void (*announce)(struct disc_provider *p, struct el_str own);
    void (*free)(struct disc_provider *p);
};

void disc_provider_free(struct disc_provider *p); /* NULL is fine */

/* Addresses separated by commas. */
enum el_err disc_provider_list(struct el_str addresses, struct disc_provider **ret,
                               struct el_error *err);
/*
 * A file of one address a line, with the Unix time in seconds when it was written if that is to
 * matter: such a line counts for DISC_FILE_TTL_S. Blank lines and those that begin with '#' do
 * not count. A thread of the provider's own reads it at the start and again with each poll if it
 * has changed, and renews this node's line; a file that is not there is an empty one.
 */
#define DISC_FILE_TTL_S 300
enum el_err disc_provider_file(struct el_str path, struct disc_provider **ret,
                               struct el_error *err);
/* Writes or renews a line of that file, and drops those that are over. Blocks. */
enum el_err disc_file_announce(const char *path, struct el_str address, int64_t wall_ms,
                               struct el_error *err);
/*
 * Names with ports, separated by commas; each may stand for many addresses. A thread of the
 * provider's own asks at the start and then every 30 s, as polls say; the addresses of before count
 * while the name server is silent.
 */
enum el_err disc_provider_dns(struct el_str names, struct disc_provider **ret,
                              struct el_error *err);
/* The living members that can be connected to. Borrows m until it is freed. */
struct disc_provider *disc_provider_gossip(const struct disc_members *m);

/* The members that it names. Borrows cp until it is freed. */
struct disc_provider *disc_provider_controlplane(struct disc_cp *cp);

/* What the options say. Values that the mode does not use are an error, as one of them is wrong. */
struct disc_sources {
    /*
     * "auto", "gossip": whatever is given, nothing at all included (a first node waits for others);
     * "static": the seeds, as they are; "dns": the seeds, each of which may stand for many
     * addresses; "file": the file; "controlplane": the control plane. It counts with "auto" too.
     */
    struct el_str mode;
    struct el_str seeds;           /* discovery.seeds: addresses separated by commas */
    struct el_str file;            /* discovery.file: its path */
    struct disc_cp *control_plane; /* borrowed until the providers are freed; NULL: none */
};

#define DISC_MAX_PROVIDERS 4u

struct disc_providers {
    struct disc_provider *v[DISC_MAX_PROVIDERS];
    size_t n;
};

enum el_err disc_providers_of(const struct disc_sources *from, struct disc_providers *ret,
                              struct el_error *err);
/* Asks all of them, the first to name an address counts; the error is that of the first that has
 * one. */
enum el_err disc_providers_poll(const struct disc_providers *set, int64_t wall_ms,
                                struct disc_seeds *seeds, struct el_error *err);
/* This node's own address, once it is known, for providers where nodes write themselves. */
void disc_providers_announce(const struct disc_providers *set, struct el_str own);
void disc_providers_deinit(struct disc_providers *set);
