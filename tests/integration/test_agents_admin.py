"""Agents that administrators make: every route and every limit, keys that nobody sees again, and who hears of a change how soon."""

import glob
import json
import os
import subprocess
import time

import pytest

from chatting import PROVIDER_KEY, check_error, full_port, literal, rows, write_agents
from conftest import finish
from fastcgi_peer import ask
from stack import Stack, wait_for

PASSWORD = "Trub4dor & 3 语"
# Keys that are sealed; no part of them is a word, and they are looked for everywhere at the end.
KEY, OTHER_KEY = "sk-9Zq7Wx5Vt3Ur1Sp8", "sk-8Ya6Xb4Wc2Vd0Ue7"
OLD_SECRET, NEW_SECRET = "o" * 20 + "-secrets-key-old-1", "n" * 20 + "-secrets-key-new-2"

FILE_AGENTS = {
    "filed": ("sim-n3-d0", {}),
    "moved": ("${TEST_MODEL:-sim-n4-d0}", {}),
    "sleeps": ("sim-n2-d0", {"isActive": False}),
}


@pytest.fixture(scope="module")
def own_stack():
    stack = Stack()
    stack.env.update({"AGENTS_CONFIG_PATH": str(write_agents(stack, FILE_AGENTS)), "TEST_PROVIDER_KEY": PROVIDER_KEY, "SECRETS_KEY": OLD_SECRET,
                      "CHAT_ANONYMOUS": "true", "RESPONDERS": "2"})
    stack.start()
    stack.wait_until_ready()
    for name, options in (("anna", ["--admin"]), ("bert", [])):
        stack.ctl("user", "add", name, *options, stdin=PASSWORD + "\n")
    stack.said = []
    yield stack
    finish(stack)


class Admin:
    """Somebody with a token. What the server says is kept, to be searched for keys."""

    def __init__(self, stack, name):
        self.stack = stack
        self.token = stack.ctl("token", "issue", "--user", name).stdout.strip()

    def http(self, method, path, body=None, **kwargs):
        answer = self.stack.http(method, path, json=body, token=self.token, **kwargs)
        self.stack.said.append(answer.text)
        return answer

    def get(self, path):
        return self.http("GET", path)

    def make(self, agent_id, **fields):
        """An agent that answers; returns what the server says of it."""
        answer = self.http("POST", "/api/agents", described(self.stack, agent_id, **fields))
        assert answer.status == 201, answer
        return answer.data

    def change(self, agent_id, **fields):
        answer = self.http("PUT", f"/api/agents/{agent_id}", fields)
        assert answer.status == 200, answer
        return answer.data


def endpoint(stack):
    return f"http://127.0.0.1:{(stack.dir / 'sim.port').read_text().strip()}/v1/chat/completions"


def described(stack, agent_id, **fields):
    agent = {"id": agent_id, "name": f"Test {agent_id}", "provider": "custom", "endpoint": endpoint(stack), "model": "sim-n3-d0", **fields}
    return {name: value for name, value in agent.items() if value is not ...}


@pytest.fixture(scope="module")
def admins(own_stack):
    return Admin(own_stack, "anna"), Admin(own_stack, "bert")


@pytest.fixture
def anna(own_stack, admins, request):
    request.node.stacks = [own_stack]
    own_stack.sql("DELETE FROM chat_sessions; DELETE FROM agent_configs WHERE NOT from_file; DELETE FROM audit_log")
    return admins[0]


@pytest.fixture
def bert(admins):
    return admins[1]


def on_slot(stack, slot, path, token=None):
    """(status, data) of one responder, asked directly."""
    extra = {"HTTP_AUTHORIZATION": f"Bearer {token}"} if token else {}
    status, _, body = ask(f"{stack.setting('RUN_DIR')}/{slot}.sock", "GET", path, **extra)
    return status, json.loads(body).get("data")


def everywhere(stack, claim, path, token=None, seconds=1.5):
    """Waits until each responder's (status, data) satisfies the claim: a second, and some for a slow machine."""
    for slot in stack.responders():
        wait_for(lambda: claim(*on_slot(stack, slot, path, token)), seconds, f"{path} of responder {slot}")


def audit(stack, kind):
    return rows(stack, f"SELECT actor, address, details FROM audit_log WHERE type = {literal(kind)} ORDER BY id")


def chat(stack, agent_id, chat_id=None):
    return stack.post("/api/chat/completions", json={"agentId": agent_id, "messages": [{"role": "user", "content": "Hello"}],
                                                     **({"chatId": chat_id} if chat_id else {})})


# ---- who may ----

