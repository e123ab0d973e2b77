"""A private LLMChat for a test: PostgreSQL, the stand-in provider, the pool and nginx in one directory.

dev/stack does the work, as it does for quickstart; this file only calls it and talks HTTP to the result.
Programs come from STACK_PREFIX, where `make install` put them; directories go below STACK_TESTS if it is set.
"""

import collections
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
STACK = ROOT / "dev" / "stack"
UNLIMITED = {"RATE_LIMIT_POINTS": "1000000", "RATE_LIMIT_MAX_REQUESTS": "1000000"}

# A question is one call: tests that are about something else want to see what one failure does. Those of tests/integration/test_resilience.py have
# what people have.
ONE_CALL = {"RETRY_MAX_RETRIES": "0", "CIRCUIT_BREAKER_FAILURE_THRESHOLD": "1000"}

Event = collections.namedtuple("Event", "at id event data")
Event.__doc__ = "One server-sent event: `at` is time.monotonic() when its last byte came; id and event may be None."


def wait_for(condition, seconds=10, what="the condition"):
    """Calls condition until it gives something true and returns that; fails loudly after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds} s")
        time.sleep(0.02)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def as_owner(pid, *command):
    """What a command says that is run by the user of a process: only that one may look at it and change its limits."""
    owner = os.stat(f"/proc/{pid}")
    who = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.getuid() != owner.st_uid else {}
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/", timeout=10, **who).stdout


class Response:
    """A whole answer. Header names are case-insensitive; a repeated header is joined, all() has each."""

    def __init__(self, status, headers, body, took):
        self.status, self.body, self.took = status, body, took
        self._headers = headers

    @property
    def text(self):
        return self.body.decode("utf-8")

    def json(self):
        return json.loads(self.body)

    @property
    def data(self):
        """What the success envelope carries."""
        answer = self.json()
        assert answer.get("code") == "SUCCESS", answer
        return answer["data"]

    def header(self, name, otherwise=None):
        return self._headers.get(name, otherwise)

    def all(self, name):
        return self._headers.get_all(name, [])

    def cookies(self):
        """{name: value} of what the answer sets."""
        pairs = (line.split(";", 1)[0].split("=", 1) for line in self.all("Set-Cookie"))
        return {name.strip(): value for name, value in pairs}

    def __repr__(self):
        return f"<{self.status} after {self.took:.3f} s: {self.body[:300]!r}>"


class Stream:
    """A streamed answer: iterate for events as they arrive. Closing it early is what a reader does who leaves.

    status and headers are there at once; comments (": ping") are counted in `pings`; `raw` is every byte so far.
    If the status is not 200 there are no events and `body` has the error.
    """

    def __init__(self, connection, response, started):
        self.connection, self.response, self.started = connection, response, started
        self.status = response.status
        self.pings, self.raw, self.body = 0, b"", None
        if response.status != 200:
            self.body = response.read()
            self.close()

    def header(self, name, otherwise=None):
        return self.response.headers.get(name, otherwise)

    def json(self):
        return json.loads(self.body)

    def __iter__(self):
        if self.body is not None:
            return
        buffer = b""
        try:
            while True:
                piece = self.response.read1(65536)
                now = time.monotonic()
                if not piece:
                    break
                self.raw += piece
                buffer += piece
                while b"\n\n" in buffer:
                    block, buffer = buffer.split(b"\n\n", 1)
                    event = self._event(block, now)
                    if event:
                        yield event
        finally:
            self.close()
        assert not buffer.strip(), f"the stream ended in the middle of an event: {buffer[-200:]!r}"

    def _event(self, block, now):
        fields = {"id": None, "event": None}
        data = []
        for line in block.decode("utf-8").split("\n"):
            name, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if name == "":
                self.pings += 1
            elif name == "data":
                data.append(value)
            elif name in fields:
                fields[name] = value
        if not data:
            return None
        data = "\n".join(data)
        with contextlib.suppress(ValueError):
            data = json.loads(data)
        return Event(now, fields["id"], fields["event"], data)

    def close(self):
        """Closes the connection, in the middle of the answer if need be."""
        self.response.close()
        if self.connection.sock:
            with contextlib.suppress(OSError):
                self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Stack:
    """One private stack. env: configuration variables that go over what dev/stack sets."""

    PROVIDERS = ONE_CALL

    def __init__(self, directory=None, **env):
        above = os.environ.get("STACK_TESTS")
        self.prefix = os.environ.get("STACK_PREFIX")
        assert self.prefix, "STACK_PREFIX must name the prefix of `make install`; ./runtests sets it"
        self.dir = pathlib.Path(directory or tempfile.mkdtemp(prefix="s", dir=above))
        # Tests come from one address, and ask more than a person does.
        self.env = {**UNLIMITED, **self.PROVIDERS, **{name: str(value) for name, value in env.items()}}
        self.port = None

    # ---- life ----

    def run(self, *args, check=True, timeout=120, stdin=None, **env):
        """dev/stack DIR args …; returns the finished process (text output)."""
        environment = {k: v for k, v in os.environ.items() if k not in ("PORT", "STACK_TESTS")}
        environment.update(STACK_PREFIX=self.prefix, STACK_FSYNC="off")
        if self.port:
            environment["PORT"] = str(self.port)
        environment.update(env)
        done = subprocess.run([str(STACK), str(self.dir), *args], env=environment, timeout=timeout, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}))
        if check and done.returncode != 0:
            raise AssertionError(f"dev/stack {' '.join(args)}: {done.stdout}{done.stderr}\n{self.log_tail()}")
        return done

    def start(self, **env):
        """Starts all of it, or again with other settings (a planned restart of the responders then)."""
        self.env.update({name: str(value) for name, value in env.items()})
        self.write_overrides()
        for attempt in range(5):
            self.port = self.port or free_port()
            done = self.run("up", check=False)
            if done.returncode == 0:
                return self
            # Somebody else may have taken the port between asking and binding.
            if "in use" not in done.stderr or attempt == 4:
                self.run("down", check=False)
                raise AssertionError(f"dev/stack up: {done.stdout}{done.stderr}\n{self.log_tail()}")
            self.port = None

    def write_overrides(self):
        """Settings are handed over in a file: some are secret, and a command line is public."""
        path = self.dir / "overrides"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            for name, value in self.env.items():
                quote = "'" if '"' in value else '"'
                f.write(f"{name}={quote}{value}{quote}\n")

    def stop(self):
        """Ends every process of the stack."""
        self.run("down")

    def remove(self):
        """After stop(): the directory too."""
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # ---- parts: start, stop, restart, pause … as dev/stack has them ----

    def pg(self, verb):
        return self.run("pg", verb)

    def redis(self, verb, *args):
        return self.run("redis", verb, *args)

    def redis_cli(self, *args, check=True):
        """What redis-cli says, without the line's end."""
        return self.run("redis", "cli", *args, check=check).stdout.rstrip("\n")

    def nginx(self, verb):
        return self.run("nginx", verb)

    def sim(self, verb):
        return self.run("sim", verb)

    def pool(self, verb, check=True):
        return self.run("pool", verb, check=check)

    def ctl(self, *args, check=True, stdin=None):
        """llmchatctl with this stack's settings."""
        return self.run("ctl", *args, check=check, stdin=stdin)

    def setting(self, name):
        """A value of the env file that the responders read."""
        for line in (self.dir / "env").read_text().splitlines():
            key, _, value = line.partition("=")
            if key == name:
                return value.strip("\"'")
        return None

    def pool_status(self):
        """[{slot, responder, supervisor, state, starts}] as `llmchat-pool status` shows it."""
        rows = []
        for line in self.pool("status", check=False).stdout.splitlines()[1:]:
            words = line.split()
            if not words or not (words[0].isdigit() or words[0] == "-"):
                continue
            number = lambda word: int(word) if word.isdigit() else None
            rest = words[3:]
            starts = next((int(word) for word in rest if word.isdigit()), None)
            state = " ".join(rest[:next((i for i, word in enumerate(rest) if word.isdigit()), len(rest))])
            rows.append({"slot": number(words[0]), "responder": number(words[1]), "supervisor": number(words[2]),
                         "state": state, "starts": starts})
        return rows

    def responders(self):
        """{slot: pid} of the responders that new requests go to; draining ones are not among them."""
        return {row["slot"]: row["responder"] for row in self.pool_status()
                if row["slot"] is not None and row["responder"] is not None}

    def kill(self, slot, signal_number=signal.SIGKILL):
        """Sends a signal to the responder of a slot and returns its pid."""
        pid = self.responders()[slot]
        os.kill(pid, signal_number)
        return pid

    # ---- PostgreSQL ----

    def sql(self, query, superuser=False):
        """Rows as lists of strings, None for NULL; several statements give the rows of all of them."""
        done = self.run("pg", "psql", "-q", "-A", "-t", "-F", "\t", "-P", "null=\\N", "-v", "ON_ERROR_STOP=1", "-f", "-",
                        stdin=query, **({"PGUSER": "postgres"} if superuser else {}))
        return [[None if cell == "\\N" else cell for cell in line.split("\t")] for line in done.stdout.splitlines()]

    def sql_one(self, query, **kwargs):
        """The only cell of the only row."""
        rows = self.sql(query, **kwargs)
        assert len(rows) == 1 and len(rows[0]) == 1, rows
        return rows[0][0]

    # ---- HTTP ----

    def _connect(self, timeout, source):
        source = (source, 0) if source else None
        if "TLS_CERTIFICATE" not in self.env:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout, source_address=source)
        # One that signed itself is its own authority.
        trust = ssl.create_default_context(cafile=self.env["TLS_CERTIFICATE"])
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, source_address=source, context=trust)

    def _send(self, method, path, json_body, body, headers, cookies, token, timeout, source):
        connection = self._connect(timeout, source)
        headers = dict(headers or {})
        if json_body is not None:
            body = json.dumps(json_body, ensure_ascii=False).encode("utf-8")
            headers.setdefault("Content-Type", "application/json")
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            try:
                connection.request(method, path, body=body, headers=headers)
            except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                pass  # refused before the body was through; the answer is there all the same
            return connection, connection.getresponse()
        except BaseException:
            connection.close()
            raise

    def http(self, method, path, json=None, body=None, headers=None, cookies=None, token=None, timeout=30, source=None):
        """One request through nginx, and its whole answer. source: the loopback address to come from."""
        started = time.monotonic()
        connection, answer = self._send(method, path, json, body, headers, cookies, token, timeout, source)
        with contextlib.closing(connection):
            return Response(answer.status, answer.headers, answer.read(), time.monotonic() - started)

    def get(self, path, **kwargs):
        return self.http("GET", path, **kwargs)

    def post(self, path, json=None, **kwargs):
        return self.http("POST", path, json=json, **kwargs)

    def stream(self, method, path, json=None, body=None, headers=None, cookies=None, token=None, timeout=60, source=None):
        """The same for a streamed answer: a Stream, to be iterated."""
        started = time.monotonic()
        connection, answer = self._send(method, path, json, body, headers, cookies, token, timeout, source)
        return Stream(connection, answer, started)

    def wait_until_ready(self, seconds=20, times=1):
        def ready():
            try:
                return all(self.get("/health/ready", timeout=5).status == 200 for _ in range(times))
            except OSError:
                return False
        wait_for(ready, seconds, "/health/ready")

    def wait_until_all_are_ready(self):
        """Where no generation is draining: nginx takes the responders in turn."""
        self.wait_until_ready(times=4)

    # ---- the stand-in provider ----

    def _sim(self, method, path):
        port = int((self.dir / "sim.port").read_text())
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
            return json.loads(body) if body.strip() else None

    def stats(self):
        """{requests, completed, open, closed_by_client, errors, tokens} of the stand-in provider."""
        return self._sim("GET", "/sim/stats")

    def last_request(self):
        return self._sim("GET", "/sim/last")

    def reset_stats(self):
        return self._sim("POST", "/sim/reset")

    # ---- logs ----

    def raw_log(self, name="responder"):
        path = self.dir / "log" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def logs(self, event=None):
        """The responders' log: a list of dicts, of one event if it is named. Lines that are no JSON are left out."""
        lines = []
        for line in self.raw_log().splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and (event is None or entry.get("event") == event):
                    lines.append(entry)
        return lines

    def log_tail(self, lines=40):
        """The ends of all logs, for a failure."""
        parts = []
        for path in sorted([*self.dir.glob("log/*.log"), *self.dir.glob("nginx/*error.log")]):
            with contextlib.suppress(OSError):
                tail = path.read_text(errors="replace").splitlines()[-lines:]
                if tail:
                    parts.append(f"---- {path}\n" + "\n".join(tail))
        return "\n".join(parts)

    def sanitizer_reports(self):
        """What AddressSanitizer and its siblings wrote into the responders' and the provider's logs."""
        marks = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "AddressSanitizer:DEADLYSIGNAL", ": Assertion `")
        reports = []
        for name in ("responder", "provider-sim"):
            lines = self.raw_log(name).splitlines()
            reports += ["\n".join(lines[i:i + 40]) for i, line in enumerate(lines) if any(m in line for m in marks)]
        return reports
