/* What a completions request asks for: the few fields of its JSON that matter here. */
#ifndef SIM_ASK_H
#define SIM_ASK_H

#include <stdbool.h>
#include <stddef.h>

#include "sim/buf.h"
#include "sim/script.h"

struct dialect;

struct ask {
	const struct dialect *dialect;         /* what ask_read() was told */
	char model[SCRIPT_NAME_MAX_BYTES + 2]; /* a byte more than a script takes, so that too long is seen */
	bool stream;
	bool include_usage;
	bool after_tool;        /* the last message is a tool's */
	bool detail;            /* FastGPT's */
	char conversation[128]; /* Dify's conversation_id, FastGPT's chatId; empty if there is none */
	struct buf text;        /* of the last user message; owned */

	bool is_json;        /* even if something else is wrong with it */
	const char *problem; /* a sentence, when ask_read() refuses */
	const char *param;   /* the field at fault, or NULL */
};

/* Reads the body of a request. model stands in the address where the body has none; else it is NULL.
 * Returns 0, or -1 with the problem. ask_fini() is due in both cases. */
int ask_read(struct ask *ask, const struct dialect *dialect, const char *model, const char *body, size_t len);
void ask_fini(struct ask *ask);

#endif
