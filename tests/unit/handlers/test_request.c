/* What handlers make of a request: routes, query strings, the body of a completion, the look of an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "fcgi/conn.h"
#include "handlers/chat_request.h"
#include "handlers/render.h"
#include "handlers/request.h"
#include "handlers/router.h"

static void finds_a_route_and_its_parameters(void **state)
{
	struct request r = {.method = STR("GET"), .path = STR("/api/chat/sessions/a%2Fb/messages")};

	(void)state;
	router_find(&r);
	assert_non_null(r.route);
	assert_string_equal(r.route->pattern, "/api/chat/sessions/:id/messages");
	assert_true(str_eq(r.path_params[0], STR("a/b")));
	arena_fini(&r.arena);
	arena_fini(&r.question);
}

static void a_slash_at_the_end_and_head_change_nothing(void **state)
{
	struct request r = {.method = STR("HEAD"), .path = STR("/api/agents/")};

	(void)state;
	router_find(&r);
	assert_non_null(r.route);
	assert_string_equal(r.route->pattern, "/api/agents");
	arena_fini(&r.arena);
	arena_fini(&r.question);
}

static void refuses_paths_that_only_look_alike(void **state)
{
	static const char *const paths[] = {"", "/", "/api", "/api/agentsx", "/api/agents/a/b", "/api//agents", "//api/agents", "/api/agents//",
					    "/api/chat/sessions//messages", "/api/chat/sessions/x", "/HEALTH", "health"};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(paths); i++) {
		struct request r = {.method = STR("GET"), .path = str_from(paths[i])};

		router_find(&r);
		if (r.route)
			fail_msg("%s found %s", paths[i], r.route->pattern);
		arena_fini(&r.arena);
		arena_fini(&r.question);
	}
}

static void names_the_methods_that_a_path_takes(void **state)
{
	struct request r = {.method = STR("GET"), .path = STR("/api/chat/completions")};
	char allow[128];

	(void)state;
	router_find(&r);
	assert_null(r.route);
	router_put_allow(&r, allow, sizeof(allow));
	assert_string_equal(allow, "Allow: POST\r\n");
	arena_fini(&r.arena);
	arena_fini(&r.question);
}

static void decodes_the_query_string(void **state)
{
	struct request r = {.query_string = STR("a=1&b=x+y%20z&%63=%E4%BD%A0&d&e=%zz%4&f=%")};
	struct str value;

	(void)state;
	assert_true(request_query(&r, "a", &value) && str_eq(value, STR("1")));
	assert_true(request_query(&r, "b", &value) && str_eq(value, STR("x y z")));
	assert_true(request_query(&r, "c", &value) && str_eq(value, STR("\xE4\xBD\xA0")));
	assert_true(request_query(&r, "d", &value) && value.len == 0);
	assert_true(request_query(&r, "e", &value) && str_eq(value, STR("%zz%4")));
	assert_true(request_query(&r, "f", &value) && str_eq(value, STR("%")));
	assert_false(request_query(&r, "g", &value));
	arena_fini(&r.arena);
	arena_fini(&r.question);
}

static void finds_a_cookie_among_others(void **state)
{
	struct param params[] = {{STR("HTTP_COOKIE"), STR("a=1; llmchat_anon=x.y=z;b=2; empty=")}};
	struct fcgi_request fcgi = {.params = {params, 1}};
	struct request r = {.fcgi = &fcgi};

	(void)state;
	assert_true(str_eq(request_cookie(&r, "llmchat_anon"), STR("x.y=z")));
	assert_true(str_eq(request_cookie(&r, "b"), STR("2")));
	assert_int_equal(request_cookie(&r, "empty").len, 0);
	assert_int_equal(request_cookie(&r, "anon").len, 0);
}

/* Reads a body; false with the complaint. */
static bool read_body(struct request *r, const char *json, struct chat_request *out, struct json_complaint *complaint)
{
	const char *why;

	*r = (struct request){0};
	assert_int_equal(json_parse(str_from(json), &JSON_CAPS_USER, &r->body, &why), 0);
	return chat_request_read(r, out, complaint);
}

static void drop(struct request *r)
{
	json_free(r->body);
	arena_fini(&r->arena);
	arena_fini(&r->question);
}

