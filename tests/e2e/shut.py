# SPDX-License-Identifier: MIT
"""shut: a cluster whose nodes do not reach each other's port for nodes, while their node APIs can be reached."""
from cluster import Cluster, peers
from door import Door
from ports import free_ports


def host(i):
    return f"127.1.0.{i + 1}"


class Shut(Cluster):
    """
    Node i says that it is at host(i), where all have the same ports, but listens for others elsewhere: its door is
    shut until a test opens it.
    """

    def __init__(self, n, origin, blind=False, **options):
        self.is_blind = blind
        self.doors = [None] * n
        self.port, self.http_port = free_ports(2)
        self.inside = free_ports(n)
        seeds = f"{host(0)}:{self.port},{host(1)}:{self.port}"
        super().__init__(n, origin, **{"discovery__seeds": seeds, **options})

    def start(self, i, wait=True, **options):
        if self.doors[i] is None:
            self.doors[i] = Door((host(i), self.port), (f"127.2.0.{i + 1}", self.port))
            if self.is_blind:
                self.doors[i].be_blind()
        mine = {"p2p__bind_address": f"127.2.0.{i + 1}", "p2p__listen_port": self.port,
                "p2p__advertise_address": host(i), "admin__bind_address": host(i),
                "admin__listen_port": self.http_port}
        return super().start(i, wait, **{**mine, **self.options, **options})

    def close(self):
        try:
            super().close()
        finally:
            for d in self.doors:
                d.shut()


def via(node):
    """By what way it asks each of the others that it asks."""
    return {p["address"]: p["via"] for p in peers(node) if "via" in p}


def http_bytes(node, direction="in"):
    return node.metrics()[f'eliop2p_p2p_http_bytes_total{{direction="{direction}"}}']
