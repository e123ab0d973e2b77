"""OpenAI's own client and the AI SDK talk to /v1: what they send is taken, and what they get is what they expect."""

import json
import subprocess
import time

import pytest

import sdk
from accounts import admin, module_stack, the_stack  # noqa: F401
from chatting import tokens
from stack import wait_for
from v1 import SCRIPTS, key, owner  # noqa: F401


@pytest.fixture
def openai(stack, key):  # noqa: F811 pylint: disable=redefined-outer-name
    return lambda code: sdk.run(stack, key, "openai", code)


@pytest.fixture
def ai(stack, key):  # noqa: F811 pylint: disable=redefined-outer-name
    return lambda code: sdk.run(stack, key, "ai", code)


# ---- openai ----

def test_openai_lists_models(openai):
    models, one, missing = openai("""
        const list = []; for await (const model of client().models.list()) list.push(model);
        out(list); out(await client().models.retrieve("quick")); out(await failure(client().models.retrieve("nobody")));""")
    assert {model["id"] for model in models} == set(SCRIPTS) - {"inactive"} and one in models
    assert (missing["kind"], missing["status"], missing["code"], missing["param"]) == ("NotFoundError", 404, "model_not_found", "model")


def test_openai_asks_plain_and_streamed(openai):
    plain, thinking, raw, chunks, usage = openai("""
        out(await client().chat.completions.create({model: "quick", messages: hello, top_p: 0.5, max_completion_tokens: 99}));
        out((await client().chat.completions.create({model: "thinks", messages: hello})).choices[0].message);
        const {data, response, request_id} = await client().chat.completions.create({model: "quick", messages: hello}).withResponse();
        out({text: data.choices[0].message.content, status: response.status, id: request_id, chat: response.headers.get("x-chat-id")});
        out(await chunks(await client().chat.completions.create({model: "quick", messages: hello, stream: true})));
        out(await chunks(await client().chat.completions.create({model: "quick", messages: hello, stream: true, stream_options: {include_usage: true}})));""")
    assert plain["choices"][0]["message"]["content"] == tokens(5) and plain["usage"]["total_tokens"] == 7 and plain["object"] == "chat.completion"
    assert thinking["reasoning_content"] == "think0 think1 think2 "
    assert raw["text"] == tokens(5) and raw["status"] == 200 and raw["id"] and raw["chat"]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == tokens(5)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert usage[-1]["choices"] == [] and usage[-1]["usage"] == {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}


def test_openai_puts_a_stream_together_and_runs_tools(openai):
    final, last, messages = openai("""
        const stream = client().beta.chat.completions.stream({model: "tools", messages: hello, stream_options: {include_usage: true},
            tools: [{type: "function", function: {name: "get_weather", parameters: {}}}]});
        out(await stream.finalChatCompletion());
        const runner = client().beta.chat.completions.runTools({model: "tools", stream: true, messages: hello, tools: [{type: "function", function: {
            name: "get_weather", parse: JSON.parse, function: ({city}) => `sunny in ${city}`, parameters: {type: "object", properties: {city: {type: "string"}}}}}]});
        out(await runner.finalContent()); out(runner.messages);""")
    [choice] = final["choices"]
    assert choice["finish_reason"] == "tool_calls" and final["usage"]["total_tokens"] > 0
    assert [json.loads(call["function"]["arguments"]) for call in choice["message"]["tool_calls"]] == [{"city": "Paris"}] * 2
    assert last == tokens(2)
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "assistant"]
    assert [message["content"] for message in messages if message["role"] == "tool"] == ["sunny in Paris"] * 2


def test_openai_knows_our_errors(openai):
    kinds = [
        ("{apiKey: 'sk-' + 'A'.repeat(43)}", "{model: 'quick', messages: hello}", "AuthenticationError", 401, "invalid_api_key", None),
        ("{}", "{model: 'nobody', messages: hello}", "NotFoundError", 404, "model_not_found", "model"),
        ("{}", "{model: 'quick', messages: []}", "BadRequestError", 400, "validation_error", "messages"),
        ("{}", "{model: 'quick', messages: hello, temperature: 3}", "BadRequestError", 400, "validation_error", "temperature"),
        ("{}", "{model: 'err429-ra1', messages: hello}", "RateLimitError", 429, "upstream_rate_limited", None),
        ("{}", "{model: 'err500', messages: hello}", "InternalServerError", 502, "upstream_error", None),
        ("{}", "{model: 'err500', messages: hello, stream: true}", "InternalServerError", 502, "upstream_error", None),
        ("{}", "{model: 'hang', messages: hello}", "InternalServerError", 504, "upstream_timeout", None),
    ]
    failures = openai("".join(f"out(await failure(client({options}).chat.completions.create({body})));" for options, body, *_ in kinds))
    for (_, body, *wanted), got in zip(kinds, failures):
        assert [got[name] for name in ("kind", "status", "code", "param")] == wanted, (body, got)
        assert got["id"] and got["message"].startswith(str(got["status"]))


def test_openai_learns_of_a_failure_in_mid_stream(openai):
    [got] = openai("""
        let text = "", seen = [];
        out(await failure((async () => {
            for await (const chunk of await client().chat.completions.create({model: "mid", messages: hello, stream: true})) text += chunk.choices[0].delta.content ?? "";
        })().catch(e => { e.seen = {text}; throw e; })));""")
    assert got["text"] == tokens(5) and got["kind"] == "APIError" and got["code"] == "upstream_error" and "failed" in got["message"]


