"""What is done with answers that are there: read in pages, answered again, rated; what the model is told of them."""

import uuid

import pytest

from chatting import AGENTS, Visitor, check_error, ended_row, new_stack, read, rows  # noqa: F401
from conftest import finish
from people import User

HISTORY = "/api/chat/history"
MORE = {**AGENTS,
        "welcoming": ("sim-n2-d0", {"features": {"welcomeText": "欢迎 <b>", "variables": [{"key": "city", "required": True}], "secret": "not for you"}}),
        "odd-features": ("sim-n2-d0", {"features": {"welcomeText": 7, "variables": {"a": 1}}}),
        "frugal": ("sim-echo-d0", {"contextTokens": 20})}


@pytest.fixture(scope="module")
def module_stack():
    one = new_stack(MORE)
    one.start()
    yield one
    finish(one)


@pytest.fixture(name="stack")
def the_stack(module_stack, request):
    request.node.stacks = [module_stack]
    return module_stack


@pytest.fixture
def user(stack):
    return User(stack)


def retry(user, chat_id, data_id, **fields):
    return user.post(f"{HISTORY}/{chat_id}/retry", json={"dataId": data_id, **fields})


def told(stack):
    return [(m["role"], m["content"]) for m in stack.last_request()["body"]["messages"]]


# ---- pages ----

def test_a_conversation_is_read_page_by_page(user):
    for i in range(3):
        user.ask("echo", f"question {i}", chatId="long")
    answer = user.get(f"{HISTORY}/long?pageSize=4")
    data, pages = answer.data, answer.json()["metadata"]["pagination"]
    assert (data["chatId"], data["title"], data["messageCount"], data["agentId"]) == ("long", "question 0", 6, "echo")
    assert [m["content"] for m in data["messages"]] == ["question 0"] * 2 + ["question 1"] * 2
    assert pages == {"page": 1, "pageSize": 4, "total": 6, "totalPages": 2, "nextOffset": 4}
    answer = user.get(f"{HISTORY}/{data['id']}?pageSize=4&page=2")
    assert [m["content"] for m in answer.data["messages"]] == ["question 2"] * 2
    assert user.get(f"{HISTORY}/long?page=9").data["messages"] == []
    assert [one["chatId"] for one in user.get(f"{HISTORY}?agentId=echo").data] == ["long"]
    assert user.http("DELETE", f"{HISTORY}/long").data["status"] == "deleted"
    check_error(user.get(f"{HISTORY}/long"), 404, "SESSION_NOT_FOUND")
    assert user.get(HISTORY).data == []


@pytest.mark.parametrize("query,field", [("page=0", "page"), ("page=x", "page"), ("pageSize=201", "pageSize"), ("pageSize=0", "pageSize")])
def test_refuses_pages_that_are_none(user, query, field):
    user.ask("echo", chatId="x")
    check_error(user.get(f"{HISTORY}/x?{query}"), 400, "VALIDATION_ERROR", field)


# ---- another answer ----

def test_another_answer_stands_beside_the_first(stack, user):
    user.ask("echo", "one", chatId="r")
    user.ask("echo", "two", chatId="r", messages=[{"role": "user", "content": "two", "id": "q2"}])
    question, first = [m for m in user.messages("r").data if m["content"] == "one"]
    assert "siblings" not in first
    again = retry(user, "r", first["id"]).data
    assert (again["content"], again["chatId"]) == ("one", "r") and again["id"] != first["id"]
    assert told(stack) == [("user", "one")]
    messages = user.messages("r").data
    assert [(m["content"], m["role"]) for m in messages] == [("one", "user"), ("one", "assistant"), ("one", "assistant"), ("two", "user"), ("two", "assistant")]
    assert [m.get("siblings") for m in messages] == [None, {"index": 1, "count": 2}, {"index": 2, "count": 2}, None, None]
    assert messages[2]["parentId"] == question["id"] and messages[2]["createdAt"] > messages[3]["createdAt"]
    # By the question's id, by what the client called question and answer; each is told what was said before.
    for name in (messages[3]["id"], "q2"):
        assert retry(user, "r", name).data["content"] == "two"
        assert told(stack) == [("user", "one"), ("assistant", "one"), ("user", "two")]
    mine = str(uuid.uuid4())
    retry(user, "r", "q2", responseChatItemId=mine)
    assert retry(user, "r", mine).data["content"] == "two"
    assert ended_row(stack, mine)["status"] == "complete"
    data = user.get(f"{HISTORY}/r").data
    assert data["messageCount"] == len(data["messages"]) == 9
    assert data["messages"][-1]["siblings"] == {"index": 5, "count": 5}


