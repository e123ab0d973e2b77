/* A chat turn over HTTP, streamed and plain: the steps of POST /api/chat/completions, and what /v1 shares with them. */
#pragma once
#include "handlers/chat_request.h"
#include "handlers/flow.h"

struct answer_event;
struct buf;

extern const struct step chat_steps[];

/* One answer that a request reads. */
struct chat_view {
	const struct turn *turn; /* borrowed, as the request's */
	bool stream, include_usage;
	bool failed;      /* for put_event: the error has been sent */
	uint64_t sent_us; /* when something was sent last */
};

/* What differs from face to face: how the question is written, and how the answer looks. */
struct chat_words {
	/* Reads r->body and headers; false with a complaint. */
	bool (*read)(struct request *r, struct chat_request *out, struct json_complaint *complaint);
	const char *agent_field; /* where the agent is named */
	/* Appends an event of a stream; it may be nothing to this client. */
	void (*put_event)(struct buf *out, struct chat_view *view, const struct answer_event *event);
	/* Answers with all of it. */
	enum flow_next (*reply)(struct request *r, const struct turn *turn);
};

extern const struct chat_words chat_api_words;

/* What the steps before the turn keep, in r->state and in the request's arena. */
struct chat_question {
	const struct chat_words *words;
	struct chat_request chat;
};

/* A turn's steps: one that makes the question, {"reserve", reserve_start, reserve_finish}, {"begin_turn", chat_begin_start, NULL}, and
 * {"read_answer", chat_read_start, chat_read_finish}. */

/* Makes the question of what words read; after body_start. words must outlive the request, as in chat_question. */
enum flow_next chat_read_question(struct request *r, const struct chat_words *words);
/* Fills in who asks, and whom. Refuses an agent that is not there or not open to the key. chat is copied; what it borrows must live until
 * the turn has begun. */
enum flow_next chat_question(struct request *r, const struct chat_words *words, const struct chat_request *chat);
/* Begins the turn and becomes one of its readers. r->body may go. */
enum flow_next chat_begin_start(struct request *r);
enum flow_next chat_read_start(struct request *r);
enum flow_next chat_read_finish(struct request *r);
