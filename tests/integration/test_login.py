"""Logging in and out, guessing, refreshing, and what of it both responders know within a second.

One stack goes through two settings: the first, then short lockouts, an address limit, registration, and another ADMIN_USERNAME.
Tests of the second have it as a fixture.
"""

import collections
import concurrent.futures
import contextlib
import pathlib
import re
import statistics
import threading
import time
import uuid

import pytest

from accounts import (ADMIN_NAME, ADMIN_PASSWORD, INVALID, OK, Person, admin, ask, audit_of, claims_of, forge, look_for_secrets,  # noqa: F401
                      module_stack, new_claims, new_name, new_person, restart, the_stack, within_a_second)
from chatting import check_error, literal
from stack import wait_for

SETTINGS = {"LOGIN_MAX_FAILURES": 5, "LOGIN_LOCKOUT": 900, "ACCESS_TOKEN_TTL": 1200}

LOGIN, REFRESH, VERIFY = "/api/auth/login", "/api/auth/refresh", "/api/auth/verify"


@pytest.fixture
def person(admin):  # noqa: F811
    return new_person(admin)


def guess(stack, username, password="wrong, of course", **kwargs):
    return stack.post(LOGIN, json={"username": username, "password": password}, **kwargs)


def told(answer):
    """Everything an answer says but what is new in each."""
    return {name: value for name, value in answer.json().items() if name not in ("timestamp", "requestId", "retryAfter")}


# ---- the first administrator ----

def test_the_first_admin_is_made_once_by_two_responders(stack):
    assert stack.sql("SELECT username, role, is_active FROM users WHERE role = 'admin'") == [[ADMIN_NAME, "admin", "t"]]
    wait_for(lambda: len(stack.logs("first_admin_made")) + len(stack.logs("first_admin_refused")) >= 1, 5, "the line in the log")
    assert len(stack.logs("first_admin_made")) == 1
    # The one that came second has nothing to complain of.
    assert stack.logs("first_admin_refused") == []
    made = audit_of(stack, kind="user.created")[0]
    assert made[1] == "ADMIN_USERNAME" and made[3] == "local" and made[4]["username"] == ADMIN_NAME


# ---- right, wrong, locked ----

def test_a_right_password_opens_a_login(stack, person):
    answer = person.try_login()
    assert answer.status == 200 and answer.header("Cache-Control") == "no-store"
    data = answer.data
    assert data["user"] == {"id": person.id, "username": person.username, "email": None, "role": "user"}
    assert data["expiresIn"] == 1200 and re.fullmatch(r"rt-[A-Za-z0-9_-]{43}", data["refreshToken"])
    claims = claims_of(data["token"])
    assert claims["sub"] == person.id and claims["exp"] - claims["iat"] == 1200 and abs(claims["iat"] - time.time()) < 60
    # The other responder has never heard of it.
    person.take(answer)
    assert person.verified() == [OK, OK]
    assert person.get("/api/auth/profile").data["lastLoginAt"]
    assert audit_of(stack, person.id)[-1][:4] == ("login", person.username, person.id, "127.0.0.1")


def test_names_are_the_same_in_any_case(stack, admin):
    person = new_person(admin, new_name("Ärger"), login=False)
    for name in (person.username, person.username.upper(), person.username.lower()):
        answer = guess(stack, name, person.password)
        assert answer.status == 200 and answer.data["user"]["username"] == person.username
    for name in (" " + person.username, person.username + " ", person.username[:-1], person.username + "\u200b"):
        check_error(guess(stack, name, person.password), 401, "INVALID_CREDENTIALS")


def test_passwords_are_the_same_in_no_other_case(stack, person):
    for password in (person.password.swapcase(), person.password + " ", " " + person.password, person.password[:-1]):
        check_error(guess(stack, person.username, password), 401, "INVALID_CREDENTIALS")


def test_unknown_names_get_the_same_answers_as_wrong_passwords(stack, person):
    unknown = new_name("nobody")
    for wanted in [401] * 5 + [423] * 2:
        known, strange = guess(stack, person.username), guess(stack, unknown)
        assert (known.status, strange.status) == (wanted, wanted)
        assert told(known) == told(strange)
        assert sorted(known._headers.keys()) == sorted(strange._headers.keys())  # pylint: disable=protected-access


