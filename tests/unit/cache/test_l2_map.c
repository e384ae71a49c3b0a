/* SPDX-License-Identifier: MIT */
/* What a store holds: the map against a naive model, and how much memory a million objects take. */
#include "tests/lib/test.h"

#include <malloc.h>

#include "cache/l2_map.h"
#include "cache/l2_region.h"
#include "common/rng.h"

#define MILLION 1000000u

static struct cache_object_id id_of(uint64_t n)
{
    struct cache_object_id id;
    struct el_digest d;

    el_sha256_of(&n, sizeof(n), &d);
    memcpy(id.v, d.b, sizeof(id.v));
    return id;
}

static struct l2_block *add_block(struct l2_map *m, struct l2_chunk *c, unsigned block,
                                  uint32_t region)
{
    struct l2_block *b = l2_chunk_block_add(c, block);

    c->bitmap = (uint16_t)(c->bitmap | 1u << block);
    b->region = region;
    l2_map_region_add(m, region, c, block);
    return b;
}

/* The block, and what nothing is left of then. */
static void drop_block(struct l2_map *m, struct l2_chunk *c, unsigned block)
{
    struct l2_object *o = c->object;

    l2_map_region_remove(m, l2_chunk_block(c, block)->region, c, block);
    l2_chunk_block_remove(c, block);
    if (c->n > 0)
        return;
    l2_map_chunk_remove(m, c);
    if (o->n_chunks == 0)
        l2_map_object_remove(m, o);
}

/* ---- by hand ---- */

static void urls_are_hashed_to_the_first_8_bytes_of_their_sha256(void **state)
{
    (void)state;
    assert_true(cache_url_hash(EL_STR("abc")) == 0xba7816bf8f01cfeau);
    assert_true(cache_url_hash(EL_STR("")) == 0xe3b0c44298fc1c14u);
}

static void an_empty_map_has_nothing(void **state)
{
    struct l2_map *m = l2_map_new();
    struct cache_object_id id = id_of(1);

    (void)state;
    assert_null(l2_map_object(m, &id));
    assert_null(l2_map_chunk(m, &id, 0));
    assert_null(l2_map_url(m, 1, NULL));
    assert_int_equal(l2_map_objects(m) + l2_map_chunks(m), 0);
    l2_map_free(m);
    l2_map_free(NULL);
}

static void an_object_is_made_once(void **state)
{
    struct l2_map *m = l2_map_new();
    struct cache_object_id id = id_of(1);
    struct l2_object *o = l2_map_object_get(m, &id, 77, 1234);

    (void)state;
    assert_true(o->url_hash == 77 && o->length == 1234 && o->n_chunks == 0);
    assert_false(o->is_pinned || o->is_stale);
    assert_ptr_equal(l2_map_object_get(m, &id, 77, 1234), o);
    assert_ptr_equal(l2_map_object(m, &id), o);
    assert_int_equal(l2_map_objects(m), 1);
    l2_map_free(m);
}

static void ids_that_begin_alike_are_told_apart(void **state)
{
    struct l2_map *m = l2_map_new();
    struct cache_object_id a = id_of(1), b = a;
    struct l2_object *o, *p;

    (void)state;
    b.v[15] ^= 1;
    o = l2_map_object_get(m, &a, 1, 1);
    assert_null(l2_map_object(m, &b));
    p = l2_map_object_get(m, &b, 2, 2);
    assert_ptr_not_equal(o, p);
    (void)l2_map_chunk_get(m, o, 5); /* only to be there */
    assert_null(l2_map_chunk(m, &b, 5));
    assert_null(l2_map_chunk(m, &a, 4));
    assert_ptr_equal(l2_map_chunk(m, &a, 5)->object, o);
    l2_map_free(m);
}

static void every_version_of_a_url_is_found(void **state)
{
    struct l2_map *m = l2_map_new();
    unsigned seen = 0;

    (void)state;
    for (uint64_t i = 0; i < 300; i++) {
        struct cache_object_id id = id_of(i);

        (void)l2_map_object_get(m, &id, i % 30, i); /* found again by its url below */
    }
    for (struct l2_object *o = l2_map_url(m, 7, NULL); o != NULL; o = l2_map_url(m, 7, o)) {
        assert_int_equal(o->length % 30, 7);
        seen++;
    }
    assert_int_equal(seen, 10);
    assert_null(l2_map_url(m, 30, NULL));
    l2_map_free(m);
}

