/* The answer's log and its readers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "chat/answer.h"

struct world {
	struct loop *loop;
	struct answer_budget budget;
	struct answer answer;
};

struct counting {
	struct reader reader;
	int n_wakes, n_events;
	bool leaves; /* on its first wake */
	struct buf text;
};

static void on_more(struct reader *r)
{
	struct counting *c = CONTAINER_OF(r, struct counting, reader);
	struct answer_event event;

	c->n_wakes++;
	if (c->leaves) {
		reader_leave(r);
		return;
	}
	while (reader_next(r, &event)) {
		c->n_events++;
		buf_add_str(&c->text, event.data);
	}
}

static int set_up(void **state)
{
	struct world *w = test_calloc(1, sizeof(*w));

	w->loop = loop_new();
	w->budget = (struct answer_budget){.max_bytes = 1000, .max_total_bytes = 1500};
	answer_init(&w->answer, w->loop, &w->budget);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	answer_fini(&w->answer);
	assert_int_equal(w->budget.total_bytes, 0);
	loop_free(w->loop);
	test_free(w);
	return 0;
}

static void append(struct answer *a, const char *text)
{
	assert_int_equal(answer_append(a, EVENT_CHUNK, str_from(text)), 0);
}

static void a_reader_is_woken_once_a_turn_and_never_from_inside(void **state)
{
	struct world *w = *state;
	struct counting c = {.reader.on_more = on_more};

	reader_join(&c.reader, &w->answer);
	append(&w->answer, "one ");
	append(&w->answer, "two");
	assert_int_equal(c.n_wakes, 0);
	loop_turn(w->loop, false);
	assert_int_equal(c.n_wakes, 1);
	assert_int_equal(c.n_events, 2);
	assert_true(str_eq(buf_str(&c.text), STR("one two")));
	reader_leave(&c.reader);
	buf_fini(&c.text);
}

static void a_late_reader_gets_everything_from_the_start(void **state)
{
	struct world *w = *state;
	struct counting c = {.reader.on_more = on_more};

	append(&w->answer, "early");
	loop_turn(w->loop, false);
	reader_join(&c.reader, &w->answer);
	loop_turn(w->loop, false);
	assert_true(str_eq(buf_str(&c.text), STR("early")));
	reader_leave(&c.reader);
	buf_fini(&c.text);
}

static void readers_have_cursors_of_their_own(void **state)
{
	struct world *w = *state;
	struct counting slow = {.reader.on_more = on_more};
	struct answer_event event;

	reader_join(&slow.reader, &w->answer);
	append(&w->answer, "a");
	append(&w->answer, "");
	append(&w->answer, "\xF0\x9F\x99\x82");
	assert_true(reader_next(&slow.reader, &event));
	assert_int_equal(event.offset, 0);
	assert_true(reader_next(&slow.reader, &event));
	assert_int_equal(event.data.len, 0);
	assert_int_equal(event.offset, slow.reader.at - 8);
	assert_true(reader_next(&slow.reader, &event));
	assert_true(str_eq(event.data, STR("\xF0\x9F\x99\x82")));
	assert_false(reader_next(&slow.reader, &event));
	reader_leave(&slow.reader);
}

static void a_reader_may_leave_while_all_are_woken(void **state)
{
	struct world *w = *state;
	struct counting first = {.reader.on_more = on_more, .leaves = true}, second = {.reader.on_more = on_more};

	reader_join(&first.reader, &w->answer);
	reader_join(&second.reader, &w->answer);
	append(&w->answer, "x");
	loop_turn(w->loop, false);
	append(&w->answer, "y");
	loop_turn(w->loop, false);
	assert_int_equal(first.n_wakes, 1);
	assert_int_equal(second.n_wakes, 2);
	assert_true(str_eq(buf_str(&second.text), STR("xy")));
	reader_leave(&second.reader);
	buf_fini(&second.text);
}

static void one_that_is_held_shows_nothing_until_it_is_released(void **state)
{
	struct world *w = *state;
	struct counting c = {.reader.on_more = on_more};

	w->answer.held = true;
	reader_join(&c.reader, &w->answer);
	append(&w->answer, "one ");
	loop_turn(w->loop, false);
	assert_int_equal(c.n_wakes, 0);
	answer_wake(&w->answer); /* it has failed, say */
	loop_turn(w->loop, false);
	assert_int_equal(c.n_wakes, 1);
	assert_int_equal(c.n_events, 0);
	answer_release(&w->answer);
	assert_int_equal(c.n_wakes, 1);
	loop_turn(w->loop, false);
	assert_int_equal(c.n_wakes, 2);
	assert_int_equal(c.n_events, 1);
	append(&w->answer, "two");
	loop_turn(w->loop, false);
	assert_true(str_eq(buf_str(&c.text), STR("one two")));
	reader_leave(&c.reader);
	buf_fini(&c.text);
}

static void refuses_more_than_one_answer_may_hold_but_never_its_end(void **state)
{
	struct world *w = *state;
	char big[1001] = {0};

	assert_int_equal(answer_append(&w->answer, EVENT_CHUNK, (struct str){big, sizeof(big)}), -ERR_TOO_LARGE);
	assert_int_equal(answer_append(&w->answer, EVENT_CHUNK, (struct str){big, 900}), 0);
	assert_int_equal(answer_append(&w->answer, EVENT_CHUNK, (struct str){big, 100}), -ERR_TOO_LARGE);
	assert_int_equal(answer_append(&w->answer, EVENT_END, (struct str){big, 200}), 0);
}

static void refuses_more_than_all_answers_may_hold(void **state)
{
	struct world *w = *state;
	struct answer other;
	char big[900] = {0};

	answer_init(&other, w->loop, &w->budget);
	assert_int_equal(answer_append(&w->answer, EVENT_CHUNK, (struct str){big, 900}), 0);
	assert_int_equal(answer_append(&other, EVENT_CHUNK, (struct str){big, 900}), -ERR_TOO_LARGE);
	answer_fini(&other);
}

static void collects_the_text_without_the_reasoning(void **state)
{
	struct world *w = *state;
	struct buf text = {0};

	assert_int_equal(answer_append(&w->answer, EVENT_REASONING, STR("hm")), 0);
	append(&w->answer, "yes");
	append(&w->answer, " no");
	answer_collect(&w->answer, EVENT_CHUNK, &text);
	assert_true(str_eq(buf_str(&text), STR("yes no")));
	buf_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_reader_is_woken_once_a_turn_and_never_from_inside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_late_reader_gets_everything_from_the_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(readers_have_cursors_of_their_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_reader_may_leave_while_all_are_woken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_is_held_shows_nothing_until_it_is_released, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_more_than_one_answer_may_hold_but_never_its_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_more_than_all_answers_may_hold, set_up, tear_down),
		cmocka_unit_test_setup_teardown(collects_the_text_without_the_reasoning, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
