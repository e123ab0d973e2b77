/* What all providers have in common: the question in our words, the answer as normalised events, and a table of functions that
 * translate. Adding a provider is adding one file with such a table. */
#pragma once
#include "base/arena.h"
#include "base/log.h"
#include "net/http.h"

/* One message for the model. */
struct llm_message {
	struct str role;    /* user, assistant, system; also developer and tool, from clients that speak OpenAI's words */
	struct str content; /* text, if parts is empty */
	struct str parts;   /* JSON array of content parts, or empty */
	bool no_content;    /* not even an empty text: an assistant that only calls tools */
	struct str extra;   /* further members in OpenAI's words, as JSON without braces (tool_calls, tool_call_id, name…), or empty */
};

struct llm_timeouts {
	int64_t connect_ms, headers_ms, first_token_ms, idle_ms, total_ms;
};

/* One question; everything is borrowed until llm_stream_start returns. */
struct llm_request {
	const struct provider *provider;
	const char *endpoint, *api_key, *model; /* api_key may be NULL */
	struct str user;                        /* who asks, for providers that want to know: an id of ours, no name */
	struct str answer_id;                   /* ours */
	struct str conversation;                /* the provider's name for it, from an earlier answer; empty: it knows of none */
	struct str new_conversation;            /* what it may be called if the provider leaves that to us */
	struct str variables;                   /* JSON object, or empty */
	struct str system_prompt;
	const struct llm_message *messages;
	size_t n_messages;
	bool has_temperature;
	double temperature;
	int64_t max_tokens; /* 0: the provider's own limit */
	bool limits_completion; /* max_tokens goes by its newer name, max_completion_tokens */
	struct str extra; /* further members of the body in OpenAI's words, as JSON without braces, or empty; never one that is above.
			     For providers that speak so; the others have no use for it */
	const struct log_ctx *log; /* names the request upstream too; borrowed until the call is over */
	struct llm_timeouts timeouts;
};

/* An answer that is to be stopped; everything is borrowed during the call. */
struct llm_stop {
	const char *endpoint, *api_key, *request_id;
	struct str user;
	const char *task;
};

struct llm_usage {
	int64_t prompt_tokens, completion_tokens, total_tokens;
};

enum llm_event_type {
	LLM_TEXT,        /* text: a piece of the answer */
	LLM_REASONING,   /* text: a piece of the model's reasoning */
	LLM_TOOL,        /* text: JSON of tool call deltas */
	LLM_USAGE,       /* usage */
	LLM_FINISH,      /* text: why the model stopped: stop, length, tool_calls, content_filter… */
	LLM_STATUS,      /* text: JSON of how far a workflow is, {type,status,moduleName?} */
	LLM_INTERACTIVE, /* text: JSON of what a workflow asks its user */
	LLM_REPLACE,     /* text: takes the place of all LLM_TEXT so far */
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

enum { LLM_ID_SIZE = 129 };

/* What an answer has said beside its events, and what a parser remembers from one event to the next. All zero at first. */
struct llm_said {
	char conversation[LLM_ID_SIZE]; /* its name upstream, to be sent with the next question; empty: none, or not yet */
	char task[LLM_ID_SIZE];         /* by what name the answer can be stopped; empty: it cannot, or not yet */
	int error_status;               /* with PROVIDER_FAILED: the HTTP status that this error has elsewhere; 0: unknown */
	/* the parsers' own: */
	char offered[LLM_ID_SIZE]; /* the conversation's name that was sent */
	char step[LLM_ID_SIZE];    /* of an agent: its thought that was told last */
	struct llm_usage usage;
	unsigned n_tools;               /* calls of tools so far */
	bool in_tool;                   /* what comes belongs to the last of them, or that was told */
	bool spoke, agent;              /* text came since the last step; at all, in an agent's pieces */
	bool told_thought, told_result; /* of the step */
};

enum provider_result {
	PROVIDER_MORE,   /* go on */
	PROVIDER_ENDED,  /* the end mark: the answer is whole */
	PROVIDER_FAILED, /* an error frame */
	PROVIDER_GARBLED /* no JSON in UTF-8, or nothing we understand */
};

struct provider {
	const char *name;
	/* Writes headers and body of the call; strings live in the arena. */
	void (*request)(const struct llm_request *in, struct arena *arena, struct http_post *out);
	/* Reads one server-sent event and emits what it says. */
	enum provider_result (*on_event)(struct llm_said *said, struct str event, struct str data, struct llm_sink sink);
	/* False if these content parts cannot be put in its words; *why is then a sentence without its beginning ("takes no …"),
	 * borrowed from arena or a literal. NULL: it takes all. */
	bool (*takes_parts)(struct str parts, struct arena *arena, struct str *why);
	/* Writes the call that stops an answer; false if there is none for it. NULL: closing the connection is all there is. */
	bool (*stop)(const struct llm_stop *in, struct arena *arena, struct http_post *out);
	bool finish_is_end;  /* a finish reason counts as end mark, if nothing follows */
	bool more_after_end; /* events after the end mark count, but cannot spoil the answer */
	bool names_are_lost; /* 404 may mean that it knows the conversation no more */
};

/* NULL if there is none of that name. */
const struct provider *provider_named(struct str name);
/* Can it be told all of these? If not, *which is the message that it cannot, and *why as in takes_parts. */
MUST_CHECK bool provider_takes(const struct provider *p, const struct llm_message *messages, size_t n, struct arena *arena, size_t *which,
			       struct str *why);
enum { PROVIDER_MAX_HEADERS = 8 };

extern const struct provider provider_openai;
/* Any server that speaks like OpenAI's: vLLM, Ollama, llama.cpp… */
extern const struct provider provider_custom;
extern const struct provider provider_anthropic;
extern const struct provider provider_dify;
extern const struct provider provider_fastgpt;
