# SPDX-License-Identifier: MIT
"""
The truth table of who may read, with a real S3 server as the oracle: each caller's very request is put to the
server itself and to the node at the same moment, for objects that the node has not, has, has granted a moment
ago, or granted too long ago; and the two answers have to be the same.

One cell is not: what the server gave to an anonymous caller is public, so the node gives it, while it is fresh,
to callers with bad signatures as well, whom the server itself would tell about their signature first.
"""
import re
import time

import pytest

import wire
from content import Content
from rgw import OWNER, STRANGER, signed

BUCKET = "auth-bucket"
SIZE = 70_001
TTL_S = 2 * max(1, int(wire.SLOW))
CODE = re.compile(rb"<Code>(\w+)</Code>")


@pytest.fixture(scope="module")
def s3(rgw):
    client = rgw.client()
    client.create_bucket(Bucket=BUCKET)
    return client


class Way:
    """A node, and how its clients spell the URLs of the server."""

    def __init__(self, kind, start, rgw, **options):
        options = {"storage__type": "s3", "cache__freshness_s": 1000, "auth__grant_ttl_s": TTL_S, **options}
        if kind == "gateway":
            options["storage__endpoint"] = rgw.url
        args = [f"--config={options.pop('config')}"] if "config" in options else []
        self.node, self.rgw = start(*args, **options), rgw
        self.is_gateway = kind == "gateway"
        self.base = self.node.url if self.is_gateway else rgw.url

    def url(self, key):
        return f"{self.base}/{BUCKET}/{key}"

    def _fields(self, fields):
        fields = list(fields)
        return fields if any(n == "Host" for n, _ in fields) else [("Host", self.base[7:]), *fields]

    def send(self, request):
        method, url, fields = request
        return self.node.get(url[len(self.base):] if self.is_gateway else url, self._fields(fields), method=method)

    def direct(self, request):
        method, url, fields = request
        return wire.fetch(self.rgw.port, url[len(self.base):], self._fields(fields), method=method)


@pytest.fixture(params=["forward", "gateway"])
def way(request, start, rgw):
    return lambda **options: Way(request.param, start, rgw, **options)


def presigned(way, key, seconds, user=OWNER, method="get_object"):
    client = way.rgw.client(user, url=way.base)
    return client.generate_presigned_url(method, {"Bucket": BUCKET, "Key": key}, seconds)


def header(way, key, user=OWNER, method="GET", **extra):
    return method, way.url(key), signed(method, way.url(key), user, extra)


CALLERS = {
    "header-signed": lambda w, key: header(w, key),
    "presigned": lambda w, key: ("GET", presigned(w, key, 600), []),
    "session": lambda w, key: header(w, key, w.rgw.session()),
    "anonymous": lambda w, key: ("GET", w.url(key), []),
    "right key, wrong secret": lambda w, key: header(w, key, (OWNER[0], "not" + OWNER[1])),
    "other user": lambda w, key: header(w, key, STRANGER),
    "expired": lambda w, key: ("GET", presigned(w, key, 1), []),
    "altered": lambda w, key: ("GET", presigned(w, key, 600)[:-4] + "0000", []),
    "token of another session": lambda w, key: header(w, key, (*OWNER, w.rgw.session()[2])),
}
ACLS = {"public": "public-read", "private": "private"}


def put(s3, key, acl="private"):
    content = Content(key, SIZE)
    s3.put_object(Bucket=BUCKET, Key=key, Body=content.bytes(), ACL=acl)
    return content


def same(way, content, request, cell, is_known_public=False):
    """The node's answer, held against the server's own at the same moment."""
    direct, r = way.direct(request), way.send(request)
    if direct.status == 200:
        assert r.status == 200 and r.complete and r.body == content.bytes(), (cell, r)
    elif is_known_public:
        assert r.status == 200 and r.body == content.bytes(), (cell, r)
    else:
        assert r.status == direct.status and r.status in (400, 401, 403), (cell, r, direct.status)
        assert CODE.search(r.body).group(1) == CODE.search(direct.body).group(1), cell
        assert r.received < 2000 and content.bytes(0, 64) not in r.body, cell
    return direct.status


