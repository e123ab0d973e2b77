/* One row for each field; what the kinds do not say is in a function of its own. */
#include "chat/agent_fields.h"

#include <stddef.h>

#include "db/agents.h"
#include "net/http.h"

enum { MAX_FEATURES_BYTES = 16384, MAX_CAPABILITIES = 50, MAX_FALLBACKS = 10, MAX_KEY_CHARS = 1000 };

struct field {
	const char *name, *column;
	enum { TEXT, INT, NUMBER, BOOL, VALUE } kind;
	bool required;
	double min, max;
	const char *otherwise; /* JSON: what null means */
	size_t kept;           /* where the row has a text that may come back as it is, whatever is in it; 0: nothing */
	bool (*check)(const struct json *value, const struct agent_reading *how, struct json_complaint *c);
};

static bool is_one_of(struct str s, const char *const *words)
{
	for (; *words; words++)
		if (str_eq_cstr(s, *words))
			return true;
	return false;
}

static bool has_placeholder(struct str s)
{
	for (size_t i = 0; i + 1 < s.len; i++)
		if (s.p[i] == '$' && s.p[i + 1] == '{')
			return true;
	return false;
}

static bool check_name(const struct json *value, const struct agent_reading *how, struct json_complaint *c)
{
	(void)how;
	return str_trim(json_as_str(value)).len ? true : json_complain(c, "name", "name must not be blank.");
}

static bool check_provider(const struct json *value, const struct agent_reading *how, struct json_complaint *c)
{
	static const char *const words[] = {"openai", "anthropic", "dify", "fastgpt", "custom", NULL};

	(void)how;
	return is_one_of(json_as_str(value), words)
		       ? true
		       : json_complain(c, "provider", "provider must be openai, anthropic, dify, fastgpt or custom.");
}

/* Are these characters that stand in an address as they are, with nothing that some readers of addresses take for something else? */
static bool plain_address(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '\\')
			return false;
	return true;
}

/* Does a host come right after the scheme? libcurl would look for one behind more slashes. */
static bool has_host(struct str address)
{
	for (size_t i = 0; i + 2 < address.len; i++)
		if (address.p[i] == '/')
			return address.p[i + 1] == '/' && !strchr("/?#:", address.p[i + 2]);
	return false;
}

static bool names_somebody(struct str address)
{
	for (size_t i = 0, slashes = 0; i < address.len && slashes < 3; i++) {
		slashes += address.p[i] == '/';
		if (address.p[i] == '@')
			return true;
		if (address.p[i] == '?' || address.p[i] == '#')
			return false;
	}
	return false;
}

static bool check_endpoint(const struct json *value, const struct agent_reading *how, struct json_complaint *c)
{
	struct str s = json_as_str(value);

	if (has_placeholder(s))
		return how->source == AGENT_OF_FILE
			       ? true
			       : json_complain(c, "endpoint", "endpoint must not have ${...}: only config/agents.json may use variables.");
	if (!plain_address(s) || !has_host(s) || !http_url_valid(s.p))
		return json_complain(c, "endpoint", "endpoint must be an absolute address that begins with http:// or https://.");
	if (names_somebody(s))
		return json_complain(c, "endpoint", "endpoint must not hold a user name or a password: it can be read. Use apiKey.");
	return true;
}

static bool check_model(const struct json *value, const struct agent_reading *how, struct json_complaint *c)
{
	return how->source == AGENT_OF_FILE || !has_placeholder(json_as_str(value))
		       ? true
		       : json_complain(c, "model", "model must not have ${...}: only config/agents.json may use variables.");
}

static bool check_on_disconnect(const struct json *value, const struct agent_reading *how, struct json_complaint *c)
{
	static const char *const words[] = {"finish", "cancel", NULL};

	(void)how;
	return is_one_of(json_as_str(value), words) ? true : json_complain(c, "onDisconnect", "onDisconnect must be finish or cancel.");
}

static bool check_capabilities(const struct json *value, const struct agent_reading *how, struct json_complaint *c)
{
	(void)how;
	if (json_kind(value) != JSON_ARRAY || json_len(value) > MAX_CAPABILITIES)
		return json_complain(c, "capabilities", "capabilities must be a list of at most %d words.", (int)MAX_CAPABILITIES);
	for (size_t i = 0; i < json_len(value); i++) {
		struct str word = json_as_str(json_at(value, i));

		if (word.len == 0 || utf8_count(word) > 64)
			return json_complain(c, "capabilities", "capabilities[%zu] must be a text of 1 to 64 characters.", i);
	}
	return true;
}

