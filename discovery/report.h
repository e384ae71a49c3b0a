/* SPDX-License-Identifier: MIT */
/*
 * report: which chunks this node has, as it says so to the control plane: changes as they come, or
 * all of it in pages. Pure.
 *
 *                 note()                     next()                  taken()
 *   [as it is told] ---> [dirty: differs] ----------> [on its way] ----------> [as it is told]
 *                              ^                           | refused()
 *                              +---------------------------+
 *
 * 1. What is told is a set; its epoch grows with each report, over restarts of the node too.
 * 2. One report is on its way at a time.
 * 3. A full one is begun by restart(): nothing counts as told then, and the pages that follow, all
 *    of one epoch, name what is here when the first of them is made, less what goes before its own
 *    page is. What comes or goes otherwise meanwhile is the first change after it.
 * 4. What there is no room for is not told of; the others lose nothing but a copy that they could
 *    have known of.
 */
#pragma once

#include "common/chunk_id.h"

#define DISC_REPORT_CHUNKS 262144u /* that it knows of */
#define DISC_REPORT_PAGE   16384u  /* chunks in one report */

struct disc_report;

/* epoch: higher than any that was ever reported by this node. */
struct disc_report *disc_report_new(uint64_t epoch);
void disc_report_free(struct disc_report *r); /* NULL is fine */

/* The chunk is here as a whole now, or is no longer; may be said twice. False: there is no room. */
bool disc_report_note(struct disc_report *r, const struct el_chunk_id *chunk, bool is_here);
bool disc_report_has(const struct disc_report *r, const struct el_chunk_id *chunk);
size_t disc_report_count(const struct disc_report *r); /* of those that are here */

/* The next report is a full one, and its epoch higher than that; nothing is on its way any more. */
void disc_report_restart(struct disc_report *r, uint64_t epoch);

/* A full one is to be begun, or has pages left. */
bool disc_report_is_restarting(const struct disc_report *r);

/* Something is to be told, and nothing on its way. */
bool disc_report_is_due(const struct disc_report *r);

/* A report: chunks are borrowed until taken(), refused() or restart(). */
struct disc_report_part {
    bool is_full;
    uint64_t base_epoch; /* of what was told before; not of a full one */
    uint64_t epoch;
    uint64_t digest;      /* of the set, once it is taken; not of a full one */
    unsigned page, pages; /* of a full one */
    const struct el_chunk_id *added, *removed;
    size_t n_added, n_removed;
};
/* is_due(). */
void disc_report_next(struct disc_report *r, struct disc_report_part *ret);
void disc_report_taken(struct disc_report *r); /* nothing happens when restart() came first */
/* Nobody heard it: it is told again. A full one from its first page on. The same after restart().
 */
void disc_report_refused(struct disc_report *r);

/* Of what was taken last: nothing yet is epoch 0. */
uint64_t disc_report_told_epoch(const struct disc_report *r);
uint64_t disc_report_told_digest(const struct disc_report *r);
/* The part of a digest that a chunk is. A digest is their sum. */
uint64_t disc_report_digest_of(const struct el_chunk_id *chunk);
/*
 * Time has passed, as much as there is between reports. The lag is in how many of these steps there
 * was something to be told, and no report was taken: 0 or 1 as long as all is well.
 */
void disc_report_step(struct disc_report *r);
unsigned disc_report_lag(const struct disc_report *r);
