"""Accounts and input that nobody should send: fields, headers, cookies, origins, and ten thousand guesses."""

import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import secrets
import socket
import threading
import time

import pytest

from accounts import Person, admin, ask, forge, module_stack, new_claims, new_name, new_person, the_stack  # noqa: F401
from chatting import Visitor, check_error, literal
from fastcgi_peer import PARAMS, STDIN, Peer, begin, http_params, pairs, record
from stack import wait_for

ORIGIN = "https://chat.example.org"
SETTINGS = {"LOGIN_RATE_LIMIT_MAX": 50, "LOGIN_MAX_FAILURES": 5, "LOGIN_LOCKOUT": 900, "ALLOW_REGISTRATION": "true", "CHAT_ANONYMOUS": "true", "FRONTEND_URL": ORIGIN + "/"}

JSON = {"Content-Type": "application/json"}
VERIFY = "/api/auth/verify"


@pytest.fixture(scope="module")
def person(admin):  # noqa: F811
    return new_person(admin)


@pytest.fixture(scope="module")
def other(admin):  # noqa: F811
    """Whom the administrator changes."""
    return new_person(admin, login=False)


def rss_mib(pid):
    """0 if it has died."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
    return 0


@pytest.fixture(scope="module")
def pids(module_stack):  # noqa: F811
    return list(module_stack.responders().values())


@pytest.fixture(autouse=True)
def nobody_dies(pids):
    yield
    assert all(map(rss_mib, pids)), "a responder has died"


# ---- fields ----

PASSWORD = "long enough"
LONG = "x" * 1_000_000
WRONG_TYPES = (5, 1.5, True, [], {}, ["x"], {"a": "b"})
CONTROLS = ("a\nb", "a\tb", "\x1b[31mred", "a\x7fb", "a\u0085b", "abc\u202edef", "a\u2028b", " ab", "ab ", "\u3000ab", "\ufeffab")



FIELDS = {
    # (method, path): (whose, a whole body, {field: (values that are refused, values that are taken)})
    ("POST", "/api/auth/login"): (None, {"username": ..., "password": PASSWORD}, {
        "username": ((..., None, "", "x" * 65, LONG, *WRONG_TYPES), ("a\nb", "ab ", "\u202e", "\ufeffab", "x" * 64, "😀" * 64, "' OR 1=1 --")),
        "password": ((..., None, "", "x" * 1025, "é" * 1025, "é" * 1000, LONG, *WRONG_TYPES), ("a\nb", " ab ", "x", "x" * 1024, "é" * 512))}),
    ("POST", "/api/auth/register"): (None, {"username": ..., "password": PASSWORD}, {
        "username": ((..., None, "", "x" * 65, "é" * 65, LONG, *CONTROLS, *WRONG_TYPES), ()),
        "password": ((..., None, "", "short", "7 chars", "é" * 7, "x" * 1025, "é" * 513, LONG, *WRONG_TYPES), ()),
        "email": (("x", "@", "a@", "@b", "a b@c", "a@b c", "a@b\nc", "a\x7f@b", "\ufeffa@b", "x" * 250 + "@b.cd", LONG, *WRONG_TYPES), ())}),
    ("POST", "/api/auth/refresh"): (None, {"refreshToken": ...}, {"refreshToken": ((..., None, "", "x" * 4097, LONG, *WRONG_TYPES), ())}),
    ("POST", "/api/auth/change-password"): ("person", {"currentPassword": PASSWORD, "newPassword": PASSWORD}, {
        "currentPassword": ((..., None, "", "x" * 1025, LONG, *WRONG_TYPES), ()),
        "newPassword": ((..., None, "", "short", "x" * 1025, "é" * 513, LONG, *WRONG_TYPES), ())}),
    ("PATCH", "/api/auth/profile"): ("person", {"email": ...}, {
        "email": ((..., "x", "a@", "@b", "a b@c", "a@b@", "x" * 250 + "@b.cd", LONG, *WRONG_TYPES), (None, "", "a@b", "ü@ü.example", "x" * 248 + "@b.cd"))}),
    ("POST", "/api/auth/keys"): ("person", {"name": "a key"}, {
        "name": ((..., None, "", "x" * 121, LONG, *WRONG_TYPES), ("x" * 120, "é" * 120, "a\nb", "<b>", "\u202e")),
        "agents": (("quick", 5, True, {}, [], [5], [None], [""], ["x" * 65], ["a b"], ["a'b"], ["a/b"], ["é"], [["quick"]], ["quick"] * 51, [LONG]), (None, ["quick"], ["a"] * 50)),
        "expiresInDays": (("1", 0, -1, 3651, 1.5, True, [], {}, 2 ** 63, 2 ** 70, 1e300), (None, 1, 3650))}),
    ("POST", "/api/admin/users"): ("admin", {"username": ..., "password": PASSWORD}, {
        "username": ((..., None, "", "x" * 65, LONG, *CONTROLS, *WRONG_TYPES), ()),
        "password": ((..., None, "", "short", "x" * 1025, LONG, *WRONG_TYPES), ()),
        "email": (("x", "@", "a b@c", LONG, *WRONG_TYPES), ()),
        "role": (("", "root", "Admin", "admin ", LONG, *WRONG_TYPES), ())}),
    ("PATCH", "/api/admin/users/:id"): ("admin", {"email": "somebody@example.org"}, {
        "username": (("", "x" * 65, LONG, *CONTROLS, *WRONG_TYPES), ()),
        "email": (("x", "@", "a b@c", LONG, *WRONG_TYPES), ()),
        "role": (("", "root", "ADMIN", LONG, *WRONG_TYPES), (None,)),
        "isActive": (("true", 1, 0, [], {}), (None, True))}),
    ("POST", "/api/admin/users/:id/reset-password"): ("admin", {"newPassword": PASSWORD}, {
        "newPassword": ((..., None, "", "short", "x" * 1025, LONG, *WRONG_TYPES), ())}),
}

ROUTES = pytest.mark.parametrize("method, path", FIELDS, ids=[" ".join(key) for key in FIELDS])


class Sender:
    """Sends bodies to one route, from an address of its own."""

    def __init__(self, stack, admin, person, other, method, path):  # noqa: F811 pylint: disable=redefined-outer-name
        whose, self.body, self.fields = FIELDS[method, path]
        self.stack, self.method, self.path = stack, method, path.replace(":id", other.id)
        self.token = {"admin": admin.token, "person": person.token, None: None}[whose]
        self.source = f"127.0.7.{secrets.randbelow(250) + 1}"

    def whole(self, **changes):
        body = {**{name: new_name() if value is ... else value for name, value in self.body.items()}, **changes}
        return {name: value for name, value in body.items() if value is not ...}

    def send(self, body):
        raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        return self.stack.http(self.method, self.path, body=raw, headers=JSON, token=self.token, source=self.source)


@pytest.fixture
def sender(stack, admin, person, other, method, path):  # noqa: F811
    return Sender(stack, admin, person, other, method, path)


@ROUTES
def test_a_wrong_field_is_named(sender):
    wrong = []
    for field, (refused, _) in sender.fields.items():
        for value in refused:
            answer = sender.send(sender.whole(**{field: value}))
            try:
                check_error(answer, 400, "VALIDATION_ERROR")
                # A body without anything to change is complained of at its first field.
                assert answer.json()["details"]["field"] == field, answer
                assert answer.took < 2 and len(answer.body) < 1000
            except AssertionError as e:
                wrong.append((field, repr(value)[:60], str(e)[:300]))
    assert not wrong, "\n".join(map(str, wrong))


@ROUTES
def test_odd_values_that_are_allowed_are_taken(stack, sender):
    wrong = []
    for field, (_, taken) in sender.fields.items():
        for value in taken:
            sender.source = f"127.0.8.{secrets.randbelow(250) + 1}"
            answer = sender.send(sender.whole(**{field: value}))
            if answer.status not in (200, 201, 401):
                wrong.append((field, repr(value)[:60], answer))
    assert not wrong, "\n".join(map(str, wrong))
    stack.sql("DELETE FROM login_failures; DELETE FROM api_keys")


@ROUTES
def test_nul_and_broken_utf8_are_malformed(sender):
    for field in sender.fields:
        whole = json.dumps(sender.whole(**{field: "MARK"}), ensure_ascii=False).encode()
        for bad in (b"a\\u0000b", b"a\0b", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe4\xbb", b"a\nb", b"a\x01b"):
            check_error(sender.send(whole.replace(b"MARK", bad)), 400, "MALFORMED_JSON")
        # Half a surrogate pair is no character; whatever it becomes is no server error.
        assert sender.send(whole.replace(b"MARK", b"a\\ud800b@c.de")).status in (400, 401, 200, 201, 409)


@ROUTES
def test_what_is_no_object_is_refused(sender):
    for body, code in ((b"", "MALFORMED_JSON"), (b"null", "MALFORMED_JSON"), (b"[]", "MALFORMED_JSON"), (b'"x"', "MALFORMED_JSON"), (b"{", "MALFORMED_JSON"),
                       (b"{}x", "MALFORMED_JSON"), (b"[" * 100_000, "MALFORMED_JSON"), (b'{"a":' * 100 + b"1" + b"}" * 100, "MALFORMED_JSON"), (b"{}", "VALIDATION_ERROR")):
        check_error(sender.send(body), 400, code)
    answer = sender.stack.http(sender.method, sender.path, body=json.dumps(sender.whole()).encode(), headers={"Content-Type": "text/plain"}, token=sender.token)
    check_error(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


@ROUTES
def test_more_than_a_megabyte_is_413(sender):
    body = json.dumps({**sender.whole(), "padding": "x" * (1 << 20)}).encode()
    check_error(sender.send(body), 413, "PAYLOAD_TOO_LARGE")
    check_error(sender.send(b"x" * (5 << 20)), 413, "PAYLOAD_TOO_LARGE")


def test_half_a_surrogate_pair_is_no_name_and_no_password(stack):
    """If it became another character, two names, or two passwords, would be one."""
    name = new_name("pair")
    body = b'{"username":"%s\\ud800","password":"long enough"}' % name.encode()
    answer = stack.http("POST", "/api/auth/register", body=body, headers=JSON)
    if answer.status == 201:
        assert answer.data["user"]["username"] == name + "\ufffd"
    else:
        assert answer.status == 400, answer


# ---- the Authorization header ----

def raw(stack, *lines, method="GET", path=VERIFY, body=b""):
    """(status, code) of a request whose header lines are bytes as they are; (status, None) without an envelope."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as sock:
        head = [b"%s %s HTTP/1.1" % (method.encode(), path.encode()), b"Host: localhost", b"Connection: close", b"Content-Type: application/json",
                b"Content-Length: %d" % len(body), *lines]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(b"\r\n".join(head) + b"\r\n\r\n" + body)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := sock.recv(65536):
                answer += piece
    head, _, content = answer.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        content = content[content.index(b"{"):content.rindex(b"}") + 1]
    return int(head.split()[1]), json.loads(content)["code"] if content else None


