"""The cache: it is used, what it says is true whatever changes and whatever Redis does, and garbage in it is nobody's trouble."""

import contextlib
import json
import subprocess
import threading
import time

import pytest

from accounts import ask, within_a_second
from chatting import new_stack
from conftest import finish
from faults import in_threads
from people import User, new_session
from stack import wait_for
from test_redis import another_password, connection_reset, evicting, full_without_eviction, paused, refusing_writes, restarted, script_flushed, slow, stopped

TIMEOUT_S = 0.2
SLACK_S = 0.6
SLOTS = (1, 2)
PASSWORD = "nobody told you"


@pytest.fixture(scope="module")
def own_stack():
    stack = new_stack(REDIS_COMMAND_TIMEOUT=int(TIMEOUT_S * 1000))
    stack.start()
    stack.wait_until_ready()
    yield stack
    finish(stack)


@pytest.fixture
def stack(own_stack, request):
    request.node.stacks = [own_stack]
    settled(own_stack)
    yield own_stack
    own_stack.redis("resume")
    own_stack.redis("start")
    for command in (("config", "set", "requirepass", ""), ("config", "set", "maxmemory", "64mb"), ("config", "set", "maxmemory-policy", "allkeys-lru")):
        with contextlib.suppress(AssertionError, subprocess.SubprocessError):
            own_stack.redis_cli("--no-auth-warning", "-a", PASSWORD, *command)


@pytest.fixture
def user(stack):
    return User(stack)


@pytest.fixture
def admin(stack):
    return User(stack, "--admin")


def counts(stack, kind):
    """(hits, misses) of both responders: each tells its counts when it is asked."""
    ask(stack, 2, "GET", "/health/detailed")
    cache = ask(stack, 1, "GET", "/health/detailed").json()["components"]["cache"]
    assert cache["hits"] == sum(cache[one]["hits"] for one in ("agents", "sessions", "users"))
    return cache[kind]["hits"], cache[kind]["misses"]


@contextlib.contextmanager
def counted(stack, kind, hits, misses):
    before = counts(stack, kind)
    yield
    after = counts(stack, kind)
    assert (after[0] - before[0], after[1] - before[1]) == (hits, misses), kind


def settled(stack):
    """Both responders use Redis, and no change is still on its way to them."""
    user = User(stack)

    def used():
        asked(stack, 1, user, "/api/auth/profile")
        before = counts(stack, "users")[0]
        asked(stack, 2, user, "/api/auth/profile")
        return counts(stack, "users")[0] > before
    wait_for(used, 10, "the second responder to find in Redis what the first one has asked for")


def asked(stack, slot, user, path):
    answer = ask(stack, slot, "GET", path, token=user.token)
    assert answer.status == 200, (slot, path, answer.status, answer.body)
    return answer.data


def session_of(stack, user, chat_id):
    """What both responders say."""
    said = [asked(stack, slot, user, f"/api/chat-sessions/{chat_id}") for slot in SLOTS]
    assert said[0] == said[1]
    return said[0]


def key_of(user, chat_id):
    return f"llmchat:session:{user.id}:{chat_id}"


def exists(stack, key):
    return stack.redis_cli("exists", key).strip() == "1"


# ---- it is used ----

def test_what_one_responder_has_asked_for_the_other_finds(stack, user):
    chat_id = new_session(user, chatId="mine")["chatId"]
    for kind, path, pattern, ttl in (("sessions", f"/api/chat-sessions/{chat_id}", f"{key_of(user, chat_id)}", 600),
                                     ("users", "/api/auth/profile", f"llmchat:user:{user.id}", 900),
                                     ("agents", "/api/agents?capability=streaming", "llmchat:agents:list:*::streaming", 300)):
        stack.redis_cli("flushall")
        with counted(stack, kind, 2, 1):
            first = asked(stack, 1, user, path)
            wait_for(lambda pattern=pattern: stack.redis_cli("keys", pattern).split(), 3, f"{pattern} to be in Redis")
            assert asked(stack, 2, user, path) == first and asked(stack, 1, user, path) == first
        [key] = stack.redis_cli("keys", pattern).split()
        assert 0 < int(stack.redis_cli("pttl", key)) <= ttl * 1000
        assert not [k for k in stack.redis_cli("keys", "*").split() if k.startswith("llmchat:lock:")]
    assert stack.get(f"/api/chat/history/{chat_id}", token=user.token).data["chatId"] == chat_id