def test_only_administrators_write_and_see_what_is_inactive(own_stack, anna, bert):
    body = described(own_stack, "nobodys")
    for method, path in (("POST", "/api/agents"), ("PUT", "/api/agents/filed"), ("PATCH", "/api/agents/filed"), ("DELETE", "/api/agents/filed"),
                         ("POST", "/api/agents/import"), ("POST", "/api/agents/reload"), ("GET", "/api/agents/filed/validate")):
        given = body if method in ("POST", "PUT", "PATCH") else None
        check_error(own_stack.http(method, path, json=given), 401, "AUTHENTICATION_REQUIRED")
        check_error(bert.http(method, path, given), 403, "ADMIN_REQUIRED")
    check_error(own_stack.get("/api/agents?includeInactive=true"), 401, "AUTHENTICATION_REQUIRED")
    check_error(bert.get("/api/agents?includeInactive=true"), 403, "ADMIN_REQUIRED")
    check_error(own_stack.get("/api/agents", token="nonsense"), 401, "TOKEN_INVALID")
    check_error(anna.get("/api/agents?includeInactive=perhaps"), 400, "VALIDATION_ERROR", "includeInactive")
    assert {agent["id"] for agent in own_stack.get("/api/agents").data} == {"filed", "moved"}
    assert {agent["id"] for agent in anna.get("/api/agents?includeInactive=true").data} == {"filed", "moved", "sleeps"}
    assert {agent["id"] for agent in anna.get("/api/agents").data} == {"filed", "moved"}
    assert not own_stack.sql("SELECT 1 FROM agent_configs WHERE id = 'nobodys'")


PUBLIC = {"id", "name", "description", "provider", "model", "status", "capabilities"}


def test_the_public_sees_neither_address_nor_prompt(own_stack, anna, bert):
    anna.make("a", systemPrompt="You are a lighthouse.", apiKey=KEY)
    everywhere(own_stack, lambda status, data: status == 200 and set(data) == PUBLIC, "/api/agents/a")
    for answer in (own_stack.get("/api/agents"), bert.get("/api/agents")):
        assert all(set(agent) == PUBLIC for agent in answer.data)
        assert "lighthouse" not in answer.text and "127.0.0.1" not in answer.text
    whole = anna.get("/api/agents/a").data
    assert (whole["systemPrompt"], whole["endpoint"], whole["apiKeyFrom"]) == ("You are a lighthouse.", endpoint(own_stack), "api")
    assert "apiKey" not in whole
    assert all("systemPrompt" not in agent and "endpoint" in agent for agent in anna.get("/api/agents").data)


def test_lists_filter_by_provider_and_capability(own_stack, anna):
    anna.make("sees", capabilities=["text", "vision"])
    anna.make("open", provider="openai")
    everywhere(own_stack, lambda status, data: [agent["id"] for agent in data] == ["sees"], "/api/agents?capability=vision")
    everywhere(own_stack, lambda status, data: [agent["id"] for agent in data] == ["open"], "/api/agents?provider=openai")
    assert own_stack.get("/api/agents?provider=custom&capability=vision").data[0]["id"] == "sees"
    assert own_stack.get("/api/agents?capability=hearing").data == []


# ---- making and changing ----

def test_an_agent_is_made_used_changed_and_deleted(own_stack, anna):
    made = anna.make("new", apiKey=KEY, temperature=0.3, maxTokens=99, fallbacks=["filed", "moved"], maxConcurrent=3, maxQueue=0, appId="app-1",
                     rateLimit={"requestsPerMinute": 60, "tokensPerMinute": 9000}, features={"welcomeText": "Hi"}, timeouts={"idleMs": 5000},
                     onDisconnect="cancel", contextTokens=0, description="D", capabilities=["text"], systemPrompt="S")
    expected = {"id": "new", "name": "Test new", "provider": "custom", "model": "sim-n3-d0", "endpoint": endpoint(own_stack), "temperature": 0.3,
                "maxTokens": 99, "fallbacks": ["filed", "moved"], "maxConcurrent": 3, "maxQueue": 0, "appId": "app-1",
                "rateLimit": {"requestsPerMinute": 60, "tokensPerMinute": 9000}, "features": {"welcomeText": "Hi"}, "timeouts": {"idleMs": 5000},
                "onDisconnect": "cancel", "contextTokens": 0, "description": "D", "capabilities": ["text"], "systemPrompt": "S", "isActive": True,
                "status": "active", "apiKeyFrom": "api", "problem": None, "fromFile": False,
                "createdBy": own_stack.sql_one("SELECT id FROM users WHERE username = 'anna'")}
    assert {name: made[name] for name in expected} == expected
    everywhere(own_stack, lambda status, data: status == 200 and data == made, "/api/agents/new", anna.token)

    own_stack.reset_stats()
    assert chat(own_stack, "new").data["content"] == "tok0 tok1 tok2 "
    sent = own_stack.last_request()
    assert sent["authorization"] == f"Bearer {KEY}"
    assert (sent["body"]["max_tokens"], sent["body"]["temperature"]) == (99, 0.3)

    changed = anna.change("new", model="sim-n5-d0", temperature=None, maxTokens=None, appId=None, apiKey=OTHER_KEY, id="new")
    assert (changed["model"], changed["temperature"], changed["maxTokens"], changed["appId"], changed["systemPrompt"]) == ("sim-n5-d0", None, None, None, "S")
    everywhere(own_stack, lambda status, data: data["model"] == "sim-n5-d0", "/api/agents/new")
    assert chat(own_stack, "new").data["content"].endswith("tok4 ")
    assert own_stack.last_request()["authorization"] == f"Bearer {OTHER_KEY}"

    assert anna.http("PATCH", "/api/agents/new", {"apiKey": None}).data["apiKeyFrom"] is None
    everywhere(own_stack, lambda status, data: data["apiKeyFrom"] is None, "/api/agents/new", anna.token)
    assert chat(own_stack, "new").status == 200
    assert not own_stack.last_request()["authorization"]

    assert anna.http("DELETE", "/api/agents/new?force=true").data is None
    everywhere(own_stack, lambda status, data: status == 404, "/api/agents/new")
    check_error(chat(own_stack, "new"), 404, "AGENT_NOT_FOUND")
    check_error(anna.http("DELETE", "/api/agents/new"), 404, "AGENT_NOT_FOUND")
    check_error(anna.http("PUT", "/api/agents/new", {"name": "N"}), 404, "AGENT_NOT_FOUND")

    assert [entry["details"] for entry in audit(own_stack, "agent.created")] == [{"agentId": "new", "name": "Test new"}]
    assert [entry["details"]["fields"] for entry in audit(own_stack, "agent.updated")] == [
        ["apiKey", "appId", "maxTokens", "model", "temperature"], ["apiKey"]]
    assert [entry["details"] for entry in audit(own_stack, "agent.deleted")] == [{"agentId": "new", "name": "Test new", "hadSessions": True}]
    assert all(entry["actor"] == "anna" and entry["address"] == "127.0.0.1"
               for kind in ("agent.created", "agent.updated", "agent.deleted") for entry in audit(own_stack, kind))


