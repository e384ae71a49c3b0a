/* SPDX-License-Identifier: MIT */
/*
 * links: one node reads blocks from several others over loopback, with nothing in the way but the
 * links themselves: p2p/net.h with engines that only keep the queues full. The senders are another
 * process, so that the processor time of either side is known. Prints one JSON object.
 *
 * What is received goes into memory far larger than the processor's caches, and every block is
 * hashed, as in a node.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "p2p/net.h"

#define MAX_SENDERS 16
#define BLOCKS      64u  /* distinct ones that are sent */
#define SLOTS       128u /* where they are received */
#define AHEAD       4u   /* queued on a link */
#define WARM_MS     500

struct plan {
    unsigned senders, seconds, threads;
    bool is_tls, from_file;
};

static void fail(const struct el_error *err)
{
    fprintf(stderr, "links: %s\n", err->text);
    exit(1);
}

static char *map(int fd, size_t bytes)
{
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   fd >= 0 ? MAP_SHARED | MAP_POPULATE : MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                   fd, 0);

    EL_ASSERT(p != MAP_FAILED);
    return p;
}

/* ---- a node of either side ---- */

struct node {
    struct el_key *key;
    struct el_msgq *queue;
    struct p2p_net *net;
    struct p2p_net_ops ops;
};

static void open_node(struct node *n, const struct plan *plan, uint8_t identity,
                      struct el_msgq *queue, unsigned threads, bool listens)
{
    uint8_t secret[EL_KEY_BYTES] = { identity };
    struct p2p_net_conf conf = {
        .threads = threads,
        .bind_address = listens ? "127.0.0.1" : NULL,
        .queue = queue,
        .ops = &n->ops,
        .arg = n,
    };
    struct el_error err = { 0 };

    if (plan->is_tls)
        conf.secret = EL_STR("a secret of the cluster");
    conf.key = n->key = el_key_new(secret);
    conf.hello.cluster = EL_STR("bench");
    if (p2p_net_new(&conf, &n->net, &err) != EL_OK)
        fail(&err);
}

static void turn(struct el_msgq *queue)
{
    struct pollfd p = { .fd = el_msgq_fd(queue), .events = POLLIN };

    EL_ASSERT(poll(&p, 1, 100) >= 0 || errno == EINTR);
    el_msgq_dispatch(queue);
}

static void on_frame(void *arg, struct p2p_link *l, const struct p2p_frame *f)
{
    (void)arg;
    (void)l;
    (void)f;
}

static void on_closed(void *arg)
{
    (void)arg;
}

/* ---- senders ---- */

struct outgoing {
    struct p2p_out_block block;
    struct p2p_link *to;
};

struct store {
    int fd;
    char *mem;
    struct el_digest hashes[BLOCKS];
    bool from_file;
    unsigned next;
} store;

static void fill_store(bool from_file)
{
    store.fd = memfd_create("blocks", MFD_CLOEXEC);
    EL_ASSERT(store.fd >= 0 && ftruncate(store.fd, BLOCKS * (off_t)EL_MIB) == 0);
    store.mem = map(store.fd, BLOCKS * EL_MIB);
    store.from_file = from_file;
    for (size_t i = 0; i < BLOCKS; i++) {
        memset(store.mem + i * EL_MIB, (int)i + 1, EL_MIB);
        el_sha256_of(store.mem + i * EL_MIB, EL_MIB, &store.hashes[i]);
    }
}

static void send_next(struct outgoing *o)
{
    size_t i = store.next++ % BLOCKS;

    o->block.number = (uint32_t)i % 15;
    o->block.hash = store.hashes[i];
    o->block.mem = store.mem + i * EL_MIB;
    o->block.n = (uint32_t)EL_MIB;
    o->block.fd = store.from_file ? store.fd : -1;
    o->block.offset = i * EL_MIB;
    (void)p2p_link_send_block(o->to, &o->block); /* false: the link is down, and all is over */
}

