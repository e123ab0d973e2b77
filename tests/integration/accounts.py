"""What the tests of accounts share: people who log in, their keys, tokens made by hand, and questions to one certain responder.

Tokens are forged with hmac alone: no library that knows better keeps a test from writing what it wants.
"""

import base64
import hmac
import json
import secrets
import time
import uuid

import pytest

import fastcgi_peer
from chatting import PROVIDER_KEY, SYSTEM_PROMPT, literal, write_agents
from conftest import finish
from stack import Stack, wait_for

ADMIN_NAME, ADMIN_PASSWORD = "Warden", "the-warden's-own-words"

# The agents of a stack of ours: enough to talk to, and to be kept from.
AGENTS = {
    "quick": ("sim-n5-d0", {"systemPrompt": SYSTEM_PROMPT}),
    "other": ("sim-n5-d0", {}),
    "echo": ("sim-echo-d0", {}),
}

# So that no test runs into the limits of another one.
SETTINGS = {"ADMIN_USERNAME": ADMIN_NAME, "ADMIN_PASSWORD": ADMIN_PASSWORD, "LOGIN_RATE_LIMIT_MAX": 100_000, "LOG_LEVEL": "debug",
            "TEST_PROVIDER_KEY": PROVIDER_KEY}

AUDIT = "/api/admin/audit"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed(secret, text, digest="sha256"):
    mac = hmac.new(secret.encode(), text.encode(), digest).digest() if digest else b""
    return f"{text}.{base64url(mac)}"


def forge(secret, claims, header=None, digest="sha256"):
    """A signed token with any header and claims. digest None: without a signature."""
    parts = [base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header or {"alg": "HS256", "typ": "JWT"}, claims)]
    return signed(secret, ".".join(parts), digest)


def claims_of(token):
    return json.loads(from_base64url(token.split(".")[1]))


def new_claims(user_id, login_id, **changes):
    """Claims as the server writes them; changes: ... leaves one out."""
    now = int(time.time())
    claims = {"iss": "llmchat", "use": "access", "sub": user_id, "sid": login_id, "jti": str(uuid.uuid4()), "iat": now, "exp": now + 3600, **changes}
    return {name: value for name, value in claims.items() if value is not ...}


class Person:
    """Somebody with an account, who may have logged in. What is secret about him is noted in stack.secrets."""

    def __init__(self, stack, username, password, user_id=None):
        self.stack, self.username, self.password, self.id = stack, username, password, user_id
        self.token = self.refresh_token = None
        stack.secrets.add(password)

    def try_login(self, password=None, **kwargs):
        """The answer to a login, whatever it is."""
        return self.stack.post("/api/auth/login", json={"username": self.username, "password": password or self.password}, **kwargs)

    def login(self, **kwargs):
        return self.take(self.try_login(**kwargs))

    def take(self, answer):
        """Goes on with the tokens of this answer."""
        data = answer.data
        self.token, self.refresh_token, self.id = data["token"], data["refreshToken"], data["user"]["id"]
        self.stack.secrets.update((self.token, self.refresh_token))
        return self

    def another(self):
        """The same person with a login of its own."""
        return Person(self.stack, self.username, self.password, self.id).login()

    @property
    def login_id(self):
        return claims_of(self.token)["sid"]

    def get(self, path, **kwargs):
        return self.stack.get(path, token=self.token, **kwargs)

    def post(self, path, json=None, **kwargs):  # pylint: disable=redefined-outer-name
        return self.stack.post(path, json=json, token=self.token, **kwargs)

    def http(self, method, path, **kwargs):
        return self.stack.http(method, path, token=self.token, **kwargs)

    def refresh(self, token=None):
        """The answer to a refresh, whatever it is."""
        return self.stack.post("/api/auth/refresh", json={"refreshToken": token or self.refresh_token})

    def verify(self, slot, token=None):
        """(status, code) of GET /api/auth/verify from the responder of this slot."""
        answer = ask(self.stack, slot, "GET", "/api/auth/verify", token=token or self.token)
        return answer.status, answer.code

    def verified(self):
        """The same from both responders, which know it afterwards."""
        return [self.verify(slot) for slot in (1, 2)]

    def make_key(self, **body):
        answer = self.post("/api/auth/keys", json={"name": "a key", **body})
        assert answer.status == 201, answer
        self.stack.secrets.add(answer.data["key"])
        return answer.data

    def chat(self, agent="quick", question="Hello", key=None, **fields):
        return self.stack.post("/api/chat/completions", json={"agentId": agent, "messages": [{"role": "user", "content": question}], **fields},
                               token=key or self.token)

    def messages(self, chat_id, key=None):
        return self.stack.get(f"/api/chat/sessions/{chat_id}/messages", token=key or self.token)


