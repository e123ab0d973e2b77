"""POST /api/chat/messages/:id/stop: whose answer it is, where it is being written, how far it is, and what is left of it."""

import contextlib
import os
import signal
import threading
import time
import urllib.parse
import uuid

import pytest

from accounts import ask
from chatting import AGENTS, Visitor, check_error, ended_row, locked, new_stack, rows, tokens
from conftest import finish
from control import live_turns, wait_until_acquainted
from people import User
from stack import wait_for
from test_database import both_ready


MORE = {**AGENTS, "narrow": ("sim-n400-d50", {"maxConcurrent": 1, "maxQueue": 4, "onDisconnect": "cancel"})}


@pytest.fixture(scope="module")
def module_stack():
    one = new_stack(MORE, RETRY_MAX_RETRIES=1)
    one.start()
    one.wait_until_ready()
    wait_until_acquainted(one)
    yield one
    finish(one)


@pytest.fixture(name="stack")
def the_stack(module_stack, request):
    request.node.stacks = [module_stack]
    yield module_stack
    # The next test finds nobody's turns.
    for one in Reading.all:
        one.close()
    Reading.all.clear()
    wait_for(lambda: not live_turns(module_stack), 20, "the end of all turns")


@pytest.fixture
def user(stack):
    return User(stack)


@pytest.fixture
def visitor(stack):
    one = Visitor(stack)
    assert one.ask("quick").status == 200  # it has a cookie
    return one


class Reading:
    """A streamed answer that is read in a thread of its own."""

    all = []

    def __init__(self, who, agent, **fields):
        self.stack, self.who, self.agent, self.fields = who.stack, who, agent, fields
        self.stream, self.events = None, []
        self.thread = threading.Thread(target=self._read)
        self.thread.start()
        self.all.append(self)

    def _read(self):
        with contextlib.suppress(OSError, ValueError, AttributeError, AssertionError):  # it was closed
            self.stream = self.who.stream(self.agent, **self.fields)
            for event in self.stream:
                self.events.append(event)

    def close(self):
        if self.stream and self.thread.is_alive():
            self.stream.close()
        self.thread.join(20)
        assert not self.thread.is_alive()

    def turn(self):
        """(slot, turn), once it lives."""
        return wait_for(lambda: live_turns(self.stack), 10, "a live turn")[0]

    def begun(self):
        """The same, once there are words."""
        wait_for(lambda: len([event for event in self.events if event.event == "chunk"]) >= 3, 10, "the first words")
        return self.turn()

    def end(self):
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.events[-1]

    @property
    def text(self):
        return "".join(event.data["content"] for event in self.events if event.event == "chunk")


def path_of(answer_id):
    return f"/api/chat/messages/{urllib.parse.quote(answer_id, safe='')}/stop"


def stop(who, answer_id, **kwargs):
    if isinstance(who, User):
        return who.post(path_of(answer_id), **kwargs)
    return who.stack.post(path_of(answer_id), cookies=who.cookies, **kwargs)


@pytest.mark.parametrize("by", ["message id", "responseChatItemId"])
@pytest.mark.parametrize("where", ["in its own responder", "from the other one"])
def test_an_answer_is_stopped_wherever_it_is_written(stack, user, by, where):
    closed = stack.stats()["closed_by_client"]
    reading = Reading(user, "cancel")
    slot, turn = reading.begun()
    answer_id = turn["answerId"] if by == "message id" else user.asked
    began = time.monotonic()
    answer = ask(stack, slot if "own" in where else 3 - slot, "POST", path_of(answer_id), token=user.token)
    assert (answer.status, answer.data) == (200, {"messageId": turn["answerId"], "stopped": True, "status": "stopped"}), answer.body
    wait_for(lambda: stack.stats()["closed_by_client"] == closed + 1, 1, "the close of the provider's connection")
    assert reading.end().data["finishReason"] == "stopped" and time.monotonic() - began < 2
    assert [event.event for event in reading.events[-2:]] == ["status", "end"]
    row = ended_row(stack, user.asked)
    assert (row["id"], row["status"], row["finish_reason"], row["error_code"]) == (turn["answerId"], "stopped", "stopped", None)
    assert row["content"] == reading.text and tokens(400).startswith(row["content"]) and len(row["content"]) >= len(tokens(3))
    # The provider had no time to say; so it is counted from what there is.
    assert row["usage_estimated"] and row["prompt_tokens"] > 0 and row["total_tokens"] == row["prompt_tokens"] + row["completion_tokens"]
    n_words = len(reading.text.split())
    assert n_words * 0.5 <= row["completion_tokens"] <= n_words * 3
    # And what it said goes along with the next question.
    again = user.ask("echo", "and now?", chatId=reading.events[0].data["chatId"])
    assert again.status == 200 and [m["content"] for m in stack.last_request()["body"]["messages"]] == ["Hello", row["content"], "and now?"]


