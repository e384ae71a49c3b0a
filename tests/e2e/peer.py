# SPDX-License-Identifier: MIT
"""peer: the protocol between nodes (docs/protocol.md, docs/discovery.md) in Python, over plain TCP.

It shares nothing with the node's own code, and does what it is told, right or wrong: see liar.py.
"""
import hashlib
import os
import socket
import struct
import threading
import time
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from content import MIB

MAGIC, VERSION = 0x43484B50, 1
REQUEST, RESPONSE, ERROR, ACK, HELLO, MANIFEST, HAVE, CANCEL, PING, PROOF, GOSSIP, TRACKER = (*range(1, 11), 16, 32)
QUESTION, ANSWER, STATEMENT = 1, 2, 3
WANT_MANIFEST, WANT_COMING, WANT_HAVE = 1, 2, 4
LAST = 4
NOT_HERE = 3001
CHUNK_BLOCKS, CHUNK = 16, 16 * MIB
NODE_JOIN, CHUNK_ANNOUNCE, STATE_SYNC, PROBE, PROBE_ACK = 1, 3, 5, 6, 8
RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def sha256(b):
    return hashlib.sha256(b).digest()


def u16(v):
    return struct.pack(">H", v)


def u32(v):
    return struct.pack(">I", v)


def u64(v):
    return struct.pack(">Q", v)


def short(text):
    return bytes([len(text)]) + text


def long(text):
    return u16(len(text)) + text


# ---- frames ----

class Frame(NamedTuple):
    kind: int
    chunk: bytes
    data: bytes
    sequence: int
    flags: int

    def numbers(self):
        """The data as numbers of 4 bytes, as far as it is that."""
        return struct.unpack_from(f">{len(self.data) // 4}I", self.data)


def head(kind, length, chunk=b""):
    """What stands before the data, of which there may be less than it says."""
    return u32(MAGIC) + u32(VERSION) + u32(kind) + u32(len(chunk)) + chunk + u32(length)


def pack(kind, data, chunk=b"", sequence=0, flags=0, digest=None):
    return b"".join((head(kind, len(data), chunk), data, digest or sha256(data), u32(sequence), bytes([flags])))


class Closed(Exception):
    """The other end has closed the link; in args what it said last, if anything."""


class Link:
    """A connection after the handshake, or before it. One thread reads; several may send whole frames."""

    def __init__(self, sock):
        self.sock, self.rd, self.peer = sock, sock.makefile("rb"), None
        self.sending = threading.RLock()  # held by who sends a frame in pieces
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _exactly(self, n):
        try:
            data = self.rd.read(n)
        except (ConnectionError, ValueError):  # ValueError: we have closed it ourselves
            data = b""
        if len(data) != n:
            raise Closed()
        return data

    def read(self):
        magic, version, kind, n = struct.unpack(">4I", self._exactly(16))
        assert (magic, version) == (MAGIC, VERSION) and n in (0, 41), (magic, version, kind, n)
        chunk = self._exactly(n)
        data = self._exactly(struct.unpack(">I", self._exactly(4))[0])
        digest = self._exactly(32)
        assert digest == sha256(data), f"a frame of type {kind} with another hash"
        sequence, flags = struct.unpack(">IB", self._exactly(5))
        if kind == ERROR and not chunk and sequence == 0:
            raise Closed(struct.unpack(">I", data[:4])[0], data[16:].decode())
        return Frame(kind, chunk, data, sequence, flags)

    def send(self, data):
        with self.sending:
            self.sock.sendall(data)

    def say(self, kind, data, *more, **kw):
        self.send(pack(kind, data, *more, **kw))

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


# ---- who is who ----

class Identity:
    def __init__(self, secret=None):
        self.key = Ed25519PrivateKey.from_private_bytes(secret or os.urandom(32))
        self.public = self.key.public_key().public_bytes(*RAW)
        self.fingerprint = sha256(self.public)
        self.node_id = self.fingerprint.hex()

    def hello(self, port=0, http_port=0, name=b"liar", cluster=b"", zone=b"", nonce=None, clock_ms=None):
        clock_ms = int(time.time() * 1000) if clock_ms is None else clock_ms
        return b"".join((u32(VERSION), u32(VERSION), u64(0), u64(clock_ms), u16(port), u16(http_port),
                         self.fingerprint, nonce or os.urandom(16), short(name), short(cluster), short(zone)))

    def proof(self, mine, others_hash):
        """mine: the data of the own Hello."""
        return self.public + self.key.sign(b"eliop2p proof 1\n" + sha256(mine) + others_hash + bytes(32))


