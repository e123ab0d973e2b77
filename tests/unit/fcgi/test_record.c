/* The record scanner: every split of every sample, limits, lies about lengths, random damage. */
#include "fcgi/record.h"
#include "tests/unit/fcgi/records.h"
#include "tests/unit/support.h"

enum { MAX_BODY = 100000 };

/* Feeds bytes as a connection does: in two pieces that meet at `cut`, what was not used being offered again. */
static enum scan_result feed(struct record_scan *scan, struct str bytes, size_t cut, size_t *used, const char **why)
{
	enum scan_result result;
	size_t n;

	*why = "";
	result = record_scan(scan, (struct str){bytes.p, cut}, &n, why);
	assert_true(n <= cut);
	*used = n;
	if (result != SCAN_MORE)
		return result;
	result = record_scan(scan, str_skip(bytes, *used), &n, why);
	*used += n;
	assert_true(*used <= bytes.len);
	return result;
}

static enum scan_result feed_bytewise(struct record_scan *scan, struct str bytes, size_t *used, const char **why)
{
	enum scan_result result = SCAN_MORE;

	*used = 0;
	*why = "";
	for (size_t end = 1; end <= bytes.len && result == SCAN_MORE; end++) {
		size_t n;

		result = record_scan(scan, (struct str){bytes.p + *used, end - *used}, &n, why);
		*used += n;
	}
	return result;
}

static void assert_same(const struct record_scan *a, const struct record_scan *b)
{
	assert_int_equal(a->state, b->state);
	assert_int_equal(a->id, b->id);
	assert_int_equal(a->keep_conn, b->keep_conn);
	assert_int_equal(a->body_too_large, b->body_too_large);
	assert_true(str_eq(buf_str(&a->params), buf_str(&b->params)));
	assert_true(str_eq(buf_str(&a->body), buf_str(&b->body)));
}

/* Every split must end as the whole does, which must be `expected`. */
static void check_splits(struct str bytes, size_t max_body, enum scan_result expected, const char *expected_why)
{
	struct record_scan whole = {.max_body = max_body}, parts = {.max_body = max_body};
	const char *why_whole, *why;
	size_t used_whole, used;

	assert_int_equal(feed(&whole, bytes, bytes.len, &used_whole, &why_whole), expected);
	assert_string_equal(why_whole, expected_why);
	for (size_t cut = 0; cut <= bytes.len; cut++) {
		assert_int_equal(feed(&parts, bytes, cut, &used, &why), expected);
		assert_string_equal(why, expected_why);
		if (expected != SCAN_BAD)
			assert_int_equal(used, used_whole);
		assert_same(&parts, &whole);
		record_scan_reset(&parts);
		assert_int_equal(parts.max_body, max_body);
	}
	assert_int_equal(feed_bytewise(&parts, bytes, &used, &why), expected);
	assert_string_equal(why, expected_why);
	assert_same(&parts, &whole);
	record_scan_reset(&parts);
	record_scan_reset(&whole);
}

static struct buf sample_request(void)
{
	struct buf b = {0}, params = {0};
	char long_value[300];

	memset(long_value, 'v', sizeof(long_value));
	put_pair(&params, "REQUEST_METHOD", "POST");
	put_pair(&params, "EMPTY", "");
	put_pair_str(&params, STR("HTTP_COOKIE"), (struct str){long_value, sizeof(long_value)});
	put_begin(&b, 513, RESPONDER, KEEP);
	put_record_padded(&b, PARAMS, 513, (struct str){params.p, 20}, 4);
	put_record_padded(&b, PARAMS, 513, (struct str){params.p + 20, params.len - 20}, 255);
	put_record(&b, PARAMS, 513, STR(""));
	put_record_padded(&b, STDIN, 513, STR("{\"a\":"), 3);
	put_record(&b, STDIN, 513, STR("1}"));
	put_record_padded(&b, STDIN, 513, STR(""), 8);
	buf_fini(&params);
	return b;
}