def test_a_visitor_stops_his_own(stack, visitor):
    reading = Reading(visitor, "cancel")
    _, turn = reading.begun()
    assert stop(visitor, visitor.asked).data == {"messageId": turn["answerId"], "stopped": True, "status": "stopped"}
    assert reading.end().data["finishReason"] == "stopped"
    assert ended_row(stack, visitor.asked)["status"] == "stopped"


def test_a_plain_call_is_answered_with_what_came(stack, user):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(user.ask("finish")))
    thread.start()
    wait_for(lambda: any(turn["state"] == "streaming" for _, turn in live_turns(stack)), 10, "a live turn")
    assert stop(user, user.asked).data["stopped"]
    thread.join(10)
    choice, = answers[0].data["choices"]
    assert choice["finish_reason"] == "stopped" and tokens(20).startswith(choice["message"]["content"])


def test_whose_reader_has_left_is_stopped_too(stack, user):
    reading = Reading(user, "finish")
    _, turn = reading.begun()
    reading.close()
    assert stop(user, turn["answerId"].upper()).data["stopped"]
    assert ended_row(stack, user.asked)["status"] == "stopped"


def test_before_the_first_event_it_is_a_whole_answer_without_a_word(stack, user):
    reading = Reading(user, "cancel-late")
    wait_for(lambda: any(turn["state"] == "calling" for _, turn in live_turns(stack)), 10, "a call of the provider")
    assert stop(user, user.asked).data["stopped"]
    assert reading.end().data["finishReason"] == "stopped"
    assert [event.event for event in reading.events] == ["chatId", "start", "status", "end"]
    row = ended_row(stack, user.asked)
    assert (row["status"], row["content"], row["first_event_ms"]) == ("stopped", "", None)


def test_before_its_rows_are_there_the_provider_is_never_asked(stack, user):
    chat_id = user.ask("quick").data["chatId"]  # a new session's provider would be asked meanwhile: test_call_at_once.py
    requests = stack.stats()["requests"]
    lock = locked(stack, "chat_sessions", 2)
    reading = Reading(user, "cancel", chatId=chat_id)
    slot, turn = reading.turn()
    assert turn["state"] == "beginning"
    for _ in range(2):  # the second time it is known how it will end
        answer = ask(stack, slot, "POST", path_of(user.asked), token=user.token)
        assert (answer.data["messageId"], answer.data["status"]) == (turn["answerId"], "stopped")
    assert not answer.data["stopped"]
    lock.join()
    assert reading.end().data["finishReason"] == "stopped"
    row = ended_row(stack, user.asked)
    assert (row["status"], row["content"]) == ("stopped", "") and stack.stats()["requests"] == requests


def test_while_it_pauses_before_a_retry_the_provider_is_not_asked_again(stack, user):
    requests = stack.stats()["requests"]
    reading = Reading(user, "err429-ra7")
    wait_for(lambda: stack.logs("provider_retry") and live_turns(stack), 10, "a retry that is put off")
    began = time.monotonic()
    assert stop(user, user.asked).data["stopped"]
    assert reading.end().data["finishReason"] == "stopped" and time.monotonic() - began < 3
    row = ended_row(stack, user.asked)
    assert (row["status"], row["content"]) == ("stopped", "") and stack.stats()["requests"] == requests + 1


