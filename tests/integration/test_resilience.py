"""Providers that fail, with everything that is done about it: tried again, left alone, replaced by another, waited for. Calls are counted at
the provider. Each test has agents of its own, as what a breaker has seen stays with its agent."""

import time

import pytest

from chatting import Crowd, Visitor, answer_row, check_error, check_healthy, crowd_of, ended_row, leave_early, new_stack, tokens
from conftest import finish
from control import wait_until_acquainted
from stack import wait_for

RESET_S = 3
SETTINGS = {"RETRY_MAX_RETRIES": 3, "RETRY_BASE_DELAY": 50, "RETRY_MAX_DELAY": 1000, "CIRCUIT_BREAKER_FAILURE_THRESHOLD": 5,
            "CIRCUIT_BREAKER_SUCCESS_THRESHOLD": 3, "CIRCUIT_BREAKER_RESET_TIMEOUT": 1000 * RESET_S, "RESPONDERS": 2}

QUICK = {"headersMs": 400, "firstTokenMs": 400}
AGENTS = {
    "well": ("sim-n5-d0", {}),
    "slow": ("sim-n20-d50", {}),
    "one-in-three": ("sim-n5-d0-err500-every3", {}),
    "one-in-ten": ("sim-n5-d0-cut0-every10", {}),
    "replaced-now-and-then": ("sim-n5-d0-err503-every3", {"fallbacks": ["well"]}),
    **{f"fails-{kind}": (f"sim-n5-d0-{kind}", {}) for kind in ("err503", "cut0", "err400", "err401", "err404", "html", "cut3")},
    "fails-hang": ("sim-hang", {"timeouts": QUICK}),
    "busy": ("sim-n5-d0-err429-ra1-every2", {}),
    "busy-for-long": ("sim-err429-ra60", {}),
    "breaks": ("sim-err500", {}),
    "breaks-hanging": ("sim-hang", {"timeouts": {"headersMs": 2000}}),
    "replaced": ("sim-err500", {"fallbacks": ["nobody", "asleep", "well"]}),
    "replaced-by-who-sees": ("sim-err401", {"fallbacks": ["blind", "well"]}),
    "blind": ("sim-n5-d0", {"provider": "dify"}),
    "replaced-at-once": ("sim-err401", {"fallbacks": ["well"]}),
    "replaced-slowly": ("sim-hang", {"fallbacks": ["well"], "timeouts": QUICK}),
    "chain-1": ("sim-err401", {"fallbacks": ["chain-2", "well"]}),
    "chain-2": ("sim-err401", {"fallbacks": ["slow"]}),
    "not-replaced": ("sim-err400", {"fallbacks": ["well"]}),
    "asleep": ("sim-n5-d0", {"isActive": False}),
    "left": ("sim-err503-ra1", {"onDisconnect": "cancel"}),
    "narrow": ("sim-n5-d60", {"maxConcurrent": 3, "maxQueue": 5}),
    "narrow-slow": ("sim-n20-d50", {"maxConcurrent": 1, "maxQueue": 1}),
    "narrow-replaced": ("sim-n20-d50", {"maxConcurrent": 1, "maxQueue": 0, "fallbacks": ["well"]}),
    "narrow-left": ("sim-n100-d50", {"maxConcurrent": 1, "maxQueue": 3, "onDisconnect": "cancel"}),
}


@pytest.fixture(scope="module")
def own_stack():
    stack = new_stack(AGENTS, **SETTINGS)
    stack.start()
    stack.wait_until_ready()
    wait_until_acquainted(stack)
    yield stack
    finish(stack)


@pytest.fixture
def visitor(own_stack):
    own_stack.reset_stats()
    return Visitor(own_stack)


def n_calls(visitor):
    return visitor.stack.stats()["requests"]


def logged(visitor, event, agent):
    return [line for line in visitor.stack.logs(event) if agent in (line.get("agent"), line.get("from"))]


def earn_retries(visitor, n):
    """Each call that goes well adds a fifth of a retry to the host's budget."""
    for _ in range(5 * n):
        assert visitor.ask("well").status == 200
    visitor.stack.reset_stats()


def change_model(stack, agent, model):
    stack.sql(f"UPDATE agent_configs SET model = '{model}' WHERE id = '{agent}'")
    time.sleep(1.2)


# ---- tried again ----

