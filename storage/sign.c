/* SPDX-License-Identifier: MIT */
/*
 * sign: see sign.h. The rules are those of AWS ("Create a signed AWS API request", "Authenticating
 * Requests (AWS Signature Version 4)" of S3) and of Alibaba Cloud OSS ("Include signatures in the
 * Authorization header", V1 and V4).
 */
#include "storage/sign.h"

/* ---- bytes ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_unreserved(char c)
{
    return (lower(c) >= 'a' && lower(c) <= 'z') || is_digit(c) || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

/* Of a name of a field (RFC 9110 section 5.6.2). */
static bool is_token_byte(char c)
{
    return c != '\0' && (is_unreserved(c) || strchr("!#$%&'*+^`|", c) != NULL);
}

static bool is_escape(struct el_str s, size_t i)
{
    return s.p[i] == '%' && i + 2 < s.n && el_hex_digit(s.p[i + 1]) >= 0 &&
           el_hex_digit(s.p[i + 2]) >= 0;
}

/* The byte at *i of an escaped text, which moves behind it. */
static char next_decoded(struct el_str s, size_t *i)
{
    size_t at = *i;

    *i = at + 1;
    if (!is_escape(s, at))
        return s.p[at];
    *i = at + 3;
    return (char)(el_hex_digit(s.p[at + 1]) * 16 + el_hex_digit(s.p[at + 2]));
}

static void add_encoded_byte(struct el_buf *out, char c, bool keeps_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    unsigned char byte = (unsigned char)c;

    if (is_unreserved(c) || (c == '/' && keeps_slash)) {
        el_buf_add_byte(out, c);
        return;
    }
    el_buf_add_byte(out, '%');
    el_buf_add_byte(out, digits[byte >> 4]);
    el_buf_add_byte(out, digits[byte & 15]);
}

void store_sign_add_encoded(struct el_buf *out, struct el_str bytes, bool keeps_slash)
{
    for (size_t i = 0; i < bytes.n; i++)
        add_encoded_byte(out, bytes.p[i], keeps_slash);
}

void store_sign_add_decoded(struct el_buf *out, struct el_str escaped)
{
    for (size_t i = 0; i < escaped.n;)
        el_buf_add_byte(out, next_decoded(escaped, &i));
}

void store_sign_add_recoded(struct el_buf *out, struct el_str escaped, bool keeps_slash)
{
    for (size_t i = 0; i < escaped.n;)
        add_encoded_byte(out, next_decoded(escaped, &i), keeps_slash);
}

bool store_sign_decode(struct el_str escaped, char *out, size_t out_bytes)
{
    size_t n = 0;

    for (size_t i = 0; i < escaped.n;) {
        char c = next_decoded(escaped, &i);

        if (c == '\0' || n + 1 >= out_bytes)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

void store_sign_add_lower(struct el_buf *out, struct el_str s)
{
    for (size_t i = 0; i < s.n; i++)
        el_buf_add_byte(out, lower(s.p[i]));
}

void store_sign_add_base64(struct el_buf *out, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)bytes[i] << 16;

        v |= i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0;
        v |= i + 2 < n ? bytes[i + 2] : 0;
        el_buf_add_byte(out, digits[v >> 18]);
        el_buf_add_byte(out, digits[v >> 12 & 63]);
        el_buf_add_byte(out, i + 1 < n ? digits[v >> 6 & 63] : '=');
        el_buf_add_byte(out, i + 2 < n ? digits[v & 63] : '=');
    }
}

