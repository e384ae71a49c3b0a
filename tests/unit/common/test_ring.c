/* SPDX-License-Identifier: MIT */
/* Everything is asked of both backends: main() lists each test once with io_uring, once without. */
#include "common/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/lib/test.h"

#define BLOCK    4096u
#define MANY     1000u
#define SAID_MAX 8u

/* ---- a file, a ring, and what its operations came to ---- */

struct world {
    enum el_ring_backend backend;
    struct el_ring *ring;
    char dir[64], path[80];
    int fd;
    unsigned submits; /* of ops, by start */
    struct io *ops;
    struct el_msg start;

    pthread_mutex_t mtx;
    pthread_cond_t changed;
    unsigned done;   /* under mtx, as are all below */
    unsigned asked;  /* calls of the fault hook */
    bool is_shut;    /* the hook waits until it is not */
    unsigned said_n; /* the first answers of the hook; then 0 */
    int said[SAID_MAX];
    int says_always;
};

struct io {
    struct el_ring_op op;
    struct world *w;
    unsigned dones;
    unsigned again; /* so often it wipes its memory and submits itself anew when done */
    struct el_msg *posts;
};

static int make_file(struct world *w)
{
    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/test_ring.XXXXXX");
    if (mkdtemp(w->dir) == NULL)
        return -1;
    (void)snprintf(w->path, sizeof(w->path), "%s/file", w->dir);
    w->fd = open(w->path, O_RDWR | O_CREAT | O_CLOEXEC | O_DIRECT, 0600);
    if (w->fd < 0 && errno == EINVAL) /* not on every file system */
        w->fd = open(w->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return w->fd >= 0 ? 0 : -1;
}

static int open_world(void **state)
{
    const enum el_ring_backend *backend = *state;
    struct world *w = el_new(struct world);

    w->backend = *backend;
    (void)pthread_mutex_init(&w->mtx, NULL);
    (void)pthread_cond_init(&w->changed, NULL);
    *state = w;
    return make_file(w);
}

static void open_gate(struct world *w)
{
    pthread_mutex_lock(&w->mtx);
    w->is_shut = false;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mtx);
}

static int close_world(void **state)
{
    struct world *w = *state;

    open_gate(w); /* a test that failed may have left it shut */
    el_ring_free(w->ring);
    (void)close(w->fd);
    (void)unlink(w->path);
    (void)rmdir(w->dir);
    (void)pthread_cond_destroy(&w->changed);
    (void)pthread_mutex_destroy(&w->mtx);
    free(w);
    return 0;
}

static int fault(void *arg, const struct el_ring_op *op)
{
    struct world *w = arg;
    int said;

    (void)op;
    pthread_mutex_lock(&w->mtx);
    said = w->asked < w->said_n ? w->said[w->asked] : w->says_always;
    w->asked++;
    pthread_cond_broadcast(&w->changed);
    while (w->is_shut)
        pthread_cond_wait(&w->changed, &w->mtx);
    pthread_mutex_unlock(&w->mtx);
    return said;
}

static void open_ring(struct world *w, unsigned depth, el_ring_fault_fn *hook)
{
    struct el_ring_conf conf = {
        .thread_name = "ring-test",
        .backend = w->backend,
        .depth = depth,
        .workers = 4,
        .fault = hook,
        .fault_arg = w,
    };
    struct el_error err = { 0 };

    if (el_ring_new(&conf, &w->ring, &err) == EL_OK) {
        assert_int_equal(el_ring_backend(w->ring), w->backend);
        assert_int_equal(el_ring_refusal(w->ring)->code, EL_OK);
        return;
    }
    print_message("skipped: this kernel has no io_uring: %s\n", err.text);
    assert_int_equal(w->backend, EL_RING_URING);
    skip();
}

/* Until the world's claim holds; what it reads is under the mutex. */
#define WAIT(w, claim)                                   \
    do {                                                 \
        pthread_mutex_lock(&(w)->mtx);                   \
        while (!(claim))                                 \
            pthread_cond_wait(&(w)->changed, &(w)->mtx); \
        pthread_mutex_unlock(&(w)->mtx);                 \
    } while (0)

