/* SPDX-License-Identifier: MIT */
/* fetch: see fetch.h. */
#include "proxy/fetch.h"

#include "common/clock.h"
#include "common/http_client.h"

static struct proxy_fetch *of(struct proxy_stream *s)
{
    return EL_ENTRY(s, struct proxy_fetch, stream);
}

/* ---- the stream ---- */

static void listen_to(struct proxy_stream *s, const struct proxy_stream_events *ev, void *arg)
{
    of(s)->events = ev;
    of(s)->arg = arg;
}

/* The value of a line "name: value" of the head; "" when there is none. */
static void keep_value(struct el_str head, struct el_str name, char *out, size_t out_bytes)
{
    struct el_str line;

    out[0] = '\0';
    while (el_str_split(&head, '\n', &line)) {
        if (el_str_istarts(line, name)) {
            line = el_str_from(line, name.n);
            line = el_str_trim(el_str_first(line, el_str_find(line, '\r')));
            (void)snprintf(out, out_bytes, "%.*s", EL_STR_ARG(line)); /* a longer one is cut */
            return;
        }
    }
}

static void send_head(struct proxy_stream *s, int status, struct el_str fields, int64_t body_length)
{
    struct proxy_fetch *f = of(s);

    f->status = status;
    f->promised = body_length;
    keep_value(fields, EL_STR("X-Cache:"), f->x_cache, sizeof(f->x_cache));
    keep_value(fields, EL_STR("Cache-Status:"), f->cache_status, sizeof(f->cache_status));
}

static bool flush(struct proxy_stream *s)
{
    (void)s;
    return true;
}

static void send_interim(struct proxy_stream *s, int status, struct el_str fields)
{
    (void)s;
    (void)status;
    (void)fields;
}

static ssize_t push(struct proxy_stream *s, const struct proxy_piece *piece)
{
    struct proxy_fetch *f = of(s);

    if (f->status != 200)
        el_buf_add(&f->problem, piece->mem,
                   el_min_size(piece->n, PROXY_FETCH_PROBLEM_BYTES - f->problem.n));
    f->bytes += piece->n;
    s->body_bytes_sent += piece->n;
    atomic_fetch_add_explicit(f->progress, piece->n, memory_order_relaxed);
    return (ssize_t)piece->n;
}

/* There is none. */
static enum el_err body_read(struct proxy_stream *s, const void **ret_bytes, size_t *ret_n,
                             bool *ret_end)
{
    (void)s;
    *ret_bytes = "";
    *ret_n = 0;
    *ret_end = true;
    return EL_OK;
}

static void body_consume(struct proxy_stream *s, size_t n)
{
    (void)s;
    EL_ASSERT(n == 0);
}

static void report(struct proxy_later *l)
{
    struct proxy_fetch *f = EL_ENTRY(l, struct proxy_fetch, later);

    f->on_done(f);
}

static void let_go(struct proxy_fetch *f)
{
    f->is_running = false;
    proxy_thread_part(f->thread, &f->member);
    proxy_thread_leave(f->thread);
    proxy_thread_later(f->thread, &f->later, report);
}

static void end(struct proxy_stream *s)
{
    struct proxy_fetch *f = of(s);

    f->is_complete = f->promised < 0 || f->bytes == (uint64_t)f->promised;
    let_go(f);
}

static void abort_it(struct proxy_stream *s)
{
    let_go(of(s));
}

static const struct proxy_stream_ops ops = {
    .listen = listen_to,
    .send_head = send_head,
    .flush = flush,
    .send_interim = send_interim,
    .push = push,
    .body_read = body_read,
    .body_consume = body_consume,
    .end = end,
    .abort = abort_it,
};

/* ---- its life ---- */

static void on_drop(struct proxy_member *m)
{
    proxy_fetch_cancel(EL_ENTRY(m, struct proxy_fetch, member));
}

void proxy_fetch_start(struct proxy_fetch *f)
{
    EL_ASSERT(!f->is_running);
    f->status = 0;
    f->is_complete = f->is_cancelled = false;
    f->bytes = 0;
    f->x_cache[0] = f->cache_status[0] = '\0';
    el_buf_clear(&f->problem);
    f->promised = EL_HTTP_BODY_NONE;
    f->stream = (struct proxy_stream){
        .ops = &ops,
        .thread = f->thread,
        .head = { .method = EL_STR("GET"),
                  .target = f->target,
                  .minor_version = 1,
                  .fields = f->fields,
                  .body_length = EL_HTTP_BODY_NONE },
        .client = "warm",
        .is_own = true,
        .started_ns = el_clock_mono_ns(el_clock_system()),
    };
    f->member = (struct proxy_member){ .drain = on_drop, .drop = on_drop };
    f->is_running = true;
    proxy_thread_join(f->thread, &f->member);
    proxy_thread_request(f->thread, &f->stream);
}

void proxy_fetch_cancel(struct proxy_fetch *f)
{
    if (!f->is_running)
        return;
    f->is_cancelled = true;
    f->events->on_gone(f->arg);
}

void proxy_fetch_deinit(struct proxy_fetch *f)
{
    EL_ASSERT(!f->is_running);
    el_buf_deinit(&f->problem);
}
