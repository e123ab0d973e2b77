/* One client's connection: requests in, one at a time, bytes out, keep-alive. What to answer is route.c's matter. */
#ifndef SIM_CONN_H
#define SIM_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "sim/buf.h"
#include "sim/http.h"

struct play;
struct sim;

struct conn {
	uv_tcp_t tcp;
	uv_timer_t alarm;
	struct sim *sim;   /* borrowed */
	struct conn *next; /* in sim->conns */
	struct conn *prev;
	int n_handles; /* not yet closed */

	struct http_request request;
	struct buf waiting; /* input that came while a request was being answered; owned */
	struct play *play;  /* the completions request being answered; owned; NULL for any other */
	int n_writes;       /* not yet taken by the socket */
	bool busy;          /* a request is being answered */
	bool eating;        /* input is being read further up the stack */
	bool paused;        /* reading is stopped: too much is waiting */
	bool lingering;     /* our side is closed; input is thrown away until the client closes */
	bool closing;
};

/* Takes a connection that waits at the listener. */
void conn_accept(struct sim *sim, uv_stream_t *listener);

/* Sends bytes; they may be reused at once. Whatever the socket does not take now is copied, and once it has
 * been taken play_on_written() is called, or the request is over if there is no play.
 * If the client is gone the connection closes: look at conn->closing afterwards. */
void conn_send(struct conn *conn, const char *data, size_t len);

/* The same, but always by way of the loop: n_writes is not 0 afterwards, and others have their turn first. */
void conn_send_later(struct conn *conn, const char *data, size_t len);

/* Calls play_on_alarm() after delay_ms. */
void conn_alarm(struct conn *conn, uint64_t delay_ms);

/* The request has been answered and all of it is sent: on to the next one, or the end of the connection. */
void conn_done(struct conn *conn);

/* Closes at once. conn and its play live until the loop has closed their handles. */
void conn_close(struct conn *conn);

#endif
