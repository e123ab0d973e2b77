"""Providers that fail, in every way a real one does: the client learns it, the row says it, others go on."""

import pathlib
import re
import time

import pytest

from chatting import Crowd, Visitor, chat, check_error, check_healthy, crowd_of, ended_row, tokens  # noqa: F401
from stack import as_owner, wait_for


@pytest.fixture
def visitor(chat):  # noqa: F811
    return Visitor(chat)


# agent: what both kinds of call get before the provider's first event
BEFORE = {
    "err400": (502, "UPSTREAM_ERROR"), "err401": (502, "UPSTREAM_AUTH"), "err403": (502, "UPSTREAM_AUTH"),
    "err404": (502, "UPSTREAM_ERROR"), "err500": (502, "UPSTREAM_ERROR"), "err529": (502, "UPSTREAM_ERROR"),
    "err408": (504, "UPSTREAM_TIMEOUT"), "err429": (429, "UPSTREAM_RATE_LIMITED"), "err503-ra3": (502, "UPSTREAM_ERROR"),
    "hang": (504, "UPSTREAM_TIMEOUT"), "silent": (504, "UPSTREAM_TIMEOUT"), "refused": (502, "UPSTREAM_ERROR"),
    "no-host": (502, "UPSTREAM_ERROR"), "unknown-model": (502, "UPSTREAM_ERROR"), "cut0": (502, "UPSTREAM_ERROR"),
    "mid0": (502, "UPSTREAM_ERROR"), "err502": (502, "UPSTREAM_ERROR"), "err504": (504, "UPSTREAM_TIMEOUT"), "full": (504, "UPSTREAM_TIMEOUT"),
    "html": (502, "UPSTREAM_ERROR"), "garbage0": (502, "UPSTREAM_ERROR"), "bad-utf8-0": (502, "UPSTREAM_ERROR"), "big-line0": (502, "UPSTREAM_ERROR"),
}


@pytest.mark.parametrize("agent", BEFORE)
def test_a_failure_before_the_first_event_is_a_true_status(chat, visitor, agent):  # noqa: F811
    status, code = BEFORE[agent]
    check_error(visitor.ask(agent), status, code)
    row = ended_row(chat, visitor.asked)
    assert (row["status"], row["error_code"], row["content"]) == ("failed", code, "")
    with visitor.stream(agent) as stream:
        assert (stream.status, stream.json()["code"]) == (status, code)
        assert stream.header("Content-Type") == "application/json; charset=utf-8"
    row = ended_row(chat, visitor.asked)
    assert (row["status"], row["error_code"], row["content"]) == ("failed", code, "")
    assert row["first_event_ms"] is None and row["took_ms"] is not None and row["ended_at"]


def test_the_providers_retry_after_is_passed_on(visitor):
    answer = visitor.ask("err429-ra7")
    body = check_error(answer, 429, "UPSTREAM_RATE_LIMITED")
    assert answer.header("Retry-After") == "7" and body["retryAfter"] == 7
    with visitor.stream("err429-ra7") as stream:
        assert stream.status == 429 and stream.header("Retry-After") == "7"


@pytest.mark.parametrize("agent", ["hang", "silent", "full"])
def test_the_agents_own_timeout_counts(visitor, agent):
    started = time.monotonic()
    visitor.ask(agent)
    assert 0.55 < time.monotonic() - started < 2


# agent: (tokens that came, code)
MIDWAY = {
    "stall": (5, "UPSTREAM_TIMEOUT"), "cut": (5, "UPSTREAM_ERROR"), "mid": (5, "UPSTREAM_ERROR"), "noend": (5, "UPSTREAM_ERROR"),
    "garbage": (5, "UPSTREAM_ERROR"), "bad-utf8": (5, "UPSTREAM_ERROR"), "big-line": (5, "UPSTREAM_ERROR"),
}


@pytest.mark.parametrize("agent", MIDWAY)
def test_a_failure_midway_is_an_error_event_and_the_text_is_kept(chat, visitor, agent):  # noqa: F811
    n, code = MIDWAY[agent]
    answer = visitor.read(agent)
    assert answer.names == ["chatId", "start", "chunk", "status", "error", "end"]
    assert answer.text == tokens(n) and answer.reason == "error"
    status, error = answer.one("status"), answer.one("error")
    assert (status["type"], status["status"]) == ("error", "error") and status["error"]
    assert error["code"] == code and error["message"].endswith(".") and error["retryable"] is True and error["timestamp"].endswith("Z")
    row = ended_row(chat, visitor.asked)
    assert (row["status"], row["error_code"], row["content"]) == ("interrupted", code, tokens(n))
    assert row["completion_tokens"] >= n and row["total_tokens"] == row["prompt_tokens"] + row["completion_tokens"]


@pytest.mark.parametrize("agent", MIDWAY)
def test_a_plain_call_never_gets_half_an_answer(chat, visitor, agent):  # noqa: F811
    n, code = MIDWAY[agent]
    check_error(visitor.ask(agent), 504 if code == "UPSTREAM_TIMEOUT" else 502, code)
    row = ended_row(chat, visitor.asked)
    assert (row["status"], row["error_code"], row["content"]) == ("interrupted", code, tokens(n))


