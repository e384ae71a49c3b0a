# SPDX-License-Identifier: MIT
"""cluster: several nodes on loopback that know of each other, one origin, and what it gave them.

    with Cluster(3, origin) as c:
        is_exact(c.get(0, "/bytes/1000/a"), ...)
        c.crash(1); c.start(1)

Each has ports and a state directory that stay the same when it is started again.
"""
import pathlib
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor

from node import Node
from ports import free_ports
from tier import wait_for

HOST = "127.0.0.1"
SEEDS = 2  # so that the first may be away


class Cluster:
    """
    Options are the nodes'. secret=False: links are plain, so that others than nodes can join (liar.py). start: what
    starts one, in place of the method.
    """

    def __init__(self, n, origin, secret=True, wait=True, start=None, **options):
        self.origin, self.options, self.former = origin, options, []
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="elio-cluster-"))
        self.p2p_ports = free_ports(n)
        self.nodes = [None] * n
        start = start or type(self).start
        if secret:
            self.options["p2p__cluster_secret_file"] = self.dir / "secret"
            (self.dir / "secret").write_text("known to this cluster only\n")
            (self.dir / "secret").chmod(0o600)
        try:
            for i in range(n):
                start(self, i, wait=False)
            if wait:
                self.wait_until_known()
        except BaseException:
            self._end(lambda node: node.kill())
            raise

    # ---- nodes ----

    def start(self, i, wait=True, **options):
        """Starts node i, again if it ran; `options` in place of those of all, this once."""
        seeds = ",".join(f"{HOST}:{p}" for p in self.p2p_ports[:SEEDS])
        options = {"general__node_id": f"node-{i}", "general__state_dir": self.dir / f"state-{i}",
                   "p2p__enable": "true", "p2p__listen_port": self.p2p_ports[i], "discovery__seeds": seeds,
                   "storage__retry_backoff_ms": 10, "storage__breaker_failures": 0, **self.options, **options}
        if self.nodes[i] is not None:
            self.former.append(self.nodes[i])
        self.nodes[i] = Node(**options)
        self.nodes[i].p2p_port = self.p2p_ports[i]
        if wait:
            self.wait_until_known()
        return self.nodes[i]

    def alive(self):
        return [node for node in self.nodes if node.process.poll() is None]

    def crash(self, i):
        """SIGKILL."""
        self.nodes[i].crash()

    def stop(self, i):
        """SIGTERM, and a clean end."""
        self.nodes[i].stop()

    def wait_until_known(self):
        """Until each of those that run knows all of them, and nobody else as living."""
        them = self.alive()
        wait_for(lambda: all(len(peers(node)) == len(them) - 1 for node in them), 30,
                 why=lambda: "\n".join(f"{node.status()['peers']}\n{node.log()}" for node in them))

    def assert_read_once(self, path, size):
        """
        Each byte once. What nodes read themselves because whoever was to read it seemed stuck, which on a busy machine
        it may have been, is counted as that.
        """
        hedged = sum(n.metrics()['eliop2p_p2p_origin_bytes_total{reason="hedge"}'] for n in self.alive())
        assert size <= self.origin.body_sent(path) <= size + hedged, self._who_read(path)

    def _who_read(self, path):
        """What the origin was asked, in order, and what the nodes say of it: for a test that fails."""
        rows = self.origin.requests(path)
        asked = [f"{r.came - rows[0].came:.3f} s to {r.ended - rows[0].came:.3f} s "
                 f"{r.method} {r.get('Range')} {r.status} {r.body_sent}" for r in rows]
        told = [f"{name} {value}" for n in self.alive() for name, value in sorted(n.metrics().items())
                if value and name.startswith(("eliop2p_p2p_", "eliop2p_origin_retries")) and "_bucket" not in name]
        return "\n".join([*asked, *told, *(n.log() for n in self.alive())])

    def close(self):
        self._end(lambda node: node.stop())

    def _end(self, how):
        failures = []
        for node in [*self.former, *(n for n in self.nodes if n is not None)]:
            try:
                how(node)
            except AssertionError as e:
                failures.append(str(e))
        shutil.rmtree(self.dir)
        assert not failures, "\n".join(failures)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # ---- objects ----

    def get(self, i, path, fields=(), **kw):
        return self.nodes[i].get(self.origin.url + path, fields, **kw)

    def get_all(self, path, fields=(), nodes=None, **kw):
        """All at once; answers in the order of the nodes."""
        nodes = range(len(self.nodes)) if nodes is None else nodes
        with ThreadPoolExecutor(len(nodes)) as pool:
            return list(pool.map(lambda i: self.get(i, path, fields, **kw), nodes))

    def egress(self, path):
        """How often the origin gave the object's bytes, on the average of them."""
        return self.origin.body_sent(path) / self.origin.content(path).size


def peers(node):
    """The others that the node takes for living."""
    return [p for p in node.status()["peers"] if p["state"] == "active" and not p["self"]]
