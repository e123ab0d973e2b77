/* What a client may write in POST /v1/chat/completions. */
#pragma once
#include "handlers/chat_request.h"

/* Reads r->body and the header X-Chat-Id; everything is borrowed from them or in the request's arena. What we have no word for goes
 * to the provider as it is. False with a complaint that names the field. */
MUST_CHECK bool v1_request_read(struct request *r, struct chat_request *out, struct json_complaint *complaint);
