"""The OpenAI face, byte for byte: models, whole answers, chunks, what the provider is told, and every refusal."""

import itertools
import json
import re
import time

import pytest

from accounts import admin, module_stack, new_person, restart, the_stack  # noqa: F401
from chatting import literal, rows, tokens
from stack import wait_for
from v1 import CALL, SCRIPTS, TOOL, USER, Client, check_refusal, client, key, owner, text_of  # noqa: F401

ID = r"chatcmpl-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
COMPLETIONS = "/v1/chat/completions"


def stored(stack, chat_id):
    return [(row["role"], row["content"], row["status"]) for row in
            rows(stack, f"SELECT m.* FROM chat_messages m JOIN chat_sessions s ON s.id = session_id WHERE s.name = {literal(chat_id)} ORDER BY m.created_at, m.id")]


# ---- models ----

def test_agents_are_models(stack, owner, key):  # noqa: F811
    answer = stack.get("/v1/models", token=key)
    body = answer.json()
    assert answer.status == 200 and list(body) == ["object", "data"] and body["object"] == "list"
    assert [model["id"] for model in body["data"]] == sorted(set(SCRIPTS) - {"inactive"})
    for model in body["data"]:
        assert list(model) == ["id", "object", "created", "owned_by"] and model["object"] == "model" and model["owned_by"] == "llmchat"
        assert abs(model["created"] - time.time()) < 3600
    # With an access token, too.
    assert owner.get("/v1/models").json() == body
    assert stack.get("/v1/models/quick", token=key).json() == next(model for model in body["data"] if model["id"] == "quick")
    check_refusal(stack.get("/v1/models/nobody", token=key), 404, "invalid_request_error", "model_not_found", "model")
    check_refusal(stack.get("/v1/models/inactive", token=key), 404, "invalid_request_error", "model_not_found", "model")


def test_a_key_for_certain_agents_sees_and_opens_no_other(stack, owner):  # noqa: F811
    limited = owner.make_key(agents=["quick", "echo"])["key"]
    assert [model["id"] for model in stack.get("/v1/models", token=limited).json()["data"]] == ["echo", "quick"]
    assert stack.get("/v1/models/quick", token=limited).status == 200
    check_refusal(stack.get("/v1/models/other", token=limited), 404, "invalid_request_error", "model_not_found", "model")
    assert Client(stack, limited).ask("echo").status == 200
    check_refusal(Client(stack, limited).ask("other"), 403, "permission_error", "forbidden", "model")


# ---- whole answers ----

def test_a_whole_answer_byte_for_byte(client):  # noqa: F811
    answer = client.ask()
    body = answer.json()
    assert answer.status == 200 and answer.header("Content-Type") == "application/json; charset=utf-8"
    assert answer.header("X-Request-Id") and answer.header("OpenAI-Processing-Ms").isdigit() and answer.header("X-Chat-Id")
    assert re.fullmatch(ID, body["id"]) and abs(body["created"] - time.time()) < 60
    assert answer.text == (
        f'{{"id":"{body["id"]}","object":"chat.completion","created":{body["created"]},"model":"quick","choices":[{{"index":0,'
        f'"message":{{"role":"assistant","content":"{tokens(5)}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],'
        '"usage":{"prompt_tokens":2,"completion_tokens":5,"total_tokens":7}}')


@pytest.mark.parametrize("model, message, reason", [
    ("thinks", {"role": "assistant", "content": tokens(5), "reasoning_content": "think0 think1 think2 ", "refusal": None}, "stop"),
    ("length", {"role": "assistant", "content": tokens(5), "refusal": None}, "length"),
    ("nothing", {"role": "assistant", "content": "", "refusal": None}, "stop"),
])
def test_whole_answers_of_many_kinds(client, model, message, reason):  # noqa: F811
    [choice] = client.ask(model).json()["choices"]
    assert choice == {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}


def test_usage_is_estimated_if_the_provider_does_not_say(client):  # noqa: F811
    usage = client.ask("no-usage").json()["usage"]
    assert usage["estimated"] is True and usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 5
    assert client.read("no-usage", stream_options={"include_usage": True})[-2]["usage"]["estimated"] is True


