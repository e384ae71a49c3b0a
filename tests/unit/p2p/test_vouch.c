/* SPDX-License-Identifier: MIT */
/* What is believed of the hashes of blocks: what somebody has signed, as long as nobody who has
 * signed says otherwise. */
#include "tests/lib/test.h"

#include <ftw.h>
#include <lmdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "p2p/vouch.h"
#include "p2p/vouch_store.h"
#include "tests/lib/manifest.h"

#define WAIT_MS 20000
#define MANY    40u /* chunks */
#define ROOM    4u  /* of these, in memory */
#define ALL     0xffffu

static struct el_key *key_of(uint8_t byte)
{
    uint8_t secret[EL_KEY_BYTES];

    memset(secret, byte, sizeof(secret));
    return el_key_new(secret);
}

/* As somebody else with that key has read them: blocks of the bitmap, each of one byte. */
static void manifest_by(struct p2p_manifest *m, uint8_t who, uint32_t bitmap)
{
    struct el_key *key = key_of(who);

    manifest_init(m, 3);
    m->bitmap = bitmap;
    assert_int_equal(p2p_manifest_seal(m, NULL), EL_OK);
    p2p_manifest_sign(m, key);
    el_key_free(key);
}

static struct el_digest digest_of(uint8_t byte)
{
    struct el_digest d;

    el_sha256_of(&byte, 1, &d);
    return d;
}

struct world {
    struct el_key *key;
    struct el_metrics *metrics;
    struct p2p_vouch *vouch;
    struct p2p_manifest object; /* url, length, meta */
    struct el_chunk_id chunk;
    char dir[64]; /* "": nothing is kept */
    struct el_msgq *queue;
};

static uint8_t gone[EL_KEY_BYTES]; /* whom nobody knows */
static bool all_are_gone;

static bool has_stayed(void *arg, const uint8_t *key)
{
    return !all_are_gone && memcmp(key, arg, EL_KEY_BYTES) != 0;
}

static void open_vouch(struct world *w, size_t max_chunks)
{
    w->metrics = el_metrics_new();
    w->vouch = p2p_vouch_new(&(struct p2p_vouch_conf){ .key = w->key,
                                                       .max_chunks = max_chunks,
                                                       .is_known = has_stayed,
                                                       .arg = gone,
                                                       .metrics = w->metrics });
    if (w->dir[0] == '\0')
        return;
    assert_int_equal(p2p_vouch_keep(w->vouch, w->dir, EL_GIB, NULL), EL_OK);
    while (!p2p_vouch_is_named(w->vouch))
        (void)poll(NULL, 0, 1);
}

static void close_vouch(struct world *w)
{
    p2p_vouch_free(w->vouch);
    el_metrics_free(w->metrics);
}

static struct world open_world(size_t max_chunks)
{
    struct world w = { .key = key_of(1) };

    open_vouch(&w, max_chunks);
    manifest_init(&w.object, 3);
    w.chunk = w.object.chunk;
    return w;
}

/* With a directory. */
static struct world open_kept(size_t max_chunks)
{
    struct world w = { .key = key_of(1), .dir = "/tmp/elio-vouch-XXXXXX" };

