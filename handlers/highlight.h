/* Where in a snippet of a search the matches are. */
#pragma once
#include "base/json.h"

/* Puts a JSON array of [from, to] in characters of folded, to not included, in their order, without overlaps. runs: what is found anywhere;
 * beginnings: what words begin with, of which the whole word counts. Both are lists with blanks between. */
void highlight_put(struct json_writer *w, struct str folded, struct str runs, struct str beginnings);