static void reads_a_request_however_it_is_cut(void **state)
{
	struct buf b = sample_request();
	struct record_scan scan = {.max_body = MAX_BODY};
	const char *why;
	size_t used, n;

	(void)state;
	check_splits(buf_str(&b), MAX_BODY, SCAN_COMPLETE, "");
	assert_int_equal(feed(&scan, buf_str(&b), 7, &used, &why), SCAN_COMPLETE);
	assert_int_equal(used, b.len);
	assert_int_equal(scan.id, 513);
	assert_true(scan.keep_conn);
	assert_text(buf_str(&scan.body), "{\"a\":1}");
	assert_true(record_params_valid(buf_str(&scan.params), &n));
	assert_int_equal(n, 3);
	record_scan_reset(&scan);
	buf_fini(&b);
}

static void leaves_what_follows_a_request_alone(void **state)
{
	struct record_scan scan = {.max_body = MAX_BODY};
	struct buf b = sample_request();
	size_t request_len = b.len, used;
	const char *why;

	(void)state;
	put_begin(&b, 1, RESPONDER, 0);
	assert_int_equal(feed(&scan, buf_str(&b), b.len, &used, &why), SCAN_COMPLETE);
	assert_int_equal(used, request_len);
	record_scan_reset(&scan);
	buf_fini(&b);
}

static void reads_a_request_without_parameters_or_body(void **state)
{
	struct buf b = {0};

	(void)state;
	put_begin(&b, 1, RESPONDER, 0);
	put_stream(&b, PARAMS, 1, STR(""));
	put_stream(&b, STDIN, 1, STR(""));
	check_splits(buf_str(&b), MAX_BODY, SCAN_COMPLETE, "");
	buf_fini(&b);
}

static void refuses_management_records(void **state)
{
	struct buf b = {0}, pairs = {0};

	(void)state;
	put_pair(&pairs, "FCGI_MAX_CONNS", "");
	put_record(&b, 9, 0, buf_str(&pairs));
	check_splits(buf_str(&b), MAX_BODY, SCAN_BAD, "management_record");
	b.len = 0;
	put_begin(&b, 1, RESPONDER, 0);
	put_record(&b, 9, 0, buf_str(&pairs));
	check_splits(buf_str(&b), MAX_BODY, SCAN_BAD, "management_record");
	b.len = 0;
	put_begin(&b, 0, RESPONDER, 0);
	check_splits(buf_str(&b), MAX_BODY, SCAN_BAD, "management_record");
	buf_fini(&pairs);
	buf_fini(&b);
}

static void refuses_a_second_request_on_a_busy_connection(void **state)
{
	struct record_scan scan = {.max_body = MAX_BODY};
	struct buf b = {0};
	const char *why = "";
	size_t used;

	(void)state;
	put_begin(&b, 1, RESPONDER, KEEP);
	put_begin(&b, 2, RESPONDER, KEEP);
	check_splits(buf_str(&b), MAX_BODY, SCAN_BAD, "multiplexed");
	b.len = 0;
	put_begin(&b, 1, RESPONDER, KEEP);
	put_begin(&b, 1, RESPONDER, KEEP);
	check_splits(buf_str(&b), MAX_BODY, SCAN_BAD, "record_out_of_order");

	/* and while the first is being answered */
	b.len = 0;
	put_request(&b, KEEP, "x", STR(""));
	assert_int_equal(record_scan(&scan, buf_str(&b), &used, &why), SCAN_COMPLETE);
	assert_int_equal(scan.state, SCAN_DONE);
	b.len = 0;
	put_begin(&b, 2, RESPONDER, KEEP);
	assert_int_equal(record_scan(&scan, buf_str(&b), &used, &why), SCAN_BAD);
	b.len = 0;
	put_record(&b, STDIN, 1, STR("more"));
	assert_int_equal(record_scan(&scan, buf_str(&b), &used, &why), SCAN_BAD);
	record_scan_reset(&scan);
	buf_fini(&b);
}

