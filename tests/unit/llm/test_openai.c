/* The chat completions dialect: what is asked, and what each event of an answer means. Also the list of providers. */
#include "llm/provider.h"

#include "base/json.h"
#include "tests/unit/support.h"

static const struct llm_message hello = {.role = CONST_STR("user"), .content = CONST_STR("hello")};

static const struct log_ctx log_ctx = {.request_id = "0198-abc"};

static struct llm_request sample_request(void)
{
	return (struct llm_request){
		.provider = &provider_openai,
		.endpoint = "http://127.0.0.1:1/v1/chat/completions",
		.api_key = "sk-test",
		.model = "gpt-4o",
		.messages = &hello,
		.n_messages = 1,
		.log = &log_ctx,
		.timeouts = {.connect_ms = 1234},
	};
}

/* Makes the request, checks that its body is JSON, and returns it; arena and body are the caller's. */
static struct json *ask(const struct llm_request *in, struct arena *arena, struct http_post *post)
{
	struct json_caps caps = JSON_CAPS_PROVIDER;
	const char *why = "";
	struct json *body;

	in->provider->request(in, arena, post);
	assert_int_equal(json_parse(buf_str(&post->body), &caps, &body, &why), 0);
	return body;
}

static const char *header(const struct http_post *post, const char *name)
{
	for (size_t i = 0; i < post->n_headers; i++)
		if (strncmp(post->headers[i], name, strlen(name)) == 0 && post->headers[i][strlen(name)] == ':')
			return post->headers[i] + strlen(name) + 2;
	return NULL;
}

static void asks_for_a_stream_with_usage(void **state)
{
	struct llm_request in = sample_request();
	struct arena arena = {0};
	struct http_post post;
	struct json *body = ask(&in, &arena, &post);
	const struct json *messages = json_get(body, "messages");

	(void)state;
	assert_string_equal(post.url, in.endpoint);
	assert_int_equal(post.connect_ms, 1234);
	assert_true(post.n_headers <= PROVIDER_MAX_HEADERS);
	assert_string_equal(header(&post, "Content-Type"), "application/json");
	assert_string_equal(header(&post, "Accept"), "text/event-stream");
	assert_string_equal(header(&post, "X-Request-Id"), "0198-abc");
	assert_string_equal(header(&post, "Authorization"), "Bearer sk-test");
	assert_text(json_as_str(json_get(body, "model")), "gpt-4o");
	assert_true(json_as_bool(json_get(body, "stream"), false));
	assert_true(json_as_bool(json_get(json_get(body, "stream_options"), "include_usage"), false));
	assert_int_equal(json_len(messages), 1);
	assert_text(json_as_str(json_get(json_at(messages, 0), "role")), "user");
	assert_text(json_as_str(json_get(json_at(messages, 0), "content")), "hello");
	assert_null(json_get(body, "temperature"));
	assert_null(json_get(body, "max_tokens"));
	json_free(body);
	buf_fini(&post.body);
	arena_fini(&arena);
}

static void sends_no_authorization_without_a_key(void **state)
{
	static const char *const keys[] = {NULL, ""};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(keys); i++) {
		struct llm_request in = sample_request();
		struct arena arena = {0};
		struct http_post post;

		in.api_key = keys[i];
		json_free(ask(&in, &arena, &post));
		assert_null(header(&post, "Authorization"));
		buf_fini(&post.body);
		arena_fini(&arena);
	}
}

