/* The texts the simulator says. */
#include "sim/text.h"

#include <stdio.h>
#include <string.h>

#include "sim/buf.h"
#include "sim/script.h"

enum { ECHO_CODE_POINTS = 4 };

/* Twenty characters, two a token. */
static const char *const chinese[] = {
    "今天", "天气", "很好", "，我", "们一", "起去", "公园", "散步", "，看", "花。",
};

/* Each is one character to the eye and several code points: joined families, flags, skin tones. */
static const char *const emoji[] = {
    "👨‍👩‍👧‍👦", "🇨🇳", "👍🏽", "👩🏻‍💻", "🏳️‍🌈", "❤️‍🔥", "🇩🇪", "🧑🏿‍🚀",
};

static size_t code_point_bytes(unsigned char lead)
{
	return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

static void add_sized(struct buf *out, const char *token, int token_bytes)
{
	size_t len = strlen(token);
	size_t left = (size_t)token_bytes;
	size_t part = 0;

	if (!token_bytes) {
		buf_add(out, token, len);
		return;
	}
	for (; left >= len; left -= len)
		buf_add(out, token, len);
	while (part + code_point_bytes((unsigned char)token[part]) <= left)
		part += code_point_bytes((unsigned char)token[part]);
	buf_add(out, token, part);
	for (left -= part; left; left--)
		buf_add(out, ".", 1);
}

static void add_numbered(struct buf *out, const char *word, int index, int token_bytes)
{
	char token[32];

	snprintf(token, sizeof(token), "%s%d ", word, index);
	add_sized(out, token, token_bytes);
}

void text_add_token(struct buf *out, int text, int index, int token_bytes)
{
	if (text == SCRIPT_ZH)
		add_sized(out, chinese[(size_t)index % (sizeof(chinese) / sizeof(chinese[0]))], token_bytes);
	else if (text == SCRIPT_EMOJI)
		add_sized(out, emoji[(size_t)index % (sizeof(emoji) / sizeof(emoji[0]))], token_bytes);
	else
		add_numbered(out, "tok", index, token_bytes);
}

void text_add_reasoning(struct buf *out, int index, int token_bytes)
{
	add_numbered(out, "think", index, token_bytes);
}

size_t text_echo_bytes(const char *text, size_t len, int token_bytes)
{
	size_t most = token_bytes ? (size_t)token_bytes : len;
	size_t used = 0;

	for (int n = 0; used < len && (token_bytes || n < ECHO_CODE_POINTS); n++) {
		size_t next = code_point_bytes((unsigned char)text[used]);

		if (next > len - used)
			next = len - used;
		if (used && used + next > most)
			break;
		used += next;
	}
	return used;
}
