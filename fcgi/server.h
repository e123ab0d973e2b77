/* The FastCGI server of one responder: listens on the descriptor that spawn-fcgi left (0), accepts, counts, drains. */
#pragma once
#include "fcgi/conn.h"

struct server {
	struct loop *loop; /* borrowed */
	struct fcgi_handler handler;
	size_t max_body_bytes;     /* of one request */
	size_t max_buffered_bytes; /* of all request bodies together */
	/* the server's own: */
	int listen_fd;
	struct watch watch;
	struct timer tick, pause;
	struct list conns;
	size_t n_conns;
	size_t n_buffered_bytes;
	bool draining, listening;
};

/* Takes listen_fd, which must be a listening socket; server_accept follows when there is something to serve with. loop, handler
 * and the limits are set by the caller. Returns 0, or -1 if listen_fd is no listening socket. */
MUST_CHECK int server_open(struct server *s, int listen_fd);
/* Starts accepting. Until then connections wait in the socket's backlog. */
void server_accept(struct server *s);
/* Closes everything at once. */
void server_close(struct server *s);
/* Serves on until no connection is left (s->n_conns). Idle connections are left to nginx, which lets go of them after its
 * keepalive_timeout: closing one just answered on loses requests that are already on their way. */
void server_drain(struct server *s);
/* Connections on which a request is under way or an answer not yet sent. */
size_t server_n_busy(const struct server *s);

/* For fcgi/conn.c. */
void server_remember(struct server *s, struct list *conn_node);
void server_forget(struct server *s, struct list *conn_node);
void server_count_buffered(struct server *s, size_t before_bytes, size_t after_bytes);
bool server_over_budget(const struct server *s);