/* Lower-case digits only, as every signer writes them: a signature has one spelling. */
bool store_sign_unhex(struct el_str hex, uint8_t *out, size_t n)
{
    if (hex.n != 2 * n)
        return false;
    for (size_t i = 0; i < hex.n; i++) {
        if (el_hex_digit(hex.p[i]) < 0 || lower(hex.p[i]) != hex.p[i])
            return false;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(el_hex_digit(hex.p[2 * i]) * 16 + el_hex_digit(hex.p[2 * i + 1]));
    return true;
}

/* ---- the request ---- */

static size_t bytes_of(struct el_fieldv fields)
{
    size_t total = 0;

    for (size_t i = 0; i < fields.n; i++)
        total += fields.v[i].name.n + fields.v[i].value.n;
    return total;
}

enum el_err store_sign_check(const struct store_sign_request *req, struct el_error *err)
{
    size_t rest = bytes_of(req->fields) + req->method.n + req->host.n + req->bucket.n;

    if (req->target.n > STORE_SIGN_MAX_TARGET || rest > STORE_SIGN_MAX_REST)
        return el_fail(err, EL_ETOOLARGE, 0, "the request is too large to be signed");
    if (req->target.n == 0 || req->target.p[0] != '/')
        return el_fail(err, EL_EBADREQ, 0, "what is signed is a path and a query");
    for (size_t i = 0; i < req->target.n; i++) {
        if (req->target.p[i] == '%' && !is_escape(req->target, i))
            return el_fail(err, EL_EBADREQ, 0, "the target has a %% without two hex digits");
    }
    return EL_OK;
}

bool store_sign_has_plus(struct el_str target)
{
    return el_str_find(target, '+') < target.n;
}

bool store_sign_hides(struct el_str escaped, char byte)
{
    for (size_t i = 0; i < escaped.n;) {
        char c = next_decoded(escaped, &i);

        if ((unsigned char)c < ' ' || c == 0x7f || c == byte)
            return true;
    }
    return false;
}

struct el_str store_sign_path(struct el_str target)
{
    return el_str_first(target, el_str_find(target, '?'));
}

struct el_str store_sign_query(struct el_str target)
{
    size_t question = el_str_find(target, '?');

    return question == target.n ? (struct el_str){ NULL, 0 } : el_str_from(target, question + 1);
}

/* ---- the query ---- */

static struct el_str name_of(struct el_str parameter)
{
    return el_str_first(parameter, el_str_find(parameter, '='));
}

static size_t count_parameters(struct el_str query, const char *name, struct el_str *ret_value)
{
    struct el_str part;
    size_t n = 0;

    while (el_str_split(&query, '&', &part)) {
        if (!el_str_eq(name_of(part), el_str_of(name)))
            continue;
        *ret_value = el_str_from(part, name_of(part).n + 1);
        n++;
    }
    return n;
}

bool store_sign_parameter(struct el_str query, const char *name, struct el_str *ret_value)
{
    return count_parameters(query, name, ret_value) == 1;
}

bool store_sign_has_parameter(struct el_str query, const char *name)
{
    struct el_str value;

    return count_parameters(query, name, &value) > 0;
}

struct parameter {
    struct el_str name, value; /* recoded */
};

static int compare(struct el_str a, struct el_str b)
{
    size_t n = el_min_size(a.n, b.n);
    int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

static int compare_parameters(const void *a, const void *b)
{
    const struct parameter *x = (const struct parameter *)a, *y = (const struct parameter *)b;
    int c = compare(x->name, y->name);

    return c != 0 ? c : compare(x->value, y->value);
}

/* Appends to memory that was reserved, so that earlier slices stay where they are. */
static struct el_str recode(struct el_buf *memory, struct el_str escaped)
{
    size_t from = memory->n;

    store_sign_add_recoded(memory, escaped, false);
    return (struct el_str){ memory->p + from, memory->n - from };
}

static void write_parameters(struct el_buf *out, const struct parameter *v, size_t n, bool is_bare)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            el_buf_add_byte(out, '&');
        el_buf_add_str(out, v[i].name);
        if (!is_bare || v[i].value.n > 0)
            el_buf_add_byte(out, '=');
        el_buf_add_str(out, v[i].value);
    }
}

enum el_err store_sign_add_query(struct el_buf *out, struct el_str query, const char *without,
                                 bool is_bare, struct el_error *err)
{
    struct parameter v[STORE_SIGN_MAX_PARAMETERS];
    struct el_buf memory = { 0 };
    struct el_str part;
    enum el_err rc = EL_OK;
    size_t n = 0;

    el_buf_reserve(&memory, 3 * query.n + 1); /* store_sign_check() has bounded it */
    while (rc == EL_OK && el_str_split(&query, '&', &part)) {
        struct el_str name = name_of(part);

        if (part.n == 0 || (without != NULL && el_str_eq(name, el_str_of(without))))
            continue;
        if (n == STORE_SIGN_MAX_PARAMETERS) {
            rc = el_fail(err, EL_ETOOLARGE, 0, "more than %d parameters in a signed query",
                         STORE_SIGN_MAX_PARAMETERS);
            break;
        }
        v[n].name = recode(&memory, name);
        v[n++].value = recode(&memory, el_str_from(part, name.n + 1));
    }
    if (rc == EL_OK) {
        if (n > 0)
            qsort(v, n, sizeof(v[0]), compare_parameters);
        write_parameters(out, v, n, is_bare);
    }
    el_buf_deinit(&memory);
    return rc;
}

void store_sign_add_parameter(struct el_buf *target, const char *name, struct el_str value)
{
    struct el_str query = store_sign_query(el_buf_str(target));

    if (query.p == NULL)
        el_buf_add_byte(target, '?');
    else if (query.n > 0)
        el_buf_add_byte(target, '&');
    el_buf_addf(target, "%s=", name);
    store_sign_add_encoded(target, value, false);
}

