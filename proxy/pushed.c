/* SPDX-License-Identifier: MIT */
/* pushed: see pushed.h. The file: a line "version N", then lines section.key=VALUE. */
#include "proxy/pushed.h"

#include <signal.h>
#include <unistd.h>

#include "common/conf_push.h"
#include "common/file.h"
#include "common/log.h"

#define WHAT  "the pushed configuration"
#define WORD  "version "
#define EXTRA 64u /* bytes of the first line */

static enum el_err parse(struct proxy_pushed *p, struct el_str text, struct el_error *err)
{
    struct el_str word = EL_STR(WORD), line;

    if (!el_str_split(&text, '\n', &line) || !el_str_starts(line, word) ||
        !el_str_u64(el_str_from(line, word.n), INT64_MAX, &p->ran.version))
        return el_fail(err, EL_ECONF, 0, "%s %s does not begin with its version", WHAT, p->path);
    el_buf_add_str(&p->kept, text);
    return EL_OK;
}

void proxy_pushed_init(struct proxy_pushed *p, const char *state_dir)
{
    struct el_buf path = { 0 }, text = { 0 };
    struct el_error err = { 0 };
    enum el_err rc = EL_OK;

    *p = (struct proxy_pushed){ .path = NULL };
    EL_ASSERT(pthread_mutex_init(&p->mtx, NULL) == 0);
    el_buf_addf(&path, "%s/pushed.conf", state_dir);
    p->path = el_buf_take(&path);
    if (access(p->path, F_OK) != 0)
        return;
    rc = el_file_read(WHAT, p->path, EL_PUSHED_MAX + EXTRA, &text, NULL, &err);
    if (rc == EL_OK)
        rc = parse(p, el_buf_str(&text), &err);
    if (rc != EL_OK)
        el_log_error(EL_WARN, EV_CONF_PUSHED, &err);
    el_buf_deinit(&text);
}

void proxy_pushed_deinit(struct proxy_pushed *p)
{
    if (p->path == NULL)
        return;
    el_buf_deinit(&p->kept);
    el_buf_deinit(&p->offered.lines);
    free(p->path);
    p->path = NULL;
    EL_ASSERT(pthread_mutex_destroy(&p->mtx) == 0);
}

void proxy_pushed_offer(void *arg, const struct disc_cp_settings *settings)
{
    struct proxy_pushed *p = (struct proxy_pushed *)arg;

    EL_ASSERT(pthread_mutex_lock(&p->mtx) == 0);
    el_buf_clear(&p->offered.lines);
    el_buf_add_str(&p->offered.lines, el_buf_str(&settings->lines));
    p->offered.version = settings->version;
    memcpy(p->offered.error, settings->error, sizeof(p->offered.error));
    EL_ASSERT(pthread_mutex_unlock(&p->mtx) == 0);
    EL_ASSERT(kill(getpid(), SIGHUP) == 0);
}

bool proxy_pushed_take(struct proxy_pushed *p, struct disc_cp_settings *ret)
{
    EL_ASSERT(pthread_mutex_lock(&p->mtx) == 0);
    *ret = p->offered;
    p->offered = (struct disc_cp_settings){ .version = 0 };
    el_buf_init(&p->offered.lines);
    EL_ASSERT(pthread_mutex_unlock(&p->mtx) == 0);
    if (ret->version > 0)
        return true;
    el_buf_deinit(&ret->lines);
    return false;
}

bool proxy_pushed_runs(const struct proxy_pushed *p, const struct disc_cp_settings *settings)
{
    return p->ran.version == settings->version && p->ran.error[0] == '\0' &&
           settings->error[0] == '\0' &&
           el_str_eq(el_buf_str(&p->kept), el_buf_str(&settings->lines));
}

/* When it cannot be written, the node asks again after its next start. */
static void write_file(struct proxy_pushed *p, uint64_t version)
{
    struct el_error err = { 0 };
    struct el_buf text = { 0 };

    el_buf_addf(&text, "%s%llu\n", WORD, (unsigned long long)version);
    el_buf_add_str(&text, el_buf_str(&p->kept));
    if (el_file_replace(WHAT, p->path, el_buf_str(&text), &err) != EL_OK)
        el_log_error(EL_WARN, EV_CONF_PUSHED, &err);
    el_buf_deinit(&text);
}

void proxy_pushed_keep(struct proxy_pushed *p, const struct disc_cp_settings *settings)
{
    el_buf_clear(&p->kept);
    el_buf_add_str(&p->kept, el_buf_str(&settings->lines));
    write_file(p, settings->version);
}

void proxy_pushed_wait_for(void *arg, const char *key)
{
    struct disc_cp_ran *ran = (struct disc_cp_ran *)arg;

    el_log(EL_WARN, EV_CONF_IGNORED, "key=%s advice=\"restart to apply it\"", key);
    if (ran->n_pending < DISC_CP_PENDING)
        (void)snprintf(ran->pending[ran->n_pending++], sizeof(ran->pending[0]), "%s", key);
}
