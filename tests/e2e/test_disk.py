# SPDX-License-Identifier: MIT
"""
The SSD tier in ordinary life: what memory no longer has comes from disk, a restart keeps it, and what
HTTP promises of an object holds when only the disk has it.
"""
import os
import shutil
import subprocess
import time

import pytest

import wire
from checks import is_exact, is_part
from content import MIB
from node import SANITIZED
from tier import committed, on_disk, store, stores, wait_for

IO = pytest.mark.parametrize("io", ["io_uring", "threads"])
BIG = [20 * MIB, 12 * MIB, 3 * MIB + 7, 300_000, 4096, 1]
FOREVER = "max-age=2147483647"  # fresh until 2038 even if it is counted from 1970


def objects(sizes, times=1):
    return [f"/bytes/{size}/o{i}-{t}" for t in range(times) for i, size in enumerate(sizes)]


@IO
def test_what_memory_no_longer_has_comes_from_disk(tier, origin, io):
    node = tier.start(cache__disk_io=io)
    paths = objects(BIG, 2 if SANITIZED else 9)
    tier.keep(node, *paths)
    assert store(node)["io"] == io
    wait_for(lambda: store(node)["used_bytes"] == sum(on_disk(origin.content(p).size) for p in paths))
    origin.forget()
    for p in paths:
        assert tier.exact(node, p).x_cache == "HIT"
    assert origin.requests() == []
    assert store(node)["read_bytes"] >= sum(origin.content(p).size for p in paths) - 2 * 64 * MIB
    assert store(node)["mismatches"] == 0


def test_what_says_that_it_is_longer_than_anything_kept_is_passed_through(tier, origin):
    node = tier.start()
    origin.add("/endless", size=3 * MIB, extra_length=1 << 48)
    for _ in range(2):
        r = tier.get(node, "/endless")
        assert r.status == 200 and "fwd=bypass" in r.get("Cache-Status") and not r.complete
        assert origin.content("/endless").differs_at(0, r.body) is None
    assert tier.exact(node, "/bytes/1000/other").x_cache == "MISS"
    assert len(origin.requests("/endless")) == 2


@IO
def test_an_orderly_restart_keeps_everything_and_asks_nobody(tier, origin, io):
    paths = objects(BIG)
    node = tier.start(cache__disk_io=io)
    tier.keep(node, *paths)
    # The numbers of the status are read one after the other while a chunk lands: all of it has landed when the bytes have.
    wait_for(lambda: store(node)["used_bytes"] == sum(on_disk(size) for size in BIG))
    before = store(node)
    node.stop()
    origin.forget()
    node = tier.start(cache__disk_io=io)
    for p in paths:
        assert tier.exact(node, p).x_cache == "HIT"
    assert origin.requests() == []
    after = store(node)
    assert [after[k] for k in ("objects", "chunks", "used_bytes")] == [before[k] for k in ("objects", "chunks", "used_bytes")]


@IO
def test_after_a_kill_each_object_is_confirmed_once_and_none_is_fetched(tier, origin, io):
    paths = objects(BIG)
    node = tier.start(cache__disk_io=io)
    tier.keep(node, *paths)
    committed(node)
    node.crash()
    node = tier.start(cache__disk_io=io)
    for p in paths:
        origin.forget()
        for _ in range(2):
            assert tier.exact(node, p).x_cache == "HIT"
        assert tier.asked() == [("GET", 304)]


def test_objects_of_the_same_url_that_differ_by_a_field_are_all_kept(tier, origin):
    path = "/packed"
    origin.add(path, size=3 * MIB, gzip=True)
    node = tier.start()
    answers = {}
    for coding in ("gzip", "identity"):
        answers[coding] = tier.get(node, path, [("Accept-Encoding", coding)])
        assert answers[coding].status == 200 and answers[coding].complete
    wait_for(lambda: store(node)["objects"] == 2)
    node.stop()
    origin.forget()
    node = tier.start()
    for coding, r in answers.items():
        again = tier.get(node, path, [("Accept-Encoding", coding)])
        assert again.complete and again.body == r.body and again.get("ETag") == r.get("ETag")
    assert origin.requests() == []


