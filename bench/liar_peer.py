# SPDX-License-Identifier: MIT
"""One that joins a cluster, says that it has all of an object, and does not behave (tests/e2e/liar.py).

    liar_peer.py LIE URL FILE ETAG OWN-ADDRESS PORT NODE...

Prints "ready" once it has told each node of the object; asked for it, the number of blocks that it was asked for, and
ends.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests" / "e2e"))
sys.dont_write_bytecode = True

import liar
import peer


class File:
    """The object as its origin has it."""

    def __init__(self, path, etag):
        self.file, self.etag = open(path, "rb"), etag
        self.size = os.fstat(self.file.fileno()).st_size

    def bytes(self, first, end):
        return os.pread(self.file.fileno(), end - first, first)


class Reckoned(liar.Liar):
    """Its manifests are made before anybody asks: a peer does not reckon while it is awaited."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.manifests = {n: super(Reckoned, self)._manifest(n) for n in self.version.chunks()}

    def _manifest(self, number):
        return self.manifests[number]


def main():
    lie, url, path, etag, own, port, *nodes = sys.argv[1:]
    they = Reckoned(peer.Version(url, File(path, etag)), lie, host=own)
    for node in nodes:
        they.join(int(port), node)
    they.announce()
    print("ready", flush=True)
    sys.stdin.readline()
    print(sum(n for _, _, n in they.asked), flush=True)
    they.close()


if __name__ == "__main__":
    main()