/* ---- header fields ---- */

static int compare_folded(struct el_str a, struct el_str b)
{
    for (size_t i = 0; i < a.n && i < b.n; i++) {
        int c = (unsigned char)lower(a.p[i]) - (unsigned char)lower(b.p[i]);

        if (c != 0)
            return c;
    }
    return (a.n > b.n) - (a.n < b.n);
}

bool store_sign_names_has(const struct store_sign_names *names, struct el_str name)
{
    for (size_t i = 0; i < names->n; i++) {
        if (el_str_ieq(names->v[i], name))
            return true;
    }
    return false;
}

bool store_sign_names_add(struct store_sign_names *names, struct el_str name)
{
    size_t i = names->n;

    if (store_sign_names_has(names, name))
        return true;
    if (names->n == STORE_SIGN_MAX_NAMES)
        return false;
    for (; i > 0 && compare_folded(names->v[i - 1], name) > 0; i--)
        names->v[i] = names->v[i - 1];
    names->v[i] = name;
    names->n++;
    return true;
}

static bool is_lower_token(struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_token_byte(s.p[i]) || lower(s.p[i]) != s.p[i])
            return false;
    }
    return s.n > 0;
}

bool store_sign_names_parse(struct store_sign_names *names, struct el_str list)
{
    struct el_str name;

    names->n = 0;
    while (el_str_split(&list, ';', &name)) {
        bool ascends = names->n == 0 || compare(names->v[names->n - 1], name) < 0;

        if (!is_lower_token(name) || !ascends || names->n == STORE_SIGN_MAX_NAMES)
            return false;
        names->v[names->n++] = name;
    }
    return true;
}

bool store_sign_names_collect(struct store_sign_names *names, struct el_fieldv fields,
                              const char *prefix)
{
    for (size_t i = 0; i < fields.n; i++) {
        if (el_str_istarts(fields.v[i].name, el_str_of(prefix)) &&
            !store_sign_names_add(names, fields.v[i].name))
            return false;
    }
    return true;
}

