/* SPDX-License-Identifier: MIT */
/*
 * err: the one error vocabulary. Functions return `enum el_err`; the detail travels in a `struct
 * el_error` that the caller supplies (or NULL) and that the lowest function that knows fills in.
 * Nothing is thread-local.
 */
#pragma once

#include "common/base.h"

enum el_err {
    EL_OK = 0,
#define EL_ERR(symbol, code, status, text) symbol = code,
#include "common/err_list.h"
#undef EL_ERR
};

struct el_error {
    enum el_err code;
    int sys;        /* errno at the time, 0 when none */
    char text[232]; /* one line, no secret, no trailing newline */
};

/* Fills *err (when not NULL), appending strerror(sys) when sys is not 0, and returns code. */
enum el_err el_fail(struct el_error *err, enum el_err code, int sys, const char *fmt, ...)
    EL_PRINTF(4, 5);

/* "EL_ETIMEOUT" */
const char *el_err_name(enum el_err code);
/* "timed out" */
const char *el_err_text(enum el_err code);
/* The HTTP status our own answer carries for it; 200 for EL_OK. */
int el_err_status(enum el_err code);
