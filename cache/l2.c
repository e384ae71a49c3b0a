/* SPDX-License-Identifier: MIT */
/* l2: the SSD tier as a whole: opening and closing its stores, and what the cache says to them. */
#include "cache/l2_store.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RING_DEPTH    64
#define RING_WORKERS  8
#define MIN_REGIONS   4
#define MAX_VERIFIERS 4 /* threads; no more than there are processors */
#define KEPT_FREE_SHARE \
    10               /* where it does not fit as configured, a tenth of the filesystem stays free */
#define BUSY_SHARE 8 /* an eighth of the memory tier may be in the hands of the disks, each way */

static const struct l2_health_conf health_conf = {
    .degrade_after = 3,
    .down_after = 10,
    .probe_every_ms = 1000,
    .recover_after = 3,
    .no_room_ms = 10000,
};

/* ---- which store ---- */

uint64_t l2_heat_key(const struct cache_object_id *id, uint64_t chunk)
{
    uint64_t h;

    memcpy(&h, id->v, sizeof(h));
    return (h ^ chunk) * 0x9e3779b97f4a7c15u; /* the chunks of an object far apart */
}

struct l2_store *l2_store_of(struct cache_l2 *l2, const struct cache_object_id *id, uint64_t chunk)
{
    return l2->stores[(l2_heat_key(id, chunk) >> 32) % l2->n_stores];
}

static bool is_ready(struct l2_store *s)
{
    return atomic_load(&s->phase) == L2_READY;
}

/* ---- a directory ---- */

static enum el_err make_dirs(const char *dir, struct el_error *err)
{
    char *path = el_strndup(dir, strlen(dir));
    enum el_err rc = EL_OK;

    for (char *p = path + 1; rc == EL_OK && *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            rc = el_fail(err, EL_EDISK, errno, "mkdir %s", path);
        *p = '/';
    }
    if (rc == EL_OK && mkdir(path, 0700) != 0 && errno != EEXIST)
        rc = el_fail(err, EL_EDISK, errno, "mkdir %s", path);
    free(path);
    return rc;
}

static int open_in(const char *dir, const char *name, int flags)
{
    char path[512];

    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(path, flags | O_CLOEXEC, 0600);
}

static enum el_err lock_dir(struct l2_store *s, struct el_error *err)
{
    s->lock_fd = open_in(s->dir, "lock", O_RDWR | O_CREAT);
    if (s->lock_fd < 0)
        return el_fail(err, EL_EDISK, errno, "%s/lock", s->dir);
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return EL_OK;
    if (errno == EWOULDBLOCK)
        return el_fail(err, EL_ECONF, 0,
                       "cache.disk_cache_path: %s is in use by another node on this machine",
                       s->dir);
    return el_fail(err, EL_EDISK, errno, "flock %s/lock", s->dir);
}

/* 0, or an errno and the file as long as it was: ext4 and XFS keep what they could allocate. */
static int allocate(const struct l2_store *s, uint64_t bytes, uint64_t have)
{
    int code;

    if (fallocate(s->fd, 0, 0, (off_t)bytes) == 0)
        return 0;
    code = errno;
    if (code == EOPNOTSUPP)
        return ftruncate(s->fd, (off_t)bytes) == 0 ? 0 : errno;
    return ftruncate(s->fd, (off_t)have) == 0 ? code : errno;
}

/* 0 and s->bytes what the disk has room for, or an errno. */
static int allocate_less(struct l2_store *s, uint64_t have)
{
    struct statvfs vfs;
    uint64_t room;

    if (fstatvfs(s->fd, &vfs) != 0)
        return errno;
    room = have + vfs.f_bavail * vfs.f_frsize;
    room -= el_min_u64(room, vfs.f_blocks * vfs.f_frsize / KEPT_FREE_SHARE);
    room -= room % L2_REGION_BYTES;
    el_log(EL_WARN, EV_DISK_SMALLER, "dir=%s configured_bytes=%llu bytes=%llu", s->dir,
           (unsigned long long)s->bytes, (unsigned long long)room);
    if (room < MIN_REGIONS * L2_REGION_BYTES)
        return ENOSPC;
    s->bytes = room;
    if (have > room && ftruncate(s->fd, (off_t)room) != 0)
        return errno;
    return allocate(s, room, el_min_u64(have, room));
}

enum el_err l2_store_set_size(struct l2_store *s, struct el_error *err)
{
    struct stat st;
    uint64_t have;
    int code;

