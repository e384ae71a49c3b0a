/* SPDX-License-Identifier: MIT */
/*
 * cli: which sub command is meant, and the first of them. `elionode get` is a client like any
 * other: libcurl with the node as its proxy. The file gets its name only when it is whole; until
 * then the bytes are in a temporary file beside it, which is removed when anything fails, an
 * interrupt included.
 */
#include "proxy/cli_own.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <curl/curl.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/sha256.h"

#define DEFAULT_PROXY   "127.0.0.1:8080"
#define BAR_CELLS       24
#define REDRAW_NS       (100 * 1000000ull)
#define MAX_ERROR_BYTES 4096 /* of an error's body, to quote from */
#define CONNECT_S       10L
#define STALL_S         120L

static volatile sig_atomic_t is_interrupted;

struct get {
    /* What was asked for. */
    const char *url, *file, *proxy;
    bool is_json, is_quiet;
    struct el_cli_conf api;

    /* While it runs. */
    CURL *curl;
    char curl_error[CURL_ERROR_SIZE];
    uint64_t started_ns, drawn_ns;
    bool has_progress, was_drawn;
    char *file_from_url; /* owned; file points to it when there was no -o */
    char *part;          /* owned; the temporary file's name, NULL when there is none */
    int fd;              /* -1: not open */
    int sys;             /* errno of a failed write */
    uint64_t bytes;
    struct el_sha256 *sha256; /* with --json */
    struct el_buf error_body; /* of an answer that is not 2xx */
    char x_cache[16], detail[256];
    json_t *sources; /* a reference; NULL: not known */
};

/* ---- small helpers ---- */

static int complain(const char *fmt, ...) EL_PRINTF(1, 2);

static int complain(const char *fmt, ...)
{
    va_list args;

    (void)fputs("elionode get: ", stderr);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
    return EL_CLI_FAILED;
}

void proxy_cli_format_bytes(double bytes, char out[16])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    size_t i = 0;

    while (bytes >= 1024 && i + 1 < EL_COUNT(units)) {
        bytes /= 1024;
        i++;
    }
    (void)snprintf(out, 16, i == 0 ? "%.0f %s" : "%.1f %s", bytes, units[i]);
}