def test_whoever_waits_for_a_place_gives_up_his_turn_in_the_queue(stack, user):
    other = User(stack)
    requests = stack.stats()["requests"]
    first = Reading(other, "narrow")
    first.begun()
    waiting = Reading(user, "narrow")
    wait_for(lambda: [turn["state"] for _, turn in sorted(live_turns(stack), key=lambda one: one[1]["ageMs"])][:1] == ["calling"], 10, "one that waits")
    assert stop(user, user.asked).data["stopped"]
    assert waiting.end().data["finishReason"] == "stopped" and not waiting.text
    assert ended_row(stack, user.asked)["status"] == "stopped" and stack.stats()["requests"] == requests + 1
    assert stop(other, other.asked).data["stopped"]
    first.end()
    again = Reading(user, "narrow")  # the place is free
    again.begun()
    assert stop(user, user.asked).data["stopped"]
    again.end()


def test_nobody_stops_anothers(stack, user, visitor):
    admin, other = User(stack, "--admin"), User(stack)
    reading = Reading(user, "cancel")
    _, turn = reading.begun()
    for answer_id in (turn["answerId"], user.asked):
        for answer in (stop(other, answer_id), stop(admin, answer_id), stop(visitor, answer_id), stack.post(path_of(answer_id))):
            check_error(answer, 404, "MESSAGE_NOT_FOUND")
        answer = stack.post(path_of(answer_id), token=user.token + "x")
        assert answer.status == 401
    assert [one["answerId"] for _, one in live_turns(stack)] == [turn["answerId"]]
    # The same name for an answer of his own is his own affair.
    assert other.ask("quick", responseChatItemId=user.asked).status == 200
    assert stop(other, user.asked).data["status"] == "complete"
    assert len(live_turns(stack)) == 1
    assert stop(user, user.asked).data["stopped"]
    reading.end()
    for who in (other, admin, visitor):  # nor is it told how it ended
        check_error(stop(who, turn["answerId"]), 404, "MESSAGE_NOT_FOUND")


def test_nobody_stops_a_visitors(stack, user, visitor):
    reading = Reading(visitor, "cancel")
    _, turn = reading.begun()
    another = Visitor(stack)
    assert another.ask("quick").status == 200
    for who in (user, another):
        for answer_id in (turn["answerId"], visitor.asked):
            check_error(stop(who, answer_id), 404, "MESSAGE_NOT_FOUND")
    assert stop(visitor, turn["answerId"]).data["stopped"]
    reading.end()


def test_a_key_stops_the_answers_of_its_agents(stack, user):
    right, wrong = user.key("cancel"), user.key("quick")
    reading = Reading(user, "cancel")
    _, turn = reading.begun()
    for answer_id in (turn["answerId"], user.asked):
        check_error(stop(user, answer_id, token=wrong), 404, "MESSAGE_NOT_FOUND")
    assert len(live_turns(stack)) == 1
    assert stop(user, user.asked, token=right).data["stopped"]
    reading.end()
    ended_row(stack, user.asked)
    for answer_id in (turn["answerId"], user.asked):
        check_error(stop(user, answer_id, token=wrong), 404, "MESSAGE_NOT_FOUND")
        assert stop(user, answer_id, token=right).data == {"messageId": turn["answerId"], "stopped": False, "status": "stopped"}


@pytest.mark.parametrize("agent,status", [("quick", "complete"), ("err500", "failed"), ("cut", "interrupted")])
def test_what_has_ended_is_not_stopped_but_no_error(stack, user, agent, status):
    user.ask(agent)
    row = ended_row(stack, user.asked)
    for answer_id in (row["id"], user.asked, row["id"].upper()):
        assert stop(user, answer_id).data == {"messageId": row["id"], "stopped": False, "status": status}
    assert ended_row(stack, user.asked) == row


