# SPDX-License-Identifier: MIT
"""
What S3 requests mean to the cache, with a real server as the judge: a write through the node changes exactly
what it changes at the server, whatever name the object is called by, and what is said about objects is not cached.
"""
import base64
import hashlib
import threading
import time
import urllib.parse
import zlib

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.client import Config
from botocore.credentials import Credentials

import checks
import wire
from content import MIB, Content
from rgw import NAME, OWNER, signed
from tier import wait_for

BUCKET = "semantics"
PUBLIC = {"ACL": "public-read"}


class Way:
    """A node, and the server as its clients see it."""

    def __init__(self, node, rgw, base):
        self.node, self.rgw, self.base = node, rgw, base

    def client(self, **s3):
        proxies = {"http": self.node.url} if self.base != self.node.url else {}
        config = Config(signature_version="s3v4", retries={"max_attempts": 1}, proxies=proxies,
                        s3={"addressing_style": "path", **s3})
        return boto3.client("s3", endpoint_url=self.base, aws_access_key_id=OWNER[0],
                            aws_secret_access_key=OWNER[1], region_name="us-east-1", config=config)

    def send(self, path, fields=(), **kw):
        """As anybody; the path is sent as it is written."""
        if self.base == self.node.url:
            return self.node.get(path, list(fields) or [("Host", f"127.0.0.1:{self.node.port}")], **kw)
        return self.node.get(self.base + path, fields, **kw)

    def get(self, key, query=""):
        return self.send(f"/{BUCKET}/{urllib.parse.quote(key)}{query}")

    def is_cached(self, key, query=""):
        r = self.get(key, query)
        assert r.status == 200 and r.complete, r
        return r.x_cache == "HIT"


@pytest.fixture(scope="module")
def s3(rgw):
    client = rgw.client()
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture(params=["proxy", "endpoint"])
def way(request, start, rgw, s3):
    if request.param == "proxy":
        return Way(start(storage__type="s3", cache__freshness_s=1000), rgw, rgw.named_url)
    node = start(storage__type="s3", storage__endpoint=rgw.url, cache__freshness_s=1000,
                 storage__virtual_host_suffixes=NAME)
    return Way(node, rgw, node.url)


def put(s3, way, *keys, body=None, cached=True):
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=body or key.encode(), **PUBLIC)
        if cached:
            assert not way.is_cached(key) and way.is_cached(key)


def gives(r, body):
    assert r.status == 200 and r.complete and r.body == body, (r, r.body[:200])
    return r.x_cache


# ---- what a write changes ----

def test_put_and_delete_change_their_object_and_no_other(way, s3):
    put(s3, way, "p/one", "p/one-b", "p/two")
    client = way.client()
    client.put_object(Bucket=BUCKET, Key="p/one", Body=b"new", **PUBLIC)
    assert gives(way.get("p/one"), b"new") == "MISS"
    client.delete_object(Bucket=BUCKET, Key="p/one")
    assert way.get("p/one").status in (403, 404)
    assert way.is_cached("p/one-b") and way.is_cached("p/two")


def test_a_copy_changes_its_target_and_not_its_source(way, s3):
    put(s3, way, "c/source", "c/target")
    way.client().copy_object(Bucket=BUCKET, Key="c/target", CopySource=f"{BUCKET}/c/source", **PUBLIC)
    assert gives(way.get("c/target"), b"c/source") == "MISS"
    assert way.is_cached("c/source")


