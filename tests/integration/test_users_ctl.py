"""llmchatctl user and token: users, their passwords and roles, tokens for load tests; and that no secret is seen anywhere."""

import base64
import concurrent.futures
import ctypes
import hashlib
import hmac
import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import termios
import time
import uuid

import pytest

from chatting import literal
from conftest import finish
from stack import Stack, wait_for

PASSWORD = "Trub4dor & 3 语"
OTHER_PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="module")
def own_stack():
    stack = Stack(LOGIN_MAX_FAILURES=2)
    stack.start()
    stack.wait_until_ready()
    yield stack
    finish(stack)


@pytest.fixture
def ctl(own_stack, request):
    """The stack, with nobody in it."""
    request.node.stacks = [own_stack]
    own_stack.sql("DELETE FROM users; DELETE FROM audit_log; DELETE FROM login_failures; DELETE FROM changes")
    return own_stack


def fails(stack, part, *args, status=1, stdin=None):
    done = stack.ctl(*args, check=False, stdin=stdin)
    assert (done.returncode, done.stdout) == (status, ""), done
    assert done.stderr.startswith("llmchatctl: ") and part in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1 and PASSWORD not in done.stderr


def add(stack, name, *options, password=PASSWORD):
    return stack.ctl("user", "add", name, *options, stdin=password + "\n")


def user(stack, name):
    """{column: value} as `user list --json` has it."""
    found = [one for one in json.loads(stack.ctl("user", "list", "--json").stdout) if one["username"] == name]
    assert len(found) == 1, name
    return found[0]


def audit(stack):
    return stack.sql("SELECT type, actor_id, actor, address, request_id, coalesce(u.username, ''), details FROM audit_log"
                     " LEFT JOIN users u ON u.id = user_id ORDER BY audit_log.id")


def hash_of(stack, name):
    return stack.sql_one(f"SELECT password_hash FROM users WHERE username = {literal(name)}")


def matches(stack, name, password):
    sodium = ctypes.CDLL("libsodium.so.23")
    text = password.encode()
    return sodium.crypto_pwhash_str_verify(hash_of(stack, name).encode(), text, ctypes.c_ulonglong(len(text))) == 0


def live_logins(stack, name):
    return int(stack.sql_one("SELECT count(*) FROM logins l JOIN users u ON u.id = l.user_id WHERE ended_at IS NULL"
                             f" AND expires_at > now() AND username = {literal(name)}"))


