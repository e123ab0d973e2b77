/* How one kind of provider words an answer: one table and one file each. What is said, and when, is answer.c's and play.c's matter. */
#ifndef SIM_DIALECT_H
#define SIM_DIALECT_H

#include <stdbool.h>

struct answer;
struct buf;

struct dialect {
	/* Adds the frames of the index-th token; before the first one also whatever opens the stream. */
	void (*token)(struct answer *answer, struct buf *out, int index);
	/* Adds the frames that end it, as the script allows. */
	void (*end)(struct answer *answer, struct buf *out);
	/* Adds the frame of an error in mid-stream. */
	void (*error)(const struct answer *answer, struct buf *out);
	/* Adds the whole answer as one JSON object. */
	void (*whole)(struct answer *answer, struct buf *out);
	/* Adds the body of an error's status. message, param and code may be NULL. */
	void (*refusal)(struct buf *out, int status, const char *message, const char *param, const char *code);
	/* What is sent as a frame that is no JSON goes behind this. */
	const char *frame;
};

extern const struct dialect dialect_openai;
extern const struct dialect dialect_anthropic;
extern const struct dialect dialect_dify;
extern const struct dialect dialect_fastgpt;

/* Whether one of the first n_answers has given this name to a conversation, or none is meant: dify_knows() of "" is true. */
bool dify_knows(unsigned n_answers, const char *conversation);

#endif
