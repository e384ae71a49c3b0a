# SPDX-License-Identifier: MIT
"""Two eliocp on one Redis, and a node that knows both: the one that it asks is killed, and the other has heard of it after so long."""

import http.client
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

from controlplane import Server, answers_http, answers_redis
from servers import BenchError, end_with_parent, free_port

BEAT_MS = 500  # a node that asks twice a second: what is measured is the change, not the pause between two beats


def get(port, path):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    c.request("GET", path)
    return json.loads(c.getresponse().read())


def wait_for(what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.002)
    raise BenchError("nothing happened in time")


class Trial:
    def __init__(self, programs, directory):
        self.programs, self.directory, self.planes, self.node = programs, directory, {}, None
        port = free_port()
        self.redis = Server(["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory], port,
                            answers_redis)

    def start_plane(self, port):
        self.planes[port] = Server([self.programs[1], f"--port={port}", "--bind=127.0.0.1", f"--store=redis://127.0.0.1:{self.redis.port}",
                                    f"--liveness.heartbeat_ms={BEAT_MS}", "--log-level=warn"], port, answers_http)

    def start(self):
        for port in (free_port(), free_port()):
            self.start_plane(port)
        (self.directory / "secret").write_text("a secret of this benchmark, and of nobody else\n")
        (self.directory / "secret").chmod(0o600)
        self.admin = free_port()
        argv = [self.programs[0], "--proxy.listen_port=0", f"--admin.listen_port={self.admin}", "--p2p.listen_port=0", "--cache.disk_cache_size_mb=0",
                "--cache.memory_cache_size_mb=64", f"--p2p.cluster_secret_file={self.directory / 'secret'}",
                f"--general.state_dir={self.directory / 'state'}", "--control_plane.endpoint=" + ",".join(f"127.0.0.1:{p}" for p in self.planes)]
        self.node = subprocess.Popen([str(a) for a in argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=end_with_parent)
        wait_for(lambda: answers_http(self.admin))
        wait_for(lambda: self.asked())

    def asked(self):
        """The port of the eliocp that the node asks."""
        s = get(self.admin, "/api/v1/status")["control_plane"]
        return int(s["best_endpoint"].rpartition(":")[2]) if s["connected"] and s["state"] == "connected" else None

    def heard_ms(self, port):
        nodes = get(port, "/api/v1/nodes")["nodes"]
        return nodes[0]["last_seen_ms"] if nodes else 0

    def once(self):
        """Seconds from the kill to a beat of the node that reached the other."""
        victim = wait_for(self.asked)
        other = next(p for p in self.planes if p != victim)
        killed = time.time()
        self.planes[victim].process.kill()
        self.planes[victim].process.communicate()
        # What the other had heard of before came by way of Redis.
        wait_for(lambda: get(self.admin, "/api/v1/status")["control_plane"]["best_endpoint"].endswith(f":{other}"))
        took = wait_for(lambda: max(0, self.heard_ms(other) / 1000 - killed))
        self.start_plane(victim)
        return took

    def stop(self):
        if self.node is not None:
            self.node.terminate()
            self.node.wait()
        for s in (*self.planes.values(), self.redis):
            s.stop()


def measure(options):
    elionode = pathlib.Path(options.elionode).resolve()
    eliocp = elionode.parent.parent / "controlplane" / "eliocp"
    if not os.access(eliocp, os.X_OK):
        raise BenchError(f"{eliocp} is missing: build the target eliocp")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="elio-bench-"))
    trial = Trial((elionode, eliocp), directory)
    try:
        trial.start()
        times = [trial.once() for _ in range(3 if options.quick else 20)]
        return {"times": times, "median": statistics.median(times), "longest": max(times)}
    finally:
        trial.stop()
        shutil.rmtree(directory, ignore_errors=True)