INVALID, NOBODY, OK = (401, "TOKEN_INVALID"), (401, "AUTHENTICATION_REQUIRED"), (200, "SUCCESS")
UNREADABLE = (400, "VALIDATION_ERROR")

CHAT = json.dumps({"agentId": "quick", "messages": [{"role": "user", "content": "Hi"}]}).encode()


@pytest.mark.parametrize("header, verdict", [
    (b"", NOBODY), (b" ", NOBODY), (b"Basic QTpC", INVALID), (b"Bearer", INVALID), (b"Bearer ", INVALID), (b"Bearer:TOKEN", INVALID), (b"TOKEN", INVALID), (b"Token TOKEN", INVALID),
    (b"Bearer TOKEN x", INVALID), (b"Bearer TOKEN,", INVALID), (b"Bearer TOKEN, Bearer TOKEN", INVALID), (b"Bearer Bearer TOKEN", INVALID), (b"Bearer\tTOKEN", INVALID),
    (b"BearerTOKEN", INVALID), (b"Bearer \"TOKEN\"", INVALID), (b"Bearer TOKEN=", INVALID), (b"Bearer TOKEN.", INVALID), (b"Bearer .TOKEN", INVALID), (b"Bearer ..", INVALID),
    (b"Bearer a.b.c", INVALID), (b"Bearer null", INVALID), (b"Bearer undefined", INVALID), (b"Bearer sk-", INVALID), (b"Bearer \xff\xfe", INVALID), (b"\xff\xfe", INVALID),
    (b"Bearer TOKEN\xc3\xa9", INVALID), (b"Bearer \x01TOKEN", INVALID), (b"Bearer \x7fTOKEN", INVALID), (b"Bearer TOKEN\0", UNREADABLE), (b"\0", UNREADABLE), (b"Bearer \0TOKEN", UNREADABLE),
    (b"Bearer " + b"x" * 4096, INVALID), (b"Bearer " + b"x" * 4097, INVALID), (b"Bearer TOKEN" + b"x" * 4096, INVALID), (b"Bearer " + b"a." * 2000, INVALID), (b"x" * 7000, INVALID),
    (b"Bearer " + b"x" * 100_000, UNREADABLE),
    # As it should be, and as it may be.
    (b"Bearer TOKEN", OK), (b"bearer TOKEN", OK), (b"BEARER TOKEN", OK), (b"Bearer  TOKEN  ", OK),
], ids=lambda value: repr(value)[:40] if isinstance(value, bytes) else str(value[1]))
def test_authorization_headers(stack, person, header, verdict):
    line = b"Authorization: " + header.replace(b"TOKEN", person.token.encode())
    assert raw(stack, line) == verdict
    # Whoever says who he is, and is not, is no anonymous visitor either.
    assert raw(stack, line, method="POST", path="/api/chat/completions", body=CHAT) == (OK if verdict == NOBODY else verdict)
    # What is for everybody does not look at it.
    assert raw(stack, line, path="/api/auth/options") == (UNREADABLE if verdict == UNREADABLE else OK)


