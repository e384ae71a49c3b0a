# SPDX-License-Identifier: MIT
"""tls_front: nginx as an https origin, HTTP/2 included, in front of a plain one or of a folder of files."""
import contextlib
import pathlib
import shutil
import socket
import subprocess
import time

import wire

CONF = """
daemon off;
master_process off;
pid {dir}/pid;
error_log {dir}/error.log;
events {{ worker_connections 512; }}
http {{
    log_format served '$server_protocol $request_method $status $body_bytes_sent $request_uri';
    access_log {dir}/access.log served;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
    uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        location / {{ {what} }}
    }}
}}
"""
PASS = "proxy_pass {url}; proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_request_buffering off; " \
       "proxy_buffering off;"


class TlsFront:
    def __init__(self, directory, pair, url=None, files=None):
        assert shutil.which("nginx", path="/usr/sbin:/usr/bin"), "nginx is missing: make deps installs it"
        self.directory = pathlib.Path(directory)
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.port = s.getsockname()[1]
        what = PASS.format(url=url) if url else f"root {files}; add_header Cache-Control max-age=3600;"
        conf = self.directory / "nginx.conf"
        conf.write_text(CONF.format(dir=self.directory, port=self.port, cert=pair[0], key=pair[1], what=what))
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-c", conf, "-p", self.directory, "-e", self.directory / "error.log"],
                                        stdin=subprocess.DEVNULL)
        self._wait()

    def _wait(self):
        deadline = time.monotonic() + 10 * wire.SLOW
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            time.sleep(0.02)
        raise AssertionError((self.directory / "error.log").read_text())

    def served(self):
        """(protocol, method, status, bytes, target) of each request."""
        rows = [l.split(" ", 4) for l in (self.directory / "access.log").read_text().splitlines()]
        return [(p, m, int(s), int(b), t) for p, m, s, b, t in rows]

    def close(self):
        self.process.terminate()
        self.process.wait(10 * wire.SLOW)
