"""What every answer says to browsers, once each; the site behind TLS; what of a client's headers reaches a responder.

What nginx's own errors say in their bodies is the business of test_nginx.
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import threading

import pytest

from chatting import Crowd, Visitor, chat, check_healthy, crowd_of, new_stack, read, tokens  # noqa: F401
from conftest import finish
from fastcgi_peer import END, PARAMS, STDIN, STDOUT, Peer, record
from stack import free_port, wait_for
from test_nginx import TOO_LARGE, check_envelope

DATA = "default-src 'none'; frame-ancestors 'none'"
PAGE = ("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
BOTH = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
WINDOWS = {"X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin",
           "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()"}
SETS = {
    "page": {"Content-Security-Policy": PAGE, **BOTH, **WINDOWS},
    "own error": {"Content-Security-Policy": DATA, **BOTH, **WINDOWS},
    "responder": {"Content-Security-Policy": DATA, **BOTH},
}
NAMES = [*SETS["page"], "Strict-Transport-Security"]
HSTS = {"Strict-Transport-Security": "max-age=31536000"}


def check_headers(headers, kind, tls=False):
    """Each of the set exactly once, and none of the others."""
    wanted = {**SETS[kind], **(HSTS if tls else {})}
    assert {name: headers.get_all(name, []) for name in NAMES} == {name: [wanted[name]] if name in wanted else [] for name in NAMES}


# ---- which answer has which headers ----

ANSWERS = [
    # method, path, more, status, set
    ("GET", "/", {}, 200, "page"),
    ("HEAD", "/", {}, 200, "page"),
    ("GET", "/a/page/of/the/application", {}, 200, "page"),
    ("GET", "/chat.js", {}, 200, "page"),
    ("GET", "/chat.css", {}, 200, "page"),
    ("GET", "/api/agents", {}, 200, "responder"),
    ("GET", "/health", {}, 200, "responder"),
    ("GET", "/api/there-is-nothing-here", {}, 404, "responder"),
    ("POST", "/api/chat/completions", {"json": {"agentId": "nobody"}}, None, "responder"),
    ("POST", "/api/chat/completions", {"body": b"{", "headers": {"Content-Type": "application/json"}}, 400, "responder"),
    ("DELETE", "/api/agents", {}, 405, "responder"),
    ("POST", "/v1/chat/completions", {"json": {}}, None, "responder"),
    ("GET", "/app.0123abcd.js", {}, 404, "own error"),
    ("POST", "/", {"json": {}}, 405, "own error"),
    ("POST", "/api/chat/completions", {"body": TOO_LARGE}, 413, "own error"),
    ("GET", "/" + "a" * 40000, {}, 414, "own error"),
    ("GET", "/metrics", {"source": "127.0.0.2"}, 403, "own error"),
    ("GET", "/chat.js", {"headers": {"Range": "bytes=1000000-"}}, 200, "page"),
    ("GET", "/chat.js", {"headers": {"If-Match": '"another"'}}, 412, "own error"),
    ("POST", "/api/agents", {"headers": {"Transfer-Encoding": "unheard-of"}}, 501, "own error"),
]


@pytest.mark.parametrize("method, path, more, status, kind", ANSWERS,
                         ids=[f"{method}-{path[:24]}-{status or kind}" for method, path, _, status, kind in ANSWERS])
def test_every_answer_has_its_headers_once(chat, method, path, more, status, kind):  # noqa: F811
    answer = chat.http(method, path, **more)
    assert status is None or answer.status == status, answer
    check_headers(answer._headers, kind)
    if kind == "own error":
        check_envelope(answer, status, answer.json()["code"])
        assert answer.json()["code"] != "INTERNAL"
        assert answer.all("Cache-Control") == ["no-store"]
    assert len(answer.all("X-Request-Id")) == (kind != "page")
    assert len(answer.all("Retry-After")) == 0 and len(answer.all("Allow")) == (answer.status == 405)


@pytest.mark.parametrize("request_line, status", [(b"NONSENSE", 400), (b"GET / HTTP/9.9", 505), (b"GET /%zz HTTP/1.1", 400)])
def test_what_is_no_request_gets_the_envelope_and_the_headers(chat, request_line, status):  # noqa: F811
    with socket.create_connection(("127.0.0.1", chat.port), 10) as sock:
        sock.sendall(request_line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        body = json.loads(answer.read())
    assert answer.status == status
    assert body["code"] == "VALIDATION_ERROR" and body["requestId"] == answer.getheader("X-Request-Id")
    check_headers(answer.headers, "own error")


def test_a_file_that_has_not_changed_keeps_its_headers(chat):  # noqa: F811
    first = chat.get("/chat.js")
    again = chat.get("/chat.js", headers={"If-None-Match": first.header("ETag")})
    assert again.status == 304
    check_headers(again._headers, "page")
    assert again.all("Cache-Control") == ["no-cache"]


def test_hashed_assets_have_them_too_and_the_api_may_end_in_anything(make_stack):
    stack = make_stack()
    root = stack.dir / "page"
    root.mkdir()
    root.chmod(0o755)
    (root / "index.html").write_text("<!doctype html>")
    (root / "app.0123abcd.js").write_text("1")
    stack.run("nginx", "reload", STACK_WEB_ROOT=str(root))
    wait_for(lambda: stack.get("/app.0123abcd.js").status == 200, 5, "nginx's reload")
    check_headers(stack.get("/app.0123abcd.js")._headers, "page")
    answer = stack.get("/api/agents/logo.0123abcd.js")
    assert answer.header("X-LLMChat-Overhead-Us"), "nginx took it for an asset"


def test_a_stream_has_the_headers_of_an_answer(chat):  # noqa: F811
    with Visitor(chat).stream("quick") as stream:
        assert stream.status == 200
        check_headers(stream.response.headers, "responder")
        assert stream.response.headers.get_all("Cache-Control") == ["no-cache, no-transform"]
        assert len(stream.response.headers.get_all("X-Accel-Buffering")) == 1
        assert read(stream).text == tokens(5)


def test_what_nginx_says_for_a_pool_that_is_away_has_them(chat):  # noqa: F811
    chat.pool("stop")
    try:
        for answer in (chat.get("/api/agents"), chat.post("/api/chat/completions", json={}), chat.post("/v1/chat/completions", json={})):
            assert answer.status == 502
            check_headers(answer._headers, "own error")
            assert answer.all("Retry-After") == ["1"]
        check_headers(chat.get("/")._headers, "page")
    finally:
        chat.pool("start")
    chat.wait_until_ready()


def test_the_page_needs_no_more_than_its_policy_allows():
    """No script or style within the page, none from elsewhere, nothing that turns text into HTML or code."""
    web = pathlib.Path(__file__).resolve().parents[2] / "web"
    page, script, style = [(web / name).read_text() for name in ("index.html", "chat.js", "chat.css")]
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<base|<iframe|<object|<embed", page)
    assert all(re.search(r'\ssrc="/', tag) for tag in re.findall(r"<script[^>]*>", page))
    assert not re.search(r'(src|href|action)="(?!/)', page)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\('(style|on)|https?://", script)
    assert not re.search(r"@import|url\(", style)


# ---- what reaches a responder ----

class Impostor:
    """Takes the place of a stack's responders: keeps the parameters of each request and answers what it was told to."""

    def __init__(self, stack, answer):
        self.stack, self.answer, self.seen, self.sockets = stack, answer, [], []
        self.paths = [pathlib.Path(stack.setting("RUN_DIR"), f"{slot}.sock") for slot in range(1, int(stack.setting("RESPONDERS")) + 1)]

    def __enter__(self):
        self.stack.pool("stop")
        for path in self.paths:
            path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            path.chmod(0o666)          # its directory is private
            listener.listen()
            self.sockets.append(listener)
            threading.Thread(target=self._listen, args=(listener,), daemon=True).start()
        return self

    def _listen(self, listener):
        with contextlib.suppress(OSError, EOFError):
            while True:
                peer = Peer.__new__(Peer)
                peer.sock, peer.buffer = listener.accept()[0], b""
                self.sockets.append(peer.sock)
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        params = b""
        with contextlib.suppress(OSError, EOFError), peer:
            while True:
                kind, request_id, content = peer.read_record()
                if kind == PARAMS:
                    params += content
                elif kind == STDIN and not content:
                    self.seen.append(self._decode(params))
                    params = b""
                    peer.send(record(STDOUT, self.answer, request_id) + record(STDOUT, b"", request_id) + record(END, b"\0" * 8, request_id))

    @staticmethod
    def _decode(data):
        found, at = {}, 0

        def length():
            nonlocal at
            n = data[at]
            at += 1
            if n >= 128:
                n = struct.unpack(">I", data[at - 1:at + 3])[0] & 0x7FFFFFFF
                at += 3
            return n

        while at < len(data):
            name, value = length(), length()
            found.setdefault(data[at:at + name].decode(), []).append(data[at + name:at + name + value].decode())
            at += name + value
        return found

    def __exit__(self, *_):
        # nginx keeps connections: what is left open here would be asked again.
        for one in list(self.sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for path in self.paths:
            path.unlink(missing_ok=True)
        self.stack.pool("start")
        self.stack.wait_until_ready()


TALKATIVE = "".join(f"{name}: of its own\r\n" for name in NAMES)
SPOOFED = {"X-Forwarded-Proto": "https", "X_Forwarded_Proto": "https", "HTTPS": "on", "X-Real-IP": "192.0.2.1", "X-Forwarded-Host": "example.com"}


def test_a_responder_hears_what_nginx_knows_and_its_headers_stay_single(chat):  # noqa: F811
    token = "t" * 4096
    with Impostor(chat, f"Status: 200 OK\r\nContent-Type: text/html\r\n{TALKATIVE}\r\n<p>".encode()) as impostor:
        for path in ("/api/auth/login", "/api/auth/tokens/1", "/api/admin/users", "/api/admin/x.html", "/api/chat/completions", "/v1/models"):
            answer = chat.post(path, body=b"{}", headers=SPOOFED, token=token)
            assert answer.status == 200 and answer.body == b"<p>", path
            check_headers(answer._headers, "responder")
            params = impostor.seen.pop()
            assert params["REQUEST_URI"] == [path]
            assert params["HTTP_AUTHORIZATION"] == [f"Bearer {token}"]
            # nginx's word, not the client's.
            assert params["HTTP_X_FORWARDED_PROTO"] == ["http"]
            assert "HTTPS" not in params and "HTTP_HTTPS" in params
            assert params["HTTP_X_REAL_IP"] == params["REMOTE_ADDR"] == ["127.0.0.1"]
            assert params["HTTP_X_FORWARDED_HOST"] == [f"127.0.0.1:{chat.port}"]
        # Whatever a browser asks before it dares to: the responder's business, all of it.
        assert chat.http("OPTIONS", "/api/auth/login", headers={"Origin": "https://example.com"}).status == 200
        assert impostor.seen.pop()["REQUEST_METHOD"] == ["OPTIONS"]


def test_a_token_of_100_kilobytes_is_refused_in_the_envelope_and_others_notice_nothing(chat):  # noqa: F811
    token = "t" * 100_000
    with Crowd(chat, crowd_of(4, "spaced")) as crowd:
        crowd.begun()
        for _ in range(5):
            answer = chat.get("/api/agents", token=token)
            check_envelope(answer, 400, "VALIDATION_ERROR")
            assert "header" in answer.json()["message"]
            check_headers(answer._headers, "own error")
            assert answer.took < 2
        answer = chat.post("/v1/chat/completions", json={}, token=token)
        assert answer.status == 400 and answer.json()["error"]["type"] == "invalid_request_error"
        check_healthy(crowd.join(), tokens(20))
    assert chat.get("/api/auth/options", token="t" * 4096).status == 200


# ---- TLS ----

def make_certificate(directory, name="site", hosts="DNS:localhost,IP:127.0.0.1"):
    """One that signed itself: its own authority. Returns the paths of certificate and key, which the stack's user can read."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                           "-subj", "/CN=Test site", "-addext", f"subjectAltName={hosts}", "-keyout", key, "-out", certificate],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    for path in (certificate, key):
        path.chmod(0o644)
    return certificate, key


@pytest.fixture(scope="module")
def tls_stack():
    stack = new_stack({"spaced": ("sim-n20-d50", {})})
    try:
        stack.run("init")
        directory = stack.dir / "tls"
        directory.mkdir(mode=0o755)
        certificate, key = make_certificate(directory)
        stack.start(TLS_CERTIFICATE=certificate, TLS_CERTIFICATE_KEY=key, TLS_REDIRECT_PORT=free_port())
        stack.wait_until_ready()
        yield stack
    finally:
        finish(stack)


@pytest.fixture
def tls(tls_stack, request):
    request.node.stacks = [tls_stack]
    return tls_stack


def in_clear(port, method, path, body=None, headers=None):
    """The answer to HTTP without TLS."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        answer.read()
        return answer


@pytest.mark.parametrize("method, path, more, status, kind", [row for row in ANSWERS if row[3]],
                         ids=[f"{method}-{path[:24]}-{status}" for method, path, _, status, _ in ANSWERS if status])
def test_behind_tls_every_answer_also_tells_to_stay_there(tls, method, path, more, status, kind):
    answer = tls.http(method, path, **more)
    assert answer.status == status
    check_headers(answer._headers, kind, tls=True)


def test_streams_pass_one_by_one_behind_tls(tls):
    with tls.stream("GET", "/health/stream") as stream:
        check_headers(stream.response.headers, "responder", tls=True)
        times = [event.at for event in stream]
    assert len(times) == 5 and times[-1] - times[0] > 0.5
    visitor = Visitor(tls)
    with visitor.stream("spaced") as stream:
        assert len(stream.response.headers.get_all("Set-Cookie")) == 1
        cookie = stream.header("Set-Cookie")
        answer = read(stream)
    assert "; Secure" in cookie and "; HttpOnly" in cookie and "; SameSite=Lax" in cookie
    check_healthy([answer], tokens(20))
    chunks = [event.at for event in answer.all("chunk")]
    # 20 tokens, 50 ms apart: collected on the way they would come in few pieces.
    assert chunks[-1] - chunks[0] > 0.5 and sum(later - earlier > 0.01 for earlier, later in zip(chunks, chunks[1:])) > 10
    # The cookie is good for the next question.
    assert visitor.messages(answer.one("chatId")["chatId"]).status == 200


def test_without_tls_nothing_promises_it(chat):  # noqa: F811
    for headers in ({}, SPOOFED):
        with Visitor(chat).stream("quick", headers=headers) as stream:
            assert "Secure" not in stream.header("Set-Cookie")
            assert stream.header("Strict-Transport-Security") is None


def test_old_versions_of_tls_are_refused_and_http_2_is_spoken(tls):
    trust = ssl.create_default_context(cafile=tls.env["TLS_CERTIFICATE"])
    trust.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(("127.0.0.1", tls.port), 10) as plain, trust.wrap_socket(plain, server_hostname="localhost") as secure:
        assert secure.version() == "TLSv1.3" and secure.selected_alpn_protocol() == "h2"
    for version in ("-tls1", "-tls1_1", "-tls1_2"):
        # SECLEVEL=0: openssl by itself would not even ask for an old one.
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{tls.port}", version, "-cipher", "ALL:@SECLEVEL=0"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
        assert ("Verify return code" in done.stdout and "Cipher is (NONE)" not in done.stdout) == (version == "-tls1_2"), (version, done.stdout)
        assert version != "-tls1_2" or re.search(r"Cipher is ECDHE-\S+(GCM|POLY1305)", done.stdout), done.stdout


def test_http_is_sent_on_to_https(tls):
    redirect = int(tls.env["TLS_REDIRECT_PORT"])
    for port in (redirect, tls.port):      # who speaks http to the port of https meant that
        for method, path in (("GET", "/"), ("GET", "/a%20page?with=a&query=1"), ("POST", "/api/chat/completions"), ("GET", "/metrics")):
            answer = in_clear(port, method, path, body=b"{}" if method == "POST" else None)
            # 308 keeps method and body.
            assert (answer.status, answer.getheader("Location")) == (308, f"https://127.0.0.1:{tls.port}{path}")
            assert answer.getheader("Strict-Transport-Security") is None and answer.getheader("Set-Cookie") is None
            assert len(answer.headers.get_all("X-Content-Type-Options")) == 1
    assert in_clear(redirect, "GET", "/", headers={"X-Forwarded-Proto": "https"}).status == 308
    # What nginx cannot read gets its answer there too.
    answer = in_clear(redirect, "GET", "/api/agents", headers={"X-Large": "a" * 40000})
    assert answer.status == 400 and answer.getheader("Location") is None
    check_headers(answer.headers, "own error")


def test_a_renewed_certificate_is_served_after_a_reload_that_cuts_no_stream(tls):
    def served():
        return ssl.get_server_certificate(("127.0.0.1", tls.port), timeout=10)

    before = served()
    certificate, key = make_certificate(tls.dir / "tls", "renewed")
    with tls.stream("GET", "/health/stream") as stream:
        os.replace(key, tls.env["TLS_CERTIFICATE_KEY"])
        os.replace(certificate, tls.env["TLS_CERTIFICATE"])
        tls.nginx("reload")
        wait_for(lambda: served() != before, 10, "the new certificate")
        assert len(list(stream)) == 5
    assert tls.get("/health").status == 200


@pytest.fixture
def pems(tmp_path):
    good, key = make_certificate(tmp_path)
    locked, noise = tmp_path / "locked.key", tmp_path / "noise.pem"
    subprocess.run(["openssl", "pkey", "-in", key, "-aes128", "-passout", "pass:secret", "-out", locked], check=True, timeout=30)
    noise.write_text("not PEM\n")
    return {"good": str(good), "key": str(key), "locked": str(locked), "noise": str(noise), "gone": str(tmp_path / "gone.pem"), "dir": str(tmp_path)}


def conf(**env):
    program = pathlib.Path(os.environ["STACK_PREFIX"], "sbin", "llmchat-nginx-conf")
    return subprocess.run([program], env={"PATH": os.environ["PATH"], **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("env, words", [
    ({"TLS_CERTIFICATE": "good"}, "TLS_CERTIFICATE_KEY is not"),
    ({"TLS_CERTIFICATE_KEY": "key"}, "TLS_CERTIFICATE is not"),
    ({"TLS_CERTIFICATE": "gone", "TLS_CERTIFICATE_KEY": "key"}, "TLS_CERTIFICATE is {gone}, and there is no such file"),
    ({"TLS_CERTIFICATE": "good", "TLS_CERTIFICATE_KEY": "gone"}, "TLS_CERTIFICATE_KEY is {gone}, and there is no such file"),
    ({"TLS_CERTIFICATE": "good", "TLS_CERTIFICATE_KEY": "dir"}, "TLS_CERTIFICATE_KEY is {dir}, and there is no such file"),
    ({"TLS_CERTIFICATE": "key", "TLS_CERTIFICATE_KEY": "good"}, "TLS_CERTIFICATE is {key}, which holds no certificate"),
    ({"TLS_CERTIFICATE": "good", "TLS_CERTIFICATE_KEY": "noise"}, "TLS_CERTIFICATE_KEY is {noise}, which holds no private key"),
    ({"TLS_CERTIFICATE": "good", "TLS_CERTIFICATE_KEY": "locked"}, "passphrase"),
    ({"TLS_CERTIFICATE": "site.pem", "TLS_CERTIFICATE_KEY": "key"}, "must be the whole path"),
    ({"TLS_CERTIFICATE": "/a;b", "TLS_CERTIFICATE_KEY": "key"}, "a character that does not belong"),
    ({"TLS_REDIRECT_PORT": "80"}, "no https to send anybody to"),
    ({"TLS_CERTIFICATE": "good", "TLS_CERTIFICATE_KEY": "key", "TLS_REDIRECT_PORT": "443"}, "TLS_REDIRECT_PORT and PORT are both 443"),
    ({"TLS_CERTIFICATE": "good", "TLS_CERTIFICATE_KEY": "key", "TLS_REDIRECT_PORT": "http"}, "from 1 to 65535"),
    ({"TLS_CERTIFICATE": "good", "TLS_CERTIFICATE_KEY": "key", "TLS_REDIRECT_PORT": "65536"}, "from 1 to 65535"),
])
def test_settings_that_cannot_work_are_refused_in_a_sentence(pems, env, words):
    done = conf(**{name: pems.get(value, value) for name, value in env.items()})
    assert done.returncode != 0 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("llmchat-nginx-conf: ")
    assert words.format(**pems) in done.stderr


def test_https_is_on_443_unless_somebody_says_otherwise(pems):
    done = conf(TLS_CERTIFICATE=pems["good"], TLS_CERTIFICATE_KEY=pems["key"], TLS_REDIRECT_PORT="80", LISTEN_ADDRESS="::")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^\tlisten (\S+?);? ", done.stdout, re.M) == ["[::]:443", "[::]:80"]
    assert "https://$host$request_uri" in done.stdout
    assert "ssl" not in re.sub("#.*", "", conf().stdout)
