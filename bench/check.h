/* Looks at every event of a stream: their order, that none is missing, and that the text is what the stand-in provider says
 * ("tok0 tok1 tok2 …", sim/README.md). Feed it the body as it comes. */
#pragma once
#include "base/buf.h"

enum check_kind {
	CHECK_LLMCHAT, /* the events of docs/api.md */
	CHECK_OPENAI,  /* chat.completion.chunk frames and [DONE], as the provider sends them */
};

/* What a stream should be. */
struct check_plan {
	enum check_kind kind;
	bool text;          /* compare it; off for agents that say something else */
	size_t n_tokens;    /* so many, no more and no less; 0: any number of whole ones */
	size_t token_bytes; /* of the provider's sizeN; 0: as they come */
};

/* Where in the expected text one is. */
struct check_text {
	size_t n_tokens, at; /* whole tokens so far; bytes of the one that follows */
	char word[24];
	size_t word_len;
};

enum check_fault { CHECK_OK, CHECK_ORDER, CHECK_TEXT, CHECK_ERROR_EVENT };

struct check {
	const struct check_plan *plan; /* borrowed */
	unsigned phase;
	uint64_t last_id;
	size_t n_events, n_texts, n_pings; /* n_texts: events with text */
	struct check_text text;
	enum check_fault fault;
	char detail[200];
	struct buf carry; /* owned; the beginning of an event whose end has not come */
};

/* Readies for the next stream; the memory is kept. */
void check_begin(struct check *c, const struct check_plan *plan);
void check_fini(struct check *c);
/* Stops at the first fault. */
void check_feed(struct check *c, struct str piece);
/* The body has ended: was it all there? */
void check_end(struct check *c);

void check_text_begin(struct check_text *t);
/* Compares the inside of a JSON string up to its closing quote with what must come; false if it differs. *used: bytes before the quote. */
bool check_text_step(struct check_text *t, const struct check_plan *plan, struct str json, size_t *used);
/* Only whole tokens, and as many as planned? */
bool check_text_whole(const struct check_text *t, const struct check_plan *plan);
