"""Tokens and what is in them, roles that are taken away, and a new TOKEN_SECRET beside the old one, then alone."""

import time

import pytest

from accounts import (INVALID, OK, admin, ask, claims_of, forge, module_stack, new_claims, new_name, new_person, restart, signed,  # noqa: F401
                      the_stack, within_a_second)
from chatting import Visitor, check_error, literal

SETTINGS = {"CHAT_ANONYMOUS": "true"}

VERIFY = "/api/auth/verify"
NEW_SECRET = "a-secret-that-comes-after-the-first-one"


@pytest.fixture
def person(admin):  # noqa: F811
    return new_person(admin)


def secret_of(stack):
    return stack.setting("TOKEN_SECRET")


# ---- tokens and their times ----

def test_a_forged_token_with_the_right_secret_is_as_good_as_ours(stack, person):
    """Or the tests below prove nothing."""
    claims = claims_of(person.token)
    assert person.verify(1, forge(secret_of(stack), claims)) == OK
    assert set(claims) == set(new_claims(person.id, person.login_id))


@pytest.mark.parametrize("changes, verdict", [
    ({"iat": +50}, OK), ({"iat": +75}, INVALID), ({"nbf": +50}, OK), ({"nbf": +75}, INVALID), ({"nbf": -1000}, OK),
    ({"exp": -50}, OK), ({"exp": -75}, (401, "TOKEN_EXPIRED")), ({"iat": -100_000, "exp": -100}, (401, "TOKEN_EXPIRED")),
    ({"iat": +75, "exp": -75}, INVALID),
], ids=str)
def test_a_minute_of_skew_is_accepted_and_more_is_not(stack, person, changes, verdict):
    now = int(time.time())
    token = forge(secret_of(stack), new_claims(person.id, person.login_id, **{name: now + value for name, value in changes.items()}))
    assert [person.verify(slot, token) for slot in (1, 2)] == [verdict] * 2


@pytest.mark.parametrize("changes", [
    {"iss": "another"}, {"iss": ...}, {"use": "refresh"}, {"use": ...}, {"sub": ...}, {"sid": ...}, {"jti": ...}, {"iat": ...}, {"exp": ...}, {"sub": "x"}, {"sid": 5},
    {"exp": "tomorrow"}, {"exp": None}, {"exp": True}, {"exp": -1}, {"exp": 0}, {"iat": "now"}, {"nbf": "now"}, {"sub": "0199c0de-0000-7000-8000-000000000001"}, {"sid": "0199c0de-0000-7000-8000-000000000002"},
    {"sub": ""}, {"iss": ["llmchat"]}, {"sub": {"a": 1}},
], ids=str)
def test_another_claim_makes_another_token(stack, person, changes):
    token = forge(secret_of(stack), new_claims(person.id, person.login_id, **changes))
    assert person.verified() == [OK, OK]
    assert [person.verify(slot, token) for slot in (1, 2)] == [INVALID] * 2


def test_a_token_of_one_person_with_the_login_of_another_is_nobodys(stack, admin, person):
    other = new_person(admin)
    assert person.verified() == other.verified() == [OK, OK]
    for sub, sid in ((person.id, other.login_id), (other.id, person.login_id), (admin.id, person.login_id)):
        token = forge(secret_of(stack), new_claims(sub, sid))
        assert [person.verify(slot, token) for slot in (1, 2)] == [INVALID] * 2
    assert person.verified() == other.verified() == [OK, OK]


@pytest.mark.parametrize("header, digest", [
    ({"alg": "none"}, None), ({"alg": "none"}, "sha256"), ({"alg": "None"}, None), ({"alg": "HS384"}, "sha384"), ({"alg": "HS512"}, "sha512"), ({"alg": "HS512"}, "sha256"),
    ({"alg": "HS256"}, None), ({"alg": "RS256"}, "sha256"), ({"typ": "JWT"}, "sha256"), ({"alg": "hs256"}, "sha256"), ({"alg": "HS256", "crit": ["exp"]}, "sha256"),
    ({"alg": ""}, "sha256"), ({"alg": None}, "sha256"), ({"alg": ["HS256"]}, "sha256"),
], ids=str)
def test_another_algorithm_makes_no_token(stack, person, header, digest):
    token = forge(secret_of(stack), claims_of(person.token), header, digest)
    assert [person.verify(slot, token) for slot in (1, 2)] == [INVALID] * 2


# ---- roles ----

def role_seen(stack, slot, person):
    users = ask(stack, slot, "GET", "/api/admin/users", token=person.token)
    return ask(stack, slot, "GET", VERIFY, token=person.token).data["user"]["role"], users.status