def wait_until(moment):
    """Time itself is what is tested: there is no event to wait for."""
    time.sleep(max(0, moment - time.monotonic()))


def wait_for_expiry(way, url):
    deadline = time.monotonic() + 20
    while way.direct(("GET", url, [])).status == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def rows(way):
    """{(acl, caller): request} for objects of their own, one for the cold and one for the warm cells."""
    made = {(acl, name): [make(way, f"{state}-{acl}-{name}".replace(" ", "-").replace(",", ""))
                          for state in ("cold", "warm")]
            for acl in ACLS for name, make in CALLERS.items()}
    wait_for_expiry(way, made["private", "expired"][1][1])
    return made


def key_of(request):
    return request[1].partition("?")[0].rpartition("/")[2]


def test_every_caller_gets_what_the_server_itself_says(rgw, s3, way):
    w = way()
    objects = {f"{state}-{acl}-{name}".replace(" ", "-").replace(",", ""): acl
               for state in ("cold", "warm") for acl in ACLS for name in CALLERS}
    contents = {key: put(s3, key, ACLS[acl]) for key, acl in objects.items()}
    table, seen = rows(w), {}

    for cell, (cold, _) in table.items():
        seen[cell, "cold"] = same(w, contents[key_of(cold)], cold, (cell, "cold"))
    for (acl, name), (_, request) in table.items():
        key = key_of(request)
        owner = ("GET", w.url(key), []) if acl == "public" else header(w, key)
        assert w.send(owner).status == 200
    for state, wait in (("warm", 0), ("within the grant", 0), ("after the grant", TTL_S + 0.2)):
        wait_until(time.monotonic() + wait)
        for (acl, name), (_, request) in table.items():
            cell = acl, name, state
            seen[cell] = same(w, contents[key_of(request)], request, cell, acl == "public")

    # The oracle said yes and no where one would think so.
    yes = {n for n in CALLERS if seen[("private", n), "cold"] == 200}
    assert yes == {"header-signed", "presigned", "session"}
    assert seen[("public", "anonymous"), "cold"] == 200


def test_within_the_grant_the_server_is_not_asked_and_after_it_once(rgw, s3, way):
    w = way()
    for name in ("header-signed", "presigned", "session"):
        key = f"counted-{name}"
        content = put(s3, key)
        request = CALLERS[name](w, key)
        assert w.send(request).body == content.bytes()
        granted = time.monotonic()
        mark = rgw.mark()
        for _ in range(5):
            r = w.send(request)
            assert r.body == content.bytes() and r.x_cache == "HIT"
        if time.monotonic() < granted + TTL_S / 2:
            assert rgw.served(mark, f"/{BUCKET}/{key}") == []
        wait_until(granted + TTL_S + 0.2)
        mark = rgw.mark()
        assert w.send(request).body == content.bytes()
        assert [(m, s) for m, s, _ in rgw.served(mark, f"/{BUCKET}/{key}")] == [("GET", 304)]


def test_head_and_get_are_granted_apart(rgw, s3, way):
    w = way(auth__grant_ttl_s=600)
    put(s3, "heads")
    head, get = header(w, "heads", method="HEAD"), header(w, "heads")
    mark = rgw.mark()
    assert [w.send(q).status for q in (get, head, head, get)] == [200] * 4
    assert [(m, s) for m, s, _ in rgw.served(mark, f"/{BUCKET}/heads")] == [("GET", 200), ("HEAD", 200)]
    assert w.send(("HEAD", *get[1:])).status == 403
    assert w.send(("GET", *head[1:])).status == 403


def test_a_signed_range_is_granted_as_it_was_signed(rgw, s3, way):
    w = way(auth__grant_ttl_s=600)
    content = put(s3, "ranges")
    request = header(w, "ranges", Range="bytes=100-199")
    assert w.send(request).body == content.bytes(100, 200)
    mark = rgw.mark()
    assert w.send(request).body == content.bytes(100, 200)
    assert rgw.served(mark, f"/{BUCKET}/ranges") == []
    other = [(n, "bytes=0-9" if n == "Range" else v) for n, v in request[2]]
    assert w.send((*request[:2], other)).status == 403


