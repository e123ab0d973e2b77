/* What may be said of an agent. The limits of every field are tested through the API (tests/integration/test_agents_admin.py); here is what
 * becomes of it, and what the file may say and the API may not. */
#include "chat/agent_fields.h"

#include "db/agents.h"
#include "tests/unit/support.h"

#define WHOLE "\"name\":\"N\",\"provider\":\"custom\",\"endpoint\":\"http://h/x\",\"model\":\"m\""

struct reading {
	struct json *j;
	struct buf out;
	struct agent_said said;
	struct json_complaint complaint;
	bool good;
};

static struct reading read_it(const char *text, struct agent_reading how)
{
	struct reading reading = {.good = false};
	struct json_writer w = {.out = &reading.out};
	const char *why;

	assert_int_equal(json_parse(str_from(text), &JSON_CAPS_USER, &reading.j, &why), 0);
	json_open(&w, '{');
	reading.good = agent_fields_read(reading.j, &how, &w, &reading.said, &reading.complaint);
	json_close(&w, '}');
	buf_add_char(&reading.out, '\0');
	return reading;
}

static void forget(struct reading *reading)
{
	json_free(reading->j);
	buf_fini(&reading->out);
}

static void becomes(const char *text, struct agent_reading how, const char *columns)
{
	struct reading reading = read_it(text, how);

	assert_string_equal(reading.complaint.sentence, "");
	assert_true(reading.good);
	assert_string_equal(reading.out.p, columns);
	forget(&reading);
}

static void is_refused(const char *text, struct agent_reading how, const char *field)
{
	struct reading reading = read_it(text, how);

	assert_false(reading.good);
	assert_string_equal(reading.complaint.field, field);
	assert_non_null(strstr(reading.complaint.sentence, field));
	forget(&reading);
}

static const struct agent_reading api = {.source = AGENT_OF_API}, api_whole = {.source = AGENT_OF_API, .whole = true},
				  file = {.source = AGENT_OF_FILE, .whole = true};

static void writes_what_is_said_and_nothing_else(void **state)
{
	(void)state;
	becomes("{}", api, "{}");
	becomes("{\"name\":\"N\",\"unknown\":[1],\"maxQueue\":0}", api, "{\"name\":\"N\",\"max_queue\":0}");
	becomes("{\"temperature\":0.25,\"isActive\":false,\"rateLimit\":{\"requestsPerMinute\":5}}", api,
		"{\"temperature\":0.25,\"is_active\":false,\"rate_limit\":{\"requestsPerMinute\":5}}");
	becomes("{" WHOLE "}", api_whole, "{\"name\":\"N\",\"provider\":\"custom\",\"endpoint\":\"http://h/x\",\"model\":\"m\"}");
}

static void null_is_what_it_would_be_if_nothing_were_said(void **state)
{
	(void)state;
	becomes("{\"temperature\":null,\"contextTokens\":null,\"capabilities\":null,\"onDisconnect\":null,\"isActive\":null,"
		"\"systemPrompt\":null}",
		api,
		"{\"system_prompt\":\"\",\"temperature\":null,\"context_tokens\":8000,\"on_disconnect\":\"finish\",\"is_active\":true,"
		"\"capabilities\":[]}");
	is_refused("{\"name\":null}", api, "name");
	is_refused("{\"model\":null}", api, "model");
}

static void wants_what_an_agent_must_have(void **state)
{
	(void)state;
	is_refused("{\"provider\":\"custom\",\"endpoint\":\"http://h/x\",\"model\":\"m\"}", api_whole, "name");
	is_refused("{\"name\":\"N\",\"endpoint\":\"http://h/x\",\"model\":\"m\"}", api_whole, "provider");
	is_refused("{\"name\":\"N\",\"provider\":\"custom\",\"model\":\"m\"}", api_whole, "endpoint");
	is_refused("{\"name\":\"N\",\"provider\":\"custom\",\"endpoint\":\"http://h/x\"}", file, "model");
	is_refused("[]", api, "agents");
}

