/* SPDX-License-Identifier: MIT */
/*
 * disk: the SSD tier without a proxy around it, for bench/run to put beside fio. Prints one JSON
 * object.
 *
 *   write  an empty store; objects arrive as from an origin, are written behind and committed
 *   read   what `write` left, through a memory tier far smaller than it, verified as ever
 *   hash   how fast one thread hashes blocks: what a thread that verifies cannot exceed
 *
 * In `write` each object has a thread that is both its origin and its client, so nothing but the
 * cache takes time; it holds back while the tier has much to write, for the tier does not keep what
 * it cannot keep up with. In `read` one thread is the client of all objects, as a proxy's thread
 * is; it looks at no byte.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/resource.h>

#include "bench/yard.h"
#include "cache/cache.h"
#include "common/log.h"
#include "common/rng.h"

#define MEMORY_BYTES  (512 * EL_MIB)
#define WRITE_BYTES   (64 * EL_MIB)
#define WAITING_BYTES (96 * EL_MIB) /* offered and not written: the disk always has work */
#define COMMIT_MS     1000
#define DEADLINE_MS   60000
#define OBJECTS_MAX   64
#define HASHED_BYTES  (2048 * EL_MIB)

struct plan {
    const char *dir;
    uint64_t bytes; /* of all objects together */
    unsigned objects;
    enum el_ring_backend io;
};

struct bench;

struct flow {
    struct bench *bench;
    unsigned number;
    struct cache_ticket ticket;
    struct cache_reader reader;
    struct cache_object *object; /* referenced */
    struct cache_fill *fill;     /* to be given bytes; or NULL */
    struct el_msgq *queue;
    pthread_t thread;
    bool is_over;
};

struct bench {
    struct plan plan;
    struct cache_source source;
    struct el_metrics *metrics;
    struct cache *cache;
    struct flow flows[OBJECTS_MAX];
    _Atomic uint64_t given;
    uint8_t *bytes; /* a block of them */
};

struct mark {
    uint64_t ns;
    double cpu;
};

/* ---- what it takes ---- */

static double seconds_of(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static struct mark mark(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (struct mark){ el_clock_mono_ns(el_clock_system()),
                          seconds_of(&u.ru_utime) + seconds_of(&u.ru_stime) };
}

static void print_results(const struct mark *from, const struct mark *to, uint64_t bytes)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    printf("{\"bytes\": %" PRIu64
           ", \"seconds\": %.6f, \"cpu_seconds\": %.3f, \"rss_max\": %" PRIu64 "}\n",
           bytes, (double)(to->ns - from->ns) / 1e9, to->cpu - from->cpu,
           (uint64_t)u.ru_maxrss * 1024);
}

/* ---- the cache ---- */

static struct cache_store_stats stats(struct bench *b)
{
    struct cache_disk_stats s;

    cache_disk_stats_get(b->cache, &s);
    if (s.n != 1)
        die("%s cannot be used", b->plan.dir);
    return s.stores[0];
}

static void open_cache(struct bench *b)
{
    const struct cache_disk_conf disk = {
        .bytes = b->plan.bytes + b->plan.bytes / 4,
        .dirs = &b->plan.dir,
        .n_dirs = 1,
        .io = b->plan.io,
        .read_deadline_ms = DEADLINE_MS,
        .commit_ms = COMMIT_MS,
        .write_bytes = WRITE_BYTES,
    };
    const struct cache_conf conf = {
        .memory_bytes = MEMORY_BYTES,
        .evict_above = 0.8,
        .evict_to = 0.6,
        .weights = { 1.0, 0.5, 0.3 },
        .huge_pages = true,
        .disk = &disk,
        .source = &b->source,
        .clock = el_clock_system(),
        .metrics = b->metrics,
    };
    struct el_error err;

    if (cache_open(&conf, &b->cache, &err) != EL_OK)
        die("%s", err.text);
    while (strcmp(stats(b).state, "loading") == 0)
        (void)poll(NULL, 0, 1);
}

static void url_of(const struct flow *f, char ret[64])
{
    (void)snprintf(ret, 64, "http://origin.test/bucket/%u", f->number);
}

static void drop_ticket(struct cache_ticket *t)
{
    (void)t; /* it is part of its flow */
}

static void on_wake(struct el_msg *m)
{
    (void)m; /* whoever dispatches reads on by itself */
}

static void open_reader(struct flow *f)
{
    atomic_init(&f->ticket.refs, 1);
    f->ticket.free = drop_ticket;
    el_msg_init(&f->reader.msg, on_wake);
    f->reader.queue = f->queue;
    cache_reader_open(&f->reader, f->object, &f->ticket, 0, cache_object_length(f->object));
}

static void close_flow(struct flow *f)
{
    cache_reader_close(&f->reader);
    cache_object_unref(f->object);
}

