/* SPDX-License-Identifier: MIT */
/*
 * cli_sources: who gave what `elionode get` has got, which the node knows when the request is over:
 * that may be a moment after its last byte has come. When nobody says, nothing is shown.
 */
#include <inttypes.h>
#include <time.h>

#include "proxy/cli_own.h"
#include "proxy/tiers.h"

#define TRIES    20
#define PAUSE_NS (10 * 1000 * 1000L)

static uint64_t number(const json_t *o, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(o, name));

    return n > 0 ? (uint64_t)n : 0;
}

/* Another node may have served another request of that address: its sum tells. */
static bool is_ours(const json_t *root, uint64_t bytes)
{
    const json_t *tiers = json_object_get(root, "bytes");
    uint64_t sum = 0;

    for (enum proxy_tier t = 0; t < PROXY_TIERS; t++)
        sum += number(tiers, proxy_tier_name(t));
    return bytes > 0 && sum == bytes;
}

static json_t *ask(struct el_cli *api, const char *client, uint64_t bytes)
{
    const struct el_cli_call call = {
        .method = "GET", .path = "/api/v1/served", .name = "client", .value = client
    };
    const struct timespec pause = { .tv_nsec = PAUSE_NS };
    json_t *root = NULL;

    for (int i = 0; i < TRIES; i++) {
        int rc = el_cli_ask(api, &call, &root);

        if (rc == EL_CLI_OK && is_ours(root, bytes))
            return root;
        if (rc == EL_CLI_OK)
            json_decref(root);
        if (rc == EL_CLI_ABSENT)
            break;
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

json_t *proxy_cli_sources_ask(const struct el_cli_conf *conf, const char *ip, long port,
                              uint64_t bytes)
{
    struct el_cli_conf aside = *conf;
    struct el_cli *api;
    char client[80];
    json_t *root;

    aside.is_aside = true;
    (void)snprintf(client, sizeof(client), strchr(ip, ':') != NULL ? "[%s]:%ld" : "%s:%ld", ip,
                   port);
    if (el_cli_new(&aside, &api) != EL_CLI_OK)
        return NULL;
    root = ask(api, client, bytes);
    el_cli_free(api);
    return root;
}

static void print_part(const char *name, uint64_t bytes, const char *before, FILE *out)
{
    char text[16];

    proxy_cli_format_bytes((double)bytes, text);
    (void)fputs(before, out);
    el_cli_print_text(name, out);
    (void)fprintf(out, " %s", text);
}

static void print_peers(const json_t *peers, FILE *out)
{
    const json_t *one;
    size_t i;

    json_array_foreach(peers, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));

        print_part(name != NULL && name[0] != '\0' ? name : "?", number(one, "bytes"),
                   i == 0 ? " (" : ", ", out);
    }
    if (json_array_size(peers) > 0)
        (void)fputc(')', out);
}

void proxy_cli_sources_print(const json_t *root, FILE *out)
{
    const json_t *tiers = json_object_get(root, "bytes");
    const char *before = "  from ";

    for (enum proxy_tier t = 0; t < PROXY_TIERS; t++) {
        uint64_t bytes = number(tiers, proxy_tier_name(t));

        if (bytes == 0)
            continue;
        print_part(t == PROXY_TIER_PEER ? "peers" : proxy_tier_name(t), bytes, before, out);
        if (t == PROXY_TIER_PEER)
            print_peers(json_object_get(root, "peers"), out);
        before = ", ";
    }
    (void)fputc('\n', out);
}
