"""The route walk: every route of the table with every kind of credential. Whoever adds a route says here who may use it, and how.

It is walked twice, with CHAT_ANONYMOUS off and on. No body may tell one person of another, or anybody of what only servers know.
"""

import collections
import concurrent.futures
import functools
import pathlib
import re
import subprocess
import time
import uuid

import pytest

from accounts import admin, claims_of, forge, module_stack, new_claims, new_person, restart, the_stack  # noqa: F401
from chatting import PROVIDER_KEY, SYSTEM_PROMPT, Visitor, literal

SETTINGS = {"CHAT_ANONYMOUS": "true"}

OK, CREATED = (200, "SUCCESS"), (201, "SUCCESS")
NOBODY, EXPIRED, INVALID = (401, "AUTHENTICATION_REQUIRED"), (401, "TOKEN_EXPIRED"), (401, "TOKEN_INVALID")
FORBIDDEN, NO_ADMIN = (403, "FORBIDDEN"), (403, "ADMIN_REQUIRED")
NO_SESSION, NO_KEY, NO_TURN, NO_MODEL = (404, "SESSION_NOT_FOUND"), (404, "KEY_NOT_FOUND"), (404, "TURN_NOT_FOUND"), (404, "MODEL_NOT_FOUND")
NO_MESSAGE = (404, "MESSAGE_NOT_FOUND")
NO_AGENT = (404, "AGENT_NOT_FOUND")
STREAM = (200, "a stream")

PASSWORD = "a-password-of-all-of-them"
SESSION = "a-session"  # the chatId of user A's session, and of the visitor's

Route = collections.namedtuple("Route", "who owner other admin body params session limited query")
Route.__doc__ = """What a route does for whom it lets in.

who: as in the table of routes. owner, other, admin: the answers to user A, whose things they are, to user B, and to an administrator.
body: what is sent (a function of the world and of who asks). params: what stands for :id, likewise. session: it takes a session's name or id.
limited: the answer to a key of A's that is for another agent, where it is not one of KEYS.
query: what follows the path.
"""


def route(who, owner=OK, other=None, admin=None, body=None, params=None, session=False, limited=None, query=""):  # noqa: F811 pylint: disable=redefined-outer-name
    return Route(who, owner, other or owner, admin or owner, body, params, session, limited, query)


def on(who, answer):
    """What an administrator does: nobody else gets so far."""
    return route(who, answer)


CHAT = {"agentId": "quick", "messages": [{"role": "user", "content": "Hello"}], "chatId": SESSION}

AGENT = {"name": "Made by a walk", "provider": "custom", "endpoint": "http://127.0.0.1:1/v1/chat/completions", "model": "m"}

