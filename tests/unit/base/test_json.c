/* Parsing JSON: what RFC 8259 allows and nothing else, caps before anything is built, slices, and the typed getters. */
#include "base/json.h"

#include "base/err.h"
#include "tests/unit/support.h"

/* Parses a copy that is exactly as long, so that reading past its end is noticed. */
static int parse(struct str text, const struct json_caps *caps, struct json **out)
{
	char *copy = malloc(text.len ? text.len : 1);
	const char *why = NULL;
	int result;

	if (text.len)
		memcpy(copy, text.p, text.len);
	result = json_parse((struct str){copy, text.len}, caps, out, &why);
	free(copy);
	if (result != 0) {
		assert_int_equal(result, -ERR_MALFORMED_JSON);
		assert_non_null(why);
		assert_true(strlen(why) > 10);
	}
	return result;
}

static void assert_refused(struct str text)
{
	struct json *j;

	if (parse(text, &JSON_CAPS_USER, &j) == 0)
		fail_msg("taken by users' caps: %.*s", STR_ARG(text));
	if (parse(text, &JSON_CAPS_PROVIDER, &j) == 0)
		fail_msg("taken by providers' caps: %.*s", STR_ARG(text));
}

/* Parses it, and checks how it is written out again. */
static void assert_becomes(struct str text, struct str expected)
{
	struct json *j;

	if (parse(text, &JSON_CAPS_USER, &j) != 0)
		fail_msg("refused: %.*s", STR_ARG(text));
	assert_str(json_text(j), expected);
	json_free(j);
}

static void takes_what_the_rfc_allows(void **state)
{
	/* clang-format off */
	static const char *const samples[] = {
		"{}", "[]", "[[],{}]", "\"\"", "\"x\"", "true", "false", "null", "0", "-0.0", "12", "-12", "0.5", "-0.5", "1e5", "1E-2", "1.5e+3",
		"{\"a\":1,\"b\":[true,false,null]}", "{\"\":1}", "\"\x7F\"", "\"\xE2\x80\xA8\"", "1e999", "9223372036854775807", "-9223372036854775808",
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++)
		assert_becomes(str_from(samples[i]), str_from(samples[i]));
	assert_becomes(STR(" \t\r\n{ \"a\" : [ 1 , 2 ] } \n\r\t "), STR("{\"a\":[1,2]}"));
	assert_becomes(STR("7 "), STR("7"));
}

static void refuses_what_the_rfc_does_not_know(void **state)
{
	/* clang-format off */
	static const char *const samples[] = {
		"", " ", "\n", "{", "[", "}", "]", "[}", "{]", "[[]", "[]]", "{\"a\"", "{\"a\":", "{\"a\":1", "\"a", "\"\\", "\"\\u00",
		/* numbers */
		"NaN", "-NaN", "nan", "Infinity", "-Infinity", "-Inf", "inf", "01", "-01", "00", "-", "+1", "--1", "1.", "-1.", ".5", "-.5", "2.e1", "1e",
		"1e+", "1.5.5", "1e5.5", "1-2", "1e1e1", "0x10", "1_0", "[1.]", "[01]", "{\"a\":.5}", "{\"a\":NaN}", "[1 2]",
		/* literals */
		"True", "NULL", "nul", "tru", "nullx", "truefalse", "undefined",
		/* commas, colons, keys */
		"[1,]", "[,1]", "[1,,2]", "{\"a\":1,}", "{,}", "{a:1}", "{1:2}", "{\"a\" 1}", "{\"a\":}", "[\"a\":1]", "{\"a\":1 \"b\":2}", ",", ":",
		/* strings */
		"'a'", "{'a':1}", "\"\\x41\"", "\"\\'\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\U0041\"", "\"\t\"", "\"\n\"", "\"a\x01\"",
		/* more than one value */
		"1 2", "[] []", "{}{}", "[]x", "null null", "\"\"\"\"", "{}\n{}", "[1],",
		/* comments and odd blanks */
		"/* c */ 1", "1 // c", "[1 /* c */]", "# c\n1", "\v1", "1\f", "\xC2\xA0 1", "\xEF\xBB\xBF{}",
		/* not UTF-8 */
		"\"\xFF\"", "\"\xC0\x80\"", "\"\xED\xA0\x80\"", "\"\xE4\xB8\"", "\"\xF4\x90\x80\x80\"",
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++)
		assert_refused(str_from(samples[i]));
	assert_refused((struct str){NULL, 0});
	/* a NUL byte in every place */
	assert_refused(STR("\0"));
	assert_refused(STR("{}\0"));
	assert_refused(STR("\0{}"));
	assert_refused(STR("[1,\0"
			   "2]"));
	assert_refused(STR("\"a\0b\""));
	assert_refused(STR("1\0"));
	assert_refused(STR("{}\0{}"));
}

