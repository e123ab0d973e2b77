"""The same question asked several times: joined while it is in flight, replayed under an Idempotency-Key. Counted at the provider and in
PostgreSQL, not by our own figures. Most questions go straight to a responder's socket, so that it is certain who has which."""

import itertools
import json
import pathlib
import time
import uuid

import pytest

import fastcgi_peer
from chatting import Visitor, literal, new_stack, rows, tokens
from conftest import finish
from faults import in_threads
from stack import wait_for

AGENTS = {
    "slow": ("sim-first400-n5-d100", {"onDisconnect": "cancel"}),
    "other": ("sim-first400-n5-d100", {}),
    "slower": ("sim-first2500-n5-d0", {}),
    "slowest": ("sim-first5000-n5-d0", {}),
    "quick": ("sim-n5-d0", {}),
    "long": ("sim-n60-d100", {"onDisconnect": "cancel"}),
    "fails": ("sim-err500-first400", {}),
    "fails-at-once": ("sim-err400", {}),
    "cut": ("sim-first300-n5-d100-cut3", {}),
    "tools": ("sim-first300-n2-d20-tools2", {}),
    "thinks": ("sim-first300-reason3-n5-d20", {}),
    "endless": ("sim-n400-d50", {}),
}
COMPLETIONS = "/api/chat/completions"


@pytest.fixture(scope="module")
def own_stack():
    stack = new_stack(AGENTS, REQUEST_TIMEOUT=6000, DB_STATEMENT_TIMEOUT=1500, DB_CONNECTION_TIMEOUT=1500)
    stack.start()
    stack.wait_until_ready()
    yield stack
    finish(stack)


@pytest.fixture
def chat(own_stack, request):
    request.node.stacks = [own_stack]
    own_stack.reset_stats()
    yield own_stack


class Asker:
    """A visitor who asks certain responders."""

    def __init__(self, stack):
        self.stack, self.run_dir = stack, pathlib.Path(stack.setting("RUN_DIR"))
        visitor = Visitor(stack)
        assert visitor.ask("quick").status == 200
        self.cookies = visitor.cookies
        self.cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
        stack.reset_stats()

    def open(self, slot, body, key=None):
        """The same, to be read or left."""
        headers = {"HTTP_COOKIE": self.cookie, **({"HTTP_IDEMPOTENCY_KEY": key} if key else {})}
        peer = fastcgi_peer.Peer(self.run_dir / f"{slot}.sock")
        peer.send(fastcgi_peer.request("POST", COMPLETIONS, json.dumps(body).encode(), **headers))
        return peer

    def ask(self, slot, body, key=None, address=COMPLETIONS, timeout=20):
        """(status, {header: value}, what came: JSON, or the events of a stream)"""
        headers = {"HTTP_COOKIE": self.cookie, **({"HTTP_IDEMPOTENCY_KEY": key} if key is not None else {})}
        status, found, content = fastcgi_peer.ask(self.run_dir / f"{slot}.sock", "POST", address, json.dumps(body).encode(), timeout, **headers)
        status = int(str(status).split()[0])
        headers = {name.lower(): values[0] for name, values in found.items()}
        text = content.decode()
        if not headers["content-type"].startswith("text/event-stream"):
            return status, headers, json.loads(text)
        events = [dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":")) for block in text.strip().split("\n\n")]
        return status, headers, [(event.get("event"), event["data"]) for event in events if "data" in event]


def question(agent="slow", chat_id=..., text="Hello", **fields):
    chat_id = f"c-{uuid.uuid4()}" if chat_id is ... else chat_id
    body = {"agentId": agent, "messages": [{"role": "user", "content": text}], **fields}
    return {**body, "chatId": chat_id} if chat_id else body


def answer_of(result):
    """(id, text) of what a reader got, whole, in whatever form."""
    status, _, what = result
    assert status == 200, result
    if isinstance(what, dict):
        return what["data"]["id"], what["data"]["content"]
    assert what[-1][0] == "end" and json.loads(what[-1][1])["finishReason"] == "stop", what
    return (json.loads(dict(what)["start"])["id"], "".join(json.loads(data)["content"] for name, data in what if name == "chunk"))


def stored(stack, chat_id):
    return [(row["role"], row["content"], row["status"]) for row in
            rows(stack, f"SELECT m.* FROM chat_messages m JOIN chat_sessions s ON s.id = session_id WHERE s.name = {literal(chat_id)} ORDER BY m.created_at, m.id")]


