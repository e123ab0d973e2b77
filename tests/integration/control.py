"""The control sockets of a stack's responders, spoken to by hand."""

import contextlib
import json
import os
import re
import socket

from stack import wait_for


def control_paths(stack):
    """{slot: path} of the control sockets of the newest generations."""
    run_dir = stack.setting("RUN_DIR")
    found = sorted((int(m[1]), int(m[2]), f"{run_dir}/{name}") for name in os.listdir(run_dir)
                   if (m := re.fullmatch(r"ctl\.(\d+)\.(\d+)", name)))
    return {slot: path for slot, _, path in found}


def tell(path, command):
    """One command as bytes or text, one answer as an object."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as s:
        s.connect(path)
        s.bind("")
        s.settimeout(5)
        s.send(command if isinstance(command, bytes) else command.encode())
        return json.loads(s.recv(1 << 17))


def states(stack):
    """{slot: state} of those that answer."""
    answers = {}
    for slot, path in control_paths(stack).items():
        with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):  # it has just died
            answers[slot] = tell(path, "state")
    return answers


def live_turns(stack):
    """[(slot, turn)]"""
    return [(slot, turn) for slot, state in states(stack).items() for turn in state["liveTurns"]]


def stop_it(stack, answer_id):
    """Tells everybody; returns the slots that knew it."""
    return [slot for slot, path in control_paths(stack).items() if tell(path, f"stop {answer_id}")["ok"]]


def wait_until_acquainted(stack, n=2):
    """Responders look for their siblings once a second."""
    wait_for(lambda: [state["siblings"] for state in states(stack).values()] == [n - 1] * n, 5, "responders that know each other")
