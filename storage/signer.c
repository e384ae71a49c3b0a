/* SPDX-License-Identifier: MIT */
/* signer: see signer.h. A thread of its own looks at the file, which may take long, while others go
 * on with the keys that are there. */
#include "storage/signer.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

#include "storage/address.h"
#include "storage/oss.h"
#include "storage/sigv4.h"

/* A file is looked at again after so many seconds. */
#define LOOK_S 1
/* Buckets in another region that are remembered. */
#define MAX_MOVED 64

/* A name of a bucket at S3 and OSS has 63 bytes at most, and so have our regions. */
#define NAME_BYTES 64

struct moved {
    char bucket[NAME_BYTES], region[NAME_BYTES];
};

/* What tells one version of a file from another. */
struct version {
    struct timespec changed;
    off_t size;
    ino_t inode;
};

struct store_signer {
    /* immutable */
    bool is_oss, is_virtual;
    char *region, *file, *profile; /* owned; file: NULL when the keys were given */
    struct el_clock *clock;

    /* the watching thread's */
    struct version version;

    /* the owner's */
    bool is_watched;
    pthread_t thread;

    /* under mtx */
    pthread_mutex_t mtx;
    pthread_cond_t stop;
    bool is_stopping;
    struct store_keys keys;
    struct moved moved[MAX_MOVED];
    size_t next_moved;
};

/* ---- the keys ---- */

static void set_secret(struct el_secret *to, struct el_str value)
{
    if (value.n > 0)
        el_secret_set(to, value);
    else
        el_secret_deinit(to);
}

static void copy_keys(struct store_keys *to, const struct store_keys *from)
{
    set_secret(&to->id, el_secret_get(&from->id));
    set_secret(&to->secret, el_secret_get(&from->secret));
    set_secret(&to->token, el_secret_get(&from->token));
}

/* False when there is no such file; reading it says why. */
static bool version_of(const char *path, struct version *ret_version)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return false;
    *ret_version =
        (struct version){ .changed = st.st_mtim, .size = st.st_size, .inode = st.st_ino };
    return true;
}

static bool is_same_version(const struct version *a, const struct version *b)
{
    return a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
           a->size == b->size && a->inode == b->inode;
}

static enum el_err read_keys(const struct store_signer *s, struct store_keys *ret_keys,
                             struct el_error *err)
{
    return store_keys_read("storage.credentials_file", s->file, el_str_of(s->profile), ret_keys,
                           err);
}

static void use_keys(struct store_signer *s, const struct store_keys *keys)
{
    pthread_mutex_lock(&s->mtx);
    copy_keys(&s->keys, keys);
    pthread_mutex_unlock(&s->mtx);
}

/* A file that is wrong is told of once for each of its versions. */
void store_signer_look(struct store_signer *s)
{
    struct version now = { 0 };
    bool is_there = version_of(s->file, &now), is_same = is_same_version(&s->version, &now);
    struct store_keys keys;
    struct el_error err;

    if (is_there && is_same)
        return;
    s->version = now;
    if (read_keys(s, &keys, &err) == EL_OK) {
        use_keys(s, &keys);
        store_keys_deinit(&keys);
        el_log(EL_INFO, EV_KEYS_READ, "file=%s", EL_LOG_Q(el_str_of(s->file)));
    } else if (!is_same) {
        el_log_error(EL_WARN, EV_KEYS_BAD, &err);
    }
}

static struct timespec in_a_while(void)
{
    struct timespec t;

    EL_ASSERT(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    t.tv_sec += LOOK_S;
    return t;
}

static void *watch(void *arg)
{
    struct store_signer *s = arg;

    (void)pthread_setname_np(pthread_self(), "elio-keys"); /* only a name */
    pthread_mutex_lock(&s->mtx);
    while (!s->is_stopping) {
        struct timespec until = in_a_while();

        if (pthread_cond_timedwait(&s->stop, &s->mtx, &until) != ETIMEDOUT)
            continue;
        pthread_mutex_unlock(&s->mtx);
        store_signer_look(s);
        pthread_mutex_lock(&s->mtx);
    }
    pthread_mutex_unlock(&s->mtx);
    return NULL;
}

enum el_err store_signer_watch(struct store_signer *s, struct el_error *err)
{
    int rc;

