/* SPDX-License-Identifier: MIT */
/* Who may not be a peer, and what a bad one can do to a node: nothing that others notice. */
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/resource.h>

#include "common/rng.h"
#include "p2p/proof.h"
#include "p2p/wire_reader.h"
#include "tests/lib/certificate.h"
#include "tests/lib/frame.h"
#include "tests/lib/net.h"

#define SECRET "correct horse battery staple"
#define OTHER  "correct horse battery stapler"

/* ---- who may not ---- */

/* What a finds wrong and what b does, of which one dials the other. */
static void refuse(const struct node_conf *conf_a, const struct node_conf *conf_b, const char *why)
{
    struct node n[2];

    node_open(&n[0], conf_a);
    node_open(&n[1], conf_b);
    for (unsigned dials = 0; dials < 2; dials++) {
        struct node *from = &n[dials], *to = &n[1 - dials];
        uint64_t before = node_refused(to, why);

        (void)node_dial(from, to);
        NODES_WAIT(from, to, from->downs == 1 && node_refused(to, why) == before + 1);
    }
    assert_int_equal(n[0].ups + n[1].ups, 0);
    nodes_close(&n[0], &n[1]);
}

static void another_secret_is_refused(void **state)
{
    (void)state;
    refuse(&(struct node_conf){ .identity = 1, .secret = SECRET },
           &(struct node_conf){ .identity = 2, .secret = OTHER }, "tls");
}

static void without_the_secret_there_is_no_link(void **state)
{
    struct node with, without;

    (void)state;
    node_open(&with, &(struct node_conf){ .identity = 1, .secret = SECRET });
    node_open(&without, &(struct node_conf){ .identity = 2 });
    (void)node_dial(&without, &with);
    NODES_WAIT(&with, &without, without.downs == 1 && node_refused(&with, "tls") == 1);
    (void)node_dial(&with, &without);
    NODES_WAIT(&with, &without, with.downs == 1 && node_refused(&without, "protocol") >= 1);
    assert_int_equal(with.ups + without.ups, 0);
    nodes_close(&with, &without);
}

static void another_cluster_is_refused_and_told(void **state)
{
    struct node a, b;

    (void)state;
    node_open(&a, &(struct node_conf){ .identity = 1, .secret = SECRET, .cluster = "train" });
    node_open(&b, &(struct node_conf){ .identity = 2, .secret = SECRET, .cluster = "serve" });
    (void)node_dial(&a, &b);
    NODES_WAIT(&a, &b, a.downs == 1 && node_refused(&b, "cluster") == 1);
    assert_int_equal(a.why.code, EL_ECLUSTER);
    nodes_close(&a, &b);
}

/* ---- a peer that speaks the protocol by hand ---- */

struct hand {
    int fd;
    struct el_key *key;
    struct p2p_reader reader;
    struct el_buf input;
    size_t taken;
    struct p2p_proof_ends ends;
    struct el_buf hello;
};

/* The next frame that is no block; the reader has it. */
static const struct p2p_frame *hand_read(struct hand *h)
{
    for (;;) {
        struct el_str s = el_str_from(el_buf_str(&h->input), h->taken);
        size_t had = s.n;
        enum p2p_read event;
        char bytes[4096];
        ssize_t n;

        assert_int_equal(p2p_reader_feed(&h->reader, &s, &event, NULL), EL_OK);
        h->taken += had - s.n;
        if (event == P2P_READ_FRAME)
            return &h->reader.frame;
        n = recv(h->fd, bytes, sizeof(bytes), 0);
        assert_true(n > 0);
        el_buf_add(&h->input, bytes, (size_t)n);
    }
}

static void hand_send(struct hand *h, struct el_buf *frame)
{
    raw_send(h->fd, frame->p, frame->n);
    el_buf_deinit(frame);
}

