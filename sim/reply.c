/* Responses that are sent in one go. */
#include "sim/reply.h"

#include <string.h>

#include "sim/buf.h"
#include "sim/conn.h"
#include "sim/error.h"
#include "sim/sim.h"

void reply_add_head(struct conn *conn, struct buf *out, int status, const char *type, const char *extra, long long length_bytes)
{
	if (length_bytes < 0 && conn->request.is_1_0)
		conn->request.keep_alive = false;
	buf_printf(out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%s", status, error_reason(status), type, extra);
	if (length_bytes >= 0)
		buf_printf(out, "Content-Length: %lld\r\n", length_bytes);
	else if (!conn->request.is_1_0)
		buf_puts(out, "Transfer-Encoding: chunked\r\n");
	if (!conn->request.keep_alive)
		buf_puts(out, "Connection: close\r\n");
	else if (conn->request.is_1_0)
		buf_puts(out, "Connection: keep-alive\r\n");
	buf_puts(out, "\r\n");
}

void reply_json(struct conn *conn, int status, const char *extra, const struct buf *json)
{
	struct buf *out = &conn->sim->scratch;

	out->len = 0;
	reply_add_head(conn, out, status, "application/json", extra, (long long)json->len);
	if (!conn->request.method || strcmp(conn->request.method, "HEAD") != 0)
		buf_add(out, json->data, json->len);
	conn->busy = true;
	conn_send(conn, out->data, out->len);
	if (!conn->closing && !conn->n_writes)
		conn_done(conn);
}

void reply_error(struct conn *conn, int status, const char *message, const char *param, const char *code)
{
	struct buf json = {0};

	error_add(&json, status, message, param, code);
	reply_json(conn, status, "", &json);
	buf_fini(&json);
}
