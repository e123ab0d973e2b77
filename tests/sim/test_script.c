/* The parser of the simulator's model names. */
#include "sim/script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct script read_script(const char *name)
{
	struct script script;
	char why[512] = "";

	if (script_parse(&script, name, why, sizeof(why)) < 0)
		fail_msg("%s was refused: %s", name, why);
	return script;
}

/* Checks that name is refused with a sentence that contains part. */
static void assert_refused(const char *name, const char *part)
{
	struct script script;
	char why[512] = "";

	assert_int_equal(script_parse(&script, name, why, sizeof(why)), -1);
	if (!strstr(why, part))
		fail_msg("%s: '%s' does not mention '%s'", name, why, part);
}

static void what_goes_wrong_now_and_then_leaves_the_rest_alone(void **state)
{
	struct script script = read_script("sim-n7-d1-err503-ra2-cut3-hang-zh-every3"), kind = read_script("sim-n7-d1-zh-every3");

	(void)state;
	assert_int_equal(script.every, 3);
	script_spare(&script);
	assert_memory_equal(&script, &kind, sizeof(script));
	assert_refused("sim-every0", "every");
}

static void the_bare_name_stands_for_the_defaults(void **state)
{
	struct script script = read_script("sim");

	(void)state;
	assert_int_equal(script.n_tokens, SCRIPT_NEVER);
	assert_int_equal(script.gap_ms, 50);
	assert_int_equal(script.first_ms, 50);
	assert_false(script.first_given);
	assert_int_equal(script.text, SCRIPT_EN);
	assert_int_equal(script.error_status, 0);
	assert_int_equal(script.retry_after_s, SCRIPT_NEVER);
	assert_int_equal(script.stall_after, SCRIPT_NEVER);
	assert_int_equal(script.cut_after, SCRIPT_NEVER);
	assert_int_equal(script.error_after, SCRIPT_NEVER);
	assert_false(script.hang || script.no_end || script.no_done || script.no_usage || script.byte_writes);
	assert_int_equal(script.garbage_after, SCRIPT_NEVER);
	assert_int_equal(script.bad_utf8_after, SCRIPT_NEVER);
	assert_int_equal(script.line_after, SCRIPT_NEVER);
	assert_false(script.null_choices || script.nul || script.length_stop || script.html);
}

static void reads_every_directive_with_a_number(void **state)
{
	struct script script = read_script("sim-n7-d8-first9-size10-stall11-cut12-mid13-reason14-err429-ra15-garbage16-badutf17-bigline18");

	(void)state;
	assert_int_equal(script.n_tokens, 7);
	assert_int_equal(script.gap_ms, 8);
	assert_int_equal(script.first_ms, 9);
	assert_true(script.first_given);
	assert_int_equal(script.token_bytes, 10);
	assert_int_equal(script.stall_after, 11);
	assert_int_equal(script.cut_after, 12);
	assert_int_equal(script.error_after, 13);
	assert_int_equal(script.n_reasoning, 14);
	assert_int_equal(script.error_status, 429);
	assert_int_equal(script.retry_after_s, 15);
	assert_int_equal(script.garbage_after, 16);
	assert_int_equal(script.bad_utf8_after, 17);
	assert_int_equal(script.line_after, 18);
}

static void reads_every_directive_without_a_number(void **state)
{
	struct script script = read_script("sim-bytes-hang-noend-nodone-nousage-nullchoices-nul-lenStop-html");

	(void)state;
	assert_true(script.byte_writes && script.hang && script.no_end && script.no_done);
	assert_true(script.no_usage && script.null_choices && script.nul && script.length_stop && script.html);
}

static void reads_every_kind_of_text(void **state)
{
	(void)state;
	assert_int_equal(read_script("sim-en").text, SCRIPT_EN);
	assert_int_equal(read_script("sim-zh").text, SCRIPT_ZH);
	assert_int_equal(read_script("sim-emoji").text, SCRIPT_EMOJI);
	assert_int_equal(read_script("sim-echo").text, SCRIPT_ECHO);
}

static void the_order_of_directives_does_not_matter(void **state)
{
	struct script one = read_script("sim-n5-d10-zh-cut3");
	struct script other = read_script("sim-cut3-zh-d10-n5");

	(void)state;
	assert_memory_equal(&one, &other, sizeof(one));
}

static void the_first_token_waits_as_long_as_the_others_unless_told(void **state)
{
	(void)state;
	assert_int_equal(read_script("sim-d7").first_ms, 7);
	assert_int_equal(read_script("sim-first3-d7").first_ms, 3);
	assert_int_equal(read_script("sim-first0-d7").first_ms, 0);
}

