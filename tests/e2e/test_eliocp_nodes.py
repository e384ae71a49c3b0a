# SPDX-License-Identifier: MIT
"""Nodes and the real eliocp: they find each other through it alone, it knows what they have, and they do what it says."""
import hashlib
import json
import pathlib
from urllib.parse import quote

import pytest

from checks import is_exact
from cluster import Cluster, peers
from content import MIB
from plane import Plane
from ports import free_ports
from test_controlplane_redis import redis  # noqa: F401, a fixture
from tier import wait_for

SIZE = 40 * MIB + 7  # three chunks
NODES = 3


@pytest.fixture
def planes(tmp_path):
    """planes(**options) starts an eliocp, again on the same port; a directory of its own each time unless one is given."""
    them, port = [], free_ports(1)[0]

    def start(**options):
        them.append(Plane(service__port=port, **{"liveness__heartbeat_ms": 500, "replication__enable": "false", **options}))
        return them[-1]

    yield start
    for p in them:
        p.stop()


@pytest.fixture
def cluster(origin):
    them = []

    def make(plane, n=NODES, **options):
        them.append(Cluster(n, origin, **{"control_plane__endpoint": f"127.0.0.1:{plane.port}", "discovery__seeds": "", **options}))
        return them[-1]

    yield make
    for c in them:
        c.close()


def ids(plane):
    """Name of a node -> its id."""
    return {n["name"]: n["node_id"] for n in plane.get("/api/v1/nodes")["nodes"]}


def chunks(plane):
    """Name of a node -> how many chunks the plane holds for it."""
    return {n["name"]: n["total_chunks"] for n in plane.get("/api/v1/nodes")["nodes"] if n["state"] == "active"}


def holders(plane, chunk):
    names = {v: k for k, v in ids(plane).items()}
    return sorted(names[i] for i in plane.locate(chunk)["locations"][0]["peer_ids"])


def first_chunk(node, origin, path):
    """Its name, as cache.h says."""
    etag = node.get(origin.url + path, method="HEAD").get("ETag")
    parts = [f"{origin.url}{path}".encode(), b"", etag.encode(), SIZE.to_bytes(8, "big")]
    version = hashlib.sha256(b"".join(len(p).to_bytes(8, "big") + p for p in parts)).hexdigest()
    return f"{version[:32]}-00000000"


def read(c, i, origin, path):
    origin.add(path, size=SIZE)
    is_exact(c.get(i, path), origin.content(path))


def is_connected(node):
    return node.status()["control_plane"]["state"] == "connected"


def order(plane, action, chunk, target, source=""):
    return plane.post("/api/v1/commands", {"action": action, "chunk_id": chunk, "target_node_id": target, "source_node_id": source})


def test_nodes_find_each_other_and_it_knows_what_they_have(origin, planes, cluster):
    plane = planes()
    c = cluster(plane)
    wait_for(lambda: sorted(chunks(plane)) == [f"node-{i}" for i in range(NODES)], why=lambda: plane.get("/api/v1/nodes"))
    read(c, 0, origin, "/a")
    chunk = first_chunk(c.nodes[0], origin, "/a")
    wait_for(lambda: holders(plane, chunk) == ["node-0"], why=lambda: plane.locate(chunk))
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    c.assert_read_once("/a", SIZE)
    wait_for(lambda: len(holders(plane, chunk)) == NODES and set(chunks(plane).values()) == {3})


def test_who_takes_from_whom_is_an_edge_of_the_cluster(origin, planes, cluster):
    plane = planes()
    c = cluster(plane)
    wait_for(lambda: len(chunks(plane)) == NODES)
    node = ids(plane)
    read(c, 0, origin, "/a")
    wait_for(lambda: chunks(plane)["node-0"] == 3)
    is_exact(c.get(1, "/a"), origin.content("/a"))

    def edge():
        return next((e for e in plane.get("/api/v1/edges")["edges"] if (e["from"], e["to"]) == (node["node-0"], node["node-1"])), None)

    wait_for(lambda: edge() and edge()["blocks"] == 41, why=lambda: plane.get("/api/v1/edges"))
    assert edge()["via"] == "p2p" and edge()["rate_bytes_s"] > 0