static void on_sent(struct p2p_out_block *b)
{
    if (b->result == EL_OK)
        send_next(EL_ENTRY(b, struct outgoing, block));
}

static void on_sender_up(void *arg, struct p2p_link *l)
{
    (void)arg;
    for (unsigned i = 0; i < AHEAD; i++) {
        struct outgoing *o = el_new(struct outgoing);

        o->to = l;
        o->block.on_sent = on_sent;
        send_next(o);
    }
}

static void on_sender_down(void *arg, struct p2p_link *l, const struct el_error *why)
{
    (void)arg;
    (void)l;
    if (why->code != EL_OK && why->code != EL_ESHUTDOWN)
        fprintf(stderr, "a sender: %s\n", why->text);
    exit(why->code == EL_OK || why->code == EL_ESHUTDOWN ? 0 : 1);
}

static _Noreturn void run_senders(const struct plan *plan, uint16_t port)
{
    struct el_msgq *queue;
    struct el_error err = { 0 };

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || el_msgq_new(&queue, &err) != EL_OK)
        fail(&err);
    fill_store(plan->from_file);
    for (unsigned i = 0; i < plan->senders; i++) {
        struct node *n = el_new(struct node);
        struct p2p_link *l;

        n->ops = (struct p2p_net_ops){ .up = on_sender_up, .down = on_sender_down };
        n->ops.frame = on_frame;
        n->ops.closed = on_closed;
        open_node(n, plan, (uint8_t)(i + 2), queue, 1, false);
        if (p2p_net_connect(n->net, "127.0.0.1", port, NULL, &l, &err) != EL_OK)
            fail(&err);
    }
    for (;;)
        turn(queue);
}

/* ---- the reader ---- */

struct reader {
    struct node node;
    unsigned ups;
    bool is_closed;
    _Atomic uint64_t bytes;
    pthread_mutex_t mtx;
    void *slots[SLOTS]; /* under mtx: a ring of those that are free, the longest unused first */
    size_t first, n_free;
};

static struct reader reader = { .mtx = PTHREAD_MUTEX_INITIALIZER };

static void give_slot(void *slot)
{
    EL_ASSERT(pthread_mutex_lock(&reader.mtx) == 0);
    reader.slots[(reader.first + reader.n_free++) % SLOTS] = slot;
    EL_ASSERT(pthread_mutex_unlock(&reader.mtx) == 0);
}

static void *take_slot(void)
{
    void *slot;

    EL_ASSERT(pthread_mutex_lock(&reader.mtx) == 0);
    EL_ASSERT(reader.n_free > 0);
    slot = reader.slots[reader.first++ % SLOTS];
    reader.n_free--;
    EL_ASSERT(pthread_mutex_unlock(&reader.mtx) == 0);
    return slot;
}

static void on_up(void *arg, struct p2p_link *l)
{
    (void)arg;
    (void)l;
    reader.ups++;
}

static void on_down(void *arg, struct p2p_link *l, const struct el_error *why)
{
    (void)arg;
    (void)l;
    if (why->code != EL_ESHUTDOWN && why->code != EL_OK)
        fail(why);
}

static void on_reader_closed(void *arg)
{
    (void)arg;
    reader.is_closed = true;
}

static void *on_place(void *arg, struct p2p_link *l, const struct el_chunk_id *chunk, uint32_t n)
{
    (void)arg;
    (void)l;
    (void)chunk;
    (void)n;
    return take_slot();
}

static void on_block(void *arg, struct p2p_link *l, const struct p2p_frame *f)
{
    (void)arg;
    (void)l;
    give_slot((void *)(uintptr_t)f->data.p);
    atomic_fetch_add_explicit(&reader.bytes, f->data.n, memory_order_relaxed);
}

static void on_unplaced(void *arg, struct p2p_link *l, const struct el_chunk_id *chunk, void *mem)
{
    (void)arg;
    (void)l;
    (void)chunk;
    give_slot(mem);
}

