/* One call to a provider, from connecting to its end: whole answers, every way they go wrong, every deadline, cancelling in
 * every state. The provider is played by hand. */
#include "llm/stream.h"

#include "base/clock.h"
#include "base/err.h"
#include "net/resolver.h"
#include "tests/unit/net/peer.h"

struct world {
	struct loop *loop;
	struct resolver *resolver;
	struct http *http;
	struct peer peer;
};

struct caller {
	struct llm_stream s;
	struct world *w;
	struct llm_timeouts timeouts;
	struct buf text;                      /* what came: text as it is, the rest as [r:…], [o:…], [u:p,c,t], [f:…] */
	unsigned n_events, n_done, cancel_at; /* cancel in the n-th event; 0: never */
	int err, status, retry_after_s;
	char reason[32];
	enum llm_event_type cancel_later_at; /* with cancel_later: cancel from a deferred call of that event's turn */
	bool cancel_later;
	struct defer later;
};

#define HEAD    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
#define CHUNKED HEAD "Transfer-Encoding: chunked\r\n\r\n"
#define LAST    "0\r\n\r\n"
#define TEXT(t) "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" t "\"}}]}\n\n"
#define FINISH  "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE   "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\n"
#define DONE    "data: [DONE]\n\n"

static int make_world(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->loop = loop_new();
	w->resolver = resolver_new(w->loop);
	w->http = http_new(w->loop, w->resolver);
	peer_open(&w->peer);
	*state = w;
	return 0;
}

static int end_world(void **state)
{
	struct world *w = *state;

	turn_few(w->loop);
	http_free(w->http);
	end_look_ups(w->loop, w->resolver);
	resolver_free(w->resolver);
	turn_few(w->loop);
	assert_true(loop_free(w->loop));
	peer_close(&w->peer);
	free(w);
	return 0;
}

static void cancel_now(struct defer *d)
{
	op_cancel(&CONTAINER_OF(d, struct caller, later)->s.op);
}

static void on_event(struct llm_stream *s, const struct llm_event *event)
{
	struct caller *c = CONTAINER_OF(s, struct caller, s);

	assert_int_equal(c->n_done, 0);
	assert_true(op_waiting(&s->op));
	c->n_events++;
	switch (event->type) {
	case LLM_TEXT: buf_add_str(&c->text, event->text); break;
	case LLM_REASONING: buf_printf(&c->text, "[r:%.*s]", STR_ARG(event->text)); break;
	case LLM_TOOL: buf_printf(&c->text, "[o:%.*s]", STR_ARG(event->text)); break;
	case LLM_USAGE:
		buf_printf(&c->text, "[u:%lld,%lld,%lld]", (long long)event->usage.prompt_tokens, (long long)event->usage.completion_tokens,
			   (long long)event->usage.total_tokens);
		break;
	case LLM_STATUS: buf_printf(&c->text, "[s:%.*s]", STR_ARG(event->text)); break;
	case LLM_INTERACTIVE: buf_printf(&c->text, "[i:%.*s]", STR_ARG(event->text)); break;
	case LLM_REPLACE: buf_printf(&c->text, "[x:%.*s]", STR_ARG(event->text)); break;
	case LLM_FINISH: buf_printf(&c->text, "[f:%.*s]", STR_ARG(event->text)); break;
	}
	if (c->n_events == c->cancel_at)
		op_cancel(&s->op);
	if (c->cancel_later && event->type == c->cancel_later_at)
		loop_defer(c->w->loop, &c->later, cancel_now);
}

static void on_done(struct op *op)
{
	struct caller *c = CONTAINER_OF(op, struct caller, s.op);

	c->n_done++;
	c->err = op->err;
	c->status = c->s.status;
	c->retry_after_s = c->s.retry_after_s;
	assert_non_null(c->s.reason);
	snprintf(c->reason, sizeof(c->reason), "%s", c->s.reason);
	memset(&c->s, 0xA5, sizeof(c->s)); /* the waiter may free it right here */
}

