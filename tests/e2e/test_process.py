# SPDX-License-Identifier: MIT
"""What the kernel sees of a node in a cluster: its ports and its threads."""
import contextlib
import os
import pathlib
import re

import pytest

from cluster import Cluster
from plane import running
from tier import wait_for


@pytest.fixture
def node(origin):
    """One of two, with a control plane."""
    with running() as plane:
        c = Cluster(2, origin, control_plane__endpoint=f"127.0.0.1:{plane.port}", discovery__seeds="")
        try:
            wait_for(lambda: c.nodes[0].status()["control_plane"]["connected"])
            yield c.nodes[0]
        finally:
            c.close()


def sockets(node):
    """Inodes of its sockets."""
    them = set()
    for entry in pathlib.Path(f"/proc/{node.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if m := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(entry)):
                them.add(m[1])
    return them


def rows(node, table):
    """Of /proc/net: local port, state and inode of what is the node's."""
    for name in (table, table + "6"):
        for line in pathlib.Path(f"/proc/{node.pid}/net/{name}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[9] in sockets(node):
                yield int(cells[1].rpartition(":")[2], 16), cells[3]


def test_a_node_listens_on_three_ports_and_speaks_no_udp(node):
    listening = {port for port, state in rows(node, "tcp") if state == "0A"}
    assert listening == {node.port, node.admin_port, node.p2p_port}
    assert list(rows(node, "udp")) == []


def threads(node):
    """Their names, without numbers."""
    them = set()
    for thread in pathlib.Path(f"/proc/{node.pid}/task").iterdir():
        with contextlib.suppress(OSError):  # over meanwhile
            them.add(re.sub(r"-?\d+$", "", (thread / "comm").read_text().strip()))
    return them


def test_proxy_origin_links_decisions_heartbeats_and_node_api_have_threads_of_their_own(node):
    assert {"elionode", "proxy", "elio-fetch", "peers", "net", "controlplane", "nodeapi"} <= threads(node), threads(node)