def test_a_smaller_and_then_a_larger_size_serve_what_is_left(tier, origin):
    paths = objects(BIG, 5)
    node = tier.start()
    tier.keep(node, *paths)
    for size_mb in (80, 1024):
        node.stop()
        node = tier.start(cache__disk_cache_size_mb=size_mb)
        s = store(node)
        assert s["limit_bytes"] == size_mb * MIB and 0 < s["used_bytes"] <= s["limit_bytes"]
        assert (tier.dir / "store").stat().st_size == size_mb * MIB
        origin.forget()
        for p in paths:
            tier.exact(node, p)
        # What the objects take is at most rounded up. In a full store one may leave for another, though.
        room = s["used_bytes"] if size_mb > 80 else 0
        assert origin.body_sent() <= sum(on_disk(origin.content(p).size) for p in paths) - room


def test_more_than_the_disk_holds_passes_through_it(tier, origin):
    node = tier.start(cache__disk_cache_size_mb=128)
    paths = objects([5 * MIB, 300_000], 60)
    for p in paths:
        tier.exact(node, p)
    for p in reversed(paths):
        tier.exact(node, p)
    s = store(node)
    assert s["used_bytes"] <= s["limit_bytes"] == 128 * MIB and s["mismatches"] == 0
    node.stop()
    node = tier.start(cache__disk_cache_size_mb=128)
    for p in paths:
        tier.exact(node, p)
    assert store(node)["mismatches"] == 0


# ---- HTTP of what only the disk has ----


@pytest.fixture
def only_on_disk(tier, origin):
    """(node, path): a node that has just been started on a directory in which the object is."""
    path = f"/bytes/{20 * MIB + 5}/only"
    node = tier.start()
    tier.keep(node, path)
    node.stop()
    origin.forget()
    yield tier.start(), path
    assert origin.requests() == []


def test_a_head_needs_no_origin(tier, origin, only_on_disk):
    node, path = only_on_disk
    r = tier.get(node, path, method="HEAD")
    assert r.status == 200 and r.get("Content-Length") == str(20 * MIB + 5)
    assert r.get("ETag") == origin.content(path).etag
    assert store(node)["read_blocks"] == 0


@pytest.mark.parametrize("asked, first, end", [
    ("0-0", 0, 1), ("100-299", 100, 300), (f"{MIB - 1}-{MIB}", MIB - 1, MIB + 1), (f"{18 * MIB}-", 18 * MIB, 20 * MIB + 5),
    ("-7", 20 * MIB - 2, 20 * MIB + 5), (f"{3 * MIB}-{17 * MIB}", 3 * MIB, 17 * MIB + 1)])
def test_a_range_is_read_from_disk(tier, origin, only_on_disk, asked, first, end):
    node, path = only_on_disk
    r = tier.get(node, path, [("Range", f"bytes={asked}")])
    is_part(r, origin.content(path), first, end)
    assert r.x_cache == "HIT"


def test_a_range_beyond_the_end_is_refused(tier, only_on_disk):
    node, path = only_on_disk
    r = tier.get(node, path, [("Range", f"bytes={21 * MIB}-")])
    assert r.status == 416 and r.get("Content-Range") == f"bytes */{20 * MIB + 5}"


def test_if_range_decides_between_the_part_and_the_whole(tier, origin, only_on_disk):
    node, path = only_on_disk
    content = origin.content(path)
    is_part(tier.get(node, path, [("Range", "bytes=5-9"), ("If-Range", content.etag)]), content, 5, 10)
    is_exact(tier.get(node, path, [("Range", "bytes=5-9"), ("If-Range", '"another"')]), content)


def test_conditions_are_answered_from_disk(tier, origin, only_on_disk):
    node, path = only_on_disk
    etag = origin.content(path).etag
    for fields in ([("If-None-Match", etag)], [("If-Modified-Since", "Tue, 01 Sep 2026 10:00:00 GMT")]):
        r = tier.get(node, path, fields)
        assert r.status == 304 and r.received == 0, r
    is_exact(tier.get(node, path, [("If-None-Match", '"another"')]), origin.content(path))


# ---- what is no longer true ----


def change(tier, node, path, verb, size):
    """Changes the object through the node; returns what a reader has to get from then on, None: nothing."""
    r = wire.fetch(node.port, tier.origin.url + path, method=verb, body=b"n" * size if verb == "PUT" else None)
    assert r.status in (200, 204)
    return b"n" * size if verb == "PUT" else None


def is_what_it_became(r, body):
    if body is None:
        assert r.status == 404, r
    else:
        assert r.status == 200 and r.complete and r.body == body, r


