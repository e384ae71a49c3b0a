/* SPDX-License-Identifier: MIT */
/*
 * warm: see warm.h. One mutex guards what operations have in common with their workers: which URL
 * is next, and what became of each. A worker's own fetch belongs to its thread.
 *
 * Invariant: an operation lives at least as long as one of its workers is alive, and the queue of a
 * worker's thread gets no message of it after that.
 */
#include "proxy/warm.h"

#include <pthread.h>

#include "common/log.h"
#include "common/rng.h"
#include "proxy/fetch.h"
#include "proxy/route.h"

struct result {
    bool is_done, is_good;
    int status;
    uint64_t bytes;
    bool has_cache, is_hit;
    char *url;                  /* owned; as the cache knows it */
    char *cache_status, *error; /* owned; NULL: none */
};

struct operation;

struct worker {
    struct operation *op;
    struct el_msg start, cancel; /* to its thread */
    size_t item;                 /* its thread's */
    struct proxy_fetch fetch;    /* its thread's */
    bool is_alive;               /* under mtx */
};

struct operation {
    struct el_list link;
    struct proxy_warm *warm;
    char id[PROXY_WARM_ID_BYTES];
    struct proxy_warm_list list; /* immutable */
    size_t n;
    struct worker *workers;
    unsigned n_workers;
    int64_t started_wall_ms;
    uint64_t started_ms;
    _Atomic uint64_t bytes;

    /* Under mtx. */
    size_t next, finished, failed;
    unsigned n_alive; /* workers */
    unsigned n_shown; /* whose results are being read: it stays */
    bool is_cancelled;
    uint64_t ended_ms;
    struct result *results;
};

struct proxy_warm {
    const struct proxy_gateway *gateway;
    struct proxy_server *server;
    struct el_clock *clock;

    pthread_mutex_t mtx;
    struct el_list operations; /* the newest first */
    unsigned n, n_running;
    bool is_stopping;
};

static void lock(struct proxy_warm *w)
{
    EL_ASSERT(pthread_mutex_lock(&w->mtx) == 0);
}

static void unlock(struct proxy_warm *w)
{
    EL_ASSERT(pthread_mutex_unlock(&w->mtx) == 0);
}

/* ---- the result of one URL ---- */

/* Without what only signs; what is no URL up to where it could hold secrets. */
static char *shown_url(const struct proxy_warm *w, struct el_str url)
{
    struct el_buf key = { 0 };

    if (proxy_route_key(w->gateway, url, &key, NULL) != EL_OK)
        el_buf_add_str(&key, el_str_first(url, el_str_find(url, '?')));
    return el_buf_take(&key);
}

/* The detail of problem+json (RFC 9457), or what the status means. */
static char *error_of(const struct proxy_fetch *f)
{
    json_t *root = f->problem.n > 0 ? json_loadb(f->problem.p, f->problem.n, 0, NULL) : NULL;
    const char *detail = json_string_value(json_object_get(root, "detail"));
    struct el_buf text = { 0 };

    if (f->is_cancelled)
        el_buf_addf(&text, "cancelled");
    else if (f->status == 200)
        el_buf_addf(&text, "it broke off after %llu bytes", (unsigned long long)f->bytes);
    else if (f->status == 0)
        el_buf_addf(&text, "there was no answer");
    else
        el_buf_addf(&text, "the answer is %d%s%.200s", f->status, detail != NULL ? ": " : "",
                    detail != NULL ? detail : "");
    json_decref(root);
    return el_buf_take(&text);
}

static void note_result(struct worker *wk)
{
    const struct proxy_fetch *f = &wk->fetch;
    struct operation *op = wk->op;
    struct result r = {
        .is_done = true,
        .is_good = f->status == 200 && f->is_complete,
        .status = f->status,
        .bytes = f->bytes,
        .has_cache = f->x_cache[0] != '\0',
        .is_hit = strcmp(f->x_cache, "HIT") == 0,
    };

    r.url = shown_url(op->warm, f->target);
    r.error = r.is_good ? NULL : error_of(f);
    if (f->cache_status[0] != '\0')
        r.cache_status = el_strndup(f->cache_status, strlen(f->cache_status));
    lock(op->warm);
    op->results[wk->item] = r;
    op->finished++;
    op->failed += !r.is_good;
    unlock(op->warm);
}

