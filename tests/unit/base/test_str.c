/* Text: UTF-8 by table, numbers at the edges, cutting and trimming. */
#include "base/str.h"

#include "tests/unit/support.h"

/* A copy that is exactly as long, so that reading past its end is noticed. */
static bool valid(struct str s)
{
	char *copy = malloc(s.len ? s.len : 1);
	bool result;

	memcpy(copy, s.p, s.len);
	result = utf8_valid((struct str){copy, s.len});
	free(copy);
	return result;
}

static void accepts_well_formed_utf8(void **state)
{
	/* clang-format off */
	static const struct str samples[] = {
		CONST_STR(""), CONST_STR("plain ASCII, longer than a machine word"), CONST_STR("\0"), CONST_STR("a\0b"), CONST_STR("\x7F"),
		CONST_STR("\xC2\x80"), CONST_STR("\xDF\xBF"), CONST_STR("\xE0\xA0\x80"), CONST_STR("\xED\x9F\xBF"), CONST_STR("\xEE\x80\x80"),
		CONST_STR("\xEF\xBF\xBF"), CONST_STR("\xEF\xBB\xBF"), CONST_STR("\xF0\x90\x80\x80"), CONST_STR("\xF4\x8F\xBF\xBF"),
		CONST_STR("\xE4\xB8\xAD\xE6\x96\x87"), CONST_STR("\xF0\x9F\x98\x80"),
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++)
		assert_true(valid(samples[i]));
	assert_true(utf8_valid((struct str){NULL, 0}));
}

static void refuses_malformed_utf8_wherever_it_stands(void **state)
{
	/* clang-format off */
	static const struct str samples[] = {
		CONST_STR("\x80"), CONST_STR("\xBF"), CONST_STR("\xFE"), CONST_STR("\xFF"),
		/* overlong */
		CONST_STR("\xC0\x80"), CONST_STR("\xC0\xAF"), CONST_STR("\xC1\xBF"), CONST_STR("\xE0\x80\x80"), CONST_STR("\xE0\x9F\xBF"),
		CONST_STR("\xF0\x80\x80\x80"), CONST_STR("\xF0\x8F\xBF\xBF"),
		/* surrogates */
		CONST_STR("\xED\xA0\x80"), CONST_STR("\xED\xAF\xBF"), CONST_STR("\xED\xB0\x80"), CONST_STR("\xED\xBF\xBF"),
		/* beyond U+10FFFF */
		CONST_STR("\xF4\x90\x80\x80"), CONST_STR("\xF5\x80\x80\x80"), CONST_STR("\xF7\xBF\xBF\xBF"), CONST_STR("\xF8\x88\x80\x80\x80"),
		CONST_STR("\xFC\x84\x80\x80\x80\x80"),
		/* cut, or continued by something else */
		CONST_STR("\xC2"), CONST_STR("\xE4\xB8"), CONST_STR("\xE4"), CONST_STR("\xF0\x9F\x98"), CONST_STR("\xF0\x9F"), CONST_STR("\xF0"),
		CONST_STR("\xC2" "a"), CONST_STR("\xE4\xB8" "a"), CONST_STR("\xE4" "a\x80"), CONST_STR("\xF0\x9F\x98" "a"), CONST_STR("\xC2\xC2\x80"),
		CONST_STR("\xE4\xB8\xAD\x80"),
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		/* behind and before ASCII of every length around a machine word */
		for (size_t before = 0; before < 18; before++) {
			char text[64];
			size_t len = before + samples[i].len;

			memset(text, 'x', sizeof(text));
			memcpy(text + before, samples[i].p, samples[i].len);
			for (size_t after = 0; after < 18; after += 3)
				assert_false(valid((struct str){text, len + after}));
		}
	}
}

