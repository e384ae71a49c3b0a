/* SPDX-License-Identifier: MIT */
/* Every event tag: EL_EVENT(symbol, tag, meaning). Tags are stable; docs/operations.md is made from
 * here. */
EL_EVENT(EV_NODE_START, "node.start", "the node starts; version and addresses")
EL_EVENT(EV_NODE_READY, "node.ready", "every listener accepts")
EL_EVENT(EV_NODE_DRAIN, "node.drain", "SIGTERM: no new connections, running requests finish")
EL_EVENT(EV_NODE_STOP, "node.stop",
         "the node has stopped; how many requests were cut by the deadline")
EL_EVENT(EV_NODE_STUCK, "node.stuck",
         "the node ends although a disk still has something in hand; it counts as a crash")
EL_EVENT(EV_NODE_FAIL, "node.fail", "the node cannot start or go on")
EL_EVENT(
    EV_NODE_EXPOSED, "node.exposed",
    "a listener is bound to an address that other machines reach, and asks nobody for credentials")
EL_EVENT(EV_ADMIN_REFUSED, "admin.refused",
         "a call of the node API was refused, and why; at most once a second")
EL_EVENT(EV_ADMIN_CHANGED, "admin.changed",
         "somebody purged, pinned, unpinned or warmed through the node API")
EL_EVENT(EV_WARM_DONE, "warm.done", "a list of URLs was fetched into the cache; how many failed")
EL_EVENT(EV_TOKENS_READABLE, "admin.tokens_readable",
         "others than its owner may read or change admin.tokens_file")
EL_EVENT(EV_CONF_RELOAD, "conf.reload", "SIGHUP: the configuration was read again")
EL_EVENT(EV_CONF_PUSHED, "conf.pushed",
         "the control plane has pushed a configuration: its version, and what became of it")
EL_EVENT(EV_CONF_IGNORED, "conf.ignored", "a changed key that only a restart can apply")
EL_EVENT(EV_CACHE_OPEN, "cache.open", "the memory tier is ready; its size and kind of pages")
EL_EVENT(EV_CACHE_FULL, "cache.full", "no memory could be freed for a block: everything is in use")
EL_EVENT(EV_DISK_EMPTIED, "disk.emptied",
         "the index of a cache directory cannot be used; the directory starts empty")
EL_EVENT(EV_DISK_OPEN, "disk.open", "a cache directory is in use; its size and kind of I/O")
EL_EVENT(
    EV_DISK_LOADED, "disk.loaded",
    "the index of a cache directory was read; refused entries are dropped; clean=0: the node did not end "
    "in order, so every object is confirmed before its first use")
EL_EVENT(EV_DISK_SMALLER, "disk.smaller", "the disk has no room for the configured size")
EL_EVENT(EV_DISK_DOWN, "disk.down", "a cache directory cannot be used; the node works without it")
EL_EVENT(EV_DISK_STATE, "disk.state", "a cache directory changed between normal, degraded and down")
EL_EVENT(EV_DISK_NO_URING, "disk.no_io_uring",
         "io_uring is refused here; threads read and write instead")
EL_EVENT(EV_DISK_MISMATCH, "disk.mismatch",
         "bytes on disk are not what was written there; they are dropped and fetched again")
EL_EVENT(EV_DISK_COMMIT, "disk.commit", "the index could not be written; it is tried again")
EL_EVENT(EV_LISTEN, "proxy.listen", "a listener accepts")
EL_EVENT(EV_ACCEPT_PAUSED, "proxy.accept_paused",
         "the connection limit or the descriptor limit is reached")
EL_EVENT(EV_TLS_RELOAD, "proxy.tls_reload", "the certificate was read again")
EL_EVENT(EV_AUTH_TRUST, "auth.trust", "a policy lets whoever reaches the node read private objects")
EL_EVENT(EV_AUTH_KEYS, "auth.keys",
         "auth.keys_file was read, how many keys it has; or why it was not")
EL_EVENT(EV_AUTH_KEYS_MODE, "auth.keys_mode",
         "auth.keys_file can be read by others than its owner: chmod 600")
EL_EVENT(EV_REFUSED, "proxy.refused",
         "a request was refused by policy, and by which rule; once a second for each host")
EL_EVENT(EV_INTERCEPT, "proxy.intercepts",
         "tunnels to the listed hosts are decrypted here, with certificates of this CA")
EL_EVENT(EV_INTERCEPT_KEY, "proxy.intercept_key_readable",
         "others than its owner may read or change proxy.intercept_ca_key")
EL_EVENT(EV_PROXY_AUTH, "proxy.auth_failed",
         "a client sent wrong credentials for the proxy; at most once a second on each thread")
EL_EVENT(EV_ORIGIN_ERROR, "origin.error",
         "an origin could not give what a client asked for; once a second for each host")
EL_EVENT(EV_ORIGIN_RETRY, "origin.retry", "a read is asked for again after a failure")
EL_EVENT(EV_ORIGIN_CHANGED, "origin.changed", "an object changed while it was read")
EL_EVENT(EV_ORIGIN_CHECKSUM, "origin.checksum",
         "the bytes of an object are not what the origin says they are; nothing of it is kept")
EL_EVENT(EV_BREAKER_OPEN, "origin.breaker_open",
         "the origin fails repeatedly and is left alone for a while")
