"""API keys: shown once, stored as a hash, limited to agents and to a time, gone everywhere within a second."""

import json
import re

import pytest

from accounts import OK, admin, ask, audit_of, module_stack, new_person, the_stack, within_a_second  # noqa: F401
from chatting import check_error, literal, tokens
from stack import wait_for

KEYS = "/api/auth/keys"
REFUSED = (401, "TOKEN_INVALID")


@pytest.fixture(scope="module")
def owner(admin):  # noqa: F811
    return new_person(admin, "Owner")


@pytest.fixture(scope="module")
def stranger(admin):  # noqa: F811
    return new_person(admin, "Stranger")


def verdict(stack, slot, key):  # noqa: F811
    answer = ask(stack, slot, "GET", "/api/auth/verify", token=key["key"])
    return answer.status, answer.code


def opens(stack, key):
    """On both responders, which know it afterwards."""
    return all(verdict(stack, slot, key) == OK for slot in (1, 2))


def is_refused(stack, key):
    return all(verdict(stack, slot, key) == REFUSED for slot in (1, 2))


def find(person, key, path=KEYS):
    return next((one for one in person.get(path).data if one["id"] == key["id"]), None)


def test_a_key_is_shown_once_and_listed_by_its_beginning(stack, owner):
    made = owner.make_key(name="for the script")
    assert re.fullmatch(r"sk-[A-Za-z0-9_-]{43}", made["key"])
    assert (made["name"], made["agents"], made["expiresAt"], made["userId"]) == ("for the script", None, None, owner.id)
    listed = find(owner, made)
    assert listed == {name: value for name, value in made.items() if name != "key"}
    assert made["key"].startswith(listed["prefix"]) and len(listed["prefix"]) == 8
    assert made["key"] not in owner.get(KEYS).text
    assert stack.sql_one(f"SELECT count(*) FROM api_keys k WHERE k::text LIKE {literal('%' + made['key'][3:] + '%')}") == "0"


def test_a_key_chats_and_its_owner_owns_the_session(stack, owner, stranger):
    made = owner.make_key()
    answer = owner.chat(key=made["key"], chatId="by-key")
    assert answer.data["content"] == tokens(5)
    assert len(owner.messages("by-key").data) == 2
    assert len(owner.messages("by-key", key=made["key"]).data) == 2
    check_error(stranger.messages("by-key"), 404, "SESSION_NOT_FOUND")
    assert find(owner, made)["lastUsedAt"]
    # Anybody may ask who he is; a key is its owner.
    data = stack.get("/api/auth/verify", token=made["key"]).data
    assert data == {"valid": True, "user": {"id": owner.id, "username": owner.username, "role": "user"}}
    assert stack.get("/api/auth/profile", token=made["key"]).data["id"] == owner.id


def test_a_key_streams_too(stack, owner):
    key = owner.make_key()["key"]
    with stack.stream("POST", "/api/chat/completions", token=key,
                      json={"agentId": "quick", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}) as stream:
        assert [event.event for event in stream][-1] == "end"


def test_a_key_for_certain_agents_opens_no_other(stack, owner):
    made = owner.make_key(agents=["quick", "echo"])
    assert made["agents"] == find(owner, made)["agents"] == ["quick", "echo"]
    assert owner.chat("quick", key=made["key"]).status == 200
    assert owner.chat("echo", key=made["key"]).status == 200
    for stream in (False, True):
        answer = owner.chat("other", key=made["key"], stream=stream)
        assert check_error(answer, 403, "FORBIDDEN")["details"] == {"field": "agentId"}
    for path in ("/api/auth/verify", "/api/auth/profile", KEYS):
        check_error(stack.get(path, token=made["key"]), 403, "FORBIDDEN")


