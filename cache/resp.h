/* Redis' protocol, RESP2: commands are written, replies are read. The only place that knows hiredis, of which its reader is used.
 * Replies are flat: an array holds no arrays. Whatever else a peer sends is garbage. */
#pragma once
#include "base/buf.h"

enum { RESP_MAX_VALUES = 16, RESP_MAX_BYTES = 4 * 1024 * 1024 };

enum resp_type { RESP_NIL, RESP_STATUS, RESP_ERROR, RESP_INTEGER, RESP_STRING, RESP_ARRAY };

struct resp_value {
	enum resp_type type;
	int64_t integer;
	struct str text; /* of a status, error or string */
};

struct resp_reply {
	struct resp_value value;
	size_t n; /* of an array */
	struct resp_value values[RESP_MAX_VALUES];
};

/* Appends a command with its arguments; they are copied. */
void resp_put_command(struct buf *out, const struct str *args, size_t n);

struct resp;
struct resp *resp_new(void);
void resp_free(struct resp *resp); /* NULL is fine */
/* Takes bytes as they came. Returns 0, or -1 if the peer sends more than a reply may have. */
MUST_CHECK int resp_feed(struct resp *resp, const char *p, size_t n);
/* Returns 1 with a whole reply, borrowed until the next call; 0 if more bytes are wanted; -1 if it is no reply: then the connection
 * is of no more use. */
MUST_CHECK int resp_next(struct resp *resp, const struct resp_reply **reply);
/* The first word of an error, by convention its code; "?" if there is none that may be shown. */
struct str resp_error_code(const struct resp_reply *reply);
