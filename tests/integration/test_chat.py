"""A chat that goes well: what the client gets, what is stored, what the provider is told, whom it belongs to."""

import contextlib
import glob
import json
import os
import re
import subprocess
import threading
import time
import uuid

import pytest

from chatting import (AGENTS, PROVIDER_KEY, SYSTEM_PROMPT, Visitor, answer_row, chat, check_error, ended_row, literal,  # noqa: F401
                      rows, tokens)
from fastcgi_peer import ask as ask_directly
from stack import wait_for

UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
ZH = "今天天气很好，我们一起去公园散步，看花。" * 2
EMOJI = "👨‍👩‍👧‍👦🇨🇳👍🏽👩🏻‍💻🏳️‍🌈❤️‍🔥🇩🇪🧑🏿‍🚀" * 2


@pytest.fixture
def visitor(chat):  # noqa: F811
    return Visitor(chat)


def upstream(stack):
    return stack.last_request()["body"]


# ---- the stream ----

def test_tokens_arrive_as_the_provider_sends_them(visitor):
    answer = visitor.read("spaced")
    chunks = answer.all("chunk")
    assert answer.text == tokens(20)
    assert len(chunks) == 20
    assert len({event.at for event in chunks}) >= 15  # reads of their own
    assert 0.7 < chunks[-1].at - chunks[0].at < 2
    assert answer.gap < 1


def test_events_come_in_their_order_with_rising_offsets(visitor):
    answer = visitor.read("spaced")
    assert answer.names == ["chatId", "start", "chunk", "usage", "status", "end"]
    ids = [int(event.id) for event in answer.events]
    assert ids == sorted(set(ids)) and ids[0] == 0
    start = answer.one("start")
    assert UUID.match(start["id"]) and UUID.match(start["userMessageId"])
    assert start["agentId"] == "spaced" and start["model"] == "sim-n20-d50" and start["timestamp"].endswith("Z")
    assert answer.one("usage") == {"prompt_tokens": 2, "completion_tokens": 20, "total_tokens": 22}
    assert answer.one("status") == {"type": "complete", "status": "completed"}
    assert answer.one("end")["finishReason"] == "stop" and answer.one("end")["timestamp"].endswith("Z")


def test_the_raw_stream_is_one_line_of_data_for_each_event(visitor):
    stream = visitor.stream("echo", 'A "line"\nand\r\nanother \\ with\ttabs,\u2028\u2029\u0085 and \x7f </script> 😀')
    events = list(stream)
    assert "".join(e.data["content"] for e in events if e.event == "chunk") == \
        'A "line"\nand\r\nanother \\ with\ttabs,\u2028\u2029\u0085 and \x7f </script> 😀'
    for block in stream.raw.split(b"\n\n")[:-1]:
        assert re.fullmatch(rb"id: \d+\nevent: [A-Za-z]+\ndata: [^\r\n]*", block), block


def test_headers_of_a_stream(visitor):
    with visitor.stream("quick") as stream:
        assert stream.header("Content-Type") == "text/event-stream; charset=utf-8"
        assert stream.header("Cache-Control") == "no-cache, no-transform"
        assert stream.header("X-Accel-Buffering") == "no"
        assert stream.header("Content-Encoding") is None
        assert stream.header("X-Request-Id")
        assert stream.header("X-LLMChat-Overhead-Us").isdigit()


def test_the_stream_begins_with_the_first_token_and_ends_with_end(visitor):
    started = time.monotonic()
    with visitor.stream("late") as stream:
        assert time.monotonic() - started > 0.35  # headers wait for the provider's first event
        assert next(iter(stream)).event == "chatId"


@pytest.mark.parametrize("agent, text", [("zh", ZH), ("emoji", EMOJI)])
def test_text_survives_a_provider_that_sends_single_bytes(chat, visitor, agent, text):  # noqa: F811
    answer = visitor.read(agent)
    assert answer.text == text and answer.reason == "stop"
    assert ended_row(chat, visitor.asked)["content"] == text


def test_the_question_survives_too(chat, visitor):  # noqa: F811
    question = EMOJI + ZH + "\u0001\u001f\uffff\U0010ffff\u202e'; DROP TABLE chat_messages; --"
    answer = visitor.read("echo", question)
    assert answer.text == question
    assert upstream(chat)["messages"] == [{"role": "user", "content": question}]
    # As hexadecimal digits: psql leaves out what it cannot show.
    stored = chat.sql_one(f"SELECT encode(content::bytea, 'hex') FROM chat_messages WHERE id = {literal(answer.one('start')['userMessageId'])}")
    assert bytes.fromhex(stored).decode("utf-8") == question


