/* The dialect of Dify's chat applications. The transcripts are written after its public API reference, whose sections are named. */
#include "tests/unit/llm/transcript.h"

#define IDS               "\"task_id\":\"900bbd43-dc0b-4383-a372-aa6e6c414227\",\"message_id\":\"m-1\",\"conversation_id\":\"45701982-8118-4bc5\""
#define EVENT(name, more) "data: {\"event\": \"" name "\", " IDS more "}\n\n"
#define MESSAGE(answer)   EVENT("message", ",\"id\":\"m-1\",\"answer\":\"" answer "\",\"created_at\":1")
#define END(usage)        EVENT("message_end", ",\"id\":\"m-1\",\"metadata\":{\"usage\":" usage ",\"retriever_resources\":[]}")
#define USAGE             "{\"prompt_tokens\":1033,\"completion_tokens\":135,\"total_tokens\":1168,\"total_price\":\"0.0013\",\"latency\":1.38}"
#define THOUGHT(id, more) EVENT("agent_thought", ",\"id\":\"" id "\",\"position\":1" more)

static const struct llm_message talk[] = {
	{.role = CONST_STR("user"), .content = CONST_STR("one")},
	{.role = CONST_STR("assistant"), .content = CONST_STR("two")},
	{.role = CONST_STR("user"), .content = CONST_STR("\"three\"")},
};

static struct llm_request sample_request(void)
{
	return (struct llm_request){
		.provider = &provider_dify,
		.endpoint = "http://127.0.0.1:1/v1/chat-messages",
		.api_key = "app-1",
		.model = "m",
		.user = STR("u-1"),
		.messages = talk,
		.n_messages = N_ELEMENTS(talk),
		.log = &transcript_log,
	};
}

/* Send Chat Message: request body. The history is Dify's own matter. */
static void asks_with_the_question_alone(void **state)
{
	struct llm_request in = sample_request();
	struct arena arena = {0};
	struct http_post post;

	(void)state;
	json_free(transcript_ask(&in, &arena, &post));
	assert_string_equal(post.url, in.endpoint);
	assert_string_equal(transcript_header(&post, "Authorization"), "Bearer app-1");
	assert_text(buf_str(&post.body), "{\"query\":\"\\\"three\\\"\",\"inputs\":{},\"response_mode\":\"streaming\",\"user\":\"u-1\","
					 "\"auto_generate_name\":false}");
	buf_fini(&post.body);
	arena_fini(&arena);
}

static void names_a_conversation_that_dify_has_begun(void **state)
{
	struct llm_request in = sample_request();

	(void)state;
	in.new_conversation = STR("ours");
	in.conversation = STR("theirs");
	transcript_check_body(&in, "{\"query\":\"\\\"three\\\"\",\"inputs\":{},\"response_mode\":\"streaming\",\"user\":\"u-1\","
				   "\"auto_generate_name\":false,\"conversation_id\":\"theirs\"}");
}

/* The user's variables cannot take the place of the agent's prompt: of members with one name the last counts. */
static void passes_on_variables_and_the_system_prompt(void **state)
{
	struct llm_request in = sample_request();

	(void)state;
	in.variables = STR("{\"city\":\"Paris\",\"system_prompt\":\"mine\"}");
	in.system_prompt = STR("Be brief.");
	transcript_check_body(
		&in,
		"{\"query\":\"\\\"three\\\"\",\"inputs\":{\"city\":\"Paris\",\"system_prompt\":\"mine\",\"system_prompt\":\"Be brief.\"},"
		"\"response_mode\":\"streaming\",\"user\":\"u-1\",\"auto_generate_name\":false}");
	in.variables = STR("{}");
	in.system_prompt = STR("");
	transcript_check_body(&in, "{\"query\":\"\\\"three\\\"\",\"inputs\":{},\"response_mode\":\"streaming\",\"user\":\"u-1\","
				   "\"auto_generate_name\":false}");
}

/* Send Chat Message: files by remote_url, or uploaded before. */
static void puts_files_in_its_own_form(void **state)
{
	static const struct llm_message message = {
		.role = CONST_STR("user"),
		.content = CONST_STR("look"),
		.parts = CONST_STR(
			"[{\"type\":\"text\",\"text\":\"look\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/a.png\"}},"
			"{\"type\":\"file_url\",\"name\":\"b\",\"url\":\"http://x/b.pdf\"},"
			"{\"type\":\"image\",\"transfer_method\":\"local_file\",\"upload_file_id\":\"f\"}]"),
	};
	struct llm_request in = sample_request();

	(void)state;
	in.messages = &message;
	in.n_messages = 1;
	transcript_check_parts(&provider_dify, message.parts, NULL);
	transcript_check_body(
		&in, "{\"query\":\"look\",\"inputs\":{},\"response_mode\":\"streaming\",\"user\":\"u-1\",\"auto_generate_name\":false,"
		     "\"files\":[{\"type\":\"image\",\"transfer_method\":\"remote_url\",\"url\":\"https://x/a.png\"},"
		     "{\"type\":\"document\",\"transfer_method\":\"remote_url\",\"url\":\"http://x/b.pdf\"},"
		     "{\"type\":\"image\",\"transfer_method\":\"local_file\",\"upload_file_id\":\"f\"}]}");
	transcript_check_parts(&provider_dify, STR("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,aGk=\"}}]"),
			       "takes images by their address only");
	transcript_check_parts(&provider_dify, STR("[{\"type\":\"input_audio\"}]"), "takes no parts of the type \"input_audio\"");
}