def test_what_is_said_again_is_no_change(own_stack, anna):
    made = anna.make("a", apiKey=KEY, temperature=0.7, features={"b": 1, "a": [1, 2]})
    everywhere(own_stack, lambda status, data: status == 200, "/api/agents/a")
    assert anna.change("a", **made) == made
    assert anna.change("a", apiKey=KEY) == made
    assert anna.change("a") == made
    assert audit(own_stack, "agent.updated") == []


def test_an_id_is_made_of_the_name(own_stack, anna):
    assert anna.make(..., name="  Über GPT-4o, mini!  ")["id"] == "ber-gpt-4o-mini"
    everywhere(own_stack, lambda status, data: status == 200, "/api/agents/ber-gpt-4o-mini")
    again = anna.make(..., name="Über GPT-4o, mini!")["id"]
    assert again.startswith("ber-gpt-4o-mini-") and len(again) == len("ber-gpt-4o-mini-") + 8
    assert anna.make(..., name="智能体")["id"].startswith("agent-")


def test_an_id_is_taken_once(own_stack, anna):
    anna.make("a")
    check_error(anna.http("POST", "/api/agents", described(own_stack, "a")), 409, "CONFLICT", "id")
    check_error(anna.http("PUT", "/api/agents/a", {"id": "b"}), 400, "VALIDATION_ERROR", "id")


LIMITS = [
    ("id", ["", "x" * 65, "a/b", "ä", 7, "..", "a b"], ["x" * 64, "A.b_c-9"]),
    ("name", [..., None, "", "x" * 121, 5, "   "], ["名" * 120]),
    ("description", ["x" * 2001, []], ["", "x" * 2000, None]),
    ("provider", [..., None, "", "nobody", 1], ["openai", "anthropic", "dify", "fastgpt", "custom"]),
    ("endpoint", [..., None, "", "/v1", "ftp://h/x", "h/x", "http://", "http:///x", "javascript:x", "http://a b/", "http://u:p@h/", "http://u@h/x",
                  "http://h\\@evil/", "${HOME}/x", "http://" + "h" * 2000, "file:///etc/passwd", 3],
     ["http://127.0.0.1:1/v1", "https://models.example/v1/chat/completions?a=@b", "HTTPS://Models.example"]),
    ("apiKey", ["", "x" * 1001, "a b", "a\r\nX: y", "ключ", 5, {}], ["x" * 1000, None]),
    ("appId", ["", "x" * 129, 5], ["x" * 128, None]),
    ("model", [..., None, "", "x" * 121, "${HOME}"], ["x" * 120]),
    ("maxTokens", [0, 32769, 1.5, "1"], [1, 32768, None]),
    ("temperature", [-0.1, 2.1, "1"], [0, 2, 0.55, None]),
    ("systemPrompt", ["x" * 100001, 1], ["", "字" * 100000, None]),
    ("capabilities", ["text", {}, [1], [""], ["x" * 65], ["x"] * 51], [[], ["x" * 64] * 50, None]),
    ("rateLimit", [5, [], {"requestsPerMinute": 0}, {"requestsPerMinute": 1000001}, {"tokensPerMinute": 0}, {"tokensPerMinute": 1000000001},
                   {"tokensPerMinute": "1"}], [{}, {"requestsPerMinute": 1000000, "tokensPerMinute": 1000000000}, None]),
    ("isActive", ["yes", 1], [False, True, None]),
    ("features", [[], "x", {"x": "y" * 16400}], [{}, {"welcomeText": "Hi", "deep": {"a": [1]}}, None]),
    ("fallbacks", ["a", {}, [1], ["a b"], ["x", "x"], ["limits"], [f"a{i}" for i in range(11)]], [[], [f"a{i}" for i in range(10)], None]),
    ("onDisconnect", ["stop", "", 1], ["finish", "cancel", None]),
    ("timeouts", [5, [], {"connectMs": 0}, {"headersMs": 86400001}, {"firstTokenMs": "1"}, {"idleMs": 1.5}, {"totalMs": -1}],
     [{}, {"connectMs": 1, "headersMs": 86400000, "firstTokenMs": 1, "idleMs": 1, "totalMs": 1}, None]),
    ("contextTokens", [-1, 2000001, "1"], [0, 2000000, None]),
    ("maxConcurrent", [0, 100001, "1"], [1, 100000, None]),
    ("maxQueue", [-1, 100001, "1"], [0, 100000, None]),
]


