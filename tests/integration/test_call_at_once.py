"""A new session's provider is called while its rows are on their way to PostgreSQL; nobody is shown anything before they are stored."""

import threading
import time

import pytest

from chatting import Visitor, check_error, ended_row, leave_early, locked, new_stack, read, rows, tokens
from conftest import finish
from stack import wait_for

TIMEOUT_S = 1.5


@pytest.fixture(scope="module")
def own_stack():
    stack = new_stack(RESPONDERS=1, DB_CONNECTION_TIMEOUT=int(1000 * TIMEOUT_S), DB_STATEMENT_TIMEOUT=int(1000 * TIMEOUT_S), DB_MIN_CONNECTIONS=2)
    stack.start()
    stack.wait_until_ready()
    yield stack
    finish(stack)


@pytest.fixture
def visitor(own_stack, request):
    """Whose database has just taken a turn, so that it is trusted with the next."""
    request.node.stacks = [own_stack]
    visitor = Visitor(own_stack)
    assert visitor.ask("quick").status == 200
    own_stack.reset_stats()
    return visitor


class Asking:
    """Somebody asks in a thread."""

    def __init__(self, ask):
        self.answer = None
        self.thread = threading.Thread(target=self._run, args=(ask,))
        self.began = time.monotonic()
        self.thread.start()

    def _run(self, ask):
        self.answer = ask()
        self.took = time.monotonic() - self.began

    def join(self):
        self.thread.join(20)
        assert self.answer is not None
        return self.answer


def calls(visitor, what, n=1):
    wait_for(lambda: visitor.stack.stats()[what] == n, 5, f"{n} calls at the provider that are {what}")


def read_stream(visitor, agent):
    with visitor.stream(agent) as stream:
        return read(stream), int(stream.header("X-LLMChat-Overhead-Us"))


def test_the_provider_is_called_meanwhile_and_a_stream_waits_for_its_rows(visitor):
    lock = locked(visitor.stack, "chat_messages", 1.2)
    asking = Asking(lambda: read_stream(visitor, "quick"))
    calls(visitor, "completed")
    assert asking.answer is None
    answer, overhead_us = asking.join()
    assert answer.text == tokens(5) and answer.reason == "stop"
    assert asking.took > 0.5 and overhead_us > 400_000, "the wait for the database is ours"
    row = ended_row(visitor.stack, visitor.asked)
    assert (row["status"], row["content"], row["first_event_ms"] < 500) == ("complete", tokens(5), True)
    assert visitor.stack.stats()["requests"] == 1
    lock.join()


def test_words_go_on_as_soon_as_the_rows_are_stored(visitor):
    lock = locked(visitor.stack, "chat_messages", 0.6)
    answer, _ = read_stream(visitor, "long")
    assert answer.text == tokens(60) and answer.gap < 1
    assert ended_row(visitor.stack, visitor.asked)["content"] == tokens(60)
    lock.join()


def test_a_plain_answer_waits_for_its_rows(visitor):
    lock = locked(visitor.stack, "chat_messages", 0.8)
    asking = Asking(lambda: visitor.ask("quick"))
    calls(visitor, "completed")
    assert asking.answer is None
    assert asking.join().data["content"] == tokens(5)
    assert ended_row(visitor.stack, visitor.asked)["status"] == "complete"
    lock.join()


def test_a_failure_is_told_when_its_row_is_stored(visitor):
    lock = locked(visitor.stack, "chat_messages", 0.8)
    check_error(visitor.ask("err401"), 502, "UPSTREAM_AUTH")
    row = ended_row(visitor.stack, visitor.asked)
    assert (row["status"], row["error_code"]) == ("failed", "UPSTREAM_AUTH")
    lock.join()


@pytest.mark.parametrize("agent", ["quick", "long"])
def test_what_cannot_be_stored_is_shown_to_nobody(visitor, agent):
    """Whether the provider is done by then or not: it is left, and the row, should PostgreSQL still make it, says that this was no answer."""
    lock = locked(visitor.stack, "chat_messages", 2 * TIMEOUT_S + 2.5)
    with visitor.stream(agent) as stream:
        assert (stream.status, stream.json()["code"]) == (503, "DB_UNAVAILABLE")
    stats = visitor.stack.stats()
    assert stats["requests"] == 1
    calls(visitor, "open", 0)
    # While nothing comes through nobody is called ahead of his rows.
    check_error(visitor.ask("quick"), 503, "DB_UNAVAILABLE")
    assert visitor.stack.stats()["requests"] == 1
    lock.join()
    wait_for(lambda: rows(visitor.stack, "SELECT id FROM chat_messages WHERE status = 'streaming'") == [], 40, "the end of every row")
    assert {row["status"] for row in rows(visitor.stack, f"SELECT status FROM chat_messages WHERE client_id = '{visitor.asked}'")} <= {"failed", "interrupted"}


def test_who_leaves_before_the_rows_are_there_leaves_the_provider(visitor):
    lock = locked(visitor.stack, "chat_messages", 1.2)
    asking = Asking(lambda: leave_early(visitor.stack, visitor.body("cancel"), 0.5) or "left")
    calls(visitor, "open")
    asking.join()
    calls(visitor, "open", 0)
    assert ended_row(visitor.stack, visitor.asked)["status"] == "cancelled"
    lock.join()


def test_what_is_stopped_before_its_rows_are_there_is_stopped(visitor):
    lock = locked(visitor.stack, "chat_messages", 1.2)
    asking = Asking(lambda: read_stream(visitor, "long"))
    calls(visitor, "open")
    assert visitor.stack.post(f"/api/chat/messages/{visitor.asked}/stop", json={}, cookies=visitor.cookies).status == 200
    calls(visitor, "open", 0)
    assert asking.answer is None
    answer, _ = asking.join()
    assert answer.reason == "stopped" and tokens(60).startswith(answer.text)
    row = ended_row(visitor.stack, visitor.asked)
    assert (row["status"], row["content"]) == ("stopped", answer.text)
    lock.join()


def test_a_session_that_has_a_past_is_read_first(visitor):
    chat_id = visitor.ask("quick").data["chatId"]
    visitor.stack.reset_stats()
    lock = locked(visitor.stack, "chat_messages", 0.8)
    asking = Asking(lambda: visitor.ask("quick", chatId=chat_id))
    time.sleep(0.4)  # for nothing to happen
    assert visitor.stack.stats()["requests"] == 0
    assert asking.join().data["content"] == tokens(5)
    lock.join()


def test_nobody_is_called_for_a_database_that_is_away(visitor):
    stack = visitor.stack
    stack.pg("stop")
    try:
        wait_for(lambda: stack.get("/health/ready").status == 503, 5, "the responder to notice")
        check_error(visitor.ask("quick"), 503, "DB_UNAVAILABLE")
        assert stack.stats()["requests"] == 0
    finally:
        stack.pg("start")
    wait_for(lambda: stack.get("/health/ready").status == 200, 8, "the responder to be ready")
