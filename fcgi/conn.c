/* The state machine of one connection.
 *
 *   IDLE ──bytes──> READING ──request complete──> ACTIVE ──fcgi_finish──> FLUSHING ──all sent──> IDLE
 *   IDLE      waits for the peer, which may keep it as long as it likes (nginx closes idle ones itself)
 *   READING   waits for the rest of a request, READ_TIMEOUT_US at most
 *   ACTIVE    the handler has it; if bytes wait for the socket, SEND_TIMEOUT_US without any progress ends it
 *   FLUSHING  waits for the socket, SEND_TIMEOUT_US at most
 * conn_close leads out of every state. */
#include "fcgi/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "fcgi/server.h"

enum { READ_TIMEOUT_US = 30000000, SEND_TIMEOUT_US = 120000000, RECEIVE_BYTES = 128 * 1024, MAX_IOV = 64 };

enum conn_state { IDLE, READING, ACTIVE, FLUSHING, CLOSED };

struct conn {
	struct list node; /* in server->conns */
	struct server *server;
	int fd;
	enum conn_state state;
	uint64_t since_us; /* of the state, or of the last progress in sending */
	struct watch watch;
	struct record_scan scan;
	struct buf in;  /* the start of a record that is not all there yet */
	struct buf out; /* what the socket did not take; */
	size_t out_at;  /* up to here it has taken it since */
	size_t counted_bytes; /* of scan.body, in server->n_buffered_bytes */
	struct defer next;    /* looks at bytes that came behind a request that has ended */
	struct defer gone;    /* frees the connection when no frame can hold it any more */
	struct fcgi_request request;
};

static struct conn *conn_of(const struct fcgi_request *r)
{
	union {
		const struct fcgi_request *in;
		struct fcgi_request *out;
	} u = {.in = r};

	return CONTAINER_OF(u.out, struct conn, request);
}

struct conn *conn_of_node(struct list *node)
{
	return CONTAINER_OF(node, struct conn, node);
}

static size_t unsent(const struct conn *c)
{
	return c->out.len - c->out_at;
}

static void set_state(struct conn *c, enum conn_state state)
{
	c->state = state;
	c->since_us = clock_mono_us();
}

static void count_body(struct conn *c)
{
	server_count_buffered(c->server, c->counted_bytes, c->scan.body.size);
	c->counted_bytes = c->scan.body.size;
}

/* The request is over: its memory goes. */
static void end_request(struct conn *c)
{
	arena_fini(&c->request.arena);
	c->request = (struct fcgi_request){0};
	record_scan_reset(&c->scan);
	c->scan.max_body = c->server->max_body_bytes;
	count_body(c);
}

static void free_conn(struct defer *d)
{
	struct conn *c = CONTAINER_OF(d, struct conn, gone);

	buf_fini(&c->in);
	buf_fini(&c->out);
	free(c);
}

void conn_close(struct conn *c, const char *reason)
{
	if (c->state == CLOSED)
		return;
	if (c->state == ACTIVE)
		c->server->handler.on_left(c->server->handler.arg, &c->request);
	log_debug(NULL, "connection_closed", "reason", reason);
	end_request(c);
	set_state(c, CLOSED);
	watch_fini(&c->watch);
	close(c->fd);
	defer_cancel(&c->next);
	server_forget(c->server, &c->node);
	loop_defer(c->server->loop, &c->gone, free_conn);
}

/* Forgets what the first n bytes of iov hold. */
static int advance(struct iovec **iov, int n_iov, size_t n)
{
	while (n_iov > 0 && n >= (*iov)->iov_len) {
		n -= (*iov)->iov_len;
		(*iov)++;
		n_iov--;
	}
	if (n_iov > 0) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
	}
	return n_iov;
}

static void arm(struct conn *c)
{
	watch_set(&c->watch, unsent(c) ? WATCH_READ | WATCH_WRITE : WATCH_READ);
}

/* Sends at once what the socket takes and keeps the rest. After an error the next read finds the end of the connection. */
static void write_out(struct conn *c, struct iovec *iov, int n_iov)
{
	if (unsent(c) == 0) {
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n_iov};
		ssize_t n = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			n_iov = advance(&iov, n_iov, (size_t)n);
		} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
			shutdown(c->fd, SHUT_RDWR); /* whatever it was, bytes are missing now: the next read finds the end */
			return;
		}
		c->since_us = clock_mono_us();
	}
	for (int i = 0; i < n_iov; i++)
		buf_add(&c->out, iov[i].iov_base, iov[i].iov_len);
	arm(c);
}

