/* SPDX-License-Identifier: MIT */
/*
 * l2_map: see l2_map.h. A table is a linear hash (Litwin 1980): each insertion that makes it too
 * full splits one bucket, in order, instead of all of them at once now and then. The array of the
 * buckets' heads still doubles: 4 MiB at a million entries, which realloc() moves without a copy.
 */
#include "cache/l2_map.h"

#include "cache/l2_region.h"

#define FIRST_BUCKETS    64
#define PER_BUCKET       2 /* entries; twice the steps of 1, half the heads */
#define FIRST_PIECES     4
#define FIRST_REGIONS    64
#define PIECE_BLOCK_MASK ((uintptr_t)15)

_Static_assert(CACHE_CHUNK_BLOCKS == PIECE_BLOCK_MASK + 1, "a piece's low bits are its block");
_Static_assert(sizeof(struct l2_object) <= 72, "malloc's next size would be 16 bytes more");
_Static_assert(sizeof(struct l2_chunk) <= 104, "malloc's next size would be 16 bytes more");

typedef uint64_t hash_fn(const struct l2_link *l);

struct table {
    hash_fn *hash_of;
    struct l2_link **heads;
    size_t n_heads, cap, level; /* heads in use, in memory; the power of two at or below n_heads */
    size_t n;
};

/*
 * A chunk and the number of one of its blocks: malloc leaves the low four bits of an address to us.
 */
typedef uintptr_t piece;

struct region {
    piece *pieces;
    uint32_t n, cap;
};

struct l2_map {
    struct table ids, urls, chunks;
    struct region *regions;
    size_t n_regions;
    uint64_t bytes;
};

/* ---- memory ---- */

/* What malloc takes for it: a word before it, in steps of 16, 32 at least. */
static uint64_t cost(size_t bytes)
{
    return el_max_u64(32, ((uint64_t)bytes + 8 + 15) / 16 * 16);
}

static void *take(struct l2_map *m, size_t bytes)
{
    m->bytes += cost(bytes);
    return el_alloc(bytes);
}

static void give_back(struct l2_map *m, void *p, size_t bytes)
{
    if (p == NULL)
        return;
    m->bytes -= cost(bytes);
    free(p);
}

/* `old` with its `have` bytes, larger; what is behind them is not zeroed. */
static void *enlarge(struct l2_map *m, void *old, size_t have, size_t want)
{
    void *p = realloc(old, want);

    EL_ASSERT(p != NULL);
    m->bytes += cost(want) - (old == NULL ? 0 : cost(have));
    return p;
}

/* ---- tables ---- */

/* Every bit of the hash counts: what chose the store was taken from it as well. */
static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

/* Buckets from n_heads to 2 * level are not split off yet: what they will have is `level` below. */
static size_t bucket_of(const struct table *t, uint64_t hash)
{
    size_t at = (size_t)mix(hash) & (2 * t->level - 1);

    return at < t->n_heads ? at : at - t->level;
}

static void table_init(struct l2_map *m, struct table *t, hash_fn *hash_of)
{
    t->hash_of = hash_of;
    t->n_heads = t->cap = t->level = FIRST_BUCKETS;
    t->heads = take(m, t->cap * sizeof(t->heads[0]));
}

static void table_deinit(struct l2_map *m, struct table *t)
{
    give_back(m, t->heads, t->cap * sizeof(t->heads[0]));
}

static void table_widen(struct l2_map *m, struct table *t)
{
    size_t have = t->cap * sizeof(t->heads[0]);

    t->heads = enlarge(m, t->heads, have, 2 * have);
    t->cap *= 2;
}

/* One more bucket, with what belongs there of the one it is split from. */
static void table_split(struct l2_map *m, struct table *t)
{
    size_t to = t->n_heads, from;
    struct l2_link **at;

    if (t->n_heads == t->cap)
        table_widen(m, t);
    t->heads[to] = NULL;
    t->n_heads++;
    from = to - t->level;
    for (at = &t->heads[from]; *at != NULL;) {
        struct l2_link *l = *at;

        if (bucket_of(t, t->hash_of(l)) == from) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        l->next = t->heads[to];
        t->heads[to] = l;
    }
    if (t->n_heads == 2 * t->level)
        t->level *= 2;
}