def test_openai_tries_again_when_and_only_when_it_helps(stack, openai):
    asked = {}
    for model in ("err429-ra1", "err401"):
        stack.reset_stats()
        started = time.monotonic()
        [got] = openai(f"out(await failure(client({{maxRetries: 1}}).chat.completions.create({{model: '{model}', messages: hello}})));")
        asked[model] = (got["status"], stack.stats()["requests"], time.monotonic() - started)
    assert asked["err429-ra1"][:2] == (429, 2) and asked["err429-ra1"][2] >= 1  # Retry-After: 1
    # A 502 all the same, but our key is refused again however often it is tried.
    assert asked["err401"][:2] == (502, 1)


def test_openai_leaves_and_the_provider_is_left(stack, openai):
    before = stack.stats()["closed_by_client"]
    [n] = openai("""
        let n = 0;
        const stream = await client().chat.completions.create({model: "slow", messages: hello, stream: true});
        for await (const chunk of stream) if (++n == 5) stream.controller.abort();
        out(n);""")
    assert n >= 5
    wait_for(lambda: stack.stats()["closed_by_client"] == before + 1 and stack.stats()["open"] == 0, 5, "the end of the provider's call")


def test_a_client_that_dies_leaves_too(stack, key):  # noqa: F811 pylint: disable=redefined-outer-name
    before = stack.stats()["closed_by_client"]
    arguments, environment, directory = sdk.command(stack, key, "openai", """
        for await (const chunk of await client().chat.completions.create({model: "slow", messages: hello, stream: true})) out(1);""")
    with subprocess.Popen(arguments, env=environment, cwd=directory, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        process.kill()
    wait_for(lambda: stack.stats()["closed_by_client"] == before + 1, 5, "the end of the provider's call")


# ---- the AI SDK ----

def test_the_ai_sdk_asks_plain_and_streamed(ai):
    plain, streamed = ai("""
        const {text, usage, finishReason, reasoningText} = await generateText({model: provider("thinks"), prompt: "Hello", temperature: 0});
        out({text, usage, finishReason, reasoningText});
        const result = streamText({model: provider("thinks"), prompt: "Hello"});
        let all = ""; for await (const piece of result.textStream) all += piece;
        out({text: all, usage: await result.usage, finishReason: await result.finishReason, reasoningText: await result.reasoningText});""")
    for got in (plain, streamed):
        assert (got["text"], got["finishReason"], got["reasoningText"]) == (tokens(5), "stop", "think0 think1 think2 ")
        assert got["usage"]["totalTokens"] == got["usage"]["inputTokens"] + got["usage"]["outputTokens"] == 10


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_the_ai_sdk_runs_tools(stack, ai, streamed):
    how = "const result = streamText(ask); await result.consumeStream();" if streamed else "const result = await generateText(ask);"
    [got] = ai("const ask = {model: provider('tool'), prompt: 'Weather?', tools: {get_weather: weather}, stopWhen: stepCountIs(3)};" + how + """
        const steps = await result.steps;
        out(steps.map(step => ({reason: step.finishReason, calls: step.toolCalls.map(call => call.input), results: step.toolResults.map(result => result.output)})));""")
    assert got == [{"reason": "tool-calls", "calls": [{"city": "Paris"}], "results": ["sunny in Paris"]}, {"reason": "stop", "calls": [], "results": []}]
    roles = [message["role"] for message in stack.last_request()["body"]["messages"]]
    assert roles == ["user", "assistant", "tool"]


def test_the_ai_sdk_knows_our_errors(ai):
    kinds = ai("""
        for (const model of ["nobody", "err429-ra1", "err401"])
            try { await generateText({model: provider(model), prompt: "Hello", maxRetries: 0}); }
            catch (e) { out([e.name, e.statusCode, e.isRetryable, e.data?.error?.code]); }""")
    assert kinds[0] == ["AI_APICallError", 404, False, "model_not_found"] and kinds[1] == ["AI_APICallError", 429, True, "upstream_rate_limited"]
    assert kinds[2][:2] == ["AI_APICallError", 502]


def test_the_ai_sdk_learns_of_a_failure_in_mid_stream(ai):
    [got] = ai("""
        const parts = []; let text = "";
        for await (const part of streamText({model: provider("mid"), prompt: "Hello", onError() {}}).fullStream) {
            parts.push(part.type); if (part.type == "text-delta") text += part.text;
        }
        out({parts, text});""")
    assert got["text"] == tokens(5) and "error" in got["parts"]


def test_the_ai_sdk_leaves_and_the_provider_is_left(stack, ai):
    before = stack.stats()["closed_by_client"]
    ai("""
        const stop = new AbortController(); let n = 0;
        try {
            for await (const piece of streamText({model: provider("slow"), prompt: "Hello", abortSignal: stop.signal, onError() {}}).textStream) if (++n == 5) stop.abort();
        } catch (e) { if (e.name != "AbortError") throw e; }
        out(n);""")
    wait_for(lambda: stack.stats()["closed_by_client"] == before + 1 and stack.stats()["open"] == 0, 5, "the end of the provider's call")
