"""PostgreSQL that is away, slow, paused or full: 503 and not a hang, nothing lost, and never more than it was asked for."""

import threading
import time

import pytest

from chatting import Crowd, Visitor, answer_row, check_error, check_healthy, crowd_of, ended_row, literal, locked, new_stack, rows, tokens
from conftest import finish
from stack import wait_for

MAX_CONNECTIONS = 8
TIMEOUT_S = 0.8


@pytest.fixture(scope="module")
def own_stack():
    stack = new_stack(DB_CONNECTION_TIMEOUT=int(TIMEOUT_S * 1000), DB_STATEMENT_TIMEOUT=int(TIMEOUT_S * 1000),
                      DB_MAX_CONNECTIONS=MAX_CONNECTIONS, DB_MIN_CONNECTIONS=2)
    stack.start()
    stack.wait_until_ready()
    yield stack
    finish(stack)


@pytest.fixture
def db(own_stack, request):
    """The stack, with PostgreSQL as it should be before and after."""
    request.node.stacks = [own_stack]
    yield own_stack
    own_stack.pg("resume")
    own_stack.pg("start")
    both_ready(own_stack)


def both_ready(stack, seconds=8):
    """Each responder can reach the database; least_conn goes round while nobody is busy."""
    wait_for(lambda: all(stack.get("/health/ready").status == 200 for _ in range(4)), seconds, "both responders to be ready")


def test_without_postgresql_it_is_503_and_recovers_by_itself(db):
    visitor = Visitor(db)
    chat_id = visitor.ask("quick").data["chatId"]
    db.pg("stop")
    for answer in (visitor.ask("quick"), visitor.messages(chat_id)):
        check_error(answer, 503, "DB_UNAVAILABLE")
        assert int(answer.header("Retry-After")) >= 1
        assert answer.took < 2 * TIMEOUT_S + 1
    with visitor.stream("quick") as stream:
        assert (stream.status, stream.json()["code"]) == (503, "DB_UNAVAILABLE")
    assert db.get("/health").status == 200
    wait_for(lambda: {db.get("/health/ready").status for _ in range(4)} == {503}, 3, "both responders to notice")
    db.pg("start")
    both_ready(db, 6)
    assert visitor.ask("quick", chatId=chat_id).data["content"] == tokens(5)
    assert [m["status"] for m in visitor.messages(chat_id).data] == ["complete"] * 4
    # What was refused has left nothing behind that still streams.
    assert rows(db, "SELECT id FROM chat_messages WHERE status = 'streaming'") == []


def test_responders_that_start_without_postgresql_serve_once_it_is_there(db):
    db.pool("stop")
    db.pg("stop")
    db.pool("start")
    check_error(Visitor(db).ask("quick"), 503, "DB_UNAVAILABLE")
    assert db.get("/health").status == 200 and db.get("/health/ready").status == 503
    db.pg("start")
    both_ready(db, 6)
    assert Visitor(db).ask("quick").data["content"] == tokens(5)


def test_a_stream_goes_on_without_postgresql_and_its_ending_is_kept(db):
    bodies = crowd_of(6, "long")
    with Crowd(db, bodies) as crowd:
        crowd.begun()
        db.pg("stop")
        check_healthy(crowd.join(), tokens(60))
    db.pg("start")
    for body in bodies:
        row = ended_row(db, body["responseChatItemId"], 10)
        assert (row["status"], row["content"], row["finish_reason"], row["completion_tokens"]) == ("complete", tokens(60), "stop", 60)


def test_a_plain_call_is_answered_though_its_ending_must_wait(db):
    visitor, answers = Visitor(db), []
    thread = threading.Thread(target=lambda: answers.append(visitor.ask("long")))
    thread.start()
    wait_for(lambda: db.stats()["open"] == 1, 5, "the call")
    db.pg("stop")
    thread.join()
    assert answers[0].data["content"] == tokens(60)
    db.pg("start")
    assert ended_row(db, visitor.asked, 10)["content"] == tokens(60)


