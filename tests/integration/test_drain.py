"""Responders that die, or are told to stop, with streams running."""

import pathlib
import signal
import threading
import time

import pytest

from chatting import Crowd, Visitor, check_error, check_healthy, crowd_of, ended_row, literal, new_stack, rows, tokens
from conftest import finish
from stack import wait_for


@pytest.fixture(scope="module")
def own_stack():
    stack = new_stack()
    stack.start()
    stack.wait_until_ready()
    yield stack
    finish(stack)


@pytest.fixture
def pool(own_stack, request):
    request.node.stacks = [own_stack]
    return own_stack


def slots_of(stack, bodies):
    """{client id: slot} of the answers that were asked for."""
    ids = ",".join(literal(body["responseChatItemId"]) for body in bodies)
    return {row["client_id"]: row["owner_slot"] for row in
            rows(stack, f"SELECT client_id, owner_slot FROM chat_messages WHERE client_id IN ({ids})")}


def test_a_killed_responder_takes_only_its_own_streams_with_it(pool):
    bodies = crowd_of(8, "long")
    with Crowd(pool, bodies) as crowd:
        crowd.begun()
        slots = slots_of(pool, bodies)
        assert set(slots.values()) == {1, 2}, "both responders have streams"
        old = pool.kill(1)
        killed_at = time.monotonic()
        wait_for(lambda: pool.responders().get(1) not in (None, old), 2 - (time.monotonic() - killed_at), "another responder in slot 1")
        answers = dict(zip((body["responseChatItemId"] for body in bodies), crowd.join()))
        check_healthy([answer for name, answer in answers.items() if slots[name] == 2], tokens(60))
        for name in (name for name, slot in slots.items() if slot == 1):
            assert answers[name].reason is None, "nobody pretended an end"
            row = ended_row(pool, name, max(0.1, 6 - (time.monotonic() - killed_at)))
            assert (row["status"], row["error_code"]) == ("interrupted", "SERVER_DIED")
            assert row["ended_at"]
    assert {ended_row(pool, name)["status"] for name, slot in slots.items() if slot == 2} == {"complete"}


def stat_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""


def test_whoever_asks_after_a_death_waits_for_a_moment_and_is_not_refused(pool):
    """The listening socket outlives the responder: a death means a queue."""
    wait_for(lambda: len(pool.responders()) == 2, 10, "both responders")
    pid = pool.kill(2)
    wait_for(lambda: ") Z " in stat_of(pid) or not stat_of(pid), 5, "its death")
    # nginx does not send a question twice; so it must first have noticed that its idle connections are dead.
    for _ in range(4):
        assert pool.get("/health").status == 200
    for _ in range(6):
        answer = Visitor(pool).ask("quick")
        assert answer.status == 200 and answer.took < 2, answer


def test_a_planned_restart_breaks_no_stream_and_refuses_nobody(pool):
    bodies = crowd_of(20, "long")
    statuses, going = [], True

    def keep_asking():
        visitor = Visitor(pool)
        while going:
            statuses.append(visitor.ask("quick").status)

    before = pool.responders()
    with Crowd(pool, bodies) as crowd:
        crowd.begun()
        asker = threading.Thread(target=keep_asking)
        asker.start()
        try:
            pool.pool("restart")
            answers = crowd.join()
        finally:
            going = False
            asker.join()
    assert not set(pool.responders().values()) & set(before.values())
    check_healthy(answers, tokens(60))
    assert statuses and set(statuses) == {200}
    assert {ended_row(pool, body["responseChatItemId"])["status"] for body in bodies} == {"complete"}


def test_a_terminated_responder_finishes_its_streams_first(pool):
    wait_for(lambda: len(pool.responders()) == 2, 10, "both responders")
    bodies = crowd_of(8, "long")
    with Crowd(pool, bodies) as crowd:
        crowd.begun()
        assert set(slots_of(pool, bodies).values()) == {1, 2}
        pid = pool.kill(1, signal.SIGTERM)
        assert Visitor(pool).ask("quick").status == 200
        check_healthy(crowd.join(), tokens(60))
    assert {ended_row(pool, body["responseChatItemId"])["status"] for body in bodies} == {"complete"}
    wait_for(lambda: pool.responders().get(1) not in (None, pid), 30, "another responder in slot 1")
    assert Visitor(pool).ask("quick").status == 200


@pytest.fixture
def hasty_pool(request):
    """Its responders give their turns 700 ms when they are told to stop."""
    stack = new_stack(DRAIN_TIMEOUT=700)
    request.node.stacks = [stack]
    stack.start()
    stack.wait_until_ready()
    yield stack
    finish(stack)


def test_what_outlasts_the_drain_is_told_so_and_stored(hasty_pool):
    pool = hasty_pool
    streaming, waiting = crowd_of(4, "cancel"), crowd_of(4, "cancel-late")
    plain = Visitor(pool)
    plain_body = plain.body("cancel-late")
    plain_answers = []
    asker = threading.Thread(target=lambda: plain_answers.append(pool.post("/api/chat/completions", json=plain_body)))
    asker.start()
    with Crowd(pool, streaming) as crowd, Crowd(pool, waiting) as silent:
        crowd.begun()
        wait_for(lambda: pool.stats()["open"] >= 9, 5, "all calls to be at the provider")
        restarted_at = time.monotonic()
        pool.pool("restart")
        answers = crowd.join()
        refused = silent.join()
        asker.join()
        assert time.monotonic() - restarted_at < 8
    for body, answer in zip(streaming, answers):
        assert answer.names[-3:] == ["status", "error", "end"] and answer.reason == "error"
        assert answer.one("error")["code"] == "DRAINING" and answer.one("error")["retryable"] is True
        row = ended_row(pool, body["responseChatItemId"])
        assert (row["status"], row["error_code"]) == ("interrupted", "DRAINING")
        assert row["content"] == answer.text == tokens(len(answer.all("chunk")))
    for answer in refused:
        assert (answer.status, answer.body["code"]) == (503, "DRAINING"), answer.status
    check_error(plain_answers[0], 503, "DRAINING")
    assert int(plain_answers[0].header("Retry-After")) >= 1
    for body in waiting + [plain_body]:
        row = ended_row(pool, body["responseChatItemId"])
        assert (row["status"], row["error_code"], row["content"]) == ("failed", "DRAINING", "")
    wait_for(lambda: pool.stats()["open"] == 0, 3, "the provider to be left")
    assert Visitor(pool).ask("quick").status == 200
