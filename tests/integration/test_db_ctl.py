"""llmchatctl db: the state of the database on one page, and the plans of the program's own statements."""

import re

import pytest

from stack import wait_for


def status(stack):
    """{label: [lines]}, and the exit status."""
    done = stack.ctl("db", "status", check=False)
    found, label = {}, None
    for line in done.stdout.splitlines():
        label = line[:20].strip() or label
        found.setdefault(label, []).append(line[20:])
    return found, done


def test_status_of_a_healthy_database(stack):
    stack.wait_until_ready()
    found, done = status(stack)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert list(found) == ["version", "size", "connections", "waiting for locks", "oldest transaction", "dead rows", "invalid indexes",
                           "replication", "migrations", "settings"]
    assert found["version"][0].startswith("PostgreSQL ") and re.fullmatch(r"\d+ [kMG]B", found["size"][0])
    used, allowed, ours = map(int, re.fullmatch(r"(\d+) of (\d+) used, (\d+) by responders", found["connections"][0]).groups())
    assert 1 <= ours < used < allowed == 197
    assert re.fullmatch(r"at \d{4}, 0 pending", found["migrations"][0])
    assert found["settings"] == ["as we recommend"] and found["invalid indexes"] == ["none"]


def test_status_tells_what_is_wrong(stack):
    stack.sql("CREATE TABLE broken (a int); INSERT INTO broken VALUES (1), (1)")
    stack.run("pg", "psql", "-c", "CREATE UNIQUE INDEX CONCURRENTLY broken_a ON broken (a)", check=False)
    stack.sql("ALTER SYSTEM SET work_mem = '8MB'; SELECT pg_reload_conf()", superuser=True)
    name = stack.sql_one("SELECT max(name) FROM schema_migrations")
    row = stack.sql_one("SELECT row_to_json(m) FROM schema_migrations m ORDER BY version DESC LIMIT 1")
    stack.sql(f"DELETE FROM schema_migrations WHERE name = '{name}'")
    try:
        wait_for(lambda: stack.sql_one("SHOW work_mem") == "8MB", 5, "the setting")
        found, done = status(stack)
    finally:
        stack.sql(f"INSERT INTO schema_migrations SELECT * FROM json_populate_record(NULL::schema_migrations, '{row}')")
        stack.sql("DROP TABLE broken")
        stack.sql("ALTER SYSTEM RESET work_mem; SELECT pg_reload_conf()", superuser=True)
    assert done.returncode == 1
    assert found["migrations"][0].endswith(", 1 pending: llmchatctl migrate")
    assert found["settings"] == ["work_mem is 8MB, we recommend 4MB"]
    assert found["invalid indexes"][0].startswith("broken_a on broken: ")
    assert status(stack)[1].returncode == 0


def test_explain_names_all_statements_and_shows_the_plan_of_one(stack):
    names = stack.ctl("db", "explain").stdout.split()
    assert names == sorted(names) and {"begin_turns", "end_turns", "find_user", "expire_audit"} <= set(names)
    plan = stack.ctl("db", "explain", "find_user").stdout
    assert "users_username_key" in plan and "lower($1)" in plan
    assert "chat_messages_pkey" in stack.ctl("db", "explain", "end_turns").stdout
    assert stack.ctl("db", "explain", "find_user", "--sql").stdout.startswith("SELECT ")
    # It runs nothing.
    before = stack.sql_one("SELECT count(*) FROM users")
    stack.ctl("db", "explain", "add_user")
    assert stack.sql_one("SELECT count(*) FROM users") == before


def test_each_statement_can_be_explained(stack):
    for name in stack.ctl("db", "explain").stdout.split():
        assert "cost=" in stack.ctl("db", "explain", name).stdout, name


@pytest.mark.parametrize("args, part", [
    ((), "db needs an action"), (("reindex",), "db does not know reindex"), (("status", "now"), "takes no arguments"),
    (("explain", "nothing"), "There is no statement nothing"), (("explain", "--sql"), "Which statement?"),
    (("explain", "find_user", "end_turns"), "does not know end_turns"),
])
def test_what_is_not_understood_is_refused(stack, args, part):
    done = stack.ctl("db", *args, check=False)
    assert (done.returncode, done.stdout) == (2, "") and part in done.stderr