static void hand_hello(struct hand *h, const struct node *to)
{
    uint8_t secret[EL_KEY_BYTES] = { 77 }, key[EL_KEY_BYTES];
    struct p2p_hello hello = { .version_min = 1, .version_max = 1, .cluster = EL_STR("train") };
    struct el_str data;

    *h = (struct hand){ .fd = raw_dial(to), .key = el_key_new(secret) };
    p2p_reader_init(&h->reader);
    el_key_public(h->key, key);
    el_key_fingerprint(key, &hello.fingerprint);
    p2p_hello_add(&h->hello, &hello);
    data = el_str_from(el_buf_str(&h->hello), P2P_START_BYTES + 4);
    el_sha256_of(data.p, data.n - P2P_TAIL_BYTES, &h->ends.mine);
}

static void hand_prove(struct hand *h)
{
    struct el_buf out = { 0 };
    struct p2p_proof p;

    h->ends.others = hand_read(h)->hash;
    p2p_reader_set_version(&h->reader, 1);
    p2p_proof_make(h->key, &h->ends, &p);
    p2p_proof_add(&out, 1, &p);
    hand_send(h, &out);
}

/* Up, as far as the node can tell. */
static void hand_link(struct hand *h, struct node *to)
{
    unsigned ups = to->ups + 1;

    hand_hello(h, to);
    hand_send(h, &h->hello);
    hand_prove(h);
    NODES_WAIT(to, NULL, to->ups == ups);
}

static void hand_close(struct hand *h)
{
    assert_int_equal(close(h->fd), 0);
    p2p_reader_deinit(&h->reader);
    el_buf_deinit(&h->input);
    el_buf_deinit(&h->hello);
    el_key_free(h->key);
}

static void a_peer_by_hand_comes_up(void **state)
{
    struct node a;
    struct hand h;

    (void)state;
    node_open(&a, &(struct node_conf){ .identity = 1 });
    hand_link(&h, &a);
    assert_int_equal(hand_read(&h)->type, P2P_PROOF);
    assert_int_equal(a.peer.p2p_port, 0);
    assert_int_equal(shutdown(h.fd, SHUT_WR), 0);
    NODES_WAIT(&a, NULL, a.downs == 1);
    assert_int_equal(a.why.code, EL_OK);
    hand_close(&h);
    node_close(&a);
}

static void a_wrong_proof_is_refused(void **state)
{
    struct node a;
    struct hand h;

    (void)state;
    node_open(&a, &(struct node_conf){ .identity = 1 });
    hand_hello(&h, &a);
    hand_send(&h, &h.hello);
    h.ends.mine.b[0] ^= 1; /* of another Hello */
    hand_prove(&h);
    NODES_WAIT(&a, NULL, node_refused(&a, "proof") == 1);
    assert_int_equal(hand_read(&h)->type, P2P_PROOF);
    assert_int_equal(hand_read(&h)->type, P2P_ERROR);
    hand_close(&h);
    assert_int_equal(a.ups, 0);
    node_close(&a);
}

/* After the handshake: `bytes` end the link, with that code. */
static void end_by(const struct el_buf *bytes, enum el_err code)
{
    struct node a;
    struct hand h;

    node_open(&a, &(struct node_conf){ .identity = 1 });
    hand_link(&h, &a);
    raw_send(h.fd, bytes->p, bytes->n);
    NODES_WAIT(&a, NULL, a.downs == 1);
    assert_int_equal(a.why.code, code);
    NODES_WAIT(&a, NULL, raw_is_closed(h.fd, NULL));
    hand_close(&h);
    node_close(&a);
}

static void end_by_raw(const struct raw_frame *r, enum el_err code)
{
    struct el_buf bytes = { 0 };

    raw_add(&bytes, r);
    end_by(&bytes, code);
    el_buf_deinit(&bytes);
}

