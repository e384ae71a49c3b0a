# SPDX-License-Identifier: MIT
"""pki: a certificate authority for a test, and what it signs, made with the openssl program."""
import subprocess


def openssl(*argv):
    subprocess.run(["openssl", *map(str, argv)], check=True, capture_output=True)


def new_key(path, kind):
    algorithm = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    if kind != "P-256":
        algorithm = ["-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{kind}"]
    openssl("genpkey", *algorithm, "-out", path)


class Authority:
    """cert and key are files; key_kind: "P-256" or bits of RSA."""

    def __init__(self, directory, name, key_kind="P-256"):
        self.directory, self.name = directory, name
        self.cert, self.key = directory / f"{name}.pem", directory / f"{name}.key"
        new_key(self.key, key_kind)
        openssl("req", "-x509", "-new", "-key", self.key, "-out", self.cert, "-days", 30, "-subj", f"/CN={name}",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def server(self, name, alt_names="DNS:localhost,IP:127.0.0.1", usage="serverAuth"):
        """(certificate, key) of a server: two files."""
        cert, key, asked = (self.directory / f"{name}{end}" for end in (".pem", ".key", ".csr"))
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"basicConstraints=CA:FALSE\nsubjectAltName={alt_names}\nextendedKeyUsage={usage}\n")
        new_key(key, "P-256")
        openssl("req", "-new", "-key", key, "-out", asked, "-subj", "/CN=server")
        openssl("x509", "-req", "-in", asked, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-days", 30,
                "-extfile", extensions, "-out", cert)
        return cert, key
