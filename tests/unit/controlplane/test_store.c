/* SPDX-License-Identifier: MIT */
/* The same promises of every store: SQLite, one redis-server, a Cluster of six. */
#include "controlplane/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controlplane/backup.h"
#include "controlplane/chunks.h"
#include "controlplane/commands.h"
#include "controlplane/events.h"
#include "controlplane/groups.h"
#include "controlplane/operations.h"
#include "controlplane/plane.h"
#include "controlplane/tokens.h"
#include "tests/lib/control.h"
#include "tests/lib/redis.h"
#include "tests/lib/test.h"

#define LONG_MS 60000u /* nothing should ever take so long */

enum backend { SQLITE, ONE, CLUSTER };

/* Of one test: a store that is empty at its beginning. */
struct place {
    enum backend backend;
    struct redis_servers *servers;
    char dir[64], file[96], prefix[32];
    struct cp_store_redis_conf redis;
};

static struct redis_servers one, six;

static void make_place(struct place *at, enum backend backend)
{
    static unsigned count;

    *at = (struct place){ .backend = backend, .dir = "/tmp/elio-store-XXXXXX" };
    at->servers = backend == ONE ? &one : &six;
    (void)snprintf(at->prefix, sizeof(at->prefix), "test%u", ++count);
    assert_non_null(mkdtemp(at->dir));
    (void)snprintf(at->file, sizeof(at->file), "%s/state", at->dir);
    at->redis = (struct cp_store_redis_conf){ .servers = at->servers->list,
                                              .prefix = at->prefix,
                                              .deadline_ms = 1000 };
}

static void leave_place(struct place *at)
{
    const char *argv[] = { "rm", "-rf", at->dir, NULL };

    assert_true(waitpid(redis_spawn(argv, "/"), NULL, 0) > 0);
}

static struct cp_plane_conf conf_of(struct place *at)
{
    struct cp_plane_conf conf = { .clock = el_clock_system() };

    cp_state_conf_default(&conf.state);
    conf.state.is_placing = false;
    if (at->backend == SQLITE)
        conf.sqlite_path = at->file;
    else
        conf.redis = &at->redis;
    return conf;
}

static struct cp_plane *open_plane(struct place *at)
{
    struct cp_plane_conf conf = conf_of(at);
    struct cp_plane *p = NULL;
    struct el_error err = { 0 };

    if (cp_plane_open(&conf, &p, &err) != EL_OK)
        fail_msg("open: %s", err.text);
    return p;
}

/* ---- waiting ---- */

struct waiting {
    struct cp_wait wait;
    pthread_mutex_t mtx;
    pthread_cond_t done;
    bool is_done;
    enum el_err rc;
};

static void on_durable(struct cp_wait *w, enum el_err rc)
{
    struct waiting *x = EL_ENTRY(w, struct waiting, wait);

    (void)pthread_mutex_lock(&x->mtx);
    x->is_done = true;
    x->rc = rc;
    (void)pthread_cond_signal(&x->done);
    (void)pthread_mutex_unlock(&x->mtx);
}

static enum el_err wait_for(struct cp_plane *p, uint64_t position, uint32_t deadline_ms)
{
    struct waiting x = { .wait.on_durable = on_durable,
                         .mtx = PTHREAD_MUTEX_INITIALIZER,
                         .done = PTHREAD_COND_INITIALIZER };

    cp_plane_wait(p, position, deadline_ms, &x.wait);
    (void)pthread_mutex_lock(&x.mtx);
    while (!x.is_done)
        (void)pthread_cond_wait(&x.done, &x.mtx);
    (void)pthread_mutex_unlock(&x.mtx);
    return x.rc;
}

static uint64_t put_node(struct cp_plane *p, const char *id)
{
    control_register(cp_plane_lock(p), id, "east");
    return cp_plane_unlock(p);
}

