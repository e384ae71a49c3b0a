/* SPDX-License-Identifier: MIT */
/*
 * cli_presign: `elionode presign URL`: the URL with a signature in its query, so that whoever has
 * it may use it until it expires. Asks nobody: the key comes from the environment or from a file,
 * never from the command line, where every user of the machine could read it.
 */
#include "proxy/cli_own.h"

#include <stdarg.h>

#include "common/clock.h"
#include "common/url.h"
#include "storage/keys.h"
#include "storage/oss.h"
#include "storage/sigv4.h"

#define DEFAULT_EXPIRES "3600"

struct presign {
    /* What was asked for. */
    const char *url, *expires, *region, *method, *type, *file, *profile, *bucket;
    bool is_oss;
    uint64_t expires_s;

    struct el_url parsed;
    struct el_buf host; /* as the Host field will be */
    struct store_keys keys;
};

static int complain(const char *fmt, ...) EL_PRINTF(1, 2);

static int complain(const char *fmt, ...)
{
    va_list args;

    (void)fputs("elionode presign: ", stderr);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
    return EL_CLI_FAILED;
}

static int usage_error(const char *what, const char *detail)
{
    (void)complain("%s%s (see elionode presign --help)", what, detail);
    return EL_CLI_USAGE;
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* ---- the key ---- */

static bool keys_from_environment(struct presign *p)
{
    static const char *const names[2][3] = {
        { "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN" },
        { "OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN" },
    };
    const char *const *n = names[p->is_oss ? 1 : 0];

    if (variable(n[0]) == NULL || variable(n[1]) == NULL)
        return false;
    el_secret_set(&p->keys.id, el_str_of(variable(n[0])));
    el_secret_set(&p->keys.secret, el_str_of(variable(n[1])));
    if (variable(n[2]) != NULL)
        el_secret_set(&p->keys.token, el_str_of(variable(n[2])));
    return true;
}

/* What is named on the command line wins over the environment, and that over files. */
static int find_keys(struct presign *p)
{
    const char *file = p->file, *profile = p->profile;
    struct el_error err;

    if (file == NULL && profile == NULL && keys_from_environment(p))
        return EL_CLI_OK;
    if (file == NULL)
        file = variable("AWS_SHARED_CREDENTIALS_FILE");
    if (profile == NULL)
        profile = variable("AWS_PROFILE");
    if (file == NULL)
        return complain("no access key: set %s, or name a file with --credentials-file",
                        p->is_oss ? "OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET"
                                  : "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
    if (store_keys_read("the credentials file", file,
                        el_str_of(profile != NULL ? profile : "default"), &p->keys, &err) != EL_OK)
        return complain("%s", err.text);
    return EL_CLI_OK;
}

/* ---- signing ---- */

static enum el_err sign_s3(const struct presign *p, const struct store_sign_request *req,
                           struct el_buf *target, struct el_error *err)
{
    const struct store_sigv4_signer by = {
        .key_id = el_secret_get(&p->keys.id),
        .secret = el_secret_get(&p->keys.secret),
        .token = el_secret_get(&p->keys.token),
        .region = p->region != NULL ? el_str_of(p->region) : EL_STR("us-east-1"),
        .service = EL_STR("s3"),
        .now_s = el_clock_wall_ms(el_clock_system()) / 1000,
    };

    return store_sigv4_presign(&by, req, (int64_t)p->expires_s, target, err);
}

static enum el_err sign_oss(const struct presign *p, const struct store_sign_request *req,
                            struct el_buf *target, struct el_error *err)
{
    const struct store_oss_signer by = {
        .is_v4 = p->region != NULL,
        .key_id = el_secret_get(&p->keys.id),
        .secret = el_secret_get(&p->keys.secret),
        .token = el_secret_get(&p->keys.token),
        .region = el_str_of(p->region),
        .now_s = el_clock_wall_ms(el_clock_system()) / 1000,
    };

    return store_oss_presign(&by, req, (int64_t)p->expires_s, target, err);
}

/* "bucket.oss-cn-hangzhou.aliyuncs.com" names its bucket; any other host only with --bucket. */
static struct el_str oss_bucket(const struct presign *p)
{
    struct el_str host = p->parsed.host, bucket = el_str_first(host, el_str_find(host, '.'));

    if (p->bucket != NULL)
        return el_str_of(p->bucket);
    if (el_str_istarts(el_str_from(host, bucket.n), EL_STR(".oss-")))
        return bucket;
    return (struct el_str){ NULL, 0 };
}

static int sign(struct presign *p)
{
    const struct store_sign_request req = {
        .method = el_str_of(p->method),
        .target = p->parsed.target,
        .host = el_buf_str(&p->host),
        .bucket = p->is_oss ? oss_bucket(p) : (struct el_str){ NULL, 0 },
    };
    struct el_buf target = { 0 };
    struct el_error err;
    int rc = EL_CLI_OK;

    if ((p->is_oss ? sign_oss : sign_s3)(p, &req, &target, &err) != EL_OK)
        rc = complain("%s", err.text);
    else if (printf("%s://%s%s\n", p->parsed.is_https ? "https" : "http", p->host.p, target.p) <
                 0 ||
             fflush(stdout) != 0)
        rc = complain("cannot write the URL");
    el_buf_deinit(&target);
    return rc;
}

/* ---- the command line ---- */

static void print_usage(FILE *out)
{
    (void)fprintf(
        out,
        "usage: elionode presign URL [options]\n"
        "\n"
        "Prints URL with a signature in its query: whoever has it may use it until it expires.\n"
        "The access key comes from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,\n"
        "AWS_SESSION_TOKEN; OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET, OSS_SESSION_TOKEN) or from\n"
        "a file like AWS's; it is never taken from the command line.\n"
        "\n"
        "  --type=s3|oss            whose signature (default s3)\n"
        "  --expires=S              for how many seconds it is good, up to a week (default " DEFAULT_EXPIRES
        ")\n"
        "  --method=M               the method that it allows (default GET)\n"
        "  --region=R               default: AWS_REGION, else us-east-1; oss: OSS_REGION; without a\n"
        "                           region oss gets a signature of version 1\n"
        "  --bucket=B               oss: the bucket, when the host does not begin with it and is\n"
        "                           not of the form BUCKET.oss-REGION.aliyuncs.com\n"
        "  --credentials-file=FILE  default: AWS_SHARED_CREDENTIALS_FILE\n"
        "  --profile=P              the section of the file (default: AWS_PROFILE, else default)\n"
        "\n"
        "Exit codes: 0 done, 1 failed, 2 usage.\n");
}

/* "--name=value" with a value; NULL: it is another option. */
static const char *value_of(const char *word, const char *name)
{
    size_t n = strlen(name);

    return strncmp(word, name, n) == 0 && word[n] != '\0' ? word + n : NULL;
}

/* Whether it is one of the options that have a value. */
static bool parse_option(struct presign *p, const char *word)
{
    const struct {
        const char *name;
        const char **value;
    } options[] = {
        { "--expires=", &p->expires },       { "--region=", &p->region },
        { "--method=", &p->method },         { "--type=", &p->type },
        { "--profile=", &p->profile },       { "--bucket=", &p->bucket },
        { "--credentials-file=", &p->file },
    };

    for (size_t i = 0; i < EL_COUNT(options); i++) {
        const char *value = value_of(word, options[i].name);

        if (value != NULL) {
            *options[i].value = value;
            return true;
        }
    }
    return false;
}

/* -1: go on; otherwise the exit code. */
static int check(struct presign *p)
{
    struct el_error err;

    if (p->url == NULL)
        return usage_error("which URL?", "");
    p->is_oss = strcmp(p->type, "oss") == 0;
    if (!p->is_oss && strcmp(p->type, "s3") != 0)
        return usage_error("--type is s3 or oss, not ", p->type);
    if (!el_str_u64(el_str_of(p->expires), STORE_SIGN_MAX_EXPIRES_S, &p->expires_s) ||
        p->expires_s == 0)
        return usage_error("--expires is a number of seconds from 1 to 604800, not ", p->expires);
    if (el_url_parse(el_str_of(p->url), &p->parsed, &err) != EL_OK)
        return usage_error("the URL: ", err.text);
    if (p->region == NULL)
        p->region = variable(p->is_oss ? "OSS_REGION" : "AWS_REGION");
    return -1;
}

/* -1: go on; otherwise the exit code. */
static int parse(struct presign *p, int argc, char *const argv[])
{
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            print_usage(stdout);
            return EL_CLI_OK;
        }
        if (argv[i][0] == '-' && !parse_option(p, argv[i]))
            return usage_error("unknown option, or one without its value: ", argv[i]);
        if (argv[i][0] == '-')
            continue;
        if (p->url != NULL)
            return usage_error("more than one URL: ", argv[i]);
        p->url = argv[i];
    }
    return check(p);
}

