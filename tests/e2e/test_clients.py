# SPDX-License-Identifier: MIT
"""
The clients people use, as they come from Debian and from npm (node/), against a real S3 server, and the client of
OSS against a server that has its signatures made again: through the node as HTTP_PROXY and with the node as their
endpoint. Each one puts, gets, gets a part, lists, presigns and deletes.
"""
import fcntl
import os
import pathlib
import shutil
import subprocess

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.client import Config

import wire
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from content import MIB, Content
from rgw import OWNER

HERE = pathlib.Path(__file__).parent
BUCKET = "client-bucket"
SMALL, LARGE = 300_001, 21 * MIB + 17


class Client:
    """What all of them can do. `endpoint` is what the client believes the server to be."""

    reads_ranges = True

    def __init__(self, endpoint, proxy, home):
        self.endpoint, self.proxy, self.home = endpoint, proxy, home
        self.env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C.UTF-8"}
        self.setup()

    def setup(self):
        pass

    def run(self, *argv):
        r = subprocess.run([str(a) for a in argv], env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, timeout=120 * wire.SLOW)
        assert r.returncode == 0, f"{' '.join(map(str, argv))}\n{r.stdout}\n{r.stderr}"
        return r.stdout


class Curl(Client):
    def setup(self):
        self.base = ["/usr/bin/curl", "-sS", "-f", "--noproxy", "", "--aws-sigv4", "aws:amz:us-east-1:s3",
                     "--user", ":".join(OWNER), "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]
        if self.proxy:
            self.env["http_proxy"] = self.proxy

    def url(self, key):
        return f"{self.endpoint}/{BUCKET}/{key}"

    def put(self, path, key):
        self.run(*self.base, "-T", path, self.url(key))

    def get(self, key, path):
        self.run(*self.base, "-o", path, self.url(key))

    def get_range(self, key, first, last, path):
        self.run(*self.base, "-r", f"{first}-{last}", "-o", path, self.url(key))

    def list(self, prefix):
        return self.run(*self.base, f"{self.endpoint}/{BUCKET}?list-type=2&prefix={prefix}")

    def presign(self, key):
        request = AWSRequest("GET", self.url(key))
        S3SigV4QueryAuth(Credentials(*OWNER), "s3", "us-east-1", expires=300).add_auth(request)
        return request.url

    def delete(self, key):
        self.run(*self.base, "-X", "DELETE", self.url(key))


class Awscli(Client):
    def setup(self):
        self.env.update(AWS_ACCESS_KEY_ID=OWNER[0], AWS_SECRET_ACCESS_KEY=OWNER[1], AWS_DEFAULT_REGION="us-east-1",
                        AWS_EC2_METADATA_DISABLED="true")
        if self.proxy:
            self.env["HTTP_PROXY"] = self.proxy
        self.base = ["/usr/bin/aws", "--endpoint-url", self.endpoint]

    def put(self, path, key):
        self.run(*self.base, "s3", "cp", "--only-show-errors", path, f"s3://{BUCKET}/{key}")

    def get(self, key, path):
        self.run(*self.base, "s3", "cp", "--only-show-errors", f"s3://{BUCKET}/{key}", path)

    def get_range(self, key, first, last, path):
        self.run(*self.base, "s3api", "get-object", "--bucket", BUCKET, "--key", key,
                 "--range", f"bytes={first}-{last}", path)

    def list(self, prefix):
        return self.run(*self.base, "s3", "ls", f"s3://{BUCKET}/{prefix}")

    def presign(self, key):
        return self.run(*self.base, "s3", "presign", f"s3://{BUCKET}/{key}").strip()

    def delete(self, key):
        self.run(*self.base, "s3", "rm", "--only-show-errors", f"s3://{BUCKET}/{key}")


class Boto3(Client):
    def setup(self):
        config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 1},
                        proxies={"http": self.proxy} if self.proxy else {})
        self.s3 = boto3.client("s3", endpoint_url=self.endpoint, aws_access_key_id=OWNER[0],
                               aws_secret_access_key=OWNER[1], region_name="us-east-1", config=config)
        self.parts = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)

    def put(self, path, key):
        self.s3.upload_file(str(path), BUCKET, key, Config=self.parts)

    def get(self, key, path):
        self.s3.download_file(BUCKET, key, str(path), Config=self.parts)

    def get_range(self, key, first, last, path):
        got = self.s3.get_object(Bucket=BUCKET, Key=key, Range=f"bytes={first}-{last}")
        pathlib.Path(path).write_bytes(got["Body"].read())

    def list(self, prefix):
        return str([o["Key"] for o in self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])])

    def presign(self, key):
        return self.s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": key}, 300)

    def delete(self, key):
        self.s3.delete_object(Bucket=BUCKET, Key=key)


