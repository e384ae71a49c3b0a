# SPDX-License-Identifier: MIT
"""ports: numbers for servers that must be told theirs before they start."""
import pathlib
import random
import socket

LOWEST = 10000


def _above():
    """What the kernel gives to clients begins here: a port of its could be taken again before its server starts."""
    return int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def is_free(port):
    try:
        socket.create_server(("", port)).close()
    except OSError:
        return False
    return True


def free_ports(n, in_a_row=False):
    lot = random.SystemRandom()
    while True:
        first = lot.randrange(LOWEST, _above() - n)
        them = range(first, first + n) if in_a_row else lot.sample(range(LOWEST, _above()), n)
        if all(is_free(p) for p in them):
            return list(them)
