# SPDX-License-Identifier: MIT
"""What one peer that does not behave costs the others: bench/run --only liar.

Five nodes get an object at once, from an origin with a link like theirs (swarm.py), while a sixth peer says
that it has all of it, and then lies, drips, or is mute. Each round measures all of that and once without it.
"""

import pathlib
import shutil
import statistics
import subprocess
import tempfile

import servers
import swarm
import tables

HERE = pathlib.Path(__file__).parent
PEERS = swarm.PEERS
SHAPE = swarm.Shape(5, 200, 256)
ABSENT = "absent"
LIES = {
    ABSENT: "no such peer",
    "wrong": "wrong bytes in a right frame",
    "drip": "a byte every tenth of a second",
    "hang": "no blocks; answers pings",
    "garbage": "no frames at all",
    "mute": "nothing at all, once it is a member",
}


class Besieged(swarm.Cluster):
    """Links are plain, so that the peer can be a member without being a node."""

    ready_mib = 0  # what is touched ahead of need would hide what the peer makes the nodes grow by

    def options_of(self, i):
        options = [o for o in super().options_of(i) if not o.startswith("--p2p.cluster_secret_file")]
        return [*options, "--general.insecure=true", f"--cache.memory_ready_mb={self.ready_mib}"]

    def prepare(self):
        super().prepare()
        if self.run.case != ABSENT:
            self.invite(self.run.case)
        self.resident = self.resident_mib()

    def invite(self, lie):
        host, run = self.net.others[0], self.run
        url = run.url.replace(f":{swarm.ORIGIN}/", "/")  # as nodes name it
        peer = self.add(host, "/usr/bin/python3", HERE / "liar_peer.py", lie, url,
                        run.origin.directory / "files" / run.name, run.etag(), host.address, PEERS,
                        *(h.address for h in self.net.nodes), log=run.directory / "liar.log")
        peer.wait_line("ready")
        self.liar = peer
        members = len(self.net.nodes) + 1
        for i in range(len(self.net.nodes)):
            swarm.wait_for(lambda i=i: self.api(i, "/api/v1/status")["p2p"]["members"] == members,
                           f"node {i} does not know the peer", 20)

    def resident_mib(self):
        """Of each node."""
        return [int(line.split()[1]) / 1024 for i in range(len(self.net.nodes)) for p in self.by_node[i][:1]
                for line in pathlib.Path(f"/proc/{p.process.pid}/status").read_text().splitlines()
                if line.startswith("VmHWM")]

    def asked(self):
        """How many blocks the peer was asked for."""
        if self.run.case == ABSENT:
            return 0
        self.liar.go()
        return int(self.liar.line())

    def growth_mib(self):
        return max(after - before for after, before in zip(self.resident_mib(), self.resident))


class Siege(swarm.Run):
    others = 1

    def etag(self):
        head = subprocess.run(self.net.nodes[0].inside("curl", "-s", "-S", "-f", "-I", "--noproxy", "*", self.url),
                              check=True, capture_output=True, text=True).stdout
        return next(line.split(":", 1)[1].strip() for line in head.splitlines() if line.lower().startswith("etag:"))

    def judge(self, way, times, sent):
        self.growth, self.asked = way.growth_mib(), way.asked()
        return super().judge(way, times, sent)


def measure(elionode, lies, rounds):
    """lie -> [(last, egress, growth, asked)], one of each a round."""
    shm = pathlib.Path("/dev/shm")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="elio-liar-", dir=shm if shm.is_dir() else None))
    found = {lie: [] for lie in lies}
    try:
        origin = swarm.Origin(directory / "origin", SHAPE)
        for _ in range(rounds):
            for lie in lies:
                siege = Siege(directory / "run", origin, SHAPE, elionode, Besieged, lie)
                result = siege.measure()
                found[lie].append((result.last, result.egress, siege.growth, siege.asked))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return found


def text_of(found):
    yield f"{SHAPE.nodes} nodes, links of {SHAPE.mbit} Mbit/s, {SHAPE.mib} MiB, and a peer that says it has all of it"
    yield ""
    usual = statistics.median(last for last, *_ in found[ABSENT])
    rows = []
    for lie, runs in found.items():
        lasts, egress, growth, asked = zip(*runs)
        rows.append([LIES[lie], f"{statistics.median(lasts) / usual:.2f}", f"{statistics.median(lasts):.2f}",
                     f"{min(lasts):.2f}-{max(lasts):.2f}", f"{statistics.median(egress):.3f}x", f"{statistics.median(asked):.0f}", f"{max(growth):.0f}"])
    yield from tables.table(["the peer", "last / without", "last, s", "of all rounds", "origin sent", "asked of it", "RSS growth, MiB"],
                            rows)


def run(elionode, rounds, wanted=()):
    """Lines of Markdown."""
    swarm.need_root()
    lies = [lie for lie in LIES if lie == ABSENT or not wanted or lie in wanted]
    yield from text_of(measure(elionode, lies, rounds))