class S3cmd(Client):
    def setup(self):
        host = self.endpoint.partition("//")[2]
        conf = pathlib.Path(self.home) / "s3cfg"
        lines = ["[default]", f"access_key = {OWNER[0]}", f"secret_key = {OWNER[1]}", f"host_base = {host}",
                 f"host_bucket = {host}", "use_https = False", "signature_v2 = False", "bucket_location = us-east-1"]
        if self.proxy:
            name, _, port = self.proxy.partition("//")[2].partition(":")
            lines += [f"proxy_host = {name}", f"proxy_port = {port}"]
        conf.write_text("\n".join(lines) + "\n")
        self.base = ["/usr/bin/s3cmd", "--no-progress", "-c", conf]

    reads_ranges = False  # but it goes on with what is there

    def get_rest(self, key, path):
        self.run(*self.base, "get", "--continue", f"s3://{BUCKET}/{key}", path)

    def put(self, path, key):
        self.run(*self.base, "put", "--multipart-chunk-size-mb=5", path, f"s3://{BUCKET}/{key}")

    def get(self, key, path):
        self.run(*self.base, "get", "--force", f"s3://{BUCKET}/{key}", path)

    def list(self, prefix):
        return self.run(*self.base, "ls", f"s3://{BUCKET}/{prefix}")

    def presign(self, key):
        return self.run(*self.base, "signurl", f"s3://{BUCKET}/{key}", "+300").strip()

    def delete(self, key):
        self.run(*self.base, "del", f"s3://{BUCKET}/{key}")


class Rclone(Client):
    def setup(self):
        conf = pathlib.Path(self.home) / "rclone.conf"
        conf.write_text("[s3]\ntype = s3\nprovider = Ceph\nregion = us-east-1\nforce_path_style = true\n"
                        f"access_key_id = {OWNER[0]}\nsecret_access_key = {OWNER[1]}\nendpoint = {self.endpoint}\n"
                        "upload_cutoff = 5M\nchunk_size = 5M\n")
        if self.proxy:
            self.env["HTTP_PROXY"] = self.proxy
        self.base = ["/usr/bin/rclone", "--config", conf, "--retries", "1", "--low-level-retries", "1"]

    def put(self, path, key):
        self.run(*self.base, "copyto", path, f"s3:{BUCKET}/{key}")

    def get(self, key, path):
        self.run(*self.base, "copyto", "--ignore-times", f"s3:{BUCKET}/{key}", path)

    def get_range(self, key, first, last, path):
        with open(path, "wb") as out:
            subprocess.run([*map(str, self.base), "cat", "--offset", str(first), "--count", str(last - first + 1),
                            f"s3:{BUCKET}/{key}"], env=self.env, stdout=out, check=True, timeout=120 * wire.SLOW)

    def list(self, prefix):
        return self.run(*self.base, "lsf", f"s3:{BUCKET}", "--include", prefix + "*")

    def presign(self, key):
        return self.run(*self.base, "link", "--expire", "5m", f"s3:{BUCKET}/{key}").strip()

    def delete(self, key):
        self.run(*self.base, "deletefile", f"s3:{BUCKET}/{key}")


class FromNpm(Client):
    """One program for all of them: node/clients.cjs."""

    def setup(self):
        self.env.update(NODE_PATH=str(modules() / "node_modules"), ENDPOINT=self.endpoint, PROXY=self.proxy or "",
                        KEY=OWNER[0], SECRET=OWNER[1], BUCKET=BUCKET)
        self.base = [shutil.which("node"), HERE / "node/clients.cjs", self.package]

    def put(self, path, key):
        self.run(*self.base, "put", key, path)

    def get(self, key, path):
        self.run(*self.base, "get", key, path)

    def get_range(self, key, first, last, path):
        self.run(*self.base, "get_range", key, first, last, path)

    def list(self, prefix):
        return self.run(*self.base, "list", prefix)

    def presign(self, key):
        return self.run(*self.base, "presign", key).strip()

    def delete(self, key):
        self.run(*self.base, "delete", key)


class Minio(FromNpm):
    package = "minio"


