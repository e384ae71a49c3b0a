# SPDX-License-Identifier: MIT
"""
The gateway with a key of the node's own: clients that sign nothing read and write what that key may, at a real S3
server; clients that do sign are nobody but themselves; and the key is never to be seen.
"""
import json
import os
import pathlib
import subprocess
import time

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore import UNSIGNED
from botocore.client import Config

import wire
from content import MIB, Content
from node import ELIONODE
from rgw import OWNER, STRANGER, signed

BUCKET = "node-bucket"
SIZE = 5 * MIB + 77


@pytest.fixture(scope="module")
def s3(rgw):
    client = rgw.client()
    client.create_bucket(Bucket=BUCKET)
    return client


def conf_file(path, **storage):
    path.write_text("[storage]\n" + "".join(f"{k} = {v}\n" for k, v in storage.items()))
    path.chmod(0o600)
    return f"--config={path}"


def assert_hidden(node, secrets, *more):
    """The id of a key is no secret, but has no business in a log either: it is among them."""
    proc = pathlib.Path(f"/proc/{node.pid}/cmdline").read_bytes().decode()
    shown = [node.log(), node.admin("/metrics").body.decode(), json.dumps(node.status()), proc, *more]
    for secret in secrets:
        assert all(secret not in text for text in shown)


@pytest.fixture
def gateway(start, rgw, tmp_path):
    """A node that signs with the owner's key; its log, status and command line are searched for it afterwards."""
    access_log = tmp_path / "access.log"
    node = start(conf_file(tmp_path / "node.ini", access_key=OWNER[0], secret_key=OWNER[1], endpoint=rgw.url),
                 storage__type="s3", cache__freshness_s=1000, proxy__access_log=access_log, general__log_level="debug",
                 storage__virtual_host_suffixes="gw.test")
    yield node
    assert_hidden(node, OWNER, access_log.read_text())


def send(node, path, method="GET", fields=(), **kw):
    return node.get(path, [("Host", f"127.0.0.1:{node.port}"), *fields], method=method, **kw)


def test_whoever_signs_nothing_reads_what_the_node_may_and_the_origin_is_asked_once(rgw, s3, gateway):
    content = Content("private", SIZE)
    s3.put_object(Bucket=BUCKET, Key="private", Body=content.bytes())
    path = f"/{BUCKET}/private"
    assert wire.fetch(rgw.port, path, [("Host", f"127.0.0.1:{rgw.port}")]).status == 403
    mark = rgw.mark()
    for wanted in ("MISS", "HIT"):
        r = send(gateway, path)
        assert r.status == 200 and r.body == content.bytes() and r.x_cache == wanted
    r = send(gateway, path, fields=[("Range", "bytes=1000-2999999")])
    assert r.status == 206 and r.body == content.bytes()[1000:3000000] and r.x_cache == "HIT"
    assert send(gateway, path, "HEAD").get("Content-Length") == str(SIZE)
    assert rgw.object_bytes_served(mark, "private") == SIZE
    assert "origin.signs" in gateway.log()


def test_parts_are_filled_as_they_are_asked_for(rgw, s3, gateway):
    content = Content("parts", SIZE)
    s3.put_object(Bucket=BUCKET, Key="parts", Body=content.bytes())
    path = f"/{BUCKET}/parts"
    for first, last in ((2 * MIB + 5, 2 * MIB + 9), (SIZE - 10, SIZE - 1), (0, 0)):
        r = send(gateway, path, fields=[("Range", f"bytes={first}-{last}")])
        assert r.status == 206 and r.body == content.bytes()[first:last + 1]
    r = send(gateway, path)
    assert r.status == 200 and r.body == content.bytes()


def test_a_bucket_may_be_named_by_host(rgw, s3, gateway):
    s3.put_object(Bucket=BUCKET, Key="by-host", Body=b"named")
    r = gateway.get("/by-host", [("Host", f"{BUCKET}.gw.test")])
    assert r.status == 200 and r.body == b"named"


def test_a_stale_copy_is_confirmed_with_the_nodes_own_key(start, rgw, s3, tmp_path):
    node = start(conf_file(tmp_path / "node.ini", access_key=OWNER[0], secret_key=OWNER[1], endpoint=rgw.url),
                 storage__type="s3", cache__freshness_s=0)
    content = Content("stale", SIZE)
    s3.put_object(Bucket=BUCKET, Key="stale", Body=content.bytes())
    mark = rgw.mark()
    for _ in range(3):
        assert send(node, f"/{BUCKET}/stale").body == content.bytes()
    assert [row[:2] for row in rgw.served(mark, "stale")] == [("GET", 200), ("GET", 304), ("GET", 304)]