def test_what_passes_by_is_tried_again(visitor):
    earn_retries(visitor, 5)
    for i in range(12):
        if i % 2:
            assert visitor.read("one-in-three").text == tokens(5)
        else:
            assert visitor.ask("one-in-three").data["content"] == tokens(5)
    stats = visitor.stack.stats()
    assert stats["completed"] == 12 and stats["errors"] == stats["requests"] - 12 >= 4
    assert len(logged(visitor, "provider_retry", "one-in-three")) == stats["errors"]


@pytest.mark.parametrize("kind, status, code", [("err503", 502, "UPSTREAM_ERROR"), ("cut0", 502, "UPSTREAM_ERROR")])
def test_what_stays_is_tried_so_often_and_told(visitor, kind, status, code):
    earn_retries(visitor, 3)
    check_error(visitor.ask(f"fails-{kind}"), status, code)
    assert n_calls(visitor) == 4
    row = ended_row(visitor.stack, visitor.asked)
    assert (row["status"], row["error_code"], row["content"]) == ("failed", code, "")
    waits = [line["wait_ms"] for line in logged(visitor, "provider_retry", f"fails-{kind}")]
    assert len(waits) == 3 and all(wait <= most for wait, most in zip(waits, (50, 100, 200)))


@pytest.mark.parametrize("kind, status, code", [("err400", 502, "UPSTREAM_ERROR"), ("err401", 502, "UPSTREAM_AUTH"), ("err404", 502, "UPSTREAM_ERROR"),
                                                ("html", 502, "UPSTREAM_ERROR"), ("hang", 504, "UPSTREAM_TIMEOUT")])
def test_what_would_not_be_otherwise_is_asked_once(visitor, kind, status, code):
    check_error(visitor.ask(f"fails-{kind}"), status, code)
    assert n_calls(visitor) == 1


def test_nothing_is_tried_again_after_the_first_word(visitor):
    answer = visitor.read("fails-cut3")
    assert answer.text == tokens(3) and answer.reason == "error"
    assert n_calls(visitor) == 1


def test_a_provider_that_wants_us_to_wait_is_obeyed(visitor):
    earn_retries(visitor, 2)
    change_model(visitor.stack, "busy", "sim-n5-d0-err429-ra1-every1")
    began = time.monotonic()
    asking = Crowd(visitor.stack, crowd_of(1, "busy"))
    wait_for(lambda: n_calls(visitor) == 1, 5, "the first call")
    visitor.stack.sql("UPDATE agent_configs SET model = 'sim-n5-d0' WHERE id = 'busy'")
    [answer] = asking.join()
    # The agent of the question is the one that it found, so each try hears that it is too early.
    assert answer.status == 429 and answer.body["code"] == "UPSTREAM_RATE_LIMITED" and n_calls(visitor) == 4
    assert time.monotonic() - began > 3
    time.sleep(1.1)
    assert visitor.ask("busy").status == 200


def test_one_that_wants_us_to_wait_for_long_is_left_alone(visitor):
    answer = visitor.ask("busy-for-long")
    assert check_error(answer, 429, "UPSTREAM_RATE_LIMITED")["retryAfter"] == 60 and n_calls(visitor) == 1
    for _ in range(4):  # both responders know
        answer = visitor.ask("busy-for-long")
        assert 50 < check_error(answer, 429, "UPSTREAM_RATE_LIMITED")["retryAfter"] <= 60
        assert answer.header("Retry-After") == str(answer.json()["retryAfter"])
    assert n_calls(visitor) == 1
    status = visitor.get("/api/agents/busy-for-long/status").data
    assert status["breaker"] == "closed", "it has not failed"


def test_one_failure_in_ten_is_nobodys_trouble(visitor):
    answers = Crowd(visitor.stack, crowd_of(100, "one-in-ten")).join()
    check_healthy(answers, tokens(5), gap_seconds=5)
    stats = visitor.stack.stats()
    assert stats["errors"] >= 10 and stats["requests"] == 100 + stats["errors"]


def test_who_leaves_is_not_tried_for_again(visitor):
    earn_retries(visitor, 1)
    leave_early(visitor.stack, visitor.body("left", stream=True), 0.4)
    row = ended_row(visitor.stack, visitor.asked)
    assert (row["status"], row["error_code"]) == ("cancelled", "CANCELLED")
    time.sleep(1.3)
    assert n_calls(visitor) == 1


# ---- left alone ----

