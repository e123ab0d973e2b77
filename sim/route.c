/* Which answer a request gets: completions, the list of models, and the simulator's own pages under /sim. */
#include "sim/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/ask.h"
#include "sim/conn.h"
#include "sim/dialect.h"
#include "sim/play.h"
#include "sim/reply.h"
#include "sim/script.h"
#include "sim/sim.h"

enum { MAX_WHOLE_BYTES = 64 * 1024 * 1024 };

/* Anthropic's clients send the key in a header of its own. */
static bool is_authorized(const struct conn *conn, const struct dialect *dialect)
{
	const char *key = conn->sim->key;
	const char *given = conn->request.authorization;

	if (!key)
		return true;
	if (dialect == &dialect_anthropic)
		return conn->request.x_api_key && strcmp(conn->request.x_api_key, key) == 0;
	return given && strncasecmp(given, "Bearer ", 7) == 0 && strcmp(given + 7, key) == 0;
}

void last_request_fini(struct last_request *last)
{
	free(last->authorization);
	free(last->x_request_id);
	free(last->x_api_key);
	free(last->version);
	free(last->path);
	free(last->stop_path);
	buf_fini(&last->stop_body);
	buf_fini(&last->body);
	*last = (struct last_request){0};
}

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

/* Keeps the request for /sim/last; takes its body. */
static void remember(struct conn *conn, bool is_json)
{
	struct last_request *last = &conn->sim->last;
	struct http_request *request = &conn->request;

	last_request_fini(last);
	last->authorization = copy(request->authorization);
	last->x_request_id = copy(request->x_request_id);
	last->x_api_key = copy(request->x_api_key);
	last->version = copy(request->anthropic_version);
	last->path = copy(request->path);
	if (is_json) {
		last->body = request->body;
		request->body = (struct buf){0};
	}
}

/* Whether an answer that is not streamed would be too much to hold in memory. */
static bool is_too_long(const struct script *script, bool stream)
{
	long long n = (script->n_tokens > 0 ? script->n_tokens : 20) + (long long)script->n_reasoning;

	return !stream && n * (script->token_bytes ? script->token_bytes : 32) > MAX_WHOLE_BYTES;
}

/* Answers a question. model is that of the address, or NULL. */
static void on_question(struct conn *conn, const struct dialect *dialect, const char *model)
{
	struct ask ask;
	struct script script;
	char why[512];
	char message[1024];
	int err = ask_read(&ask, dialect, model, conn->request.body.data, conn->request.body.len);

	remember(conn, ask.is_json);
	if (!is_authorized(conn, dialect)) {
		play_refuse(conn, dialect, 401, NULL, NULL, NULL);
	} else if (dialect == &dialect_anthropic && !conn->request.anthropic_version) {
		play_refuse(conn, dialect, 400, "anthropic-version: header is required", NULL, NULL);
	} else if (err < 0) {
		play_refuse(conn, dialect, 400, ask.problem, ask.param, NULL);
	} else if (dialect == &dialect_dify && !dify_knows(conn->sim->n_answers, ask.conversation)) {
		play_refuse(conn, dialect, 404, "Conversation Not Exists.", NULL, "not_found");
	} else if (script_parse(&script, ask.model, why, sizeof(why)) < 0) {
		snprintf(message, sizeof(message), "The model '%.*s' does not exist: %s.", SCRIPT_NAME_MAX_BYTES,
			 strlen(ask.model) > SCRIPT_NAME_MAX_BYTES ? "..." : ask.model, why);
		play_refuse(conn, dialect, 404, message, "model", "model_not_found");
	} else if (is_too_long(&script, ask.stream)) {
		play_refuse(conn, dialect, 400, "An answer of this length must be streamed.", "stream", NULL);
	} else {
		if (script.every && ++conn->sim->n_odds % (unsigned)script.every)
			script_spare(&script);
		play_start(conn, &script, &ask);
	}
	ask_fini(&ask);
}

static void on_completions(struct conn *conn)
{
	on_question(conn, &dialect_openai, NULL);
}

static void on_messages(struct conn *conn)
{
	on_question(conn, &dialect_anthropic, NULL);
}

/* Dify's call that stops an answer: only noted, as whoever stops one leaves it too. */
static void on_stop(struct conn *conn)
{
	struct last_request *last = &conn->sim->last;
	struct buf json = {0};

	if (!is_authorized(conn, &dialect_dify)) {
		reply_error(conn, 401, NULL, NULL, NULL);
		return;
	}
	conn->sim->counters.stops++;
	free(last->stop_path);
	last->stop_path = copy(conn->request.path);
	buf_fini(&last->stop_body);
	last->stop_body = conn->request.body;
	conn->request.body = (struct buf){0};
	buf_puts(&json, "{\"result\":\"success\"}");
	reply_json(conn, 200, "", &json);
	buf_fini(&json);
}

