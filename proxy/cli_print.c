/* SPDX-License-Identifier: MIT */
/*
 * cli_print: answers of the node API for people. A line is a name and what is to be said of it, so
 * that grep and awk find it too; programs ask for --json.
 */
#include "proxy/cli_own.h"

#include <inttypes.h>

/* ---- values of an answer ---- */

/* The value at "cache.memory.used_bytes"; NULL when there is none. */
static const json_t *at(const json_t *root, const char *path)
{
    struct el_str rest = el_str_of(path), part;

    while (root != NULL && el_str_split(&rest, '.', &part)) {
        char key[64];

        EL_ASSERT(part.n < sizeof(key));
        (void)snprintf(key, sizeof(key), "%.*s", EL_STR_ARG(part));
        root = json_object_get(root, key);
    }
    return root;
}

static uint64_t number(const json_t *root, const char *path)
{
    json_int_t n = json_integer_value(at(root, path));

    return n > 0 ? (uint64_t)n : 0;
}

static const char *text(const json_t *root, const char *path)
{
    const char *s = json_string_value(at(root, path));

    return s != NULL ? s : "-";
}

static bool is_true(const json_t *root, const char *path)
{
    return json_is_true(at(root, path));
}

/* ---- parts of a line ---- */

struct bytes {
    char text[16];
};

static struct bytes bytes_of(uint64_t n)
{
    struct bytes b;