def test_tool_calls_are_put_together(client):  # noqa: F811
    [choice] = client.ask("tools", tools=[TOOL]).json()["choices"]
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] == tokens(2)
    assert [{**call, "id": "?"} for call in choice["message"]["tool_calls"]] == [
        {"id": "?", "type": "function", "x_sim": {"seq": i}, "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}} for i in (0, 1)]
    [choice] = client.ask("tool", tools=[TOOL]).json()["choices"]
    assert choice["message"]["content"] is None and len(choice["message"]["tool_calls"]) == 1


# ---- streams ----

def test_a_stream_byte_for_byte(client):  # noqa: F811
    stream = client.stream(stream_options={"include_usage": True})
    events = list(stream)
    assert stream.header("Content-Type") == "text/event-stream; charset=utf-8" and stream.header("X-Chat-Id")
    assert stream.header("X-Request-Id") and stream.header("X-Accel-Buffering") == "no"
    first = events[0].data
    assert re.fullmatch(ID, first["id"]) and abs(first["created"] - time.time()) < 60
    head = f'data: {{"id":"{first["id"]}","object":"chat.completion.chunk","created":{first["created"]},"model":"quick","choices":['
    deltas = ['{"role":"assistant","content":""}'] + [f'{{"content":"tok{i} "}}' for i in range(5)]
    wanted = [f'{head}{{"index":0,"delta":{delta},"finish_reason":null}}],"usage":null}}' for delta in deltas]
    wanted += [head + '{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}',
               head + '],"usage":{"prompt_tokens":2,"completion_tokens":5,"total_tokens":7}}', "data: [DONE]"]
    assert stream.raw.decode().split("\n\n") == wanted + [""]
    assert all(event.event is None and event.id is None for event in events)


@pytest.mark.parametrize("options", [{}, {"stream_options": None}, {"stream_options": {}}, {"stream_options": {"include_usage": False}}, {"stream_options": {"include_usage": None}}])
def test_usage_comes_only_if_it_is_asked_for(client, options):  # noqa: F811
    chunks = client.read(**options)
    assert chunks[-1] == "[DONE]"
    assert all("usage" not in chunk and len(chunk["choices"]) == 1 for chunk in chunks[:-1])
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop" and text_of(chunks[:-1]) == tokens(5)


def test_reasoning_and_chinese_are_streamed(client):  # noqa: F811
    chunks = client.read("thinks")[:-1]
    assert text_of(chunks, "reasoning_content") == "think0 think1 think2 " and text_of(chunks) == tokens(5)
    assert text_of(client.read("zh")[:-1]) == "今天天气很好，我们一起去公园散步，看花。" * 2


def test_tool_calls_pass_as_the_provider_sends_them(client):  # noqa: F811
    chunks = client.read("tool", tools=[TOOL])[:-1]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""} and deltas[-1] == {}
    pieces = [delta["tool_calls"] for delta in deltas[1:-1]]
    assert [list(piece[0]) for piece in pieces] == [["index", "id", "type", "x_sim", "function"]] + [["index", "function"]] * 3
    assert "".join(piece[0]["function"]["arguments"] for piece in pieces) == '{"city":"Paris"}'
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("model, status, code, message", [("mid", 502, "upstream_error", "failed"), ("cut", 502, "upstream_error", "failed"),
                                                          ("stall", 504, "upstream_timeout", "too long")])
def test_a_failure_in_mid_stream_is_a_frame_and_no_end(client, model, status, code, message):  # noqa: F811 pylint: disable=unused-argument
    chunks = client.read(model, stream_options={"include_usage": True})
    assert text_of(chunks[:-1]) == tokens(5)
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks[:-1])
    assert list(chunks[-1]) == ["error"] and list(chunks[-1]["error"]) == ["message", "type", "param", "code"]
    assert chunks[-1]["error"]["code"] == code and chunks[-1]["error"]["type"] == "server_error" and message in chunks[-1]["error"]["message"]


def test_tokens_arrive_as_they_come_and_leaving_closes_the_call(stack, client):  # noqa: F811
    before = stack.stats()["closed_by_client"]
    with client.stream("slow") as stream:
        events = list(itertools.islice(iter(stream), 8))
        assert len({event.at for event in events}) > 4
        chat_id = stream.header("X-Chat-Id")
    wait_for(lambda: stack.stats()["closed_by_client"] == before + 1, 5, "the end of the provider's call")
    wait_for(lambda: [row[2] for row in stored(stack, chat_id)] == ["complete", "cancelled"], 5, "the row")


