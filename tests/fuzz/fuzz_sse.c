/* Fuzzes the event parser: the bytes in one piece and one by one must give the same events. Each goes to OpenAI's parser too. */
#include <assert.h>

#include "llm/provider.h"
#include "llm/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	size_t n;
	struct buf text;
};

static void ignore(void *arg, const struct llm_event *event)
{
	(void)arg;
	(void)event;
}

static bool on_event(void *arg, struct str event, struct str data)
{
	struct seen *seen = arg;
	struct llm_said said = {.task = ""};

	seen->n++;
	buf_add_str(&seen->text, event);
	buf_add_char(&seen->text, '|');
	buf_add_str(&seen->text, data);
	buf_add_char(&seen->text, '\n');
	provider_openai.on_event(&said, event, data, (struct llm_sink){ignore, NULL});
	return seen->n < 100;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole = {0}, cut = {0};
	struct sse a = {.on_event = on_event, .arg = &whole}, b = {.on_event = on_event, .arg = &cut};
	int err = sse_feed(&a, (struct str){(const char *)data, size});

	for (size_t i = 0; i < size && cut.n < 100; i++)
		assert(sse_feed(&b, (struct str){(const char *)data + i, 1}) == err);
	assert(str_eq(buf_str(&whole.text), buf_str(&cut.text)));
	sse_fini(&a);
	sse_fini(&b);
	buf_fini(&whole.text);
	buf_fini(&cut.text);
	return 0;
}