def test_reasoning_is_streamed_but_is_not_the_answer(chat, visitor):  # noqa: F811
    answer = visitor.read("thinks")
    assert answer.names == ["chatId", "start", "reasoning", "chunk", "usage", "status", "end"]
    assert "".join(event.data["content"] for event in answer.all("reasoning")) == "think0 think1 think2 "
    assert answer.text == tokens(5)
    assert ended_row(chat, visitor.asked)["content"] == tokens(5)


def test_a_provider_without_usage_is_no_failure(chat, visitor):  # noqa: F811
    answer = visitor.read("no-usage")
    assert answer.names == ["chatId", "start", "chunk", "status", "end"] and answer.text == tokens(5)
    row = ended_row(chat, visitor.asked)
    assert row["status"] == "complete" and row["completion_tokens"] >= 5
    assert visitor.ask("no-usage").data["content"] == tokens(5)


def test_null_choices_are_no_failure(visitor):
    answer = visitor.read("null-choices")
    assert answer.text == tokens(5) and answer.reason == "stop" and answer.one("usage")["completion_tokens"] == 5


def test_finish_reason_is_the_providers(chat, visitor):  # noqa: F811
    assert visitor.read("length").reason == "length"
    assert ended_row(chat, visitor.asked)["finish_reason"] == "length"
    assert visitor.ask("length").data["choices"][0]["finish_reason"] == "length"


def test_an_answer_without_a_word_is_an_answer(chat, visitor):  # noqa: F811
    answer = visitor.read("nothing")
    assert answer.text == "" and answer.reason == "stop"
    row = ended_row(chat, visitor.asked)
    assert (row["status"], row["content"]) == ("complete", "")


def test_an_answer_of_megabytes_is_whole(chat, visitor):  # noqa: F811
    answer = visitor.read("huge")
    assert answer.reason == "stop"
    assert len(answer.text) == 64 * 65536
    assert chat.sql_one(f"SELECT content = {literal('')} || {literal(answer.text)} FROM chat_messages WHERE id = {literal(answer.one('start')['id'])}") == "t"


def test_an_answer_larger_than_allowed_is_interrupted_not_swallowed(chat, visitor):  # noqa: F811
    answer = visitor.read("too-huge")
    assert answer.reason == "error" and answer.one("error")["code"]
    row = ended_row(chat, visitor.asked)
    assert row["status"] == "interrupted" and row["content"] == answer.text and len(answer.text) > 4_300_000


def test_the_alias_answers_alike(chat, visitor):  # noqa: F811
    answer = chat.post("/api/chat/messages", json=visitor.body("quick"))
    assert answer.data["content"] == tokens(5)
    with chat.stream("POST", "/api/chat/messages", json=visitor.body("spaced", stream=True)) as stream:
        times = [event.at for event in stream if event.event == "chunk"]
    assert len(times) == 20 and len(set(times)) >= 15


# ---- the plain answer ----

def test_a_plain_answer_has_its_shape(visitor):
    asked_at = time.time()
    answer = visitor.ask("quick")
    assert answer.status == 200
    assert answer.header("Content-Type") == "application/json; charset=utf-8"
    assert answer.header("Cache-Control") == "no-store"
    envelope, data = answer.json(), answer.data
    assert envelope["requestId"] == answer.header("X-Request-Id")
    assert re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", envelope["timestamp"])
    assert data["content"] == tokens(5)
    assert UUID.match(data["id"]) and UUID.match(data["chatId"])
    assert data["object"] == "chat.completion" and data["model"] == "sim-n5-d0" and abs(data["created"] - asked_at) < 10
    assert data["choices"] == [{"index": 0, "message": {"role": "assistant", "content": tokens(5)}, "finish_reason": "stop"}]
    assert data["usage"] == {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}


def test_the_providers_time_is_not_our_overhead(visitor):
    for answer in (visitor.ask("late"), visitor.stream("late")):
        assert int(answer.header("X-LLMChat-Overhead-Us")) < 300_000  # the provider takes 400 ms
    assert int(visitor.ask("hang").header("X-LLMChat-Overhead-Us")) < 300_000


