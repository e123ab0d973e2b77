"""A new session's provider is called while its rows are on their way to PostgreSQL; nobody is shown anything before they are stored."""

import threading
import time

import pytest

from chatting import Visitor, check_error, ended_row, leave_early, locked_until_released, new_stack, read, rows, tokens
from conftest import finish
from stack import wait_for

TIMEOUT_S = 2


@pytest.fixture(scope="module")
def own_stack():
    stack = new_stack(RESPONDERS=1, DB_CONNECTION_TIMEOUT=1000 * TIMEOUT_S, DB_STATEMENT_TIMEOUT=1000 * TIMEOUT_S, DB_MIN_CONNECTIONS=2)
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
        self.thread.start()

    def _run(self, ask):
        self.answer = ask()

    def join(self):
        self.thread.join(20)
        assert self.answer is not None
        return self.answer


def calls(visitor, what, n=1):
    wait_for(lambda: visitor.stack.stats()[what] == n, 5, f"{n} calls at the provider that are {what}")


def messages_locked(visitor):
    return locked_until_released(visitor.stack, "chat_messages")


def read_stream(visitor, agent):
    with visitor.stream(agent) as stream:
        return read(stream), int(stream.header("X-LLMChat-Overhead-Us"))


def test_the_provider_is_called_meanwhile_and_a_stream_waits_for_its_rows(visitor):
    with messages_locked(visitor) as release:
        asking = Asking(lambda: read_stream(visitor, "quick"))
        calls(visitor, "completed")
        time.sleep(0.3)  # for nothing to come
        assert asking.answer is None
        release()
        answer, overhead_us = asking.join()
    assert answer.text == tokens(5) and answer.reason == "stop"
    assert overhead_us > 250_000, "the wait for the database is ours"
    row = ended_row(visitor.stack, visitor.asked)
    assert (row["status"], row["content"]) == ("complete", tokens(5))
    assert visitor.stack.stats()["requests"] == 1


def test_words_go_on_as_soon_as_the_rows_are_stored(visitor):
    with messages_locked(visitor) as release:
        asking = Asking(lambda: read_stream(visitor, "long"))
        calls(visitor, "open")
        release()
        answer, _ = asking.join()
    assert answer.text == tokens(60) and answer.gap < 1
    assert ended_row(visitor.stack, visitor.asked)["content"] == tokens(60)


def test_a_plain_answer_waits_for_its_rows(visitor):
    with messages_locked(visitor) as release:
        asking = Asking(lambda: visitor.ask("quick"))
        calls(visitor, "completed")
        assert asking.answer is None
        release()
        assert asking.join().data["content"] == tokens(5)
    assert ended_row(visitor.stack, visitor.asked)["status"] == "complete"


def test_a_failure_is_told_when_its_row_is_stored(visitor):
    with messages_locked(visitor) as release:
        asking = Asking(lambda: visitor.ask("err401"))
        calls(visitor, "errors")
        time.sleep(0.2)  # for nothing to come
        assert asking.answer is None
        release()
        check_error(asking.join(), 502, "UPSTREAM_AUTH")
    row = ended_row(visitor.stack, visitor.asked)
    assert (row["status"], row["error_code"]) == ("failed", "UPSTREAM_AUTH")


@pytest.mark.parametrize("agent", ["quick", "long", "err429-ra7"])
def test_what_cannot_be_stored_is_shown_to_nobody(visitor, agent):
    """Whether the provider is done by then or not, and whatever it said: it is left, and the limits of nobody are forgotten."""
    n_failed = len(visitor.stack.logs("statement_failed"))
    with messages_locked(visitor) as release:
        asking = Asking(lambda: visitor.ask(agent))
        calls(visitor, "requests")
        wait_for(lambda: len(visitor.stack.logs("statement_failed")) > n_failed, 3 * TIMEOUT_S, "the statement to be given up")
        calls(visitor, "open", 0)
        # While nothing comes through nobody is called ahead of his rows.
        after = Asking(lambda: Visitor(visitor.stack).ask("quick"))
        time.sleep(0.3)  # for nothing to happen
        assert visitor.stack.stats()["requests"] == 1
        refused = asking.join()
        check_error(refused, 503, "DB_UNAVAILABLE")
        assert int(refused.header("Retry-After")) < 7, "that was the provider's"
        release()
        after.join()
    wait_for(lambda: rows(visitor.stack, "SELECT id FROM chat_messages WHERE status = 'streaming'") == [], 40, "the end of every row")


def test_who_leaves_before_the_rows_are_there_leaves_the_provider(visitor):
    with messages_locked(visitor) as release:
        asking = Asking(lambda: leave_early(visitor.stack, visitor.body("cancel"), 0.5) or "left")
        calls(visitor, "open")
        asking.join()
        calls(visitor, "open", 0)
        release()
    assert ended_row(visitor.stack, visitor.asked)["status"] == "cancelled"


def test_what_is_stopped_before_its_rows_are_there_is_stopped(visitor):
    with messages_locked(visitor) as release:
        asking = Asking(lambda: read_stream(visitor, "long"))
        calls(visitor, "open")
        assert visitor.stack.post(f"/api/chat/messages/{visitor.asked}/stop", json={}, cookies=visitor.cookies).status == 200
        calls(visitor, "open", 0)
        assert asking.answer is None
        release()
        answer, _ = asking.join()
    assert answer.reason == "stopped" and tokens(60).startswith(answer.text)
    row = ended_row(visitor.stack, visitor.asked)
    assert (row["status"], row["content"]) == ("stopped", answer.text)


@pytest.mark.parametrize("fields", [{"chatId": "has-a-past"}, {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "x": 1}]}]}],
                         ids=["a session that has a past", "parts, which PostgreSQL may refuse"])
def test_some_are_stored_first(visitor, fields):
    assert visitor.ask("quick", chatId="has-a-past").status == 200
    visitor.stack.reset_stats()
    with messages_locked(visitor) as release:
        asking = Asking(lambda: visitor.ask("quick", **fields))
        time.sleep(0.4)  # for nothing to happen
        assert visitor.stack.stats()["requests"] == 0
        release()
        assert asking.join().data["content"] == tokens(5)


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
