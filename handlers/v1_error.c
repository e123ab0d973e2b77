/* Errors in OpenAI's words: where they have one of their own it is used, else ours in small letters. */
#include "handlers/v1_error.h"

#include "base/err.h"
#include "base/json.h"

/* What a client program looks at is more than its status. */
static const struct own {
	int err;
	const char *code, *sentence, *field; /* the last two NULL: ours, none */
} owns[] = {
	{ERR_AUTH_REQUIRED, "invalid_api_key", "There is no API key: the Authorization header must be \"Bearer\", a blank and the key.",
	 NULL},
	{ERR_TOKEN_INVALID, "invalid_api_key", NULL, NULL},
	{ERR_TOKEN_EXPIRED, "invalid_api_key", NULL, NULL},
	{ERR_AGENT_NOT_FOUND, "model_not_found", "There is no such model: no active agent has this id.", "model"},
};

static const struct own *own_of(int err)
{
	for (size_t i = 0; i < N_ELEMENTS(owns); i++)
		if (err_info(err) == err_info(owns[i].err))
			return &owns[i];
	return NULL;
}

static const char *type_of(int status)
{
	if (status >= 500)
		return "server_error";
	if (status == 429)
		return "rate_limit_error";
	return status == 403 ? "permission_error" : "invalid_request_error";
}

static void put_small(struct json_writer *w, const char *code)
{
	char small[64];
	size_t n = 0;

	for (; n < sizeof(small) && code[n]; n++)
		small[n] = code[n] >= 'A' && code[n] <= 'Z' ? (char)(code[n] | 0x20) : code[n];
	json_put_str(w, (struct str){small, n});
}

void v1_put_error(struct buf *out, int err, const char *field, const char *sentence)
{
	const struct err_info *info = err_info(err);
	const struct own *own = own_of(err);
	struct json_writer w = {.out = out};
	bool general = !sentence || sentence == info->sentence;

	json_open(&w, '{');
	json_key(&w, "error");
	json_open(&w, '{');
	json_add_cstr(&w, "message", !general ? sentence : own && own->sentence ? own->sentence : info->sentence);
	json_add_cstr(&w, "type", type_of(info->status));
	json_add_cstr(&w, "param", field ? field : own ? own->field : NULL);
	json_key(&w, "code");
	put_small(&w, own ? own->code : info->code);
	json_close(&w, '}');
	json_close(&w, '}');
}

/* Nobody waits longer within a request: a client that tried again would only be refused again. */
enum { MAX_PATIENCE_S = 3600 };

void v1_put_error_headers(struct buf *out, int err, int retry_after_s)
{
	if (retry_after_s >= 0)
		buf_printf(out, "Retry-After-Ms: %lld\r\n", (long long)retry_after_s * 1000);
	buf_printf(out, "X-Should-Retry: %s\r\n", err_retryable(err) && retry_after_s <= MAX_PATIENCE_S ? "true" : "false");
}
