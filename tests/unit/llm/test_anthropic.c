/* The dialect of Anthropic's messages. The transcripts are written after its public documentation, whose sections are named. */
#include "tests/unit/llm/transcript.h"

#define EVENT(name, data) "event: " name "\ndata: {\"type\":\"" name "\"" data "}\n\n"
#define START(usage)                                                                                                                       \
	EVENT("message_start",                                                                                                             \
	      ",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"m\","                 \
	      "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{" usage "}}")
#define BLOCK(i, block) EVENT("content_block_start", ",\"index\":" i ",\"content_block\":{" block "}")
#define DELTA(i, delta) EVENT("content_block_delta", ",\"index\":" i ",\"delta\":{" delta "}")
#define STOPPED(i)      EVENT("content_block_stop", ",\"index\":" i)
#define END(reason, usage)                                                                                                                 \
	EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"" reason "\",\"stop_sequence\":null},\"usage\":{" usage "}")
#define STOP       EVENT("message_stop", "")
#define PING       EVENT("ping", "")
#define TEXT_BLOCK "\"type\":\"text\",\"text\":\"\""

static struct llm_request sample_request(void)
{
	static const struct llm_message hello = {.role = CONST_STR("user"), .content = CONST_STR("hello")};

	return (struct llm_request){
		.provider = &provider_anthropic,
		.endpoint = "http://127.0.0.1:1/v1/messages",
		.api_key = "sk-ant",
		.model = "m",
		.messages = &hello,
		.n_messages = 1,
		.log = &transcript_log,
		.timeouts = {.connect_ms = 1234},
	};
}

/* Messages API: headers; max_tokens is required. */
static void asks_with_its_own_headers_and_a_token_limit(void **state)
{
	struct llm_request in = sample_request();
	struct arena arena = {0};
	struct http_post post;

	(void)state;
	json_free(transcript_ask(&in, &arena, &post));
	assert_string_equal(post.url, in.endpoint);
	assert_string_equal(transcript_header(&post, "x-api-key"), "sk-ant");
	assert_string_equal(transcript_header(&post, "anthropic-version"), "2023-06-01");
	assert_string_equal(transcript_header(&post, "X-Request-Id"), "0198-abc");
	assert_null(transcript_header(&post, "Authorization"));
	assert_text(buf_str(&post.body), "{\"model\":\"m\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}],"
					 "\"stream\":true}");
	buf_fini(&post.body);
	in.api_key = NULL;
	json_free(transcript_ask(&in, &arena, &post));
	assert_null(transcript_header(&post, "x-api-key"));
	buf_fini(&post.body);
	arena_fini(&arena);
}

/* Messages API: temperature ranges from 0 to 1. */
static void sends_a_temperature_of_zero_and_none_above_one(void **state)
{
	struct llm_request in = sample_request();

	(void)state;
	in.has_temperature = true;
	in.max_tokens = 7;
	transcript_check_body(&in,
			      "{\"model\":\"m\",\"max_tokens\":7,\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}],\"stream\":true,"
			      "\"temperature\":0}");
	in.temperature = 1.7;
	transcript_check_body(&in,
			      "{\"model\":\"m\",\"max_tokens\":7,\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}],\"stream\":true,"
			      "\"temperature\":1}");
}

/* Messages API: there is no role system, the first message is the user's, no text may be empty. */
static void puts_the_system_prompt_apart_and_begins_with_the_user(void **state)
{
	static const struct llm_message messages[] = {
		{.role = CONST_STR("assistant"), .content = CONST_STR("cut off from its question")},
		{.role = CONST_STR("user"), .content = CONST_STR("one")},
		{.role = CONST_STR("assistant"), .content = CONST_STR("")},
		{.role = CONST_STR("system"), .content = CONST_STR("And \"polite\".")},
		{.role = CONST_STR("assistant"), .content = CONST_STR("two")},
		{.role = CONST_STR("user"), .content = CONST_STR("three")},
	};
	struct llm_request in = sample_request();

	(void)state;
	in.system_prompt = STR("Be brief.");
	in.messages = messages;
	in.n_messages = N_ELEMENTS(messages);
	transcript_check_body(&in, "{\"model\":\"m\",\"max_tokens\":4096,\"system\":\"Be brief.\\n\\nAnd \\\"polite\\\".\",\"messages\":["
				   "{\"role\":\"user\",\"content\":\"one\"},{\"role\":\"assistant\",\"content\":\"two\"},"
				   "{\"role\":\"user\",\"content\":\"three\"}],\"stream\":true}");
}