def claims(stack, token):
    """The claims of a token whose signature is right."""
    head, body, signature = token.split(".")
    decode = lambda part: base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    expected = hmac.new(stack.setting("TOKEN_SECRET").encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    assert hmac.compare_digest(decode(signature), expected)
    assert json.loads(decode(head))["alg"] == "HS256"
    return json.loads(decode(body))


# ---- users ----

def test_makes_an_administrator_who_has_the_password_of_standard_input(ctl):
    done = add(ctl, "Anna", "--admin", "--email", "anna@example.org")
    assert (done.stdout, done.stderr) == ("Anna is a new administrator.\n", "")
    one = user(ctl, "Anna")
    assert uuid.UUID(one["id"]).version == 7 and one["createdAt"].endswith("Z")
    assert (one["role"], one["isActive"], one["email"], one["lastLoginAt"]) == ("admin", True, "anna@example.org", None)
    assert hash_of(ctl, "Anna").startswith("$argon2id$")
    assert matches(ctl, "Anna", PASSWORD) and not matches(ctl, "Anna", PASSWORD + " ")
    assert audit(ctl) == [["user.created", None, "llmchatctl", "local", "", "Anna", '{"role": "admin", "username": "Anna"}']]


def test_makes_users_with_names_of_all_sorts(ctl):
    names = ["a", "张伟", "O'Neill \"the\" \\ Third", "{1,2}", "x" * 64, "語" * 64, "'; DROP TABLE users; --", "two words"]
    for name in names:
        ctl.ctl("user", "add", name, "--no-password")
    ctl.ctl("user", "add", "--no-password", "--", "--email")
    listed = json.loads(ctl.ctl("user", "list", "--json").stdout)
    assert sorted(one["username"] for one in listed) == sorted([*names, "--email"])
    table = ctl.ctl("user", "list").stdout.splitlines()
    assert table[0].split()[0] == "NAME" and len(table) == len(listed) + 1
    assert len({line.index(" user ") for line in table if line.startswith(("a ", "张伟 ", "two "))}) == 1
    assert hash_of(ctl, "张伟") is None
    ctl.ctl("user", "grant", "--", "--email", "admin")
    assert user(ctl, "--email")["role"] == "admin"


def test_refuses_taken_names_and_addresses_in_any_letter_case(ctl):
    add(ctl, "Zoë", "--email", "Zoe@example.org")
    fails(ctl, "There is a user Zoë already.", "user", "add", "Zoë", stdin=PASSWORD)
    fails(ctl, "There is a user Zoë already.", "user", "add", "ZOË", stdin=PASSWORD)
    fails(ctl, "The e-mail address is taken", "user", "add", "other", "--email", "zoE@example.org", stdin=PASSWORD)
    assert len(audit(ctl)) == 1 and ctl.sql_one("SELECT count(*) FROM users") == "1"


def test_of_many_who_want_one_name_one_gets_it(ctl):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda name: ctl.ctl("user", "add", name, "--no-password", check=False), ["eve", "EVE", "Eve", "eVe"]))
    assert sorted(one.returncode for one in done) == [0, 1, 1, 1]
    for one in done:
        assert one.returncode == 0 or "There is a user" in one.stderr or "The name is taken" in one.stderr, one
    assert len(audit(ctl)) == 1


def test_refuses_wrong_passwords_and_makes_nobody(ctl):
    fails(ctl, "at least 8 characters", "user", "add", "anna", stdin="1234567\n")
    fails(ctl, "at least 8 characters", "user", "add", "anna", stdin="\n" + PASSWORD)
    fails(ctl, "at most 1024 bytes", "user", "add", "anna", stdin="x" * 1025)
    fails(ctl, "There is no password on standard input.", "user", "add", "anna", "--password-stdin")
    assert ctl.sql_one("SELECT count(*) FROM users") == "0" and audit(ctl) == []
    add(ctl, "anna", "--password-stdin", password="x" * 1024)
    assert matches(ctl, "anna", "x" * 1024)


def test_prints_a_random_password_once_and_alone(ctl):
    first = ctl.ctl("user", "add", "anna", "--random-password")
    second = ctl.ctl("user", "passwd", "anna", "--random-password")
    assert "anna is a new user" in first.stderr and "anna has a new password" in second.stderr
    assert len(first.stdout) == len(second.stdout) == 23 and first.stdout != second.stdout
    assert matches(ctl, "anna", second.stdout.strip()) and not matches(ctl, "anna", first.stdout.strip())
    assert second.stdout.strip() not in second.stderr


def test_a_new_password_ends_the_logins_and_forgets_the_failed_ones(ctl):
    add(ctl, "anna")
    add(ctl, "bob")
    ctl.ctl("token", "issue", "--user", "anna", "--count", "3")
    ctl.ctl("token", "issue", "--user", "bob")
    bar(ctl, "anna")
    done = ctl.ctl("user", "passwd", "ANNA", stdin=OTHER_PASSWORD + "\n")
    assert done.stdout == "anna has a new password; all logins have ended.\n"
    assert matches(ctl, "anna", OTHER_PASSWORD) and not matches(ctl, "anna", PASSWORD)
    assert (live_logins(ctl, "anna"), live_logins(ctl, "bob")) == (0, 1)
    assert ctl.sql("SELECT DISTINCT ended_why FROM logins WHERE ended_at IS NOT NULL") == [["password"]]
    assert ctl.sql_one("SELECT count(*) FROM changes WHERE kind = 'login'") == "3"
    assert ctl.sql_one("SELECT count(*) FROM login_failures") == "0"
    assert audit(ctl)[-1] == ["user.password_reset", None, "llmchatctl", "local", "", "anna", "{}"]
    ctl.ctl("user", "passwd", "anna", "--no-password")
    assert hash_of(ctl, "anna") is None
    fails(ctl, "at least 8 characters", "user", "passwd", "bob", stdin="short")
    assert matches(ctl, "bob", PASSWORD) and live_logins(ctl, "bob") == 1


