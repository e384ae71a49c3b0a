/* SPDX-License-Identifier: MIT */
/* resign: see resign.h. */
#include "proxy/resign.h"

static bool has(const struct el_secret *s)
{
    return el_secret_get(s).n > 0;
}

static bool has_keys(const struct el_conf *c)
{
    return has(&c->storage_access_key) || has(&c->storage_secret_key) ||
           has(&c->storage_session_token);
}

static enum el_err check(const struct el_conf *c, struct el_error *err)
{
    bool has_file = c->storage_credentials_file[0] != '\0';

    if (has_keys(c) && has_file)
        return el_fail(err, EL_ECONF, 0,
                       "storage.access_key and storage.credentials_file: one of them, not both");
    if (!has_file && (!has(&c->storage_access_key) || !has(&c->storage_secret_key)))
        return el_fail(err, EL_ECONF, 0,
                       "storage.access_key and storage.secret_key are set together or not at all");
    if (c->storage_endpoint[0] == '\0')
        return el_fail(err, EL_ECONF, 0,
                       "storage.access_key and storage.credentials_file sign requests of the "
                       "gateway: they want storage.endpoint");
    if (c->storage_type == EL_STORAGE_HTTP)
        return el_fail(err, EL_ECONF, 0,
                       "storage.type = http: there is nothing to sign requests for");
    return EL_OK;
}

static bool is_virtual(const struct el_conf *c)
{
    switch ((enum el_addressing)c->storage_addressing) {
    case EL_ADDRESSING_AUTO:
        return c->storage_type == EL_STORAGE_OSS;
    case EL_ADDRESSING_PATH:
        return false;
    case EL_ADDRESSING_VIRTUAL:
        return true;
    }
    return false;
}

enum el_err proxy_resign_new(const struct el_conf *c, struct el_clock *clock,
                             struct store_signer **ret_signer, struct el_error *err)
{
    const char *file = c->storage_credentials_file;
    struct store_signer_conf conf = {
        .is_oss = c->storage_type == EL_STORAGE_OSS,
        .region = el_str_of(c->storage_region),
        .id = el_secret_get(&c->storage_access_key),
        .secret = el_secret_get(&c->storage_secret_key),
        .token = el_secret_get(&c->storage_session_token),
        .file = file[0] != '\0' ? file : NULL,
        .profile = c->storage_credentials_profile,
        .clock = clock,
    };
    enum el_err rc;

    *ret_signer = NULL;
    if (!has_keys(c) && conf.file == NULL)
        return EL_OK;
    rc = check(c, err);
    if (rc != EL_OK)
        return rc;
    conf.is_virtual = is_virtual(c);
    return store_signer_new(&conf, ret_signer, err);
}

void proxy_resign_warn(const struct el_conf *c)
{
    el_log(EL_WARN, EV_SIGNS,
           "origin=%s advice=\"requests of the gateway without credentials are signed with the "
           "node's own key: whoever reaches the gateway reads and writes what that key may; give "
           "it no more rights than that\"",
           EL_LOG_Q(el_str_of(c->storage_endpoint)));
}
