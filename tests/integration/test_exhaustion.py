"""More turns than a responder takes: those it has go on, the others are told at once. (Descriptors that run out: faults.py.)"""

from chatting import Crowd, Visitor, check_healthy, crowd_of, new_stack, tokens
from conftest import finish


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
