# SPDX-License-Identifier: MIT
"""content: what the bytes of every test object are, at any offset, without storing them.

Block i (1 MiB) of an object is one fixed random megabyte, rotated by an amount that depends on the
object's name, its version and i. So a slice of any object costs no memory, and bytes from another
place, another version or another object never compare equal.
"""
import hashlib
import random

MIB = 1 << 20
_STEP = 0x9E375  # odd, so that the first 2**20 blocks of an object all differ

_tile = random.Random(20).randbytes(MIB)
_twice = memoryview(_tile + _tile)


class Content:
    def __init__(self, name, size, version=1):
        digest = hashlib.sha256(f"{name}\0{version}".encode()).digest()
        self.size = size
        self.etag = '"' + digest.hex()[:40] + '"'
        self._turn = int.from_bytes(digest[:4], "big")

    def piece(self, offset):
        """The bytes from offset to the end of its block or of the object, as a view."""
        block, inside = divmod(offset, MIB)
        at = (self._turn + block * _STEP) % MIB
        n = min(MIB - inside, self.size - offset)
        return _twice[at + inside:at + inside + n]

    def pieces(self, first=0, end=None):
        end = self.size if end is None else end
        while first < end:
            view = self.piece(first)[:end - first]
            yield view
            first += len(view)

    def bytes(self, first=0, end=None):
        return b"".join(self.pieces(first, end))

    def sha256(self):
        h = hashlib.sha256()
        for view in self.pieces():
            h.update(view)
        return h.hexdigest()

    def differs_at(self, offset, data):
        """None when data are the bytes at offset, else the offset of the first block with a wrong byte."""
        view, seen = memoryview(data), 0
        while seen < len(view):
            if offset + seen >= self.size:
                return offset + seen
            want = self.piece(offset + seen)[:len(view) - seen]
            if bytes(view[seen:seen + len(want)]) != bytes(want):
                return offset + seen
            seen += len(want)
        return None
