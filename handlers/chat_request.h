/* What a client may write in POST /api/chat/completions. */
#pragma once
#include "chat/turn.h"

struct json;
struct json_complaint;
struct request;

struct chat_request {
	struct turn_request turn; /* agent and user are not filled in */
	struct str agent_id;
	bool stream;
	bool include_usage; /* for /v1 */
};

/* Reads r->body; everything is borrowed from it or in the request's arena. False with a complaint that names the field. */
MUST_CHECK bool chat_request_read(struct request *r, struct chat_request *out, struct json_complaint *complaint);
/* Once the agent is known: false, with a complaint, if its provider has no form for a part of a content. */
MUST_CHECK bool chat_request_suits(struct request *r, const struct turn_request *turn, struct json_complaint *complaint);
/* How to answer: stream, temperature, maxTokens, responseChatItemId. */
MUST_CHECK bool chat_request_read_how(const struct json *j, struct turn_request *turn, bool *stream, struct json_complaint *complaint);
