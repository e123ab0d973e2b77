"""Sessions: listed page by page, made, named, archived, deleted, restored, counted; each for its owner, and for administrators who read."""

import concurrent.futures
import json
import uuid

import pytest

from chatting import Visitor, chat, check_error, literal, rows  # noqa: F401
from fastcgi_peer import ask as ask_directly
from people import User, new_session, sessions

SESSIONS = "/api/chat-sessions"


@pytest.fixture
def user(chat):  # noqa: F811
    return User(chat)


@pytest.fixture
def admin(chat):  # noqa: F811
    return User(chat, "--admin")


def counts(user):
    data = user.get(f"{SESSIONS}/stats").data
    return data["active"], data["archived"], data["deleted"]


def check_counts(user):
    """What is kept is what is there."""
    real = rows(user.stack, f"""SELECT count(*) FILTER (WHERE status = 'active') a, count(*) FILTER (WHERE status = 'archived') b,
        count(*) FILTER (WHERE status = 'deleted') c FROM chat_sessions WHERE user_id = {literal(user.id)}""")[0]
    assert counts(user) == (real["a"], real["b"], real["c"])


# ---- list ----

def test_lists_the_latest_first_and_goes_on_after_a_cursor(user):
    made = [new_session(user, chatId=f"s{i}")["chatId"] for i in range(7)]
    expected = list(reversed(made))
    listed, pages = sessions(user)
    assert listed == expected and pages == {"page": 1, "pageSize": 20, "total": 7, "totalPages": 1, "nextCursor": None}
    seen, query = [], "?pageSize=3"
    while query:
        part, pages = sessions(user, query)
        seen += part
        assert pages["total"] == 7 and pages["totalPages"] == 3
        query = pages["nextCursor"] and f"?pageSize=3&cursor={pages['nextCursor']}"
    assert seen == expected
    assert [sessions(user, f"?pageSize=3&page={page}")[0] for page in (1, 2, 3, 4)] == [expected[:3], expected[3:6], expected[6:], []]
    # A session that is gone on with comes first.
    assert user.ask("quick", chatId="s2").status == 200
    assert sessions(user)[0][:2] == ["s2", "s6"]
    assert sessions(user, "?pageSize=7")[1]["nextCursor"] is None


def test_sessions_of_one_moment_are_all_listed_once(user):
    new_session(user)
    user.stack.sql(f"""INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id) SELECT gen_random_uuid(), {literal(user.id)}, false, 'same-' || i, 'quick'
        FROM generate_series(1, 25) i""")
    seen, query = [], "?pageSize=4"
    while query:
        part, pages = sessions(user, query)
        seen += part
        query = pages["nextCursor"] and f"?pageSize=4&cursor={pages['nextCursor']}"
    assert len(seen) == len(set(seen)) == 26
    check_counts(user)


def test_filters_by_agent_and_status(user):
    for name, agent in (("a", "quick"), ("b", "echo"), ("c", "quick"), ("d", "echo")):
        new_session(user, agent, chatId=name)
    user.post(f"{SESSIONS}/a/archive")
    user.http("DELETE", f"{SESSIONS}/b")
    assert sessions(user)[0] == ["d", "c"] and sessions(user)[1]["total"] == 2
    assert sessions(user, "?status=active")[0] == ["d", "c"]
    assert sessions(user, "?status=archived") == (["a"], {"page": 1, "pageSize": 20, "total": 1, "totalPages": 1, "nextCursor": None})
    assert sessions(user, "?status=all")[0] == ["d", "c", "a"] and sessions(user, "?status=all")[1]["total"] == 3
    assert sessions(user, "?status=deleted")[0] == ["b"]
    assert sessions(user, "?status=all&agentId=quick")[0] == ["c", "a"] and sessions(user, "?status=all&agentId=quick")[1]["total"] == 2
    assert sessions(user, "?agentId=nobody") == ([], {"page": 1, "pageSize": 20, "total": 0, "totalPages": 0, "nextCursor": None})
    assert [one["chatId"] for one in user.get("/api/chat/history?agentId=echo&page=1&pageSize=200").data] == ["d"]