def test_twice_is_as_good_as_once(stack, user):
    reading = Reading(user, "cancel")
    reading.begun()
    results = []
    threads = [threading.Thread(target=lambda: results.append(stop(user, user.asked).data)) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [result["status"] for result in results] == ["stopped"] * 8 and sum(result["stopped"] for result in results) == 1
    reading.end()


def test_what_is_not_there_is_404(stack, user):
    answer = user.ask("quick").data
    question, = rows(stack, f"SELECT parent_id FROM chat_messages WHERE id = '{answer['id']}'")
    for answer_id in (str(uuid.uuid4()), "nothing", question["parent_id"], answer["chatId"], "你" * 128, "a b", "' OR 1 = 1"):
        check_error(stop(user, answer_id), 404, "MESSAGE_NOT_FOUND")
    assert user.http("DELETE", f"/api/chat-sessions/{answer['chatId']}").status == 200
    for answer_id in (answer["id"], user.asked):
        check_error(stop(user, answer_id), 404, "MESSAGE_NOT_FOUND")


def test_an_id_that_can_be_none_is_400(stack, user):
    for answer_id in ("x" * 129, "你" * 129):
        check_error(stop(user, answer_id), 400, "VALIDATION_ERROR", "id")
    check_error(user.post("/api/chat/messages/%FF/stop"), 400, "VALIDATION_ERROR", "id")
    # nginx refuses this one by itself.
    answer = ask(stack, 1, "POST", "/api/chat/messages/a%00b/stop", token=user.token)
    assert (answer.status, answer.code) == (400, "VALIDATION_ERROR")
    assert user.get(path_of("x")).status == 405
    check_error(user.post("/api/chat/messages//stop"), 404, "ROUTE_NOT_FOUND")


@pytest.mark.parametrize("name", ["mine/你的 %2F?#", "🚀" * 128, "stop state"])
def test_clients_call_answers_what_they_like(stack, user, name):
    reading = Reading(user, "cancel", responseChatItemId=name)
    slot, turn = reading.begun()
    assert ask(stack, 3 - slot, "POST", path_of(name), token=user.token).data == {"messageId": turn["answerId"], "stopped": True, "status": "stopped"}
    reading.end()
    assert stop(user, name).data == {"messageId": turn["answerId"], "stopped": False, "status": "stopped"}


def test_of_two_that_are_called_the_same_the_one_that_goes_on_is_stopped(stack, user):
    assert user.ask("quick", responseChatItemId="same").status == 200
    reading = Reading(user, "cancel", responseChatItemId="same")
    _, turn = reading.begun()
    assert stop(user, "same").data == {"messageId": turn["answerId"], "stopped": True, "status": "stopped"}
    reading.end()


def test_without_postgresql_it_stops_all_the_same(stack, visitor):
    reading = Reading(visitor, "cancel")
    _, turn = reading.begun()
    stack.pg("stop")
    try:
        assert stop(visitor, visitor.asked).data == {"messageId": turn["answerId"], "stopped": True, "status": "stopped"}
        # Its ending is kept, and known.
        assert stop(visitor, turn["answerId"]).data == {"messageId": turn["answerId"], "stopped": False, "status": "stopped"}
        check_error(stop(visitor, str(uuid.uuid4())), 503, "DB_UNAVAILABLE")
    finally:
        stack.pg("start")
        both_ready(stack)
    assert reading.end().data["finishReason"] == "stopped"
    assert ended_row(stack, visitor.asked, 10)["status"] == "stopped"


def test_a_responder_that_hangs_is_waited_for_but_not_for_ever(stack, user):
    assert user.ask("quick").status == 200
    reading = Reading(user, "cancel")
    slot, turn = reading.begun()
    for one in (1, 2):  # both know him
        assert ask(stack, one, "GET", "/api/auth/verify", token=user.token).status == 200
    pid = stack.kill(slot, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = ask(stack, 3 - slot, "POST", path_of(turn["answerId"]), token=user.token)
        assert (answer.status, answer.code) == (503, "OVERLOADED") and time.monotonic() - began < 5
        answer = ask(stack, 3 - slot, "POST", path_of(str(uuid.uuid4())), token=user.token)
        assert (answer.status, answer.code) == (404, "MESSAGE_NOT_FOUND")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert ask(stack, 3 - slot, "POST", path_of(turn["answerId"]), token=user.token).data["status"] == "stopped"
    assert reading.end().data["finishReason"] == "stopped"
