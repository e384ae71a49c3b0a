# SPDX-License-Identifier: MIT
"""
The SSD tier when things break: kills at any moment, changed bytes, files that vanish, a disk that is full
or read-only. No request fails, no byte is wrong, and the origin is asked only for what was lost.
ELIO_SOAK=1 kills a hundred times.
"""
import os
import random
import shutil
import subprocess
import threading
import time

import pytest

import wire
from checks import is_exact
from content import MIB, Content
from tier import committed, on_disk, store, wait_for

ROUNDS = 100 if os.environ.get("ELIO_SOAK") else 10
IO = pytest.mark.parametrize("io", ["io_uring", "threads"])
SIZES = [20 * MIB, 5 * MIB + 3, 300_000, 4096]
PATHS = [f"/bytes/{size}/p{i}" for i in range(4) for size in SIZES]


# ---- killed ----


class Churn(threading.Thread):
    """A client that reads and changes its objects until the node is gone. Its word counts, not the node's."""

    def __init__(self, tier, node, paths, seed):
        super().__init__(daemon=True)
        self.tier, self.node, self.paths, self.rng = tier, node, paths, random.Random(seed)
        self.done, self.failure = 0, None
        self.start()

    def run(self):
        while self.failure is None:
            path = self.rng.choice(self.paths)
            try:
                if self.rng.random() < 0.3:
                    self._change(path)
                else:
                    self._read(path)
                self.done += 1
            except (OSError, EOFError):
                return

    def _change(self, path):
        known = self.tier.origin.content(path)
        k = self.tier.origin.objects.get(path)
        new = Content(path, known.size, (k.version if k else 0) + 1)
        with self.node.connect() as c:
            r = c.request("PUT", self.tier.origin.url + path, body=new.bytes())
        if r is None:
            raise EOFError
        if r.status != 200:
            self.failure = f"PUT {path}: {r}"

    def _read(self, path):
        content = self.tier.origin.content(path)
        r = self.tier.get(self.node, path)
        if r is None:
            raise EOFError
        if r.status != 200 or content.differs_at(0, r.body) is not None:
            self.failure = f"GET {path}: {r}"
        elif not r.complete:
            raise EOFError


