/* The dialect of FastGPT's chats. The transcripts are written after its public OpenAPI documentation, whose sections are named. */
#include "tests/unit/llm/transcript.h"

#define EVENT(name, data) "event: " name "\ndata: " data "\n\n"
#define CHUNK(delta, finish)                                                                                                               \
	"{\"id\":\"\",\"object\":\"\",\"created\":0,\"choices\":[{\"delta\":{" delta "},\"index\":0,\"finish_reason\":" finish "}]}"
#define ANSWER(text) EVENT("answer", CHUNK("\"role\":\"assistant\",\"content\":\"" text "\"", "null"))
#define FINISH       EVENT("answer", CHUNK("", "\"stop\""))
#define DONE         EVENT("answer", "[DONE]")

static const struct llm_message talk[] = {
	{.role = CONST_STR("user"), .content = CONST_STR("one")},
	{.role = CONST_STR("assistant"), .content = CONST_STR("two")},
	{.role = CONST_STR("user"), .parts = CONST_STR("[{\"type\":\"text\",\"text\":\"three\"}]")},
};

static struct llm_request sample_request(void)
{
	return (struct llm_request){
		.provider = &provider_fastgpt,
		.endpoint = "http://127.0.0.1:1/api/v1/chat/completions",
		.api_key = "fastgpt-1",
		.model = "m",
		.answer_id = STR("a-1"),
		.new_conversation = STR("c-1"),
		.system_prompt = STR("Be brief."),
		.messages = talk,
		.n_messages = N_ELEMENTS(talk),
		.log = &transcript_log,
	};
}

/* Start a chat: request; chatId. */
static void asks_with_all_messages_while_the_chat_is_new(void **state)
{
	struct llm_request in = sample_request();
	struct arena arena = {0};
	struct http_post post;

	(void)state;
	json_free(transcript_ask(&in, &arena, &post));
	assert_string_equal(transcript_header(&post, "Authorization"), "Bearer fastgpt-1");
	assert_text(
		buf_str(&post.body),
		"{\"chatId\":\"c-1\",\"stream\":true,\"detail\":true,\"responseChatItemId\":\"a-1\",\"messages\":["
		"{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"one\"},"
		"{\"role\":\"assistant\",\"content\":\"two\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"three\"}]}]}");
	buf_fini(&post.body);
	arena_fini(&arena);
}

/* Start a chat: with a chatId that has a history, the earlier messages are FastGPT's own. */
static void asks_with_the_last_message_once_the_chat_is_known(void **state)
{
	struct llm_request in = sample_request();

	(void)state;
	in.conversation = STR("known");
	in.system_prompt = STR("");
	in.variables = STR("{\"uid\":\"x\"}");
	transcript_check_body(
		&in, "{\"chatId\":\"known\",\"stream\":true,\"detail\":true,\"responseChatItemId\":\"a-1\",\"variables\":{\"uid\":\"x\"},"
		     "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"three\"}]}]}");
}

/* Start a chat: images and files in a request. */
static void takes_images_and_files(void **state)
{
	(void)state;
	transcript_check_parts(
		&provider_fastgpt,
		STR("[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/a.png\"}},"
		    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,aGk=\"}},"
		    "{\"type\":\"file_url\",\"name\":\"b\",\"url\":\"https://x/b.md\"}]"),
		NULL);
	transcript_check_parts(&provider_fastgpt, STR("[{\"type\":\"input_audio\"}]"), "takes no parts of the type \"input_audio\"");
	transcript_check_parts(&provider_fastgpt, STR("[{\"type\":\"file_url\",\"url\":\"file:///x\"}]"),
			       "takes no parts of the type \"file_url\"");
}

