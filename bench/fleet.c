/* SPDX-License-Identifier: MIT */
/*
 * fleet: ten thousand nodes as a control plane sees them. Each has a connection of its own, which
 * it keeps, registers with the token for joining, and from then on beats, reports chunks that came
 * and went, and asks where chunks are, with the token that it was given; each at its own time,
 * whether answers come or not (an open loop: what an answer takes counts from the moment at which
 * the request was due). One thread. Prints one JSON object.
 *
 *   elio_fleet PORT NODES SECONDS INTERVAL_MS PID TOKEN
 *
 * PID is the control plane's, whose memory is read each minute. A node has WINDOW chunks of an
 * object, as have two others; a delta takes MOVE away and adds as many, so what is known changes
 * and does not grow.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/yard.h"
#include "common/buf.h"
#include "common/chunk_id.h"
#include "common/rng.h"
#include "discovery/report.h"

#define WINDOW      64u
#define MOVE        4u
#define ASKED       8u     /* chunks in a question */
#define REPORT_MS   60000u /* between two deltas of a node */
#define LOCATE_MS   30000u /* between two of its questions */
#define GIVE_UP_MS  10000u
#define SLOT_MS     5u
#define SLOTS       16384u /* of the wheel: more than the longest pause, and a power of two */
#define STEP_NS     10000u
#define BUCKETS     200000u /* of 10 us */
#define ANSWER_HEAD 2048u
#define MINUTES_MAX 1440u

enum kind { REGISTER, FULL, BEAT, DELTA, LOCATE, KINDS };
static const char *const kind_names[KINDS] = { "register", "full_report", "beat", "delta",
                                               "locate" };

struct node {
    struct node *next; /* in its slot */
    uint32_t number;
    int fd; /* -1: not connected */
    bool is_waiting;
    enum kind kind; /* of what was asked last, or is asked next */
    uint64_t due_ms[KINDS];
    uint64_t asked_ms; /* when it was due, in whole slots */
    uint32_t base;     /* the first chunk that it has, of those of its object */
    uint64_t epoch, digest;
    char token[65];
    char in[ANSWER_HEAD + 1]; /* how the answer begins */
    size_t in_n;              /* of all of it */
    size_t out_n, out_at;
    char *out;
};

static struct sockaddr_in server = { .sin_family = AF_INET };
static struct node *nodes, *wheel[SLOTS];
static uint32_t n_nodes;
static uint64_t interval_ms;
static uint64_t turned; /* slots, since the clock began */
static const char *join_token;
static int ring;
static struct el_rng rng;
static uint32_t latency[KINDS][BUCKETS + 1];
static uint64_t answered[KINDS], refused[KINDS], unanswered[KINDS], reconnects, most_ns[KINDS];

/* ---- requests ---- */

/* Three nodes have chunks of the same object. */
static struct el_chunk_id chunk_of(uint32_t node, uint32_t index)
{
    struct el_chunk_id id = { .index = index };
    uint64_t object[2] = { (node / 3 + 1) * 0x9e3779b97f4a7c15u, node / 3 };

    memcpy(id.object, object, sizeof(id.object));
    return id;
}

static void add_chunks(struct el_buf *b, uint32_t node, uint32_t from, uint32_t n)
{
    char text[EL_CHUNK_ID_CHARS + 1];

    for (uint32_t i = 0; i < n; i++) {
        const struct el_chunk_id id = chunk_of(node, from + i);

        el_chunk_id_text(&id, text);
        el_buf_addf(b, "%s\"%s\"", i == 0 ? "" : ",", text);
    }
}

static void add_digests(struct node *n, uint32_t from, uint32_t count, bool comes)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct el_chunk_id id = chunk_of(n->number, from + i);
        uint64_t digest = disc_report_digest_of(&id);

        n->digest += comes ? digest : 0 - digest;
    }
}