static void refuses_an_escaped_nul_of_users_only(void **state)
{
	struct json *j;

	(void)state;
	assert_int_equal(parse(STR("{\"a\":\"x\\u0000y\"}"), &JSON_CAPS_USER, &j), -ERR_MALFORMED_JSON);
	assert_int_equal(parse(STR("{\"a\\u0000b\":1}"), &JSON_CAPS_USER, &j), -ERR_MALFORMED_JSON);
	assert_int_equal(parse(STR("\"\\\\\\u0000\""), &JSON_CAPS_USER, &j), -ERR_MALFORMED_JSON);
	/* an escaped backslash, then plain text */
	assert_int_equal(parse(STR("\"\\\\u0000\""), &JSON_CAPS_USER, &j), 0);
	assert_text(json_as_str(j), "\\u0000");
	json_free(j);
	assert_int_equal(parse(STR("\"\\u00001\\u0001\""), &JSON_CAPS_PROVIDER, &j), 0);
	assert_str(json_as_str(j), STR("\0"
				       "1\x01"));
	json_free(j);
	assert_int_equal(parse(STR("\"\\u0001\\u00010\""), &JSON_CAPS_USER, &j), 0);
	json_free(j);
}

static void decodes_escapes(void **state)
{
	struct json *j;

	(void)state;
	assert_int_equal(parse(STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u4E2D\\ud83d\\uDE00\""), &JSON_CAPS_USER, &j), 0);
	assert_text(json_as_str(j), "\"\\/\b\f\n\r\tA\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80");
	json_free(j);
	/* half a pair has no character: whatever stands for it must be UTF-8 */
	assert_int_equal(
		parse(STR("[\"\\ud83d\",\"\\ude00\",\"\\ud83dx\",\"\\ud83d\\u0041\",\"\\ud83d\\ud83d\\ude00\"]"), &JSON_CAPS_USER, &j), 0);
	for (size_t i = 0; i < json_len(j); i++) {
		assert_true(json_as_str(json_at(j, i)).len > 0);
		assert_true(utf8_valid(json_as_str(json_at(j, i))));
	}
	json_free(j);
}

/* Before anything is built: the first call refuses, which only walks over the text. */
static void refuses_a_mebibyte_of_brackets_at_once(void **state)
{
	enum { N = 1024 * 1024 };
	static const char *const patterns[] = {"[", "{", "[{", "{\"a\":", "[]", "[],", "{},", "[[],", "0,", "\"\","};
	static const struct json_caps *const caps[] = {&JSON_CAPS_USER, &JSON_CAPS_PROVIDER};
	struct buf b = {0};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(patterns) * N_ELEMENTS(caps); i++) {
		struct json_parser p;
		const char *why = NULL;

		b.len = 0;
		buf_add_char(&b, '[');
		while (b.len < N)
			buf_add_cstr(&b, patterns[i / 2]);
		assert_int_equal(json_parser_init(&p, buf_str(&b), caps[i % 2], &why), -ERR_MALFORMED_JSON);
		assert_non_null(why);
		json_parser_fini(&p);
	}
	buf_fini(&b);
}

/* json-c takes single quotes around a key; a double quote in there must not hide what follows from the caps. */
static void single_quotes_hide_nothing(void **state)
{
	struct buf b = {0};

	(void)state;
	buf_add_str(&b, STR("{'\"':[0"));
	for (int i = 0; i < 200000; i++)
		buf_add_str(&b, STR(",0"));
	buf_add_str(&b, STR("]}"));
	assert_refused(buf_str(&b));
	assert_refused(STR("{'\"':\"\\u0000\",'\"':1}"));
	buf_fini(&b);
}

