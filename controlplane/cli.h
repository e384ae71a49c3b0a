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

enum cp_cli_exit {
    CP_CLI_OK = 0,
    CP_CLI_FAILED = 1,    /* it was refused, or the output */
    CP_CLI_USAGE = 2,     /* the command line */
    CP_CLI_NO_SERVER = 3, /* nothing answers where the control plane should be */
};

/* argv[1] is the sub command. */
int cp_cli_run(int argc, char *const argv[]);
void cp_cli_help(FILE *out);