static void write_card(struct el_buf *b, const struct node *n)
{
    el_buf_addf(b,
                "{\"node_id\":\"node-%u\",\"address\":\"10.%u.%u.%u\",\"p2p_port\":9000,"
                "\"http_port\":8082,\"memory_capacity_mb\":65536,\"disk_capacity_mb\":4194304,"
                "\"zone\":\"z%u\",\"version\":\"0.1.0\"}",
                n->number, n->number >> 16, n->number >> 8 & 255, n->number & 255, n->number % 8);
}

static void write_beat(struct el_buf *b, const struct node *n)
{
    el_buf_addf(b,
                "{\"online\":true,\"ready\":true,\"memory_used_mb\":%u.5,\"disk_used_mb\":88123.25,"
                "\"cache_hit_rate\":0.8125,\"total_chunks\":%u,\"active_connections\":57,"
                "\"upload_speed_mbps\":812.5,\"download_speed_mbps\":120.75,\"epoch\":%" PRIu64
                ",\"digest\":\"%016" PRIx64 "\",\"bytes\":{\"memory\":1,\"disk\":2,\"peer\":3,"
                "\"origin\":4}}",
                3000 + n->number % 1000, WINDOW, n->epoch, n->digest);
}

static void write_full(struct el_buf *b, struct node *n)
{
    n->epoch++;
    n->digest = 0;
    add_digests(n, n->base, WINDOW, true);
    el_buf_addf(b, "{\"epoch\":%" PRIu64 ",\"digest\":\"%016" PRIx64 "\",\"chunk_ids\":[", n->epoch,
                n->digest);
    add_chunks(b, n->number, n->base, WINDOW);
    el_buf_add_str(b, EL_STR("]}"));
}

static void write_delta(struct el_buf *b, struct node *n)
{
    add_digests(n, n->base, MOVE, false);
    add_digests(n, n->base + WINDOW, MOVE, true);
    el_buf_addf(b,
                "{\"base_epoch\":%" PRIu64 ",\"epoch\":%" PRIu64 ",\"digest\":\"%016" PRIx64
                "\",\"removed\":[",
                n->epoch, n->epoch + 1, n->digest);
    add_chunks(b, n->number, n->base, MOVE);
    el_buf_add_str(b, EL_STR("],\"added\":["));
    add_chunks(b, n->number, n->base + WINDOW, MOVE);
    el_buf_add_str(b, EL_STR("]}"));
    n->base += MOVE;
    n->epoch++;
}

/* Of what another node has, most likely. */
static void write_question(struct el_buf *b)
{
    const struct node *other = &nodes[el_rng_below(&rng, n_nodes)];

    el_buf_add_str(b, EL_STR("{\"chunk_ids\":["));
    add_chunks(b, other->number, other->base + (uint32_t)el_rng_below(&rng, WINDOW - ASKED), ASKED);
    el_buf_add_str(b, EL_STR("]}"));
}

static void write_request(struct node *n)
{
    static const char *const methods[KINDS] = { "POST", "PUT", "PUT", "PUT", "POST" };
    static const char *const ends[KINDS] = { "", "/chunks", "/heartbeat", "/chunks", "" };
    struct el_buf body = { 0 }, all = { 0 };

    switch (n->kind) {
    case REGISTER:
        write_card(&body, n);
        break;
    case FULL:
        write_full(&body, n);
        break;
    case BEAT:
        write_beat(&body, n);
        break;
    case DELTA:
        write_delta(&body, n);
        break;
    case LOCATE:
        write_question(&body);
        break;
    case KINDS:
        break;
    }
    el_buf_addf(&all, "%s ", methods[n->kind]);
    if (n->kind == LOCATE)
        el_buf_add_str(&all, EL_STR("/api/v1/chunks/locations"));
    else if (n->kind == REGISTER)
        el_buf_add_str(&all, EL_STR("/api/v1/nodes"));
    else
        el_buf_addf(&all, "/api/v1/nodes/node-%u%s", n->number, ends[n->kind]);
    el_buf_addf(&all,
                " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: "
                "application/json\r\nContent-Length: %zu\r\n\r\n",
                n->kind == REGISTER ? join_token : n->token, body.n);
    el_buf_add_str(&all, el_buf_str(&body));
    el_buf_deinit(&body);
    free(n->out);
    n->out_n = all.n;
    n->out_at = 0;
    n->out = el_buf_take(&all);
}

