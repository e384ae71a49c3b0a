/* SPDX-License-Identifier: MIT */
/*
 * arena: see arena.h. Each file has a table of its slabs; a slab is in exactly one state:
 *
 *   UNUSED --take--> IN_USE --last slot freed--> FREE --take--> IN_USE
 *    ^  |                                         | ^
 *    |  +---------- ready_begin --> PREPARING <---+ |
 *    |                                 |            |
 *    +--- no memory to be had ---------+------------+   ready_end
 *    |                                              |
 *    +------------------ punched -------------------+   when the other file needs the memory
 *
 * All but UNUSED slabs count as resident. A FREE slab is *ready*, or *worn*: it was exposed and is
 * punched before it is used again, or has not been touched everywhere. Whoever takes a worn one
 * pays for that, and the others do not wait for it: holes are punched and pages touched without the
 * mutex, in slabs and slots that nobody else can reach meanwhile.
 */
#include "cache/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/list.h"

#define MIN_CLASS  12 /* log2 of 4 KiB */
#define CLASSES    9  /* 4 KiB .. 1 MiB */
#define HALF_BYTES (CACHE_SLAB_BYTES / 2)
#define BOTH       3 /* halves, by bit */
#define PAGE_BYTES 4096
#define MAX_SLOTS  (CACHE_SLAB_BYTES >> MIN_CLASS)
#define MAP_WORDS  (MAX_SLOTS / 64)

/* Touched at a time: while the file allocates pages, who wants a hole in it waits. */
#define PIECE_BYTES (256 * EL_KIB)

enum slab_state { SLAB_UNUSED, SLAB_FREE, SLAB_IN_USE, SLAB_PREPARING };

/* By slot: bits, which are in use and which were exposed since they last had new pages; whose. */
struct slot_map {
    uint64_t in_use[MAP_WORDS], exposed[MAP_WORDS];
    struct cache_owner owners[];
};

struct slab {
    struct el_list link; /* FREE: of its file; IN_USE and small: of its class while it has room */
    enum slab_state state;
    uint8_t class; /* small file only */
    uint16_t live; /* slots in use */
    uint8_t given; /* big file: halves that were given out, by bit */
    bool is_exposed;
    struct slot_map *map; /* small file, IN_USE: owned */
};

struct file {
    int fd;
    uint8_t *mem;
    struct slab *slabs;
    uint32_t n, unused_from; /* slabs below unused_from were touched once */
    struct el_list ready;    /* SLAB_FREE, to be used as they are */
    struct el_list worn;     /* SLAB_FREE, the others */
    struct el_list punched;  /* SLAB_UNUSED again */
    uint32_t n_ready;        /* in that list */
    uint64_t n_taken;        /* from it, ever */
};

struct cache_arena {
    pthread_mutex_t mtx;
    struct file big, small;                   /* under mtx, but for fd and mem */
    struct el_list roomy[CLASSES];            /* under mtx; IN_USE slabs with a free slot */
    uint64_t budget, resident, used, charged; /* under mtx but for budget */
    bool is_huge;

    uint32_t n_wanted;       /* under mtx: ready slabs of the big file */
    pthread_cond_t lacking;  /* there are fewer, and one can be had; or is_stopping */
    pthread_cond_t prepared; /* preparing is over */
    struct slab *preparing;  /* under mtx: in no list; NULL: none */
    bool is_refused;         /* under mtx: there was no memory for the last one */
    bool is_stopping;        /* under mtx */
};

static void lock(struct cache_arena *a)
{
    EL_ASSERT(pthread_mutex_lock(&a->mtx) == 0);
}

static void unlock(struct cache_arena *a)
{
    EL_ASSERT(pthread_mutex_unlock(&a->mtx) == 0);
}

/* ---- files ---- */

/* An unnamed file in a tmpfs of its own with huge pages; needs CAP_SYS_ADMIN. -1: not to be had. */
static int open_huge(void)
{
    int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), mount = -1, fd = -1;

    if (fs < 0)
        return -1;
    if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "huge", "always", 0) == 0 &&
        syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", "0", 0) == 0 &&
        syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
    if (mount >= 0) {
        fd = openat(mount, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        (void)close(mount);
    }
    (void)close(fs);
    return fd;
}

