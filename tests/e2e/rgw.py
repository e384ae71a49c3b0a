# SPDX-License-Identifier: MIT
"""rgw: a real Ceph RADOS gateway (rgw.sh) on free ports, its users, and what its access log says."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time
import urllib.parse

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.client import Config
from botocore.credentials import Credentials

from hushed import hush
from ports import free_ports

HERE = pathlib.Path(__file__).parent
OWNER = ("OWNERKEY000000000001", "ownerSecret00000000000000000000000000001")
STRANGER = ("STRANGERKEY000000001", "strangerSecret0000000000000000000000001")
hush(OWNER[1], STRANGER[1])
NAME = "s3.localhost"  # resolves to loopback, and unlike "localhost" no client refuses to proxy it
SERVED = re.compile(r'"(\w+) (\S+) HTTP/[\d.]+" (\d+) (\d+) ')


class Rgw:
    def __init__(self, directory):
        assert shutil.which("radosgw"), "radosgw is missing: make deps installs it"
        self.directory = pathlib.Path(directory)
        env = {**os.environ, "OWNER_KEY": OWNER[0], "OWNER_SECRET": OWNER[1], "STRANGER_KEY": STRANGER[0],
               "STRANGER_SECRET": STRANGER[1], "HOSTNAMES": NAME}
        self.port, mon, *osd = free_ports(14, in_a_row=True)
        subprocess.run([HERE / "rgw.sh", "start", self.directory, str(self.port), str(mon),
                        str(osd[0]), str(osd[-1])],
                       check=True, env=env, timeout=180)
        self.url = f"http://127.0.0.1:{self.port}"
        self.named_url = f"http://{NAME}:{self.port}"

    def stop(self):
        subprocess.run([HERE / "rgw.sh", "stop", self.directory], check=True, timeout=60)

    def client(self, user=OWNER, url=None, **config):
        return boto3.client("s3", endpoint_url=url or self.url, aws_access_key_id=user[0],
                            aws_secret_access_key=user[1], region_name="us-east-1",
                            config=Config(signature_version="s3v4", s3={"addressing_style": "path"},
                                          retries={"max_attempts": 1}, **config))

    def _service(self, name):
        return boto3.client(name, endpoint_url=self.url, aws_access_key_id=OWNER[0], aws_secret_access_key=OWNER[1],
                            region_name="us-east-1", config=Config(retries={"max_attempts": 1}))

    def session(self):
        """Temporary credentials of the owner: access key, secret, token."""
        allowed = {"Effect": "Allow", "Action": "sts:GetSessionToken", "Resource": "*"}
        self._service("iam").put_user_policy(
            UserName="owner", PolicyName="sessions",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
        c = self._service("sts").get_session_token(DurationSeconds=900)["Credentials"]
        hush(c["SecretAccessKey"], c["SessionToken"])
        return c["AccessKeyId"], c["SecretAccessKey"], c["SessionToken"]

    # ---- the access log ----

    def _log(self):
        return (self.directory / "client.rgw.log").read_text(errors="replace")

    def mark(self):
        """A place in the log: later questions can be about what came after it."""
        self._settle()
        return len(self._log())

    def _settle(self):
        """The log is written after the answer; a request of our own is in it last."""
        token = f"/settled-{time.monotonic_ns()}"
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            s.sendall(f"GET {token} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
            while s.recv(4096):
                pass
        deadline = time.monotonic() + 10
        while token not in self._log():
            assert time.monotonic() < deadline, "the gateway's log stands still"
            time.sleep(0.01)

    def served(self, since, key):
        """[(method, status, bytes)] of the requests for the key since the mark."""
        self._settle()
        rows = SERVED.findall(self._log()[since:])
        return [(m, int(status), int(n)) for m, target, status, n in rows
                if target.partition("?")[0].endswith(key)]

    def object_bytes_served(self, since, key):
        return sum(n for m, status, n in self.served(since, key) if m == "GET" and status in (200, 206))


def signed(method, url, user=OWNER, headers=()):
    """The fields of a SigV4 request for the URL, Host included; `headers` are signed as well."""
    request = AWSRequest(method, url, headers=dict(headers))
    S3SigV4Auth(Credentials(*user), "s3", "us-east-1").add_auth(request)
    return [("Host", urllib.parse.urlsplit(url).netloc), *request.headers.items()]
