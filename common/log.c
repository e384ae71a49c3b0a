/* SPDX-License-Identifier: MIT */
/*
 * log: a line is formatted on the caller's stack, made harmless (no byte below SP survives), and
 * written with one write(2). The last lines are kept in a ring for the status page.
 */
#include "common/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"

#define LINE_BYTES   2048
#define RECENT_LINES 256

static const char *const tags[EL_EVENT_COUNT] = {
#define EL_EVENT(symbol, tag, meaning) [symbol] = tag,
#include "common/events_list.h"
#undef EL_EVENT
};

static const char *const level_names[] = {
    [EL_ERROR] = "error", [EL_WARN] = "warn", [EL_INFO] = "info", [EL_DEBUG] = "debug"
};

static _Atomic int log_level = EL_INFO;
static _Atomic bool log_is_json;
static _Atomic int log_fd = STDERR_FILENO;

static pthread_mutex_t recent_mtx = PTHREAD_MUTEX_INITIALIZER;
static char *recent[RECENT_LINES]; /* under recent_mtx; JSON objects, owned */
static size_t recent_count;        /* under recent_mtx; lines ever */

void el_log_setup(const struct el_log_conf *conf)
{
    atomic_store(&log_level, (int)conf->level);
    atomic_store(&log_is_json, conf->is_json);
    atomic_store(&log_fd, conf->fd);
}

bool el_log_enabled(enum el_log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

bool el_log_level_parse(struct el_str name, enum el_log_level *ret_level)
{
    for (size_t i = 0; i < EL_COUNT(level_names); i++) {
        if (el_str_ieq(name, el_str_of(level_names[i]))) {
            *ret_level = (enum el_log_level)i;
            return true;
        }
    }
    return false;
}

/* ---- text ---- */

/* Control bytes would let a value forge a line or drive a terminal. */
static void add_printable(struct el_buf *out, struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c < 0x20 || c == 0x7f)
            el_buf_addf(out, "\\x%02x", c);
        else
            el_buf_add_byte(out, (char)c);
    }
}

/* ---- JSON ---- */

static void add_json_string(struct el_buf *out, struct el_str s)
{
    el_buf_add_byte(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '"' || c == '\\')
            el_buf_addf(out, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            el_buf_addf(out, "\\u%04x", c);
        else
            el_buf_add_byte(out, (char)c);
    }
    el_buf_add_byte(out, '"');
}

/* key=value or key="quoted value" off the front of *rest. */
static bool next_pair(struct el_str *rest, struct el_str *key, struct el_str *value)
{
    size_t eq, end;

    *rest = el_str_trim(*rest);
    eq = el_str_find(*rest, '=');
    if (eq == rest->n)
        return false;
    *key = el_str_first(*rest, eq);
    *rest = el_str_from(*rest, eq + 1);
    if (rest->n > 0 && rest->p[0] == '"') {
        *rest = el_str_from(*rest, 1);
        end = el_str_find(*rest, '"');
        *value = el_str_first(*rest, end);
        *rest = el_str_from(*rest, end + 1);
    } else {
        end = el_str_find(*rest, ' ');
        *value = el_str_first(*rest, end);
        *rest = el_str_from(*rest, end);
    }
    return true;
}

static void write_json(struct el_buf *out, const char *time, enum el_log_level level,
                       enum el_event event, struct el_str text)
{
    struct el_str key, value;

    el_buf_addf(out, "{\"ts\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", time, level_names[level],
                tags[event]);
    while (next_pair(&text, &key, &value)) {
        el_buf_add_byte(out, ',');
        add_json_string(out, key);
        el_buf_add_byte(out, ':');
        add_json_string(out, value);
    }
    el_buf_add_byte(out, '}');
}

static void write_text(struct el_buf *out, const char *time, enum el_log_level level,
                       enum el_event event, struct el_str text)
{
    static const char *const columns[] = { "ERROR", "WARN ", "INFO ", "DEBUG" };

    el_buf_addf(out, "%s %s %s ", time, columns[level], tags[event]);
    add_printable(out, text);
}

/* ---- one line ---- */

static void remember(const struct el_buf *json)
{
    char *copy = el_strndup(json->p, json->n), *old;

    EL_ASSERT(pthread_mutex_lock(&recent_mtx) == 0);
    old = recent[recent_count % RECENT_LINES];
    recent[recent_count % RECENT_LINES] = copy;
    recent_count++;
    EL_ASSERT(pthread_mutex_unlock(&recent_mtx) == 0);
    free(old);
}

static void emit(enum el_log_level level, enum el_event event, struct el_str text)
{
    struct el_buf json = { 0 }, line = { 0 };
    char time[25];

    el_clock_iso(el_clock_wall_ms(el_clock_system()), time);
    write_json(&json, time, level, event, text);
    remember(&json);
    if (atomic_load(&log_is_json))
        el_buf_add_str(&line, el_buf_str(&json));
    else
        write_text(&line, time, level, event, text);
    el_buf_add_byte(&line, '\n');
    /* A log that cannot be written has nowhere to say so. */
    (void)!write(atomic_load(&log_fd), line.p, line.n);
    el_buf_deinit(&json);
    el_buf_deinit(&line);
}

void el_log(enum el_log_level level, enum el_event event, const char *fmt, ...)
{
    char text[LINE_BYTES];
    va_list args;
    int n;

    if (!el_log_enabled(level))
        return;
    va_start(args, fmt);
    n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (n < 0)
        return;
    if ((size_t)n >= sizeof(text)) {
        memcpy(text + sizeof(text) - 4, "...", 4);
        n = (int)sizeof(text) - 1;
    }
    emit(level, event, (struct el_str){ text, (size_t)n });
}

void el_log_error(enum el_log_level level, enum el_event event, const struct el_error *err)
{
    el_log(level, event, "code=%d error=\"%s\"", (int)err->code,
           err->text[0] != '\0' ? err->text : el_err_text(err->code));
}

void el_log_recent(struct el_buf *out, size_t max)
{
    size_t first;

    el_buf_add_byte(out, '[');
    EL_ASSERT(pthread_mutex_lock(&recent_mtx) == 0);
    max = el_min_size(max, el_min_size(recent_count, RECENT_LINES));
    first = recent_count - max;
    for (size_t i = first; i < recent_count; i++) {
        if (i > first)
            el_buf_add_byte(out, ',');
        el_buf_add_str(out, el_str_of(recent[i % RECENT_LINES]));
    }
    EL_ASSERT(pthread_mutex_unlock(&recent_mtx) == 0);
    el_buf_add_byte(out, ']');
}

/* ---- secrets ---- */

void el_secret_set(struct el_secret *s, struct el_str value)
{
    el_secret_deinit(s);
    s->hidden = el_strndup(value.p, value.n);
    s->n = value.n;
}

struct el_str el_secret_get(const struct el_secret *s)
{
    return (struct el_str){ s->hidden, s->n };
}

void el_secret_deinit(struct el_secret *s)
{
    if (s->hidden != NULL)
        explicit_bzero(s->hidden, s->n);
    free(s->hidden);
    *s = (struct el_secret){ 0 };
}
