# SPDX-License-Identifier: MIT
"""A cluster's network on one machine: namespaces on a bridge, each with a link of a given speed.

        origin      node 0      node 1     ...
          |           |           |             veth pairs, shaped by tbf at both ends
          +-----------+-----------+-- bridge    in a namespace of its own

The speed is that of the wire: of 200 Mbit/s, 4.6 % are headers of TCP, IP and Ethernet. Everything goes
when the context ends; nothing of it is in the machine's own namespace. Needs root.

In halves, each half has a bridge of its own, and only these and the origin are on the one in the middle. Cut,
that passes nothing between the two (they are isolated ports), and all still reach the origin.
"""

import contextlib
import ctypes
import json
import os
import subprocess

CONGESTION_CONTROLS = ("cubic", "reno")
SEGMENT = 16384       # what the shaper may see as one packet: small against its bucket
BURST = "64kb"
QUEUE = "25ms"
PREFIX = "10.77.0."
MIDDLE, HALVES = "bridge", ("half0", "half1")
CLONE_NEWNET = 0x40000000


def call(*words):
    subprocess.run([str(w) for w in words], check=True, stdout=subprocess.DEVNULL)


class Host:
    """A namespace with one link, eth0; the bridge's end of it is `port`."""

    def __init__(self, net, number, mbit, bridge=MIDDLE):
        self.name, self.port = f"{net.name}-{number}", f"v{number}"
        self.address, self.hub = f"{PREFIX}{number + 1}", net.hub
        call("ip", "netns", "add", self.name)
        net.made.append(self.name)
        call("ip", "-n", net.hub, "link", "add", self.port, "type", "veth", "peer", "name", "eth0",
             "netns", self.name)
        for where, link in ((net.hub, self.port), (self.name, "eth0")):
            call("ip", "-n", where, "link", "set", link, "gso_max_size", SEGMENT)
        call("ip", "-n", net.hub, "link", "set", self.port, "master", bridge, "up")
        call("ip", "-n", self.name, "address", "add", f"{self.address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            call("ip", "-n", self.name, "link", "set", link, "up")
        self._choose_congestion_control()
        self.set_speed(mbit)

    def _choose_congestion_control(self):
        """The same for all programs, and none that paces by itself."""
        local = ("local", "127.0.0.0/8", "dev", "lo", "table", "local", "proto", "kernel", "scope", "host",
                 "src", "127.0.0.1")
        link = (f"{PREFIX}0/24", "dev", "eth0", "proto", "kernel", "scope", "link", "src", self.address)
        for control in CONGESTION_CONTROLS:
            done = [subprocess.run(["ip", "-n", self.name, "route", "replace", *route, "congctl", control],
                                   capture_output=True) for route in (local, link)]
            if all(d.returncode == 0 for d in done):
                return

    def set_speed(self, mbit):
        for where, link in ((self.hub, self.port), (self.name, "eth0")):
            call("tc", "-n", where, "qdisc", "replace", "dev", link, "root", "tbf",
                 "rate", f"{mbit}mbit", "burst", BURST, "latency", QUEUE)

    def sent_bytes(self):
        """As the kernel handed them to the link: half a percent of it are headers."""
        text = subprocess.run(["ip", "-n", self.name, "-s", "-j", "link", "show", "eth0"], check=True,
                              capture_output=True, text=True).stdout
        return json.loads(text)[0]["stats64"]["tx"]["bytes"]

    def inside(self, *command):
        """The command line that runs the command in here: it becomes it."""
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    @contextlib.contextmanager
    def entered(self):
        """This thread is in here: its new sockets, and the threads that it starts, belong here for good."""
        with open("/proc/thread-self/ns/net", "rb") as before, open(f"/run/netns/{self.name}", "rb") as here:
            enter(here)
            try:
                yield
            finally:
                enter(before)


def enter(namespace):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Net:
    """
    Net(8, 200): net.origin, and net.nodes of which there are eight. in_halves: the first four are the one.
    others: so many hosts more, net.others.
    """

    def __init__(self, nodes, mbit, in_halves=False, others=0):
        self.name = f"elio-swarm-{os.getpid()}"
        self.hub, self.made = f"{self.name}-hub", []
        try:
            call("ip", "netns", "add", self.hub)
            self.made.append(self.hub)
            self._add_bridge(MIDDLE)
            if in_halves:
                self._add_halves()
            self.origin = Host(self, 0, mbit)
            self.nodes = [Host(self, i + 1, mbit, HALVES[2 * i // nodes] if in_halves else MIDDLE)
                          for i in range(nodes)]
            self.others = [Host(self, nodes + 1 + i, mbit) for i in range(others)]
        except BaseException:
            self.close()
            raise

    def _add_bridge(self, name):
        call("ip", "-n", self.hub, "link", "add", name, "type", "bridge", "forward_delay", 0)
        call("ip", "-n", self.hub, "link", "set", name, "up")

    def _add_halves(self):
        for half in HALVES:
            self._add_bridge(half)
            call("ip", "-n", self.hub, "link", "add", f"{half}-up", "type", "veth", "peer", "name", f"{half}-down")
            call("ip", "-n", self.hub, "link", "set", f"{half}-up", "master", MIDDLE, "up")
            call("ip", "-n", self.hub, "link", "set", f"{half}-down", "master", half, "up")

    def cut(self, is_cut=True):
        """Silently: what goes from half to half is dropped, and nobody is told."""
        for half in HALVES:
            call("bridge", "-n", self.hub, "link", "set", "dev", f"{half}-up", "isolated", "on" if is_cut else "off")

    def heal(self):
        self.cut(False)

    def close(self):
        while self.made:
            subprocess.run(["ip", "netns", "del", self.made.pop()], check=False)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
