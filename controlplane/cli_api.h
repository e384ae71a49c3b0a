/* SPDX-License-Identifier: MIT */
/*
 * cli_api: one connection to the service, and messages for people when something is wrong. What
 * returns int returns an enum cp_cli_exit; where that is not CP_CLI_OK the user has been told why.
 */
#pragma once

#include "common/json.h"
#include "controlplane/cli.h"

#define CP_CLI_SERVER "http://127.0.0.1:8081"
#define CP_CLI_TOKEN  "ELIOCP_TOKEN"

struct cp_cli_api;

struct cp_cli_api_conf {
    const char *verb;       /* "nodes", for messages */
    const char *server;     /* HOST:PORT or a URL; NULL: the default */
    const char *token_file; /* NULL: the environment's, if any */
    const char *ca_file;    /* NULL: the system's */
};

/* --server=, --token-file=, --ca-file= are set in conf. True: the word was one of them. */
bool cp_cli_api_option(struct cp_cli_api_conf *conf, const char *word);

/* conf is borrowed until free. */
int cp_cli_api_new(const struct cp_cli_api_conf *conf, struct cp_cli_api **ret_api);
void cp_cli_api_free(struct cp_cli_api *api); /* NULL is fine */

/* `body` may be NULL, and is taken. *ret_root is the caller's; NULL when there was no body. */
int cp_cli_api_call(struct cp_cli_api *api, const char *method, const char *path, json_t *take_body,
                    json_t **ret_root);
/* %XX for what a path may not have; free() it. */
char *cp_cli_escape(const char *text);

/* "eliocp VERB: ..." on standard error; CP_CLI_FAILED. */
int cp_cli_complain(const char *verb, const char *fmt, ...) EL_PRINTF(2, 3);
/* Bytes that could drive a terminal are shown as '?'. */
void cp_cli_print_text(const char *text, FILE *out);