static int parse_nested(size_t depth, const char *open, const char *close, const struct json_caps *caps)
{
	struct buf b = {0};
	struct json *j;
	int result;

	for (size_t i = 0; i < depth; i++)
		buf_add_cstr(&b, open);
	buf_add_char(&b, '1');
	for (size_t i = 0; i < depth; i++)
		buf_add_cstr(&b, close);
	result = parse(buf_str(&b), caps, &j);
	if (result == 0)
		json_free(j);
	buf_fini(&b);
	return result;
}

static void nests_32_levels_deep_but_not_33(void **state)
{
	(void)state;
	assert_int_equal(parse_nested(32, "[", "]", &JSON_CAPS_USER), 0);
	assert_int_equal(parse_nested(32, "{\"k\":", "}", &JSON_CAPS_USER), 0);
	assert_int_equal(parse_nested(33, "[", "]", &JSON_CAPS_USER), -ERR_MALFORMED_JSON);
	assert_int_equal(parse_nested(33, "{\"k\":", "}", &JSON_CAPS_USER), -ERR_MALFORMED_JSON);
	assert_int_equal(parse_nested(64, "[", "]", &JSON_CAPS_PROVIDER), 0);
	assert_int_equal(parse_nested(65, "[", "]", &JSON_CAPS_PROVIDER), -ERR_MALFORMED_JSON);
	/* brackets inside of strings and behind each other do not count */
	assert_becomes(STR("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\""), STR("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\""));
	assert_becomes(STR("[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]"),
		       STR("[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]"));
}

static void takes_100000_values_but_not_one_more(void **state)
{
	struct buf b = {0};
	struct json *j;

	(void)state;
	/* the array is a value, too */
	buf_add_str(&b, STR("[0"));
	for (int i = 1; i < 99999; i++)
		buf_add_str(&b, STR(",0"));
	buf_add_char(&b, ']');
	assert_int_equal(parse(buf_str(&b), &JSON_CAPS_USER, &j), 0);
	assert_int_equal(json_len(j), 99999);
	json_free(j);
	b.len--;
	buf_add_str(&b, STR(",0]"));
	assert_int_equal(parse(buf_str(&b), &JSON_CAPS_USER, &j), -ERR_MALFORMED_JSON);
	/* commas in a string are no values */
	b.len = 0;
	buf_add_char(&b, '"');
	for (int i = 0; i < 200000; i++)
		buf_add_char(&b, ',');
	buf_add_char(&b, '"');
	assert_int_equal(parse(buf_str(&b), &JSON_CAPS_USER, &j), 0);
	json_free(j);
	buf_fini(&b);
}

/* Parses in slices; the number of steps goes to *n_steps. */
static int parse_sliced(struct str text, struct json **out, unsigned *n_steps)
{
	struct json_parser p;
	const char *why = NULL;
	int result = json_parser_init(&p, text, &JSON_CAPS_USER, &why);

	*out = NULL;
	for (*n_steps = 0; result == 0; ++*n_steps)
		result = json_parser_step(&p, out, &why);
	json_parser_fini(&p);
	if (result < 0)
		assert_non_null(why);
	return result;
}

