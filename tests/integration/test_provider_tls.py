"""Providers behind https: a good certificate, and all the others, whose owners must never see the key or the question."""

import pytest

from chatting import Crowd, PROVIDER_KEY, Visitor, check_error, check_healthy, crowd_of, ended_row, new_stack, tokens
from conftest import finish
from tls_provider import TlsProvider


def at(variable, path="v1"):
    return {"endpoint": "${%s}/%s/chat/completions" % (variable, path)}


AGENTS = {
    "good": ("sim-n20-d50", at("TLS_GOOD")),
    "good-address": ("sim-n5-d5", at("TLS_GOOD_ADDRESS")),
    "zh": ("sim-zh-n20-d5-bytes", at("TLS_GOOD")),
    "cut": ("sim-n20-d20-cut5", at("TLS_GOOD")),
    "moved": ("sim-n5-d5", at("TLS_GOOD", "moved")),
    "expired": ("sim-n5-d5", at("TLS_EXPIRED")),
    "wrong-host": ("sim-n5-d5", at("TLS_WRONG_HOST")),
    "wrong-address": ("sim-n5-d5", at("TLS_WRONG_ADDRESS")),
    "stranger": ("sim-n5-d5", at("TLS_STRANGER")),
    "no-tls": ("sim-n5-d5", {**at("TLS_NONE"), "timeouts": {"connectMs": 600}}),
}


@pytest.fixture(scope="module")
def tls_and_stack():
    stack = new_stack(AGENTS)
    tls = None
    try:
        stack.run("init")
        stack.sim("start")
        sim_port = (stack.dir / "sim.port").read_text().strip()
        directory = stack.dir / "tls"
        directory.mkdir(mode=0o755)
        tls = TlsProvider(directory, sim_port).start()
        stack.start(PROVIDER_CA_FILE=tls.ca_file, TLS_GOOD=tls.url("good"), TLS_GOOD_ADDRESS=tls.url("good", "127.0.0.1"),
                    TLS_EXPIRED=tls.url("expired"), TLS_WRONG_HOST=tls.url("wrong-host"), TLS_WRONG_ADDRESS=tls.url("wrong-host", "127.0.0.1"),
                    TLS_STRANGER=tls.url("stranger"), TLS_NONE=f"https://localhost:{sim_port}")
        stack.wait_until_ready()
        yield tls, stack
    finally:
        if tls:
            tls.stop()
        finish(stack)


@pytest.fixture
def tls(tls_and_stack):
    return tls_and_stack[0]


@pytest.fixture
def stack(tls_and_stack, request):
    request.node.stacks = [tls_and_stack[1]]
    return tls_and_stack[1]


def test_a_good_certificate_streams_complete_and_intact(stack):
    with Crowd(stack, crowd_of(10, "good")) as crowd:
        check_healthy(crowd.join(), tokens(20))
    assert stack.last_request()["authorization"] == f"Bearer {PROVIDER_KEY}"
    visitor = Visitor(stack)
    answer = visitor.read("zh")
    assert answer.text == "今天天气很好，我们一起去公园散步，看花。" * 2 and answer.reason == "stop"
    assert ended_row(stack, visitor.asked)["content"] == answer.text
    assert visitor.ask("good-address").data["content"] == tokens(5)


def test_a_connection_that_breaks_under_tls_is_an_error_too(stack):
    visitor = Visitor(stack)
    answer = visitor.read("cut")
    assert (answer.text, answer.reason) == (tokens(5), "error") and answer.one("error")["code"] == "UPSTREAM_ERROR"
    assert ended_row(stack, visitor.asked)["status"] == "interrupted"


def check_untrusted(stack, agent, words):
    """Both kinds of call fail before anything is sent, and the log names the reason."""
    visitor = Visitor(stack)
    stack.reset_stats()
    n_before = len(stack.logs("provider_call_failed"))
    check_error(visitor.ask(agent), 502, "UPSTREAM_ERROR")
    row = ended_row(stack, visitor.asked)
    assert (row["status"], row["error_code"], row["content"], row["first_event_ms"]) == ("failed", "UPSTREAM_ERROR", "", None)
    with visitor.stream(agent) as stream:
        assert (stream.status, stream.json()["code"]) == (502, "UPSTREAM_ERROR")
    failures = stack.logs("provider_call_failed")[n_before:]
    assert len(failures) == 2 and all(words in line["error"] for line in failures), failures
    assert stack.stats()["requests"] == 0 and not (stack.last_request() or {}).get("authorization")


@pytest.mark.parametrize("agent, words", [
    ("expired", "certificate has expired"),
    ("wrong-host", "no alternative certificate subject name matches target host name 'localhost'"),
    ("wrong-address", "no alternative certificate subject name matches target host name '127.0.0.1'"),
    ("stranger", "unable to get local issuer certificate"),
])
def test_a_certificate_that_is_not_trusted_gets_nothing(stack, agent, words):
    check_untrusted(stack, agent, words)


def test_a_handshake_that_gets_no_answer_is_part_of_connecting(stack):
    stack.reset_stats()
    answer = Visitor(stack).ask("no-tls")
    check_error(answer, 504, "UPSTREAM_TIMEOUT")
    assert 0.55 < answer.took < 2 and stack.stats()["requests"] == 0


def test_nobody_is_sent_on_to_another_address(stack):
    stack.reset_stats()
    check_error(Visitor(stack).ask("moved"), 502, "UPSTREAM_ERROR")
    assert stack.logs("turn_ended")[-1]["reason"] == "http_status"
    assert stack.stats()["requests"] == 0


def test_a_file_that_holds_no_certificate_changes_nothing(stack, tls):
    before = stack.responders()
    for path, words in (("/nonexistent/ca.pem", "No such file"), (stack.dir / "env", "PEM")):
        stack.env["PROVIDER_CA_FILE"] = str(path)
        stack.write_overrides()
        done = stack.run("up", check=False)
        assert done.returncode != 0 and f"PROVIDER_CA_FILE is {path}: " in done.stderr and words in done.stderr, done.stderr
    stack.env["PROVIDER_CA_FILE"] = str(tls.ca_file)
    assert stack.responders() == before
    assert Visitor(stack).ask("good").status == 200


def restart(stack, **env):
    stack.nginx("stop")  # whose kept connections would still reach the generation before
    stack.start(**env)
    stack.wait_until_ready()


def test_without_our_own_authority_only_those_of_the_system_are_trusted(stack, tls):
    restart(stack, PROVIDER_CA_FILE="")
    check_untrusted(stack, "good", "unable to get local issuer certificate")
    restart(stack, PROVIDER_CA_FILE=tls.ca_file)
    assert Visitor(stack).ask("good").data["content"] == tokens(20)