static void start_at(struct world *w, struct caller *c, const char *url)
{
	static const struct llm_message hello = {.role = CONST_STR("user"), .content = CONST_STR("hello")};
	static const struct log_ctx log = {.request_id = "id"};
	static const struct llm_timeouts patient = {3000, 5000, 5000, 5000, 10000};
	struct llm_request request = {
		.provider = &provider_openai,
		.endpoint = url,
		.model = "m",
		.messages = &hello,
		.n_messages = 1,
		.log = &log,
		.timeouts = c->timeouts.total_ms ? c->timeouts : patient,
	};

	c->s = (struct llm_stream){.on_event = on_event};
	c->s.op.done = on_done;
	c->w = w;
	list_init(&c->later.node);
	c->n_events = c->n_done = 0;
	c->err = 1;
	c->text.len = 0;
	llm_stream_start(w->loop, w->http, &c->s, &request);
	assert_int_equal(c->n_done, 0);
	assert_true(op_waiting(&c->s.op));
}

static void start(struct world *w, struct caller *c)
{
	w->peer.in.len = 0;
	start_at(w, c, w->peer.url);
}

static void start_and_accept(struct world *w, struct caller *c)
{
	start(w, c);
	TURN_UNTIL(w->loop, peer_has_request(&w->peer));
}

/* Sends bytes as one chunk of the chunked coding. */
static void send_chunk(struct world *w, struct str bytes)
{
	struct buf b = {0};

	buf_printf(&b, "%zx\r\n", bytes.len);
	buf_add_str(&b, bytes);
	buf_add_str(&b, STR("\r\n"));
	peer_send(&w->peer, buf_str(&b));
	buf_fini(&b);
}

static void wait_done(struct world *w, struct caller *c, int err, const char *reason)
{
	TURN_UNTIL(w->loop, c->n_done);
	assert_int_equal(c->n_done, 1);
	assert_string_equal(c->reason, reason);
	assert_int_equal(c->err, err);
}

static void reads_a_whole_answer(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	start_and_accept(w, &c);
	assert_non_null(strstr(w->peer.in.p, "\"stream\":true"));
	peer_send(&w->peer, STR(CHUNKED));
	turn_few(w->loop);
	assert_int_equal(c.n_events, 0);
	send_chunk(w, STR(": hello\n\n" TEXT("Hel")));
	TURN_UNTIL(w->loop, c.n_events == 1);
	assert_text(buf_str(&c.text), "Hel");
	send_chunk(w, STR(TEXT("lo \xE4\xB8\xAD\xF0\x9F\x98\x80") FINISH USAGE));
	TURN_UNTIL(w->loop, c.n_events == 4);
	assert_int_equal(c.n_done, 0);
	send_chunk(w, STR(DONE));
	peer_send(&w->peer, STR(LAST));
	wait_done(w, &c, 0, "complete");
	assert_text(buf_str(&c.text), "Hello \xE4\xB8\xAD\xF0\x9F\x98\x80[f:stop][u:1,2,3]");
	assert_int_equal(c.status, 200);
	assert_int_equal(c.retry_after_s, -1);
	buf_fini(&c.text);
}

static void reads_an_answer_however_it_is_cut(void **state)
{
	static const struct str whole =
		CONST_STR(CHUNKED "2\r\n\r\n\r\n"
				  "3b\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\xE4\xB8\xAD\xF0\x9F\x98\x80\"}}]}\n\n: x\n\n\r\n"
				  "30\r\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}]}\r\n\r\n\r\n"
				  "8\r\ndata: [D\r\n6\r\nONE]\n\n\r\n" LAST);
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	for (size_t cut = 0; cut <= whole.len; cut++) {
		start_and_accept(w, &c);
		peer_send(&w->peer, (struct str){whole.p, cut});
		turn_few(w->loop);
		peer_send(&w->peer, str_skip(whole, cut));
		wait_done(w, &c, 0, "complete");
		assert_text(buf_str(&c.text), "a\xE4\xB8\xAD\xF0\x9F\x98\x80[f:stop]");
	}
	/* the server kept the connection, and so did we */
	assert_int_equal(w->peer.n_accepted, 1);
	start_and_accept(w, &c);
	for (size_t i = 0; i < whole.len; i++) {
		peer_send(&w->peer, (struct str){whole.p + i, 1});
		loop_turn(w->loop, false);
	}
	wait_done(w, &c, 0, "complete");
	assert_text(buf_str(&c.text), "a\xE4\xB8\xAD\xF0\x9F\x98\x80[f:stop]");
	assert_int_equal(w->peer.n_accepted, 1);
	buf_fini(&c.text);
}

