/* Picks a few values out of a JSON text: one walk that checks all of it, builds no tree and allocates nothing. For what comes once a
 * token; what is read once a request goes through json_parse. */
#pragma once
#include "base/json.h"

enum { JSON_SCAN_MAX_PATHS = 32 };

/* What stands at a path. */
struct json_found {
	enum json_kind kind; /* JSON_NULL if it is null, or absent */
	bool escaped;        /* a string with backslashes in raw */
	struct str raw;      /* as it is written, a string without its quotes; borrowed from the text */
};

/* Walks over a whole text and fills found[i] with what stands at paths[i], written as ".choices[0].delta.content"; "" is the text itself.
 * Names with '.', '[' or a NUL cannot be reached. Of members with the same name the last one counts, as in json_parse.
 * -ERR_MALFORMED_JSON for just what json_parse refuses with JSON_CAPS_PROVIDER, except that the number of values is not bounded: nothing
 * is built. */
MUST_CHECK int json_scan(struct str text, const char *const *paths, size_t n_paths, struct json_found *found);
/* The text of a string, borrowed from the scanned text or, if it had escapes, from scratch, until that is used again; empty for anything
 * else. Half a surrogate pair becomes U+FFFD; \u0000 stays a NUL. */
struct str json_found_str(const struct json_found *f, struct buf *scratch);
/* A whole number, at most as far from 0 as int64_t goes; otherwise for anything else. */
int64_t json_found_int(const struct json_found *f, int64_t otherwise);
