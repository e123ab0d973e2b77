/* Asks the responders of this host over their control sockets, all at once. */
#pragma once
#include "base/control.h"
#include "base/siblings.h"

struct args;
struct json;

struct asked {
	struct process_id id;
	struct process_page page; /* what it counted when it was asked; all zero if that cannot be read */
	struct control_ask ask;   /* its answer as it came */
	bool done;
	struct json *answer; /* owned; NULL: it did not answer, or with something that is no JSON */
};

struct ask {
	struct asked all[MAX_SIBLINGS];
	size_t n;
};

/* Gives every living responder (slot 0), or those of one slot, the command and waits for the answers, for ASK_PATIENCE_MS at most.
 * Returns EXIT_FINE, or EXIT_FAILED after telling the user why nobody could be asked. ask_free either way. */
enum { ASK_PATIENCE_MS = 2000 };
MUST_CHECK int ask_all(const struct args *args, int slot, struct str command, struct ask **out);
void ask_free(struct ask *ask);
/* Tells the user on stderr who did not answer. Returns how many. */
size_t ask_complain(const struct ask *ask);
