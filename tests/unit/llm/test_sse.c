/* The parser of server-sent events: every split of every sample gives the same events, whatever the line ends are. */
#include "llm/sse.h"

#include "base/err.h"
#include "tests/unit/support.h"

/* What came, written as name|data; — data with its newlines as they are. */
struct taken {
	struct buf text;
	unsigned n, stop_after; /* 0: never */
};

static bool take(void *arg, struct str event, struct str data)
{
	struct taken *t = arg;

	buf_add_str(&t->text, event);
	buf_add_char(&t->text, '|');
	buf_add_str(&t->text, data);
	buf_add_char(&t->text, ';');
	t->n++;
	return t->n != t->stop_after;
}

/* Feeds a copy that is exactly as long as the piece, so that reading past its end is noticed. */
static int feed(struct sse *sse, const char *p, size_t len)
{
	char *copy = malloc(len ? len : 1);
	int result;

	if (len)
		memcpy(copy, p, len);
	result = sse_feed(sse, (struct str){copy, len});
	free(copy);
	return result;
}

static void check(struct str bytes, struct str expected)
{
	for (size_t a = 0; a <= bytes.len; a++) {
		for (size_t b = a; b <= bytes.len; b += (bytes.len > 60 ? 7 : 1)) {
			struct taken t = {.n = 0};
			struct sse sse = {.on_event = take, .arg = &t};

			assert_int_equal(feed(&sse, bytes.p, a), 0);
			assert_int_equal(feed(&sse, bytes.p + a, b - a), 0);
			assert_int_equal(feed(&sse, bytes.p + b, bytes.len - b), 0);
			assert_str(buf_str(&t.text), expected);
			buf_fini(&t.text);
			sse_fini(&sse);
		}
	}
	{
		struct taken t = {.n = 0};
		struct sse sse = {.on_event = take, .arg = &t};

		for (size_t i = 0; i < bytes.len; i++)
			assert_int_equal(feed(&sse, bytes.p + i, 1), 0);
		assert_str(buf_str(&t.text), expected);
		buf_fini(&t.text);
		sse_fini(&sse);
	}
}
#define CHECK(bytes, expected) check(STR(bytes), STR(expected))

static void reads_events_with_every_line_end(void **state)
{
	(void)state;
	CHECK("data: a\n\ndata: b\n\n", "|a;|b;");
	CHECK("data: a\r\n\r\ndata: b\r\n\r\n", "|a;|b;");
	CHECK("data: a\r\rdata: b\r\r", "|a;|b;");
	CHECK("data: a\r\n\ndata: b\n\r\n", "|a;|b;");
	CHECK("data: a\n\rdata: b\r\r\n", "|a;|b;");
	CHECK("data: a\r\n\rdata: b\n\n", "|a;|b;");
	CHECK("event: x\rdata: 1\r\ndata: 2\ndata: 3\r\r\n\n", "x|1\n2\n3;");
}

static void reads_names_and_several_lines_of_data(void **state)
{
	(void)state;
	CHECK("event: message\ndata: one\ndata: two\n\n", "message|one\ntwo;");
	CHECK("data: one\nevent: late\ndata: two\n\n", "late|one\ntwo;");
	CHECK("event: a\nevent: b\ndata: x\n\n", "b|x;");
	/* the name does not outlive its event */
	CHECK("event: a\ndata: x\n\ndata: y\n\n", "a|x;|y;");
	CHECK("event: a\n\ndata: y\n\n", "|y;");
	CHECK("event: a\nevent:\ndata: y\n\n", "|y;");
}

static void takes_one_blank_off_a_value(void **state)
{
	(void)state;
	CHECK("data:a\n\ndata: b\n\ndata:  c\n\ndata:\td\n\ndata: e \n\n", "|a;|b;| c;|\td;|e ;");
	CHECK("data: a: b\n\n", "|a: b;");
}

static void knows_empty_data_from_none(void **state)
{
	(void)state;
	CHECK("data\n\n", "|;");
	CHECK("data:\n\n", "|;");
	CHECK("data: \n\n", "|;");
	CHECK("data\ndata\n\n", "|\n;");
	CHECK("data: a\ndata\n\n", "|a\n;");
	CHECK("\n\n\n", "");
	CHECK("event: ping\n\n", "");
	CHECK("data: a\n\n\n\ndata: b\n\n", "|a;|b;");
}

static void skips_comments_and_unknown_fields(void **state)
{
	(void)state;
	CHECK(": keep-alive\n\ndata: a\n: inside\ndata: b\n\n:\n\n", "|a\nb;");
	CHECK("id: 7\nretry: 100\ndata: a\n\n", "|a;");
	CHECK("Data: a\nDATA: b\n data: c\ndatas: d\ndat: e\n\n", "");
	CHECK("nonsense\n\xFF\xFE\ndata: a\n\n", "|a;");
}

