/* Entries as they lie in Redis: what was written is read, and nothing else is. */
#include "cache/entry.h"

#include "base/crypto.h"
#include "tests/unit/support.h"

#define SECRET STR("a secret of thirty-two bytes ...")
#define KEY    STR("llmchat:user:1")

static void put(struct buf *b, int64_t stamp, struct str text)
{
	b->len = 0;
	entry_put(b, SECRET, KEY, stamp, text);
}

static bool reads(struct str raw, struct str secret, struct str key)
{
	int64_t stamp;
	struct str text;

	return entry_read(raw, secret, key, &stamp, &text);
}

static void reads_what_was_written(void **state)
{
	static const struct str texts[] = {CONST_STR("{\"a\":1}"), CONST_STR(""), CONST_STR("two\nlines\n"), CONST_STR("a\0b")};
	static const int64_t stamps[] = {0, 1, INT64_MAX};
	struct buf b = {0};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(texts); i++)
		for (size_t j = 0; j < N_ELEMENTS(stamps); j++) {
			int64_t stamp = -1;
			struct str text = STR("?");

			put(&b, stamps[j], texts[i]);
			assert_true(entry_read(buf_str(&b), SECRET, KEY, &stamp, &text));
			assert_true(stamp == stamps[j]);
			assert_true(str_eq(text, texts[i]));
		}
	buf_fini(&b);
}

static void nothing_else_is_one(void **state)
{
	static const struct str garbage[] = {CONST_STR(""),      CONST_STR("\n"), CONST_STR(" \n"),    CONST_STR("1 \n"),
					     CONST_STR("1 x\n"), CONST_STR("{}"), CONST_STR("\0\0\0"), CONST_STR("1 2 3\n4")};
	struct buf b = {0};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(garbage); i++)
		assert_false(reads(garbage[i], SECRET, KEY));
	put(&b, 7, STR("{\"role\":\"user\"}"));
	assert_true(reads(buf_str(&b), SECRET, KEY));
	assert_false(reads(buf_str(&b), STR("another secret, of some bytes too"), KEY));
	assert_false(reads(buf_str(&b), SECRET, STR("llmchat:user:2")));
	for (size_t i = 0; i < b.len; i++) {
		assert_false(reads((struct str){b.p, i}, SECRET, KEY)); /* cut */
		for (int bit = 0; bit < 8; bit++) {
			b.p[i] = (char)(b.p[i] ^ 1 << bit);
			/* Of the last letter of the MAC some bits mean nothing. */
			if (reads(buf_str(&b), SECRET, KEY))
				assert_int_equal(memchr(b.p, '\n', b.len) == b.p + i + 1, 1);
			b.p[i] = (char)(b.p[i] ^ 1 << bit);
		}
	}
	buf_add_char(&b, 'x');
	assert_false(reads(buf_str(&b), SECRET, KEY));
	buf_fini(&b);
}

static void a_negative_stamp_is_none(void **state)
{
	struct buf b = {0};

	(void)state;
	put(&b, -1, STR("x"));
	assert_false(reads(buf_str(&b), SECRET, KEY));
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_was_written),
		cmocka_unit_test(nothing_else_is_one),
		cmocka_unit_test(a_negative_stamp_is_none),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
