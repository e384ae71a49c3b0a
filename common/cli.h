/* SPDX-License-Identifier: MIT */
/*
 * cli: what the sub commands of both programs have in common: how they end, how they complain, and
 * a client of their program's JSON API: one connection, and messages for people when something is
 * wrong. What returns int returns an enum el_cli_exit; where that is not EL_CLI_OK the user has
 * been told why.
 *
 * Thread: the main one; there is no other.
 */
#pragma once

#include <stdio.h>

#include "common/base.h"
#include "common/json.h"

enum el_cli_exit {
    EL_CLI_OK = 0,
    EL_CLI_FAILED = 1, /* it was refused, or the transfer, a file, the output */
    EL_CLI_USAGE = 2,  /* the command line */
    EL_CLI_ABSENT = 3, /* nothing answers where the server should be */
};

/* A program that has sub commands, and the API that they ask; a constant. */
struct el_cli_program {
    const char *name;           /* "eliocp", for messages */
    const char *server;         /* "the control plane" */
    const char *doubt;          /* when the answer is of no API: "is that a control plane?" */
    const char *address;        /* HOST:PORT or a URL, unless another is given */
    const char *address_option; /* "--server=" */
    const char *token_variable; /* of the environment */
    const char *text_key;       /* of an error: what went wrong, for people */
    unsigned connect_s, answer_s;
    size_t max_answer_bytes;
};

struct el_cli_conf {
    const struct el_cli_program *program;
    const char *verb;       /* "purge", for messages */
    const char *address;    /* NULL: the program's */
    const char *token_file; /* NULL: the environment's, if any */
    const char *ca_file;    /* NULL: the system's */
    bool is_aside;          /* nothing depends on it: no word when a call fails, and soon */
};

/* The program's option for the address, --token-file=, --ca-file=. True: `word` was one of them. */
bool el_cli_option(struct el_cli_conf *conf, const char *word);

/* "eliocp VERB: ..." on standard error; EL_CLI_FAILED. */
int el_cli_complain(const struct el_cli_conf *conf, const char *fmt, ...) EL_PRINTF(2, 3);
/* EL_CLI_FAILED, with a complaint, when what was printed did not get out. */
int el_cli_flush(const struct el_cli_conf *conf);
/* Bytes that could drive a terminal are shown as '?'. */
void el_cli_print_text(const char *text, FILE *out);

struct el_cli;

/* conf is borrowed until free. */
int el_cli_new(const struct el_cli_conf *conf, struct el_cli **ret_cli);
void el_cli_free(struct el_cli *cli); /* NULL is fine */

/* A field of every request from now on: "Name: value". False: no request can have it. */
bool el_cli_add_field(struct el_cli *cli, const char *line);

struct el_cli_call {
    const char *method, *path;
    const char *name, *value; /* of the one parameter; NULL: none */
    struct el_str body;       /* JSON; empty: none */
};
/* *ret_root is the caller's; NULL when the answer has no body. */
int el_cli_ask(struct el_cli *cli, const struct el_cli_call *call, json_t **ret_root);
/* The same as it came; until the next call. */
struct el_str el_cli_answer(const struct el_cli *cli);
