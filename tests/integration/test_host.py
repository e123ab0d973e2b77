"""What the responders of a host share: counts, and control sockets through which each can be asked and told."""

import json
import os
import signal
import subprocess
import threading

import pytest

from chatting import Visitor, answer_row, chat, ended_row, tokens  # noqa: F401
from control import control_paths, live_turns, states, stop_it, tell
from stack import wait_for


@pytest.fixture
def visitor(chat):  # noqa: F811
    wait_for(lambda: not live_turns(chat), 20, "the end of all turns")
    return Visitor(chat)


def test_state_says_who_it_is_and_what_it_does(chat, visitor):  # noqa: F811
    stream = visitor.stream("spaced")
    wait_for(lambda: any(turn["state"] == "streaming" for _, turn in live_turns(chat)), 5, "a live turn")
    both = states(chat)
    assert sorted(both) == [1, 2]
    pids = chat.responders()
    for slot, state in both.items():
        assert (state["ok"], state["slot"], state["pid"], state["draining"]) == (True, slot, pids[slot], False)
        assert state["siblings"] >= 1 and state["uptimeMs"] > 0 and state["version"] and state["startedAt"].endswith("Z")
        assert state["database"]["reachable"] and state["database"]["max"] > 1 and state["loop"]["turns"] > 0
    assert sum(state["turns"] for state in both.values()) == 1
    assert sum(state["requests"] for state in both.values()) > 0
    (_, turn), = live_turns(chat)
    assert (turn["agentId"], turn["state"]) == ("spaced", "streaming") and turn["ageMs"] >= 0
    row = answer_row(chat, visitor.asked)
    assert turn["answerId"] == row["id"]
    assert turn["userId"] == chat.sql_one(f"SELECT user_id FROM chat_sessions WHERE id = '{row['session_id']}'")
    assert [event.event for event in stream][-1] == "end"
    wait_for(lambda: sum(state["turns"] for state in states(chat).values()) == 0, 5, "no turns counted")


def test_the_socket_is_for_its_owner_only(chat):  # noqa: F811
    for path in control_paths(chat).values():
        assert os.stat(path).st_mode & 0o777 == 0o600


def test_a_stopped_stream_keeps_what_came_and_says_so(chat, visitor):  # noqa: F811
    before = chat.stats()["closed_by_client"]
    text, events = "", []
    for event in visitor.stream("finish"):
        events.append(event)
        if event.event == "chunk":
            text += event.data["content"]
            if len(text) == len(tokens(4)):
                assert len(stop_it(chat, answer_row(chat, visitor.asked)["id"])) == 1
    assert text and text != tokens(20) and tokens(20).startswith(text)
    assert [event.event for event in events[-2:]] == ["status", "end"]
    assert events[-2].data == {"type": "complete", "status": "completed"}
    assert events[-1].data["finishReason"] == "stopped"
    row = ended_row(chat, visitor.asked)
    assert (row["status"], row["content"], row["finish_reason"], row["error_code"]) == ("stopped", text, "stopped", None)
    assert row["completion_tokens"] > 0 and row["usage_estimated"]
    wait_for(lambda: chat.stats()["closed_by_client"] > before, 2, "the close of the provider's connection")


def test_a_stop_before_the_first_word_is_a_whole_answer_without_any(chat, visitor):  # noqa: F811
    events = []
    reader = threading.Thread(target=lambda: events.extend(visitor.stream("cancel-late")))
    reader.start()
    wait_for(lambda: any(turn["state"] == "calling" for _, turn in live_turns(chat)), 5, "a call of the provider")
    (_, turn), = live_turns(chat)
    assert stop_it(chat, turn["answerId"].upper())
    reader.join(10)
    assert [event.event for event in events] == ["chatId", "start", "status", "end"]
    assert events[-1].data["finishReason"] == "stopped"
    row = ended_row(chat, visitor.asked)
    assert (row["status"], row["content"], row["first_event_ms"]) == ("stopped", "", None)