def test_connections_that_die_in_midstream_are_no_matter(db):
    bodies = crowd_of(10, "spaced")
    with Crowd(db, bodies) as crowd:
        crowd.begun()
        db.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'llmchat'", superuser=True)
        check_healthy(crowd.join(), tokens(20))
    assert {ended_row(db, body["responseChatItemId"])["status"] for body in bodies} == {"complete"}


def test_a_paused_postgresql_ends_requests_within_the_timeouts(db):
    visitor = Visitor(db)
    chat_id = visitor.ask("quick").data["chatId"]
    visitor.ask("quick", chatId=chat_id)
    db.pg("pause")
    try:
        paused_at = time.monotonic()
        answers, threads = [], []
        for call in [lambda: visitor.messages(chat_id)] * 6 + [lambda: visitor.ask("quick", chatId=chat_id)] * 6:
            threads.append(threading.Thread(target=lambda call=call: answers.append(call())))
            threads[-1].start()
        while any(thread.is_alive() for thread in threads):
            health = db.get("/health")
            assert health.status == 200 and health.took < 0.5, health
            assert time.monotonic() - paused_at < 20
            time.sleep(0.05)
        assert len(answers) == 12
        for answer in answers:
            check_error(answer, 503, "DB_UNAVAILABLE")
            # To wait for a connection, for the statement, and for the ending of a turn that may have begun.
            assert answer.took < 3 * TIMEOUT_S + 1, answer.took
        wait_for(lambda: db.get("/health/ready").status == 503, 3, "readiness to say so")
    finally:
        db.pg("resume")
    both_ready(db)
    assert visitor.ask("quick", chatId=chat_id).data["content"] == tokens(5)
    wait_for(lambda: not rows(db, "SELECT id FROM chat_messages WHERE status = 'streaming'"), 10, "every row to have ended")


def test_a_stream_goes_on_while_postgresql_is_paused(db):
    body, = crowd_of(1, "long")
    with Crowd(db, [body]) as crowd:
        crowd.begun()
        db.pg("pause")
        try:
            answer, = crowd.join()
        finally:
            db.pg("resume")
    # Its ending may take the timeouts to be given up for now; words may not.
    assert answer.text == tokens(60) and answer.reason == "stop"
    times = [event.at for event in answer.all("chunk")]
    assert max(later - earlier for earlier, later in zip(times, times[1:])) < 1
    assert answer.events[-1].at - times[-1] < 3 * TIMEOUT_S
    row = ended_row(db, body["responseChatItemId"], 10)
    assert (row["status"], row["content"]) == ("complete", tokens(60))


@pytest.mark.parametrize("table", ["chat_sessions", "chat_messages"])
def test_a_statement_that_waits_too_long_is_503_and_leaves_no_row_behind(db, table):
    Visitor(db).ask("quick")
    thread = locked(db, table, 3)
    visitors = [Visitor(db) for _ in range(4)]
    answers = []
    threads = [threading.Thread(target=lambda one=one: answers.append(one.ask("quick"))) for one in visitors]
    for asking in threads:
        asking.start()
    for asking in threads:
        asking.join()
    for answer in answers:
        check_error(answer, 503, "DB_UNAVAILABLE")
        assert answer.took < 3 * TIMEOUT_S + 1, answer.took
    thread.join()
    asked = ",".join(literal(one.asked) for one in visitors)
    # PostgreSQL may still carry out what we no longer wait for; such a row must not stream for ever.
    wait_for(lambda: not rows(db, f"SELECT id FROM chat_messages WHERE client_id IN ({asked}) AND status = 'streaming'"), 10,
             "the rows of the turns that were given up to have ended")
    assert Visitor(db).ask("quick").status == 200