    if (fstat(s->fd, &st) != 0)
        return el_fail(err, EL_EDISK, errno, "%s/store", s->dir);
    if (S_ISBLK(st.st_mode))
        return EL_OK;
    have = (uint64_t)st.st_size;
    if (have > s->bytes && ftruncate(s->fd, (off_t)s->bytes) != 0)
        return el_fail(err, EL_EDISK, errno, "%s/store", s->dir);
    have = el_min_u64(have, s->bytes);
    code = allocate(s, s->bytes, have);
    if (code == ENOSPC)
        code = allocate_less(s, have);
    return code == 0 ? EL_OK : el_fail(err, EL_EDISK, code, "%s/store", s->dir);
}

/* The device is ours alone: on one that is mounted, or part of something else, it fails. */
static enum el_err open_device(struct l2_store *s, struct el_error *err)
{
    uint64_t have;

    s->fd = open_in(s->dir, "store", O_RDWR | O_EXCL | O_DIRECT);
    s->is_direct = true;
    if (s->fd < 0 || ioctl(s->fd, BLKGETSIZE64, &have) != 0)
        return el_fail(err, EL_EDISK, errno, "%s/store", s->dir);
    s->bytes = el_min_u64(s->bytes, have - have % L2_REGION_BYTES);
    if (s->bytes < MIN_REGIONS * L2_REGION_BYTES)
        return el_fail(err, EL_EDISK, ENOSPC, "%s/store", s->dir);
    return EL_OK;
}

static bool is_device(const char *dir)
{
    char path[512];
    struct stat st;

    return snprintf(path, sizeof(path), "%s/store", dir) < (int)sizeof(path) &&
           stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

static enum el_err open_regions(struct l2_store *s, struct el_error *err)
{
    struct stat st;

    if (is_device(s->dir))
        return open_device(s, err);
    s->fd = open_in(s->dir, "store", O_RDWR | O_CREAT | O_DIRECT);
    s->is_direct = s->fd >= 0;
    if (s->fd < 0 && errno == EINVAL)
        s->fd = open_in(s->dir, "store", O_RDWR | O_CREAT);
    if (s->fd < 0 || fstat(s->fd, &st) != 0)
        return el_fail(err, EL_EDISK, errno, "%s/store", s->dir);
    /* An index without its store is of no use. */
    return st.st_size == 0 ? l2_index_discard(s->dir, err) : EL_OK;
}

static int64_t read_state(void *arg)
{
    return atomic_load(&((struct l2_store *)arg)->state);
}

static int64_t read_limit(void *arg)
{
    return (int64_t)atomic_load(&((struct l2_store *)arg)->limit_bytes);
}

static int64_t read_used(void *arg)
{
    return (int64_t)atomic_load(&((struct l2_store *)arg)->live_bytes);
}

static int64_t read_free(void *arg)
{
    return (int64_t)atomic_load(&((struct l2_store *)arg)->n_free);
}

static int64_t read_regions(void *n)
{
    return (int64_t)atomic_load((_Atomic uint64_t *)n);
}

static void register_heat(struct l2_store *s)
{
    static const char *const names[] = {
        [CACHE_COLD] = "cold", [CACHE_WARM] = "warm", [CACHE_HOT] = "hot"
    };
    char labels[48];

    for (size_t i = 0; i < EL_COUNT(names); i++) {
        (void)snprintf(labels, sizeof(labels), "store=\"%u\",heat=\"%s\"", s->number, names[i]);
        el_metrics_gauge_fn(s->l2->cache->conf.metrics, "eliop2p_disk_regions",
                            "Regions in use by accesses an hour: more than 100, 10 to 100, fewer.",
                            labels, read_regions, &s->n_heat[i]);
    }
}

static void register_metrics(struct l2_store *s)
{
    struct el_metrics *m = s->l2->cache->conf.metrics;
    char labels[32];

    (void)snprintf(labels, sizeof(labels), "store=\"%u\"", s->number);
#define COUNT(field, name, help) \
    s->count.field = el_metrics_counter(m, "eliop2p_disk_" name "_total", help, labels)
    COUNT(read_blocks, "read_blocks", "Blocks read from the SSD tier and verified.");
    COUNT(read_bytes, "read_bytes", "Bytes of them.");
    COUNT(written_blocks, "written_blocks", "Blocks written to the SSD tier.");
    COUNT(written_bytes, "written_bytes", "Bytes of them.");
    COUNT(mismatches, "mismatches", "Blocks whose bytes were not what was written: dropped.");
    COUNT(read_errors, "read_errors", "Reads that failed.");
    COUNT(write_errors, "write_errors", "Writes and commits that failed.");
    COUNT(late_reads, "late_reads", "Reads that missed their deadline.");
    COUNT(dropped_behind, "dropped_behind", "Blocks not written because the disk was behind.");
    COUNT(dropped_unadmitted, "dropped_unadmitted",
          "Blocks not written because what is there is asked for more often.");
    COUNT(evicted_chunks, "evicted_chunks", "Chunks evicted from the SSD tier.");
    COUNT(moved_blocks, "moved_blocks", "Blocks written again because they were worth keeping.");
    COUNT(scrubbed_bytes, "scrubbed_bytes", "Bytes verified in the background.");
#undef COUNT
    el_metrics_gauge_fn(m, "eliop2p_disk_state", "0: normal, 1: degraded, 2: down.", labels,
                        read_state, s);
    el_metrics_gauge_fn(m, "eliop2p_disk_limit_bytes", "Size of the store.", labels, read_limit, s);
    el_metrics_gauge_fn(m, "eliop2p_disk_used_bytes", "Bytes of it that are in use.", labels,
                        read_used, s);
    el_metrics_gauge_fn(m, "eliop2p_disk_free_regions", "Regions of 16 MiB without a use.", labels,
                        read_free, s);
    register_heat(s);
}

static enum el_err open_ring(struct l2_store *s, struct el_error *err)
{
    char name[16];
    const struct el_ring_conf conf = {
        .thread_name = name,
        .backend = s->l2->conf.io,
        .depth = RING_DEPTH,
        .workers = RING_WORKERS,
        .fault = s->l2->conf.fault,
        .fault_arg = s->l2->conf.fault_arg,
    };
    enum el_err rc;

    (void)snprintf(name, sizeof(name), "disk-%u", s->number);
    rc = el_ring_new(&conf, &s->ring, err);
    if (rc == EL_OK && el_ring_refusal(s->ring)->code != EL_OK && s->number == 0)
        el_log_error(EL_WARN, EV_DISK_NO_URING, el_ring_refusal(s->ring));
    return rc;
}

static void close_store(struct l2_store *s)
{
    if (s == NULL)
        return;
    el_ring_free(s->ring);
    l2_index_close(s->index);
    for (size_t i = 0; i < EL_COUNT(s->commits); i++) {
        l2_batch_deinit(&s->commits[i].batch);
        free(s->commits[i].leaving);
    }
    l2_map_free(s->map);
    l2_regions_free(s->regions);
    cache_sketch_free(s->sketch);
    l2_known_free(s->known);
    if (s->fd >= 0)
        (void)close(s->fd);
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd);
    free(s->dirty);
    free(s->dir);
    free(s);
}

