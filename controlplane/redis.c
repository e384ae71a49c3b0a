/* SPDX-License-Identifier: MIT */
/*
 * redis: see redis.h. Each server that was named, or that a Cluster named, has at most one
 * connection, made when it is needed. Whoever answers first tells whether it is a Cluster, and
 * which server has which slot; a redirection, or a server that is gone, makes it be asked again.
 */
#include "controlplane/redis.h"

#include "controlplane/redis_link.h"
#include "controlplane/table.h"

#define SERVERS_MAX 256u
#define REDIRECTS   5u
#define NOBODY      UINT16_MAX

struct server {
    char host[256];
    uint16_t port;
    struct cp_redis_link link;
};

struct cp_redis {
    struct server *server; /* the first ones were configured */
    size_t n, cap;
    uint16_t owner[CP_REDIS_SLOTS]; /* index of the server; NOBODY: not known */
    char *password;                 /* owned; NULL: none */
    struct timeval deadline;
    struct ssl_ctx_st *tls;    /* owned; NULL: plain */
    bool is_cluster, is_known; /* known: the slots have been asked for */
    uint64_t reconnects;
};

static size_t server_of(struct cp_redis *r, struct el_str host, uint16_t port)
{
    struct server *s;

    for (size_t i = 0; i < r->n; i++) {
        if (r->server[i].port == port && el_str_eq(host, el_str_of(r->server[i].host)))
            return i;
    }
    if (r->n == SERVERS_MAX || host.n >= sizeof(s->host))
        return NOBODY;
    r->server = (struct server *)cp_array_reserve(r->server, r->n, &r->cap, sizeof(*r->server));
    s = &r->server[r->n];
    *s = (struct server){ .port = port };
    memcpy(s->host, host.p, host.n);
    return r->n++;
}

static void add_servers(struct cp_redis *r, const char *servers)
{
    struct el_str rest = el_str_of(servers), one;

    while (el_str_split(&rest, ',', &one)) {
        uint64_t port = 6379;
        size_t colon;

        one = el_str_trim(one);
        colon = one.n;
        while (colon > 0 && one.p[colon - 1] != ':')
            colon--;
        if (colon > 0 && el_str_u64(el_str_from(one, colon), UINT16_MAX, &port))
            one = el_str_first(one, colon - 1);
        if (one.n > 0)
            (void)server_of(r, one, (uint16_t)port);
    }
}

static void forget_slots(struct cp_redis *r)
{
    r->is_known = false;
    for (size_t i = 0; i < CP_REDIS_SLOTS; i++)
        r->owner[i] = NOBODY;
}

struct cp_redis *cp_redis_new(const char *servers, const char *password,
                              struct ssl_ctx_st *take_tls, uint32_t deadline_ms)
{
    struct cp_redis *r = el_new(struct cp_redis);

    r->deadline.tv_sec = deadline_ms / 1000;
    r->deadline.tv_usec = (deadline_ms % 1000) * 1000;
    r->password = password == NULL ? NULL : el_strndup(password, strlen(password));
    r->tls = take_tls;
    add_servers(r, servers);
    forget_slots(r);
    return r;
}

void cp_redis_free(struct cp_redis *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->n; i++)
        cp_redis_link_close(&r->server[i].link);
    if (r->password != NULL)
        explicit_bzero(r->password, strlen(r->password));
    free(r->password);
    cp_redis_tls_free(r->tls);
    free(r->server);
    free(r);
}

bool cp_redis_is_cluster(const struct cp_redis *r)
{
    return r->is_cluster;
}

uint64_t cp_redis_reconnects(const struct cp_redis *r)
{
    return r->reconnects;
}

/* ---- commands ---- */

void cp_calls_add(struct cp_calls *c, const struct el_str *words, size_t n)
{
    const char **argv = (const char **)el_alloc(n * sizeof(char *));
    size_t *lengths = (size_t *)el_alloc(n * sizeof(*lengths));
    struct cp_call *call;
    int bytes;

    for (size_t i = 0; i < n; i++) {
        argv[i] = words[i].p == NULL ? "" : words[i].p;
        lengths[i] = words[i].n;
    }
    c->call = (struct cp_call *)cp_array_reserve(c->call, c->n, &c->cap, sizeof(*c->call));
    call = &c->call[c->n++];
    call->bytes = NULL;
    bytes = (int)redisFormatCommandArgv(&call->bytes, (int)n, argv, lengths);
    EL_ASSERT(bytes > 0); /* otherwise memory is out */
    call->n = (size_t)bytes;
    free(argv);
    free(lengths);
}