@pytest.mark.parametrize("query,field", [
    ("pageSize=0", "pageSize"), ("pageSize=201", "pageSize"), ("pageSize=x", "pageSize"), ("page=0", "page"), ("page=1000001", "page"), ("page=-1", "page"),
    ("status=gone", "status"), ("status=", "status"), ("status=%00", "status"), ("agentId=", "agentId"), ("agentId=" + "a" * 65, "agentId"),
    ("agentId=a%00b", "agentId"), ("agentId=%ff", "agentId"), ("agentId=%27", "agentId"), ("cursor=x", "cursor"), ("cursor=" + "A" * 91, "cursor"),
    ("cursor=" + "A" * 5000, "cursor"), ("cursor=%00", "cursor"), ("cursor=x&page=2", "cursor"), ("userId=me", "userId"), ("userId=%ff%00", "userId")])
def test_refuses_lists_that_make_no_sense(user, query, field):
    body = check_error(user.get(f"{SESSIONS}?{query}"), 400, "VALIDATION_ERROR", field)
    assert "\\u0000" not in json.dumps(body)


def test_a_cursor_is_good_for_its_own_list_only(user, chat):  # noqa: F811
    for _ in range(3):
        new_session(user)
    cursor = sessions(user, "?pageSize=1")[1]["nextCursor"]
    assert len(sessions(user, f"?pageSize=2&cursor={cursor}")[0]) == 2
    other = User(chat)
    for who, query in ((user, "&status=all"), (user, "&agentId=quick"), (other, "")):
        check_error(who.get(f"{SESSIONS}?cursor={cursor}{query}"), 400, "VALIDATION_ERROR", "cursor")
    for i in (0, 20, 45, 60, 85, 90):
        forged = cursor[:i] + ("A" if cursor[i] != "A" else "B") + cursor[i + 1:]
        check_error(user.get(f"{SESSIONS}?cursor={forged}"), 400, "VALIDATION_ERROR", "cursor")


# ---- make, name ----

def test_makes_an_empty_session_which_its_first_question_titles(user):
    made = new_session(user)
    assert uuid.UUID(made["id"]) and made["chatId"] == made["id"]
    assert (made["title"], made["titleByUser"], made["status"], made["messageCount"], made["agentId"]) == ("", False, "active", 0, "quick")
    assert user.messages(made["chatId"]).data == []
    assert user.ask("quick", "一二三四五六七八九十" * 4, chatId=made["chatId"]).status == 200
    data = user.get(f"{SESSIONS}/{made['chatId']}").data
    assert (data["id"], data["title"], data["titleByUser"], data["messageCount"]) == (made["id"], "一二三四五六七八九十" * 3, False, 2)
    user.ask("quick", "another question", chatId=made["chatId"])
    assert user.get(f"{SESSIONS}/{made['chatId']}").data["title"] == "一二三四五六七八九十" * 3


def test_a_users_title_is_never_overwritten(user):
    named = new_session(user, title="  Mine  ", chatId="named")
    assert (named["title"], named["titleByUser"]) == ("Mine", True)
    user.ask("quick", "a question", chatId="named")
    assert user.get(f"{SESSIONS}/named").data["title"] == "Mine"
    user.ask("quick", "a question", chatId="renamed")
    before = user.get(f"{SESSIONS}/renamed").data
    answer = user.http("PATCH", f"{SESSIONS}/renamed/title", json={"title": "标题 <b>&\"'"})
    assert answer.data == {**before, "title": "标题 <b>&\"'", "titleByUser": True}
    user.ask("quick", "another", chatId="renamed")
    assert user.get(f"{SESSIONS}/renamed").data["title"] == "标题 <b>&\"'"
    check_error(user.http("PATCH", f"{SESSIONS}/nobody/title", json={"title": "x"}), 404, "SESSION_NOT_FOUND")