static void format_eta(double seconds, char out[24])
{
    unsigned long s = seconds < 360000 ? (unsigned long)seconds : 359999;

    if (s >= 3600)
        (void)snprintf(out, 24, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    else
        (void)snprintf(out, 24, "%lu:%02lu", s / 60, s % 60);
}

/* ---- progress ---- */

static void format_bar(double part, char out[BAR_CELLS + 1])
{
    size_t full = (size_t)(part * BAR_CELLS);

    for (size_t i = 0; i < BAR_CELLS; i++)
        out[i] = i < full ? '=' : i == full ? '>' : ' ';
    out[BAR_CELLS] = '\0';
}

void proxy_cli_progress_line(const struct proxy_cli_progress *p, char *out, size_t out_bytes)
{
    double rate = p->seconds > 0 ? (double)p->done / p->seconds : 0;
    char done[16], total[16], per_second[16], eta[24], bar[BAR_CELLS + 1];
    double part;

    proxy_cli_format_bytes((double)p->done, done);
    proxy_cli_format_bytes(rate, per_second);
    if (p->total == 0) {
        (void)snprintf(out, out_bytes, "%s  %s/s  %s", done, per_second, p->x_cache);
        return;
    }
    part = (double)el_min_u64(p->done, p->total) / (double)p->total;
    format_bar(part, bar);
    proxy_cli_format_bytes((double)p->total, total);
    if (rate > 0)
        format_eta((double)(p->total - el_min_u64(p->done, p->total)) / rate, eta);
    else
        (void)snprintf(eta, sizeof(eta), "-:--");
    (void)snprintf(out, out_bytes, "%3.0f%% [%s] %s / %s  %s/s  ETA %s  %s", part * 100, bar, done,
                   total, per_second, eta, p->x_cache);
}

static double seconds_since(uint64_t started_ns)
{
    return (double)(el_clock_mono_ns(el_clock_system()) - started_ns) / 1e9;
}

static void draw(struct get *g, uint64_t total)
{
    const struct proxy_cli_progress p = {
        .done = g->bytes,
        .total = total,
        .seconds = seconds_since(g->started_ns),
        .x_cache = g->x_cache,
    };
    char line[160];

    proxy_cli_progress_line(&p, line, sizeof(line));
    (void)fprintf(stderr, "\r\x1b[K%s", line);
    g->was_drawn = true;
}

/* libcurl calls this several times a second even when nothing comes; not 0 ends the transfer. */
static int on_progress(void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now)
{
    struct get *g = (struct get *)arg;
    uint64_t clock_ns = el_clock_mono_ns(el_clock_system());

    (void)now;
    (void)up_total;
    (void)up_now;
    if (is_interrupted)
        return 1;
    if (g->has_progress && clock_ns - g->drawn_ns >= REDRAW_NS) {
        g->drawn_ns = clock_ns;
        draw(g, total > 0 ? (uint64_t)total : 0);
    }
    return 0;
}

/* ---- the transfer ---- */

static bool is_success(struct get *g)
{
    long status = 0;

    (void)curl_easy_getinfo(g->curl, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct get *g = (struct get *)arg;
    struct el_str s = { line, size * n };
    struct el_str name = EL_STR("x-cache:"), value;

    /* A redirection's answer comes before the one that counts. */
    if (el_str_istarts(s, EL_STR("http/")))
        g->x_cache[0] = '\0';
    if (!el_str_istarts(s, name))
        return s.n;
    value = el_str_from(s, name.n);
    value = el_str_trim(el_str_first(value, el_str_find(value, '\r')));
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < ' ' || value.p[i] > '~') /* it goes to a terminal */
            return s.n;
    }
    (void)snprintf(g->x_cache, sizeof(g->x_cache), "%.*s", EL_STR_ARG(value));
    return s.n;
}

static bool write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t taken = write(fd, p, n);

        if (taken < 0 && errno == EINTR)
            continue;
        if (taken < 0)
            return false;
        p += taken;
        n -= (size_t)taken;
    }
    return true;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct get *g = (struct get *)arg;
    size_t n = size * count;

    if (!is_success(g)) {
        el_buf_add(&g->error_body, bytes, el_min_size(n, MAX_ERROR_BYTES - g->error_body.n));
        return n;
    }
    if (!write_all(g->fd, bytes, n)) {
        g->sys = errno;
        return 0; /* CURLE_WRITE_ERROR */
    }
    if (g->sha256 != NULL)
        el_sha256_update(g->sha256, bytes, n);
    g->bytes += n;
    return n;
}

static void set_options(struct get *g)
{
    CURL *c = g->curl;

    (void)curl_easy_setopt(c, CURLOPT_URL, g->url);
    (void)curl_easy_setopt(c, CURLOPT_PROXY, g->proxy);
    (void)curl_easy_setopt(c, CURLOPT_PROXYTYPE, (long)CURLPROXY_HTTP);
    (void)curl_easy_setopt(c, CURLOPT_NOPROXY, ""); /* the environment's exceptions do not count */
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    (void)curl_easy_setopt(c, CURLOPT_MAXREDIRS, 10L);
    (void)curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "elionode/" ELIO_VERSION);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, STALL_S);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 262144L);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, g->curl_error);
    (void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(c, CURLOPT_HEADERDATA, g);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, g);
    (void)curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFODATA, g);
}

static void ask_for_sources(struct get *g)
{
    char *ip = NULL;
    long port = 0;

    if (g->is_quiet && !g->is_json)
        return;
    if (curl_easy_getinfo(g->curl, CURLINFO_LOCAL_IP, &ip) == CURLE_OK && ip != NULL &&
        curl_easy_getinfo(g->curl, CURLINFO_LOCAL_PORT, &port) == CURLE_OK)
        g->sources = proxy_cli_sources_ask(&g->api, ip, port, g->bytes);
}

