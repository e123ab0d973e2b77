"""Exports: three formats, of fifty thousand messages too, for readers who are slow or leave."""

import csv
import http.client
import io
import json
import re
import time
import uuid

import pytest

from chatting import check_error, literal, new_stack, rows
from conftest import finish
from people import User, new_session
from stack import wait_for

N = 50_000


@pytest.fixture(scope="module")
def module_stack():
    one = new_stack()
    one.start()
    yield one
    finish(one)


@pytest.fixture(name="stack")
def the_stack(module_stack, request):
    request.node.stacks = [module_stack]
    yield module_stack
    if module_stack.run("status", check=False).returncode != 0:
        module_stack.start()


@pytest.fixture(scope="module")
def user(module_stack):
    return User(module_stack)


@pytest.fixture(scope="module")
def long_session(module_stack, user):
    """Fifty thousand messages, of a kilobyte now and then."""
    made = new_session(user, chatId="long", title="Long")
    module_stack.sql(f"""INSERT INTO chat_messages (id, session_id, role, content, status, agent_id, created_at)
        SELECT lpad(to_hex(i), 32, '0')::uuid, '{made['id']}', CASE WHEN i % 2 = 1 THEN 'user' ELSE 'assistant' END, 'message ' || i || repeat(' and so on', i % 100),
        'complete', 'quick', now() - interval '1 day' + (i / 7) * interval '1 ms' FROM generate_series(1, {N}) i;
        UPDATE chat_sessions SET message_count = {N} WHERE id = '{made['id']}'; ANALYZE chat_messages""")
    return made


def export(user, chat_id, form, **kwargs):
    return user.get(f"/api/chat-sessions/{chat_id}/export?format={form}", timeout=120, **kwargs)


def content_of(i):
    return f"message {i}" + " and so on" * (i % 100)


def test_json_is_the_session_and_its_messages(user):
    user.ask("echo", 'a "line"\nand 另一行', chatId="j")
    answer = export(user, "j", "json")
    data = json.loads(answer.body)
    assert answer.status == 200 and answer.header("Content-Type") == "application/json; charset=utf-8"
    assert answer.header("Cache-Control") == "no-store"
    assert data["session"] == user.get("/api/chat-sessions/j").data and data["exportedAt"].endswith("Z")
    assert data["messages"] == user.messages("j").data
    assert user.get("/api/chat-sessions/j/export").json()["messages"] == data["messages"]  # it is what one gets
    own = user.get("/api/chat-sessions/j").data["id"]
    assert json.loads(export(user, own, "json").body)["messages"] == data["messages"]


def test_an_empty_session_is_exported_too(user):
    new_session(user, chatId="empty")
    assert json.loads(export(user, "empty", "json").body)["messages"] == []
    assert len(export(user, "empty", "csv").text.splitlines()) == 1
    assert export(user, "empty", "markdown").text.startswith("# \n\n- chatId: empty\n")


def test_no_cell_runs_as_a_formula(user, stack):
    made = new_session(user, chatId="formulas")
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", '"=1"', "a,b", 'say "hi"', "two\nlines", " =1", "x=1", "", "终"]
    values = ", ".join(f"('{uuid.UUID(int=i + 10 ** 9)}', '{made['id']}', 'user', E{literal(text)}, 'complete', now() + {i} * interval '1 ms')" for i, text in enumerate(texts))
    stack.sql("INSERT INTO chat_messages (id, session_id, role, content, status, created_at) VALUES "
              + values.replace("\t", "\\t").replace("\r", "\\r").replace("\n", "\\n"))
    body = export(user, "formulas", "csv").body
    assert body.startswith(b"\xef\xbb\xbfid,") and body.endswith(b"\r\n")
    table = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")))
    column = table[0].index("content")
    read = [line[column] for line in table[1:]]
    assert read == ["'" + text if text[:1] in tuple("=+-@\t\r\n＝") and text else text for text in texts]
    assert {len(line) for line in table} == {13}


def test_markdown_reads_as_a_conversation(user):
    user.ask("echo", "# not a title", chatId="m")
    user.http("PATCH", "/api/chat-sessions/m/title", json={"title": "My talk"})
    text = export(user, "m", "markdown").text
    assert re.fullmatch(r"# My talk\n\n- chatId: m\n- agent: echo\n- exported: \S+Z\n\n## User · \S+Z\n\n# not a title\n\n## Assistant · \S+Z\n\n# not a title\n\n", text), text


