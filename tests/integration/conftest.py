"""Fixtures: `stack` is shared by all tests of a run, `make_stack` gives a test its own, with settings of its own."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from stack import Stack  # noqa: E402


def finish(stack):
    """Stops a stack and looks whether the sanitizers complained; keeps its directory if ./runtests wants the logs."""
    stack.stop()
    reports = stack.sanitizer_reports()
    if not reports and "STACK_TESTS" not in os.environ:
        stack.remove()
    assert not reports, f"the sanitizers complained in {stack.dir}/log:\n" + "\n\n".join(reports[:3])


@pytest.fixture(scope="session")
def shared_stack():
    stack = Stack(CHAT_ANONYMOUS="true")
    stack.start()
    yield stack
    finish(stack)


@pytest.fixture
def stack(shared_stack, request):
    """The shared stack, whole: a test that stopped a part of it may leave it so."""
    request.node.stacks = [shared_stack]
    yield shared_stack
    if shared_stack.run("status", check=False).returncode != 0:
        shared_stack.start()


@pytest.fixture
def make_stack(request):
    """make_stack(RATE_LIMIT_POINTS=5, …) starts a private stack, which ends with the test."""
    request.node.stacks = []

    def make(**env):
        one = Stack(**env)
        request.node.stacks.append(one)
        return one.start()

    yield make
    for one in request.node.stacks:
        finish(one)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.failed:
        for stack in getattr(item, "stacks", []):
            report.sections.append(("logs of the stack", stack.log_tail()))