static void count_done(struct world *w)
{
    pthread_mutex_lock(&w->mtx);
    w->done++;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mtx);
}

static void on_done(struct el_ring_op *op)
{
    struct io *io = EL_ENTRY(op, struct io, op);

    io->dones++;
    if (io->posts != NULL)
        el_ring_post(io->w->ring, io->posts);
    if (io->again > 0) {
        io->again--;
        memset(op->mem, 0, op->bytes);
        el_ring_submit(io->w->ring, op);
    }
    count_done(io->w);
}

static void on_start(struct el_msg *m)
{
    struct world *w = EL_ENTRY(m, struct world, start);

    for (unsigned i = 0; i < w->submits; i++)
        el_ring_submit(w->ring, &w->ops[i].op);
}

static void io_init(struct io *io, struct world *w, enum el_ring_what what, void *mem,
                    uint32_t bytes, uint64_t offset)
{
    *io = (struct io){ .w = w };
    io->op = (struct el_ring_op){ .what = what,
                                  .fd = w->fd,
                                  .mem = mem,
                                  .bytes = bytes,
                                  .offset = offset,
                                  .on_done = on_done,
                                  .result = 1 };
}

/* From the ring's thread. */
static void submit(struct world *w, struct io *ops, unsigned n)
{
    w->ops = ops;
    w->submits = n;
    w->done = 0;
    el_msg_init(&w->start, on_start);
    el_ring_post(w->ring, &w->start);
}

static void submit_and_wait(struct world *w, struct io *ops, unsigned n)
{
    submit(w, ops, n);
    WAIT(w, w->done == n);
}

static int result(struct world *w, enum el_ring_what what, void *mem, uint32_t bytes,
                  uint64_t offset)
{
    struct io io;

    io_init(&io, w, what, mem, bytes, offset);
    submit_and_wait(w, &io, 1);
    assert_int_equal(io.dones, 1);
    return io.op.result;
}

/* Blocks that differ from each other and from those of another seed. The caller frees them. */
static uint8_t *blocks(unsigned n, unsigned seed)
{
    uint8_t *mem = aligned_alloc(BLOCK, (size_t)n * BLOCK);

    assert_non_null(mem);
    for (size_t i = 0; i < (size_t)n * BLOCK; i++)
        mem[i] = (uint8_t)(seed + i * 7 + i / BLOCK * 13);
    return mem;
}

/* A message that says that it ran. */
struct note {
    struct el_msg msg;
    struct world *w;
    struct io *submits;
    unsigned ran; /* under the world's mutex */
};

static void on_note(struct el_msg *m)
{
    struct note *n = EL_ENTRY(m, struct note, msg);

    if (n->submits != NULL)
        el_ring_submit(n->w->ring, &n->submits->op);
    pthread_mutex_lock(&n->w->mtx);
    n->ran++;
    pthread_cond_broadcast(&n->w->changed);
    pthread_mutex_unlock(&n->w->mtx);
}

static void note_init(struct note *n, struct world *w)
{
    *n = (struct note){ .w = w };
    el_msg_init(&n->msg, on_note);
}

/* A timer that says that it ran, and opens the gate if it is told to. */
struct alarm {
    struct el_timer timer;
    struct el_msg msg;
    struct world *w;
    uint64_t delay_ms;
    bool opens_gate;
    bool has_rung; /* under the world's mutex */
};

static void on_timer(struct el_timer *t)
{
    struct alarm *a = EL_ENTRY(t, struct alarm, timer);

    if (a->opens_gate)
        open_gate(a->w);
    pthread_mutex_lock(&a->w->mtx);
    a->has_rung = true;
    pthread_cond_broadcast(&a->w->changed);
    pthread_mutex_unlock(&a->w->mtx);
}