def test_commands_are_carried_out(origin, planes, cluster):
    plane = planes()
    c = cluster(plane)
    wait_for(lambda: len(chunks(plane)) == NODES)
    node = ids(plane)
    read(c, 0, origin, "/a")
    chunk = first_chunk(c.nodes[0], origin, "/a")
    wait_for(lambda: holders(plane, chunk) == ["node-0"])
    origin.forget()
    assert order(plane, "replicate", chunk, node["node-1"], node["node-0"]).status == 201
    wait_for(lambda: holders(plane, chunk) == ["node-0", "node-1"], why=lambda: plane.get("/api/v1/commands"))
    assert order(plane, "migrate", chunk, node["node-2"], node["node-0"]).status == 201
    wait_for(lambda: holders(plane, chunk) == ["node-1", "node-2"], why=lambda: plane.get("/api/v1/commands"))
    assert order(plane, "evict", chunk, node["node-1"]).status == 201
    wait_for(lambda: holders(plane, chunk) == ["node-2"], why=lambda: plane.get("/api/v1/commands"))
    assert origin.requests("/a") == []
    is_exact(c.get(1, "/a"), origin.content("/a"))
    assert origin.body_sent("/a") == 0


def test_a_node_is_asked_whether_it_answers_and_is_out_of_reach_when_it_does_not(planes, cluster):
    plane = planes(liveness__probe_ms=300, liveness__probe_failures=2)
    c = cluster(plane, n=1)
    wait_for(lambda: len(chunks(plane)) == 1)
    node = ids(plane)["node-0"]

    def probe():
        return plane.get(f"/api/v1/nodes/{node}")["probe"]

    wait_for(lambda: (probe() or {"ok": False})["ok"])
    port, closed = plane.get(f"/api/v1/nodes/{node}")["http_port"], free_ports(1)[0]
    assert plane.call("PATCH", f"/api/v1/nodes/{node}", {"http_port": closed}).status == 200
    wait_for(lambda: (probe() or {"reachable": True})["reachable"] is False, why=lambda: plane.get("/api/v1/nodes"))
    assert is_connected(c.nodes[0]) and plane.get(f"/api/v1/nodes/{node}")["state"] == "active"
    assert plane.call("PATCH", f"/api/v1/nodes/{node}", {"http_port": port}).status == 200
    wait_for(lambda: (probe() or {"ok": False})["ok"], why=lambda: plane.get("/api/v1/nodes"))


def test_what_only_one_node_has_is_copied_by_its_own_decision(origin, planes, cluster):
    plane = planes(replication__enable="true", replication__min_copies=2)
    c = cluster(plane)
    wait_for(lambda: len(chunks(plane)) == NODES)
    read(c, 0, origin, "/a")
    chunk = first_chunk(c.nodes[0], origin, "/a")
    origin.forget()
    wait_for(lambda: len(holders(plane, chunk)) >= 2, 60, why=lambda: plane.get("/api/v1/commands"))
    assert origin.requests("/a") == []


@pytest.mark.parametrize("is_empty", [True, False])
def test_killed_and_started_again_it_knows_everything_within_15_seconds(origin, planes, cluster, tmp_path, is_empty):
    plane = planes(directory=tmp_path / "a")
    c = cluster(plane)
    wait_for(lambda: len(chunks(plane)) == NODES)
    origin.add("/a", size=SIZE)
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    wait_for(lambda: chunks(plane) == {f"node-{i}": 3 for i in range(NODES)}, why=lambda: chunks(plane))
    plane.crash()
    read(c, 1, origin, "/b")
    plane = planes(directory=tmp_path / ("b" if is_empty else "a"))
    wait_for(lambda: sum(chunks(plane).values()) == 3 * NODES + 3, 15, why=lambda: chunks(plane))
    wait_for(lambda: all(is_connected(n) for n in c.nodes))
    assert all(len(peers(n)) == NODES - 1 for n in c.nodes)


def test_a_node_that_stops_is_not_named_any_more(planes, cluster):
    plane = planes()
    c = cluster(plane)
    wait_for(lambda: len(chunks(plane)) == NODES)
    c.stop(2)
    wait_for(lambda: sorted(chunks(plane)) == ["node-0", "node-1"], why=lambda: plane.get("/api/v1/nodes"))


