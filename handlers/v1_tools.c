/* Putting tool calls together. What we have no word for (a provider's signature over its thoughts) is kept as it first came. */
#include "handlers/v1_tools.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "chat/answer.h"

enum { MAX_CALLS = 256 };

struct call {
	int64_t index;
	bool has_type;
	struct buf members; /* but for index and function, without braces */
	struct buf name, arguments;
};

struct calls {
	size_t n;
	struct call list[MAX_CALLS];
};

/* The call that a piece belongs to: by its index; without one a piece with an id begins a call, and others go on with the last. NULL
 * if there are too many. */
static struct call *call_of(struct calls *calls, const struct json *piece)
{
	bool begins = json_as_str(json_get(piece, "id")).len > 0 || calls->n == 0;
	int64_t index = json_as_int(json_get(piece, "index"), begins ? (int64_t)calls->n : calls->list[calls->n - 1].index);

	for (size_t i = 0; i < calls->n; i++)
		if (calls->list[i].index == index)
			return &calls->list[i];
	if (calls->n == MAX_CALLS)
		return NULL;
	calls->list[calls->n].index = index;
	return &calls->list[calls->n++];
}

static void keep_member(void *arg, const char *key, const struct json *value)
{
	struct call *call = arg;
	struct json_writer w = {.out = &call->members, .comma = call->members.len > 0};

	if (!value || strcmp(key, "index") == 0 || strcmp(key, "function") == 0)
		return;
	if (strcmp(key, "type") == 0)
		call->has_type = true;
	json_key(&w, key);
	json_put_raw(&w, json_text(value));
}

static void add_piece(struct calls *calls, const struct json *piece)
{
	const struct json *function = json_get(piece, "function");
	struct call *call = call_of(calls, piece);

	if (!call)
		return;
	if (call->members.len == 0)
		json_each(piece, keep_member, call);
	if (call->name.len == 0) /* some say it with every piece */
		buf_add_str(&call->name, json_as_str(json_get(function, "name")));
	buf_add_str(&call->arguments, json_as_str(json_get(function, "arguments")));
}

static void put_call(struct json_writer *w, const struct call *call)
{
	json_open(w, '{');
	if (call->members.len)
		json_put_raw(w, buf_str(&call->members));
	if (!call->has_type)
		json_add_cstr(w, "type", "function");
	json_key(w, "function");
	json_open(w, '{');
	json_add_str(w, "name", buf_str(&call->name));
	json_add_str(w, "arguments", buf_str(&call->arguments));
	json_close(w, '}');
	json_close(w, '}');
}

static void collect(struct calls *calls, const struct answer *answer)
{
	struct reader reader = {.answer = answer}; /* only a cursor: nothing wakes it */
	struct answer_event event;
	struct json *pieces;
	const char *why;

	while (reader_next(&reader, &event)) {
		if (event.type != EVENT_TOOL || json_parse(event.data, &JSON_CAPS_PROVIDER, &pieces, &why) != 0)
			continue;
		for (size_t i = 0; i < json_len(pieces); i++)
			add_piece(calls, json_at(pieces, i));
		json_free(pieces);
	}
}

void v1_tools_collect(const struct answer *answer, struct buf *out)
{
	struct calls *calls = mem_alloc(sizeof(*calls));
	struct json_writer w = {.out = out};

	collect(calls, answer);
	if (calls->n)
		json_open(&w, '[');
	for (size_t i = 0; i < calls->n; i++)
		put_call(&w, &calls->list[i]);
	if (calls->n)
		json_close(&w, ']');
	for (size_t i = 0; i < calls->n; i++) {
		buf_fini(&calls->list[i].members);
		buf_fini(&calls->list[i].name);
		buf_fini(&calls->list[i].arguments);
	}
	free(calls);
}
