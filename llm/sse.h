/* A parser of server-sent events (WHATWG HTML, 9.2.6) for what providers send: bytes in, events out, however they are cut. */
#pragma once
#include "base/buf.h"

enum { SSE_MAX_EVENT_BYTES = 1024 * 1024 };

struct sse {
	/* An event that has data; event is its name or empty. False stops the parser: sse_feed returns at once. */
	bool (*on_event)(void *arg, struct str event, struct str data);
	void *arg;
	/* the parser's own: */
	struct buf line, data;
	char event[64];
	size_t event_len;
	bool has_data, skip_lf, past_bom;
};

/* An all-zero sse with on_event and arg set is ready. */
void sse_fini(struct sse *sse);
/* Returns 0, or -ERR_UPSTREAM if a line or an event is longer than SSE_MAX_EVENT_BYTES. */
MUST_CHECK int sse_feed(struct sse *sse, struct str bytes);
