"""GET /api/chat-sessions/search on a real stack: what is found, what is not, and what becomes of queries that mean harm."""

import concurrent.futures
import json
import urllib.parse
import uuid

import pytest

from accounts import SETTINGS, admin, module_stack, new_person, the_stack  # noqa: F401 pylint: disable=unused-import
from chatting import check_error, literal
from stack import wait_for

PATH = "/api/chat-sessions/search"


def query(q, **params):
    return PATH + "?" + urllib.parse.urlencode({"q": q, **params})


def found(person, q, key=None, **params):
    """{chatId: hit} in the order of the answer."""
    answer = person.stack.get(query(q, **params), token=key or person.token)
    assert answer.status == 200, answer
    return {hit["chatId"]: hit for hit in answer.data}


def soon(person, q, *chat_ids, **params):
    """Waits until these are what is found, in whatever order."""
    wait_for(lambda: set(found(person, q, **params)) == set(chat_ids), 10, f"{q} to find {chat_ids}")
    return found(person, q, **params)


def say(person, question, agent="quick", **fields):
    """The chatId of a session where this was said."""
    fields.setdefault("chatId", f"s-{uuid.uuid4()}")
    answer = person.chat(agent, question, **fields)
    assert answer.status == 200, answer
    return fields["chatId"]


@pytest.fixture(name="anna")
def a_person(admin):  # noqa: F811 pylint: disable=redefined-outer-name
    return new_person(admin)


def test_words_of_any_script_are_found_within_seconds(anna):
    chinese = say(anna, "请问如何训练一个机器学习模型？谢谢")
    english = say(anna, "My studies of running foxes")
    japanese = say(anna, "東京タワーへ行きたいです")
    korean = say(anna, "한국어 검색을 시험합니다")
    mixed = say(anna, "用Python读取ＣＳＶ文件 🎉")
    for q, chat_id in (("机器", chinese), ("学习", chinese), ("机器学习模型", chinese), ("请问 谢谢", chinese), ("谢", chinese),
                       ("study", english), ("RUN fox", english), ("foxes", english), ("タワー", japanese), ("東京", japanese),
                       ("검색", korean), ("csv", mixed), ("ｃｓｖ 读取", mixed), ("python", mixed), ("🎉", mixed), ("文件", mixed)):
        soon(anna, q, chat_id)
    for q in ("机习", "问训", "学习机器", "unheardof", "机器 study", "读文件"):
        assert found(anna, q) == {}, q


def test_a_run_and_a_phrase_must_really_be_there(anna):
    together = say(anna, "关于深度学习 and machine learning, please")
    apart = say(anna, "深度和学习, 度学; learning a machine")
    soon(anna, "学习", together, apart)
    assert set(found(anna, "深度学习")) == {together}
    assert set(found(anna, '"machine learning"')) == {together}
    assert set(found(anna, "“Machine, Learning”")) == {together}
    assert set(found(anna, "machine learning")) == {together, apart}
    assert set(found(anna, '"learning')) == {together, apart}  # never closed: a word like any other
    assert set(found(anna, '"learn"')) == set()


def test_a_hit_says_where_it_is(anna):
    question = "前" * 100 + "\n我们讨论<b>机器学习</b>，Studies & more" + "后" * 100
    chat_id = say(anna, question, chatId="where-it-is")
    hit = soon(anna, "机器学习 study", chat_id)[chat_id]
    [session] = anna.stack.sql(f"SELECT id, title FROM chat_sessions WHERE name = 'where-it-is' AND user_id = {literal(anna.id)}")
    assert (hit["sessionId"], hit["title"], hit["agentId"]) == (session[0], session[1], "quick")
    assert hit["updatedAt"].endswith("Z") and isinstance(hit["score"], (int, float))
    [match] = hit["matches"]
    assert match["role"] == "user" and match["createdAt"].endswith("Z")
    snippet = match["snippet"]
    assert "<b>机器学习</b>，Studies & more" in snippet and "\n" not in snippet and 100 <= len(snippet) <= 122
    assert snippet.startswith("…") and snippet.endswith("…")
    assert [snippet[a:b] for a, b in match["ranges"]] == ["机器学习", "Studies"]
    # What the answer says is found as well.
    answers = soon(anna, "tok3", *found(anna, "tok3"))
    assert [m["role"] for m in answers[chat_id]["matches"]] == ["assistant"]