    if (s->file == NULL)
        return EL_OK;
    rc = pthread_create(&s->thread, NULL, watch, s);
    if (rc != 0)
        return el_fail(err, EL_ESYS, rc, "start the thread that watches storage.credentials_file");
    s->is_watched = true;
    return EL_OK;
}

static void stop_watch(struct store_signer *s)
{
    if (!s->is_watched)
        return;
    pthread_mutex_lock(&s->mtx);
    s->is_stopping = true;
    pthread_cond_signal(&s->stop);
    pthread_mutex_unlock(&s->mtx);
    (void)pthread_join(s->thread, NULL); /* it is there, and not this one */
}

static void get_keys(struct store_signer *s, struct store_keys *ret_keys)
{
    *ret_keys = (struct store_keys){ 0 };
    pthread_mutex_lock(&s->mtx);
    copy_keys(ret_keys, &s->keys);
    pthread_mutex_unlock(&s->mtx);
}

/* ---- regions ---- */

static struct moved *find_moved_locked(struct store_signer *s, struct el_str bucket)
{
    for (size_t i = 0; bucket.n > 0 && i < MAX_MOVED; i++) {
        if (el_str_eq(bucket, el_str_of(s->moved[i].bucket)))
            return &s->moved[i];
    }
    return NULL;
}

static void add_region(struct store_signer *s, struct el_str bucket, struct el_buf *out)
{
    const struct moved *m;

    pthread_mutex_lock(&s->mtx);
    m = find_moved_locked(s, bucket);
    el_buf_add_str(out, el_str_of(m != NULL ? m->region : s->region));
    pthread_mutex_unlock(&s->mtx);
}

static void copy_name(char out[NAME_BYTES], struct el_str name)
{
    memcpy(out, name.p, name.n);
    out[name.n] = '\0';
}

static void remember(struct store_signer *s, struct el_str bucket, struct el_str region)
{
    struct moved *m;

    pthread_mutex_lock(&s->mtx);
    m = find_moved_locked(s, bucket);
    if (m == NULL)
        m = &s->moved[s->next_moved++ % MAX_MOVED];
    copy_name(m->bucket, bucket);
    copy_name(m->region, region);
    pthread_mutex_unlock(&s->mtx);
}

bool store_signer_learn(struct store_signer *s, const struct store_signer_request *req,
                        struct el_str signed_for, int status, struct el_fieldv answer)
{
    struct el_str bucket = store_address_bucket(req->bucket, req->target), region;

    /* 400: the signature is of another region than the bucket. */
    if (s->is_oss || (status != 301 && status != 307 && status != 400) ||
        !el_fieldv_get(answer, EL_STR("x-amz-bucket-region"), &region))
        return false;
    if (!store_address_is_region(region) || bucket.n == 0 || bucket.n >= NAME_BYTES ||
        el_str_eq(region, signed_for))
        return false;
    remember(s, bucket, region);
    return true;
}

/* ---- signing ---- */

void store_signed_deinit(struct store_signed *s)
{
    el_buf_deinit(&s->host);
    el_buf_deinit(&s->target);
    el_fields_deinit(&s->fields);
    el_buf_deinit(&s->region);
}

/* Host, and the client's own fields without one. */
static void write_fields(const struct store_signer_request *req, struct store_signed *out)
{
    uint16_t own = el_str_eq(req->scheme, EL_STR("https")) ? 443 : 80;
    bool is_ipv6 = el_str_find(el_buf_str(&out->host), ':') < out->host.n;
    struct el_buf host = { 0 };

    el_buf_addf(&host, is_ipv6 ? "[%s]" : "%s", out->host.p);
    if (req->port != own)
        el_buf_addf(&host, ":%u", (unsigned)req->port);
    el_fields_add(&out->fields, EL_STR("Host"), el_buf_str(&host));
    for (size_t i = 0; i < req->fields.n; i++) {
        if (!el_str_ieq(req->fields.v[i].name, EL_STR("Host")))
            el_fields_add(&out->fields, req->fields.v[i].name, req->fields.v[i].value);
    }
    el_buf_deinit(&host);
}

/* What the client says of the body's hash, unless that takes a signature of its own to say. */
static struct el_str payload_of(const struct store_signer_request *req)
{
    struct el_str value = { NULL, 0 };
    enum store_sigv4_payload payload;

    if (!el_fieldv_get(req->fields, EL_STR("x-amz-content-sha256"), &value) ||
        !store_sigv4_payload_parse(value, &payload) || payload == STORE_SIGV4_CHUNKS ||
        payload == STORE_SIGV4_CHUNKS_TRAILER)
        return (struct el_str){ NULL, 0 };
    return value;
}

static enum el_err sign_s3(const struct store_signer *s, const struct store_keys *keys,
                           const struct store_signer_request *req, struct store_signed *out,
                           struct el_error *err)
{
    const struct store_sigv4_signer by = {
        .key_id = el_secret_get(&keys->id),
        .secret = el_secret_get(&keys->secret),
        .token = el_secret_get(&keys->token),
        .region = el_buf_str(&out->region),
        .service = EL_STR("s3"),
        .payload = payload_of(req),
        .now_s = el_clock_wall_ms(s->clock) / 1000,
    };

