/* SPDX-License-Identifier: MIT */
/* file: see file.h. */
#include "common/file.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

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
