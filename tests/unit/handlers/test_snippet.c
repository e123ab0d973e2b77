/* What a search shows of a text: where it begins and ends, what of it is marked, in every script. */
#include "base/json.h"
#include "handlers/snippet.h"
#include "tests/unit/support.h"

/* The members for a text, as JSON; good until the next call. */
static const char *shown(const char *text, bool cut, const char *runs, const char *stems)
{
	static struct buf b;
	struct json_writer w = {.out = &b};

	b.len = 0;
	json_open(&w, '{');
	snippet_add(&w, str_from(text), cut, (struct snippet_terms){str_from(runs), str_from(stems)});
	json_close(&w, '}');
	buf_add_char(&b, '\0');
	return b.p;
}

static void words_are_marked_whole(void **state)
{
	(void)state;
	assert_string_equal(shown("He studied. Study!", false, "", "studi"),
			    "{\"snippet\":\"He studied. Study!\",\"ranges\":[[3,10],[12,17]]}");
	assert_string_equal(shown("making, MAKE, remake", false, "", "make"),
			    "{\"snippet\":\"making, MAKE, remake\",\"ranges\":[[0,6],[8,12]]}");
	assert_string_equal(shown("a1 b2", false, "", "b2 a1"), "{\"snippet\":\"a1 b2\",\"ranges\":[[0,2],[3,5]]}");
	assert_string_equal(shown("Москва, naïve ÄRGER", false, "", "москва ärger"),
			    "{\"snippet\":\"Москва, naïve ÄRGER\",\"ranges\":[[0,6],[14,19]]}");
	assert_string_equal(shown("Ｐｙｔｈｏｎ３", false, "", "python3"), "{\"snippet\":\"Ｐｙｔｈｏｎ３\",\"ranges\":[[0,7]]}");
}

static void what_has_no_blanks_is_found_anywhere(void **state)
{
	(void)state;
	assert_string_equal(shown("我们讨论机器学习和学习", false, "学习 机器", ""),
			    "{\"snippet\":\"我们讨论机器学习和学习\",\"ranges\":[[4,8],[9,11]]}");
	assert_string_equal(shown("用Python写𠮷野家", false, "写 𠮷野", "python"),
			    "{\"snippet\":\"用Python写𠮷野家\",\"ranges\":[[1,10]]}");
	assert_string_equal(shown("ไทย 🎉🎊", false, "🎊 ทย", ""), "{\"snippet\":\"ไทย 🎉🎊\",\"ranges\":[[1,3],[5,6]]}");
}

static void begins_forty_characters_before_and_says_what_is_left_out(void **state)
{
	char text[2048], expected[2048];
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "前");
	n += (size_t)snprintf(text + n, sizeof(text) - n, "\n机器");
	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "b");
	n = (size_t)snprintf(expected, sizeof(expected), "{\"snippet\":\"…");
	for (int i = 0; i < 39; i++)
		n += (size_t)snprintf(expected + n, sizeof(expected) - n, "前");
	n += (size_t)snprintf(expected + n, sizeof(expected) - n, " 机器");
	for (int i = 0; i < 78; i++)
		n += (size_t)snprintf(expected + n, sizeof(expected) - n, "b");
	snprintf(expected + n, sizeof(expected) - n, "…\",\"ranges\":[[41,43]]}");
	assert_string_equal(shown(text, false, "机器", ""), expected);
	assert_string_equal(shown("short\r\n\ttext", true, "", "text"), "{\"snippet\":\"short   text…\",\"ranges\":[[8,12]]}");
}

static void a_place_is_the_same_where_folding_changes_lengths(void **state)
{
	char text[1024] = "";

	(void)state;
	/* Two bytes each; folded, the first has one and the second three: U+0130 and U+023A. */
	for (int i = 0; i < 60; i++)
		strcat(text, "\xC4\xB0\xC8\xBA");
	strcat(text, " ЖЖ");
	assert_non_null(strstr(shown(text, false, "", "жж"), " ЖЖ\",\"ranges\":[[41,43]]}"));
}

static void the_nearest_word_is_shown(void **state)
{
	static const char before[] = "articles artist ", middle[] = "0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 ";
	char text[512];

	(void)state;
	snprintf(text, sizeof(text), "%s%s%sart", before, middle, middle);
	assert_non_null(strstr(shown(text, false, "", "art"), " art\""));
	snprintf(text, sizeof(text), "set %s%ssee", middle, middle);
	assert_non_null(strstr(shown(text, false, "", "see"), " see\""));
	snprintf(text, sizeof(text), "%s%s%s", before, middle, middle);
	assert_non_null(strstr(shown(text, false, "", "art"), "\"articles artist "));
}

static void what_is_not_there_shows_the_beginning(void **state)
{
	(void)state;
	assert_string_equal(shown("Hello, wörld", false, "学", "absent e"), "{\"snippet\":\"Hello, wörld\",\"ranges\":[]}");
	assert_string_equal(shown("", false, "", "x"), "{\"snippet\":\"\",\"ranges\":[]}");
	assert_string_equal(shown("abc", false, "", ""), "{\"snippet\":\"abc\",\"ranges\":[]}");
}

/* The longest there is, and the worst to look through, is a matter of milliseconds under every tool. */
static void a_long_text_is_looked_through_once(void **state)
{
	struct buf b = {0};
	uint64_t began_ms;

	(void)state;
	while (b.len < 65000)
		buf_add_cstr(&b, "ab Äb ");
	buf_add_char(&b, '\0');
	began_ms = real_ms();
	assert_non_null(shown(b.p, true, "学 习", "a b absent ab äb"));
	assert_true(real_ms() - began_ms < 1000);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_marked_whole),
		cmocka_unit_test(what_has_no_blanks_is_found_anywhere),
		cmocka_unit_test(begins_forty_characters_before_and_says_what_is_left_out),
		cmocka_unit_test(a_place_is_the_same_where_folding_changes_lengths),
		cmocka_unit_test(the_nearest_word_is_shown),
		cmocka_unit_test(what_is_not_there_shows_the_beginning),
		cmocka_unit_test(a_long_text_is_looked_through_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
