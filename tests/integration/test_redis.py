"""Redis on bad days: whatever it does, people go on chatting and nobody waits for it longer than REDIS_COMMAND_TIMEOUT."""

import contextlib
import re
import socket
import threading
import time

import pytest

from chatting import Crowd, Visitor, check_error, check_healthy, crowd_of, new_stack, tokens
from conftest import finish
from faults import in_threads
from stack import wait_for

TIMEOUT_S = 0.2
# What an answer may take besides that, on a machine that does other things too: the sanitizers are in it.
SLACK_S = 0.6


@pytest.fixture(scope="module")
def own_stack():
    stack = new_stack(REDIS_COMMAND_TIMEOUT=int(TIMEOUT_S * 1000))
    stack.start()
    stack.wait_until_ready()
    yield stack
    finish(stack)


@pytest.fixture
def whole(own_stack, request):
    """The stack, with Redis as it should be before and after."""
    request.node.stacks = [own_stack]
    yield own_stack
    own_stack.redis("resume")
    own_stack.redis("start")
    with contextlib.suppress(AssertionError):
        own_stack.redis_cli("config", "set", "requirepass", "")
    counted_together(own_stack)


def events(stack, *names):
    return [(entry["slot"], entry["event"]) for entry in stack.logs() if entry.get("event") in names]


def counted_together(stack, seconds=8):
    """Both responders count in Redis: by its clock all of them know the same count."""
    def together():
        before = remaining(stack)
        return all(remaining(stack) < before - i for i in range(8))
    wait_for(together, seconds, "both responders to count in Redis again")


def remaining(stack):
    return int(stack.get("/api/agents").header("X-RateLimit-Remaining"))


class Asking:
    """People who chat and look at things the whole time, in threads; none may be refused, or wait for Redis longer than it has."""

    def __init__(self, stack, n=6):
        self.stack, self.over, self.answers, self.failures = stack, threading.Event(), [], []
        self.threads = [threading.Thread(target=self._ask, args=(i,)) for i in range(n)]

    def _ask(self, i):
        visitor = Visitor(self.stack)
        while not self.over.is_set():
            try:
                answer = visitor.ask("quick", chatId="mine") if i % 2 else self.stack.get("/api/agents")
                self.answers.append((answer.status, answer.took, int(answer.header("X-LLMChat-Overhead-Us")) / 1e6))
            except Exception as e:  # pylint: disable=broad-except # told at the end
                self.failures.append(e)
                return

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(60)
        if kind:
            return
        assert not self.failures, self.failures
        assert self.answers and {status for status, _, _ in self.answers} == {200}, self.answers
        assert max(took for _, took, _ in self.answers) < TIMEOUT_S + SLACK_S, max(self.answers, key=lambda a: a[1])


@contextlib.contextmanager
def neighbours(stack):
    """Streams that must not notice, and people who keep asking."""
    bodies = crowd_of(20, "long")
    with Crowd(stack, bodies) as crowd:
        crowd.begun()
        with Asking(stack):
            yield
        answers = crowd.join()
    check_healthy(answers, tokens(60))


# ---- bad days ----

def stopped(stack):
    stack.redis("stop")
    time.sleep(1)  # the fault itself, here and below
    stack.redis("start")


def restarted(stack):
    for _ in range(2):
        stack.redis("restart")
        time.sleep(0.3)


def paused(stack):
    stack.redis("pause")
    time.sleep(1.5)
    stack.redis("resume")


def slow(stack):
    for seconds in ("0.1", "0.3", "0.5"):
        stack.redis_cli("debug", "sleep", seconds)


def script_flushed(stack):
    for _ in range(5):
        stack.redis_cli("script", "flush")
        time.sleep(0.1)


def connection_reset(stack):
    for _ in range(5):
        stack.redis_cli("client", "kill", "type", "normal")
        time.sleep(0.2)


def evicting(stack):
    before = stack.redis_cli("config", "get", "maxmemory").splitlines()[1]
    stack.redis_cli("config", "set", "maxmemory", "2mb")
    stack.redis_cli("debug", "populate", "20000", "filler", "100")
    time.sleep(0.5)
    stack.redis_cli("config", "set", "maxmemory", before)
    stack.redis_cli("flushall")