def test_agents_are_written_once_and_then_copied(stack, user):
    agents = [asked(stack, slot, user, "/api/agents") for slot in SLOTS]
    stack.redis("pause")
    try:
        with counted(stack, "agents", 20, 0):
            answers = [ask(stack, 1, "GET", "/api/agents", token=user.token) for _ in range(20)]
    finally:
        stack.redis("resume")
    assert all(answer.data == agents[0] == agents[1] for answer in answers)
    metadata = answers[0].json()["metadata"]["pagination"]
    assert metadata == {"page": 1, "pageSize": len(agents[0]), "total": len(agents[0]), "totalPages": 1}
    # Filters are answers of their own; those that nothing fits, or that are no names, leave nothing behind.
    assert asked(stack, 1, user, "/api/agents?provider=custom&capability=text") == agents[0] == asked(stack, 1, user, "/api/agents?provider=custom")
    for _ in range(2):
        assert asked(stack, 1, user, "/api/agents?provider=nobody") == [] == asked(stack, 1, user, "/api/agents?capability=%0Aa%00b")
    assert not stack.redis_cli("keys", "*nobody*").split()


def test_what_administrators_see_is_never_kept(stack, admin, user):
    keys = set(stack.redis_cli("keys", "llmchat:agents:*").split())
    whole = asked(stack, 1, admin, "/api/agents")
    assert "endpoint" in whole[0]
    assert "endpoint" not in asked(stack, 1, user, "/api/agents")[0]
    assert "endpoint" in asked(stack, 1, admin, "/api/agents")[0]
    for key in set(stack.redis_cli("keys", "llmchat:agents:*").split()) - keys:
        assert "endpoint" not in stack.redis_cli("get", key)


def test_ten_who_ask_for_the_same_are_one_who_loads_it(stack, user):
    with counted(stack, "users", 9, 1), subprocess.Popen([*psql(stack), "-c", "BEGIN; LOCK TABLE users; SELECT pg_sleep(0.8); COMMIT"], stdout=subprocess.DEVNULL) as locking:
        wait_for(lambda: stack.sql_one("SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE c.relname = 'users'"
                                       " AND l.mode = 'AccessExclusiveLock' AND l.granted", superuser=True) == "1", 5, "the table to be locked")
        # A login that the responder knows already: this is about the profile alone.
        said = in_threads(10, lambda _: asked(stack, 1, user, "/api/auth/profile"))
        locking.wait(10)
    assert all(one == said[0] and one["id"] == user.id for one in said)


def psql(stack):
    return ["env", f"PGPASSWORD={stack.setting('DB_PASSWORD')}", "psql", "-XqAt", "-h", stack.setting("DB_HOST"), "-U", "llmchat", "llmchat"]


def test_somebody_who_is_not_there_is_asked_for_once(stack, admin):
    nobody = "00000000-0000-7000-8000-000000000000"
    for slot, expected in ((1, (0, 1)), (1, (1, 0)), (2, (1, 0))):
        with counted(stack, "users", *expected):
            answer = ask(stack, slot, "GET", f"/api/admin/users/{nobody}", token=admin.token)
        assert (answer.status, answer.code) == (404, "USER_NOT_FOUND")
        time.sleep(0.05)  # it is left there after the answer
    assert 0 < int(stack.redis_cli("pttl", f"llmchat:user:{nobody}")) <= 30000
    # A session that is not there may be there at any moment.
    assert [admin.get("/api/chat-sessions/soon").status for _ in range(4)] == [404] * 4
    new_session(admin, chatId="soon")
    assert session_of(stack, admin, "soon")["chatId"] == "soon"


# ---- what it says is true ----

