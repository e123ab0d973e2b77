/* Names, e-mail addresses and passwords: each rule at its bounds, and bytes that are no text. */
#include "base/account_rules.h"

#include "base/password.h"
#include "tests/unit/support.h"

static void fine(const char *(*problem)(struct str), struct str s)
{
	const char *why = problem(s);

	if (why)
		fail_msg("\"%.*s\": %s", STR_ARG(s), why);
}

static void wrong(const char *(*problem)(struct str), struct str s, const char *part)
{
	const char *why = problem(s);

	if (!why)
		fail_msg("\"%.*s\" passes", STR_ARG(s));
	else if (!strstr(why, part))
		fail_msg("\"%.*s\": \"%s\" does not say \"%s\"", STR_ARG(s), why, part);
}

/* n times the same character. */
static struct str repeat(const char *character, size_t n)
{
	static char text[8192];
	size_t len = strlen(character);

	for (size_t i = 0; i < n; i++)
		memcpy(text + i * len, character, len);
	return (struct str){text, n * len};
}

static void takes_names_of_1_to_64_characters(void **state)
{
	(void)state;
	fine(username_problem, STR("a"));
	fine(username_problem, STR("Anna-Maria O'Neill"));
	fine(username_problem, STR("张伟"));
	fine(username_problem, STR("नेहा"));
	fine(username_problem, STR("load-0001@example.org"));
	fine(username_problem, STR("'; DROP TABLE users; --"));
	fine(username_problem, repeat("x", 64));
	fine(username_problem, repeat("語", 64)); /* characters, not bytes */
	fine(username_problem, repeat("😀", 64));
	wrong(username_problem, STR(""), "1 to 64");
	wrong(username_problem, (struct str){NULL, 0}, "1 to 64");
	wrong(username_problem, repeat("x", 65), "1 to 64");
	wrong(username_problem, repeat("語", 65), "1 to 64");
}

static void refuses_names_that_look_like_another(void **state)
{
	static const char *const controls[] = {"\t",       "\n",       "\r",       "\x1B",   "\x1F",   "\x7F",
					       "\xC2\x80", "\xC2\x85", "\xC2\x9F", "\u200E", "\u200F", "\u2028",
					       "\u2029",   "\u202A",   "\u202E",   "\u2066", "\u2069"};
	static const char *const blanks[] = {" ", "\u00A0", "\u1680", "\u2000", "\u200B", "\u202F", "\u205F", "\u2060", "\u3000", "\uFEFF"};
	char name[16];

	(void)state;
	wrong(username_problem, STR("a\0b"), "control");
	wrong(username_problem, STR("\0"), "control");
	for (size_t i = 0; i < N_ELEMENTS(controls); i++) {
		snprintf(name, sizeof(name), "a%sb", controls[i]);
		wrong(username_problem, str_from(name), "control");
		wrong(username_problem, str_from(controls[i]), "control");
	}
	for (size_t i = 0; i < N_ELEMENTS(blanks); i++) {
		snprintf(name, sizeof(name), "a%sb", blanks[i]);
		fine(username_problem, str_from(name));
		snprintf(name, sizeof(name), "%sb", blanks[i]);
		wrong(username_problem, str_from(name), "blank");
		snprintf(name, sizeof(name), "語%s", blanks[i]);
		wrong(username_problem, str_from(name), "blank");
		wrong(username_problem, str_from(blanks[i]), "blank");
	}
	/* Their neighbours, and the joiners that Persian and emoji need. */
	fine(username_problem, STR("\u2027\u2030\u200C\u200D\u2065\u206A"));
	fine(username_problem, STR("\u00A1\u2FFF\u3001\uFEFE\U00010000\U0010FFFF"));
}

static void takes_addresses_with_something_on_both_sides(void **state)
{
	static const char *const half[] = {"", "a", "@", "@b", "a@", "a@b@", "@@"};
	static char text[300];

	(void)state;
	fine(email_problem, STR("a@b"));
	fine(email_problem, STR("anna.o'neill+chat@mail.example.org"));
	fine(email_problem, STR("用户@例子.中国"));
	fine(email_problem, STR("\"a@b\"@example.org"));
	for (size_t i = 0; i < N_ELEMENTS(half); i++)
		wrong(email_problem, str_from(half[i]), "on both sides");
	wrong(email_problem, (struct str){NULL, 0}, "on both sides");
	memset(text, 'x', sizeof(text));
	text[100] = '@';
	fine(email_problem, (struct str){text, 254});
	wrong(email_problem, (struct str){text, 255}, "at most 254");
	wrong(email_problem, STR("a b@c"), "blanks");
	wrong(email_problem, STR(" a@c"), "blanks");
	wrong(email_problem, STR("a@c\u3000"), "blanks");
	wrong(email_problem, STR("a@c\n"), "control");
	wrong(email_problem, STR("a\0@c"), "control");
}

static void takes_passwords_of_8_characters_to_1024_bytes(void **state)
{
	(void)state;
	fine(password_problem, STR("        "));
	fine(password_problem, STR("12345678"));
	fine(password_problem, STR(" tab\tin it "));
	fine(password_problem, STR("八个字就够长了吧"));
	wrong(password_problem, STR("1234567"), "at least 8 characters");
	wrong(password_problem, STR("七个字不够长吧"), "at least 8 characters"); /* 21 bytes */
	wrong(password_problem, STR(""), "at least 8 characters");
	wrong(password_problem, (struct str){NULL, 0}, "at least 8 characters");
	fine(password_problem, repeat("x", PASSWORD_MAX_BYTES));
	fine(password_problem, repeat("語", PASSWORD_MAX_BYTES / 3));
	wrong(password_problem, repeat("x", PASSWORD_MAX_BYTES + 1), "at most 1024 bytes");
	wrong(password_problem, repeat("語", PASSWORD_MAX_BYTES / 3 + 1), "at most 1024 bytes");
	wrong(password_problem, STR("1234\0005678"), "NUL");
}

static void refuses_what_is_not_utf_8(void **state)
{
	static const struct str rows[] = {CONST_STR("\xFF@b-long-enough"),    CONST_STR("\xC3"),
					  CONST_STR("abcdefgh@i\xE8\xAA"),    CONST_STR("\xC0\x80@abcdefgh"),
					  CONST_STR("\xED\xA0\x80@abcdefgh"), CONST_STR("\xF4\x90\x80\x80@abcdefgh"),
					  CONST_STR("a@\x80 bcdefgh")};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		wrong(username_problem, rows[i], "UTF-8");
		wrong(email_problem, rows[i], "UTF-8");
		wrong(password_problem, rows[i], "UTF-8");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_names_of_1_to_64_characters),
		cmocka_unit_test(refuses_names_that_look_like_another),
		cmocka_unit_test(takes_addresses_with_something_on_both_sides),
		cmocka_unit_test(takes_passwords_of_8_characters_to_1024_bytes),
		cmocka_unit_test(refuses_what_is_not_utf_8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