/* Reads all that is there; the flow is over with the last byte. */
static void drain(struct flow *f)
{
    struct cache_span span;
    enum cache_read read;

    while ((read = cache_reader_next(&f->reader, SIZE_MAX, &span)) == CACHE_READ_DATA)
        cache_reader_advance(&f->reader, span.n);
    if (read == CACHE_READ_ERROR)
        die("object %u: %s", f->number, f->reader.err.text);
    f->is_over = read == CACHE_READ_END;
}

/* ---- the origin ---- */

static void start(struct cache_source *s, struct cache_fill *fill)
{
    (void)s;
    EL_ENTRY(cache_fill_ticket(fill), struct flow, ticket)->fill = fill;
}

static void do_nothing(struct cache_source *s, struct cache_fill *fill)
{
    (void)s; /* the flow's thread comes again by itself */
    (void)fill;
}

static const struct cache_source_ops origin_ops = {
    .label = "origin",
    .from = CACHE_FROM_ORIGIN,
    .start = start,
    .resume = do_nothing,
    .cancel = do_nothing,
};

/* ---- write ---- */

static void make_object(struct flow *f)
{
    struct cache_meta *m = cache_meta_new();
    char url[64];

    m->status = 200;
    m->has_strong_validator = true;
    el_fields_add(&m->fields, EL_STR("ETag"), EL_STR("\"v1\""));
    cache_meta_finish(m);
    url_of(f, url);
    f->object = cache_object_new(f->bench->cache, el_str_of(url), m,
                                 f->bench->plan.bytes / f->bench->plan.objects);
    cache_meta_unref(m);
    if (!cache_object_publish(f->object))
        die("%s cannot be published", url);
}

static void give_block(struct flow *f)
{
    struct bench *b = f->bench;
    ssize_t n;

    while (atomic_load(&b->given) > stats(b).written_bytes + WAITING_BYTES)
        (void)poll(NULL, 0, 1);
    n = cache_fill_give(f->fill, b->bytes, CACHE_BLOCK_BYTES);
    if (n > 0)
        atomic_fetch_add(&b->given, (uint64_t)n);
    else if (n == 0)
        (void)poll(NULL, 0, 1);
    if (n < 0 || cache_fill_position(f->fill) >= cache_fill_end(f->fill)) {
        cache_fill_done(f->fill, EL_OK, NULL);
        f->fill = NULL;
    }
}

static void *write_object(void *arg)
{
    struct flow *f = arg;

    open_reader(f);
    for (;;) {
        drain(f);
        if (f->is_over)
            break;
        if (f->fill == NULL)
            die("object %u: what was given is gone", f->number);
        give_block(f);
    }
    if (f->fill != NULL)
        cache_fill_done(f->fill, EL_OK, NULL);
    close_flow(f);
    return NULL;
}

static void run_write(struct bench *b)
{
    struct mark from, to;

    open_cache(b);
    from = mark();
    for (unsigned i = 0; i < b->plan.objects; i++) {
        struct flow *f = &b->flows[i];

        make_object(f);
        if (el_msgq_new(&f->queue, NULL) != EL_OK ||
            pthread_create(&f->thread, NULL, write_object, f) != 0)
            die("no thread");
    }
    for (unsigned i = 0; i < b->plan.objects; i++)
        (void)pthread_join(b->flows[i].thread, NULL);
    while (stats(b).written_bytes < b->plan.bytes) {
        if (stats(b).dropped_behind + stats(b).dropped_unadmitted + stats(b).write_errors > 0)
            die("not everything was written");
        (void)poll(NULL, 0, 1);
    }
    cache_close(b->cache); /* commits */
    to = mark();
    for (unsigned i = 0; i < b->plan.objects; i++)
        el_msgq_free(b->flows[i].queue);
    print_results(&from, &to, b->plan.bytes);
}

/* ---- read ---- */

static void wait_queue(struct el_msgq *q)
{
    struct pollfd p = { .fd = el_msgq_fd(q), .events = POLLIN };

    if (poll(&p, 1, DEADLINE_MS) <= 0)
        die("no byte for %u seconds", DEADLINE_MS / 1000);
    el_msgq_dispatch(q);
}

static void find_object(struct flow *f)
{
    struct cache_object *found[CACHE_MAX_VARIANTS];
    struct cache_waiter waiter = { .queue = f->queue };
    char url[64];

    url_of(f, url);
    el_list_init(&waiter.link);
    el_msg_init(&waiter.msg, on_wake);
    if (!cache_load(f->bench->cache, el_str_of(url), &waiter))
        die("%s is not on disk", url);
    wait_queue(f->queue);
    if (cache_lookup(f->bench->cache, el_str_of(url), found) != 1)
        die("%s cannot be loaded", url);
    f->object = found[0];
}