static void set_alarm(struct el_msg *m)
{
    struct alarm *a = EL_ENTRY(m, struct alarm, msg);

    el_timer_start(el_ring_timers(a->w->ring), &a->timer,
                   el_clock_mono_ms(el_clock_system()) + a->delay_ms);
}

static void alarm_post(struct alarm *a, struct world *w, uint64_t delay_ms)
{
    *a = (struct alarm){ .w = w, .delay_ms = delay_ms, .opens_gate = a->opens_gate };
    el_timer_init(&a->timer, on_timer);
    el_msg_init(&a->msg, set_alarm);
    el_ring_post(w->ring, &a->msg);
}

/* ---- bytes ---- */

static void what_is_written_is_read_back(void **state)
{
    uint8_t *out = blocks(300, 1), *in = blocks(300, 2);
    struct world *w = *state;

    open_ring(w, 8, NULL);
    assert_int_equal(result(w, EL_RING_WRITE, out, 300 * BLOCK, 5 * BLOCK), 0);
    assert_int_equal(result(w, EL_RING_SYNC, NULL, 0, 0), 0);
    assert_int_equal(result(w, EL_RING_READ, in, 300 * BLOCK, 5 * BLOCK), 0);
    assert_memory_equal(in, out, 300 * BLOCK);
    assert_int_equal(pread(w->fd, in, BLOCK, 7 * BLOCK), BLOCK);
    assert_memory_equal(in, out + 2 * BLOCK, BLOCK);
    free(out);
    free(in);
}

static void nothing_to_move_is_done_at_once(void **state)
{
    struct world *w = *state;
    uint8_t *mem = blocks(1, 1);

    open_ring(w, 1, NULL);
    assert_int_equal(result(w, EL_RING_READ, mem, 0, 0), 0);
    assert_int_equal(result(w, EL_RING_WRITE, mem, 0, 0), 0);
    free(mem);
}

static void a_thousand_at_depth_eight_all_complete_once(void **state)
{
    uint8_t *out = blocks(MANY, 1), *in = blocks(MANY, 2);
    struct io *ops = calloc(MANY, sizeof(*ops));
    struct world *w = *state;

    assert_non_null(ops);
    open_ring(w, 8, NULL);
    for (unsigned i = 0; i < MANY; i++)
        io_init(&ops[i], w, EL_RING_WRITE, out + i * BLOCK, BLOCK, i * BLOCK);
    submit_and_wait(w, ops, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(ops[i].dones, 1);
        assert_int_equal(ops[i].op.result, 0);
        io_init(&ops[i], w, EL_RING_READ, in + i * BLOCK, BLOCK, i * BLOCK);
    }
    submit_and_wait(w, ops, MANY);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(ops[i].op.result, 0);
    assert_memory_equal(in, out, MANY * BLOCK);
    free(ops);
    free(in);
    free(out);
}

static void no_more_are_started_than_the_depth(void **state)
{
    uint8_t *mem = blocks(4, 1);
    struct world *w = *state;
    struct note note;
    struct io ops[4];
    unsigned asked;

    w->is_shut = true;
    open_ring(w, 2, fault);
    for (unsigned i = 0; i < 4; i++)
        io_init(&ops[i], w, EL_RING_WRITE, mem + i * BLOCK, BLOCK, i * BLOCK);
    submit(w, ops, 4);
    WAIT(w, w->asked >= 2);
    note_init(&note, w); /* one more turn, in which a third might start */
    el_ring_post(w->ring, &note.msg);
    WAIT(w, note.ran == 1);
    pthread_mutex_lock(&w->mtx);
    asked = w->asked;
    pthread_mutex_unlock(&w->mtx);
    assert_int_equal(asked, 2);
    open_gate(w);
    WAIT(w, w->done == 4);
    assert_int_equal(w->asked, 4);
    free(mem);
}

