# SPDX-License-Identifier: MIT
"""Nodes whose port for each other is shut by something between them, while their node APIs can be reached."""
import contextlib
import subprocess

import pytest

import wire
from checks import is_exact
from content import MIB
from node import ELIONODE
from shut import Shut, host, http_bytes, via
from tier import wait_for

SIZE = 40 * MIB + 7
CHUNKS = 3
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "eliop2p")]


@pytest.fixture
def shut(origin):
    with contextlib.ExitStack() as all_of_them:
        yield lambda n, **options: all_of_them.enter_context(Shut(n, origin, **options))


def read(c, reason):
    """Bytes that nodes were to read from the origin."""
    return sum(n.metrics()[f'eliop2p_p2p_origin_bytes_total{{reason="{reason}"}}'] for n in c.nodes)


def wait_until_direct(c):
    wait_for(lambda: all(n.metrics()["eliop2p_p2p_http_links"] == 0 for n in c.nodes), 60)


@pytest.mark.parametrize("secret", [True, False])
def test_with_every_port_shut_the_origin_is_asked_once_all_the_same(origin, shut, secret):
    c = shut(3, secret=secret)
    origin.add("/a", size=SIZE, rate=80 * MIB)
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    assert read(c, "no_tracker") == 0
    # What is cut off a run that has begun may be on its way already, and a busy machine may be slow enough for a hedge.
    assert origin.body_sent("/a") < 1.2 * SIZE
    given = sum(n.metrics()["eliop2p_p2p_bytes_in_total"] for n in c.nodes)
    assert given > 1.5 * SIZE
    assert sum(http_bytes(n) for n in c.nodes) > given
    wait_for(lambda: all(set(via(n).values()) == {"http"} for n in c.nodes))


def test_the_same_where_who_knocks_is_not_even_refused(origin, shut):
    c = shut(3, blind=True)
    origin.add("/a", size=SIZE, rate=80 * MIB)
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    assert read(c, "no_tracker") == 0
    assert origin.body_sent("/a") < 1.2 * SIZE
    assert sum(http_bytes(n) for n in c.nodes) > 1.5 * SIZE


def test_a_short_object_is_one_request_too(origin, shut):
    c = shut(3)
    origin.add("/a", size=4096)
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    assert len(origin.requests("/a")) == 1


def test_one_node_that_is_shut_off_is_asked_by_way_of_its_api_and_the_others_directly(origin, shut):
    c = shut(3)
    for i in (0, 1):
        c.doors[i].open()
    wait_for(lambda: all(via(c.nodes[i]).get(host(1 - i)) != "http" for i in (0, 1)), 60)
    origin.add("/a", size=SIZE)
    is_exact(c.get(2, "/a"), origin.content("/a"))
    origin.forget()
    is_exact(c.get(0, "/a"), origin.content("/a"))
    assert origin.requests("/a") == []
    wait_for(lambda: via(c.nodes[0]).get(host(2)) == "http")
    shown = subprocess.run([ELIONODE, "peers", f"--admin={host(0)}:{c.http_port}"], capture_output=True, text=True,
                           timeout=60).stdout
    assert [host(2) in line for line in shown.splitlines() if "linked by its node API" in line] == [True]


def test_when_the_ports_open_nodes_go_back_to_them(origin, shut):
    c = shut(3)
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    for d in c.doors:
        d.open()
    wait_until_direct(c)
    before = [http_bytes(n) for n in c.nodes]
    origin.forget()
    for i in (1, 2):
        is_exact(c.get(i, "/a"), origin.content("/a"))
    assert origin.requests("/a") == []
    assert [http_bytes(n) for n in c.nodes] == before


def test_a_port_that_is_shut_while_nodes_run_costs_next_to_nothing(origin, shut):
    c = shut(2)
    for d in c.doors:
        d.open()
    wait_until_direct(c)
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    for d in c.doors:
        d.shut()
    # What the tracker was told may have been lost with the link: it is told again.
    wait_for(lambda: sum(n.metrics()["eliop2p_p2p_heard_chunks_total"] for n in c.nodes) >= CHUNKS)
    origin.forget()
    is_exact(c.get(1, "/a"), origin.content("/a"))
    assert origin.body_sent("/a") < SIZE / 4
    assert http_bytes(c.nodes[1]) > SIZE * 3 / 4


# ---- who may ----

def ask(node, fields):
    return wire.fetch(node.admin_port, "/api/v1/p2p", fields, at=node.admin_host)


def test_who_does_not_say_what_it_wants_is_told(shut):
    c = shut(1, wait=False)
    assert ask(c.nodes[0], []).status == 426
    assert ask(c.nodes[0], [("Connection", "Upgrade"), ("Upgrade", "websocket")]).status == 426


def test_a_node_that_is_alone_hands_nothing_over(node):
    assert ask(node, UPGRADE).status == 404


def refused(node, why):
    return node.metrics()[f'eliop2p_p2p_refused_total{{why="{why}"}}']


def test_who_does_not_know_the_secret_gets_no_further_than_on_the_port(shut):
    node = shut(1, wait=False).nodes[0]
    with wire.Connection(node.admin_port, node.admin_host) as c:
        c.send_request("GET", "/api/v1/p2p", UPGRADE)
        assert c.read_head().status == 101
        c.send(b"GET /api/v1/status HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: refused(node, "tls") == 1)
    assert "p2p.refused" in node.log()


def test_more_than_the_request_before_the_101_is_the_end(shut):
    node = shut(1, wait=False).nodes[0]
    with wire.Connection(node.admin_port, node.admin_host) as c:
        c.send(b"GET /api/v1/p2p HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: eliop2p\r\n\r\nCHKP")
        assert c.read_head().status == 101
        assert c.rd.read() == b""
