/* SPDX-License-Identifier: MIT */
/* Bytes in quantity: exactness, back-pressure in both directions, and clients that stall or leave.
 */
#include <sys/syscall.h>
#include <sys/uio.h>

#include "tests/unit/proxy/wire.h"

static struct wire world;
static char room[65536];

/* Takes the place of libc's: while it is not 0, the kernel has room for so many bytes every other
 * time. */
static _Atomic size_t trickle;
static _Atomic unsigned writes;

ssize_t writev(int fd, const struct iovec *v, int n)
{
    size_t left = atomic_load(&trickle);
    struct iovec cut[4];

    if (left == 0 || n > (int)EL_COUNT(cut))
        return syscall(SYS_writev, fd, v, n);
    if (atomic_fetch_add(&writes, 1) % 2 == 0) {
        errno = EAGAIN;
        return -1;
    }
    for (int i = 0; i < n; i++) {
        cut[i] = (struct iovec){ v[i].iov_base, el_min_size(v[i].iov_len, left) };
        left -= cut[i].iov_len;
    }
    return syscall(SYS_writev, fd, cut, n);
}

static int start(void **state)
{
    struct proxy_server_conf conf = wire_conf(&world);

    (void)state;
    wire_start(&world, &conf);
    return 0;
}

/* A server on which waiting is short. */
static int start_impatient(void **state)
{
    struct proxy_server_conf conf = wire_conf(&world);

    (void)state;
    conf.limits.head_timeout_ms = 100;
    conf.limits.idle_timeout_ms = 100;
    conf.limits.body_timeout_ms = 200;
    conf.limits.max_body_bytes = 1000;
    wire_start(&world, &conf);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    wire_stop(&world);
    memset(&world, 0, sizeof(world));
    return 0;
}

static int ask_slowly(const char *target)
{
    int fd = wire_dial_port(proxy_server_port(world.server), 4096);

    (void)snprintf(room, sizeof(room), "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                   target);
    wire_say(fd, room);
    return fd;
}

/* The body behind the head must be the content, to the last byte. */
static uint64_t check_content(int fd)
{
    uint64_t n = 0;
    ssize_t got;
    size_t in_head = 0; /* bytes of the empty line seen */

    while ((got = wire_hear_some(fd, room, sizeof(room))) > 0)
        for (ssize_t i = 0; i < got; i++) {
            if (in_head < 4)
                in_head = room[i] == "\r\n\r\n"[in_head] ? in_head + 1 : (room[i] == '\r');
            else if ((uint8_t)room[i] != wire_byte(n++))
                fail_msg("byte %lu is wrong", (unsigned long)n - 1);
        }
    return n;
}

static void a_large_body_arrives_exactly_through_small_windows(void **state)
{
    static const char *const targets[] = { "/len/20000003", "/file/20000003" };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(targets); i++) {
        int fd = ask_slowly(targets[i]);

        assert_int_equal(check_content(fd), 20000003);
        (void)close(fd);
    }
}

/* Reads the chunked body at fd, which starts with a head. */
static uint64_t check_chunks(int fd, bool *ret_done)
{
    static char all[WIRE_CONTENT_BYTES];
    size_t n = wire_hear_all(fd, all, sizeof(all));
    char *p = strstr(all, "\r\n\r\n") + 4;
    uint64_t body = 0;

    *ret_done = false;
    while (p < all + n) {
        char *end;
        uint64_t size = strtoull(p, &end, 16);

        if (*p <= ' ' || memcmp(end, "\r\n", 2) != 0)
            fail_msg("broken chunk after %lu bytes", (unsigned long)body);
        p = end + 2;
        if (size == 0) {
            *ret_done = true;
            break;
        }
        for (uint64_t i = 0; i < size && p < all + n; i++, p++)
            assert_int_equal((uint8_t)*p, wire_byte(body++));
        if (p < all + n && memcmp(p, "\r\n", 2) != 0)
            fail_msg("chunk not ended after %lu bytes", (unsigned long)body);
        p += 2;
    }
    return body;
}

static void chunks_survive_a_full_socket(void **state)
{
    int fd = ask_slowly("/chunked/9000001");
    bool done;

    (void)state;
    assert_int_equal(check_chunks(fd, &done), 9000001);
    assert_true(done);
    (void)close(fd);
}

