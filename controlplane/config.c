/* SPDX-License-Identifier: MIT */
/*
 * config: the configuration that is pushed to nodes, and the versions before it (groups.h).
 * Records, hard: config/VERSION: version, when, JSON text. What several eliocp push at the same
 * moment is one version, and the last one stays.
 */
#include "controlplane/state_in.h"

#define CONFIG_FORMAT 1

static void drop_first(struct cp_state *s)
{
    free(s->config[0].json);
    s->configs--;
    memmove(s->config, s->config + 1, s->configs * sizeof(s->config[0]));
}

/* Where it is, or would stand: they are in order. */
static size_t place_of(const struct cp_state *s, uint64_t version)
{
    size_t at = s->configs;

    while (at > 0 && s->config[at - 1].version >= version)
        at--;
    return at;
}

static struct cp_config *find(const struct cp_state *s, uint64_t version)
{
    size_t at = place_of(s, version);

    return at < s->configs && s->config[at].version == version
               ? (struct cp_config *)(uintptr_t)&s->config[at]
               : NULL;
}

/* All records are read anew now and then: what is known already is no event. */
static void set_json(struct cp_state *s, struct cp_config *c, struct el_str json)
{
    if (c->json != NULL && el_str_eq(json, (struct el_str){ c->json, c->n }))
        return;
    free(c->json);
    c->json = el_strndup(json.p, json.n);
    c->n = json.n;
    cp_event_add(s, CP_EV_CONFIG, (struct el_str){ "", 0 }, c->version, EL_STR("set"));
}

/* In place of the same version; the oldest goes when there are too many. */
static struct cp_config *put(struct cp_state *s, struct el_str json, uint64_t version,
                             int64_t wall_ms)
{
    struct cp_config *c = find(s, version);
    size_t at;

    if (c == NULL) {
        if (s->configs == CP_CONFIGS_MAX)
            drop_first(s);
        at = place_of(s, version);
        memmove(s->config + at + 1, s->config + at, (s->configs - at) * sizeof(s->config[0]));
        s->configs++;
        c = &s->config[at];
        *c = (struct cp_config){ .version = version };
    }
    c->wall_ms = wall_ms;
    c->load = s->load;
    set_json(s, c, json);
    return c;
}

static struct el_str key_of(struct cp_key *k, uint64_t version)
{
    char text[17];

    (void)snprintf(text, sizeof(text), "%016llx", (unsigned long long)version);
    return cp_key_of(k, "config", (struct el_str){ text, 16 });
}

static void encode(struct el_buf *b, const struct cp_config *c)
{
    el_bytes_add_u8(b, CONFIG_FORMAT);
    el_bytes_add_u64(b, c->version);
    el_bytes_add_u64(b, (uint64_t)c->wall_ms);
    el_buf_add(b, c->json, c->n);
}

static const struct cp_config *newest(const struct cp_state *s)
{
    return s->configs > 0 ? &s->config[s->configs - 1] : NULL;
}

enum el_err cp_config_set(struct cp_state *s, struct el_str json, uint64_t *ret_version,
                          struct el_error *err)
{
    const struct cp_config *last = newest(s);
    uint64_t version = last == NULL ? 1 : last->version + 1;
    struct el_buf b = { 0 };
    struct cp_key k;

    if (json.n == 0 || json.n > CP_CONFIG_MAX)
        return el_fail(err, EL_EINVAL, 0, "settings: 1 to %u bytes", CP_CONFIG_MAX);
    if (s->configs == CP_CONFIGS_MAX)
        cp_emit_removal(s, CP_HARD, key_of(&k, s->config[0].version));
    encode(&b, put(s, json, version, s->wall_ms));
    cp_emit(s, CP_HARD, key_of(&k, version), &b);
    *ret_version = version;
    return EL_OK;
}

uint64_t cp_config_version(const struct cp_state *s)
{
    const struct cp_config *last = newest(s);

    return last == NULL ? 0 : last->version;
}

const struct cp_config *cp_config_get(const struct cp_state *s, uint64_t version)
{
    return version == CP_CONFIG_NEWEST ? newest(s) : find(s, version);
}

const struct cp_config *cp_config_next(const struct cp_state *s, uint32_t *cursor)
{
    if (*cursor >= s->configs)
        return NULL;
    return &s->config[s->configs - ++*cursor];
}

/* ---- records ---- */

static enum el_err apply(struct cp_state *s, struct el_str name, struct el_str value,
                         bool is_removal, struct el_error *err)
{
    struct el_bytes b = el_bytes_of(value);
    uint8_t format = el_bytes_u8(&b);
    uint64_t version = el_bytes_u64(&b);
    int64_t wall_ms = (int64_t)el_bytes_u64(&b);

    (void)name;
    if (is_removal)
        return EL_OK; /* it is too old: here it goes by itself */
    if (b.is_bad || format != CONFIG_FORMAT || b.rest.n == 0 || b.rest.n > CP_CONFIG_MAX)
        return cp_bad_record(err, "config");
    if (s->configs < CP_CONFIGS_MAX || version > s->config[0].version)
        (void)put(s, b.rest, version, wall_ms);
    return EL_OK;
}

static void sweep(struct cp_state *s)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->configs; i++) {
        if (s->config[i].load == s->load)
            s->config[kept++] = s->config[i];
        else
            free(s->config[i].json);
    }
    s->configs = kept;
}

static void dump(const struct cp_state *s, cp_keep *keep, void *arg)
{
    for (size_t i = 0; i < s->configs; i++) {
        struct el_buf b = { 0 };
        struct cp_key k;

        encode(&b, &s->config[i]);
        keep(arg, key_of(&k, s->config[i].version), el_buf_str(&b));
        el_buf_deinit(&b);
    }
}

const struct cp_kind cp_kind_config = { "config", apply, sweep, dump };

void cp_config_deinit(struct cp_state *s)
{
    while (s->configs > 0)
        drop_first(s);
}
