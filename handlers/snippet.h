/* What a search shows of a text: some 120 characters around the place that matches, and where in them the matches are. */
#pragma once
#include "base/json.h"

/* What was looked for: lists with blanks between, in lower case. */
struct snippet_terms {
	struct str runs;  /* what stands anywhere */
	struct str stems; /* of words: nearly what they begin with */
};

/* Adds the members snippet and ranges to an open object. ranges: [from, to] in characters, to not included, in their order, without
 * overlaps. text is valid UTF-8; cut: it is the beginning of a longer one. Time goes with the length of the text. */
void snippet_add(struct json_writer *w, struct str text, bool cut, struct snippet_terms terms);
