/* The client's side of HTTP/1.1: one answer, taken apart as its bytes come; bodies by length, in chunks or up to the close.
 * Pieces of the body are handed on where they lie, nothing is copied. */
#pragma once
#include "base/buf.h"

enum { HTTP_MAX_HEAD = 16384, HTTP_COOKIE_SIZE = 256 };

struct http {
	enum {
		HTTP_HEAD,
		HTTP_BODY,        /* `left` more bytes */
		HTTP_UNTIL_CLOSE, /* neither length nor chunks */
		HTTP_SIZE,        /* the line with a chunk's size */
		HTTP_CHUNK,       /* `left` more bytes of a chunk */
		HTTP_CHUNK_END,   /* the empty line behind it */
		HTTP_TRAILER,     /* after the last chunk, up to an empty line */
		HTTP_DONE,
		HTTP_BROKEN, /* `why` says how */
	} state;
	int status;
	bool keep_alive;
	uint64_t left;
	unsigned n_in_line;            /* bytes of the current line of HTTP_SIZE, HTTP_CHUNK_END or HTTP_TRAILER */
	const char *why;               /* a literal */
	char cookie[HTTP_COOKIE_SIZE]; /* name=value of llmchat_anon, if the answer sets it */
	struct buf head;               /* owned; kept for the next answer */
};

/* Readies for the next answer on the same or another connection; the memory is kept. */
void http_begin(struct http *http);
void http_fini(struct http *http);
/* Takes n bytes; on_body gets each piece of the body. Returns how many were used: fewer than n once the answer is over or broken. */
size_t http_feed(struct http *http, const char *p, size_t n, void (*on_body)(void *arg, struct str piece), void *arg);
/* The connection has ended: state is HTTP_DONE if the answer was complete with that, else HTTP_BROKEN. */
void http_eof(struct http *http);