static void a_new_chunk_is_empty_and_in_no_region(void **state)
{
    struct l2_map *m = l2_map_new();
    struct cache_object_id id = id_of(1);
    struct l2_object *o = l2_map_object_get(m, &id, 1, 1);
    struct l2_chunk *c = l2_map_chunk_get(m, o, 3);

    (void)state;
    assert_ptr_equal(l2_map_chunk_get(m, o, 3), c);
    assert_ptr_equal(o->chunks, c);
    assert_int_equal(o->n_chunks, 1);
    assert_int_equal(c->home, L2_NO_REGION);
    assert_true(c->n == 0 && c->bitmap == 0 && c->pending == 0);
    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++)
        assert_null(l2_chunk_block(c, i));
    l2_map_free(m);
}

static void blocks_keep_their_entries_in_whatever_order_they_come(void **state)
{
    static const unsigned order[] = { 9, 0, 15, 4, 3, 10, 1, 14, 2, 8, 5, 13, 6, 12, 7, 11 };
    struct l2_map *m = l2_map_new();
    struct cache_object_id id = id_of(1);
    struct l2_chunk *c = l2_map_chunk_get(m, l2_map_object_get(m, &id, 1, 1), 0);

    (void)state;
    for (size_t i = 0; i < EL_COUNT(order); i++) {
        struct l2_block *b = l2_chunk_block_add(c, order[i]);

        assert_true(b->bytes == 0 && b->region == 0 && b->offset == 0 && b->digest.b[31] == 0);
        b->bytes = 100 + order[i];
        b->digest.b[31] = 0xff;
        if (i % 2 == 0)
            c->bitmap = (uint16_t)(c->bitmap | 1u << order[i]);
        else
            c->pending = (uint16_t)(c->pending | 1u << order[i]);
        for (size_t k = 0; k <= i; k++)
            assert_int_equal(l2_chunk_block(c, order[k])->bytes, 100 + order[k]);
    }
    for (size_t i = 0; i < EL_COUNT(order); i++) {
        l2_chunk_block_remove(c, order[i]);
        assert_null(l2_chunk_block(c, order[i]));
        for (size_t k = i + 1; k < EL_COUNT(order); k++)
            assert_int_equal(l2_chunk_block(c, order[k])->bytes, 100 + order[k]);
    }
    assert_true(c->n == 0 && c->bitmap == 0 && c->pending == 0);
    l2_map_free(m);
}

static void what_was_removed_takes_no_memory(void **state)
{
    struct l2_map *m = l2_map_new();
    struct cache_object_id id = id_of(1);
    uint64_t before = 0;

    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        struct l2_object *o = l2_map_object_get(m, &id, 1, 1);
        struct l2_chunk *c = l2_map_chunk_get(m, o, 0);

        for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++)
            (void)add_block(m, c, i, round); /* dropped by its number */
        assert_true(l2_map_bytes(m) > before + CACHE_CHUNK_BLOCKS * sizeof(struct l2_block));
        for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++)
            drop_block(m, c, i);
        assert_null(l2_map_object(m, &id));
        assert_int_equal(l2_map_chunks(m), 0);
        if (round == 1) /* the table of regions stays */
            assert_int_equal(l2_map_bytes(m), before);
        before = l2_map_bytes(m);
    }
    l2_map_free(m);
}

/* 1 TiB. */
static void the_chunks_of_a_long_object_are_told_apart(void **state)
{
    const uint32_t n = 65536;
    struct l2_map *m = l2_map_new();
    struct cache_object_id id = id_of(1);
    struct l2_object *o = l2_map_object_get(m, &id, 1, n * CACHE_CHUNK_BYTES);

    (void)state;
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(l2_map_chunk_get(m, o, i)->chunk, i);
    for (uint32_t i = 1; i < n; i += 2)
        l2_map_chunk_remove(m, l2_map_chunk(m, &id, i));
    for (uint32_t i = 0; i < n; i += 2)
        assert_int_equal(l2_map_chunk(m, &id, i)->chunk, i);
    for (uint32_t i = 1; i < n; i += 2)
        assert_null(l2_map_chunk(m, &id, i));
    assert_int_equal(o->n_chunks, n / 2);
    l2_map_free(m);
}

/* ---- giving up a region ---- */

struct leaving {
    struct l2_map *map;
    unsigned seen, keep_every; /* 0: none */
};

