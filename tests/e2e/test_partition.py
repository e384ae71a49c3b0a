# SPDX-License-Identifier: MIT
"""A cluster that is cut in two for a while: each half goes on serving, and afterwards they are one again.

Each node is in a network namespace, the halves on a bridge each (bench/cluster_net.py); the origin is reached by
all. A client in each half asks all the time. With ELIO_SOAK the cut lasts a minute.
"""
import os
import pathlib
import shutil
import sys
import tempfile
import threading
import time

import pytest

import wire
from checks import is_exact
from content import MIB
from node import Node
from origin import Origin
from tier import wait_for

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "bench"))

import cluster_net  # noqa: E402

CUT_S = 60 if os.environ.get("ELIO_SOAK") else 20
WHOLE_S = 10      # after healing
NODES, MBIT = 6, 1000
LEFT, RIGHT = range(NODES // 2), range(NODES // 2, NODES)
VICTIM = NODES - 1  # killed during the cut
WARM = [f"/bytes/{size}/warm-{size}" for size in (1, 4096, 300_000, 3 * MIB + 7, 20 * MIB)]
NEW_SIZES = (4096, 300_000, 2 * MIB + 1)


class Parted:
    """Nodes in two halves, and an origin."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="elio-parted-"))
        self.net = cluster_net.Net(NODES, MBIT, in_halves=True)
        self.nodes = []
        try:
            with self.net.origin.entered():
                self.origin = Origin(host=self.net.origin.address)
            for i in range(NODES):
                self.nodes.append(self._start(i))
        except BaseException:
            self.close()
            raise

    def _start(self, i):
        secret = self.dir / "secret"
        secret.write_text("known to this cluster only\n")
        secret.chmod(0o600)
        seeds = ",".join(f"{self.net.nodes[k].address}:9000" for k in (0, 1))  # both in one half
        return Node(launch=self.net.nodes[i].inside(), general__node_id=f"node-{i}",
                    general__bind_address="0.0.0.0", general__state_dir=self.dir / f"state-{i}", p2p__enable="true",
                    p2p__listen_port=9000, p2p__cluster_secret_file=secret, discovery__seeds=seeds,
                    cache__memory_cache_size_mb=1024, storage__retry_backoff_ms=10)

    def alive(self, half=range(NODES)):
        return [i for i in half if self.nodes[i].process.poll() is None]

    def get(self, i, path):
        with self.net.nodes[i].entered():
            return self.nodes[i].get(self.origin.url + path)

    def peers(self, i):
        """What node i says of all whom it knows."""
        with self.net.nodes[i].entered():
            return self.nodes[i].status_of_peers()

    def states(self, i):
        """The same as name -> state; nobody is in it twice."""
        them = self.peers(i)
        assert len({p["node_id"] for p in them}) == len({p["name"] for p in them}) == len(them), them
        return {p["name"]: p["state"] for p in them}

    def is_whole(self, half=range(NODES)):
        """Each of them knows exactly those of them that run; all others, the killed one too, are dead."""
        them = self.alive(half)
        names = {f"node-{i}" for i in them}
        return all({n for n, state in self.states(i).items() if state not in ("dead", "left")} == names and
                   "suspect" not in self.states(i).values() for i in them)

    def wait_whole(self, seconds, half=range(NODES)):
        began = time.monotonic()
        wait_for(lambda: self.is_whole(half), seconds,
                 why=lambda: "\n".join(f"{i}: {self.states(i)}\n{self.nodes[i].log()}" for i in self.alive(half)))
        return time.monotonic() - began

    def close(self):
        failures = []
        for i, node in enumerate(self.nodes):
            try:
                with self.net.nodes[i].entered():
                    node.stop()
            except AssertionError as e:
                failures.append(str(e))
        if hasattr(self, "origin"):
            self.origin.close()
        self.net.close()
        shutil.rmtree(self.dir)
        assert not failures, "\n".join(failures)


class Client(threading.Thread):
    """Asks the nodes of its half in turn, for what is cached, for what is new, and for what the other half wants too."""

    def __init__(self, parted, name, half):
        super().__init__(daemon=True)
        self.parted, self.half_name, self.half = parted, name, list(half)
        self.is_over = threading.Event()
        self.done, self.failure, self.slowest_s = 0, None, 0.0
        self.start()

    def run(self):
        n = 0
        while not self.is_over.is_set() and self.failure is None:
            size = NEW_SIZES[n % len(NEW_SIZES)]
            new = f"/bytes/{size}/{self.half_name}-{n}"
            for path in (WARM[n % len(WARM)], new, f"/bytes/{size}/both-{n}", new):
                self._ask(path)
            n += 1

    def _ask(self, path):
        node = self.half[self.done % len(self.half)]
        began = time.monotonic()
        try:
            is_exact(self.parted.get(node, path), self.parted.origin.content(path))
        except (AssertionError, OSError) as e:
            self.failure = f"{path} of node {node} after {time.monotonic() - began:.1f} s: {e!r}"
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        self.done += 1

    def leave_alone(self, node):
        """Asks no more of it from now on; true once the last request to it is over."""
        self.half = [i for i in self.half if i != node]
        so_far = self.done
        wait_for(lambda: self.done > so_far or self.failure)

    def check(self):
        assert self.failure is None, self.failure

    def end(self):
        self.is_over.set()
        self.join(wire.TIMEOUT + 10)
        self.check()


@pytest.fixture
def parted():
    p = Parted()
    yield p
    p.close()


def rest_of_the_cut(clients, until):
    while time.monotonic() < until:
        for c in clients:
            c.check()
        time.sleep(0.1)


def test_both_halves_of_a_cut_cluster_serve_and_become_one_again(parted):
    parted.wait_whole(30)
    for path in WARM:
        for i in (0, NODES - 1):
            is_exact(parted.get(i, path), parted.origin.content(path))
    clients = [Client(parted, "left", LEFT), Client(parted, "right", RIGHT)]
    began = time.monotonic()
    parted.net.cut()
    clients[1].leave_alone(VICTIM)
    parted.nodes[VICTIM].crash()
    apart_s = [parted.wait_whole(CUT_S + 30, half) for half in (LEFT, RIGHT)]
    rest_of_the_cut(clients, began + CUT_S)
    asked_in_cut = [c.done for c in clients]
    only_left = "/bytes/300000/only-left"
    is_exact(parted.get(LEFT[0], only_left), parted.origin.content(only_left))

    parted.net.heal()
    whole_s = parted.wait_whole(WHOLE_S)
    # What one half had read alone, the other takes from it.
    wait_for(lambda: all(c.done > n + 20 or c.failure for c, n in zip(clients, asked_in_cut)))
    for c in clients:
        c.end()
    parted.origin.forget()
    is_exact(parted.get(RIGHT[0], only_left), parted.origin.content(only_left))
    assert parted.origin.body_sent(only_left) == 0
    print(f"cut for {CUT_S} s: known after {max(apart_s):.1f} s, whole {whole_s:.1f} s after healing; "
          f"{asked_in_cut} requests during the cut, the slowest took {[round(c.slowest_s, 2) for c in clients]} s")