static void add_node(struct cp_plane *p, const char *id)
{
    assert_int_equal(wait_for(p, put_node(p, id), LONG_MS), EL_OK);
}

static bool has_node(struct cp_plane *p, const char *id)
{
    bool is_there = cp_node_get(cp_plane_lock(p), el_str_of(id)) != NULL;

    (void)cp_plane_unlock(p);
    return is_there;
}

static size_t count_locations(struct cp_plane *p)
{
    struct cp_metrics m;

    cp_state_metrics(cp_plane_lock(p), &m);
    (void)cp_plane_unlock(p);
    return m.locations;
}

/* Until it is so; whoever waits in vain ends by the test's own time limit. */
#define UNTIL(claim)            \
    do {                        \
        (void)poll(NULL, 0, 5); \
    } while (!(claim))

/* ---- what is written is there ---- */

static void fill(struct cp_plane *p)
{
    struct cp_state *s = cp_plane_lock(p);
    struct cp_token token = { .hash = { 1, 2, 3 }, .role = CP_ROLE_OPERATOR, .name = "me" };
    struct cp_group_said group = { EL_STR("g"), EL_STR("a group"), EL_STR(""), EL_STR("n1") };
    struct cp_policy policy = {
        .prefix = "http://a/", .min_copies = 3, .settings = EL_STR("{}"), .is_replicated = true
    };
    struct cp_order order = { .chunk = control_chunk(1, 5),
                              .action = CP_REPLICATE,
                              .target_node_id = EL_STR("n2") };
    struct cp_scope all = { .kind = CP_SCOPE_ALL };
    const struct cp_command *command;
    struct el_chunk_id ids[200];
    uint64_t version, snapshot;

    for (uint32_t i = 0; i < 200; i++)
        ids[i] = control_chunk(i % 9, i);
    control_register(s, "n1", "east");
    control_register(s, "n2", "west");
    control_report(s, "n1", ids, 200);
    assert_int_equal(cp_token_add(s, &token, NULL), EL_OK);
    assert_int_equal(cp_group_create(s, &group, NULL), EL_OK);
    assert_int_equal(cp_policy_set(s, &policy, NULL), EL_OK);
    assert_int_equal(cp_config_set(s, EL_STR("{\"a\":1}"), &version, NULL), EL_OK);
    assert_int_equal(cp_config_set(s, EL_STR("{\"a\":2}"), &version, NULL), EL_OK);
    assert_int_equal(cp_command_order(s, &order, &command, NULL), EL_OK);
    assert_int_equal(cp_operation_snapshot(s, &all, &snapshot, NULL), EL_OK);
    assert_int_equal(cp_node_drain(s, EL_STR("n2"), true, NULL), EL_OK);
    cp_audit_add(s, EL_STR("me"), EL_STR("node.drain"), EL_STR("n2"), 200);
    assert_int_equal(wait_for(p, cp_plane_unlock(p), LONG_MS), EL_OK);
}

static void check_filled(struct cp_plane *p)
{
    struct cp_state *s = cp_plane_lock(p);
    const uint8_t hash[CP_HASH_BYTES] = { 1, 2, 3 };
    const struct cp_command *command[CP_POLL_MAX];
    const struct cp_operation *operation;
    const struct cp_config *config;
    uint64_t cursor = 0, audits = 0;
    uint32_t member = 0;
    size_t n;

    assert_int_equal(cp_node_count(s), 2);
    assert_string_equal(cp_node_get(s, EL_STR("n1"))->card.zone, "east");
    assert_true(cp_node_get(s, EL_STR("n2"))->is_draining);
    assert_int_equal(cp_node_get(s, EL_STR("n1"))->chunks, 200);
    assert_int_equal(cp_node_get(s, EL_STR("n1"))->report_epoch, 1);
    assert_string_equal(cp_token_find(s, hash)->name, "me");
    assert_string_equal(cp_group_member_next(s, EL_STR("g"), &member)->card.node_id, "n1");
    assert_int_equal(cp_policy_for(s, EL_STR("http://a/b"))->min_copies, 3);
    config = cp_config_get(s, CP_CONFIG_NEWEST);
    assert_int_equal(config->version, 2);
    assert_memory_equal(config->json, "{\"a\":2}", config->n);
    config = cp_config_get(s, 1); /* what was before it is kept */
    assert_memory_equal(config->json, "{\"a\":1}", config->n);
    assert_int_equal(cp_command_poll(s, EL_STR("n2"), command, 10, &n, NULL), EL_OK);
    assert_int_equal(n, 1);
    assert_int_equal(command[0]->chunk.index, 5);
    operation = cp_operation_next(s, &cursor);
    assert_int_equal(operation->kind, CP_SNAPSHOT);
    assert_int_equal(operation->total, 200);
    assert_string_equal(cp_audit_next(s, &audits)->what, "node.drain");
    (void)cp_plane_unlock(p);
}