/* ---- when ---- */

static enum kind next_kind(const struct node *n)
{
    enum kind first = REGISTER;

    for (enum kind k = REGISTER; k < KINDS; k++) {
        if (n->due_ms[k] < n->due_ms[first])
            first = k;
    }
    return first;
}

/* The slot that ends at or behind that time. */
static uint64_t slot_at(uint64_t ms)
{
    return (ms + SLOT_MS - 1) / SLOT_MS;
}

/* Into the slot of what is due next; what is due already is in the one that comes. */
static void put_in_wheel(struct node *n)
{
    uint64_t at = slot_at(n->due_ms[next_kind(n)]);

    if (at <= turned)
        at = turned + 1;
    n->next = wheel[at % SLOTS];
    wheel[at % SLOTS] = n;
}

static void plan_after(struct node *n, enum kind kind, uint64_t ms)
{
    switch (kind) {
    case REGISTER:
        n->due_ms[REGISTER] = UINT64_MAX;
        n->due_ms[FULL] = ms;
        n->due_ms[BEAT] = ms + el_rng_below(&rng, interval_ms);
        n->due_ms[DELTA] = ms + REPORT_MS / 2 + el_rng_below(&rng, REPORT_MS / 2);
        n->due_ms[LOCATE] = ms + el_rng_below(&rng, LOCATE_MS);
        break;
    case FULL:
        n->due_ms[FULL] = UINT64_MAX;
        break;
    case BEAT:
        n->due_ms[BEAT] += interval_ms;
        break;
    case DELTA:
        n->due_ms[DELTA] += REPORT_MS;
        break;
    case LOCATE:
        n->due_ms[LOCATE] += LOCATE_MS;
        break;
    case KINDS:
        break;
    }
}

/* ---- connections ---- */

static void open_connection(struct node *n)
{
    struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = n };
    int one = 1;

    n->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (n->fd < 0)
        die("socket: %s", strerror(errno));
    (void)setsockopt(n->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(n->fd, (struct sockaddr *)&server, sizeof(server)) != 0 && errno != EINPROGRESS)
        die("connect: %s", strerror(errno));
    if (epoll_ctl(ring, EPOLL_CTL_ADD, n->fd, &e) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void close_connection(struct node *n)
{
    (void)close(n->fd);
    n->fd = -1;
    reconnects++;
}

static void send_rest(struct node *n)
{
    while (n->is_waiting && n->out_at < n->out_n) {
        ssize_t sent = send(n->fd, n->out + n->out_at, n->out_n - n->out_at, MSG_NOSIGNAL);

        if (sent <= 0)
            return; /* until it is writable, or gone */
        n->out_at += (size_t)sent;
    }
}

static void ask(struct node *n)
{
    n->kind = next_kind(n);
    n->asked_ms = slot_at(n->due_ms[n->kind]) * SLOT_MS;
    n->in_n = 0;
    n->is_waiting = true;
    write_request(n);
    if (n->fd < 0)
        open_connection(n);
    send_rest(n);
}

/* ---- answers ---- */

/* Its length; 0: how it begins is not there yet. */
static size_t length_of(const struct node *n)
{
    const char *end = strstr(n->in, "\r\n\r\n"), *field = strcasestr(n->in, "\r\ncontent-length:");
    size_t body = field != NULL && field < end ? strtoul(field + 17, NULL, 10) : 0;

    return end == NULL ? 0 : (size_t)(end - n->in) + 4 + body;
}

static void count(struct node *n)
{
    uint64_t took_ns = now_ns() - n->asked_ms * 1000000u;

    answered[n->kind]++;
    refused[n->kind] += strncmp(n->in, "HTTP/1.1 2", 10) != 0;
    latency[n->kind][took_ns / STEP_NS < BUCKETS ? took_ns / STEP_NS : BUCKETS]++;
    if (took_ns > most_ns[n->kind])
        most_ns[n->kind] = took_ns;
}

static void take_token(struct node *n)
{
    const char *at = strstr(n->in, "\"token\":\"");

    if (at == NULL || strlen(at) < 9 + 64)
        die("a registration was answered with:\n%s", n->in);
    memcpy(n->token, at + 9, 64);
}

static void on_answer(struct node *n)
{
    n->is_waiting = false;
    count(n);
    if (n->kind == REGISTER)
        take_token(n);
    plan_after(n, n->kind, now_ns() / 1000000);
    put_in_wheel(n);
}

/* What is longer than the buffer is only counted. */
static void on_readable(struct node *n)
{
    static char drop[65536];
    size_t whole;

    for (;;) {
        bool is_kept = n->in_n < ANSWER_HEAD;
        ssize_t got = is_kept ? recv(n->fd, n->in + n->in_n, ANSWER_HEAD - n->in_n, 0)
                              : recv(n->fd, drop, sizeof(drop), 0);

        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            close_connection(n); /* what waits is given up in its time */
            return;
        }
        if (got < 0)
            return;
        n->in_n += (size_t)got;
        n->in[n->in_n < ANSWER_HEAD ? n->in_n : ANSWER_HEAD] = '\0';
        whole = length_of(n);
        if (whole > 0 && n->in_n >= whole && n->is_waiting)
            on_answer(n);
    }
}

