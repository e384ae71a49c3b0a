# SPDX-License-Identifier: MIT
"""An origin that takes longer for a block than anything may take that stands still: it is slow, and not dead."""
import threading

import pytest

from checks import is_exact
from cluster import Cluster
from content import MIB
from tier import wait_for

RATE = 60_000      # of each connection, bytes a second: 17 s for a block


@pytest.fixture
def three(origin):
    c = Cluster(3, origin)
    yield c
    c.close()


def test_what_comes_slowly_is_waited_for_by_all_and_read_once(origin, three):
    origin.add("/a", size=2 * MIB, rate=RATE, write=16 * 1024)
    for r in three.get_all("/a"):
        is_exact(r, origin.content("/a"))
    assert origin.body_sent("/a") == 2 * MIB
    for n in three.nodes:
        assert "peer.link_lost" not in n.log()


def test_a_node_that_gets_nothing_from_the_origin_keeps_nobody_waiting(origin, three):
    """Its request is answered, and hangs; it has the lease, and asks again after half a minute for the first time."""
    origin.add("/hangs", size=2 * MIB, hang_at=100_000, times=1)
    first = threading.Thread(target=three.get, args=(0, "/hangs"), daemon=True)
    first.start()
    wait_for(lambda: origin.body_sent("/hangs") == 100_000)
    for r in three.get_all("/hangs", nodes=(1, 2)):
        is_exact(r, origin.content("/hangs"))
    assert origin.body_sent("/hangs") == 2 * MIB + 100_000
    origin.release()
    first.join()


def test_an_origin_that_is_slow_to_begin_is_waited_for(origin, three):
    """Longer than a lease is kept that brings nothing while others want it: nobody else does."""
    origin.add("/late", size=2 * MIB, delay_head=14)
    is_exact(three.get(0, "/late"), origin.content("/late"))
