/* Log lines: always one line of valid JSON, never longer than a pipe takes at once, never a wait. */
#include "base/log.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "tests/unit/support.h"

static int pipe_fds[2], stderr_copy;

static int catch_stderr(void **state)
{
	(void)state;
	fflush(stderr);
	stderr_copy = dup(STDERR_FILENO);
	assert_int_equal(pipe(pipe_fds), 0);
	fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK); /* our end; the end that is written to blocks, as in real life */
	dup2(pipe_fds[1], STDERR_FILENO);
	log_set_level(LOG_INFO);
	clock_set_for_test(1, UINT64_C(1759492800123456));
	return 0;
}

static int give_stderr_back(void **state)
{
	(void)state;
	dup2(stderr_copy, STDERR_FILENO);
	close(stderr_copy);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	clock_set_for_test(0, 0);
	log_set_slot(-1);
	return 0;
}

/* The one line that was written, parsed; NULL if there is none. */
static struct json *line(void)
{
	static char text[65536];
	ssize_t len = read(pipe_fds[0], text, sizeof(text));
	const char *why = "";
	struct json *j;

	if (len <= 0)
		return NULL;
	assert_in_range(len, 2, PIPE_BUF);
	assert_int_equal(text[len - 1], '\n');
	assert_null(memchr(text, '\n', (size_t)len - 1));
	if (json_parse((struct str){text, (size_t)len}, &JSON_CAPS_PROVIDER, &j, &why) != 0)
		fail_msg("%s: %.*s", why, (int)len, text);
	return j;
}

static struct str text_of(const struct json *j, const char *key)
{
	assert_int_equal(json_kind(json_get(j, key)), JSON_STRING);
	return json_as_str(json_get(j, key));
}

static void writes_a_line_of_json(void **state)
{
	struct log_ctx ctx = {.request_id = "req-1", .step = "load_agent"};
	char changeable[] = "changeable";
	struct json *j;

	(void)state;
	log_set_slot(3);
	log_warn(&ctx, "test_event", "literal", "text", "array", changeable, "str", STR("x\"y\n"), "int", -5, "size", (size_t)7, "real",
		 0.5, "yes", (bool)true, "nothing", (const char *)NULL);
	j = line();
	assert_non_null(j);
	assert_text(text_of(j, "time"), "2025-10-03T12:00:00.123Z");
	assert_text(text_of(j, "level"), "warn");
	assert_text(text_of(j, "event"), "test_event");
	assert_text(text_of(j, "requestId"), "req-1");
	assert_text(text_of(j, "step"), "load_agent");
	assert_int_equal(json_as_int(json_get(j, "slot"), -1), 3);
	assert_int_equal(json_as_int(json_get(j, "pid"), -1), getpid());
	assert_text(text_of(j, "literal"), "text");
	assert_text(text_of(j, "array"), "changeable");
	assert_text(text_of(j, "str"), "x\"y\n");
	assert_int_equal(json_as_int(json_get(j, "int"), 0), -5);
	assert_int_equal(json_as_int(json_get(j, "size"), 0), 7);
	assert_int_equal(json_kind(json_get(j, "real")), JSON_NUMBER);
	assert_true(json_as_bool(json_get(j, "yes"), false));
	assert_null(json_get(j, "nothing"));
	json_free(j);
	log_info(NULL, "bare");
	j = line();
	assert_text(text_of(j, "event"), "bare");
	json_free(j);
}

static void keeps_quiet_below_its_level(void **state)
{
	static const struct {
		enum log_level level;
		const char *name;
	} levels[] = {{LOG_DEBUG, "debug"}, {LOG_INFO, "info"}, {LOG_WARN, "warn"}, {LOG_ERROR, "error"}};
	enum log_level level;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(levels); i++) {
		assert_true(log_level_from(str_from(levels[i].name), &level));
		assert_int_equal(level, levels[i].level);
		log_set_level(level);
		for (size_t k = 0; k < N_ELEMENTS(levels); k++) {
			struct json *j;

			LOG_AT(levels[k].level, NULL, "x");
			j = line();
			assert_int_equal(j != NULL, k >= i);
			if (j)
				assert_str(text_of(j, "level"), str_from(levels[k].name));
			json_free(j);
		}
	}
	assert_false(log_level_from(STR("INFO"), &level));
	assert_false(log_level_from(STR(""), &level));
	assert_false(log_level_from(STR("warning"), &level));
}

