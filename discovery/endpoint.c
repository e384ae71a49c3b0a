/* SPDX-License-Identifier: MIT */
/* endpoint: see endpoint.h. */
#include "discovery/endpoint.h"

#define BACKOFF_MS      250u
#define ANSWERS_AGAIN   2u /* in a row, of one that failed more than once */
#define BETTER_FOR      3u
#define EPOCHS_BEHIND   2u    /* that far apart two know the same */
#define LATENCY_GAP_US  2000u /* below that nobody is faster */
#define LATENCY_HISTORY 4u

/* ---- addresses ---- */

static bool take_scheme(struct el_str *text, bool *ret_is_tls)
{
    static const struct el_str plain = { "http://", 7 }, tls = { "https://", 8 };

    *ret_is_tls = el_str_istarts(*text, tls);
    if (*ret_is_tls || el_str_istarts(*text, plain))
        *text = el_str_from(*text, *ret_is_tls ? tls.n : plain.n);
    return text->n > 0;
}

/* Cuts the port off, if there is one. */
static bool take_port(struct el_str *text, uint16_t *ret_port)
{
    bool is_bracketed = text->p[0] == '[';
    size_t from = is_bracketed ? el_str_find(*text, ']') : 0;
    size_t colon = from + el_str_find(el_str_from(*text, from), ':');
    uint64_t port;

    *ret_port = DISC_CONTROL_PORT;
    if (colon >= text->n)
        return true;
    if (!el_str_u64(el_str_from(*text, colon + 1), UINT16_MAX, &port) || port == 0)
        return false;
    *ret_port = (uint16_t)port;
    *text = el_str_first(*text, colon);
    return true;
}

static bool take_host(struct el_str text, char ret_host[DISC_MAX_HOST + 1])
{
    bool is_bracketed = text.n > 2 && text.p[0] == '[' && text.p[text.n - 1] == ']';

    if (is_bracketed)
        text = el_str_first(el_str_from(text, 1), text.n - 2);
    if (text.n == 0 || text.n > DISC_MAX_HOST)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        bool is_colon = text.p[i] == ':' && is_bracketed;

        if (!is_colon && (text.p[i] <= ' ' || text.p[i] > '~' || strchr("/@:?#[]\\", text.p[i])))
            return false;
    }
    memcpy(ret_host, text.p, text.n);
    ret_host[text.n] = '\0';
    return true;
}

static bool parse_one(struct el_str text, struct disc_endpoint *ret)
{
    *ret = (struct disc_endpoint){ .is_up = false };
    if (text.n > 0 && text.p[text.n - 1] == '/')
        text.n--;
    return take_scheme(&text, &ret->is_tls) && take_port(&text, &ret->port) &&
           take_host(text, ret->host);
}

enum el_err disc_endpoints_parse(struct el_str list, struct disc_endpoints *ret,
                                 struct el_error *err)
{
    struct disc_endpoints set = { .best = DISC_NO_ENDPOINT };
    struct el_str part;

    while (el_str_split(&list, ',', &part)) {
        part = el_str_trim(part);
        if (set.n == DISC_MAX_ENDPOINTS)
            return el_fail(err, EL_ECONF, 0, "more than %u control planes", DISC_MAX_ENDPOINTS);
        if (!parse_one(part, &set.v[set.n]))
            return el_fail(err, EL_ECONF, 0, "%.*s: not host, host:port or a URL of these",
                           EL_STR_ARG(el_str_first(part, 100)));
        set.n++;
    }
    if (set.n == 0)
        return el_fail(err, EL_ECONF, 0, "no control plane is named");
    *ret = set;
    return EL_OK;
}

void disc_endpoint_name(const struct disc_endpoint *e, struct el_buf *out)
{
    el_buf_addf(out, strchr(e->host, ':') != NULL ? "[%s]:%u" : "%s:%u", e->host, e->port);
}

/* ---- probes ---- */

size_t disc_endpoints_next_probe(struct disc_endpoints *set, uint64_t now_ms)
{
    for (size_t i = 0; i < set->n; i++) {
        struct disc_endpoint *e = &set->v[i];

        if (!e->is_probing && e->probe_due_ms <= now_ms) {
            e->is_probing = true;
            return i;
        }
    }
    return DISC_NO_ENDPOINT;
}