/* ": why" out of a problem+json body (RFC 9457), or nothing. */
static void read_detail(struct get *g)
{
    json_t *root =
        g->error_body.n > 0 ? json_loadb(g->error_body.p, g->error_body.n, 0, NULL) : NULL;
    const char *detail = json_string_value(json_object_get(root, "detail"));
    bool is_plain = detail != NULL;

    for (const char *p = detail; is_plain && *p != '\0'; p++)
        is_plain = (unsigned char)*p >= ' ' && *p != 0x7f;
    if (is_plain)
        (void)snprintf(g->detail, sizeof(g->detail), ": %s", detail);
    json_decref(root);
}

static int explain(struct get *g, CURLcode code)
{
    const char *why = g->curl_error[0] != '\0' ? g->curl_error : curl_easy_strerror(code);

    if (is_interrupted)
        return complain("interrupted");
    if (code == CURLE_WRITE_ERROR && g->sys != 0)
        return complain("cannot write %s: %s", g->file, strerror(g->sys));
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_PROXY) {
        (void)complain("cannot reach the node at %s: %s: is it running?", g->proxy, why);
        return EL_CLI_ABSENT;
    }
    if (code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING)
        return complain("the transfer broke off after %llu bytes: %s", (unsigned long long)g->bytes,
                        why);
    return complain("%s", why);
}

static int transfer(struct get *g)
{
    long status = 0;
    CURLcode code;

    set_options(g);
    g->started_ns = el_clock_mono_ns(el_clock_system());
    code = curl_easy_perform(g->curl);
    if (g->has_progress && code == CURLE_OK && is_success(g))
        draw(g, g->bytes);
    if (g->was_drawn)
        (void)fputc('\n', stderr);
    if (code != CURLE_OK)
        return explain(g, code);
    if (is_success(g))
        return EL_CLI_OK;
    (void)curl_easy_getinfo(g->curl, CURLINFO_RESPONSE_CODE, &status);
    read_detail(g);
    return complain("the answer is %ld%s", status, g->detail);
}

/* ---- the file ---- */

/* The last part of the URL's path, as it stands there; NULL when it makes no file name. */
static char *name_of_url(const char *url)
{
    struct el_str s = el_str_of(url);
    struct el_str part, name = { 0 };

    s = el_str_first(s, el_str_find(s, '#'));
    s = el_str_first(s, el_str_find(s, '?'));
    if (strstr(url, "://") != NULL)
        s = el_str_from(s, el_str_find(s, ':') + 3);
    if (!el_str_split(&s, '/', &part))
        return NULL;
    while (el_str_split(&s, '/', &part))
        name = part;
    if (name.n == 0 || el_str_eq(name, EL_STR(".")) || el_str_eq(name, EL_STR("..")))
        return NULL;
    return el_strndup(name.p, name.n);
}

static int open_file(struct get *g)
{
    struct el_buf name = { 0 };
    struct stat st;
    mode_t mask;

    if (strcmp(g->file, "-") == 0) {
        g->fd = STDOUT_FILENO;
        return EL_CLI_OK;
    }
    if (stat(g->file, &st) == 0 && S_ISDIR(st.st_mode))
        return complain("%s is a directory", g->file);
    el_buf_addf(&name, "%s.part-XXXXXX", g->file);
    g->part = el_buf_take(&name);
    g->fd = mkostemp(g->part, O_CLOEXEC);
    if (g->fd < 0) {
        free(g->part);
        g->part = NULL;
        return complain("cannot create a file beside %s: %s", g->file, strerror(errno));
    }
    mask = umask(0);
    (void)umask(mask);
    (void)fchmod(g->fd, 0666 & ~mask);
    return EL_CLI_OK;
}

/* Gives the file its name. */
static int keep_file(struct get *g)
{
    int fd = g->fd;

    if (g->part == NULL)
        return EL_CLI_OK;
    g->fd = -1;
    if (close(fd) != 0)
        return complain("cannot write %s: %s", g->file, strerror(errno));
    if (rename(g->part, g->file) != 0)
        return complain("cannot rename %s to %s: %s", g->part, g->file, strerror(errno));
    free(g->part);
    g->part = NULL;
    return EL_CLI_OK;
}

