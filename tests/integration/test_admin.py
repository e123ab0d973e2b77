"""What administrators see and do: users, keys, the audit log, the system."""

import concurrent.futures
import os
import re
import secrets
import time

import pytest

from accounts import ADMIN_NAME, AUDIT, INVALID, OK, Person, admin, ask, audit_of, module_stack, new_name, new_person, the_stack, within_a_second  # noqa: F401
from chatting import check_error, literal
from test_nginx import TIMESTAMP

SETTINGS = {"LOGIN_MAX_FAILURES": 5, "LOGIN_LOCKOUT": 900, "ALLOW_REGISTRATION": "true"}

USERS, KEYS = "/api/admin/users", "/api/admin/keys"
STRANGE_ID = "7e0c4dd0-54b5-4c1f-93f5-6a5f6e1c0a11"


@pytest.fixture
def person(admin):  # noqa: F811
    return new_person(admin)


def patch(admin, user, **body):  # noqa: F811
    return admin.http("PATCH", f"{USERS}/{user.id}", json=body)


# ---- users ----

def test_a_user_is_made_and_can_log_in(stack, admin):  # noqa: F811
    name = new_name("Zoë")
    answer = admin.post(USERS, json={"username": name, "password": "long enough", "email": f"{secrets.token_hex(4)}@example.org", "role": "admin"})
    assert answer.status == 201
    made = answer.data
    assert set(made) == {"id", "username", "email", "role", "isActive", "createdAt", "lastLoginAt"}
    assert (made["username"], made["role"], made["isActive"], made["lastLoginAt"]) == (name, "admin", True, None)
    assert TIMESTAMP.match(made["createdAt"])
    assert admin.get(f"{USERS}/{made['id']}").data == made
    person = Person(stack, name, "long enough").login()  # pylint: disable=redefined-outer-name
    assert person.get(USERS).status == 200
    assert TIMESTAMP.match(admin.get(f"{USERS}/{made['id']}").data["lastLoginAt"])
    patch(admin, person, role="user")


@pytest.mark.parametrize("method, path", [("GET", ""), ("PATCH", ""), ("PUT", ""), ("POST", "/reset-password"), ("POST", "/revoke")])
def test_a_user_that_does_not_exist_is_404(admin, method, path):  # noqa: F811
    body = {"newPassword": "long enough"} if "reset" in path else {"role": "user"} if method != "GET" else None
    for user_id in (STRANGE_ID, "x", "%00", "%ff", STRANGE_ID + "0", STRANGE_ID[:-1], "1", "%27%20OR%201=1"):
        answer = admin.http(method, f"{USERS}/{user_id}{path}", json=body)
        assert answer.status == 404 or (answer.status == 400 and "%00" in user_id), (user_id, answer)
        assert answer.json()["code"] in ("USER_NOT_FOUND", "VALIDATION_ERROR")


def test_lists_have_pages_in_the_order_of_names(stack, admin):  # noqa: F811
    word = secrets.token_hex(4)
    stack.sql("INSERT INTO users (id, username, email) SELECT gen_random_uuid(), "
              f"CASE WHEN i % 2 = 0 THEN 'Page-{word}-' ELSE 'page-{word}-' END || to_char(i, 'FM000'), 'p' || i || '@{word}.example' FROM generate_series(1, 45) i")
    names, ids = [], set()
    for number, size in ((1, 20), (2, 20), (3, 5), (4, 0)):
        answer = admin.get(f"{USERS}?q=page-{word}&page={number}&pageSize=20").json()
        assert len(answer["data"]) == size
        if size:
            assert answer["metadata"]["pagination"] == {"page": number, "pageSize": 20, "total": 45, "totalPages": 3}
        names += [user["username"] for user in answer["data"]]
        ids.update(user["id"] for user in answer["data"])
    assert len(ids) == 45 and names == sorted(names, key=str.lower)
    everybody = admin.get(f"{USERS}?pageSize=200").json()
    assert everybody["metadata"]["pagination"]["total"] == len(everybody["data"]) >= 46


