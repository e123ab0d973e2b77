/* Cuts what comes in into head, body, chunks and trailers. */
#include "sim/http.h"

#include <string.h>

#include "sim/http_head.h"

/* Adds data to out, up to the end of a line. Returns how many bytes that took; *complete tells whether
 * the line has ended, and it is then in out with its end. */
static size_t take_line(struct buf *out, const char *data, size_t len, bool *complete)
{
	const char *newline = memchr(data, '\n', len);
	size_t used = newline ? (size_t)(newline - data) + 1 : len;

	buf_add(out, data, used);
	*complete = newline != NULL;
	return used;
}

/* Whether the last line in buf, which is complete, is empty. */
static bool ends_empty(const struct buf *buf)
{
	size_t len = buf->len - 1;

	if (len && buf->data[len - 1] == '\r')
		len--;
	return !len || buf->data[len - 1] == '\n';
}

static size_t feed_head(struct http_request *request, const char *data, size_t len)
{
	size_t room = HTTP_MAX_HEAD_BYTES - request->head.len;
	bool complete;
	size_t used = take_line(&request->head, data, len < room ? len : room, &complete);

	if (complete && ends_empty(&request->head)) {
		/* Empty lines before a request are to be passed over (RFC 9112, 2.2). */
		if (request->head.len <= 2)
			request->head.len = 0;
		else
			http_read_head(request);
	} else if (request->head.len == HTTP_MAX_HEAD_BYTES) {
		http_fail(request, 431, "The headers are larger than 64 KiB.");
	}
	return used;
}

static void read_chunk_size(struct http_request *request)
{
	size_t size;

	request->line.data[request->line.len - 1] = '\0';
	if (request->line.len > 1 && request->line.data[request->line.len - 2] == '\r')
		request->line.data[request->line.len - 2] = '\0';
	if (!http_read_size(request->line.data, 16, &size)) {
		http_fail(request, 400, "The size of a chunk is not valid.");
		return;
	}
	if (size > HTTP_MAX_BODY_BYTES - request->body.len) {
		http_fail(request, 413, "The request is larger than 16 MiB.");
		return;
	}
	request->body_left = size;
	request->state = size ? HTTP_CHUNK : HTTP_TRAILER;
}

/* Chunk sizes, the line ends after chunks, and trailers. */
static size_t feed_line(struct http_request *request, const char *data, size_t len)
{
	enum { MAX_LINE_BYTES = 4096 };
	bool complete;
	size_t used = take_line(&request->line, data, len < MAX_LINE_BYTES ? len : MAX_LINE_BYTES, &complete);

	if (request->state == HTTP_TRAILER)
		request->n_trailer_bytes += used;
	if (request->line.len > MAX_LINE_BYTES || request->n_trailer_bytes > HTTP_MAX_HEAD_BYTES) {
		http_fail(request, 431, "The trailers of the body are too large.");
		return used;
	}
	if (!complete)
		return used;
	if (request->state == HTTP_CHUNK_SIZE)
		read_chunk_size(request);
	else if (request->state == HTTP_TRAILER)
		request->state = ends_empty(&request->line) ? HTTP_DONE : HTTP_TRAILER;
	else if (ends_empty(&request->line))
		request->state = HTTP_CHUNK_SIZE;
	else
		http_fail(request, 400, "A chunk is longer than its size says.");
	request->line.len = 0;
	return used;
}

static size_t feed_body(struct http_request *request, const char *data, size_t len)
{
	size_t used = len < request->body_left ? len : request->body_left;

	buf_add(&request->body, data, used);
	request->body_left -= used;
	if (!request->body_left)
		request->state = request->state == HTTP_CHUNK ? HTTP_CHUNK_END : HTTP_DONE;
	return used;
}

size_t http_feed(struct http_request *request, const char *data, size_t len)
{
	size_t used = 0;

	while (used < len && request->state != HTTP_DONE && request->state != HTTP_BAD) {
		if (request->state == HTTP_HEAD)
			used += feed_head(request, data + used, len - used);
		else if (request->state == HTTP_BODY || request->state == HTTP_CHUNK)
			used += feed_body(request, data + used, len - used);
		else
			used += feed_line(request, data + used, len - used);
	}
	return used;
}

void http_reset(struct http_request *request)
{
	buf_fini(&request->head);
	buf_fini(&request->line);
	buf_fini(&request->body);
	*request = (struct http_request){0};
}