/* Sends bytes as STDOUT records, followed by END_REQUEST if last. */
static void send_records(struct conn *c, struct str bytes, bool last)
{
	unsigned char headers[MAX_IOV / 2][RECORD_HEADER_BYTES], end[2 * RECORD_HEADER_BYTES + RECORD_END_BYTES];
	struct iovec iov[MAX_IOV];
	int n_headers = 0, n = 0;

	while (bytes.len > 0) {
		size_t len = bytes.len < RECORD_MAX_CONTENT ? bytes.len : RECORD_MAX_CONTENT;
		union {
			const char *in;
			char *out;
		} unconst = {.in = bytes.p}; /* struct iovec has no const */

		if (n > MAX_IOV - 3) {
			write_out(c, iov, n);
			n = n_headers = 0;
		}
		record_header(headers[n_headers], RECORD_STDOUT, c->scan.id, (uint16_t)len);
		iov[n++] = (struct iovec){headers[n_headers++], RECORD_HEADER_BYTES};
		iov[n++] = (struct iovec){unconst.out, len};
		bytes = str_skip(bytes, len);
	}
	if (last) {
		record_header(end, RECORD_STDOUT, c->scan.id, 0);
		record_end(end + RECORD_HEADER_BYTES, c->scan.id, RECORD_REQUEST_COMPLETE);
		iov[n++] = (struct iovec){end, RECORD_HEADER_BYTES + RECORD_END_BYTES};
	}
	if (n > 0)
		write_out(c, iov, n);
}

void fcgi_send(struct fcgi_request *r, struct str bytes)
{
	send_records(conn_of(r), bytes, false);
}

size_t fcgi_unsent(const struct fcgi_request *r)
{
	return unsent(conn_of(r));
}

/* nginx takes a connection that ends for the end of an unbuffered answer. A record of a version that does not exist makes it break its own. */
void fcgi_break_off(struct fcgi_request *r, const char *reason)
{
	static unsigned char no_record[RECORD_HEADER_BYTES];
	struct iovec iov[] = {{no_record, sizeof(no_record)}};

	write_out(conn_of(r), iov, N_ELEMENTS(iov));
	conn_close(conn_of(r), reason);
}

void fcgi_drop_params(struct fcgi_request *r)
{
	arena_fini(&r->arena);
	r->params = (struct params){0};
}

void fcgi_drop_body(struct fcgi_request *r)
{
	struct conn *c = conn_of(r);

	buf_fini(&c->scan.body);
	r->body = (struct str){"", 0};
	count_body(c);
}

static void take_bytes(struct conn *c, struct str bytes);

static void look_at_rest(struct defer *d)
{
	struct conn *c = CONTAINER_OF(d, struct conn, next);
	struct buf rest = c->in;

	c->in = (struct buf){0};
	take_bytes(c, buf_str(&rest));
	buf_fini(&rest);
}

/* The answer is sent: the connection waits for the next request, or closes. */
static void after_answer(struct conn *c, bool keep)
{
	if (!keep) {
		conn_close(c, "answered");
		return;
	}
	set_state(c, IDLE);
	if (c->in.len)
		loop_defer(c->server->loop, &c->next, look_at_rest);
}

void fcgi_finish(struct fcgi_request *r, struct str bytes)
{
	struct conn *c = conn_of(r);
	bool keep = c->scan.keep_conn;

	assert(c->state == ACTIVE);
	send_records(c, bytes, true);
	end_request(c);
	c->scan.keep_conn = keep;
	set_state(c, FLUSHING);
	if (unsent(c) == 0)
		after_answer(c, keep);
}

static void begin_request(struct conn *c)
{
	struct fcgi_request *r = &c->request;

	r->began_us = c->since_us;
	r->body_too_large = c->scan.body_too_large;
	r->body = buf_str(&c->scan.body);
	if (request_read_params(buf_str(&c->scan.params), &r->arena, &r->params) != 0) {
		log_warn(NULL, "fastcgi_refused", "reason", "bad_params");
		conn_close(c, "bad_params");
		return;
	}
	buf_fini(&c->scan.params);
	set_state(c, ACTIVE);
	c->server->handler.on_request(c->server->handler.arg, r);
}

