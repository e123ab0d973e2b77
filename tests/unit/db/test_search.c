/* What counts as a word, what a query asks for, and how the index is kept, on a real PostgreSQL with the project's own tables. */
#include "tests/unit/db/fixture.h"

#include <stdio.h>

#include "db/search.h"

#define ANNA "00000000-0000-7000-8000-00000000000a"

/* Are these exactly the words of the text? Both are SQL. */
static bool words_are(struct world *w, const char *text, const char *words)
{
	char sql[1024];

	snprintf(sql, sizeof(sql),
		 "SELECT (ARRAY(SELECT unnest(search_words(%s)) ORDER BY 1) = ARRAY(SELECT unnest('%s'::text[]) ORDER BY 1))::integer",
		 text, words);
	return number(w, sql) == 1;
}

static void every_script_has_words(void **state)
{
	struct world *w = *state;

	world_pool(w, 1, 1);
	assert_true(words_are(w, "'The running Foxes, 3.14'", "{the,run,fox,3,14}"));
	assert_true(words_are(w, "'机器学习。猫'", "{机器,器学,学习,习,猫}"));
	assert_true(words_are(w, "'東京タワーへ 人々'", "{東京,京タ,タワ,ワー,ーへ,へ,人々,々}"));
	assert_true(words_are(w, "'한국어 검색'", "{한국,국어,어,검색,색}"));
	assert_true(words_are(w, "'用Python写'", "{用,python,写}"));
	assert_true(words_are(w, "'Ｐｙｔｈｏｎ３　ＡＢＣ'", "{python3,abc}"));
	assert_true(words_are(w, "'Москва ÄRGER naïve'", "{москва,ärger,naïve}"));
	assert_true(words_are(w, "'🎉🎊 a'", "{🎉🎊,🎊,a}"));
	assert_true(words_are(w, "'𠮷野家'", "{𠮷野,野家,家}"));
	assert_true(words_are(w, "'ไทย'", "{ไท,ทย,ย}"));
	assert_true(words_are(w, "'foo_bar don''t a-b'", "{foo,bar,don,t,a,b}"));
	assert_true(words_are(w, "''", "{}"));
	assert_true(words_are(w, "E' \\t\\n\\x01\\x02 .,;!?，。！“”…—'", "{}"));
}

static void long_texts_have_their_beginnings_words(void **state)
{
	struct world *w = *state;

	world_pool(w, 1, 1);
	assert_true(words_are(w, "repeat('x', 200)", "{xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx}"));
	assert_true(words_are(w, "repeat('a ', 5000000) || 'zebra'", "{a}"));
	assert_true(words_are(w, "repeat('机', 3000000) || '器'", "{机机,机}"));
	/* The most that a text can have stays far below what a tsvector holds. */
	assert_true(number(w, "SELECT pg_column_size(array_to_tsvector(ARRAY(SELECT 'ffffffffff.' || x FROM unnest(search_words(t)) x)))"
			      " FROM (SELECT string_agg(chr(131072 + i * 7919 % 40000), '') AS t FROM generate_series(1, 100000) i) s") <
		    1000000);
	assert_true(number(w, "SELECT pg_column_size(array_to_tsvector(ARRAY(SELECT 'ffffffffff.' || x FROM unnest(search_words(t)) x)))"
			      " FROM (SELECT string_agg(chr(19968 + i * 7919 % 20000), '') || repeat(' a', 20000) AS t FROM "
			      "generate_series(1, 40000) i) s") < 1000000);
}

/* A place in the folded text is a place in the text. */
static void folding_keeps_the_number_of_characters(void **state)
{
	struct world *w = *state;

	world_pool(w, 1, 1);
	assert_int_equal(number(w, "SELECT count(*) FROM generate_series(1, 200000) i WHERE NOT i BETWEEN 55296 AND 57343"
				   " AND length(search_fold(chr(i) || 'é')) <> 2"),
			 0);
}

static bool asks(struct world *w, const char *query, const char *condition)
{
	char sql[512];

	snprintf(sql, sizeof(sql), "SELECT (%s)::integer FROM search_query(%s)", condition, query);
	return number(w, sql) == 1;
}

static void a_query_has_the_words_of_texts(void **state)
{
	struct world *w = *state;

	world_pool(w, 1, 1);
	assert_true(asks(w, "'running 机器'", "wanted = E'''\\x02run'' & ''\\x02机器''' AND exact"));
	assert_true(asks(w, "'猫'", "wanted = E'''\\x02猫'':*' AND exact"));
	assert_true(asks(w, "'机器学'", "wanted = E'''\\x02机器'' & ''\\x02器学''' AND NOT exact AND runs = '{机器学}'"));
	assert_true(asks(w, "'\"machine learning\" x'", "phrases = '{\" machine learning \"}' AND NOT exact"));
	assert_true(asks(w, "'“用Python”'", "phrases = '{\"用 python \"}'"));
	assert_true(asks(w, "'\"open'", "phrases = '{}' AND exact"));
	assert_true(asks(w, "'run 日本 running 日本 日'",
			 "wanted = E'''\\x02run'' & ''\\x02日本'' & ''\\x02日'':*' AND exact AND stems = '{run}'"));
	assert_true(asks(w, "E'\\x02 '' \\\\ & | ! ( ) : * <->'", "wanted IS NULL"));
	assert_true(asks(w, "repeat('[', 200)", "wanted IS NULL"));
}

