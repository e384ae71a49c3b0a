# SPDX-License-Identifier: MIT
"""The double of a node that lies has to speak the protocol as documented, and lie as it is told."""
import hashlib
import pathlib
import re
import socket

import pytest

import liar
import peer
from content import MIB, Content

PROTOCOL = pathlib.Path(__file__).parents[2] / "docs" / "protocol.md"
HELLO_CLOCK = 1700000000000


class Text:
    """What the example of docs/protocol.md moves."""

    size, etag = 11, '"5eb63bbbe01eeed093cb22bb8f5acdc3"'

    @staticmethod
    def bytes(first, end):
        return b"hello world"[first:end]


@pytest.fixture(scope="module")
def documented():
    """name -> bytes"""
    blocks = re.findall(r"^```frame (\S+)\n(.*?)^```$", PROTOCOL.read_text(), re.M | re.S)
    return {name: bytes.fromhex("".join(line[:47] for line in text.splitlines())) for name, text in blocks}


def frame_of(data):
    with socket.create_server(("127.0.0.1", 0)) as s:
        here, there = socket.create_connection(s.getsockname()), s.accept()[0]
    with here, there:
        there.sendall(data)
        return peer.Link(here).read()


def test_every_documented_frame_is_read_and_made_again(documented):
    assert len(documented) >= 12
    for name, data in documented.items():
        f = frame_of(data)
        assert peer.pack(f.kind, f.data, f.chunk, f.sequence, f.flags) == data, name


def test_hello_proof_and_manifest_are_made_as_documented(documented):
    who = peer.Identity(bytes(range(32)))
    hello = who.hello(9000, 8082, b"node-7", b"train", b"rack-3", bytes(range(16)), HELLO_CLOCK)
    assert peer.pack(peer.HELLO, hello) == documented["hello"]
    assert peer.pack(peer.PROOF, who.proof(hello, bytes(range(32)))) == documented["proof"]
    version = peer.Version("http://s3.test/demo/hello.txt", Text)
    manifest = frame_of(documented["manifest"])
    assert version.chunk_id(0) == manifest.chunk
    signed = manifest.data[-64:]
    who.key.public_key().verify(signed, b"eliop2p manifest 1\n" + manifest.chunk + peer.sha256(
        manifest.data[12:-64 - 32 - 64 - 8]) + manifest.data[-64 - 32 - 64 - 8:-64])
    ours = version.manifest(who, 0)
    assert ours[-64 - 32 - 64 - 8:-64] == manifest.data[-64 - 32 - 64 - 8:-64]


def test_the_tree_hash_is_that_of_pairs():
    a, b, c = (peer.sha256(x) for x in (b"a", b"b", b"c"))
    assert peer.tree_hash([a]) == a
    assert peer.tree_hash([a, b, c]) == peer.sha256(peer.sha256(a + b) + c)


SIZE = 17 * MIB + 3


@pytest.fixture
def asker():
    """asker(lie, ...) -> the liar and a link to it"""
    them = []

    def make(*args, **kw):
        version = peer.Version("http://127.0.0.1:1/a", Content("/a", SIZE))
        they = liar.Liar(version, *args, **kw)
        link = peer.shake_hands(socket.create_connection(("127.0.0.1", they.port)), peer.Identity())
        them.extend([they, link])
        return they, link

    yield make
    for it in them:
        it.close()


def ask(they, link, number, first, count, wants=peer.WANT_MANIFEST | peer.WANT_HAVE):
    link.say(peer.REQUEST, peer.u32(first) + peer.u32(count) + peer.u32(wants), they.version.chunk_id(number), first)


def test_who_tells_the_truth_gives_what_it_has_and_proves_who_it_is(asker):
    they, link = asker("truth")
    assert link.peer.node_id == they.identity.node_id and link.peer.port == they.port
    ask(they, link, 1, 0, 2)
    have, manifest, *blocks = (link.read() for _ in range(4))
    assert have.kind == peer.HAVE and have.numbers() == (2, 3, 0)
    assert manifest.kind == peer.MANIFEST
    content = they.version.content
    assert [b.data for b in blocks] == [content.bytes(16 * MIB, 17 * MIB), content.bytes(17 * MIB, SIZE)]
    assert [(b.sequence, b.flags) for b in blocks] == [(0, 0), (1, peer.LAST)]
    assert all(hashlib.sha256(b.data).digest() in manifest.data for b in blocks)
    assert they.asked == [(1, 0, 2)]


def test_wrong_bytes_come_in_a_right_frame_and_are_not_those_of_the_manifest(asker):
    they, link = asker("wrong")
    ask(they, link, 1, 1, 1)
    _, manifest, block = (link.read() for _ in range(3))
    assert hashlib.sha256(block.data).digest() not in manifest.data and len(block.data) == MIB + 3 - MIB


def test_an_object_of_its_own_has_a_manifest_of_its_own(asker):
    they, link = asker("truth", other=Content("/b", SIZE))
    ask(they, link, 0, 0, 1)
    _, manifest, block = (link.read() for _ in range(3))
    assert block.data == Content("/b", SIZE).bytes(0, MIB)
    assert hashlib.sha256(block.data).digest() in manifest.data


def test_a_torn_frame_is_seen_as_one(asker):
    they, link = asker("torn")
    ask(they, link, 0, 0, 1, 0)
    assert link.read().kind == peer.MANIFEST
    with pytest.raises(AssertionError, match="another hash"):
        link.read()


def test_who_keeps_silent_still_answers_pings(asker):
    they, link = asker("hang", has_manifest=False)
    ask(they, link, 0, 0, 1, 0)
    link.say(peer.PING, peer.u32(peer.QUESTION) + peer.u64(7), b"", 3)
    pong = link.read()
    assert (pong.kind, pong.sequence, pong.data) == (peer.PING, 3, peer.u32(peer.ANSWER) + peer.u64(7))


@pytest.mark.parametrize("lie, n", [("drip", 3), ("stop_half_way", MIB // 2)])
def test_who_is_slow_or_stops_sends_what_is_right_so_far(asker, lie, n):
    they, link = asker(lie, has_manifest=False)
    ask(they, link, 0, 0, 1, 0)
    head = peer.head(peer.RESPONSE, MIB, they.version.chunk_id(0))
    assert link.rd.read(len(head) + n) == head + they.version.content.bytes(0, n)


@pytest.mark.parametrize("lie, says", [("huge", 0xFFFFFFFF), ("garbage", None)])
def test_what_is_no_frame_is_none(asker, lie, says):
    they, link = asker(lie, has_manifest=False)
    ask(they, link, 0, 0, 1, 0)
    got = link.rd.read(61)
    assert (got[57:] == peer.u32(says)) if says else got[:4] != peer.u32(peer.MAGIC)


def test_half_open_connections_stay_open():
    with socket.create_server(("127.0.0.1", 0), backlog=64) as s:
        socks = liar.half_open(s.getsockname()[1], 20, b"CHKP")
        assert len(socks) == 20
        for sock in socks:
            sock.close()


def test_who_is_asked_for_another_object_has_nothing(asker):
    they, link = asker("truth")
    link.say(peer.REQUEST, peer.u32(0) + peer.u32(1) + peer.u32(0), b"0" * 32 + b"-" + b"0" * 8, 0)
    refusal = link.read()
    assert refusal.kind == peer.ERROR and refusal.numbers()[:3] == (peer.NOT_HERE, 0, 1)
