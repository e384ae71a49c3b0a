/* SPDX-License-Identifier: MIT */
/*
 * mdb_map: an LMDB environment in a file that grows. A library of its own, with LMDB, so that a
 * program which keeps nothing there does without it.
 *
 *   open() --> transactions of the caller --> MDB_MAP_FULL: abort, grow(), the same again
 *                                         --> MDB_PANIC: close(), open(): what is committed is
 * there
 *
 * LMDB maps its file, so bytes that are mapped and not there, or cannot be read, are a signal and
 * not an error. Hence
 *  1. the file is at least as long as the map, which may be longer than what is used: it is sparse;
 *  2. one that is shorter than what it says of itself is damaged (MDB_CORRUPTED);
 *  3. it is made longer before the map is, and so is as long as the map was at its largest: that is
 *     how large the map is the next time.
 *
 * Codes are LMDB's: 0, an errno above 0, its own below. mdb_strerror() has the texts of both.
 */
#pragma once

#include <lmdb.h>

#include "common/base.h"

/* The caller's; all 0 but for `bytes` before the first open(). Thread: one at a time. */
struct el_mdb_map {
    MDB_env *env;   /* NULL: it is not open */
    uint64_t bytes; /* of the map: what is wanted before open(), what it is afterwards */
};

struct el_mdb_map_conf {
    const char *path;    /* as for mdb_env_open() */
    unsigned flags;      /* as well */
    unsigned max_tables; /* with a name */
    bool is_read_whole; /* by open(): an error of the disk is one of open(), and all is in memory */
    MDB_assert_func *on_assert; /* LMDB found what cannot be; the process ends when it returns */
    void *arg;                  /* mdb_env_get_userctx() of the environment */
};

/*
 * Opens or creates the file, with a map of `bytes`, rounded up to pages, or as large as the file is
 * when that is more. After a failure it is not open. *conf is borrowed for the call, conf->arg
 * until close(). Blocks.
 */
int el_mdb_map_open(struct el_mdb_map *m, const struct el_mdb_map_conf *conf);

/*
 * The map is twice as large. LMDB allows that between transactions, of which there are none now. A
 * disk without room leaves the map as it was. Without addresses for it there is none: it is not
 * open any more, and open() makes the one that there was.
 */
int el_mdb_map_grow(struct el_mdb_map *m);

/* How many bytes of the map these tables take. */
uint64_t el_mdb_map_used(MDB_txn *txn, const MDB_dbi *tables, size_t n);

/* There are no transactions. One that is not open is fine. */
void el_mdb_map_close(struct el_mdb_map *m);