def test_who_has_changed_something_sees_it_wherever_he_asks(stack, user):
    chat_id = new_session(user, chatId="busy")["chatId"]
    for i in range(12):
        n = session_of(stack, user, chat_id)["messageCount"]
        slot, other = SLOTS[i % 2], SLOTS[1 - i % 2]
        title = f"title {i}"
        assert ask(stack, slot, "PATCH", f"/api/chat-sessions/{chat_id}/title", {"title": title}, token=user.token).status == 200
        assert asked(stack, other, user, f"/api/chat-sessions/{chat_id}")["title"] == title
        turn = ask(stack, slot, "POST", "/api/chat/completions", {"agentId": "quick", "chatId": chat_id, "messages": [{"role": "user", "content": "Hi"}]},
                   token=user.token)
        assert turn.status == 200
        assert asked(stack, other, user, f"/api/chat-sessions/{chat_id}")["messageCount"] == n + 2
        assert asked(stack, other, user, f"/api/chat/history/{chat_id}")["messageCount"] == n + 2
        for verb, status in (("archive", "archived"), ("restore", "active")):
            assert ask(stack, slot, "POST", f"/api/chat-sessions/{chat_id}/{verb}", token=user.token).status == 200
            assert asked(stack, other, user, f"/api/chat-sessions/{chat_id}")["status"] == status
    old = session_of(stack, user, chat_id)
    assert ask(stack, 1, "DELETE", f"/api/chat-sessions/{chat_id}", token=user.token).status == 200
    assert [ask(stack, slot, "GET", f"/api/chat-sessions/{chat_id}", token=user.token).status for slot in SLOTS] == [404, 404]
    assert user.ask("quick", chatId=chat_id).status == 200
    assert session_of(stack, user, chat_id)["id"] != old["id"]


def test_many_changed_at_once_are_all_dropped(stack, user):
    ids = [new_session(user, chatId=f"one-of-many-{i}")["chatId"] for i in range(45)]
    for chat_id in ids:
        session_of(stack, user, chat_id)
    assert ask(stack, 1, "POST", "/api/chat-sessions/batch", {"operation": "archive", "ids": ids}, token=user.token).status == 200
    assert {asked(stack, 2, user, f"/api/chat-sessions/{chat_id}")["status"] for chat_id in ids} == {"archived"}


def test_a_session_is_its_owners_under_every_name(stack, user, admin):
    session = new_session(user, chatId="named", title="first")
    other = User(stack)
    paths = [f"/api/chat-sessions/{name}" for name in ("named", session["id"], session["id"].upper())]
    for _ in range(2):
        for path in paths:
            assert [asked(stack, slot, user, path)["id"] for slot in SLOTS] == [session["id"]] * 2
            assert [ask(stack, slot, "GET", path, token=other.token).status for slot in SLOTS] == [404] * 2
            assert admin.get(f"{path}?userId={user.id.upper()}").data["id"] == session["id"]
    assert user.http("PATCH", "/api/chat-sessions/named/title", json={"title": "second"}).status == 200
    assert {asked(stack, slot, user, path)["title"] for path in paths for slot in SLOTS} == {"second"}
    assert {admin.get(f"{path}?userId={user.id.upper()}").data["title"] for path in paths} == {"second"}
    # A key for another agent does not see it, however warm the cache is.
    key = user.key("spaced")
    assert [ask(stack, slot, "GET", "/api/chat-sessions/named", token=key).status for slot in SLOTS] == [404] * 2


def test_users_see_what_they_changed_and_others_within_a_second(stack, user, admin):
    for i in range(6):
        slot, other = SLOTS[i % 2], SLOTS[1 - i % 2]
        email = f"{user.name}-{i}@example.org"
        assert ask(stack, slot, "PATCH", "/api/auth/profile", {"email": email}, token=user.token).status == 200
        assert asked(stack, other, user, "/api/auth/profile")["email"] == email == asked(stack, slot, user, "/api/auth/profile")["email"]
        name = f"{user.name}-{i}"
        assert ask(stack, slot, "PUT", f"/api/admin/users/{user.id.upper()}", {"username": name}, token=admin.token).status == 200
        assert asked(stack, other, admin, f"/api/admin/users/{user.id}")["username"] == name == asked(stack, slot, user, "/api/auth/profile")["username"]
    by_hand = f"{user.name}@example.com"
    for change, field, value in ((f"email = '{by_hand}'", "email", by_hand), (f"username = '{user.name}-by-hand'", "username", f"{user.name}-by-hand"),
                                 ("role = 'admin'", "role", "admin")):
        stack.sql(f"UPDATE users SET {change} WHERE id = '{user.id}'")
        for slot in SLOTS:
            within_a_second(lambda slot=slot, field=field, value=value: asked(stack, slot, user, "/api/auth/profile")[field] == value, f"the new {field}")


