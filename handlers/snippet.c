/* Texts are folded as the migration "search" does it: as many characters as before, so that a place in one is a place in the other. */
#include "handlers/snippet.h"

#include <locale.h>
#include <wctype.h>

enum {
	LEAD_CHARS = 40, /* before the match */
	MAX_CHARS = 120,
	MAX_BYTES = 4 * MAX_CHARS + 6, /* with a sign at either end */
	MAX_TRIES = 20,                /* words that begin as one looked for, until the best of them will do */
	NOWHERE = -1,
};

#define LEFT_OUT "…"

static bool continues(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* ---- folding ---- */

/* Lower case of ASCII only: nearly always enough, and much quicker. Returns whether there is anything else. */
static bool fold_ascii(struct buf *out, struct str s)
{
	char *p = buf_reserve(out, s.len);
	unsigned char any = 0;

	for (size_t i = 0; i < s.len; i++) {
		any |= (unsigned char)s.p[i];
		p[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + ('a' - 'A') : s.p[i]);
	}
	out->len += s.len;
	return any >= 0x80;
}

static uint32_t fold_char(uint32_t c)
{
	static locale_t unicode;

	if (c >= 0xff01 && c <= 0xff5e) { /* full-width forms, of which letters and digits are as the plain ones */
		uint32_t plain = c - 0xfee0;

		if ((plain >= '0' && plain <= '9') || (plain >= 'a' && plain <= 'z'))
			return plain;
		return plain >= 'A' && plain <= 'Z' ? plain + ('a' - 'A') : c;
	}
	if (!unicode)
		unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
	return unicode ? (uint32_t)towlower_l((wint_t)c, unicode) : c;
}

static void add_char(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_add_char(out, (char)c);
		return;
	}
	if (c < 0x800) {
		buf_add_char(out, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			buf_add_char(out, (char)(0xe0 | c >> 12));
		} else {
			buf_add_char(out, (char)(0xf0 | c >> 18));
			buf_add_char(out, (char)(0x80 | (c >> 12 & 0x3f)));
		}
		buf_add_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	buf_add_char(out, (char)(0x80 | (c & 0x3f)));
}

static void fold(struct buf *out, struct str s)
{
	size_t i = 0;

	while (i < s.len) {
		uint32_t c = (unsigned char)s.p[i++];

		if (c < 0x80) {
			buf_add_char(out, (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c));
			continue;
		}
		c &= c < 0xe0 ? 0x1f : c < 0xf0 ? 0x0f : 0x07;
		while (i < s.len && continues(s.p[i]))
			c = c << 6 | ((unsigned char)s.p[i++] & 0x3f);
		add_char(out, fold_char(c));
	}
}

/* ---- words ---- */

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

	while (begin > 0 && at - begin < 4)
		if (!continues(s.p[--begin]))
			return letter_len(str_skip(s, begin)) > 0;
	return false;
}

/* What every word of a stem begins with: make and making, study and studies. */
static struct str beginning_of(struct str stem)
{
	char last = stem.len > 2 ? stem.p[stem.len - 1] : ' ';

	return (struct str){stem.p, stem.len - (last == 'e' || last == 'i' || last == 'y')};
}

/* The next place of a term, from a byte on, and the length of what counts there: of a beginning the whole word. */
static ptrdiff_t next_place(struct str s, struct str term, bool word, size_t from, size_t *n_bytes)
{
	const char *found;

	while (term.len > 0 && term.len <= s.len - from && (found = memmem(s.p + from, s.len - from, term.p, term.len))) {
		size_t at = (size_t)(found - s.p), end = at + term.len, len;

		from = at + 1;
		if (word && letter_before(s, at))
			continue;
		while (word && (len = letter_len(str_skip(s, end))) > 0)
			end += len;
		*n_bytes = end - at;
		return (ptrdiff_t)at;
	}
	return NOWHERE;
}

