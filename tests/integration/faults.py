"""What goes wrong beside 200 healthy streams, which must not notice.

Each fault does its mischief to a running stack and asserts what it does to those it concerns; neighbours() are the streams beside it.
test_faults.py runs every one against the sanitizer build, bench/faults against the optimised one, where milliseconds count.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import threading
import time

from fastcgi_peer import Peer, begin, http_params, pairs, record, PARAMS, STDIN
from stack import ROOT, as_owner, wait_for

GAP_MS = 100
N_HEALTHY = 200
HEALTHY_S = 8

# id: (model of the stand-in provider, fields of the agent)
AGENTS = {
    "healthy": (f"sim-n{HEALTHY_S * 1000 // GAP_MS}-d{GAP_MS}", {}),
    "quick": ("sim-n5-d0", {}),
    "huge": ("sim-n120-d0-size65536", {}),
    "left": ("sim-n100-d500", {"onDisconnect": "cancel"}),
    "hangs": ("sim-hang", {"timeouts": {"headersMs": 3000}}),
    "fails": ("sim-err500", {}),
    **{f"slow-name-{i}": ("sim-n5-d0", {"endpoint": f"http://p{i}.slow.test:${{PROVIDER_SIM_PORT}}/v1/chat/completions"}) for i in range(4)},
}


# What a stack must be started with: a second to wait for PostgreSQL, since the faults must be over before the streams are, somebody
# who can log in, and what people have against providers that fail.
SETTINGS = {"RETRY_MAX_RETRIES": 3, "CIRCUIT_BREAKER_FAILURE_THRESHOLD": 5,
            "DB_CONNECTION_TIMEOUT": 1000, "DB_STATEMENT_TIMEOUT": 1000, "MAX_ANSWER_BYTES": 8 << 20,
            "ADMIN_USERNAME": "root", "ADMIN_PASSWORD": "nobody guesses this"}


# ---- the neighbours ----

class Neighbours:
    """Healthy streams from the load generator (bench/load), which checks every event. `report` is its own, after the end."""

    def __init__(self, stack, load, n=N_HEALTHY):
        self.stack, self.n, self.report = stack, n, None
        tokens = HEALTHY_S * 1000 // GAP_MS
        command = [load, "streams", "--port", str(stack.port), "--agent", "healthy", "--n", str(n), "--ramp-ms", "500",
                   "--tokens", str(tokens), "--timeout-s", "40"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def wait_until_begun(self):
        def begun():
            stats = self.stack.stats()
            return stats["requests"] >= self.n and stats["tokens"] >= 2 * self.n
        wait_for(begun, HEALTHY_S, f"the first tokens of {self.n} streams")

    def join(self):
        out, _ = self.process.communicate(timeout=60)
        self.report = json.loads(out)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def neighbours(stack, load):
    """Runs beside the body; their report is there after it."""
    stack.reset_stats()
    beside = Neighbours(stack, load)
    try:
        beside.wait_until_begun()
        yield beside
        assert beside.process.poll() is None, f"the streams were over before the fault was: {beside.process.communicate()[0][:2000]}"
        beside.join()
    finally:
        beside.end()


def check_neighbours(beside, victims=False):
    """All complete and intact, without a gap over a second. victims: those of one responder may have been cut off, no others and in
    no other way."""
    report = beside.report
    remarks = {key: report[key] for key in ("completed", "failed", "unfinished", "faults", "samples", "gap_ms")}
    if victims:
        assert report["completed"] + report["failed"] == report["n"] and report["completed"] >= report["n"] // 4, remarks
        # Cut off: the connection, or nginx ends the body for it. Nobody pretends that the answer has ended.
        assert sum(report["faults"].get(kind, 0) for kind in ("reset", "http", "order")) == report["failed"], remarks
    else:
        assert report["completed"] == report["n"] and not report["failed"] and not report["unfinished"], remarks
    assert report["gap_ms"]["max"] < 1000, remarks


# ---- tools of the mischief ----

class Fault:
    """One kind of mischief. `around` is a context that the neighbours live in as well."""

    def __init__(self, do, victims=False, around=None):
        self.name, self.do, self.victims = do.__name__, do, victims
        self.around = around or (lambda stack: contextlib.nullcontext())

    def run(self, stack, load):
        """The neighbours' report."""
        with self.around(stack):
            with neighbours(stack, load) as beside:
                self.do(stack)
            check_neighbours(beside, self.victims)
        return beside.report


