/* SPDX-License-Identifier: MIT */
/*
 * cli_api: a client of the node API for the sub commands: one connection, and messages for people
 * when something is wrong. What returns int returns an enum proxy_cli_exit; where that is not
 * PROXY_CLI_OK the user has been told why.
 */
#pragma once

#include "common/json.h"
#include "proxy/cli.h"

struct proxy_cli_api;

struct proxy_cli_api_conf {
    const char *verb;       /* "purge", for messages */
    const char *admin;      /* HOST:PORT; NULL: the default */
    const char *token_file; /* NULL: the environment's, if any */
    bool is_aside;          /* nothing depends on it: no word when a call fails, and soon */
};

#define PROXY_CLI_ADMIN "127.0.0.1:8082"
#define PROXY_CLI_TOKEN "ELIOP2P_ADMIN_TOKEN"

/*
 * --admin=, --token-file= are set in conf. True: the word was one of them.
 */
bool proxy_cli_api_option(struct proxy_cli_api_conf *conf, const char *word);

/* conf is borrowed until free. */
int proxy_cli_api_new(const struct proxy_cli_api_conf *conf, struct proxy_cli_api **ret_api);
void proxy_cli_api_free(struct proxy_cli_api *api); /* NULL is fine */

/* A field of every request from now on: "Name: value". False: no request can have it. */
bool proxy_cli_api_add_field(struct proxy_cli_api *api, const char *line);

struct proxy_cli_call {
    const char *method, *path;
    const char *name, *value; /* of the one parameter; NULL: none */
    struct el_str body;       /* JSON; empty: none */
};
/* A reference on what was answered, an object. */
int proxy_cli_api_call(struct proxy_cli_api *api, const struct proxy_cli_call *call,
                       json_t **ret_root);
/* The same as it came; until the next call. */
struct el_str proxy_cli_api_answer(const struct proxy_cli_api *api);

/* "elionode VERB: ..." on standard error; PROXY_CLI_FAILED. */
int proxy_cli_complain(const char *verb, const char *fmt, ...) EL_PRINTF(2, 3);
/* PROXY_CLI_FAILED, with a complaint, when what was printed did not get out. */
int proxy_cli_flush(const char *verb);