static void everything_is_there_after_a_restart(void **state)
{
    struct place at;
    struct cp_plane *p;

    make_place(&at, *(enum backend *)*state);
    p = open_plane(&at);
    fill(p);
    cp_plane_close(p, LONG_MS);
    p = open_plane(&at);
    check_filled(p);
    cp_plane_close(p, LONG_MS);
    leave_place(&at);
}

static void what_was_removed_stays_away(void **state)
{
    struct place at;
    struct cp_plane *p;

    make_place(&at, *(enum backend *)*state);
    p = open_plane(&at);
    fill(p);
    assert_int_equal(cp_node_remove(cp_plane_lock(p), EL_STR("n1"), NULL), EL_OK);
    assert_int_equal(wait_for(p, cp_plane_unlock(p), LONG_MS), EL_OK);
    cp_plane_close(p, LONG_MS);
    p = open_plane(&at);
    assert_false(has_node(p, "n1"));
    assert_true(has_node(p, "n2"));
    assert_int_equal(count_locations(p), 0);
    cp_plane_close(p, LONG_MS);
    leave_place(&at);
}

/* ---- killed ---- */

#define ACKNOWLEDGED 1500u

struct registration {
    struct cp_wait wait;
    uint32_t number;
    int fd;
};

static void tell_parent(struct cp_wait *w, enum el_err rc)
{
    struct registration *r = EL_ENTRY(w, struct registration, wait);

    if (rc == EL_OK)
        (void)!write(r->fd, &r->number, sizeof(r->number));
}

/* Some at once and then the next, for as long as it lives; each number that is acknowledged goes to
 * the parent. */
_Noreturn static void register_until_killed(struct place *at, int fd)
{
    struct cp_plane *p = open_plane(at);

    for (uint32_t i = 0;; i++) {
        struct registration *r = el_new(struct registration);
        char id[16];

        (void)snprintf(id, sizeof(id), "k%u", i);
        r->wait.on_durable = tell_parent;
        r->number = i;
        r->fd = fd;
        cp_plane_wait(p, put_node(p, id), LONG_MS, &r->wait);
        if (i % 20 == 19)
            (void)poll(NULL, 0, 10);
    }
}

static void what_was_acknowledged_is_there_after_a_kill(void **state)
{
    static bool is_acknowledged[CP_NODES_MAX];
    uint32_t number, n = 0;
    struct cp_plane *p;
    struct place at;
    int fd[2];
    pid_t child;

    make_place(&at, *(enum backend *)*state);
    memset(is_acknowledged, 0, sizeof(is_acknowledged));
    assert_int_equal(pipe(fd), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(fd[0]);
        register_until_killed(&at, fd[1]);
    }
    (void)close(fd[1]);
    while (read(fd[0], &number, sizeof(number)) == (ssize_t)sizeof(number)) {
        assert_true(number < CP_NODES_MAX);
        is_acknowledged[number] = true;
        if (++n == ACKNOWLEDGED)
            assert_int_equal(kill(child, SIGKILL), 0);
    }
    (void)close(fd[0]);
    assert_true(waitpid(child, NULL, 0) == child);
    assert_true(n >= ACKNOWLEDGED);
    p = open_plane(&at);
    for (uint32_t i = 0; i < CP_NODES_MAX; i++) {
        char id[16];

        (void)snprintf(id, sizeof(id), "k%u", i);
        if (is_acknowledged[i] && !has_node(p, id))
            fail_msg("%s was acknowledged and is not there", id);
    }
    cp_plane_close(p, LONG_MS);
    leave_place(&at);
}