static void zero_is_a_number(void **state)
{
	struct script script = read_script("sim-n0-d0-stall0-cut0-mid0-garbage0-badutf0-bigline0");

	(void)state;
	assert_int_equal(script.n_tokens, 0);
	assert_int_equal(script.gap_ms, 0);
	assert_int_equal(script.stall_after, 0);
	assert_int_equal(script.cut_after, 0);
	assert_int_equal(script.error_after, 0);
	assert_int_equal(script.garbage_after, 0);
	assert_int_equal(script.bad_utf8_after, 0);
	assert_int_equal(script.line_after, 0);
}

static void refuses_a_name_that_is_not_ours(void **state)
{
	(void)state;
	assert_refused("", "'sim'");
	assert_refused("si", "'sim'");
	assert_refused("gpt-4o", "'sim'");
	assert_refused("simple", "'sim'");
	assert_refused("SIM-n5", "'sim'");
}

static void refuses_a_directive_it_does_not_know(void **state)
{
	(void)state;
	assert_refused("sim-n5-frob-d10", "'frob'");
	assert_refused("sim-frob7", "'frob7'");
	assert_refused("sim-lenstop", "'lenstop'");
	assert_refused("sim-zh3", "'zh3'");
	assert_refused("sim-nulx", "'nulx'");
	assert_refused("sim-badutf8x", "'badutf8x'");
	assert_refused("sim-html5", "'html5'");
}

static void refuses_an_empty_directive(void **state)
{
	(void)state;
	assert_refused("sim-", "''");
	assert_refused("sim--n5", "''");
	assert_refused("sim-n5-", "''");
}

static void refuses_a_number_that_is_missing_or_not_whole(void **state)
{
	(void)state;
	assert_refused("sim-n", "'n'");
	assert_refused("sim-d5x", "'d5x'");
	assert_refused("sim-d1.5", "'d1.5'");
	assert_refused("sim-garbage", "'garbage'");
	assert_refused("sim-badutf", "'badutf'");
	assert_refused("sim-bigline", "'bigline'");
}

static void refuses_a_number_out_of_range(void **state)
{
	(void)state;
	assert_refused("sim-n10000001", "'n10000001'");
	assert_refused("sim-n99999999999999999999", "'n99999999999999999999'");
	assert_refused("sim-size0", "from 1 to 1048576");
	assert_refused("sim-err200", "from 400 to 599");
	assert_refused("sim-err600", "'err600'");
}

static void refuses_what_would_depend_on_the_order(void **state)
{
	(void)state;
	assert_refused("sim-n5-n6", "'n6'");
	assert_refused("sim-zh-emoji", "'emoji'");
	assert_refused("sim-hang-hang", "'hang'");
}

static void refuses_retry_after_without_an_error(void **state)
{
	(void)state;
	assert_refused("sim-ra5", "'ra5'");
}

static void refuses_a_name_that_is_too_long(void **state)
{
	char name[SCRIPT_NAME_MAX_BYTES + 2];

	(void)state;
	memset(name, '1', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	memcpy(name, "sim-n", 5);
	assert_refused(name, "longer than 200 bytes");
}

static void never_writes_beyond_the_room_for_the_reason(void **state)
{
	struct script script;
	char why[8];

	(void)state;
	memset(why, 'x', sizeof(why));
	assert_int_equal(script_parse(&script, "sim-frob", why, 4), -1);
	assert_int_equal(why[3], '\0');
	assert_int_equal(why[4], 'x');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_goes_wrong_now_and_then_leaves_the_rest_alone),
		cmocka_unit_test(the_bare_name_stands_for_the_defaults),
	    cmocka_unit_test(reads_every_directive_with_a_number),
	    cmocka_unit_test(reads_every_directive_without_a_number),
	    cmocka_unit_test(reads_every_kind_of_text),
	    cmocka_unit_test(the_order_of_directives_does_not_matter),
	    cmocka_unit_test(the_first_token_waits_as_long_as_the_others_unless_told),
	    cmocka_unit_test(zero_is_a_number),
	    cmocka_unit_test(refuses_a_name_that_is_not_ours),
	    cmocka_unit_test(refuses_a_directive_it_does_not_know),
	    cmocka_unit_test(refuses_an_empty_directive),
	    cmocka_unit_test(refuses_a_number_that_is_missing_or_not_whole),
	    cmocka_unit_test(refuses_a_number_out_of_range),
	    cmocka_unit_test(refuses_what_would_depend_on_the_order),
	    cmocka_unit_test(refuses_retry_after_without_an_error),
	    cmocka_unit_test(refuses_a_name_that_is_too_long),
	    cmocka_unit_test(never_writes_beyond_the_room_for_the_reason),
	};

	return cmocka_run_group_tests_name("sim/script", tests, NULL, NULL);
}
