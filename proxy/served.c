/* SPDX-License-Identifier: MIT */
/* served: see served.h. */
#include "proxy/served.h"

#include <pthread.h>
#include <stdio.h>

#define KEPT       256u
#define MAX_CLIENT 64u /* an address and a port */

struct one {
    char client[MAX_CLIENT]; /* "": none */
    struct proxy_served_by by;
};

struct proxy_served {
    pthread_mutex_t mtx; /* leaf */
    struct one v[KEPT];  /* under mtx: a ring */
    size_t next;         /* the same */
};

struct proxy_served *proxy_served_new(void)
{
    struct proxy_served *s = el_new(struct proxy_served);

    EL_ASSERT(pthread_mutex_init(&s->mtx, NULL) == 0);
    return s;
}

void proxy_served_free(struct proxy_served *s)
{
    if (s == NULL)
        return;
    EL_ASSERT(pthread_mutex_destroy(&s->mtx) == 0);
    free(s);
}

void proxy_served_note(struct proxy_served *s, const char *client, const struct proxy_served_by *by)
{
    struct one *o;

    EL_ASSERT(pthread_mutex_lock(&s->mtx) == 0);
    o = &s->v[s->next++ % KEPT];
    (void)snprintf(o->client, sizeof(o->client), "%s", client);
    o->by = *by;
    EL_ASSERT(pthread_mutex_unlock(&s->mtx) == 0);
}

bool proxy_served_find(struct proxy_served *s, struct el_str client, struct proxy_served_by *ret)
{
    bool is_known = false;

    EL_ASSERT(pthread_mutex_lock(&s->mtx) == 0);
    for (size_t i = 1; i <= KEPT && !is_known; i++) {
        const struct one *o = &s->v[(s->next + KEPT - i) % KEPT];

        is_known = o->client[0] != '\0' && el_str_eq(el_str_of(o->client), client);
        if (is_known)
            *ret = o->by;
    }
    EL_ASSERT(pthread_mutex_unlock(&s->mtx) == 0);
    return is_known;
}