@pytest.mark.parametrize("end", ["stop", "crash"])
@pytest.mark.parametrize("verb", ["PUT", "DELETE"])
def test_a_change_outlives_a_restart(tier, origin, verb, end):
    # So long that the change is not in the index when the node is killed.
    options = {"cache__disk_commit_ms": 2000}
    path = "/changes"
    origin.add(path, size=20 * MIB, cache_control=FOREVER)
    node = tier.start()
    tier.keep(node, path)
    node.stop()
    node = tier.start(**options)
    body = change(tier, node, path, verb, 5000)
    getattr(node, end)()
    node = tier.start(**options)
    is_what_it_became(tier.get(node, path), body)
    is_what_it_became(tier.get(node, path, [("Cache-Control", "max-stale")]), body)


@pytest.mark.parametrize("field", [(), ("Cache-Control", "max-stale")])
def test_what_a_crash_may_have_lost_is_not_believed_without_the_origin(tier, origin, field):
    path = "/changes"
    origin.add(path, size=3 * MIB, cache_control=FOREVER)
    node = tier.start(cache__disk_commit_ms=20)
    tier.keep(node, path)
    node.stop()
    node = tier.start(cache__disk_commit_ms=5000)
    body = change(tier, node, path, "PUT", 5000)
    node.crash()
    node = tier.start()
    is_what_it_became(tier.get(node, path, [field] if field else []), body)


def test_a_later_orderly_end_does_not_vouch_for_what_an_earlier_crash_lost(tier, origin):
    path = "/changes"
    origin.add(path, size=3 * MIB, cache_control=FOREVER)
    node = tier.start()
    tier.keep(node, path)
    node.stop()
    node = tier.start(cache__disk_commit_ms=5000)
    body = change(tier, node, path, "PUT", 5000)
    node.crash()
    tier.start().stop()  # nobody asked for the object meanwhile
    is_what_it_became(tier.get(tier.start(), path), body)


def test_an_object_that_changed_at_the_origin_is_replaced_on_disk(tier, origin):
    path = "/renewed"
    k = origin.add(path, size=12 * MIB, cache_control="max-age=0")
    node = tier.start()
    for version in (1, 2, 3):
        k.version = version
        tier.keep(node, path)
    wait_for(lambda: store(node)["used_bytes"] == 12 * MIB, why=lambda: str(store(node)))
    node.stop()
    origin.forget()
    assert tier.exact(tier.start(), path).x_cache == "HIT"
    assert tier.asked() == [("GET", 304)]


# ---- who may read it ----


def test_a_private_object_leaves_the_disk_only_after_the_origin_agreed(tier, origin):
    path, mine, yours = "/private", ("Authorization", "mine"), ("Authorization", "yours")
    origin.add(path, size=5 * MIB, authorized=("mine",), cache_control="")
    node = tier.start(storage__type="s3")
    before = store(node)["written_blocks"]
    is_exact(tier.get(node, path, [mine]), origin.content(path))
    wait_for(lambda: store(node)["written_blocks"] == before + 5)
    node.stop()
    for who, status in ((yours, 403), (None, 403), (mine, 200)):
        node = tier.start(storage__type="s3")
        origin.forget()
        r = tier.get(node, path, [who] if who else [])
        assert r.status == status, r
        (asked,) = origin.requests()
        assert asked.get("Authorization") == (who[1] if who else None)
        if status == 200:
            is_exact(r, origin.content(path))
            assert asked.status == 304 and r.x_cache == "HIT"
            assert store(node)["read_blocks"] == 5
        else:
            assert r.received < 2000 and store(node)["read_blocks"] == 0
        node.stop()


# ---- the directory ----


def test_two_nodes_do_not_share_a_directory(tier, origin):
    first = tier.start()
    tier.keep(first, "/bytes/3000000/shared")
    committed(first)
    second = tier.start(is_up=False, wait=False)
    assert second.wait() not in (0, -6, -11)
    second.wanted_code = second.process.returncode
    assert str(tier.dir) in second.log() and "in use" in second.log()
    assert "node.ready" not in second.log()
    tier.exact(first, "/bytes/3000000/shared")
    first.crash()
    origin.forget()
    tier.exact(tier.start(), "/bytes/3000000/shared")
    assert origin.body_sent() == 0


