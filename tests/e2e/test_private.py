# SPDX-License-Identifier: MIT
"""
Who may read what is cached, with a real S3 server as the judge: a hit for one user is never a leak to
another, and each answer to a private object is confirmed by the server with the caller's own signature.
"""
import re
import time

import pytest

import wire
from content import MIB, Content
from rgw import OWNER, STRANGER, signed

BUCKET = "private-bucket"
SIZE = 3 * MIB + 99
CODE = re.compile(rb"<Code>(\w+)</Code>")


@pytest.fixture(scope="module")
def s3(rgw):
    client = rgw.client()
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture(params=["forward", "gateway"])
def way(request, start, rgw):
    """(url of a key as the client sees it, send) for each way through a node."""
    if request.param == "forward":
        node = start(storage__type="s3", cache__freshness_s=1000, auth__grant_ttl_s=0)
        base = rgw.url
        return base, lambda url, fields=(), **kw: node.get(url, fields, **kw)
    node = start(storage__type="s3", storage__endpoint=rgw.url, cache__freshness_s=1000, auth__grant_ttl_s=0)
    base = node.url

    def send(url, fields=(), **kw):
        fields = list(fields) or [("Host", f"127.0.0.1:{node.port}")]
        return node.get(url[len(base):], fields, **kw)

    return base, send


def put(s3, name, **extra):
    content = Content(name, SIZE)
    s3.put_object(Bucket=BUCKET, Key=name, Body=content.bytes(), **extra)
    return content


def same_refusal(through, direct):
    assert through.status == direct.status and through.status in (401, 403)
    assert CODE.search(through.body).group(1) == CODE.search(direct.body).group(1)
    assert through.received < 2000


def test_a_private_object_is_only_for_those_whom_the_server_lets_read(rgw, s3, way):
    base, send = way
    content = put(s3, "mine")
    path = f"/{BUCKET}/mine"
    url = base + path
    mark = rgw.mark()

    for i in range(3):
        r = send(url, signed("GET", url))
        assert r.status == 200 and r.complete and content.differs_at(0, r.body) is None and r.received == SIZE
        assert r.x_cache == ("HIT" if i else "MISS")
    served = rgw.served(mark, path)
    assert [s for _, s, _ in served] == [200, 304, 304], served

    wrong = (OWNER[0], "not" + OWNER[1])
    for user in (STRANGER, wrong):
        direct = wire.fetch(rgw.port, path, signed("GET", rgw.url + path, user))
        same_refusal(send(url, signed("GET", url, user)), direct)
    same_refusal(send(url), wire.fetch(rgw.port, path, host=f"127.0.0.1:{rgw.port}"))

    r = send(url, signed("GET", url))
    assert r.x_cache == "HIT" and content.differs_at(0, r.body) is None
    assert rgw.object_bytes_served(mark, path) == SIZE


def test_strangers_first_does_not_poison_the_owner(rgw, s3, way):
    base, send = way
    content = put(s3, "poison")
    url = f"{base}/{BUCKET}/poison"
    assert send(url, signed("GET", url, STRANGER)).status == 403
    assert send(url).status == 403
    r = send(url, signed("GET", url))
    assert r.status == 200 and r.body == content.bytes()
    assert send(url, signed("GET", url, STRANGER)).status == 403


def test_refusals_hold_for_ranges_heads_and_conditions(rgw, s3, way):
    base, send = way
    content = put(s3, "parts")
    url = f"{base}/{BUCKET}/parts"
    etag = send(url, signed("GET", url)).get("ETag")
    for extra in ({"Range": "bytes=0-99"}, {"If-None-Match": etag}, {"If-Modified-Since": "Tue, 01 Sep 2099 10:00:00 GMT"}):
        for user in (STRANGER, (OWNER[0], "wrong")):
            r = send(url, signed("GET", url, user, extra))
            assert r.status == 403 and r.received < 2000, (extra, r)
        r = send(url, [*signed("GET", url, STRANGER), *extra.items()])
        assert r.status == 403, (extra, r)
    assert send(url, signed("HEAD", url, STRANGER), method="HEAD").status == 403
    # A signature for GET is none for HEAD.
    assert send(url, signed("GET", url), method="HEAD").status == 403
    r = send(url, signed("GET", url, headers={"Range": "bytes=5-9"}))
    assert (r.status, r.body) == (206, content.bytes(5, 10))
    assert send(url, signed("GET", url, headers={"If-None-Match": etag})).status == 304


