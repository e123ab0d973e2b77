/* How many tokens a text is, about, when nobody says. */
#pragma once
#include "base/str.h"

/* (3 × bytes − characters) / 8, rounded up: English comes to four bytes a token, Chinese to one token a character, Cyrillic and Greek to
 * five in eight characters, an emoji to one and three eighths. Tokenizers differ by a quarter and more, so nothing better is worth its
 * time; and bytes and characters are what PostgreSQL can count too: SQL_TOKENS in db/sql.h is the same. text must be UTF-8. */
int64_t tokens_estimate(struct str text);
/* No text of more bytes has so few tokens. */
static inline int64_t tokens_max_bytes(int64_t n_tokens)
{
	return n_tokens * 4;
}
