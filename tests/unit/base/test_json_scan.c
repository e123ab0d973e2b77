/* Picking values out of JSON: what is found at a path, every kind of value, and that just what json_parse takes is taken. */
#include "base/json_scan.h"

#include "base/err.h"
#include "tests/unit/support.h"

/* A copy that is exactly as long, so that reading past its end is noticed. */
static char *copy_of(struct str text)
{
	char *copy = malloc(text.len ? text.len : 1);

	if (text.len)
		memcpy(copy, text.p, text.len);
	return copy;
}

static int scan_only(struct str text)
{
	static const char *const paths[] = {"", ".a", "[0]"};
	struct json_found found[N_ELEMENTS(paths)];
	char *copy = copy_of(text);
	int result = json_scan((struct str){copy, text.len}, paths, N_ELEMENTS(paths), found);

	free(copy);
	return result;
}

static void assert_taken(struct str text)
{
	if (scan_only(text) != 0)
		fail_msg("refused: %.*s", (int)text.len, text.len ? text.p : "");
}

static void assert_refused(struct str text)
{
	if (scan_only(text) != -ERR_MALFORMED_JSON)
		fail_msg("taken: %.*s", (int)text.len, text.len ? text.p : "");
}

/* What stands at one path: its kind, how it is written, and what it means if it is a string. */
static void check(struct str text, const char *path, enum json_kind kind, struct str raw, struct str meaning)
{
	char *copy = copy_of(text);
	struct json_found f;
	struct buf scratch = {0};

	if (json_scan((struct str){copy, text.len}, &path, 1, &f) != 0)
		fail_msg("refused: %.*s", (int)text.len, text.len ? text.p : "");
	if (f.kind != kind)
		fail_msg("%.*s: %s is of kind %d", STR_ARG(text), path, (int)f.kind);
	assert_str(f.raw, raw);
	assert_str(json_found_str(&f, &scratch), meaning);
	buf_fini(&scratch);
	free(copy);
}
#define CHECK(text, path, kind, raw)      check(STR(text), path, kind, STR(raw), STR(""))
#define CHECK_STR(text, path, raw, means) check(STR(text), path, JSON_STRING, STR(raw), STR(means))
#define CHECK_ABSENT(text, path)          CHECK(text, path, JSON_NULL, "")

static void finds_every_kind_of_value(void **state)
{
	(void)state;
	CHECK("null", "", JSON_NULL, "null");
	CHECK("true", "", JSON_BOOL, "true");
	CHECK("{\"a\":false}", ".a", JSON_BOOL, "false");
	CHECK("[1,-12]", "[1]", JSON_INT, "-12");
	CHECK("0", "", JSON_INT, "0");
	CHECK("1.5", "", JSON_NUMBER, "1.5");
	CHECK("-0e+1", "", JSON_NUMBER, "-0e+1");
	CHECK("2E9", "", JSON_NUMBER, "2E9");
	CHECK(" [ 1 , [ ] ] ", "", JSON_ARRAY, "[ 1 , [ ] ]");
	CHECK("{\"a\":{ \"b\":{}}}", ".a", JSON_OBJECT, "{ \"b\":{}}");
	CHECK_STR("\"\"", "", "", "");
	CHECK_STR("[\"x\"]", "[0]", "x", "x");
	CHECK_STR("[\"\xE4\xB8\xAD\x7F\"]", "[0]", "\xE4\xB8\xAD\x7F", "\xE4\xB8\xAD\x7F");
}

