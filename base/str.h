/* Text as pointer and length, not NUL-terminated; never owns its bytes. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_CHECK              __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define N_ELEMENTS(array)       (sizeof(array) / sizeof((array)[0]))

struct str {
	const char *p; /* borrowed; may be NULL when len is 0 */
	size_t len;
};

/* A struct str over a string literal. */
#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
/* For "%.*s": the length as int, then the pointer. */
#define STR_ARG(s) (int)(s).len, (s).p

static inline struct str str_from(const char *cstr)
{
	return (struct str){cstr, cstr ? strlen(cstr) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* Like memcmp, a shorter one before those that begin with it: PostgreSQL's order with COLLATE "C". */
static inline int str_compare(struct str a, struct str b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int order = n ? memcmp(a.p, b.p, n) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static inline bool str_eq_cstr(struct str a, const char *b)
{
	return str_eq(a, str_from(b));
}

static inline bool str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && memcmp(s.p, prefix.p, prefix.len) == 0;
}

/* The rest of s after its first n bytes (all of them if s is shorter). */
static inline struct str str_skip(struct str s, size_t n)
{
	if (n > s.len)
		n = s.len;
	return n ? (struct str){s.p + n, s.len - n} : s; /* p may be NULL, to which nothing may be added */
}

/* What ids may have that others make up. */
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
/* Does s consist of these characters only? A NUL byte never counts. */
bool str_only(struct str s, struct str allowed);
/* FNV-1a: to know a name by 64 bits, where nobody gains by a collision. */
uint64_t str_hash(struct str s);
/* ASCII letters compare alike. */
bool str_eq_nocase(struct str a, struct str b);
/* Without the blanks and tabs at both ends. */
struct str str_trim(struct str s);
/* Cuts *rest at the first c: returns what is before it, leaves what is after it. Without c: returns all, leaves an empty text with p == NULL. */
struct str str_cut(struct str *rest, char c);
/* Decimal digits only, an optional leading '-'. False on anything else or on overflow. */
MUST_CHECK bool str_to_i64(struct str s, int64_t *out);
MUST_CHECK bool str_to_double(struct str s, double *out);
/* Well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
bool utf8_valid(struct str s);
/* How many bytes the longest prefix of s has that holds at most n_chars characters and does not cut one; s must be valid UTF-8. */
size_t utf8_prefix(struct str s, size_t n_chars);
/* Number of characters of valid UTF-8. */
size_t utf8_count(struct str s);