def test_a_stopped_plain_call_is_answered_with_what_came(chat, visitor):  # noqa: F811
    answers = []
    reader = threading.Thread(target=lambda: answers.append(visitor.ask("finish")))
    reader.start()
    wait_for(lambda: any(turn["state"] == "streaming" for _, turn in live_turns(chat)), 5, "a live turn")
    (_, turn), = live_turns(chat)
    assert stop_it(chat, turn["answerId"])
    reader.join(10)
    choice, = answers[0].data["choices"]
    assert choice["finish_reason"] == "stopped" and tokens(20).startswith(choice["message"]["content"])


def test_nothing_is_stopped_twice_or_by_a_wrong_id(chat, visitor):  # noqa: F811
    visitor.read("quick")
    ended = ended_row(chat, visitor.asked)["id"]
    path = control_paths(chat)[1]
    assert tell(path, f"stop {ended}")["code"] == "NOT_FOUND"
    assert tell(path, "stop everything")["code"] == "BAD_COMMAND"


def test_rubbish_is_answered_and_harms_nobody(chat):  # noqa: F811
    for path in control_paths(chat).values():
        for rubbish in (b"", b"\0", b"state\0", b"\xff" * 100, b"state" * 1000, b"x" * 60000, b"drain please", b"log loud"):
            answer = tell(path, rubbish)
            assert not answer["ok"] and answer["code"] == "BAD_COMMAND" and answer["error"].endswith("."), rubbish
    assert chat.get("/health").status == 200


def test_the_log_level_changes_at_once(chat):  # noqa: F811
    before = len(chat.logs("log_level"))
    for path in control_paths(chat).values():
        assert tell(path, "log debug")["ok"]
        assert tell(path, "log info")["ok"]
    assert [entry["now"] for entry in chat.logs("log_level")[before:]] == ["debug", "info"] * 2


def table(done):
    """What llmchatctl printed, as dicts by the words of its head, which are columns."""
    head, *lines = done.stdout.splitlines()
    starts = [i for i in range(len(head)) if head[i] != " " and (i == 0 or head[i - 2:i] == "  ")]
    return [{head[a:b].strip(): line[a:b].strip() for a, b in zip(starts, [*starts[1:], None])} for line in lines]


def test_llmchatctl_pool_shows_who_serves(chat, visitor):  # noqa: F811
    done = chat.ctl("pool")
    assert [line.split()[:3] for line in done.stdout.splitlines()[1:]] == \
        [[str(slot), str(pid), "serving"] for slot, pid in sorted(chat.responders().items())], done.stdout
    responders = json.loads(chat.ctl("pool", "--json").stdout)["responders"]
    assert [r["slot"] for r in responders] == [1, 2]
    for r in responders:
        assert (r["state"], r["pid"]) == ("serving", r["answer"]["pid"]) and r["answer"]["requests"] > 0
    # One that hangs is waited for, but not for ever, and the other is shown all the same.
    pid = chat.kill(2, signal.SIGSTOP)
    try:
        done = chat.ctl("pool", check=False)
        assert done.returncode == 1
        assert [line.split()[2] for line in done.stdout.splitlines()[1:]] == ["serving", "no"], done.stdout
        assert f"slot 2 (process {pid}) lives, but has not answered" in done.stderr
    finally:
        os.kill(pid, signal.SIGCONT)
    assert chat.ctl("pool").returncode == 0


def test_llmchatctl_stops_a_turn_wherever_it_lives(chat, visitor):  # noqa: F811
    stopped_slots = set()
    while stopped_slots != {1, 2}:
        stream = visitor.stream("finish")
        wait_for(lambda: any(turn["state"] == "streaming" for _, turn in live_turns(chat)), 5, "a live turn")
        (slot, turn), = live_turns(chat)
        row = table(chat.ctl("turns"))
        assert [(r["SLOT"], r["ANSWER"], r["AGENT"], r["USER"]) for r in row] == [(str(slot), turn["answerId"], "finish", turn["userId"])]
        assert f"stopped; it was a turn of slot {slot}" in chat.ctl("stop", turn["answerId"]).stdout
        assert list(stream)[-1].data["finishReason"] == "stopped"
        assert ended_row(chat, visitor.asked)["status"] == "stopped"
        stopped_slots.add(slot)
    again = chat.ctl("stop", turn["answerId"], check=False)
    assert again.returncode == 1 and "no live turn of this host" in again.stderr