OK = (200, "SUCCESS")
INVALID = (401, "TOKEN_INVALID")


class Told:
    """What a responder said when it was asked without nginx."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json()["code"]

    @property
    def data(self):
        assert self.code == "SUCCESS", self.body
        return self.json()["data"]


def ask(stack, slot, method, path, json_body=None, token=None, address="127.0.0.1", **params):
    """Asks the responder of one slot, past nginx, which would choose one."""
    body = json.dumps(json_body).encode() if json_body is not None else b""
    if token:
        params["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return Told(*fastcgi_peer.ask(f"{stack.setting('RUN_DIR')}/{slot}.sock", method, path, body, timeout=30, REMOTE_ADDR=address, **params))


def within_a_second(condition, what):
    """What one responder does, the other one must know within a second; the rest is for a busy machine."""
    return wait_for(condition, 2, what)


def admin_of(stack):
    return Person(stack, ADMIN_NAME, ADMIN_PASSWORD)


def new_name(word="somebody"):
    return f"{word}-{secrets.token_hex(4)}"


def new_person(admin, username=None, login=True, **fields):
    """An account, made by an administrator who has logged in."""
    person = Person(admin.stack, username or new_name(), secrets.token_urlsafe(12))
    answer = admin.post("/api/admin/users", json={"username": person.username, "password": person.password, **fields})
    assert answer.status == 201, answer
    person.id = answer.data["id"]
    return person.login() if login else person


def audit_of(stack, user_id=None, kind=None):
    """[(type, actor, user_id, address, details)] of the audit log, oldest first, straight from the table."""
    where = " AND ".join(["true"] + ([f"user_id = {literal(user_id)}"] if user_id else []) + ([f"type = {literal(kind)}"] if kind else []))
    return [(*row[:4], json.loads(row[4])) for row in
            stack.sql(f"SELECT type, actor, user_id, address, details FROM audit_log WHERE {where} ORDER BY id")]


def start_accounts(agents=None, **env):
    """A stack with an administrator, and our agents or others. stack.secrets: what must not be found anywhere."""
    stack = Stack(**{**SETTINGS, **env})
    stack.env["AGENTS_CONFIG_PATH"] = str(write_agents(stack, agents or AGENTS))
    stack.secrets = {ADMIN_PASSWORD, PROVIDER_KEY}
    try:
        stack.start()
        wait_for(lambda: stack.sql_one("SELECT count(*) FROM users") == "1", 10, "the first administrator")
    except BaseException:
        stack.stop()
        raise
    return stack


def restart(stack, **env):
    """With other settings; returns once nobody with the old ones answers any more."""
    stack.start(**env)
    wait_for(lambda: [row["state"] for row in stack.pool_status()] == ["serving"] * 2, 20, "the old responders to be gone")
    stack.wait_until_ready()


def look_for_secrets(stack):
    """In all logs and all tables: passwords, tokens and keys that anybody of ours has had."""
    places = {str(path.relative_to(stack.dir)): path.read_text(errors="replace") for path in [*stack.dir.glob("log/*"), *stack.dir.glob("nginx/*.log")]}
    assert {"log/responder.log", "log/postgresql.log", "nginx/llmchat.access.log", "nginx/error.log"} <= set(places)
    for [table] in stack.sql("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"):
        places[f"table {table}"] = "\n".join(row[0] or "" for row in stack.sql(f"SELECT t::text FROM {table} t"))
    assert "argon2id" in places["table users"] and places["table audit_log"]
    found = [(place, secret) for place, text in places.items() for secret in stack.secrets if secret in text]
    assert not found, found


@pytest.fixture(scope="module")
def module_stack(request):
    """One for the module, with what its SETTINGS and SCRIPTS (as AGENTS here) say."""
    stack = start_accounts(getattr(request.module, "SCRIPTS", None), **getattr(request.module, "SETTINGS", {}))
    yield stack
    try:
        look_for_secrets(stack)
    finally:
        finish(stack)


@pytest.fixture(name="stack")
def the_stack(module_stack, request):  # pylint: disable=redefined-outer-name
    """The same for a test, which starts again what it stops."""
    request.node.stacks = [module_stack]
    return module_stack


@pytest.fixture(scope="module")
def admin(module_stack):  # pylint: disable=redefined-outer-name
    return admin_of(module_stack).login()
