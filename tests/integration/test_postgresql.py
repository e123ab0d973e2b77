"""PostgreSQL as the guide wants it: its settings, the script for its indexes, the queries that watch it."""

import pathlib
import re
import threading

import pytest

from stack import ROOT, wait_for

SETTINGS = {
    "max_connections": "200", "shared_buffers": "256MB", "effective_cache_size": "1GB", "maintenance_work_mem": "64MB",
    "checkpoint_completion_target": "0.9", "wal_buffers": "16MB", "default_statistics_target": "100", "random_page_cost": "1.1",
    "effective_io_concurrency": "200", "work_mem": "4MB", "min_wal_size": "1GB", "max_wal_size": "4GB",
}

# What the guide's three indexes are called here.
INDEXES = {"chat_sessions_user_updated": "(user_id, updated_at DESC", "chat_messages_session_created": "(session_id, created_at",
           "agent_configs_provider_active": "(provider, is_active"}


def psql_file(stack, path, superuser=False, **env):
    """As the guide runs it: psql -f FILE."""
    return stack.run("pg", "psql", "-f", str(path), check=False, **({"PGUSER": "postgres"} if superuser else {}), **env)


def readable(stack, name):
    """A script of sql/ where the stack's user can read it."""
    return pathlib.Path(stack.prefix) / "share" / "llmchat" / "sql" / name


def test_the_file_of_settings_is_the_guides_and_in_force(stack):
    file = pathlib.Path(stack.prefix) / "share" / "llmchat" / "conf" / "postgresql.llmchat.conf"
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    found = {}
    for line in lines:
        name, value, why = re.fullmatch(r"(\w+) = (\S+) +# (.{20,})", line).groups()
        found[name] = value
    assert found == SETTINGS
    # What SHOW says, in the same words.
    assert {name: stack.sql_one(f"SHOW {name}") for name in SETTINGS} == SETTINGS
    assert stack.sql("SELECT name FROM pg_file_settings WHERE error IS NOT NULL", superuser=True) == []


@pytest.fixture
def grown(stack):
    """A database of its own with the tables, without any of the three indexes: {name: definition} of what is there."""
    stack.sql("DROP DATABASE IF EXISTS grown", superuser=True)
    stack.sql("CREATE DATABASE grown OWNER llmchat", superuser=True)
    for file in sorted((ROOT / "sql").glob("0*.sql")):
        stack.run("pg", "psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", stdin=file.read_text(), PGDATABASE="grown")
    yield lambda sql: stack.run("pg", "psql", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", stdin=sql, PGDATABASE="grown").stdout.split("\n")[:-1]
    stack.sql("DROP DATABASE grown WITH (FORCE)", superuser=True)


def definitions(grown):
    names = ",".join(f"'{name}'" for name in INDEXES)
    rows = grown(f"SELECT indexname || '|' || indexdef FROM pg_indexes JOIN pg_index ON indexrelid = indexname::regclass WHERE indexname IN ({names}) AND indisvalid")
    return dict(row.split("|") for row in rows)


def test_the_guides_indexes_come_to_a_database_that_grew_without_them(stack, grown):
    for name in INDEXES:
        grown(f"DROP INDEX IF EXISTS {name}")
    script = readable(stack, "add_performance_indexes.sql")
    for _ in range(2):
        done = psql_file(stack, script, PGDATABASE="grown")
        assert (done.returncode, done.stderr) == (0, ""), done
        found = definitions(grown)
        assert set(found) == set(INDEXES)
        for name, columns in INDEXES.items():
            assert columns in found[name], found[name]


def test_an_index_whose_build_was_broken_off_is_built_anew(stack, grown):
    grown("DROP INDEX IF EXISTS chat_sessions_user_updated")
    # The build waits for this transaction until its time is up; what is left is an index that nobody may use.
    holder = "BEGIN; LOCK TABLE chat_sessions IN ROW EXCLUSIVE MODE; SELECT pg_sleep(1); COMMIT"
    build = "SET statement_timeout = 300; CREATE INDEX CONCURRENTLY chat_sessions_user_updated ON chat_sessions (user_id, updated_at DESC)"
    thread = threading.Thread(target=grown, args=(holder,))
    thread.start()
    wait_for(lambda: grown("SELECT count(*) FROM pg_locks WHERE relation = 'chat_sessions'::regclass AND mode = 'RowExclusiveLock'") == ["1"], 5, "the lock")
    assert "statement timeout" in stack.run("pg", "psql", "-q", "-f", "-", stdin=build, PGDATABASE="grown", check=False).stderr
    thread.join()
    assert grown("SELECT indisvalid FROM pg_index WHERE indexrelid = 'chat_sessions_user_updated'::regclass") == ["f"]
    done = psql_file(stack, readable(stack, "add_performance_indexes.sql"), PGDATABASE="grown")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert set(definitions(grown)) == set(INDEXES)


def test_migrate_takes_no_notice_of_the_scripts_beside_the_migrations(stack):
    shown = stack.ctl("migrate", "--status").stdout
    assert "add_performance" not in shown and "monitoring" not in shown
    assert "pending" not in shown


@pytest.mark.parametrize("role", ["llmchat", "postgres"])
def test_the_queries_that_watch_run_without_an_error(stack, role):
    done = psql_file(stack, readable(stack, "monitoring.sql"), superuser=role == "postgres")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.count("\n== ") >= 10 and "pg_stat_statements is not there" in done.stdout
    # Each says how to read it.
    text = readable(stack, "monitoring.sql").read_text()
    assert all(part.split("\n")[1].startswith("-- ") for part in text.split("\\echo '== ")[1:])