def test_the_best_comes_first_and_limit_cuts(anna):
    for i in range(5):
        say(anna, "a zeppelin among very many other words " + " ".join(f"w{i}x{j}" for j in range(200)), chatId=f"long-{i}")
    say(anna, "zeppelin", chatId="short")
    wait_for(lambda: len(found(anna, "zeppelin")) == 6, 10, "all of them")
    hits = found(anna, "zeppelin")
    assert list(hits)[0] == "short"
    scores = [hit["score"] for hit in hits.values()]
    assert scores == sorted(scores, reverse=True)
    few = list(found(anna, "zeppelin", limit=2))
    assert len(few) == 2 and few[0] == "short"


def test_titles_are_found_and_follow_their_changes(anna):
    chat_id = say(anna, "an ordinary question")
    soon(anna, "ordinary", chat_id)
    mine = f"name = {literal(chat_id)} AND user_id = {literal(anna.id)}"
    anna.stack.sql(f"UPDATE chat_sessions SET title = '假期计划 Lisbon' WHERE {mine}")
    hit = soon(anna, "lisbon", chat_id)[chat_id]
    assert hit["matches"] == [] and hit["title"] == "假期计划 Lisbon"
    assert set(found(anna, "假期")) == {chat_id}
    anna.stack.sql(f"UPDATE chat_sessions SET title = 'Porto' WHERE {mine}")
    assert found(anna, "lisbon") == {}  # at once, though the index hears of it later
    soon(anna, "porto", chat_id)
    # One that nobody has said anything in.
    anna.stack.sql("INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id, title)"
                   f" VALUES (gen_random_uuid(), {literal(anna.id)}, false, 'empty', 'quick', 'Coimbra')")
    soon(anna, "coimbra", "empty")


def test_nobody_finds_what_is_anothers(anna, admin):  # noqa: F811 pylint: disable=redefined-outer-name
    bert = new_person(admin)
    of_anna, of_bert = say(anna, "our secret word is xylophone 机密", chatId="same-name"), say(bert, "xylophone 机密 of my own", chatId="same-name")
    soon(anna, "xylophone", of_anna)
    soon(bert, "xylophone", of_bert)
    assert [m["snippet"] for m in found(bert, "机密")["same-name"]["matches"]] == ["xylophone 机密 of my own"]
    assert found(bert, "secret word") == {} and found(admin, "xylophone") == {}
    assert anna.stack.get(query("xylophone")).status == 401


def test_a_key_for_agents_finds_what_only_those_took_part_in(anna):
    quick, other = say(anna, "albatross one"), say(anna, "albatross two", agent="other")
    both = say(anna, "albatross three")
    say(anna, "and more", agent="other", chatId=both)
    soon(anna, "albatross", quick, other, both)
    key = anna.make_key(agents=["quick"])["key"]
    assert set(found(anna, "albatross", key=key)) == {quick}
    assert set(found(anna, "albatross", agentId="other")) == {other}
    assert found(anna, "albatross", key=key, agentId="other") == {}


def test_what_is_deleted_is_gone_and_what_is_archived_stays(anna):
    chat_id, kept = say(anna, "a wombat"), say(anna, "another wombat")
    soon(anna, "wombat", chat_id, kept)
    mine = f"name = {literal(chat_id)} AND user_id = {literal(anna.id)}"
    if anna.stack.sql_one("SELECT count(*) FROM pg_attribute WHERE attrelid = 'chat_sessions'::regclass AND attname = 'deleted_at'") == "1":
        anna.stack.sql(f"UPDATE chat_sessions SET status = 'archived' WHERE {mine}")
        assert set(found(anna, "wombat")) == {chat_id, kept}
        anna.stack.sql(f"UPDATE chat_sessions SET status = 'deleted', deleted_at = now(), deleted_name = name WHERE {mine}")
        assert set(found(anna, "wombat")) == {kept}
    [[session_id]] = anna.stack.sql(f"SELECT id FROM chat_sessions WHERE {mine}")
    anna.stack.sql(f"DELETE FROM chat_sessions WHERE id = {literal(session_id)}")
    assert set(found(anna, "wombat")) == {kept}
    assert anna.stack.sql_one(f"SELECT count(*) FROM search_entries WHERE session_id = {literal(session_id)}") == "0"


