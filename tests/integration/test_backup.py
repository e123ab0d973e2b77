"""A backup as docs/operations.md says: taken while people chat, restored into another database, and served from there."""

import pathlib
import threading

import pytest

from chatting import Visitor, new_stack, tokens
from conftest import finish
from stack import wait_for

# Of each table: its name, how many rows, and a digest of all they say.
DIGESTS = """
SELECT format('SELECT %L, count(*), md5(coalesce(string_agg(t::text, ''|'' ORDER BY t::text), '''')) FROM %I t', tablename, tablename)
FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename \\gexec
"""


@pytest.fixture
def busy(request):
    stack = new_stack()
    request.node.stacks = [stack]
    stack.start()
    stack.wait_until_ready()
    yield stack
    finish(stack)


def pg_bin():
    return sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]


def digests(done):
    """{table: (rows, digest)} of psql's lines."""
    return {name: (int(n), digest) for name, n, digest in (line.split("|") for line in done.stdout.splitlines() if line.count("|") == 2)}


def test_a_backup_of_a_live_system_is_whole_and_can_be_served(busy):
    first = Visitor(busy)
    chat_id = first.ask("echo", "Remember the lighthouse").data["chatId"]
    done, asked = threading.Event(), []

    def chat():
        visitor = Visitor(busy)
        while not done.is_set():
            asked.append(visitor.ask("quick").status)

    people = [threading.Thread(target=chat) for _ in range(3)] + [threading.Thread(target=lambda: Visitor(busy).ask("long"))]
    for one in people:
        one.start()
    wait_for(lambda: len(asked) > 5, 20, "chats")

    # In one snapshot: what is there, and the dump; meanwhile people go on.
    backup = busy.dir / "home" / "llmchat.dump"
    where = f"-h {busy.setting('RUN_DIR')} -U llmchat"
    before = len(asked)
    script = f"""BEGIN ISOLATION LEVEL REPEATABLE READ;
        SELECT pg_export_snapshot() AS snapshot \\gset
        \\setenv SNAPSHOT :snapshot
        \\! {pg_bin()}/pg_dump --format=custom --snapshot="$SNAPSHOT" {where} --file={backup} llmchat
        {DIGESTS} COMMIT;"""
    there = digests(busy.run("pg", "psql", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", stdin=script))
    wait_for(lambda: len(asked) > before, 20, "chats after the dump")
    done.set()
    for one in people:
        one.join()
    assert set(asked) == {200} and there["chat_messages"][0] > 10

    busy.sql("CREATE DATABASE restored OWNER llmchat", superuser=True)
    restore = f"\\! {pg_bin()}/pg_restore --exit-on-error {where} --dbname=restored {backup} || echo failed\n" + DIGESTS
    found = busy.run("pg", "psql", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", stdin=restore, PGDATABASE="restored")
    assert "failed" not in found.stdout and found.stderr == "", found
    assert digests(found) == there

    # What was said after the dump is not there; all else goes on, and turns that were in the middle end as interrupted.
    busy.start(DB_NAME="restored")
    busy.wait_until_ready()
    assert "nothing to do" in busy.raw_log("migrate")
    assert [m["content"] for m in first.messages(chat_id).data][0] == "Remember the lighthouse"
    assert first.ask("quick", chatId=chat_id).data["content"] == tokens(5)
    in_restored = lambda sql: busy.run("pg", "psql", "-q", "-A", "-t", "-c", sql, PGDATABASE="restored").stdout.strip()
    wait_for(lambda: in_restored("SELECT count(*) FROM chat_messages WHERE status = 'streaming'") == "0", 20, "no turn to be left in the middle")
    assert int(in_restored("SELECT count(*) FROM chat_messages")) == there["chat_messages"][0] + 2
