"""More turns than a host takes: those it has go on, the others are told at once. Descriptors that run out blame nobody else. (What that is to
healthy streams: faults.py.)"""

import json
import threading

from chatting import Crowd, Visitor, check_healthy, crowd_of, new_stack, tokens
from conftest import finish
from control import wait_until_acquainted
from fastcgi_peer import KEEP_CONN, Peer
from fastcgi_peer import request as request_bytes
from faults import limit_descriptors


def test_too_many_turns_are_refused_at_once(request):
    stack = new_stack(MAX_CONCURRENT_REQUESTS=5)
    request.node.stacks = [stack]
    stack.start()
    stack.wait_until_ready()
    wait_until_acquainted(stack)
    try:
        with Crowd(stack, crowd_of(30, "long")) as crowd:
            answers = crowd.join()
            taken = [answer for answer in answers if answer.status == 200]
            refused = [answer for answer in answers if answer.status != 200]
            # Two responders that each see the fourth turn at once may both begin a fifth.
            assert 5 <= len(taken) <= 6, "five on both responders together"
            check_healthy(taken, tokens(60))
            assert {(answer.status, answer.body["code"]) for answer in refused} == {(503, "OVERLOADED")}
        again = Visitor(stack).ask("quick")
        assert again.status == 200, again
    finally:
        finish(stack)


def test_a_lack_of_descriptors_is_no_failure_of_the_provider(request):
    """The provider was never called before, so each call needs a descriptor; readers and the database have theirs."""
    stack = new_stack(RESPONDERS=1, RETRY_MAX_RETRIES=1, RETRY_BASE_DELAY=10, CIRCUIT_BREAKER_FAILURE_THRESHOLD=2)
    request.node.stacks = [stack]
    stack.start()
    stack.wait_until_ready()
    pid = stack.responders()[1]
    question = json.dumps({"agentId": "quick", "messages": [{"role": "user", "content": "Hello"}]}).encode()
    try:
        with Peer(f"{stack.setting('RUN_DIR')}/1.sock") as peer:
            def ask(path="/api/chat/completions", method="POST", body=question):
                peer.send(request_bytes(method, path, body, flags=KEEP_CONN))
                status, headers, body = peer.read_answer()
                return status, headers, json.loads(body)

            assert ask("/health", "GET", b"")[0] == 200
            limit_descriptors(pid, 1)
            for _ in range(2):
                status, headers, body = ask()
                assert (status, body["code"], headers["retry-after"]) == (503, "OVERLOADED", ["1"]), body
            assert {line["error"] for line in stack.logs("provider_call_failed")} == {"this server has run out of descriptors or memory"}
            assert stack.stats()["requests"] == 0 and not stack.logs("breaker_opened")
            # Who has time is tried for again, and does not notice.
            lift = threading.Timer(0.5, limit_descriptors, (pid, 1024))
            lift.start()
            status, _, body = ask()
            lift.join()
            assert (status, body["data"]["content"]) == (200, tokens(5))
            assert stack.logs("provider_retry")
    finally:
        finish(stack)