static void leave(void *arg, struct l2_chunk *c, unsigned block)
{
    struct leaving *l = arg;

    l->seen++;
    if (l->keep_every == 0 || l->seen % l->keep_every != 0)
        drop_block(l->map, c, block);
}

static void fill_region(struct l2_map *m, uint32_t region, uint64_t from, unsigned n)
{
    for (uint64_t i = from; i < from + n; i++) {
        struct cache_object_id id = id_of(i);
        struct l2_object *o = l2_map_object_get(m, &id, i, 1);

        (void)add_block(m, l2_map_chunk_get(m, o, 0), 0, region); /* dropped by its number */
    }
}

static void a_region_is_emptied_while_it_is_walked(void **state)
{
    struct l2_map *m = l2_map_new();
    struct leaving l = { .map = m };

    (void)state;
    fill_region(m, 1000, 0, 4096);
    fill_region(m, 3, 4096, 10);
    l2_map_region_each(m, 1000, leave, &l);
    assert_int_equal(l.seen, 4096);
    assert_int_equal(l2_map_objects(m), 10);
    l2_map_region_each(m, 1000, leave, &l);
    l2_map_region_each(m, 1u << 30, leave, &l); /* one that never had any */
    assert_int_equal(l.seen, 4096);
    l2_map_free(m);
}

static void pieces_that_stay_are_found_the_next_time(void **state)
{
    struct l2_map *m = l2_map_new();
    struct leaving l = { .map = m, .keep_every = 3 };

    (void)state;
    fill_region(m, 5, 0, 3000);
    l2_map_region_each(m, 5, leave, &l);
    assert_int_equal(l.seen, 3000);
    assert_int_equal(l2_map_objects(m), 1000);
    l = (struct leaving){ .map = m };
    l2_map_region_each(m, 5, leave, &l);
    assert_int_equal(l.seen, 1000);
    assert_int_equal(l2_map_objects(m), 0);
    l2_map_free(m);
}

/* The whole chunk at its first piece is more than a callback may; its blocks one by one is not. */
static void a_chunk_with_a_region_of_its_own_leaves_with_its_last_block(void **state)
{
    struct l2_map *m = l2_map_new();
    struct cache_object_id id = id_of(1);
    struct l2_chunk *c = l2_map_chunk_get(m, l2_map_object_get(m, &id, 1, 1), 0);
    struct leaving l = { .map = m };

    (void)state;
    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++)
        (void)add_block(m, c, i, 9); /* dropped by its number */
    l2_map_region_each(m, 9, leave, &l);
    assert_int_equal(l.seen, CACHE_CHUNK_BLOCKS);
    assert_int_equal(l2_map_chunks(m) + l2_map_objects(m), 0);
    l2_map_free(m);
}

/* ---- against a model ---- */

#define OBJECTS 24
#define CHUNKS  6
#define REGIONS 40

struct model_chunk {
    bool is_there;
    uint16_t bitmap, pending;
    uint32_t region[CACHE_CHUNK_BLOCKS], offset[CACHE_CHUNK_BLOCKS];
};

struct world {
    struct l2_map *map;
    struct el_rng rng;
    bool is_there[OBJECTS];
    struct model_chunk chunks[OBJECTS][CHUNKS];
    unsigned keep_one_in; /* of the pieces of a region that is given up; 0: none */
};

/* Pairs that begin alike; the number is the last byte. */
static struct cache_object_id world_id(unsigned object)
{
    struct cache_object_id id = id_of(object / 2);

    id.v[15] = (uint8_t)object;
    return id;
}

static unsigned below(struct world *w, unsigned bound)
{
    return (unsigned)el_rng_below(&w->rng, bound);
}

static struct model_chunk *model_of(struct world *w, const struct l2_chunk *c)
{
    return &w->chunks[c->object->id.v[15]][c->chunk];
}

static void forget_block(struct world *w, struct l2_chunk *c, unsigned block)
{
    struct model_chunk *mc = model_of(w, c);

    l2_map_region_remove(w->map, mc->region[block], c, block);
    l2_chunk_block_remove(c, block);
    mc->bitmap = (uint16_t)(mc->bitmap & ~(1u << block));
    mc->pending = (uint16_t)(mc->pending & ~(1u << block));
}

static void forget_empty(struct world *w, struct l2_chunk *c)
{
    struct l2_object *o = c->object;

    if (c->n > 0)
        return;
    model_of(w, c)->is_there = false;
    l2_map_chunk_remove(w->map, c);
    if (o->n_chunks > 0)
        return;
    w->is_there[o->id.v[15]] = false;
    l2_map_object_remove(w->map, o);
}