@pytest.mark.parametrize("title", ["", "   ", "x" * 201, "two\nlines", "a\x7f", "\x00", 5, None, ["x"], ...])
def test_refuses_titles_that_are_none(user, title):
    if title not in (..., None):
        check_error(user.post(SESSIONS, json={"agentId": "quick", "title": title}), 400, "MALFORMED_JSON" if title == "\x00" else "VALIDATION_ERROR")
    new_session(user, chatId="x")
    answer = user.http("PATCH", f"{SESSIONS}/x/title", json={} if title is ... else {"title": title})
    if title == "\x00":
        check_error(answer, 400, "MALFORMED_JSON")
    else:
        check_error(answer, 400, "VALIDATION_ERROR", "title")


def test_titles_may_have_200_characters(user):
    assert new_session(user, title="字" * 200)["title"] == "字" * 200


def test_refuses_sessions_that_cannot_be(user):
    new_session(user, chatId="taken")
    check_error(user.post(SESSIONS, json={"agentId": "quick", "chatId": "taken"}), 409, "CONFLICT", "chatId")
    for chat_id in ("", "x" * 129, "a b", "a/b", "ü", 7):
        check_error(user.post(SESSIONS, json={"agentId": "quick", "chatId": chat_id}), 400, "VALIDATION_ERROR", "chatId")
    assert new_session(user, chatId="x" * 128)["chatId"] == "x" * 128
    for agent in ("", "a" * 65, 7, None):
        check_error(user.post(SESSIONS, json={"agentId": agent}), 400, "VALIDATION_ERROR", "agentId")
    for agent in ("nobody", "inactive", "a/../b"):
        check_error(user.post(SESSIONS, json={"agentId": agent}), 404, "AGENT_NOT_FOUND")
    check_error(user.post(SESSIONS, body=b"[]", headers={"Content-Type": "application/json"}), 400, "MALFORMED_JSON")


@pytest.mark.parametrize("ref", ["%ff", "%c3%28", "a" * 129, "%23", "a%20b", "%27%20OR%201=1", "%e4%bd%a0"])
def test_ids_that_can_be_none_are_not_found(user, ref):
    for method, path, body in (("GET", "", None), ("DELETE", "", None), ("POST", "/archive", None), ("POST", "/restore", None),
                               ("PATCH", "/title", {"title": "x"})):
        check_error(user.http(method, f"{SESSIONS}/{ref}{path}", json=body), 404, "SESSION_NOT_FOUND")
    for path in (f"/api/chat/history/{ref}", f"/api/chat/sessions/{ref}/messages"):
        check_error(user.get(path), 404, "SESSION_NOT_FOUND")


@pytest.mark.parametrize("ref", ["%00", "a%00b"])
def test_a_nul_comes_no_further_than_nginx_nor_than_the_responder(user, chat, ref):  # noqa: F811
    check_error(user.get(f"{SESSIONS}/{ref}"), 400, "VALIDATION_ERROR")
    told = ask_directly(f"{chat.setting('RUN_DIR')}/1.sock", "GET", f"{SESSIONS}/{ref}", b"", timeout=30, HTTP_AUTHORIZATION=f"Bearer {user.token}")
    assert (told[0], json.loads(told[2])["code"]) == (404, "SESSION_NOT_FOUND")


# ---- archive, delete, restore ----

def test_archives_and_restores(user):
    new_session(user, chatId="a")
    before = user.get(f"{SESSIONS}/a").data
    assert user.post(f"{SESSIONS}/a/archive").data == {**before, "status": "archived"}
    assert user.post(f"{SESSIONS}/a/archive").data["status"] == "archived"
    assert counts(user) == (0, 1, 0)
    assert user.ask("quick", chatId="a").status == 200  # it can be gone on with, and stays where it is
    assert user.get(f"{SESSIONS}/a").data["status"] == "archived"
    assert user.post(f"{SESSIONS}/{before['id']}/restore").data["status"] == "active"
    assert counts(user) == (1, 0, 0)