@IO
def test_killed_at_any_moment_it_keeps_what_was_committed_and_never_lies(tier, origin, io):
    rng = random.Random(20)
    options = {"cache__disk_io": io, "cache__disk_cache_size_mb": 1024}
    for p in PATHS:
        # Version 1 of what PUT counts up.
        origin.add(p, size=int(p.split("/")[2]), cache_control="max-age=2147483647")
    expected = sum(on_disk(origin.content(p).size) for p in PATHS)
    settled, kept, lost, changes, ready_s = [], 0, 0, 0, 0
    for i in range(ROUNDS):
        node = tier.start(**options)
        ready_s = max(ready_s, node.ready_s)
        origin.forget()
        for p in PATHS:
            tier.keep(node, p)
            # What was lost is fetched once, nothing else is.
            assert origin.body_sent(p) <= origin.content(p).size, tier.asked(p)
        for p in settled:
            n = -(-origin.content(p).size // (16 * MIB))
            missing = origin.body_sent(p) > 0
            kept, lost = kept + n * (not missing), lost + n * missing
        assert store(node)["mismatches"] == 0
        wait_for(lambda: store(node)["used_bytes"] == expected,
                 why=lambda: f"round {i}: {expected} bytes expected, {store(node)}")
        committed(node)
        churned = PATHS[i % 2::2]
        settled = PATHS[1 - i % 2::2]
        clients = [Churn(tier, node, churned[k::3], 100 * i + k) for k in range(3)]
        time.sleep(rng.uniform(0, 1))  # the random moment
        node.crash()
        for c in clients:
            c.join(60 * wire.SLOW)
            assert not c.is_alive() and c.failure is None, c.failure
            changes += c.done
        node.stop()
    print(f"\n{io}: {ROUNDS} kills amid {changes} requests, {kept} committed chunks served from disk, "
          f"{lost} not; ready after {ready_s * 1000:.0f} ms at most")
    assert kept >= 99 * lost and kept > 0


@IO
def test_killed_while_it_fills_it_serves_exactly(tier, origin, io):
    """Many short objects at once, so that kills strike between the records of different regions."""
    rng = random.Random(21)
    for i in range(ROUNDS):
        node = tier.start(cache__disk_io=io)
        failures = []

        def read(k):
            with node.connect() as c:
                for n in range(2000):
                    path = f"/bytes/{rng.choice((1, 4095, 70_000))}/s{i}-{k}-{n}"
                    r = c.request("GET", origin.url + path)
                    if r is None or not r.complete:
                        return
                    if r.body != origin.content(path).bytes():
                        failures.append(path)

        def run(k):
            try:
                read(k)
            except OSError:
                pass

        clients = [threading.Thread(target=run, args=(k,), daemon=True) for k in range(4)]
        for c in clients:
            c.start()
        time.sleep(rng.uniform(0.1, 0.5))
        node.crash()
        for c in clients:
            c.join(60 * wire.SLOW)
        assert not failures
        node.stop()
        again = sorted({s.path for s in origin.requests() if s.finished and s.status == 200})
        origin.forget()
        node = tier.start(cache__disk_io=io)
        had = store(node)["objects"]
        if i % 5 == 0:
            for p in rng.sample(again, min(300, len(again))):
                is_exact(tier.get(node, p), origin.content(p))
        assert store(node)["mismatches"] == 0 and had > 0
        node.stop()
        origin.forget()


# ---- changed bytes ----


def flip(tier, n, seed):
    """Flips a random bit in n pages of the store that hold something; returns how many pages there were."""
    rng, where = random.Random(seed), tier.dir / "store"
    size, written = where.stat().st_size, []
    with where.open("r+b") as f:
        for at in range(0, size, MIB):
            data = f.read(MIB)
            written += [at + i for i in range(0, len(data), 4096) if any(data[i:i + 4096:64])]
        for at in rng.sample(written, min(n, len(written))):
            f.seek(at + rng.randrange(512))
            byte = f.read(1)[0]
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte ^ 1 << rng.randrange(8)]))
        f.flush()
        os.fsync(f.fileno())
    return len(written)


@IO
def test_bits_that_flip_while_it_is_stopped_are_noticed_and_healed(tier, origin, io):
    options = {"cache__disk_io": io, "cache__disk_cache_size_mb": 256}
    node = tier.start(**options)
    tier.keep(node, *PATHS)
    node.stop()
    assert flip(tier, 40, 1) > 1000

    node = tier.start(**options)
    origin.forget()
    tier.keep(node, *PATHS)
    s = store(node)
    assert 10 < s["mismatches"] <= 40 and "disk.mismatch" in node.log()
    assert node.metrics()['eliop2p_disk_mismatches_total{store="0"}'] == s["mismatches"]
    assert 0 < origin.body_sent() <= s["mismatches"] * MIB
    wait_for(lambda: store(node)["used_bytes"] == sum(on_disk(origin.content(p).size) for p in PATHS),
             why=lambda: str(store(node)))
    node.stop()

    node = tier.start(**options)
    origin.forget()
    for p in PATHS:
        tier.exact(node, p)
    assert store(node)["mismatches"] == 0 and origin.requests() == []


def test_bits_that_flip_while_it_runs_are_noticed_and_healed(tier, origin):
    node = tier.start()
    tier.keep(node, *PATHS)
    flip(tier, 40, 2)
    origin.forget()
    for _ in range(3):
        for p in PATHS:
            tier.exact(node, p)
    s = store(node)
    assert s["mismatches"] > 0 and origin.body_sent() <= s["mismatches"] * MIB
    assert s["state"] == "normal"
    node.stop()
    origin.forget()
    node = tier.start()
    for p in PATHS:
        tier.exact(node, p)
    # Blocks that memory still had were not read, so their flips come to light only now.
    assert origin.body_sent() <= store(node)["mismatches"] * MIB


def test_the_scrubber_finds_flipped_bits_before_a_reader_does(tier, origin):
    node = tier.start()
    tier.keep(node, *PATHS)
    node.stop()
    flip(tier, 40, 3)
    node = tier.start(cache__scrub_mb_s=1000)
    used = sum(on_disk(origin.content(p).size) for p in PATHS)
    wait_for(lambda: store(node)["scrubbed_bytes"] + store(node)["mismatches"] * MIB >= used, 60,
             why=lambda: str(store(node)))
    found = store(node)["mismatches"]
    assert found > 10
    for p in PATHS:
        tier.exact(node, p)
    assert store(node)["mismatches"] == found


