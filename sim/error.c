/* Errors as OpenAI shapes them: one table for reason phrase, type, code and message. */
#include "sim/error.h"

#include <stddef.h>

#include "sim/buf.h"

struct error {
	int status;
	const char *reason;
	const char *type;
	const char *code; /* NULL: null */
	const char *message;
};

static const struct error errors[] = {
    {400, "Bad Request", "invalid_request_error", NULL, "The request is not valid."},
    {401, "Unauthorized", "invalid_request_error", "invalid_api_key", "Incorrect API key provided."},
    {402, "Payment Required", "insufficient_quota", "insufficient_quota", "You exceeded your current quota."},
    {403, "Forbidden", "invalid_request_error", "forbidden", "You are not allowed to use this model."},
    {404, "Not Found", "invalid_request_error", "model_not_found", "The model does not exist."},
    {405, "Method Not Allowed", "invalid_request_error", "method_not_allowed", "Method not allowed."},
    {408, "Request Timeout", "timeout", NULL, "The request timed out."},
    {409, "Conflict", "invalid_request_error", NULL, "Conflict."},
    {413, "Content Too Large", "invalid_request_error", NULL, "The request is larger than 16 MiB."},
    {422, "Unprocessable Content", "invalid_request_error", NULL, "The request cannot be processed."},
    {429, "Too Many Requests", "requests", "rate_limit_exceeded", "Rate limit reached."},
    {431, "Request Header Fields Too Large", "invalid_request_error", NULL, "The headers are too large."},
    {500, "Internal Server Error", "server_error", NULL, "The server had an error."},
    {501, "Not Implemented", "server_error", NULL, "Not implemented."},
    {502, "Bad Gateway", "server_error", NULL, "Bad gateway."},
    {503, "Service Unavailable", "server_error", NULL, "The engine is currently overloaded."},
    {504, "Gateway Timeout", "server_error", NULL, "The gateway timed out."},
    {529, "Overloaded", "overloaded_error", NULL, "Overloaded."},
};

static const struct error any_client_error = {0, "Client Error", "invalid_request_error", NULL, "Refused."};
static const struct error any_server_error = {0, "Server Error", "server_error", NULL, "The server had an error."};

static const struct error *find(int status)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].status == status)
			return &errors[i];
	return status < 500 ? &any_client_error : &any_server_error;
}

void error_add(struct buf *out, int status, const char *message, const char *param, const char *code)
{
	const struct error *error = find(status);

	buf_puts(out, "{\"error\":{\"message\":");
	buf_puts_json(out, message ? message : error->message);
	buf_puts(out, ",\"type\":");
	buf_puts_json(out, error->type);
	buf_puts(out, ",\"param\":");
	buf_puts_json(out, param);
	buf_puts(out, ",\"code\":");
	buf_puts_json(out, code ? code : error->code);
	buf_puts(out, "}}");
}

const char *error_reason(int status)
{
	return status == 200 ? "OK" : find(status)->reason;
}