static void refuse_role(struct conn *c)
{
	unsigned char end[RECORD_END_BYTES];
	struct iovec iov = {end, sizeof(end)};

	record_end(end, c->scan.id, RECORD_UNKNOWN_ROLE);
	write_out(c, &iov, 1);
	conn_close(c, "unknown_role");
}

/* bytes follow whatever is in c->in; they are not kept by the caller. */
static void take_bytes(struct conn *c, struct str bytes)
{
	const char *why = "";
	enum scan_result result;
	size_t used;

	if (c->state == FLUSHING) { /* the next request, before our last bytes are out: later */
		if (c->in.len + bytes.len > RECORD_MAX_PARAMS)
			conn_close(c, "too_early");
		else
			buf_add_str(&c->in, bytes);
		return;
	}
	if (c->state == IDLE && bytes.len)
		set_state(c, READING);
	if (c->in.len) {
		buf_add_str(&c->in, bytes);
		result = record_scan(&c->scan, buf_str(&c->in), &used, &why);
		buf_drop(&c->in, used);
		if (c->in.len == 0)
			buf_fini(&c->in);
	} else {
		result = record_scan(&c->scan, bytes, &used, &why);
		buf_add_str(&c->in, str_skip(bytes, used));
	}
	count_body(c);
	if (c->scan.body.len && server_over_budget(c->server)) { /* what still comes of it is dropped */
		c->request.overloaded = true;
		c->scan.max_body = 0;
		buf_fini(&c->scan.body);
		count_body(c);
	}
	switch (result) {
	case SCAN_MORE: break;
	case SCAN_COMPLETE: begin_request(c); break;
	case SCAN_ABORTED: conn_close(c, "aborted"); break;
	case SCAN_BAD_ROLE: refuse_role(c); break;
	case SCAN_BAD:
		log_warn(NULL, "fastcgi_refused", "reason", why);
		conn_close(c, why);
		break;
	}
}

static void receive(struct conn *c)
{
	static char bytes[RECEIVE_BYTES]; /* shared: what is left of it is copied before anybody else receives */
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n > 0)
		take_bytes(c, (struct str){bytes, (size_t)n});
	else if (n == 0)
		conn_close(c, "left");
	else if (errno != EAGAIN && errno != EINTR)
		conn_close(c, "broken");
}

static void flush_out(struct conn *c)
{
	ssize_t n = send(c->fd, c->out.p + c->out_at, unsent(c), MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		conn_close(c, "broken");
	if (n <= 0)
		return;
	c->out_at += (size_t)n;
	c->since_us = clock_mono_us();
	if (unsent(c))
		return;
	buf_fini(&c->out);
	c->out_at = 0;
	arm(c);
	if (c->state == FLUSHING)
		after_answer(c, c->scan.keep_conn);
	else if (c->state == ACTIVE)
		c->server->handler.on_writable(c->server->handler.arg, &c->request);
}

static void on_ready(void *arg, int events)
{
	struct conn *c = arg;

	if (events & WATCH_WRITE && unsent(c))
		flush_out(c);
	if (events & WATCH_READ && c->state != CLOSED)
		receive(c);
	if (c->state != CLOSED)
		arm(c); /* after an error of the poll nobody watches any more, though there may be more to read */
}

void conn_open(struct server *server, int fd)
{
	struct conn *c = mem_alloc(sizeof(*c));

	c->server = server;
	c->fd = fd;
	c->scan.max_body = server->max_body_bytes;
	list_init(&c->next.node);
	list_init(&c->gone.node);
	set_state(c, IDLE);
	watch_init(&c->watch, server->loop, fd, on_ready, c);
	arm(c);
	server_remember(server, &c->node);
}

void conn_check_deadline(struct conn *c, uint64_t now_us)
{
	uint64_t waited_us = now_us > c->since_us ? now_us - c->since_us : 0;

	if (c->state == READING && waited_us > READ_TIMEOUT_US)
		conn_close(c, "request_never_ended");
	else if ((c->state == ACTIVE || c->state == FLUSHING) && unsent(c) && waited_us > SEND_TIMEOUT_US)
		conn_close(c, "reader_stalled");
}

void conn_close_if_idle(struct conn *c, uint64_t before_us)
{
	if (c->state == IDLE && c->since_us < before_us)
		conn_close(c, "idle");
}

bool conn_is_busy(const struct conn *c)
{
	return c->state != IDLE;
}