@pytest.mark.parametrize("title,name", [
    ("Plain", "Plain"), ("天气", "%E5%A4%A9%E6%B0%94"), ("../../etc/passwd", "etcpasswd"), ('a"; filename="x.exe', "a%20filename%3Dx.exe"),
    ("\u202egpj.exe", "gpj.exe"), ("字" * 200, "%E5%AD%97" * 60), ("CON: <aux>|?*", "CON%20aux")])
def test_the_files_name_is_safe(user, title, name):
    made = new_session(user, title=title)
    for form, ending in (("json", "json"), ("csv", "csv"), ("markdown", "md")):
        header = export(user, made["id"], form).header("Content-Disposition")
        assert header == f"attachment; filename=\"llmchat-{made['id'][:8]}.{ending}\"; filename*=UTF-8''{name}.{ending}"


def test_refuses_what_cannot_be_exported(user, stack):
    new_session(user, chatId="x")
    for form in ("pdf", "", "CSV", "%00", "json%0d%0aX:1"):
        check_error(export(user, "x", form), 400, "VALIDATION_ERROR", "format")
    check_error(export(user, "nobody", "csv"), 404, "SESSION_NOT_FOUND")
    check_error(export(User(stack), "x", "csv"), 404, "SESSION_NOT_FOUND")
    admin = User(stack, "--admin")
    check_error(export(admin, "x", "csv"), 404, "SESSION_NOT_FOUND")
    assert admin.get(f"/api/chat-sessions/x/export?format=csv&userId={user.id}").status == 200
    assert rows(stack, f"SELECT details FROM audit_log WHERE actor_id = '{admin.id}'")[-1]["details"] == {"route": "/api/chat-sessions/:id/export", "session": "x"}


def memory(stack, word, reset=False):
    """Of all responders, in kilobytes: VmRSS now, VmHWM at most since the last reset. AddressSanitizer keeps what was freed: then there is no telling, 0."""
    total = 0
    for pid in stack.responders().values():
        with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
            if "libasan" in f.read():
                return 0
        if reset:
            with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as f:
                f.write("5")
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            total += int(re.search(word + r":\s+(\d+)", f.read()).group(1))
    return total


@pytest.mark.parametrize("form", ["json", "csv", "markdown"])
def test_fifty_thousand_messages_come_whole_and_in_order(stack, user, long_session, form):
    before = memory(stack, "VmRSS", reset=True)
    answer = export(user, "long", form)
    assert memory(stack, "VmHWM") - before < 8_000  # of 25 MB
    if form == "json":
        read = [m["content"] for m in json.loads(answer.body)["messages"]]
    elif form == "csv":
        read = [line[4] for line in csv.reader(io.StringIO(answer.body.decode("utf-8-sig"), newline=""))][1:]
    else:
        read = re.findall(r"\n## (?:User|Assistant) · \S+\n\n(.*)\n", answer.text)
    assert read == [content_of(i) for i in range(1, N + 1)]


def begin(stack, user, path):
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)
    connection.request("GET", path, headers={"Authorization": f"Bearer {user.token}"})
    return connection, connection.getresponse()


def test_a_reader_who_leaves_in_the_middle_costs_nothing_more(stack, user, long_session):
    for _ in range(5):
        connection, answer = begin(stack, user, "/api/chat-sessions/long/export?format=json")
        assert answer.status == 200 and len(answer.read(100_000)) == 100_000
        connection.close()
        answer.close()
    wait_for(lambda: len(stack.logs("client_left")) >= 5, 20, "the responders to see that he left")
    assert len(json.loads(export(user, "long", "json").body)["messages"]) == N


def test_a_slow_reader_holds_up_nobody(stack, user, long_session):
    connection, answer = begin(stack, user, "/api/chat-sessions/long/export?format=csv")
    body = answer.read(50_000)
    for _ in range(20):
        began = time.monotonic()
        assert user.get("/api/chat-sessions").status == 200
        assert time.monotonic() - began < 2
    body += answer.read()
    connection.close()
    assert body.count(b"\r\n") == N + 1


def test_half_a_file_does_not_look_like_a_whole_one(stack, user, long_session):
    connection, answer = begin(stack, user, "/api/chat-sessions/long/export?format=csv")
    answer.read(20_000)
    stack.pg("stop")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()
    connection.close()
    stack.pg("start")
    stack.wait_until_ready()
    assert stack.logs("answer_broken_off")[-1]["code"] == "DB_UNAVAILABLE"