static void follows_paths(void **state)
{
#define SAMPLE "{\"x\":[0,{\"a\":[\"no\"]}],\"a\":{\"b\":[[],{\"c\":\"yes\",\"cc\":1}],\"ab\":2},\"b\":3}"
	(void)state;
	CHECK_STR(SAMPLE, ".a.b[1].c", "yes", "yes");
	CHECK(SAMPLE, ".a.b[1].cc", JSON_INT, "1");
	CHECK(SAMPLE, ".a.b[0]", JSON_ARRAY, "[]");
	CHECK(SAMPLE, ".a.ab", JSON_INT, "2");
	CHECK(SAMPLE, ".b", JSON_INT, "3");
	CHECK(SAMPLE, ".x[0]", JSON_INT, "0");
	CHECK_ABSENT(SAMPLE, ".a.b[2]");
	CHECK_ABSENT(SAMPLE, ".a.b[11]");
	CHECK_ABSENT(SAMPLE, ".a.b.c");
	CHECK_ABSENT(SAMPLE, ".a[0]");
	CHECK_ABSENT(SAMPLE, ".b.c");
	CHECK_ABSENT(SAMPLE, ".c");
	CHECK_ABSENT(SAMPLE, "[0]");
	CHECK("[0,1,2,3,4,5,6,7,8,9,10,11]", "[10]", JSON_INT, "10");
	/* names are compared by what they mean, and separators in them separate nothing */
	CHECK("{\"\\u0061\\u002f\":1}", ".a/", JSON_INT, "1");
	CHECK_ABSENT("{\"a.b\":1,\"a[0]\":2,\"\":3,\"a\\u0000\":4}", ".a.b");
	CHECK_ABSENT("{\"a.b\":1,\"a[0]\":2,\"\":3,\"a\\u0000\":4}", ".a[0]");
	CHECK_ABSENT("{\"a.b\":1,\"a[0]\":2,\"\":3,\"a\\u0000\":4}", ".a");
	CHECK_ABSENT("{\"0\":1}", "[0]");
}

static void finds_many_at_once(void **state)
{
	static const char *const paths[] = {".c[0].d.t", ".c[0].d", ".c", ".c[0].f", ".u.n", "", ".e", ".c[0].d.t2"};
	struct json_found f[N_ELEMENTS(paths)];

	(void)state;
	assert_int_equal(
		json_scan(STR("{\"c\":[{\"d\":{\"t\":\"x\"},\"f\":null},{\"f\":1}],\"u\":{\"n\":7}}"), paths, N_ELEMENTS(paths), f), 0);
	assert_text(f[0].raw, "x");
	assert_text(f[1].raw, "{\"t\":\"x\"}");
	assert_text(f[2].raw, "[{\"d\":{\"t\":\"x\"},\"f\":null},{\"f\":1}]");
	assert_int_equal(f[3].kind, JSON_NULL);
	assert_int_equal(json_found_int(&f[4], -1), 7);
	assert_int_equal(f[5].kind, JSON_OBJECT);
	assert_int_equal(f[6].kind, JSON_NULL);
	assert_int_equal(f[7].kind, JSON_NULL);
}

static void takes_as_many_paths_as_it_says(void **state)
{
	const char *paths[JSON_SCAN_MAX_PATHS];
	struct json_found f[JSON_SCAN_MAX_PATHS];

	(void)state;
	for (size_t i = 0; i < JSON_SCAN_MAX_PATHS; i++)
		paths[i] = i % 2 ? "[1]" : "[0]";
	assert_int_equal(json_scan(STR("[3,4]"), paths, JSON_SCAN_MAX_PATHS, f), 0);
	for (size_t i = 0; i < JSON_SCAN_MAX_PATHS; i++)
		assert_int_equal(json_found_int(&f[i], 0), i % 2 ? 4 : 3);
}

static void counts_the_last_of_members_with_one_name(void **state)
{
	(void)state;
	CHECK("{\"a\":1,\"a\":2}", ".a", JSON_INT, "2");
	CHECK("{\"a\":1,\"\\u0061\":2}", ".a", JSON_INT, "2");
	CHECK("{\"a\":1,\"a\":null}", ".a", JSON_NULL, "null");
	CHECK_ABSENT("{\"a\":{\"b\":1},\"a\":{}}", ".a.b");
	CHECK_ABSENT("{\"a\":{\"b\":1},\"a\":7}", ".a.b");
	CHECK_ABSENT("{\"a\":{\"b\":[1]},\"a\":{\"b\":[]}}", ".a.b[0]");
}

