/* Tool calls come in pieces, a few characters of the arguments each; a plain answer has them whole. */
#pragma once

struct answer;
struct buf;

/* Appends the JSON array of all calls that the log has pieces of; nothing if there is none. */
void v1_tools_collect(const struct answer *answer, struct buf *out);
