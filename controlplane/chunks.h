/* SPDX-License-Identifier: MIT */
/*
 * chunks: which node has which chunk, as nodes report it; who may be asked for a chunk; what is
 * hot.
 *
 * Reports. A node counts them in an epoch that only grows. A full one replaces what is known, in
 * one piece or in pages; a delta builds on the epoch of the report before it, and says in a digest
 * what there is afterwards: the sum modulo 2^64 of el_chunk_id_digest() of all it has. What does
 * not fit changes nothing, and a full report is asked for. A delta that repeats the last report
 * changes nothing either. A full report without an epoch (0) is taken each time; no delta builds on
 * it.
 *
 * What is known of chunks is soft: it leaves for the store a second later, and a report that was
 * lost with a process is missed by its epoch and told again.
 *
 * Heat counts questions and reports for a group of 64 chunks (1 GiB of an object) and halves every
 * CP_HEAT_HALF_MS. Thread: cp_state's.
 */
#pragma once

#include "controlplane/nodes.h"

#define CP_LOCATE_MAX      10000u /* chunks in one question */
#define CP_HOLDERS_MAX     100u   /* nodes named for one chunk */
#define CP_REPORT_MAX      65536u /* chunks in one report or page */
#define CP_HEAT_HALF_MS    300000u
#define CP_OBJECT_NAME_MAX 1024u
#define CP_PAGES_MAX       4096u

enum cp_report_kind { CP_REPORT_FULL, CP_REPORT_PAGE, CP_REPORT_DELTA };

struct cp_report {
    enum cp_report_kind kind;
    uint64_t epoch;       /* of this report; 0 only for CP_REPORT_FULL */
    uint64_t base_epoch;  /* of a delta: what it builds on */
    uint32_t page, pages; /* of a page: 0, 1, ... of how many; 0 begins anew, with the last one what
                           * was known before is replaced */
    const struct el_chunk_id *has; /* there, or new; one that is known already is fine */
    size_t has_n;
    const struct el_chunk_id *lost; /* of a delta: gone; one that is not known is fine */
    size_t lost_n;
    bool has_digest; /* a delta must */
    uint64_t digest; /* of all it has after this report (or its last page) */
};

/*
 * EL_ENOTFOUND: the node has to register. EL_EINVAL: more than CP_REPORT_MAX, or fields that do not
 * belong together. *ret_wants_full: it does not fit what is known; what was known stays, and the
 * next report should be a full one. Soft.
 */
enum el_err cp_chunks_report(struct cp_state *s, struct el_str node_id, const struct cp_report *r,
                             bool *ret_wants_full, struct el_error *err);

/*
 * Who has a chunk. `holders` are those to be asked: living, reachable, those of the zone first,
 * which of equals changes from question to question. `total` counts all that have it.
 */
typedef void cp_located(void *arg, const struct el_chunk_id *id,
                        const struct cp_node *const *holders, size_t n, size_t total);

/*
 * Calls located() for each of ids, in their order; at most CP_LOCATE_MAX. `asker` (may be empty, or
 * unknown) is never named. `zone` empty: the asker's. Counts as a question for heat.
 */
struct cp_question {
    struct el_str asker, zone;
    const struct el_chunk_id *ids;
    size_t n;
    size_t max_holders; /* of each, at most CP_HOLDERS_MAX */
};
enum el_err cp_chunks_locate(struct cp_state *s, const struct cp_question *q, cp_located *located,
                             void *arg, struct el_error *err);

/* Calls visit() for each chunk of a node until it returns false. */
enum el_err cp_chunks_of(const struct cp_state *s, struct el_str node_id,
                         bool (*visit)(void *arg, const struct el_chunk_id *id), void *arg,
                         struct el_error *err);

/*
 * What people call an object version: its URL without query, or bucket and key. Told by nodes
 * (the last one counts), shown, and what prefixes of policies and operations are held against. An
 * object without chunks is not known. Soft.
 */
struct cp_object_name {
    uint8_t object[EL_CHUNK_ID_OBJECT_BYTES];
    struct el_str name; /* printable ASCII, no '?', at most CP_OBJECT_NAME_MAX */
    uint64_t bytes;     /* 0: not known */
};

enum el_err cp_object_describe(struct cp_state *s, const struct cp_object_name *name,
                               struct el_error *err);

/* A view; empty: nobody has told. */
struct el_str cp_object_name(const struct cp_state *s,
                             const uint8_t object[EL_CHUNK_ID_OBJECT_BYTES]);

/* View of an object version of which somebody has something. */
struct cp_object {
    uint8_t object[EL_CHUNK_ID_OBJECT_BYTES];
    struct el_str name; /* empty: nobody has told */
    uint64_t bytes;
    uint32_t chunks;    /* known of it */
    uint64_t locations; /* of all of them */
    uint32_t min_copies, max_copies;
    double heat;
};

/* The hottest first, at most max; returns how many. */
size_t cp_objects_hot(const struct cp_state *s, struct cp_object *ret, size_t max);
/* False: not known. */
bool cp_object_get(const struct cp_state *s, const uint8_t object[EL_CHUNK_ID_OBJECT_BYTES],
                   struct cp_object *ret);

/* How many chunks have 1, 2, ... CP_COPIES_BINS or more copies: for a map of copies. */
#define CP_COPIES_BINS 16u
void cp_chunks_copies(const struct cp_state *s, uint64_t ret[CP_COPIES_BINS]);