EXPECTED = {
    ("GET", "/health"): route("probe", (200, None)),
    ("GET", "/health/ready"): route("probe", (200, None)),
    ("GET", "/health/detailed"): route("probe", (200, None)),
    ("GET", "/health/stream"): route("probe", STREAM),
    ("POST", "/api/auth/login"): route("public", body=lambda world, who: {"username": world.spare.username, "password": PASSWORD}),
    ("POST", "/api/auth/register"): route("public", FORBIDDEN, body=lambda world, who: {"username": "Newcomer", "password": PASSWORD}),
    ("POST", "/api/auth/refresh"): route("public", body=lambda world, who: {"refreshToken": world.refresh_token()}),
    ("POST", "/api/auth/logout"): route("login"),
    ("GET", "/api/auth/options"): route("public"),
    ("GET", "/api/auth/verify"): route("user"),
    ("POST", "/api/auth/verify"): route("user"),
    ("GET", "/api/auth/profile"): route("user"),
    ("PATCH", "/api/auth/profile"): route("login", body=lambda world, who: {"email": f"{who}@example.org"}),
    ("POST", "/api/auth/change-password"): route("login", body=lambda world, who: {"currentPassword": PASSWORD, "newPassword": PASSWORD}),
    ("GET", "/api/auth/keys"): route("login"),
    ("POST", "/api/auth/keys"): route("login", CREATED, body=lambda world, who: {"name": f"a key of {who}"}),
    ("DELETE", "/api/auth/keys/:id"): route("login", OK, NO_KEY, NO_KEY, params=lambda world, who: world.key_id()),
    ("GET", "/api/agents"): route("open"),
    ("POST", "/api/agents"): route("admin", CREATED, body=lambda world, who: AGENT),
    ("POST", "/api/agents/import"): route("admin", body=lambda world, who: {"agents": [{**AGENT, "id": "imported"}]}),
    ("POST", "/api/agents/reload"): route("admin"),
    ("GET", "/api/agents/:id"): route("open", params=lambda world, who: "other"),
    ("PUT", "/api/agents/:id"): route("admin", params=lambda world, who: "other", body=lambda world, who: {"description": "Another."}),
    ("PATCH", "/api/agents/:id"): route("admin", params=lambda world, who: "other", body=lambda world, who: {"maxQueue": 3}),
    ("DELETE", "/api/agents/:id"): route("admin", NO_AGENT, params=lambda world, who: "nobody"),
    ("GET", "/api/agents/:id/status"): route("public", params=lambda world, who: "other"),
    ("GET", "/api/agents/:id/validate"): route("admin", params=lambda world, who: "other"),
    ("POST", "/api/chat/completions"): route("owner", body=lambda world, who: CHAT, session=True, limited=FORBIDDEN),
    ("POST", "/api/chat/messages"): route("owner", body=lambda world, who: CHAT, session=True, limited=FORBIDDEN),
    ("POST", "/api/chat/messages/:id/stop"): route("owner", NO_MESSAGE, params=lambda world, who: str(uuid.uuid4()), limited=NO_MESSAGE),
    ("GET", "/api/chat/sessions/:id/messages"): route("owner", OK, NO_SESSION, NO_SESSION, params=lambda world, who: SESSION, session=True, limited=NO_SESSION),
    ("GET", "/api/chat/history"): route("owner"),
    ("GET", "/api/chat/history/:id"): route("owner", OK, NO_SESSION, NO_SESSION, params=lambda world, who: SESSION, session=True, limited=NO_SESSION),
    ("DELETE", "/api/chat/history/:id"): route("owner", NO_SESSION, params=lambda world, who: "no-session", limited=NO_SESSION),
    ("POST", "/api/chat/history/:id/retry"): route("owner", NO_SESSION, params=lambda world, who: "no-session", body=lambda world, who: {"dataId": "x"},
                                                   limited=NO_SESSION),
    ("POST", "/api/chat/feedback"): route("owner", NO_SESSION, body=lambda world, who: {"chatId": "no-session", "messageId": "x", "rating": "good"}, limited=NO_SESSION),
    ("GET", "/api/chat/init"): route("owner", query="?agentId=quick", limited=FORBIDDEN),
    ("GET", "/api/chat-sessions"): route("owner"),
    ("POST", "/api/chat-sessions"): route("owner", CREATED, body=lambda world, who: {"agentId": "quick"}, limited=FORBIDDEN),
    ("GET", "/api/chat-sessions/search"): route("owner", query="?q=Hello"),
    ("GET", "/api/chat-sessions/stats"): route("owner"),
    ("POST", "/api/chat-sessions/batch"): route("owner", body=lambda world, who: {"ids": ["no-session"], "operation": "archive"}),
    ("GET", "/api/chat-sessions/:id"): route("owner", OK, NO_SESSION, NO_SESSION, params=lambda world, who: SESSION, session=True, limited=NO_SESSION),
    ("GET", "/api/chat-sessions/:id/export"): route("owner", (200, None), NO_SESSION, NO_SESSION, params=lambda world, who: SESSION, session=True, limited=NO_SESSION),
    ("DELETE", "/api/chat-sessions/:id"): route("owner", NO_SESSION, params=lambda world, who: "no-session", limited=NO_SESSION),
    ("PATCH", "/api/chat-sessions/:id/title"): route("owner", OK, NO_SESSION, NO_SESSION, params=lambda world, who: SESSION,
                                                     body=lambda world, who: {"title": "A title"}, session=True, limited=NO_SESSION),
    ("POST", "/api/chat-sessions/:id/archive"): route("owner", OK, NO_SESSION, NO_SESSION, params=lambda world, who: SESSION, session=True, limited=NO_SESSION),
    ("POST", "/api/chat-sessions/:id/restore"): route("owner", OK, NO_SESSION, NO_SESSION, params=lambda world, who: SESSION, session=True, limited=NO_SESSION),
    ("GET", "/v1/models"): route("owner"),
    ("GET", "/v1/models/:id"): route("owner", params=lambda world, who: "quick", limited=NO_MODEL),
    ("POST", "/v1/chat/completions"): route("owner", body=lambda world, who: {"model": "quick", "messages": CHAT["messages"]}, session=True, limited=FORBIDDEN),
    ("GET", "/api/admin/users"): on("admin", OK),
    ("POST", "/api/admin/users"): route("admin", CREATED, body=lambda world, who: {"username": f"made {uuid.uuid4()}", "password": PASSWORD}),
    ("GET", "/api/admin/users/:id"): route("admin", params=lambda world, who: world.a.id),
    ("PATCH", "/api/admin/users/:id"): route("admin", params=lambda world, who: world.spare.id, body=lambda world, who: {"email": None}),
    ("PUT", "/api/admin/users/:id"): route("admin", params=lambda world, who: world.spare.id, body=lambda world, who: {"email": "spare@example.org"}),
    ("POST", "/api/admin/users/:id/reset-password"): route("admin", params=lambda world, who: world.spare.id, body=lambda world, who: {"newPassword": PASSWORD}),
    ("POST", "/api/admin/users/:id/revoke"): route("admin", params=lambda world, who: world.spare.id),
    ("GET", "/api/admin/keys"): route("admin"),
    ("DELETE", "/api/admin/keys/:id"): route("admin", params=lambda world, who: world.key_id()),
    ("GET", "/api/admin/audit"): route("admin"),
    ("GET", "/api/admin/pool"): route("admin"),
    ("POST", "/api/admin/pool/turns/:id/stop"): route("admin", NO_TURN, params=lambda world, who: str(uuid.uuid4())),
    ("GET", "/api/admin/agents/breakers"): route("admin"),
    ("POST", "/api/admin/agents/breakers/reset"): route("admin"),
    ("POST", "/api/admin/agents/breakers/:id/reset"): route("admin", params=lambda world, who: "other"),
    ("GET", "/api/admin/system-info"): route("admin"),
    ("GET", "/api/admin/stats"): route("admin"),
    ("GET", "/api/admin/analytics/overview"): route("admin"),
    ("GET", "/api/admin/analytics/trends"): route("admin"),
    ("GET", "/api/admin/analytics/agents"): route("admin"),
}

