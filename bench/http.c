/* The parser of answers. It trusts nobody: what is not HTTP/1.1 as nginx and the stand-in provider speak it is broken. */
#include "bench/http.h"

#include <stdio.h>

enum { MAX_LINE = 1024 };

void http_begin(struct http *http)
{
	struct buf head = http->head;

	head.len = 0;
	*http = (struct http){.head = head};
}

void http_fini(struct http *http)
{
	buf_fini(&http->head);
}

static void broken(struct http *http, const char *why)
{
	http->state = HTTP_BROKEN;
	http->why = why;
}

static void take_cookie(struct http *http, struct str value)
{
	struct str pair = str_trim(str_cut(&value, ';'));

	if (str_starts(pair, STR("llmchat_anon=")) && pair.len < sizeof(http->cookie))
		snprintf(http->cookie, sizeof(http->cookie), "%.*s", STR_ARG(pair));
}

static bool take_header(struct http *http, struct str line, bool *chunked, bool *has_length)
{
	struct str value = line, name = str_cut(&value, ':');
	int64_t length;

	value = str_trim(value);
	if (str_eq_nocase(name, STR("Content-Length"))) {
		if (!str_to_i64(value, &length) || length < 0)
			return false;
		*has_length = true;
		http->left = (uint64_t)length;
	} else if (str_eq_nocase(name, STR("Transfer-Encoding"))) {
		*chunked = str_eq_nocase(value, STR("chunked"));
		return *chunked;
	} else if (str_eq_nocase(name, STR("Connection"))) {
		http->keep_alive = !str_eq_nocase(value, STR("close"));
	} else if (str_eq_nocase(name, STR("Set-Cookie"))) {
		take_cookie(http, value);
	}
	return true;
}

/* "HTTP/1.1 200 OK": the only version that is spoken here. */
static bool take_status_line(struct http *http, struct str line)
{
	int64_t status;

	if (!str_starts(line, STR("HTTP/1.1 ")) || line.len < 12 || !str_to_i64((struct str){line.p + 9, 3}, &status) || status < 100 ||
	    status > 599)
		return false;
	http->status = (int)status;
	http->keep_alive = true;
	return true;
}

static void take_head(struct http *http, struct str head)
{
	bool chunked = false, has_length = false, first = true;
	struct str line;

	while (head.len > 0) {
		line = str_cut(&head, '\n');
		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		if (line.len == 0)
			continue;
		if (!(first ? take_status_line(http, line) : take_header(http, line, &chunked, &has_length))) {
			broken(http, first ? "no HTTP/1.1 status line" : "a malformed header");
			return;
		}
		first = false;
	}
	if (http->status == 204 || http->status == 304 || (has_length && http->left == 0))
		http->state = HTTP_DONE;
	else if (chunked)
		http->state = HTTP_SIZE;
	else
		http->state = has_length ? HTTP_BODY : HTTP_UNTIL_CLOSE;
	if (http->state == HTTP_UNTIL_CLOSE)
		http->keep_alive = false;
	if (chunked)
		http->left = 0;
}

/* Returns how many of the n bytes belong to the head. */
static size_t feed_head(struct http *http, const char *p, size_t n)
{
	size_t before = http->head.len, from = before > 3 ? before - 3 : 0, end;
	const char *found;

	buf_add(&http->head, p, n);
	found = memmem(http->head.p + from, http->head.len - from, "\r\n\r\n", 4);
	if (!found) {
		if (http->head.len > HTTP_MAX_HEAD)
			broken(http, "a head without end");
		return n;
	}
	end = (size_t)(found - http->head.p) + 4;
	take_head(http, (struct str){http->head.p, end});
	return end - before;
}

static bool hex_digit(char c, unsigned *out)
{
	if (c >= '0' && c <= '9')
		*out = (unsigned)(c - '0');
	else if ((c | 32) >= 'a' && (c | 32) <= 'f')
		*out = (unsigned)((c | 32) - 'a') + 10;
	else
		return false;
	return true;
}

/* Everything between the data of chunks, a byte at a time: it is short, and may be cut anywhere. */
static void feed_between(struct http *http, char c)
{
	unsigned digit;

	if (http->state == HTTP_SIZE) {
		if (c == '\n') {
			if (http->n_in_line == 0)
				broken(http, "a chunk without size");
			else
				http->state = http->left ? HTTP_CHUNK : HTTP_TRAILER;
			http->n_in_line = 0;
		} else if (c != '\r') {
			if (!hex_digit(c, &digit) || ++http->n_in_line > 8)
				broken(http, "a malformed size of a chunk");
			else
				http->left = http->left * 16 + digit;
		}
	} else if (http->state == HTTP_CHUNK_END) {
		if (c == '\n')
			http->state = HTTP_SIZE;
		else if (c != '\r')
			broken(http, "a chunk longer than its size");
	} else if (c == '\n') { /* the trailer */
		if (http->n_in_line == 0)
			http->state = HTTP_DONE;
		http->n_in_line = 0;
	} else if (c != '\r' && ++http->n_in_line > MAX_LINE) {
		broken(http, "a trailer without end");
	}
}

size_t http_feed(struct http *http, const char *p, size_t n, void (*on_body)(void *arg, struct str piece), void *arg)
{
	size_t used = 0, take;

	while (used < n && http->state != HTTP_DONE && http->state != HTTP_BROKEN) {
		switch (http->state) {
		case HTTP_HEAD: used += feed_head(http, p + used, n - used); break;
		case HTTP_BODY:
		case HTTP_CHUNK:
			take = n - used < http->left ? n - used : (size_t)http->left;
			on_body(arg, (struct str){p + used, take});
			used += take;
			http->left -= take;
			if (http->left == 0)
				http->state = http->state == HTTP_BODY ? HTTP_DONE : HTTP_CHUNK_END;
			break;
		case HTTP_UNTIL_CLOSE:
			on_body(arg, (struct str){p + used, n - used});
			used = n;
			break;
		default: feed_between(http, p[used++]); break;
		}
	}
	return used;
}

void http_eof(struct http *http)
{
	if (http->state == HTTP_UNTIL_CLOSE)
		http->state = HTTP_DONE;
	else if (http->state == HTTP_HEAD)
		broken(http, http->head.len ? "closed in the middle of the head" : "closed without an answer");
	else if (http->state != HTTP_DONE)
		broken(http, "closed in the middle of the body");
}