static void on_load(struct el_msg *m)
{
    l2_load_store(EL_ENTRY(m, struct l2_store, load_msg));
}

static enum el_err open_store(struct cache_l2 *l2, const char *dir, uint64_t bytes,
                              struct l2_store **ret, struct el_error *err)
{
    struct l2_store *s = el_new(struct l2_store);
    enum el_err rc;

    s->magic = L2_STORE_MAGIC;
    s->l2 = l2;
    s->number = (unsigned)l2->n_stores;
    s->dir = el_strndup(dir, strlen(dir));
    s->bytes = el_max_u64(bytes - bytes % L2_REGION_BYTES, MIN_REGIONS * L2_REGION_BYTES);
    s->lock_fd = s->fd = -1;
    s->known = l2_known_new();
    el_list_init(&s->waiting);
    el_list_init(&s->reading);
    el_list_init(&s->hungry);
    el_msg_init(&s->load_msg, on_load);
    el_rng_seed_random(&s->rng);
    rc = make_dirs(dir, err);
    if (rc == EL_OK)
        rc = lock_dir(s, err);
    if (rc == EL_OK)
        rc = open_regions(s, err);
    if (rc == EL_OK)
        rc = open_ring(s, err);
    if (rc != EL_OK) {
        close_store(s);
        return rc;
    }
    s->map = l2_map_new();
    l2_health_init(&s->health, &health_conf, l2_now_ms());
    register_metrics(s);
    l2_commit_init(s);
    l2_read_init(s);
    *ret = s;
    return EL_OK;
}

/* ---- open and close ---- */

