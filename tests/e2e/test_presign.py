# SPDX-License-Identifier: MIT
"""`elionode presign`, with a real S3 server as the judge of what it signs, and curl as whoever got the URL."""
import subprocess
import time

import pytest

import wire
from content import MIB, Content
from node import ELIONODE
from rgw import OWNER

BUCKET = "presigned-bucket"


@pytest.fixture(scope="module")
def s3(rgw):
    client = rgw.client()
    client.create_bucket(Bucket=BUCKET)
    return client


def presign(url, *options, keys=OWNER, token=None):
    env = {"AWS_ACCESS_KEY_ID": keys[0], "AWS_SECRET_ACCESS_KEY": keys[1]}
    if token:
        env["AWS_SESSION_TOKEN"] = token
    r = subprocess.run([ELIONODE, "presign", url, *options], env=env, capture_output=True, text=True,
                       timeout=20 * wire.SLOW)
    assert r.returncode == 0, r.stderr
    assert keys[1] not in r.stdout + r.stderr
    return r.stdout.strip()


def curl(url, path, *options):
    """The status."""
    r = subprocess.run(["/usr/bin/curl", "-sS", "--noproxy", "*", "-o", path, "-w", "%{http_code}", *options, url],
                       env={"PATH": "/usr/bin"}, capture_output=True, text=True, timeout=60 * wire.SLOW)
    assert r.returncode == 0, r.stderr
    return int(r.stdout)


def through(node):
    return ["--noproxy", "", "-x", node.url]


def test_a_presigned_url_is_fetched_with_curl_directly_and_through_the_node(rgw, s3, node, tmp_path):
    content = Content("presigned", MIB + 5)
    key = "a b/\u00e4+&=#~.bin"
    s3.put_object(Bucket=BUCKET, Key=key, Body=content.bytes())
    url = presign(f"{rgw.url}/{BUCKET}/a%20b/%C3%A4%2B%26%3D%23~.bin")
    got = tmp_path / "got"
    for way in ([], through(node), through(node)):
        assert curl(url, got, *way) == 200
        assert got.read_bytes() == content.bytes()
    assert curl(url.replace("Expires=3600", "Expires=3601"), got) == 403
    assert curl(url, got, "-X", "DELETE") == 403


def test_a_url_that_was_presigned_for_put_takes_an_upload(rgw, s3, node, tmp_path):
    content = Content("upload", 300_001)
    source = tmp_path / "source"
    source.write_bytes(content.bytes())
    url = presign(f"{rgw.url}/{BUCKET}/up", "--method=PUT", "--expires=60")
    assert curl(url, "/dev/null", "-T", source, *through(node)) == 200
    assert s3.get_object(Bucket=BUCKET, Key="up")["Body"].read() == content.bytes()


def test_a_session_can_presign(rgw, s3, tmp_path):
    s3.put_object(Bucket=BUCKET, Key="session", Body=b"of a session")
    key, secret, token = rgw.session()
    got = tmp_path / "got"
    assert curl(presign(f"{rgw.url}/{BUCKET}/session", keys=(key, secret), token=token), got) == 200
    assert got.read_bytes() == b"of a session"
    assert curl(presign(f"{rgw.url}/{BUCKET}/session", keys=(key, secret)), got) == 403


def test_a_presigned_url_expires(rgw, s3, tmp_path):
    s3.put_object(Bucket=BUCKET, Key="short", Body=b"for a moment")
    url = presign(f"{rgw.url}/{BUCKET}/short", "--expires=1")
    deadline = time.monotonic() + 20
    while curl(url, tmp_path / "got") == 200:
        assert time.monotonic() < deadline
    assert curl(url, tmp_path / "got") == 403
