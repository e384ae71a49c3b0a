# SPDX-License-Identifier: MIT
"""
Nodes among those who mean them ill, or whose machines are broken: the client gets the right bytes in
time, whoever lies, and the origin is asked for what nobody gives.
"""
import contextlib
import socket
import time

import pytest

import liar
import peer
import trackers
import wire
from checks import is_exact, is_part
from cluster import Cluster, peers
from content import MIB, Content
from tier import wait_for

SIZE = 40 * MIB + 5


@pytest.fixture
def open_cluster(origin):
    """make(n) -> a cluster that a stranger can join."""
    them = []

    def make(n, **options):
        them.append(Cluster(n, origin, secret=False, **options))
        return them[-1]

    yield make
    for c in them:
        c.close()


def version(origin, path):
    """As the nodes name the object: its URL is the origin's."""
    return peer.Version(origin.url + path, origin.content(path))


@pytest.fixture
def lying(origin):
    them = []

    def make(cluster, path, lie, **kw):
        they = liar.Liar(version(origin, path), lie, **kw)
        them.append(they)
        for port in cluster.p2p_ports:
            they.join(port)
        wait_for(lambda: all(they.identity.node_id in [p["node_id"] for p in peers(n)] for n in cluster.alive()), 20)
        they.announce()
        return they

    yield make
    for they in them:
        they.close()


@pytest.mark.parametrize("lie", sorted(liar.LIES))
def test_whoever_lies_the_clients_get_the_object(origin, open_cluster, lying, lie):
    origin.add("/a", size=SIZE)
    c = open_cluster(2)
    lying(c, "/a", lie)
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    assert c.egress("/a") < 2.5  # never worse than each for itself, and the hedges


def tracker_of(version, nodes):
    """An identity that would make its owner the one who is asked about the object."""
    ids = [p["node_id"] for p in nodes[0].status()["peers"]]
    for _ in range(1000):
        who = peer.Identity()
        if trackers.owners([*ids, who.node_id], version.id.hex())[0] == who.node_id:
            return who
    raise AssertionError("nobody is it")


def seconds_for_all(c, origin, path):
    began = time.monotonic()
    for r in c.get_all(path):
        is_exact(r, origin.content(path))
    return time.monotonic() - began


def test_a_tracker_that_never_answers_costs_little(origin, open_cluster, lying):
    for path in ("/a", "/b"):
        origin.add(path, size=SIZE)
    c = open_cluster(4)
    lying(c, "/a", "mute", identity=tracker_of(version(origin, "/a"), c.nodes))
    with_it = seconds_for_all(c, origin, "/a")
    assert with_it < seconds_for_all(c, origin, "/b") + 1.75 * wire.SLOW  # by then it is known for what it is
    assert c.egress("/a") < 1.2


def test_hashes_that_nobody_of_the_cluster_has_signed_are_none(origin, open_cluster, lying):
    origin.add("/a", size=SIZE)
    c = open_cluster(2)
    lying(c, "/a", "truth", other=Content("/b", SIZE), signer=peer.Identity())
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))


def test_who_waits_for_what_only_a_stranger_vouches_for_gets_the_version_that_the_origin_has(origin, open_cluster, lying):
    k = origin.add("/a", size=SIZE)
    c = open_cluster(2)
    is_part(c.get(0, "/a", [("Range", "bytes=0-9")]), origin.content("/a"), 0, 10)
    lying(c, "/a", "truth", signer=peer.Identity())
    k.version = 2
    r = c.get(0, "/a", [("Range", f"bytes={32 * MIB}-")])
    is_part(r, origin.content("/a"), 32 * MIB, SIZE)


@pytest.mark.parametrize("what", sorted(liar.shouts()))
def test_what_is_no_node_is_hung_up_on(open_cluster, what):
    c = open_cluster(2)
    with socket.create_connection(("127.0.0.1", c.p2p_ports[0])) as s:
        s.settimeout(10 * wire.SLOW)
        with contextlib.suppress(ConnectionError):
            s.sendall(liar.shouts()[what])
            while s.recv(65536):
                pass
    assert c.nodes[0].admin("/health").status == 200


def test_a_thousand_connections_that_say_nothing_keep_nobody_out(origin, open_cluster):
    origin.add("/a", size=SIZE)
    c = open_cluster(1)
    socks = liar.half_open(c.p2p_ports[0], 1000)
    try:
        who = peer.Identity()
        link = peer.shake_hands(socket.create_connection(("127.0.0.1", c.p2p_ports[0])), who)
        link.close()
        is_exact(c.get(0, "/a"), origin.content("/a"))
    finally:
        for s in socks:
            s.close()