REASONS = {
    "html": "content_type", "garbage": "bad_event", "bad-utf8": "bad_event", "big-line": "event_too_large", "mid": "error_frame", "cut": "cut",
    "noend": "no_end_mark", "err500": "http_status", "refused": "no_answer", "full": "no_answer", "hang": "headers_timeout",
    "silent": "first_token_timeout", "stall": "idle_timeout", "endless": "total_timeout",
}


@pytest.mark.parametrize("agent", REASONS)
def test_the_log_says_how_it_failed(chat, visitor, agent):  # noqa: F811
    visitor.ask(agent)
    row = ended_row(chat, visitor.asked)
    assert [line["reason"] for line in chat.logs("turn_ended") if line["message"] == row["id"]] == [REASONS[agent]]


@pytest.fixture
def peaks(chat):  # noqa: F811
    """Tells how many bytes each responder's peak of memory has grown by since the test began."""
    def look(pid):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        return {name: int(value.split()[0]) * 1024 for name, value in re.findall(r"(VmHWM|VmRSS):\s*(\d+)", status)}

    pids = list(chat.responders().values())
    for pid in pids:
        as_owner(pid, "sh", "-c", f"echo 5 >/proc/{pid}/clear_refs")  # forgets the peak so far
    before = {pid: look(pid)["VmRSS"] for pid in pids}
    return lambda: [look(pid)["VmHWM"] - before[pid] for pid in pids]


def test_a_line_without_end_is_not_gathered_and_its_connection_is_closed(chat, peaks):  # noqa: F811
    chat.reset_stats()
    with Crowd(chat, crowd_of(8, "big-line")) as crowd:
        for answer in crowd.join():
            assert (answer.text, answer.reason) == (tokens(5), "error") and answer.one("error")["code"] == "UPSTREAM_ERROR"
    wait_for(lambda: chat.stats()["open"] == 0, 5, "the ends of the calls")
    assert chat.stats()["closed_by_client"] == 8, "not read to its end"
    # Eight lines are 80 MiB, and a growing buffer leaves its smaller selves behind.
    assert max(peaks()) < 32 * 1024 * 1024, peaks()


def test_a_stream_has_a_total_time(chat, visitor):  # noqa: F811
    started = time.monotonic()
    answer = visitor.read("endless")
    assert 0.7 < time.monotonic() - started < 2
    assert answer.reason == "error" and answer.one("error")["code"] == "UPSTREAM_TIMEOUT"
    row = ended_row(chat, visitor.asked)
    assert row["status"] == "interrupted" and row["content"] == answer.text == tokens(len(answer.all("chunk")))


def test_a_finish_reason_without_done_is_an_end(chat, visitor):  # noqa: F811
    answer = visitor.read("nodone")
    assert answer.text == tokens(5) and answer.reason == "stop" and not answer.all("error")
    assert ended_row(chat, visitor.asked)["status"] == "complete"
    assert visitor.ask("nodone").data["content"] == tokens(5)


def test_a_nul_becomes_the_replacement_character(chat, visitor):  # noqa: F811
    text = "tok0 \ufffdtok1 tok2 tok3 tok4 "
    answer = visitor.read("nul")
    assert answer.text == text and answer.reason == "stop"
    assert ended_row(chat, visitor.asked)["content"] == text
    assert visitor.ask("nul").data["content"] == text


def test_a_failed_question_can_be_asked_again_in_its_session(chat, visitor):  # noqa: F811
    name = "again-" + str(time.time_ns())
    visitor.ask("err500", chatId=name)
    assert visitor.ask("quick", chatId=name).data["content"] == tokens(5)
    assert [m["status"] for m in visitor.messages(name, "?role=assistant").data] == ["failed", "complete"]


def test_an_agent_that_hangs_holds_up_nobody(chat):  # noqa: F811
    with Crowd(chat, crowd_of(20, "hang-longer")) as hanging:
        with Crowd(chat, crowd_of(20, "long")) as healthy:
            check_healthy(healthy.join(), tokens(60))
        for answer in hanging.join():
            assert (answer.status, answer.body["code"]) == (504, "UPSTREAM_TIMEOUT")


def test_a_host_that_does_not_exist_holds_up_nobody(chat):  # noqa: F811
    with Crowd(chat, crowd_of(10, "spaced")) as healthy, Crowd(chat, crowd_of(10, "no-host")) as lost:
        check_healthy(healthy.join(), tokens(20))
        assert {answer.status for answer in lost.join()} == {502}


def test_a_provider_that_is_away_and_comes_back(chat, visitor):  # noqa: F811
    assert visitor.ask("quick").status == 200
    port = (chat.dir / "sim.port").read_text()
    chat.sim("stop")
    try:
        check_error(visitor.ask("quick"), 502, "UPSTREAM_ERROR")
    finally:
        chat.sim("start")
    assert (chat.dir / "sim.port").read_text() == port
    assert visitor.ask("quick").data["content"] == tokens(5)
