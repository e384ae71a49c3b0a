/* SPDX-License-Identifier: MIT */
/* keys: see keys.h. */
#include "storage/keys.h"

#include "common/file.h"

#define MAX_FILE_BYTES (256 * EL_KIB)

void store_keys_deinit(struct store_keys *keys)
{
    el_secret_deinit(&keys->id);
    el_secret_deinit(&keys->secret);
    el_secret_deinit(&keys->token);
}

static struct el_secret *key_named(struct store_keys *keys, struct el_str name)
{
    if (el_str_ieq(name, EL_STR("aws_access_key_id")))
        return &keys->id;
    if (el_str_ieq(name, EL_STR("aws_secret_access_key")))
        return &keys->secret;
    if (el_str_ieq(name, EL_STR("aws_session_token")))
        return &keys->token;
    return NULL;
}

/* Without the end of a line of DOS, and blanks. */
static struct el_str trim(struct el_str s)
{
    if (s.n > 0 && s.p[s.n - 1] == '\r')
        s.n--;
    return el_str_trim(s);
}

/* "name = value" of the profile. False: the name is there for the second time. */
static bool take(struct store_keys *keys, struct el_str line)
{
    size_t eq = el_str_find(line, '=');
    struct el_secret *key = key_named(keys, el_str_trim(el_str_first(line, eq)));

    if (key == NULL || eq == line.n)
        return true;
    if (el_secret_get(key).n > 0)
        return false;
    el_secret_set(key, el_str_trim(el_str_from(line, eq + 1)));
    return true;
}

static bool is_section(struct el_str line, struct el_str *ret_name)
{
    if (line.n < 2 || line.p[0] != '[' || line.p[line.n - 1] != ']')
        return false;
    *ret_name = el_str_trim((struct el_str){ line.p + 1, line.n - 2 });
    return true;
}

static enum el_err fill(struct el_str text, const char *path, struct el_str profile,
                        struct store_keys *keys, struct el_error *err)
{
    struct el_str line, section = { NULL, 0 };
    bool is_ours = false;

    for (unsigned number = 1; el_str_split(&text, '\n', &line); number++) {
        bool is_nested = line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t');

        line = trim(line);
        if (line.n == 0 || is_nested || line.p[0] == '#' || line.p[0] == ';')
            continue;
        if (is_section(line, &section))
            is_ours = el_str_eq(section, profile);
        else if (is_ours && !take(keys, line))
            return el_fail(err, EL_ECONF, 0, "%s, line %u: a key for the second time", path,
                           number);
    }
    if (el_secret_get(&keys->id).n == 0 || el_secret_get(&keys->secret).n == 0)
        return el_fail(err, EL_ECONF, 0,
                       "%s: no aws_access_key_id and aws_secret_access_key in [%.*s]", path,
                       EL_STR_ARG(el_str_first(profile, 64)));
    return EL_OK;
}

enum el_err store_keys_parse(struct el_str text, const char *path, struct el_str profile,
                             struct store_keys *ret_keys, struct el_error *err)
{
    struct store_keys keys = { 0 };
    enum el_err rc = fill(text, path, profile, &keys, err);

    if (rc == EL_OK)
        *ret_keys = keys;
    else
        store_keys_deinit(&keys);
    return rc;
}

enum el_err store_keys_read(const char *what, const char *path, struct el_str profile,
                            struct store_keys *ret_keys, struct el_error *err)
{
    struct el_buf text = { 0 };
    enum el_err rc = el_file_read(what, path, MAX_FILE_BYTES, &text, NULL, err);

    if (rc == EL_OK)
        rc = store_keys_parse(el_buf_str(&text), path, profile, ret_keys, err);
    if (text.cap > 0)
        explicit_bzero(text.p, text.cap);
    el_buf_deinit(&text);
    return rc;
}