static void puts_the_system_prompt_first_and_escapes_everything(void **state)
{
	static const struct llm_message messages[] = {
		{.role = CONST_STR("user"), .content = CONST_STR("\"quoted\" \\ \n\r\t\x01 \xF0\x9F\x98\x80 </script>")},
		{.role = CONST_STR("assistant"), .content = CONST_STR("")},
		{.role = CONST_STR("user"), .parts = CONST_STR("[{\"type\":\"text\",\"text\":\"look\"},{\"type\":\"image_url\"}]")},
	};
	struct llm_request in = sample_request();
	struct arena arena = {0};
	struct http_post post;
	const struct json *list;
	struct json *body;

	(void)state;
	in.system_prompt = STR("Be \"brief\".\n");
	in.messages = messages;
	in.n_messages = N_ELEMENTS(messages);
	body = ask(&in, &arena, &post);
	list = json_get(body, "messages");
	assert_int_equal(json_len(list), 4);
	assert_text(json_as_str(json_get(json_at(list, 0), "role")), "system");
	assert_text(json_as_str(json_get(json_at(list, 0), "content")), "Be \"brief\".\n");
	for (size_t i = 0; i < 2; i++) {
		assert_str(json_as_str(json_get(json_at(list, i + 1), "role")), messages[i].role);
		assert_str(json_as_str(json_get(json_at(list, i + 1), "content")), messages[i].content);
	}
	assert_int_equal(json_len(json_get(json_at(list, 3), "content")), 2);
	assert_text(json_as_str(json_get(json_at(json_get(json_at(list, 3), "content"), 0), "text")), "look");
	json_free(body);
	buf_fini(&post.body);
	arena_fini(&arena);
}

static void puts_further_members_behind_its_own(void **state)
{
	static const struct llm_message messages[] = {
		{.role = CONST_STR("assistant"), .no_content = true, .extra = CONST_STR("\"tool_calls\":[{\"id\":\"c1\"}]")},
		{.role = CONST_STR("tool"), .content = CONST_STR(""), .extra = CONST_STR("\"tool_call_id\":\"c1\",\"name\":\"clock\"")},
	};
	struct llm_request in = sample_request();
	struct arena arena = {0};
	struct http_post post;

	(void)state;
	in.messages = messages;
	in.n_messages = N_ELEMENTS(messages);
	in.max_tokens = 9;
	in.limits_completion = true;
	in.extra = STR("\"seed\":7,\"stop\":null");
	json_free(ask(&in, &arena, &post));
	assert_str(buf_str(&post.body),
		   STR("{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c1\"}]},"
		       "{\"role\":\"tool\",\"content\":\"\",\"tool_call_id\":\"c1\",\"name\":\"clock\"}],\"stream\":true,"
		       "\"stream_options\":{\"include_usage\":true},\"max_completion_tokens\":9,\"seed\":7,\"stop\":null}"));
	buf_fini(&post.body);
	arena_fini(&arena);
}

static void sends_a_temperature_of_zero_and_a_token_limit(void **state)
{
	struct llm_request in = sample_request();
	struct arena arena = {0};
	struct http_post post;
	struct json_complaint complaint;
	struct json *body;
	double temperature = -1;

	(void)state;
	in.has_temperature = true;
	in.temperature = 0;
	in.max_tokens = 4096;
	body = ask(&in, &arena, &post);
	assert_true(json_read_number(body, "temperature", true, 0, 2, &temperature, &complaint));
	assert_true(temperature == 0.0);
	assert_int_equal(json_as_int(json_get(body, "max_tokens"), 0), 4096);
	json_free(body);
	buf_fini(&post.body);
	in.temperature = 0.7;
	body = ask(&in, &arena, &post);
	assert_true(json_read_number(body, "temperature", true, 0, 2, &temperature, &complaint));
	assert_true(temperature == 0.7);
	json_free(body);
	buf_fini(&post.body);
	arena_fini(&arena);
}

/* What was emitted, as text: t:…; for text, r:…; reasoning, o:…; tools, u:p,c,t; usage, f:…; finish. */
static void take(void *arg, const struct llm_event *event)
{
	static const char letters[] = {[LLM_TEXT] = 't', [LLM_REASONING] = 'r', [LLM_TOOL] = 'o', [LLM_USAGE] = 'u', [LLM_FINISH] = 'f'};
	struct buf *b = arg;

	buf_add_char(b, letters[event->type]);
	buf_add_char(b, ':');
	if (event->type == LLM_USAGE)
		buf_printf(b, "%lld,%lld,%lld", (long long)event->usage.prompt_tokens, (long long)event->usage.completion_tokens,
			   (long long)event->usage.total_tokens);
	else
		buf_add_str(b, event->text);
	buf_add_char(b, ';');
}

