# SPDX-License-Identifier: MIT
"""Nodes whose trackers have all gone at once: the control plane names those who have a chunk, before the origin is asked."""
import itertools

import pytest

from checks import is_exact
from cluster import Cluster
from content import MIB
from plane import Plane
from ports import free_ports
from tier import wait_for
from trackers import owners, version

SIZE = 40 * MIB + 7  # three chunks
HOLDER, READER, TRACKERS = 0, 1, (2, 3, 4)


@pytest.fixture
def plane():
    p = Plane(service__port=free_ports(1)[0], liveness__heartbeat_ms=500, replication__enable="false")
    yield p
    p.stop()


@pytest.fixture
def cluster(origin, plane):
    with Cluster(5, origin, control_plane__endpoint=f"127.0.0.1:{plane.port}", discovery__seeds="", cache__freshness_s=3600) as c:
        wait_for(lambda: len(nodes(plane)) == 5, why=lambda: plane.get("/api/v1/nodes"))
        yield c


def nodes(plane):
    """Name -> node."""
    return {n["name"]: n for n in plane.get("/api/v1/nodes")["nodes"] if n["state"] == "active"}


def read_by_the_holder(c, plane, origin):
    """The path of an object that the holder alone has, the reader knows of, and TRACKERS answer for."""
    ids = {name: n["node_id"] for name, n in nodes(plane).items()}
    wanted = {ids[f"node-{i}"] for i in TRACKERS}
    for path in (f"/object-{i}" for i in itertools.count()):
        origin.add(path, size=SIZE)
        if set(owners(ids.values(), version(origin.url + path, origin.content(path).etag, SIZE))) == wanted:
            break
    is_exact(c.get(HOLDER, path), origin.content(path))
    assert c.get(READER, path, method="HEAD").status == 200
    wait_for(lambda: nodes(plane)["node-0"]["total_chunks"] == 3)
    return path


def asked(node):
    return node.metrics()["eliop2p_p2p_second_chunks_total"], node.metrics()["eliop2p_p2p_second_known_total"]


def test_without_trackers_blocks_come_from_whom_the_control_plane_names(origin, plane, cluster):
    path = read_by_the_holder(cluster, plane, origin)
    origin.forget()
    for i in TRACKERS:
        cluster.crash(i)
    is_exact(cluster.get(READER, path), origin.content(path))
    chunks, known = asked(cluster.nodes[READER])
    assert 1 <= chunks <= 3 and known == chunks, cluster.nodes[READER].log()  # who is named may tell of another before it is asked for
    assert origin.body_sent(path) == 0


def test_without_trackers_and_control_plane_the_origin_is_asked(origin, plane, cluster):
    path = read_by_the_holder(cluster, plane, origin)
    origin.forget()
    plane.crash()
    for i in TRACKERS:
        cluster.crash(i)
    is_exact(cluster.get(READER, path), origin.content(path))
    assert asked(cluster.nodes[READER])[1] == 0
    assert origin.body_sent(path) > 0


def test_with_trackers_the_control_plane_is_not_asked(origin, plane, cluster):
    path = read_by_the_holder(cluster, plane, origin)
    origin.forget()
    is_exact(cluster.get(READER, path), origin.content(path))
    assert asked(cluster.nodes[READER]) == (0, 0)
    assert origin.body_sent(path) == 0