static void cuts_long_values_between_characters(void **state)
{
	char text[4000];
	struct json *j;

	(void)state;
	for (size_t shift = 0; shift < 4; shift++) {
		struct str got, whole = {text, shift};

		memset(text, 'x', shift);
		for (; whole.len + 4 <= sizeof(text); whole.len += 4)
			memcpy(text + whole.len, "\xF0\x9F\x98\x80", 4);
		log_info(NULL, "long", "value", whole);
		j = line();
		got = text_of(j, "value");
		assert_in_range(got.len, 400, 512);
		assert_true(utf8_valid(got));
		assert_memory_equal(got.p, text, got.len);
		json_free(j);
	}
	memset(text, 'r', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_info(&(struct log_ctx){.request_id = text}, "long_id", "after", 1);
	j = line();
	assert_in_range(text_of(j, "requestId").len, 30, 512);
	json_free(j);
}

static void says_so_where_a_value_is_not_utf8(void **state)
{
	struct json *j;

	(void)state;
	log_info(&(struct log_ctx){.request_id = "\xFF\xFE"}, "odd", "value",
		 "a\xFF"
		 "b",
		 "other", STR("\xED\xA0\x80"), "good", "yes");
	j = line();
	assert_text(text_of(j, "value"), "(not UTF-8)");
	assert_text(text_of(j, "other"), "(not UTF-8)");
	assert_text(text_of(j, "requestId"), "(not UTF-8)");
	assert_text(text_of(j, "good"), "yes");
	json_free(j);
}

static void never_writes_more_than_a_pipe_takes_at_once(void **state)
{
	static char text[600];
	struct log_ctx ctx = {.request_id = "r", .step = "s"};
	struct str s = {text, sizeof(text)};
	struct json *j;

	(void)state;
	memset(text, 1, sizeof(text)); /* six bytes each, when escaped */
	log_error(&ctx, "many", "a", s, "b", s, "c", s, "d", s, "e", 5, "f", s, "g", s, "h", "end");
	j = line();
	assert_text(text_of(j, "event"), "many");
	json_free(j);
	assert_null(line());
}

static void drops_and_counts_lines_when_the_pipe_is_full(void **state)
{
	uint64_t dropped = log_n_dropped(), began_ms;
	static char zeros[65536];
	struct json *j;

	(void)state;
	fcntl(pipe_fds[1], F_SETFL, O_NONBLOCK);
	while (write(pipe_fds[1], zeros, sizeof(zeros)) > 0)
		;
	while (write(pipe_fds[1], zeros, 1) > 0)
		;
	fcntl(pipe_fds[1], F_SETFL, 0);
	began_ms = real_ms();
	for (int i = 0; i < 1000; i++)
		log_error(NULL, "unheard", "i", i);
	assert_in_range(real_ms() - began_ms, 0, 5000);
	assert_int_equal(log_n_dropped(), dropped + 1000);
	while (read(pipe_fds[0], zeros, sizeof(zeros)) > 0)
		;
	log_error(NULL, "heard");
	j = line();
	assert_text(text_of(j, "event"), "heard");
	json_free(j);
	assert_int_equal(log_n_dropped(), dropped + 1000);
}

static void survives_a_reader_that_is_gone(void **state)
{
	uint64_t dropped = log_n_dropped();

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	close(pipe_fds[0]);
	pipe_fds[0] = -1;
	log_error(NULL, "to_nobody");
	assert_int_equal(log_n_dropped(), dropped + 1);
	close(STDERR_FILENO);
	log_error(NULL, "to_nothing");
	assert_int_equal(log_n_dropped(), dropped + 2);
	signal(SIGPIPE, SIG_DFL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, catch_stderr, give_stderr_back)
		T(writes_a_line_of_json),
		T(keeps_quiet_below_its_level),
		T(cuts_long_values_between_characters),
		T(says_so_where_a_value_is_not_utf8),
		T(never_writes_more_than_a_pipe_takes_at_once),
		T(drops_and_counts_lines_when_the_pipe_is_full),
		T(survives_a_reader_that_is_gone),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