def full_without_eviction(stack):
    stack.redis_cli("config", "set", "maxmemory-policy", "noeviction")
    stack.redis_cli("config", "set", "maxmemory", "1")
    time.sleep(1)
    stack.redis_cli("config", "set", "maxmemory", "64mb")
    stack.redis_cli("config", "set", "maxmemory-policy", "allkeys-lru")


def refusing_writes(stack):
    """MISCONF: it could not save, and is set to refuse then."""
    stack.redis_cli("config", "set", "stop-writes-on-bgsave-error", "yes")
    directory = stack.dir / "redis"
    directory.chmod(0o500)
    stack.redis_cli("bgsave")
    wait_for(lambda: "rdb_last_bgsave_status:err" in stack.redis_cli("info", "persistence"), 5, "the failure to save")
    time.sleep(1)
    directory.chmod(0o700)
    stack.redis_cli("config", "set", "stop-writes-on-bgsave-error", "no")


def replica(stack):
    stack.redis_cli("replicaof", "127.0.0.1", "1")
    time.sleep(0.8)
    stack.redis_cli("replicaof", "no", "one")


def another_password(stack):
    stack.redis_cli("config", "set", "requirepass", "nobody told you")
    stack.redis_cli("--no-auth-warning", "-a", "nobody told you", "client", "kill", "type", "normal")
    time.sleep(1)
    stack.redis_cli("--no-auth-warning", "-a", "nobody told you", "config", "set", "requirepass", "")


@pytest.mark.parametrize("fault", [stopped, restarted, paused, slow, script_flushed, connection_reset, evicting, full_without_eviction,
                                   refusing_writes, replica, another_password], ids=lambda fault: fault.__name__)
def test_chat_goes_on_and_redis_is_used_again(whole, fault):
    counted_together(whole)
    pids = whole.responders()
    with neighbours(whole):
        fault(whole)
    counted_together(whole)
    assert whole.responders() == pids


def test_each_change_is_one_line_of_the_log(whole):
    counted_together(whole)
    words = ("redis_unreachable", "redis_ready", "rate_limit_degraded", "rate_limit_shared")
    before = len(events(whole, *words))
    whole.redis("stop")
    wait_for(lambda: in_threads(8, lambda _: whole.get("/api/agents").status) and
             len([e for e in events(whole, *words)[before:] if e[1] == "rate_limit_degraded"]) == 2, 8, "both to count alone")
    time.sleep(1)  # several attempts to connect
    in_threads(8, lambda _: whole.get("/api/agents").status)
    whole.redis("start")
    counted_together(whole)
    for slot in (1, 2):
        assert [event for number, event in events(whole, *words)[before:] if number == slot] == [
            "redis_unreachable", "rate_limit_degraded", "redis_ready", "rate_limit_shared"]


def test_a_paused_redis_is_noticed_once_and_not_by_every_request(whole):
    counted_together(whole)
    whole.redis("pause")
    try:
        first = in_threads(6, lambda _: whole.get("/api/agents"))
        later = [whole.get("/api/agents") for _ in range(20)]
    finally:
        whole.redis("resume")
    assert {answer.status for answer in first + later} == {200}
    assert max(int(answer.header("X-LLMChat-Overhead-Us")) for answer in first) < (TIMEOUT_S + SLACK_S) * 1e6
    assert sorted(int(answer.header("X-LLMChat-Overhead-Us")) for answer in later)[15] < TIMEOUT_S * 1e6 / 2


# ---- other stacks ----

def test_without_redis_one_line_says_so_and_limits_hold(make_stack):
    stack = make_stack(REDIS_HOST="", CHAT_ANONYMOUS="true", RATE_LIMIT_POINTS=10)
    assert stack.get("/health/ready").status == 200
    assert sorted(events(stack, "redis_off", "redis_unreachable")) == [(1, "redis_off"), (2, "redis_off")]
    statuses = in_threads(50, lambda _: stack.get("/api/agents").status)
    assert statuses.count(200) <= 10 and set(statuses) == {200, 429}
    assert "redis         not ours" in stack.run("status", check=False).stdout


def test_a_wrong_password_and_then_the_right_one(make_stack):
    stack = make_stack(REDIS_PASSWORD="the old one", CHAT_ANONYMOUS="true")
    assert stack.get("/api/agents").status == 200
    assert {entry["why"] for entry in stack.logs("redis_unreachable")} == {"AUTH was refused: ERR"}
    stack.redis_cli("config", "set", "requirepass", "the old one")
    wait_for(lambda: len(events(stack, "redis_ready")) == 2, 8, "both responders to be let in")
    assert "the old one" not in stack.raw_log()


