/* SPDX-License-Identifier: MIT */
/*
 * receive: what it costs to get bytes out of several sockets into the memory where they belong,
 * with no protocol around it: the floor of bench/links.c, and why its loop is what it is. One
 * thread receives, several of another process send blocks out of a file. Prints one JSON object.
 *
 *   epoll      edge-triggered, then recv() to where they belong
 *   uring      one receive on its way for each socket, to where they belong
 *   multishot  receives that renew themselves, into buffers that are provided, and a copy
 *
 * With -h the bytes are hashed where they were received.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <liburing.h>

#include "common/sha256.h"

#define SENDERS  5
#define BLOCK    ((size_t)EL_MIB)
#define SENT     64u          /* blocks of the file */
#define SLOTS    128u         /* where they are received: more than the processor's caches hold */
#define NOT_SENT (128 * 1024) /* as in p2p/link_state.c */
#define WARM_NS  500000000u
#define RUN_NS   2000000000u

#define PROVIDED       64u /* buffers of a multishot receive */
#define PROVIDED_BYTES 65536u

struct stream {
    int fd;
    char *block; /* that is being received */
    size_t have;
    struct el_sha256 *hash;
};

static struct stream streams[SENDERS];
static char *slots;
static unsigned next_slot;
static bool hashes;
static uint64_t received, calls;

static uint64_t now_ns(clockid_t clock)
{
    struct timespec ts;

    EL_ASSERT(clock_gettime(clock, &ts) == 0);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- senders ---- */

static void *send_blocks(void *arg)
{
    int to = *(int *)arg, file = memfd_create("blocks", MFD_CLOEXEC);

    EL_ASSERT(file >= 0 && ftruncate(file, (off_t)(SENT * BLOCK)) == 0);
    for (size_t i = 0;; i = (i + 1) % SENT) {
        off_t at = (off_t)(i * BLOCK), end = at + (off_t)BLOCK;

        while (at < end) {
            if (sendfile(to, file, &at, (size_t)(end - at)) <= 0)
                exit(0);
        }
    }
    return NULL;
}

static _Noreturn void run_senders(const struct sockaddr_in *addr)
{
    static int fds[SENDERS];
    int not_sent = NOT_SENT;

    EL_ASSERT(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    for (unsigned i = 0; i < SENDERS; i++) {
        pthread_t thread;

        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        EL_ASSERT(connect(fds[i], (const struct sockaddr *)addr, sizeof(*addr)) == 0);
        EL_ASSERT(setsockopt(fds[i], IPPROTO_TCP, TCP_NOTSENT_LOWAT, &not_sent, sizeof(not_sent)) ==
                  0);
        EL_ASSERT(pthread_create(&thread, NULL, send_blocks, &fds[i]) == 0);
    }
    for (;;)
        (void)pause();
}

/* ---- what has come ---- */

static void *place(struct stream *s, size_t *ret_n)
{
    *ret_n = BLOCK - s->have;
    return s->block + s->have;
}

static void begin_block(struct stream *s)
{
    s->block = slots + next_slot++ % SLOTS * BLOCK;
    s->have = 0;
}

static void arrived(struct stream *s, size_t n)
{
    struct el_digest digest;

    if (hashes)
        el_sha256_update(s->hash, s->block + s->have, n);
    received += n;
    s->have += n;
    if (s->have < BLOCK)
        return;
    if (hashes)
        el_sha256_final(s->hash, &digest);
    begin_block(s);
}

/* ---- epoll ---- */

static void drain(struct stream *s)
{
    ssize_t n;
    size_t room;

    do {
        void *p = place(s, &room);

        n = recv(s->fd, p, room, MSG_DONTWAIT);
        calls++;
        EL_ASSERT(n > 0 || (n < 0 && errno == EAGAIN));
        if (n > 0)
            arrived(s, (size_t)n);
    } while (n > 0 && (size_t)n == room);
}

static void epoll_turn(int epoll)
{
    struct epoll_event e[SENDERS];
    int n = epoll_wait(epoll, e, SENDERS, 100);

    calls++;
    for (int i = 0; i < n; i++)
        drain(e[i].data.ptr);
}

static int open_epoll(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    for (unsigned i = 0; i < SENDERS; i++) {
        struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.ptr = &streams[i] };

        EL_ASSERT(epoll_ctl(epoll, EPOLL_CTL_ADD, streams[i].fd, &e) == 0);
    }
    return epoll;
}

/* ---- io_uring ---- */

struct rings {
    struct io_uring uring;
    bool is_multishot;
    struct io_uring_buf_ring *free;
    char *buffers;
};

static void ask(struct rings *r, struct stream *s)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);
    size_t room;
    void *p = place(s, &room);

    EL_ASSERT(sqe != NULL);
    if (r->is_multishot) {
        io_uring_prep_recv_multishot(sqe, s->fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = 0;
    } else {
        io_uring_prep_recv(sqe, s->fd, p, room, 0);
    }
    io_uring_sqe_set_data(sqe, s);
}

static void give_buffer(struct rings *r, unsigned id)
{
    io_uring_buf_ring_add(r->free, r->buffers + (size_t)id * PROVIDED_BYTES, PROVIDED_BYTES,
                          (unsigned short)id, io_uring_buf_ring_mask(PROVIDED), 0);
    io_uring_buf_ring_advance(r->free, 1);
}