static void decodes_escapes(void **state)
{
	(void)state;
	check(STR("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u4E2D\\ud83d\\uDE00z\"]"), "[0]", JSON_STRING,
	      STR("\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u4E2D\\ud83d\\uDE00z"),
	      STR("\"\\/\b\f\n\r\tA\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80z"));
	CHECK_STR("\"\\uDBFF\\uDFFF\\uFFFF\\u07ff\\u0800\"", "", "\\uDBFF\\uDFFF\\uFFFF\\u07ff\\u0800",
		  "\xF4\x8F\xBF\xBF\xEF\xBF\xBF\xDF\xBF\xE0\xA0\x80");
	CHECK_STR("\"a\\u0000b\"", "", "a\\u0000b", "a\0b");
	/* half a pair */
	CHECK_STR("\"\\ud83d\"", "", "\\ud83d", "\xEF\xBF\xBD");
	CHECK_STR("\"\\ude00x\"", "", "\\ude00x", "\xEF\xBF\xBDx");
	CHECK_STR("\"\\ud83d\\u0041\"", "", "\\ud83d\\u0041",
		  "\xEF\xBF\xBD"
		  "A");
	CHECK_STR("\"\\ud83d\\n\"", "", "\\ud83d\\n", "\xEF\xBF\xBD\n");
	CHECK_STR("\"\\ud83d\\ud83d\\ude00\"", "", "\\ud83d\\ud83d\\ude00", "\xEF\xBF\xBD\xF0\x9F\x98\x80");
	CHECK_STR("\"\\ude00\\ud83d\"", "", "\\ude00\\ud83d", "\xEF\xBF\xBD\xEF\xBF\xBD");
}

/* The buffer is used again from its start, and only for what has escapes. */
static void borrows_what_it_can(void **state)
{
	static const char *const paths[] = {"[0]", "[1]", "[2]"};
	struct str text = STR("[\"plain\",\"one\\n\",\"\\t2\"]");
	struct json_found f[3];
	struct buf scratch = {0};

	(void)state;
	assert_int_equal(json_scan(text, paths, 3, f), 0);
	assert_ptr_equal(json_found_str(&f[0], &scratch).p, text.p + 2);
	assert_int_equal(scratch.size, 0);
	assert_text(json_found_str(&f[1], &scratch), "one\n");
	assert_text(json_found_str(&f[2], &scratch), "\t2");
	buf_fini(&scratch);
}

static int64_t int_of(const char *text)
{
	static const char *const paths[] = {""};
	struct json_found f;

	assert_int_equal(json_scan(str_from(text), paths, 1, &f), 0);
	return json_found_int(&f, 77);
}

static void reads_whole_numbers_within_bounds(void **state)
{
	(void)state;
	assert_true(int_of("0") == 0 && int_of("-0") == 0 && int_of("-12") == -12);
	assert_true(int_of("9223372036854775807") == INT64_MAX && int_of("-9223372036854775808") == INT64_MIN);
	assert_true(int_of("9223372036854775808") == INT64_MAX && int_of("-99999999999999999999") == INT64_MIN);
	assert_true(int_of("1.0") == 77 && int_of("1e3") == 77 && int_of("\"1\"") == 77 && int_of("null") == 77 && int_of("[1]") == 77);
}

static const char *const good[] = {
	"{}",
	"[]",
	"[[],{}]",
	"\"\"",
	"\"x\"",
	"true",
	"false",
	"null",
	"0",
	"-0.0",
	"12",
	"-12",
	"0.5",
	"1e5",
	"1E-2",
	"1.5e+3",
	" \t\r\n{ \"a\" : [ 1 , 2 ] } \n\r\t ",
	"{\"a\":1,\"b\":[true,false,null]}",
	"{\"\":1}",
	"\"\x7F\"",
	"1e999",
	"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"tok\\n\\u4e2d\\ud83d\\ude00\"},\"finish_reason\":null}]}",
};

static void takes_what_the_rfc_allows(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(good); i++)
		assert_taken(str_from(good[i]));
}

/* json_parse is asked, too: a number that is cut is a number, a sample may end in blanks. */
static void refuses_every_cut_text_that_json_parse_refuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(good); i++) {
		for (size_t n = 0; n < strlen(good[i]); n++) {
			struct str cut = {good[i], n};
			struct json *j;
			const char *why;
			int expected = json_parse(cut, &JSON_CAPS_PROVIDER, &j, &why);

			if (expected == 0)
				json_free(j);
			if (scan_only(cut) != expected)
				fail_msg("%.*s: not %d", STR_ARG(cut), expected);
			if (good[i][0] == '{' || good[i][0] == '[' || good[i][0] == '"')
				assert_int_equal(expected, -ERR_MALFORMED_JSON);
		}
	}
}