/* The seams between slices lie at fixed places, so what crosses them is moved along by blanks in front. */
static void gives_the_same_wherever_a_slice_ends(void **state)
{
	static const struct str middle = CONST_STR(
		"{\"k\\u00e9y\":[-12.5e+3,0,true,false,null,\"\\ud83d\\ude00\xF0\x9F\x98\x80\\n\\\\\\\"\"],\"n\":-9007199254740993}");
	static const struct str expected = CONST_STR(
		"{\"k\xC3\xA9y\":[-12.5e+3,0,true,false,null,\"\xF0\x9F\x98\x80\xF0\x9F\x98\x80\\n\\\\\\\"\"],\"n\":-9007199254740993}");
	enum { SLICE = 64 * 1024 };

	(void)state;
	for (size_t shift = 0; shift <= middle.len + 2; shift++) {
		struct buf b = {0};
		struct json *j;
		unsigned n_steps;

		memset(buf_reserve(&b, SLICE), ' ', SLICE);
		b.len = SLICE - shift;
		buf_add_str(&b, middle);
		buf_add_str(&b, STR("  \n"));
		assert_int_equal(parse_sliced(buf_str(&b), &j, &n_steps), 1);
		assert_str(json_text(j), expected);
		json_free(j);
		/* with something behind it, it is wrong at every place */
		b.len--;
		buf_add_str(&b, STR("x"));
		assert_int_equal(parse_sliced(buf_str(&b), &j, &n_steps), -ERR_MALFORMED_JSON);
		/* and so it is when it is cut */
		b.len = SLICE - shift + middle.len - 1;
		assert_int_equal(parse_sliced(buf_str(&b), &j, &n_steps), -ERR_MALFORMED_JSON);
		buf_fini(&b);
	}
}

static void cuts_single_values_at_the_seam(void **state)
{
	static const char *const values[] = {"true", "null", "-1234.5e-6", "1234567", "\"abc\"", "[]", "{}", "0"};
	enum { SLICE = 64 * 1024 };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(values); i++) {
		for (size_t shift = 0; shift <= strlen(values[i]) + 1; shift++) {
			for (size_t after = 0; after < 2; after++) {
				struct buf b = {0};
				struct json *j;
				unsigned n_steps;

				memset(buf_reserve(&b, SLICE), ' ', SLICE);
				b.len = SLICE - shift;
				buf_add_cstr(&b, values[i]);
				for (size_t k = 0; k < after * SLICE; k++)
					buf_add_char(&b, ' ');
				assert_int_equal(parse_sliced(buf_str(&b), &j, &n_steps), 1);
				assert_str(json_text(j), str_from(values[i]));
				json_free(j);
				buf_add_str(&b, STR(" 1"));
				assert_int_equal(parse_sliced(buf_str(&b), &j, &n_steps), -ERR_MALFORMED_JSON);
				buf_fini(&b);
			}
		}
	}
}

static void takes_a_step_for_each_64_kibibytes(void **state)
{
	struct buf b = {0};
	struct json *j;
	unsigned n_steps;

	(void)state;
	buf_add_char(&b, '"');
	for (int i = 0; i < 1024 * 1024; i++)
		buf_add_char(&b, (char)('a' + i % 26));
	buf_add_char(&b, '"');
	assert_int_equal(parse_sliced(buf_str(&b), &j, &n_steps), 1);
	assert_in_range(n_steps, 16, 18);
	assert_int_equal(json_as_str(j).len, 1024 * 1024);
	assert_memory_equal(json_as_str(j).p, b.p + 1, 1024 * 1024);
	json_free(j);
	buf_fini(&b);
}

static void may_be_given_up_in_the_middle(void **state)
{
	struct json_parser p;
	const char *why = NULL;
	struct buf b = {0};
	struct json *j = NULL;

	(void)state;
	buf_add_str(&b, STR("[\"x\",{\"a\":["));
	for (int i = 0; i < 30000; i++)
		buf_add_str(&b, STR("1234,"));
	buf_add_str(&b, STR("1]}]"));
	assert_int_equal(json_parser_init(&p, buf_str(&b), &JSON_CAPS_USER, &why), 0);
	assert_int_equal(json_parser_step(&p, &j, &why), 0);
	json_parser_fini(&p);
	json_parser_fini(&p);
	buf_fini(&b);
}

static void a_number_of_a_mebibyte_does_not_take_for_ever(void **state)
{
	enum { N = 1024 * 1024 };
	clock_t began = clock();
	struct buf b = {0};
	struct json *j;

	(void)state;
	memset(buf_reserve(&b, N), '9', N);
	b.len = N;
	if (parse(buf_str(&b), &JSON_CAPS_USER, &j) == 0)
		json_free(j);
	b.p[1] = '.';
	if (parse(buf_str(&b), &JSON_CAPS_USER, &j) == 0)
		json_free(j);
	assert_true(clock() - began < 3 * CLOCKS_PER_SEC);
	buf_fini(&b);
}

