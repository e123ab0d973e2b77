"""What the tests of chat share: agents that script the stand-in provider, visitors, rows, and crowds of streams.

An agent's model is a script (sim/README.md); the agents get short timeouts, so that no test waits for a long one.
"""

import asyncio
import contextlib
import functools
import http.cookies
import itertools
import json
import os
import select
import socket
import threading
import time
import uuid

import pytest

from stack import Event, Stack, wait_for

# What the agents send to the provider. It must never be seen anywhere else, and no part of it is a word.
PROVIDER_KEY = "sk-2Qv8Zt6Yw4Xb0Nc9Md7Le5"

SYSTEM_PROMPT = "You are a lighthouse. 你是灯塔。"

# id: (model, fields of the agent)
AGENTS = {
    "spaced": ("sim-n20-d50", {}),
    "quick": ("sim-n5-d0", {}),
    "long": ("sim-n60-d50", {}),
    "crowd": ("sim-n15-d200", {}),
    "zh": ("sim-zh-n20-d5-bytes", {}),
    "emoji": ("sim-emoji-n16-d5-bytes", {}),
    "echo": ("sim-echo-d0", {}),
    "huge": ("sim-n64-d0-size65536", {}),
    "too-huge": ("sim-n200-d0-size65536", {}),
    "thinks": ("sim-reason3-n5-d5", {}),
    "no-usage": ("sim-n5-d0-nousage", {}),
    "null-choices": ("sim-n5-d0-nullchoices", {}),
    "length": ("sim-n5-d0-lenStop", {}),
    "nothing": ("sim-n0", {}),
    "prompted": ("sim-n2-d0", {"systemPrompt": SYSTEM_PROMPT, "temperature": 0, "maxTokens": 77}),
    "forgetful": ("sim-n2-d0", {"contextTokens": 0}),
    "no-key": ("sim-n2-d0", {"apiKey": None}),
    "inactive": ("sim-n2-d0", {"isActive": False}),
    "unset": ("sim-n2-d0", {"apiKey": "${SURELY_NOBODY_SETS_THIS}"}),
    "late": ("sim-first400-n5-d20", {}),
    "finish": ("sim-n20-d50", {"onDisconnect": "finish"}),
    "finish-late": ("sim-first600-n5-d10", {"onDisconnect": "finish"}),
    "cancel": ("sim-n400-d50", {"onDisconnect": "cancel"}),
    "cancel-late": ("sim-first9000-n5-d10", {"onDisconnect": "cancel"}),
    "err400": ("sim-err400", {}),
    "err401": ("sim-err401", {}),
    "err403": ("sim-err403", {}),
    "err404": ("sim-err404", {}),
    "err408": ("sim-err408", {}),
    "err429": ("sim-err429", {}),
    "err429-ra7": ("sim-err429-ra7", {}),
    "err500": ("sim-err500", {}),
    "err502": ("sim-err502", {}),
    "err503-ra3": ("sim-err503-ra3", {}),
    "err504": ("sim-err504", {}),
    "err529": ("sim-err529", {}),
    "hang": ("sim-hang", {"timeouts": {"headersMs": 600}}),
    "hang-longer": ("sim-hang", {"timeouts": {"headersMs": 4000}}),
    "silent": ("sim-stall0", {"timeouts": {"firstTokenMs": 600}}),
    "stall": ("sim-n20-d20-stall5", {"timeouts": {"idleMs": 600}}),
    "endless": ("sim-n10000-d20", {"timeouts": {"totalMs": 800}}),
    "cut": ("sim-n20-d20-cut5", {}),
    "cut0": ("sim-n20-d20-cut0", {}),
    "noend": ("sim-n5-d5-noend", {}),
    "nodone": ("sim-n5-d5-nodone", {}),
    "mid": ("sim-n20-d5-mid5", {}),
    "mid0": ("sim-n20-d5-mid0", {}),
    "garbage": ("sim-n20-d5-garbage5", {}),
    "garbage0": ("sim-n20-d5-garbage0", {}),
    "bad-utf8": ("sim-n20-d5-badutf5", {}),
    "bad-utf8-0": ("sim-n20-d5-badutf0", {}),
    "big-line": ("sim-n20-d5-bigline5", {}),
    "big-line0": ("sim-n20-d5-bigline0", {}),
    "html": ("sim-html", {}),
    "nul": ("sim-n5-d0-nul", {}),
    "unknown-model": ("sim-nonsense", {}),
    "refused": ("sim", {"endpoint": "http://127.0.0.1:1/v1/chat/completions"}),
    "no-host": ("sim", {"endpoint": "http://no-such-host.invalid/v1/chat/completions"}),
    "full": ("sim", {"endpoint": "http://127.0.0.1:${TEST_FULL_PORT}/v1/chat/completions", "timeouts": {"connectMs": 600}}),
}


