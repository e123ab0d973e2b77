"""Readers who leave, or only lag: the agent's policy decides, the row says how it ended, nobody else notices."""

import http.client
import json
import socket
import threading
import time

import pytest

from chatting import Crowd, Visitor, answer_row, chat, check_healthy, crowd_of, ended_row, leave_early, tokens  # noqa: F401
from stack import wait_for


@pytest.fixture
def visitor(chat):  # noqa: F811
    return Visitor(chat)


def leave_after(stream, n_chunks):
    """Reads so many chunks and leaves; returns their text."""
    text = ""
    for event in stream:
        if event.event == "chunk":
            text += event.data["content"]
            n_chunks -= 1
            if n_chunks == 0:
                break
    stream.close()
    return text


def provider_sees_a_close(stack, before, seconds=1.0):
    wait_for(lambda: stack.stats()["closed_by_client"] > before, seconds, "the close of the provider's connection")


def test_with_finish_the_answer_is_completed_and_kept(chat, visitor):  # noqa: F811
    assert leave_after(visitor.stream("finish"), 3)
    assert answer_row(chat, visitor.asked)["status"] == "streaming"
    row = ended_row(chat, visitor.asked)
    assert (row["status"], row["content"], row["finish_reason"], row["completion_tokens"]) == ("complete", tokens(20), "stop", 20)
    assert row["error_code"] is None


def test_with_cancel_the_provider_is_left_within_a_second(chat, visitor):  # noqa: F811
    before = chat.stats()["closed_by_client"]
    text = leave_after(visitor.stream("cancel"), 5)
    provider_sees_a_close(chat, before)
    row = ended_row(chat, visitor.asked)
    assert row["status"] == "cancelled" and row["error_code"] == "CANCELLED"
    assert row["content"].startswith(text) and row["content"] == tokens(row["content"].count("tok"))
    assert 5 <= row["content"].count("tok") < 40
    # Leaving before the provider says what it cost is not free.
    assert row["completion_tokens"] >= 5 and row["prompt_tokens"] >= 1
    assert row["total_tokens"] == row["prompt_tokens"] + row["completion_tokens"]


def test_leaving_before_the_first_event_cancels_too(chat, visitor):  # noqa: F811
    before = chat.stats()["closed_by_client"]
    leave_early(chat, visitor.body("cancel-late", stream=True), 0.4)
    provider_sees_a_close(chat, before)
    row = ended_row(chat, visitor.asked)
    assert (row["status"], row["content"]) == ("cancelled", "")


def test_leaving_before_the_first_event_finishes_too(chat, visitor):  # noqa: F811
    leave_early(chat, visitor.body("finish-late", stream=True), 0.3)
    row = ended_row(chat, visitor.asked)
    assert (row["status"], row["content"]) == ("complete", tokens(5))


def test_leaving_a_plain_call_cancels_too(chat, visitor):  # noqa: F811
    before = chat.stats()["closed_by_client"]
    leave_early(chat, visitor.body("cancel"), 0.5)
    provider_sees_a_close(chat, before)
    row = ended_row(chat, visitor.asked)
    assert row["status"] == "cancelled" and row["content"] == tokens(row["content"].count("tok")) and row["content"]


def test_leaving_a_plain_call_finishes_too(chat, visitor):  # noqa: F811
    leave_early(chat, visitor.body("finish"), 0.4)
    row = ended_row(chat, visitor.asked)
    assert (row["status"], row["content"]) == ("complete", tokens(20))


@pytest.mark.parametrize("after_ms", [0, 1, 3, 10, 30])
def test_leaving_at_any_moment_ends_the_row(chat, visitor, after_ms):  # noqa: F811
    """Also while the rows are only just being stored."""
    bodies = [visitor.body("cancel", stream=True) for _ in range(4)]
    for body in bodies:
        connection = http.client.HTTPConnection("127.0.0.1", chat.port)
        connection.request("POST", "/api/chat/completions", body=json.dumps(body), headers={"Content-Type": "application/json"})
        time.sleep(after_ms / 1000)  # the moment itself is what is tested
        connection.close()

    def all_ended():
        found = [answer_row(chat, body["responseChatItemId"]) for body in bodies]
        return all(row is None or row["status"] == "cancelled" for row in found)
    wait_for(all_ended, 5, "the end of all that were left")
    wait_for(lambda: chat.stats()["open"] == 0, 2, "the provider to have no open call")


def test_one_who_leaves_is_not_noticed_by_the_others(chat, visitor):  # noqa: F811
    with Crowd(chat, crowd_of(10, "spaced")) as crowd:
        for _ in range(5):
            leave_after(visitor.stream("cancel"), 1)
        check_healthy(crowd.join(), tokens(20))


def test_a_reader_that_lags_holds_up_nobody_and_loses_nothing(chat, visitor):  # noqa: F811
    slow = socket.create_connection(("127.0.0.1", chat.port))
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    body = json.dumps(visitor.body("huge", stream=True)).encode()
    slow.sendall(b"POST /api/chat/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    got = slow.recv(1024)
    with Crowd(chat, crowd_of(30, "spaced")) as crowd:
        check_healthy(crowd.join(), tokens(20))
    # The turn did not wait for its reader.
    assert ended_row(chat, visitor.asked)["status"] == "complete"
    slow.settimeout(10)
    while piece := slow.recv(1 << 20):
        got += piece
    slow.close()
    assert got.count(b"event: chunk\n") == 64 and b"event: end\n" in got and len(got) > 64 * 65536


def test_a_lagging_reader_that_leaves_is_let_go(chat, visitor):  # noqa: F811
    stream = visitor.stream("huge")
    next(iter(stream))
    stream.close()
    assert ended_row(chat, visitor.asked)["status"] == "complete"
    assert visitor.ask("quick").status == 200