def test_two_directories_hold_a_large_object_together(tier, origin):
    dirs = {"cache__disk_cache_path": f"{tier.dir / 'a'},{tier.dir / 'b'}"}
    path = f"/bytes/{150 * MIB}/wide"
    node = tier.start(**dirs, cache__memory_cache_size_mb=256)
    tier.keep(node, path)
    assert all(s["chunks"] > 0 for s in stores(node))
    node.stop()
    origin.forget()
    node = tier.start(**dirs)
    wait_for(lambda: all(s["state"] == "normal" for s in stores(node)))
    assert tier.exact(node, path).x_cache == "HIT"
    assert origin.requests() == []


@pytest.mark.parametrize("damage", ["one stays away", "the other comes in its place"])
def test_a_directory_that_comes_and_goes_costs_only_its_own_part(tier, origin, damage):
    a, b = tier.dir / "a", tier.dir / "b"
    path = f"/bytes/{150 * MIB}/wide"
    node = tier.start(cache__disk_cache_path=f"{a},{b}", cache__memory_cache_size_mb=256)
    tier.exact(node, path)
    node.stop()
    node = tier.start(cache__disk_cache_path=a if damage == "one stays away" else f"{b},{a}")
    tier.exact(node, path)
    assert node.status()["cache"]["disk"]["stores"][0]["mismatches"] == 0


# ---- how it reads and writes ----


def test_where_io_uring_is_refused_threads_take_over_and_say_so_once(tier, origin):
    here = os.path.dirname(os.path.abspath(__file__))
    launch = ["/usr/bin/python3", os.path.join(here, "no_uring.py")]
    paths = objects(BIG, 3)
    node = tier.start(launch=launch)
    tier.keep(node, *paths)
    assert store(node)["io"] == "threads"
    assert node.log().count("disk.no_io_uring") == 1
    origin.forget()
    for p in paths:
        tier.exact(node, p)
    assert origin.requests() == [] and store(node)["read_blocks"] > 0


def test_io_uring_that_was_demanded_and_is_refused_is_said(tier, origin):
    here = os.path.dirname(os.path.abspath(__file__))
    launch = ["/usr/bin/python3", os.path.join(here, "no_uring.py")]
    node = tier.start(launch=launch, is_up=False, wait=False, cache__disk_io="io_uring")
    wait_for(lambda: "node.ready" in node.log() or node.process.poll() is not None)
    assert "disk.down" in node.log() or "io_uring" in node.log()
    if node.process.poll() is not None:
        node.wanted_code = node.process.returncode
        assert node.wanted_code not in (-6, -11)


def is_a_crash_while_it_loads(tier, after_s, **options):
    """False: it was none, or the kill came before anything was written, or after all was loaded."""
    index = tier.dir / "index" / "data.mdb"
    before = index.stat().st_mtime_ns
    node = tier.start(is_up=False, wait=False, **options)
    while index.stat().st_mtime_ns == before and "disk.loaded" not in node.log():
        pass
    time.sleep(after_s)
    node.crash()
    if "disk.loaded" in node.log():
        return False
    node = tier.start(**options)
    loaded = next(l for l in node.log().splitlines() if "disk.loaded" in l)
    node.stop()
    return "clean=0" in loaded


def test_a_large_index_is_loaded_whole_and_a_kill_meanwhile_is_a_crash(tier):
    fill = os.environ["ELIO_FILL_INDEX"]
    chunks = 32768
    tier.dir.mkdir()
    subprocess.run([fill, tier.dir, str(chunks)], check=True)
    node = tier.start(cache__disk_cache_size_mb=2048)
    s = store(node)
    line = next(l for l in node.log().splitlines() if "disk.loaded" in l)
    ms = int(line.rpartition("ms=")[2].split()[0].rstrip('"}'))
    print(f"\n{s['chunks']} chunks loaded in {ms} ms, ready after {node.ready_s * 1000:.0f} ms, "
          f"index {s['index_bytes'] / MIB:.1f} MiB on disk, {s['index_memory_bytes'] / MIB:.1f} MiB in memory")
    assert s["chunks"] == chunks
    assert s["index_memory_bytes"] > chunks * 16 * 40
    node.stop()
    kept = tier.top / "kept"
    subprocess.run(["cp", "-r", "--sparse=always", tier.dir / "index", kept], check=True)
    for i in range(10):
        shutil.rmtree(tier.dir / "index")
        subprocess.run(["cp", "-r", "--sparse=always", kept, tier.dir / "index"], check=True)
        if is_a_crash_while_it_loads(tier, i * 0.01, cache__disk_cache_size_mb=2048):
            break
    else:
        raise AssertionError("until it is loaded nothing says that it was opened")
