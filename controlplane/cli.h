/* SPDX-License-Identifier: MIT */
/*
 * cli: the sub commands of eliocp, clients of a running one: tables on a terminal, JSON elsewhere
 * and with --json.
 *
 *   eliocp COMMAND [ARGUMENT...] [--server=URL] [--token-file=FILE] [--ca-file=FILE]
 * [--json|--table]
 */
#pragma once

#include <stdio.h>

/* argv[1] is the sub command. */
int cp_cli_run(int argc, char *const argv[]);
void cp_cli_help(FILE *out);