static void understands_an_abort_at_any_time(void **state)
{
	struct record_scan scan = {.max_body = MAX_BODY};
	struct buf b = {0};
	const char *why = "";
	size_t used;

	(void)state;
	put_begin(&b, 1, RESPONDER, KEEP);
	put_record(&b, ABORT, 1, STR(""));
	check_splits(buf_str(&b), MAX_BODY, SCAN_ABORTED, "");
	b.len = 0;
	put_begin(&b, 1, RESPONDER, KEEP);
	put_stream(&b, PARAMS, 1, STR(""));
	put_record(&b, STDIN, 1, STR("half"));
	put_record_padded(&b, ABORT, 1, STR(""), 8);
	check_splits(buf_str(&b), MAX_BODY, SCAN_ABORTED, "");
	b.len = 0;
	put_request(&b, KEEP, "x", STR(""));
	assert_int_equal(record_scan(&scan, buf_str(&b), &used, &why), SCAN_COMPLETE);
	b.len = 0;
	put_record(&b, ABORT, 1, STR(""));
	assert_int_equal(record_scan(&scan, buf_str(&b), &used, &why), SCAN_ABORTED);
	record_scan_reset(&scan);
	buf_fini(&b);
}

static void knows_only_the_responder_role(void **state)
{
	static const unsigned roles[] = {0, 2, 3, 256, 257, 65535};
	struct buf b = {0};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(roles); i++) {
		b.len = 0;
		put_begin(&b, 7, roles[i], KEEP);
		check_splits(buf_str(&b), MAX_BODY, SCAN_BAD_ROLE, "");
	}
	buf_fini(&b);
}

static void refuses_what_is_not_fastcgi(void **state)
{
	struct buf b = {0};

	(void)state;
	check_splits(STR("GET / HTTP/1.1\r\n\r\n"), MAX_BODY, SCAN_BAD, "not_fastcgi");
	check_splits(STR("\x16\x03\x01\x02"), MAX_BODY, SCAN_BAD, "not_fastcgi");
	put_stream(&b, STDIN, 1, STR("no begin"));
	check_splits(buf_str(&b), MAX_BODY, SCAN_BAD, "begin_expected");
	b.len = 0;
	put_record(&b, BEGIN, 1, STR("\0\1\0"));
	check_splits(buf_str(&b), MAX_BODY, SCAN_BAD, "begin_too_short");
	b.len = 0;
	put_begin(&b, 1, RESPONDER, 0);
	put_record(&b, STDIN, 1, STR("before the end of the parameters"));
	check_splits(buf_str(&b), MAX_BODY, SCAN_BAD, "record_out_of_order");
	b.len = 0;
	put_begin(&b, 1, RESPONDER, 0);
	put_record(&b, 77, 1, STR("?"));
	check_splits(buf_str(&b), MAX_BODY, SCAN_BAD, "record_out_of_order");
	b.len = 0;
	put_begin(&b, 1, RESPONDER, 0);
	put_record(&b, PARAMS, 1, STR(""));
	put_record(&b, PARAMS, 1, STR("\1\1ab"));
	check_splits(buf_str(&b), MAX_BODY, SCAN_BAD, "record_out_of_order");
	buf_fini(&b);
}

static void takes_parameters_up_to_the_limit_and_no_further(void **state)
{
	struct record_scan scan = {.max_body = MAX_BODY};
	struct buf b = {0}, params = {0};
	const char *why = "";
	size_t used;

	(void)state;
	memset(buf_reserve(&params, RECORD_MAX_PARAMS + 1), 'p', RECORD_MAX_PARAMS + 1);
	params.len = RECORD_MAX_PARAMS;
	put_begin(&b, 1, RESPONDER, 0);
	put_stream(&b, PARAMS, 1, buf_str(&params));
	assert_int_equal(record_scan(&scan, buf_str(&b), &used, &why), SCAN_MORE);
	assert_int_equal(scan.params.len, RECORD_MAX_PARAMS);
	assert_int_equal(scan.state, SCAN_STDIN);
	record_scan_reset(&scan);

	params.len = RECORD_MAX_PARAMS + 1;
	b.len = 0;
	put_begin(&b, 1, RESPONDER, 0);
	put_stream(&b, PARAMS, 1, buf_str(&params));
	assert_int_equal(record_scan(&scan, buf_str(&b), &used, &why), SCAN_BAD);
	assert_string_equal(why, "params_too_large");
	assert_true(scan.params.len <= RECORD_MAX_PARAMS);
	record_scan_reset(&scan);
	buf_fini(&b);
	buf_fini(&params);
}

