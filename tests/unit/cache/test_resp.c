/* Replies however they are cut, and everything that is no reply. */
#include "cache/resp.h"

#include "tests/unit/support.h"

/* A reply as text, for comparing. */
static void describe(const struct resp_reply *r, char *out, size_t size)
{
	int n = snprintf(out, size, "%d:%lld:%.*s", r->value.type, (long long)r->value.integer, STR_ARG(r->value.text));

	for (size_t i = 0; i < r->n; i++)
		n += snprintf(out + n, size - (size_t)n, "|%d:%lld:%.*s", r->values[i].type, (long long)r->values[i].integer,
			      STR_ARG(r->values[i].text));
}

static const char stream[] =
	"+OK\r\n-ERR no such thing\r\n:-42\r\n$5\r\nh\r\nlo\r\n$-1\r\n$0\r\n\r\n*4\r\n:1\r\n$3\r\nabc\r\n$-1\r\n+fine\r\n*0\r\n*-1\r\n";
static const char *const expected[] = {
	"1:0:OK", "2:0:ERR no such thing", "3:-42:", "4:0:h\r\nlo", "0:0:", "4:0:", "5:0:|3:1:|4:0:abc|0:0:|1:0:fine", "5:0:", "0:0:"};

static void feed_split(size_t at, size_t step)
{
	struct resp *resp = resp_new();
	const struct resp_reply *reply;
	char text[256];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(stream) - 1;) {
		size_t len = i < at ? at - i : step;
		int got;

		if (len > sizeof(stream) - 1 - i)
			len = sizeof(stream) - 1 - i;
		assert_int_equal(resp_feed(resp, stream + i, len), 0);
		i += len;
		while ((got = resp_next(resp, &reply)) == 1) {
			describe(reply, text, sizeof(text));
			assert_true(n < N_ELEMENTS(expected));
			assert_string_equal(text, expected[n++]);
		}
		assert_int_equal(got, 0);
	}
	assert_int_equal(n, N_ELEMENTS(expected));
	resp_free(resp);
}

static void reads_replies_however_they_are_cut(void **state)
{
	(void)state;
	for (size_t at = 0; at < sizeof(stream); at++)
		feed_split(at, sizeof(stream));
	feed_split(0, 1);
	feed_split(0, 3);
}

static void refuses_what_is_no_reply(void **state)
{
	static const char *const garbage[] = {
		"HTTP/1.1 400 Bad Request\r\n",
		"\r\n",
		"*1\r\n*1\r\n:1\r\n",
		"*17\r\n",
		"*2147483647\r\n",
		"*-2\r\n",
		"$-2\r\n",
		":12a\r\n",
		"*99999999999999\r\n",
		"$x\r\n",
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(garbage); i++) {
		struct resp *resp = resp_new();
		const struct resp_reply *reply;

		assert_int_equal(resp_feed(resp, garbage[i], strlen(garbage[i])), 0);
		if (resp_next(resp, &reply) != -1)
			fail_msg("taken for a reply: %s", garbage[i]);
		assert_int_equal(resp_next(resp, &reply), -1); /* and stays so */
		resp_free(resp);
	}
}

static void refuses_a_reply_without_end(void **state)
{
	struct resp *resp = resp_new();
	const struct resp_reply *reply;
	static char bytes[65536];
	size_t n = 0;

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(resp_feed(resp, "$500000000\r\n", 12), 0);
	assert_int_equal(resp_next(resp, &reply), 0);
	while (resp_feed(resp, bytes, sizeof(bytes)) == 0) {
		assert_int_equal(resp_next(resp, &reply), 0);
		n += sizeof(bytes);
	}
	assert_true(n <= RESP_MAX_BYTES);
	resp_free(resp);
}

static void shows_only_codes_of_errors(void **state)
{
	static const struct {
		const char *reply, *code;
	} samples[] = {
		{"-NOSCRIPT No matching script.\r\n", "NOSCRIPT"},
		{"-ERR\r\n", "ERR"},
		{"-\r\n", "?"},
		{"-'secret' what\r\n", "?"},
		{"+OK fine\r\n", "?"},
		{"-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa x\r\n", "?"},
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		struct resp *resp = resp_new();
		const struct resp_reply *reply;

		assert_int_equal(resp_feed(resp, samples[i].reply, strlen(samples[i].reply)), 0);
		assert_int_equal(resp_next(resp, &reply), 1);
		assert_str(resp_error_code(reply), str_from(samples[i].code));
		resp_free(resp);
	}
}

static void writes_commands_of_any_bytes(void **state)
{
	struct buf out = {0};
	struct str args[] = {STR("SET"), STR("a\r\nb"), {NULL, 0}};

	(void)state;
	resp_put_command(&out, args, 3);
	assert_text(buf_str(&out), "*3\r\n$3\r\nSET\r\n$4\r\na\r\nb\r\n$0\r\n\r\n");
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_replies_however_they_are_cut), cmocka_unit_test(refuses_what_is_no_reply),
		cmocka_unit_test(refuses_a_reply_without_end),        cmocka_unit_test(shows_only_codes_of_errors),
		cmocka_unit_test(writes_commands_of_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