static void skips_a_byte_order_mark_once(void **state)
{
	(void)state;
	CHECK("\xEF\xBB\xBF"
	      "data: a\n\n",
	      "|a;");
	CHECK("\xEF\xBB\xBF\n"
	      "data: a\n\n",
	      "|a;");
	CHECK("\xEF\xBB\xBF\xEF\xBB\xBF"
	      "data: a\n\n",
	      "");
	CHECK("\n\xEF\xBB\xBF"
	      "data: a\n\n",
	      "");
	CHECK("data: \xEF\xBB\xBF\n\n", "|\xEF\xBB\xBF;");
}

static void drops_what_no_blank_line_ends(void **state)
{
	(void)state;
	CHECK("data: a\n\ndata: b", "|a;");
	CHECK("data: a\n\ndata: b\n", "|a;");
	CHECK("data: a\r\n\r\ndata: b\r\n", "|a;");
	CHECK("data: a\r\n\r", "|a;");
	CHECK("", "");
}

static void keeps_chinese_and_emoji_whole_byte_by_byte(void **state)
{
	(void)state;
	CHECK("data: \xE4\xB8\xAD\xE6\x96\x87\n\ndata: \xF0\x9F\x98\x80\r\n\r\n", "|\xE4\xB8\xAD\xE6\x96\x87;|\xF0\x9F\x98\x80;");
	CHECK("event: \xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7\ndata: x\n\n", "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7|x;");
}

static void keeps_a_nul_byte(void **state)
{
	static const char bytes[] = "data: a\0b\n\n", expected[] = "|a\0b;";

	(void)state;
	check((struct str){bytes, sizeof(bytes) - 1}, (struct str){expected, sizeof(expected) - 1});
}

static void survives_a_name_that_is_far_too_long(void **state)
{
	struct taken t = {.n = 0};
	struct sse sse = {.on_event = take, .arg = &t};
	struct buf b = {0};

	(void)state;
	buf_add_str(&b, STR("event: "));
	for (int i = 0; i < 5000; i++)
		buf_add_char(&b, 'n');
	buf_add_str(&b, STR("\ndata: x\n\n"));
	assert_int_equal(sse_feed(&sse, buf_str(&b)), 0);
	assert_int_equal(t.n, 1);
	assert_true(t.text.len < 200);
	buf_fini(&b);
	buf_fini(&t.text);
	sse_fini(&sse);
}

/* Feeds "data: ", n bytes and the end of the event, in pieces of `piece` bytes. */
static int feed_long(size_t n, size_t piece, struct taken *t)
{
	struct sse sse = {.on_event = take, .arg = t};
	struct buf b = {0};
	int result = 0;

	buf_add_str(&b, STR("data: "));
	memset(buf_reserve(&b, n), 'x', n);
	b.len += n;
	buf_add_str(&b, STR("\n\n"));
	for (size_t at = 0; at < b.len && result == 0; at += piece)
		result = sse_feed(&sse, (struct str){b.p + at, b.len - at < piece ? b.len - at : piece});
	assert_true(sse.line.size + sse.data.size <= 4 * SSE_MAX_EVENT_BYTES);
	sse_fini(&sse);
	buf_fini(&b);
	return result;
}

static void refuses_a_line_longer_than_a_mebibyte(void **state)
{
	struct taken t = {.n = 0};

	(void)state;
	assert_int_equal(feed_long(SSE_MAX_EVENT_BYTES - 100, 4096, &t), 0);
	assert_int_equal(feed_long(SSE_MAX_EVENT_BYTES - 100, SIZE_MAX / 2, &t), 0);
	assert_int_equal(t.n, 2);
	assert_int_equal(feed_long(SSE_MAX_EVENT_BYTES + 1, 4096, &t), -ERR_UPSTREAM);
	assert_int_equal(feed_long(SSE_MAX_EVENT_BYTES + 1, SIZE_MAX / 2, &t), -ERR_UPSTREAM);
	assert_int_equal(feed_long(10 * 1024 * 1024, 65536, &t), -ERR_UPSTREAM);
	assert_int_equal(t.n, 2);
	buf_fini(&t.text);
}