static void table_add(struct l2_map *m, struct table *t, struct l2_link *l)
{
    struct l2_link **head;

    if (t->n >= t->n_heads * PER_BUCKET)
        table_split(m, t);
    head = &t->heads[bucket_of(t, t->hash_of(l))];
    l->next = *head;
    *head = l;
    t->n++;
}

static void table_remove(struct table *t, struct l2_link *l)
{
    struct l2_link **at = &t->heads[bucket_of(t, t->hash_of(l))];

    while (*at != l) {
        EL_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = l->next;
    t->n--;
}

static struct l2_link *table_bucket(const struct table *t, uint64_t hash)
{
    return t->heads[bucket_of(t, hash)];
}

/* ---- what is hashed ---- */

/* It is a hash already. */
static uint64_t id_hash(const struct cache_object_id *id)
{
    uint64_t h;

    memcpy(&h, id->v, sizeof(h));
    return h;
}

static uint64_t chunk_hash(const struct cache_object_id *id, uint32_t chunk)
{
    return id_hash(id) + chunk;
}

static struct l2_object *object_by_id(const struct l2_link *l)
{
    return EL_ENTRY(l, struct l2_object, by_id);
}

static struct l2_object *object_by_url(const struct l2_link *l)
{
    return EL_ENTRY(l, struct l2_object, by_url);
}

static struct l2_chunk *chunk_by_key(const struct l2_link *l)
{
    return EL_ENTRY(l, struct l2_chunk, by_key);
}

static uint64_t hash_by_id(const struct l2_link *l)
{
    return id_hash(&object_by_id(l)->id);
}

static uint64_t hash_by_url(const struct l2_link *l)
{
    return object_by_url(l)->url_hash;
}

static uint64_t hash_by_key(const struct l2_link *l)
{
    const struct l2_chunk *c = chunk_by_key(l);

    return chunk_hash(&c->object->id, c->chunk);
}

static bool is_same_id(const struct cache_object_id *a, const struct cache_object_id *b)
{
    return memcmp(a->v, b->v, sizeof(a->v)) == 0;
}

uint64_t cache_url_hash(struct el_str url)
{
    struct el_digest d;
    uint64_t h = 0;

    el_sha256_of(url.p, url.n, &d);
    for (size_t i = 0; i < sizeof(h); i++)
        h = h << 8 | d.b[i];
    return h;
}

/* ---- the map ---- */

struct l2_map *l2_map_new(void)
{
    struct l2_map *m = el_new(struct l2_map);

    m->bytes = cost(sizeof(*m));
    table_init(m, &m->ids, hash_by_id);
    table_init(m, &m->urls, hash_by_url);
    table_init(m, &m->chunks, hash_by_key);
    return m;
}

static void blocks_free(struct l2_map *m, struct l2_chunk *c)
{
    if (c->blocks != &c->first)
        give_back(m, c->blocks, c->cap * sizeof(c->blocks[0]));
}

static void chunk_free(struct l2_map *m, struct l2_chunk *c)
{
    blocks_free(m, c);
    give_back(m, c, sizeof(*c));
}

static void object_free(struct l2_map *m, struct l2_object *o)
{
    while (o->chunks != NULL) {
        struct l2_chunk *c = o->chunks;

        o->chunks = c->next_chunk;
        chunk_free(m, c);
    }
    give_back(m, o, sizeof(*o));
}

static void region_free(struct l2_map *m, struct region *r)
{
    give_back(m, r->pieces, r->cap * sizeof(r->pieces[0]));
    *r = (struct region){ 0 };
}

void l2_map_free(struct l2_map *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->ids.n_heads; i++) {
        while (m->ids.heads[i] != NULL) {
            struct l2_object *o = object_by_id(m->ids.heads[i]);

            m->ids.heads[i] = o->by_id.next;
            object_free(m, o);
        }
    }
    for (size_t i = 0; i < m->n_regions; i++)
        region_free(m, &m->regions[i]);
    give_back(m, m->regions, m->n_regions * sizeof(m->regions[0]));
    table_deinit(m, &m->ids);
    table_deinit(m, &m->urls);
    table_deinit(m, &m->chunks);
    EL_ASSERT(m->bytes == cost(sizeof(*m)));
    free(m);
}

/* ---- objects ---- */

struct l2_object *l2_map_object(struct l2_map *m, const struct cache_object_id *id)
{
    struct l2_link *l = table_bucket(&m->ids, id_hash(id));

