/* SPDX-License-Identifier: MIT */
/* Links between two nodes in one process: who is there, frames, blocks, rates, ends. */
#include <errno.h>
#include <sys/mman.h>

#include "tests/lib/net.h"

static const struct el_chunk_id chunk = NODE_CHUNK;

#define SECRET "correct horse battery staple"

/* ---- a pair of nodes that are linked ---- */

static void open_pair(struct node *a, struct node *b, const char *secret)
{
    node_open(a, &(struct node_conf){ .identity = 1, .secret = secret });
    node_open(b, &(struct node_conf){ .identity = 2, .secret = secret, .threads = 2 });
    nodes_link(a, b);
}

static struct el_digest fingerprint_of(const struct node *n)
{
    uint8_t key[EL_KEY_BYTES];
    struct el_digest d;

    el_key_public(n->key, key);
    el_key_fingerprint(key, &d);
    return d;
}

static void assert_knows(const struct node *n, const struct node *other, bool is_inbound,
                         bool is_tls)
{
    struct el_digest d = fingerprint_of(other);

    assert_memory_equal(n->peer.fingerprint.b, d.b, sizeof(d.b));
    assert_string_equal(n->peer.name, "a node");
    assert_string_equal(n->peer.zone, "rack-1");
    assert_string_equal(n->peer.address, "127.0.0.1");
    assert_int_equal(n->peer.p2p_port, p2p_net_port(other->net));
    assert_int_equal(n->peer.http_port, 8082);
    assert_int_equal(n->peer.version, 1);
    assert_int_equal(n->peer.is_inbound, is_inbound);
    assert_int_equal(n->peer.is_tls, is_tls);
}

static void both_ends_know_who_the_other_is(void **state)
{
    static const char *const secrets[] = { NULL, SECRET };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(secrets); i++) {
        struct node a, b;

        open_pair(&a, &b, secrets[i]);
        assert_knows(&a, &b, false, i == 1);
        assert_knows(&b, &a, true, i == 1);
        assert_int_equal(node_metric(&a, "eliop2p_p2p_links "), 1);
        nodes_close(&a, &b);
        assert_int_equal(a.downs, 1);
        assert_int_equal(b.downs, 1);
    }
}

static void a_node_that_leaves_says_so(void **state)
{
    struct node a, b;

    (void)state;
    open_pair(&a, &b, NULL);
    node_begin_close(&a);
    NODES_WAIT(&a, &b, b.downs == 1);
    assert_int_equal(b.why.code, EL_ESHUTDOWN);
    NODES_WAIT(&a, &b, a.is_closed);
    nodes_close(&a, &b);
}

static void a_node_without_a_listener_dials_and_says_port_0(void **state)
{
    struct node a, b;

    (void)state;
    node_open(&a, &(struct node_conf){ .identity = 1, .is_outbound_only = true });
    node_open(&b, &(struct node_conf){ .identity = 2 });
    assert_int_equal(p2p_net_port(a.net), 0);
    nodes_link(&a, &b);
    assert_int_equal(b.peer.p2p_port, 0);
    nodes_close(&a, &b);
}

static void a_link_to_itself_is_none(void **state)
{
    struct node a;

    (void)state;
    node_open(&a, &(struct node_conf){ .identity = 1 });
    (void)node_dial(&a, &a);
    NODES_WAIT(&a, NULL, a.downs == 1);
    assert_int_equal(a.why.code, EL_ELOOP);
    assert_int_equal(a.ups, 0);
    node_close(&a);
}

static void where_nobody_listens_there_is_no_link(void **state)
{
    struct node a, b;
    struct p2p_link *l;
    uint16_t port;

    (void)state;
    node_open(&a, &(struct node_conf){ .identity = 1 });
    node_open(&b, &(struct node_conf){ .identity = 2 });
    port = p2p_net_port(b.net);
    node_close(&b);
    assert_int_equal(p2p_net_connect(a.net, "127.0.0.1", port, &a, &l, NULL), EL_OK);
    assert_ptr_equal(p2p_link_attempt(l), &a);
    assert_null(p2p_link_arg(l)); /* nobody is to take the one for the other */
    NODES_WAIT(&a, NULL, a.downs == 1);
    assert_int_equal(a.why.code, EL_ECONNECT);
    assert_int_equal(p2p_net_connect(a.net, "localhost", port, NULL, &l, NULL), EL_EINVAL);
    node_close(&a);
}

