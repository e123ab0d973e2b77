/* The content of one message, as every face takes it: a text, or a list of parts. */
#pragma once
#include <stddef.h>

#include "base/str.h"

struct json;
struct json_complaint;
struct llm_message;
struct request;

enum { CHAT_MAX_MESSAGES = 1000, CHAT_MAX_NAME = 128, CHAT_MAX_CONTENT = 2000000 };

/* Reads content into message i, a text of at least min bytes; what it does not copy into the request's arena is borrowed from content.
 * False with a complaint about messages. */
MUST_CHECK bool chat_content_read(struct request *r, const struct json *content, size_t i, size_t min, struct llm_message *out,
				  struct json_complaint *complaint);
/* May a session have this name, as far as its characters go? */
bool chat_name_valid(struct str name);