/* All sequences of up to four bytes from the interesting ones, against the definition written down naively. */
static bool naive_valid(const unsigned char *p, size_t n)
{
	size_t i = 0;

	while (i < n) {
		uint32_t c = p[i];
		size_t more = c < 0x80 ? 0 : c >= 0xC0 && c < 0xE0 ? 1 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xF0 && c < 0xF8 ? 3 : 9;
		static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};

		if (more == 9 || i + more >= n)
			return false;
		c &= more == 0 ? 0x7F : more == 1 ? 0x1F : more == 2 ? 0x0F : 0x07;
		for (size_t k = 1; k <= more; k++) {
			if ((p[i + k] & 0xC0) != 0x80)
				return false;
			c = c << 6 | (p[i + k] & 0x3F);
		}
		if (c < least[more] || (c >= 0xD800 && c <= 0xDFFF) || c > 0x10FFFF)
			return false;
		i += more + 1;
	}
	return true;
}

static void agrees_with_the_definition_on_every_short_sequence(void **state)
{
	static const unsigned char bytes[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
					      0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
	enum { N = sizeof(bytes) };

	(void)state;
	for (size_t n = 1; n <= 4; n++) {
		size_t combinations = 1;

		for (size_t i = 0; i < n; i++)
			combinations *= N;
		for (size_t k = 0; k < combinations; k++) {
			unsigned char text[4];
			size_t rest = k;

			for (size_t i = 0; i < n; i++, rest /= N)
				text[i] = bytes[rest % N];
			if (utf8_valid((struct str){(char *)text, n}) != naive_valid(text, n))
				fail_msg("%02x %02x %02x %02x (%zu bytes)", text[0], text[1], text[2], text[3], n);
		}
	}
}

static void counts_and_cuts_characters_not_bytes(void **state)
{
	struct str s = STR("a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80z");

	(void)state;
	assert_int_equal(utf8_count(s), 5);
	assert_int_equal(utf8_count(STR("")), 0);
	assert_int_equal(utf8_prefix(s, 0), 0);
	assert_int_equal(utf8_prefix(s, 1), 1);
	assert_int_equal(utf8_prefix(s, 2), 3);
	assert_int_equal(utf8_prefix(s, 3), 6);
	assert_int_equal(utf8_prefix(s, 4), 10);
	assert_int_equal(utf8_prefix(s, 5), 11);
	assert_int_equal(utf8_prefix(s, SIZE_MAX), 11);
	assert_int_equal(utf8_prefix((struct str){NULL, 0}, 3), 0);
}

static void reads_whole_numbers_up_to_the_edges(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} good[] = {
		{"0", 0},
		{"-0", 0},
		{"7", 7},
		{"-7", -7},
		{"007", 7},
		{"9223372036854775807", INT64_MAX},
		{"-9223372036854775808", INT64_MIN},
		{"-9223372036854775807", -INT64_MAX},
		{"00000000000000000000000000000000000001", 1},
	};
	/* clang-format off */
	static const char *const bad[] = {"", "-", "--1", "+1", " 1", "1 ", "1.0", "1e3", "0x10", "a", "1a", "9223372036854775808",
					  "-9223372036854775809", "92233720368547758070", "99999999999999999999999999", "-99999999999999999999999999",
					  "18446744073709551616", "\xD9\xA1"};
	/* clang-format on */
	int64_t n;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(good); i++) {
		n = 42;
		assert_true(str_to_i64(str_from(good[i].text), &n));
		assert_true(n == good[i].value);
	}
	for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
		n = 42;
		if (str_to_i64(str_from(bad[i]), &n))
			fail_msg("\"%s\" was taken for a number", bad[i]);
	}
	assert_false(str_to_i64(STR("1\0"), &n));
	assert_false(str_to_i64((struct str){NULL, 0}, &n));
	assert_true(str_to_i64((struct str){"123", 2}, &n));
	assert_int_equal(n, 12);
}

