/* Sends one answer in time. Tokens have fixed due times, so that a late one does not delay those after it. */
#include "sim/play.h"

#include <stdio.h>
#include <stdlib.h>

#include "sim/ask.h"
#include "sim/conn.h"
#include "sim/deliver.h"
#include "sim/dialect.h"
#include "sim/sim.h"

/* Without a gap, tokens are gathered up to this. */
enum { FULL_WRITE_BYTES = 16 * 1024 };

static struct counters *counters_of(struct play *play)
{
	static struct counters forgotten;
	struct sim *sim = play->conn->sim;

	return play->epoch == sim->epoch ? &sim->counters : &forgotten;
}

static void settle(struct play *play, unsigned long long *counter)
{
	if (play->settled)
		return;
	play->settled = true;
	play->conn->sim->open--;
	++*counter;
}

static struct play *add_play(struct conn *conn)
{
	struct play *play = must_alloc(sizeof(*play));
	struct sim *sim = conn->sim;

	play->conn = conn;
	play->epoch = sim->epoch;
	play->seq = ++sim->n_answers;
	play->start_ms = uv_now(sim->loop);
	sim->counters.requests++;
	sim->open++;
	conn->play = play;
	return play;
}

void play_free(struct play *play)
{
	if (!play)
		return;
	pace_remove(&play->conn->sim->pace, play);
	answer_fini(&play->answer);
	buf_fini(&play->slow);
	free(play);
}

void play_finish(struct play *play)
{
	struct conn *conn = play->conn;
	bool close_after = play->close_after;

	settle(play, &counters_of(play)->completed);
	conn->play = NULL;
	play_free(play);
	if (close_after)
		conn->request.keep_alive = false;
	conn_done(conn);
}

static void send_error(struct play *play, int status, const char *message, const char *param, const char *code)
{
	struct buf json = {0};
	char retry_after[64] = "";

	settle(play, &counters_of(play)->errors);
	if (play->answer.script.retry_after_s >= 0 && play->answer.script.error_status)
		snprintf(retry_after, sizeof(retry_after), "Retry-After: %d\r\n", play->answer.script.retry_after_s);
	play->answer.dialect->refusal(&json, status, message, param, code);
	deliver_whole(play, status, "application/json", retry_after, &json);
	buf_fini(&json);
}

static void send_page(struct play *play)
{
	struct buf page = {0};

	settle(play, &counters_of(play)->errors);
	answer_add_page(&page);
	deliver_whole(play, 200, "text/html; charset=utf-8", "", &page);
	buf_fini(&page);
}

static void cut(struct play *play)
{
	settle(play, &counters_of(play)->errors);
	conn_close(play->conn);
}

/* Answers a request that did not want a stream, when its last token would have been said. */
static void say_whole(struct play *play)
{
	struct answer *answer = &play->answer;
	struct conn *conn = play->conn;
	struct buf json = {0};
	enum answer_coming coming;

	answer->n_sent = answer_reach(answer);
	counters_of(play)->tokens += (unsigned)answer->n_sent;
	coming = answer_coming(answer);
	if (coming == COMING_STALL)
		return;
	if (coming == COMING_ERROR || coming == COMING_LINE) {
		send_error(play, 500, NULL, NULL, NULL);
		return;
	}
	answer_add_whole(answer, &json);
	if (coming == COMING_CUT) {
		deliver_head(play, 200, "application/json", "", (long long)json.len);
		if (!conn->closing)
			conn_send(conn, json.data, json.len / 2);
		if (!conn->closing && !conn->n_writes)
			cut(play);
	} else {
		deliver_whole(play, 200, "application/json", "", &json);
	}
	buf_fini(&json);
}

static uint64_t due_ms(const struct play *play, int index)
{
	const struct script *script = &play->answer.script;

	return play->start_ms + (uint64_t)script->first_ms + (uint64_t)index * (uint64_t)script->gap_ms;
}