def test_a_deleted_session_gives_its_name_away_and_comes_back(user, chat):  # noqa: F811
    user.ask("echo", "the first life", chatId="cat")
    old = user.get(f"{SESSIONS}/cat").data
    gone = user.http("DELETE", f"{SESSIONS}/cat").data
    assert (gone["chatId"], gone["status"], gone["id"]) == ("cat", "deleted", old["id"]) and gone["deletedAt"].endswith("Z")
    for path in (f"{SESSIONS}/cat", f"{SESSIONS}/{old['id']}", "/api/chat/history/cat", "/api/chat/sessions/cat/messages",
                 f"/api/chat/sessions/%23{old['id']}/messages"):
        check_error(user.get(path), 404, "SESSION_NOT_FOUND")
    check_error(user.http("DELETE", f"{SESSIONS}/cat"), 404, "SESSION_NOT_FOUND")
    # At once there can be another of that name, which knows nothing of it.
    user.ask("echo", "the second life", chatId="cat")
    assert [m["content"] for m in user.messages("cat").data] == ["the second life"] * 2
    assert "first life" not in json.dumps(chat.last_request())
    # The old one comes back under its id while the name is taken.
    back = user.post(f"{SESSIONS}/{old['id']}/restore").data
    assert (back["chatId"], back["status"]) == (old["id"], "active")
    assert [m["content"] for m in user.messages(old["id"]).data] == ["the first life"] * 2
    # By its name, when that is free.
    user.http("DELETE", f"{SESSIONS}/cat")
    assert user.post(f"{SESSIONS}/cat/restore").data["chatId"] == "cat"
    assert user.messages("cat").data[0]["content"] == "the second life"
    check_counts(user)
    assert counts(user) == (2, 0, 0)


def test_the_own_id_finds_a_session_unless_another_is_called_so(user):
    one = new_session(user, chatId="one")
    assert user.get(f"{SESSIONS}/{one['id']}").data["chatId"] == "one"
    assert user.get(f"{SESSIONS}/{one['id'].upper()}").data["chatId"] == "one"
    two = new_session(user, chatId=one["id"])
    assert user.get(f"{SESSIONS}/{one['id']}").data["id"] == two["id"]
    assert user.post(f"{SESSIONS}/{one['id']}/archive").data["id"] == two["id"]


def batch(user, ids, operation):
    return user.post(f"{SESSIONS}/batch", json={"ids": ids, "operation": operation})


def test_a_batch_says_what_became_of_each(user, chat):  # noqa: F811
    for name in ("a", "b", "c"):
        new_session(user, chatId=name)
    stranger = User(chat)
    theirs = new_session(stranger, chatId="theirs")
    assert batch(user, ["a", "b", "theirs", theirs["id"], "nobody"], "archive").data == {"changed": 2, "results": [
        {"id": "a", "result": "archived"}, {"id": "b", "result": "archived"}, {"id": "theirs", "result": "not_found"},
        {"id": theirs["id"], "result": "not_found"}, {"id": "nobody", "result": "not_found"}]}
    assert [one["result"] for one in batch(user, ["a", "c"], "archive").data["results"]] == ["unchanged", "archived"]
    assert [one["result"] for one in batch(user, ["a", "b", "c", "a"], "delete").data["results"]] == ["deleted"] * 4
    assert [one["result"] for one in batch(user, ["a", "b"], "delete").data["results"]] == ["not_found"] * 2
    assert [one["result"] for one in batch(user, ["a", "b", "c"], "restore").data["results"]] == ["restored"] * 3
    assert sorted(sessions(user)[0]) == ["a", "b", "c"] and sessions(stranger)[0] == ["theirs"]
    check_counts(user)