@functools.cache
def full_port():
    """A port where nobody ever accepts, and whose queue is full: the kernel leaves further callers without an answer."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    callers = [listening]
    hanging = False
    while not hanging:
        caller = socket.socket()
        caller.setblocking(False)
        caller.connect_ex(listening.getsockname())
        callers.append(caller)
        hanging = not select.select([], [caller], [], 0.3)[1]
    full_port.kept = callers  # open for as long as we run
    return listening.getsockname()[1]


def tokens(n, first=0):
    """The English text of the stand-in provider."""
    return "".join(f"tok{i} " for i in range(first, n))


def write_agents(stack, described=None):
    """The agents' file of a stack that has been initialised; returns its path. described: as AGENTS, which is the default."""
    agents = []
    for name, (model, fields) in (described or AGENTS).items():
        agent = {"id": name, "name": f"Test: {name}", "provider": "custom", "model": model, "apiKey": "${TEST_PROVIDER_KEY}",
                 "endpoint": "${PROVIDER_SIM_URL}/chat/completions", "capabilities": ["text", "streaming"], **fields}
        agents.append({key: value for key, value in agent.items() if value is not None})
    path = stack.dir / "test-agents.json"
    path.write_text(json.dumps({"agents": agents}, ensure_ascii=False, indent=1), encoding="utf-8")
    os.chmod(path, 0o644)
    return path


def chat_settings(stack, agents=None):
    # A limit that "too-huge" reaches soon, and "huge" does not.
    return {"MAX_ANSWER_BYTES": 4_500_000, "CHAT_ANONYMOUS": "true", "AGENTS_CONFIG_PATH": write_agents(stack, agents),
            "TEST_PROVIDER_KEY": PROVIDER_KEY, "TEST_FULL_PORT": full_port()}


def new_stack(agents=None, **env):
    """A stack with our agents, or others, not yet started."""
    stack = Stack()
    stack.env.update({name: str(value) for name, value in {**chat_settings(stack, agents), **env}.items()})
    return stack


@pytest.fixture
def chat(stack):
    """The shared stack, with our agents."""
    if "TEST_PROVIDER_KEY" not in stack.env:
        stack.start(**chat_settings(stack))
        stack.wait_until_ready()
    return stack


class Answer:
    """A stream that has been read: all events, or those that came before it broke."""

    def __init__(self, status, events):
        self.status, self.events = status, events

    def all(self, name):
        return [event for event in self.events if event.event == name]

    def one(self, name):
        found = self.all(name)
        assert len(found) == 1, (name, self.events)
        return found[0].data

    @property
    def names(self):
        """Names in order, repeated chunks once."""
        return [name for name, _ in itertools.groupby(event.event for event in self.events)]

    @property
    def text(self):
        return "".join(event.data["content"] for event in self.all("chunk"))

    @property
    def reason(self):
        """Of its end, or None if it has none."""
        return self.events[-1].data["finishReason"] if self.events and self.events[-1].event == "end" else None

    @property
    def gap(self):
        """The longest silence between two events."""
        times = [event.at for event in self.events]
        return max((later - earlier for earlier, later in zip(times, times[1:])), default=0.0)


def read(stream):
    assert stream.status == 200, (stream.status, stream.body)
    return Answer(stream.status, list(stream))


class Visitor:
    """Somebody with a cookie, who asks. Each answer gets an id of ours (responseChatItemId), kept in `asked`."""

    def __init__(self, stack):
        self.stack, self.cookies, self.asked = stack, {}, None

    def body(self, agent, question="Hello", **fields):
        self.asked = str(uuid.uuid4())
        body = {"agentId": agent, "messages": [{"role": "user", "content": question}], "responseChatItemId": self.asked, **fields}
        return {key: value for key, value in body.items() if value is not ...}

    def _keep(self, header):
        for line in header:
            jar = http.cookies.SimpleCookie(line)
            self.cookies.update({name: morsel.value for name, morsel in jar.items()})

    def ask(self, agent, question="Hello", headers=None, **fields):
        """A plain call and its answer."""
        answer = self.stack.post("/api/chat/completions", json=self.body(agent, question, **fields), cookies=self.cookies, headers=headers)
        self._keep(answer.all("Set-Cookie"))
        return answer

    def stream(self, agent, question="Hello", headers=None, **fields):
        """A streamed call, to be read."""
        stream = self.stack.stream("POST", "/api/chat/completions", json=self.body(agent, question, stream=True, **fields),
                                   cookies=self.cookies, headers=headers)
        self._keep(stream.response.headers.get_all("Set-Cookie", []))
        return stream

    def read(self, agent, question="Hello", **fields):
        return read(self.stream(agent, question, **fields))

    def get(self, path, **kwargs):
        return self.stack.get(path, cookies=self.cookies, **kwargs)

    def messages(self, chat_id, query=""):
        return self.get(f"/api/chat/sessions/{chat_id}/messages{query}")


def literal(text):
    """As SQL."""
    return "'" + text.replace("'", "''") + "'"


