/* SPDX-License-Identifier: MIT */
/* identity: see identity.h. A key is written beside its place and then linked there, so that two
 * processes that start at once end up with the same one. */
#include "p2p/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"

#define KEY_NAME "general.state_dir"

static enum el_err read_key(const char *path, uint8_t secret[EL_KEY_BYTES], struct el_error *err)
{
    struct el_buf bytes;
    mode_t mode = 0;
    enum el_err rc;

    el_buf_init(&bytes);
    rc = el_file_read(KEY_NAME, path, EL_KEY_BYTES, &bytes, &mode, err);
    if (rc == EL_OK && bytes.n != EL_KEY_BYTES)
        rc =
            el_fail(err, EL_ECONF, 0, "%s: %s is no key of %d bytes", KEY_NAME, path, EL_KEY_BYTES);
    else if (rc == EL_OK && (mode & 077) != 0)
        rc = el_fail(err, EL_ECONF, 0, "%s: others than its owner may read %s: chmod 600", KEY_NAME,
                     path);
    if (rc == EL_OK)
        memcpy(secret, bytes.p, EL_KEY_BYTES);
    explicit_bzero(bytes.p, bytes.n);
    el_buf_deinit(&bytes);
    return rc;
}

static enum el_err write_key(const char *path, const uint8_t secret[EL_KEY_BYTES],
                             struct el_error *err)
{
    char fresh[PATH_MAX + 16];
    enum el_err rc = EL_OK;
    int fd;

    (void)snprintf(fresh, sizeof(fresh), "%s.%d", path, (int)getpid());
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return el_fail(err, EL_ECONF, errno, "%s: make %s", KEY_NAME, fresh);
    if (write(fd, secret, EL_KEY_BYTES) != EL_KEY_BYTES || fsync(fd) != 0)
        rc = el_fail(err, EL_ECONF, errno, "%s: write %s", KEY_NAME, fresh);
    if (close(fd) != 0 && rc == EL_OK)
        rc = el_fail(err, EL_ECONF, errno, "%s: write %s", KEY_NAME, fresh);
    if (rc == EL_OK && link(fresh, path) != 0 && errno != EEXIST)
        rc = el_fail(err, EL_ECONF, errno, "%s: make %s", KEY_NAME, path);
    (void)unlink(fresh);
    return rc;
}

static enum el_err make_key(const char *dir, const char *path, struct el_error *err)
{
    uint8_t secret[EL_KEY_BYTES];
    enum el_err rc;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return el_fail(err, EL_ECONF, errno, "%s: make %s", KEY_NAME, dir);
    if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret))
        return el_fail(err, EL_ESYS, errno, "random bytes for the node's key");
    rc = write_key(path, secret, err);
    explicit_bzero(secret, sizeof(secret));
    return rc;
}

enum el_err p2p_identity_load(const char *dir, struct p2p_identity *ret, struct el_error *err)
{
    uint8_t secret[EL_KEY_BYTES], public_key[EL_KEY_BYTES];
    char path[PATH_MAX];
    enum el_err rc = EL_OK;

    if (snprintf(path, sizeof(path), "%s/node.key", dir) + 24 > PATH_MAX)
        return el_fail(err, EL_ECONF, 0, "%s is too long", KEY_NAME);
    if (access(path, F_OK) != 0)
        rc = make_key(dir, path, err);
    if (rc == EL_OK)
        rc = read_key(path, secret, err);
    if (rc != EL_OK)
        return rc;
    ret->key = el_key_new(secret);
    explicit_bzero(secret, sizeof(secret));
    el_key_public(ret->key, public_key);
    el_key_fingerprint(public_key, &ret->fingerprint);
    el_hex(ret->fingerprint.b, EL_SHA256_BYTES, ret->id);
    return EL_OK;
}

void p2p_identity_prove(const struct p2p_identity *i, const char *cluster,
                        char ret[P2P_ID_CHARS + 1])
{
    uint8_t signature[EL_SIGNATURE_BYTES];
    struct el_buf text = { 0 };
    struct el_digest hash;

    /* Ed25519 signs the same text the same way; nothing else that is signed begins like this. */
    el_buf_addf(&text, "elio control plane 1 %s %s", i->id, cluster);
    el_key_sign(i->key, el_buf_str(&text), signature);
    el_sha256_of(signature, sizeof(signature), &hash);
    el_hex(hash.b, EL_SHA256_BYTES, ret);
    explicit_bzero(signature, sizeof(signature));
    el_buf_deinit(&text);
}

void p2p_identity_deinit(struct p2p_identity *i)
{
    el_key_free(i->key);
    i->key = NULL;
}