static void drops_a_body_over_the_limit_but_reads_to_its_end(void **state)
{
	struct record_scan scan = {.max_body = 10};
	struct buf b = {0};
	const char *why = "";
	size_t used;

	(void)state;
	put_request(&b, KEEP, "x", STR("0123456789"));
	check_splits(buf_str(&b), 10, SCAN_COMPLETE, "");
	assert_int_equal(record_scan(&scan, buf_str(&b), &used, &why), SCAN_COMPLETE);
	assert_false(scan.body_too_large);
	assert_text(buf_str(&scan.body), "0123456789");
	record_scan_reset(&scan);

	b.len = 0;
	put_begin(&b, 1, RESPONDER, KEEP);
	put_stream(&b, PARAMS, 1, STR(""));
	put_record(&b, STDIN, 1, STR("012345678"));
	put_record(&b, STDIN, 1, STR("9A"));
	put_record(&b, STDIN, 1, STR("B"));
	put_record(&b, STDIN, 1, STR(""));
	check_splits(buf_str(&b), 10, SCAN_COMPLETE, "");
	assert_int_equal(record_scan(&scan, buf_str(&b), &used, &why), SCAN_COMPLETE);
	assert_true(scan.body_too_large);
	assert_int_equal(scan.body.len, 0);
	assert_int_equal(used, b.len);
	record_scan_reset(&scan);
	assert_false(scan.body_too_large);
	buf_fini(&b);
}

static void reads_lengths_of_one_and_of_four_bytes(void **state)
{
	struct buf b = {0};
	char text[70000];
	size_t n;

	(void)state;
	memset(text, 'x', sizeof(text));
	put_pair_str(&b, STR(""), STR(""));
	put_pair_str(&b, (struct str){text, 127}, (struct str){text, 128});
	put_pair_str(&b, (struct str){text, 128}, (struct str){text, 127});
	put_pair_str(&b, STR("A"), (struct str){text, sizeof(text)});
	assert_true(record_params_valid(buf_str(&b), &n));
	assert_int_equal(n, 4);
	assert_true(record_params_valid((struct str){NULL, 0}, &n));
	assert_int_equal(n, 0);
	/* a short length may be written in four bytes, too */
	assert_true(record_params_valid(STR("\x80\0\0\1\1ab"), &n));
	assert_int_equal(n, 1);
	buf_fini(&b);
}

static void refuses_a_pair_that_claims_4_gigabytes(void **state)
{
	size_t n;

	(void)state;
	assert_false(record_params_valid(STR("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"
					     "ab"),
					 &n));
	assert_false(record_params_valid(STR("\1\xFF\xFF\xFF\xFF"
					     "ab"),
					 &n));
	assert_false(record_params_valid(STR("\xFF\xFF\xFF\xFF\1"
					     "ab"),
					 &n));
	assert_false(record_params_valid(STR("\xFF\xFF\xFF\xFF\x80\0\0\1"
					     "ab"),
					 &n));
}

static void refuses_pairs_that_are_cut_anywhere(void **state)
{
	struct buf b = {0};
	char text[200];
	size_t n;

	(void)state;
	memset(text, 'x', sizeof(text));
	put_pair_str(&b, (struct str){text, 130}, (struct str){text, 140});
	for (size_t len = 1; len < b.len; len++) {
		char *copy = malloc(len); /* exactly as long, so that reading on is noticed */

		memcpy(copy, b.p, len);
		assert_false(record_params_valid((struct str){copy, len}, &n));
		free(copy);
	}
	assert_true(record_params_valid(buf_str(&b), &n));
	assert_false(record_params_valid(STR("\1"), &n));
	assert_false(record_params_valid(STR("\1\1a"), &n));
	assert_false(record_params_valid(STR("\1\1ab\1"), &n));
	buf_fini(&b);
}

