/* SPDX-License-Identifier: MIT */
/*
 * log: one line per event on standard error (or a file), as text or as JSON, with a stable tag that
 * scripts can match. Libraries return errors; whoever owns the request or the thread logs once.
 *
 *   2026-11-21T05:04:03.123Z INFO  node.ready port=8080 version=0.1.0
 *   {"ts":"2026-11-21T05:04:03.123Z","level":"info","event":"node.ready","port":"8080","version":"0.1.0"}
 *
 * The format is `key=value ...`; values with spaces are quoted by the logger when written with
 * el_log's %s through EL_LOG_Q. Secrets are `struct el_secret`, a type that no format accepts.
 * Thread: any; a line is one write(2), so lines never mix.
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
/* fmt makes "key=value key=value"; a value with white space is written as key="...". */
void el_log(enum el_log_level level, enum el_event event, const char *fmt, ...) EL_PRINTF(3, 4);
/* The event with code=, error= and errno text of err added. */
void el_log_error(enum el_log_level level, enum el_event event, const struct el_error *err);

/* The last events, newest last, as a JSON array of the lines above: for /api/v1/status. */
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
void el_secret_set(struct el_secret *s, struct el_str value);
struct el_str el_secret_get(const struct el_secret *s);
void el_secret_deinit(struct el_secret *s);