class AwsSdk(FromNpm):
    package = "aws"


class AliOss(FromNpm):
    package = "oss"


class AliOssV4(AliOss):
    def setup(self):
        super().setup()
        self.env["OSS_V4"] = "1"


def modules():
    """Where the packages are, exactly those of the lock; installed once beside the program under test."""
    place = pathlib.Path(os.environ["ELIONODE"]).resolve().parent.parent / "node_clients"
    place.mkdir(exist_ok=True)
    wanted = (HERE / "node/package-lock.json").read_text()
    installed = place / "node_modules/installed.json"
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed.exists() or installed.read_text() != wanted:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / "node" / name, place)
            subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=place,
                           stdin=subprocess.DEVNULL, check=True, timeout=300)
            installed.write_text(wanted)
    return place


class OssServer:
    """node/oss.cjs, and what its log says."""

    def __init__(self, directory):
        self.log_path = directory / "log"
        self.log_path.touch()
        self.process = subprocess.Popen(
            [shutil.which("node"), HERE / "node/oss.cjs", *OWNER, self.log_path], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "NODE_PATH": str(modules() / "node_modules")})
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def served(self, key):
        rows = [line.split() for line in self.log_path.read_text().splitlines()]
        return [(method, int(status), int(n)) for method, path, status, n in rows if path.endswith("/" + key)]

    def object_bytes_served(self, key):
        return sum(n for method, status, n in self.served(key) if method == "GET" and status in (200, 206))

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def bucket(rgw):
    rgw.client().create_bucket(Bucket=BUCKET)


@pytest.fixture(params=["proxy", "endpoint"])
def way(request, start, rgw, bucket):
    if request.param == "proxy":
        # A name that leads to loopback but is not "localhost", which Go's clients never proxy.
        node = start(storage__type="s3")
        return rgw.named_url, node.url, node
    node = start(storage__type="s3", storage__endpoint=rgw.url)
    return node.url, None, node


def requests_seen(node):
    return sum(v for k, v in node.metrics().items() if k.startswith("eliop2p_proxy_requests_total"))


@pytest.mark.parametrize("kind", [Curl, Awscli, Boto3, S3cmd, Rclone, Minio, AwsSdk], ids=lambda k: k.__name__.lower())
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "multipart"])
def test_a_client_does_its_work_through_the_node(rgw, way, tmp_path, kind, size):
    endpoint, proxy, node = way
    client = kind(endpoint, proxy, tmp_path)
    key = f"{kind.__name__.lower()}-{'proxy' if proxy else 'endpoint'}-{size}"
    content = Content(key, size)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content.bytes())

    client.put(source, key)
    stored = rgw.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert stored == source.read_bytes(), "what arrived at the server is not what was sent"
    assert requests_seen(node), "the client went around the node"

    client.get(key, target)
    assert target.read_bytes() == stored
    mark = rgw.mark()
    target.unlink()
    client.get(key, target)
    assert target.read_bytes() == stored
    again = rgw.object_bytes_served(mark, key)
    # A client that signs its ranges can leave the ragged ends of blocks uncached, never more.
    assert again <= (0 if size == SMALL else 2 * MIB), f"the second get cost the server {again} bytes"

    if client.reads_ranges:
        client.get_range(key, 1000, 200_999, target)
        assert target.read_bytes() == content.bytes(1000, 201_000)
    else:
        target.write_bytes(content.bytes(0, 200_000))
        client.get_rest(key, target)
        assert target.read_bytes() == stored
    assert key in client.list(key)
    url = client.presign(key)
    r = presigned_get(node, url, proxy)
    assert r.status == 200 and r.complete and r.body == stored
    client.delete(key)
    assert rgw.client().list_objects_v2(Bucket=BUCKET, Prefix=key)["KeyCount"] == 0


def presigned_get(node, url, proxy):
    if proxy:
        return node.get(url)
    host, _, path = url.partition("//")[2].partition("/")
    return node.get("/" + path, host=host)


@pytest.fixture(scope="module")
def oss(tmp_path_factory):
    server = OssServer(tmp_path_factory.mktemp("oss"))
    yield server
    server.close()