static bool check_features(const struct json *value, const struct agent_reading *how, struct json_complaint *c)
{
	(void)how;
	if (json_kind(value) != JSON_OBJECT || json_text(value).len > MAX_FEATURES_BYTES)
		return json_complain(c, "features", "features must be an object of at most %d bytes.", (int)MAX_FEATURES_BYTES);
	return true;
}

/* Reads a number of an object, and complains about "object.number". */
static bool check_inner(const struct json *object, const char *of, const char *name, int64_t max, struct json_complaint *c)
{
	struct json_complaint inner;
	int64_t n;

	if (json_read_int(object, name, false, 1, max, &n, &inner))
		return true;
	return json_complain(c, of, "%s.%s", of, inner.sentence);
}

static bool check_timeouts(const struct json *value, const struct agent_reading *how, struct json_complaint *c)
{
	static const char *const names[] = {"connectMs", "headersMs", "firstTokenMs", "idleMs", "totalMs"};

	(void)how;
	if (json_kind(value) != JSON_OBJECT)
		return json_complain(c, "timeouts", "timeouts must be an object.");
	for (size_t i = 0; i < N_ELEMENTS(names); i++)
		if (!check_inner(value, "timeouts", names[i], 86400000, c))
			return false;
	return true;
}

static bool check_rate_limit(const struct json *value, const struct agent_reading *how, struct json_complaint *c)
{
	(void)how;
	if (json_kind(value) != JSON_OBJECT)
		return json_complain(c, "rateLimit", "rateLimit must be an object.");
	return check_inner(value, "rateLimit", "requestsPerMinute", 1000000, c) &&
	       check_inner(value, "rateLimit", "tokensPerMinute", 1000000000, c);
}

bool agent_id_valid(struct str id)
{
	return id.len > 0 && id.len <= 64 && str_only(id, STR(NAME_CHARS)) && !str_eq(id, STR(".")) && !str_eq(id, STR(".."));
}

static bool check_fallbacks(const struct json *value, const struct agent_reading *how, struct json_complaint *c)
{
	if (json_kind(value) != JSON_ARRAY || json_len(value) > MAX_FALLBACKS)
		return json_complain(c, "fallbacks", "fallbacks must be a list of at most %d ids of agents.", (int)MAX_FALLBACKS);
	for (size_t i = 0; i < json_len(value); i++) {
		struct str id = json_as_str(json_at(value, i));

		if (!agent_id_valid(id))
			return json_complain(c, "fallbacks", "fallbacks[%zu] must be the id of an agent.", i);
		if (str_eq(id, how->id))
			return json_complain(c, "fallbacks", "fallbacks[%zu] must be another agent, not this one.", i);
		for (size_t j = 0; j < i; j++)
			if (str_eq(id, json_as_str(json_at(value, j))))
				return json_complain(c, "fallbacks", "fallbacks[%zu] is there twice.", i);
	}
	return true;
}

/* clang-format off */
static const struct field fields[] = {
	/* name           column            kind    required min max      null          kept                                  check */
	{"name",          "name",           TEXT,   true,  1, 120,     NULL,         0,                                    check_name},
	{"description",   "description",    TEXT,   false, 0, 2000,    "\"\"",       0,                                    NULL},
	{"provider",      "provider",       TEXT,   true,  1, 32,      NULL,         0,                                    check_provider},
	{"endpoint",      "endpoint",       TEXT,   true,  1, 2000,    NULL,         offsetof(struct agent_row, endpoint), check_endpoint},
	{"model",         "model",          TEXT,   true,  1, 120,     NULL,         offsetof(struct agent_row, model),    check_model},
	{"appId",         "app_id",         TEXT,   false, 1, 128,     "null",       0,                                    NULL},
	{"systemPrompt",  "system_prompt",  TEXT,   false, 0, 100000,  "\"\"",       0,                                    NULL},
	{"temperature",   "temperature",    NUMBER, false, 0, 2,       "null",       0,                                    NULL},
	{"maxTokens",     "max_tokens",     INT,    false, 1, 32768,   "null",       0,                                    NULL},
	{"contextTokens", "context_tokens", INT,    false, 0, 2000000, "8000",       0,                                    NULL},
	{"maxConcurrent", "max_concurrent", INT,    false, 1, 100000,  "null",       0,                                    NULL},
	{"maxQueue",      "max_queue",      INT,    false, 0, 100000,  "null",       0,                                    NULL},
	{"onDisconnect",  "on_disconnect",  TEXT,   false, 1, 16,      "\"finish\"", 0,                                    check_on_disconnect},
	{"isActive",      "is_active",      BOOL,   false, 0, 0,       "true",       0,                                    NULL},
	{"capabilities",  "capabilities",   VALUE,  false, 0, 0,       "[]",         0,                                    check_capabilities},
	{"features",      "features",       VALUE,  false, 0, 0,       "{}",         0,                                    check_features},
	{"timeouts",      "timeouts",       VALUE,  false, 0, 0,       "{}",         0,                                    check_timeouts},
	{"rateLimit",     "rate_limit",     VALUE,  false, 0, 0,       "{}",         0,                                    check_rate_limit},
	{"fallbacks",     "fallbacks",      VALUE,  false, 0, 0,       "[]",         0,                                    check_fallbacks},
};
/* clang-format on */