def test_too_many_failures_lock_the_name_also_for_the_right_password(stack, person):
    for _ in range(5):
        check_error(guess(stack, person.username), 401, "INVALID_CREDENTIALS")
    for answer in (guess(stack, person.username), person.try_login(), guess(stack, person.username.upper(), person.password)):
        body = check_error(answer, 423, "ACCOUNT_LOCKED")
        assert 880 <= int(answer.header("Retry-After")) <= 900 and body["retryAfter"] == int(answer.header("Retry-After"))
    # Wherever one comes from, and at both responders.
    check_error(person.try_login(source="127.0.0.9"), 423, "ACCOUNT_LOCKED")
    for slot in (1, 2):
        assert ask(stack, slot, "POST", LOGIN, {"username": person.username, "password": person.password}).status == 423
    # Who is logged in stays so.
    assert person.get(VERIFY).status == 200
    kinds = [row[0] for row in audit_of(stack, person.id)][-5:]
    assert kinds == ["login.failed"] * 4 + ["login.locked"]


def test_a_right_password_makes_the_count_begin_anew(stack, person):
    for _ in range(3):
        for _ in range(4):
            check_error(guess(stack, person.username), 401, "INVALID_CREDENTIALS")
        person.login()


def test_an_administrator_unlocks_by_a_new_password(stack, person, admin):
    for _ in range(6):
        guess(stack, person.username)
    check_error(person.try_login(), 423, "ACCOUNT_LOCKED")
    person.password = "another-one-altogether"
    stack.secrets.add(person.password)
    assert admin.post(f"/api/admin/users/{person.id}/reset-password", json={"newPassword": person.password}).status == 200
    person.login()


def test_of_parallel_guesses_five_count_and_no_right_one_gets_in_after_them(stack, person):
    statuses = collections.Counter()
    five_failed = threading.Event()
    lock = threading.Lock()

    def wrong(i):
        status = guess(stack, person.username, f"guess number {i}").status
        with lock:
            statuses[status] += 1
            if statuses[401] == 5:
                five_failed.set()

    def right(_):
        assert five_failed.wait(60)
        return person.try_login().status

    with concurrent.futures.ThreadPoolExecutor(45) as crowd:
        guesses = [crowd.submit(wrong, i) for i in range(40)]
        rights = [crowd.submit(right, i) for i in range(5)]
        concurrent.futures.wait(guesses)
        for guessed in guesses:
            guessed.result()
        assert [one.result() for one in rights] == [423] * 5
    assert statuses == {401: 5, 423: 35}
    failures = int(stack.sql_one("SELECT failures FROM login_failures WHERE kind = 'name'"
                                 f" AND key = encode(sha256(convert_to(lower({literal(person.username)}), 'UTF8')), 'hex')"))
    assert 5 <= failures <= 40
    assert [row[0] for row in audit_of(stack, person.id) if row[0].startswith("login.")] == ["login.failed"] * 4 + ["login.locked"]


def test_who_is_inactive_does_not_get_in_and_falls_out(stack, person, admin):
    assert person.verified() == [OK, OK]
    assert admin.http("PATCH", f"/api/admin/users/{person.id}", json={"isActive": False}).status == 200
    within_a_second(lambda: person.verified() == [INVALID, INVALID], "the end on both responders")
    check_error(person.try_login(), 403, "FORBIDDEN")
    # Only who knows the password is told why.
    check_error(guess(stack, person.username), 401, "INVALID_CREDENTIALS")
    check_error(person.refresh(), 401, "TOKEN_INVALID")
    assert admin.http("PATCH", f"/api/admin/users/{person.id}", json={"isActive": True}).status == 200
    assert person.verified() == [INVALID, INVALID], "an ended login must not come back"
    person.login()