static struct l2_chunk *some_chunk(struct world *w)
{
    unsigned object = below(w, OBJECTS), chunk = below(w, CHUNKS);
    struct cache_object_id id = world_id(object);
    struct l2_object *o = l2_map_object_get(w->map, &id, object % 5, object);

    w->is_there[object] = true;
    w->chunks[object][chunk].is_there = true;
    return l2_map_chunk_get(w->map, o, chunk);
}

static void change_block(struct world *w)
{
    struct l2_chunk *c = some_chunk(w);
    struct model_chunk *mc = model_of(w, c);
    unsigned block = below(w, CACHE_CHUNK_BLOCKS);
    struct l2_block *b = l2_chunk_block(c, block);
    uint16_t bit = (uint16_t)(1u << block);

    if (b != NULL && below(w, 2) == 0) {
        forget_block(w, c, block);
        forget_empty(w, c);
        return;
    }
    if (b == NULL) {
        b = l2_chunk_block_add(c, block);
        mc->region[block] = b->region = below(w, REGIONS);
        mc->offset[block] = b->offset = below(w, 4096) * 4096;
        l2_map_region_add(w->map, b->region, c, block);
    }
    mc->bitmap = c->bitmap = (uint16_t)(c->bitmap | bit);
    if (below(w, 2) == 0) /* being written; or it is readable and being written anew */
        mc->pending = c->pending = (uint16_t)(c->pending | bit);
    if (below(w, 4) == 0 && (mc->pending & bit) != 0)
        mc->bitmap = c->bitmap = (uint16_t)(c->bitmap & ~bit);
}

static void leave_world(void *arg, struct l2_chunk *c, unsigned block)
{
    struct world *w = arg;

    if (w->keep_one_in != 0 && below(w, w->keep_one_in) == 0)
        return;
    forget_block(w, c, block);
    forget_empty(w, c);
}

static void give_up_region(struct world *w)
{
    w->keep_one_in = below(w, 3);
    l2_map_region_each(w->map, below(w, REGIONS), leave_world, w);
}

static void check_chunk(struct world *w, unsigned object, unsigned chunk)
{
    struct cache_object_id id = world_id(object);
    struct model_chunk *mc = &w->chunks[object][chunk];
    struct l2_chunk *c = l2_map_chunk(w->map, &id, chunk);

    assert_int_equal(c != NULL, mc->is_there);
    if (c == NULL)
        return;
    assert_true(c->chunk == chunk && c->object == l2_map_object(w->map, &id));
    assert_true(c->bitmap == mc->bitmap && c->pending == mc->pending);
    for (unsigned i = 0; i < CACHE_CHUNK_BLOCKS; i++) {
        struct l2_block *b = l2_chunk_block(c, i);

        assert_int_equal(b != NULL, (mc->bitmap | mc->pending) >> i & 1);
        if (b != NULL)
            assert_true(b->region == mc->region[i] && b->offset == mc->offset[i]);
    }
}

static void check_object(struct world *w, unsigned object)
{
    struct cache_object_id id = world_id(object);
    struct l2_object *o = l2_map_object(w->map, &id), *by_url = NULL;
    unsigned n = 0;

    assert_int_equal(o != NULL, w->is_there[object]);
    for (unsigned i = 0; i < CHUNKS; i++) {
        check_chunk(w, object, i);
        n += w->chunks[object][i].is_there;
    }
    if (o == NULL)
        return;
    assert_int_equal(o->n_chunks, n);
    for (struct l2_chunk *c = o->chunks; c != NULL; c = c->next_chunk, n--)
        assert_ptr_equal(c->object, o);
    assert_int_equal(n, 0);
    do
        by_url = l2_map_url(w->map, object % 5, by_url);
    while (by_url != NULL && by_url != o);
    assert_non_null(by_url);
}

struct tally {
    struct world *world;
    uint32_t region;
    uint16_t seen[OBJECTS][CHUNKS];
};

static void tally_piece(void *arg, struct l2_chunk *c, unsigned block)
{
    struct tally *t = arg;
    uint16_t *seen = &t->seen[c->object->id.v[15]][c->chunk];

    assert_int_equal(model_of(t->world, c)->region[block], t->region);
    assert_int_equal(*seen >> block & 1, 0);
    *seen = (uint16_t)(*seen | 1u << block);
}