def test_nobody_else_is_taken_for_a_node_that_is_there_and_it_is_back_at_once(planes, cluster):
    plane = planes()
    c = cluster(plane, 2)
    wait_for(lambda: len(chunks(plane)) == 2)
    taken = ids(plane)["node-0"]
    assert plane.register(taken).status == 409
    c.crash(0)
    c.start(0)
    wait_for(lambda: is_connected(c.nodes[0]), why=c.nodes[0].log)
    assert ids(plane)["node-0"] == taken and len(ids(plane)) == 2


def test_of_two_on_one_redis_either_will_do(redis, cluster):
    ports = free_ports(2)
    them = {p: Plane(service__port=p, liveness__heartbeat_ms=500, replication__enable="false", **redis) for p in ports}
    asked = lambda node: int(node.status()["control_plane"]["best_endpoint"].rpartition(":")[2])
    try:
        c = cluster(them[ports[0]], 2, control_plane__endpoint=",".join(f"127.0.0.1:{p}" for p in ports))
        wait_for(lambda: all(is_connected(n) for n in c.nodes))
        victim = asked(c.nodes[0])
        other = them[next(p for p in ports if p != victim)]
        before = other.get("/api/v1/nodes")["nodes"]
        them[victim].crash()
        wait_for(lambda: all(is_connected(n) and asked(n) == other.port for n in c.nodes), 30, why=c.nodes[0].log)
        beats = {n["node_id"]: n["last_seen_ms"] for n in before}
        wait_for(lambda: all(n["last_seen_ms"] > beats[n["node_id"]] and n["state"] == "active" for n in other.get("/api/v1/nodes")["nodes"]))
        assert len(chunks(other)) == 2
    finally:
        for p in them.values():
            p.stop()


# ---- configuration ----

def push(plane, **body):
    pushed = plane.put("/api/v1/config", body)
    assert pushed.status == 200, pushed
    return pushed["version"]


def running(plane):
    """Name of a node -> (version, pending, error) that it has told."""
    return {n["name"]: n["config"] and (n["config"]["version"], n["config"]["pending"], n["config"]["error"]) for n in plane.get("/api/v1/nodes")["nodes"]}


def runs(plane, version, pending=(), names=("node-0", "node-1")):
    wait_for(lambda: all(running(plane)[n] == (version, list(pending), "") for n in names), why=lambda: running(plane))


LONG = [("X-Long", "x" * 2000)]  # more than a head of 1024 bytes has room for


def status_of_long(node, origin):
    return node.get(origin.url + "/long", fields=LONG).status


def fetch_threads(node):
    names = [(t / "comm").read_text() for t in pathlib.Path(f"/proc/{node.process.pid}/task").iterdir()]
    return sum(n.startswith("elio-fetch") for n in names)


def test_what_is_pushed_is_run_by_all_nodes_and_rolled_back(origin, planes, cluster):
    plane = planes()
    c = cluster(plane, 2)
    origin.add("/long", size=10)
    wait_for(lambda: len(chunks(plane)) == 2)
    first = push(plane, settings={"general.log_level": "debug"})
    runs(plane, first)
    assert all(f"conf.pushed version={first} pending=0" in n.log() for n in c.nodes)
    assert [status_of_long(n, origin) for n in c.nodes] == [200, 200]
    second = push(plane, settings={"proxy.max_head_bytes": 1024, "storage.threads": 3})
    runs(plane, second, ["storage.threads"])
    assert [status_of_long(n, origin) for n in c.nodes] == [431, 431]
    third = push(plane, settings_of=first)
    runs(plane, third)
    assert [status_of_long(n, origin) for n in c.nodes] == [200, 200]
    assert [n.status()["control_plane"]["config_running"] for n in c.nodes] == [third] * 2