static void check(struct str event, struct str data, enum provider_result result, struct str expected)
{
	const struct provider *both[] = {&provider_openai, &provider_custom};

	for (size_t i = 0; i < 2; i++) {
		char *copy = malloc(data.len ? data.len : 1); /* exactly as long */
		struct llm_said said = {.task = ""};
		struct buf b = {0};

		if (data.len)
			memcpy(copy, data.p, data.len);
		assert_int_equal(both[i]->on_event(&said, event, (struct str){copy, data.len}, (struct llm_sink){take, &b}), result);
		assert_str(buf_str(&b), expected);
		buf_fini(&b);
		free(copy);
	}
}
#define CHECK(data, result, expected) check(STR(""), STR(data), result, STR(expected))

static void reads_text(void **state)
{
	(void)state;
	CHECK("{\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}", PROVIDER_MORE,
	      "");
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}", PROVIDER_MORE, "t:Hello;");
	CHECK("{\"choices\":[{\"delta\":{\"content\":\" \\n\\\"\\u4e2d\\ud83d\\ude00\\/\"}}]}", PROVIDER_MORE,
	      "t: \n\"\xE4\xB8\xAD\xF0\x9F\x98\x80/;");
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"\xE4\xB8\xAD\"}}]}", PROVIDER_MORE, "t:\xE4\xB8\xAD;");
	CHECK("{\"choices\":[{\"delta\":{\"content\":null}}]}", PROVIDER_MORE, "");
	CHECK("  {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}  ", PROVIDER_MORE, "t:x;");
}

static void reads_reasoning_of_both_names(void **state)
{
	(void)state;
	CHECK("{\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\",\"content\":null}}]}", PROVIDER_MORE, "r:hm;");
	CHECK("{\"choices\":[{\"delta\":{\"reasoning\":\"hm\",\"content\":\"\"}}]}", PROVIDER_MORE, "r:hm;");
	CHECK("{\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\",\"content\":\"so\"}}]}", PROVIDER_MORE, "r:hm;t:so;");
}

static void reads_tool_calls_as_json(void **state)
{
	(void)state;
	CHECK("{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"{"
	      "\\\"a\\\"\"}}]}}]}",
	      PROVIDER_MORE, "o:[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\"\"}}];");
	/* on one line, as events need it */
	CHECK("{\"choices\":[{\"delta\":{\"tool_calls\":[ {\n\"id\" : \"a b\\n\" ,\r\n\t\"n\": [ 1 ] } ]}}]}", PROVIDER_MORE,
	      "o:[{\"id\":\"a b\\n\",\"n\":[1]}];");
	CHECK("{\"choices\":[{\"delta\":{\"tool_calls\":[ ]}}]}", PROVIDER_MORE, "");
	CHECK("{\"choices\":[{\"delta\":{\"tool_calls\":[]}}]}", PROVIDER_MORE, "");
	CHECK("{\"choices\":[{\"delta\":{\"tool_calls\":null}}]}", PROVIDER_MORE, "");
	CHECK("{\"choices\":[{\"delta\":{\"tool_calls\":{}}}]}", PROVIDER_MORE, "");
}

static void reads_usage_whatever_the_choices_are(void **state)
{
	(void)state;
	CHECK("{\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}", PROVIDER_MORE, "u:3,4,7;");
	CHECK("{\"choices\":null,\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}", PROVIDER_MORE, "u:3,4,7;");
	CHECK("{\"usage\":{\"prompt_tokens\":3}}", PROVIDER_MORE, "u:3,0,3;");
	CHECK("{\"choices\":[],\"usage\":null}", PROVIDER_MORE, "");
	CHECK("{\"choices\":[],\"usage\":[]}", PROVIDER_MORE, "");
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}",
	      PROVIDER_MORE, "t:x;u:1,2,3;");
}

static void believes_no_absurd_usage(void **state)
{
	(void)state;
	CHECK("{\"usage\":{\"prompt_tokens\":-5,\"completion_tokens\":4}}", PROVIDER_MORE, "u:0,4,4;");
	CHECK("{\"usage\":{\"prompt_tokens\":9223372036854775807,\"completion_tokens\":9223372036854775807}}", PROVIDER_MORE,
	      "u:2147483647,2147483647,2147483647;");
	CHECK("{\"usage\":{\"prompt_tokens\":1e3,\"completion_tokens\":99999999999999999999,\"total_tokens\":1}}", PROVIDER_MORE,
	      "u:0,2147483647,1;");
}

