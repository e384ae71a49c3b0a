/* SPDX-License-Identifier: MIT */
/* The same message layer behind TLS, and HTTP/2, which only TLS offers. */
#include <signal.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tests/unit/proxy/wire.h"

static struct wire world;
static struct proxy_server_conf conf;
static char room[65536];
static char dir[] = "/tmp/elio-tls-XXXXXX";
static char cert_path[64], key_path[64];

/* A self-signed certificate for `name`, in the two files. */
static void make_certificate(const char *name)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509 *cert = X509_new();
    X509_NAME *subject = X509_get_subject_name(cert);
    FILE *f;

    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, subject);
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    f = fopen(cert_path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, cert), 1);
    (void)fclose(f);
    f = fopen(key_path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(f);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static int make_files(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(cert_path, sizeof(cert_path), "%s/cert.pem", dir);
    (void)snprintf(key_path, sizeof(key_path), "%s/key.pem", dir);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    (void)unlink(cert_path);
    (void)unlink(key_path);
    (void)rmdir(dir);
    return 0;
}

static int start(void **state)
{
    (void)state;
    make_certificate("first");
    conf = wire_conf(&world);
    conf.tls_cert = cert_path;
    conf.tls_key = key_path;
    conf.http2 = true;
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

static SSL *dial(SSL_CTX *ctx)
{
    SSL *ssl = SSL_new(ctx);
    struct timeval patience = { .tv_sec = WIRE_PATIENCE_MS / 1000 };
    int fd = wire_dial_port(proxy_server_tls_port(world.server), 0);

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    SSL_set_fd(ssl, fd);
    assert_int_equal(SSL_connect(ssl), 1);
    return ssl;
}

static void hang_up(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);

    (void)SSL_shutdown(ssl);
    SSL_free(ssl);
    (void)close(fd);
}

static void say(SSL *ssl, const char *text)
{
    assert_int_equal(SSL_write(ssl, text, (int)strlen(text)), (int)strlen(text));
}

static void hear_until(SSL *ssl, const char *text)
{
    int n = 0, got;

    room[0] = '\0';
    while (strstr(room, text) == NULL) {
        got = SSL_read(ssl, room + n, (int)sizeof(room) - 1 - n);
        if (got <= 0)
            fail_msg("\"%s\" did not come, but: %s", text, room);
        n += got;
        room[n] = '\0';
    }
}

/* Reads the head of an answer and not one byte more: the body may hold anything. */
static void hear_head(SSL *ssl)
{
    size_t seen = 0;

    while (seen < 4) {
        if (SSL_read(ssl, room, 1) != 1)
            fail_msg("the head is cut short");
        seen = room[0] == "\r\n\r\n"[seen] ? seen + 1 : (room[0] == '\r');
    }
}

static SSL_CTX *client_ctx(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    assert_non_null(ctx);
    return ctx;
}

static void requests_are_served_in_both_versions_of_tls(void **state)
{
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(versions); i++) {
        SSL_CTX *ctx = client_ctx();
        SSL *ssl;

        SSL_CTX_set_max_proto_version(ctx, versions[i]);
        ssl = dial(ctx);
        for (int j = 0; j < 3; j++) {
            say(ssl, "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
            hear_until(ssl, "hello");
        }
        hang_up(ssl);
        SSL_CTX_free(ctx);
    }
}

static void old_versions_of_tls_are_refused(void **state)
{
    SSL_CTX *ctx = client_ctx();
    SSL *ssl = SSL_new(ctx);
    int fd = wire_dial_port(proxy_server_tls_port(world.server), 0);

    (void)state;
    SSL_set_security_level(ssl, 0);
    SSL_set_min_proto_version(ssl, TLS1_VERSION);
    SSL_set_max_proto_version(ssl, TLS1_1_VERSION);
    SSL_set_fd(ssl, fd);
    assert_true(SSL_connect(ssl) <= 0);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    (void)close(fd);
}

static void a_large_body_arrives_exactly(void **state)
{
    SSL_CTX *ctx = client_ctx();
    SSL *ssl = dial(ctx);
    uint64_t n = 0;
    int got;

    (void)state;
    say(ssl, "GET /file/12345678 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    hear_head(ssl);
    while ((got = SSL_read(ssl, room, sizeof(room))) > 0)
        for (int i = 0; i < got; i++)
            if ((uint8_t)room[i] != wire_byte(n++))
                fail_msg("byte %lu is wrong", (unsigned long)n - 1);
    assert_int_equal(n, 12345678);
    hang_up(ssl);
    SSL_CTX_free(ctx);
}

static void an_upload_is_streamed(void **state)
{
    SSL_CTX *ctx = client_ctx();
    SSL *ssl = dial(ctx);

    (void)state;
    say(ssl, "PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n");
    for (int i = 0; i < 90; i++)
        assert_int_equal(SSL_write(ssl, world.content + i * 100000, 100000), 100000);
    hear_until(ssl, "\r\n\r\n9000000");
    say(ssl, "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
    hear_until(ssl, "hello");
    hang_up(ssl);
    SSL_CTX_free(ctx);
}

static void pipelined_requests_in_one_record_are_all_answered(void **state)
{
    SSL_CTX *ctx = client_ctx();
    SSL *ssl = dial(ctx);

    (void)state;
    memset(room, 0, sizeof(room));
    for (int i = 0; i < 400; i++)
        memcpy(room + i * 31, "GET /ok HTTP/1.1\r\nHost: abc\r\n\r\n", 31);
    say(ssl, room);
    for (int i = 0; i < 400; i++) {
        hear_head(ssl);
        for (int left = 5, got; left > 0; left -= got) {
            got = SSL_read(ssl, room, left);
            assert_true(got > 0);
        }
    }
    hang_up(ssl);
    SSL_CTX_free(ctx);
}

/* An end without TLS's farewell is what tells a client of HTTP/1.0 that the body is not complete.
 */
static void a_broken_response_ends_without_a_farewell(void **state)
{
    SSL_CTX *ctx = client_ctx();
    SSL *ssl = dial(ctx);
    int got;

    (void)state;
    say(ssl, "GET /cutchunked/100 HTTP/1.0\r\n\r\n");
    while ((got = SSL_read(ssl, room, sizeof(room))) > 0)
        ;
    assert_int_not_equal(SSL_get_error(ssl, got), SSL_ERROR_ZERO_RETURN);
    ERR_clear_error();
    hang_up(ssl);
    SSL_CTX_free(ctx);
}

static void name_of_server(SSL *ssl, char *name, int n)
{
    X509 *cert = SSL_get1_peer_certificate(ssl);

    assert_non_null(cert);
    (void)X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, n);
    X509_free(cert);
}

static void a_new_certificate_is_for_new_connections(void **state)
{
    SSL_CTX *ctx = client_ctx();
    SSL *old = dial(ctx), *fresh;
    struct el_error err = { 0 };
    char name[32];

    (void)state;
    make_certificate("second");
    assert_int_equal(proxy_server_reload(world.server, &conf.limits, cert_path, key_path, &err),
                     EL_OK);
    fresh = dial(ctx);
    name_of_server(fresh, name, sizeof(name));
    assert_string_equal(name, "second");
    say(old, "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
    hear_until(old, "hello");
    hang_up(old);
    hang_up(fresh);
    /* A broken one is refused, and the good one stays. */
    assert_int_equal(truncate(cert_path, 100), 0);
    assert_int_equal(proxy_server_reload(world.server, &conf.limits, cert_path, key_path, &err),
                     EL_ECONF);
    assert_non_null(strstr(err.text, cert_path));
    fresh = dial(ctx);
    name_of_server(fresh, name, sizeof(name));
    assert_string_equal(name, "second");
    hang_up(fresh);
    SSL_CTX_free(ctx);
}

static void a_tunnel_works_inside_tls(void **state)
{
    SSL_CTX *ctx = client_ctx();
    SSL *ssl = dial(ctx);
    char request[128];

    (void)state;
    /* The target is the server's own plain port. */
    (void)snprintf(request, sizeof(request),
                   "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: a\r\n\r\n"
                   "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n",
                   (unsigned)proxy_server_port(world.server));
    say(ssl, request);
    hear_until(ssl, "hello");
    assert_non_null(strstr(room, "200 Connection established"));
    hang_up(ssl);
    SSL_CTX_free(ctx);
    WIRE_WAIT_FOR(proxy_server_busy(world.server) == 0);
}

static void a_handshake_that_stalls_is_dropped(void **state)
{
    struct proxy_limits limits = conf.limits;
    int fd;

    (void)state;
    limits.head_timeout_ms = 100;
    assert_int_equal(proxy_server_reload(world.server, &limits, cert_path, key_path, NULL), EL_OK);
    fd = wire_dial_port(proxy_server_tls_port(world.server), 0);
    assert_int_equal(wire_hear_all(fd, room, sizeof(room)), 0);
    (void)close(fd);
}

/* ---- HTTP/2 ---- */

/* What the program says on its standard output; skips the test where curl lacks HTTP/2. */
static char *curl(const char *arguments)
{
    char command[512];
    FILE *out = popen("curl --version | grep -c HTTP2", "r");
    size_t n;

    assert_non_null(out);
    n = fread(room, 1, sizeof(room) - 1, out);
    if (pclose(out) != 0 || n == 0) {
        print_message("skipped: there is no curl with HTTP/2\n");
        skip();
    }
    (void)snprintf(command, sizeof(command),
                   "curl -sk --http2 --max-time 20 %s 2>&1 | tr '\\0' ' '", arguments);
    out = popen(command, "r");
    assert_non_null(out);
    n = fread(room, 1, sizeof(room) - 1, out);
    room[n] = '\0';
    (void)pclose(out);
    return room;
}

static const char *url(const char *path)
{
    static char text[128];

    (void)snprintf(text, sizeof(text), "https://127.0.0.1:%u%s",
                   (unsigned)proxy_server_tls_port(world.server), path);
    return text;
}

static void http_2_is_chosen_and_carries_the_same_requests(void **state)
{
    char arguments[256];

    (void)state;
    (void)snprintf(arguments, sizeof(arguments), "-i %s", url("/date"));
    curl(arguments);
    assert_non_null(strstr(room, "HTTP/2 200"));
    assert_non_null(strstr(room, "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
    assert_null(strstr(strstr(room, "date: ") + 1, "date: "));
    (void)snprintf(arguments, sizeof(arguments), "-I %s", url("/len/70000"));
    assert_non_null(strstr(curl(arguments), "content-length: 70000"));
    (void)snprintf(arguments, sizeof(arguments), "-i %s", url("/status/204"));
    assert_non_null(strstr(curl(arguments), "HTTP/2 204"));
}

static void http_2_carries_large_bodies_in_both_directions(void **state)
{
    char arguments[512], path[64];
    FILE *f;

    (void)state;
    (void)snprintf(arguments, sizeof(arguments),
                   "-o %s/out -w '%%{http_version} %%{size_download}' %s", dir,
                   url("/len/10000001"));
    assert_non_null(strstr(curl(arguments), "2 10000001"));
    (void)snprintf(path, sizeof(path), "%s/out", dir);
    f = fopen(path, "r");
    assert_non_null(f);
    for (uint64_t i = 0; i < 10000001; i++)
        if (getc(f) != wire_byte(i))
            fail_msg("byte %lu is wrong", (unsigned long)i);
    (void)fclose(f);
    (void)snprintf(arguments, sizeof(arguments), "-T %s/out %s", dir, url("/count"));
    assert_string_equal(curl(arguments), "10000001");
    (void)unlink(path);
}

static void a_broken_response_resets_its_http_2_stream(void **state)
{
    char arguments[256];

    (void)state;
    (void)snprintf(arguments, sizeof(arguments), "-o /dev/null -w 'error=%%{exitcode}' %s",
                   url("/cut/100000"));
    assert_null(strstr(curl(arguments), "error=0"));
    assert_int_equal(atomic_load(&world.finished), 1);
}

static void an_http_2_client_that_leaves_is_noticed(void **state)
{
    char arguments[256];

    (void)state;
    (void)snprintf(arguments, sizeof(arguments), "--max-time 0.3 %s", url("/hold"));
    curl(arguments);
    WIRE_WAIT_FOR(atomic_load(&world.gone) == 1);
    WIRE_WAIT_FOR(proxy_server_busy(world.server) == 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_are_served_in_both_versions_of_tls),
        TEST(old_versions_of_tls_are_refused),
        TEST(a_large_body_arrives_exactly),
        TEST(an_upload_is_streamed),
        TEST(pipelined_requests_in_one_record_are_all_answered),
        TEST(a_broken_response_ends_without_a_farewell),
        TEST(a_new_certificate_is_for_new_connections),
        TEST(a_tunnel_works_inside_tls),
        TEST(a_handshake_that_stalls_is_dropped),
        TEST(http_2_is_chosen_and_carries_the_same_requests),
        TEST(http_2_carries_large_bodies_in_both_directions),
        TEST(a_broken_response_resets_its_http_2_stream),
        TEST(an_http_2_client_that_leaves_is_noticed),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