static void provide(struct rings *r)
{
    size_t bytes = PROVIDED * sizeof(struct io_uring_buf);
    struct io_uring_buf_reg reg = { .ring_entries = PROVIDED };

    r->free = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EL_ASSERT(r->free != MAP_FAILED);
    reg.ring_addr = (uintptr_t)r->free;
    EL_ASSERT(io_uring_register_buf_ring(&r->uring, &reg, 0) == 0);
    io_uring_buf_ring_init(r->free);
    r->buffers = el_alloc((size_t)PROVIDED * PROVIDED_BYTES);
    for (unsigned i = 0; i < PROVIDED; i++)
        give_buffer(r, i);
}

static void open_uring(struct rings *r, bool is_multishot)
{
    struct io_uring_params p = { .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN };

    r->is_multishot = is_multishot;
    EL_ASSERT(io_uring_queue_init_params(256, &r->uring, &p) == 0);
    if (is_multishot)
        provide(r);
    for (unsigned i = 0; i < SENDERS; i++)
        ask(r, &streams[i]);
}

static void take_copies(struct stream *s, const char *from, size_t n)
{
    while (n > 0) {
        size_t room;
        void *p = place(s, &room);

        room = el_min_size(room, n);
        memcpy(p, from, room);
        arrived(s, room);
        from += room;
        n -= room;
    }
}

static void on_completion(struct rings *r, struct stream *s, int n, unsigned flags)
{
    unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;

    EL_ASSERT(n > 0 || n == -ENOBUFS);
    if (n > 0 && r->is_multishot) {
        take_copies(s, r->buffers + (size_t)id * PROVIDED_BYTES, (size_t)n);
        give_buffer(r, id);
    } else if (n > 0) {
        arrived(s, (size_t)n);
    }
    if ((flags & IORING_CQE_F_MORE) == 0)
        ask(r, s);
}

static void uring_turn(struct rings *r)
{
    struct io_uring_cqe *cqe;
    int rc = io_uring_submit_and_wait(&r->uring, 1);

    EL_ASSERT(rc >= 0 || rc == -EINTR);
    calls++;
    while (io_uring_peek_cqe(&r->uring, &cqe) == 0) {
        struct stream *s = io_uring_cqe_get_data(cqe);
        int n = cqe->res;
        unsigned flags = cqe->flags;

        io_uring_cqe_seen(&r->uring, cqe);
        on_completion(r, s, n, flags);
    }
}

/* ---- the run ---- */

static void open_streams(int listener)
{
    slots = mmap(NULL, SLOTS * BLOCK, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    EL_ASSERT(slots != MAP_FAILED);
    for (unsigned i = 0; i < SENDERS; i++) {
        streams[i].fd = accept(listener, NULL, NULL);
        EL_ASSERT(streams[i].fd >= 0);
        streams[i].hash = el_sha256_new();
        begin_block(&streams[i]);
    }
}

static void turn_until(uint64_t end_ns, int epoll, struct rings *r)
{
    while (now_ns(CLOCK_MONOTONIC) < end_ns) {
        if (epoll >= 0)
            epoll_turn(epoll);
        else
            uring_turn(r);
    }
}

static void measure(const char *way)
{
    struct rings r = { 0 };
    int epoll = strcmp(way, "epoll") == 0 ? open_epoll() : -1;
    uint64_t start, cpu;

    if (epoll < 0)
        open_uring(&r, strcmp(way, "multishot") == 0);
    turn_until(now_ns(CLOCK_MONOTONIC) + WARM_NS, epoll, &r);
    received = calls = 0;
    start = now_ns(CLOCK_MONOTONIC);
    cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
    turn_until(start + RUN_NS, epoll, &r);
    printf("{\"way\": \"%s\", \"hashes\": %s, \"bytes\": %" PRIu64 ", \"seconds\": %.6f, "
           "\"cpu_seconds\": %.6f, \"calls\": %" PRIu64 "}\n",
           way, hashes ? "true" : "false", received,
           (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9,
           (double)(now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu) / 1e9, calls);
}

int main(int argc, char **argv)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t n = sizeof(addr);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pid_t senders;

    if (argc < 2 || argc > 3 ||
        (strcmp(argv[1], "epoll") != 0 && strcmp(argv[1], "uring") != 0 &&
         strcmp(argv[1], "multishot") != 0)) {
        fprintf(stderr, "receive epoll|uring|multishot [-h]\n");
        return 2;
    }
    hashes = argc == 3;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EL_ASSERT(bind(listener, (const struct sockaddr *)&addr, n) == 0);
    EL_ASSERT(listen(listener, SENDERS) == 0);
    EL_ASSERT(getsockname(listener, (struct sockaddr *)&addr, &n) == 0);
    senders = fork();
    if (senders == 0)
        run_senders(&addr);
    EL_ASSERT(senders > 0);
    open_streams(listener);
    measure(argv[1]);
    EL_ASSERT(kill(senders, SIGKILL) == 0 && waitpid(senders, NULL, 0) == senders);
    return 0;
}
