# SPDX-License-Identifier: MIT
"""Fixtures shared by the end-to-end tests. Whatever a test starts ends with it, by its own handle."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

# A proxy or a CA bundle of the machine must not reach the clients under test.
for name in list(os.environ):
    if name.lower().endswith("_proxy") or name.startswith("AWS_") or "CA_BUNDLE" in name or "CA_CERT" in name:
        del os.environ[name]

from node import Node  # noqa: E402
from origin import Origin  # noqa: E402
from rgw import Rgw  # noqa: E402
from tier import Tier  # noqa: E402


@pytest.fixture
def origin():
    o = Origin()
    yield o
    o.close()


@pytest.fixture
def start():
    """start(**options) gives a Node, stopped after the test and held to a clean end."""
    nodes = []

    def make(*args, **options):
        nodes.append(Node(*args, **options))
        return nodes[-1]

    yield make
    failures = []
    for n in nodes:
        try:
            n.stop()
        except AssertionError as e:
            failures.append(str(e))
    assert not failures, "\n".join(failures)


@pytest.fixture
def node(start):
    """A forward proxy with small deadlines and no gateway."""
    return start(storage__retry_backoff_ms=10, storage__breaker_failures=0)


@pytest.fixture
def tier(origin):
    t = Tier(origin)
    yield t
    t.close()


@pytest.fixture(scope="session")
def rgw(tmp_path_factory):
    r = Rgw(tmp_path_factory.mktemp("rgw"))
    yield r
    r.stop()