static void read_all(struct bench *b)
{
    unsigned over = 0;

    while (over < b->plan.objects) {
        for (unsigned i = 0; i < b->plan.objects; i++) {
            if (b->flows[i].is_over)
                continue;
            drain(&b->flows[i]);
            over += b->flows[i].is_over;
        }
        if (over < b->plan.objects)
            wait_queue(b->flows[0].queue);
    }
}

static void run_read(struct bench *b)
{
    struct el_msgq *queue;
    struct mark from, to;

    if (el_msgq_new(&queue, NULL) != EL_OK)
        die("no queue");
    open_cache(b);
    for (unsigned i = 0; i < b->plan.objects; i++) {
        b->flows[i].queue = queue;
        find_object(&b->flows[i]);
    }
    from = mark();
    for (unsigned i = 0; i < b->plan.objects; i++)
        open_reader(&b->flows[i]);
    read_all(b);
    to = mark();
    if (stats(b).read_bytes != b->plan.bytes || stats(b).mismatches > 0)
        die("not everything came from the disk");
    for (unsigned i = 0; i < b->plan.objects; i++)
        close_flow(&b->flows[i]);
    cache_close(b->cache);
    el_msgq_free(queue);
    print_results(&from, &to, b->plan.bytes);
}

/* ---- hash ---- */

static void run_hash(struct bench *b)
{
    struct mark from = mark(), to;
    struct el_digest digest;

    for (uint64_t n = 0; n < HASHED_BYTES; n += CACHE_BLOCK_BYTES)
        el_sha256_of(b->bytes, CACHE_BLOCK_BYTES, &digest);
    to = mark();
    print_results(&from, &to, HASHED_BYTES);
}

/* ---- the command line ---- */

static const char usage[] = "usage: elio_disk write|read -d DIRECTORY [-b MIB] [-n OBJECTS]\n"
                            "                            [-i io_uring|threads]\n"
                            "       elio_disk hash";

static unsigned number(const char *s, unsigned max)
{
    unsigned long value;
    char *end;

    errno = 0;
    value = strtoul(s, &end, 10);
    if (errno != 0 || end == s || *end != '\0' || *s == '-' || value == 0 || value > max)
        die("not a number from 1 to %u: %s", max, s);
    return (unsigned)value;
}

static void parse_option(struct plan *p, int option, const char *value)
{
    switch (option) {
    case 'd':
        p->dir = value;
        break;
    case 'b':
        p->bytes = number(value, 1 << 20) * EL_MIB;
        break;
    case 'n':
        p->objects = number(value, OBJECTS_MAX);
        break;
    case 'i':
        if (strcmp(value, "io_uring") != 0 && strcmp(value, "threads") != 0)
            die("%s", usage);
        p->io = *value == 'i' ? EL_RING_URING : EL_RING_THREADS;
        break;
    default:
        die("%s", usage);
    }
}

static const char *parse_plan(int argc, char **argv, struct plan *p)
{
    int option;

    *p = (struct plan){ .bytes = 1024 * EL_MIB, .objects = 1, .io = EL_RING_URING };
    while ((option = getopt(argc, argv, "d:b:n:i:")) != -1)
        parse_option(p, option, optarg);
    if (optind != argc - 1 || p->bytes % (p->objects * CACHE_CHUNK_BYTES) != 0)
        die("%s", usage);
    return argv[optind];
}

static void init_bench(struct bench *b)
{
    struct el_rng rng;

    b->source.ops = &origin_ops;
    b->metrics = el_metrics_new();
    b->bytes = malloc(CACHE_BLOCK_BYTES);
    if (b->bytes == NULL)
        die("out of memory");
    el_rng_seed_random(&rng);
    for (size_t i = 0; i < CACHE_BLOCK_BYTES; i += sizeof(uint64_t)) {
        uint64_t word = el_rng_u64(&rng); /* a disk must not find them easy to compress */

        memcpy(b->bytes + i, &word, sizeof(word));
    }
    for (unsigned i = 0; i < OBJECTS_MAX; i++) {
        b->flows[i].bench = b;
        b->flows[i].number = i;
    }
}

int main(int argc, char **argv)
{
    const struct el_log_conf log = { .level = EL_WARN, .fd = 2 };
    static struct bench b;
    const char *what = parse_plan(argc, argv, &b.plan);

    el_log_setup(&log);
    init_bench(&b);
    if (strcmp(what, "hash") == 0)
        run_hash(&b);
    else if (strcmp(what, "write") == 0 && b.plan.dir != NULL)
        run_write(&b);
    else if (strcmp(what, "read") == 0 && b.plan.dir != NULL)
        run_read(&b);
    else
        die("%s", usage);
    free(b.bytes);
    el_metrics_free(b.metrics);
    return 0;
}
