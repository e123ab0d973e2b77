"""The configuration: the guide's .env as it stands, bounds, near misses, secrets; and one responder started with it."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile

import pytest

import fastcgi_peer
from stack import wait_for

# The block of the tuning guide, as customers paste it.
GUIDE = """\
# =================================
# ⚡ 高并发性能配置（1000并发）
# =================================

# 服务器配置
PORT=3001
NODE_ENV=production
FRONTEND_URL=https://yourdomain.com

# 速率限制（每分钟1000请求）
RATE_LIMIT_POINTS=1000
RATE_LIMIT_DURATION=60
RATE_LIMIT_BLOCK_DURATION=60
RATE_LIMIT_MAX_REQUESTS=1000
RATE_LIMIT_WINDOW_MS=60000

# 请求超时（30秒）
REQUEST_TIMEOUT=30000

# 数据库连接池（PostgreSQL）
DB_HOST=localhost
DB_PORT=5432
DB_USER=llmchat
DB_PASSWORD=your_secure_password
DB_NAME=llmchat
# 连接池大小（支持1000并发）
DB_MAX_CONNECTIONS=50
DB_MIN_CONNECTIONS=5
DB_IDLE_TIMEOUT=30000
DB_CONNECTION_TIMEOUT=10000

# Redis配置（缓存 + 分布式锁）
REDIS_HOST=localhost
REDIS_PORT=6379
REDIS_PASSWORD=your_redis_password
REDIS_DB=0
REDIS_MAX_RETRIES=10

# 熔断器配置
CIRCUIT_BREAKER_FAILURE_THRESHOLD=5
CIRCUIT_BREAKER_SUCCESS_THRESHOLD=3
CIRCUIT_BREAKER_TIMEOUT=10000
CIRCUIT_BREAKER_RESET_TIMEOUT=30000

# 重试配置
RETRY_MAX_RETRIES=3
RETRY_BASE_DELAY=1000
RETRY_MAX_DELAY=10000
RETRY_BACKOFF_FACTOR=2
RETRY_ENABLE_JITTER=true

# 监控配置
SENTRY_ENABLED=true
SENTRY_DSN=your_sentry_dsn
SENTRY_TRACES_SAMPLE_RATE=0.1
SENTRY_PROFILES_SAMPLE_RATE=0.1

