# SPDX-License-Identifier: MIT
"""docs/troubleshooting.md is true: each trouble there is made, and the node says it in the very words that stand there."""
import pathlib
import re
import sys

import pytest

from cluster import Cluster
from controlplane import ControlPlane
from ports import free_ports
from tier import wait_for

HERE = pathlib.Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "troubleshooting.md"


def words(line):
    """Without what differs each time: time, numbers, identifiers, paths."""
    line = re.sub(r"^\S+Z +", "", line)
    line = re.sub(r"/\S+", "PATH", line)
    return re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b|\d+", "#", line)


def documented(tag):
    lines = [words(line) for line in re.findall(r"^20\S+Z .*", DOCUMENT.read_text(), re.M) if f" {tag} " in line]
    assert lines, tag
    return lines


def says(node, tag):
    """Until one of its lines is one of the documented ones, and all with that tag are."""
    wait_for(lambda: f" {tag} " in node.log(), 60, why=node.log)
    told = {words(line) for line in node.log().splitlines() if f" {tag} " in line}
    assert told <= set(documented(tag)), (told, documented(tag))
    return told


def alone(start, tmp_path, endpoint, **options):
    return start(control_plane__endpoint=endpoint, general__state_dir=tmp_path / "state", p2p__listen_port=0, **options)


@pytest.mark.parametrize("mode, part", [("dead", "connect"), ("hang", "no answer"), ("other", "cluster"), ("garbage", "JSON")])
def test_a_control_plane_that_cannot_be_used_is_named_with_the_reason(start, tmp_path, mode, part):
    cp = ControlPlane()
    if mode != "dead":
        cp.start()
        cp.mode = mode
    try:
        node = alone(start, tmp_path, cp.endpoint, general__cluster="here")
        assert any(part in line for line in says(node, "controlplane.lost"))
        cp.mode = "well"
        if mode == "dead":
            cp.start()
        says(node, "controlplane.connected")
    finally:
        cp.mode = "well"
        cp.kill()


def test_a_node_that_is_gone_is_named(origin):
    with Cluster(3, origin) as c:
        c.crash(2)
        says(c.nodes[0], "peer.dead")


def test_who_does_not_know_the_secret_is_named(origin, tmp_path):
    other = tmp_path / "secret"
    other.write_text("that of another cluster\n")
    other.chmod(0o600)
    with Cluster(2, origin) as c:
        port, = free_ports(1)
        c.p2p_ports.append(port)
        c.nodes.append(None)
        c.start(2, wait=False, p2p__cluster_secret_file=other)
        says(c.nodes[2], "p2p.refused")


def test_a_kernel_without_io_uring_is_mentioned_and_done_without(start, tmp_path):
    node = start(launch=[sys.executable, HERE / "no_uring.py"], cache__disk_cache_size_mb=64, cache__disk_cache_path=tmp_path / "cache")
    says(node, "disk.no_io_uring")


def test_every_tag_of_the_log_is_documented_and_every_documented_one_exists():
    root = HERE.parents[1]
    tags = re.findall(r'EL_EVENT\(\s*\w+,\s*"([^"]+)"', (root / "common" / "events_list.h").read_text())
    docs = "".join((root / "docs" / name).read_text() for name in ("operations.md", "control-plane.md"))
    documented_tags = re.findall(r"^\| `([a-z0-9_]+\.[a-z0-9_]+)` \|", docs, re.M)
    assert set(tags) == set(documented_tags)
