"""Input that nobody should send: each gets its answer, quickly, and nobody else notices."""

import contextlib
import json
import os
import pathlib
import struct
import time

import pytest

import fastcgi_peer
from chatting import Crowd, Visitor, chat, check_error, check_healthy, crowd_of, ended_row, tokens  # noqa: F401
from fastcgi_peer import ABORT, BEGIN, GET_VALUES, KEEP_CONN, PARAMS, STDIN, Peer, begin, http_params, pairs, record
from stack import wait_for

URL = "/api/chat/completions"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def pids():
    """Of the responders, found when the first test begins."""
    return []


def lives(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture(autouse=True)
def nobody_dies(chat, pids):  # noqa: F811
    """No responder may die of it."""
    if not all(map(lives, pids)) or not pids:
        pids[:] = chat.responders().values()
    yield
    assert all(map(lives, pids)), "a responder has died"


@pytest.fixture
def visitor(chat):  # noqa: F811
    return Visitor(chat)


@contextlib.contextmanager
def undisturbed(stack, agent="spaced", n_tokens=20):
    """Streams of others on both responders go on meanwhile."""
    with Crowd(stack, crowd_of(4, agent)) as crowd:
        crowd.begun()
        yield
        check_healthy(crowd.join(), tokens(n_tokens))


# ---- fields ----

QUESTION = [{"role": "user", "content": "Hi"}]
NOBODY = "nobody-of-this-name"


@pytest.mark.parametrize("field, values", [
    ("agentId", [..., None, 5, "", [], {}, True, "x" * 65]),
    ("messages", [..., None, {}, [], "Hi", [1], [None], [[]], [{}], [{"role": "user"}], [{"content": "Hi"}], [{"role": "robot", "content": "Hi"}],
                  [{"role": 1, "content": "Hi"}], [{"role": "user", "content": 5}], [{"role": "user", "content": None}],
                  [{"role": "user", "content": ""}], [{"role": "user", "content": {}}], [{"role": "user", "content": []}],
                  [{"role": "user", "content": [1]}], [{"role": "user", "content": [{}]}], [{"role": "user", "content": [{"type": 5}]}],
                  [{"role": "user", "content": [{"type": "text", "text": 5}]}], [{"role": "user", "content": [{"type": "text"}]}],
                  [{"role": "user", "content": [{"type": "text", "text": "x" * 1_000_001}] * 2}],
                  QUESTION + [{"role": "assistant", "content": "Yes?"}], [{"role": "User", "content": "Hi"}],
                  [{"role": "user", "content": "x" * 2_000_001}], QUESTION * 10_000]),
    ("stream", ["true", 1, [], {}]),
    ("chatId", [5, "", " ", "a b", "x" * 129, "ä", "a/b", "a\nb", "a'b", [], {}, True]),
    ("temperature", ["1", -0.1, 2.1, 1e300, True, [], {}]),
    ("maxTokens", ["5", 0, -1, 32769, 1.5, 2 ** 63, 2 ** 70, True, []]),
    ("options", [5, "x", [], True]),
    ("responseChatItemId", [5, "", "x" * 129, [], {}]),
    ("variables", [5, "x", [], True]),
    ("detail", [5, "yes", [], {}]),
    ("attachments", [5, "x", {}, True]),
])
def test_a_wrong_field_is_named(chat, field, values):  # noqa: F811
    wrong = []
    for value in values:
        body = {"agentId": "quick", "messages": QUESTION, field: value}
        answer = chat.post(URL, json={name: given for name, given in body.items() if given is not ...})
        try:
            check_error(answer, 400, "VALIDATION_ERROR", field)
        except AssertionError as e:
            wrong.append((repr(value)[:60], str(e)[:200]))
    assert not wrong


def test_a_wrong_option_is_named_too(chat):  # noqa: F811
    check_error(chat.post(URL, json={"agentId": "quick", "messages": QUESTION, "options": {"temperature": "hot"}}), 400, "VALIDATION_ERROR", "temperature")


def test_a_wrong_id_of_a_message_is_refused(chat):  # noqa: F811
    for value in (5, [], "x" * 129):
        body = check_error(chat.post(URL, json={"agentId": "quick", "messages": [{**QUESTION[0], "id": value}]}), 400, "VALIDATION_ERROR")
        assert "id" in body["message"]


@pytest.mark.parametrize("name", ["7e0c4dd0-54b5-4c1f-93f5-6a5f6e1c0a11", "a", "A.b:c_d-1", "x" * 128, "0", "-", "..", "null"])
def test_any_form_of_chat_id_is_taken(visitor, name):
    assert visitor.ask("quick", chatId=name).data["chatId"] == name
    assert len(visitor.messages(name).data) == 2


@pytest.mark.parametrize("agent", [NOBODY, "inactive", "unset", "QUICK", "quick ", "../quick", "quick'--", "😀"])
def test_an_agent_that_is_not_there_is_404(visitor, agent):
    check_error(visitor.ask(agent), 404, "AGENT_NOT_FOUND")
    with visitor.stream(agent) as stream:
        assert (stream.status, stream.json()["code"]) == (404, "AGENT_NOT_FOUND")


def test_unknown_fields_are_ignored(chat, visitor):  # noqa: F811
    answer = visitor.ask("quick", variables={"a": 1}, detail=True, attachments=[], foo={"bar": [1, None]}, retainDatasetCite=False)
    assert answer.data["content"] == tokens(5)
    assert "foo" not in chat.last_request()["body"]


# ---- JSON ----

GOOD = json.dumps({"agentId": "quick", "messages": QUESTION}).encode()


@pytest.mark.parametrize("body", [
    b"", b" ", b"{", b"}", b"nul", b"null", b"5", b'"x"', b"[]", b"[" + GOOD + b"]", GOOD[:-1], GOOD + b"x", GOOD + GOOD, GOOD[:-1] + b",}",
    GOOD.replace(b'"', b"'"), b"/* x */" + GOOD, GOOD + b"// x", b"\xef\xbb\xbf" + GOOD[:-1], GOOD.replace(b"Hi", b"\xff"),
    GOOD.replace(b"Hi", b"\xc0\x80"), GOOD.replace(b"Hi", b"\xed\xa0\x80"), GOOD.replace(b"Hi", b"\xf4\x90\x80\x80"), GOOD.replace(b"Hi", b"\xe4\xbb"),
    GOOD.replace(b"Hi", b"\0"), GOOD + b"\0", GOOD.replace(b"Hi", b"a\\u0000b"), GOOD.replace(b"agentId", b"agent\\u0000Id"),
    GOOD.replace(b"Hi", b"a\nb"), GOOD.replace(b"Hi", b"\\x41"), GOOD.replace(b"Hi", b"\\u12"), GOOD[:-1] + b',"temperature":NaN}',
    GOOD[:-1] + b',"foo":NaN}', GOOD[:-1] + b',"foo":Infinity}', GOOD[:-1] + b',"foo":-Infinity}', GOOD[:-1] + b',"foo":01}', GOOD[:-1] + b',"foo":1.}', GOOD[:-1] + b',"foo":+1}',
    GOOD[:-1] + b',"foo":.5}', GOOD[:-1] + b',"foo":True}', GOOD[:-1] + b',foo:1}', b"\x1f\x8b\x08\0", b"agentId=quick",
    b"[" * 33 + b"]" * 33, b'{"a":' * 40 + b"1" + b"}" * 40,
], ids=lambda body: repr(body[-40:])[2:-1])
def test_malformed_json_is_400(chat, body):  # noqa: F811
    answer = chat.post(URL, body=body, headers=JSON)
    check_error(answer, 400, "MALFORMED_JSON")


def test_lone_surrogates_do_not_reach_the_database(chat, visitor):  # noqa: F811
    for escape in (b"\\ud800", b"\\udc00", b"\\udc00\\ud800", b"\\ud800x"):
        answer = chat.post(URL, body=GOOD.replace(b"Hi", b"a" + escape + b"b"), headers=JSON)
        assert answer.status in (200, 400), answer


@pytest.mark.parametrize("number", [b"1e999999", b"-1e999999", b"1" * 400, b"0." + b"1" * 400, b"NaN", b"1e-999999"])
def test_odd_numbers_inside_parts_are_no_server_error(chat, number):  # noqa: F811
    """Parts are stored as JSON and passed on."""
    parts = b'[{"type":"text","text":"Hi","x":' + number + b"}]"
    answer = chat.post(URL, body=GOOD.replace(b'"Hi"', parts), headers=JSON)
    assert answer.status in (200, 400), answer


def test_of_keys_that_are_given_twice_one_counts(chat):  # noqa: F811
    answers = {chat.post(URL, body=b'{"agentId":"quick",' + GOOD[1:-1] + b',"agentId":"%s"}' % NOBODY.encode(), headers=JSON).status for _ in range(4)}
    assert answers in ({200}, {404}, {400})


def test_a_megabyte_of_brackets_is_refused_quickly(chat):  # noqa: F811
    with undisturbed(chat):
        for body in (b"[" * (1 << 20), b"[],[]," * 170_000, b'{"a":' * 200_000, b"[" + b"{}," * 340_000 + b"1]", b'"' + b"\\" * (1 << 20)):
            answer = chat.post(URL, body=body, headers=JSON)
            check_error(answer, 400, "MALFORMED_JSON")
            assert answer.took < 1, answer.took


def test_a_body_of_megabytes_is_judged_without_holding_up_anybody(chat):  # noqa: F811
    wide = {f"key{i}": i for i in range(90_000)}
    with undisturbed(chat, "long", 60):
        for extra in ({"foo": "x" * 9_000_000}, {"foo": "长" * 3_000_000}, wide, {"foo": [""] * 99_000}):
            answer = chat.post(URL, json={"agentId": "quick", "messages": QUESTION, **extra})
            assert answer.status == 200 and answer.took < 2, (answer, answer.took)


def test_an_oversize_body_is_413(chat):  # noqa: F811
    answer = chat.post(URL, body=b"x" * (11 << 20), headers=JSON)
    check_error(answer, 413, "PAYLOAD_TOO_LARGE")
    # And the responder itself, whoever fronts it.
    with undisturbed(chat):
        status, _, body = fastcgi_peer.ask(socket_of(chat), "POST", URL, b"x" * (11 << 20))
        assert (status, json.loads(body)["code"]) == (413, "PAYLOAD_TOO_LARGE")


# ---- HTTP ----

@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx",
                                  "text/json", "application", "", "application/xml; a=application/json"])
