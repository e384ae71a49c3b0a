# SPDX-License-Identifier: MIT
"""
hushed: what no node may tell anybody: the secrets, tokens and signatures that tests used. Whatever a test's
own client sends is noted here, and every node is looked through when it ends (node.py), its directory on
disk too (tier.py).
"""
import base64
import os
import re
import urllib.parse

_texts = set()
_FIELDS = ("authorization", "proxy-authorization", "x-amz-security-token", "x-oss-security-token")
_IN_QUERY = re.compile(r"[?&](?:X-Amz-Signature|X-Amz-Security-Token|x-oss-signature|x-oss-security-token|Signature|"
                       r"security-token)=([^&#]*)", re.IGNORECASE)
SHORTEST = 16  # what is shorter may be there by chance
PIECE = 4 << 20  # bytes of a file at a time


def hush(*texts):
    _texts.update(t for t in texts if len(t) >= SHORTEST)


def _hush_basic(value):
    try:
        hush(base64.b64decode(value, validate=True).decode().partition(":")[2])
    except ValueError:
        pass  # it is not what it says


def _hush_field(value):
    scheme, _, rest = str(value).partition(" ")
    signature = re.search(r"Signature=([^, ]+)", rest)
    hush(signature[1] if signature else rest.rpartition(":")[2] or scheme)
    if scheme.lower() == "basic":
        _hush_basic(rest)


def hush_request(target, fields):
    for name, value in fields:
        if name.lower() in _FIELDS:
            _hush_field(value)
    for found in _IN_QUERY.findall(target):
        hush(found, urllib.parse.unquote(found))


def told(text):
    """What of it the text tells."""
    return [t for t in _texts if t in text]


def _pieces(fd, overlap):
    """What the file has between its holes; each piece begins with the end of the one before it."""
    at, end = 0, os.fstat(fd).st_size
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return  # the rest is a hole
        until = os.lseek(fd, at, os.SEEK_HOLE)
        for first in range(at, until, PIECE):
            begin = max(first - overlap, 0)
            yield os.pread(fd, min(first + PIECE, until) - begin, begin)
        at = until


def _told_by_file(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        longest = max(map(len, _texts), default=0)
        return sorted({t for piece in _pieces(fd, longest) for t in told(piece.decode("latin-1"))})
    finally:
        os.close(fd)


def told_by_files(directory):
    """(name, what of it the file tells) of the files below that tell something. They may be long and full of holes."""
    found = [(p.name, _told_by_file(p)) for p in directory.rglob("*") if p.is_file()]
    return [(name, texts) for name, texts in found if texts]