/* There are two roles; calls of tools and other members in OpenAI's words are none of its. */
static void says_openais_roles_in_its_own(void **state)
{
	static const struct llm_message messages[] = {
		{.role = CONST_STR("developer"), .content = CONST_STR("Be brief.")},
		{.role = CONST_STR("user"), .content = CONST_STR("one"), .extra = CONST_STR("\"name\":\"Anna\"")},
		{.role = CONST_STR("assistant"), .no_content = true, .extra = CONST_STR("\"tool_calls\":[]")},
		{.role = CONST_STR("tool"), .content = CONST_STR("sunny"), .extra = CONST_STR("\"tool_call_id\":\"c1\"")},
		{.role = CONST_STR("tool"), .parts = CONST_STR("[{\"type\":\"text\",\"text\":\"rainy\"}]")},
	};
	struct llm_request in = sample_request();

	(void)state;
	in.messages = messages;
	in.n_messages = N_ELEMENTS(messages);
	in.extra = STR("\"seed\":7");
	transcript_check_body(&in, "{\"model\":\"m\",\"max_tokens\":4096,\"system\":\"Be brief.\",\"messages\":["
				   "{\"role\":\"user\",\"content\":\"one\"},{\"role\":\"user\",\"content\":\"sunny\"},"
				   "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"rainy\"}]}],\"stream\":true}");
}

