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
	const char *agent_field;    /* where the agent is named */
	const char *chat_id_header; /* what tells the session's name; NULL: an event does */
	/* Appends an event of a stream; it may be nothing to this client. */
	void (*put_event)(struct buf *out, struct chat_view *view, const struct answer_event *event);
	/* Answers with all of it. */
	enum flow_next (*reply)(struct request *r, const struct turn *turn);
};

extern const struct chat_words chat_api_words;

/* The step "read_answer" is to read this turn, which r has joined. words must outlive the request. */
void chat_read_from(struct request *r, const struct chat_words *words, struct turn *turn, const struct chat_request *chat);
enum flow_next chat_read_start(struct request *r);
enum flow_next chat_read_finish(struct request *r);
