/* Estimating tokens. */
#include "chat/tokens.h"

int64_t tokens_estimate(struct str text)
{
	size_t n_ascii = 0, n_others = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		n_ascii += c < 0x80;
		n_others += c >= 0xC0; /* the first byte of a longer character */
	}
	return (int64_t)(n_others + (n_ascii + 3) / 4);
}