def test_a_batch_of_two_that_were_called_the_same_brings_both_back(user):
    ids = []
    for _ in range(2):
        ids.append(new_session(user, chatId="same")["id"])
        user.http("DELETE", f"{SESSIONS}/same")
    assert batch(user, ids, "restore").data["changed"] == 2
    assert sorted(sessions(user)[0]) == sorted(["same", ids[0]])


@pytest.mark.parametrize("body,field", [
    ({"ids": [], "operation": "delete"}, "ids"), ({"ids": ["a"] * 201, "operation": "delete"}, "ids"), ({"ids": "a", "operation": "delete"}, "ids"),
    ({"operation": "delete"}, "ids"), ({"ids": ["a", 5], "operation": "delete"}, "ids"), ({"ids": ["a" * 129], "operation": "delete"}, "ids"),
    ({"ids": ["a b"], "operation": "delete"}, "ids"), ({"ids": [""], "operation": "delete"}, "ids"), ({"ids": [None], "operation": "delete"}, "ids"),
    ({"ids": ["a"]}, "operation"), ({"ids": ["a"], "operation": "purge"}, "operation"), ({"ids": ["a"], "operation": "x" * 99}, "operation")])
def test_refuses_batches_that_make_no_sense(user, body, field):
    check_error(user.post(f"{SESSIONS}/batch", json=body), 400, "VALIDATION_ERROR", field)


def test_two_hundred_at_once(user):
    names = [f"n{i}" for i in range(200)]
    user.stack.sql(f"""INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id) SELECT gen_random_uuid(), {literal(user.id)}, false, 'n' || i, 'quick'
        FROM generate_series(0, 199) i""")
    assert batch(user, names, "delete").data["changed"] == 200
    assert counts(user) == (0, 0, 200)


def test_many_at_once_leave_the_counts_right(user):
    """Turns that begin sessions, and people who put them away, in one moment and for one owner."""
    names = [f"r{i}" for i in range(12)]
    for name in names:
        new_session(user, chatId=name)

    def act(i):
        if i % 3 == 0:
            return user.ask("quick" if i % 2 else "echo", chatId=f"new-{i}").status
        if i % 3 == 1:
            return batch(user, names[::-1 if i % 2 else 1], "archive" if i % 2 else "restore").status
        return user.post(f"{SESSIONS}/{names[i % 12]}/{'archive' if i % 4 else 'restore'}").status
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        assert set(pool.map(act, range(60))) == {200}
    check_counts(user)


# ---- whose ----

def test_another_owners_sessions_are_not_there(user, chat):  # noqa: F811
    user.ask("quick", "a secret", chatId="private")
    own = user.get(f"{SESSIONS}/private").data["id"]
    for stranger in (User(chat), User(chat, "--admin")):
        for ref in ("private", own):
            for method, path, body in (("GET", "", None), ("DELETE", "", None), ("POST", "/archive", None), ("POST", "/restore", None),
                                       ("PATCH", "/title", {"title": "x"})):
                check_error(stranger.http(method, f"{SESSIONS}/{ref}{path}", json=body), 404, "SESSION_NOT_FOUND")
            check_error(stranger.get(f"/api/chat/history/{ref}"), 404, "SESSION_NOT_FOUND")
            check_error(stranger.http("DELETE", f"/api/chat/history/{ref}"), 404, "SESSION_NOT_FOUND")
        assert sessions(stranger, "?status=all")[0] == []
    assert user.get(f"{SESSIONS}/private").data["status"] == "active"


def test_an_anonymous_visitor_owns_his_sessions(chat):  # noqa: F811
    visitor = Visitor(chat)
    chat_id = visitor.ask("quick").data["chatId"]
    assert [one["chatId"] for one in visitor.get(SESSIONS).data] == [chat_id]
    assert chat.http("DELETE", f"{SESSIONS}/{chat_id}", cookies=visitor.cookies).data["status"] == "deleted"
    assert visitor.get(SESSIONS).data == []
    assert Visitor(chat).get(f"{SESSIONS}/{chat_id}").status == 404


