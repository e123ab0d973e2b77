/* One client's connection. There is no deadline for idle ones: they cost little and tests decide how long they wait. */
#include "sim/conn.h"

#include <stdlib.h>
#include <string.h>

#include "sim/play.h"
#include "sim/reply.h"
#include "sim/route.h"
#include "sim/sim.h"

enum {
	MAX_WAITING_BYTES = 1024 * 1024,
	LINGER_MS = 2000,
};

/* Bytes the socket did not take at once. */
struct write {
	uv_write_t req;
	char data[];
};

static void on_handle_closed(uv_handle_t *handle)
{
	struct conn *conn = handle->data;

	if (--conn->n_handles > 0)
		return;
	if (conn->prev)
		conn->prev->next = conn->next;
	else
		conn->sim->conns = conn->next;
	if (conn->next)
		conn->next->prev = conn->prev;
	play_free(conn->play);
	http_reset(&conn->request);
	buf_fini(&conn->waiting);
	free(conn);
}

void conn_close(struct conn *conn)
{
	if (conn->closing)
		return;
	conn->closing = true;
	uv_close((uv_handle_t *)&conn->tcp, on_handle_closed);
	uv_close((uv_handle_t *)&conn->alarm, on_handle_closed);
}

/* The client has closed, or the connection has broken. */
static void lose(struct conn *conn)
{
	if (conn->closing)
		return;
	if (conn->play)
		play_on_lost(conn->play);
	conn_close(conn);
}

/* Everything that was sent has been taken by the socket. */
static void on_all_written(struct conn *conn)
{
	if (conn->play)
		play_on_written(conn->play);
	else if (conn->busy)
		conn_done(conn);
}

static void on_written(uv_write_t *req, int status)
{
	struct conn *conn = req->handle->data;

	free(req->data);
	conn->n_writes--;
	if (status < 0)
		lose(conn);
	else if (!conn->n_writes && !conn->closing)
		on_all_written(conn);
}

void conn_send_later(struct conn *conn, const char *data, size_t len)
{
	struct write *write = must_alloc(sizeof(*write) + len);
	uv_buf_t buf = uv_buf_init(write->data, (unsigned)len);

	memcpy(write->data, data, len);
	write->req.data = write;
	if (uv_write(&write->req, (uv_stream_t *)&conn->tcp, &buf, 1, on_written) < 0) {
		free(write);
		lose(conn);
		return;
	}
	conn->n_writes++;
}

void conn_send(struct conn *conn, const char *data, size_t len)
{
	uv_buf_t buf = uv_buf_init((char *)data, (unsigned)len);
	int taken = uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1);

	if (taken == UV_EAGAIN)
		taken = 0;
	if (taken < 0)
		lose(conn);
	else if ((size_t)taken < len)
		conn_send_later(conn, data + taken, len - (size_t)taken);
}

static void on_alarm(uv_timer_t *timer)
{
	struct conn *conn = timer->data;

	if (conn->lingering)
		conn_close(conn);
	else if (conn->play)
		play_on_alarm(conn->play);
}

void conn_alarm(struct conn *conn, uint64_t delay_ms)
{
	uv_timer_start(&conn->alarm, on_alarm, delay_ms, 0);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
	(void)status;
	free(req);
}

/* Closing while the client still sends would reset the connection and with it what the client has not read yet
 * (RFC 9112, 9.6): our side closes, and input is thrown away until theirs does. */
static void linger(struct conn *conn)
{
	uv_shutdown_t *req = must_alloc(sizeof(*req));

	conn->lingering = true;
	if (uv_shutdown(req, (uv_stream_t *)&conn->tcp, on_shutdown) < 0) {
		free(req);
		conn_close(conn);
		return;
	}
	conn_alarm(conn, LINGER_MS);
}

/* Reads requests from data until one has to be waited for. Returns how many bytes were read. */
static size_t eat(struct conn *conn, const char *data, size_t len)
{
	struct http_request *request = &conn->request;
	size_t used = 0;

	conn->eating = true;
	while (used < len && !conn->busy && !conn->closing && !conn->lingering) {
		used += http_feed(request, data + used, len - used);
		if (request->state == HTTP_BAD) {
			reply_error(conn, request->error_status, request->problem, NULL, NULL);
		} else if (request->state == HTTP_DONE) {
			conn->busy = true;
			route_request(conn);
		} else if (request->wants_continue && request->state != HTTP_HEAD) {
			static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

			request->wants_continue = false;
			conn_send(conn, go_on, sizeof(go_on) - 1);
		}
	}
	conn->eating = false;
	return used;
}

static void alloc_input(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct sim *sim = ((struct conn *)handle->data)->sim;

	(void)suggested;
	*buf = uv_buf_init(sim->input, sizeof(sim->input));
}

static void on_read(uv_stream_t *stream, ssize_t n_read, const uv_buf_t *buf)
{
	struct conn *conn = stream->data;
	size_t used = 0;

	if (n_read < 0)
		lose(conn);
	if (n_read <= 0 || conn->closing || conn->lingering)
		return;
	if (!conn->busy)
		used = eat(conn, buf->base, (size_t)n_read);
	buf_add(&conn->waiting, buf->base + used, (size_t)n_read - used);
	if (conn->busy && conn->waiting.len > MAX_WAITING_BYTES && !conn->closing) {
		conn->paused = true;
		uv_read_stop(stream);
	}
}

void conn_done(struct conn *conn)
{
	bool keep_alive = conn->request.keep_alive;

	http_reset(&conn->request);
	conn->busy = false;
	if (!keep_alive) {
		linger(conn);
		return;
	}
	if (conn->eating)
		return;
	if (conn->waiting.len)
		buf_drop(&conn->waiting, eat(conn, conn->waiting.data, conn->waiting.len));
	if (!conn->waiting.len)
		buf_fini(&conn->waiting);
	if (conn->paused && !conn->closing && conn->waiting.len <= MAX_WAITING_BYTES) {
		conn->paused = false;
		uv_read_start((uv_stream_t *)&conn->tcp, alloc_input, on_read);
	}
}

void conn_accept(struct sim *sim, uv_stream_t *listener)
{
	struct conn *conn = must_alloc(sizeof(*conn));

	conn->sim = sim;
	conn->n_handles = 2;
	conn->next = sim->conns;
	if (conn->next)
		conn->next->prev = conn;
	sim->conns = conn;
	uv_tcp_init(sim->loop, &conn->tcp);
	uv_timer_init(sim->loop, &conn->alarm);
	conn->tcp.data = conn;
	conn->alarm.data = conn;
	if (uv_accept(listener, (uv_stream_t *)&conn->tcp) < 0 || uv_tcp_nodelay(&conn->tcp, 1) < 0 ||
	    uv_read_start((uv_stream_t *)&conn->tcp, alloc_input, on_read) < 0)
		conn_close(conn);
}
