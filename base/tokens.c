/* Estimating tokens. */
#include "base/tokens.h"

int64_t tokens_estimate(struct str text)
{
	size_t n_chars = 0;

	for (size_t i = 0; i < text.len; i++)
		n_chars += ((unsigned char)text.p[i] & 0xC0) != 0x80;
	return (int64_t)((3 * text.len - n_chars + 7) / 8);
}