def _lock(stack, table, wait):
    thread = threading.Thread(target=stack.sql, args=(f"BEGIN; LOCK TABLE {table}; {wait}; COMMIT",), kwargs={"superuser": True})
    thread.start()
    wait_for(lambda: stack.sql_one(f"SELECT count(*) FROM pg_locks WHERE relation = {literal(table)}::regclass AND mode = 'AccessExclusiveLock' AND granted",
                                   superuser=True) == "1", 5, "the lock")
    return thread


def locked(stack, table, seconds):
    """A thread that keeps others from a table for a while; returns once it is locked."""
    return _lock(stack, table, f"SELECT pg_sleep({seconds})")


@contextlib.contextmanager
def locked_until_released(stack, table):
    """Others are kept from a table until what this gives is called, or the block is left; a minute at most."""
    released = stack.dir / "released"
    released.unlink(missing_ok=True)
    thread = _lock(stack, table, "DO $$ BEGIN FOR i IN 1..3000 LOOP"
                   f" EXIT WHEN (pg_stat_file({literal(str(released))}, true)).size IS NOT NULL; PERFORM pg_sleep(0.02); END LOOP; END $$")
    try:
        yield released.touch
    finally:
        released.touch()
        thread.join()


def rows(stack, query):
    """Rows as dicts."""
    return [json.loads(row[0]) for row in stack.sql(f"SELECT row_to_json(r) FROM ({query}) r") if row != [""]]


def answer_row(stack, client_id):
    """The row of the answer that was asked for with this responseChatItemId, or None."""
    found = rows(stack, f"SELECT * FROM chat_messages WHERE client_id = {literal(client_id)} AND role = 'assistant'")
    assert len(found) <= 1, found
    return found[0] if found else None


def ended_row(stack, client_id, seconds=5):
    """The same once it is no longer streaming."""
    def ended():
        row = answer_row(stack, client_id)
        return row if row and row["status"] != "streaming" else None
    return wait_for(ended, seconds, f"the ending of the answer {client_id}")


def check_error(answer, status, code, field=None):
    """The envelope of an error; returns it."""
    body = answer.json()
    assert (answer.status, body["code"]) == (status, code), answer
    assert body["message"].endswith(".") and "SELECT" not in body["message"] and PROVIDER_KEY not in str(body), body
    assert body["requestId"] == answer.header("X-Request-Id")
    assert body["timestamp"].endswith("Z")
    if field:
        assert body["details"] == {"field": field}, body
        assert field in body["message"], body
    return body


def leave_early(stack, body, after_seconds):
    """Asks and leaves before anything has come."""
    done = threading.Event()

    def ask():
        try:
            stack.post("/api/chat/completions", json=body, timeout=after_seconds)
        except socket.timeout:
            done.set()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert done.is_set(), "the answer came before the client could leave"


class Crowd:
    """Many streams at once, in a thread of their own: start one, do something meanwhile, join() for their Answers.

    asks: bodies of completions. An answer that broke off has no end (reason None); one that was refused has a status and `body`.
    """

    def __init__(self, stack, asks, path="/api/chat/completions"):
        self.port, self.asks, self.path = stack.port, asks, path
        self.answers = [Answer(None, []) for _ in asks]
        self.failure = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        async def everybody():
            await asyncio.gather(*(self._one(body, answer) for body, answer in zip(self.asks, self.answers)))
        try:
            asyncio.run(everybody())
        except Exception as e:  # pylint: disable=broad-except # told to whoever joins
            self.failure = e

    async def _one(self, ask, answer):
        """HTTP/1.0, so that the answer comes as it is and ends with the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        body = json.dumps({**ask, "stream": True}).encode()
        writer.write(b"POST %s HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                     % (self.path.encode(), len(body)) + body)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split()[1])
            if status != 200:
                answer.body = json.loads(await reader.read())
            answer.status = status
            while status == 200:
                block = (await reader.readuntil(b"\n\n")).decode("utf-8")
                fields = dict(line.split(": ", 1) for line in block.strip().split("\n") if not line.startswith(":"))
                if "data" in fields:
                    answer.events.append(Event(time.monotonic(), fields.get("id"), fields.get("event"), json.loads(fields["data"])))
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass
        finally:
            writer.close()

    def begun(self, seconds=10):
        """Waits until every one of them has had some text."""
        wait_for(lambda: all(answer.all("chunk") or answer.status not in (None, 200) for answer in self.answers), seconds, "every stream's first words")
        return self

    def join(self, seconds=60):
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "the crowd did not come to an end"
        if self.failure:
            raise self.failure
        return self.answers

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.thread.join(60)


def crowd_of(n, agent, **fields):
    """Bodies for a Crowd."""
    return [{"agentId": agent, "messages": [{"role": "user", "content": f"Question {i}"}], "responseChatItemId": str(uuid.uuid4()), **fields}
            for i in range(n)]


def check_healthy(answers, text, gap_seconds=1.0):
    """Complete, intact, no gap over a second."""
    for answer in answers:
        assert answer.status == 200, (answer.status, getattr(answer, "body", None))
        assert answer.reason == "stop", (answer.names, answer.reason)
        assert answer.text == text
        assert answer.gap < gap_seconds, answer.gap