/* ---- a worker ---- */

/* What the log says of an operation that is over. */
struct end {
    size_t n, finished, failed;
    uint64_t bytes;
    char id[PROXY_WARM_ID_BYTES];
};

/* The last thing that its thread does with it. */
static void die(struct worker *wk)
{
    struct operation *op = wk->op;
    struct proxy_warm *w = op->warm;
    struct end end = { 0 };
    bool is_last;

    lock(w);
    wk->is_alive = false; /* no more messages */
    unlock(w);
    el_msgq_cancel(wk->fetch.thread->queue, &wk->cancel);
    proxy_fetch_deinit(&wk->fetch);
    lock(w);
    is_last = --op->n_alive == 0;
    if (is_last) {
        op->ended_ms = el_clock_mono_ms(w->clock);
        w->n_running--;
        end = (struct end){ op->n, op->finished, op->failed, atomic_load(&op->bytes), "" };
        (void)snprintf(end.id, sizeof(end.id), "%s", op->id);
    }
    unlock(w);
    /* From here on the operation may be gone. */
    if (is_last)
        el_log(EL_INFO, EV_WARM_DONE, "id=%s urls=%zu finished=%zu failed=%zu bytes=%llu", end.id,
               end.n, end.finished, end.failed, (unsigned long long)end.bytes);
}

static bool take_next(struct worker *wk)
{
    struct operation *op = wk->op;
    bool has_one;

    lock(op->warm);
    has_one = !op->warm->is_stopping && !op->is_cancelled && op->next < op->n;
    if (has_one)
        wk->item = op->next++;
    unlock(op->warm);
    return has_one;
}

static void work(struct worker *wk)
{
    if (!take_next(wk)) {
        die(wk);
        return;
    }
    wk->fetch.target = proxy_warm_list_url(&wk->op->list, wk->item);
    wk->fetch.fields = el_fields_view(&wk->op->list.fields);
    proxy_fetch_start(&wk->fetch);
}

static void on_fetched(struct proxy_fetch *f)
{
    struct worker *wk = EL_ENTRY(f, struct worker, fetch);

    note_result(wk);
    work(wk);
}

static void on_start(struct el_msg *m)
{
    work(EL_ENTRY(m, struct worker, start));
}

static void on_cancel(struct el_msg *m)
{
    proxy_fetch_cancel(&EL_ENTRY(m, struct worker, cancel)->fetch);
}

/* ---- operations ---- */

static void free_operation(struct operation *op)
{
    el_list_remove(&op->link);
    for (size_t i = 0; i < op->n; i++) {
        free(op->results[i].url);
        free(op->results[i].cache_status);
        free(op->results[i].error);
    }
    free(op->results);
    free(op->workers);
    proxy_warm_list_deinit(&op->list);
    free(op);
}

/* The oldest that is over makes room. */
static void make_room_locked(struct proxy_warm *w)
{
    struct el_list *it = w->operations.prev;

    while (w->n >= PROXY_WARM_MAX_KEPT && it != &w->operations) {
        struct operation *op = EL_ENTRY(it, struct operation, link);

        it = it->prev;
        if (op->n_alive > 0 || op->n_shown > 0)
            continue;
        free_operation(op);
        w->n--;
    }
}

static void make_id(char id[PROXY_WARM_ID_BYTES])
{
    struct el_rng rng;

    el_rng_seed_random(&rng);
    (void)snprintf(id, PROXY_WARM_ID_BYTES, "%016llx", (unsigned long long)el_rng_u64(&rng));
}