static void on_models(struct conn *conn)
{
	static const char *const names[] = {"sim", "sim-zh", "sim-emoji", "sim-echo", "sim-n100-d20", "sim-n5-d0"};
	struct buf json = {0};

	if (!is_authorized(conn, &dialect_openai)) {
		reply_error(conn, 401, NULL, NULL, NULL);
		return;
	}
	buf_puts(&json, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		buf_printf(&json, "%s{\"id\":\"%s\",\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"sim\"}", i ? "," : "",
			   names[i]);
	buf_puts(&json, "]}");
	reply_json(conn, 200, "", &json);
	buf_fini(&json);
}

static void on_stats(struct conn *conn)
{
	const struct counters *counters = &conn->sim->counters;
	struct buf json = {0};

	buf_printf(&json,
		   "{\"requests\":%llu,\"completed\":%llu,\"open\":%llu,\"closed_by_client\":%llu,"
		   "\"errors\":%llu,\"tokens\":%llu,\"stops\":%llu}",
		   counters->requests, counters->completed, conn->sim->open, counters->closed_by_client, counters->errors, counters->tokens,
		   counters->stops);
	reply_json(conn, 200, "", &json);
	buf_fini(&json);
}

static void on_last(struct conn *conn)
{
	const struct last_request *last = &conn->sim->last;
	struct buf json = {0};

	buf_puts(&json, "{\"authorization\":");
	buf_puts_json(&json, last->authorization);
	buf_puts(&json, ",\"xRequestId\":");
	buf_puts_json(&json, last->x_request_id);
	buf_puts(&json, ",\"xApiKey\":");
	buf_puts_json(&json, last->x_api_key);
	buf_puts(&json, ",\"anthropicVersion\":");
	buf_puts_json(&json, last->version);
	buf_puts(&json, ",\"path\":");
	buf_puts_json(&json, last->path);
	buf_puts(&json, ",\"body\":");
	if (last->body.len)
		buf_add(&json, last->body.data, last->body.len);
	else
		buf_puts(&json, "null");
	buf_puts(&json, ",\"stopPath\":");
	buf_puts_json(&json, last->stop_path);
	buf_puts(&json, ",\"stopBody\":\"");
	if (last->stop_body.len)
		buf_add_json(&json, last->stop_body.data, last->stop_body.len);
	buf_puts(&json, "\"");
	buf_puts(&json, "}");
	reply_json(conn, 200, "", &json);
	buf_fini(&json);
}

static void on_reset(struct conn *conn)
{
	conn->sim->counters = (struct counters){0};
	conn->sim->epoch++;
	last_request_fini(&conn->sim->last);
	on_stats(conn);
}

struct route {
	const char *method;
	const char *path;
	void (*handle)(struct conn *conn);
};

static const struct route routes[] = {
	{"POST", "/v1/chat/completions", on_completions},
	{"POST", "/chat/completions", on_completions},
	{"POST", "/v1/messages", on_messages},
	{"GET", "/v1/models", on_models},
	{"GET", "/models", on_models},
	{"GET", "/sim/stats", on_stats},
	{"GET", "/sim/last", on_last},
	{"POST", "/sim/reset", on_reset},
};

/* Dify and FastGPT have no model in the body: an app is one. Here it stands in the address, as a part of its own:
 * /v1/sim-n5/chat-messages. Returns whether the path is such a one. */
static bool route_app(struct conn *conn)
{
	const char *path = conn->request.path, *at = strstr(path, "/sim-");
	char model[SCRIPT_NAME_MAX_BYTES + 2] = "sim";
	const struct dialect *dialect = NULL;
	size_t len;

	if (at) {
		len = strcspn(at + 1, "/");
		snprintf(model, sizeof(model), "%.*s", (int)len, at + 1);
		path = at + 1 + len;
	} else if (strncmp(path, "/v1/", 4) == 0) {
		path += 3;
	}
	len = strlen(path);
	if (strcmp(path, "/chat-messages") == 0)
		dialect = &dialect_dify;
	else if (strcmp(path, "/api/v1/chat/completions") == 0)
		dialect = &dialect_fastgpt;
	else if (strncmp(path, "/chat-messages/", 15) != 0 || len < 21 || strcmp(path + len - 5, "/stop") != 0)
		return false;
	if (strcmp(conn->request.method, "POST") != 0)
		reply_error(conn, 405, NULL, NULL, NULL);
	else if (dialect)
		on_question(conn, dialect, model);
	else
		on_stop(conn);
	return true;
}

void route_request(struct conn *conn)
{
	const struct route *found = NULL;

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]) && !found; i++)
		if (strcmp(routes[i].path, conn->request.path) == 0)
			found = &routes[i];
	if (!found && route_app(conn))
		return;
	if (!found)
		reply_error(conn, 404, "There is nothing at this address.", NULL, "not_found");
	else if (strcmp(found->method, conn->request.method) != 0)
		reply_error(conn, 405, NULL, NULL, NULL);
	else
		found->handle(conn);
}