def test_a_node_starts_with_what_was_pushed_whether_or_not_somebody_answers(planes, cluster):
    plane = planes()
    c = cluster(plane, 2)
    wait_for(lambda: len(chunks(plane)) == 2)
    version = push(plane, settings={"storage.threads": 5})
    runs(plane, version, ["storage.threads"])
    assert fetch_threads(c.nodes[0]) != 5
    plane.stop()
    c.stop(0)
    node = c.start(0, wait=False)
    assert node.status()["control_plane"]["config_running"] == version and fetch_threads(node) == 5
    again = planes()  # one that knows of no configuration takes none away
    wait_for(lambda: running(again).get("node-0") == (version, [], ""), 30, why=node.log)


def test_a_control_plane_that_begins_anew_is_taken_at_its_word(origin, planes, cluster):
    plane = planes()
    c = cluster(plane, 2)
    origin.add("/long", size=10)
    wait_for(lambda: len(chunks(plane)) == 2)
    first = push(plane, settings={"general.log_level": "debug"})
    runs(plane, first)
    plane.stop()
    anew = planes()  # it has lost its state: what it pushes has the number of what they run
    assert push(anew, settings={"proxy.max_head_bytes": 1024}) == first
    wait_for(lambda: [status_of_long(n, origin) for n in c.nodes] == [431, 431], 60, why=lambda: running(anew))
    runs(anew, first)


def test_what_is_said_where_a_node_runs_wins_over_what_is_pushed(origin, planes, cluster):
    plane = planes()
    c = cluster(plane, 2, proxy__max_head_bytes=32768)
    origin.add("/long", size=10)
    wait_for(lambda: len(chunks(plane)) == 2)
    runs(plane, push(plane, settings={"proxy.max_head_bytes": 1024}))
    assert [status_of_long(n, origin) for n in c.nodes] == [200, 200]


def test_what_does_not_go_with_a_nodes_own_is_told_and_changes_nothing_there(planes, cluster):
    plane = planes()
    c = cluster(plane, 2)
    c.stop(1)
    c.start(1, cache__eviction_threshold=0.7)
    wait_for(lambda: len(chunks(plane)) == 2)
    version = push(plane, settings={"cache.eviction_target": 0.75, "cache.eviction_threshold": 0.9})
    runs(plane, version, ["cache.eviction_threshold", "cache.eviction_target"], ["node-0"])
    wait_for(lambda: "has to be below" in running(plane)["node-1"][2], why=lambda: running(plane))
    assert running(plane)["node-1"][:2] == (version, [])


# ---- policies ----

def set_policy(plane, prefix, **settings):
    put = plane.put("/api/v1/policies", {"prefix": prefix, "settings": settings})
    assert put.status == 200, put
    return put["version"]


def runs_policies(plane, version, names=("node-0", "node-1")):
    told = lambda: {n["name"]: n["config"] and (n["config"]["policy_version"], n["config"]["policy_error"]) for n in plane.get("/api/v1/nodes")["nodes"]}
    wait_for(lambda: all(told()[n] == (version, "") for n in names), why=told)


def asked_twice(node, origin, path):
    """How often the origin was asked for it when the node was, twice."""
    origin.add(path, size=1000)
    before = len(origin.requests(path))
    for _ in range(2):
        is_exact(node.get(origin.url + path), origin.content(path))
    return len(origin.requests(path)) - before


def test_settings_of_policies_are_applied_by_all_nodes_and_go_with_them(origin, planes, cluster):
    plane = planes()
    c = cluster(plane, 2)
    wait_for(lambda: len(chunks(plane)) == 2)
    runs_policies(plane, set_policy(plane, f"{origin.url}/through/", bypass=True))
    for i, node in enumerate(c.nodes):
        assert (asked_twice(node, origin, f"/through/{i}"), asked_twice(node, origin, f"/kept/{i}")) == (2, 1)
    assert plane.delete(f"/api/v1/policies?prefix={quote(origin.url + '/through/', safe='')}").status == 204
    runs_policies(plane, plane.get("/api/v1/policies")["version"])
    assert [asked_twice(node, origin, f"/through/again-{i}") for i, node in enumerate(c.nodes)] == [1, 1]