def test_a_user_deleted_by_hand_falls_out(stack, person):
    assert person.verified() == [OK, OK]
    stack.sql(f"DELETE FROM users WHERE id = {literal(person.id)}")
    within_a_second(lambda: person.verified() == [INVALID, INVALID], "the end on both responders")
    check_error(person.try_login(), 401, "INVALID_CREDENTIALS")


def test_it_cannot_be_told_by_the_time_whether_a_name_exists(stack, admin):
    """Loosely: a hash takes long, a look-up does not; this is about the one that is left out."""
    persons = [new_person(admin, login=False) for _ in range(3)]
    took = {"wrong": [], "unknown": []}
    for i in range(12):
        took["wrong"].append(guess(stack, persons[i % 3].username).took)
        took["unknown"].append(guess(stack, new_name("nobody")).took)
    wrong, unknown = (statistics.median(times) for times in took.values())
    assert 0.4 < unknown / wrong < 2.5, took


# ---- refresh ----

def test_a_refresh_gives_a_new_pair_and_the_old_token_dies(stack, person):
    first = person.refresh_token
    answer = person.refresh()
    data = answer.data
    assert set(data) == {"token", "refreshToken", "expiresIn", "user"} and data["user"]["id"] == person.id and data["refreshToken"] != first
    assert claims_of(data["token"])["sid"] == person.login_id and claims_of(data["token"])["jti"] != claims_of(person.token)["jti"]
    person.take(answer)
    assert person.verified() == [OK, OK]
    for _ in range(3):
        person.take(person.refresh())
    assert person.verified() == [OK, OK]
    # Past the grace: whoever comes with the first one has stolen it, or was stolen from.
    stack.sql(f"UPDATE refresh_tokens SET used_at = used_at - interval '11 s' WHERE login_id = {literal(person.login_id)} AND used_at IS NOT NULL")
    check_error(person.refresh(first), 401, "TOKEN_INVALID")
    within_a_second(lambda: person.verified() == [INVALID, INVALID], "the end of the family on both responders")
    check_error(person.refresh(), 401, "TOKEN_INVALID")
    assert audit_of(stack, person.id)[-1][0] == "login.reused"
    assert stack.sql_one(f"SELECT ended_why FROM logins WHERE id = {literal(person.login_id)}") == "reused"


def test_another_login_of_the_same_person_outlives_the_theft(stack, person):
    other = person.another()
    first = person.refresh_token
    person.take(person.refresh())
    stack.sql(f"UPDATE refresh_tokens SET used_at = used_at - interval '11 s' WHERE login_id = {literal(person.login_id)} AND used_at IS NOT NULL")
    check_error(person.refresh(first), 401, "TOKEN_INVALID")
    assert other.verified() == [OK, OK]
    other.take(other.refresh())


def test_tabs_that_race_all_get_in(stack, person):
    with concurrent.futures.ThreadPoolExecutor(8) as tabs:
        for _ in range(5):
            token = person.refresh_token
            answers = list(tabs.map(lambda _, token=token: person.refresh(token), range(8)))
            assert [answer.status for answer in answers] == [200] * 8
            assert len({answer.data["refreshToken"] for answer in answers}) == 8
            # Each tab may go on with its own.
            person.take(answers[0])
            assert [person.refresh(answer.data["refreshToken"]).status for answer in answers[1:]] == [200] * 7
    assert person.verified() == [OK, OK]


@pytest.mark.parametrize("token", ["", "x", "rt-", "rt-" + "A" * 43, "rt-" + "A" * 42, "sk-" + "A" * 43, "rt-" + "A" * 42 + "!", "rt-" + "é" * 43])
def test_what_is_no_refresh_token_is_refused(stack, token):
    answer = stack.post(REFRESH, json={"refreshToken": token})
    assert (answer.status, answer.json()["code"]) in [(401, "TOKEN_INVALID")] if token else [(400, "VALIDATION_ERROR")]


def test_tokens_do_not_stand_in_for_each_other(stack, person):
    check_error(person.refresh(person.token), 401, "TOKEN_INVALID")
    check_error(stack.get(VERIFY, token=person.refresh_token), 401, "TOKEN_INVALID")
    check_error(person.refresh(person.make_key()["key"]), 401, "TOKEN_INVALID")