# ---- what is stored ----

def test_both_rows_and_the_session_are_stored(chat, visitor):  # noqa: F811
    question = "为什么天空是蓝色的？请用三十个以上的字来解释一下这个现象的原因，谢谢你"
    answer = visitor.read("spaced", question)
    start, chat_id = answer.one("start"), answer.one("chatId")["chatId"]
    session, = rows(chat, f"SELECT * FROM chat_sessions WHERE name = {literal(chat_id)}")
    assert session["title"] == question[:30] and session["agent_id"] == "spaced" and session["anonymous"] is True
    assert visitor.cookies["llmchat_anon"].startswith(session["user_id"] + ".")
    stored = rows(chat, f"SELECT * FROM chat_messages WHERE session_id = {literal(session['id'])} ORDER BY created_at, id")
    assert [row["role"] for row in stored] == ["user", "assistant"] and session["message_count"] == 2
    assert stored[0]["id"] == start["userMessageId"] and stored[0]["content"] == question and stored[0]["status"] == "complete"
    row = stored[1]
    assert row["id"] == start["id"] and row["parent_id"] == start["userMessageId"]
    assert (row["status"], row["content"], row["finish_reason"], row["error_code"]) == ("complete", tokens(20), "stop", None)
    prompt_tokens = 1 + len(question.encode()) // 4
    assert (row["prompt_tokens"], row["completion_tokens"], row["total_tokens"]) == (prompt_tokens, 20, prompt_tokens + 20)
    assert 0 < row["first_event_ms"] < 1000 and 900 < row["took_ms"] < 3000 and row["ended_at"]
    assert (row["agent_id"], row["provider"], row["model"]) == ("spaced", "custom", "sim-n20-d50")


def test_end_means_stored(chat, visitor):  # noqa: F811
    for _ in range(5):
        assert visitor.read("quick").reason == "stop"
        assert answer_row(chat, visitor.asked)["status"] == "complete"
    visitor.ask("quick")
    assert answer_row(chat, visitor.asked)["status"] == "complete"


def pages(answer):
    pagination = answer.json()["metadata"]["pagination"]
    return tuple(pagination[name] for name in ("page", "pageSize", "total", "totalPages"))


def test_stored_messages_can_be_read_in_order_and_in_pages(visitor):
    chat_id = visitor.ask("echo", "one").data["chatId"]
    for question in ("two", "three"):
        assert visitor.ask("echo", question, chatId=chat_id).data["chatId"] == chat_id
    answer = visitor.messages(chat_id)
    texts = [(m["role"], m["content"]) for m in answer.data]
    assert texts == [(role, text) for text in ("one", "two", "three") for role in ("user", "assistant")]
    assert all(m["status"] == "complete" for m in answer.data)
    assert pages(answer) == (1, 50, 6, 1)
    page = visitor.messages(chat_id, "?limit=2&offset=2")
    assert [m["content"] for m in page.data] == ["two", "two"]
    assert pages(page) == (2, 2, 6, 3)
    assert [m["content"] for m in visitor.messages(chat_id, "?role=user").data] == ["one", "two", "three"]
    assert visitor.messages(chat_id, "?offset=100").data == []


def test_the_total_of_a_role_counts_that_role(visitor):
    chat_id = visitor.ask("echo", "one").data["chatId"]
    assert pages(visitor.messages(chat_id, "?role=user&limit=1"))[2] == 1


def test_two_questions_at_once_in_one_session_are_both_stored(chat, visitor):  # noqa: F811
    chat_id = visitor.ask("quick").data["chatId"]
    asked, threads = [], []
    for i in range(6):
        body = visitor.body("spaced" if i % 2 else "quick", f"at once {i}", chatId=chat_id)
        asked.append(body["responseChatItemId"])
        threads.append(threading.Thread(target=chat.post, args=("/api/chat/completions", body), kwargs={"cookies": dict(visitor.cookies)}))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {ended_row(chat, one)["status"] for one in asked} == {"complete"}
    assert len(visitor.messages(chat_id).data) == 14


# ---- what the provider is told ----

