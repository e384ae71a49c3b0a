/* SPDX-License-Identifier: MIT */
/*
 * ask: small questions and their answers, over HTTP/1.1 or over Redis' protocol. One thread, one
 * epoll loop and a fixed number of connections, each of which asks the next question as soon as its
 * answer is complete (a closed loop). Prints one JSON object. Linked with nothing of ours.
 *
 *   ask http|redis PORT CONNECTIONS SECONDS QUESTIONS
 *
 * QUESTIONS is a file of records "<bytes> <replies> <class>\n" and so many bytes: what is sent as
 * one write, how many replies complete it, and which of ten latencies it counts for. Connection i
 * begins at a place of its own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/yard.h"

#define NS       UINT64_C(1000000000)
#define BUFFER   (UINT64_C(16) << 20) /* the longest answer */
#define CLASSES  10
#define BUCKETS  100000 /* of 10 us */
#define STEP_NS  10000
#define STALL_MS 30000

struct question {
    const char *bytes;
    size_t n;
    unsigned replies, class;
};

struct conn {
    int fd;
    size_t next;    /* question that is asked next */
    size_t current; /* the one that waits */
    size_t sent;
    unsigned left; /* replies still to come */
    uint64_t asked_ns;
    char *in;
    size_t in_n;
};

static struct question *questions;
static size_t n_questions;
static bool is_http;
static struct conn *conns;
static unsigned n_conns;
static uint32_t latency[CLASSES][BUCKETS + 1];
static uint64_t answered[CLASSES], failed;

/* ---- questions ---- */

static char *read_file(const char *path, size_t *ret_n)
{
    FILE *f = fopen(path, "rb");
    char *bytes;
    long n;

    if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (n = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0)
        die("%s: %s", path, strerror(errno));
    bytes = malloc((size_t)n + 1);
    if (bytes == NULL || fread(bytes, 1, (size_t)n, f) != (size_t)n)
        die("%s cannot be read", path);
    bytes[n] = '\0';
    (void)fclose(f);
    *ret_n = (size_t)n;
    return bytes;
}

static void read_questions(const char *path)
{
    size_t n, at = 0, cap = 0;
    char *bytes = read_file(path, &n);

    while (at < n) {
        struct question q = { 0 };
        int head = 0;

        if (sscanf(bytes + at, "%zu %u %u%n", &q.n, &q.replies, &q.class, &head) != 3 ||
            bytes[at + (size_t)head] != '\n' || q.class >= CLASSES || q.replies == 0)
            die("%s: no record at byte %zu", path, at);
        at += (size_t)head + 1;
        q.bytes = bytes + at;
        if (q.n > n - at)
            die("%s is cut short", path);
        at += q.n;
        if (n_questions == cap) {
            cap = cap == 0 ? 1024 : 2 * cap;
            questions = realloc(questions, cap * sizeof(*questions));
            if (questions == NULL)
                die("out of memory");
        }
        questions[n_questions++] = q;
    }
    if (n_questions == 0)
        die("%s has no questions", path);
}

/* ---- answers: the length of the first reply in the bytes, 0: not complete yet ---- */

static size_t http_reply(const char *p, size_t n, bool *ret_good)
{
    const char *end = memmem(p, n, "\r\n\r\n", 4), *field;
    size_t head, body = 0;

    if (end == NULL)
        return 0;
    head = (size_t)(end - p) + 4;
    for (field = p; field < end; field = strchr(field, '\n') + 1) {
        if (strncasecmp(field, "content-length:", 15) == 0)
            body = strtoul(field + 15, NULL, 10);
    }
    *ret_good = n > 9 && p[9] == '2';
    return n - head >= body ? head + body : 0;
}

static size_t redis_reply(const char *p, size_t n, bool *ret_good)
{
    const char *line = memchr(p, '\n', n);
    size_t at;
    long count;

    if (line == NULL)
        return 0;
    at = (size_t)(line - p) + 1;
    count = strtol(p + 1, NULL, 10);
    if (p[0] == '-')
        *ret_good = false;
    if (p[0] == '$')
        return count < 0 ? at : n - at >= (size_t)count + 2 ? at + (size_t)count + 2 : 0;
    for (long i = 0; p[0] == '*' && i < count; i++) {
        size_t one = redis_reply(p + at, n - at, ret_good);

        if (one == 0)
            return 0;
        at += one;
    }
    return at;
}

/* ---- connections ---- */

static void ask(struct conn *c)
{
    const struct question *q = &questions[c->next];
    ssize_t sent;

    c->current = c->next;
    c->next = (c->next + 1) % n_questions;
    c->left = q->replies;
    c->sent = 0;
    c->asked_ns = now_ns();
    while (c->sent < q->n) {
        sent = send(c->fd, q->bytes + c->sent, q->n - c->sent, MSG_NOSIGNAL);
        if (sent <= 0)
            die("send: %s", strerror(errno));
        c->sent += (size_t)sent;
    }
}