def test_a_login_that_nobody_refreshes_ends(stack, person):
    stack.sql(f"UPDATE logins SET expires_at = now() - interval '1 s' WHERE id = {literal(person.login_id)}")
    check_error(person.refresh(), 401, "TOKEN_INVALID")


def test_a_login_holds_thirty_days_from_the_last_refresh(stack, person):
    age = f"SELECT round(extract(epoch FROM expires_at - now()) / 86400) FROM logins WHERE id = {literal(person.login_id)}"
    assert stack.sql_one(age) == "30"
    stack.sql(f"UPDATE logins SET expires_at = now() + interval '1 day' WHERE id = {literal(person.login_id)}")
    person.take(person.refresh())
    assert stack.sql_one(age) == "30"


# ---- logout, change-password ----

def test_a_logout_is_seen_by_both_responders_within_a_second(stack, person):
    other = person.another()
    assert person.verified() == other.verified() == [OK, OK]
    assert ask(stack, 1, "POST", "/api/auth/logout", token=person.token).status == 200
    assert person.verify(1) == INVALID, "the one that was told must know at once"
    within_a_second(lambda: person.verify(2) == INVALID, "the end at the other responder")
    check_error(person.refresh(), 401, "TOKEN_INVALID")
    check_error(person.post("/api/auth/logout"), 401, "TOKEN_INVALID")
    assert other.verified() == [OK, OK]
    assert audit_of(stack, person.id)[-1][:3] == ("logout", person.username, person.id)


def test_a_logout_by_hand_in_the_database_counts_as_well(stack, person):
    assert person.verified() == [OK, OK]
    stack.sql(f"UPDATE logins SET ended_at = now(), ended_why = 'revoked' WHERE id = {literal(person.login_id)}")
    within_a_second(lambda: person.verified() == [INVALID, INVALID], "the end on both responders")


def test_a_new_password_ends_the_other_logins_and_keeps_this_one(stack, person):
    other, third = person.another(), person.another()
    old = person.password
    for one in (person, other, third):
        assert one.verified() == [OK, OK]
    person.password = "entirely new, 全新的"
    stack.secrets.add(person.password)
    assert person.post("/api/auth/change-password", json={"currentPassword": old, "newPassword": person.password}).data["id"] == person.id
    within_a_second(lambda: other.verified() + third.verified() == [INVALID] * 4, "the end of the other logins")
    assert person.verified() == [OK, OK]
    check_error(other.refresh(), 401, "TOKEN_INVALID")
    person.take(person.refresh())
    check_error(guess(stack, person.username, old), 401, "INVALID_CREDENTIALS")
    person.login()
    assert "user.password_changed" in [row[0] for row in audit_of(stack, person.id)]


def test_a_wrong_current_password_counts_like_a_failed_login(stack, person):
    change = {"currentPassword": "not this one", "newPassword": "never-to-be-taken"}
    for _ in range(5):
        check_error(person.post("/api/auth/change-password", json=change), 401, "INVALID_CREDENTIALS", "currentPassword")
    for current in ("not this one", person.password):
        answer = person.post("/api/auth/change-password", json={**change, "currentPassword": current})
        check_error(answer, 423, "ACCOUNT_LOCKED")
        assert 880 <= int(answer.header("Retry-After")) <= 900
    check_error(person.try_login(), 423, "ACCOUNT_LOCKED")
    assert person.verified() == [OK, OK], "somebody else's guesses must not throw anybody out"


def test_with_a_stolen_token_parallel_guesses_find_no_password(stack, person):
    """As at the login: what is looked at before the guesses are counted does not decide."""
    def change(current):
        return person.post("/api/auth/change-password", json={"currentPassword": current, "newPassword": "never-to-be-taken"})

    with concurrent.futures.ThreadPoolExecutor(24) as crowd:
        answers = list(crowd.map(change, [f"guess number {i}" for i in range(24)]))
    assert collections.Counter(answer.status for answer in answers) == {401: 5, 423: 19}
    check_error(change(person.password), 423, "ACCOUNT_LOCKED")


