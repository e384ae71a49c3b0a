/* SPDX-License-Identifier: MIT */
/*
 * auth: verdicts are remembered in a table of SETS rows of WAYS slots. The row is chosen by the
 * hash of the credentials, which is keyed at random, so nobody can choose whose slots he takes. A
 * row that is full forgets a refusal before it forgets somebody who is admitted: guesses, each of
 * which the worker has to verify first, push out hardly any of those.
 */
#include "proxy/auth.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include "common/sha256.h"

#define SETS           1024
#define WAYS           4
#define KEY_BYTES      32
#define MAX_FILE_BYTES (4 * EL_MIB)

enum known { KNOWN_NOT, KNOWN_WRONG, KNOWN_GOOD };

struct slot {
    enum known known;
    struct el_digest digest;
};

struct proxy_auth {
    /* Immutable. */
    enum el_proxy_auth scheme;
    struct proxy_credentials *credentials;
    uint8_t key[KEY_BYTES];
    /* Under mtx. */
    pthread_mutex_t mtx;
    struct slot slots[SETS][WAYS];
    unsigned turn; /* of the slot that goes when a row holds good ones only */
};

struct proxy_auth_check {
    struct proxy_errand errand;
    struct proxy_auth *auth;
    struct proxy_auth_asker asker;
    bool is_forgotten, is_good;
    struct el_secret credentials;
};

/* ---- a new one ---- */

static enum el_err read_file(const char *path, struct el_buf *out, struct el_error *err)
{
    if (path[0] == '\0')
        return el_fail(err, EL_ECONF, 0, "proxy.auth wants proxy.auth_file: who may use the proxy");
    return el_file_read("proxy.auth_file", path, MAX_FILE_BYTES, out, NULL, err);
}

enum el_err proxy_auth_new(enum el_proxy_auth scheme, const char *file,
                           struct proxy_auth **ret_auth, struct el_error *err)
{
    struct proxy_credentials *credentials = NULL;
    struct el_buf text = { 0 };
    struct proxy_auth *a;
    enum el_err rc = read_file(file, &text, err);

    if (rc == EL_OK)
        rc = proxy_credentials_parse(scheme, file, el_buf_str(&text), &credentials, err);
    el_buf_deinit(&text);
    if (rc != EL_OK)
        return rc;
    a = el_new(struct proxy_auth);
    a->scheme = scheme;
    a->credentials = credentials;
    EL_ASSERT(RAND_bytes(a->key, sizeof(a->key)) == 1);
    EL_ASSERT(pthread_mutex_init(&a->mtx, NULL) == 0);
    *ret_auth = a;
    return EL_OK;
}

void proxy_auth_free(struct proxy_auth *a)
{
    if (a == NULL)
        return;
    EL_ASSERT(pthread_mutex_destroy(&a->mtx) == 0);
    proxy_credentials_free(a->credentials);
    OPENSSL_cleanse(a, sizeof(*a));
    free(a);
}

const char *proxy_auth_scheme_name(const struct proxy_auth *a)
{
    return a->scheme == EL_PROXY_AUTH_BASIC ? "basic" : "bearer";
}

struct el_str proxy_auth_challenge(const struct proxy_auth *a)
{
    return a->scheme == EL_PROXY_AUTH_BASIC
               ? EL_STR("Proxy-Authenticate: Basic realm=\"eliop2p\", charset=\"UTF-8\"\r\n")
               : EL_STR("Proxy-Authenticate: Bearer realm=\"eliop2p\"\r\n");
}

/* ---- what is remembered ---- */

static void digest_of(const struct proxy_auth *a, struct el_str credentials, struct el_digest *ret)
{
    char room[KEY_BYTES + PROXY_CREDENTIALS_BYTES];

    EL_ASSERT(credentials.n <= PROXY_CREDENTIALS_BYTES);
    memcpy(room, a->key, KEY_BYTES);
    memcpy(room + KEY_BYTES, credentials.p, credentials.n);
    el_sha256_of(room, KEY_BYTES + credentials.n, ret);
    OPENSSL_cleanse(room, KEY_BYTES + credentials.n);
}

static struct slot *row_of(struct proxy_auth *a, const struct el_digest *digest)
{
    return a->slots[(digest->b[0] | (unsigned)digest->b[1] << 8) % SETS];
}

static enum known recall(struct proxy_auth *a, const struct el_digest *digest)
{
    struct slot *row = row_of(a, digest);
    enum known known = KNOWN_NOT;

