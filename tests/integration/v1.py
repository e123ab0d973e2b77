"""What the tests of the OpenAI face share: agents, and somebody with a key."""

import json

import pytest

from accounts import new_person

SCRIPTS = {
    "quick": ("sim-n5-d0", {}),
    "other": ("sim-n5-d0", {}),
    "slow": ("sim-n400-d50", {"onDisconnect": "cancel"}),
    "thinks": ("sim-reason3-n5-d0", {}),
    "no-usage": ("sim-n5-d0-nousage", {}),
    "length": ("sim-n5-d0-lenStop", {}),
    "nothing": ("sim-n0", {}),
    "echo": ("sim-echo-d0", {}),
    "zh": ("sim-zh-n20-d5-bytes", {}),
    "tools": ("sim-n2-d0-tools2", {}),
    "tool": ("sim-n0-d0-tools1", {}),
    "prompted": ("sim-n2-d0", {"systemPrompt": "You are a lighthouse.", "temperature": 0, "maxTokens": 77}),
    "inactive": ("sim-n2-d0", {"isActive": False}),
    "mid": ("sim-n20-d5-mid5", {}),
    "cut": ("sim-n20-d5-cut5", {}),
    "stall": ("sim-n20-d20-stall5", {"timeouts": {"idleMs": 600}}),
    "err401": ("sim-err401", {}),
    "err429-ra1": ("sim-err429-ra1", {}),
    "err500": ("sim-err500", {}),
    "err503-ra3": ("sim-err503-ra3", {}),
    "hang": ("sim-hang", {"timeouts": {"headersMs": 600}}),
}

USER = {"role": "user", "content": "Hello"}
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "The weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
CALL = {"id": "call_7", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\":\"Paris\"}"}}


@pytest.fixture(scope="module")
def owner(admin):
    return new_person(admin, "Owner")


@pytest.fixture(scope="module")
def key(owner):  # pylint: disable=redefined-outer-name
    return owner.make_key()["key"]


class Client:
    """Asks as a client of OpenAI's does, but looks at every byte."""

    def __init__(self, stack, secret):
        self.stack, self.key = stack, secret

    def ask(self, model="quick", messages=None, headers=None, **fields):
        return self.stack.post("/v1/chat/completions", token=self.key, headers=headers, json={"model": model, "messages": messages or [USER], **fields})

    def stream(self, model="quick", messages=None, headers=None, **fields):
        return self.stack.stream("POST", "/v1/chat/completions", token=self.key, headers=headers,
                                 json={"model": model, "messages": messages or [USER], "stream": True, **fields})

    def read(self, model="quick", messages=None, **fields):
        """The data of each event; the last one is "[DONE]" if all went well."""
        stream = self.stream(model, messages, **fields)
        assert stream.status == 200, (stream.status, stream.body)
        return [event.data for event in stream]

    def told(self):
        """What the provider was asked last."""
        return self.stack.last_request()["body"]


@pytest.fixture
def client(stack, key):  # pylint: disable=redefined-outer-name
    return Client(stack, key)


def text_of(chunks, field="content"):
    return "".join(chunk["choices"][0]["delta"].get(field) or "" for chunk in chunks if "choices" in chunk and chunk["choices"])


def check_refusal(answer, status, error_type, code, param=None):
    """The shape of an error; returns its message."""
    body = json.loads(answer.body)
    assert list(body) == ["error"] and list(body["error"]) == ["message", "type", "param", "code"], body
    error = body["error"]
    assert (answer.status, error["type"], error["code"], error["param"]) == (status, error_type, code, param), answer
    assert error["message"].endswith(".") and "SELECT" not in error["message"]
    assert answer.header("Content-Type") == "application/json; charset=utf-8" and answer.header("X-Request-Id")
    assert answer.header("X-Should-Retry") in ("true", "false") and answer.header("OpenAI-Processing-Ms").isdigit()
    return error["message"]
