# SPDX-License-Identifier: MIT
"""checks: the claims that many tests make about an answer."""
import re


def is_exact(r, content):
    """The whole object, all of it, nothing else."""
    assert r is not None, "the connection was closed without an answer"
    assert r.status == 200, r
    assert r.complete and r.received == content.size, r
    assert content.differs_at(0, r.body) is None, f"wrong bytes from {content.differs_at(0, r.body)}"


def is_part(r, content, first, end):
    assert r is not None, "the connection was closed without an answer"
    assert r.status == 206 and r.complete, r
    assert r.get("Content-Range") == f"bytes {first}-{end - 1}/{content.size}", r
    assert r.body == content.bytes(first, end)


def is_truth(r, *versions):
    """
    Right bytes of one of the versions, or an error that the client can see: what a proxy may say when
    its origin misbehaves. Returns the version that was given, None for an error.
    """
    if r is None or r.status >= 500:
        return None
    assert r.status in (200, 206), r
    first = int(re.match(r"bytes (\d+)-", r.get("Content-Range")).group(1)) if r.status == 206 else 0
    matching = [c for c in versions if c.differs_at(first, r.body) is None]
    if not r.complete:
        # What came before the cut has to be right as well.
        assert matching or not r.body, f"wrong bytes before the cut: {r}"
        return None
    assert matching, f"a complete answer with wrong bytes: {r}"
    given = matching[0]
    assert r.status == 206 or r.received == given.size, f"a part passed off as the whole: {r}"
    return given


def is_our_error(r, *statuses):
    """An error of the node itself: it says what failed, in the form of RFC 9457."""
    assert r is not None and r.status in statuses, r
    assert r.get("Content-Type") == "application/problem+json", r
    assert r.complete and b'"title"' in r.body, r.body