static void reads_why_the_model_stopped(void **state)
{
	(void)state;
	CHECK("{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}", PROVIDER_MORE, "f:stop;");
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"end\"},\"finish_reason\":\"length\"}]}", PROVIDER_MORE, "t:end;f:length;");
	CHECK("{\"choices\":[{\"finish_reason\":\"stop\"}]}", PROVIDER_MORE, "f:stop;");
	CHECK("{\"choices\":[{\"delta\":null,\"finish_reason\":\"tool_calls\"}]}", PROVIDER_MORE, "f:tool_calls;");
}

/* Of members with one name the last counts, with all that is in it; names are compared by what they mean. */
static void reads_odd_but_correct_chunks(void **state)
{
	(void)state;
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"x\",\"content\":\"y\"}}]}", PROVIDER_MORE, "t:y;");
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"x\"},\"delta\":null}]}", PROVIDER_MORE, "");
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"choices\":[{\"finish_reason\":\"stop\"}]}", PROVIDER_MORE, "f:stop;");
	CHECK("{\"choices\":[{\"delta\":{\"cont\\u0065nt\":\"x\"}}]}", PROVIDER_MORE, "t:x;");
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"x\"}},{\"delta\":{\"content\":\"second\"}}]}", PROVIDER_MORE, "t:x;");
	CHECK("{\"error\":\"no\",\"error\":null,\"choices\":[{\"delta\":{\"content\":\"x\"}}]}", PROVIDER_MORE, "t:x;");
	CHECK("{\n\"choices\" :\t[ {\"delta\": {\"content\" :\r\n\"x\"} } ]\n}", PROVIDER_MORE, "t:x;");
}

static void knows_the_end_mark(void **state)
{
	(void)state;
	CHECK("[DONE]", PROVIDER_ENDED, "");
	CHECK(" [DONE] ", PROVIDER_ENDED, "");
	CHECK("[DONE", PROVIDER_GARBLED, "");
	CHECK("DONE", PROVIDER_GARBLED, "");
}

static void fails_on_an_error_frame(void **state)
{
	(void)state;
	CHECK("{\"error\":{\"message\":\"no\",\"type\":\"server_error\"}}", PROVIDER_FAILED, "");
	CHECK("{\"error\":\"no\"}", PROVIDER_FAILED, "");
	CHECK("{\"error\":{\"message\":\"no\"},\"choices\":[{\"delta\":{\"content\":\"x\"}}]}", PROVIDER_FAILED, "");
	CHECK("{\"error\":null,\"choices\":[{\"delta\":{\"content\":\"x\"}}]}", PROVIDER_MORE, "t:x;");
	check(STR("error"), STR("{\"message\":\"no\"}"), PROVIDER_FAILED, STR(""));
	check(STR("error"), STR("overloaded"), PROVIDER_FAILED, STR(""));
}

static void fails_on_what_is_not_json(void **state)
{
	(void)state;
	CHECK("", PROVIDER_GARBLED, "");
	CHECK("hello", PROVIDER_GARBLED, "");
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"x\"}}]", PROVIDER_GARBLED, "");
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"x\"}}]}}", PROVIDER_GARBLED, "");
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"\xFF\"}}]}", PROVIDER_GARBLED, "");
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"\xED\xA0\x80\"}}]}", PROVIDER_GARBLED, "");
	CHECK("[]", PROVIDER_GARBLED, "");
	CHECK("7", PROVIDER_GARBLED, "");
	CHECK("null", PROVIDER_GARBLED, "");
	CHECK("\"text\"", PROVIDER_GARBLED, "");
	CHECK("<html>", PROVIDER_GARBLED, "");
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"\xC3(\"}}]}", PROVIDER_GARBLED, "");
	CHECK("{\"\xC3\":\"x\"}", PROVIDER_GARBLED, "");
}

