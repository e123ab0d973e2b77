/* Loading agents, from a real PostgreSQL: found by their ids, however many; only what has changed is made anew; nothing that changes
 * meanwhile is missed. */
#include "chat/agents.h"

#include "tests/unit/db/fixture.h"

static struct agents *agents; /* of the test */
static size_t wanted;

static bool is_loaded(struct world *w)
{
	(void)w;
	return agents_loaded(agents) && agents_count(agents) == wanted;
}

static int begin(void **state)
{
	struct world *w;
	char why[256];

	if (make_world(state) != 0)
		return -1;
	w = *state;
	w->conf.agents_config_path = "/nonexistent/agents.json";
	w->conf.secrets_key = w->conf.secrets_key_previous = "";
	w->conf.request_timeout_ms = w->conf.stream_idle_ms = w->conf.stream_total_ms = 30000;
	world_pool(w, 4, 1);
	wait_until(w, is_reachable);
	run_sql(w, "DELETE FROM agent_configs");
	agents = agents_new(w->loop, w->pool, &w->conf, why, sizeof(why));
	return agents ? 0 : -1;
}

static int end(void **state)
{
	agents_free(agents);
	return end_world(state);
}

/* Ids in an order that a language's rules would not have: B before a. */
static void insert(struct world *w, const char *ids)
{
	char sql[512];

	snprintf(sql, sizeof(sql),
		 "INSERT INTO agent_configs (id, name, provider, endpoint, model) SELECT id, 'N ' || id, 'custom', 'http://h/x', 'm' FROM "
		 "(%s) t (id)",
		 ids);
	run_sql(w, sql);
}

static void load(struct world *w, size_t n)
{
	wanted = n;
	agents_load(agents);
	wait_until(w, is_loaded);
}

static void finds_every_one_of_five_thousand(void **state)
{
	struct world *w = *state;
	char id[16];

	insert(w, "SELECT CASE n % 3 WHEN 0 THEN 'A-' WHEN 1 THEN 'b_' ELSE 'C.' END || n FROM generate_series(1, 5000) n");
	load(w, 5000);
	for (int i = 1; i <= 5000; i++) {
		struct agent *agent;

		snprintf(id, sizeof(id), "%s%d", i % 3 == 0 ? "A-" : i % 3 == 1 ? "b_" : "C.", i);
		agent = agents_find(agents, str_from(id));
		assert_non_null(agent);
		assert_true(str_eq(agent->id, str_from(id)));
	}
	for (size_t i = 1; i < 5000; i++)
		assert_true(str_compare(agents_at(agents, i - 1)->id, agents_at(agents, i)->id) < 0);
	assert_null(agents_find(agents, STR("")));
	assert_null(agents_find(agents, STR("A-")));
	assert_null(agents_find(agents, STR("A-5001")));
	assert_null(agents_find(agents, STR("zzz")));
}

static void knows_what_comes_after(void **state)
{
	struct world *w = *state;

	insert(w, "VALUES ('B'), ('a'), ('c')");
	load(w, 3);
	assert_int_equal(agents_after(agents, STR("")), 0);
	assert_int_equal(agents_after(agents, STR("B")), 1);
	assert_int_equal(agents_after(agents, STR("a")), 2);
	assert_int_equal(agents_after(agents, STR("b")), 2); /* gone meanwhile */
	assert_int_equal(agents_after(agents, STR("c")), 3);
}

static void makes_only_what_has_changed_anew(void **state)
{
	struct world *w = *state;
	struct agent *a, *b;

	insert(w, "VALUES ('a'), ('b'), ('c')");
	load(w, 3);
	a = agents_find(agents, STR("a"));
	b = agent_ref(agents_find(agents, STR("b")));
	agent_note_response(b, 123);
	run_sql(w, "UPDATE agent_configs SET name = 'Other' WHERE id = 'b'");
	run_sql(w, "DELETE FROM agent_configs WHERE id = 'c'");
	load(w, 2);
	assert_ptr_equal(agents_find(agents, STR("a")), a);
	assert_ptr_not_equal(agents_find(agents, STR("b")), b);
	assert_true(str_eq(agents_find(agents, STR("b"))->name, STR("Other")));
	assert_int_equal(agents_find(agents, STR("b"))->seen->response_ms, 123);
	assert_true(str_eq(b->name, STR("N b"))); /* whoever holds it keeps it as it was */
	agent_note_response(b, 99);
	assert_int_equal(agents_find(agents, STR("b"))->seen->response_ms, 99);
	agent_unref(b);
	assert_null(agents_find(agents, STR("c")));
}

static void the_version_is_another_one_when_anything_is(void **state)
{
	struct world *w = *state;
	char first[AGENTS_VERSION_SIZE];

	insert(w, "VALUES ('a'), ('b')");
	load(w, 2);
	snprintf(first, sizeof(first), "%s", agents_version(agents));
	assert_int_equal(strlen(first), AGENTS_VERSION_SIZE - 1);
	agents_load(agents);
	turn_for_ms(w, 100);
	assert_string_equal(agents_version(agents), first);
	run_sql(w, "DELETE FROM agent_configs WHERE id = 'b'");
	load(w, 1);
	assert_string_not_equal(agents_version(agents), first);
	insert(w, "VALUES ('b')"); /* as it was, for all that is shown, but nobody can know that */
	load(w, 2);
	assert_string_not_equal(agents_version(agents), first);
	snprintf(first, sizeof(first), "%s", agents_version(agents));
	run_sql(w, "UPDATE agent_configs SET is_active = false WHERE id = 'a'");
	insert(w, "VALUES ('c')");
	load(w, 3);
	run_sql(w, "DELETE FROM agent_configs WHERE id = 'c'");
	load(w, 2);
	assert_string_not_equal(agents_version(agents), first);
}

static void a_deleted_agent_is_not_there(void **state)
{
	struct world *w = *state;

	insert(w, "VALUES ('a'), ('b')");
	run_sql(w, "UPDATE agent_configs SET deleted_at = now() WHERE id = 'a'");
	load(w, 1);
	assert_null(agents_find(agents, STR("a")));
}

static void what_changes_while_it_loads_is_loaded_afterwards(void **state)
{
	struct world *w = *state;

	insert(w, "SELECT 'n' || n FROM generate_series(1, 1000) n");
	wanted = 1001;
	agents_load(agents);
	turn_for_ms(w, 5); /* ids and revisions are on their way, or there */
	insert(w, "VALUES ('late')");
	agents_load(agents);
	agents_load(agents);
	wait_until(w, is_loaded);
	assert_non_null(agents_find(agents, STR("late")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(finds_every_one_of_five_thousand, begin, end),
		cmocka_unit_test_setup_teardown(knows_what_comes_after, begin, end),
		cmocka_unit_test_setup_teardown(makes_only_what_has_changed_anew, begin, end),
		cmocka_unit_test_setup_teardown(the_version_is_another_one_when_anything_is, begin, end),
		cmocka_unit_test_setup_teardown(a_deleted_agent_is_not_there, begin, end),
		cmocka_unit_test_setup_teardown(what_changes_while_it_loads_is_loaded_afterwards, begin, end),
	};

	return cmocka_run_group_tests(tests, make_tables, stop_server);
}