def test_wrong_questions_are_told_so(anna):
    get = lambda path: anna.stack.get(path, token=anna.token)  # noqa: E731
    for path in (PATH, PATH + "?q=", PATH + "?q=a%00b", PATH + "?q=%ff%fe", query("x" * 201), query("... !!! ???"), query(" \t\n"), query("[" * 200),
                 query("' \" \\ & | ! :* <-> ((("), query('""'), query("，。？")):
        check_error(get(path), 400, "VALIDATION_ERROR", "q")
    for limit in ("0", "51", "x", "", "1e3", "99999999999999999999"):
        check_error(get(query("a", limit=limit)), 400, "VALIDATION_ERROR", "limit")
    for agent_id in ("", "a b", "x" * 65, "'"):
        check_error(get(query("a", agentId=agent_id)), 400, "VALIDATION_ERROR", "agentId")
    check_error(anna.stack.post(PATH, token=anna.token), 405, "METHOD_NOT_ALLOWED")


ODD = [
    "a' OR '1'='1", "a'; DROP TABLE search_entries; --", "a & !b | (c <-> d):*", "a:*", "a\\", "\\u0061", "(a+)+$", "[[:alpha:]]{1,255}", "%", "_%a", "\x02a", "\x01a b",
    "\"" * 199 + "a", "a" * 200, "啊" * 200, "a " * 100, "猫 犬 " * 30, "𠮷" * 100, "🎉" * 200, "ｶﾞ", "e\u0301", "\u202ea", "\ufeffa", "İ", "ß ẞ", "\U0010ffffa", "日" * 65 + "a" * 65,
    '"a b" "c d" "e', "“a” „b“ ＂c＂"]


@pytest.mark.parametrize("q", ODD, ids=range(len(ODD)))
def test_no_question_is_an_error_of_ours(anna, q):
    answer = anna.stack.get(query(q), token=anna.token)
    if answer.status != 200:
        check_error(answer, 400, "VALIDATION_ERROR", "q")
    else:
        assert answer.data == []


def test_an_odd_text_does_not_stop_the_index(anna):
    """Whatever was said is taken apart, or passed over; what comes after it is found."""
    odd = ["\x01\x02 ' \\ & | ! ( ) : * <->", "機" * 60_000, "x" * 200_000, "🎉" * 40_000, " ".join(f"{i:x}" for i in range(40_000)), "\u0301" * 1000, "İ" * 1000, "\t\n\r"]
    for text in odd:
        say(anna, text, chatId="odd")
    last = say(anna, "after all that, a capybara")
    soon(anna, "capybara", last)
    assert json.loads(anna.stack.sql_one(f"SELECT to_json(count(*)) FROM search_entries e JOIN chat_sessions s ON s.id = e.session_id WHERE s.user_id = {literal(anna.id)} AND e.title IS NULL")) >= 2 * len(odd)
    assert set(found(anna, "機機")) == {"odd"} and set(found(anna, "x" * 199)) == {"odd"}
    assert "search:" not in (anna.stack.dir / "log" / "postgresql.log").read_text(errors="replace")


def test_two_hosts_at_once_index_each_message_once(anna):
    """The statement of the job, from four connections, beside the stack's own."""
    [[agent]] = anna.stack.sql("SELECT id FROM agent_configs WHERE id = 'quick'")
    anna.stack.sql(f"""
        INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id) SELECT gen_random_uuid(), {literal(anna.id)}, false, 'many', {literal(agent)};
        INSERT INTO chat_messages (id, session_id, role, content, status, ended_at) SELECT gen_random_uuid(), s.id, 'user', 'quokka number ' || i, 'complete', now()
          FROM chat_sessions s, generate_series(1, 3000) i WHERE s.name = 'many' AND s.user_id = {literal(anna.id)};""")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: anna.stack.sql("SELECT search_index(200);" * 10), range(4)))
    count = f"SELECT count(*) FROM search_entries e JOIN chat_sessions s ON s.id = e.session_id WHERE s.name = 'many' AND s.user_id = {literal(anna.id)}"
    wait_for(lambda: anna.stack.sql_one(count) == "3000", 20, "all of them to be in the index")
    slices = anna.stack.sql(f"SELECT n_entries, (SELECT count(*) FROM search_entries e WHERE e.slice_id = s.id) FROM search_slices s WHERE owner_id = {literal(anna.id)} ORDER BY id")
    assert [row[0] for row in slices] == [row[1] for row in slices] and slices[0][0] == "2048", slices
    assert len(found(anna, "quokka 2999")["many"]["matches"]) == 1
    assert len(found(anna, "quokka")["many"]["matches"]) == 3
