/* SPDX-License-Identifier: MIT */
/*
 * log: one line per event on standard error (or a file), as text or as JSON, with a stable tag that
 * scripts can match. Libraries return errors; whoever owns the request or the thread logs once.
 *
 *   2026-11-21T05:04:03.123Z INFO  node.ready port=8080 version=0.1.0
 *   {"ts":"2026-11-21T05:04:03.123Z","level":"info","event":"node.ready","port":"8080","version":"0.1.0"}
 *
 * The format is `key=value key="value with spaces"`. What comes from outside goes through EL_LOG_Q,
 * so that it can neither end its value nor add another. Secrets are `struct el_secret`, a type that
 * no format accepts.
 *
 * A line is printable ASCII, whatever the values hold, so that none can forge a line or drive a
 * terminal, and it is one write(2) of at most PIPE_BUF bytes, so lines never mix; what is longer
 * ends in "...". Thread: any.
 */
#pragma once

#include "common/err.h"
#include "common/str.h"

enum el_log_level { EL_ERROR, EL_WARN, EL_INFO, EL_DEBUG };

/* Tags, once: EL_EVENT(symbol, "tag", "what it means, for docs/operations.md"). */
enum el_event {
#define EL_EVENT(symbol, tag, meaning) symbol,
#include "common/events_list.h"
#undef EL_EVENT
    EL_EVENT_COUNT
};

struct el_log_conf {
    enum el_log_level level;
    bool is_json;
    int fd; /* borrowed */
};

/* May be called again (reload). Before the first call: text, info, standard error. */
void el_log_setup(const struct el_log_conf *conf);
bool el_log_enabled(enum el_log_level level);
/* fmt makes "key=value key=value"; see EL_LOG_Q for values with white space. */
void el_log(enum el_log_level level, enum el_event event, const char *fmt, ...) EL_PRINTF(3, 4);
/* The event with code= and error= of err; the text of errno is part of the latter. */
void el_log_error(enum el_log_level level, enum el_event event, const struct el_error *err);

/*
 * A struct el_str for %s, in quotes and escaped: el_log(..., "url=%s", EL_LOG_Q(url)). Lives until
 * the end of the block around it. A long one ends in "...".
 */
#define EL_LOG_Q(str) el_log_quote(&(struct el_log_quoted){ { 0 } }, (str))
struct el_log_quoted {
    char text[512];
};
const char *el_log_quote(struct el_log_quoted *q, struct el_str value); /* q->text */

/*
 * The last events, at most max of them and 256, newest last, as a JSON array of the lines above:
 * for /api/v1/status.
 */
struct el_buf;
void el_log_recent(struct el_buf *out, size_t max);

bool el_log_level_parse(struct el_str name, enum el_log_level *ret_level);

/*
 * A value that must never be shown. It is a struct, so -Wformat refuses it; el_secret_get() is the
 * one way in and is called where the credential is used.
 */
struct el_secret {
    char *hidden; /* owned; wiped by el_secret_deinit */
    size_t n;
};
/* *s is zeroed or was set before; what it held is wiped. */
void el_secret_set(struct el_secret *s, struct el_str value);
struct el_str el_secret_get(const struct el_secret *s);
void el_secret_deinit(struct el_secret *s);