@pytest.mark.parametrize("field, wrong, right", LIMITS, ids=[row[0] for row in LIMITS])
def test_every_field_has_its_limits(own_stack, anna, field, wrong, right):
    for value in wrong:
        answer = anna.http("POST", "/api/agents", {**described(own_stack, "limits"), field: value} if value is not ...
                           else described(own_stack, "limits", **{field: ...}))
        check_error(answer, 400, "VALIDATION_ERROR", field)
        if value is not ... and field != "id":
            check_error(anna.http("POST", "/api/agents/import", {"agents": [{**described(own_stack, "limits"), field: value}]}), 400, "VALIDATION_ERROR")
    assert not own_stack.sql("SELECT 1 FROM agent_configs WHERE id = 'limits'")
    for i, value in enumerate(right):
        made = anna.make(**{"agent_id": f"limits-{i}", **described(own_stack, f"limits-{i}"), field: value})
        if field in made and value is not None:
            assert made[field] == value
    for value in wrong:
        if value is ... or field == "id":
            continue
        value = ["limits-0"] if value == ["limits"] else value  # itself
        check_error(anna.http("PUT", "/api/agents/limits-0", {field: value}), 400, "VALIDATION_ERROR", field)


def test_numbers_that_nobody_can_hold_are_refused(own_stack, anna):
    body = json.dumps(described(own_stack, "big", features={"n": 0})).replace('"n": 0', '"n": 1e999999')
    answer = own_stack.http("POST", "/api/agents", body=body.encode(), headers={"Content-Type": "application/json"}, token=anna.token)
    check_error(answer, 400, "VALIDATION_ERROR", "features")


# ---- keys ----

def test_a_key_does_not_follow_an_endpoint_to_another_host(own_stack, anna):
    anna.make("a", apiKey=KEY)
    for elsewhere in ("http://127.0.0.1:1/v1/chat/completions", "https://evil.example/x"):
        check_error(anna.http("PUT", "/api/agents/a", {"endpoint": elsewhere}), 400, "VALIDATION_ERROR", "apiKey")
        check_error(anna.http("PUT", "/api/agents/filed", {"endpoint": elsewhere}), 400, "VALIDATION_ERROR", "apiKey")
        errors = check_error(anna.http("POST", "/api/agents/import", {"agents": [described(own_stack, "a", endpoint=elsewhere)]}), 400, "VALIDATION_ERROR")
        assert [(error["id"], error["field"]) for error in errors["details"]["agents"]] == [("a", "apiKey")]
    anna.change("a", endpoint=endpoint(own_stack) + "?v=2")  # the same host
    assert anna.change("a", endpoint="https://other.example/x", apiKey=OTHER_KEY)["apiKeyFrom"] == "api"
    assert anna.change("a", endpoint="https://another.example/x", apiKey=None)["apiKeyFrom"] is None
    anna.change("a", endpoint="https://third.example/x")


def test_a_sealed_key_opens_in_its_own_row_only(own_stack, anna):
    anna.make("a", apiKey=KEY)
    anna.make("b", apiKey=OTHER_KEY)
    own_stack.sql("UPDATE agent_configs SET sealed_api_key = (SELECT sealed_api_key FROM agent_configs WHERE id = 'b') WHERE id = 'a'")
    everywhere(own_stack, lambda status, data: data["problem"] == "key_does_not_open", "/api/agents/a", anna.token)
    check_error(chat(own_stack, "a"), 404, "AGENT_NOT_FOUND")
    told = anna.get("/api/agents/a/validate").data
    assert not told["valid"] and told["reason"] == "key_does_not_open"