static void close_get(struct get *g)
{
    if (g->part != NULL) {
        if (g->fd >= 0)
            (void)close(g->fd);
        (void)unlink(g->part);
    }
    json_decref(g->sources);
    free(g->part);
    free(g->file_from_url);
    el_sha256_free(g->sha256);
    el_buf_deinit(&g->error_body);
    curl_easy_cleanup(g->curl);
}

/* ---- the report ---- */

static int print_json(struct get *g, double seconds)
{
    struct el_buf out = { 0 };
    json_t *root = el_json_new();
    struct el_digest digest;
    char hex[2 * EL_SHA256_BYTES + 1];
    long status = 0;
    bool is_written;

    (void)curl_easy_getinfo(g->curl, CURLINFO_RESPONSE_CODE, &status);
    el_sha256_final(g->sha256, &digest);
    el_hex(digest.b, sizeof(digest.b), hex);
    el_json_add_str(root, "url", el_str_of(g->url));
    el_json_add_str(root, "file", el_str_of(g->file));
    el_json_add_u64(root, "status", (uint64_t)status);
    el_json_add_u64(root, "bytes", g->bytes);
    el_json_add_real(root, "seconds", seconds);
    if (g->x_cache[0] != '\0')
        el_json_add_str(root, "x_cache", el_str_of(g->x_cache));
    else
        el_json_add_null(root, "x_cache");
    el_json_add_str(root, "sha256", el_str_of(hex));
    (void)json_object_set(root, "sources", g->sources != NULL ? g->sources : json_null());
    el_json_write(&out, root);
    is_written = write_all(STDOUT_FILENO, out.p, out.n);
    el_buf_deinit(&out);
    return is_written ? EL_CLI_OK : complain("cannot write the report: %s", strerror(errno));
}

static void print_text(struct get *g, double seconds)
{
    char bytes[16], rate[16];

    proxy_cli_format_bytes((double)g->bytes, bytes);
    proxy_cli_format_bytes(seconds > 0 ? (double)g->bytes / seconds : 0, rate);
    (void)fprintf(stderr, "%s: %s in %.2f s, %s/s%s%s\n", g->file, bytes, seconds, rate,
                  g->x_cache[0] != '\0' ? ", " : "", g->x_cache);
    if (g->sources != NULL)
        proxy_cli_sources_print(g->sources, stderr);
}

/* ---- the command ---- */

static void on_signal(int sig)
{
    (void)sig;
    is_interrupted = 1;
}

static void catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal };

    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

static void print_usage(FILE *out)
{
    (void)fprintf(
        out,
        "usage: elionode get URL [-o FILE] [--proxy=HOST:PORT] [--admin=HOST:PORT]\n"
        "                    [--token-file=FILE] [--json] [--quiet]\n"
        "\n"
        "Fetches URL through a running node.\n"
        "\n"
        "  -o FILE            where to; - is standard output; default: the URL's last part\n"
        "  --proxy=HOST:PORT  the node (default " DEFAULT_PROXY ")\n"
        "  --admin=HOST:PORT  its node API, which says who gave the bytes (default\n"
        "                     " PROXY_CLI_ADMIN ")\n"
        "  --token-file=FILE  holds the token for it; else the environment's\n"
        "                     " PROXY_CLI_TOKEN "\n"
        "  --json             a report with bytes, seconds, x_cache, sha256 and sources on standard\n"
        "                     output\n"
        "  --quiet            no progress and no closing line\n"
        "\n"
        "Exit codes: 0 done, 1 failed, 2 usage, 3 the node cannot be reached.\n");
}

static int usage_error(const char *what, const char *detail)
{
    (void)complain("%s%s (see elionode get --help)", what, detail);
    return EL_CLI_USAGE;
}

