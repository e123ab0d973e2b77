/* Checking the body of a completion in OpenAI's words. Only what we act upon is looked at: a wrong `tools` is for the provider to refuse. */
#include "handlers/v1_request.h"

#include "handlers/chat_content.h"
#include "handlers/request.h"

enum { MAX_TOKENS = 10000000 };

#define CHAT_ID_HEADER "X-Chat-Id"

/* ---- members that are passed on ---- */

struct passing {
	struct json_writer w;
	const char *const *own; /* what is not, up to a NULL */
};

static void pass_member(void *arg, const char *key, const struct json *value)
{
	struct passing *p = arg;

	for (size_t i = 0; p->own[i]; i++)
		if (strcmp(key, p->own[i]) == 0)
			return;
	json_key(&p->w, key);
	json_put_raw(&p->w, json_text(value));
}

/* The members of an object but for our own, without braces, in the arena. */
static struct str pass_on(struct request *r, const struct json *object, const char *const *own)
{
	struct buf b = {0};
	struct passing p = {{.out = &b}, own};
	struct str text;

	json_each(object, pass_member, &p);
	text = b.len ? arena_copy(&r->question, buf_str(&b)) : STR("");
	buf_fini(&b);
	return text;
}

/* ---- messages ---- */

static bool valid_role(struct str role)
{
	static const char *const roles[] = {"system", "developer", "user", "assistant", "tool"};

	for (size_t i = 0; i < N_ELEMENTS(roles); i++)
		if (str_eq_cstr(role, roles[i]))
			return true;
	return false;
}

static bool read_message(struct request *r, const struct json *j, size_t i, struct llm_message *out, struct json_complaint *c)
{
	static const char *const own[] = {"role", "content", NULL};

	if (json_kind(j) != JSON_OBJECT)
		return json_complain(c, "messages", "messages[%zu] must be an object.", i);
	out->role = json_as_str(json_get(j, "role"));
	if (!valid_role(out->role))
		return json_complain(c, "messages", "messages[%zu].role must be system, developer, user, assistant or tool.", i);
	if (str_eq(out->role, STR("tool")) && json_kind(json_get(j, "tool_call_id")) != JSON_STRING)
		return json_complain(c, "messages", "messages[%zu].tool_call_id must name the call that the tool answers.", i);
	out->extra = pass_on(r, j, own);
	out->no_content = !json_get(j, "content") && str_eq(out->role, STR("assistant")) && out->extra.len;
	return out->no_content || chat_content_read(r, json_get(j, "content"), i, 0, out, c);
}

/* The question is what was said last that the model did not say itself: the user's, or a tool's. */
static void find_question(struct chat_request *out)
{
	const struct llm_message *list = out->turn.messages;
	size_t at = out->turn.n_messages;

	while (at > 0 && !str_eq(list[at - 1].role, STR("user")) && !str_eq(list[at - 1].role, STR("tool")))
		at--;
	if (at == 0)
		at = out->turn.n_messages;
	out->turn.question = list[at - 1].content;
	out->turn.question_parts = list[at - 1].parts;
}

static bool read_messages(struct request *r, struct chat_request *out, struct json_complaint *c)
{
	const struct json *list = json_get(r->body, "messages");
	size_t n = json_len(list);
	struct llm_message *messages;

	if (json_kind(list) != JSON_ARRAY || n < 1 || n > CHAT_MAX_MESSAGES)
		return json_complain(c, "messages", "messages must be a list of 1 to %d messages.", (int)CHAT_MAX_MESSAGES);
	messages = arena_alloc(&r->question, n * sizeof(*messages));
	for (size_t i = 0; i < n; i++)
		if (!read_message(r, json_at(list, i), i, &messages[i], c))
			return false;
	out->turn.messages = messages;
	out->turn.n_messages = n;
	find_question(out);
	return true;
}

/* ---- the rest ---- */

static bool read_stream(const struct json *body, struct chat_request *out, struct json_complaint *c)
{
	const struct json *options = json_get(body, "stream_options");

	if (!json_read_bool(body, "stream", &out->stream, c))
		return false;
	if (options && json_kind(options) != JSON_OBJECT)
		return json_complain(c, "stream_options", "stream_options must be an object.");
	if (!json_read_bool(options, "include_usage", &out->include_usage, c))
		return json_complain(c, "stream_options", "stream_options.include_usage must be true or false.");
	return true;
}

static bool read_limits(const struct json *body, struct chat_request *out, struct json_complaint *c)
{
	double temperature = -1;
	int64_t n = 1, max_tokens = 0, max_completion_tokens = 0;

	if (!json_read_number(body, "temperature", false, 0, 2, &temperature, c) ||
	    !json_read_int(body, "max_tokens", false, 1, MAX_TOKENS, &max_tokens, c) ||
	    !json_read_int(body, "max_completion_tokens", false, 1, MAX_TOKENS, &max_completion_tokens, c))
		return false;
	if (!json_read_int(body, "n", false, 1, 1, &n, c))
		return json_complain(c, "n", "n must be 1: a question gets one answer.");
	out->turn.has_temperature = temperature >= 0;
	out->turn.temperature = temperature;
	out->turn.limits_completion = max_completion_tokens > 0;
	out->turn.max_tokens = max_completion_tokens ? max_completion_tokens : max_tokens;
	return true;
}

static bool read_chat_id(struct request *r, struct chat_request *out, struct json_complaint *c)
{
	out->turn.chat_id = str_trim(request_param(r, "HTTP_X_CHAT_ID"));
	if (out->turn.chat_id.len > CHAT_MAX_NAME || !chat_name_valid(out->turn.chat_id))
		return json_complain(c, CHAT_ID_HEADER,
				     CHAT_ID_HEADER " may have letters, digits, '.', '_', ':' and '-' only, at most %d of them.",
				     (int)CHAT_MAX_NAME);
	return true;
}

bool v1_request_read(struct request *r, struct chat_request *out, struct json_complaint *c)
{
	static const char *const own[] = {
		"model", "messages", "stream", "stream_options", "temperature", "max_tokens", "max_completion_tokens", "n", NULL};

	*out = (struct chat_request){0};
	if (!json_read_str(r->body, "model", true, 1, 64, &out->agent_id, c) || !read_messages(r, out, c) ||
	    !read_stream(r->body, out, c) || !read_limits(r->body, out, c) || !read_chat_id(r, out, c))
		return false;
	out->turn.extra = pass_on(r, r->body, own);
	out->turn.plain = !out->stream;
	out->turn.request_id = r->request_id;
	return true;
}