def test_an_administrator_reads_but_never_writes_and_the_log_says_so(user, admin):
    user.ask("echo", "a word", chatId="seen")
    who = f"userId={user.id}"
    own = user.get(f"{SESSIONS}/seen").data
    assert sessions(admin, f"?{who}")[0] == ["seen"]
    assert admin.get(f"{SESSIONS}/seen?{who}").data == own
    assert admin.get(f"{SESSIONS}/stats?{who}").data["active"] == 1
    assert admin.get(f"/api/chat/sessions/seen/messages?{who}").data[0]["content"] == "a word"
    assert admin.get(f"/api/chat/history/seen?{who}").data["messages"][1]["content"] == "a word"
    log = [(row["type"], row["details"]) for row in rows(admin.stack, f"SELECT type, details FROM audit_log WHERE actor_id = {literal(admin.id)}"
                                                         f" AND user_id = {literal(user.id)} AND type = 'sessions.read' ORDER BY id")]
    assert log == [("sessions.read", {"route": SESSIONS}), ("sessions.read", {"route": f"{SESSIONS}/:id", "session": "seen"}),
                   ("sessions.read", {"route": f"{SESSIONS}/stats"}), ("sessions.read", {"route": "/api/chat/sessions/:id/messages", "session": "seen"}),
                   ("sessions.read", {"route": "/api/chat/history/:id", "session": "seen"})]
    for method, path, body in (("DELETE", "/seen", None), ("POST", "/seen/archive", None), ("POST", "/seen/restore", None), ("PATCH", "/seen/title", {"title": "x"}),
                               ("POST", "", {"agentId": "quick"}), ("POST", "/batch", {"ids": ["seen"], "operation": "delete"})):
        check_error(admin.http(method, f"{SESSIONS}{path}?{who}", json=body), 403, "FORBIDDEN", "userId")
    check_error(admin.http("DELETE", f"/api/chat/history/seen?{who}"), 403, "FORBIDDEN", "userId")
    assert user.get(f"{SESSIONS}/seen").data == own
    # Others, and keys even of administrators, may not.
    check_error(user.get(f"{SESSIONS}?userId={admin.id}"), 403, "ADMIN_REQUIRED")
    check_error(admin.get(f"{SESSIONS}?{who}", token=admin.key()), 403, "ADMIN_REQUIRED")
    assert sessions(user, f"?{who}")[0] == ["seen"]  # oneself


def test_a_key_for_certain_agents_sees_their_sessions_only(user):
    user.ask("quick", chatId="q")
    user.ask("echo", chatId="e")
    user.ask("quick", chatId="mixed")
    user.ask("echo", chatId="mixed")
    key = user.key("quick")
    assert sessions(user, token=key)[0] == ["q"]
    assert user.get(f"{SESSIONS}/stats", token=key).data["agents"] == [{"agentId": "quick", "active": 2, "archived": 0}]
    for ref in ("e", "mixed"):
        check_error(user.get(f"{SESSIONS}/{ref}", token=key), 404, "SESSION_NOT_FOUND")
        check_error(user.http("DELETE", f"{SESSIONS}/{ref}", token=key), 404, "SESSION_NOT_FOUND")
        check_error(user.get(f"/api/chat/history/{ref}", token=key), 404, "SESSION_NOT_FOUND")
    assert user.get(f"{SESSIONS}/q", token=key).status == 200
    answer = user.post(f"{SESSIONS}/batch", json={"ids": ["q", "e", "mixed"], "operation": "archive"}, token=key)
    assert [one["result"] for one in answer.data["results"]] == ["archived", "not_found", "not_found"]
    check_error(user.post(SESSIONS, json={"agentId": "echo"}, token=key), 403, "FORBIDDEN")
