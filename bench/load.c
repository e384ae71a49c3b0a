/* SPDX-License-Identifier: MIT */
/*
 * load: the load generator of bench/run. One thread, one epoll loop and a fixed number of
 * keep-alive connections, each of which asks again as soon as its answer is complete (a closed
 * loop). Prints one JSON object.
 *
 * Bodies are dropped inside the kernel (MSG_TRUNC), so the figures are the server's and not those
 * of this program's memory. What an answer has to look like (status, length) is checked for each
 * one; the bytes themselves are checked by bench/run before it measures.
 *
 * A run ends at its deadline, which cuts answers off where they are, or with its last request.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
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

#define HEAD_MAX        4096
#define REQUEST_MAX     1024
#define CONNECTIONS_MAX 10000
#define READ_SIZE       (256 * 1024)
#define NS              UINT64_C(1000000000)
#define STALL_NS        (60 * NS) /* a server silent for this long has failed */
#define ERRORS_MAX      100       /* a run with more of them measures nothing */

struct plan {
    struct sockaddr_in server;
    const char *target; /* "{}" in it becomes the number of the object */
    const char *host;   /* the Host field */
    char **fields;      /* of each object, more of them: "Name: value\r\n..."; NULL: none */
    uint64_t n_fields;
    unsigned connections;
    uint64_t duration_ns; /* 0: until `requests` are answered */
    uint64_t requests;    /* 0: until the time is up */
    uint64_t objects;     /* numbers cycle through first .. first + objects - 1 */
    uint64_t first;
    uint64_t length;      /* of each answer's body */
    uint64_t object_size; /* not 0: ask for ranges of `length`, one after the other */
    bool reads;           /* bodies are copied out instead of dropped in the kernel */
};

struct conn {
    int fd;       /* -1: not connected */
    bool waiting; /* for an answer or the rest of one */
    bool in_body;
    bool closes; /* the server said so */
    size_t head_n;
    uint64_t body_left;
    uint64_t asked_ns;
    uint64_t first_ns; /* first byte of the body; 0: none yet */
    uint64_t heard_ns;
    char head[HEAD_MAX + 1];
};

struct samples {
    uint64_t *ns;
    size_t n, capacity;
};

struct run {
    struct plan plan;
    int epoll;
    struct conn *conns;
    unsigned waiting; /* connections with a request on its way */
    uint64_t asked, answered, errors, bytes;
    uint64_t started_ns, ended_ns;
    struct samples total, first;
};

static void add_sample(struct samples *s, uint64_t ns)
{
    if (s->n == s->capacity) {
        s->capacity = s->capacity == 0 ? 4096 : 2 * s->capacity;
        s->ns = realloc(s->ns, s->capacity * sizeof(*s->ns));
        if (s->ns == NULL)
            die("out of memory");
    }
    s->ns[s->n++] = ns;
}

