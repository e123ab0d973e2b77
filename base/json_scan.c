/* The walk keeps a stack of the objects and arrays it is in. With each goes which paths lead through it ("alive", one bit a path); all of
 * these begin with the same characters, so that one number says how far they have been followed. */
#include "base/json_scan.h"

#include <assert.h>

#include "base/err.h"

enum { MAX_ESCAPED_NAME = 256, NOT_HEX = 16 };

struct frame {
	const char *start; /* of the object or array */
	uint32_t alive;    /* the paths that lead here or further */
	size_t n_followed; /* characters of these paths */
	size_t n_values;   /* that have begun in it */
	bool array;
};

struct scan {
	const char *at, *end;
	const char *const *paths;
	struct json_found *found;
	size_t depth;
	struct frame stack[JSON_PROVIDER_DEPTH];
};

/* The next character; NUL, which is allowed nowhere, at the end. */
static char peek(const struct scan *s)
{
	return s->at < s->end ? *s->at : '\0';
}

static bool eat(struct scan *s, char c)
{
	bool there = peek(s) == c;

	s->at += there;
	return there;
}

static void skip_blanks(struct scan *s)
{
	while (peek(s) <= ' ' && (peek(s) == ' ' || peek(s) == '\t' || peek(s) == '\n' || peek(s) == '\r'))
		s->at++;
}

static uint32_t hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return (uint32_t)(c - '0');
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10) : NOT_HEX;
}

/* What follows a backslash. */
static bool skip_escape(struct scan *s)
{
	char c = peek(s);

	if (c == '\0' || !strchr("\"\\/bfnrtu", c))
		return false;
	s->at++;
	for (int i = 0; c == 'u' && i < 4; i++, s->at++)
		if (hex_value(peek(s)) == NOT_HEX)
			return false;
	return true;
}

static bool read_string(struct scan *s, struct json_found *out)
{
	/* All but quotes, backslashes and control characters. */
	static const bool plain[256] = {[0x20 ... 0x21] = true, [0x23 ... 0x5B] = true, [0x5D ... 0xFF] = true};
	const char *start = s->at + 1, *p, *end = s->end;

	if (!eat(s, '"'))
		return false;
	*out = (struct json_found){.kind = JSON_STRING};
	for (;;) {
		for (p = s->at; p < end && plain[(unsigned char)*p]; p++)
			;
		s->at = p;
		if (eat(s, '"'))
			break;
		if (!eat(s, '\\') || !skip_escape(s)) /* a control character, or the end */
			return false;
		out->escaped = true;
	}
	out->raw = (struct str){start, (size_t)(p - start)};
	return true;
}

/* A word or a number. */
static bool read_plain(struct scan *s, struct json_found *out)
{
	static const struct json_found words[] = {
		{JSON_NULL, false, {"null", 4}},
		{JSON_BOOL, false, {"true", 4}},
		{JSON_BOOL, false, {"false", 5}},
	};
	struct str rest = {s->at, (size_t)(s->end - s->at)};

	*out = (struct json_found){.kind = JSON_INT, .raw = {s->at, 0}};
	for (size_t i = 0; i < N_ELEMENTS(words); i++)
		if (str_starts(rest, words[i].raw))
			*out = words[i];
	if (out->kind == JSON_INT)
		out->raw.len = json_number_len(rest);
	for (size_t i = 0; out->kind == JSON_INT && i < out->raw.len; i++)
		if (rest.p[i] == '.' || rest.p[i] == 'e' || rest.p[i] == 'E')
			out->kind = JSON_NUMBER;
	s->at += out->raw.len;
	return out->raw.len > 0;
}

/* A value for the paths that end where it stands. */
static void put_value(struct scan *s, uint32_t alive, size_t n_followed, const struct json_found *value)
{
	for (; alive; alive &= alive - 1)
		if (s->paths[__builtin_ctz(alive)][n_followed] == '\0')
			s->found[__builtin_ctz(alive)] = *value;
}

/* Reads a value to its end, or the bracket that opens it. */
static bool begin_value(struct scan *s, uint32_t alive, size_t n_followed)
{
	struct json_found value;
	char c;

	for (uint32_t rest = alive; rest; rest &= rest - 1) /* an earlier member of this name, with all inside of it */
		s->found[__builtin_ctz(rest)] = (struct json_found){0};
	skip_blanks(s);
	c = peek(s);
	if (c == '{' || c == '[') {
		if (s->depth == JSON_PROVIDER_DEPTH)
			return false;
		s->stack[s->depth++] = (struct frame){s->at++, alive, n_followed, 0, c == '['};
		return true;
	}
	if (c == '"' ? !read_string(s, &value) : !read_plain(s, &value))
		return false;
	put_value(s, alive, n_followed, &value);
	return true;
}

static size_t put_utf8(uint32_t code, char *out)
{
	static const unsigned char first[] = {0, 0, 0xC0, 0xE0, 0xF0};
	size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	for (size_t i = n - 1; i > 0; i--, code >>= 6)
		out[i] = (char)(0x80 | (code & 0x3F));
	out[0] = (char)(first[n] | code);
	return n;
}

static uint32_t hex4(const char *p)
{
	return hex_value(p[0]) << 12 | hex_value(p[1]) << 8 | hex_value(p[2]) << 4 | hex_value(p[3]);
}