static void no_more_links_than_allowed(void **state)
{
    struct node a, b;
    struct p2p_link *l;

    (void)state;
    node_open(&a, &(struct node_conf){ .identity = 1, .max_links = 1 });
    node_open(&b, &(struct node_conf){ .identity = 2 });
    nodes_link(&a, &b);
    assert_int_equal(p2p_net_connect(a.net, "127.0.0.1", p2p_net_port(b.net), NULL, &l, NULL),
                     EL_EOVERLOAD);
    (void)node_dial(&b, &a);
    NODES_WAIT(&a, &b, b.downs == 1);
    assert_int_equal(a.ups, 1);
    assert_int_equal(node_refused(&a, "flood"), 1);
    nodes_close(&a, &b);
}

static void a_link_that_is_closed_before_it_is_up_goes_down_once(void **state)
{
    struct el_error why = { .code = EL_ECANCELED, .text = "not wanted" };
    struct node a, b;

    (void)state;
    node_open(&a, &(struct node_conf){ .identity = 1 });
    node_open(&b, &(struct node_conf){ .identity = 2 });
    p2p_link_close(node_dial(&a, &b), &why);
    NODES_WAIT(&a, &b, a.downs == 1);
    assert_int_equal(a.why.code, EL_ECANCELED);
    assert_int_equal(a.ups, 0);
    nodes_close(&a, &b);
    assert_int_equal(a.downs, 1);
}

/* ---- frames ---- */

static void send_message(struct node *n, uint32_t sequence, struct el_str body)
{
    struct p2p_envelope e = { P2P_STATEMENT, body };
    struct el_buf out = { 0 };

    p2p_envelope_add(&out, 1, P2P_GOSSIP, sequence, &e);
    assert_true(p2p_link_send(n->links[0], &out));
    assert_int_equal(out.n, 0);
}

static void frames_arrive_as_they_were_sent(void **state)
{
    static const char *const secrets[] = { NULL, SECRET };
    char *body = el_alloc(P2P_MAX_BODY);

    (void)state;
    memset(body, 'x', P2P_MAX_BODY);
    for (size_t i = 0; i < EL_COUNT(secrets); i++) {
        struct node a, b;

        open_pair(&a, &b, secrets[i]);
        for (uint32_t k = 1; k <= 200; k++) {
            send_message(&a, k, (struct el_str){ body, k * 300 });
            NODES_WAIT(&a, &b, b.frames == k);
            assert_int_equal(b.last.type, P2P_GOSSIP);
            assert_int_equal(b.last.sequence, k);
            assert_int_equal(b.last.data.n, 4 + k * 300);
        }
        nodes_close(&a, &b);
    }
    free(body);
}

static void many_frames_at_once_arrive_in_order(void **state)
{
    struct node a, b;

    (void)state;
    open_pair(&a, &b, NULL);
    for (uint32_t k = 1; k <= 20000; k++)
        send_message(&a, k, EL_STR("news"));
    NODES_WAIT(&a, &b, b.frames == 20000);
    assert_int_equal(b.last.sequence, 20000);
    nodes_close(&a, &b);
}

/* The engine of b takes nothing: what a may put on its way is bounded all the same. */
static void who_does_not_take_frames_is_sent_no_more_than_some(void **state)
{
    struct p2p_envelope e = { P2P_STATEMENT, { NULL, P2P_MAX_BODY } };
    struct el_buf out = { 0 };
    struct node a, b;
    uint64_t bytes = 0;
    char *body = el_alloc(P2P_MAX_BODY);
    unsigned refused = 0;

    (void)state;
    e.body.p = body;
    open_pair(&a, &b, NULL);
    while (refused < 50) { /* for 100 ms nothing more was taken */
        if (out.n == 0)
            p2p_envelope_add(&out, 1, P2P_GOSSIP, 0, &e);
        if (p2p_link_send(a.links[0], &out)) {
            bytes += P2P_MAX_BODY;
            refused = 0;
        } else {
            refused++;
            nodes_run(&a, NULL);
        }
        assert_true(bytes < 64 * EL_MIB);
    }
    el_buf_deinit(&out);
    NODES_WAIT(&a, &b, b.frames == bytes / P2P_MAX_BODY);
    nodes_close(&a, &b);
    free(body);
}

/* ---- blocks ---- */

struct sending {
    struct p2p_out_block block;
    struct node *from;
};