def bar(stack, name):
    """As after too many failed logins."""
    stack.sql("INSERT INTO login_failures VALUES ('name', encode(sha256(convert_to(lower(" + literal(name) + "), 'UTF8')), 'hex'), 5,"
              " now() + interval '1 hour')")


def test_unlocks_a_name(ctl):
    add(ctl, "Zoë")
    bar(ctl, "ZOË")
    bar(ctl, "somebody else")
    assert ctl.ctl("user", "unlock", "zoë").stdout == "The failed logins of Zoë are forgotten.\n"
    assert ctl.sql_one("SELECT count(*) FROM login_failures") == "1"
    assert audit(ctl)[-1] == ["user.unlocked", None, "llmchatctl", "local", "", "Zoë", "{}"]
    n = len(audit(ctl))
    assert ctl.ctl("user", "unlock", "Zoë").stdout == "Zoë had no failed logins.\n"
    assert len(audit(ctl)) == n  # nothing changed


def test_disables_and_enables(ctl):
    add(ctl, "root", "--admin")
    add(ctl, "anna")
    ctl.ctl("token", "issue", "--user", "anna", "--count", "2")
    assert ctl.ctl("user", "disable", "anna").stdout == "anna is disabled; all logins have ended.\n"
    assert live_logins(ctl, "anna") == 0 and not user(ctl, "anna")["isActive"]
    fails(ctl, "The user anna is disabled; no token was issued.", "token", "issue", "--user", "anna")
    assert ctl.ctl("user", "enable", "anna").stdout == "anna is enabled.\n"
    assert live_logins(ctl, "anna") == 0 and user(ctl, "anna")["isActive"]
    assert [row[0] for row in audit(ctl)] == ["user.created"] * 2 + ["token.issued"] + ["user.updated"] * 2
    assert [json.loads(row[6]) for row in audit(ctl)[-2:]] == [{"isActive": False}, {"isActive": True}]
    assert ctl.sql_one("SELECT count(*) FROM changes WHERE kind = 'user'") == "2"


def test_keeps_the_last_active_administrator(ctl):
    add(ctl, "root", "--admin")
    add(ctl, "anna")
    last = "root is the last active administrator; there must be one."
    fails(ctl, last, "user", "disable", "ROOT")
    fails(ctl, last, "user", "grant", "root", "user")
    ctl.ctl("user", "grant", "anna", "admin")
    ctl.ctl("user", "disable", "anna")
    fails(ctl, last, "user", "grant", "root", "user")
    ctl.ctl("user", "enable", "anna")
    assert ctl.ctl("user", "grant", "root", "user").stdout == "root is a user.\n"
    assert (user(ctl, "root")["role"], user(ctl, "anna")["role"]) == ("user", "admin")
    assert "user.updated" not in [row[0] for row in audit(ctl)[:2]] and len(audit(ctl)) == 6


def test_two_who_disable_each_other_leave_one(ctl):
    add(ctl, "anna", "--admin")
    add(ctl, "bob", "--admin")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda name: ctl.ctl("user", "disable", name, check=False).returncode, ["anna", "bob"]))
    assert sorted(done) == [0, 1]
    assert ctl.sql_one("SELECT count(*) FROM users WHERE is_active") == "1"


