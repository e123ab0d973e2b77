/* The texts the simulator says: deterministic, so that tests can predict them. */
#ifndef SIM_TEXT_H
#define SIM_TEXT_H

#include <stddef.h>

struct buf;

/* Adds the index-th token (from 0) of a text (enum script_text, not SCRIPT_ECHO).
 * With token_bytes the token is repeated up to the last whole code point that fits, and filled up with dots. */
void text_add_token(struct buf *out, int text, int index, int token_bytes);

/* Adds the index-th token of the reasoning: "think0 think1 ". */
void text_add_reasoning(struct buf *out, int index, int token_bytes);

/* How many bytes of text (UTF-8, len > 0) the next token of an echo takes:
 * four code points, or as many as fit in token_bytes, at least one. */
size_t text_echo_bytes(const char *text, size_t len, int token_bytes);

#endif
