"""The dialects of Anthropic, Dify and FastGPT through the whole of it: answers, failures, and what a session keeps of them.

Anthropic's model stands in the request; an app of Dify's or FastGPT's has none, so there the script stands in the address.
"""

import json
import time
import uuid

import pytest

from chatting import PROVIDER_KEY, Visitor, check_error, ended_row, new_stack, rows, tokens
from conftest import finish
from stack import wait_for

# name: (script, fields of the agent)
SCRIPTS = {
    "quick": ("sim-n5-d0", {}),
    "zh": ("sim-zh-n10-d0-bytes", {}),
    "emoji": ("sim-emoji-n8-d0-bytes", {}),
    "thinks": ("sim-reason3-n5-d5", {}),
    "tool": ("sim-n3-d0-tool", {}),
    "echo": ("sim-echo-d0", {}),
    "no-usage": ("sim-n5-d0-nousage", {}),
    "length": ("sim-n5-d0-lenStop", {}),
    "refuses": ("sim-n5-d0-refuse", {}),
    "nothing": ("sim-n0", {}),
    "steps": ("sim-n5-d0-steps2", {}),
    "form": ("sim-n5-d0-form", {}),
    "replaced": ("sim-n5-d0-replace", {}),
    "nul": ("sim-n5-d0-nul", {}),
    "prompted": ("sim-n2-d0", {"systemPrompt": "You are a lighthouse. 你是灯塔。", "temperature": 0, "maxTokens": 77}),
    "cancel": ("sim-n400-d50", {"onDisconnect": "cancel"}),
    "err401": ("sim-err401", {}),
    "err403": ("sim-err403", {}),
    "err404": ("sim-err404", {}),
    "err429-ra7": ("sim-err429-ra7", {}),
    "err500": ("sim-err500", {}),
    "err503": ("sim-err503", {}),
    "err504": ("sim-err504", {}),
    "err529": ("sim-err529", {}),
    "hang": ("sim-hang", {"timeouts": {"headersMs": 600}}),
    "silent": ("sim-stall0", {"timeouts": {"firstTokenMs": 600}}),
    "stall": ("sim-n20-d20-stall5", {"timeouts": {"idleMs": 600}}),
    "cut": ("sim-n20-d20-cut5", {}),
    "cut0": ("sim-n20-d20-cut0", {}),
    "noend": ("sim-n5-d5-noend", {}),
    "nodone": ("sim-n5-d5-nodone", {}),
    "mid": ("sim-n20-d5-mid5", {}),
    "mid0": ("sim-n20-d5-mid0", {}),
    "garbage": ("sim-n20-d5-garbage5", {}),
    "bad-utf8": ("sim-n20-d5-badutf5", {}),
    "big-line": ("sim-n20-d5-bigline5", {}),
    "html": ("sim-html", {}),
}

ENDPOINTS = {
    "anthropic": "${PROVIDER_SIM_URL}/messages",
    "dify": "${PROVIDER_SIM_URL}/%s/chat-messages",
    "fastgpt": "${PROVIDER_SIM_URL}/%s/api/v1/chat/completions",
}

AGENTS = {f"{dialect}-{name}": (script, {"provider": dialect, "endpoint": endpoint % script if "%s" in endpoint else endpoint, **fields})
          for dialect, endpoint in ENDPOINTS.items() for name, (script, fields) in SCRIPTS.items()}
AGENTS["openai-quick"] = ("sim-n5-d0", {})

ZH = "今天天气很好，我们一起去公园散步，看花。"
FAMILY = "👨‍👩‍👧‍👦🇨🇳👍🏽👩🏻‍💻🏳️‍🌈❤️‍🔥🇩🇪🧑🏿‍🚀"


@pytest.fixture(scope="module")
def dialects():
    """A stack with an agent for every dialect and script."""
    stack = new_stack(AGENTS)
    stack.start()
    stack.wait_until_ready()
    yield stack
    finish(stack)


@pytest.fixture
def visitor(dialects, request):
    request.node.stacks = [dialects]
    return Visitor(dialects)


