/* What the parsers of all providers do with what they have found in an event. Nothing here keeps what it is given. */
#pragma once
#include "base/json_scan.h"
#include "llm/provider.h"

/* Emits text, unless it is empty. */
void emit_text(struct llm_sink sink, enum llm_event_type type, struct str text);
/* The same for what a string means; anything else is passed over. */
void emit_found(struct llm_sink sink, enum llm_event_type type, const struct json_found *f);
/* Emits that a string replaces all text so far, even if it is empty. */
void emit_replace(struct llm_sink sink, const struct json_found *f);
/* Emits a value of this kind, an array or an object that is not empty, as JSON on one line, as events need it. For what is rare: it
 * goes through json-c. */
void emit_json(struct llm_sink sink, enum llm_event_type type, const struct json_found *f, enum json_kind kind);
/* What a provider says of tokens, within reason. */
int64_t emit_tokens(const struct json_found *f, int64_t otherwise);
/* Emits a delta of a tool call as OpenAI shapes them, as an array of one. id and name may be NULL: it goes on then.
 * arguments: a string, the text of an object, or NULL. */
void emit_tool(struct llm_sink sink, unsigned index, const struct json_found *id, const struct json_found *name,
	       const struct json_found *arguments);
/* Emits {type,status,moduleName?}. */
void emit_status(struct llm_sink sink, const char *type, struct str status, const struct json_found *module);
/* Keeps an id if it is a string of up to LLM_ID_SIZE - 1 of [A-Za-z0-9._:-], which is safe in addresses and logs; else leaves *out. */
void emit_keep_id(char out[LLM_ID_SIZE], const struct json_found *f);