def begun(stack, chat_id, n=1):
    """The turns of a session are in flight."""
    wait_for(lambda: sum(status == "streaming" for _, _, status in stored(stack, chat_id)) == n, 5, "the turn to begin")


def check_one_turn(stack, body, results, text=tokens(5)):
    assert len({answer_of(result) for result in results}) == 1, results
    assert answer_of(results[0])[1] == text
    assert stack.stats()["requests"] == 1
    assert stored(stack, body["chatId"]) == [("user", "Hello", "complete"), ("assistant", text, "complete")]


# ---- joining ----

@pytest.mark.parametrize("slots", [(1,), (1, 2)], ids=["one-responder", "two-responders"])
def test_of_ten_identical_questions_at_once_one_is_asked(chat, slots):
    asker, body = Asker(chat), question()
    check_one_turn(chat, body, in_threads(10, lambda i: asker.ask(slots[i % len(slots)], {**body, "stream": i % 3 == 0})))
    assert chat.redis_cli("keys", "llmchat:inflight:*") == ""


def test_through_nginx_too_and_by_the_other_name_of_the_route(chat):
    visitor = Visitor(chat)
    visitor.ask("quick")
    chat.reset_stats()
    body = question()
    answers = in_threads(10, lambda i: chat.post(COMPLETIONS if i % 2 else "/api/chat/messages", json=body, cookies=visitor.cookies))
    assert len({(answer.data["id"], answer.data["content"]) for answer in answers}) == 1
    assert chat.stats()["requests"] == 1


def test_what_differs_is_not_joined(chat):
    asker, stranger = Asker(chat), Asker(chat)
    body = question("slow")
    others = [{**body, "agentId": "other"}, {**body, "chatId": body["chatId"] + "-2"}, {**body, "temperature": 0}, {**body, "temperature": 1},
              {**body, "maxTokens": 5}, {**body, "variables": {"a": "b"}}, {**body, "messages": [{"role": "user", "content": "Hello "}]},
              {**body, "responseChatItemId": "mine"}, {**body, "messages": [{"role": "system", "content": "Be brief"}, *body["messages"]]}]
    results = in_threads(len(others) + 2, lambda i: asker.ask(1, [body, *others][i]) if i <= len(others) else stranger.ask(1, body))
    assert len({answer_of(result)[0] for result in results}) == len(results)
    assert chat.stats()["requests"] == len(results)


def test_without_a_chat_id_nothing_is_joined(chat):
    asker, body = Asker(chat), question(chat_id=None)
    results = in_threads(4, lambda i: asker.ask(i % 2 + 1, body))
    assert len({answer_of(result)[0] for result in results}) == 4 and chat.stats()["requests"] == 4


def test_the_same_question_later_is_another_one(chat):
    asker, body = Asker(chat), question("quick")
    results = [asker.ask(i % 2 + 1, body) for i in range(6)]
    assert len({answer_of(result)[0] for result in results}) == 6 and chat.stats()["requests"] == 6


def test_a_reader_that_leaves_takes_nobody_along(chat):
    """Not even the first one, of an agent that is cancelled once nobody reads."""
    asker, body = Asker(chat), question(stream=True)
    with asker.open(1, body) as first, asker.open(1, body), asker.open(1, body) as last:
        for peer in (first, last):
            assert b"200 OK" in peer.read_record()[2] and b"event: chatId" in peer.read_record()[2]
        first.close()
        assert answer_of(asker.ask(1, body))[1] == tokens(5)
    assert chat.stats()["requests"] == chat.stats()["completed"] == 1


def test_a_turn_that_all_have_left_is_cancelled_and_the_next_one_is_a_new_one(chat):
    asker, body = Asker(chat), question("long")
    with pytest.raises(TimeoutError):
        asker.ask(1, body, timeout=0.5)
    wait_for(lambda: chat.stats()["closed_by_client"] == 1, 5, "the provider to be left")
    wait_for(lambda: stored(chat, body["chatId"])[1][2] == "cancelled", 5, "the ending")
    with pytest.raises(TimeoutError):
        asker.ask(2, body, timeout=0.5)
    assert chat.stats()["requests"] == 2


