#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Frames of the P2P protocol from its description alone (docs/protocol.md), independent of the code.

  wire_vectors.py DOCUMENT     writes each frame into its ```frame NAME block there
  wire_vectors.py --corpus DIR writes them for fuzz_wire_reader, fuzz_payload and fuzz_manifest

Needs python3-cryptography for the signature."""
import hashlib
import pathlib
import re
import struct
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

URL = b"http://s3.test/demo/hello.txt"
BODY = b"hello world"
ETAG = b'"5eb63bbbe01eeed093cb22bb8f5acdc3"'
RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
SECRET = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = SECRET.public_key().public_bytes(*RAW)


def sha256(b):
    return hashlib.sha256(b).digest()


def u16(v):
    return struct.pack(">H", v)


def u32(v):
    return struct.pack(">I", v)


def u64(v):
    return struct.pack(">Q", v)


def chunk_id(index):
    items = (URL, b"", ETAG, u64(len(BODY)))
    version = b"".join(u64(len(i)) + i for i in items)
    return f"{sha256(version)[:16].hex()}-{index:08x}".encode()


ID = chunk_id(0)


class Frame:
    """Pieces with what they are, in the order in which they go out."""

    def __init__(self, kind, name, chunk, data, sequence=0, flags=0):
        whole = b"".join(b for b, _ in data)
        self.kind, self.chunk, self.data, self.sequence, self.flags = kind, chunk, whole, sequence, flags
        self.pieces = [(u32(0x43484B50), 'magic "CHKP"'), (u32(1), "version"), (u32(kind), f"type: {name}")]
        self.pieces += [(u32(len(chunk)), "chunk id length")]
        self.pieces += [(chunk, "chunk id")] if chunk else []
        self.pieces += [(u32(len(whole)), "data length")] + data
        self.pieces += [(sha256(whole), "hash"), (u32(sequence), "sequence number"), (bytes([flags]), "flags")]

    def dump(self):
        lines = []
        for piece, what in self.pieces:
            for i in range(0, len(piece), 16):
                row = piece[i:i + 16].hex(" ")
                lines.append(f"{row:47}  {what if i == 0 else ''}".rstrip())
        return "\n".join(lines) + "\n"

    def without_hash(self):
        pieces = [b for b, what in self.pieces if what != "hash"]
        return b"".join(pieces)


def text(s):
    return bytes([len(s)]) + s


def piece(s):
    return u16(len(s)) + s


OBJECT = [
    (piece(URL), "length and origin URL"),
    (u64(len(BODY)), "length of the object"),
    (u16(200), "status"),
    (u16(1 | 2 | 4), "strong validator, public, from an object store"),
    (u64(1700000000123), "when the answer came"),
    (u64(0), "its age then"),
    (u64(10000), "its lifetime"),
    (u16(0), "no names of Vary"),
    (piece(b""), "no variant"),
    (u16(2), "fields"),
    (piece(b"Content-Type"), "name"),
    (piece(b"text/plain"), "value"),
    (piece(b"ETag"), "name"),
    (piece(ETAG), "value"),
]


def manifest(has_object, hashes):
    part = b"".join(b for b, _ in OBJECT)
    bitmap = (1 << len(hashes)) - 1
    chunk = [(u32(len(BODY)), "length of the chunk"), (u32(bitmap), "bitmap of its hashes")]
    chunk += [(h, f"SHA-256 of block {i}") for i, h in enumerate(hashes)]
    chunk += [(hashes[0], "tree hash: that of the only block")] if hashes else []
    chunk += [(KEY, "public key of the signer")]
    signed = b"eliop2p manifest 1\n" + ID + sha256(part) + b"".join(b for b, _ in chunk)
    data = [(u32(1 if has_object else 0), "parts"), (u64(42), "age")]
    data += OBJECT if has_object else [(sha256(part), "SHA-256 of the object part")]
    data += chunk + [(SECRET.sign(signed), "signature")]
    return Frame(6, "Manifest", ID, data)


HELLO = Frame(5, "Hello", b"", [
    (u32(1), "lowest version"), (u32(1), "highest version"), (u64(0), "features"),
    (u64(1700000000000), "clock"), (u16(9000), "P2P port"), (u16(8082), "node API port"),
    (sha256(KEY), "node id"), (bytes(range(16)), "nonce"), (text(b"node-7"), "length and name"),
    (text(b"train"), "length and cluster"), (text(b"rack-3"), "length and zone")])


def proof(hello, hash_of_other, exported):
    signed = b"eliop2p proof 1\n" + sha256(hello.data) + hash_of_other + exported
    return Frame(10, "Proof", b"", [(KEY, "public key"), (SECRET.sign(signed), "signature")])


FRAMES = {
    "hello": HELLO,
    "proof": proof(HELLO, bytes(range(32)), bytes(32)),
    "request": Frame(1, "Request", ID, [
        (u32(0), "first block"), (u32(1), "count"), (u32(1 | 2), "manifest, also what is still to come")]),
    "manifest": manifest(True, [sha256(BODY)]),
    "response": Frame(2, "Response", ID, [(BODY, '"hello world"')], 0, 4),
    "error": Frame(3, "Error", ID, [
        (u32(3001), "code: not here"), (u32(0), "first block"), (u32(1), "count"), (u32(0), "no use in trying again"),
        (b"evicted", '"evicted"')]),
    "manifest-again": manifest(False, []),
    "have": Frame(7, "Have", ID, [(u32(1), "blocks"), (u32(0), "none is here"), (u32(1), "more will come")]),
    "cancel": Frame(8, "Cancel", ID, [(u32(0), "first block"), (u32(0), "all of the chunk")]),
    "ack": Frame(4, "Ack", ID, [(u32(8), "of a Cancel")]),
    "ping": Frame(9, "Ping", b"", [(u32(1), "question"), (u64(0x0123456789ABCDEF), "stamp")], 7),
    "gossip": Frame(16, "Gossip", b"", [(u32(3), "statement"), (b"(a message)", "message")]),
}


def write_document(path):
    document = path.read_text()
    for name, frame in FRAMES.items():
        block = re.compile(rf"(^```frame {name}\n).*?(^```$)", re.M | re.S)
        document, n = block.subn(lambda m, f=frame: m[1] + f.dump() + m[2], document)
        assert n == 1, name
    path.write_text(document)


def broken():
    block, hello = FRAMES["response"].without_hash(), FRAMES["hello"].without_hash()
    return {
        "bad_magic": b"CHKQ" + block[4:],
        "bad_version": block[:4] + u32(2) + block[8:],
        "bad_type": block[:8] + u32(11) + block[12:],
        "bad_id": block[:16] + block[16:57].upper() + block[57:],
        "id_of_4_gib": block[:12] + u32(0xFFFFFFFF) + block[16:],
        "data_of_4_gib": block[:57] + u32(0xFFFFFFFF) + block[61:],
        "no_data": block[:57] + u32(0),
        "compressed": block[:-1] + bytes([2]),
        "not_the_last": block[:-1] + bytes([0]),
        "block_16": block[:-5] + u32(16) + block[-1:],
        "second_hello": hello,
    }


def write_corpus(root):
    for target in ("wire_reader", "payload", "manifest"):
        (root / target).mkdir(exist_ok=True)
    for name, f in FRAMES.items():
        before = b"\0" if f is HELLO else b"\1"
        (root / "wire_reader" / name).write_bytes(before + f.without_hash())
        if f.kind == 6:
            (root / "manifest" / name).write_bytes(f.chunk + f.data)
        else:
            start = bytes([f.kind, len(f.chunk) > 0, f.flags])
            (root / "payload" / name).write_bytes(start + u32(f.sequence) + f.data)
    all_but_hello = [f.without_hash() for n, f in FRAMES.items() if n != "hello"]
    (root / "wire_reader" / "all").write_bytes(b"\1" + b"".join(all_but_hello))
    (root / "wire_reader" / "cut").write_bytes(b"\1" + all_but_hello[1][:200])
    (root / "wire_reader" / "empty").write_bytes(b"")
    for name, bad in broken().items():
        (root / "wire_reader" / name).write_bytes(b"\1" + bad)


if sys.argv[1] == "--corpus":
    write_corpus(pathlib.Path(sys.argv[2]))
else:
    write_document(pathlib.Path(sys.argv[1]))