# ---- what the provider is told ----

def test_what_we_have_no_word_for_goes_to_the_provider_as_it_is(client):  # noqa: F811
    extra = {"top_p": 0.25, "stop": ["a", "b\n\"c\""], "tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}, "seed": 42,
             "response_format": {"type": "json_object"}, "logit_bias": {"50256": -100}, "presence_penalty": -1.5, "user": "用户", "metadata": {"a": None},
             "parallel_tool_calls": False, "reasoning_effort": "low", "top_k": None, "x-vendor": {"deep": [[[1e-7]]]}, "user\"s": 1}
    assert client.ask(**extra).status == 200
    assert client.told() == {"model": "sim-n5-d0", "messages": [USER], "stream": True, "stream_options": {"include_usage": True}, **extra}


def test_ours_cannot_be_overridden(client):  # noqa: F811
    assert client.ask(stream=False, stream_options={"include_usage": False, "x": 1}, n=1, temperature=None, max_tokens=None).status == 200
    assert client.told() == {"model": "sim-n5-d0", "messages": [USER], "stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize("fields, told", [
    ({"temperature": 0, "max_tokens": 9}, {"temperature": 0, "max_tokens": 9}),
    ({"temperature": 1.7, "max_completion_tokens": 100000}, {"temperature": 1.7, "max_completion_tokens": 100000}),
    ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_completion_tokens": 6}),
])
def test_limits_go_by_the_name_that_the_client_uses(client, fields, told):  # noqa: F811
    assert client.ask(**fields).status == 200
    assert {name: value for name, value in client.told().items() if name in ("temperature", "max_tokens", "max_completion_tokens")} == told


def test_the_agents_own_settings_hold(client):  # noqa: F811
    assert client.ask("prompted").status == 200
    told = client.told()
    assert told["messages"] == [{"role": "system", "content": "You are a lighthouse."}, USER]
    assert (told["temperature"], told["max_tokens"]) == (0, 77)
    assert client.ask("prompted", temperature=1, max_completion_tokens=5).status == 200
    told = client.told()
    assert (told["temperature"], told["max_completion_tokens"]) == (1, 5) and "max_tokens" not in told


CONVERSATIONS = {
    "of all roles": ([{"role": "system", "content": "S"}, {"role": "developer", "content": "D"}, {"role": "user", "content": "U", "name": "Anna"},
                      {"role": "assistant", "content": "A", "refusal": None}, {"role": "user", "content": ""}], ""),
    "a tool's": ([USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "content": "sunny", "tool_call_id": "call_7"}], "sunny"),
    "a tool's, which says nothing": ([USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "content": "", "tool_call_id": "call_7"}], ""),
    "prefilled": ([{"role": "user", "content": "first"}, {"role": "assistant", "content": "A"}, {"role": "user", "content": "second"}, {"role": "assistant", "content": "{"}], "second"),
    "only a system's": ([{"role": "system", "content": "alone"}], "alone"),
    "parts": ([{"role": "user", "content": [{"type": "text", "text": "look "}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                                            {"type": "text", "text": "here"}]}], "look here"),
    "a tool's parts": ([USER, {"role": "assistant", "content": None, "tool_calls": [CALL]},
                        {"role": "tool", "content": [{"type": "text", "text": "rainy"}], "tool_call_id": "call_7", "cache_control": {"type": "ephemeral"}}], "rainy"),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversations_go_as_they_are_and_the_last_question_is_stored(stack, client, name):  # noqa: F811
    messages, question = CONVERSATIONS[name]
    answer = client.ask(messages=messages)
    assert answer.status == 200, answer
    assert client.told()["messages"] == messages
    assert stored(stack, answer.header("X-Chat-Id")) == [("user", question, "complete"), ("assistant", tokens(5), "complete")]


def test_a_session_per_call_unless_the_client_names_one(stack, client, owner):  # noqa: F811
    assert client.ask().header("X-Chat-Id") != client.ask().header("X-Chat-Id")
    for text in ("first", "second"):
        answer = client.ask(messages=[{"role": "user", "content": text}], headers={"X-Chat-Id": "my:chat-1"})
        assert answer.header("X-Chat-Id") == "my:chat-1"
        # The client sends it all: nothing is added.
        assert client.told()["messages"] == [{"role": "user", "content": text}]
    assert [row[1] for row in stored(stack, "my:chat-1")] == ["first", tokens(5), "second", tokens(5)]
    assert len(owner.messages("my:chat-1").data) == 4
    # On /api the history goes along.
    owner.chat(question="third", chatId="my:chat-1")
    assert len(client.told()["messages"]) == 5
    for bad in ("a b", "ä", "x" * 129, "a/b"):
        answer = client.ask(headers={"X-Chat-Id": bad.encode("utf-8").decode("latin-1")})
        check_refusal(answer, 400, "invalid_request_error", "validation_error", "X-Chat-Id")