static void takes_a_finish_reason_and_a_clean_end_for_complete(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	start_and_accept(w, &c);
	peer_send(&w->peer, STR(CHUNKED));
	send_chunk(w, STR(TEXT("x") FINISH));
	peer_send(&w->peer, STR(LAST));
	wait_done(w, &c, 0, "complete");
	assert_text(buf_str(&c.text), "x[f:stop]");
	buf_fini(&c.text);
}

/* Some servers never close: a finish reason and then nothing is an end, too. */
static void takes_a_finish_reason_and_silence_for_complete(void **state)
{
	struct world *w = *state;
	struct caller c = {.timeouts = {1000, 1000, 1000, 500, 10000}};
	uint64_t began_ms;

	start_and_accept(w, &c);
	peer_send(&w->peer, STR(CHUNKED));
	send_chunk(w, STR(TEXT("x") FINISH));
	began_ms = real_ms();
	turn_for_ms(w->loop, 60);
	send_chunk(w, STR(USAGE)); /* what follows still counts */
	wait_done(w, &c, 0, "complete");
	assert_in_range(real_ms() - began_ms, 490, 4500);
	assert_text(buf_str(&c.text), "x[f:stop][u:1,2,3]");
	buf_fini(&c.text);
}

static void does_not_call_half_an_answer_whole(void **state)
{
	static const struct {
		struct str bytes;
		const char *reason;
		unsigned n_events;
	} samples[] = {
		{CONST_STR(CHUNKED LAST), "no_end_mark", 0},
		{CONST_STR(CHUNKED), "cut", 0},
		{CONST_STR(HEAD "\r\n" TEXT("x")), "no_end_mark", 1},
		{CONST_STR(HEAD "Content-Length: 0\r\n\r\n"), "no_end_mark", 0},
		{CONST_STR(HEAD "Content-Length: 100000\r\n\r\n" TEXT("x") FINISH), "cut", 2},
		{CONST_STR(HEAD "\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"x"), "no_end_mark", 0},
		{CONST_STR(HEAD "\r\ndata: [DONE]"), "no_end_mark", 0},
		{CONST_STR("HTTP/1.1 200 OK\r\nContent-"), "no_answer", 0},
		{CONST_STR(""), "no_answer", 0},
		{CONST_STR("hello\r\n"), "no_answer", 0},
	};
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		start_and_accept(w, &c);
		peer_send(&w->peer, samples[i].bytes);
		turn_few(w->loop);
		peer_hang_up(&w->peer);
		wait_done(w, &c, -ERR_UPSTREAM, samples[i].reason);
		assert_int_equal(c.n_events, samples[i].n_events);
	}
	/* with chunks: the coding says that more was to come, even after a finish reason */
	start_and_accept(w, &c);
	peer_send(&w->peer, STR(CHUNKED));
	send_chunk(w, STR(TEXT("x") FINISH));
	turn_few(w->loop);
	peer_hang_up(&w->peer);
	wait_done(w, &c, -ERR_UPSTREAM, "cut");
	/* a reset is no end either */
	start_and_accept(w, &c);
	peer_send(&w->peer, STR(CHUNKED));
	send_chunk(w, STR(TEXT("x")));
	TURN_UNTIL(w->loop, c.n_events);
	peer_reset(&w->peer);
	wait_done(w, &c, -ERR_UPSTREAM, "cut");
	buf_fini(&c.text);
}

static void ends_after_the_end_mark_whatever_the_server_does(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};
	uint64_t began_ms;

	/* cut right behind it */
	for (int reset = 0; reset < 2; reset++) {
		start_and_accept(w, &c);
		peer_send(&w->peer, STR(CHUNKED));
		send_chunk(w, STR(TEXT("x") DONE));
		turn_few(w->loop);
		if (reset)
			peer_reset(&w->peer);
		else
			peer_hang_up(&w->peer);
		wait_done(w, &c, 0, "complete");
	}
	/* more follows: it does not count */
	start_and_accept(w, &c);
	peer_send(&w->peer, STR(CHUNKED));
	send_chunk(w, STR(TEXT("x") DONE TEXT("y") "data: {\"error\":{}}\n\n"));
	peer_send(&w->peer, STR(LAST));
	wait_done(w, &c, 0, "complete");
	assert_text(buf_str(&c.text), "x");
	/* nothing follows, and the connection stays open */
	start_and_accept(w, &c);
	peer_send(&w->peer, STR(CHUNKED));
	send_chunk(w, STR(TEXT("x") DONE));
	began_ms = real_ms();
	wait_done(w, &c, 0, "complete");
	assert_in_range(real_ms() - began_ms, 0, 4500);
	TURN_UNTIL(w->loop, peer_is_closed(&w->peer));
	buf_fini(&c.text);
}

