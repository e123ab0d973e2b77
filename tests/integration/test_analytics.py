"""Usage per day: counted within a minute of a turn's end, exactly, by two hosts at once and through the death of whoever counts."""

import datetime
import signal
import threading
import time

import pytest

from accounts import admin, module_stack, new_person, the_stack  # noqa: F401
from chatting import check_error
from stack import wait_for

SETTINGS = {"CHAT_ANONYMOUS": "true"}

KEYS = {"turns", "complete", "stopped", "cancelled", "interrupted", "failed", "promptTokens", "completionTokens", "totalTokens", "averageFirstEventMs",
        "anonymousTurns", "users"}


def ask(stack, token=None, agent="quick"):
    answer = stack.post("/api/chat/completions", json={"agentId": agent, "messages": [{"role": "user", "content": "Hello"}]}, token=token)
    assert answer.status == 200, answer


def today():
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def overview(admin, days=1):  # noqa: F811
    return admin.get(f"/api/admin/analytics/overview?days={days}").data


def test_turns_are_counted_within_a_minute_whoever_counts(stack, admin):  # noqa: F811
    assert admin.get("/api/admin/stats").data["today"]["turns"] == 0
    people = [new_person(admin) for _ in range(3)]
    for person in people:
        ask(stack, person.token)
        ask(stack, person.token, "other")
    ask(stack)
    ended_at = time.monotonic()
    wait_for(lambda: int(stack.sql_one("SELECT (SELECT count(*) FROM usage_pending) + coalesce(sum(turns), 0) FROM usage_daily")) == 7, 10, "the endings")
    wait_for(lambda: overview(admin)["turns"] == 7, 60, "the job")
    assert time.monotonic() - ended_at < 60

    stats = admin.get("/api/admin/stats").data
    assert set(stats) == {"users", "agents", "today", "last7Days", "last30Days", "uncounted"}
    assert stats["users"] == {"total": 4, "active": 4} and stats["agents"] == {"total": 3, "active": 3} and stats["uncounted"] == 0
    assert set(stats["today"]) == KEYS and stats["today"] == stats["last30Days"]

    told = overview(admin, 30)
    assert set(told) == KEYS | {"from", "to", "agents"}
    assert (told["turns"], told["complete"], told["anonymousTurns"], told["users"], told["agents"]) == (7, 7, 1, 3, 2)
    assert told["completionTokens"] == 35 and told["promptTokens"] > 0 and told["totalTokens"] == told["promptTokens"] + 35
    assert told["averageFirstEventMs"] >= 0 and told["to"] == today()

    agents = admin.get("/api/admin/analytics/agents").data
    assert [(one["agentId"], one["turns"]) for one in agents] == [("quick", 4), ("other", 3)]
    assert set(agents[0]) == KEYS | {"agentId", "name"} and agents[0]["name"]

    for days in (1, 7, 365):
        trends = admin.get(f"/api/admin/analytics/trends?days={days}").data
        assert set(trends) == {"from", "to", "points"} and len(trends["points"]) == days
        assert [point["turns"] for point in trends["points"]] == [0] * (days - 1) + [7]
        assert set(trends["points"][0]) == KEYS | {"day"}
        assert (trends["points"][0]["day"], trends["points"][-1]["day"]) == (trends["from"], trends["to"])


@pytest.mark.parametrize("path", ["overview", "trends", "agents"])
@pytest.mark.parametrize("days", ["0", "366", "-1", "x", "1.5", ""])
def test_other_numbers_of_days_are_refused(admin, path, days):  # noqa: F811
    check_error(admin.get(f"/api/admin/analytics/{path}?days={days}"), 400, "VALIDATION_ERROR", "days")


def test_a_counter_that_is_killed_loses_and_doubles_nothing(stack, admin):  # noqa: F811
    before = overview(admin)["turns"]
    going, killed = threading.Event(), 0
    asked = [0]

    def visitors():
        while not going.is_set():
            ask(stack)
            asked[0] += 1

    # Beside the responders another host counts all the time.
    count = stack.ctl("db", "explain", "count_usage", "--sql").stdout
    other = threading.Thread(target=lambda: stack.sql(f"PREPARE c AS {count};\n" + "EXECUTE c(3); SELECT pg_sleep(0.002);\n" * 1000))
    asking = threading.Thread(target=visitors)
    other.start()
    asking.start()
    try:
        # Whoever counts dies in the middle of it, again and again.
        for _ in range(40):
            killed += int(stack.sql_one("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE '%usage_pending%' "
                                        "AND application_name LIKE 'llmchat-%'", superuser=True))
    finally:
        going.set()
        asking.join()
        other.join()
    for slot in (1, 2):  # and a fresh one takes over
        stack.kill(slot, signal.SIGKILL)
    stack.wait_until_ready()
    wait_for(lambda: stack.sql_one("SELECT count(*) FROM usage_pending") == "0", 60, "the rest to be counted")
    real = stack.sql_one("SELECT count(*) FROM chat_messages WHERE role = 'assistant' AND status <> 'streaming'")
    assert stack.sql_one("SELECT sum(turns) FROM usage_daily") == real
    assert stack.sql_one("SELECT sum(prompt_tokens + completion_tokens) FROM usage_daily") == stack.sql_one(
        "SELECT sum(prompt_tokens + completion_tokens) FROM chat_messages WHERE role = 'assistant'")
    assert overview(admin)["turns"] >= before + asked[0] > before