/* Response: detail=true, stream=true. What each node has used follows the end mark. */
static void reads_an_answer_with_its_details(void **state)
{
	struct llm_said said;

	(void)state;
	transcript_check(
		&provider_fastgpt,
		STR(EVENT("flowNodeStatus", "{\"status\":\"running\",\"name\":\"\xE7\x9F\xA5\xE8\xAF\x86\"}") EVENT(
			"flowNodeStatus",
			"{\"status\":\"running\",\"name\":\"AI\"}") EVENT("answer", CHUNK("\"reasoning_content\":\"hm\"",
											  "null")) ANSWER("\\u7535") ANSWER("\xE5\xBD\xB1")
			    EVENT("fastAnswer", CHUNK("\"content\":\"!\"", "null")) EVENT("updateVariables", "{\"a\":1}") FINISH DONE EVENT(
				    "flowResponses",
				    "[{\"moduleName\":\"S\",\"runningTime\":1.78},{\"inputTokens\":100,\"outputTokens\":20,\"tokens\":120},"
				    "{\"inputTokens\":-1,\"outputTokens\":7},{\"inputTokens\":3,\"outputTokens\":0}]")),
		PROVIDER_ENDED,
		"s:{\"type\":\"flowNodeStatus\",\"status\":\"running\",\"moduleName\":\"\xE7\x9F\xA5\xE8\xAF\x86\"};"
		"s:{\"type\":\"flowNodeStatus\",\"status\":\"running\",\"moduleName\":\"AI\"};r:hm;t:\xE7\x94\xB5;t:\xE5\xBD\xB1;t:!;f:"
		"stop;u:103,20,123;",
		&said);
	assert_string_equal(said.conversation, "offered");
}

/* It stores a chat when its workflow has ended: before the end mark it may know nothing of it. */
static void keeps_the_chats_name_only_at_the_end_mark(void **state)
{
	struct llm_said said;

	(void)state;
	transcript_check(&provider_fastgpt, STR(ANSWER("x") FINISH), PROVIDER_MORE, "t:x;f:stop;", &said);
	assert_string_equal(said.conversation, "");
}

/* Response: detail=false, stream=true. */
static void reads_an_answer_without_details(void **state)
{
	(void)state;
	transcript_check(&provider_fastgpt,
			 STR("data: " CHUNK("\"content\":\"x\"", "null") "\n\ndata: " CHUNK("", "\"stop\"") "\n\ndata: [DONE]\n\n"),
			 PROVIDER_ENDED, "t:x;f:stop;", NULL);
}

/* Response: tool calls. */
static void tells_tool_calls_as_openai_does(void **state)
{
	(void)state;
	transcript_check(
		&provider_fastgpt,
		STR(EVENT("toolParams", "{\"tool\":{\"params\":\"lost\"}}")
			    EVENT("toolCall", "{\"tool\":{\"id\":\"call_1\",\"toolName\":\"Weather\",\"toolAvatar\":\"\",\"functionName\":"
					      "\"fn\",\"params\":\"\",\"response\":\"\"}}")
				    EVENT("toolParams",
					  "{\"tool\":{\"id\":\"call_1\",\"toolName\":\"\",\"params\":\"{\\\"a\\\"\",\"response\":\"\"}}")
					    EVENT("toolParams", "{\"tool\":{\"id\":\"call_1\",\"params\":\":1}\"}}") EVENT(
						    "toolResponse",
						    "{\"tool\":{\"id\":\"call_1\",\"toolName\":\"\",\"params\":\"\",\"response\":\"r\"}}")
						    EVENT("toolCall", "{\"tool\":{\"id\":\"call_2\",\"toolName\":\"T\"}}")),
		PROVIDER_MORE,
		"o:[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"fn\",\"arguments\":\"\"}}];"
		"o:[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\"\"}}];o:[{\"index\":0,\"function\":{\"arguments\":\":1}\"}}];"
		"s:{\"type\":\"progress\",\"status\":\"finished\"};"
		"o:[{\"index\":1,\"id\":\"call_2\",\"type\":\"function\",\"function\":{\"name\":\"T\",\"arguments\":\"\"}}];",
		NULL);
}