static void one_may_be_submitted_anew_when_it_is_done(void **state)
{
    uint8_t *out = blocks(1, 1), *in = blocks(1, 2);
    struct world *w = *state;
    struct io io;

    open_ring(w, 1, NULL);
    assert_int_equal(result(w, EL_RING_WRITE, out, BLOCK, 0), 0);
    io_init(&io, w, EL_RING_READ, in, BLOCK, 0);
    io.again = 99;
    submit(w, &io, 1);
    WAIT(w, w->done == 100);
    assert_int_equal(io.dones, 100);
    assert_int_equal(io.op.result, 0);
    assert_memory_equal(in, out, BLOCK);
    free(in);
    free(out);
}

static void it_says_when_it_was_submitted(void **state)
{
    uint64_t from = el_clock_mono_ms(el_clock_system());
    uint8_t *mem = blocks(1, 1);
    struct world *w = *state;
    struct io io;

    open_ring(w, 1, NULL);
    io_init(&io, w, EL_RING_WRITE, mem, BLOCK, 0);
    submit_and_wait(w, &io, 1);
    assert_in_range(io.op.submitted_ms, from, el_clock_mono_ms(el_clock_system()));
    free(mem);
}

/* ---- what disks do ---- */

static void short_attempts_are_continued(void **state)
{
    uint8_t *out = blocks(16, 1), *in = blocks(16, 2);
    struct world *w = *state;

    w->says_always = (int)BLOCK;
    open_ring(w, 8, fault);
    assert_int_equal(result(w, EL_RING_WRITE, out, 16 * BLOCK, 0), 0);
    assert_int_equal(w->asked, 16);
    assert_int_equal(result(w, EL_RING_READ, in, 16 * BLOCK, 0), 0);
    assert_int_equal(w->asked, 32);
    assert_memory_equal(in, out, 16 * BLOCK);
    free(in);
    free(out);
}

static void interrupted_attempts_are_made_again(void **state)
{
    uint8_t *out = blocks(4, 1), *in = blocks(4, 2);
    struct world *w = *state;

    w->said_n = 4;
    w->said[0] = -EINTR;
    w->said[1] = (int)BLOCK;
    w->said[2] = -EAGAIN;
    w->said[3] = -EINTR;
    open_ring(w, 8, fault);
    assert_int_equal(result(w, EL_RING_WRITE, out, 4 * BLOCK, 0), 0);
    assert_int_equal(w->asked, 5);
    assert_int_equal(result(w, EL_RING_READ, in, 4 * BLOCK, 0), 0);
    assert_memory_equal(in, out, 4 * BLOCK);
    free(in);
    free(out);
}

static void an_error_is_the_result_and_nothing_is_moved(void **state)
{
    static const enum el_ring_what whats[] = { EL_RING_READ, EL_RING_WRITE, EL_RING_SYNC };
    static const int errors[] = { EIO, ENOSPC };
    uint8_t *mem = blocks(1, 1);
    struct world *w = *state;
    struct stat st;

    open_ring(w, 8, fault);
    for (size_t i = 0; i < EL_COUNT(whats); i++) {
        for (size_t j = 0; j < EL_COUNT(errors); j++) {
            w->says_always = -errors[j];
            assert_int_equal(result(w, whats[i], mem, BLOCK, 0), -errors[j]);
        }
    }
    assert_int_equal(w->asked, EL_COUNT(whats) * EL_COUNT(errors));
    assert_int_equal(fstat(w->fd, &st), 0);
    assert_int_equal(st.st_size, 0);
    free(mem);
}

static void an_error_after_a_short_attempt_is_the_result(void **state)
{
    uint8_t *mem = blocks(4, 1);
    struct world *w = *state;

    w->said_n = 2;
    w->said[0] = (int)BLOCK;
    w->said[1] = -EIO;
    open_ring(w, 8, fault);
    assert_int_equal(result(w, EL_RING_WRITE, mem, 4 * BLOCK, 0), -EIO);
    assert_int_equal(w->asked, 2);
    free(mem);
}