# What each class of routes says to credentials that are good, but not for it; None: it lets them in.
# A user's key; a user's key for the agent that we talk to; one for another agent; an administrator's key.
KEYS = {
    "probe": (None, None, None, None),
    "public": (None, None, None, None),
    "open": (None, None, None, None),
    "owner": (None, None, None, None),
    "user": (None, FORBIDDEN, FORBIDDEN, None),
    "login": (FORBIDDEN,) * 4,
    "admin": (FORBIDDEN,) * 4,
}

OPEN = ("probe", "public")

BAD = {
    "expired": EXPIRED, "forged": INVALID, "none": INVALID, "none, signed": INVALID, "HS384": INVALID, "HS512": INVALID, "ended": INVALID, "no login": INVALID,
    "revoked key": INVALID, "expired key": INVALID, "unknown key": INVALID, "refresh token": INVALID, "no Bearer": INVALID, "Basic": INVALID,
}


@functools.cache
def table(stack):
    """The routes as the program prints them."""
    printed = subprocess.run([pathlib.Path(stack.prefix) / "sbin" / "llmchat-responder", "--routes"], check=True, capture_output=True, text=True).stdout
    return {(method, pattern): (who, kind) for method, pattern, who, kind in (line.split("\t") for line in printed.splitlines())}


