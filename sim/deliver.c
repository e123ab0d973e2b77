/* How an answer's bytes leave. */
#include "sim/deliver.h"

#include <stdio.h>
#include <string.h>

#include "sim/conn.h"
#include "sim/play.h"
#include "sim/reply.h"
#include "sim/sim.h"

/* Room in front of a part for its size in up to eight digits and the line's end. */
enum { CHUNK_HEAD_BYTES = 10 };

static void add_head(struct play *play, struct buf *out, int status, const char *type, const char *extra, long long length_bytes)
{
	char headers[160];

	snprintf(headers, sizeof(headers), "x-request-id: req-sim-%u\r\n%s", play->seq, extra);
	reply_add_head(play->conn, out, status, type, headers, length_bytes);
}

void deliver_head(struct play *play, int status, const char *type, const char *extra, long long length_bytes)
{
	struct buf *out = &play->conn->sim->scratch;

	out->len = 0;
	add_head(play, out, status, type, extra, length_bytes);
	conn_send(play->conn, out->data, out->len);
}

struct buf *deliver_begin_part(struct play *play)
{
	struct buf *out = &play->conn->sim->scratch;

	out->len = 0;
	buf_reserve(out, CHUNK_HEAD_BYTES);
	out->len = CHUNK_HEAD_BYTES;
	return out;
}

/* Puts a chunk's size before the body, which begins CHUNK_HEAD_BYTES into out, and its end behind it.
 * Returns where to begin sending. */
static size_t frame_chunk(const struct play *play, struct buf *out)
{
	static const char digits[] = "0123456789abcdef";
	size_t size = out->len - CHUNK_HEAD_BYTES;
	size_t from = CHUNK_HEAD_BYTES - 2;

	if (play->conn->request.is_1_0)
		return CHUNK_HEAD_BYTES;
	if (!size) {
		if (play->last_sent)
			buf_puts(out, "0\r\n\r\n");
		return CHUNK_HEAD_BYTES;
	}
	memcpy(out->data + from, "\r\n", 2);
	for (; size; size >>= 4)
		out->data[--from] = digits[size & 15];
	buf_puts(out, play->last_sent ? "\r\n0\r\n\r\n" : "\r\n");
	return from;
}

void deliver_part(struct play *play)
{
	struct conn *conn = play->conn;
	struct buf *out = &conn->sim->scratch;
	size_t from;

	if (play->answer.script.byte_writes) {
		buf_add(&play->slow, out->data + CHUNK_HEAD_BYTES, out->len - CHUNK_HEAD_BYTES);
		pace_add(&conn->sim->pace, play);
		return;
	}
	from = frame_chunk(play, out);
	if (out->len > from) {
		if (play->answer.script.gap_ms)
			conn_send(conn, out->data + from, out->len - from);
		else
			conn_send_later(conn, out->data + from, out->len - from);
	}
	if (play->last_sent && !conn->closing && !conn->n_writes)
		play_finish(play);
}

void deliver_whole(struct play *play, int status, const char *type, const char *extra, const struct buf *body)
{
	struct conn *conn = play->conn;
	struct buf *out;

	play->last_sent = true;
	if (play->answer.script.byte_writes) {
		deliver_head(play, status, type, extra, -1);
		if (conn->closing)
			return;
		out = deliver_begin_part(play);
		buf_add(out, body->data, body->len);
		deliver_part(play);
		return;
	}
	out = &conn->sim->scratch;
	out->len = 0;
	add_head(play, out, status, type, extra, (long long)body->len);
	buf_add(out, body->data, body->len);
	conn_send(conn, out->data, out->len);
	if (!conn->closing && !conn->n_writes)
		play_finish(play);
}

void play_on_pace(struct play *play)
{
	struct conn *conn = play->conn;
	char chunk[] = "1\r\n?\r\n";

	if (conn->n_writes || conn->closing)
		return;
	if (play->slow_at < play->slow.len) {
		char *byte = &play->slow.data[play->slow_at++];

		chunk[3] = *byte;
		if (conn->request.is_1_0)
			conn_send(conn, byte, 1);
		else
			conn_send(conn, chunk, sizeof(chunk) - 1);
		return;
	}
	pace_remove(&conn->sim->pace, play);
	play->slow.len = play->slow_at = 0;
	if (!play->last_sent) {
		play_on_written(play);
		return;
	}
	if (!conn->request.is_1_0)
		conn_send(conn, "0\r\n\r\n", 5);
	if (!conn->closing && !conn->n_writes)
		play_finish(play);
}