static void a_read_that_meets_the_end_of_the_file_has_no_data(void **state)
{
    uint8_t *mem = blocks(4, 1);
    struct world *w = *state;

    open_ring(w, 8, NULL);
    assert_int_equal(result(w, EL_RING_READ, mem, BLOCK, 0), -ENODATA);
    assert_int_equal(result(w, EL_RING_WRITE, mem, 2 * BLOCK, 0), 0);
    assert_int_equal(ftruncate(w->fd, BLOCK + 100), 0); /* not even a whole block */
    assert_int_equal(result(w, EL_RING_READ, mem, 4 * BLOCK, 0), -ENODATA);
    assert_int_equal(result(w, EL_RING_READ, mem, BLOCK, BLOCK), -ENODATA);
    assert_int_equal(result(w, EL_RING_READ, mem, BLOCK, 1000 * BLOCK), -ENODATA);
    assert_int_equal(result(w, EL_RING_READ, mem, BLOCK, 0), 0);
    free(mem);
}

static void a_full_disk_says_so(void **state)
{
    uint8_t *mem = blocks(1, 1);
    struct world *w = *state;
    struct io io;

    open_ring(w, 8, NULL);
    io_init(&io, w, EL_RING_WRITE, mem, BLOCK, 0);
    io.op.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(io.op.fd >= 0);
    submit_and_wait(w, &io, 1);
    assert_int_equal(io.op.result, -ENOSPC);
    (void)close(io.op.fd);
    free(mem);
}

static void a_file_that_is_not_open_is_an_error(void **state)
{
    static const enum el_ring_what whats[] = { EL_RING_READ, EL_RING_WRITE, EL_RING_SYNC };
    uint8_t *mem = blocks(1, 1);
    struct world *w = *state;
    struct io ops[2 * EL_COUNT(whats)];

    open_ring(w, 8, NULL);
    for (size_t i = 0; i < EL_COUNT(whats); i++) {
        io_init(&ops[2 * i], w, whats[i], mem, BLOCK, 0);
        ops[2 * i].op.fd = -1;
        io_init(&ops[2 * i + 1], w, EL_RING_SYNC, NULL, 0, 0); /* submitted with it, and fine */
    }
    submit_and_wait(w, ops, EL_COUNT(ops));
    for (size_t i = 0; i < EL_COUNT(ops); i++)
        assert_int_equal(ops[i].op.result, i % 2 == 0 ? -EBADF : 0);
    free(mem);
}

/* ---- the thread ---- */

static void every_message_wakes_it(void **state)
{
    struct world *w = *state;
    struct note note;

    open_ring(w, 1, NULL);
    note_init(&note, w);
    for (unsigned i = 1; i <= MANY; i++) {
        el_msgq_post(el_ring_queue(w->ring), &note.msg);
        WAIT(w, note.ran == i);
    }
}

static void messages_and_timers_run_while_the_disk_is_slow(void **state)
{
    struct alarm alarm = { .opens_gate = false };
    uint8_t *mem = blocks(1, 1);
    struct world *w = *state;
    struct note note;
    struct io io;

    w->is_shut = true;
    open_ring(w, 1, fault);
    io_init(&io, w, EL_RING_WRITE, mem, BLOCK, 0);
    submit(w, &io, 1);
    WAIT(w, w->asked == 1);
    note_init(&note, w);
    el_ring_post(w->ring, &note.msg);
    WAIT(w, note.ran == 1);
    alarm_post(&alarm, w, 1);
    WAIT(w, alarm.has_rung);
    pthread_mutex_lock(&w->mtx);
    assert_int_equal(w->done, 0);
    pthread_mutex_unlock(&w->mtx);
    open_gate(w);
    WAIT(w, w->done == 1);
    assert_int_equal(io.op.result, 0);
    free(mem);
}

static void a_timer_runs_when_it_is_due(void **state)
{
    uint64_t from = el_clock_mono_ms(el_clock_system());
    struct alarm alarm = { .opens_gate = false };
    struct world *w = *state;

    open_ring(w, 1, NULL);
    alarm_post(&alarm, w, 50);
    WAIT(w, alarm.has_rung);
    assert_true(el_clock_mono_ms(el_clock_system()) - from >= 50);
}