/* Response: interactive nodes. */
static void tells_what_a_workflow_asks(void **state)
{
	(void)state;
	transcript_check(
		&provider_fastgpt,
		STR(EVENT("interactive", "{\"interactive\": {\"type\":\"userSelect\", \"params\":{\"description\":\"\xE6\xB5\x8B\"}}}")
			    EVENT("interactive", "{\"type\":\"x\"}")),
		PROVIDER_MORE, "i:{\"type\":\"userSelect\",\"params\":{\"description\":\"\xE6\xB5\x8B\"}};i:{\"type\":\"x\"};", NULL);
}

/* Error codes: those of its own from 510 on are about keys and rights. */
static void fails_on_an_error_event(void **state)
{
	static const struct {
		struct str event;
		int status;
	} samples[] = {
		{CONST_STR(EVENT("error", "{\"message\":\"no\"}")), 0},
		{CONST_STR(EVENT("error", "{\"code\":514,\"statusText\":\"unAuthApiKey\",\"message\":\"\",\"data\":null}")), 401},
		{CONST_STR(EVENT("error", "{\"code\":429}")), 429},
		{CONST_STR(EVENT("error", "{\"code\":7}")), 0},
		{CONST_STR("data: {\"error\":{\"message\":\"no\"}}\n\n"), 0},
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		struct llm_said said;

		transcript_check(&provider_fastgpt, samples[i].event, PROVIDER_FAILED, "", &said);
		assert_int_equal(said.error_status, samples[i].status);
	}
}

/* The answer is whole at its end mark, whatever is said about it then. */
static void is_not_spoilt_by_what_follows_the_end_mark(void **state)
{
	(void)state;
	transcript_check(&provider_fastgpt, STR(ANSWER("x") FINISH DONE EVENT("flowResponses", "{broken")), PROVIDER_ENDED, "t:x;f:stop;",
			 NULL);
	transcript_check(&provider_fastgpt, STR(ANSWER("x") FINISH DONE EVENT("flowResponses", "{}")), PROVIDER_ENDED, "t:x;f:stop;", NULL);
}

static void fails_on_what_is_not_json_and_survives_wrong_types(void **state)
{
	(void)state;
	transcript_check(&provider_fastgpt, STR(EVENT("answer", "{\"choices\":")), PROVIDER_GARBLED, "", NULL);
	transcript_check(&provider_fastgpt, STR(EVENT("answer", "[]")), PROVIDER_GARBLED, "", NULL);
	transcript_check(&provider_fastgpt, STR(EVENT("toolCall", "x")), PROVIDER_GARBLED, "", NULL);
	transcript_check(&provider_fastgpt, STR(ANSWER("\xFF")), PROVIDER_GARBLED, "", NULL);
	transcript_check(&provider_fastgpt,
			 STR(EVENT("answer", "{\"choices\":7}") EVENT("flowNodeStatus", "{\"status\":7,\"name\":[]}")
				     EVENT("interactive", "[]") EVENT("newEvent", "{}") EVENT("newEvent", "[]")),
			 PROVIDER_MORE, "s:{\"type\":\"flowNodeStatus\",\"status\":\"running\"};", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_with_all_messages_while_the_chat_is_new),
		cmocka_unit_test(asks_with_the_last_message_once_the_chat_is_known),
		cmocka_unit_test(takes_images_and_files),
		cmocka_unit_test(reads_an_answer_with_its_details),
		cmocka_unit_test(keeps_the_chats_name_only_at_the_end_mark),
		cmocka_unit_test(reads_an_answer_without_details),
		cmocka_unit_test(tells_tool_calls_as_openai_does),
		cmocka_unit_test(tells_what_a_workflow_asks),
		cmocka_unit_test(fails_on_an_error_event),
		cmocka_unit_test(is_not_spoilt_by_what_follows_the_end_mark),
		cmocka_unit_test(fails_on_what_is_not_json_and_survives_wrong_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