static void a_response_survives_any_cut_that_the_kernel_makes(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes <= 32; bytes++) {
        bool done;
        int fd;

        atomic_store(&trickle, bytes);
        fd = ask_slowly("/chunked/100");
        assert_int_equal(check_chunks(fd, &done), 100);
        assert_true(done);
        (void)close(fd);
        fd = ask_slowly("/len/100");
        assert_int_equal(check_content(fd), 100);
        (void)close(fd);
    }
    atomic_store(&trickle, 0);
}

static void a_broken_response_is_seen_to_be_broken(void **state)
{
    bool done;
    int fd = ask_slowly("/cut/100000");

    (void)state;
    assert_int_equal(check_content(fd), 50000);
    (void)close(fd);
    fd = ask_slowly("/cutchunked/100000");
    assert_int_equal(check_chunks(fd, &done), 50000);
    assert_false(done);
    (void)close(fd);
    /* Without a length the end of the connection would look like the end of the body. */
    fd = wire_dial(&world);
    wire_say(fd, "GET /cutchunked/100 HTTP/1.0\r\n\r\n");
    while (wire_hear_some(fd, room, sizeof(room)) > 0)
        ;
    assert_int_equal(errno, ECONNRESET);
    (void)close(fd);
}

static void a_client_that_leaves_while_it_waits_is_noticed(void **state)
{
    int fd = wire_dial(&world);

    (void)state;
    wire_say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    WIRE_WAIT_FOR(atomic_load(&world.requests) == 1);
    (void)close(fd);
    WIRE_WAIT_FOR(atomic_load(&world.gone) == 1);
    WIRE_WAIT_FOR(proxy_server_busy(world.server) == 0);
}

static void a_client_that_leaves_during_its_body_is_noticed(void **state)
{
    int fd = wire_dial(&world);

    (void)state;
    wire_say(fd, "PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nU");
    WIRE_WAIT_FOR(atomic_load(&world.body_bytes) == 1);
    (void)close(fd);
    WIRE_WAIT_FOR(atomic_load(&world.gone) == 1);
}

static void a_client_that_leaves_during_the_response_is_noticed(void **state)
{
    int fd = ask_slowly("/file/30000000");

    (void)state;
    (void)wire_hear_some(fd, room, 1000);
    (void)close(fd);
    WIRE_WAIT_FOR(atomic_load(&world.finished) == 1);
}

/* Sends the body of an upload as far as the server takes it; how much that was. */
static uint64_t say_content(int fd, uint64_t from, uint64_t n)
{
    uint64_t end = from + n;

    while (from < end) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        ssize_t sent;

        if (poll(&p, 1, 300) != 1)
            break;
        sent = send(fd, world.content + from, el_min_u64(end - from, 100000),
                    MSG_NOSIGNAL | MSG_DONTWAIT);
        assert_true(sent > 0);
        from += (uint64_t)sent;
    }
    return from;
}

/* Bytes that the server's kernel and the client's hold are not the proxy's: 8 MiB are plenty. */
static void an_upload_that_nobody_reads_is_held_back(void **state)
{
    int fd = wire_dial(&world), bytes = 100000;
    uint64_t sent;

    (void)state;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    wire_say(fd, "PUT /lazy HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n"
                 "Connection: close\r\n\r\n");
    sent = say_content(fd, 0, 30000000);
    assert_true(sent < 8 * EL_MIB);
    atomic_store(&world.may_read, true);
    assert_int_equal(say_content(fd, sent, 30000000 - sent), 30000000);
    (void)wire_hear_all(fd, room, sizeof(room));
    assert_non_null(strstr(room, "\r\n\r\n30000000"));
    (void)close(fd);
}

