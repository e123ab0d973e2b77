"""The stand-in provider behind TLS: a private nginx with certificates that are made for the test, good ones and bad ones.

Each certificate has a port of its own: url("good"), url("expired"), url("wrong-host"), url("stranger").
"""

import contextlib
import os
import pathlib
import socket
import subprocess

from stack import free_port, wait_for

# name: (authority, names it is for, days it is good for)
CERTIFICATES = {
    "good": ("ca", "DNS:localhost,IP:127.0.0.1", 1),
    "expired": ("ca", "DNS:localhost,IP:127.0.0.1", -1),
    "wrong-host": ("ca", "DNS:provider.example,IP:127.0.0.2", 1),
    "stranger": ("other-ca", "DNS:localhost,IP:127.0.0.1", 1),
}

NGINX = """\
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_buffering off;
    upstream sim {{
        server 127.0.0.1:{sim_port};
        keepalive 16;
    }}
{servers}
}}
"""

# /moved sends the caller, and his question, on to the stand-in provider without TLS.
SERVER = """\
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {dir}/{name}.pem;
        ssl_certificate_key {dir}/{name}.key;
        location / {{ proxy_pass http://sim; }}
        location /moved/ {{ return 307 http://127.0.0.1:{sim_port}/v1/chat/completions; }}
    }}
"""


class TlsProvider:
    """directory: an empty one of ours, which the responders can read (they need ca_file)."""

    def __init__(self, directory, sim_port):
        self.dir, self.sim_port = pathlib.Path(directory), sim_port
        self.ca_file = self.dir / "ca.pem"
        self.ports, self.process = {}, None
        for authority in sorted({authority for authority, _, _ in CERTIFICATES.values()}):
            self._openssl("req", "-x509", *self._key(authority), "-out", f"{authority}.pem", "-days", "1", "-subj", f"/CN=Test {authority}")
        for name, (authority, hosts, days) in CERTIFICATES.items():
            (self.dir / f"{name}.ext").write_text(f"subjectAltName={hosts}\n")
            self._openssl("req", "-new", *self._key(name), "-out", f"{name}.csr", "-subj", f"/CN=Test {name}")
            self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial",
                          "-days", str(days), "-extfile", f"{name}.ext", "-out", f"{name}.pem")
        os.chmod(self.ca_file, 0o644)

    @staticmethod
    def _key(name):
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key")

    def _openssl(self, *args):
        done = subprocess.run(["openssl", *args], cwd=self.dir, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, (args, done.stderr)

    def start(self):
        for attempt in range(5):
            self.ports = {name: free_port() for name in CERTIFICATES}
            servers = "".join(SERVER.format(dir=self.dir, name=name, port=port, sim_port=self.sim_port) for name, port in self.ports.items())
            (self.dir / "nginx.conf").write_text(NGINX.format(dir=self.dir, sim_port=self.sim_port, servers=servers))
            # Debian's is not in everybody's PATH.
            self.process = subprocess.Popen(["nginx", "-p", self.dir, "-c", self.dir / "nginx.conf", "-e", self.dir / "error.log"],
                                            env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"}, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_for(lambda: self._listening() or self.process.poll() is not None, 10, "nginx")
            if self.process.poll() is None:
                return self
            self.stop()
        raise AssertionError("nginx did not start: " + (self.dir / "error.log").read_text())

    def _listening(self):
        for port in self.ports.values():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                continue
            return False
        return True

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def url(self, name, host="localhost"):
        return f"https://{host}:{self.ports[name]}"