EL_EVENT(EV_BREAKER_CLOSED, "origin.breaker_closed", "the origin answers again")
EL_EVENT(EV_SIGNS, "origin.signs",
         "requests of the gateway that carry no credentials are signed with the node's own key")
EL_EVENT(EV_KEYS_READ, "origin.keys_read", "the file with the node's own key has changed")
EL_EVENT(EV_KEYS_BAD, "origin.keys_bad",
         "the file with the node's own key cannot be used; the key before stays in use")
EL_EVENT(EV_REGION, "origin.region", "a bucket is in another region than the configured one")
EL_EVENT(EV_SLOWDOWN, "origin.slowdown", "the origin asked for fewer requests (429, 503)")
EL_EVENT(
    EV_P2P_REFUSED, "p2p.refused",
    "a handshake with another node failed (wrong secret, wrong proof, another cluster, garbage), and why; at most once a second on each thread")
EL_EVENT(EV_P2P_START, "p2p.start", "the node listens for others; its id, port and address")
EL_EVENT(
    EV_P2P_COMPANY, "p2p.company",
    "from now on others are asked who has what (asks=1), or fewer live than discovery.min_peers says (asks=0)")
EL_EVENT(EV_SECRET_READABLE, "p2p.secret_readable",
         "others than its owner may read p2p.cluster_secret_file: chmod 600")
EL_EVENT(EV_SEEDS, "p2p.seeds", "where other nodes may be found could not be read")
EL_EVENT(EV_CP_CONNECTED, "controlplane.connected",
         "the control plane knows this node, and this node the cluster; also after it was lost")
EL_EVENT(EV_CP_LOST, "controlplane.lost",
         "no control plane answers, and why; nodes find each other by gossip alone")
EL_EVENT(EV_CP_SWITCH, "controlplane.switch",
         "another control plane is asked now, and what was wrong with the one before")
EL_EVENT(EV_CP_COMMAND, "controlplane.command",
         "a command of the control plane was carried out, or was not, and why")
EL_EVENT(EV_PEER_JOINED, "peer.joined", "a node is there, for the first time or again")
EL_EVENT(EV_PEER_SUSPECTED, "peer.suspected", "a node did not answer; it still counts as a member")
EL_EVENT(EV_PEER_TRUSTED, "peer.trusted", "a node that was suspected has answered")
EL_EVENT(EV_PEER_DEAD, "peer.dead", "a node is taken for dead: nobody heard of it in time")
EL_EVENT(EV_PEER_LEFT, "peer.left", "a node has said good-bye")
EL_EVENT(
    EV_PEER_CONFLICT, "peer.conflict",
    "another process has the key of this node, a copied state directory, say; it counts as the "
    "member")
EL_EVENT(EV_PEER_UNREACHABLE, "peer.unreachable", "an attempt to connect to a node failed")
EL_EVENT(EV_PEER_LINK_LOST, "peer.link_lost", "a link to a node broke")
EL_EVENT(EV_PEER_MALFORMED, "peer.malformed", "a node sent what no node sends; its link is closed")
EL_EVENT(EV_PEER_BLAMED, "peer.blamed",
         "a node sent a block that is not what its manifest says; it is asked nothing for a while")
EL_EVENT(EV_CHUNK_DISTRUSTED, "p2p.distrusted",
         "two signed manifests of a chunk contradict each other: it is not taken from peers")
EL_EVENT(EV_MANIFEST_REFUSED, "p2p.manifest_refused",
         "a node passed on hashes that no member has signed; they are not believed")
EL_EVENT(EV_RECORD_REFUSED, "p2p.record_refused",
         "what another node says of a URL was not believed, or came too late")
EL_EVENT(EV_MANIFEST_DROPPED, "p2p.manifest_dropped",
         "a node has signed parts of a chunk that do not go together too often: what it signs next "
         "is not given; once for a chunk")
EL_EVENT(EV_MANIFESTS_LOST, "p2p.manifests_lost",
         "hashes of blocks could not be written to general.state_dir, or not be read from there; "
         "these blocks are not given to others once their hashes have left memory")
EL_EVENT(EV_MANIFESTS_FULL, "p2p.manifests_full",
         "the hashes in general.state_dir take all the room they may; those of more chunks are not "
         "kept, until others have gone; once")
EL_EVENT(EV_RUN_FAILED, "p2p.run_failed",
         "the origin did not give the blocks that this node was to read for all")
EL_EVENT(EV_CP_START, "cp.start", "the control plane serves; its address, port, cluster and store")
EL_EVENT(EV_CP_OPEN, "cp.open",
         "there is no token: only this machine reaches the control plane, and may do everything")
EL_EVENT(EV_CP_DRAIN, "cp.drain", "SIGTERM: running requests finish, then it stops")
EL_EVENT(EV_CP_STOP, "cp.stop", "the control plane has stopped")
EL_EVENT(EV_CP_FAIL, "cp.fail", "the control plane cannot start or go on")
EL_EVENT(EV_CP_STORE, "cp.store", "the store does not answer, or does again")
EL_EVENT(EV_CP_REFUSED, "cp.refused",
         "a call of the control plane was refused for want of a token; at most once a second")
EL_EVENT(EV_CP_HOOK, "cp.webhook", "a webhook could not be called; it is tried again")
EL_EVENT(EV_CP_REACH, "cp.reach",
         "a node whose heartbeats come does not answer when it is asked, and why; or answers again")
EL_EVENT(EV_CP_BACKUP, "cp.backup", "a copy of the state was written, or why not")
