/* Commands of the control socket, and every kind of rubbish in their place. */
#include "handlers/host.h"

#include <signal.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/control.h"
#include "base/crypto.h"
#include "base/json.h"
#include "base/process.h"
#include "base/siblings.h"
#include "cache/cache.h"
#include "cache/redis.h"
#include "chat/turns.h"
#include "db/pool.h"
#include "fcgi/server.h"
#include "handlers/app.h"
#include "net/resolver.h"
#include "tests/unit/support.h"

static char dir[64];
static struct conf conf = {.db_host = "/nowhere",
			   .db_port = 5432,
			   .db_user = "u",
			   .db_password = "",
			   .db_name = "d",
			   .db_connection_timeout_ms = 1000,
			   .db_statement_timeout_ms = 1000,
			   .db_idle_timeout_ms = 1000,
			   .db_sslmode = "disable",
			   .redis_host = ""};
static struct process self;
static struct server server;
static struct turns turns;
static struct app app;
static struct resolver *resolver;
static struct json *answer; /* the last */
static unsigned n_terms;

static void on_cache_lost(void *arg)
{
	(void)arg;
}

static int make(void **state)
{
	char why[256];

	(void)state;
	crypto_init();
	snprintf(dir, sizeof(dir), "/tmp/host-test-XXXXXX");
	if (!mkdtemp(dir) || process_open(&self, dir, "node", 1, why, sizeof(why)) != 0)
		return -1;
	app = (struct app){.conf = &conf, .loop = loop_new(), .turns = &turns, .server = &server, .process = &self};
	resolver = resolver_new(app.loop);
	app.pool = pool_new(app.loop, resolver, &conf, 1, 1, 1);
	list_init(&server.conns);
	app.redis = redis_new(app.loop, resolver, &conf, 1);
	app.cache = cache_new(app.loop, app.redis, &conf, on_cache_lost, NULL);
	app.siblings = siblings_new(app.loop, &self, host_publish, &app);
	turns = (struct turns){.loop = app.loop, .process = &self, .siblings = app.siblings};
	list_init(&turns.live);
	return 0;
}

static int end(void **state)
{
	(void)state;
	json_free(answer);
	answer = NULL;
	siblings_free(app.siblings);
	cache_free(app.cache);
	redis_free(app.redis);
	pool_free(app.pool);
	resolver_free(resolver);
	process_close(&self);
	return loop_free(app.loop) && rmdir(dir) == 0 ? 0 : -1;
}

static bool tell(struct str command)
{
	struct buf b = {0};
	const char *why;

	json_free(answer);
	answer = NULL;
	host_command(&app, command, &b);
	assert_true(b.len > 0 && b.len <= CONTROL_MAX_ANSWER);
	if (json_parse(buf_str(&b), &JSON_CAPS_USER, &answer, &why) != 0)
		fail_msg("%s: %.*s", why, STR_ARG(buf_str(&b)));
	buf_fini(&b);
	if (!json_as_bool(json_get(answer, "ok"), false))
		assert_true(json_as_str(json_get(answer, "error")).len > 10);
	return json_as_bool(json_get(answer, "ok"), false);
}

static struct str code(void)
{
	return json_as_str(json_get(answer, "code"));
}

static int64_t number(const char *key)
{
	return json_as_int(json_get(answer, key), -1);
}

static void state_says_what_it_counts(void **state)
{
	(void)state;
	app.n_requests = 77;
	server.n_conns = 5;
	process_set(&self, COUNT_JOBS, 1);
	assert_true(tell(STR("state")));
	assert_int_equal(number("slot"), 1);
	assert_int_equal(number("generation"), self.generation);
	assert_int_equal(number("pid"), getpid());
	assert_int_equal(number("requests"), 77);
	assert_int_equal(number("connections"), 5);
	assert_int_equal(number("siblings"), 0);
	assert_int_equal(number("turns"), 0);
	assert_int_equal(json_as_int(json_get(json_get(answer, "database"), "max"), -1), 1);
	assert_false(json_as_bool(json_get(json_get(answer, "database"), "reachable"), true));
	assert_true(json_as_bool(json_get(answer, "jobs"), false));
	assert_false(json_as_bool(json_get(answer, "draining"), true));
	assert_int_equal(json_len(json_get(answer, "liveTurns")), 0);
	app.draining = true;
	assert_true(tell(STR("state")));
	assert_true(json_as_bool(json_get(answer, "draining"), false));
	assert_int_equal(process_get(self.page, COUNT_DRAINING), 1);
}