def test_a_revoked_reader_is_refused_when_the_grant_ends(rgw, s3, way):
    w = way()
    content = put(s3, "revoked")
    s3.put_object_acl(Bucket=BUCKET, Key="revoked", GrantRead='id="stranger"', GrantFullControl='id="owner"')
    request = header(w, "revoked", STRANGER)
    assert w.send(request).body == content.bytes()
    s3.put_object_acl(Bucket=BUCKET, Key="revoked", ACL="private")
    revoked = time.monotonic()
    assert w.direct(request).status == 403
    r = w.send(request)
    assert r.status == 403 or time.monotonic() < revoked + TTL_S + 1
    wait_until(revoked + TTL_S)
    r = w.send(request)
    assert r.status == 403 and r.received < 2000
    # Nobody else lost anything.
    assert w.send(header(w, "revoked")).body == content.bytes()


def test_a_refused_question_ends_what_was_granted_to_that_key(rgw, s3, way):
    w = way(auth__grant_ttl_s=600)
    content = put(s3, "retaken")
    s3.put_object_acl(Bucket=BUCKET, Key="retaken", GrantRead='id="stranger"', GrantFullControl='id="owner"')
    by_header, by_url = header(w, "retaken", STRANGER), ("GET", presigned(w, "retaken", 600, STRANGER), [])
    owner = header(w, "retaken")
    for request in (by_header, by_url, owner):
        assert w.send(request).body == content.bytes()
    s3.put_object_acl(Bucket=BUCKET, Key="retaken", ACL="private")
    # Any other question of that key about the object; here one that is signed a little differently.
    assert w.send(header(w, "retaken", STRANGER, **{"x-amz-meta-note": "1"})).status == 403
    assert w.send(by_header).status == 403
    assert w.send(by_url).status == 403
    mark = rgw.mark()
    assert w.send(owner).body == content.bytes()
    assert rgw.served(mark, f"/{BUCKET}/retaken") == []


def test_a_grant_ends_with_the_signature(rgw, s3, way):
    w = way(auth__grant_ttl_s=600)
    content = put(s3, "ending")
    url = presigned(w, "ending", 2)
    assert w.send(("GET", url, [])).body == content.bytes()
    wait_for_expiry(w, url)
    r = w.send(("GET", url, []))
    assert r.status == 403 and r.received < 2000


@pytest.fixture
def keys_file(tmp_path):
    path = tmp_path / "keys"

    def write(*users, mode=0o600):
        fresh = tmp_path / "keys.new"
        fresh.write_text("".join(f"[{i}]\naccess_key = {u[0]}\nsecret_key = {u[1]}\n" for i, u in enumerate(users)))
        fresh.chmod(mode)
        fresh.rename(path)
        return path

    return write


def another(way, key, user=OWNER, **extra):
    """Signed like header(), but never the same request twice."""
    return header(way, key, user, **{"x-amz-user-agent": f"test/{time.monotonic_ns()}"}, **extra)


def test_a_key_whose_secret_the_node_knows_is_asked_about_once(rgw, s3, way, keys_file):
    w = way(auth__grant_ttl_s=600, auth__keys_file=keys_file(OWNER))
    content = put(s3, "known")
    assert w.send(another(w, "known")).body == content.bytes()
    mark = rgw.mark()
    for request in (another(w, "known"), ("GET", presigned(w, "known", 60), []), another(w, "known")):
        r = w.send(request)
        assert r.body == content.bytes() and r.x_cache == "HIT"
    assert rgw.served(mark, f"/{BUCKET}/known") == []
    # The key's name alone opens nothing, nor does a session or another user's key.
    for user in ((OWNER[0], "wrong"), STRANGER, (*OWNER, "token")):
        request = another(w, "known", user)
        assert same(w, content, request, user) in (400, 403)
    # What was taken back is asked for again.
    mark = rgw.mark()
    assert w.send(another(w, "known")).body == content.bytes()
    assert [(m, s) for m, s, _ in rgw.served(mark, f"/{BUCKET}/known")] == [("GET", 304)]


