# SPDX-License-Identifier: MIT
"""The simplest way to give one object to many: a chain in a fixed order, and a floor for all others.

relay.py OUT PORT NEXT FROM: takes the bytes of FROM (http://HOST:PORT/PATH, or HOST:PORT of the one
before), writes them to OUT (a file that is there) and, when NEXT is 1, sends them on to whoever connects to PORT. It prints
"ready" when it listens, and begins at the first line of its standard input.
"""

import socket
import sys
import time
import urllib.parse

STEP = 65536


def connect(host, port):
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection((host, port))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def ask(url):
    """A connection whose next byte is the first of the body, and what was read of that with the head."""
    parts = urllib.parse.urlsplit(url)
    s = connect(parts.hostname, parts.port or 80)
    s.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = s.recv(4096)
        if not piece:
            raise ConnectionError("no answer")
        head += piece
    head, _, body = head.partition(b"\r\n\r\n")
    if head.split()[1] != b"200":
        raise ConnectionError(head.decode("latin-1"))
    return s, body


def main():
    out, port, has_next, source = sys.argv[1:]
    listener = socket.create_server(("", int(port)))
    print("ready", flush=True)
    sys.stdin.readline()
    if source.startswith("http:"):
        s, body = ask(source)
    else:
        host, _, its_port = source.partition(":")
        s, body = connect(host, int(its_port)), b""
    after = listener.accept()[0] if has_next == "1" else None
    room = memoryview(bytearray(STEP))
    with open(out, "r+b", buffering=0) as f:
        while True:
            f.write(body)
            if after is not None:
                after.sendall(body)
            n = s.recv_into(room)
            if n == 0:
                return
            body = room[:n]


main()