static struct json *parsed(const char *text)
{
	struct json *j;

	assert_int_equal(parse(str_from(text), &JSON_CAPS_USER, &j), 0);
	return j;
}

static void finds_members_and_forgives_wrong_types(void **state)
{
	struct json *j = parsed("{\"s\":\"x\",\"i\":7,\"d\":1.5,\"t\":true,\"n\":null,\"a\":[1,\"2\",null],\"o\":{\"k\":\"v\"}}");
	const struct json *a = json_get(j, "a");

	(void)state;
	assert_int_equal(json_kind(j), JSON_OBJECT);
	assert_int_equal(json_kind(json_get(j, "s")), JSON_STRING);
	assert_int_equal(json_kind(json_get(j, "i")), JSON_INT);
	assert_int_equal(json_kind(json_get(j, "d")), JSON_NUMBER);
	assert_int_equal(json_kind(json_get(j, "t")), JSON_BOOL);
	assert_int_equal(json_kind(a), JSON_ARRAY);
	assert_int_equal(json_kind(NULL), JSON_NULL);
	assert_null(json_get(j, "n"));
	assert_null(json_get(j, "absent"));
	assert_null(json_get(a, "k"));
	assert_null(json_get(NULL, "k"));
	assert_text(json_as_str(json_get(j, "s")), "x");
	assert_text(json_as_str(json_get(j, "i")), "");
	assert_text(json_as_str(NULL), "");
	assert_int_equal(json_as_int(json_get(j, "i"), -1), 7);
	assert_int_equal(json_as_int(json_get(j, "d"), -1), -1);
	assert_int_equal(json_as_int(json_get(j, "s"), -1), -1);
	assert_int_equal(json_as_int(NULL, -1), -1);
	assert_true(json_as_bool(json_get(j, "t"), false));
	assert_true(json_as_bool(json_get(j, "i"), true));
	assert_int_equal(json_len(a), 3);
	assert_int_equal(json_len(j), 0);
	assert_int_equal(json_len(NULL), 0);
	assert_int_equal(json_as_int(json_at(a, 0), -1), 1);
	assert_null(json_at(a, 2));
	assert_null(json_at(a, 3));
	assert_null(json_at(a, SIZE_MAX));
	assert_null(json_at(j, 0));
	assert_null(json_at(NULL, 0));
	assert_text(json_text(json_get(j, "o")), "{\"k\":\"v\"}");
	json_free(j);
	json_free(NULL);
	assert_int_equal(parse(STR("null"), &JSON_CAPS_USER, &j), 0);
	assert_int_equal(json_kind(j), JSON_NULL);
	json_free(j);
}

static void assert_complaint(const struct json_complaint *c, const char *field, const char *one, const char *two)
{
	assert_string_equal(c->field, field);
	if (!strstr(c->sentence, field) || !strstr(c->sentence, one) || !strstr(c->sentence, two))
		fail_msg("the sentence says not enough: %s", c->sentence);
}

static void reads_strings_and_complains_with_field_and_limits(void **state)
{
	struct json *j = parsed("{\"two\":\"\xE4\xB8\xAD\xE6\x96\x87\",\"seven\":7,\"empty\":\"\",\"none\":null}");
	struct json_complaint c;
	struct str s = STR("before");

	(void)state;
	assert_true(json_read_str(j, "two", true, 2, 2, &s, &c)); /* characters, not bytes */
	assert_text(s, "\xE4\xB8\xAD\xE6\x96\x87");
	assert_false(json_read_str(j, "two", true, 3, 40, &s, &c));
	assert_complaint(&c, "two", "3", "40");
	assert_false(json_read_str(j, "two", true, 0, 1, &s, &c));
	assert_complaint(&c, "two", "0", "1");
	assert_false(json_read_str(j, "seven", true, 0, 9, &s, &c));
	assert_complaint(&c, "seven", "string", "");
	assert_false(json_read_str(j, "absent", true, 0, 9, &s, &c));
	assert_complaint(&c, "absent", "required", "");
	assert_false(json_read_str(j, "none", true, 0, 9, &s, &c));
	assert_complaint(&c, "none", "required", "");
	s = STR("before");
	assert_true(json_read_str(j, "absent", false, 3, 9, &s, &c));
	assert_true(json_read_str(j, "none", false, 3, 9, &s, &c));
	assert_text(s, "before");
	assert_true(json_read_str(j, "empty", true, 0, 9, &s, &c));
	assert_int_equal(s.len, 0);
	assert_false(json_read_str(j, "empty", false, 1, 9, &s, &c));
	json_free(j);
}