static void reads_numbers_with_a_fraction(void **state)
{
	/* clang-format off */
	static const char *const bad[] = {"", "x", "1x", "1 ", "1,5", "nan", "inf", "-inf", "infinity", "1e999", "-1e999", "--1",
					  "0.00000000000000000000000000000000000000000000000000000000000000001"};
	/* clang-format on */
	double d;

	(void)state;
	assert_true(str_to_double(STR("0.1"), &d) && d == 0.1);
	assert_true(str_to_double(STR("-2"), &d) && d == -2.0);
	assert_true(str_to_double(STR("1e3"), &d) && d == 1000.0);
	assert_true(str_to_double((struct str){"1.59", 3}, &d) && d == 1.5);
	for (size_t i = 0; i < N_ELEMENTS(bad); i++)
		if (str_to_double(str_from(bad[i]), &d))
			fail_msg("\"%s\" was taken for a number", bad[i]);
	assert_false(str_to_double(STR("1\0"), &d));
}

static void trims_blanks_and_tabs_only(void **state)
{
	(void)state;
	assert_text(str_trim(STR("  a b\t ")), "a b");
	assert_text(str_trim(STR("a")), "a");
	assert_text(str_trim(STR(" \t ")), "");
	assert_text(str_trim(STR("")), "");
	assert_text(str_trim(STR("\na\n")), "\na\n");
	assert_int_equal(str_trim((struct str){NULL, 0}).len, 0);
}

static void cuts_at_the_first_of_a_character(void **state)
{
	struct str rest = STR("a=b=c");

	(void)state;
	assert_text(str_cut(&rest, '='), "a");
	assert_text(rest, "b=c");
	assert_text(str_cut(&rest, '='), "b");
	assert_text(str_cut(&rest, '='), "c");
	assert_null(rest.p);
	assert_int_equal(rest.len, 0);
	assert_int_equal(str_cut(&rest, '=').len, 0);
	rest = STR("=");
	assert_text(str_cut(&rest, '='), "");
	assert_non_null(rest.p); /* an empty rest is not the same as none */
	assert_int_equal(rest.len, 0);
	assert_text(str_cut(&rest, '='), "");
	assert_null(rest.p);
}

static void compares(void **state)
{
	(void)state;
	assert_true(str_eq(STR("ab"), STR("ab")));
	assert_false(str_eq(STR("ab"), STR("aB")));
	assert_false(str_eq(STR("ab"), STR("abc")));
	assert_true(str_eq((struct str){NULL, 0}, STR("")));
	assert_true(str_eq_cstr(STR("x"), "x"));
	assert_false(str_eq_cstr(STR("x\0"), "x"));
	assert_true(str_eq_nocase(STR("Content-TYPE"), STR("content-type")));
	assert_false(str_eq_nocase(STR("a"), STR("ab")));
	assert_false(str_eq_nocase(STR("@"), STR("`"))); /* 32 apart, but no letters */
	assert_false(str_eq_nocase(STR("["), STR("{")));
	assert_false(str_eq_nocase(STR("\xC3\x84"), STR("\xC3\xA4")));
	assert_true(str_starts(STR("abc"), STR("ab")));
	assert_true(str_starts(STR("abc"), STR("")));
	assert_false(str_starts(STR("a"), STR("ab")));
	assert_text(str_skip(STR("abc"), 2), "c");
	assert_text(str_skip(STR("abc"), 3), "");
	assert_text(str_skip(STR("abc"), 99), "");
	assert_int_equal(str_from(NULL).len, 0);
	assert_true(str_only(STR("abba"), STR("ab")));
	assert_true(str_only((struct str){NULL, 0}, STR("ab")));
	assert_true(str_only(STR(""), STR("")));
	assert_false(str_only(STR("abc"), STR("ab")));
	assert_false(str_only(STR("a\0"), STR("ab")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_well_formed_utf8),
		cmocka_unit_test(refuses_malformed_utf8_wherever_it_stands),
		cmocka_unit_test(agrees_with_the_definition_on_every_short_sequence),
		cmocka_unit_test(counts_and_cuts_characters_not_bytes),
		cmocka_unit_test(reads_whole_numbers_up_to_the_edges),
		cmocka_unit_test(reads_numbers_with_a_fraction),
		cmocka_unit_test(trims_blanks_and_tabs_only),
		cmocka_unit_test(cuts_at_the_first_of_a_character),
		cmocka_unit_test(compares),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