class World:
    """User A with a session and keys, user B, a spare one who may be changed, an administrator, a visitor."""

    def __init__(self, stack, admin):  # noqa: F811 pylint: disable=redefined-outer-name
        self.stack, self.admin = stack, admin
        self.a, self.b, self.spare = (new_person(admin, name, login=False) for name in ("Annabel", "Bartholomew", "Spare"))
        self.secret = stack.setting("TOKEN_SECRET")
        for person in (self.a, self.b, self.spare):
            assert admin.post(f"/api/admin/users/{person.id}/reset-password", json={"newPassword": PASSWORD}).status == 200
            person.password = PASSWORD
            person.login()
        answer = admin.post("/api/auth/change-password", json={"currentPassword": admin.password, "newPassword": PASSWORD})
        assert answer.status == 200, answer
        admin.password = PASSWORD
        assert self.a.chat("quick", "a question of A", chatId=SESSION).status == 200
        self.keys = [self.a.make_key(), self.a.make_key(agents=["quick"]), self.a.make_key(agents=["other"]), admin.make_key()]
        self.bad_keys = [self.a.make_key(), self.a.make_key()]
        stack.sql(f"UPDATE api_keys SET revoked_at = now() WHERE id = {literal(self.bad_keys[0]['id'])};"
                  f"UPDATE api_keys SET expires_at = now() WHERE id = {literal(self.bad_keys[1]['id'])}")
        self.owned = {person: self.things_of(person) for person in (self.a, self.admin)}
        self.spare_keys, self.refreshes = [], []

    def things_of(self, person):
        """Everything that names him or what is his."""
        mine = literal(person.id)
        rows = self.stack.sql(f"""SELECT id FROM logins WHERE user_id = {mine} UNION SELECT id FROM api_keys WHERE user_id = {mine}
            UNION SELECT id FROM chat_sessions WHERE user_id = {mine}
            UNION SELECT m.id FROM chat_messages m JOIN chat_sessions s ON s.id = session_id WHERE user_id = {mine}""")
        return {person.id, person.username, *(row[0] for row in rows)}

    def mint(self, *persons):
        """A token for each, of a login of its own: some routes end them."""
        ids = [str(uuid.uuid4()) for _ in persons]
        rows = ", ".join(f"({literal(login)}, {literal(person.id)}, '', now() + interval '1 h')" for login, person in zip(ids, persons))
        self.stack.sql(f"INSERT INTO logins (id, user_id, address, expires_at) VALUES {rows}")
        return [forge(self.secret, new_claims(person.id, login)) for login, person in zip(ids, persons)]

    def key_id(self):
        """Of a key of A's that may be revoked."""
        if not self.spare_keys:
            self.spare_keys = [row[0] for row in self.stack.sql(
                "INSERT INTO api_keys (id, user_id, name, shown, hash) SELECT gen_random_uuid(), id, 'spare', 'sk-spare', encode(sha256(gen_random_uuid()::text::bytea), 'hex')"
                f" FROM users, generate_series(1, 3) WHERE id = {literal(self.a.id)} RETURNING id")]
        return self.spare_keys[0]

    def refresh_token(self):
        """One that is still good; the grace of a used one is longer than a walk takes along one route."""
        return self.refreshes[0]

    def bad(self, token):
        """Authorization headers that open nothing: {kind: value}."""
        claims = new_claims(self.a.id, self.a.login_id)
        now = int(time.time())
        made = {
            "expired": forge(self.secret, {**claims, "iat": now - 7200, "exp": now - 3600}),
            "forged": forge("another-secret-of-more-than-32-bytes", claims),
            "none": forge(self.secret, claims, {"alg": "none"}, None),
            "none, signed": forge(self.secret, claims, {"alg": "none", "typ": "JWT"}),
            "HS384": forge(self.secret, claims, {"alg": "HS384", "typ": "JWT"}, "sha384"),
            "HS512": forge(self.secret, claims, {"alg": "HS512", "typ": "JWT"}, "sha512"),
            "ended": token,
            "no login": forge(self.secret, {**claims, "sid": str(uuid.uuid4())}),
            "revoked key": self.bad_keys[0]["key"], "expired key": self.bad_keys[1]["key"], "unknown key": "sk-" + "A" * 43,
            "refresh token": self.a.refresh_token,
        }
        headers = {kind: f"Bearer {value}" for kind, value in made.items()}
        return {**headers, "no Bearer": self.a.token, "Basic": "Basic QW5uYWJlbDpwYXNzd29yZA=="}