@pytest.mark.parametrize("kind", [AliOss, AliOssV4], ids=["v1", "v4"])
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "multipart"])
@pytest.mark.parametrize("way", ["proxy", "endpoint"])
def test_the_client_of_oss_does_its_work_through_the_node(start, oss, tmp_path, kind, size, way):
    node = start(storage__type="oss", **({} if way == "proxy" else {"storage__endpoint": oss.url}))
    endpoint, proxy = (oss.url, node.url) if way == "proxy" else (node.url, None)
    # By a name: to an address this client does not presign.
    client = kind(endpoint.replace("127.0.0.1", "localhost"), proxy, tmp_path)
    key = f"{kind.__name__.lower()}-{way}-{size}"
    content = Content(key, size)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content.bytes())

    client.put(source, key)
    client.get(key, target)
    assert target.read_bytes() == content.bytes()
    # Several ranges of an object that nobody knows yet, all at once: a short one may come twice.
    served = oss.object_bytes_served(key)
    assert size <= served <= size + 2 * MIB
    client.get(key, target)
    assert target.read_bytes() == content.bytes()
    # What it signs does not cover ranges, so whole blocks are there and nothing is asked for again.
    assert oss.object_bytes_served(key) == served
    client.get_range(key, 1000, 200_999, target)
    assert target.read_bytes() == content.bytes(1000, 201_000)
    assert key in client.list(key)
    r = presigned_get(node, client.presign(key), proxy)
    assert r.status == 200 and r.complete and r.body == content.bytes(), r.body[:300]
    assert oss.object_bytes_served(key) == served
    client.env["SECRET"] = "wrong"
    with pytest.raises(AssertionError, match="403"):
        client.get(key, target)
    client.env["SECRET"] = OWNER[1]
    client.delete(key)
    assert key not in client.list(key)
    assert all(status < 400 or status == 403 for _, status, _ in oss.served(key))


@pytest.mark.parametrize("region", ["", "cn-hangzhou"], ids=["v1", "v4"])
def test_the_node_signs_for_who_has_no_key_as_the_client_of_oss_would(start, oss, tmp_path, monkeypatch, region):
    monkeypatch.setenv("ELIOP2P_STORAGE_ACCESS_KEY", OWNER[0])
    monkeypatch.setenv("ELIOP2P_STORAGE_SECRET_KEY", OWNER[1])
    node = start(storage__type="oss", storage__endpoint=oss.url, storage__region=region, storage__addressing="path")
    curl = Client(node.url, None, tmp_path)
    key = f"signed-by-the-node-{region}"
    content = Content(key, LARGE)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content.bytes())
    url = f"{node.url}/{BUCKET}/a%20b/%E4%B8%AD%2B/{key}"

    curl.run("/usr/bin/curl", "-sSf", "-T", source, "-H", "Content-Type: text/plain", "-H", "x-oss-meta-a: b  c", url)
    curl.run("/usr/bin/curl", "-sSf", "-r", "1000000-1999999", "-o", target, url)
    assert target.read_bytes() == content.bytes(1_000_000, 2_000_000)
    for _ in range(2):
        curl.run("/usr/bin/curl", "-sSf", "-o", target, url)
        assert target.read_bytes() == content.bytes()
    assert oss.object_bytes_served(key) <= LARGE + 2 * MIB
    assert key in curl.run("/usr/bin/curl", "-sSf", f"{node.url}/{BUCKET}/?prefix=a%20b&max-keys=100")
    curl.run("/usr/bin/curl", "-sSf", "-X", "DELETE", url)
    assert all(status < 400 for _, status, _ in oss.served(key))
    assert OWNER[1] not in node.log()


@pytest.mark.parametrize("kind", [Awscli, Boto3, Rclone, Curl, Minio, AwsSdk], ids=lambda k: k.__name__.lower())
def test_an_overwrite_through_the_node_is_seen_at_once(rgw, way, tmp_path, kind):
    endpoint, proxy, _ = way
    client = kind(endpoint, proxy, tmp_path)
    key = f"over-{kind.__name__.lower()}-{'proxy' if proxy else 'endpoint'}"
    source, target = tmp_path / "source", tmp_path / "target"
    for version in range(3):
        source.write_bytes(Content(key, SMALL + version, version).bytes())
        client.put(source, key)
        client.get(key, target)
        assert target.read_bytes() == source.read_bytes()


def test_clients_are_the_ones_of_the_system():
    for name in ("aws", "curl", "s3cmd", "rclone"):
        assert os.access(f"/usr/bin/{name}", os.X_OK), f"{name} is missing: make deps installs it"
    for name in ("node", "npm"):
        assert shutil.which(name), f"{name} is missing: make deps installs it"