/* Stop Chat Message Generation. */
static void stops_an_answer_by_its_task(void **state)
{
	const struct llm_stop stop = {
		.endpoint = "http://x/v1/chat-messages", .api_key = "app-1", .request_id = "r", .user = STR("u-1"), .task = "t-1"};
	struct arena arena = {0};
	struct http_post post = {0};

	(void)state;
	assert_true(provider_dify.stop(&stop, &arena, &post));
	assert_string_equal(post.url, "http://x/v1/chat-messages/t-1/stop");
	assert_string_equal(transcript_header(&post, "Authorization"), "Bearer app-1");
	assert_text(buf_str(&post.body), "{\"user\":\"u-1\"}");
	buf_fini(&post.body);
	arena_fini(&arena);
}

/* Send Chat Message: streaming, basic assistant. */
static void reads_text_usage_and_names(void **state)
{
	struct llm_said said;

	(void)state;
	transcript_check(
		&provider_dify,
		STR("event: ping\n\n" MESSAGE(" I") MESSAGE("'m \\u4e2d\xE4\xB8\xAD") "event: ping\n\n" END(USAGE) MESSAGE("never seen")),
		PROVIDER_ENDED, "t: I;t:'m \xE4\xB8\xAD\xE4\xB8\xAD;u:1033,135,1168;f:stop;", &said);
	assert_string_equal(said.conversation, "45701982-8118-4bc5");
	assert_string_equal(said.task, "900bbd43-dc0b-4383-a372-aa6e6c414227");
	transcript_check(&provider_dify, STR(END("null")), PROVIDER_ENDED, "f:stop;", NULL);
	transcript_check(&provider_dify, STR(END("{\"prompt_tokens\":2,\"completion_tokens\":3}")), PROVIDER_ENDED, "u:2,3,5;f:stop;",
			 NULL);
}

/* A name goes into an address: what could mean something else there is not kept. */
static void keeps_no_names_that_are_none(void **state)
{
	struct llm_said said;

	(void)state;
	transcript_check(&provider_dify,
			 STR("data: {\"event\":\"message\",\"task_id\":\"a/../b\",\"conversation_id\":\"\",\"answer\":\"x\"}\n\n"),
			 PROVIDER_MORE, "t:x;", &said);
	assert_string_equal(said.task, "");
	assert_string_equal(said.conversation, "");
	transcript_check(&provider_dify, STR("data: {\"event\":\"message\",\"task_id\":7,\"conversation_id\":\"a\\u002fb\"}\n\n"),
			 PROVIDER_MORE, "", &said);
	assert_string_equal(said.task, "");
	assert_string_equal(said.conversation, "");
}

/* Send Chat Message: streaming, agent assistant. A thought comes again as it grows, and says what was told in pieces. */
static void tells_each_step_of_an_agent_once(void **state)
{
	(void)state;
	transcript_check(
		&provider_dify,
		STR(THOUGHT("t1", ",\"thought\":\"\",\"observation\":\"\",\"tool\":\"\",\"tool_input\":\"\"") THOUGHT(
			"t1", ",\"thought\":\"hm\",\"observation\":\"\",\"tool\":\"dalle3\",\"tool_input\":\"{\\\"a\\\":1}\"")
			    THOUGHT("t1",
				    ",\"thought\":\"hm\",\"observation\":\"done\",\"tool\":\"dalle3\",\"tool_input\":\"{\\\"a\\\":1}\"")
				    EVENT("message_file", ",\"id\":\"f\",\"type\":\"image\",\"url\":\"http://x\"") THOUGHT(
					    "t2", ",\"thought\":\"\",\"observation\":\"\",\"tool\":\"\"")
					    EVENT("agent_message", ",\"answer\":\"It is\"") EVENT("agent_message", ",\"answer\":\" done\"")
						    THOUGHT("t2", ",\"thought\":\"It is done\",\"observation\":\"\",\"tool\":\"\"")
							    END("{}")),
		PROVIDER_ENDED,
		"r:hm;o:[{\"index\":0,\"id\":\"t1\",\"type\":\"function\",\"function\":{\"name\":\"dalle3\",\"arguments\":\"{\\\"a\\\":1}"
		"\"}}];"
		"s:{\"type\":\"progress\",\"status\":\"finished\",\"moduleName\":\"dalle3\"};t:It is;t: done;u:0,0,0;f:stop;",
		NULL);
}

