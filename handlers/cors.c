/* Cross-origin requests (the Fetch standard). The origin is compared as a whole and never reflected unseen. */
#include "handlers/cors.h"

#include "base/conf.h"
#include "handlers/request.h"
#include "handlers/router.h"

enum { MAX_AGE_S = 600 };

/* FRONTEND_URL without a slash at its end, which people write there and browsers do not. */
static struct str allowed_origin(const struct conf *conf)
{
	struct str url = str_from(conf->frontend_url);

	if (url.len && url.p[url.len - 1] == '/')
		url.len--;
	return url;
}

bool cors_allows(const struct request *r)
{
	struct str origin = allowed_origin(r->app->conf);

	return origin.len && str_eq(request_param(r, "HTTP_ORIGIN"), origin);
}

void cors_put(const struct request *r, struct buf *out)
{
	struct str origin = allowed_origin(r->app->conf);

	if (origin.len == 0)
		return;
	buf_add_cstr(out, "Vary: Origin\r\n");
	if (r->cors_allowed)
		buf_printf(
			out,
			"Access-Control-Allow-Origin: %.*s\r\nAccess-Control-Allow-Credentials: true\r\n"
			"Access-Control-Expose-Headers: X-Request-Id, X-LLMChat-Overhead-Us, X-Chat-Id, Idempotent-Replayed, Retry-After, "
			"Retry-After-Ms, X-Should-Retry, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, "
			"X-RateLimit-Limit-Requests, X-RateLimit-Remaining-Requests, X-RateLimit-Reset-Requests, "
			"X-RateLimit-Limit-Tokens, X-RateLimit-Remaining-Tokens, X-RateLimit-Reset-Tokens\r\n",
			STR_ARG(origin));
}

static enum flow_next options_start(struct request *r)
{
	char extra[512], allow[256];
	int n;

	router_put_allow(r, allow, sizeof(allow));
	n = snprintf(extra, sizeof(extra), "%s", allow);
	if (r->cors_allowed && request_param(r, "HTTP_ACCESS_CONTROL_REQUEST_METHOD").len)
		snprintf(
			extra + n, sizeof(extra) - (size_t)n,
			"Access-Control-Allow-Methods: %.*s\r\nAccess-Control-Allow-Headers: Authorization, Content-Type, Idempotency-Key, "
			"Last-Event-ID, X-Chat-Id, X-Request-Id\r\nAccess-Control-Max-Age: %d\r\n",
			(int)(strlen(allow) - strlen("Allow: \r\n")), allow + strlen("Allow: "), (int)MAX_AGE_S);
	return request_reply_empty(r, extra);
}

const struct step cors_options_steps[] = {{"options", options_start, NULL}, {NULL, NULL, NULL}};
