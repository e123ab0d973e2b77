/* HTTP/1.1 requests, read piece by piece: head, then a body of known length or in chunks. No sockets here. */
#ifndef SIM_HTTP_H
#define SIM_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "sim/buf.h"

enum {
	HTTP_MAX_HEAD_BYTES = 64 * 1024,
	HTTP_MAX_BODY_BYTES = 16 * 1024 * 1024,
};

enum http_state {
	HTTP_HEAD,
	HTTP_BODY,       /* body_left bytes are to come */
	HTTP_CHUNK_SIZE, /* a line with the next chunk's size */
	HTTP_CHUNK,      /* body_left bytes of it are to come */
	HTTP_CHUNK_END,  /* the line's end after it */
	HTTP_TRAILER,    /* lines after the last chunk, up to an empty one */
	HTTP_DONE,
	HTTP_BAD,
};

struct http_request {
	enum http_state state;
	struct buf head; /* owned; cut into NUL-terminated pieces once it is complete */
	struct buf line; /* owned; a chunk's size or a trailer */
	struct buf body; /* owned */
	size_t body_left;
	size_t n_trailer_bytes;

	const char *method;        /* these are borrowed from head */
	const char *path;          /* without a query */
	const char *authorization; /* NULL if absent, like the next three */
	const char *x_request_id;
	const char *x_api_key;
	const char *anthropic_version;
	bool is_1_0;
	bool keep_alive;
	bool wants_continue; /* whoever sends the 100 clears it */

	int error_status; /* at HTTP_BAD, with a sentence */
	const char *problem;
};

/* Reads on from data. Returns how many bytes belong to this request: fewer than len only at
 * HTTP_DONE, when the rest is the next request's, and at HTTP_BAD. */
size_t http_feed(struct http_request *request, const char *data, size_t len);

/* Frees what the request holds and makes it ready for the next one. Needs zeroed memory at first. */
void http_reset(struct http_request *request);

#endif
