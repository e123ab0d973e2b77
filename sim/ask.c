/* Reads a completions request. Like a real provider it refuses what is not JSON, not UTF-8 or of the wrong type;
 * fields it does not know are passed over. */
#include "sim/ask.h"

#include <stdio.h>
#include <string.h>

#include "sim/dialect.h"
#include "sim/scan.h"
#include "sim/unescape.h"

/* Which members there were. */
struct given {
	bool model, messages, max_tokens, query, inputs, user;
};

static int refuse(struct ask *ask, const char *param, const char *problem)
{
	ask->param = param;
	ask->problem = problem;
	return -1;
}

/* Returns -1 for what is neither true, false nor null. The value is stepped over. */
static int read_bool(struct scan *scan, bool *value)
{
	char c = scan_peek(scan);

	if (c != 't' && c != 'f' && c != 'n')
		return -1;
	*value = c == 't';
	return scan_skip(scan) ? 0 : -1;
}

static int read_model(struct ask *ask, struct scan *scan)
{
	struct buf name = {0};
	struct span raw;
	size_t len;

	if (scan_peek(scan) != '"' || !scan_string(scan, &raw))
		return refuse(ask, "model", "'model' must be a string.");
	unescape(&name, raw.data, raw.len);
	len = name.len < sizeof(ask->model) ? name.len : sizeof(ask->model) - 1;
	if (len)
		memcpy(ask->model, name.data, len);
	ask->model[len] = '\0';
	buf_fini(&name);
	if (strlen(ask->model) != len)
		return refuse(ask, "model", "'model' must not contain U+0000.");
	return 0;
}

static int read_stream_options(struct ask *ask, struct scan *scan)
{
	bool first = true;
	struct span key;

	if (scan_peek(scan) == 'n')
		return scan_skip(scan) ? 0 : -1;
	if (scan_peek(scan) != '{')
		return refuse(ask, "stream_options", "'stream_options' must be an object.");
	while (scan_next_member(scan, &first, &key)) {
		if (!span_is(key, "include_usage"))
			scan_skip(scan);
		else if (read_bool(scan, &ask->include_usage) < 0)
			return refuse(ask, "stream_options.include_usage", "'include_usage' must be true or false.");
	}
	return 0;
}

/* Adds the text of a message's content: a string, or the text parts of an array. */
static void read_content(struct ask *ask, struct scan scan)
{
	bool first = true;
	struct span raw;
	struct span key;

	if (scan_peek(&scan) == '"' && scan_string(&scan, &raw))
		unescape(&ask->text, raw.data, raw.len);
	if (scan_peek(&scan) != '[')
		return;
	while (scan_next_element(&scan, &first)) {
		bool first_member = true;

		if (scan_peek(&scan) != '{') {
			scan_skip(&scan);
			continue;
		}
		while (scan_next_member(&scan, &first_member, &key)) {
			if (span_is(key, "text") && scan_peek(&scan) == '"' && scan_string(&scan, &raw))
				unescape(&ask->text, raw.data, raw.len);
			else
				scan_skip(&scan);
		}
	}
}

enum role { ROLE_USER, ROLE_ASSISTANT, ROLE_TOOL, ROLE_OTHER };

/* Reads one message; content is where its content begins. */
static void read_message(struct scan *scan, enum role *role_is, struct scan *content)
{
	bool first = true;
	struct span key;
	struct span role;

	*role_is = ROLE_OTHER;
	content->at = content->end = NULL;
	while (scan_next_member(scan, &first, &key)) {
		if (span_is(key, "role") && scan_peek(scan) == '"' && scan_string(scan, &role)) {
			*role_is = span_is(role, "user") ? ROLE_USER : span_is(role, "assistant") ? ROLE_ASSISTANT
								    : span_is(role, "tool") ? ROLE_TOOL : ROLE_OTHER;
			continue;
		}
		if (span_is(key, "content"))
			*content = *scan;
		scan_skip(scan);
	}
}

static int read_messages(struct ask *ask, struct scan *scan)
{
	struct scan last_user = {0};
	struct scan content;
	enum role role;
	bool first = true;
	bool empty = true;

	if (scan_peek(scan) != '[')
		return refuse(ask, "messages", "'messages' must be an array.");
	while (scan_next_element(scan, &first)) {
		if (scan_peek(scan) != '{')
			return refuse(ask, "messages", "Every element of 'messages' must be an object.");
		read_message(scan, &role, &content);
		if (ask->dialect == &dialect_anthropic && (role >= ROLE_TOOL || (empty && role != ROLE_USER)))
			return refuse(ask, "messages", "messages: the roles are user and assistant, and the first is user.");
		empty = false;
		if (role == ROLE_USER && content.at)
			last_user = content;
		ask->after_tool = role == ROLE_TOOL;
	}
	if (empty)
		return refuse(ask, "messages", "'messages' must not be empty.");
	ask->text.len = 0;
	if (last_user.at)
		read_content(ask, last_user);
	return 0;
}