def test_without_a_secrets_key_no_key_is_taken(make_stack):
    stack = make_stack(SECRETS_KEY="", CHAT_ANONYMOUS="true")
    stack.wait_until_ready()
    stack.ctl("user", "add", "carl", "--admin", stdin=PASSWORD + "\n")
    stack.said = []
    carl = Admin(stack, "carl")
    answer = check_error(carl.http("POST", "/api/agents", described(stack, "a", apiKey=KEY)), 400, "VALIDATION_ERROR", "apiKey")
    assert "SECRETS_KEY" in answer["message"]
    assert carl.make("a")["apiKeyFrom"] is None
    done = stack.ctl("secrets", "rotate", check=False)
    assert done.returncode == 1 and "SECRETS_KEY" in done.stderr


# ---- agents of the file ----

def test_an_agent_of_the_file_keeps_key_and_placeholders_until_it_is_told_otherwise(own_stack, anna):
    told = anna.get("/api/agents/moved").data
    assert (told["model"], told["apiKeyFrom"], told["fromFile"]) == ("${TEST_MODEL:-sim-n4-d0}", "file", True)
    anna.change("moved", **{**told, "name": "Renamed"})  # as it was read, with its ${...}
    everywhere(own_stack, lambda status, data: data["name"] == "Renamed" and data["model"] == "sim-n4-d0", "/api/agents/moved")
    chat(own_stack, "moved")
    assert own_stack.last_request()["authorization"] == f"Bearer {PROVIDER_KEY}"
    anna.change("moved", model="sim-n6-d0")
    everywhere(own_stack, lambda status, data: data["model"] == "sim-n6-d0", "/api/agents/moved")
    chat(own_stack, "moved")
    assert own_stack.last_request()["authorization"] == f"Bearer {PROVIDER_KEY}"
    anna.change("moved", apiKey=KEY)
    everywhere(own_stack, lambda status, data: data["apiKeyFrom"] == "api", "/api/agents/moved", anna.token)
    chat(own_stack, "moved")
    assert own_stack.last_request()["authorization"] == f"Bearer {KEY}"
    # Neither a reload nor a restart brings back what the file says.
    anna.http("POST", "/api/agents/reload")
    own_stack.pool("restart")
    own_stack.nginx("reload")  # it keeps connections to the old generation, which the tests below do not look at
    wait_for(lambda: not any(row["state"] == "draining" for row in own_stack.pool_status()), 45, "the end of the old generation")
    own_stack.wait_until_ready()
    everywhere(own_stack, lambda status, data: status == 200 and (data["name"], data["model"], data["apiKeyFrom"]) == ("Renamed", "sim-n6-d0", "api"),
               "/api/agents/moved", anna.token, seconds=10)


def test_reload_reads_the_file_again_and_a_deleted_agent_stays_deleted(own_stack, anna):
    write_agents(own_stack, {**FILE_AGENTS, "later": ("sim-n2-d0", {})})
    assert anna.http("POST", "/api/agents/reload").data is None
    everywhere(own_stack, lambda status, data: status == 200, "/api/agents/later", seconds=2)
    assert anna.http("DELETE", "/api/agents/later").status == 200
    everywhere(own_stack, lambda status, data: status == 404, "/api/agents/later")
    anna.http("POST", "/api/agents/reload")
    time.sleep(1.2)
    assert own_stack.get("/api/agents/later").status == 404
    (own_stack.dir / "test-agents.json").write_text("{")
    anna.http("POST", "/api/agents/reload")
    wait_for(lambda: own_stack.logs("agents_file_invalid"), 3, "the log's word of a broken file")
    assert own_stack.get("/api/agents/filed").status == 200
    write_agents(own_stack, FILE_AGENTS)
    assert [entry["actor"] for entry in audit(own_stack, "agents.reloaded")] == ["anna"] * 3
    # Its id is free for a new one, which has nothing of the old.
    assert anna.make("later")["apiKeyFrom"] is None


# ---- deleting ----

def test_an_agent_with_sessions_is_deleted_by_force_and_what_was_said_stays(own_stack, anna):
    anna.make("a", apiKey=KEY, systemPrompt="secret plan")
    everywhere(own_stack, lambda status, data: status == 200, "/api/agents/a")
    first = chat(own_stack, "a")
    cookies = first.cookies()
    chat_id = first.data["chatId"]
    assert "force=true" in check_error(anna.http("DELETE", "/api/agents/a"), 409, "CONFLICT")["message"]
    check_error(anna.http("DELETE", "/api/agents/a?force=yes"), 400, "VALIDATION_ERROR", "force")
    assert anna.http("DELETE", "/api/agents/a?force=true").status == 200
    everywhere(own_stack, lambda status, data: status == 404, "/api/agents/a")
    messages = own_stack.get(f"/api/chat/sessions/{chat_id}/messages", cookies=cookies).data
    assert [message["role"] for message in messages] == ["user", "assistant"] and messages[1]["agentId"] == "a"
    body = {"agentId": "filed", "chatId": chat_id, "messages": [{"role": "user", "content": "And you?"}]}
    assert own_stack.post("/api/chat/completions", json=body, cookies=cookies).data["chatId"] == chat_id
    kept = rows(own_stack, "SELECT * FROM agent_configs WHERE id = 'a'")[0]
    assert (kept["endpoint"], kept["system_prompt"], kept["sealed_api_key"], kept["is_active"], kept["name"]) == ("", "", None, False, "Test a")
    made = anna.make("a", model="sim-n1-d0")
    assert (made["systemPrompt"], made["apiKeyFrom"]) == ("", None)


