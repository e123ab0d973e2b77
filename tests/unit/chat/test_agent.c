/* Placeholders in agents' texts, and making an agent of a row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/conf.h"
#include "base/crypto.h"
#include "chat/agent.h"
#include "db/agents.h"

static struct conf conf;

static int set_up(void **state)
{
	char why[256];

	(void)state;
	crypto_init();
	setenv("TOKEN_SECRET", "0123456789012345678901234567890123", 1);
	setenv("AGENT_TEST_HOST", "models.example", 1);
	setenv("AGENT_TEST_EMPTY", "", 1);
	return conf_load(&conf, NULL, why, sizeof(why));
}

static int tear_down(void **state)
{
	(void)state;
	conf_fini(&conf);
	return 0;
}

/* Expands text; the result and what is missing are compared. missing NULL: nothing is. */
static void expands(const char *text, const char *expected, const char *missing)
{
	struct arena arena = {0};
	struct str out, name = {NULL, 0};

	assert_int_equal(agent_expand(str_from(text), &conf, &arena, &out, &name), missing == NULL);
	assert_string_equal(out.p, expected);
	if (missing)
		assert_true(str_eq_cstr(name, missing));
	arena_fini(&arena);
}

static void fills_in_variables_and_defaults(void **state)
{
	(void)state;
	expands("", "", NULL);
	expands("plain", "plain", NULL);
	expands("https://${AGENT_TEST_HOST}/v1", "https://models.example/v1", NULL);
	expands("${AGENT_TEST_NONE:-http://a:1}/x", "http://a:1/x", NULL);
	expands("${AGENT_TEST_EMPTY:-b}", "b", NULL);
	expands("${AGENT_TEST_HOST}${AGENT_TEST_HOST}", "models.examplemodels.example", NULL);
	expands("$HOME ${unclosed", "$HOME ${unclosed", NULL);
}

static void names_the_variable_that_is_missing(void **state)
{
	(void)state;
	expands("a${AGENT_TEST_NONE}b", "ab", "AGENT_TEST_NONE");
	expands("${AGENT_TEST_EMPTY}", "", "AGENT_TEST_EMPTY");
}

static void never_gives_out_our_own_secrets(void **state)
{
	(void)state;
	expands("http://evil/${TOKEN_SECRET}", "http://evil/", "TOKEN_SECRET");
	expands("${DB_PASSWORD:-none}", "none", NULL);
}

static struct agent_row make_row(void)
{
	return (struct agent_row){
		.id = STR("a"), .name = STR("A"), .provider = STR("custom"), .endpoint = STR("http://${AGENT_TEST_HOST}/v1"), .model = STR("m"),
		.on_disconnect = STR("cancel"), .capabilities = STR("[]"), .features = STR("{}"),
		.timeouts = STR("{\"firstTokenMs\":99999999,\"idleMs\":1234}"), .is_active = true, .from_file = true,
	};
}

static void makes_an_agent_of_a_row(void **state)
{
	struct agent_row row = make_row();
	struct agent *agent = agent_new(&row, "key", &conf);

	(void)state;
	assert_true(agent->active);
	assert_string_equal(agent->endpoint, "http://models.example/v1");
	assert_string_equal(agent->api_key, "key");
	assert_true(agent->cancel_on_disconnect);
	assert_int_equal(agent->timeouts.idle_ms, 1234);
	assert_int_equal(agent->timeouts.first_token_ms, conf.request_timeout_ms); /* never more than people wait */
	assert_int_equal(agent->timeouts.headers_ms, conf.breaker_timeout_ms);
	assert_false(agent->has_temperature);
	agent_unref(agent);
}

static int64_t headers_ms(const char *timeouts, const struct conf *with)
{
	struct agent_row row = make_row();
	struct agent *agent;
	int64_t ms;

	row.timeouts = str_from(timeouts);
	agent = agent_new(&row, NULL, with);
	ms = agent->timeouts.headers_ms;
	agent_unref(agent);
	return ms;
}

static void headers_may_take_what_the_breaker_allows_or_the_agent_says(void **state)
{
	struct conf short_one = conf;

	(void)state;
	assert_int_equal(conf.breaker_timeout_ms, 10000);
	assert_int_equal(conf.request_timeout_ms, 30000);
	assert_int_equal(headers_ms("{}", &conf), 10000);
	assert_int_equal(headers_ms("{\"headersMs\":25000}", &conf), 25000);
	assert_int_equal(headers_ms("{\"headersMs\":0}", &conf), 10000);
	assert_int_equal(headers_ms("{\"headersMs\":86400000}", &conf), 30000);
	short_one.request_timeout_ms = 5000; /* nobody waits longer */
	assert_int_equal(headers_ms("{}", &short_one), 5000);
	assert_int_equal(headers_ms("{\"headersMs\":0}", &short_one), 5000);
}

static void an_agent_that_cannot_work_is_inactive(void **state)
{
	struct agent_row rows[] = {make_row(), make_row(), make_row(), make_row()};

	(void)state;
	rows[0].endpoint = STR("${AGENT_TEST_NONE}");
	rows[1].endpoint = STR("ftp://x/");
	rows[2].provider = STR("nobody");
	rows[3].is_active = false;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct agent *agent = agent_new(&rows[i], NULL, &conf);

		assert_false(agent->active);
		agent_unref(agent);
	}
}

static void an_agent_not_from_the_file_keeps_its_text_as_it_is(void **state)
{
	struct agent_row row = make_row();
	struct agent *agent;

	(void)state;
	row.from_file = false;
	agent = agent_new(&row, NULL, &conf);
	assert_string_equal(agent->endpoint, "http://${AGENT_TEST_HOST}/v1");
	agent_unref(agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_in_variables_and_defaults),
		cmocka_unit_test(names_the_variable_that_is_missing),
		cmocka_unit_test(never_gives_out_our_own_secrets),
		cmocka_unit_test(makes_an_agent_of_a_row),
		cmocka_unit_test(headers_may_take_what_the_breaker_allows_or_the_agent_says),
		cmocka_unit_test(an_agent_that_cannot_work_is_inactive),
		cmocka_unit_test(an_agent_not_from_the_file_keeps_its_text_as_it_is),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
