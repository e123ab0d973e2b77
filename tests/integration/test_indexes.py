"""Every index is used, and every statement that needs one has it: plans of the program's own statements, prepared, as PostgreSQL makes
them by itself (no setting of ours persuades it) on 100,000 messages and 5,000 agents."""

import hashlib
import json
import uuid

import pytest

from stack import ROOT

FILL = """
INSERT INTO users (id, username, email, role) SELECT uuid(i), 'user-' || i, 'user-' || i || '@example.org', CASE WHEN i % 500 = 0 THEN 'admin' ELSE 'user' END
  FROM generate_series(1, 5000) i;
INSERT INTO logins (id, user_id, address, created_at, expires_at) SELECT uuid(i), uuid(i % 5000 + 1), '::1', now() - i * interval '10 min', now() + interval '30 days' - i * interval '10 min'
  FROM generate_series(1, 10000) i;
INSERT INTO refresh_tokens (hash, login_id) SELECT encode(sha256(i::text::bytea), 'hex'), uuid(i % 10000 + 1) FROM generate_series(1, 30000) i;
INSERT INTO login_failures (kind, key, failures, expires_at) SELECT 'name', i::text, 1, now() + (i - 10) * interval '1 s' FROM generate_series(1, 10000) i;
INSERT INTO api_keys (id, user_id, name, shown, hash) SELECT uuid(i), uuid(i % 5000 + 1), 'key', 'sk-', encode(sha256(i::text::bytea), 'hex') FROM generate_series(1, 10000) i;
INSERT INTO key_months (key_id, month) SELECT uuid(i % 10000 + 1), (date '2020-01-01' + i / 10000 * interval '1 month')::date FROM generate_series(1, 20000) i;
INSERT INTO key_turns (answer_id, key_id, month, reserved) SELECT uuid(i), key_id, month, 1 FROM generate_series(1, 3000) i, (SELECT key_id, month FROM key_months LIMIT 1) m;
INSERT INTO audit_log (at, type, actor_id, actor, user_id, address, request_id)
  SELECT now() - i * interval '5 min', (ARRAY['login', 'login.failed', 'logout', 'user.created'])[i % 4 + 1], uuid(i % 5000 + 1), 'x', uuid(i % 4999 + 1), '::1', '' FROM generate_series(1, 30000) i;
INSERT INTO idempotency_keys (owner_id, key, body_hash, answer_id, created_at, expires_at)
  SELECT uuid(i % 5000 + 1), 'key-' || i, md5(i::text), uuid(i), now() - i * interval '2.9 s', now() + interval '1 day' - i * interval '2.9 s' FROM generate_series(1, 30000) i;
INSERT INTO changes (n, kind, key, at) SELECT i, 'user', uuid(i)::text, now() - (20000 - i) * interval '1 s' FROM generate_series(1, 20000) i;
UPDATE version SET n = 20000;
ALTER TABLE agent_configs DISABLE TRIGGER USER;
INSERT INTO agent_configs (id, name, provider, endpoint, model, is_active)
  SELECT 'agent-' || i, 'Agent ' || i, (ARRAY['openai', 'anthropic', 'dify', 'fastgpt', 'custom'])[i % 5 + 1], 'http://x', 'm', i % 10 > 0 FROM generate_series(1, 5000) i;
ALTER TABLE agent_configs ENABLE TRIGGER USER;
INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id, title, message_count, updated_at)
  SELECT uuid(i), uuid(i % 5000 + 1), i % 2 = 0, 'session-' || i, 'agent-' || i % 5000 + 1, 'title', 10, now() - i * interval '1 min' FROM generate_series(1, 10000) i;
INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id, status, updated_at, deleted_at, deleted_name)
  SELECT uuid(20000 + i), uuid(i % 5000 + 1), false, '#' || i, 'agent-1', 'deleted', now() - i * interval '1 min', now() - i * interval '1 min', 'gone-' || i
  FROM generate_series(1, 5000) i;
INSERT INTO chat_messages (id, session_id, role, content, status, agent_id, created_at, ended_at, owner_node, owner_slot, owner_generation)
  SELECT uuid(i), uuid(i % 10000 + 1), CASE WHEN i % 2 = 0 THEN 'user' ELSE 'assistant' END, repeat('word ', 40),
    CASE WHEN i % 20001 = 0 THEN 'streaming' ELSE 'complete' END, 'agent-' || i % 5000 + 1, now() - i * interval '1 s', now(), 'node', 1, 7 FROM generate_series(1, 100000) i;
INSERT INTO chat_feedback (message_id, user_id, rating) SELECT uuid(i), uuid(i % 5000 + 1), 'good' FROM generate_series(1, 50000) i;
INSERT INTO usage_daily SELECT DISTINCT current_date - i % 500, 'agent-' || i % 5, uuid(i % 300), 1, 1, 0, 0, 0, 0, 1, 1, 1, 1 FROM generate_series(1, 50000) i;
INSERT INTO usage_pending (n, day, agent_id, user_id, status) SELECT 1, current_date, 'agent-' || i % 5, uuid(i % 300), 'complete' FROM generate_series(1, 20000) i;
"""

