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

/* And what SQLite may have left beside it. */
static void remove_part(const char *part)
{
    static const char *const endings[] = { "", "-journal", "-wal" };

    for (size_t i = 0; i < EL_COUNT(endings); i++) {
        char name[CP_BACKUP_PATH_MAX + 16];

        (void)snprintf(name, sizeof(name), "%s%s", part, endings[i]);
        (void)unlink(name);
    }
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

/* ---- putting one back ---- */

static int copy_all(int from, int to)
{
    char bytes[65536];
    ssize_t n;

    while ((n = read(from, bytes, sizeof(bytes))) > 0) {
        for (ssize_t done = 0; done < n;) {
            ssize_t now = write(to, bytes + done, (size_t)(n - done));

            if (now < 0)
                return -1;
            done += now;
        }
    }
    return n < 0 ? -1 : fsync(to);
}

static enum el_err copy_file(const char *from, const char *to, struct el_error *err)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = in >= 0 ? open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    enum el_err rc = EL_OK;

    if (in < 0)
        rc = el_fail(err, EL_EDISK, errno, "open %s", from);
    else if (out < 0)
        rc = el_fail(err, EL_EDISK, errno, "create %s", to);
    else if (copy_all(in, out) != 0)
        rc = el_fail(err, EL_EDISK, errno, "copy %s to %s", from, to);
    if (in >= 0)
        (void)close(in);
    if (out >= 0 && close(out) != 0 && rc == EL_OK)
        rc = el_fail(err, EL_EDISK, errno, "close %s", to);
    return rc;
}

static enum el_err check_place(const char *path, struct el_error *err)
{
    static const char *const endings[] = { "", "-wal", "-shm", "-journal" };
    struct el_buf found = { 0 };
    enum el_err rc = EL_OK;

    for (size_t i = 0; i < EL_COUNT(endings); i++) {
        char name[CP_BACKUP_PATH_MAX + 16];

        (void)snprintf(name, sizeof(name), "%s%s", path, endings[i]);
        if (access(name, F_OK) == 0)
            el_buf_addf(&found, "%s%s", found.n > 0 ? ", " : "", name);
    }
    if (found.n > 0)
        rc = el_fail(err, EL_ECONFLICT, 0, "move away what is there: %s", found.p);
    el_buf_deinit(&found);
    return rc;
}

/* The copy is checked, which may write beside it, and not what it is of. */
static enum el_err place_copy(const char *from, const char *part, const char *path,
                              struct el_error *err)
{
    struct el_error why = { 0 };
    enum el_err rc;

    remove_part(part);
    rc = copy_file(from, part, err);
    if (rc == EL_OK) {
        rc = cp_store_sqlite_check(part, &why);
        if (rc != EL_OK)
            (void)el_fail(err, rc, 0, "%s is no backup: %s", from, why.text);
    }
    if (rc == EL_OK && link(part, path) != 0) /* unlike rename(), over nothing */
        rc = el_fail(err, EL_EDISK, errno, "create %s", path);
    remove_part(part);
    return rc;
}

enum el_err cp_backup_restore(const char *from, const char *data_dir,
                              char ret_path[CP_BACKUP_PATH_MAX], struct el_error *err)
{
    char part[CP_BACKUP_PATH_MAX];
    enum el_err rc;

    if (snprintf(part, sizeof(part), "%s/" PART, data_dir) >= (int)sizeof(part))
        return el_fail(err, EL_ECONF, 0, "the data directory's name is too long");
    (void)snprintf(ret_path, CP_BACKUP_PATH_MAX, "%s/eliocp.db", data_dir);
    rc = check_place(ret_path, err);
    return rc == EL_OK ? place_copy(from, part, ret_path, err) : rc;
}