def test_a_nodes_own_sections_win_over_policies_that_are_pushed(origin, planes, cluster, tmp_path):
    own = tmp_path / "own.conf"
    own.write_text(f"[policy {origin.url}/own]\nauth = deny\n")
    plane = planes()
    c = cluster(plane, 2, config=own)
    wait_for(lambda: len(chunks(plane)) == 2)
    set_policy(plane, f"{origin.url}/own/deep", bypass=True)
    runs_policies(plane, set_policy(plane, f"{origin.url}/other", bypass=True))
    origin.add("/own/deep/x", size=10)
    assert [n.get(f"{origin.url}/own/deep/x").status for n in c.nodes] == [403, 403]
    assert asked_twice(c.nodes[0], origin, "/other/x") == 2


def test_a_node_starts_with_the_policies_that_it_had(origin, planes, cluster):
    plane = planes()
    c = cluster(plane, 2)
    wait_for(lambda: len(chunks(plane)) == 2)
    version = set_policy(plane, f"{origin.url}/through", bypass=True)
    runs_policies(plane, version)
    plane.stop()
    c.stop(0)
    node = c.start(0, wait=False)
    assert node.status()["control_plane"]["policy_running"] == version
    assert asked_twice(node, origin, "/through/x") == 2


# ---- lists to load ----

def prefetch(plane, urls, **more):
    put = plane.post("/api/v1/operations/prefetch", {"urls": urls, **more})
    assert put.status == 202, put
    return put["operation_id"]


def operation(plane, i):
    o = plane.get(f"/api/v1/operations/{i}")
    return o["state"], o["total"], o["done"], o["failed"]


def operations_of(node):
    return json.loads(node.admin("/api/v1/operations").body)["operations"]


def hits(node, origin, paths):
    return [node.get(origin.url + p).get("X-Cache") == "HIT" for p in paths]


def test_a_list_is_loaded_by_all_nodes_and_read_once(origin, planes, cluster):
    plane = planes()
    c = cluster(plane)
    wait_for(lambda: len(chunks(plane)) == NODES)
    paths = [f"/list/{i}" for i in range(5)]
    for p in paths:
        origin.add(p, size=3 * MIB)
    i = prefetch(plane, [origin.url + p for p in paths])
    wait_for(lambda: operation(plane, i) == ("done", 5 * NODES, 5 * NODES, 0), why=lambda: plane.get(f"/api/v1/operations/{i}"))
    for p in paths:
        c.assert_read_once(p, 3 * MIB)
    assert all(all(hits(n, origin, paths)) for n in c.nodes)


def test_a_list_goes_to_those_nodes_that_are_named_and_tells_what_failed(origin, planes, cluster):
    plane = planes()
    c = cluster(plane, 2)
    wait_for(lambda: len(chunks(plane)) == 2)
    origin.add("/there", size=1000)
    i = prefetch(plane, [origin.url + "/there", origin.url + "/absent"], targets=ids(plane)["node-1"])
    wait_for(lambda: operation(plane, i) == ("failed", 2, 1, 1), why=lambda: plane.get(f"/api/v1/operations/{i}"))
    assert operations_of(c.nodes[0]) == []
    assert operations_of(c.nodes[1])[0]["failed"] == 1


def test_a_list_that_is_cancelled_ends_on_all_nodes_and_the_next_one_begins(origin, planes, cluster):
    plane = planes()
    c = cluster(plane, 2)
    wait_for(lambda: len(chunks(plane)) == 2)
    origin.add("/hangs", size=MIB, hang_head=True)
    origin.add("/well", size=1000)
    first = prefetch(plane, [origin.url + "/hangs"])
    second = prefetch(plane, [origin.url + "/well"], targets="all")
    of_nodes = lambda: [operations_of(n) for n in c.nodes]
    wait_for(lambda: all([o["state"] for o in them] == ["running"] for them in of_nodes()), why=of_nodes)
    assert operation(plane, second)[0] == "running"
    assert plane.post(f"/api/v1/operations/{first}/cancel", {}).status == 204
    wait_for(lambda: operation(plane, second) == ("done", 2, 2, 0), why=of_nodes)
    wait_for(lambda: all([o["state"] for o in them] == ["done", "cancelled"] for them in of_nodes()), why=of_nodes)
    assert operation(plane, first)[0] == "cancelled"
    origin.release()