/* Each piece in its region once, and no other anywhere. */
static void check_regions(struct world *w)
{
    struct tally t = { .world = w };

    for (t.region = 0; t.region < REGIONS; t.region++)
        l2_map_region_each(w->map, t.region, tally_piece, &t);
    for (unsigned o = 0; o < OBJECTS; o++) {
        for (unsigned c = 0; c < CHUNKS; c++)
            assert_int_equal(t.seen[o][c], w->chunks[o][c].bitmap | w->chunks[o][c].pending);
    }
}

static void check_world(struct world *w)
{
    size_t objects = 0, chunks = 0;

    for (unsigned o = 0; o < OBJECTS; o++) {
        check_object(w, o);
        objects += w->is_there[o];
        for (unsigned c = 0; c < CHUNKS; c++)
            chunks += w->chunks[o][c].is_there;
    }
    assert_int_equal(l2_map_objects(w->map), objects);
    assert_int_equal(l2_map_chunks(w->map), chunks);
    check_regions(w);
}

static void a_long_random_life_agrees_with_a_naive_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct world w = { .map = l2_map_new() };

        el_rng_seed(&w.rng, seed);
        for (unsigned step = 0; step < 50000; step++) {
            if (below(&w, 16) == 0)
                give_up_region(&w);
            else
                change_block(&w);
            if (step % 61 == 0)
                check_world(&w);
        }
        l2_map_free(w.map);
    }
}

/* ---- a million ---- */

/* As a log fills its regions with pieces of 4 KiB. */
static void add_short_objects(struct l2_map *m, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        fill_region(m, (uint32_t)(i / 4096), i, 1);
}

static void a_million_short_objects_take_220_bytes_each(void **state)
{
    struct l2_map *m = l2_map_new();
    uint64_t each;

    (void)state;
    add_short_objects(m, MILLION);
    assert_int_equal(l2_map_objects(m), MILLION);
    assert_int_equal(l2_map_chunks(m), MILLION);
    each = l2_map_bytes(m) / MILLION;
    print_message("%llu bytes for an object, its chunk and its block\n", (unsigned long long)each);
    assert_true(each <= 220);
    for (uint64_t i = 0; i < MILLION; i += 97) {
        struct cache_object_id id = id_of(i);

        assert_int_equal(l2_map_chunk(m, &id, 0)->blocks[0].region, i / 4096);
        assert_ptr_equal(l2_map_url(m, i, NULL), l2_map_object(m, &id));
    }
    l2_map_free(m);
}

static size_t malloced(void)
{
    struct mallinfo2 mi = mallinfo2();

    return mi.uordblks + mi.hblkhd;
}

static void the_bytes_it_counts_are_those_that_malloc_gave(void **state)
{
    size_t before = malloced();
    struct l2_map *m = l2_map_new();
    double told, taken;

    (void)state;
    add_short_objects(m, 300000);
    told = (double)l2_map_bytes(m);
    taken = (double)(malloced() - before);
    l2_map_free(m);
    if (before == 0) {
        print_message("skipped: a sanitizer's malloc does not say what it gave\n");
        skip();
    }
    assert_true(told > taken * 0.99 && told < taken * 1.01);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_hashed_to_the_first_8_bytes_of_their_sha256),
        cmocka_unit_test(an_empty_map_has_nothing),
        cmocka_unit_test(an_object_is_made_once),
        cmocka_unit_test(ids_that_begin_alike_are_told_apart),
        cmocka_unit_test(every_version_of_a_url_is_found),
        cmocka_unit_test(a_new_chunk_is_empty_and_in_no_region),
        cmocka_unit_test(blocks_keep_their_entries_in_whatever_order_they_come),
        cmocka_unit_test(what_was_removed_takes_no_memory),
        cmocka_unit_test(the_chunks_of_a_long_object_are_told_apart),
        cmocka_unit_test(a_region_is_emptied_while_it_is_walked),
        cmocka_unit_test(pieces_that_stay_are_found_the_next_time),
        cmocka_unit_test(a_chunk_with_a_region_of_its_own_leaves_with_its_last_block),
        cmocka_unit_test(a_long_random_life_agrees_with_a_naive_model),
        cmocka_unit_test(a_million_short_objects_take_220_bytes_each),
        cmocka_unit_test(the_bytes_it_counts_are_those_that_malloc_gave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