static void every_wrong_field_is_named(void **state)
{
#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"
	static const struct {
		const char *json, *field;
	} cases[] = {
		{"{}", "agentId"},
		{"{\"agentId\":1}", "agentId"},
		{"{\"agentId\":\"\"," MESSAGES "}", "agentId"},
		{"{\"agentId\":\"a\"}", "messages"},
		{"{\"agentId\":\"a\",\"messages\":{}}", "messages"},
		{"{\"agentId\":\"a\",\"messages\":[]}", "messages"},
		{"{\"agentId\":\"a\",\"messages\":[1]}", "messages"},
		{"{\"agentId\":\"a\",\"messages\":[{\"role\":\"x\",\"content\":\"y\"}]}", "messages"},
		{"{\"agentId\":\"a\",\"messages\":[{\"role\":\"user\"}]}", "messages"},
		{"{\"agentId\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}", "messages"},
		{"{\"agentId\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":[]}]}", "messages"},
		{"{\"agentId\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":[1]}]}", "messages"},
		{"{\"agentId\":\"a\",\"messages\":[{\"role\":\"assistant\",\"content\":\"y\"}]}", "messages"},
		{"{\"agentId\":\"a\"," MESSAGES ",\"stream\":\"yes\"}", "stream"},
		{"{\"agentId\":\"a\"," MESSAGES ",\"temperature\":2.1}", "temperature"},
		{"{\"agentId\":\"a\"," MESSAGES ",\"temperature\":\"1\"}", "temperature"},
		{"{\"agentId\":\"a\"," MESSAGES ",\"maxTokens\":0}", "maxTokens"},
		{"{\"agentId\":\"a\"," MESSAGES ",\"maxTokens\":1.5}", "maxTokens"},
		{"{\"agentId\":\"a\"," MESSAGES ",\"maxTokens\":32769}", "maxTokens"},
		{"{\"agentId\":\"a\"," MESSAGES ",\"chatId\":\"\"}", "chatId"},
		{"{\"agentId\":\"a\"," MESSAGES ",\"chatId\":\"a/b\"}", "chatId"},
		{"{\"agentId\":\"a\"," MESSAGES ",\"chatId\":7}", "chatId"},
		{"{\"agentId\":\"a\"," MESSAGES ",\"responseChatItemId\":[]}", "responseChatItemId"},
		{"{\"agentId\":\"a\"," MESSAGES ",\"options\":[]}", "options"},
		{"{\"agentId\":\"a\"," MESSAGES ",\"options\":{\"temperature\":-1}}", "temperature"},
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct json_complaint complaint = {0};
		struct chat_request chat;
		struct request r;

		if (read_body(&r, cases[i].json, &chat, &complaint))
			fail_msg("taken: %s", cases[i].json);
		if (strcmp(complaint.field, cases[i].field) != 0)
			fail_msg("%s names %s", cases[i].json, complaint.field);
		assert_non_null(strstr(complaint.sentence, complaint.field[0] == 'm' && complaint.field[1] == 'e' ? "message" : cases[i].field));
		drop(&r);
	}
}

static void the_top_wins_over_options(void **state)
{
	struct json_complaint complaint = {0};
	struct chat_request chat;
	struct request r;

	(void)state;
	assert_true(read_body(&r,
			      "{\"agentId\":\"a\"," MESSAGES ",\"temperature\":0,\"maxTokens\":null,\"unknown\":{},"
			      "\"options\":{\"temperature\":1,\"maxTokens\":9,\"stream\":true,\"chatId\":\"c:1\"}}",
			      &chat, &complaint));
	assert_true(chat.turn.has_temperature && chat.turn.temperature >= 0 && chat.turn.temperature < 0.001);
	assert_int_equal(chat.turn.max_tokens, 9);
	assert_true(chat.stream);
	assert_false(chat.turn.plain);
	assert_true(str_eq(chat.turn.chat_id, STR("c:1")));
	drop(&r);
}

static void parts_give_their_text_and_go_on_as_they_are(void **state)
{
	struct json_complaint complaint = {0};
	struct chat_request chat;
	struct request r;

	(void)state;
	assert_true(read_body(&r,
			      "{\"agentId\":\"a\",\"messages\":[{\"role\":\"user\",\"id\":\"q1\",\"timestamp\":5,\"content\":["
			      "{\"type\":\"text\",\"text\":\"one \"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\"}},"
			      "{\"type\":\"text\",\"text\":\"two\"}]}]}",
			      &chat, &complaint));
	assert_true(str_eq(chat.turn.question, STR("one two")));
	assert_true(str_eq(chat.turn.question_client_id, STR("q1")));
	assert_non_null(strstr(chat.turn.messages[0].parts.p, "\"image_url\""));
	assert_true(chat.turn.plain);
	drop(&r);
}

static void an_event_is_one_line_of_data_with_its_offset(void **state)
{
	struct answer_event chunk = {EVENT_CHUNK, 1234567890, STR("a\n\"b\"\\ \x01 \xE2\x80\xA8 \xF0\x9F\x99\x82")};
	struct answer_event status = {EVENT_STATUS, 0, STR("{\"type\":\"complete\"}")};
	struct buf out = {0};

	(void)state;
	render_event(&out, &status);
	render_event(&out, &chunk);
	assert_true(str_eq(buf_str(&out), STR("id: 0\nevent: status\ndata: {\"type\":\"complete\"}\n\n"
					      "id: 1234567890\nevent: chunk\n"
					      "data: {\"content\":\"a\\n\\\"b\\\"\\\\ \\u0001 \xE2\x80\xA8 \xF0\x9F\x99\x82\"}\n\n")));
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_a_route_and_its_parameters),
		cmocka_unit_test(a_slash_at_the_end_and_head_change_nothing),
		cmocka_unit_test(refuses_paths_that_only_look_alike),
		cmocka_unit_test(names_the_methods_that_a_path_takes),
		cmocka_unit_test(decodes_the_query_string),
		cmocka_unit_test(finds_a_cookie_among_others),
		cmocka_unit_test(every_wrong_field_is_named),
		cmocka_unit_test(the_top_wins_over_options),
		cmocka_unit_test(parts_give_their_text_and_go_on_as_they_are),
		cmocka_unit_test(an_event_is_one_line_of_data_with_its_offset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