static void init_worker(struct worker *wk, struct operation *op, unsigned thread)
{
    struct proxy_server *server = op->warm->server;

    wk->op = op;
    wk->is_alive = true;
    el_msg_init(&wk->start, on_start);
    el_msg_init(&wk->cancel, on_cancel);
    wk->fetch.thread = proxy_server_thread(server, thread % proxy_server_threads(server));
    wk->fetch.progress = &op->bytes;
    wk->fetch.on_done = on_fetched;
}

static struct operation *new_operation(struct proxy_warm *w, struct proxy_warm_list *take_list)
{
    struct operation *op = el_new(struct operation);

    op->warm = w;
    op->list = *take_list;
    op->n = proxy_warm_list_count(take_list);
    op->results = el_alloc(op->n * sizeof(op->results[0])); /* at most PROXY_WARM_MAX_URLS */
    op->n_workers = (unsigned)el_min_size(take_list->concurrency, op->n);
    op->workers = el_alloc(op->n_workers * sizeof(op->workers[0]));
    op->started_wall_ms = el_clock_wall_ms(w->clock);
    op->started_ms = el_clock_mono_ms(w->clock);
    make_id(op->id);
    for (unsigned i = 0; i < op->n_workers; i++)
        init_worker(&op->workers[i], op, i);
    op->n_alive = op->n_workers;
    return op;
}

/* The operation may be over before this returns, but not gone. */
static void begin_locked(struct proxy_warm *w, struct operation *op)
{
    make_room_locked(w);
    el_list_prepend(&w->operations, &op->link);
    w->n++;
    w->n_running++;
    for (unsigned i = 0; i < op->n_workers; i++)
        el_msgq_post(op->workers[i].fetch.thread->queue, &op->workers[i].start);
}

static enum el_err may_start_locked(const struct proxy_warm *w, struct el_error *err)
{
    if (w->is_stopping)
        return el_fail(err, EL_ESHUTDOWN, 0, "the node is stopping");
    if (w->n_running >= PROXY_WARM_MAX_RUNNING)
        return el_fail(err, EL_EBUSY, 0, "%d such operations are running; wait, or cancel one",
                       PROXY_WARM_MAX_RUNNING);
    return EL_OK;
}

enum el_err proxy_warm_start(struct proxy_warm *w, struct proxy_warm_list *take_list,
                             char ret_id[PROXY_WARM_ID_BYTES], struct el_error *err)
{
    struct operation *op;
    enum el_err rc;

    lock(w);
    rc = may_start_locked(w, err);
    if (rc == EL_OK) {
        op = new_operation(w, take_list);
        (void)snprintf(ret_id, PROXY_WARM_ID_BYTES, "%s", op->id);
        begin_locked(w, op);
    }
    unlock(w);
    if (rc != EL_OK)
        proxy_warm_list_deinit(take_list);
    return rc;
}

static struct operation *find_locked(struct proxy_warm *w, struct el_str id)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &w->operations) {
        struct operation *op = EL_ENTRY(it, struct operation, link);

        if (el_str_eq(el_str_of(op->id), id))
            return op;
    }
    return NULL;
}

bool proxy_warm_cancel(struct proxy_warm *w, struct el_str id)
{
    struct operation *op;

    lock(w);
    op = find_locked(w, id);
    if (op != NULL && op->n_alive > 0)
        op->is_cancelled = true;
    for (unsigned i = 0; op != NULL && i < op->n_workers; i++) {
        if (op->workers[i].is_alive)
            el_msgq_post(op->workers[i].fetch.thread->queue, &op->workers[i].cancel);
    }
    unlock(w);
    return op != NULL;
}

/* ---- what is told of them ---- */

static void add_result(json_t *list, const struct result *r)
{
    json_t *o = el_json_append_child(list);

    el_json_add_str(o, "url", el_str_of(r->url));
    el_json_add_u64(o, "status", (uint64_t)r->status);
    el_json_add_u64(o, "bytes", r->bytes);
    if (r->has_cache)
        el_json_add_str(o, "from", r->is_hit ? EL_STR("cache") : EL_STR("origin"));
    else
        el_json_add_null(o, "from");
    if (r->cache_status != NULL)
        el_json_add_str(o, "cache_status", el_str_of(r->cache_status));
    if (r->error != NULL)
        el_json_add_str(o, "error", el_str_of(r->error));
}