def test_a_right_current_password_does_not_pass_once_too_many_were_wrong(stack, person):
    """The right one is on its way when the fifth wrong one is counted: the last statement decides."""
    name_key = f"encode(sha256(convert_to(lower({literal(person.username)}), 'UTF8')), 'hex')"
    change = {"currentPassword": person.password, "newPassword": "never-to-be-taken"}
    with concurrent.futures.ThreadPoolExecutor(17) as crowd:
        # The threads of both responders are busy for a while: the right one waits there after its look at the count.
        busy = [crowd.submit(ask, stack, slot, "POST", LOGIN, {"username": new_name("nobody"), "password": "wrong, of course"})
                for slot in (1, 2) for _ in range(8)]
        concurrent.futures.wait(busy, return_when=concurrent.futures.FIRST_COMPLETED)
        right = crowd.submit(person.post, "/api/auth/change-password", json=change)
        time.sleep(0.05)  # if that is too short the test proves less, and passes
        stack.sql(f"INSERT INTO login_failures VALUES ('name', {name_key}, 5, now() + interval '900 s')")
        answer = right.result()
        assert all(one.result().status == 401 for one in busy)
    check_error(answer, 423, "ACCOUNT_LOCKED")
    stack.sql(f"DELETE FROM login_failures WHERE key = {name_key}")
    person.login()


# ---- without PostgreSQL ----

def test_without_postgresql_nobody_is_told_that_he_is_not_logged_in(stack, admin, person):
    stranger = new_person(admin)
    assert person.verified() == [OK, OK]
    # Its login is in the database, but no responder has seen it.
    unseen = str(uuid.uuid4())
    stack.sql("INSERT INTO logins (id, user_id, address, expires_at)"
              f" VALUES ({literal(unseen)}, {literal(stranger.id)}, '', now() + interval '1 h')")
    unseen = forge(stack.setting("TOKEN_SECRET"), new_claims(stranger.id, unseen))
    stack.pg("stop")
    away = (503, "DB_UNAVAILABLE")

    def both(method, path, **kwargs):
        answers = [ask(stack, slot, method, path, **kwargs) for slot in (1, 2)]
        assert all("retry-after" in answer.headers for answer in answers if answer.status == 503)
        return [(answer.status, answer.code) for answer in answers]

    try:
        for password in (person.password, "wrong, of course"):
            assert both("POST", LOGIN, json_body={"username": person.username, "password": password}) == [away] * 2
        assert both("POST", REFRESH, json_body={"refreshToken": person.refresh_token}) == [away] * 2
        # Known: authentication has an answer, whatever comes after it.
        assert person.verified() == [OK, OK]
        assert both("GET", "/api/auth/profile", token=person.token) == [away] * 2
        assert both("GET", "/api/admin/system-info", token=admin.token)[0] in (OK, away)
        assert both("GET", "/api/admin/users", token=person.token) == [(403, "ADMIN_REQUIRED")] * 2
        # Unknown: nobody knows.
        assert both("GET", VERIFY, token=unseen) == [away] * 2
        assert both("GET", VERIFY, token="sk-" + "A" * 43) == [away] * 2
        # What no database need be asked for.
        assert both("GET", VERIFY, token=unseen + "A") == [INVALID] * 2
        assert both("GET", VERIFY) == [(401, "AUTHENTICATION_REQUIRED")] * 2
    finally:
        stack.pg("start")
    wait_for(lambda: both("GET", VERIFY, token=unseen) == [OK] * 2, 15, "the database to be found again")
    assert person.verified() == [OK, OK]
    person.login()


def test_a_failed_login_is_not_counted_when_nobody_could_look(stack, person):
    # The last test's wrong password, and this one's, are two.
    for _ in range(4):
        check_error(guess(stack, person.username), 401, "INVALID_CREDENTIALS")
    person.login()


# ---- registration ----

def register(stack, username, password="a password of mine", **fields):
    return stack.post("/api/auth/register", json={"username": username, "password": password, **fields})


def test_registration_is_off_unless_it_is_wanted(stack):
    name = new_name()
    check_error(register(stack, name), 403, "FORBIDDEN")
    assert stack.sql(f"SELECT 1 FROM users WHERE username = {literal(name)}") == []