static void tells_refusals_apart(void **state)
{
	static const struct {
		const char *answer;
		int err, status, retry_after_s;
	} samples[] = {
		{"401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}", -ERR_UPSTREAM_AUTH, 401, -1},
		{"403 Forbidden\r\nContent-Length: 2\r\n\r\n{}", -ERR_UPSTREAM_AUTH, 403, -1},
		{"429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\n{}", -ERR_UPSTREAM_LIMIT, 429, 3},
		{"429 Too Many Requests\r\nContent-Length: 2\r\n\r\n{}", -ERR_UPSTREAM_LIMIT, 429, -1},
		{"500 x\r\nContent-Length: 2\r\n\r\n{}", -ERR_UPSTREAM, 500, -1},
		{"503 x\r\nRetry-After: 60\r\nContent-Length: 2\r\n\r\n{}", -ERR_UPSTREAM, 503, 60},
		{"529 Overloaded\r\nContent-Length: 2\r\n\r\n{}", -ERR_UPSTREAM, 529, -1},
		{"504 x\r\nContent-Length: 2\r\n\r\n{}", -ERR_UPSTREAM_TIMEOUT, 504, -1},
		{"400 x\r\nContent-Type: text/event-stream\r\nContent-Length: 14\r\n\r\ndata: [DONE]\n\n", -ERR_UPSTREAM, 400, -1},
		{"302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", -ERR_UPSTREAM, 302, -1},
	};
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		start_and_accept(w, &c);
		peer_send(&w->peer, STR("HTTP/1.1 "));
		peer_send(&w->peer, str_from(samples[i].answer));
		wait_done(w, &c, samples[i].err, "http_status");
		assert_int_equal(c.status, samples[i].status);
		assert_int_equal(c.retry_after_s, samples[i].retry_after_s);
		assert_int_equal(c.n_events, 0);
	}
	buf_fini(&c.text);
}

static void refuses_an_answer_that_is_no_event_stream(void **state)
{
	static const char *const types[] = {"", "Content-Type: application/json\r\n", "Content-Type: text/html\r\n",
					    "Content-Type: text/event-streamer\r\n"};
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	for (size_t i = 0; i < N_ELEMENTS(types); i++) {
		start_and_accept(w, &c);
		peer_send(&w->peer, STR("HTTP/1.1 200 OK\r\nContent-Length: 14\r\n"));
		peer_send(&w->peer, str_from(types[i]));
		peer_send(&w->peer, STR("\r\ndata: [DONE]\n\n"));
		wait_done(w, &c, -ERR_UPSTREAM, "content_type");
		assert_int_equal(c.status, 200);
	}
	start_and_accept(w, &c);
	peer_send(&w->peer,
		  STR("HTTP/1.1 200 OK\r\nContent-Type: TEXT/event-stream;charset=utf-8\r\nContent-Length: 14\r\n\r\ndata: [DONE]\n\n"));
	wait_done(w, &c, 0, "complete");
	buf_fini(&c.text);
}

static void fails_on_an_error_frame_and_on_rubbish(void **state)
{
	static const struct {
		struct str bytes;
		const char *reason;
	} samples[] = {
		{CONST_STR("data: {\"error\":{\"message\":\"overloaded\"}}\n\n" TEXT("y") DONE), "error_frame"},
		{CONST_STR("event: error\ndata: {\"message\":\"overloaded\"}\n\n" TEXT("y") DONE), "error_frame"},
		{CONST_STR("data: <html>\n\n" TEXT("y") DONE), "bad_event"},
		{CONST_STR("data: {\"choices\":[{\"delta\":{\"content\":\"\xFF\"}}]}\n\n" TEXT("y") DONE), "bad_event"},
	};
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		start_and_accept(w, &c);
		peer_send(&w->peer, STR(CHUNKED));
		send_chunk(w, STR(TEXT("x")));
		send_chunk(w, samples[i].bytes);
		wait_done(w, &c, -ERR_UPSTREAM, samples[i].reason);
		assert_text(buf_str(&c.text), "x"); /* what came before is kept, what follows does not count */
		TURN_UNTIL(w->loop, peer_is_closed(&w->peer));
	}
	buf_fini(&c.text);
}

