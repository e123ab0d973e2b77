"""What nginx itself answers: its errors in our envelope, the page and its caching, who may read /metrics."""

import re

import pytest

from stack import wait_for

TIMESTAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
TOO_LARGE = b"x" * (10 * 1024 * 1024 + 1)


def check_envelope(answer, status, code):
    assert answer.status == status
    assert answer.header("Content-Type").startswith("application/json")
    body = answer.json()
    assert body["code"] == code
    assert body["message"].endswith(".")
    assert TIMESTAMP.match(body["timestamp"]), body["timestamp"]
    assert body["requestId"] == answer.header("X-Request-Id")
    return body


def test_a_body_over_10_megabytes_is_413_in_the_envelope(stack):
    answer = stack.post("/api/chat/completions", body=TOO_LARGE, headers={"Content-Type": "application/json"})
    check_envelope(answer, 413, "PAYLOAD_TOO_LARGE")


def test_an_openai_client_gets_errors_in_its_own_shape(stack):
    answer = stack.post("/v1/chat/completions", body=TOO_LARGE)
    assert answer.status == 413
    assert answer.json()["error"]["code"] == "payload_too_large"
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_well_formed_request_id_is_kept_and_another_is_replaced(stack):
    kept = stack.post("/api/x", body=TOO_LARGE, headers={"X-Request-Id": "my-id.1"})
    assert kept.json()["requestId"] == "my-id.1"
    replaced = stack.post("/api/x", body=TOO_LARGE, headers={"X-Request-Id": 'a "quoted" one'})
    assert re.match(r"^[0-9a-f]{32}$", replaced.json()["requestId"])


@pytest.mark.parametrize("path, headers, status", [
    ("/" + "a" * 40000, {}, 414),
    ("/api/agents", {"X-Large": "a" * 40000}, 400),
])
def test_a_request_that_cannot_be_read_gets_the_envelope_too(stack, path, headers, status):
    check_envelope(stack.get(path, headers=headers), status, "VALIDATION_ERROR")


def test_metrics_are_for_loopback_only(stack):
    # Whatever the responder says to it, nginx let it through.
    assert stack.get("/metrics").status != 403
    # Not the address 127.0.0.1, and the nearest thing to a stranger that every machine has.
    check_envelope(stack.get("/metrics", source="127.0.0.2"), 403, "FORBIDDEN")


def test_health_and_v1_reach_the_responder_and_not_the_page(stack):
    for path in ("/health", "/health/ready", "/v1/models", "/api/agents", "/metrics"):
        assert "html" not in (stack.get(path).header("Content-Type") or ""), path


@pytest.mark.parametrize("path", ["/", "/index.html", "/a/page/of/the/application"])
def test_the_page_is_never_cached(stack, path):
    answer = stack.get(path)
    assert answer.status == 200
    assert answer.header("Content-Type").startswith("text/html")
    assert "no-store" in answer.header("Cache-Control")
    assert "frame-ancestors 'none'" in answer.header("Content-Security-Policy")


def test_a_missing_asset_is_an_error_and_not_the_page(stack):
    answer = stack.get("/app.0123abcd.js")
    check_envelope(answer, 404, "NOT_FOUND")
    assert "immutable" not in answer.header("Cache-Control")


def test_the_page_cannot_be_posted_to(stack):
    answer = stack.post("/", json={})
    check_envelope(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.header("Allow") == "GET, HEAD"


def test_hashed_assets_are_kept_for_a_year(make_stack):
    stack = make_stack()
    root = stack.dir / "page"
    root.mkdir()
    root.chmod(0o755)
    (root / "index.html").write_text("<!doctype html>")
    (root / "app.0123abcd.js").write_text("1")
    (root / "app.js").write_text("1")
    stack.run("nginx", "reload", STACK_WEB_ROOT=str(root))
    wait_for(lambda: stack.get("/app.0123abcd.js").status == 200, 5, "nginx's reload")
    hashed = stack.get("/app.0123abcd.js")
    assert "max-age=31536000" in ", ".join(hashed.all("Cache-Control"))
    assert "immutable" in ", ".join(hashed.all("Cache-Control"))
    assert stack.get("/app.js").header("Cache-Control") == "no-cache"


def test_events_pass_one_by_one(stack):
    with stack.stream("GET", "/health/stream") as stream:
        assert stream.status == 200
        assert stream.header("Content-Type").startswith("text/event-stream")
        times = [event.at for event in stream]
    assert len(times) == 5
    # 200 ms apart; collected somewhere on the way they would come together.
    assert times[-1] - times[0] > 0.5
    assert all(later - earlier > 0.05 for earlier, later in zip(times, times[1:]))


def test_a_pool_that_is_away_is_an_envelope_at_once(stack):
    stack.pool("stop")
    try:
        answer = stack.get("/api/agents")
        check_envelope(answer, 502, "UPSTREAM_ERROR")
        assert answer.header("Retry-After") == "1"
        assert answer.took < 1
        answer = stack.post("/v1/chat/completions", json={})
        assert answer.status == 502
        assert answer.json()["error"]["type"] == "server_error"
        assert stack.get("/").status == 200
    finally:
        stack.pool("start")
    stack.wait_until_ready()
    assert stack.get("/api/agents").status == 200


def test_the_access_log_has_no_query_strings(stack):
    stack.get("/api/chat-sessions/search?q=a-word-of-a-conversation")
    log = (stack.dir / "nginx" / "llmchat.access.log")
    wait_for(lambda: "/api/chat-sessions/search" in log.read_text(errors="replace"), 5, "the line in the access log")
    assert "a-word-of-a-conversation" not in log.read_text(errors="replace")