static enum el_err open_stores(struct cache_l2 *l2, const struct cache_disk_conf *conf,
                               struct el_error *err)
{
    uint64_t each = conf->bytes / conf->n_dirs;

    for (size_t i = 0; i < conf->n_dirs; i++) {
        struct el_error why = { 0 };
        struct l2_store *s;
        enum el_err rc = open_store(l2, conf->dirs[i], each, &s, &why);

        if (rc == EL_OK) {
            l2->stores[l2->n_stores++] = s;
            el_log(EL_INFO, EV_DISK_OPEN, "dir=%s bytes=%llu io=%s direct=%d", s->dir,
                   (unsigned long long)s->bytes,
                   el_ring_backend(s->ring) == EL_RING_URING ? "io_uring" : "threads",
                   s->is_direct);
        } else if (rc == EL_ECONF) {
            return el_fail(err, rc, 0, "%s", why.text);
        } else {
            el_log_error(EL_WARN, EV_DISK_DOWN, &why);
        }
    }
    return EL_OK;
}

static unsigned verifier_count(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    return processors < MAX_VERIFIERS ? (unsigned)(processors < 1 ? 1 : processors) : MAX_VERIFIERS;
}

enum el_err cache_l2_open(const struct cache_disk_conf *conf, struct cache *c,
                          struct cache_l2 **ret_l2, struct el_error *err)
{
    struct cache_l2 *l2 = el_new(struct cache_l2);
    enum el_err rc;

    l2->cache = c;
    l2->conf = *conf;
    l2->busy_bytes = c->conf.memory_bytes / BUSY_SHARE / conf->n_dirs;
    l2->waiting_bytes = el_min_u64(8 * conf->write_bytes, 2 * l2->busy_bytes);
    l2->conf.write_bytes = el_min_u64(conf->write_bytes, l2->busy_bytes);
    l2->source.ops = &l2_source_ops;
    EL_ASSERT(conf->n_dirs >= 1 && conf->n_dirs <= CACHE_MAX_STORES);
    EL_ASSERT(pthread_mutex_init(&l2->fills_mtx, NULL) == 0);
    EL_ASSERT(pthread_mutex_init(&l2->loads_mtx, NULL) == 0);
    EL_ASSERT(pthread_cond_init(&l2->loads_done, NULL) == 0);
    rc = l2_verifiers_new(verifier_count(), &l2->verifiers, err);
    if (rc == EL_OK)
        rc = open_stores(l2, conf, err);
    if (rc != EL_OK || l2->n_stores == 0) {
        cache_l2_close(l2);
        *ret_l2 = NULL;
        return rc;
    }
    for (size_t i = 0; i < l2->n_stores; i++)
        el_ring_post(l2->stores[i]->ring, &l2->stores[i]->load_msg);
    *ret_l2 = l2;
    return EL_OK;
}

void l2_task_begin(struct cache_l2 *l2)
{
    EL_ASSERT(pthread_mutex_lock(&l2->loads_mtx) == 0);
    l2->n_tasks++;
    EL_ASSERT(pthread_mutex_unlock(&l2->loads_mtx) == 0);
}

void l2_task_end(struct cache_l2 *l2)
{
    EL_ASSERT(pthread_mutex_lock(&l2->loads_mtx) == 0);
    if (--l2->n_tasks == 0)
        EL_ASSERT(pthread_cond_broadcast(&l2->loads_done) == 0);
    EL_ASSERT(pthread_mutex_unlock(&l2->loads_mtx) == 0);
}

void cache_l2_close(struct cache_l2 *l2)
{
    if (l2 == NULL)
        return;
    EL_ASSERT(pthread_mutex_lock(&l2->loads_mtx) == 0);
    while (l2->n_loads > 0 || l2->n_tasks > 0)
        (void)pthread_cond_wait(&l2->loads_done, &l2->loads_mtx);
    EL_ASSERT(pthread_mutex_unlock(&l2->loads_mtx) == 0);
    /* A read that is still under way is verified when it ends. */
    for (size_t i = 0; i < l2->n_stores; i++)
        l2_store_stop(l2->stores[i]);
    l2_verifiers_free(l2->verifiers); /* before the queues to which they post */
    for (size_t i = 0; i < l2->n_stores; i++)
        close_store(l2->stores[i]);
    EL_ASSERT(pthread_cond_destroy(&l2->loads_done) == 0);
    EL_ASSERT(pthread_mutex_destroy(&l2->loads_mtx) == 0);
    EL_ASSERT(pthread_mutex_destroy(&l2->fills_mtx) == 0);
    free(l2);
}