def test_another_answer_is_streamed(stack, user):
    user.ask("quick", "one", chatId="s")
    question, first = user.messages("s").data
    answer = read(stack.stream("POST", f"{HISTORY}/s/retry", json={"dataId": first["id"], "stream": True, "maxTokens": 9}, token=user.token))
    assert answer.names == ["chatId", "start", "chunk", "usage", "status", "end"]
    assert answer.one("start")["userMessageId"] == question["id"] and answer.one("chatId") == {"chatId": "s"}
    assert stack.last_request()["body"]["max_tokens"] == 9
    assert [m["id"] for m in user.messages("s").data] == [question["id"], first["id"], answer.one("start")["id"]]


def test_only_the_newest_whole_answer_is_told(stack, user):
    user.ask("echo", "one", chatId="t")
    first = user.messages("t").data[1]
    second = retry(user, "t", first["id"]).data["id"]
    stack.sql(f"UPDATE chat_messages SET content = 'the first' WHERE id = '{first['id']}'; UPDATE chat_messages SET content = 'the second' WHERE id = '{second}'")
    user.ask("echo", "two", chatId="t")
    assert told(stack) == [("user", "one"), ("assistant", "the second"), ("user", "two")]
    # One that failed or was cut off is no better than one that is whole.
    for status in ("failed", "cancelled", "interrupted"):
        stack.sql(f"UPDATE chat_messages SET status = '{status}' WHERE id = '{second}'")
        user.ask("echo", "three", chatId="t")
        assert told(stack)[:2] == [("user", "one"), ("assistant", "the first")]
    stack.sql(f"UPDATE chat_messages SET status = 'failed' WHERE id = '{first['id']}'")
    user.ask("echo", "four", chatId="t")
    assert told(stack)[:2] == [("user", "one"), ("assistant", "the second")]  # cut off, but there is nothing else


def test_the_history_keeps_to_the_agents_tokens(stack, user):
    """20 tokens: forty bytes of English each way, or ten Chinese characters."""
    user.ask("frugal", "a" * 40, chatId="en")
    user.ask("frugal", "b", chatId="en")
    assert told(stack) == [("user", "a" * 40), ("assistant", "a" * 40), ("user", "b")]
    user.ask("frugal", "今天天气很好一起去玩", chatId="zh")
    user.ask("frugal", "b", chatId="zh")
    assert len(told(stack)) == 3
    user.ask("frugal", "今天天气很好一起去玩吧", chatId="zh2")
    user.ask("frugal", "b", chatId="zh2")
    assert told(stack) == [("assistant", "今天天气很好一起去玩吧"), ("user", "b")]


def test_refuses_another_answer_to_what_is_not_there(user, stack):
    user.ask("quick", chatId="r")
    first = user.messages("r").data[1]
    stranger = User(stack)
    stranger.ask("quick", chatId="r")
    check_error(retry(stranger, "r", first["id"]), 404, "MESSAGE_NOT_FOUND")
    check_error(retry(user, "nobody", first["id"]), 404, "SESSION_NOT_FOUND")
    check_error(retry(user, "r", str(uuid.uuid4())), 404, "MESSAGE_NOT_FOUND")
    check_error(retry(user, "r", "no such"), 404, "MESSAGE_NOT_FOUND")
    for data_id in ("", "x" * 129, 7, None):
        check_error(retry(user, "r", data_id), 400, "VALIDATION_ERROR", "dataId")
    for fields, field in (({"stream": 1}, "stream"), ({"temperature": 3}, "temperature"), ({"maxTokens": 0}, "maxTokens"), ({"responseChatItemId": "x" * 129}, "responseChatItemId")):
        check_error(retry(user, "r", first["id"], **fields), 400, "VALIDATION_ERROR", field)
    check_error(user.post(f"{HISTORY}/r/retry?userId={stranger.id}", json={"dataId": first["id"]}), 403, "FORBIDDEN")
    user.http("DELETE", f"{HISTORY}/r")
    check_error(retry(user, "r", first["id"]), 404, "SESSION_NOT_FOUND")
    assert rows(stack, f"SELECT count(*) n FROM chat_messages WHERE parent_id = '{first['parentId']}'")[0]["n"] == 1


def test_a_key_for_other_agents_gets_no_other_answer(user):
    user.ask("echo", chatId="k")
    first = user.messages("k").data[1]
    key = user.key("quick")
    check_error(user.post(f"{HISTORY}/k/retry", json={"dataId": first["id"]}, token=key), 404, "SESSION_NOT_FOUND")
    assert user.post(f"{HISTORY}/k/retry", json={"dataId": first["id"]}, token=user.key("echo")).status == 200


