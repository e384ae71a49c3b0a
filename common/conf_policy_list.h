/* SPDX-License-Identifier: MIT */
/*
 * Every key of a [policy PREFIX] section, in the columns of conf_list.h. A key that a section does
 * not set has no value there: the help says what holds instead. All are applied by a reload.
 */
/* clang-format off */
EL_CONF_ENUM(policy, auth, 0, "origin|trust|deny", 1, NULL, "who may read what is cached: origin: whom the origin lets; trust: whoever reaches the node; deny: nobody, every request is answered with 403; not set: auth.mode")
EL_CONF_ENUM(policy, grant, 0, "object|prefix", 1, NULL, "with keys of auth.keys_file: what the origin's yes to a key is good for, the object or everything below PREFIX; not set: object")
EL_CONF_INT(policy, grant_ttl, 30, 0, 3600, 1, NULL, "seconds for which the origin's yes is good; 0: it is asked each time; not set: auth.grant_ttl_s")
EL_CONF_INT(policy, freshness, 10, 0, 31536000, 1, NULL, "seconds for which an object of an object store without Cache-Control is fresh; not set: cache.freshness_s")
EL_CONF_INT(policy, ttl, 0, 0, 31536000, 1, NULL, "seconds for which an answer is fresh, whatever lifetime the origin gave it; no-cache, no-store and private keep their meaning; not set: the origin's")
EL_CONF_BOOL(policy, immutable, 0, 1, NULL, "what is cached is never asked about again for being old; not set: no")
EL_CONF_INT(policy, max_object_mb, 0, 1, 1073741824, 1, NULL, "objects that their origin says are longer, MiB, pass through uncached; not set: no limit")
EL_CONF_BOOL(policy, bypass, 0, 1, NULL, "requests pass through uncached; not set: no")
/* clang-format on */