@pytest.fixture(scope="module")
def world(module_stack, admin):  # noqa: F811 pylint: disable=redefined-outer-name
    return World(module_stack, admin)


@pytest.fixture(scope="module", params=[False, True], ids=["with accounts only", "with anonymous visitors"])
def anonymous(module_stack, world, request):  # noqa: F811 pylint: disable=redefined-outer-name
    """CHAT_ANONYMOUS, and a visitor of the time when it was on."""
    stack = module_stack
    if stack.env["CHAT_ANONYMOUS"] == "false":
        restart(stack, CHAT_ANONYMOUS="true")
    world.visitor = Visitor(stack)
    assert world.visitor.ask("quick", "a question of a visitor", chatId=SESSION).status == 200
    if not request.param:
        restart(stack, CHAT_ANONYMOUS="false")
    world.anonymous = request.param
    return request.param


def server_secrets(stack):
    """What is nobody's to see: {name: text or pattern}."""
    found = {
        "the provider's address": re.escape(stack.setting("PROVIDER_SIM_URL").removeprefix("http://").split("/")[0]), "the provider's key": re.escape(PROVIDER_KEY),
        "a system prompt": re.escape(SYSTEM_PROMPT[:20]), "TOKEN_SECRET": re.escape(stack.setting("TOKEN_SECRET")), "SECRETS_KEY": re.escape(stack.setting("SECRETS_KEY")),
        "DB_PASSWORD": re.escape(stack.setting("DB_PASSWORD")), "a password's hash": r"\$argon2", "a password": re.escape(PASSWORD), "a hash": r"\b[0-9a-f]{64}\b",
        "SQL": r"\b(SELECT|INSERT INTO|UPDATE) ", "a stack": r"\.c:\d+",
    }
    return {name: re.compile(pattern) for name, pattern in found.items()}


class Walk:
    """One route, with whatever credentials; the complaints are gathered."""

    def __init__(self, world, method, pattern):  # noqa: F811 pylint: disable=redefined-outer-name
        self.world, self.method, self.pattern = world, method, pattern
        self.expected = EXPECTED[method, pattern]
        self.secrets = server_secrets(world.stack)
        self.openai = pattern.startswith("/v1/")
        self.wrong = []

    def path(self, who):
        path = self.pattern.replace(":id", self.expected.params(self.world, who)) if self.expected.params else self.pattern
        return path + self.expected.query

    def request(self, who, authorization, cookies, path=None, body=None, chat_id=None):
        """(answer, (status, code))"""
        if body is None and self.expected.body:
            body = self.expected.body(self.world, who)
        headers = {"Authorization": authorization, "X-Chat-Id": chat_id}
        answer = self.world.stack.http(self.method, path or self.path(who), json=body, cookies=cookies,
                                       headers={name: value for name, value in headers.items() if value is not None})
        if answer.header("Content-Type", "").startswith("text/event-stream"):
            return answer, (answer.status, "a stream")
        if self.openai:
            return answer, (answer.status, answer.json()["error"]["code"] if answer.status != 200 else None)
        return answer, (answer.status, answer.json().get("code"))

    def complain(self, who, what):
        self.wrong.append(f"{self.method} {self.pattern}, {who}: {what}")

    def expect_all(self, many):
        with concurrent.futures.ThreadPoolExecutor(len(many)) as crowd:
            list(crowd.map(lambda one: self.expect(*one), many))

    def expect(self, wanted, who, authorization=None, hidden=(), cookies=None, **kwargs):
        if self.openai:  # says the same in other words
            status, code = wanted
            wanted = (status, None if status == 200 else "invalid_api_key" if status == 401 else code.lower())
        answer, got = self.request(who, authorization, cookies, **kwargs)
        if got != wanted:
            self.complain(who, f"wanted {wanted}, got {got}: {answer}")
        for name, pattern in self.secrets.items():
            if pattern.search(answer.text):
                self.complain(who, f"shows {name}: {answer.text}")
        if answer.status == 401 and answer.header("WWW-Authenticate") is None:
            self.complain(who, "no WWW-Authenticate")
        for thing in hidden:
            if thing in answer.text:
                self.complain(who, f"shows {thing}, which is another's: {answer.text}")
        return answer


