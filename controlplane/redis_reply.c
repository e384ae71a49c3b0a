/* SPDX-License-Identifier: MIT */
/* redis_reply: what answers of Redis are made of, looked at before it is believed (redis.h). */
#include "controlplane/redis.h"

static bool is_array(const redisReply *r, size_t least)
{
    return r != NULL && r->type == REDIS_REPLY_ARRAY && r->elements >= least;
}

static bool get_text(const redisReply *r, struct el_str *ret)
{
    if (r == NULL || (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS) ||
        r->str == NULL)
        return false;
    *ret = (struct el_str){ r->str, (size_t)r->len };
    return true;
}

static bool get_number(const redisReply *r, uint64_t max, uint64_t *ret)
{
    if (r == NULL || r->type != REDIS_REPLY_INTEGER || r->integer < 0 || (uint64_t)r->integer > max)
        return false;
    *ret = (uint64_t)r->integer;
    return true;
}

static uint16_t crc16(struct el_str s)
{
    uint16_t crc = 0;

    /* XMODEM: polynomial 0x1021, as the specification of Redis Cluster says. */
    for (size_t i = 0; i < s.n; i++) {
        crc = (uint16_t)(crc ^ (uint16_t)((uint8_t)s.p[i] << 8));
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)((crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    return crc;
}

uint16_t cp_redis_slot_of(struct el_str key)
{
    size_t open = el_str_find(key, '{');
    struct el_str tag = el_str_from(key, open + 1);
    size_t close = el_str_find(tag, '}');

    if (open < key.n && close > 0 && close < tag.n)
        key = el_str_first(tag, close);
    return (uint16_t)(crc16(key) % CP_REDIS_SLOTS);
}

/* HOST:PORT; an address of IPv6 has no brackets here, so the last colon counts. */
static bool parse_address(struct el_str s, struct cp_redirect *ret)
{
    uint64_t port;
    size_t colon = s.n;

    while (colon > 0 && s.p[colon - 1] != ':')
        colon--;
    if (colon == 0 || colon > sizeof(ret->host) ||
        !el_str_u64(el_str_from(s, colon), UINT16_MAX, &port) || port == 0)
        return false;
    memcpy(ret->host, s.p, colon - 1);
    ret->host[colon - 1] = '\0';
    ret->port = (uint16_t)port;
    return memchr(ret->host, '\0', sizeof(ret->host)) == ret->host + colon - 1;
}

bool cp_redis_redirect(const redisReply *reply, struct cp_redirect *ret)
{
    struct cp_redirect r = { 0 };
    struct el_str rest, word, slot_text;
    uint64_t slot;

    if (reply == NULL || reply->type != REDIS_REPLY_ERROR || reply->str == NULL)
        return false;
    rest = (struct el_str){ reply->str, (size_t)reply->len };
    if (!el_str_split(&rest, ' ', &word) || !el_str_split(&rest, ' ', &slot_text))
        return false;
    r.is_ask = el_str_eq(word, EL_STR("ASK"));
    if ((!r.is_ask && !el_str_eq(word, EL_STR("MOVED"))) ||
        !el_str_u64(slot_text, CP_REDIS_SLOTS - 1, &slot) || !parse_address(rest, &r))
        return false;
    r.slot = (uint16_t)slot;
    *ret = r;
    return true;
}

bool cp_redis_slots(const redisReply *reply,
                    void (*visit)(void *arg, uint16_t from, uint16_t to, struct el_str host,
                                  uint16_t port),
                    void *arg)
{
    if (!is_array(reply, 0))
        return false;
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *range = reply->element[i];
        uint64_t from, to, port;
        struct el_str host;

        if (!is_array(range, 3) || !is_array(range->element[2], 2) ||
            !get_number(range->element[0], CP_REDIS_SLOTS - 1, &from) ||
            !get_number(range->element[1], CP_REDIS_SLOTS - 1, &to) ||
            !get_text(range->element[2]->element[0], &host) ||
            !get_number(range->element[2]->element[1], UINT16_MAX, &port) || host.n > 255)
            return false;
        visit(arg, (uint16_t)from, (uint16_t)to, host, (uint16_t)port);
    }
    return true;
}

static bool take_field(struct cp_change *c, struct el_str name, struct el_str value)
{
    if (el_str_eq(name, EL_STR("by")))
        c->by = value;
    else if (el_str_eq(name, EL_STR("put")) || el_str_eq(name, EL_STR("fetch")) ||
             el_str_eq(name, EL_STR("remove")))
        c->key = value;
    else if (el_str_eq(name, EL_STR("value")))
        c->value = value;
    if (el_str_eq(name, EL_STR("fetch")))
        c->kind = CP_CHANGE_FETCH;
    else if (el_str_eq(name, EL_STR("remove")))
        c->kind = CP_CHANGE_REMOVE;
    return true;
}

/* [ID, [name, value, ...]] */
static bool parse_change(const redisReply *entry, struct cp_change *ret)
{
    const redisReply *fields;

    *ret = (struct cp_change){ .kind = CP_CHANGE_PUT };
    if (!is_array(entry, 2) || !get_text(entry->element[0], &ret->id) ||
        !is_array(entry->element[1], 2))
        return false;
    fields = entry->element[1];
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        struct el_str name, value;

        if (!get_text(fields->element[i], &name) || !get_text(fields->element[i + 1], &value) ||
            !take_field(ret, name, value))
            return false;
    }
    return ret->key.n > 0 && ret->id.n > 0 && ret->id.n < 48;
}

bool cp_redis_changes(const redisReply *reply, void (*visit)(void *arg, const struct cp_change *c),
                      void *arg)
{
    const redisReply *entries;

    if (reply != NULL && reply->type == REDIS_REPLY_NIL)
        return true;
    if (!is_array(reply, 1) || !is_array(reply->element[0], 2) ||
        !is_array(reply->element[0]->element[1], 0))
        return false;
    entries = reply->element[0]->element[1];
    for (size_t i = 0; i < entries->elements; i++) {
        struct cp_change c;

        if (!parse_change(entries->element[i], &c))
            return false;
        visit(arg, &c);
    }
    return true;
}

bool cp_redis_scan(const redisReply *reply, char ret_cursor[24],
                   void (*visit)(void *arg, struct el_str key, struct el_str value), void *arg)
{
    const redisReply *pairs;
    struct el_str cursor;
    uint64_t unused;

    if (!is_array(reply, 2) || !get_text(reply->element[0], &cursor) ||
        !el_str_u64(cursor, UINT64_MAX, &unused) || cursor.n >= 24 ||
        !is_array(reply->element[1], 0))
        return false;
    pairs = reply->element[1];
    for (size_t i = 0; i + 1 < pairs->elements; i += 2) {
        struct el_str key, value;

        if (!get_text(pairs->element[i], &key) || !get_text(pairs->element[i + 1], &value))
            return false;
        visit(arg, key, value);
    }
    memcpy(ret_cursor, cursor.p, cursor.n);
    ret_cursor[cursor.n] = '\0';
    return true;
}
