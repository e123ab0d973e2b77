/* Text helpers: comparing, cutting, numbers, UTF-8. */
#include "base/str.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool str_only(struct str s, struct str allowed)
{
	for (size_t i = 0; i < s.len; i++)
		if (!memchr(allowed.p, s.p[i], allowed.len))
			return false;
	return true;
}

uint64_t str_hash(struct str s)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < s.len; i++)
		hash = (hash ^ (unsigned char)s.p[i]) * UINT64_C(0x100000001b3);
	return hash;
}

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

struct str str_trim(struct str s)
{
	while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = str_skip(s, 1);
	while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
		s.len--;
	return s;
}

struct str str_cut(struct str *rest, char c)
{
	struct str head = *rest;
	const char *at = rest->len ? memchr(rest->p, c, rest->len) : NULL;

	if (!at) {
		*rest = (struct str){NULL, 0};
		return head;
	}
	head.len = (size_t)(at - head.p);
	*rest = str_skip(*rest, head.len + 1);
	return head;
}

bool str_to_i64(struct str s, int64_t *out)
{
	bool negative = s.len > 0 && s.p[0] == '-';
	int64_t value = 0;

	if (negative)
		s = str_skip(s, 1);
	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		if (__builtin_mul_overflow(value, 10, &value))
			return false;
		if (__builtin_sub_overflow(value, s.p[i] - '0', &value)) /* negative holds one value more */
			return false;
	}
	if (!negative && __builtin_sub_overflow(0, value, &value))
		return false;
	*out = value;
	return true;
}

bool str_to_double(struct str s, double *out)
{
	char text[64], *end;
	double value;

	if (s.len == 0 || s.len >= sizeof(text))
		return false;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	value = strtod(text, &end);
	if (end != text + s.len || !isfinite(value))
		return false;
	*out = value;
	return true;
}

/* Length of the character at s.p, or 0 if it is not well-formed. */
static size_t utf8_one(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	unsigned char low = 0x80, high = 0xBF;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xC2 && p[0] <= 0xDF) {
		n = 2;
	} else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
		n = 3;
		low = p[0] == 0xE0 ? 0xA0 : 0x80;  /* no overlong forms */
		high = p[0] == 0xED ? 0x9F : 0xBF; /* no surrogates */
	} else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
		n = 4;
		low = p[0] == 0xF0 ? 0x90 : 0x80;
		high = p[0] == 0xF4 ? 0x8F : 0xBF;
	} else {
		return 0;
	}
	if (s.len < n || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	return n;
}

bool utf8_valid(struct str s)
{
	while (s.len > 0) {
		size_t n;

		/* Most text is ASCII for long runs: eight bytes at a time. */
		while (s.len >= 8) {
			uint64_t word;

			memcpy(&word, s.p, 8);
			if (word & UINT64_C(0x8080808080808080))
				break;
			s = str_skip(s, 8);
		}
		if (s.len == 0)
			break;
		n = utf8_one(s);
		if (n == 0)
			return false;
		s = str_skip(s, n);
	}
	return true;
}

static bool starts_char(char c)
{
	return ((unsigned char)c & 0xC0) != 0x80;
}

size_t utf8_prefix(struct str s, size_t n_chars)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		if (starts_char(s.p[i]) && n_chars-- == 0)
			break;
	return i;
}

size_t utf8_count(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += starts_char(s.p[i]);
	return n;
}