def open_breaker(visitor, agent):
    """Asks until it is open; returns the refusal."""
    for _ in range(10):
        answer = visitor.ask(agent)
        if answer.status == 503:
            return answer
        assert answer.status in (502, 504), answer
    raise AssertionError("the breaker did not open")


def test_a_breaker_opens_and_tries_and_closes(visitor):
    answer = open_breaker(visitor, "breaks")
    assert n_calls(visitor) == 5, "five in a row open it"
    for _ in range(6):  # both responders know
        answer = visitor.ask("breaks")
        body = check_error(answer, 503, "CIRCUIT_BREAKER_OPEN")
        assert 1 <= body["retryAfter"] <= RESET_S and answer.header("Retry-After") == str(body["retryAfter"])
        row = ended_row(visitor.stack, visitor.asked)
        assert (row["status"], row["error_code"], row["total_tokens"]) == ("failed", "CIRCUIT_BREAKER_OPEN", None)
    with visitor.stream("breaks") as stream:
        assert (stream.status, stream.json()["code"]) == (503, "CIRCUIT_BREAKER_OPEN")
    assert n_calls(visitor) == 5
    assert visitor.get("/api/agents/breaks/status").data["breaker"] == "open"
    assert visitor.ask("well").status == 200, "it is that agent's alone"
    visitor.stack.reset_stats()

    time.sleep(RESET_S + 0.1)
    check_error(visitor.ask("breaks"), 503, "CIRCUIT_BREAKER_OPEN")  # its one try failed, and there was no other
    assert n_calls(visitor) == 1

    change_model(visitor.stack, "breaks", "sim-n5-d0")
    time.sleep(RESET_S - 1)
    for state in ("half_open", "half_open", "closed"):
        assert visitor.ask("breaks").data["content"] == tokens(5)
        assert visitor.get("/api/agents/breaks/status").data["breaker"] == state


def test_few_try_a_provider_that_hangs(visitor):
    with Crowd(visitor.stack, crowd_of(40, "breaks-hanging")) as crowd:
        answers = crowd.join()
    assert {answer.status for answer in answers} == {504}, "they were all let through: nobody knew yet"
    visitor.stack.reset_stats()
    assert visitor.ask("breaks-hanging").status == 503
    time.sleep(RESET_S + 0.1)
    with Crowd(visitor.stack, crowd_of(40, "breaks-hanging")) as crowd:
        statuses = [answer.status for answer in crowd.join()]
    assert n_calls(visitor) == statuses.count(504) <= 3 and statuses.count(503) == 40 - statuses.count(504)


# ---- replaced ----

def check_answered_by(visitor, asked, by, model):
    answer = visitor.read(asked)
    start = answer.one("start")
    assert (start["agentId"], start["model"], answer.reason) == (by, model, "stop")
    row = ended_row(visitor.stack, visitor.asked)
    assert (row["agent_id"], row["model"], row["status"]) == (by, model, "complete")
    return answer, row


def test_another_agent_answers_and_all_say_so(visitor):
    earn_retries(visitor, 3)
    answer, row = check_answered_by(visitor, "replaced", "well", "sim-n5-d0")
    assert answer.text == row["content"] == tokens(5)
    assert visitor.stack.stats()["errors"] == 4 and n_calls(visitor) == 5
    session = visitor.stack.sql(f"SELECT agent_id FROM chat_sessions WHERE id = '{row['session_id']}'")
    assert session == [["replaced"]], "the conversation is still with whom it was begun"
    for _ in range(3):  # once its breaker is open, nobody waits for its tries any more
        check_answered_by(visitor, "replaced", "well", "sim-n5-d0")
    visitor.stack.reset_stats()
    check_answered_by(visitor, "replaced", "well", "sim-n5-d0")
    assert n_calls(visitor) == 1
    counted = wait_for(lambda: visitor.stack.sql("SELECT sum(n) FROM usage_pending WHERE agent_id = 'well'") != [[None]], 5, "its usage")
    assert counted


@pytest.mark.parametrize("agent", ["replaced-at-once", "replaced-slowly"])
def test_what_trying_again_cannot_mend_is_replaced_at_once(visitor, agent):
    check_answered_by(visitor, agent, "well", "sim-n5-d0")
    assert n_calls(visitor) == 2


def test_only_the_asked_agents_own_list_counts(visitor):
    check_answered_by(visitor, "chain-1", "well", "sim-n5-d0")
    assert n_calls(visitor) == 3