static void add_summary_locked(const struct operation *op, json_t *o)
{
    bool is_running = op->n_alive > 0;
    uint64_t now_ms = is_running ? el_clock_mono_ms(op->warm->clock) : op->ended_ms;
    char started_at[25];

    el_clock_iso(op->started_wall_ms, started_at);
    el_json_add_str(o, "id", el_str_of(op->id));
    el_json_add_str(o, "kind", EL_STR("warm"));
    el_json_add_str(o, "state",
                    is_running                                 ? EL_STR("running")
                    : op->is_cancelled || op->finished < op->n ? EL_STR("cancelled")
                                                               : EL_STR("done"));
    el_json_add_str(o, "started_at", el_str_of(started_at));
    el_json_add_u64(o, "elapsed_ms", now_ms - op->started_ms);
    el_json_add_u64(o, "total", op->n);
    el_json_add_u64(o, "finished", op->finished);
    el_json_add_u64(o, "failed", op->failed);
    el_json_add_u64(o, "bytes", atomic_load(&op->bytes));
}

/*
 * A list of results takes long to write down, and workers must not wait for it: what is done does
 * not change any more.
 */
json_t *proxy_warm_show(struct proxy_warm *w, struct el_str id)
{
    struct result *copy = NULL;
    struct operation *op;
    json_t *o = NULL, *results;

    lock(w);
    op = find_locked(w, id);
    if (op != NULL) {
        o = el_json_new();
        add_summary_locked(op, o);
        copy = el_alloc(op->n * sizeof(*copy)); /* at most PROXY_WARM_MAX_URLS */
        memcpy(copy, op->results, op->n * sizeof(*copy));
        op->n_shown++;
    }
    unlock(w);
    if (op == NULL)
        return NULL;
    results = el_json_child_list(o, "results");
    for (size_t i = 0; i < op->n; i++) {
        if (copy[i].is_done)
            add_result(results, &copy[i]);
    }
    free(copy);
    lock(w);
    op->n_shown--;
    unlock(w);
    return o;
}

bool proxy_warm_progress(struct proxy_warm *w, struct el_str id, struct proxy_warm_progress *ret)
{
    const struct operation *op;

    lock(w);
    op = find_locked(w, id);
    if (op != NULL)
        *ret = (struct proxy_warm_progress){ op->n, op->finished, op->failed, op->n_alive == 0 };
    unlock(w);
    return op != NULL;
}

void proxy_warm_list_all(struct proxy_warm *w, json_t *list)
{
    struct el_list *it, *tmp;

    lock(w);
    EL_LIST_EACH (it, tmp, &w->operations)
        add_summary_locked(EL_ENTRY(it, struct operation, link), el_json_append_child(list));
    unlock(w);
}

/* ---- beginning and end ---- */

struct proxy_warm *proxy_warm_new(const struct proxy_gateway *gateway, struct proxy_server *server,
                                  struct el_clock *clock)
{
    struct proxy_warm *w = el_new(struct proxy_warm);

    w->gateway = gateway;
    w->server = server;
    w->clock = clock;
    el_list_init(&w->operations);
    EL_ASSERT(pthread_mutex_init(&w->mtx, NULL) == 0);
    return w;
}

void proxy_warm_stop(struct proxy_warm *w)
{
    if (w == NULL)
        return;
    lock(w);
    w->is_stopping = true;
    unlock(w);
}

void proxy_warm_free(struct proxy_warm *w)
{
    if (w == NULL)
        return;
    while (!el_list_empty(&w->operations))
        free_operation(EL_ENTRY(w->operations.next, struct operation, link));
    EL_ASSERT(pthread_mutex_destroy(&w->mtx) == 0);
    free(w);
}