void cp_calls_deinit(struct cp_calls *c)
{
    for (size_t i = 0; i < c->n; i++)
        redisFreeCommand(c->call[i].bytes);
    free(c->call);
    *c = (struct cp_calls){ 0 };
}

/* ---- connections ---- */

/* Says of which server it is. */
static enum el_err fail_server(const struct server *s, const struct el_error *why,
                               struct el_error *err)
{
    return el_fail(err, why->code, 0, "redis %s:%u: %.160s", s->host, s->port, why->text);
}

/* One word or two to a server that is connected, and its answer. */
static enum el_err say(struct server *s, const char *first, const char *second, redisReply **ret,
                       struct el_error *err)
{
    const char *argv[] = { first, second };
    struct el_error why = { 0 };
    char *bytes = NULL;
    int n = (int)redisFormatCommandArgv(&bytes, second == NULL ? 1 : 2, argv, NULL);
    enum el_err rc;

    EL_ASSERT(n > 0); /* otherwise memory is out */
    rc = cp_redis_link_send(&s->link, bytes, (size_t)n, &why);
    redisFreeCommand(bytes);
    if (rc == EL_OK)
        rc = cp_redis_link_reply(&s->link, ret, &why);
    return rc == EL_OK ? EL_OK : fail_server(s, &why, err);
}

static enum el_err log_in(struct cp_redis *r, struct server *s, struct el_error *err)
{
    redisReply *reply = NULL;
    enum el_err rc;

    if (r->password == NULL)
        return EL_OK;
    rc = say(s, "AUTH", r->password, &reply, err);
    if (rc != EL_OK)
        return rc;
    if (reply->type == REDIS_REPLY_ERROR)
        rc = el_fail(err, EL_EFORBIDDEN, 0, "redis %s:%u: the password is refused", s->host,
                     s->port);
    freeReplyObject(reply);
    return rc;
}

static enum el_err connect_to(struct cp_redis *r, struct server *s, struct el_error *err)
{
    struct el_error why = { 0 };
    enum el_err rc;

    if (s->link.context != NULL)
        return EL_OK;
    if (cp_redis_link_open(&s->link, s->host, s->port, r->deadline, r->tls, &why) != EL_OK)
        return fail_server(s, &why, err);
    r->reconnects++;
    rc = log_in(r, s, err);
    if (rc != EL_OK)
        cp_redis_link_close(&s->link);
    return rc;
}

/* ---- slots ---- */

struct told {
    struct cp_redis *r;
    const char *host; /* of who told */
};

static void take_range(void *arg, uint16_t from, uint16_t to, struct el_str host, uint16_t port)
{
    struct told *t = (struct told *)arg;
    size_t i = server_of(t->r, host.n == 0 ? el_str_of(t->host) : host, port);

    for (uint32_t slot = from; i != NOBODY && slot <= to; slot++)
        t->r->owner[slot] = (uint16_t)i;
}

/* Asks one server. */
static enum el_err learn_from(struct cp_redis *r, size_t i, struct el_error *err)
{
    char host[sizeof(r->server[i].host)];
    struct told told = { r, host };
    redisReply *reply = NULL;
    enum el_err rc = connect_to(r, &r->server[i], err);

    if (rc != EL_OK)
        return rc;
    memcpy(host, r->server[i].host, sizeof(host)); /* the array may move */
    rc = say(&r->server[i], "CLUSTER", "SLOTS", &reply, err);
    if (rc != EL_OK) {
        cp_redis_link_close(&r->server[i].link);
        return rc;
    }
    r->is_cluster = reply->type != REDIS_REPLY_ERROR;
    if (r->is_cluster && !cp_redis_slots(reply, take_range, &told))
        rc = el_fail(err, EL_EPROTO, 0, "redis %s: no list of slots", host);
    else if (!r->is_cluster)
        take_range(&told, 0, CP_REDIS_SLOTS - 1, el_str_of(host), r->server[i].port);
    r->is_known = rc == EL_OK;
    freeReplyObject(reply);
    return rc;
}

static enum el_err learn(struct cp_redis *r, struct el_error *err)
{
    enum el_err rc = el_fail(err, EL_ECONNECT, 0, "no redis server is named");
    size_t n = r->n;

    if (r->is_known)
        return EL_OK;
    for (size_t i = 0; rc != EL_OK && i < n; i++)
        rc = learn_from(r, i, err);
    return rc;
}

/* ---- asking ---- */