    assert_non_null(mkdtemp(w.dir));
    assert_int_equal(el_msgq_new(&w.queue, NULL), EL_OK);
    open_vouch(&w, max_chunks);
    manifest_init(&w.object, 3);
    w.chunk = w.object.chunk;
    return w;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void close_world(struct world *w)
{
    close_vouch(w);
    el_key_free(w->key);
    cache_meta_unref(w->object.meta);
    el_msgq_free(w->queue);
    if (w->dir[0] != '\0')
        assert_int_equal(nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void reopen(struct world *w, size_t max_chunks)
{
    close_vouch(w);
    open_vouch(w, max_chunks);
}

/* ---- chunks of a long object ---- */

static struct el_chunk_id chunk_of(uint32_t index)
{
    struct el_chunk_id id = { .index = index };

    memset(id.object, 0x5a, sizeof(id.object));
    return id;
}

/* All of 16 MiB as somebody with that key has read it: its first block is the one byte. */
static enum el_err take_whole(struct world *w, uint8_t who, uint32_t index, uint8_t first)
{
    struct p2p_manifest m = { .chunk = chunk_of(index), .bytes = CACHE_CHUNK_BYTES, .bitmap = ALL };
    struct el_key *key = key_of(who);
    enum el_err rc;

    for (uint8_t i = 0; i < P2P_CHUNK_BLOCKS; i++)
        m.blocks[i] = digest_of((uint8_t)(first + i));
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    p2p_manifest_sign(&m, key);
    rc = p2p_vouch_take(w->vouch, &m, NULL);
    el_key_free(key);
    return rc;
}

struct waiter {
    struct p2p_vouch_waiter w;
    unsigned woken;
};

static void on_woken(struct el_msg *m)
{
    EL_ENTRY(m, struct waiter, w.msg)->woken++;
}

static bool begin_load(struct world *w, uint32_t index, struct waiter *ret)
{
    struct el_chunk_id id = chunk_of(index);

    *ret = (struct waiter){ .w.queue = w->queue };
    el_list_init(&ret->w.link);
    el_msg_init(&ret->w.msg, on_woken);
    return p2p_vouch_load(w->vouch, &id, &ret->w);
}

static void wait_for(struct world *w, struct waiter *x)
{
    struct pollfd fd = { .fd = el_msgq_fd(w->queue), .events = POLLIN };

    for (unsigned i = 0; x->woken == 0 && i < WAIT_MS; i++) {
        (void)poll(&fd, 1, 1);
        el_msgq_dispatch(w->queue);
    }
    assert_int_equal(x->woken, 1);
}

/* What there is of it is in memory. True: it was not. */
static bool load(struct world *w, uint32_t index)
{
    struct waiter x;
    bool waits = begin_load(w, index, &x);

    if (waits)
        wait_for(w, &x);
    return waits;
}

static uint32_t told_of(struct world *w, uint32_t index)
{
    struct el_chunk_id id = chunk_of(index);
    struct el_buf out = { 0 };
    uint32_t blocks = p2p_vouch_tell(w->vouch, &id, 3, 0xffff, 5, 1, &out);

    el_buf_deinit(&out);
    return blocks;
}

static bool can_tell(struct world *w, uint32_t index)
{
    struct el_chunk_id id = chunk_of(index);

    return p2p_vouch_can_tell(w->vouch, &id, ALL);
}

static uint64_t counted(struct world *w, const char *name)
{
    return el_counter_get(el_metrics_counter(w->metrics, name, "", NULL));
}

/* ---- small chunks ---- */

static enum el_err sign(struct world *w, unsigned block, uint8_t byte)
{
    struct el_digest d = digest_of(byte);

    return p2p_vouch_sign(w->vouch, &w->object, &w->chunk, block, &d, NULL);
}

static enum el_err take(struct world *w, uint8_t who, uint32_t bitmap)
{
    struct p2p_manifest m;
    enum el_err rc;

    manifest_by(&m, who, bitmap);
    rc = p2p_vouch_take(w->vouch, &m, NULL);
    cache_meta_unref(m.meta);
    return rc;
}

/* What is told of the block by who has these, as its receiver reads it; what that is about. */
static uint32_t told_by(struct world *w, uint32_t here, unsigned block, struct p2p_manifest *ret)
{
    struct el_buf out = { 0 };
    struct p2p_frame f;
    uint32_t bitmap = p2p_vouch_tell(w->vouch, &w->chunk, block, here, 5, 1, &out);

    if (bitmap != 0) {
        *ret = (struct p2p_manifest){ .chunk = w->chunk };
        f = manifest_frame(&out, ret);
        assert_int_equal(p2p_manifest_decode(&f, ret, NULL), EL_OK);
        assert_int_equal(ret->bitmap, bitmap);
    }
    el_buf_deinit(&out);
    return bitmap;
}

static uint32_t told(struct world *w, unsigned block, struct p2p_manifest *ret)
{
    return told_by(w, 0xffff, block, ret);
}

static void what_nobody_has_signed_is_not_known(void **state)
{
    struct world w = open_world(8);
    struct el_digest d;
    struct p2p_manifest m;

    (void)state;
    assert_false(p2p_vouch_hash(w.vouch, &w.chunk, 0, &d));
    assert_int_equal(p2p_vouch_known(w.vouch, &w.chunk), 0);
    assert_int_equal(told(&w, 0, &m), 0);
    close_world(&w);
}

static void leave(uint8_t who)
{
    struct el_key *key = key_of(who);

    el_key_public(key, gone);
    el_key_free(key);
}

static void what_one_has_signed_who_is_gone_is_signed_by_who_gives_it(void **state)
{
    struct world w = open_world(8);
    struct p2p_manifest m;
    uint8_t own[EL_KEY_BYTES];

    (void)state;
    el_key_public(w.key, own);
    assert_int_equal(take(&w, 2, 7), EL_OK);
    assert_int_equal(told(&w, 1, &m), 7);
    assert_memory_not_equal(m.key, own, sizeof(own));
    leave(2);
    assert_int_equal(told_by(&w, 2, 1, &m), 2); /* as far as it has it */
    assert_memory_equal(m.key, own, sizeof(own));
    assert_int_equal(told_by(&w, 7, 0, &m), 7);
    assert_memory_equal(m.key, own, sizeof(own));
    assert_true(p2p_manifest_is_whole(&m));
    memset(gone, 0, sizeof(gone));
    close_world(&w);
}

static void what_each_block_was_signed_by_another_is_signed_as_one(void **state)
{
    struct world w = open_world(8);
    struct p2p_manifest m;
    uint8_t own[EL_KEY_BYTES];

    (void)state;
    el_key_public(w.key, own);
    all_are_gone = true;
    for (unsigned b = 0; b < 3; b++)
        assert_int_equal(take(&w, (uint8_t)(2 + b), 1u << b), EL_OK);
    for (unsigned b = 0; b < 3; b++) {
        assert_int_equal(told_by(&w, 1u << b, b, &m), (2u << b) - 1);
        assert_memory_equal(m.key, own, sizeof(own));
    }
    assert_true(p2p_manifest_is_whole(&m));
    all_are_gone = false;
    close_world(&w);
}

static void what_one_has_signed_who_is_known_is_passed_on_as_it_is(void **state)
{
    struct world w = open_world(8);
    struct p2p_manifest m;
    struct el_key *other = key_of(3);
    uint8_t key[EL_KEY_BYTES];

    (void)state;
    el_key_public(other, key);
    leave(2);
    assert_int_equal(take(&w, 3, 7), EL_OK);
    assert_int_equal(take(&w, 2, 7), EL_OK);
    assert_int_equal(told(&w, 1, &m), 7);
    assert_memory_equal(m.key, key, sizeof(key));
    memset(gone, 0, sizeof(gone));
    el_key_free(other);
    close_world(&w);
}

static void what_this_node_has_read_grows_into_one_manifest(void **state)
{
    struct world w = open_world(8);
    struct p2p_manifest m;
    uint8_t own[EL_KEY_BYTES];

    (void)state;
    assert_int_equal(sign(&w, 1, 1), EL_OK);
    assert_int_equal(told(&w, 1, &m), 2);
    assert_int_equal(told(&w, 0, &m), 0);
    assert_int_equal(sign(&w, 0, 0), EL_OK);
    assert_int_equal(sign(&w, 0, 0), EL_OK);
    assert_int_equal(sign(&w, 2, 2), EL_OK);
    assert_int_equal(told(&w, 1, &m), 7);
    assert_true(p2p_manifest_is_whole(&m));
    el_key_public(w.key, own);
    assert_memory_equal(m.key, own, sizeof(own));
    close_world(&w);
}

static void parts_of_several_signers_are_united(void **state)
{
    struct world w = open_world(8);
    struct el_digest d, right = digest_of(2);
    struct p2p_manifest m;

    (void)state;
    assert_int_equal(take(&w, 7, 1), EL_OK);
    assert_int_equal(take(&w, 8, 4), EL_OK);
    assert_int_equal(sign(&w, 1, 1), EL_OK);
    assert_int_equal(p2p_vouch_known(w.vouch, &w.chunk), 7);
    assert_true(p2p_vouch_hash(w.vouch, &w.chunk, 2, &d));
    assert_memory_equal(&d, &right, sizeof(d));
    assert_int_equal(told(&w, 0, &m), 1);
    assert_int_equal(told(&w, 1, &m), 2);
    assert_int_equal(told(&w, 2, &m), 4);
    close_world(&w);
}

static void an_older_word_of_a_signer_takes_nothing_back(void **state)
{
    struct world w = open_world(8);

    (void)state;
    assert_int_equal(take(&w, 7, 7), EL_OK);
    assert_int_equal(take(&w, 7, 1), EL_OK);
    assert_int_equal(p2p_vouch_known(w.vouch, &w.chunk), 7);
    close_world(&w);
}

static void who_has_lost_what_it_read_says_other_blocks_anew(void **state)
{
    struct world w = open_world(8);

    (void)state;
    assert_int_equal(take(&w, 7, 3), EL_OK);
    assert_int_equal(take(&w, 7, 4), EL_OK);
    assert_int_equal(p2p_vouch_known(w.vouch, &w.chunk), 7);
    close_world(&w);
}

static void of_a_chunk_with_two_truths_nothing_is_believed(void **state)
{
    struct world w = open_world(8);
    struct el_digest d;
    struct p2p_manifest m;

    (void)state;
    assert_int_equal(take(&w, 7, 1), EL_OK);
    assert_int_equal(sign(&w, 0, 99), EL_EHASH);
    assert_false(p2p_vouch_hash(w.vouch, &w.chunk, 0, &d));
    assert_int_equal(p2p_vouch_known(w.vouch, &w.chunk), 0);
    assert_int_equal(told(&w, 0, &m), 0);
    assert_int_equal(take(&w, 8, 4), EL_EHASH);
    assert_int_equal(p2p_vouch_known(w.vouch, &w.chunk), 0);
    close_world(&w);
}

static void the_chunk_that_was_not_used_for_longest_makes_room(void **state)
{
    struct world w = open_world(1);
    struct el_chunk_id first = w.chunk;

    (void)state;
    assert_int_equal(sign(&w, 0, 0), EL_OK);
    w.chunk.index = 0;
    assert_int_equal(sign(&w, 0, 0), EL_OK);
    assert_int_equal(p2p_vouch_known(w.vouch, &first), 0);
    assert_int_equal(p2p_vouch_known(w.vouch, &w.chunk), 1);
    close_world(&w);
}

/* ---- more than memory has room for ---- */

static void take_many(struct world *w)
{
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(take_whole(w, 7, i, 0), EL_OK);
}

static void more_chunks_than_memory_has_room_for_can_all_be_given(void **state)
{
    struct world w = open_kept(ROOM);
    unsigned waited = 0;

    (void)state;
    take_many(&w);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_true(can_tell(&w, i));
        waited += load(&w, i);
        assert_int_equal(told_of(&w, i), ALL);
    }
    assert_true(waited >= MANY - ROOM);
    assert_true(counted(&w, "eliop2p_p2p_manifests_read_total") >= MANY - ROOM);
    close_world(&w);
}

static void after_a_restart_all_of_them_can_be_given(void **state)
{
    struct world w = open_kept(ROOM);

    (void)state;
    take_many(&w);
    reopen(&w, ROOM);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_true(can_tell(&w, i));
        assert_true(load(&w, i));
        assert_int_equal(told_of(&w, i), ALL);
    }
    assert_false(can_tell(&w, MANY));
    assert_false(load(&w, MANY));
    close_world(&w);
}

static void nothing_is_told_of_a_chunk_while_it_is_being_read(void **state)
{
    struct el_digest d, right = digest_of(3);
    struct world w = open_kept(1);
    struct el_chunk_id id = chunk_of(0);

    (void)state;
    take_many(&w);
    assert_false(p2p_vouch_hash(w.vouch, &id, 3, &d)); /* from now on it is */
    (void)load(&w, 0);
    assert_true(p2p_vouch_hash(w.vouch, &id, 3, &d));
    assert_memory_equal(&d, &right, sizeof(d));
    close_world(&w);
}

static void all_who_wait_for_a_chunk_are_told_but_not_who_has_left(void **state)
{
    struct world w = open_kept(1);
    struct waiter a, b, c;

    (void)state;
    take_many(&w);
    assert_true(begin_load(&w, 0, &a));
    if (begin_load(&w, 0, &b)) /* unless it was quick */
        p2p_vouch_leave(w.vouch, &b.w);
    if (begin_load(&w, 0, &c))
        wait_for(&w, &c);
    wait_for(&w, &a);
    assert_int_equal(b.woken, 0);
    close_world(&w);
}

/* Another process, which holds the store's file when it is told to: the store's thread hangs then,
 * as on a disk that does not answer, as soon as it has something to write. */
struct holder {
    pid_t pid;
    int fd;
};

static void hold(const char *dir, int fd)
{
    char path[128], byte;
    MDB_env *env;
    MDB_txn *txn;

    EL_ASSERT(read(fd, &byte, 1) == 1);
    (void)snprintf(path, sizeof(path), "%s/manifests", dir);
    EL_ASSERT(mdb_env_create(&env) == 0 && mdb_env_open(env, path, MDB_NOSUBDIR, 0600) == 0);
    EL_ASSERT(mdb_txn_begin(env, NULL, 0, &txn) == 0);
    EL_ASSERT(write(fd, &byte, 1) == 1);
    (void)!read(fd, &byte, 1);
    mdb_txn_abort(txn);
    _exit(0);
}

/* Before there is any thread. */
static struct holder holder_of(const struct world *w)
{
    struct holder h;
    int fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    h.pid = fork();
    if (h.pid == 0) {
        close(fd[0]);
        hold(w->dir, fd[1]);
    }
    assert_true(h.pid > 0);
    close(fd[1]);
    h.fd = fd[0];
    return h;
}

static void begin_hold(const struct holder *h)
{
    char byte = 'h';

    assert_int_equal(write(h->fd, &byte, 1), 1);
    assert_int_equal(read(h->fd, &byte, 1), 1);
}

static void end_hold(struct holder *h)
{
    close(h->fd);
    assert_int_equal(waitpid(h->pid, NULL, 0), h->pid);
}

static void a_store_that_does_not_answer_is_waited_for_once(void **state)
{
    struct world w = open_kept(1);
    struct waiter x = { 0 };
    struct holder h;
    uint32_t i = 0;

    (void)state;
    take_many(&w);
    close_vouch(&w);
    h = holder_of(&w);
    open_vouch(&w, 1);
    p2p_vouch_tick(w.vouch, 1);
    begin_hold(&h);
    assert_int_equal(take_whole(&w, 7, MANY, 0), EL_OK); /* to be written in a second */
    for (bool is_stuck = false; !is_stuck && i < MANY; i++) {
        assert_true(begin_load(&w, i, &x));
        for (unsigned ms = 0; x.woken == 0 && ms < 300; ms++) {
            (void)poll(NULL, 0, 1);
            el_msgq_dispatch(w.queue);
        }
        is_stuck = x.woken == 0;
        (void)poll(NULL, 0, 100);
    }
    p2p_vouch_tick(w.vouch, 999);
    el_msgq_dispatch(w.queue);
    assert_int_equal(x.woken, 0);
    p2p_vouch_tick(w.vouch, 1001);
    wait_for(&w, &x);
    assert_int_equal(told_of(&w, i - 1), 0);
    assert_false(load(&w, MANY - 1)); /* though the store has it */
    end_hold(&h);
    for (unsigned ms = 0; told_of(&w, i - 1) != ALL && ms < WAIT_MS; ms++)
        (void)poll(NULL, 0, 1);
    assert_int_equal(told_of(&w, i - 1), ALL);
    (void)load(&w, MANY - 1);
    assert_int_equal(told_of(&w, MANY - 1), ALL);
    close_world(&w);
}

static void a_part_that_comes_is_put_to_what_the_store_has(void **state)
{
    struct p2p_manifest m = { .chunk = chunk_of(0), .bytes = CACHE_CHUNK_BYTES, .bitmap = 2 };
    struct world w = open_kept(1);
    struct el_key *key = key_of(8);

    (void)state;
    take_many(&w);
    m.blocks[1] = digest_of(1);
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    p2p_manifest_sign(&m, key);
    assert_int_equal(p2p_vouch_take(w.vouch, &m, NULL), EL_OK);
    (void)load(&w, 0);
    assert_int_equal(p2p_vouch_known(w.vouch, &m.chunk), ALL);
    el_key_free(key);
    close_world(&w);
}

static void what_is_forgotten_is_not_in_the_store_either(void **state)
{
    struct el_chunk_id in_memory = chunk_of(MANY - 1), stored = chunk_of(0);
    struct world w = open_kept(ROOM);

    (void)state;
    take_many(&w);
    p2p_vouch_forget(w.vouch, &in_memory);
    p2p_vouch_forget(w.vouch, &stored);
    assert_false(can_tell(&w, 0));
    assert_false(load(&w, 0));
    reopen(&w, ROOM);
    assert_false(can_tell(&w, 0));
    assert_false(can_tell(&w, MANY - 1));
    assert_true(can_tell(&w, 1));
    close_world(&w);
}

static void who_waits_for_what_is_forgotten_is_told(void **state)
{
    struct el_chunk_id id = chunk_of(0);
    struct world w = open_kept(1);
    struct waiter x;

    (void)state;
    take_many(&w);
    assert_true(begin_load(&w, 0, &x));
    p2p_vouch_forget(w.vouch, &id);
    wait_for(&w, &x);
    assert_int_equal(told_of(&w, 0), 0);
    close_world(&w);
}

/* ---- what is distrusted ---- */

static void assert_distrusted(struct world *w, uint32_t index)
{
    assert_false(can_tell(w, index));
    (void)load(w, index);
    assert_int_equal(told_of(w, index), 0);
    assert_int_equal(take_whole(w, 9, index, 0), EL_EHASH);
}

static void what_is_distrusted_stays_so_when_memory_has_no_room_for_it(void **state)
{
    struct world w = open_kept(ROOM);

    (void)state;
    assert_int_equal(take_whole(&w, 7, 0, 0), EL_OK);
    assert_int_equal(take_whole(&w, 8, 0, 100), EL_EHASH);
    for (uint32_t i = 1; i < MANY; i++)
        assert_int_equal(take_whole(&w, 7, i, 0), EL_OK);
    assert_distrusted(&w, 0);
    close_world(&w);
}

static void what_is_distrusted_stays_so_over_a_restart(void **state)
{
    struct world w = open_kept(ROOM);

    (void)state;
    assert_int_equal(take_whole(&w, 7, 0, 0), EL_OK);
    reopen(&w, ROOM); /* it is on disk, as right */
    (void)load(&w, 0);
    assert_int_equal(take_whole(&w, 8, 0, 100), EL_EHASH);
    reopen(&w, ROOM);
    assert_distrusted(&w, 0);
    close_world(&w);
}

static void what_contradicts_the_store_is_found_out(void **state)
{
    struct world w = open_kept(1);

    (void)state;
    take_many(&w);
    (void)take_whole(&w, 8, 0, 100); /* perhaps it is not read yet */
    assert_int_equal(told_of(&w, 0), 0);
    (void)load(&w, 0);
    assert_distrusted(&w, 0);
    reopen(&w, 1);
    assert_distrusted(&w, 0);
    close_world(&w);
}

static void what_is_distrusted_is_forgotten_with_the_rest(void **state)
{
    struct el_chunk_id id = chunk_of(0);
    struct world w = open_kept(ROOM);

    (void)state;
    assert_int_equal(take_whole(&w, 7, 0, 0), EL_OK);
    assert_int_equal(take_whole(&w, 8, 0, 100), EL_EHASH);
    p2p_vouch_forget(w.vouch, &id);
    assert_int_equal(take_whole(&w, 7, 0, 0), EL_OK);
    reopen(&w, ROOM);
    assert_true(can_tell(&w, 0));
    close_world(&w);
}

/* ---- what nobody noticed to be gone ---- */

static void wait_until_gone(struct world *w, uint32_t index)
{
    for (unsigned i = 0; can_tell(w, index) && i < WAIT_MS; i++)
        (void)poll(NULL, 0, 1);
    assert_false(can_tell(w, index));
}

static void what_a_walk_has_not_met_goes_and_what_has_come_since_stays(void **state)
{
    struct world w = open_kept(ROOM);

    (void)state;
    take_many(&w);
    reopen(&w, ROOM);
    p2p_vouch_walk_begin(w.vouch);
    for (uint32_t i = 0; i < MANY; i += 2) {
        struct el_chunk_id id = chunk_of(i);

        p2p_vouch_walk_met(w.vouch, &id);
    }
    assert_int_equal(take_whole(&w, 7, MANY, 0), EL_OK);
    p2p_vouch_sweep(w.vouch);
    wait_until_gone(&w, MANY - 1);
    reopen(&w, ROOM);
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(can_tell(&w, i), i % 2 == 0);
    assert_true(can_tell(&w, MANY));
    close_world(&w);
}

static void without_a_walk_nothing_is_swept(void **state)
{
    struct world w = open_kept(ROOM);

    (void)state;
    take_many(&w);
    reopen(&w, ROOM);
    p2p_vouch_sweep(w.vouch);
    reopen(&w, ROOM);
    assert_true(can_tell(&w, 0));
    close_world(&w);
}

/* ---- what the store should not have ---- */

static void ignore_each(void *arg, const struct el_chunk_id *chunk, bool is_distrusted)
{
    (void)arg;
    (void)chunk;
    (void)is_distrusted;
}

static void ignore_all(void *arg)
{
    (void)arg;
}

static void what_is_damaged_in_the_store_is_as_if_it_was_not_there(void **state)
{
    static const struct p2p_vouch_store_ops ops = { .each = ignore_each, .all_named = ignore_all };
    struct world w = open_kept(ROOM);
    struct p2p_vouch_store *store;
    struct el_chunk_id id = chunk_of(0);
    struct el_buf value = { 0 };

    (void)state;
    close_vouch(&w);
    assert_int_equal(
        p2p_vouch_store_open(
            &(struct p2p_vouch_store_conf){ .dir = w.dir, .max_bytes = EL_GIB, .ops = &ops },
            &store, NULL),
        EL_OK);
    el_buf_add_str(&value, EL_STR("no manifest is like that, nor its length"));
    assert_true(p2p_vouch_store_put(store, &id, false, &value));
    p2p_vouch_store_close(store);
    open_vouch(&w, ROOM);
    assert_true(can_tell(&w, 0));
    assert_true(load(&w, 0));
    assert_int_equal(told_of(&w, 0), 0);
    assert_false(can_tell(&w, 0));
    assert_int_equal(take_whole(&w, 7, 0, 0), EL_OK);
    reopen(&w, ROOM);
    assert_true(load(&w, 0));
    assert_int_equal(told_of(&w, 0), ALL);
    close_world(&w);
}

/* ---- parts that do not go together ---- */

static unsigned lines_with(const char *tag)
{
    struct el_buf lines = { 0 };
    unsigned n = 0;

    el_log_recent(&lines, 256);
    el_bytes_add_u8(&lines, 0);
    for (const char *at = lines.p; (at = strstr(at, tag)) != NULL; at++)
        n++;
    el_buf_deinit(&lines);
    return n;
}

static void a_part_without_room_beside_others_of_its_signer_is_counted_and_said_once(void **state)
{
    struct p2p_manifest m = { .chunk = chunk_of(0), .bytes = CACHE_CHUNK_BYTES };
    struct world w = open_world(ROOM);
    unsigned before = lines_with("p2p.manifest_dropped");
    struct el_digest d;

    (void)state;
    for (uint8_t i = 0; i < 6; i++) { /* its own, from before it lost them */
        m.bitmap = (uint32_t)1 << i;
        m.blocks[i] = digest_of(i);
        assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
        p2p_manifest_sign(&m, w.key);
        assert_int_equal(p2p_vouch_take(w.vouch, &m, NULL), EL_OK);
    }
    assert_true(p2p_vouch_hash(w.vouch, &m.chunk, 3, &d));
    assert_false(p2p_vouch_hash(w.vouch, &m.chunk, 4, &d));
    assert_int_equal(counted(&w, "eliop2p_p2p_manifests_dropped_total"), 2);
    assert_int_equal(lines_with("p2p.manifest_dropped"), before + 1);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_has_signed_is_not_known),
        cmocka_unit_test(what_one_has_signed_who_is_gone_is_signed_by_who_gives_it),
        cmocka_unit_test(what_each_block_was_signed_by_another_is_signed_as_one),
        cmocka_unit_test(what_one_has_signed_who_is_known_is_passed_on_as_it_is),
        cmocka_unit_test(what_this_node_has_read_grows_into_one_manifest),
        cmocka_unit_test(parts_of_several_signers_are_united),
        cmocka_unit_test(an_older_word_of_a_signer_takes_nothing_back),
        cmocka_unit_test(who_has_lost_what_it_read_says_other_blocks_anew),
        cmocka_unit_test(of_a_chunk_with_two_truths_nothing_is_believed),
        cmocka_unit_test(the_chunk_that_was_not_used_for_longest_makes_room),
        cmocka_unit_test(more_chunks_than_memory_has_room_for_can_all_be_given),
        cmocka_unit_test(after_a_restart_all_of_them_can_be_given),
        cmocka_unit_test(nothing_is_told_of_a_chunk_while_it_is_being_read),
        cmocka_unit_test(all_who_wait_for_a_chunk_are_told_but_not_who_has_left),
        cmocka_unit_test(a_store_that_does_not_answer_is_waited_for_once),
        cmocka_unit_test(a_part_that_comes_is_put_to_what_the_store_has),
        cmocka_unit_test(what_is_forgotten_is_not_in_the_store_either),
        cmocka_unit_test(who_waits_for_what_is_forgotten_is_told),
        cmocka_unit_test(what_is_distrusted_stays_so_when_memory_has_no_room_for_it),
        cmocka_unit_test(what_is_distrusted_stays_so_over_a_restart),
        cmocka_unit_test(what_contradicts_the_store_is_found_out),
        cmocka_unit_test(what_is_distrusted_is_forgotten_with_the_rest),
        cmocka_unit_test(what_a_walk_has_not_met_goes_and_what_has_come_since_stays),
        cmocka_unit_test(without_a_walk_nothing_is_swept),
        cmocka_unit_test(what_is_damaged_in_the_store_is_as_if_it_was_not_there),
        cmocka_unit_test(a_part_without_room_beside_others_of_its_signer_is_counted_and_said_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