@pytest.mark.parametrize("words", [["passwd"], ["disable"], ["enable"], ["grant"], ["unlock"]])
def test_says_that_there_is_no_such_user(ctl, words):
    role = ["admin"] if words == ["grant"] else []
    fails(ctl, "There is no user nobody.", "user", *words, "nobody", *role, stdin=PASSWORD)
    fails(ctl, "There is no user ", "user", *words, "nobody%", *role, stdin=PASSWORD)
    done = subprocess.run(program(ctl, "user", *words, b"\xff\xfe", *role), stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (1, b"llmchatctl: There is no user \xff\xfe.\n")
    assert audit(ctl) == []


def test_lists_more_users_than_fit_a_page(ctl):
    ctl.sql("INSERT INTO users (id, username) SELECT gen_random_uuid(), 'User ' || n FROM generate_series(1, 2001) n")
    names = [one["username"] for one in json.loads(ctl.ctl("user", "list", "--json").stdout)]
    assert len(names) == len(set(names)) == 2001
    assert len(ctl.ctl("user", "list").stdout.splitlines()) == 2002


def test_lists_nobody(ctl):
    assert ctl.ctl("user", "list", "--json").stdout == "[]\n"
    assert len(ctl.ctl("user", "list").stdout.splitlines()) == 1


# ---- what the responders make of them ----

def log_in(stack, name, password):
    return stack.post("/api/auth/login", json={"username": name, "password": password})


def test_lets_people_log_in_with_the_password_until_it_is_another(ctl):
    add(ctl, "Anna", "--admin")
    ctl.ctl("user", "add", "nobody", "--no-password")
    answer = log_in(ctl, "anna", PASSWORD)
    assert (answer.status, answer.data["user"]["role"]) == (200, "admin")
    assert log_in(ctl, "nobody", PASSWORD).status == 401
    assert user(ctl, "Anna")["lastLoginAt"].endswith("Z")
    ctl.ctl("user", "passwd", "anna", stdin=OTHER_PASSWORD)
    wait_for(lambda: ctl.get("/api/auth/verify", token=answer.data["token"]).status == 401, 5, "the login to end")
    assert log_in(ctl, "anna", PASSWORD).status == 401 and log_in(ctl, "anna", OTHER_PASSWORD).status == 200


def test_lets_a_locked_name_in_again(ctl):
    add(ctl, "anna")
    wait_for(lambda: log_in(ctl, "anna", OTHER_PASSWORD).status == 423, 10, "too many wrong passwords")
    assert log_in(ctl, "anna", PASSWORD).status == 423
    ctl.ctl("user", "unlock", "anna")
    assert log_in(ctl, "anna", PASSWORD).status == 200


def test_tokens_are_good_until_their_user_is_disabled(ctl):
    add(ctl, "anna")
    tokens = ctl.ctl("token", "issue", "--user", "anna", "--count", "2").stdout.split()
    tokens += ctl.ctl("token", "issue", "--count", "2").stdout.split()
    names = [ctl.get("/api/auth/verify", token=token).data["user"]["username"] for token in tokens]
    assert names == ["anna", "anna", "load-0001", "load-0002"]
    ctl.ctl("user", "disable", "anna")
    wait_for(lambda: ctl.get("/api/auth/verify", token=tokens[0]).status == 401, 5, "the first token to be refused")
    wait_for(lambda: ctl.get("/api/auth/verify", token=tokens[1]).status == 401, 5, "the second token to be refused")
    assert ctl.get("/api/auth/verify", token=tokens[2]).status == 200


# ---- tokens ----

def test_issues_a_token_whose_login_ends_with_it(ctl):
    add(ctl, "anna")
    before = int(time.time())
    token = ctl.ctl("token", "issue", "--user", "ANNA", "--ttl", "600").stdout
    assert token.count("\n") == 1
    said = claims(ctl, token.strip())
    assert (said["iss"], said["use"], said["sub"]) == ("llmchat", "access", user(ctl, "anna")["id"])
    assert before <= said["iat"] <= time.time() and said["exp"] == said["iat"] + 600
    row = ctl.sql("SELECT id, user_id, address, user_agent, extract(epoch FROM expires_at)::bigint, ended_at FROM logins")
    assert row == [[said["sid"], said["sub"], "llmchatctl", "", str(said["exp"]), None]]
    assert audit(ctl)[-1] == ["token.issued", None, "llmchatctl", "local", "", "anna", '{"count": 1, "seconds": 600}']
    assert claims(ctl, ctl.ctl("token", "issue", "--user", "anna").stdout.strip())["exp"] - time.time() > 3500  # ACCESS_TOKEN_TTL


def test_issues_many_tokens_of_one_user(ctl):
    add(ctl, "{odd} \"name\"")
    tokens = ctl.ctl("token", "issue", "--user", "{odd} \"name\"", "--count", "1001").stdout.splitlines()
    all_claims = [claims(ctl, token) for token in tokens]
    assert len({one["sid"] for one in all_claims}) == len({one["jti"] for one in all_claims}) == 1001
    assert {one["sub"] for one in all_claims} == {user(ctl, "{odd} \"name\"")["id"]}
    assert live_logins(ctl, "{odd} \"name\"") == 1001


def test_issues_2000_tokens_of_as_many_users_for_a_load_test(ctl):
    ctl.ctl("user", "add", "LOAD-0002", "--no-password")  # is taken as it is
    tokens = ctl.ctl("token", "issue", "--count", "2000").stdout.splitlines()  # within run's two minutes
    all_claims = [claims(ctl, token) for token in tokens]
    rows = ctl.sql("SELECT l.id, u.id, lower(username), password_hash, role FROM logins l JOIN users u ON u.id = l.user_id ORDER BY lower(username)")
    assert [row[2] for row in rows] == [f"load-{n:04}" for n in range(1, 2001)]
    assert {(row[3], row[4]) for row in rows} == {(None, "user")}
    assert [(one["sid"], one["sub"]) for one in all_claims] == [(row[0], row[1]) for row in rows]
    again = [claims(ctl, token) for token in ctl.ctl("token", "issue", "--count", "3").stdout.splitlines()]
    assert [one["sub"] for one in again] == [one["sub"] for one in all_claims[:3]]
    assert ctl.sql_one("SELECT count(*) FROM users") == "2000"
    assert [json.loads(row[6]).get("count") for row in audit(ctl)] == [None, 2000, 3]


def test_issues_all_tokens_or_none(ctl):
    ctl.ctl("user", "add", "load-1500", "--no-password")
    ctl.ctl("user", "disable", "load-1500")
    fails(ctl, "The user load-1500 is disabled; no token was issued.", "token", "issue", "--count", "2000")
    assert ctl.sql_one("SELECT count(*) FROM logins") == "0" and ctl.sql_one("SELECT count(*) FROM users") == "1"
    assert "token.issued" not in [row[0] for row in audit(ctl)]
    fails(ctl, "There is no user nobody.", "token", "issue", "--user", "nobody")


def test_several_calls_at_once_share_the_load_users(ctl):
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: ctl.ctl("token", "issue", "--count", "1200").stdout.splitlines(), range(3)))
    assert [len(tokens) for tokens in done] == [1200] * 3
    assert ctl.sql_one("SELECT count(*) FROM users") == "1200" and ctl.sql_one("SELECT count(*) FROM logins") == "3600"


