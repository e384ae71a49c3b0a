# SPDX-License-Identifier: MIT
"""What nodes make of a control plane that is there, is not, dies, hangs, lies, and forgets."""
import pytest

import wire
from checks import is_exact, is_part
from cluster import HOST, Cluster, peers
from content import MIB
from controlplane import ControlPlane
from ports import free_ports
from tier import wait_for

SIZE = 40 * MIB + 7  # three chunks


@pytest.fixture
def plane():
    with ControlPlane() as cp:
        yield cp


@pytest.fixture
def cluster(origin):
    them = []

    def make(n, endpoint, **options):
        them.append(Cluster(n, origin, control_plane__endpoint=endpoint, discovery__seeds="", **options))
        return them[-1]

    yield make
    for c in them:
        c.close()


def told(node):
    return node.status()["control_plane"]


def lines(node, tag):
    return [line for line in node.log().splitlines() if f" {tag} " in line]


def is_in(node, state, timeout=20):
    wait_for(lambda: told(node)["state"] == state, timeout, why=lambda: f"{told(node)}\n{node.log()}")


# ---- it is there ----

def test_nodes_find_each_other_through_it_alone(origin, plane, cluster):
    c = cluster(3, plane.endpoint)
    for node in c.nodes:
        is_in(node, "connected")
        s = node.status()
        assert s["mode"] == "control_plane" and s["ready"]
        assert s["control_plane"]["best_endpoint"] == plane.endpoint
        assert s["control_plane"]["last_ok"] and s["control_plane"]["latency_ms"] > 0
        wait_for(lambda: told(node)["cluster_size"] == 3 and told(node)["peers_known"] == 2, 60, why=lambda: told(node))
    assert "control_plane" in {p["source"] for node in c.nodes for p in peers(node)}
    origin.add("/a", size=SIZE)
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    c.assert_read_once("/a", SIZE)


def test_as_long_as_it_answers_few_others_are_enough(origin, plane, cluster):
    c = cluster(2, plane.endpoint, discovery__min_peers=2)
    wait_for(lambda: all(node.status()["p2p"]["asks_others"] for node in c.nodes))
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    origin.forget()
    is_exact(c.get(1, "/a"), origin.content("/a"))
    assert origin.requests("/a") == []
    plane.kill()
    wait_for(lambda: not any(node.status()["p2p"]["asks_others"] for node in c.nodes), 60)
    origin.add("/b", size=SIZE)
    for i in range(2):
        is_exact(c.get(i, "/b"), origin.content("/b"))
    assert origin.body_sent("/b") == 2 * SIZE
    plane.start()
    wait_for(lambda: all(node.status()["p2p"]["asks_others"] for node in c.nodes), 60)


def test_it_knows_which_chunks_a_node_has(origin, plane, cluster):
    c = cluster(2, plane.endpoint)
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    wait_for(lambda: len(plane.chunks_of("node-0")) == 3)
    assert plane.chunks_of("node-1") == set()
    is_exact(c.get(1, "/a"), origin.content("/a"))
    wait_for(lambda: plane.chunks_of("node-1") == plane.chunks_of("node-0"))
    assert c.nodes[0].status()["control_plane"]["chunks"] == 3
    wait_for(lambda: plane.state.beats[plane.id_of("node-1")]["bytes"]["peer"] == SIZE)


def test_a_node_alone_with_it_reports_too(origin, plane, start, tmp_path):
    node = start(control_plane__endpoint=plane.endpoint, general__state_dir=tmp_path / "state", p2p__listen_port=0,
                 storage__retry_backoff_ms=10)
    origin.add("/a", size=3 * MIB)
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    wait_for(lambda: len(plane.chunks_of("node-under-test")) == 1)


def test_what_is_forgotten_is_reported(origin, plane, cluster):
    c = cluster(2, plane.endpoint)
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    wait_for(lambda: len(plane.chunks_of("node-0")) == 3)
    wire.fetch(c.nodes[0].admin_port, f"/api/v1/cache/purge?url={origin.url}/a", method="POST")
    wait_for(lambda: plane.chunks_of("node-0") == set())


