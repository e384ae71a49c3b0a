/* SPDX-License-Identifier: MIT */
/*
 * seeds_file: addresses in a file that nodes share, and may write themselves into. Who writes takes
 * a lock beside it, writes a new file and renames it, so that who reads sees the old one or the new
 * one. The file may be on a network, so a thread reads and writes it (watch.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "discovery/watch.h"

#define MAX_BYTES   65536u
#define MAX_TIME    ((uint64_t)1 << 40)
#define ANNOUNCE_MS (DISC_FILE_TTL_S * 1000 / 3) /* a line is renewed twice before it is over */

struct line {
    struct el_str address;
    uint64_t at_s; /* 0: always */
};

struct content {
    struct disc_watch watch;
    char *path; /* immutable */
    /* under watch.mtx */
    struct el_buf text;
    char *own; /* address that is written; NULL: none yet */
    /* the thread's */
    struct stat seen;
    bool has_seen;
    int64_t announced_ms; /* 0: not yet */
};

struct file {
    struct disc_provider base;
    struct content *content;
};

/* ---- reading ---- */

/* ENOENT leaves it empty. */
static enum el_err load(const char *path, struct el_buf *text, struct el_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char bytes[4096];
    ssize_t n = 0;
    int sys;

    el_buf_clear(text);
    if (fd < 0)
        return errno == ENOENT ? EL_OK : el_fail(err, EL_ESYS, errno, "open %s", path);
    while (text->n <= MAX_BYTES && (n = read(fd, bytes, sizeof(bytes))) > 0)
        el_buf_add(text, bytes, (size_t)n);
    sys = errno;
    (void)close(fd); /* nothing was written */
    if (n < 0)
        return el_fail(err, EL_ESYS, sys, "read %s", path);
    if (text->n > MAX_BYTES) {
        el_buf_clear(text); /* its last line may be half of one */
        return el_fail(err, EL_ECONF, 0, "%s has more than %u bytes", path, MAX_BYTES);
    }
    return EL_OK;
}

/* False: the line is none that counts. */
static bool parse(struct el_str s, int64_t wall_ms, struct line *ret)
{
    size_t blank;

    s = el_str_trim(s);
    blank = el_str_find(s, ' ');
    *ret = (struct line){ .address = el_str_first(s, blank) };
    if (s.n == 0 || s.p[0] == '#' || !disc_address_ok(ret->address))
        return false;
    if (blank == s.n)
        return true;
    return el_str_u64(el_str_trim(el_str_from(s, blank)), MAX_TIME, &ret->at_s) &&
           (int64_t)(ret->at_s + DISC_FILE_TTL_S) * 1000 > wall_ms;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* ---- writing ---- */

static bool is_of(struct el_str s, struct el_str address)
{
    return el_str_starts(s, address) && (s.n == address.n || s.p[address.n] == ' ');
}

/*
 * What is in it and still counts, or is a remark. The line of `address` is written anew at its end,
 * or put there if there are not enough without it: nobody reads more than DISC_MAX_SEEDS, and a
 * large cluster would write without pause.
 */
static void renew(struct el_str old, struct el_str address, int64_t wall_ms, struct el_buf *out)
{
    struct line line;
    struct el_str s;
    bool was_there = false;
    size_t others = 0;

    while (el_str_split(&old, '\n', &s)) {
        bool is_remark = s.n > 0 && s.p[0] == '#', is_own = is_of(el_str_trim(s), address);

        was_there = was_there || is_own;
        if (is_own || (!is_remark && !parse(s, wall_ms, &line)))
            continue;
        others += !is_remark;
        el_buf_addf(out, "%.*s\n", EL_STR_ARG(s));
    }
    if (was_there || others < DISC_MAX_SEEDS)
        el_buf_addf(out, "%.*s %lld\n", EL_STR_ARG(address), (long long)(wall_ms / 1000));
}

static enum el_err write_all(int fd, struct el_str bytes, const char *path, struct el_error *err)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);

        if (n < 0 && errno != EINTR)
            return el_fail(err, EL_ESYS, errno, "write %s", path);
        bytes = el_str_from(bytes, n < 0 ? 0 : (size_t)n);
    }
    return EL_OK;
}

static enum el_err replace(const char *path, struct el_str bytes, struct el_error *err)
{
    struct el_buf next = { 0 };
    enum el_err rc;
    int fd;

    el_buf_addf(&next, "%s.next", path);
    fd = open(next.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        rc = el_fail(err, EL_ESYS, errno, "create %s", next.p);
        goto out;
    }
    rc = write_all(fd, bytes, next.p, err);
    if (close(fd) < 0 && rc == EL_OK)
        rc = el_fail(err, EL_ESYS, errno, "close %s", next.p);
    if (rc == EL_OK && rename(next.p, path) < 0)
        rc = el_fail(err, EL_ESYS, errno, "rename %s", next.p);
out:
    el_buf_deinit(&next);
    return rc;
}

enum el_err disc_file_announce(const char *path, struct el_str address, int64_t wall_ms,
                               struct el_error *err)
{
    struct el_buf name = { 0 }, old = { 0 }, text = { 0 };
    enum el_err rc;
    int lock;