/* Is the value of the field's kind, and within its bounds? Complaints are base/json's. */
static bool check_kind(const struct json *j, const struct field *f, struct json_complaint *c)
{
	struct str text;
	double number;
	int64_t n;
	bool yes;

	switch (f->kind) {
	case TEXT: return json_read_str(j, f->name, f->required, (size_t)f->min, (size_t)f->max, &text, c);
	case INT: return json_read_int(j, f->name, f->required, (int64_t)f->min, (int64_t)f->max, &n, c);
	case NUMBER: return json_read_number(j, f->name, f->required, f->min, f->max, &number, c);
	case BOOL: return json_read_bool(j, f->name, &yes, c);
	case VALUE: return true;
	}
	return false;
}

/* Is it what the row has already? A text of the file may have what may not be said here, and comes back from whoever read it. */
static bool is_kept(const struct field *f, const struct json *value, const struct agent_row *stored)
{
	return stored && f->kept && has_placeholder(json_as_str(value)) &&
	       str_eq(json_as_str(value), *(const struct str *)(const void *)((const char *)stored + f->kept));
}

static bool read_field(const struct json *j, const struct field *f, const struct agent_reading *how, struct json_writer *w,
		       struct json_complaint *c)
{
	const struct json *value = json_get(j, f->name);

	if ((!value && !json_has(j, f->name) && !(how->whole && f->required)) || is_kept(f, value, how->stored))
		return true;
	if (!value && f->required)
		return json_complain(c, f->name, "%s is required.", f->name);
	if (!check_kind(j, f, c) || (value && f->check && !f->check(value, how, c)))
		return false;
	json_key(w, f->column);
	json_put_raw(w, value ? json_text(value) : str_from(f->otherwise));
	return true;
}

const char *agent_key_problem(struct str api_key)
{
	if (api_key.len < 1 || api_key.len > MAX_KEY_CHARS)
		return "apiKey must have 1 to 1000 characters; null takes it away.";
	for (size_t i = 0; i < api_key.len; i++)
		if (api_key.p[i] <= ' ' || api_key.p[i] > '~')
			return "apiKey may have visible ASCII characters only, and no blanks.";
	return NULL;
}

static bool read_key(const struct json *j, enum agent_source source, struct agent_said *said, struct json_complaint *c)
{
	const struct json *value = json_get(j, "apiKey");
	const char *problem;

	said->has_key = json_has(j, "apiKey");
	if (!value)
		return true;
	if (json_kind(value) != JSON_STRING)
		return json_complain(c, "apiKey", "apiKey must be a string.");
	said->api_key = json_as_str(value);
	if (source == AGENT_OF_FILE && (said->api_key.len == 0 || has_placeholder(said->api_key)))
		return true;
	problem = agent_key_problem(said->api_key);
	return problem ? json_complain(c, "apiKey", "%s", problem) : true;
}

bool agent_fields_read(const struct json *j, const struct agent_reading *reading, struct json_writer *w, struct agent_said *said,
		       struct json_complaint *c)
{
	struct agent_reading how = *reading;

	*said = (struct agent_said){.id = STR("")};
	if (json_kind(j) != JSON_OBJECT)
		return json_complain(c, "agents", "What is in agents must be objects.");
	if (!json_read_str(j, "id", false, 1, 64, &said->id, c))
		return false;
	if (said->id.len && !agent_id_valid(said->id))
		return json_complain(c, "id", "id may have letters, digits, '.', '_' and '-' only.");
	if (how.id.len == 0)
		how.id = said->id;
	for (size_t i = 0; i < N_ELEMENTS(fields); i++)
		if (!read_field(j, &fields[i], &how, w, c))
			return false;
	return read_key(j, how.source, said, c);
}
