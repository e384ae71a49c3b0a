/* SPDX-License-Identifier: MIT */
/*
 * redis: redis-server processes of a test's own: one, or a Cluster of six (three primaries with a
 * replica each), on free ports, in a directory of their own; gone with redis_stop().
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base.h"

#define REDIS_MAX 6u

struct redis_servers {
    char dir[64];
    size_t n;
    pid_t pid[REDIS_MAX]; /* 0: killed */
    uint16_t port[REDIS_MAX];
    char list[REDIS_MAX * 24]; /* for cp_store_redis_conf */
};

/* Nobody listens there at this moment. */
static inline uint16_t redis_free_port(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    EL_ASSERT(fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0 &&
              getsockname(fd, (struct sockaddr *)&at, &n) == 0);
    (void)close(fd);
    return ntohs(at.sin_port);
}

/* The process ends with the test, whatever becomes of that. */
static inline pid_t redis_spawn(const char *const argv[], const char *dir)
{
    pid_t parent = getpid(), pid = fork();

    EL_ASSERT(pid >= 0);
    if (pid > 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || chdir(dir) != 0 || freopen("/dev/null", "w", stdout) == NULL)
        _exit(126);
    (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
    (void)fprintf(stderr, "%s cannot be run: Debian's redis-server is needed\n", argv[0]);
    _exit(127);
}

/* It answers `question` with something that holds `wanted`. */
static inline bool redis_says(uint16_t port, const char *question, const char *wanted)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval wait = { .tv_sec = 1 };
    char answer[1024] = { 0 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_so;

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    is_so = connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
            write(fd, question, strlen(question)) == (ssize_t)strlen(question) &&
            read(fd, answer, sizeof(answer) - 1) > 0 && strstr(answer, wanted) != NULL;
    (void)close(fd);
    return is_so;
}

static inline void redis_start_one(struct redis_servers *r, bool is_cluster)
{
    uint16_t port = redis_free_port(), bus = redis_free_port();
    char port_text[8], bus_text[8], dir[96], conf[32];
    const char *argv[] = { "redis-server",
                           "--port",
                           port_text,
                           "--bind",
                           "127.0.0.1",
                           "--save",
                           "",
                           "--appendonly",
                           "yes",
                           "--appendfsync",
                           "always",
                           "--dir",
                           dir,
                           "--cluster-enabled",
                           is_cluster ? "yes" : "no",
                           "--cluster-node-timeout",
                           "1000",
                           "--cluster-config-file",
                           conf,
                           "--cluster-port",
                           bus_text,
                           NULL };

    if (!is_cluster)
        argv[13] = NULL;
    (void)snprintf(port_text, sizeof(port_text), "%u", port);
    (void)snprintf(bus_text, sizeof(bus_text), "%u", bus);
    (void)snprintf(dir, sizeof(dir), "%s/%u", r->dir, port);
    (void)snprintf(conf, sizeof(conf), "nodes.conf");
    EL_ASSERT(mkdir(dir, 0700) == 0);
    r->port[r->n] = port;
    r->pid[r->n] = redis_spawn(argv, r->dir);
    r->n++;
    for (unsigned i = 0; !redis_says(port, "PING\r\n", "+PONG"); i++) {
        EL_ASSERT(i < 500 && waitpid(r->pid[r->n - 1], NULL, WNOHANG) == 0);
        (void)poll(NULL, 0, 20);
    }
}

static inline void redis_join(struct redis_servers *r)
{
    char address[REDIS_MAX][24];
    const char *argv[16] = { "redis-cli", "--cluster", "create" };
    size_t n = 3;
    int status;

    for (size_t i = 0; i < r->n; i++) {
        (void)snprintf(address[i], sizeof(address[i]), "127.0.0.1:%u", r->port[i]);
        argv[n++] = address[i];
    }
    argv[n++] = "--cluster-replicas";
    argv[n++] = "1";
    argv[n++] = "--cluster-yes";
    EL_ASSERT(waitpid(redis_spawn(argv, r->dir), &status, 0) > 0 && status == 0);
    for (size_t i = 0; i < r->n; i++) {
        while (!redis_says(r->port[i], "CLUSTER INFO\r\n", "cluster_state:ok"))
            (void)poll(NULL, 0, 20);
    }
}

static inline void redis_start(struct redis_servers *r, bool is_cluster)
{
    *r = (struct redis_servers){ .dir = "/tmp/elio-redis-XXXXXX" };
    EL_ASSERT(mkdtemp(r->dir) != NULL);
    for (size_t i = 0; i < (is_cluster ? REDIS_MAX : 1u); i++)
        redis_start_one(r, is_cluster);
    if (is_cluster)
        redis_join(r);
    for (size_t i = 0; i < r->n; i++) {
        size_t at = strlen(r->list);

        (void)snprintf(r->list + at, sizeof(r->list) - at, "%s127.0.0.1:%u", i == 0 ? "" : ",",
                       r->port[i]);
    }
}

static inline void redis_kill(struct redis_servers *r, size_t i)
{
    if (r->pid[i] == 0)
        return;
    (void)kill(r->pid[i], SIGKILL);
    (void)waitpid(r->pid[i], NULL, 0);
    r->pid[i] = 0;
}

static inline void redis_stop(struct redis_servers *r)
{
    const char *argv[] = { "rm", "-rf", r->dir, NULL };

    for (size_t i = 0; i < r->n; i++)
        redis_kill(r, i);
    if (r->n > 0)
        (void)waitpid(redis_spawn(argv, "/"), NULL, 0);
}