static void refuses_what_the_rfc_does_not_know(void **state)
{
	/* clang-format off */
	static const char *const samples[] = {
		"", " ", "\n", "{", "[", "}", "]", "[}", "{]", "[[]", "[]]", "{\"a\"", "{\"a\":", "{\"a\":1", "\"a", "\"\\", "\"\\u00",
		/* numbers */
		"NaN", "-NaN", "Infinity", "-Inf", "01", "-01", "00", "-", "+1", "--1", "1.", "-1.", ".5", "-.5", "2.e1", "1e", "1e+", "1.5.5", "1e5.5",
		"1-2", "1e1e1", "0x10", "1_0", "[1.]", "[01]", "{\"a\":.5}", "[1 2]",
		/* words */
		"True", "NULL", "nul", "tru", "nullx", "truefalse", "undefined",
		/* commas, colons, names */
		"[1,]", "[,1]", "[1,,2]", "[,]", "{\"a\":1,}", "{,}", "{a:1}", "{1:2}", "{\"a\" 1}", "{\"a\":}", "[\"a\":1]", "{\"a\":1 \"b\":2}",
		"{\"a\",1}", "{\"a\"}", ",", ":",
		/* strings */
		"'a'", "{'a':1}", "\"\\x41\"", "\"\\'\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\U0041\"", "\"\t\"", "\"\n\"", "\"a\x01\"", "{\"\n\":1}",
		"\"\\ud83d\\u12\"", "\"\\ud83d\\x\"",
		/* more than one value */
		"1 2", "[] []", "{}{}", "[]x", "null null", "\"\"\"\"", "[1],",
		/* comments and odd blanks */
		"/* c */ 1", "1 // c", "[1 /* c */]", "\v1", "1\f", "\xC2\xA0 1", "\xEF\xBB\xBF{}",
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
	assert_refused(STR("[1,\0]"));
	assert_refused(STR("\"a\0b\""));
	assert_refused(STR("\"a\\\0\""));
	assert_refused(STR("1\0"));
}

static void check_nested(size_t depth, const char *open, const char *close, bool taken)
{
	struct buf b = {0};

	for (size_t i = 0; i < depth; i++)
		buf_add_cstr(&b, open);
	buf_add_char(&b, '1');
	for (size_t i = 0; i < depth; i++)
		buf_add_cstr(&b, close);
	assert_int_equal(scan_only(buf_str(&b)), taken ? 0 : -ERR_MALFORMED_JSON);
	buf_fini(&b);
}

static void nests_as_deep_as_json_parse(void **state)
{
	(void)state;
	check_nested(JSON_PROVIDER_DEPTH, "[", "]", true);
	check_nested(JSON_PROVIDER_DEPTH, "{\"a\":", "}", true);
	check_nested(JSON_PROVIDER_DEPTH + 1, "[", "]", false);
	check_nested(JSON_PROVIDER_DEPTH + 1, "{\"a\":", "}", false);
	check_nested(100000, "[", "]", false);
}

/* A name may be spelt with more escapes than a path could have; it is then no name that is looked for. */
static void passes_over_a_long_name(void **state)
{
	struct json_found f;
	const char *path = ".a";
	struct buf b = {0};

	(void)state;
	buf_add_str(&b, STR("{\""));
	for (int i = 0; i < 5000; i++)
		buf_add_str(&b, STR("\\u0061"));
	buf_add_str(&b, STR("\":1,\"a\":2}"));
	assert_int_equal(json_scan(buf_str(&b), &path, 1, &f), 0);
	assert_int_equal(json_found_int(&f, 0), 2);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_every_kind_of_value),
		cmocka_unit_test(follows_paths),
		cmocka_unit_test(finds_many_at_once),
		cmocka_unit_test(takes_as_many_paths_as_it_says),
		cmocka_unit_test(counts_the_last_of_members_with_one_name),
		cmocka_unit_test(decodes_escapes),
		cmocka_unit_test(borrows_what_it_can),
		cmocka_unit_test(reads_whole_numbers_within_bounds),
		cmocka_unit_test(takes_what_the_rfc_allows),
		cmocka_unit_test(refuses_every_cut_text_that_json_parse_refuses),
		cmocka_unit_test(refuses_what_the_rfc_does_not_know),
		cmocka_unit_test(nests_as_deep_as_json_parse),
		cmocka_unit_test(passes_over_a_long_name),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