def test_a_key_for_certain_agents_reads_no_session_of_another_agent(stack, owner):
    """What was said to the one agent is nothing for whoever may only talk to the other."""
    assert owner.chat("other", "a word for the other agent", chatId="with-other").status == 200
    assert owner.chat("quick", chatId="with-quick").status == 200
    made = owner.make_key(agents=["quick"])
    assert len(owner.messages("with-quick", key=made["key"]).data) == 2
    check_error(owner.messages("with-other", key=made["key"]), 404, "SESSION_NOT_FOUND")
    # Nor does it learn of them by going on with such a session: the agent is told only what was said to those that the key opens.
    other = owner.make_key(agents=["quick", "echo"])
    assert owner.chat("echo", "what was that?", key=other["key"], chatId="with-other").status == 200
    assert "a word for the other agent" not in json.dumps(stack.last_request())
    check_error(owner.messages("with-other", key=other["key"]), 404, "SESSION_NOT_FOUND")
    assert owner.chat("echo", "and that?", key=other["key"], chatId="with-quick").status == 200
    told = [message["content"] for message in stack.last_request()["body"]["messages"]]
    assert told == ["Hello", tokens(5), "and that?"]
    assert len(owner.messages("with-quick", key=other["key"]).data) == 4
    check_error(owner.messages("with-quick", key=made["key"]), 404, "SESSION_NOT_FOUND")
    # Without a limit all of it is there.
    assert owner.chat("echo", "everything?", chatId="with-other").status == 200
    assert "a word for the other agent" in json.dumps(stack.last_request())


def test_a_key_for_an_agent_that_does_not_exist_opens_nothing(owner):
    made = owner.make_key(agents=["nobody"])
    check_error(owner.chat("nobody", key=made["key"]), 404, "AGENT_NOT_FOUND")
    check_error(owner.chat("quick", key=made["key"]), 403, "FORBIDDEN")


def test_limits_changed_in_the_database_hold_within_a_second(stack, owner):
    made = owner.make_key()
    assert opens(stack, made) and owner.chat("other", key=made["key"]).status == 200
    stack.sql(f"UPDATE api_keys SET agents = '[\"quick\"]' WHERE id = {literal(made['id'])}")
    within_a_second(lambda: all(verdict(stack, slot, made) == (403, "FORBIDDEN") for slot in (1, 2)), "the limit on both responders")
    assert owner.chat("other", key=made["key"]).status == 403


def test_a_key_expires(stack, owner):
    made = owner.make_key(expiresInDays=30)
    days = stack.sql_one(f"SELECT round(extract(epoch FROM expires_at - now()) / 86400) FROM api_keys WHERE id = {literal(made['id'])}")
    assert days == "30" and made["expiresAt"] == find(owner, made)["expiresAt"]
    stack.sql(f"UPDATE api_keys SET expires_at = now() + interval '2 s' WHERE id = {literal(made['id'])}")
    assert opens(stack, made)
    wait_for(lambda: is_refused(stack, made), 4, "the end of the key")
    # One that is not known yet when it has expired.
    late = owner.make_key()
    stack.sql(f"UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE id = {literal(late['id'])}")
    assert is_refused(stack, late)


def test_a_revoked_key_is_refused_by_both_responders_within_a_second(stack, owner):
    made = owner.make_key()
    assert opens(stack, made)
    assert owner.http("DELETE", f"{KEYS}/{made['id']}").status == 200
    within_a_second(lambda: is_refused(stack, made), "the end of the key on both responders")
    check_error(owner.chat(key=made["key"]), 401, "TOKEN_INVALID")
    assert find(owner, made) is None
    check_error(owner.http("DELETE", f"{KEYS}/{made['id']}"), 404, "KEY_NOT_FOUND")
    # By hand, in psql.
    other = owner.make_key()
    assert opens(stack, other)
    stack.sql(f"UPDATE api_keys SET revoked_at = now() WHERE id = {literal(other['id'])}")
    within_a_second(lambda: is_refused(stack, other), "the end of the other key")
    third = owner.make_key()
    assert opens(stack, third)
    stack.sql(f"DELETE FROM api_keys WHERE id = {literal(third['id'])}")
    within_a_second(lambda: is_refused(stack, third), "the end of the deleted key")


def test_making_and_revoking_are_in_the_audit_log(stack, owner):
    made = owner.make_key(name="audited")
    owner.http("DELETE", f"{KEYS}/{made['id']}")
    details = {"keyId": made["id"], "name": "audited", "shown": made["prefix"]}
    assert audit_of(stack, owner.id)[-2:] == [("key.created", "Owner", owner.id, "127.0.0.1", details), ("key.revoked", "Owner", owner.id, "127.0.0.1", details)]


