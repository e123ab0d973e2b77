/* Reads the head of a request, and what it says about the body. */
#include "sim/http_head.h"

#include <string.h>
#include <strings.h>

#include "sim/http.h"

void http_fail(struct http_request *request, int status, const char *problem)
{
	request->state = HTTP_BAD;
	request->keep_alive = false;
	request->error_status = status;
	request->problem = problem;
}

bool http_read_size(const char *text, unsigned base, size_t *size)
{
	const char *at = text;
	size_t value = 0;

	for (; *at && !strchr("; \t", *at); at++) {
		char c = (char)(*at | 32);
		unsigned digit = *at >= '0' && *at <= '9' ? (unsigned)(*at - '0') : 99;

		if (base == 16 && c >= 'a' && c <= 'f')
			digit = (unsigned)(c - 'a') + 10;
		if (digit >= base)
			return false;
		if (value <= HTTP_MAX_BODY_BYTES)
			value = value * base + digit;
	}
	*size = value;
	return at != text;
}

/* What decides about the body, gathered over all headers. */
struct framing {
	bool has_length;
	bool chunked;
	size_t length;
};

static void read_header(struct http_request *request, struct framing *framing, const char *name, const char *value)
{
	size_t length;

	if (strcasecmp(name, "content-length") == 0) {
		if (strpbrk(value, "; \t") || !http_read_size(value, 10, &length) || (framing->has_length && framing->length != length)) {
			http_fail(request, 400, "The Content-Length is not valid.");
			return;
		}
		framing->has_length = true;
		framing->length = length;
	} else if (strcasecmp(name, "transfer-encoding") == 0) {
		if (strcasecmp(value, "chunked") != 0 || framing->chunked)
			http_fail(request, 501, "The only Transfer-Encoding known here is chunked.");
		framing->chunked = true;
	} else if (strcasecmp(name, "connection") == 0) {
		if (strcasestr(value, "close"))
			request->keep_alive = false;
		else if (strcasestr(value, "keep-alive"))
			request->keep_alive = true;
	} else if (strcasecmp(name, "expect") == 0) {
		request->wants_continue = !request->is_1_0 && strcasecmp(value, "100-continue") == 0;
	} else if (strcasecmp(name, "authorization") == 0) {
		request->authorization = value;
	} else if (strcasecmp(name, "x-request-id") == 0) {
		request->x_request_id = value;
	} else if (strcasecmp(name, "x-api-key") == 0) {
		request->x_api_key = value;
	} else if (strcasecmp(name, "anthropic-version") == 0) {
		request->anthropic_version = value;
	}
}

/* Cuts `METHOD /path HTTP/1.1` into its pieces, in place. */
static void read_request_line(struct http_request *request, char *line)
{
	char *path = strchr(line, ' ');
	char *version = path ? strchr(path + 1, ' ') : NULL;

	if (!version || path == line || path[1] != '/') {
		http_fail(request, 400, "The request line is not valid.");
		return;
	}
	*path++ = '\0';
	*version++ = '\0';
	if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0) {
		http_fail(request, 400, "Only HTTP/1.1 and HTTP/1.0 are spoken here.");
		return;
	}
	path[strcspn(path, "?#")] = '\0';
	request->method = line;
	request->path = path;
	request->is_1_0 = version[7] == '0';
	request->keep_alive = !request->is_1_0;
}

static void read_header_line(struct http_request *request, struct framing *framing, char *line)
{
	size_t name_len = strcspn(line, ":");
	char *value = line + name_len;
	size_t value_len;

	if (!name_len || !*value || strcspn(line, " \t") < name_len) {
		http_fail(request, 400, "A header is not valid.");
		return;
	}
	*value++ = '\0';
	value += strspn(value, " \t");
	value_len = strlen(value);
	while (value_len && (value[value_len - 1] == ' ' || value[value_len - 1] == '\t'))
		value[--value_len] = '\0';
	read_header(request, framing, line, value);
}

static void begin_body(struct http_request *request, const struct framing *framing)
{
	if (framing->chunked && framing->has_length) {
		http_fail(request, 400, "Content-Length and Transfer-Encoding exclude each other.");
	} else if (framing->has_length && framing->length > HTTP_MAX_BODY_BYTES) {
		http_fail(request, 413, "The request is larger than 16 MiB.");
	} else if (framing->chunked) {
		request->state = HTTP_CHUNK_SIZE;
	} else {
		request->body_left = framing->length;
		request->state = framing->length ? HTTP_BODY : HTTP_DONE;
		request->wants_continue = request->wants_continue && framing->length;
	}
}

void http_read_head(struct http_request *request)
{
	struct framing framing = {0};
	char *line = request->head.data;
	char *end = line + request->head.len;
	bool is_first = true;

	if (memchr(line, '\0', request->head.len)) {
		http_fail(request, 400, "A header is not valid.");
		return;
	}
	while (line < end && request->state != HTTP_BAD) {
		char *newline = memchr(line, '\n', (size_t)(end - line));
		size_t len = (size_t)(newline - line);

		if (len && line[len - 1] == '\r')
			line[len - 1] = '\0';
		*newline = '\0';
		if (is_first)
			read_request_line(request, line);
		else if (*line)
			read_header_line(request, &framing, line);
		is_first = false;
		line = newline + 1;
	}
	if (request->state != HTTP_BAD)
		begin_body(request, &framing);
}