class Peer(NamedTuple):
    """What the other end's Hello says."""

    node_id: str
    port: int
    http_port: int
    name: str
    cluster: str
    zone: str


def parse_hello(data):
    port, http_port = struct.unpack(">HH", data[24:28])
    texts, at = [], 76
    for _ in range(3):
        texts.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return Peer(data[28:60].hex(), port, http_port, *texts)


def shake_hands(sock, identity, **hello):
    """A Link whose other end is who it says."""
    link = Link(sock)
    mine = identity.hello(**hello)
    link.say(HELLO, mine)
    theirs = link.read()
    assert theirs.kind == HELLO, theirs
    link.peer = parse_hello(theirs.data)
    link.say(PROOF, identity.proof(mine, sha256(theirs.data)))
    proof = link.read()
    assert proof.kind == PROOF and sha256(proof.data[:32]).hex() == link.peer.node_id, proof
    try:
        Ed25519PublicKey.from_public_bytes(proof.data[:32]).verify(
            proof.data[32:], b"eliop2p proof 1\n" + sha256(theirs.data) + sha256(mine) + bytes(32))
    except InvalidSignature:
        raise AssertionError(f"{link.peer.node_id} proves nothing") from None
    return link


# ---- what there is ----

class Version:
    """An object version as nodes name it: of a public object without variants."""

    def __init__(self, url, content, fields=(), response_ms=None):
        self.url, self.content, self.length = url.encode(), content, content.size
        self.etag = content.etag.encode()
        items = (self.url, b"", self.etag, u64(self.length))
        self.id = sha256(b"".join(u64(len(i)) + i for i in items))[:16]
        self.fields = [(b"ETag", self.etag), *fields]
        self.response_ms = int(time.time() * 1000) if response_ms is None else response_ms

    def chunks(self):
        return range(-(-self.length // CHUNK))

    def chunk_id(self, number):
        return f"{self.id.hex()}-{number:08x}".encode()

    def number(self, chunk_id):
        """Of the chunk; None when it is one of another object."""
        version, _, number = chunk_id.decode().partition("-")
        return int(number, 16) if version == self.id.hex() else None

    def chunk_length(self, number):
        return min(CHUNK, self.length - number * CHUNK)

    def blocks(self, number):
        return -(-self.chunk_length(number) // MIB)

    def block(self, number, i):
        first = number * CHUNK + i * MIB
        return self.content.bytes(first, min(first + MIB, self.length))

    def object_part(self):
        fields = b"".join(long(n) + long(v) for n, v in self.fields)
        return b"".join((long(self.url), u64(self.length), u16(200), u16(1 | 2), u64(self.response_ms), u64(0),
                         u64(3600_000), u16(0), long(b""), u16(len(self.fields)), fields))

    def manifest(self, identity, number, block=None):
        """The data of a whole manifest; block(number, i): bytes whose hashes it has."""
        block, part, n = block or self.block, self.object_part(), self.blocks(number)
        hashes = [sha256(block(number, i)) for i in range(n)]
        chunk = b"".join((u32(self.chunk_length(number)), u32((1 << n) - 1), *hashes, tree_hash(hashes),
                          identity.public))
        signed = b"eliop2p manifest 1\n" + self.chunk_id(number) + sha256(part) + chunk
        return u32(1) + u64(0) + part + chunk + identity.key.sign(signed)


def tree_hash(hashes):
    while len(hashes) > 1:
        pairs = [hashes[i:i + 2] for i in range(0, len(hashes), 2)]
        hashes = [sha256(b"".join(p)) if len(p) == 2 else p[0] for p in pairs]
    return hashes[0]


# ---- gossip ----

def statement(message):
    return u32(STATEMENT) + message


def card(identity, name, host, port, outbound_only=False):
    return b"".join((short(identity.node_id.encode()), short(name), short(host.encode()), short(b""), u16(port), u16(0),
                     bytes([1 if outbound_only else 0])))


def node_join(identity, incarnation, name, host, port, outbound_only=False):
    return bytes([NODE_JOIN, 1]) + u64(incarnation) + card(identity, name, host, port, outbound_only)


def chunk_announce(version):
    """All chunks of it."""
    groups = {}
    for number in version.chunks():
        groups[number // 64] = groups.get(number // 64, 0) | 1 << number % 64
    rows = [version.id + u32(g) + u64(bitmap) for g, bitmap in sorted(groups.items())]
    return bytes([CHUNK_ANNOUNCE]) + u16(len(rows)) + b"".join(rows)


def probe_ack(probe, incarnation):
    return bytes([PROBE_ACK]) + probe[1:5] + u64(incarnation) + bytes([0])