def test_two_authorization_headers_let_nobody_in(stack, person, admin):  # noqa: F811
    """nginx 1.22 refuses them with a 400, also if they are the same. Another server may pass both on, as two parameters, or joined by a
    comma, which is no token: the responder refuses two, since whoever stood before it may have judged by the other one."""
    good, better = (f"Bearer {one.token}".encode() for one in (person, admin))
    bad = b"Bearer " + forge("another-secret-of-more-than-32-bytes", new_claims(person.id, person.login_id)).encode()
    for first, second in ((good, good), (good, bad), (bad, good), (good, better), (better, good), (b"", good), (good, b""), (b"Basic QTpC", good), (good, b"Basic QTpC"), (b"", b"")):
        for names in ((b"Authorization", b"Authorization"), (b"authorization", b"AUTHORIZATION")):
            lines = [name + b": " + value for name, value in zip(names, (first, second))]
            verdict = raw(stack, *lines)
            assert verdict == UNREADABLE, (first[:9], second[:9], verdict)
        for slot in (1, 2):
            params = b"".join(pairs(one) for one in (http_params("GET", VERIFY), {"HTTP_AUTHORIZATION": first}, {"HTTP_AUTHORIZATION": second}))
            with Peer(f"{stack.setting('RUN_DIR')}/{slot}.sock") as peer:
                peer.send(begin() + record(PARAMS, params) + record(PARAMS, b"") + record(STDIN, b""))
                status, _, body = peer.read_answer()
                assert (status, json.loads(body)["code"]) == INVALID
    assert raw(stack, *[b"Authorization: " + good] * 50) == UNREADABLE
    # Names that only look like it are other headers.
    for name in (b"Authorization_", b"Authorization\xa0", b"X-Authorization", b"Proxy-Authorization", b"HTTP_AUTHORIZATION", b"Http-Authorization"):
        assert raw(stack, name + b": " + good) in (NOBODY, UNREADABLE), name
        assert raw(stack, b"Authorization: " + good, name + b": " + bad) in (OK, UNREADABLE), name
    # A line that goes on in the next one is no header (RFC 9112, 5.2).
    assert raw(stack, b"Authorization: Bearer", b" " + person.token.encode()) in (INVALID, UNREADABLE)
    assert raw(stack, b"Authorization : " + good) in (NOBODY, UNREADABLE)


