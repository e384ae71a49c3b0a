/* SPDX-License-Identifier: MIT */
/*
 * backup: copies of the state beside it, in DATA_DIR/backups, named by their time, so that the
 * names' order is the order of time; and putting one back. Thread: the one for backups; restoring:
 * any, while no service runs.
 */
#pragma once

#include "controlplane/store.h"

#define CP_BACKUP_PATH_MAX 4096u

/* Tells its name; there is no file of that name when it fails. EL_EUNSUPPORTED: the store has
 * backups of its own. */
enum el_err cp_backup_write(struct cp_store *store, const char *data_dir, int64_t wall_ms,
                            char ret_path[CP_BACKUP_PATH_MAX], struct el_error *err);
/* The oldest go until there are `keep`, but never `newest`: the clock may have been set back. What
 * cannot be removed stays. */
void cp_backup_prune(const char *data_dir, size_t keep, const char *newest);

/*
 * A backup becomes the state in data_dir; tells where. Only one that is whole, and only where there
 * is neither a state nor what SQLite leaves beside one: it would be taken for changes of this one.
 * EL_ECONFLICT: there is; as cp_store_sqlite_check() otherwise.
 */
enum el_err cp_backup_restore(const char *from, const char *data_dir,
                              char ret_path[CP_BACKUP_PATH_MAX], struct el_error *err);
