# SPDX-License-Identifier: MIT
"""An origin that takes longer for a block than anything may take that stands still: it is slow, and not dead."""
import pytest

from checks import is_exact
from cluster import Cluster
from content import MIB

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
