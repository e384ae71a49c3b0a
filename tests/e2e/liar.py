# SPDX-License-Identifier: MIT
"""liar: a member of a cluster that says it has an object, and then does not behave.

    liar = Liar(Version(url, content), "wrong")
    liar.join(node.p2p_port)        # over a plain link: the cluster has no secret
    ... liar.asked                  # what it was asked for, as (chunk number, first block, count)
    liar.close()

half_open() and shouts() are for those who are no members at all.
"""
import contextlib
import os
import random
import socket
import threading
import time

import peer
from content import MIB

SILENCE = b"\0" * MIB


# ---- the ways not to behave: (liar, link, chunk number, block) ----

def truth(liar, link, number, block):
    liar.give(link, number, block, liar.version.block(number, block))


def wrong(liar, link, number, block):
    """Other bytes, in a frame whose own hash is right."""
    right = liar.version.block(number, block)
    liar.give(link, number, block, bytes([right[0] ^ 1]) + right[1:])


def torn(liar, link, number, block):
    """The right bytes in a frame with another hash."""
    liar.give(link, number, block, liar.version.block(number, block), digest=bytes(32))


def drip(liar, link, number, block):
    """The right bytes, one every tenth of a second."""
    data = liar.version.block(number, block)
    with link.sending:
        link.send(peer.head(peer.RESPONSE, len(data), liar.version.chunk_id(number)))
        for i in range(len(data)):
            link.send(data[i:i + 1])
            if liar.is_over.wait(0.1):
                return


def hang(liar, link, number, block):
    """Nothing, and the link stays open; pings are answered."""


def mute(liar, link, number, block):
    """Never says anything again, whatever it is asked."""


