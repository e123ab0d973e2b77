/* The rules and their sentences. */
#include "base/account_rules.h"

#include "base/password.h"

static struct str last_char(struct str s)
{
	size_t at = s.len;

	while (at > 0 && ((unsigned char)s.p[--at] & 0xC0) == 0x80)
		;
	return str_skip(s, at);
}

/* The first character of valid, non-empty UTF-8. */
static uint32_t code_of(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;

	if (p[0] < 0x80)
		return p[0];
	if (p[0] < 0xE0)
		return (p[0] & 0x1FU) << 6 | (p[1] & 0x3FU);
	if (p[0] < 0xF0)
		return (p[0] & 0x0FU) << 12 | (p[1] & 0x3FU) << 6 | (p[2] & 0x3FU);
	return (p[0] & 0x07U) << 18 | (p[1] & 0x3FU) << 12 | (p[2] & 0x3FU) << 6 | (p[3] & 0x3FU);
}

/* What moves the text around it: control characters, line ends, and what turns the direction of writing, which can make one name look
 * like another. */
static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x200E || c == 0x200F || (c >= 0x2028 && c <= 0x202E) ||
	       (c >= 0x2066 && c <= 0x2069);
}

/* Those without any width count too. */
static bool is_blank(uint32_t c)
{
	return c == ' ' || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200B) || c == 0x202F || c == 0x205F || c == 0x2060 ||
	       c == 0x3000 || c == 0xFEFF;
}

/* Is there a character in valid UTF-8 that is one of those? */
static bool any(struct str s, bool (*is)(uint32_t c))
{
	for (; s.len > 0; s = str_skip(s, utf8_prefix(s, 1)))
		if (is(code_of(s)))
			return true;
	return false;
}

const char *username_problem(struct str name)
{
	_Static_assert(USERNAME_MAX_CHARS == 64, "the sentence says so");
	if (!utf8_valid(name))
		return "The name must be UTF-8.";
	if (name.len == 0 || utf8_count(name) > USERNAME_MAX_CHARS)
		return "The name must have 1 to 64 characters.";
	if (any(name, is_control))
		return "The name must not have control characters.";
	if (is_blank(code_of(name)) || is_blank(code_of(last_char(name))))
		return "The name must neither begin nor end with a blank.";
	return NULL;
}

const char *email_problem(struct str email)
{
	struct str host = email, local;

	_Static_assert(EMAIL_MAX_CHARS == 254, "the sentence says so");
	if (!utf8_valid(email))
		return "The e-mail address must be UTF-8.";
	if (utf8_count(email) > EMAIL_MAX_CHARS)
		return "The e-mail address must have at most 254 characters.";
	local = str_cut(&host, '@');
	if (local.len == 0 || host.len == 0 || host.p[host.len - 1] == '@')
		return "The e-mail address must have an @ with something on both sides.";
	if (any(email, is_control) || any(email, is_blank))
		return "The e-mail address must have neither blanks nor control characters.";
	return NULL;
}

const char *password_problem(struct str password)
{
	_Static_assert(PASSWORD_MIN_CHARS == 8 && PASSWORD_MAX_BYTES == 1024, "the sentences say so");
	if (password.len > PASSWORD_MAX_BYTES)
		return "The password must have at most 1024 bytes.";
	if (!utf8_valid(password))
		return "The password must be UTF-8.";
	if (utf8_count(password) < PASSWORD_MIN_CHARS)
		return "The password must have at least 8 characters.";
	if (memchr(password.p, '\0', password.len))
		return "The password must not have a NUL character.";
	return NULL;
}