/* Turns as `state` sees them. */
static struct turn *put_turns(size_t n, struct agent *agent)
{
	struct turn *all = calloc(n, sizeof(*all));

	for (size_t i = 0; i < n; i++) {
		all[i].agent = agent;
		all[i].answer_id = uuid_new();
		all[i].user_id = STR("0190a1b2-0000-7000-8000-000000000001");
		all[i].state = TURN_STREAMING;
		buf_add_str(&all[i].text, STR("secret"));
		all[i].chat_id = STR("secret");
		list_push(&turns.live, &all[i].node);
		turns_count(&turns, 1);
	}
	return all;
}

static void take_turns(struct turn *all, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		list_remove(&all[i].node);
		buf_fini(&all[i].text);
		turns_count(&turns, -1);
	}
	free(all);
}

static void state_lists_the_oldest_turns_and_no_text(void **state)
{
	static char long_id[100];
	struct agent agent = {.id = STR("a\"gent")};
	struct turn *all = put_turns(HOST_MAX_TURNS + 5, &agent);
	const struct json *list;

	(void)state;
	assert_true(tell(STR("state")));
	list = json_get(answer, "liveTurns");
	assert_int_equal(number("turns"), HOST_MAX_TURNS + 5);
	assert_int_equal(json_len(list), HOST_MAX_TURNS);
	assert_int_equal(number("liveTurnsLeftOut"), 5);
	assert_str(json_as_str(json_get(json_at(list, 0), "answerId")), uuid_str(&all[0].answer_id));
	assert_text(json_as_str(json_get(json_at(list, 0), "agentId")), "a\"gent");
	assert_text(json_as_str(json_get(json_at(list, 0), "state")), "streaming");
	assert_null(strstr(json_text(answer).p, "secret"));
	/* Fewer, if they would not fit into an answer. */
	memset(long_id, '\x01', sizeof(long_id));
	agent.id = (struct str){long_id, sizeof(long_id)};
	assert_true(tell(STR("state")));
	assert_true(json_len(json_get(answer, "liveTurns")) > 10);
	assert_true(number("liveTurnsLeftOut") > 5);
	take_turns(all, HOST_MAX_TURNS + 5);
}

static void stop_finds_only_a_turn_that_goes_on(void **state)
{
	struct agent agent = {.id = STR("a")};
	struct turn *all = put_turns(2, &agent);
	char command[64];

	(void)state;
	assert_false(tell(STR("stop 0190a1b2-0000-7000-8000-000000000001")));
	assert_text(code(), "NOT_FOUND");
	all[1].state = TURN_ENDING;
	snprintf(command, sizeof(command), "stop %s", all[1].answer_id.text);
	assert_false(tell(str_from(command)));
	assert_text(code(), "ENDING");
	all[1].state = TURN_BEGINNING; /* its rows are not there yet: that it was stopped is stored when they are */
	all[1].rows_pending = true;
	all[1].write.writes = turn_writes_new(app.loop, app.pool, &conf, &self);
	answer_init(&all[1].answer, app.loop, &turns.budget);
	assert_true(tell(str_from(command)));
	assert_string_equal(all[1].status, "stopped");
	assert_false(tell(str_from(command)));
	assert_text(code(), "ENDING");
	answer_fini(&all[1].answer);
	turn_writes_free(all[1].write.writes);
	take_turns(all, 2);
}

