/* The log: each event is a small header and its data, one after the other. */
#include "chat/answer.h"

#include "base/err.h"

struct header {
	uint32_t len;
	uint32_t type;
};

void answer_init(struct answer *a, struct loop *loop, struct answer_budget *budget)
{
	*a = (struct answer){.loop = loop, .budget = budget};
	list_init(&a->readers);
	list_init(&a->wake.node);
}

void answer_fini(struct answer *a)
{
	a->budget->total_bytes -= a->log.len;
	buf_fini(&a->log);
	defer_cancel(&a->wake);
}

static void wake_readers(struct defer *d)
{
	struct answer *a = CONTAINER_OF(d, struct answer, wake);
	struct list batch, *node;

	/* A reader may leave, or the whole answer go, from inside on_more: the last one must be told last. */
	list_init(&batch);
	list_move_all(&batch, &a->readers);
	while ((node = batch.next) != &batch) {
		struct reader *r = CONTAINER_OF(node, struct reader, node);

		list_remove(node);
		list_push(&a->readers, node);
		r->on_more(r);
	}
}

void answer_wake(struct answer *a)
{
	if (!list_empty(&a->readers))
		loop_defer(a->loop, &a->wake, wake_readers);
}

void answer_release(struct answer *a)
{
	a->held = false;
	if (a->log.len)
		answer_wake(a);
}

static bool fits(const struct answer *a, enum event_type type, size_t n)
{
	if (type == EVENT_STATUS || type == EVENT_ERROR || type == EVENT_END)
		return true;
	return a->log.len + n <= a->budget->max_bytes && a->budget->total_bytes + n <= a->budget->max_total_bytes;
}

int answer_append(struct answer *a, enum event_type type, struct str data)
{
	struct header h = {(uint32_t)data.len, type};

	if (!fits(a, type, sizeof(h) + data.len))
		return -ERR_TOO_LARGE;
	buf_add(&a->log, &h, sizeof(h));
	buf_add_str(&a->log, data);
	a->budget->total_bytes += sizeof(h) + data.len;
	if (!a->held)
		answer_wake(a);
	return 0;
}

/* The event at *at; moves *at behind it. */
static bool next_event(const struct answer *a, size_t *at, struct answer_event *out)
{
	struct header h;

	if (*at >= a->log.len)
		return false;
	memcpy(&h, a->log.p + *at, sizeof(h));
	*out = (struct answer_event){h.type, *at, {a->log.p + *at + sizeof(h), h.len}};
	*at += sizeof(h) + h.len;
	return true;
}

void answer_collect(const struct answer *a, enum event_type type, struct buf *out)
{
	struct answer_event event;
	size_t at = 0, start = out->len;

	while (next_event(a, &at, &event)) {
		bool replaces = event.type == EVENT_REPLACE && type == EVENT_CHUNK;

		if (replaces)
			out->len = start;
		if (replaces || event.type == type)
			buf_add_str(out, event.data);
	}
}

void reader_join(struct reader *r, struct answer *a)
{
	r->answer = a;
	r->at = 0;
	list_push(&a->readers, &r->node);
	if (a->log.len && !a->held)
		answer_wake(a);
}

void reader_leave(struct reader *r)
{
	list_remove(&r->node);
	r->answer = NULL;
}

bool reader_next(struct reader *r, struct answer_event *out)
{
	return !r->answer->held && next_event(r->answer, &r->at, out);
}