    while (l != NULL && !is_same_id(&object_by_id(l)->id, id))
        l = l->next;
    return l == NULL ? NULL : object_by_id(l);
}

struct l2_object *l2_map_object_get(struct l2_map *m, const struct cache_object_id *id,
                                    uint64_t url_hash, uint64_t length)
{
    struct l2_object *o = l2_map_object(m, id);

    if (o != NULL)
        return o;
    o = take(m, sizeof(*o));
    o->map = m;
    o->id = *id;
    o->url_hash = url_hash;
    o->length = length;
    table_add(m, &m->ids, &o->by_id);
    table_add(m, &m->urls, &o->by_url);
    return o;
}

struct l2_object *l2_map_url(struct l2_map *m, uint64_t url_hash, const struct l2_object *after)
{
    struct l2_link *l = after == NULL ? table_bucket(&m->urls, url_hash) : after->by_url.next;

    while (l != NULL && object_by_url(l)->url_hash != url_hash)
        l = l->next;
    return l == NULL ? NULL : object_by_url(l);
}

void l2_map_object_remove(struct l2_map *m, struct l2_object *o)
{
    EL_ASSERT(o->map == m && o->chunks == NULL && o->n_chunks == 0);
    table_remove(&m->ids, &o->by_id);
    table_remove(&m->urls, &o->by_url);
    object_free(m, o);
}

/* ---- chunks ---- */

struct l2_chunk *l2_map_chunk(struct l2_map *m, const struct cache_object_id *id, uint32_t chunk)
{
    struct l2_link *l = table_bucket(&m->chunks, chunk_hash(id, chunk));

    for (; l != NULL; l = l->next) {
        struct l2_chunk *c = chunk_by_key(l);

        if (c->chunk == chunk && is_same_id(&c->object->id, id))
            return c;
    }
    return NULL;
}

static void object_link(struct l2_object *o, struct l2_chunk *c)
{
    c->object = o;
    c->next_chunk = o->chunks;
    c->prev_chunk = &o->chunks;
    if (c->next_chunk != NULL)
        c->next_chunk->prev_chunk = &c->next_chunk;
    o->chunks = c;
    o->n_chunks++;
}

static void object_unlink(struct l2_chunk *c)
{
    *c->prev_chunk = c->next_chunk;
    if (c->next_chunk != NULL)
        c->next_chunk->prev_chunk = c->prev_chunk;
    c->object->n_chunks--;
}

struct l2_chunk *l2_map_chunk_get(struct l2_map *m, struct l2_object *o, uint32_t chunk)
{
    struct l2_chunk *c = l2_map_chunk(m, &o->id, chunk);

    if (c != NULL)
        return c;
    c = take(m, sizeof(*c));
    EL_ASSERT(((uintptr_t)c & PIECE_BLOCK_MASK) == 0);
    c->chunk = chunk;
    c->home = L2_NO_REGION;
    c->cap = 1;
    c->blocks = &c->first;
    object_link(o, c);
    table_add(m, &m->chunks, &c->by_key);
    return c;
}

void l2_map_chunk_remove(struct l2_map *m, struct l2_chunk *c)
{
    EL_ASSERT(c->n == 0);
    table_remove(&m->chunks, &c->by_key);
    object_unlink(c);
    chunk_free(m, c);
}

/* ---- blocks ---- */

static unsigned mask_of(const struct l2_chunk *c)
{
    return (unsigned)c->bitmap | c->pending;
}

/* Entries of blocks before it. */
static size_t rank_of(const struct l2_chunk *c, unsigned block)
{
    return (size_t)__builtin_popcount(mask_of(c) & ((1u << block) - 1));
}

static bool has_block(const struct l2_chunk *c, unsigned block)
{
    EL_ASSERT(block < CACHE_CHUNK_BLOCKS);
    return (mask_of(c) >> block & 1) != 0;
}

struct l2_block *l2_chunk_block(struct l2_chunk *c, unsigned block)
{
    return has_block(c, block) ? &c->blocks[rank_of(c, block)] : NULL;
}

