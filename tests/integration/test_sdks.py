"""The official SDKs talk to the stand-in provider unaided, so that what it says is what a provider says, not what we take it for.

They are installed by npm into a directory of the cache, once; the versions are the last that run on Debian's Node 18.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from chatting import tokens
from stack import wait_for

PACKAGES = ["openai@4.104.0", "@anthropic-ai/sdk@0.39.0"]
SCRIPT = pathlib.Path(__file__).with_name("sdks.mjs")
KEY = "sk-sdk-test"
ZH5 = "今天天气很好，我们一"
EMOJI5 = "👨‍👩‍👧‍👦🇨🇳👍🏽👩🏻‍💻🏳️‍🌈"


def install():
    """The directory that has the packages."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("the SDKs need node and npm (packages nodejs, npm)")
    name = "-".join(package.rpartition("@")[2] for package in PACKAGES)
    caches = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "llmchat-tests"
    home = caches / f"sdks-{name}"
    if home.exists():
        return home
    caches.mkdir(parents=True, exist_ok=True)
    made = pathlib.Path(tempfile.mkdtemp(prefix="sdks-", dir=caches))
    (made / "package.json").write_text('{"private":true}')
    done = subprocess.run(["npm", "install", "--prefix", str(made), "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", *PACKAGES],
                          capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        shutil.rmtree(made, ignore_errors=True)
        pytest.skip("npm cannot install the SDKs: " + (done.stderr.strip().splitlines() or ["no word why"])[-1])
    try:
        made.rename(home)
    except OSError:  # another run was quicker
        shutil.rmtree(made, ignore_errors=True)
    return home


@pytest.fixture(scope="module")
def sdk(tmp_path_factory):
    """Runs a scenario of sdks.mjs against a stand-in provider of its own."""
    home = install()
    port_file = tmp_path_factory.mktemp("sdks") / "port"
    program = pathlib.Path(os.environ["STACK_PREFIX"]) / "bin" / "llmchat-provider-sim"
    sim = subprocess.Popen([str(program), "--port-file", str(port_file), "--key", KEY], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for(port_file.exists, 10, "the stand-in provider")
    url = f"http://127.0.0.1:{port_file.read_text().strip()}"

    def run(scenario):
        done = subprocess.run(["node", str(SCRIPT), str(home), url, KEY, scenario], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    yield run
    sim.terminate()
    sim.wait(10)


# What both SDKs make of a status.
ERRORS = ["BadRequestError", "AuthenticationError", "PermissionDeniedError", "NotFoundError", "UnprocessableEntityError", "RateLimitError",
          "InternalServerError", "InternalServerError"]
STATUSES = [400, 401, 403, 404, 422, 429, 500, 529]


def test_openai_plain(sdk):
    answer = sdk("openai-plain")
    assert answer["choices"][0]["message"]["content"] == ZH5 and answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + 5


def test_openai_stream(sdk):
    answer = sdk("openai-stream")
    assert (answer["content"], answer["reasoning"], answer["finish"], answer["roles"]) == (EMOJI5, "think0 think1 ", "stop", ["assistant"])
    assert answer["usage"]["completion_tokens"] == 7 and answer["chunks"] == 10


@pytest.mark.parametrize("scenario", ["openai-tool", "openai-tool-stream"])
def test_openai_tools(sdk, scenario):
    choice = sdk(scenario)["choices"][0]
    call = choice["message"]["tool_calls"][0]
    assert (choice["finish_reason"], choice["message"]["content"], call["type"]) == ("tool_calls", tokens(2), "function")
    assert call["id"] and call["function"]["name"] == "get_weather" and json.loads(call["function"]["arguments"]) == {"city": "Paris"}


def test_openai_models(sdk):
    assert "sim-echo" in sdk("openai-models")


def test_openai_errors(sdk):
    answers = sdk("openai-errors")
    assert [(answer["error"], answer["status"]) for answer in answers] == list(zip(ERRORS, STATUSES))
    assert {answer["retryAfter"] for answer in answers} == {"7"} and answers[5]["code"] == "rate_limit_exceeded"
    wrong = sdk("openai-no-key")
    assert (wrong["error"], wrong["status"], wrong["code"]) == ("AuthenticationError", 401, "invalid_api_key")


def test_openai_failures_in_mid_stream(sdk):
    mid = sdk("openai-mid")
    assert mid["got"] == tokens(3) and mid["error"] == "APIError"
    cut = sdk("openai-cut")
    assert cut["got"] == tokens(3) and cut["error"]


def test_anthropic_plain(sdk):
    answer = sdk("anthropic-plain")
    assert [(block["type"], block.get("text") or block["thinking"]) for block in answer["content"]] == [("thinking", "think0 think1 "), ("text", ZH5)]
    assert answer["stop_reason"] == "end_turn" and answer["usage"]["output_tokens"] == 7 and answer["usage"]["input_tokens"] > 0


def test_anthropic_stream(sdk):
    answer = sdk("anthropic-stream")
    assert [(block["type"], block.get("text") or block["thinking"]) for block in answer["content"]] == [("thinking", "think0 think1 "), ("text", EMOJI5)]
    assert answer["content"][0]["signature"] and answer["stop_reason"] == "end_turn" and answer["usage"]["output_tokens"] == 7


def test_anthropic_events(sdk):
    assert sdk("anthropic-events") == ["message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
                                       "message_delta", "message_stop"]


@pytest.mark.parametrize("scenario", ["anthropic-tool", "anthropic-tool-stream"])
def test_anthropic_tools(sdk, scenario):
    answer = sdk(scenario)
    text, call = answer["content"]
    assert (answer["stop_reason"], text["text"]) == ("tool_use", tokens(2))
    assert (call["type"], call["name"], call["input"]) == ("tool_use", "get_weather", {"city": "Paris"}) and call["id"]


def test_anthropic_errors(sdk):
    answers = sdk("anthropic-errors")
    assert [(answer["error"], answer["status"]) for answer in answers] == list(zip(ERRORS, STATUSES))
    assert {answer["retryAfter"] for answer in answers} == {"7"}
    assert [answers[i]["body"]["error"]["type"] for i in (1, 5, 7)] == ["authentication_error", "rate_limit_error", "overloaded_error"]
    wrong = sdk("anthropic-no-key")
    assert (wrong["error"], wrong["status"]) == ("AuthenticationError", 401)


def test_anthropic_failures_in_mid_stream(sdk):
    mid = sdk("anthropic-mid")
    assert mid["got"] == tokens(3) and mid["error"] and "overloaded_error" in mid["why"]
    cut = sdk("anthropic-cut")
    assert cut["got"] == tokens(3) and cut["error"]
