"""More turns than a host takes: those it has go on, the others are told at once. (Descriptors that run out: faults.py.)"""

from chatting import Crowd, Visitor, check_healthy, crowd_of, new_stack, tokens
from conftest import finish
from control import wait_until_acquainted


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
