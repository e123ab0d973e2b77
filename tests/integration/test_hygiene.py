"""What every answer says to browsers, once each; what of a client's headers reaches a responder.

What nginx's own errors say in their bodies is the business of test_nginx.
"""

import contextlib
import http.client
import json
import pathlib
import re
import socket
import struct
import threading

import pytest

from chatting import Crowd, Visitor, chat, check_healthy, crowd_of, read, tokens  # noqa: F401
from fastcgi_peer import END, PARAMS, STDIN, STDOUT, Peer, record
from stack import wait_for
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
    assert chat.get("/api/agents", token="t" * 4096).status == 200


def test_without_tls_nothing_promises_it(chat):  # noqa: F811
    for headers in ({}, SPOOFED):
        with Visitor(chat).stream("quick", headers=headers) as stream:
            assert "Secure" not in stream.header("Set-Cookie")
            assert stream.header("Strict-Transport-Security") is None