/* ---- one file, one process ---- */

static void a_file_that_another_has_open_is_refused(void **state)
{
    struct cp_plane_conf conf;
    struct cp_plane *p, *second = NULL;
    struct place at;

    (void)state;
    make_place(&at, SQLITE);
    p = open_plane(&at);
    conf = conf_of(&at);
    assert_int_equal(cp_plane_open(&conf, &second, NULL), EL_ECONFLICT);
    cp_plane_close(p, LONG_MS);
    leave_place(&at);
}

static void a_backup_holds_everything(void **state)
{
    struct place at;
    struct cp_plane *p;
    char copy[96];

    (void)state;
    make_place(&at, SQLITE);
    p = open_plane(&at);
    fill(p);
    (void)snprintf(copy, sizeof(copy), "%s/copy", at.dir);
    cp_state_flush(cp_plane_lock(p));
    (void)cp_plane_unlock(p);
    assert_int_equal(wait_for(p, cp_store_put(cp_plane_store(p), NULL), LONG_MS), EL_OK);
    assert_int_equal(cp_store_backup(cp_plane_store(p), copy, NULL), EL_OK);
    cp_plane_close(p, LONG_MS);
    (void)snprintf(at.file, sizeof(at.file), "%s", copy);
    p = open_plane(&at);
    check_filled(p);
    cp_plane_close(p, LONG_MS);
    leave_place(&at);
}

static void a_transaction_takes_so_many_records_and_no_more(void **state)
{
    struct cp_store_status before, after;
    struct cp_state *s;
    struct place at;
    struct cp_plane *p;

    (void)state;
    make_place(&at, SQLITE);
    p = open_plane(&at);
    cp_store_status(cp_plane_store(p), &before);
    s = cp_plane_lock(p);
    for (int i = 0; i < 12000; i++)
        cp_audit_add(s, EL_STR("me"), EL_STR("node.drain"), EL_STR("n2"), 200);
    assert_int_equal(wait_for(p, cp_plane_unlock(p), LONG_MS), EL_OK);
    cp_store_status(cp_plane_store(p), &after);
    assert_true(after.written >= before.written + 12000);
    assert_true(after.commits >= before.commits + 3);
    assert_int_equal(after.pending_bytes, 0);
    cp_plane_close(p, LONG_MS);
    leave_place(&at);
}

/* ---- backups ---- */

struct busy {
    struct cp_plane *p;
    atomic_bool is_over;
};

/* Has something to write at all times. */
static void *write_on(void *arg)
{
    struct busy *b = (struct busy *)arg;

    while (!atomic_load(&b->is_over)) {
        struct cp_state *s = cp_plane_lock(b->p);

        for (int i = 0; i < 500; i++)
            cp_audit_add(s, EL_STR("me"), EL_STR("node.drain"), EL_STR("n2"), 200);
        (void)wait_for(b->p, cp_plane_unlock(b->p), LONG_MS);
    }
    return NULL;
}