class Nonsense:
    """A server on a port that answers everybody with the same bytes."""

    def __init__(self, says):
        self.says, self.listening = says, socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.n = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            self.n += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with contextlib.suppress(OSError), connection:
            while connection.recv(4096):
                connection.sendall(self.says)

    def close(self):
        self.listening.close()


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n" * 64, b"*2147483647\r\n", b"$5\r\nhel", b"\x00\xff" * 2000,
                                  b"+OK\r\n+PONG\r\n"],
                         ids=["http", "ok", "array", "half", "bytes", "greets"])
def test_a_server_that_answers_nonsense(make_stack, says):
    server = Nonsense(says)
    try:
        stack = make_stack(REDIS_HOST="localhost", REDIS_PORT=server.port, REDIS_COMMAND_TIMEOUT=100, CHAT_ANONYMOUS="true")
        pids = stack.responders()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            answer = stack.get("/api/agents")
            assert answer.status == 200 and answer.took < 0.1 + SLACK_S
        assert server.n >= 2 and stack.responders() == pids
    finally:
        server.close()


# ---- limits ----

@pytest.fixture(scope="module")
def limited_stack():
    stack = new_stack(RESPONDERS=3, RATE_LIMIT_POINTS=40, RATE_LIMIT_MAX_REQUESTS=60, RATE_LIMIT_DURATION=30, RATE_LIMIT_BLOCK_DURATION=90,
                      RATE_LIMIT_WINDOW_MS=45000, ADMIN_USERNAME="root", ADMIN_PASSWORD="nobody guesses this")
    stack.start()
    stack.wait_until_ready()
    yield stack
    finish(stack)


@pytest.fixture
def limited(limited_stack, request):
    request.node.stacks = [limited_stack]
    limited_stack.redis_cli("flushall")
    yield limited_stack


def test_of_a_burst_of_five_times_the_limit_exactly_the_limit_passes(limited):
    answers = in_threads(200, lambda _: limited.get("/api/agents"))
    assert sorted(answer.status for answer in answers) == [200] * 40 + [429] * 160
    assert sorted(int(answer.header("X-RateLimit-Remaining")) for answer in answers if answer.status == 200) == list(range(40))
    for answer in answers:
        if answer.status == 429:
            body = check_error(answer, 429, "RATE_LIMIT_EXCEEDED")
            assert body["retryAfter"] == int(answer.header("Retry-After")) == int(answer.header("X-RateLimit-Reset"))
            # The identity is blocked for longer than the address's window lasts.
            assert (answer.header("X-RateLimit-Limit"), body["retryAfter"] > 45) in (("40", True), ("60", False))


def test_keys_are_ours_and_expire(limited):
    limited.get("/api/agents")
    keys = limited.redis_cli("keys", "*").split()
    assert sorted(keys) == ["llmchat:limit:address:127.0.0.1", "llmchat:limit:identity:127.0.0.1"]
    assert all(0 < int(limited.redis_cli("pttl", key)) <= 45000 for key in keys)


def test_every_address_has_its_own_and_headers_forge_none(limited):
    forged = {"X-Forwarded-For": "10.9.8.7", "X-Real-IP": "10.9.8.7", "Forwarded": "for=10.9.8.7", "True-Client-IP": "10.9.8.7"}
    statuses = in_threads(60, lambda i: limited.get("/api/agents", headers={**forged, "X-Forwarded-For": f"10.9.8.{i}"}).status)
    assert statuses.count(200) == 40
    other = limited.get("/api/agents", source="127.0.0.2")
    assert other.status == 200 and other.header("X-RateLimit-Remaining") == "39"
    assert "10.9.8" not in limited.redis_cli("keys", "*")


def test_health_is_never_limited(limited):
    assert set(in_threads(200, lambda _: limited.get("/api/agents").status)) == {200, 429}
    for path in ("/health", "/health/ready"):
        answers = in_threads(80, lambda _, path=path: limited.get(path))
        assert {answer.status for answer in answers} == {200}
        assert all(answer.header("X-RateLimit-Limit") is None for answer in answers)