/* ---- time ---- */

static void turn(uint64_t ms)
{
    while ((turned + 1) * SLOT_MS <= ms) {
        struct node *list = wheel[++turned % SLOTS];

        wheel[turned % SLOTS] = NULL;
        while (list != NULL) {
            struct node *n = list;

            list = n->next;
            ask(n);
        }
    }
}

/* A request without an answer: its connection is given up with it, and a new one is made. */
static void give_up_late(uint64_t ms)
{
    for (uint32_t i = 0; i < n_nodes; i++) {
        struct node *n = &nodes[i];

        if (!n->is_waiting || ms < n->asked_ms + GIVE_UP_MS)
            continue;
        unanswered[n->kind]++;
        n->is_waiting = false;
        if (n->fd >= 0)
            close_connection(n);
        if (n->kind == REGISTER)
            n->due_ms[REGISTER] = ms;
        else
            plan_after(n, n->kind, ms);
        put_in_wheel(n);
    }
}

static uint64_t resident_kb(int pid)
{
    char path[64], line[256];
    unsigned long long kb = 0;
    FILE *f;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "VmRSS: %llu kB", &kb) == 1)
            break;
    }
    if (f == NULL || kb == 0)
        die("%s: the control plane is gone", path);
    (void)fclose(f);
    return kb;
}