every = pytest.mark.parametrize("dialect", ENDPOINTS)


def sent(stack):
    """What the stand-in provider was asked last."""
    return stack.last_request()


# ---- answers ----

@every
def test_a_stream_and_a_plain_call(dialects, visitor, dialect):
    answer = visitor.read(f"{dialect}-quick")
    assert answer.names == ["chatId", "start", "chunk", "usage", "status", "end"]
    assert answer.text == tokens(5) and answer.reason == "stop"
    assert answer.one("usage") == {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}
    row = ended_row(dialects, visitor.asked)
    assert (row["status"], row["content"], row["provider"], row["total_tokens"]) == ("complete", tokens(5), dialect, 7)
    data = visitor.ask(f"{dialect}-quick").data
    assert data["content"] == tokens(5) and data["choices"][0]["finish_reason"] == "stop"
    assert data["usage"] == {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}


@every
def test_the_key_goes_where_the_provider_looks_for_it(dialects, visitor, dialect):
    visitor.ask(f"{dialect}-quick")
    asked = sent(dialects)
    if dialect == "anthropic":
        assert (asked["xApiKey"], asked["authorization"], asked["anthropicVersion"]) == (PROVIDER_KEY, None, "2023-06-01")
    else:
        assert (asked["xApiKey"], asked["authorization"]) == (None, f"Bearer {PROVIDER_KEY}")


@every
@pytest.mark.parametrize("name, text", [("zh", ZH), ("emoji", FAMILY)])
def test_characters_survive_byte_by_byte(dialects, visitor, dialect, name, text):
    assert visitor.read(f"{dialect}-{name}").text == text
    assert ended_row(dialects, visitor.asked)["content"] == text
    assert visitor.ask(f"{dialect}-{name}").data["content"] == text


@every
def test_what_is_asked_arrives_whole(visitor, dialect):
    question = 'Grüße, "世界" 👩🏻‍💻 \\n\n\t</script>'
    assert visitor.read(f"{dialect}-echo", question).text == question
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two 二"}]
    assert visitor.ask(f"{dialect}-echo", parts).data["content"] == "one two 二"


@every
def test_reasoning_is_told_apart(dialects, visitor, dialect):
    answer = visitor.read(f"{dialect}-thinks")
    assert "".join(event.data["content"] for event in answer.all("reasoning")) == "think0 think1 think2 "
    assert answer.text == tokens(5) and ended_row(dialects, visitor.asked)["content"] == tokens(5)
    assert answer.one("usage")["completion_tokens"] == 8


@every
def test_tool_calls_have_one_form(visitor, dialect):
    answer = visitor.read(f"{dialect}-tool")
    deltas = [delta for event in answer.all("tool") for delta in event.data]
    assert {delta["index"] for delta in deltas} == {0} and deltas[0]["type"] == "function" and deltas[0]["id"]
    assert deltas[0]["function"]["name"] == "get_weather"
    assert json.loads("".join(delta["function"]["arguments"] for delta in deltas)) == {"city": "Paris"}
    assert answer.text == tokens(3) and answer.reason == ("tool_calls" if dialect == "anthropic" else "stop")


@every
def test_usage_that_is_not_told_is_estimated(visitor, dialect):
    answer = visitor.read(f"{dialect}-no-usage")
    assert not answer.all("usage") and answer.reason == "stop"
    assert visitor.ask(f"{dialect}-no-usage").data["usage"]["estimated"] is True


@every
def test_an_answer_without_a_word_is_whole(dialects, visitor, dialect):
    answer = visitor.read(f"{dialect}-nothing")
    assert answer.text == "" and answer.reason == "stop"
    assert ended_row(dialects, visitor.asked)["status"] == "complete"