def executed(stack):
    """Statements that PostgreSQL has logged, in order: name and first parameter."""
    statements = []
    for line in stack.raw_log("postgresql").splitlines():
        before, mark, after = line.partition("LOG:  execute ")
        if mark:
            statements.append([after.split(":", 1)[0], ""])
        elif "LOG:  statement: " in line:
            statements.append([line.partition("LOG:  statement: ")[2], ""])
        elif "DETAIL:  parameters: $1 = " in line and statements:
            statements[-1][1] = line.partition("$1 = '")[2].split("'", 1)[0]
    return statements


def test_a_turn_is_two_statements(db):
    db.sql("ALTER SYSTEM SET log_statement = 'all'; SELECT pg_reload_conf()", superuser=True)
    try:
        visitor = Visitor(db)
        wait_for(lambda: visitor.ask("quick") and "open_turns" in str(executed(db)), 5, "statements in the log")
        time.sleep(0.2)
        before = len(executed(db))
        visitor.ask("quick")
        chat_id = visitor.ask("echo", "one").data["chatId"]
        for agent in ["spaced"] + ["echo"] * 7:
            assert visitor.read(agent, chatId=chat_id).reason == "stop"
        statements = executed(db)[before:]
    finally:
        db.sql("ALTER SYSTEM RESET log_statement; SELECT pg_reload_conf()", superuser=True)
    # Endings of other tests, whose beginning is in doubt, may still be repeated: they are of other answers.
    answers = {row[0] for row in db.sql("SELECT id FROM chat_messages WHERE role = 'assistant' AND status = 'complete'")}
    ours = [name for name, first in statements
            if not any(word in name for word in ("find_owners", "read_changes", "expire_", "count_usage", "ALTER SYSTEM", "pg_reload_conf"))
            and (name != "end_turns" or any(answer in first for answer in answers))]
    assert len(ours) == 20, ours
    assert len([name for name in ours if "open_turns" in name]) == 2  # without a chatId: nothing to read
    assert len([name for name in ours if "begin_turns" in name]) == 8
    assert len([name for name in ours if "end_turns" in name]) == 10


def test_200_streams_need_no_more_connections_than_allowed(db):
    watch = """
        CREATE TEMP TABLE seen (n bigint);
        DO $$ BEGIN FOR i IN 1..120 LOOP
            PERFORM pg_stat_clear_snapshot();
            INSERT INTO seen SELECT count(*) FROM pg_stat_activity WHERE usename = 'llmchat';
            PERFORM pg_sleep(0.05);
        END LOOP; END $$;
        SELECT max(n) FROM seen;"""
    most = []
    watcher = threading.Thread(target=lambda: most.append(int(db.sql_one(watch, superuser=True))))
    watcher.start()
    bodies = crowd_of(200, "crowd")
    with Crowd(db, bodies) as crowd:
        answers = crowd.join()
    watcher.join()
    check_healthy(answers, tokens(15))
    assert 1 <= most[0] <= MAX_CONNECTIONS - 2
    ids = ",".join(literal(body["responseChatItemId"]) for body in bodies)
    assert rows(db, f"SELECT status, count(*) AS n FROM chat_messages WHERE client_id IN ({ids}) GROUP BY 1") == [{"status": "complete", "n": 200}]


def test_a_session_that_is_locked_holds_up_nobody_else(db):
    """One row that is slow to write occupies one connection, not the pool."""
    visitor = Visitor(db)
    chat_id = visitor.ask("quick").data["chatId"]
    holder = threading.Thread(target=db.sql, args=(
        f"BEGIN; UPDATE chat_sessions SET title = title WHERE name = {literal(chat_id)}; SELECT pg_sleep(1.5); COMMIT",))
    holder.start()
    wait_for(lambda: db.sql_one("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", superuser=True) == "1", 5, "the lock")
    check_error(visitor.ask("quick", chatId=chat_id), 503, "DB_UNAVAILABLE")
    for _ in range(4):
        answer = Visitor(db).ask("quick")
        assert answer.status == 200 and answer.took < TIMEOUT_S
    holder.join()
    assert visitor.ask("quick", chatId=chat_id).status == 200
    assert answer_row(db, visitor.asked)["status"] == "complete"