@pytest.mark.parametrize("method, path", [
    ("GET", KEYS), ("POST", KEYS), ("DELETE", KEYS + "/7e0c4dd0-54b5-4c1f-93f5-6a5f6e1c0a11"), ("POST", "/api/auth/logout"),
    ("POST", "/api/auth/change-password"), ("PATCH", "/api/auth/profile"), ("GET", "/api/admin/users"), ("GET", "/api/admin/audit"),
    ("GET", "/api/admin/system-info"),
])
def test_a_key_does_not_do_where_one_must_log_in(stack, owner, admin, method, path):  # noqa: F811
    for person in (owner, admin):
        answer = stack.http(method, path, token=person.make_key()["key"], json={} if method != "GET" else None)
        check_error(answer, 403, "FORBIDDEN")


def test_another_users_key_is_404(owner, stranger):
    made = owner.make_key()
    check_error(stranger.http("DELETE", f"{KEYS}/{made['id']}"), 404, "KEY_NOT_FOUND")
    assert find(stranger, made) is None and find(owner, made)
    for name in ("7e0c4dd0-54b5-4c1f-93f5-6a5f6e1c0a11", "x", "%00", "%ff", "' OR 1=1", made["id"].upper() + "0", made["id"][:-1]):
        answer = owner.http("DELETE", f"{KEYS}/" + name.replace(" ", "%20"))
        assert answer.status in (404, 400) and answer.json()["code"] in ("KEY_NOT_FOUND", "VALIDATION_ERROR"), (name, answer)
    assert owner.chat(key=made["key"]).status == 200


@pytest.mark.parametrize("change", ["one more", "one less", "case", "no prefix", "refresh", "blank", "twice"])
def test_what_is_nearly_a_key_is_refused(stack, owner, change):
    key = owner.make_key()["key"]
    wrong = {"one more": key + "A", "one less": key[:-1], "case": key.swapcase(), "no prefix": key[3:], "refresh": "rt-" + key[3:], "blank": key[:20] + " " + key[20:],
             "twice": key + "," + key}[change]
    for slot in (1, 2):
        answer = ask(stack, slot, "GET", "/api/auth/verify", token=wrong)
        assert (answer.status, answer.code) == REFUSED


def test_a_key_of_somebody_inactive_opens_nothing_until_he_is_back(stack, admin):  # noqa: F811
    person = new_person(admin)
    made = person.make_key()
    assert opens(stack, made)
    assert admin.http("PATCH", f"/api/admin/users/{person.id}", json={"isActive": False}).status == 200
    within_a_second(lambda: is_refused(stack, made), "the end of the key")
    assert admin.http("PATCH", f"/api/admin/users/{person.id}", json={"isActive": True}).status == 200
    within_a_second(lambda: opens(stack, made), "the key's coming back")


def test_a_deleted_user_takes_his_keys_along(stack, admin):  # noqa: F811
    person = new_person(admin)
    made = person.make_key()
    assert opens(stack, made)
    stack.sql(f"DELETE FROM users WHERE id = {literal(person.id)}")
    within_a_second(lambda: is_refused(stack, made), "the end of the key")


def test_nobody_has_more_than_a_hundred(stack, admin):  # noqa: F811
    person = new_person(admin)
    first = person.make_key()
    stack.sql("INSERT INTO api_keys (id, user_id, name, shown, hash) SELECT gen_random_uuid(), user_id, 'k' || i, shown, encode(sha256(i::text::bytea), 'hex')"
              f" FROM api_keys, generate_series(1, 98) i WHERE id = {literal(first['id'])}")
    last = person.make_key(name="the hundredth")
    check_error(person.post(KEYS, json={"name": "one too many"}), 409, "CONFLICT")
    pages = [person.get(f"{KEYS}?page={page}&pageSize=30").json() for page in (1, 2, 3, 4)]
    assert [len(page["data"]) for page in pages] == [30, 30, 30, 10]
    assert len({key["id"] for page in pages for key in page["data"]}) == 100
    assert pages[3]["metadata"]["pagination"] == {"page": 4, "pageSize": 30, "total": 100, "totalPages": 4}
    # Neither revoked ones count, nor those that have expired.
    assert person.http("DELETE", f"{KEYS}/{last['id']}").status == 200
    person.make_key()
    stack.sql(f"UPDATE api_keys SET expires_at = now() WHERE id = {literal(first['id'])}")
    person.make_key()
    check_error(person.post(KEYS, json={"name": "one too many"}), 409, "CONFLICT")