struct cache_source *cache_l2_source(struct cache_l2 *l2)
{
    return &l2->source;
}

/* ---- what is known ---- */

bool cache_l2_has_url(struct cache_l2 *l2, struct el_str url)
{
    uint64_t hash = cache_url_hash(url);

    for (size_t i = 0; i < l2->n_stores; i++) {
        if (l2_known_has(l2->stores[i]->known, hash))
            return true;
    }
    return false;
}

/* Loads are under way, and none has come to its end for long: the index waits for a disk. */
static bool loads_are_stuck(struct cache_l2 *l2)
{
    return atomic_load(&l2->n_loads) > 0 &&
           l2_now_ms() - atomic_load(&l2->loads_moved_ms) > l2->conf.read_deadline_ms;
}

static bool is_well(struct l2_store *s)
{
    return is_ready(s) && atomic_load(&s->state) == L2_OK;
}

bool cache_l2_knows(struct cache_l2 *l2, struct el_str url)
{
    uint64_t hash = cache_url_hash(url);

    if (loads_are_stuck(l2))
        return false;
    for (size_t i = 0; i < l2->n_stores; i++) {
        if (is_well(l2->stores[i]) && l2_known_has(l2->stores[i]->known, hash))
            return true;
    }
    return false;
}

bool cache_l2_answers(struct cache_l2 *l2)
{
    bool is_any_well = false;

    for (size_t i = 0; i < l2->n_stores; i++)
        is_any_well |= is_well(l2->stores[i]);
    return is_any_well && !loads_are_stuck(l2);
}

/* ---- words to a store: a message each, with what it is about; they come after its load ---- */

struct l2_word {
    struct el_msg msg;
    struct l2_store *store;
    struct cache_object_id id;
    struct cache_object *object; /* referenced; or NULL */
    struct cache_touches *touches;
    uint64_t url_hash;
};

static void tell(struct l2_store *s, struct l2_word *w, void (*on_word)(struct el_msg *))
{
    w->store = s;
    el_msg_init(&w->msg, on_word);
    el_ring_post(s->ring, &w->msg);
}

static void free_word(struct l2_word *w)
{
    cache_object_unref(w->object);
    free(w);
}

static void on_freshen(struct el_msg *m)
{
    struct l2_word *w = EL_ENTRY(m, struct l2_word, msg);
    struct l2_store *s = w->store;
    struct l2_object *o = l2_map_object(s->map, &w->object->id);

    if (o != NULL) {
        struct cache_meta *meta = cache_object_meta(w->object);

        s->n_stale -= o->is_stale;
        o->is_stale = false;
        l2_put_object(s, o, cache_object_url(w->object), meta);
        cache_meta_unref(meta);
    }
    free_word(w);
}

void cache_l2_freshen(struct cache_l2 *l2, struct cache_object *o)
{
    for (size_t i = 0; !o->is_whole_only && i < l2->n_stores; i++) {
        struct l2_word *w = el_new(struct l2_word);

        w->object = cache_object_ref(o);
        tell(l2->stores[i], w, on_freshen);
    }
}

static void on_forget(struct el_msg *m)
{
    struct l2_word *w = EL_ENTRY(m, struct l2_word, msg);
    struct l2_object *o = l2_map_object(w->store->map, &w->id);

    if (o != NULL)
        l2_remove_object(w->store, o);
    free_word(w);
}

void cache_l2_forget(struct cache_l2 *l2, struct cache_object *o)
{
    for (size_t i = 0; !o->is_whole_only && i < l2->n_stores; i++) {
        struct l2_word *w = el_new(struct l2_word);

        w->id = o->id;
        tell(l2->stores[i], w, on_forget);
    }
}

void l2_forget_object(struct l2_store *s, struct l2_object *o)
{
    struct cache_object *loaded = cache_find_version(s->l2->cache, &o->id);

    l2_remove_object(s, o);
    if (loaded != NULL)
        cache_object_kill(loaded);
    cache_object_unref(loaded);
}

static void on_forget_url(struct el_msg *m)
{
    struct l2_word *w = EL_ENTRY(m, struct l2_word, msg);
    struct l2_object *o, *next;

    for (o = l2_map_url(w->store->map, w->url_hash, NULL); o != NULL; o = next) {
        next = l2_map_url(w->store->map, w->url_hash, o);
        l2_forget_object(w->store, o);
    }
    free_word(w);
}