void store_sign_names_write(const struct store_sign_names *names, struct el_buf *out)
{
    for (size_t i = 0; i < names->n; i++) {
        if (i > 0)
            el_buf_add_byte(out, ';');
        store_sign_add_lower(out, names->v[i]);
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void add_value(struct el_buf *out, struct el_str value, bool collapses)
{
    value = el_str_trim(value);
    for (size_t i = 0; i < value.n; i++) {
        bool follows_blank = i > 0 && is_blank(value.p[i - 1]);

        if (!collapses || !is_blank(value.p[i]))
            el_buf_add_byte(out, value.p[i]);
        else if (!follows_blank)
            el_buf_add_byte(out, ' ');
    }
}

bool store_sign_add_field(struct el_buf *out, const struct store_sign_request *req,
                          struct el_str name, bool collapses)
{
    size_t found = 0;

    store_sign_add_lower(out, name);
    el_buf_add_byte(out, ':');
    for (size_t i = 0; i < req->fields.n; i++) {
        if (!el_str_ieq(req->fields.v[i].name, name))
            continue;
        if (found++ > 0)
            el_buf_add_byte(out, ',');
        add_value(out, req->fields.v[i].value, collapses);
    }
    if (found == 0 && req->host.n > 0 && el_str_ieq(name, EL_STR("host"))) {
        add_value(out, req->host, collapses);
        found++;
    }
    el_buf_add_byte(out, '\n');
    return found > 0;
}

/* ---- time ---- */

static struct tm civil(int64_t s)
{
    time_t t = (time_t)s;
    struct tm tm;

    EL_ASSERT(s >= 0 && s <= 253402300799 && gmtime_r(&t, &tm) != NULL); /* to the year 9999 */
    return tm;
}

void store_sign_time_write(int64_t s, char out[STORE_SIGN_TIME_BYTES])
{
    struct tm tm = civil(s);

    EL_ASSERT(strftime(out, STORE_SIGN_TIME_BYTES, "%Y%m%dT%H%M%SZ", &tm) > 0);
}

/* A date that does not exist is read as another one: only what comes out as it went in is one. */
bool store_sign_time_read(struct el_str text, int64_t *ret_s)
{
    static const size_t at[] = { 0, 4, 6, 9, 11, 13, 15 };
    char again[STORE_SIGN_TIME_BYTES];
    uint64_t v[6];
    struct tm tm = { 0 };
    int64_t s;

    if (text.n != STORE_SIGN_TIME_BYTES - 1)
        return false;
    for (size_t i = 0; i < EL_COUNT(v); i++) {
        size_t end = i == 2 ? 8 : at[i + 1]; /* a "T" stands behind the day */

        if (!el_str_u64(el_str_from(el_str_first(text, end), at[i]), 9999, &v[i]))
            return false;
    }
    tm.tm_year = (int)v[0] - 1900;
    tm.tm_mon = (int)v[1] - 1;
    tm.tm_mday = (int)v[2];
    tm.tm_hour = (int)v[3];
    tm.tm_min = (int)v[4];
    tm.tm_sec = (int)v[5];
    s = (int64_t)timegm(&tm);
    if (s < 0 || s > 253402300799)
        return false;
    store_sign_time_write(s, again);
    if (!el_str_eq(el_str_of(again), text))
        return false;
    *ret_s = s;
    return true;
}

static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

/* strftime() would take the names from the locale. */
void store_sign_http_date_write(int64_t s, char out[STORE_SIGN_HTTP_DATE_BYTES])
{
    struct tm tm = civil(s);
    char time[16];

    EL_ASSERT(strftime(time, sizeof(time), "%Y %H:%M:%S", &tm) > 0);
    EL_ASSERT(snprintf(out, STORE_SIGN_HTTP_DATE_BYTES, "%s, %02u %s %s GMT", days[tm.tm_wday],
                       (unsigned)tm.tm_mday % 100, months[tm.tm_mon],
                       time) == STORE_SIGN_HTTP_DATE_BYTES - 1);
}

bool store_sign_http_date_read(struct el_str text, int64_t *ret_s)
{
    char iso[STORE_SIGN_TIME_BYTES], again[STORE_SIGN_HTTP_DATE_BYTES];
    const char *t = text.p;
    unsigned month = 0;
    int64_t s;

    if (text.n != STORE_SIGN_HTTP_DATE_BYTES - 1)
        return false;
    while (month < EL_COUNT(months) && memcmp(t + 8, months[month], 3) != 0)
        month++;
    if (month == EL_COUNT(months))
        return false;
    (void)snprintf(iso, sizeof(iso), "%.4s%02u%.2sT%.2s%.2s%.2sZ", t + 12, month + 1, t + 5, t + 17,
                   t + 20, t + 23);
    if (!store_sign_time_read(el_str_of(iso), &s))
        return false;
    store_sign_http_date_write(s, again);
    if (!el_str_eq(el_str_of(again), text))
        return false;
    *ret_s = s;
    return true;
}

/* ---- version 4 ---- */

static bool is_scope_part(struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_unreserved(s.p[i]))
            return false;
    }
    return s.n > 0;
}

static bool copy_part(struct el_str s, char *out, size_t out_bytes)
{
    if (!is_scope_part(s) || s.n >= out_bytes)
        return false;
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return true;
}

enum el_err store_sign_scope_make(int64_t now_s, struct el_str region, struct el_str service,
                                  struct store_sign_scope *ret_scope, struct el_error *err)
{
    struct store_sign_scope scope = { .date = "" };
    char now[STORE_SIGN_TIME_BYTES];

    store_sign_time_write(now_s, now);
    memcpy(scope.date, now, sizeof(scope.date) - 1);
    if (!copy_part(region, scope.region, sizeof(scope.region)))
        return el_fail(err, EL_EINVAL, 0, "the region is empty, too long, or no name");
    if (!copy_part(service, scope.service, sizeof(scope.service)))
        return el_fail(err, EL_EINVAL, 0, "the service is empty, too long, or no name");
    *ret_scope = scope;
    return EL_OK;
}

bool store_sign_scope_is_same(const struct store_sign_scope *a, const struct store_sign_scope *b)
{
    return strcmp(a->date, b->date) == 0 && strcmp(a->region, b->region) == 0 &&
           strcmp(a->service, b->service) == 0;
}

enum el_err store_sign_key_derive(const struct store_sign_dialect *d, struct el_str secret,
                                  const struct store_sign_scope *scope,
                                  struct store_sign_key *ret_key, struct el_error *err)
{
    const char *const chain[] = { scope->date, scope->region, scope->service, d->terminator };
    char first[STORE_SIGN_MAX_SECRET + 16];
    size_t prefix = strlen(d->key_prefix), n = prefix + secret.n;
    struct store_sign_key key = { .scope = *scope };

