/* One HTTP request: what the client asked, who it is, where its flow stands, and how it is answered. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/uuid.h"
#include "cache/cache.h"
#include "cache/ratelimit.h"
#include "chat/answer.h"
#include "db/query.h"
#include "handlers/app.h"
#include "handlers/face.h"
#include "handlers/flow.h"

struct fcgi_request;
struct password_job;
struct person;
struct reservation;
struct route;
struct turn;

enum { REQUEST_ID_SIZE = 129, REQUEST_MAX_PATH_PARAMS = 2 };

/* Large things that steps wait for, and that a request which only reads an answer has no use for. */
struct request_waits {
	struct request *request;
	struct query query;
	struct ratelimit_check count;
};

struct request {
	struct app *app;           /* borrowed */
	struct fcgi_request *fcgi; /* borrowed; NULL once it is answered or the client has left */
	struct arena arena;        /* whatever lives as long as the request */
	struct arena question;     /* what is needed until there is an answer to read: gone by then */
	const struct route *route; /* NULL if there is none */
	enum face face;            /* the path's */
	bool https, cors_allowed;  /* of what the headers of an answer depend on when the parameters are gone */
	struct log_ctx log;
	char request_id[REQUEST_ID_SIZE];
	struct str method, path, query_string;           /* parameters of fcgi's; empty once the question is gone */
	struct str path_params[REQUEST_MAX_PATH_PARAMS]; /* in arena, decoded */
	uint64_t began_us;
	uint64_t not_ours_us; /* time that was the provider's, for X-LLMChat-Overhead-Us */
	/* who */
	struct person *person; /* owned reference; NULL: nobody who has logged in */
	struct uuid user_id;   /* the owner of what is read and written; empty text if nobody */
	bool anonymous, new_cookie;
	bool claims_identity; /* there is a token or a key, be it right or not */
	bool identity_due;    /* who asks has not been counted yet: nobody knew him */
	bool counted;         /* there is a verdict in limit */
	struct ratelimit_verdict limit; /* of what was counted last */
	struct ratelimit_verdict turn_requests, turn_tokens; /* of a turn's limits, the nearest to its end; limit 0: there is none */
	const struct ratelimit_verdict *reached;             /* which of them it is refused by; NULL: none */
	struct reservation *reservation; /* owned, until the turn takes it; NULL: nothing limits the turn */
	/* the flow (handlers/flow.c) */
	const struct step *step, *then; /* then: the route's, while those before them run */
	bool waiting, over;
	struct defer resume; /* runs the flow on, or frees the request once it is over */
	uint64_t step_began_us;
	/* what steps wait for: one of these at a time */
	struct request_waits *waits;   /* in question; NULL once that is gone */
	struct query *query;           /* of waits; its op.done wakes the flow */
	struct password_job *password; /* in arena; NULL: none is wanted */
	struct cache_ask cached;       /* handlers/cached.h; what it has is kept until the request is over */
	struct cache_drop drop;
	struct timer timer;
	struct turn *turn; /* borrowed while reader is joined */
	struct reader reader;
	/* what steps leave for the next ones */
	struct json *body; /* freed with the request */
	struct json_parser parser;
	void *state; /* the route's own, in arena */
	/* the answer */
	const char *more_head; /* the route's own header lines, each with its CRLF, in arena; NULL: none */
	bool headers_sent, ping_due;
	int status; /* what was answered, for the log */
};

/* Begins a request that came over FastCGI. */
void request_begin(struct app *app, struct fcgi_request *fcgi);
/* What was asked has been passed on: from here on an answer is read, which may take long. Parameters are gone, and there are no more queries. */
void request_end_question(struct request *r);
/* The client has left: whatever the request waits for is cancelled. */
void request_client_left(struct request *r);
/* The socket has taken all that was sent. */
void request_writable(struct request *r);

/* A request header as FastCGI parameter, e.g. HTTP_COOKIE; empty if there is none. */
struct str request_param(const struct request *r, const char *name);
/* The client's address, as nginx vouches for it. */
struct str request_address(const struct request *r);
/* A cookie's value; empty if there is none. */
struct str request_cookie(const struct request *r, const char *name);
/* %XX and, if wanted, + decoded, in the arena. */
struct str request_decode(struct request *r, struct str s, bool plus_is_blank);
/* Is it UTF-8 without NUL, as the database takes it? What comes in a path or a query string may be anything. */
bool request_text_valid(struct str s);
/* A decoded parameter of the query string, in the request's arena; false if it is not there. */
bool request_query(struct request *r, const char *name, struct str *out);
/* The same as a whole number. False, and the request is refused, if it is out of bounds. */
MUST_CHECK bool request_query_int(struct request *r, const char *name, int64_t min, int64_t max, int64_t *out);

/* Milliseconds until REQUEST_TIMEOUT has passed since it came. */
uint64_t request_left_ms(const struct request *r);

/* A job of base/password whose end wakes the flow; it is cancelled with the request. */
struct password_job *request_password_job(struct request *r);

/* Answers. Each sends the whole answer and ends the request; use them as `return request_…(…);` in a step. */

/* Refuses with the error's own sentence. */
enum flow_next request_reject(struct request *r, int err);
/* Refuses with a sentence of its own, and a field if it is not NULL. */
enum flow_next request_reject_because(struct request *r, int err, const char *field, const char *fmt, ...) PRINTF_LIKE(4, 5);
enum flow_next request_reject_field(struct request *r, const struct json_complaint *complaint);
/* Refuses with a sentence and details, a JSON object. */
enum flow_next request_reject_details(struct request *r, int err, const char *sentence, struct str details);
/* Refuses and asks to come back later. */
enum flow_next request_reject_later(struct request *r, int err, int retry_after_s);
/* A limit is reached: the same with RATE_LIMIT_EXCEEDED and a sentence of its own. */
enum flow_next request_reject_limit(struct request *r, int retry_after_s, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Success in the envelope; data and pagination are JSON, pagination may be empty. */
enum flow_next request_reply(struct request *r, struct str data, struct str pagination);
/* The same for something that was made: status 201. */
enum flow_next request_reply_created(struct request *r, struct str data);
/* No body: status 204 and header lines (each with its CRLF). */
enum flow_next request_reply_empty(struct request *r, const char *headers);
/* JSON without the envelope. */
enum flow_next request_reply_bare(struct request *r, int status, struct str json);

/* An event stream: the headers once, then bytes; request_end_stream ends it. Send only while request_can_send. */
void request_begin_stream(struct request *r);
/* The same for a file. headers: further lines, each with its CRLF. */
void request_begin_download(struct request *r, const char *content_type, const char *headers);
void request_send(struct request *r, struct str bytes);
bool request_can_send(const struct request *r);
enum flow_next request_end_stream(struct request *r);
/* After the headers something failed: the connection is broken, which is all that can still be said. */
enum flow_next request_break_off(struct request *r, int err);
