/* Parameters through libfcgi: it must read what a web server wrote, survive what one never would, and leak nothing. */
#include "fcgi/request.h"

#include "fcgi/record.h"
#include "tests/unit/fcgi/records.h"
#include "tests/unit/support.h"

static int start_libfcgi(void **state)
{
	request_libfcgi_init();
	return quiet(state);
}

/* Without the one that libfcgi adds by itself, FCGI_ROLE. */
static size_t n_sent(const struct params *params)
{
	assert_text(params_get(params, "FCGI_ROLE"), "RESPONDER");
	return params->n - 1;
}

static void reads_names_and_values(void **state)
{
	struct arena arena = {0};
	struct buf b = {0};
	struct params params;

	(void)state;
	put_pair(&b, "REQUEST_METHOD", "GET");
	put_pair(&b, "QUERY_STRING", "a=b&c=d");
	put_pair(&b, "CONTENT_TYPE", "");
	put_pair(&b, "HTTP_X_NAME", "\xE4\xB8\xAD\xE6\x96\x87");
	assert_int_equal(request_read_params(buf_str(&b), &arena, &params), 0);
	assert_int_equal(n_sent(&params), 4);
	memset(b.p, 'z', b.len); /* the parameters are copies */
	assert_text(params_get(&params, "REQUEST_METHOD"), "GET");
	assert_text(params_get(&params, "QUERY_STRING"), "a=b&c=d");
	assert_text(params_get(&params, "CONTENT_TYPE"), "");
	assert_text(params_get(&params, "HTTP_X_NAME"), "\xE4\xB8\xAD\xE6\x96\x87");
	assert_int_equal(params_get(&params, "REQUEST_METHO").len, 0);
	assert_int_equal(params_get(&params, "").len, 0);
	assert_int_equal(params_get(&params, "ABSENT").len, 0);
	arena_fini(&arena);
	buf_fini(&b);
}

static void reads_none_at_all(void **state)
{
	struct arena arena = {0};
	struct params params;

	(void)state;
	assert_int_equal(request_read_params((struct str){NULL, 0}, &arena, &params), 0);
	assert_int_equal(n_sent(&params), 0);
	assert_int_equal(params_get(&params, "X").len, 0);
	arena_fini(&arena);
}

static void reads_a_hundred_and_long_ones(void **state)
{
	struct arena arena = {0};
	struct buf b = {0}, value = {0};
	struct params params;
	char name[32];

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "HTTP_NAME_%d", i);
		value.len = 0;
		for (int k = 0; k < i * 10; k++)
			buf_add_char(&value, (char)('a' + (i + k) % 26));
		put_pair_str(&b, str_from(name), buf_str(&value));
	}
	assert_int_equal(request_read_params(buf_str(&b), &arena, &params), 0);
	assert_int_equal(n_sent(&params), 100);
	for (int i = 0; i < 100; i++) {
		struct str got;

		snprintf(name, sizeof(name), "HTTP_NAME_%d", i);
		got = params_get(&params, name);
		assert_int_equal(got.len, i * 10);
		for (size_t k = 0; k < got.len; k++)
			assert_int_equal(got.p[k], 'a' + (i + (int)k) % 26);
	}
	arena_fini(&arena);
	buf_fini(&value);
	buf_fini(&b);
}

static void reads_as_much_as_the_scanner_lets_through(void **state)
{
	struct arena arena = {0};
	struct buf b = {0}, value = {0};
	struct params params;
	size_t len = RECORD_MAX_PARAMS - 4 - 1 - 1; /* two lengths and the name */

	(void)state;
	memset(buf_reserve(&value, len), 'v', len);
	value.len = len;
	put_pair_str(&b, STR("N"), buf_str(&value));
	assert_int_equal(b.len, RECORD_MAX_PARAMS);
	assert_int_equal(request_read_params(buf_str(&b), &arena, &params), 0);
	assert_true(str_eq(params_get(&params, "N"), buf_str(&value)));
	buf_add_char(&b, 0);
	assert_int_equal(request_read_params(buf_str(&b), &arena, &params), -1);
	arena_fini(&arena);
	buf_fini(&value);
	buf_fini(&b);
}

