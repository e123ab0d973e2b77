/* The walk over JSON text. */
#include "sim/scan.h"

#include <string.h>

#include "sim/unescape.h"

char scan_peek(struct scan *scan)
{
	while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t'))
		scan->at++;
	return scan->at < scan->end ? *scan->at : '\0';
}

bool scan_string(struct scan *scan, struct span *raw)
{
	const char *at = scan->at;

	if (at >= scan->end || *at++ != '"')
		return false;
	raw->data = at;
	for (; at < scan->end && *at != '"'; at++) {
		if ((unsigned char)*at < 0x20)
			return false;
		if (*at != '\\')
			continue;
		if (++at >= scan->end || !*at || !strchr("\"\\/bfnrtu", *at))
			return false;
		if (*at != 'u')
			continue;
		if (unescape_hex4(at + 1, scan->end) < 0)
			return false;
		at += 4;
	}
	if (at >= scan->end)
		return false;
	raw->len = (size_t)(at - raw->data);
	scan->at = at + 1;
	return true;
}

static size_t skip_digits(struct scan *scan)
{
	const char *from = scan->at;

	while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
		scan->at++;
	return (size_t)(scan->at - from);
}

static bool skip_one(struct scan *scan, const char *any_of)
{
	if (scan->at >= scan->end || !*scan->at || !strchr(any_of, *scan->at))
		return false;
	scan->at++;
	return true;
}

static bool skip_number(struct scan *scan)
{
	skip_one(scan, "-");
	if (!skip_one(scan, "0") && !skip_digits(scan))
		return false;
	if (skip_one(scan, ".") && !skip_digits(scan))
		return false;
	if (skip_one(scan, "eE")) {
		skip_one(scan, "+-");
		return skip_digits(scan) > 0;
	}
	return true;
}

static bool skip_scalar(struct scan *scan)
{
	static const char *const words[] = {"true", "false", "null"};
	struct span ignored;

	if (scan_peek(scan) == '"')
		return scan_string(scan, &ignored);
	for (size_t i = 0; i < 3; i++) {
		size_t len = strlen(words[i]);

		if ((size_t)(scan->end - scan->at) >= len && memcmp(scan->at, words[i], len) == 0) {
			scan->at += len;
			return true;
		}
	}
	return skip_number(scan);
}

static bool skip_key(struct scan *scan, struct span *key)
{
	if (scan_peek(scan) != '"' || !scan_string(scan, key) || scan_peek(scan) != ':')
		return false;
	scan->at++;
	return true;
}

bool scan_skip(struct scan *scan)
{
	char closers[SCAN_MAX_DEPTH];
	size_t depth = 0;
	struct span key;

	do {
		char c = scan_peek(scan);

		if (c == '{' || c == '[') {
			if (depth == SCAN_MAX_DEPTH)
				return false;
			closers[depth++] = c == '{' ? '}' : ']';
			scan->at++;
			if (scan_peek(scan) != closers[depth - 1]) {
				if (c == '{' && !skip_key(scan, &key))
					return false;
				continue;
			}
			scan->at++;
			depth--;
		} else if (!skip_scalar(scan)) {
			return false;
		}
		/* A value is over: close what ends here, up to a comma that announces the next one. */
		while (depth) {
			c = scan_peek(scan);
			if (c == ',') {
				scan->at++;
				if (closers[depth - 1] == '}' && !skip_key(scan, &key))
					return false;
				break;
			}
			if (c != closers[depth - 1])
				return false;
			scan->at++;
			depth--;
		}
	} while (depth);
	return true;
}

/* Steps over the opening bracket or a comma. Returns false, and steps over the closing bracket, at the end. */
static bool next_item(struct scan *scan, bool *first)
{
	char c = scan_peek(scan);

	if (*first) {
		*first = false;
		scan->at++;
		c = scan_peek(scan);
		if (c != '}' && c != ']')
			return true;
	} else if (c == ',') {
		scan->at++;
		return true;
	}
	scan->at++;
	return false;
}

bool scan_next_member(struct scan *scan, bool *first, struct span *key)
{
	return next_item(scan, first) && skip_key(scan, key) && scan_peek(scan);
}

bool scan_next_element(struct scan *scan, bool *first)
{
	return next_item(scan, first) && scan_peek(scan);
}

bool span_is(struct span span, const char *text)
{
	return span.len == strlen(text) && memcmp(span.data, text, span.len) == 0;
}
