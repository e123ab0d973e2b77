/* A server on a real unix socket with a handler of a few lines, and clients that speak FastCGI to it, all in one thread:
 * the test decides who moves next. */
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fcgi/server.h"
#include "tests/unit/fcgi/records.h"
#include "tests/unit/support.h"

enum { WORLD_MAX_BODY = 1024 * 1024, WORLD_MAX_BUFFERED = 4 * 1024 * 1024 };

struct world {
	struct loop *loop;
	struct server server;
	char dir[64], path[96];
	unsigned n_requests, n_writable, n_left;
	/* What to do with a request; NULL: it is kept in `held`. */
	void (*on_request)(struct world *w, struct fcgi_request *r);
	void (*on_writable)(struct world *w, struct fcgi_request *r);
	struct fcgi_request *held;
	/* of the last request, copied */
	char test_param[64];
	struct buf body;
	bool body_too_large, overloaded;
	/* for answers in pieces */
	struct str rest;
};

struct client {
	int fd;
	struct buf in;  /* records not parsed yet */
	struct buf out; /* STDOUT so far */
	unsigned n_ends, n_empty_stdouts;
	unsigned protocol_status;
	bool closed;
};

static inline void world_on_request(void *arg, struct fcgi_request *r)
{
	struct world *w = arg;
	struct str name = params_get(&r->params, "TEST");

	w->n_requests++;
	snprintf(w->test_param, sizeof(w->test_param), "%.*s", STR_ARG(name));
	w->body.len = 0;
	buf_add_str(&w->body, r->body);
	w->body_too_large = r->body_too_large;
	w->overloaded = r->overloaded;
	if (w->on_request)
		w->on_request(w, r);
	else
		w->held = r;
}

static inline void world_on_writable(void *arg, struct fcgi_request *r)
{
	struct world *w = arg;

	w->n_writable++;
	assert_int_equal(fcgi_unsent(r), 0);
	if (w->on_writable)
		w->on_writable(w, r);
}

static inline void world_on_left(void *arg, struct fcgi_request *r)
{
	struct world *w = arg;

	w->n_left++;
	if (w->held == r)
		w->held = NULL;
}

/* Answers at once with the parameter TEST and the body. */
static inline void echo(struct world *w, struct fcgi_request *r)
{
	struct buf answer = {0};

	(void)w;
	buf_add_str(&answer, params_get(&r->params, "TEST"));
	buf_add_char(&answer, ':');
	buf_add_str(&answer, r->body);
	fcgi_finish(r, buf_str(&answer));
	buf_fini(&answer);
}

static inline int make_world(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	clock_set_for_test(0, 0);
	snprintf(w->dir, sizeof(w->dir), "/tmp/fcgi-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/sock", w->dir);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", w->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 128), 0);
	w->loop = loop_new();
	w->server = (struct server){
		.loop = w->loop,
		.handler = {world_on_request, world_on_writable, world_on_left, w},
		.max_body_bytes = WORLD_MAX_BODY,
		.max_buffered_bytes = WORLD_MAX_BUFFERED,
	};
	assert_int_equal(server_open(&w->server, fd), 0);
	server_accept(&w->server);
	*state = w;
	return 0;
}

static inline int end_world(void **state)
{
	struct world *w = *state;

	clock_set_for_test(0, 0);
	server_close(&w->server);
	turn_few(w->loop);
	assert_int_equal(w->server.n_conns, 0);
	assert_int_equal(w->server.n_buffered_bytes, 0);
	assert_true(loop_free(w->loop));
	close(w->server.listen_fd);
	buf_fini(&w->body);
	unlink(w->path);
	rmdir(w->dir);
	free(w);
	return 0;
}

static inline void client_open(struct world *w, struct client *c)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	*c = (struct client){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
	assert_true(c->fd >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", w->path);
	assert_int_equal(connect(c->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static inline void client_close(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	buf_fini(&c->in);
	buf_fini(&c->out);
}

/* Sends all of it; the server has the time it needs. */
static inline void client_send(struct world *w, struct client *c, struct str bytes)
{
	uint64_t give_up_ms = real_ms() + PATIENCE_MS;

	while (bytes.len > 0) {
		ssize_t n = send(c->fd, bytes.p, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			bytes = str_skip(bytes, (size_t)n);
		else if (errno != EAGAIN)
			return; /* the server has closed: the test will see it */
		else
			loop_turn(w->loop, false);
		assert_true(real_ms() < give_up_ms);
	}
}

static inline void client_request(struct world *w, struct client *c, unsigned flags, const char *name, struct str body)
{
	struct buf b = {0};

	put_request(&b, flags, name, body);
	client_send(w, c, buf_str(&b));
	buf_fini(&b);
}

static inline void client_parse(struct client *c)
{
	while (c->in.len >= 8) {
		const unsigned char *p = (const unsigned char *)c->in.p;
		size_t len = (size_t)(p[4] << 8 | p[5]), whole = 8 + len + p[6];

		if (c->in.len < whole)
			return;
		assert_int_equal(p[0], 1);
		assert_int_equal(p[2] << 8 | p[3], 1);
		if (p[1] == 6) {
			assert_int_equal(c->n_ends, c->n_empty_stdouts);
			c->n_empty_stdouts += len == 0;
			buf_add(&c->out, p + 8, len);
		} else {
			assert_int_equal(p[1], 3);
			assert_int_equal(len, 8);
			c->n_ends++;
			c->protocol_status = p[12];
		}
		buf_drop(&c->in, whole);
	}
}

/* Reads at most n bytes of what is there. */
static inline bool client_read(struct client *c, size_t n)
{
	ssize_t got = recv(c->fd, buf_reserve(&c->in, n), n, MSG_DONTWAIT);

	if (got == 0 || (got < 0 && errno != EAGAIN))
		c->closed = true;
	if (got > 0)
		c->in.len += (size_t)got;
	client_parse(c);
	return true;
}

/* For TURN_UNTIL: reads what is there, then looks. */
#define AFTER_READING(client, condition) (client_read((client), 65536) && (condition))

/* The only connection of the server. */
static inline struct conn *only_conn(struct world *w)
{
	assert_int_equal(w->server.n_conns, 1);
	return conn_of_node(w->server.conns.next);
}

static inline struct buf pattern(size_t len)
{
	struct buf b = {0};
	char *p = buf_reserve(&b, len);

	for (size_t i = 0; i < len; i++)
		p[i] = (char)(i * 2654435761U >> 13);
	b.len = len;
	return b;
}