/* -1: go on; otherwise the exit code. */
static int parse_word(struct get *g, const char *word, bool *ret_wants_file)
{
    if (strcmp(word, "-o") == 0)
        *ret_wants_file = true;
    else if (strncmp(word, "--proxy=", 8) == 0 && word[8] != '\0')
        g->proxy = word + 8;
    else if (el_cli_option(&g->api, word))
        ;
    else if (strcmp(word, "--json") == 0)
        g->is_json = true;
    else if (strcmp(word, "--quiet") == 0)
        g->is_quiet = true;
    else if (word[0] == '-')
        return usage_error("unknown option ", word);
    else if (g->url != NULL)
        return usage_error("more than one URL: ", word);
    else
        g->url = word;
    return -1;
}

/* -1: go on; otherwise the exit code. */
static int parse(struct get *g, int argc, char *const argv[])
{
    bool wants_file = false;
    int rc = -1;

    for (int i = 2; i < argc && rc < 0; i++) {
        if (wants_file) {
            g->file = argv[i];
            wants_file = false;
        } else if (strcmp(argv[i], "--help") == 0) {
            print_usage(stdout);
            return EL_CLI_OK;
        } else {
            rc = parse_word(g, argv[i], &wants_file);
        }
    }
    if (rc >= 0)
        return rc;
    if (wants_file || (g->file != NULL && g->file[0] == '\0'))
        return usage_error("-o wants a file name", "");
    if (g->url == NULL)
        return usage_error("which URL?", "");
    if (g->file == NULL)
        g->file = g->file_from_url = name_of_url(g->url);
    if (g->file == NULL)
        return usage_error("the URL names no file: use -o", "");
    if (g->is_json && strcmp(g->file, "-") == 0)
        return usage_error("--json and -o - both want standard output", "");
    return -1;
}

static int run_get(struct get *g)
{
    double seconds;
    int rc;

    g->curl = curl_easy_init();
    EL_ASSERT(g->curl != NULL);
    g->has_progress = !g->is_quiet && isatty(STDERR_FILENO) == 1;
    if (g->is_json)
        g->sha256 = el_sha256_new();
    rc = open_file(g);
    if (rc != EL_CLI_OK)
        return rc;
    rc = transfer(g);
    if (rc != EL_CLI_OK)
        return rc;
    seconds = seconds_since(g->started_ns);
    rc = keep_file(g);
    if (rc != EL_CLI_OK)
        return rc;
    ask_for_sources(g);
    if (g->is_json)
        return print_json(g, seconds);
    if (!g->is_quiet)
        print_text(g, seconds);
    return EL_CLI_OK;
}

bool proxy_cli_has(const char *word)
{
    return word != NULL && (strcmp(word, "get") == 0 || strcmp(word, "warm") == 0 ||
                            proxy_cli_node_has(word) || proxy_cli_presign_has(word));
}

void proxy_cli_help(FILE *out)
{
    (void)fprintf(
        out, "sub commands (each knows --help):\n"
             "  elionode get URL                        fetch a file through a running node\n");
    (void)fprintf(out, "  elionode %-30s %s\n", "warm URL...|-",
                  "have the node fetch URLs into its cache");
    proxy_cli_node_help(out);
    proxy_cli_presign_help(out);
}

int proxy_cli_run(int argc, char *const argv[])
{
    struct get g = { .proxy = DEFAULT_PROXY,
                     .fd = -1,
                     .api = { .program = &proxy_cli_program, .verb = "get" } };
    int rc;

    if (strcmp(argv[1], "warm") == 0)
        return proxy_cli_warm_run(argc, argv);
    if (proxy_cli_node_has(argv[1]))
        return proxy_cli_node_run(argc, argv);
    if (proxy_cli_presign_has(argv[1]))
        return proxy_cli_presign_run(argc, argv);
    rc = parse(&g, argc, argv);
    if (rc < 0) {
        is_interrupted = 0;
        catch_signals();
        EL_ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
        rc = run_get(&g);
        close_get(&g);
        curl_global_cleanup();
        return rc;
    }
    close_get(&g);
    return rc;
}
