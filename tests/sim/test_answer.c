/* What the simulator says that no client should believe. */
#include "sim/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sim/ask.h"

static void begin(struct answer *answer, const char *model, bool stream)
{
	struct ask ask = {.stream = stream};
	struct script script;
	char why[512];

	assert_int_equal(script_parse(&script, model, why, sizeof(why)), 0);
	snprintf(ask.model, sizeof(ask.model), "%s", model);
	answer_init(answer, &script, &ask, 1);
}

/* The whole of a stream, as text; no script here cuts it short. */
static struct buf say(const char *model)
{
	struct answer answer;
	struct buf out = {0};

	begin(&answer, model, true);
	while (answer_coming(&answer) == COMING_TOKEN)
		answer_add_token(&answer, &out);
	assert_int_equal(answer_coming(&answer), COMING_END);
	answer_add_end(&answer, &out);
	buf_add(&out, "", 1);
	answer_fini(&answer);
	return out;
}

/* Checks that these words come in this order. */
static void assert_in_order(const char *text, const char *const *words)
{
	for (; *words; words++) {
		text = strstr(text, *words);
		if (!text)
			fail_msg("'%s' is missing, or too early", *words);
		text += strlen(*words);
	}
}

static void garbage_comes_between_tokens_and_the_answer_goes_on(void **state)
{
	static const struct {
		const char *model, *words[5];
	} samples[] = {
	    {"sim-n2-garbage0", {"data: <html>", "tok0 ", "tok1 ", "[DONE]"}},
	    {"sim-n2-garbage1", {"tok0 ", "data: <html>", "tok1 ", "[DONE]"}},
	    {"sim-n2-garbage2", {"tok0 ", "tok1 ", "data: <html>", "[DONE]"}},
	    {"sim-n2-reason1-garbage2", {"think0 ", "tok0 ", "data: <html>", "tok1 "}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		struct buf out = say(samples[i].model);

		assert_in_order(out.data, samples[i].words);
		buf_fini(&out);
	}
}

static void calls_of_tools_follow_the_text_in_pieces(void **state)
{
	static const char *const words[] = {"assistant", "tok0 ", "\"index\":0,\"id\":\"call_1_0\"", "get_weather", "{\\\"city", "\\\":\\\"Par",
					    "is\\\"}", "\"index\":1,\"id\":\"call_1_1\"", "\"finish_reason\":\"tool_calls\"", "[DONE]", NULL};
	static const char *const silent[] = {"\"role\":\"assistant\"", "\"tool_calls\":[", "\"finish_reason\":\"tool_calls\"", NULL};
	struct buf out = say("sim-n1-tools2");

	(void)state;
	assert_in_order(out.data, words);
	buf_fini(&out);
	out = say("sim-n0-tools1");
	assert_in_order(out.data, silent);
	buf_fini(&out);
}

static void nothing_is_called_when_a_tool_has_answered(void **state)
{
	struct ask ask = {.stream = true, .after_tool = true};
	struct script script;
	struct answer answer;
	struct buf out = {0};
	char why[512];

	(void)state;
	assert_int_equal(script_parse(&script, "sim-n0-tools1", why, sizeof(why)), 0);
	answer_init(&answer, &script, &ask, 1);
	answer_add_end(&answer, &out);
	buf_add(&out, "", 1);
	assert_null(strstr(out.data, "tool"));
	assert_non_null(strstr(out.data, "\"finish_reason\":\"stop\""));
	answer_fini(&answer);
	buf_fini(&out);
}

static void garbage_beyond_the_end_never_comes(void **state)
{
	struct buf out = say("sim-n2-garbage3");

	(void)state;
	assert_null(strstr(out.data, "<html>"));
	buf_fini(&out);
}

static void the_token_after_so_many_is_no_utf8(void **state)
{
	static const char *const in_text[] = {"tok0 ", "\"content\":\"\xff\xc3(\xed\xa0\x80tok1 \"", "tok2 ", NULL};
	static const char *const in_reasoning[] = {"\"reasoning_content\":\"\xff\xc3(\xed\xa0\x80think0 \"", "tok0 ", NULL};
	struct buf out = say("sim-n3-badutf1");

	(void)state;
	assert_in_order(out.data, in_text);
	buf_fini(&out);
	out = say("sim-n1-reason1-badutf0");
	assert_in_order(out.data, in_reasoning);
	buf_fini(&out);
}

static void the_long_line_comes_in_pieces_and_has_no_end(void **state)
{
	struct answer answer;
	struct buf out = {0};
	size_t total = 0;
	bool last = false;

	(void)state;
	begin(&answer, "sim-n3-bigline1", true);
	assert_int_equal(answer_reach(&answer), 1);
	assert_int_equal(answer_coming(&answer), COMING_TOKEN);
	answer_add_token(&answer, &out);
	while (!last) {
		assert_int_equal(answer_coming(&answer), COMING_LINE);
		out.len = 0;
		last = answer_add_line(&answer, &out);
		assert_true(out.len > 0 && out.len <= 32 * 1024);
		assert_null(memchr(out.data, '\n', out.len));
		total += out.len;
	}
	assert_int_equal(total, SCRIPT_LINE_BYTES + strlen("data: "));
	buf_fini(&out);
	answer_fini(&answer);
}

static void a_plain_answer_goes_wrong_in_the_same_places(void **state)
{
	static const struct {
		const char *model, *words[3];
	} samples[] = {
	    {"sim-n2-garbage1", {"<html>"}},
	    {"sim-n2-badutf1", {"\"tok0 \xff\xc3(", "tok1 \""}},
	    {"sim-n1-reason1-badutf0", {"\"\xff\xc3(", "think0 ", "tok0 "}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		const char *words[] = {samples[i].words[0], samples[i].words[1], samples[i].words[2], NULL};
		struct answer answer;
		struct buf out = {0};

		begin(&answer, samples[i].model, false);
		answer_add_whole(&answer, &out);
		buf_add(&out, "", 1);
		assert_in_order(out.data, words);
		buf_fini(&out);
		answer_fini(&answer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(garbage_comes_between_tokens_and_the_answer_goes_on),
	    cmocka_unit_test(garbage_beyond_the_end_never_comes),
	    cmocka_unit_test(calls_of_tools_follow_the_text_in_pieces),
	    cmocka_unit_test(nothing_is_called_when_a_tool_has_answered),
	    cmocka_unit_test(the_token_after_so_many_is_no_utf8),
	    cmocka_unit_test(the_long_line_comes_in_pieces_and_has_no_end),
	    cmocka_unit_test(a_plain_answer_goes_wrong_in_the_same_places),
	};

	return cmocka_run_group_tests_name("sim/answer", tests, NULL, NULL);
}