@pytest.mark.parametrize("key", [None, "left"], ids=["joined", "key"])
def test_who_comes_as_the_last_reader_leaves_is_answered_all_the_same(chat, key):
    asker = Asker(chat)
    for i in range(6):
        body = question(text=f"Hello {i}")
        with asker.open(1, body, key and f"{key}-{i}"):
            if i % 2:
                begun(chat, body["chatId"])
        assert answer_of(asker.ask(1, body, key and f"{key}-{i}"))[1] == tokens(5)


@pytest.mark.parametrize("slots", [(1,), (1, 2)], ids=["one-responder", "two-responders"])
def test_a_failure_is_told_to_all_who_waited(chat, slots):
    asker, body = Asker(chat), question("fails")
    first = in_threads(6, lambda i: asker.ask(slots[i % len(slots)], {**body, "stream": i % 3 == 0}))
    assert {(status, what["code"]) for status, _, what in first} == {(502, "UPSTREAM_ERROR")}
    assert len(stored(chat, body["chatId"])) == 2
    n = chat.stats()["requests"]
    asker.ask(2, body)
    assert chat.stats()["requests"] > n and len(stored(chat, body["chatId"])) == 4


def test_a_retry_is_joined_too(chat):
    asker, body = Asker(chat), question()
    answer_id, _ = answer_of(asker.ask(1, body))
    chat.reset_stats()
    results = in_threads(4, lambda i: asker.ask(i % 2 + 1, {"dataId": answer_id}, address=f"/api/chat/history/{body['chatId']}/retry"))
    assert len({answer_of(result)[0] for result in results} | {answer_id}) == 2 and chat.stats()["requests"] == 1
    assert len(stored(chat, body["chatId"])) == 3


def test_who_waits_for_another_responder_waits_no_longer_than_a_request_may(chat):
    asker, body = Asker(chat), question("endless", stream=True)
    results = in_threads(2, lambda i: (time.sleep(0.3 * i), asker.ask(i + 1, body, timeout=30), time.monotonic())[1:] if i else asker.ask(1, body, timeout=40))
    assert results[1][0][0] == 504 and results[1][0][2]["code"] == "UPSTREAM_TIMEOUT"
    assert answer_of(results[0])[1] == tokens(400) and chat.stats()["requests"] == 1


def test_a_plain_call_that_joins_a_long_stream_does_not_wait_longer_either(chat):
    asker, body = Asker(chat), question("endless")
    results = in_threads(2, lambda i: asker.ask(1, {**body, "stream": i == 0}, timeout=40) if i == 0 else (time.sleep(0.5), asker.ask(1, body, timeout=40))[1])
    assert results[1][0] == 504 and answer_of(results[0])[1] == tokens(400) and chat.stats()["requests"] == 1


# ---- keys ----

@pytest.mark.parametrize("chat_id", [..., None], ids=["chatId", "new"])
def test_a_key_ten_times_one_after_the_other_is_one_turn(chat, chat_id):
    asker, body, key = Asker(chat), question("quick", chat_id), str(uuid.uuid4())
    results = [asker.ask(i % 2 + 1, {**body, "stream": i % 3 == 1}, key) for i in range(10)]
    assert len({answer_of(result) for result in results}) == 1
    assert [headers.get("idempotent-replayed") for _, headers, _ in results] == [None] + ["true"] * 9
    assert chat.stats()["requests"] == 1
    plain = [what["data"] for _, _, what in results if isinstance(what, dict)]
    assert all(one == plain[0] for one in plain), plain
    streamed = [what for _, _, what in results if isinstance(what, list)]
    assert [name for name, _ in itertools.groupby(streamed[0], lambda event: event[0])] == ["chatId", "start", "chunk", "usage", "status", "end"]
    assert json.loads(dict(streamed[0])["chatId"])["chatId"] == plain[0]["chatId"]
    assert json.loads(dict(streamed[0])["usage"]) == plain[0]["usage"]


@pytest.mark.parametrize("slots", [(1,), (1, 2)], ids=["one-responder", "two-responders"])
def test_a_key_ten_times_at_once_is_one_turn(chat, slots):
    asker, body, key = Asker(chat), question(), "k" * 255
    check_one_turn(chat, body, in_threads(10, lambda i: asker.ask(slots[i % len(slots)], {**body, "stream": i % 3 == 0}, key)))