def test_a_known_key_that_lost_its_right_is_refused_when_the_grant_ends(rgw, s3, way, keys_file):
    w = way(auth__keys_file=keys_file(STRANGER))
    content = put(s3, "lost")
    s3.put_object_acl(Bucket=BUCKET, Key="lost", GrantRead='id="stranger"', GrantFullControl='id="owner"')
    assert w.send(another(w, "lost", STRANGER)).body == content.bytes()
    s3.put_object_acl(Bucket=BUCKET, Key="lost", ACL="private")
    revoked = time.monotonic()
    wait_until(revoked + TTL_S)
    assert w.send(another(w, "lost", STRANGER)).status == 403


def test_a_policy_lets_a_known_key_read_below_its_prefix(rgw, s3, way, keys_file, tmp_path):
    conf = tmp_path / "node.conf"
    conf.write_text(f"[policy {rgw.url}/{BUCKET}/below]\ngrant = prefix\n")
    w = way(auth__grant_ttl_s=600, auth__keys_file=keys_file(OWNER), general__log_level="debug", config=conf)
    contents = {key: put(s3, key) for key in ("below/a", "below/b", "beside")}
    for key in contents:
        assert w.send(another(w, key)).status == 200
    mark = rgw.mark()
    w.send(another(w, "below/a", (OWNER[0], "wrong")))
    for key, content in contents.items():
        assert w.send(another(w, key)).body == content.bytes()
    asked = [key for key in contents if rgw.served(mark, f"/{BUCKET}/{key}")]
    assert asked == ["below/a"], asked  # the wrong signature only; nobody's rights ended by it
    assert all(status == 403 for _, status, _ in rgw.served(mark, f"/{BUCKET}/below/a")[:1])


def test_the_file_of_keys_is_read_again_when_it_changes(rgw, s3, start, keys_file):
    w = Way("forward", start, rgw, auth__grant_ttl_s=600, auth__keys_file=keys_file(STRANGER, mode=0o640))
    assert "auth.keys_mode" in w.node.log()
    content = put(s3, "changing")
    assert [w.send(another(w, "changing")).body == content.bytes() for _ in range(2)] == [True, True]
    mark = rgw.mark()
    assert w.send(another(w, "changing")).status == 200
    assert len(rgw.served(mark, f"/{BUCKET}/changing")) == 1
    keys_file(STRANGER, OWNER)
    deadline = time.monotonic() + 10 * wire.SLOW
    while "keys=2" not in w.node.log():
        assert time.monotonic() < deadline, w.node.log()
        time.sleep(0.05)
    assert w.send(another(w, "changing")).status == 200
    mark = rgw.mark()
    assert w.send(another(w, "changing")).status == 200
    assert rgw.served(mark, f"/{BUCKET}/changing") == []
    assert OWNER[1] not in w.node.log() and STRANGER[1] not in w.node.log()


def test_what_became_private_is_refused_when_it_is_old(rgw, s3, way):
    w = way(cache__freshness_s=1)
    content = put(s3, "closing", "public-read")
    request = ("GET", w.url("closing"), [])
    assert w.send(request).body == content.bytes()
    s3.put_object_acl(Bucket=BUCKET, Key="closing", ACL="private")
    wait_until(time.monotonic() + 1.1)
    assert w.send(request).status == w.direct(request).status == 403


def test_a_granted_copy_that_is_old_is_confirmed_with_the_server(rgw, s3, way):
    w = way(auth__grant_ttl_s=600, cache__freshness_s=0)
    content = put(s3, "renewed")
    request = header(w, "renewed")
    assert w.send(request).body == content.bytes()
    fresh = Content("renewed", SIZE - 1, 2)
    s3.put_object(Bucket=BUCKET, Key="renewed", Body=fresh.bytes())
    assert w.send(request).body == fresh.bytes()
