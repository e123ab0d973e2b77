/* A password as a line of standard input. The terminal is tests/integration/test_users_ctl.py's. */
#include "ctl/prompt.h"

#include <unistd.h>

#include "base/account_rules.h"
#include "tests/unit/support.h"

static char big[5000]; /* x's */

static int start(void **state)
{
	(void)state;
	crypto_init();
	memset(big, 'x', sizeof(big));
	return 0;
}

/* Standard input has this, and is over then; no more than a pipe holds. */
static void feed(struct str input)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], input.p, input.len), (ssize_t)input.len);
	close(fds[1]);
	assert_int_equal(dup2(fds[0], STDIN_FILENO), STDIN_FILENO);
	close(fds[0]);
}

static void takes(struct str input, struct str password)
{
	struct prompt_text text;
	const char *problem;

	feed(input);
	problem = prompt_password("anna", &text);
	if (problem)
		fail_msg("%s", problem);
	assert_str(prompt_str(&text), password);
}

static void refuses(struct str input, const char *part)
{
	struct prompt_text text;
	const char *problem;

	feed(input);
	problem = prompt_password("anna", &text);
	assert_non_null(problem);
	if (!strstr(problem, part))
		fail_msg("\"%s\" does not say \"%s\"", problem, part);
}

static void takes_one_line_without_its_end(void **state)
{
	(void)state;
	takes(STR("correct horse\n"), STR("correct horse"));
	takes(STR("correct horse\r\n"), STR("correct horse"));
	takes(STR("correct horse"), STR("correct horse"));
	takes(STR("correct horse\r"), STR("correct horse\r")); /* that is no line end */
	takes(STR("correct\rhorse\r\r\n"), STR("correct\rhorse\r"));
	takes(STR("  correct horse \t\n"), STR("  correct horse \t"));
	takes(STR("correct horse\nbattery staple\n"), STR("correct horse"));
	takes(STR("八个字就够长了吧\n"), STR("八个字就够长了吧"));
}

static void leaves_the_next_line_to_the_next_reader(void **state)
{
	struct prompt_text text;
	char rest[32];

	(void)state;
	feed(STR("first password\nsecond password\nrest"));
	assert_null(prompt_password("anna", &text));
	assert_text(prompt_str(&text), "first password");
	assert_null(prompt_password("anna", &text));
	assert_text(prompt_str(&text), "second password");
	assert_int_equal(read(STDIN_FILENO, rest, sizeof(rest)), 4);
}

static void refuses_what_breaks_the_rules(void **state)
{
	char line[PASSWORD_MAX_BYTES + 3];

	(void)state;
	refuses(STR(""), "no password on standard input");
	refuses(STR("\n"), "at least 8 characters");
	refuses(STR("\r\n"), "at least 8 characters");
	refuses(STR("1234567\n"), "at least 8 characters");
	refuses(STR("\nlong enough, but late\n"), "at least 8 characters");
	refuses(STR("long enough, but \xFF\n"), "UTF-8");
	refuses(STR("l\0o\0n\0g\0 \0e\0n\0o\0u\0g\0h\0\n\0"), "NUL"); /* UTF-16, as some editors write it */
	memset(line, 'x', sizeof(line));
	line[PASSWORD_MAX_BYTES] = '\n';
	takes((struct str){line, PASSWORD_MAX_BYTES + 1}, (struct str){big, PASSWORD_MAX_BYTES});
	line[PASSWORD_MAX_BYTES] = '\r';
	line[PASSWORD_MAX_BYTES + 1] = '\n';
	takes((struct str){line, PASSWORD_MAX_BYTES + 2}, (struct str){big, PASSWORD_MAX_BYTES});
	line[PASSWORD_MAX_BYTES] = 'x';
	refuses((struct str){line, PASSWORD_MAX_BYTES + 2}, "at most 1024 bytes");
	for (size_t n = PASSWORD_MAX_BYTES + 1; n < PASSWORD_MAX_BYTES + 6; n++)
		refuses((struct str){big, n}, "at most 1024 bytes");
	refuses((struct str){big, sizeof(big)}, "at most 1024 bytes");
}

static void makes_passwords_that_pass(void **state)
{
	struct prompt_text one, two;

	(void)state;
	for (int i = 0; i < 100; i++) {
		prompt_random(&one);
		prompt_random(&two);
		assert_int_equal(one.len, 22);
		assert_null(password_problem(prompt_str(&one)));
		assert_true(str_only(prompt_str(&one), STR(NAME_CHARS)));
		assert_false(str_eq(prompt_str(&one), prompt_str(&two)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_one_line_without_its_end),
		cmocka_unit_test(leaves_the_next_line_to_the_next_reader),
		cmocka_unit_test(refuses_what_breaks_the_rules),
		cmocka_unit_test(makes_passwords_that_pass),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
