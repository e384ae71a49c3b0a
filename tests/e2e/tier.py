# SPDX-License-Identifier: MIT
"""tier: a cache directory of a test's own, and the nodes that use it one after another."""
import pathlib
import shutil
import subprocess
import tempfile
import time

import hushed
import wire
from checks import is_exact, is_part
from content import MIB
from node import Node

COMMIT_MS = 50
ALIGN = 4096
PIECE = 4 * MIB


def on_disk(size):
    """What an object takes in a store."""
    return -(-size // ALIGN) * ALIGN


def blocks(size):
    return -(-size // MIB)


def wait_for(what, seconds=20, why="it did not happen"):
    """Polls what() until it gives something true, and returns that."""
    deadline = time.monotonic() + seconds * wire.SLOW
    while not (it := what()):
        assert time.monotonic() < deadline, why() if callable(why) else why
        time.sleep(0.01)
    return it


class Tier:
    def __init__(self, origin):
        self.origin = origin
        # Not /tmp, which may be a tmpfs: a disk is meant.
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="elio-tier-", dir="/var/tmp"))
        self.dir = self.top / "cache"
        self.nodes, self.mounts, self.daemons = [], [], []

    # ---- nodes ----

    def start(self, *args, is_up=True, **options):
        """A node on the directory; is_up: the tier works, so wait until it has read its index."""
        options = {"cache__disk_cache_path": self.dir, "cache__disk_cache_size_mb": 512,
                   "cache__memory_cache_size_mb": 64, "cache__disk_commit_ms": COMMIT_MS,
                   "cache__scrub_mb_s": 0, "storage__retry_backoff_ms": 10,
                   "storage__breaker_failures": 0, **options}
        node = Node(*args, **options)
        self.nodes.append(node)
        if is_up:
            wait_for(lambda: store(node)["state"] == "normal", why=node.log)
        return node

    def close(self):
        failures = []
        for n in self.nodes:
            try:
                n.stop()
            except AssertionError as e:
                failures.append(str(e))
        told = hushed.told_by_files(self.dir / "index")
        for where in self.mounts:
            subprocess.run(["umount", where], check=True)
        for d in self.daemons:
            d.wait(20)
        shutil.rmtree(self.top)
        assert not failures and not told, "\n".join([*failures, *map(str, told)])

    # ---- objects ----

    def get(self, node, path, fields=(), **kw):
        return node.get(self.origin.url + path, fields, **kw)

    def exact(self, node, path):
        r = self.get(node, path)
        is_exact(r, self.origin.content(path))
        return r

    def keep(self, node, *paths, fields=()):
        """
        Reads the objects a piece at a time; what the origin gave of one is on disk before the next, so
        that no disk is too slow to keep it.
        """
        for path in paths:
            content = self.origin.content(path)
            for first in range(0, content.size, PIECE):
                end = min(first + PIECE, content.size)
                before, sent = written_blocks(node), self.origin.body_sent(path)
                r = self.get(node, path, [*fields, ("Range", f"bytes={first}-{end - 1}")])
                is_part(r, content, first, end)
                came = blocks(self.origin.body_sent(path) - sent)
                wait_for(lambda: written_blocks(node) >= before + came,
                         why=lambda: f"{path} from {first}: {stores(node)}")

    def asked(self, path=None):
        """What the origin answered since forget(): (method, status) of each request."""
        return [(s.method, s.status) for s in self.origin.requests(path)]

    # ---- the directory ----

    def mount(self, *options):
        """A filesystem of its own for the directory, of which the tests know the size."""
        self.dir.mkdir(exist_ok=True)
        subprocess.run(["mount", *options, self.dir], check=True)
        self.mounts.append(self.dir)


def stores(node):
    return node.status()["cache"]["disk"]["stores"]


def store(node):
    return stores(node)[0]


def written_blocks(node):
    return sum(s["written_blocks"] for s in stores(node))


def committed(node):
    """Waits until what is written is named by the index: nothing tells when, but it is a matter of commits."""
    time.sleep(10 * COMMIT_MS / 1000 * wire.SLOW)