def test_a_key_stands_for_one_question_only(chat):
    asker, body = Asker(chat), question()
    results = in_threads(2, lambda i: asker.ask(1, body, "twice") if i == 0 else (time.sleep(0.2), asker.ask(1, {**body, "temperature": 1}, "twice"))[1])
    assert answer_of(results[0])[1] == tokens(5) and (results[1][0], results[1][2]["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
    for slot, other in ((1, {**body, "temperature": 1}), (2, {**body, "agentId": "other"}), (2, question())):
        status, _, what = asker.ask(slot, other, "twice")
        assert (status, what["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert chat.stats()["requests"] == 1
    # Somebody else's is another key.
    assert answer_of(Asker(chat).ask(1, question("quick"), "twice"))[1] == tokens(5)


def test_the_same_question_under_two_keys_is_two_turns(chat):
    asker, body = Asker(chat), question()
    results = in_threads(4, lambda i: asker.ask(1, body, f"two-{i % 2}"))
    assert len({answer_of(result)[0] for result in results}) == 2 and chat.stats()["requests"] == 2


@pytest.mark.parametrize("key", ["", "k" * 256, "two words", "schlüssel", "tab\t"], ids=["empty", "long", "blank", "letters", "tab"])
def test_a_key_that_is_none_is_refused(chat, key):
    status, _, what = Asker(chat).ask(1, question(), key)
    assert (status, what["code"], what["details"]) == (400, "VALIDATION_ERROR", {"field": "Idempotency-Key"})
    assert what["message"] == "Idempotency-Key must have 1 to 255 visible ASCII characters."
    assert chat.stats()["requests"] == 0


@pytest.mark.parametrize("agent,status", [("fails-at-once", 502), ("cut", 502)])
def test_a_key_whose_turn_failed_may_be_asked_again(chat, agent, status):
    asker, body = Asker(chat), question(agent)
    results = [asker.ask(i % 2 + 1, body, "again") for i in range(3)]
    assert [result[0] for result in results] == [status] * 3
    n = chat.stats()["requests"]
    assert n >= 3 and len(stored(chat, body["chatId"])) == 6
    # It still belongs to that question.
    assert asker.ask(1, {**body, "temperature": 1}, "again")[0] == 409


def test_a_key_outlives_a_restart_and_ends_after_a_day(chat):
    asker, body = Asker(chat), question("quick")
    first = answer_of(asker.ask(1, body, "restart"))
    chat.pool("restart")
    status, headers, what = asker.ask(2, {**body, "stream": True}, "restart")
    assert answer_of((status, headers, what)) == first and headers["idempotent-replayed"] == "true"
    left = chat.sql_one("SELECT extract(epoch FROM expires_at - now()) FROM idempotency_keys WHERE key = 'restart'")
    assert 86000 < float(left) <= 86400
    chat.sql("UPDATE idempotency_keys SET expires_at = now() WHERE key = 'restart'")
    status, headers, what = asker.ask(1, {**body, "temperature": 1}, "restart")
    assert answer_of((status, headers, what)) != first and "idempotent-replayed" not in headers


def test_a_key_of_a_deleted_session_may_be_asked_again(chat):
    asker, body = Asker(chat), question("quick")
    first = answer_of(asker.ask(1, body, "deleted"))
    assert chat.http("DELETE", f"/api/chat-sessions/{body['chatId']}", cookies=asker.cookies).status in (200, 204)
    assert answer_of(asker.ask(1, body, "deleted"))[0] != first[0]
    assert len(stored(chat, body["chatId"])) == 2


def test_a_retry_takes_a_key_too(chat):
    asker, body = Asker(chat), question("quick")
    answer_id, _ = answer_of(asker.ask(1, body))
    address = f"/api/chat/history/{body['chatId']}/retry"
    results = [asker.ask(i % 2 + 1, {"dataId": answer_id}, "retry", address) for i in range(4)]
    assert len({answer_of(result) for result in results}) == 1 and answer_of(results[0])[0] != answer_id
    assert len(stored(chat, body["chatId"])) == 3
    assert asker.ask(1, body, "retry", address)[0] in (400, 409)
    # A question that is gone keeps no key.
    assert asker.ask(1, {"dataId": str(uuid.uuid4())}, "gone", address)[0] == 404


def test_openais_face_takes_keys(chat):
    asker = Asker(chat)
    body = {"model": "slow", "messages": [{"role": "user", "content": "Hello"}]}
    results = in_threads(4, lambda i: asker.ask(i % 2 + 1, body, "v1", "/v1/chat/completions"))
    later = asker.ask(2, {**body, "stream": True, "stream_options": {"include_usage": True}}, "v1", "/v1/chat/completions")
    whole = results[0][2]
    assert all(result[0] == 200 and result[2] == whole for result in results), results
    assert whole["choices"][0]["message"]["content"] == tokens(5) and chat.stats()["requests"] == 1
    assert later[1]["idempotent-replayed"] == "true" and later[1]["x-chat-id"] == results[0][1]["x-chat-id"]
    chunks = [json.loads(data) for _, data in later[2][:-1]]
    assert later[2][-1][1] == "[DONE]" and {chunk["id"] for chunk in chunks} == {whole["id"]}
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]) == tokens(5)
    assert chunks[-1]["usage"] == whole["usage"] and chunks[0]["created"] == whole["created"]
    status, _, refused = asker.ask(1, {**body, "temperature": 1}, "v1", "/v1/chat/completions")
    assert status == 409 and refused["error"]["code"] == "idempotency_key_reused"


def test_what_came_beside_the_text_is_replayed_too(chat):
    asker, said = Asker(chat), {}
    for agent, key in (("tools", "t"), ("thinks", "r")):
        body = {"model": agent, "messages": [{"role": "user", "content": "Hello"}]}
        said[agent], again = (asker.ask(slot, body, key, "/v1/chat/completions")[2] for slot in (1, 2))
        assert again == said[agent]
    assert len(said["tools"]["choices"][0]["message"]["tool_calls"]) == 2 and said["tools"]["choices"][0]["finish_reason"] == "tool_calls"
    assert said["thinks"]["choices"][0]["message"]["reasoning_content"]
    chunks = [json.loads(data) for _, data in asker.ask(1, {**body, "stream": True}, key, "/v1/chat/completions")[2][:-1]]
    deltas = [next(iter(chunk["choices"][0]["delta"]), None) for chunk in chunks]
    assert deltas == ["role", "reasoning_content", "content", None]
    # Who waited for another responder has it as well.
    body = question("thinks", stream=True)
    results = in_threads(4, lambda i: asker.ask(i % 2 + 1, body))
    reasoning = {"".join(json.loads(data)["content"] for name, data in what if name == "reasoning") for _, _, what in results}
    assert len(reasoning) == 1 and reasoning != {""} and len({answer_of(result) for result in results}) == 1


# ---- bad days ----

@pytest.fixture
def whole(chat):
    yield chat
    chat.redis("start")
    wait_for(lambda: len(chat.responders()) == 2, 20, "both responders")
    wait_for(lambda: chat.get("/health/detailed").json()["components"]["redis"]["status"] == "ok", 10, "Redis")


@pytest.mark.parametrize("key", [None, "killed"], ids=["joined", "key"])
def test_a_responder_that_is_killed_blocks_nobody(whole, key):
    asker, body = Asker(whole), question("slower")

    def ask(i):
        if i == 0:
            try:
                return asker.ask(1, body, key)
            except (EOFError, ConnectionError):
                return None
        begun(whole, body["chatId"])
        if i == 1:
            time.sleep(0.3)
            return whole.kill(1)
        return asker.ask(2, body, key)

    results = in_threads(4, ask)
    assert results[0] is None
    # Both waited for a turn that nobody ends, and one of them began another.
    assert answer_of(results[2]) == answer_of(results[3]) and whole.stats()["requests"] == 2
    assert [row[2] for row in stored(whole, body["chatId"])] == ["complete", "interrupted", "complete", "complete"]
    later = asker.ask(2, body, key)
    assert (answer_of(later) == answer_of(results[2])) == (key is not None)


def test_who_asks_after_the_kill_need_not_know_of_it(whole):
    asker, body = Asker(whole), question("slower")
    with pytest.raises(TimeoutError):
        asker.ask(1, body, timeout=0.8)
    whole.kill(1)
    wait_for(lambda: stored(whole, body["chatId"])[1][2] == "interrupted", 10, "the sweeper")
    assert whole.redis_cli("keys", "llmchat:inflight:*") != ""
    assert answer_of(asker.ask(2, body))[1] == tokens(5)
    assert whole.redis_cli("keys", "llmchat:inflight:*") == ""


def test_a_key_of_redis_that_nobody_gave_back_is_not_believed(whole):
    """Of a turn that ended before anybody asked again: its responder had no Redis any more when it did."""
    asker, body, held = Asker(whole), question("slower"), {}

    def ask(i):
        if i == 0:
            return asker.ask(1, body)
        begun(whole, body["chatId"])
        name = whole.redis_cli("keys", "llmchat:inflight:*")
        held[name] = whole.redis_cli("get", name)
        return name

    first, name = in_threads(2, ask)
    assert held[name] == answer_of(first)[0] and whole.redis_cli("keys", "llmchat:inflight:*") == ""
    whole.redis_cli("set", name, held[name])
    results = in_threads(4, lambda i: asker.ask(i % 2 + 1, body))
    assert len({answer_of(result) for result in results} | {answer_of(first)}) == 2 and whole.stats()["requests"] == 2
    # Of one that never had a row: its responder died too early.
    whole.redis_cli("set", name, str(uuid.uuid4()))
    started = time.monotonic()
    assert answer_of(asker.ask(2, body))[1] == tokens(5)
    assert 3 < time.monotonic() - started < 9, "it waits for half of REQUEST_TIMEOUT, and then begins one itself"
    assert whole.redis_cli("keys", "llmchat:inflight:*") == ""


def test_postgresql_that_hangs_holds_up_all_who_share_a_key_no_longer_than_one(whole):
    asker, body = Asker(whole), question("quick")
    whole.pg("pause")
    try:
        started = time.monotonic()
        results = in_threads(6, lambda i: asker.ask(1, body, "hangs"))
        took = time.monotonic() - started
    finally:
        whole.pg("resume")
    assert {(status, what["code"]) for status, _, what in results} == {(503, "DB_UNAVAILABLE")}
    assert took < 5, took
    whole.wait_until_all_are_ready()
    wait_for(lambda: asker.ask(1, body, "hangs")[0] == 200, 10, "PostgreSQL")


def test_without_redis_each_responder_joins_its_own_and_keys_work_as_ever(whole):
    asker, body = Asker(whole), question()
    whole.redis("stop")
    check_one_turn(whole, body, in_threads(10, lambda i: asker.ask(1, body)))
    whole.reset_stats()
    body = question()
    check_one_turn(whole, body, in_threads(10, lambda i: asker.ask(i % 2 + 1, body, "no-redis")))
    whole.reset_stats()
    results = in_threads(10, lambda i: asker.ask(i % 2 + 1, body))
    assert len({answer_of(result) for result in results}) == 2 == whole.stats()["requests"]


def test_without_postgresql_a_key_is_refused(whole):
    asker = Asker(whole)
    whole.pg("stop")
    try:
        status, headers, what = asker.ask(1, question("quick"), "no-db")
    finally:
        whole.pg("start")
    assert (status, what["code"], headers["retry-after"]) == (503, "DB_UNAVAILABLE", "1")
    whole.wait_until_all_are_ready()
    assert whole.sql_one("SELECT count(*) FROM idempotency_keys WHERE key = 'no-db'") == "0"


# ---- what counts ----

def test_questions_that_wait_for_anothers_answer_have_room_for_so_many_bytes(chat):
    asker, body = Asker(chat), question("slowest", text="x" * 1_900_000)

    def ask(i):
        if i == 0:
            return asker.ask(1, body)
        begun(chat, body["chatId"])
        return asker.ask(2, body)

    results = in_threads(25, ask)
    codes = {what["code"] for status, _, what in results if status != 200}
    n_read = sum(status == 200 for status, _, _ in results)
    assert codes == {"OVERLOADED"} and 8 <= n_read <= 18, (codes, n_read)  # 64 MiB, each counted twice
    assert chat.stats()["requests"] == 1
    assert answer_of(asker.ask(2, question("quick", text="x" * 1_900_000)))[1] == tokens(5)


def test_joined_readers_and_replays_are_no_turns():
    stack = new_stack(AGENTS, MAX_CONCURRENT_REQUESTS=1)
    with stack:
        stack.wait_until_ready()
        asker = Asker(stack)
        done = answer_of(asker.ask(1, question("quick", "first"), "done"))
        body = question("slower")

        def ask(i):
            if i == 0:
                return asker.ask(1, body)
            begun(stack, body["chatId"])
            if i == 1:
                assert asker.ask(1, question())[2]["code"] == "OVERLOADED"
                assert asker.ask(1, question(), "other")[2]["code"] == "OVERLOADED"
                return asker.ask(1, question("quick", "first"), "done")
            return asker.ask(i % 2 + 1, body)

        results = in_threads(8, ask)
        assert answer_of(results[1]) == done
        assert len({answer_of(result) for result in results[2:]}) == 1
    assert not stack.sanitizer_reports()