/* Vision: images by address, or as base64. */
static void puts_images_in_its_own_form(void **state)
{
	static const struct llm_message messages[] = {
		{.role = CONST_STR("user"),
		 .parts = CONST_STR("[{\"type\":\"text\",\"text\":\"look\"},{\"type\":\"text\",\"text\":\"\"},"
				    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/a.png\",\"detail\":\"low\"}},"
				    "{\"type\":\"image_url\",\"image_url\":\"data:image/png;base64,aGk=\"},"
				    "{\"type\":\"document\",\"source\":{\"type\":\"url\",\"url\":\"https://x/a.pdf\"}}]")},
	};
	struct llm_request in = sample_request();

	(void)state;
	in.messages = messages;
	transcript_check_parts(&provider_anthropic, messages[0].parts, NULL);
	transcript_check_body(&in, "{\"model\":\"m\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":["
				   "{\"type\":\"text\",\"text\":\"look\"},"
				   "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x/a.png\"}},"
				   "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"aGk=\"}},"
				   "{\"type\":\"document\",\"source\":{\"type\":\"url\",\"url\":\"https://x/a.pdf\"}}]}],\"stream\":true}");
}

static void takes_no_parts_that_it_has_no_form_for(void **state)
{
	(void)state;
	transcript_check_parts(&provider_anthropic, STR("[{\"type\":\"input_audio\",\"input_audio\":{}}]"),
			       "takes no parts of the type \"input_audio\"");
	transcript_check_parts(&provider_anthropic, STR("[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"file\"}]"),
			       "takes no parts of the type \"file\"");
	transcript_check_parts(&provider_anthropic, STR("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"file:///etc/passwd\"}}]"),
			       "takes no parts of the type \"image_url\"");
	transcript_check_parts(&provider_anthropic, STR("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png,hi\"}}]"),
			       "takes no parts of the type \"image_url\"");
	transcript_check_parts(&provider_anthropic, STR("[{\"type\":\"image\",\"source\":\"x\"}]"), "takes no parts of the type \"image\"");
}

/* Streaming messages: basic streaming request; event types; ping events. */
static void reads_text_and_usage_of_both_ends(void **state)
{
	(void)state;
	transcript_check(&provider_anthropic,
			 STR(START("\"input_tokens\":25,\"output_tokens\":1") PING BLOCK("0", TEXT_BLOCK)
				     DELTA("0", "\"type\":\"text_delta\",\"text\":\"Hello \xE4\xB8\xAD\"")
					     PING DELTA("0", "\"type\":\"text_delta\",\"text\":\"\\ud83d\\ude00\\n\"") STOPPED("0")
						     END("end_turn", "\"output_tokens\":15") STOP),
			 PROVIDER_ENDED, "t:Hello \xE4\xB8\xAD;t:\xF0\x9F\x98\x80\n;f:stop;u:25,15,40;", NULL);
}

/* Prompt caching: what was read from the cache or written to it is input beside input_tokens. */
static void counts_what_came_from_the_cache_as_input(void **state)
{
	(void)state;
	transcript_check(
		&provider_anthropic,
		STR(START("\"input_tokens\":5,\"cache_creation_input_tokens\":10,\"cache_read_input_tokens\":100,\"output_tokens\":1")
			    END("end_turn", "\"output_tokens\":3") STOP),
		PROVIDER_ENDED, "f:stop;u:115,3,118;", NULL);
	transcript_check(&provider_anthropic, STR(START("") END("end_turn", "\"input_tokens\":9,\"output_tokens\":3") STOP), PROVIDER_ENDED,
			 "f:stop;u:9,3,12;", NULL);
	transcript_check(&provider_anthropic, STR(START("\"input_tokens\":-4") END("end_turn", "\"output_tokens\":99999999999") STOP),
			 PROVIDER_ENDED, "f:stop;u:0,2147483647,2147483647;", NULL);
}

/* Streaming messages: extended thinking; a signature comes before the block's end. */
static void reads_thinking(void **state)
{
	(void)state;
	transcript_check(&provider_anthropic,
			 STR(START("\"input_tokens\":1") BLOCK("0", "\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"")
				     DELTA("0", "\"type\":\"thinking_delta\",\"thinking\":\"27 * 453\"")
					     DELTA("0", "\"type\":\"signature_delta\",\"signature\":\"EqQB\"") STOPPED("0")
						     BLOCK("1", "\"type\":\"redacted_thinking\",\"data\":\"xx\"") STOPPED("1")
							     BLOCK("2", TEXT_BLOCK) DELTA("2", "\"type\":\"text_delta\",\"text\":\"12231\"")
								     STOPPED("2") END("end_turn", "") STOP),
			 PROVIDER_ENDED, "r:27 * 453;t:12231;f:stop;", NULL);
}

/* Streaming messages: tool use; input_json_delta. */
static void tells_tool_calls_as_openai_does(void **state)
{
	(void)state;
	transcript_check(
		&provider_anthropic,
		STR(START("\"input_tokens\":1") BLOCK("0", TEXT_BLOCK) DELTA("0", "\"type\":\"text_delta\",\"text\":\"Let me\"")
			    STOPPED("0") BLOCK("1", "\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"get_weather\",\"input\":{}") DELTA(
				    "1", "\"type\":\"input_json_delta\",\"partial_json\":\"\"")
				    DELTA("1", "\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"city\\\":\"") DELTA(
					    "1", "\"type\":\"input_json_delta\",\"partial_json\":\" \\\"Paris\\\"}\"") STOPPED("1")
					    BLOCK("2", "\"type\":\"tool_use\",\"id\":\"toolu_2\",\"name\":\"f\",\"input\":{\"a\":\"b\"}")
						    STOPPED("2") END("tool_use", "\"output_tokens\":9") STOP),
		PROVIDER_ENDED,
		"t:Let me;"
		"o:[{\"index\":0,\"id\":\"toolu_1\",\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"arguments\":\"\"}}];"
		"o:[{\"index\":0,\"function\":{\"arguments\":\"{\\\"city\\\":\"}}];"
		"o:[{\"index\":0,\"function\":{\"arguments\":\" \\\"Paris\\\"}\"}}];"
		"o:[{\"index\":1,\"id\":\"toolu_2\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":"
		"\\\"b\\\"}\"}}];"
		"f:tool_calls;u:1,9,10;",
		NULL);
}

/* Server tools: what a tool of the provider's own is asked for is no call for the client. */
static void passes_over_the_providers_own_tools(void **state)
{
	(void)state;
	transcript_check(&provider_anthropic,
			 STR(BLOCK("0", "\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"web_search\",\"input\":{}")
				     DELTA("0", "\"type\":\"input_json_delta\",\"partial_json\":\"{}\"") STOPPED("0")
					     BLOCK("1", "\"type\":\"web_search_tool_result\",\"content\":[]") STOPPED("1") STOP),
			 PROVIDER_ENDED, "", NULL);
}

/* Handling stop reasons. */
static void maps_stop_reasons(void **state)
{
	(void)state;
	transcript_check(&provider_anthropic, STR(END("max_tokens", "")), PROVIDER_MORE, "f:length;", NULL);
	transcript_check(&provider_anthropic, STR(END("model_context_window_exceeded", "")), PROVIDER_MORE, "f:length;", NULL);
	transcript_check(&provider_anthropic, STR(END("stop_sequence", "")), PROVIDER_MORE, "f:stop;", NULL);
	transcript_check(&provider_anthropic, STR(END("pause_turn", "")), PROVIDER_MORE, "f:stop;", NULL);
	transcript_check(&provider_anthropic, STR(END("refusal", "")), PROVIDER_MORE, "f:content_filter;", NULL);
	transcript_check(&provider_anthropic, STR(END("new_reason", "")), PROVIDER_MORE, "f:new_reason;", NULL);
}

/* Streaming messages: error events; Errors: which HTTP status each type has. */
static void fails_with_the_status_of_an_error(void **state)
{
	static const struct {
		struct str event;
		int status;
	} samples[] = {
		{CONST_STR(EVENT("error", ",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}")), 529},
		{CONST_STR(EVENT("error", ",\"error\":{\"type\":\"rate_limit_error\"}")), 429},
		{CONST_STR(EVENT("error", ",\"error\":{\"type\":\"authentication_error\"}")), 401},
		{CONST_STR(EVENT("error", ",\"error\":{\"type\":\"timeout_error\"}")), 504},
		{CONST_STR(EVENT("error", ",\"error\":{\"type\":\"api_error\"}")), 500},
		{CONST_STR(EVENT("error", "")), 500},
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		struct llm_said said;

		transcript_check(&provider_anthropic, samples[i].event, PROVIDER_FAILED, "", &said);
		assert_int_equal(said.error_status, samples[i].status);
	}
}

/* Versioning: new types of events and of deltas may come at any time. */
static void passes_over_what_it_does_not_know(void **state)
{
	(void)state;
	transcript_check(&provider_anthropic,
			 STR(EVENT("new_event", ",\"x\":[1]") BLOCK("0", "\"type\":\"new_block\"")
				     DELTA("0", "\"type\":\"citations_delta\",\"citation\":{}")
					     EVENT("message_delta", ",\"delta\":{\"stop_reason\":null}") "data: {}\n\n"),
			 PROVIDER_MORE, "", NULL);
}

static void fails_on_what_is_not_json(void **state)
{
	(void)state;
	transcript_check(&provider_anthropic, STR("event: ping\ndata: {\"type\":\n\n"), PROVIDER_GARBLED, "", NULL);
	transcript_check(&provider_anthropic, STR("data: [DONE]\n\n"), PROVIDER_GARBLED, "", NULL);
	transcript_check(&provider_anthropic, STR(DELTA("0", "\"type\":\"text_delta\",\"text\":\"\xFF\"")), PROVIDER_GARBLED, "", NULL);
}

static void survives_members_of_the_wrong_type(void **state)
{
	(void)state;
	transcript_check(&provider_anthropic,
			 STR("data: {\"type\":7}\n\n" EVENT("message_start", ",\"message\":7")
				     EVENT("content_block_start", ",\"content_block\":[]")
					     DELTA("0", "\"text\":7,\"thinking\":null,\"partial_json\":\"x\"")
						     EVENT("message_delta", ",\"delta\":7,\"usage\":\"x\"")),
			 PROVIDER_MORE, "", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_with_its_own_headers_and_a_token_limit),
		cmocka_unit_test(sends_a_temperature_of_zero_and_none_above_one),
		cmocka_unit_test(puts_the_system_prompt_apart_and_begins_with_the_user),
		cmocka_unit_test(says_openais_roles_in_its_own),
		cmocka_unit_test(puts_images_in_its_own_form),
		cmocka_unit_test(takes_no_parts_that_it_has_no_form_for),
		cmocka_unit_test(reads_text_and_usage_of_both_ends),
		cmocka_unit_test(counts_what_came_from_the_cache_as_input),
		cmocka_unit_test(reads_thinking),
		cmocka_unit_test(tells_tool_calls_as_openai_does),
		cmocka_unit_test(passes_over_the_providers_own_tools),
		cmocka_unit_test(maps_stop_reasons),
		cmocka_unit_test(fails_with_the_status_of_an_error),
		cmocka_unit_test(passes_over_what_it_does_not_know),
		cmocka_unit_test(fails_on_what_is_not_json),
		cmocka_unit_test(survives_members_of_the_wrong_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
