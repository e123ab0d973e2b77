"""All connections are taken by statements that wait for a lock: whoever comes then hears 503 in time, and nobody 401. Many whom nobody knows yet take
a few of them."""

import threading
import time

from accounts import admin, module_stack, new_person, restart, the_stack  # noqa: F401
from chatting import check_error, locked
from control import states
from stack import wait_for

TIMEOUT_S = 1.0
# One connection for each responder; a statement may take longer than anybody waits for a connection.
SETTINGS = {"CHAT_ANONYMOUS": "true", "DB_MAX_CONNECTIONS": 4, "DB_MIN_CONNECTIONS": 1, "DB_CONNECTION_TIMEOUT": int(TIMEOUT_S * 1000),
            "DB_STATEMENT_TIMEOUT": 8000}


def waiting_backends(stack):
    return int(stack.sql_one("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'llmchat-%' AND wait_event_type = 'Lock'", superuser=True))


def requests_begun(stack):
    return sum(state["requests"] for state in states(stack).values())


def test_an_exhausted_pool_is_503_in_time_and_never_401(stack, admin):  # noqa: F811
    people, others = [new_person(admin) for _ in range(6)], [new_person(admin) for _ in range(4)]
    key = people[0].post("/api/auth/keys", json={"name": "a key"}).data["key"]
    # A fresh generation has nobody in its cache: each token and key must be looked up.
    restart(stack)
    calls = [lambda one=one: one.get("/api/auth/profile") for one in people]
    calls += [lambda: stack.get("/api/auth/verify", token=key), lambda: stack.post("/api/auth/login", json={"username": people[1].username, "password": people[1].password}),
              lambda: people[2].chat(), lambda: stack.get("/api/admin/users", token=admin.token)]
    thread = locked(stack, "users", 7)
    holders = [threading.Thread(target=one.get, args=("/api/auth/profile",)) for one in others]
    for one in holders:
        one.start()
    wait_for(lambda: waiting_backends(stack) == 2, 5, "both connections to be taken")
    answers = []
    threads = [threading.Thread(target=lambda call=call: answers.append(call())) for call in calls]
    began = time.monotonic()
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert time.monotonic() - began < TIMEOUT_S + 2, sorted((answer.took, answer.body[:60]) for answer in answers)
    assert len(answers) == len(calls)
    for answer in answers:
        check_error(answer, 503, "DB_UNAVAILABLE")
        assert TIMEOUT_S * 0.8 < answer.took < TIMEOUT_S + 1 and int(answer.header("Retry-After")) >= 1, answer
    # What lives needs no connection.
    assert stack.get("/health").status == 200
    thread.join()
    for one in holders:
        one.join()
    wait_for(lambda: all(call().status == 200 for call in calls), 10, "everybody to be served again")


def test_many_who_arrive_at_once_are_looked_up_with_a_few_statements(stack, admin):  # noqa: F811
    tokens = stack.ctl("token", "issue", "--count", "60").stdout.split()
    key = admin.make_key()["key"]
    restart(stack, DB_MAX_CONNECTIONS=42, DB_CONNECTION_TIMEOUT=8000)
    thread = locked(stack, "users", 6)
    began = requests_begun(stack)
    answers = []
    threads = [threading.Thread(target=lambda token=token: answers.append(stack.get("/api/auth/verify", token=token))) for token in [*tokens, *[key] * 20]]
    for one in threads:
        one.start()
    wait_for(lambda: requests_begun(stack) >= began + len(threads), 5, "all of them to have come")
    waiting = 0
    while thread.is_alive():
        waiting = max(waiting, waiting_backends(stack))
        time.sleep(0.1)
    assert 2 <= waiting <= 8  # of each responder two for logins and two for keys at most
    for one in threads:
        one.join()
    assert [answer.status for answer in answers] == [200] * len(threads), [answer for answer in answers if answer.status != 200]
    assert len({answer.data["user"]["id"] for answer in answers}) == len(tokens) + 1
