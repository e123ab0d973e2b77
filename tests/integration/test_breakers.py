"""What people see of the circuit breakers, and what administrators and operators do about them.

The breakers are brought into their states in the responders' own file, by a program of a few lines (breaker_says.c).
"""

import datetime
import json
import os
import re
import stat
import subprocess

import pytest

from accounts import admin, ask, audit_of, module_stack, new_person, the_stack  # noqa: F401
from faults import ROOT
from stack import wait_for
from test_host import table

BREAKERS = "/api/admin/agents/breakers"
SOURCES = ["tests/integration/breaker_says.c", *(f"base/{name}.c" for name in (
    "breaker", "breaker_table", "retry_budget", "clock", "log", "mem", "str", "buf", "json_write"))]


def says(stack, agent, *words, reset_ms=30000):
    """Calls end as these words say; returns who was let through."""
    program = stack.dir / "breaker_says"
    if not program.exists():
        subprocess.run(["cc", "-O1", f"-I{ROOT}", "-o", program, *(ROOT / source for source in SOURCES)], check=True, timeout=60)
        os.chmod(program, 0o755)
    run_dir = stack.setting("RUN_DIR")
    owner = os.stat(run_dir)
    who = {} if owner.st_uid == os.getuid() else {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    return subprocess.run([program, run_dir, str(reset_ms), agent, *words], check=True, capture_output=True, text=True, cwd="/", timeout=20, **who).stdout.split()


@pytest.fixture
def closed(stack, admin):  # noqa: F811 pylint: disable=redefined-outer-name
    """All of them."""
    assert admin.post(f"{BREAKERS}/reset").status == 200
    return stack


def shown(stack, agent):  # noqa: F811
    """What each responder says of it."""
    return [ask(stack, slot, "GET", f"/api/agents/{agent}/status").data["breaker"] for slot in (1, 2)]


def listed(admin, agent, query=""):  # noqa: F811 pylint: disable=redefined-outer-name
    return next((one for one in admin.get(BREAKERS + query).data if one["agentId"] == agent), None)


def in_table(stack, agent):  # noqa: F811
    return next((row for row in table(stack.ctl("breakers", "list")) if row["AGENT"] == agent), None)


def reset_lines(stack, agent):  # noqa: F811
    return [entry for entry in stack.logs("breaker_closed") if entry["agent"] == agent and entry["why"] == "reset"]


def test_all_are_closed_at_first(closed, admin):  # noqa: F811 pylint: disable=redefined-outer-name
    assert shown(closed, "quick") == ["closed", "closed"]
    answer = admin.get(BREAKERS)
    assert [one["agentId"] for one in answer.data] == ["echo", "other", "quick"] and answer.json()["metadata"]["pagination"]["total"] == 3
    assert listed(admin, "other") == {"agentId": "other", "breaker": "closed", "failures": 0, "successes": 0, "probes": 0, "changedAt": None,
                                      "retryAfterMs": 0, "coolingDown": False}
    assert closed.get("/health/detailed").json()["components"]["upstreams"] == [{"agentId": name, "breaker": "closed"} for name in ("echo", "other", "quick")]
    assert stat.S_IMODE(os.stat(f"{closed.setting('RUN_DIR')}/breakers").st_mode) == 0o600


def test_both_responders_and_all_lists_show_the_open_one(closed, admin):  # noqa: F811 pylint: disable=redefined-outer-name
    assert says(closed, "quick", *["failure"] * 6) == ["passed"] * 5 + ["refused"]
    says(closed, "other", "failure", "failure")
    assert shown(closed, "quick") == ["open", "open"] and shown(closed, "other") == ["closed", "closed"]
    one = listed(admin, "quick")
    assert (one["breaker"], one["failures"], one["coolingDown"]) == ("open", 0, False) and 20000 < one["retryAfterMs"] <= 30000
    age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(one["changedAt"].replace("Z", "+00:00"))
    assert datetime.timedelta(seconds=-1) < age < datetime.timedelta(seconds=15)
    assert listed(admin, "other")["failures"] == 2
    assert [one["agentId"] for one in admin.get(f"{BREAKERS}?breaker=open").data] == ["quick"]
    assert [one["agentId"] for one in admin.get(f"{BREAKERS}?breaker=closed").data] == ["echo", "other"]
    assert admin.get(f"{BREAKERS}?breaker=half_open").data == []
    refused = admin.get(f"{BREAKERS}?breaker=ajar")
    assert refused.status == 400 and "breaker" in refused.json()["message"]
    assert {"agentId": "quick", "breaker": "open"} in closed.get("/health/detailed").json()["components"]["upstreams"]
    row = in_table(closed, "quick")
    assert row["BREAKER"] == "open" and re.fullmatch(r"2\d\.\ds|30\.0s", row["RETRY AFTER"]) and re.fullmatch(r"\d+s", row["SINCE"]), row
    assert (in_table(closed, "other")["BREAKER"], in_table(closed, "other")["FAILURES"]) == ("closed", "2") and in_table(closed, "echo") is None
    printed = {one["agentId"]: one for one in json.loads(closed.ctl("breakers", "list", "--json").stdout)}
    assert printed["quick"]["breaker"] == "open" and printed["other"]["failures"] == 2


def test_half_open_and_cool_downs_are_shown(closed, admin):  # noqa: F811 pylint: disable=redefined-outer-name
    says(closed, "quick", *["failure"] * 5)
    wait_for(lambda: says(closed, "quick", "success", reset_ms=100) == ["passed"], 5, "half-open")
    assert says(closed, "quick", "hold", "hold") == ["passed", "passed"]
    assert shown(closed, "quick") == ["half_open", "half_open"]
    one = listed(admin, "quick")
    assert (one["successes"], one["failures"], one["probes"], one["retryAfterMs"]) == (1, 0, 2, 0)
    assert (in_table(closed, "quick")["SUCCESSES"], in_table(closed, "quick")["PROBES"]) == ("1", "2")
    says(closed, "echo", "cool")
    one = listed(admin, "echo")
    assert (one["breaker"], one["coolingDown"]) == ("closed", True) and 50000 < one["retryAfterMs"] <= 60000
    assert re.fullmatch(r"cools (5\d\.\d|60\.0)s", in_table(closed, "echo")["RETRY AFTER"])


def test_an_administrator_resets_one(closed, admin):  # noqa: F811 pylint: disable=redefined-outer-name
    for agent in ("quick", "other"):
        says(closed, agent, *["failure"] * 5)
    before, lines = len(audit_of(closed, kind="breaker.reset")), len(reset_lines(closed, "quick"))
    answer = admin.post(f"{BREAKERS}/quick/reset")
    assert (answer.status, answer.data["agentId"], answer.data["breaker"], answer.data["retryAfterMs"]) == (200, "quick", "closed", 0)
    assert shown(closed, "quick") == ["closed", "closed"] and shown(closed, "other") == ["open", "open"]
    assert says(closed, "quick", *["failure"] * 5) == ["passed"] * 5
    kind, actor, _, address, details = audit_of(closed, kind="breaker.reset")[before:][0]
    assert (kind, actor, address, details) == ("breaker.reset", admin.username, "127.0.0.1", {"agentId": "quick"})
    assert len(reset_lines(closed, "quick")) == lines + 1
    unknown = admin.post(f"{BREAKERS}/nobody/reset")
    assert (unknown.status, unknown.json()["code"]) == (404, "AGENT_NOT_FOUND")
    assert len(audit_of(closed, kind="breaker.reset")) == before + 1
    assert new_person(admin).post(f"{BREAKERS}/other/reset").status == 403
    assert shown(closed, "other") == ["open", "open"]


def test_an_administrator_resets_all(closed, admin):  # noqa: F811 pylint: disable=redefined-outer-name
    says(closed, "quick", *["failure"] * 5)
    says(closed, "other", "failure")
    says(closed, "echo", "cool")
    assert admin.post(f"{BREAKERS}/reset").data == {"reset": 3}
    assert all((one["breaker"], one["failures"], one["retryAfterMs"]) == ("closed", 0, 0) for one in admin.get(BREAKERS).data)
    assert audit_of(closed, kind="breakers.reset")[-1][4] == {"agents": "3"}
    assert admin.post(f"{BREAKERS}/reset").data == {"reset": 0}


def test_llmchatctl_resets_one_or_all(closed):
    for agent in ("quick", "other"):
        says(closed, agent, *["failure"] * 5)
    lines = len(reset_lines(closed, "quick"))
    assert closed.ctl("breakers", "reset", "quick").stdout == "quick: closed\n"
    assert shown(closed, "quick") == ["closed", "closed"] and shown(closed, "other") == ["open", "open"]
    wait_for(lambda: len(reset_lines(closed, "quick")) == lines + 1, 5, "one line in the log")
    assert closed.ctl("breakers", "reset", "quick").stdout == "quick: was closed already, without a failure\n"
    says(closed, "echo", "cool")
    assert closed.ctl("breakers", "reset", "--all").stdout == "2 reset\n"
    assert shown(closed, "other") == ["closed", "closed"]
    assert len(reset_lines(closed, "quick")) == lines + 1


@pytest.mark.parametrize("words, status, said", [
    (["reset", "nobody"], 1, "There is no agent nobody."), (["reset", "a/b"], 2, "no id of an agent"), (["reset"], 2, "needs the id"), ([], 2, "needs an action"),
    (["reset", "x" * 65], 2, "no id of an agent"), (["reset", "a", "b"], 2, "needs the id"), (["list", "all"], 2, "no arguments but --json"), (["open"], 2, "does not know open"),
])
def test_llmchatctl_says_what_it_does_not_understand(closed, words, status, said):
    done = closed.ctl("breakers", *words, check=False)
    assert done.returncode == status and said in done.stderr, done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_the_list_is_not_for_strangers(closed):
    settings = {"RUN_DIR": closed.setting("RUN_DIR"), "TOKEN_SECRET": "x" * 32, "PATH": os.environ["PATH"]}
    done = subprocess.run([f"{closed.prefix}/bin/llmchatctl", "breakers", "list"], env=settings, user=65534, group=65534, extra_groups=[], cwd="/",
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1 and "breakers: Permission denied" in done.stderr, done.stderr


def test_an_open_one_outlives_responders(closed):
    says(closed, "quick", *["failure"] * 5, reset_ms=3600000)
    closed.kill(1)
    wait_for(lambda: len(closed.responders()) == 2, 20, "another responder")
    closed.wait_until_ready()
    assert shown(closed, "quick") == ["open", "open"]
    closed.pool("restart")
    closed.wait_until_ready()
    assert shown(closed, "quick") == ["open", "open"]
    # The list is there even when nobody serves.
    closed.pool("stop")
    try:
        assert in_table(closed, "quick")["BREAKER"] == "open"
        done = closed.ctl("breakers", "reset", "quick", check=False)
        assert done.returncode == 1 and "no responder runs there" in done.stderr
    finally:
        closed.pool("start")
        closed.wait_until_ready()


def test_a_damaged_file_is_made_anew_and_one_that_cannot_be_had_stops_nobody(closed, admin):  # noqa: F811 pylint: disable=redefined-outer-name
    path = f"{closed.setting('RUN_DIR')}/breakers"
    says(closed, "quick", *["failure"] * 5)
    closed.pool("stop")
    with open(path, "r+b") as f:
        f.write(os.urandom(4096))
    assert "damaged" in closed.ctl("breakers", "list", check=False).stderr
    closed.pool("start")
    closed.wait_until_ready()
    assert shown(closed, "quick") == ["closed", "closed"] and closed.ctl("breakers", "list").returncode == 0
    closed.pool("stop")
    os.unlink(path)
    os.mkdir(path)
    try:
        closed.pool("start")
        closed.wait_until_ready()
        assert {entry["slot"] for entry in closed.logs("breakers_not_shared")} == {1, 2}
        assert shown(closed, "quick") == ["closed", "closed"] and admin.chat().status == 200
        assert admin.post(f"{BREAKERS}/quick/reset").status == 200
    finally:
        os.rmdir(path)
        closed.pool("restart")
        closed.wait_until_ready()
    assert says(closed, "quick", "failure") == ["passed"] and in_table(closed, "quick")["FAILURES"] == "1"
