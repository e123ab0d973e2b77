/* One FastCGI connection: receives a request, hands it to the handler, sends the answer without ever waiting for the socket,
 * notices a peer that leaves, and serves the next request on the same connection. Requests are not multiplexed. */
#pragma once
#include "base/arena.h"
#include "base/list.h"
#include "base/loop.h"
#include "fcgi/record.h"
#include "fcgi/request.h"

struct fcgi_request;
struct server;

/* What becomes of requests; every call comes from the loop. */
struct fcgi_handler {
	/* A whole request is there. */
	void (*on_request)(void *arg, struct fcgi_request *r);
	/* Everything handed to fcgi_send has been taken by the socket; comes only after fcgi_unsent() was above 0. */
	void (*on_writable)(void *arg, struct fcgi_request *r);
	/* The client left before fcgi_finish; r is gone when this returns. */
	void (*on_left)(void *arg, struct fcgi_request *r);
	void *arg;
};

/* A request as the handler sees it; lives from on_request until fcgi_finish or on_left. */
struct fcgi_request {
	struct params params;    /* in arena, until fcgi_drop_params */
	struct str body;         /* until fcgi_drop_body */
	bool body_too_large;     /* more came than the server takes; body is empty */
	bool overloaded;         /* too much is buffered altogether; body is empty */
	uint64_t began_us;       /* clock_mono_us of its first byte */
	struct arena arena;      /* freed with the request */
	void *owner;             /* the handler's */
};

/* Sends bytes as STDOUT. What the socket does not take now is copied and sent later. */
void fcgi_send(struct fcgi_request *r, struct str bytes);
/* How many bytes wait for the socket. Whoever streams sends only at 0 and goes on in on_writable. */
size_t fcgi_unsent(const struct fcgi_request *r);
/* The body has been used; frees it early. */
void fcgi_drop_body(struct fcgi_request *r);
/* The same for the parameters: from here on there are none. */
void fcgi_drop_params(struct fcgi_request *r);
/* Sends the last bytes (may be empty) and END_REQUEST; r is gone. */
void fcgi_finish(struct fcgi_request *r, struct str bytes);
/* Closes the connection in the middle of the answer, so that nobody takes it for a whole one. on_left comes, before this returns. */
void fcgi_break_off(struct fcgi_request *r, const char *reason);

/* For fcgi/server.c: a connection begins with fd and ends by itself. */
struct conn;
void conn_open(struct server *server, int fd);
/* Closes what has been waited for too long; called about once a second for each connection. */
void conn_check_deadline(struct conn *c, uint64_t now_us);
/* Closes at once; a handler that still has the request is told that the client left. */
void conn_close(struct conn *c, const char *reason);
/* Closes if no request is under way and none has been since before_us. */
void conn_close_if_idle(struct conn *c, uint64_t before_us);
bool conn_is_busy(const struct conn *c);
struct conn *conn_of_node(struct list *node);
