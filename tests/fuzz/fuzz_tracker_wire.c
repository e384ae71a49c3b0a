/* SPDX-License-Identifier: MIT */
/*
 * An input is a row of messages to a tracker, or from one: type 1, sender 1, ms since the one
 * before 2, length 2, body. What is accepted is written again as the same body, and what is meant
 * for a tracker is told to one: what it answers can be written and read.
 *
 * Types: 0 Locate, 1 Located (of 2 bytes of blocks), 2 Find, 3 Found, 4 Record, 5 Release, 6
 * Forget.
 */
#include "common/bytes.h"
#include "p2p/tracker_wire.h"
#include "tests/fuzz/fuzz.h"

struct fuzz {
    struct p2p_tracker *t;
    uint64_t now;
    struct el_buf again;
};

static void is_same(struct fuzz *f, struct el_str body)
{
    CLAIM(el_str_eq(el_buf_str(&f->again), body));
}

static void check_located(struct fuzz *f, uint32_t blocks, const struct p2p_located *l)
{
    struct p2p_located back;

    p2p_located_put(&f->again, blocks, l);
    CLAIM(p2p_located_decode(el_buf_str(&f->again), blocks, &back, NULL) == EL_OK);
    CLAIM(back.n_leases == l->n_leases && back.n_takers == l->n_takers);
}

static void locate(struct fuzz *f, uint64_t from, struct el_str body)
{
    struct p2p_located located;
    struct p2p_locate l;

    if (p2p_locate_decode(body, &l, NULL) != EL_OK)
        return;
    p2p_locate_put(&f->again, &l);
    is_same(f, body);
    el_buf_clear(&f->again);
    if (p2p_tracker_locate(f->t, f->now, from, NULL, &l, &located) == EL_OK)
        check_located(f, l.blocks, &located);
}

static void located(struct fuzz *f, struct el_str body)
{
    struct el_bytes in = el_bytes_of(body);
    uint32_t blocks = el_bytes_u16(&in) % P2P_GROUP_BLOCKS + 1;
    struct p2p_located l;

    if (p2p_located_decode(in.rest, blocks, &l, NULL) != EL_OK)
        return;
    p2p_located_put(&f->again, blocks, &l);
    is_same(f, in.rest);
}

static void check_found(struct fuzz *f, const struct p2p_found *found)
{
    struct p2p_found back;

    el_buf_clear(&f->again);
    p2p_found_put(&f->again, found);
    CLAIM(p2p_found_decode(el_buf_str(&f->again), &back, NULL) == EL_OK);
}

static void find(struct fuzz *f, uint64_t from, struct el_str body)
{
    struct p2p_found found;
    uint64_t max_age_ms;
    struct el_str url;

    if (p2p_find_decode(body, &url, &max_age_ms, NULL) != EL_OK)
        return;
    p2p_find_put(&f->again, url, max_age_ms);
    is_same(f, body);
    p2p_tracker_find(f->t, f->now, from, url, max_age_ms, from, &found);
    if (found.kind != P2P_FOUND_WAIT)
        check_found(f, &found);
}

static void found(struct fuzz *f, struct el_str body)
{
    struct p2p_found found;

    if (p2p_found_decode(body, &found, NULL) != EL_OK)
        return;
    p2p_found_put(&f->again, &found);
    is_same(f, body);
}

static void record(struct fuzz *f, uint64_t from, struct el_str body)
{
    struct p2p_record r;

    if (p2p_record_decode(body, &r, NULL) != EL_OK)
        return;
    p2p_record_put(&f->again, &r);
    is_same(f, body);
    (void)p2p_tracker_record(f->t, f->now, from, r.bytes, r.age_ms, NULL); /* any answer is fine */
}

static void release(struct fuzz *f, uint64_t from, struct el_str body)
{
    enum p2p_release why;
    struct el_str url;

    if (p2p_release_decode(body, &url, &why, NULL) != EL_OK)
        return;
    p2p_release_put(&f->again, url, why);
    is_same(f, body);
    p2p_tracker_release(f->t, f->now, from, url, why);
}

static void forget(struct fuzz *f, uint64_t from, struct el_str body)
{
    struct p2p_told told;
    struct el_str url;

    if (p2p_forget_decode(body, &url, NULL) != EL_OK)
        return;
    p2p_forget_put(&f->again, url);
    is_same(f, body);
    p2p_tracker_forget(f->t, f->now, from, url, &told);
}

static void take(struct fuzz *f, uint8_t type, uint64_t from, struct el_str body)
{
    switch (type) {
    case 0:
        locate(f, from, body);
        break;
    case 1:
        located(f, body);
        break;
    case 2:
        find(f, from, body);
        break;
    case 3:
        found(f, body);
        break;
    case 4:
        record(f, from, body);
        break;
    case 5:
        release(f, from, body);
        break;
    case 6:
        forget(f, from, body);
        break;
    default:
        p2p_tracker_node_gone(f->t, f->now, from);
        break;
    }
}

static void pass(struct fuzz *f, uint64_t ms)
{
    struct p2p_found found;
    uint64_t node, cookie;

    f->now += ms;
    p2p_tracker_tick(f->t, f->now);
    while (p2p_tracker_next_answer(f->t, f->now, &node, &cookie, &found))
        check_found(f, &found);
    el_buf_clear(&f->again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_bytes in = el_bytes_of((struct el_str){ (const char *)data, n });
    struct p2p_tracker_conf conf = { 0 };
    struct fuzz f = { .now = 1 };

    el_rng_seed(&conf.rng, 1);
    f.t = p2p_tracker_new(&conf, f.now);
    while (in.rest.n > 0 && !in.is_bad) {
        uint8_t type = el_bytes_u8(&in);
        uint64_t from = el_bytes_u8(&in);

        pass(&f, el_bytes_u16(&in));
        take(&f, type, from, el_bytes_str(&in, el_bytes_u16(&in)));
        el_buf_clear(&f.again);
    }
    p2p_tracker_free(f.t);
    el_buf_deinit(&f.again);
    return 0;
}
