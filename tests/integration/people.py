"""Users for tests of what is whose: made with llmchatctl, with tokens of its making, so that no password is hashed."""

import secrets

from chatting import Visitor


class User(Visitor):
    """Somebody with a token."""

    def __init__(self, stack, *options):
        super().__init__(stack)
        self.name = f"user-{secrets.token_hex(4)}"
        stack.ctl("user", "add", self.name, "--no-password", *options)
        self.token = stack.ctl("token", "issue", "--user", self.name).stdout.strip()
        self.id = stack.sql_one(f"SELECT id FROM users WHERE username = '{self.name}'")

    def http(self, method, path, **kwargs):
        return self.stack.http(method, path, token=kwargs.pop("token", self.token), **kwargs)

    def get(self, path, **kwargs):
        return self.http("GET", path, **kwargs)

    def post(self, path, json=None, **kwargs):
        return self.http("POST", path, json=json, **kwargs)

    def ask(self, agent, question="Hello", headers=None, **fields):
        token = fields.pop("token", self.token)
        return self.http("POST", "/api/chat/completions", json=self.body(agent, question, **fields), headers=headers, token=token)

    def stream(self, agent, question="Hello", headers=None, **fields):
        return self.stack.stream("POST", "/api/chat/completions", json=self.body(agent, question, stream=True, **fields), token=self.token, headers=headers)

    def key(self, *agents):
        """A key of his for these agents only."""
        answer = self.post("/api/auth/keys", json={"name": "a key", **({"agents": list(agents)} if agents else {})})
        assert answer.status == 201, answer
        return answer.data["key"]


def new_session(user, agent="quick", **fields):
    answer = user.post("/api/chat-sessions", json={"agentId": agent, **fields})
    assert answer.status == 201, answer
    return answer.data


def sessions(user, query="", **kwargs):
    """Their chatIds, and the pagination."""
    answer = user.get(f"/api/chat-sessions{query}", **kwargs)
    assert answer.status == 200, answer
    return [one["chatId"] for one in answer.data], answer.json()["metadata"]["pagination"]