static uint64_t cpu_ns(clockid_t clock)
{
    struct timespec ts;

    EL_ASSERT(clock_gettime(clock, &ts) == 0);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct moment {
    uint64_t ns, bytes, reader_ns, senders_ns;
};

static struct moment look(clockid_t senders)
{
    return (struct moment){
        .ns = cpu_ns(CLOCK_MONOTONIC),
        .bytes = atomic_load(&reader.bytes),
        .reader_ns = cpu_ns(CLOCK_PROCESS_CPUTIME_ID),
        .senders_ns = cpu_ns(senders),
    };
}

static void run_for(uint64_t ms)
{
    uint64_t end = el_clock_mono_ms(el_clock_system()) + ms;

    while (el_clock_mono_ms(el_clock_system()) < end)
        turn(reader.node.queue);
}

static void print(const struct plan *plan, const struct moment *a, const struct moment *b)
{
    double bytes = (double)(b->bytes - a->bytes);

    printf("{\"senders\": %u, \"threads\": %u, \"tls\": %s, \"file\": %s, \"bytes\": %" PRIu64
           ", \"seconds\": %.6f, \"reader_cpu\": %.6f, \"senders_cpu\": %.6f}\n",
           plan->senders, plan->threads, plan->is_tls ? "true" : "false",
           plan->from_file ? "true" : "false", b->bytes - a->bytes, (double)(b->ns - a->ns) / 1e9,
           (double)(b->reader_ns - a->reader_ns) / 1e9,
           (double)(b->senders_ns - a->senders_ns) / 1e9);
    fprintf(stderr, "%.2f GB/s, CPU s/GB: reader %.2f, senders %.2f\n",
            bytes / (double)(b->ns - a->ns), (double)(b->reader_ns - a->reader_ns) / bytes,
            (double)(b->senders_ns - a->senders_ns) / bytes);
}

/* A clock counts the other process only while it lives. */
static void measure(const struct plan *plan, pid_t senders)
{
    struct moment begin, end;
    clockid_t clock;

    EL_ASSERT(clock_getcpuclockid(senders, &clock) == 0);
    while (reader.ups < plan->senders)
        turn(reader.node.queue);
    run_for(WARM_MS);
    begin = look(clock);
    run_for(plan->seconds * (uint64_t)1000);
    end = look(clock);
    print(plan, &begin, &end);
}

static void run_reader(const struct plan *plan)
{
    struct el_error err = { 0 };
    pid_t senders;
    char *slots;

    reader.node.ops = (struct p2p_net_ops){ on_up,    on_down,  on_frame,   on_reader_closed,
                                            on_place, on_block, on_unplaced };
    slots = map(-1, SLOTS * EL_MIB);
    for (size_t i = 0; i < SLOTS; i++)
        give_slot(slots + i * EL_MIB);
    if (el_msgq_new(&reader.node.queue, &err) != EL_OK)
        fail(&err);
    open_node(&reader.node, plan, 1, reader.node.queue, plan->threads, true);
    senders = fork();
    if (senders == 0)
        run_senders(plan, p2p_net_port(reader.node.net));
    EL_ASSERT(senders > 0);
    measure(plan, senders);
    p2p_net_close(reader.node.net);
    while (!reader.is_closed)
        turn(reader.node.queue);
    p2p_net_free(reader.node.net);
    el_key_free(reader.node.key);
    el_msgq_free(reader.node.queue);
    EL_ASSERT(waitpid(senders, NULL, 0) == senders);
}

int main(int argc, char **argv)
{
    struct plan plan = { .senders = 5, .seconds = 3, .threads = 1 };
    int c;

    while ((c = getopt(argc, argv, "n:s:t:fx")) != -1) {
        if (c == 'n')
            plan.senders = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 's')
            plan.seconds = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 't')
            plan.threads = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'f')
            plan.from_file = true;
        else if (c == 'x')
            plan.is_tls = true;
        else
            return 2;
    }
    if (plan.senders < 1 || plan.senders > MAX_SENDERS || plan.threads < 1 || plan.seconds < 1)
        return 2;
    run_reader(&plan);
    return 0;
}