def test_a_page_behind_the_last_one_is_empty(admin):  # noqa: F811
    for path in (USERS, AUDIT, KEYS, "/api/auth/keys"):
        answer = admin.get(f"{path}?pageSize=200&page=1000000")
        assert answer.data == [] and answer.json()["metadata"]["pagination"]["page"] == 1_000_000, path


def test_search_finds_parts_of_names_and_addresses(stack, admin):  # noqa: F811
    word = secrets.token_hex(4)
    one = new_person(admin, f"Müller-{word}%_\\x", login=False, email=f"Who.{word}@Example.org")
    new_person(admin, f"other-{word}", login=False)

    def found(q):
        return [user["id"] for user in admin.get(USERS + "?q=" + "".join(f"%{byte:02x}" for byte in q.encode())).data]

    for q in (f"müller-{word}", f"MÜLLER-{word}", f"ller-{word}%_\\", f"who.{word}@", f"{word}@EXAMPLE", f"{word}%_"):
        assert found(q) == [one.id], q
    # Nothing is a pattern.
    for q in (f"%{word}%", f"M_ller-{word}", f"^Müller-{word}", f"{word}' OR '1'='1", "\\"):
        assert one.id not in found(q) or q == "\\", q
    assert len(found(word)) == 2
    for q in ("%ff", "%00", "x" * 101, "%ed%a0%80"):
        answer = admin.get(f"{USERS}?q={q}")
        assert answer.status == 400, (q, answer)
    assert stack.sql_one("SELECT 1") == "1"


@pytest.mark.parametrize("query, field", [("page=0", "page"), ("page=x", "page"), ("page=-1", "page"), ("page=1000001", "page"), ("page=", "page"), ("pageSize=0", "pageSize"),
                                          ("pageSize=201", "pageSize"), ("pageSize=1e3", "pageSize"), ("pageSize=%31%00", "pageSize"),
                                          ("page=99999999999999999999", "page")])
def test_pages_have_bounds(admin, query, field):  # noqa: F811
    for path in (USERS, KEYS, AUDIT, "/api/auth/keys"):
        check_error(admin.get(f"{path}?{query}"), 400, "VALIDATION_ERROR", field)


def test_updates_change_what_is_given_and_nothing_else(stack, admin, person):  # noqa: F811
    before = admin.get(f"{USERS}/{person.id}").data
    email = f"{secrets.token_hex(4)}@example.org"
    assert patch(admin, person, email=email).data == {**before, "email": email}
    name = new_name("newly named")
    assert patch(admin, person, username=name).data == {**before, "email": email, "username": name}
    assert admin.http("PUT", f"{USERS}/{person.id}", json={"email": None}).data == {**before, "username": name}
    assert patch(admin, person, email=email.upper()).data["email"] == email.upper()
    assert patch(admin, person, email="").data["email"] is None
    # What is not one's to change is not changed.
    answer = patch(admin, person, username=name, id=STRANGE_ID, passwordHash="x", password="a new password", createdAt="2020-01-01")
    assert answer.data == {**before, "username": name}
    person.username = name
    person.login()
    assert stack.sql_one(f"SELECT count(*) FROM users WHERE id = {literal(STRANGE_ID)}") == "0"


def test_names_and_addresses_are_unique_in_any_case(admin, person):  # noqa: F811
    email = f"{secrets.token_hex(4)}@example.org"
    other = new_person(admin, login=False, email=email)
    check_error(patch(admin, person, username=other.username.upper()), 409, "CONFLICT", "username")
    check_error(patch(admin, person, email=email.upper()), 409, "CONFLICT", "email")
    check_error(admin.post(USERS, json={"username": other.username.upper(), "password": "long enough"}), 409, "CONFLICT", "username")
    check_error(admin.post(USERS, json={"username": new_name(), "password": "long enough", "email": email.upper()}), 409, "CONFLICT", "email")
    check_error(person.http("PATCH", "/api/auth/profile", json={"email": email}), 409, "CONFLICT", "email")
    # One's own name in another case is one's own.
    assert patch(admin, other, username=other.username.upper()).status == 200