static void refuses_an_event_of_many_lines_longer_than_a_mebibyte(void **state)
{
	struct taken t = {.n = 0};
	struct sse sse = {.on_event = take, .arg = &t};
	char line[1024];
	int result = 0;
	size_t n = 0;

	(void)state;
	memset(line, 'y', sizeof(line));
	memcpy(line, "data: ", 6);
	line[sizeof(line) - 1] = '\n';
	for (; n < 3000 && result == 0; n++)
		result = sse_feed(&sse, (struct str){line, sizeof(line)});
	assert_int_equal(result, -ERR_UPSTREAM);
	assert_in_range(n, 1000, 1040);
	assert_int_equal(t.n, 0);
	sse_fini(&sse);

	/* empty lines of data are bounded, too, and many small events are no large one */
	sse = (struct sse){.on_event = take, .arg = &t};
	for (n = 0, result = 0; n < 3 * 1024 * 1024 && result == 0; n++)
		result = sse_feed(&sse, STR("data\n"));
	assert_int_equal(result, -ERR_UPSTREAM);
	sse_fini(&sse);
	sse = (struct sse){.on_event = take, .arg = &t};
	for (n = 0; n < 3000; n++) {
		assert_int_equal(sse_feed(&sse, (struct str){line, sizeof(line)}), 0);
		assert_int_equal(sse_feed(&sse, STR("\n")), 0);
		t.text.len = 0;
	}
	assert_int_equal(t.n, 3000);
	sse_fini(&sse);
	buf_fini(&t.text);
}

static void stops_when_the_sink_wants_no_more(void **state)
{
	struct taken t = {.stop_after = 2};
	struct sse sse = {.on_event = take, .arg = &t};

	(void)state;
	assert_int_equal(sse_feed(&sse, STR("data: a\n\ndata: b\n\ndata: c\n\n")), 0);
	assert_str(buf_str(&t.text), STR("|a;|b;"));
	buf_fini(&t.text);
	sse_fini(&sse);
}

/* The sink may free the parser, as one does that cancels its call. */
static bool free_parser(void *arg, struct str event, struct str data)
{
	struct sse *sse = arg;

	(void)event;
	(void)data;
	sse_fini(sse);
	return false;
}

static void may_be_freed_by_its_sink(void **state)
{
	(void)state;
	for (int bytewise = 0; bytewise < 2; bytewise++) {
		struct str bytes = STR("event: x\ndata: a\ndata: b\n\ndata: c\n\n");
		struct sse sse = {.on_event = free_parser};

		sse.arg = &sse;
		if (!bytewise)
			assert_int_equal(sse_feed(&sse, bytes), 0);
		for (size_t i = 0; bytewise && i < 26; i++)
			assert_int_equal(feed(&sse, bytes.p + i, 1), 0);
		assert_int_equal(sse.line.len + sse.data.len, 0);
		sse_fini(&sse);
	}
}

static void survives_random_bytes(void **state)
{
	static const char alphabet[] = "data: event:\r\n\r\n\r\n:\xEF\xBB\xBF{}\0x";
	uint32_t seed = 5;
	unsigned n_events = 0;

	(void)state;
	for (int round = 0; round < 4000; round++) {
		struct taken whole = {.n = 0}, parts = {.n = 0};
		struct sse a = {.on_event = take, .arg = &whole}, b = {.on_event = take, .arg = &parts};
		struct buf bytes = {0};
		size_t at = 0;

		for (uint32_t i = 1 + next_random(&seed) % 40; i > 0; i--) {
			switch (next_random(&seed) % 4) {
			case 0: buf_add_str(&bytes, STR("data: ")); break;
			case 1: buf_add_char(&bytes, "\r\n"[next_random(&seed) % 2]); break;
			default: buf_add_char(&bytes, alphabet[next_random(&seed) % (sizeof(alphabet) - 1)]); break;
			}
		}
		assert_int_equal(feed(&a, bytes.p, bytes.len), 0);
		while (at < bytes.len) {
			size_t n = 1 + next_random(&seed) % 9;

			if (n > bytes.len - at)
				n = bytes.len - at;
			assert_int_equal(feed(&b, bytes.p + at, n), 0);
			at += n;
		}
		assert_str(buf_str(&parts.text), buf_str(&whole.text));
		n_events += whole.n;
		sse_fini(&a);
		sse_fini(&b);
		buf_fini(&whole.text);
		buf_fini(&parts.text);
		buf_fini(&bytes);
	}
	assert_true(n_events > 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_events_with_every_line_end),
		cmocka_unit_test(reads_names_and_several_lines_of_data),
		cmocka_unit_test(takes_one_blank_off_a_value),
		cmocka_unit_test(knows_empty_data_from_none),
		cmocka_unit_test(skips_comments_and_unknown_fields),
		cmocka_unit_test(skips_a_byte_order_mark_once),
		cmocka_unit_test(drops_what_no_blank_line_ends),
		cmocka_unit_test(keeps_chinese_and_emoji_whole_byte_by_byte),
		cmocka_unit_test(keeps_a_nul_byte),
		cmocka_unit_test(survives_a_name_that_is_far_too_long),
		cmocka_unit_test(refuses_a_line_longer_than_a_mebibyte),
		cmocka_unit_test(refuses_an_event_of_many_lines_longer_than_a_mebibyte),
		cmocka_unit_test(stops_when_the_sink_wants_no_more),
		cmocka_unit_test(may_be_freed_by_its_sink),
		cmocka_unit_test(survives_random_bytes),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
