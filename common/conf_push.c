/* SPDX-License-Identifier: MIT */
/* conf_push: see conf_push.h. */
#include "common/conf_push.h"

#include "common/conf_policy.h"
#include "common/prefix.h"

static bool is_one_line(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return false;
    }
    return true;
}

static enum el_err add_value(struct el_buf *out, const char *key, const json_t *v,
                             struct el_error *err)
{
    if (json_is_string(v)) {
        if (!is_one_line(json_string_value(v), json_string_length(v)))
            return el_fail(err, EL_ECONF, 0, "settings: the value of %s is not one line", key);
        el_buf_add(out, json_string_value(v), json_string_length(v));
    } else if (json_is_integer(v)) {
        el_buf_addf(out, "%lld", (long long)json_integer_value(v));
    } else if (json_is_real(v)) {
        el_buf_addf(out, "%.12g", json_real_value(v));
    } else if (json_is_boolean(v)) {
        el_buf_add_str(out, json_is_true(v) ? EL_STR("true") : EL_STR("false"));
    } else {
        return el_fail(err, EL_ECONF, 0, "settings: %s is neither text, number nor true or false",
                       key);
    }
    return EL_OK;
}

static bool is_key(const char *key)
{
    return strlen(key) <= 64 && is_one_line(key, strlen(key)) && strpbrk(key, "=[") == NULL;
}

static enum el_err add_lines(struct el_buf *out, const json_t *settings, struct el_error *err)
{
    json_t *obj = (json_t *)(uintptr_t)settings;
    enum el_err rc = EL_OK;
    const char *key;
    json_t *value;

    json_object_foreach(obj, key, value)
    {
        if (!is_key(key))
            return el_fail(err, EL_ECONF, 0, "settings: a key is no key");
        el_buf_addf(out, "%s=", key);
        rc = add_value(out, key, value, err);
        el_buf_add_byte(out, '\n');
        if (rc == EL_OK && out->n > EL_PUSHED_MAX)
            rc = el_fail(err, EL_ECONF, 0, "settings: more than %u bytes", EL_PUSHED_MAX);
        if (rc != EL_OK)
            return rc;
    }
    return EL_OK;
}

static enum el_err add_policy(struct el_buf *out, const json_t *policy, struct el_error *err)
{
    const json_t *prefix = json_object_get(policy, "prefix");
    const json_t *settings = json_object_get(policy, "settings");

    if (!json_is_string(prefix) ||
        !is_one_line(json_string_value(prefix), json_string_length(prefix)))
        return el_fail(err, EL_ECONF, 0, "settings: a policy without a prefix");
    if (json_object_size(settings) == 0)
        return EL_OK;
    el_buf_addf(out, "[policy %s]\n", json_string_value(prefix));
    return add_lines(out, settings, err);
}

enum el_err el_conf_push_lines(const json_t *settings, struct el_buf *ret_lines,
                               struct el_error *err)
{
    struct el_buf lines = { 0 };
    enum el_err rc = add_lines(&lines, settings, err);

    if (rc == EL_OK)
        el_buf_add_str(ret_lines, el_buf_str(&lines));
    el_buf_deinit(&lines);
    return rc;
}

enum el_err el_conf_push_policies(const json_t *policies, struct el_buf *ret_lines,
                                  struct el_error *err)
{
    struct el_buf lines = { 0 };
    enum el_err rc = EL_OK;

    for (size_t i = 0; rc == EL_OK && i < json_array_size(policies); i++)
        rc = add_policy(&lines, json_array_get(policies, i), err);
    if (rc == EL_OK)
        el_buf_add_str(ret_lines, el_buf_str(&lines));
    el_buf_deinit(&lines);
    return rc;
}

enum el_err el_conf_push_check_prefix(const char *text, struct el_error *err)
{
    enum el_err rc = el_conf_policy_check_prefix(el_str_of(text), "settings", err);
    struct el_prefix prefix;

    if (rc == EL_OK)
        rc = el_prefix_parse(text, &prefix, err);
    if (rc == EL_OK)
        el_prefix_deinit(&prefix);
    return rc;
}

enum el_err el_conf_push_check(struct el_str lines, struct el_error *err)
{
    char *const none[] = { NULL };
    struct el_conf_args args = { 0 };
    struct el_conf *conf = NULL;
    enum el_err rc = el_conf_load_pushed(EL_CONF_ELIONODE, 0, none, none, lines, &conf, &args, err);

    if (rc == EL_OK) {
        el_conf_args_deinit(&args);
        rc = el_conf_policy_check(conf, err);
    }
    el_conf_free(conf);
    return rc;
}