def test_what_a_client_signs_is_its_own(rgw, s3, gateway):
    s3.put_object(Bucket=BUCKET, Key="own", Body=b"of the owner")
    path = f"/{BUCKET}/own"
    for user, status in ((STRANGER, 403), ((OWNER[0], "wrong" + OWNER[1]), 403), (OWNER, 200)):
        fields = signed("GET", f"{gateway.url}{path}", user)
        assert gateway.get(path, fields).status == status


def test_other_origins_and_the_proxy_are_not_signed_for(rgw, s3, gateway):
    s3.put_object(Bucket=BUCKET, Key="forward", Body=b"of the owner")
    assert gateway.get(f"{rgw.url}/{BUCKET}/forward").status == 403


@pytest.mark.parametrize("field", [("Origin", "http://evil.test"), ("Sec-Fetch-Site", "cross-site")])
def test_a_web_page_changes_nothing_in_the_nodes_name(rgw, s3, gateway, field):
    s3.put_object(Bucket=BUCKET, Key="page", Body=b"as it was")
    path = f"/{BUCKET}/page"
    for method in ("PUT", "POST", "DELETE"):
        r = gateway.get(path, [field], method=method, **({} if method == "DELETE" else {"body": b"theirs"}))
        assert r.status == 403
    assert s3.get_object(Bucket=BUCKET, Key="page")["Body"].read() == b"as it was"


def explain(node, target, *options):
    r = subprocess.run([ELIONODE, "explain", target, "--json", f"--admin=127.0.0.1:{node.admin_port}", *options],
                       capture_output=True, text=True, check=True, timeout=20 * wire.SLOW)
    return json.loads(r.stdout)


def test_explain_says_with_whose_key_the_origin_is_asked(rgw, gateway, start):
    path = f"/{BUCKET}/explained"
    assert explain(gateway, path)["signed_by_node"] is True
    assert explain(gateway, path, "-H", "Authorization: Bearer x")["signed_by_node"] is False
    assert explain(gateway, rgw.url + path)["signed_by_node"] is False
    assert explain(start(storage__endpoint=rgw.url), path)["signed_by_node"] is False


def anonymous(node):
    return boto3.client("s3", endpoint_url=node.url, region_name="us-east-1",
                        config=Config(signature_version=UNSIGNED, s3={"addressing_style": "path"},
                                      retries={"max_attempts": 1}))


def test_boto3_without_a_key_does_everything(rgw, s3, gateway, tmp_path):
    client = anonymous(gateway)
    content, big = Content("boto3", 300_001), Content("boto3-big", 17 * MIB + 3)
    source, got = tmp_path / "source", tmp_path / "got"
    client.put_object(Bucket=BUCKET, Key="boto3 \u00e4+&/k", Body=content.bytes(), ContentType="text/plain",
                      Metadata={"note": "a  b"})
    head = client.head_object(Bucket=BUCKET, Key="boto3 \u00e4+&/k")
    assert head["ContentType"] == "text/plain" and head["ContentLength"] == 300_001
    assert client.get_object(Bucket=BUCKET, Key="boto3 \u00e4+&/k", Range="bytes=5-9")["Body"].read() == content.bytes()[5:10]
    source.write_bytes(big.bytes())
    parts = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
    client.upload_file(str(source), BUCKET, "big", Config=parts)
    assert s3.head_object(Bucket=BUCKET, Key="big")["ETag"].endswith('-4"')
    client.download_file(BUCKET, "big", str(got), Config=parts)
    assert got.read_bytes() == big.bytes()
    client.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "big"})
    assert s3.head_object(Bucket=BUCKET, Key="copy")["ContentLength"] == 17 * MIB + 3
    listed = [o["Key"] for o in client.list_objects_v2(Bucket=BUCKET, Prefix="b")["Contents"]]
    assert "big" in listed and "boto3 \u00e4+&/k" in listed
    client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "copy"}, {"Key": "big"}]})
    with pytest.raises(client.exceptions.ClientError, match="404|NoSuchKey"):
        client.get_object(Bucket=BUCKET, Key="big")


