/* Emitting JSON into a buf. */
#include <math.h>
#include <stdio.h>

#include "base/json.h"

static void before_value(struct json_writer *w)
{
	if (w->comma)
		buf_add_char(w->out, ',');
	w->comma = true;
}

void json_open(struct json_writer *w, char bracket)
{
	before_value(w);
	buf_add_char(w->out, bracket);
	w->comma = false;
}

void json_close(struct json_writer *w, char bracket)
{
	buf_add_char(w->out, bracket);
	w->comma = true;
}

void json_key(struct json_writer *w, const char *key)
{
	before_value(w);
	json_quote(w->out, str_from(key));
	buf_add_char(w->out, ':');
	w->comma = false;
}

void json_put_str(struct json_writer *w, struct str s)
{
	before_value(w);
	json_quote(w->out, s);
}

void json_put_int(struct json_writer *w, int64_t n)
{
	char digits[24], *p = digits + sizeof(digits);
	uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;

	do
		*--p = (char)('0' + rest % 10);
	while (rest /= 10);
	if (n < 0)
		*--p = '-';
	before_value(w);
	buf_add(w->out, p, (size_t)(digits + sizeof(digits) - p));
}

void json_put_number(struct json_writer *w, double d)
{
	before_value(w);
	if (isfinite(d))
		buf_printf(w->out, "%.12g", d);
	else
		buf_add_str(w->out, STR("null"));
}

void json_put_bool(struct json_writer *w, bool b)
{
	before_value(w);
	buf_add_cstr(w->out, b ? "true" : "false");
}

void json_put_null(struct json_writer *w)
{
	before_value(w);
	buf_add_str(w->out, STR("null"));
}

void json_put_raw(struct json_writer *w, struct str json)
{
	before_value(w);
	buf_add_str(w->out, json);
}

void json_add_str(struct json_writer *w, const char *key, struct str s)
{
	json_key(w, key);
	json_put_str(w, s);
}

void json_add_cstr(struct json_writer *w, const char *key, const char *s)
{
	json_key(w, key);
	if (s)
		json_put_str(w, str_from(s));
	else
		json_put_null(w);
}

void json_add_int(struct json_writer *w, const char *key, int64_t n)
{
	json_key(w, key);
	json_put_int(w, n);
}

void json_add_bool(struct json_writer *w, const char *key, bool b)
{
	json_key(w, key);
	json_put_bool(w, b);
}

/* The letter after the backslash of a short escape, or 0. */
static char short_escape(char c)
{
	switch (c) {
	case '"': return '"';
	case '\\': return '\\';
	case '\n': return 'n';
	case '\r': return 'r';
	case '\t': return 't';
	default: return 0;
	}
}

void json_quote(struct buf *out, struct str s)
{
	size_t start = 0;

	buf_add_char(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if ((unsigned char)c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_add(out, s.p + start, i - start);
		start = i + 1;
		if (short_escape(c)) {
			buf_add_char(out, '\\');
			buf_add_char(out, short_escape(c));
		} else {
			buf_printf(out, "\\u%04x", c);
		}
	}
	buf_add_str(out, str_skip(s, start));
	buf_add_char(out, '"');
}