static void on_sent(struct p2p_out_block *b)
{
    struct sending *s = EL_ENTRY(b, struct sending, block);

    s->from->sent += b->result == EL_OK;
    s->from->canceled += b->result != EL_OK;
}

static void prepare(struct sending *s, struct node *from, uint32_t number, const void *mem,
                    uint32_t n)
{
    *s = (struct sending){ .from = from };
    s->block.chunk = chunk;
    s->block.number = number;
    s->block.mem = mem;
    s->block.n = n;
    s->block.fd = -1;
    s->block.flags = n < P2P_MAX_BLOCK || number == 15 ? P2P_LAST : 0;
    s->block.on_sent = on_sent;
    el_sha256_of(mem, n, &s->block.hash);
}

static char *new_bytes(size_t n)
{
    char *p = el_alloc(n);

    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 2654435761u >> 13);
    return p;
}

static void assert_block(struct node *to, uint32_t number, const char *bytes, size_t n)
{
    assert_int_equal(to->number, number);
    assert_int_equal(to->block.n, n);
    assert_memory_equal(to->block.p, bytes, n);
}

static void send_sizes(const char *secret, int fd, const char *bytes)
{
    static const uint32_t sizes[] = { 1, 2, 1000, 16384, 65537, 1048575, 1048576 };
    struct node a, b;
    struct sending s;

    open_pair(&a, &b, secret);
    for (unsigned i = 0; i < EL_COUNT(sizes); i++) {
        uint32_t offset = (uint32_t)EL_MIB - sizes[i];

        prepare(&s, &a, i, bytes + offset, sizes[i]);
        s.block.fd = fd;
        s.block.offset = offset;
        assert_true(p2p_link_send_block(a.links[0], &s.block));
        NODES_WAIT(&a, &b, a.sent == i + 1 && node_count(&b, &b.arrived) == i + 1);
        assert_block(&b, i, bytes + offset, sizes[i]);
    }
    nodes_close(&a, &b);
}

static void blocks_of_any_size_arrive_in_the_memory_that_they_were_given(void **state)
{
    char *bytes = new_bytes(EL_MIB);

    (void)state;
    send_sizes(NULL, -1, bytes);
    send_sizes(SECRET, -1, bytes);
    free(bytes);
}

static void blocks_out_of_a_file_are_the_same(void **state)
{
    char *bytes = new_bytes(EL_MIB);
    int fd = memfd_create("blocks", MFD_CLOEXEC);

    (void)state;
    assert_int_equal(write(fd, bytes, EL_MIB), (ssize_t)EL_MIB);
    send_sizes(NULL, fd, bytes);
    send_sizes(SECRET, fd, bytes);
    assert_int_equal(close(fd), 0);
    free(bytes);
}

static void send_many(const char *secret, bool both_ways)
{
    struct sending s[2][32];
    struct node n[2];
    char *bytes = new_bytes(EL_MIB);
    unsigned ways = both_ways ? 2 : 1;

    open_pair(&n[0], &n[1], secret);
    for (unsigned w = 0; w < ways; w++) {
        for (unsigned i = 0; i < 32; i++) {
            prepare(&s[w][i], &n[w], i % 16, bytes, (uint32_t)EL_MIB);
            assert_true(p2p_link_send_block(n[w].links[0], &s[w][i].block));
        }
        send_message(&n[w], 7, EL_STR("overtakes"));
    }
    NODES_WAIT(&n[0], &n[1], node_count(&n[1], &n[1].arrived) == 32 && n[1].frames == 1);
    if (both_ways)
        NODES_WAIT(&n[0], &n[1], node_count(&n[0], &n[0].arrived) == 32 && n[0].frames == 1);
    assert_block(&n[1], 15, bytes, EL_MIB);
    NODES_WAIT(&n[0], &n[1], n[0].sent == 32);
    nodes_close(&n[0], &n[1]);
    free(bytes);
}

static void many_blocks_and_frames_pass_each_other(void **state)
{
    (void)state;
    send_many(NULL, false);
    send_many(NULL, true);
    send_many(SECRET, true);
}

static void a_block_that_nobody_has_room_for_is_read_and_forgotten(void **state)
{
    char *bytes = new_bytes(EL_MIB);
    struct node a, b;
    struct sending s;

    (void)state;
    open_pair(&a, &b, NULL);
    b.takes_no_blocks = true;
    prepare(&s, &a, 3, bytes, (uint32_t)EL_MIB);
    assert_true(p2p_link_send_block(a.links[0], &s.block));
    NODES_WAIT(&a, &b, node_count(&b, &b.passed) == 1);
    assert_int_equal(b.number, 3);
    assert_int_equal(b.placed, 0);
    nodes_close(&a, &b);
    free(bytes);
}