/* As clients send it: in lower case, with a port unless it is the scheme's own. */
static void write_host(struct presign *p)
{
    uint16_t own = p->parsed.is_https ? 443 : 80;

    if (p->parsed.is_ipv6)
        el_buf_add_byte(&p->host, '[');
    store_sign_add_lower(&p->host, p->parsed.host);
    if (p->parsed.is_ipv6)
        el_buf_add_byte(&p->host, ']');
    if (p->parsed.port != own)
        el_buf_addf(&p->host, ":%u", (unsigned)p->parsed.port);
}

bool proxy_cli_presign_has(const char *word)
{
    return strcmp(word, "presign") == 0;
}

void proxy_cli_presign_help(FILE *out)
{
    (void)fprintf(out, "  elionode presign URL                    sign URL, so that whoever has it "
                       "may use it\n");
}

int proxy_cli_presign_run(int argc, char *const argv[])
{
    struct presign p = { .expires = DEFAULT_EXPIRES, .method = "GET", .type = "s3" };
    int rc = parse(&p, argc, argv);

    if (rc < 0) {
        write_host(&p);
        rc = find_keys(&p);
        if (rc == EL_CLI_OK)
            rc = sign(&p);
    }
    el_buf_deinit(&p.host);
    store_keys_deinit(&p.keys);
    return rc;
}