static void only_the_file_has_placeholders(void **state)
{
	struct agent_row stored = {.endpoint = STR("${HOST}/x"), .model = STR("${MODEL}")};
	struct agent_reading again = {.source = AGENT_OF_API, .stored = &stored};

	(void)state;
	becomes("{\"name\":\"N\",\"provider\":\"custom\",\"endpoint\":\"${HOST}/x\",\"model\":\"${MODEL}\"}", file,
		"{\"name\":\"N\",\"provider\":\"custom\",\"endpoint\":\"${HOST}/x\",\"model\":\"${MODEL}\"}");
	is_refused("{\"endpoint\":\"${HOST}/x\"}", api, "endpoint");
	is_refused("{\"endpoint\":\"http://h/${HOST}\"}", api, "endpoint");
	is_refused("{\"model\":\"${MODEL}\"}", api, "model");
	/* who read it may send it back, and it stays as it is */
	becomes("{\"endpoint\":\"${HOST}/x\",\"model\":\"${MODEL}\"}", again, "{}");
	is_refused("{\"endpoint\":\"${HOST}/y\"}", again, "endpoint");
}

static void refuses_addresses_that_hide_where_they_lead(void **state)
{
	static const char *const wrong[] = {
		"http:///h",  "http:h",           "http:/h/x",   "//h/x",        "http://?x",
		"http://#x",  "http://:80/",      "http://u@h/", "http://u:p@h", "http://h\\\\@evil/",
		"http://h /", "http://h\\u00e4/", "gopher://h/", "http://h\\n/", "",
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
		char text[128];

		snprintf(text, sizeof(text), "{\"endpoint\":\"%s\"}", wrong[i]);
		is_refused(text, api, "endpoint");
	}
	becomes("{\"endpoint\":\"https://[::1]:8443/v1?to=a@b\"}", api, "{\"endpoint\":\"https://[::1]:8443/v1?to=a@b\"}");
}

static void no_agent_falls_back_to_itself(void **state)
{
	struct agent_reading named = {.source = AGENT_OF_API, .id = STR("me")};

	(void)state;
	is_refused("{\"fallbacks\":[\"a\",\"me\"]}", named, "fallbacks");
	is_refused("{\"id\":\"me\"," WHOLE ",\"fallbacks\":[\"me\"]}", api_whole, "fallbacks");
	becomes("{\"fallbacks\":[\"a\",\"b\"]}", named, "{\"fallbacks\":[\"a\",\"b\"]}");
}

static void says_what_becomes_of_the_key_and_does_not_write_it(void **state)
{
	struct reading reading = read_it("{\"id\":\"a\",\"apiKey\":\"sk-1\"}", api);

	(void)state;
	assert_true(reading.good && reading.said.has_key);
	assert_true(str_eq(reading.said.api_key, STR("sk-1")) && str_eq(reading.said.id, STR("a")));
	assert_string_equal(reading.out.p, "{}");
	forget(&reading);
	reading = read_it("{\"apiKey\":null}", api);
	assert_true(reading.good && reading.said.has_key && reading.said.api_key.len == 0);
	forget(&reading);
	reading = read_it("{}", api);
	assert_true(reading.good && !reading.said.has_key);
	forget(&reading);
	is_refused("{\"apiKey\":\"\"}", api, "apiKey");
	is_refused("{\"apiKey\":\"a\\r\\nX-Evil: 1\"}", api, "apiKey");
	is_refused("{\"apiKey\":\"${HOME} \"}", api, "apiKey");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_what_is_said_and_nothing_else),
		cmocka_unit_test(null_is_what_it_would_be_if_nothing_were_said),
		cmocka_unit_test(wants_what_an_agent_must_have),
		cmocka_unit_test(only_the_file_has_placeholders),
		cmocka_unit_test(refuses_addresses_that_hide_where_they_lead),
		cmocka_unit_test(no_agent_falls_back_to_itself),
		cmocka_unit_test(says_what_becomes_of_the_key_and_does_not_write_it),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