static void reads_whole_numbers_and_complains(void **state)
{
	struct json *j = parsed("{\"i\":5,\"d\":5.0,\"s\":\"5\",\"big\":99999999999999999999,\"least\":-9223372036854775808,\"t\":true}");
	struct json_complaint c;
	int64_t n = 42;

	(void)state;
	assert_true(json_read_int(j, "absent", false, 0, 1, &n, &c));
	assert_int_equal(n, 42);
	assert_true(json_read_int(j, "i", true, 5, 5, &n, &c));
	assert_int_equal(n, 5);
	assert_false(json_read_int(j, "i", true, 6, 12345, &n, &c));
	assert_complaint(&c, "i", "6", "12345");
	assert_false(json_read_int(j, "i", true, -77, 4, &n, &c));
	assert_complaint(&c, "i", "-77", "4");
	assert_false(json_read_int(j, "d", true, 0, 9, &n, &c));
	assert_complaint(&c, "d", "whole number", "9");
	assert_false(json_read_int(j, "s", true, 0, 9, &n, &c));
	assert_false(json_read_int(j, "t", true, 0, 9, &n, &c));
	assert_false(json_read_int(j, "big", true, 0, 1000000, &n, &c));
	assert_true(json_read_int(j, "least", true, INT64_MIN, 0, &n, &c));
	assert_true(n == INT64_MIN);
	assert_false(json_read_int(j, "absent", true, 0, 9, &n, &c));
	assert_complaint(&c, "absent", "required", "");
	json_free(j);
}

static void reads_numbers_and_complains(void **state)
{
	struct json *j = parsed("{\"i\":1,\"d\":0.25,\"huge\":1e999,\"s\":\"1\",\"t\":true,\"a\":[1]}");
	struct json_complaint c;
	double d = 42;

	(void)state;
	assert_true(json_read_number(j, "absent", false, 0, 1, &d, &c) && d == 42);
	assert_true(json_read_number(j, "i", true, 0, 1, &d, &c) && d == 1);
	assert_true(json_read_number(j, "d", true, 0.25, 0.25, &d, &c) && d == 0.25);
	assert_false(json_read_number(j, "d", true, 0.5, 2, &d, &c));
	assert_complaint(&c, "d", "0.5", "2");
	assert_false(json_read_number(j, "huge", true, 0, 1e308, &d, &c));
	assert_false(json_read_number(j, "s", true, 0, 2, &d, &c));
	assert_false(json_read_number(j, "t", true, 0, 2, &d, &c));
	assert_false(json_read_number(j, "a", true, 0, 2, &d, &c));
	assert_complaint(&c, "a", "number", "2");
	json_free(j);
}

static void reads_booleans_and_complains(void **state)
{
	struct json *j = parsed("{\"t\":true,\"f\":false,\"i\":1,\"s\":\"true\"}");
	struct json_complaint c;
	bool b = true;

	(void)state;
	assert_true(json_read_bool(j, "absent", &b, &c) && b);
	assert_true(json_read_bool(j, "f", &b, &c) && !b);
	assert_true(json_read_bool(j, "t", &b, &c) && b);
	assert_false(json_read_bool(j, "i", &b, &c));
	assert_complaint(&c, "i", "true", "false");
	assert_false(json_read_bool(j, "s", &b, &c));
	json_free(j);
}