def test_another_media_type_is_415(chat, kind):  # noqa: F811
    check_error(chat.post(URL, body=GOOD, headers={"Content-Type": kind}), 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/json ;charset=UTF-8"])
def test_json_may_be_called_so_in_several_ways(chat, kind):  # noqa: F811
    assert chat.post(URL, body=GOOD, headers={"Content-Type": kind}).status == 200


@pytest.mark.parametrize("method, path, allow", [
    ("GET", URL, "POST"), ("PUT", URL, "POST"), ("DELETE", "/api/chat/messages", "POST"), ("POST", "/health", "GET, HEAD"),
    ("PATCH", "/api/agents", "GET, HEAD, POST"), ("POST", "/api/chat/sessions/x/messages", "GET, HEAD"), ("FOO", "/api/agents/quick", "GET, HEAD, PUT, PATCH, DELETE"),
    ("HEAD", URL, "POST"),
])
def test_another_method_is_405_and_says_which(chat, method, path, allow):  # noqa: F811
    answer = chat.http(method, path)
    assert answer.status == 405 and answer.header("Allow") == allow
    if method != "HEAD":
        check_error(answer, 405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize("path", ["/api/", "/api/nothing", "/api/chat", "/api/chat/completions/more", "/api/agents/a/b", "/api//agents",
                                  "/health/nothing", "/api/chat/sessions//messages", "/api/agents/a%2Fb/c", "/api/%ff", "/api/" + "x" * 3000])
def test_an_unknown_route_is_404(chat, path):  # noqa: F811
    check_error(chat.get(path), 404, "ROUTE_NOT_FOUND")


@pytest.mark.parametrize("query, field", [
    ("limit=0", "limit"), ("limit=201", "limit"), ("limit=-1", "limit"), ("limit=x", "limit"), ("limit=1.5", "limit"), ("limit=", "limit"), ("limit", "limit"),
    ("limit=99999999999999999999", "limit"), ("limit=1%00", "limit"), ("limit=0x10", "limit"), ("limit=%ff", "limit"),
    ("offset=-1", "offset"), ("offset=x", "offset"), ("offset=99999999999999999999", "offset"), ("role=robot", "role"), ("role=", "role"), ("role=%00", "role"),
    ("role=%ff%fe", "role"), ("role=user%27--", "role"),
])
def test_bounds_of_a_page(visitor, query, field):
    check_error(visitor.messages("x", "?" + query), 400, "VALIDATION_ERROR", field)


def test_pages_at_their_bounds(visitor):
    chat_id = visitor.ask("quick").data["chatId"]
    for query in ("?limit=200", "?limit=1&offset=0", "?offset=1000000000", "?role=system", "?limit=%31", "?&&limit=2&", "?a=b&limit=2&limit=999"):
        assert visitor.messages(chat_id, query).status == 200, query


@pytest.mark.parametrize("name", ["%ff%fe", "%00", "a%00b", "%ed%a0%80", "%", "%zz", "a%2fb", "%27%20OR%201=1--", "x" * 2000, "%f0%9f%98%80", "..%5c", "%0d%0aX-Evil:%201"])
def test_odd_names_in_a_path_are_404(chat, name):  # noqa: F811
    for path in (f"/api/chat/sessions/{name}/messages", f"/api/agents/{name}"):
        answer = chat.get(path)
        # nginx itself refuses a NUL and what is no escape.
        assert answer.status == 404 or (answer.status == 400 and "%" in name), (path, answer)
        assert answer.json()["code"] in ("SESSION_NOT_FOUND", "AGENT_NOT_FOUND", "ROUTE_NOT_FOUND", "VALIDATION_ERROR") and answer.header("X-Evil") is None
        status, headers, body = fastcgi_peer.ask(socket_of(chat), "GET", path)
        assert status == 404 and json.loads(body.decode("utf-8"))["code"].endswith("_NOT_FOUND") and "x-evil" not in headers


# ---- FastCGI peers, straight on the socket ----

def socket_of(stack, slot=1):
    return f"{stack.setting('RUN_DIR')}/{slot}.sock"


def said(stack):
    """Why responders have refused peers so far."""
    return [entry.get("reason") for entry in stack.logs("fastcgi_refused")]


ANY_PARAMS = record(PARAMS, pairs(http_params("GET", "/health")))


@pytest.mark.parametrize("data", [
    b"\0" * 64, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\xff" * 100_000, bytes(range(256)) * 64,
    record(BEGIN, struct.pack(">HB5x", 1, 0), version=2),
    record(BEGIN, b""), record(BEGIN, b"\0\1"),                                         # too short
    record(PARAMS, b""), record(STDIN, b"x"), record(99, b"x"),                         # before any BEGIN
    record(GET_VALUES, pairs({"FCGI_MPXS_CONNS": ""}), request_id=0),                   # management
    record(GET_VALUES, pairs({"FCGI_MAX_CONNS": ""}) * 40, request_id=0),
    begin() + record(GET_VALUES, pairs({"FCGI_MPXS_CONNS": ""}), request_id=0),
    begin() + begin(),                                                                  # twice
    begin() + begin(request_id=2),                                                      # multiplexed
    begin() + record(PARAMS, b"", request_id=2),
    begin() + record(STDIN, b""),                                                       # out of order
    begin() + ANY_PARAMS + record(STDIN, b"x"),
    begin() + record(PARAMS, b"\xff\xff\xff\xff\xff\xff\xff\xffA=") + record(PARAMS, b"") + record(STDIN, b""),  # pairs that lie
    begin() + record(PARAMS, b"\x05") + record(PARAMS, b"") + record(STDIN, b""),
    begin() + record(PARAMS, b"\x7f\x01A") + record(PARAMS, b"") + record(STDIN, b""),
    begin() + record(PARAMS, b"\x80\x00") + record(PARAMS, b"") + record(STDIN, b""),
    begin() + record(PARAMS, b"x" * 65000) * 40,                                        # without end
    begin() + record(PARAMS, b"\0\0" * 30000) + record(PARAMS, b"") + record(STDIN, b""),  # more pairs than anybody needs
    begin(role=2), begin(role=3), begin(role=0),
    begin() + record(ABORT),
], ids=lambda data: f"{len(data)} bytes {data[:24].hex()}")
def test_a_peer_that_breaks_the_protocol_is_closed(chat, data):  # noqa: F811
    with Peer(socket_of(chat), timeout=5) as peer:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            peer.send(data)
        assert peer.closed()
    assert fastcgi_peer.ask(socket_of(chat), "GET", "/health")[0] == 200


def test_refused_peers_are_in_the_log(chat):  # noqa: F811
    with Peer(socket_of(chat)) as peer:
        peer.send(record(GET_VALUES, pairs({"FCGI_MPXS_CONNS": ""}), request_id=0))
        assert peer.closed()
    wait_for(lambda: "management_record" in said(chat), 3, "the reason in the log")


def test_an_unknown_role_is_told_so(chat):  # noqa: F811
    with Peer(socket_of(chat)) as peer:
        peer.send(begin(role=2))
        kind, _, content = peer.read_record()
        assert (kind, content[4]) == (fastcgi_peer.END, 3)  # FCGI_UNKNOWN_ROLE


def test_half_a_record_and_then_nothing_disturbs_nobody(chat):  # noqa: F811
    whole = fastcgi_peer.request("POST", URL, GOOD)
    with contextlib.ExitStack() as silent:
        with undisturbed(chat):
            for n in (1, 7, 8, 15, 16, 40, 100, len(whole) - 1):
                with Peer(socket_of(chat)) as leaving:
                    leaving.send(whole[:n])
                staying = silent.enter_context(Peer(socket_of(chat)))
                staying.send(whole[:n])
            for _ in range(200):
                silent.enter_context(Peer(socket_of(chat)))
            assert Visitor(chat).ask("quick").status == 200
            assert fastcgi_peer.ask(socket_of(chat), "GET", "/health")[0] == 200


def test_a_request_that_comes_byte_by_byte_is_a_request(chat):  # noqa: F811
    with undisturbed(chat), Peer(socket_of(chat)) as peer:
        for byte in fastcgi_peer.request("POST", URL, GOOD):
            peer.send(bytes([byte]))
        status, headers, body = peer.read_answer()
        assert status == 200 and headers["content-type"] == ["application/json; charset=utf-8"]
        assert json.loads(body)["data"]["content"] == tokens(5)


def test_padding_and_kept_connections_are_understood(chat):  # noqa: F811
    with Peer(socket_of(chat)) as peer:
        for request_id in (1, 7, 65535):
            params = pairs(http_params("POST", URL, GOOD))
            peer.send(begin(request_id, flags=KEEP_CONN) + record(PARAMS, params[:50], request_id, padding=3) + record(PARAMS, params[50:], request_id, padding=255)
                      + record(PARAMS, b"", request_id) + record(STDIN, GOOD[:9], request_id, padding=7) + record(STDIN, GOOD[9:], request_id)
                      + record(STDIN, b"", request_id, padding=8))
            assert peer.read_answer()[0] == 200


def test_a_request_without_any_parameter_is_answered(chat):  # noqa: F811
    with Peer(socket_of(chat)) as peer:
        peer.send(begin() + record(PARAMS, b"") + record(STDIN, b""))
        assert peer.read_answer()[0] == 404


def test_parameters_given_twice_or_odd_are_answered(chat):  # noqa: F811
    for params in (pairs(http_params("GET", "/health")) * 2, pairs({**http_params("GET", "/health"), "": "x", "A": "", "HTTP_COOKIE": b"\xff\x01=;;=;"}),
                   pairs({**http_params("GET", "/health"), "HTTP_X": "x" * 20000})):
        with Peer(socket_of(chat)) as peer:
            peer.send(begin() + record(PARAMS, params) + record(PARAMS, b"") + record(STDIN, b""))
            assert peer.read_answer()[0] == 200


def test_an_abort_in_midstream_is_a_reader_who_left(chat, visitor):  # noqa: F811
    before = chat.stats()["closed_by_client"]
    body = json.dumps(visitor.body("cancel", stream=True)).encode()
    with undisturbed(chat), Peer(socket_of(chat)) as peer:
        peer.send(fastcgi_peer.request("POST", URL, body))
        seen = b""
        while b"event: chunk" not in seen:
            seen += peer.read_record()[2]
        peer.send(record(ABORT))
        assert peer.closed()
        wait_for(lambda: chat.stats()["closed_by_client"] > before, 1, "the provider to be left")
        assert ended_row(chat, visitor.asked)["status"] == "cancelled"


def test_a_second_request_before_the_first_is_answered_breaks_nobody_else(chat, visitor):  # noqa: F811
    body = json.dumps(visitor.body("late")).encode()
    with undisturbed(chat), Peer(socket_of(chat)) as peer:
        peer.send(fastcgi_peer.request("POST", URL, body, flags=KEEP_CONN))
        time.sleep(0.1)  # so that it is at work on it
        peer.send(fastcgi_peer.request("GET", "/health", request_id=2))
        assert peer.closed() or True
    assert ended_row(chat, visitor.asked)["status"] == "complete"


def test_random_bytes_behind_a_good_beginning(chat):  # noqa: F811
    whole = fastcgi_peer.request("POST", URL, GOOD)
    with undisturbed(chat, "long", 60):
        for i in range(60):
            noise = bytearray(whole)
            for at in os.urandom(4):
                noise[at * len(noise) // 256] ^= 1 + i
            with Peer(socket_of(chat), timeout=1) as peer:
                peer.send(bytes(noise))
    assert fastcgi_peer.ask(socket_of(chat), "GET", "/health")[0] == 200