def test_an_upload_in_parts_changes_the_object_when_it_is_completed(way, s3):
    put(s3, way, "m/object")
    client = way.client()
    upload = client.create_multipart_upload(Bucket=BUCKET, Key="m/object", **PUBLIC)["UploadId"]
    body = Content("m/object", 5 * MIB).bytes()
    part = client.upload_part(Bucket=BUCKET, Key="m/object", UploadId=upload, PartNumber=1, Body=body)
    lost = client.create_multipart_upload(Bucket=BUCKET, Key="m/object")["UploadId"]
    client.abort_multipart_upload(Bucket=BUCKET, Key="m/object", UploadId=lost)
    assert gives(way.get("m/object"), b"m/object") == "HIT"
    client.complete_multipart_upload(Bucket=BUCKET, Key="m/object", UploadId=upload,
                                     MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert gives(way.get("m/object"), body) == "MISS"


def test_delete_objects_changes_those_it_names(way, s3):
    named = ["d/a b+c&d<e>.txt", "d/\u00e9(1)'!*~"]
    put(s3, way, *named, "d/stays", "elsewhere")
    way.client().delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": k} for k in named], "Quiet": True})
    assert [way.get(k).status for k in named] == [403, 403]
    assert way.is_cached("d/stays") and way.is_cached("elsewhere")


def test_delete_objects_that_is_not_understood_changes_the_bucket(way, s3):
    put(s3, way, "u/gone", "u/stays")
    body = b'<?xml version="1.0"?><!DOCTYPE Delete><Delete><Object><Key>u/gone</Key></Object></Delete>'
    url = f"{way.base}/{BUCKET}?delete="
    r = way.send(f"/{BUCKET}?delete=", signed_post(url, body), method="POST", body=body)
    assert r.status == 200, r.body
    assert way.get("u/gone").status == 403
    assert not way.is_cached("u/stays") and way.is_cached("u/stays")


def signed_post(url, body):
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    request = AWSRequest("POST", url, data=body, headers={"Content-MD5": md5})
    S3SigV4Auth(Credentials(*OWNER), "s3", "us-east-1").add_auth(request)
    return [("Host", urllib.parse.urlsplit(url).netloc), ("Content-Length", str(len(body))), *request.headers.items()]


def test_an_object_whose_acl_is_changed_is_not_public_any_more(way, s3):
    put(s3, way, "acl/mine", "acl/other")
    way.client().put_object_acl(Bucket=BUCKET, Key="acl/mine", ACL="private")
    assert way.get("acl/mine").status == 403
    assert way.is_cached("acl/other")


def test_a_bucket_whose_policy_is_changed_is_not_public_any_more(way, s3):
    policy = ('{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",'
              f'"Resource":"arn:aws:s3:::{BUCKET}/policy/*"}}]}}')
    s3.put_object(Bucket=BUCKET, Key="policy/mine", Body=b"mine")
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy)
    assert not way.is_cached("policy/mine") and way.is_cached("policy/mine")
    way.client().delete_bucket_policy(Bucket=BUCKET)
    assert way.get("policy/mine").status == 403


def test_versions_change_one_by_one(way, s3):
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    try:
        versions = [s3.put_object(Bucket=BUCKET, Key="v/k", Body=b"v%d" % i, **PUBLIC)["VersionId"] for i in range(2)]
        queries = [f"?versionId={urllib.parse.quote(v)}" for v in versions]
        for i in range(2):
            assert gives(way.get("v/k", queries[i]), b"v%d" % i) == "MISS"
            assert gives(way.get("v/k", queries[i]), b"v%d" % i) == "HIT"
        assert gives(way.get("v/k"), b"v1") == "MISS"
        client = way.client()
        client.put_object(Bucket=BUCKET, Key="v/k", Body=b"v2", **PUBLIC)
        assert gives(way.get("v/k"), b"v2") == "MISS"
        assert way.is_cached("v/k", queries[0]) and way.is_cached("v/k", queries[1])
        client.delete_object(Bucket=BUCKET, Key="v/k", VersionId=versions[1])
        assert way.get("v/k", queries[1]).status in (403, 404)
        assert gives(way.get("v/k", queries[0]), b"v0")
        assert gives(way.get("v/k"), b"v2")
    finally:
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})


def test_an_object_is_the_same_in_both_styles_and_every_spelling(way, s3):
    put(s3, way, "s/a(1)", cached=False)
    virtual = f"{BUCKET}.{NAME}:{way.rgw.port}"

    def others():
        yield way.send(f"/{BUCKET}/s/a%281%29")
        yield way.send(f"/{BUCKET}/s/a(1)")
        if way.base == way.node.url:
            yield way.node.get("/s/a(1)", [("Host", f"{BUCKET}.{NAME}")])
        else:
            yield way.node.get(f"http://{virtual}/s/a(1)")
            yield way.node.get(f"http://{virtual}/s/%61%281%29")

    for _ in range(2):
        last = [gives(r, b"s/a(1)") for r in others()]
    assert set(last) == {"HIT"}
    way.client().put_object(Bucket=BUCKET, Key="s/a(1)", Body=b"by path", **PUBLIC)
    assert [r.body for r in others()] == [b"by path"] * len(last)
    if way.base != way.node.url:
        way.client(addressing_style="virtual").put_object(Bucket=BUCKET, Key="s/a(1)", Body=b"by host", **PUBLIC)
        assert [r.body for r in others()] == [b"by host"] * len(last)


