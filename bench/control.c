/* SPDX-License-Identifier: MIT */
/*
 * control: the state of a control plane by itself, with its SQLite store: memory, questions,
 * restart.
 *
 *   elio_control SHAPE NODES [CHUNKS]
 *     same      every node has the same CHUNKS chunks, in objects of 1 GiB
 *     some      every node has CHUNKS of 32 times as many, drawn by chance, in objects of 1 GiB
 *     small     as same, but each chunk is an object of its own
 *
 * Prints one line of key=value for each thing that was measured; times are processor time.
 */
#include <unistd.h>

#include "controlplane/chunks.h"
#include "controlplane/plane.h"

#define QUESTION 1000u
#define ROUNDS   2000u

struct world {
    bool is_some, is_small;
    uint32_t nodes, chunks;
    struct el_rng rng;
    struct el_chunk_id *ids; /* of one node */
};

/* Of processors: the machine may have other things to do. */
static uint64_t cpu_us(clockid_t clock)
{
    struct timespec ts;

    if (clock_gettime(clock, &ts) != 0)
        abort();
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t now_us(void)
{
    return cpu_us(CLOCK_THREAD_CPUTIME_ID);
}

static uint64_t rss_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long long size = 0, resident = 0;

    if (f == NULL || fscanf(f, "%llu %llu", &size, &resident) != 2)
        abort();
    (void)fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The n-th chunk there is: its object's id is spread as a hash would be. */
static struct el_chunk_id chunk_of(const struct world *w, uint32_t n)
{
    uint64_t object = w->is_small ? n : n / 64;
    struct el_chunk_id id = { .index = w->is_small ? 0 : n % 64 };
    uint64_t spread[2] = { (object + 1) * 0x9e3779b97f4a7c15ull, object };

    memcpy(id.object, spread, sizeof(spread));
    id.object[0] = (uint8_t)(spread[0] >> 56);
    return id;
}

static void draw_chunks(struct world *w)
{
    for (uint32_t i = 0; i < w->chunks; i++) {
        uint32_t n = w->is_some ? 32 * i + (uint32_t)el_rng_below(&w->rng, 32) : i;

        w->ids[i] = chunk_of(w, n);
    }
}

static void name_of(uint32_t node, char ret[16])
{
    (void)snprintf(ret, 16, "node-%u", node);
}

static void add_node(struct cp_plane *p, struct world *w, uint32_t node)
{
    struct cp_card card = { .address = "192.0.2.1",
                            .p2p_port = 9000,
                            .http_port = 8082,
                            .serves = true,
                            .disk_capacity_mb = 1000000 };
    struct cp_report r = { .kind = CP_REPORT_FULL, .epoch = 1, .has = w->ids, .has_n = w->chunks };
    struct cp_beat beat = { .is_online = true, .is_ready = true };
    struct cp_beat_answer answer;
    const struct cp_node *n;
    struct cp_state *s;
    bool wants_full;

    draw_chunks(w);
    name_of(node, card.node_id);
    s = cp_plane_lock(p);
    if (cp_node_register(s, &card, &n, NULL) != EL_OK ||
        cp_chunks_report(s, el_str_of(card.node_id), &r, &wants_full, NULL) != EL_OK ||
        cp_node_beat(s, el_str_of(card.node_id), &beat, &answer, NULL) != EL_OK)
        abort();
    (void)cp_plane_unlock(p);
}

static void measure_memory(struct cp_plane *p, uint64_t before)
{
    struct cp_metrics m;
    uint64_t rss = rss_bytes();

    cp_state_metrics(cp_plane_lock(p), &m);
    (void)cp_plane_unlock(p);
    printf("locations=%llu chunks=%llu index_mb=%.1f bytes_per_location=%.2f rss_mb=%.1f "
           "rss_grown_mb=%.1f\n",
           (unsigned long long)m.locations, (unsigned long long)m.total_chunks,
           (double)m.index_bytes / 1e6, (double)m.index_bytes / (double)m.locations,
           (double)rss / 1e6, (double)(rss - before) / 1e6);
}

static void count(void *arg, const struct el_chunk_id *id, const struct cp_node *const *holders,
                  size_t n, size_t total)
{
    (void)id;
    (void)holders;
    (void)total;
    *(uint64_t *)arg += n;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void measure_questions(struct cp_plane *p, struct world *w)
{
    static uint64_t us[ROUNDS];
    struct el_chunk_id ids[QUESTION];
    struct cp_question q = { .ids = ids, .n = QUESTION, .max_holders = 10 };
    uint64_t named = 0;

    draw_chunks(w);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t begin;

        for (unsigned k = 0; k < QUESTION; k++)
            ids[k] = w->ids[el_rng_below(&w->rng, w->chunks)];
        begin = now_us();
        if (cp_chunks_locate(cp_plane_lock(p), &q, count, &named, NULL) != EL_OK)
            abort();
        (void)cp_plane_unlock(p);
        us[i] = now_us() - begin;
    }
    qsort(us, ROUNDS, sizeof(us[0]), by_value);
    printf("question_chunks=%u p50_us=%llu p99_us=%llu max_us=%llu named=%llu\n", QUESTION,
           (unsigned long long)us[ROUNDS / 2], (unsigned long long)us[ROUNDS * 99 / 100],
           (unsigned long long)us[ROUNDS - 1], (unsigned long long)named);
}

static void measure_beats(struct cp_plane *p, struct world *w)
{
    struct cp_beat beat = { .is_online = true, .is_ready = true };
    struct cp_beat_answer answer;
    uint64_t begin = now_us(), n = 200000;

    for (uint64_t i = 0; i < n; i++) {
        char name[16];

        name_of((uint32_t)(i % w->nodes), name);
        if (cp_node_beat(cp_plane_lock(p), el_str_of(name), &beat, &answer, NULL) != EL_OK)
            abort();
        (void)cp_plane_unlock(p);
    }
    printf("beats_per_s=%.0f\n", (double)n * 1e6 / (double)(now_us() - begin));
}

static struct cp_plane *open_plane(const char *path)
{
    struct cp_plane_conf conf = { .sqlite_path = path, .clock = el_clock_system() };
    struct cp_plane *p;
    struct el_error err;

    cp_state_conf_default(&conf.state);
    conf.state.is_placing = false;
    if (cp_plane_open(&conf, &p, &err) != EL_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    return p;
}

static uint64_t file_bytes(const char *path)
{
    FILE *f = fopen(path, "r");
    long n;

    if (f == NULL || fseek(f, 0, SEEK_END) != 0)
        return 0;
    n = ftell(f);
    (void)fclose(f);
    return (uint64_t)n;
}

/* Closed and opened again. */
static struct cp_plane *measure_restart(struct cp_plane *p, const char *path)
{
    uint64_t begin = cpu_us(CLOCK_PROCESS_CPUTIME_ID), closed, opened;

    cp_plane_close(p, 600000);
    closed = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
    p = open_plane(path);
    opened = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
    printf("close_ms=%llu file_mb=%.1f open_ms=%llu\n", (unsigned long long)(closed - begin) / 1000,
           (double)file_bytes(path) / 1e6, (unsigned long long)(opened - closed) / 1000);
    return p;
}

static bool read_arguments(int argc, char **argv, struct world *w)
{
    uint64_t nodes, chunks = 32768;

    if (argc < 3 || !el_str_u64(el_str_of(argv[2]), 60000, &nodes) || nodes == 0 ||
        (argc > 3 && !el_str_u64(el_str_of(argv[3]), 65536, &chunks)) || chunks == 0)
        return false;
    w->is_some = strcmp(argv[1], "some") == 0;
    w->is_small = strcmp(argv[1], "small") == 0;
    w->nodes = (uint32_t)nodes;
    w->chunks = (uint32_t)chunks;
    return w->is_some || w->is_small || strcmp(argv[1], "same") == 0;
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/elio-control-XXXXXX", path[64];
    struct world w = { 0 };
    struct cp_plane *p;
    uint64_t before, begin;

    if (!read_arguments(argc, argv, &w) || mkdtemp(dir) == NULL) {
        (void)fprintf(stderr, "usage: elio_control same|some|small NODES [CHUNKS]\n");
        return 2;
    }
    (void)snprintf(path, sizeof(path), "%s/state", dir);
    w.ids = (struct el_chunk_id *)el_alloc(w.chunks * sizeof(*w.ids));
    el_rng_seed(&w.rng, 1);
    p = open_plane(path);
    before = rss_bytes();
    begin = now_us();
    for (uint32_t i = 0; i < w.nodes; i++)
        add_node(p, &w, i);
    printf("nodes=%u report_ms=%.2f\n", w.nodes, (double)(now_us() - begin) / 1e3 / w.nodes);
    measure_memory(p, before);
    measure_questions(p, &w);
    measure_beats(p, &w);
    p = measure_restart(p, path);
    measure_memory(p, before);
    cp_plane_close(p, 600000);
    (void)unlink(path);
    (void)rmdir(dir);
    free(w.ids);
    return 0;
}
