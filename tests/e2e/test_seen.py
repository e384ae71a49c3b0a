# SPDX-License-Identifier: MIT
"""What users and operators see of a cluster: X-Cache, the access log, status, commands."""
import json
import subprocess

import pytest

from cluster import Cluster
from content import MIB
from node import ELIONODE
from origin import Origin
from tier import wait_for


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "access.log"
    origin = Origin()
    try:
        with Cluster(2, origin, proxy__access_log=log) as c:
            c.log = log
            yield c
    finally:
        origin.close()


def is_exact(cluster, answer, path):
    return answer.status == 200 and answer.complete and cluster.origin.content(path).differs_at(0, answer.body) is None


def lines(cluster, target, n):
    """Of the access log of all nodes, in no order; it is written once a second."""
    def found():
        return [l for l in cluster.log.read_text().splitlines() if f"{target} " in l]
    wait_for(lambda: len(found()) == n, 10)
    return found()


# ---- X-Cache ----

def read_by_both(cluster, path):
    """Node 0 from the origin, then node 1: what that said, and its line in the access log."""
    first = cluster.get(0, path)
    assert is_exact(cluster, first, path) and first.x_cache == "MISS"
    r = cluster.get(1, path)
    assert is_exact(cluster, r, path)
    return r, max(lines(cluster, path, 2))


def test_what_only_a_peer_gave_is_p2p_in_the_answer_and_in_the_log(cluster):
    before = cluster.nodes[1].metrics()
    for i in range(10):  # on a busy machine a peer may be slow, and the origin gives a part
        path = f"/bytes/{4 * MIB}/given-{i}"
        r, line = read_by_both(cluster, path)
        assert (" cache=P2P " in line) == (f" peer_bytes={4 * MIB}" in line), line
        if " cache=P2P " in line:
            break
    assert " cache=P2P " in line
    assert r.x_cache == "P2P" and "; fwd=partial; detail=peer" in r.get("Cache-Status")
    after = cluster.nodes[1].metrics()
    for name, n in (('eliop2p_proxy_requests_total{x_cache="p2p"}', 1), ('eliop2p_tier_bytes_total{tier="peer"}', 4 * MIB)):
        assert after[name] >= before[name] + n

    again = cluster.get(1, path)
    assert is_exact(cluster, again, path) and again.x_cache == "HIT" and "; hit" in again.get("Cache-Status")


def test_what_the_origin_gave_is_a_miss_in_a_cluster_too(cluster):
    path = f"/bytes/{3 * MIB}/mine"
    r = cluster.get(1, path)
    assert is_exact(cluster, r, path) and r.x_cache == "MISS" and "; fwd=uri-miss" in r.get("Cache-Status")
    line, = lines(cluster, path, 1)
    assert " cache=MISS " in line and "peer_bytes" not in line


def test_the_log_says_p2p_of_those_only_who_read_nothing_from_the_origin(cluster):
    path = f"/bytes/{40 * MIB}/shared"
    for r in cluster.get_all(path):
        assert is_exact(cluster, r, path)
    for line in lines(cluster, path, 2):
        assert (" cache=P2P " in line) == (f" peer_bytes={40 * MIB}" in line), line


# ---- the node API ----

def test_seeds_are_those_who_live_by_whom_others_may_join():
    origin = Origin()
    try:
        with Cluster(3, origin) as c:
            r = c.nodes[0].admin("/api/v1/peers/seeds")
            seeds = json.loads(r.body)
            assert r.get("Content-Type") == "application/json"
            assert sorted(s["p2p_port"] for s in seeds) == sorted(c.p2p_ports)
            by_port = {s["p2p_port"]: s for s in seeds}
            for node in c.nodes:
                seed = by_port[node.p2p_port]
                assert seed["address"] == "127.0.0.1" and seed["http_address"] == f"127.0.0.1:{node.admin_port}"
                assert seed["is_anchor"] is False and seed["zone"] == "" and len(seed["node_id"]) == 64
            status = c.nodes[0].status()
            assert status["mode"] == "gossip"
            assert status["control_plane"] == {"connected": False, "ready": True, "peers_known": 2, "cluster_size": 3}

            c.stop(2)
            c.wait_until_known()
            wait_for(lambda: len(json.loads(c.nodes[0].admin("/api/v1/peers/seeds").body)) == 2, 10)
            status = c.nodes[0].status()["control_plane"]
            assert (status["peers_known"], status["cluster_size"]) == (2, 2)
    finally:
        origin.close()


def test_of_each_member_it_is_said_where_it_was_learnt_and_how_well_it_does():
    origin = Origin()
    try:
        with Cluster(2, origin) as c:
            def others():
                return {p["name"]: p for p in c.nodes[0].status()["peers"]}
            wait_for(lambda: others()["node-1"]["health"] == 100, why=others)  # it was only heard of before
            assert others()["node-1"]["source"] == "seed"
            assert (others()["node-0"]["source"], others()["node-0"]["health"]) == ("self", 100)
            assert c.nodes[0].metrics()["eliop2p_p2p_unwell_peers"] == 0
            assert ", health 100, source seed" in elionode(c.nodes[0], "peers")
            c.crash(1)
            wait_for(lambda: others()["node-1"]["health"] < 50, why=others)
            wait_for(lambda: others()["node-1"]["state"] == "dead", 60)
            assert (others()["node-1"]["source"], others()["node-1"]["health"]) == ("seed", 0)
    finally:
        origin.close()


# ---- commands ----

def elionode(node, *args):
    p = subprocess.run([ELIONODE, *args, f"--admin=127.0.0.1:{node.admin_port}"], capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stderr
    return p.stdout


def sources(node, url):
    return [s["source"] for s in json.loads(elionode(node, "explain", url, "--json"))["sources"]]


def test_explain_names_who_would_be_asked_in_order(cluster):
    path = f"/bytes/{2 * MIB}/explained"
    url = cluster.origin.url + path
    assert sources(cluster.nodes[0], url) == ["peers", "origin"]
    assert "peers (1 other node), then origin\n" in elionode(cluster.nodes[0], "explain", url)
    assert is_exact(cluster, cluster.get(0, path), path)
    assert sources(cluster.nodes[0], url) == ["here"]
    assert "here (2 blocks)\n" in elionode(cluster.nodes[0], "explain", url)


def test_status_has_a_line_about_the_cluster(cluster, start):
    line, = (l for l in elionode(cluster.nodes[0], "status").splitlines() if l.startswith("cluster"))
    assert "2 nodes (gossip)" in line and f"port {cluster.p2p_ports[0]} with TLS" in line
    assert "works alone" in elionode(start(), "status")


def test_help_names_the_command_that_lists_the_others(cluster):
    p = subprocess.run([ELIONODE, "--help"], capture_output=True, text=True, timeout=60)
    assert "elionode peers" in p.stdout
    assert elionode(cluster.nodes[0], "peers").count(" active 127.0.0.1:") == 2