# ---- refusals ----

def raw(stack, key, body, content_type="application/json"):  # noqa: F811 pylint: disable=redefined-outer-name
    return stack.post(COMPLETIONS, body=body, headers={"Content-Type": content_type}, token=key)


@pytest.mark.parametrize("header", [None, "Bearer sk-" + "A" * 43, "Bearer x", "Basic QTpC", "sk-" + "A" * 43])
@pytest.mark.parametrize("method, path", [("GET", "/v1/models"), ("GET", "/v1/models/quick"), ("POST", COMPLETIONS)])
def test_without_a_good_key_nothing_opens(stack, method, path, header):
    answer = stack.http(method, path, json={"model": "quick", "messages": [USER]} if method == "POST" else None, headers={"Authorization": header} if header else None)
    message = check_refusal(answer, 401, "invalid_request_error", "invalid_api_key")
    assert "key" in message or "login" in message or "header" in message
    assert answer.header("WWW-Authenticate") == 'Bearer realm="llmchat"' and answer.header("X-Should-Retry") == "false"


@pytest.mark.parametrize("change, param", [
    ({"model": ...}, "model"), ({"model": 7}, "model"), ({"model": ""}, "model"), ({"model": "x" * 65}, "model"), ({"messages": ...}, "messages"),
    ({"messages": "Hello"}, "messages"), ({"messages": []}, "messages"), ({"messages": [USER] * 1001}, "messages"), ({"messages": ["Hello"]}, "messages"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages"), ({"messages": [{"role": "user"}]}, "messages"), ({"messages": [{"role": "user", "content": None}]}, "messages"),
    ({"messages": [{"role": "user", "content": []}]}, "messages"), ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages"), ({"messages": [USER, {"role": "assistant", "content": None}]}, "messages"),
    ({"messages": [USER, {"role": "tool", "content": "x"}]}, "messages"), ({"messages": [{"role": "user", "content": "x" * 2_000_001}]}, "messages"),
    ({"stream": "yes"}, "stream"), ({"stream_options": []}, "stream_options"), ({"stream_options": {"include_usage": 1}}, "stream_options"),
    ({"temperature": 2.1}, "temperature"), ({"temperature": "hot"}, "temperature"), ({"max_tokens": 0}, "max_tokens"), ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_completion_tokens": -1}, "max_completion_tokens"), ({"n": 2}, "n"), ({"n": "one"}, "n"),
])
def test_what_is_wrong_is_named(stack, key, change, param):  # noqa: F811 pylint: disable=redefined-outer-name
    body = {"model": "quick", "messages": [USER], **change}
    answer = stack.post(COMPLETIONS, token=key, json={name: value for name, value in body.items() if value is not ...})
    assert param in check_refusal(answer, 400, "invalid_request_error", "validation_error", param)


@pytest.mark.parametrize("body, kind, status, code", [
    (b"{", "application/json", 400, "malformed_json"), (b"", "application/json", 400, "malformed_json"), (b"[]", "application/json", 400, "malformed_json"),
    (b'{"model":"\xff"}', "application/json", 400, "malformed_json"), (b'{"a":"\\u0000"}', "application/json", 400, "malformed_json"),
    (b"{}", "text/plain", 415, "unsupported_media_type"),
])
def test_bodies_that_are_none(stack, key, body, kind, status, code):  # noqa: F811 pylint: disable=redefined-outer-name
    check_refusal(raw(stack, key, body, kind), status, "invalid_request_error", code)


def test_a_large_conversation_is_taken(client):  # noqa: F811
    messages = [{"role": "user", "content": "x" * 1_900_000}, {"role": "assistant", "content": "y"}] * 2 + [USER]
    assert client.ask(messages=messages, tools=[{**TOOL, "x": "z" * 1_000_000}]).status == 200
    assert client.told()["messages"] == messages and len(client.told()["tools"][0]["x"]) == 1_000_000


def test_nginx_speaks_so_too(stack, key):  # noqa: F811 pylint: disable=redefined-outer-name
    answer = raw(stack, key, b"x" * (10 * 1024 * 1024 + 1))
    assert answer.status == 413 and answer.json()["error"] == {"message": "The request is larger than 10 MB.", "type": "invalid_request_error", "param": None,
                                                              "code": "payload_too_large"}
    stack.pool("stop")
    try:
        answer = stack.get("/v1/models", token=key)
        assert answer.status == 502 and answer.header("Retry-After") == "1"
        assert (answer.json()["error"]["type"], answer.json()["error"]["code"]) == ("server_error", "upstream_error")
    finally:
        stack.pool("start")
    stack.wait_until_ready()


@pytest.mark.parametrize("method, path, status, code, allow", [
    ("GET", "/v1/nothing", 404, "route_not_found", None), ("POST", "/v1/embeddings", 404, "route_not_found", None),
    ("GET", "/v1/chat/completions/x", 404, "route_not_found", None), ("DELETE", "/v1/models/quick", 405, "method_not_allowed", "GET, HEAD"),
    ("GET", COMPLETIONS, 405, "method_not_allowed", "POST"),
])
def test_addresses_and_methods_that_are_none(stack, key, method, path, status, code, allow):  # noqa: F811 pylint: disable=redefined-outer-name
    answer = stack.http(method, path, token=key)
    check_refusal(answer, status, "invalid_request_error", code)
    assert answer.header("Allow") == allow


@pytest.mark.parametrize("model, status, kind, code, retry, after", [
    ("nobody", 404, "invalid_request_error", "model_not_found", "false", None),
    ("inactive", 404, "invalid_request_error", "model_not_found", "false", None),
    ("err401", 502, "server_error", "upstream_auth", "false", None),
    ("err429-ra1", 429, "rate_limit_error", "upstream_rate_limited", "true", "1"),
    ("err500", 502, "server_error", "upstream_error", "true", None),
    ("err503-ra3", 502, "server_error", "upstream_error", "true", "3"),
    ("hang", 504, "server_error", "upstream_timeout", "true", None),
])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_failures_before_the_first_word(client, model, status, kind, code, retry, after, stream):  # noqa: F811
    answer = client.ask(model, stream=stream)
    check_refusal(answer, status, kind, code, "model" if status == 404 else None)
    assert (answer.header("X-Should-Retry"), answer.header("Retry-After")) == (retry, after)
    assert answer.header("Retry-After-Ms") == (after and after + "000")


def test_an_answer_that_the_operator_stops_has_come_to_its_end(stack, client, admin):  # noqa: F811
    with client.stream("slow") as stream:
        events = iter(stream)
        first = next(events)
        answer_id = first.data["id"].removeprefix("chatcmpl-")
        assert admin.post(f"/api/admin/pool/turns/{answer_id}/stop").status == 200
        last = [event.data for event in events][-2:]
    assert last[1] == "[DONE]"
    assert last[0]["choices"][0]["finish_reason"] == "stop"


def test_without_the_database(stack, client):  # noqa: F811
    assert client.ask().status == 200  # the key is known
    stack.pg("stop")
    try:
        answer = client.ask()
        check_refusal(answer, 503, "server_error", "db_unavailable")
        assert (answer.header("Retry-After"), answer.header("Retry-After-Ms"), answer.header("X-Should-Retry")) == ("1", "1000", "true")
    finally:
        stack.pg("start")
    wait_for(lambda: all(client.ask().status == 200 for _ in range(4)), 20, "answers of all responders")


def test_anonymous_visitors_where_they_are_allowed(stack):
    """The last one: it changes the settings."""
    check_refusal(stack.get("/v1/models"), 401, "invalid_request_error", "invalid_api_key")
    restart(stack, CHAT_ANONYMOUS="true")
    answer = stack.post(COMPLETIONS, json={"model": "quick", "messages": [USER]})
    assert answer.status == 200 and json.loads(answer.body)["choices"][0]["message"]["content"] == tokens(5)
    assert "llmchat_anon" in answer.cookies()
    assert stack.get("/v1/models").status == 200
    check_refusal(stack.get("/v1/models", token="sk-" + "A" * 43), 401, "invalid_request_error", "invalid_api_key")