def test_who_stops_says_so(plane, cluster):
    c = cluster(2, plane.endpoint)
    is_in(c.nodes[1], "connected")
    gone = plane.id_of("node-1")
    c.stop(1)
    assert plane.state.beats[gone]["online"] is False


# ---- it is not ----

def serves(c, origin, name):
    origin.add(name, size=SIZE)
    for r in c.get_all(name, nodes=[i for i, n in enumerate(c.nodes) if n.process.poll() is None]):
        is_exact(r, origin.content(name))


def test_absent_from_the_start_it_is_missed_once_and_found_later(origin, cluster):
    cp = ControlPlane()
    c = cluster(2, cp.endpoint, wait=False)
    for i in range(2):
        is_in(c.nodes[i], "gossip_only")
        assert c.nodes[i].status()["mode"] == "gossip"
        assert c.nodes[i].status()["ready"]
        is_exact(c.get(i, "/bytes/1000/alone"), origin.content("/bytes/1000/alone"))
    with cp:
        c.wait_until_known()
        for node in c.nodes:
            is_in(node, "connected")
        serves(c, origin, "/a")
    for node in c.nodes:
        assert len(lines(node, "controlplane.lost")) == 1, node.log()
        assert len(lines(node, "controlplane.connected")) == 1, node.log()


@pytest.mark.parametrize("mode", ["dies", "hang", "garbage", "wrong", "huge", "other", "fails"])
def test_nodes_serve_on_without_it_and_come_back_by_themselves(origin, plane, cluster, mode):
    c = cluster(3, plane.endpoint)
    for node in c.nodes:
        is_in(node, "connected")
    if mode == "dies":
        plane.kill()
    else:
        plane.mode = mode
    serves(c, origin, "/a")
    for node in c.nodes:
        is_in(node, "gossip_only")
    assert all(n.status()["ready"] and len(peers(n)) == 2 for n in c.nodes)
    serves(c, origin, "/b")
    c.assert_read_once("/b", SIZE)
    plane.mode = "well"
    if mode == "dies":
        plane.start()
    for node in c.nodes:
        is_in(node, "connected")
        assert len(lines(node, "controlplane.lost")) == 1, node.log()
        assert len(lines(node, "controlplane.connected")) == 2, node.log()
    m = c.nodes[0].metrics()
    assert m["eliop2p_control_plane_failures_total"] > 0
    assert (m["eliop2p_control_plane_malformed_total"] > 0) == (mode in ("garbage", "wrong", "huge"))
    assert (m["eliop2p_control_plane_refused_total"] > 0) == (mode == "other")
    wait_for(lambda: len(plane.chunks_of("node-0")) == 6)


def test_started_empty_it_knows_everything_again_within_15_seconds(origin, plane, cluster):
    c = cluster(3, plane.endpoint)
    serves(c, origin, "/a")
    names = [f"node-{i}" for i in range(3)]
    wait_for(lambda: all(len(plane.chunks_of(n)) == 3 for n in names))
    plane.kill()
    plane.start()
    wait_for(lambda: all(len(plane.chunks_of(n)) == 3 for n in names), 15)


def test_one_that_forgets_without_a_break_is_told_again(plane, cluster, origin):
    c = cluster(2, plane.endpoint)
    serves(c, origin, "/a")
    wait_for(lambda: len(plane.chunks_of("node-0")) == 3)
    with plane.lock:
        plane.state.__init__()
    wait_for(lambda: len(plane.chunks_of("node-0")) == 3, 15)


def test_of_two_one_may_die(origin, plane, cluster):
    with ControlPlane() as other:
        other.state = plane.state  # as with one store behind both
        c = cluster(2, f"{plane.endpoint},{other.endpoint}")
        for node in c.nodes:
            is_in(node, "connected")
        first, second = (plane, other) if told(c.nodes[0])["best_endpoint"] == plane.endpoint else (other, plane)
        first.kill()
        wait_for(lambda: told(c.nodes[0])["best_endpoint"] == second.endpoint)
        is_in(c.nodes[0], "connected")
        serves(c, origin, "/a")
        wait_for(lambda: len(second.chunks_of("node-0")) == 3)
        assert not lines(c.nodes[0], "controlplane.lost")