static void refuses_a_line_of_10_megabytes(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};
	struct buf b = {0};
	enum { BYTES = 10 * 1024 * 1024 };

	buf_printf(&b, HEAD "Content-Length: %d\r\n\r\ndata: ", BYTES + 6);
	memset(buf_reserve(&b, BYTES), 'x', BYTES);
	b.len += BYTES;
	start_and_accept(w, &c);
	peer_send_much(&w->peer, w->loop, buf_str(&b));
	wait_done(w, &c, -ERR_UPSTREAM, "event_too_large");
	assert_true(peer_is_closed(&w->peer));
	buf_fini(&b);
	buf_fini(&c.text);
}

static void gives_up_when_no_headers_come(void **state)
{
	struct world *w = *state;
	struct caller c = {.timeouts = {1000, 120, 5000, 5000, 10000}};
	uint64_t began_ms = real_ms();

	start_and_accept(w, &c);
	peer_send(&w->peer, STR("HTTP/1.1 200 OK\r\n"));
	wait_done(w, &c, -ERR_UPSTREAM_TIMEOUT, "headers_timeout");
	assert_in_range(real_ms() - began_ms, 110, 4500);
	assert_int_equal(c.status, 0);
	assert_true(peer_is_closed(&w->peer));
	buf_fini(&c.text);
}

static void gives_up_when_no_first_event_comes(void **state)
{
	struct world *w = *state;
	struct caller c = {.timeouts = {1000, 1000, 200, 5000, 10000}};
	uint64_t began_ms = real_ms();

	start_and_accept(w, &c);
	peer_send(&w->peer, STR(CHUNKED));
	while (c.n_done == 0 && real_ms() - began_ms < 3000) { /* comments are no events */
		send_chunk(w, STR(": processing\n\n"));
		turn_for_ms(w->loop, 20);
	}
	wait_done(w, &c, -ERR_UPSTREAM_TIMEOUT, "first_token_timeout");
	assert_in_range(real_ms() - began_ms, 190, 4500);
	assert_int_equal(c.n_events, 0);
	TURN_UNTIL(w->loop, peer_is_closed(&w->peer));
	buf_fini(&c.text);
}

static void gives_up_on_silence(void **state)
{
	struct world *w = *state;
	struct caller c = {.timeouts = {1000, 1000, 1000, 600, 10000}};
	uint64_t quiet_since_ms;

	start_and_accept(w, &c);
	peer_send(&w->peer, STR(CHUNKED));
	for (int i = 0; i < 9; i++) { /* longer than the limit altogether, but never silent for that long */
		send_chunk(w, i % 2 ? STR(": alive\n\n") : STR(TEXT("x")));
		turn_for_ms(w->loop, 80);
	}
	assert_int_equal(c.n_done, 0);
	send_chunk(w, STR(TEXT("y")));
	quiet_since_ms = real_ms();
	wait_done(w, &c, -ERR_UPSTREAM_TIMEOUT, "idle_timeout");
	assert_in_range(real_ms() - quiet_since_ms, 580, 4500);
	assert_text(buf_str(&c.text), "xxxxxy");
	TURN_UNTIL(w->loop, peer_is_closed(&w->peer));
	buf_fini(&c.text);
}

static void gives_up_when_it_takes_too_long_altogether(void **state)
{
	struct world *w = *state;
	struct caller c = {.timeouts = {1000, 1000, 1000, 1000, 300}};
	uint64_t began_ms = real_ms();

	start_and_accept(w, &c);
	peer_send(&w->peer, STR(CHUNKED));
	while (c.n_done == 0 && real_ms() - began_ms < 3000) {
		send_chunk(w, STR(TEXT("x")));
		turn_for_ms(w->loop, 20);
	}
	wait_done(w, &c, -ERR_UPSTREAM_TIMEOUT, "total_timeout");
	assert_in_range(real_ms() - began_ms, 280, 4500);
	/* it bounds the wait for headers as well */
	c.timeouts = (struct llm_timeouts){1000, 5000, 5000, 5000, 150};
	began_ms = real_ms();
	start_and_accept(w, &c);
	wait_done(w, &c, -ERR_UPSTREAM_TIMEOUT, "total_timeout");
	assert_in_range(real_ms() - began_ms, 140, 4500);
	buf_fini(&c.text);
}