static void what_no_peer_says_ends_the_link(void **state)
{
    struct el_str id = EL_STR(FRAME_ID), block = EL_STR("block");
    char data[100] = { 0 };

    (void)state;
    end_by_raw(&(struct raw_frame){ .magic = 1, .type = 9, .data = { data, 12 } }, EL_EPROTO);
    end_by_raw(&(struct raw_frame){ .version = 2, .type = 9, .data = { data, 12 } }, EL_EVERSION);
    end_by_raw(&(struct raw_frame){ .type = 9, .data = { data, 12 } }, EL_EPROTO);
    end_by_raw(&(struct raw_frame){ .type = 5, .data = { data, 79 } }, EL_EPROTO);
    end_by_raw(&(struct raw_frame){ .type = 10, .data = { data, 96 } }, EL_EPROTO);
    end_by_raw(&(struct raw_frame){ .type = 2, .id = id, .data = block }, EL_EPROTO);
    end_by_raw(&(struct raw_frame){ .type = 2, .id = id, .data = block, .flags = 2 },
               EL_EUNSUPPORTED);
    end_by_raw(
        &(struct raw_frame){ .type = 2, .id = id, .data = block, .flags = 4, .has_wrong_hash = 1 },
        EL_EHASH);
}

static void lengths_of_4_gib_end_the_link_and_take_no_memory(void **state)
{
    static const uint32_t types[] = { 1, 2, 3, 6, 16, 32 };
    struct el_str id = EL_STR(FRAME_ID);

    (void)state;
    for (size_t i = 0; i < EL_COUNT(types); i++) {
        struct raw_frame r = { .type = types[i], .data_length = UINT32_MAX };

        r.id = types[i] < 16 ? id : (struct el_str){ NULL, 0 };
        end_by_raw(&r, EL_EPROTO);
    }
    end_by_raw(&(struct raw_frame){ .type = 2, .id_length = UINT32_MAX }, EL_EPROTO);
}

static void what_a_peer_says_before_it_closes_is_why(void **state)
{
    struct p2p_refusal r = { .code = EL_EOVERLOAD, .text = EL_STR("no room") };
    struct el_buf bytes = { 0 };

    (void)state;
    p2p_error_add(&bytes, 1, NULL, 0, &r);
    end_by(&bytes, EL_EOVERLOAD);
    el_buf_deinit(&bytes);
}

static void a_link_that_is_cut_within_a_block_gives_its_memory_back(void **state)
{
    struct raw_frame r = { .type = 2, .id = EL_STR(FRAME_ID), .data_length = 1000 };
    struct el_buf bytes = { 0 };
    struct node a;
    struct hand h;

    (void)state;
    r.data = EL_STR("the beginning of a block");
    raw_add(&bytes, &r);
    node_open(&a, &(struct node_conf){ .identity = 1 });
    hand_link(&h, &a);
    raw_send(h.fd, bytes.p, bytes.n);
    NODES_WAIT(&a, NULL, node_count(&a, &a.placed) == 1);
    hand_close(&h);
    NODES_WAIT(&a, NULL, a.downs == 1);
    assert_int_equal(a.unplaced, 1);
    el_buf_deinit(&bytes);
    node_close(&a);
}

static void a_peer_that_hangs_is_dead_when_something_is_awaited(void **state)
{
    struct node a;
    struct hand h;

    (void)state;
    node_open(&a, &(struct node_conf){ .identity = 1 });
    hand_link(&h, &a);
    p2p_link_expects(a.links[0], 10);
    NODES_WAIT(&a, NULL, a.downs == 1);
    assert_int_equal(a.why.code, EL_ETIMEOUT);
    hand_close(&h);
    node_close(&a);
}

static void a_hello_that_drips_is_not_waited_for(void **state)
{
    struct el_buf said = { 0 };
    struct node a;
    struct hand h;
    size_t sent = 0;

    (void)state;
    node_open(&a, &(struct node_conf){ .identity = 1 });
    hand_hello(&h, &a);
    while (node_refused(&a, "timeout") == 0) {
        if (sent < 100 && send(h.fd, h.hello.p + sent, 1, MSG_NOSIGNAL) == 1)
            sent++;
        nodes_run(&a, NULL);
    }
    NODES_WAIT(&a, NULL, raw_is_closed(h.fd, &said));
    assert_true(said.n > 0);
    el_buf_deinit(&said);
    hand_close(&h);
    node_close(&a);
}