def test_a_turn_keeps_the_agent_it_began_with(own_stack, anna):
    anna.make("slow", model="sim-n40-d50", apiKey=KEY)
    everywhere(own_stack, lambda status, data: status == 200, "/api/agents/slow")
    with own_stack.stream("POST", "/api/chat/completions", json={"agentId": "slow", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}) as stream:
        events = iter(stream)
        seen = [next(events) for _ in range(4)]
        anna.change("slow", model="sim-n1-d0")
        anna.http("DELETE", "/api/agents/slow?force=true")
        everywhere(own_stack, lambda status, data: status == 404, "/api/agents/slow")
        seen += list(events)
    assert "".join(event.data["content"] for event in seen if event.event == "chunk") == "".join(f"tok{i} " for i in range(40))
    assert seen[-1].data["finishReason"] == "stop"


# ---- status, validate ----

def test_status_says_how_the_last_call_went(own_stack, anna):
    anna.make("late", model="sim-first300-n2-d0")
    everywhere(own_stack, lambda status, data: data == {"agentId": "late", "status": "active", "breaker": "closed", "responseTime": None, "lastChecked": None},
               "/api/agents/late/status")
    chat(own_stack, "late")

    def timed():
        found = [on_slot(own_stack, slot, "/api/agents/late/status")[1] for slot in own_stack.responders()]
        return [status for status in found if status["responseTime"] is not None]
    assert len(timed()) == 1 and 290 <= timed()[0]["responseTime"] < 5000 and timed()[0]["lastChecked"].endswith("Z")
    anna.change("late", name="Later")  # a change forgets nothing
    everywhere(own_stack, lambda status, data: data["name"] == "Later", "/api/agents/late")
    assert len(timed()) == 1
    anna.change("late", isActive=False)
    everywhere(own_stack, lambda status, data: data["status"] == "inactive", "/api/agents/late/status")
    check_error(own_stack.get("/api/agents/none/status"), 404, "AGENT_NOT_FOUND")


VALIDATIONS = [
    ("fine", {"model": "sim-n10000-d50"}, True, None, "answered", None),
    ("thinks", {"model": "sim-reason3-n1-d5"}, True, None, "answered", None),
    ("inactive", {"isActive": False}, True, None, "answered", None),
    ("err401", {"model": "sim-err401", "apiKey": KEY}, False, "http_status", "refused the key", 401),
    ("err401-none", {"model": "sim-err401"}, False, "http_status", "has none", 401),
    ("err403", {"model": "sim-err403", "apiKey": KEY}, False, "http_status", "refused the key", 403),
    ("err404", {"model": "sim-err404"}, False, "http_status", "no such model", 404),
    ("unknown", {"model": "sim-nonsense"}, False, "http_status", "no such model", 404),
    ("err400", {"model": "sim-err400"}, False, "http_status", "model's name", 400),
    ("err429", {"model": "sim-err429"}, False, "http_status", "slow down", 429),
    ("err500", {"model": "sim-err500"}, False, "http_status", "failed", 500),
    ("html", {"model": "sim-html"}, False, "content_type", "web page", 200),
    ("hang", {"model": "sim-hang", "timeouts": {"headersMs": 300}}, False, "headers_timeout", "headersMs", None),
    ("silent", {"model": "sim-stall0", "timeouts": {"firstTokenMs": 300}}, False, "first_token_timeout", "firstTokenMs", 200),
    ("refused", {"endpoint": "http://127.0.0.1:1/v1"}, False, "no_answer", "cannot be reached", None),
    ("no-host", {"endpoint": "http://no-such-host.invalid/v1"}, False, "no_answer", "cannot be reached", None),
    ("full", {"endpoint": "FULL", "timeouts": {"connectMs": 400}}, False, "no_answer", "connectMs", None),
    ("cut", {"model": "sim-n5-cut0"}, False, "cut", "closed", 200),
    ("mid", {"model": "sim-n5-mid0"}, False, "error_frame", "said that it failed", 200),
    ("garbage", {"model": "sim-n5-garbage0"}, False, "bad_event", "JSON", 200),
    ("dify", {"provider": "dify"}, None, None, "", None),
]