def test_one_changes_ones_own_address_and_no_more(admin, person):  # noqa: F811
    email = f"{secrets.token_hex(4)}@example.org"
    answer = person.http("PATCH", "/api/auth/profile", json={"email": email, "role": "admin", "username": "somebody else", "isActive": False})
    assert (answer.data["email"], answer.data["role"], answer.data["username"], answer.data["isActive"]) == (email, "user", person.username, True)
    assert person.get("/api/auth/profile").data == answer.data == admin.get(f"{USERS}/{person.id}").data
    check_error(person.get(USERS), 403, "ADMIN_REQUIRED")


def test_the_last_administrator_stays_one(stack, admin):  # noqa: F811
    assert stack.sql("SELECT username FROM users WHERE role = 'admin' AND is_active") == [[ADMIN_NAME]]
    for body in ({"role": "user"}, {"isActive": False}, {"role": "user", "isActive": False, "email": "x@example.org"}):
        check_error(patch(admin, admin, **body), 409, "CONFLICT")
    assert admin.get(f"{USERS}/{admin.id}").data["email"] is None
    second = new_person(admin, role="admin")
    # One who is inactive is none.
    assert patch(admin, second, isActive=False).status == 200
    check_error(patch(admin, admin, role="user"), 409, "CONFLICT")
    assert patch(admin, second, isActive=True).status == 200
    second.login()
    assert patch(second, admin, role="user").status == 200
    within_a_second(lambda: admin.get(USERS).status == 403, "the loss of the role")
    check_error(patch(second, second, role="user"), 409, "CONFLICT")
    assert patch(second, admin, role="admin").status == 200
    within_a_second(lambda: all(ask(stack, slot, "GET", USERS, token=admin.token).status == 200 for slot in (1, 2)), "the role again")
    assert patch(admin, second, role="user").status == 200


def test_two_administrators_cannot_take_each_others_role_at_once(stack, admin):  # noqa: F811
    """Of all that race to be the last but one, one stays."""
    others = [new_person(admin, role="admin") for _ in range(3)]
    everybody = [admin, *others]
    with concurrent.futures.ThreadPoolExecutor(8) as crowd:
        statuses = [one.result().status for one in
                    [crowd.submit(patch, everybody[i], everybody[(i + 1) % 4], **body) for body in ({"role": "user"}, {"isActive": False}) for i in range(4)]]
    assert set(statuses) <= {200, 403, 409, 401}, statuses
    assert int(stack.sql_one("SELECT count(*) FROM users WHERE role = 'admin' AND is_active")) >= 1
    # As they were.
    stack.sql(f"UPDATE users SET role = 'admin', is_active = true WHERE id = {literal(admin.id)};"
              f"UPDATE users SET role = 'user' WHERE id IN ({', '.join(literal(one.id) for one in others)})")

    def again():
        answer = admin.try_login()
        return answer.status == 200 and admin.take(answer) and admin.get(USERS).status == 200
    within_a_second(again, "the administrator")


def test_a_reset_password_ends_the_logins(stack, admin, person):  # noqa: F811
    assert person.verified() == [OK, OK]
    old, person.password = person.password, "given by the administrator"
    answer = admin.post(f"{USERS}/{person.id}/reset-password", json={"newPassword": person.password})
    assert answer.data["id"] == person.id and person.password not in answer.text
    within_a_second(lambda: person.verified() == [INVALID, INVALID], "the end of the logins")
    check_error(person.refresh(), 401, "TOKEN_INVALID")
    check_error(person.try_login(old), 401, "INVALID_CREDENTIALS")
    person.login()
    assert stack.sql_one(f"SELECT count(*) FROM users WHERE id = {literal(person.id)} AND password_hash LIKE '$argon2id$%'") == "1"