static void make_messages(struct world *w, unsigned n)
{
	char sql[768];

	run_sql(w, "TRUNCATE users, agent_configs, chat_sessions, chat_messages, search_entries, search_slices, search_titles_due CASCADE");
	run_sql(w, "UPDATE search_state SET upto = '-infinity'");
	run_sql(w, "INSERT INTO users (id, username) VALUES ('" ANNA "', 'anna')");
	run_sql(w, "INSERT INTO agent_configs (id, name, provider, endpoint, model) VALUES ('a', 'a', 'custom', '', '')");
	run_sql(w, "INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id, title, message_count) VALUES ('" ANNA "', '" ANNA
		   "', false, 's', 'a', 'A title', 2)");
	snprintf(sql, sizeof(sql),
		 "INSERT INTO chat_messages (id, session_id, role, content, status, ended_at) SELECT gen_random_uuid(), '" ANNA
		 "', 'user', 'number ' || i, 'complete', now() - make_interval(secs => %u - i) FROM generate_series(1, %u) i",
		 n, n);
	run_sql(w, sql);
}

static int64_t add(struct world *w, int64_t max)
{
	struct ask a = {.done = false};
	int64_t n;

	search_index(w->pool, ask_begin(w, &a), max);
	assert_int_equal(ask_end(w, &a), 0);
	n = query_n_affected(&a.q);
	query_fini(&a.q);
	return n;
}

static int64_t n_entries(struct world *w)
{
	return number(w, "SELECT count(*) FROM search_entries");
}

static void the_index_is_filled_some_at_a_time(void **state)
{
	struct world *w = *state;

	world_pool(w, 2, 1);
	make_messages(w, 25);
	assert_int_equal(add(w, 10), 10);
	assert_int_equal(add(w, 10), 10);
	assert_int_equal(add(w, 10), 5);
	assert_int_equal(n_entries(w), 25 + 1); /* and the title */
	assert_int_equal(add(w, 10), 0);
	/* Not ended: not yet. Another ending: once more. */
	run_sql(w, "INSERT INTO chat_messages (id, session_id, role, content, status, owner_generation) VALUES "
		   "('00000000-0000-7000-8000-000000000001', '" ANNA "', 'assistant', '', 'streaming', 1)");
	assert_int_equal(add(w, 10), 0);
	run_sql(w, "UPDATE chat_messages SET content = 'half', status = 'interrupted', ended_at = now() WHERE id = "
		   "'00000000-0000-7000-8000-000000000001'");
	assert_int_equal(add(w, 10), 1);
	run_sql(w, "UPDATE chat_messages SET content = 'half and whole', status = 'complete', ended_at = now() WHERE id = "
		   "'00000000-0000-7000-8000-000000000001'");
	assert_int_equal(add(w, 10), 1);
	assert_int_equal(number(w, "SELECT n_words FROM search_entries WHERE id = '00000000-0000-7000-8000-000000000001'"), 3);
	run_sql(w, "DELETE FROM chat_sessions");
	assert_int_equal(n_entries(w), 0);
}

/* Whoever commits late, with an older time, is not passed over. */
static void a_message_that_is_committed_late_is_added(void **state)
{
	struct world *w = *state;
	struct ask late = {.done = false};
	static const struct statement slow = {
		"test_slow",
		"WITH x AS (INSERT INTO chat_messages (id, session_id, role, content, status, ended_at) VALUES (gen_random_uuid(), '" ANNA
		"', 'user', 'late', 'complete', now()) RETURNING 1) SELECT pg_sleep(2.5) FROM x",
		0};

	world_pool(w, 2, 1);
	make_messages(w, 1);
	ask(w, &late, &slow);
	turn_for_ms(w, 200);
	run_sql(w, "UPDATE chat_messages SET ended_at = now()");
	while (!late.done) {
		add(w, 10);
		turn_for_ms(w, 100);
	}
	assert_int_equal(late.err, 0);
	query_fini(&late.q);
	assert_int_equal(n_entries(w), 2);
	assert_int_equal(add(w, 10), 1);
	assert_int_equal(n_entries(w), 3);
}

static void another_host_does_nothing_meanwhile(void **state)
{
	struct world *w = *state;
	struct ask holder = {.done = false};
	static const struct statement hold = {"test_hold", "SELECT pg_sleep(1) FROM (SELECT FROM search_state FOR UPDATE) x", 0};

	world_pool(w, 2, 1);
	make_messages(w, 5);
	ask(w, &holder, &hold);
	turn_for_ms(w, 300);
	assert_int_equal(add(w, 10), 0);
	assert_false(holder.done);
	wait_done(w, &holder.done);
	query_fini(&holder.q);
	assert_int_equal(add(w, 10), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
		T(every_script_has_words),
		T(long_texts_have_their_beginnings_words),
		T(folding_keeps_the_number_of_characters),
		T(a_query_has_the_words_of_texts),
		T(the_index_is_filled_some_at_a_time),
		T(a_message_that_is_committed_late_is_added),
		T(another_host_does_nothing_meanwhile),
#undef T
	};

	return cmocka_run_group_tests(tests, make_tables, stop_server);
}