def test_who_cannot_be_told_the_question_is_passed_over(visitor):
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
    answer = visitor.ask("replaced-by-who-sees", messages=[{"role": "user", "content": parts}])
    assert answer.data["content"] == tokens(5) and answer_row(visitor.stack, visitor.asked)["agent_id"] == "well"
    assert n_calls(visitor) == 2


def test_a_question_that_is_refused_is_not_passed_on(visitor):
    check_error(visitor.ask("not-replaced"), 502, "UPSTREAM_ERROR")
    assert n_calls(visitor) == 1


def test_one_failure_in_three_with_another_agent_is_nobodys_trouble(visitor):
    answers = Crowd(visitor.stack, crowd_of(60, "replaced-now-and-then")).join()
    check_healthy(answers, tokens(5), gap_seconds=5)
    assert visitor.stack.stats()["errors"] >= 20


def test_v1_says_who_answered(visitor):
    answer = visitor.stack.post("/v1/chat/completions", json={"model": "replaced-at-once", "messages": [{"role": "user", "content": "Hello"}]},
                                cookies=visitor.cookies)
    if answer.status == 401:  # /v1 is for keys and tokens
        visitor.stack.ctl("user", "add", "vera", stdin="Trub4dor & 3\n")
        token = visitor.stack.ctl("token", "issue", "--user", "vera").stdout.strip()
        answer = visitor.stack.post("/v1/chat/completions", token=token,
                                    json={"model": "replaced-at-once", "messages": [{"role": "user", "content": "Hello"}]})
    body = answer.json()
    assert answer.status == 200 and body["model"] == "well" and body["choices"][0]["message"]["content"] == tokens(5)


# ---- waited for ----

def watch_open(stack, crowd):
    """The most calls that were open at once while the crowd was at it."""
    most = 0
    while crowd.thread.is_alive():
        most = max(most, stack.stats()["open"])
        time.sleep(0.01)
    return most


def test_so_many_calls_at_once_and_so_many_wait(visitor):
    crowd = Crowd(visitor.stack, crowd_of(30, "narrow"))
    most = watch_open(visitor.stack, crowd)
    answers = crowd.join()
    served = [answer for answer in answers if answer.status == 200]
    check_healthy(served, tokens(5))
    assert 2 <= most <= 3
    assert len(served) >= 8 and n_calls(visitor) == len(served)
    for answer in answers:
        if answer.status != 200:
            assert answer.status == 503 and answer.body["code"] == "OVERLOADED" and answer.body["retryAfter"] == 1
    # All places were given back, in both responders.
    for _ in range(4):
        assert visitor.ask("narrow").status == 200


def test_the_line_is_the_hosts(visitor):
    with Crowd(visitor.stack, crowd_of(1, "narrow-slow")).begun() as first:
        with Crowd(visitor.stack, crowd_of(1, "narrow-slow")) as second:
            time.sleep(0.3)
            for _ in range(4):
                check_error(visitor.ask("narrow-slow"), 503, "OVERLOADED")
            check_healthy(first.join() + second.join(), tokens(20))
    assert n_calls(visitor) == 2


def test_a_queue_that_is_full_goes_to_the_next_agent(visitor):
    with Crowd(visitor.stack, crowd_of(1, "narrow-replaced")).begun() as first:
        check_answered_by(visitor, "narrow-replaced", "well", "sim-n5-d0")
        check_healthy(first.join(), tokens(20))


def test_who_leaves_the_line_takes_no_place(visitor):
    with Crowd(visitor.stack, crowd_of(1, "narrow-left")).begun() as first:
        leave_early(visitor.stack, visitor.body("narrow-left", stream=True), 0.3)
        row = ended_row(visitor.stack, visitor.asked)
        assert (row["status"], row["total_tokens"]) == ("cancelled", None)
        assert n_calls(visitor) == 1
        visitor.stack.ctl("stop", answer_row(visitor.stack, first.asks[0]["responseChatItemId"])["id"])
        first.join()
    assert visitor.ask("narrow-left", max_tokens=1).status == 200


def test_a_dead_responder_keeps_no_place(visitor):
    stack = visitor.stack
    with Crowd(stack, crowd_of(1, "narrow-slow")).begun():
        for slot in list(stack.responders()):
            stack.kill(slot)
    stack.wait_until_ready()
    wait_for(lambda: visitor.ask("narrow-slow").status == 200, 10, "a place")