/* New Agent: the turn closes with a message that carries the complete answer. */
static void does_not_tell_an_agents_answer_twice(void **state)
{
	(void)state;
	transcript_check(&provider_dify, STR(EVENT("agent_message", ",\"answer\":\"So\"") MESSAGE("So") END("{}")), PROVIDER_ENDED,
			 "t:So;u:0,0,0;f:stop;", NULL);
}

/* Send Chat Message: message_replace, after moderation of the output. */
static void replaces_what_was_said(void **state)
{
	(void)state;
	transcript_check(&provider_dify, STR(MESSAGE("secret") EVENT("message_replace", ",\"answer\":\"No \\\"x\\\".\"") END("{}")),
			 PROVIDER_ENDED, "t:secret;x:No \"x\".;u:0,0,0;f:stop;", NULL);
	transcript_check(&provider_dify, STR(EVENT("message_replace", ",\"answer\":\"\"")), PROVIDER_MORE, "x:;", NULL);
	transcript_check(&provider_dify, STR(EVENT("message_replace", ",\"answer\":7")), PROVIDER_MORE, "", NULL);
}

/* Chatflow: workflow and node events. */
static void tells_how_far_a_workflow_is(void **state)
{
	(void)state;
	transcript_check(
		&provider_dify,
		STR(EVENT("workflow_started", ",\"data\":{\"id\":\"r\",\"workflow_id\":\"w\"}")
			    EVENT("node_started", ",\"data\":{\"id\":\"n\",\"title\":\"\xE5\xBC\x80\\n\"}")
				    EVENT("node_finished", ",\"data\":{\"id\":\"n\",\"title\":\"A\",\"status\":\"failed\",\"error\":\"x\"}")
					    MESSAGE("x") EVENT("human_input_required", ",\"data\":{ \"form_id\" : \"f\" }")
						    EVENT("workflow_finished", ",\"data\":{\"status\":\"succeeded\"}")
							    EVENT("tts_message", ",\"audio\":\"qq\"") END("{}")),
		PROVIDER_ENDED,
		"s:{\"type\":\"progress\",\"status\":\"running\"};s:{\"type\":\"flowNodeStatus\",\"status\":\"running\",\"moduleName\":"
		"\"\xE5\xBC\x80\\n\"};"
		"s:{\"type\":\"flowNodeStatus\",\"status\":\"failed\",\"moduleName\":\"A\"};t:x;i:{\"form_id\":\"f\"};"
		"s:{\"type\":\"progress\",\"status\":\"succeeded\"};u:0,0,0;f:stop;",
		NULL);
}

/* Send Chat Message: error events in a stream. */
static void fails_with_the_status_of_an_error(void **state)
{
	struct llm_said said;

	(void)state;
	transcript_check(
		&provider_dify,
		STR(MESSAGE("x") EVENT("error", ",\"status\":429,\"code\":\"too_many_requests\",\"message\":\"slow down\"") MESSAGE("y")),
		PROVIDER_FAILED, "t:x;", &said);
	assert_int_equal(said.error_status, 429);
	transcript_check(&provider_dify, STR(EVENT("error", ",\"status\":\"x\"")), PROVIDER_FAILED, "", &said);
	assert_int_equal(said.error_status, 0);
}

static void fails_on_what_is_not_json_and_survives_wrong_types(void **state)
{
	(void)state;
	transcript_check(&provider_dify, STR("data: {\"event\":\n\n"), PROVIDER_GARBLED, "", NULL);
	transcript_check(&provider_dify, STR("data: [DONE]\n\n"), PROVIDER_GARBLED, "", NULL);
	transcript_check(&provider_dify, STR("data: []\n\n"), PROVIDER_GARBLED, "", NULL);
	transcript_check(&provider_dify, STR(MESSAGE("\xFF")), PROVIDER_GARBLED, "", NULL);
	transcript_check(
		&provider_dify,
		STR("data: {}\n\ndata: {\"event\":7}\n\ndata: {\"event\":\"message\",\"answer\":[]}\n\ndata: {\"event\":\"ping\"}\n\n"
		    "data: {\"event\":\"agent_thought\",\"id\":7,\"thought\":{},\"tool\":[],\"observation\":1}\n\n"
		    "data: {\"event\":\"new_event\",\"x\":{}}\n\n"),
		PROVIDER_MORE, "", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_with_the_question_alone),
		cmocka_unit_test(names_a_conversation_that_dify_has_begun),
		cmocka_unit_test(passes_on_variables_and_the_system_prompt),
		cmocka_unit_test(puts_files_in_its_own_form),
		cmocka_unit_test(stops_an_answer_by_its_task),
		cmocka_unit_test(reads_text_usage_and_names),
		cmocka_unit_test(keeps_no_names_that_are_none),
		cmocka_unit_test(tells_each_step_of_an_agent_once),
		cmocka_unit_test(does_not_tell_an_agents_answer_twice),
		cmocka_unit_test(replaces_what_was_said),
		cmocka_unit_test(tells_how_far_a_workflow_is),
		cmocka_unit_test(fails_with_the_status_of_an_error),
		cmocka_unit_test(fails_on_what_is_not_json_and_survives_wrong_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