static void survives_random_damage(void **state)
{
	struct buf b = sample_request();
	uint32_t seed = 20251003;
	size_t n_complete = 0;

	(void)state;
	put_request(&b, KEEP, "second", STR("body"));
	for (int round = 0; round < 60000; round++) {
		struct record_scan scan = {.max_body = 64};
		size_t len = b.len - (next_random(&seed) % 4 == 0 ? next_random(&seed) % b.len : 0), used, n;
		char *copy = malloc(len + 1);
		struct str rest = {copy, len};
		const char *why = "";
		enum scan_result result;

		memcpy(copy, b.p, len);
		for (uint32_t i = next_random(&seed) % 6; i > 0 && len; i--)
			copy[next_random(&seed) % len] = (char)next_random(&seed);
		do {
			result = record_scan(&scan, rest, &used, &why);
			assert_true(used <= rest.len);
			rest = str_skip(rest, used);
			assert_true(scan.params.len <= RECORD_MAX_PARAMS);
			assert_true(scan.body.len <= 64);
			if (result == SCAN_COMPLETE) {
				n_complete++;
				if (record_params_valid(buf_str(&scan.params), &n))
					assert_true(n <= scan.params.len / 2);
				record_scan_reset(&scan);
			}
		} while (result == SCAN_COMPLETE);
		record_scan_reset(&scan);
		free(copy);
	}
	assert_true(n_complete > 10000);
	buf_fini(&b);
}

static void survives_random_pairs(void **state)
{
	uint32_t seed = 42;

	(void)state;
	for (int round = 0; round < 50000; round++) {
		size_t len = next_random(&seed) % 24, n;
		char *p = malloc(len + 1);

		for (size_t i = 0; i < len; i++)
			p[i] = (char)(next_random(&seed) % 3 ? next_random(&seed) % 8 : next_random(&seed));
		if (record_params_valid((struct str){p, len}, &n))
			assert_true(2 * n <= len);
		free(p);
	}
}

static void writes_headers_and_ends_as_the_specification_says(void **state)
{
	static const unsigned char expected[] = {1, 6, 0x02, 0x01, 0xFF, 0xFE, 0, 0};
	static const unsigned char expected_end[] = {1, 3, 0xFF, 0xFF, 0, 8, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0};
	unsigned char header[RECORD_HEADER_BYTES], end[RECORD_END_BYTES];

	(void)state;
	record_header(header, RECORD_STDOUT, 0x0201, 0xFFFE);
	assert_memory_equal(header, expected, sizeof(expected));
	memset(end, 0xAA, sizeof(end));
	record_end(end, 0xFFFF, RECORD_UNKNOWN_ROLE);
	assert_memory_equal(end, expected_end, sizeof(expected_end));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_request_however_it_is_cut),
		cmocka_unit_test(leaves_what_follows_a_request_alone),
		cmocka_unit_test(reads_a_request_without_parameters_or_body),
		cmocka_unit_test(refuses_management_records),
		cmocka_unit_test(refuses_a_second_request_on_a_busy_connection),
		cmocka_unit_test(understands_an_abort_at_any_time),
		cmocka_unit_test(knows_only_the_responder_role),
		cmocka_unit_test(refuses_what_is_not_fastcgi),
		cmocka_unit_test(takes_parameters_up_to_the_limit_and_no_further),
		cmocka_unit_test(drops_a_body_over_the_limit_but_reads_to_its_end),
		cmocka_unit_test(reads_lengths_of_one_and_of_four_bytes),
		cmocka_unit_test(refuses_a_pair_that_claims_4_gigabytes),
		cmocka_unit_test(refuses_pairs_that_are_cut_anywhere),
		cmocka_unit_test(survives_random_damage),
		cmocka_unit_test(survives_random_pairs),
		cmocka_unit_test(writes_headers_and_ends_as_the_specification_says),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