def stop_half_way(liar, link, number, block):
    """Half of the bytes, and then nothing more on this link, no answer to a ping either."""
    data = liar.version.block(number, block)
    with link.sending:
        link.send(peer.head(peer.RESPONSE, len(data), liar.version.chunk_id(number)) + data[:len(data) // 2])
        liar.is_over.wait()


def leave(liar, link, number, block):
    link.close()


def garbage(liar, link, number, block):
    link.send(random.Random(block).randbytes(100_000))


def huge(liar, link, number, block):
    """Announces 4 GiB, and begins with them."""
    link.send(peer.head(peer.RESPONSE, 0xFFFFFFFF, liar.version.chunk_id(number)) + SILENCE)


def unasked(liar, link, number, block):
    """A block that nobody asked for, again and again."""
    for _ in range(16):
        liar.give(link, number, (block + 1) % liar.version.blocks(number), SILENCE[:1000], force_last=True)


def refuse(liar, link, number, block):
    link.say(peer.ERROR, peer.u32(peer.NOT_HERE) + peer.u32(block) + peer.u32(1) + peer.u32(0),
             liar.version.chunk_id(number), block)


LIES = {f.__name__: f for f in (truth, wrong, torn, drip, hang, mute, stop_half_way, leave, garbage, huge, unasked, refuse)}


class Liar:
    """
    lie: one of LIES. other: a Content that it gives in place of the object's, with manifests that say so.
    has_manifest: it has hashes. signer: of manifests; None: itself. identity: None: a new one.
    """

    def __init__(self, version, lie, other=None, has_manifest=True, signer=None, host="127.0.0.1", identity=None):
        self.version, self.lie, self.other = version, LIES[lie], other
        self.has_manifest, self.signer = has_manifest, signer
        self.identity, self.incarnation = identity or peer.Identity(), int(time.time() * 1000)
        self.host, self.is_over, self.asked, self.errors = host, threading.Event(), [], []
        self.links, self.mutex = [], threading.Lock()
        self.listener = socket.create_server((host, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    # ---- for tests ----

    def join(self, port, host=None):
        """Becomes a member by the node that listens there, and says that it has the whole object."""
        link = self._serve(socket.create_connection((host or self.host, port)))
        join = peer.node_join(self.identity, self.incarnation, b"liar", self.host, self.port)
        link.say(peer.GOSSIP, peer.statement(join))
        self.announce()
        return link

    def announce(self):
        """Says to all whom it has a link with what it has; who is not the tracker does not care."""
        for link in self._living():
            with contextlib.suppress(OSError):
                link.say(peer.GOSSIP, peer.statement(peer.chunk_announce(self.version)))

    def close(self):
        self.is_over.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for link in self._living():
            link.close()

    # ---- links ----

    def _living(self):
        with self.mutex:
            return list(self.links)

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._greet, args=(sock,), daemon=True).start()

    def _greet(self, sock):
        with contextlib.suppress(peer.Closed, OSError):
            self._serve(sock)

    def _serve(self, sock):
        link = peer.shake_hands(sock, self.identity, port=self.port)
        with self.mutex:
            self.links.append(link)
        threading.Thread(target=self._read, args=(link,), daemon=True).start()
        return link

    def _read(self, link):
        try:
            while True:
                self._answer(link, link.read())
        except peer.Closed as e:
            if e.args:
                self.errors.append(e.args)
        except OSError:
            pass
        finally:
            with self.mutex:
                self.links.remove(link)
            link.close()

    def _answer(self, link, f):
        if self.lie is mute:
            return
        if f.kind == peer.PING and f.numbers()[0] == peer.QUESTION:
            link.say(peer.PING, peer.u32(peer.ANSWER) + f.data[4:], b"", f.sequence)
        elif f.kind == peer.CANCEL:
            link.say(peer.ACK, peer.u32(peer.CANCEL), f.chunk, f.sequence)
        elif f.kind == peer.GOSSIP and f.data[4] == peer.PROBE:
            link.say(peer.GOSSIP, peer.statement(peer.probe_ack(f.data[4:], self.incarnation)))
        elif f.kind >= peer.TRACKER and f.numbers()[0] == peer.QUESTION:
            link.say(peer.ERROR, peer.u32(peer.NOT_HERE) + bytes(12), b"", f.sequence)
        elif f.kind == peer.REQUEST:
            self._take(link, f)

    # ---- blocks ----

    def _take(self, link, f):
        number = self.version.number(f.chunk)
        first, count, wants = f.numbers()
        if number is None:
            link.say(peer.ERROR, peer.u32(peer.NOT_HERE) + f.data[:8] + peer.u32(0), f.chunk, first)
            return
        self.asked.append((number, first, count))
        n = self.version.blocks(number)
        if wants & peer.WANT_HAVE:
            link.say(peer.HAVE, peer.u32(n) + peer.u32((1 << n) - 1) + peer.u32(0), f.chunk)
        if self.has_manifest and (wants & peer.WANT_MANIFEST or count > 0):
            link.say(peer.MANIFEST, self._manifest(number), f.chunk)
        if count > 0:
            # Not in the reader's thread: who lies slowly goes on answering pings.
            threading.Thread(target=self._lie, args=(link, number, range(first, first + count)), daemon=True).start()

    def _manifest(self, number):
        return self.version.manifest(self.signer or self.identity, number, self._others if self.other else None)

    def _others(self, number, block):
        first = number * peer.CHUNK + block * MIB
        return self.other.bytes(first, min(first + MIB, self.version.length))

    def _lie(self, link, number, blocks):
        with contextlib.suppress(OSError):
            for block in blocks:
                if self.other:
                    self.give(link, number, block, self._others(number, block))
                else:
                    self.lie(self, link, number, block)

    def give(self, link, number, block, data, digest=None, force_last=False):
        is_last = block == self.version.blocks(number) - 1
        link.say(peer.RESPONSE, data, self.version.chunk_id(number), block, peer.LAST if is_last or force_last else 0,
                 digest)


# ---- those who never say who they are ----

def half_open(port, n=1000, sent=b"", host="127.0.0.1"):
    """n connections that say no more than `sent`; close() them. Fewer when they are refused."""
    socks = []
    for _ in range(n):
        try:
            s = socket.create_connection((host, port), timeout=10)
            s.sendall(sent)
        except OSError:
            break
        socks.append(s)
    return socks


def shouts():
    """name -> what a node may hear on a connection instead of a Hello."""
    hello = peer.pack(peer.HELLO, peer.Identity().hello())
    return {
        "http": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "tls": bytes.fromhex("16030100c8010000c40303") + os.urandom(200),
        "noise": os.urandom(4096),
        "zeros": bytes(4096),
        "half a hello": hello[:len(hello) // 2],
        "a hello of 4 GiB": peer.head(peer.HELLO, 0xFFFFFFFF) + bytes(4096),
        "a chunk id of 4 GiB": hello[:12] + peer.u32(0xFFFFFFFF) + bytes(4096),
        "a block before hello": peer.pack(peer.RESPONSE, bytes(1000), b"0" * 32 + b"-" + b"0" * 8, 0, peer.LAST),
        "two hellos": hello + hello,
        "a proof of nothing": hello + peer.pack(peer.PROOF, bytes(96)),
        "another version": hello[:4] + peer.u32(7) + hello[8:],
    }