static int compare_ns(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Nearest rank, of sorted samples. */
static double percentile_us(const struct samples *s, unsigned percent)
{
    size_t rank = (s->n * percent + 99) / 100;

    return s->n == 0 ? 0 : (double)s->ns[rank == 0 ? 0 : rank - 1] / 1e3;
}

/* ---- asking ---- */

static void connect_to_server(struct run *r, struct conn *c)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket: %s", strerror(errno));
    if (connect(c->fd, (const struct sockaddr *)&r->plan.server, sizeof(r->plan.server)) != 0)
        die("connect: %s", strerror(errno));
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* only affects timing */
    if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void disconnect(struct conn *c)
{
    if (c->fd >= 0)
        close(c->fd); /* leaves the epoll set by itself */
    c->fd = -1;
}

static size_t write_request(const struct plan *p, uint64_t number, char *out)
{
    const char *hole = strstr(p->target, "{}");
    int prefix = hole == NULL ? (int)strlen(p->target) : (int)(hole - p->target);
    char object[24] = "", range[80] = "";
    int n;

    if (hole != NULL)
        snprintf(object, sizeof(object), "%" PRIu64, p->first + number % p->objects);
    if (p->object_size != 0) {
        uint64_t offset = number % (p->object_size / p->length) * p->length;

        snprintf(range, sizeof(range), "Range: bytes=%" PRIu64 "-%" PRIu64 "\r\n", offset,
                 offset + p->length - 1);
    }
    n = snprintf(out, REQUEST_MAX, "GET %.*s%s%s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n", prefix,
                 p->target, object, hole == NULL ? "" : hole + 2, p->host, range,
                 p->fields == NULL ? "" : p->fields[number % p->objects]);
    if (n < 0 || n >= REQUEST_MAX)
        die("the request is too long");
    return (size_t)n;
}

static bool is_over(const struct run *r, uint64_t now)
{
    const struct plan *p = &r->plan;

    return (p->requests != 0 && r->asked == p->requests) ||
           (p->duration_ns != 0 && now - r->started_ns >= p->duration_ns);
}

static void fail_request(struct run *r, struct conn *c, const char *why);

/* The next request of this connection, unless the run is over. */
static void ask(struct run *r, struct conn *c, uint64_t now)
{
    char out[REQUEST_MAX];
    size_t n;

    if (is_over(r, now))
        return;
    n = write_request(&r->plan, r->asked++, out);
    c->waiting = true;
    c->in_body = false;
    c->head_n = 0;
    c->first_ns = 0;
    c->asked_ns = c->heard_ns = now;
    r->waiting++;
    if (c->fd < 0)
        connect_to_server(r, c);
    /* An idle connection's send buffer always has room for a request. */
    if (send(c->fd, out, n, MSG_NOSIGNAL) != (ssize_t)n)
        fail_request(r, c, "the request could not be sent");
}

/* ---- hearing ---- */

/* The connection is in an unknown state after this and is made anew for the next request. */
static void fail_request(struct run *r, struct conn *c, const char *why)
{
    if (r->errors++ == 0)
        fprintf(stderr, "elio_load: %s\n%.*s\n", why, (int)c->head_n, c->head);
    if (r->errors > ERRORS_MAX)
        die("too many errors");
    c->waiting = false;
    r->waiting--;
    disconnect(c);
}

static void complete(struct run *r, struct conn *c, uint64_t now)
{
    r->answered++;
    add_sample(&r->total, now - c->asked_ns);
    add_sample(&r->first, (c->first_ns == 0 ? now : c->first_ns) - c->asked_ns);
    c->waiting = false;
    r->waiting--;
    if (c->closes)
        disconnect(c);
}

static void take_body(struct run *r, struct conn *c, uint64_t n, uint64_t now)
{
    if (n > c->body_left) {
        fail_request(r, c, "more body than announced");
        return;
    }
    if (c->first_ns == 0 && n > 0)
        c->first_ns = now;
    r->bytes += n;
    c->body_left -= n;
    if (c->body_left == 0)
        complete(r, c, now);
}

/* NULL when the head is one this run asks for. Only what servers under test send: not a parser. */
static const char *check_head(const struct plan *p, struct conn *c)
{
    const char *status = p->object_size != 0 ? " 206" : " 200";
    const char *length = strcasestr(c->head, "\r\nContent-Length:");
    char *end;

    if (strncmp(c->head, "HTTP/1.1", 8) != 0 || strncmp(c->head + 8, status, 4) != 0)
        return "unexpected status";
    if (length == NULL)
        return "no Content-Length";
    c->body_left = strtoull(length + strlen("\r\nContent-Length:"), &end, 10);
    if (*end != '\r' || c->body_left != p->length)
        return "unexpected Content-Length";
    c->closes = strcasestr(c->head, "\r\nConnection: close") != NULL;
    return NULL;
}

static void take_head(struct run *r, struct conn *c, uint64_t now)
{
    const char *end, *why;
    size_t beyond;

    c->head[c->head_n] = '\0';
    end = strstr(c->head, "\r\n\r\n");
    if (end == NULL) {
        if (c->head_n == HEAD_MAX)
            fail_request(r, c, "the head is too long");
        return;
    }
    end += 4;
    beyond = c->head_n - (size_t)(end - c->head);
    c->head[end - c->head - 2] = '\0'; /* the body is no text to search in */
    why = check_head(&r->plan, c);
    if (why != NULL) {
        fail_request(r, c, why);
        return;
    }
    c->in_body = true;
    take_body(r, c, beyond, now);
}

static ssize_t receive(const struct plan *p, struct conn *c)
{
    static char buf[READ_SIZE];

    if (!c->in_body)
        return recv(c->fd, c->head + c->head_n, HEAD_MAX - c->head_n, MSG_DONTWAIT);
    if (p->reads)
        return recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
    return recv(c->fd, NULL, c->body_left, MSG_TRUNC | MSG_DONTWAIT);
}

static void on_readable(struct run *r, struct conn *c)
{
    ssize_t n = receive(&r->plan, c);
    uint64_t now = now_ns();

    if (n < 0 && errno == EAGAIN)
        return;
    c->heard_ns = now;
    if (!c->waiting) {
        disconnect(c); /* an idle connection that the server closed */
        return;
    }
    if (n <= 0) {
        fail_request(r, c, n == 0 ? "the server closed in mid-answer" : strerror(errno));
    } else if (c->in_body) {
        take_body(r, c, (uint64_t)n, now);
    } else {
        c->head_n += (size_t)n;
        take_head(r, c, now);
    }
    if (!c->waiting)
        ask(r, c, now);
}

/* ---- the run ---- */

static void check_stalls(const struct run *r, uint64_t now)
{
    for (unsigned i = 0; i < r->plan.connections; i++)
        if (r->conns[i].waiting && now - r->conns[i].heard_ns > STALL_NS)
            die("no byte for %" PRIu64 " seconds", STALL_NS / NS);
}

/* Milliseconds for epoll_wait: to the deadline, rounded up, at most one second. */
static int wait_ms(const struct run *r, uint64_t now)
{
    uint64_t used = now - r->started_ns, left = NS;

    if (r->plan.duration_ns != 0)
        left = used >= r->plan.duration_ns ? 0 : r->plan.duration_ns - used;
    return left >= NS ? 1000 : (int)((left + 999999) / 1000000);
}

static void run_load(struct run *r)
{
    struct epoll_event events[128];
    uint64_t now, checked_ns;

    for (unsigned i = 0; i < r->plan.connections; i++)
        connect_to_server(r, &r->conns[i]);
    now = checked_ns = r->started_ns = now_ns();
    for (unsigned i = 0; i < r->plan.connections; i++)
        ask(r, &r->conns[i], now);
    while (r->waiting > 0 && (r->plan.duration_ns == 0 || !is_over(r, now))) {
        int n = epoll_wait(r->epoll, events, 128, wait_ms(r, now));

        if (n < 0 && errno != EINTR)
            die("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < n; i++)
            on_readable(r, events[i].data.ptr);
        now = now_ns();
        if (now - checked_ns > NS) {
            check_stalls(r, now);
            checked_ns = now;
        }
    }
    r->ended_ns = now_ns();
}

static double own_cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void print_samples(const char *name, struct samples *s)
{
    qsort(s->ns, s->n, sizeof(*s->ns), compare_ns);
    printf(", \"%s_us\": {\"p50\": %.1f, \"p99\": %.1f, \"max\": %.1f}", name, percentile_us(s, 50),
           percentile_us(s, 99), percentile_us(s, 100));
}

static void print_results(struct run *r)
{
    printf("{\"requests\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"bytes\": %" PRIu64, r->answered,
           r->errors, r->bytes);
    printf(", \"seconds\": %.6f, \"cpu_seconds\": %.3f",
           (double)(r->ended_ns - r->started_ns) / 1e9, own_cpu_seconds());
    print_samples("latency", &r->total);
    print_samples("first_byte", &r->first);
    printf("}\n");
}

/* ---- the command line ---- */

static const char usage[] =
    "usage: elio_load -a ADDRESS:PORT -u TARGET -l LENGTH [-H HOST] [-c CONNECTIONS]\n"
    "                 [-t SECONDS] [-n REQUESTS] [-k OBJECTS] [-f FIRST] [-s OBJECT_SIZE] [-R]\n"
    "                 [-F FILE]\n"
    "{} in TARGET becomes FIRST, FIRST + 1, ... of OBJECTS numbers, over and over.\n"
    "With -s, consecutive ranges of LENGTH bytes are asked for. -R reads bodies.\n"
    "FILE has a line for each object, with fields of its request: Name: value<TAB>...";

/* A line for each object: "Name: value" and again, with tabs between them. */
static void read_fields(struct plan *p, const char *path)
{
    FILE *f = fopen(path, "re");
    char line[REQUEST_MAX];

    if (f == NULL)
        die("%s: %s", path, strerror(errno));
    while (fgets(line, sizeof(line), f) != NULL) {
        char *fields = calloc(2, sizeof(line)), *at = fields, *rest = line, *field;

        p->fields = realloc(p->fields, (p->n_fields + 1) * sizeof(*p->fields));
        if (fields == NULL || p->fields == NULL)
            die("out of memory");
        p->fields[p->n_fields++] = fields;
        while ((field = strsep(&rest, "\t\n")) != NULL && *field != '\0')
            at += snprintf(at, (size_t)(fields + 2 * sizeof(line) - at), "%s\r\n", field);
    }
    fclose(f);
}

static uint64_t number(const char *s, uint64_t max)
{
    char *end;
    uint64_t value;

    errno = 0;
    value = strtoull(s, &end, 10);
    if (errno != 0 || end == s || *end != '\0' || *s == '-' || value > max)
        die("not a number up to %" PRIu64 ": %s", max, s);
    return value;
}

static void parse_address(const char *s, struct sockaddr_in *ret)
{
    const char *colon = strrchr(s, ':');
    char ip[INET_ADDRSTRLEN];

    if (colon == NULL || (size_t)(colon - s) >= sizeof(ip))
        die("not ADDRESS:PORT: %s", s);
    memcpy(ip, s, (size_t)(colon - s));
    ip[colon - s] = '\0';
    ret->sin_family = AF_INET;
    ret->sin_port = htons((uint16_t)number(colon + 1, UINT16_MAX));
    if (inet_pton(AF_INET, ip, &ret->sin_addr) != 1)
        die("not an IPv4 address: %s", ip);
}

static void parse_option(struct plan *p, int option, const char *value)
{
    switch (option) {
    case 'a':
        parse_address(value, &p->server);
        break;
    case 'u':
        p->target = value;
        break;
    case 'H':
        p->host = value;
        break;
    case 'c':
        p->connections = (unsigned)number(value, CONNECTIONS_MAX);
        break;
    case 't':
        p->duration_ns = number(value, 86400) * NS;
        break;
    case 'n':
        p->requests = number(value, UINT64_MAX);
        break;
    case 'k':
        p->objects = number(value, UINT64_MAX);
        break;
    case 'f':
        p->first = number(value, UINT64_MAX);
        break;
    case 'l':
        p->length = number(value, INT64_MAX);
        break;
    case 's':
        p->object_size = number(value, INT64_MAX);
        break;
    case 'F':
        read_fields(p, value);
        break;
    case 'R':
        p->reads = true;
        break;
    default:
        die("%s", usage);
    }
}

static void parse_plan(int argc, char **argv, struct plan *p)
{
    int option;

    *p = (struct plan){ .host = "localhost", .connections = 1, .objects = 1 };
    while ((option = getopt(argc, argv, "a:u:H:c:t:n:k:f:l:s:F:R")) != -1)
        parse_option(p, option, optarg);
    if (optind != argc || p->target == NULL || p->server.sin_port == 0 || p->length == 0 ||
        p->connections == 0 || p->objects == 0 || (p->duration_ns == 0 && p->requests == 0))
        die("%s", usage);
    if (p->fields != NULL && (p->n_fields < p->objects || p->first != 0))
        die("the file of fields has not a line for each object");
    if (p->object_size != 0 && p->object_size < p->length)
        die("the object is shorter than its ranges");
}

int main(int argc, char **argv)
{
    struct run r = { 0 };

    parse_plan(argc, argv, &r.plan);
    r.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (r.epoll < 0)
        die("epoll_create1: %s", strerror(errno));
    r.conns = calloc(r.plan.connections, sizeof(*r.conns));
    if (r.conns == NULL)
        die("out of memory");
    run_load(&r);
    print_results(&r);

    for (unsigned i = 0; i < r.plan.connections; i++)
        disconnect(&r.conns[i]);
    close(r.epoll);
    free(r.conns);
    free(r.total.ns);
    free(r.first.ns);
    return r.errors == 0 ? 0 : 1;
}