/* ---- its end ---- */

static void close_ring(struct world *w)
{
    struct el_ring *r = w->ring;

    el_ring_free(r);
    w->ring = NULL;
}

static void free_waits_for_what_is_under_way(void **state)
{
    struct alarm alarm = { .opens_gate = true };
    uint8_t *mem = blocks(4, 1);
    struct world *w = *state;
    struct io ops[4];

    w->is_shut = true;
    open_ring(w, 2, fault);
    for (unsigned i = 0; i < 4; i++)
        io_init(&ops[i], w, EL_RING_WRITE, mem + i * BLOCK, BLOCK, i * BLOCK);
    submit(w, ops, 4); /* two of them wait for the others */
    WAIT(w, w->asked == 2);
    alarm_post(&alarm, w, 20);
    close_ring(w);
    assert_true(alarm.has_rung);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(ops[i].dones, 1);
        assert_int_equal(ops[i].op.result, 0);
    }
    free(mem);
}

static void free_runs_what_is_queued_and_what_that_starts(void **state)
{
    uint8_t *mem = blocks(1, 1);
    struct world *w = *state;
    struct note first, last;
    struct io io;

    open_ring(w, 1, NULL);
    note_init(&first, w);
    note_init(&last, w);
    io_init(&io, w, EL_RING_WRITE, mem, BLOCK, 0);
    first.submits = &io;
    io.posts = &last.msg;
    el_ring_post(w->ring, &first.msg);
    close_ring(w);
    assert_int_equal(first.ran, 1);
    assert_int_equal(io.dones, 1);
    assert_int_equal(last.ran, 1);
    free(mem);
}

static void free_is_at_ease_with_a_timer_that_never_rang(void **state)
{
    struct alarm alarm = { .opens_gate = false };
    struct world *w = *state;

    open_ring(w, 1, NULL);
    alarm_post(&alarm, w, 3600000);
    close_ring(w);
    assert_false(alarm.has_rung);
    el_ring_free(NULL);
}

/* ---- where io_uring is refused ---- */

/* One system call fails on one thread, and on those that it starts. */
struct refusal {
    struct world *w;
    unsigned call;
    unsigned sys;

    bool is_set;
    enum el_err uring; /* what asking for io_uring came to */
    struct el_error uring_err, auto_err;
    enum el_ring_backend backend;
    int read, write;
};

static bool refuse(unsigned call, unsigned sys)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | sys),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = EL_COUNT(code), .filter = code };

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int move(struct world *w, enum el_ring_what what, void *mem)
{
    struct io io;

    io_init(&io, w, what, mem, BLOCK, 0);
    submit_and_wait(w, &io, 1);
    return io.op.result;
}

/* On a thread of its own, where nothing may be asserted. */
static void *run_refused(void *arg)
{
    struct refusal *f = arg;
    struct el_ring_conf conf = { .thread_name = "refused", .depth = 4, .workers = 2 };
    uint8_t *mem = blocks(1, 1);

    f->is_set = refuse(f->call, f->sys);
    conf.backend = EL_RING_URING;
    f->uring = el_ring_new(&conf, &f->w->ring, &f->uring_err);
    conf.backend = EL_RING_AUTO;
    if (f->is_set && f->uring != EL_OK && el_ring_new(&conf, &f->w->ring, NULL) == EL_OK) {
        f->backend = el_ring_backend(f->w->ring);
        f->auto_err = *el_ring_refusal(f->w->ring);
        f->write = move(f->w, EL_RING_WRITE, mem);
        f->read = move(f->w, EL_RING_READ, mem);
    }
    free(mem);
    return NULL;
}

