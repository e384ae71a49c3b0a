/* SPDX-License-Identifier: MIT */
#include "controlplane/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"

#define PREFIX "eliocp-"
#define SUFFIX ".db"
#define PART   "unfinished.part"

static enum el_err directory_of(const char *data_dir, char ret[CP_BACKUP_PATH_MAX],
                                struct el_error *err)
{
    int n = snprintf(ret, CP_BACKUP_PATH_MAX, "%s/backups", data_dir);

    if (n < 0 || (size_t)n + 64 > CP_BACKUP_PATH_MAX)
        return el_fail(err, EL_ECONF, 0, "service.data_dir is too long");
    return EL_OK;
}

static void remove_part(const char *part)
{
    char journal[CP_BACKUP_PATH_MAX];

    (void)unlink(part);
    if (snprintf(journal, sizeof(journal), "%s-journal", part) < (int)sizeof(journal))
        (void)unlink(journal);
}

/* Under another name until it is whole, so that what has a backup's name is one. */
static enum el_err write_whole(struct cp_store *store, const char *part, const char *path,
                               struct el_error *err)
{
    enum el_err rc;

    remove_part(part); /* a process may have ended over it */
    rc = cp_store_backup(store, part, err);
    if (rc == EL_OK && rename(part, path) != 0)
        rc = el_fail(err, EL_EDISK, errno, "rename %s to %s", part, path);
    if (rc != EL_OK)
        remove_part(part);
    return rc;
}

enum el_err cp_backup_write(struct cp_store *store, const char *data_dir, int64_t wall_ms,
                            char ret_path[CP_BACKUP_PATH_MAX], struct el_error *err)
{
    enum el_err rc = directory_of(data_dir, ret_path, err);
    char part[CP_BACKUP_PATH_MAX];
    size_t n;
    char at[25];

    if (rc != EL_OK)
        return rc;
    if (mkdir(ret_path, 0700) != 0 && errno != EEXIST)
        return el_fail(err, EL_EDISK, errno, "make the directory %s", ret_path);
    n = strlen(ret_path);
    memcpy(part, ret_path, n);
    (void)snprintf(part + n, CP_BACKUP_PATH_MAX - n, "/" PART);
    el_clock_iso(wall_ms, at);
    (void)snprintf(ret_path + n, CP_BACKUP_PATH_MAX - n, "/" PREFIX "%s" SUFFIX, at);
    return write_whole(store, part, ret_path, err);
}

static int is_backup(const struct dirent *entry)
{
    struct el_str name = el_str_of(entry->d_name);
    size_t fixed = sizeof(PREFIX) - 1 + sizeof(SUFFIX) - 1;

    return el_str_starts(name, EL_STR(PREFIX)) && name.n > fixed &&
           el_str_eq(el_str_from(name, name.n - (sizeof(SUFFIX) - 1)), EL_STR(SUFFIX));
}

void cp_backup_prune(const char *data_dir, size_t keep, const char *newest)
{
    const char *slash = strrchr(newest, '/'), *newest_name = slash != NULL ? slash + 1 : newest;
    char directory[CP_BACKUP_PATH_MAX];
    struct dirent **found;
    int n, at;

    if (directory_of(data_dir, directory, NULL) != EL_OK)
        return;
    n = scandir(directory, &found, is_backup, alphasort);
    if (n < 0)
        return;
    at = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0, over = n - (int)el_min_size(keep, (size_t)n); i < n; i++) {
        if (at >= 0 && over > 0 && strcmp(found[i]->d_name, newest_name) != 0) {
            (void)unlinkat(at, found[i]->d_name, 0);
            over--;
        }
        free(found[i]);
    }
    free(found);
    if (at >= 0)
        (void)close(at);
}