def test_agents_are_what_they_are_within_a_second(stack, user, admin):
    before = asked(stack, 1, user, "/api/agents")
    assert admin.http("PATCH", "/api/agents/quick", json={"description": "as good as new"}).status == 200
    for slot in SLOTS:
        within_a_second(lambda slot=slot: "as good as new" in json.dumps(asked(stack, slot, user, "/api/agents")), "the change of an agent")
    stack.sql("UPDATE agent_configs SET description = 'by hand' WHERE id = 'quick'")
    for slot in SLOTS:
        within_a_second(lambda slot=slot: "by hand" in json.dumps(asked(stack, slot, user, "/api/agents")), "the change of an agent by hand")
    assert len(asked(stack, 2, user, "/api/agents")) == len(before)


# ---- Redis away, and back with what it had ----

@contextlib.contextmanager
def locked_out(stack):
    """Redis lets no responder in, and keeps what it has."""
    stack.redis_cli("config", "set", "requirepass", PASSWORD)
    stack.redis_cli("--no-auth-warning", "-a", PASSWORD, "client", "kill", "type", "normal")
    wait_for(lambda: stack.get("/health/detailed").json()["components"]["redis"]["status"] == "unavailable", 5, "Redis to be away")
    yield
    stack.redis_cli("--no-auth-warning", "-a", PASSWORD, "config", "set", "requirepass", "")


def test_what_changed_while_redis_was_away_is_not_what_it_was_when_it_is_back(stack, user):
    new_session(user, chatId="stale", title="old")
    assert session_of(stack, user, "stale")["title"] == "old"
    asked(stack, 1, user, "/api/auth/profile")
    wait_for(lambda: exists(stack, key_of(user, "stale")) and exists(stack, f"llmchat:user:{user.id}"), 3, "the old ones to be in Redis")
    with locked_out(stack):
        assert user.http("PATCH", "/api/chat-sessions/stale/title", json={"title": "new"}).status == 200
        assert user.http("PATCH", "/api/auth/profile", json={"email": "new@example.org"}).status == 200
        assert session_of(stack, user, "stale")["title"] == "new"
    assert exists(stack, key_of(user, "stale")) and exists(stack, f"llmchat:user:{user.id}")
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert session_of(stack, user, "stale")["title"] == "new"
        assert [asked(stack, slot, user, "/api/auth/profile")["email"] for slot in SLOTS] == ["new@example.org"] * 2
    settled(stack)
    assert session_of(stack, user, "stale")["title"] == "new"


def test_a_responder_that_died_takes_nothing_old_with_it(stack, user):
    """It may have changed something and died before it could say so: here psql, which says nothing either, does as it did."""
    session = new_session(user, chatId="orphan", title="old")
    assert session_of(stack, user, "orphan")["title"] == "old"
    wait_for(lambda: exists(stack, key_of(user, "orphan")), 3, "the session to be in Redis")
    time.sleep(0.6)  # until every responder knows all changes there were
    stack.sql(f"UPDATE chat_sessions SET title = 'new' WHERE id = '{session['id']}'")
    assert session_of(stack, user, "orphan")["title"] == "old"  # a copy, as docs/operations.md says
    stack.kill(2)
    stack.wait_until_ready()
    within_a_second(lambda: asked(stack, 1, user, "/api/chat-sessions/orphan")["title"] == "new", "the copy not to be used any more")


@pytest.mark.parametrize("fault", [stopped, restarted, paused, slow, script_flushed, connection_reset, evicting, full_without_eviction,
                                   refusing_writes, another_password], ids=lambda fault: fault.__name__)