# Where each index is needed: the name of a statement, or what PostgreSQL itself does with it.
PROMISE = "a promise that the database keeps"
GUIDE = "the tuning guide names it, for those who look for agents by hand"
FUNCTION = "in a function or trigger, where EXPLAIN does not look: tests/unit/db/test_search.c goes through them"
INDEXES = {
    "agent_configs_pkey": "get_agents",
    "agent_configs_provider_active": GUIDE,
    "api_keys_hash_key": "find_keys",
    "api_keys_pkey": "revoke_key",
    "api_keys_user": "list_keys_of_user",
    "audit_log_actor": "list_audit_of_user",
    "audit_log_at": "expire_audit",
    "audit_log_pkey": "list_audit",
    "audit_log_type": "list_audit_of_type",
    "audit_log_user": "list_audit_of_user",
    "changes_at": "expire_changes",
    "changes_pkey": "read_changes",
    "chat_feedback_pkey": "rate_message",
    "chat_messages_ended": FUNCTION,
    "chat_messages_pkey": "end_turns",
    "chat_messages_session_created": "list_messages",
    "chat_messages_streaming": "interrupt_owned",
    "chat_sessions_agent": "delete_agent",
    "chat_sessions_deleted_at": "expire_sessions",
    "chat_sessions_deleted_name": "change_sessions",
    "chat_sessions_pkey": "SELECT FROM chat_sessions WHERE id = $1 FOR KEY SHARE",  # a message's session is there
    "chat_sessions_user_id_name_key": "begin_turns",
    "chat_sessions_user_put_away": "list_sessions",
    "chat_sessions_user_updated": "list_sessions",
    "idempotency_keys_expires": "expire_idempotency_keys",
    "idempotency_keys_owner_id_key_key": "find_idempotency_key",
    "key_months_pkey": "reserve_budget",
    "key_turns_pkey": "settle_budget",
    "login_failures_expires": "expire_login_failures",
    "login_failures_pkey": "login_fail",
    "logins_expires": "expire_logins",
    "logins_pkey": "find_logins",
    "logins_user": "revoke_user",
    "refresh_tokens_login": "DELETE FROM refresh_tokens WHERE login_id = $1",  # they go with their login
    "refresh_tokens_pkey": "login_refresh",
    "search_entries_pkey": FUNCTION,
    "search_entries_session": FUNCTION,
    "search_entries_words": FUNCTION,
    "search_slices_owner": FUNCTION,
    "search_slices_pkey": FUNCTION,
    "search_state_pkey": FUNCTION,
    "search_titles_due_pkey": FUNCTION,
    "session_counts_pkey": "count_sessions",
    "usage_daily_pkey": "sum_usage",
    "usage_pending_pkey": "count_usage",
    "users_email_key": PROMISE,
    "users_pkey": "get_user",
    "users_username_key": "find_user",
    "version_pkey": PROMISE,
}

# Tables that may be read from end to end: of one row, or because all of it is wanted, or until the first of many. A DELETE of a tenth of
# a table may, where nothing persuades PostgreSQL otherwise; responders do (enable_seqscan=off).
SCANS = {
    "add_first_admin": {"users"}, "have_admin": {"users"}, "update_user": {"users"}, "list_keys": {"users", "api_keys"},
    "list_audit": {"audit_log"}, "expire_audit": {"audit_log"}, "read_changes": {"version"},
    "announce_change": {"version"}, "announce_reload": {"version"}, "settle_budgets": {"key_turns"}, "list_agent_revisions": {"agent_configs"},
    "write_agents": {"agent_configs"},
    "search": {"search_slices", "search_entries"},  # nothing is indexed here: they are empty
    "sum_stats": {"users", "agent_configs", "usage_pending"}, "count_usage": {"usage_pending"}, "usage_by_agent": {"agent_configs"},
}


# Beside them a user with ten thousand sessions, one of which has ten thousand messages.
LARGE = """
INSERT INTO users (id, username) VALUES (uuid(0), 'large');
INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id, title, message_count, updated_at)
  SELECT uuid(30000 + i), uuid(0), false, 'large-' || i, 'agent-1', 'title', 0, now() - i * interval '1 min' FROM generate_series(1, 10000) i;
INSERT INTO chat_messages (id, session_id, role, content, status, agent_id, created_at, ended_at)
  SELECT uuid(200000 + i), uuid(30001), CASE WHEN i % 2 = 0 THEN 'user' ELSE 'assistant' END, 'word', 'complete', 'agent-1', now() - i * interval '1 s', now()
  FROM generate_series(1, 10000) i;
"""


def literal(n):
    """What the database calls uuid(n)."""
    return f"'{uuid.UUID(hashlib.md5(str(n).encode()).hexdigest())}'"