    el_buf_addf(&name, "%s.lock", path);
    lock = open(name.p, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock < 0 || flock(lock, LOCK_EX) < 0) {
        rc = el_fail(err, EL_ESYS, errno, "lock %s", name.p);
        goto out;
    }
    rc = load(path, &old, err);
    if (rc != EL_OK)
        goto out;
    renew(el_buf_str(&old), address, wall_ms, &text);
    rc = replace(path, el_buf_str(&text), err);
out:
    if (lock >= 0)
        (void)close(lock); /* which gives the lock back */
    el_buf_deinit(&text);
    el_buf_deinit(&old);
    el_buf_deinit(&name);
    return rc;
}

/* ---- the thread ---- */

/* *ret_text is what is in it if that has changed since; otherwise *ret_is_new is false. */
static enum el_err refresh(struct content *c, struct el_buf *ret_text, bool *ret_is_new,
                           struct el_error *err)
{
    struct stat now;
    bool is_there = stat(c->path, &now) == 0;
    enum el_err rc;

    *ret_is_new = false;
    if (is_there && c->has_seen && is_same(&now, &c->seen))
        return EL_OK;
    rc = load(c->path, ret_text, err);
    *ret_is_new = rc == EL_OK;
    c->has_seen = is_there && rc == EL_OK;
    if (c->has_seen)
        c->seen = now;
    return rc;
}

static enum el_err announce(struct content *c, int64_t wall_ms, struct el_error *err)
{
    bool is_first = c->announced_ms == 0, is_back = wall_ms < c->announced_ms;
    enum el_err rc;
    char *own;

    if (wall_ms == 0 || (!is_first && !is_back && wall_ms - c->announced_ms < ANNOUNCE_MS))
        return EL_OK;
    disc_watch_lock(&c->watch);
    own = c->own == NULL ? NULL : el_strndup(c->own, strlen(c->own));
    disc_watch_unlock(&c->watch);
    if (own == NULL)
        return EL_OK;
    rc = disc_file_announce(c->path, el_str_of(own), wall_ms, err);
    if (rc == EL_OK)
        c->announced_ms = wall_ms;
    free(own);
    return rc;
}

/* When it cannot be read, what was in it before counts. */
static void look(struct disc_watch *w, int64_t wall_ms)
{
    struct content *c = EL_ENTRY(w, struct content, watch);
    struct el_error err = { 0 };
    struct el_buf text = { 0 };
    enum el_err written = announce(c, wall_ms, &err), rc;
    bool is_new;

    rc = refresh(c, &text, &is_new, written == EL_OK ? &err : NULL);
    disc_watch_lock(w);
    w->rc = written == EL_OK ? rc : written;
    w->err = err;
    if (is_new) {
        el_buf_deinit(&c->text);
        c->text = text;
    }
    disc_watch_unlock(w);
    if (!is_new)
        el_buf_deinit(&text);
}

static void content_free(struct disc_watch *w)
{
    struct content *c = EL_ENTRY(w, struct content, watch);

    el_buf_deinit(&c->text);
    free(c->path);
    free(c->own);
    free(c);
}

/* ---- the provider ---- */

static enum el_err file_poll(struct disc_provider *p, int64_t wall_ms, struct disc_seeds *seeds,
                             struct el_error *err)
{
    struct content *c = EL_ENTRY(p, struct file, base)->content;
    struct el_str rest, s;
    struct line line;
    enum el_err rc;

    disc_watch_lock(&c->watch);
    rest = el_buf_str(&c->text);
    while (el_str_split(&rest, '\n', &s))
        if (parse(s, wall_ms, &line))
            disc_seeds_add(seeds, line.address);
    rc = disc_watch_error_locked(&c->watch, err);
    disc_watch_ask_locked(&c->watch, wall_ms);
    disc_watch_unlock(&c->watch);
    return rc;
}

static void file_announce(struct disc_provider *p, struct el_str own)
{
    struct content *c = EL_ENTRY(p, struct file, base)->content;

    disc_watch_lock(&c->watch);
    free(c->own);
    c->own = el_strndup(own.p, own.n);
    disc_watch_unlock(&c->watch);
}

static void file_free(struct disc_provider *p)
{
    struct file *f = EL_ENTRY(p, struct file, base);

    disc_watch_stop(&f->content->watch);
    free(f);
}

enum el_err disc_provider_file(struct el_str path, struct disc_provider **ret, struct el_error *err)
{
    struct file *f;
    enum el_err rc;

    if (path.n == 0)
        return el_fail(err, EL_ECONF, 0, "a file of addresses without a name");
    f = el_new(struct file);
    f->base = (struct disc_provider){ .name = "file",
                                      .learnt = DISC_LEARNT_FILE,
                                      .poll = file_poll,
                                      .announce = file_announce,
                                      .free = file_free };
    f->content = el_new(struct content);
    f->content->path = el_strndup(path.p, path.n);
    disc_watch_init(&f->content->watch, look, content_free);
    rc = disc_watch_start(&f->content->watch, "file-seeds", err);
    if (rc != EL_OK) {
        file_free(&f->base);
        return rc;
    }
    *ret = &f->base;
    return EL_OK;
}