def test_revoking_ends_logins_and_keys(stack, admin, person):  # noqa: F811
    others = [person.another() for _ in range(2)]
    keys = [person.make_key()["key"] for _ in range(2)]
    assert all(ask(stack, slot, "GET", "/api/auth/verify", token=key).status == 200 for key in keys for slot in (1, 2))
    assert admin.post(f"{USERS}/{person.id}/revoke").data == {"logins": 3, "keys": 2}
    within_a_second(lambda: {one.verify(slot, token) for one in [person, *others] for slot in (1, 2) for token in [one.token, *keys]} == {INVALID},
                    "the end of it all")
    assert admin.post(f"{USERS}/{person.id}/revoke").data == {"logins": 0, "keys": 0}
    person.login()
    assert person.get("/api/auth/keys").data == []


# ---- keys ----

def test_administrators_see_everybodys_keys_and_may_revoke_them(stack, admin, person):  # noqa: F811
    made = person.make_key(name="theirs")
    admin.make_key(name="ours")
    mine = admin.get(f"{KEYS}?userId={person.id}").data
    assert [(key["id"], key["userId"], key["username"], key["name"], "key" in key) for key in mine] == [(made["id"], person.id, person.username, "theirs", False)]
    everybody = admin.get(f"{KEYS}?pageSize=200").data
    assert {person.id, admin.id} <= {key["userId"] for key in everybody}
    check_error(admin.get(f"{KEYS}?userId=x"), 400, "VALIDATION_ERROR", "userId")
    assert admin.get(f"{KEYS}?userId={STRANGE_ID}").data == []
    assert ask(stack, 1, "GET", "/api/auth/verify", token=made["key"]).status == ask(stack, 2, "GET", "/api/auth/verify", token=made["key"]).status == 200
    assert admin.http("DELETE", f"{KEYS}/{made['id']}").status == 200
    within_a_second(lambda: [ask(stack, slot, "GET", "/api/auth/verify", token=made["key"]).status for slot in (1, 2)] == [401, 401], "the end of the key")
    check_error(admin.http("DELETE", f"{KEYS}/{made['id']}"), 404, "KEY_NOT_FOUND")
    assert audit_of(stack, person.id)[-1][:3] == ("key.revoked", ADMIN_NAME, person.id)


# ---- the audit log ----

def entries(admin, query=""):  # noqa: F811
    return admin.get(f"{AUDIT}?pageSize=200{query}").data


def test_every_kind_of_change_is_in_the_log_with_who_where_and_what(stack, admin):  # noqa: F811
    request_id = f"audit-{secrets.token_hex(6)}"
    headers = {"X-Request-Id": request_id}
    name = new_name("audited")
    person = Person(stack, name, "long enough, too")  # pylint: disable=redefined-outer-name
    person.take(stack.post("/api/auth/register", json={"username": name, "password": person.password}, headers=headers, source="127.0.3.1"))
    other = person.another()
    person.try_login("wrong, of course", headers=headers, source="127.0.3.2")
    key = person.make_key(name="audited")
    person.http("DELETE", f"/api/auth/keys/{key['id']}")
    person.http("PATCH", "/api/auth/profile", json={"email": f"{name}@example.org"})
    person.post("/api/auth/change-password", json={"currentPassword": person.password, "newPassword": "even longer than enough"})
    person.post("/api/auth/logout", headers=headers, source="127.0.3.3")
    patch(admin, person, role="admin")
    patch(admin, person, role="user", isActive=False)
    patch(admin, person, isActive=True)
    admin.post(f"{USERS}/{person.id}/reset-password", json={"newPassword": "once more, long enough"})
    admin.post(f"{USERS}/{person.id}/revoke", headers=headers, source="127.0.3.4")
    for _ in range(5):
        person.try_login("wrong, of course")
    found = list(reversed(entries(admin, f"&userId={person.id}")))
    me, warden = (person.id, name), (admin.id, ADMIN_NAME)
    shown = {"keyId": key["id"], "name": "audited", "shown": key["prefix"]}
    wanted = [
        ("user.registered", me, {"username": name, "role": "user"}), ("login", me, {}), ("login", me, {}), ("login.failed", me, {}),
        ("key.created", me, shown), ("key.revoked", me, shown), ("user.updated", me, {"email": f"{name}@example.org"}), ("user.password_changed", me, {}), ("logout", me, {}),
        ("user.updated", warden, {"role": "admin"}), ("user.updated", warden, {"role": "user", "isActive": False}), ("user.updated", warden, {"isActive": True}),
        ("user.password_reset", warden, {}), ("user.revoked", warden, {}),
        *[("login.failed", me, {})] * 4, ("login.locked", me, {}),
    ]
    assert [(entry["type"], (entry["actorId"], entry["actor"]), entry["details"]) for entry in found] == wanted
    assert {entry["userId"] for entry in found} == {person.id} and other.id == person.id
    assert all(TIMESTAMP.match(entry["at"]) for entry in found) and [entry["id"] for entry in found] == sorted(entry["id"] for entry in found)
    by_request = {entry["type"]: entry["address"] for entry in found if entry["requestId"] == request_id}
    assert by_request == {"user.registered": "127.0.3.1", "login": "127.0.3.1", "login.failed": "127.0.3.2", "logout": "127.0.3.3", "user.revoked": "127.0.3.4"}
    made = new_person(admin, login=False)
    assert audit_of(stack, made.id) == [("user.created", ADMIN_NAME, made.id, "127.0.0.1", {"username": made.username, "role": "user"})]