@pytest.mark.parametrize("agent, reason", [("anthropic-length", "length"), ("fastgpt-length", "length"), ("anthropic-refuses", "content_filter")])
def test_finish_reasons_are_openais(dialects, visitor, agent, reason):
    assert visitor.read(agent).reason == reason
    assert ended_row(dialects, visitor.asked)["finish_reason"] == reason
    assert visitor.ask(agent).data["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize("dialect", ["dify", "fastgpt"])
def test_steps_of_a_workflow_are_status_events(visitor, dialect):
    answer = visitor.read(f"{dialect}-steps")
    steps = [event.data for event in answer.all("status") if event.data["type"] == "flowNodeStatus"]
    expected = [("running", 1), ("succeeded", 1), ("running", 2), ("succeeded", 2)] if dialect == "dify" else [("running", 1), ("running", 2)]
    assert [(step["status"], step["moduleName"]) for step in steps] == [(status, f"Step {n} 节点") for status, n in expected]
    assert answer.all("status")[-1].data == {"type": "complete", "status": "completed"} and answer.text == tokens(5)


def test_what_a_workflow_asks_is_passed_on(visitor):
    form = visitor.read("fastgpt-form").one("interactive")
    assert form["type"] == "userSelect" and form["params"]["userSelectOptions"][0] == {"value": "Yes", "key": "option1"}


def test_replaced_text_is_not_kept(dialects, visitor):
    answer = visitor.read("dify-replaced")
    assert answer.one("replace") == {"content": "This cannot be said."} and answer.text == tokens(5)
    assert ended_row(dialects, visitor.asked)["content"] == "This cannot be said."
    assert visitor.ask("dify-replaced").data["content"] == "This cannot be said."


@every
def test_a_nul_becomes_the_replacement_character(dialects, visitor, dialect):
    text = "tok0 \ufffdtok1 tok2 tok3 tok4 "
    assert visitor.read(f"{dialect}-nul").text == text
    assert ended_row(dialects, visitor.asked)["content"] == text


# ---- what is asked ----

def test_anthropic_gets_the_prompt_apart_and_the_history(dialects, visitor):
    name = str(uuid.uuid4())
    visitor.ask("anthropic-prompted", "one", chatId=name)
    visitor.ask("anthropic-prompted", "two", chatId=name)
    body = sent(dialects)["body"]
    assert body["system"] == "You are a lighthouse. 你是灯塔。" and body["temperature"] == 0 and body["max_tokens"] == 77
    assert [(m["role"], m["content"]) for m in body["messages"]] == [("user", "one"), ("assistant", tokens(2)), ("user", "two")]


def test_fastgpt_and_dify_get_variables_and_the_prompt(dialects, visitor):
    visitor.ask("dify-prompted", variables={"city": "巴黎"})
    assert sent(dialects)["body"]["inputs"] == {"city": "巴黎", "system_prompt": "You are a lighthouse. 你是灯塔。"}
    visitor.ask("fastgpt-prompted", options={"variables": {"city": "巴黎"}})
    body = sent(dialects)["body"]
    assert body["variables"] == {"city": "巴黎"} and body["messages"][0] == {"role": "system", "content": "You are a lighthouse. 你是灯塔。"}
    assert body["detail"] is True and body["responseChatItemId"]


IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
PIXEL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
WORDS = {"type": "text", "text": "look"}


def test_images_go_in_each_dialects_form(dialects, visitor):
    visitor.ask("anthropic-quick", [WORDS, IMAGE, PIXEL])
    assert sent(dialects)["body"]["messages"][0]["content"] == [
        WORDS, {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}]
    visitor.ask("dify-quick", [WORDS, IMAGE])
    body = sent(dialects)["body"]
    assert body["query"] == "look" and body["files"] == [{"type": "image", "transfer_method": "remote_url", "url": "https://example.org/a.png"}]
    visitor.ask("fastgpt-quick", [WORDS, IMAGE, PIXEL])
    assert sent(dialects)["body"]["messages"][-1]["content"] == [WORDS, IMAGE, PIXEL]


@every
def test_parts_without_a_form_are_refused_before_the_call(dialects, visitor, dialect):
    dialects.reset_stats()
    audio = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
    assert "input_audio" in check_error(visitor.ask(f"{dialect}-quick", [WORDS, audio]), 400, "VALIDATION_ERROR", "messages")["message"]
    if dialect == "dify":
        assert "address" in check_error(visitor.ask("dify-quick", [WORDS, PIXEL]), 400, "VALIDATION_ERROR", "messages")["message"]
    assert dialects.stats()["requests"] == 0


# ---- failures ----

BEFORE = {
    "err401": (502, "UPSTREAM_AUTH"), "err403": (502, "UPSTREAM_AUTH"), "err404": (502, "UPSTREAM_ERROR"), "err429-ra7": (429, "UPSTREAM_RATE_LIMITED"),
    "err500": (502, "UPSTREAM_ERROR"), "err503": (502, "UPSTREAM_ERROR"), "err504": (504, "UPSTREAM_TIMEOUT"), "err529": (502, "UPSTREAM_ERROR"),
    "hang": (504, "UPSTREAM_TIMEOUT"), "silent": (504, "UPSTREAM_TIMEOUT"), "cut0": (502, "UPSTREAM_ERROR"), "mid0": (502, "UPSTREAM_ERROR"),
    "html": (502, "UPSTREAM_ERROR"),
}


@every
@pytest.mark.parametrize("name", BEFORE)
def test_a_failure_before_the_first_event_is_a_true_status(dialects, visitor, dialect, name):
    status, code = BEFORE[name]
    answer = visitor.ask(f"{dialect}-{name}")
    check_error(answer, status, code)
    assert answer.header("Retry-After") == ("7" if name == "err429-ra7" else None)
    with visitor.stream(f"{dialect}-{name}") as stream:
        assert (stream.status, stream.json()["code"]) == (status, code)
    row = ended_row(dialects, visitor.asked)
    assert (row["status"], row["error_code"], row["content"]) == ("failed", code, "")


MIDWAY = {
    "stall": "UPSTREAM_TIMEOUT", "cut": "UPSTREAM_ERROR", "mid": "UPSTREAM_ERROR", "noend": "UPSTREAM_ERROR", "nodone": "UPSTREAM_ERROR",
    "garbage": "UPSTREAM_ERROR", "bad-utf8": "UPSTREAM_ERROR", "big-line": "UPSTREAM_ERROR",
}


@every
@pytest.mark.parametrize("name", MIDWAY)
def test_a_failure_midway_is_an_error_event_and_the_text_is_kept(dialects, visitor, dialect, name):
    answer = visitor.read(f"{dialect}-{name}")
    assert answer.text == tokens(5) and answer.reason == "error"
    error = answer.one("error")
    assert error["code"] == MIDWAY[name] and error["retryable"] is True
    row = ended_row(dialects, visitor.asked)
    assert (row["status"], row["error_code"], row["content"]) == ("interrupted", MIDWAY[name], tokens(5))
    assert row["completion_tokens"] >= 5
    check_error(visitor.ask(f"{dialect}-{name}"), 504 if name == "stall" else 502, MIDWAY[name])


# ---- conversations ----

def names_of(stack, chat_id):
    found = rows(stack, f"SELECT upstream_names FROM chat_sessions WHERE name = '{chat_id}'")
    assert len(found) == 1
    return found[0]["upstream_names"]


def test_difys_conversation_is_kept_and_not_shared(dialects, visitor):
    one, two = str(uuid.uuid4()), str(uuid.uuid4())
    visitor.ask("dify-quick", chatId=one)
    assert "conversation_id" not in sent(dialects)["body"]
    kept = names_of(dialects, one)["dify-quick"]
    visitor.ask("dify-quick", chatId=two)
    assert "conversation_id" not in sent(dialects)["body"]
    assert names_of(dialects, two)["dify-quick"] != kept
    visitor.read("dify-quick", "again", chatId=one)
    body = sent(dialects)["body"]
    assert (body["conversation_id"], body["query"]) == (kept, "again")
    assert names_of(dialects, one) == {"dify-quick": kept}
    # another app knows nothing of it, and somebody else's session of that name is another one
    visitor.ask("dify-echo", chatId=one)
    assert "conversation_id" not in sent(dialects)["body"]
    assert set(names_of(dialects, one)) == {"dify-quick", "dify-echo"}
    user = body["user"]
    Visitor(dialects).ask("dify-quick", chatId=one)
    body = sent(dialects)["body"]
    assert "conversation_id" not in body and body["user"] != user


def test_a_conversation_that_dify_has_forgotten_begins_anew(dialects, visitor):
    name = str(uuid.uuid4())
    visitor.ask("dify-quick", chatId=name)
    dialects.sql(f"""UPDATE chat_sessions SET upstream_names = '{{"dify-quick":"gone"}}' WHERE name = '{name}'""")
    check_error(visitor.ask("dify-quick", chatId=name), 502, "UPSTREAM_ERROR")
    assert sent(dialects)["body"]["conversation_id"] == "gone" and names_of(dialects, name) == {}
    assert visitor.ask("dify-quick", chatId=name).data["content"] == tokens(5)


def test_fastgpts_chat_is_kept_and_not_shared(dialects, visitor):
    one, two = str(uuid.uuid4()), str(uuid.uuid4())
    visitor.ask("openai-quick", "before", chatId=one)
    visitor.ask("fastgpt-quick", "first", chatId=one)
    body = sent(dialects)["body"]
    assert [m["content"] for m in body["messages"]] == ["before", tokens(5), "first"]
    kept = body["chatId"]
    assert kept != one and names_of(dialects, one) == {"fastgpt-quick": kept}
    visitor.read("fastgpt-quick", "second", chatId=one)
    body = sent(dialects)["body"]
    assert body["chatId"] == kept and [m["content"] for m in body["messages"]] == ["second"]
    visitor.ask("fastgpt-quick", chatId=two)
    assert sent(dialects)["body"]["chatId"] != kept


def test_a_chat_that_fastgpt_may_not_have_stored_is_not_taken_for_known(dialects, visitor):
    name = str(uuid.uuid4())
    visitor.read("fastgpt-cut", chatId=name)
    assert names_of(dialects, name) == {}
    visitor.read("fastgpt-cut", "two", chatId=name)
    assert [m["content"] for m in sent(dialects)["body"]["messages"]] == ["Hello", tokens(5), "two"]


# ---- stopping ----

def leave_in_the_middle(visitor, agent):
    with visitor.stream(agent) as stream:
        events = (event for event in stream if event.event == "chunk")
        next(events)
        next(events)


def test_dify_is_told_when_its_reader_leaves(dialects, visitor):
    dialects.reset_stats()
    leave_in_the_middle(visitor, "dify-cancel")
    stats = wait_for(lambda: (lambda s: s if s["stops"] and s["closed_by_client"] else None)(dialects.stats()), 3, "the call that stops it")
    assert (stats["stops"], stats["open"]) == (1, 0)
    asked = sent(dialects)
    assert asked["stopPath"].startswith("/v1/sim-n400-d50/chat-messages/task-sim-") and asked["stopPath"].endswith("/stop")
    assert json.loads(asked["stopBody"]) == {"user": asked["body"]["user"]}
    assert ended_row(dialects, visitor.asked)["status"] == "cancelled"


def test_dify_is_told_when_an_answer_stalls(dialects, visitor):
    dialects.reset_stats()
    visitor.read("dify-stall")
    wait_for(lambda: dialects.stats()["stops"] == 1, 3, "the call that stops it")


def test_dify_is_not_told_of_what_it_has_ended(dialects, visitor):
    dialects.reset_stats()
    visitor.read("dify-quick")
    visitor.read("dify-mid")
    time.sleep(0.2)  # for what must not happen
    assert dialects.stats()["stops"] == 0


@pytest.mark.parametrize("dialect", ["anthropic", "fastgpt"])
def test_others_see_their_connection_close(dialects, visitor, dialect):
    dialects.reset_stats()
    leave_in_the_middle(visitor, f"{dialect}-cancel")
    wait_for(lambda: dialects.stats()["closed_by_client"] == 1, 3, "the closed connection")
    assert dialects.stats()["stops"] == 0
