/* SPDX-License-Identifier: MIT */
/*
 * cli_own: what the sub commands share; private to cli.c (get, and which command is meant),
 * cli_node.c and cli_warm.c (those that ask the node API), cli_presign.c (which asks
 * nobody), cli_sources.c (who gave what) and cli_print.c (how answers look on a terminal).
 */
#pragma once

#include <stdio.h>

#include "common/cli.h"
#include "common/json.h"
#include "proxy/cli.h"

#define PROXY_CLI_ADMIN "127.0.0.1:8082"
#define PROXY_CLI_TOKEN "ELIOP2P_ADMIN_TOKEN"
extern const struct el_cli_program proxy_cli_program; /* cli_node.c */

bool proxy_cli_node_has(const char *word);
int proxy_cli_node_run(int argc, char *const argv[]);
void proxy_cli_node_help(FILE *out);
void proxy_cli_node_usage(FILE *out); /* the options that all of them have */
int proxy_cli_warm_run(int argc, char *const argv[]);

bool proxy_cli_presign_has(const char *word);
int proxy_cli_presign_run(int argc, char *const argv[]);
void proxy_cli_presign_help(FILE *out);

/*
 * Who gave the `bytes` of the last request that came from ip and port: {"bytes": {TIER: n},
 * "peers":
 * [{"name", "bytes"}]}; a reference. NULL: the node does not say.
 */
json_t *proxy_cli_sources_ask(const struct el_cli_conf *conf, const char *ip, long port,
                              uint64_t bytes);
void proxy_cli_sources_print(const json_t *root, FILE *out); /* a line */

/* "1.5 GiB" */
void proxy_cli_format_bytes(double bytes, char out[16]);

/* The answers of the node API. What an answer lacks is shown as 0 or "-". */
void proxy_cli_print_stat(const json_t *root, FILE *out);
void proxy_cli_print_purge(const json_t *root, FILE *out);
void proxy_cli_print_pin(const json_t *root, FILE *out);
void proxy_cli_print_explain(const json_t *root, FILE *out);
void proxy_cli_print_operation(const json_t *root, FILE *out);
void proxy_cli_print_status(const json_t *root, FILE *out);
void proxy_cli_print_peers(const json_t *root, FILE *out);
