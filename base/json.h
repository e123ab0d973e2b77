/* JSON: parsing with caps (json-c behind it), typed getters whose complaints name the field, and an emitter into a buf. */
#pragma once
#include "base/buf.h"

struct json; /* a parsed value, immutable */

struct json_caps {
	size_t max_depth, max_nodes;
	bool allow_nul; /* accept the escape \u0000 (providers); users are refused, PostgreSQL has no NUL */
};

enum { JSON_PROVIDER_DEPTH = 64 }; /* JSON_CAPS_PROVIDER.max_depth */

/* What users may send, and what we accept from providers. */
extern const struct json_caps JSON_CAPS_USER, JSON_CAPS_PROVIDER;
/* What administrators may send at once: five thousand agents with eighty values each. */
extern const struct json_caps JSON_CAPS_IMPORT;

/* Parses a whole text. -ERR_MALFORMED_JSON if it is not UTF-8, not JSON (RFC 8259) or beyond the caps; *why is then a literal sentence.
 * The caps are checked before anything is built. Free the result with json_free. */
MUST_CHECK int json_parse(struct str text, const struct json_caps *caps, struct json **out, const char **why);

/* The same in slices, so that a large body does not hold up the loop. */
struct json_parser {
	struct str text; /* borrowed until json_parser_fini */
	size_t at;
	void *tokener; /* owned */
};
/* Checks UTF-8 and the caps at once (about 1 ms per MiB); errors as for json_parse. */
MUST_CHECK int json_parser_init(struct json_parser *p, struct str text, const struct json_caps *caps, const char **why);
/* Parses some more: 1 when *out holds the value, 0 when there is more to do, or -ERR_MALFORMED_JSON. */
MUST_CHECK int json_parser_step(struct json_parser *p, struct json **out, const char **why);
void json_parser_fini(struct json_parser *p);

void json_free(struct json *j);

/* Length of the number that s begins with; 0 if it is none by RFC 8259. */
size_t json_number_len(struct str s);

enum json_kind { JSON_NULL, JSON_BOOL, JSON_INT, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };
enum json_kind json_kind(const struct json *j); /* JSON_NULL for NULL */
/* Member of an object; NULL if j is no object, or the member is absent or null. */
const struct json *json_get(const struct json *j, const char *key);
/* Is there such a member, even if it is null? */
bool json_has(const struct json *j, const char *key);
/* The text of a string, borrowed from j; empty for anything else. */
struct str json_as_str(const struct json *j);
/* Calls each for the members of an object, in the order of the text; value is NULL for a null. Nothing to do for anything else. */
void json_each(const struct json *object, void (*each)(void *arg, const char *key, const struct json *value), void *arg);
int64_t json_as_int(const struct json *j, int64_t otherwise);
bool json_as_bool(const struct json *j, bool otherwise);
size_t json_len(const struct json *array);
const struct json *json_at(const struct json *array, size_t i); /* NULL if there is none, or it is no array */
/* The value written out again as compact JSON, borrowed from j until it is freed or written out again. */
struct str json_text(const struct json *j);

/* Is this string in that JSON list? False if it is no list. */
bool json_list_has(struct str list, struct str text);

/* A complaint about one field. */
struct json_complaint {
	char field[64];
	char sentence[192];
};

/* Each reads one member of obj, leaves *out alone if it is absent, and answers false with a filled complaint if it is
 * required and absent, of another type, or out of bounds. Lengths count characters. */
MUST_CHECK bool json_read_str(const struct json *obj, const char *field, bool required, size_t min, size_t max, struct str *out,
			      struct json_complaint *complaint);
MUST_CHECK bool json_read_int(const struct json *obj, const char *field, bool required, int64_t min, int64_t max, int64_t *out,
			      struct json_complaint *complaint);
MUST_CHECK bool json_read_number(const struct json *obj, const char *field, bool required, double min, double max, double *out,
				 struct json_complaint *complaint);
MUST_CHECK bool json_read_bool(const struct json *obj, const char *field, bool *out, struct json_complaint *complaint);
/* Fills a complaint and returns false, for `return json_complain(…)`. */
bool json_complain(struct json_complaint *complaint, const char *field, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The emitter: commas come by themselves. */
struct json_writer {
	struct buf *out; /* borrowed */
	bool comma;
};
void json_open(struct json_writer *w, char bracket);  /* '{' or '[' */
void json_close(struct json_writer *w, char bracket); /* '}' or ']' */
void json_key(struct json_writer *w, const char *key);
void json_put_str(struct json_writer *w, struct str s);
void json_put_int(struct json_writer *w, int64_t n);
void json_put_number(struct json_writer *w, double d);
void json_put_bool(struct json_writer *w, bool b);
void json_put_null(struct json_writer *w);
void json_put_raw(struct json_writer *w, struct str json); /* already JSON */
/* Key and value in one call. */
void json_add_str(struct json_writer *w, const char *key, struct str s);
void json_add_cstr(struct json_writer *w, const char *key, const char *s); /* null if s is NULL */
void json_add_int(struct json_writer *w, const char *key, int64_t n);
void json_add_bool(struct json_writer *w, const char *key, bool b);
/* s between quotes, escaped. */
void json_quote(struct buf *out, struct str s);