/* ---- noise ---- */

static void make_noise(struct node *a, struct el_rng *rng)
{
    int fd = raw_dial(a);
    uint8_t noise[3000];

    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)el_rng_u64(rng);
    if (el_rng_below(rng, 2) == 0)
        memcpy(noise, "CHKP\0\0\0\1\0\0\0\5\0\0\0\0\0\0\0\x60", 20);
    (void)send(fd, noise, 1 + el_rng_below(rng, sizeof(noise)), MSG_NOSIGNAL);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    NODES_WAIT(a, NULL, raw_is_closed(fd, NULL));
    assert_int_equal(close(fd), 0);
}

static void noise_is_refused(void **state)
{
    static const char *const secrets[] = { NULL, SECRET };
    struct el_rng rng;

    (void)state;
    el_rng_seed(&rng, 20261121);
    for (size_t i = 0; i < EL_COUNT(secrets); i++) {
        struct node a, b;

        node_open(&a, &(struct node_conf){ .identity = 1, .secret = secrets[i] });
        node_open(&b, &(struct node_conf){ .identity = 2, .secret = secrets[i] });
        for (unsigned k = 0; k < 200; k++)
            make_noise(&a, &rng);
        nodes_link(&b, &a);
        assert_int_equal(a.ups, 1);
        nodes_close(&a, &b);
    }
}

static void a_thousand_silent_connections_keep_nobody_out(void **state)
{
    struct rlimit files;
    struct node a, b;
    int fds[1000];

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_max < 1500) {
        print_message("skipped: 1500 descriptors are more than the hard limit of this shell\n");
        skip();
    }
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    node_open(&a, &(struct node_conf){ .identity = 1, .secret = SECRET, .max_half_open = 64 });
    node_open(&b, &(struct node_conf){ .identity = 2, .secret = SECRET });
    for (size_t i = 0; i < EL_COUNT(fds); i++)
        fds[i] = raw_dial(&a);
    nodes_link(&b, &a);
    assert_true(node_refused(&a, "flood") + node_refused(&a, "timeout") >= EL_COUNT(fds) - 64);
    for (size_t i = 0; i < EL_COUNT(fds); i++)
        assert_int_equal(close(fds[i]), 0);
    nodes_close(&a, &b);
}

/* ---- somebody in between ---- */

static int listen_raw(uint16_t *ret_port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t n = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &n), 0);
    *ret_port = ntohs(addr.sin_port);
    return fd;
}

/* What has come from one is passed to the other, and kept. */
static void relay(int from, int to, struct el_buf *kept)
{
    char bytes[4096];
    ssize_t n = recv(from, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n <= 0)
        return;
    el_buf_add(kept, bytes, (size_t)n);
    raw_send(to, bytes, (size_t)n);
}

/* All that a client says during a handshake that succeeds. */
static void record(struct node *client, struct node *server, struct el_buf *ret)
{
    struct el_buf answers = { 0 };
    struct p2p_link *l;
    uint16_t port;
    int listener = listen_raw(&port), from, to;

    assert_int_equal(p2p_net_connect(client->net, "127.0.0.1", port, NULL, &l, NULL), EL_OK);
    from = accept(listener, NULL, NULL);
    to = raw_dial(server);
    while (client->ups == 0 || server->ups == 0) {
        relay(from, to, ret);
        relay(to, from, &answers);
        nodes_run(client, server);
    }
    assert_int_equal(close(from) + close(to) + close(listener), 0);
    NODES_WAIT(client, server, client->downs == 1 && server->downs == 1);
    el_buf_deinit(&answers);
}

static void replay(const char *secret, const char *why)
{
    struct el_buf said = { 0 };
    struct node a, b;
    int fd;

    node_open(&a, &(struct node_conf){ .identity = 1, .secret = secret });
    node_open(&b, &(struct node_conf){ .identity = 2, .secret = secret });
    record(&b, &a, &said);
    fd = raw_dial(&a);
    raw_send(fd, said.p, said.n);
    NODES_WAIT(&a, &b, raw_is_closed(fd, NULL));
    NODES_WAIT(&a, &b, node_refused(&a, why) == 1);
    assert_int_equal(a.ups, 1);
    assert_int_equal(close(fd), 0);
    el_buf_deinit(&said);
    nodes_close(&a, &b);
}

