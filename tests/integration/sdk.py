"""Official clients of OpenAI's API, run with Node: packages are pinned (sdk/package-lock.json) and kept in a cache outside of the tree."""

import fcntl
import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent / "sdk"

# What every script begins with; out() says what the test gets to see, and `text` reads a stream of the AI SDK.
PRELUDES = {
    "openai": """
import OpenAI from "openai";
const client = (more = {}) => new OpenAI({baseURL: env.BASE + "/v1", apiKey: env.KEY, maxRetries: 0, ...more});
const failure = async promise => { try { await promise; return null; } catch (e) { return {kind: e.constructor.name, status: e.status, code: e.code,
    type: e.type, param: e.param, message: e.message, id: e.headers?.["x-request-id"], ...e.seen}; } };
const chunks = async stream => { const all = []; for await (const chunk of stream) all.push(chunk); return all; };
const hello = [{role: "user", content: "Hello"}];
""",
    "ai": """
import {generateText, streamText, generateObject, stepCountIs, tool} from "ai";
import {createOpenAICompatible} from "@ai-sdk/openai-compatible";
import {z} from "zod";
const provider = createOpenAICompatible({name: "llmchat", baseURL: env.BASE + "/v1", apiKey: env.KEY, includeUsage: true});
const weather = tool({description: "The weather of a city", inputSchema: z.object({city: z.string()}), execute: async ({city}) => `sunny in ${city}`});
""",
}
COMMON = """
const env = process.env;
const out = value => process.stdout.write(JSON.stringify(value) + "\\n");
"""


@functools.cache
def packages():
    """The directory whose node_modules has what the lock file names; skips the test where npm cannot bring it."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("there is no node or npm: dev/install-packages test")
    lock = (HERE / "package-lock.json").read_bytes()
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "llmchat"
    directory = cache / f"sdk-{hashlib.sha256(lock).hexdigest()[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "sdk.lock", "w", encoding="ascii") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)  # of two test runs one installs
        if (directory / "complete").exists():
            return directory
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, directory)
        done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=directory, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            pytest.skip(f"npm could not install the clients: {done.stderr[-400:]}")
        (directory / "complete").touch()
    return directory


def command(stack, key, kind, code):
    """What runs a script against the stack: (arguments, environment, directory)."""
    directory = packages()
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "BASE": f"http://127.0.0.1:{stack.port}", "KEY": key}
    return [shutil.which("node"), "--input-type=module", "-e", COMMON + PRELUDES[kind] + code], environment, directory


def run(stack, key, kind, code, timeout=60):
    """Runs a script; what it said with out(), a list."""
    arguments, environment, directory = command(stack, key, kind, code)
    done = subprocess.run(arguments, env=environment, cwd=directory, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