def test_the_signature_has_one_spelling(stack, person):
    """The last character of 32 bytes in base64 has two bits to spare."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    head, last = person.token[:-1], person.token[-1]
    taken = [c for c in alphabet + "+/=" if raw(stack, b"Authorization: Bearer " + (head + c).encode()) == OK]
    assert taken == [last]


def test_a_token_in_a_query_string_or_a_cookie_is_none(stack, person):
    for path in (f"{VERIFY}?token={person.token}", f"{VERIFY}?access_token={person.token}"):
        check_error(stack.get(path), 401, "AUTHENTICATION_REQUIRED")
    check_error(stack.get(VERIFY, cookies={"token": person.token, "Authorization": person.token}), 401, "AUTHENTICATION_REQUIRED")


# ---- cookies ----

def test_a_forged_cookie_is_a_new_visitor(stack, person):
    visitor, other = Visitor(stack), Visitor(stack)
    assert visitor.ask("quick", chatId="mine").status == other.ask("quick", chatId="another").status == 200
    path = "/api/chat/sessions/mine/messages"
    cookie = visitor.cookies["llmchat_anon"]
    visitor_id, mac = cookie.split(".")
    other_id, other_mac = other.cookies["llmchat_anon"].split(".")
    assert stack.get(path, cookies={"llmchat_anon": cookie}).status == 200
    forged = [f"{visitor_id}.{other_mac}", f"{other_id}.{mac}", visitor_id, f"{visitor_id}.", f"{visitor_id}.{mac[:-1]}", f"{visitor_id}.{mac}A", f"{visitor_id}.{mac}=", f".{mac}", mac,
              f"{visitor_id}.{mac}.{mac}", f"{visitor_id}..{mac}", f"{visitor_id}.{'A' * 43}", f"{visitor_id}.{mac.swapcase()}", "", ".", "x", "x" * 6000, f"{person.id}.{mac}",
              f"{person.id}.{'A' * 43}", cookie + "%00", cookie.replace("-", "%2d"), f'"{cookie}"', forge(stack.setting("TOKEN_SECRET"), {"sub": visitor_id})]
    for value in forged:
        answer = stack.get(path, cookies={"llmchat_anon": value})
        check_error(answer, 404, "SESSION_NOT_FOUND")
        [made] = answer.cookies().values()
        assert made.split(".")[0] not in (visitor_id, other_id, person.id)
        assert "HttpOnly" in answer.all("Set-Cookie")[0] and "SameSite=Lax" in answer.all("Set-Cookie")[0]
    # Odd neighbours do no harm; of two, one counts.
    for header in (f"a=b; llmchat_anon={cookie}", f"llmchat_anon={cookie};", f";;; =; llmchat_anon={cookie}; x", f"xllmchat_anon=1; llmchat_anon={cookie}; llmchat_anonx=2"):
        assert stack.get(path, headers={"Cookie": header}).status == 200, header
    assert stack.get(path, headers={"Cookie": f"llmchat_anon={cookie}; llmchat_anon=x"}).status in (200, 404)
    # One's session from before one logs in stays the visitor's.
    check_error(stack.get(path, cookies={"llmchat_anon": cookie}, token=person.token), 404, "SESSION_NOT_FOUND")


# ---- origins ----

def cors(answer):
    return {name.lower(): value for name, value in answer._headers.items() if name.lower().startswith("access-control-")}  # pylint: disable=protected-access


@pytest.mark.parametrize("path, status", [("/api/agents", 200), (VERIFY, 401), ("/api/nothing", 404), ("/health", 200), ("/api/auth/login", 405), ("/api/admin/users", 401)])
def test_the_page_of_frontend_url_may_read_every_answer(stack, path, status):
    answer = stack.get(path, headers={"Origin": ORIGIN})
    assert answer.status == status and "Origin" in answer.header("Vary")
    assert cors(answer) == {"access-control-allow-origin": ORIGIN, "access-control-allow-credentials": "true",
                            "access-control-expose-headers": "X-Request-Id, X-LLMChat-Overhead-Us, X-Chat-Id, Idempotent-Replayed, Retry-After, "
                                                             "Retry-After-Ms, X-Should-Retry, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, "
                                                             "X-RateLimit-Limit-Requests, X-RateLimit-Remaining-Requests, X-RateLimit-Reset-Requests, "
                                                             "X-RateLimit-Limit-Tokens, X-RateLimit-Remaining-Tokens, X-RateLimit-Reset-Tokens"}


STRANGERS = ["null", "https://evil.example", ORIGIN + ".evil.example", "https://evil.example/" + ORIGIN, ORIGIN.replace("https", "http"), ORIGIN + "/", ORIGIN + ":443", ORIGIN + ":8443",
             ORIGIN.upper(), "https://example.org", "https://x.chat.example.org", "https://evil-chat.example.org", ORIGIN + "@evil.example", f"{ORIGIN}, https://evil.example",
             f"{ORIGIN} https://evil.example", ORIGIN[:-1], "*", "file://", "", "chat.example.org", ORIGIN + "\t"]


@pytest.mark.parametrize("origin", STRANGERS)
def test_other_origins_are_told_nothing(stack, person, origin):
    for path in ("/api/agents", VERIFY, "/api/nothing"):
        answer = stack.get(path, headers={"Origin": origin}, token=person.token)
        # A blank at the end is none by HTTP.
        assert cors(answer) == {} or origin.strip() == ORIGIN, answer
        assert "Origin" in answer.header("Vary")
    answer = stack.http("OPTIONS", "/api/auth/login", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
    assert answer.status == 204 and (cors(answer) == {} or origin.strip() == ORIGIN)


def test_a_preflight_says_what_may_be_sent(stack):
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization, content-type"}
    answer = stack.http("OPTIONS", "/api/auth/profile", headers=asked)
    assert answer.status == 204 and answer.body == b"" and "Origin" in answer.header("Vary")
    told = cors(answer)
    assert told["access-control-allow-origin"] == ORIGIN and told["access-control-allow-credentials"] == "true" and int(told["access-control-max-age"]) > 0
    assert {"GET", "PATCH"} <= set(told["access-control-allow-methods"].split(", ")) and "*" not in told.values()
    assert {"authorization", "content-type", "idempotency-key", "last-event-id", "x-request-id"} <= {name.strip().lower() for name in told["access-control-allow-headers"].split(",")}
    assert answer.header("Allow") == told["access-control-allow-methods"]
    # Without a token: a browser sends none with it. And no preflight is a way in.
    assert stack.http("OPTIONS", "/api/admin/users", headers=asked).status == 204
    check_error(stack.http("OPTIONS", "/api/nothing", headers=asked), 404, "ROUTE_NOT_FOUND")
    # No preflight: only what the address takes.
    plain = stack.http("OPTIONS", "/api/auth/profile")
    assert plain.status == 204 and cors(plain) == {} and plain.header("Allow") == "GET, HEAD, PATCH"


def test_a_stream_is_for_the_page_too(stack):
    with stack.stream("POST", "/api/chat/completions", headers={"Origin": ORIGIN}, json={"agentId": "quick", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}) as stream:
        assert stream.header("Access-Control-Allow-Origin") == ORIGIN
        assert [event.event for event in stream][-1] == "end"
    with stack.stream("POST", "/api/chat/completions", headers={"Origin": "null"}, json={"agentId": "quick", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}) as stream:
        assert stream.header("Access-Control-Allow-Origin") is None
        assert [event.event for event in stream][-1] == "end"


# ---- ten thousand guesses ----

ATTEMPTS, AT_ONCE = 10_000, 16
GUESSER = "127.0.9.9"


def test_ten_thousand_guesses_from_one_address_are_borne(stack, admin, person, pids):  # noqa: F811
    left, lock, statuses, slow = ATTEMPTS, threading.Lock(), {}, []
    before = {pid: rss_mib(pid) for pid in pids}

    def guess(worker):
        nonlocal left
        connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60, source_address=(GUESSER, 0))
        with contextlib.closing(connection):
            while True:
                with lock:
                    if left == 0:
                        return
                    left -= 1
                    number = left
                # Names that exist, names that do not, and one that he would like to get into.
                name = (person.username, f"nobody-{number}", new_name())[number % 3 if number % 100 == 0 else 1]
                began = time.monotonic()
                connection.request("POST", "/api/auth/login", body=json.dumps({"username": name, "password": f"guess {worker} {number}"}), headers=JSON)
                answer = connection.getresponse()
                answer.read()
                with lock:
                    statuses[answer.status] = statuses.get(answer.status, 0) + 1
                    slow.append(time.monotonic() - began)

    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as crowd:
        guessers = [crowd.submit(guess, worker) for worker in range(AT_ONCE)]
        # Others are served meanwhile, and may log in.
        served = 0
        while not all(one.done() for one in guessers):
            answer = person.get(VERIFY)
            assert answer.status == 200 and answer.took < 5, answer
            assert stack.get("/health/ready").status == 200
            served += 1
            if served == 5:
                Person(stack, person.username, person.password).login(source="127.0.9.10")
            time.sleep(0.2)
        for one in guessers:
            one.result()
    took = time.monotonic() - began
    assert sum(statuses.values()) == ATTEMPTS and set(statuses) <= {401, 423, 429}, statuses
    # As many as the address may, or fewer for those that were at a locked name.
    assert 45 <= statuses[401] <= 50, statuses
    assert took < 90 and max(slow) < 30, (took, max(slow))
    assert stack.sql_one(f"SELECT count(*) <= 50 FROM audit_log WHERE address = {literal(GUESSER)}") == "t"
    assert int(stack.sql_one("SELECT count(*) FROM login_failures")) <= 50 + 2 * AT_ONCE + 20
    # The sanitizer keeps what is freed for a while (its quarantine): that is most of the growth.
    after = {pid: rss_mib(pid) for pid in pids}
    assert all(after[pid] - before[pid] < 300 for pid in after), (before, after)
    answer = Person(stack, person.username, person.password).try_login(source=GUESSER)
    check_error(answer, 429, "RATE_LIMIT_EXCEEDED")
    wait_for(lambda: [ask(stack, slot, "GET", "/api/admin/system-info", token=admin.token).data["database"]["waiting"] for slot in (1, 2)] == [0, 0], 5, "quiet")
    Person(stack, person.username, person.password).login()