static void a_block_with_a_wrong_hash_ends_the_link_and_gives_the_memory_back(void **state)
{
    char *bytes = new_bytes(EL_MIB);
    struct node a, b;
    struct sending s;

    (void)state;
    open_pair(&a, &b, NULL);
    prepare(&s, &a, 3, bytes, (uint32_t)EL_MIB);
    s.block.hash.b[0] ^= 1;
    assert_true(p2p_link_send_block(a.links[0], &s.block));
    NODES_WAIT(&a, &b, a.downs == 1 && b.downs == 1);
    assert_int_equal(b.why.code, EL_EHASH);
    assert_int_equal(a.why.code, EL_EHASH); /* it was told */
    assert_int_equal(b.arrived, 0);
    assert_int_equal(b.unplaced, 1);
    assert_int_equal(node_metric(&b, "eliop2p_p2p_bad_frames_total "), 1);
    nodes_close(&a, &b);
    free(bytes);
}

static void a_queue_of_blocks_has_an_end(void **state)
{
    struct sending s[P2P_QUEUE_BLOCKS + 1];
    char *bytes = new_bytes(EL_MIB);
    struct node a, b;

    (void)state;
    open_pair(&a, &b, NULL);
    p2p_net_rates(a.net, &(struct p2p_rates){ .upload_bps = 1 });
    for (unsigned i = 0; i <= P2P_QUEUE_BLOCKS; i++) {
        prepare(&s[i], &a, i % 15, bytes, (uint32_t)EL_MIB);
        assert_int_equal(p2p_link_send_block(a.links[0], &s[i].block), i < P2P_QUEUE_BLOCKS);
    }
    nodes_close(&a, &b);
    assert_int_equal(a.sent, 0);
    assert_int_equal(a.canceled, P2P_QUEUE_BLOCKS);
    free(bytes);
}

static void a_block_that_is_not_begun_can_be_taken_back(void **state)
{
    struct sending s[3];
    char *bytes = new_bytes(EL_MIB);
    struct node a, b;

    (void)state;
    open_pair(&a, &b, NULL);
    p2p_net_rates(a.net, &(struct p2p_rates){ .upload_bps = 1 });
    for (unsigned i = 0; i < 3; i++) {
        prepare(&s[i], &a, i, bytes, (uint32_t)EL_MIB);
        assert_true(p2p_link_send_block(a.links[0], &s[i].block));
    }
    p2p_link_cancel_block(a.links[0], &s[1].block);
    NODES_WAIT(&a, &b, a.canceled == 1);
    assert_int_equal(s[1].block.result, EL_ECANCELED);
    p2p_net_rates(a.net, &(struct p2p_rates){ 0 });
    NODES_WAIT(&a, &b, node_count(&b, &b.arrived) == 2 && a.sent == 2);
    assert_int_equal(b.number, 2);
    nodes_close(&a, &b);
    free(bytes);
}

/* Blocks on their way in both directions, at whatever point the end finds them. */
static void at_the_end_all_memory_comes_back_once(void **state)
{
    char *bytes = new_bytes(EL_MIB);

    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct sending s[2][16];
        struct node n[2];

        open_pair(&n[0], &n[1], round % 2 == 0 ? NULL : SECRET);
        for (unsigned i = 0; i < 32; i++) {
            prepare(&s[i % 2][i / 2], &n[i % 2], i / 2, bytes, (uint32_t)EL_MIB);
            assert_true(p2p_link_send_block(n[i % 2].links[0], &s[i % 2][i / 2].block));
        }
        NODES_WAIT(&n[0], &n[1], node_count(&n[1], &n[1].placed) > round % 8);
        if (round % 4 < 2)
            p2p_link_close(n[0].links[0], &(struct el_error){ .code = EL_ECANCELED });
        nodes_close(&n[0], &n[1]);
        assert_int_equal(n[0].sent + n[0].canceled, 16);
        assert_int_equal(n[1].sent + n[1].canceled, 16);
    }
    free(bytes);
}

/* ---- rates ---- */