    proxy_cli_format_bytes((double)n, b.text);
    return b;
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

static void name(const char *what, FILE *out)
{
    (void)fprintf(out, "%-12s", what);
}

static void text_line(const char *what, const char *value, FILE *out)
{
    name(what, out);
    el_cli_print_text(value, out);
    (void)fputc('\n', out);
}

/* "1.0 GiB of 4.0 GiB (25 %)" */
static void print_share(uint64_t part, uint64_t whole, FILE *out)
{
    (void)fprintf(out, "%s of %s (%.0f %%)", bytes_of(part).text, bytes_of(whole).text,
                  percent(part, whole));
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

/* ---- stat ---- */

static void print_length(const json_t *v, FILE *out)
{
    name("length", out);
    if (json_is_integer(at(v, "length")))
        (void)fprintf(out, "%s (%" PRIu64 " bytes)\n", bytes_of(number(v, "length")).text,
                      number(v, "length"));
    else
        (void)fputs("not known yet\n", out);
}

static void print_variant(const json_t *v, FILE *out)
{
    uint64_t blocks = number(v, "blocks"), cached = number(v, "cached_blocks");

    name("status", out);
    (void)fprintf(out, "%" PRIu64 ", %s, %s, %" PRIu64 " s old\n", number(v, "status"),
                  is_true(v, "public") ? "public" : "private",
                  is_true(v, "fresh") ? "fresh" : "to be confirmed with the origin",
                  number(v, "age_s"));
    print_length(v, out);
    text_line("etag", text(v, "etag"), out);
    text_line("modified", text(v, "last_modified"), out);
    if (json_is_string(at(v, "vary")))
        text_line("vary", text(v, "vary"), out);
    name("cached", out);
    (void)fprintf(out,
                  "%" PRIu64 " of %" PRIu64 " blocks (%.0f %%): memory %" PRIu64 ", disk %" PRIu64
                  "%s\n",
                  cached, blocks, percent(cached, blocks), number(v, "memory_blocks"),
                  number(v, "disk_blocks"), is_true(v, "filling") ? ", more is coming" : "");
    name("heat", out);
    (void)fprintf(out, "%s, %.1f accesses an hour\n", text(v, "heat"),
                  json_number_value(at(v, "accesses_per_hour")));
    text_line("pinned", is_true(v, "pinned") ? "yes" : "no", out);
}

void proxy_cli_print_stat(const json_t *root, FILE *out)
{
    const json_t *variants = at(root, "variants");
    size_t n = json_array_size(variants);

    text_line("url", text(root, "url"), out);
    for (size_t i = 0; i < n; i++) {
        if (n > 1)
            (void)fprintf(out, "\nvariant %zu of %zu\n", i + 1, n);
        print_variant(json_array_get(variants, i), out);
    }
}

/* ---- purge, pin ---- */

void proxy_cli_print_purge(const json_t *root, FILE *out)
{
    uint64_t n = number(root, "objects");
    bool is_prefix = json_is_string(at(root, "prefix"));

    (void)fprintf(out, "%" PRIu64 " object%s purged: ", n, plural(n));
    el_cli_print_text(text(root, is_prefix ? "prefix" : "url"), out);
    (void)fputs(is_prefix ? "*\n" : "\n", out);
}

void proxy_cli_print_pin(const json_t *root, FILE *out)
{
    uint64_t n = number(root, "objects");

    (void)fprintf(out, "%" PRIu64 " variant%s %s: ", n, plural(n),
                  is_true(root, "pinned") ? "pinned" : "no longer pinned");
    el_cli_print_text(text(root, "url"), out);
    (void)fputc('\n', out);
}

/* ---- an operation ---- */

static void print_result(const json_t *r, FILE *out)
{
    const char *error = json_string_value(at(r, "error"));

    if (error != NULL)
        (void)fputs("  failed  ", out);
    else
        (void)fprintf(out, "%10s  %-6s  ", bytes_of(number(r, "bytes")).text, text(r, "from"));
    el_cli_print_text(text(r, "url"), out);
    if (error != NULL) {
        (void)fputs(": ", out);
        el_cli_print_text(error, out);
    }
    (void)fputc('\n', out);
}

void proxy_cli_print_operation(const json_t *root, FILE *out)
{
    const json_t *results = at(root, "results");
    double seconds = (double)number(root, "elapsed_ms") / 1000;

    for (size_t i = 0; i < json_array_size(results); i++)
        print_result(json_array_get(results, i), out);
    (void)fprintf(out, "%s %s: %" PRIu64 " of %" PRIu64 " URLs, %" PRIu64 " failed, %s in %.1f s\n",
                  text(root, "id"), text(root, "state"), number(root, "finished"),
                  number(root, "total"), number(root, "failed"),
                  bytes_of(number(root, "bytes")).text, seconds);
}

/* ---- status ---- */

static void print_node(const json_t *root, FILE *out)
{
    uint64_t s = number(root, "uptime_ms") / 1000;

    name("node", out);
    el_cli_print_text(text(root, "node_id"), out);
    (void)fprintf(out, ", version %s, %s, up %" PRIu64 ":%02" PRIu64 ":%02" PRIu64 "\n",
                  text(root, "version"), is_true(root, "ready") ? "ready" : "NOT READY", s / 3600,
                  s / 60 % 60, s % 60);
    name("proxy", out);
    (void)fprintf(out, "port %" PRIu64, number(root, "proxy.port"));
    if (number(root, "proxy.tls_port") > 0)
        (void)fprintf(out, ", TLS port %" PRIu64, number(root, "proxy.tls_port"));
    (void)fprintf(out, ", %" PRIu64 " running\n", number(root, "proxy.busy"));
    name("process", out);
    (void)fprintf(out, "pid %" PRIu64 ", %s resident, %" PRIu64 " descriptors\n",
                  number(root, "process.pid"), bytes_of(number(root, "process.rss_bytes")).text,
                  number(root, "process.fds"));
}

static void print_tiers(const json_t *root, FILE *out)
{
    static const char *const tiers[] = { "memory", "disk", "peer", "origin" };
    uint64_t requests[EL_COUNT(tiers)], bytes[EL_COUNT(tiers)], all = 0;

    for (size_t i = 0; i < EL_COUNT(tiers); i++) {
        const json_t *o = json_object_get(at(root, "proxy.tiers"), tiers[i]);

        requests[i] = number(o, "requests");
        bytes[i] = number(o, "bytes");
        all += bytes[i];
    }
    for (size_t i = 0; i < EL_COUNT(tiers); i++) {
        name(i == 0 ? "served from" : "", out);
        (void)fprintf(out, "%-8s%12" PRIu64 " requests%12s%6.1f %%\n", tiers[i], requests[i],
                      bytes_of(bytes[i]).text, percent(bytes[i], all));
    }
}

static void print_memory(const json_t *root, FILE *out)
{
    name("memory", out);
    print_share(number(root, "cache.memory.used_bytes"), number(root, "cache.memory.limit_bytes"),
                out);
    (void)fprintf(out, ", %" PRIu64 " objects, %" PRIu64 " blocks\n", number(root, "cache.objects"),
                  number(root, "cache.blocks"));
    name("heat", out);
    (void)fprintf(out, "chunks: %" PRIu64 " hot, %" PRIu64 " warm, %" PRIu64 " cold\n",
                  number(root, "cache.heat.hot"), number(root, "cache.heat.warm"),
                  number(root, "cache.heat.cold"));
    name("pinned", out);
    (void)fprintf(out, "%" PRIu64 " objects, ", number(root, "cache.pinned.objects"));
    print_share(number(root, "cache.pinned.bytes"), number(root, "cache.pinned.limit_bytes"), out);
    (void)fputc('\n', out);
}

static void print_store(const json_t *s, FILE *out)
{
    uint64_t faults = number(s, "read_errors") + number(s, "write_errors") +
                      number(s, "mismatches") + number(s, "late_reads");

    name("disk", out);
    el_cli_print_text(text(s, "dir"), out);
    (void)fprintf(out, " %s (%s), ", text(s, "state"), text(s, "io"));
    print_share(number(s, "used_bytes"), number(s, "limit_bytes"), out);
    (void)fprintf(out, ", %" PRIu64 " objects\n", number(s, "objects"));
    name("", out);
    (void)fprintf(out,
                  "read %s, written %s; regions: %" PRIu64 " free, %" PRIu64 " hot, %" PRIu64
                  " warm, %" PRIu64 " cold; %" PRIu64 " fault%s\n",
                  bytes_of(number(s, "read_bytes")).text, bytes_of(number(s, "written_bytes")).text,
                  number(s, "free_regions"), number(s, "hot_regions"), number(s, "warm_regions"),
                  number(s, "cold_regions"), faults, plural(faults));
}

static void print_cluster(const json_t *root, FILE *out)
{
    uint64_t nodes = number(root, "control_plane.cluster_size");

    if (!json_is_object(at(root, "p2p"))) {
        text_line("cluster", "none: this node works alone", out);
        return;
    }
    name("cluster", out);
    (void)fprintf(out,
                  "%" PRIu64 " node%s (%s), port %" PRIu64 "%s; blocks: %" PRIu64
                  " from peers, %" PRIu64 " from the origin for all, %" PRIu64 " given, %" PRIu64
                  " wrong\n",
                  nodes, plural(nodes), text(root, "mode"), number(root, "p2p.port"),
                  is_true(root, "p2p.tls") ? " with TLS" : " WITHOUT TLS",
                  number(root, "p2p.blocks_from_peers"), number(root, "p2p.blocks_from_origin"),
                  number(root, "p2p.blocks_given"), number(root, "p2p.blocks_bad"));
}

static void print_control_plane(const json_t *root, FILE *out)
{
    const char *error = text(root, "control_plane.last_error");

    if (!json_is_string(at(root, "control_plane.state")))
        return;
    name("control plane", out);
    (void)fprintf(out, "%s, ", text(root, "control_plane.state"));
    el_cli_print_text(text(root, "control_plane.best_endpoint"), out);
    (void)fprintf(out, "; %" PRIu64 " chunks reported, %" PRIu64 " reports behind\n",
                  number(root, "control_plane.chunks"), number(root, "control_plane.lag"));
    if (is_true(root, "control_plane.connected") || error[0] == '\0')
        return;
    name("", out);
    el_cli_print_text(error, out);
    (void)fputc('\n', out);
}

void proxy_cli_print_status(const json_t *root, FILE *out)
{
    const json_t *stores = at(root, "cache.disk.stores");
    size_t n = json_array_size(stores);

    print_node(root, out);
    print_tiers(root, out);
    print_memory(root, out);
    for (size_t i = 0; i < n; i++)
        print_store(json_array_get(stores, i), out);
    if (n == 0)
        text_line("disk", "none", out);
    name("origin", out);
    (void)fprintf(out, "%" PRIu64 " requests (%" PRIu64 " running, %" PRIu64 " failed), %s\n",
                  number(root, "origin.exchanges"), number(root, "origin.running"),
                  number(root, "origin.errors"), bytes_of(number(root, "origin.bytes")).text);
    print_cluster(root, out);
    print_control_plane(root, out);
}

/* ---- peers ---- */

static void print_peer(const json_t *p, FILE *out)
{
    const char *id = text(p, "node_id"), *peer_name = text(p, "name");

    name(peer_name[0] != '\0' ? peer_name : "-", out);
    (void)fprintf(out, "%.16s %s %s:%" PRIu64, id, text(p, "state"), text(p, "address"),
                  number(p, "p2p_port"));
    if (is_true(p, "self"))
        (void)fprintf(out, ", this node");
    else if (text(p, "source")[0] != '\0')
        (void)fprintf(out, ", health %" PRIu64 ", source %s", number(p, "health"),
                      text(p, "source"));
    if (text(p, "zone")[0] != '\0')
        (void)fprintf(out, ", zone %s", text(p, "zone"));
    if (is_true(p, "linked"))
        (void)fprintf(out, ", linked%s",
                      strcmp(text(p, "via"), "http") == 0 ? " by its node API" : "");
    if (number(p, "blocks") > 0)
        (void)fprintf(out, ", gave %" PRIu64 " blocks at %s/s", number(p, "blocks"),
                      bytes_of(number(p, "rate_bytes_s")).text);
    if (number(p, "bad_blocks") > 0)
        (void)fprintf(out, ", %" PRIu64 " WRONG", number(p, "bad_blocks"));
    if (is_true(p, "quarantined"))
        (void)fprintf(out, ", IN QUARANTINE");
    (void)fputc('\n', out);
}

void proxy_cli_print_peers(const json_t *root, FILE *out)
{
    const json_t *peers = at(root, "peers");

    for (size_t i = 0; i < json_array_size(peers); i++)
        print_peer(json_array_get(peers, i), out);
    if (json_array_size(peers) == 0)
        text_line("peers", "none: this node is alone", out);
}

/* ---- explain ---- */

static void print_policy(const json_t *root, FILE *out)
{
    if (!json_is_object(at(root, "policy")))
        return;
    text_line("policy",
              json_is_string(at(root, "policy.prefix")) ? text(root, "policy.prefix")
                                                        : "none of its own",
              out);
    name("auth", out);
    (void)fprintf(out, "%s, a yes is good for %" PRIu64 " s and the %s\n",
                  text(root, "policy.auth"), number(root, "policy.grant_ttl_s"),
                  text(root, "policy.grant"));
    name("freshness", out);
    if (is_true(root, "policy.bypass"))
        (void)fputs("not cached\n", out);
    else if (json_is_integer(at(root, "policy.ttl_s")))
        (void)fprintf(out, "%" PRIu64 " s whatever the origin says\n",
                      number(root, "policy.ttl_s"));
    else
        (void)fprintf(out, "as the origin says, %" PRIu64 " s for objects it says nothing of\n",
                      number(root, "policy.freshness_s"));
}

static void print_signature(const json_t *root, FILE *out)
{
    const char *verified = "";

    if (!json_is_object(at(root, "signature")))
        return;
    if (json_is_boolean(at(root, "signature.verified")))
        verified = is_true(root, "signature.verified") ? ", verified" : ", not verified";
    name("signature", out);
    (void)fputs("of ", out);
    el_cli_print_text(text(root, "signature.access_key"), out);
    (void)fprintf(out, ", ends in %" PRIu64 " s%s\n", number(root, "signature.ends_in_s"),
                  verified);
}

static void print_copy(const json_t *root, FILE *out)
{
    const json_t *copy = at(root, "cached");

    name("cached", out);
    if (!json_is_object(copy)) {
        (void)fputs("nothing\n", out);
        return;
    }
    (void)fprintf(out,
                  "%" PRIu64 " of %" PRIu64 " blocks (memory %" PRIu64 ", disk %" PRIu64
                  "), %s, %s, %" PRIu64 " s old of %" PRIu64 "\n",
                  number(copy, "cached_blocks"), number(copy, "blocks"),
                  number(copy, "memory_blocks"), number(copy, "disk_blocks"),
                  is_true(copy, "public") ? "public" : "private",
                  is_true(copy, "fresh") ? "fresh" : "not fresh", number(copy, "age_s"),
                  number(copy, "lifetime_s"));
}

static void print_sources(const json_t *root, FILE *out)
{
    const json_t *sources = at(root, "sources");
    const char *before = "";

    if (json_array_size(sources) == 0)
        return;
    name("sources", out);
    for (size_t i = 0; i < json_array_size(sources); i++) {
        const json_t *s = json_array_get(sources, i);
        uint64_t blocks = number(s, "blocks"), members = number(s, "members");

        (void)fputs(before, out);
        el_cli_print_text(text(s, "source"), out);
        if (blocks > 0)
            (void)fprintf(out, " (%" PRIu64 " block%s)", blocks, plural(blocks));
        if (members > 0)
            (void)fprintf(out, " (%" PRIu64 " other node%s)", members, plural(members));
        before = ", then ";
    }
    (void)fputc('\n', out);
}

void proxy_cli_print_explain(const json_t *root, FILE *out)
{
    name("rule", out);
    (void)fprintf(out, "%s: %s\n", text(root, "rule"), text(root, "action"));
    text_line("why", text(root, "why"), out);
    text_line("url", text(root, "url"), out);
    print_policy(root, out);
    print_signature(root, out);
    if (is_true(root, "signed_by_node"))
        text_line("signature", "the origin is asked with the node's own key", out);
    print_copy(root, out);
    print_sources(root, out);
}