    if (secret.n == 0 || secret.n > STORE_SIGN_MAX_SECRET)
        return el_fail(err, EL_EINVAL, 0, "the secret of the access key is empty or too long");
    EL_ASSERT(n <= sizeof(first));
    memcpy(first, d->key_prefix, prefix);
    memcpy(first + prefix, secret.p, secret.n);
    el_hmac_sha256(first, n, el_str_of(chain[0]), key.key);
    explicit_bzero(first, sizeof(first));
    for (size_t i = 1; i < EL_COUNT(chain); i++)
        el_hmac_sha256(key.key, sizeof(key.key), el_str_of(chain[i]), key.key);
    *ret_key = key;
    explicit_bzero(&key, sizeof(key));
    return EL_OK;
}

bool store_sign_is_key_id(struct el_str id)
{
    for (size_t i = 0; i < id.n; i++) {
        if (id.p[i] <= ' ' || id.p[i] >= 0x7f || id.p[i] == '/' || id.p[i] == ',')
            return false;
    }
    return id.n > 0 && id.n < STORE_SIGN_KEY_ID_BYTES;
}

void store_sign_add_credential(struct el_buf *out, const struct store_sign_dialect *d,
                               struct el_str key_id, const struct store_sign_scope *scope)
{
    el_buf_add_str(out, key_id);
    el_buf_addf(out, "/%s/%s/%s/%s", scope->date, scope->region, scope->service, d->terminator);
}

bool store_sign_credential_parse(const struct store_sign_dialect *d, struct el_str text,
                                 char ret_key_id[STORE_SIGN_KEY_ID_BYTES],
                                 struct store_sign_scope *ret_scope)
{
    struct store_sign_scope scope;
    struct el_str part[5], id;

    for (size_t i = 0; i < EL_COUNT(part); i++) {
        if (!el_str_split(&text, '/', &part[i]))
            return false;
    }
    id = part[0];
    if (text.p != NULL || !store_sign_is_key_id(id) ||
        !copy_part(part[1], scope.date, sizeof(scope.date)) ||
        !copy_part(part[2], scope.region, sizeof(scope.region)) ||
        !copy_part(part[3], scope.service, sizeof(scope.service)) ||
        !el_str_eq(part[4], el_str_of(d->terminator)))
        return false;
    memcpy(ret_key_id, id.p, id.n);
    ret_key_id[id.n] = '\0';
    *ret_scope = scope;
    return true;
}

void store_sign_v4(const struct store_sign_dialect *d, const struct store_sign_key *key,
                   int64_t time_s, struct el_str canonical, uint8_t ret_mac[EL_SHA256_BYTES])
{
    char time[STORE_SIGN_TIME_BYTES], hex[2 * EL_SHA256_BYTES + 1];
    struct el_buf text = { 0 };
    struct el_digest digest;

    store_sign_time_write(time_s, time);
    el_sha256_of(canonical.p, canonical.n, &digest);
    el_hex(digest.b, sizeof(digest.b), hex);
    el_buf_addf(&text, "%s\n%s\n%s/%s/%s/%s\n%s", d->algorithm, time, key->scope.date,
                key->scope.region, key->scope.service, d->terminator, hex);
    el_hmac_sha256(key->key, sizeof(key->key), el_buf_str(&text), ret_mac);
    el_buf_deinit(&text);
}

static bool keep_part(struct el_str part, const char *const *names, size_t n, struct el_str *ret_v)
{
    struct el_str name = name_of(part);

    for (size_t i = 0; i < n; i++) {
        if (!el_str_eq(name, el_str_of(names[i])))
            continue;
        if (ret_v[i].p != NULL || name.n == part.n)
            return false;
        ret_v[i] = el_str_from(part, name.n + 1);
        return true;
    }
    return false;
}

bool store_sign_authorization_parse(const struct store_sign_dialect *d, struct el_str value,
                                    const char *const *names, size_t n, struct el_str *ret_v)
{
    struct el_str algorithm = el_str_first(value, el_str_find(value, ' ')), part;

    for (size_t i = 0; i < n; i++)
        ret_v[i] = (struct el_str){ NULL, 0 };
    if (!el_str_eq(algorithm, el_str_of(d->algorithm)))
        return false;
    value = el_str_from(value, algorithm.n);
    while (el_str_split(&value, ',', &part)) {
        if (!keep_part(el_str_trim(part), names, n, ret_v))
            return false;
    }
    return true;
}

enum el_err store_sign_check_time(int64_t from_s, int64_t until_s, int64_t now_s,
                                  struct el_error *err)
{
    if (now_s < from_s - STORE_SIGN_SKEW_S)
        return el_fail(err, EL_EFORBIDDEN, 0, "the signature is of a time to come");
    if (now_s > until_s)
        return el_fail(err, EL_EFORBIDDEN, 0, "the signature has expired");
    return EL_OK;
}