static void a_chunked_upload_is_streamed(void **state)
{
    int fd = wire_dial(&world);
    uint64_t at = 0;

    (void)state;
    wire_say(fd, "PUT /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                 "Connection: close\r\n\r\n");
    for (unsigned i = 1; i < 300; i++) {
        char size[16];

        (void)snprintf(size, sizeof(size), "%x\r\n", i * 97);
        wire_say(fd, size);
        wire_say_bytes(fd, world.content + at, i * 97);
        wire_say(fd, "\r\n");
        at += i * 97;
    }
    wire_say(fd, "0\r\n\r\n");
    (void)wire_hear_all(fd, room, sizeof(room));
    (void)snprintf(room + 60000, 100, "\r\n\r\n%lu", (unsigned long)at);
    assert_non_null(strstr(room, room + 60000));
    (void)close(fd);
}

static void a_long_unread_body_closes_but_the_answer_arrives(void **state)
{
    int fd = wire_dial(&world);

    (void)state;
    wire_say(fd, "PUT /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n");
    wire_say_bytes(fd, world.content, 1000000);
    wire_hear_until(fd, "hello", room, sizeof(room));
    (void)close(fd);
}

static void a_slow_head_is_answered_with_408(void **state)
{
    int fd = wire_dial(&world);

    (void)state;
    wire_say(fd, "GET / HTTP/1.1\r\nHo");
    (void)wire_hear_all(fd, room, sizeof(room));
    assert_non_null(strstr(room, "HTTP/1.1 408 Request Timeout\r\n"));
    (void)close(fd);
}

static void an_idle_connection_is_closed_without_a_word(void **state)
{
    int fd = wire_dial(&world);

    (void)state;
    assert_int_equal(wire_hear_all(fd, room, sizeof(room)), 0);
    (void)close(fd);
}

static void a_reader_that_stalls_is_dropped(void **state)
{
    int fd = ask_slowly("/file/30000000");

    (void)state;
    WIRE_WAIT_FOR(atomic_load(&world.gone) == 1);
    (void)close(fd);
}

/* Much slower than the limit would allow for all of it, but never silent for so long. */
static void a_reader_that_is_only_slow_is_kept(void **state)
{
    int fd = ask_slowly("/file/3000000");
    uint64_t heard = 0;

    (void)state;
    for (int i = 0; i < 40; i++) {
        heard += (uint64_t)wire_hear_some(fd, room, 20000);
        (void)usleep(20000);
    }
    assert_int_equal(atomic_load(&world.gone), 0);
    assert_true(heard < 3000000);
    (void)close(fd);
    WIRE_WAIT_FOR(atomic_load(&world.finished) == 1);
}

static void a_body_that_stalls_times_out(void **state)
{
    int fd = wire_dial(&world);

    (void)state;
    wire_say(fd, "PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nU");
    (void)wire_hear_all(fd, room, sizeof(room));
    assert_non_null(strstr(room, "EL_ETIMEOUT"));
    (void)close(fd);
}

static void a_body_over_the_limit_is_refused(void **state)
{
    int fd = wire_dial(&world);

    (void)state;
    wire_say(fd, "PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");
    (void)wire_hear_all(fd, room, sizeof(room));
    assert_non_null(strstr(room, "HTTP/1.1 413 "));
    (void)close(fd);
    fd = wire_dial(&world);
    wire_say(fd, "PUT /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\nU");
    (void)wire_hear_all(fd, room, sizeof(room));
    assert_non_null(strstr(room, "EL_EBODYTOOLARGE"));
    (void)close(fd);
}

#define PATIENT(test)   cmocka_unit_test_setup_teardown(test, start, stop)
#define IMPATIENT(test) cmocka_unit_test_setup_teardown(test, start_impatient, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PATIENT(a_large_body_arrives_exactly_through_small_windows),
        PATIENT(chunks_survive_a_full_socket),
        PATIENT(a_response_survives_any_cut_that_the_kernel_makes),
        PATIENT(a_broken_response_is_seen_to_be_broken),
        PATIENT(a_client_that_leaves_while_it_waits_is_noticed),
        PATIENT(a_client_that_leaves_during_its_body_is_noticed),
        PATIENT(a_client_that_leaves_during_the_response_is_noticed),
        PATIENT(an_upload_that_nobody_reads_is_held_back),
        PATIENT(a_chunked_upload_is_streamed),
        PATIENT(a_long_unread_body_closes_but_the_answer_arrives),
        IMPATIENT(a_slow_head_is_answered_with_408),
        IMPATIENT(an_idle_connection_is_closed_without_a_word),
        IMPATIENT(a_reader_that_stalls_is_dropped),
        IMPATIENT(a_reader_that_is_only_slow_is_kept),
        IMPATIENT(a_body_that_stalls_times_out),
        IMPATIENT(a_body_over_the_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