def test_llmchatctl_sets_the_log_level_of_one_or_all(chat):  # noqa: F811
    before = len(chat.logs("log_level"))
    assert chat.ctl("log-level", "debug", "--slot", "2").stdout == "slot 2: from now on debug\n"
    assert chat.ctl("log-level", "info").stdout == "slot 1: from now on info\nslot 2: from now on info\n"
    assert [(entry["slot"], entry["now"]) for entry in chat.logs("log_level")[before:]][:1] == [(2, "debug")]
    refused = chat.ctl("log-level", "info", "--slot", "9", check=False)
    assert refused.returncode == 1 and "no responder runs there in slot 9." in refused.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_llmchatctl_tells_strangers_that_they_may_not(chat):  # noqa: F811
    settings = {"RUN_DIR": chat.setting("RUN_DIR"), "TOKEN_SECRET": "x" * 32, "PATH": os.environ["PATH"]}
    done = subprocess.run([f"{chat.prefix}/bin/llmchatctl", "pool"], env=settings, user=65534, group=65534, extra_groups=[], cwd="/",
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1 and "you may not look into it" in done.stderr, done.stderr


OLD_ROWS = """
INSERT INTO login_failures (kind, key, failures, expires_at) VALUES ('name', 'old', 1, now() - interval '1 minute'), ('name', 'new', 1, now() + interval '1 day');
INSERT INTO audit_log (at, type, actor, address, request_id)
    SELECT now() - make_interval(days => i), 'old', 'somebody', '', '' FROM generate_series(6, 9) i;
INSERT INTO users (id, username, password_hash) VALUES ('00000000-0000-7000-8000-000000000009', 'old', 'x');
INSERT INTO logins (id, user_id, address, expires_at) SELECT gen_random_uuid(), id, '', now() - interval '31 days' FROM users WHERE username = 'old';
INSERT INTO refresh_tokens (hash, login_id) SELECT repeat('0', 64), id FROM logins;
"""


def test_jobs_run_in_one_responder_and_move_on_when_it_is_killed(make_stack):
    stack = make_stack(AUDIT_RETENTION_DAYS=7)
    holders = lambda: [slot for slot, state in states(stack).items() if state["jobs"]]
    holder, = wait_for(holders, 10, "somebody who runs the jobs")
    stack.sql(OLD_ROWS)
    stack.kill(holder)
    wait_for(lambda: len(stack.logs("jobs_taken")) == 2 and len(holders()) == 1, 10, "another holder")
    left = lambda: stack.sql_one("SELECT (SELECT count(*) FROM login_failures) || ' ' || (SELECT count(*) FROM audit_log WHERE type = 'old')"
                                 " || ' ' || (SELECT count(*) FROM logins) || ' ' || (SELECT count(*) FROM refresh_tokens)")
    wait_for(lambda: left() == "1 1 0 0", 15, "the end of what is old")
    assert {entry["job"]: entry["rows"] for entry in stack.logs("rows_expired")} == {"login_failures": 1, "audit_log": 3, "logins": 1}
    assert [r["STATE"] for r in table(stack.ctl("pool"))] == ["serving"] * 2
    assert stack.ctl("pool").stdout.count("jobs") == 1
    # Draining lets go of them too.
    n_before = len(stack.logs("jobs_taken"))
    stack.pool("restart")
    wait_for(lambda: len(stack.logs("jobs_taken")) > n_before and len(holders()) == 1, 15, "somebody of the new generation")


def test_a_drained_responder_is_followed_by_another(chat):  # noqa: F811
    old = chat.responders()[1]
    path = control_paths(chat)[1]
    assert tell(path, "drain")["ok"]
    wait_for(lambda: tell(path, "state")["draining"] if os.path.exists(path) else True, 5, "draining")
    wait_for(lambda: chat.responders().get(1) not in (None, old), 45, "another responder")
    assert not os.path.exists(path)
    assert sorted(control_paths(chat)) == [1, 2]