@pytest.mark.parametrize("by_hand", [False, True], ids=["by an administrator", "in psql"])
def test_a_role_given_or_taken_holds_on_both_responders_within_a_second(stack, admin, person, by_hand):
    def give(role):
        if by_hand:
            stack.sql(f"UPDATE users SET role = {literal(role)} WHERE id = {literal(person.id)}")
        else:
            assert admin.http("PATCH", f"/api/admin/users/{person.id}", json={"role": role}).status == 200

    assert [role_seen(stack, slot, person) for slot in (1, 2)] == [("user", 403)] * 2
    give("admin")
    within_a_second(lambda: [role_seen(stack, slot, person) for slot in (1, 2)] == [("admin", 200)] * 2, "the new role")
    give("user")
    within_a_second(lambda: [role_seen(stack, slot, person) for slot in (1, 2)] == [("user", 403)] * 2, "the old role")


def test_a_token_says_nothing_of_roles(stack, person):
    token = forge(secret_of(stack), {**claims_of(person.token), "role": "admin", "is_admin": True})
    check_error(stack.get("/api/admin/users", token=token), 403, "ADMIN_REQUIRED")


def test_a_new_name_is_seen_within_a_second(stack, admin, person):
    assert person.verified() == [OK, OK]
    name = new_name("renamed")
    assert admin.http("PATCH", f"/api/admin/users/{person.id}", json={"username": name}).status == 200
    within_a_second(lambda: {ask(stack, slot, "GET", VERIFY, token=person.token).data["user"]["username"] for slot in (1, 2)} == {name}, "the new name")
    person.username = name
    person.login()


# ---- a new secret ----

@pytest.fixture(scope="module")
def rotated(module_stack, admin):  # noqa: F811
    """Has a new secret beside the old one. Somebody who has logged in before it, and a visitor who came before it, are attributes."""
    stack = module_stack
    stack.before, stack.visitor_before = new_person(admin), Visitor(stack)
    assert stack.visitor_before.ask("quick", chatId="of-a-visitor").status == 200
    stack.secrets.update((secret_of(stack), NEW_SECRET))
    restart(stack, TOKEN_SECRET=NEW_SECRET, TOKEN_SECRET_PREVIOUS=secret_of(stack))
    return stack


def test_tokens_of_the_secret_before_stay_valid(stack, rotated):
    before = stack.before
    assert before.verified() == [OK, OK]
    claims = claims_of(before.token)
    assert before.verify(1, forge(stack.setting("TOKEN_SECRET_PREVIOUS"), claims)) == OK
    assert before.verify(2, forge(NEW_SECRET, claims)) == OK
    assert before.verify(1, forge("a-secret-that-was-never-one-of-ours-", claims)) == INVALID
    # New ones are signed with the new one.
    old = before.token
    before.take(before.refresh())
    head, body, _ = before.token.split(".")
    assert signed(NEW_SECRET, f"{head}.{body}") == before.token
    assert before.verify(1, old) == OK


def test_visitors_whose_cookie_the_secret_before_has_signed_stay_themselves(stack, rotated):
    visitor = stack.visitor_before
    old = dict(visitor.cookies)
    assert len(visitor.messages("of-a-visitor").data) == 2
    # They get a new one, for the time after.
    again = stack.get("/api/chat/sessions/of-a-visitor/messages", cookies=old)
    assert len(again.data) == 2
    new = again.cookies()
    assert new["llmchat_anon"].split(".")[0] == old["llmchat_anon"].split(".")[0] and new != old
    assert stack.get("/api/chat/sessions/of-a-visitor/messages", cookies=new).cookies() == {}
    visitor.cookies, stack.visitor_old = new, old


def test_without_the_secret_before_its_tokens_are_nothing(stack, rotated):
    before = stack.before
    claims = claims_of(before.token)
    old = forge(stack.setting("TOKEN_SECRET_PREVIOUS"), claims)
    assert before.verify(1, old) == OK
    restart(stack, TOKEN_SECRET_PREVIOUS="")
    assert [before.verify(slot, old) for slot in (1, 2)] == [INVALID] * 2
    assert before.verified() == [OK, OK]
    before.take(before.refresh())
    # So with cookies.
    path = "/api/chat/sessions/of-a-visitor/messages"
    assert len(stack.visitor_before.get(path).data) == 2
    check_error(stack.get(path, cookies=stack.visitor_old), 404, "SESSION_NOT_FOUND")