def test_nothing_is_old_or_late_on_bad_days(stack, fault):
    """People change things and look at them through both responders, the whole time."""
    over, failures, looked = threading.Event(), [], []

    def live(i):
        user = User(stack)
        new_session(user, chatId="x", title="0")
        n = 0
        while not over.is_set():
            n += 1
            answer = user.http("PATCH", "/api/chat-sessions/x/title", json={"title": str(n)})
            looked.append(int(answer.header("X-LLMChat-Overhead-Us")) / 1e6)
            assert answer.status == 200, answer
            changed = time.monotonic()
            while True:
                began = time.monotonic()
                answer = user.get("/api/chat-sessions/x")
                looked.append(int(answer.header("X-LLMChat-Overhead-Us")) / 1e6)
                assert answer.status == 200, answer
                if answer.data["title"] == str(n):
                    break
                assert began < changed + 1 + SLACK_S, f"{answer.data['title']} is {began - changed:.2f} s old, it is {n}"
            if i % 2:
                assert user.get("/api/auth/profile").data["username"] == user.name
                assert len(user.get("/api/agents").data) > 10

    def guarded(i):
        try:
            live(i)
        except BaseException as e:  # pylint: disable=broad-except # told at the end
            failures.append(e)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        fault(stack)
        time.sleep(1)
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert not failures, failures
    # The limiter's command, the cache's two: each waits alone, and only one of them can find Redis silent.
    assert len(looked) > 50 and max(looked) < TIMEOUT_S + SLACK_S, max(looked)


# ---- garbage ----

def test_garbage_is_a_miss(stack, user, admin):
    new_session(user, chatId="junk", title="mine")
    other = User(stack)
    new_session(other, chatId="junk", title="another's")
    mine, his = key_of(user, "junk"), key_of(other, "junk")

    def kept():  # not before what has just changed is known to have: then whoever asks next fills it
        for one in (user, other):
            session_of(stack, one, "junk")
            asked(stack, 1, one, "/api/auth/profile")
        return exists(stack, mine) and exists(stack, his) and exists(stack, f"llmchat:user:{other.id}")
    wait_for(kept, 5, "both to be in Redis")
    good = stack.redis_cli("get", mine)
    stamp = good.split(" ")[0]

    def plant(*command):
        return lambda: stack.redis_cli(*command)
    plants = [plant("copy", his, mine, "replace"), plant("set", mine, ""), plant("set", mine, "{}"), plant("set", mine, "\n"), plant("set", mine, good[:-10]),
              plant("set", mine, f"{int(stamp) + 1}{good[len(stamp):]}"), plant("set", mine, good.replace("mine", "ours")), plant("setrange", mine, "6000000", "x"),
              plant("hset", mine, "a", "b"), plant("rpush", mine, "a"), plant("set", mine, "\x01" * 4000)]
    pids, connects = stack.responders(), len(stack.logs("redis_unreachable"))
    for i, planting in enumerate(plants):
        stack.redis_cli("del", mine)
        planting()
        said = asked(stack, SLOTS[i % 2], user, "/api/chat-sessions/junk")
        assert (said["title"], said["chatId"]) == ("mine", "junk"), i
        # What was there has been replaced.
        wait_for(lambda: stack.redis_cli("type", mine).strip() == "string" and "mine" in stack.redis_cli("get", mine), 3, "a good entry")
    stack.redis_cli("copy", f"llmchat:user:{other.id}", f"llmchat:user:{user.id}", "replace")
    assert [asked(stack, slot, user, "/api/auth/profile")["id"] for slot in SLOTS] == [user.id] * 2
    # A lock that somebody else holds: it is answered, and not kept.
    stack.redis_cli("del", mine)
    stack.redis_cli("set", f"llmchat:lock:{mine.removeprefix('llmchat:')}", "somebody", "px", "5000")
    assert session_of(stack, user, "junk")["title"] == "mine" and not exists(stack, mine)
    assert stack.responders() == pids and len(stack.logs("redis_unreachable")) == connects
    assert admin.get(f"/api/admin/users/{user.id}").data["username"] == user.name


def test_without_redis_answers_are_the_same(make_stack):
    stack = make_stack(REDIS_HOST="", CHAT_ANONYMOUS="true")
    user = User(stack)
    agents = [asked(stack, slot, user, "/api/agents") for slot in SLOTS for _ in range(3)]
    assert all(one == agents[0] for one in agents)
    for i in range(3):
        assert user.http("PATCH", "/api/auth/profile", json={"email": f"a{i}@example.org"}).status == 200
        assert [asked(stack, slot, user, "/api/auth/profile")["email"] for slot in SLOTS] == [f"a{i}@example.org"] * 2
    assert counts(stack, "agents")[0] >= 4 and counts(stack, "users")[0] == 0
    assert not stack.sql("SELECT * FROM changes WHERE kind = 'cache' OFFSET 2")