/* A string that is kept; longer ones are cut. */
static int read_id(struct ask *ask, struct scan *scan, const char *param)
{
	struct buf id = {0};
	struct span raw;

	if (scan_peek(scan) == 'n')
		return scan_skip(scan) ? 0 : -1;
	if (scan_peek(scan) != '"' || !scan_string(scan, &raw))
		return refuse(ask, param, "The name of a conversation must be a string.");
	unescape(&id, raw.data, raw.len);
	snprintf(ask->conversation, sizeof(ask->conversation), "%.*s", (int)id.len, id.data ? id.data : "");
	buf_fini(&id);
	return 0;
}

/* Steps over a value, and notes that it is a whole number above 0, or a string that is not empty. */
static void note_given(struct scan *scan, bool *given)
{
	char c = scan_peek(scan);

	*given = (c >= '1' && c <= '9') || (c == '"' && scan->at[1] != '"');
	scan_skip(scan);
}

/* Dify's question is one string. */
static int read_query(struct ask *ask, struct scan *scan)
{
	struct span raw;

	if (scan_peek(scan) != '"' || !scan_string(scan, &raw))
		return refuse(ask, "query", "query is required in input payload.");
	unescape(&ask->text, raw.data, raw.len);
	return 0;
}

static int read_mode(struct ask *ask, struct scan *scan)
{
	struct span raw;

	if (scan_peek(scan) != '"' || !scan_string(scan, &raw) || (!span_is(raw, "streaming") && !span_is(raw, "blocking")))
		return refuse(ask, "response_mode", "response_mode must be streaming or blocking.");
	ask->stream = span_is(raw, "streaming");
	return 0;
}

/* What each kind of provider must be told. */
static int check(struct ask *ask, const struct given *given)
{
	if (ask->dialect == &dialect_dify) {
		if (!given->query)
			return refuse(ask, "query", "query is required in input payload.");
		if (!given->inputs || !given->user)
			return refuse(ask, given->inputs ? "user" : "inputs", "inputs and user are required in input payload.");
		return 0;
	}
	if (ask->dialect != &dialect_fastgpt && !given->model)
		return refuse(ask, "model", "You must provide a model parameter.");
	if (!given->messages)
		return refuse(ask, "messages", "Missing required parameter: 'messages'.");
	if (ask->dialect == &dialect_anthropic && !given->max_tokens)
		return refuse(ask, "max_tokens", "max_tokens: Field required");
	return 0;
}

/* Reads one member. Returns -1 with the problem. */
static int read_member(struct ask *ask, struct span key, struct scan *scan, struct given *given)
{
	bool dify = ask->dialect == &dialect_dify, fastgpt = ask->dialect == &dialect_fastgpt;

	if (span_is(key, "model") && !dify && !fastgpt) {
		given->model = true;
		return read_model(ask, scan);
	}
	if (span_is(key, "messages") && !dify) {
		given->messages = true;
		return read_messages(ask, scan);
	}
	if (span_is(key, "stream") && !dify)
		return read_bool(scan, &ask->stream) < 0 ? refuse(ask, "stream", "'stream' must be true or false.") : 0;
	if (span_is(key, "detail") && fastgpt)
		return read_bool(scan, &ask->detail) < 0 ? refuse(ask, "detail", "'detail' must be true or false.") : 0;
	if (span_is(key, "stream_options") && ask->dialect == &dialect_openai)
		return read_stream_options(ask, scan);
	if (span_is(key, "query") && dify) {
		given->query = true;
		return read_query(ask, scan);
	}
	if (span_is(key, "response_mode") && dify)
		return read_mode(ask, scan);
	if (span_is(key, dify ? "conversation_id" : "chatId") && (dify || fastgpt))
		return read_id(ask, scan, dify ? "conversation_id" : "chatId");
	if (span_is(key, "inputs"))
		given->inputs = scan_peek(scan) == '{';
	if (span_is(key, "max_tokens"))
		note_given(scan, &given->max_tokens);
	else if (span_is(key, "user"))
		note_given(scan, &given->user);
	else
		scan_skip(scan);
	return 0;
}

int ask_read(struct ask *ask, const struct dialect *dialect, const char *model, const char *body, size_t len)
{
	struct scan scan = {body, body + len};
	struct scan whole = scan;
	struct given given = {0};
	bool first = true;
	struct span key;
	int err = 0;

	*ask = (struct ask){.dialect = dialect};
	snprintf(ask->model, sizeof(ask->model), "%s", model ? model : "sim");
	if (!len || !is_utf8(body, len) || !scan_skip(&whole) || scan_peek(&whole) || whole.at != whole.end)
		return refuse(ask, NULL, "The body of the request is not valid JSON in UTF-8.");
	ask->is_json = true;
	if (scan_peek(&scan) != '{')
		return refuse(ask, NULL, "The body of the request must be a JSON object.");
	while (err == 0 && scan_next_member(&scan, &first, &key))
		err = read_member(ask, key, &scan, &given);
	return err < 0 ? err : check(ask, &given);
}

void ask_fini(struct ask *ask)
{
	buf_fini(&ask->text);
}
