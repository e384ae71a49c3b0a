/* SPDX-License-Identifier: MIT */
/*
 * cli: the sub commands of elionode; most talk to a running node.
 *
 *   elionode get URL [-o FILE] [--proxy=HOST:PORT] [--json] [--quiet]
 *   elionode warm URL...|- [--header-file=FILE] [--concurrency=N] [--leave]
 *            [--admin=HOST:PORT] [--token-file=FILE] [--json]
 *   elionode status | stat URL | purge URL | purge --prefix=URL | pin URL | unpin URL |
 *            operation ID | cancel ID [--admin=HOST:PORT] [--token-file=FILE] [--json]
 *   elionode presign URL [--expires=S] [--region=R] [--method=M] [--type=s3|oss] [--bucket=B]
 *            [--credentials-file=FILE] [--profile=P]
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Whether argv[1] names a sub command. */
bool proxy_cli_has(const char *word);
/* argv[1] is the sub command. Owns SIGINT and SIGTERM while it runs. */
int proxy_cli_run(int argc, char *const argv[]);
/* The lines of --help about sub commands. */
void proxy_cli_help(FILE *out);

/* ---- for tests ---- */

/* One line without line feed, as the terminal shows it; total 0: unknown. */
struct proxy_cli_progress {
    uint64_t done, total;
    double seconds;
    const char *x_cache; /* "" while unknown */
};
void proxy_cli_progress_line(const struct proxy_cli_progress *p, char *out, size_t out_bytes);
