# SPDX-License-Identifier: MIT
"""Port 9000 of every node is shut: the control plane and the node APIs, plain HTTP both, are enough for all that a cluster does."""
import contextlib

import pytest

from checks import is_exact
from cluster import peers
from content import MIB
from plane import running
from ports import free_ports
from shut import Shut, http_bytes, via
from tier import wait_for

SIZE = 40 * MIB + 7  # three chunks
NODES = 3


@pytest.fixture
def plane():
    with running(service__port=free_ports(1)[0], liveness__heartbeat_ms=500, replication__enable="false") as p:
        yield p


@pytest.fixture
def shut(origin, plane):
    """shut(**options): nodes that only the control plane introduces to each other."""
    with contextlib.ExitStack() as all_of_them:
        yield lambda **options: all_of_them.enter_context(
            Shut(NODES, origin, control_plane__endpoint=f"127.0.0.1:{plane.port}", discovery__seeds="", **options))


def nodes(plane):
    """Name of a node -> what the plane says of it."""
    return {n["name"]: n for n in plane.get("/api/v1/nodes")["nodes"] if n["state"] == "active"}


def holders(plane):
    """Names of nodes that have all three chunks."""
    return sorted(name for name, n in nodes(plane).items() if n["total_chunks"] == 3)


@pytest.mark.parametrize("is_blind", [False, True])
def test_a_cluster_forms_and_the_origin_is_asked_once(origin, plane, shut, is_blind):
    c = shut(blind=is_blind)
    assert sorted(nodes(plane)) == [f"node-{i}" for i in range(NODES)]
    for node in c.nodes:
        s = node.status()
        assert s["ready"] and s["mode"] == "control_plane" and s["control_plane"]["connected"]
        assert s["control_plane"]["epoch"] > 0
        wait_for(lambda: node.status()["control_plane"]["cluster_size"] == NODES)
    origin.add("/a", size=SIZE)
    for i in range(NODES):
        is_exact(c.get(i, "/a"), origin.content("/a"))
        wait_for(lambda: len(holders(plane)) == i + 1, why=lambda: nodes(plane))
    assert origin.body_sent("/a") == SIZE
    assert sum(http_bytes(n) for n in c.nodes) > (NODES - 1) * SIZE
    assert {way for node in c.nodes for way in via(node).values()} == {"http"}


def test_what_the_control_plane_orders_is_carried_out(origin, plane, shut):
    c = shut()
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    wait_for(lambda: holders(plane) == ["node-0"])
    origin.forget()
    snapshot = plane.post("/api/v1/operations/snapshot", {})["snapshot_id"]
    assert plane.post("/api/v1/operations/replay", {"snapshot_id": snapshot}).status == 202
    wait_for(lambda: len(holders(plane)) == NODES, 60, why=lambda: plane.get("/api/v1/operations"))
    assert origin.requests("/a") == []


def test_where_no_node_reaches_another_at_all_each_serves_from_the_origin_and_its_cache(origin, plane, shut):
    c = shut(admin__bind_address="127.0.0.1", admin__listen_port=0, wait=False)
    wait_for(lambda: len(nodes(plane)) == NODES)
    origin.add("/a", size=SIZE)
    for how in ("MISS", "HIT"):
        for i in range(NODES):
            r = c.get(i, "/a")
            is_exact(r, origin.content("/a"))
            assert r.get("X-Cache") == how
    assert origin.body_sent("/a") == NODES * SIZE
    wait_for(lambda: len(holders(plane)) == NODES)
    assert all(n.status()["ready"] for n in c.nodes)
