"""Responders that run out of something: those they serve go on, the others are told or wait, and all is well again afterwards."""

import os
import subprocess

import pytest

from chatting import Crowd, Visitor, check_healthy, crowd_of, new_stack, tokens
from conftest import finish


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


def as_owner(pid, *command):
    """What a command says that is run by the user of a process: only that one may look at it and change its limits."""
    owner = os.stat(f"/proc/{pid}")
    who = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.getuid() != owner.st_uid else {}
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/", timeout=10, **who).stdout


def limit_descriptors(pid, soft):
    as_owner(pid, "prlimit", f"--pid={pid}", f"--nofile={soft}:")


def test_without_descriptors_the_listener_pauses_and_comes_back(pool):
    pids = list(pool.responders().values())
    with Crowd(pool, crowd_of(20, "long")) as healthy:
        healthy.begun()
        for pid in pids:
            limit_descriptors(pid, len(as_owner(pid, "ls", f"/proc/{pid}/fd").split()) + 6)
        try:
            with Crowd(pool, crowd_of(60, "quick")) as others:
                answers = others.join()
        finally:
            for pid in pids:
                limit_descriptors(pid, 1024)
        # Each is answered in full or refused with a reason; nobody is cut off.
        for answer in answers:
            assert answer.reason == "stop" or answer.body["code"] in ("UPSTREAM_ERROR", "UPSTREAM_TIMEOUT", "DB_UNAVAILABLE", "OVERLOADED"), vars(answer)
        assert any(line.get("event") == "accept_paused" for line in pool.logs())
        check_healthy(healthy.join(), tokens(60))
    assert list(pool.responders().values()) == pids, "nobody died of it"
    with Crowd(pool, crowd_of(40, "quick")) as after:
        assert {answer.reason for answer in after.join()} == {"stop"}


def test_too_many_turns_are_refused_at_once(request):
    stack = new_stack(MAX_CONCURRENT_REQUESTS=5)
    request.node.stacks = [stack]
    stack.start()
    stack.wait_until_ready()
    try:
        with Crowd(stack, crowd_of(30, "long")) as crowd:
            answers = crowd.join()
            taken = [answer for answer in answers if answer.status == 200]
            refused = [answer for answer in answers if answer.status != 200]
            assert 5 <= len(taken) <= 10, "five on each responder"
            check_healthy(taken, tokens(60))
            assert {(answer.status, answer.body["code"]) for answer in refused} == {(503, "OVERLOADED")}
        again = Visitor(stack).ask("quick")
        assert again.status == 200, again
    finally:
        finish(stack)