def test_awscli_and_curl_without_a_key(rgw, s3, gateway, tmp_path):
    content = Content("cli", 11 * MIB)
    source, got = tmp_path / "source", tmp_path / "got"
    source.write_bytes(content.bytes())
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "AWS_DEFAULT_REGION": "us-east-1"}
    aws = ["/usr/bin/aws", "--no-sign-request", "--endpoint-url", gateway.url]

    def run(*argv):
        r = subprocess.run([str(a) for a in argv], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=120 * wire.SLOW)
        assert r.returncode == 0, f"{argv}\n{r.stdout}\n{r.stderr}"
        return r.stdout

    run(*aws, "s3", "cp", "--only-show-errors", source, f"s3://{BUCKET}/cli")
    run(*aws, "s3", "cp", "--only-show-errors", f"s3://{BUCKET}/cli", got)
    assert got.read_bytes() == content.bytes()
    assert "cli" in run(*aws, "s3", "ls", f"s3://{BUCKET}/cl")
    run("/usr/bin/curl", "-sSf", "-T", source, "-o", "/dev/null", f"{gateway.url}/{BUCKET}/curl")
    run("/usr/bin/curl", "-sSf", "-r", "7-1000006", "-o", got, f"{gateway.url}/{BUCKET}/curl")
    assert got.read_bytes() == content.bytes()[7:1000007]
    run("/usr/bin/curl", "-sSf", "-X", "DELETE", f"{gateway.url}/{BUCKET}/curl")
    assert send(gateway, f"/{BUCKET}/curl").status == 404


def test_a_session_of_temporary_keys_signs_too(start, rgw, s3, monkeypatch):
    s3.put_object(Bucket=BUCKET, Key="session", Body=b"of a session")
    key, secret, token = rgw.session()
    for name, value in (("ACCESS_KEY", key), ("SECRET_KEY", secret), ("SESSION_TOKEN", token)):
        monkeypatch.setenv(f"ELIOP2P_STORAGE_{name}", value)
    node = start(storage__endpoint=rgw.url, storage__type="s3")
    assert send(node, f"/{BUCKET}/session").body == b"of a session"
    assert_hidden(node, (key, secret, token))


def test_buckets_may_be_named_in_the_host_that_is_asked(start, rgw, s3, tmp_path):
    s3.put_object(Bucket=BUCKET, Key="virtual", Body=b"by its host")
    node = start(conf_file(tmp_path / "node.ini", access_key=OWNER[0], secret_key=OWNER[1], endpoint=rgw.named_url),
                 storage__type="s3", storage__addressing="virtual")
    r = send(node, f"/{BUCKET}/virtual")
    assert r.status == 200 and r.body == b"by its host"


def test_a_file_of_credentials_is_read_again_when_it_changes(start, rgw, s3, tmp_path):
    s3.put_object(Bucket=BUCKET, Key="file", Body=b"with the right key")
    credentials = tmp_path / "credentials"

    def write(secret):
        new = tmp_path / "new"
        new.write_text(f"[default]\naws_access_key_id = {OWNER[0]}\naws_secret_access_key = {secret}\n")
        new.rename(credentials)

    write("not-the-secret")
    node = start(storage__type="s3", storage__endpoint=rgw.url, storage__credentials_file=credentials)
    assert send(node, f"/{BUCKET}/file").status == 403
    write(OWNER[1])
    deadline = time.monotonic() + 20 * wire.SLOW
    while send(node, f"/{BUCKET}/file").status != 200:
        assert time.monotonic() < deadline
    assert "origin.keys_read" in node.log()
    assert_hidden(node, OWNER)


def test_keys_on_the_command_line_are_refused_and_are_printed_nowhere(rgw, tmp_path):
    def run(*argv, **env):
        return subprocess.run([ELIONODE, *argv], env={**os.environ, **env}, capture_output=True, text=True,
                              timeout=20 * wire.SLOW)

    r = run(f"--storage.secret_key={OWNER[1]}", "--check-config")
    assert r.returncode == 2 and "storage.secret_key" in r.stderr and OWNER[1] not in r.stdout + r.stderr
    keys = {"ELIOP2P_STORAGE_ACCESS_KEY": OWNER[0], "ELIOP2P_STORAGE_SECRET_KEY": OWNER[1]}
    r = run("--print-config", f"--storage.endpoint={rgw.url}", **keys)
    assert r.returncode == 0 and "secret_key = ***" in r.stdout and OWNER[1] not in r.stdout
    assert run("--check-config", f"--storage.endpoint={rgw.url}", **keys).returncode == 0
    for wrong in (["--check-config"], ["--check-config", f"--storage.endpoint={rgw.url}", "--storage.type=http"],
                  ["--check-config", f"--storage.endpoint={rgw.url}", "--storage.credentials_file=/nowhere"]):
        r = run(*wrong, **keys)
        assert r.returncode == 2 and OWNER[1] not in r.stdout + r.stderr
    r = run("--check-config", f"--storage.endpoint={rgw.url}", "--storage.credentials_file=/nowhere")
    assert r.returncode == 2 and "/nowhere" in r.stderr