static void a_recorded_handshake_is_of_no_use_later(void **state)
{
    (void)state;
    replay(NULL, "proof");
    replay(SECRET, "tls");
}

/* ---- other ways to do TLS ---- */

/* A client of TLS that is no node; the server must not answer it to the end. */
static void assert_refused(struct node *a, SSL_CTX *ctx)
{
    uint64_t before = node_refused(a, "tls");
    SSL *ssl = SSL_new(ctx);
    int fd = raw_dial(a);
    char byte;

    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    if (SSL_connect(ssl) == 1)
        assert_true(SSL_read(ssl, &byte, 1) <= 0);
    NODES_WAIT(a, NULL, node_refused(a, "tls") == before + 1);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    assert_int_equal(close(fd), 0);
}

static unsigned give_psk_1_2(SSL *ssl, const char *hint, char *identity, unsigned max_identity,
                             unsigned char *psk, unsigned max_psk)
{
    (void)ssl;
    (void)hint;
    (void)max_psk;
    (void)snprintf(identity, max_identity, "eliop2p");
    el_hmac_sha256(SECRET, strlen(SECRET), EL_STR("eliop2p link 1"), psk);
    return EL_SHA256_BYTES;
}

static void an_older_tls_is_refused_even_with_the_secret(void **state)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    struct node a;

    (void)state;
    node_open(&a, &(struct node_conf){ .identity = 1, .secret = SECRET });
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION), 1);
    SSL_CTX_set_psk_client_callback(ctx, give_psk_1_2);
    assert_refused(&a, ctx);
    node_close(&a);
}

static void tls_without_the_secret_is_refused(void **state)
{
    struct node a;

    (void)state;
    node_open(&a, &(struct node_conf){ .identity = 1, .secret = SECRET });
    assert_refused(&a, SSL_CTX_new(TLS_client_method()));
    node_close(&a);
}

static void a_server_that_shows_a_certificate_instead_is_refused(void **state)
{
    struct certificate cert = certificate_new("somebody", NULL);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL *ssl = SSL_new(ctx);
    struct p2p_link *l;
    struct node a;
    uint16_t port;
    int listener = listen_raw(&port), fd;

    (void)state;
    node_open(&a, &(struct node_conf){ .identity = 1, .secret = SECRET });
    assert_int_equal(SSL_use_certificate(ssl, cert.cert), 1);
    assert_int_equal(SSL_use_PrivateKey(ssl, cert.key), 1);
    assert_int_equal(p2p_net_connect(a.net, "127.0.0.1", port, NULL, &l, NULL), EL_OK);
    fd = accept(listener, NULL, NULL);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    assert_int_not_equal(SSL_accept(ssl), 1);
    NODES_WAIT(&a, NULL, a.downs == 1);
    assert_int_equal(a.why.code, EL_ETLS);
    assert_int_equal(node_refused(&a, "tls"), 1);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    certificate_deinit(&cert);
    assert_int_equal(close(fd) + close(listener), 0);
    node_close(&a);
}

/* ---- certificates ---- */

#define FILES 7
static const char *const names[FILES] = { "ca", "a", "a.key", "b", "b.key", "x", "x.key" };
static char paths[FILES][128], dir[64];

static int make_certificates(void **state)
{
    struct certificate ca = certificate_new("ca", NULL), other = certificate_new("other", NULL);
    struct certificate a = certificate_new("a", &ca), b = certificate_new("b", &ca);
    struct certificate x = certificate_new("x", &other);

    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/elio-net-XXXXXX");
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < FILES; i++)
        (void)snprintf(paths[i], sizeof(paths[i]), "%s/%s", dir, names[i]);
    certificate_write(&ca, paths[0], NULL);
    certificate_write(&a, paths[1], paths[2]);
    certificate_write(&b, paths[3], paths[4]);
    certificate_write(&x, paths[5], paths[6]);
    certificate_deinit(&ca);
    certificate_deinit(&other);
    certificate_deinit(&a);
    certificate_deinit(&b);
    certificate_deinit(&x);
    return 0;
}

