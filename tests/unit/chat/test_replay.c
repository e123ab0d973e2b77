/* What is stored of an answer, and what a reader gets of that later. */
#include "chat/replay.h"

#include "base/conf.h"
#include "base/err.h"
#include "chat/turns.h"
#include "db/idempotency.h"
#include "tests/unit/support.h"

#define ID       "00000000-0000-7000-8000-00000000000b"
#define QUESTION "00000000-0000-7000-8000-00000000000a"

struct world {
	struct turns turns;
	struct agent *agent;
	struct answer answer; /* the first one's */
};

static int make_world(void **state)
{
	struct world *w = test_calloc(1, sizeof(*w));
	static const struct agent_row row = {.id = CONST_STR("a"),
					     .provider = CONST_STR("custom"),
					     .model = CONST_STR("m"),
					     .endpoint = CONST_STR("http://x"),
					     .is_active = true};

	w->turns.loop = loop_new();
	w->turns.budget = (struct answer_budget){.max_bytes = 100000, .max_total_bytes = 100000};
	w->agent = agent_new(&row, NULL, &(struct conf){.stream_total_ms = 1000});
	answer_init(&w->answer, w->turns.loop, &w->turns.budget);
	*state = w;
	return 0;
}

static int end_world(void **state)
{
	struct world *w = *state;

	answer_fini(&w->answer);
	turn_few(w->turns.loop);
	assert_int_equal(w->turns.budget.total_bytes, 0);
	assert_int_equal(w->turns.n_live, 0);
	assert_int_equal(w->agent->n_refs, 1);
	agent_unref(w->agent);
	loop_free(w->turns.loop);
	test_free(w);
	return 0;
}

static void say(struct world *w, enum event_type type, const char *data)
{
	assert_int_equal(answer_append(&w->answer, type, str_from(data)), 0);
}

static struct stored_answer stored(const char *content, struct str beside)
{
	return (struct stored_answer){.present = true,
				      .id = STR(ID),
				      .question_id = STR(QUESTION),
				      .chat_id = STR("chat"),
				      .status = STR("complete"),
				      .content = str_from(content),
				      .finish_reason = STR("length"),
				      .beside = beside,
				      .has_usage = true,
				      .prompt_tokens = 3,
				      .completion_tokens = 4,
				      .total_tokens = 7,
				      .created_us = 5000000};
}

static void on_more(struct reader *r)
{
	(void)r;
}

/* The events of the turn but for the first two and the last two, as "type:data;"; the turn goes. */
static struct str read_all(struct turn *turn, struct buf *out)
{
	struct reader reader = {.on_more = on_more};
	struct answer_event event, all[64];
	size_t n = 0;

	turn_join(turn, &reader);
	while (reader_next(&reader, &event))
		all[n++] = event;
	assert_true(n >= 4);
	assert_int_equal(all[0].type, EVENT_CHAT_ID);
	assert_int_equal(all[1].type, EVENT_START);
	assert_int_equal(all[n - 2].type, EVENT_STATUS);
	assert_int_equal(all[n - 1].type, EVENT_END);
	assert_text(all[0].data, "{\"chatId\":\"chat\"}");
	assert_non_null(strstr(arena_cstr(&turn->arena, all[1].data), "{\"id\":\"" ID "\",\"userMessageId\":\"" QUESTION "\""));
	assert_non_null(strstr(arena_cstr(&turn->arena, all[n - 1].data), "\"finishReason\":\"length\""));
	for (size_t i = 2; i < n - 2; i++)
		buf_printf(out, "%d:%.*s;", (int)all[i].type, STR_ARG(all[i].data));
	turn_leave(turn, &reader);
	return buf_str(out);
}

static void what_came_beside_the_text_comes_again_in_its_place(void **state)
{
	struct world *w = *state;
	struct buf beside = {0}, out = {0}, expected = {0};
	struct stored_answer row;
	struct turn *turn;

	say(w, EVENT_CHAT_ID, "{}");
	say(w, EVENT_REASONING, "think:");
	say(w, EVENT_REASONING, "12:ing 好");
	say(w, EVENT_PROGRESS, "{}");
	say(w, EVENT_CHUNK, "Hel");
	say(w, EVENT_CHUNK, "lo");
	say(w, EVENT_TOOL, "[{\"index\":0}]");
	say(w, EVENT_INTERACTIVE, "{\"type\":\"form\"}");
	say(w, EVENT_REASONING, "and");
	replay_collect(&w->answer, &beside);
	row = stored("Hello", buf_str(&beside));
	turn = turn_replay(&w->turns, w->agent, &row, "r");
	assert_true(turn->settled && turn->err == 0 && turn->created_real_us == 5000000 && turn->usage.total_tokens == 7);
	buf_printf(&expected, "%d:think:12:ing 好;%d:Hello;%d:[{\"index\":0}];%d:{\"type\":\"form\"};%d:and;%d:", EVENT_REASONING,
		   EVENT_CHUNK, EVENT_TOOL, EVENT_INTERACTIVE, EVENT_REASONING, EVENT_USAGE);
	buf_printf(&expected, "{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7};");
	assert_str(read_all(turn, &out), buf_str(&expected));
	buf_fini(&beside);
	buf_fini(&out);
	buf_fini(&expected);
}