/* A mapping that begins on a slab's border, so that huge pages can be mapped as such. */
static uint8_t *map_aligned(int fd, uint64_t bytes)
{
    uint8_t *area = mmap(NULL, bytes + CACHE_SLAB_BYTES, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint8_t *start;

    if (area == MAP_FAILED)
        return NULL;
    start = area + (CACHE_SLAB_BYTES - (uintptr_t)area % CACHE_SLAB_BYTES) % CACHE_SLAB_BYTES;
    if (start > area)
        (void)munmap(area, (size_t)(start - area));
    (void)munmap(start + bytes, (size_t)(area + CACHE_SLAB_BYTES - start));
    if (mmap(start, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
        return NULL;
    return start;
}

static enum el_err open_file(struct file *f, int fd, uint32_t slabs, struct el_error *err)
{
    uint64_t bytes = (uint64_t)slabs * CACHE_SLAB_BYTES;

    f->fd = fd;
    f->n = slabs;
    el_list_init(&f->ready);
    el_list_init(&f->worn);
    el_list_init(&f->punched);
    if (fd < 0)
        return el_fail(err, EL_ESYS, errno, "create the memory of the cache");
    if (ftruncate(fd, (off_t)bytes) != 0)
        return el_fail(err, EL_ESYS, errno, "size the memory of the cache");
    f->mem = map_aligned(fd, bytes);
    if (f->mem == NULL)
        return el_fail(err, EL_ESYS, errno, "map the memory of the cache");
    f->slabs = el_try_alloc((size_t)slabs * sizeof(f->slabs[0]));
    return f->slabs != NULL ? EL_OK : el_fail(err, EL_ENOMEM, 0, "the table of the cache's memory");
}

static void close_file(struct file *f)
{
    if (f->mem != NULL)
        (void)munmap(f->mem, (size_t)f->n * CACHE_SLAB_BYTES);
    if (f->fd >= 0)
        (void)close(f->fd);
    for (uint32_t i = 0; f->slabs != NULL && i < f->n; i++)
        free(f->slabs[i].map);
    free(f->slabs);
}

/* A hole for a slot has to be a hole. Without huge pages in the kernel there is nothing to advise.
 */
static void keep_ordinary(const struct file *f)
{
    (void)madvise(f->mem, (size_t)f->n * CACHE_SLAB_BYTES, MADV_NOHUGEPAGE);
}

enum el_err cache_arena_open(uint64_t bytes, bool huge_pages, struct cache_arena **ret_arena,
                             struct el_error *err)
{
    struct cache_arena *a = el_new(struct cache_arena);
    uint32_t slabs = (uint32_t)el_max_u64(bytes / CACHE_SLAB_BYTES, 1);
    int fd = huge_pages ? open_huge() : -1;
    enum el_err rc;

    EL_ASSERT(pthread_mutex_init(&a->mtx, NULL) == 0);
    EL_ASSERT(pthread_cond_init(&a->lacking, NULL) == 0);
    EL_ASSERT(pthread_cond_init(&a->prepared, NULL) == 0);
    a->budget = el_max_u64(bytes, CACHE_SLAB_BYTES);
    a->is_huge = fd >= 0;
    a->small.fd = -1;
    for (size_t i = 0; i < CLASSES; i++)
        el_list_init(&a->roomy[i]);
    if (fd < 0)
        fd = memfd_create("eliop2p-blocks", MFD_CLOEXEC);
    rc = open_file(&a->big, fd, slabs, err);
    if (rc == EL_OK)
        rc = open_file(&a->small, memfd_create("eliop2p-small", MFD_CLOEXEC), slabs, err);
    if (rc != EL_OK) {
        cache_arena_close(a);
        return rc;
    }
    keep_ordinary(&a->small);
    *ret_arena = a;
    return EL_OK;
}

void cache_arena_close(struct cache_arena *a)
{
    if (a == NULL)
        return;
    close_file(&a->big);
    close_file(&a->small);
    EL_ASSERT(pthread_cond_destroy(&a->prepared) == 0);
    EL_ASSERT(pthread_cond_destroy(&a->lacking) == 0);
    EL_ASSERT(pthread_mutex_destroy(&a->mtx) == 0);
    free(a);
}

bool cache_arena_is_huge(const struct cache_arena *a)
{
    return a->is_huge;
}

static uint64_t offset_of(const struct cache_slot *slot)
{
    return (uint64_t)slot->slab * CACHE_SLAB_BYTES + (uint64_t)slot->index * slot->bytes;
}

int cache_arena_fd(const struct cache_arena *a, const struct cache_slot *slot, uint64_t *ret_offset)
{
    *ret_offset = offset_of(slot);
    return slot->is_big ? a->big.fd : a->small.fd;
}

/* ---- slabs ---- */

static struct slab *slab_at(struct el_list *l)
{
    return EL_ENTRY(l, struct slab, link);
}

/* New pages behind the range; the old ones stay with whoever still refers to them. */
static void punch(const struct file *f, uint64_t offset, uint64_t bytes)
{
    EL_ASSERT(fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                        (off_t)bytes) == 0);
}

static void punch_slab(struct file *f, struct slab *s)
{
    punch(f, (uint64_t)(s - f->slabs) * CACHE_SLAB_BYTES, CACHE_SLAB_BYTES);
    s->is_exposed = false;
}

static struct file *file_of(struct cache_arena *a, const struct slab *s)
{
    return s >= a->big.slabs && s < a->big.slabs + a->big.n ? &a->big : &a->small;
}

static void put_ready_locked(struct file *f, struct slab *s)
{
    s->state = SLAB_FREE;
    el_list_prepend(&f->ready, &s->link);
    f->n_ready++;
}

static struct slab *pop_ready_locked(struct file *f)
{
    struct el_list *l = el_list_pop(&f->ready);

    if (l == NULL)
        return NULL;
    f->n_ready--;
    f->n_taken++;
    return slab_at(l);
}

static struct slab *pop_worn_locked(struct file *f)
{
    struct el_list *l = el_list_pop(&f->worn);

    return l != NULL ? slab_at(l) : NULL;
}

static bool can_prepare_locked(const struct cache_arena *a)
{
    const struct file *f = &a->big;

    if (f->n_ready >= a->n_wanted || a->preparing != NULL || a->is_refused)
        return false;
    if (!el_list_empty(&f->worn))
        return true;
    /* A slab's distance from the budget: else the next charges would have it punched again. */
    return (f->unused_from < f->n || !el_list_empty(&f->punched)) &&
           a->resident + a->charged + 2 * CACHE_SLAB_BYTES <= a->budget;
}

/* After anything that may have made it possible, or necessary. */
static void stir_locked(struct cache_arena *a)
{
    if (can_prepare_locked(a))
        EL_ASSERT(pthread_cond_signal(&a->lacking) == 0);
}

/* What is being prepared may be all that is left. False: nothing is. Releases the mutex. */
static bool await_prepared_locked(struct cache_arena *a)
{
    if (a->preparing == NULL)
        return false;
    EL_ASSERT(pthread_cond_wait(&a->prepared, &a->mtx) == 0);
    return true;
}

/* Slabs about to lose their memory, in no other list. */
struct victims {
    struct el_list slabs;
    uint64_t bytes;
};

/* Those go first that would have to be punched anyway. */
static struct slab *pop_victim_locked(struct cache_arena *a)
{
    struct slab *s = pop_worn_locked(&a->big);

    if (s == NULL)
        s = pop_worn_locked(&a->small);
    if (s == NULL)
        s = pop_ready_locked(&a->big);
    return s != NULL ? s : pop_ready_locked(&a->small);
}

/*
 * Moves free slabs to `victims` until `more` fits in the budget, as far as there are any. They
 * count as resident until they are punched.
 */
static bool make_room_locked(struct cache_arena *a, uint64_t more, struct victims *victims)
{
    while (a->resident + a->charged + more > a->budget + victims->bytes) {
        struct slab *s = pop_victim_locked(a);

        if (s == NULL)
            return false;
        s->state = SLAB_UNUSED;
        el_list_append(&victims->slabs, &s->link);
        victims->bytes += CACHE_SLAB_BYTES;
    }
    return true;
}

/* Releases the mutex meanwhile. */
static void punch_victims_locked(struct cache_arena *a, struct victims *victims)
{
    struct el_list *l, *tmp;

    if (el_list_empty(&victims->slabs))
        return;
    unlock(a);
    EL_LIST_EACH (l, tmp, &victims->slabs)
        punch_slab(file_of(a, slab_at(l)), slab_at(l));
    lock(a);
    while ((l = el_list_pop(&victims->slabs)) != NULL) {
        a->resident -= CACHE_SLAB_BYTES;
        el_list_append(&file_of(a, slab_at(l))->punched, l);
    }
}

/* A slab that has no memory yet; NULL: the file has no more. */
static struct slab *unused_slab_locked(struct cache_arena *a, struct file *f)
{
    struct el_list *l = el_list_pop(&f->punched);

    if (l == NULL && f->unused_from == f->n)
        return NULL;
    a->resident += CACHE_SLAB_BYTES;
    return l != NULL ? slab_at(l) : &f->slabs[f->unused_from++];
}

static struct slab *find_slab_locked(struct cache_arena *a, struct file *f, uint64_t extra,
                                     struct victims *victims)
{
    struct slab *s;

    /* With charges above the budget even a free slab of the own file may have to go. */
    if (!make_room_locked(a, extra, victims))
        return NULL;
    s = pop_ready_locked(f);
    if (s == NULL)
        s = pop_worn_locked(f);
    if (s == NULL && make_room_locked(a, CACHE_SLAB_BYTES + extra, victims))
        s = unused_slab_locked(a, f);
    return s;
}

/*
 * A slab for the caller alone, who will charge `extra` beside it. NULL: the budget is used up.
 * Releases the mutex while it punches.
 */
static struct slab *take_slab_locked(struct cache_arena *a, struct file *f, uint64_t extra)
{
    struct victims victims = { EL_LIST_INIT(victims.slabs), 0 };
    struct slab *s;

    do {
        s = find_slab_locked(a, f, extra, &victims);
    } while (s == NULL && await_prepared_locked(a));
    if (s != NULL) {
        el_list_init(&s->link);
        s->state = SLAB_IN_USE;
        s->live = 0;
        s->given = 0;
        a->is_refused = false;
    }
    punch_victims_locked(a, &victims);
    stir_locked(a);
    if (s != NULL && s->is_exposed) {
        unlock(a);
        punch_slab(f, s);
        lock(a);
    }
    return s;
}

void cache_arena_trim(struct cache_arena *a)
{
    struct victims victims = { EL_LIST_INIT(victims.slabs), 0 };

    lock(a);
    while (!make_room_locked(a, 0, &victims)) {
        if (!await_prepared_locked(a))
            break; /* what is in use stays */
    }
    punch_victims_locked(a, &victims);
    stir_locked(a);
    unlock(a);
}

static unsigned slots_of(unsigned class)
{
    return (unsigned)(CACHE_SLAB_BYTES >> (MIN_CLASS + class));
}

static size_t map_bytes(unsigned class)
{
    return sizeof(struct slot_map) + slots_of(class) * sizeof(struct cache_owner);
}

static void free_slab_locked(struct cache_arena *a, struct file *f, struct slab *s)
{
    if (s->map != NULL)
        a->charged -= map_bytes(s->class);
    free(s->map);
    s->map = NULL;
    el_list_remove(&s->link);
    if (!s->is_exposed && (f == &a->small || s->given == BOTH)) {
        put_ready_locked(f, s);
    } else {
        s->state = SLAB_FREE;
        el_list_prepend(&f->worn, &s->link);
    }
    a->is_refused = false;
    stir_locked(a);
}

/* ---- pairs of blocks ---- */

static void fill_slot(struct file *f, struct slab *s, uint64_t bytes, unsigned index, bool is_big,
                      struct cache_slot *ret)
{
    *ret = (struct cache_slot){
        .slab = (uint32_t)(s - f->slabs),
        .bytes = (uint32_t)bytes,
        .index = (uint16_t)index,
        .is_big = is_big,
    };
    ret->mem = f->mem + offset_of(ret);
}

static void give_half_locked(struct cache_arena *a, struct slab *s, unsigned half,
                             struct cache_slot *ret_slot)
{
    s->given |= (uint8_t)(1u << half);
    s->live++;
    a->used += HALF_BYTES;
    fill_slot(&a->big, s, HALF_BYTES, half, true, ret_slot);
}

bool cache_arena_take_pair(struct cache_arena *a, unsigned half, struct cache_slot *ret_slot)
{
    struct slab *s;

    lock(a);
    s = take_slab_locked(a, &a->big, 0);
    if (s != NULL)
        give_half_locked(a, s, half, ret_slot);
    unlock(a);
    return s != NULL;
}

bool cache_arena_take_half(struct cache_arena *a, const struct cache_slot *other, unsigned half,
                           struct cache_slot *ret_slot)
{
    struct slab *s = &a->big.slabs[other->slab];
    bool is_new;

    EL_ASSERT(other->is_big);
    lock(a);
    is_new = (s->given & (1u << half)) == 0;
    if (is_new)
        give_half_locked(a, s, half, ret_slot);
    unlock(a);
    return is_new;
}

/* ---- short pieces ---- */

static unsigned class_of(uint64_t bytes)
{
    unsigned class = 0;

    while (((uint64_t)1 << (MIN_CLASS + class)) < bytes)
        class ++;
    EL_ASSERT(class < CLASSES);
    return class;
}

static unsigned free_slot(const struct slab *s)
{
    unsigned n = slots_of(s->class);

    for (unsigned w = 0; w * 64 < n; w++) {
        if (~s->map->in_use[w] != 0)
            return w * 64 + (unsigned)__builtin_ctzll(~s->map->in_use[w]);
    }
    el_assert_failed("a slab with room has a free slot", __FILE__, __LINE__);
}

static struct slab *roomy_slab_locked(struct cache_arena *a, unsigned class)
{
    struct slab *s;

    if (!el_list_empty(&a->roomy[class]))
        return slab_at(a->roomy[class].next);
    s = take_slab_locked(a, &a->small, map_bytes(class));
    if (s == NULL)
        return NULL;
    s->class = (uint8_t) class;
    s->map = el_alloc(map_bytes(class));
    a->charged += map_bytes(class);
    el_list_append(&a->roomy[class], &s->link);
    return s;
}

/* True: the slot was exposed and wants new pages first. */
static bool use_slot_locked(struct cache_arena *a, struct slab *s, unsigned index,
                            const struct cache_owner *owner)
{
    uint64_t bit = (uint64_t)1 << (index % 64);
    bool was_exposed = (s->map->exposed[index / 64] & bit) != 0;

    s->map->exposed[index / 64] &= ~bit;
    s->map->in_use[index / 64] |= bit;
    s->map->owners[index] = *owner;
    a->used += (uint64_t)1 << (MIN_CLASS + s->class);
    if (++s->live == slots_of(s->class))
        el_list_remove(&s->link);
    return was_exposed;
}

bool cache_arena_take_small(struct cache_arena *a, uint64_t bytes, const struct cache_owner *owner,
                            struct cache_slot *ret_slot)
{
    unsigned class = class_of(bytes), index;
    uint64_t size = (uint64_t)1 << (MIN_CLASS + class);
    bool was_exposed = false;
    struct slab *s;

    lock(a);
    s = roomy_slab_locked(a, class);
    if (s != NULL) {
        index = free_slot(s);
        fill_slot(&a->small, s, size, index, false, ret_slot);
        was_exposed = use_slot_locked(a, s, index, owner);
    }
    unlock(a);
    if (was_exposed)
        punch(&a->small, offset_of(ret_slot), size);
    return s != NULL;
}

size_t cache_arena_mates(struct cache_arena *a, uint32_t slab, struct cache_owner *ret_owners)
{
    const struct slab *s = &a->small.slabs[slab];
    size_t n = 0;

    lock(a);
    for (unsigned i = 0; s->map != NULL && i < slots_of(s->class); i++) {
        if ((s->map->in_use[i / 64] >> (i % 64) & 1) != 0)
            ret_owners[n++] = s->map->owners[i];
    }
    unlock(a);
    return n;
}

static void free_small_locked(struct cache_arena *a, struct slab *s, unsigned index)
{
    s->map->in_use[index / 64] &= ~((uint64_t)1 << (index % 64));
    if (s->live + 1u == slots_of(s->class))
        el_list_append(&a->roomy[s->class], &s->link);
}

/* ---- all slots ---- */

void cache_arena_expose(struct cache_arena *a, const struct cache_slot *slot)
{
    struct slab *s = slot->is_big ? &a->big.slabs[slot->slab] : &a->small.slabs[slot->slab];

    lock(a);
    s->is_exposed = true;
    if (!slot->is_big)
        s->map->exposed[slot->index / 64] |= (uint64_t)1 << (slot->index % 64);
    unlock(a);
}

void cache_arena_free(struct cache_arena *a, struct cache_slot *slot)
{
    struct file *f = slot->is_big ? &a->big : &a->small;
    struct slab *s = &f->slabs[slot->slab];

    if (slot->mem == NULL)
        return;
    lock(a);
    EL_ASSERT(s->state == SLAB_IN_USE && s->live > 0);
    a->used -= slot->bytes;
    s->live--;
    if (!slot->is_big)
        free_small_locked(a, s, slot->index);
    if (s->live == 0)
        free_slab_locked(a, f, s);
    unlock(a);
    *slot = (struct cache_slot){ 0 };
}

/* ---- memory made ready ---- */

void cache_arena_ready_want(struct cache_arena *a, uint64_t bytes)
{
    lock(a);
    a->n_wanted = (uint32_t)el_min_u64(bytes / CACHE_SLAB_BYTES, a->big.n);
    stir_locked(a);
    unlock(a);
}

bool cache_arena_ready_await(struct cache_arena *a)
{
    bool is_stopping;

    lock(a);
    while (!a->is_stopping && !can_prepare_locked(a))
        EL_ASSERT(pthread_cond_wait(&a->lacking, &a->mtx) == 0);
    is_stopping = a->is_stopping;
    unlock(a);
    return !is_stopping;
}

bool cache_arena_ready_is_low(struct cache_arena *a, uint64_t *ret_taken)
{
    bool is_low;

    lock(a);
    is_low = 4 * a->big.n_ready < a->n_wanted;
    *ret_taken = a->big.n_taken;
    unlock(a);
    return is_low;
}

void cache_arena_ready_stop(struct cache_arena *a)
{
    lock(a);
    a->is_stopping = true;
    EL_ASSERT(pthread_cond_broadcast(&a->lacking) == 0);
    unlock(a);
}

bool cache_arena_ready_begin(struct cache_arena *a)
{
    bool can;

    lock(a);
    can = can_prepare_locked(a);
    if (can) {
        a->preparing = pop_worn_locked(&a->big);
        if (a->preparing == NULL)
            a->preparing = unused_slab_locked(a, &a->big);
        a->preparing->state = SLAB_PREPARING;
    }
    unlock(a);
    return can;
}

/*
 * Pages that cannot be had are SIGBUS where they are touched, so the file is asked for them first.
 * MADV_POPULATE_WRITE would do both at once, but holds the lock of the whole address space for as
 * long as it takes; a fault holds it for a page, and in newer kernels not even that.
 */
static bool touch(const struct file *f, uint64_t offset, uint64_t bytes)
{
    if (fallocate(f->fd, 0, (off_t)offset, (off_t)bytes) != 0)
        return false;
    for (uint64_t i = 0; i < bytes; i += PAGE_BYTES)
        *(volatile uint8_t *)(f->mem + offset + i) = 0;
    return true;
}

bool cache_arena_ready_touch(struct cache_arena *a)
{
    struct file *f = &a->big;
    struct slab *s = a->preparing; /* nobody else changes it until it ends */
    uint64_t start = (uint64_t)(s - f->slabs) * CACHE_SLAB_BYTES;
    uint64_t piece = a->is_huge ? CACHE_SLAB_BYTES : PIECE_BYTES;

    if (s->is_exposed)
        punch_slab(f, s);
    for (uint64_t at = 0; at < CACHE_SLAB_BYTES; at += piece) {
        if (!touch(f, start + at, piece)) {
            punch_slab(f, s);
            return false;
        }
    }
    return true;
}

void cache_arena_ready_end(struct cache_arena *a, bool is_touched)
{
    struct slab *s;

    lock(a);
    s = a->preparing;
    EL_ASSERT(s->state == SLAB_PREPARING);
    a->preparing = NULL;
    if (is_touched) {
        put_ready_locked(&a->big, s);
    } else {
        s->state = SLAB_UNUSED;
        el_list_append(&a->big.punched, &s->link);
        a->resident -= CACHE_SLAB_BYTES;
        a->is_refused = true;
    }
    EL_ASSERT(pthread_cond_broadcast(&a->prepared) == 0);
    unlock(a);
}

/* ---- the budget ---- */

void cache_arena_charge(struct cache_arena *a, int64_t bytes)
{
    lock(a);
    a->charged = (uint64_t)((int64_t)a->charged + bytes);
    stir_locked(a);
    unlock(a);
}

void cache_arena_stats_get(struct cache_arena *a, struct cache_arena_stats *ret)
{
    lock(a);
    ret->budget = a->budget;
    ret->used = a->used + a->charged;
    ret->resident = a->resident + a->charged;
    ret->ready = (uint64_t)a->big.n_ready * CACHE_SLAB_BYTES;
    unlock(a);
}
