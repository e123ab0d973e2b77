/* The OpenAI face without a socket: which routes speak so, tool calls put together, the look of a refusal. */
#include "base/err.h"
#include "base/json.h"
#include "chat/answer.h"
#include "handlers/request.h"
#include "handlers/router.h"
#include "handlers/v1_error.h"
#include "handlers/v1_tools.h"
#include "tests/unit/support.h"

static void an_address_speaks_as_the_routes_around_it(void **state)
{
	static const struct {
		const char *method, *path;
		enum face face;
	} samples[] = {
		{"GET", "/v1/models", FACE_OPENAI},
		{"POST", "/v1/chat/completions", FACE_OPENAI},
		{"GET", "/v1/chat/completions", FACE_OPENAI},
		{"GET", "/v1/nothing/at/all", FACE_OPENAI},
		{"GET", "/v1", FACE_OPENAI},
		{"GET", "/v1x/models", FACE_API},
		{"GET", "/v", FACE_API},
		{"GET", "/api/nothing", FACE_API},
		{"GET", "/api/agents", FACE_API},
		{"GET", "/", FACE_API},
		{"GET", "", FACE_API},
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		struct request r = {.method = str_from(samples[i].method), .path = str_from(samples[i].path)};

		assert_non_null(router_find(&r));
		assert_int_equal(r.face, samples[i].face);
		arena_fini(&r.arena);
	}
}

static void puts_tool_calls_together(void **state)
{
	static const struct {
		const char *name, *events[6], *wanted;
	} samples[] = {
		{"none", {NULL}, ""},
		{"what is no list", {"{}", "7", "[]", "["}, ""},
		{"pieces by index, mixed",
		 {"[{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]",
		  "[{\"index\":1,\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{\"}}]",
		  "[{\"index\":0,\"function\":{\"arguments\":\"{\\\"x\\\":\"}},{\"index\":1,\"function\":{\"arguments\":\"}\"}}]",
		  "[{\"index\":0,\"function\":{\"arguments\":\"1}\"}}]"},
		 "[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"}},"
		 "{\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]"},
		{"whole calls without an index",
		 {"[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"1\"}},{\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"2\"}}]"},
		 "[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"1\"}},"
		 "{\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"2\"}}]"},
		{"pieces without an index go on with the last",
		 {"[{\"id\":\"a\",\"function\":{\"name\":\"f\"}}]", "[{\"function\":{\"arguments\":\"1\"}}]", "[{\"function\":{\"arguments\":\"2\"}}]"},
		 "[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"12\"}}]"},
		{"names and ids that are said again",
		 {"[{\"index\":5,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"1\"}}]",
		  "[{\"index\":5,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"2\"}}]"},
		 "[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"12\"}}]"},
		{"what we have no word for",
		 {"[{\"index\":0,\"id\":\"a\",\"extra\":{\"signature\":\"s\"},\"none\":null,\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]"},
		 "[{\"id\":\"a\",\"extra\":{\"signature\":\"s\"},\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]"},
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		struct answer_budget budget = {.max_bytes = 1000000, .max_total_bytes = 1000000};
		struct loop *loop = loop_new();
		struct answer answer;
		struct buf out = {0};

		answer_init(&answer, loop, &budget);
		for (size_t j = 0; samples[i].events[j]; j++) {
			assert_int_equal(answer_append(&answer, EVENT_CHUNK, STR("text between")), 0);
			assert_int_equal(answer_append(&answer, EVENT_TOOL, str_from(samples[i].events[j])), 0);
		}
		v1_tools_collect(&answer, &out);
		assert_str(buf_str(&out), str_from(samples[i].wanted));
		buf_fini(&out);
		answer_fini(&answer);
		loop_free(loop);
	}
}

static void more_calls_than_anybody_makes_are_left_out(void **state)
{
	struct answer_budget budget = {.max_bytes = 1000000, .max_total_bytes = 1000000};
	struct loop *loop = loop_new();
	struct buf out = {0}, event = {0};
	struct answer answer;
	struct json *calls;
	const char *why;

	(void)state;
	answer_init(&answer, loop, &budget);
	for (int i = 0; i < 1000; i++) {
		event.len = 0;
		buf_printf(&event, "[{\"index\":%d,\"id\":\"c%d\",\"function\":{\"name\":\"f\",\"arguments\":\"1\"}}]", i, i);
		assert_int_equal(answer_append(&answer, EVENT_TOOL, buf_str(&event)), 0);
	}
	v1_tools_collect(&answer, &out);
	assert_int_equal(json_parse(buf_str(&out), &JSON_CAPS_PROVIDER, &calls, &why), 0);
	assert_int_equal(json_len(calls), 256);
	json_free(calls);
	buf_fini(&out);
	buf_fini(&event);
	answer_fini(&answer);
	loop_free(loop);
}

static void says_errors_in_openais_words(void **state)
{
	static const struct {
		int err;
		const char *field, *sentence, *wanted;
	} samples[] = {
		{ERR_VALIDATION, "n", "n must be 1.",
		 "{\"error\":{\"message\":\"n must be 1.\",\"type\":\"invalid_request_error\",\"param\":\"n\",\"code\":\"validation_error\"}}"},
		{-ERR_UPSTREAM, NULL, NULL,
		 "{\"error\":{\"message\":\"The model's provider failed.\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_error\"}}"},
		{ERR_TOKEN_INVALID, NULL, "No \"key\".",
		 "{\"error\":{\"message\":\"No \\\"key\\\".\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"invalid_api_key\"}}"},
		{ERR_RATE_LIMITED, NULL, NULL,
		 "{\"error\":{\"message\":\"Too many requests; please wait a little.\",\"type\":\"rate_limit_error\",\"param\":null,"
		 "\"code\":\"rate_limit_exceeded\"}}"},
		{ERR_AGENT_NOT_FOUND, NULL, NULL,
		 "{\"error\":{\"message\":\"There is no such model: no active agent has this id.\",\"type\":\"invalid_request_error\","
		 "\"param\":\"model\",\"code\":\"model_not_found\"}}"},
	};
	struct buf out = {0};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		out.len = 0;
		v1_put_error(&out, samples[i].err, samples[i].field, samples[i].sentence);
		assert_str(buf_str(&out), str_from(samples[i].wanted));
	}
	out.len = 0;
	v1_put_error_headers(&out, ERR_UPSTREAM_LIMIT, 3600);
	assert_text(buf_str(&out), "Retry-After-Ms: 3600000\r\nX-Should-Retry: true\r\n");
	out.len = 0;
	v1_put_error_headers(&out, ERR_RATE_LIMITED, 86400 * 365); /* nobody waits for that */
	assert_text(buf_str(&out), "Retry-After-Ms: 31536000000\r\nX-Should-Retry: false\r\n");
	out.len = 0;
	v1_put_error_headers(&out, ERR_UPSTREAM_AUTH, -1);
	assert_text(buf_str(&out), "X-Should-Retry: false\r\n");
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_speaks_as_the_routes_around_it),
		cmocka_unit_test(puts_tool_calls_together),
		cmocka_unit_test(more_calls_than_anybody_makes_are_left_out),
		cmocka_unit_test(says_errors_in_openais_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