static void a_backup_is_whole_however_much_is_written_meanwhile(void **state)
{
    struct busy b = { 0 };
    char path[CP_BACKUP_PATH_MAX];
    struct place at;
    pthread_t writer;

    (void)state;
    make_place(&at, SQLITE);
    b.p = open_plane(&at);
    assert_int_equal(pthread_create(&writer, NULL, write_on, &b), 0);
    for (int64_t i = 0; i < 30; i++) {
        struct el_error err = { 0 };

        if (cp_backup_write(cp_plane_store(b.p), at.dir, i * 1000, path, &err) != EL_OK)
            fail_msg("backup %d: %s", (int)i, err.text);
    }
    atomic_store(&b.is_over, true);
    assert_int_equal(pthread_join(writer, NULL), 0);
    cp_plane_close(b.p, LONG_MS);
    (void)snprintf(at.file, sizeof(at.file), "%.90s", path);
    cp_plane_close(open_plane(&at), LONG_MS);
    leave_place(&at);
}

/* Of that second of 1970. */
static bool has_backup(const struct place *at, unsigned second)
{
    char path[160];

    (void)snprintf(path, sizeof(path), "%s/backups/eliocp-1970-01-01T00:00:%02u.000Z.db", at->dir,
                   second);
    return access(path, F_OK) == 0;
}

static void the_oldest_backups_go_and_never_the_one_just_made(void **state)
{
    char path[CP_BACKUP_PATH_MAX];
    struct place at;
    struct cp_plane *p;

    (void)state;
    make_place(&at, SQLITE);
    p = open_plane(&at);
    for (int64_t second = 10; second < 13; second++)
        assert_int_equal(cp_backup_write(cp_plane_store(p), at.dir, second * 1000, path, NULL),
                         EL_OK);
    cp_backup_prune(at.dir, 2, path);
    assert_true(!has_backup(&at, 10) && has_backup(&at, 11) && has_backup(&at, 12));
    assert_int_equal(cp_backup_write(cp_plane_store(p), at.dir, 5000, path, NULL), EL_OK);
    cp_backup_prune(at.dir, 2, path); /* the clock was set back */
    assert_true(has_backup(&at, 5) && !has_backup(&at, 11) && has_backup(&at, 12));
    cp_plane_close(p, LONG_MS);
    leave_place(&at);
}

static void of_a_backup_that_fails_nothing_is_left(void **state)
{
    char path[CP_BACKUP_PATH_MAX], inside[160];
    struct place at;
    struct cp_plane *p;

    (void)state;
    make_place(&at, SQLITE);
    p = open_plane(&at);
    (void)snprintf(inside, sizeof(inside), "%s/backups", at.dir);
    assert_int_equal(mkdir(inside, 0700), 0);
    (void)snprintf(inside, sizeof(inside), "%s/backups/unfinished.part", at.dir);
    assert_int_equal(mkdir(inside, 0700), 0); /* no file can be made of that name */
    assert_int_equal(cp_backup_write(cp_plane_store(p), at.dir, 1000, path, NULL), EL_EDISK);
    assert_false(has_backup(&at, 1));
    assert_int_equal(rmdir(inside), 0);
    assert_int_equal(cp_backup_write(cp_plane_store(p), at.dir, 1000, path, NULL), EL_OK);
    assert_true(has_backup(&at, 1));
    assert_int_not_equal(access(inside, F_OK), 0);
    cp_plane_close(p, LONG_MS);
    leave_place(&at);
}

/* ---- two on one Redis ---- */

static void what_one_has_taken_the_other_knows(void **state)
{
    struct el_chunk_id ids[100];
    struct cp_plane *a, *b;
    struct place at;

    make_place(&at, *(enum backend *)*state);
    a = open_plane(&at);
    b = open_plane(&at);
    add_node(a, "x");
    UNTIL(has_node(b, "x"));
    for (uint32_t i = 0; i < 100; i++)
        ids[i] = control_chunk(i % 7, i);
    control_report(cp_plane_lock(b), "x", ids, 100);
    (void)cp_plane_unlock(b);
    UNTIL(count_locations(a) == 100);
    assert_int_equal(cp_node_remove(cp_plane_lock(b), EL_STR("x"), NULL), EL_OK);
    (void)cp_plane_unlock(b);
    UNTIL(!has_node(a, "x"));
    assert_int_equal(count_locations(a), 0);
    assert_int_equal(cp_plane_has_duty(a) + cp_plane_has_duty(b), 1);
    cp_plane_close(a, LONG_MS);
    UNTIL(cp_plane_has_duty(b));
    cp_plane_close(b, LONG_MS);
    leave_place(&at);
}

