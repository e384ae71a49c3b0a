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
