/* What the fuzzers of the dialects share: a stream's events go through a provider's parser, and what that emits is looked at. */
#pragma once
#include <assert.h>

#include "base/json.h"
#include "llm/provider.h"
#include "llm/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heard {
	const struct provider *provider;
	struct llm_said said;
	struct buf text;
	enum provider_result result;
	size_t n;
};

/* Events must be on one line, JSON where they are said to be, and UTF-8. */
static inline void check_event(const struct llm_event *event)
{
	bool json = event->type == LLM_TOOL || event->type == LLM_STATUS || event->type == LLM_INTERACTIVE;
	struct json *j;
	const char *why;

	if (event->type == LLM_USAGE) {
		assert(event->usage.prompt_tokens >= 0 && event->usage.completion_tokens >= 0 && event->usage.total_tokens >= 0);
		return;
	}
	assert(utf8_valid(event->text));
	if (!json)
		return;
	assert(!memchr(event->text.p, '\n', event->text.len) && !memchr(event->text.p, '\r', event->text.len));
	assert(json_parse(event->text, &(struct json_caps){1024, 1000000, true}, &j, &why) == 0);
	json_free(j);
}

static inline void hear(void *arg, const struct llm_event *event)
{
	struct heard *h = arg;

	check_event(event);
	buf_printf(&h->text, "%d:%lld:", (int)event->type, (long long)event->usage.total_tokens);
	if (event->type != LLM_USAGE)
		buf_add_str(&h->text, event->text);
}

static inline bool on_fuzzed_event(void *arg, struct str event, struct str data)
{
	struct heard *h = arg;
	enum provider_result result = h->provider->on_event(&h->said, event, data, (struct llm_sink){hear, h});

	assert(memchr(h->said.conversation, 0, LLM_ID_SIZE) && memchr(h->said.task, 0, LLM_ID_SIZE));
	if (h->result != PROVIDER_ENDED)
		h->result = result;
	return h->result <= PROVIDER_ENDED && ++h->n < 100;
}

static inline int fuzz_dialect(const struct provider *provider, struct str data)
{
	struct heard whole = {.provider = provider}, cut = {.provider = provider};
	struct sse a = {.on_event = on_fuzzed_event, .arg = &whole}, b = {.on_event = on_fuzzed_event, .arg = &cut};
	int err = sse_feed(&a, data);

	for (size_t i = 0; i < data.len && cut.n < 100 && cut.result <= PROVIDER_ENDED; i++)
		assert(sse_feed(&b, (struct str){data.p + i, 1}) == err);
	assert(whole.result == cut.result && whole.n == cut.n && str_eq(buf_str(&whole.text), buf_str(&cut.text)));
	sse_fini(&a);
	sse_fini(&b);
	buf_fini(&whole.text);
	buf_fini(&cut.text);
	return 0;
}
