/* SPDX-License-Identifier: MIT */
/* file: see file.h. */
#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP_BYTES 65536

static enum el_err read_bytes(FILE *f, size_t max_bytes, struct el_buf *out)
{
    size_t n, before = out->n;

    do {
        el_buf_reserve(out, STEP_BYTES);
        n = fread(out->p + out->n, 1, STEP_BYTES, f);
        out->n += n;
        out->p[out->n] = '\0';
    } while (n > 0 && out->n - before <= max_bytes);
    if (ferror(f))
        return EL_ESYS;
    return out->n - before <= max_bytes ? EL_OK : EL_EFULL;
}

enum el_err el_file_read(const char *what, const char *path, size_t max_bytes, struct el_buf *out,
                         mode_t *ret_mode, struct el_error *err)
{
    FILE *f = fopen(path, "re");
    struct stat st;
    enum el_err rc;

    if (f == NULL)
        return el_fail(err, EL_ECONF, errno, "open %s %s", what, path);
    rc = fstat(fileno(f), &st) == 0 ? read_bytes(f, max_bytes, out) : EL_ESYS;
    if (rc == EL_ESYS)
        rc = el_fail(err, EL_ECONF, errno, "read %s %s", what, path);
    else if (rc == EL_EFULL)
        rc = el_fail(err, EL_ECONF, 0, "%s %s is longer than %zu bytes", what, path, max_bytes);
    else if (ret_mode != NULL)
        *ret_mode = st.st_mode;
    (void)fclose(f); /* nothing was written */
    return rc;
}

static enum el_err write_all(int fd, struct el_str text)
{
    while (text.n > 0) {
        ssize_t n = write(fd, text.p, text.n);

        if (n < 0)
            return EL_ESYS;
        text = el_str_from(text, (size_t)n);
    }
    return fsync(fd) == 0 ? EL_OK : EL_ESYS;
}

/* The name of the directory's entry is durable as well. */
static void sync_directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash == NULL || slash == path ? el_strndup(slash == NULL ? "." : "/", 1)
                                               : el_strndup(path, (size_t)(slash - path));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        (void)fsync(fd); /* file systems that cannot do this are still consistent */
        (void)close(fd);
    }
    free(dir);
}

enum el_err el_file_replace(const char *what, const char *path, struct el_str text,
                            struct el_error *err)
{
    char fresh[PATH_MAX];
    enum el_err rc;
    int fd;

    if ((size_t)snprintf(fresh, sizeof(fresh), "%s.new", path) >= sizeof(fresh))
        return el_fail(err, EL_ESYS, ENAMETOOLONG, "%s %s", what, path);
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return el_fail(err, EL_ESYS, errno, "make %s %s", what, fresh);
    rc = write_all(fd, text) == EL_OK ? EL_OK
                                      : el_fail(err, EL_ESYS, errno, "write %s %s", what, fresh);
    if (close(fd) != 0 && rc == EL_OK)
        rc = el_fail(err, EL_ESYS, errno, "write %s %s", what, fresh);
    if (rc == EL_OK && rename(fresh, path) != 0)
        rc = el_fail(err, EL_ESYS, errno, "replace %s %s", what, path);
    if (rc == EL_OK)
        sync_directory_of(path);
    else
        (void)unlink(fresh);
    return rc;
}