def test_a_name_that_nobody_has_is_not_written_down(stack, admin):  # noqa: F811
    """People type their password there."""
    password = "a password in the wrong field"
    stack.post("/api/auth/login", json={"username": password, "password": "x"})
    newest = entries(admin, "&type=login.failed")[0]
    assert (newest["actor"], newest["actorId"], newest["userId"], newest["details"]) == ("", None, None, {})
    for name in ("audit_log", "login_failures"):
        assert stack.sql_one(f"SELECT count(*) FROM {name} t WHERE t::text LIKE {literal('%' + password + '%')}") == "0"


def test_what_changed_nothing_is_not_in_the_log(stack, admin, person):  # noqa: F811
    before = stack.sql_one("SELECT count(*) FROM audit_log WHERE type NOT LIKE 'login%'")
    patch(admin, person, username=ADMIN_NAME)
    patch(admin, person, email="no address")
    admin.post(USERS, json={"username": person.username, "password": "long enough"})
    person.post("/api/auth/keys", json={"name": ""})
    person.http("DELETE", f"/api/auth/keys/{STRANGE_ID}")
    person.get(USERS)
    admin.post(f"{USERS}/{STRANGE_ID}/revoke")
    assert stack.sql_one("SELECT count(*) FROM audit_log WHERE type NOT LIKE 'login%'") == before


def test_the_log_is_filtered(stack, admin, person):  # noqa: F811
    person.make_key()
    logins = entries(admin, "&type=login")
    assert {entry["type"] for entry in logins} <= {"login", "login.failed", "login.locked", "login.reused"} and len({entry["type"] for entry in logins}) > 1
    assert {entry["type"] for entry in entries(admin, "&type=key.created")} == {"key.created"}
    assert {entry["type"] for entry in entries(admin, "&type=user")} <= {"user.created", "user.updated", "user.registered", "user.password_changed", "user.password_reset", "user.revoked"}
    assert entries(admin, "&type=us") == [] == entries(admin, "&type=nothing")
    assert all(person.id in (entry["userId"], entry["actorId"]) for entry in entries(admin, f"&userId={person.id}"))
    # From a moment on, and up to one.
    [[middle, count, total]] = stack.sql("SELECT to_char(m AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), (SELECT count(*) FROM audit_log WHERE at >= m),"
                                         " (SELECT count(*) FROM audit_log) FROM (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY at) AS m FROM audit_log) x")
    for query, wanted in ((f"&from={middle}", int(count)), (f"&to={middle}", int(total) - int(count)), (f"&from={middle}&to={middle}", 0), ("&from=2020-01-01", int(total)),
                          ("&to=2020-01-01", 0), ("&from=2020-01-01T00:00:00%2B08:00", int(total)), ("&from=2999-12-31", 0)):
        assert admin.get(f"{AUDIT}?pageSize=1{query}").json()["metadata"]["pagination"]["total"] == wanted, query