# ---- files that are not what they were ----


def garbage(path):
    with path.open("r+b") as f:
        f.write(random.Random(4).randbytes(MIB))


def cut(path, part):
    os.truncate(path, path.stat().st_size // part)


DAMAGES = {
    "index deleted": lambda d: shutil.rmtree(d / "index"),
    "index empty": lambda d: os.truncate(d / "index" / "data.mdb", 0),
    "index garbage": lambda d: garbage(d / "index" / "data.mdb"),
    "index cut": lambda d: cut(d / "index" / "data.mdb", 2),
    "index of one page": lambda d: os.truncate(d / "index" / "data.mdb", 4096),
    "index's lock garbage": lambda d: garbage(d / "index" / "lock.mdb"),
    "store deleted": lambda d: (d / "store").unlink(),
    "store empty": lambda d: os.truncate(d / "store", 0),
    "store cut": lambda d: cut(d / "store", 7),
    "store cut off the page": lambda d: os.truncate(d / "store", 12_345_678),
    "store of zeros": lambda d: (os.truncate(d / "store", 0), os.truncate(d / "store", 512 * MIB)),
    "lock deleted": lambda d: (d / "lock").unlink(),
    "everything deleted": lambda d: shutil.rmtree(d),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_cost_only_what_they_held(tier, origin, damage):
    paths = PATHS[:8]
    node = tier.start()
    tier.keep(node, *paths)
    node.stop()
    DAMAGES[damage](tier.dir)

    node = tier.start()
    tier.keep(node, *paths)
    used = sum(on_disk(origin.content(p).size) for p in paths)
    wait_for(lambda: store(node)["used_bytes"] == used, why=lambda: str(store(node)))
    assert store(node)["state"] == "normal"
    node.stop()
    origin.forget()
    node = tier.start()
    for p in paths:
        tier.exact(node, p)
    assert origin.requests() == [] and store(node)["mismatches"] == 0


def test_the_store_of_another_index_is_not_believed(tier, origin):
    old, new = tier.top / "old", PATHS[:8]
    node = tier.start()
    tier.keep(node, *PATHS[8:])
    node.stop()
    shutil.copytree(tier.dir / "index", old)
    shutil.rmtree(tier.dir)
    node = tier.start()
    tier.keep(node, *new)
    node.stop()
    shutil.rmtree(tier.dir / "index")
    shutil.copytree(old, tier.dir / "index")
    node = tier.start()
    for p in PATHS:
        tier.exact(node, p)


# ---- a disk that is full, read-only, forbidden ----


def tmpfs(tier, mib):
    tier.mount("-t", "tmpfs", "-o", f"size={mib}m", "tmpfs")


def ext4(tier, mib):
    """Unlike tmpfs it keeps what it could allocate of what was too much."""
    image = tier.top / "image"
    image.touch()
    os.truncate(image, mib * MIB)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    tier.mount("-o", "loop", image)


@pytest.mark.parametrize("filesystem", [tmpfs, ext4])
def test_a_disk_too_small_for_the_size_is_used_as_it_is(tier, origin, filesystem):
    filesystem(tier, 120)
    node = tier.start()
    assert "disk.smaller" in node.log()
    s = store(node)
    assert 64 * MIB <= s["limit_bytes"] < 120 * MIB
    for _ in range(2):
        for p in PATHS:
            tier.exact(node, p)
    assert store(node)["written_blocks"] > 0 and store(node)["state"] == "normal"
    node.stop()
    node = tier.start()
    assert store(node)["limit_bytes"] == s["limit_bytes"] and store(node)["used_bytes"] > 0
    for p in PATHS:
        tier.exact(node, p)


@pytest.mark.parametrize("filesystem", [tmpfs, ext4])
@pytest.mark.parametrize("mib", [1, 20, 60])
def test_a_disk_without_room_for_anything_is_done_without(tier, origin, mib, filesystem):
    filesystem(tier, mib)
    free = shutil.disk_usage(tier.dir).free
    node = tier.start(is_up=False)
    wait_for(lambda: "disk.down" in node.log(), why=node.log)
    for p in PATHS:
        tier.exact(node, p)
    stores = node.status()["cache"]["disk"]["stores"]
    assert all(s["state"] == "down" for s in stores)
    assert shutil.disk_usage(tier.dir).free > 0.9 * free, "it is the disk of others, too"


def test_a_disk_that_others_fill_up_fails_no_request(tier, origin):
    tier.mount("-t", "tmpfs", "-o", "size=200m", "tmpfs")
    node = tier.start(cache__disk_cache_size_mb=128)
    tier.keep(node, *PATHS[:4])
    with (tier.dir / "somebody-elses").open("wb") as f, pytest.raises(OSError):
        while True:
            f.write(bytes(1 << 16))
            f.flush()
    for i in range(300):
        tier.exact(node, f"/bytes/300000/full{i}")
    for p in PATHS:
        tier.exact(node, p)
    (tier.dir / "somebody-elses").unlink()
    node.stop()
    node = tier.start(cache__disk_cache_size_mb=128)
    for p in PATHS:
        tier.exact(node, p)


def read_only(tier):
    tier.mount("-t", "tmpfs", "-o", "size=64m", "tmpfs")
    subprocess.run(["mount", "-o", "remount,ro", tier.dir], check=True)
    return ()


def forbidden(tier):
    tier.dir.mkdir()
    tier.dir.chmod(0o500)
    return ["setpriv", "--bounding-set=-all"] if os.getuid() == 0 else ()


def a_file(tier):
    tier.dir.write_bytes(b"not a directory")
    return ()


def below_a_file(tier):
    tier.dir.write_bytes(b"not a directory")
    tier.dir /= "below"
    return ()


def store_is_a_directory(tier):
    (tier.dir / "store").mkdir(parents=True)
    return ()


def index_is_a_file(tier):
    tier.dir.mkdir()
    (tier.dir / "index").write_bytes(b"not a directory")
    return ()


@pytest.fixture
def device(tier):
    """A block device in place of DIR/store."""
    image = tier.top / "image"
    image.touch()
    os.truncate(image, 256 * MIB)
    name = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True).stdout.strip()
    tier.dir.mkdir()
    (tier.dir / "store").symlink_to(name)
    yield name
    for n in tier.nodes:
        n.stop()
    subprocess.run(["losetup", "--detach", name], check=True)


def test_a_block_device_is_a_store(tier, origin, device):
    node = tier.start()
    assert store(node)["limit_bytes"] == 256 * MIB
    tier.keep(node, *PATHS[:4])
    node.stop()
    origin.forget()
    node = tier.start()
    for p in PATHS[:4]:
        assert tier.exact(node, p).x_cache == "HIT"
    assert origin.requests() == []


def test_a_block_device_that_is_mounted_is_left_alone(tier, origin, device):
    subprocess.run(["mkfs.ext4", "-q", device], check=True)
    where = tier.top / "mounted"
    where.mkdir()
    subprocess.run(["mount", device, where], check=True)
    tier.mounts.append(where)
    (where / "theirs").write_bytes(b"x" * MIB)
    node = tier.start(is_up=False)
    wait_for(lambda: "disk.down" in node.log(), why=node.log)
    for p in PATHS[:4]:
        tier.exact(node, p)
    node.stop()
    subprocess.run(["umount", where], check=True)
    tier.mounts.remove(where)
    subprocess.run(["fsck.ext4", "-nf", device], check=True, capture_output=True)


@pytest.mark.parametrize("obstacle", [read_only, forbidden, a_file, below_a_file, store_is_a_directory, index_is_a_file])
def test_a_directory_that_cannot_be_used_is_done_without(tier, origin, obstacle):
    node = tier.start(is_up=False, launch=obstacle(tier))
    wait_for(lambda: "disk.down" in node.log(), why=node.log)
    assert str(tier.dir) in next(l for l in node.log().splitlines() if "disk.down" in l)
    for p in PATHS[:4]:
        assert tier.exact(node, p).x_cache == "MISS"
        assert tier.exact(node, p).x_cache == "HIT"