static double cpu_s(int pid)
{
    char path[64], line[1024], *at;
    unsigned long user = 0, system = 0;
    FILE *f;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    f = fopen(path, "re");
    if (f == NULL || fgets(line, sizeof(line), f) == NULL || (at = strrchr(line, ')')) == NULL ||
        sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        die("%s cannot be read", path);
    (void)fclose(f);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* ---- all of it ---- */

static void prepare(uint64_t ms)
{
    nodes = calloc(n_nodes, sizeof(*nodes));
    ring = epoll_create1(EPOLL_CLOEXEC);
    if (nodes == NULL || ring < 0)
        die("no memory or no epoll");
    turned = ms / SLOT_MS;
    for (uint32_t i = 0; i < n_nodes; i++) {
        struct node *n = &nodes[i];

        *n = (struct node){ .number = i, .fd = -1 };
        for (enum kind k = REGISTER; k < KINDS; k++)
            n->due_ms[k] = UINT64_MAX;
        n->due_ms[REGISTER] = ms + 100 + el_rng_below(&rng, interval_ms);
        put_in_wheel(n);
    }
}

static void on_event(const struct epoll_event *e)
{
    struct node *n = e->data.ptr;

    if (n->fd >= 0 && (e->events & EPOLLOUT) != 0)
        send_rest(n);
    if (n->fd >= 0 && (e->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        on_readable(n);
}

static size_t run(uint64_t seconds, int pid, uint64_t kb[MINUTES_MAX])
{
    uint64_t began_ms = now_ns() / 1000000, ms = began_ms, looked_ms = began_ms;
    struct epoll_event events[256];
    size_t minutes = 0;

    prepare(began_ms);
    for (; ms < began_ms + seconds * 1000; ms = now_ns() / 1000000) {
        uint64_t next_ms = (turned + 1) * SLOT_MS;
        int n = epoll_wait(ring, events, 256, next_ms > ms ? (int)(next_ms - ms) : 0);

        for (int i = 0; i < n; i++)
            on_event(&events[i]);
        turn(now_ns() / 1000000);
        if (ms - looked_ms >= 1000) {
            give_up_late(ms);
            looked_ms = ms;
        }
        if (minutes < MINUTES_MAX && ms - began_ms >= (minutes + 1) * 60000)
            kb[minutes++] = resident_kb(pid);
    }
    return minutes;
}

static double percentile_ms(enum kind k, double part)
{
    uint64_t total = 0, at = 0;

    for (size_t i = 0; i <= BUCKETS; i++)
        total += latency[k][i];
    for (size_t i = 0; i <= BUCKETS; i++) {
        at += latency[k][i];
        if (total > 0 && (double)at >= part * (double)total)
            return (double)(i + 1) * STEP_NS / 1e6;
    }
    return 0;
}

static void print_kind(enum kind k)
{
    (void)printf("%s\"%s\":{\"answered\":%" PRIu64 ",\"unanswered\":%" PRIu64
                 ",\"refused\":%" PRIu64 ",\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f}",
                 k == REGISTER ? "" : ",", kind_names[k], answered[k], unanswered[k], refused[k],
                 percentile_ms(k, 0.5), percentile_ms(k, 0.99), (double)most_ns[k] / 1e6);
}

static void raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    static uint64_t kb[MINUTES_MAX];
    double cpu;
    uint64_t seconds;
    size_t minutes;
    int pid;

    if (argc != 7)
        die("usage: elio_fleet PORT NODES SECONDS INTERVAL_MS PID TOKEN");
    server.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    n_nodes = (uint32_t)strtoul(argv[2], NULL, 10);
    seconds = strtoul(argv[3], NULL, 10);
    interval_ms = strtoul(argv[4], NULL, 10);
    pid = (int)strtol(argv[5], NULL, 10);
    join_token = argv[6];
    if (n_nodes == 0 || interval_ms == 0 || interval_ms > SLOTS * SLOT_MS / 2)
        die("at least one node, and a pause of at most %u ms", SLOTS * SLOT_MS / 2);
    raise_limit();
    el_rng_seed(&rng, 11);
    cpu = cpu_s(pid);
    minutes = run(seconds, pid, kb);
    (void)printf("{\"nodes\":%u,\"seconds\":%" PRIu64 ",\"reconnects\":%" PRIu64
                 ",\"cpu_s\":%.2f,\"rss_kb\":[",
                 n_nodes, seconds, reconnects, cpu_s(pid) - cpu);
    for (size_t i = 0; i < minutes; i++)
        (void)printf("%s%" PRIu64, i == 0 ? "" : ",", kb[i]);
    (void)printf("],\"kinds\":{");
    for (enum kind k = REGISTER; k < KINDS; k++)
        print_kind(k);
    (void)printf("}}\n");
    return 0;
}