def test_a_user_counts_for_himself_wherever_he_is(limited):
    login = limited.post("/api/auth/login", json={"username": "root", "password": "nobody guesses this"}).data
    statuses = in_threads(60, lambda i: limited.get("/api/auth/profile", token=login["token"], source=f"127.0.1.{i % 6 + 1}").status)
    assert statuses.count(200) == 40 and statuses.count(429) == 20
    # Nobody else at his addresses pays for it.
    assert limited.get("/api/agents", source="127.0.1.1").status == 200
    # A key counts for itself.
    limited.redis_cli("flushall")
    key = limited.post("/api/auth/keys", json={"name": "one"}, token=login["token"]).data["key"]
    assert limited.get("/api/auth/profile", token=key).header("X-RateLimit-Remaining") == "39"


def test_tokens_that_are_none_count_by_address_and_ask_nobody(limited):
    statuses = in_threads(150, lambda _: limited.get("/api/auth/profile", token="sk-" + "x" * 48).status)
    assert statuses.count(401) == 60 and statuses.count(429) == 90
    answer = limited.get("/api/auth/profile", token="whoever")
    check_error(answer, 429, "RATE_LIMIT_EXCEEDED")
    assert answer.header("X-RateLimit-Limit") == "60"


def test_streams_login_and_unknown_routes_count_too(limited):
    with limited.stream("POST", "/api/chat/completions", json={"agentId": "quick", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}) as stream:
        assert stream.status == 200 and stream.header("X-RateLimit-Remaining") == "39"
        assert [event.event for event in stream][-1] == "end"
    assert limited.post("/api/auth/login", json={"username": "nobody", "password": "wrong"}).header("X-RateLimit-Remaining") == "38"
    assert limited.get("/api/no/such/thing").header("X-RateLimit-Remaining") == "37"
    assert limited.http("OPTIONS", "/api/agents").header("X-RateLimit-Remaining") is None


def test_without_redis_the_responders_share_the_limit(limited):
    limited.redis("stop")
    try:
        wait_for(lambda: len({entry["slot"] for entry in limited.logs("redis_unreachable")}) == 3, 5, "all responders to notice")
        statuses = in_threads(200, lambda _: limited.get("/api/agents").status)
        # Each its share; nginx need not have asked them all equally often.
        assert 13 <= statuses.count(200) <= 40
    finally:
        limited.redis("start")
    wait_for(lambda: re.search("llmchat-1(?s:.)*llmchat-2", "\n".join(sorted(limited.redis_cli("client", "list").split()))), 8, "the responders to return")


# ---- health ----

def details(stack, status, word, seconds=6):
    """What /health/detailed says once every responder says this word."""
    def agreed():
        answers = [stack.get("/health/detailed") for _ in range(6)]
        return answers[0].json() if {(answer.status, answer.json()["status"]) for answer in answers} == {(status, word)} else None
    return wait_for(agreed, seconds, f"/health/detailed to say {status} {word}")


def test_health_tells_of_redis_and_postgresql(whole):
    ok = details(whole, 200, "ok")
    assert ok["components"]["redis"]["status"] == "ok" and ok["components"]["redis"]["latencyMs"] > 0
    assert ok["components"]["pool"] == {"responders": 2, "draining": 0, "inFlight": 1, "liveStreams": 0}
    assert ok["components"]["database"]["max"] == 48 and ok["memory"]["rss"] > 1 << 20 and ok["uptime"] > 0 and ok["timestamp"].endswith("Z")
    with Crowd(whole, crowd_of(4, "long")) as crowd:
        crowd.begun()
        wait_for(lambda: whole.get("/health/detailed").json()["components"]["pool"]["liveStreams"] == 4, 3, "both responders' streams to be counted")
        crowd.join()
    whole.redis("stop")
    assert details(whole, 200, "degraded")["components"]["redis"]["status"] == "unavailable"
    whole.redis("start")
    details(whole, 200, "ok")
    whole.redis_cli("config", "set", "maxmemory-policy", "noeviction")
    whole.redis_cli("config", "set", "maxmemory", "1")
    in_threads(8, lambda _: whole.get("/api/agents"))
    assert details(whole, 200, "degraded")["components"]["redis"]["status"] in ("refuses", "unavailable")
    whole.redis_cli("config", "set", "maxmemory", "64mb")
    whole.redis_cli("config", "set", "maxmemory-policy", "allkeys-lru")
    counted_together(whole)
    details(whole, 200, "ok")
    whole.pg("stop")
    try:
        assert details(whole, 503, "unavailable")["components"]["database"]["status"] == "unavailable"
    finally:
        whole.pg("start")
    details(whole, 200, "ok")