static void text_alone_needs_nothing_beside_it(void **state)
{
	struct world *w = *state;
	struct buf beside = {0}, out = {0}, expected = {0};
	struct stored_answer row;

	say(w, EVENT_CHUNK, "Hello");
	say(w, EVENT_USAGE, "{}");
	replay_collect(&w->answer, &beside);
	assert_int_equal(beside.len, 0);
	row = stored("Hello", STR(""));
	row.usage_estimated = true; /* which the first readers were not told, either */
	buf_printf(&expected, "%d:Hello;", EVENT_CHUNK);
	assert_str(read_all(turn_replay(&w->turns, w->agent, &row, "r"), &out), buf_str(&expected));
	buf_fini(&out);
	buf_fini(&expected);
}

static void what_nobody_understands_costs_no_text(void **state)
{
	static const char *const beside[] = {"x3:abc", "r", "r:", "r9:abc", "r-1:abc", "r99999999999999999999:a", ":", "3:abc", "r1:aq"};
	struct world *w = *state;

	for (size_t i = 0; i < N_ELEMENTS(beside); i++) {
		struct stored_answer row = stored("Hello", str_from(beside[i]));
		struct buf out = {0};
		char expected[16];

		snprintf(expected, sizeof(expected), "%d:Hello;", EVENT_CHUNK);
		read_all(turn_replay(&w->turns, w->agent, &row, "r"), &out);
		buf_add_char(&out, '\0');
		assert_non_null(strstr(out.p, expected));
		buf_fini(&out);
	}
}

static void a_long_text_comes_in_pieces_that_cut_no_character(void **state)
{
	struct world *w = *state;
	struct buf text = {0}, whole = {0};
	struct reader reader = {.on_more = on_more};
	struct answer_event event;
	struct stored_answer row;
	struct turn *turn;
	size_t n = 0;

	for (int i = 0; i < 10000; i++)
		buf_add_cstr(&text, i % 3 ? "好" : "a");
	buf_add_char(&text, '\0');
	row = stored(text.p, STR(""));
	turn = turn_replay(&w->turns, w->agent, &row, "r");
	turn_join(turn, &reader);
	while (reader_next(&reader, &event)) {
		n += event.type == EVENT_CHUNK;
		assert_true(utf8_valid(event.data));
	}
	assert_int_equal(n, 3);
	answer_collect(&turn->answer, EVENT_CHUNK, &whole);
	assert_str(buf_str(&whole), str_from(text.p));
	turn_leave(turn, &reader);
	buf_fini(&text);
	buf_fini(&whole);
}

static void a_failure_is_an_error_and_nothing_to_read(void **state)
{
	struct world *w = *state;
	struct stored_answer row = stored("half", STR(""));
	struct reader reader = {.on_more = on_more};
	struct answer_event event;
	struct turn *turn;

	row.status = STR("interrupted");
	row.error_code = STR("UPSTREAM_TIMEOUT");
	turn = turn_replay(&w->turns, w->agent, &row, "r");
	turn_join(turn, &reader);
	assert_true(turn->settled && turn->err == -ERR_UPSTREAM_TIMEOUT);
	assert_false(reader_next(&reader, &event));
	turn_leave(turn, &reader);
}

static void an_answer_that_has_no_room_in_memory_is_none(void **state)
{
	struct world *w = *state;
	struct stored_answer row = stored("Hello", STR(""));

	w->turns.budget.max_total_bytes = 10;
	assert_null(turn_replay(&w->turns, w->agent, &row, "r"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
		T(what_came_beside_the_text_comes_again_in_its_place),
		T(text_alone_needs_nothing_beside_it),
		T(what_nobody_understands_costs_no_text),
		T(a_long_text_comes_in_pieces_that_cut_no_character),
		T(a_failure_is_an_error_and_nothing_to_read),
		T(an_answer_that_has_no_room_in_memory_is_none),
#undef T
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