@pytest.mark.parametrize("query, field", [("type=x%20y", "type"), ("type=%27", "type"), ("type=" + "x" * 65, "type"), ("type=%00", "type"), ("userId=x", "userId"), ("userId=", "userId"),
                                          ("from=x", "from"), ("from=2026-02-31", "from"), ("to=2026-13-01", "to"), ("from=2026-01-01T25:00", "from"), ("from=", "from"), ("to=now", "to"),
                                          ("from=2026-01-01T00:00:00+99:00", "from"), ("to=99999-01-01", "to"), ("to=0000-00-00", "to")])
def test_wrong_filters_are_named(admin, query, field):  # noqa: F811
    body = check_error(admin.get(f"{AUDIT}?{query}"), 400, "VALIDATION_ERROR")
    assert field in body["message"]


def test_the_log_has_pages_the_newest_first(stack, admin):  # noqa: F811
    total = int(stack.sql_one("SELECT count(*) FROM audit_log"))
    seen, number = [], 1
    while True:
        answer = admin.get(f"{AUDIT}?page={number}&pageSize=50").json()
        if not answer["data"]:
            break
        assert answer["metadata"]["pagination"] == {"page": number, "pageSize": 50, "total": total, "totalPages": -(-total // 50)}
        seen += [entry["id"] for entry in answer["data"]]
        number += 1
    assert len(seen) == len(set(seen)) == total and seen == sorted(seen, reverse=True)


def test_the_log_outlives_those_of_whom_it_speaks(stack, admin, person):  # noqa: F811
    stack.sql(f"DELETE FROM users WHERE id = {literal(person.id)}")
    assert [entry["type"] for entry in entries(admin, f"&userId={person.id}")] == ["login", "user.created"]


# ---- the system ----

def test_system_info_tells_of_the_system_and_no_secret(stack, admin):  # noqa: F811
    pids = set(stack.responders().values())
    for slot in (1, 2):
        info = ask(stack, slot, "GET", "/api/admin/system-info", token=admin.token).data
        assert info["process"]["pid"] in pids and info["responders"] == 2 and info["agents"] == 3 and info["cores"] == os.cpu_count()
        assert re.fullmatch(r"\d+\.\d+\.\d+", info["version"]) and info["environment"] == "production"
        assert info["process"]["rssBytes"] > 1_000_000 and info["process"]["uptime"] >= 0 and info["process"]["liveTurns"] == 0
        assert info["database"]["status"] == "ok" and info["database"]["max"] > 0
        for name in ("TOKEN_SECRET", "DB_PASSWORD", "SECRETS_KEY", "ADMIN_PASSWORD"):
            assert stack.setting(name) not in str(info)


def test_an_administrators_answers_are_quick_enough_with_many_users(stack, admin):  # noqa: F811
    """Not a figure: a list that looks at every row for every row would not end."""
    stack.sql("INSERT INTO users (id, username) SELECT gen_random_uuid(), 'many-' || i FROM generate_series(1, 5000) i;"
              "INSERT INTO audit_log (type, actor, address, request_id) SELECT 'login', 'many', '', '' FROM generate_series(1, 110000)")
    for path in (f"{USERS}?q=MANY-1", f"{USERS}?page=20&pageSize=200", f"{AUDIT}?type=login&page=500&pageSize=200", AUDIT):
        began = time.monotonic()
        assert admin.get(path).status == 200 and time.monotonic() - began < 5, path
    assert admin.get(f"{AUDIT}?type=login").json()["metadata"]["pagination"]["total"] == 100_000