static void set_config(struct cp_plane *p, const char *text)
{
    uint64_t version;

    assert_int_equal(cp_config_set(cp_plane_lock(p), el_str_of(text), &version, NULL), EL_OK);
    (void)cp_plane_unlock(p);
}

static bool has_same_config(struct cp_plane *a, struct cp_plane *b)
{
    char text[2][32];
    struct cp_plane *both[] = { a, b };

    for (unsigned i = 0; i < 2; i++) {
        const struct cp_config *c = cp_config_get(cp_plane_lock(both[i]), CP_CONFIG_NEWEST);

        (void)snprintf(text[i], sizeof(text[i]), "%.*s", (int)c->n, c->json);
        (void)cp_plane_unlock(both[i]);
    }
    return strcmp(text[0], text[1]) == 0;
}

/* Both write the same key as fast as they can; then both believe the same, and so does a third. */
static void two_that_write_the_same_come_to_agree(void **state)
{
    struct cp_plane *a, *b, *c;
    struct place at;

    make_place(&at, *(enum backend *)*state);
    a = open_plane(&at);
    b = open_plane(&at);
    for (unsigned i = 0; i < 500; i++) {
        char text[32];

        (void)snprintf(text, sizeof(text), "{\"a\":%u}", i);
        set_config(a, text);
        text[2] = 'b';
        set_config(b, text);
    }
    add_node(a, "last-a");
    add_node(b, "last-b");
    UNTIL(has_node(a, "last-b") && has_node(b, "last-a") && has_same_config(a, b));
    c = open_plane(&at);
    assert_true(has_same_config(a, c));
    cp_plane_close(a, LONG_MS);
    cp_plane_close(b, LONG_MS);
    cp_plane_close(c, LONG_MS);
    leave_place(&at);
}

/* ---- a store that is away ---- */

static void a_store_that_hangs_is_told_and_gets_everything_when_it_is_back(void **state)
{
    struct place at;
    struct cp_plane *p;
    uint64_t position;

    (void)state;
    make_place(&at, ONE);
    at.redis.deadline_ms = 200;
    p = open_plane(&at);
    add_node(p, "before");
    assert_int_equal(kill(one.pid[0], SIGSTOP), 0);
    position = put_node(p, "meanwhile");
    assert_int_equal(wait_for(p, position, 100), EL_ENOTDURABLE);
    assert_true(has_node(p, "before")); /* what is known is still answered */
    assert_int_equal(kill(one.pid[0], SIGCONT), 0);
    assert_int_equal(wait_for(p, position, LONG_MS), EL_OK);
    cp_plane_close(p, LONG_MS);
    p = open_plane(&at);
    assert_true(has_node(p, "meanwhile"));
    cp_plane_close(p, LONG_MS);
    leave_place(&at);
}

/* So many things, each of them to be durable, that no more should come. Returns the position. */
static uint64_t put_until_full(struct cp_plane *p)
{
    uint64_t position;

    do {
        struct cp_state *s = cp_plane_lock(p);

        for (int i = 0; i < 1000; i++)
            cp_audit_add(s, EL_STR("me"), EL_STR("node.drain"), EL_STR("n2"), 200);
        position = cp_plane_unlock(p);
    } while (!cp_plane_is_full(p));
    return position;
}