def test_the_history_goes_upstream_with_the_second_question(chat, visitor):  # noqa: F811
    chat_id = visitor.read("echo", "My name is Ada.").one("chatId")["chatId"]
    visitor.read("echo", "What is my name?", chatId=chat_id)
    assert upstream(chat)["messages"] == [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "My name is Ada."},
        {"role": "user", "content": "What is my name?"},
    ]


def test_the_history_of_another_owner_never_goes_upstream(chat, visitor):  # noqa: F811
    name = f"room-{uuid.uuid4()}"
    visitor.ask("echo", "a secret of Ada's", chatId=name)
    Visitor(chat).ask("echo", "What did she say?", chatId=name)
    assert upstream(chat)["messages"] == [{"role": "user", "content": "What did she say?"}]


def test_the_history_keeps_to_the_agents_budget(chat, visitor):  # noqa: F811
    chat_id = visitor.ask("forgetful", "something long ago").data["chatId"]
    visitor.ask("forgetful", "now", chatId=chat_id)
    assert upstream(chat)["messages"] == [{"role": "user", "content": "now"}]


def test_what_failed_is_not_told_as_an_answer(chat, visitor):  # noqa: F811
    chat_id = f"after-failure-{uuid.uuid4()}"
    visitor.ask("err500", "first", chatId=chat_id)
    visitor.ask("echo", "second", chatId=chat_id)
    assert [m["role"] for m in upstream(chat)["messages"]][-1] == "user"
    assert not any(m["role"] == "assistant" for m in upstream(chat)["messages"])


def test_a_conversation_of_the_clients_own_is_passed_on_as_it_is(chat, visitor):  # noqa: F811
    chat_id = visitor.ask("echo", "stored").data["chatId"]
    conversation = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "One?"},
                    {"role": "assistant", "content": "Two."}, {"role": "user", "content": "Three?"}]
    sent = [{**message, "id": f"m{i}", "timestamp": 1, "metadata": {"a": [1]}} for i, message in enumerate(conversation)]
    visitor.ask("echo", chatId=chat_id, messages=sent)
    assert upstream(chat)["messages"] == conversation
    # Only the question is stored.
    assert [m["content"] for m in visitor.messages(chat_id, "?role=user").data] == ["stored", "Three?"]
    assert visitor.messages(chat_id, "?role=user").data[1]["clientId"] == "m3"