def walk_credentials(world, walk):  # pylint: disable=redefined-outer-name
    """Everybody who is not let in, and everybody who is."""
    expected, who = walk.expected, walk.expected.who
    tokens = dict(zip(("A", "B", "admin", "ended"), world.mint(world.a, world.b, world.admin, world.a)))
    world.stack.sql(f"UPDATE logins SET ended_at = now(), ended_why = 'logout' WHERE id = {literal(claims_of(tokens['ended'])['sid'])}")
    things_of_a, things_of_admin = world.things_of(world.a) | world.owned[world.a], world.owned[world.admin]
    visitor_may = who in (*OPEN, "open") or (who == "owner" and world.anonymous)

    # First those who change nothing, all at once.
    first = [(expected.owner if who in OPEN else BAD[kind], kind, header) for kind, header in world.bad(tokens["ended"]).items()]
    if who == "open":
        first += [(expected.other, "no token"), (expected.other, "an empty header", ""), (expected.other, "a visitor's cookie", None, (), world.visitor.cookies)]
    elif visitor_may:
        # For a stranger it is a session of his own, or none.
        first.append((expected.other, "no token", None, things_of_a | things_of_admin))
    else:
        first += [(NOBODY, "no token"), (NOBODY, "an empty header", ""), (NOBODY, "a visitor's cookie", None, (), world.visitor.cookies)]
    for i, kind in enumerate(("A's key", "A's key for this agent", "A's key for another agent", "the admin's key")):
        refusal = KEYS[who][i]
        if who == "owner" and kind == "A's key for another agent":
            refusal = expected.limited
        good = expected.admin if kind == "the admin's key" else expected.owner
        first.append((refusal or good, kind, f"Bearer {world.keys[i]['key']}"))
    # Then those who do, A last: what he does may end with what is his.
    path = walk.path("B")
    hidden = {thing for thing in things_of_a | things_of_admin if thing not in path}
    then = [(NO_ADMIN if who == "admin" else expected.other, "B", f"Bearer {tokens['B']}", hidden)]
    if who == "admin":
        then += [(NO_ADMIN, "A", f"Bearer {tokens['A']}"), (expected.admin, "admin", f"Bearer {tokens['admin']}")]
    else:
        then += [(expected.admin, "admin", f"Bearer {tokens['admin']}", hidden - world.owned[world.admin]), (expected.owner, "A", f"Bearer {tokens['A']}")]
    walk.expect_all(first + then if who in OPEN else first)
    for one in then if who not in OPEN else []:
        walk.expect(*one)
    world.spare_keys = []


