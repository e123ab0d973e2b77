/* What the requests of all providers have in common: headers, messages, and content parts that must be put in other words. */
#pragma once
#include "base/json.h"
#include "llm/provider.h"

enum body_key { BODY_BEARER, BODY_X_API_KEY };

/* Sets address and headers of the call; the key goes where the provider looks for it. The body is the caller's matter. */
void body_headers(const struct llm_request *in, struct arena *arena, struct http_post *out, enum body_key key);
/* One more header. */
void body_add_header(struct http_post *out, const char *header);
/* {"role":…,"content":…}, parts and further members as they are. */
void body_put_message(struct json_writer *w, const struct llm_message *m);

/* The parts of a content, which has been checked before: NULL if there are none. Free it with json_free. */
struct json *body_parts(struct str parts);
/* The address in a part {"type":"image_url","image_url":{"url":…}}, whose image_url may be the address itself; empty if there is none. */
struct str body_image_url(const struct json *part);
/* An address of the form data:TYPE;base64,DATA. */
MUST_CHECK bool body_data_url(struct str url, struct str *type, struct str *data);
/* An http or https address. */
bool body_is_web(struct str url);
/* For takes_parts: what is said of a part of a type that has no form there. */
struct str body_no_form(const struct json *part, struct arena *arena);
