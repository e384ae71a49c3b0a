# SPDX-License-Identifier: MIT
"""When a node of a cluster says that it is ready; it serves in any case."""
import pytest

from checks import is_exact
from cluster import Cluster, peers
from content import MIB
from controlplane import ControlPlane
from ports import free_ports
from tier import wait_for

SIZE = 3 * MIB


@pytest.fixture
def plane():
    with ControlPlane() as cp:
        yield cp


@pytest.fixture
def cluster(origin, plane):
    with Cluster(2, origin, control_plane__endpoint=plane.endpoint, discovery__seeds="") as c:
        for node in c.nodes:
            wait_for(lambda: node.status()["control_plane"]["peers_known"] == 1)
        yield c


def says(node):
    """What the probe and the status say, which is the same."""
    wait_for(lambda: (node.admin("/readyz").status == 200) == node.status()["control_plane"]["ready"])
    return node.admin("/readyz").status


def test_a_node_that_lost_all_that_it_knew_is_not_ready_and_serves(origin, plane, cluster):
    node = cluster.nodes[1]
    wait_for(lambda: node.metrics()["eliop2p_control_plane_peers"] == 1, 60)
    assert says(node) == 200
    plane.kill()
    wait_for(lambda: node.status()["control_plane"]["state"] == "gossip_only")
    assert says(node) == 200  # the other one is heard of
    cluster.crash(0)
    wait_for(lambda: says(node) == 503, 60, why=lambda: node.status()["control_plane"])
    origin.add("/a", size=SIZE)
    is_exact(cluster.get(1, "/a"), origin.content("/a"))
    plane.start()
    wait_for(lambda: says(node) == 200, 60, why=lambda: node.status()["control_plane"])


def test_one_that_knew_others_by_gossip_alone_is_not_ready_when_they_have_died(origin):
    with Cluster(3, origin, control_plane__endpoint=f"127.0.0.1:{free_ports(1)[0]}") as c:
        node = c.nodes[1]
        wait_for(lambda: node.status()["control_plane"]["state"] == "gossip_only")
        assert says(node) == 200
        c.crash(0)
        wait_for(lambda: len(peers(node)) == 1, 60)
        assert says(node) == 200
        c.stop(2)
        wait_for(lambda: says(node) == 503, 60, why=node.log)
        origin.add("/a", size=SIZE)
        is_exact(c.get(1, "/a"), origin.content("/a"))
        c.start(0)
        assert says(node) == 200


def test_one_that_others_have_left_in_order_stays_ready(origin):
    with Cluster(2, origin, control_plane__endpoint=f"127.0.0.1:{free_ports(1)[0]}") as c:
        wait_for(lambda: c.nodes[1].status()["control_plane"]["state"] == "gossip_only")
        c.stop(0)
        wait_for(lambda: len(peers(c.nodes[1])) == 0, 60)
        assert says(c.nodes[1]) == 200


def test_a_node_of_whose_chunks_too_little_is_known_is_not_ready_and_carries_out_nothing(origin, plane, cluster):
    node = cluster.nodes[0]
    origin.add("/a", size=SIZE)
    origin.add("/b", size=SIZE)
    is_exact(cluster.get(1, "/a"), origin.content("/a"))
    chunk, = wait_for(lambda: plane.chunks_of("node-1"))
    plane.mode = "takes no reports"
    is_exact(cluster.get(0, "/b"), origin.content("/b"))
    wait_for(lambda: node.status()["control_plane"]["lag"] > 2, why=lambda: node.status()["control_plane"])
    assert says(node) == 503 and node.status()["control_plane"]["connected"]
    command = plane.order("replicate", chunk, plane.id_of("node-0"))
    asked = plane.asked("POST /api/v1/chunks/locations")
    wait_for(lambda: plane.asked("POST /api/v1/chunks/locations") > asked)  # it knows of it, and where the chunk is
    beats = plane.asked("PUT .*/heartbeat")
    wait_for(lambda: plane.asked("PUT .*/heartbeat") > beats + 4)
    assert command in plane.state.commands
    plane.mode = "well"
    wait_for(lambda: command not in plane.state.commands, 60)
    assert plane.state.acks[command][0] == "done"
    wait_for(lambda: says(node) == 200)