static void a_complaint_is_cut_not_overrun(void **state)
{
	struct json_complaint c;
	char field[300], text[600];

	(void)state;
	memset(field, 'f', sizeof(field));
	field[sizeof(field) - 1] = '\0';
	memset(text, 't', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_false(json_complain(&c, field, "%s", text));
	assert_int_equal(strlen(c.field), sizeof(c.field) - 1);
	assert_int_equal(strlen(c.sentence), sizeof(c.sentence) - 1);
}

static void survives_random_damage(void **state)
{
	static const char sample[] =
		"{\"agentId\":\"a\\u00e9\",\"messages\":[{\"role\":\"user\",\"content\":\"h\xC3\xA9llo\"},null,true,-1.5e3],\"n\":{}}";
	uint32_t seed = 77;
	unsigned n_good = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char text[sizeof(sample)];
		size_t len = sizeof(sample) - 1;
		struct json *j;

		memcpy(text, sample, sizeof(sample));
		for (uint32_t i = next_random(&seed) % 3; i > 0; i--)
			text[next_random(&seed) % len] = "{}[]\",:\\u0tn1-.eE x\n"[next_random(&seed) % 20];
		if (next_random(&seed) % 8 == 0)
			len = next_random(&seed) % len;
		if (parse((struct str){text, len}, &JSON_CAPS_USER, &j) == 0) {
			struct str again = json_text(j);
			struct json *k;

			n_good++;
			/* what was taken is written out as JSON that is taken, too */
			assert_int_equal(parse(again, &JSON_CAPS_USER, &k), 0);
			assert_str(json_text(k), again);
			json_free(k);
			json_free(j);
		}
	}
	assert_true(n_good > 1000);
}

static void note_member(void *arg, const char *key, const struct json *value)
{
	buf_printf(arg, "%s=%.*s;", key, STR_ARG(json_text(value)));
}

static void walks_the_members_of_an_object_in_order(void **state)
{
	static const struct {
		const char *text, *members;
	} samples[] = {
		{"{\"b\":[1, {\"x\":\"\\u00e9/\"}],\"a\":null,\"\":1.50,\"b2\":true}", "b=[1,{\"x\":\"\xC3\xA9/\"}];a=null;=1.50;b2=true;"},
		{"{\"twice\":1,\"twice\":2}", "twice=2;"},
		{"{}", ""},
		{"[1,2]", ""},
		{"\"text\"", ""},
		{"null", ""},
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		struct buf seen = {0};
		struct json *j;
		const char *why;

		assert_int_equal(json_parse(str_from(samples[i].text), &JSON_CAPS_USER, &j, &why), 0);
		json_each(j, note_member, &seen);
		assert_str(buf_str(&seen), str_from(samples[i].members));
		buf_fini(&seen);
		json_free(j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_the_rfc_allows),
		cmocka_unit_test(refuses_what_the_rfc_does_not_know),
		cmocka_unit_test(refuses_an_escaped_nul_of_users_only),
		cmocka_unit_test(decodes_escapes),
		cmocka_unit_test(refuses_a_mebibyte_of_brackets_at_once),
		cmocka_unit_test(single_quotes_hide_nothing),
		cmocka_unit_test(nests_32_levels_deep_but_not_33),
		cmocka_unit_test(takes_100000_values_but_not_one_more),
		cmocka_unit_test(gives_the_same_wherever_a_slice_ends),
		cmocka_unit_test(cuts_single_values_at_the_seam),
		cmocka_unit_test(takes_a_step_for_each_64_kibibytes),
		cmocka_unit_test(may_be_given_up_in_the_middle),
		cmocka_unit_test(a_number_of_a_mebibyte_does_not_take_for_ever),
		cmocka_unit_test(finds_members_and_forgives_wrong_types),
		cmocka_unit_test(reads_strings_and_complains_with_field_and_limits),
		cmocka_unit_test(reads_whole_numbers_and_complains),
		cmocka_unit_test(reads_numbers_and_complains),
		cmocka_unit_test(reads_booleans_and_complains),
		cmocka_unit_test(a_complaint_is_cut_not_overrun),
		cmocka_unit_test(walks_the_members_of_an_object_in_order),
		cmocka_unit_test(survives_random_damage),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
