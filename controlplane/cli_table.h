/* SPDX-License-Identifier: MIT */
/* cli_table: lists of the service as columns. What an element lacks is shown as "-". */
#pragma once

#include <stdio.h>

#include "common/json.h"

enum cp_cell { CP_CELL_TEXT, CP_CELL_NUMBER, CP_CELL_MIB, CP_CELL_BYTES, CP_CELL_PERCENT };

struct cp_column {
    const char *title, *path; /* "stats.chunks" */
    enum cp_cell kind;
};

void cp_cli_table(const json_t *list, const struct cp_column *columns, size_t n, FILE *out);
/* The value at "metrics.cache.hit_ratio"; NULL: there is none. */
const json_t *cp_cli_at(const json_t *root, const char *path);
double cp_cli_number(const json_t *root, const char *path);
const char *cp_cli_text(const json_t *root, const char *path);
/* "1.5 GiB" */
void cp_cli_format_bytes(double bytes, char out[16]);