# ---- what is read ----

@pytest.mark.parametrize("query", ["?acl", "?tagging", "?torrent", "?legal-hold", "?retention"])
def test_what_is_said_about_an_object_is_asked_for_each_time(way, s3, query):
    put(s3, way, "about/k", cached=False)
    asked_each_time(way, f"/{BUCKET}/about/k", query)


@pytest.mark.parametrize("query", ["", "?list-type=2", "?list-type=2&prefix=about", "?versions", "?uploads", "?acl",
                                   "?location", "?policy", "?versioning", "?lifecycle", "?cors", "?prefix=a&max-keys=1"])
def test_what_is_said_about_a_bucket_is_asked_for_each_time(way, s3, query):
    asked_each_time(way, f"/{BUCKET}", query)


def asked_each_time(way, path, query):
    url = way.base + path + query
    direct = wire.fetch(way.rgw.port, path + query, signed("GET", way.rgw.url + path + query))
    mark = way.rgw.mark()
    for _ in range(2):
        r = way.send(path + query, signed("GET", url))
        assert r.status == direct.status and r.complete and r.x_cache == "MISS", (r, r.body)
    assert [s for _, s, _ in way.rgw.served(mark, path)] == [direct.status] * 2


def test_forms_of_an_object_are_kept_apart(way, s3):
    put(s3, way, "f/k")
    for kind in ("text/one", "text/two"):
        for expected in ("MISS", "HIT"):
            path = f"/{BUCKET}/f/k?response-content-type={urllib.parse.quote(kind, safe='')}"
            r = way.send(path, signed("GET", way.base + path))
            assert gives(r, b"f/k") == expected and r.get("Content-Type") == kind
    assert way.get("f/k").get("Content-Type") not in ("text/one", "text/two")


# ---- what a real server does not show ----

def test_a_part_that_nobody_asked_for_by_a_range_passes_through(origin, node):
    origin.add("/b/k", body=b"part", status=206, fields=[("Content-Range", "bytes 0-3/10"), ("x-amz-mp-parts-count", "2")])
    for _ in range(2):
        for query in ("?partNumber=1", ""):
            r = node.get(f"{origin.url}/b/k{query}")
            assert r.status == 206 and r.complete and r.body == b"part" and r.x_cache == "MISS"
            assert r.get("Content-Range") == "bytes 0-3/10"
    assert len(origin.requests()) == 4


