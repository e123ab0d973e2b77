/* The other end of an HTTP call: a socket on the loopback that the test plays by hand, in the same thread as the client, so that
 * every order of events can be made to happen. It answers with whatever bytes the test sends. */
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/resolver.h"
#include "tests/unit/support.h"

struct peer {
	int listen_fd, fd; /* fd: the newest connection, -1 if there is none */
	uint16_t port;
	char url[80];
	struct buf in; /* what the client has sent on it since the last request was taken */
	unsigned n_accepted;
	bool closed; /* by the client */
};

static inline void peer_open_on(struct peer *p, const char *host, int backlog)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	*p = (struct peer){.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), .fd = -1};
	assert_true(p->listen_fd >= 0);
	assert_int_equal(bind(p->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(p->listen_fd, backlog), 0);
	assert_int_equal(getsockname(p->listen_fd, (struct sockaddr *)&address, &len), 0);
	p->port = ntohs(address.sin_port);
	snprintf(p->url, sizeof(p->url), "http://%s:%u/v1/chat", host, p->port);
}

static inline void peer_open(struct peer *p)
{
	peer_open_on(p, "127.0.0.1", 64);
}

static inline void peer_hang_up(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

/* Ends the connection with a reset. */
static inline void peer_reset(struct peer *p)
{
	struct linger at_once = {.l_onoff = 1};

	setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	peer_hang_up(p);
}

static inline void peer_close(struct peer *p)
{
	peer_hang_up(p);
	if (p->listen_fd >= 0)
		close(p->listen_fd);
	p->listen_fd = -1;
	buf_fini(&p->in);
}

/* Takes a new connection, if there is one, and what has come. For conditions of TURN_UNTIL: always true. */
static inline bool peer_look(struct peer *p)
{
	int fd = accept4(p->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
	ssize_t n;

	if (fd >= 0) {
		peer_hang_up(p);
		p->fd = fd;
		p->n_accepted++;
		p->closed = false;
		p->in.len = 0;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	while (p->fd >= 0 && !p->closed && (n = recv(p->fd, buf_reserve(&p->in, 4096), 4096, MSG_DONTWAIT)) != -1) {
		if (n == 0)
			p->closed = true;
		else
			p->in.len += (size_t)n;
	}
	if (p->fd >= 0 && !p->closed && errno != EAGAIN)
		p->closed = true;
	return true;
}

/* Is a whole request there? */
static inline bool peer_has_request(struct peer *p)
{
	const char *end, *length;

	peer_look(p);
	buf_add_char(&p->in, '\0');
	p->in.len--;
	end = strstr(p->in.p, "\r\n\r\n");
	if (!end)
		return false;
	length = strcasestr(p->in.p, "\r\ncontent-length:");
	assert_non_null(length);
	return p->in.len >= (size_t)(end + 4 - p->in.p) + (size_t)atol(length + 17);
}

static inline bool peer_is_closed(struct peer *p)
{
	peer_look(p);
	return p->closed;
}

static inline void peer_send(struct peer *p, struct str bytes)
{
	uint64_t give_up_ms = real_ms() + PATIENCE_MS;

	while (bytes.len > 0) {
		ssize_t n = send(p->fd, bytes.p, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN)
			return; /* the client has closed: the test will see it */
		if (n > 0)
			bytes = str_skip(bytes, (size_t)n);
		assert_true(real_ms() < give_up_ms);
	}
}

/* The same for more than the sockets hold: the client's loop turns meanwhile. */
static inline void peer_send_much(struct peer *p, struct loop *loop, struct str bytes)
{
	while (bytes.len > 0 && !peer_is_closed(p)) {
		ssize_t n = send(p->fd, bytes.p, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			bytes = str_skip(bytes, (size_t)n);
		loop_turn(loop, false);
	}
}

/* In main: look-ups end in the order in which they began, so that one can wait for all before it. */
static inline void one_look_up_at_a_time(void)
{
	setenv("UV_THREADPOOL_SIZE", "1", 1);
}

struct last_look_up {
	struct resolve r;
	bool done;
};

static inline void on_last_look_up(struct op *op)
{
	CONTAINER_OF(op, struct last_look_up, r.op)->done = true;
}

/* Waits until no look-up is under way any more, so that the loop can be freed. */
static inline void end_look_ups(struct loop *loop, struct resolver *resolver)
{
	static unsigned n;
	struct last_look_up last = {.done = false};
	char host[80];

	snprintf(host, sizeof(host), "x%069u", n++); /* a label too long for any name server: answered by nobody, at once */
	last.r.op.done = on_last_look_up;
	resolve_start(resolver, &last.r, str_from(host));
	TURN_UNTIL(loop, last.done);
}
