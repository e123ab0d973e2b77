/* Requests as text. */
#include "bench/request.h"

#include "bench/options.h"

const struct wrong wrongs[] = {
	{.what = "an empty body", .body = "", .status = 400},
	{.what = "half an object", .body = "{\"agentId\":\"@a@\",\"messages\":[{\"role\":", .status = 400},
	{.what = "a list", .body = "[1,2,3]", .status = 400},
	{.what = "no agent", .body = "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", .status = 400},
	{.what = "an unknown agent",
	 .body = "{\"agentId\":\"nobody-@i@\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	 .status = 404},
	{.what = "no messages", .body = "{\"agentId\":\"@a@\"}", .status = 400},
	{.what = "an empty list of messages", .body = "{\"agentId\":\"@a@\",\"messages\":[]}", .status = 400},
	{.what = "a role nobody has", .body = "{\"agentId\":\"@a@\",\"messages\":[{\"role\":\"ghost\",\"content\":\"x\"}]}", .status = 400},
	{.what = "an empty question", .body = "{\"agentId\":\"@a@\",\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}", .status = 400},
	{.what = "the assistant asking",
	 .body = "{\"agentId\":\"@a@\",\"messages\":[{\"role\":\"assistant\",\"content\":\"x\"}]}",
	 .status = 400},
	{.what = "a temperature of 9",
	 .body = "{\"agentId\":\"@a@\",\"temperature\":9,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	 .status = 400},
	{.what = "stream as a text",
	 .body = "{\"agentId\":\"@a@\",\"stream\":\"yes\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	 .status = 400},
	{.what = "a chatId with blanks",
	 .body = "{\"agentId\":\"@a@\",\"chatId\":\"a b\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	 .status = 400},
	{.what = "broken UTF-8",
	 .body = "{\"agentId\":\"@a@\",\"messages\":[{\"role\":\"user\",\"content\":\"\xC3\x28\"}]}",
	 .status = 400},
	{.what = "a NUL", .body = "{\"agentId\":\"@a@\",\"messages\":[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]}", .status = 400},
	{.what = "100,000 brackets", .fill = '[', .n_fill = 100000, .status = 400},
	{.what = "500,000 zeros", .fill = '0', .n_fill = 500000, .status = 400},
	{.what = "a body of 11 MB", .claim_bytes = 11000000, .status = 413},
	{.what = "a text", .type = "text/plain", .body = "hello", .status = 415},
	{.what = "the wrong method", .method = "PUT", .body = "{}", .status = 405},
	{.what = "an unknown address", .path = "/api/chat/nowhere", .body = "{}", .status = 404},
	{.what = "another's session", .method = "GET", .path = "/api/chat/sessions/surely-not-mine-@i@/messages", .status = 404},
	{.what = "an address with a broken escape", .method = "GET", .path = "/api/chat/sessions/%zz/messages", .status = 400},
	{.what = "no HTTP at all", .raw = "HELO bench\r\n\r\n", .status = 400},
};
const size_t n_wrongs = N_ELEMENTS(wrongs);

static void expand(struct buf *out, const char *template, uint64_t i, const char *agent)
{
	struct str rest = str_from(template);

	while (rest.len > 0) {
		if (str_starts(rest, STR("@i@"))) {
			buf_printf(out, "%llu", (unsigned long long)i);
			rest = str_skip(rest, 3);
		} else if (str_starts(rest, STR("@a@"))) {
			buf_add_cstr(out, agent);
			rest = str_skip(rest, 3);
		} else {
			buf_add_char(out, rest.p[0]);
			rest = str_skip(rest, 1);
		}
	}
}

void request_add(struct buf *out, const struct options *o, uint64_t i, const char *cookie)
{
	static struct buf body; /* empty again before anybody else can run */

	body.len = 0;
	if (o->mode == MODE_GET) {
		struct str path = o->paths.n ? o->paths.line[i % o->paths.n] : str_from(o->path);

		buf_printf(out, "GET %.*s HTTP/1.1\r\nHost: 127.0.0.1\r\n", STR_ARG(path));
	} else {
		expand(&body, o->body, i, o->agent);
		buf_printf(out, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n", o->path,
			   body.len);
	}
	if (cookie[0])
		buf_printf(out, "Cookie: %s\r\n", cookie);
	if (o->bearers.n)
		buf_printf(out, "Authorization: Bearer %.*s\r\n", STR_ARG(o->bearers.line[i % o->bearers.n]));
	if (o->headers)
		buf_printf(out, "%s\r\n", o->headers);
	buf_add_str(out, STR("\r\n"));
	buf_add_str(out, buf_str(&body));
}

void request_add_wrong(struct buf *out, const struct options *o, uint64_t i, const struct wrong *wrong)
{
	static struct buf body;

	if (wrong->raw) {
		buf_add_cstr(out, wrong->raw);
		return;
	}
	body.len = 0;
	if (wrong->n_fill) {
		memset(buf_reserve(&body, wrong->n_fill), wrong->fill, wrong->n_fill);
		body.len = wrong->n_fill;
	} else if (wrong->body) {
		expand(&body, wrong->body, i, o->agent);
	}
	buf_printf(out, "%s ", wrong->method ? wrong->method : "POST");
	expand(out, wrong->path ? wrong->path : "/api/chat/completions", i, o->agent);
	buf_add_cstr(out, " HTTP/1.1\r\nHost: 127.0.0.1\r\n");
	if (wrong->body || wrong->n_fill || wrong->claim_bytes)
		buf_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", wrong->type ? wrong->type : "application/json",
			   wrong->claim_bytes ? wrong->claim_bytes : body.len);
	buf_add_str(out, STR("\r\n"));
	buf_add_str(out, buf_str(&body));
}