@pytest.fixture
def slow_logins(ctl):
    """Making logins takes a while after they have been made."""
    ctl.sql("CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2); RETURN NULL; END $$;"
            "CREATE TRIGGER dawdle AFTER INSERT ON logins EXECUTE FUNCTION dawdle()")
    yield
    ctl.sql("DROP FUNCTION dawdle CASCADE")


def test_who_is_disabled_while_tokens_are_issued_keeps_none(ctl, slow_logins):
    add(ctl, "anna")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        issued = pool.submit(ctl.ctl, "token", "issue", "--user", "anna", "--count", "2")
        wait_for(lambda: ctl.sql("SELECT 1 FROM pg_stat_activity WHERE application_name = 'llmchatctl' AND wait_event = 'PgSleep'"), 20, "logins")
        ctl.ctl("user", "disable", "anna")
        assert len(issued.result().stdout.splitlines()) == 2
    assert ctl.sql("SELECT ended_why FROM logins") == [["revoked"]] * 2


# ---- secrets, and the terminal ----

def program(stack, *args):
    return [str(pathlib.Path(stack.prefix) / "bin" / "llmchatctl"), "--env-file", str(stack.dir / "env"), *args]


def test_no_secret_is_on_a_command_line_or_in_a_log(ctl):
    process = subprocess.Popen(program(ctl, "user", "add", "anna"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(PASSWORD.encode())
    process.stdin.flush()
    wait_for(lambda: ctl.sql_one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'llmchatctl'") == "1", 10, "it to connect")
    seen = b"".join(pathlib.Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
    output = b"".join(process.communicate(b"\n", timeout=30))
    assert process.returncode == 0 and PASSWORD.encode() not in seen + output
    password = ctl.ctl("user", "passwd", "anna", "--random-password").stdout.strip()
    token = ctl.ctl("token", "issue", "--user", "anna").stdout.strip()
    ctl.ctl("user", "add", "bob", "--email", "a@b", "--no-password")
    fails(ctl, "taken", "user", "add", "carl", "--email", "a@b", stdin=PASSWORD)  # PostgreSQL logs the statement
    add(ctl, "dora")
    stored = hash_of(ctl, "dora")
    ctl.sql("ALTER TABLE users ADD CONSTRAINT no_more CHECK (username <> 'eve')")
    try:
        refused = ctl.ctl("user", "add", "eve", stdin=PASSWORD, check=False)
    finally:
        ctl.sql("ALTER TABLE users DROP CONSTRAINT no_more")
    assert "violates check constraint" in refused.stderr and "argon2" not in refused.stderr  # PostgreSQL's detail has the row
    logs = "".join(path.read_text(errors="replace") for path in ctl.dir.glob("log/*") if path.is_file())
    assert "INSERT INTO users" in logs
    for secret in (PASSWORD, password, token, token.split(".")[2], stored, ctl.setting("TOKEN_SECRET")):
        assert secret not in logs
    details = json.dumps(audit(ctl))
    for secret in (PASSWORD, password, token, "argon2"):
        assert secret not in details


class Terminal:
    """llmchatctl as it runs at a terminal: in the foreground, as a job of somebody who outlives it, as a shell does."""

    def __init__(self, stack, *args):
        said, say = os.pipe()
        until_end, self.release = os.pipe()
        leader, self.fd = pty.fork()
        if leader == 0:
            try:
                os.close(self.release)
                self._lead(say, until_end, program(stack, *args))
            finally:
                os._exit(1)
        os.close(say)
        os.close(until_end)
        self.leader, self.said, self.seen = leader, open(said), b""
        self.pid = int(self._next("pid"))

    @staticmethod
    def _lead(say, until_end, command):
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.tcsetpgrp(0, os.getpid())
            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
            os.execv(command[0], command)
        os.write(say, f"pid {pid}\n".encode())
        while True:
            status = os.waitpid(pid, os.WUNTRACED)[1]
            if not os.WIFSTOPPED(status):
                break
            os.write(say, b"stopped 0\n")
        os.write(say, f"ended {os.waitstatus_to_exitcode(status)}\n".encode())
        os.read(until_end, 1)

    def _next(self, word):
        assert select.select([self.said], [], [], 20)[0], word
        first, value = self.said.readline().split()
        assert first == word
        return value

    def _read(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            self.seen += os.read(self.fd, 4096)
            return True
        return False

    def read_until(self, text, seconds=20):
        """What comes before that text."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, (text, self.seen)
            self._read(0.1)
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text):
        os.write(self.fd, text)

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def wait_until_stopped(self):
        self._next("stopped")

    def end(self):
        """What else it says, and how it ended; a negative number is a signal. It must leave a terminal that echoes."""
        status = int(self._next("ended"))
        while self._read(0):
            pass
        assert self.echoes()
        os.close(self.release)
        os.close(self.fd)
        os.waitpid(self.leader, 0)
        self.said.close()
        return self.seen, status


def test_asks_at_a_terminal_twice_without_echo(ctl):
    terminal = Terminal(ctl, "user", "add", "anna")
    terminal.read_until(b"New password for anna: ")
    assert not terminal.echoes()
    terminal.type(PASSWORD.encode() + b"\n")
    assert terminal.read_until(b"The same again: ") == b"\r\n"
    terminal.type(PASSWORD.encode() + b"\n")
    assert terminal.end() == (b"\r\nanna is a new user.\r\n", 0)
    assert matches(ctl, "anna", PASSWORD)


def test_erasing_works_in_a_password_as_everywhere(ctl):
    terminal = Terminal(ctl, "user", "add", "anna", "--password-stdin")
    for prompt in (b"New password for anna: ", b"The same again: "):
        terminal.read_until(prompt)
        terminal.type(b"wrong\x15" + OTHER_PASSWORD.encode() + b"yy\x7f\x7f\n")
    assert terminal.end() == (b"\r\nanna is a new user.\r\n", 0)
    assert matches(ctl, "anna", OTHER_PASSWORD)


@pytest.mark.parametrize("typed, complaint", [
    ((b"short\n",), b"at least 8 characters"),
    ((b"long enough\n", b"long enouGh\n"), b"The two passwords differ."),
    ((b"long enough\n", b"long enough \n"), b"The two passwords differ."),
    ((b"\x04",), b"No password was given."),
    ((b"long enough\n", b"\x04"), b"No password was given."),
])
def test_complains_at_the_terminal(ctl, typed, complaint):
    terminal = Terminal(ctl, "user", "add", "anna")
    for prompt, text in zip((b"New password for anna: ", b"The same again: "), typed):
        terminal.read_until(prompt)
        terminal.type(text)
    said, status = terminal.end()
    assert status == 1 and complaint in said and b"enou" not in said
    assert ctl.sql_one("SELECT count(*) FROM users") == "0"


def test_asks_for_no_password_of_somebody_who_is_not_there(ctl):
    terminal = Terminal(ctl, "user", "passwd", "nobody")
    assert terminal.end() == (b"llmchatctl: There is no user nobody.\r\n", 1)


@pytest.mark.parametrize("key, number", [(b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT), (None, signal.SIGTERM), (None, signal.SIGHUP)])
def test_gives_the_echo_back_when_a_signal_ends_it(ctl, key, number):
    terminal = Terminal(ctl, "user", "add", "anna")
    terminal.read_until(b"New password for anna: ")
    assert not terminal.echoes()
    terminal.type(b"half a pass")
    if key:
        terminal.type(key)
    else:
        os.kill(terminal.pid, number)
    said, status = terminal.end()
    assert status == -number and b"half" not in said
    assert ctl.sql_one("SELECT count(*) FROM users") == "0"


def test_asks_again_when_it_was_stopped_and_goes_on(ctl):
    terminal = Terminal(ctl, "user", "add", "anna")
    terminal.read_until(b"New password for anna: ")
    terminal.type(b"half a pass")
    terminal.type(b"\x1a")
    terminal.wait_until_stopped()
    assert terminal.echoes()
    os.kill(terminal.pid, signal.SIGCONT)
    terminal.read_until(b"New password for anna: ")
    assert not terminal.echoes()
    for prompt in (None, b"The same again: "):
        if prompt:
            terminal.read_until(prompt)
        terminal.type(PASSWORD.encode() + b"\n")
    assert terminal.end() == (b"\r\nanna is a new user.\r\n", 0)
    assert matches(ctl, "anna", PASSWORD)
