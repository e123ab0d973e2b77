/* Reads a completions request. Like a real provider it refuses what is not JSON, not UTF-8 or of the wrong type;
 * fields it does not know are passed over. */
#include "sim/ask.h"

#include <string.h>

#include "sim/scan.h"
#include "sim/unescape.h"

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

/* Reads one message. Returns whether it is a user's; content is then where its content begins. */
static bool read_message(struct scan *scan, struct scan *content)
{
	bool is_user = false;
	bool first = true;
	struct span key;
	struct span role;

	content->at = content->end = NULL;
	while (scan_next_member(scan, &first, &key)) {
		if (span_is(key, "role") && scan_peek(scan) == '"' && scan_string(scan, &role)) {
			is_user = span_is(role, "user");
			continue;
		}
		if (span_is(key, "content"))
			*content = *scan;
		scan_skip(scan);
	}
	return is_user;
}

static int read_messages(struct ask *ask, struct scan *scan)
{
	struct scan last_user = {0};
	struct scan content;
	bool first = true;
	bool empty = true;

	if (scan_peek(scan) != '[')
		return refuse(ask, "messages", "'messages' must be an array.");
	while (scan_next_element(scan, &first)) {
		empty = false;
		if (scan_peek(scan) != '{')
			return refuse(ask, "messages", "Every element of 'messages' must be an object.");
		if (read_message(scan, &content) && content.at)
			last_user = content;
	}
	if (empty)
		return refuse(ask, "messages", "'messages' must not be empty.");
	ask->text.len = 0;
	if (last_user.at)
		read_content(ask, last_user);
	return 0;
}

int ask_read(struct ask *ask, const char *body, size_t len)
{
	struct scan scan = {body, body + len};
	struct scan whole = scan;
	bool has_model = false;
	bool has_messages = false;
	bool first = true;
	struct span key;
	int err = 0;

	*ask = (struct ask){0};
	if (!len || !is_utf8(body, len) || !scan_skip(&whole) || scan_peek(&whole) || whole.at != whole.end)
		return refuse(ask, NULL, "The body of the request is not valid JSON in UTF-8.");
	ask->is_json = true;
	if (scan_peek(&scan) != '{')
		return refuse(ask, NULL, "The body of the request must be a JSON object.");
	while (err == 0 && scan_next_member(&scan, &first, &key)) {
		if (span_is(key, "model")) {
			has_model = true;
			err = read_model(ask, &scan);
		} else if (span_is(key, "messages")) {
			has_messages = true;
			err = read_messages(ask, &scan);
		} else if (span_is(key, "stream")) {
			if (read_bool(&scan, &ask->stream) < 0)
				err = refuse(ask, "stream", "'stream' must be true or false.");
		} else if (span_is(key, "stream_options")) {
			err = read_stream_options(ask, &scan);
		} else {
			scan_skip(&scan);
		}
	}
	if (err < 0)
		return err;
	if (!has_model)
		return refuse(ask, "model", "You must provide a model parameter.");
	if (!has_messages)
		return refuse(ask, "messages", "Missing required parameter: 'messages'.");
	return 0;
}

void ask_fini(struct ask *ask)
{
	buf_fini(&ask->text);
}
