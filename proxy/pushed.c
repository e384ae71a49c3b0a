/* SPDX-License-Identifier: MIT */
/* pushed: see pushed.h. A file: a line "version N", then lines as el_conf_load_pushed() takes them.
 */
#include "proxy/pushed.h"

#include <signal.h>
#include <unistd.h>

#include "common/conf_push.h"
#include "common/file.h"
#include "common/log.h"

#define WHAT  "the pushed configuration"
#define WORD  "version "
#define EXTRA 64u /* bytes of the first line */

static uint64_t *version_of(struct disc_cp_ran *ran, enum disc_cp_part part)
{
    return part == DISC_CP_KEYS ? &ran->version : &ran->policy_version;
}

static enum el_err parse(struct proxy_pushed *p, enum disc_cp_part part, struct el_str text,
                         struct el_error *err)
{
    struct el_str word = EL_STR(WORD), line;

    if (!el_str_split(&text, '\n', &line) || !el_str_starts(line, word) ||
        !el_str_u64(el_str_from(line, word.n), INT64_MAX, version_of(&p->ran, part)))
        return el_fail(err, EL_ECONF, 0, "%s %s does not begin with its version", WHAT,
                       p->path[part]);
    el_buf_add_str(&p->kept[part], text);
    return EL_OK;
}

static void read_part(struct proxy_pushed *p, enum disc_cp_part part)
{
    struct el_buf text = { 0 };
    struct el_error err = { 0 };
    enum el_err rc;

    if (access(p->path[part], F_OK) != 0)
        return;
    rc = el_file_read(WHAT, p->path[part], EL_PUSHED_MAX + EXTRA, &text, NULL, &err);
    if (rc == EL_OK)
        rc = parse(p, part, el_buf_str(&text), &err);
    if (rc != EL_OK)
        el_log_error(EL_WARN, EV_CONF_PUSHED, &err);
    el_buf_deinit(&text);
}

void proxy_pushed_init(struct proxy_pushed *p, const char *state_dir)
{
    static const char *const files[] = {
        [DISC_CP_KEYS] = "pushed.conf", [DISC_CP_BY_PREFIX] = "policies.conf"
    };

    *p = (struct proxy_pushed){ .path = { NULL } };
    EL_ASSERT(pthread_mutex_init(&p->mtx, NULL) == 0);
    for (enum disc_cp_part part = 0; part < DISC_CP_PARTS; part++) {
        struct el_buf path = { 0 };

        el_buf_addf(&path, "%s/%s", state_dir, files[part]);
        p->path[part] = el_buf_take(&path);
        read_part(p, part);
    }
}

void proxy_pushed_deinit(struct proxy_pushed *p)
{
    if (p->path[0] == NULL)
        return;
    for (enum disc_cp_part part = 0; part < DISC_CP_PARTS; part++) {
        el_buf_deinit(&p->kept[part]);
        el_buf_deinit(&p->offered[part].lines);
        free(p->path[part]);
        p->path[part] = NULL;
    }
    EL_ASSERT(pthread_mutex_destroy(&p->mtx) == 0);
}

void proxy_pushed_offer(void *arg, const struct disc_cp_settings *settings)
{
    struct proxy_pushed *p = (struct proxy_pushed *)arg;
    struct disc_cp_settings *to = &p->offered[settings->part];

    EL_ASSERT(pthread_mutex_lock(&p->mtx) == 0);
    el_buf_clear(&to->lines);
    el_buf_add_str(&to->lines, el_buf_str(&settings->lines));
    to->part = settings->part;
    to->version = settings->version;
    memcpy(to->error, settings->error, sizeof(to->error));
    EL_ASSERT(pthread_mutex_unlock(&p->mtx) == 0);
    EL_ASSERT(kill(getpid(), SIGHUP) == 0);
}

bool proxy_pushed_take(struct proxy_pushed *p, struct disc_cp_settings *ret)
{
    bool is_new = false;

    EL_ASSERT(pthread_mutex_lock(&p->mtx) == 0);
    for (size_t i = 0; i < DISC_CP_PARTS && !is_new; i++) {
        is_new = p->offered[i].version > 0;
        if (is_new) {
            *ret = p->offered[i];
            p->offered[i] = (struct disc_cp_settings){ .version = 0 };
        }
    }
    EL_ASSERT(pthread_mutex_unlock(&p->mtx) == 0);
    return is_new;
}

bool proxy_pushed_runs(const struct proxy_pushed *p, const struct disc_cp_settings *settings)
{
    bool is_keys = settings->part == DISC_CP_KEYS;
    uint64_t version = is_keys ? p->ran.version : p->ran.policy_version;
    const char *error = is_keys ? p->ran.error : p->ran.policy_error;

    return version == settings->version && error[0] == '\0' && settings->error[0] == '\0' &&
           el_str_eq(el_buf_str(&p->kept[settings->part]), el_buf_str(&settings->lines));
}

void proxy_pushed_lines(const struct proxy_pushed *p, const struct disc_cp_settings *fresh,
                        struct el_buf *ret)
{
    for (enum disc_cp_part part = 0; part < DISC_CP_PARTS; part++)
        el_buf_add_str(ret, fresh != NULL && fresh->part == part ? el_buf_str(&fresh->lines)
                                                                 : el_buf_str(&p->kept[part]));
}

/* When it cannot be written, the node asks again after its next start. */
static void write_file(struct proxy_pushed *p, enum disc_cp_part part, uint64_t version)
{
    struct el_error err = { 0 };
    struct el_buf text = { 0 };

    el_buf_addf(&text, "%s%llu\n", WORD, (unsigned long long)version);
    el_buf_add_str(&text, el_buf_str(&p->kept[part]));
    if (el_file_replace(WHAT, p->path[part], el_buf_str(&text), &err) != EL_OK)
        el_log_error(EL_WARN, EV_CONF_PUSHED, &err);
    el_buf_deinit(&text);
}

void proxy_pushed_keep(struct proxy_pushed *p, const struct disc_cp_settings *settings)
{
    struct el_buf *kept = &p->kept[settings->part];

    el_buf_clear(kept);
    el_buf_add_str(kept, el_buf_str(&settings->lines));
    write_file(p, settings->part, settings->version);
}

void proxy_pushed_note(struct proxy_pushed *p, enum disc_cp_part part, uint64_t version,
                       const char *error)
{
    char *to = part == DISC_CP_KEYS ? p->ran.error : p->ran.policy_error;

    if (version != PROXY_PUSHED_KEPT)
        *version_of(&p->ran, part) = version;
    (void)snprintf(to, sizeof(p->ran.error), "%.159s", error);
}

void proxy_pushed_wait_for(void *arg, const char *key)
{
    struct disc_cp_ran *ran = (struct disc_cp_ran *)arg;

    el_log(EL_WARN, EV_CONF_IGNORED, "key=%s advice=\"restart to apply it\"", key);
    if (ran->n_pending < DISC_CP_PENDING)
        (void)snprintf(ran->pending[ran->n_pending++], sizeof(ran->pending[0]), "%s", key);
}