static void blocks_grow(struct l2_chunk *c)
{
    struct l2_map *m = c->object->map;
    uint8_t cap = (uint8_t)(c->cap == 1 ? 4 : 2 * c->cap);
    struct l2_block *larger;

    EL_ASSERT(cap <= CACHE_CHUNK_BLOCKS);
    larger = take(m, cap * sizeof(larger[0]));
    memcpy(larger, c->blocks, c->n * sizeof(larger[0]));
    blocks_free(m, c);
    c->blocks = larger;
    c->cap = cap;
}

struct l2_block *l2_chunk_block_add(struct l2_chunk *c, unsigned block)
{
    size_t at;

    EL_ASSERT(!has_block(c, block) && c->n == __builtin_popcount(mask_of(c)));
    if (c->n == c->cap)
        blocks_grow(c);
    at = rank_of(c, block);
    memmove(&c->blocks[at + 1], &c->blocks[at], (c->n - at) * sizeof(c->blocks[0]));
    memset(&c->blocks[at], 0, sizeof(c->blocks[0]));
    c->n++;
    return &c->blocks[at];
}

void l2_chunk_block_remove(struct l2_chunk *c, unsigned block)
{
    size_t at;

    EL_ASSERT(has_block(c, block) && c->n == __builtin_popcount(mask_of(c)));
    at = rank_of(c, block);
    c->n--;
    memmove(&c->blocks[at], &c->blocks[at + 1], (c->n - at) * sizeof(c->blocks[0]));
    c->bitmap = (uint16_t)(c->bitmap & ~(1u << block));
    c->pending = (uint16_t)(c->pending & ~(1u << block));
}

/* ---- regions ---- */

static piece piece_of(struct l2_chunk *c, unsigned block)
{
    EL_ASSERT(block < CACHE_CHUNK_BLOCKS);
    return (uintptr_t)c | block;
}

/* Room for that region and those before it. */
static void regions_grow(struct l2_map *m, uint32_t region)
{
    size_t n = m->n_regions, size = sizeof(m->regions[0]);

    while (n <= region)
        n = n == 0 ? FIRST_REGIONS : 2 * n;
    m->regions = enlarge(m, m->regions, m->n_regions * size, n * size);
    memset(&m->regions[m->n_regions], 0, (n - m->n_regions) * size);
    m->n_regions = n;
}

void l2_map_region_add(struct l2_map *m, uint32_t region, struct l2_chunk *c, unsigned block)
{
    struct region *r;

    EL_ASSERT(region != L2_NO_REGION);
    if (region >= m->n_regions)
        regions_grow(m, region);
    r = &m->regions[region];
    if (r->n == r->cap) {
        size_t have = r->cap * sizeof(r->pieces[0]);
        uint32_t cap = r->cap == 0 ? FIRST_PIECES : 2 * r->cap;

        r->pieces = enlarge(m, r->pieces, have, cap * sizeof(r->pieces[0]));
        r->cap = cap;
    }
    r->pieces[r->n++] = piece_of(c, block);
}

/* From the end, where the latest are, and the one that l2_map_region_each() is at. */
void l2_map_region_remove(struct l2_map *m, uint32_t region, struct l2_chunk *c, unsigned block)
{
    struct region *r;
    uint32_t at;

    EL_ASSERT(region < m->n_regions);
    r = &m->regions[region];
    for (at = r->n; at > 0 && r->pieces[at - 1] != piece_of(c, block);)
        at--;
    EL_ASSERT(at > 0);
    r->pieces[at - 1] = r->pieces[--r->n];
    if (r->n == 0)
        region_free(m, r);
}

/* Backwards: whatever takes a removed one's place was visited before. */
void l2_map_region_each(struct l2_map *m, uint32_t region,
                        void (*each)(void *arg, struct l2_chunk *c, unsigned block), void *arg)
{
    struct region *r = region < m->n_regions ? &m->regions[region] : NULL;

    for (uint32_t i = r == NULL ? 0 : r->n; i > 0; i--) {
        piece p = r->pieces[i - 1];

        each(arg, (struct l2_chunk *)(p & ~PIECE_BLOCK_MASK), (unsigned)(p & PIECE_BLOCK_MASK));
    }
}

/* ---- sums ---- */

size_t l2_map_objects(const struct l2_map *m)
{
    return m->ids.n;
}

size_t l2_map_chunks(const struct l2_map *m)
{
    return m->chunks.n;
}

uint64_t l2_map_bytes(const struct l2_map *m)
{
    return m->bytes;
}