static void survives_members_of_the_wrong_type(void **state)
{
	(void)state;
	CHECK("{}", PROVIDER_MORE, "");
	CHECK("{\"choices\":{}}", PROVIDER_MORE, "");
	CHECK("{\"choices\":\"x\"}", PROVIDER_MORE, "");
	CHECK("{\"choices\":7}", PROVIDER_MORE, "");
	CHECK("{\"choices\":[null]}", PROVIDER_MORE, "");
	CHECK("{\"choices\":[[]]}", PROVIDER_MORE, "");
	CHECK("{\"choices\":[{\"delta\":[]}]}", PROVIDER_MORE, "");
	CHECK("{\"choices\":[{\"delta\":{\"content\":7}}]}", PROVIDER_MORE, "");
	CHECK("{\"choices\":[{\"delta\":{\"content\":[\"x\"]},\"finish_reason\":7}]}", PROVIDER_MORE, "");
	CHECK("{\"usage\":{\"prompt_tokens\":\"many\",\"completion_tokens\":null,\"total_tokens\":1.5}}", PROVIDER_MORE, "u:0,0,0;");
}

/* PostgreSQL has no NUL, but whoever stores the text deals with it; here it must only not end the text. */
static void keeps_what_follows_an_escaped_nul(void **state)
{
	static const char expected[] = "t:a\0b;";

	(void)state;
	check(STR(""), STR("{\"choices\":[{\"delta\":{\"content\":\"a\\u0000b\"}}]}"), PROVIDER_MORE,
	      (struct str){expected, sizeof(expected) - 1});
}

/* JSON may escape half of a surrogate pair (RFC 8259, 8.2), UTF-8 has no such thing. */
static void replaces_an_escaped_half_of_a_pair(void **state)
{
	(void)state;
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"a\\ud83dz\"}}]}", PROVIDER_MORE, "t:a\xEF\xBF\xBDz;");
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"a\\ude00z\"}}]}", PROVIDER_MORE, "t:a\xEF\xBF\xBDz;");
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"a\\ud83d\"}}]}", PROVIDER_MORE, "t:a\xEF\xBF\xBD;");
	CHECK("{\"choices\":[{\"delta\":{\"content\":\"\\ud83d\\ud83d\\ude00\"}}]}", PROVIDER_MORE, "t:\xEF\xBF\xBD\xF0\x9F\x98\x80;");
}

static void finds_providers_by_name(void **state)
{
	(void)state;
	assert_ptr_equal(provider_named(STR("openai")), &provider_openai);
	assert_ptr_equal(provider_named(STR("custom")), &provider_custom);
	assert_null(provider_named(STR("")));
	assert_null(provider_named((struct str){NULL, 0}));
	assert_null(provider_named(STR("OpenAI")));
	assert_null(provider_named(STR("openai2")));
	assert_null(provider_named((struct str){"openai", 5}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_for_a_stream_with_usage),
		cmocka_unit_test(sends_no_authorization_without_a_key),
		cmocka_unit_test(puts_the_system_prompt_first_and_escapes_everything),
		cmocka_unit_test(puts_further_members_behind_its_own),
		cmocka_unit_test(sends_a_temperature_of_zero_and_a_token_limit),
		cmocka_unit_test(reads_text),
		cmocka_unit_test(reads_reasoning_of_both_names),
		cmocka_unit_test(reads_tool_calls_as_json),
		cmocka_unit_test(reads_usage_whatever_the_choices_are),
		cmocka_unit_test(believes_no_absurd_usage),
		cmocka_unit_test(reads_why_the_model_stopped),
		cmocka_unit_test(reads_odd_but_correct_chunks),
		cmocka_unit_test(knows_the_end_mark),
		cmocka_unit_test(fails_on_an_error_frame),
		cmocka_unit_test(fails_on_what_is_not_json),
		cmocka_unit_test(survives_members_of_the_wrong_type),
		cmocka_unit_test(keeps_what_follows_an_escaped_nul),
		cmocka_unit_test(replaces_an_escaped_half_of_a_pair),
		cmocka_unit_test(finds_providers_by_name),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