# 日志级别
LOG_LEVEL=info
"""
TOKEN_SECRET, SECRETS_KEY = "t" * 20 + "-token-secret-3f9", "s" * 20 + "-secrets-key-7b2"
SECRETS = f"TOKEN_SECRET={TOKEN_SECRET}\nSECRETS_KEY={SECRETS_KEY}\n"
SECRET_NAMES = {"DB_PASSWORD", "REDIS_PASSWORD", "SENTRY_DSN"}
RESPONDER = pathlib.Path(os.environ.get("STACK_PREFIX", "/nonexistent")) / "sbin" / "llmchat-responder"


def settings(text):
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


@pytest.fixture
def home():
    with tempfile.TemporaryDirectory(prefix="c") as directory:
        yield pathlib.Path(directory)


def clean_env(**more):
    kept = {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS") if name in os.environ}
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **kept, **more}


def write(home, text, mode=0o600):
    path = home / "env"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def check(home, text, mode=0o600, **env):
    """llmchat-responder --check-config with this env file."""
    return subprocess.run([RESPONDER, "--check-config", "--env-file", write(home, text, mode)], env=clean_env(**env), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20)


def refusal(done):
    """The one sentence that a start is refused with."""
    assert done.returncode != 0 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "Sanitizer" not in done.stderr, done.stderr
    return done.stderr.strip()


# ---- the guide ----

def test_the_guides_block_is_taken_as_it_stands(home):
    done = check(home, GUIDE + SECRETS)
    assert done.returncode == 0, done.stderr
    shown = settings(done.stdout)
    for name, value in settings(GUIDE + SECRETS).items():
        if name in SECRET_NAMES | {"TOKEN_SECRET", "SECRETS_KEY"}:
            assert shown[name] == "(set)", name
            assert value not in done.stdout, name
        else:
            assert shown[name] == value, name


def test_windows_line_ends_and_quotes_and_export_are_taken(home):
    text = (GUIDE + SECRETS).replace("DB_NAME=llmchat", "export DB_NAME = 'llm chat'").replace("PORT=3001", "PORT=\"3001\"   # nginx's")
    done = check(home, text.replace("\n", "\r\n"))
    assert done.returncode == 0, done.stderr
    shown = settings(done.stdout)
    assert shown["DB_NAME"] == "llm chat" and shown["PORT"] == "3001" and shown["LOG_LEVEL"] == "info"


def test_the_environment_wins(home):
    shown = settings(check(home, GUIDE + SECRETS, RETRY_MAX_RETRIES="7").stdout)
    assert shown["RETRY_MAX_RETRIES"] == "7"


def test_every_name_of_the_guide_is_explained():
    done = subprocess.run([RESPONDER, "--help-config"], env=clean_env(), stdout=subprocess.PIPE, text=True, check=True, timeout=20)
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    for name in settings(GUIDE + SECRETS):
        assert name in lines and len(lines[name].split()) > 5, name


# ---- bounds ----

def bounds():
    """(name, value that is no number or out of range) of every number and yes/no of the guide."""
    for name, value in settings(GUIDE).items():
        if value in ("true", "false"):
            yield from ((name, wrong) for wrong in ("maybe", "2", "TRUEE"))
        elif re.fullmatch(r"[0-9.]+", value):
            yield from ((name, wrong) for wrong in ("-1", "99999999999999", "many", "5x", "1e3x", "", "0x10", "١"))


@pytest.mark.parametrize("name", sorted({name for name, _ in bounds()}))
def test_a_value_out_of_range_is_refused_with_a_sentence(home, name):
    for value in (wrong for one, wrong in bounds() if one == name):
        text = re.sub(rf"^{name}=.*$", f"{name}={value}", GUIDE, flags=re.M) + SECRETS
        sentence = refusal(check(home, text))
        assert sentence.startswith(f"{name} is {value}") and sentence.endswith("."), sentence
        assert re.search(r"from [0-9.e+]+ to [0-9.e+]+\.|true or false", sentence), sentence


@pytest.mark.parametrize("change, words", [
    ("TOKEN_SECRET=", ["TOKEN_SECRET", "32"]),
    ("TOKEN_SECRET=short", ["TOKEN_SECRET", "32"]),
    ("SECRETS_KEY=short", ["SECRETS_KEY", "32"]),
    ("LOG_LEVEL=loud", ["LOG_LEVEL", "loud", "debug, info, warn or error"]),
    ("DB_SSLMODE=maybe", ["DB_SSLMODE", "maybe", "verify-full"]),
    ("DB_HOST=", ["DB_HOST"]),
    ("DB_MIN_CONNECTIONS=60", ["DB_MIN_CONNECTIONS", "60", "DB_MAX_CONNECTIONS", "50"]),
    ("DB_MAX_CONNECTIONS=4\nDB_MIN_CONNECTIONS=1\nRESPONDERS=3", ["DB_MAX_CONNECTIONS", "4", "3 responders"]),
    ("RETRY_MAX_DELAY=100", ["RETRY_MAX_DELAY", "100", "RETRY_BASE_DELAY", "1000"]),
    ("SENTRY_TRACES_SAMPLE_RATE=1.5", ["SENTRY_TRACES_SAMPLE_RATE", "1.5", "from 0 to 1"]),
    ("SENTRY_TRACES_SAMPLE_RATE=nan", ["SENTRY_TRACES_SAMPLE_RATE", "nan", "from 0 to 1"]),
    ("DRAIN_TIMEOUT=-5", ["DRAIN_TIMEOUT", "-5"]),
    ("RUN_DIR=/" + "x" * 100, ["RUN_DIR"]),
    ("PROVIDER_CA_FILE=/nonexistent/ca.pem", ["PROVIDER_CA_FILE", "/nonexistent/ca.pem", "No such file"]),
    ("PROVIDER_CA_FILE=/dev/null", ["PROVIDER_CA_FILE", "/dev/null", "PEM"]),
    ("just some words", ["line", "NAME=value"]),
    ('DB_NAME="open', ["line"]),
])
def test_what_does_not_fit_is_refused(home, change, words):
    sentence = refusal(check(home, GUIDE + SECRETS + change + "\n"))
    for word in words:
        assert word in sentence, sentence


def test_a_refused_secret_is_not_shown(home):
    sentence = refusal(check(home, GUIDE + SECRETS + "DB_PASSWORD=" + "hunter2" * 50 + "\n"))
    assert "DB_PASSWORD" in sentence and "hunter2" not in sentence


def test_without_a_token_secret_there_is_no_start(home):
    assert "TOKEN_SECRET" in refusal(check(home, GUIDE))


@pytest.mark.parametrize("wrong, right", [
    ("DB_MAX_CONECTIONS", "DB_MAX_CONNECTIONS"), ("REDIS_HOSTS", "REDIS_HOST"), ("RATE_LIMIT_POINT", "RATE_LIMIT_POINTS"), ("LOGLEVEL", "LOG_LEVEL"),
    ("REQUEST_TIMOUT", "REQUEST_TIMEOUT"), ("TOKEN_SECRETS", "TOKEN_SECRET"), ("CIRCUIT_BREAKER_FAILURE_TRESHOLD", "CIRCUIT_BREAKER_FAILURE_THRESHOLD"),
])
def test_a_name_that_is_nearly_one_of_ours_is_refused(home, wrong, right):
    sentence = refusal(check(home, GUIDE + SECRETS + f"{wrong}=1\n"))
    assert wrong in sentence and re.search(rf"\b{right}\b", sentence), sentence


def test_other_names_are_kept_for_the_agents(home):
    done = check(home, GUIDE + SECRETS + "OPENAI_API_KEY=sk-1\nMY_OWN=1\nhttp_proxy=x\n")
    assert done.returncode == 0 and "sk-1" not in done.stdout + done.stderr


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_an_env_file_that_everybody_may_read_is_refused(home, mode):
    sentence = refusal(check(home, GUIDE + SECRETS, mode))
    assert str(home / "env") in sentence and "chmod" in sentence


def test_an_env_file_of_a_group_is_taken(home):
    assert check(home, GUIDE + SECRETS, 0o640).returncode == 0


def test_a_missing_env_file_is_refused(home):
    done = subprocess.run([RESPONDER, "--check-config", "--env-file", home / "nothing"], env=clean_env(), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=20)
    assert str(home / "nothing") in refusal(done)


def test_an_agents_file_that_cannot_be_read_is_refused_with_a_sentence(home):
    (home / "agents.json").write_text('{"agents":[')
    (home / "run").mkdir()
    env = write(home, GUIDE + SECRETS + f"AGENTS_CONFIG_PATH={home}/agents.json\nRUN_DIR={home}/run\n")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(home / "1.sock"))
        listening.listen()
        done = subprocess.run([RESPONDER, "--slot", "1", "--env-file", env], env=clean_env(), stdin=listening.fileno(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=20)
    assert done.returncode != 0 and "AGENTS_CONFIG_PATH" in done.stderr and "agents.json" in done.stderr and "Sanitizer" not in done.stderr


# ---- a real start ----

@pytest.fixture
def responder(home):
    """One responder with the guide's settings on a socket of ours; there is no PostgreSQL for it."""
    (home / "run").mkdir()
    # Not the guide's localhost: a database of somebody's may listen there.
    text = GUIDE.replace("DB_HOST=localhost", f"DB_HOST={home}") + SECRETS + f"RUN_DIR={home}/run\nAGENTS_CONFIG_PATH={home}/none.json\n"
    env = write(home, text)
    log = home / "log"
    with socket.socket(socket.AF_UNIX) as listening, open(log, "wb") as out:
        listening.bind(str(home / "1.sock"))
        listening.listen()
        process = subprocess.Popen([RESPONDER, "--slot", "1", "--env-file", env], env=clean_env(), stdin=listening.fileno(), stdout=out, stderr=out)
    try:
        process.home, process.log = home, log
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_responder_starts_with_the_guides_settings(responder):
    path = responder.home / "1.sock"
    status, _, body = fastcgi_peer.ask(path, "GET", "/health")
    health = json.loads(body)
    assert status == 200 and health["status"] == "ok" and health["environment"] == "production" and health["version"] and health["uptime"] >= 0
    assert fastcgi_peer.ask(path, "GET", "/health/ready")[0] == 503
    # Nobody chats without login unless CHAT_ANONYMOUS says so.
    question = json.dumps({"agentId": "demo", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    for method, address, body in (("POST", "/api/chat/completions", question), ("GET", "/api/chat/sessions/x/messages", b"")):
        status, headers, answer = fastcgi_peer.ask(path, method, address, body)
        assert (status, json.loads(answer)["code"]) == (401, "AUTHENTICATION_REQUIRED") and "set-cookie" not in headers
    responder.send_signal(signal.SIGTERM)
    assert responder.wait(15) == 0
    log = responder.log.read_text()
    for value in ("your_secure_password", "your_redis_password", "your_sentry_dsn", TOKEN_SECRET, SECRETS_KEY):
        assert value not in log
    assert "Sanitizer" not in log and "runtime error" not in log
    events = [json.loads(line)["event"] for line in log.splitlines() if line.startswith("{")]
    assert events[0] != "stopped" and events[-1] == "stopped" and "started" in events


def test_a_second_responder_of_a_slot_is_another_generation_beside_it(responder):
    """A planned restart runs two of one slot at once."""
    wait_for(lambda: '"started"' in responder.log.read_text(), 10, "the start")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(responder.home / "2.sock"))
        listening.listen()
        second = subprocess.Popen([RESPONDER, "--slot", "1", "--env-file", responder.home / "env"], env=clean_env(), stdin=listening.fileno(),
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert fastcgi_peer.ask(responder.home / "2.sock", "GET", "/health")[0] == 200
        assert fastcgi_peer.ask(responder.home / "1.sock", "GET", "/health")[0] == 200
        second.send_signal(signal.SIGTERM)
        assert second.wait(15) == 0
    finally:
        second.kill()
        second.wait()


def test_a_responder_without_a_socket_says_what_it_needs(home):
    (home / "run").mkdir()
    env = write(home, GUIDE + SECRETS + f"RUN_DIR={home}/run\nAGENTS_CONFIG_PATH={home}/none.json\n")
    done = subprocess.run([RESPONDER, "--slot", "1", "--env-file", env], env=clean_env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=20)
    assert done.returncode != 0 and "spawn-fcgi" in done.stderr and "Sanitizer" not in done.stderr