uint64_t disc_endpoints_due_ms(const struct disc_endpoints *set)
{
    uint64_t due = UINT64_MAX;

    for (size_t i = 0; i < set->n; i++) {
        if (!set->v[i].is_probing)
            due = el_min_u64(due, set->v[i].probe_due_ms);
    }
    return due;
}

/* A fifth more or less, so that a thousand nodes do not come back at once. */
static uint64_t jitter(struct el_rng *rng, uint64_t ms)
{
    return ms - ms / 5 + el_rng_below(rng, 2 * (ms / 5) + 1);
}

static uint64_t pause_ms(const struct disc_endpoint *e)
{
    unsigned shift = (unsigned)el_min_u64(e->failures > 0 ? e->failures - 1 : 0, 5);

    return el_min_u64((uint64_t)BACKOFF_MS << shift, DISC_PROBE_MS);
}

/* ---- which is the best ---- */

/* Less is better. */
static bool is_better(const struct disc_endpoint *a, const struct disc_endpoint *b)
{
    if (a->epoch > b->epoch + EPOCHS_BEHIND || b->epoch > a->epoch + EPOCHS_BEHIND)
        return a->epoch > b->epoch;
    return a->latency_us < b->latency_us / 2 && b->latency_us - a->latency_us > LATENCY_GAP_US;
}

static size_t fittest(const struct disc_endpoints *set)
{
    size_t fit = DISC_NO_ENDPOINT;

    for (size_t i = 0; i < set->n; i++) {
        if (set->v[i].is_up && (fit == DISC_NO_ENDPOINT || is_better(&set->v[i], &set->v[fit])))
            fit = i;
    }
    return fit;
}

static void choose(struct disc_endpoints *set)
{
    size_t was = set->best;

    if (was != DISC_NO_ENDPOINT && set->v[was].is_up)
        return;
    set->best = fittest(set);
    for (size_t i = 0; i < set->n; i++)
        set->v[i].better = 0;
}

/* The best was answered just now, or another one. */
static void compare(struct disc_endpoints *set, size_t which)
{
    struct disc_endpoint *e = &set->v[which];

    choose(set);
    if (set->best == DISC_NO_ENDPOINT || which == set->best || !e->is_up)
        return;
    e->better = is_better(e, &set->v[set->best]) ? e->better + 1 : 0;
    if (e->better >= BETTER_FOR) {
        set->best = which;
        e->better = 0;
    }
}

/* ---- what became of them ---- */

static void note_up(struct disc_endpoint *e)
{
    e->was_answered = true;
    e->answers++;
    if (e->failures <= 1 || e->answers >= ANSWERS_AGAIN) {
        e->is_up = true;
        e->failures = e->sick;
    }
}

static void note_down(struct disc_endpoint *e, uint64_t now_ms, struct el_rng *rng)
{
    e->was_answered = true;
    e->is_up = false;
    e->answers = 0;
    e->better = 0;
    e->failures++;
    e->probe_due_ms = now_ms + jitter(rng, pause_ms(e));
}

void disc_endpoint_probed(struct disc_endpoints *set, size_t which, uint64_t now_ms,
                          struct el_rng *rng, uint64_t took_us, uint64_t epoch)
{
    struct disc_endpoint *e = &set->v[which];

    e->is_probing = false;
    e->latency_us = e->latency_us == 0
                        ? took_us
                        : (e->latency_us * (LATENCY_HISTORY - 1) + took_us) / LATENCY_HISTORY;
    e->epoch = epoch;
    note_up(e);
    e->probe_due_ms = now_ms + jitter(rng, e->is_up ? DISC_PROBE_MS : BACKOFF_MS);
    compare(set, which);
}

void disc_endpoint_probe_failed(struct disc_endpoints *set, size_t which, uint64_t now_ms,
                                struct el_rng *rng)
{
    set->v[which].is_probing = false;
    note_down(&set->v[which], now_ms, rng);
    choose(set);
}

void disc_endpoint_answered(struct disc_endpoints *set, size_t which)
{
    set->v[which].sick = 0;
    set->v[which].failures = 0;
}

void disc_endpoint_failed(struct disc_endpoints *set, size_t which, uint64_t now_ms,
                          struct el_rng *rng)
{
    struct disc_endpoint *e = &set->v[which];

    e->sick++;
    note_down(e, now_ms, rng);
    choose(set);
}

bool disc_endpoints_are_down(const struct disc_endpoints *set)
{
    for (size_t i = 0; i < set->n; i++) {
        if (set->v[i].is_up || !set->v[i].was_answered)
            return false;
    }
    return true;
}
