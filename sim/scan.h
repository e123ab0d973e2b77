/* A strict, non-recursive walk over JSON text that keeps nothing: enough for the few fields read here. */
#ifndef SIM_SCAN_H
#define SIM_SCAN_H

#include <stdbool.h>
#include <stddef.h>

enum { SCAN_MAX_DEPTH = 128 };

struct scan {
	const char *at;
	const char *end;
};

struct span {
	const char *data; /* borrowed from the text that is scanned */
	size_t len;
};

/* Skips white space. Returns the next character, or NUL at the end. */
char scan_peek(struct scan *scan);

/* Steps over one value of any kind. Returns false if it is not valid JSON or nested too deep. */
bool scan_skip(struct scan *scan);

/* Steps over one string; raw is its inside with the escapes still in it. */
bool scan_string(struct scan *scan, struct span *raw);

/* Step through the members of an object, the elements of an array, that scan_skip() has passed before.
 * *first must be true at first; after each true the caller must step over the value. False is the end. */
bool scan_next_member(struct scan *scan, bool *first, struct span *key);
bool scan_next_element(struct scan *scan, bool *first);

bool span_is(struct span span, const char *text);

#endif
