/* Whole streams, fed to a provider's parser cut at every place, and what they say as text. */
#pragma once
#include "base/json.h"
#include "llm/provider.h"
#include "llm/sse.h"
#include "tests/unit/support.h"

/* What was emitted: t:…; text, r:…; reasoning, o:…; tools, u:p,c,t; usage, f:…; finish, s:…; status, i:…; interactive, x:…; replaced. */
static inline void transcript_take(void *arg, const struct llm_event *event)
{
	static const char letters[] = {[LLM_TEXT] = 't',   [LLM_REASONING] = 'r', [LLM_TOOL] = 'o',        [LLM_USAGE] = 'u',
				       [LLM_FINISH] = 'f', [LLM_STATUS] = 's',    [LLM_INTERACTIVE] = 'i', [LLM_REPLACE] = 'x'};
	struct buf *b = arg;

	buf_add_char(b, letters[event->type]);
	buf_add_char(b, ':');
	if (event->type == LLM_USAGE)
		buf_printf(b, "%lld,%lld,%lld", (long long)event->usage.prompt_tokens, (long long)event->usage.completion_tokens,
			   (long long)event->usage.total_tokens);
	else
		buf_add_str(b, event->text);
	buf_add_char(b, ';');
}

struct transcript {
	const struct provider *provider;
	struct llm_said said;
	struct buf text;
	enum provider_result result; /* of the last event that counts */
};

static inline bool transcript_on_event(void *arg, struct str event, struct str data)
{
	struct transcript *t = arg;
	enum provider_result result;
	char *copy;

	if (t->result == PROVIDER_ENDED && !t->provider->more_after_end)
		return true;
	copy = malloc(data.len ? data.len : 1); /* exactly as long */
	memcpy(copy, data.p, data.len);
	result = t->provider->on_event(&t->said, event, (struct str){copy, data.len}, (struct llm_sink){transcript_take, &t->text});
	free(copy);
	if (t->result != PROVIDER_ENDED)
		t->result = result;
	return t->result == PROVIDER_MORE || t->result == PROVIDER_ENDED;
}

/* Feeds pieces of n bytes after a first one of `first`. The caller frees t->text. */
static inline void transcript_feed(struct transcript *t, struct str all, size_t first, size_t n)
{
	struct sse sse = {.on_event = transcript_on_event, .arg = t};

	for (size_t at = 0, len = first; at < all.len; at += len, len = n) {
		if (len > all.len - at)
			len = all.len - at;
		if (len)
			assert_int_equal(sse_feed(&sse, (struct str){all.p + at, len}), 0);
		if (t->result == PROVIDER_FAILED || t->result == PROVIDER_GARBLED)
			break;
	}
	sse_fini(&sse);
}

/* Checks what a stream says, cut at every place, and byte by byte; *said is what it said beside that, if it is wanted. */
static inline void transcript_check(const struct provider *provider, struct str all, enum provider_result result, const char *expected,
				    struct llm_said *said)
{
	for (size_t first = 0; first <= all.len; first++) {
		struct transcript t = {.provider = provider};

		snprintf(t.said.offered, sizeof(t.said.offered), "offered");
		transcript_feed(&t, all, first, first ? all.len : 1);
		assert_int_equal(t.result, result);
		assert_str(buf_str(&t.text), str_from(expected));
		if (said)
			*said = t.said;
		buf_fini(&t.text);
	}
}

static const struct log_ctx transcript_log = {.request_id = "0198-abc"};

/* Makes a request, checks that its body is JSON, and returns it; arena and body are the caller's. */
static inline struct json *transcript_ask(const struct llm_request *in, struct arena *arena, struct http_post *post)
{
	const char *why = "";
	struct json *body;

	in->provider->request(in, arena, post);
	assert_int_equal(json_parse(buf_str(&post->body), &JSON_CAPS_PROVIDER, &body, &why), 0);
	assert_true(post->n_headers <= PROVIDER_MAX_HEADERS);
	return body;
}

/* The same, as text, for a body that is compared whole. */
static inline void transcript_check_body(const struct llm_request *in, const char *expected)
{
	struct arena arena = {0};
	struct http_post post;

	json_free(transcript_ask(in, &arena, &post));
	assert_str(buf_str(&post.body), str_from(expected));
	buf_fini(&post.body);
	arena_fini(&arena);
}

static inline const char *transcript_header(const struct http_post *post, const char *name)
{
	for (size_t i = 0; i < post->n_headers; i++)
		if (strncmp(post->headers[i], name, strlen(name)) == 0 && post->headers[i][strlen(name)] == ':')
			return post->headers[i] + strlen(name) + 2;
	return NULL;
}

/* Does the provider take these parts? If not, its sentence must be this one. */
static inline void transcript_check_parts(const struct provider *provider, struct str parts, const char *why)
{
	struct arena arena = {0};
	struct str said = {0};

	assert_int_equal(provider->takes_parts(parts, &arena, &said), why == NULL);
	if (why)
		assert_str(said, str_from(why));
	arena_fini(&arena);
}