static void limit(struct p2p_rates up, struct p2p_rates down, const char *secret)
{
    uint64_t start, took_ms, bytes;
    char *mem = new_bytes(EL_MIB);
    struct sending s[8];
    struct node a, b;

    node_open(&a, &(struct node_conf){ .identity = 1, .secret = secret, .rates = up });
    node_open(&b, &(struct node_conf){ .identity = 2, .secret = secret, .rates = down });
    nodes_link(&a, &b);
    start = el_clock_mono_ms(el_clock_system());
    for (unsigned i = 0; i < 8; i++) {
        prepare(&s[i], &a, i, mem, (uint32_t)EL_MIB);
        assert_true(p2p_link_send_block(a.links[0], &s[i].block));
    }
    NODES_WAIT(&a, &b, node_count(&b, &b.arrived) == 8);
    took_ms = el_clock_mono_ms(el_clock_system()) - start;
    /* Not faster than the rate, but for what was saved up. How much slower is the machine's. */
    bytes = 8 * EL_MIB - 20000000 / 100;
    assert_true(took_ms + 1 >= bytes * 1000 / 20000000);
    nodes_close(&a, &b);
    free(mem);
}

static void a_rate_is_not_exceeded(void **state)
{
    struct p2p_rates none = { 0 }, up = { .upload_bps = 20000000 }, down = { 0, 20000000 };

    (void)state;
    limit(up, none, NULL);
    limit(none, down, NULL);
    limit(up, none, SECRET);
    limit(none, down, SECRET);
}

/* ---- silence ---- */

static void a_link_that_nobody_uses_is_closed_in_order(void **state)
{
    struct node a, b;

    (void)state;
    node_open(&a, &(struct node_conf){ .identity = 1, .idle_ms = 50 });
    node_open(&b, &(struct node_conf){ .identity = 2 });
    nodes_link(&a, &b);
    NODES_WAIT(&a, &b, a.downs == 1 && b.downs == 1);
    assert_int_equal(a.why.code, EL_OK);
    assert_int_equal(b.why.code, EL_OK);
    nodes_close(&a, &b);
}

static void a_peer_that_has_nothing_to_send_is_not_dead(void **state)
{
    struct p2p_link_stats stats;
    struct node a, b;
    uint64_t before;

    (void)state;
    open_pair(&a, &b, NULL);
    p2p_link_stats(a.links[0], &stats);
    before = stats.in_bytes;
    p2p_link_expects(a.links[0], 10);
    /* Answers to three Pings of 69 bytes: it was asked each time, and lives. */
    do {
        nodes_run(&a, &b);
        assert_int_equal(a.downs, 0);
        p2p_link_stats(a.links[0], &stats);
    } while (stats.in_bytes < before + 3 * 69);
    assert_true(stats.rtt_us > 0);
    nodes_close(&a, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_know_who_the_other_is),
        cmocka_unit_test(a_node_that_leaves_says_so),
        cmocka_unit_test(a_node_without_a_listener_dials_and_says_port_0),
        cmocka_unit_test(a_link_to_itself_is_none),
        cmocka_unit_test(where_nobody_listens_there_is_no_link),
        cmocka_unit_test(no_more_links_than_allowed),
        cmocka_unit_test(a_link_that_is_closed_before_it_is_up_goes_down_once),
        cmocka_unit_test(frames_arrive_as_they_were_sent),
        cmocka_unit_test(many_frames_at_once_arrive_in_order),
        cmocka_unit_test(who_does_not_take_frames_is_sent_no_more_than_some),
        cmocka_unit_test(blocks_of_any_size_arrive_in_the_memory_that_they_were_given),
        cmocka_unit_test(blocks_out_of_a_file_are_the_same),
        cmocka_unit_test(many_blocks_and_frames_pass_each_other),
        cmocka_unit_test(a_block_that_nobody_has_room_for_is_read_and_forgotten),
        cmocka_unit_test(a_block_with_a_wrong_hash_ends_the_link_and_gives_the_memory_back),
        cmocka_unit_test(a_queue_of_blocks_has_an_end),
        cmocka_unit_test(a_block_that_is_not_begun_can_be_taken_back),
        cmocka_unit_test(at_the_end_all_memory_comes_back_once),
        cmocka_unit_test(a_rate_is_not_exceeded),
        cmocka_unit_test(a_link_that_nobody_uses_is_closed_in_order),
        cmocka_unit_test(a_peer_that_has_nothing_to_send_is_not_dead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
