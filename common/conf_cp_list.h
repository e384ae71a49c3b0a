/* SPDX-License-Identifier: MIT */
/*
 * Every key of eliocp; the columns are those of conf_list.h. What has an alias has a short option
 * as well: ELIOCP_DATA_DIR is --data-dir.
 */
/* clang-format off */
EL_CONF_INT(service, port, 8081, 0, 65535, 0, "ELIOCP_PORT", "port of the service; 0: any free one. The variable PORT is taken too when no other says it")
EL_CONF_STR(service, bind_address, "0.0.0.0", 0, "ELIOCP_BIND", "address of the service; as long as there is no token it is only reached on the loopback interface, whatever stands here")
EL_CONF_STR(service, cluster_id, "default", 0, "ELIOCP_CLUSTER_ID", "name of the cluster: nodes of another one are refused")
EL_CONF_STR(service, data_dir, "/var/lib/eliocp", 0, "ELIOCP_DATA_DIR", "where the service keeps its state and its backups, with the store sqlite")
EL_CONF_STR(service, store, "sqlite", 0, "ELIOCP_STORE", "where the state is: sqlite, in data_dir; or redis://HOST:PORT[,HOST:PORT...], shared with other eliocp; rediss:// and the same: in TLS")
EL_CONF_STR(service, redis_password_file, "", 0, NULL, "file with the password of Redis; empty: none")
EL_CONF_STR(service, redis_ca_file, "", 0, NULL, "PEM certificates that the certificate of Redis has to be signed by, with rediss://; empty: the system's")
EL_CONF_STR(service, redis_tls_cert, "", 0, NULL, "PEM chain of this eliocp, for a Redis that wants one (tls-auth-clients)")
EL_CONF_STR(service, redis_tls_key, "", 0, NULL, "PEM key of redis_tls_cert")
EL_CONF_INT(service, redis_wait_replicas, 0, 0, 10, 0, NULL, "an acknowledged change is on so many replicas of Redis as well")
EL_CONF_ENUM(service, log_level, 2, "error|warn|info|debug", 1, "ELIOCP_LOG_LEVEL", "lines below this level are not written")
EL_CONF_ENUM(service, log_format, 0, "text|json", 1, "ELIOCP_LOG_FORMAT", "form of a log line")
EL_CONF_STR(service, tls_cert, "", 0, NULL, "PEM chain; with tls_key the port speaks TLS")
EL_CONF_STR(service, tls_key, "", 0, NULL, "PEM key of tls_cert")
EL_CONF_STR(service, cors_origins, "", 0, NULL, "web pages of these origins may ask: comma separated, as in https://console.example; *: any; empty: none")
EL_CONF_INT(service, max_connections, 16384, 16, 1000000, 0, NULL, "connections at a time; one more drops the oldest")
EL_CONF_INT(service, idle_timeout_ms, 120000, 1000, 3600000, 0, NULL, "a connection without a whole request for so long is closed")
EL_CONF_INT(service, drain_timeout_ms, 5000, 0, 600000, 0, NULL, "after SIGTERM running requests get this long")
EL_CONF_INT(service, events_kept, 10000, 100, 1000000, 0, NULL, "events that can still be asked for")
EL_CONF_INT(service, backup_interval_s, 0, 0, 31536000, 0, NULL, "a backup to data_dir so often, with the store sqlite; 0: only when asked for")
EL_CONF_INT(service, backups_kept, 7, 1, 10000, 0, NULL, "backups that are kept; older ones are removed")

EL_CONF_STR(access, tokens_file, "", 0, NULL, "who may use the service: lines TOKEN ROLE, where TOKEN may be sha256: and its SHA-256 in hexadecimal, and ROLE is reader, operator or node; besides those made at run time. Empty, and none made: the loopback interface only, and whoever reaches it may do everything")

EL_CONF_INT(liveness, heartbeat_ms, 10000, 100, 600000, 0, NULL, "how often nodes are told to say that they live; after three missed a node is suspect")
EL_CONF_INT(liveness, dead_ms, 90000, 500, 3600000, 0, NULL, "a node that says nothing for so long is dead: nobody is sent to it")
EL_CONF_INT(liveness, forget_ms, 300000, 1000, 86400000, 0, NULL, "and after so long it is forgotten")
EL_CONF_INT(liveness, probe_ms, 0, 0, 3600000, 0, NULL, "how often the API of each node is asked whether it answers, by HTTP from here; 0: never. Not for nodes that cannot be reached from here")
EL_CONF_INT(liveness, probe_failures, 3, 1, 1000, 0, NULL, "a node that has not answered so many times in a row is reported as out of reach; it is not dead while its heartbeats come")

EL_CONF_INT(replication, min_copies, 2, 0, 100, 0, NULL, "copies of a chunk that there should be at least")
EL_CONF_INT(replication, max_copies, 5, 1, 100, 0, NULL, "and at most; what is asked for often gets more of them")
EL_CONF_BOOL(replication, enable, 1, 0, NULL, "decide on copies at all")

EL_CONF_INT(alerts, origin_errors, 10, 1, 1000000, 0, NULL, "alert when so many requests of a node to origins fail within a minute")
EL_CONF_INT(alerts, egress_percent, 50, 1, 100, 0, NULL, "alert when more than this share of all bytes that nodes give comes from origins")

EL_CONF_STR(webhooks, urls, "", 0, NULL, "URLs that are called with events, by POST: comma separated; empty: none")
EL_CONF_SECRET(webhooks, secret, 0, NULL, "what these calls are signed with: HMAC-SHA-256 of the body in X-Elio-Signature; empty: they are not")
EL_CONF_STR(webhooks, events, "node_down,alert", 0, NULL, "which events: their types, comma separated; empty: all")
/* clang-format on */