@pytest.mark.parametrize("name, fields, valid, reason, words, status", VALIDATIONS, ids=[row[0] for row in VALIDATIONS])
def test_validate_says_what_happened(own_stack, anna, name, fields, valid, reason, words, status):
    if fields.get("endpoint") == "FULL":
        fields = {**fields, "endpoint": f"http://127.0.0.1:{full_port()}/v1"}
    anna.make(name, **fields)
    everywhere(own_stack, lambda status, data: status == 200, f"/api/agents/{name}", anna.token)
    own_stack.reset_stats()
    answer = anna.get(f"/api/agents/{name}/validate")
    assert answer.status == 200 and answer.took < 5
    told = answer.data
    if valid is None:  # whether this provider is spoken is another matter
        return
    assert (told["valid"], told["reason"]) == (valid, reason), told
    assert words in told["message"] and told["message"].endswith("."), told
    if status:
        assert told["httpStatus"] == status
    assert (told["responseTime"] is not None) == valid
    assert KEY not in answer.text
    if valid:
        assert own_stack.last_request()["body"]["max_tokens"] == 1
        wait_for(lambda: own_stack.stats()["open"] == 0, 5, "the provider to be left")


def test_validate_of_nobody(anna):
    check_error(anna.get("/api/agents/none/validate"), 404, "AGENT_NOT_FOUND")


# ---- import ----

def test_an_import_makes_changes_and_leaves(own_stack, anna):
    anna.make("kept", apiKey=KEY)
    anna.make("changed", apiKey=KEY, systemPrompt="stays")
    everywhere(own_stack, lambda status, data: status == 200, "/api/agents/changed")
    everywhere(own_stack, lambda status, data: status == 200, "/api/agents/kept")
    agents = [described(own_stack, "kept", apiKey=KEY), described(own_stack, "changed", model="sim-n7-d0"), described(own_stack, "made", apiKey=OTHER_KEY)]
    told = anna.http("POST", "/api/agents/import", {"agents": agents}).data
    assert (told["created"], told["updated"], told["unchanged"]) == (1, 1, 1)
    assert [(agent["id"], agent["outcome"], agent["fields"]) for agent in told["agents"]] == [
        ("kept", "unchanged", []), ("changed", "updated", ["model"]), ("made", "created", [])]
    assert anna.get("/api/agents/changed").status == 200
    everywhere(own_stack, lambda status, data: (data["model"], data["systemPrompt"]) == ("sim-n7-d0", "stays"), "/api/agents/changed", anna.token)
    everywhere(own_stack, lambda status, data: status == 200 and data["apiKeyFrom"] == "api", "/api/agents/made", anna.token)
    again = anna.http("POST", "/api/agents/import", {"agents": agents}).data
    assert (again["created"], again["updated"], again["unchanged"]) == (0, 0, 3)
    assert [entry["details"] for entry in audit(own_stack, "agents.imported")] == [
        {"created": 1, "updated": 1, "unchanged": 1}, {"created": 0, "updated": 0, "unchanged": 3}]
    assert [entry["details"]["agentId"] for entry in audit(own_stack, "agent.updated")] == ["changed"]


def test_an_import_is_all_or_nothing(own_stack, anna):
    good = described(own_stack, "good")
    bad = [{**described(own_stack, "bad"), "temperature": 3}, {"id": "less"}, "text", {**good, "id": ""}, described(own_stack, "twice"),
           described(own_stack, "twice"), {**good, "id": "moved", "endpoint": "https://elsewhere.example/"}]
    body = check_error(anna.http("POST", "/api/agents/import", {"agents": [good, *bad[:-1]]}), 400, "VALIDATION_ERROR")
    assert [(e["index"], e["id"], e["outcome"], e["field"]) for e in body["details"]["agents"]] == [
        (1, "bad", "error", "temperature"), (2, "less", "error", "name"), (3, "", "error", "agents"), (4, "", "error", "id"),
        (5, "twice", "error", "id"), (6, "twice", "error", "id")]
    assert "6" in body["message"]
    for agents in ([], {}, None, [good] * 5001):
        check_error(anna.http("POST", "/api/agents/import", {"agents": agents}), 400, "VALIDATION_ERROR", "agents")
    assert not own_stack.sql("SELECT 1 FROM agent_configs WHERE id IN ('good', 'bad', 'twice')")
    assert audit(own_stack, "agent.created") == []


def test_five_thousand_agents(own_stack, anna):
    agents = [described(own_stack, f"agent-{i:04}", capabilities=["text", f"c{i % 7}"], systemPrompt="You help. " * 20, rateLimit={"requestsPerMinute": 60},
                        timeouts={"idleMs": 5000}, fallbacks=["filed"]) for i in range(4997)]
    slow_before = len(own_stack.logs("loop_slow"))
    started = time.monotonic()
    answer = anna.http("POST", "/api/agents/import", {"agents": agents}, timeout=60)
    assert answer.status == 200, answer
    assert answer.data["created"] == 4997
    took = time.monotonic() - started
    everywhere(own_stack, lambda status, data: status == 200, "/api/agents/agent-4996", seconds=10)
    print(f"imported in {took:.2f} s, everywhere after {time.monotonic() - started:.2f} s")
    for slot in own_stack.responders():
        assert len(on_slot(own_stack, slot, "/api/agents?capability=c3")[1]) == 714
    assert len(own_stack.get("/api/agents").data) == 4999
    problem = check_error(anna.http("POST", "/api/agents", described(own_stack, "one-too-many-1")), 409, "CONFLICT", "agents")
    assert "5000" in problem["message"]
    changed = anna.http("PUT", "/api/agents/agent-2500", {"model": "sim-n9-d0"})
    assert changed.status == 200
    everywhere(own_stack, lambda status, data: data["model"] == "sim-n9-d0", "/api/agents/agent-2500", seconds=3)
    again = anna.http("POST", "/api/agents/import", {"agents": agents[:10]}).data
    assert again["unchanged"] == 10
    print("slow turns of the loop:", [(line.get("activity"), line.get("took_ms") or line.get("took_us")) for line in own_stack.logs("loop_slow")[slow_before:]])