OWNER = f"{literal(0)}, NULL"
TURN = ", ".join(f"ARRAY[{value}]" for value in (
    f"{literal(1000000)}::uuid", f"{literal(0)}::uuid", "false", "'large-1'", "'agent-1'", "''", f"{literal(1000001)}::uuid", "NULL::text", "'Question'",
    "NULL::text", f"{literal(1000002)}::uuid", "NULL::text", "'openai'", "'m'", "''", "20::bigint", "8000::bigint"))
# What a responder asks of them, with its parameters.
ASKED_OF_LARGE = {
    "list_sessions": f"{OWNER}, 'all', NULL, NULL, NULL, '20', '0'",
    "list_messages": f"{OWNER}, 'large-1', NULL, '', '50', '100'",
    "export_messages": f"{literal(0)}, {literal(30001)}, '0', '00000000-0000-0000-0000-000000000000', '100', '1000000'",
    "find_question": f"{OWNER}, 'large-1', NULL, {literal(200001)}, {literal(200001)}",
    "find_answer": f"{OWNER}, 'unknown', NULL",
    "begin_turns": f"{TURN}, 'node', '1', '1'",
    "retry_turn": f"{literal(30001)}, {literal(0)}, {literal(200002)}, {literal(1000003)}, '', 'agent-1', 'openai', 'm', '', '20', '8000', 'node', '1', '1'",
}


@pytest.fixture(scope="module")
def filled(shared_stack):
    """(the stack, a function that runs SQL in a database full of rows)"""
    stack = shared_stack
    stack.sql("DROP DATABASE IF EXISTS filled", superuser=True)
    stack.sql("CREATE DATABASE filled OWNER llmchat", superuser=True)

    def run(sql):
        return stack.run("pg", "psql", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", stdin=sql, PGDATABASE="filled").stdout

    run("".join(file.read_text() for file in sorted((ROOT / "sql").glob("0*.sql"))))
    run("CREATE FUNCTION uuid(bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5($1::text)::uuid $$;" + FILL)
    run("VACUUM ANALYZE")
    yield stack, run
    stack.sql("DROP DATABASE filled WITH (FORCE)", superuser=True)


@pytest.fixture(scope="module")
def plans(filled):
    """{statement: what used() says of its plan}, and the names of all indexes."""
    stack, run = filled
    texts = {name: stack.ctl("db", "explain", name, "--sql").stdout.strip() for name in stack.ctl("db", "explain").stdout.split()}
    texts.update({text: text for text in INDEXES.values() if "$1" in text})
    plan = "SET plan_cache_mode = force_generic_plan;\n"
    for i, text in enumerate(texts.values()):
        plan += f"""PREPARE s{i} AS {text};
            SELECT 'EXPLAIN (FORMAT JSON) EXECUTE s{i}' || CASE WHEN n > 0 THEN '(' || repeat('NULL, ', n - 1) || 'NULL)' ELSE '' END
            FROM (SELECT cardinality(parameter_types) AS n FROM pg_prepared_statements WHERE name = 's{i}') p \\gexec
            \\echo ;;\n"""
    return dict(zip(texts, map(used, run(plan).split(";;\n")))), set(run("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'").split())


def nodes_of(explained):
    nodes = [json.loads(explained)[0]["Plan"]]
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        yield node


def used(explained):
    """(the indexes of a plan, the tables it reads from end to end)"""
    indexes, scanned = set(), set()
    for node in nodes_of(explained):
        indexes.update(node.get("Conflict Arbiter Indexes", []))
        if "Index Name" in node:
            indexes.add(node["Index Name"])
        if node["Node Type"] == "Seq Scan":
            scanned.add(node["Relation Name"])
    return indexes, scanned


def test_each_index_is_used_where_it_should_be(plans):
    found, indexes = plans
    assert set(INDEXES) == indexes, "each index has a line in INDEXES that says where it is used"
    for index, where in INDEXES.items():
        if where not in (PROMISE, GUIDE, FUNCTION):
            assert index in found[where][0], (index, where, found[where])


def test_no_statement_reads_a_large_table_from_end_to_end(plans):
    found, _ = plans
    assert {name: scanned for name, (_, scanned) in found.items() if scanned - SCANS.get(name, set())} == {}


@pytest.fixture(scope="module")
def large(filled, plans):  # pylint: disable=unused-argument
    """The same after the others have made their plans."""
    filled[1](LARGE)
    filled[1]("VACUUM ANALYZE users, chat_sessions, chat_messages")
    return filled


@pytest.mark.parametrize("name", ASKED_OF_LARGE)
def test_what_is_large_is_not_read_whole(large, name):
    """Nearly all sessions have ten messages and nearly all users two sessions, and so PostgreSQL plans."""
    stack, run = large
    text = stack.ctl("db", "explain", name, "--sql").stdout.strip()
    explained = run(f"""SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off; PREPARE s AS {text};
        BEGIN; EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE s({ASKED_OF_LARGE[name]}); ROLLBACK;""")
    read = [(node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in nodes_of(explained) if "Relation Name" in node]
    assert 1 <= max(read) <= 400, (name, read)