bool cache_l2_forget_url(struct cache_l2 *l2, struct el_str url)
{
    uint64_t hash = cache_url_hash(url);
    bool was_known = false;

    for (size_t i = 0; i < l2->n_stores; i++) {
        struct l2_word *w = el_new(struct l2_word);

        was_known |= l2_known_forget(l2->stores[i]->known, hash);
        w->url_hash = hash;
        tell(l2->stores[i], w, on_forget_url);
    }
    return was_known;
}

/* ---- heat ---- */

static void on_touches(struct el_msg *m)
{
    struct l2_word *w = EL_ENTRY(m, struct l2_word, msg);
    struct l2_store *s = w->store;

    for (size_t i = 0; is_ready(s) && i < w->touches->n; i++) {
        const struct cache_touch *t = &w->touches->v[i];
        struct l2_chunk *c;

        if (l2_store_of(s->l2, &t->id, t->chunk) != s)
            continue;
        cache_sketch_touch(s->sketch, l2_heat_key(&t->id, t->chunk));
        c = l2_map_chunk(s->map, &t->id, (uint32_t)t->chunk);
        if (c != NULL && c->n > 0)
            l2_region_touch(s->regions, c->blocks[0].region, l2_now_ms());
    }
    if (is_ready(s))
        l2_publish_numbers(s);
    if (atomic_fetch_sub(&w->touches->refs, 1) == 1)
        free(w->touches);
    free_word(w);
}

void cache_l2_touches(struct cache_l2 *l2, struct cache_touches *t)
{
    atomic_store(&t->refs, (unsigned)l2->n_stores);
    for (size_t i = 0; i < l2->n_stores; i++) {
        struct l2_word *w = el_new(struct l2_word);

        w->touches = t;
        tell(l2->stores[i], w, on_touches);
    }
}

/* ---- status ---- */

static const char *phase_name(struct l2_store *s)
{
    enum l2_state state = (enum l2_state)atomic_load(&s->state);

    return is_ready(s) || state != L2_OK ? l2_state_name(state) : "loading";
}

static void get_stats(struct l2_store *s, struct cache_store_stats *ret)
{
    *ret = (struct cache_store_stats){
        .state = phase_name(s),
        .io = el_ring_backend(s->ring) == EL_RING_URING ? "io_uring" : "threads",
        .limit_bytes = atomic_load(&s->limit_bytes),
        .used_bytes = atomic_load(&s->live_bytes),
        .index_bytes = is_ready(s) ? l2_index_bytes(s->index) : 0,
        .map_bytes = atomic_load(&s->map_bytes),
        .objects = atomic_load(&s->n_objects),
        .chunks = atomic_load(&s->n_chunks),
        .regions = atomic_load(&s->limit_bytes) / L2_REGION_BYTES,
        .free_regions = atomic_load(&s->n_free),
        .hot_regions = atomic_load(&s->n_heat[CACHE_HOT]),
        .warm_regions = atomic_load(&s->n_heat[CACHE_WARM]),
        .cold_regions = atomic_load(&s->n_heat[CACHE_COLD]),
        .read_blocks = el_counter_get(s->count.read_blocks),
        .read_bytes = el_counter_get(s->count.read_bytes),
        .written_blocks = el_counter_get(s->count.written_blocks),
        .written_bytes = el_counter_get(s->count.written_bytes),
        .mismatches = el_counter_get(s->count.mismatches),
        .read_errors = el_counter_get(s->count.read_errors),
        .write_errors = el_counter_get(s->count.write_errors),
        .late_reads = el_counter_get(s->count.late_reads),
        .dropped_behind = el_counter_get(s->count.dropped_behind),
        .dropped_unadmitted = el_counter_get(s->count.dropped_unadmitted),
        .evicted_chunks = el_counter_get(s->count.evicted_chunks),
        .moved_blocks = el_counter_get(s->count.moved_blocks),
        .scrubbed_bytes = el_counter_get(s->count.scrubbed_bytes),
    };
    (void)snprintf(ret->dir, sizeof(ret->dir), "%s", s->dir); /* a longer one is cut */
}

void cache_l2_stats_get(struct cache_l2 *l2, struct cache_disk_stats *ret)
{
    ret->n = l2->n_stores;
    for (size_t i = 0; i < l2->n_stores; i++)
        get_stats(l2->stores[i], &ret->stores[i]);
}
