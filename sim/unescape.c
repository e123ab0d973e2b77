/* The inside of JSON strings as text, and the check that text is UTF-8. */
#include "sim/unescape.h"

#include <string.h>

#include "sim/buf.h"

int unescape_hex4(const char *at, const char *end)
{
	int value = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = at[i];

		if (c >= '0' && c <= '9')
			value = value * 16 + (c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			value = value * 16 + ((c | 32) - 'a' + 10);
		else
			return -1;
	}
	return value;
}

static void add_code_point(struct buf *out, unsigned code)
{
	char bytes[4];
	size_t len = 0;

	if (code < 0x80) {
		bytes[len++] = (char)code;
	} else if (code < 0x800) {
		bytes[len++] = (char)(0xc0 | code >> 6);
		bytes[len++] = (char)(0x80 | (code & 0x3f));
	} else if (code < 0x10000) {
		bytes[len++] = (char)(0xe0 | code >> 12);
		bytes[len++] = (char)(0x80 | (code >> 6 & 0x3f));
		bytes[len++] = (char)(0x80 | (code & 0x3f));
	} else {
		bytes[len++] = (char)(0xf0 | code >> 18);
		bytes[len++] = (char)(0x80 | (code >> 12 & 0x3f));
		bytes[len++] = (char)(0x80 | (code >> 6 & 0x3f));
		bytes[len++] = (char)(0x80 | (code & 0x3f));
	}
	buf_add(out, bytes, len);
}

/* Reads the digits after \u, and the other half of a pair. Returns the position after them. */
static const char *unescape_unicode(struct buf *out, const char *at, const char *end)
{
	unsigned code = (unsigned)unescape_hex4(at, end);
	int low = -1;

	at += 4;
	if (code >= 0xd800 && code < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u')
		low = unescape_hex4(at + 2, end);
	if (low >= 0xdc00 && low < 0xe000) {
		code = 0x10000 + ((code - 0xd800) << 10) + ((unsigned)low - 0xdc00);
		at += 6;
	} else if (code >= 0xd800 && code < 0xe000) {
		code = 0xfffd;
	}
	add_code_point(out, code);
	return at;
}

void unescape(struct buf *out, const char *raw, size_t len)
{
	static const char letters[] = "bfnrt";
	static const char meanings[] = "\b\f\n\r\t";
	const char *at = raw;
	const char *end = raw + len;

	while (at < end) {
		const char *escape = memchr(at, '\\', (size_t)(end - at));
		const char *letter;

		buf_add(out, at, (size_t)((escape ? escape : end) - at));
		if (!escape)
			return;
		at = escape + 2;
		letter = strchr(letters, escape[1]);
		if (escape[1] == 'u')
			at = unescape_unicode(out, at, end);
		else
			buf_add(out, letter ? &meanings[letter - letters] : &escape[1], 1);
	}
}

bool is_utf8(const char *data, size_t len)
{
	const unsigned char *at = (const unsigned char *)data;
	const unsigned char *end = at + len;

	while (at < end) {
		unsigned char lead = *at++;
		unsigned char low = 0x80;
		unsigned char high = 0xbf;
		int n_more;

		if (lead < 0x80)
			continue;
		if (lead < 0xc2 || lead > 0xf4)
			return false;
		n_more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
		if (lead == 0xe0)
			low = 0xa0;
		else if (lead == 0xed)
			high = 0x9f;
		else if (lead == 0xf0)
			low = 0x90;
		else if (lead == 0xf4)
			high = 0x8f;
		for (; n_more > 0; n_more--) {
			if (at >= end || *at < low || *at > high)
				return false;
			at++;
			low = 0x80;
			high = 0xbf;
		}
	}
	return true;
}