/* Where the shortest word is that begins so: it is what was looked for, or nearest to it. */
static ptrdiff_t best_word(struct str s, struct str stem)
{
	struct str beginning = beginning_of(stem);
	ptrdiff_t best = NOWHERE, place;
	size_t least = SIZE_MAX, n_bytes, from = 0;

	for (int i = 0; i < MAX_TRIES && (place = next_place(s, beginning, true, from, &n_bytes)) != NOWHERE; i++) {
		bool whole = str_starts(str_skip(s, (size_t)place), stem);

		if (n_bytes + !whole < least) {
			least = n_bytes + !whole;
			best = place;
		}
		from = (size_t)place + n_bytes;
	}
	return best;
}

static ptrdiff_t earlier(ptrdiff_t a, ptrdiff_t b)
{
	return b == NOWHERE || (a != NOWHERE && a < b) ? a : b;
}

static ptrdiff_t first_place(struct str s, struct snippet_terms terms)
{
	ptrdiff_t first = NOWHERE;
	size_t n_bytes;

	while (terms.runs.len > 0)
		first = earlier(first, next_place(s, str_cut(&terms.runs, ' '), false, 0, &n_bytes));
	while (terms.stems.len > 0)
		first = earlier(first, best_word(s, str_cut(&terms.stems, ' ')));
	return first;
}

/* The byte of text where what is shown of it begins. */
static size_t where_to_begin(struct str text, struct snippet_terms terms)
{
	struct buf folded = {0};
	bool more_than_ascii = fold_ascii(&folded, text);
	ptrdiff_t place = first_place(buf_str(&folded), terms);
	size_t begin = 0;

	if (place != NOWHERE) {
		begin = (size_t)place;
	} else if (more_than_ascii) {
		folded.len = 0;
		fold(&folded, text);
		place = first_place(buf_str(&folded), terms);
		if (place != NOWHERE)
			begin = utf8_prefix(text, utf8_count((struct str){folded.p, (size_t)place}));
	}
	for (int i = 0; i < LEAD_CHARS && begin > 0; i++)
		do
			begin--;
		while (begin > 0 && continues(text.p[begin]));
	buf_fini(&folded);
	return begin;
}

/* ---- output ---- */

static void mark(struct str s, struct str term, bool word, bool marked[MAX_BYTES])
{
	ptrdiff_t place;
	size_t n_bytes;

	for (size_t from = 0; (place = next_place(s, term, word, from, &n_bytes)) != NOWHERE; from = (size_t)place + n_bytes)
		memset(marked + place, true, n_bytes * sizeof(*marked));
}

static void put_ranges(struct json_writer *w, struct str folded, struct snippet_terms terms)
{
	bool marked[MAX_BYTES + 1] = {false};
	int64_t n_chars = 0;

	while (terms.runs.len > 0)
		mark(folded, str_cut(&terms.runs, ' '), false, marked);
	while (terms.stems.len > 0)
		mark(folded, beginning_of(str_cut(&terms.stems, ' ')), true, marked);
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
		n_chars += i < folded.len && !continues(folded.p[i]);
	}
	json_close(w, ']');
}

void snippet_add(struct json_writer *w, struct str text, bool cut, struct snippet_terms terms)
{
	struct buf shown = {0}, folded = {0};
	size_t begin = where_to_begin(text, terms);
	struct str rest = str_skip(text, begin);
	struct str part = {rest.p, utf8_prefix(rest, MAX_CHARS)};

	if (begin > 0)
		buf_add_cstr(&shown, LEFT_OUT);
	buf_add_str(&shown, part);
	for (size_t i = 0; i < shown.len; i++)
		if (shown.p[i] == '\n' || shown.p[i] == '\r' || shown.p[i] == '\t')
			shown.p[i] = ' ';
	if (part.len < rest.len || cut)
		buf_add_cstr(&shown, LEFT_OUT);
	fold(&folded, buf_str(&shown));
	json_add_str(w, "snippet", buf_str(&shown));
	json_key(w, "ranges");
	put_ranges(w, (struct str){folded.p, folded.len < MAX_BYTES ? folded.len : MAX_BYTES}, terms);
	buf_fini(&folded);
	buf_fini(&shown);
}