static void refuses_malformed_pairs(void **state)
{
	static const struct str samples[] = {
		CONST_STR("\1"),   CONST_STR("\1\1a"),      CONST_STR("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
		CONST_STR("\x80"), CONST_STR("\1\x80\0\0"), CONST_STR("\1\1ab\5"),
		CONST_STR("\0"),
	};
	struct arena arena = {0};
	struct params params;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		assert_int_equal(request_read_params(samples[i], &arena, &params), -1);
		assert_int_equal(params.n, 0);
	}
	arena_fini(&arena);
}

static void refuses_a_flood_of_tiny_pairs(void **state)
{
	struct arena arena = {0};
	struct buf b = {0};
	struct params params;

	(void)state;
	for (int i = 0; i < RECORD_MAX_PARAMS / 2; i++)
		put_pair(&b, "", "");
	assert_int_equal(request_read_params(buf_str(&b), &arena, &params), -1);
	arena_fini(&arena);
	buf_fini(&b);
}

/* What came before must not shine through: a long request, then a short one. */
static void forgets_the_request_before(void **state)
{
	struct arena arena = {0};
	struct buf b = {0};
	struct params params;
	char name[32];

	(void)state;
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "SECRET_%d", i);
		put_pair(&b, name, "of somebody else");
	}
	assert_int_equal(request_read_params(buf_str(&b), &arena, &params), 0);
	assert_int_equal(n_sent(&params), 200);
	b.len = 0;
	put_pair(&b, "A", "1");
	assert_int_equal(request_read_params(buf_str(&b), &arena, &params), 0);
	assert_int_equal(n_sent(&params), 1);
	assert_text(params_get(&params, "A"), "1");
	arena_fini(&arena);
	buf_fini(&b);
}

static void leaks_no_descriptor_in_thousands_of_rounds(void **state)
{
	struct buf b = {0};
	size_t before = 0;

	(void)state;
	for (int i = 0; i < 4000; i++) {
		struct arena arena = {0};
		struct params params;

		b.len = 0;
		put_pair(&b, "REQUEST_METHOD", "GET");
		put_pair(&b, "X", i % 2 ? "" : "y");
		if (i % 5 == 0)
			b.len--; /* malformed; for odd i the last pair has lost its empty value's length or its name */
		assert_int_equal(request_read_params(buf_str(&b), &arena, &params), i % 5 == 0 ? -1 : 0);
		arena_fini(&arena);
		if (i == 10)
			before = count_fds();
	}
	assert_int_equal(count_fds(), before);
	buf_fini(&b);
}

static void survives_random_pairs(void **state)
{
	uint32_t seed = 7;
	size_t n_read = 0;

	(void)state;
	for (int round = 0; round < 6000; round++) {
		struct arena arena = {0};
		struct params params;
		size_t len = next_random(&seed) % 40;
		char *p = malloc(len + 1);

		for (size_t i = 0; i < len; i++)
			p[i] = (char)(next_random(&seed) % 4 ? next_random(&seed) % 6 : next_random(&seed));
		if (request_read_params((struct str){p, len}, &arena, &params) == 0)
			n_read++;
		for (size_t i = 0; i < params.n; i++)
			if (!str_eq(params.list[i].name, STR("FCGI_ROLE")))
				assert_true(params.list[i].name.len + params.list[i].value.len <= len);
		arena_fini(&arena);
		free(p);
	}
	assert_true(n_read > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_names_and_values),        cmocka_unit_test(reads_none_at_all),
		cmocka_unit_test(reads_a_hundred_and_long_ones), cmocka_unit_test(reads_as_much_as_the_scanner_lets_through),
		cmocka_unit_test(refuses_malformed_pairs),       cmocka_unit_test(refuses_a_flood_of_tiny_pairs),
		cmocka_unit_test(forgets_the_request_before),    cmocka_unit_test(leaks_no_descriptor_in_thousands_of_rounds),
		cmocka_unit_test(survives_random_pairs),
	};

	return cmocka_run_group_tests(tests, start_libfcgi, NULL);
}
