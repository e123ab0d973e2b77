/* The order of events, for both kinds of streams. */
#include "bench/check.h"

#include <stdarg.h>
#include <stdio.h>

/* What has come so far. Phases only grow. */
enum { NOTHING, HAS_CHAT_ID, HAS_START, HAS_TEXT, HAS_FINISH, HAS_USAGE, HAS_STATUS, HAS_END };

static const char *const phases[] = {"nothing", "chatId", "start", "text", "finish_reason", "usage", "status", "the end"};

void check_begin(struct check *c, const struct check_plan *plan)
{
	struct buf carry = c->carry;

	carry.len = 0;
	*c = (struct check){.plan = plan, .carry = carry};
	check_text_begin(&c->text);
}

void check_fini(struct check *c)
{
	buf_fini(&c->carry);
}

static void fault(struct check *c, enum check_fault what, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void fault(struct check *c, enum check_fault what, const char *fmt, ...)
{
	va_list args;

	if (c->fault)
		return;
	c->fault = what;
	va_start(args, fmt);
	vsnprintf(c->detail, sizeof(c->detail), fmt, args);
	va_end(args);
}

/* An event may come when the phase is from `least` to `most`; afterwards it is `then`. */
static void expect(struct check *c, unsigned least, unsigned most, unsigned then, struct str what)
{
	if (c->phase < least || c->phase > most)
		fault(c, CHECK_ORDER, "%.*s came after %s", STR_ARG(what), phases[c->phase]);
	c->phase = then;
}

static struct str find(struct str in, struct str what)
{
	const char *found = memmem(in.p, in.len, what.p, what.len);

	return found ? (struct str){found + what.len, in.len - (size_t)(found - in.p) - what.len} : (struct str){0};
}

static void take_text(struct check *c, struct str json)
{
	size_t used;

	c->n_texts++;
	if (!check_text_step(&c->text, c->plan, json, &used))
		fault(c, CHECK_TEXT, "token %zu should be \"%.*s\", the event says \"%.*s\"", c->text.n_tokens, (int)c->text.word_len,
		      c->text.word, (int)(json.len < 60 ? json.len : 60), json.p);
}

static void take_llmchat(struct check *c, struct str id, struct str event, struct str data)
{
	int64_t offset;

	if (!str_to_i64(id, &offset) || offset < 0)
		fault(c, CHECK_ORDER, "the event %.*s has the id \"%.*s\", which is no offset", STR_ARG(event), STR_ARG(id));
	else if (c->n_events > 1 && (uint64_t)offset <= c->last_id)
		fault(c, CHECK_ORDER, "the event %.*s has the offset %lld after %llu", STR_ARG(event), (long long)offset,
		      (unsigned long long)c->last_id);
	else
		c->last_id = (uint64_t)offset;
	if (str_eq(event, STR("chunk"))) {
		expect(c, HAS_START, HAS_TEXT, HAS_TEXT, event);
		if (str_starts(data, STR("{\"content\":\"")))
			take_text(c, str_skip(data, sizeof("{\"content\":\"") - 1));
		else
			fault(c, CHECK_TEXT, "a chunk without content: %.*s", (int)(data.len < 100 ? data.len : 100), data.p);
	} else if (str_eq(event, STR("chatId"))) {
		expect(c, NOTHING, NOTHING, HAS_CHAT_ID, event);
	} else if (str_eq(event, STR("start"))) {
		expect(c, HAS_CHAT_ID, HAS_CHAT_ID, HAS_START, event);
	} else if (str_eq(event, STR("reasoning")) || str_eq(event, STR("tool"))) {
		expect(c, HAS_START, HAS_TEXT, HAS_TEXT, event);
	} else if (str_eq(event, STR("usage"))) {
		expect(c, HAS_START, HAS_TEXT, HAS_USAGE, event);
	} else if (str_eq(event, STR("status"))) {
		expect(c, HAS_START, HAS_USAGE, HAS_STATUS, event);
		if (!find(data, STR("\"complete\"")).p)
			fault(c, CHECK_ERROR_EVENT, "status: %.*s", (int)(data.len < 150 ? data.len : 150), data.p);
	} else if (str_eq(event, STR("end"))) {
		expect(c, HAS_STATUS, HAS_STATUS, HAS_END, event);
	} else if (str_eq(event, STR("error"))) {
		fault(c, CHECK_ERROR_EVENT, "error: %.*s", (int)(data.len < 150 ? data.len : 150), data.p);
	} else {
		fault(c, CHECK_ORDER, "an unknown event \"%.*s\"", STR_ARG(event));
	}
}

static void take_openai(struct check *c, struct str data)
{
	struct str text = find(data, STR("\"content\":\""));

	if (str_eq(data, STR("[DONE]"))) {
		expect(c, HAS_FINISH, HAS_USAGE, HAS_END, data);
	} else if (str_starts(data, STR("{\"error\":"))) {
		fault(c, CHECK_ERROR_EVENT, "%.*s", (int)(data.len < 150 ? data.len : 150), data.p);
	} else if (text.p && text.len && text.p[0] != '"') {
		expect(c, NOTHING, HAS_TEXT, HAS_TEXT, STR("text"));
		take_text(c, text);
	} else if (find(data, STR("\"finish_reason\":\"")).p) {
		expect(c, NOTHING, HAS_TEXT, HAS_FINISH, STR("finish_reason"));
	} else if (find(data, STR("\"usage\":{")).p) {
		expect(c, HAS_FINISH, HAS_FINISH, HAS_USAGE, STR("usage"));
	}
}

/* One event: lines of "name: value", without the empty line that ended it. */
static void take_event(struct check *c, struct str block)
{
	struct str id = {0}, event = {0}, data = {0};

	while (block.len > 0) {
		struct str line = str_cut(&block, '\n');

		if (str_starts(line, STR("data: ")))
			data = str_skip(line, 6);
		else if (str_starts(line, STR("id: ")))
			id = str_skip(line, 4);
		else if (str_starts(line, STR("event: ")))
			event = str_skip(line, 7);
		else if (line.len > 0 && line.p[0] == ':')
			c->n_pings++;
		else if (line.len > 0)
			fault(c, CHECK_ORDER, "a line that is no field: %.*s", (int)(line.len < 100 ? line.len : 100), line.p);
	}
	if (!data.p)
		return;
	if (c->phase == HAS_END)
		fault(c, CHECK_ORDER, "an event after the end: %.*s", (int)(data.len < 100 ? data.len : 100), data.p);
	c->n_events++;
	if (c->plan->kind == CHECK_LLMCHAT)
		take_llmchat(c, id, event, data);
	else
		take_openai(c, data);
}

/* Takes whole events off the front of *rest. */
static void take_events(struct check *c, struct str *rest)
{
	const char *end;

	while (!c->fault && rest->len > 0 && (end = memmem(rest->p, rest->len, "\n\n", 2))) {
		take_event(c, (struct str){rest->p, (size_t)(end - rest->p)});
		*rest = str_skip(*rest, (size_t)(end - rest->p) + 2);
	}
}

void check_feed(struct check *c, struct str piece)
{
	/* Mostly a piece holds whole events, and is read where it lies. What is carried is finished first; it is searched once only
	 * from where it was extended, so that an event of a megabyte is not searched a thousand times. */
	while (c->carry.len > 0 && piece.len > 0 && !c->fault) {
		const char *end = memmem(piece.p, piece.len, "\n\n", 2);
		size_t n = end ? (size_t)(end - piece.p) + 2 : piece.len;
		bool whole = end != NULL;

		if (c->carry.p[c->carry.len - 1] == '\n' && piece.p[0] == '\n') {
			n = 1;
			whole = true;
		}
		buf_add(&c->carry, piece.p, n);
		piece = str_skip(piece, n);
		if (whole) {
			take_event(c, (struct str){c->carry.p, c->carry.len - 2});
			c->carry.len = 0;
		}
	}
	if (c->fault)
		return;
	take_events(c, &piece);
	buf_add(&c->carry, piece.p, piece.len);
}

void check_end(struct check *c)
{
	if (c->carry.len > 0)
		fault(c, CHECK_ORDER, "the body ended in the middle of an event");
	else if (c->phase != HAS_END)
		fault(c, CHECK_ORDER, "the body ended after %s", phases[c->phase]);
	else if (!check_text_whole(&c->text, c->plan))
		fault(c, CHECK_TEXT, "%zu tokens and %zu bytes came, %zu tokens should have", c->text.n_tokens, c->text.at,
		      c->plan->n_tokens);
}