@pytest.mark.parametrize("target", ["/b/k", "/b/k?x-oss-process=style/s"])
def test_what_was_asked_for_before_a_write_and_comes_after_it_is_not_kept(origin, node, target):
    origin.add("/b/k", body=b"old", delay_head=1.0, times=1, fields=[("x-amz-request-id", "1")])
    late = []
    thread = threading.Thread(target=lambda: late.append(node.get(origin.url + target)))
    thread.start()
    deadline = time.monotonic() + wire.TIMEOUT
    while not origin.requests(method="GET"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert node.get(origin.url + "/b/%6B", method="PUT", body=b"new", fields=[("Content-Length", "3")]).status == 200
    thread.join()
    assert late[0].status == 200 and late[0].complete
    assert node.get(origin.url + target).x_cache == "MISS"
    assert len(origin.requests(method="GET")) == 2


def test_a_write_that_nobody_answered_casts_doubt(origin, node):
    origin.add("/b/k", body=b"old", fields=[("x-amz-request-id", "1")])
    assert [node.get(origin.url + "/b/k").x_cache for _ in range(2)] == ["MISS", "HIT"]
    origin.objects["/b/k"].fail_status = 503
    assert node.get(origin.url + "/b/k", method="DELETE").status == 503
    origin.objects["/b/k"].fail_status = 0
    assert [s.status for s in origin.requests(method="GET")] == [200]
    assert node.get(origin.url + "/b/k").body == b"old"
    assert [s.status for s in origin.requests(method="GET")] == [200, 304]


def test_a_part_of_an_object_does_not_come_with_the_checksum_of_the_whole(origin, node):
    sums = [("x-amz-checksum-crc32", "AAAAAA=="), ("Content-MD5", "x"), ("x-amz-request-id", "1")]
    content = Content("/b/k", 3 * MIB)
    origin.add("/b/k", size=3 * MIB, fields=sums)
    checks.is_part(node.get(origin.url + "/b/k", [("Range", "bytes=0-99")]), content, 0, 100)
    r = node.get(origin.url + "/b/k", [("Range", "bytes=100-199")])
    checks.is_part(r, content, 100, 200)
    assert r.get("x-amz-checksum-crc32") is None and r.get("Content-MD5") is None


# ---- checksums ----

def crc32_of(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def add_wrong(origin, path, size, **knobs):
    """An object one byte of which is not what its checksum was made of."""
    right = Content(path, size).bytes()
    wrong = bytearray(right)
    wrong[size // 2] ^= 1
    return origin.add(path, body=bytes(wrong), fields=[("x-amz-checksum-crc32", crc32_of(right))], **knobs)


def checked(node, result):
    return node.metrics()[f'eliop2p_origin_checksums_total{{result="{result}"}}']


def test_wrong_bytes_are_logged_without_the_secrets_of_their_url(origin, node):
    add_wrong(origin, "/b/k", 1000)
    node.get(origin.url + "/b/k?versionId=1&api_key=hunter2")
    wait_for(lambda: "origin.checksum" in node.log())
    line = next(l for l in node.log().splitlines() if "origin.checksum" in l)
    assert "versionId=1&api_key=***" in line and "hunter2" not in node.log()


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [1, 1000, MIB, 5 * MIB + 1])
def test_wrong_bytes_are_never_passed_off_as_the_object(origin, node, size, framing):
    knobs = add_wrong(origin, "/b/k", size, framing=framing)
    for i in range(2):
        r = node.get(origin.url + "/b/k")
        assert (r.status == 502 and r.complete) or (r.status == 200 and not r.complete), r
    assert len(origin.requests()) == 2, "wrong bytes were cached, or asked for again"
    assert node.log().count("origin.checksum") == 2 and "x-amz-checksum-crc32" in node.log()
    wait_for(lambda: checked(node, "wrong") == 2)  # counted when the fill ends, a moment after its reader
    knobs.fields = [("x-amz-checksum-crc32", crc32_of(knobs.body))]
    assert node.get(origin.url + "/b/k").body == knobs.body
    assert node.get(origin.url + "/b/k").x_cache == "HIT"
    wait_for(lambda: checked(node, "right") == 1)


def test_everybody_who_reads_wrong_bytes_is_broken_off(origin, node):
    """Also who only wants a part of them, and has it before him."""
    size = 8 * MIB
    add_wrong(origin, "/b/k", size, rate=16 * MIB, write=1 << 16)
    answers = []

    def read(fields):
        answers.append(node.get(origin.url + "/b/k", fields, rate=None if not fields else 2 * MIB))

    first = threading.Thread(target=read, args=[()])
    first.start()
    deadline = time.monotonic() + wire.TIMEOUT
    while not origin.body_sent("/b/k"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    others = [threading.Thread(target=read, args=[[("Range", "bytes=0-%d" % (6 * MIB))]]) for _ in range(3)]
    for t in others:
        t.start()
    for t in [first, *others]:
        t.join()
    assert len(answers) == 4 and not any(r is not None and r.complete and r.status < 500 for r in answers), answers


def test_a_checksum_is_held_against_what_a_broken_transfer_brought_too(origin, node):
    add_wrong(origin, "/b/k", 5 * MIB, reset_at=2 * MIB, times=1, etag='"v"')
    r = node.get(origin.url + "/b/k")
    assert r.status == 200 and not r.complete
    assert [s.status for s in origin.requests()] == [200, 206]


def test_objects_of_a_real_server_are_what_their_etags_say(way, s3):
    before = checked(way.node, "right")
    put(s3, way, "sum/small", body=b"x" * 100_000)
    wait_for(lambda: checked(way.node, "right") > before)
    assert (checked(way.node, "right"), checked(way.node, "wrong")) == (before + 1, 0)