static void reports_a_provider_that_is_not_there(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};
	char url[120];

	close(w->peer.listen_fd);
	w->peer.listen_fd = -1;
	start(w, &c);
	wait_done(w, &c, -ERR_UPSTREAM, "no_answer");
	assert_int_equal(c.status, 0);
	assert_int_equal(c.n_events, 0);
	snprintf(url, sizeof(url), "http://x%070d/v1", 1); /* a label that is too long: there can be no address */
	start_at(w, &c, url);
	wait_done(w, &c, -ERR_UPSTREAM, "no_answer");
	buf_fini(&c.text);
}

/* After a cancel nothing comes, and the provider sees the end of the connection within two turns. */
static void assert_cancelled(struct world *w, struct caller *c)
{
	unsigned n_events = c->n_events;

	assert_false(op_waiting(&c->s.op));
	loop_turn(w->loop, false);
	memset(&c->s, 0xA5, sizeof(c->s)); /* nobody may hold it any more */
	loop_turn(w->loop, false);
	if (w->peer.fd >= 0)
		assert_true(peer_is_closed(&w->peer));
	turn_few(w->loop);
	assert_int_equal(c->n_done, 0);
	assert_int_equal(c->n_events, n_events);
	peer_hang_up(&w->peer);
}

static void cancels_in_every_state(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};
	size_t before;

	turn_few(w->loop);
	before = count_fds();
	start(w, &c);
	op_cancel(&c.s.op);
	assert_cancelled(w, &c);
	for (int turns = 1; turns < 6; turns++) {
		start(w, &c);
		for (int i = 0; i < turns; i++)
			loop_turn(w->loop, false);
		op_cancel(&c.s.op);
		peer_look(&w->peer);
		assert_cancelled(w, &c);
	}
	/* waiting for headers */
	start_and_accept(w, &c);
	op_cancel(&c.s.op);
	assert_cancelled(w, &c);
	/* for the first event */
	start_and_accept(w, &c);
	peer_send(&w->peer, STR(CHUNKED));
	send_chunk(w, STR("data: {\"cho"));
	TURN_UNTIL(w->loop, c.s.status == 200);
	turn_few(w->loop);
	op_cancel(&c.s.op);
	assert_cancelled(w, &c);
	/* for more */
	start_and_accept(w, &c);
	peer_send(&w->peer, STR(CHUNKED));
	send_chunk(w, STR(TEXT("x") "data: half"));
	TURN_UNTIL(w->loop, c.n_events);
	op_cancel(&c.s.op);
	assert_cancelled(w, &c);
	/* for the end of HTTP */
	start_and_accept(w, &c);
	peer_send(&w->peer, STR(CHUNKED));
	send_chunk(w, STR(TEXT("x") DONE));
	TURN_UNTIL(w->loop, c.n_events);
	turn_few(w->loop);
	assert_int_equal(c.n_done, 0);
	op_cancel(&c.s.op);
	assert_cancelled(w, &c);
	turn_few(w->loop);
	peer_look(&w->peer);
	peer_hang_up(&w->peer);
	assert_int_equal(count_fds(), before);
	buf_fini(&c.text);
}

/* The provider's parser still has the chunk in its hands then, and must not read what is gone. */
static void may_be_cancelled_from_any_of_its_events(void **state)
{
	static const struct str answer = CONST_STR(
		CHUNKED
		"52\r\ndata: {\"choices\":[{\"delta\":{\"reasoning\":\"r\",\"content\":\"\\u0063\",\"tool_calls\":[{}]},\r\n"
		"63\r\n\"finish_reason\":\"st\\u006fp\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\n\r\n"
		"e\r\ndata: [DONE]\n\n\r\n" LAST);
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	start_and_accept(w, &c);
	peer_send(&w->peer, answer);
	wait_done(w, &c, 0, "complete");
	assert_text(buf_str(&c.text), "[r:r]c[o:[{}]][u:1,2,3][f:stop]");
	for (c.cancel_at = 1; c.cancel_at <= 5; c.cancel_at++) {
		start_and_accept(w, &c);
		peer_send(&w->peer, answer);
		TURN_UNTIL(w->loop, c.n_events >= c.cancel_at);
		assert_int_equal(c.n_events, c.cancel_at); /* also in the middle of a chunk */
		assert_cancelled(w, &c);
	}
	buf_fini(&c.text);
}