    return store_sigv4_sign(&by, req->method, el_buf_str(&out->target), &out->fields, err);
}

static enum el_err sign_oss(const struct store_signer *s, const struct store_keys *keys,
                            const struct store_signer_request *req, struct el_str bucket,
                            struct store_signed *out, struct el_error *err)
{
    const struct store_oss_signer by = {
        .is_v4 = out->region.n > 0,
        .key_id = el_secret_get(&keys->id),
        .secret = el_secret_get(&keys->secret),
        .token = el_secret_get(&keys->token),
        .region = el_buf_str(&out->region),
        .now_s = el_clock_wall_ms(s->clock) / 1000,
    };

    return store_oss_sign(&by, req->method, bucket, el_buf_str(&out->target), &out->fields, err);
}

/* Where it goes, and for which region it is signed. */
static void address(struct store_signer *s, const struct store_signer_request *req,
                    struct store_signed *out, struct el_str *ret_bucket)
{
    struct el_buf endpoint = { 0 };

    add_region(s, store_address_bucket(req->bucket, req->target), &out->region);
    store_address_move(req->host, el_str_of(s->region), el_buf_str(&out->region), &endpoint);
    store_address_write(s->is_virtual, el_buf_str(&endpoint), req->bucket, req->target, &out->host,
                        &out->target, ret_bucket);
    el_buf_deinit(&endpoint);
}

enum el_err store_signer_sign(struct store_signer *s, const struct store_signer_request *req,
                              struct store_signed *ret_signed, struct el_error *err)
{
    struct store_keys keys;
    struct el_str bucket;
    enum el_err rc;

    store_signed_deinit(ret_signed);
    address(s, req, ret_signed, &bucket);
    write_fields(req, ret_signed);
    get_keys(s, &keys);
    rc = s->is_oss ? sign_oss(s, &keys, req, bucket, ret_signed, err)
                   : sign_s3(s, &keys, req, ret_signed, err);
    store_keys_deinit(&keys);
    return rc;
}

/* ---- life ---- */

static char *copy_of(struct el_str text)
{
    return el_strndup(text.p != NULL ? text.p : "", text.n);
}

static enum el_err first_keys(struct store_signer *s, const struct store_signer_conf *conf,
                              struct el_error *err)
{
    const struct version none = { 0 };

    if (s->file == NULL) {
        set_secret(&s->keys.id, conf->id);
        set_secret(&s->keys.secret, conf->secret);
        set_secret(&s->keys.token, conf->token);
        return EL_OK;
    }
    if (!version_of(s->file, &s->version))
        s->version = none;
    return read_keys(s, &s->keys, err);
}

/* That whatever is signed with these can be. */
static enum el_err try_signing(struct store_signer *s, struct el_error *err)
{
    const struct store_signer_request req = {
        .method = EL_STR("GET"),
        .scheme = EL_STR("http"),
        .host = EL_STR("h"),
        .target = EL_STR("/"),
        .port = 80,
    };
    struct store_signed out = { 0 };
    struct el_error why = { 0 };
    enum el_err rc = store_signer_sign(s, &req, &out, &why);

    store_signed_deinit(&out);
    return rc == EL_OK ? EL_OK : el_fail(err, EL_ECONF, 0, "storage: %s", why.text);
}

/* None of it fails with these attributes. */
static void init_locks(struct store_signer *s)
{
    pthread_condattr_t attr;

    (void)pthread_mutex_init(&s->mtx, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->stop, &attr);
    (void)pthread_condattr_destroy(&attr);
}

enum el_err store_signer_new(const struct store_signer_conf *conf, struct store_signer **ret_signer,
                             struct el_error *err)
{
    struct store_signer *s = el_new(struct store_signer);
    enum el_err rc;

    s->is_oss = conf->is_oss;
    s->is_virtual = conf->is_virtual;
    s->region = copy_of(conf->region.n == 0 && !conf->is_oss ? EL_STR("us-east-1") : conf->region);
    s->clock = conf->clock;
    if (conf->file != NULL) {
        s->file = copy_of(el_str_of(conf->file));
        s->profile = copy_of(el_str_of(conf->profile));
    }
    init_locks(s);
    rc = first_keys(s, conf, err);
    if (rc == EL_OK)
        rc = try_signing(s, err);
    if (rc == EL_OK)
        *ret_signer = s;
    else
        store_signer_free(s);
    return rc;
}

void store_signer_free(struct store_signer *s)
{
    if (s == NULL)
        return;
    stop_watch(s);
    store_keys_deinit(&s->keys);
    (void)pthread_cond_destroy(&s->stop); /* nobody is left to refer to them */
    (void)pthread_mutex_destroy(&s->mtx);
    free(s->region);
    free(s->file);
    free(s->profile);
    free(s);
}