def walk_session(world, walk):  # pylint: disable=redefined-outer-name
    """A route that takes a session takes only one's own, by whatever name."""
    stack = world.stack
    [[session_id]] = stack.sql(f"SELECT id FROM chat_sessions WHERE user_id = {literal(world.a.id)} AND name = {literal(SESSION)}")
    count = f"SELECT message_count FROM chat_sessions WHERE id = {literal(session_id)}"
    before = stack.sql_one(count)
    things_of_a = world.things_of(world.a) | {"a question of A"}
    token_b, token_admin = world.mint(world.b, world.admin)
    strangers = {"B": {"authorization": f"Bearer {token_b}"}, "admin": {"authorization": f"Bearer {token_admin}"},
                 "a visitor": {"cookies": world.visitor.cookies}, "nobody": {}, "a forged cookie": {"cookies": {"llmchat_anon": world.a.id + "." + "A" * 43}}}
    for who, credential in strangers.items():
        barred = "authorization" not in credential and not world.anonymous
        for name in (SESSION, session_id, session_id.upper()):
            kwargs = dict(credential)
            if ":id" in walk.pattern:
                kwargs["path"] = walk.pattern.replace(":id", name)
                # The visitor has one of that name himself; what is in it is looked at below.
                wanted = NOBODY if barred else walk.expected.owner if who == "a visitor" and name == SESSION else NO_SESSION
            elif walk.openai:
                kwargs["chat_id"] = name
                wanted = NOBODY if barred else OK
            else:
                kwargs["body"] = {**walk.expected.body(world, who), "chatId": name}
                wanted = NOBODY if barred else OK
            answer = walk.expect(wanted, who, **kwargs)
            for thing in things_of_a - {name}:
                if thing in answer.text and not (barred and thing == session_id):
                    walk.complain(who, f"shows {thing} of A's session: {answer.text}")
    if stack.sql_one(count) != before:
        walk.complain("strangers", "have changed A's session")
    stack.sql(f"DELETE FROM chat_sessions WHERE user_id IN ({literal(world.b.id)}, {literal(world.admin.id)}) OR (anonymous AND name <> {literal(SESSION)})")


def test_the_table_of_expectations_is_the_table_of_routes(stack):
    assert {key: expected.who for key, expected in EXPECTED.items()} == {key: who for key, (who, _) in table(stack).items()}
    # Whatever takes a session is walked with those of others; test_sessions.py, test_history.py and test_stop.py do that where one would be gone afterwards.
    elsewhere = {("DELETE", "/api/chat-sessions/:id"), ("DELETE", "/api/chat/history/:id"), ("POST", "/api/chat/history/:id/retry"),
                 ("POST", "/api/chat/messages/:id/stop")}
    takes = [key for key in EXPECTED if re.search(r"(session|history).*/:id|/chat/(messages|completions)", key[1])]
    assert [key for key in takes if not EXPECTED[key].session and key not in elsewhere] == []


@pytest.mark.parametrize("method, pattern", EXPECTED, ids=[" ".join(key) for key in EXPECTED])
def test_who_may_use_a_route(stack, world, anonymous, method, pattern):  # pylint: disable=redefined-outer-name,unused-argument
    assert (method, pattern) in table(stack)
    walk = Walk(world, method, pattern)
    if "refresh" in pattern:
        world.refreshes = [world.spare.another().refresh_token]
    walk_credentials(world, walk)
    if walk.expected.session:
        walk_session(world, walk)
    assert not walk.wrong, "\n".join(walk.wrong)


def test_another_method_is_no_way_in(stack, world, anonymous):  # pylint: disable=redefined-outer-name,unused-argument
    """Nor another spelling of the path."""
    [token] = world.mint(world.b)
    for method, path in (("HEAD", "/api/admin/users"), ("GET", "/api/admin/users/"), ("GET", "//api/admin/users"), ("GET", "/api/admin/./users"), ("GET", "/api//admin/users"),
                         ("GET", "/api/agents/../admin/users"), ("GET", "/api/admin%2Fusers"), ("GET", "/API/ADMIN/USERS"), ("GET", "/api/admin/users;x"),
                         ("GET", "/api/admin/%75sers"), ("GET", "/api/admin/users?x=/health"), ("GET", "/api/admin/users#/health")):
        answer = stack.http(method, path, token=token)
        assert answer.status in (403, 404) or (answer.status == 200 and "html" in answer.header("Content-Type")), (method, path, answer)
        assert world.a.id not in answer.text
    for header in ("X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL", "X-User-Id", "X-Forwarded-User", "Remote-User"):
        answer = stack.get("/api/auth/verify", headers={header: world.admin.id})
        assert answer.status == 401