static void find_is_for_the_turns_of_one_user(void **state)
{
	struct agent agent = {.id = STR("a")};
	struct turn *all = put_turns(4, &agent);
	char command[256];

	(void)state;
	all[0].answer_client_id = all[1].answer_client_id = all[3].answer_client_id = STR("mine 你的/1");
	all[3].user_id = STR("0190a1b2-0000-7000-8000-000000000002");
	assert_false(tell(STR("find 0190a1b2-0000-7000-8000-000000000001 mine")));
	assert_text(code(), "NOT_FOUND");
	/* The newest of his own. */
	assert_true(tell(STR("find 0190A1B2-0000-7000-8000-000000000001 mine 你的/1")));
	assert_str(json_as_str(json_get(answer, "answerId")), uuid_str(&all[1].answer_id));
	assert_text(json_as_str(json_get(answer, "agentId")), "a");
	assert_null(json_get(answer, "status"));
	/* Rather one that goes on. */
	all[1].status = "complete";
	all[1].state = TURN_ENDING;
	assert_true(tell(STR("find 0190a1b2-0000-7000-8000-000000000001 mine 你的/1")));
	assert_str(json_as_str(json_get(answer, "answerId")), uuid_str(&all[0].answer_id));
	all[0].status = "stopped";
	assert_true(tell(STR("find 0190a1b2-0000-7000-8000-000000000001 mine 你的/1")));
	assert_text(json_as_str(json_get(answer, "status")), "complete");
	/* By its own id, which is not another's to find. A client's name that is empty is none. */
	snprintf(command, sizeof(command), "find 0190a1b2-0000-7000-8000-000000000001 %s", all[2].answer_id.text);
	assert_true(tell(str_from(command)));
	snprintf(command, sizeof(command), "find 0190a1b2-0000-7000-8000-000000000002 %s", all[2].answer_id.text);
	assert_false(tell(str_from(command)));
	assert_text(code(), "NOT_FOUND");
	assert_false(tell(STR("find 0190a1b2-0000-7000-8000-000000000001 ")));
	assert_text(code(), "BAD_COMMAND");
	take_turns(all, 4);
}

static void refuses_rubbish(void **state)
{
	static const struct str rubbish[] = {
		CONST_STR(""),
		CONST_STR(" "),
		CONST_STR("\n"),
		CONST_STR("\0"),
		CONST_STR("stat"),
		CONST_STR("states"),
		CONST_STR("STATE"),
		CONST_STR("state "),
		CONST_STR("state x"),
		CONST_STR(" state"),
		CONST_STR("state\n"),
		CONST_STR("state\0"),
		CONST_STR("drain now"),
		CONST_STR("log"),
		CONST_STR("log "),
		CONST_STR("log loud"),
		CONST_STR("log debug "),
		CONST_STR("log  debug"),
		CONST_STR("log DEBUG"),
		CONST_STR("log\0debug"),
		CONST_STR("find"),
		CONST_STR("find "),
		CONST_STR("find x"),
		CONST_STR("find  x"),
		CONST_STR("find anna x"),
		CONST_STR("find 0190a1b2-0000-7000-8000-000000000001"),
		CONST_STR("stop"),
		CONST_STR("stop "),
		CONST_STR("stop all"),
		CONST_STR("stop 0190a1b2-0000-7000-8000-00000000000"),
		CONST_STR("stop 0190a1b2-0000-7000-8000-000000000001 "),
		CONST_STR("stop 0190a1b2-0000-7000-8000-00000000000g"),
		CONST_STR("\xff\xfe"),
		CONST_STR("{\"command\":\"state\"}"),
	};
	char noise[CONTROL_MAX_COMMAND + 1];
	uint32_t seed = 11;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rubbish); i++) {
		if (tell(rubbish[i]))
			fail_msg("took %.*s", STR_ARG(rubbish[i]));
		assert_text(code(), "BAD_COMMAND");
	}
	for (int i = 0; i < 2000; i++) {
		size_t len = next_random(&seed) % (sizeof(noise) + 1);

		for (size_t j = 0; j < len; j++)
			noise[j] = (char)next_random(&seed);
		assert_false(tell((struct str){noise, len}));
	}
	memset(noise, ' ', sizeof(noise));
	memcpy(noise, "state", 5);
	assert_false(tell((struct str){noise, sizeof(noise)}));
	assert_false(tell((struct str){NULL, 0}));
}

static void log_sets_the_level(void **state)
{
	(void)state;
	assert_true(tell(STR("log error")));
	assert_true(tell(STR("log debug")));
	log_set_level((enum log_level)(LOG_ERROR + 1));
}

static void on_term(int signum)
{
	(void)signum;
	n_terms++;
}

static void drain_is_what_a_signal_does(void **state)
{
	(void)state;
	signal(SIGTERM, on_term);
	assert_true(tell(STR("drain")));
	assert_int_equal(n_terms, 1);
	signal(SIGTERM, SIG_DFL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, end)
		T(state_says_what_it_counts),
		T(state_lists_the_oldest_turns_and_no_text),
		T(stop_finds_only_a_turn_that_goes_on),
		T(find_is_for_the_turns_of_one_user),
		T(refuses_rubbish),
		T(log_sets_the_level),
		T(drain_is_what_a_signal_does),
#undef T
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