/* The end is known, but told only when the turn is over: a cancel in between must win. */
static void may_be_cancelled_between_the_end_and_its_telling(void **state)
{
	struct world *w = *state;
	struct caller c = {.cancel_later = true, .cancel_later_at = LLM_FINISH};

	start_and_accept(w, &c);
	peer_send(&w->peer, STR(HEAD "Content-Length: 81\r\n\r\n" FINISH DONE));
	TURN_UNTIL(w->loop, c.n_events);
	turn_few(w->loop);
	assert_int_equal(c.n_done, 0);
	assert_false(op_waiting(&c.s.op));
	c.cancel_later_at = LLM_TEXT;
	start_and_accept(w, &c);
	peer_send(&w->peer, STR(CHUNKED));
	send_chunk(w, STR(TEXT("x") "data: rubbish\n\n"));
	TURN_UNTIL(w->loop, c.n_events);
	assert_cancelled(w, &c);
	buf_fini(&c.text);
}

static void carries_many_streams_and_leaks_nothing(void **state)
{
	enum { N = 40 };
	struct world *w = *state;
	struct caller *c = calloc(N, sizeof(*c));
	size_t before = count_fds();
	int fds[N];

	for (int i = 0; i < N; i++)
		start(w, &c[i]);
	for (int i = 0; i < N; i++) {
		TURN_UNTIL(w->loop, (fds[i] = accept(w->peer.listen_fd, NULL, NULL)) >= 0);
		assert_true(send(fds[i], HEAD "\r\n" TEXT("x"), sizeof(HEAD "\r\n" TEXT("x")) - 1, MSG_NOSIGNAL) > 0);
	}
	for (int i = 0; i < N; i++)
		TURN_UNTIL(w->loop, c[i].n_events == 1);
	for (int i = 0; i < N; i++) {
		switch (i % 4) {
		case 0: op_cancel(&c[i].s.op); break;
		case 1: assert_true(send(fds[i], DONE, sizeof(DONE) - 1, MSG_NOSIGNAL) > 0); break;
		case 2: break; /* cut */
		case 3: assert_true(send(fds[i], "data: ?\n\n", 9, MSG_NOSIGNAL) == 9); break;
		}
		close(fds[i]);
	}
	for (int i = 0; i < N; i++) {
		if (i % 4 != 0)
			TURN_UNTIL(w->loop, c[i].n_done == 1);
	}
	turn_few(w->loop);
	for (int i = 0; i < N; i++) {
		assert_int_equal(c[i].n_done, i % 4 != 0);
		if (i % 4 == 1)
			assert_int_equal(c[i].err, 0);
		else if (i % 4 != 0)
			assert_int_equal(c[i].err, -ERR_UPSTREAM);
		buf_fini(&c[i].text);
	}
	assert_true(count_fds() <= before);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
		T(reads_a_whole_answer),
		T(reads_an_answer_however_it_is_cut),
		T(takes_a_finish_reason_and_a_clean_end_for_complete),
		T(takes_a_finish_reason_and_silence_for_complete),
		T(does_not_call_half_an_answer_whole),
		T(ends_after_the_end_mark_whatever_the_server_does),
		T(tells_refusals_apart),
		T(refuses_an_answer_that_is_no_event_stream),
		T(fails_on_an_error_frame_and_on_rubbish),
		T(refuses_a_line_of_10_megabytes),
		T(gives_up_when_no_headers_come),
		T(gives_up_when_no_first_event_comes),
		T(gives_up_on_silence),
		T(gives_up_when_it_takes_too_long_altogether),
		T(reports_a_provider_that_is_not_there),
		T(cancels_in_every_state),
		T(may_be_cancelled_from_any_of_its_events),
		T(may_be_cancelled_between_the_end_and_its_telling),
		T(carries_many_streams_and_leaks_nothing),
#undef T
	};

	one_look_up_at_a_time();
	return cmocka_run_group_tests(tests, quiet, NULL);
}