def test_an_import_may_be_ten_mebibytes(own_stack, anna):
    agents = [described(own_stack, f"large-{i}", systemPrompt="字" * 30000) for i in range(100)]
    body = json.dumps({"agents": agents}, ensure_ascii=False).encode()
    assert 9_000_000 < len(body) < 10 * 1024 * 1024
    answer = own_stack.http("POST", "/api/agents/import", body=body, headers={"Content-Type": "application/json"}, token=anna.token)
    assert answer.status == 200 and answer.data["created"] == 100
    check_error(own_stack.http("POST", "/api/agents/import", body=body + b" " * 2_000_000, headers={"Content-Type": "application/json"}, token=anna.token),
                413, "PAYLOAD_TOO_LARGE")


# ---- rotation ----

def test_keys_are_sealed_anew_with_another_secret(own_stack, anna):
    agents = [described(own_stack, f"keyed-{i:03}", apiKey=f"{KEY}{i}") for i in range(230)]
    assert anna.http("POST", "/api/agents/import", {"agents": agents}).data["created"] == 230
    before = own_stack.sql_one("SELECT count(DISTINCT sealed_with) FROM agent_configs WHERE sealed_with IS NOT NULL")
    assert before == "1"
    assert "No key" in own_stack.ctl("secrets", "rotate").stdout  # all are the current key's already

    own_stack.start(SECRETS_KEY=NEW_SECRET, SECRETS_KEY_PREVIOUS=OLD_SECRET)
    own_stack.wait_until_ready()
    everywhere(own_stack, lambda status, data: status == 200 and data["problem"] is None, "/api/agents/keyed-229", anna.token, seconds=10)
    n_sealed = int(own_stack.sql_one("SELECT count(*) FROM agent_configs WHERE sealed_with IS NOT NULL"))
    own_stack.sql("UPDATE agent_configs SET sealed_api_key = 'bm9uc2Vuc2U' WHERE id = 'keyed-100'")
    done = own_stack.ctl("secrets", "rotate", check=False)
    assert done.returncode == 1 and done.stdout.startswith(f"{n_sealed - 1} keys") and "keyed-100" in done.stderr, done
    anna.change("keyed-100", apiKey=KEY)
    assert "No key" in own_stack.ctl("secrets", "rotate").stdout
    assert own_stack.sql_one("SELECT count(DISTINCT sealed_with) FROM agent_configs WHERE sealed_with IS NOT NULL") == "1"
    entries = audit(own_stack, "secrets.rotated")
    assert sum(entry["details"]["keys"] for entry in entries) == n_sealed - 1 and {entry["actor"] for entry in entries} == {"llmchatctl"}

    own_stack.start(SECRETS_KEY_PREVIOUS="")
    own_stack.wait_until_ready()
    everywhere(own_stack, lambda status, data: status == 200 and data["problem"] is None, "/api/agents/keyed-007", anna.token, seconds=10)
    chat(own_stack, "keyed-007")
    assert own_stack.last_request()["authorization"] == f"Bearer {KEY}7"


# ---- after all that ----

def test_no_key_was_ever_seen(own_stack, anna):
    anna.make("last", apiKey=KEY)
    program = sorted(glob.glob("/usr/lib/postgresql/*/bin/pg_dump"))[-1]
    dump = subprocess.run([program, "-h", own_stack.setting("RUN_DIR"), "-U", "llmchat", "-d", "llmchat"], stdout=subprocess.PIPE, check=True,
                          env={**os.environ, "PGPASSWORD": own_stack.setting("DB_PASSWORD")}).stdout.decode()
    logs = {path.name: path.read_text(errors="replace") for path in [*own_stack.dir.glob("log/*.log"), *own_stack.dir.glob("nginx/*.log")]}
    said = "\n".join(own_stack.said)
    assert "agent_configs" in dump and len(said) > 10000 and "agents_loaded" in logs["responder.log"]
    for secret in (KEY, OTHER_KEY, PROVIDER_KEY, OLD_SECRET, NEW_SECRET):
        for name, text in {**logs, "dump": dump, "answers": said}.items():
            assert secret not in text, f"{secret} in {name}"