def test_gossip_alone_leaves_it_alone(plane, start, tmp_path):
    port = free_ports(1)[0]
    node = start(control_plane__endpoint=plane.endpoint, discovery__mode="gossip", discovery__seeds=f"{HOST}:{port}",
                 general__state_dir=tmp_path / "state", p2p__listen_port=port)
    assert node.status()["mode"] == "gossip" and plane.calls == []


# ---- commands ----

def chunk_of(plane, name):
    wait_for(lambda: len(plane.chunks_of(name)) > 0)
    return sorted(plane.chunks_of(name), key=lambda c: c[-8:])[0]


def outcome(plane, command):
    wait_for(lambda: command in plane.state.acks, why=lambda: plane.state.acks)
    return plane.state.acks[command]


def test_a_chunk_is_replicated_from_a_peer_alone(origin, plane, cluster):
    c = cluster(3, plane.endpoint)
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    chunk = chunk_of(plane, "node-0")
    origin.forget()
    command = plane.order("replicate", chunk, plane.id_of("node-1"), plane.id_of("node-0"))
    assert outcome(plane, command) == ("done", "")
    wait_for(lambda: plane.chunks_of("node-1") == {chunk})
    assert origin.requests("/a") == []
    command = plane.order("replicate", chunk, plane.id_of("node-2"))  # from wherever it is
    assert outcome(plane, command) == ("done", "")
    c.stop(0)
    is_part(c.get(1, "/a", [("Range", "bytes=0-999")]), origin.content("/a"), 0, 1000)


def test_what_nobody_has_is_not_replicated(plane, cluster):
    c = cluster(2, plane.endpoint)
    is_in(c.nodes[0], "connected")
    command = plane.order("replicate", "0" * 32 + "-00000000", plane.id_of("node-0"), plane.id_of("node-1"))
    assert outcome(plane, command)[0] == "failed"


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_copy_is_evicted_but_never_the_last(origin, plane, cluster, on_disk):
    c = cluster(2, plane.endpoint)
    if on_disk:
        c.stop(0)
        c.start(0, cache__disk_cache_size_mb=256, cache__disk_cache_path=c.dir / "disk", cache__disk_commit_ms=50)
    serves(c, origin, "/a")
    if on_disk:
        wait_for(lambda: c.nodes[0].status()["cache"]["disk"]["stores"][0]["written_blocks"] == 41)
    wait_for(lambda: len(plane.chunks_of("node-0")) == len(plane.chunks_of("node-1")) == 3)
    chunk = chunk_of(plane, "node-0")
    assert outcome(plane, plane.order("evict", chunk, plane.id_of("node-0"))) == ("done", "")
    wait_for(lambda: len(plane.chunks_of("node-0")) == 2)
    status, message = outcome(plane, plane.order("evict", chunk, plane.id_of("node-1")))
    assert status == "failed" and message
    with plane.lock:  # a lie about who has it changes nothing
        plane.state.chunks[plane.id_of("node-0")].add(chunk)
    assert outcome(plane, plane.order("evict", chunk, plane.id_of("node-1")))[0] == "failed"
    assert chunk in plane.chunks_of("node-1")
    origin.forget()
    is_exact(c.get(0, "/a"), origin.content("/a"))
    assert origin.body_sent("/a") == 0


def test_a_move_leaves_one_copy_at_its_target(origin, plane, cluster):
    c = cluster(3, plane.endpoint)
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    chunk = chunk_of(plane, "node-0")
    command = plane.order("migrate", chunk, plane.id_of("node-1"), plane.id_of("node-0"))
    assert outcome(plane, command) == ("done", "")
    wait_for(lambda: chunk not in plane.chunks_of("node-0"))
    assert chunk in plane.chunks_of("node-1")


def test_a_command_to_read_what_has_a_newer_version_here_is_refused(origin, plane, cluster):
    c = cluster(2, plane.endpoint)
    origin.add("/a", size=3 * MIB)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    chunk = chunk_of(plane, "node-0")
    origin.add("/a", size=3 * MIB, version=2)
    r = c.get(1, "/a", [("Cache-Control", "no-cache")])
    assert r.status == 200
    command = plane.order("replicate", chunk, plane.id_of("node-1"), plane.id_of("node-0"))
    assert outcome(plane, command)[0] == "failed"