static int remove_certificates(void **state)
{
    (void)state;
    for (size_t i = 0; i < FILES; i++)
        (void)unlink(paths[i]);
    return rmdir(dir);
}

static struct node_conf with_certificate(unsigned which)
{
    return (struct node_conf){
        .identity = (uint8_t)which,
        .ca = paths[0],
        .cert = paths[which],
        .key_file = paths[which + 1],
    };
}

static void certificates_of_one_ca_make_a_link(void **state)
{
    struct node_conf of_a = with_certificate(1), of_b = with_certificate(3);
    struct node a, b;

    (void)state;
    node_open(&a, &of_a);
    node_open(&b, &of_b);
    nodes_link(&a, &b);
    nodes_link(&b, &a);
    assert_true(a.peer.is_tls && b.peer.is_tls);
    nodes_close(&a, &b);
}

static void a_certificate_of_another_ca_makes_none(void **state)
{
    struct node_conf of_a = with_certificate(1), of_x = with_certificate(5);

    (void)state;
    refuse(&of_a, &of_x, "tls");
}

static void a_secret_and_a_certificate_make_none(void **state)
{
    struct node_conf of_a = with_certificate(1);

    (void)state;
    refuse(&of_a, &(struct node_conf){ .identity = 2, .secret = SECRET }, "tls");
}

static void certificates_without_a_key_or_beside_a_secret_are_no_configuration(void **state)
{
    struct node_conf of_a = with_certificate(1);
    struct node n;

    (void)state;
    of_a.key_file = NULL;
    assert_int_equal(node_try_open(&n, &of_a, NULL), EL_ECONF);
    node_free(&n);
    of_a = with_certificate(1);
    of_a.secret = SECRET;
    assert_int_equal(node_try_open(&n, &of_a, NULL), EL_ECONF);
    node_free(&n);
    of_a = with_certificate(1);
    of_a.key_file = paths[4];
    assert_int_equal(node_try_open(&n, &of_a, NULL), EL_ETLS);
    node_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_secret_is_refused),
        cmocka_unit_test(without_the_secret_there_is_no_link),
        cmocka_unit_test(another_cluster_is_refused_and_told),
        cmocka_unit_test(a_peer_by_hand_comes_up),
        cmocka_unit_test(a_wrong_proof_is_refused),
        cmocka_unit_test(what_no_peer_says_ends_the_link),
        cmocka_unit_test(lengths_of_4_gib_end_the_link_and_take_no_memory),
        cmocka_unit_test(what_a_peer_says_before_it_closes_is_why),
        cmocka_unit_test(a_link_that_is_cut_within_a_block_gives_its_memory_back),
        cmocka_unit_test(a_peer_that_hangs_is_dead_when_something_is_awaited),
        cmocka_unit_test(a_hello_that_drips_is_not_waited_for),
        cmocka_unit_test(noise_is_refused),
        cmocka_unit_test(a_thousand_silent_connections_keep_nobody_out),
        cmocka_unit_test(a_recorded_handshake_is_of_no_use_later),
        cmocka_unit_test(an_older_tls_is_refused_even_with_the_secret),
        cmocka_unit_test(tls_without_the_secret_is_refused),
        cmocka_unit_test(a_server_that_shows_a_certificate_instead_is_refused),
        cmocka_unit_test(certificates_of_one_ca_make_a_link),
        cmocka_unit_test(a_certificate_of_another_ca_makes_none),
        cmocka_unit_test(a_secret_and_a_certificate_make_none),
        cmocka_unit_test(certificates_without_a_key_or_beside_a_secret_are_no_configuration),
    };

    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
