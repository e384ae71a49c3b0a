/* SPDX-License-Identifier: MIT */
/* mdb_map: see mdb_map.h. */
#include "common/mdb_map.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES ((size_t)EL_MIB)

/* Of the file with the pages; 0 when there is none. */
static uint64_t file_bytes(const struct el_mdb_map_conf *conf)
{
    const char *file = conf->flags & MDB_NOSUBDIR ? "" : "/data.mdb";
    char name[PATH_MAX];
    struct stat st;
    int n = snprintf(name, sizeof(name), "%s%s", conf->path, file);

    return n > 0 && n < PATH_MAX && stat(name, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void choose_bytes(struct el_mdb_map *m, const struct el_mdb_map_conf *conf)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    m->bytes = el_max_u64((m->bytes + page - 1) / page * page, file_bytes(conf) / page * page);
}

static int read_whole(int fd, uint64_t bytes)
{
    char *room = el_try_alloc(READ_BYTES);
    uint64_t at = 0;
    ssize_t n = 1;

    if (room == NULL)
        return ENOMEM;
    while (at < bytes && (n = pread(fd, room, READ_BYTES, (off_t)at)) > 0)
        at += (uint64_t)n;
    n = n < 0 ? errno : 0;
    free(room);
    return (int)n;
}

static int check_length(const struct el_mdb_map *m, bool is_read_whole)
{
    MDB_envinfo info;
    MDB_stat shape;
    struct stat st;
    uint64_t named;
    int fd, code = mdb_env_get_fd(m->env, &fd);

    if (code == 0)
        code = mdb_env_info(m->env, &info);
    if (code == 0)
        code = mdb_env_stat(m->env, &shape);
    if (code != 0)
        return code;
    if (fstat(fd, &st) != 0)
        return errno;
    named = ((uint64_t)info.me_last_pgno + 1) * shape.ms_psize;
    if ((uint64_t)st.st_size < named)
        return MDB_CORRUPTED;
    if ((uint64_t)st.st_size < info.me_mapsize && ftruncate(fd, (off_t)info.me_mapsize) != 0)
        return errno;
    return is_read_whole ? read_whole(fd, named) : 0;
}

int el_mdb_map_open(struct el_mdb_map *m, const struct el_mdb_map_conf *conf)
{
    int code;

    EL_ASSERT(m->env == NULL);
    code = mdb_env_create(&m->env);
    if (code != 0)
        return code;
    choose_bytes(m, conf);
    (void)mdb_env_set_userctx(m->env, conf->arg);       /* these three cannot fail */
    (void)mdb_env_set_assert(m->env, conf->on_assert);  /* before the environment */
    (void)mdb_env_set_maxdbs(m->env, conf->max_tables); /* is open */
    code = mdb_env_set_mapsize(m->env, (size_t)m->bytes);
    if (code == 0)
        code = mdb_env_open(m->env, conf->path, conf->flags, 0600);
    if (code == 0)
        code = check_length(m, conf->is_read_whole);
    if (code != 0)
        el_mdb_map_close(m);
    return code;
}

int el_mdb_map_grow(struct el_mdb_map *m)
{
    uint64_t bytes = 2 * m->bytes;
    int fd, code = mdb_env_get_fd(m->env, &fd);

    if (code == 0 && ftruncate(fd, (off_t)bytes) != 0)
        code = errno;
    if (code != 0)
        return code;
    code = mdb_env_set_mapsize(m->env, (size_t)bytes);
    if (code == 0) {
        m->bytes = bytes;
        return 0;
    }
    (void)ftruncate(fd, (off_t)m->bytes); /* or else open() wants a map that is too large again */
    el_mdb_map_close(m);                  /* it has none any more */
    return code;
}

uint64_t el_mdb_map_used(MDB_txn *txn, const MDB_dbi *tables, size_t n)
{
    uint64_t used = 0;
    MDB_stat s;

    for (size_t i = 0; i < n; i++) {
        if (mdb_stat(txn, tables[i], &s) == 0)
            used += (s.ms_branch_pages + s.ms_leaf_pages + s.ms_overflow_pages) * s.ms_psize;
    }
    return used;
}

void el_mdb_map_close(struct el_mdb_map *m)
{
    if (m->env != NULL)
        mdb_env_close(m->env);
    m->env = NULL;
}