static void free_replies(redisReply **replies, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (replies[i] != NULL)
            freeReplyObject(replies[i]);
        replies[i] = NULL;
    }
}

#define ASKING "*1\r\n$6\r\nASKING\r\n"

static enum el_err send_all(struct server *s, const struct cp_calls *calls, bool is_asking,
                            struct el_error *err)
{
    enum el_err rc = EL_OK;

    for (size_t i = 0; rc == EL_OK && i < calls->n; i++) {
        if (is_asking)
            rc = cp_redis_link_send(&s->link, ASKING, sizeof(ASKING) - 1, err);
        if (rc == EL_OK)
            rc = cp_redis_link_send(&s->link, calls->call[i].bytes, calls->call[i].n, err);
    }
    return rc;
}

static enum el_err exchange(struct server *s, const struct cp_calls *calls, bool is_asking,
                            redisReply **replies, struct el_error *err)
{
    struct el_error why = { 0 };
    enum el_err rc = send_all(s, calls, is_asking, &why);

    for (size_t i = 0; rc == EL_OK && i < calls->n; i++) {
        redisReply *asked = NULL;

        if (is_asking) {
            rc = cp_redis_link_reply(&s->link, &asked, &why);
            if (rc == EL_OK)
                freeReplyObject(asked);
        }
        if (rc == EL_OK)
            rc = cp_redis_link_reply(&s->link, &replies[i], &why);
    }
    if (rc == EL_OK)
        return EL_OK;
    cp_redis_link_close(&s->link);
    return fail_server(s, &why, err);
}

/* The first error among the answers, within an EXEC's as well; NULL: there is none. */
static const redisReply *find_error(redisReply *const *replies, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const redisReply *r = replies[i];

        if (r->type == REDIS_REPLY_ERROR)
            return r;
        for (size_t k = 0; r->type == REDIS_REPLY_ARRAY && k < r->elements; k++) {
            if (r->element[k] != NULL && r->element[k]->type == REDIS_REPLY_ERROR)
                return r->element[k];
        }
    }
    return NULL;
}

/* The servers are about to agree on something. */
static bool is_passing(const redisReply *error)
{
    static const char *const words[] = { "TRYAGAIN",   "CLUSTERDOWN", "LOADING",  "READONLY",
                                         "MASTERDOWN", "NOREPLICAS",  "EXECABORT" };
    struct el_str text = { error->str, (size_t)error->len };

    for (size_t i = 0; i < EL_COUNT(words); i++) {
        if (el_str_starts(text, el_str_of(words[i])))
            return true;
    }
    return false;
}

enum el_err cp_redis_ask(struct cp_redis *r, uint16_t slot, const struct cp_calls *calls,
                         redisReply **ret_replies, struct el_error *err)
{
    struct cp_redirect redirect = { 0 };
    size_t to = NOBODY;

    for (unsigned attempt = 0; attempt < REDIRECTS; attempt++) {
        enum el_err rc = learn(r, err);
        const redisReply *error;

        if (rc != EL_OK)
            return rc;
        to = redirect.is_ask ? to : r->owner[slot];
        if (to == NOBODY) {
            forget_slots(r);
            return el_fail(err, EL_EBUSY, 0, "redis: nobody has slot %u", slot);
        }
        memset(ret_replies, 0, calls->n * sizeof(redisReply *));
        rc = connect_to(r, &r->server[to], err);
        if (rc == EL_OK)
            rc = exchange(&r->server[to], calls, redirect.is_ask, ret_replies, err);
        if (rc != EL_OK) {
            free_replies(ret_replies, calls->n);
            forget_slots(r);
            return rc;
        }
        error = find_error(ret_replies, calls->n);
        if (error == NULL)
            return EL_OK;
        if (!cp_redis_redirect(error, &redirect)) {
            bool will_pass = is_passing(error);

            rc = el_fail(err, will_pass ? EL_EBUSY : EL_EPEER, 0, "redis %s:%u: %.100s",
                         r->server[to].host, r->server[to].port, error->str);
            free_replies(ret_replies, calls->n);
            if (will_pass) {
                cp_redis_link_close(&r->server[to].link);
                forget_slots(r);
            }
            return rc;
        }
        free_replies(ret_replies, calls->n);
        to = server_of(r, el_str_of(redirect.host[0] == '\0' ? r->server[to].host : redirect.host),
                       redirect.port);
        if (!redirect.is_ask && to != NOBODY)
            r->owner[redirect.slot] = (uint16_t)to;
    }
    forget_slots(r);
    return el_fail(err, EL_EBUSY, 0, "redis: sent from one server to another");
}