FAULTS = {}


def fault(**kwargs):
    def add(do):
        FAULTS[do.__name__] = Fault(do, **kwargs)
        return do
    return add


def in_threads(n, call):
    """call(i) n times at once; what each returned, or the first exception."""
    results = [None] * n

    def one(i):
        try:
            results[i] = call(i)
        except Exception as e:  # pylint: disable=broad-except # raised below
            results[i] = e

    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def ask(stack, agent, **kwargs):
    return stack.post("/api/chat/completions", json={"agentId": agent, "messages": [{"role": "user", "content": "Hello"}]}, **kwargs)


def open_stream(stack, agent, receive_buffer=None):
    """A socket on which a stream has been asked for."""
    body = json.dumps({"agentId": agent, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}).encode()
    sock = socket.socket()
    sock.settimeout(30)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect(("127.0.0.1", stack.port))
    sock.sendall(b"POST /api/chat/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return sock


def sockets_of(stack):
    """The responders' own sockets."""
    run_dir = pathlib.Path(stack.setting("RUN_DIR"))
    return [run_dir / f"{slot}.sock" for slot in stack.responders()]


def limit_descriptors(pid, soft):
    as_owner(pid, "prlimit", f"--pid={pid}", f"--nofile={soft}:")


def wait_for_both(stack):
    wait_for(lambda: len(stack.responders()) == 2, 20, "both responders")


def wait_until_it_answers(stack):
    """Both responders, most likely. /health/ready is of no use here: after a planned restart nginx may ask one that drains."""
    wait_for(lambda: all(ask(stack, "quick").status == 200 for _ in range(6)), 20, "six good answers in a row")


# ---- readers and senders ----

@fault()
def a_reader_stops_after_1_kb_of_8_mb(stack):
    sock = open_stream(stack, "huge", receive_buffer=8192)
    got = sock.recv(1024)
    time.sleep(3)  # the fault itself
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    while piece := sock.recv(1 << 20):
        got += piece
    sock.close()
    assert got.count(b"event: chunk\n") == 120 and b"event: end\n" in got and len(got) > 120 * 65536


@fault()
def five_hundred_leave_at_once(stack):
    before = stack.stats()["open"]
    crowd = [open_stream(stack, "left") for _ in range(500)]
    for sock in crowd:
        assert sock.recv(12).endswith(b"200")
    assert stack.stats()["open"] >= before + 450
    for sock in crowd:
        sock.close()
    wait_for(lambda: stack.stats()["open"] <= before, 3, "the provider to be left by those whose readers left")


@fault()
def a_megabyte_of_brackets(stack):
    body = b'{"agentId":"quick","messages":' + b"[" * (1024 * 1024 - 64)
    for answer in in_threads(24, lambda _: stack.post("/api/chat/completions", body=body, headers={"Content-Type": "application/json"})):
        assert (answer.status, answer.json()["code"]) == (400, "MALFORMED_JSON"), answer


@fault()
def ten_megabytes_at_a_kilobyte_a_second(stack):
    """Through nginx and straight at the responders."""
    n_bytes = 10 * 1024 * 1024
    head = b"POST /api/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % n_bytes
    through_nginx = [socket.create_connection(("127.0.0.1", stack.port)) for _ in range(60)]
    straight = [Peer(path) for path in sockets_of(stack) for _ in range(20)]
    for sock in through_nginx:
        sock.sendall(head)
    for peer in straight:
        params = pairs({**http_params("POST", "/api/chat/completions"), "CONTENT_LENGTH": str(n_bytes)})
        peer.send(begin() + record(PARAMS, params) + record(PARAMS))
    for _ in range(4):
        for sock in through_nginx:
            sock.sendall(b" " * 1024)
        for peer in straight:
            peer.send(record(STDIN, b" " * 1024))
        time.sleep(1)  # the fault itself
    for sock in [*through_nginx, *straight]:
        sock.close()


@fault()
def requests_that_begin_and_never_end(stack):
    through_nginx = [socket.create_connection(("127.0.0.1", stack.port)) for _ in range(100)]
    straight = [Peer(path) for path in sockets_of(stack) for _ in range(50)]
    for sock in through_nginx:
        sock.sendall(b"POST /api/chat/completions HTTP/1.1\r\nHost: loc")
    for i, peer in enumerate(straight):
        whole = begin() + record(PARAMS, pairs(http_params("POST", "/api/chat/completions", b"x" * 9))) + record(PARAMS) + record(STDIN, b"{")
        peer.send(whole[:len(whole) * (i + 1) // len(straight)])
    time.sleep(3)  # the fault itself
    assert stack.get("/health").status == 200
    for sock in [*through_nginx, *straight]:
        sock.close()


@fault()
def rubbish_on_the_responders_sockets(stack):
    rng, paths = random.Random(20), sockets_of(stack)
    for i in range(2000):
        with Peer(paths[i // 4 % len(paths)]) as peer:
            rubbish = rng.randbytes(rng.randrange(1, 4096))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                peer.send((b"", begin(), record(PARAMS, rubbish[:200]), begin() + record(PARAMS, rubbish))[i % 4] + rubbish)


@fault()
def no_descriptors_left(stack):
    """The listener pauses and comes back; the provider, whom nobody could call meanwhile, is not held to have failed."""
    pids = list(stack.responders().values())
    n_pauses, n_opened, answers = len(stack.logs("accept_paused")), len(stack.logs("breaker_opened")), []
    for pid in pids:
        limit_descriptors(pid, len(as_owner(pid, "ls", f"/proc/{pid}/fd").split()) + 6)
    asking = threading.Thread(target=lambda: answers.extend(in_threads(60, lambda _: ask(stack, "quick"))))
    asking.start()
    try:
        wait_for(lambda: len(stack.logs("accept_paused")) > n_pauses, 3, "the pause of a listener")
        time.sleep(1)  # the fault itself
    finally:
        for pid in pids:
            limit_descriptors(pid, 1024)
        asking.join()
    assert len(answers) == 60
    for answer in answers:  # each is answered in full or refused with a reason
        assert answer.status == 200 or answer.json()["code"] in ("DB_UNAVAILABLE", "OVERLOADED"), answer
    assert len(stack.logs("breaker_opened")) == n_opened
    assert list(stack.responders().values()) == pids, "nobody died of it"
    assert {answer.status for answer in in_threads(40, lambda _: ask(stack, "quick"))} == {200}


# ---- providers and names ----

@fault()
def an_agents_provider_hangs(stack):
    for answer in in_threads(200, lambda _: ask(stack, "hangs")):
        assert (answer.status, answer.json()["code"]) == (504, "UPSTREAM_TIMEOUT"), answer


@fault()
def an_agents_provider_fails(stack):
    """Fifty questions a second: a few calls open its breaker, retries stay within the host's budget, and everybody is told at once."""
    def ask_in_time(i):
        time.sleep(max(0, began + i / 50 - time.monotonic()))
        return ask(stack, "fails")

    before, began = stack.stats()["errors"], time.monotonic()
    answers = in_threads(250, ask_in_time)
    assert {(answer.status, answer.json()["code"]) for answer in answers} <= {(502, "UPSTREAM_ERROR"), (503, "CIRCUIT_BREAKER_OPEN")}
    calls = stack.stats()["errors"] - before
    assert 5 <= calls <= 40, f"{calls} calls for 250 questions"
    assert sum(answer.status == 503 for answer in answers) >= 200


@contextlib.contextmanager
def slow_names(stack):
    """Responders whose name server takes three seconds over some names."""
    library = stack.dir / "slow_resolver.so"
    if not library.exists():
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, ROOT / "tests/integration/slow_resolver.c"], check=True, timeout=60)
        os.chmod(library, 0o755)
    # The sanitizer's library wants to be the first one otherwise.
    asan = os.environ.get("ASAN_OPTIONS", "")
    stack.run("pool", "restart", STACK_PRELOAD=str(library), ASAN_OPTIONS=f"{asan}:verify_asan_link_order=0")
    try:
        yield
    finally:
        stack.pool("restart")


@fault(around=slow_names)
def a_name_server_takes_three_seconds(stack):
    answers = in_threads(16, lambda i: ask(stack, f"slow-name-{i % 4}"))
    assert {answer.status for answer in answers} == {200}, answers
    assert min(answer.took for answer in answers) > 2, "the name server was not slow, so this has shown nothing"
    assert max(answer.took for answer in answers) < 5, answers


# ---- PostgreSQL ----

def check_refused(stack):
    """Nobody is answered without PostgreSQL, and nobody is left hanging."""
    for answer in in_threads(50, lambda _: ask(stack, "quick")):
        assert (answer.status, answer.json()["code"]) == (503, "DB_UNAVAILABLE"), answer


@fault()
def postgresql_stops_for_a_while(stack):
    stack.pg("stop")
    try:
        check_refused(stack)
    finally:
        stack.pg("start")
    wait_until_it_answers(stack)


@fault()
def postgresql_is_paused(stack):
    stack.pg("pause")
    try:
        check_refused(stack)
    finally:
        stack.pg("resume")
    wait_until_it_answers(stack)


@fault()
def postgresql_restarts(stack):
    answers = []
    asking = threading.Thread(target=lambda: answers.extend(in_threads(20, lambda _: ask(stack, "quick"))))
    asking.start()
    stack.pg("restart")
    asking.join()
    assert len(answers) == 20
    for answer in answers:
        assert answer.status == 200 or (answer.status, answer.json()["code"]) == (503, "DB_UNAVAILABLE"), answer
    wait_until_it_answers(stack)


# ---- passwords ----

LOGINS = []


@contextlib.contextmanager
def _logins(_stack):
    """Whoever has not got in when the streams are over gets in later: how long that takes is the machine's affair."""
    yield
    answers = [login.result(60) for login in LOGINS]
    LOGINS.clear()
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json()["data"]["token"] for answer in answers}) == 50


@fault(around=_logins)
def fifty_log_in_at_once(stack):
    """Each costs a tenth of a second and 64 MiB, on purpose."""
    crowd = concurrent.futures.ThreadPoolExecutor(50)
    LOGINS.extend(crowd.submit(stack.post, "/api/auth/login", json={"username": "root", "password": "nobody guesses this"}, timeout=60)
                  for _ in range(50))
    crowd.shutdown(wait=False)
    concurrent.futures.wait(LOGINS, 4)


# ---- responders ----

@fault(victims=True)
def a_responder_is_killed(stack):
    old = stack.kill(1)
    wait_for(lambda: stack.responders().get(1) not in (None, old), 5, "another responder in slot 1")


@fault()
def a_responder_is_terminated(stack):
    stack.kill(1, signal.SIGTERM)
    assert ask(stack, "quick").status == 200


@fault()
def a_planned_restart(stack):
    before = stack.responders()
    stack.pool("restart")
    assert not set(stack.responders().values()) & set(before.values())
    assert {answer.status for answer in in_threads(20, lambda _: ask(stack, "quick"))} == {200}
