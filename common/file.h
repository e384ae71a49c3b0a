/* SPDX-License-Identifier: MIT */
/* file: a short file that the configuration names, as a whole. */
#pragma once

#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"

/*
 * Appends what the file holds to `out`, and tells its mode (NULL: not wanted). EL_ECONF names
 * `what` (the key of the configuration) and the path: it cannot be read, or is longer than
 * max_bytes.
 */
enum el_err el_file_read(const char *what, const char *path, size_t max_bytes, struct el_buf *out,
                         mode_t *ret_mode, struct el_error *err);

/*
 * Puts a file for its owner alone in the place of the one at that path, or of none: whoever reads
 * it finds the one or the other, after a crash as well. EL_ESYS names `what` and the path.
 */
enum el_err el_file_replace(const char *what, const char *path, struct el_str text,
                            struct el_error *err);
