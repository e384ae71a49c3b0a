/* SPDX-License-Identifier: MIT */
/*
 * log: the text of a line is formatted on the caller's stack, made printable, which all that
 * follows relies on, and goes out as it is or as JSON. The last lines are kept in a ring for the
 * status page.
 */
#include "common/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"

/* JSON makes at most three times as much of it, so that a line with its head fits into PIPE_BUF. */
#define TEXT_BYTES   1280
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

/* ---- escaping ---- */

/* Puts c into out[4], readable; returns how many bytes that took. */
static size_t escape(unsigned char c, char *out)
{
    static const char digits[] = "0123456789abcdef";

    if (c >= 0x20 && c < 0x7f) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = '\\';
    out[1] = 'x';
    out[2] = digits[c >> 4];
    out[3] = digits[c & 15];
    return 4;
}

const char *el_log_quote(struct el_log_quoted *q, struct el_str value)
{
    const size_t room = sizeof(q->text) - sizeof("...\"");
    size_t n = 0;

    q->text[n++] = '"';
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];

        if (n + 4 > room) {
            memcpy(q->text + n, "...", 3);
            n += 3;
            break;
        }
        if (c == '"' || c == '\\')
            q->text[n++] = '\\';
        n += escape(c, q->text + n);
    }
    q->text[n++] = '"';
    q->text[n] = '\0';
    return q->text;
}

/* Fills out[TEXT_BYTES] with the printable form of raw; returns its length. */
static size_t make_printable(char *out, struct el_str raw)
{
    size_t n = 0;

    for (size_t i = 0; i < raw.n; i++) {
        if (n + 4 > TEXT_BYTES - 3) {
            memcpy(out + n, "...", 3);
            return n + 3;
        }
        n += escape((unsigned char)raw.p[i], out + n);
    }
    return n;
}

/* ---- JSON ---- */

/* Inside quotes \" and \\ mean the same here and in JSON; any other backslash is one more byte. */
static void add_json_string(struct el_buf *out, struct el_str s, bool is_quoted)
{
    el_buf_add_byte(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (is_quoted && s.p[i] == '\\' && i + 1 < s.n && strchr("\"\\", s.p[i + 1]) != NULL)
            i++;
        if (s.p[i] == '"' || s.p[i] == '\\')
            el_buf_add_byte(out, '\\');
        el_buf_add_byte(out, s.p[i]);
    }
    el_buf_add_byte(out, '"');
}

struct pair {
    struct el_str key, value;
    bool is_quoted;
};

static size_t quoted_end(struct el_str s)
{
    size_t i = 0;

    while (i < s.n && s.p[i] != '"')
        i += s.p[i] == '\\' ? 2 : 1;
    return el_min_size(i, s.n);
}

/* key=value or key="quoted value" off the front of *rest. */
static bool next_pair(struct el_str *rest, struct pair *p)
{
    size_t eq, end;

    *rest = el_str_trim(*rest);
    eq = el_str_find(*rest, '=');
    if (eq == rest->n)
        return false;
    p->key = el_str_first(*rest, eq);
    *rest = el_str_from(*rest, eq + 1);
    p->is_quoted = el_str_starts(*rest, EL_STR("\""));
    if (p->is_quoted)
        *rest = el_str_from(*rest, 1);
    end = p->is_quoted ? quoted_end(*rest) : el_str_find(*rest, ' ');
    p->value = el_str_first(*rest, end);
    *rest = el_str_from(*rest, end + 1);
    return true;
}

static void write_json(struct el_buf *out, const char *time, enum el_log_level level,
                       enum el_event event, struct el_str text)
{
    struct pair p;

    el_buf_addf(out, "{\"ts\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", time, level_names[level],
                tags[event]);
    while (next_pair(&text, &p)) {
        el_buf_add_byte(out, ',');
        add_json_string(out, p.key, false);
        el_buf_add_byte(out, ':');
        add_json_string(out, p.value, p.is_quoted);
    }
    el_buf_add_byte(out, '}');
}

static void write_text(struct el_buf *out, const char *time, enum el_log_level level,
                       enum el_event event, struct el_str text)
{
    static const char *const columns[] = { "ERROR", "WARN ", "INFO ", "DEBUG" };

    el_buf_addf(out, "%s %s %s%s", time, columns[level], tags[event], text.n > 0 ? " " : "");
    el_buf_add_str(out, text);
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
    char raw[TEXT_BYTES + 1], text[TEXT_BYTES];
    va_list args;
    int n;

    if (!el_log_enabled(level))
        return;
    va_start(args, fmt);
    n = vsnprintf(raw, sizeof(raw), fmt, args);
    va_end(args);
    if (n < 0)
        return;
    /* When raw is full it is longer than the text may be, and make_printable() marks the cut. */
    n = (int)el_min_size((size_t)n, TEXT_BYTES);
    emit(level, event,
         (struct el_str){ text, make_printable(text, (struct el_str){ raw, (size_t)n }) });
}

void el_log_error(enum el_log_level level, enum el_event event, const struct el_error *err)
{
    const char *text = err->text[0] != '\0' ? err->text : el_err_text(err->code);

    el_log(level, event, "code=%d error=%s", (int)err->code, EL_LOG_Q(el_str_of(text)));
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
    char *copy = el_strndup(value.p, value.n); /* first: value may be what s holds */

    el_secret_deinit(s);
    s->hidden = copy;
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
