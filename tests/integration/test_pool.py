"""The pool: start, stop, status, death, planned restart."""

import os
import signal
import threading
import time

from stack import wait_for


def test_status_shows_every_responder_serving(stack):
    rows = stack.pool_status()
    assert [row["slot"] for row in rows] == [1, 2]
    assert all(row["state"] == "serving" for row in rows), rows
    assert stack.pool("status").returncode == 0


def test_sockets_are_for_owner_and_group_only(stack):
    for slot in (1, 2):
        mode = os.stat(f"{stack.setting('RUN_DIR')}/{slot}.sock").st_mode
        assert mode & 0o777 == 0o660


def test_a_killed_responder_is_replaced_within_two_seconds(stack):
    for slot in (1, 2):
        old = stack.responders()[slot]
        killed_at = time.monotonic()
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: stack.responders().get(slot) not in (None, old), 2, f"another responder in slot {slot}")
        # Asked twice: least_conn with nothing busy goes round.
        assert stack.get("/health").status == 200
        assert stack.get("/health").status == 200
        assert time.monotonic() - killed_at < 2
    assert all(row["state"] == "serving" for row in stack.pool_status())


def test_requests_that_come_while_a_responder_is_dead_wait_for_the_next_one(stack):
    for slot in (1, 2):
        stack.kill(slot)
    assert stack.get("/health", timeout=5).status == 200


def test_a_planned_restart_renews_every_responder_and_refuses_nobody(stack):
    before = stack.responders()
    statuses, going = [], True

    def keep_asking():
        while going:
            statuses.append(stack.get("/health", timeout=10).status)

    askers = [threading.Thread(target=keep_asking) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        stack.pool("restart")
    finally:
        going = False
        for asker in askers:
            asker.join()
    after = stack.responders()
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    assert statuses and set(statuses) == {200}
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}/fd/0") for pid in before.values()), 30, "the old generation's end")
    assert all(row["state"] == "serving" for row in stack.pool_status())


def read_streams(stack, count):
    """Starts so many two-second answers; returns a function that waits for them and gives their last event names."""
    question = {"agentId": "demo-zh", "stream": True, "messages": [{"role": "user", "content": "你好"}]}
    ends = []

    def read():
        with stack.stream("POST", "/api/chat/completions", json=question) as stream:
            events = list(stream)
            ends.append((stream.status, events[-1].event if events else None, sum(e.event == "chunk" for e in events)))

    readers = [threading.Thread(target=read) for _ in range(count)]
    for reader in readers:
        reader.start()
    wait_for(lambda: stack.stats()["open"] >= count, 10, f"{count} open answers at the provider")

    def join():
        for reader in readers:
            reader.join()
        return ends

    return join


def test_a_planned_restart_cuts_no_stream(stack):
    join = read_streams(stack, 8)
    stack.pool("restart")
    assert join() == [(200, "end", 40)] * 8


def test_stop_lets_streams_end(make_stack):
    stack = make_stack(CHAT_ANONYMOUS="true")
    join = read_streams(stack, 4)
    stack.pool("stop")
    assert join() == [(200, "end", 40)] * 4


def test_a_refused_configuration_leaves_the_pool_as_it_is(make_stack):
    stack = make_stack()
    before = stack.responders()
    stack.env["RATE_LIMIT_POINTS"] = "many"
    stack.write_overrides()
    stack.run("init")
    refused = stack.pool("restart", check=False)
    assert refused.returncode != 0
    assert "RATE_LIMIT_POINTS" in refused.stderr
    assert stack.responders() == before
    assert stack.get("/health").status == 200


def test_a_crash_loop_is_loud_and_ends_by_itself(make_stack):
    stack = make_stack(RESPONDERS=1)
    # As a program that dies at every start would look: kill each one as soon as it is there.
    for _ in range(5):
        wait_for(lambda: stack.responders().get(1), 10, "a responder")
        stack.kill(1)
    row = wait_for(lambda: next((r for r in stack.pool_status() if r["state"] == "crash loop"), None), 5, "a crash loop in status")
    assert row["starts"] >= 4
    assert stack.pool("status", check=False).returncode == 1
    assert stack.logs("responder_crash_loop")
    stack.wait_until_ready()


def test_stop_ends_every_process_and_status_says_so(make_stack):
    stack = make_stack()
    rows = stack.pool_status()
    stack.pool("stop")
    for row in rows:
        for pid in (row["responder"], row["supervisor"]):
            # A zombie has no open files; its parent may be slow to collect it.
            assert not os.path.exists(f"/proc/{pid}/fd/0")
    status = stack.pool("status", check=False)
    assert status.returncode == 3
    assert "not running" in status.stdout
    assert not any(name.endswith(".sock") and name != "redis.sock" and not name.startswith(".") for name in os.listdir(stack.setting("RUN_DIR")))
    stack.pool("start")
    stack.wait_until_ready()


def test_no_secret_is_on_a_command_line(stack):
    secrets = [stack.setting(name) for name in ("DB_PASSWORD", "TOKEN_SECRET", "SECRETS_KEY")]
    assert all(secrets)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read()
        except OSError:
            continue
        assert not any(secret.encode() in words for secret in secrets)
