/* Marks the bytes that belong to a match, then counts characters. */
#include "handlers/highlight.h"

enum { MAX_BYTES = 1024 }; /* 122 characters have less */

/* Length of the letter or digit that s begins with; 0 if it is none. Only of scripts with words: Han, kana and the like have none. */
static size_t letter_len(struct str s)
{
	unsigned char c = s.len ? (unsigned char)s.p[0] : ' ';
	size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	if (c < 0x80)
		return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
	if (len > s.len || c == 0xc2) /* U+0080 to U+00BF are signs */
		return 0;
	return c < 0xe0 || c == 0xe1 ? len : 0; /* up to U+1FFF, but for what U+0800 to U+0FFF write without blanks */
}

static bool letter_before(struct str s, size_t at)
{
	size_t begin = at;

	while (begin > 0 && at - begin < 4) {
		begin--;
		if (((unsigned char)s.p[begin] & 0xc0) != 0x80)
			return letter_len(str_skip(s, begin)) > 0;
	}
	return false;
}

static void mark(struct str s, struct str term, bool word, bool marked[MAX_BYTES])
{
	for (size_t at = 0; term.len > 0 && at + term.len <= s.len; at++) {
		size_t end = at + term.len, len;

		if (memcmp(s.p + at, term.p, term.len) != 0 || (word && letter_before(s, at)))
			continue;
		while (word && (len = letter_len(str_skip(s, end))) > 0)
			end += len;
		memset(marked + at, true, (end - at) * sizeof(*marked));
		at = end - 1;
	}
}

static void mark_all(struct str s, struct str terms, bool word, bool marked[MAX_BYTES])
{
	while (terms.len > 0)
		mark(s, str_cut(&terms, ' '), word, marked);
}

void highlight_put(struct json_writer *w, struct str folded, struct str runs, struct str beginnings)
{
	bool marked[MAX_BYTES + 1] = {false};
	int64_t n_chars = 0;

	if (folded.len > MAX_BYTES)
		folded.len = MAX_BYTES;
	mark_all(folded, runs, false, marked);
	mark_all(folded, beginnings, true, marked);
	json_open(w, '[');
	for (size_t i = 0; i <= folded.len; i++) {
		if (marked[i] && (i == 0 || !marked[i - 1])) {
			json_open(w, '[');
			json_put_int(w, n_chars);
		}
		if (i > 0 && marked[i - 1] && !marked[i]) {
			json_put_int(w, n_chars);
			json_close(w, ']');
		}
		n_chars += i < folded.len && ((unsigned char)folded.p[i] & 0xc0) != 0x80;
	}
	json_close(w, ']');
}
