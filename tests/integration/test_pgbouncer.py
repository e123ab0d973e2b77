"""Behind PgBouncer in transaction mode, as docs/operations.md says: a real one, with two server connections for both responders."""

import os
import shutil
import socket
import subprocess

import pytest

from chatting import Crowd, Visitor, check_error, check_healthy, crowd_of, literal, locked, new_stack, rows, tokens
from conftest import finish
from stack import wait_for

PORT, POOL = 6432, 2
CONFIG = """[databases]
llmchat = host={run} port=5432 dbname=llmchat pool_size={pool}
[pgbouncer]
listen_addr =
unix_socket_dir = {dir}
listen_port = {port}
auth_type = scram-sha-256
auth_file = {dir}/users
pool_mode = transaction
logfile = {dir}/log
pidfile = {dir}/pid
"""


def program():
    return shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")


class Bouncer:
    """A PgBouncer of the stack's own, run by the stack's user."""

    def __init__(self, stack):
        self.dir, owner = stack.dir / "b", os.stat(stack.dir / "pg")
        self.dir.mkdir()
        (self.dir / "ini").write_text(CONFIG.format(run=stack.setting("RUN_DIR"), pool=POOL, dir=self.dir, port=PORT))
        (self.dir / "users").write_text(f'"llmchat" "{stack.setting("DB_PASSWORD")}"\n')
        who = {}
        if os.getuid() != owner.st_uid:
            for path in (self.dir, self.dir / "ini", self.dir / "users"):
                os.chown(path, owner.st_uid, owner.st_gid)
            who = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        self.process = subprocess.Popen([program(), "-q", str(self.dir / "ini")], cwd="/", stdin=subprocess.DEVNULL, **who)
        wait_for(self.listens, 10, "PgBouncer")

    def listens(self):
        assert self.process.poll() is None, (self.dir / "log").read_text()
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(str(self.dir / f".s.PGSQL.{PORT}")) == 0

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture(scope="module")
def own_stack():
    assert program(), "there is no pgbouncer; dev/install-packages test installs it"
    stack = new_stack(DB_STATEMENT_TIMEOUT=1500, DB_CONNECTION_TIMEOUT=1500)
    stack.start()
    stack.sql("""ALTER ROLE llmchat SET statement_timeout = '1500ms'; ALTER ROLE llmchat SET plan_cache_mode = 'force_generic_plan';
                 ALTER ROLE llmchat SET enable_seqscan = off; ALTER ROLE llmchat SET jit = off""", superuser=True)
    bouncer = Bouncer(stack)
    stack.start(DB_HOST=bouncer.dir, DB_PORT=PORT, DB_PREPARED="off")
    stack.wait_until_ready()
    yield stack
    finish(stack)
    bouncer.stop()


@pytest.fixture
def bounced(own_stack, request):
    request.node.stacks = [own_stack]
    return own_stack


def test_a_crowd_is_served_over_two_connections(bounced):
    before = len(bounced.logs("statement_failed"))
    bodies = crowd_of(60, "crowd")
    with Crowd(bounced, bodies) as crowd:
        check_healthy(crowd.join(), tokens(15))
    ids = ",".join(literal(body["responseChatItemId"]) for body in bodies)
    wait_for(lambda: rows(bounced, f"SELECT status, count(*) AS n FROM chat_messages WHERE client_id IN ({ids}) GROUP BY 1") == [{"status": "complete", "n": 60}],
             10, "every ending")
    visitor = Visitor(bounced)
    chat_id = visitor.ask("quick").data["chatId"]
    visitor.ask("quick", chatId=chat_id)
    assert [m["status"] for m in visitor.messages(chat_id).data] == ["complete"] * 4
    assert len(bounced.logs("statement_failed")) == before
    servers = rows(bounced, "SELECT count(*) AS n FROM pg_stat_activity WHERE usename = 'llmchat' AND pid <> pg_backend_pid()")
    assert 1 <= servers[0]["n"] <= POOL


def test_the_roles_own_limit_ends_a_statement_that_was_given_up(bounced):
    thread = locked(bounced, "chat_sessions", 4)
    answer = Visitor(bounced).ask("quick")
    check_error(answer, 503, "DB_UNAVAILABLE")
    # The lock is still held, and nothing of ours waits for it in the server any more.
    wait_for(lambda: bounced.sql_one("SELECT count(*) FROM pg_stat_activity WHERE usename = 'llmchat' AND wait_event_type = 'Lock'", superuser=True) == "0",
             3, "PostgreSQL to end the statement")
    thread.join()
    wait_for(lambda: Visitor(bounced).ask("quick").status == 200, 10, "service after the lock")


def test_migrate_looks_through_it_but_applies_nothing(bounced):
    assert bounced.ctl("migrate").stdout.startswith("nothing to do")
    row = bounced.sql_one("SELECT row_to_json(m) FROM schema_migrations m ORDER BY version DESC LIMIT 1")
    bounced.sql("DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations)")
    done = bounced.ctl("migrate", check=False)
    assert "pending" in bounced.ctl("migrate", "--status").stdout
    bounced.sql(f"INSERT INTO schema_migrations SELECT * FROM json_populate_record(NULL::schema_migrations, '{row}')")
    assert done.returncode == 1 and "nothing was applied" in done.stderr and "DB_PORT=5432 llmchatctl migrate" in done.stderr


def test_llmchatctl_works_through_it(bounced):
    assert bounced.ctl("db", "status").returncode == 0
    for _ in range(4):
        assert "users_username_key" in bounced.ctl("db", "explain", "find_user").stdout
    bounced.ctl("user", "add", "anna", "--no-password")
    assert "anna" in bounced.ctl("user", "list").stdout


def test_a_restart_with_prepared_statements_leaves_the_old_ones_at_work(bounced):
    bounced.env["DB_PREPARED"] = "on"
    bounced.write_overrides()
    try:
        assert bounced.run("up", check=False).returncode != 0
        assert any("unsupported startup parameter: options" in line["reason"] for line in bounced.logs("database_unreachable"))
        assert Visitor(bounced).ask("quick").status == 200
    finally:
        bounced.start(DB_PREPARED="off")
