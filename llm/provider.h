/* What all providers have in common: the question in our words, the answer as normalised events, and a table of functions that
 * translate. Adding a provider is adding one file with such a table. */
#pragma once
#include "base/arena.h"
#include "base/log.h"
#include "net/http.h"

/* One message for the model. */
struct llm_message {
	struct str role;    /* user, assistant, system */
	struct str content; /* text, if parts is empty */
	struct str parts;   /* JSON array of content parts, or empty */
};

struct llm_timeouts {
	int64_t connect_ms, headers_ms, first_token_ms, idle_ms, total_ms;
};

/* One question; everything is borrowed until llm_stream_start returns. */
struct llm_request {
	const struct provider *provider;
	const char *endpoint, *api_key, *model; /* api_key may be NULL */
	struct str system_prompt;
	const struct llm_message *messages;
	size_t n_messages;
	bool has_temperature;
	double temperature;
	int64_t max_tokens; /* 0: the provider's own limit */
	const struct log_ctx *log; /* names the request upstream too; borrowed until the call is over */
	struct llm_timeouts timeouts;
};

struct llm_usage {
	int64_t prompt_tokens, completion_tokens, total_tokens;
};

enum llm_event_type {
	LLM_TEXT,      /* text: a piece of the answer */
	LLM_REASONING, /* text: a piece of the model's reasoning */
	LLM_TOOL,      /* text: JSON of tool call deltas */
	LLM_USAGE,     /* usage */
	LLM_FINISH,    /* text: why the model stopped: stop, length, tool_calls… */
};

struct llm_event {
	enum llm_event_type type;
	struct str text; /* borrowed during the call */
	struct llm_usage usage;
};

/* Where a provider's parser puts what it finds. */
struct llm_sink {
	void (*emit)(void *arg, const struct llm_event *event);
	void *arg;
};

enum provider_result {
	PROVIDER_MORE,  /* go on */
	PROVIDER_ENDED, /* the end mark: the answer is whole */
	PROVIDER_FAILED, /* an error frame */
	PROVIDER_GARBLED /* no JSON in UTF-8, or nothing we understand */
};

struct provider {
	const char *name;
	/* Writes headers and body of the call; strings live in the arena. */
	void (*request)(const struct llm_request *in, struct arena *arena, struct http_post *out);
	/* Reads one server-sent event and emits what it says. */
	enum provider_result (*on_event)(struct str event, struct str data, struct llm_sink sink);
	/* Does a finish reason count as end mark, if nothing follows? */
	bool finish_is_end;
};

/* NULL if there is none of that name. */
const struct provider *provider_named(struct str name);
enum { PROVIDER_MAX_HEADERS = 8 };

extern const struct provider provider_openai;
/* Any server that speaks like OpenAI's: vLLM, Ollama, llama.cpp… */
extern const struct provider provider_custom;