# ---- the second settings ----

class Watch(threading.Thread):
    """Reads all command lines until it is asked what they were."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen, self.over = set(), threading.Event()
        self.start()

    @staticmethod
    def look():
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it has ended
                yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")

    def run(self):
        while not self.over.wait(0.01):
            self.seen.update(self.look())

    def command_lines(self):
        self.over.set()
        self.join()
        return self.seen


@pytest.fixture(scope="module")
def second(module_stack, admin):  # noqa: F811
    """It has restarted; stack.command_lines has what could be seen meanwhile."""
    stack = module_stack
    stack.sql("DELETE FROM login_failures")
    stack.secrets.add("another password altogether")
    watch = Watch()
    restart(stack, LOGIN_LOCKOUT=3, LOGIN_RATE_LIMIT_MAX=5, LOGIN_RATE_LIMIT_WINDOW=4, ALLOW_REGISTRATION="true",
            ADMIN_USERNAME="Another", ADMIN_PASSWORD="another password altogether")
    stack.command_lines = watch.command_lines()
    return stack


def test_a_second_start_changes_no_administrator(stack, second):
    check_error(guess(stack, "Another", "another password altogether", source="127.0.1.1"), 401, "INVALID_CREDENTIALS")
    check_error(guess(stack, ADMIN_NAME, "another password altogether", source="127.0.1.1"), 401, "INVALID_CREDENTIALS")
    assert guess(stack, ADMIN_NAME, ADMIN_PASSWORD, source="127.0.1.1").status == 200
    assert stack.sql("SELECT username FROM users WHERE role = 'admin'") == [[ADMIN_NAME]]


def test_a_lock_ends(stack, second, admin):
    person = new_person(admin)
    for i, status in enumerate([401] * 5 + [423]):
        answer = guess(stack, person.username, source=f"127.0.2.{i + 1}")
        assert answer.status == status, answer
    assert 1 <= int(answer.header("Retry-After")) <= 3
    began = time.monotonic()
    # Trying does not make it longer.
    wait_for(lambda: person.try_login(source="127.0.2.9").status == 200, 12, "the end of the lock")
    assert time.monotonic() - began < 10
    # And the count begins anew.
    for _ in range(4):
        check_error(guess(stack, person.username, source="127.0.2.10"), 401, "INVALID_CREDENTIALS")
    assert person.try_login(source="127.0.2.10").status == 200


def test_one_address_may_fail_so_often_and_others_are_welcome_meanwhile(stack, second, admin):
    person = new_person(admin)
    with concurrent.futures.ThreadPoolExecutor(5) as crowd:  # the window runs from the first one
        for answer in crowd.map(lambda _: guess(stack, new_name("nobody"), source="127.0.1.4"), range(5)):
            check_error(answer, 401, "INVALID_CREDENTIALS")
    for answer in (guess(stack, new_name("nobody"), source="127.0.1.4"), person.try_login(source="127.0.1.4")):
        check_error(answer, 429, "RATE_LIMIT_EXCEEDED")
        assert 1 <= int(answer.header("Retry-After")) <= 4
    person.login(source="127.0.1.5")
    # Whoever is logged in is not concerned, also from there.
    assert person.get(VERIFY, source="127.0.1.4").status == 200
    assert stack.get("/api/agents", source="127.0.1.4").status == 200
    # One cannot say to come from elsewhere.
    for header in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Remote-Addr", "REMOTE_ADDR"):
        answer = person.try_login(source="127.0.1.4", headers={header: "127.0.1.99"})
        assert answer.status in (429, 200), answer
        if answer.status == 200:
            pytest.fail(f"{header} made another address")
    wait_for(lambda: person.try_login(source="127.0.1.4").status == 200, 9, "the end of the limit")


def test_registration_opens_a_login(stack, second):
    name = new_name("registered")
    answer = register(stack, name, email=f"{name}@example.org")
    assert answer.status == 201, answer
    person = Person(stack, name, "a password of mine").take(answer)
    assert answer.data["user"] == {"id": person.id, "username": name, "email": f"{name}@example.org", "role": "user"}
    assert person.verified() == [OK, OK]
    person.login()
    assert [row[0] for row in audit_of(stack, person.id)] == ["user.registered", "login", "login"]
    check_error(register(stack, name.upper()), 409, "CONFLICT", "username")
    # What somebody has tried with this name before there was one, or from this address, bars nobody from his own.
    guessed = new_name("guessed")
    for _ in range(5):
        guess(stack, guessed, source="127.0.1.6")
    assert guess(stack, guessed, source="127.0.1.7").status == 423
    answer = stack.post("/api/auth/register", json={"username": guessed, "password": "a password of mine"}, source="127.0.1.6")
    assert answer.status == 201, answer
    Person(stack, guessed, "a password of mine").login(source="127.0.1.7")
    check_error(register(stack, new_name(), email=f"{name}@EXAMPLE.org"), 409, "CONFLICT", "email")
    assert register(stack, new_name(), role="admin").data["user"]["role"] == "user"


def test_of_parallel_registrations_of_one_name_one_succeeds(stack, second):
    name = new_name("wanted")
    with concurrent.futures.ThreadPoolExecutor(6) as crowd:
        statuses = list(crowd.map(lambda i: register(stack, name.upper() if i % 2 else name).status, range(6)))
    assert sorted(statuses) == [201] + [409] * 5
    assert stack.sql_one(f"SELECT count(*) FROM users WHERE lower(username) = {literal(name)}") == "1"


# ---- at the end: what has all this left behind? ----

def test_no_secret_is_anywhere(stack, second):
    wait_for(lambda: '"path":"/api/auth/refresh"' in (stack.dir / "nginx" / "llmchat.access.log").read_text(), 5, "nginx's log")
    assert len(stack.secrets) > 100
    look_for_secrets(stack)
    command_lines = "\n".join([*stack.command_lines, *Watch.look()])
    assert stack.dir.name in command_lines, "nothing was seen"
    assert not [secret for secret in stack.secrets if secret in command_lines]


# ---- and once more from the beginning: an administrator that two responders make at the very same time ----

def test_two_responders_that_race_for_the_first_admin_complain_of_nothing(stack, second):
    stack.sql("DELETE FROM users WHERE role = 'admin'")
    before = len(stack.logs("first_admin_made"))
    stack.nginx("stop")  # it would keep its connections for a while, and the pool would wait for them
    stack.pool("stop")
    # His name, inserted and not committed: both wait for it, then one for the other.
    hold = "BEGIN; INSERT INTO users (id, username) VALUES (gen_random_uuid(), 'Another'); SELECT pg_sleep(30) AS hold"
    lock = threading.Thread(target=stack.run, args=("pg", "psql", "-c", hold), kwargs={"check": False})
    lock.start()

    def waiting(what):
        return int(stack.sql_one(f"SELECT count(*) FROM pg_stat_activity WHERE {what} AND pid <> pg_backend_pid()"))

    wait_for(lambda: waiting("query LIKE '%AS hold%' AND wait_event = 'PgSleep'"), 5, "the lock")
    stack.pool("start")
    wait_for(lambda: waiting("wait_event_type = 'Lock' AND query LIKE '%INSERT INTO users%'") == 2, 10, "both to insert")
    stack.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%AS hold%' AND wait_event = 'PgSleep'")
    lock.join()
    wait_for(lambda: len(stack.logs("first_admin_made")) == before + 1, 5, "the administrator")
    assert stack.sql("SELECT username FROM users WHERE role = 'admin'") == [["Another"]]
    stack.sql("UPDATE users SET role = 'user' WHERE username = 'Another'")
    # Whereas this is worth a complaint: nobody is an administrator, and the name is somebody else's.
    assert stack.logs("first_admin_refused") == []
    stack.pool("restart")
    stack.nginx("start")
    wait_for(lambda: len(stack.logs("first_admin_refused")) >= 1, 10, "the complaint")
    assert stack.sql("SELECT username FROM users WHERE role = 'admin'") == []