def test_a_provider_that_fails_again_leaves_the_first_answer(user, stack):
    user.ask("echo", "fine", chatId="f")
    first = user.messages("f").data[1]
    stack.sql(f"UPDATE chat_messages SET agent_id = 'err500' WHERE id = '{first['id']}'")
    check_error(retry(user, "f", first["id"]), 502, "UPSTREAM_ERROR")
    assert [m["status"] for m in user.messages("f").data] == ["complete", "complete", "failed"]


# ---- feedback ----

def rate(user, **body):
    return user.post("/api/chat/feedback", json=body)


def feedback(user, chat_id):
    return [m.get("feedback") for m in user.messages(chat_id).data]


def test_an_answer_is_rated_and_the_rating_taken_back(user):
    user.ask("quick", chatId="f", responseChatItemId="mine")
    answer = user.messages("f").data[1]
    assert rate(user, chatId="f", messageId=answer["id"], rating="good").data == {"messageId": answer["id"], "rating": "good"}
    assert feedback(user, "f") == [None, {"rating": "good"}]
    assert rate(user, chatId="f", dataId="mine", rating="bad", comment="字" * 2000).data["comment"] == "字" * 2000
    assert feedback(user, "f") == [None, {"rating": "bad", "comment": "字" * 2000}]
    assert user.get(f"{HISTORY}/f").data["messages"][1]["feedback"]["rating"] == "bad"
    for _ in range(2):
        assert rate(user, chatId="f", dataId=answer["id"], rating=None).data == {"messageId": answer["id"], "rating": None}
    assert feedback(user, "f") == [None, None]


def test_visitors_rate_too_and_each_for_himself(stack):
    visitor = Visitor(stack)
    chat_id = visitor.ask("quick").data["chatId"]
    answer = visitor.messages(chat_id).data[1]
    body = {"chatId": chat_id, "messageId": answer["id"], "rating": "good"}
    assert stack.post("/api/chat/feedback", json=body, cookies=visitor.cookies).status == 200
    check_error(stack.post("/api/chat/feedback", json=body, cookies={}), 404, "SESSION_NOT_FOUND")
    assert visitor.messages(chat_id).data[1]["feedback"] == {"rating": "good"}


def test_refuses_ratings_of_what_is_not_there(user, stack):
    user.ask("quick", chatId="f")
    question, answer = user.messages("f").data
    good = {"chatId": "f", "messageId": answer["id"], "rating": "good"}
    check_error(rate(user, **{**good, "messageId": question["id"]}), 404, "MESSAGE_NOT_FOUND")  # one's own words are not rated
    check_error(rate(user, **{**good, "messageId": str(uuid.uuid4())}), 404, "MESSAGE_NOT_FOUND")
    check_error(rate(user, **{**good, "chatId": "nobody"}), 404, "SESSION_NOT_FOUND")
    check_error(rate(User(stack), **good), 404, "SESSION_NOT_FOUND")
    for change, field in (({"chatId": ""}, "chatId"), ({"chatId": "x" * 129}, "chatId"), ({"chatId": 5}, "chatId"), ({"messageId": ""}, "messageId"),
                          ({"messageId": "x" * 129}, "messageId"), ({"messageId": 5}, "messageId"), ({"messageId": None}, "dataId"), ({"rating": "fine"}, "rating"),
                          ({"rating": 5}, "rating"), ({"comment": "x" * 2001}, "comment"), ({"comment": 5}, "comment")):
        check_error(rate(user, **{**good, **change}), 400, "VALIDATION_ERROR", field)
    check_error(rate(user, chatId="f", messageId=answer["id"]), 400, "VALIDATION_ERROR", "rating")
    assert feedback(user, "f") == [None, None]


# ---- init ----

def test_a_conversation_begins_with_the_agents_welcome(user):
    data = user.get("/api/chat/init?agentId=welcoming").data
    assert data == {"agentId": "welcoming", "name": "Test: welcoming", "description": "", "model": "sim-n2-d0",
                    "welcomeText": "欢迎 <b>", "variables": [{"key": "city", "required": True}]}
    for agent in ("quick", "odd-features"):
        data = user.get(f"/api/chat/init?agentId={agent}").data
        assert (data["welcomeText"], data["variables"]) == ("", [])


def test_refuses_to_begin_with_nobody(user):
    for query in ("", "?agentId=", "?agentId=" + "a" * 65):
        check_error(user.get(f"/api/chat/init{query}"), 400, "VALIDATION_ERROR", "agentId")
    for agent in ("nobody", "inactive", "%ff"):
        check_error(user.get(f"/api/chat/init?agentId={agent}"), 404, "AGENT_NOT_FOUND")
    check_error(user.get("/api/chat/init?agentId=echo", token=user.key("quick")), 403, "FORBIDDEN")
