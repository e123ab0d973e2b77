"""Every fault of faults.py, with 200 healthy streams beside it that stay complete and intact without a gap over a second."""

import os

import pytest

from chatting import new_stack
from conftest import finish
from faults import AGENTS, FAULTS, SETTINGS, wait_for_both, wait_until_it_answers
from stack import ROOT, wait_for

LOAD = os.environ.get("STACK_LOAD", str(ROOT / "build" / "sanitize" / "bench" / "load"))


@pytest.fixture(scope="module")
def own_stack():
    stack = new_stack(AGENTS, **SETTINGS)
    stack.start()
    stack.wait_until_ready()
    yield stack
    finish(stack)


@pytest.mark.parametrize("name", FAULTS)
def test_two_hundred_streams_do_not_notice(own_stack, request, name):
    request.node.stacks = [own_stack]
    FAULTS[name].run(own_stack, LOAD)
    # And all is as it was before.
    wait_for_both(own_stack)
    wait_until_it_answers(own_stack)
    wait_for(lambda: own_stack.sql_one("SELECT count(*) FROM chat_messages WHERE status = 'streaming'") == "0", 15, "the end of every row")
    assert own_stack.stats()["open"] == 0
