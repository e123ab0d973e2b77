/* Emitting JSON: commas, escapes, numbers; what is written is read back as it was. */
#include "base/json.h"

#include <math.h>

#include "tests/unit/support.h"

static void assert_reads_back(struct str json, struct str expected)
{
	const char *why = "";
	struct json *j;

	assert_int_equal(json_parse(json, &JSON_CAPS_PROVIDER, &j, &why), 0);
	assert_str(json_as_str(j), expected);
	json_free(j);
}

static void puts_commas_by_itself(void **state)
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	(void)state;
	json_open(&w, '{');
	json_add_cstr(&w, "a", "x");
	json_add_str(&w, "b", STR("y"));
	json_add_cstr(&w, "c", NULL);
	json_add_int(&w, "d", INT64_MIN);
	json_add_bool(&w, "e", true);
	json_key(&w, "f");
	json_open(&w, '[');
	json_close(&w, ']');
	json_key(&w, "g");
	json_open(&w, '[');
	json_put_int(&w, 1);
	json_put_null(&w);
	json_put_bool(&w, false);
	json_put_str(&w, STR(""));
	json_open(&w, '{');
	json_close(&w, '}');
	json_open(&w, '{');
	json_add_int(&w, "h", 2);
	json_close(&w, '}');
	json_put_raw(&w, STR("[3]"));
	json_put_number(&w, 0.5);
	json_close(&w, ']');
	json_key(&w, "i");
	json_put_raw(&w, STR("{}"));
	json_close(&w, '}');
	assert_text(buf_str(&b), "{\"a\":\"x\",\"b\":\"y\",\"c\":null,\"d\":-9223372036854775808,\"e\":true,\"f\":[],"
				 "\"g\":[1,null,false,\"\",{},{\"h\":2},[3],0.5],\"i\":{}}");
	buf_fini(&b);
}

static void escapes_every_control_character_and_nothing_else(void **state)
{
	struct buf b = {0};

	(void)state;
	for (int c = 0; c < 128; c++) {
		char one = (char)c;

		b.len = 0;
		json_quote(&b, (struct str){&one, 1});
		assert_reads_back(buf_str(&b), (struct str){&one, 1});
		if (c >= 0x20 && c != '"' && c != '\\')
			assert_int_equal(b.len, 3);
		for (size_t i = 0; i < b.len; i++)
			assert_true((unsigned char)b.p[i] >= 0x20);
	}
	b.len = 0;
	json_quote(&b, STR("a\"b\\c\nd\te\rf\x01g"));
	assert_text(buf_str(&b), "\"a\\\"b\\\\c\\nd\\te\\rf\\u0001g\"");
	buf_fini(&b);
}

static void passes_other_scripts_through(void **state)
{
	struct str text = STR("\xE4\xB8\xAD\xE6\x96\x87 \xF0\x9F\x98\x80 \xE2\x80\xA8\xE2\x80\xA9 \xEF\xBF\xBF \x7F </script>");
	struct buf b = {0};

	(void)state;
	json_quote(&b, text);
	assert_reads_back(buf_str(&b), text);
	b.len = 0;
	json_quote(&b, (struct str){NULL, 0});
	assert_text(buf_str(&b), "\"\"");
	buf_fini(&b);
}

static void long_text_comes_back_as_it_was(void **state)
{
	struct buf text = {0}, b = {0};
	uint32_t seed = 8;

	(void)state;
	for (int i = 0; i < 50000; i++)
		buf_add_char(&text, (char)(next_random(&seed) % 128));
	json_quote(&b, buf_str(&text));
	assert_reads_back(buf_str(&b), buf_str(&text));
	buf_fini(&text);
	buf_fini(&b);
}

static void writes_numbers_that_are_json(void **state)
{
	static const double numbers[] = {0, -0.0, 0.1, 0.7, 1.0 / 3, 1e300, -1e-300, 5e-324, 1759492800.123, 123456789012.0, 2, 1e15};
	struct buf b = {0};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(numbers); i++) {
		struct json_writer w = {.out = &b};
		struct json_complaint complaint;
		const char *why = "";
		struct json *j;
		double back = 42;

		b.len = 0;
		json_open(&w, '{');
		json_key(&w, "n");
		json_put_number(&w, numbers[i]);
		json_close(&w, '}');
		assert_int_equal(json_parse(buf_str(&b), &JSON_CAPS_USER, &j, &why), 0);
		assert_true(json_read_number(j, "n", true, -INFINITY, INFINITY, &back, &complaint));
		assert_true(fabs(back - numbers[i]) <= fabs(numbers[i]) * 1e-11);
		json_free(j);
	}
	for (int i = 0; i < 3; i++) {
		struct json_writer w = {.out = &b};

		b.len = 0;
		json_put_number(&w, i == 0 ? (double)NAN : i == 1 ? (double)INFINITY : -(double)INFINITY);
		assert_text(buf_str(&b), "null");
	}
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(puts_commas_by_itself),        cmocka_unit_test(escapes_every_control_character_and_nothing_else),
		cmocka_unit_test(passes_other_scripts_through), cmocka_unit_test(long_text_comes_back_as_it_was),
		cmocka_unit_test(writes_numbers_that_are_json),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
