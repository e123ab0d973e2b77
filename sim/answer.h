/* One answer as text: the SSE frames of a stream, or one JSON object. It knows nothing of time or sockets. */
#ifndef SIM_ANSWER_H
#define SIM_ANSWER_H

#include <stdbool.h>

#include "sim/buf.h"
#include "sim/script.h"

struct ask;
struct dialect;

/* What the script wants next. */
enum answer_coming { COMING_TOKEN, COMING_END, COMING_STALL, COMING_CUT, COMING_ERROR, COMING_LINE };

struct answer {
	struct script script;
	bool include_usage;
	struct buf echo; /* owned; empty unless the text is an echo */
	size_t echo_at;
	int n_tokens; /* reasoning and text together */
	int n_sent;
	int line_bytes; /* sent of the line that is too long */
	int n_prompt_tokens;
	int n_tools; /* calls at the end */
	const struct dialect *dialect;
	struct buf opening; /* of each frame, if the dialect keeps it; owned */
	unsigned seq;
	bool stream;
	bool detail; /* FastGPT's */
	long long created_s;
	char model[SCRIPT_NAME_MAX_BYTES + 2];
	char conversation[128]; /* as it was asked for; may be empty */
};

/* Takes the text out of ask. seq makes the answer's id. */
void answer_init(struct answer *answer, const struct script *script, struct ask *ask, unsigned seq);
void answer_fini(struct answer *answer);

enum answer_coming answer_coming(const struct answer *answer);

/* How many tokens there will be, up to the end or to whatever the script wants before it. */
int answer_reach(const struct answer *answer);

/* Adds the frames of the next token; only at COMING_TOKEN. */
void answer_add_token(struct answer *answer, struct buf *out);

/* Adds the frames that end the answer, as the script allows; only at COMING_END. */
void answer_add_end(struct answer *answer, struct buf *out);

/* Adds the frame of an error in mid-stream. */
void answer_add_error(const struct answer *answer, struct buf *out);

/* Adds the next piece of a line that is far too long; only at COMING_LINE. Returns whether it was the last one. */
bool answer_add_line(struct answer *answer, struct buf *out);

/* Adds the whole answer as one JSON object, in place of all the above. */
void answer_add_whole(struct answer *answer, struct buf *out);

/* For the dialects: adds a token, reasoning first, as the inside of a JSON string; likewise a run of them. In order only. */
void answer_add_inside(struct answer *answer, struct buf *out, int index);
void answer_add_texts(struct answer *answer, struct buf *out, int from, int to);

/* Adds the web page that a misconfigured gateway answers with. */
void answer_add_page(struct buf *out);

#endif