def test_a_signed_range_is_sent_as_it_was_signed(rgw, s3, way):
    base, send = way
    content = put(s3, "signed-range")
    url = f"{base}/{BUCKET}/signed-range"
    for first, last in ((100, 1500000), (1500001, SIZE - 1), (0, 99), (MIB, 2 * MIB - 1)):
        r = send(url, signed("GET", url, headers={"Range": f"bytes={first}-{last}"}))
        assert r.status == 206 and r.body == content.bytes(first, last + 1)
    r = send(url, signed("GET", url))
    assert r.status == 200 and r.body == content.bytes()


def test_a_new_version_is_seen_by_the_next_reader(rgw, s3, way):
    base, send = way
    url = f"{base}/{BUCKET}/renewed"
    for version in range(3):
        content = Content("renewed", SIZE - version, version)
        s3.put_object(Bucket=BUCKET, Key="renewed", Body=content.bytes())
        for _ in range(2):
            r = send(url, signed("GET", url))
            assert r.status == 200 and r.body == content.bytes()
    s3.delete_object(Bucket=BUCKET, Key="renewed")
    assert send(url, signed("GET", url)).status == 404


def test_a_presigned_url_works_until_it_is_altered(rgw, s3, way):
    base, send = way
    content = put(s3, "presigned")
    url = rgw.client(url=base).generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "presigned"}, 300)
    for wanted in ("MISS", "HIT"):
        r = send(url)
        assert r.status == 200 and r.body == content.bytes() and r.x_cache == wanted
    signature = re.search(r"X-Amz-Signature=(\w+)", url).group(1)
    assert send(url.replace(signature, signature[::-1])).status == 403
    assert send(url.partition("?")[0]).status == 403
    assert send(re.sub(r"X-Amz-Expires=\d+", "X-Amz-Expires=301", url)).status == 403


def test_an_expired_presigned_url_is_worth_nothing(rgw, s3, way):
    base, send = way
    put(s3, "expired")
    url = rgw.client(url=base).generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "expired"}, 1)
    send(url)
    deadline = time.monotonic() + 10
    while (status := wire.fetch(rgw.port, url[len(base):], host=base[7:]).status) == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert send(url).status == status == 403


def test_a_public_object_needs_no_question(rgw, s3, way):
    base, send = way
    content = put(s3, "public", ACL="public-read")
    url = f"{base}/{BUCKET}/public"
    assert send(url).x_cache == "MISS"
    mark = rgw.mark()
    r = send(url)
    assert r.x_cache == "HIT" and r.body == content.bytes()
    assert rgw.served(mark, "/public") == []


def test_an_object_that_became_private_is_refused_after_its_freshness(rgw, s3, start):
    node = start(storage__type="s3", cache__freshness_s=0)
    put(s3, "was-public", ACL="public-read")
    url = f"{rgw.url}/{BUCKET}/was-public"
    assert node.get(url).status == 200
    s3.put_object_acl(Bucket=BUCKET, Key="was-public", ACL="private")
    assert node.get(url).status == 403
    assert node.get(url, signed("GET", url)).status == 200
    assert node.get(url).status == 403


def test_no_secret_is_in_the_log_or_the_metrics(rgw, s3, start, tmp_path):
    access = tmp_path / "access.log"
    node = start(storage__type="s3", general__log_level="debug", proxy__access_log=access)
    put(s3, "quiet")
    url = f"{rgw.url}/{BUCKET}/quiet"
    fields = signed("GET", url)
    node.get(url, fields)
    presigned = rgw.client().generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "quiet"}, 300)
    node.get(presigned)
    deadline = time.monotonic() + 10 * wire.SLOW
    while access.read_text().count("quiet") < 2:  # it is written once a second
        assert time.monotonic() < deadline, "the access log lacks the requests"
        time.sleep(0.05)
    told = node.log() + access.read_text() + node.admin("/metrics").body.decode() + node.admin("/api/v1/status").body.decode()
    signatures = [re.search(r"Signature=(\w+)", s).group(1) for s in (dict(fields)["Authorization"], presigned)]
    for secret in (*signatures, OWNER[1]):
        assert secret not in told