static void check_refused(struct world *w, unsigned call, unsigned sys, const char *text)
{
    struct refusal f = { .w = w, .call = call, .sys = sys, .read = 1, .write = 1 };
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, run_refused, &f), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    if (!f.is_set) {
        print_message("skipped: this kernel has no seccomp\n");
        skip();
    }
    assert_int_equal(f.uring, EL_ESYS);
    assert_int_equal(f.uring_err.sys, sys);
    assert_int_equal(f.backend, EL_RING_THREADS);
    assert_int_equal(f.auto_err.code, EL_ESYS);
    assert_int_equal(f.auto_err.sys, sys);
    assert_non_null(strstr(f.auto_err.text, text));
    assert_int_equal(f.write, 0);
    assert_int_equal(f.read, 0);
}

static void a_profile_that_forbids_io_uring_makes_it_take_threads(void **state)
{
    check_refused(*state, SYS_io_uring_setup, EPERM, "set up");
}

static void a_kernel_without_io_uring_makes_it_take_threads(void **state)
{
    check_refused(*state, SYS_io_uring_setup, ENOSYS, "set up");
}

static void a_ring_that_can_be_made_but_not_used_makes_it_take_threads(void **state)
{
    uint64_t params[64] = { 0 }; /* more than the kernel's structure has */
    long fd = syscall(SYS_io_uring_setup, 1, params);

    if (fd < 0) {
        print_message("skipped: this kernel has no io_uring\n");
        skip();
    }
    (void)close((int)fd);
    check_refused(*state, SYS_io_uring_enter, EACCES, "read");
}

static void a_depth_beyond_the_kernel_s_makes_it_take_threads(void **state)
{
    struct el_ring_conf conf = {
        .thread_name = "deep", .depth = 1000000, .backend = EL_RING_AUTO, .workers = 0
    };
    struct world *w = *state;
    uint8_t *mem = blocks(1, 1);

    assert_int_equal(el_ring_new(&conf, &w->ring, NULL), EL_OK);
    assert_int_equal(el_ring_backend(w->ring), EL_RING_THREADS);
    assert_int_equal(el_ring_refusal(w->ring)->code, EL_ESYS);
    assert_int_equal(result(w, EL_RING_WRITE, mem, BLOCK, 0), 0);
    free(mem);
}

static enum el_ring_backend both[] = { EL_RING_URING, EL_RING_THREADS };
static enum el_ring_backend undecided = EL_RING_AUTO;

#define BOTH(test)                                                    \
    { #test " (io_uring)", test, open_world, close_world, &both[0] }, \
    {                                                                 \
#test " (threads)", test, open_world, close_world, &both[1]   \
    }
#define AUTO(test)                                       \
    {                                                    \
#test, test, open_world, close_world, &undecided \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(what_is_written_is_read_back),
        BOTH(nothing_to_move_is_done_at_once),
        BOTH(a_thousand_at_depth_eight_all_complete_once),
        BOTH(no_more_are_started_than_the_depth),
        BOTH(one_may_be_submitted_anew_when_it_is_done),
        BOTH(it_says_when_it_was_submitted),
        BOTH(short_attempts_are_continued),
        BOTH(interrupted_attempts_are_made_again),
        BOTH(an_error_is_the_result_and_nothing_is_moved),
        BOTH(an_error_after_a_short_attempt_is_the_result),
        BOTH(a_read_that_meets_the_end_of_the_file_has_no_data),
        BOTH(a_full_disk_says_so),
        BOTH(a_file_that_is_not_open_is_an_error),
        BOTH(every_message_wakes_it),
        BOTH(messages_and_timers_run_while_the_disk_is_slow),
        BOTH(a_timer_runs_when_it_is_due),
        BOTH(free_waits_for_what_is_under_way),
        BOTH(free_runs_what_is_queued_and_what_that_starts),
        BOTH(free_is_at_ease_with_a_timer_that_never_rang),
        AUTO(a_profile_that_forbids_io_uring_makes_it_take_threads),
        AUTO(a_kernel_without_io_uring_makes_it_take_threads),
        AUTO(a_ring_that_can_be_made_but_not_used_makes_it_take_threads),
        AUTO(a_depth_beyond_the_kernel_s_makes_it_take_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