/* Takes the escape off the front of a string that has been read; returns the code point. */
static uint32_t take_escape(struct str *rest)
{
	static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
	char c = rest->p[1];
	const char *letter = strchr(letters, c);
	uint32_t code, low = 0;

	if (c != 'u') {
		*rest = str_skip(*rest, 2);
		return (uint32_t)(letter ? meanings[letter - letters] : c);
	}
	code = hex4(rest->p + 2);
	*rest = str_skip(*rest, 6);
	if ((code & 0xF800) != 0xD800)
		return code;
	if (str_starts(*rest, STR("\\u")))
		low = hex4(rest->p + 2);
	if (code >= 0xDC00 || (low & 0xFC00) != 0xDC00)
		return 0xFFFD;
	*rest = str_skip(*rest, 6);
	return 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF);
}

/* Writes what a string means, which is never longer than how it is written; returns its length. */
static size_t unescape(struct str raw, char *out)
{
	char *start = out;

	while (raw.len > 0) {
		const char *backslash = memchr(raw.p, '\\', raw.len);
		size_t n = backslash ? (size_t)(backslash - raw.p) : raw.len;

		memcpy(out, raw.p, n);
		out += n;
		raw = str_skip(raw, n);
		if (raw.len > 0)
			out += put_utf8(take_escape(&raw), out);
	}
	return (size_t)(out - start);
}

/* How many characters of the path stand for this member; 0 if it leads elsewhere. */
static size_t match_name(const char *path, struct str name)
{
	size_t n;

	if (path[0] != '.' || name.len == 0 || path[1] != name.p[0])
		return 0;
	n = strcspn(path + 1, ".[");
	return n == name.len && memcmp(path + 1, name.p, n) == 0 ? n + 1 : 0;
}

/* The same for an element. */
static size_t match_index(const char *path, size_t index)
{
	size_t n = 1, wanted = 0;

	if (path[0] != '[')
		return 0;
	for (; path[n] >= '0' && path[n] <= '9'; n++)
		wanted = wanted * 10 + (size_t)(path[n] - '0');
	return path[n] == ']' && wanted == index ? n + 1 : 0;
}

/* Which paths go on from the frame with its next value; returns how many of their characters that follows. */
static size_t follow(const struct scan *s, const struct frame *f, struct str name, uint32_t *alive)
{
	size_t n_matched = 0;

	*alive = 0;
	for (uint32_t rest = f->alive; rest; rest &= rest - 1) {
		const char *path = s->paths[__builtin_ctz(rest)] + f->n_followed;
		size_t n = f->array ? match_index(path, f->n_values) : match_name(path, name);

		if (n) {
			*alive |= rest & -rest;
			n_matched = n;
		}
	}
	return f->n_followed + n_matched;
}

/* Reads the name of a member up to its value. */
static bool read_name(struct scan *s, char *scratch, struct str *name)
{
	struct json_found found;

	skip_blanks(s);
	if (!read_string(s, &found))
		return false;
	*name = found.raw;
	if (found.escaped && name->len <= MAX_ESCAPED_NAME)
		*name = (struct str){scratch, unescape(found.raw, scratch)};
	skip_blanks(s);
	return eat(s, ':');
}

/* Ends the innermost object or array, or reads up to its next value and begins that. */
static bool go_on(struct scan *s)
{
	struct frame *f = &s->stack[s->depth - 1];
	char scratch[MAX_ESCAPED_NAME];
	struct str name = {0};
	uint32_t alive;
	size_t n_followed;

	skip_blanks(s);
	if (eat(s, f->array ? ']' : '}')) {
		struct str raw = {f->start, (size_t)(s->at - f->start)};

		put_value(s, f->alive, f->n_followed, &(struct json_found){f->array ? JSON_ARRAY : JSON_OBJECT, false, raw});
		s->depth--;
		return true;
	}
	if ((f->n_values > 0 && !eat(s, ',')) || (!f->array && !read_name(s, scratch, &name)))
		return false;
	n_followed = follow(s, f, name, &alive);
	f->n_values++;
	return begin_value(s, alive, n_followed);
}

int json_scan(struct str text, const char *const *paths, size_t n_paths, struct json_found *found)
{
	struct scan s; /* all of the stack need not be zeroed */
	bool good = text.len > 0 && utf8_valid(text);

	assert(n_paths > 0 && n_paths <= JSON_SCAN_MAX_PATHS);
	s.at = text.p;
	s.end = good ? text.p + text.len : text.p;
	s.paths = paths;
	s.found = found;
	s.depth = 0;
	good = good && begin_value(&s, UINT32_MAX >> (JSON_SCAN_MAX_PATHS - n_paths), 0);
	while (good && s.depth > 0)
		good = go_on(&s);
	skip_blanks(&s);
	return good && s.at == s.end ? 0 : -ERR_MALFORMED_JSON;
}

struct str json_found_str(const struct json_found *f, struct buf *scratch)
{
	if (f->kind != JSON_STRING)
		return (struct str){"", 0};
	if (!f->escaped)
		return f->raw;
	scratch->len = 0;
	scratch->len = unescape(f->raw, buf_reserve(scratch, f->raw.len));
	return buf_str(scratch);
}

int64_t json_found_int(const struct json_found *f, int64_t otherwise)
{
	int64_t n;

	if (f->kind != JSON_INT)
		return otherwise;
	if (!str_to_i64(f->raw, &n))
		n = f->raw.p[0] == '-' ? INT64_MIN : INT64_MAX;
	return n;
}