static void count(struct conn *c)
{
    unsigned class = questions[c->current].class;
    uint64_t bucket = (now_ns() - c->asked_ns) / STEP_NS;

    latency[class][bucket < BUCKETS ? bucket : BUCKETS]++;
    answered[class]++;
}

/* True: the question is answered. */
static bool take_replies(struct conn *c)
{
    size_t at = 0;

    while (c->left > 0) {
        bool is_good = true;
        size_t n = is_http ? http_reply(c->in + at, c->in_n - at, &is_good)
                           : redis_reply(c->in + at, c->in_n - at, &is_good);

        if (n == 0)
            break;
        failed += !is_good;
        at += n;
        c->left--;
    }
    memmove(c->in, c->in + at, c->in_n - at);
    c->in_n -= at;
    return c->left == 0;
}

static void on_readable(struct conn *c)
{
    ssize_t got = recv(c->fd, c->in + c->in_n, BUFFER - c->in_n - 1, MSG_DONTWAIT);

    if (got == 0 || (got < 0 && errno != EAGAIN))
        die("the connection was closed: %s", got == 0 ? "end of stream" : strerror(errno));
    if (got < 0)
        return;
    c->in_n += (size_t)got;
    c->in[c->in_n] = '\0';
    if (c->in_n + 1 >= BUFFER)
        die("an answer is too long");
    if (!take_replies(c))
        return;
    count(c);
    ask(c);
}

static void open_conn(struct conn *c, unsigned i, uint16_t port, int epoll)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
    int on = 1;

    *c = (struct conn){ .fd = socket(AF_INET, SOCK_STREAM, 0), .in = malloc(BUFFER) };
    if (c->fd < 0 || c->in == NULL || connect(c->fd, (struct sockaddr *)&a, sizeof(a)) != 0)
        die("connect: %s", strerror(errno));
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) != 0)
        die("epoll_ctl: %s", strerror(errno));
    c->next = (size_t)((uint64_t)i * n_questions / n_conns);
}

/* ---- the result ---- */

static double quantile_us(unsigned class, double share)
{
    uint64_t all = answered[class], sum = 0;

    for (size_t i = 0; i <= BUCKETS; i++) {
        sum += latency[class][i];
        if (sum > 0 && (double)sum >= share * (double)all)
            return (double)(i + 1) * STEP_NS / 1e3;
    }
    return 0;
}

static void print(double seconds)
{
    struct rusage usage;
    uint64_t all = 0;
    const char *before = "";

    (void)getrusage(RUSAGE_SELF, &usage);
    for (unsigned i = 0; i < CLASSES; i++)
        all += answered[i];
    (void)printf("{\"requests\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"seconds\": %.6f, "
                 "\"cpu_seconds\": %.3f, \"classes\": {",
                 all, failed, seconds,
                 (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
                     (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6);
    for (unsigned i = 0; i < CLASSES; i++) {
        if (answered[i] == 0)
            continue;
        (void)printf("%s\"%u\": {\"requests\": %" PRIu64
                     ", \"p50_us\": %.0f, \"p99_us\": %.0f, \"p999_us\": %.0f}",
                     before, i, answered[i], quantile_us(i, 0.5), quantile_us(i, 0.99),
                     quantile_us(i, 0.999));
        before = ", ";
    }
    (void)printf("}}\n");
}

static void run(int epoll, uint64_t duration_ns)
{
    uint64_t began_ns = now_ns();
    struct epoll_event events[256];

    for (unsigned i = 0; i < n_conns; i++)
        ask(&conns[i]);
    while (now_ns() - began_ns < duration_ns) {
        int n = epoll_wait(epoll, events, 256, STALL_MS);

        if (n <= 0)
            die("no answer for %d s", STALL_MS / 1000);
        for (int i = 0; i < n; i++)
            on_readable(events[i].data.ptr);
    }
    print((double)(now_ns() - began_ns) / 1e9);
}

int main(int argc, char **argv)
{
    int epoll = epoll_create1(0);

    if (argc != 6 || epoll < 0)
        die("usage: ask http|redis PORT CONNECTIONS SECONDS QUESTIONS");
    is_http = strcmp(argv[1], "http") == 0;
    n_conns = (unsigned)strtoul(argv[3], NULL, 10);
    read_questions(argv[5]);
    conns = calloc(n_conns, sizeof(*conns));
    if (n_conns == 0 || conns == NULL)
        die("no connections");
    for (unsigned i = 0; i < n_conns; i++)
        open_conn(&conns[i], i, (uint16_t)strtoul(argv[2], NULL, 10), epoll);
    run(epoll, (uint64_t)(strtod(argv[4], NULL) * 1e9));
    return 0;
}