def test_the_system_prompt_comes_first_and_zero_is_a_temperature(chat, visitor):  # noqa: F811
    visitor.ask("prompted", "Hi")
    body = upstream(chat)
    assert body["messages"] == [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": "Hi"}]
    assert body["temperature"] == 0 and body["max_tokens"] == 77
    assert body["stream"] is True and body["stream_options"] == {"include_usage": True} and body["model"] == "sim-n2-d0"


def test_the_clients_temperature_and_limit_win(chat, visitor):  # noqa: F811
    visitor.ask("prompted", "Hi", temperature=1.5, maxTokens=9)
    assert (upstream(chat)["temperature"], upstream(chat)["max_tokens"]) == (1.5, 9)
    visitor.ask("quick", "Hi", temperature=0)
    assert upstream(chat)["temperature"] == 0 and "max_tokens" not in upstream(chat)
    visitor.ask("quick", "Hi")
    assert "temperature" not in upstream(chat)


def test_options_may_stand_below_and_the_top_wins(chat, visitor):  # noqa: F811
    visitor.ask("quick", "Hi", options={"temperature": 0.5, "maxTokens": 5, "chatId": "below-" + str(uuid.uuid4())}, maxTokens=6)
    assert (upstream(chat)["temperature"], upstream(chat)["max_tokens"]) == (0.5, 6)
    with chat.stream("POST", "/api/chat/completions", json=visitor.body("quick", options={"stream": True})) as stream:
        assert stream.header("Content-Type").startswith("text/event-stream")


def test_null_is_the_same_as_absent(visitor):
    assert visitor.ask("quick", stream=None, chatId=None, temperature=None, maxTokens=None, options=None, variables=None).data["content"] == tokens(5)


def test_parts_go_upstream_as_parts(chat, visitor):  # noqa: F811
    parts = [{"type": "text", "text": "What is "}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA//+="}},
             {"type": "text", "text": "this? 😀"}]
    answer = visitor.ask("echo", messages=[{"role": "user", "content": parts}])
    assert upstream(chat)["messages"] == [{"role": "user", "content": parts}]
    question, = visitor.messages(answer.data["chatId"], "?role=user").data
    assert question["content"] == "What is this? 😀"


def test_a_question_of_a_megabyte_and_a_half_goes_through(chat, visitor):  # noqa: F811
    question = "长" * 500_000
    answer = visitor.ask("quick", question)
    assert answer.status == 200, answer
    assert upstream(chat)["messages"][0]["content"] == question


def test_the_key_is_sent_upstream_as_bearer(chat, visitor):  # noqa: F811
    visitor.ask("quick")
    assert chat.last_request()["authorization"] == f"Bearer {PROVIDER_KEY}"
    visitor.ask("no-key")
    assert not chat.last_request()["authorization"]


# ---- request ids ----

def test_a_well_formed_request_id_is_taken_and_goes_upstream(chat, visitor):  # noqa: F811
    for given in ("a", "my-id.1_X", "x" * 128):
        answer = visitor.ask("quick", headers={"X-Request-Id": given})
        assert answer.header("X-Request-Id") == answer.json()["requestId"] == given
        assert chat.last_request()["xRequestId"] == given
    with visitor.stream("quick", headers={"X-Request-Id": "streamed-1"}) as stream:
        assert stream.header("X-Request-Id") == "streamed-1"


@pytest.mark.parametrize("given", ["x" * 129, "a b", "é".encode("latin-1"), "a;b", ""])
def test_an_ill_formed_request_id_is_replaced(chat, visitor, given):  # noqa: F811
    answer = visitor.ask("quick", headers={"X-Request-Id": given})
    made = answer.header("X-Request-Id")
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", made) and made != given
    assert chat.last_request()["xRequestId"] == made


def test_every_answer_has_an_id_of_its_own(visitor):
    assert len({visitor.get("/health").header("X-Request-Id") for _ in range(10)}) == 10


# ---- whose it is ----

def test_the_cookie_is_given_once_with_its_flags(visitor):
    first = visitor.ask("quick")
    line, = first.all("Set-Cookie")
    flags = {part.strip() for part in line.split(";")[1:]}
    assert line.startswith("llmchat_anon=") and {"HttpOnly", "SameSite=Lax", "Path=/"} <= flags and "Secure" not in flags
    assert visitor.ask("quick").all("Set-Cookie") == []
    with visitor.stream("quick") as stream:
        assert stream.header("Set-Cookie") is None


def test_secure_is_set_behind_https_only_and_nginx_decides(chat, visitor):  # noqa: F811
    # nginx speaks http here, whatever the client claims.
    line, = visitor.ask("quick", headers={"X-Forwarded-Proto": "https"}).all("Set-Cookie")
    assert "Secure" not in line
    body = json.dumps(visitor.body("quick")).encode()
    _, headers, _ = ask_directly(f"{chat.setting('RUN_DIR')}/1.sock", "POST", "/api/chat/completions", body, HTTP_X_FORWARDED_PROTO="https")
    assert "; Secure" in headers["set-cookie"][0]


@pytest.mark.parametrize("change", [
    lambda value: value[:-1],
    lambda value: value[:-2] + ("AA" if not value.endswith("AA") else "BB"),
    lambda value: ("0" if value[0] != "0" else "1") + value[1:],
    lambda value: value.split(".")[0],
    lambda value: value.split(".")[0] + ".",
    lambda value: "." + value.split(".")[1],
    lambda value: value + "A",
    lambda value: value.upper(),
    lambda value: "",
    lambda value: "%00",
    lambda value: "x" * 4000,
], ids=["cut", "wrong mac", "wrong id", "no mac", "empty mac", "no id", "longer", "upper case", "empty", "nul", "long"])
def test_a_forged_cookie_is_a_new_identity(chat, visitor, change):  # noqa: F811
    chat_id = visitor.ask("quick").data["chatId"]
    forger = Visitor(chat)
    forger.cookies = {"llmchat_anon": change(visitor.cookies["llmchat_anon"])}
    answer = forger.messages(chat_id)
    check_error(answer, 404, "SESSION_NOT_FOUND")
    given = answer.cookies()["llmchat_anon"]
    assert given.split(".")[0] != visitor.cookies["llmchat_anon"].split(".")[0]
    assert visitor.messages(chat_id).status == 200


def test_a_session_is_its_owners_alone(chat, visitor):  # noqa: F811
    chat_id = visitor.ask("quick").data["chatId"]
    assert visitor.messages(chat_id).status == 200
    check_error(Visitor(chat).messages(chat_id), 404, "SESSION_NOT_FOUND")
    check_error(visitor.messages(str(uuid.uuid4())), 404, "SESSION_NOT_FOUND")


def test_one_name_of_two_owners_is_two_sessions(chat):  # noqa: F811
    name = f"my:room.1_{uuid.uuid4()}"
    ada, bob = Visitor(chat), Visitor(chat)
    for visitor, text in ((ada, "from Ada"), (bob, "from Bob")):
        assert visitor.ask("echo", text, chatId=name).data["chatId"] == name
    assert [m["content"] for m in ada.messages(name).data] == ["from Ada"] * 2
    assert [m["content"] for m in bob.messages(name).data] == ["from Bob"] * 2
    assert len(rows(chat, f"SELECT id FROM chat_sessions WHERE name = {literal(name)}")) == 2


# ---- agents ----

def test_the_public_list_shows_active_agents_without_their_secrets(chat, visitor):  # noqa: F811
    answer = visitor.get("/api/agents")
    by_id = {agent["id"]: agent for agent in answer.data}
    assert set(AGENTS) - {"inactive", "unset"} <= set(by_id) and not {"inactive", "unset"} & set(by_id)
    agent = by_id["prompted"]
    assert (agent["name"], agent["provider"], agent["model"], agent["status"]) == ("Test: prompted", "custom", "sim-n2-d0", "active")
    assert agent["capabilities"] == ["text", "streaming"]
    assert visitor.get("/api/agents/prompted").data == agent
    for secret in ("127.0.0.1", SYSTEM_PROMPT, "灯塔", PROVIDER_KEY, "TEST_PROVIDER_KEY", "endpoint", "apiKey", "systemPrompt"):
        assert secret not in answer.text
    assert visitor.get("/api/agents?provider=nobody").data == []
    assert {agent["id"] for agent in visitor.get("/api/agents?capability=streaming").data} >= {"quick"}
    check_error(visitor.get("/api/agents/nobody"), 404, "AGENT_NOT_FOUND")


# ---- secrets ----

def test_the_key_is_nowhere_but_upstream(chat, visitor):  # noqa: F811
    answers = [visitor.ask(agent, f"asked of {agent}") for agent in ("quick", "err401", "err500", "unknown-model", "refused", "no-host")]
    answers.append(visitor.get("/api/agents"))
    for answer in answers:
        assert PROVIDER_KEY not in answer.text + str(answer._headers)
    for path in glob.glob("/proc/[0-9]*/cmdline"):  # what ps shows
        with contextlib.suppress(OSError), open(path, "rb") as f:
            assert PROVIDER_KEY.encode() not in f.read(), path
    secrets = [PROVIDER_KEY, chat.setting("TOKEN_SECRET"), chat.setting("SECRETS_KEY"), chat.setting("DB_PASSWORD")]
    for path in [*chat.dir.glob("log/*"), *chat.dir.glob("nginx/*.log")]:
        text = path.read_text(errors="replace")
        for secret in secrets:
            assert secret not in text, path
        assert "asked of quick" not in text, f"the text of a question is in {path}"
    dump = dump_database(chat)
    assert "asked of quick" in dump
    for secret in secrets:
        assert secret not in dump


def dump_database(stack):
    """All of the database, as text."""
    program = sorted(glob.glob("/usr/lib/postgresql/*/bin/pg_dump"))[-1]
    done = subprocess.run([program, "-h", stack.setting("RUN_DIR"), "-U", "llmchat", "-d", "llmchat"], stdout=subprocess.PIPE, check=True,
                          env={**os.environ, "PGPASSWORD": stack.setting("DB_PASSWORD")})
    return done.stdout.decode("utf-8")


def test_the_log_knows_the_request_id_and_is_json(chat, visitor):  # noqa: F811
    visitor.ask("quick", headers={"X-Request-Id": "find-me-in-the-log"})
    entry, = wait_for(lambda: [e for e in chat.logs("turn_ended") if "find-me-in-the-log" in e.values()], 3, "the turn's line in the log")
    assert entry["status"] == "complete"
    for line in chat.raw_log().splitlines():
        if line.startswith("{"):
            json.loads(line)