    EL_ASSERT(pthread_mutex_lock(&a->mtx) == 0);
    for (size_t i = 0; i < WAYS; i++) {
        if (row[i].known != KNOWN_NOT &&
            CRYPTO_memcmp(row[i].digest.b, digest->b, sizeof(digest->b)) == 0)
            known = row[i].known;
    }
    EL_ASSERT(pthread_mutex_unlock(&a->mtx) == 0);
    return known;
}

/* The one that is known least. */
static struct slot *slot_to_use(struct proxy_auth *a, struct slot *row)
{
    struct slot *worst = &row[a->turn++ % WAYS];

    for (size_t i = 0; i < WAYS; i++) {
        if (row[i].known < worst->known)
            worst = &row[i];
    }
    return worst;
}

static void remember(struct proxy_auth *a, const struct el_digest *digest, bool is_good)
{
    EL_ASSERT(pthread_mutex_lock(&a->mtx) == 0);
    *slot_to_use(a, row_of(a, digest)) =
        (struct slot){ .known = is_good ? KNOWN_GOOD : KNOWN_WRONG, .digest = *digest };
    EL_ASSERT(pthread_mutex_unlock(&a->mtx) == 0);
}

/* ---- judging ---- */

enum proxy_verdict proxy_auth_judge(struct proxy_auth *a, struct el_fieldv fields)
{
    struct el_str value, credentials;
    struct el_digest digest;

    if (!el_fieldv_get(fields, EL_STR("Proxy-Authorization"), &value))
        return PROXY_VERDICT_NONE;
    if (el_fieldv_count(fields, EL_STR("Proxy-Authorization")) > 1 ||
        !proxy_credentials_of(a->scheme, value, &credentials))
        return PROXY_VERDICT_WRONG;
    digest_of(a, credentials, &digest);
    switch (recall(a, &digest)) {
    case KNOWN_GOOD:
        return PROXY_VERDICT_GOOD;
    case KNOWN_WRONG:
        return PROXY_VERDICT_WRONG;
    case KNOWN_NOT:
        break;
    }
    return PROXY_VERDICT_UNSURE;
}

/* Somebody else may have asked the same while this one waited. */
static void verify(struct proxy_errand *e)
{
    struct proxy_auth_check *check = EL_ENTRY(e, struct proxy_auth_check, errand);
    struct el_str credentials = el_secret_get(&check->credentials);
    struct el_digest digest;
    enum known known;

    digest_of(check->auth, credentials, &digest);
    known = recall(check->auth, &digest);
    check->is_good = known == KNOWN_NOT
                         ? proxy_credentials_match(check->auth->credentials, credentials)
                         : known == KNOWN_GOOD;
    if (known == KNOWN_NOT)
        remember(check->auth, &digest, check->is_good);
}

static void tell(struct proxy_errand *e)
{
    struct proxy_auth_check *check = EL_ENTRY(e, struct proxy_auth_check, errand);
    enum proxy_verdict verdict = !e->was_done     ? PROXY_VERDICT_UNSURE
                                 : check->is_good ? PROXY_VERDICT_GOOD
                                                  : PROXY_VERDICT_WRONG;
    struct proxy_auth_asker asker = check->asker;
    bool is_forgotten = check->is_forgotten;

    el_secret_deinit(&check->credentials);
    free(check);
    if (!is_forgotten)
        asker.on_verdict(asker.arg, verdict);
}

struct proxy_auth_check *proxy_auth_ask(struct proxy_auth *a, struct proxy_worker *w,
                                        struct el_fieldv fields,
                                        const struct proxy_auth_asker *asker)
{
    struct proxy_auth_check *check = el_new(struct proxy_auth_check);
    struct el_str value, credentials = { NULL, 0 };

    EL_ASSERT(el_fieldv_get(fields, EL_STR("Proxy-Authorization"), &value) &&
              proxy_credentials_of(a->scheme, value, &credentials));
    check->errand = (struct proxy_errand){ .queue = asker->queue, .work = verify, .on_done = tell };
    check->auth = a;
    check->asker = *asker;
    el_secret_set(&check->credentials, credentials);
    if (proxy_worker_give(w, &check->errand))
        return check;
    el_secret_deinit(&check->credentials);
    free(check);
    return NULL;
}

void proxy_auth_forget(struct proxy_auth_check *check)
{
    if (check != NULL)
        check->is_forgotten = true;
}
