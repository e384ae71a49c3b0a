/* SPDX-License-Identifier: MIT */
/* An input is what a Redis server sends: answers, each judged as every kind of answer that is asked
 * for. */
#include "controlplane/redis.h"
#include "tests/fuzz/fuzz.h"

static void on_slots(void *arg, uint16_t from, uint16_t to, struct el_str host, uint16_t port)
{
    (void)arg;
    (void)port;
    CLAIM(from < CP_REDIS_SLOTS && to < CP_REDIS_SLOTS && host.n < 256);
}

static void on_change(void *arg, const struct cp_change *c)
{
    (void)arg;
    CLAIM(c->id.n > 0 && c->id.n < 48 && c->key.n > 0);
}

static void on_pair(void *arg, struct el_str key, struct el_str value)
{
    (void)arg;
    CLAIM(key.p != NULL && value.p != NULL);
}

static void judge(const redisReply *reply)
{
    struct cp_redirect redirect;
    char cursor[24];

    if (cp_redis_redirect(reply, &redirect))
        CLAIM(redirect.slot < CP_REDIS_SLOTS && redirect.port > 0 &&
              strlen(redirect.host) < sizeof(redirect.host));
    (void)cp_redis_slots(reply, on_slots, NULL);
    (void)cp_redis_changes(reply, on_change, NULL);
    if (cp_redis_scan(reply, cursor, on_pair, NULL))
        CLAIM(strlen(cursor) < sizeof(cursor));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;

    if (reader == NULL)
        return 0;
    (void)redisReaderFeed(reader, (const char *)data, n);
    while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL) {
        judge((const redisReply *)reply);
        freeReplyObject(reply);
        reply = NULL;
    }
    redisReaderFree(reader);
    return 0;
}