static void a_store_that_is_away_is_full_in_the_end_and_loses_nothing(void **state)
{
    struct cp_store_status status;
    struct place at;
    struct cp_plane *p;
    uint64_t position;

    (void)state;
    make_place(&at, ONE);
    at.redis.deadline_ms = 200;
    p = open_plane(&at);
    assert_false(cp_plane_is_full(p));
    assert_int_equal(kill(one.pid[0], SIGSTOP), 0);
    (void)put_node(p, "first");
    position = put_until_full(p);
    cp_store_status(cp_plane_store(p), &status);
    assert_true(status.pending < 1000000); /* there is a bound */
    assert_int_equal(kill(one.pid[0], SIGCONT), 0);
    assert_int_equal(wait_for(p, position, LONG_MS), EL_OK);
    assert_false(cp_plane_is_full(p));
    cp_plane_close(p, LONG_MS);
    p = open_plane(&at);
    assert_true(has_node(p, "first"));
    cp_plane_close(p, LONG_MS);
    leave_place(&at);
}

/* The shards of a primary that is gone are nobody's until a replica has taken its place. */
static struct cp_plane *open_plane_patiently(struct place *at)
{
    struct cp_plane_conf conf = conf_of(at);
    struct cp_plane *p = NULL;

    UNTIL(cp_plane_open(&conf, &p, NULL) == EL_OK);
    return p;
}

static void nothing_that_replicas_have_confirmed_is_lost_with_a_primary(void **state)
{
    struct place at;
    struct cp_plane *p;

    (void)state;
    make_place(&at, CLUSTER);
    at.redis.wait_replicas = 1;
    p = open_plane(&at);
    for (unsigned i = 0; i < 200; i++) {
        char id[16];

        (void)snprintf(id, sizeof(id), "c%u", i);
        add_node(p, id);
    }
    redis_kill(&six, 0);
    at.redis.wait_replicas = 0; /* the shards of that primary have none now */
    cp_plane_close(p, 0);
    p = open_plane_patiently(&at);
    for (unsigned i = 0; i < 200; i++) {
        char id[16];

        (void)snprintf(id, sizeof(id), "c%u", i);
        UNTIL(has_node(p, id));
    }
    add_node(p, "after");
    cp_plane_close(p, LONG_MS);
    leave_place(&at);
}

static int start_all(void **state)
{
    (void)state;
    redis_start(&one, false);
    redis_start(&six, true);
    return 0;
}

static int stop_all(void **state)
{
    (void)state;
    redis_stop(&one);
    redis_stop(&six);
    return 0;
}

static enum backend sqlite = SQLITE, redis = ONE, cluster = CLUSTER;

#define ON(store, test)                                  \
    {                                                    \
#test " (" #store ")", test, NULL, NULL, &store, \
    }
#define ON_ALL(test) ON(sqlite, test), ON(redis, test), ON(cluster, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ALL(everything_is_there_after_a_restart),
        ON_ALL(what_was_removed_stays_away),
        ON_ALL(what_was_acknowledged_is_there_after_a_kill),
        ON(sqlite, a_file_that_another_has_open_is_refused),
        ON(sqlite, a_transaction_takes_so_many_records_and_no_more),
        ON(sqlite, a_backup_holds_everything),
        ON(sqlite, a_backup_is_whole_however_much_is_written_meanwhile),
        ON(sqlite, the_oldest_backups_go_and_never_the_one_just_made),
        ON(sqlite, of_a_backup_that_fails_nothing_is_left),
        ON(redis, what_one_has_taken_the_other_knows),
        ON(cluster, what_one_has_taken_the_other_knows),
        ON(redis, two_that_write_the_same_come_to_agree),
        ON(cluster, two_that_write_the_same_come_to_agree),
        ON(redis, a_store_that_hangs_is_told_and_gets_everything_when_it_is_back),
        ON(redis, a_store_that_is_away_is_full_in_the_end_and_loses_nothing),
        ON(cluster, nothing_that_replicas_have_confirmed_is_lost_with_a_primary),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