/* Waits for the index-th token's time. Returns false if that has come already. */
static bool wait_for(struct play *play, int index)
{
	uint64_t now_ms = uv_now(play->conn->sim->loop);
	uint64_t due = due_ms(play, index);

	if (due <= now_ms)
		return false;
	conn_alarm(play->conn, due - now_ms);
	return true;
}

static void say_tokens(struct play *play)
{
	struct answer *answer = &play->answer;
	struct buf *out = deliver_begin_part(play);
	int n_before = answer->n_sent;

	do {
		answer_add_token(answer, out);
	} while (!answer->script.gap_ms && out->len < FULL_WRITE_BYTES && answer_coming(answer) == COMING_TOKEN);
	counters_of(play)->tokens += (unsigned)(answer->n_sent - n_before);
	deliver_part(play);
}

static void say_last(struct play *play, enum answer_coming coming)
{
	struct buf *out = deliver_begin_part(play);

	play->last_sent = true;
	if (coming == COMING_ERROR) {
		settle(play, &counters_of(play)->errors);
		play->close_after = true;
		answer_add_error(&play->answer, out);
	} else {
		answer_add_end(&play->answer, out);
	}
	deliver_part(play);
}

/* Says a piece of the line that is far too long; the next one follows when the socket has taken this one.
 * Returns whether it was the last one; play may be gone then. */
static bool say_line(struct play *play)
{
	struct buf *out = deliver_begin_part(play);
	bool last = answer_add_line(&play->answer, out);

	if (last) {
		settle(play, &counters_of(play)->errors);
		play->last_sent = play->close_after = true;
	}
	deliver_part(play);
	return last;
}

/* Says what is due, and waits: for the time of the next token, the socket, or the client to go. */
static void say_on(struct play *play)
{
	struct conn *conn = play->conn;
	struct answer *answer = &play->answer;

	while (!conn->closing && !conn->n_writes && !play->paced && !play->last_sent) {
		enum answer_coming coming = answer_coming(answer);

		if ((coming == COMING_TOKEN || !answer->n_tokens) && wait_for(play, answer->n_sent))
			return;
		if (coming == COMING_STALL)
			return;
		if (coming == COMING_CUT) {
			cut(play);
			return;
		}
		if (coming == COMING_LINE) {
			if (say_line(play))
				return;
			continue;
		}
		if (coming != COMING_TOKEN) {
			say_last(play, coming);
			return;
		}
		say_tokens(play);
	}
}

void play_on_alarm(struct play *play)
{
	if (play->answer.script.error_status)
		send_error(play, play->answer.script.error_status, NULL, NULL, NULL);
	else if (play->answer.script.html)
		send_page(play);
	else if (play->stream)
		say_on(play);
	else
		say_whole(play);
}

void play_on_written(struct play *play)
{
	if (play->paced)
		return;
	if (play->last_sent)
		play_finish(play);
	else if (play->stream)
		say_on(play);
	else if (answer_coming(&play->answer) == COMING_CUT)
		cut(play);
}

void play_on_lost(struct play *play)
{
	settle(play, &counters_of(play)->closed_by_client);
}

void play_refuse(struct conn *conn, const struct dialect *dialect, int status, const char *message, const char *param, const char *code)
{
	struct play *play = add_play(conn);

	play->answer.dialect = dialect;
	send_error(play, status, message, param, code);
}

void play_start(struct conn *conn, const struct script *script, struct ask *ask)
{
	struct play *play = add_play(conn);
	int reach;

	answer_init(&play->answer, script, ask, play->seq);
	play->stream = ask->stream && !script->hang && !script->error_status && !script->html;
	reach = answer_reach(&play->answer);
	if (script->hang && !script->error_status) {
		return;
	} else if (script->error_status || script->html) {
		if (!script->first_given || !wait_for(play, 0))
			play_on_alarm(play);
	} else if (play->stream) {
		deliver_head(play, 200, "text/event-stream; charset=utf-8", "Cache-Control: no-cache\r\n", -1);
		say_on(play);
	} else if (!wait_for(play, reach ? reach - 1 : 0)) {
		say_whole(play);
	}
}
