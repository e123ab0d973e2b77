/* The inside of JSON strings as text, and the check that text is UTF-8. */
#ifndef SIM_UNESCAPE_H
#define SIM_UNESCAPE_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* Adds the text of a raw JSON string, which scan_string() has passed, with its escapes resolved;
 * half a surrogate pair becomes U+FFFD. */
void unescape(struct buf *out, const char *raw, size_t len);

/* The value of four hexadecimal digits, or -1 if they are not there. */
int unescape_hex4(const char *at, const char *end);

/* Whether data is UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool is_utf8(const char *data, size_t len);

#endif
